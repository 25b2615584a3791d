//! Programs that carry bytes as they come: `tee`, `dd`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Output;
use super::files::size;
use super::machines::fails;
use crate::backend::simulator::files::Errno;
use crate::backend::simulator::process::kernel::Program;
use crate::backend::simulator::process::sys::Mode;
use crate::backend::simulator::process::{Step, Sys};

pub(super) struct Tee {
    args: Vec<String>,
    fds: Option<Vec<usize>>,
    /// What a descriptor must still take.
    waiting: Vec<(usize, Vec<u8>)>,
    status: u8,
}

impl Tee {
    pub(super) const fn new(args: Vec<String>) -> Self {
        Self { args, fds: None, waiting: Vec::new(), status: 0 }
    }
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

pub(super) struct Dd {
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
    pub(super) fn new(args: Vec<String>) -> Self {
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
