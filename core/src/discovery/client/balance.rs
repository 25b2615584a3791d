//! Choosing one of a service's instances.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::discovery::{Member, ServiceSet};
use crate::time::Instant;

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Balance {
    /// Anybody's.
    #[default]
    Random,
    /// One after the other, by age; with whom it begins is chance.
    RoundRobin,
}

/// How long an instance that could not be reached is passed over while there are others.
const REST: Duration = Duration::from_secs(5);

/// Chooses among the instances of a service.
///
/// ```
/// use libswarm::Instant;
/// use libswarm::discovery::ServiceSet;
/// use libswarm::discovery::client::{Balance, Balancer};
/// use libswarm::rpc::Update;
///
/// let mut set = ServiceSet::new();
/// for (address, created) in [("a:80", 1), ("b:80", 2)] {
///     set.apply(&Update { name: "web".into(), address: address.into(), online: true, attributes: None, created });
/// }
/// let mut balancer = Balancer::new(Balance::RoundRobin, 42);
/// let first = balancer.pick(Instant::ZERO, &set, &[]).unwrap().address.clone();
/// balancer.failed(Instant::ZERO, &first);
/// // This is for one attempt: it is made with each at most once.
/// let second = balancer.pick(Instant::ZERO, &set, &[first.clone()]).unwrap().address.clone();
/// assert!(first != second && balancer.pick(Instant::ZERO, &set, &[first, second]).is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Balancer {
    balance: Balance,
    random: fastrand::Rng,
    last: Option<(u64, String)>,
    failed: BTreeMap<String, Instant>,
}

impl Balancer {
    /// One that leaves to chance what `seed` says.
    #[must_use]
    pub fn new(balance: Balance, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { balance, random, last: None, failed: BTreeMap::new() }
    }

    /// The next one that is not among the `tried`; of those that have failed in the last 5 s only when there are no others, and
    /// then the one whose failure is the longest ago. Takes time in proportion to the number of instances.
    pub fn pick<'a>(
        &mut self,
        now: Instant,
        set: &'a ServiceSet,
        tried: &[String],
    ) -> Option<&'a Member> {
        self.failed.retain(|address, until| *until > now && set.get(address).is_some());
        let left = set.members().filter(|member| !tried.contains(&member.address));
        let (mut good, mut oldest) = (Vec::new(), None);
        for member in left {
            match self.failed.get(&member.address) {
                None => good.push(member),
                Some(until) if oldest.is_none_or(|(first, _)| until < first) => {
                    oldest = Some((until, member));
                }
                Some(_) => {}
            }
        }
        if good.is_empty() {
            return oldest.map(|(_, member)| member);
        }
        let at = match (self.balance, &self.last) {
            (Balance::Random, _) | (Balance::RoundRobin, None) => self.random.usize(..good.len()),
            (Balance::RoundRobin, Some((created, address))) => {
                let is_before =
                    |member: &&Member| (member.created, &member.address) <= (*created, address);
                good.partition_point(is_before) % good.len()
            }
        };
        let member = good[at];
        self.last = Some((member.created, member.address.clone()));
        Some(member)
    }

    /// An instance could not be reached.
    pub fn failed(&mut self, now: Instant, address: &str) {
        self.failed.insert(address.into(), now + REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::Update;
    use alloc::collections::BTreeSet;
    use alloc::format;
    use alloc::string::ToString;

    fn set(count: u64) -> ServiceSet {
        let mut set = ServiceSet::new();
        for created in 1..=count {
            let address = format!("{created}:80").into();
            let name = "web".into();
            set.apply(&Update { name, address, online: true, attributes: None, created });
        }
        set
    }

    fn picks(balancer: &mut Balancer, set: &ServiceSet, now: Instant, count: usize) -> Vec<u64> {
        (0..count).map(|_| balancer.pick(now, set, &[]).unwrap().created).collect()
    }

    #[test]
    fn in_turn_also_when_some_come_and_go() {
        let mut set = set(4);
        let mut balancer = Balancer::new(Balance::RoundRobin, 1);
        let first = picks(&mut balancer, &set, Instant::ZERO, 1)[0];
        let expected: Vec<_> = (0..8).map(|nth| (first + nth) % 4 + 1).collect();
        assert_eq!(picks(&mut balancer, &set, Instant::ZERO, 8), expected);
        let last = expected[7];
        let gone = Update {
            name: "web".into(),
            address: format!("{last}:80").into(),
            online: false,
            attributes: None,
            created: 0,
        };
        set.apply(&gone);
        assert_eq!(picks(&mut balancer, &set, Instant::ZERO, 1)[0], last % 4 + 1);
        let begins: BTreeSet<_> = (0..100)
            .map(|seed| {
                picks(&mut Balancer::new(Balance::RoundRobin, seed), &set, Instant::ZERO, 1)[0]
            })
            .collect();
        assert_eq!(begins.len(), 3);
    }

    #[test]
    fn by_chance_everybody_has_a_share() {
        let set = set(4);
        let mut balancer = Balancer::new(Balance::Random, 7);
        let mut count = [0; 5];
        for created in picks(&mut balancer, &set, Instant::ZERO, 4000) {
            count[created as usize] += 1;
        }
        assert!(count[1..].iter().all(|count| (800..1200).contains(count)), "{count:?}");
    }

    #[test]
    fn who_failed_is_passed_over_for_a_while() {
        for balance in [Balance::Random, Balance::RoundRobin] {
            let set = set(3);
            let at = |s| Instant::new(Duration::from_secs(s));
            let mut balancer = Balancer::new(balance, 3);
            balancer.failed(at(0), "2:80");
            assert!(!picks(&mut balancer, &set, at(4), 50).contains(&2));
            assert!(picks(&mut balancer, &set, at(5), 50).contains(&2));
            // When all have failed it is the first that did.
            for (second, address) in [(6, "3:80"), (7, "1:80"), (8, "2:80")] {
                balancer.failed(at(second), address);
            }
            assert_eq!(balancer.pick(at(9), &set, &[]).unwrap().address, "3:80");
            let tried = ["3:80".to_string()];
            assert_eq!(balancer.pick(at(9), &set, &tried).unwrap().address, "1:80");
            assert!(balancer.pick(at(9), &ServiceSet::new(), &[]).is_none());
            // Who is gone is forgotten.
            assert!(balancer.failed.is_empty());
        }
    }
}
