//! What must not be shown, and where it hides.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use serde_json::Value;

/// What is shown instead.
pub(super) const HIDDEN: &str = "(hidden)";

/// Whether a header of that name carries credentials.
pub(super) fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "x-registry-config"
        || ["auth", "cookie", "token", "secret", "password", "credential", "api-key"]
            .iter()
            .any(|word| name.contains(word))
}

/// Whether the value of that name is a secret: a key of JSON or of a query, or a variable of an environment.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name: String =
        name.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect();
    let exact = [
        "auth",
        "authconfig",
        "authconfigs",
        "auths",
        "authorization",
        "secret",
        "token",
        "unlockkey",
    ];
    let within = ["password", "passwd", "passphrase", "credential"];
    let end = ["token", "secret", "secretkey", "privatekey", "apikey", "accesskey", "cakey"];
    exact.contains(&name.as_str())
        || within.iter().any(|word| name.contains(word))
        || end.iter().any(|word| name.ends_with(word))
}

/// Hides the secrets in a document. With `data`, that is what stands in `Data`, too: the content of a swarm's secret.
pub(super) fn hide(document: &mut Value, data: bool) {
    match document {
        Value::Object(fields) => {
            for (key, value) in fields {
                if is_secret_name(key) && !is_plain(value)
                    || data && key.eq_ignore_ascii_case("data")
                {
                    *value = Value::String(HIDDEN.into());
                } else {
                    hide(value, data);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| hide(value, data)),
        Value::String(text) => {
            if let Cow::Owned(hidden) = in_text(text) {
                *text = hidden;
            }
        }
        _ => {}
    }
}

/// A value that says nothing but whether there is one.
fn is_plain(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(_)) || value.as_str().is_some_and(str::is_empty)
}

/// Hides the secret in a text such as `DB_PASSWORD=…` or `https://user:password@host/`.
pub(super) fn in_text(text: &str) -> Cow<'_, str> {
    if let Some((name, value)) = text.split_once('=')
        && !value.is_empty()
        && !name.contains(char::is_whitespace)
        && is_secret_name(name)
    {
        return Cow::Owned(format!("{name}={HIDDEN}"));
    }
    in_url(text)
}

/// Hides the password of each URL in a text.
fn in_url(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(scheme) = rest.find("://") {
        let (before, authority) = rest.split_at(scheme + 3);
        shown.push_str(before);
        let end = authority
            .find(|c: char| matches!(c, '/' | '?' | '#' | '"' | '\'') || c.is_whitespace())
            .unwrap_or(authority.len());
        let (authority, after) = authority.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                // Without a password the name may be a token.
                let user = user.split_once(':').map(|(user, _)| format!("{user}:"));
                shown.push_str(&format!("{}{HIDDEN}@{host}", user.unwrap_or_default()));
            }
            None => shown.push_str(authority),
        }
        rest = after;
    }
    if shown.is_empty() {
        return Cow::Borrowed(text);
    }
    shown.push_str(rest);
    if shown == text { Cow::Borrowed(text) } else { Cow::Owned(shown) }
}

#[cfg(test)]
mod tests {
    use super::{hide, in_text, is_secret_header, is_secret_name};
    use serde_json::{Value, json};

    #[test]
    fn headers_with_credentials_are_known() {
        for name in [
            "Authorization",
            "Proxy-Authorization",
            "X-Registry-Auth",
            "x-registry-config",
            "Cookie",
            "X-Meta-Token",
        ] {
            assert!(is_secret_header(name), "{name}");
        }
        for name in ["Host", "User-Agent", "Content-Type", "X-Docker-Container-Path-Stat"] {
            assert!(!is_secret_header(name), "{name}");
        }
    }

    #[test]
    fn names_of_secrets_are_known() {
        for name in [
            "password",
            "Password",
            "auth",
            "identitytoken",
            "IdentityToken",
            "registrytoken",
            "JoinToken",
            "UnlockKey",
            "DB_PASSWORD",
            "PGPASSWORD",
            "AWS_SECRET_ACCESS_KEY",
            "API_KEY",
            "GITHUB_TOKEN",
            "SigningCAKey",
            "passwd",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "username",
            "Image",
            "Secrets",
            "SecretName",
            "SecretID",
            "PATH",
            "Author",
            "key",
            "Keyboard",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    fn hidden(mut document: Value, data: bool) -> Value {
        hide(&mut document, data);
        document
    }

    #[test]
    fn documents_lose_their_secrets_and_nothing_else() {
        let create = json!({
            "Image": "busybox",
            "Env": ["PATH=/bin", "DB_PASSWORD=hunter2", "URL=postgres://app:hunter2@db/app", "EMPTY_TOKEN="],
            "HostConfig": {"Secrets": [{"SecretName": "a"}], "Data": "kept"},
            "Auth": {"user": "x"}, "password": "", "token": 5, "secret": null,
        });
        assert_eq!(
            hidden(create, false),
            json!({
                "Image": "busybox",
                "Env": ["PATH=/bin", "DB_PASSWORD=(hidden)", "URL=postgres://app:(hidden)@db/app", "EMPTY_TOKEN="],
                "HostConfig": {"Secrets": [{"SecretName": "a"}], "Data": "kept"},
                "Auth": "(hidden)", "password": "", "token": "(hidden)", "secret": null,
            })
        );
        assert_eq!(
            hidden(json!({"Name": "a", "Data": "c2VjcmV0"}), true),
            json!({"Name": "a", "Data": "(hidden)"})
        );
    }

    #[test]
    fn urls_lose_their_passwords() {
        for (text, shown) in [
            ("https://u:p@host/x", "https://u:(hidden)@host/x"),
            ("https://token@host", "https://(hidden)@host"),
            ("https://u:p@a p://q:r@b", "https://u:(hidden)@a p://q:(hidden)@b"),
            ("https://host/@x", "https://host/@x"),
            ("tcp://host:1", "tcp://host:1"),
            ("a@b", "a@b"),
            ("://", "://"),
        ] {
            assert_eq!(in_text(text), shown, "{text}");
        }
    }
}
