//! Commands that come line by line through stdin, and the builtin `read`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Shell;
use super::frame::Frame;
use super::parser::{ParseError, Parser};
use crate::backend::simulator::files::Errno;
use crate::backend::simulator::process::{MAX_WORD, Step, Sys};

/// Bytes of a command that comes through stdin.
const MAX_COMMAND: usize = 65_536;

/// What has come of the next command.
#[derive(Default)]
pub(super) struct Input {
    text: Vec<u8>,
    /// Whether the person has been asked for more.
    prompted: bool,
    line: u32,
}

impl Input {
    /// Takes bytes up to the end of a line from stdin and gives back the rest: whether a line is whole. `None` to wait.
    fn take_line(&mut self, sys: &mut Sys<'_, '_>) -> Result<bool, Errno> {
        loop {
            let mut bytes = sys.read(0, 1024)?;
            if bytes.is_empty() {
                return Ok(false);
            }
            let end = memchr::memchr(b'\n', &bytes).map(|at| at + 1);
            if let Some(end) = end {
                sys.unread(0, bytes.split_off(end));
            }
            self.text.extend_from_slice(&bytes);
            if end.is_some() || self.text.len() > MAX_COMMAND {
                return Ok(true);
            }
        }
    }
}

impl Shell {
    /// Reads the next command.
    pub(super) fn read_command(&mut self, sys: &mut Sys<'_, '_>, mut input: Input) -> Option<Step> {
        if self.options.interactive && !input.prompted {
            input.prompted = true;
            let prompt = if input.text.is_empty() { self.prompt(sys) } else { "> ".to_string() };
            self.say(sys, &prompt);
        }
        let whole = match input.take_line(sys) {
            Ok(whole) => whole,
            Err(Errno::Again) => {
                let block = sys.until_readable(0);
                self.frames.push(Frame::Input(input));
                return Some(Step::Block(block));
            }
            Err(_) => false,
        };
        input.prompted = false;
        if !whole && input.text.is_empty() {
            if self.options.interactive {
                self.say(sys, "\n");
            }
            return None;
        }
        sys.burn(u32::try_from(input.text.len() / 32).unwrap_or(u32::MAX));
        let text = String::from_utf8_lossy(&input.text).into_owned();
        let too_long = text.len() > MAX_COMMAND;
        let mut parser = Parser::new(&text, 0, input.line, !whole || too_long);
        match parser.line() {
            Ok(None) => {
                input.text.clear();
                if whole {
                    self.frames.push(Frame::Input(input));
                }
            }
            Ok(Some(list)) => {
                let rest = text.as_bytes()[parser.at..].to_vec();
                input.text = rest;
                self.frames.push(Frame::Input(input));
                self.frames.push(Frame::list(list, false));
            }
            Err(ParseError::Incomplete) => self.frames.push(Frame::Input(input)),
            Err(ParseError::Syntax(text)) => {
                input.text.clear();
                self.frames.push(Frame::Input(input));
                self.fail(sys, &format!("syntax error: {text}"));
            }
        }
        None
    }

    /// `PS1`, or busybox's own.
    fn prompt(&self, sys: &mut Sys<'_, '_>) -> String {
        let sign = if sys.process().uid == 0 { '#' } else { '$' };
        let cwd = sys.cwd();
        let Some(format) = self.vars.get("PS1") else { return format!("{cwd} {sign} ") };
        let mut prompt = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            match (c, if c == '\\' { chars.next() } else { None }) {
                ('\\', Some('w')) => prompt.push_str(&cwd),
                ('\\', Some('W')) => prompt.push_str(cwd.rsplit('/').next().unwrap_or_default()),
                ('\\', Some('h' | 'H')) => prompt.push_str(sys.system.hostname),
                ('\\', Some('u')) => {
                    prompt.push_str(if sys.process().uid == 0 { "root" } else { "user" });
                }
                ('\\', Some('$')) => prompt.push(sign),
                ('\\', Some('n')) => prompt.push('\n'),
                ('\\', Some(c)) | (c, _) => prompt.push(c),
            }
        }
        prompt
    }
}

/// A `read` under way.
pub(super) struct Reading {
    pub(super) names: Vec<String>,
    pub(super) raw: bool,
    pub(super) fd: usize,
    /// `-n`: characters to read at most.
    pub(super) most: Option<usize>,
    /// The line so far; what was escaped is marked.
    line: Vec<(u8, bool)>,
    escaped: bool,
}

impl Reading {
    pub(super) const fn new(names: Vec<String>, raw: bool, fd: usize, most: Option<usize>) -> Self {
        Self { names, raw, fd, most, line: Vec::new(), escaped: false }
    }

    /// Takes bytes: how many, and whether the line is whole.
    fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        for (at, byte) in bytes.iter().enumerate() {
            if self.escaped {
                self.escaped = false;
                if *byte != b'\n' {
                    self.line.push((*byte, true));
                }
            } else if *byte == b'\\' && !self.raw {
                self.escaped = true;
            } else if *byte == b'\n' {
                return (at + 1, true);
            } else if *byte != 0 {
                self.line.push((*byte, false));
            }
            if self.line.len() >= self.most.unwrap_or(MAX_WORD) {
                return (at + 1, true);
            }
        }
        (bytes.len(), false)
    }
}

impl Shell {
    pub(super) fn read_line(
        &mut self,
        sys: &mut Sys<'_, '_>,
        mut reading: Reading,
    ) -> Option<Step> {
        let fd = reading.fd;
        loop {
            match sys.read(fd, 1024) {
                Err(Errno::Again) => {
                    let block = sys.until_readable(fd);
                    self.frames.push(Frame::Read(reading));
                    return Some(Step::Block(block));
                }
                Ok(bytes) if !bytes.is_empty() => {
                    let (taken, whole) = reading.take(&bytes);
                    if whole {
                        sys.unread(fd, bytes[taken..].to_vec());
                        self.assign_fields(sys, &reading);
                        self.status = 0;
                        return None;
                    }
                }
                _ => {
                    self.assign_fields(sys, &reading);
                    self.status = 1;
                    return None;
                }
            }
        }
    }

    fn assign_fields(&mut self, sys: &mut Sys<'_, '_>, reading: &Reading) {
        let ifs = self.vars.get("IFS").unwrap_or(" \t\n").to_string();
        let is_ifs = |(byte, escaped): &(u8, bool)| !escaped && ifs.as_bytes().contains(byte);
        let is_space = |one: &(u8, bool)| is_ifs(one) && one.0.is_ascii_whitespace();
        let text = |bytes: &[(u8, bool)]| {
            String::from_utf8_lossy(&bytes.iter().map(|(byte, _)| *byte).collect::<Vec<_>>())
                .into_owned()
        };
        let names = if reading.names.is_empty() {
            Vec::from(["REPLY".to_string()])
        } else {
            reading.names.clone()
        };
        let mut rest = reading.line.as_slice();
        if !reading.names.is_empty() {
            while let Some((first, others)) =
                rest.split_first().filter(|(first, _)| is_space(first))
            {
                let _ = first;
                rest = others;
            }
        }
        let mut values = Vec::new();
        for index in 0..names.len() {
            if index + 1 == names.len() {
                let mut end = rest.len();
                if !reading.names.is_empty() {
                    while end > 0 && is_space(&rest[end - 1]) {
                        end -= 1;
                    }
                    // A delimiter that only ends the last field is none of it.
                    if end > 0 && is_ifs(&rest[end - 1]) && !rest[..end - 1].iter().any(is_ifs) {
                        end -= 1;
                    }
                }
                values.push(text(&rest[..end]));
                break;
            }
            let end = rest.iter().position(is_ifs).unwrap_or(rest.len());
            values.push(text(&rest[..end]));
            rest = &rest[end..];
            let mut delimited = false;
            while let Some((first, others)) = rest.split_first() {
                if is_space(first) || (is_ifs(first) && !core::mem::replace(&mut delimited, true)) {
                    rest = others;
                } else {
                    break;
                }
            }
        }
        for (name, value) in names.iter().zip(values) {
            if let Err(text) = self.vars.set(name, &value) {
                self.complain(sys, &text);
            }
        }
    }
}
