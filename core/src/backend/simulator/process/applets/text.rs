//! Filters of lines and bytes: `cat`, `head`, `tail`, `wc`, `cut`, `uniq`, `rev`, `tac`, `nl`, `base64`, `od`.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Feed, Filter, Lines, MAX_TEXT, Options, Output, base, grep, sed, sort, sums, tr};

/// The filter of that name, ready to read its files; the status, if its words are wrong.
pub(super) fn filter(name: &str, argv: &[String], done: &mut Output) -> Option<Result<Feed, u8>> {
    let known = matches!(
        name,
        "cat"
            | "head"
            | "tail"
            | "wc"
            | "cut"
            | "uniq"
            | "rev"
            | "tac"
            | "nl"
            | "base64"
            | "od"
            | "grep"
            | "egrep"
            | "fgrep"
            | "sed"
            | "sort"
            | "tr"
            | "md5sum"
            | "sha256sum"
            | "sha512sum"
            | "more"
            | "less"
            | "fold"
            | "hexdump"
    );
    known.then(|| make(name, argv, done).ok_or(if name.ends_with("grep") { 2 } else { 1 }))
}

fn make(name: &str, argv: &[String], done: &mut Output) -> Option<Feed> {
    let own = base(&argv[0]).to_string();
    Some(match name {
        "cat" | "more" | "less" => {
            let options = Options::parse(argv, "nbvetAus", "", done)?;
            let number = options.has('n').then_some(1);
            Feed::new(&own, options.operands, Cat { number, fresh: true })
        }
        "head" | "tail" => ends(name, argv, done)?,
        "wc" => {
            let options = Options::parse(argv, "lwcmL", "", done)?;
            let mut wanted = ['l', 'w', 'c']
                .map(|letter| options.has(letter) || letter == 'c' && options.has('m'));
            if wanted == [false; 3] {
                wanted = [true; 3];
            }
            let named = !options.operands.is_empty();
            let many = options.operands.len() > 1;
            let wide = many || wanted.iter().filter(|on| **on).count() > 1;
            let width = if wide { 9 } else { 0 };
            let filter =
                Wc { wanted, named, many, width, counts: [0; 3], total: [0; 3], in_word: false };
            Feed::new(&own, options.operands, filter)
        }
        "cut" => cut(&own, argv, done)?,
        "uniq" => {
            let options = Options::parse(argv, "cdui", "fsw", done)?;
            let files = options.operands.iter().take(1).cloned().collect();
            let filter = Uniq {
                lines: Lines::default(),
                last: None,
                count: 0,
                counts: options.has('c'),
                repeated: options.has('d'),
                unique: options.has('u'),
                fields: options.value('f').and_then(|text| text.parse().ok()).unwrap_or(0),
                ignore_case: options.has('i'),
            };
            Feed::new(&own, files, filter)
        }
        "rev" | "nl" | "fold" => {
            let options = Options::parse(argv, "as", "wb", done)?;
            let width =
                options.value('w').and_then(|text| text.parse().ok()).unwrap_or(80_usize).max(1);
            let mut number = 0;
            let kind = name.to_string();
            let each = move |line: &[u8], out: &mut Vec<u8>| match kind.as_str() {
                "rev" => {
                    let reversed: String = String::from_utf8_lossy(line).chars().rev().collect();
                    out.extend_from_slice(reversed.as_bytes());
                    out.push(b'\n');
                }
                "nl" if line.is_empty() => out.extend_from_slice(b"       \n"),
                "nl" => {
                    number += 1;
                    out.extend_from_slice(format!("{number:6}\t").as_bytes());
                    out.extend_from_slice(line);
                    out.push(b'\n');
                }
                _ => {
                    for piece in line.chunks(width) {
                        out.extend_from_slice(piece);
                        out.push(b'\n');
                    }
                    if line.is_empty() {
                        out.push(b'\n');
                    }
                }
            };
            Feed::new(
                &own,
                options.operands,
                Each { lines: Lines::default(), each: Box::new(each) },
            )
        }
        "tac" => {
            let options = Options::parse(argv, "", "", done)?;
            Feed::new(
                &own,
                options.operands,
                Whole::new(|text, output, _| {
                    let mut lines: Vec<&[u8]> =
                        text.split_inclusive(|byte| *byte == b'\n').collect();
                    lines.reverse();
                    for line in lines {
                        output.out.extend_from_slice(line);
                    }
                }),
            )
        }
        "base64" => {
            let options = Options::parse(argv, "d", "w", done)?;
            let decode = options.has('d');
            let width = options.value('w').and_then(|text| text.parse().ok()).unwrap_or(76);
            Feed::new(
                &own,
                options.operands,
                Whole::new(move |text, output, _| {
                    if decode {
                        sums::decode_base64(text, &mut output.out);
                    } else {
                        sums::encode_base64(text, width, &mut output.out);
                    }
                }),
            )
        }
        "od" | "hexdump" => {
            let options = Options::parse(argv, "bcCvxd", "ANtjn", done)?;
            let bytes =
                options.has('C') || options.value('t').is_some_and(|kind| kind.starts_with("x1"));
            let addresses = options.value('A') != Some("n");
            let characters = options.has('c');
            Feed::new(
                &own,
                options.operands,
                Whole::new(move |text, output, _| {
                    sums::dump(text, bytes, characters, addresses, output);
                }),
            )
        }
        "md5sum" | "sha256sum" | "sha512sum" => sums::make(name, &own, argv, done)?,
        "grep" | "egrep" | "fgrep" => grep::make(&own, argv, done)?,
        "sed" => sed::make(&own, argv, done)?,
        "sort" => sort::make(&own, argv, done)?,
        _ => tr::make(&own, argv, done)?,
    })
}

struct Cat {
    number: Option<u64>,
    fresh: bool,
}

impl Filter for Cat {
    fn feed(&mut self, bytes: &[u8], output: &mut Output) -> usize {
        let Some(number) = &mut self.number else {
            output.out.extend_from_slice(bytes);
            return bytes.len();
        };
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.fresh {
                output.out.extend_from_slice(format!("{number:6}\t").as_bytes());
                *number += 1;
            }
            output.out.extend_from_slice(line);
            self.fresh = line.ends_with(b"\n");
        }
        bytes.len()
    }
}

/// What is done with a line, whose end is taken off.
type OfLine = dyn FnMut(&[u8], &mut Vec<u8>) + Send;

/// Each line on its own.
struct Each {
    lines: Lines,
    each: Box<OfLine>,
}

impl Filter for Each {
    fn feed(&mut self, bytes: &[u8], output: &mut Output) -> usize {
        let each = &mut self.each;
        self.lines.feed(bytes, |line| each(line, &mut output.out));
        bytes.len()
    }

    fn end(&mut self, _: &str, output: &mut Output) {
        if let Some(line) = self.lines.rest() {
            (self.each)(&line, &mut output.out);
        }
    }
}

/// All of a file at once.
pub(super) struct Whole<F> {
    text: Vec<u8>,
    work: F,
}

impl<F: FnMut(&[u8], &mut Output, &str) + Send> Whole<F> {
    pub(super) const fn new(work: F) -> Self {
        Self { text: Vec::new(), work }
    }
}

impl<F: FnMut(&[u8], &mut Output, &str) + Send> Filter for Whole<F> {
    fn feed(&mut self, bytes: &[u8], _: &mut Output) -> usize {
        if self.text.len() < MAX_TEXT {
            self.text.extend_from_slice(bytes);
        }
        bytes.len()
    }

    fn end(&mut self, file: &str, output: &mut Output) {
        (self.work)(&self.text, output, file);
        self.text.clear();
    }
}

/// How much of which end.
#[derive(Clone, Copy)]
struct Amount {
    bytes: bool,
    count: u64,
}

fn ends(name: &str, argv: &[String], done: &mut Output) -> Option<Feed> {
    let own = base(&argv[0]);
    let mut args = argv.to_vec();
    // `-5` is `-n 5`.
    let mut value = false;
    for arg in args.iter_mut().skip(1) {
        if core::mem::replace(&mut value, matches!(arg.as_str(), "-n" | "-c")) {
            continue;
        }
        if arg.len() > 1
            && arg[1..].bytes().all(|byte| byte.is_ascii_digit())
            && (arg.starts_with('-') || name == "tail" && arg.starts_with('+'))
        {
            *arg = format!("-n{}", arg.strip_prefix('-').unwrap_or(arg));
        }
    }
    let options = Options::parse(&args, "fFqv", "ncs", done)?;
    let bytes = options.has('c');
    let text = options.value(if bytes { 'c' } else { 'n' }).unwrap_or("10");
    let (other, digits) = match (name, text.as_bytes().first()) {
        ("head", Some(b'-')) | ("tail", Some(b'+')) => (true, &text[1..]),
        ("tail", Some(b'-')) | ("head", Some(b'+')) => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, unit) = match digits.as_bytes().last() {
        Some(b'k' | b'K') => (&digits[..digits.len() - 1], 1024),
        Some(b'm' | b'M') => (&digits[..digits.len() - 1], 1 << 20),
        Some(b'b') => (&digits[..digits.len() - 1], 512),
        _ => (digits, 1_u64),
    };
    let Ok(count) = digits.parse::<u64>() else {
        done.complain(&format!("{own}: invalid number '{text}'"));
        return None;
    };
    let amount = Amount { bytes, count: count.saturating_mul(unit) };
    let titles = (options.operands.len() > 1 && !options.has('q')) || options.has('v');
    let follow = name == "tail" && (options.has('f') || options.has('F'));
    let title = Title { on: titles, first: true };
    Some(if (name == "head") != other {
        // What is printed as it comes: the beginning, or all behind the beginning.
        Feed::new(
            own,
            options.operands,
            Front { amount, begun: false, tail: name == "tail", left: 0, title, follow },
        )
    } else {
        let filter = Back {
            amount,
            head: name == "head",
            held: VecDeque::new(),
            ends: 0,
            title,
            follow,
            live: false,
        };
        Feed::new(own, options.operands, filter)
    })
}

struct Title {
    on: bool,
    first: bool,
}

impl Title {
    fn print(&mut self, file: &str, output: &mut Output) {
        if self.on {
            let gap = if core::mem::take(&mut self.first) { "" } else { "\n" };
            let file = if file == "-" { "standard input" } else { file };
            output.line(&format!("{gap}==> {file} <=="));
        }
    }
}

struct Front {
    amount: Amount,
    begun: bool,
    tail: bool,
    left: u64,
    title: Title,
    follow: bool,
}

impl Filter for Front {
    fn begin(&mut self, file: &str, output: &mut Output) {
        self.title.print(file, output);
        self.begun = true;
        self.left = if self.tail { self.amount.count.saturating_sub(1) } else { self.amount.count };
    }

    fn feed(&mut self, bytes: &[u8], output: &mut Output) -> usize {
        let mut at = 0;
        while at < bytes.len() && self.left > 0 {
            let length = if self.amount.bytes {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.left -= length as u64;
                length
            } else {
                match memchr::memchr(b'\n', &bytes[at..]) {
                    Some(end) => {
                        self.left -= 1;
                        end + 1
                    }
                    None => bytes.len() - at,
                }
            };
            at += length;
        }
        if self.tail {
            output.out.extend_from_slice(&bytes[at..]);
            return bytes.len();
        }
        output.out.extend_from_slice(&bytes[..at]);
        // With nothing left the file is done, even if it ends just here.
        if self.left == 0 { at.min(bytes.len()) } else { bytes.len() }
    }

    fn is_done(&self) -> bool {
        self.begun && !self.tail && self.left == 0 && !self.title.on
    }

    fn follows(&self) -> bool {
        self.follow
    }
}

/// Holds the end of what has come.
struct Back {
    amount: Amount,
    /// Prints all but the end.
    head: bool,
    held: VecDeque<u8>,
    /// Ends of lines that are held.
    ends: u64,
    title: Title,
    follow: bool,
    /// Whether the end was printed, and all that comes is news.
    live: bool,
}

impl Back {
    fn trim(&mut self, output: &mut Output) {
        loop {
            let open = self.held.back().is_some_and(|byte| *byte != b'\n');
            let held = if self.amount.bytes {
                self.held.len() as u64
            } else {
                self.ends + u64::from(open)
            };
            if held <= self.amount.count && self.held.len() <= MAX_TEXT {
                return;
            }
            loop {
                let Some(byte) = self.held.pop_front() else { return };
                if self.head {
                    output.out.push(byte);
                }
                if byte == b'\n' {
                    self.ends -= 1;
                }
                if self.amount.bytes || byte == b'\n' {
                    break;
                }
            }
        }
    }
}

impl Filter for Back {
    fn begin(&mut self, file: &str, output: &mut Output) {
        self.title.print(file, output);
    }

    fn feed(&mut self, bytes: &[u8], output: &mut Output) -> usize {
        if self.live {
            output.out.extend_from_slice(bytes);
            return bytes.len();
        }
        self.held.extend(bytes);
        self.ends += memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.trim(output);
        bytes.len()
    }

    fn end(&mut self, _: &str, output: &mut Output) {
        if !self.head {
            output.out.extend(self.held.iter());
        }
        self.held.clear();
        self.ends = 0;
    }

    fn settle(&mut self, output: &mut Output) {
        if !self.live {
            self.end("", output);
            self.live = true;
        }
    }

    fn follows(&self) -> bool {
        self.follow
    }
}

struct Wc {
    wanted: [bool; 3],
    named: bool,
    many: bool,
    width: usize,
    counts: [u64; 3],
    total: [u64; 3],
    in_word: bool,
}

impl Wc {
    fn print(&self, counts: [u64; 3], name: &str, output: &mut Output) {
        let shown = counts.iter().zip(self.wanted).filter(|(_, on)| *on);
        let width = self.width;
        let mut line: Vec<String> = shown.map(|(count, _)| format!("{count:>width$}")).collect();
        if !name.is_empty() {
            line.push(name.into());
        }
        output.line(&line.join(" "));
    }
}

impl Filter for Wc {
    fn begin(&mut self, _: &str, _: &mut Output) {
        (self.counts, self.in_word) = ([0; 3], false);
    }

    fn feed(&mut self, bytes: &[u8], _: &mut Output) -> usize {
        self.counts[0] += memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.counts[2] += bytes.len() as u64;
        for byte in bytes {
            let space = byte.is_ascii_whitespace() || *byte == 11;
            self.counts[1] += u64::from(!space && !self.in_word);
            self.in_word = !space;
        }
        bytes.len()
    }

    fn end(&mut self, file: &str, output: &mut Output) {
        for (total, count) in self.total.iter_mut().zip(self.counts) {
            *total += count;
        }
        self.print(self.counts, if self.named { file } else { "" }, output);
    }

    fn finish(&mut self, output: &mut Output) -> Option<u8> {
        if self.many {
            self.print(self.total, "total", output);
        }
        None
    }
}

fn cut(own: &str, argv: &[String], done: &mut Output) -> Option<Feed> {
    let options = Options::parse(argv, "sn", "dfcbO", done)?;
    let kinds: Vec<char> =
        ['f', 'c', 'b'].into_iter().filter(|letter| options.has(*letter)).collect();
    let [kind] = kinds[..] else {
        done.complain("cut: expected a list of bytes, characters, or fields");
        return None;
    };
    let delimiter = options.value('d').unwrap_or("\t").bytes().next().unwrap_or(b'\t');
    let only_delimited = options.has('s');
    let mut ranges = Vec::new();
    for part in options.value(kind).unwrap_or_default().split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let from: usize = if from.is_empty() { 1 } else { from.parse().unwrap_or(0) };
        let to: usize = if to.is_empty() { usize::MAX } else { to.parse().unwrap_or(0) };
        if from == 0 || to < from {
            done.complain(&format!("cut: invalid range '{part}'"));
            return None;
        }
        ranges.push((from, to));
    }
    ranges.sort_unstable();
    let wanted = move |index: usize| ranges.iter().any(|(from, to)| (*from..=*to).contains(&index));
    let each = move |line: &[u8], out: &mut Vec<u8>| {
        if kind == 'f' {
            if !line.contains(&delimiter) {
                if !only_delimited {
                    out.extend_from_slice(line);
                    out.push(b'\n');
                }
                return;
            }
            let fields = line.split(|byte| *byte == delimiter).enumerate();
            let chosen: Vec<&[u8]> =
                fields.filter(|(index, _)| wanted(index + 1)).map(|(_, field)| field).collect();
            out.extend_from_slice(&chosen.join(&delimiter));
        } else if kind == 'c' {
            let text = String::from_utf8_lossy(line);
            let chosen: String = text
                .chars()
                .enumerate()
                .filter(|(index, _)| wanted(index + 1))
                .map(|(_, c)| c)
                .collect();
            out.extend_from_slice(chosen.as_bytes());
        } else {
            out.extend(
                line.iter()
                    .enumerate()
                    .filter(|(index, _)| wanted(index + 1))
                    .map(|(_, byte)| *byte),
            );
        }
        out.push(b'\n');
    };
    Some(Feed::new(own, options.operands, Each { lines: Lines::default(), each: Box::new(each) }))
}

struct Uniq {
    lines: Lines,
    last: Option<Vec<u8>>,
    count: u64,
    counts: bool,
    repeated: bool,
    unique: bool,
    fields: usize,
    ignore_case: bool,
}

impl Uniq {
    fn line(&mut self, line: &[u8], output: &mut Output) {
        let key = |line: &[u8]| {
            let text = String::from_utf8_lossy(line).into_owned();
            let mut rest = text.as_str();
            for _ in 0..self.fields {
                rest = rest
                    .trim_start_matches([' ', '\t'])
                    .trim_start_matches(|c| !matches!(c, ' ' | '\t'));
            }
            if self.ignore_case { rest.to_lowercase() } else { rest.into() }
        };
        if self.last.as_ref().is_some_and(|last| last == line || key(last) == key(line)) {
            self.count += 1;
            return;
        }
        self.print(output);
        (self.last, self.count) = (Some(line.to_vec()), 1);
    }

    fn print(&mut self, output: &mut Output) {
        let Some(last) = self.last.take() else { return };
        if (self.repeated && self.count < 2) || (self.unique && self.count > 1) {
            return;
        }
        if self.counts {
            output.out.extend_from_slice(format!("{:7} ", self.count).as_bytes());
        }
        output.out.extend_from_slice(&last);
        output.out.push(b'\n');
    }
}

impl Filter for Uniq {
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
        self.print(output);
    }
}
