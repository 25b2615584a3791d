//! The thread that waits for the disk.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use libswarm::discovery::store::Persist;

use super::JournalFiles;

/// Does what a node wants done with its journal, on a thread of its own.
#[derive(Debug)]
pub struct JournalWriter {
    work: Sender<Persist>,
}

impl JournalWriter {
    /// Starts the thread; `done` is called on it with the result of each [`write`](Self::write), in order. It ends with this.
    ///
    /// # Errors
    ///
    /// The operating system refuses a thread.
    pub fn start(
        mut files: JournalFiles,
        done: impl Fn(Result<(), &str>) + Send + 'static,
    ) -> io::Result<Self> {
        let (work, all) = channel::<Persist>();
        thread::Builder::new().name("journal".to_owned()).spawn(move || {
            for what in all {
                match files.persist(&what) {
                    Ok(()) => done(Ok(())),
                    Err(error) => done(Err(&error.to_string())),
                }
            }
        })?;
        Ok(Self { work })
    }

    /// Has this done.
    pub fn write(&self, what: Persist) {
        // The thread goes only with this.
        let _ = self.work.send(what);
    }
}
