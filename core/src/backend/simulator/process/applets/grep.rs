//! `grep`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::regex::Regex;
use super::{Feed, Filter, Lines, Options, Output};

/// Bytes of a line that are searched.
const MAX_SEARCHED: usize = 65_536;

pub(super) fn make(own: &str, argv: &[String], done: &mut Output) -> Option<Feed> {
    let options = Options::parse(argv, "qvicnEFrRlLHhosxwaz", "efmABC", done)?;
    let mut operands = options.operands.clone();
    let mut patterns: Vec<String> = options.values('e').map(Into::into).collect();
    if patterns.is_empty() {
        if operands.is_empty() {
            done.complain("BusyBox v1.36.1 multi-call binary.\n\nUsage: grep [-HhnlLoqvsrRiwFE] PATTERN [FILE]...");
            return None;
        }
        patterns.push(operands.remove(0));
    }
    let (extended, ignore_case) = (options.has('E'), options.has('i'));
    let mut regexes = Vec::new();
    for pattern in patterns.iter().flat_map(|text| text.split('\n')) {
        let regex = if options.has('F') {
            Ok(Regex::literal(pattern, ignore_case))
        } else {
            Regex::new(pattern, extended, ignore_case)
        };
        match regex {
            Ok(regex) => regexes.push(regex),
            Err(text) => {
                done.complain(&format!("grep: {text}"));
                return None;
            }
        }
    }
    let recursive = options.has('r') || options.has('R');
    let number = |letter| options.value(letter).and_then(|text| text.parse::<u64>().ok());
    let around = number('C').unwrap_or(0);
    let filter = Grep {
        regexes,
        lines: Lines::default(),
        quiet: options.has('q'),
        invert: options.has('v'),
        count: options.has('c'),
        numbers: options.has('n'),
        list: options.has('l'),
        list_others: options.has('L'),
        only: options.has('o'),
        whole: options.has('x'),
        word: options.has('w'),
        names: (operands.len() > 1 || recursive || options.has('H')) && !options.has('h'),
        most: number('m').unwrap_or(u64::MAX),
        before: number('B').unwrap_or(around),
        after: number('A').unwrap_or(around),
        file: String::new(),
        number: 0,
        matched: 0,
        any: false,
        held: Vec::new(),
        trailing: 0,
        printed: 0,
    };
    let mut feed = Feed::new(own, operands, filter);
    feed.trouble = 2;
    feed.recursive = recursive;
    feed.silent = options.has('s');
    Some(feed)
}

struct Grep {
    regexes: Vec<Regex>,
    lines: Lines,
    quiet: bool,
    invert: bool,
    count: bool,
    numbers: bool,
    list: bool,
    list_others: bool,
    only: bool,
    whole: bool,
    word: bool,
    names: bool,
    most: u64,
    before: u64,
    after: u64,
    file: String,
    number: u64,
    matched: u64,
    any: bool,
    /// Lines that a match would print before itself.
    held: Vec<(u64, Vec<u8>)>,
    trailing: u64,
    /// The last line printed.
    printed: u64,
}

impl Grep {
    /// The matches in a line, of which all but `-o` need only the first.
    fn find(&self, line: &[u8]) -> Vec<(usize, usize)> {
        let line = &line[..line.len().min(MAX_SEARCHED)];
        let is_word = |byte: Option<&u8>| {
            byte.is_some_and(|byte| *byte == b'_' || byte.is_ascii_alphanumeric())
        };
        let (mut found, mut from) = (Vec::new(), 0);
        while from <= line.len() {
            let matches = self.regexes.iter().filter_map(|regex| regex.find(line, from));
            let best = matches.min_by_key(|one| (one.start, core::cmp::Reverse(one.end)));
            let Some(best) = best else { break };
            let (start, end) = (best.start, best.end);
            let fits = if self.whole {
                start == 0 && end == line.len()
            } else {
                !self.word || !(start > 0 && is_word(line.get(start - 1)) || is_word(line.get(end)))
            };
            if fits {
                found.push((start, end));
                if !self.only {
                    break;
                }
            } else if self.whole {
                break;
            }
            from = if fits && end > start { end } else { start + 1 };
        }
        found
    }

    fn print(&mut self, number: u64, line: &[u8], sign: char, output: &mut Output) {
        if (self.before > 0 || self.after > 0) && self.printed > 0 && number > self.printed + 1 {
            output.line("--");
        }
        self.printed = number;
        if self.names {
            output.out.extend_from_slice(format!("{}{sign}", self.file).as_bytes());
        }
        if self.numbers {
            output.out.extend_from_slice(format!("{number}{sign}").as_bytes());
        }
        output.out.extend_from_slice(line);
        output.out.push(b'\n');
    }

    fn line(&mut self, line: &[u8], output: &mut Output) {
        self.number += 1;
        if self.matched >= self.most && self.trailing == 0 || self.quiet && self.any {
            return;
        }
        let found = self.find(line);
        if found.is_empty() != self.invert || self.matched >= self.most {
            if self.trailing > 0 {
                self.trailing -= 1;
                self.print(self.number, line, '-', output);
            } else if self.before > 0 {
                if self.held.len() as u64 >= self.before {
                    self.held.remove(0);
                }
                self.held.push((self.number, line.to_vec()));
            }
            return;
        }
        self.matched += 1;
        self.any = true;
        if self.quiet || self.count || self.list || self.list_others {
            return;
        }
        for (number, line) in core::mem::take(&mut self.held) {
            self.print(number, &line, '-', output);
        }
        self.trailing = self.after;
        if self.only {
            for (start, end) in found.into_iter().filter(|(start, end)| end > start) {
                self.print(self.number, &line[start..end], ':', output);
            }
        } else {
            self.print(self.number, line, ':', output);
        }
    }
}

impl Filter for Grep {
    fn begin(&mut self, file: &str, _: &mut Output) {
        self.file = if file == "-" { "(standard input)".to_string() } else { file.into() };
        (self.number, self.matched, self.trailing, self.printed) = (0, 0, 0, 0);
        self.held.clear();
    }

    fn feed(&mut self, bytes: &[u8], output: &mut Output) -> usize {
        let mut lines = core::mem::take(&mut self.lines);
        lines.feed(bytes, |line| self.line(line, output));
        self.lines = lines;
        bytes.len()
    }

    fn end(&mut self, _: &str, output: &mut Output) {
        if let Some(line) = self.lines.rest() {
            self.line(&line, output);
        }
        if self.quiet {
            return;
        }
        if self.list && self.matched > 0 || self.list_others && self.matched == 0 {
            output.line(&self.file);
        } else if self.count && !self.list && !self.list_others {
            let name = if self.names { format!("{}:", self.file) } else { String::new() };
            output.line(&format!("{name}{}", self.matched));
        }
    }

    fn finish(&mut self, _: &mut Output) -> Option<u8> {
        if self.any { Some(0) } else { None }
    }

    fn missed(&self) -> bool {
        !self.any
    }

    fn is_done(&self) -> bool {
        self.quiet && self.any
    }
}
