//! What is said over the RPC, whatever the codec.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;

/// What an instance says of itself: any keys, any values.
pub type Attributes = BTreeMap<String, String>;

/// How messages are written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    /// Go's own encoding.
    Gob,
    /// JSON, as Go's `net/rpc/jsonrpc` has it.
    Json,
}

impl Codec {
    const GOB_TYPE: &'static str = "application/vnd.flynn.rpc-hijack+gob";
    const JSON_TYPE: &'static str = "application/vnd.flynn.rpc-hijack+json";

    /// The media type that asks for it.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Gob => Self::GOB_TYPE,
            Self::Json => Self::JSON_TYPE,
        }
    }

    /// What a value of `Accept` asks for: gob, unless it is JSON's media type.
    pub(super) fn from_accept(value: Option<&[u8]>) -> Self {
        let media_type = value.unwrap_or_default().split(|byte| *byte == b';').next();
        let media_type = media_type.unwrap_or_default().trim_ascii();
        if media_type.eq_ignore_ascii_case(Self::JSON_TYPE.as_bytes()) {
            Self::Json
        } else {
            Self::Gob
        }
    }
}

/// What can be called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    /// `Agent.Register`: answered with a [`Reply::Text`].
    Register,
    /// `Agent.Unregister`: answered with [`Reply::Empty`].
    Unregister,
    /// `Agent.Subscribe`: a stream of [`Update`]s.
    Subscribe,
}

impl Method {
    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Register => "Agent.Register",
            Self::Unregister => "Agent.Unregister",
            Self::Subscribe => "Agent.Subscribe",
        }
    }

    /// The method of that name.
    ///
    /// # Errors
    ///
    /// There is none; in the words of Go's `net/rpc`.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        for method in [Self::Register, Self::Unregister, Self::Subscribe] {
            if method.name() == name {
                return Ok(method);
            }
        }
        let shown = clipped(name);
        Err(match name.rsplit_once('.') {
            None => alloc::format!("rpc: service/method request ill-formed: {shown}"),
            Some(("Agent", _)) => alloc::format!("rpc: can't find method {shown}"),
            Some(_) => alloc::format!("rpc: can't find service {shown}"),
        })
    }
}

/// As much of a name that nobody knows as is worth repeating.
pub(super) fn clipped(name: &str) -> &str {
    let mut end = name.len().min(255);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// What a method is called with.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Args {
    /// The service.
    pub name: String,
    /// The instance's address; not used by [`Method::Subscribe`].
    pub address: String,
    /// Its attributes. None and empty ones differ.
    pub attributes: Option<Attributes>,
}

/// An answer that is no stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply<'a> {
    /// A string.
    Text(&'a str),
    /// A `struct{}`.
    Empty,
}

/// A change of an instance, or the [marker](Update::MARKER).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Update<'a> {
    /// The service.
    pub name: Cow<'a, str>,
    /// The instance's address.
    pub address: Cow<'a, str>,
    /// Whether it is there.
    pub online: bool,
    /// Its attributes, if it is online.
    pub attributes: Option<Cow<'a, Attributes>>,
    /// The store's index when it came, if it is online. The leader of a service is the instance with the lowest.
    pub created: u64,
}

impl Update<'_> {
    /// What stands between the instances that were there when a subscription began and the changes since.
    pub const MARKER: Self = Self {
        name: Cow::Borrowed(""),
        address: Cow::Borrowed(""),
        online: false,
        attributes: None,
        created: 0,
    };

    /// Whether it is the [marker](Self::MARKER).
    #[must_use]
    pub fn is_marker(&self) -> bool {
        self.name.is_empty() && self.address.is_empty()
    }
}

/// How a client names one of its calls.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Id {
    /// In gob.
    Number(u64),
    /// In JSON: any value, as compact text.
    Text(Box<[u8]>),
}

/// What comes to a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Request {
    pub(super) id: Id,
    /// As it was sent.
    pub(super) method: Box<str>,
    /// Which it is, or what to answer.
    pub(super) call: Result<(Method, Args), String>,
}

/// What comes to a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Response {
    pub(super) id: u64,
    pub(super) body: Result<Body, String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Body {
    Text(String),
    Empty,
    Update(Update<'static>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_is_gob_unless_json_is_asked_for() {
        for (accept, codec) in [
            (None, Codec::Gob),
            (Some(""), Codec::Gob),
            (Some("*/*"), Codec::Gob),
            (Some("application/json"), Codec::Gob),
            (Some(Codec::GOB_TYPE), Codec::Gob),
            (Some(Codec::JSON_TYPE), Codec::Json),
            (Some("Application/vnd.flynn.RPC-hijack+json ; q=1; x"), Codec::Json),
            (Some("application/vnd.flynn.rpc-hijack+jsonp"), Codec::Gob),
        ] {
            assert_eq!(Codec::from_accept(accept.map(str::as_bytes)), codec, "{accept:?}");
        }
    }

    #[test]
    fn methods_that_are_not_there_are_named() {
        for (name, error) in [
            ("Agent.Nope", "rpc: can't find method Agent.Nope"),
            ("Agent.register", "rpc: can't find method Agent.register"),
            ("Nope.Register", "rpc: can't find service Nope.Register"),
            ("Nodot", "rpc: service/method request ill-formed: Nodot"),
            ("", "rpc: service/method request ill-formed: "),
        ] {
            assert_eq!(Method::named(name).unwrap_err(), error);
        }
        assert_eq!(Method::named("Agent.Subscribe"), Ok(Method::Subscribe));
        let long = "é".repeat(1000);
        assert!(
            Method::named(&long).unwrap_err().ends_with(&alloc::format!(": {}", "é".repeat(127)))
        );
    }
}
