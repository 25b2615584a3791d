//! Names of images, as Docker writes them: `[registry/]name[:tag][@digest]`, and the short form that people see.

use alloc::format;
use alloc::string::{String, ToString};

/// A name that was understood, in its short form: without `docker.io/` and `library/`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reference {
    /// `busybox`, `user/app`, `localhost:5000/a/b`.
    pub(super) name: String,
    pub(super) tag: Option<String>,
    /// `sha256:…`
    pub(super) digest: Option<String>,
}

const BAD: &str = "invalid reference format";

impl Reference {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// The engine's words for what is none.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("invalid repository name, cannot specify 64-byte hexadecimal strings");
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) if is_digest(digest) => (rest, Some(digest.to_string())),
            Some(_) => return Err(BAD),
            None => (text, None),
        };
        let slash = rest.rfind('/').map_or(0, |place| place + 1);
        let (name, tag) = match rest[slash..].find(':') {
            Some(colon) => (&rest[..slash + colon], Some(&rest[slash + colon + 1..])),
            None => (rest, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(BAD);
        }
        let (domain, path) = match name.split_once('/') {
            Some((first, path)) if is_domain(first) => (Some(first), path),
            _ => (None, name),
        };
        if !path.split('/').all(is_component) {
            let lower = path.to_ascii_lowercase();
            let only_case = lower != path && lower.split('/').all(is_component);
            return Err(if only_case {
                "invalid reference format: repository name must be lowercase"
            } else {
                BAD
            });
        }
        let name = match domain {
            None | Some("docker.io" | "index.docker.io") => {
                path.strip_prefix("library/").unwrap_or(path).to_string()
            }
            Some(domain) => format!("{domain}/{path}"),
        };
        Ok(Self { name, tag: tag.map(ToString::to_string), digest })
    }

    /// `busybox:latest`.
    pub(super) fn tagged(&self) -> String {
        format!("{}:{}", self.name, self.tag.as_deref().unwrap_or("latest"))
    }

    /// With its registry: `docker.io/library/busybox`.
    pub(super) fn full_name(&self) -> String {
        let first = self.name.split('/').next().unwrap_or_default();
        if self.name.contains('/') && is_domain(first) {
            self.name.clone()
        } else if self.name.contains('/') {
            format!("docker.io/{}", self.name)
        } else {
            format!("docker.io/library/{}", self.name)
        }
    }

    /// The registry it comes from, if that is not Docker's own.
    pub(super) fn registry(&self) -> Option<&str> {
        let (first, _) = self.name.split_once('/')?;
        is_domain(first).then_some(first)
    }

    /// What the engine calls an image that it does not find: with the tag that it looked for.
    pub(super) fn missed(text: &str) -> String {
        match Self::parse(text) {
            Ok(reference) if reference.tag.is_none() && reference.digest.is_none() => {
                format!("{}:latest", reference.name)
            }
            Ok(Self { name, tag, digest }) => {
                let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
                let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
                format!("{name}{tag}{digest}")
            }
            Err(_) => text.to_string(),
        }
    }
}

pub(super) fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&tag.len())
        && word(tag.as_bytes()[0])
        && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| {
        digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn is_domain(first: &str) -> bool {
    let (host, port) = first.split_once(':').unwrap_or((first, "0"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    (first.contains(['.', ':']) || first == "localhost")
        && !host.is_empty()
        && host.bytes().all(plain)
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Lowercase letters and digits, between which there may be `.`, `_`, `__` or hyphens.
fn is_component(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !inner(*first) || !inner(*last) {
        return false;
    }
    bytes.split(|byte| inner(*byte)).all(|between| {
        matches!(between, b"" | b"." | b"_" | b"__") || between.iter().all(|byte| *byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::Reference;

    #[test]
    fn names_are_read_and_shortened() {
        for (text, name, tag) in [
            ("busybox", "busybox", None),
            ("busybox:1.36", "busybox", Some("1.36")),
            ("docker.io/library/busybox:latest", "busybox", Some("latest")),
            ("library/busybox", "busybox", None),
            ("user/app:v1", "user/app", Some("v1")),
            ("docker.io/user/app", "user/app", None),
            ("localhost:5000/a/b:2", "localhost:5000/a/b", Some("2")),
            ("127.0.0.1:9/x", "127.0.0.1:9/x", None),
            ("a/b/c:d", "a/b/c", Some("d")),
            ("a__b-c.d", "a__b-c.d", None),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!((&*reference.name, reference.tag.as_deref()), (name, tag), "{text}");
        }
        assert_eq!(Reference::parse("busybox").unwrap().full_name(), "docker.io/library/busybox");
        assert_eq!(Reference::parse("a/b").unwrap().full_name(), "docker.io/a/b");
        assert_eq!(Reference::parse("a.b/c").unwrap().full_name(), "a.b/c");
        assert_eq!(Reference::missed("nosuch/image"), "nosuch/image:latest");
    }

    #[test]
    fn what_is_no_name_is_refused_in_docker_s_words() {
        let bad = "invalid reference format";
        for (text, words) in [
            ("", bad),
            ("BAD", "invalid reference format: repository name must be lowercase"),
            ("BAD NAME", bad),
            ("a:", bad),
            ("a:-x", bad),
            (":x", bad),
            ("a//b", bad),
            ("a/", bad),
            ("-a", bad),
            ("a___b", bad),
            ("a@sha256:12", bad),
            (
                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                "invalid repository name, cannot specify 64-byte hexadecimal strings",
            ),
        ] {
            assert_eq!(Reference::parse(text), Err(words), "{text:?}");
        }
    }
}
