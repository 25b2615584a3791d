//! `sed`: `s`, `p`, `d`, `q`, `=`, `a`, `i`, `c`, `y`, `n`, `!` and addresses.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::regex::Regex;
use super::{Feed, Filter, Lines, Options, Output};

/// Bytes of a line after its changes.
const MAX_LINE: usize = 1 << 20;

pub(super) fn make(own: &str, argv: &[String], done: &mut Output) -> Option<Feed> {
    // `-i` has no value in a word of its own.
    let args: Vec<String> = argv
        .iter()
        .map(|arg| if arg.starts_with("-i") { "-i".into() } else { arg.clone() })
        .collect();
    let options = Options::parse(&args, "nErsi", "ef", done)?;
    let mut operands = options.operands.clone();
    let mut scripts: Vec<String> = options.values('e').map(Into::into).collect();
    if scripts.is_empty() {
        if operands.is_empty() {
            done.complain("sed: no script");
            return None;
        }
        scripts.push(operands.remove(0));
    }
    let text = scripts.join("\n");
    let mut parser = Parser { text: &text, at: 0, extended: options.has('E') || options.has('r') };
    let commands = match parser.commands() {
        Ok(commands) => commands,
        Err(text) => {
            done.complain(&format!("sed: {text}"));
            return None;
        }
    };
    let in_place = options.has('i');
    let filter = Sed {
        active: alloc::vec![false; commands.len()],
        commands,
        silent: options.has('n'),
        lines: Lines::default(),
        pending: None,
        number: 0,
        quit: None,
        skip: false,
        in_place,
        cut: false,
    };
    let mut feed = Feed::new(own, operands, filter);
    feed.in_place = in_place;
    Some(feed)
}

enum Address {
    Line(u64),
    Last,
    Match(Regex),
}

enum Action {
    Substitute { regex: Regex, with: Vec<Piece>, all: bool, print: bool, nth: usize },
    Print,
    Delete,
    Quit(u8),
    Number,
    Append(String),
    Insert(String),
    Change(String),
    Translate(Vec<(char, char)>),
    Next,
}

enum Piece {
    Text(String),
    Group(usize),
}

struct Command {
    from: Option<Address>,
    to: Option<Address>,
    negated: bool,
    action: Action,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    extended: bool,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip(&mut self, set: &str) {
        while self.peek().is_some_and(|c| set.contains(c)) {
            self.next();
        }
    }

    fn commands(&mut self) -> Result<Vec<Command>, String> {
        let mut commands = Vec::new();
        loop {
            self.skip(" \t\n;}");
            let Some(first) = self.peek() else { return Ok(commands) };
            if first == '#' {
                while self.next().is_some_and(|c| c != '\n') {}
                continue;
            }
            if commands.len() > 1000 {
                return Err("too many commands".into());
            }
            let from = self.address()?;
            self.skip(" \t");
            let to = if from.is_some() && self.peek() == Some(',') {
                self.next();
                self.skip(" \t");
                Some(self.address()?.ok_or("no address after comma")?)
            } else {
                None
            };
            self.skip(" \t");
            let mut negated = false;
            while self.peek() == Some('!') {
                self.next();
                negated = true;
                self.skip(" \t");
            }
            let action = self.action()?;
            commands.push(Command { from, to, negated, action });
        }
    }

    fn address(&mut self) -> Result<Option<Address>, String> {
        Ok(match self.peek() {
            Some('$') => {
                self.next();
                Some(Address::Last)
            }
            Some('0'..='9') => {
                let start = self.at;
                self.skip("0123456789");
                Some(Address::Line(self.text[start..self.at].parse().unwrap_or(u64::MAX)))
            }
            Some('/') => {
                self.next();
                let text = self.until('/', true)?;
                let ignore_case = self.peek() == Some('I');
                if ignore_case {
                    self.next();
                }
                Some(Address::Match(Regex::new(&text, self.extended, ignore_case)?))
            }
            _ => None,
        })
    }

    /// The text up to a delimiter, which is taken; one behind a backslash is part of it.
    fn until(&mut self, end: char, regex: bool) -> Result<String, String> {
        let mut text = String::new();
        let mut in_class = false;
        while let Some(c) = self.next() {
            if c == end && !in_class {
                return Ok(text);
            }
            if c == '\\' && !in_class {
                match self.next() {
                    Some(next) if next == end => {
                        text.push(next);
                        continue;
                    }
                    Some(next) => text.extend(['\\', next]),
                    None => break,
                }
                continue;
            }
            if regex {
                match c {
                    '[' if !in_class => {
                        in_class = true;
                        text.push(c);
                        for sign in ['^', ']'] {
                            if self.peek() == Some(sign) {
                                self.next();
                                text.push(sign);
                            }
                        }
                        continue;
                    }
                    '[' if self.peek() == Some(':') => {
                        let length = self.text[self.at..].find(":]").map_or(0, |length| length + 2);
                        text.push('[');
                        text.push_str(&self.text[self.at..self.at + length]);
                        self.at += length;
                        continue;
                    }
                    ']' => in_class = false,
                    _ => {}
                }
            }
            text.push(c);
        }
        Err("unmatched '".to_string() + &end.to_string() + "'")
    }

    fn action(&mut self) -> Result<Action, String> {
        let Some(letter) = self.next() else { return Err("missing command".into()) };
        let action = match letter {
            's' => self.substitute()?,
            'y' => {
                let end = self.next().ok_or("bad option in substitution expression")?;
                let (from, to) = (self.until(end, false)?, self.until(end, false)?);
                Action::Translate(from.chars().zip(to.chars()).collect())
            }
            'p' => Action::Print,
            'd' => Action::Delete,
            'n' => Action::Next,
            '=' => Action::Number,
            'q' => {
                self.skip(" ");
                let start = self.at;
                self.skip("0123456789");
                Action::Quit(self.text[start..self.at].parse().unwrap_or(0))
            }
            'a' | 'i' | 'c' => {
                self.skip(" \t\\\n");
                let end = self.text[self.at..]
                    .find('\n')
                    .map_or(self.text.len(), |length| self.at + length);
                let text = self.text[self.at..end].to_string();
                self.at = end;
                match letter {
                    'a' => Action::Append(text),
                    'i' => Action::Insert(text),
                    _ => Action::Change(text),
                }
            }
            letter => return Err(format!("unsupported command {letter}")),
        };
        self.skip(" \t");
        match self.peek() {
            None | Some('\n' | ';' | '}' | '#') => Ok(action),
            Some(_) => Err("unknown option to s command".into()),
        }
    }

    fn substitute(&mut self) -> Result<Action, String> {
        let end = self.next().ok_or("bad option in substitution expression")?;
        let regex = self.until(end, true)?;
        let text = self.until(end, false)?;
        let (mut all, mut print, mut ignore_case, mut nth) = (false, false, false, 1);
        while let Some(flag) = self.peek() {
            match flag {
                'g' => all = true,
                'p' => print = true,
                'i' | 'I' => ignore_case = true,
                '1'..='9' => nth = flag as usize - '0' as usize,
                _ => break,
            }
            self.next();
        }
        let regex = Regex::new(&regex, self.extended, ignore_case)?;
        let mut with = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let group = match c {
                '&' if end != '&' => Some(0),
                '\\' => match chars.next() {
                    Some(digit @ '0'..='9') => Some(digit as usize - '0' as usize),
                    Some('n') => {
                        literal.push('\n');
                        None
                    }
                    Some('t') => {
                        literal.push('\t');
                        None
                    }
                    Some(c) => {
                        literal.push(c);
                        None
                    }
                    None => None,
                },
                c => {
                    literal.push(c);
                    None
                }
            };
            if let Some(group) = group {
                if group > regex.groups() {
                    return Err(format!("invalid reference \\{group} on s command's RHS"));
                }
                with.push(Piece::Text(core::mem::take(&mut literal)));
                with.push(Piece::Group(group));
            }
        }
        with.push(Piece::Text(literal));
        Ok(Action::Substitute { regex, with, all, print, nth })
    }
}

struct Sed {
    commands: Vec<Command>,
    /// Ranges under way.
    active: Vec<bool>,
    silent: bool,
    lines: Lines,
    /// The last line so far: whether it is the last is not known before the next one comes.
    pending: Option<Vec<u8>>,
    number: u64,
    quit: Option<u8>,
    /// `n`: the commands go on with the next line.
    skip: bool,
    in_place: bool,
    /// Whether the last line has no end.
    cut: bool,
}

fn substitute(
    line: &[u8],
    regex: &Regex,
    with: &[Piece],
    all: bool,
    nth: usize,
) -> Option<Vec<u8>> {
    let (mut result, mut at, mut count) = (Vec::new(), 0, 0);
    let mut changed = false;
    while at <= line.len() && result.len() < MAX_LINE {
        let Some(found) = regex.find(line, at) else { break };
        count += 1;
        result.extend_from_slice(&line[at..found.start]);
        if count >= nth {
            changed = true;
            for piece in with {
                match piece {
                    Piece::Text(text) => result.extend_from_slice(text.as_bytes()),
                    Piece::Group(0) => result.extend_from_slice(&line[found.start..found.end]),
                    Piece::Group(index) => {
                        if let Some((from, to)) = found.group(*index) {
                            result.extend_from_slice(&line[from..to]);
                        }
                    }
                }
            }
        } else {
            result.extend_from_slice(&line[found.start..found.end]);
        }
        at = found.end;
        if found.end == found.start {
            if let Some(byte) = line.get(at) {
                result.push(*byte);
            }
            at += 1;
        }
        if count >= nth && !all {
            break;
        }
    }
    result.extend_from_slice(line.get(at..).unwrap_or_default());
    changed.then_some(result)
}

impl Sed {
    fn applies(&mut self, index: usize, line: &[u8], last: bool) -> bool {
        let number = self.number;
        let command = &self.commands[index];
        let hits = |address: &Address| match address {
            Address::Line(wanted) => *wanted == number,
            Address::Last => last,
            Address::Match(regex) => regex.find(line, 0).is_some(),
        };
        let result = match (&command.from, &command.to) {
            (None, _) => true,
            (Some(from), None) => hits(from),
            (Some(from), Some(to)) => {
                if self.active[index] {
                    let passed = matches!(to, Address::Line(end) if *end <= number);
                    self.active[index] = !(passed || hits(to));
                    true
                } else if hits(from) {
                    self.active[index] = !matches!(to, Address::Line(end) if *end <= number);
                    true
                } else {
                    false
                }
            }
        };
        result != command.negated
    }

    fn line(&mut self, line: &[u8], last: bool, output: &mut Output) {
        if self.quit.is_some() {
            if self.in_place {
                output.out.extend_from_slice(line);
                output.out.push(b'\n');
            }
            return;
        }
        self.number += 1;
        let mut line = line.to_vec();
        let mut after = String::new();
        let mut index = 0;
        if core::mem::take(&mut self.skip) {
            index = self
                .commands
                .iter()
                .position(|command| matches!(command.action, Action::Next))
                .map_or(0, |at| at + 1);
        }
        while index < self.commands.len() {
            index += 1;
            if !self.applies(index - 1, &line, last) {
                continue;
            }
            let number = self.number;
            match &self.commands[index - 1].action {
                Action::Substitute { regex, with, all, print, nth } => {
                    if let Some(result) = substitute(&line, regex, with, *all, *nth) {
                        line = result;
                        if *print {
                            output.out.extend_from_slice(&line);
                            output.out.push(b'\n');
                        }
                    }
                }
                Action::Print => {
                    output.out.extend_from_slice(&line);
                    output.out.push(b'\n');
                }
                Action::Delete => return output.out.extend_from_slice(after.as_bytes()),
                Action::Quit(code) => {
                    self.quit = Some(*code);
                    break;
                }
                Action::Number => output.line(&format!("{number}")),
                Action::Append(text) => after.push_str(&format!("{text}\n")),
                Action::Insert(text) => output.line(text),
                Action::Change(text) => {
                    output.line(text);
                    return;
                }
                Action::Translate(pairs) => {
                    let text = String::from_utf8_lossy(&line);
                    let mapped: String = text
                        .chars()
                        .map(|c| pairs.iter().find(|(from, _)| *from == c).map_or(c, |(_, to)| *to))
                        .collect();
                    line = mapped.into_bytes();
                }
                Action::Next => {
                    self.skip = !last;
                    break;
                }
            }
        }
        if !self.silent {
            output.out.extend_from_slice(&line);
            output.out.push(b'\n');
        }
        output.out.extend_from_slice(after.as_bytes());
    }
}

impl Filter for Sed {
    fn feed(&mut self, bytes: &[u8], output: &mut Output) -> usize {
        let mut lines = core::mem::take(&mut self.lines);
        lines.feed(bytes, |line| {
            if let Some(before) = self.pending.replace(line.to_vec()) {
                self.line(&before, false, output);
            }
        });
        self.lines = lines;
        bytes.len()
    }

    fn end(&mut self, _: &str, output: &mut Output) {
        let rest = self.lines.rest();
        let cut = rest.is_some();
        if let Some(line) = rest
            && let Some(before) = self.pending.replace(line)
        {
            self.line(&before, false, output);
        }
        if self.in_place
            && let Some(line) = self.pending.take()
        {
            self.line(&line, true, output);
            self.number = 0;
            if cut && output.out.last() == Some(&b'\n') {
                output.out.pop();
            }
        } else {
            self.cut = cut;
        }
    }

    fn finish(&mut self, output: &mut Output) -> Option<u8> {
        if let Some(line) = self.pending.take() {
            let before = output.out.len();
            self.line(&line, true, output);
            // A last line without an end is printed without one.
            if self.cut && output.out.len() > before {
                output.out.pop();
            }
        }
        self.quit
    }

    fn is_done(&self) -> bool {
        self.quit.is_some() && !self.in_place
    }
}
