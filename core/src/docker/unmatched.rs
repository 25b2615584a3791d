//! What dockerd answers to a request that none of its routes takes.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::profile::Profile;
use super::routes;
use super::version::ApiVersion;

/// The answer to a request that no route and no backend took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Unmatched {
    /// The path has empty or dotted segments: 301 to this target, which has none.
    Redirect(String),
    /// The path is one of the API's, but its version is not on offer: 400 with this message.
    Version { message: String, too_old_for_json: bool },
    /// 404.
    NotFound,
}

pub(super) fn answer(method: &str, target: &str, profile: &Profile) -> Unmatched {
    let (path, query) =
        target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    if !path.starts_with('/') {
        return Unmatched::NotFound;
    }
    if let Some(clean) = cleaned(path) {
        return Unmatched::Redirect(
            query.map_or(clean.clone(), |query| format!("{clean}?{query}")),
        );
    }
    let Some((text, rest)) = versioned(path) else { return Unmatched::NotFound };
    // Neither a version on offer whose API lacks this path, nor a path that no version has.
    let version = ApiVersion::parse(text);
    if version.is_some_and(|version| profile.versions().contains(&version))
        || routes::lookup(method, rest).route.is_none()
    {
        return Unmatched::NotFound;
    }
    let Profile { api_version, min_api_version, .. } = profile;
    if number(text) > (u32::from(api_version.major), u32::from(api_version.minor)) {
        Unmatched::Version {
            message: format!(
                "client version {text} is too new. Maximum supported API version is {api_version}"
            ),
            too_old_for_json: false,
        }
    } else {
        Unmatched::Version {
            message: format!(
                "client version {text} is too old. Minimum supported API version is \
                 {min_api_version}, please upgrade your client to a newer version"
            ),
            too_old_for_json: number(text) < (1, 23),
        }
    }
}

/// `/v1.99/info` → `1.99`, `/info`. dockerd takes digits and points in any order for a version.
fn versioned(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/v")?;
    let (version, _) = rest.split_once('/')?;
    let is_version = !version.is_empty()
        && version.len() <= 16
        && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_version.then(|| (version, &rest[version.len()..]))
}

fn number(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// The path without empty and dotted segments, as Go's `path.Clean` has it; `None` if it has none. A slash at the end
/// stays.
fn cleaned(path: &str) -> Option<String> {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "" | "." => {}
            ".." => _ = segments.pop(),
            segment => segments.push(segment),
        }
    }
    let mut clean = segments.iter().fold(String::new(), |path, segment| path + "/" + segment);
    if clean.is_empty() || path.ends_with('/') {
        clean.push('/');
    }
    (clean != path).then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        for (path, clean) in [
            ("//v1.41/info", Some("/v1.41/info")),
            ("/a/./b//c/../d/", Some("/a/b/d/")),
            ("/..", Some("/")),
            ("/a/b", None),
            ("/a/", None),
            ("/", None),
        ] {
            assert_eq!(cleaned(path).as_deref(), clean, "{path}");
        }
        assert_eq!(
            answer("GET", "//info?a=//b", &Profile::default()),
            Unmatched::Redirect(String::from("/info?a=//b"))
        );
    }

    #[test]
    fn versions_that_are_not_on_offer() {
        let profile = Profile { api_version: ApiVersion::new(1, 41), ..Profile::default() };
        let message = |target: &str| match answer("GET", target, &profile) {
            Unmatched::Version { message, too_old_for_json } => {
                format!("{message}{}", if too_old_for_json { " (text)" } else { "" })
            }
            other => format!("{other:?}"),
        };
        let too_new = "client version 1.99 is too new. Maximum supported API version is 1.41";
        assert_eq!(message("/v1.99/info"), too_new);
        assert!(message("/v1.45/info").starts_with("client version 1.45 is too new."));
        let too_old = "client version 1.11 is too old. Minimum supported API version is 1.24, please upgrade \
                       your client to a newer version (text)";
        assert_eq!(message("/v1.11/info"), too_old);
        assert!(message("/v1/info").starts_with("client version 1 is too old."));
        assert!(!message("/v1.23/info").ends_with("(text)"));
        for target in
            ["/v1.99/nowhere", "/v1.41/nowhere", "/vx/info", "/nowhere", "*", "/v1.25/info/"]
        {
            assert_eq!(message(target), "NotFound", "{target}");
        }
    }
}
