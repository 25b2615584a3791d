//! What was said on a connection, taken apart after the fact.
//!
//! This reads recordings, whole and leniently, and shares no code with the machines of `libswarm`, which it is held against.

use std::ops::Range;

/// A request and what was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// What the client asked.
    pub request: Message,
    /// Heads that came before the final one, as 100 Continue.
    pub informational: Vec<Message>,
    /// The answer, as far as it came.
    pub response: Option<Message>,
}

/// A head and what belongs to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// The first line, without its end.
    pub start: String,
    /// In their order, the values without blanks around them.
    pub headers: Vec<(String, String)>,
    /// Where the whole message is in its stream; a raw stream reaches to the end.
    pub span: Range<usize>,
    /// Where its body begins.
    pub head_end: usize,
    /// How the body is delimited.
    pub form: Form,
    /// The body, without framing; behind it whatever a hijacked connection carried.
    pub body: Vec<u8>,
    /// Where the pieces of the body are in the stream.
    pub pieces: Vec<Range<usize>>,
    /// Whether its end came, where it has one of its own.
    pub complete: bool,
}

/// How a body is delimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// There is none.
    Empty,
    /// By a Content-Length.
    Length,
    /// By chunks.
    Chunked,
    /// By the end of the connection.
    Close,
    /// The connection left HTTP: a raw stream.
    Raw,
}

impl Message {
    /// The value of that header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Of a response: its status, or 0.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// Of a request: its method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// How much of the body is there once that much of the stream is.
    #[must_use]
    pub fn body_until(&self, stream: usize) -> usize {
        self.pieces.iter().map(|piece| stream.min(piece.end).saturating_sub(piece.start)).sum()
    }
}

/// The exchanges on a connection, of which both sides' bytes are given. What is no HTTP ends the list.
#[must_use]
pub fn exchanges(client: &[u8], engine: &[u8]) -> Vec<Exchange> {
    let (mut asked, mut answered) = (0, 0);
    let mut all = Vec::new();
    while let Some(mut request) = head(client, asked) {
        let form = framing(&request).unwrap_or(Form::Empty);
        body(&mut request, client, form);
        asked = request.span.end;
        let mut informational = Vec::new();
        let mut response = None;
        while let Some(mut message) = head(engine, answered) {
            let form = response_form(&request, &message);
            body(&mut message, engine, form);
            answered = message.span.end;
            if message.status() / 100 == 1 && message.status() != 101 {
                informational.push(message);
                continue;
            }
            if form == Form::Raw {
                request.pieces.push(asked..client.len());
                request.body.extend_from_slice(&client[asked..]);
                request.span.end = client.len();
            }
            response = Some(message);
            break;
        }
        let last = response.as_ref().is_none_or(|message| message.form == Form::Raw);
        all.push(Exchange { request, informational, response });
        if last && asked >= client.len()
            || all.last().is_some_and(|one| one.request.span.end == client.len())
        {
            break;
        }
    }
    all
}

fn head(stream: &[u8], start: usize) -> Option<Message> {
    let rest = &stream[start..];
    let length = rest.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&rest[..length - 4]).into_owned();
    let mut lines = text.split("\r\n");
    let first = lines.next().filter(|line| line.contains("HTTP/1."))?.to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Some(Message {
        start: first,
        headers,
        span: start..start + length,
        head_end: start + length,
        form: Form::Empty,
        body: Vec::new(),
        pieces: Vec::new(),
        complete: true,
    })
}

fn framing(message: &Message) -> Option<Form> {
    if message
        .header("transfer-encoding")
        .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    {
        return Some(Form::Chunked);
    }
    message.header("content-length").map(|_| Form::Length)
}

fn response_form(request: &Message, response: &Message) -> Form {
    match response.status() {
        101 => Form::Raw,
        100..200 | 204 | 304 => Form::Empty,
        _ if request.method() == "HEAD" => Form::Empty,
        status => framing(response).unwrap_or_else(|| {
            let raw =
                response.header("content-type").is_some_and(|value| value.ends_with("-stream"));
            if status == 200 && request.method() == "POST" && raw { Form::Raw } else { Form::Close }
        }),
    }
}

fn body(message: &mut Message, stream: &[u8], form: Form) {
    message.form = form;
    let start = message.head_end;
    let end = match form {
        Form::Empty => start,
        Form::Raw | Form::Close => stream.len(),
        Form::Length => {
            let length = message.header("content-length").and_then(|value| value.parse().ok());
            start.saturating_add(length.unwrap_or(0))
        }
        Form::Chunked => return chunks(message, stream),
    };
    message.complete = end <= stream.len();
    message.span.end = end.min(stream.len());
    if form != Form::Empty {
        message.pieces.push(start..message.span.end);
        message.body.extend_from_slice(&stream[start..message.span.end]);
    }
}

fn chunks(message: &mut Message, stream: &[u8]) {
    let mut at = message.head_end;
    message.complete = false;
    while let Some(line) = stream[at..].windows(2).position(|window| window == b"\r\n") {
        let size = String::from_utf8_lossy(&stream[at..at + line]);
        let size =
            size.split(';').next().and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        at += line + 2;
        match size {
            Some(0) => {
                // Trailers, if any, end with a blank line.
                let rest = &stream[at..];
                let end = if rest.starts_with(b"\r\n") {
                    Some(2)
                } else {
                    rest.windows(4).position(|window| window == b"\r\n\r\n").map(|end| end + 4)
                };
                message.complete = end.is_some();
                at += end.unwrap_or(rest.len());
                break;
            }
            Some(size) if size <= stream.len() - at => {
                message.pieces.push(at..at + size);
                message.body.extend_from_slice(&stream[at..at + size]);
                at = (at + size + 2).min(stream.len());
            }
            _ => {
                message.pieces.push(at..stream.len());
                message.body.extend_from_slice(&stream[at..]);
                at = stream.len();
                break;
            }
        }
    }
    message.span.end = if message.complete { at } else { stream.len() };
}

/// A frame of a multiplexed stream (API 1.41, "Attach to a container", stream format): where it is, which stream it belongs
/// to (0 stdin, 1 stdout, 2 stderr), and where its bytes are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// 0, 1 or 2.
    pub stream: u8,
    /// Its bytes, without the eight of its head.
    pub data: Range<usize>,
}

/// The frames of a body if it is multiplexed to its last byte.
#[must_use]
pub fn frames(body: &[u8]) -> Option<Vec<Frame>> {
    let (mut at, mut all) = (0, Vec::new());
    while at < body.len() {
        let head: &[u8; 8] = body[at..].first_chunk()?;
        let [stream @ 0..=2, 0, 0, 0, size @ ..] = *head else { return None };
        let size = usize::try_from(u32::from_be_bytes(size)).ok()?;
        let data = at + 8..(at + 8).checked_add(size)?;
        at = data.end;
        if at > body.len() {
            return None;
        }
        all.push(Frame { stream, data });
    }
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_taken_apart() {
        let client = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nPUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n\
            POST /c HTTP/1.1\r\nContent-Length: 2\r\nUpgrade: tcp\r\n\r\n{}raw";
        let engine = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOKHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\
            HTTP/1.1 101 UPGRADED\r\n\r\n\x01\0\0\0\0\0\0\x02hi";
        let all = exchanges(client, engine);
        assert_eq!(all.len(), 3);
        assert_eq!(
            all[0].response.as_ref().map(|message| message.body.as_slice()),
            Some(&b"OK"[..])
        );
        assert_eq!((all[1].request.body.as_slice(), all[1].informational.len()), (&b"abcd"[..], 1));
        assert_eq!(all[1].response.as_ref().map(Message::status), Some(204));
        assert_eq!(all[2].request.body, b"{}raw");
        let raw = all[2].response.as_ref().unwrap();
        assert_eq!(frames(&raw.body), Some(vec![Frame { stream: 1, data: 8..10 }]));
        assert_eq!(raw.body_until(raw.head_end + 3), 3);
        assert_eq!(all[1].request.body_until(all[1].request.span.end), 4);
    }

    #[test]
    fn what_ends_early_is_not_complete() {
        let head = "HTTP/1.1 200 OK\r\n";
        for (rest, form, body, complete) in [
            ("Content-Length: 5\r\n\r\nabc", Form::Length, "abc", false),
            ("Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", Form::Chunked, "ab", false),
            ("Transfer-Encoding: chunked\r\n\r\n5\r\nab", Form::Chunked, "ab", false),
            ("Transfer-Encoding: chunked\r\n\r\n0\r\n", Form::Chunked, "", false),
            ("\r\nab", Form::Close, "ab", true),
        ] {
            let all = exchanges(b"GET / HTTP/1.1\r\n\r\n", format!("{head}{rest}").as_bytes());
            let got = all[0].response.clone().unwrap();
            assert_eq!(
                (got.form, got.body.as_slice(), got.complete),
                (form, body.as_bytes(), complete),
                "{rest}"
            );
        }
        assert!(exchanges(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"").is_empty());
        assert_eq!(frames(b"\x01\0\0\0\0\0\0\x05hi"), None);
        assert_eq!(frames(b"plain text"), None);
    }
}
