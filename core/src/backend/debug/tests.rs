//! Blocks as they are printed, and what becomes of the jobs.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Debug;
use crate::JobId;
use crate::docker::version::ApiVersion;
use crate::http1::{Limits, Server, ServerEvent};
use crate::job::{Backend, Cancel, Cx, Engine, Event, Job, Log, Status};
use crate::time::Instant;

const NOW: Instant = Instant::ZERO;

/// Answers every job with its whole body.
struct Echo;

impl Backend for Echo {
    fn handle(&mut self, cx: &mut Cx<'_>, job: JobId, event: Event<'_>) {
        match event {
            Event::Start(_) => cx.read_to_end(job, 1 << 21),
            Event::Body(body) => cx.reply(job, body.to_vec()),
            _ => {}
        }
    }
}

fn request(line: &str, headers: &[(&str, &str)]) -> Job {
    let mut head = format!("{line} HTTP/1.1\r\nHost: docker\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let (_, event) = Server::new(Limits::default()).receive(head.as_bytes()).unwrap().clone();
    let Some(ServerEvent::Request(head)) = event else { panic!("{head:?} is no head") };
    Job::from_request(head, ApiVersion::MIN..=ApiVersion::MAX)
}

fn engine(words: &[&str], next: bool) -> Engine {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    let mut engine = Engine::new(1);
    engine.push("debug", Box::new(Debug::from_words(&words).unwrap()));
    if next {
        engine.push("echo", Box::new(Echo));
    }
    engine
}

fn printed(engine: &mut Engine) -> String {
    let mut all = String::new();
    while let Some(Log::Print(text)) = engine.poll_log() {
        all.push_str(&text);
    }
    all
}

/// What is printed of one job with this body, sent in two pieces.
fn shown(words: &[&str], job: Job, body: &[u8]) -> String {
    let mut engine = engine(words, false);
    let id = engine.start(NOW, job, 0);
    let (one, other) = body.split_at(body.len() / 2);
    for piece in [one, other].into_iter().filter(|piece| !piece.is_empty()) {
        engine.stdin(NOW, id, piece);
    }
    engine.stdin_end(NOW, id);
    assert_eq!(engine.output(id).unwrap().status, Some(&Status::Ok));
    printed(&mut engine)
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn a_block_shows_all_of_a_job() {
    let job = request(
        "POST /v1.41/containers/create?name=web+1",
        &[JSON, ("Content-Length", "39"), ("X-Registry-Auth", "c2VjcmV0")],
    );
    let body = br#"{"Image":"busybox","Env":["PASSWORD=x"]}"#;
    assert_eq!(body.len(), 40);
    let text = shown(&[], job, &body[..39]);
    assert!(text.contains("which is not JSON: EOF"), "{text}");

    let job = request(
        "POST /v1.41/containers/create?name=web+1",
        &[JSON, ("Content-Length", "40"), ("X-Registry-Auth", "c2VjcmV0")],
    );
    assert_eq!(
        shown(&[], job, body),
        r#"job create
  request POST "/v1.41/containers/create"
  env name="web 1"
  header Host: "docker"
  header Content-Type: "application/json"
  header Content-Length: "40"
  header X-Registry-Auth: (hidden)
  body 40 bytes of "application/json"
    {
      "Env": [
        "PASSWORD=(hidden)"
      ],
      "Image": "busybox"
    }
"#
    );
}

#[test]
fn secrets_show_only_on_demand() {
    let job = || {
        request(
            "POST /auth?password=hunter2&buildargs=%7B%22API_KEY%22%3A%22hunter2%22%7D&remote=http://u:hunter2@h/",
            &[
                JSON,
                ("Content-Length", "40"),
                ("Authorization", "Basic hunter2"),
                ("X-Registry-Config", "hunter2"),
            ],
        )
    };
    let body = br#"{"username":"me","password":"hunter2"}  "#;
    let hidden = shown(&[], job(), body);
    assert!(!hidden.contains("hunter2") && hidden.contains("\"me\""), "{hidden}");
    let all = shown(&["--show-secrets"], job(), body);
    assert_eq!(all.matches("hunter2").count(), 6, "{all}");
}

#[test]
fn the_content_of_a_swarms_secret_is_hidden() {
    for (line, hidden) in [
        ("POST /secrets/create", true),
        ("POST /configs/x/update?version=1", true),
        ("POST /containers/create", false),
    ] {
        let job = request(line, &[JSON, ("Content-Length", "13")]);
        let text = shown(&[], job, br#"{"Data":"aa"}"#);
        assert_eq!(!text.contains("\"aa\""), hidden, "{text}");
    }
}

#[test]
fn nothing_a_client_sends_drives_a_terminal_or_fakes_a_job() {
    let job = request(
        "POST /containers/a%0Ajob%20b/rename?name=%1B%5B2J%0Ajob+c%C2%9B&%0Ajob=%E2%80%AE",
        &[("X-Odd", "\u{9b}2J\u{e9}"), JSON, ("Content-Length", "46")],
    );
    let body =
        "{\"a\\njob\":\"\\u001b[2J\u{7f}\u{9b}\u{202e}\\nb\",\"z\":\"\u{e9}\"} \n ".as_bytes();
    let text = shown(&[], job, body);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{text:?}");
    let margin: Vec<&str> = text.lines().filter(|line| !line.starts_with("  ")).collect();
    assert_eq!(margin, ["job container_rename"]);
    assert!(text.contains("arg \"a\\njob b\"") && text.contains("\u{e9}"), "{text}");
}

#[test]
fn other_bodies_are_counted() {
    let tar = [("Content-Type", "application/x-tar"), ("Content-Length", "6")];
    let text = shown(&[], request("PUT /containers/web/archive?path=/", &tar), b"abcdef");
    assert!(text.ends_with("\n  body 6 bytes of \"application/x-tar\"\n"), "{text}");
    let chunked = [("Transfer-Encoding", "chunked")];
    let text = shown(&[], request("POST /images/load", &chunked), &[7; 3000]);
    assert!(text.ends_with("\n  body 3000 bytes\n"), "{text}");
    let large = [JSON, ("Content-Length", "1048577")];
    let text = shown(&[], request("POST /containers/create", &large), &[b' '; 1_048_577]);
    assert!(text.ends_with("\n  body 1048577 bytes of \"application/json\"\n"), "{text}");
}

#[test]
fn a_body_is_read_piece_by_piece_only_if_debug_is_last() {
    let job = || request("POST /build", &[("Transfer-Encoding", "chunked")]);
    let mut last = engine(&[], false);
    let id = last.start(NOW, job(), 0);
    assert!(last.wants_stdin(id) && printed(&mut last).is_empty());

    let mut first = engine(&[], true);
    let id = first.start(NOW, job(), 0);
    assert!(printed(&mut first).ends_with("\n  body of unknown length, not read\n"));
    first.stdin(NOW, id, b"tar");
    first.stdin_end(NOW, id);
    assert_eq!(first.output(id).unwrap().whole.as_deref(), Some(&b"tar"[..]));
}

#[test]
fn json_is_shown_and_passed_on_whole() {
    let mut engine = engine(&[], true);
    let headers = [("content-type", "Application/JSON; charset=utf-8"), ("Content-Length", "8")];
    let id = engine.start(NOW, request("POST /volumes/create", &headers), 0);
    engine.stdin(NOW, id, br#"{"a""#);
    assert_eq!(printed(&mut engine), "");
    engine.stdin(NOW, id, b":1 }");
    engine.stdin_end(NOW, id);
    assert!(printed(&mut engine).ends_with("    {\n      \"a\": 1\n    }\n"));
    assert_eq!(engine.output(id).unwrap().whole.as_deref(), Some(&br#"{"a":1 }"#[..]));
}

#[test]
fn a_hijacked_stream_is_opened_and_ended_but_not_read() {
    let mut engine = engine(&[], false);
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "tcp")];
    let id = engine.start(NOW, request("POST /containers/web/attach?stdin=1", &upgrade), 0);
    let output = engine.output(id).unwrap();
    assert!(output.begun.is_some() && !output.wants_stdin);
    assert_eq!(output.status, Some(&Status::Ok));
}

#[test]
fn the_body_before_a_hijack_is_shown() {
    let mut engine = engine(&[], false);
    let headers = [("Connection", "Upgrade"), ("Upgrade", "tcp"), JSON, ("Content-Length", "12")];
    let id = engine.start(NOW, request("POST /exec/abc/start", &headers), 0);
    assert!(engine.output(id).unwrap().begun.is_none());
    engine.stdin(NOW, id, br#"{"Tty":true}"#);
    engine.stdin_end(NOW, id);
    assert!(engine.output(id).unwrap().begun.is_some());
    assert!(printed(&mut engine).ends_with("    {\n      \"Tty\": true\n    }\n"));
}

#[test]
fn other_jobs_end_without_output() {
    let mut engine = engine(&[], false);
    let id = engine.start(NOW, request("GET /info", &[]), 0);
    let output = engine.output(id).unwrap();
    assert!(output.begun.is_none() && output.whole.is_none() && output.stdout.is_empty());
    assert_eq!(output.status, Some(&Status::Ok));
}

#[test]
fn what_no_route_matched_is_left_to_the_frontend() {
    let mut engine = engine(&[], false);
    let id = engine.start(NOW, request("POST /nosuch?token=a&x=1", &[("Content-Length", "5")]), 0);
    let status = engine.output(id).unwrap().status.map(Status::code);
    assert_eq!(status, Some(127));
    assert_eq!(
        printed(&mut engine),
        "job http\n  request POST \"/nosuch\"\n  env token=\"(hidden)\"\n  env x=\"1\"\n  header Host: \"docker\"\n  \
         header Content-Length: \"5\"\n  body 5 bytes, not read\n"
    );
}

#[test]
fn a_client_that_goes_away_leaves_its_block() {
    let mut engine = engine(&[], false);
    let id = engine.start(NOW, request("POST /images/load", &[("Content-Length", "50")]), 0);
    engine.stdin(NOW, id, b"abc");
    engine.cancel(NOW, id, Cancel::Gone);
    let text = printed(&mut engine);
    assert!(text.ends_with("  body cut short after 3 bytes: the client is gone\n"), "{text}");
    assert!(engine.is_empty());
}

#[test]
fn words_are_checked() {
    let refused = Debug::from_words(&["--quiet".to_string()]).err();
    assert_eq!(
        refused.as_deref(),
        Some("\"--quiet\" is not understood: the only word is --show-secrets")
    );
}
