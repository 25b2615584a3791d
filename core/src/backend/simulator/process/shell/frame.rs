//! What a shell is in the middle of.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::ast::{Command, List, Word};
use super::expand::Mode;
use super::input::{Input, Reading};
use super::vars::Var;
use crate::backend::simulator::process::Pid;

/// One thing under way. `tested` says that a status that is not 0 is looked at, and so does not end a shell with `set -e`.
pub(super) enum Frame {
    /// Commands that are read as they come.
    Input(Input),
    Text {
        text: Arc<str>,
        at: usize,
        line: u32,
        kind: TextKind,
    },
    List {
        list: List,
        at: usize,
        tested: bool,
    },
    /// Pipelines of an item; `next` is the one to look at.
    Item {
        list: List,
        at: usize,
        next: usize,
        tested: bool,
    },
    Not,
    Command {
        command: Arc<Command>,
        tested: bool,
    },
    /// A simple command whose words are expanded.
    Simple {
        command: Arc<Command>,
        tested: bool,
    },
    /// A compound command whose redirections are expanded.
    Redirected {
        command: Arc<Command>,
        tested: bool,
    },
    Expand {
        words: Vec<(Word, Target)>,
        done: Vec<Vec<String>>,
        captured: Vec<String>,
    },
    Capture {
        fd: usize,
        pid: Pid,
        bytes: Vec<u8>,
    },
    /// A condition of an `if` that has been run.
    If {
        command: Arc<Command>,
        branch: usize,
        tested: bool,
    },
    Loop {
        command: Arc<Command>,
        in_body: bool,
        status: u8,
        tested: bool,
    },
    /// A `for` whose words are expanded.
    ForWords {
        command: Arc<Command>,
        tested: bool,
    },
    For {
        command: Arc<Command>,
        words: alloc::vec::IntoIter<String>,
        tested: bool,
    },
    /// A `case` whose word is expanded.
    CaseWord {
        command: Arc<Command>,
        tested: bool,
    },
    /// The patterns of an arm are expanded.
    CaseArm {
        command: Arc<Command>,
        subject: String,
        arm: usize,
        tested: bool,
    },
    /// A pipeline in the foreground.
    Wait {
        pids: Vec<Pid>,
        last: u8,
    },
    /// The builtin `wait`.
    WaitJobs {
        pids: Vec<Pid>,
    },
    /// The builtin `wait` without a name: the status is 0.
    WaitAll {
        pids: Vec<Pid>,
    },
    /// A program that is no function: `command`.
    Program {
        args: Vec<String>,
    },
    /// Descriptors to be put back.
    Restore {
        fds: Vec<usize>,
    },
    Function {
        positional: Arc<[String]>,
        locals: Vec<(String, Option<Var>)>,
    },
    /// Variables that were others for a command only.
    Assigned {
        vars: Vec<(String, Option<Var>)>,
    },
    /// Output of a builtin.
    Output {
        bytes: Vec<u8>,
    },
    /// The builtin `read`.
    Read(Reading),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TextKind {
    /// `-c`.
    Script,
    File,
    Eval,
    /// `.`, which `return` ends; whether messages told the line before.
    Dot {
        in_file: bool,
    },
    /// With the status from before.
    Trap {
        status: u8,
    },
}

/// What an expanded word is for.
#[derive(Clone)]
pub(super) enum Target {
    Plain(Mode),
    /// Assigned at once.
    Variable(String),
}

impl Frame {
    pub(super) const fn text(text: Arc<str>, kind: TextKind) -> Self {
        Self::Text { text, at: 0, line: 1, kind }
    }

    pub(super) const fn list(list: List, tested: bool) -> Self {
        Self::List { list, at: 0, tested }
    }

    /// Words to be expanded, in order.
    pub(super) fn expand(words: impl IntoIterator<Item = (Word, Target)>) -> Self {
        let mut words: Vec<_> = words.into_iter().collect();
        words.reverse();
        Self::Expand { words, done: Vec::new(), captured: Vec::new() }
    }
}
