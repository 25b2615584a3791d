//! The registry: what it holds, and what it tells.

use super::*;
use crate::discovery::Interest;
use crate::discovery::feed::Topic;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use proptest::prelude::*;

fn seconds(seconds: u64) -> Instant {
    Instant::new(Duration::from_secs(seconds))
}

const GRACE: Duration = Duration::from_secs(10);

fn shown(event: &Event) -> String {
    match event {
        Event::Online(it) => format!("+{}@{}", it.address, it.created),
        Event::Offline(it) => format!("-{}", it.address),
        Event::Updated(it) => format!("~{}@{}", it.address, it.created),
        Event::Leader(it) => format!("!{}@{}", it.address, it.created),
        Event::Leaderless(_) => "!".into(),
        Event::Document(_, which, kept) => {
            let kept = kept.as_ref().map(|kept| format!("{}@{}", kept.text, kept.index));
            format!("{}:{}", which.name(), kept.unwrap_or_default())
        }
        Event::Current => "=".to_string(),
        Event::Resumed => "r".to_string(),
    }
}

fn read(registry: &mut Registry, id: SubscriptionId) -> String {
    let mut all = Vec::new();
    while let Some(event) = registry.next(id) {
        all.push(shown(&event));
    }
    all.join(" ")
}

/// A store that others write to, too, or that has lost all it had and begins anew, may say so.
#[test]
fn instances_of_the_same_index_are_all_there() {
    let mut registry = Registry::new();
    registry.put_created("web", "b", None, 5, 1);
    registry.put_created("web", "a", None, 5, 2);
    registry.put_created("web", "c", None, 7, 3);
    let all = |registry: &Registry| -> Vec<String> {
        registry.instances("web").map(|it| format!("{}@{}", it.address, it.created)).collect()
    };
    assert_eq!(all(&registry), ["a@5", "b@5", "c@7"]);
    // All who share the store name the same one.
    assert_eq!(&*registry.leader("web").unwrap().address, "a");
    let id = registry.subscribe(Interest::Instances("web"));
    assert_eq!(read(&mut registry, id), "+c@7 +b@5 +a@5 =");
    // One takes another's place, who goes, or becomes younger, only then.
    registry.put_created("web", "c", None, 5, 4);
    registry.put_created("web", "a", None, 9, 5);
    registry.remove("web", "b", 6);
    assert_eq!(all(&registry), ["c@5", "a@9"]);
    assert_eq!(&*registry.leader("web").unwrap().address, "c");
    assert_eq!(read(&mut registry, id), "+c@5 +a@9 -b");
}

#[test]
fn a_subscription_is_a_snapshot_and_what_comes_behind_it() {
    let mut registry = Registry::new();
    for (address, index) in [("a", 1), ("b", 2), ("c", 3)] {
        registry.put("web", address, None, index);
    }
    registry.put("other", "x", None, 4);
    registry.put("web", "a", Some(Attributes::new()), 5);
    let id = registry.subscribe(Interest::Instances("web"));
    // What changes while it is read comes behind the marker, once.
    assert_eq!(registry.next(id).as_ref().map(shown).as_deref(), Some("+c@3"));
    registry.remove("web", "c", 6);
    registry.remove("web", "b", 7);
    registry.put("web", "d", None, 8);
    registry.put("web", "b", None, 9);
    assert_eq!(read(&mut registry, id), "+b@2 +a@1 = -c +d@8 +b@9");
    assert_eq!(registry.next(id), None);
    registry.remove("web", "d", 10);
    assert_eq!(registry.poll_ready(), Some(id));
    assert_eq!(registry.poll_ready(), None);
    assert_eq!(read(&mut registry, id), "-d");
    let leader = registry.leader("web").unwrap();
    assert_eq!((&*leader.address, registry.index(), registry.len()), ("a", 10, 3));
}

#[test]
fn what_came_and_went_unseen_is_not_told() {
    let mut registry = Registry::new();
    let id = registry.subscribe(Interest::Instances("web"));
    assert_eq!(read(&mut registry, id), "=");
    for round in 0..100_000 {
        let address = format!("{round}");
        registry.put("web", &address, None, 2 * round + 1);
        registry.remove("web", &address, 2 * round + 2);
    }
    let subscription = registry.subscriptions.get(id.0).unwrap();
    assert_eq!((subscription.changes.len(), subscription.places.len()), (0, 0));
    assert_eq!(read(&mut registry, id), "");
}

#[test]
fn nothing_is_left_of_what_is_gone() {
    let mut registry = Registry::new();
    let id = registry.subscribe(Interest::Instances("web"));
    registry.put("web", "a", None, 1);
    registry.keep("web", "a", seconds(1));
    registry.unsubscribe(id);
    assert_eq!((registry.next(id), registry.poll_ready()), (None, None));
    assert!(registry.remove("web", "a", 2).is_some());
    assert!(registry.remove("web", "a", 3).is_none() && !registry.keep("web", "a", seconds(2)));
    assert!(registry.services.is_empty() && registry.is_empty());
    assert_eq!((registry.poll_timeout(), registry.subscriptions()), (None, 0));
}

#[test]
fn who_comes_back_is_told_what_has_changed() {
    let mut registry = Registry::new();
    for (address, index) in [("a", 1), ("b", 2), ("c", 3)] {
        registry.put("web", address, None, index);
    }
    let id = registry.subscribe(Interest::Service("web", None));
    // Who has not been told all cannot go on from there.
    assert_eq!((registry.next(id).is_some(), registry.told(id)), (true, None));
    assert_eq!(read(&mut registry, id), "+b@2 +c@3 !a@1 =");
    let told = registry.told(id);
    registry.put("web", "d", None, 4);
    registry.remove("web", "d", 5);
    registry.remove("web", "b", 6);
    registry.put("web", "b", None, 7);
    registry.remove("web", "b", 8);
    registry.remove("web", "c", 9);
    registry.put("web", "c", None, 10);
    registry.put("other", "x", None, 11);
    registry.set_document("web", Document::Meta, Some("m".into()), 12);
    registry.set_document("web", Document::Meta, None, 13);
    // That d is gone may have to be known.
    let all = "-d -b ~c@10 meta: r";
    let again = registry.subscribe(Interest::Service("web", told));
    assert_eq!(read(&mut registry, again), all);
    // Cut anywhere, and gone on with from there.
    for count in 0..=all.split(' ').count() {
        let first = registry.subscribe(Interest::Service("web", told));
        let before: Vec<String> =
            (0..count).filter_map(|_| registry.next(first).as_ref().map(shown)).collect();
        let second = registry.subscribe(Interest::Service("web", registry.told(first)));
        let behind = read(&mut registry, second);
        let both = [before.join(" ").trim_end_matches(['r', ' ']), &*behind].join(" ");
        assert_eq!(both.trim(), all, "{count}");
    }
    let changes = "-d -b ~c@10 +x@11 !x@11 meta: r";
    let everywhere = registry.subscribe(Interest::All(told));
    assert_eq!(read(&mut registry, everywhere), changes);
    // What is too long ago, and what has not been yet, is told from the start.
    for round in 0..2 * REMEMBERED as u64 {
        registry.put("web", "e", None, 20 + 2 * round);
        registry.remove("web", "e", 21 + 2 * round);
    }
    assert!(registry.gone.len() <= REMEMBERED);
    for since in [told, Some(u64::MAX)] {
        let again = registry.subscribe(Interest::Service("web", since));
        assert_eq!(read(&mut registry, again), "+a@1 +c@10 !a@1 =");
    }
}

#[test]
fn documents_in_order() {
    let mut registry = Registry::new();
    for name in ["b", "a", "c"] {
        for which in Document::ALL {
            registry.set_document(name, which, Some("x".into()), 1);
        }
    }
    let mut last: Option<(Arc<str>, Document)> = None;
    let mut seen = String::new();
    loop {
        let behind = last.as_ref().map(|(name, which)| (&**name, *which));
        let Some((name, which, _)) = registry.documents(behind).next() else { break };
        seen.push_str(&format!("{name}{} ", &which.name()[..1]));
        last = Some((Arc::clone(name), which));
    }
    assert_eq!(seen, "as am al bs bm bl cs cm cl ");
    assert_eq!(registry.services().map(ToString::to_string).collect::<String>(), "abc");
    for name in ["b", "a", "c"] {
        for which in Document::ALL {
            registry.set_document(name, which, None, 2);
        }
    }
    assert!(registry.services.is_empty());
}

#[test]
fn a_crowd_shares_one_snapshot() {
    let mut registry = Registry::new();
    registry.put("web", "a", None, 1);
    let ids: Vec<_> = (0..10).map(|_| registry.subscribe(Interest::Instances("web"))).collect();
    let snapshots: Vec<_> = ids
        .iter()
        .map(|id| registry.subscriptions.get(id.0).unwrap().snapshot.as_ref().unwrap().0.as_ptr())
        .collect();
    assert!(snapshots.iter().all(|snapshot| *snapshot == snapshots[0]));
}

#[test]
fn leases_end_to_the_tick() {
    let mut registry = Registry::new();
    for (nth, address) in ["a", "b", "c"].into_iter().enumerate() {
        registry.put("web", address, None, nth as u64 + 1);
        assert!(registry.keep("web", address, seconds(10)));
    }
    registry.keep("web", "b", seconds(15));
    // An earlier end takes nothing away.
    registry.keep("web", "b", seconds(12));
    assert_eq!(registry.poll_timeout(), Some(seconds(10)));
    assert_eq!(registry.expired(seconds(9), GRACE), None);
    for address in ["a", "c"] {
        assert_eq!(&*registry.expired(seconds(10), GRACE).unwrap().address, address);
    }
    assert_eq!(registry.expired(seconds(10), GRACE), None);
    assert_eq!(registry.poll_timeout(), Some(seconds(15)));
    assert_eq!(&*registry.expired(seconds(15), GRACE).unwrap().address, "b");
    // Named once, and there until it is removed; a heartbeat begins a new lease.
    assert_eq!((registry.poll_timeout(), registry.len()), (None, 3));
    registry.keep("web", "b", seconds(30));
    assert_eq!(registry.poll_timeout(), Some(seconds(30)));
}

#[test]
fn who_slept_spares_those_who_could_not_be_heard() {
    let mut registry = Registry::new();
    registry.put("web", "a", None, 1);
    registry.put("web", "b", None, 2);
    registry.keep("web", "a", seconds(10));
    registry.keep("web", "b", seconds(11));
    assert_eq!(registry.expired(seconds(100), GRACE), None);
    registry.keep("web", "a", seconds(110));
    assert_eq!(registry.expired(seconds(109), GRACE), None);
    for address in ["a", "b"] {
        assert_eq!(&*registry.expired(seconds(110), GRACE).unwrap().address, address);
    }
}

#[test]
fn a_hundred_thousand_idle_instances_cost_no_time() {
    let mut registry = Registry::new();
    for nth in 0..100_000_u64 {
        registry.put("web", &format!("{nth}"), None, nth + 1);
        registry.keep("web", &format!("{nth}"), seconds(10) + Duration::from_nanos(nth));
    }
    assert_eq!(registry.expired(seconds(9), GRACE), None);
    // Only those whose time has come are looked at.
    let at = seconds(10) + Duration::from_nanos(2);
    for _ in 0..3 {
        assert!(registry.expired(at, GRACE).is_some());
    }
    assert_eq!(registry.expired(at, GRACE), None);
}

/// What a subscriber that keeps a map makes of what it is told.
#[derive(Default)]
struct View(BTreeMap<String, u64>, bool, Option<String>, bool);

impl View {
    fn read(&mut self, event: &Event) {
        match event {
            Event::Online(it) => _ = self.0.insert(it.address.to_string(), it.created),
            Event::Updated(it) => {
                let before = self.0.insert(it.address.to_string(), it.created);
                assert!(before.is_some() || self.3, "{it:?} was never told");
            }
            Event::Leader(it) => self.2 = Some(it.address.to_string()),
            Event::Leaderless(_) => self.2 = None,
            Event::Document(..) => {}
            Event::Offline(it) => {
                let before = self.0.remove(&*it.address);
                assert!(before.is_some() || self.3, "{it:?} was never told");
            }
            Event::Current | Event::Resumed => {
                assert!(!core::mem::replace(&mut self.1, true), "twice");
            }
        }
    }
}

/// A reader that does not read costs no more than what there is.
#[test]
fn what_came_and_went_unread_is_not_kept() {
    let mut registry = Registry::new();
    let id = registry.subscribe(Interest::All(None));
    assert_eq!(registry.next(id), Some(Event::Current));
    for nth in 0..100 {
        let name = format!("s{nth}");
        registry.set_document(&name, Document::Service, Some("oldest".into()), 4 * nth + 1);
        registry.put(&name, "a", None, 4 * nth + 2);
        registry.remove(&name, "a", 4 * nth + 3);
        registry.set_document(&name, Document::Service, None, 4 * nth + 4);
    }
    assert!(registry.subscriptions.get(id.0).unwrap().changes.is_empty());
    assert_eq!(registry.next(id), None);
}

/// Who has not read that another one led, and is gone, still has to hear that the one before leads no more.
#[test]
fn a_leader_that_leads_no_more_is_told_to_those_who_knew_it() {
    for resumes in [false, true] {
        let mut registry = Registry::new();
        registry.set_document("web", Document::Service, Some("manual".into()), 1);
        registry.put("web", "x", None, 2);
        registry.put("web", "y", None, 3);
        registry.set_document("web", Document::Leader, Some("x".into()), 4);
        let mut id = registry.subscribe(Interest::Service("web", None));
        let mut leader = None;
        let mut read = |registry: &mut Registry, id| {
            while let Some(event) = registry.next(id) {
                match event {
                    Event::Leader(it) => leader = Some(it.address.to_string()),
                    Event::Leaderless(_) => leader = None,
                    _ => {}
                }
            }
            leader.clone()
        };
        assert_eq!(read(&mut registry, id).as_deref(), Some("x"));
        let since = registry.told(id);
        if resumes {
            registry.unsubscribe(id);
        }
        registry.set_document("web", Document::Leader, Some("y".into()), 5);
        registry.remove("web", "y", 6);
        if resumes {
            id = registry.subscribe(Interest::Service("web", since));
        }
        assert_eq!(read(&mut registry, id), None);
        assert_eq!(registry.leader("web"), None);
    }
}

proptest! {
    #[test]
    fn every_view_is_the_registry_s_in_the_end(
        operations in prop::collection::vec((0_u8..9, 0_usize..4, 0_usize..4), 0..200)
    ) {
        let mut registry = Registry::new();
        let mut views: Vec<(SubscriptionId, View)> = Vec::new();
        let mut index = 0;
        for (operation, which, count) in operations {
            let address = ["a", "b", "c", "d"][which];
            index += 1;
            match operation {
                0 | 1 => registry.put("web", address, None, index),
                2 => _ = registry.remove("web", address, index),
                3 => views.push((registry.subscribe(Interest::Instances("web")), View::default())),
                4 => views.push((registry.subscribe(Interest::All(None)), View::default())),
                5 => {
                    let text = (count > 0).then(|| address.into());
                    registry.set_document("web", Document::Leader, text, index);
                }
                6 => {
                    // One goes, and comes back.
                    let all = views.len().max(1);
                    if let Some((id, view)) = views.get_mut(which % all)
                        && let Some(since) = registry.told(*id)
                        && !matches!(registry.subscriptions.get(id.0).unwrap().topic, Topic::Instances(_))
                    {
                        registry.unsubscribe(*id);
                        *id = registry.subscribe(Interest::All(Some(since)));
                        (view.1, view.3) = (false, true);
                    }
                }
                _ => {
                    // Read some, of one.
                    let all = views.len().max(1);
                    if let Some((id, view)) = views.get_mut(which % all) {
                        for event in (0..count).map_while(|_| registry.next(*id)) {
                            view.read(&event);
                        }
                    }
                }
            }
        }
        let all: BTreeMap<String, u64> =
            registry.instances("web").map(|it| (it.address.to_string(), it.created)).collect();
        for (id, mut view) in views {
            let subscription = registry.subscriptions.get(id.0).unwrap();
            prop_assert!(subscription.changes.len() <= 10);
            let is_whole = !matches!(subscription.topic, Topic::Instances(_));
            while let Some(event) = registry.next(id) {
                view.read(&event);
            }
            prop_assert_eq!(&view.0, &all);
            if is_whole && !all.is_empty() {
                let leader = registry.leader("web").map(|it| it.address.to_string());
                prop_assert_eq!(&view.2, &leader);
            }
            prop_assert!(view.1);
        }
    }
}
