//! Places in a JSON document: which field it is, and in which line it stands.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// One step on the way to a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Key(String),
    Nth(usize),
}

/// The way to a value, written as `containers[0].State.Status`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Place(Vec<Step>);

/// Something wrong in a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    pub(super) place: Place,
    pub(super) words: String,
}

impl Place {
    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_string()))
    }

    pub(super) fn nth(&self, nth: usize) -> Self {
        self.with(Step::Nth(nth))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    pub(super) fn problem(self, words: impl Into<String>) -> Problem {
        Problem { place: self, words: words.into() }
    }

    /// The line, counted from 1, in which the value begins; of what is not there, the line of what should hold it. `text` is
    /// JSON that has been read before.
    pub(super) fn line(&self, text: &[u8]) -> usize {
        let mut scanner = Scanner { text, at: 0 };
        scanner.go(&self.0);
        1 + text[..scanner.at.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if nth == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Nth(number) => write!(f, "[{number}]")?,
            }
        }
        Ok(())
    }
}

impl Problem {
    /// For the person who wrote the document: `engine.json:12: containers[0].State.Status: …`.
    pub(super) fn report(&self, file: &str, text: &[u8]) -> String {
        let (line, words) = (self.place.line(text), &self.words);
        if self.place.0.is_empty() {
            return format!("{file}:{line}: {words}");
        }
        format!("{file}:{line}: {}: {words}", self.place)
    }
}

/// Reads a value of which every key is optional.
pub(super) fn read<T: DeserializeOwned>(value: &Value, place: &Place) -> Result<T, Problem> {
    T::deserialize(value).map_err(|error| {
        let (mut steps, mut words) = (Vec::new(), error.to_string());
        let mut at = value;
        // The first part that is refused without its neighbours is to blame, or a part of that.
        while let Some((step, inner, error)) = children(at).find_map(|(step, inner)| {
            steps.push(step);
            let alone = T::deserialize(&around(&steps, inner.clone()));
            let step = steps.pop()?;
            alone.err().map(|error| (step, inner, error.to_string()))
        }) {
            steps.push(step);
            (at, words) = (inner, error);
        }
        steps.into_iter().fold(place.clone(), |place, step| place.with(step)).problem(words)
    })
}

fn children(value: &Value) -> impl Iterator<Item = (Step, &Value)> {
    let fields = value.as_object().into_iter().flatten();
    let items = value.as_array().into_iter().flatten().enumerate();
    fields
        .map(|(key, value)| (Step::Key(key.clone()), value))
        .chain(items.map(|(nth, value)| (Step::Nth(nth), value)))
}

/// A document that has nothing but this value, at that place; of lists on the way it is the only item.
fn around(steps: &[Step], value: Value) -> Value {
    steps.iter().rev().fold(value, |value, step| match step {
        Step::Key(key) => Value::Object(Map::from_iter([(key.clone(), value)])),
        Step::Nth(_) => Value::Array(Vec::from([value])),
    })
}

/// Finds its way through JSON without reading it.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Goes to the value at the end of the way; stays before the last one that is there.
    fn go(&mut self, steps: &[Step]) {
        self.peek();
        let Some((step, rest)) = steps.split_first() else { return };
        let start = self.at;
        let found = match step {
            Step::Key(key) => self.find_key(key),
            Step::Nth(nth) => self.find_nth(*nth),
        };
        match found {
            true => self.go(rest),
            false => self.at = start,
        }
    }

    fn find_key(&mut self, wanted: &str) -> bool {
        if !self.take(b'{') {
            return false;
        }
        while self.peek() == Some(b'"') {
            let start = self.at;
            self.skip_string();
            let key = serde_json::from_slice::<String>(&self.text[start..self.at]);
            self.take(b':');
            if key.is_ok_and(|key| key == wanted) {
                return true;
            }
            self.skip();
            self.take(b',');
        }
        false
    }

    fn find_nth(&mut self, nth: usize) -> bool {
        if !self.take(b'[') {
            return false;
        }
        for _ in 0..nth {
            self.skip();
            if !self.take(b',') {
                return false;
            }
        }
        true
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.text.get(self.at) {
            self.at += if *byte == b'\\' { 2 } else { 1 };
            if *byte == b'"' {
                break;
            }
        }
        self.at = self.at.min(self.text.len());
    }

    fn skip(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.skip_string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' | b',' if depth == 0 => return,
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Problem, read};
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::Value;

    #[derive(Deserialize, Default, Debug)]
    #[serde(default, deny_unknown_fields)]
    struct Document {
        things: Vec<Thing>,
        name: String,
    }

    #[derive(Deserialize, Default, Debug)]
    #[serde(default)]
    struct Thing {
        counts: Vec<u8>,
    }

    const TEXT: &str = "{\n \"name\": \"a\\\"]{\",\n \"things\": [\n  {},\n  {\"other\": [1,\n {}],\n   \"counts\": \
                        [1, 2,\n    300]}\n ]\n}\n";

    fn problem(text: &str) -> Option<Problem> {
        let value: Value = serde_json::from_str(text).unwrap();
        read::<Document>(&value, &Place::default()).err()
    }

    #[test]
    fn what_is_wrong_is_found() {
        let found = problem(TEXT).unwrap();
        assert_eq!(
            found.report("f", TEXT.as_bytes()),
            "f:8: things[1].counts[2]: invalid value: integer `300`, expected u8"
        );
        let text = "{\n\"thing\": []}";
        assert_eq!(
            problem(text).unwrap().report("f", text.as_bytes()),
            "f:2: thing: unknown field `thing`, expected `things` or `name`"
        );
        assert_eq!(
            problem("[5]").unwrap().report("f", b"[5]"),
            "f:1: [0]: invalid type: integer `5`, expected a sequence"
        );
        let fine: Value = serde_json::from_str(&TEXT.replace("300", "3")).unwrap();
        assert_eq!(read::<Document>(&fine, &Place::default()).unwrap().things.len(), 2);
    }

    #[test]
    fn what_is_not_there_has_the_line_of_what_should_hold_it() {
        let things = Place::default().key("things");
        let line = |place: &Place| place.line(TEXT.as_bytes());
        assert_eq!((line(&Place::default()), line(&things)), (1, 3));
        assert_eq!((line(&things.nth(0)), line(&things.nth(1))), (4, 5));
        assert_eq!((line(&things.nth(1).key("nothing")), line(&things.nth(9))), (5, 3));
        assert_eq!(things.nth(1).key("counts").to_string(), "things[1].counts");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[a\"\\\\{}\\[\\],: \n]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[ab\"\\\\\n]{0,3}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_is_found_where_it_is(document in any_json()) {
            let text = serde_json::to_string_pretty(&document).unwrap();
            let mut left = Vec::from([(Place::default(), &document)]);
            while let Some((place, value)) = left.pop() {
                let mut scanner = super::Scanner { text: text.as_bytes(), at: 0 };
                scanner.go(&place.0);
                let mut rest = serde_json::Deserializer::from_slice(&text.as_bytes()[scanner.at..]).into_iter::<Value>();
                prop_assert_eq!(&rest.next().unwrap().unwrap(), value);
                left.extend(super::children(value).map(|(step, inner)| (place.with(step), inner)));
            }
        }
    }
}
