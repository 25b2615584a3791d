//! `$((…))`: C's integers of 64 bits.

use alloc::format;
use alloc::string::String;

/// How deep parentheses, and variables that hold expressions, may go.
const MAX_DEPTH: u32 = 40;

/// The variables of an expression.
pub(super) trait Scope {
    fn get(&self, name: &str) -> Option<String>;
    fn set(&mut self, name: &str, value: i64);
}

/// The value of an expression; nothing is 0.
pub(super) fn evaluate(text: &str, scope: &mut dyn Scope) -> Result<i64, String> {
    at_depth(text, scope, 0)
}

fn at_depth(text: &str, scope: &mut dyn Scope, depth: u32) -> Result<i64, String> {
    let mut reader = Reader { text, at: 0, scope, depth, live: true };
    reader.blanks();
    if reader.rest().is_empty() {
        return Ok(0);
    }
    let value = reader.comma()?;
    if reader.rest().is_empty() { Ok(value) } else { Err(syntax()) }
}

fn syntax() -> String {
    "arithmetic syntax error".into()
}

struct Reader<'a, 's> {
    text: &'a str,
    at: usize,
    scope: &'s mut dyn Scope,
    depth: u32,
    /// Whether what is read counts: the other side of `&&`, `||` and `?:` does not.
    live: bool,
}

/// Operators of two operands, with how tight they bind; longer ones first.
const BINARY: [(&str, u8); 19] = [
    ("**", 12),
    ("<<", 8),
    (">>", 8),
    ("<=", 7),
    (">=", 7),
    ("==", 6),
    ("!=", 6),
    ("&&", 2),
    ("||", 1),
    ("*", 10),
    ("/", 10),
    ("%", 10),
    ("+", 9),
    ("-", 9),
    ("<", 7),
    (">", 7),
    ("&", 5),
    ("^", 4),
    ("|", 3),
];

impl<'a> Reader<'a, '_> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
            self.blanks();
        }
        found
    }

    fn comma(&mut self) -> Result<i64, String> {
        let mut value = self.conditional()?;
        while self.take(",") {
            value = self.conditional()?;
        }
        Ok(value)
    }

    fn conditional(&mut self) -> Result<i64, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("expression recursion loop detected".into());
        }
        let condition = self.binary(1)?;
        let value = if self.take("?") {
            let live = self.live;
            self.live = live && condition != 0;
            let yes = self.comma()?;
            if !self.take(":") {
                return Err(syntax());
            }
            self.live = live && condition == 0;
            let no = self.conditional()?;
            self.live = live;
            if condition == 0 { no } else { yes }
        } else {
            condition
        };
        self.depth -= 1;
        Ok(value)
    }

    fn binary(&mut self, least: u8) -> Result<i64, String> {
        let mut left = self.unary()?;
        loop {
            let rest = self.rest();
            let Some((sign, binds)) = BINARY.into_iter().find(|(sign, _)| rest.starts_with(sign))
            else {
                return Ok(left);
            };
            let assigns = !matches!(sign, "<=" | ">=" | "==" | "!=" | "&&" | "||")
                && rest[sign.len()..].starts_with('=');
            if binds < least || assigns {
                return Ok(left);
            }
            self.take(sign);
            let live = self.live;
            match sign {
                "&&" => self.live = live && left != 0,
                "||" => self.live = live && left == 0,
                _ => {}
            }
            let right = self.binary(if sign == "**" { binds } else { binds + 1 })?;
            self.live = live;
            left = self.apply(sign, left, right)?;
        }
    }

    fn apply(&self, sign: &str, left: i64, right: i64) -> Result<i64, String> {
        let shift = (right & 63) as u32;
        Ok(match sign {
            "**" => left.wrapping_pow(u32::try_from(right).unwrap_or(0)),
            "<<" => left.wrapping_shl(shift),
            ">>" => left.wrapping_shr(shift),
            "<=" => i64::from(left <= right),
            ">=" => i64::from(left >= right),
            "==" => i64::from(left == right),
            "!=" => i64::from(left != right),
            "&&" => i64::from(left != 0 && right != 0),
            "||" => i64::from(left != 0 || right != 0),
            "*" => left.wrapping_mul(right),
            "/" | "%" if right == 0 => {
                if self.live {
                    return Err("divide by zero".into());
                }
                0
            }
            "/" => left.wrapping_div(right),
            "%" => left.wrapping_rem(right),
            "+" => left.wrapping_add(right),
            "-" => left.wrapping_sub(right),
            "<" => i64::from(left < right),
            ">" => i64::from(left > right),
            "&" => left & right,
            "^" => left ^ right,
            _ => left | right,
        })
    }

    fn unary(&mut self) -> Result<i64, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("expression recursion loop detected".into());
        }
        self.blanks();
        let value = if self.take("++") {
            self.step(1)?
        } else if self.take("--") {
            self.step(-1)?
        } else if self.take("!") {
            i64::from(self.unary()? == 0)
        } else if self.take("~") {
            !self.unary()?
        } else if self.take("-") {
            self.unary()?.wrapping_neg()
        } else if self.take("+") {
            self.unary()?
        } else {
            self.primary()?
        };
        self.depth -= 1;
        Ok(value)
    }

    fn name(&mut self) -> &'a str {
        let rest = self.rest();
        let fits = |(at, byte): &(usize, u8)| {
            *byte == b'_' || byte.is_ascii_alphabetic() || (*at > 0 && byte.is_ascii_digit())
        };
        let length = rest.bytes().enumerate().take_while(fits).count();
        self.at += length;
        self.blanks();
        &rest[..length]
    }

    fn step(&mut self, by: i64) -> Result<i64, String> {
        let name = self.name();
        if name.is_empty() {
            return Err(syntax());
        }
        let value = self.variable(name)?.wrapping_add(by);
        self.assign(name, value);
        Ok(value)
    }

    fn assign(&mut self, name: &str, value: i64) {
        if self.live {
            self.scope.set(name, value);
        }
    }

    fn variable(&mut self, name: &str) -> Result<i64, String> {
        match self.scope.get(name) {
            None => Ok(0),
            Some(text) => match number(text.trim()) {
                Some(value) => value,
                None => at_depth(&text, self.scope, self.depth + 1),
            },
        }
    }

    fn primary(&mut self) -> Result<i64, String> {
        if self.take("(") {
            let value = self.comma()?;
            return if self.take(")") { Ok(value) } else { Err(syntax()) };
        }
        let rest = self.rest();
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'#' | b'_');
            let length = rest.bytes().take_while(fits).count();
            self.at += length;
            self.blanks();
            return number(&rest[..length]).unwrap_or_else(|| Err(syntax()));
        }
        let name = self.name();
        if name.is_empty() {
            return Err(syntax());
        }
        for (sign, by) in [("++", 1), ("--", -1)] {
            if self.take(sign) {
                let value = self.variable(name)?;
                self.assign(name, value.wrapping_add(by));
                return Ok(value);
            }
        }
        let rest = self.rest();
        if rest.starts_with('=') && !rest.starts_with("==") {
            self.take("=");
            let value = self.conditional()?;
            self.assign(name, value);
            return Ok(value);
        }
        for sign in ["<<", ">>", "*", "/", "%", "+", "-", "&", "^", "|"] {
            if rest.strip_prefix(sign).is_some_and(|rest| rest.starts_with('=')) {
                self.take(&format!("{sign}="));
                let right = self.conditional()?;
                let left = self.variable(name)?;
                let value = self.apply(sign, left, right)?;
                self.assign(name, value);
                return Ok(value);
            }
        }
        self.variable(name)
    }
}

/// The value of what begins with a digit (or a sign and a digit).
fn number(text: &str) -> Option<Result<i64, String>> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let parse = |digits: &str, base| u64::from_str_radix(digits, base).map_err(|_| syntax());
    let value = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        parse(hex, 16)
    } else if let Some((base, digits)) = digits.split_once('#') {
        match base.parse() {
            Ok(base @ 2..=36) => parse(digits, base),
            _ => Err(syntax()),
        }
    } else if digits.len() > 1 && digits.starts_with('0') {
        parse(digits, 8)
    } else if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(digits.parse().unwrap_or(u64::MAX >> 1))
    } else {
        return Some(Err(syntax()));
    };
    Some(value.map(|value| if negative { (value as i64).wrapping_neg() } else { value as i64 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::string::ToString;

    impl Scope for BTreeMap<String, String> {
        fn get(&self, name: &str) -> Option<String> {
            self.get(name).cloned()
        }

        fn set(&mut self, name: &str, value: i64) {
            self.insert(name.into(), value.to_string());
        }
    }

    #[test]
    fn expressions_have_the_values_of_c() {
        let mut scope =
            BTreeMap::from([("x".to_string(), "5".to_string()), ("e".into(), "x+1".into())]);
        for (text, value) in [
            ("", 0),
            ("1+2*3", 7),
            ("(1+2)*3", 9),
            ("7/2", 3),
            ("-7%3", -1),
            ("2**10", 1024),
            ("1<<4|1", 17),
            ("x", 5),
            ("e*2", 12),
            ("x==5&&0||1", 1),
            ("0&&1/0", 0),
            ("x>3?10:20", 10),
            ("010+0x10", 24),
            ("!x", 0),
            ("~0", -1),
            ("x++ + x", 11),
            ("x+=4", 10),
            ("y=3,y*2", 6),
            ("- -3", 3),
        ] {
            assert_eq!(evaluate(text, &mut scope), Ok(value), "{text}");
        }
        for text in ["1+", "08", "1 2", "(1", "1/0", "x=", "@"] {
            assert!(evaluate(text, &mut scope).is_err(), "{text}");
        }
        scope.insert("a".into(), "a".into());
        assert!(evaluate("a", &mut scope).is_err());
        assert!(evaluate(&"(".repeat(10_000), &mut scope).is_err());
        assert!(evaluate(&"-".repeat(10_001), &mut scope).is_err());
    }
}
