//! The load of `figures/simulator.py`: containers by the thousand, over a few connections, from one thread.
//!
//! - `cycles HOST:PORT CONNECTIONS SECONDS`: create, start, wait, remove, again and again; prints cycles a second.
//! - `create HOST:PORT CONNECTIONS COUNT LABELS`: creates so many containers, `c0` to the last, each with a label of its own
//!   if LABELS is `own`, and all with the same one if it is `same`; prints containers a second.
//! - `list COUNT`: in its own memory; prints the microseconds that a list of so many containers takes when one has changed,
//!   when none has, and that serialising the same document takes.

use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use libswarm::backend::Simulator;
use libswarm::job::{Engine, Job};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::Value;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["cycles", address, connections, seconds] => cycles(address, connections, seconds),
        ["create", address, connections, count, labels] => {
            create(address, connections, count, labels == "own")
        }
        ["list", count] => list(count),
        _ => Err("usage: simulator_load cycles|create|list …; see its first lines".into()),
    };
    match done {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("simulator_load: {error}");
            ExitCode::FAILURE
        }
    }
}

type Done = Result<String, Box<dyn std::error::Error>>;

/// One connection, which has one request under way.
struct Client {
    stream: TcpStream,
    got: Vec<u8>,
}

impl Client {
    fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, got: Vec::new() })
    }

    /// A request is small: a socket that has been answered has room for it.
    fn send(&mut self, request: &str) -> io::Result<()> {
        self.stream.write_all(request.as_bytes())
    }

    /// The answer, when it is whole: its head and its body, as they came.
    fn answer(&mut self) -> io::Result<Option<String>> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => self.got.extend_from_slice(&buffer[..length]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        let text = std::str::from_utf8(&self.got).map_err(io::Error::other)?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(None) };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let whole = match length.and_then(|length| length.parse().ok()) {
            Some(length) => body.len() >= length,
            None => !head.contains("Transfer-Encoding: chunked") || body.ends_with("0\r\n\r\n"),
        };
        if !whole {
            return Ok(None);
        }
        let answer = text.to_owned();
        self.got.clear();
        Ok(Some(answer))
    }
}

/// Drives connections: `next` is told which one is free and its last answer, and gives the next request, or none.
fn drive(
    clients: &mut [Client],
    mut next: impl FnMut(usize, Option<&str>) -> Result<Option<String>, String>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut open = 0;
    for (nth, client) in clients.iter_mut().enumerate() {
        if let Some(request) = next(nth, None)? {
            client.send(&request)?;
            open += 1;
        }
    }
    while open > 0 {
        let mut fds: Vec<_> =
            clients.iter().map(|client| PollFd::new(&client.stream, PollFlags::IN)).collect();
        poll(&mut fds, None)?;
        let readable: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (nth, client) in clients.iter_mut().enumerate().filter(|(nth, _)| readable[*nth]) {
            let Some(answer) = client.answer()? else { continue };
            match next(nth, Some(&answer))? {
                Some(request) => client.send(&request)?,
                None => open -= 1,
            }
        }
    }
    Ok(())
}

fn connect(address: &str, connections: &str) -> Result<Vec<Client>, Box<dyn std::error::Error>> {
    let count: usize = connections.parse()?;
    Ok((0..count).map(|_| Client::connect(address)).collect::<io::Result<_>>()?)
}

fn post(target: &str, body: &str) -> String {
    let json = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: docker\r\n{json}Content-Length: {length}\r\n\r\n{body}"
    )
}

fn id_of(answer: &str) -> Result<String, String> {
    let id = answer.split("\"Id\":\"").nth(1).and_then(|rest| rest.get(..64));
    id.map(str::to_owned).ok_or_else(|| format!("no container was created: {answer}"))
}

fn cycles(address: &str, connections: &str, seconds: &str) -> Done {
    let mut clients = connect(address, connections)?;
    let lasting = Duration::from_secs(seconds.parse()?);
    let body = r#"{"Image":"busybox","Cmd":["true"]}"#;
    let mut states = vec![(0, String::new()); clients.len()];
    let (begin, mut done) = (Instant::now(), 0_u64);
    drive(&mut clients, |nth, answer| {
        let (step, id) = &mut states[nth];
        let expected = ["201", "204", "200", "204"];
        if let Some(answer) = answer {
            let status = expected[(*step + 3) % 4];
            if answer.get(9..12) != Some(status) {
                return Err(format!("{status} was expected: {answer}"));
            }
            if *step == 1 {
                *id = id_of(answer)?;
            }
            if *step == 0 {
                done += 1;
                if begin.elapsed() >= lasting {
                    return Ok(None);
                }
            }
        }
        let request = match *step {
            0 => post("/v1.41/containers/create", body),
            1 => post(&format!("/v1.41/containers/{id}/start"), ""),
            2 => post(&format!("/v1.41/containers/{id}/wait"), ""),
            _ => format!("DELETE /v1.41/containers/{id} HTTP/1.1\r\nHost: docker\r\n\r\n"),
        };
        *step = (*step + 1) % 4;
        Ok(Some(request))
    })?;
    Ok(format!("{:.0}", done as f64 / begin.elapsed().as_secs_f64()))
}

fn create(address: &str, connections: &str, count: &str, own: bool) -> Done {
    let mut clients = connect(address, connections)?;
    let count: u64 = count.parse()?;
    let (begin, mut made) = (Instant::now(), 0);
    drive(&mut clients, |_, answer| {
        if let Some(answer) = answer {
            id_of(answer)?;
        }
        if made == count {
            return Ok(None);
        }
        let label = if own { made } else { 0 };
        let body = format!(
            r#"{{"Image":"busybox","Cmd":["sleep","3600"],"Env":["A=1"],"Labels":{{"number":"{label}"}}}}"#
        );
        let request = post(&format!("/v1.41/containers/create?name=c{made}"), &body);
        made += 1;
        Ok(Some(request))
    })?;
    Ok(format!("{:.0}", count as f64 / begin.elapsed().as_secs_f64()))
}

/// The shortest of a few attempts, in microseconds.
fn shortest(mut attempt: impl FnMut()) -> f64 {
    let times = (0..15).map(|_| {
        let begin = Instant::now();
        attempt();
        begin.elapsed().as_secs_f64() * 1e6
    });
    times.fold(f64::INFINITY, f64::min)
}

fn list(count: &str) -> Done {
    let count: usize = count.parse()?;
    let names: Vec<String> = (0..count).map(|nth| format!("c{nth}")).collect();
    let mut engine = Engine::new(1);
    engine.push("simulator", Box::new(Simulator::from_words(&names)?));
    let now = libswarm::Instant::ZERO;
    let mut ask = |job: Job| -> Option<Vec<u8>> {
        let id = engine.start(now, job, 0);
        let answer = engine.output(id).and_then(|output| output.whole.take());
        engine.remove(now, id);
        answer.map(|body| body.to_vec())
    };
    let text = ask(Job::new("containers")).ok_or("there is no list")?;
    let document: Value = serde_json::from_slice(&text)?;
    assert_eq!(document.as_array().map(Vec::len), Some(count));
    let mut paused = false;
    let changed = shortest(|| {
        paused = !paused;
        ask(Job::new(if paused { "pause" } else { "unpause" }).with_arg("c0"));
        ask(Job::new("containers"));
    });
    let copied = shortest(|| drop(std::hint::black_box(text.clone())));
    let unchanged = shortest(|| drop(ask(Job::new("containers"))));
    let serialised = shortest(|| drop(std::hint::black_box(serde_json::to_vec(&document))));
    // What this program does itself to have the bytes is no part of it.
    let (changed, unchanged) = (changed - copied, (unchanged - copied).max(0.0));
    Ok(format!("{changed:.0} {unchanged:.1} {serialised:.0}"))
}
