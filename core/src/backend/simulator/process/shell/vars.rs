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
    /// Which one it was to be set, of all that the shell has.
    entered: usize,
}

/// The variables of a shell.
#[derive(Clone, Debug, Default)]
pub(super) struct Vars {
    map: Arc<BTreeMap<Arc<str>, Var>>,
    /// How many were set, ever.
    entered: usize,
}

impl Vars {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.map.get(name)?.value.as_deref()
    }

    /// Sets a value: what is wrong if it cannot be.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if self.map.get(name).is_some_and(|var| var.read_only) {
            return Err(format!("{name}: is read only"));
        }
        if self.map.len() >= MAX_VARIABLES && !self.map.contains_key(name) {
            return Err("out of memory".into());
        }
        if self.map.get(name).is_some_and(|var| var.value.as_deref() == Some(value)) {
            return Ok(());
        }
        self.change(name, |var| var.value = Some(value.into()));
        Ok(())
    }

    pub(super) fn change(&mut self, name: &str, change: impl FnOnce(&mut Var)) {
        self.entered += 1;
        let new = || Var { entered: self.entered, ..Var::default() };
        change(Arc::make_mut(&mut self.map).entry(name.into()).or_insert_with(new));
    }

    pub(super) fn unset(&mut self, name: &str) -> Result<(), String> {
        match self.map.get(name) {
            Some(var) if var.read_only => Err(format!("{name}: is read only")),
            Some(_) => {
                Arc::make_mut(&mut self.map).remove(name);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The whole variable, to be put back later.
    pub(super) fn save(&self, name: &str) -> Option<Var> {
        self.map.get(name).cloned()
    }

    pub(super) fn restore(&mut self, name: &str, var: Option<Var>) {
        let vars = Arc::make_mut(&mut self.map);
        match var {
            Some(var) => drop(vars.insert(name.into(), var)),
            None => drop(vars.remove(name)),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Var)> {
        self.map.iter()
    }

    /// What is exported, as a child gets it: in the order of the table that busybox's ash keeps variables in.
    pub(super) fn environment(&self) -> Vec<String> {
        let exported = self.map.iter().filter_map(|(name, var)| {
            let value = var.value.as_ref().filter(|_| var.exported)?;
            Some(((bucket(name), var.entered), format!("{name}={value}")))
        });
        let mut entries: Vec<_> = exported.collect();
        entries.sort_unstable_by_key(|(place, _)| *place);
        entries.into_iter().map(|(_, entry)| entry).collect()
    }
}

/// Where ash's table has a variable.
fn bucket(name: &str) -> usize {
    let first = name.bytes().next().map_or(0, |byte| usize::from(byte) << 4);
    (first + name.bytes().map(usize::from).sum::<usize>()) % 39
}

#[cfg(test)]
mod tests {
    use super::Vars;

    #[test]
    fn children_get_their_environment_in_the_order_of_ash() {
        let mut vars = Vars::default();
        for name in ["PATH", "HOSTNAME", "HOME", "A", "C", "SHLVL", "PWD", "hidden", "h", "B"] {
            vars.set(name, "1").unwrap();
            vars.change(name, |var| var.exported = name != "hidden");
        }
        assert_eq!(
            vars.environment(),
            ["HOSTNAME=1", "SHLVL=1", "HOME=1", "C=1", "A=1", "h=1", "PATH=1", "B=1", "PWD=1"]
        );
    }
}
