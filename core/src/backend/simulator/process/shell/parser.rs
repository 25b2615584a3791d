//! From text to commands. The parser recurses with the nesting of the syntax, which is bounded.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::ast::{Command, Item, Kind, List, Pipeline, Redirect, RedirectKind};

/// How deep commands may stand in commands.
const MAX_NESTING: usize = 50;

/// Why text is no command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ParseError {
    /// It may become one with more lines.
    Incomplete,
    /// What is wrong.
    Syntax(String),
}

pub(super) type Parsed<T> = Result<T, ParseError>;

/// A parser at some place in its text.
pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    pub(super) line: u32,
    pub(super) depth: usize,
    /// Where to go on after the next newline, if here-documents stand behind it.
    pub(super) after_here: Option<usize>,
    /// Whether no more text will come.
    pub(super) complete: bool,
}

/// Words that mean something where a command begins.
const RESERVED: [&str; 15] = [
    "if", "then", "elif", "else", "fi", "while", "until", "for", "do", "done", "case", "esac", "{",
    "}", "!",
];

/// What the next thing is where a command may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    End,
    Reserved(&'static str),
    Close,
    DoubleSemicolon,
    Command,
}

impl<'a> Parser<'a> {
    pub(super) const fn new(text: &'a str, at: usize, line: u32, complete: bool) -> Self {
        Self { text, at, line, depth: 0, after_here: None, complete }
    }

    /// The commands of the next line that has some: `None` at the end of the text.
    pub(super) fn line(&mut self) -> Parsed<Option<List>> {
        self.skip_newlines();
        if self.rest().is_empty() {
            return Ok(None);
        }
        let mut items = Vec::new();
        loop {
            match self.next_kind() {
                Next::Command
                | Next::Reserved("if" | "while" | "until" | "for" | "case" | "{" | "!") => {}
                Next::End if !items.is_empty() => break,
                _ => return Err(self.unexpected("")),
            }
            items.push(self.and_or()?);
            self.blanks();
            let ended = self.separator(&mut items);
            self.blanks();
            if self.rest().is_empty() || self.newline() {
                break;
            }
            if !ended {
                return Err(self.unexpected(""));
            }
        }
        Ok(Some(items.into()))
    }

    /// Takes `;` or `&`.
    fn separator(&mut self, items: &mut [Item]) -> bool {
        if self.rest().starts_with(";;") {
            return false;
        }
        if self.take(";") {
            return true;
        }
        if self.rest().starts_with('&') && self.take("&") {
            if let Some(item) = items.last_mut() {
                item.background = true;
            }
            return true;
        }
        false
    }

    /// Commands up to what ends them, which is left.
    pub(super) fn list(&mut self) -> Parsed<List> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(ParseError::Syntax(format!(
                "commands are nested deeper than {MAX_NESTING}"
            )));
        }
        let mut items = Vec::new();
        loop {
            self.skip_newlines();
            match self.next_kind() {
                Next::Command
                | Next::Reserved("if" | "while" | "until" | "for" | "case" | "{" | "!") => {}
                _ => break,
            }
            items.push(self.and_or()?);
            self.blanks();
            let ended = self.separator(&mut items);
            self.blanks();
            if !ended && !self.newline() {
                break;
            }
        }
        self.depth -= 1;
        Ok(items.into())
    }

    fn and_or(&mut self) -> Parsed<Item> {
        let mut pipelines = Vec::new();
        let mut or = false;
        loop {
            pipelines.push(self.pipeline(or)?);
            self.blanks();
            or = if self.take("&&") {
                false
            } else if self.take("||") {
                true
            } else {
                return Ok(Item { pipelines, background: false });
            };
            self.skip_newlines();
            if self.rest().is_empty() {
                return Err(self.end(""));
            }
        }
    }

    fn pipeline(&mut self, or: bool) -> Parsed<Pipeline> {
        let mut negated = false;
        while self.next_kind() == Next::Reserved("!") {
            self.at += 1;
            negated = !negated;
            self.blanks();
        }
        let mut commands = Vec::new();
        loop {
            commands.push(Arc::new(self.command()?));
            self.blanks();
            if self.rest().starts_with("||") || !self.take("|") {
                return Ok(Pipeline { or, negated, commands });
            }
            self.skip_newlines();
            if self.rest().is_empty() {
                return Err(self.end(""));
            }
        }
    }

    fn command(&mut self) -> Parsed<Command> {
        self.blanks();
        let line = self.line;
        let kind = match self.next_kind() {
            Next::Reserved("if") => self.if_clause()?,
            Next::Reserved(word @ ("while" | "until")) => {
                self.at += word.len();
                let condition = self.filled_list("do")?;
                let body = self.do_group()?;
                Kind::Loop { until: word == "until", condition, body }
            }
            Next::Reserved("for") => self.for_clause()?,
            Next::Reserved("case") => self.case_clause()?,
            Next::Reserved("{") => {
                self.at += 1;
                let body = self.filled_list("}")?;
                self.expect("}")?;
                Kind::Group(body)
            }
            Next::Command if self.rest().starts_with('(') => {
                self.at += 1;
                let body = self.filled_list(")")?;
                self.expect_close()?;
                Kind::Subshell(body)
            }
            Next::Command => return self.simple(),
            _ => return Err(self.unexpected("")),
        };
        let mut redirects = Vec::new();
        loop {
            self.blanks();
            match self.redirect()? {
                Some(redirect) => redirects.push(redirect),
                None => return Ok(Command { kind, redirects, line }),
            }
        }
    }

    fn filled_list(&mut self, end: &str) -> Parsed<List> {
        let list = self.list()?;
        if list.is_empty() {
            return Err(self.unexpected(end));
        }
        Ok(list)
    }

    fn if_clause(&mut self) -> Parsed<Kind> {
        self.at += 2;
        let mut branches = Vec::new();
        let mut otherwise = None;
        loop {
            let condition = self.filled_list("then")?;
            self.expect("then")?;
            branches.push((condition, self.filled_list("fi")?));
            self.skip_newlines();
            match self.next_kind() {
                Next::Reserved("elif") => self.at += 4,
                Next::Reserved("else") => {
                    self.at += 4;
                    otherwise = Some(self.filled_list("fi")?);
                    break;
                }
                _ => break,
            }
        }
        self.expect("fi")?;
        Ok(Kind::If { branches, otherwise })
    }

    fn do_group(&mut self) -> Parsed<List> {
        self.expect("do")?;
        let body = self.filled_list("done")?;
        self.expect("done")?;
        Ok(body)
    }

    fn for_clause(&mut self) -> Parsed<Kind> {
        self.at += 3;
        self.blanks();
        let name = self.name().to_string();
        self.at += name.len();
        if name.is_empty() {
            return Err(match self.end("") {
                incomplete @ ParseError::Incomplete if self.rest().is_empty() => incomplete,
                _ => ParseError::Syntax("bad for loop variable".into()),
            });
        }
        self.skip_newlines();
        let mut words = None;
        if self.word_is("in") {
            self.at += 2;
            let mut list = Vec::new();
            loop {
                self.blanks();
                match self.word()? {
                    Some(word) => list.push(word),
                    None => break,
                }
            }
            words = Some(list);
        }
        self.blanks();
        self.take(";");
        self.skip_newlines();
        let body = self.do_group()?;
        Ok(Kind::For { name, words, body })
    }

    fn case_clause(&mut self) -> Parsed<Kind> {
        self.at += 4;
        self.blanks();
        let Some(word) = self.word()? else { return Err(self.unexpected("word")) };
        self.skip_newlines();
        if !self.word_is("in") {
            return Err(self.unexpected("in"));
        }
        self.at += 2;
        let mut arms = Vec::new();
        loop {
            self.skip_newlines();
            if self.word_is("esac") {
                self.at += 4;
                return Ok(Kind::Case { word, arms });
            }
            self.take("(");
            let mut patterns = Vec::new();
            loop {
                self.blanks();
                let Some(pattern) = self.word()? else { return Err(self.unexpected("word")) };
                patterns.push(pattern);
                self.blanks();
                if !self.take("|") {
                    break;
                }
            }
            self.expect_close()?;
            let body = self.list()?;
            arms.push((patterns, body));
            self.skip_newlines();
            if !self.take(";;") && !self.word_is("esac") {
                return Err(self.unexpected("esac"));
            }
        }
    }

    fn simple(&mut self) -> Parsed<Command> {
        let line = self.line;
        let (mut assignments, mut words, mut redirects) = (Vec::new(), Vec::new(), Vec::new());
        let start = self.at;
        loop {
            self.blanks();
            if let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
                continue;
            }
            if words.is_empty() {
                let from = self.at;
                let name = self.name().to_string();
                self.at += name.len();
                if !name.is_empty() && self.take("=") {
                    let value = self.word()?.unwrap_or_else(|| Arc::new([]));
                    assignments.push((name, value));
                    continue;
                }
                self.at = from;
                let name = self.bare().to_string();
                let plain =
                    !name.is_empty() && !name.contains(['\'', '"', '\\', '$', '`', '=', '#']);
                if plain && assignments.is_empty() && redirects.is_empty() {
                    self.at += name.len();
                    self.blanks();
                    if self.take("(") {
                        self.blanks();
                        self.expect_close()?;
                        self.skip_newlines();
                        if self.depth > MAX_NESTING {
                            return Err(ParseError::Syntax("functions are nested too deep".into()));
                        }
                        self.depth += 1;
                        let body = Arc::new(self.command()?);
                        self.depth -= 1;
                        let kind = Kind::Function(name, body);
                        return Ok(Command { kind, redirects, line });
                    }
                }
                self.at = from;
            }
            match self.word()? {
                Some(word) => words.push(word),
                None => break,
            }
        }
        if self.at == start {
            return Err(self.unexpected(""));
        }
        if self.rest().starts_with('(') {
            return Err(self.unexpected(""));
        }
        Ok(Command { kind: Kind::Simple { assignments, words }, redirects, line })
    }

    fn redirect(&mut self) -> Parsed<Option<Redirect>> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let (number, operator) = self.rest().split_at(digits.min(4));
        let kinds: [(&str, usize, RedirectKind); 9] = [
            ("<<", 0, RedirectKind::Here),
            ("<&", 0, RedirectKind::Duplicate),
            ("<>", 0, RedirectKind::ReadWrite),
            ("<", 0, RedirectKind::Read),
            (">>", 1, RedirectKind::Append),
            (">&", 1, RedirectKind::Duplicate),
            (">|", 1, RedirectKind::Write),
            (">", 1, RedirectKind::Write),
            ("&>", 1, RedirectKind::Both),
        ];
        let Some((sign, fd, kind)) =
            kinds.into_iter().find(|(sign, ..)| operator.starts_with(sign))
        else {
            return Ok(None);
        };
        if kind == RedirectKind::Both && digits > 0 {
            return Ok(None);
        }
        let fd = number.parse().unwrap_or(fd);
        self.at += number.len() + sign.len();
        if kind == RedirectKind::Here {
            let tabs = self.take("-");
            self.blanks();
            let word = self.here_document(tabs)?;
            return Ok(Some(Redirect { fd, kind, word }));
        }
        self.blanks();
        match self.word()? {
            Some(word) => Ok(Some(Redirect { fd, kind, word })),
            None => Err(self.unexpected("word")),
        }
    }

    fn next_kind(&mut self) -> Next {
        self.blanks();
        let rest = self.rest();
        if rest.is_empty() {
            return Next::End;
        }
        if rest.starts_with(')') {
            return Next::Close;
        }
        if rest.starts_with(";;") {
            return Next::DoubleSemicolon;
        }
        let word = self.bare();
        RESERVED.into_iter().find(|known| *known == word).map_or(Next::Command, Next::Reserved)
    }

    /// The characters up to what ends a word, if none of them is quoted or expanded.
    fn bare(&self) -> &'a str {
        let rest = self.rest();
        let ends =
            |c: char| matches!(c, ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')');
        &rest[..rest.find(ends).unwrap_or(rest.len())]
    }

    fn word_is(&mut self, word: &str) -> bool {
        self.blanks();
        self.bare() == word
    }

    fn name(&self) -> &'a str {
        let rest = self.rest();
        let length = rest
            .bytes()
            .enumerate()
            .take_while(|(at, byte)| {
                *byte == b'_' || byte.is_ascii_alphabetic() || (*at > 0 && byte.is_ascii_digit())
            })
            .count();
        &rest[..length]
    }

    fn expect(&mut self, word: &str) -> Parsed<()> {
        self.skip_newlines();
        if !self.word_is(word) {
            return Err(self.unexpected(word));
        }
        self.at += word.len();
        Ok(())
    }

    fn expect_close(&mut self) -> Parsed<()> {
        self.skip_newlines();
        if self.take(")") { Ok(()) } else { Err(self.unexpected(")")) }
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn take(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    /// Skips spaces, continued lines and a comment.
    pub(super) fn blanks(&mut self) {
        loop {
            let rest = self.rest().as_bytes();
            match rest {
                [b' ' | b'\t', ..] => self.at += 1,
                [b'\\', b'\n', ..] => {
                    self.at += 2;
                    self.line += 1;
                }
                [b'#', ..] => {
                    let fresh = self.at == 0
                        || matches!(
                            self.text.as_bytes()[self.at - 1],
                            b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'(' | b')'
                        );
                    if !fresh {
                        return;
                    }
                    self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                    return;
                }
                _ => return,
            }
        }
    }

    pub(super) fn newline(&mut self) -> bool {
        let found = self.take("\n");
        if found {
            self.line += 1;
            if let Some(after) = self.after_here.take() {
                self.line +=
                    u32::try_from(self.text[self.at..after].matches('\n').count()).unwrap_or(0);
                self.at = after;
            }
        }
        found
    }

    pub(super) fn skip_newlines(&mut self) {
        loop {
            self.blanks();
            if !self.newline() {
                return;
            }
        }
    }

    /// The text has ended too early.
    pub(super) fn end(&self, expecting: &str) -> ParseError {
        if !self.complete {
            return ParseError::Incomplete;
        }
        ParseError::Syntax(match expecting {
            "" => "unexpected end of file".into(),
            "word" => "unexpected end of file (expecting word)".into(),
            _ => format!("unexpected end of file (expecting \"{expecting}\")"),
        })
    }

    pub(super) fn unexpected(&mut self, expecting: &str) -> ParseError {
        self.blanks();
        let rest = self.rest();
        if rest.is_empty() {
            return self.end(expecting);
        }
        let signs = [
            "&&", "||", ";;", "<<", ">>", "<&", ">&", "<>", ">|", "&", "|", ";", "<", ">", "(", ")",
        ];
        let sign = signs.into_iter().find(|sign| rest.starts_with(sign));
        let found = match sign {
            Some(sign) => format!("\"{sign}\""),
            None if rest.starts_with('\n') => "newline".into(),
            None => match RESERVED.into_iter().find(|word| *word == self.bare()) {
                Some(word) => format!("\"{word}\""),
                None => "word".into(),
            },
        };
        ParseError::Syntax(match expecting {
            "" => format!("unexpected {found}"),
            "word" => format!("unexpected {found} (expecting word)"),
            _ => format!("unexpected {found} (expecting \"{expecting}\")"),
        })
    }
}
