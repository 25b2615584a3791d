//! The table of the Docker API's routes.

use libswarm::docker::query;
use libswarm::docker::routes::{Prefix, lookup, query as query_of, table};

/// What a request's route is depends on its method and its path only; parameters are non-empty spans of the target, in
/// order, and put into the row's path they give the request's path back; decoding a query gives no more than it was.
///
/// The input is a method, a space and a target.
pub fn routes(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (method, target) = text.split_once(' ').unwrap_or(("GET", text));
    let matched = lookup(method, target);
    let path = target.split('?').next().unwrap_or_default();
    assert_eq!(matched, lookup(method, path), "the query makes a difference");
    assert_eq!(matched, lookup(method, &format!("{path}?a=/b")));

    let mut end = 0;
    for span in matched.params.iter() {
        assert!(end <= span.start && span.start < span.end && span.end <= path.len());
        assert!(target.get(span.clone()).is_some(), "a span cuts a character");
        end = span.end;
    }
    match matched.route {
        None => assert!(matched.params.is_empty()),
        Some(route) => {
            assert!(table().contains(route));
            assert_eq!(route.method, method);
            if let Prefix::Version(version) = matched.version {
                assert!(route.exists_in(version) && version.is_served());
            }
            let mut spans = matched.params.iter();
            let mut filled = String::new();
            for segment in route.path.split('/').skip(1) {
                filled.push('/');
                if segment.starts_with('{') {
                    filled.push_str(&target[spans.next().expect("a parameter for each name")]);
                } else {
                    filled.push_str(segment);
                }
            }
            assert_eq!(spans.next(), None, "a parameter too many");
            assert!(path.ends_with(&filled), "{path} is not {filled}");
            assert_eq!(lookup(method, &filled).route, Some(route));
            let query = query_of(target);
            assert!(!route.is_endless(query) || route.reply_to(query) == route.reply);
        }
    }
    let query = query_of(target).unwrap_or_default();
    let decoded: usize = query::pairs(query).map(|(key, value)| key.len() + value.len()).sum();
    assert!(decoded <= query.len());
    for plus_is_space in [false, true] {
        if let Some(decoded) = query::percent_decode(path, plus_is_space) {
            assert!(decoded.len() <= path.len());
            assert!(path.contains(['%', '+']) || decoded == path);
        }
    }
}
