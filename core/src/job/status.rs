//! How a job ends.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

/// How a job ended: a Docker job engine's status, with the words that go with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Status {
    /// Status 0: it did what it was asked to.
    Ok,
    /// Status 1: it failed, for this reason.
    Failed(Failure),
    /// Status 127: nobody handles a job of that name. Lists the backends that were asked.
    NotHandled {
        /// Their names, in the order they were asked, separated by commas; empty if there was none.
        asked: String,
    },
}

impl Status {
    /// A failure of that kind.
    pub fn failed(kind: FailureKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Failed(Failure { kind, message: message.into() })
    }

    /// The job engine's number: 0 OK, 1 error, 127 not found.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed(_) => 1,
            Self::NotHandled { .. } => 127,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("OK"),
            Self::Failed(failure) => failure.fmt(f),
            Self::NotHandled { .. } => f.write_str("no backend handles it"),
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Why a job failed, in a form that the frontend can translate into its own protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What kind of failure it is; decides the HTTP status.
    pub kind: FailureKind,
    /// What a person reads: what was wrong, with which value.
    pub message: Cow<'static, str>,
}

impl Failure {
    /// A failure of that kind.
    pub fn new(kind: FailureKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Failure {}

/// The kinds of failure that the Docker engine tells apart (its `errdefs`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FailureKind {
    /// The request makes no sense: HTTP 400.
    InvalidParameter,
    /// Credentials are missing or wrong: 401.
    Unauthorized,
    /// Understood and refused: 403.
    Forbidden,
    /// The thing that is asked for is not there: 404.
    NotFound,
    /// The state of the thing does not allow it: 409.
    Conflict,
    /// Nothing to do, such as starting what runs: 304, which has no body.
    NotModified,
    /// The body is larger than the backend takes: 413.
    TooLarge,
    /// The engine itself failed: 500.
    System,
    /// The engine does not offer this: 501.
    NotImplemented,
    /// Not now, such as a swarm call outside a swarm: 503.
    Unavailable,
}
