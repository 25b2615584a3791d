//! Requests and responses in gob.

mod types;
mod wire;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::message::{Body, Id, Request, Response, clipped};
use super::{Args, Attributes, CLOSE_STREAM, Error, Limits, Method, Reply, Update};
use types::{Kind, Message, Mismatch, STRING, Shape, Types, Value};
use wire::{Reader, put_int, put_message, put_string, put_uint};

const REQUEST: Shape =
    Shape { name: "Request", fields: &[("ServiceMethod", Kind::Text), ("Seq", Kind::Uint)] };
const RESPONSE: Shape = Shape {
    name: "Response",
    fields: &[("ServiceMethod", Kind::Text), ("Seq", Kind::Uint), ("Error", Kind::Text)],
};
const ARGS: Shape = Shape {
    name: "Args",
    fields: &[("Name", Kind::Text), ("Addr", Kind::Text), ("Attrs", Kind::Map)],
};
const UPDATE: Shape = Shape {
    name: "ServiceUpdate",
    fields: &[
        ("Name", Kind::Text),
        ("Addr", Kind::Text),
        ("Online", Kind::Bool),
        ("Attrs", Kind::Map),
        ("Created", Kind::Uint),
    ],
};

/// Cuts a peer's bytes into messages, and remembers its types.
#[derive(Clone, Default, Debug)]
struct Decoder {
    types: Types,
}

/// A value: its type, its bytes.
type Found<'a> = (i64, Reader<'a>);

impl Decoder {
    /// The next value: how many bytes of `input` were taken, and the value unless more must come.
    fn value<'a>(
        &mut self,
        input: &'a [u8],
        limits: &Limits,
    ) -> Result<(usize, Option<Found<'a>>), Error> {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            let Some((prefix, length)) = wire::prefix(rest).map_err(|_| Error::Gob)? else {
                return Ok((taken, None));
            };
            if length > limits.message as u64 {
                return Err(Error::MessageTooLong);
            }
            let Some(payload) = rest.get(prefix..prefix + length as usize) else {
                return Ok((taken, None));
            };
            taken += prefix + length as usize;
            if let Message::Value(id, reader) = self.types.message(payload, limits.definitions)? {
                return Ok((taken, Some((id, reader))));
            }
        }
    }
}

/// Reads requests and writes responses.
#[derive(Clone, Default, Debug)]
pub(super) struct ServerCodec {
    decoder: Decoder,
    /// The header that came last; its arguments come next.
    header: Option<(Box<str>, u64)>,
    defined: Definitions,
}

/// The types that a peer has been told of.
#[derive(Clone, Copy, Default, Debug)]
struct Definitions {
    header: bool,
    empty: bool,
    body: bool,
}

impl Definitions {
    fn define(told: &mut bool, types: &[u8], out: &mut Vec<u8>) {
        if !core::mem::replace(told, true) {
            out.extend_from_slice(types);
        }
    }
}

impl ServerCodec {
    pub(super) fn receive(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<(usize, Option<Request>), Error> {
        let mut taken = 0;
        loop {
            let (more, value) = self.decoder.value(&input[taken..], limits)?;
            taken += more;
            let Some((id, reader)) = value else { return Ok((taken, None)) };
            let types = &self.decoder.types;
            let Some((method, seq)) = self.header.take() else {
                let (mut method, mut seq) = (Cow::Borrowed(""), 0);
                let read = types.read_struct(id, reader, &REQUEST, |_, value| {
                    match value {
                        Value::Text(name) => method = String::from_utf8_lossy(name),
                        Value::Uint(number) => seq = number,
                        _ => {}
                    }
                    Ok(())
                });
                read.map_err(|_| Error::Gob)?;
                self.header = Some((method.into(), seq));
                continue;
            };
            let shown = clipped(&method);
            let call = match Method::named(&method) {
                // Whatever they are, the arguments of what is not there are passed over.
                Err(error) => Err(error),
                Ok(known) => {
                    args(types, id, reader).map(|args| (known, args)).map_err(|wrong| wrong.0)
                }
            };
            return Ok((taken, Some(Request { id: Id::Number(seq), method: shown.into(), call })));
        }
    }

    pub(super) const fn is_between_messages(&self) -> bool {
        self.header.is_none()
    }

    pub(super) fn reply(&mut self, method: &str, seq: u64, reply: Reply<'_>, out: &mut Vec<u8>) {
        self.header(method, seq, "", out);
        match reply {
            Reply::Text(text) => put_message(out, |out| {
                put_int(STRING, out);
                out.push(0);
                put_string(text, out);
            }),
            Reply::Empty => self.empty(out),
        }
    }

    pub(super) fn fail(&mut self, method: &str, seq: u64, error: &str, out: &mut Vec<u8>) {
        self.header(method, seq, error, out);
        self.empty(out);
    }

    pub(super) fn update(
        &mut self,
        method: &str,
        seq: u64,
        update: &Update<'_>,
        out: &mut Vec<u8>,
    ) {
        self.header(method, seq, "", out);
        Definitions::define(&mut self.defined.body, UPDATE_TYPES, out);
        put_message(out, |out| {
            put_int(UPDATE_ID, out);
            let mut fields = Fields::new(out);
            fields.text(1, &update.name);
            fields.text(2, &update.address);
            fields.bool(3, update.online);
            fields.map(4, update.attributes.as_deref());
            fields.uint(5, update.created);
            fields.end();
        });
    }

    fn header(&mut self, method: &str, seq: u64, error: &str, out: &mut Vec<u8>) {
        Definitions::define(&mut self.defined.header, RESPONSE_TYPE, out);
        put_message(out, |out| {
            put_int(HEADER_ID, out);
            let mut fields = Fields::new(out);
            fields.text(1, method);
            fields.uint(2, seq);
            fields.text(3, error);
            fields.end();
        });
    }

    fn empty(&mut self, out: &mut Vec<u8>) {
        Definitions::define(&mut self.defined.empty, SERVER_EMPTY_TYPE, out);
        put_empty(SERVER_EMPTY_ID, out);
    }
}

fn args(types: &Types, id: i64, reader: Reader<'_>) -> Result<Args, Mismatch> {
    let mut args = Args::default();
    types.read_struct(id, reader, &ARGS, |field, value| {
        match (field, value) {
            (0, Value::Text(name)) => args.name = string("Name", name)?,
            (1, Value::Text(address)) => args.address = string("Addr", address)?,
            (2, Value::Map(pairs)) => args.attributes = Some(attributes(&pairs)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(args)
}

fn attributes(pairs: &[(&[u8], &[u8])]) -> Result<Attributes, Mismatch> {
    let pairs = pairs.iter();
    pairs.map(|(key, value)| Ok((string("Attrs", key)?, string("Attrs", value)?))).collect()
}

fn string(field: &str, bytes: &[u8]) -> Result<String, Mismatch> {
    match core::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_string()),
        Err(_) => Err(Mismatch(format!("discoverd: {field} is not UTF-8"))),
    }
}

/// Writes requests and reads responses.
#[derive(Clone, Default, Debug)]
pub(super) struct ClientCodec {
    decoder: Decoder,
    /// The header that came last; its body comes next.
    header: Option<(Box<str>, u64, String)>,
    defined: Definitions,
}

impl ClientCodec {
    pub(super) fn call(&mut self, method: Method, seq: u64, args: &Args, out: &mut Vec<u8>) {
        self.header(method.name(), seq, out);
        Definitions::define(&mut self.defined.body, ARGS_TYPES, out);
        put_message(out, |out| {
            put_int(ARGS_ID, out);
            let mut fields = Fields::new(out);
            fields.text(1, &args.name);
            fields.text(2, &args.address);
            fields.map(3, args.attributes.as_ref());
            fields.end();
        });
    }

    pub(super) fn close(&mut self, seq: u64, out: &mut Vec<u8>) {
        self.header(CLOSE_STREAM, seq, out);
        Definitions::define(&mut self.defined.empty, CLIENT_EMPTY_TYPE, out);
        put_empty(CLIENT_EMPTY_ID, out);
    }

    fn header(&mut self, method: &str, seq: u64, out: &mut Vec<u8>) {
        Definitions::define(&mut self.defined.header, REQUEST_TYPE, out);
        put_message(out, |out| {
            put_int(HEADER_ID, out);
            let mut fields = Fields::new(out);
            fields.text(1, method);
            fields.uint(2, seq);
            fields.end();
        });
    }

    pub(super) fn receive(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<(usize, Option<Response>), Error> {
        let mut taken = 0;
        loop {
            let (more, value) = self.decoder.value(&input[taken..], limits)?;
            taken += more;
            let Some((id, reader)) = value else { return Ok((taken, None)) };
            let types = &self.decoder.types;
            let Some((method, seq, error)) = self.header.take() else {
                let (mut method, mut error, mut seq) = (Cow::Borrowed(""), Cow::Borrowed(""), 0);
                let read = types.read_struct(id, reader, &RESPONSE, |field, value| {
                    match (field, value) {
                        (0, Value::Text(name)) => method = String::from_utf8_lossy(name),
                        (2, Value::Text(text)) => error = String::from_utf8_lossy(text),
                        (_, Value::Uint(number)) => seq = number,
                        _ => {}
                    }
                    Ok(())
                });
                read.map_err(|_| Error::Gob)?;
                self.header = Some((method.into(), seq, error.into_owned()));
                continue;
            };
            let body = if error.is_empty() {
                body(types, &method, id, reader).map_err(|_| Error::Gob)?
            } else {
                return Ok((taken, Some(Response { id: seq, body: Err(error) })));
            };
            return Ok((taken, Some(Response { id: seq, body: Ok(body) })));
        }
    }

    pub(super) const fn is_between_messages(&self) -> bool {
        self.header.is_none()
    }
}

fn body(types: &Types, method: &str, id: i64, mut reader: Reader<'_>) -> Result<Body, Mismatch> {
    if id == STRING {
        // What is no structure stands behind a zero.
        reader.take(1)?;
        return Ok(Body::Text(String::from_utf8_lossy(reader.bytes()?).into_owned()));
    }
    if method != Method::Subscribe.name() {
        return Ok(Body::Empty);
    }
    let mut update = Update::MARKER;
    types.read_struct(id, reader, &UPDATE, |field, value| {
        match (field, value) {
            (0, Value::Text(name)) => update.name = Cow::Owned(string("Name", name)?),
            (1, Value::Text(address)) => update.address = Cow::Owned(string("Addr", address)?),
            (_, Value::Bool(online)) => update.online = online,
            (_, Value::Map(pairs)) => update.attributes = Some(Cow::Owned(attributes(&pairs)?)),
            (_, Value::Uint(created)) => update.created = created,
            _ => {}
        }
        Ok(())
    })?;
    Ok(Body::Update(update))
}

/// Writes the fields of a structure, without those that are zero.
struct Fields<'a> {
    out: &'a mut Vec<u8>,
    last: u64,
}

impl<'a> Fields<'a> {
    const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, last: 0 }
    }

    fn number(&mut self, number: u64) {
        put_uint(number - self.last, self.out);
        self.last = number;
    }

    fn text(&mut self, number: u64, text: &str) {
        if !text.is_empty() {
            self.number(number);
            put_string(text, self.out);
        }
    }

    fn uint(&mut self, number: u64, value: u64) {
        if value != 0 {
            self.number(number);
            put_uint(value, self.out);
        }
    }

    fn bool(&mut self, number: u64, value: bool) {
        self.uint(number, value.into());
    }

    /// An empty one is not left out: it is not the same as none.
    fn map(&mut self, number: u64, pairs: Option<&Attributes>) {
        let Some(pairs) = pairs else { return };
        self.number(number);
        put_uint(pairs.len() as u64, self.out);
        for (key, value) in pairs {
            put_string(key, self.out);
            put_string(value, self.out);
        }
    }

    fn end(self) {
        self.out.push(0);
    }
}

fn put_empty(id: i64, out: &mut Vec<u8>) {
    put_message(out, |out| {
        put_int(id, out);
        out.push(0);
    });
}

// The ids are those that the original's processes happened to use, so that what is written is what they wrote.
const HEADER_ID: i64 = 65;
const SERVER_EMPTY_ID: i64 = 66;
const UPDATE_ID: i64 = 67;
const ARGS_ID: i64 = 66;
const CLIENT_EMPTY_ID: i64 = 69;

const RESPONSE_TYPE: &[u8] = b"\x3a\xff\x81\x03\x01\x01\x08Response\x01\xff\x82\x00\x01\x03\
    \x01\x0dServiceMethod\x01\x0c\x00\x01\x03Seq\x01\x06\x00\x01\x05Error\x01\x0c\x00\x00\x00";
const SERVER_EMPTY_TYPE: &[u8] = b"\x0a\xff\x83\x03\x01\x02\xff\x84\x00\x00\x00";
const UPDATE_TYPES: &[u8] = b"\x4f\xff\x85\x03\x01\x01\x0dServiceUpdate\x01\xff\x86\x00\x01\x05\
    \x01\x04Name\x01\x0c\x00\x01\x04Addr\x01\x0c\x00\x01\x06Online\x01\x02\x00\
    \x01\x05Attrs\x01\xff\x88\x00\x01\x07Created\x01\x06\x00\x00\x00\
    \x21\xff\x87\x04\x01\x01\x11map[string]string\x01\xff\x88\x00\x01\x0c\x01\x0c\x00\x00";
const REQUEST_TYPE: &[u8] = b"\x2f\xff\x81\x03\x01\x01\x07Request\x01\xff\x82\x00\x01\x02\
    \x01\x0dServiceMethod\x01\x0c\x00\x01\x03Seq\x01\x06\x00\x00\x00";
const ARGS_TYPES: &[u8] = b"\x2f\xff\x83\x03\x01\x01\x04Args\x01\xff\x84\x00\x01\x03\
    \x01\x04Name\x01\x0c\x00\x01\x04Addr\x01\x0c\x00\x01\x05Attrs\x01\xff\x86\x00\x00\x00\
    \x21\xff\x85\x04\x01\x01\x11map[string]string\x01\xff\x86\x00\x01\x0c\x01\x0c\x00\x00";
const CLIENT_EMPTY_TYPE: &[u8] = b"\x0a\xff\x89\x03\x01\x02\xff\x8a\x00\x00\x00";
