//! Why a call on files or processes failed, with the words that people know.

use core::fmt;

/// The errors of POSIX that simulated files and processes come across; shown as `strerror` of glibc does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Errno {
    /// EPERM
    Perm,
    /// ENOENT
    NoEnt,
    /// ESRCH
    Srch,
    /// EIO
    Io,
    /// ENOEXEC
    NoExec,
    /// EBADF
    BadF,
    /// EAGAIN
    Again,
    /// EACCES
    Access,
    /// EBUSY
    Busy,
    /// EEXIST
    Exist,
    /// EXDEV
    XDev,
    /// ENOTDIR
    NotDir,
    /// EISDIR
    IsDir,
    /// EINVAL
    Inval,
    /// EMFILE
    MFile,
    /// ENOTTY
    NotTty,
    /// EFBIG
    FBig,
    /// ENOSPC
    NoSpc,
    /// EROFS
    RoFs,
    /// EPIPE
    Pipe,
    /// ENAMETOOLONG
    NameTooLong,
    /// ENOTEMPTY
    NotEmpty,
    /// ELOOP
    Loop,
}

impl Errno {
    /// What `strerror` says.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Perm => "Operation not permitted",
            Self::NoEnt => "No such file or directory",
            Self::Srch => "No such process",
            Self::Io => "Input/output error",
            Self::NoExec => "Exec format error",
            Self::BadF => "Bad file descriptor",
            Self::Again => "Resource temporarily unavailable",
            Self::Access => "Permission denied",
            Self::Busy => "Device or resource busy",
            Self::Exist => "File exists",
            Self::XDev => "Invalid cross-device link",
            Self::NotDir => "Not a directory",
            Self::IsDir => "Is a directory",
            Self::Inval => "Invalid argument",
            Self::MFile => "Too many open files",
            Self::NotTty => "Inappropriate ioctl for device",
            Self::FBig => "File too large",
            Self::NoSpc => "No space left on device",
            Self::RoFs => "Read-only file system",
            Self::Pipe => "Broken pipe",
            Self::NameTooLong => "File name too long",
            Self::NotEmpty => "Directory not empty",
            Self::Loop => "Too many levels of symbolic links",
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for Errno {}
