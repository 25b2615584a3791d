//! Where a message ends, found in the plainest way: all of it at once, without states. A second opinion on what the
//! core has accepted, not a judge of what is malformed.

/// The blank lines, the head and the body of the request at the start of `bytes`.
pub(crate) struct Extent {
    pub(crate) head: usize,
    pub(crate) body: usize,
}

/// The extent of the request at the start of `bytes`, which the core has accepted.
pub(crate) fn request(bytes: &[u8]) -> Option<Extent> {
    let mut start = 0;
    while bytes[start..].starts_with(b"\r\n") {
        start += 2;
    }
    let head = start + find(&bytes[start..], b"\r\n\r\n")? + 4;
    let body = match field(&bytes[start..head], "transfer-encoding") {
        Some(_) => chunked(&bytes[head..])?,
        None => field(&bytes[start..head], "content-length")
            .map_or(Some(0), |length| length.parse().ok())?,
    };
    (bytes.len() - head >= body).then_some(Extent { head, body })
}

/// The first field of that name in a head.
pub(crate) fn field(head: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    text.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// The length of a body in chunks, its trailers included.
fn chunked(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        let text = std::str::from_utf8(&bytes[at..at + line]).unwrap_or_else(|_| {
            let end = bytes[at..].iter().position(|byte| *byte == b';').unwrap_or(0);
            std::str::from_utf8(&bytes[at..at + end]).unwrap_or_default()
        });
        let size = text.split(';').next().unwrap_or_default().trim_end();
        let size = usize::from_str_radix(size, 16).ok()?;
        at += line + 2;
        if size == 0 {
            break;
        }
        at = at.checked_add(size)?.checked_add(2)?;
        if at > bytes.len() {
            return None;
        }
    }
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        at += line + 2;
        if line == 0 {
            return Some(at);
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
