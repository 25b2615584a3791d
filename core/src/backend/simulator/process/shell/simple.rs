//! Simple commands: redirections, functions, builtins, programs.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Shell;
use super::ast::{Command, Kind, Redirect, RedirectKind};
use super::builtins::{self, Done};
use super::frame::Frame;
use crate::backend::simulator::files::Errno;
use crate::backend::simulator::process::start::{LoadError, PATH, load};
use crate::backend::simulator::process::sys::Mode;
use crate::backend::simulator::process::{Step, Sys};

/// Functions under way in each other.
const MAX_CALLS: usize = 1000;

impl Shell {
    /// Runs a simple command whose words are expanded.
    pub(super) fn simple(
        &mut self,
        sys: &mut Sys<'_, '_>,
        command: &Command,
        tested: bool,
    ) -> Option<Step> {
        let Kind::Simple { assignments, words } = &command.kind else { return None };
        let mut expanded = core::mem::take(&mut self.expanded).into_iter();
        let args: Vec<String> = expanded.by_ref().take(words.len()).flatten().collect();
        let mut single = expanded.map(|mut one| one.pop().unwrap_or_default());
        let assigned: Vec<(String, String)> =
            assignments.iter().map(|(name, _)| name.clone()).zip(single.by_ref()).collect();
        let targets: Vec<String> = single.collect();
        if self.options.xtrace {
            self.trace(sys, &assigned, &args);
        }
        let special = args.first().is_some_and(|name| builtins::is_special(name));
        let fds = match self.redirect(sys, &command.redirects, &targets) {
            Ok(fds) => fds,
            Err(text) => {
                self.complain(sys, &text);
                self.status = if special { 2 } else { 1 };
                if special && !self.options.interactive {
                    self.exit(sys, 2);
                }
                return None;
            }
        };
        let Some(name) = args.first() else {
            self.restore(sys, &fds);
            self.status = self.capture_status.take().unwrap_or(0);
            return None;
        };
        if let Some(body) = self.functions.get(name).cloned() {
            self.undo_later(fds, &assigned);
            self.call(sys, &body, &args, tested);
            return None;
        }
        if name == "exec" {
            return self.exec(sys, &args, &assigned, &fds);
        }
        if let Some(builtin) = builtins::find(name) {
            if special {
                for (name, value) in &assigned {
                    if let Err(text) = self.vars.set(name, value) {
                        self.fail(sys, &text);
                        return None;
                    }
                }
                self.undo_later(fds, &[]);
            } else {
                self.undo_later(fds, &assigned);
            }
            let mut done = Done::default();
            if let Some(status) = builtin(self, sys, &args, &mut done) {
                self.status = status;
            }
            if !done.err.is_empty() {
                let text = String::from_utf8_lossy(&done.err).into_owned();
                self.say(sys, &text);
            }
            if !done.out.is_empty() {
                self.frames.push(Frame::Output { bytes: done.out });
            }
            return None;
        }
        self.program(sys, args, &assigned, &fds)
    }

    fn undo_later(&mut self, fds: Vec<usize>, assigned: &[(String, String)]) {
        if !assigned.is_empty() {
            let mut vars = Vec::new();
            for (name, value) in assigned {
                vars.push((name.clone(), self.vars.save(name)));
                self.vars.change(name, |var| {
                    var.value = Some(value.as_str().into());
                    var.exported = true;
                });
            }
            self.frames.push(Frame::Assigned { vars });
        }
        if !fds.is_empty() {
            self.frames.push(Frame::Restore { fds });
        }
    }

    fn call(&mut self, sys: &mut Sys<'_, '_>, body: &Arc<Command>, args: &[String], tested: bool) {
        if self.calls >= MAX_CALLS {
            return self.fail(
                sys,
                &format!("{}: functions call each other deeper than {MAX_CALLS}", args[0]),
            );
        }
        self.calls += 1;
        let positional = core::mem::replace(&mut self.positional, args[1..].into());
        self.frames.push(Frame::Function { positional, locals: Vec::new() });
        self.frames.push(Frame::Command { command: body.clone(), tested });
    }

    fn trace(&mut self, sys: &mut Sys<'_, '_>, assigned: &[(String, String)], args: &[String]) {
        let mut text = self.vars.get("PS4").unwrap_or("+ ").to_string();
        let assigned =
            assigned.iter().map(|(name, value)| format!("{name}={}", builtins::quoted(value)));
        let words: Vec<String> =
            assigned.chain(args.iter().map(|arg| builtins::quoted(arg))).collect();
        text.push_str(&words.join(" "));
        text.push('\n');
        self.say(sys, &text);
    }

    /// The environment of a program.
    fn environment(&self, assigned: &[(String, String)]) -> Arc<[String]> {
        let mut environment = self.vars.environment();
        for (name, value) in assigned {
            environment.retain(|entry| entry.split('=').next() != Some(name));
            environment.push(format!("{name}={value}"));
        }
        environment.into()
    }

    /// Starts a program, in place of the shell if nothing is left to do.
    pub(super) fn program(
        &mut self,
        sys: &mut Sys<'_, '_>,
        args: Vec<String>,
        assigned: &[(String, String)],
        fds: &[usize],
    ) -> Option<Step> {
        let path =
            assigned.iter().rfind(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
        let path = path.unwrap_or_else(|| self.vars.get("PATH").unwrap_or(PATH).to_string());
        let cwd = sys.cwd();
        let program = match load(&sys.system.files, &cwd, &path, &args) {
            Ok(program) => program,
            Err(LoadError::Format(file)) => alloc::boxed::Box::new(Self::for_script(&file, &args)),
            Err(error) => {
                let (text, status) = match error {
                    LoadError::Denied => ("Permission denied", 126),
                    _ => ("not found", 127),
                };
                self.complain(sys, &format!("{}: {text}", args[0]));
                self.status = status;
                self.restore(sys, fds);
                return None;
            }
        };
        let env = self.environment(assigned);
        let traps = self.traps.values().any(|text| !text.is_empty());
        if self.frames.is_empty() && !traps && !self.options.interactive && self.unsaid.is_empty() {
            self.forget_saved(sys);
            let process = sys.process();
            (process.argv, process.env) = (args.into(), env);
            (process.caught, process.pending) = (0, 0);
            return Some(Step::Become(program));
        }
        match sys.fork(program, Some(args.into()), &[]) {
            Ok(pid) => {
                if let Some(process) = sys.child(pid) {
                    process.env = env;
                    if self.options.interactive {
                        process.ignored &= !0x4002 & !4;
                    }
                }
                self.restore(sys, fds);
                self.frames.push(Frame::Wait { pids: Vec::from([pid]), last: 0 });
            }
            Err(_) => {
                self.restore(sys, fds);
                self.no_fork(sys);
            }
        }
        None
    }

    /// `exec`: redirections that stay, or a program in place of the shell.
    fn exec(
        &mut self,
        sys: &mut Sys<'_, '_>,
        args: &[String],
        assigned: &[(String, String)],
        fds: &[usize],
    ) -> Option<Step> {
        let args = if args.get(1).is_some_and(|arg| arg == "--") { &args[1..] } else { args };
        if args.len() < 2 {
            for _ in fds {
                if let Some(Some(id)) = sys.process().saved.pop() {
                    sys.kernel.close(id);
                }
            }
            for (name, value) in assigned {
                let _ = self.vars.set(name, value);
            }
            self.status = 0;
            return None;
        }
        let path = self.vars.get("PATH").unwrap_or(PATH).to_string();
        let cwd = sys.cwd();
        let args = args[1..].to_vec();
        let program = match load(&sys.system.files, &cwd, &path, &args) {
            Ok(program) => program,
            Err(LoadError::Format(file)) => alloc::boxed::Box::new(Self::for_script(&file, &args)),
            Err(error) => {
                let (text, status) = match error {
                    LoadError::Denied => ("Permission denied", 126),
                    _ => ("not found", 127),
                };
                let line = if self.in_file { self.line } else { 0 };
                self.say(sys, &format!("{}: exec: line {line}: {}: {text}\n", self.name, args[0]));
                self.exit(sys, status);
                return None;
            }
        };
        self.forget_saved(sys);
        let env = self.environment(assigned);
        let process = sys.process();
        (process.argv, process.env) = (args.into(), env);
        (process.caught, process.pending) = (0, 0);
        Some(Step::Become(program))
    }

    /// Closes what was put aside: nothing will be put back.
    fn forget_saved(&mut self, sys: &mut Sys<'_, '_>) {
        self.frames.clear();
        for id in core::mem::take(&mut sys.process().saved).into_iter().flatten() {
            sys.kernel.close(id);
        }
    }

    /// Redirects descriptors; what they were before is put aside, in this order.
    pub(super) fn redirect(
        &mut self,
        sys: &mut Sys<'_, '_>,
        redirects: &[Redirect],
        targets: &[String],
    ) -> Result<Vec<usize>, String> {
        let mut fds = Vec::new();
        for (redirect, target) in redirects.iter().zip(targets) {
            let result = self.redirect_one(sys, redirect, target, &mut fds);
            if let Err(text) = result {
                self.restore(sys, &fds);
                return Err(text);
            }
        }
        Ok(fds)
    }

    fn redirect_one(
        &mut self,
        sys: &mut Sys<'_, '_>,
        redirect: &Redirect,
        target: &str,
        fds: &mut Vec<usize>,
    ) -> Result<(), String> {
        let mode = match redirect.kind {
            RedirectKind::Read => Mode::Read,
            RedirectKind::Write | RedirectKind::Both => Mode::Write,
            RedirectKind::Append => Mode::Append,
            RedirectKind::ReadWrite => Mode::ReadWrite,
            RedirectKind::Here => {
                let id = sys.text(target.as_bytes());
                return Self::put(sys, redirect.fd, Some(id), fds);
            }
            RedirectKind::Duplicate if target == "-" => {
                return Self::put(sys, redirect.fd, None, fds);
            }
            RedirectKind::Duplicate => {
                let from: usize = match target.parse() {
                    Ok(fd) => fd,
                    Err(_) if redirect.fd == 1 => {
                        // `>& file`.
                        let both = Redirect {
                            fd: 1,
                            kind: RedirectKind::Both,
                            word: redirect.word.clone(),
                        };
                        return self.redirect_one(sys, &both, target, fds);
                    }
                    Err(_) => return Err(format!("{target}: bad file descriptor")),
                };
                let id = sys.open_of(from).ok_or_else(|| format!("{from}: {}", Errno::BadF))?;
                if from == redirect.fd {
                    return Ok(());
                }
                let id = sys.kernel.opens.share(id);
                return Self::put(sys, redirect.fd, Some(id), fds);
            }
        };
        let id = sys.open(target, mode).map_err(|error| match (error, mode) {
            (Errno::NoEnt, Mode::Read) => format!("can't open {target}: no such file"),
            (Errno::NoEnt, _) => format!("can't create {target}: nonexistent directory"),
            (error, Mode::Read) => format!("can't open {target}: {error}"),
            (error, _) => format!("can't create {target}: {error}"),
        })?;
        Self::put(sys, redirect.fd, Some(id), fds)?;
        if redirect.kind == RedirectKind::Both {
            let id = sys.kernel.opens.share(id);
            Self::put(sys, 2, Some(id), fds)?;
        }
        Ok(())
    }

    /// Gives a descriptor another open file, or none.
    fn put(
        sys: &mut Sys<'_, '_>,
        fd: usize,
        id: Option<crate::backend::simulator::process::open::OpenId>,
        fds: &mut Vec<usize>,
    ) -> Result<(), String> {
        let process = sys.process();
        let old = process.fds.get_mut(fd).and_then(Option::take);
        process.saved.push(old);
        fds.push(fd);
        match id {
            Some(id) => sys.install(fd, id).map_err(|error| format!("{fd}: {error}")),
            None => Ok(()),
        }
    }

    /// Puts descriptors back, the last one first.
    pub(super) fn restore(&mut self, sys: &mut Sys<'_, '_>, fds: &[usize]) {
        self.flush(sys);
        for fd in fds.iter().rev() {
            sys.close(*fd);
            if let Some(Some(id)) = sys.process().saved.pop() {
                let _ = sys.install(*fd, id);
            }
        }
    }
}
