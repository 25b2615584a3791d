//! Programs that a state file describes.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::kernel::Program;
use super::{Block, Signal, Step, Sys};
use crate::Instant;
use crate::backend::simulator::files::Errno;

/// What an image does instead of running a program: what it prints and when, how it answers, how it ends.
///
/// As JSON, every key is optional; times are milliseconds from the start:
///
/// ```
/// # use libswarm::backend::simulator::process::Behaviour;
/// let database: Behaviour = serde_json::from_str(r#"{
///     "output": [
///         {"after": 0, "text": "starting\n"},
///         {"after": 1500, "text": "ready to accept connections\n", "stderr": true}
///     ],
///     "echo": false,
///     "answers": [{"when": "PING", "text": "+PONG\r\n"}],
///     "signals": {"TERM": 0, "HUP": null},
///     "exit": {"after": 60000, "code": 3}
/// }"#).unwrap();
/// assert_eq!(database.output[1].after, 1500);
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// What it prints, in the order of the times.
    pub output: Vec<Line>,
    /// Whether it prints what it reads from stdin.
    pub echo: bool,
    /// What it prints when it has read a line that holds a text; the first that fits.
    pub answers: Vec<Answer>,
    /// The code that it ends with when a signal comes (`null`: it takes no notice). Without this, pid 1 ignores all
    /// signals but KILL, as a program that installs no handler does; daemons mostly end on TERM.
    pub signals: BTreeMap<String, Option<u8>>,
    /// When it ends, and how; without this, never by itself, or (if `on_stdin_end`) with its stdin.
    pub exit: Option<End>,
    /// The code that it ends with at the end of its stdin, after all output.
    pub on_stdin_end: Option<u8>,
}

/// A piece of output.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Line {
    /// Milliseconds after the start.
    pub after: u64,
    /// What is printed, with its line's end.
    pub text: String,
    /// Whether it goes to stderr.
    pub stderr: bool,
}

/// An answer to input.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// What a line must hold.
    pub when: String,
    /// What is printed then.
    pub text: String,
    /// Whether it ends then, and with which code.
    pub exit: Option<u8>,
}

/// An end by itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct End {
    /// Milliseconds after the start; output that is due later is not printed.
    pub after: u64,
    /// The status.
    pub code: u8,
}

/// The longest line of input that is looked at.
const MAX_LINE: usize = 65_536;

/// A running [`Behaviour`].
pub(super) struct Performance {
    behaviour: Arc<Behaviour>,
    start: Option<Instant>,
    /// Pieces of output that have been printed.
    printed: usize,
    out: Vec<u8>,
    err: Vec<u8>,
    line: Vec<u8>,
    input_ended: bool,
    ending: Option<u8>,
}

impl Performance {
    pub(super) fn new(behaviour: Arc<Behaviour>) -> Self {
        Self {
            behaviour,
            start: None,
            printed: 0,
            out: Vec::new(),
            err: Vec::new(),
            line: Vec::new(),
            input_ended: false,
            ending: None,
        }
    }

    fn begin(&mut self, sys: &mut Sys<'_, '_>) -> Instant {
        for (name, code) in &self.behaviour.signals {
            if let Some(signal) = Signal::parse(name) {
                let process = sys.process();
                match code {
                    Some(_) => process.caught |= signal.bit(),
                    None => process.ignored |= signal.bit(),
                }
            }
        }
        sys.system.now
    }

    fn take_signals(&mut self, sys: &mut Sys<'_, '_>) {
        while let Some(signal) = sys.take_signal() {
            let known = |(name, code): (&String, &Option<u8>)| {
                (Signal::parse(name) == Some(signal)).then_some(*code).flatten()
            };
            self.ending = self.ending.or(self.behaviour.signals.iter().find_map(known));
        }
    }

    fn read(&mut self, input: &[u8]) {
        if self.behaviour.echo {
            self.out.extend_from_slice(input);
        }
        for byte in input {
            self.line.push(*byte);
            if *byte != b'\n' && self.line.len() < MAX_LINE {
                continue;
            }
            let line = String::from_utf8_lossy(&self.line);
            if let Some(answer) =
                self.behaviour.answers.iter().find(|answer| line.contains(&answer.when))
            {
                self.out.extend_from_slice(answer.text.as_bytes());
                self.ending = self.ending.or(answer.exit);
            }
            self.line.clear();
        }
    }
}

impl Program for Performance {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        let start = self.start.unwrap_or_else(|| self.begin(sys));
        self.start = Some(start);
        self.take_signals(sys);
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let end = self.behaviour.exit.clone();
        let over = end.as_ref().is_some_and(|end| at(end.after) <= sys.system.now);
        while let Some(line) = self.behaviour.output.get(self.printed) {
            let late = end.as_ref().is_some_and(|end| line.after > end.after);
            if self.ending.is_some() || late || at(line.after) > sys.system.now {
                break;
            }
            let to = if line.stderr { &mut self.err } else { &mut self.out };
            to.extend_from_slice(line.text.as_bytes());
            self.printed += 1;
            if self.out.len() + self.err.len() > MAX_LINE {
                break;
            }
        }
        for (fd, held) in [(1, &mut self.out), (2, &mut self.err)] {
            while !held.is_empty() {
                match sys.write(fd, held) {
                    Ok(taken) => drop(held.drain(..taken)),
                    Err(Errno::Again) => return Step::Block(sys.until_writable(fd)),
                    Err(_) => held.clear(),
                }
            }
        }
        if let Some(code) = self.ending {
            return Step::Exit(code);
        }
        if let Some(end) = end.as_ref().filter(|_| over) {
            return Step::Exit(end.code);
        }
        let mut block = Block::default();
        let next = self.behaviour.output.get(self.printed).map(|line| at(line.after));
        let end = end.map(|end| at(end.after));
        block.until = next.into_iter().chain(end).min();
        if !self.input_ended {
            match sys.read(0, 4096) {
                Ok(input) if input.is_empty() => self.input_ended = true,
                Ok(input) => {
                    self.read(&input);
                    sys.burn(1);
                    return Step::Again;
                }
                Err(Errno::Again) => block.on = sys.until_readable(0).on,
                Err(_) => self.input_ended = true,
            }
        }
        let all_said = self.printed == self.behaviour.output.len();
        match self.behaviour.on_stdin_end.filter(|_| self.input_ended && all_said) {
            Some(code) => Step::Exit(code),
            None => Step::Block(block),
        }
    }
}
