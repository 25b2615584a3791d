//! Names for connections and jobs that are never mistaken for a later one in the same place.

use alloc::vec::Vec;
use core::fmt;

/// Where something lives: a slot, and how often that slot was given out before.
///
/// A late event for a connection that is gone carries an old generation and finds nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key {
    slot: u32,
    generation: u32,
}

impl Key {
    pub(crate) const fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    pub(crate) const fn generation(self) -> u32 {
        self.generation
    }

    pub(crate) const fn slot(self) -> u32 {
        self.slot
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $word:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub(crate) Key);

        impl $name {
            /// The place of this id in a table: small, dense, and given out again after its owner is gone.
            #[must_use]
            pub const fn slot(self) -> usize {
                self.0.slot as usize
            }

            /// How many owners this id's slot had before, modulo 2^32.
            #[must_use]
            pub const fn generation(self) -> u32 {
                self.0.generation
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($word, " {}.{}"), self.0.slot, self.0.generation)
            }
        }
    };
}

id!(
    /// A connection, minted by the [`Node`](crate::Node). Runtimes keep their sockets in a table by
    /// [`slot`](ConnId::slot) and compare the whole id before they use one.
    ConnId,
    "connection"
);
id!(
    /// A job, minted by the [`Engine`](crate::job::Engine) that runs it.
    JobId,
    "job"
);

id!(
    /// A call of a client's of the discovery RPC, minted by the connection's [`Server`](crate::rpc::Server).
    CallId,
    "call"
);

id!(
    /// A subscription to a service, minted by the [`Registry`](crate::discovery::Registry) that it reads from.
    SubscriptionId,
    "subscription"
);

id!(
    /// An instance that a program wants registered, minted by its [`Client`](crate::discovery::client::Client).
    RegistrationId,
    "registration"
);

id!(
    /// A service that a program follows, minted by its [`Client`](crate::discovery::client::Client).
    SetId,
    "set"
);

/// A table whose keys carry generations. Inserting and removing is O(1); memory is that of the
/// largest number of entries held at once.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.insert_with(|_| value)
    }

    /// Inserts something that knows its own key.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.slots[slot as usize];
            let key = Key { slot, generation: entry.0 };
            entry.1 = Some(make(key));
            return key;
        }
        let slot = u32::try_from(self.slots.len()).expect("fewer than 2^32 entries");
        let key = Key { slot, generation: 0 };
        self.slots.push((0, Some(make(key))));
        key
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.slots
            .get(key.slot as usize)
            .filter(|(generation, _)| *generation == key.generation)
            .and_then(|(_, value)| value.as_ref())
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slots
            .get_mut(key.slot as usize)
            .filter(|(generation, _)| *generation == key.generation)
            .and_then(|(_, value)| value.as_mut())
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let (generation, value) = self.slots.get_mut(key.slot as usize)?;
        if *generation != key.generation {
            return None;
        }
        let value = value.take()?;
        *generation = generation.wrapping_add(1);
        self.free.push(key.slot);
        Some(value)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|(_, value)| value.as_mut())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, (generation, value))| {
            let key = Key { slot: slot as u32, generation: *generation };
            value.as_ref().map(|value| (key, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_outlives_its_entry_and_finds_nothing() {
        let mut slab = Slab::new();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!((first.slot, second.slot), (0, 0));
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut 'b'));
        assert_eq!(slab.len(), 1);
        assert_eq!(slab.iter().map(|(_, value)| *value).collect::<Vec<_>>(), ['b']);
    }
}
