//! Programs that become another one, which their words name: `env`, `nohup`, `nice`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::machines::fails;
use super::{Once, Options, Output, base};
use crate::backend::simulator::process::kernel::Program;
use crate::backend::simulator::process::shell::Shell;
use crate::backend::simulator::process::start::{LoadError, PATH, load};
use crate::backend::simulator::process::{Signal, Step, Sys};

/// Loads what a command line runs, as a program that starts another would: the status of a failure is 127 or 126.
pub(super) fn load_command(
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

/// Options up to the first word that is none: what is behind it belongs to another program.
pub(super) fn options_before_command(args: &[String], valued: &str) -> Option<Options> {
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

/// Programs that set something and then are another: `env`, `nohup`, `nice`.
pub(super) struct Instead {
    args: Vec<String>,
    output: Output,
}

impl Instead {
    pub(super) fn new(args: Vec<String>) -> Self {
        Self { args, output: Output::default() }
    }
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
