//! The backend that shows what it is asked.

mod secrets;
mod show;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use self::show::{Block, BodyHead};
use crate::docker::routes::Reply;
use crate::id::JobId;
use crate::job::{Backend, Cx, Event, Job, Request, Status, Stdio};

/// A backend that prints every job on the daemon's stdout.
///
/// With another backend behind it, it passes each job on. A JSON body of up to 1 MiB with a known length is read and
/// shown first; other bodies are only described, since what is read in pieces cannot be passed on.
///
/// As the last of its chain it answers: with the success of the job's route and no data, after it has read the body to
/// its end. The job [`http`](Job::HTTP), which no route matched, is passed on even then, so that the client learns so.
///
/// Credentials are hidden, in headers, queries and JSON bodies. All that clients send is escaped: it can neither drive a
/// terminal nor look like another job, because each job's block begins at the margin and all else in it is indented.
///
/// ```
/// use libswarm::Instant;
/// use libswarm::backend::Debug;
/// use libswarm::job::{Engine, Job, Log};
///
/// let mut engine = Engine::new(42);
/// engine.push("debug", Box::new(Debug::from_words(&[]).unwrap()));
/// engine.start(Instant::ZERO, Job::new("containers").with_env("all", "1"), 0);
/// assert_eq!(engine.poll_log(), Some(Log::Print("job containers\n  env all=\"1\"\n".into())));
/// ```
pub struct Debug {
    show_secrets: bool,
    /// Jobs whose bodies are still being read.
    pending: BTreeMap<JobId, Pending>,
}

/// A block that waits for its body.
struct Pending {
    block: Block,
    /// Bytes of the body so far.
    read: u64,
}

/// The longest body that is read whole.
const WHOLE: u64 = 1024 * 1024;

impl Debug {
    /// Its words, as a synopsis.
    pub const USAGE: &str = "[--show-secrets]";
    /// What it is for.
    pub const ABOUT: &str = "prints every job, then passes it on or answers with an empty success";

    /// Makes one from the words behind its name: none, or `--show-secrets` to print credentials, too.
    ///
    /// # Errors
    ///
    /// Names a word that is not understood.
    pub fn from_words(words: &[String]) -> Result<Self, String> {
        match words.iter().find(|word| *word != "--show-secrets") {
            Some(unknown) => {
                Err(format!("{unknown:?} is not understood: the only word is --show-secrets"))
            }
            None => Ok(Self { show_secrets: !words.is_empty(), pending: BTreeMap::new() }),
        }
    }

    fn start(&mut self, cx: &mut Cx<'_>, id: JobId, job: &Job) {
        let mut block = Block::of(job, self.show_secrets);
        let body = BodyHead::of(job);
        let last = !cx.has_next(id) && job.name() != Job::HTTP;
        let streams = streams(job);
        let pending = |block| Pending { block, read: 0 };
        match body {
            BodyHead::None => {}
            BodyHead::Known { bytes, json: true, .. } if bytes <= WHOLE => {
                self.pending.insert(id, pending(block));
                cx.read_to_end(id, bytes as usize);
                return;
            }
            // Without a length, what follows the head of a hijack ends with the connection.
            _ if last && !streams => {
                self.pending.insert(id, pending(block));
                cx.read(id);
                return;
            }
            _ => block.describe(&body),
        }
        Self::finish(cx, id, job.name(), streams, block);
    }

    /// Prints a block, and passes its job on or ends it.
    fn finish(cx: &mut Cx<'_>, id: JobId, name: &str, streams: bool, block: Block) {
        cx.print(block.text());
        if cx.has_next(id) || name == Job::HTTP {
            cx.pass(id);
            return;
        }
        if streams {
            cx.begin(id, Stdio::Raw);
        }
        cx.exit(id, Status::Ok);
    }

    fn body(&mut self, cx: &mut Cx<'_>, id: JobId, body: Option<&[u8]>) {
        let Some(mut pending) = self.pending.remove(&id) else { return };
        let Some(job) = cx.job(id) else { return };
        let (name, streams) = (String::from(job.name()), streams(job));
        match body {
            Some(bytes) => pending.block.json(bytes),
            None => pending.block.counted(pending.read),
        }
        Self::finish(cx, id, &name, streams, pending.block);
    }
}

impl Backend for Debug {
    fn handle(&mut self, cx: &mut Cx<'_>, id: JobId, event: Event<'_>) {
        match event {
            Event::Start(job) => self.start(cx, id, job),
            Event::Stdin(bytes) => {
                if let Some(pending) = self.pending.get_mut(&id) {
                    pending.read += bytes.len() as u64;
                    cx.read(id);
                }
            }
            Event::StdinEnd => self.body(cx, id, None),
            Event::Body(bytes) => self.body(cx, id, Some(bytes)),
            Event::Cancelled(why) => {
                if let Some(mut pending) = self.pending.remove(&id) {
                    pending.block.cut_short(pending.read, why);
                    cx.print(pending.block.text());
                }
            }
            _ => {}
        }
    }
}

/// Whether the job's client gets the connection for itself.
fn streams(job: &Job) -> bool {
    job.request()
        .and_then(Request::route)
        .is_some_and(|route| matches!(route.reply, Reply::Hijack | Reply::Upgrade))
}

#[cfg(test)]
mod tests;
