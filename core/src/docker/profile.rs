//! What an engine says of itself on every response.

use alloc::borrow::Cow;
use core::ops::RangeInclusive;

use super::version::ApiVersion;

/// Which engine answers: the versions it speaks and the headers that name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// The newest API version offered, sent as `Api-Version`.
    pub api_version: ApiVersion,
    /// The oldest API version offered.
    pub min_api_version: ApiVersion,
    /// The value of the `Server` header, such as `Docker/20.10.24 (linux)`.
    pub server: Cow<'static, str>,
    /// The value of the `Ostype` header.
    pub os_type: Cow<'static, str>,
    /// The value of `Docker-Experimental`.
    pub experimental: bool,
}

impl Profile {
    /// The API versions on offer.
    #[must_use]
    pub const fn versions(&self) -> RangeInclusive<ApiVersion> {
        self.min_api_version..=self.api_version
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            api_version: ApiVersion::MAX,
            min_api_version: ApiVersion::MIN,
            server: Cow::Borrowed(concat!("libswarm/", env!("CARGO_PKG_VERSION"), " (linux)")),
            os_type: Cow::Borrowed("linux"),
            experimental: false,
        }
    }
}
