//! Deadlines in order. The core has one [`poll_timeout`](crate::Node::poll_timeout), so that no timer can be lost or
//! reordered on its way to a runtime.

use alloc::collections::BTreeMap;

use crate::time::Instant;

/// Names a timer, so that it can be cancelled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct TimerKey {
    at: Instant,
    /// Timers of the same moment run out in the order they were set.
    order: u64,
}

impl TimerKey {
    /// When the timer runs out.
    pub(crate) const fn at(self) -> Instant {
        self.at
    }
}

#[derive(Debug)]
pub(crate) struct Timers<T> {
    pending: BTreeMap<TimerKey, T>,
    set: u64,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Timers<T> {
    pub(crate) const fn new() -> Self {
        Self { pending: BTreeMap::new(), set: 0 }
    }

    pub(crate) fn set(&mut self, at: Instant, what: T) -> TimerKey {
        self.set += 1;
        let key = TimerKey { at, order: self.set };
        self.pending.insert(key, what);
        key
    }

    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.pending.remove(&key)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.pending.first_key_value().map(|(key, _)| key.at)
    }

    /// The earliest timer that has run out by `now`.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<(TimerKey, T)> {
        let first = self.pending.first_entry()?;
        (first.key().at <= now).then(|| first.remove_entry())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn timers_run_out_in_order_of_time_then_of_setting() {
        let at = |s| Instant::new(Duration::from_secs(s));
        let mut timers = Timers::new();
        timers.set(at(2), 'c');
        timers.set(at(1), 'a');
        timers.set(at(1), 'b');
        let gone = timers.set(at(1), 'x');
        timers.cancel(gone);
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.expired(at(0)), None);
        let mut order = alloc::string::String::new();
        while let Some((_, what)) = timers.expired(at(5)) {
            order.push(what);
        }
        assert_eq!(order, "abc");
        assert_eq!(timers.next(), None);
    }
}
