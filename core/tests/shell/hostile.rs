//! Scripts that want everything: they get a bounded part of it, and hurt nobody.

use libswarm::backend::simulator::files::Limits;
use libswarm::backend::simulator::process::{MAX_PROCESSES, OUTPUT, Progress, Signal, Spec};
use proptest::prelude::*;

use crate::container::{Container, Outcome};

/// A script that never ends runs for a while and is killed: at most so many processes are seen.
fn endless(script: &str) -> usize {
    let mut container = Container::new();
    let pid = container.start(Spec::new(["sh", "-c", script])).unwrap();
    let mut most = 0;
    for _ in 0..200 {
        container.step(1000);
        most = most.max(container.processes.list().len());
        container.drain(pid, &mut Outcome::default());
    }
    container.processes.signal(pid, Signal::KILL);
    assert!(!container.processes.is_alive());
    assert_eq!(container.step(1000), Progress::Idle(None));
    most
}

#[test]
fn endless_scripts_can_be_left_alone_and_killed() {
    for script in [
        "while :; do :; done",
        "yes",
        "yes > /dev/null",
        "cat /dev/zero",
        "cat /dev/zero | cat | cat > /dev/null",
        "while true; do x=$(echo a); done",
        "x=$(yes)",
        "x=a; while :; do x=$x$x; done; while :; do :; done",
        "f() { f; }; while :; do (f); done",
        "while :; do sh -c true & done",
        "trap 'kill -TERM $$' TERM; kill -TERM $$; while :; do :; done",
        "eval \"$(yes eval)\"; while :; do :; done",
    ] {
        assert!(endless(script) <= MAX_PROCESSES, "{script}");
    }
}

#[test]
fn a_fork_bomb_ends_by_itself_or_is_killed() {
    let mut container = Container::new();
    let pid = container.start(Spec::new(["sh", "-c", ":(){ :|:& };:; sleep 1000"])).unwrap();
    let mut seen = Outcome::default();
    for _ in 0..300 {
        container.step(5000);
        container.drain(pid, &mut seen);
        assert!(container.processes.list().len() <= MAX_PROCESSES);
    }
    assert!(
        seen.stderr.contains("can't fork: Resource temporarily unavailable"),
        "{}",
        seen.stderr
    );
    container.processes.signal(pid, Signal::KILL);
    assert!(!container.processes.is_alive());
}

#[test]
fn output_that_nobody_takes_is_held_up_to_a_bound() {
    let mut container = Container::new();
    let pid = container.start(Spec::new(["yes"])).unwrap();
    while container.step(100_000) == Progress::Runnable {}
    let mut seen = Outcome::default();
    container.drain(pid, &mut seen);
    assert!(seen.stdout.len() <= OUTPUT && seen.stdout.len() > OUTPUT / 2, "{}", seen.stdout.len());
    while container.step(100_000) == Progress::Runnable {}
    assert!(container.drain(pid, &mut seen), "it goes on once there is room");
}

#[test]
fn recursion_ends_with_a_message() {
    let seen = Container::new().script("f() { f; }; f; echo no", &[]);
    assert_eq!((seen.code, seen.stdout.as_str()), (2, ""));
    assert!(seen.stderr.contains("deeper than 1000"), "{}", seen.stderr);
}

#[test]
fn a_full_disk_is_told() {
    let mut container = Container::new();
    let root = container.mounts.root();
    let tree = container.store.get_mut(root).unwrap();
    let used = tree.used();
    tree.set_limits(Limits { bytes: used.bytes + 10_000, nodes: used.nodes + 10 });
    let seen = container.script("yes > f; echo $?; wc -c < f; i=0; while touch n$i 2>/dev/null; do i=$((i+1)); done; echo $i", &[]);
    assert_eq!(seen.stdout, "1\n8192\n9\n");
    assert_eq!(seen.stderr, "yes: write error: No space left on device\n");
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [
        ("(", ")"),
        ("{ ", ";}"),
        ("$(", ")"),
        ("${x:-", "}"),
        ("if ", "; then :; fi"),
        ("$((", "))"),
        ("\"$(", ")\""),
    ] {
        let script = format!("echo {}:{}", open.repeat(10_000), close.repeat(10_000));
        Container::new().script(&script, &[]);
        let script = format!("{}:{}", open.repeat(10_000), close.repeat(10_000));
        Container::new().script(&script, &[]);
    }
    Container::new().script(&"`".repeat(10_001), &[]);
    Container::new().script(&"! ".repeat(10_000), &[]);
    Container::new().script(&"x() ".repeat(10_000), &[]);
}

proptest! {
    #[test]
    fn no_text_panics(script in ".{0,80}") {
        run_for_a_while(&script);
    }

    #[test]
    fn no_mixture_of_syntax_panics(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "if", "then", "fi", "for", "in", "do", "done", "case", "esac", "while", "(", ")", "{", "}", ";", "&", "|",
                "&&", "||", "\n", "$(", "`", "${x", "}", ":-", "#", "%%", "$((", "))", "\"", "'", "<<E", "E", ">", "<", "2>&1",
                "x=1", "echo", "read x", "cat", "$x", "*", "[", "]", "f()", "f", "return", "break", "exit", "set -e", "wait",
                "trap", "eval", "exec", "sed", "s/a/b/", "grep", "[a", "\\(", "head", "-n", "printf", "%s", "%*d", "test", "!",
            ]),
            0..25,
        ),
    ) {
        run_for_a_while(&words.join(" "));
    }
}

fn run_for_a_while(script: &str) {
    let mut container = Container::new();
    let pid = container.start(Spec::new(["sh", "-c", script])).unwrap();
    for _ in 0..20 {
        container.step(2000);
        container.drain(pid, &mut Outcome::default());
    }
    container.processes.signal(pid, Signal::KILL);
    container.drain(pid, &mut Outcome::default());
}

#[test]
fn a_program_may_kill_itself_and_whoever_runs_it() {
    for (script, code, stdout) in [
        ("echo a; kill -9 $$; echo never", 137, "a\n"),
        ("kill -TERM $$; echo never", 143, ""),
        ("kill $$ & wait; sleep 1; echo never", 143, ""),
        ("(kill -9 $$; echo child); echo never", 137, "child\n"),
        ("echo b | (read x; kill -9 $$); echo never", 137, ""),
        ("sh -c 'kill -9 $$; echo never'; echo $?", 0, "137\n"),
        ("exec kill -9 $$", 137, ""),
        ("kill -9 1; echo here", 0, "here\n"),
    ] {
        let mut container = Container::new();
        container.start(Spec::new(["sleep", "1000"])).unwrap();
        let pid = container.start(Spec::new(["sh", "-c", script])).unwrap();
        let mut seen = Outcome::default();
        let exit = container.run(pid, &mut seen).unwrap();
        assert_eq!((exit.code, seen.stdout.as_str()), (code, stdout), "{script}");
    }
}
