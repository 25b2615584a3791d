//! Instances, what happens to them, and what they may be.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;

use crate::rpc::{Attributes, Update};

/// The longest name of a service, and the longest address, in bytes.
const LONGEST: usize = 255;
/// The most attributes of an instance.
const ATTRIBUTES: usize = 256;
/// The most bytes of all its attributes' keys and values.
const ATTRIBUTE_BYTES: usize = 16 * 1024;

/// What is to be registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// The service.
    pub service: String,
    /// The instance's address.
    pub address: String,
    /// Its attributes. None and empty ones differ.
    pub attributes: Option<Attributes>,
}

/// An instance that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Instance {
    /// Its service.
    pub service: Arc<str>,
    /// Its address: an instance's name within its service.
    pub address: Arc<str>,
    /// Its attributes.
    pub attributes: Option<Attributes>,
    /// The store's index when it came. Registered again it stays the same; after it was gone it is larger.
    pub created: u64,
}

/// What a subscription is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The instance is there: it came, or its attributes changed.
    Online(Arc<Instance>),
    /// It is gone.
    Offline(Arc<Instance>),
    /// All that were there when the subscription began have been told.
    Current,
}

impl Event {
    /// As the RPC says it.
    #[must_use]
    pub fn update(&self) -> Update<'_> {
        match self {
            Self::Online(instance) => Update {
                name: Cow::Borrowed(&instance.service),
                address: Cow::Borrowed(&instance.address),
                online: true,
                attributes: instance.attributes.as_ref().map(Cow::Borrowed),
                created: instance.created,
            },
            Self::Offline(instance) => Update {
                name: Cow::Borrowed(&instance.service),
                address: Cow::Borrowed(&instance.address),
                ..Update::MARKER
            },
            Self::Current => Update::MARKER,
        }
    }
}

/// Why something cannot be registered or looked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InvalidError {
    /// A name or an address is empty.
    Empty(&'static str),
    /// A name or an address is longer than 255 bytes.
    TooLong(&'static str, usize),
    /// A name or an address holds a control character or a `/`.
    Character(&'static str, String),
    /// There are more than 256 attributes.
    TooManyAttributes(usize),
    /// The attributes have more than 16 KiB.
    AttributesTooLong(usize),
}

impl fmt::Display for InvalidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty(field) => write!(f, "discoverd: {field} must be set"),
            Self::TooLong(field, length) => {
                write!(f, "discoverd: {field} has {length} bytes: use at most {LONGEST}")
            }
            Self::Character(field, text) => write!(
                f,
                "discoverd: {field} {text:?} holds a control character or a '/': leave these out"
            ),
            Self::TooManyAttributes(count) => {
                write!(f, "discoverd: Attrs are {count}: use at most {ATTRIBUTES}")
            }
            Self::AttributesTooLong(length) => {
                write!(f, "discoverd: Attrs have {length} bytes: use at most {ATTRIBUTE_BYTES}")
            }
        }
    }
}

impl core::error::Error for InvalidError {}

/// Checks the name of a service, or an address.
pub(super) fn check(field: &'static str, text: &str) -> Result<(), InvalidError> {
    if text.is_empty() {
        Err(InvalidError::Empty(field))
    } else if text.len() > LONGEST {
        Err(InvalidError::TooLong(field, text.len()))
    } else if text.chars().any(|character| character.is_control() || character == '/') {
        Err(InvalidError::Character(field, text.to_string()))
    } else {
        Ok(())
    }
}

pub(super) fn check_attributes(attributes: &Attributes) -> Result<(), InvalidError> {
    let length = attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    if attributes.len() > ATTRIBUTES {
        Err(InvalidError::TooManyAttributes(attributes.len()))
    } else if length > ATTRIBUTE_BYTES {
        Err(InvalidError::AttributesTooLong(length))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn names_are_checked() {
        for good in ["a", "web.example", "häß 1", "[::1]:80", &"x".repeat(255)] {
            assert_eq!(check("Name", good), Ok(()), "{good}");
        }
        for (bad, error) in [
            ("", "discoverd: Name must be set"),
            ("a/b", "discoverd: Name \"a/b\" holds a control character or a '/': leave these out"),
            ("a\n", "discoverd: Name \"a\\n\" holds a control character or a '/': leave these out"),
            (&"é".repeat(128), "discoverd: Name has 256 bytes: use at most 255"),
        ] {
            assert_eq!(check("Name", bad).unwrap_err().to_string(), error);
        }
        assert!(check("Addr", "\u{85}").is_err());
    }

    #[test]
    fn attributes_are_bounded() {
        let many = |count: usize, length: usize| -> Attributes {
            (0..count).map(|nth| (format!("{nth:04}"), "x".repeat(length))).collect()
        };
        assert_eq!(check_attributes(&many(256, 60)), Ok(()));
        assert_eq!(
            check_attributes(&many(257, 0)).unwrap_err().to_string(),
            "discoverd: Attrs are 257: use at most 256"
        );
        assert_eq!(
            check_attributes(&many(1, 16 * 1024)).unwrap_err().to_string(),
            "discoverd: Attrs have 16388 bytes: use at most 16384"
        );
    }
}
