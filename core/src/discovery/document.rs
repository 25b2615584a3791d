//! Small texts beside a service's instances.

use alloc::sync::Arc;

/// The longest text of a document, in bytes.
pub const LONGEST_DOCUMENT: usize = 64 * 1024;

/// What is kept for a service besides its instances, each as a text of at most [`LONGEST_DOCUMENT`] bytes that stays until it is
/// removed, whoever has gone meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Document {
    /// That the service was created, and how its leader is found: `oldest`, or `manual`, when only the instance that the
    /// [`Leader`](Self::Leader) document names can lead.
    Service,
    /// Its metadata: any JSON.
    Meta,
    /// Who is to lead it: an instance's address. While that instance is not there, the oldest leads, or nobody if the
    /// [`Service`](Self::Service) document is `manual`.
    Leader,
}

impl Document {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Service, Self::Meta, Self::Leader];

    /// Its name, as stores have it in their keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Meta => "meta",
            Self::Leader => "leader",
        }
    }

    /// The document of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|document| document.name() == name)
    }
}

/// A document that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Its text.
    pub text: Arc<str>,
    /// The store's index when it last changed.
    pub index: u64,
}

/// How a document has to be for it to be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// In any way, or not there.
    Any,
    /// Not there.
    Absent,
    /// As it was left at that index.
    Is(u64),
}
