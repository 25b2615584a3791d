//! Programs that run others one after the other: `xargs`, `find`, `time`.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::instead::{load_command, options_before_command};
use super::machines::fails;
use super::{Output, base, find};
use crate::backend::simulator::files::Errno;
use crate::backend::simulator::process::kernel::Program;
use crate::backend::simulator::process::{Pid, Step, Sys};

/// What is done around the programs that are run one after the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Xargs,
    Find(u8),
    Time,
}

pub(super) struct Runs {
    args: Vec<String>,
    left: VecDeque<Vec<String>>,
    child: Option<Pid>,
    kind: Kind,
    status: u8,
    output: Output,
}

impl Runs {
    pub(super) fn new(args: Vec<String>, runs: Vec<Vec<String>>, kind: Kind) -> Self {
        let status = if let Kind::Find(status) = kind { status } else { 0 };
        Self { args, left: runs.into(), child: None, kind, status, output: Output::default() }
    }
}

impl Program for Runs {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        loop {
            let own = base(&self.args[0]).to_string();
            if let Some(step) = self.output.flush(sys, &own) {
                return step;
            }
            if let Some(pid) = self.child {
                match sys.wait(pid) {
                    Err(Errno::Again) => return Sys::until_child(),
                    Ok(exit) => {
                        self.status = match (self.kind, exit.code) {
                            (Kind::Time, code) => code,
                            (Kind::Find(_), _) | (Kind::Xargs, 0) => self.status,
                            (Kind::Xargs, 126 | 127) => exit.code,
                            (Kind::Xargs, _) => 123,
                        };
                    }
                    Err(_) => {}
                }
                self.child = None;
                if self.kind == Kind::Time {
                    self.output.complain("real\t0m 0.00s\nuser\t0m 0.00s\nsys\t0m 0.00s");
                    continue;
                }
            }
            let Some(words) = self.left.pop_front() else { return Step::Exit(self.status) };
            if !sys.burn(4) {
                self.left.push_front(words);
                return Step::Again;
            }
            match load_command(sys, &own, &words) {
                Ok(program) => match sys.fork(program, Some(words.into()), &[]) {
                    Ok(pid) => self.child = Some(pid),
                    Err(error) => {
                        self.output.complain(&format!("{own}: can't fork: {error}"));
                        self.status = 1;
                        self.left.clear();
                    }
                },
                Err((text, code)) => {
                    self.output.complain(&text.replace("can't execute '", "").replace("': ", ": "));
                    self.status = if self.kind == Kind::Time { 127 } else { code };
                    self.left.clear();
                }
            }
        }
    }
}

/// The words of `xargs`' input: split at white space, with quotes and backslashes.
fn split(text: &str) -> Vec<String> {
    let (mut words, mut word): (Vec<String>, Option<String>) = (Vec::new(), None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' | '"' => {
                let own = word.get_or_insert_default();
                own.extend(chars.by_ref().take_while(|end| *end != c));
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

pub(super) fn xargs(_: &mut Sys<'_, '_>, args: Vec<String>, bytes: &[u8]) -> Box<dyn Program> {
    let Some(options) = options_before_command(&args, "nILPsd") else {
        return fails(&args, "xargs: invalid option", 1);
    };
    let mut command = options.operands.clone();
    if command.is_empty() {
        command.push("echo".into());
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut runs = Vec::new();
    if let Some(mark) = options.value('I') {
        for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
            runs.push(command.iter().map(|word| word.replace(mark, line)).collect());
        }
        return Box::new(Runs::new(args, runs, Kind::Xargs));
    }
    let words: Vec<String> = if options.has('0') {
        text.split('\0').filter(|word| !word.is_empty()).map(Into::into).collect()
    } else if options.value('L').is_some() {
        text.lines().map(Into::into).collect()
    } else {
        split(&text)
    };
    let count = options
        .value('n')
        .or_else(|| options.value('L'))
        .and_then(|text| text.parse().ok())
        .unwrap_or(5000_usize)
        .max(1);
    for batch in words.chunks(count) {
        let mut run = command.clone();
        if options.value('L').is_some() {
            run.extend(batch.iter().flat_map(|line| split(line)));
        } else {
            run.extend_from_slice(batch);
        }
        runs.push(run);
    }
    if words.is_empty() && !options.has('r') {
        runs.push(command);
    }
    Box::new(Runs::new(args, runs, Kind::Xargs))
}

pub(super) struct Find {
    args: Vec<String>,
}

impl Find {
    pub(super) const fn new(args: Vec<String>) -> Self {
        Self { args }
    }
}

impl Program for Find {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        let search = find::find(sys, &self.args);
        let mut runs = Runs::new(self.args.clone(), search.runs, Kind::Find(search.status));
        runs.output = search.output;
        sys.burn(16);
        Step::Become(Box::new(runs))
    }
}
