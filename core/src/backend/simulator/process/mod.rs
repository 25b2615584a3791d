//! Simulated processes: what runs in a container, on its [files](super::files).
//!
//! [`Processes`] holds all processes of one container: a POSIX shell, the applets of busybox, programs that a state file
//! describes ([`Behaviour`]). It has no clock and does no I/O: who drives it starts processes, lets them [step](Processes::step)
//! with some fuel, hands them stdin and signals, and takes their output away.
//!
//! ```
//! use core::time::Duration;
//! use libswarm::Instant;
//! use libswarm::backend::simulator::files::{Mounts, Store, Tree, View};
//! use libswarm::backend::simulator::process::{Names, Processes, Progress, Spec, Stream, System};
//!
//! let mut store = Store::new();
//! let mounts = Mounts::new(store.insert(Tree::busybox()));
//! let mut container = Processes::new();
//! let mut system = System {
//!     files: View::new(&mut store, &mounts, 1_700_000_000),
//!     hostname: "a1b2c3",
//!     now: Instant::ZERO,
//!     unix: Duration::from_secs(1_700_000_000),
//!     names: Names::default(),
//! };
//!
//! let spec = Spec::new(["sh", "-c", "tr a-z A-Z; exit 3"]).open_stdin();
//! let pid = container.start(spec, &mut system).unwrap();
//! assert_eq!(container.stdin(pid, b"hello\n"), 6);
//! container.close_stdin(pid);
//! assert_eq!(container.step(&mut system, 100_000), Progress::Idle(None));
//!
//! assert_eq!(container.output(pid), Some((Stream::Stdout, b"HELLO\n".to_vec())));
//! assert_eq!(container.exited(pid).unwrap().code, 3);
//! ```
//!
//! # How it is driven
//!
//! - The first process started is pid 1, the container's: it dies of no signal but KILL unless it traps it, and all others
//!   end with it. Further [starts](Processes::start) are `exec`s.
//! - After each call that can change something (start, stdin, signal, output taken, a timer's moment), call
//!   [`Processes::step`] until it says [`Progress::Idle`]; with [`Progress::Runnable`] processes want more fuel: let others
//!   have their turn in between. A paused container is one that is not stepped.
//! - What a started process and its children write is held until [`Processes::output`] takes it; with [`OUTPUT`] bytes
//!   held, they block. stdin is accepted up to [`INPUT`] bytes; `0` means later.
//! - When [`Processes::exited`] tells the end of a started process, its last output may still be there; take it, and then
//!   [`Processes::forget`] it.
//!
//! # Limits
//!
//! Processes per container: [`MAX_PROCESSES`] ("can't fork: Resource temporarily unavailable"). A pipe holds [`PIPE`] bytes.
//! A word, a variable and what a command substitution gives hold at most [`MAX_WORD`] bytes, a glob gives as many names as
//! the tree has nodes, functions nest 1,000 deep, and syntax 100 deep. Nothing here recurses with what it runs: a shell is a
//! stack of frames, and a step ends when its fuel does.

mod applets;
mod behaviour;
mod init;
mod kernel;
mod open;
pub(super) mod pattern;
mod session;
mod shell;
mod signal;
mod spec;
mod start;
mod sys;

pub use behaviour::{Answer, Behaviour, End, Line};
pub use kernel::{Info, Names, Processes, Progress, System};
pub use session::Stream;
pub use signal::Signal;
pub use spec::{Exit, Pid, Spec, StartError};

use sys::{Block, Step, Sys};

/// Processes that a container may have; one more is `EAGAIN`.
pub const MAX_PROCESSES: usize = 128;
/// Bytes in a pipe.
pub const PIPE: usize = 65_536;
/// Bytes of output that are held for a started process.
pub const OUTPUT: usize = 65_536;
/// Bytes of input that are held for a started process.
pub const INPUT: usize = 65_536;
/// Bytes in a word of the shell, a variable, or the result of a command substitution.
pub const MAX_WORD: usize = 1 << 20;
