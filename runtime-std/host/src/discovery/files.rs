//! The folder of a journal: the journal, the one that is to take its place, and a lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process;

use libswarm::discovery::store::Persist;
use rustix::fs::{FlockOperation, flock};

/// A journal's files, which are this process's alone as long as this is held.
#[derive(Debug)]
pub struct JournalFiles {
    folder: PathBuf,
    journal: File,
    /// Bytes of the journal, and how far there is room that was written before.
    length: u64,
    room: u64,
    /// The one that is to take its place, and its length.
    next: Option<(File, u64)>,
    /// Held for its lock.
    _lock: File,
}

const JOURNAL: &str = "journal";
const NEXT: &str = "journal.next";
/// What was cut off last, for whoever wants to look at it.
const CUT: &str = "journal.cut";
const LOCK: &str = "lock";
/// So many bytes of zeros are written ahead.
const AHEAD: usize = 256 * 1024;

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
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| fail(JOURNAL, error))?;
        let mut content = Vec::new();
        journal.read_to_end(&mut content).map_err(|error| fail(JOURNAL, error))?;
        let length = content.len() as u64;
        let folder = folder.to_owned();
        let files = Self { folder, journal, length, room: length, next: None, _lock: lock };
        files.sync_folder().map_err(|error| fail("it cannot be made safe", error))?;
        Ok((files, content))
    }

    /// The journal's path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(JOURNAL)
    }

    /// Cuts the journal, which holds `content`, to that length. What is cut off and is not just room stays in another file: a
    /// torn end was never acknowledged, but a disk that has damaged what lay before it looks the same.
    pub(super) fn cut(&mut self, length: u64, content: &[u8]) -> Result<(), String> {
        (self.length, self.room) = (length, length);
        let rest = usize::try_from(length).ok().and_then(|length| content.get(length..));
        let rest = rest.unwrap_or_default();
        let end = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let rest = &rest[..end];
        let copy = self.folder.join(CUT);
        // A disk that has no room for it is no reason to serve nobody.
        if !rest.is_empty()
            && let Err(error) = fs::write(&copy, rest)
        {
            log::warn!("what is cut off the journal is not kept in {}: {error}", copy.display());
        }
        let cut = || {
            if self.journal.metadata()?.len() != length {
                self.journal.set_len(length)?;
            }
            // Also where nothing is cut: a process that was killed may have written what is whole and not made it safe, and
            // heartbeats of what was read back are acknowledged without another write.
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
                let end = self.length + bytes.len() as u64;
                self.journal.write_all_at(bytes, self.length)?;
                self.make_room(end);
                self.journal.sync_data()?;
                self.length = end;
                Ok(())
            }
            Persist::AppendNext { bytes, first } => {
                if *first || self.next.is_none() {
                    let path = self.folder.join(NEXT);
                    self.next = Some((File::create(path)?, 0));
                }
                let Some((next, length)) = &mut self.next else { return Ok(()) };
                next.write_all(bytes)?;
                *length += bytes.len() as u64;
                next.sync_data()
            }
            Persist::Replace => {
                let (next, length) =
                    self.next.take().ok_or_else(|| io::Error::other("there is no other"))?;
                fs::rename(self.folder.join(NEXT), self.path())?;
                self.journal = next;
                (self.length, self.room) = (length, length);
                self.sync_folder()
            }
        }
    }

    /// Writes zeros ahead of what will come. To make a write safe that also makes the file longer takes a disk up to twice
    /// as long, since the new length has to be safe, too.
    fn make_room(&mut self, end: u64) {
        if end <= self.room {
            return;
        }
        let zeros = vec![0; AHEAD];
        // A disk that has no room for it may still have room for what is to be kept.
        let made = self.journal.write_all_at(&zeros, end).is_ok();
        self.room = if made { end + AHEAD as u64 } else { end };
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
        let (whole, room) = content.split_at(b"new and behind".len());
        assert_eq!(whole, b"new and behind");
        assert!(room.len() == AHEAD && room.iter().all(|byte| *byte == 0));
        files.cut(3, &content).unwrap();
        // Without the room behind it.
        assert_eq!(fs::read(folder.0.join("deep/er").join(CUT)).unwrap(), b" and behind");
        for part in [&b"er"[..], b" and ", b"newest"] {
            files.persist(&Persist::Append(part.to_vec())).unwrap();
        }
        let content = fs::read(files.path()).unwrap();
        assert!(content.starts_with(b"newer and newest\0"));
        assert_eq!(content.len(), b"newer".len() + AHEAD);
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
