//! A POSIX shell, as busybox's `ash` is one: a machine with a stack of frames, which stops wherever it must wait or has no
//! fuel left.
//!
//! `lexer` and `parser` make commands of text, `expand` makes fields of words, `run` steps through commands, `simple` runs a
//! simple one, `builtins` are those that change the shell itself.

mod arithmetic;
mod ast;
mod builtins;
mod expand;
mod frame;
mod input;
mod jobs;
mod leave;
mod lexer;
mod parser;
mod run;
mod simple;
mod vars;
mod words;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use self::ast::Command;
use self::frame::{Frame, TextKind};
use self::vars::Vars;
use super::kernel::Program;
use super::{Pid, Signal, Step, Sys};
use crate::backend::simulator::files::Errno;

/// `set -e` and the like.
#[derive(Clone, Copy, Default)]
struct Options {
    errexit: bool,
    nounset: bool,
    xtrace: bool,
    noglob: bool,
    noexec: bool,
    interactive: bool,
}

impl Options {
    fn set(&mut self, letter: char, on: bool) -> bool {
        match letter {
            'e' => self.errexit = on,
            'u' => self.nounset = on,
            'x' => self.xtrace = on,
            'f' => self.noglob = on,
            'n' => self.noexec = on,
            'i' => self.interactive = on,
            // Known, and of no consequence here.
            'a' | 'b' | 'm' | 'v' | 'h' | 'C' | 'l' => {}
            _ => return false,
        }
        true
    }

    fn set_long(&mut self, name: &str, on: bool) -> bool {
        let letter = match name {
            "errexit" => 'e',
            "nounset" => 'u',
            "xtrace" => 'x',
            "noglob" => 'f',
            "noexec" => 'n',
            "allexport" | "notify" | "monitor" | "verbose" | "noclobber" | "ignoreeof" | "vi"
            | "pipefail" => 'a',
            _ => return false,
        };
        self.set(letter, on)
    }

    fn letters(self) -> String {
        let all = [
            ('e', self.errexit),
            ('f', self.noglob),
            ('i', self.interactive),
            ('u', self.nounset),
            ('x', self.xtrace),
        ];
        all.iter().filter(|(_, on)| *on).map(|(letter, _)| *letter).collect()
    }
}

/// Where the first commands come from.
#[derive(Clone)]
enum Begin {
    Args(Vec<String>),
    Done,
}

/// A shell, or a subshell of one.
pub(super) struct Shell {
    /// `$0`.
    name: String,
    positional: Arc<[String]>,
    vars: Vars,
    functions: Arc<BTreeMap<String, Arc<Command>>>,
    options: Options,
    /// `$?`.
    status: u8,
    /// `$$`.
    pid: Pid,
    /// `$!`.
    background: Option<Pid>,
    /// Children that run beside, and how those ended of which nobody has asked.
    jobs: Vec<(Pid, Option<u8>)>,
    /// What to do at a signal; 0 is the end of the shell.
    traps: BTreeMap<u8, String>,
    frames: Vec<Frame>,
    /// Function calls under way.
    calls: usize,
    line: u32,
    /// Whether commands come from a file, so that messages tell the line.
    in_file: bool,
    begin: Begin,
    /// The status to end with after the trap for the end.
    exiting: Option<u8>,
    /// Messages that stderr did not take yet.
    unsaid: Vec<u8>,
    /// What the frame above has left for the one below.
    expanded: Vec<Vec<String>>,
    captured: Option<String>,
    /// The status of the last command substitution, which is that of a command without a name.
    capture_status: Option<u8>,
}

impl Shell {
    pub(super) fn from_args(argv: Vec<String>) -> Self {
        Self {
            name: argv.first().cloned().unwrap_or_else(|| "sh".into()),
            positional: Arc::new([]),
            vars: Vars::default(),
            functions: Arc::default(),
            options: Options::default(),
            status: 0,
            pid: 0,
            background: None,
            jobs: Vec::new(),
            traps: BTreeMap::new(),
            frames: Vec::new(),
            calls: 0,
            line: 0,
            in_file: false,
            begin: Begin::Args(argv),
            exiting: None,
            unsaid: Vec::new(),
            expanded: Vec::new(),
            captured: None,
            capture_status: None,
        }
    }

    /// A shell that reads commands from a file that no kernel would run.
    pub(super) fn for_script(file: &str, argv: &[String]) -> Self {
        let mut args = Vec::from(["sh".to_string(), "--".into(), file.into()]);
        args.extend(argv.iter().skip(1).cloned());
        Self::from_args(args)
    }

    /// A copy to run these frames in a process of its own.
    fn subshell(&self, frames: Vec<Frame>) -> Self {
        Self {
            name: self.name.clone(),
            positional: self.positional.clone(),
            vars: self.vars.clone(),
            functions: self.functions.clone(),
            options: Options { interactive: false, ..self.options },
            status: self.status,
            pid: self.pid,
            background: self.background,
            jobs: Vec::new(),
            traps: self
                .traps
                .iter()
                .filter(|(_, text)| text.is_empty())
                .map(|(at, text)| (*at, text.clone()))
                .collect(),
            frames,
            calls: self.calls,
            line: self.line,
            in_file: self.in_file,
            begin: Begin::Done,
            exiting: None,
            unsaid: Vec::new(),
            expanded: Vec::new(),
            captured: None,
            capture_status: None,
        }
    }

    /// Reads the command line and the environment.
    fn begin(&mut self, sys: &mut Sys<'_, '_>, argv: Vec<String>) {
        self.pid = sys.pid;
        let environment = sys.process().env.clone();
        for entry in environment.iter() {
            if let Some((name, value)) = entry.split_once('=')
                && !name.is_empty()
                && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
            {
                self.vars.change(name, |var| {
                    var.value = Some(value.into());
                    var.exported = true;
                });
            }
        }
        let level = self.vars.get("SHLVL").and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
        let cwd = sys.cwd();
        for (name, value) in [("SHLVL", (level + 1).to_string()), ("PWD", cwd.to_string())] {
            self.vars.change(name, |var| {
                var.value = Some(value.as_str().into());
                var.exported = true;
            });
        }
        for (name, value) in
            [("IFS", " \t\n"), ("OPTIND", "1"), ("PS2", "> "), ("PS4", "+ "), ("PPID", "0")]
        {
            self.vars.change(name, |var| var.value = Some(value.into()));
        }
        let (mut command, mut from_stdin) = (false, false);
        let mut args = argv.into_iter().skip(1).peekable();
        while let Some(arg) = args.next_if(|arg| arg.len() > 1 && arg.starts_with(['-', '+'])) {
            if arg == "--" {
                break;
            }
            let on = arg.starts_with('-');
            for letter in arg.chars().skip(1) {
                let known = match letter {
                    'c' => {
                        command = true;
                        true
                    }
                    's' => {
                        from_stdin = true;
                        true
                    }
                    'o' => args.next().is_some_and(|name| self.options.set_long(&name, on)),
                    letter => self.options.set(letter, on),
                };
                if !known {
                    self.say(sys, &format!("{}: illegal option -{letter}\n", self.name));
                    self.exiting = Some(2);
                    return;
                }
            }
        }
        if command {
            let Some(text) = args.next() else {
                self.say(sys, &format!("{}: -c requires an argument\n", self.name));
                self.exiting = Some(2);
                return;
            };
            if let Some(name) = args.next() {
                self.name = name;
            }
            self.positional = args.collect();
            self.frames.push(Frame::text(text.into(), TextKind::Script));
            return;
        }
        if !from_stdin && let Some(file) = args.next() {
            self.positional = args.collect();
            let cwd = sys.cwd();
            match sys.system.files.read(&cwd, &file) {
                Ok(text) => {
                    self.in_file = true;
                    let text: Arc<str> = String::from_utf8_lossy(&text).into();
                    self.frames.push(Frame::text(text, TextKind::File));
                    self.name = file;
                }
                Err(error) => {
                    let text = format!("{}: can't open '{file}': {error}\n", self.name);
                    self.say(sys, &text);
                    self.exiting = Some(2);
                }
            }
            return;
        }
        self.positional = args.collect();
        self.options.interactive |= sys.tty(0).is_some() && sys.tty(2).is_some();
        if self.options.interactive {
            sys.process().caught |= Signal::INT.bit();
            sys.process().ignored |= Signal::QUIT.bit() | Signal::TERM.bit();
        }
        self.frames.push(Frame::Input(input::Input::default()));
    }

    /// Writes a message to stderr, at once or before anything else is done.
    fn say(&mut self, sys: &mut Sys<'_, '_>, text: &str) {
        if self.unsaid.len() < 65_536 {
            self.unsaid.extend_from_slice(text.as_bytes());
        }
        self.flush(sys);
    }

    /// Whether all messages are out.
    fn flush(&mut self, sys: &mut Sys<'_, '_>) -> bool {
        while !self.unsaid.is_empty() {
            match sys.write(2, &self.unsaid) {
                Ok(taken) => drop(self.unsaid.drain(..taken)),
                Err(Errno::Again) => return false,
                Err(_) => self.unsaid.clear(),
            }
        }
        true
    }

    /// Says what is wrong, with who says so in front.
    fn complain(&mut self, sys: &mut Sys<'_, '_>, text: &str) {
        let text = if self.in_file {
            format!("{}: line {}: {text}\n", self.name, self.line)
        } else {
            format!("{}: {text}\n", self.name)
        };
        self.say(sys, &text);
    }

    /// A problem after which a shell that is not interactive ends.
    fn fail(&mut self, sys: &mut Sys<'_, '_>, text: &str) {
        self.complain(sys, text);
        self.status = 2;
        if self.options.interactive {
            self.prompt_again(sys);
        } else {
            self.exit(sys, 2);
        }
    }
}

impl Program for Shell {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        if let Begin::Args(argv) = core::mem::replace(&mut self.begin, Begin::Done) {
            self.begin(sys, argv);
        }
        loop {
            if !sys.burn(1) || sys.is_killed() {
                return Step::Again;
            }
            if !self.unsaid.is_empty() && !self.flush(sys) {
                return Step::Block(sys.until_writable(2));
            }
            if let Some(step) = self.advance(sys) {
                return step;
            }
        }
    }
}
