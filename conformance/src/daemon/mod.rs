//! A daemon under test, and the suites on its command line, its sockets and its end.

mod command_line;
mod inheriting;
mod printing;
mod process;
mod sockets;
mod state;
mod stopping;

pub use command_line::{addresses, backends, errors, help, usage};
pub use inheriting::{groups, inherited, json};
pub use printing::{chain, closed_stdout, debug};
pub use process::{Daemon, Folder, run};
pub use sockets::{ports, taken_over, unix};
pub use state::{dying, kept, unusable};
pub use stopping::{second_signal, stops};

/// Makes the tests of a daemon: all suites of this module, for the binary at that path.
#[macro_export]
macro_rules! daemon_tests {
    ($binary:expr) => {
        $crate::suites!(daemon, std::path::Path::new($binary);
            help usage errors addresses backends ports unix taken_over stops second_signal
            debug chain closed_stdout inherited groups json
            kept unusable dying);
    };
}

/// Makes a test of each suite of a module.
#[doc(hidden)]
#[macro_export]
macro_rules! suites {
    ($module:ident, $subject:expr; $($suite:ident)*) => {
        $(#[test] fn $suite() { $crate::$module::$suite($subject); })*
    };
}
