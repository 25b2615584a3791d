//! What changed between the versions of the API, and which engine announces which.

use crate::docker::version::ApiVersion;
use crate::job::{Failure, FailureKind};
use alloc::borrow::Cow;

/// How requests of one API version are answered: up to 1.41 as dockerd 20.10.24 was seen to do it, above as the
/// specification and the API's history say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Dialect(ApiVersion);

/// The dialect of the newest version.
#[cfg(test)]
pub(super) const NEWEST: Dialect = Dialect(ApiVersion::MAX);

impl Dialect {
    pub(super) const fn new(version: ApiVersion) -> Self {
        Self(version)
    }

    /// 1.41 and older.
    pub(super) fn is_legacy(self) -> bool {
        self.before(42)
    }

    /// Older than 1.`minor`.
    pub(super) fn before(self, minor: u16) -> bool {
        self.0 < ApiVersion::new(1, minor)
    }

    /// `value` in versions older than 1.`minor`.
    pub(super) fn until<T>(self, minor: u16, value: T) -> Option<T> {
        self.before(minor).then_some(value)
    }

    /// `value` from 1.`minor` on.
    pub(super) fn since<T>(self, minor: u16, value: T) -> Option<T> {
        (!self.before(minor)).then_some(value)
    }

    /// The failure that a parameter which cannot be understood is: the old engine had an answer of 500 for most of them.
    pub(super) fn invalid(self, message: impl Into<Cow<'static, str>>) -> Failure {
        let kind =
            if self.is_legacy() { FailureKind::System } else { FailureKind::InvalidParameter };
        Failure::new(kind, message)
    }
}

/// The engine that is simulated.
pub(super) struct Release {
    pub(super) engine: &'static str,
    /// The header `Server`.
    pub(super) server: &'static str,
    pub(super) go: &'static str,
    pub(super) containerd: &'static str,
    pub(super) containerd_commit: &'static str,
    pub(super) runc: &'static str,
    pub(super) runc_commit: &'static str,
    pub(super) init: &'static str,
    pub(super) init_commit: &'static str,
}

impl Release {
    /// The engine that announces `version`.
    pub(super) fn announcing(version: ApiVersion) -> &'static Self {
        if Dialect(version).is_legacy() { &OLD } else { &NEW }
    }
}

static OLD: Release = Release {
    engine: "20.10.24",
    server: "Docker/20.10.24 (linux)",
    go: "go1.19.7",
    containerd: "1.6.20",
    containerd_commit: "2806fc1057397dbaeefbea0e4e17bddfbd388f38",
    runc: "1.1.5",
    runc_commit: "v1.1.5-0-gf19387a",
    init: "0.19.0",
    init_commit: "de40ad0",
};

static NEW: Release = Release {
    engine: "29.5.0",
    server: "Docker/29.5.0 (linux)",
    go: "go1.26.2",
    containerd: "v2.2.2",
    containerd_commit: "301b2dac98f15c27117da5c8af12118a041a31d9",
    runc: "1.3.4",
    runc_commit: "v1.3.4-0-gd6d73eb8",
    init: "0.19.0",
    init_commit: "de40ad0",
};

#[cfg(test)]
mod tests {
    use super::{ApiVersion, Dialect, Release};

    #[test]
    fn the_engine_fits_the_version() {
        let engine = |minor| Release::announcing(ApiVersion::new(1, minor)).engine;
        assert_eq!((engine(24), engine(41)), ("20.10.24", "20.10.24"));
        assert_eq!((engine(42), engine(55)), ("29.5.0", "29.5.0"));
    }

    #[test]
    fn fields_come_and_go() {
        let dialect = Dialect::new(ApiVersion::new(1, 44));
        assert_eq!((dialect.until(44, 1), dialect.until(45, 1)), (None, Some(1)));
        assert_eq!((dialect.since(44, 1), dialect.since(45, 1)), (Some(1), None));
    }
}
