//! Variables. A subshell shares them until one of the two changes some.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Variables of one shell.
const MAX_VARIABLES: usize = 10_000;

/// A variable; one that is exported or local may have no value.
#[derive(Clone, Debug, Default)]
pub(super) struct Var {
    pub(super) value: Option<Arc<str>>,
    pub(super) exported: bool,
    pub(super) read_only: bool,
}

/// The variables of a shell.
#[derive(Clone, Debug, Default)]
pub(super) struct Vars(Arc<BTreeMap<Arc<str>, Var>>);

impl Vars {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.value.as_deref()
    }

    /// Sets a value: what is wrong if it cannot be.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if self.0.get(name).is_some_and(|var| var.read_only) {
            return Err(format!("{name}: is read only"));
        }
        if self.0.len() >= MAX_VARIABLES && !self.0.contains_key(name) {
            return Err("out of memory".into());
        }
        if self.0.get(name).is_some_and(|var| var.value.as_deref() == Some(value)) {
            return Ok(());
        }
        Arc::make_mut(&mut self.0).entry(name.into()).or_default().value = Some(value.into());
        Ok(())
    }

    pub(super) fn change(&mut self, name: &str, change: impl FnOnce(&mut Var)) {
        change(Arc::make_mut(&mut self.0).entry(name.into()).or_default());
    }

    pub(super) fn unset(&mut self, name: &str) -> Result<(), String> {
        match self.0.get(name) {
            Some(var) if var.read_only => Err(format!("{name}: is read only")),
            Some(_) => {
                Arc::make_mut(&mut self.0).remove(name);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The whole variable, to be put back later.
    pub(super) fn save(&self, name: &str) -> Option<Var> {
        self.0.get(name).cloned()
    }

    pub(super) fn restore(&mut self, name: &str, var: Option<Var>) {
        let vars = Arc::make_mut(&mut self.0);
        match var {
            Some(var) => drop(vars.insert(name.into(), var)),
            None => drop(vars.remove(name)),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Var)> {
        self.0.iter()
    }

    /// What is exported, as a child gets it.
    pub(super) fn environment(&self) -> Vec<String> {
        let entry = |(name, var): (&Arc<str>, &Var)| {
            let value = var.value.as_ref().filter(|_| var.exported)?;
            Some(format!("{name}={value}"))
        };
        self.0.iter().filter_map(entry).collect()
    }
}
