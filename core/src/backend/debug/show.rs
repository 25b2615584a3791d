//! A job as a block of text.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;
use serde_json::Value;

use super::secrets::{HIDDEN, hide, in_text, is_secret_header, is_secret_name};
use crate::http1::RequestHead;
use crate::job::{Cancel, Job, Request};

/// What a request's head says of its body.
pub(super) enum BodyHead {
    None,
    Known {
        bytes: u64,
        json: bool,
        kind: String,
    },
    /// It is sent in chunks.
    Unknown {
        kind: String,
    },
}

impl BodyHead {
    pub(super) fn of(job: &Job) -> Self {
        let Some(head) = job.request().map(Request::head) else { return Self::None };
        let kind = kind(head);
        if head.header("transfer-encoding").is_some() {
            return Self::Unknown { kind };
        }
        let length =
            head.header("content-length").and_then(|value| core::str::from_utf8(value).ok());
        match length.and_then(|value| value.parse().ok()) {
            None | Some(0) => Self::None,
            Some(bytes) => Self::Known { bytes, json: is_json(head), kind },
        }
    }
}

/// How a person reads the type of a body: ` of "application/x-tar"`, or nothing.
fn kind(head: &RequestHead) -> String {
    match head.header("content-type") {
        Some(kind) if !kind.is_empty() => format!(" of \"{}\"", kind.escape_ascii()),
        _ => String::new(),
    }
}

fn is_json(head: &RequestHead) -> bool {
    let kind = head.header("content-type").unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

/// The text for one job. Its first line stands at the margin, the others are indented.
pub(super) struct Block {
    text: String,
    kind: String,
    show_secrets: bool,
    /// `Data` in its body is the content of a secret or of a config.
    data: bool,
}

impl Block {
    /// All that is known before the body.
    pub(super) fn of(job: &Job, show_secrets: bool) -> Self {
        let data = matches!(
            job.name(),
            "secret_create" | "secret_update" | "config_create" | "config_update"
        );
        let kind = job.request().map(|request| kind(request.head())).unwrap_or_default();
        let mut block = Self { text: String::from("job "), kind, show_secrets, data };
        block.word(job.name());
        block.text.push('\n');
        if let Some(request) = job.request() {
            let head = request.head();
            let path = head.target().split('?').next().unwrap_or_default();
            let (method, path) = (head.method(), block.safe(path));
            block.line(format_args!("request {method} {path:?}"));
        }
        let arguments = if job.name() == Job::HTTP { 0 } else { usize::MAX };
        for argument in job.args().take(arguments) {
            let argument = block.safe(&argument);
            block.line(format_args!("arg {argument:?}"));
        }
        for (key, value) in job.envs() {
            let value = block.value(&key, &value);
            block.text.push_str("  env ");
            block.word(&key);
            block.text.push('=');
            block.end(format_args!("{value:?}"));
        }
        for (name, value) in job.request().into_iter().flat_map(|request| request.head().headers())
        {
            if block.show_secrets || !is_secret_header(name) {
                block.line(format_args!("header {name}: \"{}\"", value.escape_ascii()));
            } else {
                block.line(format_args!("header {name}: {HIDDEN}"));
            }
        }
        block
    }

    /// Adds what the head says of a body that is not read.
    pub(super) fn describe(&mut self, body: &BodyHead) {
        match body {
            BodyHead::None => {}
            BodyHead::Known { bytes, kind, .. } => {
                self.line(format_args!("body {bytes} bytes{kind}, not read"));
            }
            BodyHead::Unknown { kind } => {
                self.line(format_args!("body of unknown length{kind}, not read"));
            }
        }
    }

    /// Adds a body that was read.
    pub(super) fn counted(&mut self, bytes: u64) {
        let kind = core::mem::take(&mut self.kind);
        self.line(format_args!("body {bytes} bytes{kind}"));
    }

    /// Adds a body that should be JSON.
    pub(super) fn json(&mut self, bytes: &[u8]) {
        self.counted(bytes.len() as u64);
        let mut document: Value = match serde_json::from_slice(bytes) {
            Ok(document) => document,
            Err(error) => {
                self.line(format_args!("  which is not JSON: {error}"));
                return;
            }
        };
        if !self.show_secrets {
            hide(&mut document, self.data);
        }
        let Ok(pretty) = serde_json::to_string_pretty(&document) else { return };
        for line in pretty.lines() {
            self.text.push_str("    ");
            // What JSON leaves as it is may still drive a terminal: delete, C1, marks that change the direction.
            for c in line.chars() {
                if c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric() {
                    self.text.push(c);
                } else {
                    let _ = write!(self.text, "{}", c.escape_debug());
                }
            }
            self.text.push('\n');
        }
    }

    /// Adds why there is no more of its body.
    pub(super) fn cut_short(&mut self, bytes: u64, why: Cancel) {
        self.line(format_args!("body cut short after {bytes} bytes: {why}"));
    }

    pub(super) fn text(self) -> String {
        self.text
    }

    fn line(&mut self, line: core::fmt::Arguments<'_>) {
        self.text.push_str("  ");
        self.end(line);
    }

    fn end(&mut self, line: core::fmt::Arguments<'_>) {
        let _ = writeln!(self.text, "{line}");
    }

    /// A name: as it is if it is a plain word, else quoted.
    fn word(&mut self, name: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let _ = if !name.is_empty() && name.chars().all(plain) {
            self.text.write_str(name)
        } else {
            write!(self.text, "{name:?}")
        };
    }

    fn safe(&self, text: &str) -> String {
        if self.show_secrets { text.into() } else { in_text(text).into_owned() }
    }

    /// A variable's value. dockerode repeats its whole body in the query, and buildargs are JSON there.
    fn value(&self, key: &str, value: &str) -> String {
        if self.show_secrets {
            return value.into();
        }
        if !value.is_empty() && is_secret_name(key) || self.data && key.eq_ignore_ascii_case("data")
        {
            return HIDDEN.into();
        }
        if value.starts_with(['{', '['])
            && let Ok(mut document) = serde_json::from_str::<Value>(value)
        {
            let before = document.clone();
            hide(&mut document, self.data);
            return if document == before { value.into() } else { format!("{document}") };
        }
        self.safe(value)
    }
}
