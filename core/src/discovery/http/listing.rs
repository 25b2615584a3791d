//! A long answer, which is written as far as there is room for it.

use alloc::sync::Arc;
use alloc::vec::{self, Vec};

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
    left: Left,
    at: At,
}

#[derive(Debug)]
enum Left {
    Instances(vec::IntoIter<Arc<Instance>>),
    Names(vec::IntoIter<Arc<str>>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Begin,
    /// Behind one.
    Item,
    End,
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
        let left = match items {
            Items::Instances(all) => Left::Instances(all.into_iter()),
            Items::Names(all) => Left::Names(all.into_iter()),
        };
        Self { left, at: At::Begin }
    }
}

impl Listing {
    /// The next piece of what [`Items`] are in JSON; `None` behind the last one.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let mut piece = Vec::new();
        while piece.len() < PIECE && self.at != At::End {
            let item = match &mut self.left {
                Left::Instances(left) => left.next().map(|it| json(&Shown::from(&*it))),
                Left::Names(left) => left.next().map(|name| json(&&*name)),
            };
            match self.at {
                At::Begin => piece.push(b'['),
                At::Item if item.is_some() => piece.push(b','),
                At::Item | At::End => {}
            }
            self.at = if item.is_some() { At::Item } else { At::End };
            piece.extend_from_slice(item.as_deref().unwrap_or(b"]"));
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
