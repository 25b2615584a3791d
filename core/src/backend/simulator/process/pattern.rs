//! Patterns of file names and of `case`: `*`, `?`, `[…]`, and `\` before what is meant as it stands.

use alloc::string::String;
use alloc::vec::Vec;

/// States times characters that one match may take; what needs more does not match.
const MAX_WORK: usize = 1 << 24;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    Char(char),
    Any,
    Star,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// A pattern, ready to be matched in a time that is the product of the lengths at most.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::backend::simulator) struct Pattern(Vec<Token>);

impl Pattern {
    pub(in crate::backend::simulator) fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let (mut tokens, mut at) = (Vec::new(), 0);
        while let Some(c) = chars.get(at) {
            at += 1;
            match c {
                '*' if tokens.last() == Some(&Token::Star) => {}
                '*' => tokens.push(Token::Star),
                '?' => tokens.push(Token::Any),
                '\\' => {
                    tokens.push(Token::Char(chars.get(at).copied().unwrap_or('\\')));
                    at += 1;
                }
                '[' => match class(&chars, at) {
                    Some((token, next)) => {
                        tokens.push(token);
                        at = next;
                    }
                    None => tokens.push(Token::Char('[')),
                },
                c => tokens.push(Token::Char(*c)),
            }
        }
        Self(tokens)
    }

    /// The text, if no character of the pattern stands for others.
    pub(super) fn literal(&self) -> Option<String> {
        let literal = |token: &Token| match token {
            Token::Char(c) => Some(*c),
            _ => None,
        };
        self.0.iter().map(literal).collect()
    }

    /// Whether the first character must be a dot.
    pub(super) fn wants_dot(&self) -> bool {
        self.0.first() == Some(&Token::Char('.'))
    }

    pub(in crate::backend::simulator) fn matches(&self, text: &str) -> bool {
        let length = text.chars().count();
        let mut whole = false;
        Self::run(&self.0, text.chars(), length, |at| whole |= at == length);
        whole
    }

    /// The shortest or longest beginning that matches, in bytes.
    pub(super) fn prefix(&self, text: &str, longest: bool) -> Option<usize> {
        let found = Self::pick(&self.0, text.chars(), text.chars().count(), longest)?;
        Some(text.chars().take(found).map(char::len_utf8).sum())
    }

    /// The shortest or longest end that matches, in bytes.
    pub(super) fn suffix(&self, text: &str, longest: bool) -> Option<usize> {
        let reversed: Vec<Token> = self.0.iter().rev().cloned().collect();
        let found = Self::pick(&reversed, text.chars().rev(), text.chars().count(), longest)?;
        Some(text.chars().rev().take(found).map(char::len_utf8).sum())
    }

    fn pick(
        tokens: &[Token],
        text: impl Iterator<Item = char>,
        length: usize,
        longest: bool,
    ) -> Option<usize> {
        let mut found = None;
        Self::run(tokens, text, length, |at| {
            if longest || found.is_none() {
                found = Some(at);
            }
        });
        found
    }

    /// Tells each length of the beginnings that match.
    fn run(
        tokens: &[Token],
        text: impl Iterator<Item = char>,
        length: usize,
        mut found: impl FnMut(usize),
    ) {
        if tokens.len().saturating_mul(length) > MAX_WORK {
            return;
        }
        let mut states = Vec::from([0]);
        close(tokens, &mut states);
        let mut next = Vec::new();
        for (at, c) in text.map(Some).chain([None]).enumerate() {
            if states.last() == Some(&tokens.len()) {
                found(at);
            }
            let Some(c) = c else { return };
            next.clear();
            for state in &states {
                match tokens.get(*state) {
                    Some(Token::Star) => next.push(*state),
                    Some(token) if token.takes(c) => next.push(*state + 1),
                    _ => {}
                }
            }
            core::mem::swap(&mut states, &mut next);
            close(tokens, &mut states);
            if states.is_empty() {
                return;
            }
        }
    }
}

/// Adds the states behind stars, which match nothing too; keeps the states in order, once each.
fn close(tokens: &[Token], states: &mut Vec<usize>) {
    // One that a star and the token before it lead to is there twice.
    states.dedup();
    let mut at = 0;
    while let Some(state) = states.get(at).copied() {
        if tokens.get(state) == Some(&Token::Star) && states.get(at + 1) != Some(&(state + 1)) {
            states.insert(at + 1, state + 1);
        }
        at += 1;
    }
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::Any | Self::Star => true,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated
            }
        }
    }
}

/// The class that begins at `at`, behind its bracket, and where it ends.
fn class(chars: &[char], mut at: usize) -> Option<(Token, usize)> {
    let negated = matches!(chars.get(at), Some('!' | '^'));
    at += usize::from(negated);
    let first = at;
    let mut ranges = Vec::new();
    loop {
        let mut c = *chars.get(at)?;
        if c == ']' && at > first {
            return Some((Token::Class { negated, ranges }, at + 1));
        }
        if c == '[' && chars.get(at + 1) == Some(&':') {
            let name: String = chars[at + 2..].iter().take_while(|c| **c != ':').collect();
            let end = at + 2 + name.chars().count();
            if let Some(known) = named_class(&name)
                && chars.get(end) == Some(&':')
                && chars.get(end + 1) == Some(&']')
            {
                ranges.extend_from_slice(known);
                at = end + 2;
                continue;
            }
        }
        if c == '\\' {
            at += 1;
            c = *chars.get(at)?;
        }
        at += 1;
        let to = match (chars.get(at), chars.get(at + 1)) {
            (Some('-'), Some(to)) if *to != ']' => {
                at += 2;
                *to
            }
            _ => c,
        };
        ranges.push((c, to));
    }
}

/// The characters of `[:name:]`.
pub(super) fn named_class(name: &str) -> Option<&'static [(char, char)]> {
    Some(match name {
        "alpha" => &[('a', 'z'), ('A', 'Z')],
        "digit" => &[('0', '9')],
        "alnum" => &[('a', 'z'), ('A', 'Z'), ('0', '9')],
        "upper" => &[('A', 'Z')],
        "lower" => &[('a', 'z')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "xdigit" => &[('0', '9'), ('a', 'f'), ('A', 'F')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "print" => &[(' ', '~')],
        "graph" => &[('!', '~')],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_shell_has_them() {
        for (pattern, text, matches) in [
            ("", "", true),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("?", "ä", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[", "[", true),
            ("[[:digit:]]*", "7up", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("**a**", "xax", true),
            ("*.tar.*", "a.tar.gz", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn ends_are_trimmed_short_and_long() {
        let slash = Pattern::new("*/");
        assert_eq!(slash.prefix("a/b/c", false), Some(2));
        assert_eq!(slash.prefix("a/b/c", true), Some(4));
        let dot = Pattern::new(".*");
        assert_eq!(dot.suffix("a.tar.gz", false), Some(3));
        assert_eq!(dot.suffix("a.tar.gz", true), Some(7));
        assert_eq!(dot.suffix("none", true), None);
    }

    #[test]
    fn stars_do_not_explode() {
        let pattern = Pattern::new(&"a*".repeat(500));
        assert!(
            !pattern
                .matches(&("a".repeat(5000) + "b").replace('b', "b\n").replace('\n', "")[..400])
        );
    }
}
