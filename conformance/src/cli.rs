//! The command line of `swarm-conformance`.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use libswarm::address::{Address, Remote};

use crate::record::{exit_code, record};
use crate::replay::through_forward;
use crate::session::Session;
use crate::show::show;
use crate::suite::{self, Format, Line, Options, Outcome, chosen, matrix, report};
use crate::world;

/// Usage, an unreadable session, nobody there.
const TROUBLE: u8 = 2;

/// What the binary does.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os()))
}

fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(TROUBLE);
        }
    };
    let done = match matches.subcommand() {
        Some(("record", matches)) => recording(matches),
        Some(("show", matches)) => showing(matches),
        Some(("replay", matches)) => replaying(matches),
        Some(("run", matches)) => running(matches),
        Some(("matrix", matches)) => comparing(matches),
        Some(("list", matches)) => listing(matches),
        Some(("world", matches)) => worlds(matches),
        _ => Err("there is no such command".to_owned()),
    };
    done.unwrap_or_else(|message| {
        eprintln!("swarm-conformance: {message}");
        TROUBLE
    })
}

fn command() -> Command {
    let required = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help).required(true)
    };
    let files = Arg::new("FILE").help("A session").num_args(1..).required(true);
    Command::new("swarm-conformance")
        .about("Records what real docker clients and an engine say to each other, and holds any other engine against it.")
        .version(env!("CARGO_PKG_VERSION"))
        .term_width(100)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("record")
                .about("Runs a command against an engine, and writes down what they say to each other")
                .after_help(
                    "Everything passes untouched. Exits with the command's code, or 2 if nothing could be recorded.\n\n\
                     Example:\n  swarm-conformance record --listen unix://rec.sock --upstream unix:///var/run/docker.sock \\\n    \
                     -o my.session -- docker -H unix://rec.sock run --rm busybox echo hi",
                )
                .arg(required("listen", "ADDRESS", "Where to listen for the command: unix://PATH or tcp://HOST:PORT"))
                .arg(required("upstream", "ADDRESS", "The engine: unix://PATH, tcp://HOST:PORT or ssh://HOST"))
                .arg(required("output", "FILE", "The file to write").short('o'))
                .arg(Arg::new("name").long("name").help("The scenario's name; that of the file unless given"))
                .arg(Arg::new("client").long("client").help("The client's name"))
                .arg(
                    Arg::new("whole")
                        .long("whole")
                        .action(ArgAction::SetTrue)
                        .help("Keep large contents without structure; they are recorded by hash and length else"),
                )
                .arg(
                    Arg::new("show-secrets")
                        .long("show-secrets")
                        .action(ArgAction::SetTrue)
                        .help("Keeps credentials, which are replaced by asterisks otherwise"),
                )
                .arg(
                    Arg::new("command")
                        .value_name("COMMAND")
                        .help("What to run, with its arguments")
                        .last(true)
                        .num_args(1..)
                        .required(true),
                ),
        )
        .subcommand(
            Command::new("show")
                .about("Prints a session for people: who sent what, and when")
                .arg(files.clone()),
        )
        .subcommand(
            Command::new("replay")
                .about("Replays sessions in memory, through a node that forwards; the recording plays the engine too")
                .after_help("Exits with 0 if all passed, 1 if some failed, 2 if a session cannot be read.")
                .arg(
                    Arg::new("seeds")
                        .long("seeds")
                        .value_name("NUMBER")
                        .value_parser(clap::value_parser!(u64))
                        .default_value("10")
                        .help("How often each is also cut at random places, each time at others"),
                )
                .arg(files.clone()),
        )
        .subcommand(
            choice(Command::new("run"))
                .about("Plays sessions of real clients against an engine, and reports what they would notice")
                .after_help(
                    "It touches only what it makes, and removes it again. Exits with 0 if all passed, 1 if some failed, 2 for \
                     a wrong use, an unreadable session, or if nobody is there.\n\n\
                     Examples:\n  swarm-conformance run --target unix:///run/podman/podman.sock\n  \
                     swarm-conformance run --target tcp://localhost:4242 --client docker-20 --scenario 'exec*' --format json",
                )
                .arg(required("target", "ADDRESS", "The engine: unix://PATH, tcp://HOST:PORT or ssh://HOST"))
                .arg(
                    Arg::new("format")
                        .long("format")
                        .value_parser(["text", "json", "junit"])
                        .default_value("text")
                        .help("How the report is written to stdout; progress goes to stderr"),
                )
                .arg(files.clone().required(false).help("Sessions of your own instead of the shipped ones")),
        )
        .subcommand(
            choice(Command::new("matrix"))
                .about("Plays sessions against several engines, and prints a Markdown table")
                .arg(
                    required("target", "NAME=ADDRESS", "An engine and what to call it; once for each")
                        .action(ArgAction::Append),
                ),
        )
        .subcommand(choice(Command::new("list")).about("Names the shipped sessions"))
        .subcommand(
            Command::new("world")
                .about("Plays many small simulated worlds against swarmd's core, and says what happened in them")
                .after_help("Exits with 1 if something happened that must not, and says with which seed it happens again.")
                .arg(number("seeds", "10000", "How many worlds"))
                .arg(number("seed", "0", "The first of them"))
                .arg(
                    Arg::new("tell")
                        .long("tell")
                        .action(ArgAction::SetTrue)
                        .help("Tells all that happens in the first of them"),
                ),
        )
}

fn number(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    let arg = Arg::new(name).long(name).value_name("NUMBER").help(help).default_value(default);
    arg.value_parser(clap::value_parser!(u64))
}

fn worlds(matches: &ArgMatches) -> Result<u8, String> {
    let get = |name: &str| matches.get_one::<u64>(name).copied().unwrap_or(0);
    if matches.get_flag("tell") {
        return Ok(match world::play(get("seed"), &mut world::Counts::new(), true) {
            Ok(()) => 0,
            Err(failure) => {
                println!("{failure}");
                1
            }
        });
    }
    let counts = match world::run(get("seed"), get("seeds")) {
        Ok(counts) => counts,
        Err(failure) => {
            println!(
                "{failure}\nIt happens again with: swarm-conformance world --seed {} --tell",
                failure.seed
            );
            return Ok(1);
        }
    };
    for (kind, count) in &counts {
        println!("{count:>9}  {kind}");
    }
    let never: Vec<&str> =
        counts.iter().filter(|(_, count)| **count == 0).map(|(kind, _)| *kind).collect();
    if !never.is_empty() {
        println!("never: {}; more worlds are needed", never.join(", "));
        return Ok(1);
    }
    println!("{} worlds hold", get("seeds"));
    Ok(0)
}

/// What says which sessions are played, and how.
fn choice(command: Command) -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    command
        .arg(option("client", "PATTERN", "Only sessions of these clients; * stands for anything").default_value("*"))
        .arg(option("scenario", "PATTERN", "Only these scenarios").default_value("*"))
        .arg(option("rootfs", "TAR", "The root of the image busybox, if the engine has none; made of this machine's busybox otherwise"))
        .arg(
            option("timeout", "SECONDS", "So long the engine has for each step")
                .value_parser(clap::value_parser!(u64).range(1..=3600))
                .default_value("10"),
        )
        .arg(
            option("again", "NUMBER", "How often a scenario that fails is played again: real engines have races of their own")
                .value_parser(clap::value_parser!(u64).range(..=10))
                .default_value("0"),
        )
        .arg(
            Arg::new("destructive")
                .long("destructive")
                .action(ArgAction::SetTrue)
                .help("Plays also what prunes or lists everything, and what has the names of things that are there: they are lost"),
        )
}

fn options(matches: &ArgMatches) -> Options {
    let pattern = |name| text(matches, name).unwrap_or("*").to_owned();
    Options {
        client: pattern("client"),
        scenario: pattern("scenario"),
        destructive: matches.get_flag("destructive"),
        rootfs: text(matches, "rootfs").map(str::to_owned),
        step: Duration::from_secs(matches.get_one("timeout").copied().unwrap_or(10)),
        again: matches.get_one("again").copied().unwrap_or(0),
    }
}

fn target(address: &str) -> Result<Remote, String> {
    address.parse().map_err(|error| format!("--target: {error}"))
}

fn running(matches: &ArgMatches) -> Result<u8, String> {
    let options = options(matches);
    let address = text(matches, "target").unwrap_or_default();
    let files: Vec<&String> = matches.get_many("FILE").into_iter().flatten().collect();
    let sessions = if files.is_empty() {
        chosen(&options)?
    } else {
        let named = |file: &&String| {
            let session = read(file)?;
            let header = |name: &str| session.header(name).unwrap_or("?").to_owned();
            Ok((header("client"), header("name"), session))
        };
        files.iter().map(named).collect::<Result<Vec<_>, String>>()?
    };
    let lines = suite::run(&target(address)?, &sessions, &options, progress)?;
    let format = match text(matches, "format") {
        Some("json") => Format::Json,
        Some("junit") => Format::Junit,
        _ => Format::Text,
    };
    print!("{}", report(address, &lines, format));
    Ok(u8::from(lines.iter().any(|line| matches!(line.outcome, Outcome::Failed(_)))))
}

fn progress(line: &Line) {
    let word = match line.outcome {
        Outcome::Passed => "passed",
        Outcome::Failed(_) => "FAILED",
        Outcome::Skipped(_) => "skipped",
    };
    eprintln!("{word:7} {}/{} ({:.1} s)", line.client, line.name, line.took.as_secs_f32());
}

fn comparing(matches: &ArgMatches) -> Result<u8, String> {
    let options = options(matches);
    let sessions = chosen(&options)?;
    let mut all = Vec::new();
    for named in matches.get_many::<String>("target").into_iter().flatten() {
        let Some((name, address)) = named.split_once('=') else {
            return Err(format!(
                "--target {named}: write NAME=ADDRESS, such as dockerd=unix:///var/run/docker.sock"
            ));
        };
        let remote = target(address)?;
        eprintln!("{name}: {remote}");
        all.push((name.to_owned(), suite::run(&remote, &sessions, &options, progress)?));
    }
    print!("{}", matrix(&all));
    let failed = |line: &Line| matches!(line.outcome, Outcome::Failed(_));
    Ok(u8::from(all.iter().any(|(_, lines)| lines.iter().any(failed))))
}

fn listing(matches: &ArgMatches) -> Result<u8, String> {
    for (client, name, _) in chosen(&options(matches))? {
        println!("{client}/{name}");
    }
    Ok(0)
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.get_one::<String>(name).map(String::as_str)
}

fn recording(matches: &ArgMatches) -> Result<u8, String> {
    let need = |name: &str| text(matches, name).ok_or_else(|| format!("--{name} is missing"));
    let listen: Address = need("listen")?.parse().map_err(|error| format!("--listen: {error}"))?;
    let upstream: Remote =
        need("upstream")?.parse().map_err(|error| format!("--upstream: {error}"))?;
    let output = need("output")?;
    let command: Vec<String> = matches.get_many("command").into_iter().flatten().cloned().collect();

    // Before the command is run: that may not be done twice. What is there stays until there is something to replace it.
    let cannot = |error| format!("cannot write {output}: {error}");
    let is_new = !std::path::Path::new(output).exists();
    std::fs::OpenOptions::new().append(true).create(true).open(output).map_err(cannot)?;
    let (mut session, status) = record(&listen, upstream, &command).inspect_err(|_| {
        if is_new {
            // It fails only if somebody else has done so.
            let _ = std::fs::remove_file(output);
        }
    })?;
    let stem = std::path::Path::new(output).file_stem().unwrap_or_default().to_string_lossy();
    let mut headers = vec![("name".to_owned(), text(matches, "name").unwrap_or(&stem).to_owned())];
    headers.extend(text(matches, "client").map(|client| ("client".to_owned(), client.to_owned())));
    headers.push(("command".to_owned(), command.join(" ")));
    headers.append(&mut session.headers);
    session.headers = headers;
    if !matches.get_flag("show-secrets") {
        session.redact();
    }
    if !matches.get_flag("whole") {
        session.replace_large();
    }
    std::fs::write(output, session.to_string()).map_err(cannot)?;
    Ok(u8::try_from(exit_code(status)).unwrap_or(u8::MAX))
}

fn read(file: &str) -> Result<Session, String> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?;
    text.parse().map_err(|error| format!("{file}, {error}"))
}

fn replaying(matches: &ArgMatches) -> Result<u8, String> {
    let seeds = matches.get_one("seeds").copied().unwrap_or(0);
    let (mut passed, mut failed) = (0_u64, 0_u64);
    for file in matches.get_many::<String>("FILE").into_iter().flatten() {
        let session = read(file)?;
        let mut attempts = std::iter::once(None).chain((0..seeds).map(Some));
        match attempts.find_map(|seed| Some((seed, through_forward(&session, seed).err()?))) {
            None => passed += 1,
            Some((seed, difference)) => {
                let how = seed.map_or_else(|| "whole".to_owned(), |seed| format!("seed {seed}"));
                println!("{file} ({how}): {difference}");
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(u8::from(failed > 0))
}

fn showing(matches: &ArgMatches) -> Result<u8, String> {
    for file in matches.get_many::<String>("FILE").into_iter().flatten() {
        let session = read(file)?;
        // A reader that has seen enough, as head has, is no trouble.
        if std::io::stdout().write_all(show(&session).as_bytes()).is_err() {
            break;
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::Folder;

    fn ran(line: &str) -> u8 {
        run(line.split(' ').map(OsString::from))
    }

    #[test]
    fn what_cannot_be_written_is_known_before_the_command_is_run() {
        let folder = Folder::new();
        let (ran_once, taken) = (folder.file("ran"), folder.file("taken"));
        let record = |listen: &str, output: &str| {
            ran(&format!(
                "x record --listen {listen} --upstream unix://b -o {output} -- touch {ran_once}"
            ))
        };
        let listen = format!("unix://{}", folder.file("listen"));
        assert_eq!(record(&listen, &folder.file("nowhere/x")), 2);
        assert!(!folder.path().join("ran").exists());
        std::fs::write(&taken, "").expect("a file can be written");
        assert_eq!(record(&format!("unix://{taken}"), &folder.file("x")), 2);
        assert!(!folder.path().join("x").exists());
        assert!(!folder.path().join("ran").exists());
        // It has opened no connection, so there is nothing to be kept.
        assert_eq!(record(&listen, &folder.file("x")), 2);
        assert!(folder.path().join("ran").exists() && !folder.path().join("x").exists());
    }

    #[test]
    fn the_grammar_holds() {
        command().debug_assert();
        assert_eq!(ran("x --help"), 0);
        assert_eq!(ran("x"), 2);
        assert_eq!(ran("x dance"), 2);
        assert_eq!(ran("x record --listen unix://a -o f -- true"), 2);
        assert_eq!(ran("x record --listen nowhere --upstream unix://b -o f -- true"), 2);
        assert_eq!(ran("x show /no/such/file"), 2);
        assert_eq!(ran("x replay /no/such/file"), 2);
        assert_eq!(ran("x replay --seeds many f"), 2);
    }

    #[test]
    fn a_file_that_is_no_session_is_refused() {
        let folder = Folder::new();
        let file = folder.file("x.session");
        std::fs::write(&file, "swarm-session 1\nname: x\n").unwrap();
        assert_eq!(ran(&format!("x show {file}")), 2);
        std::fs::write(&file, "swarm-session 1\nname: x\n\nend 0\n").unwrap();
        assert_eq!(ran(&format!("x show {file}")), 0);
        assert_eq!(ran(&format!("x replay {file}")), 0);
        // An answer that nobody asked for cannot be had again.
        let unasked = "swarm-session 1\nname: x\n\n0.001 1 open\n0.001 1 <\n  | HTTP/1.1 200 OK\\r\\n\\r\\n\nend 2\n";
        std::fs::write(&file, unasked).unwrap();
        assert_eq!(ran(&format!("x replay --seeds 1 {file}")), 1);
    }
}
