//! The files of backends: read before the first job, written when all is over.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use libswarm::job::Backend;

/// The most bytes of a file that a backend is given.
const LIMIT: u64 = 1 << 30;

/// Why a backend's file could not be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    Read(PathBuf, io::Error),
    /// It is longer than a file for a backend may be (1 GiB).
    TooLong(PathBuf),
    /// The backend finds something wrong in it, and says where.
    Refused(String),
    /// It cannot be written.
    Write(PathBuf, io::Error),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::TooLong(path) => {
                write!(f, "cannot read {}: it has more than {LIMIT} bytes", path.display())
            }
            Self::Refused(problem) => f.write_str(problem),
            Self::Write(path, error) => write!(f, "cannot write {}: {error}", path.display()),
        }
    }
}

impl Error for FileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(_, error) | Self::Write(_, error) => Some(error),
            Self::TooLong(_) | Self::Refused(_) => None,
        }
    }
}

/// Hands a backend the files that its words name.
pub(crate) fn load(backend: &mut dyn Backend) -> Result<(), FileError> {
    for name in backend.files() {
        let path = PathBuf::from(&name);
        let read = |path: &Path| {
            let too_long = fs::metadata(path)?.len() > LIMIT;
            if too_long { Ok(None) } else { fs::read(path).map(Some) }
        };
        let content = match read(&path) {
            Ok(Some(content)) => content,
            Ok(None) => return Err(FileError::TooLong(path)),
            Err(error) => return Err(FileError::Read(path, error)),
        };
        backend.load(&name, &content).map_err(FileError::Refused)?;
    }
    Ok(())
}

/// Looks whether the files that a backend will want written can be: at the end its state would be gone.
pub(crate) fn check(backend: &dyn Backend) -> Result<(), FileError> {
    for name in backend.saves() {
        let path = PathBuf::from(&name);
        let checked = match fs::metadata(&path) {
            Ok(found) if !found.is_file() => {
                fs::OpenOptions::new().write(true).open(&path).map(drop)
            }
            // What is there stays as it is.
            _ => {
                let beside = beside(&path);
                fs::write(&beside, "").and_then(|()| fs::remove_file(&beside))
            }
        };
        checked.map_err(|error| FileError::Write(path, error))?;
    }
    Ok(())
}

/// Writes what backends want kept ([`Node::save`](libswarm::Node::save)), each file in one step: who reads it meanwhile sees
/// the old content or the new one. Runtimes call this when their node has stopped.
///
/// # Errors
///
/// A file cannot be written; those before it are.
pub fn save(files: Vec<(String, Vec<u8>)>) -> Result<(), FileError> {
    for (name, content) in files {
        let path = PathBuf::from(&name);
        let written = write(&path, &content);
        written.map_err(|error| FileError::Write(path, error))?;
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    // What is no regular file, such as /dev/stdout, is written where it is.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return fs::write(path, content);
    }
    let beside = beside(path);
    let result = fs::write(&beside, content).and_then(|()| fs::rename(&beside, path));
    if result.is_err() {
        // It may not even be there.
        let _ = fs::remove_file(&beside);
    }
    result
}

/// Where a file is written before it has its name.
fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    beside.into()
}

#[cfg(test)]
mod tests {
    use super::{check, load, save};
    use libswarm::JobId;
    use libswarm::job::{Backend, Cx, Event};
    use std::fs;
    use std::path::PathBuf;

    struct Wants(String, Vec<u8>);

    impl Backend for Wants {
        fn handle(&mut self, _: &mut Cx<'_>, _: JobId, _: Event<'_>) {}

        fn files(&self) -> Vec<String> {
            vec![self.0.clone()]
        }

        fn load(&mut self, file: &str, content: &[u8]) -> Result<(), String> {
            if content.is_empty() {
                return Err(format!("{file}:1: it is empty"));
            }
            self.1 = content.to_vec();
            Ok(())
        }

        fn saves(&self) -> Vec<String> {
            vec![self.0.clone()]
        }
    }

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("swarm-files-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn files_are_read_and_written() {
        let folder = folder("round");
        let file = folder.join("engine.json").to_str().unwrap().to_owned();
        let mut backend = Wants(file.clone(), Vec::new());
        let missing = load(&mut backend).unwrap_err().to_string();
        assert!(missing.starts_with(&format!("cannot read {file}: No such file")), "{missing}");
        save(vec![(file.clone(), b"{}".to_vec())]).unwrap();
        load(&mut backend).unwrap();
        assert_eq!(backend.1, b"{}");
        save(vec![(file.clone(), Vec::new())]).unwrap();
        assert_eq!(load(&mut backend).unwrap_err().to_string(), format!("{file}:1: it is empty"));
        check(&backend).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_dir_all(&folder).unwrap();
        let early = check(&backend).unwrap_err().to_string();
        assert!(early.starts_with(&format!("cannot write {file}: ")), "{early}");
        check(&Wants("/dev/null".to_owned(), Vec::new())).unwrap();
        let lost = save(vec![(file.clone(), Vec::new())]).unwrap_err().to_string();
        assert!(lost.starts_with(&format!("cannot write {file}: ")), "{lost}");
    }
}
