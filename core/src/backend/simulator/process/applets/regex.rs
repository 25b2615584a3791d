//! Regular expressions of POSIX, basic and extended, matched in a time that is the product of the lengths at most.
//!
//! A program of instructions is run by all its threads at once (Pike's way), so nothing backtracks.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::backend::simulator::process::pattern::named_class;

/// Instructions of a program; a bigger expression is refused.
const MAX_PROGRAM: usize = 4096;
/// Groups that are remembered, the whole match among them.
const MAX_GROUPS: usize = 10;

#[derive(Clone, Debug)]
enum Inst {
    Byte(u8),
    Any,
    Class(alloc::boxed::Box<[bool; 256]>),
    Start,
    End,
    /// `\b`, `\<`, `\>`.
    Word(char),
    Split(usize, usize),
    Jump(usize),
    Save(usize),
    Match,
}

/// An expression, ready to be matched.
#[derive(Clone, Debug)]
pub(super) struct Regex {
    program: Vec<Inst>,
    groups: usize,
    ignore_case: bool,
}

/// Where an expression has matched.
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    slots: Slots,
}

type Slots = [usize; MAX_GROUPS * 2];
const UNSET: usize = usize::MAX;

impl Found {
    pub(super) fn group(&self, index: usize) -> Option<(usize, usize)> {
        let (from, to) = (*self.slots.get(index * 2)?, *self.slots.get(index * 2 + 1)?);
        (from != UNSET && to != UNSET).then_some((from, to))
    }
}

#[derive(Clone, Debug)]
enum Tree {
    Empty,
    Inst(Inst),
    Sequence(Vec<Tree>),
    Choice(Vec<Tree>),
    Repeat(alloc::boxed::Box<Tree>, usize, Option<usize>),
    Group(alloc::boxed::Box<Tree>, usize),
}

impl Regex {
    pub(super) fn new(text: &str, extended: bool, ignore_case: bool) -> Result<Self, String> {
        let mut parser = Parser { text: text.as_bytes(), at: 0, extended, groups: 0, depth: 0 };
        let tree = parser.choice()?;
        if parser.at < parser.text.len() {
            return Err(format!("bad regex '{text}': Unmatched ) or \\)"));
        }
        let mut regex = Self { program: Vec::new(), groups: parser.groups, ignore_case };
        regex
            .emit(&tree, &mut 0)
            .map_err(|()| format!("bad regex '{text}': Regular expression too big"))?;
        regex.program.push(Inst::Match);
        Ok(regex)
    }

    /// An expression that is the text itself.
    pub(super) fn literal(text: &str, ignore_case: bool) -> Self {
        let mut program: Vec<Inst> = text.bytes().map(Inst::Byte).collect();
        program.push(Inst::Match);
        Self { program, groups: 0, ignore_case }
    }

    pub(super) const fn groups(&self) -> usize {
        self.groups
    }

    fn emit(&mut self, tree: &Tree, work: &mut usize) -> Result<(), ()> {
        *work += 1;
        if self.program.len() > MAX_PROGRAM || *work > 4 * MAX_PROGRAM {
            return Err(());
        }
        match tree {
            Tree::Empty => {}
            Tree::Inst(inst) => self.program.push(inst.clone()),
            Tree::Sequence(trees) => trees.iter().try_for_each(|tree| self.emit(tree, work))?,
            Tree::Choice(trees) => {
                let mut ends = Vec::new();
                for (index, tree) in trees.iter().enumerate() {
                    if index + 1 == trees.len() {
                        self.emit(tree, work)?;
                        break;
                    }
                    let split = self.program.len();
                    self.program.push(Inst::Match);
                    self.emit(tree, work)?;
                    ends.push(self.program.len());
                    self.program.push(Inst::Match);
                    self.program[split] = Inst::Split(split + 1, self.program.len());
                }
                for end in ends {
                    self.program[end] = Inst::Jump(self.program.len());
                }
            }
            Tree::Group(tree, index) => {
                if *index < MAX_GROUPS {
                    self.program.push(Inst::Save(index * 2));
                }
                self.emit(tree, work)?;
                if *index < MAX_GROUPS {
                    self.program.push(Inst::Save(index * 2 + 1));
                }
            }
            Tree::Repeat(tree, least, most) => {
                for _ in 0..*least {
                    self.emit(tree, work)?;
                }
                match most {
                    None => {
                        let split = self.program.len();
                        self.program.push(Inst::Match);
                        self.emit(tree, work)?;
                        self.program.push(Inst::Jump(split));
                        self.program[split] = Inst::Split(split + 1, self.program.len());
                    }
                    Some(most) => {
                        let mut splits = Vec::new();
                        for _ in *least..*most {
                            splits.push(self.program.len());
                            self.program.push(Inst::Match);
                            self.emit(tree, work)?;
                        }
                        for split in splits {
                            self.program[split] = Inst::Split(split + 1, self.program.len());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The leftmost match at or behind `from`, the longest of those that begin there.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<Found> {
        let mut current = Threads::new(self.program.len());
        let mut next = Threads::new(self.program.len());
        let mut best: Option<Found> = None;
        for at in from..=text.len() {
            if best.is_none() {
                let mut slots = [UNSET; MAX_GROUPS * 2];
                slots[0] = at;
                self.add(&mut current, 0, text, at, slots);
            }
            if current.list.is_empty() && best.is_some() {
                break;
            }
            let byte = text.get(at).copied();
            for (pc, slots) in &current.list {
                let start = slots[0];
                if best.as_ref().is_some_and(|best| start > best.start) {
                    continue;
                }
                let steps = match &self.program[*pc] {
                    Inst::Byte(own) => byte.is_some_and(|byte| self.same(*own, byte)),
                    Inst::Any => byte.is_some(),
                    Inst::Class(class) => byte.is_some_and(|byte| {
                        class[usize::from(byte)]
                            || self.ignore_case
                                && (class[usize::from(byte.to_ascii_lowercase())]
                                    || class[usize::from(byte.to_ascii_uppercase())])
                    }),
                    Inst::Match => {
                        let better =
                            best.as_ref().is_none_or(|best| start < best.start || at > best.end);
                        if better {
                            best = Some(Found { start, end: at, slots: *slots });
                        }
                        false
                    }
                    _ => false,
                };
                if steps {
                    self.add(&mut next, pc + 1, text, at + 1, *slots);
                }
            }
            core::mem::swap(&mut current, &mut next);
            next.clear();
        }
        best
    }

    fn same(&self, one: u8, other: u8) -> bool {
        one == other || self.ignore_case && one.eq_ignore_ascii_case(&other)
    }

    /// Adds a thread and those that it splits into, without consuming anything.
    fn add(&self, threads: &mut Threads, pc: usize, text: &[u8], at: usize, slots: Slots) {
        let mut left = Vec::from([(pc, slots)]);
        while let Some((pc, mut slots)) = left.pop() {
            if core::mem::replace(&mut threads.seen[pc], true) {
                continue;
            }
            let is_word = |index: Option<usize>| {
                let byte = index.and_then(|index| text.get(index));
                byte.is_some_and(|byte| *byte == b'_' || byte.is_ascii_alphanumeric())
            };
            match &self.program[pc] {
                Inst::Jump(to) => left.push((*to, slots)),
                Inst::Split(first, second) => {
                    left.push((*second, slots));
                    left.push((*first, slots));
                }
                Inst::Save(slot) => {
                    slots[*slot] = at;
                    left.push((pc + 1, slots));
                }
                Inst::Start if at == 0 => left.push((pc + 1, slots)),
                Inst::End if at == text.len() => left.push((pc + 1, slots)),
                Inst::Start | Inst::End => {}
                Inst::Word(kind) => {
                    let (before, after) = (is_word(at.checked_sub(1)), is_word(Some(at)));
                    let holds = match kind {
                        '<' => !before && after,
                        '>' => before && !after,
                        'b' => before != after,
                        _ => before == after,
                    };
                    if holds {
                        left.push((pc + 1, slots));
                    }
                }
                _ => threads.list.push((pc, slots)),
            }
        }
    }
}

struct Threads {
    list: Vec<(usize, Slots)>,
    seen: Vec<bool>,
}

impl Threads {
    fn new(length: usize) -> Self {
        Self { list: Vec::new(), seen: alloc::vec![false; length + 1] }
    }

    fn clear(&mut self) {
        self.list.clear();
        self.seen.fill(false);
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    extended: bool,
    groups: usize,
    depth: u32,
}

impl Parser<'_> {
    fn takes(&mut self, sign: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    fn closes(&self) -> bool {
        self.text[self.at..].starts_with(if self.extended { b")" } else { b"\\)" })
            && self.depth > 0
    }

    fn wrong(&self, what: &str) -> String {
        format!("bad regex '{}': {what}", String::from_utf8_lossy(self.text))
    }

    fn choice(&mut self) -> Result<Tree, String> {
        self.depth += 1;
        if self.depth > 50 {
            return Err(self.wrong("Regular expression too big"));
        }
        self.depth -= 1;
        let mut choices = Vec::from([self.sequence()?]);
        while self.takes(if self.extended { b"|" } else { b"\\|" }) {
            choices.push(self.sequence()?);
        }
        Ok(if choices.len() == 1 { choices.swap_remove(0) } else { Tree::Choice(choices) })
    }

    fn sequence(&mut self) -> Result<Tree, String> {
        let mut trees = Vec::new();
        while self.at < self.text.len() {
            let rest = &self.text[self.at..];
            if self.closes() || rest.starts_with(if self.extended { b"|" } else { b"\\|" }) {
                break;
            }
            let atom = self.atom(trees.is_empty())?;
            let atom = self.repeats(atom)?;
            trees.push(atom);
        }
        Ok(if trees.is_empty() { Tree::Empty } else { Tree::Sequence(trees) })
    }

    fn repeats(&mut self, mut atom: Tree) -> Result<Tree, String> {
        if matches!(atom, Tree::Inst(Inst::Start)) && !self.extended {
            return Ok(atom);
        }
        for _ in 0..20 {
            let (least, most) = if self.takes(b"*") {
                (0, None)
            } else if self.takes(if self.extended { b"+" } else { b"\\+" }) {
                (1, None)
            } else if self.takes(if self.extended { b"?" } else { b"\\?" }) {
                (0, Some(1))
            } else if self.text[self.at..].starts_with(if self.extended { b"{" } else { b"\\{" }) {
                let end: &[u8] = if self.extended { b"}" } else { b"\\}" };
                let from = self.at + if self.extended { 1 } else { 2 };
                let length = self.text[from..].windows(end.len()).position(|window| window == end);
                let Some(length) = length else { return Err(self.wrong("Unmatched { or \\{")) };
                let inner = String::from_utf8_lossy(&self.text[from..from + length]).into_owned();
                let (least, most) = inner.split_once(',').unwrap_or((&inner, &inner));
                let least: usize = least.parse().unwrap_or(0);
                let most: Option<usize> = most.parse().ok();
                if least > 255 || most.is_some_and(|most| most > 255 || most < least) {
                    return Err(self.wrong("Invalid content of \\{\\}"));
                }
                self.at = from + length + end.len();
                (least, most)
            } else {
                break;
            };
            atom = Tree::Repeat(alloc::boxed::Box::new(atom), least, most);
        }
        Ok(atom)
    }

    fn atom(&mut self, first: bool) -> Result<Tree, String> {
        let open: &[u8] = if self.extended { b"(" } else { b"\\(" };
        if self.takes(open) {
            self.groups += 1;
            self.depth += 1;
            if self.depth > 50 {
                return Err(self.wrong("Regular expression too big"));
            }
            let index = self.groups;
            let inner = self.choice()?;
            if !self.closes() {
                return Err(self.wrong("Unmatched ( or \\("));
            }
            self.at += open.len();
            self.depth -= 1;
            return Ok(Tree::Group(alloc::boxed::Box::new(inner), index));
        }
        let byte = self.text[self.at];
        self.at += 1;
        Ok(Tree::Inst(match byte {
            b'.' => Inst::Any,
            b'^' if first || self.extended => Inst::Start,
            b'$' if self.extended
                || self.at == self.text.len()
                || self.text[self.at..].starts_with(b"\\)") =>
            {
                Inst::End
            }
            b'[' => self.class()?,
            b'\\' => {
                let Some(next) = self.text.get(self.at).copied() else {
                    return Err(self.wrong("Trailing backslash"));
                };
                self.at += 1;
                match next {
                    b'n' => Inst::Byte(b'\n'),
                    b't' => Inst::Byte(b'\t'),
                    b'<' | b'>' | b'b' | b'B' => Inst::Word(next as char),
                    b'w' | b'W' | b's' | b'S' => {
                        let mut class = [false; 256];
                        for (value, member) in class.iter_mut().enumerate() {
                            let byte = value as u8;
                            let is = match next.to_ascii_lowercase() {
                                b'w' => byte == b'_' || byte.is_ascii_alphanumeric(),
                                _ => byte.is_ascii_whitespace() || byte == 11,
                            };
                            *member = is == next.is_ascii_lowercase();
                        }
                        Inst::Class(alloc::boxed::Box::new(class))
                    }
                    next => Inst::Byte(next),
                }
            }
            byte => Inst::Byte(byte),
        }))
    }

    fn class(&mut self) -> Result<Inst, String> {
        let mut class = [false; 256];
        let negated = self.takes(b"^");
        let first = self.at;
        loop {
            let Some(byte) = self.text.get(self.at).copied() else {
                return Err(self.wrong("Unmatched [, [^, [:, [., or [="));
            };
            if byte == b']' && self.at > first {
                self.at += 1;
                break;
            }
            if self.text[self.at..].starts_with(b"[:")
                && let Some(length) =
                    self.text[self.at + 2..].windows(2).position(|window| window == b":]")
            {
                let name = String::from_utf8_lossy(&self.text[self.at + 2..self.at + 2 + length])
                    .into_owned();
                let Some(ranges) = named_class(&name) else {
                    return Err(self.wrong("Invalid character class name"));
                };
                for (from, to) in ranges {
                    class[*from as usize..=*to as usize].fill(true);
                }
                self.at += length + 4;
                continue;
            }
            self.at += 1;
            let to = match self.text.get(self.at..self.at + 2) {
                Some([b'-', to]) if *to != b']' => {
                    self.at += 2;
                    *to
                }
                _ => byte,
            };
            if to < byte {
                return Err(self.wrong("Invalid range end"));
            }
            class[usize::from(byte)..=usize::from(to)].fill(true);
        }
        if negated {
            for member in &mut class {
                *member = !*member;
            }
        }
        Ok(Inst::Class(alloc::boxed::Box::new(class)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, extended: bool, text: &str) -> Option<(usize, usize)> {
        Regex::new(pattern, extended, false)
            .unwrap()
            .find(text.as_bytes(), 0)
            .map(|found| (found.start, found.end))
    }

    #[test]
    fn the_leftmost_longest_match_is_found() {
        for (pattern, extended, text, expected) in [
            ("b*", false, "abb", Some((0, 0))),
            ("bb*", false, "abb", Some((1, 3))),
            ("a|ab", true, "xab", Some((1, 3))),
            ("a\\|ab", false, "xab", Some((1, 3))),
            ("^b", false, "ab", None),
            ("b$", false, "ab", Some((1, 2))),
            ("[[:digit:]]{2,3}", true, "a1234", Some((1, 4))),
            ("(a+)(b*)", true, "caab", Some((1, 4))),
            ("a.c", false, "abc", Some((0, 3))),
            ("\\<b", false, "ab b", Some((3, 4))),
            ("a+", false, "a+", Some((0, 2))),
            ("[]x]", false, "]", Some((0, 1))),
            ("*a", false, "*a", Some((0, 2))),
        ] {
            assert_eq!(found(pattern, extended, text), expected, "{pattern} in {text}");
        }
        for pattern in ["(", "a{2,1}", "[a", "\\"] {
            assert!(Regex::new(pattern, true, false).is_err(), "{pattern}");
        }
    }

    #[test]
    fn groups_are_remembered() {
        let regex = Regex::new("\\(a*\\)-\\(b\\)", false, false).unwrap();
        let found = regex.find(b"xaa-b", 0).unwrap();
        assert_eq!((found.group(1), found.group(2)), (Some((1, 3)), Some((4, 5))));
    }

    #[test]
    fn nothing_explodes() {
        assert_eq!(found("(a*)*b", true, &"a".repeat(5000)), None);
        assert!(Regex::new("((a{255}){255}){255}", true, false).is_err());
        assert!(Regex::new(&"(".repeat(100_000), true, false).is_err());
    }
}
