//! Steps through commands, one frame at a time.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Shell;
use super::ast::{Command, Kind, List, Pipeline};
use super::expand::Mode;
use super::frame::{Frame, Target, TextKind};
use super::parser::{ParseError, Parser};
use crate::backend::simulator::files::Errno;
use crate::backend::simulator::process::open::OpenId;
use crate::backend::simulator::process::pattern::Pattern;
use crate::backend::simulator::process::{Pid, Signal, Step, Sys};

/// Frames of one shell.
const MAX_FRAMES: usize = 10_000;

impl Shell {
    /// Does the next thing: a step, if the shell cannot go on at once.
    pub(super) fn advance(&mut self, sys: &mut Sys<'_, '_>) -> Option<Step> {
        let waits = matches!(
            self.frames.last(),
            Some(
                Frame::Wait { .. }
                    | Frame::Capture { .. }
                    | Frame::Output { .. }
                    | Frame::Expand { .. }
            )
        );
        if sys.process().pending != 0 && !waits {
            self.take_signals(sys);
        }
        if self.frames.len() > MAX_FRAMES {
            self.fail(sys, "commands are nested too deep");
        }
        let Some(frame) = self.frames.pop() else { return self.finish(sys) };
        match frame {
            Frame::Input(input) => return self.read_command(sys, input),
            Frame::Text { text, at, line, kind } => self.parse(sys, text, at, line, kind),
            Frame::List { list, at, tested } => {
                if at + 1 < list.len() {
                    self.frames.push(Frame::List { list: list.clone(), at: at + 1, tested });
                }
                if at < list.len() {
                    if list[at].background {
                        self.beside(sys, list, at);
                    } else {
                        self.frames.push(Frame::Item { list, at, next: 0, tested });
                    }
                }
            }
            Frame::Item { list, at, next, tested } => self.item(sys, list, at, next, tested),
            Frame::Not => self.status = u8::from(self.status == 0),
            Frame::Command { command, tested } => self.command(sys, command, tested),
            Frame::Simple { command, tested } => return self.simple(sys, &command, tested),
            Frame::Redirected { command, tested } => {
                let targets = core::mem::take(&mut self.expanded);
                let targets: Vec<String> =
                    targets.into_iter().map(|mut one| one.pop().unwrap_or_default()).collect();
                match self.redirect(sys, &command.redirects, &targets) {
                    Ok(fds) => {
                        self.frames.push(Frame::Restore { fds });
                        self.compound(sys, command, tested);
                    }
                    Err(text) => {
                        self.complain(sys, &text);
                        self.status = 1;
                    }
                }
            }
            Frame::Expand { words, done, captured } => self.expand(sys, words, done, captured),
            Frame::Capture { fd, pid, bytes } => return self.capture(sys, fd, pid, bytes),
            Frame::If { command, branch, tested } => {
                let Kind::If { branches, otherwise } = &command.kind else { return None };
                if self.status == 0 {
                    self.frames.push(Frame::list(branches[branch].1.clone(), tested));
                } else if let Some((condition, _)) = branches.get(branch + 1) {
                    let condition = Frame::list(condition.clone(), true);
                    self.frames.push(Frame::If { command, branch: branch + 1, tested });
                    self.frames.push(condition);
                } else {
                    self.status = 0;
                    if let Some(otherwise) = otherwise {
                        self.frames.push(Frame::list(otherwise.clone(), tested));
                    }
                }
            }
            Frame::Loop { command, in_body, status, tested } => {
                let Kind::Loop { until, condition, body } = &command.kind else { return None };
                if in_body {
                    let (condition, status) = (condition.clone(), self.status);
                    self.frames.push(Frame::Loop { command, in_body: false, status, tested });
                    self.frames.push(Frame::list(condition, true));
                } else if (self.status == 0) != *until {
                    let body = body.clone();
                    self.frames.push(Frame::Loop { command, in_body: true, status, tested });
                    self.frames.push(Frame::list(body, tested));
                } else {
                    self.status = status;
                }
            }
            Frame::ForWords { command, tested } => {
                let words: Vec<String> =
                    core::mem::take(&mut self.expanded).into_iter().flatten().collect();
                self.status = 0;
                self.frames.push(Frame::For { command, words: words.into_iter(), tested });
            }
            Frame::For { command, mut words, tested } => {
                let Kind::For { name, body, .. } = &command.kind else { return None };
                let word = words.next()?;
                let (body, name) = (body.clone(), name.clone());
                self.frames.push(Frame::For { command, words, tested });
                self.frames.push(Frame::list(body, tested));
                if let Err(text) = self.vars.set(&name, &word) {
                    self.fail(sys, &text);
                }
            }
            Frame::CaseWord { command, tested } => {
                let subject = self.expanded.pop().and_then(|mut one| one.pop()).unwrap_or_default();
                self.status = 0;
                self.case_arm(command, subject, 0, tested);
            }
            Frame::CaseArm { command, subject, arm, tested } => {
                let patterns = core::mem::take(&mut self.expanded);
                let Kind::Case { arms, .. } = &command.kind else { return None };
                if patterns.iter().flatten().any(|pattern| Pattern::new(pattern).matches(&subject))
                {
                    self.status = 0;
                    self.frames.push(Frame::list(arms[arm].1.clone(), tested));
                } else {
                    self.case_arm(command, subject, arm + 1, tested);
                }
            }
            Frame::Wait { pids, last } => return self.wait(sys, pids, last),
            Frame::WaitJobs { pids } => return self.wait_jobs(sys, pids),
            Frame::WaitAll { mut pids } => {
                self.reap(sys);
                pids.retain(|pid| self.jobs.contains(&(*pid, None)));
                self.status = 0;
                if !pids.is_empty() {
                    self.frames.push(Frame::WaitAll { pids });
                    return Some(Sys::until_child());
                }
            }
            Frame::Program { args } => return self.program(sys, args, &[], &[]),
            frame @ (Frame::Restore { .. } | Frame::Function { .. } | Frame::Assigned { .. }) => {
                self.leave(sys, frame);
            }
            Frame::Output { mut bytes } => {
                while !bytes.is_empty() {
                    match sys.write(1, &bytes) {
                        Ok(taken) => drop(bytes.drain(..taken)),
                        Err(Errno::Again) => {
                            let block = sys.until_writable(1);
                            self.frames.push(Frame::Output { bytes });
                            return Some(Step::Block(block));
                        }
                        Err(error) => {
                            self.complain(sys, &format!("write error: {error}"));
                            self.status = 1;
                            return None;
                        }
                    }
                }
            }
            Frame::Read(reading) => return self.read_line(sys, reading),
        }
        None
    }

    /// All is done, but for the trap at the end.
    fn finish(&mut self, sys: &mut Sys<'_, '_>) -> Option<Step> {
        let code = self.exiting.unwrap_or(self.status);
        if let Some(text) = self.traps.remove(&0).filter(|text| !text.is_empty()) {
            self.exiting = Some(code);
            self.status = code;
            self.frames.push(Frame::text(text.as_str().into(), TextKind::Eval));
            return None;
        }
        if !self.flush(sys) {
            return Some(Step::Block(sys.until_writable(2)));
        }
        Some(Step::Exit(code))
    }

    fn parse(
        &mut self,
        sys: &mut Sys<'_, '_>,
        text: Arc<str>,
        at: usize,
        line: u32,
        kind: TextKind,
    ) {
        let mut parser = Parser::new(&text, at, line, true);
        let parsed = parser.line();
        let (next, line) = (parser.at, parser.line);
        sys.burn(u32::try_from((next - at) / 32).unwrap_or(u32::MAX));
        match parsed {
            Ok(None) => match kind {
                TextKind::Trap { status } => self.status = status,
                TextKind::Dot { in_file } => self.in_file = in_file,
                _ => {}
            },
            Ok(Some(list)) => {
                // The last commands take the place of the text, and so perhaps of the shell.
                if !(kind == TextKind::Script && text[next..].trim().is_empty()) {
                    self.frames.push(Frame::Text { text, at: next, line, kind });
                }
                if !self.options.noexec {
                    self.frames.push(Frame::list(list, false));
                }
            }
            Err(error) => {
                let text = match error {
                    ParseError::Syntax(text) => text,
                    ParseError::Incomplete => "unexpected end of file".into(),
                };
                self.line = line;
                self.fail(sys, &format!("syntax error: {text}"));
            }
        }
    }

    fn item(&mut self, sys: &mut Sys<'_, '_>, list: List, at: usize, next: usize, tested: bool) {
        let pipelines = &list[at].pipelines;
        let last = pipelines.len() - 1;
        if next > 0 && self.options.errexit && !tested && self.status != 0 {
            // What was run last decides only if nothing comes behind it.
            let ran_last = next > last && !pipelines[last].negated;
            if ran_last {
                let status = self.status;
                return self.exit(sys, status);
            }
        }
        let fits = |pipeline: &&Pipeline| pipeline.or == (self.status != 0);
        let chosen = if next == 0 {
            0
        } else {
            match pipelines.iter().skip(next).position(|pipeline| fits(&pipeline)) {
                Some(skipped) => next + skipped,
                None => return,
            }
        };
        let pipeline = &pipelines[chosen];
        let looked_at = tested || chosen < last || pipeline.negated;
        let commands = pipeline.commands.clone();
        let negated = pipeline.negated;
        if chosen < last || (self.options.errexit && !looked_at) {
            self.frames.push(Frame::Item { list, at, next: chosen + 1, tested });
        }
        if negated {
            self.frames.push(Frame::Not);
        }
        match commands.as_slice() {
            [command] => {
                self.frames.push(Frame::Command { command: command.clone(), tested: looked_at });
            }
            _ => self.pipeline(sys, &commands),
        }
    }

    fn pipeline(&mut self, sys: &mut Sys<'_, '_>, commands: &[Arc<Command>]) {
        let mut pids = Vec::new();
        let mut input: Option<OpenId> = None;
        for (index, command) in commands.iter().enumerate() {
            let pipe = (index + 1 < commands.len()).then(|| sys.pipe());
            let frame = Frame::Command { command: command.clone(), tested: true };
            let mut files = Vec::new();
            files.extend(input.map(|id| (0, id)));
            files.extend(pipe.map(|(_, writer)| (1, writer)));
            let child = self.fork(sys, Vec::from([frame]), &files);
            for (_, id) in files {
                sys.kernel.close(id);
            }
            input = pipe.map(|(reader, _)| reader);
            match child {
                Some(pid) => pids.push(pid),
                None => break,
            }
        }
        if let Some(id) = input {
            sys.kernel.close(id);
        }
        self.frames.push(Frame::Wait { pids, last: self.status });
    }

    /// Starts a subshell with these frames; without room for it, the shell says so and ends.
    pub(super) fn fork(
        &mut self,
        sys: &mut Sys<'_, '_>,
        frames: Vec<Frame>,
        files: &[(usize, OpenId)],
    ) -> Option<Pid> {
        let child = sys.fork(Box::new(self.subshell(frames)), None, files).ok();
        if child.is_none() {
            self.no_fork(sys);
        }
        child
    }

    pub(super) fn no_fork(&mut self, sys: &mut Sys<'_, '_>) {
        self.fail(sys, &format!("can't fork: {}", Errno::Again));
    }

    /// Starts an item in the background.
    fn beside(&mut self, sys: &mut Sys<'_, '_>, list: List, at: usize) {
        let null = match self.options.interactive {
            false => {
                sys.open("/dev/null", crate::backend::simulator::process::sys::Mode::Read).ok()
            }
            true => None,
        };
        let files: Vec<_> = null.map(|id| (0, id)).into_iter().collect();
        let child =
            self.fork(sys, Vec::from([Frame::Item { list, at, next: 0, tested: false }]), &files);
        if let Some(id) = null {
            sys.kernel.close(id);
        }
        let Some(pid) = child else { return };
        if let Some(process) = sys.child(pid) {
            process.background = true;
            process.ignored |= Signal::INT.bit() | Signal::QUIT.bit();
        }
        if self.jobs.len() > 1000 {
            self.jobs.remove(0);
        }
        self.jobs.push((pid, None));
        self.background = Some(pid);
        self.status = 0;
    }

    fn command(&mut self, sys: &mut Sys<'_, '_>, command: Arc<Command>, tested: bool) {
        self.line = command.line;
        match &command.kind {
            Kind::Simple { assignments, words } => {
                self.capture_status = None;
                let alone = words.is_empty();
                let words = words.iter().map(|word| (word.clone(), Target::Plain(Mode::Fields)));
                let assigned = assignments.iter().map(|(name, word)| {
                    let target = if alone {
                        Target::Variable(name.clone())
                    } else {
                        Target::Plain(Mode::Text)
                    };
                    (word.clone(), target)
                });
                let redirects = command
                    .redirects
                    .iter()
                    .map(|one| (one.word.clone(), Target::Plain(Mode::Text)));
                let expand = Frame::expand(words.chain(assigned).chain(redirects));
                self.frames.push(Frame::Simple { command, tested });
                self.frames.push(expand);
            }
            Kind::Function(name, body) => {
                if self.functions.len() < 10_000 {
                    Arc::make_mut(&mut self.functions).insert(name.clone(), body.clone());
                }
                self.status = 0;
            }
            _ if command.redirects.is_empty() => self.compound(sys, command, tested),
            _ => {
                let words = command
                    .redirects
                    .iter()
                    .map(|one| (one.word.clone(), Target::Plain(Mode::Text)));
                let expand = Frame::expand(words);
                self.frames.push(Frame::Redirected { command, tested });
                self.frames.push(expand);
            }
        }
    }

    fn compound(&mut self, sys: &mut Sys<'_, '_>, command: Arc<Command>, tested: bool) {
        match &command.kind {
            Kind::Group(list) => self.frames.push(Frame::list(list.clone(), tested)),
            Kind::Subshell(list) => {
                let frame = Frame::list(list.clone(), tested);
                if let Some(pid) = self.fork(sys, Vec::from([frame]), &[]) {
                    self.frames.push(Frame::Wait { pids: Vec::from([pid]), last: 0 });
                }
            }
            Kind::If { branches, .. } => {
                let condition = Frame::list(branches[0].0.clone(), true);
                self.frames.push(Frame::If { command, branch: 0, tested });
                self.frames.push(condition);
            }
            Kind::Loop { condition, .. } => {
                let condition = Frame::list(condition.clone(), true);
                self.frames.push(Frame::Loop { command, in_body: false, status: 0, tested });
                self.frames.push(condition);
            }
            Kind::For { words: None, .. } => {
                let words = self.positional.to_vec();
                self.status = 0;
                self.frames.push(Frame::For { command, words: words.into_iter(), tested });
            }
            Kind::For { words: Some(words), .. } => {
                let words = words.iter().map(|word| (word.clone(), Target::Plain(Mode::Fields)));
                let expand = Frame::expand(words);
                self.frames.push(Frame::ForWords { command, tested });
                self.frames.push(expand);
            }
            Kind::Case { word, .. } => {
                let expand = Frame::expand([(word.clone(), Target::Plain(Mode::Text))]);
                self.frames.push(Frame::CaseWord { command, tested });
                self.frames.push(expand);
            }
            Kind::Simple { .. } | Kind::Function(..) => {}
        }
    }

    fn case_arm(&mut self, command: Arc<Command>, subject: String, arm: usize, tested: bool) {
        let Kind::Case { arms, .. } = &command.kind else { return };
        if let Some((patterns, _)) = arms.get(arm) {
            let words = patterns.iter().map(|word| (word.clone(), Target::Plain(Mode::Pattern)));
            let expand = Frame::expand(words);
            self.frames.push(Frame::CaseArm { command, subject, arm, tested });
            self.frames.push(expand);
        }
    }
}
