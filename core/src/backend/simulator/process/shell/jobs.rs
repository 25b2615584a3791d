//! What runs beside a shell: waiting for it, and hearing of its end and of signals.

use alloc::string::String;
use alloc::vec::Vec;

use super::Shell;
use super::frame::{Frame, TextKind};
use crate::backend::simulator::files::Errno;
use crate::backend::simulator::process::{Pid, Signal, Step, Sys};

impl Shell {
    pub(super) fn wait(
        &mut self,
        sys: &mut Sys<'_, '_>,
        mut pids: Vec<Pid>,
        mut last: u8,
    ) -> Option<Step> {
        while let Some(pid) = pids.first().copied() {
            match sys.wait(pid) {
                Err(Errno::Again) => {
                    self.frames.push(Frame::Wait { pids, last });
                    return Some(Sys::until_child());
                }
                Ok(exit) => {
                    last = exit.code;
                    if pids.len() == 1
                        && let Some(text) = exit.signal.and_then(death)
                    {
                        self.say(sys, text);
                    }
                }
                Err(_) => last = 127,
            }
            pids.remove(0);
        }
        self.status = last;
        None
    }

    pub(super) fn wait_jobs(&mut self, sys: &mut Sys<'_, '_>, mut pids: Vec<Pid>) -> Option<Step> {
        self.reap(sys);
        while let Some(pid) = pids.first() {
            let known = self.jobs.iter().find(|(job, _)| job == pid);
            match known {
                Some((_, None)) => {
                    self.frames.push(Frame::WaitJobs { pids });
                    return Some(Sys::until_child());
                }
                Some((_, Some(code))) => self.status = *code,
                None => self.status = 127,
            }
            pids.remove(0);
        }
        None
    }

    /// Notes which jobs have ended.
    pub(super) fn reap(&mut self, sys: &mut Sys<'_, '_>) {
        let mut deaths = String::new();
        for (pid, code) in self.jobs.iter_mut().filter(|(_, code)| code.is_none()) {
            match sys.wait(*pid) {
                Ok(exit) => {
                    *code = Some(exit.code);
                    deaths.push_str(exit.signal.and_then(death).unwrap_or_default());
                }
                Err(Errno::Srch) => *code = Some(127),
                Err(_) => {}
            }
        }
        if !deaths.is_empty() {
            self.say(sys, &deaths);
        }
    }

    pub(super) fn take_signals(&mut self, sys: &mut Sys<'_, '_>) {
        while let Some(signal) = sys.take_signal() {
            match self.traps.get(&signal.number()).cloned() {
                Some(text) => {
                    if let Some(Frame::WaitJobs { .. } | Frame::WaitAll { .. }) = self.frames.last()
                    {
                        self.frames.pop();
                        self.status = 128 + signal.number();
                    }
                    let kind = TextKind::Trap { status: self.status };
                    self.frames.push(Frame::text(text.as_str().into(), kind));
                }
                None if signal == Signal::INT && self.options.interactive => {
                    self.status = 130;
                    self.say(sys, "\n");
                    self.prompt_again(sys);
                }
                None => {}
            }
        }
    }
}

/// What a shell says of a child that a signal has killed.
fn death(signal: Signal) -> Option<&'static str> {
    match signal.number() {
        1 => Some("Hangup\n"),
        3 => Some("Quit\n"),
        6 => Some("Aborted\n"),
        9 => Some("Killed\n"),
        11 => Some("Segmentation fault\n"),
        14 => Some("Alarm clock\n"),
        15 => Some("Terminated\n"),
        10 => Some("User defined signal 1\n"),
        12 => Some("User defined signal 2\n"),
        _ => None,
    }
}
