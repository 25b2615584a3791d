//! The argument of `--backend`: words, as a POSIX shell splits them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Splits a line into words as a POSIX shell does: at white space, with single and double quotes and backslashes.
///
/// # Errors
///
/// A quote that is not closed, or a backslash with nothing behind it.
///
/// ```
/// let words = libswarm::words::split("simulator web 'data base'").unwrap();
/// assert_eq!(words, ["simulator", "web", "data base"]);
/// assert!(libswarm::words::split("simulator 'web").is_err());
/// ```
pub fn split(line: &str) -> Result<Vec<String>, Unfinished> {
    shlex::split(line).ok_or_else(|| Unfinished { line: line.to_string() })
}

/// A line that ends inside a quote or behind a backslash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unfinished {
    line: String,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ends inside a quote or behind a backslash: close the quote", self.line)
    }
}

impl core::error::Error for Unfinished {}
