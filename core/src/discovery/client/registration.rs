//! What a program wants registered, and how far that is so.

use alloc::string::String;

use super::Error;
use crate::rpc::{Args, Method};
use crate::time::Instant;
use crate::timers::TimerKey;

/// A registration, as far as it is known to be one.
#[derive(Debug)]
pub struct Registration {
    pub(super) args: Args,
    /// The program wants it.
    pub(super) wanted: bool,
    /// The program has let go of it.
    pub(super) released: bool,
    /// The server may have it: until when at most.
    pub(super) held: Option<Instant>,
    /// A server has taken it, at least once.
    pub(super) taken: bool,
    /// It is logged that a heartbeat was refused.
    pub(super) refused: bool,
    /// What the server has is what is wanted, as of this connection.
    pub(super) settled: bool,
    pub(super) call: Option<Method>,
    pub(super) queued: bool,
    /// When it was said last.
    pub(super) said: Instant,
    pub(super) timer: Option<TimerKey>,
    /// When the first answer has to be there.
    pub(super) deadline: Option<TimerKey>,
    pub(super) address: Option<String>,
    pub(super) error: Option<Error>,
}

impl Registration {
    pub(super) const fn new(args: Args) -> Self {
        Self {
            args,
            wanted: false,
            released: false,
            held: None,
            taken: false,
            refused: false,
            settled: false,
            call: None,
            queued: false,
            said: Instant::ZERO,
            timer: None,
            deadline: None,
            address: None,
            error: None,
        }
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.args.name
    }

    /// The whole address, once a server has taken it and as long as it is wanted.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref().filter(|_| self.wanted)
    }

    /// Why it never came about: it is given up. A server's refusal of what was registered before is none; that is
    /// [logged](super::Notice::Refused), and tried again.
    #[must_use]
    pub const fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Whether no server has it, nor will have it before it is wanted again.
    #[must_use]
    pub const fn is_offline(&self) -> bool {
        self.call.is_none() && !self.wanted && self.held.is_none()
    }

    /// What there is to be said to the server.
    pub(super) fn due(&self) -> Option<Method> {
        if self.call.is_some() || self.settled {
            None
        } else if self.wanted {
            Some(Method::Register)
        } else {
            self.held.map(|_| Method::Unregister)
        }
    }
}
