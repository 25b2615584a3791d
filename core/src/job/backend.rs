//! What answers jobs.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::{Cx, Job, Status, Upstream};
use crate::docker::Profile;
use crate::id::JobId;

/// Something that answers jobs.
///
/// A backend is told of everything that happens to its jobs through [`handle`](Backend::handle) and acts through the
/// [`Cx`] that comes with it. It never blocks and never waits: what takes time is a later event.
///
/// Each job given to [`Event::Start`] must in the end be answered by [`Cx::reply`], [`Cx::exit`], [`Cx::fail`] or
/// [`Cx::pass`]; until then its client waits.
///
/// ```
/// use libswarm::job::{Backend, Cx, Event};
/// use libswarm::JobId;
///
/// struct Hello;
///
/// impl Backend for Hello {
///     fn handle(&mut self, cx: &mut Cx<'_>, job: JobId, event: Event<'_>) {
///         match event {
///             Event::Start(asked) if asked.name() == "info" => cx.reply(job, "{\"Name\":\"hello\"}\n"),
///             Event::Start(_) => cx.pass(job),
///             _ => {}
///         }
///     }
/// }
/// ```
pub trait Backend: Send {
    /// Something happened to a job of this backend's.
    fn handle(&mut self, cx: &mut Cx<'_>, job: JobId, event: Event<'_>);

    /// A timer set by [`Cx::wake_at`] ran out. Times that belong to one job come to [`handle`](Backend::handle) instead.
    fn wake(&mut self, cx: &mut Cx<'_>, token: u64) {
        let _ = (cx, token);
    }

    /// The servers that it leaves jobs to ([`Cx::join`]), so that whoever runs it can prepare for them, and complain early of
    /// what cannot work.
    fn upstreams(&self) -> Vec<Arc<Upstream>> {
        Vec::new()
    }

    /// The files that its words name, as they name them. Whoever runs it reads them and hands each to
    /// [`load`](Backend::load) before the first job.
    fn files(&self) -> Vec<String> {
        Vec::new()
    }

    /// Takes the content of one of its [files](Backend::files).
    ///
    /// # Errors
    ///
    /// Says what is wrong with it and where, in words that name the file.
    fn load(&mut self, file: &str, content: &[u8]) -> Result<(), String> {
        let _ = (file, content);
        Ok(())
    }

    /// The files that it will want [written](Backend::save), so that whoever runs it can complain early of what cannot be.
    fn saves(&self) -> Vec<String> {
        Vec::new()
    }

    /// What is to be written, and to which files, when all is over.
    fn save(&mut self, cx: &mut Cx<'_>) -> Vec<(String, Vec<u8>)> {
        let _ = cx;
        Vec::new()
    }

    /// Which engine this backend claims to be, if it claims to be one: its versions and what it calls itself. The first
    /// backend of a chain that says so speaks for all.
    fn profile(&self) -> Option<Profile> {
        None
    }
}

/// What happens to a job.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The job begins. Its first event, and the only one unless the backend asks for more.
    Start(&'a Job),
    /// Bytes of its stdin, after [`Cx::read`]: one event for each call, never empty.
    Stdin(&'a [u8]),
    /// Its stdin has ended, instead of [`Event::Stdin`].
    StdinEnd,
    /// The whole of its stdin, after [`Cx::read_to_end`].
    Body(&'a [u8]),
    /// There is room again after [`Cx::write`] took less than it was given.
    Writable,
    /// A timer set by [`Cx::timer`] ran out; the token is the one given there.
    Timer(u64),
    /// The client does not want it any more. With [`Cancel::Gone`] this is the job's last event; otherwise it may still
    /// be answered.
    Cancelled(Cancel),
    /// Something about a job that this one started.
    Child(JobId, ChildEvent<'a>),
}

/// What a child job tells the one that started it.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChildEvent<'a> {
    /// Bytes of its stdout, after [`Cx::read_child`].
    Stdout(&'a [u8]),
    /// It has ended; its last event. All its output has been delivered before.
    Exited(&'a Status),
}

/// Why a job is cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cancel {
    /// The client will send no more but still reads: to an endless job that means to end. Answer what is fit to be the last
    /// word, then exit; a job that does not exit in this event is ended for it.
    HalfClosed,
    /// The daemon stops. As [`Cancel::HalfClosed`].
    Shutdown,
    /// Nobody will see the answer: the connection is gone, or the job that started this one has ended.
    Gone,
}

impl fmt::Display for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HalfClosed => "the client closed its side",
            Self::Shutdown => "the daemon stops",
            Self::Gone => "the client is gone",
        })
    }
}
