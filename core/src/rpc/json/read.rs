//! Reads JSON (RFC 8259) as Go's decoder does: what is no Unicode becomes U+FFFD instead of an error.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// Values may lie in one another so deep.
const DEPTH: u32 = 64;

/// The text is no JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Syntax;

/// What kind a value is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// As Go's errors call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

/// Finds the end of an object that comes in pieces, without looking at a byte twice.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Scanner {
    scanned: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scanner {
    /// The length of the object at the start of `input`, which begins with the bytes of all calls before; `None` if more must
    /// come.
    pub(super) fn end(&mut self, input: &[u8]) -> Option<usize> {
        while let Some(byte) = input.get(self.scanned) {
            self.scanned += 1;
            match byte {
                _ if core::mem::take(&mut self.escaped) => {}
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(core::mem::take(self).scanned);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// Reads a text that is all there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    fn peek(&mut self) -> Result<u8, Syntax> {
        while let Some(byte) = self.text.get(self.at) {
            if !is_space(*byte) {
                return Ok(*byte);
            }
            self.at += 1;
        }
        Err(Syntax)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Syntax> {
        if self.peek()? == byte {
            self.at += 1;
            return Ok(());
        }
        Err(Syntax)
    }

    fn has(&mut self, byte: u8) -> Result<bool, Syntax> {
        let found = self.peek()? == byte;
        self.at += usize::from(found);
        Ok(found)
    }

    /// What comes next.
    pub(super) fn kind(&mut self) -> Result<Kind, Syntax> {
        Ok(match self.peek()? {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            b'-' | b'0'..=b'9' => Kind::Number,
            _ => return Err(Syntax),
        })
    }

    /// Passes over a value, and gives its text.
    pub(super) fn skip(&mut self) -> Result<&'a [u8], Syntax> {
        let kind = self.kind()?;
        let start = self.at;
        match kind {
            Kind::Object => self.object(|reader, _| reader.skip().map(drop))?,
            Kind::Array => self.array(|reader, _| reader.skip().map(drop))?,
            Kind::String => _ = self.string()?,
            Kind::Number => self.number()?,
            Kind::Bool | Kind::Null => {
                let rest = &self.text[start..];
                let words = [&b"true"[..], b"false", b"null"];
                let word = words.into_iter().find(|word| rest.starts_with(word)).ok_or(Syntax)?;
                self.at += word.len();
            }
        }
        Ok(&self.text[start..self.at])
    }

    fn deeper(&mut self) -> Result<(), Syntax> {
        self.depth += 1;
        if self.depth > DEPTH { Err(Syntax) } else { Ok(()) }
    }

    /// Reads an object; `read` has to take the value of each key.
    pub(super) fn object(
        &mut self,
        mut read: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), Syntax>,
    ) -> Result<(), Syntax> {
        self.deeper()?;
        self.expect(b'{')?;
        if !self.has(b'}')? {
            loop {
                let key = self.string()?;
                self.expect(b':')?;
                read(self, key)?;
                if !self.has(b',')? {
                    break;
                }
            }
            self.expect(b'}')?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads an array; `read` has to take each element, and is told its place.
    pub(super) fn array(
        &mut self,
        mut read: impl FnMut(&mut Self, usize) -> Result<(), Syntax>,
    ) -> Result<(), Syntax> {
        self.deeper()?;
        self.expect(b'[')?;
        if !self.has(b']')? {
            for place in 0.. {
                read(self, place)?;
                if !self.has(b',')? {
                    break;
                }
            }
            self.expect(b']')?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Syntax> {
        let rest = &self.text[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(Syntax) } else { Ok(()) }
    }

    fn next_is(&mut self, bytes: &[u8]) -> bool {
        let found = self.text.get(self.at).is_some_and(|byte| bytes.contains(byte));
        self.at += usize::from(found);
        found
    }

    fn number(&mut self) -> Result<(), Syntax> {
        self.next_is(b"-");
        if !self.next_is(b"0") {
            self.digits()?;
        }
        if self.next_is(b".") {
            self.digits()?;
        }
        if self.next_is(b"eE") {
            self.next_is(b"+-");
            self.digits()?;
        }
        Ok(())
    }

    /// Reads a string.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Syntax> {
        self.expect(b'"')?;
        let start = self.at;
        let plain = self.text[start..]
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
            .ok_or(Syntax)?;
        self.at += plain;
        if self.text[self.at] == b'"' {
            self.at += 1;
            return Ok(String::from_utf8_lossy(&self.text[start..self.at - 1]));
        }
        let mut text = self.text[start..self.at].to_vec();
        loop {
            let byte = *self.text.get(self.at).ok_or(Syntax)?;
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => self.escape(&mut text)?,
                0..0x20 => return Err(Syntax),
                _ => text.push(byte),
            }
        }
        Ok(Cow::Owned(match String::from_utf8(text) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }))
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), Syntax> {
        let byte = *self.text.get(self.at).ok_or(Syntax)?;
        self.at += 1;
        text.push(match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let character = self.unicode()?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(Syntax),
        });
        Ok(())
    }

    /// What stands behind `\u`: half a pair alone becomes U+FFFD.
    fn unicode(&mut self) -> Result<char, Syntax> {
        let first = self.hex()?;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            let before = self.at;
            self.at += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Result<u32, Syntax> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Syntax)?;
        self.at += 4;
        digits.iter().try_fold(0, |value, digit| {
            let digit = char::from(*digit).to_digit(16).ok_or(Syntax)?;
            Ok(value << 4 | digit)
        })
    }
}

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn string(text: &str) -> Result<Cow<'_, str>, Syntax> {
        Reader::new(text.as_bytes()).string()
    }

    #[test]
    fn strings_are_go_s() {
        for (text, meaning) in [
            (r#""""#, ""),
            (r#""plain é""#, "plain é"),
            (r#""a\"\\\/\b\f\n\r\t""#, "a\"\\/\u{8}\u{c}\n\r\t"),
            (r#""\u00e9\u003c""#, "é<"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\ude00x""#, "\u{fffd}x"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
        ] {
            assert_eq!(string(text).as_deref(), Ok(meaning), "{text}");
        }
        assert_eq!(Reader::new(b"\"a\xff\"").string().as_deref(), Ok("a\u{fffd}"));
        assert_eq!(Reader::new(b"\"\\n\xff\"").string().as_deref(), Ok("\n\u{fffd}"));
        for text in ["", "\"", "\"a", r#""\"#, r#""\x""#, r#""\u12""#, r#""\u12g4""#, "\"\n\"", "a"]
        {
            assert_eq!(string(text), Err(Syntax), "{text}");
        }
    }

    #[test]
    fn values_are_checked() {
        for text in
            ["0", "-0", "10.25", "1e9", "-1.5E-3", "true", "null", "[]", "[1,[2]]", "{\"a\":{}}"]
        {
            assert_eq!(Reader::new(text.as_bytes()).skip(), Ok(text.as_bytes()));
        }
        for text in ["-", ".5", "1.", "1e", "tru", "nul", "[1,]", "{1:2}", "{\"a\"}", "[1 2]", "]"]
        {
            assert_eq!(Reader::new(text.as_bytes()).skip(), Err(Syntax), "{text}");
        }
        let deep = "[".repeat(1_000_000);
        assert_eq!(Reader::new(deep.as_bytes()).skip(), Err(Syntax));
    }

    proptest! {
        #[test]
        fn what_is_json_is_read_and_its_end_is_found(
            keys in prop::collection::vec("[\\PC\"\\\\\n]{0,6}", 0..5), rest in "[\\PC{}\"]{0,9}", cut in 0_usize..60
        ) {
            let object: alloc::collections::BTreeMap<_, _> =
                keys.iter().map(|key| (key, [key.len()])).collect();
            let text = serde_json::to_vec(&object).unwrap();
            let mut input = text.clone();
            input.extend_from_slice(rest.as_bytes());
            let mut scanner = Scanner::default();
            let cut = cut.min(input.len());
            let end = scanner.end(&input[..cut]).or_else(|| scanner.end(&input));
            prop_assert_eq!(end, Some(text.len()));
            let mut found = Vec::new();
            Reader::new(&text).object(|reader, key| {
                found.push(key.into_owned());
                reader.skip().map(drop)
            }).unwrap();
            prop_assert_eq!(found, object.keys().map(|key| String::from(key.as_str())).collect::<Vec<_>>());
        }

        #[test]
        fn no_text_makes_it_panic(text: Vec<u8>) {
            let _ = Reader::new(&text).skip();
        }
    }
}
