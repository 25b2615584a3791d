//! A container's processes while it runs: how they are started, stepped, and what their end means.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::container::{Container, Serial, State};
use super::endpoint::Joined;
use super::etc::look_up;
use super::failures::{conflict, invalid, not_modified, system};
use super::files::{Mounts, TreeId, View};
use super::networks::{Published, parse_port};
use super::process::{Exit, Names, Pid, Processes, Progress, Spec, StartError, System};
use super::world::{Due, DueKey, Notice, World};
use crate::job::{Failure, FailureKind, Stream};
use crate::time::Instant;

/// What a running container has that others have not.
pub(super) struct Run {
    pub(super) processes: Processes,
    pub(super) mounts: Mounts,
    /// What is mounted for as long as it runs.
    tmpfs: Vec<TreeId>,
    pub(super) main: Pid,
    pub(super) published: Vec<Published>,
    /// The processes that were started beside the main one, and their execs' ids.
    pub(super) execs: Vec<(Pid, Arc<str>)>,
    pub(super) began: Instant,
    pub(super) step_due: Option<DueKey>,
    pub(super) kill_due: Option<DueKey>,
    pub(super) probe: super::health::Probing,
    /// A client has asked it to stop.
    pub(super) stopping: bool,
    /// A client has asked for a restart.
    pub(super) restarting: bool,
    /// KILL is on its way, which reaches even who is paused.
    pub(super) killed: bool,
    /// It is to be removed when it has ended, and its anonymous volumes with it.
    pub(super) removing: Option<bool>,
}

/// What a process may do before others have their turn.
const FUEL: u32 = 5_000;
/// The first pause of a restart policy; the next ones are twice as long each, up to a minute.
const PAUSE: Duration = Duration::from_millis(100);
/// Who sleeps this long, as `sleep infinity` does, needs no timer; a clock of the host may not even have one so late.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
/// What an engine takes, in tens of milliseconds, to remove a container by itself.
const REMOVAL: Duration = Duration::from_millis(50);
/// Who ran this long has come up well.
const WELL: Duration = Duration::from_secs(10);

impl World {
    /// Starts a container that a client wants started.
    pub(super) fn start(&mut self, serial: Serial) -> Result<(), Failure> {
        // Who waits for the next attempt of a restart policy counts as running.
        let waits = |container: &Container| container.state == State::Restarting;
        if self.containers.get(serial).is_some_and(waits) {
            return Err(not_modified());
        }
        self.start_again(serial)
    }

    /// Starts a container, also one between two attempts of its restart policy.
    pub(super) fn start_again(&mut self, serial: Serial) -> Result<(), Failure> {
        let Some(container) = self.containers.get(serial) else { return Ok(()) };
        match container.state {
            State::Running => return Err(not_modified()),
            State::Paused => {
                return Err(conflict("cannot start a paused container, try unpause instead"));
            }
            State::Removing | State::Dead => {
                return Err(conflict("container is marked for removal and cannot be started"));
            }
            State::Created | State::Exited | State::Restarting => {}
        }
        let result = self.try_start(serial);
        if let Err((failure, code)) = result {
            let auto_remove = self.containers.get(serial).is_some_and(|c| c.host.auto_remove);
            if let Some(container) = self.containers.get_mut(serial) {
                container.exit_code = code;
                container.error = Some(failure.message.as_ref().into());
                if container.state == State::Restarting {
                    container.state = State::Exited;
                }
            }
            self.detach_networks(serial);
            self.touch();
            self.notices.push(Notice::NotStarted { serial, failure: failure.clone() });
            if auto_remove {
                self.drop_container(serial, true);
            }
            return Err(failure);
        }
        Ok(())
    }

    fn try_start(&mut self, serial: Serial) -> Result<(), (Failure, i32)> {
        let failed = |failure: Failure| (failure, 128);
        let shared = self.check_neighbours(serial).map_err(failed)?;
        if let Some(hostname) =
            shared.and_then(|other| Some(self.containers.get(other)?.hostname().to_string()))
            && let Some(container) = self.containers.get_mut(serial)
        {
            let mut config = (*container.config).clone();
            config.hostname = hostname;
            container.config = Arc::new(config);
        }
        self.attach_networks(serial).map_err(failed)?;
        let published = self.publish_ports(serial).map_err(failed)?;
        let mut run = match self.launch(serial) {
            Ok(run) => run,
            Err((failure, code)) => {
                self.networks.unpublish(&published);
                return Err((failure, code));
            }
        };
        run.published = published;
        let sandbox = self.hex_id();
        let (now, pid) = (self.now, self.next_pid);
        self.next_pid += 1;
        let Some(container) = self.containers.get_mut(serial) else { return Ok(()) };
        container.state = State::Running;
        container.pid = pid;
        container.exit_code = 0;
        container.oom_killed = false;
        container.stopped_by_hand = false;
        container.error = None;
        container.started = Some(now);
        // Who shares a network has none of its own.
        container.sandbox = shared.is_none().then(|| (*sandbox).into());
        container.run = Some(Box::new(run));
        self.emit_mounts(serial, "mount");
        self.emit_of("start", serial, &[]);
        self.begin_probes(serial);
        self.touch();
        self.ready.insert(serial);
        Ok(())
    }

    /// Starts the main process.
    fn launch(&mut self, serial: Serial) -> Result<Run, (Failure, i32)> {
        let mut tmpfs = Vec::new();
        let result = self.launch_with(serial, &mut tmpfs);
        if result.is_err() {
            self.drop_trees(&tmpfs);
        }
        result.map(|run| Run { tmpfs, ..run })
    }

    /// Whether a container's main process can be started.
    pub(super) fn can_launch(&mut self, serial: Serial) -> bool {
        let run = self.launch(serial);
        if let Ok(run) = &run {
            self.drop_trees(&run.tmpfs);
        }
        run.is_ok()
    }

    fn drop_trees(&mut self, trees: &[TreeId]) {
        for tree in trees {
            self.store.remove(*tree);
        }
    }

    fn launch_with(
        &mut self,
        serial: Serial,
        made: &mut Vec<TreeId>,
    ) -> Result<Run, (Failure, i32)> {
        let none = || (system("the container is gone"), 128);
        let mut mounts = self.mounts_of(serial).ok_or_else(none)?;
        let container = self.containers.get(serial).ok_or_else(none)?;
        mounts.set_read_only(container.host.readonly_rootfs);
        let tmpfs: Vec<String> =
            container.host.tmpfs.iter().flatten().map(|(path, _)| path.clone()).collect();
        for path in tmpfs {
            let tree = self.store.insert(super::files::Tree::new());
            made.push(tree);
            let _ = mounts.add(&mut self.store, &path, "tmpfs", tree, false);
        }
        self.mount_engine_files(serial, &mut mounts, made);
        let container = self.containers.get(serial).ok_or_else(none)?;
        let config = &container.config;
        // A program that the simulator has is run where a client asks for it; what the image runs by itself is described.
        let (own, other) = match self.performances.get(&serial) {
            Some(behaviour) => (Some(behaviour), None),
            None => {
                let behaviour = self.images.behaviour(&container.image);
                let image = self.images.get(&container.image);
                let is_own = image.is_some_and(|image| {
                    image.config.cmd == config.cmd && image.config.entrypoint == config.entrypoint
                });
                if is_own { (behaviour, None) } else { (None, behaviour) }
            }
        };
        let (own, other) = (own.cloned(), other.cloned());
        let env = config.env.clone().unwrap_or_default();
        let spec = Spec {
            argv: config.argv().map(ToString::to_string).collect(),
            env: [env, self.links_env(serial)].concat(),
            cwd: config.working_dir.clone(),
            user: config.user.clone(),
            tty: config.tty,
            open_stdin: config.open_stdin,
            behaviour: own,
            init: container.host.init == Some(true),
            ..Spec::default()
        };
        let seconds = i64::try_from(self.now.as_secs()).unwrap_or(i64::MAX);
        let mut files = View::new(&mut self.store, &mounts, seconds);
        if !spec.cwd.is_empty() {
            // As the engine does, which makes a working directory that is not there.
            let _ = files.mkdir_all("/", &spec.cwd, 0o755);
        }
        let hostname = container.hostname();
        let mut system =
            System { files, hostname, now: self.instant, unix: self.now, names: Names::default() };
        let mut processes = Processes::new();
        let group = |name: &String| {
            let groups = system.files.read("/", "/etc/group").unwrap_or_default();
            let groups = String::from_utf8_lossy(&groups);
            let line = groups.lines().find(|line| line.split(':').next() == Some(name));
            line.and_then(|line| line.split(':').nth(2)?.parse().ok()).or_else(|| name.parse().ok())
        };
        let groups: Vec<u32> =
            container.host.group_add.iter().flatten().filter_map(group).collect();
        processes.join_groups(groups);
        let described = other.map(|other| Spec { behaviour: Some(other), ..spec.clone() });
        let main = match (processes.start(spec, &mut system), described) {
            (Err(_), Some(described)) => processes.start(described, &mut system),
            (result, _) => result,
        };
        let main = main.map_err(|error| not_started(&error))?;
        Ok(Run {
            processes,
            mounts,
            tmpfs: Vec::new(),
            main,
            published: Vec::new(),
            execs: Vec::new(),
            began: self.instant,
            step_due: None,
            kill_due: None,
            probe: super::health::Probing::default(),
            stopping: false,
            restarting: false,
            killed: false,
            removing: None,
        })
    }

    /// Lets a container's processes go on; whether they want more.
    pub(super) fn step(&mut self, serial: Serial) -> bool {
        let Some(container) = self.containers.get_mut(serial) else { return false };
        let Some(mut run) = container.run.take() else { return false };
        if container.state == State::Paused && !run.killed {
            container.run = Some(run);
            return false;
        }
        let seconds = i64::try_from(self.now.as_secs()).unwrap_or(i64::MAX);
        let files = View::new(&mut self.store, &run.mounts, seconds);
        let Some(container) = self.containers.get(serial) else { return false };
        let hostname = container.hostname();
        let look_up = |name: &str| look_up(&self.containers, container, name);
        let names = Names::of(&look_up);
        let mut system = System { files, hostname, now: self.instant, unix: self.now, names };
        let progress = run.processes.step(&mut system, FUEL);
        self.agenda.cancel(run.step_due.take());
        let more = match progress {
            Progress::Runnable => true,
            Progress::Idle(next) => {
                let next = next.filter(|at| *at - self.instant < NEVER);
                run.step_due = next.map(|at| self.agenda.add(at, Due::Advance(serial)));
                false
            }
        };
        if let Some(container) = self.containers.get_mut(serial) {
            container.run = Some(run);
        }
        more
    }

    /// The next piece of output of the main process, which goes to the log, too.
    pub(super) fn take_output(&mut self, serial: Serial) -> Option<(Stream, Vec<u8>)> {
        let now = self.now;
        let container = self.containers.get_mut(serial)?;
        let run = container.run.as_mut()?;
        let (stream, bytes) = run.processes.output(run.main)?;
        let stream = job_stream(stream);
        if &*container.host.log_config.r#type != "none" {
            container.log.get_or_insert_default().write(now, stream, &bytes);
        }
        Some((stream, bytes))
    }

    /// Whether the main process has ended, even if its output is still there.
    pub(super) fn has_ended(&self, serial: Serial) -> bool {
        let run = self.containers.get(serial).and_then(|container| container.run.as_ref());
        run.is_some_and(|run| run.processes.exited(run.main).is_some())
    }

    /// Draws the consequences if the main process has ended.
    pub(super) fn reap(&mut self, serial: Serial) {
        let Some(container) = self.containers.get(serial) else { return };
        let Some(run) = &container.run else { return };
        if let Some(exit) = run.processes.exited(run.main) {
            self.ended(serial, exit);
        }
    }

    fn ended(&mut self, serial: Serial, exit: Exit) {
        let now = self.now;
        let Some(container) = self.containers.get_mut(serial) else { return };
        let Some(run) = container.run.take() else { return };
        if let Some(log) = &mut container.log {
            log.end(now);
        }
        container.exit_code = i32::from(exit.code);
        container.oom_killed = exit.oom;
        container.finished = Some(now);
        container.state = State::Exited;
        container.pid = 0;
        if let Some(health) = &mut container.health {
            health.status = "unhealthy";
        }
        for due in [run.step_due, run.kill_due] {
            self.agenda.cancel(due);
        }
        self.end_probes(&run.probe);
        self.drop_trees(&run.tmpfs);
        self.networks.unpublish(&run.published);
        let code = exit.code.to_string();
        if exit.oom {
            self.emit_of("oom", serial, &[]);
        }
        self.emit_of("die", serial, &[("exitCode", &code)]);
        self.detach_networks(serial);
        self.emit_mounts(serial, "unmount");
        for (_, exec) in &run.execs {
            self.exec_ended(exec, Exit::of(super::process::Signal::KILL));
        }
        self.touch();
        self.notices.push(Notice::Exited { serial, exit_code: i32::from(exit.code) });
        if run.stopping {
            self.emit_of("stop", serial, &[]);
        }
        if let Some(volumes) = run.removing {
            self.notices.push(Notice::Stopped(serial));
            self.drop_container(serial, volumes);
        } else if run.restarting {
            match self.start(serial) {
                Ok(()) => {
                    self.emit_of("restart", serial, &[]);
                    self.notices.push(Notice::Restarted(serial));
                }
                Err(_) => self.notices.push(Notice::Stopped(serial)),
            }
        } else {
            self.follow_policy(serial, exit, self.instant - run.began);
        }
    }

    /// Starts it again if its restart policy says so, or removes it if it was made to be removed.
    fn follow_policy(&mut self, serial: Serial, exit: Exit, ran: Duration) {
        let Some(container) = self.containers.get_mut(serial) else { return };
        let policy = &container.host.restart_policy;
        let retries = i64::from(container.restarts);
        let again = !container.stopped_by_hand
            && match &*policy.name {
                "always" | "unless-stopped" => true,
                "on-failure" => {
                    let most = policy.maximum_retry_count;
                    exit.code != 0 && (most == 0 || retries < most)
                }
                _ => false,
            };
        if !again {
            let auto_remove = container.host.auto_remove;
            self.notices.push(Notice::Stopped(serial));
            if auto_remove {
                self.remove_soon(serial);
            }
            return;
        }
        let doublings = if ran >= WELL { 0 } else { container.restarts.min(10) };
        let pause = (PAUSE * (1 << doublings)).min(Duration::from_secs(60));
        container.restarts += 1;
        container.state = State::Restarting;
        self.agenda.add(self.instant + pause, Due::Restart(serial));
    }

    /// Begins to remove a container that was made to be removed when it ends. It can be waited for and read until it is gone,
    /// which clients rely on that begin to after it has started: dockerode's `run`, docker-py's.
    fn remove_soon(&mut self, serial: Serial) {
        let Some(container) = self.containers.get_mut(serial) else { return };
        container.state = State::Removing;
        self.agenda.add(self.instant + REMOVAL, Due::Remove(serial));
    }

    /// A restart policy's pause is over.
    pub(super) fn restart_by_policy(&mut self, serial: Serial) {
        let is_due = |state| state == State::Restarting;
        if self.containers.get(serial).is_some_and(|container| is_due(container.state))
            && self.start_again(serial).is_err()
        {
            self.notices.push(Notice::Stopped(serial));
        }
    }

    fn attach_networks(&mut self, serial: Serial) -> Result<(), Failure> {
        let Some(container) = self.containers.get(serial) else { return Ok(()) };
        let places: Vec<_> = container
            .endpoints
            .iter()
            .enumerate()
            .filter(|(_, endpoint)| {
                endpoint.joined.is_none() && !self.networks.is_missing_bridge(&endpoint.network)
            })
            .map(|(nth, endpoint)| {
                let asked = endpoint.asked.as_ref().and_then(|asked| asked.ipam_config.as_ref());
                let wanted = asked.and_then(|config| config.ipv4.parse().ok());
                (nth, Arc::clone(&endpoint.network), wanted)
            })
            .collect();
        let disabled = self.networks.is_missing_bridge(container.host.network());
        if disabled && !container.config.network_disabled {
            let mut config = (*container.config).clone();
            config.network_disabled = true;
            let host = (*container.host).clone();
            let (config, host) = self.share(config, host);
            if let Some(container) = self.containers.get_mut(serial) {
                (container.config, container.host) = (config, host);
            }
        }
        for (nth, network, wanted) in places {
            self.attach(serial, nth, &network, wanted)?;
        }
        Ok(())
    }

    /// Attaches a container that runs, or is about to, to one of its networks.
    pub(super) fn attach(
        &mut self,
        serial: Serial,
        nth: usize,
        network: &str,
        wanted: Option<core::net::Ipv4Addr>,
    ) -> Result<(), Failure> {
        let address = self.networks.join(network, serial, wanted)?;
        let id = self.hex_id();
        let Some(container) = self.containers.get_mut(serial) else { return Ok(()) };
        if let Some(endpoint) = container.endpoints.get_mut(nth) {
            endpoint.joined = Some(Joined { id, address });
            endpoint.was_joined = true;
        }
        let id = Arc::clone(&container.id);
        self.emit_attachment("connect", network, &id);
        Ok(())
    }

    pub(super) fn detach_networks(&mut self, serial: Serial) {
        let Some(container) = self.containers.get_mut(serial) else { return };
        let id = Arc::clone(&container.id);
        let left: Vec<_> = container
            .endpoints
            .iter_mut()
            .filter_map(|endpoint| {
                let joined = endpoint.joined.take()?;
                Some((Arc::clone(&endpoint.network), joined.address))
            })
            .collect();
        for (network, address) in left {
            self.networks.leave(&network, serial, address);
            self.emit_attachment("disconnect", &network, &id);
        }
    }

    /// Publishes the ports that a container asks for; all of them or none.
    fn publish_ports(&mut self, serial: Serial) -> Result<Vec<Published>, Failure> {
        let mut made: Vec<Published> = Vec::new();
        let Some(container) = self.containers.get(serial) else { return Ok(made) };
        let network = container.host.network();
        if matches!(network, "host" | "none") || self.networks.is_missing_bridge(network) {
            return Ok(made);
        }
        let (host, config) = (Arc::clone(&container.host), Arc::clone(&container.config));
        let mut wanted: Vec<(String, String, String)> = Vec::new();
        for (port, bindings) in host.port_bindings.iter().flatten() {
            let bindings = bindings.as_deref().unwrap_or_default();
            let default = [super::host_config::PortBinding::default()];
            for binding in if bindings.is_empty() { &default[..] } else { bindings } {
                wanted.push((port.clone(), binding.host_ip.clone(), binding.host_port.clone()));
            }
        }
        if host.publish_all_ports {
            for port in config.exposed_ports.iter().flat_map(|ports| ports.keys()) {
                if !wanted.iter().any(|(known, ..)| known == port) {
                    wanted.push((port.clone(), String::new(), String::new()));
                }
            }
        }
        for (port, host_ip, public) in wanted {
            let (private, protocol) = parse_port(&port)?;
            let first = public.split('-').next().unwrap_or_default().parse().unwrap_or(0);
            let last = public.split('-').next_back().unwrap_or_default().parse().unwrap_or(first);
            let found = (first..=last.max(first))
                .find_map(|public| self.networks.publish(serial, protocol, public));
            let Some(public) = found else {
                self.networks.unpublish(&made);
                let ip = if host_ip.is_empty() { "0.0.0.0" } else { &host_ip };
                let (name, id) = self.containers.get(serial).map_or_else(Default::default, |c| {
                    let joined = c.endpoints.iter().find_map(|endpoint| endpoint.joined.as_ref());
                    (
                        c.name.to_string(),
                        joined.map(|joined| joined.id.to_string()).unwrap_or_default(),
                    )
                });
                return Err(system(format!(
                    "driver failed programming external connectivity on endpoint {name} ({id}): Bind for {ip}:{first} \
                     failed: port is already allocated"
                )));
            };
            made.push(Published { private, protocol, host_ip, public });
        }
        Ok(made)
    }

    /// Says that a container's volumes were mounted or unmounted.
    fn emit_mounts(&mut self, serial: Serial, action: &'static str) {
        let Some(container) = self.containers.get(serial) else { return };
        let id = Arc::clone(&container.id);
        let volumes: Vec<_> = container
            .mounts
            .iter()
            .filter(|mount| mount.kind == super::mounts::MountKind::Volume)
            .map(|mount| {
                (Arc::clone(&mount.source), Arc::clone(&mount.destination), mount.writable)
            })
            .collect();
        for (name, destination, writable) in volumes {
            let writable = if writable { "true" } else { "false" };
            let all = [
                ("container", &*id),
                ("driver", "local"),
                ("destination", &*destination),
                ("propagation", ""),
                ("read/write", writable),
            ];
            let attributes = if action == "mount" { &all[..] } else { &all[..2] };
            self.emit("volume", action, &name, attributes);
        }
    }
}

/// What the engine says when runc could not start a process, and the status that the container has then.
fn not_started(error: &StartError) -> (Failure, i32) {
    let code = i32::from(error.code());
    match error {
        // The engine looks users up itself, before there is a process that could fail.
        StartError::NoSuchUser { .. } | StartError::NoSuchGroup { .. } => {
            (system(error.to_string()), 128)
        }
        StartError::Nothing => (invalid("No command specified"), code),
        StartError::TooMany => (system(runc(error)), 128),
        _ => (Failure::new(FailureKind::InvalidParameter, runc(error)), code),
    }
}

fn runc(error: &StartError) -> String {
    format!(
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: \
         {error}: unknown"
    )
}

pub(super) const fn job_stream(stream: super::process::Stream) -> Stream {
    match stream {
        super::process::Stream::Stdout => Stream::Stdout,
        super::process::Stream::Stderr => Stream::Stderr,
    }
}
