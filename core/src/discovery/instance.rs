//! Instances, what happens to them, and what they may be.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;

use md5::{Digest, Md5};

use super::{Document, Kept};
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

/// The attribute that says which protocol an instance speaks.
pub(super) const PROTOCOL: &str = "proto";

impl Instance {
    /// Its protocol: the attribute `proto` if that is lowercase and alphanumeric, else `tcp`.
    #[must_use]
    pub fn protocol(&self) -> &str {
        let named = self.attributes.as_ref().and_then(|all| all.get(PROTOCOL));
        named.filter(|named| is_protocol(named)).map_or("tcp", String::as_str)
    }

    /// Its id, by which HTTP and DNS know it: the MD5 of its protocol, a hyphen and its address, in hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        instance_id(self.protocol(), &self.address)
    }

    /// Its attributes without the one that says its protocol.
    #[must_use]
    pub fn metadata(&self) -> Option<Attributes> {
        let mut all = self.attributes.clone()?;
        if all.get(PROTOCOL).is_some_and(|named| is_protocol(named)) {
            all.remove(PROTOCOL);
            if all.is_empty() {
                return None;
            }
        }
        Some(all)
    }
}

/// The attributes of an instance with that protocol and metadata; see [`Instance::metadata`].
pub(super) fn attributes_of(protocol: &str, metadata: Option<Attributes>) -> Option<Attributes> {
    if protocol == "tcp" {
        return metadata;
    }
    let mut all = metadata.unwrap_or_default();
    all.insert(PROTOCOL.to_string(), protocol.to_string());
    Some(all)
}

/// Whether that can be a protocol's name.
pub(super) fn is_protocol(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// The id of an instance; see [`Instance::id`].
#[must_use]
pub fn instance_id(protocol: &str, address: &str) -> String {
    digest(protocol, address).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of such digits; nothing else is an id.
pub(super) fn unhex(digits: &[u8]) -> Option<[u8; 16]> {
    let mut id = [0; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(id)
}

/// The same in bytes.
pub(super) fn digest(protocol: &str, address: &str) -> [u8; 16] {
    Md5::new_with_prefix(protocol).chain_update("-").chain_update(address).finalize().into()
}

/// What a subscription is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The instance is there: it came, or its attributes changed.
    Online(Arc<Instance>),
    /// The instance's attributes changed, or it went and came again. To those who read services whole; others are told that it
    /// is [`Online`](Self::Online).
    Updated(Arc<Instance>),
    /// It is gone.
    Offline(Arc<Instance>),
    /// It leads its service now. Only to those who read services whole.
    Leader(Arc<Instance>),
    /// Nobody leads that service any more, though the instance that was told to lead it may be there. Only to those who read
    /// services whole.
    Leaderless(Arc<str>),
    /// A service's document is so now, or was removed. Only to those who read services whole.
    Document(Arc<str>, Document, Option<Kept>),
    /// All that were there when the subscription began have been told.
    Current,
    /// All that has changed since the subscriber was here before has been told, and what has not changed was left out.
    Resumed,
}

impl Event {
    /// As the RPC says it, if it does.
    #[must_use]
    pub fn update(&self) -> Option<Update<'_>> {
        Some(match self {
            Self::Online(instance) | Self::Updated(instance) => Update {
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
            Self::Current | Self::Resumed => Update::MARKER,
            Self::Leader(_) | Self::Leaderless(_) | Self::Document(..) => return None,
        })
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
    fn an_instance_has_an_id_and_a_protocol() {
        let instance = |attributes: Option<&[(&str, &str)]>| Instance {
            service: "web".into(),
            address: "10.0.0.1:80".into(),
            attributes: attributes.map(|all| {
                all.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
            }),
            created: 1,
        };
        for (attributes, protocol, metadata) in [
            (None, "tcp", None),
            (Some(&[][..]), "tcp", Some(0)),
            (Some(&[("proto", "udp")]), "udp", None),
            (Some(&[("proto", "udp"), ("zone", "a")]), "udp", Some(1)),
            (Some(&[("proto", "U D P")]), "tcp", Some(1)),
        ] {
            let it = instance(attributes);
            assert_eq!(it.protocol(), protocol);
            assert_eq!(it.metadata().map(|all| all.len()), metadata);
            assert_eq!(it.id(), instance_id(protocol, "10.0.0.1:80"));
        }
        // printf tcp-10.0.0.1:80 | md5sum
        assert_eq!(instance(None).id(), "e15086afcc9b0dda9e8d8cb223ff8556");
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
