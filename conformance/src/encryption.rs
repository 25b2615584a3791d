//! TLS of a daemon, as docker's commands and others speak it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libswarm::node::Config;
use rustix::process::Signal;

use crate::client::Client;
use crate::daemon::{Daemon, Folder, run};
use crate::faults::tls_engine;
use crate::keys::Keys;
use crate::live::dockers;
use crate::secured::Secured;
use crate::serving::{Run, served_with};

/// Makes the tests of TLS, for a runtime's `run` and the binary at that path.
#[macro_export]
macro_rules! encryption_tests {
    ($run:expr, $binary:expr) => {
        $crate::suites!(encryption, $run; slow_handshakes);
        $crate::suites!(encryption, std::path::Path::new($binary);
            docker_commands versions renewal wrong_files forwarded halves bodies refused_uploads);
    };
}

fn start(binary: &Path, options: &[String], backend: &str) -> Daemon {
    let mut args: Vec<&str> = options.iter().map(String::as_str).collect();
    args.extend(["--backend", backend, "tcp://127.0.0.1:0"]);
    Daemon::start(binary, &args, 1)
}

/// Runs a docker command; whether it succeeds, and what it says.
fn docker(binary: &Path, host: &str, options: &[String], args: &[&str]) -> (bool, String) {
    let config = Folder::new();
    let output = Command::new(binary)
        .args(["-H", host])
        .args(options)
        .args(args)
        .env("DOCKER_CONFIG", config.path())
        .env_remove("DOCKER_HOST")
        .env_remove("DOCKER_CONTEXT")
        .stdin(Stdio::null())
        .output()
        .expect("docker runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

const NAMES: [&str; 3] = ["ps", "--format", "{{.Names}}"];

/// docker's command with a certificate is served, without one or without TLS it is not, and is told so.
///
/// # Panics
///
/// It is otherwise.
pub fn docker_commands(binary: &Path) {
    let (Some(keys), Some(other)) = (Keys::new(), Keys::new()) else { return };
    let daemon = start(binary, &keys.options("server"), "simulator web");
    let tls_only: Vec<String> = keys
        .options("server")
        .into_iter()
        .map(|word| if word == "--tlsverify" { "--tls".to_owned() } else { word })
        .collect();
    let open = start(binary, &tls_only, "simulator web");
    for command in dockers() {
        let ask = |daemon: &Daemon, options: &[String]| {
            docker(&command, &daemon.addresses[0], options, &NAMES)
        };
        assert_eq!(ask(&daemon, &keys.options("client")), (true, "web\n".to_owned()));
        let ca = ["--tlsverify".to_owned(), "--tlscacert".to_owned(), keys.file("ca.pem")];
        let (success, said) = ask(&daemon, &ca);
        assert!(!success && said.contains("certificate"), "{said}");
        let (success, said) = ask(&daemon, &[]);
        assert!(!success && said.contains("HTTP request to an HTTPS server"), "{said}");

        assert_eq!(ask(&open, &ca), (true, "web\n".to_owned()));
        // It wants the file, but does not look whether it fits.
        let unverified = ["--tls".to_owned(), "--tlscacert".to_owned(), other.file("ca.pem")];
        assert_eq!(ask(&open, &unverified), (true, "web\n".to_owned()));
    }
    daemon.stop();
    open.stop();
}

/// TLS 1.2 and 1.3 are spoken, and nothing older.
///
/// # Panics
///
/// It is otherwise.
pub fn versions(binary: &Path) {
    let Some(keys) = Keys::new() else { return };
    let daemon = start(binary, &keys.options("server"), "simulator web");
    let address = daemon.addresses[0].trim_start_matches("tcp://");
    for (version, works) in [("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-ign_eof", version, "-connect", address])
            .args(["-verify_return_error", "-CAfile", &keys.file("ca.pem")])
            .args(["-cert", &keys.file("client.pem"), "-key", &keys.file("client-key.pem")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl runs");
        let request = "GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let mut stdin = client.stdin.take().expect("it is piped");
        // One that could not agree may have gone already.
        let _ = stdin.write_all(request.as_bytes());
        let output = client.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.contains("\r\n\r\nOK"), works, "{version}: {said}");
    }
    daemon.stop();
}

/// Certificates that were renewed on disk are used from SIGHUP on, connections that are open stay, and a broken file changes
/// nothing.
///
/// # Panics
///
/// It is otherwise.
pub fn renewal(binary: &Path) {
    let (Some(old), Some(new)) = (Keys::new(), Keys::new()) else { return };
    let folder = Folder::new();
    let names = ["ca.pem", "cert.pem", "key.pem"];
    let install = |keys: &Keys| {
        for name in names {
            let from = Path::new(&keys.folder("server")).join(name);
            fs::copy(from, folder.path().join(name)).expect("a file can be copied");
        }
    };
    install(&old);
    let mut command = Command::new(binary);
    command.args(["--tlsverify", "--backend", "simulator web", "tcp://127.0.0.1:0"]);
    let mut daemon = Daemon::start_command(command.env("DOCKER_CERT_PATH", folder.path()), 1);
    let address = daemon.addresses[0].clone();
    let mut events = Client::connect_tls(&address, old.tls("client"));
    events.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(events.until("\r\n\r\n").contains("chunked"));
    let mut idle = Client::connect_tls(&address, old.tls("client"));
    idle.get("/_ping");

    fs::write(folder.path().join("cert.pem"), "no certificate").expect("a file can be written");
    daemon.signal(Signal::HUP);
    daemon.says("the certificates that were read before stay in use");
    assert!(daemon.said().contains("cert.pem: holds no certificate"), "{}", daemon.said());
    assert_eq!(Client::connect_tls(&address, old.tls("client")).get("/_ping").1, "OK");

    install(&new);
    daemon.signal(Signal::HUP);
    daemon.says("the certificates are read again");
    assert_eq!(Client::connect_tls(&address, new.tls("client")).get("/_ping").1, "OK");
    let refused = Secured::connect(&address, old.tls("client"), Duration::from_secs(9));
    assert!(refused.is_err_and(|error| error.to_string().contains("UnknownIssuer")));
    for docker_command in dockers() {
        let (success, said) = docker(&docker_command, &address, &new.options("client"), &NAMES);
        assert!(success && said == "web\n", "{said}");
    }
    assert_eq!(idle.get("/_ping").1, "OK");
    drop(idle);
    events.half_close();
    assert_eq!(events.drain(), (b"0\r\n\r\n".to_vec(), true));
    drop(events);
    daemon.stop();
}

/// What is wrong with a file is said at start, with its name.
///
/// # Panics
///
/// It is not.
pub fn wrong_files(binary: &Path) {
    let Some(keys) = Keys::new() else { return };
    let (ca, cert, key) =
        (keys.file("ca.pem"), keys.file("server.pem"), keys.file("server-key.pem"));
    let other = keys.file("client-key.pem");
    let frontend = |ca: &str, cert: &str, key: &str| {
        let args = [
            "--tlsverify",
            "--tlscacert",
            ca,
            "--tlscert",
            cert,
            "--tlskey",
            key,
            "tcp://127.0.0.1:0",
        ];
        run(binary, &args)
    };
    let upstream = |ca: &str, cert: &str, key: &str| {
        let backend = format!(
            "forward --tlsverify --tlscacert {ca} --tlscert {cert} --tlskey {key} tcp://127.0.0.1:1"
        );
        run(binary, &["--backend", &backend, "tcp://127.0.0.1:0"])
    };
    for (ca, cert, key, words) in [
        ("/nosuch/ca.pem", &*cert, &*key, ["/nosuch/ca.pem", "No such file"]),
        (&*ca, "/nosuch/cert.pem", &*key, ["/nosuch/cert.pem", "--tlscert"]),
        (&*ca, &*cert, "/nosuch/key.pem", ["/nosuch/key.pem", "--tlskey"]),
        (&*ca, &*key, &*key, ["server-key.pem", "holds no certificate"]),
        (&*ca, &*cert, &*cert, ["server.pem", "holds no private key"]),
        (&*ca, &*cert, &*other, ["client-key.pem", "does not belong to the certificate"]),
    ] {
        for (code, _, said) in [frontend(ca, cert, key), upstream(ca, cert, key)] {
            assert_eq!(code, 1, "{said}");
            assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        }
    }
    let (code, _, said) = run(binary, &["--tlscert", &cert, "tcp://127.0.0.1:0"]);
    assert!(code == 2 && said.contains("--tlsverify"), "{said}");
}

/// One daemon before another, with TLS between them: named by options, by https, and by docker's variables.
///
/// # Panics
///
/// A request does not get through.
pub fn forwarded(binary: &Path) {
    let Some(keys) = Keys::new() else { return };
    let far = start(binary, &keys.options("server"), "simulator web");
    let address = &far.addresses[0];
    let https = address.replace("tcp://", "https://");
    let folder = keys.folder("client");
    let with = |backend: &str, variables: &[(&str, &str)]| {
        let mut command = Command::new(binary);
        command.args(["--backend", backend, "tcp://127.0.0.1:0"]);
        command.envs(variables.iter().copied());
        Daemon::start_command(&mut command, 1)
    };
    let options = keys.options("client").join(" ");
    let certificates = ("DOCKER_CERT_PATH", folder.as_str());
    for (backend, variables) in [
        (format!("forward {options} {address}"), &[][..]),
        (format!("forward {https}"), &[certificates][..]),
        (format!("forward --tls {address}"), &[certificates][..]),
        (
            String::from("forward"),
            &[certificates, ("DOCKER_HOST", address), ("DOCKER_TLS_VERIFY", "1")][..],
        ),
        (
            String::from("forward"),
            &[certificates, ("DOCKER_HOST", address), ("DOCKER_TLS", "1")][..],
        ),
    ] {
        let near = with(&backend, variables);
        for _ in 0..3 {
            let (head, body) = Client::connect(&near.addresses[0]).get("/_ping");
            assert!(head.starts_with("HTTP/1.1 200 ") && body == "OK", "{backend}: {head}{body}");
        }
        for command in dockers() {
            let (success, said) = docker(&command, &near.addresses[0], &[], &NAMES);
            assert!(success && said == "web\n", "{backend}: {said}");
        }
        near.stop();
    }
    far.stop();
}

/// Each half of a stream ends by itself, through two daemons with TLS between and before them.
///
/// # Panics
///
/// The end of one half takes the other with it, or does not come.
pub fn halves(binary: &Path) {
    let Some(keys) = Keys::new() else { return };
    let head = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    let engine = tls_engine(&keys, move |mut connection| {
        connection.until("\r\n\r\n");
        connection.send(head);
        connection.until("question");
        connection.send("first");
        let (rest, ended) = connection.drain();
        assert!(rest == b" and more" && ended);
        // Long after the end of the other half.
        thread::sleep(Duration::from_millis(50));
        connection.send("last");
        connection.half_close();
        assert_eq!(connection.drain(), (Vec::new(), true));
    });
    let options = keys.options("client").join(" ");
    let far = start(binary, &keys.options("server"), &format!("forward {options} {engine}"));
    let backend = format!("forward {options} {}", far.addresses[0]);
    let near = start(binary, &keys.options("server"), &backend);
    for _ in 0..10 {
        let mut client = Client::connect_tls(&near.addresses[0], keys.tls("client"));
        client.send("POST /containers/x/attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
        assert_eq!(client.until("\r\n\r\n"), head);
        client.send("question");
        client.until("first");
        client.send(" and more");
        client.half_close();
        assert_eq!(client.drain(), (b"last".to_vec(), true));
    }
    near.stop();
    far.stop();
}

/// Bodies of some size each way, in a bounded amount of memory, also when their reader takes a break.
///
/// # Panics
///
/// A byte is lost, or they are collected.
pub fn bodies(binary: &Path) {
    const SIZE: usize = 32 << 20;
    let Some(keys) = Keys::new() else { return };
    let engine = tls_engine(&keys, move |mut connection| {
        let head = connection.until("\r\n\r\n");
        if head.starts_with("POST ") {
            thread::sleep(Duration::from_millis(300));
            let mut body = vec![0; SIZE];
            connection.read_exact(&mut body).expect("all of it comes");
            assert!(body.iter().all(|byte| *byte == 7));
            connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nOK");
        } else {
            connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
            connection.send(vec![7; SIZE]);
        }
        let _ = connection.drain();
    });
    let options = keys.options("client").join(" ");
    let backend = format!("forward {options} {engine}");
    let daemon = start(binary, &keys.options("server"), &backend);
    let connect = || Client::connect_tls(&daemon.addresses[0], keys.tls("client"));
    connect();
    let before = daemon.resident();
    let mut client = connect();
    client.send(format!("POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n"));
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            client.send(vec![7; SIZE]);
            client.answer()
        });
        while !sending.is_finished() {
            let held = daemon.resident().saturating_sub(before);
            assert!(held < 8 * 1024, "{held} KiB are held of an upload");
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(sending.join().expect("it is sent").1, "OK");
    });
    drop(client);
    let mut client = connect();
    client.send("GET /images/x/get HTTP/1.1\r\nHost: x\r\n\r\n");
    thread::sleep(Duration::from_millis(500));
    let held = daemon.resident().saturating_sub(before);
    assert!(held < 8 * 1024, "{held} KiB are held for a reader that takes a break");
    let (_, body) = client.answer();
    assert!(body.len() == SIZE && body.bytes().all(|byte| byte == 7));
    drop(client);
    daemon.stop();
}

/// An engine that refuses an upload of which it has read nothing, and resets the connection: what it said is passed on.
///
/// # Panics
///
/// The client gets another answer.
pub fn refused_uploads(binary: &Path) {
    let Some(keys) = Keys::new() else { return };
    let engine = tls_engine(&keys, |mut connection| {
        connection.until("\r\n\r\n");
        // Until no more of it finds room on the way.
        thread::sleep(Duration::from_millis(100));
        connection.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
        connection.reset();
    });
    let options = keys.options("client").join(" ");
    let daemon = Daemon::start(
        binary,
        &["--backend", &format!("forward {options} {engine}"), "tcp://127.0.0.1:0"],
        1,
    );
    let address = daemon.addresses[0].trim_start_matches("tcp://");
    for _ in 0..20 {
        let upload = TcpStream::connect(address).expect("it listens");
        let mut client = Client::Tcp(upload.try_clone().expect("a descriptor"));
        client.send("POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n");
        let sending = thread::spawn(move || {
            let piece = vec![7; 64 * 1024];
            while (&upload).write_all(&piece).is_ok() {}
        });
        let head = client.until("\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
        drop(client);
        sending.join().expect("it ends");
    }
    daemon.stop();
}

/// A client that connects and does not agree on TLS is cut off in time; one that has agreed and is idle is not.
///
/// # Panics
///
/// It is otherwise.
pub fn slow_handshakes(run: Run) {
    let Some(keys) = Keys::new() else { return };
    let mut config = Config::default();
    config.head_timeout = Duration::from_millis(800);
    served_with(run, config, Some(keys.tls("server")), |address| {
        let idle_since = Instant::now();
        let mut idle = Client::connect_tls(address, keys.tls("client"));
        let mut silent = Client::connect(address);
        let mut slow = Client::connect(address);
        let start = Instant::now();
        for byte in [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3].iter().cycle().take(100) {
            if slow.write_all(&[*byte]).is_err() || start.elapsed() > Duration::from_secs(3) {
                break;
            }
            thread::sleep(Duration::from_millis(25));
        }
        silent.drain();
        slow.drain();
        assert!(start.elapsed() >= Duration::from_millis(700), "{:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
        assert!(idle_since.elapsed() > Duration::from_millis(800));
        assert_eq!(idle.get("/_ping").1, "OK");
    });
}
