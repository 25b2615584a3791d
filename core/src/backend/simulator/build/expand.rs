//! Words of a Dockerfile in which variables stand: `$A`, `${A}`, `${A:-word}`, `${A:+word}`, `${A:?word}`, and quotes.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::iter::Peekable;
use core::str::Chars;

use super::text::quoted;

/// Bytes of the longest word that comes out: a line can double a variable, and the next one that.
const MAX_WORD: usize = 1 << 16;
/// Words inside words.
const MAX_DEPTH: usize = 50;

/// Puts the values of variables (`NAME=value`; of several the first counts) into a word, and takes its quotes off.
///
/// # Errors
///
/// dockerd's words for what is no word, and for a variable that must be set.
pub(super) fn expand(word: &str, env: &[String], escape: char) -> Result<String, String> {
    let mut expander = Expander { chars: word.chars().peekable(), env, escape, depth: 0 };
    let result = expander.until(None);
    result.map_err(|words| format!("failed to process {}: {words}", quoted(word)))
}

/// As [`expand`], and splits what comes out at blanks that no quotes protect.
pub(super) fn expand_words(
    word: &str,
    env: &[String],
    escape: char,
) -> Result<Vec<String>, String> {
    let whole = expand(word, env, escape)?;
    Ok(whole.split_whitespace().map(String::from).collect())
}

struct Expander<'a> {
    chars: Peekable<Chars<'a>>,
    env: &'a [String],
    escape: char,
    depth: usize,
}

impl Expander<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        self.env.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    fn until(&mut self, stop: Option<char>) -> Result<String, String> {
        let mut out = String::new();
        while let Some(c) = self.chars.next() {
            match c {
                c if Some(c) == stop => return Ok(out),
                '\'' => self.single(&mut out)?,
                '"' => self.double(&mut out)?,
                '$' => out.push_str(&self.dollar()?),
                c if c == self.escape => out.extend(self.chars.next()),
                c => out.push(c),
            }
            if out.len() > MAX_WORD {
                return Err(format!("it is longer than {MAX_WORD} bytes with its variables"));
            }
        }
        match stop {
            Some(stop) => {
                Err(format!("unexpected end of statement while looking for matching {stop}"))
            }
            None => Ok(out),
        }
    }

    fn single(&mut self, out: &mut String) -> Result<(), String> {
        loop {
            match self.chars.next() {
                Some('\'') => return Ok(()),
                Some(c) => out.push(c),
                None => return Err(unmatched("single-quote")),
            }
        }
    }

    fn double(&mut self, out: &mut String) -> Result<(), String> {
        loop {
            match self.chars.next() {
                Some('"') => return Ok(()),
                Some('$') => out.push_str(&self.dollar()?),
                Some(c) if c == self.escape => match self.chars.peek() {
                    Some(next) if matches!(next, '"' | '$') || *next == self.escape => {
                        out.extend(self.chars.next());
                    }
                    Some(_) => out.push(c),
                    None => {}
                },
                Some(c) => out.push(c),
                None => return Err(unmatched("double-quote")),
            }
            if out.len() > MAX_WORD {
                return Err(format!("it is longer than {MAX_WORD} bytes with its variables"));
            }
        }
    }

    fn dollar(&mut self) -> Result<String, String> {
        if self.chars.peek() != Some(&'{') {
            let name = self.name();
            return Ok(match &*name {
                "" => "$".into(),
                name => self.value(name).unwrap_or_default().into(),
            });
        }
        self.chars.next();
        match self.chars.peek() {
            None => return Err("syntax error: missing '}'".into()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".into()),
            Some(_) => {}
        }
        let name = self.name();
        match self.chars.next() {
            Some('}') => return Ok(self.value(&name).unwrap_or_default().into()),
            Some(':') => {}
            _ => return Err("missing ':' in substitution".into()),
        }
        let modifier = self.chars.next();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} substitutions stand in each other"));
        }
        let word = self.until(Some('}')).map_err(|words| match self.chars.peek() {
            None if words.starts_with("unexpected end") => "syntax error: missing '}'".into(),
            _ => words,
        })?;
        self.depth -= 1;
        let value = self.value(&name);
        let set = value.filter(|value| !value.is_empty());
        match modifier {
            Some('+') => Ok(set.map_or_else(String::new, |_| word)),
            Some('-') => Ok(set.map_or(word, Into::into)),
            Some('?') => match (value, set) {
                (_, Some(value)) => Ok(value.into()),
                (value, None) if word.is_empty() => {
                    let what = if value.is_some() { "empty" } else { "unset" };
                    Err(format!("{name}: is not allowed to be {what}"))
                }
                _ => Err(format!("{name}: {word}")),
            },
            other => {
                let other = other.unwrap_or('\u{fffd}');
                Err(format!("unsupported modifier ({other}) in substitution"))
            }
        }
    }

    /// A variable's name: letters, digits and `_`; or digits only, or one of the shell's own.
    fn name(&mut self) -> String {
        let mut name = String::new();
        if let Some(special) =
            self.chars.next_if(|c| matches!(c, '@' | '*' | '#' | '?' | '-' | '$' | '!'))
        {
            name.push(special);
            return name;
        }
        let digits = self.chars.peek().is_some_and(char::is_ascii_digit);
        let is_part = |c: &char| match digits {
            true => c.is_ascii_digit(),
            false => c.is_alphanumeric() || *c == '_',
        };
        while let Some(c) = self.chars.next_if(is_part) {
            name.push(c);
        }
        name
    }
}

fn unmatched(what: &str) -> String {
    format!("unexpected end of statement while looking for matching {what}")
}

#[cfg(test)]
mod tests {
    use super::expand;
    use alloc::format;
    use alloc::string::{String, ToString};

    fn expanded(word: &str) -> Result<String, String> {
        let env = ["X=a", "E=", "X=second"].map(ToString::to_string);
        expand(word, &env, '\\')
    }

    #[test]
    fn variables_and_quotes() {
        for (word, value) in [
            ("${X}b", "ab"),
            ("'$X'", "$X"),
            ("\"$X $N.\"", "a ."),
            ("\\$X", "$X"),
            ("\"\\$X\\n\\\"\"", "$X\\n\""),
            ("${N:-d}${X:-d}${E:-e}", "dae"),
            ("${X:+p}${N:+p}", "p"),
            ("${N:-${X}$X}", "aa"),
            ("$ $. 5$", "$ $. 5$"),
            ("$1x", "x"),
            ("é$X", "éa"),
        ] {
            assert_eq!(expanded(word).unwrap(), value, "{word}");
        }
    }

    #[test]
    fn refusals_are_those_of_dockerd() {
        for (word, quoted, words) in [
            ("${B", "\"${B\"", "missing ':' in substitution"),
            ("${B:?oops}", "\"${B:?oops}\"", "B: oops"),
            ("${E:?}", "\"${E:?}\"", "E: is not allowed to be empty"),
            (
                "\"x",
                "\"\\\"x\"",
                "unexpected end of statement while looking for matching double-quote",
            ),
            ("${B:x}", "\"${B:x}\"", "unsupported modifier (x) in substitution"),
            ("${}", "\"${}\"", "syntax error: bad substitution"),
            ("${B:-x", "\"${B:-x\"", "syntax error: missing '}'"),
        ] {
            let words = format!("failed to process {quoted}: {words}");
            assert_eq!(expanded(word), Err(words), "{word}");
        }
    }

    #[test]
    fn nothing_grows_without_bound() {
        let env = [format!("X={}", "x".repeat(60_000))];
        assert!(expand("$X$X$X", &env, '\\').unwrap_err().ends_with("with its variables"));
        assert!(expand(&"${X:-".repeat(1000), &[], '\\').is_err());
    }
}
