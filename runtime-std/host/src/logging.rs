//! What the daemon says: logs and lines on stderr, the output of backends on stdout.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Once, OnceLock};
use std::time::SystemTime;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches};
use env_logger::{Builder, Target};
use libswarm::job::Log;
use log::LevelFilter;

/// How lines on stderr look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// `warning: what there is to say`.
    Text,
    /// `{"level":"warning","msg":"what there is to say","time":"…"}`, as dockerd has it.
    Json,
}

/// The options that say what is logged, and how.
pub(crate) fn args() -> [Arg; 3] {
    [
        Arg::new("log-level")
            .long("log-level")
            .value_name("LEVEL")
            .help("Log on stderr: error, warn, info or debug [default: info]")
            .hide_possible_values(true)
            .value_parser(
                PossibleValuesParser::new(["error", "warn", "info", "debug"])
                    .try_map(|level| level.parse::<LevelFilter>()),
            ),
        Arg::new("debug")
            .short('D')
            .long("debug")
            .help("The same as --log-level debug")
            .action(ArgAction::SetTrue),
        Arg::new("log-format")
            .long("log-format")
            .value_name("FORMAT")
            .help("How to log: text, or json as dockerd has it [default: text]")
            .hide_possible_values(true)
            .value_parser(
                PossibleValuesParser::new(["text", "json"])
                    .map(|format| if format == "json" { Format::Json } else { Format::Text }),
            ),
    ]
}

/// What is logged, by these options.
pub(crate) fn level(matches: &ArgMatches) -> LevelFilter {
    if matches.get_flag("debug") {
        LevelFilter::Debug
    } else {
        matches.get_one("log-level").copied().unwrap_or(LevelFilter::Info)
    }
}

/// How that is logged, by these options.
pub(crate) fn format(matches: &ArgMatches) -> Format {
    matches.get_one("log-format").copied().unwrap_or(Format::Text)
}

static FORMAT: OnceLock<Format> = OnceLock::new();

/// Sends the `log` crate's records to stderr. Does nothing if the program has a logger already.
pub(crate) fn start(level: LevelFilter, format: Format) {
    let format = *FORMAT.get_or_init(|| format);
    let _ = Builder::new()
        .filter_level(level)
        .target(Target::Stderr)
        .format(move |out, record| {
            let message = record.args().to_string();
            writeln!(
                out,
                "{}",
                match format {
                    Format::Text => line(record.level(), &message),
                    Format::Json => object(record.level(), &message, now()),
                }
            )
        })
        .try_init();
}

#[expect(clippy::disallowed_methods, reason = "no run depends on when a line is logged")]
fn now() -> SystemTime {
    SystemTime::now()
}

const fn name(level: log::Level) -> &'static str {
    match level {
        log::Level::Error => "error",
        log::Level::Warn => "warning",
        log::Level::Info => "info",
        log::Level::Debug | log::Level::Trace => "debug",
    }
}

fn object(level: log::Level, message: &str, time: SystemTime) -> String {
    serde_json::json!({
        "level": name(level),
        "msg": message,
        "time": humantime::format_rfc3339_nanos(time).to_string(),
    })
    .to_string()
}

/// One line, whatever the message holds: a name that a client chose must not forge another line or drive a terminal.
fn line(level: log::Level, message: &str) -> String {
    let mut line = format!("{}: ", name(level));
    for character in message.chars() {
        if character.is_control() && character != '\t' {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// Says a line on stderr, whatever the log level is. That nobody reads it is no failure.
pub(crate) fn say(text: impl fmt::Display) {
    let line = match FORMAT.get() {
        Some(Format::Json) => object(log::Level::Info, &text.to_string(), now()),
        Some(Format::Text) | None => text.to_string(),
    };
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Says why the daemon ends, as [`say`].
pub(crate) fn say_error(error: &str) {
    let line = match FORMAT.get() {
        Some(Format::Json) => object(log::Level::Error, error, now()),
        Some(Format::Text) | None => format!("error: {error}"),
    };
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Does what a node's action to log asks for: a backend's own output goes to stdout, at once, on lines of its own; the
/// rest goes to the `log` crate. A stdout that is closed is no failure. It waits if stdout is a pipe that is full.
pub fn print_log(log: &Log) {
    match log {
        Log::Print(text) => {
            let end = if text.ends_with('\n') { "" } else { "\n" };
            print(text, end);
        }
        Log::Warn(text) => log::warn!("{text}"),
        Log::Debug(text) => log::debug!("{text}"),
        other => log::debug!("{other:?}"),
    }
}

/// Writes to stdout. A reader that has gone is no failure; what else goes wrong is said once.
pub(crate) fn print(text: &str, end: &str) {
    static FAILED: Once = Once::new();
    if let Err(error) = write_pieces(&mut io::stdout().lock(), text, end) {
        FAILED.call_once(|| log::warn!("stdout cannot be written to: {error}"));
    }
}

fn write_pieces(out: &mut impl Write, text: &str, end: &str) -> io::Result<()> {
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(end.as_bytes()))
        .and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(
            line(log::Level::Warn, "no \u{1b}[31mname\nerror: fake\ttab é"),
            "warning: no \\u{1b}[31mname\\nerror: fake\ttab é"
        );
    }

    #[test]
    fn an_object_is_dockerds() {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(1_500_000_000);
        assert_eq!(
            object(log::Level::Warn, "a \"name\"\nof\u{1b}", time),
            r#"{"level":"warning","msg":"a \"name\"\nof\u001b","time":"1970-01-01T00:00:01.500000000Z"}"#
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        drop(far);
        let mut near = near;
        assert_eq!(near.write_all(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(write_pieces(&mut near, "text", "\n").is_ok());
    }

    #[test]
    fn another_failure_is_one() {
        let mut full = &mut [0u8; 2][..];
        let error = write_pieces(&mut full, "text", "\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }

    #[test]
    fn text_and_end_are_written() {
        let mut out = Vec::new();
        write_pieces(&mut out, "text", "\n").unwrap();
        assert_eq!(out, b"text\n");
    }
}
