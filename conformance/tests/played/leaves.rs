//! Where the values of a JSON document stand in its text.

use std::ops::Range;

/// The path and the place of each value that holds no other.
pub(crate) fn leaves(text: &[u8]) -> Vec<(String, Range<usize>)> {
    let mut scan = Scan { text, at: 0, all: Vec::new() };
    while scan.at < text.len() {
        scan.value("");
        // Between documents.
        while scan.at < text.len() && !matches!(text[scan.at], b'{' | b'[' | b'"') {
            scan.at += 1;
        }
    }
    scan.all
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    all: Vec<(String, Range<usize>)>,
}

impl Scan<'_> {
    fn blank(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t' | b',' | b':')) {
            self.at += 1;
        }
    }

    fn value(&mut self, path: &str) {
        self.blank();
        let start = self.at;
        match self.text.get(self.at) {
            Some(b'{') => {
                self.at += 1;
                loop {
                    self.blank();
                    if self.text.get(self.at) != Some(&b'"') {
                        break;
                    }
                    let key = self.string();
                    let key = String::from_utf8_lossy(&self.text[key]).into_owned();
                    self.value(&if path.is_empty() { key } else { format!("{path}.{key}") });
                }
                self.at += 1;
            }
            Some(b'[') => {
                self.at += 1;
                loop {
                    self.blank();
                    if matches!(self.text.get(self.at), Some(b']') | None) {
                        break;
                    }
                    self.value(path);
                }
                self.at += 1;
            }
            Some(b'"') => {
                let inside = self.string();
                self.all.push((path.to_owned(), inside.start - 1..inside.end + 1));
            }
            _ => {
                while self.text.get(self.at).is_some_and(|byte| !b",}] \r\n".contains(byte)) {
                    self.at += 1;
                }
                if self.at == start {
                    self.at += 1;
                } else {
                    self.all.push((path.to_owned(), start..self.at));
                }
            }
        }
    }

    /// What is between the quotes.
    fn string(&mut self) -> Range<usize> {
        let start = self.at + 1;
        self.at = start;
        while let Some(byte) = self.text.get(self.at).filter(|byte| **byte != b'"') {
            self.at += if *byte == b'\\' { 2 } else { 1 };
        }
        let inside = start..self.at.min(self.text.len());
        self.at += 1;
        inside
    }
}

#[test]
fn values_are_found_where_they_are() {
    let text = br#"{"a":{"b":[1,"x\"y"],"c":null},"d":true} {"e":-2.5}"#;
    let found: Vec<(String, &str)> = leaves(text)
        .into_iter()
        .map(|(path, place)| (path, std::str::from_utf8(&text[place]).unwrap()))
        .collect();
    let found: Vec<(&str, &str)> =
        found.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    assert_eq!(
        found,
        [("a.b", "1"), ("a.b", r#""x\"y""#), ("a.c", "null"), ("d", "true"), ("e", "-2.5")]
    );
}
