//! Health checks.

use super::*;
use crate::discovery::client::{Check, Monitor};

/// What a monitor does in one check that ends so, and whether it thinks the address healthy then.
fn check(monitor: &mut Monitor, now: &mut Instant, outcome: Result<&str, &str>) -> bool {
    *now = (*now).max(monitor.poll_timeout().unwrap());
    monitor.handle(*now, Input::Timeout);
    let mut out = Vec::new();
    let Some(Action::Connect { conn, server, within }) = monitor.poll(&mut out) else { panic!() };
    assert_eq!((&*server, within), ("h:80", secs(2)));
    match outcome {
        Err(reason) => monitor.handle(*now, Input::Closed(conn, reason)),
        Ok("") => monitor.handle(*now, Input::Connected(conn)),
        Ok(answer) => {
            monitor.handle(*now, Input::Connected(conn));
            assert_eq!(monitor.poll(&mut out), Some(Action::Write(conn)));
            let asked = "GET /ping HTTP/1.1\r\nHost: h:80\r\nConnection: close\r\n\r\n";
            assert_eq!(core::str::from_utf8(&out), Ok(asked));
            monitor.handle(*now, Input::Sent(conn));
            for byte in answer.as_bytes() {
                monitor.handle(*now, Input::Received(conn, &[*byte]));
            }
            monitor.handle(*now, Input::Ended(conn));
        }
    }
    if outcome.is_ok() {
        assert_eq!(monitor.poll(&mut out), Some(Action::Close(conn)));
    }
    assert_eq!(monitor.poll(&mut out), None);
    monitor.is_healthy()
}

#[test]
fn two_in_a_row_count() {
    let (mut monitor, mut now) = (Monitor::new("h:80", Check::tcp(), Instant::ZERO), Instant::ZERO);
    let (good, bad) = (Ok(""), Err("refused"));
    let outcomes = [bad, good, bad, good, good, bad, good, bad, bad, good, good];
    let healthy: Vec<_> = outcomes.map(|it| check(&mut monitor, &mut now, it)).into();
    let words: String = healthy.iter().map(|it| if *it { '+' } else { '-' }).collect();
    assert_eq!(words, "----++++--+");
    // One each 2 s, the first at once.
    assert_eq!(now, Instant::new(secs(20)));
    assert_eq!(monitor.last(), &Ok(()));
}

#[test]
fn http_is_good_with_200_to_299() {
    for (answer, error) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", None),
        ("HTTP/1.0 204 No Content\r\n\r\n", None),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 299 X\r\n\r\n", None),
        ("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", Some("it answers with status 302")),
        ("HTTP/1.1 500 Oops\r\n\r\n", Some("it answers with status 500")),
        ("HTTP/1.1 200", Some("it has ended the connection without an answer")),
        ("SSH-2.0-x\r\n\r\n", Some("")),
    ] {
        let check = self::check;
        let mut monitor = Monitor::new("h:80", Check::http("/ping"), Instant::ZERO);
        let mut now = Instant::ZERO;
        assert!(!check(&mut monitor, &mut now, Ok(answer)));
        assert_eq!(check(&mut monitor, &mut now, Ok(answer)), error.is_none(), "{answer}");
        match (error, monitor.last()) {
            (None, last) => assert_eq!(last, &Ok(())),
            (Some(error), last) => {
                assert!(last.as_ref().unwrap_err().starts_with(error), "{last:?}");
            }
        }
    }
}

#[test]
fn a_check_has_its_time() {
    let mut check = Check::http("/");
    check.interval = secs(3);
    let mut monitor = Monitor::new(":80", check, Instant::ZERO);
    for (connects, nth) in [(false, 1), (true, 2)] {
        let now = monitor.poll_timeout().unwrap();
        monitor.handle(now, Input::Timeout);
        let mut out = Vec::new();
        let Some(Action::Connect { conn, server, .. }) = monitor.poll(&mut out) else { panic!() };
        assert_eq!((conn, &*server), (nth, "127.0.0.1:80"));
        if connects {
            monitor.handle(now, Input::Connected(conn));
            monitor.poll(&mut out);
            // A head that never ends is none.
            monitor.handle(now + secs(1), Input::Received(conn, b"HTTP/1.1 200 OK\r\nA: "));
        }
        assert_eq!(monitor.poll_timeout(), Some(now + secs(2)));
        monitor.handle(now + secs(2), Input::Timeout);
        assert_eq!(monitor.poll(&mut out), Some(Action::Close(conn)));
        assert_eq!(monitor.last(), &Err("it has not answered within 2s".into()));
        // Of one that is over.
        monitor.handle(now + secs(2), Input::Connected(conn));
        monitor.handle(now + secs(2), Input::Received(conn, b"HTTP/1.1 200 OK\r\n\r\n"));
        assert!(monitor.last().is_err());
    }
    monitor.stop();
    monitor.handle(Instant::new(secs(60)), Input::Timeout);
    assert!(monitor.is_over() && monitor.poll_timeout().is_none());
    assert_eq!(monitor.poll(&mut Vec::new()), None);
}

#[test]
fn a_path_that_is_none_is_said_to_be_so() {
    let mut monitor = Monitor::new("h:80", Check::http("/a b"), Instant::ZERO);
    monitor.handle(Instant::ZERO, Input::Timeout);
    let mut out = Vec::new();
    monitor.poll(&mut out);
    monitor.handle(Instant::ZERO, Input::Connected(1));
    assert_eq!(monitor.poll(&mut out), Some(Action::Close(1)));
    assert_eq!(monitor.last(), &Err("\"/a b\" is no path that can be asked for".into()));
    assert!(out.is_empty());
}

#[test]
fn an_endless_answer_is_bounded() {
    let mut monitor = Monitor::new("h:80", Check::http("/"), Instant::ZERO);
    monitor.handle(Instant::ZERO, Input::Timeout);
    monitor.poll(&mut Vec::new());
    monitor.handle(Instant::ZERO, Input::Connected(1));
    monitor.poll(&mut Vec::new());
    let mut sent = 0;
    while monitor.poll(&mut Vec::new()) != Some(Action::Close(1)) {
        monitor.handle(Instant::ZERO, Input::Received(1, &[b'x'; 1000]));
        sent += 1000;
        assert!(sent < 1_000_000);
    }
    assert!(monitor.last().is_err());
}
