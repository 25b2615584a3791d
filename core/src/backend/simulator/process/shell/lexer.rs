//! Words: quotes, parameters, substitutions, here-documents.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::ast::{List, Op, Parameter, Part, Word};
use super::parser::{ParseError, Parsed, Parser};

/// Where a piece of a word stands, which says what ends it and what a backslash does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Word,
    /// In double quotes.
    Double,
    /// A here-document whose delimiter was not quoted.
    Here,
    /// In `${…}`; in double quotes or not.
    Brace {
        double: bool,
    },
    /// In `${…/`, up to the next slash.
    Slash {
        double: bool,
    },
    /// In `${v:`, up to the next colon.
    Colon,
    /// In `$((…))`.
    Arithmetic,
}

/// A word in the making.
#[derive(Default)]
struct Parts {
    parts: Vec<Part>,
    literal: String,
}

impl Parts {
    fn push(&mut self, part: Part) {
        if !self.literal.is_empty() {
            self.parts.push(Part::Literal(core::mem::take(&mut self.literal)));
        }
        self.parts.push(part);
    }

    fn finish(mut self) -> Word {
        if !self.literal.is_empty() {
            self.parts.push(Part::Literal(self.literal));
        }
        self.parts.into()
    }
}

impl Parser<'_> {
    /// The next word, if one begins here.
    pub(super) fn word(&mut self) -> Parsed<Option<Word>> {
        let start = self.at;
        let mut parts = Parts::default();
        if self.rest().starts_with('~') {
            let next = self.rest()[1..].chars().next();
            if next.is_none_or(|c| matches!(c, '/' | ' ' | '\t' | '\n' | ';' | '&' | '|' | ')')) {
                self.at += 1;
                parts.push(Part::Tilde);
            }
        }
        self.parts(&mut parts, Inside::Word)?;
        if self.at == start {
            return Ok(None);
        }
        Ok(Some(parts.finish()))
    }

    fn nested(&mut self, inside: Inside) -> Parsed<Word> {
        self.depth += 1;
        if self.depth > 60 {
            return Err(ParseError::Syntax("words are nested too deep".into()));
        }
        let mut parts = Parts::default();
        self.parts(&mut parts, inside)?;
        self.depth -= 1;
        Ok(parts.finish())
    }

    fn parts(&mut self, parts: &mut Parts, inside: Inside) -> Parsed<()> {
        let mut open = 0_u32;
        while let Some(c) = self.rest().chars().next() {
            let double = matches!(
                inside,
                Inside::Double
                    | Inside::Here
                    | Inside::Arithmetic
                    | Inside::Brace { double: true }
                    | Inside::Slash { double: true }
            );
            let ends = match inside {
                Inside::Word => {
                    matches!(c, ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')')
                }
                Inside::Double => c == '"',
                Inside::Here => false,
                Inside::Brace { .. } => c == '}',
                Inside::Slash { .. } => matches!(c, '}' | '/'),
                Inside::Colon => matches!(c, '}' | ':'),
                Inside::Arithmetic => c == ')' && open == 0,
            };
            if ends {
                return Ok(());
            }
            match c {
                '\\' => self.backslash(parts, inside, double),
                '\'' if !double => {
                    self.at += 1;
                    let end = self.rest().find('\'').ok_or_else(|| self.unterminated())?;
                    let text = &self.rest()[..end];
                    parts.push(Part::Quoted(text.into()));
                    self.lines(end + 1);
                }
                '"' if !matches!(inside, Inside::Here) => {
                    self.at += 1;
                    if double {
                        // Quotes in a braced word in quotes only come and go.
                        continue;
                    }
                    let word = self.nested(Inside::Double)?;
                    if !self.take("\"") {
                        return Err(self.unterminated());
                    }
                    parts.push(Part::Double(word));
                }
                '$' => self.dollar(parts, double)?,
                '`' => {
                    let list = self.backquotes()?;
                    parts.push(Part::Command(list));
                }
                _ => {
                    if inside == Inside::Arithmetic {
                        match c {
                            '(' => open += 1,
                            ')' => open -= 1,
                            _ => {}
                        }
                    }
                    parts.literal.push(c);
                    self.lines(c.len_utf8());
                }
            }
        }
        match inside {
            Inside::Word | Inside::Here => Ok(()),
            Inside::Double => Err(self.unterminated()),
            Inside::Arithmetic => Err(self.end("))")),
            _ => Err(match self.end("") {
                ParseError::Syntax(_) => ParseError::Syntax("missing '}'".into()),
                incomplete @ ParseError::Incomplete => incomplete,
            }),
        }
    }

    fn lines(&mut self, length: usize) {
        let passed =
            self.text[self.at..self.at + length].bytes().filter(|byte| *byte == b'\n').count();
        self.line += u32::try_from(passed).unwrap_or(0);
        self.at += length;
    }

    fn unterminated(&self) -> ParseError {
        match self.end("") {
            ParseError::Syntax(_) => ParseError::Syntax("unterminated quoted string".into()),
            incomplete @ ParseError::Incomplete => incomplete,
        }
    }

    fn backslash(&mut self, parts: &mut Parts, inside: Inside, double: bool) {
        self.at += 1;
        let Some(next) = self.rest().chars().next() else {
            parts.literal.push('\\');
            return;
        };
        if next == '\n' {
            self.lines(1);
            return;
        }
        let special = match inside {
            Inside::Here => matches!(next, '$' | '`' | '\\'),
            _ if double => matches!(next, '$' | '`' | '\\' | '"' | '}'),
            _ => true,
        };
        if special {
            self.lines(next.len_utf8());
            let mut text = String::new();
            text.push(next);
            parts.push(Part::Quoted(text));
        } else if inside == Inside::Arithmetic || double {
            parts.push(Part::Quoted("\\".into()));
        }
    }

    fn dollar(&mut self, parts: &mut Parts, double: bool) -> Parsed<()> {
        self.at += 1;
        let rest = self.rest();
        if rest.starts_with("((") {
            let (at, line) = (self.at, self.line);
            self.at += 2;
            match self.nested(Inside::Arithmetic) {
                Ok(word) if self.rest().starts_with("))") => {
                    self.at += 2;
                    parts.push(Part::Arithmetic(word));
                    return Ok(());
                }
                Err(error @ ParseError::Syntax(_)) if self.rest().is_empty() => return Err(error),
                Err(error) => return Err(error),
                // `$((a) | b)` is a subshell in a substitution.
                Ok(_) => (self.at, self.line) = (at, line),
            }
        }
        if self.take("(") {
            let list = self.list()?;
            self.skip_newlines();
            if !self.take(")") {
                return Err(self.unexpected(")"));
            }
            parts.push(Part::Command(list));
            return Ok(());
        }
        if self.take("{") {
            let parameter = self.braced(double)?;
            parts.push(Part::Parameter(parameter));
            return Ok(());
        }
        if !double && self.rest().starts_with('\'') {
            self.at += 1;
            let text = self.escaped()?;
            parts.push(Part::Quoted(text));
            return Ok(());
        }
        let name = self.parameter_name(false);
        if name.is_empty() {
            parts.literal.push('$');
            return Ok(());
        }
        let parameter = Parameter { name, op: Op::Plain, word: Arc::new([]), second: None };
        parts.push(Part::Parameter(parameter));
        Ok(())
    }

    fn parameter_name(&mut self, braced: bool) -> String {
        let rest = self.rest();
        let first = rest.chars().next().unwrap_or(' ');
        let length = match first {
            '0'..='9' if braced => rest.bytes().take_while(u8::is_ascii_digit).count(),
            '0'..='9' | '?' | '$' | '!' | '#' | '@' | '*' | '-' => 1,
            _ => rest
                .bytes()
                .enumerate()
                .take_while(|(at, byte)| {
                    *byte == b'_'
                        || byte.is_ascii_alphabetic()
                        || (*at > 0 && byte.is_ascii_digit())
                })
                .count(),
        };
        self.at += length;
        rest[..length].into()
    }

    fn braced(&mut self, double: bool) -> Parsed<Parameter> {
        let bad = || ParseError::Syntax("bad substitution".into());
        if self.rest().starts_with('#') && !self.rest().starts_with("#}") {
            let from = self.at;
            self.at += 1;
            let name = self.parameter_name(true);
            if !name.is_empty() && self.take("}") {
                return Ok(Parameter { name, op: Op::Length, word: Arc::new([]), second: None });
            }
            self.at = from;
        }
        let name = self.parameter_name(true);
        if name.is_empty() {
            return Err(if self.rest().is_empty() { self.end("}") } else { bad() });
        }
        let signs = [
            (":-", Op::Default { colon: true }),
            (":=", Op::Assign { colon: true }),
            (":?", Op::Error { colon: true }),
            (":+", Op::Alternate { colon: true }),
            ("-", Op::Default { colon: false }),
            ("=", Op::Assign { colon: false }),
            ("?", Op::Error { colon: false }),
            ("+", Op::Alternate { colon: false }),
            ("##", Op::Prefix { longest: true }),
            ("#", Op::Prefix { longest: false }),
            ("%%", Op::Suffix { longest: true }),
            ("%", Op::Suffix { longest: false }),
            ("//", Op::Replace { all: true }),
            ("/", Op::Replace { all: false }),
            (":", Op::Substring),
        ];
        let Some((sign, op)) = signs.into_iter().find(|(sign, _)| self.rest().starts_with(sign))
        else {
            return match self.take("}") {
                true => Ok(Parameter { name, op: Op::Plain, word: Arc::new([]), second: None }),
                false if self.rest().is_empty() => Err(self.end("}")),
                false => Err(bad()),
            };
        };
        self.at += sign.len();
        let mut second = None;
        let word = match op {
            Op::Substring => {
                let word = self.nested(Inside::Colon)?;
                if self.take(":") {
                    second = Some(self.nested(Inside::Colon)?);
                }
                word
            }
            Op::Replace { .. } => {
                let word = self.nested(Inside::Slash { double: false })?;
                if self.take("/") {
                    second = Some(self.nested(Inside::Brace { double })?);
                }
                word
            }
            // Quotes in a pattern quote, whatever is around.
            Op::Prefix { .. } | Op::Suffix { .. } => {
                self.nested(Inside::Brace { double: false })?
            }
            _ => self.nested(Inside::Brace { double })?,
        };
        if !self.take("}") {
            return Err(bad());
        }
        Ok(Parameter { name, op, word, second })
    }

    /// `$'…'`.
    fn escaped(&mut self) -> Parsed<String> {
        let mut text = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' => {
                    self.lines(at + 1);
                    return Ok(text);
                }
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some('e') => text.push('\x1b'),
                    Some('a') => text.push('\x07'),
                    Some(c @ ('\\' | '\'' | '"')) => text.push(c),
                    Some(c) => text.extend(['\\', c]),
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err(self.unterminated())
    }

    fn backquotes(&mut self) -> Parsed<List> {
        self.at += 1;
        let mut inner = String::new();
        let mut chars = self.rest().char_indices();
        let length = loop {
            match chars.next() {
                Some((at, '`')) => break at,
                Some((_, '\\')) => match chars.next() {
                    Some((_, c @ ('`' | '\\' | '$'))) => inner.push(c),
                    Some((_, c)) => inner.extend(['\\', c]),
                    None => inner.push('\\'),
                },
                Some((_, c)) => inner.push(c),
                None => {
                    return Err(match self.end("") {
                        ParseError::Syntax(_) => {
                            ParseError::Syntax("EOF in backquote substitution".into())
                        }
                        incomplete @ ParseError::Incomplete => incomplete,
                    });
                }
            }
        };
        let mut parser = Parser::new(&inner, 0, self.line, true);
        parser.depth = self.depth + 1;
        let list = parser.list()?;
        parser.skip_newlines();
        if !parser.rest().is_empty() {
            return Err(parser.unexpected(""));
        }
        self.lines(length + 1);
        Ok(list)
    }

    /// The text of a here-document, which stands behind this line; the delimiter stands here.
    pub(super) fn here_document(&mut self, tabs: bool) -> Parsed<Word> {
        let from = self.at;
        if self.word()?.is_none() {
            return Err(self.unexpected("word"));
        }
        let raw = &self.text[from..self.at];
        let quoted = raw.contains(['\'', '"', '\\']);
        let delimiter: String = raw.chars().filter(|c| !matches!(c, '\'' | '"' | '\\')).collect();
        let start = match self.after_here {
            Some(start) => start,
            None => match self.rest().find('\n') {
                Some(length) => self.at + length + 1,
                None if self.complete => self.text.len(),
                None => return Err(ParseError::Incomplete),
            },
        };
        let mut body = String::new();
        let mut at = start;
        loop {
            let rest = &self.text[at..];
            if rest.is_empty() {
                if self.complete {
                    break;
                }
                return Err(ParseError::Incomplete);
            }
            let length = rest.find('\n').map_or(rest.len(), |length| length + 1);
            let line = &rest[..length];
            at += length;
            let line = if tabs { line.trim_start_matches('\t') } else { line };
            if line.trim_end_matches('\n') == delimiter {
                break;
            }
            body.push_str(line);
        }
        self.after_here = Some(at);
        if quoted {
            return Ok(Arc::new([Part::Quoted(body)]));
        }
        let mut parser = Parser::new(&body, 0, self.line, true);
        parser.depth = self.depth + 1;
        let word = parser.nested(Inside::Here)?;
        Ok(Arc::new([Part::Double(word)]))
    }
}
