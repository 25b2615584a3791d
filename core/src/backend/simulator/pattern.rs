//! Regular expressions, as far as people use them in `docker ps --filter name=…`.
//!
//! The engine matches names with Go's `regexp`. Understood here: literals, `.`, `[a-z]`, `[^…]`, `*`, `+`, `?`, `|`,
//! groups, `^`, `$`, and a backslash before punctuation. A pattern that holds anything else is refused, and what is
//! refused matches nothing, as an invalid one does in the engine. Time is bounded by the length of the pattern times
//! that of the text, whatever a client sends.

use alloc::vec;
use alloc::vec::Vec;
use core::iter::Peekable;
use core::str::Chars;

/// Groups inside groups: deeper than this is no name that anybody looks for.
const MAX_DEPTH: usize = 50;
/// Characters of a pattern.
const MAX_LENGTH: usize = 1000;

/// A compiled regular expression.
pub(super) struct Pattern {
    program: Vec<Step>,
}

/// One step of the automaton; numbers are places in the program.
enum Step {
    Char(char),
    Any,
    /// A class: ranges, and whether they are what it must not be.
    Class(Vec<(char, char)>, bool),
    Start,
    End,
    Split(usize, usize),
    Jump(usize),
    Match,
}

impl Pattern {
    /// `None` if it is not understood.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let mut parser = Parser { rest: text.chars().peekable(), depth: 0 };
        let mut program = parser.alternatives()?;
        if parser.rest.next().is_some() {
            return None;
        }
        program.push(Step::Match);
        Some(Self { program })
    }

    /// Whether it matches anywhere in `text`.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut threads = Threads::new(self.program.len());
        let mut chars = text.chars();
        let mut first = true;
        loop {
            let next = chars.next();
            if threads.follow(&self.program, 0, first, next.is_none()) {
                return true;
            }
            let Some(c) = next else { return false };
            first = false;
            let last = chars.as_str().is_empty();
            let places = threads.start_over();
            for place in places {
                if self.program[place].takes(c)
                    && threads.follow(&self.program, place + 1, false, last)
                {
                    return true;
                }
            }
        }
    }
}

impl Step {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(wanted) => *wanted == c,
            Self::Any => c != '\n',
            Self::Class(ranges, negated) => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
            _ => false,
        }
    }
}

/// The places of the program that are reached at one place of the text.
struct Threads {
    reached: Vec<bool>,
    places: Vec<usize>,
}

impl Threads {
    fn new(len: usize) -> Self {
        Self { reached: vec![false; len], places: Vec::new() }
    }

    fn start_over(&mut self) -> Vec<usize> {
        self.reached.fill(false);
        core::mem::take(&mut self.places)
    }

    /// Adds all that can be reached from `from` without taking a character; whether that is a match.
    fn follow(&mut self, program: &[Step], from: usize, first: bool, last: bool) -> bool {
        let mut open = vec![from];
        while let Some(place) = open.pop() {
            if core::mem::replace(&mut self.reached[place], true) {
                continue;
            }
            match &program[place] {
                Step::Match => return true,
                Step::Jump(to) => open.push(*to),
                Step::Split(one, other) => open.extend([*other, *one]),
                Step::Start if first => open.push(place + 1),
                Step::End if last => open.push(place + 1),
                Step::Start | Step::End => {}
                _ => self.places.push(place),
            }
        }
        false
    }
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    depth: usize,
}

impl Parser<'_> {
    fn alternatives(&mut self) -> Option<Vec<Step>> {
        let mut program = self.sequence()?;
        while self.rest.next_if_eq(&'|').is_some() {
            let other = self.sequence()?;
            let len = program.len();
            shift(&mut program, 1);
            program.insert(0, Step::Split(1, len + 2));
            program.push(Step::Jump(len + 2 + other.len()));
            append(&mut program, other);
        }
        Some(program)
    }

    fn sequence(&mut self) -> Option<Vec<Step>> {
        let mut program = Vec::new();
        while self.rest.peek().is_some_and(|c| !matches!(c, '|' | ')')) {
            let part = self.repeated()?;
            append(&mut program, part);
        }
        Some(program)
    }

    fn repeated(&mut self) -> Option<Vec<Step>> {
        let mut part = self.single()?;
        let sign = match self.rest.peek() {
            Some(sign @ ('*' | '+' | '?')) => *sign,
            _ => return Some(part),
        };
        self.rest.next();
        // Whether a repeat is greedy does not matter where only a match is asked for.
        self.rest.next_if_eq(&'?');
        if matches!(self.rest.peek(), Some('*' | '+' | '?')) {
            return None;
        }
        let len = part.len();
        match sign {
            '+' => part.push(Step::Split(0, len + 1)),
            _ => {
                shift(&mut part, 1);
                let after = if sign == '*' { len + 2 } else { len + 1 };
                part.insert(0, Step::Split(1, after));
                if sign == '*' {
                    part.push(Step::Jump(0));
                }
            }
        }
        Some(part)
    }

    fn single(&mut self) -> Option<Vec<Step>> {
        let step = match self.rest.next()? {
            '(' => {
                self.depth += 1;
                if self.depth > MAX_DEPTH || self.rest.peek() == Some(&'?') {
                    return None;
                }
                let inner = self.alternatives()?;
                self.depth -= 1;
                return (self.rest.next() == Some(')')).then_some(inner);
            }
            '[' => self.class()?,
            '.' => Step::Any,
            '^' => Step::Start,
            '$' => Step::End,
            '*' | '+' | '?' | '{' => return None,
            '\\' => Step::Char(self.escaped()?),
            c => Step::Char(c),
        };
        Some(vec![step])
    }

    fn escaped(&mut self) -> Option<char> {
        self.rest.next().filter(char::is_ascii_punctuation)
    }

    fn class(&mut self) -> Option<Step> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut ranges = Vec::new();
        loop {
            let low = match self.rest.next()? {
                ']' if !ranges.is_empty() => return Some(Step::Class(ranges, negated)),
                '[' if self.rest.peek() == Some(&':') => return None,
                '\\' => self.escaped()?,
                c => c,
            };
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']') {
                self.rest.next();
                let high = match self.rest.next()? {
                    '\\' => self.escaped()?,
                    c => c,
                };
                if high < low {
                    return None;
                }
                ranges.push((low, high));
            } else {
                ranges.push((low, low));
            }
        }
    }
}

/// Appends a part whose numbers count from its own beginning.
fn append(program: &mut Vec<Step>, mut part: Vec<Step>) {
    shift(&mut part, program.len());
    program.append(&mut part);
}

fn shift(part: &mut [Step], by: usize) {
    for step in part {
        match step {
            Step::Split(one, other) => (*one, *other) = (*one + by, *other + by),
            Step::Jump(to) => *to += by,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;
    use alloc::string::String;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern).is_some_and(|pattern| pattern.matches(text))
    }

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, yes, no) in [
            ("", &["", "web"][..], &[][..]),
            ("web", &["web", "/web", "webb"], &["wb", "WEB"]),
            ("^/web$", &["/web"], &["web", "/web2", "//web"]),
            ("^web$", &["web"], &["/web"]),
            ("w.b", &["web", "w.b"], &["wb"]),
            ("we+b", &["web", "weeeb"], &["wb"]),
            ("we*b", &["wb", "web", "weeb"], &["wxb"]),
            ("we?b$", &["wb", "web"], &["weeb"]),
            ("^(web|db)$", &["web", "db"], &["webdb", "w"]),
            ("^(web|db|cache)_[0-9]+$", &["web_1", "db_22", "cache_0"], &["web_", "x_1"]),
            ("[dw]", &["db", "web"], &["cache"]),
            ("^[^dw]", &["cache"], &["db", "web", ""]),
            ("[]a-]", &["]", "a", "-"], &["b"]),
            (r"a\.b", &["a.b"], &["axb"]),
            ("(a*)*b", &["b", "aab"], &["aac"]),
            ("a|", &["", "a"], &[]),
            ("x*?y", &["xxy", "y"], &["x"]),
            ("a$|^b", &["ca", "bc"], &["ac"]),
        ] {
            for text in yes {
                assert!(matches(pattern, text), "{pattern:?} matches {text:?}");
            }
            for text in no {
                assert!(!matches(pattern, text), "{pattern:?} does not match {text:?}");
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for pattern in
            ["(", ")", "*", "a**", "[", "[z-a]", r"\", r"\d", "a{2}", "(?i)web", "[[:alpha:]]"]
        {
            assert!(Pattern::parse(pattern).is_none(), "{pattern:?}");
        }
        assert!(Pattern::parse(&"(".repeat(5000)).is_none());
    }

    proptest! {
        #[test]
        fn any_pattern_ends(pattern in "[ab()*+?|^$.\\[\\]-]{0,20}", text in "[ab]{0,20}") {
            matches(&pattern, &text);
        }

        #[test]
        fn a_literal_is_found(before: String, text in "[a-zA-Z0-9_-]{0,10}", after: String) {
            let whole = alloc::format!("{before}{text}{after}");
            prop_assert!(matches(&text, &whole));
        }
    }
}
