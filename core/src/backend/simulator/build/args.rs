//! The arguments of a build: what a Dockerfile declares (`ARG`) and what the client gives (`--build-arg`).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Arguments that need no declaration.
const BUILT_IN: [&str; 8] = [
    "FTP_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "ftp_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// All arguments of a build.
#[derive(Clone, Default, Debug)]
pub(super) struct Args {
    /// The client's; without a value there is none.
    given: BTreeMap<String, Option<String>>,
    /// Those declared before the first `FROM`.
    meta: BTreeMap<String, Option<String>>,
    /// Those declared in this stage.
    declared: BTreeMap<String, Option<String>>,
    /// Those declared anywhere.
    known: BTreeSet<String>,
}

impl Args {
    pub(super) fn new(given: BTreeMap<String, Option<String>>) -> Self {
        Self { given, ..Self::default() }
    }

    /// A new stage begins: what the last one declared is forgotten.
    pub(super) fn next_stage(&mut self) {
        self.declared.clear();
    }

    pub(super) fn declare(&mut self, name: &str, value: Option<&str>, before_stages: bool) {
        let value = value.map(ToString::to_string);
        if before_stages {
            self.meta.insert(name.to_string(), value.clone());
        }
        self.known.insert(name.to_string());
        self.declared.insert(name.to_string(), value);
    }

    fn value(&self, name: &str) -> Option<&str> {
        if let Some(given) = self.given.get(name) {
            return given.as_deref();
        }
        let declared = self.declared.get(name).and_then(Option::as_deref);
        declared.or_else(|| self.meta.get(name)?.as_deref())
    }

    /// `NAME=value` for all that have a value now, but for those that `env` has already.
    pub(super) fn env(&self, env: &[String]) -> Vec<String> {
        let built_in = BUILT_IN.into_iter().filter(|name| !self.declared.contains_key(*name));
        let mut names: Vec<&str> = self.declared.keys().map(String::as_str).collect();
        names.extend(built_in);
        names.sort_unstable();
        let is_new = |name: &&str| !env.iter().any(|pair| pair.split('=').next() == Some(*name));
        let pair = |name: &str| self.value(name).map(|value| format!("{name}={value}"));
        names.into_iter().filter(is_new).filter_map(pair).collect()
    }

    /// `NAME=value` for all that are declared before the first `FROM`: what a base's name may hold.
    pub(super) fn before_stages(&self) -> Vec<String> {
        let value = |name: &str| {
            let given = self.given.get(name).and_then(Option::as_deref);
            given.or_else(|| self.meta.get(name)?.as_deref())
        };
        let pair = |name: &String| value(name).map(|value| format!("{name}={value}"));
        self.meta.keys().filter_map(pair).collect()
    }

    /// How a command is kept in an image's history: with what it was given.
    pub(super) fn before(&self, env: &[String], command: &[String]) -> Vec<String> {
        if env.is_empty() {
            return command.to_vec();
        }
        // A proxy is no part of what an image is, unless the Dockerfile asks for it.
        let counts = |pair: &&String| {
            let name = pair.split('=').next().unwrap_or_default();
            !BUILT_IN.contains(&name) || self.known.contains(name)
        };
        let mut kept: Vec<String> = env.iter().filter(counts).cloned().collect();
        kept.sort();
        [&[format!("|{}", kept.len())][..], &kept, command].concat()
    }

    /// The client's that nothing has asked for.
    pub(super) fn unused(&self) -> Vec<&str> {
        let names = self.given.keys().map(String::as_str);
        names.filter(|name| !self.known.contains(*name) && !BUILT_IN.contains(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Args;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    #[test]
    fn the_client_s_word_counts_if_the_stage_declares_it() {
        let given = [("A", "given"), ("U", "u"), ("HTTP_PROXY", "p")];
        let given = given.map(|(name, value)| (name.to_string(), Some(value.to_string())));
        let mut args = Args::new(given.into());
        args.declare("M", Some("meta"), true);
        assert_eq!(args.before_stages(), ["M=meta"]);
        args.next_stage();
        assert_eq!(args.env(&[]), ["HTTP_PROXY=p"]);
        args.declare("A", Some("default"), false);
        args.declare("M", None, false);
        args.declare("N", None, false);
        assert_eq!(args.env(&[]), ["A=given", "HTTP_PROXY=p", "M=meta"]);
        assert_eq!(args.env(&["A=env".to_string()]), ["HTTP_PROXY=p", "M=meta"]);
        let command = args.before(&args.env(&[]), &["x".to_string()]);
        assert_eq!(command, ["|2", "A=given", "M=meta", "x"]);
        assert_eq!(args.unused(), Vec::from(["U"]));
    }
}
