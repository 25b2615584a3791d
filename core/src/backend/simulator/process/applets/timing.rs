//! Programs that wait for a moment: `sleep`, `timeout`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::instead::{load_command, options_before_command};
use super::machines::fails;
use super::{Once, Output, base};
use crate::Instant;
use crate::backend::simulator::files::Errno;
use crate::backend::simulator::process::kernel::{Channel, Program};
use crate::backend::simulator::process::{Exit, Pid, Signal, Step, Sys};

pub(super) struct Sleep {
    args: Vec<String>,
    until: Option<Instant>,
    output: Output,
}

/// `1.5`, `2m`; `None` if it is no time.
fn duration(text: &str) -> Option<Duration> {
    if matches!(text, "inf" | "infinity") {
        return Some(Duration::MAX);
    }
    let (digits, unit) = match text.as_bytes().last()? {
        b's' => (&text[..text.len() - 1], 1.0),
        b'm' => (&text[..text.len() - 1], 60.0),
        b'h' => (&text[..text.len() - 1], 3600.0),
        b'd' => (&text[..text.len() - 1], 86_400.0),
        _ => (text, 1.0),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let seconds: f64 = digits.parse().ok()?;
    Some(Duration::try_from_secs_f64(seconds * unit).unwrap_or(Duration::MAX))
}

impl Sleep {
    pub(super) fn new(args: Vec<String>) -> Self {
        Self { args, until: None, output: Output::default() }
    }
}

impl Program for Sleep {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        let until = match self.until {
            Some(until) => until,
            None => {
                let mut total = Duration::ZERO;
                for text in &self.args[1..] {
                    let Some(time) = duration(text) else {
                        self.output.complain(&format!("sleep: invalid number '{text}'"));
                        return Step::Become(Box::new(Once {
                            run: |_, _, _| 1,
                            args: self.args.clone(),
                            done: Some(1),
                            output: core::mem::take(&mut self.output),
                        }));
                    };
                    total = total.saturating_add(time);
                }
                if base(&self.args[0]) == "usleep" {
                    total /= 1_000_000;
                }
                *self.until.insert(sys.system.now + total)
            }
        };
        if until <= sys.system.now {
            return Step::Exit(0);
        }
        Step::Block(super::Block { on: None, until: Some(until) })
    }
}

pub(super) struct Timeout {
    args: Vec<String>,
    child: Option<(Pid, Instant)>,
    killed: bool,
}

impl Timeout {
    pub(super) const fn new(args: Vec<String>) -> Self {
        Self { args, child: None, killed: false }
    }
}

impl Program for Timeout {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        let Some(options) = options_before_command(&self.args, "sk") else {
            return Step::Become(fails(&self.args, "timeout: invalid option", 1));
        };
        let signal =
            options.value('s').map_or(Some(Signal::TERM), Signal::parse).unwrap_or(Signal::TERM);
        let (pid, until) = match self.child {
            Some(child) => child,
            None => {
                let [time, words @ ..] = options.operands.as_slice() else {
                    return Step::Become(fails(
                        &self.args,
                        "timeout: usage: timeout [-s SIG] SECS PROG ARGS",
                        1,
                    ));
                };
                let Some(time) = duration(time) else {
                    return Step::Become(fails(
                        &self.args,
                        &format!("timeout: invalid number '{time}'"),
                        1,
                    ));
                };
                let program = match load_command(sys, "timeout", words) {
                    Ok(program) => program,
                    Err((text, code)) => return Step::Become(fails(&self.args, &text, code)),
                };
                match sys.fork(program, Some(words.into()), &[]) {
                    Ok(pid) => *self.child.insert((pid, sys.system.now + time)),
                    Err(error) => {
                        return Step::Become(fails(&self.args, &format!("timeout: {error}"), 1));
                    }
                }
            }
        };
        if until <= sys.system.now && !core::mem::replace(&mut self.killed, true) {
            sys.signal(pid, signal);
        }
        match sys.wait(pid) {
            Err(Errno::Again) => {
                let mut block = super::Block { on: Some(Channel::Child), until: Some(until) };
                if self.killed {
                    block.until = None;
                }
                Step::Block(block)
            }
            Ok(exit) if !self.killed => Step::Exit(exit.code),
            Ok(_) => {
                sys.kernel.end(sys.pid, Exit::of(signal));
                Step::Exit(143)
            }
            Err(_) => Step::Exit(1),
        }
    }
}
