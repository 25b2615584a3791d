//! Rules of the engine that hold without a node: who hears what, and when no more.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use super::{Backend, Cancel, ChildEvent, Cx, Engine, Event, Job, Status, Stdio};
use crate::id::JobId;
use crate::time::Instant;

/// A backend that is a function, which says with [`Cx::print`] what it was told.
struct Does<F>(F);

impl<F: FnMut(&mut Cx<'_>, JobId, &Event<'_>) + Send> Backend for Does<F> {
    fn handle(&mut self, cx: &mut Cx<'_>, job: JobId, event: Event<'_>) {
        cx.print(match &event {
            Event::Start(asked) => format!("start {asked}"),
            Event::Stdin(bytes) => format!("stdin {}", bytes.escape_ascii()),
            Event::Body(bytes) => format!("body {}", bytes.escape_ascii()),
            Event::Child(_, ChildEvent::Stdout(bytes)) => format!("child {}", bytes.escape_ascii()),
            Event::Child(_, ChildEvent::Exited(status)) => format!("child exited: {status}"),
            other => format!("{other:?}"),
        });
        (self.0)(cx, job, &event);
    }
}

fn engine() -> Engine {
    Engine::new(1)
}

fn push(
    engine: &mut Engine,
    name: &str,
    does: impl FnMut(&mut Cx<'_>, JobId, &Event<'_>) + Send + 'static,
) {
    engine.push(name, Box::new(Does(does)));
}

fn told(engine: &mut Engine) -> Vec<String> {
    core::iter::from_fn(|| engine.poll_log())
        .map(|log| match log {
            super::Log::Print(line) => line,
            other => format!("{other:?}"),
        })
        .collect()
}

const NOW: Instant = Instant::ZERO;

fn second(n: u64) -> Instant {
    Instant::new(Duration::from_secs(n))
}

#[test]
fn what_a_backend_asked_for_is_not_told_to_the_one_it_passes_on_to() {
    let mut engine = engine();
    push(&mut engine, "first", |cx, job, event| {
        if let Event::Start(_) = event {
            cx.timer(job, second(1), 7);
            cx.start(job, Job::new("helper"), b"");
            cx.read_to_end(job, 3);
            cx.pass(job);
        }
    });
    push(&mut engine, "second", |_, _, _| {});
    let id = engine.start(NOW, Job::new("work"), 0);
    assert!(!engine.wants_stdin(id));
    engine.stdin(NOW, id, b"too long for the first");
    engine.stdin_end(NOW, id);
    engine.handle_timeout(second(2));
    assert_eq!(told(&mut engine), ["start work()", "start work()"]);
    assert_eq!((engine.len(), engine.poll_timeout()), (1, None));
}

#[test]
fn what_was_read_for_the_whole_is_not_lost_when_the_job_is_passed_on_before_its_end() {
    let mut engine = engine();
    push(&mut engine, "impatient", |cx, job, event| match event {
        Event::Start(_) => {
            cx.read_to_end(job, 100);
            cx.timer(job, second(1), 0);
        }
        Event::Timer(_) => cx.pass(job),
        _ => {}
    });
    push(&mut engine, "patient", |cx, job, event| match event {
        Event::Start(_) => cx.read_to_end(job, 100),
        Event::Body(_) => cx.exit(job, Status::Ok),
        _ => {}
    });
    let id = engine.start(NOW, Job::new("work"), 0);
    engine.stdin(NOW, id, b"abc");
    engine.handle_timeout(second(1));
    assert!(engine.wants_stdin(id));
    engine.stdin(second(1), id, b"def");
    engine.stdin_end(second(1), id);
    assert_eq!(told(&mut engine), ["start work()", "Timer(0)", "start work()", "body abcdef"]);
}

#[test]
fn what_was_read_for_the_whole_comes_in_pieces_to_one_that_changes_its_mind() {
    let mut engine = engine();
    push(&mut engine, "fickle", |cx, job, event| match event {
        Event::Start(_) => {
            cx.read_to_end(job, 100);
            cx.timer(job, second(1), 0);
        }
        Event::Timer(_) | Event::Stdin(_) => cx.read(job),
        _ => {}
    });
    let id = engine.start(NOW, Job::new("work"), 0);
    engine.stdin(NOW, id, b"abc");
    engine.handle_timeout(second(1));
    engine.stdin_end(second(1), id);
    assert_eq!(told(&mut engine), ["start work()", "Timer(0)", "stdin abc", "StdinEnd"]);
}

#[test]
fn a_job_that_has_ended_hears_nothing_and_its_children_end() {
    let mut engine = engine();
    push(&mut engine, "test", |cx, job, event| match event {
        Event::Start(asked) if asked.name() == "parent" => {
            let child = cx.start(job, Job::new("child"), b"").unwrap();
            cx.read_child(child);
            cx.timer(job, second(2), 0);
            cx.timer(job, second(1), 1);
        }
        Event::Start(_) => {
            cx.write(job, b"x");
            cx.timer(job, second(1), 2);
        }
        Event::Timer(1) => cx.reply(job, "done"),
        Event::Timer(_) => _ = cx.write(job, b"more"),
        _ => {}
    });
    let id = engine.start(NOW, Job::new("parent"), 0);
    engine.handle_timeout(second(1));
    engine.handle_timeout(second(2));
    assert_eq!(
        told(&mut engine),
        ["start parent()", "start child()", "child x", "Timer(1)", "Cancelled(Gone)"]
    );
    assert_eq!((engine.len(), engine.poll_timeout()), (1, None));
    engine.remove(NOW, id);
    assert!(engine.is_empty());
}

#[test]
fn nothing_is_heard_of_a_child_that_is_cancelled() {
    let mut engine = engine();
    let starts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&starts);
    push(&mut engine, "bystander", |cx, job, event| {
        if let Event::Start(_) = event {
            cx.pass(job);
        }
    });
    push(&mut engine, "test", move |cx, job, event| match event {
        Event::Start(asked) if asked.name() == "parent" => {
            // One that has not even started, one that has written.
            let unborn = cx.start(job, Job::new("unborn"), b"").unwrap();
            cx.cancel_child(unborn);
            let child = cx.start(job, Job::new("child"), b"").unwrap();
            cx.read_child(child);
        }
        Event::Start(_) => {
            count.fetch_add(1, Ordering::Relaxed);
            cx.write(job, b"x");
            cx.exit(job, Status::Ok);
        }
        Event::Child(child, ChildEvent::Stdout(_)) => {
            cx.read_child(*child);
            cx.cancel_child(*child);
        }
        _ => {}
    });
    engine.start(NOW, Job::new("parent"), 0);
    assert_eq!(
        told(&mut engine),
        ["start parent()", "start parent()", "start child()", "start child()", "child x"]
    );
    assert_eq!((engine.len(), starts.load(Ordering::Relaxed)), (1, 1));
}

#[test]
fn a_backend_cannot_touch_what_is_not_its_own() {
    let mut engine = engine();
    let mut victim = None;
    push(&mut engine, "thief", move |cx, job, event| match event {
        Event::Start(asked) if asked.name() == "theft" => {
            let victim = victim.unwrap();
            cx.cancel_child(victim);
            cx.read_child(victim);
            cx.exit(victim, Status::Ok);
            cx.exit(job, Status::Ok);
        }
        Event::Start(_) => {
            victim = Some(job);
            cx.pass(job);
        }
        _ => {}
    });
    push(&mut engine, "test", |cx, job, event| {
        if let Event::Start(_) = event {
            cx.begin(job, Stdio::Raw);
        }
    });
    let victim = engine.start(NOW, Job::new("work"), 0);
    engine.start(NOW, Job::new("theft"), 0);
    assert!(engine.output(victim).unwrap().status.is_none());
    assert_eq!(engine.len(), 2);
    engine.cancel(NOW, victim, Cancel::Gone);
    assert_eq!(engine.len(), 1);
}
