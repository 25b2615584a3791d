//! The folder of a journal: the journal, the one that is to take its place, and a lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process;

use libswarm::discovery::store::Persist;
use rustix::fs::{FlockOperation, flock};

/// A journal's files, which are this process's alone as long as this is held.
#[derive(Debug)]
pub struct JournalFiles {
    folder: PathBuf,
    journal: File,
    next: Option<File>,
    /// Held for its lock.
    _lock: File,
}

const JOURNAL: &str = "journal";
const NEXT: &str = "journal.next";
const LOCK: &str = "lock";

impl JournalFiles {
    /// Opens or makes the folder, and gives all that the journal holds.
    pub(super) fn open(folder: &Path) -> Result<(Self, Vec<u8>), String> {
        let fail = |what: &str, error: io::Error| {
            format!(
                "the data folder {} cannot be used: {what}: {error}; name another one with --data-dir",
                folder.display()
            )
        };
        fs::create_dir_all(folder).map_err(|error| fail("it cannot be made", error))?;
        let lock = lock(folder).map_err(|error| match error {
            LockError::Held(holder) => format!(
                "the data folder {} is in use by {holder}: stop it, or name another one with --data-dir",
                folder.display()
            ),
            LockError::Io(error) => fail("it cannot be locked", error),
        })?;
        // What was not finished there has no meaning.
        match fs::remove_file(folder.join(NEXT)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(fail(NEXT, error));
            }
            _ => {}
        }
        let path = folder.join(JOURNAL);
        let mut journal = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(|error| fail(JOURNAL, error))?;
        let mut content = Vec::new();
        journal.read_to_end(&mut content).map_err(|error| fail(JOURNAL, error))?;
        let files = Self { folder: folder.to_owned(), journal, next: None, _lock: lock };
        files.sync_folder().map_err(|error| fail("it cannot be made safe", error))?;
        Ok((files, content))
    }

    /// The journal's path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(JOURNAL)
    }

    /// Cuts the journal to that length.
    pub(super) fn cut(&mut self, length: u64) -> Result<(), String> {
        let cut = || {
            if self.journal.metadata()?.len() == length {
                return Ok(());
            }
            self.journal.set_len(length)?;
            self.journal.sync_all()
        };
        cut().map_err(|error: io::Error| {
            format!("{} cannot be cut to what is whole of it: {error}", self.path().display())
        })
    }

    /// Does what [`Node::poll_persist`](libswarm::Node::poll_persist) gives. It returns when that is safe.
    ///
    /// # Errors
    ///
    /// Those of the file system. How much was done is not known.
    pub fn persist(&mut self, what: &Persist) -> io::Result<()> {
        match what {
            Persist::Append(bytes) => {
                self.journal.write_all(bytes)?;
                self.journal.sync_data()
            }
            Persist::AppendNext { bytes, first } => {
                if *first || self.next.is_none() {
                    let path = self.folder.join(NEXT);
                    self.next = Some(File::create(path)?);
                }
                let Some(next) = &mut self.next else { return Ok(()) };
                next.write_all(bytes)?;
                next.sync_data()
            }
            Persist::Replace => {
                let next = self.next.take().ok_or_else(|| io::Error::other("there is no other"))?;
                fs::rename(self.folder.join(NEXT), self.path())?;
                self.journal = next;
                self.sync_folder()
            }
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

enum LockError {
    /// By whom.
    Held(String),
    Io(io::Error),
}

fn lock(folder: &Path) -> Result<File, LockError> {
    let path = folder.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(path).map_err(LockError::Io)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // Who holds it may just be writing its number.
            let _ = file.read_to_string(&mut holder);
            let holder = holder.trim();
            return Err(LockError::Held(if holder.is_empty() {
                "another process".to_owned()
            } else {
                format!("process {holder}")
            }));
        }
        Err(error) => return Err(LockError::Io(error.into())),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        writeln!(file, "{}", process::id())
    };
    write(&mut file).map_err(LockError::Io)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("discoverd-{name}-{}", process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn next(bytes: &[u8], first: bool) -> Persist {
        Persist::AppendNext { bytes: bytes.to_vec(), first }
    }

    #[test]
    fn what_is_done_is_in_the_files() {
        let folder = Folder::new("files");
        let (mut files, content) = JournalFiles::open(&folder.0.join("deep/er")).unwrap();
        assert_eq!(content, b"");
        for what in [
            Persist::Append(b"old".to_vec()),
            next(b"void", true),
            next(b"new", true),
            next(b" and", false),
            Persist::Replace,
            Persist::Append(b" behind".to_vec()),
        ] {
            files.persist(&what).unwrap();
        }
        assert!(files.persist(&Persist::Replace).is_err());
        // What is left of another one is thrown away.
        files.persist(&next(b"x", true)).unwrap();
        drop(files);
        let (mut files, content) = JournalFiles::open(&folder.0.join("deep/er")).unwrap();
        assert_eq!(content, b"new and behind");
        files.cut(3).unwrap();
        files.persist(&Persist::Append(b"er".to_vec())).unwrap();
        assert_eq!(fs::read(files.path()).unwrap(), b"newer");
        assert!(!folder.0.join("deep/er").join(NEXT).exists());
    }

    #[test]
    fn a_folder_has_one_process() {
        let folder = Folder::new("lock");
        let first = JournalFiles::open(&folder.0).unwrap();
        let error = JournalFiles::open(&folder.0).unwrap_err();
        assert!(
            error.contains(&format!("is in use by process {}: stop it", process::id())),
            "{error}"
        );
        drop(first);
        assert!(JournalFiles::open(&folder.0).is_ok());
    }

    #[test]
    fn what_is_no_folder_is_said() {
        let error = JournalFiles::open(Path::new("/dev/null/x")).unwrap_err();
        assert!(
            error.starts_with("the data folder /dev/null/x cannot be used: it cannot be made: "),
            "{error}"
        );
    }
}
