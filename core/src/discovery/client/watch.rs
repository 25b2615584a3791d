//! What followers of a set are told, however slowly they read.

use alloc::collections::BTreeMap;
use alloc::string::String;

use super::SetId;
use crate::discovery::{Change, Member, ServiceSet};

/// A follower of a set, minted by [`Client::watch`](super::Client::watch).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WatchId {
    pub(super) set: SetId,
    pub(super) nth: u64,
}

/// What a follower has not been told yet: at most one change of each instance, in the order of the latest.
#[derive(Default, Debug)]
pub(super) struct Watch {
    pending: BTreeMap<u64, Change>,
    places: BTreeMap<String, u64>,
    marker: Option<u64>,
    next: u64,
}

impl Watch {
    pub(super) fn add(&mut self, change: &Change) {
        let place = self.next;
        self.next += 1;
        let (Change::Came(member) | Change::Changed(member) | Change::Gone(member)) = change else {
            if let Some(before) = self.marker.replace(place) {
                self.pending.remove(&before);
            }
            self.pending.insert(place, Change::Current);
            return;
        };
        let before = self.places.remove(&member.address);
        let before = before.and_then(|before| self.pending.remove(&before));
        let member = member.clone();
        let now = match (before, change) {
            (None, change) => change.clone(),
            // It was never told of, and need not be.
            (Some(Change::Came(_)), Change::Gone(_)) => return,
            (Some(Change::Came(_)), _) => Change::Came(member),
            (Some(_), Change::Gone(_)) => Change::Gone(member),
            (Some(_), _) => Change::Changed(member),
        };
        let (Change::Came(member) | Change::Changed(member) | Change::Gone(member)) = &now else {
            return;
        };
        self.places.insert(member.address.clone(), place);
        self.pending.insert(place, now);
    }

    pub(super) fn next(&mut self) -> Option<Change> {
        let (_, change) = self.pending.pop_first()?;
        match &change {
            Change::Current => self.marker = None,
            Change::Came(member) | Change::Changed(member) | Change::Gone(member) => {
                self.places.remove(&member.address);
            }
        }
        Some(change)
    }
}

/// Who leads a service, one after the other.
///
/// ```
/// use libswarm::discovery::ServiceSet;
/// use libswarm::discovery::client::Leaders;
/// use libswarm::rpc::Update;
///
/// let (mut set, mut leaders) = (ServiceSet::new(), Leaders::default());
/// let web = Update { name: "web".into(), address: "a:80".into(), online: true, attributes: None, created: 7 };
/// set.apply(&web);
/// // Somebody older may still be named.
/// assert_eq!(leaders.next(&set), None);
/// set.apply(&Update::MARKER);
/// assert_eq!(leaders.next(&set).unwrap().address, "a:80");
/// assert_eq!(leaders.next(&set), None);
/// ```
#[derive(Clone, Default, Debug)]
pub struct Leaders {
    told: Option<(String, u64)>,
}

impl Leaders {
    /// The leader, if it is another one than before and the set is [current](ServiceSet::is_current). An instance that was
    /// gone and came back is another one.
    pub fn next(&mut self, set: &ServiceSet) -> Option<Member> {
        if !set.is_current() {
            return None;
        }
        let Some(leader) = set.leader() else {
            self.told = None;
            return None;
        };
        let is_told = |(address, created): &(String, u64)| {
            *address == leader.address && *created == leader.created
        };
        if self.told.as_ref().is_some_and(is_told) {
            return None;
        }
        self.told = Some((leader.address.clone(), leader.created));
        Some(leader.clone())
    }
}
