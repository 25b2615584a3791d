//! What tells of the system, its users and its processes.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::list::{Civil, MONTHS, name_of};
use super::{Options, Output, Sys};
use crate::backend::simulator::files::View;
use crate::backend::simulator::process::start::{PATH, find};
use crate::backend::simulator::process::{Pid, Signal};

pub(super) fn busybox(_: &mut Sys<'_, '_>, _: &[String], done: &mut Output) -> u8 {
    done.line("BusyBox v1.36.1 (simulated) multi-call binary.");
    0
}

pub(super) fn hostname(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    if args.get(1).is_some_and(|arg| !arg.starts_with('-')) {
        done.complain("hostname: sethostname: Operation not permitted");
        return 1;
    }
    done.line(sys.system.hostname);
    0
}

pub(super) fn id(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "ugGnr", "", done) else { return 1 };
    let (uid, gid) = (sys.process().uid, sys.process().gid);
    let files = &sys.system.files;
    let user = name_of(files, "/etc/passwd", uid);
    let group = name_of(files, "/etc/group", gid);
    let mut groups = Vec::from([(gid, group.clone())]);
    groups.extend(more_groups(files, &user));
    groups.extend(sys.kernel.groups.iter().map(|id| (*id, name_of(files, "/etc/group", *id))));
    let mut seen = alloc::collections::BTreeSet::new();
    groups.retain(|(id, _)| seen.insert(*id));
    let number =
        |id: u32, name: &str| if options.has('n') { name.to_string() } else { id.to_string() };
    if options.has('u') {
        done.line(&number(uid, &user));
    } else if options.has('g') {
        done.line(&number(gid, &group));
    } else if options.has('G') {
        let all: Vec<String> = groups.iter().map(|(id, name)| number(*id, name)).collect();
        done.line(&all.join(" "));
    } else if super::base(&args[0]) == "groups" {
        let all: Vec<&str> = groups.iter().map(|(_, name)| &**name).collect();
        done.line(&all.join(" "));
    } else {
        let named = |id: u32, name: &str| {
            if name == id.to_string() { name.into() } else { format!("{id}({name})") }
        };
        let line = format!("uid={} gid={}", named(uid, &user), named(gid, &group));
        let groups: Vec<String> = groups.iter().map(|(id, name)| named(*id, name)).collect();
        done.line(&format!("{line} groups={}", groups.join(",")));
    }
    0
}

/// The groups in whose lists of members a user stands, as `id` names them.
fn more_groups(files: &View<'_>, user: &str) -> Vec<(u32, String)> {
    let text = files.read("/", "/etc/group");
    let text = text.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
    let group = |line: &str| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        let is_member = fields.next()?.split(',').any(|member| member == user);
        Some((id.parse().ok().filter(|_| is_member)?, name.to_string()))
    };
    text.lines().filter_map(group).collect()
}

pub(super) fn whoami(sys: &mut Sys<'_, '_>, _: &[String], done: &mut Output) -> u8 {
    let uid = sys.process().uid;
    let name = name_of(&sys.system.files, "/etc/passwd", uid);
    if name == uid.to_string() {
        done.complain(&format!("whoami: unknown uid {uid}"));
        return 1;
    }
    done.line(&name);
    0
}

pub(super) fn pwd(sys: &mut Sys<'_, '_>, _: &[String], done: &mut Output) -> u8 {
    let cwd = sys.cwd();
    done.line(&cwd);
    0
}

pub(super) fn printenv(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let env = sys.process().env.clone();
    if args.len() < 2 {
        env.iter().for_each(|entry| done.line(entry));
        return 0;
    }
    let mut status = 0;
    for name in &args[1..] {
        match sys.env(name) {
            Some(value) => done.line(&value),
            None => status = 1,
        }
    }
    status
}

pub(super) fn date(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "uR", "dsrI", done) else { return 1 };
    let mut seconds = i64::try_from(sys.system.unix.as_secs()).unwrap_or(0);
    if let Some(text) = options.value('d') {
        match text.trim_start_matches('@').parse() {
            Ok(given) => seconds = given,
            Err(_) => {
                done.complain(&format!("date: invalid date '{text}'"));
                return 1;
            }
        }
    }
    let default =
        if options.has('R') { "+%a, %d %b %Y %H:%M:%S +0000" } else { "+%a %b %e %H:%M:%S UTC %Y" };
    let format = options.operands.first().map_or(default, |text| text.as_str());
    let Some(format) = format.strip_prefix('+') else {
        done.complain(&format!("date: invalid date '{format}'"));
        return 1;
    };
    let mut line = String::new();
    let nanos = sys.system.unix.subsec_nanos();
    expand(format, seconds, nanos, &mut line);
    done.line(&line);
    0
}

fn expand(format: &str, seconds: i64, nanos: u32, line: &mut String) {
    const DAYS: [&str; 7] =
        ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    const LONG: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let when = Civil::of(seconds);
    let month = when.month as usize - 1;
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            line.push(c);
            continue;
        }
        let text = match chars.next() {
            Some('Y') => when.year.to_string(),
            Some('y') => format!("{:02}", when.year % 100),
            Some('m') => format!("{:02}", when.month),
            Some('d') => format!("{:02}", when.day),
            Some('e') => format!("{:2}", when.day),
            Some('H') => format!("{:02}", when.hour),
            Some('I') => format!("{:02}", (when.hour + 11) % 12 + 1),
            Some('p') => if when.hour < 12 { "AM" } else { "PM" }.into(),
            Some('M') => format!("{:02}", when.minute),
            Some('S') => format!("{:02}", when.second),
            Some('s') => seconds.to_string(),
            Some('N') => format!("{nanos:09}"),
            Some('a') => DAYS[when.weekday as usize][..3].into(),
            Some('A') => DAYS[when.weekday as usize].into(),
            Some('b' | 'h') => MONTHS[month].into(),
            Some('B') => LONG[month].into(),
            Some('j') => format!("{:03}", when.day_of_year),
            Some('u') => ((when.weekday + 6) % 7 + 1).to_string(),
            Some('w') => when.weekday.to_string(),
            Some('F') => format!("{}-{:02}-{:02}", when.year, when.month, when.day),
            Some('T') => format!("{:02}:{:02}:{:02}", when.hour, when.minute, when.second),
            Some('R') => format!("{:02}:{:02}", when.hour, when.minute),
            Some('D') => format!("{:02}/{:02}/{:02}", when.month, when.day, when.year % 100),
            Some('Z') => "UTC".into(),
            Some('z') => "+0000".into(),
            Some('n') => "\n".into(),
            Some('t') => "\t".into(),
            Some('%') | None => "%".into(),
            Some(c) => format!("%{c}"),
        };
        line.push_str(&text);
    }
}

pub(super) fn uname(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "amnrspvio", "", done) else { return 1 };
    if super::base(&args[0]) == "arch" {
        done.line("x86_64");
        return 0;
    }
    let all = options.has('a');
    let parts = [
        ('s', "Linux"),
        ('n', sys.system.hostname),
        ('r', "6.1.0"),
        ('v', "#1 SMP simulated"),
        ('m', "x86_64"),
        ('o', "GNU/Linux"),
    ];
    let chosen: Vec<&str> = parts
        .iter()
        .filter(|(letter, _)| all || options.has(*letter))
        .map(|(_, text)| *text)
        .collect();
    done.line(&if chosen.is_empty() { "Linux".to_string() } else { chosen.join(" ") });
    0
}

pub(super) fn ps(sys: &mut Sys<'_, '_>, _: &[String], done: &mut Output) -> u8 {
    done.line("PID   USER     TIME  COMMAND");
    for info in sys.kernel.list() {
        let user = name_of(&sys.system.files, "/etc/passwd", info.uid);
        let argv = if info.state == 'Z' {
            format!("[{}]", info.argv.first().map_or("", |name| name))
        } else {
            info.argv.join(" ")
        };
        done.line(&format!("{:5} {user:<8}  0:00 {argv}", info.pid));
    }
    0
}

pub(super) fn pidof(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let pids: Vec<String> = sys
        .kernel
        .list()
        .iter()
        .filter(|info| {
            info.argv
                .first()
                .is_some_and(|name| args[1..].iter().any(|wanted| super::base(name) == wanted))
        })
        .map(|info| info.pid.to_string())
        .collect();
    if pids.is_empty() {
        return 1;
    }
    done.line(&pids.join(" "));
    0
}

pub(in super::super) fn kill(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let own = super::base(&args[0]);
    let mut words = &args[1..];
    let mut signal = Some(Signal::TERM);
    if let Some(first) = words.first().filter(|word| word.starts_with('-') && word.len() > 1) {
        words = &words[1..];
        match first.as_str() {
            "-l" => {
                match words.first() {
                    Some(word) => {
                        let number = word
                            .parse::<u8>()
                            .ok()
                            .map(|number| if number > 128 { number - 128 } else { number });
                        match (number.and_then(Signal::new), Signal::parse(word)) {
                            (Some(signal), _) => done.line(&signal.name()),
                            (None, Some(signal)) => done.line(&signal.number().to_string()),
                            _ => return 1,
                        }
                    }
                    None => (1..32).filter_map(Signal::new).for_each(|signal| {
                        done.line(&format!("{:2}) {}", signal.number(), signal.name()));
                    }),
                }
                return 0;
            }
            "-s" => {
                let name = words.first().map_or("", |name| name);
                signal = if name == "0" { None } else { Signal::parse(name) };
                if signal.is_none() && name != "0" {
                    done.complain(&format!("{own}: bad signal name '{name}'"));
                    return 1;
                }
                words = words.get(1..).unwrap_or_default();
            }
            "-0" => signal = None,
            "--" => {}
            name => match Signal::parse(&name[1..]) {
                Some(named) => signal = Some(named),
                None => {
                    done.complain(&format!("{own}: bad signal name '{}'", &name[1..]));
                    return 1;
                }
            },
        }
    }
    if words.is_empty() {
        done.complain(&format!("{own}: you need to specify whom to kill"));
        return 1;
    }
    let mut status = 0;
    for word in words.iter().filter(|word| *word != "--") {
        let pids: Vec<Pid> = if own == "killall" {
            let named = |info: &super::super::Info| {
                info.argv.first().is_some_and(|name| super::base(name) == word)
            };
            sys.kernel.list().iter().filter(|info| named(info)).map(|info| info.pid).collect()
        } else {
            match word.trim_start_matches('%').parse() {
                Ok(0) => Vec::from([sys.pid]),
                Ok(pid) => Vec::from([pid]),
                Err(_) if word == "-1" => sys
                    .kernel
                    .list()
                    .iter()
                    .map(|info| info.pid)
                    .filter(|pid| *pid != 1 && *pid != sys.pid)
                    .collect(),
                Err(_) => {
                    done.complain(&format!("{own}: bad pid '{word}'"));
                    status = 1;
                    continue;
                }
            }
        };
        let known = |pid: &Pid| sys.kernel.table.contains_key(pid);
        if pids.is_empty() || !pids.iter().all(known) {
            done.complain(&match own {
                "killall" => format!("killall: {word}: no process killed"),
                _ => format!("{own}: can't kill pid {word}: No such process"),
            });
            status = 1;
        }
        for pid in pids {
            if let Some(signal) = signal {
                sys.signal(pid, signal);
            }
        }
    }
    status
}

pub(super) fn tty(sys: &mut Sys<'_, '_>, _: &[String], done: &mut Output) -> u8 {
    let tty = sys.tty(0).is_some();
    done.line(if tty { "/dev/pts/0" } else { "not a tty" });
    u8::from(!tty)
}

pub(super) fn stty(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(tty) = sys.tty(0) else {
        done.complain("stty: standard input: Inappropriate ioctl for device");
        return 1;
    };
    if args.len() == 1 {
        done.line("speed 38400 baud; line = 0;");
    }
    let mut words = args[1..].iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "size" => done.line(&format!("{} {}", tty.size.0, tty.size.1)),
            "echo" => tty.echo = true,
            "-echo" => tty.echo = false,
            "raw" => (tty.canonical, tty.signals, tty.echo) = (false, false, tty.echo),
            "-raw" | "cooked" | "sane" => {
                (tty.canonical, tty.signals, tty.echo) = (true, true, true);
            }
            "icanon" => tty.canonical = true,
            "-icanon" | "cbreak" => tty.canonical = false,
            "isig" => tty.signals = true,
            "-isig" => tty.signals = false,
            "rows" => {
                tty.size.0 = words.next().and_then(|text| text.parse().ok()).unwrap_or(tty.size.0);
            }
            "cols" | "columns" => {
                tty.size.1 = words.next().and_then(|text| text.parse().ok()).unwrap_or(tty.size.1);
            }
            _ => {}
        }
    }
    0
}

pub(super) fn which(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let cwd = sys.cwd();
    let path = sys.env("PATH").unwrap_or_else(|| PATH.into());
    let mut status = 0;
    for name in args[1..].iter().filter(|arg| *arg != "-a") {
        match find(&sys.system.files, &cwd, &path, name) {
            Ok(file) => done.line(&file),
            Err(_) => status = 1,
        }
    }
    status
}

pub(super) fn figures(_: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    match super::base(&args[0]) {
        "uptime" => {
            done.line(" 00:00:00 up 1 day,  0:00,  0 users,  load average: 0.00, 0.00, 0.00");
        }
        "free" => {
            done.line(
                "              total        used        free      shared  buff/cache   available",
            );
            done.line(
                "Mem:        2097152      524288     1048576           0      524288     1572864",
            );
            done.line("Swap:             0           0           0");
        }
        _ => {}
    }
    0
}

pub(super) fn getconf(_: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    match args.get(1).map(String::as_str) {
        Some("PAGESIZE" | "PAGE_SIZE") => done.line("4096"),
        Some("_NPROCESSORS_ONLN" | "_NPROCESSORS_CONF") => done.line("2"),
        Some("CLK_TCK") => done.line("100"),
        Some("LONG_BIT") => done.line("64"),
        Some(name) => {
            done.complain(&format!("getconf: unknown variable '{name}'"));
            return 1;
        }
        None => return 1,
    }
    0
}

/// Asks the engine's own server for a name.
pub(super) fn nslookup(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let host = args[1..].iter().find(|arg| !arg.starts_with('-')).map_or("", |host| host);
    for line in ["Server:\t\t127.0.0.11", "Address:\t127.0.0.11:53", ""] {
        done.line(line);
    }
    let Some(address) = sys.resolve(host) else {
        done.line(&format!("** server can't find {host}: NXDOMAIN\n"));
        return 1;
    };
    done.line(&format!("Non-authoritative answer:\nName:\t{host}\nAddress: {address}\n"));
    0
}

/// Programs that would talk to somebody over the network, where nobody listens.
pub(super) fn refuse(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let own = super::base(&args[0]);
    let mut words = args[1..].iter().filter(|arg| !arg.starts_with('-'));
    let host = words.next().map_or("", |host| host);
    done.complain(&if own == "wget" {
        let host = host.split("://").last().unwrap_or(host).split('/').next().unwrap_or_default();
        let name = host.split(':').next().unwrap_or_default();
        match sys.resolve(name) {
            Some(address) => {
                format!("wget: can't connect to remote host ({address}): Connection refused")
            }
            None => format!("wget: bad address '{host}'"),
        }
    } else {
        let port = words.next().map_or("0", |port| port);
        let known = sys.resolve(host).map_or_else(|| host.to_string(), |at| at.to_string());
        format!("{own}: can't connect to remote host ({known}:{port}): Connection refused")
    });
    1
}
