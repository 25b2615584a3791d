//! What the daemon says: logs and lines on stderr, the output of backends on stdout.

use std::fmt;
use std::io::{self, Write};
use std::sync::Once;

use env_logger::{Builder, Target};
use libswarm::job::Log;
use log::LevelFilter;

/// Sends the `log` crate's records to stderr. Does nothing if the program has a logger already.
pub(crate) fn start(level: LevelFilter) {
    let _ = Builder::new()
        .filter_level(level)
        .target(Target::Stderr)
        .format(|out, record| writeln!(out, "{}", line(record.level(), &record.args().to_string())))
        .try_init();
}

/// One line, whatever the message holds: a name that a client chose must not forge another line or drive a terminal.
fn line(level: log::Level, message: &str) -> String {
    let level = match level {
        log::Level::Error => "error",
        log::Level::Warn => "warning",
        log::Level::Info => "info",
        log::Level::Debug | log::Level::Trace => "debug",
    };
    let mut line = format!("{level}: ");
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
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
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
