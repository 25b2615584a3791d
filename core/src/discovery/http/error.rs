//! Errors, as clients read them.

use alloc::format;
use alloc::string::{String, ToString};

use serde::Serialize;

use crate::discovery::{InvalidError, StoreError};

/// Why a request is refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Error {
    #[serde(skip)]
    pub(super) status: u16,
    code: &'static str,
    message: String,
    retry: bool,
}

impl Error {
    const fn new(status: u16, code: &'static str, message: String) -> Self {
        Self { status, code, message, retry: false }
    }

    pub(super) fn invalid(what: &str) -> Self {
        Self::invalid_with(400, what)
    }

    /// As [`invalid`](Self::invalid), with a status that says more.
    pub(super) fn invalid_with(status: u16, what: &str) -> Self {
        Self::new(status, "validation_error", format!("discoverd: {what}"))
    }

    pub(super) fn of_invalid(error: &InvalidError) -> Self {
        Self::new(400, "validation_error", error.to_string())
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(404, "object_not_found", format!("discoverd: {what} not found"))
    }

    pub(super) fn no_service(name: &str) -> Self {
        Self::not_found(&format!("service {name:?}"))
    }

    pub(super) fn exists(what: &str) -> Self {
        Self::new(409, "object_exists", format!("discoverd: {what}"))
    }

    pub(super) fn precondition(what: &str) -> Self {
        Self::new(412, "precondition_failed", format!("discoverd: {what}"))
    }

    /// What a store says of `what`.
    pub(super) fn of_store(error: &StoreError, what: &str) -> Self {
        match error {
            StoreError::NotFound { .. } => Self::not_found(what),
            StoreError::Exists { index } => {
                Self::exists(&format!("{what} already exists, since index {index}"))
            }
            StoreError::Precondition { index: 0 } => {
                Self::precondition(&format!("{what} does not exist: set it with index 0"))
            }
            StoreError::Precondition { index } => Self::precondition(&format!(
                "{what} has changed, its index is {index}: read it again"
            )),
            StoreError::Unavailable(reason) => Self {
                retry: true,
                ..Self::new(503, "service_unavailable", format!("discoverd: {reason}"))
            },
        }
    }
}
