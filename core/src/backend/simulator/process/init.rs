//! The first process of a container that was started with `--init`: it starts the program as its child, hands signals on,
//! and ends as the child has.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use super::kernel::Program;
use super::{Pid, Signal, StartError, Step, Sys};

pub(super) struct Init {
    program: Option<Result<Box<dyn Program>, StartError>>,
    /// The program and its arguments.
    argv: Arc<[String]>,
    child: Pid,
}

impl Init {
    pub(super) fn new(program: Result<Box<dyn Program>, StartError>, argv: Arc<[String]>) -> Self {
        Self { program: Some(program), argv, child: 0 }
    }

    /// All signals that a process can catch.
    pub(super) const fn caught() -> u64 {
        !(Signal::KILL.bit() | Signal::STOP.bit())
    }
}

impl Program for Init {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        match self.program.take() {
            Some(Ok(program)) => match sys.fork(program, Some(Arc::clone(&self.argv)), &[]) {
                Ok(child) => {
                    self.child = child;
                    // The terminal's keys are for the program's group.
                    if let Some(child) = sys.child(child) {
                        child.background = false;
                    }
                }
                Err(_) => return Step::Exit(1),
            },
            Some(Err(error)) => {
                let why = match error {
                    StartError::NotFound { .. } => "No such file or directory",
                    StartError::BadFormat { .. } => "Exec format error",
                    _ => "Permission denied",
                };
                let name = self.argv.first().map_or("", String::as_str);
                let _ = sys
                    .write(2, format!("[FATAL tini (7)] exec {name} failed: {why}\n").as_bytes());
                return Step::Exit(error.code());
            }
            None => {}
        }
        while let Some(signal) = sys.take_signal() {
            sys.signal(self.child, signal);
        }
        match sys.wait(self.child) {
            Ok(exit) => Step::Exit(exit.code),
            Err(crate::backend::simulator::files::Errno::Again) => Sys::until_child(),
            Err(_) => Step::Exit(1),
        }
    }
}
