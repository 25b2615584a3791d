//! `echo`, `printf`, `basename`, `dirname`, `expr`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::regex::Regex;
use super::{Output, Sys};

/// The longest padding that `printf` does.
const MAX_WIDTH: usize = 65_536;

pub(in super::super) fn echo(_: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let (mut newline, mut escapes, mut first) = (true, false, 1);
    for arg in &args[1..] {
        let options = arg.strip_prefix('-').filter(|letters| !letters.is_empty());
        let Some(letters) = options.filter(|letters| letters.chars().all(|c| "neE".contains(c)))
        else {
            break;
        };
        for letter in letters.chars() {
            match letter {
                'n' => newline = false,
                letter => escapes = letter == 'e',
            }
        }
        first += 1;
    }
    for (index, arg) in args[first.min(args.len())..].iter().enumerate() {
        if index > 0 {
            done.out.push(b' ');
        }
        if !escapes {
            done.out.extend_from_slice(arg.as_bytes());
        } else if !unescape(arg.as_bytes(), &mut done.out, true) {
            return 0;
        }
    }
    if newline {
        done.out.push(b'\n');
    }
    0
}

/// Writes text with its escapes resolved; false after `\c`.
fn unescape(text: &[u8], out: &mut Vec<u8>, zero: bool) -> bool {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        match escape(&text[at..], zero) {
            Escape::Byte(byte, length) => {
                out.push(byte);
                at += length;
            }
            Escape::End => return false,
            Escape::None => out.push(b'\\'),
        }
    }
    true
}

enum Escape {
    Byte(u8, usize),
    End,
    None,
}

fn escape(text: &[u8], zero: bool) -> Escape {
    let digits = |skip: usize, most: usize, radix: u32| {
        let digits = text[skip..]
            .iter()
            .take(most)
            .take_while(|byte| (**byte as char).is_digit(radix))
            .count();
        let value = text[skip..skip + digits].iter().fold(0_u32, |value, byte| {
            value * radix + (*byte as char).to_digit(radix).unwrap_or(0)
        });
        (digits, (value & 255) as u8)
    };
    match text.first() {
        Some(b'n') => Escape::Byte(b'\n', 1),
        Some(b't') => Escape::Byte(b'\t', 1),
        Some(b'r') => Escape::Byte(b'\r', 1),
        Some(b'a') => Escape::Byte(7, 1),
        Some(b'b') => Escape::Byte(8, 1),
        Some(b'f') => Escape::Byte(12, 1),
        Some(b'v') => Escape::Byte(11, 1),
        Some(b'e') => Escape::Byte(27, 1),
        Some(b'\\') => Escape::Byte(b'\\', 1),
        Some(b'c') => Escape::End,
        Some(b'x') => match digits(1, 2, 16) {
            (0, _) => Escape::None,
            (count, value) => Escape::Byte(value, count + 1),
        },
        Some(b'0') if zero => {
            let (count, value) = digits(1, 3, 8);
            Escape::Byte(value, count + 1)
        }
        Some(b'0'..=b'7') => {
            let (count, value) = digits(0, 3, 8);
            Escape::Byte(value, count)
        }
        _ => Escape::None,
    }
}

pub(in super::super) fn printf(_: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(format) = args.get(1) else {
        done.complain("printf: usage: printf FORMAT [ARG]...");
        return 1;
    };
    let mut operands = args[2..].iter();
    let mut status = 0;
    loop {
        let before = operands.len();
        if !print_once(format.as_bytes(), &mut operands, &mut status, done) {
            return status;
        }
        if operands.len() == 0 || operands.len() == before {
            return status;
        }
    }
}

fn print_once(
    format: &[u8],
    operands: &mut core::slice::Iter<'_, String>,
    status: &mut u8,
    done: &mut Output,
) -> bool {
    let mut at = 0;
    while let Some(byte) = format.get(at) {
        at += 1;
        match byte {
            b'\\' => match escape(&format[at..], false) {
                Escape::Byte(byte, length) => {
                    done.out.push(byte);
                    at += length;
                }
                Escape::End => return false,
                Escape::None => done.out.push(b'\\'),
            },
            b'%' if format.get(at) == Some(&b'%') => {
                done.out.push(b'%');
                at += 1;
            }
            b'%' => match conversion(&format[at..], operands, status, done) {
                Some(length) => at += length,
                None => return false,
            },
            byte => done.out.push(*byte),
        }
    }
    true
}

fn conversion(
    format: &[u8],
    operands: &mut core::slice::Iter<'_, String>,
    status: &mut u8,
    done: &mut Output,
) -> Option<usize> {
    let mut at = 0;
    let (mut left, mut zero, mut plus, mut space, mut alternate) =
        (false, false, false, false, false);
    while let Some(flag) = format.get(at) {
        match flag {
            b'-' => left = true,
            b'0' => zero = true,
            b'+' => plus = true,
            b' ' => space = true,
            b'#' => alternate = true,
            _ => break,
        }
        at += 1;
    }
    let mut number = |at: &mut usize| {
        if format.get(*at) == Some(&b'*') {
            *at += 1;
            return operands.next().and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
        }
        let digits = format[*at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = core::str::from_utf8(&format[*at..*at + digits]).unwrap_or_default();
        *at += digits;
        text.parse().unwrap_or(0)
    };
    let width = number(&mut at).min(MAX_WIDTH);
    let precision = (format.get(at) == Some(&b'.')).then(|| {
        at += 1;
        number(&mut at).min(MAX_WIDTH)
    });
    while matches!(format.get(at), Some(b'l' | b'h' | b'j' | b'z')) {
        at += 1;
    }
    let kind = format.get(at).copied();
    let mut text: Vec<u8> = match kind {
        Some(b's') => operands.next().map(|text| text.clone().into_bytes()).unwrap_or_default(),
        Some(b'b') => {
            let mut out = Vec::new();
            let operand = operands.next().map_or(&[][..], |text| text.as_bytes());
            if !unescape(operand, &mut out, true) {
                done.out.append(&mut out);
                return None;
            }
            out
        }
        Some(b'c') => {
            let operand = operands.next().map_or("", |text| text);
            operand.chars().take(1).collect::<String>().into_bytes()
        }
        Some(b'd' | b'i' | b'u' | b'x' | b'X' | b'o') => {
            let value = integer(operands.next().map_or("0", |text| text), status, done);
            let digits = match kind {
                Some(b'x') => format!("{:x}", value as u64),
                Some(b'X') => format!("{:X}", value as u64),
                Some(b'o') => format!("{:o}", value as u64),
                Some(b'u') => (value as u64).to_string(),
                _ => value.unsigned_abs().to_string(),
            };
            let mut digits = match precision {
                Some(precision) => format!("{digits:0>precision$}"),
                None => digits,
            };
            if alternate {
                match kind {
                    Some(b'x') => digits.insert_str(0, "0x"),
                    Some(b'o') => digits.insert(0, '0'),
                    _ => {}
                }
            }
            let signed = matches!(kind, Some(b'd' | b'i'));
            let sign = match (signed, value < 0) {
                (true, true) => "-",
                (true, false) if plus => "+",
                (true, false) if space => " ",
                _ => "",
            };
            if zero && !left && precision.is_none() {
                let width = width.saturating_sub(sign.len());
                digits = format!("{digits:0>width$}");
            }
            format!("{sign}{digits}").into_bytes()
        }
        Some(b'f' | b'g' | b'e') => {
            let text = operands.next().map_or("0", |text| text);
            let value: f64 = text.trim().parse().unwrap_or_else(|_| {
                done.complain(&format!("printf: invalid number '{text}'"));
                *status = 1;
                0.0
            });
            let precision = precision.unwrap_or(6).min(300);
            let text = match kind {
                Some(b'g') => format!("{value}"),
                _ => format!("{value:.precision$}"),
            };
            let text = if plus && value >= 0.0 { format!("+{text}") } else { text };
            if zero && !left { format!("{text:0>width$}") } else { text }.into_bytes()
        }
        _ => {
            let shown = String::from_utf8_lossy(&format[..(at + 1).min(format.len())]).into_owned();
            done.complain(&format!("printf: %{shown}: invalid format"));
            *status = 1;
            return None;
        }
    };
    if matches!(kind, Some(b's' | b'b'))
        && let Some(precision) = precision
    {
        text.truncate(precision);
    }
    let padding = width.saturating_sub(text.len());
    if !left {
        done.out.resize(done.out.len() + padding, b' ');
    }
    done.out.append(&mut text);
    if left {
        done.out.resize(done.out.len() + padding, b' ');
    }
    Some(at + 1)
}

fn integer(text: &str, status: &mut u8, done: &mut Output) -> i64 {
    if let Some(c) = text.strip_prefix(['\'', '"']).and_then(|rest| rest.chars().next()) {
        return i64::from(u32::from(c));
    }
    let trimmed = text.trim_start();
    let (negative, digits) = match trimmed.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let parsed = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => u64::from_str_radix(digits, 8),
        None => digits.parse(),
    };
    match parsed {
        Ok(value) if negative => (value as i64).wrapping_neg(),
        Ok(value) => value as i64,
        Err(_) => {
            done.complain(&format!("printf: invalid number '{text}'"));
            *status = 1;
            0
        }
    }
}

pub(super) fn basename(_: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(path) = args.get(1) else { return 1 };
    let trimmed = path.trim_end_matches('/');
    let name = if trimmed.is_empty() && !path.is_empty() { "/" } else { super::base(trimmed) };
    let suffix = args.get(2).filter(|suffix| suffix.as_str() != name);
    done.line(suffix.and_then(|suffix| name.strip_suffix(suffix.as_str())).unwrap_or(name));
    0
}

pub(super) fn dirname(_: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(path) = args.get(1) else { return 1 };
    let trimmed = path.trim_end_matches('/');
    done.line(match trimmed.rfind('/') {
        None if trimmed.is_empty() && !path.is_empty() => "/",
        None => ".",
        Some(at) if trimmed[..at].trim_end_matches('/').is_empty() => "/",
        Some(at) => trimmed[..at].trim_end_matches('/'),
    });
    0
}

/// `expr`, read from left to right by the tightness of its operators.
pub(super) fn expr(_: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let mut reader = Expr { words: &args[1..], at: 0, depth: 0 };
    match reader.level(0) {
        Ok(value) if reader.at == reader.words.len() => {
            done.line(&value);
            u8::from(value.is_empty() || value == "0")
        }
        Ok(_) => {
            done.complain("expr: syntax error");
            2
        }
        Err(text) => {
            done.complain(&format!("expr: {text}"));
            2
        }
    }
}

struct Expr<'a> {
    words: &'a [String],
    at: usize,
    depth: u32,
}

impl Expr<'_> {
    fn level(&mut self, level: usize) -> Result<String, &'static str> {
        const LEVELS: [&[&str]; 6] = [
            &["|"],
            &["&"],
            &["<", "<=", "=", "==", "!=", ">=", ">"],
            &["+", "-"],
            &["*", "/", "%"],
            &[":"],
        ];
        let Some(operators) = LEVELS.get(level) else { return self.primary() };
        let mut left = self.level(level + 1)?;
        while let Some(operator) =
            self.words.get(self.at).filter(|word| operators.contains(&word.as_str()))
        {
            self.at += 1;
            let right = self.level(level + 1)?;
            left = combine(operator, left, &right)?;
        }
        Ok(left)
    }

    fn primary(&mut self) -> Result<String, &'static str> {
        let word = self.words.get(self.at).ok_or("syntax error")?;
        self.at += 1;
        if word == "(" {
            self.depth += 1;
            if self.depth > 50 {
                return Err("syntax error");
            }
            let value = self.level(0)?;
            self.depth -= 1;
            if self.words.get(self.at).is_none_or(|word| word != ")") {
                return Err("syntax error");
            }
            self.at += 1;
            return Ok(value);
        }
        match (word.as_str(), self.words.get(self.at)) {
            ("length", Some(text)) => {
                self.at += 1;
                Ok(text.chars().count().to_string())
            }
            _ => Ok(word.clone()),
        }
    }
}

fn combine(operator: &str, left: String, right: &str) -> Result<String, &'static str> {
    let truth = |text: &str| !text.is_empty() && text != "0";
    let numbers = (left.parse::<i64>(), right.parse::<i64>());
    Ok(match operator {
        "|" => {
            if truth(&left) {
                left
            } else {
                right.into()
            }
        }
        "&" => {
            if truth(&left) && truth(right) {
                left
            } else {
                "0".into()
            }
        }
        ":" => {
            let regex =
                Regex::new(&format!("^{right}"), false, false).map_err(|_| "syntax error")?;
            match regex.find(left.as_bytes(), 0) {
                Some(found) => match found.group(1) {
                    Some((from, to)) => left.get(from..to).unwrap_or_default().into(),
                    None if regex.groups() > 0 => String::new(),
                    None => (found.end - found.start).to_string(),
                },
                None if regex.groups() > 0 => String::new(),
                None => "0".into(),
            }
        }
        "+" | "-" | "*" | "/" | "%" => {
            let (Ok(one), Ok(other)) = numbers else { return Err("non-numeric argument") };
            match operator {
                "+" => one.wrapping_add(other),
                "-" => one.wrapping_sub(other),
                "*" => one.wrapping_mul(other),
                _ if other == 0 => return Err("division by zero"),
                "/" => one.wrapping_div(other),
                _ => one.wrapping_rem(other),
            }
            .to_string()
        }
        _ => {
            let order = match numbers {
                (Ok(one), Ok(other)) => one.cmp(&other),
                _ => left.as_str().cmp(right),
            };
            let holds = match operator {
                "<" => order.is_lt(),
                "<=" => order.is_le(),
                "=" | "==" => order.is_eq(),
                "!=" => order.is_ne(),
                ">=" => order.is_ge(),
                _ => order.is_gt(),
            };
            u8::from(holds).to_string()
        }
    })
}
