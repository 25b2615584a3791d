//! Programs that wait, loop, or start others.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::files::size;
use super::{MAX_TEXT, Once, Options, Output, base, find};
use crate::Instant;
use crate::backend::simulator::files::Errno;
use crate::backend::simulator::process::kernel::Program;
use crate::backend::simulator::process::shell::Shell;
use crate::backend::simulator::process::start::{LoadError, PATH, load};
use crate::backend::simulator::process::sys::Mode;
use crate::backend::simulator::process::{Exit, Pid, Signal, Step, Sys};

pub(super) fn program(name: &str, argv: Vec<String>) -> Option<Box<dyn Program>> {
    Some(match name {
        "sleep" | "usleep" => {
            Box::new(Sleep { args: argv, until: None, output: Output::default() })
        }
        "yes" => {
            let text = if argv.len() > 1 { argv[1..].join(" ") } else { "y".into() };
            Box::new(Repeat {
                text: format!("{text}\n").into_bytes(),
                held: Vec::new(),
                output: Output::default(),
            })
        }
        "seq" => Box::new(Seq { args: argv, state: None, output: Output::default(), code: None }),
        "tee" => Box::new(Tee { args: argv, fds: None, waiting: Vec::new(), status: 0 }),
        "dd" => Box::new(Dd::new(argv)),
        "env" | "nohup" | "nice" | "setsid" | "busybox" | "exec" => {
            Box::new(Instead { args: argv, output: Output::default() })
        }
        "timeout" => Box::new(Timeout { args: argv, child: None, killed: false }),
        "time" => Box::new(Runs::new(argv.clone(), Vec::from([argv[1..].to_vec()]), Kind::Time)),
        "xargs" => Box::new(Gather { args: argv, bytes: Vec::new(), then: xargs }),
        "find" => Box::new(Find { args: argv }),
        "tar" | "cpio" => Box::new(Gather {
            args: argv,
            bytes: Vec::new(),
            then: |_, args, _| once(super::tar::tar, args),
        }),
        _ => return None,
    })
}

fn once(run: super::Immediate, args: Vec<String>) -> Box<dyn Program> {
    Box::new(Once { run, args, done: None, output: Output::default() })
}

/// An end with a message.
fn fails(args: &[String], text: &str, code: u8) -> Box<dyn Program> {
    let mut output = Output::default();
    output.complain(text);
    Box::new(Once { run: |_, _, _| 0, args: args.to_vec(), done: Some(code), output })
}

/// Loads what a command line runs, as a program that starts another would: the status of a failure is 127 or 126.
fn load_command(
    sys: &mut Sys<'_, '_>,
    own: &str,
    words: &[String],
) -> Result<Box<dyn Program>, (String, u8)> {
    let cwd = sys.cwd();
    let path = sys.env("PATH").unwrap_or_else(|| PATH.into());
    let name = words.first().cloned().unwrap_or_default();
    load(&sys.system.files, &cwd, &path, words).or_else(|error| match error {
        LoadError::Format(file) => {
            Ok(Box::new(Shell::for_script(&file, words)) as Box<dyn Program>)
        }
        LoadError::Denied => {
            Err((format!("{own}: can't execute '{name}': Permission denied"), 126))
        }
        _ => Err((format!("{own}: can't execute '{name}': No such file or directory"), 127)),
    })
}

struct Sleep {
    args: Vec<String>,
    until: Option<Instant>,
    output: Output,
}

/// `1.5`, `2m`; `None` if it is no time.
fn duration(text: &str) -> Option<Duration> {
    if matches!(text, "inf" | "infinity") {
        return Some(Duration::MAX);
    }
    let (digits, unit) = match text.as_bytes().last()? {
        b's' => (&text[..text.len() - 1], 1.0),
        b'm' => (&text[..text.len() - 1], 60.0),
        b'h' => (&text[..text.len() - 1], 3600.0),
        b'd' => (&text[..text.len() - 1], 86_400.0),
        _ => (text, 1.0),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let seconds: f64 = digits.parse().ok()?;
    Some(Duration::try_from_secs_f64(seconds * unit).unwrap_or(Duration::MAX))
}

impl Program for Sleep {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        let until = match self.until {
            Some(until) => until,
            None => {
                let mut total = Duration::ZERO;
                for text in &self.args[1..] {
                    let Some(time) = duration(text) else {
                        self.output.complain(&format!("sleep: invalid number '{text}'"));
                        return Step::Become(Box::new(Once {
                            run: |_, _, _| 1,
                            args: self.args.clone(),
                            done: Some(1),
                            output: core::mem::take(&mut self.output),
                        }));
                    };
                    total = total.saturating_add(time);
                }
                if base(&self.args[0]) == "usleep" {
                    total /= 1_000_000;
                }
                *self.until.insert(sys.system.now + total)
            }
        };
        if until <= sys.system.now {
            return Step::Exit(0);
        }
        Step::Block(super::Block { on: None, until: Some(until) })
    }
}

/// The same again and again.
struct Repeat {
    text: Vec<u8>,
    held: Vec<u8>,
    output: Output,
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

struct Seq {
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

struct Tee {
    args: Vec<String>,
    fds: Option<Vec<usize>>,
    /// What a descriptor must still take.
    waiting: Vec<(usize, Vec<u8>)>,
    status: u8,
}

impl Program for Tee {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        if self.fds.is_none() {
            let mut fds = Vec::from([1]);
            let mode =
                if self.args.iter().any(|arg| arg == "-a") { Mode::Append } else { Mode::Write };
            for file in self.args[1..].iter().filter(|arg| !arg.starts_with('-')) {
                match sys.open_fd(file, mode) {
                    Ok(fd) => fds.push(fd),
                    Err(error) => {
                        let _ = sys.write(2, format!("tee: {file}: {error}\n").as_bytes());
                        self.status = 1;
                    }
                }
            }
            self.fds = Some(fds);
        }
        loop {
            while let Some((fd, bytes)) = self.waiting.last_mut() {
                match sys.write(*fd, bytes) {
                    Ok(taken) => drop(bytes.drain(..taken)),
                    Err(Errno::Again) => return Step::Block(sys.until_writable(*fd)),
                    Err(_) => {
                        self.status = 1;
                        bytes.clear();
                    }
                }
                if bytes.is_empty() {
                    self.waiting.pop();
                }
            }
            if !sys.burn(8) {
                return Step::Again;
            }
            match sys.read(0, 4096) {
                Ok(bytes) if !bytes.is_empty() => {
                    let fds = self.fds.iter().flatten().rev();
                    self.waiting.extend(fds.map(|fd| (*fd, bytes.clone())));
                }
                Err(Errno::Again) => return Step::Block(sys.until_readable(0)),
                _ => return Step::Exit(self.status),
            }
        }
    }
}

struct Dd {
    args: Vec<String>,
    begun: bool,
    block: usize,
    left: Option<u64>,
    skip: u64,
    input: usize,
    read: u64,
    written: u64,
    partial: u64,
    held: Vec<u8>,
    silent: bool,
    output: Output,
    code: Option<u8>,
}

impl Dd {
    fn new(args: Vec<String>) -> Self {
        Self {
            args,
            begun: false,
            block: 512,
            left: None,
            skip: 0,
            input: 0,
            read: 0,
            written: 0,
            partial: 0,
            held: Vec::new(),
            silent: false,
            output: Output::default(),
            code: None,
        }
    }

    fn begin(&mut self, sys: &mut Sys<'_, '_>) -> Result<(), String> {
        for arg in self.args.clone().into_iter().skip(1) {
            let (key, value) =
                arg.split_once('=').ok_or_else(|| format!("dd: invalid argument '{arg}'"))?;
            let number = || size(value).ok_or_else(|| format!("dd: invalid number '{value}'"));
            match key {
                "if" => {
                    let fd = sys
                        .open_fd(value, Mode::Read)
                        .map_err(|error| format!("dd: can't open '{value}': {error}"))?;
                    self.input = fd;
                }
                "of" => {
                    let id = sys
                        .open(value, Mode::Write)
                        .map_err(|error| format!("dd: can't open '{value}': {error}"))?;
                    sys.install(1, id).map_err(|error| format!("dd: {error}"))?;
                }
                "bs" | "ibs" | "obs" => {
                    self.block = usize::try_from(number()?).unwrap_or(0).clamp(1, 1 << 20);
                }
                "count" => self.left = Some(number()?),
                "skip" => self.skip = number()?,
                "status" => self.silent = value != "progress",
                "conv" | "seek" | "iflag" | "oflag" => {}
                _ => return Err(format!("dd: invalid argument '{arg}'")),
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        self.code = Some(0);
        if !self.silent {
            let (whole, part) = (self.read / self.block as u64, self.partial);
            self.output.complain(&format!("{whole}+{part} records in"));
            self.output.complain(&format!("{whole}+{part} records out"));
            self.output.complain(&format!("{} bytes copied, 0.000000 seconds, 0B/s", self.written));
        }
    }
}

impl Program for Dd {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        if !core::mem::replace(&mut self.begun, true)
            && let Err(text) = self.begin(sys)
        {
            return Step::Become(fails(&self.args, &text, 1));
        }
        loop {
            if let Some(step) = self.output.flush(sys, "dd") {
                return step;
            }
            if let Some(code) = self.code {
                return Step::Exit(code);
            }
            if !sys.burn(1 + self.held.len() as u32 / 64) {
                return Step::Again;
            }
            if self.left == Some(0) {
                self.end();
                continue;
            }
            match sys.read(self.input, self.block - self.held.len()) {
                Ok(bytes) if bytes.is_empty() => {
                    if !self.held.is_empty() {
                        self.partial = 1;
                        self.written += self.held.len() as u64;
                        self.output.out.append(&mut self.held);
                    }
                    self.end();
                }
                Ok(bytes) => {
                    self.held.extend(bytes);
                    if self.held.len() < self.block {
                        continue;
                    }
                    if self.skip > 0 {
                        self.skip -= 1;
                        self.held.clear();
                        continue;
                    }
                    self.left = self.left.map(|left| left - 1);
                    self.read += self.held.len() as u64;
                    self.written += self.held.len() as u64;
                    self.output.out.append(&mut self.held);
                }
                Err(Errno::Again) => return Step::Block(sys.until_readable(self.input)),
                Err(error) => return Step::Become(fails(&self.args, &format!("dd: {error}"), 1)),
            }
        }
    }
}

/// Programs that set something and then are another: `env`, `nohup`, `nice`.
struct Instead {
    args: Vec<String>,
    output: Output,
}

impl Program for Instead {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        let own = base(&self.args[0]).to_string();
        let mut words = &self.args[1..];
        let mut env = sys.process().env.to_vec();
        while let Some(word) = words.first().filter(|word| word.starts_with('-')) {
            words = &words[1..];
            match (own.as_str(), word.as_str()) {
                ("env", "-i" | "-") => env.clear(),
                ("env", "-u") => {
                    let name = words.first().cloned().unwrap_or_default();
                    env.retain(|entry| entry.split('=').next() != Some(&name));
                    words = words.get(1..).unwrap_or_default();
                }
                ("nice", "-n") => words = words.get(1..).unwrap_or_default(),
                _ => {}
            }
        }
        while let Some((name, _)) =
            words.first().filter(|_| own == "env").and_then(|word| word.split_once('='))
        {
            env.retain(|entry| entry.split('=').next() != Some(name));
            env.push(words[0].clone());
            words = &words[1..];
        }
        if own == "nohup" {
            sys.process().ignored |= Signal::HUP.bit();
        }
        if words.is_empty() {
            if own == "env" {
                env.iter().for_each(|entry| self.output.line(entry));
            } else {
                self.output.complain(&format!("{own}: no command"));
            }
            let (args, output) = (self.args.clone(), core::mem::take(&mut self.output));
            let code = if own == "env" { 0 } else { 127 };
            return Step::Become(Box::new(Once {
                run: |_, _, _| 0,
                args,
                done: Some(code),
                output,
            }));
        }
        sys.process().env = env.into();
        let words: Vec<String> = words.to_vec();
        match load_command(sys, &own, &words) {
            Ok(program) => {
                sys.process().argv = words.into();
                Step::Become(program)
            }
            Err((text, code)) => Step::Become(fails(&self.args, &text, code)),
        }
    }
}

struct Timeout {
    args: Vec<String>,
    child: Option<(Pid, Instant)>,
    killed: bool,
}

impl Program for Timeout {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        let Some(options) = options_before_command(&self.args, "sk") else {
            return Step::Become(fails(&self.args, "timeout: invalid option", 1));
        };
        let signal =
            options.value('s').map_or(Some(Signal::TERM), Signal::parse).unwrap_or(Signal::TERM);
        let (pid, until) = match self.child {
            Some(child) => child,
            None => {
                let [time, words @ ..] = options.operands.as_slice() else {
                    return Step::Become(fails(
                        &self.args,
                        "timeout: usage: timeout [-s SIG] SECS PROG ARGS",
                        1,
                    ));
                };
                let Some(time) = duration(time) else {
                    return Step::Become(fails(
                        &self.args,
                        &format!("timeout: invalid number '{time}'"),
                        1,
                    ));
                };
                let program = match load_command(sys, "timeout", words) {
                    Ok(program) => program,
                    Err((text, code)) => return Step::Become(fails(&self.args, &text, code)),
                };
                match sys.fork(program, Some(words.into()), &[]) {
                    Ok(pid) => *self.child.insert((pid, sys.system.now + time)),
                    Err(error) => {
                        return Step::Become(fails(&self.args, &format!("timeout: {error}"), 1));
                    }
                }
            }
        };
        if until <= sys.system.now && !core::mem::replace(&mut self.killed, true) {
            sys.signal(pid, signal);
        }
        match sys.wait(pid) {
            Err(Errno::Again) => {
                let mut block = super::Block {
                    on: Some(super::super::kernel::Channel::Child),
                    until: Some(until),
                };
                if self.killed {
                    block.until = None;
                }
                Step::Block(block)
            }
            Ok(exit) if !self.killed => Step::Exit(exit.code),
            Ok(_) => {
                sys.kernel.end(sys.pid, Exit::of(signal));
                Step::Exit(143)
            }
            Err(_) => Step::Exit(1),
        }
    }
}

/// Options up to the first word that is none: what is behind it belongs to another program.
fn options_before_command(args: &[String], valued: &str) -> Option<Options> {
    let mut end = 1;
    while let Some(arg) = args.get(end).filter(|arg| arg.starts_with('-') && arg.len() > 1) {
        end += 1;
        if arg == "--" {
            break;
        }
        if arg.len() == 2 && valued.contains(&arg[1..]) {
            end += 1;
        }
    }
    let end = end.min(args.len());
    let flags = "0rtpxoe";
    let mut options = Options::parse(&args[..end], flags, valued, &mut Output::default())?;
    options.operands = args[end..].to_vec();
    Some(options)
}

/// What is done around the programs that are run one after the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Xargs,
    Find(u8),
    Time,
}

struct Runs {
    args: Vec<String>,
    left: VecDeque<Vec<String>>,
    child: Option<Pid>,
    kind: Kind,
    status: u8,
    output: Output,
}

impl Runs {
    fn new(args: Vec<String>, runs: Vec<Vec<String>>, kind: Kind) -> Self {
        let status = if let Kind::Find(status) = kind { status } else { 0 };
        Self { args, left: runs.into(), child: None, kind, status, output: Output::default() }
    }
}

impl Program for Runs {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        loop {
            let own = base(&self.args[0]).to_string();
            if let Some(step) = self.output.flush(sys, &own) {
                return step;
            }
            if let Some(pid) = self.child {
                match sys.wait(pid) {
                    Err(Errno::Again) => return Sys::until_child(),
                    Ok(exit) => {
                        self.status = match (self.kind, exit.code) {
                            (Kind::Time, code) => code,
                            (Kind::Find(_), _) | (Kind::Xargs, 0) => self.status,
                            (Kind::Xargs, 126 | 127) => exit.code,
                            (Kind::Xargs, _) => 123,
                        };
                    }
                    Err(_) => {}
                }
                self.child = None;
                if self.kind == Kind::Time {
                    self.output.complain("real\t0m 0.00s\nuser\t0m 0.00s\nsys\t0m 0.00s");
                    continue;
                }
            }
            let Some(words) = self.left.pop_front() else { return Step::Exit(self.status) };
            if !sys.burn(4) {
                self.left.push_front(words);
                return Step::Again;
            }
            match load_command(sys, &own, &words) {
                Ok(program) => match sys.fork(program, Some(words.into()), &[]) {
                    Ok(pid) => self.child = Some(pid),
                    Err(error) => {
                        self.output.complain(&format!("{own}: can't fork: {error}"));
                        self.status = 1;
                        self.left.clear();
                    }
                },
                Err((text, code)) => {
                    self.output.complain(&text.replace("can't execute '", "").replace("': ", ": "));
                    self.status = if self.kind == Kind::Time { 127 } else { code };
                    self.left.clear();
                }
            }
        }
    }
}

/// Makes a program of its words and of what stdin held.
type Then = fn(&mut Sys<'_, '_>, Vec<String>, &[u8]) -> Box<dyn Program>;

/// Reads all of stdin, and then is another program, which finds it there.
struct Gather {
    args: Vec<String>,
    bytes: Vec<u8>,
    then: Then,
}

impl Program for Gather {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        let tar = base(&self.args[0]) == "tar";
        let first = self.args.get(1).map_or("", |word| word);
        let from_stdin = !tar
            || !first.contains('c')
                && (!first.contains('f') || self.args.iter().any(|arg| arg == "-"));
        loop {
            if !from_stdin {
                break;
            }
            if !sys.burn(16) {
                return Step::Again;
            }
            match sys.read(0, 4096) {
                Ok(bytes) if !bytes.is_empty() && self.bytes.len() < MAX_TEXT => {
                    self.bytes.extend(bytes);
                }
                Err(Errno::Again) => return Step::Block(sys.until_readable(0)),
                _ => break,
            }
        }
        let bytes = core::mem::take(&mut self.bytes);
        if from_stdin {
            let id = sys.text(if tar { &bytes } else { b"" });
            if sys.install(0, id).is_err() {
                return Step::Exit(1);
            }
        }
        Step::Become((self.then)(sys, self.args.clone(), &bytes))
    }
}

/// The words of `xargs`' input: split at white space, with quotes and backslashes.
fn split(text: &str) -> Vec<String> {
    let (mut words, mut word): (Vec<String>, Option<String>) = (Vec::new(), None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' | '"' => {
                let own = word.get_or_insert_default();
                own.extend(chars.by_ref().take_while(|end| *end != c));
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn xargs(_: &mut Sys<'_, '_>, args: Vec<String>, bytes: &[u8]) -> Box<dyn Program> {
    let Some(options) = options_before_command(&args, "nILPsd") else {
        return fails(&args, "xargs: invalid option", 1);
    };
    let mut command = options.operands.clone();
    if command.is_empty() {
        command.push("echo".into());
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut runs = Vec::new();
    if let Some(mark) = options.value('I') {
        for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
            runs.push(command.iter().map(|word| word.replace(mark, line)).collect());
        }
        return Box::new(Runs::new(args, runs, Kind::Xargs));
    }
    let words: Vec<String> = if options.has('0') {
        text.split('\0').filter(|word| !word.is_empty()).map(Into::into).collect()
    } else if options.value('L').is_some() {
        text.lines().map(Into::into).collect()
    } else {
        split(&text)
    };
    let count = options
        .value('n')
        .or_else(|| options.value('L'))
        .and_then(|text| text.parse().ok())
        .unwrap_or(5000_usize)
        .max(1);
    for batch in words.chunks(count) {
        let mut run = command.clone();
        if options.value('L').is_some() {
            run.extend(batch.iter().flat_map(|line| split(line)));
        } else {
            run.extend_from_slice(batch);
        }
        runs.push(run);
    }
    if words.is_empty() && !options.has('r') {
        runs.push(command);
    }
    Box::new(Runs::new(args, runs, Kind::Xargs))
}

struct Find {
    args: Vec<String>,
}

impl Program for Find {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        let search = find::find(sys, &self.args);
        let mut runs = Runs::new(self.args.clone(), search.runs, Kind::Find(search.status));
        runs.output = search.output;
        sys.burn(16);
        Step::Become(Box::new(runs))
    }
}
