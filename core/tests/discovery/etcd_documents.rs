//! Documents in etcd, against the model: shared, compared and set, and kept through its troubles.

use std::time::Duration;

use libswarm::discovery::{Expect, StoreError, TTL};

use crate::etcd::Member;
use crate::etcd_store::Bench;

const SECOND: Duration = Duration::from_secs(1);

fn text(bench: &Bench, at: usize) -> Option<String> {
    bench.document(at).map(|(text, _)| text)
}

#[test]
fn two_see_the_same_and_one_has_its_way() {
    let mut bench = Bench::new(2, 1);
    let first = bench.keep(0, Some("1"), Expect::Absent);
    let Some(Ok(index)) = bench.kept.remove(&first) else { panic!("it is not kept") };
    assert_eq!(bench.document(1), Some(("1".into(), index)), "etcd's revision is the index");
    // What the other has not heard of counts all the same.
    bench.model().watches_lag = true;
    let second = bench.keep(0, Some("2"), Expect::Is(index));
    let third = bench.keep(1, Some("3"), Expect::Is(index));
    assert_eq!(text(&bench, 1).as_deref(), Some("1"));
    bench.model().watches_lag = false;
    bench.pass(SECOND);
    assert_eq!(bench.kept.remove(&second), Some(Ok(index + 1)));
    let late = StoreError::Precondition { index: index + 1 };
    assert_eq!(bench.kept.remove(&third), Some(Err(late)));
    assert_eq!([text(&bench, 0), text(&bench, 1)], [Some("2".into()), Some("2".into())]);
    bench.pass(10 * TTL);
    bench.replace(1);
    assert_eq!(bench.document(1), Some(("2".into(), index + 1)), "it hangs on no lease");
    let gone = bench.keep(1, None, Expect::Any);
    assert!(matches!(bench.kept.remove(&gone), Some(Ok(1..))));
    assert_eq!([text(&bench, 0), text(&bench, 1)], [None, None]);
}

/// Who was first is told so, though nobody heard the answer; who was not is not taken for it.
#[test]
fn answers_that_are_lost_do_no_harm() {
    for lost in 1..5 {
        let mut bench = Bench::new(2, 1);
        bench.model().lost_answers = lost;
        let first = bench.keep(0, Some("same"), Expect::Absent);
        let second = bench.keep(1, Some("same"), Expect::Absent);
        bench.pass(3 * SECOND);
        let results = [first, second].map(|request| bench.kept.remove(&request).unwrap());
        let won = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(won, 1, "{lost}: {results:?}");
        bench.model().lost_answers = lost;
        let gone = bench.keep(0, None, Expect::Any);
        bench.pass(3 * SECOND);
        assert!(matches!(bench.kept.remove(&gone), Some(Ok(_))), "{lost}");
        assert_eq!([text(&bench, 0), text(&bench, 1)], [None, None]);
    }
}

#[test]
fn what_happened_while_nobody_listened_is_found_out() {
    let mut bench = Bench::new(2, 3);
    for (which, text) in [(0, "old"), (1, "old")] {
        let kept = bench.keep(which, Some(text), Expect::Any);
        assert!(matches!(bench.kept.remove(&kept), Some(Ok(_))));
    }
    bench.model().compact();
    bench.model().restart();
    let new = r#"{"text":"new"}"#;
    bench.model().put_by_others("/discoverd/services/web/meta", new);
    bench.model().put_by_others("/discoverd/services/web/unknown", new);
    bench.model().put_by_others("/discoverd/other/x", "x");
    bench.model().compact();
    bench.pass(2 * SECOND);
    assert_eq!([text(&bench, 0), text(&bench, 1)], [Some("new".into()), Some("new".into())]);
    bench.model().put_by_others("/discoverd/services/web/meta", "nonsense");
    bench.settle();
    assert_eq!(text(&bench, 0), None);
    bench.model().wipe();
    bench.pass(3 * SECOND);
    assert_eq!([text(&bench, 0), text(&bench, 1)], [None, None]);
    // What stands where nothing of ours does is nobody's business.
    let odd = |line: &&String| line.contains("/discoverd/other");
    assert_eq!(bench.stores[0].warnings.iter().filter(odd).count(), 0);
}

/// It is known what there is as soon as it was read, and until that is too long ago.
#[test]
fn what_is_not_known_is_not_shown() {
    let mut bench = Bench::without_stores(1);
    bench.set(0, Member::Down);
    let at = bench.open();
    let error = bench.stores[at].store.registry().unwrap_err();
    assert!(error.to_string().starts_with("etcd cannot be watched: "), "{error}");
    let request = bench.keep(at, Some("x"), Expect::Any);
    bench.pass(7 * SECOND);
    assert!(matches!(bench.kept.remove(&request), Some(Err(StoreError::Unavailable(_)))));
    bench.set(0, Member::Up);
    bench.pass(2 * SECOND);
    assert!(bench.stores[at].store.registry().is_ok());
    bench.set(0, Member::Down);
    bench.pass(TTL - SECOND);
    assert!(bench.stores[at].store.registry().is_ok());
    bench.pass(2 * SECOND);
    assert!(bench.stores[at].store.registry().is_err());
    bench.set(0, Member::Up);
    bench.pass(2 * SECOND);
    assert!(bench.stores[at].store.registry().is_ok());
}
