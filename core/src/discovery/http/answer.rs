//! What is answered, in JSON.

use alloc::vec::Vec;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::discovery::{Attributes, Instance, Kept};

/// An instance, as HTTP knows it.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    id: alloc::string::String,
    addr: &'a str,
    proto: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Attributes>,
    index: u64,
}

impl<'a> From<&'a Instance> for Shown<'a> {
    fn from(instance: &'a Instance) -> Self {
        Self {
            id: instance.id(),
            addr: &instance.address,
            proto: instance.protocol(),
            meta: instance.metadata(),
            index: instance.created,
        }
    }
}

/// A service's metadata.
#[derive(Serialize)]
pub(super) struct Meta<'a> {
    #[serde(serialize_with = "raw")]
    data: &'a str,
    index: u64,
}

impl<'a> Meta<'a> {
    pub(super) const fn new(data: &'a str, index: u64) -> Self {
        Self { data, index }
    }
}

impl<'a> From<&'a Kept> for Meta<'a> {
    fn from(kept: &'a Kept) -> Self {
        Self::new(&kept.text, kept.index)
    }
}

/// JSON as it is; what others have put into a store and is no JSON, as text.
fn raw<S: Serializer>(json: &&str, serializer: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_str::<&RawValue>(json) {
        Ok(raw) => raw.serialize(serializer),
        Err(_) => json.serialize(serializer),
    }
}

pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
