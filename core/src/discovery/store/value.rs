//! What stands in a shared store for an instance: its attributes in JSON, for people to read.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::rpc::Attributes;

#[derive(Serialize)]
struct ValueRef<'a> {
    attributes: Option<&'a Attributes>,
}

#[derive(Deserialize)]
struct Value {
    attributes: Option<BTreeMap<String, String>>,
}

pub(super) fn write(attributes: Option<&Attributes>) -> Vec<u8> {
    serde_json::to_vec(&ValueRef { attributes }).unwrap_or_default()
}

/// `None`: the value is not one of ours.
pub(super) fn read(value: &[u8]) -> Option<Option<Attributes>> {
    let value: Value = serde_json::from_slice(value).ok()?;
    Some(value.attributes)
}
