//! The discovery RPC, whatever bytes a client sends and however they are cut.

use libswarm::rpc::{Client, Codec, Limits, Reply, Server, ServerEvent, Update};

use crate::script::Input;

/// What a server gave for some bytes.
#[derive(PartialEq, Debug)]
struct Seen {
    events: Vec<String>,
    out: Vec<u8>,
    error: Option<libswarm::rpc::Error>,
    unread: usize,
}

fn serve<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Seen {
    let mut limits = Limits::default();
    limits.message = 4096;
    let longest = limits.message + limits.http.head;
    let (mut server, mut unread) = (Server::new(limits), Vec::new());
    let mut seen = Seen { events: Vec::new(), out: Vec::new(), error: None, unread: 0 };
    for piece in pieces {
        unread.extend_from_slice(piece);
        while seen.error.is_none() {
            match server.receive(&unread, &mut seen.out) {
                Err(error) => seen.error = Some(error),
                Ok((taken, event)) => {
                    assert!(taken <= unread.len(), "it took more than there was");
                    unread.drain(..taken);
                    let Some(event) = event else { break };
                    seen.events.push(format!("{event:?}"));
                    if let ServerEvent::Call { call, args, .. } = event {
                        assert!(args.name.len() <= 4096 && args.address.len() <= 4096);
                        server.update(call, &Update::MARKER, &mut seen.out);
                        if !args.name.contains("keep") {
                            server.reply(call, Reply::Text(&args.address), &mut seen.out);
                        }
                    }
                }
            }
        }
        if seen.error.is_some() {
            unread.clear();
        }
        assert!(unread.len() <= longest + piece.len(), "{} bytes wait", unread.len());
    }
    seen.unread = unread.len();
    seen
}

/// Any bytes give a server the same calls and the same answers, whatever pieces they come in, or the same error; what waits is
/// bounded; and a client reads any bytes without harm.
///
/// # Panics
///
/// That is not so.
pub fn rpc(data: &[u8]) {
    let input = Input::new(data);
    for codec in [Codec::Gob, Codec::Json] {
        let head = format!("CONNECT /_goRPC_ HTTP/1.0\r\nAccept: {}\r\n\r\n", codec.media_type());
        let whole = serve([head.as_bytes(), input.wire].into_iter());
        let pieces = input.pieces();
        let cut = serve([head.as_bytes()].into_iter().chain(pieces.iter().copied()));
        assert_eq!(whole.events, cut.events);
        assert_eq!((whole.error, whole.out), (cut.error, cut.out));
        assert!(whole.error.is_some() || whole.unread == cut.unread);

        let mut client = Client::new(codec, Limits::default());
        let greeting = b"HTTP/1.0 200 Connected to Go RPC\n\n";
        let mut bytes = greeting.iter().chain(input.wire).copied().collect::<Vec<_>>();
        while let Ok((taken, Some(_))) = client.receive(&bytes) {
            bytes.drain(..taken);
        }
    }
}
