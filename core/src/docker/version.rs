//! Versions of the Docker Engine API, as in `/v1.41/info` and in the header `Api-Version: 1.41`.

use core::fmt;

/// A version of the Docker Engine API.
///
/// The components compare as numbers: 1.5 is older than 1.24.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ApiVersion {
    /// What stands before the dot; 1 in every version published so far.
    pub major: u16,
    /// What stands after the dot.
    pub minor: u16,
}

impl ApiVersion {
    /// The oldest version served: 1.24 (Docker 1.12), the oldest that dockerd kept for years.
    pub const MIN: Self = Self::new(1, 24);
    /// The newest version served.
    pub const MAX: Self = Self::new(1, 55);

    /// The version `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Reads what [`Display`](fmt::Display) writes: two decimal numbers up to 65535 with a dot
    /// between them.
    ///
    /// A sign, a space, a leading zero or a third component makes it no version, so that each
    /// version has one spelling only.
    pub fn parse(text: &str) -> Option<Self> {
        let (version, length) = Self::leading(text.as_bytes())?;
        (length == text.len()).then_some(version)
    }

    /// Whether this version lies between [`MIN`](Self::MIN) and [`MAX`](Self::MAX).
    pub fn is_served(self) -> bool {
        self.is_within(Self::MIN, Self::MAX)
    }

    /// Whether `oldest <= self <= newest`, in fewer instructions than the derived order takes.
    #[inline]
    pub(super) fn is_within(self, oldest: Self, newest: Self) -> bool {
        let number = |version: Self| u32::from(version.major) << 16 | u32::from(version.minor);
        (number(oldest)..=number(newest)).contains(&number(self))
    }

    /// The version of a path like `/v1.41/info`, and the length of `/v1.41`.
    #[inline]
    pub(super) fn prefix(path: &[u8]) -> Option<(Self, usize)> {
        match path {
            // Every version that is served looks like this.
            [b'/', b'v', b'1', b'.', tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'/', ..] => {
                Some((Self::new(1, u16::from((tens - b'0') * 10 + (ones - b'0'))), 6))
            }
            [b'/', b'v', b'0'..=b'9', ..] => Self::rare_prefix(path),
            _ => None,
        }
    }

    #[cold]
    fn rare_prefix(path: &[u8]) -> Option<(Self, usize)> {
        let (version, length) = Self::leading(path.strip_prefix(b"/v")?)?;
        let end = 2 + length;
        (path.get(end) == Some(&b'/')).then_some((version, end))
    }

    /// The version that `bytes` begin with, and its length.
    fn leading(bytes: &[u8]) -> Option<(Self, usize)> {
        let (major, dot) = number(bytes)?;
        let rest = bytes.get(dot..)?.strip_prefix(b".")?;
        let (minor, length) = number(rest)?;
        Some((Self::new(major, minor), dot + 1 + length))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The decimal number that `bytes` begin with, and the count of its digits.
fn number(bytes: &[u8]) -> Option<(u16, usize)> {
    let mut value: u16 = 0;
    let mut digits = 0;
    while let Some(digit) = bytes.get(digits).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
    {
        if digits > 0 && value == 0 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u16::from(digit))?;
        digits += 1;
    }
    (digits > 0).then_some((value, digits))
}

#[cfg(test)]
mod tests {
    use super::ApiVersion;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn reads_versions_strictly() {
        for (text, version) in [
            ("1.41", Some((1, 41))),
            ("0.0", Some((0, 0))),
            ("1.0", Some((1, 0))),
            ("65535.65535", Some((65535, 65535))),
            ("65536.1", None),
            ("1.65536", None),
            ("1.99999999999999999999999", None),
            ("", None),
            (".", None),
            ("1", None),
            ("1.", None),
            (".41", None),
            ("1.41.0", None),
            ("1.041", None),
            ("01.41", None),
            ("00.1", None),
            ("+1.41", None),
            ("1.-41", None),
            ("1.41 ", None),
            (" 1.41", None),
            ("1,41", None),
            ("1.4١", None),
            ("v1.41", None),
        ] {
            let expected = version.map(|(major, minor)| ApiVersion::new(major, minor));
            assert_eq!(ApiVersion::parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn compares_components_as_numbers() {
        assert!(ApiVersion::new(1, 5) < ApiVersion::MIN);
        assert!(ApiVersion::new(1, 100) > ApiVersion::MAX);
        assert!(ApiVersion::new(2, 0) > ApiVersion::MAX);
        assert!(ApiVersion::new(1, 41).is_served());
        assert!(ApiVersion::MIN.is_served() && ApiVersion::MAX.is_served());
        assert!(!ApiVersion::new(1, 23).is_served() && !ApiVersion::new(1, 56).is_served());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(major: u16, minor: u16) {
            let version = ApiVersion::new(major, minor);
            prop_assert_eq!(ApiVersion::parse(&version.to_string()), Some(version));
        }

        #[test]
        fn what_is_read_is_written_back(text in "[0-9v+.]{0,8}") {
            if let Some(version) = ApiVersion::parse(&text) {
                prop_assert_eq!(version.to_string(), text);
            }
        }
    }
}
