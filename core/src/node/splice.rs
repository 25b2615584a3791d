//! What passes between a client and a server without passing the node: hijacked streams, and long bodies of known length.
//!
//! The two HTTP machines stand where the bytes are nobody's but the peers', both say so, and nothing waits before them. Then
//! the runtime moves bytes by itself; afterwards both machines take note of how many there were.

use super::Env;
use super::action::Action;
use super::conn::{Conn, Ending};
use super::link::Link;
use crate::http1::Run;

/// Shorter rests of bodies go through the node, which costs no more then.
const LONG: u64 = 64 * 1024;

/// How many bytes pass at most; all until the end without.
type Limit = Option<u64>;

/// How many bytes pass from where `incoming` comes next to where `outgoing` may be sent next.
fn limit(incoming: Option<Run>, outgoing: Option<Run>) -> Option<Limit> {
    match (incoming?, outgoing?) {
        (Run::Bytes(comes), Run::Bytes(owed)) if comes == owed && comes >= LONG => {
            Some(Some(comes))
        }
        (Run::UntilEnd, Run::UntilEnd) => Some(None),
        _ => None,
    }
}

impl Conn {
    /// Whether the next read from the server is to be a splice.
    pub(super) fn splices_down(&self) -> Option<Limit> {
        let link = self.link.as_deref()?;
        let reads = link.may_read() && link.unread.is_empty();
        if !reads || link.cannot_splice || self.shutdown_due || self.ending != Ending::No {
            return None;
        }
        limit(link.http.incoming(), self.http.outgoing())
    }

    /// Whether the next read from the client is to be a splice.
    pub(super) fn splices_up(&self) -> Option<Limit> {
        let link = self.link.as_deref()?;
        let reads = self.may_read() && self.has_read_all();
        // Until there is somebody to pass it to, a read tells of a client that goes.
        let possible = link.connected && link.takes_more() && !link.cannot_splice;
        if !reads || !possible || self.ending != Ending::No {
            return None;
        }
        limit(self.http.incoming(), link.http.outgoing())
    }

    pub(super) fn splice_down(&mut self, limit: Limit) -> Option<Action> {
        let link = self.link.as_deref_mut()?;
        link.set_reading();
        let from = link.id;
        // Nothing goes through it for as long as that lasts.
        self.output.shrink();
        self.set_spliced_to(true);
        Some(Action::Splice { from, to: self.id, limit })
    }

    pub(super) fn splice_up(&mut self, limit: Limit) -> Option<Action> {
        let link = self.link.as_deref_mut()?;
        link.spliced_to = true;
        link.output.shrink();
        let to = link.id;
        self.set_reading();
        Some(Action::Splice { from: self.id, to, limit })
    }

    /// Bytes have passed from the server to this client.
    pub(super) fn spliced_down(&mut self, env: &mut Env<'_>, bytes: u64, eof: bool) {
        if self.set_spliced_to(false)
            && let Some(link) = &mut self.link
        {
            link.read_elsewhere(bytes, eof);
            self.http.note_sent(bytes);
        }
        self.progress(env);
    }

    /// Bytes have passed from this client to the server, or were to pass to one that is gone now.
    pub(super) fn spliced_up(&mut self, env: &mut Env<'_>, bytes: u64, eof: bool) {
        self.http.note_received(bytes);
        let declined = bytes == 0 && !eof;
        if let Some(link) = &mut self.link
            && core::mem::take(&mut link.spliced_to)
        {
            link.http.note_sent(bytes);
            link.cannot_splice |= declined;
        } else {
            self.discarded(bytes);
        }
        self.read_elsewhere(env, eof);
    }
}

impl Link {
    fn read_elsewhere(&mut self, bytes: u64, eof: bool) {
        if bytes == 0 && !eof {
            self.cannot_splice = true;
            self.not_reading();
            return;
        }
        self.received();
        self.http.note_received(bytes);
        if eof {
            self.ended();
        }
    }
}
