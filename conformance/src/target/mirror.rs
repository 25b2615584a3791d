//! The recording as its own target: it says what the engine said, when the client has done what it did before.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::{Said, Target};
use crate::session::{Event, Session, Side, What};

/// The engine of a recording.
#[derive(Debug)]
pub struct Mirror {
    events: VecDeque<Event>,
    said: VecDeque<Said>,
    now: Duration,
    open: BTreeSet<u32>,
    /// The bytes of a chunk that clients may send in several pieces.
    owed: usize,
}

impl Mirror {
    /// The engine of that recording.
    #[must_use]
    pub fn new(session: &Session) -> Self {
        Self {
            events: session.events.iter().cloned().collect(),
            said: VecDeque::new(),
            now: Duration::ZERO,
            open: BTreeSet::new(),
            owed: 0,
        }
    }

    /// The client has done its part of the next event; what the engine said behind it follows.
    fn acted(&mut self) {
        self.events.pop_front();
        while let Some(event) = self.events.front() {
            let said = match &event.what {
                What::Data(Side::Engine, bytes) => Said::Data(event.conn, bytes.clone()),
                What::End(Side::Engine) | What::Close(Side::Engine) => Said::End(event.conn),
                _ => break,
            };
            if self.open.contains(&event.conn) {
                self.said.push_back(said);
            }
            self.events.pop_front();
        }
    }
}

impl Target for Mirror {
    fn open(&mut self, conn: u32) -> Result<(), String> {
        self.open.insert(conn);
        self.acted();
        Ok(())
    }

    fn send(&mut self, _: u32, bytes: &[u8]) {
        if self.owed == 0
            && let Some(Event { what: What::Data(Side::Client, recorded), .. }) =
                self.events.front()
        {
            self.owed = recorded.len();
        }
        self.owed = self.owed.saturating_sub(bytes.len());
        if self.owed == 0 {
            self.acted();
        }
    }

    fn end(&mut self, _: u32) {
        self.acted();
    }

    fn close(&mut self, conn: u32) {
        self.open.remove(&conn);
        self.acted();
    }

    fn next(&mut self, limit: Duration) -> Option<Said> {
        let said = self.said.pop_front();
        if said.is_none() {
            self.now += limit;
        }
        said
    }

    fn now(&self) -> Duration {
        self.now
    }
}
