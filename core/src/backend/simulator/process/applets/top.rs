//! `top`: the processes, again and again. Containers that are to last are often started with it.

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

use super::list::name_of;
use super::{Block, Options, Output};
use crate::Instant;
use crate::backend::simulator::process::kernel::Program;
use crate::backend::simulator::process::{Step, Sys};

/// Seconds from one screen to the next, as busybox has them.
const PAUSE: u64 = 5;

pub(super) struct Top {
    /// How many screens are still to come; `None` for no end of them.
    left: Option<u64>,
    pause: Duration,
    next: Option<Instant>,
    output: Output,
    code: Option<u8>,
}

impl Top {
    pub(super) fn new(args: &[String]) -> Self {
        let mut output = Output::default();
        let options = Options::parse(args, "bHm", "nd", &mut output);
        let number = |letter| options.as_ref()?.value(letter)?.parse::<u64>().ok();
        let (left, pause) = (number('n'), Duration::from_secs(number('d').unwrap_or(PAUSE).max(1)));
        let code = options.is_none().then_some(1);
        Self { left, pause, next: None, output, code }
    }

    fn show(&mut self, sys: &mut Sys<'_, '_>) {
        let processes = sys.kernel.list();
        let running = processes.iter().filter(|process| process.state == 'R').count();
        let last = processes.last().map_or(0, |process| process.pid);
        for line in [
            "Mem: 524288K used, 1572864K free, 0K shrd, 0K buff, 524288K cached".into(),
            "CPU:   0% usr   0% sys   0% nic 100% idle   0% io   0% irq   0% sirq".into(),
            format!("Load average: 0.00 0.00 0.00 {running}/{} {last}", processes.len()),
            "  PID  PPID USER     STAT   VSZ %VSZ CPU %CPU COMMAND".to_string(),
        ] {
            self.output.line(&line);
        }
        for process in processes {
            let user = name_of(&sys.system.files, "/etc/passwd", process.uid);
            self.output.line(&format!(
                "{:5} {:5} {user:<8.8} {}     1652   0%   0   0% {}",
                process.pid,
                process.parent,
                process.state,
                process.argv.join(" ")
            ));
        }
    }
}

impl Program for Top {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        if let Some(step) = self.output.flush(sys, "top") {
            return step;
        }
        if let Some(code) = self.code {
            return Step::Exit(code);
        }
        let now = sys.system.now;
        if let Some(next) = self.next.filter(|next| *next > now) {
            return Step::Block(Block { on: None, until: Some(next) });
        }
        if !sys.burn(8) {
            return Step::Again;
        }
        if self.left == Some(0) {
            return Step::Exit(0);
        }
        self.show(sys);
        self.left = self.left.map(|left| left - 1);
        if self.left == Some(0) {
            self.code = Some(0);
        }
        self.next = Some(now + self.pause);
        Step::Again
    }
}
