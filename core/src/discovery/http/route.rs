//! Paths, and what can be done with them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::error::Error;
use crate::discovery::instance::check;

/// What a path leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Page,
    Ping,
    Services,
    Service(String),
    Meta(String),
    Instances(String),
    Instance(String, String),
    Leader(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verb {
    Get,
    Put,
    Delete,
}

impl Place {
    /// What can be done with it, as `Allow` says it.
    const fn allowed(&self) -> &'static str {
        match self {
            Self::Page | Self::Ping | Self::Services | Self::Instances(_) => "GET, HEAD",
            Self::Service(_) => "GET, HEAD, PUT, DELETE",
            Self::Meta(_) | Self::Leader(_) => "GET, HEAD, PUT",
            Self::Instance(..) => "PUT, DELETE",
        }
    }
}

/// Why there is no way.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Astray {
    Refused(Error),
    /// There is, with one of these methods.
    Method(&'static str, Error),
}

/// Finds what a request wants.
pub(super) fn find(method: &str, target: &str) -> Result<(Verb, Place), Astray> {
    let place = place(path(target)).map_err(Astray::Refused)?;
    let allowed = place.allowed();
    let verb = match method {
        "GET" | "HEAD" => Some(Verb::Get),
        "PUT" => Some(Verb::Put),
        "DELETE" => Some(Verb::Delete),
        _ => None,
    };
    match verb.filter(|_| allowed.split(", ").any(|it| it == method)) {
        Some(verb) => Ok((verb, place)),
        None => {
            let text = format!("{method} is nothing that this path knows: use {allowed}");
            Err(Astray::Method(allowed, Error::invalid_with(405, &text)))
        }
    }
}

/// A target's path; a proxy's client sends the whole URL (RFC 9112 section 3.2.2).
pub(super) fn path(target: &str) -> &str {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    if target.starts_with('/') {
        return target;
    }
    let Some((_, rest)) = target.split_once("://") else { return target };
    rest.find('/').map_or("/", |at| &rest[at..])
}

fn place(path: &str) -> Result<Place, Error> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let service = |name: &str| {
        let name = decode(name)?;
        check("the service's name", &name).map_err(|error| Error::of_invalid(&error))?;
        Ok(name)
    };
    Ok(match *parts {
        [""] => Place::Page,
        ["ping"] => Place::Ping,
        ["services"] => Place::Services,
        ["services", name] if !name.is_empty() => Place::Service(service(name)?),
        ["services", name, "meta"] => Place::Meta(service(name)?),
        ["services", name, "instances"] => Place::Instances(service(name)?),
        ["services", name, "instances", id] if !id.is_empty() => {
            Place::Instance(service(name)?, decode(id)?)
        }
        ["services", name, "leader"] => Place::Leader(service(name)?),
        _ => return Err(Error::not_found(&format!("path {path:?}"))),
    })
}

fn decode(part: &str) -> Result<String, Error> {
    let wrong = || Error::invalid(&format!("{part:?} is no percent-encoded UTF-8"));
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, behind) = rest.split_first_chunk::<2>().ok_or_else(wrong)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let value = digit(digits[0]).zip(digit(digits[1])).ok_or_else(wrong)?;
        bytes.push((value.0 * 16 + value.1) as u8);
        rest = behind;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn paths_lead_to_places() {
        let web = || "web".to_string();
        for (target, place) in [
            ("/", Place::Page),
            ("/?a=/b", Place::Page),
            ("http://h:1", Place::Page),
            ("/ping", Place::Ping),
            ("http://h:1/ping?x", Place::Ping),
            ("/services", Place::Services),
            ("/services/web", Place::Service(web())),
            ("/services/web/meta", Place::Meta(web())),
            ("/services/web/instances", Place::Instances(web())),
            ("/services/web/instances/x", Place::Instance(web(), "x".into())),
            ("/services/web/leader", Place::Leader(web())),
            ("/services/h%C3%a4%20%3F", Place::Service("h\u{e4} ?".into())),
        ] {
            assert_eq!(super::place(path(target)), Ok(place), "{target}");
        }
        for (target, status) in [
            ("", 404),
            ("*", 404),
            ("//", 404),
            ("/x", 404),
            ("/ping/", 404),
            ("/services/", 404),
            ("/services/web/", 404),
            ("/services/web/other", 404),
            ("/services/web/instances/", 404),
            ("/services/web/instances/x/y", 404),
            ("/services//meta", 400),
            ("/services/%", 400),
            ("/services/%4", 400),
            ("/services/%+1", 400),
            ("/services/%ff", 400),
            ("/services/a%2fb", 400),
            ("/services/a%0a", 400),
        ] {
            assert_eq!(super::place(path(target)).unwrap_err().status, status, "{target}");
        }
    }

    #[test]
    fn methods_are_those_that_the_place_knows() {
        for (method, target, allowed) in [
            ("GET", "/", None),
            ("HEAD", "/services/a", None),
            ("PUT", "/services/a/leader", None),
            ("DELETE", "/services/a/instances/b", None),
            ("get", "/", Some("GET, HEAD")),
            ("POST", "/services/a", Some("GET, HEAD, PUT, DELETE")),
            ("DELETE", "/services/a/meta", Some("GET, HEAD, PUT")),
            ("GET", "/services/a/instances/b", Some("PUT, DELETE")),
            ("GET,", "/ping", Some("GET, HEAD")),
        ] {
            match (find(method, target), allowed) {
                (Ok(_), None) => {}
                (Err(Astray::Method(found, _)), Some(allowed)) => assert_eq!(found, allowed),
                (found, _) => panic!("{method} {target}: {found:?}"),
            }
        }
    }
}
