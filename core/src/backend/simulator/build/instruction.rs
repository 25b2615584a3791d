//! The instructions of a Dockerfile, understood.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde_json::Value;

use super::dockerfile::Line;
use super::text::{parse_duration, quoted};
use crate::backend::simulator::config::Healthcheck;

/// One instruction.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Instruction {
    From(From),
    Env(Vec<(String, String)>),
    /// As in the Dockerfile; those of the query have nothing to expand.
    Label { pairs: Vec<(String, String)>, expand: bool },
    Maintainer(String),
    Copy(Copy),
    Run { command: Command, flag: Option<String> },
    Cmd(Command),
    Entrypoint(Command),
    OnBuild(String),
    Workdir(String),
    User(String),
    Volume(Vec<String>),
    Expose(Vec<String>),
    StopSignal(String),
    Arg(Vec<(String, Option<String>)>),
    Healthcheck(Healthcheck),
    Shell(Vec<String>),
}

/// The beginning of a stage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct From {
    pub(super) base: String,
    /// In lower case.
    pub(super) name: Option<String>,
    pub(super) platform: String,
}

/// `COPY` or `ADD`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Copy {
    pub(super) add: bool,
    pub(super) sources: Vec<String>,
    pub(super) dest: String,
    pub(super) from: String,
    pub(super) chown: String,
    pub(super) chmod: String,
}

/// What is run: words, or one line for a shell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Command {
    pub(super) words: Vec<String>,
    pub(super) for_shell: bool,
}

/// What is wrong with an instruction. dockerd reads the whole file before it looks at what the instructions mean.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Problem {
    Syntax(String),
    Meaning(String),
}

/// What stands behind an instruction's word: a JSON array of strings, or words.
enum Args {
    Json(Vec<String>),
    Words(Vec<String>),
}

impl Args {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::Json(words) | Self::Words(words) => words,
        }
    }
}

fn meaning<T>(words: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Meaning(words.into()))
}

/// The strings of a JSON array at the beginning of a line; `None` if there is none.
fn json(rest: &str) -> Result<Option<Vec<String>>, Problem> {
    if !rest.starts_with('[') {
        return Ok(None);
    }
    let mut documents = serde_json::Deserializer::from_str(rest).into_iter::<Vec<Value>>();
    let Some(Ok(values)) = documents.next() else { return Ok(None) };
    let texts = values.into_iter().map(|value| match value {
        Value::String(text) => Ok(text),
        _ => Err(Problem::Syntax(
            "When using JSON array syntax, arrays must be comprised of strings only.".into(),
        )),
    });
    texts.collect::<Result<_, _>>().map(Some)
}

fn json_or_line(rest: &str) -> Result<Args, Problem> {
    Ok(match json(rest)? {
        Some(words) => Args::Json(words),
        None if rest.is_empty() => Args::Words(Vec::new()),
        None => Args::Words([rest.to_string()].into()),
    })
}

fn json_or_words(rest: &str) -> Result<Vec<String>, Problem> {
    Ok(match json(rest)? {
        Some(words) => words,
        None => rest.split_whitespace().map(ToString::to_string).collect(),
    })
}

fn command(args: Args) -> Command {
    match args {
        Args::Json(words) => Command { words, for_shell: false },
        Args::Words(words) => Command { words, for_shell: true },
    }
}

/// The words of a line, with their quotes still around them.
fn words(rest: &str, escape: char) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(core::mem::take(&mut word));
                }
                continue;
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (quote, c) if c == escape && quote != Some('\'') => {
                let Some(next) = chars.next() else { continue };
                word.push(c);
                word.push(next);
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// `key=value key="other value"`, or the old form `key value`.
fn pairs(line: &Line, escape: char) -> Result<Vec<(String, String)>, Problem> {
    let name = line.word.to_uppercase();
    let words = words(&line.rest, escape);
    let Some(first) = words.first() else {
        return meaning(format!("{name} requires at least one argument"));
    };
    let pairs: Vec<(String, String)> = if first.contains('=') {
        let pair = |word: &String| {
            word.split_once('=').map(|(key, value)| (key.to_string(), value.to_string())).ok_or_else(
                || {
                    let word = quoted(word);
                    Problem::Syntax(format!(
                        "Syntax error - can't find = in {word}. Must be of the form: name=value"
                    ))
                },
            )
        };
        words.iter().map(pair).collect::<Result<_, _>>()?
    } else {
        match line.rest.split_once(char::is_whitespace) {
            Some((key, value)) => [(key.to_string(), value.trim_start().to_string())].into(),
            None => return Err(Problem::Syntax(format!("{name} must have two arguments"))),
        }
    };
    match pairs.iter().any(|(key, _)| key.is_empty()) {
        true => meaning(format!("{name} names can not be blank")),
        false => Ok(pairs),
    }
}

/// The values of flags; of those in `many` there may be several.
fn flags<'l>(
    line: &'l Line,
    known: &[&str],
    many: &[&str],
) -> Result<BTreeMap<&'l str, &'l str>, Problem> {
    let mut values = BTreeMap::new();
    for flag in &line.flags {
        let bare = flag.strip_prefix("--").unwrap_or(flag);
        let (name, value) = match bare.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (bare, None),
        };
        if !known.contains(&name) && !many.contains(&name) {
            return meaning(format!("Unknown flag: {name}"));
        }
        if values.contains_key(name) && !many.contains(&name) {
            return meaning(format!("Duplicate flag specified: {name}"));
        }
        let Some(value) = value else { return meaning(format!("Missing a value on flag: {name}")) };
        values.insert(name, value);
    }
    Ok(values)
}

impl Instruction {
    /// What a line means.
    pub(super) fn parse(line: &Line, escape: char) -> Result<Self, Problem> {
        let name = line.word.to_uppercase();
        let at_least_one = |none: bool| match none {
            true => meaning(format!("{name} requires at least one argument")),
            false => Ok(()),
        };
        let one = || match &*line.rest {
            "" => meaning(format!("{name} requires exactly one argument")),
            rest => Ok(rest.to_string()),
        };
        // What takes no flags refuses them when its arguments are right.
        let plain = |instruction| flags(line, &[], &[]).map(|_| instruction);
        match &*line.word {
            "from" => from(line),
            "env" => plain(Self::Env(pairs(line, escape)?)),
            "label" => plain(Self::Label { pairs: pairs(line, escape)?, expand: true }),
            "maintainer" => plain(Self::Maintainer(one()?)),
            "add" | "copy" => copy(line),
            "run" => {
                let command = command(json_or_line(&line.rest)?);
                let flag = flags(line, &[], &["mount"])?.keys().next().map(ToString::to_string);
                Ok(Self::Run { command, flag })
            }
            "cmd" => plain(Self::Cmd(command(json_or_line(&line.rest)?))),
            "entrypoint" => plain(Self::Entrypoint(command(json_or_line(&line.rest)?))),
            "onbuild" => on_build(line, escape).and_then(plain),
            "workdir" => plain(Self::Workdir(one()?)),
            "user" => plain(Self::User(one()?)),
            "volume" => {
                let paths = json_or_words(&line.rest)?;
                at_least_one(paths.is_empty())?;
                let paths: Vec<String> = paths.iter().map(|path| path.trim().to_string()).collect();
                match paths.iter().any(String::is_empty) {
                    true => meaning("VOLUME specified can not be an empty string"),
                    false => plain(Self::Volume(paths)),
                }
            }
            "expose" => {
                let mut ports: Vec<String> =
                    line.rest.split_whitespace().map(ToString::to_string).collect();
                at_least_one(ports.is_empty())?;
                ports.sort();
                plain(Self::Expose(ports))
            }
            "stopsignal" => plain(Self::StopSignal(one()?)),
            "arg" => {
                let words = words(&line.rest, escape);
                at_least_one(words.is_empty())?;
                let arg = |word: String| match word.split_once('=') {
                    Some(("", _)) => meaning("ARG names can not be blank"),
                    Some((key, value)) => Ok((key.to_string(), Some(value.to_string()))),
                    None => Ok((word, None)),
                };
                plain(Self::Arg(words.into_iter().map(arg).collect::<Result<_, _>>()?))
            }
            "healthcheck" => healthcheck(line),
            "shell" => match json_or_line(&line.rest)? {
                Args::Json(words) | Args::Words(words) if words.is_empty() => {
                    meaning("SHELL requires at least one argument")
                }
                Args::Json(words) => plain(Self::Shell(words)),
                Args::Words(_) => meaning("SHELL requires the arguments to be in JSON form"),
            },
            _ => meaning(format!("unknown instruction: {name}")),
        }
    }
}

fn from(line: &Line) -> Result<Instruction, Problem> {
    let args: Vec<&str> = line.rest.split_whitespace().collect();
    let (base, name) = match args[..] {
        [base] => (base, None),
        [base, word, name] if word.eq_ignore_ascii_case("as") => {
            let lower = name.to_lowercase();
            let is_part =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
            if !lower.starts_with(|c: char| c.is_ascii_lowercase()) || !lower.chars().all(is_part) {
                return meaning(format!(
                    "invalid name for build stage: {}, name can't start with a number or contain symbols",
                    quoted(name)
                ));
            }
            (base, Some(lower))
        }
        _ => return meaning("FROM requires either one or three arguments"),
    };
    let platform = flags(line, &["platform"], &[])?.get("platform").copied().unwrap_or_default();
    Ok(Instruction::From(From { base: base.into(), name, platform: platform.into() }))
}

fn copy(line: &Line) -> Result<Instruction, Problem> {
    let mut paths = json_or_words(&line.rest)?;
    let add = line.word == "add";
    let dest = match paths.pop() {
        Some(dest) if !paths.is_empty() => dest,
        _ => {
            let name = line.word.to_uppercase();
            return meaning(format!(
                "{name} requires at least two arguments, but only one was provided. Destination could not be determined"
            ));
        }
    };
    let known: &[&str] = if add { &["chown", "chmod"] } else { &["chown", "chmod", "from"] };
    let flags = flags(line, known, &[])?;
    let flag = |name| flags.get(name).map(ToString::to_string).unwrap_or_default();
    let (from, chown, chmod) = (flag("from"), flag("chown"), flag("chmod"));
    Ok(Instruction::Copy(Copy { add, sources: paths, dest, from, chown, chmod }))
}

fn on_build(line: &Line, escape: char) -> Result<Instruction, Problem> {
    if line.rest.is_empty() {
        return meaning("ONBUILD requires at least one argument");
    }
    let trigger = Line::parse(&line.rest, line.number);
    match &*trigger.word {
        "onbuild" => return meaning("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        word @ ("from" | "maintainer") => {
            let word = word.to_uppercase();
            return meaning(format!("{word} isn't allowed as an ONBUILD trigger"));
        }
        _ => {}
    }
    // What a trigger means is looked at only when it is due.
    match Instruction::parse(&trigger, escape) {
        Err(problem @ Problem::Syntax(_)) => Err(problem),
        _ => Ok(Instruction::OnBuild(line.rest.clone())),
    }
}

fn healthcheck(line: &Line) -> Result<Instruction, Problem> {
    let (kind, rest) = line.rest.split_once(char::is_whitespace).unwrap_or((&line.rest, ""));
    let kind = kind.to_uppercase();
    let args = json_or_line(rest.trim_start())?;
    match &*kind {
        "" => return meaning("HEALTHCHECK requires at least one argument"),
        "NONE" => {
            if !args.into_vec().is_empty() {
                return meaning("HEALTHCHECK NONE takes no arguments");
            }
            let test = Some(["NONE".to_string()].into());
            return Ok(Instruction::Healthcheck(Healthcheck { test, ..Healthcheck::default() }));
        }
        _ => {}
    }
    let flags = flags(line, &["interval", "timeout", "start-period", "retries"], &[])?;
    if kind != "CMD" {
        let kind = quoted(&kind);
        return meaning(format!("Unknown type {kind} in HEALTHCHECK (try CMD)"));
    }
    let how = if matches!(args, Args::Json(_)) { "CMD" } else { "CMD-SHELL" };
    let words = args.into_vec();
    if words.is_empty() {
        return meaning("Missing command after HEALTHCHECK CMD");
    }
    let interval = |name: &str| match flags.get(name).copied().unwrap_or_default() {
        "" => Ok(0),
        text => match parse_duration(text) {
            Ok(nanos) if nanos != 0 && nanos < 1_000_000 => {
                meaning(format!("Interval \"{name}\" cannot be less than 1ms"))
            }
            Ok(nanos) => Ok(nanos),
            Err(words) => meaning(words),
        },
    };
    let retries = match flags.get("retries").copied().unwrap_or_default() {
        "" => 0,
        text => match text.parse::<i32>() {
            Ok(retries) if retries < 1 => {
                return meaning(format!("--retries must be at least 1 (not {retries})"));
            }
            Ok(retries) => retries.into(),
            Err(error) => {
                let what = match error.kind() {
                    core::num::IntErrorKind::PosOverflow | core::num::IntErrorKind::NegOverflow => {
                        "value out of range"
                    }
                    _ => "invalid syntax",
                };
                return meaning(format!("strconv.ParseInt: parsing {}: {what}", quoted(text)));
            }
        },
    };
    Ok(Instruction::Healthcheck(Healthcheck {
        test: Some([&[how.to_string()][..], &words[..]].concat()),
        interval: interval("interval")?,
        timeout: interval("timeout")?,
        start_period: interval("start-period")?,
        retries,
    }))
}

#[cfg(test)]
mod tests {
    use super::{Instruction, Problem};
    use crate::backend::simulator::build::dockerfile::Line;
    use alloc::string::ToString;

    fn parse(line: &str) -> Result<Instruction, Problem> {
        Instruction::parse(&Line::parse(line, 1), '\\')
    }

    #[test]
    fn refusals_are_those_of_dockerd() {
        for (line, words) in [
            ("JUNK x", "unknown instruction: JUNK"),
            ("FROM a b", "FROM requires either one or three arguments"),
            (
                "FROM tiny AS 1x",
                "invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
            ),
            ("FROM --bogus=1 tiny", "Unknown flag: bogus"),
            ("COPY --from a /x", "Missing a value on flag: from"),
            ("COPY --chown=1 --chown=2 a /x", "Duplicate flag specified: chown"),
            ("RUN --network=none x", "Unknown flag: network"),
            (
                "ADD [\"a\"]",
                "ADD requires at least two arguments, but only one was provided. Destination could not be determined",
            ),
            ("ENV", "ENV requires at least one argument"),
            ("ENV =x", "ENV names can not be blank"),
            ("WORKDIR", "WORKDIR requires exactly one argument"),
            ("VOLUME [\"\"]", "VOLUME specified can not be an empty string"),
            ("SHELL x", "SHELL requires the arguments to be in JSON form"),
            ("SHELL []", "SHELL requires at least one argument"),
            ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
            ("HEALTHCHECK x", "Unknown type \"X\" in HEALTHCHECK (try CMD)"),
            ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
            ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
            ("HEALTHCHECK --interval=1us CMD x", "Interval \"interval\" cannot be less than 1ms"),
            ("HEALTHCHECK --retries=-1 CMD x", "--retries must be at least 1 (not -1)"),
            (
                "HEALTHCHECK --retries=0x CMD x",
                "strconv.ParseInt: parsing \"0x\": invalid syntax",
            ),
            ("ONBUILD", "ONBUILD requires at least one argument"),
            ("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger"),
            ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
            ("ARG =x", "ARG names can not be blank"),
        ] {
            assert_eq!(parse(line), Err(Problem::Meaning(words.to_string())), "{line}");
        }
        for (line, words) in [
            ("ENV A", "ENV must have two arguments"),
            (
                "LABEL A=b C",
                "Syntax error - can't find = in \"C\". Must be of the form: name=value",
            ),
            (
                "RUN [1]",
                "When using JSON array syntax, arrays must be comprised of strings only.",
            ),
        ] {
            assert_eq!(parse(line), Err(Problem::Syntax(words.to_string())), "{line}");
        }
    }

    #[test]
    fn words_keep_their_quotes_until_variables_are_in() {
        let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
        assert_eq!(
            parse("ENV A=1 B=\"two words\" C=a\\ b"),
            Ok(Instruction::Env([pair("A", "1"), pair("B", "\"two words\""), pair("C", "a\\ b")].into()))
        );
        assert_eq!(
            parse("env C  three words"),
            Ok(Instruction::Env([pair("C", "three words")].into()))
        );
        let Ok(Instruction::Run { command, .. }) = parse("RUN [\"a\", 'b']") else { panic!() };
        assert!(command.for_shell, "what is no JSON is a line");
        let Ok(Instruction::Cmd(command)) = parse("CMD [\"a\", \"b c\"] junk") else { panic!() };
        assert_eq!((command.for_shell, command.words.len()), (false, 2));
    }
}
