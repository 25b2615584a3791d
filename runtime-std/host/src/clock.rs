//! The one place where time comes from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libswarm::Instant;

/// A monotonic clock whose zero is its own start.
///
/// It is read once for each input of a node. That of the operating system may be set while it runs; this one only ever
/// goes forward, and tells the time of day by [`epoch`](Self::epoch) alone.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
    epoch: Duration,
}

impl Clock {
    /// Starts at zero, now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where wall time enters")]
    pub fn start() -> Self {
        let start = std::time::Instant::now();
        Self { start, epoch: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::new(self.start.elapsed())
    }

    /// What time of day it was at the start, as time since the Unix epoch.
    #[must_use]
    pub const fn epoch(&self) -> Duration {
        self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_zero_and_goes_forward() {
        let clock = Clock::start();
        let first = clock.now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(clock.now() - first >= Duration::from_millis(2));
        assert!(first.since_epoch() < Duration::from_secs(60));
        let year_2020 = Duration::from_secs(1_577_836_800);
        assert!(clock.epoch() > year_2020, "{:?}", clock.epoch());
    }
}
