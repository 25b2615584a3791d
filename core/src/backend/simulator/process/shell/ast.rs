//! What the parser makes of a script. All of it is shared, so that frames and subshells keep parts of it at no cost.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Commands one after the other.
pub(super) type List = Arc<[Item]>;
/// A word: its parts, to be expanded.
pub(super) type Word = Arc<[Part]>;

/// Pipelines joined by `&&` and `||`.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) pipelines: Vec<Pipeline>,
    pub(super) background: bool,
}

#[derive(Debug)]
pub(super) struct Pipeline {
    /// How it is joined to the one before it: by `||` (true) or `&&`.
    pub(super) or: bool,
    pub(super) negated: bool,
    pub(super) commands: Vec<Arc<Command>>,
}

#[derive(Debug)]
pub(super) struct Command {
    pub(super) kind: Kind,
    pub(super) redirects: Vec<Redirect>,
    pub(super) line: u32,
}

#[derive(Debug)]
pub(super) enum Kind {
    Simple { assignments: Vec<(String, Word)>, words: Vec<Word> },
    Group(List),
    Subshell(List),
    If { branches: Vec<(List, List)>, otherwise: Option<List> },
    Loop { until: bool, condition: List, body: List },
    For { name: String, words: Option<Vec<Word>>, body: List },
    Case { word: Word, arms: Vec<(Vec<Word>, List)> },
    Function(String, Arc<Command>),
}

#[derive(Debug)]
pub(super) struct Redirect {
    pub(super) fd: usize,
    pub(super) kind: RedirectKind,
    pub(super) word: Word,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RedirectKind {
    Read,
    Write,
    Append,
    ReadWrite,
    /// `<&` and `>&`.
    Duplicate,
    /// `&>`: stdout and stderr.
    Both,
    /// The word is the text.
    Here,
}

#[derive(Debug)]
pub(super) enum Part {
    Literal(String),
    /// Literal, and quoted.
    Quoted(String),
    /// In double quotes.
    Double(Word),
    Parameter(Parameter),
    Command(List),
    Arithmetic(Word),
    /// `~`, to be the home.
    Tilde,
}

#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) op: Op,
    pub(super) word: Word,
    /// What stands behind a second `:` or `/`.
    pub(super) second: Option<Word>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    Plain,
    Length,
    /// With the colon an empty value counts as none.
    Default {
        colon: bool,
    },
    Assign {
        colon: bool,
    },
    Error {
        colon: bool,
    },
    Alternate {
        colon: bool,
    },
    Prefix {
        longest: bool,
    },
    Suffix {
        longest: bool,
    },
    Substring,
    Replace {
        all: bool,
    },
}
