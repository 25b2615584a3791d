//! The types that a peer defines, and values of them.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::wire::{Malformed, Reader};
use crate::rpc::Error;

/// What is built in.
pub(super) const BOOL: i64 = 1;
const INT: i64 = 2;
pub(super) const UINT: i64 = 3;
const FLOAT: i64 = 4;
const BYTES: i64 = 5;
pub(super) const STRING: i64 = 6;
const COMPLEX: i64 = 7;
const INTERFACE: i64 = 8;
/// Ids below are Go's own.
const FIRST_DEFINED: i64 = 64;
/// Values may lie in one another so deep; Go's own programs stay below ten.
const DEPTH: u32 = 64;

/// A definition: gob's wireType.
#[derive(Clone, Debug)]
enum Type {
    /// An array or a slice.
    Elements(i64),
    Map(i64, i64),
    Struct {
        name: Box<str>,
        fields: Box<[Field]>,
    },
    /// What encodes itself, as bytes.
    Opaque,
}

#[derive(Clone, Debug)]
struct Field {
    name: Box<str>,
    id: i64,
}

/// All that a peer has defined.
#[derive(Clone, Default, Debug)]
pub(super) struct Types {
    defined: BTreeMap<i64, Type>,
    /// Bytes of the definitions, and of their fields here.
    size: usize,
}

/// A structure that is wanted, and its fields.
pub(super) struct Shape {
    /// As Go's errors call it.
    pub(super) name: &'static str,
    pub(super) fields: &'static [(&'static str, Kind)],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Bool,
    Uint,
    Text,
    /// `map[string]string`.
    Map,
}

/// A field's value.
pub(super) enum Value<'a> {
    Bool(bool),
    Uint(u64),
    Text(&'a [u8]),
    Map(Vec<(&'a [u8], &'a [u8])>),
}

/// Why a value is not the one that is wanted. The next message can be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Mismatch(pub(super) String);

impl From<Malformed> for Mismatch {
    fn from(_: Malformed) -> Self {
        Self("gob: bad data: the value is malformed or ends early".into())
    }
}

/// What a message holds.
pub(super) enum Message<'a> {
    /// A definition, which is remembered now.
    Definition,
    /// A value of the type of that id.
    Value(i64, Reader<'a>),
}

impl Types {
    /// Reads a message without its length.
    pub(super) fn message<'a>(
        &mut self,
        payload: &'a [u8],
        limit: usize,
    ) -> Result<Message<'a>, Error> {
        let mut reader = Reader::new(payload);
        let id = reader.int().map_err(|_| Error::Gob)?;
        if id > 0 {
            return Ok(Message::Value(id, reader));
        }
        let id = id.checked_neg().ok_or(Error::Gob)?;
        if id < FIRST_DEFINED || self.defined.contains_key(&id) {
            return Err(Error::Gob);
        }
        self.size += payload.len();
        if self.size > limit {
            return Err(Error::TooManyDefinitions);
        }
        let defined = definition(&mut reader).map_err(|_| Error::Gob)?;
        if reader.left() > 0 {
            return Err(Error::Gob);
        }
        if let Type::Struct { fields, .. } = &defined {
            // One may take a single byte there, but more here, and a look at it for each value.
            self.size += size_of_val(&**fields);
            if self.size > limit {
                return Err(Error::TooManyDefinitions);
            }
        }
        self.defined.insert(id, defined);
        Ok(Message::Definition)
    }

    /// Reads a structure: what it has of the wanted fields, in the order that the peer's type has them.
    pub(super) fn read_struct<'a>(
        &self,
        id: i64,
        mut reader: Reader<'a>,
        wanted: &Shape,
        mut set: impl FnMut(usize, Value<'a>) -> Result<(), Mismatch>,
    ) -> Result<(), Mismatch> {
        let local = wanted.name;
        let (name, fields) = match self.defined.get(&id) {
            Some(Type::Struct { name, fields }) => (name, fields),
            None if id >= FIRST_DEFINED => {
                return Err(Mismatch(format!("gob: type {id} is not defined")));
            }
            _ => {
                return Err(Mismatch(format!(
                    "gob: type mismatch in decoder: want struct type agent.{local}; got non-struct"
                )));
            }
        };
        let find = |field: &Field| wanted.fields.iter().position(|(name, _)| *name == &*field.name);
        let mut none = true;
        for field in fields {
            let Some(at) = find(field) else { continue };
            none = false;
            let kind = wanted.fields[at].1;
            if !self.is(field.id, kind) {
                let (wants, field) = (kind.go_name(), &field.name);
                return Err(Mismatch(format!(
                    "gob: wrong type ({wants}) for received field {name}.{field}"
                )));
            }
        }
        if none && !fields.is_empty() && !wanted.fields.is_empty() {
            return Err(Mismatch(format!(
                "gob: type mismatch: no fields matched compiling decoder for {local}"
            )));
        }
        let mut failed = None;
        reader.fields(|reader, number| {
            let field = usize::try_from(number - 1).ok().and_then(|at| fields.get(at));
            let field = field.ok_or(Malformed)?;
            match find(field) {
                None => self.skip(field.id, reader, 0)?,
                Some(at) => {
                    let value = value(wanted.fields[at].1, reader)?;
                    if failed.is_none() {
                        failed = set(at, value).err();
                    }
                }
            }
            Ok(())
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn is(&self, id: i64, kind: Kind) -> bool {
        match kind {
            Kind::Bool => id == BOOL,
            Kind::Uint => id == UINT,
            Kind::Text => id == STRING,
            Kind::Map => matches!(self.defined.get(&id), Some(Type::Map(STRING, STRING))),
        }
    }

    /// Passes over a value of a type.
    fn skip(&self, id: i64, reader: &mut Reader<'_>, depth: u32) -> Result<(), Malformed> {
        if depth == DEPTH {
            return Err(Malformed);
        }
        match id {
            BOOL | INT | UINT | FLOAT => _ = reader.uint()?,
            COMPLEX => _ = (reader.uint()?, reader.uint()?),
            BYTES | STRING => _ = reader.bytes()?,
            INTERFACE => {
                if !reader.bytes()?.is_empty() {
                    // A definition in here would be needed later on, so it must not be passed over.
                    if reader.int()? <= 0 {
                        return Err(Malformed);
                    }
                    reader.bytes()?;
                }
            }
            _ => match self.defined.get(&id).ok_or(Malformed)? {
                Type::Opaque => _ = reader.bytes()?,
                Type::Elements(of) => {
                    for _ in 0..reader.count()? {
                        self.skip(*of, reader, depth + 1)?;
                    }
                }
                Type::Map(key, value) => {
                    for _ in 0..reader.count()? {
                        self.skip(*key, reader, depth + 1)?;
                        self.skip(*value, reader, depth + 1)?;
                    }
                }
                Type::Struct { fields, .. } => reader.fields(|reader, number| {
                    let field = usize::try_from(number - 1).ok().and_then(|at| fields.get(at));
                    self.skip(field.ok_or(Malformed)?.id, reader, depth + 1)
                })?,
            },
        }
        Ok(())
    }
}

impl Kind {
    const fn go_name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Uint => "uint",
            Self::Text => "string",
            Self::Map => "map[string]string",
        }
    }
}

fn value<'a>(kind: Kind, reader: &mut Reader<'a>) -> Result<Value<'a>, Malformed> {
    Ok(match kind {
        Kind::Bool => Value::Bool(reader.uint()? != 0),
        Kind::Uint => Value::Uint(reader.uint()?),
        Kind::Text => Value::Text(reader.bytes()?),
        Kind::Map => {
            let mut pairs = Vec::new();
            for _ in 0..reader.count()? {
                pairs.push((reader.bytes()?, reader.bytes()?));
            }
            Value::Map(pairs)
        }
    })
}

/// Gob's `wireType`, which is a structure itself: exactly one of its fields is there.
fn definition(reader: &mut Reader<'_>) -> Result<Type, Malformed> {
    let mut defined = None;
    reader.fields(|reader, number| {
        let one = match number {
            // An array has its length for a third field, a map its values' type.
            1 | 2 => Type::Elements(with_common(reader, 3)?.1[0]),
            3 => structure(reader)?,
            4 => {
                let [key, value] = with_common(reader, 3)?.1;
                Type::Map(key, value)
            }
            5..=7 => {
                with_common(reader, 1)?;
                Type::Opaque
            }
            _ => return Err(Malformed),
        };
        if defined.replace(one).is_some() { Err(Malformed) } else { Ok(()) }
    })?;
    defined.ok_or(Malformed)
}

/// A structure of a name and an id, and up to two numbers behind it.
fn with_common<'a>(reader: &mut Reader<'a>, last: u64) -> Result<(&'a [u8], [i64; 2]), Malformed> {
    let (mut name, mut numbers) = (&[][..], [0; 2]);
    reader.fields(|reader, number| {
        match number {
            1 => name = common(reader)?,
            2 | 3 if number <= last => numbers[number as usize - 2] = reader.int()?,
            _ => return Err(Malformed),
        }
        Ok(())
    })?;
    Ok((name, numbers))
}

/// Gob's `CommonType`: a name and an id, of which the id is known already.
fn common<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let mut name = &[][..];
    reader.fields(|reader, number| {
        match number {
            1 => name = reader.bytes()?,
            2 => _ = reader.int()?,
            _ => return Err(Malformed),
        }
        Ok(())
    })?;
    Ok(name)
}

fn structure(reader: &mut Reader<'_>) -> Result<Type, Malformed> {
    let (mut name, mut fields) = (&[][..], Vec::new());
    reader.fields(|reader, number| {
        match number {
            1 => name = common(reader)?,
            2 => {
                for _ in 0..reader.count()? {
                    let (mut name, mut id) = (&[][..], 0);
                    reader.fields(|reader, number| {
                        match number {
                            1 => name = reader.bytes()?,
                            2 => id = reader.int()?,
                            _ => return Err(Malformed),
                        }
                        Ok(())
                    })?;
                    fields.push(Field { name: text(name), id });
                }
            }
            _ => return Err(Malformed),
        }
        Ok(())
    })?;
    Ok(Type::Struct { name: text(name), fields: fields.into() })
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}
