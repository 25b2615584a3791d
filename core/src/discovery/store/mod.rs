//! What keeps registrations: the trait, the stores that come with it, and what every store has to pass.

pub mod etcd;
mod exchange;
mod journal;
mod memory;
mod mirror;
mod suite;
mod value;
pub mod zookeeper;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

pub use etcd::Etcd;
pub use exchange::{Exchange, Progress};
pub use journal::{Journal, JournalError};
pub use memory::Memory;
pub use suite::{suite, suite_late};
pub use zookeeper::Zookeeper;

use super::{Document, Event, Expect, Registration, Registry, SubscriptionId};
use crate::job::Upstream;
use crate::time::Instant;

/// Keeps who is there, until when, and tells of changes: the Rust form of the original's `DiscoveryBackend`.
///
/// Requests carry a number, and are answered by a [`StoreEvent::Done`] with that number: at once, or when a disk or another
/// server has answered. A request that is answered with `Ok` holds, whatever happens to this process from then on, as far as
/// the store promises that.
///
/// A subscription is read with [`next`](Store::next): what is there, as its [`Interest`] says; [`Event::Current`];
/// then every change, in order. [`StoreEvent::Ready`] says that there is something to read, and says so again only after
/// `next` has returned `None`. What waits for one that is not read is bounded: the latest state of each instance,
/// leader and document.
///
/// Names, addresses and documents have been checked before they come here. A [`Registry`] does most of the work.
pub trait Store: Send {
    /// Registers an instance: new, with other attributes, or the same again, which is its heartbeat.
    fn register(&mut self, now: Instant, request: u64, registration: Registration);

    /// Ends a registration. One that is not there is a [`StoreError::NotFound`].
    fn unregister(&mut self, now: Instant, request: u64, service: &str, address: &str);

    /// Keeps a document of a service's, or (`None`) removes it, if it is as `expect` says: else the request fails with
    /// [`StoreError::Exists`] or [`StoreError::Precondition`]. It is answered by a [`StoreEvent::Kept`], by which time the
    /// [`registry`](Self::registry) has it. A document that is kept again as it was has another index all the same.
    fn keep(
        &mut self,
        now: Instant,
        request: u64,
        service: &str,
        which: Document,
        text: Option<String>,
        expect: Expect,
    );

    /// What is known, to look at.
    ///
    /// # Errors
    ///
    /// It is not known what there is: not yet, or not any more.
    fn registry(&self) -> Result<&Registry, StoreError>;

    /// Begins to tell of what is asked for.
    fn subscribe(&mut self, now: Instant, interest: Interest<'_>) -> SubscriptionId;

    /// Ends that.
    fn unsubscribe(&mut self, subscription: SubscriptionId);

    /// What a subscription is told next.
    fn next(&mut self, subscription: SubscriptionId) -> Option<Event>;

    /// As [`Registry::told`]: up to where a subscription that is gone on with later need not be told again. `None` from a store
    /// that always tells all.
    fn told(&self, subscription: SubscriptionId) -> Option<u64> {
        let _ = subscription;
        None
    }

    /// Takes note of something that has happened outside.
    fn handle(&mut self, now: Instant, input: StoreInput<'_>);

    /// What there is to tell next, or `None` when that is all.
    fn poll(&mut self) -> Option<StoreEvent>;

    /// What is to be done with the store's file: then report [`StoreInput::Persisted`] or [`StoreInput::PersistFailed`]. There is
    /// only one such thing at a time. To be asked when [`poll`](Store::poll) has nothing more to tell and all that has come is
    /// handled, so that what comes together is written together.
    fn poll_persist(&mut self) -> Option<Persist> {
        None
    }

    /// When [`StoreInput::Timeout`] is next due.
    fn poll_timeout(&self) -> Option<Instant>;
}

/// What a subscription is about.
///
/// Who wants to go on where another subscription of the same store ended names the change that had been told last
/// ([`Store::told`]): if that is not too long ago, only what has changed since is told, then [`Event::Resumed`]. What is said to
/// be gone, or updated, may be something that it was not told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest<'a> {
    /// A service's instances, the newest first, and nothing else: what a client of the RPC is told.
    Instances(&'a str),
    /// A service whole: its instances, the oldest first; who leads it; its documents.
    Service(&'a str, Option<u64>),
    /// All services whole, one behind the other.
    All(Option<u64>),
}

/// What a store is told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreInput<'a> {
    /// [`Store::poll_timeout`] is reached. Harmless at any other time.
    Timeout,
    /// What [`Store::poll_persist`] gave is done, and safe.
    Persisted,
    /// It could not be done, for this reason. How much of it was done is not known.
    PersistFailed(&'a str),
    /// What has come of a [`StoreEvent::Exchange`] of that number.
    Exchange(u64, Progress<'a>),
    /// The connection of a [`StoreEvent::Connect`] of that number is there.
    Connected(u64),
    /// These bytes have come on it, cut anywhere, never none.
    Received(u64, &'a [u8]),
    /// It cannot be had, or is gone, for this reason; nothing follows.
    Lost(u64, &'a str),
}

/// What a store tells.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreEvent {
    /// That request is answered.
    Done(u64, Result<(), StoreError>),
    /// That request of [`Store::keep`] is answered: the document has changed at that index. 0: it was not there, and is not.
    Kept(u64, Result<u64, StoreError>),
    /// That subscription has something to read.
    Ready(SubscriptionId),
    /// That subscription cannot be gone on with.
    Ended(SubscriptionId, StoreError),
    /// For the log: something went wrong, or is right again.
    Warn(String),
    /// Make this request of another server, and report with [`StoreInput::Exchange`] what comes of it. The store watches the time.
    Exchange(Exchange),
    /// Nobody wants to know any more what comes of the exchange of that number: close its connection.
    Abandon(u64),
    /// Open a connection, for a protocol that is not HTTP, and report with [`StoreInput::Connected`], [`StoreInput::Received`] and
    /// [`StoreInput::Lost`] what comes of it. The store watches the time. Its end for reading is its end.
    Connect {
        /// The store's number for it, which it uses only once.
        id: u64,
        /// To whom.
        upstream: Arc<Upstream>,
    },
    /// Write this to the connection of that number, which is there.
    Write(u64, Vec<u8>),
    /// Close the connection of that number; nothing is to be reported of it any more.
    Close(u64),
}

/// What is to be done with a store's file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Persist {
    /// Write this to its end, and to the disk (`fdatasync`).
    Append(Vec<u8>),
    /// Write this to the end of the file that is to take its place, and to the disk. `first`: that file begins with it.
    AppendNext {
        /// What to write.
        bytes: Vec<u8>,
        /// Whether what that file held before is void.
        first: bool,
    },
    /// Put the other file in its place, at once (`rename`), and make that safe (`fsync` of the folder).
    Replace,
}

/// Why a request failed, or a subscription ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such registration; the store's index.
    NotFound {
        /// The index of the last change.
        index: u64,
    },
    /// The document is there, and was not to be.
    Exists {
        /// The index of its last change.
        index: u64,
    },
    /// The document is not as it was to be.
    Precondition {
        /// The index of its last change, 0 if it is not there.
        index: u64,
    },
    /// The store cannot do it now, for this reason. It may do it later.
    Unavailable(String),
}

/// What comes of changing a document that was last changed at `found`, if it is there.
const fn check_expected(found: Option<u64>, expect: Expect) -> Result<(), StoreError> {
    match (found, expect) {
        (_, Expect::Any) | (None, Expect::Absent) => Ok(()),
        (Some(index), Expect::Is(expected)) if index == expected => Ok(()),
        (Some(index), Expect::Absent) => Err(StoreError::Exists { index }),
        (Some(index), Expect::Is(_)) => Err(StoreError::Precondition { index }),
        (None, Expect::Is(_)) => Err(StoreError::Precondition { index: 0 }),
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { index } => write!(f, "not registered at index {index}"),
            Self::Exists { index } => write!(f, "there already, since index {index}"),
            Self::Precondition { index: 0 } => write!(f, "not there"),
            Self::Precondition { index } => write!(f, "changed at index {index}"),
            Self::Unavailable(reason) => write!(f, "{reason}"),
        }
    }
}

impl core::error::Error for StoreError {}
