//! From a word to its fields. A command substitution ends the expansion; with its result the word is expanded anew, and what
//! it would have assigned meanwhile is not done yet, so that this can be repeated.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::arithmetic::{self, Scope};
use super::ast::{List, Op, Parameter, Part, Word};
use super::vars::Vars;
use crate::backend::simulator::files::View;
use crate::backend::simulator::process::MAX_WORD;
use crate::backend::simulator::process::pattern::Pattern;

/// What becomes of a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// Split into fields, of which those that are patterns become file names.
    Fields,
    /// One piece of text.
    Text,
    /// A pattern, in which what was quoted stands for itself.
    Pattern,
}

/// Why there is no result.
pub(super) enum Fault {
    /// These commands must be run first.
    Capture(List),
    /// What is wrong.
    Wrong(String),
}

/// What an expansion sees of its shell.
pub(super) struct Scene<'a> {
    pub(super) vars: &'a Vars,
    pub(super) name: &'a str,
    pub(super) positional: &'a [String],
    pub(super) status: u8,
    pub(super) pid: u32,
    pub(super) background: Option<u32>,
    pub(super) flags: &'a str,
    pub(super) nounset: bool,
    pub(super) noglob: bool,
    pub(super) files: &'a View<'a>,
    pub(super) cwd: &'a str,
    /// The results of command substitutions so far.
    pub(super) captured: &'a [String],
}

/// An expansion under way.
pub(super) struct Expansion<'a> {
    scene: &'a Scene<'a>,
    used: usize,
    /// What is to be assigned when all has worked.
    pub(super) assigned: Vec<(String, String)>,
    size: usize,
}

#[derive(Default)]
struct Field {
    text: String,
    /// The same with a backslash before what was quoted.
    pattern: String,
    globs: bool,
}

struct Fields {
    done: Vec<Field>,
    current: Option<Field>,
    /// Whether white space has just ended a field.
    after_space: bool,
    ifs: Option<String>,
}

impl Fields {
    fn add(&mut self, text: &str, quoted: bool) {
        let field = self.current.get_or_insert_default();
        field.text.push_str(text);
        for c in text.chars() {
            let special = matches!(c, '*' | '?' | '[' | ']' | '\\' | '-' | '!' | '^');
            if special && quoted {
                field.pattern.push('\\');
            }
            field.globs |= !quoted && matches!(c, '*' | '?' | '[');
            field.pattern.push(c);
        }
        self.after_space = false;
    }

    fn end_field(&mut self) {
        self.done.extend(self.current.take());
    }

    fn split(&mut self, text: &str) {
        let ifs = self.ifs.clone();
        let ifs = ifs.as_deref().unwrap_or(" \t\n");
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if !ifs.contains(c) {
                let length = rest.find(|c| ifs.contains(c)).unwrap_or(rest.len());
                self.add(&rest[..length], false);
                rest = &rest[length..];
                continue;
            }
            rest = &rest[c.len_utf8()..];
            let space = matches!(c, ' ' | '\t' | '\n');
            if self.current.is_some() {
                self.end_field();
                self.after_space = space;
            } else if !space && !core::mem::take(&mut self.after_space) {
                self.done.push(Field::default());
            }
        }
    }
}

impl Scope for Expansion<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.variable(name)
    }

    fn set(&mut self, name: &str, value: i64) {
        self.assigned.push((name.into(), value.to_string()));
    }
}

impl<'a> Expansion<'a> {
    pub(super) const fn new(scene: &'a Scene<'a>) -> Self {
        Self { scene, used: 0, assigned: Vec::new(), size: 0 }
    }

    /// The fields of a word; as text or a pattern it is exactly one.
    pub(super) fn expand(&mut self, word: &Word, mode: Mode) -> Result<Vec<String>, Fault> {
        let ifs = self.variable("IFS");
        let mut fields = Fields { done: Vec::new(), current: None, after_space: false, ifs };
        self.parts(word, false, mode == Mode::Fields, false, &mut fields)?;
        fields.end_field();
        match mode {
            Mode::Fields => {
                let mut names = Vec::new();
                for field in fields.done {
                    let found = if field.globs && !self.scene.noglob {
                        glob(self.scene.files, self.scene.cwd, &field.pattern)
                    } else {
                        Vec::new()
                    };
                    if found.is_empty() { names.push(field.text) } else { names.extend(found) }
                }
                Ok(names)
            }
            Mode::Text => Ok(Vec::from([join(fields.done, |field| field.text)])),
            Mode::Pattern => Ok(Vec::from([join(fields.done, |field| field.pattern)])),
        }
    }

    fn text(&mut self, word: &Word) -> Result<String, Fault> {
        Ok(self.expand(word, Mode::Text)?.pop().unwrap_or_default())
    }

    fn parts(
        &mut self,
        word: &[Part],
        quoted: bool,
        split: bool,
        in_default: bool,
        fields: &mut Fields,
    ) -> Result<(), Fault> {
        for part in word {
            match part {
                Part::Literal(text) if in_default && split && !quoted => fields.split(text),
                Part::Literal(text) => fields.add(text, quoted),
                Part::Quoted(text) => fields.add(text, true),
                Part::Tilde => {
                    let home = self.variable("HOME").unwrap_or_else(|| "~".into());
                    fields.add(&home, true);
                }
                Part::Double(word) => {
                    let many = |part: &Part| matches!(part, Part::Parameter(Parameter { name, op: Op::Plain, .. }) if name == "@");
                    if self.scene.positional.is_empty() && word.len() == 1 && many(&word[0]) {
                        continue;
                    }
                    fields.add("", true);
                    self.parts(word, true, split, false, fields)?;
                }
                Part::Command(list) => {
                    let Some(text) = self.scene.captured.get(self.used) else {
                        return Err(Fault::Capture(list.clone()));
                    };
                    self.used += 1;
                    self.value(text, quoted, split, fields)?;
                }
                Part::Arithmetic(word) => {
                    let text = self.text(word)?;
                    let value = arithmetic::evaluate(&text, self).map_err(Fault::Wrong)?;
                    self.value(&value.to_string(), quoted, split, fields)?;
                }
                Part::Parameter(parameter) => self.parameter(parameter, quoted, split, fields)?,
            }
        }
        Ok(())
    }

    fn value(
        &mut self,
        text: &str,
        quoted: bool,
        split: bool,
        fields: &mut Fields,
    ) -> Result<(), Fault> {
        self.size += text.len();
        if self.size > MAX_WORD {
            return Err(Fault::Wrong("out of memory".into()));
        }
        if split && !quoted {
            fields.split(text);
        } else {
            fields.add(text, quoted);
        }
        Ok(())
    }

    /// `$@` and `$*`.
    fn positional(
        &mut self,
        name: &str,
        quoted: bool,
        split: bool,
        fields: &mut Fields,
    ) -> Result<(), Fault> {
        let scene = self.scene;
        let one = (quoted && name == "*") || !split;
        let separator = match &fields.ifs {
            _ if name == "@" => " ".into(),
            Some(ifs) => ifs.chars().take(1).collect(),
            None => String::from(" "),
        };
        for (index, value) in scene.positional.iter().enumerate() {
            if index > 0 {
                if one {
                    fields.add(&separator, quoted);
                } else {
                    fields.end_field();
                }
            }
            if !one && quoted {
                fields.add("", true);
            }
            self.value(value, quoted, split, fields)?;
        }
        Ok(())
    }

    fn parameter(
        &mut self,
        parameter: &Parameter,
        quoted: bool,
        split: bool,
        fields: &mut Fields,
    ) -> Result<(), Fault> {
        let Parameter { name, op, word, second } = parameter;
        if matches!(name.as_str(), "@" | "*") && *op == Op::Plain {
            return self.positional(name, quoted, split, fields);
        }
        let value = self.lookup(name);
        let given = |colon: bool| value.as_ref().is_some_and(|value| !colon || !value.is_empty());
        match op {
            Op::Default { colon } | Op::Assign { colon } | Op::Error { colon } if given(*colon) => {
            }
            Op::Default { .. } => return self.parts(word, quoted, split, true, fields),
            Op::Assign { .. } => {
                let text = self.text(word)?;
                self.assigned.push((name.clone(), text.clone()));
                return self.value(&text, quoted, split, fields);
            }
            Op::Error { colon } => {
                let text = self.text(word)?;
                return Err(Fault::Wrong(match (text.is_empty(), colon) {
                    (false, _) => format!("{name}: {text}"),
                    (true, true) => format!("{name}: parameter not set or null"),
                    (true, false) => format!("{name}: parameter not set"),
                }));
            }
            Op::Alternate { colon } => {
                return if given(*colon) {
                    self.parts(word, quoted, split, true, fields)
                } else {
                    Ok(())
                };
            }
            _ if value.is_none() && self.scene.nounset && !matches!(name.as_str(), "@" | "*") => {
                return Err(Fault::Wrong(format!("{name}: parameter not set")));
            }
            _ => {}
        }
        let value = value.unwrap_or_default();
        let result = match op {
            Op::Length => match name.as_str() {
                "@" | "*" => self.scene.positional.len().to_string(),
                _ => value.chars().count().to_string(),
            },
            Op::Prefix { longest } => {
                let pattern = self.pattern(word)?;
                value[pattern.prefix(&value, *longest).unwrap_or(0)..].to_string()
            }
            Op::Suffix { longest } => {
                let pattern = self.pattern(word)?;
                value[..value.len() - pattern.suffix(&value, *longest).unwrap_or(0)].to_string()
            }
            Op::Substring => self.substring(&value, word, second.as_ref())?,
            Op::Replace { all } => {
                let pattern = self.pattern(word)?;
                let with = match second {
                    Some(second) => self.text(second)?,
                    None => String::new(),
                };
                replace(&value, &pattern, &with, *all)
            }
            _ => value,
        };
        self.value(&result, quoted, split, fields)
    }

    fn pattern(&mut self, word: &Word) -> Result<Pattern, Fault> {
        let text = self.expand(word, Mode::Pattern)?.pop().unwrap_or_default();
        Ok(Pattern::new(&text))
    }

    fn substring(
        &mut self,
        value: &str,
        from: &Word,
        length: Option<&Word>,
    ) -> Result<String, Fault> {
        let count = i64::try_from(value.chars().count()).unwrap_or(i64::MAX);
        let text = self.text(from)?;
        let from = arithmetic::evaluate(&text, self).map_err(Fault::Wrong)?;
        let from = if from < 0 { (count + from).max(0) } else { from.min(count) };
        let length = match length {
            None => count,
            Some(word) => {
                let text = self.text(word)?;
                arithmetic::evaluate(&text, self).map_err(Fault::Wrong)?
            }
        };
        let end = if length < 0 {
            (count + length).max(from)
        } else {
            from.saturating_add(length).min(count)
        };
        let index = |number: i64| usize::try_from(number).unwrap_or(0);
        Ok(value.chars().skip(index(from)).take(index(end - from)).collect())
    }

    fn variable(&self, name: &str) -> Option<String> {
        let assigned = self.assigned.iter().rfind(|(known, _)| known == name);
        assigned
            .map(|(_, value)| value.clone())
            .or_else(|| self.scene.vars.get(name).map(Into::into))
    }

    fn lookup(&self, name: &str) -> Option<String> {
        let scene = self.scene;
        match name {
            "?" => Some(scene.status.to_string()),
            "$" => Some(scene.pid.to_string()),
            "!" => scene.background.map(|pid| pid.to_string()),
            "#" => Some(scene.positional.len().to_string()),
            "-" => Some(scene.flags.into()),
            "0" => Some(scene.name.into()),
            "@" | "*" => (!scene.positional.is_empty()).then(|| scene.positional.join(" ")),
            _ if name.starts_with(|c: char| c.is_ascii_digit()) => {
                let index: usize = name.parse().ok()?;
                scene.positional.get(index.checked_sub(1)?).cloned()
            }
            _ => self.variable(name),
        }
    }
}

fn join(fields: Vec<Field>, take: impl Fn(Field) -> String) -> String {
    let mut whole = String::new();
    for field in fields {
        if !whole.is_empty() {
            whole.push(' ');
        }
        whole.push_str(&take(field));
    }
    whole
}

fn replace(value: &str, pattern: &Pattern, with: &str, all: bool) -> String {
    let (mut text, mut rest) = (String::new(), value);
    // Each place is tried once, and the work is bounded as the pattern's own is.
    let mut tries = 10_000_usize;
    while let Some(c) = rest.chars().next() {
        tries = tries.saturating_sub(1);
        match pattern.prefix(rest, true).filter(|length| *length > 0 && tries > 0) {
            Some(length) => {
                text.push_str(with);
                rest = &rest[length..];
                if !all {
                    break;
                }
            }
            None => {
                text.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    text.push_str(rest);
    text
}

/// The names that match a pattern, ordered; none if it matches nothing.
fn glob(files: &View<'_>, cwd: &str, pattern: &str) -> Vec<String> {
    let mut found = Vec::from([if pattern.starts_with('/') { "/".into() } else { String::new() }]);
    let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    for (index, part) in parts.iter().enumerate() {
        let last = index + 1 == parts.len();
        let part = Pattern::new(part);
        let mut next = Vec::new();
        for way in found {
            let folder = if way.is_empty() { "." } else { way.as_str() };
            let end = if last { "" } else { "/" };
            if let Some(name) = part.literal() {
                let path = format!("{way}{name}");
                if files.locate(cwd, &path, false).is_ok_and(|(_, node)| node.is_some()) {
                    next.push(format!("{path}{end}"));
                }
                continue;
            }
            let Ok(entries) = files.list(cwd, folder) else { continue };
            for name in entries.keys() {
                if (!name.starts_with('.') || part.wants_dot()) && part.matches(name) {
                    let path = format!("{way}{name}");
                    if last || files.is_directory(cwd, &path) {
                        next.push(format!("{path}{end}"));
                    }
                }
            }
            if next.len() > 65_536 {
                break;
            }
        }
        found = next;
    }
    if parts.is_empty() {
        found.clear();
    }
    found
}
