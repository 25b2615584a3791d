//! Requests and responses in JSON.

mod read;
mod write;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::message::{Body, Id, Request, Response};
use super::{Args, Attributes, CLOSE_STREAM, Error, Limits, Method, Reply, Update};
use read::{Kind, Reader, Scanner, Syntax, is_space};
use write::{compact, put_number, put_string};

/// Cuts a peer's bytes into objects.
#[derive(Clone, Copy, Default, Debug)]
struct Decoder {
    scanner: Scanner,
}

impl Decoder {
    /// The next object: how many bytes of `input` were taken, and the object unless more must come.
    fn object<'a>(
        &mut self,
        input: &'a [u8],
        limits: &Limits,
    ) -> Result<(usize, Option<&'a [u8]>), Error> {
        let blank = input.iter().take_while(|byte| is_space(**byte)).count();
        let rest = &input[blank..];
        match rest.first() {
            None => return Ok((blank, None)),
            Some(b'{') => {}
            Some(_) => return Err(Error::Json),
        }
        match self.scanner.end(rest) {
            Some(length) if length <= limits.message => Ok((blank + length, Some(&rest[..length]))),
            None if rest.len() <= limits.message => Ok((blank, None)),
            _ => Err(Error::MessageTooLong),
        }
    }
}

/// Reads requests and writes responses.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct ServerCodec {
    decoder: Decoder,
}

impl ServerCodec {
    pub(super) fn receive(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<(usize, Option<Request>), Error> {
        let (taken, text) = self.decoder.object(input, limits)?;
        let Some(text) = text else { return Ok((taken, None)) };
        let (mut method, mut id, mut params) = (Cow::Borrowed(""), &b"null"[..], None);
        let mut no_method = false;
        let read = Reader::new(text).object(|reader, key| {
            if key.eq_ignore_ascii_case("method") {
                match reader.kind()? {
                    Kind::String => method = reader.string()?,
                    Kind::Null => _ = reader.skip()?,
                    _ => {
                        no_method = true;
                        reader.skip()?;
                    }
                }
            } else if key.eq_ignore_ascii_case("id") {
                id = reader.skip()?;
            } else if key.eq_ignore_ascii_case("params") {
                params = Some(reader.skip()?);
            } else {
                reader.skip()?;
            }
            Ok(())
        });
        if read.is_err() || no_method {
            return Err(Error::Json);
        }
        let method: Box<str> = method.into();
        let call = Method::named(&method).and_then(|known| Ok((known, args(params)?)));
        let id = Id::Text(compact(id).into());
        Ok((taken, Some(Request { id, method, call })))
    }

    pub(super) fn reply(id: &[u8], reply: Reply<'_>, out: &mut Vec<u8>) {
        Self::begin(id, out);
        match reply {
            Reply::Text(text) => put_string(text, out),
            Reply::Empty => out.extend_from_slice(b"{}"),
        }
        out.extend_from_slice(b",\"error\":null}\n");
    }

    pub(super) fn fail(id: &[u8], error: &str, out: &mut Vec<u8>) {
        Self::begin(id, out);
        out.extend_from_slice(b"{},\"error\":");
        put_string(error, out);
        out.extend_from_slice(b"}\n");
    }

    pub(super) fn update(id: &[u8], update: &Update<'_>, out: &mut Vec<u8>) {
        Self::begin(id, out);
        out.extend_from_slice(b"{\"Name\":");
        put_string(&update.name, out);
        out.extend_from_slice(b",\"Addr\":");
        put_string(&update.address, out);
        out.extend_from_slice(b",\"Online\":");
        out.extend_from_slice(if update.online { b"true" } else { b"false" });
        out.extend_from_slice(b",\"Attrs\":");
        put_attributes(update.attributes.as_deref(), out);
        out.extend_from_slice(b",\"Created\":");
        put_number(update.created, out);
        out.extend_from_slice(b"},\"error\":null}\n");
    }

    fn begin(id: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        out.extend_from_slice(id);
        out.extend_from_slice(b",\"result\":");
    }
}

fn put_attributes(attributes: Option<&Attributes>, out: &mut Vec<u8>) {
    let Some(attributes) = attributes else {
        out.extend_from_slice(b"null");
        return;
    };
    out.push(b'{');
    for (nth, (key, value)) in attributes.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        put_string(key, out);
        out.push(b':');
        put_string(value, out);
    }
    out.push(b'}');
}

/// The arguments in `params`, or Go's words for what is wrong with them.
fn args(params: Option<&[u8]>) -> Result<Args, String> {
    let params = params.ok_or("unexpected end of JSON input")?;
    let mut reader = Reader::new(params);
    let mut read = Unmarshalled::default();
    // The text has been read before, so its syntax is right.
    read.params(&mut reader).map_err(|Syntax| "unexpected end of JSON input")?;
    read.wrong.map_or(Ok(read.args), Err)
}

/// What was read, and the first value that was not of its type: Go reads on behind it.
#[derive(Default)]
struct Unmarshalled {
    args: Args,
    wrong: Option<String>,
}

impl Unmarshalled {
    fn params(&mut self, reader: &mut Reader<'_>) -> Result<(), Syntax> {
        match reader.kind()? {
            Kind::Null => reader.skip().map(drop),
            Kind::Array => reader.array(|reader, place| match (place, reader.kind()?) {
                (0, Kind::Object) => reader.object(|reader, key| self.field(reader, &key)),
                (0, Kind::Null) | (1.., _) => reader.skip().map(drop),
                (0, kind) => self.mismatch(reader, kind, "Go value of type agent.Args"),
            }),
            kind => self.mismatch(reader, kind, "Go value of type [1]interface {}"),
        }
    }

    fn mismatch(&mut self, reader: &mut Reader<'_>, kind: Kind, of: &str) -> Result<(), Syntax> {
        let kind = kind.name();
        self.wrong.get_or_insert_with(|| format!("json: cannot unmarshal {kind} into {of}"));
        reader.skip().map(drop)
    }

    fn field(&mut self, reader: &mut Reader<'_>, key: &str) -> Result<(), Syntax> {
        if key.eq_ignore_ascii_case("Name") {
            if let Some(name) = self.string(reader, "Name")? {
                self.args.name = name;
            }
        } else if key.eq_ignore_ascii_case("Addr") {
            if let Some(address) = self.string(reader, "Addr")? {
                self.args.address = address;
            }
        } else if key.eq_ignore_ascii_case("Attrs") {
            self.attributes(reader)?;
        } else {
            reader.skip()?;
        }
        Ok(())
    }

    fn string(&mut self, reader: &mut Reader<'_>, field: &str) -> Result<Option<String>, Syntax> {
        match reader.kind()? {
            Kind::String => Ok(Some(reader.string()?.into_owned())),
            Kind::Null => reader.skip().map(|_| None),
            kind => {
                let of = format!("Go struct field Args.{field} of type string");
                self.mismatch(reader, kind, &of).map(|()| None)
            }
        }
    }

    fn attributes(&mut self, reader: &mut Reader<'_>) -> Result<(), Syntax> {
        match reader.kind()? {
            Kind::Null => {
                self.args.attributes = None;
                reader.skip().map(drop)
            }
            Kind::Object => {
                let mut attributes = self.args.attributes.take().unwrap_or_default();
                let read = reader.object(|reader, key| {
                    let value = self.string(reader, "Attrs")?;
                    attributes.insert(key.into_owned(), value.unwrap_or_default());
                    Ok(())
                });
                self.args.attributes = Some(attributes);
                read
            }
            kind => {
                let of = "Go struct field Args.Attrs of type map[string]string";
                self.mismatch(reader, kind, of)
            }
        }
    }
}

/// Writes requests and reads responses.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct ClientCodec {
    decoder: Decoder,
}

impl ClientCodec {
    pub(super) fn call(method: Method, seq: u64, args: &Args, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"method\":");
        put_string(method.name(), out);
        out.extend_from_slice(b",\"params\":[{\"Name\":");
        put_string(&args.name, out);
        out.extend_from_slice(b",\"Addr\":");
        put_string(&args.address, out);
        out.extend_from_slice(b",\"Attrs\":");
        put_attributes(args.attributes.as_ref(), out);
        Self::end(seq, out);
    }

    pub(super) fn close(seq: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"method\":");
        put_string(CLOSE_STREAM, out);
        out.extend_from_slice(b",\"params\":[{");
        Self::end(seq, out);
    }

    fn end(seq: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"}],\"id\":");
        put_number(seq, out);
        out.extend_from_slice(b"}\n");
    }

    pub(super) fn receive(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<(usize, Option<Response>), Error> {
        let (taken, text) = self.decoder.object(input, limits)?;
        let Some(text) = text else { return Ok((taken, None)) };
        let (mut id, mut body, mut error) = (None, Ok(Body::Empty), None);
        let read = Reader::new(text).object(|reader, key| {
            match &*key {
                "id" => id = number(reader.skip()?),
                "error" if reader.kind()? == Kind::String => {
                    error = Some(reader.string()?.into_owned());
                }
                "result" => body = result(reader),
                _ => _ = reader.skip()?,
            }
            Ok(())
        });
        let (Ok(()), Some(id), Ok(body)) = (read, id, body) else { return Err(Error::Json) };
        let body = error.map_or(Ok(body), Err);
        Ok((taken, Some(Response { id, body })))
    }
}

fn number(text: &[u8]) -> Option<u64> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// A string, an update, or an object without one.
fn result(reader: &mut Reader<'_>) -> Result<Body, Syntax> {
    match reader.kind()? {
        Kind::String => return Ok(Body::Text(reader.string()?.into_owned())),
        Kind::Object => {}
        _ => return reader.skip().map(|_| Body::Empty),
    }
    let (mut update, mut is_update) = (Update::MARKER, false);
    reader.object(|reader, key| {
        match (&*key, reader.kind()?) {
            ("Name", Kind::String) => {
                is_update = true;
                update.name = Cow::Owned(reader.string()?.into_owned());
            }
            ("Addr", Kind::String) => {
                update.address = Cow::Owned(reader.string()?.into_owned());
            }
            ("Online", Kind::Bool) => update.online = reader.skip()? == b"true",
            ("Created", Kind::Number) => update.created = number(reader.skip()?).ok_or(Syntax)?,
            ("Attrs", Kind::Object) => {
                let mut attributes = Attributes::new();
                reader.object(|reader, key| {
                    attributes.insert(key.to_string(), reader.string()?.into_owned());
                    Ok(())
                })?;
                update.attributes = Some(Cow::Owned(attributes));
            }
            _ => _ = reader.skip()?,
        }
        Ok(())
    })?;
    Ok(if is_update { Body::Update(update) } else { Body::Empty })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(params: &str) -> String {
        args(Some(params.as_bytes())).unwrap_err()
    }

    #[test]
    fn arguments_are_read_as_go_reads_them() {
        let read = |params: &str| args(Some(params.as_bytes())).unwrap();
        assert_eq!(read("[]"), Args::default());
        assert_eq!(read("null"), Args::default());
        assert_eq!(read("[null, 7]"), Args::default());
        let args = read(r#"[{"name":"a","NAME":"b","Addr":null,"x":{},"Attrs":{"k":null}}]"#);
        assert_eq!((&*args.name, &*args.address), ("b", ""));
        assert_eq!(args.attributes, Some(Attributes::from([("k".into(), "".into())])));
        assert_eq!(read(r#"[{"Attrs":{}}]"#).attributes, Some(Attributes::new()));
        assert_eq!(read(r#"[{"Attrs":{"a":"b"},"Attrs":null}]"#).attributes, None);
    }

    #[test]
    fn what_is_wrong_is_said_in_go_s_words() {
        for (params, expected) in [
            (r#"{"Name":"a"}"#, "object into Go value of type [1]interface {}"),
            ("\"a\"", "string into Go value of type [1]interface {}"),
            ("[5]", "number into Go value of type agent.Args"),
            (r#"[{"Name":5,"Addr":[]}]"#, "number into Go struct field Args.Name of type string"),
            (r#"[{"Addr":true}]"#, "bool into Go struct field Args.Addr of type string"),
            (r#"[{"Attrs":{"a":[]}}]"#, "array into Go struct field Args.Attrs of type string"),
            (
                r#"[{"Attrs":"a"}]"#,
                "string into Go struct field Args.Attrs of type map[string]string",
            ),
        ] {
            assert_eq!(wrong(params), format!("json: cannot unmarshal {expected}"), "{params}");
        }
        assert_eq!(args(None).unwrap_err(), "unexpected end of JSON input");
    }
}
