//! Programs that wait, loop or start others, by their names.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::batch::{Find, Kind, Runs, xargs};
use super::blocks::{Dd, Tee};
use super::instead::Instead;
use super::ping::Ping;
use super::series::{Repeat, Seq};
use super::timing::{Sleep, Timeout};
use super::top::Top;
use super::{MAX_TEXT, Once, Output, base};
use crate::backend::simulator::files::Errno;
use crate::backend::simulator::process::kernel::Program;
use crate::backend::simulator::process::{Step, Sys};

pub(super) fn program(name: &str, argv: Vec<String>) -> Option<Box<dyn Program>> {
    Some(match name {
        "sleep" | "usleep" => Box::new(Sleep::new(argv)),
        "yes" => Box::new(Repeat::new(&argv)),
        "seq" => Box::new(Seq::new(argv)),
        "tee" => Box::new(Tee::new(argv)),
        "dd" => Box::new(Dd::new(argv)),
        "env" | "nohup" | "nice" | "setsid" | "busybox" | "exec" => Box::new(Instead::new(argv)),
        "timeout" => Box::new(Timeout::new(argv)),
        "ping" => Box::new(Ping::new(&argv)),
        "top" => Box::new(Top::new(&argv)),
        "time" => Box::new(Runs::new(argv.clone(), Vec::from([argv[1..].to_vec()]), Kind::Time)),
        "xargs" => Box::new(Gather { args: argv, bytes: Vec::new(), then: xargs }),
        "find" => Box::new(Find::new(argv)),
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
pub(super) fn fails(args: &[String], text: &str, code: u8) -> Box<dyn Program> {
    let mut output = Output::default();
    output.complain(text);
    Box::new(Once { run: |_, _, _| 0, args: args.to_vec(), done: Some(code), output })
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
