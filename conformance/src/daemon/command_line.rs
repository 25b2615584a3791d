//! What the command line promises.

use std::net::TcpListener;
use std::path::Path;

use libswarm::docker::routes;

use super::{Daemon, Folder, run};
use crate::client::Client;

/// `--help`, `--version`, `--routes`.
///
/// # Panics
///
/// They are not as they should be.
pub fn help(binary: &Path) {
    let (code, out, _) = run(binary, &["--help"]);
    assert_eq!(code, 0);
    for word in [
        "debug",
        "simulator",
        "--api-version",
        "--backend",
        "--shutdown-timeout",
        "tcp://",
        "unix://",
    ] {
        assert!(out.contains(word), "{word} in {out}");
    }
    assert!(out.lines().all(|line| line.chars().count() <= 100), "{out}");

    let (code, out, _) = run(binary, &["--version"]);
    assert!(code == 0 && out.contains(env!("CARGO_PKG_VERSION")), "{out}");

    let (code, out, _) = run(binary, &["--routes"]);
    assert_eq!(code, 0);
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    for route in routes::table() {
        let since = route.since.to_string();
        let row = [route.method, route.path, route.job, since.as_str()];
        assert!(rows.iter().any(|found| found == &row), "{row:?}");
    }
}

/// What is no command line ends with 2 and says why.
///
/// # Panics
///
/// It does not.
pub fn usage(binary: &Path) {
    for (args, word) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["--backend"], "--backend"),
        (&["--shutdown-timeout", "soon"], "soon"),
        (&["--log-level", "loud"], "loud"),
    ] {
        let (code, out, err) = run(binary, args);
        assert_eq!(code, 2, "{args:?}: {err}");
        assert!(err.contains(word) && out.is_empty(), "{args:?}: {err}");
    }
}

/// What cannot be done ends with 1 and says what is wrong and what to do.
///
/// # Panics
///
/// It does not.
pub fn errors(binary: &Path) {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = format!("tcp://{}", taken.local_addr().expect("it has an address"));
    let file = folder.file("file");
    std::fs::write(&file, "precious").expect("a file can be written");
    let path = format!("unix://{file}");
    let somewhere = "tcp://127.0.0.1:0";
    for (args, words) in [
        (&["--backend", "nonsense", somewhere][..], &["nonsense", "simulator", "debug"][..]),
        (&["--backend", "simulator 'web", somewhere], &["quote"]),
        (&["--backend", "simulator --api-version 9.9", somewhere], &["9.9", "1.55"]),
        (&["localhost:4242"], &["localhost:4242", "tcp://"]),
        (&["http://localhost:4242"], &["http://", "tcp://"]),
        (&[&port], &["in use", &port]),
        (&[&path], &[&file]),
        (&["tcp://192.0.2.1:4242"], &["192.0.2.1"]),
    ] {
        let (code, _, err) = run(binary, args);
        assert_eq!(code, 1, "{args:?}: {err}");
        for word in words {
            assert!(err.contains(word), "{args:?}: {word} in {err}");
        }
    }
    assert_eq!(std::fs::read_to_string(&file).expect("it is still there"), "precious");
}

/// Without an address it listens where DOCKER_HOST is told to look; options and addresses stand in any order.
///
/// # Panics
///
/// It does not.
pub fn addresses(binary: &Path) {
    // Someone who tries the daemon has one there already.
    if std::net::TcpStream::connect("localhost:4242").is_ok() {
        let (code, _, err) = run(binary, &[]);
        assert!(
            code == 1 && err.contains("tcp://localhost:4242") && err.contains("in use"),
            "{err}"
        );
    } else {
        let mut daemon = Daemon::start(binary, &[], 1);
        assert!(
            daemon.addresses.iter().all(|address| address.ends_with(":4242")),
            "{:?}",
            daemon.addresses
        );
        daemon.says("DOCKER_HOST=tcp://localhost:4242");
        let (head, body) = Client::connect(&daemon.addresses[0]).get("/containers/json");
        assert!(head.starts_with("HTTP/1.1 200 OK") && body == "[]\n", "{head}{body}");
        daemon.stop();
    }

    let folder = Folder::new();
    let unix = format!("unix://{}", folder.file("a.sock"));
    let args = ["tcp://127.0.0.1:0", "--backend", "simulator one", &unix, "-D", "tcp://0.0.0.0:0"];
    let mut daemon = Daemon::start(binary, &args, 3);
    for address in &daemon.addresses {
        let (_, body) = Client::connect(address).get("/containers/json");
        assert!(body.contains("\"/one\""), "{address}: {body}");
    }
    let warning = daemon.said();
    assert!(warning.contains("without encryption") && warning.contains("0.0.0.0"), "{warning}");
    daemon.stop();
}

/// A chain of backends, with words in quotes.
///
/// # Panics
///
/// It does not work.
pub fn backends(binary: &Path) {
    let args = ["--backend", "simulator 'web' \"db\"", "tcp://127.0.0.1:0"];
    let daemon = Daemon::start(binary, &args, 1);
    let mut client = Client::connect(&daemon.addresses[0]);
    let (_, body) = client.get("/containers/json?filters=%7B%22name%22%3A%5B%22web%22%5D%7D");
    assert!(body.contains("\"/web\"") && !body.contains("\"/db\""), "{body}");
    let (head, body) = client.get("/v1.41/containers/web/checkpoints");
    assert!(
        head.starts_with("HTTP/1.1 501 ")
            && body.contains("checkpoints")
            && body.contains("simulator")
    );
    daemon.stop();

    let args = ["--backend", "simulator --api-version 1.41", "tcp://127.0.0.1:0"];
    let daemon = Daemon::start(binary, &args, 1);
    let mut client = Client::connect(&daemon.addresses[0]);
    assert!(client.get("/_ping").0.contains("\r\nApi-Version: 1.41\r\n"));
    let (head, body) = client.get("/v1.42/info");
    assert!(
        head.starts_with("HTTP/1.1 400 ") && body.contains("Maximum supported API version is 1.41")
    );
    daemon.stop();
}
