//! A long answer, which is written as far as there is room for it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Serialize, Serializer};

use super::answer::{Shown, json};
use crate::discovery::Instance;

/// What is listed, as it was when it was asked for. Whoever reads slowly shares it with all others.
#[derive(Debug)]
pub(super) enum Items {
    Instances(Vec<Arc<Instance>>),
    Names(Vec<Arc<str>>),
}

/// A list of which some is still to be written.
#[derive(Debug)]
pub(super) struct Listing {
    items: Items,
    /// How many are written; one more when its end is, too.
    written: usize,
}

/// A piece is no longer than this and one item.
const PIECE: usize = 16 * 1024;

impl Serialize for Items {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Instances(all) => serializer.collect_seq(all.iter().map(|it| Shown::from(&**it))),
            Self::Names(all) => serializer.collect_seq(all.iter().map(|name| &**name)),
        }
    }
}

impl From<Items> for Listing {
    fn from(items: Items) -> Self {
        Self { items, written: 0 }
    }
}

impl Items {
    const fn len(&self) -> usize {
        match self {
            Self::Instances(all) => all.len(),
            Self::Names(all) => all.len(),
        }
    }

    fn one(&self, nth: usize) -> Option<Vec<u8>> {
        match self {
            Self::Instances(all) => all.get(nth).map(|it| json(&Shown::from(&**it))),
            Self::Names(all) => all.get(nth).map(|name| json(&&**name)),
        }
    }
}

impl Listing {
    /// The next piece of what [`Items`] are in JSON; `None` behind the last one.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let mut piece = Vec::new();
        while piece.len() < PIECE && self.written <= self.items.len() {
            let item = self.items.one(self.written);
            if self.written == 0 {
                piece.push(b'[');
            } else if item.is_some() {
                piece.push(b',');
            }
            piece.extend_from_slice(item.as_deref().unwrap_or(b"]"));
            self.written += 1;
        }
        (!piece.is_empty()).then_some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    #[test]
    fn the_pieces_are_what_is_listed() {
        for count in [0, 1, 2, 3000] {
            let names: Vec<Arc<str>> = (0..count).map(|nth| format!("web\"{nth}").into()).collect();
            let instance = |nth| Instance {
                service: "web".into(),
                address: format!("10.0.0.1:{nth}").into(),
                attributes: None,
                created: nth,
            };
            let instances = (0..count).map(|nth| Arc::new(instance(nth))).collect();
            for items in [Items::Names(names), Items::Instances(instances)] {
                let whole = String::from_utf8(json(&items)).unwrap();
                let mut listing = Listing::from(items);
                let mut pieces = Vec::new();
                while let Some(piece) = listing.next() {
                    assert!(piece.len() < PIECE + 200, "{}", piece.len());
                    pieces.push(piece);
                }
                assert_eq!(pieces.len(), whole.len() / PIECE + 1);
                assert_eq!(String::from_utf8(pieces.concat()).unwrap(), whole);
            }
        }
    }
}
