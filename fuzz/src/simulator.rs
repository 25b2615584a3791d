//! The simulated engine: what clients ask of it, what a state file says, what its shell runs, what archives and Dockerfiles it
//! is given.

use std::sync::Arc;
use std::time::Duration;

use libswarm::backend::Simulator;
use libswarm::backend::simulator::files::tar::{Reader, Writer, unpack};
use libswarm::backend::simulator::files::{Meta, Mounts, Node, Store, Tree, View};
use libswarm::backend::simulator::process::{
    Names, OUTPUT, Processes, Progress, Signal, Spec, System,
};
use libswarm::docker::version::ApiVersion;
use libswarm::http1::{Limits, Server, ServerEvent};
use libswarm::job::{Backend, Cancel, Engine, Job, Status};
use libswarm::{Instant, JobId};

/// Each request that has an end of its own is answered within a day, whatever was asked before; the list of containers is
/// JSON after each; when all clients have gone, nothing of theirs is left.
///
/// The input has a request in each line: a method, a space, a target, and behind another space a body. A line that is a
/// number lets so many milliseconds pass.
pub fn simulator(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut scene = Scene::new();
    let mut open: Vec<(JobId, bool)> = Vec::new();
    for line in text.lines().take(24) {
        if let Ok(millis) = line.parse::<u32>() {
            scene.pass(u64::from(millis));
            continue;
        }
        let mut words = line.splitn(3, ' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let Some((id, endless)) = scene.start(method, target, words.next().unwrap_or_default())
        else {
            continue;
        };
        match scene.take(id) {
            Some(status) => assert!(endless || status != 0),
            None => open.push((id, endless)),
        }
        let list =
            scene.start("GET", "/containers/json?all=1&size=1", "").expect("it is a request");
        let output = scene.engine.output(list.0).expect("it is under way");
        if let Some(body) = output.whole.take() {
            serde_json::from_slice::<serde_json::Value>(&body).expect("a list is JSON");
        }
        scene.engine.remove(scene.now, list.0);
    }
    for _ in 0..4 {
        scene.pass(21_600_000);
        open.retain(|(id, _)| scene.take(*id).is_none());
    }
    for (id, endless) in open {
        // A wait, an attach, a stop of what never ends: they end with their client.
        let waits = endless || scene.engine.job(id).is_some();
        assert!(waits, "it is neither answered nor waiting");
        scene.engine.cancel(scene.now, id, Cancel::Gone);
        assert!(scene.engine.output(id).is_none());
    }
}

/// An engine, and what time it is there.
struct Scene {
    engine: Engine,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let words = ["--control", "web"].map(str::to_owned);
        let simulator = Simulator::from_words(&words).expect("the words are fine");
        let mut engine = Engine::new(1);
        engine.set_epoch(Duration::from_secs(1_795_315_894));
        engine.push("simulator", Box::new(simulator));
        Self { engine, now: Instant::ZERO }
    }

    /// Starts the job of a request, and says whether that is endless. `None` for what is no request.
    fn start(&mut self, method: &str, target: &str, body: &str) -> Option<(JobId, bool)> {
        self.send(method, target, ("application/json", body.as_bytes()))
    }

    fn send(
        &mut self,
        method: &str,
        target: &str,
        (kind, body): (&str, &[u8]),
    ) -> Option<(JobId, bool)> {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut server = Server::new(Limits::default());
        let Ok((_, Some(ServerEvent::Request(head)))) = server.receive(request.as_bytes()) else {
            return None;
        };
        let job = Job::from_request(head, ApiVersion::MIN..=ApiVersion::MAX);
        let endless = job.is_endless() || job.hijacks();
        let id = self.engine.start(self.now, job, 0);
        // The body in two pieces, and then nothing more.
        let (first, second) = body.split_at(body.len() / 2);
        for piece in [first, second] {
            if !piece.is_empty() && self.engine.wants_stdin(id) {
                self.engine.stdin(self.now, id, piece);
            }
        }
        self.engine.stdin_end(self.now, id);
        Some((id, endless))
    }

    /// Reads what a job has said; removes it and gives its number if it has ended.
    fn take(&mut self, id: JobId) -> Option<u8> {
        for _ in 0..1000 {
            let output = self.engine.output(id)?;
            let is_empty = output.stdout.is_empty();
            output.stdout.clear();
            if let Some(status) = output.status {
                let code = if *status == Status::Ok { 1 } else { status.code() };
                self.engine.remove(self.now, id);
                return Some(code);
            }
            if is_empty {
                return None;
            }
            self.engine.taken(self.now, id);
        }
        None
    }

    /// Lets time pass, timer by timer, as long as there are not too many.
    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        for _ in 0..50 {
            let Some(next) = self.engine.poll_timeout().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.engine.handle_timeout(self.now);
        }
        self.now = end;
    }
}

/// A state file is taken, or refused with its name and a line; the world that it makes is saved as a file that is taken and
/// saved as the same text again.
pub fn state_file(data: &[u8]) {
    let words = ["--state", "a.json", "--save", "b.json"].map(str::to_owned);
    let begin = |text: &[u8]| -> Result<Engine, String> {
        let mut simulator = Simulator::from_words(&words).expect("the words are fine");
        simulator.load("a.json", text)?;
        let mut engine = Engine::new(1);
        engine.set_epoch(Duration::from_secs(1_795_315_894));
        engine.push("simulator", Box::new(simulator));
        Ok(engine)
    };
    let saved = |mut engine: Engine| engine.save().remove(0).1;
    match begin(data) {
        Err(problem) => {
            let line = problem.strip_prefix("a.json:").and_then(|rest| rest.split(':').next());
            let line: usize = line.and_then(|line| line.parse().ok()).expect("it names the line");
            assert!((1..=data.len() + 1).contains(&line), "{problem}");
        }
        Ok(engine) => {
            let first = saved(engine);
            let again = begin(&first).unwrap_or_else(|error| {
                panic!("{error}\n{}", String::from_utf8_lossy(&first));
            });
            assert_eq!(String::from_utf8_lossy(&saved(again)), String::from_utf8_lossy(&first));
        }
    }
}

/// Any script runs in bounded steps and holds bounded output; KILL ends it.
pub fn shell(data: &[u8]) {
    let Ok(script) = std::str::from_utf8(data) else { return };
    let mut store = Store::new();
    let mounts = Mounts::new(store.insert(Tree::busybox()));
    let mut processes = Processes::new();
    let mut now = Instant::ZERO;
    let mut system = |now: Instant, act: &mut dyn FnMut(&mut System<'_>)| {
        let files = View::new(&mut store, &mounts, 1_700_000_000);
        let unix = Duration::from_secs(1_700_000_000) + now.since_epoch();
        act(&mut System { files, hostname: "fuzz", now, unix, names: Names::default() });
    };
    let spec = Spec::new(["sh", "-c", script]).open_stdin();
    let mut pid = None;
    system(now, &mut |system| pid = processes.start(spec.clone(), system).ok());
    // Some scripts are no argument for a process.
    let Some(pid) = pid else { return };
    for turn in 0..8 {
        let mut progress = Progress::Idle(None);
        system(now, &mut |system| progress = processes.step(system, 2_000));
        let mut held = 0;
        while let Some((_, piece)) = processes.output(pid) {
            held += piece.len();
        }
        assert!(held <= 2 * OUTPUT, "{held} bytes of output were held");
        match progress {
            Progress::Runnable => {}
            Progress::Idle(Some(next)) => now = now.max(next),
            Progress::Idle(None) if turn == 0 => {
                processes.stdin(pid, b"one\ntwo\n");
                processes.close_stdin(pid);
            }
            Progress::Idle(None) => break,
        }
    }
    processes.signal(pid, Signal::KILL);
    system(now, &mut |system| _ = processes.step(system, 2_000));
    assert!(processes.exited(pid).is_some() && !processes.is_alive());
}

/// A build of any Dockerfile ends within a day or waits for a RUN, says only lines of JSON, and when its client has gone, none of
/// its containers is left.
pub fn dockerfile(data: &[u8]) {
    let mut writer = Writer::new();
    for (name, content) in [("Dockerfile", data), ("a", b"1"), ("b", b"2")] {
        writer.add_all(name, Arc::new(Node::file(content, Meta::new(0o644, 0))));
    }
    let mut archive = Vec::new();
    while writer.read(&mut archive, 1 << 20) {}
    let mut scene = Scene::new();
    let target = "/build?t=built&rm=1&forcerm=1&buildargs=%7B%22WHO%22%3A%22me%22%7D";
    let (id, _) = scene
        .send("POST", target, ("application/x-tar", &archive))
        .expect("it is a request for a build");
    let mut said = Vec::new();
    for _ in 0..4 {
        while let Some(output) = scene.engine.output(id) {
            said.extend(output.whole.take().iter().flat_map(|whole| whole.iter()));
            said.append(output.stdout);
            if output.status.is_some() {
                break;
            }
            scene.engine.taken(scene.now, id);
            if scene.engine.output(id).is_none_or(|output| output.stdout.is_empty()) {
                break;
            }
        }
        scene.pass(21_600_000);
    }
    for line in said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        serde_json::from_slice::<serde_json::Value>(line.trim_ascii_end()).expect("a line is JSON");
    }
    scene.engine.cancel(scene.now, id, Cancel::Gone);
    scene.pass(1000);
    let (id, _) = scene.start("GET", "/containers/json?all=1", "").expect("it is a request");
    let list = scene.engine.output(id).and_then(|output| output.whole.take()).expect("a list");
    let list: Vec<serde_json::Value> = serde_json::from_slice(&list).expect("a list is JSON");
    let names: Vec<_> = list.iter().map(|container| &container["Names"][0]).collect();
    assert_eq!(names, ["/web"]);
}

/// An archive gives the same in one piece and byte by byte, in bounded memory, and what it lays down stays in its folder.
pub fn archive(data: &[u8]) {
    const MOST: u64 = 1 << 20;
    let mut whole = Reader::new(MOST);
    let at_once = whole.feed(data).and_then(|entries| whole.finish().map(|()| entries));
    let (mut reader, mut pieces, mut failure) = (Reader::new(MOST), Vec::new(), None);
    for byte in data {
        match reader.feed(std::slice::from_ref(byte)) {
            Ok(entries) => pieces.extend(entries),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    let byte_by_byte = match failure {
        Some(error) => Err(error),
        None => reader.finish().map(|()| pieces),
    };
    assert_eq!(at_once, byte_by_byte);
    let Ok(entries) = at_once else { return };
    let mut store = Store::new();
    let mounts = Mounts::new(store.insert(Tree::busybox()));
    let mut view = View::new(&mut store, &mounts, 1_700_000_000);
    view.mkdir("/", "/into", 0o755).expect("the folder is new");
    let outside = |view: &View<'_>| {
        let mut names = view.list("/", "/").expect("there is a root");
        names.remove("into");
        format!("{names:?}")
    };
    let before = outside(&view);
    for entry in &entries {
        // What cannot be laid down is refused, and the next one tried.
        let _ = unpack(&mut view, "/into", entry, true);
        let _ = unpack(&mut view, "/into", entry, false);
    }
    // A link that leads out of the folder is followed by who asks for it, as `docker cp` does; names never do.
    if !entries.iter().any(|entry| format!("{:?}", entry.kind).starts_with("Symlink")) {
        assert_eq!(outside(&view), before);
    }
}
