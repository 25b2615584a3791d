//! Signals, by name and number.

use alloc::string::String;
use core::fmt;

/// A signal of Linux, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Signal(u8);

/// The names of the signals from 1 on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

impl Signal {
    /// The terminal hung up.
    pub const HUP: Self = Self(1);
    /// `^C`.
    pub const INT: Self = Self(2);
    /// `^\`.
    pub const QUIT: Self = Self(3);
    /// Ends a process, whatever it wants.
    pub const KILL: Self = Self(9);
    /// A pipe has no reader.
    pub const PIPE: Self = Self(13);
    /// A polite request to end.
    pub const TERM: Self = Self(15);
    /// A child has ended.
    pub const CHLD: Self = Self(17);
    /// Goes on after STOP.
    pub const CONT: Self = Self(18);
    /// Stops a process, whatever it wants.
    pub const STOP: Self = Self(19);
    /// The terminal has another size.
    pub const WINCH: Self = Self(28);

    /// The signal of that number, if there is one: 1 to 64.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number >= 1 && number <= 64 { Some(Self(number)) } else { None }
    }

    /// The signal of a number or a name, with or without `SIG`, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse() {
            return Self::new(number);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let index = NAMES.iter().position(|known| *known == name)?;
        u8::try_from(index + 1).ok().map(Self)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its name without `SIG`; a real-time signal's is a number.
    #[must_use]
    pub fn name(self) -> String {
        match NAMES.get(usize::from(self.0) - 1) {
            Some(name) => (*name).into(),
            None => alloc::format!("{}", self.0),
        }
    }

    pub(super) const fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }

    /// Whether a process that has not said otherwise lives on.
    pub(super) const fn is_harmless(self) -> bool {
        matches!(self.0, 17 | 18 | 23 | 28)
    }

    /// Whether a process that has not said otherwise stops.
    pub(super) const fn stops(self) -> bool {
        matches!(self.0, 19..=22)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIG{}", self.name())
    }
}
