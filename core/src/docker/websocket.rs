//! The server's half of a WebSocket's handshake (RFC 6455, section 4.2), for `GET /containers/{id}/attach/ws`.

use alloc::format;
use alloc::string::String;
use sha1::{Digest, Sha1};

use super::reply::base64;
use crate::http1::RequestHead;

/// What is added to a client's key before it is hashed (section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The whole head of the answer, and whether the connection speaks frames behind it; where it does not, the answer says why
/// in the words of dockerd 20.10, which ends the connection then.
pub(super) fn handshake(head: &RequestHead) -> (String, bool) {
    let header = |name| core::str::from_utf8(head.header(name).unwrap_or_default()).unwrap_or("");
    let refused = |headers: &str, words: &str| {
        (format!("HTTP/1.1 400 Bad Request\r\n{headers}\r\n{words}"), false)
    };
    if !header("upgrade").eq_ignore_ascii_case("websocket") {
        return refused("", "not websocket protocol");
    }
    let key = header("sec-websocket-key").trim();
    if key.is_empty() {
        return refused("", "mismatch challenge/response");
    }
    if header("sec-websocket-version").trim() != "13" {
        return refused("Sec-WebSocket-Version: 13\r\n", "missing or bad WebSocket Version");
    }
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \
         {}\r\n\r\n",
        base64(&digest)
    );
    (head, true)
}

#[cfg(test)]
mod tests {
    use super::handshake;
    use crate::http1::{Limits, Server, ServerEvent};
    use alloc::format;
    use alloc::string::String;

    fn answered(headers: &str) -> (String, bool) {
        let request = format!("GET /containers/x/attach/ws HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let mut server = Server::new(Limits::default());
        let Ok((_, Some(ServerEvent::Request(head)))) = server.receive(request.as_bytes()) else {
            panic!("{request}")
        };
        handshake(&head)
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let headers = "Upgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: \
                       dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
        let (head, switched) = answered(headers);
        assert_eq!(
            head,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        );
        assert!(switched);
    }

    #[test]
    fn refusals_are_those_of_dockerd() {
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
        for (headers, answer) in [
            ("", "\r\nnot websocket protocol"),
            ("Sec-WebSocket-Version: 13\r\n", "\r\nmismatch challenge/response"),
            (
                "Sec-WebSocket-Key: x\r\n",
                "Sec-WebSocket-Version: 13\r\n\r\nmissing or bad WebSocket Version",
            ),
        ] {
            let headers =
                if headers.is_empty() { "".into() } else { format!("{upgrade}{headers}") };
            let answer = format!("HTTP/1.1 400 Bad Request\r\n{answer}");
            assert_eq!(answered(&headers), (answer, false));
        }
    }
}
