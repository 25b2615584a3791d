//! The Docker Engine API as one table: which job answers a request, and in what form.
//!
//! [`lookup`] finds the row for a method and a request target without allocating; [`table`] lists
//! every row. The table reaches from API 1.24 to 1.55.
//!
//! ```
//! use libswarm::docker::routes::{Prefix, lookup};
//! use libswarm::docker::version::ApiVersion;
//!
//! let target = "/v1.41/images/127.0.0.1:9/x/push?tag=1";
//! let matched = lookup("POST", target);
//! assert_eq!(matched.version, Prefix::Version(ApiVersion::new(1, 41)));
//! assert_eq!(matched.route.map(|route| route.job), Some("push"));
//! assert_eq!(matched.params.get(0).map(|span| &target[span]), Some("127.0.0.1:9/x"));
//! ```

use core::ops::Range;

use memchr::{memchr, memchr2};

use super::index;
use super::query::{boolean, pairs};
use super::table::ROUTES;
use super::version::ApiVersion;

/// What a row without an end lasts to.
const NEWEST: ApiVersion = ApiVersion::new(u16::MAX, u16::MAX);

/// One operation of the API: a row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The request's method, in upper case.
    pub method: &'static str,
    /// The path as the specification writes it, without a version: `/containers/{id}/json`.
    pub path: &'static str,
    /// The job that answers. Its arguments are the path's parameters, its environment the query.
    pub job: &'static str,
    /// The first version that has it; [`ApiVersion::MIN`] for all that are older than that.
    pub since: ApiVersion,
    /// The last version that has it; `None` if the newest does.
    pub until: Option<ApiVersion>,
    /// The status of a success. Of a [`Reply::Hijack`] the one without an upgrade, 200.
    pub success: u16,
    /// The form of a success, unless the query changes it: see [`reply_to`](Self::reply_to).
    pub reply: Reply,
    /// Whether the answer goes on until the client has enough.
    pub endless: Endless,
}

impl Route {
    /// Whether `version` of the API has this operation.
    pub fn exists_in(&self, version: ApiVersion) -> bool {
        version.is_within(self.since, self.until.unwrap_or(NEWEST))
    }

    /// Whether the answer to this query goes on until the client has enough of it.
    ///
    /// The end of such a client's direction means cancel (events, followed logs, streamed stats,
    /// wait). Hijacked and upgraded connections are never endless in this sense: there the end of
    /// one direction is only the end of stdin.
    pub fn is_endless(&self, query: Option<&str>) -> bool {
        let flag = |name| {
            let first = pairs(query.unwrap_or_default()).find(|(key, _)| key == name);
            first.map(|(_, value)| boolean(&value))
        };
        match self.endless {
            Endless::No => false,
            Endless::Yes => true,
            Endless::If(name) => flag(name).unwrap_or(false),
            Endless::Unless(name) => flag(name).unwrap_or(true),
        }
    }

    /// The form of the answer to this query: that of [`reply`](Self::reply), but one JSON document
    /// where the query turns a stream off (`stats?stream=0`).
    pub fn reply_to(&self, query: Option<&str>) -> Reply {
        match self.endless {
            Endless::Unless(_) if !self.is_endless(query) => Reply::Json,
            _ => self.reply,
        }
    }
}

/// The form of a successful answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reply {
    /// `application/json`: one document.
    Json,
    /// `application/json`, chunked: the head goes out before the body, each piece as it comes.
    JsonStream,
    /// `text/plain; charset=utf-8`: ping's `OK`.
    Text,
    /// No body; a 200 or 201 says `Content-Length: 0`, a 204 nothing.
    Empty,
    /// Chunked, each piece as it comes, without a Content-Type (which API 1.42 added to logs).
    Stream,
    /// `application/x-tar`.
    Tar,
    /// `application/octet-stream`: export's tar archive.
    Octets,
    /// A raw stream both ways: after `101 UPGRADED` if the request asks for an upgrade, else after
    /// a bare 200.
    Hijack,
    /// Another protocol both ways after `101 Switching Protocols`: HTTP/2 on session and grpc,
    /// websocket on attach/ws.
    Upgrade,
}

/// When an answer goes on until the client has enough of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Endless {
    /// Never: the answer ends by itself.
    No,
    /// Always.
    Yes,
    /// If the query sets this key to a true value: `logs?follow=1`.
    If(&'static str),
    /// Unless the query sets this key to a false value: `stats?stream=0`.
    Unless(&'static str),
}

/// What [`lookup`] makes of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matched {
    /// The row; `None` if no row has this method and path, or none in this version.
    pub route: Option<&'static Route>,
    /// The version that the path begins with.
    pub version: Prefix,
    /// Where the path's parameters are; none without a row.
    pub params: Params,
}

/// The version that a path begins with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Prefix {
    /// None; a `/v…` that is no version counts as part of the path.
    None,
    /// This one, which may lie outside [`ApiVersion::MIN`] and [`ApiVersion::MAX`].
    Version(ApiVersion),
}

impl Prefix {
    /// Whether a path that begins so can mean this row.
    fn has(self, route: &Route) -> bool {
        match self {
            Self::None => true,
            Self::Version(version) => route.exists_in(version),
        }
    }
}

/// Where the parameters of a path are, in the bytes of the request target, still encoded.
///
/// The span of a parameter is never empty, and always a valid range of the target.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Params {
    spans: [(u32, u32); Params::MAX],
    len: u8,
}

impl Params {
    /// The most parameters that a path has.
    pub const MAX: usize = 2;

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The span of one, counted from 0 in the path's order.
    pub fn get(&self, nth: usize) -> Option<Range<usize>> {
        let (start, length) = *self.spans[..self.len()].get(nth)?;
        Some(start as usize..start as usize + length as usize)
    }

    /// The spans in the path's order.
    pub fn iter(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        (0..self.len()).filter_map(|nth| self.get(nth))
    }

    /// These and one more; `None` if it does not fit.
    #[inline]
    pub(super) fn with(mut self, start: usize, length: usize) -> Option<Self> {
        let free = self.spans.get_mut(usize::from(self.len))?;
        *free = (start.try_into().ok()?, length.try_into().ok()?);
        self.len += 1;
        Some(self)
    }
}

/// Every row, in the order of the specification.
pub fn table() -> &'static [Route] {
    &ROUTES
}

/// Finds the row for a request from its method and its target, as they stand in the request line.
///
/// The target is in origin form (`/v1.41/info?x=y`) or in absolute form (`http://host/info`, RFC
/// 9112 section 3.2.2); the other forms match nothing. What follows the first `?` is not looked at.
/// Paths are compared as they are, before decoding. Without a version every row is there.
///
/// The `{name}` of an image, a plugin, a container, a volume, a network or an exec may hold slashes,
/// as it may in dockerd; other parameters are one segment. All have at least one byte. A row
/// without parameters wins over one with them. A path with an empty segment, a `.` or a `..` is
/// not found, and neither is one with a trailing slash: dockerd hands none of these to a handler
/// but redirects to the clean path. A parameter that decodes to dots is left to the caller.
pub fn lookup(method: &str, target: &str) -> Matched {
    let nothing = |version| Matched { route: None, version, params: Params::default() };
    let Some((mut start, mut path)) = path(target.as_bytes()) else {
        return nothing(Prefix::None);
    };
    let mut prefix = Prefix::None;
    if let Some((version, length)) = ApiVersion::prefix(path) {
        prefix = Prefix::Version(version);
        if !version.is_served() {
            return nothing(prefix);
        }
        start += length;
        path = &path[length..];
    }
    match index::find(method, path, start) {
        Some((route, params)) if prefix.has(route) => {
            Matched { route: Some(route), version: prefix, params }
        }
        // A version that lacks the row does not take the request for one of a vaguer row.
        _ => nothing(prefix),
    }
}

/// The query of a request target: what follows the first `?`.
pub fn query(target: &str) -> Option<&str> {
    target.split_once('?').map(|(_, query)| query)
}

/// The path of a request target, without the query, and where it starts.
#[inline]
fn path(target: &[u8]) -> Option<(usize, &[u8])> {
    let start = if target.starts_with(b"/") { 0 } else { authority_end(target)? };
    let rest = &target[start..];
    Some((start, &rest[..memchr(b'?', rest).unwrap_or(rest.len())]))
}

/// Where the authority of a target in absolute form ends. RFC 9110 section 4.2.1: its host is not
/// empty.
#[cold]
fn authority_end(target: &[u8]) -> Option<usize> {
    let (scheme, rest) = target.split_at_checked(memchr(b':', target)?)?;
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let rest = rest.strip_prefix(b"://")?;
    let length = memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    (length > 0).then_some(scheme.len() + "://".len() + length)
}

#[cfg(test)]
mod tests {
    use super::{ApiVersion, Endless, Matched, Params, Prefix, Reply, Route};
    use super::{lookup, query, table};
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// The row's path with `samples` for its parameters.
    fn fill(route: &Route, samples: &[&str]) -> String {
        let mut samples = samples.iter();
        let mut path = String::new();
        for segment in route.path.split('/').skip(1) {
            path.push('/');
            path.push_str(if segment.starts_with('{') { samples.next().unwrap() } else { segment });
        }
        path
    }

    fn count(route: &Route) -> usize {
        route.path.matches('{').count()
    }

    fn texts<'a>(matched: &Matched, target: &'a str) -> Vec<&'a str> {
        matched.params.iter().map(|span| &target[span]).collect()
    }

    fn job(method: &str, target: &str) -> Option<&'static str> {
        lookup(method, target).route.map(|route| route.job)
    }

    fn row(job: &str) -> &'static Route {
        table().iter().find(|route| route.job == job).unwrap()
    }

    #[test]
    fn each_row_is_found_by_its_own_path() {
        for route in table() {
            let samples = &["a1", "b%20é:2"][..count(route)];
            let path = fill(route, samples);
            for (target, version) in [
                (path.clone(), Prefix::None),
                (format!("{path}?a=/b?c"), Prefix::None),
                (format!("/v{}{path}", route.since), Prefix::Version(route.since)),
                (format!("/v1.55{path}?"), Prefix::Version(ApiVersion::MAX)),
                (format!("http://h:2375{path}"), Prefix::None),
                (format!("HTTPS://[::1]/v1.55{path}?x"), Prefix::Version(ApiVersion::MAX)),
            ] {
                let matched = lookup(route.method, &target);
                assert_eq!(matched.route, Some(route), "{} {target}", route.method);
                assert_eq!(matched.version, version, "{target}");
                assert_eq!(texts(&matched, &target), samples, "{target}");
                assert_eq!(matched.params.len(), samples.len(), "{target}");
                assert_eq!(matched.params.get(samples.len()), None, "{target}");
                assert_eq!(matched.params.is_empty(), samples.is_empty(), "{target}");
            }
        }
    }

    #[test]
    fn a_row_is_found_in_its_versions_only() {
        for route in table() {
            let path = fill(route, &["a", "b"]);
            for minor in 23..=56 {
                let version = ApiVersion::new(1, minor);
                let matched = lookup(route.method, &format!("/v{version}{path}"));
                let expected = (version.is_served() && version >= route.since).then_some(route);
                assert_eq!(matched.route, expected, "{} /v{version}{path}", route.method);
                assert_eq!(matched.version, Prefix::Version(version));
                assert!(matched.route.is_some() || matched.params.is_empty());
            }
        }
        let ended = Route { until: Some(ApiVersion::new(1, 30)), ..*row("plugins") };
        let exists = |minor| ended.exists_in(ApiVersion::new(1, minor));
        assert!(!exists(24) && exists(25) && exists(30) && !exists(31));
    }

    #[test]
    fn neither_another_method_nor_a_trailing_slash_matches() {
        for route in table() {
            let path = fill(route, &["a", "b"]);
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get", ""] {
                let found = lookup(method, &path).route;
                assert!(found.is_none_or(|found| found.method == method), "{method} {path}");
            }
            assert_eq!(job(route.method, &format!("{path}/")), None, "{path}/");
            assert_eq!(job(route.method, &format!("/{path}")), None, "/{path}");
            assert_eq!(job(&route.method.to_lowercase(), &path), None);
        }
        assert_eq!(job("POST", "/containers/json"), None);
        assert_eq!(job("HEAD", "/info"), None);
    }

    #[test]
    fn what_is_no_path_of_the_api_matches_nothing() {
        for target in [
            "",
            "/",
            "//",
            "?",
            "*",
            "info",
            "/inf",
            "/infos",
            "/INFO",
            "/inf%6f",
            "/containers",
            "/containers/",
            "/containers/a",
            "/containers//json",
            "/containers/json/",
            "/containers/a/b",
            "/containers/a//json",
            "/containers//a/json",
            "/containers/./json",
            "/containers/../json",
            "/images/../containers/json",
            "/images/a/../../info/json",
            "/secrets/",
            "/secrets/a/b",
            "/secrets/..",
            "/services/a/b/logs",
            "/services//logs",
            "/tasks/a/logs/b",
            "/nowhere/at/all",
            "/é/json",
            "/infé",
            "//v1.41/info",
            "/v1.41",
            "/v1.41/",
            "/v1.41?x=/info",
            "/v1.41//info",
            "/v1.41info",
            "/v1.41/v1.41/info",
            "h:80",
            "http://h",
            "http://h?/info",
            "http:///info",
            "http:/info",
            "http//h/info",
            "ftp://h/info",
            "://h/info",
            "http://h//info",
        ] {
            assert_eq!(job("GET", target), None, "{target}");
        }
    }

    #[test]
    fn a_prefix_that_is_no_version_belongs_to_the_path() {
        for target in ["/v1/info", "/v/info", "/v1.041/info", "/v1.41.0/info", "/v1.99999/info"] {
            let matched = lookup("GET", target);
            assert_eq!((matched.route, matched.version), (None, Prefix::None), "{target}");
        }
        assert_eq!(job("GET", "/version"), Some("version"));
        assert_eq!(job("GET", "/volumes/v1.41"), Some("volume_inspect"));
        for (target, version) in [
            ("/v1.99/info", ApiVersion::new(1, 99)),
            ("/v1.11/info", ApiVersion::new(1, 11)),
            ("/v2.0/nothing", ApiVersion::new(2, 0)),
        ] {
            let matched = lookup("GET", target);
            assert_eq!((matched.route, matched.version), (None, Prefix::Version(version)));
        }
    }

    #[test]
    fn names_are_greedy_where_dockerd_has_them_greedy() {
        for (method, target, job, params) in [
            ("POST", "/v1.41/images/127.0.0.1:9/x/push", "push", &["127.0.0.1:9/x"][..]),
            ("GET", "/images/a/b@sha256:0/json", "image_inspect", &["a/b@sha256:0"]),
            ("GET", "/images/json/json", "image_inspect", &["json"]),
            ("GET", "/images/a/json/history", "history", &["a/json"]),
            ("GET", "/images/a/history/json", "image_inspect", &["a/history"]),
            ("GET", "/images/search/get", "image_export", &["search"]),
            ("DELETE", "/images/json", "image_delete", &["json"]),
            ("DELETE", "/images/h:5000/a/b:1", "image_delete", &["h:5000/a/b:1"]),
            ("GET", "/distribution/docker.io/a/b/json", "distribution_inspect", &["docker.io/a/b"]),
            ("POST", "/plugins/h/a:1/enable", "plugin_enable", &["h/a:1"]),
            ("DELETE", "/plugins/h/a:1", "plugin_delete", &["h/a:1"]),
            ("GET", "/plugins/privileges/json", "plugin_inspect", &["privileges"]),
            ("GET", "/containers/a/b/json", "container_inspect", &["a/b"]),
            ("GET", "/containers/a/attach/ws", "attach_ws", &["a"]),
            ("DELETE", "/containers/a/b", "container_delete", &["a/b"]),
            ("DELETE", "/containers/a/checkpoints/c", "checkpoint_delete", &["a", "c"]),
            ("DELETE", "/containers/a/b/checkpoints/c", "container_delete", &["a/b/checkpoints/c"]),
            ("POST", "/exec/a/b/start", "exec_start", &["a/b"]),
            ("GET", "/networks/create", "network_inspect", &["create"]),
            ("GET", "/networks/a/b", "network_inspect", &["a/b"]),
            ("PUT", "/volumes/a/b", "volume_update", &["a/b"]),
            ("GET", "/images/.hidden/..b/json", "image_inspect", &[".hidden/..b"]),
            ("GET", "/images/a%2Fb/json", "image_inspect", &["a%2Fb"]),
            ("GET", "/secrets/a%2Fb", "secret_inspect", &["a%2Fb"]),
            ("GET", "/services/create", "service_inspect", &["create"]),
        ] {
            let matched = lookup(method, target);
            assert_eq!(matched.route.map(|route| route.job), Some(job), "{method} {target}");
            assert_eq!(texts(&matched, target), params, "{method} {target}");
        }
    }

    #[test]
    fn rows_without_parameters_win() {
        for (method, target, expected) in [
            ("GET", "/containers/json", "containers"),
            ("GET", "/images/json", "images"),
            ("GET", "/images/search", "search"),
            ("GET", "/images/get", "images_export"),
            ("GET", "/plugins/privileges", "plugin_privileges"),
            ("POST", "/containers/prune", "container_prune"),
            ("POST", "/build/prune", "build_prune"),
        ] {
            assert_eq!(job(method, target), Some(expected), "{method} {target}");
        }
    }

    #[test]
    fn jobs_are_unique() {
        for (nth, route) in table().iter().enumerate() {
            for other in &table()[..nth] {
                assert_ne!((route.method, route.path), (other.method, other.path));
                let one_operation = route.path == "/_ping" && other.path == "/_ping";
                assert_eq!(route.job == other.job, one_operation, "{}", route.job);
            }
        }
    }

    #[test]
    fn statuses_fit_the_forms() {
        for Route { job, success, reply, .. } in table() {
            let fits = match reply {
                Reply::Upgrade => *success == 101,
                Reply::Empty => matches!(success, 200 | 201 | 204),
                Reply::Json => matches!(success, 200 | 201),
                _ => *success == 200,
            };
            assert!(fits, "{job}: {success} {reply:?}");
        }
    }

    #[test]
    fn the_query_decides_what_is_endless() {
        for (name, query, endless) in [
            ("events", None, true),
            ("events", Some("until=1"), true),
            ("wait", Some("condition=removed"), true),
            ("logs", None, false),
            ("logs", Some("stdout=1"), false),
            ("logs", Some("stdout=1&follow=1"), true),
            ("logs", Some("follow=true"), true),
            ("logs", Some("follow"), false),
            ("logs", Some("follow=False"), false),
            ("logs", Some("f%6fllow=%31"), true),
            ("logs", Some("follow=0&follow=1"), false),
            ("service_logs", Some("follow=1"), true),
            ("task_logs", Some("follow=0"), false),
            ("container_stats", None, true),
            ("container_stats", Some(""), true),
            ("container_stats", Some("stream=1"), true),
            ("container_stats", Some("stream=0"), false),
            ("container_stats", Some("stream=false&one-shot=1"), false),
            ("container_stats", Some("stream="), false),
            ("containers", Some("follow=1&stream=1"), false),
            ("attach", Some("stream=1"), false),
        ] {
            assert_eq!(row(name).is_endless(query), endless, "{name} {query:?}");
        }
        assert_eq!(row("container_stats").reply_to(None), Reply::Stream);
        assert_eq!(row("container_stats").reply_to(Some("stream=0")), Reply::Json);
        assert_eq!(row("logs").reply_to(Some("follow=0")), Reply::Stream);
        assert_eq!(row("logs").endless, Endless::If("follow"));
    }

    #[test]
    fn the_query_is_what_follows_the_first_question_mark() {
        assert_eq!(query("/info"), None);
        assert_eq!(query("/info?"), Some(""));
        assert_eq!(query("/info?a=1?b"), Some("a=1?b"));
        assert_eq!(query("http://h?a=/b"), Some("a=/b"));
        assert_eq!(query("*"), None);
    }

    #[test]
    fn params_take_no_more_than_they_hold() {
        let two = Params::default().with(1, 2).and_then(|one| one.with(4, 5)).unwrap();
        assert_eq!(two.iter().collect::<Vec<_>>(), [1..3, 4..9]);
        assert_eq!(two.with(10, 1), None);
        assert_eq!(Params::default().with(usize::MAX, 1), None);
    }

    fn method() -> impl Strategy<Value = String> {
        prop_oneof![
            proptest::sample::select(&["GET", "HEAD", "POST", "PUT", "DELETE"][..])
                .prop_map(String::from),
            any::<String>(),
        ]
    }

    fn target() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            proptest::sample::select(
                &[
                    "/",
                    "?",
                    ".",
                    "..",
                    "v",
                    "1.41",
                    "1.",
                    "http://",
                    "*",
                    "%2F",
                    "é",
                    "json",
                    "a",
                    "containers",
                    "images",
                    "secrets",
                    "checkpoints",
                    "attach/ws",
                    "update",
                    "logs",
                ][..]
            )
            .prop_map(String::from),
            (0..table().len()).prop_map(|nth| String::from(table()[nth].path)),
        ];
        prop_oneof![
            proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat()),
            any::<String>(),
        ]
    }

    proptest! {
        #[test]
        fn any_request_is_looked_up(method in method(), target in target()) {
            let matched = lookup(&method, &target);
            let mut end = 0;
            for span in matched.params.iter() {
                prop_assert!(end < span.start && span.start < span.end);
                end = span.end;
                let text = target.get(span);
                prop_assert!(text.is_some_and(|text| !text.contains('?')));
            }
            prop_assert!(end <= target.find('?').unwrap_or(target.len()));
            if let Some(route) = matched.route {
                prop_assert_eq!(route.method, &*method);
                let path = fill(route, &texts(&matched, &target));
                let path_of_target = target.split('?').next().unwrap();
                prop_assert!(path_of_target.ends_with(&path));
            } else {
                prop_assert!(matched.params.is_empty());
            }
        }
    }
}
