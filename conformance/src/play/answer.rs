//! One answer, held against the recorded one: status, headers, framing, and the body by what it is.

use std::collections::BTreeMap;

use serde_json::Value;

use super::bind::Names;
use super::free;
use super::json::{self, documents, without_label};
use super::render::path;
use crate::wire::{Exchange, Form, Frame, Message};

/// What a body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// One JSON document, or several one behind the other.
    Json,
    /// The multiplexed stdout and stderr of a process.
    Frames,
    /// A tar.
    Tar,
    /// Anything else.
    Bytes,
}

/// What the body of a recorded answer is.
#[must_use]
pub(super) fn kind(recorded: &Message) -> Kind {
    let of = recorded.header("content-type").unwrap_or_default();
    if of.starts_with("application/json") || is_documents(&recorded.body) {
        Kind::Json
    } else if of.contains("tar") || is_tar(&recorded.body) {
        Kind::Tar
    } else if !all_frames(&recorded.body).is_empty() {
        Kind::Frames
    } else {
        Kind::Bytes
    }
}

/// Old engines do not always say that something is JSON.
fn is_documents(body: &[u8]) -> bool {
    body.starts_with(b"{") && documents(body).is_some_and(|all| !all.is_empty())
}

fn is_tar(body: &[u8]) -> bool {
    body.get(257..262) == Some(b"ustar")
}

/// All whole frames, and the last one as far as it is there.
fn all_frames(body: &[u8]) -> Vec<Frame> {
    let (mut at, mut all) = (0, Vec::new());
    while let Some(head) = body.get(at..at + 8) {
        let [stream @ 0..=2, 0, 0, 0, size @ ..] = head else { return Vec::new() };
        let size = size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
        let data = at + 8..(at + 8).saturating_add(size).min(body.len());
        at = (at + 8).saturating_add(size);
        all.push(Frame { stream: *stream, data });
    }
    all
}

/// What each stream carried.
fn streams(body: &[u8]) -> [Vec<u8>; 3] {
    let mut streams = [const { Vec::new() }; 3];
    for frame in all_frames(body) {
        streams[usize::from(frame.stream)].extend_from_slice(&body[frame.data]);
    }
    streams
}

/// How far an answer has come, in what a client counts.
#[must_use]
pub(super) fn reach(kind: Kind, body: &[u8]) -> [usize; 3] {
    match kind {
        Kind::Json => [documents(body).map_or(0, |all| all.len()), 0, 0],
        Kind::Frames => streams(body).map(|stream| stream.len()),
        Kind::Tar => [0; 3],
        Kind::Bytes => [body.len(), 0, 0],
    }
}

/// Method and path, as the list of what is free names them.
#[must_use]
pub fn route(request: &Message) -> String {
    format!("{} {}", request.method(), path(request))
}

fn headers(message: &Message) -> BTreeMap<String, &str> {
    message
        .headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.as_str()))
        .filter(|(name, _)| free::HEADERS.iter().all(|(free, _)| free != name))
        .collect()
}

/// What a client can tell of the framing.
const fn framing(form: Form) -> &'static str {
    match form {
        Form::Empty => "no body",
        Form::Length | Form::Chunked => "a body with an end of its own",
        Form::Close => "a body that the connection's end ends",
        Form::Raw => "a raw stream",
    }
}

/// Compares what came with what was recorded.
pub(super) fn same(names: &mut Names, recorded: &Exchange, came: &Exchange) -> Result<(), String> {
    let (ours, theirs) = (recorded.informational.len(), came.informational.len());
    if ours != theirs {
        return Err(format!(
            "heads before the answer (100 Continue): recorded {ours}, got {theirs}"
        ));
    }
    let (ours, theirs) = match (&recorded.response, &came.response) {
        (Some(ours), Some(theirs)) => (ours, theirs),
        (Some(ours), None) => return Err(format!("recorded {:?}, got no answer", ours.start)),
        (None, _) => return Ok(()),
    };
    if ours.status() != theirs.status() {
        let said = String::from_utf8_lossy(&theirs.body).chars().take(200).collect::<String>();
        return Err(format!(
            "recorded {:?}, got {:?} {}",
            ours.start,
            theirs.start,
            said.trim_end()
        ));
    }
    if framing(ours.form) != framing(theirs.form) {
        return Err(format!("recorded {}, got {}", framing(ours.form), framing(theirs.form)));
    }
    if ours.complete && !theirs.complete {
        return Err("the answer breaks off".to_owned());
    }
    same_headers(names, ours, theirs)?;
    let route = route(&recorded.request);
    body(names, &route, ours, theirs)
}

fn same_headers(names: &mut Names, ours: &Message, theirs: &Message) -> Result<(), String> {
    let came = headers(theirs);
    for (name, value) in headers(ours) {
        let Some(other) = came.get(&name) else {
            return Err(format!("header {name}: recorded {value:?}, got none"));
        };
        let equal = match name.as_str() {
            "x-docker-container-path-stat" => path_stat(value) == path_stat(other),
            _ => names.same_text(value, other),
        };
        if !equal {
            return Err(format!("header {name}: recorded {value:?}, got {other:?}"));
        }
    }
    Ok(())
}

/// What stands in the header, without what is the file system's: times, and the size of a directory.
fn path_stat(value: &str) -> Option<Value> {
    let mut stat: Value = serde_json::from_slice(&base64(value)?).ok()?;
    let members = stat.as_object_mut()?;
    members.remove("mtime");
    let directory = members.get("mode")?.as_u64()? >> 31 & 1 == 1;
    if directory {
        members.remove("size");
    }
    Some(stat)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut held, mut out) = (0_u32, 0, Vec::new());
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(out)
}

fn body(names: &mut Names, route: &str, ours: &Message, theirs: &Message) -> Result<(), String> {
    match kind(ours) {
        Kind::Json => return json_bodies(names, route, ours, theirs),
        Kind::Frames => {
            let (one, other) = (streams(&ours.body), streams(&theirs.body));
            for (nth, name) in ["stdin", "stdout", "stderr"].into_iter().enumerate() {
                text(names, name, &one[nth], &other[nth], ours.complete)?;
            }
        }
        Kind::Tar => return tars(names, &ours.body, &theirs.body, ours.complete),
        Kind::Bytes => text(names, "the body", &ours.body, &theirs.body, ours.complete)?,
    }
    Ok(())
}

/// Text of a process: the same but for names. Of what the client left before its end, as much as both have.
fn text(
    names: &mut Names,
    what: &str,
    ours: &[u8],
    theirs: &[u8],
    whole: bool,
) -> Result<(), String> {
    let shared = if whole { usize::MAX } else { ours.len().min(theirs.len()) };
    let (ours, theirs) = (&ours[..shared.min(ours.len())], &theirs[..shared.min(theirs.len())]);
    let equal = match (std::str::from_utf8(ours), std::str::from_utf8(theirs)) {
        (Ok(one), Ok(other)) => names.same_text(one, other),
        _ => ours == theirs,
    };
    if equal {
        return Ok(());
    }
    let same = ours.iter().zip(theirs).take_while(|(one, other)| one == other).count();
    let from = same.saturating_sub(20);
    let there = |bytes: &[u8]| {
        bytes[from.min(bytes.len())..bytes.len().min(same + 60)].escape_ascii().to_string()
    };
    Err(format!(
        "{what} differs from byte {same} on: recorded {:?} ({} bytes), got {:?} ({} bytes)",
        there(ours),
        ours.len(),
        there(theirs),
        theirs.len()
    ))
}

fn json_bodies(
    names: &mut Names,
    route: &str,
    ours: &Message,
    theirs: &Message,
) -> Result<(), String> {
    let came = |body: &[u8]| {
        documents(body).map(|mut all| {
            all.iter_mut().for_each(without_label);
            progress(all)
        })
    };
    let Some(recorded) = came(&ours.body) else {
        return text(names, "the body", &ours.body, &theirs.body, ours.complete);
    };
    let Some(came) = came(&theirs.body) else {
        return Err(format!(
            "got no JSON: {}",
            theirs.body.escape_ascii().to_string().chars().take(160).collect::<String>()
        ));
    };
    if recorded.len() != came.len()
        && (ours.complete || came.len() < recorded.len())
        && !route.ends_with("/stats")
    {
        let show = |all: &[Value], from: usize| {
            all.get(from).map_or_else(
                || "nothing".to_owned(),
                |value| value.to_string().chars().take(160).collect(),
            )
        };
        let from = recorded.len().min(came.len());
        return Err(format!(
            "{} documents were recorded and {} came; at that place recorded {}, got {}",
            recorded.len(),
            came.len(),
            show(&recorded, from),
            show(&came, from)
        ));
    }
    for (ours, theirs) in recorded.iter().zip(&came) {
        json::same(names, route, "", ours, theirs).map_err(|difference| difference.to_string())?;
    }
    Ok(())
}

/// Progress as a person reads it: texts that follow each other are one text, and how far a bar has come is no matter.
fn progress(documents: Vec<Value>) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for document in documents {
        if document
            .get("progressDetail")
            .and_then(Value::as_object)
            .is_some_and(|detail| !detail.is_empty())
        {
            continue;
        }
        let text = |value: &Value| value.get("stream").and_then(Value::as_str).map(str::to_owned);
        match (all.last_mut(), text(&document)) {
            (Some(last), Some(more)) if text(last).is_some() => {
                let before = text(last).unwrap_or_default();
                *last = serde_json::json!({"stream": before + &more});
            }
            _ => all.push(document),
        }
    }
    all
}

/// Tars: the same entries with the same contents; of an image, the same kinds of files.
fn tars(names: &mut Names, ours: &[u8], theirs: &[u8], whole: bool) -> Result<(), String> {
    let (one, other) =
        (entries(ours)?, entries(theirs).map_err(|error| format!("got no tar: {error}"))?);
    if !whole {
        return Ok(());
    }
    let is_image = one.contains_key("manifest.json");
    if is_image {
        let manifest = |all: &BTreeMap<String, Vec<u8>>| {
            all.get("manifest.json").and_then(|file| serde_json::from_slice::<Value>(file).ok())
        };
        let (Some(ours), Some(theirs)) = (manifest(&one), manifest(&other)) else {
            return Err("the tar has no manifest.json".to_owned());
        };
        let facts = |value: &Value| -> Vec<(Value, usize)> {
            value
                .as_array()
                .into_iter()
                .flatten()
                .map(|image| {
                    (image["RepoTags"].clone(), image["Layers"].as_array().map_or(0, Vec::len))
                })
                .collect()
        };
        if facts(&ours) != facts(&theirs) {
            return Err(format!("manifest.json: recorded {ours}, got {theirs}"));
        }
        return Ok(());
    }
    for (name, content) in &one {
        match other.get(name) {
            None => return Err(format!("the tar has no {name}")),
            Some(came) => text(names, name, content, came, true)?,
        }
    }
    match other.keys().find(|name| !one.contains_key(*name)) {
        Some(name) => Err(format!("the tar has {name}, which was not recorded")),
        None => Ok(()),
    }
}

fn entries(body: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    use std::io::Read;
    let mut all = BTreeMap::new();
    let said = |error: std::io::Error| error.to_string();
    for entry in tar::Archive::new(body).entries().map_err(said)? {
        let mut entry = entry.map_err(said)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_end_matches('/').to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(said)?;
        if let Some(link) = entry.link_name_bytes() {
            content = [b"-> ", link.as_ref()].concat();
        }
        // Mount points that each engine makes for its own containers.
        if !["dev", "proc", "sys", "etc", ".dockerenv"]
            .iter()
            .any(|own| name == *own || name.starts_with(&format!("{own}/")))
        {
            all.insert(name, content);
        }
    }
    Ok(all)
}
