//! `sort`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::{Feed, Filter, MAX_TEXT, Options, Output};

pub(super) fn make(own: &str, argv: &[String], done: &mut Output) -> Option<Feed> {
    let options = Options::parse(argv, "nrufbdghMVsciz", "kto", done)?;
    let mut keys = Vec::new();
    for text in options.values('k') {
        keys.push(Key::parse(text)?);
    }
    let filter = Sort {
        text: Vec::new(),
        keys,
        separator: options.value('t').and_then(|text| text.bytes().next()),
        numeric: options.has('n') || options.has('g') || options.has('h'),
        reverse: options.has('r'),
        unique: options.has('u'),
        fold: options.has('f'),
        blanks: options.has('b'),
        check: options.has('c'),
        stable: options.has('s'),
    };
    let mut feed = Feed::new(own, options.operands.clone(), filter);
    feed.write_to = options.value('o').map(Into::into);
    Some(feed)
}

/// `-k 2,3n`: fields from one to another, counted from 1.
struct Key {
    from: usize,
    to: usize,
    numeric: bool,
    reverse: bool,
}

impl Key {
    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once(',').map_or((text, None), |(from, to)| (from, Some(to)));
        let number = |text: &str| {
            text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).split('.').next()?.parse().ok()
        };
        Some(Self {
            from: number(from)?,
            to: to.map_or(Some(usize::MAX), number)?,
            numeric: text.contains(['n', 'g', 'h']),
            reverse: text.contains('r'),
        })
    }
}

struct Sort {
    text: Vec<u8>,
    keys: Vec<Key>,
    separator: Option<u8>,
    numeric: bool,
    reverse: bool,
    unique: bool,
    fold: bool,
    blanks: bool,
    check: bool,
    stable: bool,
}

impl Sort {
    fn compare(&self, one: &[u8], other: &[u8]) -> Ordering {
        let mut order = Ordering::Equal;
        for key in &self.keys {
            let (left, right) = (self.field(one, key), self.field(other, key));
            order = self.by(&left, &right, key.numeric || self.numeric);
            if key.reverse {
                order = order.reverse();
            }
            if order.is_ne() {
                return if self.reverse && !key.reverse { order.reverse() } else { order };
            }
        }
        if self.keys.is_empty() {
            order = self.by(one, other, self.numeric);
        }
        if order.is_eq() && !self.unique && !self.stable {
            order = one.cmp(other);
        }
        if self.reverse { order.reverse() } else { order }
    }

    fn by(&self, one: &[u8], other: &[u8], numeric: bool) -> Ordering {
        if numeric {
            return number(one).total_cmp(&number(other));
        }
        let trim = |text: &[u8]| {
            let text = if self.blanks { text.trim_ascii_start() } else { text };
            if self.fold { text.to_ascii_uppercase() } else { text.to_vec() }
        };
        if self.blanks || self.fold { trim(one).cmp(&trim(other)) } else { one.cmp(other) }
    }

    fn field(&self, line: &[u8], key: &Key) -> Vec<u8> {
        let mut fields: Vec<&[u8]> = Vec::new();
        match self.separator {
            Some(separator) => fields.extend(line.split(|byte| *byte == separator)),
            None => {
                // The blanks before a field are part of it.
                let (mut start, mut in_field) = (0, false);
                for (at, byte) in line.iter().enumerate() {
                    let blank = matches!(byte, b' ' | b'\t');
                    if blank && in_field {
                        fields.push(&line[start..at]);
                        start = at;
                    }
                    in_field = !blank;
                }
                fields.push(&line[start..]);
            }
        }
        let from = key.from.saturating_sub(1).min(fields.len());
        let to = key.to.min(fields.len()).max(from);
        let glue: &[u8] = match &self.separator {
            Some(separator) => core::slice::from_ref(separator),
            None => b"",
        };
        fields[from..to].join(glue)
    }
}

/// The number that a text begins with.
fn number(text: &[u8]) -> f64 {
    let text = text.trim_ascii_start();
    let fits = |(at, byte): &(usize, &u8)| {
        byte.is_ascii_digit() || **byte == b'.' || *at == 0 && **byte == b'-'
    };
    let length = text.iter().enumerate().take_while(fits).count();
    core::str::from_utf8(&text[..length]).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

impl Filter for Sort {
    fn feed(&mut self, bytes: &[u8], _: &mut Output) -> usize {
        if self.text.len() < MAX_TEXT {
            self.text.extend_from_slice(bytes);
        }
        bytes.len()
    }

    fn end(&mut self, _: &str, _: &mut Output) {
        if self.text.last().is_some_and(|byte| *byte != b'\n') {
            self.text.push(b'\n');
        }
    }

    fn finish(&mut self, output: &mut Output) -> Option<u8> {
        let text = core::mem::take(&mut self.text);
        let mut lines: Vec<&[u8]> = text
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| &line[..line.len() - 1])
            .collect();
        if self.check {
            let disorder = lines.windows(2).position(|pair| self.compare(pair[0], pair[1]).is_gt());
            return disorder.map(|at| {
                let line = String::from_utf8_lossy(lines[at + 1]);
                output.complain(&format!("sort: -:{}: disorder: {line}", at + 2));
                1
            });
        }
        lines.sort_by(|one, other| self.compare(one, other));
        if self.unique {
            lines.dedup_by(|one, other| self.compare(other, one).is_eq());
        }
        for line in lines {
            output.out.extend_from_slice(line);
            output.out.push(b'\n');
        }
        None
    }
}
