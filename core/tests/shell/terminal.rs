//! Shells on a terminal, signals, and what an engine asks of a container's processes.

use std::time::Duration;

use libswarm::backend::simulator::files::Tree;
use libswarm::backend::simulator::process::{
    Behaviour, Progress, Signal, Spec, StartError, Stream,
};

use crate::container::{Container, Outcome};

/// What the terminal shows after some keys.
fn shown(container: &mut Container, pid: u32, keys: &[u8]) -> String {
    assert_eq!(container.processes.stdin(pid, keys), keys.len());
    let mut seen = Outcome::default();
    container.step(100_000);
    container.drain(pid, &mut seen);
    seen.stdout
}

#[test]
fn a_person_talks_to_a_shell() {
    let mut container = Container::new();
    let pid = container.start(Spec::new(["sh"]).on_terminal()).unwrap();
    assert_eq!(shown(&mut container, pid, b""), "/ # ");
    assert_eq!(shown(&mut container, pid, b"ec"), "ec");
    assert_eq!(shown(&mut container, pid, b"hx\x7fo hi\r"), "hx\x08 \x08o hi\r\nhi\r\n/ # ");
    assert_eq!(shown(&mut container, pid, b"if true\n"), "if true\r\n> ");
    assert_eq!(shown(&mut container, pid, b"then echo y; fi\n"), "then echo y; fi\r\ny\r\n/ # ");
    assert_eq!(shown(&mut container, pid, b"half a line\x03"), "half a line^C\r\n/ # ");
    assert_eq!(shown(&mut container, pid, b"sleep 100\n"), "sleep 100\r\n");
    assert_eq!(shown(&mut container, pid, b"\x03"), "^C\r\n/ # ");
    assert_eq!(shown(&mut container, pid, b"echo $?\n"), "echo $?\r\n130\r\n/ # ");
    assert_eq!(shown(&mut container, pid, b"nosuch\n"), "nosuch\r\nsh: nosuch: not found\r\n/ # ");
    assert_eq!(shown(&mut container, pid, b"cat\nabc\n\x04"), "cat\r\nabc\r\nabc\r\n/ # ");
    assert_eq!(
        shown(&mut container, pid, b"echo )\n"),
        "echo )\r\nsh: syntax error: unexpected \")\"\r\n/ # "
    );
    assert_eq!(
        shown(&mut container, pid, b"cd /tmp; tty; stty -echo\n"),
        "cd /tmp; tty; stty -echo\r\n/dev/pts/0\r\n/tmp # "
    );
    assert_eq!(shown(&mut container, pid, b"exit 7\n"), "");
    assert_eq!(container.processes.exited(pid).unwrap().code, 7);
}

#[test]
fn an_end_of_file_ends_an_idle_shell() {
    let mut container = Container::new();
    let pid = container.start(Spec::new(["sh"]).on_terminal()).unwrap();
    shown(&mut container, pid, b"");
    assert_eq!(shown(&mut container, pid, b"false\n\x04"), "false\r\n/ # \r\n");
    assert_eq!(container.processes.exited(pid).unwrap().code, 1);
}

#[test]
fn a_shell_reads_commands_from_stdin_as_they_come() {
    let mut container = Container::new();
    let pid = container.start(Spec::new(["sh"]).open_stdin()).unwrap();
    container.step(1000);
    assert_eq!(shown(&mut container, pid, b"read x\nvalue\necho got $x\n"), "got value\n");
    assert_eq!(shown(&mut container, pid, b"cat <<E\none\n"), "");
    assert_eq!(shown(&mut container, pid, b"E\n"), "one\n");
    container.processes.close_stdin(pid);
    assert_eq!(container.step(1000), Progress::Idle(None));
    assert_eq!(container.processes.exited(pid).unwrap().code, 0);
}

#[test]
fn the_size_of_a_terminal_is_told() {
    let mut container = Container::new();
    let pid = container.start(Spec { size: (24, 80), ..Spec::new(["sh"]).on_terminal() }).unwrap();
    shown(&mut container, pid, b"");
    container.processes.resize(pid, 50, 132);
    assert_eq!(shown(&mut container, pid, b"stty size\n"), "stty size\r\n50 132\r\n/ # ");
}

#[test]
fn the_first_process_dies_of_no_signal_that_it_does_not_trap() {
    let mut container = Container::new();
    let pid = container.start(Spec::new(["sleep", "1000"])).unwrap();
    assert_eq!(
        container.step(1000),
        Progress::Idle(Some(libswarm::Instant::new(Duration::from_secs(1000))))
    );
    assert!(container.processes.signal(1, Signal::TERM));
    container.step(1000);
    assert_eq!(container.processes.exited(pid), None);
    container.processes.signal(1, Signal::KILL);
    let exit = container.processes.exited(pid).unwrap();
    assert_eq!((exit.code, exit.signal), (137, Some(Signal::KILL)));
    assert!(!container.processes.is_alive());
}

#[test]
fn a_trap_ends_the_first_process() {
    let mut container = Container::new();
    let script = "trap 'echo bye; exit 3' TERM; echo ready; sleep 1000 & wait";
    let pid = container.start(Spec::new(["sh", "-c", script])).unwrap();
    let mut seen = Outcome::default();
    container.step(1000);
    container.processes.signal(1, Signal::TERM);
    let exit = container.run(pid, &mut seen).unwrap();
    assert_eq!((exit.code, seen.stdout.as_str()), (3, "ready\nbye\n"));
}

#[test]
fn an_exec_is_another_process_and_ends_with_the_container() {
    let mut container = Container::new();
    let first = container.start(Spec::new(["sleep", "1000"])).unwrap();
    let exec = container.start(Spec::new(["sh", "-c", "echo in; exit 4"])).unwrap();
    let mut seen = Outcome::default();
    assert_eq!(container.run(exec, &mut seen).unwrap().code, 4);
    assert_eq!(seen.stdout, "in\n");
    container.processes.forget(exec);
    let other = container.start(Spec::new(["cat"]).open_stdin()).unwrap();
    container.step(1000);
    let names: Vec<String> =
        container.processes.list().iter().map(|info| info.argv.join(" ")).collect();
    assert_eq!(names, ["sleep 1000", "cat"]);
    container.processes.signal(first, Signal::KILL);
    assert_eq!(container.processes.exited(other).unwrap().code, 137);
}

#[test]
fn what_cannot_be_started_says_why() {
    let mut container = Container::new();
    let mut error = |spec: Spec| {
        let error = container.start(spec).unwrap_err();
        (error.to_string(), error.code())
    };
    let not_found = "exec: \"nosuch\": executable file not found in $PATH".to_string();
    assert_eq!(error(Spec::new(["nosuch"])), (not_found, 127));
    let no_file = "exec: \"/nosuch\": stat /nosuch: no such file or directory".to_string();
    assert_eq!(error(Spec::new(["/nosuch"])), (no_file, 127));
    assert_eq!(
        error(Spec::new(["/etc/passwd"])),
        ("exec: \"/etc/passwd\": permission denied".into(), 126)
    );
    assert_eq!(error(Spec::new(Vec::<String>::new())), ("no command specified".into(), 126));
    let user = Spec { user: "ghost".into(), ..Spec::new(["true"]) };
    assert_eq!(error(user).0, "unable to find user ghost: no matching entries in passwd file");
    let cwd = Spec { cwd: "/nope".into(), ..Spec::new(["true"]) };
    assert!(matches!(container.start(cwd), Err(StartError::NoSuchDirectory { .. })));
}

#[test]
fn users_and_their_environment_are_an_engines() {
    let mut container = Container::new();
    let spec = Spec {
        user: "nobody".into(),
        env: vec!["A=1".into()],
        ..Spec::new(["sh", "-c", "id; echo $HOME $HOSTNAME $A; touch /x"])
    };
    let pid = container.start(spec).unwrap();
    let mut seen = Outcome::default();
    let exit = container.run(pid, &mut seen).unwrap();
    assert_eq!(
        seen.stdout,
        "uid=65534(nobody) gid=65534(nobody) groups=65534(nobody)\n/home box 1\n"
    );
    assert_eq!((seen.stderr.as_str(), exit.code), ("touch: /x: Permission denied\n", 1));
}

#[test]
fn a_described_program_prints_answers_and_ends() {
    let behaviour: Behaviour = serde_json::from_str(
        r#"{"output": [{"text": "up\n"}, {"after": 1500, "text": "ready\n", "stderr": true}],
            "answers": [{"when": "PING", "text": "PONG\n"}], "signals": {"TERM": 0}, "exit": {"after": 5000, "code": 9}}"#,
    )
    .unwrap();
    let spec =
        Spec { behaviour: Some(behaviour.into()), ..Spec::new(["redis-server"]).open_stdin() };
    let mut container = Container::new();
    let pid = container.start(spec.clone()).unwrap();
    assert_eq!(
        container.step(1000),
        Progress::Idle(Some(libswarm::Instant::new(Duration::from_millis(1500))))
    );
    assert_eq!(container.processes.output(pid), Some((Stream::Stdout, b"up\n".to_vec())));
    assert_eq!(shown(&mut container, pid, b"a PING\n"), "PONG\n");
    let mut seen = Outcome::default();
    assert_eq!(container.run(pid, &mut seen).unwrap().code, 9);
    assert_eq!((container.now, seen.stderr.as_str()), (Duration::from_secs(5), "ready\n"));

    let mut container = Container::new();
    let pid = container.start(spec).unwrap();
    container.step(1000);
    container.processes.signal(pid, Signal::TERM);
    container.step(1000);
    assert_eq!(container.processes.exited(pid).unwrap().code, 0);
}

#[test]
fn a_file_is_followed_in_simulated_time() {
    let mut container = Container::new();
    let script =
        "echo a > f; (sleep 3; echo b >> f; sleep 3; kill $(pidof tail)) & tail -f f; true";
    let pid = container.start(Spec::new(["sh", "-c", script])).unwrap();
    let mut seen = Outcome::default();
    container.run(pid, &mut seen);
    assert_eq!(seen.stdout, "a\nb\n");
}

#[test]
fn an_init_starts_the_program_and_hands_signals_on() {
    let with_init = |argv: &[&str]| Spec { init: true, ..Spec::new(argv.iter().copied()) };
    let run = |argv: &[&str]| {
        let mut container = Container::new();
        let pid = container.start(with_init(argv)).unwrap();
        let mut seen = Outcome::default();
        let exit = container.run(pid, &mut seen).unwrap();
        (exit.code, seen.stdout, seen.stderr)
    };
    assert_eq!(run(&["sh", "-c", "echo $$; exit 3"]), (3, "2\n".into(), String::new()));
    assert_eq!(run(&["sh", "-c", "kill -9 $$"]).0, 137);
    let missed = "[FATAL tini (7)] exec nosuch failed: No such file or directory\n";
    assert_eq!(run(&["nosuch"]), (127, String::new(), missed.into()));

    let mut container = Container::new();
    let pid = container.start(with_init(&["sleep", "1000"])).unwrap();
    container.step(1000);
    let listed = container.processes.list();
    let shown: Vec<String> = listed.iter().map(|process| process.argv.join(" ")).collect();
    assert_eq!(shown, ["/sbin/docker-init -- sleep 1000", "sleep 1000"]);
    assert!(container.processes.signal(pid, Signal::TERM));
    assert_eq!(container.run(pid, &mut Outcome::default()).unwrap().code, 143);
}

#[test]
fn an_init_leaves_the_terminal_to_the_program() {
    let mut container = Container::new();
    let pid = container.start(Spec { init: true, ..Spec::new(["sh"]).on_terminal() }).unwrap();
    assert_eq!(shown(&mut container, pid, b""), "/ # ");
    assert_eq!(shown(&mut container, pid, b"half a line\x03"), "half a line^C\r\n/ # ");
    assert_eq!(shown(&mut container, pid, b"exit 7\n"), "exit 7\r\n");
    assert_eq!(container.processes.exited(pid).unwrap().code, 7);
}

#[test]
fn file_systems_are_shown_one_by_one() {
    let mut container = Container::new();
    let shm = container.store.insert(Tree::new());
    container.mounts.add(&mut container.store, "/dev/shm", "shm", shm, false).unwrap();
    let mut place = |script: &str| container.script(script, &[]).stdout;
    let last = "| tail -n +2 | tr -s ' ' | cut -d ' ' -f 1,6";
    assert_eq!(place(&format!("df /dev/shm {last}")), "shm /dev/shm\n");
    assert_eq!(place(&format!("cd /dev; df . {last}")), "tmpfs /dev\n");
    assert_eq!(place(&format!("df /tmp {last}")), "overlay /\n");
    assert_eq!(place(&format!("df {last}")), "overlay /\ntmpfs /dev\nshm /dev/shm\n");
    let missed = container.script("df /nosuch", &[]);
    assert_eq!((missed.code, &*missed.stderr), (1, "df: /nosuch: can't find mount point\n"));
}
