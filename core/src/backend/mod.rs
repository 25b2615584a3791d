//! The backends that come with the core, and the registry that makes backends from words.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::job::Backend;
use crate::words;

mod debug;
mod forward;
pub mod simulator;

pub use debug::Debug;
pub use forward::Forward;
pub use simulator::Simulator;

/// Backends by name: what `--backend 'NAME WORDS…'` can select and what `--help` lists.
pub struct Registry {
    kinds: Vec<Kind>,
}

/// One kind of backend.
struct Kind {
    name: String,
    usage: String,
    about: String,
    make: Box<Make>,
}

type Make = dyn Fn(&[String]) -> Result<Box<dyn Backend>, String> + Send + Sync;

impl Registry {
    /// A registry of nothing.
    #[must_use]
    pub const fn empty() -> Self {
        Self { kinds: Vec::new() }
    }

    /// The backends of this crate: `debug`, `forward` and `simulator`.
    #[must_use]
    pub fn standard() -> Self {
        let mut registry = Self::empty();
        registry.add("debug", Debug::USAGE, Debug::ABOUT, |words| {
            Debug::from_words(words).map(|backend| Box::new(backend) as Box<dyn Backend>)
        });
        registry.add_forward([Forward::DEFAULT]);
        registry.add("simulator", Simulator::USAGE, Simulator::ABOUT, |words| {
            Simulator::from_words(words).map(|backend| Box::new(backend) as Box<dyn Backend>)
        });
        registry
    }

    /// Adds `forward`, with the words that it takes when its own have no address.
    pub fn add_forward<W: Into<String>>(&mut self, default: impl IntoIterator<Item = W>) {
        let default: Vec<String> = default.into_iter().map(Into::into).collect();
        self.add("forward", Forward::USAGE, Forward::ABOUT, move |words| {
            Forward::from_words(words, &default)
                .map(|backend| Box::new(backend) as Box<dyn Backend>)
        });
    }

    /// Adds a kind of backend; one of the same name is replaced.
    ///
    /// `usage` names its words as a synopsis does (`[NAME…]`; empty if it takes none), `about` says in one line what it is
    /// for, and `make` makes one from the words behind its name, or says what is wrong with them.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        usage: impl Into<String>,
        about: impl Into<String>,
        make: impl Fn(&[String]) -> Result<Box<dyn Backend>, String> + Send + Sync + 'static,
    ) {
        let kind = Kind {
            name: name.into(),
            usage: usage.into(),
            about: about.into(),
            make: Box::new(make),
        };
        self.kinds.retain(|known| known.name != kind.name);
        self.kinds.push(kind);
    }

    /// Name, usage and purpose of each kind, in the order they were added.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.kinds.iter().map(|kind| (kind.name.as_str(), kind.usage.as_str(), kind.about.as_str()))
    }

    /// Makes the backend that a line such as `simulator web db` asks for, and returns it with its name.
    ///
    /// # Errors
    ///
    /// The line is no list of words, names no backend or an unknown one, or the backend refuses its words.
    pub fn make(&self, line: &str) -> Result<(String, Box<dyn Backend>), RegistryError> {
        let words = words::split(line).map_err(|error| RegistryError(error.to_string()))?;
        let Some((name, words)) = words.split_first() else {
            return Err(RegistryError(format!("no backend is named: use one of {}", self.names())));
        };
        let Some(kind) = self.kinds.iter().find(|kind| kind.name == *name) else {
            let names = self.names();
            return Err(RegistryError(format!("there is no backend {name:?}: use one of {names}")));
        };
        match (kind.make)(words) {
            Ok(backend) => Ok((name.clone(), backend)),
            Err(problem) => {
                Err(RegistryError(format!("{problem}; usage: {} {}", kind.name, kind.usage)))
            }
        }
    }

    fn names(&self) -> String {
        self.kinds.iter().map(|kind| kind.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::standard()
    }
}

/// Why a backend could not be made, in words for the person who asked for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistryError(String);

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for RegistryError {}
