//! Short words for the failures that all rooms have.

use alloc::borrow::Cow;
use alloc::format;

use crate::job::{Failure, FailureKind};

pub(super) fn not_found(message: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(FailureKind::NotFound, message)
}

pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(FailureKind::InvalidParameter, message)
}

pub(super) fn conflict(message: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(FailureKind::Conflict, message)
}

pub(super) fn forbidden(message: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(FailureKind::Forbidden, message)
}

pub(super) fn system(message: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(FailureKind::System, message)
}

pub(super) fn not_modified() -> Failure {
    Failure::new(FailureKind::NotModified, "")
}

pub(super) fn not_running(id: &str) -> Failure {
    conflict(format!("Container {id} is not running"))
}
