//! `test` and `[`.

use alloc::format;
use alloc::string::String;

use super::{Output, Sys};
use crate::backend::simulator::files::Kind;
use crate::backend::simulator::process::pattern::Pattern;

pub(in super::super) fn test(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let name = super::base(&args[0]);
    let mut words = &args[1..];
    if name.starts_with('[') {
        let end = if name == "[" { "]" } else { "]]" };
        match words.split_last() {
            Some((last, rest)) if last == end => words = rest,
            _ => {
                done.complain(&format!("{name}: missing {end}"));
                return 2;
            }
        }
    }
    let mut reader = Reader { sys, words, at: 0, depth: 0, patterns: name == "[[" };
    let result = match words {
        [] => Ok(false),
        [one] => Ok(!one.is_empty()),
        [not, one] if not == "!" => Ok(one.is_empty()),
        // With three words an operator in the middle is one, whatever stands beside it.
        [left, operator, right] if is_binary(operator) => reader.compare(left, operator, right),
        _ => reader.or().and_then(|value| {
            if reader.at == words.len() {
                Ok(value)
            } else {
                Err(format!("{}: unknown operand", words[reader.at]))
            }
        }),
    };
    match result {
        Ok(value) => u8::from(!value),
        Err(text) => {
            done.complain(&format!("{name}: {text}"));
            2
        }
    }
}

fn is_binary(word: &str) -> bool {
    matches!(
        word,
        "=" | "=="
            | "!="
            | "<"
            | ">"
            | "-eq"
            | "-ne"
            | "-lt"
            | "-le"
            | "-gt"
            | "-ge"
            | "-nt"
            | "-ot"
            | "-ef"
            | "=~"
    )
}

struct Reader<'r, 's, 'a> {
    sys: &'r mut Sys<'s, 'a>,
    words: &'r [String],
    at: usize,
    depth: u32,
    patterns: bool,
}

impl Reader<'_, '_, '_> {
    fn next(&self) -> Option<&str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn or(&mut self) -> Result<bool, String> {
        let mut value = self.and()?;
        while matches!(self.next(), Some("-o" | "||")) {
            self.at += 1;
            value |= self.and()?;
        }
        Ok(value)
    }

    fn and(&mut self) -> Result<bool, String> {
        let mut value = self.not()?;
        while matches!(self.next(), Some("-a" | "&&")) {
            self.at += 1;
            value &= self.not()?;
        }
        Ok(value)
    }

    fn not(&mut self) -> Result<bool, String> {
        let mut negated = false;
        while self.next() == Some("!") && self.at + 1 < self.words.len() {
            self.at += 1;
            negated = !negated;
        }
        Ok(self.primary()? != negated)
    }

    fn primary(&mut self) -> Result<bool, String> {
        let words = self.words;
        let Some(word) = words.get(self.at) else { return Err("argument expected".into()) };
        if let Some(operator) = words.get(self.at + 1).filter(|word| is_binary(word))
            && let Some(right) = words.get(self.at + 2)
        {
            self.at += 3;
            return self.compare(word, operator, right);
        }
        if word == "(" {
            self.depth += 1;
            if self.depth > 50 {
                return Err("too many parentheses".into());
            }
            self.at += 1;
            let value = self.or()?;
            self.depth -= 1;
            if self.next() != Some(")") {
                return Err("closing paren expected".into());
            }
            self.at += 1;
            return Ok(value);
        }
        let letter = word
            .strip_prefix('-')
            .filter(|letter| letter.len() == 1)
            .and_then(|letter| letter.chars().next());
        if let Some(letter) = letter.filter(|letter| "abcdefghknprstuwxzLOGS".contains(*letter))
            && let Some(operand) = words.get(self.at + 1)
        {
            self.at += 2;
            return Ok(self.unary(letter, operand));
        }
        self.at += 1;
        Ok(!word.is_empty())
    }

    fn unary(&mut self, letter: char, operand: &str) -> bool {
        match letter {
            'n' => return !operand.is_empty(),
            'z' => return operand.is_empty(),
            't' => return operand.parse().is_ok_and(|fd| self.sys.tty(fd).is_some()),
            _ => {}
        }
        let cwd = self.sys.cwd();
        let files = &self.sys.system.files;
        let Ok(node) = files.node(&cwd, operand, !matches!(letter, 'h' | 'L')) else {
            return false;
        };
        match letter {
            'f' => matches!(node.kind, Kind::File(_)),
            'd' => node.is_directory(),
            'h' | 'L' => matches!(node.kind, Kind::Symlink(_)),
            'c' => matches!(node.kind, Kind::Device { block: false, .. }),
            'b' => matches!(node.kind, Kind::Device { block: true, .. }),
            'p' => matches!(node.kind, Kind::Fifo),
            'S' => false,
            's' => node.size() > 0,
            'r' => files.allowed(&node.meta, 4).is_ok(),
            'w' => files.allowed(&node.meta, 2).is_ok(),
            'x' => files.allowed(&node.meta, 1).is_ok(),
            'u' => node.meta.mode & 0o4000 != 0,
            'g' => node.meta.mode & 0o2000 != 0,
            'k' => node.meta.mode & 0o1000 != 0,
            'O' => node.meta.uid == files.uid,
            'G' => node.meta.gid == files.gid,
            _ => true,
        }
    }

    fn compare(&mut self, left: &str, operator: &str, right: &str) -> Result<bool, String> {
        let number =
            |text: &str| text.trim().parse::<i64>().map_err(|_| format!("{text}: bad number"));
        Ok(match operator {
            "=" | "==" if self.patterns => Pattern::new(right).matches(left),
            "!=" if self.patterns => !Pattern::new(right).matches(left),
            "=~" => {
                let regex = super::regex::Regex::new(right, true, false)?;
                regex.find(left.as_bytes(), 0).is_some()
            }
            "=" | "==" => left == right,
            "!=" => left != right,
            "<" => left < right,
            ">" => left > right,
            "-nt" | "-ot" | "-ef" => {
                let cwd = self.sys.cwd();
                let files = &self.sys.system.files;
                if operator == "-ef" {
                    let same = files.canonical(&cwd, left);
                    return Ok(same.is_ok() && same == files.canonical(&cwd, right));
                }
                let time = |path| files.node(&cwd, path, true).ok().map(|node| node.meta.mtime);
                let times = time(left).zip(time(right));
                times.is_some_and(
                    |(left, right)| if operator == "-nt" { left > right } else { left < right },
                )
            }
            _ => {
                let (left, right) = (number(left)?, number(right)?);
                match operator {
                    "-eq" => left == right,
                    "-ne" => left != right,
                    "-lt" => left < right,
                    "-le" => left <= right,
                    "-gt" => left > right,
                    _ => left >= right,
                }
            }
        })
    }
}
