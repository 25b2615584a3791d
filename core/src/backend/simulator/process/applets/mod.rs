//! The programs of busybox. Each speaks, and errs, as busybox's does.
//!
//! There are three kinds: those that do their work at once ([`Immediate`]), those that pass text through ([`Filter`]), and
//! those that wait, loop or start others, which are machines of their own.

mod batch;
mod blocks;
mod copy;
mod disk;
mod files;
mod find;
mod grep;
mod instead;
mod list;
mod machines;
mod ping;
mod print;
mod regex;
mod sed;
mod series;
mod sort;
mod sums;
mod system;
mod tar;
mod test;
mod text;
mod timing;
mod top;
mod tr;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub(super) use self::print::{echo, printf};
pub(super) use self::system::kill;
pub(super) use self::test::test;
use super::kernel::Program;
use super::sys::Mode;
use super::{Block, Step, Sys};
use crate::backend::simulator::files::Errno;

/// Text that an applet keeps: `sort`, `tail`, a line.
const MAX_TEXT: usize = 16 << 20;

/// What has been printed.
#[derive(Default)]
pub(super) struct Output {
    pub(super) out: Vec<u8>,
    pub(super) err: Vec<u8>,
}

impl Output {
    pub(super) fn line(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(b'\n');
    }

    pub(super) fn complain(&mut self, text: &str) {
        self.err.extend_from_slice(text.as_bytes());
        self.err.push(b'\n');
    }

    /// Hands it to the process's stdout and stderr: a step, if that cannot be done at once.
    fn flush(&mut self, sys: &mut Sys<'_, '_>, name: &str) -> Option<Step> {
        for fd in [2, 1] {
            loop {
                let held = if fd == 1 { &self.out } else { &self.err };
                if held.is_empty() {
                    break;
                }
                match sys.write(fd, held) {
                    Ok(taken) => {
                        let held = if fd == 1 { &mut self.out } else { &mut self.err };
                        held.drain(..taken);
                    }
                    Err(Errno::Again) => return Some(Step::Block(sys.until_writable(fd))),
                    Err(error) => {
                        let text = format!("{name}: write error: {error}\n");
                        let _ = sys.write(2, text.as_bytes());
                        return Some(Step::Exit(1));
                    }
                }
            }
        }
        None
    }
}

/// An applet that does its work at once: its status.
pub(super) type Immediate = fn(&mut Sys<'_, '_>, &[String], &mut Output) -> u8;

/// The options and operands of a command line.
struct Options {
    given: Vec<(char, String)>,
    operands: Vec<String>,
}

impl Options {
    /// Reads options, of which those in `valued` take a value; what is wrong is printed, and nothing comes back.
    fn parse(args: &[String], flags: &str, valued: &str, done: &mut Output) -> Option<Self> {
        let mut options = Self { given: Vec::new(), operands: Vec::new() };
        let mut args = args.iter();
        let name = args.next().map_or("", |name| base(name));
        while let Some(arg) = args.next() {
            if arg == "--" {
                options.operands.extend(args.cloned());
                break;
            }
            if arg.len() < 2 || !arg.starts_with('-') {
                options.operands.push(arg.clone());
                continue;
            }
            if arg.starts_with("--") {
                done.complain(&format!("{name}: unrecognized option '{arg}'"));
                return None;
            }
            for (at, letter) in arg.char_indices().skip(1) {
                if valued.contains(letter) {
                    let inline = &arg[at + letter.len_utf8()..];
                    let value =
                        if inline.is_empty() { args.next().cloned() } else { Some(inline.into()) };
                    let Some(value) = value else {
                        done.complain(&format!(
                            "{name}: option requires an argument -- '{letter}'"
                        ));
                        return None;
                    };
                    options.given.push((letter, value));
                    break;
                }
                if !flags.contains(letter) {
                    done.complain(&format!("{name}: invalid option -- '{letter}'"));
                    return None;
                }
                options.given.push((letter, String::new()));
            }
        }
        Some(options)
    }

    fn has(&self, letter: char) -> bool {
        self.given.iter().any(|(given, _)| *given == letter)
    }

    fn value(&self, letter: char) -> Option<&str> {
        self.given.iter().rfind(|(given, _)| *given == letter).map(|(_, value)| value.as_str())
    }

    fn values(&self, letter: char) -> impl Iterator<Item = &str> {
        self.given
            .iter()
            .filter(move |(given, _)| *given == letter)
            .map(|(_, value)| value.as_str())
    }
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The program of that name, with the words of its command line.
pub(super) fn program(name: &str, mut argv: Vec<String>) -> Option<Box<dyn Program>> {
    if let Some(immediate) = immediate(name) {
        return Some(Box::new(Once {
            run: immediate,
            args: argv,
            done: None,
            output: Output::default(),
        }));
    }
    if argv.is_empty() {
        argv.push(name.to_string());
    }
    if name.ends_with("sum") && argv.iter().any(|arg| arg == "-c") {
        return Some(Box::new(Once {
            run: sums::check,
            args: argv,
            done: None,
            output: Output::default(),
        }));
    }
    if matches!(name, "egrep" | "fgrep") {
        argv.insert(1, if name == "egrep" { "-E" } else { "-F" }.into());
    }
    let mut output = Output::default();
    match text::filter(name, &argv, &mut output) {
        Some(Ok(feed)) => Some(Box::new(feed)),
        Some(Err(code)) => {
            Some(Box::new(Once { run: |_, _, _| 0, args: argv, done: Some(code), output }))
        }
        None => machines::program(name, argv),
    }
}

fn immediate(name: &str) -> Option<Immediate> {
    Some(match name {
        "echo" => echo,
        "printf" => printf,
        "test" | "[" | "[[" => test,
        "true" | "sync" => |_, _, _| 0,
        "false" => |_, _, _| 1,
        "kill" | "killall" => kill,
        "busybox" => system::busybox,
        "hostname" => system::hostname,
        "id" | "groups" => system::id,
        "whoami" => system::whoami,
        "pwd" => system::pwd,
        "printenv" => system::printenv,
        "date" => system::date,
        "uname" | "arch" => system::uname,
        "ps" => system::ps,
        "pidof" => system::pidof,
        "tty" => system::tty,
        "stty" => system::stty,
        "which" => system::which,
        "mount" | "umount" => disk::mount,
        "df" => disk::df,
        "du" => disk::du,
        "nproc" => |_, _, done| {
            done.line("2");
            0
        },
        "uptime" | "free" => system::figures,
        "getconf" => system::getconf,
        "nslookup" => system::nslookup,
        "nc" | "wget" | "telnet" => system::refuse,
        "dmesg" | "reset" | "clear" => |_, _, _| 0,
        "who" => |_, _, _| 0,
        "basename" => print::basename,
        "dirname" => print::dirname,
        "expr" => print::expr,
        "ls" => list::ls,
        "stat" => list::stat,
        "mkdir" => files::mkdir,
        "rmdir" => files::rmdir,
        "rm" | "unlink" => files::rm,
        "touch" => files::touch,
        "chmod" => files::chmod,
        "chown" | "chgrp" => files::chown,
        "ln" => files::ln,
        "readlink" => files::readlink,
        "realpath" => files::realpath,
        "truncate" => files::truncate,
        "mktemp" => files::mktemp,
        "cp" => copy::cp,
        "mv" => copy::mv,
        "install" => copy::install,
        "cmp" => files::cmp,
        _ => return None,
    })
}

/// Runs an applet that does its work at once, and then waits until all it said is taken.
struct Once {
    run: Immediate,
    args: Vec<String>,
    done: Option<u8>,
    output: Output,
}

impl Program for Once {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        let code = match self.done {
            Some(code) => code,
            None => *self.done.insert((self.run)(sys, &self.args, &mut self.output)),
        };
        sys.burn(1 + u32::try_from(self.output.out.len() / 64).unwrap_or(u32::MAX));
        let name = self.args.first().map_or("", |name| base(name));
        self.output.flush(sys, name).unwrap_or(Step::Exit(code))
    }
}

/// What an applet does with text that passes through it.
trait Filter: Send {
    /// A file begins.
    fn begin(&mut self, _file: &str, _output: &mut Output) {}

    /// Takes bytes: how many, or nothing more of this file if not all of them.
    fn feed(&mut self, bytes: &[u8], output: &mut Output) -> usize;

    /// A file has ended.
    fn end(&mut self, _file: &str, _output: &mut Output) {}

    /// All files have ended: the status, if it is not that of the files.
    fn finish(&mut self, _output: &mut Output) -> Option<u8> {
        None
    }

    /// Whether nothing was found, which is a status of 1.
    fn missed(&self) -> bool {
        false
    }

    /// Whether no file needs to be read any more.
    fn is_done(&self) -> bool {
        false
    }

    /// All that is there now was read, and more may come.
    fn settle(&mut self, _output: &mut Output) {}

    /// Whether more is awaited at the end of the last file.
    fn follows(&self) -> bool {
        false
    }
}

/// Reads files, or stdin, into a filter.
struct Feed {
    name: String,
    files: Vec<String>,
    next: usize,
    fd: Option<usize>,
    filter: Box<dyn Filter>,
    output: Output,
    status: u8,
    /// The status for a file that cannot be read.
    trouble: u8,
    finished: bool,
    /// Folders are searched for files.
    recursive: bool,
    /// Files that cannot be read are passed over in silence.
    silent: bool,
    /// Each file is replaced by what comes of it.
    in_place: bool,
    /// Where the output goes instead of stdout.
    write_to: Option<String>,
}

impl Feed {
    fn new(name: &str, mut files: Vec<String>, filter: impl Filter + 'static) -> Self {
        if files.is_empty() {
            files.push("-".into());
        }
        Self {
            name: name.into(),
            files,
            next: 0,
            fd: None,
            filter: Box::new(filter),
            output: Output::default(),
            status: 0,
            trouble: 1,
            finished: false,
            recursive: false,
            silent: false,
            in_place: false,
            write_to: None,
        }
    }

    fn close(&mut self, sys: &mut Sys<'_, '_>) {
        if let Some(fd) = self.fd.take().filter(|fd| *fd != 0) {
            sys.close(fd);
        }
    }

    fn complain(&mut self, text: &str) {
        if !self.silent {
            self.output.complain(&format!("{}: {text}", self.name));
        }
        self.status = self.trouble;
    }

    /// Puts what a folder holds among the files.
    fn enter(&mut self, sys: &mut Sys<'_, '_>, file: &str) -> bool {
        let folder = if file == "-" { "." } else { file };
        let cwd = sys.cwd();
        let Ok(entries) = sys.system.files.list(&cwd, folder) else { return false };
        let way =
            if file == "-" { String::new() } else { format!("{}/", file.trim_end_matches('/')) };
        let files = entries.keys().map(|name| format!("{way}{name}"));
        self.files.splice(self.next..self.next, files);
        true
    }

    /// Puts the output where it is to go instead of stdout.
    fn write(&mut self, sys: &mut Sys<'_, '_>) {
        let Some(file) = self.write_to.take() else { return };
        let cwd = sys.cwd();
        let content = core::mem::take(&mut self.output.out);
        if let Err(error) = sys.system.files.write(&cwd, &file, &content) {
            self.complain(&format!("{file}: {error}"));
        }
    }

    /// Reads a piece: a step, if there is none now.
    fn read(&mut self, sys: &mut Sys<'_, '_>, fd: usize) -> Option<Step> {
        let file = self.files[self.next - 1].clone();
        match sys.read(fd, 4096) {
            Ok(bytes) if !bytes.is_empty() => {
                sys.burn(1 + u32::try_from(bytes.len() / 64).unwrap_or(0));
                let taken = self.filter.feed(&bytes, &mut self.output);
                if taken < bytes.len() || self.filter.is_done() {
                    sys.unread(fd, bytes[taken..].to_vec());
                    self.end(sys, file);
                }
                return None;
            }
            Ok(_) if self.next == self.files.len() && self.filter.follows() && fd != 0 => {
                self.filter.settle(&mut self.output);
                if !self.output.out.is_empty() {
                    return None;
                }
                let until = sys.system.now + core::time::Duration::from_secs(1);
                return Some(Step::Block(Block { on: None, until: Some(until) }));
            }
            Ok(_) => {}
            Err(Errno::Again) => return Some(Step::Block(sys.until_readable(fd))),
            Err(Errno::IsDir) => self.complain(&format!("read error: {}", Errno::IsDir)),
            Err(error) => self.complain(&format!("read error: {error}")),
        }
        self.end(sys, file);
        None
    }

    fn end(&mut self, sys: &mut Sys<'_, '_>, file: String) {
        self.filter.end(&file, &mut self.output);
        self.close(sys);
        if self.in_place {
            self.write_to = Some(file);
            self.write(sys);
        }
    }
}

impl Program for Feed {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        loop {
            let name = core::mem::take(&mut self.name);
            let waiting = if self.in_place && self.fd.is_some() {
                None
            } else {
                self.output.flush(sys, &name)
            };
            self.name = name;
            if let Some(step) = waiting {
                return step;
            }
            if self.finished {
                return Step::Exit(self.status);
            }
            if !sys.burn(1) {
                return Step::Again;
            }
            if let Some(fd) = self.fd {
                if let Some(step) = self.read(sys, fd) {
                    return step;
                }
                continue;
            }
            if self.next == self.files.len() || self.filter.is_done() {
                self.finished = true;
                let missed = u8::from(self.status == 0 && self.filter.missed());
                let status = self.filter.finish(&mut self.output);
                self.status = status.unwrap_or(self.status + missed);
                self.write(sys);
                continue;
            }
            let file = self.files[self.next].clone();
            self.next += 1;
            if self.recursive && self.enter(sys, &file) {
                continue;
            }
            if file == "-" {
                self.fd = Some(0);
            } else {
                match sys.open_fd(&file, Mode::Read) {
                    Ok(fd) => self.fd = Some(fd),
                    Err(error) => {
                        self.complain(&match self.name.as_str() {
                            "head" | "tail" | "wc" | "grep" | "sort" | "uniq" | "cut" | "sed" => {
                                format!("{file}: {error}")
                            }
                            _ => format!("can't open '{file}': {error}"),
                        });
                        continue;
                    }
                }
            }
            self.filter.begin(&file, &mut self.output);
        }
    }
}

/// Lines out of pieces; one that is longer than an applet may keep is cut.
#[derive(Default)]
struct Lines {
    held: Vec<u8>,
}

impl Lines {
    /// The lines that are whole now, without their ends.
    fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(line) = piece.strip_suffix(b"\n") else {
                if self.held.len() < MAX_TEXT {
                    self.held.extend_from_slice(piece);
                }
                continue;
            };
            if self.held.is_empty() {
                each(line);
            } else {
                self.held.extend_from_slice(line);
                each(&self.held);
                self.held.clear();
            }
        }
    }

    /// The last line, if it has no end.
    fn rest(&mut self) -> Option<Vec<u8>> {
        (!self.held.is_empty()).then(|| core::mem::take(&mut self.held))
    }
}
