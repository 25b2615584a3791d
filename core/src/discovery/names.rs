//! Services by their names as DNS compares them: without the case of ASCII letters, from the right.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;

/// What cannot be found by the names alone. A name that is in lower case and has no dot costs nothing here.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Those that are not in lower case, by what they are in lower case.
    capitals: BTreeMap<Box<str>, BTreeSet<Arc<str>>>,
    /// Those with dots, in lower case and with their labels from the right, and how many are alike.
    dotted: BTreeMap<String, usize>,
}

impl Names {
    pub(super) fn add(&mut self, name: &Arc<str>) {
        if has_capitals(name) {
            let folded = name.to_ascii_lowercase().into_boxed_str();
            self.capitals.entry(folded).or_default().insert(Arc::clone(name));
        }
        if name.contains('.') {
            *self.dotted.entry(from_the_right(name)).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if has_capitals(name) {
            let folded = name.to_ascii_lowercase();
            if let Some(alike) = self.capitals.get_mut(&*folded) {
                alike.remove(name);
                if alike.is_empty() {
                    self.capitals.remove(&*folded);
                }
            }
        }
        if name.contains('.') {
            let key = from_the_right(name);
            if let Some(count) = self.dotted.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.dotted.remove(&key);
                }
            }
        }
    }

    /// The names with capitals that are `folded` in lower case.
    pub(super) fn capitals(&self, folded: &str) -> impl Iterator<Item = &Arc<str>> {
        self.capitals.get(folded).into_iter().flatten()
    }

    /// Whether there is a name with further labels in front of these, which are in lower case.
    pub(super) fn has_below(&self, folded: &str) -> bool {
        let key = from_the_right(folded);
        self.dotted.range(key.clone()..).next().is_some_and(|(name, _)| name.starts_with(&key))
    }
}

fn has_capitals(name: &str) -> bool {
    name.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// `web.example` is `example.web.`: what is below a name begins with it.
fn from_the_right(name: &str) -> String {
    let mut turned = String::with_capacity(name.len() + 1);
    for label in name.rsplit('.') {
        turned.extend(label.chars().map(|character| character.to_ascii_lowercase()));
        turned.push('.');
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn names_that_come_and_go() {
        let mut names = Names::default();
        let all: Vec<Arc<str>> =
            ["web", "Web", "WEB", "web.Example", "Web.example", "a.b.c"].map(Arc::from).into();
        all.iter().for_each(|name| names.add(name));
        let alike = |names: &Names, folded| names.capitals(folded).cloned().collect::<Vec<_>>();
        assert_eq!(alike(&names, "web"), [Arc::from("WEB"), Arc::from("Web")]);
        assert_eq!(alike(&names, "web.example").len(), 2);
        assert_eq!(alike(&names, "a.b.c").len(), 0);
        for (folded, expected) in [
            ("example", true),
            ("c", true),
            ("b.c", true),
            ("xample", false),
            ("b", false),
            ("web", false),
        ] {
            assert_eq!(names.has_below(folded), expected, "{folded}");
        }
        names.remove("web.Example");
        assert!(names.has_below("example"));
        all.iter().filter(|name| &***name != "web.Example").for_each(|name| names.remove(name));
        assert!(names.capitals.is_empty() && names.dotted.is_empty());
    }
}
