//! Large contents give way to their hash and their length.
//!
//! What a client sends up and an engine sends back is often the same content, cut at other places: in chunks of HTTP, in
//! entries of tars. It gets the same stand-in both times, so that a replay sends one content and expects it back.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::generated::{Excerpt, Name};
use super::{Session, Side, What};

/// Shorter runs of bytes that are no text stay as they are.
const LARGE: usize = 16 * 1024;
/// So many bytes in a row that occur again are taken for the same content.
const ANCHOR: usize = 32;
/// Noise has hardly more text, and no more zeros, than chance gives it; programs and tars have.
const SAMPLE: usize = 256;

/// Where a content has been seen first: whole, although it may have come in chunks.
#[derive(Default)]
struct Contents {
    all: Vec<Vec<u8>>,
    /// Of each 32nd place: in which content, and where.
    anchors: HashMap<[u8; ANCHOR], (usize, usize)>,
}

/// What stands somewhere in a stream.
struct Found {
    content: usize,
    /// Where in the content it begins.
    offset: usize,
    /// Where in the stream.
    from: usize,
    to: usize,
}

impl Session {
    /// Puts a stand-in of the same length for each large content that has no structure: what is compressed, encrypted or
    /// random. Its name is the content's SHA-256. Programs, text and tars are left, since an engine has to be able to use them.
    ///
    /// Returns how many bytes have been replaced.
    pub fn replace_large(&mut self) -> usize {
        let connections: Vec<u32> = self.connections().collect();
        let streams: Vec<(u32, Side)> = [Side::Client, Side::Engine]
            .into_iter()
            .flat_map(|side| connections.iter().map(move |conn| (*conn, side)))
            .collect();
        let mut contents = Contents::default();
        for (conn, side) in &streams {
            contents.look_for_more(&self.stream(*conn, *side));
        }
        if contents.all.is_empty() {
            return 0;
        }
        let names: Vec<Name> =
            contents.all.iter().map(|bytes| Sha256::digest(bytes).into()).collect();
        let mut replaced = 0;
        for (conn, side) in streams {
            let mut stream = self.stream(conn, side);
            for found in contents.find(&stream) {
                let length = found.to - found.from;
                let name = names[found.content];
                let excerpt = Excerpt { name, from: found.offset as u64, length };
                if let Some(bytes) = excerpt.bytes() {
                    stream[found.from..found.to].copy_from_slice(&bytes);
                    replaced += length;
                }
            }
            self.put_back(conn, side, &stream);
        }
        replaced
    }

    fn put_back(&mut self, conn: u32, side: Side, stream: &[u8]) {
        let mut at = 0;
        for event in self.events.iter_mut().filter(|event| event.conn == conn) {
            if let What::Data(from, bytes) = &mut event.what
                && *from == side
            {
                let length = bytes.len();
                bytes.copy_from_slice(&stream[at..at + length]);
                at += length;
            }
        }
    }
}

impl Contents {
    fn look_for_more(&mut self, stream: &[u8]) {
        // The content that the last chunk was of, where only framing has come since.
        let (mut at, mut behind, mut open) = (0, false, None);
        while at < stream.len() {
            if let Some(length) = framing(&stream[at..]) {
                at += length;
                behind = true;
                continue;
            }
            let start = if behind { at } else { at + SAMPLE };
            let end = at + noise(&stream[at..]);
            if end < start + LARGE && !(open.is_some() && behind && end > start) {
                (at, behind, open) = (at + 1, false, None);
                continue;
            }
            // What is known may begin later in it, where it was cut before.
            if let Some(found) = (at..end).find_map(|at| self.around(stream, at)) {
                (at, behind, open) = (found.to, false, None);
                continue;
            }
            let content = open.unwrap_or(self.all.len());
            self.add(content, &stream[start..end]);
            (at, behind, open) = (end, false, Some(content));
        }
    }

    fn add(&mut self, content: usize, bytes: &[u8]) {
        if content == self.all.len() {
            self.all.push(Vec::new());
        }
        let all = &mut self.all[content];
        let before = all.len() / ANCHOR * ANCHOR;
        all.extend_from_slice(bytes);
        for (nth, anchor) in all[before..].chunks_exact(ANCHOR).enumerate() {
            let anchor = anchor.try_into().expect("it is as long");
            self.anchors.entry(anchor).or_insert((content, before + nth * ANCHOR));
        }
    }

    /// The contents, or parts of them, that stand in a stream.
    fn find(&self, stream: &[u8]) -> Vec<Found> {
        let mut all: Vec<Found> = Vec::new();
        let (mut at, mut behind) = (0, false);
        while at < stream.len() {
            if let Some(length) = framing(&stream[at..]) {
                at += length;
                behind = true;
                continue;
            }
            // A chunk may be too short to have an anchor.
            let next = all.last().filter(|_| behind).map(|last| {
                let offset = last.offset + (last.to - last.from);
                self.at(stream, at, last.content, offset)
            });
            let goes_on = next.filter(|next| next.to - next.from >= 4);
            behind = false;
            match goes_on.or_else(|| self.around(stream, at)) {
                Some(found) => {
                    at = found.to;
                    all.push(found);
                }
                None => at += 1,
            }
        }
        all
    }

    fn at(&self, stream: &[u8], at: usize, content: usize, offset: usize) -> Found {
        let rest = stream[at..].iter().zip(&self.all[content][offset..]);
        let same = rest.take_while(|(ours, theirs)| ours == theirs).count();
        Found { content, offset, from: at, to: at + same }
    }

    /// What is known of the place around `at`.
    fn around(&self, stream: &[u8], at: usize) -> Option<Found> {
        let &(content, offset) = self.anchors.get(stream[at..].first_chunk()?)?;
        let pairs = stream[..at].iter().rev().zip(self.all[content][..offset].iter().rev());
        let before = pairs.take_while(|(ours, theirs)| ours == theirs).count();
        Some(self.at(stream, at - before, content, offset - before))
    }
}

/// How many bytes at the start look like chance and hold no framing. Where they end in something else, as much as a sample
/// holds is left, since some of that may be in it.
fn noise(bytes: &[u8]) -> usize {
    let samples = bytes.chunks(SAMPLE).take_while(|sample| is_noise(sample)).count();
    let noise = &bytes[..samples * SAMPLE];
    let framed = (0..noise.len()).find(|at| framing(&bytes[*at..]).is_some());
    framed.unwrap_or(noise.len().saturating_sub(SAMPLE))
}

/// The length of what stands between two chunks of HTTP or before a frame of stdout, if `bytes` begin with that. By chance
/// they do once in 10¹¹ times.
fn framing(bytes: &[u8]) -> Option<usize> {
    // No engine's frames are longer than 64 KiB.
    if let [0..=2, 0, 0, 0, 0, 0 | 1, _, _, ..] = bytes {
        return Some(8);
    }
    let rest = bytes.strip_prefix(b"\r\n")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let is_size = (1..=8).contains(&digits) && rest[digits..].starts_with(b"\r\n");
    is_size.then_some(2 + digits + 2)
}

/// In 256 bytes of chance about 162 different ones occur, hardly ever fewer than 140 or one of them more than 10 times.
fn is_noise(sample: &[u8]) -> bool {
    let plain = |byte: &u8| *byte == 0 || byte.is_ascii_graphic() || *byte == b' ';
    // Most places are text or zeros, which the first bytes tell.
    if sample.len() < SAMPLE || sample[..32].iter().filter(|byte| plain(byte)).count() > 28 {
        return false;
    }
    let mut counts = [0_u16; 256];
    sample.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let different = counts.iter().filter(|count| **count > 0).count();
    different >= 140 && counts.iter().all(|count| *count <= 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::session::Event;

    fn session(chunks: &[(Side, &[u8])]) -> Session {
        let mut session = Session::default();
        session.events.push(Event { at: 0, conn: 1, what: What::Open });
        for (side, bytes) in chunks {
            let what = What::Data(*side, bytes.to_vec());
            session.events.push(Event { at: 0, conn: 1, what });
        }
        session
    }

    fn random(length: usize) -> Vec<u8> {
        let mut random = Random::new(7);
        (0..length).map(|_| random.bits() as u8).collect()
    }

    /// In chunks of HTTP.
    fn chunked(bytes: &[u8], size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for chunk in bytes.chunks(size) {
            out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            out.extend_from_slice(chunk);
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    fn unchunked(mut stream: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(end) = stream.windows(2).position(|pair| pair == b"\r\n") {
            let size = usize::from_str_radix(str::from_utf8(&stream[..end]).unwrap(), 16).unwrap();
            out.extend_from_slice(&stream[end + 2..end + 2 + size]);
            stream = &stream[end + 2 + size + 2..];
        }
        out
    }

    #[test]
    fn a_content_that_comes_back_stands_for_the_same() {
        let content = random(200_000);
        let (up, down) = (chunked(&content, 32 * 1024), chunked(&content, 20_011));
        let mut session = session(&[
            (Side::Client, &up[..50_000]),
            (Side::Client, &up[50_000..]),
            (Side::Engine, &down),
        ]);
        let replaced = session.replace_large();
        assert!(replaced > 2 * 180_000, "{replaced}");
        let (up, down) = (session.stream(1, Side::Client), session.stream(1, Side::Engine));
        let (up, down) = (unchunked(&up), unchunked(&down));
        assert_ne!(up, content);
        assert_eq!(up.len(), content.len());
        let differs = up.iter().zip(&down).position(|(up, down)| up != down);
        assert_eq!(differs, None);
        let text = session.to_string();
        assert!(text.len() < 60_000, "{}", text.len());
        assert_eq!(text.parse::<Session>(), Ok(session));
    }

    #[test]
    fn frames_of_stdout_stay() {
        let content = random(100_000);
        let mut stream = Vec::new();
        for piece in content.chunks(32 * 1024) {
            stream.extend_from_slice(&[1, 0, 0, 0]);
            stream.extend_from_slice(&u32::try_from(piece.len()).unwrap().to_be_bytes());
            stream.extend_from_slice(piece);
        }
        let head = b"POST /containers/x/attach HTTP/1.1\r\nHost: docker\r\n\r\n";
        let mut session =
            session(&[(Side::Client, head), (Side::Client, &content), (Side::Engine, &stream)]);
        assert!(session.replace_large() > 190_000);
        let sent = &session.stream(1, Side::Client)[head.len()..];
        let came = session.stream(1, Side::Engine);
        let mut at = 0;
        for (piece, was) in sent.chunks(32 * 1024).zip(stream.chunks(32 * 1024 + 8)) {
            assert_eq!(came[at..at + 8], was[..8]);
            assert_eq!(came[at + 8..at + 8 + piece.len()], *piece);
            at += 8 + piece.len();
        }
    }

    #[test]
    fn what_has_structure_stays() {
        let text = "{\"Id\":\"0123456789abcdef\"}\n".repeat(5000);
        let zeros = vec![0; 100_000];
        let program: Vec<u8> = (0..100_000_u32).flat_map(|at| (at % 977).to_le_bytes()).collect();
        let short = random(LARGE / 2);
        for bytes in [text.as_bytes(), &zeros, &program, &short] {
            let mut session = session(&[(Side::Client, bytes)]);
            assert_eq!(session.replace_large(), 0);
            assert_eq!(session.stream(1, Side::Client), bytes);
        }
    }
}
