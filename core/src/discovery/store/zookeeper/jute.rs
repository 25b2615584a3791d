//! ZooKeeper's encoding, *jute*: integers big-endian, a text or a buffer behind its length (i32, −1 for none), a list behind its
//! count, a flag in a byte; and the records that are used here.

use alloc::string::String;
use alloc::vec::Vec;

/// The codes of operations (`ZooDefs.OpCode`).
pub(super) mod op {
    pub(in super::super) const CREATE: i32 = 1;
    pub(in super::super) const DELETE: i32 = 2;
    pub(in super::super) const GET_DATA: i32 = 4;
    pub(in super::super) const SET_DATA: i32 = 5;
    pub(in super::super) const SYNC: i32 = 9;
    pub(in super::super) const PING: i32 = 11;
    pub(in super::super) const GET_CHILDREN: i32 = 12;
    pub(in super::super) const CHECK: i32 = 13;
    pub(in super::super) const MULTI: i32 = 14;
    pub(in super::super) const CREATE_CONTAINER: i32 = 19;
    pub(in super::super) const AUTH: i32 = 100;
    pub(in super::super) const ADD_WATCH: i32 = 106;
}

/// The codes of errors (`KeeperException.Code`).
pub(super) mod code {
    pub(in super::super) const UNIMPLEMENTED: i32 = -6;
    pub(in super::super) const NO_NODE: i32 = -101;
    pub(in super::super) const NO_AUTH: i32 = -102;
    pub(in super::super) const BAD_VERSION: i32 = -103;
    pub(in super::super) const NODE_EXISTS: i32 = -110;
    pub(in super::super) const NOT_EMPTY: i32 = -111;
    pub(in super::super) const INVALID_ACL: i32 = -114;
    pub(in super::super) const AUTH_FAILED: i32 = -115;
}

/// Who may do what with a node that is created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Acl {
    /// Everybody everything.
    World,
    /// Whoever has shown the same as this connection has.
    Creator,
}

/// What kind of node is created (`CreateMode`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Persistent = 0,
    /// Gone with its session.
    Ephemeral = 1,
    /// ZooKeeper removes it some time after its last child is gone.
    Container = 4,
}

/// Builds a record.
#[derive(Default, Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn int(&mut self, value: i32) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn long(&mut self, value: i64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn flag(&mut self, value: bool) -> &mut Self {
        self.0.push(value.into());
        self
    }

    pub(super) fn buffer(&mut self, value: &[u8]) -> &mut Self {
        self.int(i32::try_from(value.len()).unwrap_or(i32::MAX));
        self.0.extend_from_slice(value);
        self
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.buffer(value.as_bytes())
    }

    fn acl(&mut self, acl: Acl) -> &mut Self {
        let (scheme, id) = match acl {
            Acl::World => ("world", "anyone"),
            Acl::Creator => ("auth", ""),
        };
        // One entry, with all five permissions.
        self.int(1).int(0x1f).text(scheme).text(id)
    }

    pub(super) fn append(&mut self, other: &Self) -> &mut Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    /// What was built, behind its length.
    pub(super) fn frame(&self) -> Vec<u8> {
        let mut frame = Self::default();
        frame.buffer(&self.0);
        frame.0
    }
}

/// An operation that changes something, alone or in a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change<'a> {
    Create {
        path: &'a str,
        data: &'a [u8],
        acl: Acl,
        mode: Mode,
    },
    Delete {
        path: &'a str,
    },
    Set {
        path: &'a str,
        data: &'a [u8],
        version: i32,
    },
    /// It is there.
    Check {
        path: &'a str,
    },
}

/// Any version.
pub(super) const ANY: i32 = -1;

impl Change<'_> {
    pub(super) const fn code(&self) -> i32 {
        match self {
            Self::Create { mode: Mode::Container, .. } => op::CREATE_CONTAINER,
            Self::Create { .. } => op::CREATE,
            Self::Delete { .. } => op::DELETE,
            Self::Set { .. } => op::SET_DATA,
            Self::Check { .. } => op::CHECK,
        }
    }

    pub(super) fn write(&self, to: &mut Writer) {
        match *self {
            Self::Create { path, data, acl, mode } => {
                to.text(path).buffer(data).acl(acl).int(mode as i32)
            }
            Self::Delete { path } | Self::Check { path } => to.text(path).int(ANY),
            Self::Set { path, data, version } => to.text(path).buffer(data).int(version),
        };
    }
}

/// All of these changes or none.
pub(super) fn multi(changes: &[Change<'_>], to: &mut Writer) {
    for change in changes {
        to.int(change.code()).flag(false).int(-1);
        change.write(to);
    }
    to.int(-1).flag(true).int(-1);
}

/// What is known of a node.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Stat {
    /// The transaction that created it.
    pub(super) created: i64,
    /// The transaction that last changed its data.
    pub(super) modified: i64,
    /// How often its data was changed.
    pub(super) version: i32,
    pub(super) children: i32,
}

/// Reads a record. What is not there or makes no sense is `None`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn int(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    pub(super) fn long(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        self.take::<1>().map(|[byte]| byte != 0)
    }

    /// None and empty ones are the same here.
    pub(super) fn buffer(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.int()?.max(0)).ok()?;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        core::str::from_utf8(self.buffer()?).ok()
    }

    pub(super) fn texts(&mut self) -> Option<Vec<String>> {
        let count = usize::try_from(self.int()?.max(0)).ok()?;
        // Each takes four bytes at least, whatever the count says.
        let mut all = Vec::with_capacity(count.min(self.0.len() / 4));
        for _ in 0..count {
            all.push(self.text()?.into());
        }
        Some(all)
    }

    pub(super) fn stat(&mut self) -> Option<Stat> {
        let (created, modified) = (self.long()?, self.long()?);
        let (_created_at, _modified_at) = (self.long()?, self.long()?);
        let (version, _of_children, _of_acl) = (self.int()?, self.int()?, self.int()?);
        let (_owner, _length) = (self.long()?, self.int()?);
        let (children, _children_changed) = (self.int()?, self.long()?);
        Some(Stat { created, modified, version, children })
    }

    /// What came of a transaction: done, or which of its changes failed, and how.
    pub(super) fn multi(&mut self) -> Option<Result<(), Failed>> {
        let mut failed = None;
        for at in 0.. {
            let (kind, is_end, _) = (self.int()?, self.flag()?, self.int()?);
            match kind {
                _ if is_end => break,
                -1 => {
                    // Those before the one that failed have 0, those behind it −2.
                    let code = self.int()?;
                    if code != 0 && failed.is_none() {
                        failed = Some(Failed { at, code });
                    }
                }
                op::CREATE => _ = self.text()?,
                // A container is answered with its status, as by `create2`.
                15 | op::CREATE_CONTAINER => _ = (self.text()?, self.stat()?),
                op::SET_DATA => _ = self.stat()?,
                op::DELETE | op::CHECK => {}
                _ => return None,
            }
        }
        Some(failed.map_or(Ok(()), Err))
    }
}

/// Which change of a transaction failed, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Failed {
    pub(super) at: usize,
    pub(super) code: i32,
}

/// What begins a session or goes on with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Greeting<'a> {
    /// In milliseconds; 0: there is no such session any more.
    pub(super) timeout: i32,
    pub(super) session: i64,
    pub(super) password: &'a [u8],
}

/// The first thing that is said on a connection.
pub(super) fn greet(seen: i64, timeout: i32, session: i64, password: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    // The protocol's version, and at the end that a server without a quorum will not do.
    out.int(0).long(seen).int(timeout).long(session).buffer(password).flag(false);
    out.frame()
}

impl<'a> Greeting<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let _version = from.int()?;
        Some(Self { timeout: from.int()?, session: from.long()?, password: from.buffer()? })
    }
}

/// What an error is called.
pub(super) fn name(code: i32) -> &'static str {
    match code {
        -2 => "runtime inconsistency",
        -4 => "connection loss",
        -5 => "it could not read the request",
        code::UNIMPLEMENTED => "it does not know this operation",
        -7 => "operation timeout",
        -8 => "bad arguments",
        code::NO_NODE => "no node",
        code::NO_AUTH => "permission denied",
        code::BAD_VERSION => "bad version",
        -108 => "no children for ephemerals",
        code::NODE_EXISTS => "node exists",
        code::NOT_EMPTY => "not empty",
        -112 => "session expired",
        code::INVALID_ACL => "invalid ACL",
        code::AUTH_FAILED => "authentication failed",
        -118 => "session moved",
        -119 => "not read-only",
        -125 => "quota exceeded",
        -127 => "throttled",
        _ => "an error without a name here",
    }
}
