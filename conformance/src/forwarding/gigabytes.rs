//! Bodies that are larger than memory may be.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use crate::client::Client;
use crate::daemon::Daemon;

/// A piece of a body, of zeros.
const PIECE: usize = 256 * 1024;
/// The daemon's resident memory may grow by this, in KiB.
const GROWTH: u64 = 16 * 1024;

/// A body each way, of a known length and chunked, in constant memory: 256 MiB, or as many as `SWARM_MEBIBYTES` says.
///
/// # Panics
///
/// A byte is lost, or the daemon's memory grows.
pub fn gigabytes(binary: &Path) {
    let mebibytes = std::env::var("SWARM_MEBIBYTES").map_or(256, |text| {
        text.parse().unwrap_or_else(|_| panic!("SWARM_MEBIBYTES={text:?} is no number"))
    });
    let length: u64 = mebibytes << 20;
    for chunked in [false, true] {
        let engine = fake_engine(length, chunked);
        let backend = format!("forward tcp://{engine}");
        let daemon = Daemon::start(binary, &["--backend", &backend, "tcp://127.0.0.1:0"], 1);
        let address = &daemon.addresses[0];
        Client::connect(address).get("/_ping");
        let before = daemon.resident();
        let mut most = before;

        // As `docker load` does it.
        let mut load = Client::connect(address);
        let framing = framing(length, chunked);
        load.send(format!("POST /images/load?quiet=1 HTTP/1.1\r\nHost: x\r\n{framing}\r\n"));
        send_body(&mut load, length, chunked, || most = most.max(daemon.resident()));
        let (head, body) = load.answer();
        assert!(head.starts_with("HTTP/1.1 200 ") && body == length.to_string(), "{head}{body}");

        // As `docker save` does it.
        let mut save = Client::connect(address);
        save.send("GET /images/get?names=x HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(save.until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
        let read = read_body(&mut save, length, chunked, || most = most.max(daemon.resident()));
        assert_eq!(read, length);

        let grown = most - before;
        let form = if chunked { "chunked" } else { "of known length" };
        println!("{mebibytes} MiB each way, {form}: memory grew by {grown} KiB at most");
        assert!(grown < GROWTH, "the daemon's memory grew by {grown} KiB");
        daemon.stop();
    }
}

fn framing(length: u64, chunked: bool) -> String {
    if chunked {
        String::from("Transfer-Encoding: chunked\r\n")
    } else {
        format!("Content-Length: {length}\r\n")
    }
}

fn send_body(to: &mut impl Write, length: u64, chunked: bool, mut looked: impl FnMut()) {
    let piece = vec![0; PIECE];
    for number in 0..length / PIECE as u64 {
        if chunked {
            write!(to, "{PIECE:x}\r\n").expect("it is taken");
        }
        to.write_all(&piece).expect("it is taken");
        if chunked {
            to.write_all(b"\r\n").expect("it is taken");
        }
        if number % 64 == 0 {
            looked();
        }
    }
    if chunked {
        to.write_all(b"0\r\n\r\n").expect("it is taken");
    }
}

/// Reads a whole body; how many bytes it has, which have to be zeros.
fn read_body(from: &mut impl Read, length: u64, chunked: bool, mut looked: impl FnMut()) -> u64 {
    let mut piece = vec![1; PIECE];
    let (mut read, mut rounds) = (0, 0);
    loop {
        let mut left = if chunked { chunk(from) } else { length };
        let last = !chunked || left == 0;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            let got = from.read(&mut piece[..wanted]).expect("more comes");
            assert!(got > 0, "the body ends after {read} bytes");
            assert!(piece[..got].iter().all(|byte| *byte == 0), "another byte near {read}");
            read += got as u64;
            left -= got as u64;
            rounds += 1;
            if rounds % 256 == 0 {
                looked();
            }
        }
        if chunked {
            let mut end = [0; 2];
            from.read_exact(&mut end).expect("a chunk has an end");
            assert_eq!(&end, b"\r\n");
        }
        if last {
            return read;
        }
    }
}

/// The size of the next chunk.
fn chunk(from: &mut impl Read) -> u64 {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while !line.ends_with(b"\r\n") {
        from.read_exact(&mut byte).expect("a chunk has a size");
        line.push(byte[0]);
    }
    let line = std::str::from_utf8(&line).expect("a size is text").trim_end();
    u64::from_str_radix(line, 16).unwrap_or_else(|_| panic!("{line:?} is no size"))
}

/// An engine that answers a ping, an upload with the number of its bytes, and a download.
fn fake_engine(length: u64, chunked: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has one").to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("the daemon connects");
            // A connection may be used again.
            thread::spawn(move || while answer(&mut stream, length, chunked) {});
        }
    });
    address
}

/// Answers one request, if one comes.
fn answer(stream: &mut TcpStream, length: u64, chunked: bool) -> bool {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if !stream.read(&mut byte).is_ok_and(|got| got == 1) {
            return false;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    if head.starts_with("POST ") {
        let text = read_body(stream, length, chunked, || ()).to_string();
        let size = text.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{text}")
            .expect("it is taken");
    } else if head.starts_with("GET /images/") {
        let framing = framing(length, chunked);
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\n{framing}\r\n")
            .expect("it is taken");
        send_body(stream, length, chunked, || ());
    } else {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK").expect("it is taken");
    }
    true
}
