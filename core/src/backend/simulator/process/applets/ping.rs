//! `ping`: whether a host answers, once a second.

use alloc::format;
use alloc::string::{String, ToString};
use core::net::Ipv4Addr;
use core::time::Duration;

use super::{Block, Options, Output};
use crate::Instant;
use crate::backend::simulator::process::kernel::Program;
use crate::backend::simulator::process::{Step, Sys};

/// From one packet to the next.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Ping {
    host: String,
    address: Option<Ipv4Addr>,
    /// How many packets are sent; `None` for no end of them.
    count: Option<u64>,
    sent: u64,
    next: Option<Instant>,
    output: Output,
    code: Option<u8>,
}

impl Ping {
    pub(super) fn new(args: &[String]) -> Self {
        let mut output = Output::default();
        let options = Options::parse(args, "46q", "csItwWip", &mut output);
        let host = options.as_ref().and_then(|options| options.operands.first().cloned());
        let count = options.as_ref().and_then(|options| options.value('c')?.parse().ok());
        if host.is_none() && options.is_some() {
            output.complain("ping: no host is given");
        }
        let code = host.is_none().then_some(1);
        let host = host.unwrap_or_default();
        Self { host, address: None, count, sent: 0, next: None, output, code }
    }

    fn sum_up(&mut self) {
        let (host, sent) = (&self.host, self.sent);
        for line in [
            String::new(),
            format!("--- {host} ping statistics ---"),
            format!("{sent} packets transmitted, {sent} packets received, 0% packet loss"),
            "round-trip min/avg/max = 0.050/0.050/0.050 ms".to_string(),
        ] {
            self.output.line(&line);
        }
    }
}

impl Program for Ping {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step {
        if let Some(step) = self.output.flush(sys, "ping") {
            return step;
        }
        if let Some(code) = self.code {
            return Step::Exit(code);
        }
        if !sys.burn(8) {
            return Step::Again;
        }
        let now = sys.system.now;
        let address = match self.address {
            Some(address) => address,
            None => {
                let host = &self.host;
                let Some(address) = sys.resolve(host) else {
                    self.output.complain(&format!("ping: bad address '{host}'"));
                    self.code = Some(1);
                    return Step::Again;
                };
                self.output.line(&format!("PING {host} ({address}): 56 data bytes"));
                *self.address.insert(address)
            }
        };
        if let Some(next) = self.next.filter(|next| *next > now) {
            return Step::Block(Block { on: None, until: Some(next) });
        }
        let seq = self.sent;
        self.output.line(&format!("64 bytes from {address}: seq={seq} ttl=64 time=0.050 ms"));
        self.sent += 1;
        self.next = Some(now + PAUSE);
        if self.count.is_some_and(|count| self.sent >= count) {
            self.sum_up();
            self.code = Some(0);
        }
        Step::Again
    }
}
