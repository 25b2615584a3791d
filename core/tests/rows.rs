//! Every row of the Docker API, sent as a client would send it: debug prints that job and its decoded arguments, and the
//! answer is the row's success.

use libswarm::backend::Registry;
use libswarm::docker::routes::{Reply, Route, table};
use libswarm::job::{Engine, Log};
use libswarm::node::{Action, Config, Input};
use libswarm::{Instant, Node};

const RAW: [&str; 2] = ["one%20two", "%C3%BC"];
const DECODED: [&str; 2] = ["one two", "ü"];

/// A path of this row, how many parameters it has, and the request.
fn request(route: &Route, prefix: &str) -> (usize, String) {
    let mut parameters = RAW.iter();
    let path: String = route
        .path
        .split('/')
        .skip(1)
        .map(|segment| match segment.strip_prefix('{') {
            Some(_) => format!("/{}", parameters.next().expect("two are enough")),
            None => format!("/{segment}"),
        })
        .collect();
    let used = RAW.len() - parameters.len();
    let upgrade = match route.reply {
        Reply::Hijack => "Connection: Upgrade\r\nUpgrade: tcp\r\n",
        Reply::Upgrade if route.job == "attach_ws" => {
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        }
        Reply::Upgrade => "Connection: Upgrade\r\nUpgrade: h2c\r\n",
        _ => "",
    };
    let method = route.method;
    (
        used,
        format!(
            "{method} {prefix}{path}?k%201=v+%26%20w&flag HTTP/1.1\r\nHost: docker\r\n{upgrade}\r\n"
        ),
    )
}

/// What is printed, and the answer.
fn ask(request: &str) -> (String, String) {
    let (name, debug) = Registry::standard().make("debug").unwrap();
    let mut engine = Engine::new(1);
    engine.push(name, debug);
    let mut node = Node::new(Config::default(), engine);
    let client = node.accept(Instant::ZERO).unwrap();
    let (mut printed, mut answer, mut out) = (String::new(), Vec::new(), Vec::new());
    node.handle(Instant::ZERO, Input::Received(client, request.as_bytes()));
    while let Some(action) = node.poll(&mut out) {
        match action {
            Action::Log(Log::Print(text)) => printed.push_str(&text),
            Action::Write { conn, .. } | Action::Shutdown(conn) => {
                answer.append(&mut out);
                node.handle(Instant::ZERO, Input::Done(conn));
            }
            _ => {}
        }
    }
    (printed, String::from_utf8(answer).unwrap())
}

#[test]
fn debug_prints_every_row_s_job() {
    for route in table() {
        for prefix in [String::new(), format!("/v{}", route.since), "/v1.55".to_owned()] {
            let (parameters, request) = request(route, &prefix);
            let (printed, answer) = ask(&request);
            let mut block = printed.lines();
            assert_eq!(block.next(), Some(format!("job {}", route.job).as_str()), "{request}");
            let arguments: Vec<&str> =
                block.filter_map(|line| line.strip_prefix("  arg ")).collect();
            let expected: Vec<String> =
                DECODED[..parameters].iter().map(|argument| format!("{argument:?}")).collect();
            assert_eq!(arguments, expected, "{request}{printed}");
            let env = "  env \"k 1\"=\"v & w\"\n  env flag=\"\"\n";
            assert!(printed.contains(env), "{request}{printed}");
            let status = match route.reply {
                Reply::Hijack => "101 UPGRADED".to_owned(),
                Reply::Upgrade => "101 Switching Protocols".to_owned(),
                _ => route.success.to_string(),
            };
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}{answer}");
        }
    }
    assert!(table().len() > 100);
}
