//! Credentials do not stay in a recording.

use super::{Session, Side, What};

/// Headers whose values are secret.
const HEADERS: [&str; 6] = [
    "x-registry-auth",
    "x-registry-config",
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
];
/// Members of JSON documents whose text is secret: those of a login, a registry's tokens, a swarm's.
const MEMBERS: [&str; 7] =
    ["password", "auth", "identitytoken", "registrytoken", "jointoken", "unlockkey", "accesstoken"];
/// A swarm's tokens say what they are.
const TOKEN: &[u8] = b"SWMTKN-";
/// `{}` in base64: what clients send that are not logged in.
const NOBODY: &[u8] = b"e30=";

impl Session {
    /// Replaces every byte of a credential by `*`, so that lengths and framing stay true: the headers that carry them,
    /// passwords and tokens in JSON documents, a swarm's tokens.
    pub fn redact(&mut self) {
        let conns: Vec<u32> = self.connections().collect();
        for conn in conns {
            for side in [Side::Client, Side::Engine] {
                // A value may be cut anywhere by the chunks.
                let mut stream = self.stream(conn, side);
                hide(&mut stream);
                let mut rest = stream.as_slice();
                for event in self.events.iter_mut().filter(|event| event.conn == conn) {
                    if let What::Data(from, data) = &mut event.what
                        && *from == side
                    {
                        let (now, later) = rest.split_at(data.len());
                        data.copy_from_slice(now);
                        rest = later;
                    }
                }
            }
        }
    }
}

fn hide(stream: &mut [u8]) {
    let mut at = 0;
    while at < stream.len() {
        let secret = match stream[at] {
            b'\n' => header(&stream[at + 1..]).map(|(start, end)| (at + 1 + start, at + 1 + end)),
            b'"' => member(&stream[at + 1..]).map(|(start, end)| (at + 1 + start, at + 1 + end)),
            b'S' if stream[at..].starts_with(TOKEN) => {
                let length = stream[at..]
                    .iter()
                    .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-')
                    .count();
                Some((at, at + length))
            }
            _ => None,
        };
        at += 1;
        if let Some((start, end)) = secret {
            stream[start..end].fill(b'*');
            at = end.max(at);
        }
    }
}

/// Where the value of a secret header line is.
fn header(line: &[u8]) -> Option<(usize, usize)> {
    let colon = line.iter().take(32).position(|byte| *byte == b':')?;
    HEADERS.iter().find(|name| line[..colon].eq_ignore_ascii_case(name.as_bytes()))?;
    let blank = line[colon + 1..].iter().take_while(|byte| **byte == b' ').count();
    let start = colon + 1 + blank;
    let length = line[start..].iter().take_while(|byte| !matches!(byte, b'\r' | b'\n')).count();
    (line[start..start + length] != *NOBODY).then_some((start, start + length))
}

/// Where the text of a secret member is; `rest` begins behind the quote of its name.
fn member(rest: &[u8]) -> Option<(usize, usize)> {
    let name = rest.iter().take(24).position(|byte| *byte == b'"')?;
    MEMBERS.iter().find(|known| rest[..name].eq_ignore_ascii_case(known.as_bytes()))?;
    let between = rest[name + 1..]
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace() || **byte == b':')
        .count();
    let start = name + 1 + between;
    if rest.get(start) != Some(&b'"') {
        return None;
    }
    let mut end = start + 1;
    while end < rest.len() && rest[end] != b'"' {
        end += if rest[end] == b'\\' { 2 } else { 1 };
    }
    Some((start + 1, end.min(rest.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Event;

    #[test]
    fn credentials_go_wherever_the_chunks_are_cut() {
        let said = b"POST /auth HTTP/1.1\r\nX-Registry-Auth: c2VjcmV0\r\nauthorization:Bearer secret\r\nX-Registry-Config: e30=\r\n\
            Host: docker\r\n\r\n{\"username\":\"me\",\"Password\": \"se\\\"cret\",\"identitytoken\":\"secret\",\"auth\":{\"x\":\"secreT\"},\
            \"x\":\"SWMTKN-1-secret\"} secreT";
        for cut in 0..=said.len() {
            let mut session = Session::default();
            session.events.push(Event { at: 0, conn: 1, what: What::Open });
            for piece in [&said[..cut], &said[cut..]] {
                if !piece.is_empty() {
                    let what = What::Data(Side::Client, piece.to_vec());
                    session.events.push(Event { at: 0, conn: 1, what });
                }
            }
            session.redact();
            let left = String::from_utf8(session.stream(1, Side::Client)).unwrap();
            assert_eq!(left.len(), said.len());
            assert!(
                !left.contains("secret") && !left.contains("c2Vj") && !left.contains("SWM"),
                "{left}"
            );
            assert!(
                left.contains("\"username\":\"me\",\"Password\": \"********\",")
                    && left.contains("Config: e30=\r\n"),
                "{left}"
            );
            assert!(
                left.contains("Auth: ********\r\nauthorization:*************\r\n")
                    && left.ends_with(" secreT")
            );
        }
    }
}
