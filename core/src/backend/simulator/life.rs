//! What clients do with a container in the course of its life: stop, kill, pause, rename, update, remove.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use serde_json::Value;

use super::container::{Container, Serial, State};
use super::create::check_restart_policy;
use super::failures::{conflict, invalid, not_modified, not_running, system};
use super::filters::Filters;
use super::host_config::HostConfig;
use super::process::Signal;
use super::versions::Dialect;
use super::world::{Due, Notice, World};
use crate::job::Failure;

/// Seconds that a container has to stop by itself.
const GRACE: i64 = 10;

impl World {
    /// Asks a container to stop; it has when [`Notice::Exited`] comes.
    pub(super) fn stop(&mut self, serial: Serial, seconds: Option<i64>) -> Result<(), Failure> {
        let Some(container) = self.containers.get(serial) else { return Ok(()) };
        if !container.state.is_running() {
            return Err(not_modified());
        }
        self.begin_stop(serial, seconds, false);
        Ok(())
    }

    /// Stops a container and starts it again; just starts it if it does not run. Done when [`Notice::Restarted`] comes, or
    /// at once if this returns true.
    pub(super) fn restart(
        &mut self,
        serial: Serial,
        seconds: Option<i64>,
    ) -> Result<bool, Failure> {
        let Some(container) = self.containers.get(serial) else { return Ok(true) };
        if container.state.is_running() && container.run.is_some() {
            self.begin_stop(serial, seconds, true);
            return Ok(false);
        }
        self.start_again(serial)?;
        self.emit_of("restart", serial, &[]);
        Ok(true)
    }

    fn begin_stop(&mut self, serial: Serial, seconds: Option<i64>, restart: bool) {
        let instant = self.instant;
        let Some(container) = self.containers.get_mut(serial) else { return };
        container.stopped_by_hand = !restart;
        let Some(run) = &mut container.run else {
            self.emit_of("stop", serial, &[]);
            self.give_up_restart(serial);
            return;
        };
        run.stopping = true;
        run.restarting |= restart;
        let config = &container.config;
        let signal = Signal::parse(&config.stop_signal).unwrap_or(Signal::TERM);
        let seconds = seconds.or(config.stop_timeout).unwrap_or(GRACE);
        self.agenda.cancel(run.kill_due.take());
        if let Ok(seconds) = u64::try_from(seconds) {
            let at = instant + Duration::from_secs(seconds);
            run.kill_due = Some(self.agenda.add(at, Due::Kill(serial)));
        }
        self.deliver(serial, signal);
        self.thaw(serial, signal);
    }

    /// Lets a paused container go on that was told to end: it takes no signal before, but KILL.
    fn thaw(&mut self, serial: Serial, signal: Signal) {
        let paused = |container: &Container| container.state == State::Paused;
        if signal != Signal::KILL && self.containers.get(serial).is_some_and(paused) {
            self.set_state(serial, State::Running);
            self.emit_of("unpause", serial, &[]);
        }
    }

    /// Sends a signal that a client asked for; whether the container will end of it.
    pub(super) fn kill(
        &mut self,
        wanted: &str,
        signal: &str,
        dialect: Dialect,
    ) -> Result<Option<Serial>, Failure> {
        let signal = match signal {
            "" => Signal::KILL,
            text => Signal::parse(text).ok_or_else(|| {
                let word = if dialect.is_legacy() { "Invalid" } else { "invalid" };
                invalid(format!("{word} signal: {text}"))
            })?,
        };
        let prefix = if dialect.is_legacy() { "Cannot" } else { "cannot" };
        let named = |failure: Failure| {
            Failure::new(
                failure.kind,
                format!("{prefix} kill container: {wanted}: {}", failure.message),
            )
        };
        let container = self.find(wanted, dialect).map_err(named)?;
        if !container.state.is_running() {
            return Err(named(not_running(&container.id)));
        }
        let serial = container.serial;
        // Where no signal was chosen to stop it, the engine takes any for that.
        let own = &container.config.stop_signal;
        let ends = own.is_empty() || signal == Signal::KILL || Signal::parse(own) == Some(signal);
        if let Some(container) = self.containers.get_mut(serial) {
            container.stopped_by_hand |= ends;
            if container.run.is_none() {
                // There is no process to hear of it, only an attempt that will not be made.
                if ends {
                    self.give_up_restart(serial);
                }
                return Ok(None);
            }
        }
        self.deliver(serial, signal);
        if ends {
            self.thaw(serial, signal);
        }
        Ok((signal == Signal::KILL).then_some(serial))
    }

    /// A restart policy's next attempt is not wanted any more.
    fn give_up_restart(&mut self, serial: Serial) {
        let Some(container) = self.containers.get_mut(serial) else { return };
        container.state = State::Exited;
        let exit_code = container.exit_code;
        self.touch();
        self.notices.extend([Notice::Exited { serial, exit_code }, Notice::Stopped(serial)]);
    }

    /// The time that a container had to stop by itself is over.
    pub(super) fn kill_now(&mut self, serial: Serial) {
        self.deliver(serial, Signal::KILL);
    }

    fn deliver(&mut self, serial: Serial, signal: Signal) {
        let number = signal.number().to_string();
        let Some(container) = self.containers.get_mut(serial) else { return };
        let Some(run) = &mut container.run else { return };
        run.processes.signal(run.main, signal);
        if signal == Signal::KILL {
            run.killed = true;
        }
        self.ready.insert(serial);
        self.emit_of("kill", serial, &[("signal", &number)]);
    }

    pub(super) fn pause(&mut self, wanted: &str, dialect: Dialect) -> Result<(), Failure> {
        let container = self.find(wanted, dialect)?;
        let (serial, id) = (container.serial, Arc::clone(&container.id));
        match container.state {
            State::Running => {}
            State::Paused => return Err(conflict(format!("Container {id} is already paused"))),
            State::Restarting => {
                return Err(conflict(format!(
                    "Container {id} is restarting, wait until the container is running"
                )));
            }
            _ => return Err(not_running(&id)),
        }
        self.set_state(serial, State::Paused);
        self.emit_of("pause", serial, &[]);
        Ok(())
    }

    pub(super) fn unpause(&mut self, wanted: &str, dialect: Dialect) -> Result<(), Failure> {
        let container = self.find(wanted, dialect)?;
        let (serial, id) = (container.serial, Arc::clone(&container.id));
        if container.state != State::Paused {
            return Err(match dialect.is_legacy() {
                true => system(format!("Container {id} is not paused")),
                false => conflict(format!("Container {id} is not paused")),
            });
        }
        self.set_state(serial, State::Running);
        self.ready.insert(serial);
        self.emit_of("unpause", serial, &[]);
        Ok(())
    }

    fn set_state(&mut self, serial: Serial, state: State) {
        if let Some(container) = self.containers.get_mut(serial) {
            container.state = state;
        }
        self.touch();
    }

    pub(super) fn rename(
        &mut self,
        wanted: &str,
        name: &str,
        dialect: Dialect,
    ) -> Result<(), Failure> {
        let container = self.find(wanted, dialect)?;
        let (serial, old) = (container.serial, Arc::clone(&container.name));
        if name.is_empty() {
            return Err(invalid("Neither old nor new names may be empty"));
        }
        if *old == *name.trim_start_matches('/') {
            return Err(invalid("Renaming a container with the same name as its current name"));
        }
        let slashed = format!("/{}", name.strip_prefix('/').unwrap_or(name));
        let new = self.check_name(&slashed, dialect).map_err(|failure| {
            let message = format!("Error when allocating new name: {}", failure.message);
            Failure::new(failure.kind, message)
        })?;
        self.containers.rename(serial, new);
        self.touch();
        self.emit_of("rename", serial, &[("oldName", &format!("/{old}"))]);
        Ok(())
    }

    /// Changes resources and the restart policy: what the body names, but for what is zero in it.
    pub(super) fn update(
        &mut self,
        wanted: &str,
        body: &[u8],
        dialect: Dialect,
    ) -> Result<(), Failure> {
        let serial = self.serial(wanted, dialect)?;
        let document = super::body::parse(body, dialect)?;
        let _: HostConfig = super::body::typed(document.clone(), "UpdateConfig", dialect)?;
        let Some(container) = self.containers.get(serial) else { return Ok(()) };
        let mut whole = serde_json::to_value(&*container.host).unwrap_or_default();
        if let (Some(fields), Value::Object(changes)) = (whole.as_object_mut(), document) {
            for (key, value) in changes {
                let nothing = match &value {
                    Value::Null => true,
                    Value::Bool(flag) => !flag,
                    Value::Number(number) => number.as_f64() == Some(0.0),
                    Value::String(text) => text.is_empty(),
                    Value::Array(values) => values.is_empty(),
                    Value::Object(fields) => fields.get("Name").is_some_and(|name| name == ""),
                };
                if !nothing {
                    fields.insert(key, value);
                }
            }
        }
        let host: HostConfig =
            super::body::typed(super::body::cleaned(whole), "UpdateConfig", dialect)?;
        check_restart_policy(&host, dialect).map_err(|failure| {
            let message = format!("Cannot update container {wanted}: {}", failure.message);
            Failure::new(failure.kind, message)
        })?;
        if host.memory != 0 && host.memory < 6 << 20 {
            return Err(invalid("Minimum memory limit allowed is 6MB"));
        }
        if host.memory > 0 && host.memory_swap > 0 && host.memory > host.memory_swap {
            return Err(conflict(format!(
                "Cannot update container {}: Memory limit should be smaller than already set memoryswap limit, update \
                 the memoryswap at the same time",
                container.id
            )));
        }
        if let Some(container) = self.containers.get_mut(serial) {
            container.host = host.into();
        }
        self.emit_of("update", serial, &[]);
        Ok(())
    }

    /// Removes a container, or begins to: it is gone when [`Notice::Removed`] comes, or at once if this returns true.
    pub(super) fn remove(
        &mut self,
        wanted: &str,
        force: bool,
        volumes: bool,
        dialect: Dialect,
    ) -> Result<Option<Serial>, Failure> {
        let container = self.find(wanted, dialect)?;
        let (serial, state) = (container.serial, container.state);
        if state == State::Removing {
            return Err(conflict(format!("removal of container {wanted} is already in progress")));
        }
        if state.is_running() {
            if !force {
                return Err(conflict(running_words(container, dialect)));
            }
            if let Some(container) = self.containers.get_mut(serial)
                && let Some(run) = &mut container.run
            {
                run.removing = Some(volumes);
                container.stopped_by_hand = true;
                self.deliver(serial, Signal::KILL);
                return Ok(Some(serial));
            }
        }
        self.drop_container(serial, volumes);
        Ok(None)
    }

    /// Removes a container that does not run.
    pub(super) fn drop_container(&mut self, serial: Serial, volumes: bool) {
        let Some(container) = self.containers.remove(serial) else { return };
        for exec in &container.execs {
            self.execs.all.remove(exec);
        }
        self.ready.remove(&serial);
        self.performances.remove(&serial);
        self.links.forget(serial);
        self.release_mounts_first(&container, volumes);
        self.notices.push(Notice::Removed { serial, exit_code: container.exit_code });
        self.touch();
    }

    fn release_mounts_first(&mut self, container: &Container, volumes: bool) {
        self.emit_container("destroy", container, &[]);
        self.release_mounts(container, volumes);
    }

    /// Removes all that do not run and that the filters admit: their ids, and the bytes that they held.
    pub(super) fn prune_containers(&mut self, filters: &Filters) -> (Vec<Arc<str>>, u64) {
        let until = super::prune::until(filters, self.now);
        let chosen: Vec<_> = self
            .containers
            .iter()
            .filter(|container| {
                !container.state.is_running()
                    && container.state != State::Removing
                    && until.is_none_or(|until| container.created <= until)
                    && super::prune::labels_match(filters, container.config.labels.as_ref())
            })
            .map(|container| (container.serial, Arc::clone(&container.id)))
            .collect();
        let mut freed = 0;
        for (serial, _) in &chosen {
            freed += self.size_rw(*serial);
            self.drop_container(*serial, false);
        }
        (chosen.into_iter().map(|(_, id)| id).collect(), freed)
    }

    /// Bytes of the files that a container has changed or added.
    pub(super) fn size_rw(&self, serial: Serial) -> u64 {
        self.containers.get(serial).map_or(0, |container| self.size_rw_of(container))
    }

    pub(super) fn size_rw_of(&self, container: &Container) -> u64 {
        let Some(tree) = container.tree.and_then(|tree| self.store.get(tree)) else { return 0 };
        let Some(base) = self.images.root(&container.image) else { return tree.used().bytes };
        if tree.is_same(&base) {
            return 0;
        }
        super::files::diff(&base, tree)
            .iter()
            .filter(|change| change.kind != super::files::ChangeKind::Deleted)
            .filter_map(|change| tree.get(&super::mounts::names(&change.path)))
            .filter_map(|node| node.content())
            .map(|content| content.len() as u64)
            .sum()
    }
}

fn running_words(container: &Container, dialect: Dialect) -> String {
    let (name, id) = (&container.name, &container.id);
    let state = match container.state {
        State::Paused => "paused",
        State::Restarting => "restarting",
        _ => "running",
    };
    if !dialect.is_legacy() {
        let how = if state == "paused" { "unpause and then stop" } else { "stop" };
        return format!(
            "cannot remove container \"/{name}\": container is {state}: {how} the container before removing or force \
             remove"
        );
    }
    let how = if state == "paused" { "Unpause and then stop" } else { "Stop" };
    format!(
        "You cannot remove a {state} container {id}. {how} the container before attempting removal or force remove"
    )
}
