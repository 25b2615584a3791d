//! The shell.
use super::{Program, Step, Sys};
use alloc::string::String;
use alloc::vec::Vec;
pub(super) struct Shell;
impl Shell {
    pub(super) fn from_args(_argv: Vec<String>) -> Self {
        Self
    }
}
impl Program for Shell {
    fn step(&mut self, _sys: &mut Sys<'_, '_>) -> Step {
        Step::Exit(0)
    }
}
