//! The tree of nodes, and what changes it.

use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Node {
    pub(super) data: Vec<u8>,
    pub(super) created: i64,
    pub(super) modified: i64,
    pub(super) version: i32,
    /// The session that it goes with.
    pub(super) owner: i64,
    pub(super) container: bool,
    pub(super) had_children: bool,
    /// Who may read and change it, where that is not everybody.
    pub(super) user: Option<String>,
}

/// One change to the tree.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Create(String, Node),
    Set(String, Vec<u8>),
    Delete(String),
}

#[derive(Clone, Default)]
pub(super) struct Tree(pub(super) BTreeMap<String, Node>);

pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Tree {
    pub(super) fn children<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let behind = self.0.range(format!("{path}/")..format!("{path}0"));
        behind.filter_map(move |(child, _)| {
            let name = &child[path.len() + 1..];
            (!name.contains('/')).then_some(name)
        })
    }

    pub(super) fn apply(&mut self, zxid: i64, change: &Change) {
        match change {
            Change::Create(path, node) => {
                if let Some(parent) = self.0.get_mut(parent(path)) {
                    parent.had_children = true;
                }
                self.0.insert(path.clone(), node.clone());
            }
            Change::Set(path, data) => {
                let node = self.0.get_mut(path).expect("it was checked");
                (node.data, node.modified, node.version) = (data.clone(), zxid, node.version + 1);
            }
            Change::Delete(path) => _ = self.0.remove(path).expect("it was checked"),
        }
    }

    pub(super) fn stat(&self, path: &str) -> Vec<u8> {
        let node = &self.0[path];
        let mut out = Vec::new();
        for number in [node.created, node.modified, 0, 0] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for number in [node.version, 0, 0] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&node.owner.to_be_bytes());
        out.extend_from_slice(&(node.data.len() as i32).to_be_bytes());
        out.extend_from_slice(&(self.children(path).count() as i32).to_be_bytes());
        out.extend_from_slice(&node.modified.to_be_bytes());
        out
    }
}
