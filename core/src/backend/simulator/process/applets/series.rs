//! Programs that print on and on: `yes`, `seq`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Output;
use crate::backend::simulator::process::kernel::Program;
use crate::backend::simulator::process::{Step, Sys};

/// The same again and again.
pub(super) struct Repeat {
    text: Vec<u8>,
    held: Vec<u8>,
    output: Output,
}

impl Repeat {
    pub(super) fn new(argv: &[String]) -> Self {
        let text = if argv.len() > 1 { argv[1..].join(" ") } else { "y".into() };
        let text = format!("{text}\n").into_bytes();
        Self { text, held: Vec::new(), output: Output::default() }
    }
}

impl Program for Repeat {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        if self.held.is_empty() {
            while self.held.len() < 4096 {
                self.held.extend_from_slice(&self.text);
            }
        }
        loop {
            if self.output.out.is_empty() {
                self.output.out.extend_from_slice(&self.held);
            }
            if let Some(step) = self.output.flush(sys, "yes") {
                return step;
            }
            if !sys.burn(64) {
                return Step::Again;
            }
        }
    }
}

pub(super) struct Seq {
    args: Vec<String>,
    state: Option<SeqState>,
    output: Output,
    code: Option<u8>,
}

struct SeqState {
    next: i64,
    step: i64,
    last: i64,
    /// Digits behind the point, by which all numbers are scaled.
    scale: u32,
    width: usize,
    separator: String,
    first: bool,
}

impl Seq {
    pub(super) fn new(args: Vec<String>) -> Self {
        Self { args, state: None, output: Output::default(), code: None }
    }

    fn begin(&mut self) -> Result<SeqState, String> {
        let (mut words, mut wide, mut separator) = (Vec::new(), false, "\n".to_string());
        let mut args = self.args[1..].iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "-w" => wide = true,
                option if option.starts_with("-s") && option.len() > 2 => {
                    separator = option[2..].into();
                }
                "-s" => separator = args.next().cloned().unwrap_or_default(),
                _ => words.push(arg.as_str()),
            }
        }
        let (first, step, last) = match words.as_slice() {
            [last] => ("1", "1", *last),
            [first, last] => (*first, "1", *last),
            [first, step, last] => (*first, *step, *last),
            _ => return Err("seq: usage: seq [-w] [-s SEP] [FIRST [INC]] LAST".into()),
        };
        let digits = |text: &str| text.split_once('.').map_or(0, |(_, digits)| digits.len());
        let scale = [first, step, last].into_iter().map(digits).max().unwrap_or(0).min(9);
        let scaled = |text: &str| {
            let wrong = || format!("seq: invalid number '{text}'");
            let (whole, part) = text.split_once('.').unwrap_or((text, ""));
            let negative = whole.starts_with('-');
            let part = format!("{part:0<scale$}");
            let whole: i64 = whole.parse().map_err(|_| wrong())?;
            let part: i64 =
                if scale == 0 { 0 } else { part[..scale].parse().map_err(|_| wrong())? };
            let scaled = whole.checked_mul(10_i64.pow(scale as u32)).ok_or_else(wrong)?;
            Ok::<i64, String>(if negative { scaled - part } else { scaled + part })
        };
        let (next, step, last) = (scaled(first)?, scaled(step)?, scaled(last)?);
        let width = if wide {
            show(next, scale as u32, 0).len().max(show(last, scale as u32, 0).len())
        } else {
            0
        };
        Ok(SeqState { next, step, last, scale: scale as u32, width, separator, first: true })
    }
}

fn show(value: i64, scale: u32, width: usize) -> String {
    if scale == 0 {
        return format!("{value:0width$}");
    }
    let unit = 10_i64.pow(scale);
    let sign = if value < 0 { "-" } else { "" };
    let (whole, part) =
        (value.unsigned_abs() / unit.unsigned_abs(), value.unsigned_abs() % unit.unsigned_abs());
    format!("{:0>width$}", format!("{sign}{whole}.{part:0digits$}", digits = scale as usize))
}

impl Program for Seq {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        loop {
            if let Some(step) = self.output.flush(sys, "seq") {
                return step;
            }
            if let Some(code) = self.code {
                return Step::Exit(code);
            }
            if !sys.burn(64) {
                return Step::Again;
            }
            if self.state.is_none() {
                match self.begin() {
                    Ok(state) => self.state = Some(state),
                    Err(text) => {
                        self.output.complain(&text);
                        self.code = Some(1);
                        continue;
                    }
                }
            }
            let Some(state) = &mut self.state else { return Step::Exit(1) };
            while self.output.out.len() < 4096 {
                let over =
                    if state.step < 0 { state.next < state.last } else { state.next > state.last };
                if over {
                    if !state.first {
                        self.output.out.push(b'\n');
                    }
                    self.code = Some(0);
                    break;
                }
                if !core::mem::replace(&mut state.first, false) {
                    self.output.out.extend_from_slice(state.separator.as_bytes());
                }
                self.output
                    .out
                    .extend_from_slice(show(state.next, state.scale, state.width).as_bytes());
                match state.next.checked_add(state.step) {
                    Some(next) => state.next = next,
                    None => state.last = if state.step < 0 { i64::MAX } else { i64::MIN },
                }
            }
        }
    }
}
