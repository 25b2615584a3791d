//! The commands that change the shell itself, or that are too common to be programs.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Shell;
use super::frame::{Frame, TextKind};
use super::input::Reading;
use crate::backend::simulator::process::applets::{self, Output};
use crate::backend::simulator::process::start::{PATH, find as find_program};
use crate::backend::simulator::process::{Pid, Signal, Sys};

/// What a builtin has printed.
pub(super) type Done = Output;

/// A builtin: its status, or nothing if it has pushed frames that will say.
pub(super) type Builtin = fn(&mut Shell, &mut Sys<'_, '_>, &[String], &mut Done) -> Option<u8>;

/// Builtins whose errors end a shell, and whose assignments stay.
pub(super) fn is_special(name: &str) -> bool {
    matches!(
        name,
        "." | ":"
            | "break"
            | "continue"
            | "eval"
            | "exec"
            | "exit"
            | "export"
            | "readonly"
            | "return"
            | "set"
            | "shift"
            | "source"
            | "times"
            | "trap"
            | "unset"
    )
}

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        ":" | "true" => |_, _, _, _| Some(0),
        "false" => |_, _, _, _| Some(1),
        "echo" => |_, sys, args, done| Some(applets::echo(sys, args, done)),
        "printf" => {
            |shell, sys, args, done| Some(shell.as_applet(applets::printf, sys, args, done))
        }
        "test" | "[" | "[[" => {
            |shell, sys, args, done| Some(shell.as_applet(applets::test, sys, args, done))
        }
        "kill" => kill,
        "pwd" => |_, sys, _, done| {
            let cwd = sys.cwd();
            done.line(&cwd);
            Some(0)
        },
        "cd" => cd,
        "exit" => exit,
        "return" => |shell, sys, args, _| {
            let code = code_of(args.get(1)).unwrap_or(shell.status);
            shell.leave_function(sys, code);
            Some(code)
        },
        "break" | "continue" => |shell, sys, args, done| {
            let count =
                args.get(1).map_or(Some(1), |text| text.parse().ok()).filter(|count| *count > 0);
            let Some(count) = count else {
                return shell.wrong(
                    sys,
                    done,
                    &format!("{}: Illegal number: {}", args[0], args[1]),
                );
            };
            shell.leave_loops(sys, count, args[0] == "continue");
            Some(0)
        },
        "eval" => |shell, _, args, _| {
            shell.status = 0;
            shell.frames.push(Frame::text(args[1..].join(" ").as_str().into(), TextKind::Eval));
            None
        },
        "." | "source" => dot,
        "set" => set,
        "shift" => |shell, _, args, _| {
            let count = args.get(1).map_or(Some(1), |text| text.parse().ok());
            match count.filter(|count| *count <= shell.positional.len()) {
                Some(count) => {
                    shell.positional = shell.positional[count..].into();
                    Some(0)
                }
                None => Some(1),
            }
        },
        "export" | "readonly" => export,
        "local" => local,
        "unset" => unset,
        "read" => read,
        "trap" => trap,
        "wait" => wait,
        "umask" => |_, sys, args, done| match args.get(1) {
            None => {
                let mask = sys.process().umask;
                done.line(&format!("{mask:04o}"));
                Some(0)
            }
            Some(text) => match u16::from_str_radix(text, 8) {
                Ok(mask) if mask <= 0o777 => {
                    sys.process().umask = mask;
                    Some(0)
                }
                _ => {
                    done.complain(&format!("sh: umask: line 0: Illegal mode: {text}"));
                    Some(2)
                }
            },
        },
        "command" | "type" => command,
        "getopts" => getopts,
        "let" => |shell, sys, args, done| {
            let mut last = 0;
            for arg in &args[1..] {
                match super::arithmetic::evaluate(arg, &mut Direct(&mut shell.vars)) {
                    Ok(value) => last = value,
                    Err(text) => return shell.wrong(sys, done, &text),
                }
            }
            Some(u8::from(last == 0))
        },
        "jobs" | "alias" | "unalias" | "hash" | "fg" | "bg" => |_, _, _, _| Some(0),
        "times" => |_, _, _, done| {
            done.line("0m0.000s 0m0.000s\n0m0.000s 0m0.000s");
            Some(0)
        },
        "ulimit" => |_, _, args, done| {
            let asks = args.get(1).map_or("-f", |arg| arg.as_str());
            if args.len() < 3 {
                done.line(if asks == "-n" { "1024" } else { "unlimited" });
            }
            Some(0)
        },
        _ => return None,
    })
}

/// Variables that are assigned at once.
struct Direct<'a>(&'a mut super::vars::Vars);

impl super::arithmetic::Scope for Direct<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).map(Into::into)
    }

    fn set(&mut self, name: &str, value: i64) {
        let _ = self.0.set(name, &value.to_string());
    }
}

impl Shell {
    fn as_applet(
        &self,
        applet: applets::Immediate,
        sys: &mut Sys<'_, '_>,
        args: &[String],
        done: &mut Done,
    ) -> u8 {
        let mut own = args.to_vec();
        let mut said = Output::default();
        let status = applet(sys, &own, &mut said);
        // A builtin speaks as the shell.
        let name = core::mem::take(&mut own[0]);
        done.out.append(&mut said.out);
        for line in String::from_utf8_lossy(&said.err).lines() {
            let text = line
                .strip_prefix(name.as_str())
                .and_then(|rest| rest.strip_prefix(": "))
                .unwrap_or(line);
            done.complain(&format!("{}: {text}", self.name));
        }
        status
    }

    /// An error of a special builtin: the shell ends, if nobody talks to it.
    fn wrong(&mut self, sys: &mut Sys<'_, '_>, _done: &mut Done, text: &str) -> Option<u8> {
        self.fail(sys, text);
        Some(2)
    }

    /// How a builtin tells where it stands.
    fn own(&self, name: &str, text: &str) -> String {
        let line = if self.in_file { self.line } else { 0 };
        format!("{}: {name}: line {line}: {text}", self.name)
    }
}

fn code_of(text: Option<&String>) -> Option<u8> {
    text?.parse::<i64>().ok().map(|code| (code & 255) as u8)
}

fn exit(shell: &mut Shell, sys: &mut Sys<'_, '_>, args: &[String], done: &mut Done) -> Option<u8> {
    let code = match args.get(1) {
        None => shell.exiting.unwrap_or(shell.status),
        Some(text) => match text.parse::<u32>() {
            Ok(code) => (code & 255) as u8,
            Err(_) => {
                done.complain(&shell.own("exit", &format!("Illegal number: {text}")));
                2
            }
        },
    };
    shell.exit(sys, code);
    Some(code)
}

fn cd(shell: &mut Shell, sys: &mut Sys<'_, '_>, args: &[String], done: &mut Done) -> Option<u8> {
    let mut args = args[1..].iter().filter(|arg| !matches!(arg.as_str(), "-P" | "-L" | "--"));
    let target = match args.next().map(String::as_str) {
        None => shell.vars.get("HOME").unwrap_or("/").to_string(),
        Some("-") => {
            let old = shell.vars.get("OLDPWD").unwrap_or("/").to_string();
            done.line(&old);
            old
        }
        Some(target) => target.to_string(),
    };
    let cwd = sys.cwd();
    let files = &sys.system.files;
    let found =
        files.canonical(&cwd, &target).and_then(|path| files.list(&path, ".").map(|_| path));
    match found {
        Ok(path) => {
            let _ = shell.vars.set("OLDPWD", &cwd);
            let _ = shell.vars.set("PWD", &path);
            sys.process().cwd = path.into();
            Some(0)
        }
        Err(error) => {
            done.complain(&shell.own("cd", &format!("can't cd to {target}: {error}")));
            Some(2)
        }
    }
}

fn dot(shell: &mut Shell, sys: &mut Sys<'_, '_>, args: &[String], done: &mut Done) -> Option<u8> {
    let Some(file) = args.get(1) else { return Some(2) };
    let cwd = sys.cwd();
    let mut path = file.clone();
    if !file.contains('/') {
        let folders = shell.vars.get("PATH").unwrap_or(PATH);
        let mut paths = folders.split(':').map(|folder| format!("{folder}/{file}"));
        path = paths.find(|path| sys.system.files.read(&cwd, path).is_ok()).unwrap_or(path);
    }
    match sys.system.files.read(&cwd, &path) {
        Ok(text) => {
            shell.status = 0;
            let text: alloc::sync::Arc<str> = String::from_utf8_lossy(&text).into();
            let kind = TextKind::Dot { in_file: shell.in_file };
            shell.frames.push(Frame::text(text, kind));
            None
        }
        Err(error) => {
            let text = shell.own(".", &format!("can't open '{file}': {error}"));
            done.complain(&text);
            if !shell.options.interactive {
                shell.exit(sys, 2);
            }
            Some(2)
        }
    }
}

fn set(shell: &mut Shell, sys: &mut Sys<'_, '_>, args: &[String], done: &mut Done) -> Option<u8> {
    if args.len() == 1 {
        for (name, var) in shell.vars.iter() {
            if let Some(value) = &var.value {
                done.line(&format!("{name}='{}'", value.replace('\'', "'\\''")));
            }
        }
        return Some(0);
    }
    let mut rest = &args[1..];
    while let Some(arg) = rest.first().filter(|arg| arg.starts_with(['-', '+'])) {
        rest = &rest[1..];
        if arg == "--" {
            shell.positional = rest.into();
            return Some(0);
        }
        if arg == "-" {
            break;
        }
        let on = arg.starts_with('-');
        for letter in arg.chars().skip(1) {
            let known = if letter == 'o' {
                let name = rest.first();
                rest = rest.get(1..).unwrap_or_default();
                name.is_none_or(|name| shell.options.set_long(name, on))
            } else {
                shell.options.set(letter, on)
            };
            if !known {
                let text = shell
                    .own("set", &format!("illegal option {}{letter}", if on { '-' } else { '+' }));
                done.complain(&text);
                shell.exit(sys, 2);
                return Some(2);
            }
        }
    }
    if !rest.is_empty() {
        shell.positional = rest.into();
    }
    Some(0)
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

fn export(
    shell: &mut Shell,
    sys: &mut Sys<'_, '_>,
    args: &[String],
    done: &mut Done,
) -> Option<u8> {
    let read_only = args[0] == "readonly";
    let names: Vec<&String> = args[1..].iter().filter(|arg| !arg.starts_with('-')).collect();
    if names.is_empty() {
        for (name, var) in shell.vars.iter() {
            if if read_only { var.read_only } else { var.exported } {
                let value =
                    var.value.as_ref().map(|value| format!("='{}'", value.replace('\'', "'\\''")));
                done.line(&format!("{} {name}{}", args[0], value.unwrap_or_default()));
            }
        }
        return Some(0);
    }
    for arg in names {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (arg.as_str(), None),
        };
        if !is_name(name) {
            let text = format!(
                "{}: line {}: {arg}: bad variable name",
                args[0],
                if shell.in_file { shell.line } else { 0 }
            );
            return shell.wrong(sys, done, &text);
        }
        if let Some(value) = value
            && let Err(text) = shell.vars.set(name, value)
        {
            return shell.wrong(sys, done, &text);
        }
        shell.vars.change(name, |var| {
            var.exported |= !read_only;
            var.read_only |= read_only;
        });
    }
    Some(0)
}

fn local(shell: &mut Shell, sys: &mut Sys<'_, '_>, args: &[String], done: &mut Done) -> Option<u8> {
    for arg in &args[1..] {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (arg.as_str(), None),
        };
        if !is_name(name) {
            return shell.wrong(sys, done, &format!("local: {arg}: bad variable name"));
        }
        let var = shell.vars.save(name);
        let locals = shell.frames.iter_mut().rev().find_map(|frame| match frame {
            Frame::Function { locals, .. } => Some(locals),
            _ => None,
        });
        let Some(locals) = locals else {
            done.complain(&shell.own("local", "not in a function"));
            shell.exit(sys, 2);
            return Some(2);
        };
        if !locals.iter().any(|(known, _)| known == name) {
            locals.push((name.into(), var));
        }
        if let Some(value) = value
            && let Err(text) = shell.vars.set(name, value)
        {
            return shell.wrong(sys, done, &text);
        }
    }
    Some(0)
}

fn unset(shell: &mut Shell, sys: &mut Sys<'_, '_>, args: &[String], done: &mut Done) -> Option<u8> {
    let functions = args.get(1).is_some_and(|arg| arg == "-f");
    for name in args[1..].iter().filter(|arg| !arg.starts_with('-')) {
        if functions {
            alloc::sync::Arc::make_mut(&mut shell.functions).remove(name);
        } else if let Err(text) = shell.vars.unset(name) {
            return shell.wrong(sys, done, &text);
        }
    }
    Some(0)
}

fn read(shell: &mut Shell, sys: &mut Sys<'_, '_>, args: &[String], done: &mut Done) -> Option<u8> {
    let (mut raw, mut fd, mut most) = (false, 0, None);
    let mut names = Vec::new();
    let mut rest = args[1..].iter();
    while let Some(arg) = rest.next() {
        if !names.is_empty() || !arg.starts_with('-') || arg.len() < 2 {
            names.push(arg.clone());
            continue;
        }
        let letters = arg[1..].char_indices();
        for (at, letter) in letters {
            let takes_value = matches!(letter, 'p' | 'n' | 't' | 'u' | 'd');
            let mut value = String::new();
            if takes_value {
                let inline = &arg[at + 2..];
                value = if inline.is_empty() {
                    rest.next().cloned().unwrap_or_default()
                } else {
                    inline.into()
                };
            }
            match letter {
                'r' => raw = true,
                's' | 't' | 'd' => {}
                'p' => shell.say(sys, &value),
                'n' => most = value.parse().ok(),
                'u' => fd = value.parse().unwrap_or(0),
                _ => {
                    done.complain(&shell.own("read", &format!("illegal option -{letter}")));
                    return Some(2);
                }
            }
            if takes_value {
                break;
            }
        }
    }
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        done.complain(&shell.own("read", &format!("{name}: bad variable name")));
        return Some(2);
    }
    shell.frames.push(Frame::Read(Reading::new(names, raw, fd, most)));
    None
}

fn trap(shell: &mut Shell, sys: &mut Sys<'_, '_>, args: &[String], done: &mut Done) -> Option<u8> {
    let number = |name: &str| match name {
        "0" | "EXIT" | "exit" => Some(0),
        name => Signal::parse(name).map(Signal::number),
    };
    let rest: Vec<&String> = args[1..].iter().filter(|arg| *arg != "--").collect();
    let Some((first, names)) = rest.split_first() else {
        for (number, text) in &shell.traps {
            let name = Signal::new(*number).map_or_else(|| "EXIT".into(), Signal::name);
            done.line(&format!("trap -- '{}' {name}", text.replace('\'', "'\\''")));
        }
        return Some(0);
    };
    // A first word that is a number resets, as does `-`.
    let resets = first.as_str() == "-" || (names.is_empty() || first.parse::<u8>().is_ok());
    let names = if resets && first.as_str() != "-" { &rest[..] } else { names };
    let mut status = 0;
    for name in names {
        let Some(number) = number(name) else {
            done.complain(&format!("{}: trap: {name}: invalid signal specification", shell.name));
            status = 1;
            continue;
        };
        let process = sys.process();
        let bit = Signal::new(number).map_or(0, Signal::bit);
        process.caught &= !bit;
        process.ignored &= !bit;
        shell.traps.remove(&number);
        if !resets {
            if first.is_empty() {
                process.ignored |= bit;
            } else {
                process.caught |= bit;
            }
            shell.traps.insert(number, (*first).clone());
        }
    }
    Some(status)
}

fn wait(
    shell: &mut Shell,
    _sys: &mut Sys<'_, '_>,
    args: &[String],
    _done: &mut Done,
) -> Option<u8> {
    shell.status = 0;
    let pids: Vec<Pid> = if args.len() > 1 {
        args[1..].iter().filter_map(|arg| arg.trim_start_matches('%').parse().ok()).collect()
    } else {
        shell.jobs.iter().filter(|(_, code)| code.is_none()).map(|(pid, _)| *pid).collect()
    };
    // Without a name the status is 0, whatever the jobs' were.
    shell.frames.push(if args.len() > 1 {
        Frame::WaitJobs { pids }
    } else {
        Frame::WaitAll { pids }
    });
    None
}

fn kill(shell: &mut Shell, sys: &mut Sys<'_, '_>, args: &[String], done: &mut Done) -> Option<u8> {
    Some(shell.as_applet(applets::kill, sys, args, done))
}

fn command(
    shell: &mut Shell,
    sys: &mut Sys<'_, '_>,
    args: &[String],
    done: &mut Done,
) -> Option<u8> {
    let describe = args[0] == "type" || args.get(1).is_some_and(|arg| arg == "-V");
    if describe || args.get(1).is_some_and(|arg| arg == "-v") {
        let names = if args[0] == "type" { &args[1..] } else { &args[2..] };
        let mut status = 0;
        for name in names {
            let cwd = sys.cwd();
            let path = shell.vars.get("PATH").unwrap_or(PATH);
            let (long, short) = if shell.functions.contains_key(name) {
                (format!("{name} is a function"), name.clone())
            } else if find(name).is_some() || name == "exec" {
                let kind = if is_special(name) { "special shell builtin" } else { "shell builtin" };
                (format!("{name} is a {kind}"), name.clone())
            } else if let Ok(file) = find_program(&sys.system.files, &cwd, path, name) {
                (format!("{name} is {file}"), file)
            } else {
                if describe {
                    done.line(&format!("{name}: not found"));
                }
                status = 127;
                continue;
            };
            done.line(if describe { &long } else { &short });
        }
        return Some(status);
    }
    let rest: Vec<String> =
        args[1..].iter().filter(|arg| !matches!(arg.as_str(), "-p" | "--")).cloned().collect();
    let Some(name) = rest.first() else { return Some(0) };
    if let Some(builtin) = find(name) {
        return builtin(shell, sys, &rest, done);
    }
    shell.frames.push(Frame::Program { args: rest });
    None
}

fn getopts(
    shell: &mut Shell,
    _sys: &mut Sys<'_, '_>,
    args: &[String],
    done: &mut Done,
) -> Option<u8> {
    let [_, letters, name, given @ ..] = args else { return Some(2) };
    let words: Vec<String> =
        if given.is_empty() { shell.positional.to_vec() } else { given.to_vec() };
    let index: usize =
        shell.vars.get("OPTIND").and_then(|text| text.parse().ok()).unwrap_or(1).max(1);
    let inner: usize = shell.vars.get("_OPTPOS").and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut set = |name: &str, value: &str| drop(shell.vars.set(name, value));
    let word = words.get(index - 1).filter(|word| word.len() > 1 && word.starts_with('-'));
    let Some(word) = word.filter(|word| *word != "--") else {
        if words.get(index - 1).is_some_and(|word| word == "--") {
            set("OPTIND", &(index + 1).to_string());
        }
        set(name, "?");
        return Some(1);
    };
    let letter = word[inner.min(word.len())..].chars().next().unwrap_or('?');
    let after = inner + letter.len_utf8();
    let spec = letters.find(letter).filter(|_| letter != ':');
    let takes_value = spec.is_some_and(|at| letters[at + letter.len_utf8()..].starts_with(':'));
    let (mut next, mut position) =
        if after >= word.len() { (index + 1, 1) } else { (index, after) };
    match spec {
        None => {
            set(name, "?");
            if letters.starts_with(':') {
                set("OPTARG", &letter.to_string());
            } else {
                done.complain(&format!("Illegal option -{letter}"));
            }
        }
        Some(_) if takes_value => {
            let value = if after < word.len() {
                Some(word[after..].to_string())
            } else {
                next += 1;
                words.get(index).cloned()
            };
            if after < word.len() {
                next = index + 1;
            }
            position = 1;
            match value {
                Some(value) => {
                    set(name, &letter.to_string());
                    set("OPTARG", &value);
                }
                None if letters.starts_with(':') => {
                    set(name, ":");
                    set("OPTARG", &letter.to_string());
                }
                None => {
                    set(name, "?");
                    done.complain(&format!("No arg for -{letter} option"));
                }
            }
        }
        Some(_) => set(name, &letter.to_string()),
    }
    set("OPTIND", &next.to_string());
    set("_OPTPOS", &position.to_string());
    Some(0)
}

/// A word as `set -x` shows it.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=./,:@%^~".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}
