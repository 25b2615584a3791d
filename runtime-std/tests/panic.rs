//! A backend that panics ends the run, also when nobody else is there to notice.

use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use libswarm::JobId;
use libswarm::backend::Registry;
use libswarm::job::{Backend, Cx, Event};
use libswarm_host::{ServerBuilder, stopper};

struct Panics;

impl Backend for Panics {
    fn handle(&mut self, _: &mut Cx<'_>, _: JobId, _: Event<'_>) {
        panic!("as this test wants it");
    }
}

#[test]
fn a_panic_for_a_lone_client_ends_the_run() {
    let mut registry = Registry::empty();
    registry.add("panics", "", "panics", |_| Ok(Box::new(Panics)));
    let (_stopper, stopped) = stopper().unwrap();
    let server = ServerBuilder::new(registry)
        .listen("tcp://127.0.0.1:0".parse().unwrap())
        .backend("panics")
        .build(stopped)
        .unwrap();
    let address = server.listeners[0].address().to_string();
    let (send, ended) = channel();
    thread::spawn(move || send.send(libswarm_std::run(server)));
    let mut client = TcpStream::connect(address.trim_start_matches("tcp://")).unwrap();
    // When the run's own thread has nothing more to do until it is called.
    thread::sleep(Duration::from_millis(100));
    client.write_all(b"GET /info HTTP/1.1\r\nHost:\r\n\r\n").unwrap();
    let result = ended.recv_timeout(Duration::from_secs(10)).expect("it ends");
    assert_eq!(result.unwrap_err().to_string(), "a backend panicked");
}
