//! The page that shows all services.

/// The page, which is one file: what it shows comes from a stream of all services.
pub(super) const PAGE: &str = include_str!("page.html");

/// The headers that go with it. It runs its own script and nothing else, talks to this server and nobody else, and stands in no
/// frame of others.
pub(super) const HEADERS: &[u8] = b"Content-Type: text/html; charset=utf-8\r\n\
    Cache-Control: no-cache\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Referrer-Policy: no-referrer\r\n\
    Content-Security-Policy: default-src 'none'; connect-src 'self'; \
    script-src 'sha256-4KD6wKfcSr2pP3ql3TFRd4fNvnPHIPAVdKxYfNq5oXg='; style-src 'sha256-M7tZl2/RqfJqMqf4ov6Wmfo6UM4+qxKh1NI0q1g14bU='; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::base64;
    use alloc::format;
    use sha2::{Digest, Sha256};

    /// The policy lets through what stands in the page, and nothing that is put there later.
    #[test]
    fn the_policy_names_what_the_page_has() {
        let headers = core::str::from_utf8(HEADERS).unwrap();
        for element in ["script", "style"] {
            let (_, rest) = PAGE.split_once(&format!("<{element}>")).unwrap();
            let (text, rest) = rest.split_once(&format!("</{element}>")).unwrap();
            let source = format!("{element}-src 'sha256-{}'", base64(&Sha256::digest(text)));
            assert!(headers.contains(&source), "HEADERS has to say {source}");
            assert!(!rest.contains(&format!("<{element}")), "there is one of each");
        }
        // What comes from others never becomes markup.
        for word in
            ["innerHTML", "outerHTML", "insertAdjacent", "document.write", " style=", "eval("]
        {
            assert!(!PAGE.contains(word), "{word}");
        }
    }
}
