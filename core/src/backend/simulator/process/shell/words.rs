//! How a command's words become fields, and what `$(…)` stands for.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::Shell;
use super::ast::Word;
use super::expand::{Expansion, Fault, Mode, Scene};
use super::frame::{Frame, Target};
use crate::backend::simulator::files::Errno;
use crate::backend::simulator::process::{MAX_WORD, Pid, Step, Sys};

impl Shell {
    /// Expands words one by one; the results are left in `expanded`.
    pub(super) fn expand(
        &mut self,
        sys: &mut Sys<'_, '_>,
        mut words: Vec<(Word, Target)>,
        mut done: Vec<Vec<String>>,
        mut captured: Vec<String>,
    ) {
        captured.extend(self.captured.take());
        while let Some((word, target)) = words.last() {
            let cwd = sys.cwd();
            let flags = self.options.letters();
            let scene = Scene {
                vars: &self.vars,
                name: &self.name,
                positional: &self.positional,
                status: self.status,
                pid: self.pid,
                background: self.background,
                flags: &flags,
                nounset: self.options.nounset,
                noglob: self.options.noglob,
                files: &sys.system.files,
                cwd: &cwd,
                captured: &captured,
            };
            let mut expansion = Expansion::new(&scene);
            let mode = match target {
                Target::Plain(mode) => *mode,
                Target::Variable(_) => Mode::Text,
            };
            let result = expansion.expand(word, mode);
            let assigned = core::mem::take(&mut expansion.assigned);
            match result {
                Ok(fields) => {
                    captured = Vec::new();
                    let used: usize = fields.iter().map(|field| field.len() / 64 + 1).sum();
                    sys.burn(u32::try_from(used).unwrap_or(u32::MAX));
                    let mut wrong = None;
                    for (name, value) in assigned {
                        wrong = wrong.or(self.vars.set(&name, &value).err());
                    }
                    if let (Target::Variable(name), Some(value)) = (target, fields.first()) {
                        wrong = wrong.or(self.vars.set(name, value).err());
                    }
                    if let Some(text) = wrong {
                        return self.fail(sys, &text);
                    }
                    done.push(fields);
                    words.pop();
                }
                Err(Fault::Capture(list)) => {
                    let mut shell = self.subshell(Vec::from([Frame::list(list, false)]));
                    for (name, value) in assigned {
                        let _ = shell.vars.set(&name, &value);
                    }
                    let (reader, writer) = sys.pipe();
                    let child = sys.fork(Box::new(shell), None, &[(1, writer)]);
                    sys.kernel.close(writer);
                    let fd = sys.process().fds.len().max(10);
                    let installed = sys.install(fd, reader);
                    match (child, installed) {
                        (Ok(pid), Ok(())) => {
                            self.frames.push(Frame::Expand { words, done, captured });
                            self.frames.push(Frame::Capture { fd, pid, bytes: Vec::new() });
                        }
                        (child, _) => {
                            sys.close(fd);
                            if child.is_err() {
                                self.no_fork(sys);
                            } else {
                                self.fail(sys, Errno::MFile.text());
                            }
                        }
                    }
                    return;
                }
                Err(Fault::Wrong(text)) => return self.fail(sys, &text),
            }
        }
        self.expanded = done;
    }

    pub(super) fn capture(
        &mut self,
        sys: &mut Sys<'_, '_>,
        fd: usize,
        pid: Pid,
        mut bytes: Vec<u8>,
    ) -> Option<Step> {
        loop {
            match sys.read(fd, 4096) {
                Ok(more) if !more.is_empty() && bytes.len() < MAX_WORD => {
                    sys.burn(1);
                    bytes.extend(more);
                }
                Err(Errno::Again) => {
                    let block = sys.until_readable(fd);
                    self.frames.push(Frame::Capture { fd, pid, bytes });
                    return Some(Step::Block(block));
                }
                _ => break,
            }
        }
        sys.close(fd);
        match sys.wait(pid) {
            Err(Errno::Again) => {
                self.frames.push(Frame::Capture { fd, pid, bytes });
                return Some(Sys::until_child());
            }
            Ok(exit) => self.status = exit.code,
            Err(_) => self.status = 127,
        }
        self.capture_status = Some(self.status);
        bytes.retain(|byte| *byte != 0);
        while bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        self.captured = Some(String::from_utf8_lossy(&bytes).into_owned());
        None
    }
}
