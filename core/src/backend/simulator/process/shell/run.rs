//! Steps through commands, one frame at a time.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Shell;
use super::ast::{Command, Kind, List, Pipeline};
use super::expand::{Expansion, Fault, Mode, Scene};
use super::frame::{Frame, Target, TextKind};
use super::parser::{ParseError, Parser};
use crate::backend::simulator::files::Errno;
use crate::backend::simulator::process::open::OpenId;
use crate::backend::simulator::process::pattern::Pattern;
use crate::backend::simulator::process::{MAX_WORD, Pid, Signal, Step, Sys};

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

    /// Expands words one by one; the results are left in `expanded`.
    fn expand(
        &mut self,
        sys: &mut Sys<'_, '_>,
        mut words: Vec<(super::ast::Word, Target)>,
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

    fn capture(
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

    fn wait(&mut self, sys: &mut Sys<'_, '_>, mut pids: Vec<Pid>, mut last: u8) -> Option<Step> {
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

    fn wait_jobs(&mut self, sys: &mut Sys<'_, '_>, mut pids: Vec<Pid>) -> Option<Step> {
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

    fn take_signals(&mut self, sys: &mut Sys<'_, '_>) {
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

    /// Gives up all that is under way, but for reading commands.
    pub(super) fn prompt_again(&mut self, sys: &mut Sys<'_, '_>) {
        while let Some(frame) = self.frames.pop() {
            if let Frame::Input(_) = frame {
                return self.frames.push(Frame::Input(super::input::Input::default()));
            }
            self.leave(sys, frame);
        }
    }

    /// Gives up all that is under way, to end with this status.
    pub(super) fn exit(&mut self, sys: &mut Sys<'_, '_>, code: u8) {
        while let Some(frame) = self.frames.pop() {
            self.leave(sys, frame);
        }
        self.status = code;
        self.exiting = Some(code);
    }

    /// `break` (or `continue`) out of so many loops.
    pub(super) fn leave_loops(&mut self, sys: &mut Sys<'_, '_>, mut count: usize, go_on: bool) {
        let is_loop = |frame: &Frame| matches!(frame, Frame::Loop { .. } | Frame::For { .. });
        let inner =
            self.frames.iter().rev().take_while(|frame| !matches!(frame, Frame::Function { .. }));
        count = count.min(inner.filter(|frame| is_loop(frame)).count());
        while count > 0 {
            let Some(frame) = self.frames.pop() else { return };
            if is_loop(&frame) {
                count -= 1;
                if count == 0 && go_on {
                    self.frames.push(match frame {
                        Frame::Loop { command, status, tested, .. } => {
                            Frame::Loop { command, in_body: true, status, tested }
                        }
                        frame => frame,
                    });
                }
            } else {
                self.leave(sys, frame);
            }
        }
        self.status = 0;
    }

    /// `return`.
    pub(super) fn leave_function(&mut self, sys: &mut Sys<'_, '_>, code: u8) {
        self.status = code;
        let ends = |frame: &Frame| {
            matches!(frame, Frame::Function { .. } | Frame::Text { kind: TextKind::Dot { .. }, .. })
        };
        if !self.frames.iter().any(ends) {
            return self.exit(sys, code);
        }
        while let Some(frame) = self.frames.pop() {
            let last = ends(&frame);
            self.leave(sys, frame);
            if last {
                return;
            }
        }
    }

    /// Undoes what a frame has changed.
    pub(super) fn leave(&mut self, sys: &mut Sys<'_, '_>, frame: Frame) {
        match frame {
            Frame::Restore { fds } => self.restore(sys, &fds),
            Frame::Function { positional, locals } => {
                self.calls -= 1;
                self.positional = positional;
                for (name, var) in locals.into_iter().rev() {
                    self.vars.restore(&name, var);
                }
            }
            Frame::Assigned { vars } => {
                for (name, var) in vars.into_iter().rev() {
                    self.vars.restore(&name, var);
                }
            }
            Frame::Capture { fd, .. } => sys.close(fd),
            Frame::Text { kind: TextKind::Dot { in_file }, .. } => self.in_file = in_file,
            _ => {}
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
