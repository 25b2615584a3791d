//! Random sequences of calls, held against a small model of the engine's rules; after each the world's books must balance.

extern crate std;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use proptest::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

use super::Simulator;
use super::container::State;
use super::mounts::MountKind;
use super::world::World;
use crate::JobId;
use crate::job::{Backend, Cancel, Cx, Engine, Event, FailureKind, Job, Status};
use crate::time::Instant;

/// A simulator that can be looked into while an engine has it.
#[derive(Clone)]
struct Open(Arc<Mutex<Simulator>>);

impl Backend for Open {
    fn handle(&mut self, cx: &mut Cx<'_>, job: JobId, event: Event<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).handle(cx, job, event);
    }

    fn wake(&mut self, cx: &mut Cx<'_>, token: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wake(cx, token);
    }
}

/// What a client does. Things are named by small numbers, so that names meet.
#[derive(Clone, Debug)]
enum Call {
    Create {
        name: u8,
        image: u8,
        program: Program,
        auto_remove: bool,
        volume: Option<u8>,
        net: Option<u8>,
    },
    Start(u8),
    Stop(u8),
    Kill(u8),
    Restart(u8),
    Pause(u8),
    Unpause(u8),
    Rename(u8, u8),
    Remove {
        name: u8,
        force: bool,
    },
    Exec(u8),
    Wait(u8),
    Follow(u8),
    VolumeCreate(u8),
    VolumeRemove(u8),
    NetworkCreate(u8),
    NetworkRemove(u8),
    Connect(u8, u8),
    Disconnect(u8, u8),
    Tag(u8),
    Untag(u8),
    Prune,
    Pass(u16),
}

/// What a container runs.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Program {
    /// It ends when it is made to.
    Sleeps,
    /// It ends by itself, after a moment, with 3.
    Ends,
    /// There is none of that name.
    Missing,
}

fn call() -> impl Strategy<Value = Call> {
    let program = prop_oneof![4 => Just(Program::Sleeps), 2 => Just(Program::Ends), 1 => Just(Program::Missing)];
    let (name, other) = (0_u8..4, 0_u8..3);
    let maybe = || proptest::option::weighted(0.3, 0_u8..3);
    prop_oneof![
        6 => (name.clone(), 0_u8..4, program, proptest::bool::weighted(0.2), maybe(), maybe()).prop_map(
            |(name, image, program, auto_remove, volume, net)| Call::Create { name, image, program, auto_remove, volume, net }
        ),
        6 => name.clone().prop_map(Call::Start),
        2 => name.clone().prop_map(Call::Stop),
        2 => name.clone().prop_map(Call::Kill),
        1 => name.clone().prop_map(Call::Restart),
        2 => name.clone().prop_map(Call::Pause),
        2 => name.clone().prop_map(Call::Unpause),
        1 => (name.clone(), name.clone()).prop_map(|(from, to)| Call::Rename(from, to)),
        3 => (name.clone(), any::<bool>()).prop_map(|(name, force)| Call::Remove { name, force }),
        1 => name.clone().prop_map(Call::Exec),
        1 => name.clone().prop_map(Call::Wait),
        1 => name.clone().prop_map(Call::Follow),
        1 => other.clone().prop_map(Call::VolumeCreate),
        1 => other.clone().prop_map(Call::VolumeRemove),
        2 => other.clone().prop_map(Call::NetworkCreate),
        1 => other.clone().prop_map(Call::NetworkRemove),
        2 => (other.clone(), name.clone()).prop_map(|(net, name)| Call::Connect(net, name)),
        1 => (other.clone(), name).prop_map(|(net, name)| Call::Disconnect(net, name)),
        1 => other.clone().prop_map(Call::Tag),
        1 => other.prop_map(Call::Untag),
        1 => Just(Call::Prune),
        2 => (0_u16..3000).prop_map(Call::Pass),
    ]
}

/// What the model knows of a container.
struct Known {
    state: State,
    program: Program,
    auto_remove: bool,
    image: String,
    volume: Option<String>,
    networks: BTreeSet<String>,
    /// When it ends by itself, in milliseconds.
    ends: Option<u64>,
    /// When it is removed by itself.
    gone: Option<u64>,
    code: i64,
}

/// The rules, in short.
struct Model {
    now: u64,
    containers: BTreeMap<u8, Known>,
    volumes: BTreeSet<String>,
    networks: BTreeSet<String>,
    tags: BTreeSet<String>,
}

/// How long [`Program::Ends`] takes.
const MOMENT: u64 = 1000;
/// How long a container takes that removes itself.
const REMOVAL: u64 = 50;

type Outcome = Result<(), FailureKind>;

impl Model {
    fn get(&mut self, name: u8) -> Result<&mut Known, FailureKind> {
        self.containers.get_mut(&name).ok_or(FailureKind::NotFound)
    }

    /// A container's process ends at that time.
    fn ended(&mut self, name: u8, code: i64, at: u64) {
        let Some(known) = self.containers.get_mut(&name) else { return };
        (known.state, known.ends, known.code) = (State::Exited, None, code);
        if known.auto_remove {
            (known.state, known.gone) = (State::Removing, Some(at + REMOVAL));
        }
    }

    fn pass(&mut self, millis: u64) {
        let before = self.now;
        self.now += millis;
        let due = |known: &Known| {
            known.ends.is_some_and(|ends| ends <= self.now) && known.state == State::Running
        };
        let due: Vec<(u8, u64)> = self
            .containers
            .iter()
            .filter(|(_, known)| due(known))
            .filter_map(|(name, known)| Some((*name, known.ends?)))
            .collect();
        for (name, ends) in due {
            // One that was paused in the meantime ends when it goes on.
            self.ended(name, 3, ends.max(before));
        }
        let now = self.now;
        self.containers.retain(|_, known| known.gone.is_none_or(|gone| gone > now));
    }

    fn start(&mut self, name: u8) -> Outcome {
        let (now, networks) = (self.now, self.networks.clone());
        let known = self.get(name)?;
        match known.state {
            State::Running => return Err(FailureKind::NotModified),
            State::Paused | State::Removing => return Err(FailureKind::Conflict),
            _ => {}
        }
        let auto_remove = known.auto_remove;
        let lost =
            known.networks.iter().any(|network| network != "bridge" && !networks.contains(network));
        if lost || known.program == Program::Missing {
            known.code = if lost { 128 } else { 127 };
            if auto_remove {
                self.containers.remove(&name);
            }
            return Err(if lost { FailureKind::NotFound } else { FailureKind::InvalidParameter });
        }
        known.state = State::Running;
        known.code = 0;
        known.ends = (known.program == Program::Ends).then_some(now + MOMENT);
        Ok(())
    }

    fn play(&mut self, call: &Call) -> Outcome {
        match call {
            Call::Create { name, image, program, auto_remove, volume, net } => {
                let image = image_name(*image);
                if !self.tags.contains(&image) {
                    return Err(FailureKind::NotFound);
                }
                if self.containers.contains_key(name) {
                    return Err(FailureKind::Conflict);
                }
                let volume = volume.map(volume_name);
                self.volumes.extend(volume.clone());
                let network = net.map_or_else(|| String::from("bridge"), network_name);
                let known = Known {
                    state: State::Created,
                    program: *program,
                    auto_remove: *auto_remove,
                    image,
                    volume,
                    networks: BTreeSet::from([network]),
                    ends: None,
                    gone: None,
                    code: 0,
                };
                self.containers.insert(*name, known);
            }
            Call::Start(name) => self.start(*name)?,
            Call::Stop(name) => {
                if !self.get(*name)?.state.is_running() {
                    return Err(FailureKind::NotModified);
                }
                self.ended(*name, 137, self.now);
            }
            Call::Kill(name) => {
                if !self.get(*name)?.state.is_running() {
                    return Err(FailureKind::Conflict);
                }
                self.ended(*name, 137, self.now);
            }
            Call::Restart(name) => {
                let known = self.get(*name)?;
                if known.state.is_running() {
                    known.state = State::Exited;
                }
                self.start(*name)?;
            }
            Call::Pause(name) => {
                let known = self.get(*name)?;
                if known.state != State::Running {
                    return Err(FailureKind::Conflict);
                }
                known.state = State::Paused;
            }
            Call::Unpause(name) => {
                let known = self.get(*name)?;
                if known.state != State::Paused {
                    return Err(FailureKind::Conflict);
                }
                known.state = State::Running;
                self.pass(0);
            }
            Call::Rename(from, to) => {
                self.get(*from)?;
                if from == to {
                    return Err(FailureKind::InvalidParameter);
                }
                if self.containers.contains_key(to) {
                    return Err(FailureKind::Conflict);
                }
                let known = self.containers.remove(from).expect("it is there");
                self.containers.insert(*to, known);
            }
            Call::Remove { name, force } => {
                let state = self.get(*name)?.state;
                if state.is_running() && !force || state == State::Removing {
                    return Err(FailureKind::Conflict);
                }
                self.containers.remove(name);
            }
            Call::Exec(name) => {
                if self.get(*name)?.state != State::Running {
                    return Err(FailureKind::Conflict);
                }
            }
            Call::Wait(name) | Call::Follow(name) => _ = self.get(*name)?,
            Call::VolumeCreate(name) => _ = self.volumes.insert(volume_name(*name)),
            Call::VolumeRemove(name) => {
                let name = volume_name(*name);
                if !self.volumes.contains(&name) {
                    return Err(FailureKind::NotFound);
                }
                if self.containers.values().any(|known| known.volume.as_ref() == Some(&name)) {
                    return Err(FailureKind::Conflict);
                }
                self.volumes.remove(&name);
            }
            Call::NetworkCreate(name) => {
                if !self.networks.insert(network_name(*name)) {
                    return Err(FailureKind::Conflict);
                }
            }
            Call::NetworkRemove(name) => {
                let name = network_name(*name);
                if !self.networks.contains(&name) {
                    return Err(FailureKind::NotFound);
                }
                let on = |known: &Known| known.state.is_running() && known.networks.contains(&name);
                if self.containers.values().any(on) {
                    return Err(FailureKind::Forbidden);
                }
                self.networks.remove(&name);
            }
            Call::Connect(network, name) => {
                let network = network_name(*network);
                if !self.networks.contains(&network) {
                    return Err(FailureKind::NotFound);
                }
                if !self.get(*name)?.networks.insert(network) {
                    return Err(FailureKind::Forbidden);
                }
            }
            Call::Disconnect(network, name) => {
                let network = network_name(*network);
                if !self.networks.contains(&network) {
                    return Err(FailureKind::NotFound);
                }
                if !self.get(*name)?.networks.remove(&network) {
                    return Err(FailureKind::Forbidden);
                }
            }
            Call::Tag(name) => {
                if !self.tags.contains("busybox:latest") {
                    return Err(FailureKind::NotFound);
                }
                self.tags.insert(image_name(*name));
            }
            Call::Untag(name) => {
                let name = image_name(*name);
                if !self.tags.contains(&name) {
                    return Err(FailureKind::NotFound);
                }
                if self.tags.len() == 1 && !self.containers.is_empty() {
                    return Err(FailureKind::Conflict);
                }
                self.tags.remove(&name);
            }
            Call::Prune => self
                .containers
                .retain(|_, known| known.state.is_running() || known.state == State::Removing),
            Call::Pass(_) => {}
        }
        Ok(())
    }
}

fn container_name(name: u8) -> String {
    format!("box{name}")
}

fn volume_name(name: u8) -> String {
    format!("v{name}")
}

fn network_name(name: u8) -> String {
    format!("n{name}")
}

fn image_name(name: u8) -> String {
    ["busybox:latest", "one:1", "two:2", "none:0"][usize::from(name)].to_string()
}

/// An engine and what waits in it.
struct Scene {
    engine: Engine,
    simulator: Open,
    now: Instant,
    waiting: Vec<JobId>,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let simulator = Open(Arc::new(Mutex::new(Simulator::from_words(&[]).unwrap())));
        let mut engine = Engine::new(seed);
        engine.set_epoch(Duration::from_secs(1_795_315_894));
        engine.push("simulator", Box::new(simulator.clone()));
        Self { engine, simulator, now: Instant::ZERO, waiting: Vec::new() }
    }

    /// `None` if it is not answered yet.
    fn ask(&mut self, job: Job, body: &str) -> Option<Outcome> {
        let id = self.engine.start(self.now, job, 0);
        if self.engine.wants_stdin(id) {
            self.engine.stdin(self.now, id, body.as_bytes());
            self.engine.stdin_end(self.now, id);
        }
        let outcome = match self.engine.output(id).unwrap().status {
            None => {
                self.waiting.push(id);
                return None;
            }
            Some(Status::Ok) => Ok(()),
            Some(Status::Failed(failure)) => Err(failure.kind),
            Some(other) => panic!("{other}"),
        };
        self.engine.remove(self.now, id);
        Some(outcome)
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(next) = self.engine.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.engine.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// Takes away what has ended meanwhile.
    fn sweep(&mut self) {
        let (engine, now) = (&mut self.engine, self.now);
        self.waiting.retain(|id| {
            let Some(output) = engine.output(*id) else { return false };
            output.stdout.clear();
            let open = output.status.is_none();
            if open {
                engine.taken(now, *id);
            } else {
                engine.remove(now, *id);
            }
            open
        });
    }

    fn play(&mut self, call: &Call) -> Option<Outcome> {
        let job = |name: &'static str, arg: String| Job::new(name).with_arg(arg);
        let of = |name: &'static str, container: u8| job(name, container_name(container));
        let (job, body) = match call {
            Call::Create { name, image, program, auto_remove, volume, net } => {
                let command = match program {
                    Program::Sleeps => r#"["sleep","infinity"]"#,
                    Program::Ends => r#"["sh","-c","sleep 1; exit 3"]"#,
                    Program::Missing => r#"["nosuch"]"#,
                };
                let binds = volume
                    .map_or_else(|| "null".into(), |v| format!(r#"["{}:/v"]"#, volume_name(v)));
                let network = net.map_or_else(|| "default".into(), network_name);
                let body = format!(
                    r#"{{"Image":"{}","Cmd":{command},"HostConfig":{{"AutoRemove":{auto_remove},"Binds":{binds},
                        "NetworkMode":"{network}","PublishAllPorts":true,"Tmpfs":{{"/t":""}}}},
                        "ExposedPorts":{{"80/tcp":{{}}}},"Volumes":{{"/anonymous":{{}}}}}}"#,
                    image_name(*image)
                );
                (Job::new("create").with_env("name", container_name(*name)), body)
            }
            Call::Start(name) => (of("start", *name), String::new()),
            Call::Stop(name) => (of("stop", *name).with_env("t", "0"), String::new()),
            Call::Kill(name) => (of("kill", *name), String::new()),
            Call::Restart(name) => (of("restart", *name).with_env("t", "0"), String::new()),
            Call::Pause(name) => (of("pause", *name), String::new()),
            Call::Unpause(name) => (of("unpause", *name), String::new()),
            Call::Rename(from, to) => {
                (of("container_rename", *from).with_env("name", container_name(*to)), String::new())
            }
            Call::Remove { name, force } => {
                let force = if *force { "1" } else { "0" };
                (
                    of("container_delete", *name).with_env("force", force).with_env("v", "1"),
                    String::new(),
                )
            }
            Call::Exec(name) => (of("exec_create", *name), r#"{"Cmd":["true"]}"#.into()),
            Call::Wait(name) => (of("wait", *name), String::new()),
            Call::Follow(name) => {
                (of("logs", *name).with_env("stdout", "1").with_env("follow", "1"), String::new())
            }
            Call::VolumeCreate(name) => {
                (Job::new("volume_create"), format!(r#"{{"Name":"{}"}}"#, volume_name(*name)))
            }
            Call::VolumeRemove(name) => (job("volume_delete", volume_name(*name)), String::new()),
            Call::NetworkCreate(name) => {
                (Job::new("network_create"), format!(r#"{{"Name":"{}"}}"#, network_name(*name)))
            }
            Call::NetworkRemove(name) => {
                (job("network_delete", network_name(*name)), String::new())
            }
            Call::Connect(network, name) => {
                let body = format!(r#"{{"Container":"{}"}}"#, container_name(*name));
                (job("network_connect", network_name(*network)), body)
            }
            Call::Disconnect(network, name) => {
                let body = format!(r#"{{"Container":"{}"}}"#, container_name(*name));
                (job("network_disconnect", network_name(*network)), body)
            }
            Call::Tag(name) => {
                let name = image_name(*name);
                let (repo, tag) = name.split_once(':').expect("it has both");
                let job = Job::new("tag").with_arg("busybox").with_env("repo", repo);
                (job.with_env("tag", tag), String::new())
            }
            Call::Untag(name) => (job("image_delete", image_name(*name)), String::new()),
            Call::Prune => (Job::new("container_prune"), String::new()),
            Call::Pass(millis) => {
                self.pass(u64::from(*millis));
                return Some(Ok(()));
            }
        };
        self.ask(job, &body)
    }
}

/// Whether the world's books balance: each thing is where all that speak of it say that it is, and nothing else is kept.
fn check_books(world: &World) {
    let running: BTreeSet<u64> = world
        .containers
        .iter()
        .filter(|container| container.run.is_some())
        .map(|c| c.serial)
        .collect();
    let (mut trees, mut ports) = (3 + world.volumes.all.len() + world.volumes.binds.len(), 0);
    for container in world.containers.iter() {
        let serial = container.serial;
        let named = world.containers.named(&container.name).map(|container| container.serial);
        assert_eq!(named, Some(serial), "its name leads to it");
        assert_eq!(world.containers.exactly(&container.id).map(|c| c.serial), Some(serial));
        let runs = matches!(container.state, State::Running | State::Paused);
        assert_eq!(
            (container.run.is_some(), container.pid != 0),
            (runs, runs),
            "{:?}",
            container.state
        );
        assert!(world.images.get(&container.image).is_some(), "its image is there");
        let ran = matches!(container.state, State::Exited | State::Removing);
        assert_eq!(container.started.is_some(), runs || ran);
        for endpoint in &container.endpoints {
            assert_eq!(endpoint.joined.is_some(), runs, "who runs is on its networks");
        }
        for mount in &container.mounts {
            assert!(world.store.get(mount.tree).is_some(), "what is mounted is there");
            match mount.kind {
                MountKind::Volume => {
                    assert!(world.volumes.all[&mount.source].users.contains(&serial));
                }
                MountKind::Tmpfs => trees += 1,
                MountKind::Bind => {}
            }
        }
        trees += usize::from(container.tree.is_some());
        if let Some(run) = &container.run {
            // The engine's files, in a container whose own mounts do not take their places.
            trees += container.host.tmpfs.as_ref().map_or(0, BTreeMap::len) + 4;
            ports += run.published.len();
        }
        for exec in &container.execs {
            assert_eq!(world.execs.all[exec].container, serial);
        }
    }
    let execs: usize = world.containers.iter().map(|container| container.execs.len()).sum();
    assert_eq!(world.execs.all.len(), execs, "execs go with their container");
    assert_eq!(world.store.len(), trees, "a tree is left behind");
    assert_eq!(world.networks.published(), ports, "a port is left behind");
    for volume in world.volumes.all.values() {
        for user in &volume.users {
            let container = world.containers.get(*user).expect("who has a volume is there");
            assert!(container.mounts.iter().any(|mount| mount.source == volume.name));
        }
    }
    for network in &world.networks.all {
        let members: BTreeSet<u64> = world
            .containers
            .iter()
            .filter(|container| {
                container.endpoints.iter().any(|e| e.network == network.name && e.joined.is_some())
            })
            .map(|container| container.serial)
            .collect();
        assert_eq!(network.members, members, "{}", network.name);
        let taken = network.subnet.as_ref().map_or(0, |subnet| subnet.taken() - 1);
        assert_eq!(taken, if network.subnet.is_some() { members.len() } else { 0 }, "addresses");
    }
    assert!(world.ready.is_empty() && world.notices.is_empty() && world.bus.fresh.is_empty());
    assert!(world.performances.keys().all(|serial| world.containers.get(*serial).is_some()));
    let removing = world.count(|state| state == State::Removing);
    assert!(world.agenda.len() <= 2 * running.len() + removing, "timers of the dead");
}

/// Whether the model and the world have the same things.
fn check_same(model: &Model, world: &World) {
    let states: BTreeMap<String, (State, i64)> = world
        .containers
        .iter()
        .map(|c| (c.name.to_string(), (c.state, i64::from(c.exit_code))))
        .collect();
    let expected: BTreeMap<String, (State, i64)> = model
        .containers
        .iter()
        .map(|(n, known)| (container_name(*n), (known.state, known.code)))
        .collect();
    assert_eq!(states, expected);
    let named = |volume: &&super::volumes::Volume| !volume.anonymous;
    let volumes: BTreeSet<String> =
        world.volumes.all.values().filter(named).map(|volume| volume.name.to_string()).collect();
    assert_eq!(volumes, model.volumes);
    let networks: BTreeSet<String> = world
        .networks
        .all
        .iter()
        .filter(|network| !network.is_predefined())
        .map(|network| network.name.to_string())
        .collect();
    assert_eq!(networks, model.networks);
    let images: BTreeSet<&str> = model.containers.values().map(|known| &*known.image).collect();
    assert!(images.len() <= world.images.len() * 4);
}

proptest! {
    #[test]
    fn calls_do_what_the_rules_say(seed: u64, calls in proptest::collection::vec(call(), 1..80)) {
        let mut scene = Scene::new(seed);
        let mut model = Model {
            now: 0,
            containers: BTreeMap::new(),
            volumes: BTreeSet::new(),
            networks: BTreeSet::new(),
            tags: BTreeSet::from(["busybox:latest".to_string()]),
        };
        for call in &calls {
            let expected = model.play(call);
            if let Call::Pass(millis) = call {
                model.pass(u64::from(*millis));
            }
            let outcome = scene.play(call);
            let waits = matches!(call, Call::Wait(_) | Call::Follow(_)) && expected.is_ok();
            prop_assert!(
                outcome == Some(expected) || waits && outcome.is_none(),
                "{:?}: the engine says {:?}, the rules {:?}", call, outcome, expected
            );
            scene.sweep();
            let simulator = Arc::clone(&scene.simulator.0);
            let simulator = simulator.lock().unwrap();
            let Some(world) = &simulator.world else { continue };
            check_books(world);
            check_same(&model, world);
            prop_assert_eq!(simulator.tasks.len(), scene.waiting.len());
        }
        for id in core::mem::take(&mut scene.waiting) {
            scene.engine.cancel(scene.now, id, Cancel::Gone);
        }
        let simulator = scene.simulator.0.lock().unwrap();
        prop_assert!(simulator.tasks.is_empty() && simulator.watchers.is_empty() && simulator.listeners.is_empty());
    }
}
