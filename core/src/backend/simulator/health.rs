//! Health checks: a command that is run in the container now and then.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use serde::Serialize;

use super::clock::Rfc3339;
use super::config::Healthcheck;
use super::container::{Container, Health, Probe, Serial, State};
use super::files::View;
use super::process::{Names, Pid, Signal, Spec, System};
use super::world::{Due, DueKey, World};

/// Where a running container's checks stand.
#[derive(Default)]
pub(super) struct Probing {
    due: Option<DueKey>,
    running: Option<(Pid, Duration)>,
    output: Vec<u8>,
}

/// Bytes of a check's output that are kept.
const OUTPUT: usize = 4096;
/// Checks that are remembered.
const KEPT: usize = 5;

/// `State.Health` of an inspected container.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown<'a> {
    status: &'static str,
    failing_streak: u32,
    log: Vec<ShownProbe<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownProbe<'a> {
    start: Rfc3339,
    end: Rfc3339,
    exit_code: i32,
    output: &'a str,
}

impl Health {
    pub(super) fn shown(&self) -> Shown<'_> {
        Shown {
            status: self.status,
            failing_streak: self.failing_streak,
            log: self.log.iter().map(ShownProbe::of).collect(),
        }
    }
}

impl<'a> ShownProbe<'a> {
    fn of(probe: &'a Probe) -> Self {
        Self {
            start: Rfc3339(probe.start),
            end: Rfc3339(probe.end),
            exit_code: probe.exit_code,
            output: &probe.output,
        }
    }
}

/// The container's check, if it has one.
fn check(container: &Container) -> Option<&Healthcheck> {
    let check = container.config.healthcheck.as_ref()?;
    let test = check.test.as_deref()?;
    (!matches!(test.first().map(String::as_str), None | Some("NONE"))).then_some(check)
}

/// Nanoseconds, or so many seconds if there are none. What an image says has not been checked, so that no check follows the
/// one before at once.
fn or_seconds(nanos: i64, seconds: u64) -> Duration {
    match u64::try_from(nanos) {
        Ok(nanos) if nanos > 0 => {
            Duration::from_nanos(nanos.max(super::create::SHORTEST_CHECK.unsigned_abs()))
        }
        _ => Duration::from_secs(seconds),
    }
}

impl World {
    /// Begins to check a container that has just been started.
    pub(super) fn begin_probes(&mut self, serial: Serial) {
        let Some(container) = self.containers.get_mut(serial) else { return };
        let Some(interval) = check(container).map(|check| or_seconds(check.interval, 30)) else {
            return;
        };
        let health = Health { status: "starting", failing_streak: 0, log: Vec::new() };
        container.health = Some(health.into());
        let due = self.agenda.add(self.instant + interval, Due::Probe(serial));
        if let Some(run) = &mut container.run {
            run.probe = Probing { due: Some(due), ..Probing::default() };
        }
    }

    pub(super) fn end_probes(&mut self, probing: &Probing) {
        self.agenda.cancel(probing.due);
    }

    /// The time for the next check has come, or that of the one under way is over.
    pub(super) fn probe(&mut self, serial: Serial) {
        let Some(container) = self.containers.get_mut(serial) else { return };
        let Some(check) = check(container).cloned() else { return };
        if container.state == State::Paused {
            // Nothing of it goes on, so that a check could only be late.
            let next = self.instant + or_seconds(check.interval, 30);
            if let Some(run) = &mut container.run {
                run.probe.due = Some(self.agenda.add(next, Due::Probe(serial)));
            }
            return;
        }
        let Some(mut run) = container.run.take() else { return };
        if let Some((pid, _)) = run.probe.running {
            run.processes.signal(pid, Signal::KILL);
            run.processes.forget(pid);
            container.run = Some(run);
            let timeout = or_seconds(check.timeout, 30);
            let words = alloc::format!("Health check exceeded timeout ({timeout:?})");
            return self.probed(serial, -1, words);
        }
        let test = check.test.unwrap_or_default();
        let argv: Vec<String> = match test.first().map(String::as_str) {
            Some("CMD-SHELL") => {
                let shell = container.config.shell.clone();
                let mut argv = shell.unwrap_or_else(|| ["/bin/sh", "-c"].map(String::from).into());
                argv.extend(test.into_iter().skip(1));
                argv
            }
            _ => test.into_iter().skip(1).collect(),
        };
        let config = &container.config;
        let spec = Spec {
            argv,
            env: config.env.clone().unwrap_or_default(),
            cwd: config.working_dir.clone(),
            user: config.user.clone(),
            ..Spec::default()
        };
        let seconds = i64::try_from(self.now.as_secs()).unwrap_or(i64::MAX);
        let files = View::new(&mut self.store, &run.mounts, seconds);
        let hostname = container.hostname();
        let mut system =
            System { files, hostname, now: self.instant, unix: self.now, names: Names::default() };
        let started = run.processes.start(spec, &mut system);
        if let Ok(pid) = started {
            let timeout = or_seconds(check.timeout, 30);
            run.probe.running = Some((pid, self.now));
            run.probe.due = Some(self.agenda.add(self.instant + timeout, Due::Probe(serial)));
        }
        container.run = Some(run);
        self.ready.insert(serial);
        if let Err(error) = started {
            self.probed(serial, i32::from(error.code()), error.to_string());
        }
    }

    /// Looks whether the check under way has ended.
    pub(super) fn reap_probe(&mut self, serial: Serial) {
        let Some(run) = self.containers.get_mut(serial).and_then(|c| c.run.as_mut()) else {
            return;
        };
        let Some((pid, _)) = run.probe.running else { return };
        while let Some((_, bytes)) = run.processes.output(pid) {
            let room = OUTPUT.saturating_sub(run.probe.output.len());
            run.probe.output.extend_from_slice(&bytes[..room.min(bytes.len())]);
        }
        if let Some(exit) = run.processes.exited(pid) {
            run.processes.forget(pid);
            let output =
                String::from_utf8_lossy(&core::mem::take(&mut run.probe.output)).into_owned();
            self.probed(serial, i32::from(exit.code), output);
        }
    }

    /// Notes what a check has found, and sets the time for the next.
    fn probed(&mut self, serial: Serial, exit_code: i32, output: String) {
        let (now, instant) = (self.now, self.instant);
        let Some(container) = self.containers.get_mut(serial) else { return };
        let Some(check) = check(container).cloned() else { return };
        let started = container.started.unwrap_or(now);
        let Some(run) = &mut container.run else { return };
        self.agenda.cancel(run.probe.due.take());
        let start = run.probe.running.take().map_or(now, |(_, start)| start);
        run.probe.output.clear();
        let next = instant + or_seconds(check.interval, 30);
        run.probe.due = Some(self.agenda.add(next, Due::Probe(serial)));
        let Some(health) = &mut container.health else { return };
        let before = health.status;
        if exit_code == 0 {
            health.failing_streak = 0;
            health.status = "healthy";
        } else {
            let grace = or_seconds(check.start_period, 0);
            let in_grace = health.status == "starting" && now.saturating_sub(started) < grace;
            if !in_grace {
                health.failing_streak += 1;
                let retries = if check.retries > 0 { check.retries } else { 3 };
                if i64::from(health.failing_streak) >= retries {
                    health.status = "unhealthy";
                }
            }
        }
        health.log.push(Probe { start, end: now, exit_code, output });
        if health.log.len() > KEPT {
            health.log.remove(0);
        }
        let after = health.status;
        self.touch();
        if before != after {
            self.emit_of(alloc::format!("health_status: {after}"), serial, &[]);
        }
    }
}
