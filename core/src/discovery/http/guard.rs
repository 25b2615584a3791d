//! Whether a request may be some other site's, in somebody's browser.

use alloc::format;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::error::Error;
use crate::http1::RequestHead;

/// Refuses what a page of somebody else's may have sent: see [the module](super). `named` is a name of this server's own.
pub(super) fn check(head: &RequestHead, named: Option<&str>) -> Result<(), Error> {
    let is_change = !matches!(head.method(), "GET" | "HEAD");
    let text = |name| head.header(name).map(|value| core::str::from_utf8(value).unwrap_or("?"));
    let host = text("Host").unwrap_or_default();
    if is_change && text("Origin").is_some_and(|origin| !is_same(origin, host)) {
        let origin = text("Origin").unwrap_or_default();
        return Err(refused(&format!(
            "a page of {origin:?} wants to change something here, and must not: use this server's own page, or a program \
             that sends no Origin"
        )));
    }
    if (is_change || is_from_a_browser(head)) && !is_own(host, named) {
        return Err(refused(&format!(
            "Host {host:?} is a name that anybody could make lead here: use this server's IP address, or start it with that \
             name in EXTERNAL_IP"
        )));
    }
    Ok(())
}

fn refused(what: &str) -> Error {
    Error::invalid_with(403, what)
}

/// Browsers cannot leave all of these out; programs that are not browsers send none.
fn is_from_a_browser(head: &RequestHead) -> bool {
    head.headers().any(|(name, value)| {
        ["origin", "referer", "accept-language"].iter().any(|it| name.eq_ignore_ascii_case(it))
            || name.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("sec-fetch-"))
            || (name.eq_ignore_ascii_case("user-agent") && value.starts_with(b"Mozilla/"))
    })
}

fn is_same(origin: &str, host: &str) -> bool {
    let site = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    !host.is_empty() && site.is_some_and(|site| site.eq_ignore_ascii_case(host))
}

/// Whether nobody else can own that name. HTTP/1.0 needs none.
fn is_own(host: &str, named: Option<&str>) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().is_some_and(|it| it.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.split(':').next().unwrap_or_default();
    let name = name.strip_suffix('.').unwrap_or(name);
    name.is_empty()
        || name.parse::<Ipv4Addr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || named.is_some_and(|named| named.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Limits, Server, ServerEvent};

    fn checked(request: &str) -> bool {
        let request = format!("{request}\r\n\r\n").replace('|', "\r\n");
        let (_, event) = Server::new(Limits::default()).receive(request.as_bytes()).unwrap();
        let Some(ServerEvent::Request(head)) = event else { panic!("{request}") };
        check(&head, Some("disco.example")).is_ok()
    }

    #[test]
    fn who_may_change_something() {
        for (request, may) in [
            ("PUT / HTTP/1.1|Host: 10.0.0.1:1111", true),
            ("PUT / HTTP/1.1|Host: [::1]:1111", true),
            ("PUT / HTTP/1.1|Host: LocalHost:1111", true),
            ("PUT / HTTP/1.1|Host: localhost.:1111", true),
            ("PUT / HTTP/1.1|Host: disco.example:1", true),
            ("PUT / HTTP/1.0", true),
            ("PUT / HTTP/1.1|Host: evil.example:1111", false),
            ("PUT / HTTP/1.1|Host: localhost.evil.example", false),
            ("PUT / HTTP/1.1|Host: 10.0.0.1.evil.example", false),
            ("PUT / HTTP/1.1|Host: [evil", false),
            ("PUT / HTTP/1.1|Host: 10.0.0.1:1111|Origin: http://10.0.0.1:1111", true),
            ("DELETE / HTTP/1.1|Host: 10.0.0.1|Origin: https://10.0.0.1", true),
            ("DELETE / HTTP/1.1|Host: 10.0.0.1|Origin: http://10.0.0.1:80", false),
            ("PUT / HTTP/1.1|Host: 10.0.0.1:1111|Origin: http://10.0.0.1:8080", false),
            ("PUT / HTTP/1.1|Host: 10.0.0.1:1111|Origin: http://evil.example", false),
            ("PUT / HTTP/1.1|Host: 10.0.0.1:1111|Origin: null", false),
            ("POST / HTTP/1.0|Origin: http://", false),
        ] {
            assert_eq!(checked(request), may, "{request}");
        }
    }

    #[test]
    fn who_may_read() {
        for (request, may) in [
            ("GET / HTTP/1.1|Host: any.example|User-Agent: curl/8.14.1|Accept: */*", true),
            ("GET / HTTP/1.1|Host: any.example|User-Agent: Mozilla/5.0 (X11)", false),
            ("GET / HTTP/1.1|Host: any.example|Sec-Fetch-Site: same-origin", false),
            ("GET / HTTP/1.1|Host: any.example|Accept-Language: de", false),
            ("HEAD / HTTP/1.1|Host: any.example|Origin: http://any.example", false),
            ("GET / HTTP/1.1|Host: 10.0.0.1|Sec-Fetch-Site: cross-site|Accept-Language: de", true),
            ("GET / HTTP/1.1|Host: localhost:1|User-Agent: Mozilla/5.0 (X11)", true),
        ] {
            assert_eq!(checked(request), may, "{request}");
        }
    }
}
