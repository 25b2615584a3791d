//! `GET /containers/{id}/top`: the processes as `ps` on the host would show them.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;

use super::container::{Container, State};
use super::container_api::user;
use super::failures::{conflict, not_running, system};
use super::process::Info;
use super::versions::Dialect;
use super::world::World;
use crate::job::{Body, Failure, Job};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Top {
    processes: Vec<Vec<String>>,
    titles: Vec<&'static str>,
}

/// What is shown of each process.
type Column = (&'static str, fn(&Container, &Info, u64) -> String);

fn pid(container: &Container, pid: u32) -> String {
    match pid {
        0 => (container.pid.saturating_sub(20)).to_string(),
        pid => (u64::from(container.pid) + u64::from(pid) - 1).to_string(),
    }
}

fn command(info: &Info) -> String {
    info.argv.join(" ")
}

fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60)
}

const UID: Column = ("UID", |_, info, _| user(info.uid));
const PID: Column = ("PID", |container, info, _| pid(container, info.pid));
const PPID: Column = ("PPID", |container, info, _| pid(container, info.parent));
const C: Column = ("C", |_, _, _| "0".into());
const STIME: Column = ("STIME", |_, info, _| clock(info.started.as_secs()));
const TTY: Column = ("TTY", |container, _, _| match container.config.tty {
    true => "pts/0".into(),
    false => "?".into(),
});
const TIME: Column = ("TIME", |_, _, _| "00:00:00".into());
const CMD: Column = ("CMD", |_, info, _| command(info));
const COMMAND: Column = ("COMMAND", |_, info, _| {
    let path = info.argv.first().map_or("", String::as_str);
    path.rsplit('/').next().unwrap_or_default().to_string()
});
const ARGS: Column = ("COMMAND", |_, info, _| command(info));
const USER: Column = ("USER", |_, info, _| user(info.uid));
const CPU: Column = ("%CPU", |_, _, _| "0.0".into());
const MEM: Column = ("%MEM", |_, _, _| "0.0".into());
const VSZ: Column = ("VSZ", |_, _, _| "4432".into());
const RSS: Column = ("RSS", |_, _, _| "1320".into());
const STAT: Column = ("STAT", |_, info, _| format!("{}s", info.state));
const START: Column = ("START", |_, info, _| clock(info.started.as_secs()));
const ELAPSED: Column = ("ELAPSED", |_, info, now| {
    let seconds = now.saturating_sub(info.started.as_secs());
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
});

/// The columns that arguments of `ps` ask for.
fn columns(args: &str) -> Result<Vec<Column>, Failure> {
    let words: Vec<&str> = args.split_whitespace().collect();
    let asked = words.iter().position(|word| word.trim_start_matches('-').ends_with('o'));
    if let Some(names) = asked.and_then(|at| words.get(at + 1)) {
        let column = |name: &str| {
            Ok(match name.split('=').next().unwrap_or_default() {
                "pid" => PID,
                "ppid" => PPID,
                "uid" | "user" | "euser" => USER,
                "comm" | "ucmd" => COMMAND,
                "cmd" | "args" | "command" => ("COMMAND", ARGS.1),
                "etime" => ELAPSED,
                "time" => TIME,
                "tty" | "tt" => TTY,
                "stat" | "s" => STAT,
                "rss" => RSS,
                "vsz" => VSZ,
                "pcpu" | "%cpu" => CPU,
                "pmem" | "%mem" => MEM,
                "stime" | "start" => STIME,
                other => {
                    return Err(system(format!(
                        "Error running ps: exit status 1: error: unknown user-defined format specifier \"{other}\""
                    )));
                }
            })
        };
        let columns = names.split(',').map(column).collect::<Result<Vec<_>, _>>()?;
        if !columns.iter().any(|(title, _)| *title == "PID") {
            return Err(system("Couldn't find PID field in ps output"));
        }
        return Ok(columns);
    }
    if args.contains('u') && !args.contains("-u") {
        return Ok([USER, PID, CPU, MEM, VSZ, RSS, TTY, STAT, START, TIME, ARGS].into());
    }
    if args.contains('x') && !args.contains('f') {
        return Ok([PID, TTY, STAT, TIME, ARGS].into());
    }
    Ok([UID, PID, PPID, C, STIME, TTY, TIME, CMD].into())
}

pub(super) fn answer(world: &World, job: &Job, dialect: Dialect) -> Result<Body, Failure> {
    let container = world.find(&job.arg(0).unwrap_or_default(), dialect)?;
    let run = match (container.state, &container.run) {
        (State::Restarting, _) => {
            return Err(conflict(format!(
                "Container {} is restarting, wait until the container is running",
                container.id
            )));
        }
        (_, Some(run)) => run,
        (_, None) => return Err(not_running(&container.id)),
    };
    let args = job.env("ps_args").filter(|args| !args.is_empty()).unwrap_or(Cow::Borrowed("-ef"));
    let columns = columns(&args)?;
    let now = world.now.as_secs();
    let row = |info: &Info| columns.iter().map(|(_, show)| show(container, info, now)).collect();
    super::json(&Top {
        processes: run.processes.list().iter().map(row).collect(),
        titles: columns.iter().map(|(title, _)| *title).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::{LEGACY, four, world};
    use super::answer;
    use crate::job::Job;
    use serde_json::{Value, json};

    #[test]
    fn processes_are_listed_as_by_ps() {
        let world = world(&["web"]);
        let top = |args: &str| -> Value {
            let job = Job::new("top").with_arg("web").with_env("ps_args", args);
            serde_json::from_slice(&answer(&world, &job, LEGACY).unwrap()).unwrap()
        };
        let all = top("");
        assert_eq!(
            all["Titles"],
            json!(["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"])
        );
        assert_eq!(
            all["Processes"],
            json!([["root", "2000", "1980", "0", "02:51", "?", "00:00:00", "sleep infinity"]])
        );
        assert_eq!(
            top("-o pid,comm"),
            json!({"Processes": [["2000", "sleep"]], "Titles": ["PID", "COMMAND"]})
        );
    }

    #[test]
    fn who_does_not_run_has_no_processes() {
        let mut world = four();
        super::super::world::tests::nth(&mut world, 3).run = None;
        let refused = answer(&world, &Job::new("top").with_arg("ex"), LEGACY).unwrap_err();
        assert!(refused.message.ends_with(" is not running"), "{refused}");
    }
}
