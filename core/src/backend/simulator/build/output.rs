//! What the client of a build is told: lines of JSON, as dockerd's own formatter writes them.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde_json::{Value, json};

/// Bytes of what a quiet build keeps for the case that it fails.
const KEPT: usize = 1 << 20;

/// The lines that are not written yet.
pub(in crate::backend::simulator) struct Output {
    pub(in crate::backend::simulator) lines: VecDeque<Vec<u8>>,
    /// With `q`: what is told only if something goes wrong, and its bytes.
    held: Option<(Vec<Vec<u8>>, usize)>,
}

impl Output {
    pub(super) fn new(quiet: bool) -> Self {
        Self { lines: VecDeque::new(), held: quiet.then(|| (Vec::new(), 0)) }
    }

    fn push(&mut self, line: Vec<u8>) {
        match &mut self.held {
            Some((_, bytes)) if *bytes + line.len() > KEPT => {}
            Some((lines, bytes)) => {
                *bytes += line.len();
                lines.push(line);
            }
            None => self.lines.push_back(line),
        }
    }

    pub(super) fn stdout(&mut self, text: &str) {
        self.push(line(&json!({"stream": text})));
    }

    /// In red.
    pub(super) fn stderr(&mut self, text: &str) {
        self.stdout(&format!("\u{1b}[91m{text}\u{1b}[0m"));
    }

    /// A line that is made already.
    pub(super) fn raw(&mut self, line: Vec<u8>) {
        self.push(line);
    }

    /// The id of a stage's image, for programs.
    pub(super) fn aux(&mut self, id: &str) {
        self.push(line(&json!({"aux": {"ID": id}})));
    }

    /// The last word of a quiet build.
    pub(super) fn result(&mut self, id: &str) {
        if self.held.is_some() {
            self.lines.push_back(line(&json!({"stream": format!("{id}\n")})));
        }
    }

    pub(super) fn error(&mut self, message: &str, code: Option<i32>) {
        if let Some((lines, _)) = self.held.take() {
            self.lines.extend(lines);
        }
        let detail = match code {
            Some(code) => json!({"code": code, "message": message}),
            None => json!({"message": message}),
        };
        self.lines.push_back(line(&json!({"errorDetail": detail, "error": message})));
    }
}

/// A document and an end of line, with what HTML would take for a tag escaped, as Go does it.
fn line(document: &Value) -> Vec<u8> {
    let mut text: String = document.to_string();
    for (plain, escaped) in [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026")] {
        if text.contains(plain) {
            text = text.replace(plain, escaped);
        }
    }
    text.push_str("\r\n");
    text.into_bytes()
}
