//! The job engine: what is asked becomes a [`Job`], and a [`Backend`] answers it.
//!
//! A job is a Docker job engine's job: a name, arguments, an environment, stdin, stdout, stderr, and a status (0 OK,
//! 1 error, 127 not found). The [`Engine`] holds backends in a chain, and handlers for single jobs by name; a job goes
//! to its handler if it has one, then along the chain until a backend does not [pass](Cx::pass) it on.
//!
//! The engine knows nothing of HTTP or of sockets. It can be used alone:
//!
//! ```
//! use libswarm::job::{Backend, Cx, Engine, Event, Job};
//! use libswarm::{Instant, JobId};
//!
//! struct Greet;
//! impl Backend for Greet {
//!     fn handle(&mut self, cx: &mut Cx<'_>, job: JobId, event: Event<'_>) {
//!         if let Event::Start(asked) = event {
//!             cx.reply(job, format!("hello {}\n", asked.arg(0).unwrap_or_default()));
//!         }
//!     }
//! }
//!
//! let mut engine = Engine::new(42);
//! engine.register("greet", Greet);
//! let id = engine.start(Instant::ZERO, Job::new("greet").with_arg("world"), 0);
//! assert_eq!(engine.poll().map(|(job, _)| job), Some(id));
//! let answer = engine.output(id).unwrap();
//! assert_eq!(answer.whole.as_deref(), Some(&b"hello world\n"[..]));
//! assert_eq!(answer.status.as_ref().unwrap().code(), 0);
//! ```

mod backend;
mod cx;
mod engine;
#[expect(clippy::module_inception, reason = "the thing and the room are both called job")]
mod job;
mod jobs;
mod status;
mod stdio;
#[cfg(test)]
mod tests;
mod upstream;

pub use backend::{Backend, Cancel, ChildEvent, Event};
pub use cx::{Cx, Timer};
pub use engine::{Engine, Log, Output};
pub use job::{Job, Request};
pub use status::{Failure, FailureKind, Status};
pub use stdio::{Body, Stdio, Stream};
pub use upstream::Upstream;
