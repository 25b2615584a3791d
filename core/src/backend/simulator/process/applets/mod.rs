//! The applets.
use super::Program;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
pub(super) fn program(_name: &str, _argv: Vec<String>) -> Option<Box<dyn Program>> {
    None
}
