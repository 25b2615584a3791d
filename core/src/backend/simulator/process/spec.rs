//! What is started, how it ends, and why it does not start.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::{Behaviour, Signal};

/// A process's number in its container; 1 is the container's own.
pub type Pid = u32;

/// What to start.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The environment, `NAME=value` each. PATH, HOSTNAME, HOME and (with a terminal) TERM are added if they are not in it,
    /// as an engine adds them.
    pub env: Vec<String>,
    /// The working directory; empty for `/`.
    pub cwd: String,
    /// `user`, `uid`, `user:group`, `uid:gid`; empty for root.
    pub user: String,
    /// Whether stdin, stdout and stderr are a terminal.
    pub tty: bool,
    /// Whether stdin is to be fed; otherwise it is at its end (a terminal's just stays silent).
    pub open_stdin: bool,
    /// Rows and columns of the terminal; 0 if unknown.
    pub size: (u16, u16),
    /// Whether the first process is an init that starts the program as its child, as `docker run --init` has it.
    pub init: bool,
    /// What to do instead of looking for a program.
    pub behaviour: Option<Arc<Behaviour>>,
}

impl Spec {
    /// This program with these arguments, as root in `/`, without stdin.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The same, to be fed through stdin.
    #[must_use]
    pub fn open_stdin(self) -> Self {
        Self { open_stdin: true, ..self }
    }

    /// The same on a terminal, to be fed through it.
    #[must_use]
    pub fn on_terminal(self) -> Self {
        Self { open_stdin: true, tty: true, ..self }
    }
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// 0 to 255; 128 and the signal's number if it died of one.
    pub code: u8,
    /// What it died of.
    pub signal: Option<Signal>,
    /// Whether it had taken more memory than it may.
    pub oom: bool,
}

impl Exit {
    /// Ended by itself.
    #[must_use]
    pub const fn with(code: u8) -> Self {
        Self { code, signal: None, oom: false }
    }

    /// Died of a signal.
    #[must_use]
    pub const fn of(signal: Signal) -> Self {
        Self { code: 128_u8.wrapping_add(signal.number()), signal: Some(signal), oom: false }
    }
}

/// Why a process could not be started. Shown as runc says it, without what an engine writes before and behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StartError {
    /// No file of that name (status 127).
    NotFound {
        /// The program.
        file: String,
    },
    /// A file that may not be executed, or a folder (126).
    NotExecutable {
        /// The program.
        file: String,
    },
    /// A file that is neither a script nor a program that can be simulated (126).
    BadFormat {
        /// The program.
        file: String,
    },
    /// The working directory is not there, or is none (126 for an exec).
    NoSuchDirectory {
        /// The working directory.
        cwd: String,
    },
    /// `/etc/passwd` does not know the user.
    NoSuchUser {
        /// What was asked for.
        user: String,
    },
    /// `/etc/group` does not know the group.
    NoSuchGroup {
        /// What was asked for.
        group: String,
    },
    /// There are too many processes already.
    TooMany,
    /// No program was named.
    Nothing,
}

impl StartError {
    /// The status that a container has that could not be started.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 127,
            _ => 126,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { file } if file.contains('/') => {
                write!(f, "exec: {file:?}: stat {file}: no such file or directory")
            }
            Self::NotFound { file } => {
                write!(f, "exec: {file:?}: executable file not found in $PATH")
            }
            Self::NotExecutable { file } => write!(f, "exec: {file:?}: permission denied"),
            Self::BadFormat { file } => write!(f, "exec {file}: exec format error"),
            Self::NoSuchDirectory { cwd } => write!(
                f,
                "chdir to cwd ({cwd:?}) set in config.json failed: no such file or directory"
            ),
            Self::NoSuchUser { user } => {
                write!(f, "unable to find user {user}: no matching entries in passwd file")
            }
            Self::NoSuchGroup { group } => {
                write!(f, "unable to find group {group}: no matching entries in group file")
            }
            Self::TooMany => f.write_str("fork/exec: resource temporarily unavailable"),
            Self::Nothing => f.write_str("no command specified"),
        }
    }
}

impl core::error::Error for StartError {}
