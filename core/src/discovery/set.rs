//! What a client knows of a service.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::rpc::{Attributes, Update};

/// The instances of a service, from the updates of a subscription; also of several, one after the other.
///
/// A connection breaks, and another subscription begins: what was known stays until the new one says its marker, and who was
/// not named before that is gone.
///
/// ```
/// use libswarm::discovery::{Change, ServiceSet};
/// use libswarm::rpc::Update;
///
/// let mut set = ServiceSet::new();
/// let update = Update { name: "web".into(), address: "a:80".into(), online: true, attributes: None, created: 7 };
/// assert!(matches!(&set.apply(&update)[..], [Change::Came(member)] if member.address == "a:80"));
/// set.apply(&Update::MARKER);
/// assert_eq!(set.leader().unwrap().created, 7);
///
/// set.restart();
/// assert!(matches!(&set.apply(&Update::MARKER)[..], [Change::Gone(_), Change::Current]));
/// ```
#[derive(Clone, Default, Debug)]
pub struct ServiceSet {
    members: BTreeMap<String, Member>,
    by_age: BTreeSet<(u64, String)>,
    /// Who was known before the subscription began, and was not named since.
    unnamed: BTreeSet<String>,
    current: bool,
    /// Only instances with all of these are members.
    filter: Attributes,
    bytes: usize,
}

/// An instance, as a client knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its address.
    pub address: String,
    /// Its attributes.
    pub attributes: Option<Attributes>,
    /// When it came: the lower, the older.
    pub created: u64,
}

/// What has become of a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// An instance is there that was not there before.
    Came(Member),
    /// It is another one at the same address, or has other attributes.
    Changed(Member),
    /// It is gone.
    Gone(Member),
    /// All that are there are known.
    Current,
}

impl ServiceSet {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one, of those instances only that have these attributes and perhaps others.
    #[must_use]
    pub fn filtered(filter: Attributes) -> Self {
        Self { filter, ..Self::default() }
    }

    /// About how many bytes its instances need.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets all instances.
    pub(super) fn clear(&mut self) {
        *self = Self::filtered(core::mem::take(&mut self.filter));
    }

    /// Another subscription begins.
    pub fn restart(&mut self) {
        self.unnamed = self.members.keys().cloned().collect();
        self.current = false;
    }

    /// Takes an update, and gives what it changes.
    pub fn apply(&mut self, update: &Update<'_>) -> Vec<Change> {
        if update.is_marker() {
            let mut changes: Vec<_> = core::mem::take(&mut self.unnamed)
                .iter()
                .filter_map(|address| self.remove(address).map(Change::Gone))
                .collect();
            self.current = true;
            changes.push(Change::Current);
            return changes;
        }
        self.unnamed.remove(&*update.address);
        let matches = || has_all(update.attributes.as_deref(), &self.filter);
        if !update.online || !matches() {
            return self.remove(&update.address).map(Change::Gone).into_iter().collect();
        }
        let member = Member {
            address: update.address.to_string(),
            attributes: update.attributes.as_deref().cloned(),
            created: update.created,
        };
        let before = self.remove(&member.address);
        self.bytes += size(&member);
        self.by_age.insert((member.created, member.address.clone()));
        self.members.insert(member.address.clone(), member.clone());
        match before {
            None => [Change::Came(member)].into(),
            Some(before) if before == member => Vec::new(),
            Some(_) => [Change::Changed(member)].into(),
        }
    }

    fn remove(&mut self, address: &str) -> Option<Member> {
        let member = self.members.remove(address)?;
        self.by_age.remove(&(member.created, member.address.clone()));
        self.bytes -= size(&member);
        Some(member)
    }

    /// Whether all that are there are known: the marker has come.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        self.current
    }

    /// The instances, the oldest first.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.by_age.iter().filter_map(|(_, address)| self.members.get(address))
    }

    /// The instance of that address.
    #[must_use]
    pub fn get(&self, address: &str) -> Option<&Member> {
        self.members.get(address)
    }

    /// The oldest instance.
    #[must_use]
    pub fn leader(&self) -> Option<&Member> {
        self.members().next()
    }

    /// The instances that have these attributes and perhaps others, the oldest first.
    pub fn select<'a>(&'a self, wanted: &'a Attributes) -> impl Iterator<Item = &'a Member> {
        self.members().filter(move |member| has_all(member.attributes.as_ref(), wanted))
    }
}

fn has_all(attributes: Option<&Attributes>, wanted: &Attributes) -> bool {
    let has = |key| attributes.and_then(|all| all.get(key));
    wanted.iter().all(|(key, value)| has(key) == Some(value))
}

/// What a member needs: its address stands in both orders.
fn size(member: &Member) -> usize {
    let attributes = member.attributes.iter().flatten();
    let attributes: usize = attributes.map(|(key, value)| key.len() + value.len() + 64).sum();
    2 * member.address.len() + attributes + 256
}

#[cfg(test)]
mod tests {
    use super::*;

    fn online(address: &str, created: u64, attributes: Option<Attributes>) -> Update<'static> {
        Update {
            name: "web".into(),
            address: address.to_string().into(),
            online: true,
            attributes: attributes.map(alloc::borrow::Cow::Owned),
            created,
        }
    }

    fn offline(address: &str) -> Update<'static> {
        Update { online: false, ..online(address, 0, None) }
    }

    fn shown(changes: &[Change]) -> String {
        let words = changes.iter().map(|change| match change {
            Change::Came(member) => alloc::format!("+{}", member.address),
            Change::Changed(member) => alloc::format!("~{}", member.address),
            Change::Gone(member) => alloc::format!("-{}", member.address),
            Change::Current => "=".into(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_leader_is_the_oldest() {
        let mut set = ServiceSet::new();
        for (update, changes, leader) in [
            (online("b", 5, None), "+b", Some("b")),
            (online("a", 3, None), "+a", Some("a")),
            (Update::MARKER, "=", Some("a")),
            (online("c", 7, None), "+c", Some("a")),
            (offline("a"), "-a", Some("b")),
            (offline("a"), "", Some("b")),
            // One that came back is another one.
            (online("b", 9, None), "~b", Some("c")),
            (online("b", 9, None), "", Some("c")),
            (offline("c"), "-c", Some("b")),
            (offline("b"), "-b", None),
        ] {
            assert_eq!(shown(&set.apply(&update)), changes);
            assert_eq!(set.leader().map(|member| &*member.address), leader);
        }
    }

    #[test]
    fn another_subscription_ends_those_it_does_not_name() {
        let mut set = ServiceSet::new();
        for update in
            [online("a", 1, None), online("b", 2, None), online("c", 3, None), Update::MARKER]
        {
            set.apply(&update);
        }
        set.restart();
        assert!(!set.is_current());
        assert_eq!(shown(&set.apply(&online("b", 2, None))), "");
        assert_eq!(shown(&set.apply(&online("c", 9, None))), "~c");
        assert_eq!((set.members().count(), set.leader().unwrap().created), (3, 1));
        assert_eq!(shown(&set.apply(&Update::MARKER)), "-a =");
        assert!(set.is_current() && set.get("a").is_none());
    }

    #[test]
    fn attributes_select() {
        let attributes = |pairs: &[(&str, &str)]| -> Attributes {
            pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
        };
        let mut set = ServiceSet::new();
        set.apply(&online("b", 2, Some(attributes(&[("zone", "a"), ("x", "y")]))));
        set.apply(&online("a", 1, Some(attributes(&[("zone", "a")]))));
        set.apply(&online("c", 3, None));
        let select = |wanted: &[(&str, &str)]| -> Vec<String> {
            set.select(&attributes(wanted)).map(|member| member.address.clone()).collect()
        };
        assert_eq!(select(&[("zone", "a")]), ["a", "b"]);
        assert_eq!(select(&[("zone", "a"), ("x", "y")]), ["b"]);
        assert_eq!(select(&[("zone", "b")]), [""; 0]);
        assert_eq!(select(&[]).len(), 3);
        let mut only = ServiceSet::filtered(attributes(&[("zone", "a")]));
        for (update, changes) in [
            (online("a", 1, None), ""),
            (online("a", 1, Some(attributes(&[("zone", "a"), ("x", "y")]))), "+a"),
            (online("b", 2, Some(attributes(&[("zone", "b")]))), ""),
            (online("c", 3, Some(attributes(&[("zone", "a")]))), "+c"),
            (offline("b"), ""),
            (online("a", 1, Some(attributes(&[("zone", "b")]))), "-a"),
            (offline("c"), "-c"),
        ] {
            assert_eq!(shown(&only.apply(&update)), changes);
        }
        assert_eq!(only.bytes(), 0);
    }
}
