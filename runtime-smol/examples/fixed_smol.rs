//! The socket loop of `swarmd` without a node: each read is answered by the same bytes, whatever was asked. What `swarmd`
//! needs beyond this is what its node costs.
//!
//! ```sh
//! cargo run --release -p libswarm-smol --example fixed_smol -- 127.0.0.1:4243
//! ```

use std::hint;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::event::epoll::EventFlags;

#[path = "../src/epoll.rs"]
#[allow(dead_code, reason = "the driver uses more of it")]
mod epoll;

use epoll::{BATCH, Epoll, Events, LOOKS, PAUSE};

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

const LISTENER: u64 = u64::MAX;
const WATCH: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4243".into());
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    serve(&listener)
}

fn serve(listener: &TcpListener) -> io::Result<()> {
    let epoll = Epoll::new()?;
    epoll.add(listener, LISTENER, EventFlags::IN)?;
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut room: Events = [const { MaybeUninit::uninit() }; BATCH];
    let mut looks = 0;
    loop {
        let events = epoll.take(&mut room, (looks > 0).then_some(Duration::ZERO))?;
        if events.len() > 1 {
            looks = LOOKS;
        } else if events.is_empty() && looks > 0 {
            looks -= 1;
            (0..PAUSE).for_each(|_| hint::spin_loop());
        }
        for event in events.iter() {
            match event.data.u64() {
                LISTENER => {
                    while let Ok((stream, _)) = listener.accept() {
                        stream.set_nonblocking(true)?;
                        stream.set_nodelay(true)?;
                        epoll.add(&stream, streams.len() as u64, WATCH)?;
                        streams.push(Some(stream));
                    }
                }
                token => {
                    let place = &mut streams[token as usize];
                    if let Some(stream) = place
                        && !answer(stream, &mut buffer)
                    {
                        *place = None;
                    }
                }
            }
        }
    }
}

/// Returns whether the connection is still of use.
fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    match stream.read(buffer) {
        Ok(0) => false,
        Ok(_) => stream.write_all(REPLY).is_ok(),
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}
