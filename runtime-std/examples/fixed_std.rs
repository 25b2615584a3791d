//! The socket loop of `swarmd-std` without a node: each read is answered by the same bytes, whatever was asked. What
//! `swarmd-std` needs beyond this is what its node and the lock around it cost.
//!
//! ```sh
//! cargo run --release -p libswarm-std --example fixed_std -- 127.0.0.1:4243
//! ```

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// As long as swarmd's own answer to `GET /_ping`.
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Api-Version: 1.41\r\n\
    Ostype: linux\r\n\
    Server: Docker/20.10.24 (linux)\r\n\
    Docker-Experimental: false\r\n\
    Cache-Control: no-cache, no-store, must-revalidate\r\n\
    Pragma: no-cache\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Date: Sat, 01 Jan 2022 00:00:00 GMT\r\n\
    Content-Length: 2\r\n\r\n\
    OK";

const STACK: usize = 512 * 1024;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4243".into());
    for stream in TcpListener::bind(address)?.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        thread::Builder::new().stack_size(STACK).spawn(move || serve(&mut stream))?;
    }
    Ok(())
}

fn serve(stream: &mut TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(1..) = stream.read(&mut buffer) {
        if stream.write_all(REPLY).is_err() {
            return;
        }
    }
}
