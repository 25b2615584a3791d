//! The lines of a Dockerfile: comments and continuations are joined to instructions, flags are taken off.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes of the longest line, as of dockerd.
const MAX_LINE: usize = 65_535;

/// A Dockerfile, before its instructions are understood.
#[derive(Debug)]
pub(super) struct Dockerfile {
    pub(super) lines: Vec<Line>,
    /// What people are told before the first step.
    pub(super) warnings: String,
    /// What takes the meaning of a special character away.
    pub(super) escape: char,
}

/// One instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// Where it begins, counted from 1.
    pub(super) number: usize,
    /// As it is shown to people.
    pub(super) text: String,
    /// Its first word in lower case.
    pub(super) word: String,
    /// The words behind it that begin with `--`.
    pub(super) flags: Vec<String>,
    /// What is behind those.
    pub(super) rest: String,
}

impl Dockerfile {
    /// Reads a Dockerfile.
    ///
    /// # Errors
    ///
    /// dockerd's words for a file of which no instructions can be made.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { escape: '\\', directives: true, escaped: false };
        let mut source = text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate();
        let (mut lines, mut warnings) = (Vec::new(), String::new());
        while let Some((at, line)) = source.next() {
            check(line)?;
            let line = line.trim_start();
            reader.directive(line)?;
            let (first, mut ended) = reader.cut(without_comment(line));
            if ended && first.is_empty() {
                continue;
            }
            let (mut whole, mut gap) = (first.to_owned(), false);
            while !ended {
                let Some((_, next)) = source.next() else { break };
                check(next)?;
                if next.trim_start().starts_with('#') {
                    continue;
                }
                if next.trim_start().is_empty() {
                    gap = true;
                    continue;
                }
                let (piece, last) = reader.cut(next);
                whole.push_str(piece);
                ended = last;
            }
            if gap {
                warnings.push_str(&format!("[WARNING]: Empty continuation line found in:\n    {whole}\n"));
            }
            lines.push(Line::parse(&whole, at + 1));
        }
        if !warnings.is_empty() {
            warnings.push_str(
                "[WARNING]: Empty continuation lines will become errors in a future release.\n",
            );
        }
        if lines.is_empty() {
            return Err("file with no instructions".into());
        }
        Ok(Self { lines, warnings, escape: reader.escape })
    }
}

impl Line {
    /// One instruction in one line.
    pub(super) fn parse(line: &str, number: usize) -> Self {
        let text = line.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let (flags, rest) = flags(rest.trim_start());
        Self {
            number,
            text: text.to_owned(),
            word: word.to_lowercase(),
            flags,
            rest: rest.trim().to_owned(),
        }
    }
}

fn check(line: &str) -> Result<(), String> {
    match line.len() {
        0..=MAX_LINE => Ok(()),
        _ => Err(format!("dockerfile line greater than maximum allowed size of {MAX_LINE}")),
    }
}

fn without_comment(line: &str) -> &str {
    if line.starts_with('#') { "" } else { line }
}

struct Reader {
    escape: char,
    /// Comments are still looked at: they may be parser directives.
    directives: bool,
    escaped: bool,
}

impl Reader {
    /// Looks for `# escape=…`.
    fn directive(&mut self, line: &str) -> Result<(), String> {
        if !self.directives {
            return Ok(());
        }
        let pair = line.strip_prefix('#').and_then(|comment| comment.split_once('='));
        let Some((key, value)) = pair.map(|(key, value)| (key.trim(), value.trim())) else {
            self.directives = false;
            return Ok(());
        };
        let is_key = key.starts_with(|c: char| c.is_ascii_alphabetic())
            && key.chars().all(|c| c.is_ascii_alphanumeric());
        if !is_key || value.is_empty() {
            self.directives = false;
        } else if key.eq_ignore_ascii_case("escape") {
            if self.escaped {
                return Err("only one escape parser directive can be used".into());
            }
            self.escaped = true;
            self.escape = match value {
                "`" => '`',
                "\\" => '\\',
                other => return Err(format!("invalid escape token '{other}' does not match ` or \\")),
            };
        }
        Ok(())
    }

    /// A line without the sign that it goes on, and whether it has none.
    fn cut<'a>(&self, line: &'a str) -> (&'a str, bool) {
        match line.trim_end_matches([' ', '\t']).strip_suffix(self.escape) {
            Some(line) => (line, false),
            None => (line, true),
        }
    }
}

/// The words at the beginning that begin with `--`, without their quotes, and the rest.
fn flags(line: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        if !rest.starts_with("--") {
            return (flags, rest);
        }
        let (mut word, mut quote, mut end) = (String::new(), None, rest.len());
        let mut chars = rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match (quote, c) {
                (None, c) if c.is_whitespace() => {
                    end = at;
                    break;
                }
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (_, '\\') => word.extend(chars.next().map(|(_, c)| c)),
                (_, c) => word.push(c),
            }
        }
        rest = &rest[end..];
        if word == "--" {
            return (flags, rest);
        }
        flags.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::{Dockerfile, Line};
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    fn texts(file: &str) -> Result<Vec<String>, String> {
        let texts = |file: Dockerfile| file.lines.into_iter().map(|line| line.text).collect();
        Dockerfile::parse(file).map(texts)
    }

    #[test]
    fn lines_go_on_and_comments_do_not_count() {
        for (file, lines) in [
            ("FROM a\n", &["FROM a"][..]),
            ("\u{feff}FROM a\r\n\r\n  RUN b  ", &["FROM a", "RUN b"]),
            ("# c\nRUN a && \\\n  # c\n   b\n", &["RUN a &&    b"]),
            ("RUN a\\\n\\\n b", &["RUN a b"]),
            ("# escape=`\nRUN a`\nb \\\nRUN c", &["RUN ab \\", "RUN c"]),
            ("RUN a\\", &["RUN a"]),
        ] {
            assert_eq!(texts(file).unwrap(), lines, "{file:?}");
        }
        let gap = Dockerfile::parse("RUN a \\\n\n  && b\n").unwrap();
        assert_eq!(
            gap.warnings,
            "[WARNING]: Empty continuation line found in:\n    RUN a   && b\n[WARNING]: Empty continuation lines will \
             become errors in a future release.\n"
        );
    }

    #[test]
    fn what_is_no_dockerfile_is_refused_in_dockerd_s_words() {
        for (file, words) in [
            ("# only\n", "file with no instructions"),
            ("# escape=x\nFROM a", "invalid escape token 'x' does not match ` or \\"),
            ("# escape=`\n# escape=`\nFROM a", "only one escape parser directive can be used"),
        ] {
            assert_eq!(texts(file), Err(words.to_string()));
        }
        let long = format!("RUN {}\n", "x".repeat(70_000));
        let words = "dockerfile line greater than maximum allowed size of 65535";
        assert_eq!(texts(&long), Err(words.to_string()));
    }

    #[test]
    fn flags_are_taken_off() {
        let line = Line::parse("COPY --from=a  --chown='b c' --x a b", 1);
        assert_eq!(line.flags, ["--from=a", "--chown=b c", "--x"]);
        assert_eq!((&*line.word, &*line.rest), ("copy", "a b"));
        assert_eq!(Line::parse("RUN -- --a", 1).rest, "--a");
        assert_eq!(Line::parse("RUN --a", 1).rest, "");
    }
}
