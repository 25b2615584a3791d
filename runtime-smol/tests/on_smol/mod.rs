//! The client for smol, against the `discoverd` at a path; both runtimes' tests run it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use libswarm_conformance::daemon::{Daemon, Folder};
use libswarm_conformance::loopback::free_address;
use libswarm_smol::discovery::{Balance, Change, Check, Client, Config};
use smol::io::AsyncWriteExt;
use smol::stream::{Stream, StreamExt};

fn start(binary: &Path, folder: &Folder) -> (Daemon, String) {
    let mut command = std::process::Command::new(binary);
    let data = folder.file("data");
    command.args(["-bind", "127.0.0.1:0", "-data-dir", &data, "--ttl", "2s"]);
    let daemon = Daemon::start_command(command.env("EXTERNAL_IP", "127.0.0.1"), 1);
    let server = daemon.addresses[0].replace("discoverd://", "");
    (daemon, server)
}

async fn word(changes: &mut (impl Stream<Item = Change> + Unpin)) -> String {
    match changes.next().await {
        Some(Change::Came(member)) => format!("+{}", member.address),
        Some(Change::Changed(member)) => format!("~{}", member.address),
        Some(Change::Gone(member)) => format!("-{}", member.address),
        Some(Change::Current) => "=".to_owned(),
        None => "end".to_owned(),
    }
}

pub(crate) fn finds_services(binary: &Path) {
    let folder = Folder::new();
    let (daemon, server) = start(binary, &folder);
    smol::block_on(async {
        let mut config = Config::default();
        config.servers = vec!["127.0.0.1:1".into(), server.clone()];
        config.heartbeat = Duration::from_millis(800);
        let client = Client::with(config).await.unwrap();
        let web = client.service("web").await.unwrap();
        let mut watch = web.watch();
        assert_eq!(word(&mut watch).await, "=");
        let first = client.register("web", ":80", [("zone", "a")]).await.unwrap();
        assert_eq!(word(&mut watch).await, "+127.0.0.1:80");
        let (second, others) = client.register_with_set("web", "b:80", []).await.unwrap();
        assert_eq!(word(&mut watch).await, "+b:80");
        assert_eq!(others.instances().len(), 1);
        assert_eq!(web.select([("zone", "a")])[0].address, first.address());
        // Heartbeats keep them.
        smol::Timer::after(Duration::from_millis(2_500)).await;
        assert_eq!(web.instances().len(), 2);
        let mut leaders = web.leaders();
        assert_eq!(leaders.next().await.unwrap().address, "127.0.0.1:80");
        first.set_attributes([("zone", "b")]);
        assert_eq!(word(&mut watch).await, "~127.0.0.1:80");
        drop(first);
        assert_eq!(word(&mut watch).await, "-127.0.0.1:80");
        assert_eq!(leaders.next().await.unwrap().address, "b:80");
        let standby = client.register_and_standby("web", "c:80", []).await.unwrap();
        second.close().await;
        let leads = standby.wait().await.unwrap();
        assert_eq!(leads.address(), "c:80");
        let error = client.register("a/b", "a:80", []).await.unwrap_err().to_string();
        assert!(error.starts_with("discoverd: Name \"a/b\" holds"), "{error}");
        client.close().await;
        let other = Client::connect([server]).await.unwrap();
        assert!(other.service("web").await.unwrap().instances().is_empty());
        let nobody = Client::connect(["127.0.0.1:1"]).await.unwrap_err().to_string();
        assert!(nobody.starts_with("no discoverd at 127.0.0.1:1: "), "{nobody}");
    });
    daemon.stop();
}

pub(crate) fn dials_who_is_healthy(binary: &Path) {
    let folder = Folder::new();
    let (daemon, server) = start(binary, &folder);
    smol::block_on(async {
        let client = Client::connect([server]).await.unwrap();
        let dialer = client.dialer(Balance::Random);
        let error = dialer.dial("web").await.unwrap_err().to_string();
        assert_eq!(error, "no instance of \"web\" is registered");
        let address = free_address().to_string();
        let listener = TcpListener::bind(&address).unwrap();
        let serves = std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut request = [0; 512];
                let length = stream.read(&mut request).unwrap_or(0);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                if request.starts_with(b"stop") && length > 0 {
                    return;
                }
            }
        });
        let mut watch = client.service("web").await.unwrap().changes();
        let mut check = Check::http("/");
        check.interval = Duration::from_millis(50);
        let checked = client.register_checked("web", &address, [], check);
        assert_eq!(word(&mut watch).await, format!("+{address}"));
        let stream = dialer.dial("web").await.unwrap();
        assert_eq!(stream.get_ref().peer_addr().unwrap().to_string(), address);
        let mut stream = stream;
        stream.write_all(b"stop").await.unwrap();
        serves.join().unwrap();
        assert_eq!(word(&mut watch).await, format!("-{address}"));
        assert!(!checked.is_healthy());
        client.close().await;
    });
    daemon.stop();
}
