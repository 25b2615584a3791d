//! How many instructions a request takes, by valgrind's callgrind: a figure that a busy machine does not change.
//!
//! ```sh
//! cargo bench -p libswarm --bench instructions
//! ```
//!
//! Prints a table, and fails if making a job of a GET or of a create takes more than [`PROMISE`] times what
//! `httparse::Request::parse` takes for the same bytes, allocations included. `--profile PATH FILE` writes callgrind's profile
//! of one path for `callgrind_annotate FILE`. A long copy is one instruction of the processor's and many of callgrind's: the
//! count of a long answer says little about its time, which the other benchmark measures.

mod paths;

use std::hint::black_box;
use std::process::{Command, ExitCode};

use paths::{CREATE, GET, PING, Service};

/// As many times the instructions of httparse alone may be spent until the job exists.
const PROMISE: f64 = 2.5;

/// Each path is run this often, and twice this often; the difference is free of what starting costs.
const RUNS: usize = 2000;

const PATHS: &[&str] = &[
    "get: httparse",
    "get: job",
    "create: httparse",
    "create: job",
    "lookup",
    "node: ping",
    "node: list of 1",
    "node: list of 100",
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--run", path, runs] => run(path, runs.parse().unwrap()),
        ["--profile", path, file] => {
            let _ = collected(path, RUNS, file);
        }
        // `cargo test --benches` has no valgrind to ask for: it only sees that every path runs.
        ["--test"] => PATHS.iter().for_each(|path| run(path, 1)),
        _ => return table(),
    }
    ExitCode::SUCCESS
}

fn run(path: &str, runs: usize) {
    let repeat = |act: &mut dyn FnMut()| (0..runs).for_each(|_| act());
    match path {
        "get: httparse" => repeat(&mut || _ = black_box(paths::httparse(GET))),
        "get: job" => repeat(&mut || drop(black_box(paths::job(GET)))),
        "create: httparse" => repeat(&mut || _ = black_box(paths::httparse(CREATE))),
        "create: job" => repeat(&mut || drop(black_box(paths::job(CREATE)))),
        "lookup" => repeat(&mut || _ = paths::lookup("GET", "/v1.41/containers/json")),
        "node: ping" => serve(1, PING, repeat),
        "node: list of 1" => serve(1, GET, repeat),
        "node: list of 100" => serve(100, GET, repeat),
        _ => panic!("no such path: {path:?}; there are {PATHS:?}"),
    }
}

fn serve(containers: usize, request: &[u8], repeat: impl Fn(&mut dyn FnMut())) {
    let mut service = Service::new(containers);
    repeat(&mut || _ = black_box(service.request(request)));
}

fn table() -> ExitCode {
    let counts: Vec<u64> = PATHS.iter().map(|path| instructions(path)).collect();
    let of = |path: &str| PATHS.iter().position(|known| *known == path).map_or(0, |at| counts[at]);
    println!("| path | instructions | × httparse |\n|---|---|---|");
    let mut kept = true;
    for (path, count) in PATHS.iter().zip(&counts) {
        let ratio = match path.split_once(": job") {
            Some((request, _)) => {
                let ratio = *count as f64 / of(&format!("{request}: httparse")) as f64;
                kept &= ratio <= PROMISE;
                format!("{ratio:.2}")
            }
            None => String::new(),
        };
        println!("| {path} | {count} | {ratio} |");
    }
    println!("\npromised: at most {PROMISE}; {}", if kept { "kept" } else { "NOT KEPT" });
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Instructions of one pass.
fn instructions(path: &str) -> u64 {
    let [once, twice] = [RUNS, 2 * RUNS].map(|runs| collected(path, runs, "/dev/null"));
    (twice - once) / RUNS as u64
}

/// Instructions of a process that runs a path so many times.
fn collected(path: &str, runs: usize, file: &str) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", &format!("--callgrind-out-file={file}")])
        .arg(std::env::current_exe().unwrap())
        .args(["--run", path, &runs.to_string()])
        .output()
        .unwrap_or_else(|error| {
            panic!("cannot run valgrind (Debian: apt install valgrind): {error}")
        });
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
        .unwrap_or_else(|| panic!("valgrind has not counted:\n{said}"))
}
