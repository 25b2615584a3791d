//! Time as a value: the core has no clock of its own.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A moment, measured from an epoch that the runtime chose (usually its own start).
///
/// The core only ever compares moments and adds durations to them, so a test or a simulated world may
/// let a day pass in one call. Moments must not go backwards; one that does is read as the latest
/// moment seen before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(Duration);

impl Instant {
    /// The runtime's epoch.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// A moment that never comes.
    pub const MAX: Self = Self(Duration::MAX);

    /// The moment `since_epoch` after the runtime's epoch.
    #[must_use]
    pub const fn new(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// How long after the runtime's epoch this moment is.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates: a deadline past the end of time is a deadline that never comes.
    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(after))
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Saturates at zero, as [`Instant::saturating_since`] does.
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:?}", self.0)
    }
}
