//! Every transition of an HTTP/1 connection, in one table.
//!
//! A connection is two halves: the one on which requests come and the one on which responses go. Each has its own end.
//! The table does not know which of them this program reads and which it writes: the server and the client use the same.

/// Where one half stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Half {
    /// Between messages: a head comes next.
    Idle,
    /// A head has passed; its body goes on.
    Body,
    /// The message is complete; the other half is not there yet.
    Done,
    /// No messages any more: bytes without framing, after a switch of protocols or a hijack.
    Raw,
    /// Nothing more comes on this half.
    Closed,
}

/// What happens on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// The head of a request.
    RequestHead,
    /// The end of a request's body, at once after the head where there is none.
    RequestEnd,
    /// The requester sends nothing more.
    RequestEof,
    /// What the requester sends is not read as a request any more: it was malformed.
    RequestRefused,
    /// The head of a final response (not 1xx).
    ResponseHead,
    /// A response that ends the use of HTTP: 101, or a hijack's bare 200.
    Switch,
    /// The end of a response's body, or of the raw stream.
    ResponseEnd,
    /// What the responder sends is not read as a response any more: it was malformed, or ended early.
    ResponseRefused,
    /// Both messages are over and the connection is used again.
    Next,
}

/// Both halves of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Halves {
    /// The half on which requests come.
    pub request: Half,
    /// The half on which responses go.
    pub response: Half,
}

impl Halves {
    /// A fresh connection.
    pub const FRESH: Self = Self { request: Half::Idle, response: Half::Idle };

    /// Where `step` leads; `None` if it cannot happen here.
    #[must_use]
    #[allow(clippy::match_same_arms, reason = "a table: a row for each transition")]
    pub const fn after(self, step: Step) -> Option<Self> {
        use Half::{Body, Closed, Done, Idle, Raw};
        let (request, response) = (self.request, self.response);
        let (request, response) = match (step, request, response) {
            (Step::RequestHead, Idle, Idle) => (Body, Idle),

            // A hijack's request may have a body; the raw bytes begin behind it.
            (Step::RequestEnd, Body, Raw) => (Raw, Raw),
            (Step::RequestEnd, Body, Closed) => (Closed, Closed),
            (Step::RequestEnd, Body, Idle | Body | Done) => (Done, response),

            // Malformed bytes are answered, silence is not.
            (Step::RequestRefused, Idle, _) => (Closed, response),
            (Step::RequestEof, Idle, _) => (Closed, Closed),
            (Step::RequestEof | Step::RequestRefused, Body, _) => (Closed, response),
            // A request that is complete is answered in full, whatever its client's half does then.
            (Step::RequestEof, Done | Raw, _) => (Closed, response),

            (Step::ResponseHead, Body | Done | Closed, Idle) => (request, Body),
            (Step::Switch, Done, Idle) => (Raw, Raw),
            (Step::Switch, Body | Closed, Idle) => (request, Raw),

            (Step::ResponseEnd, _, Body) => (request, Done),
            (Step::ResponseEnd, _, Raw) => (request, Closed),
            (Step::ResponseRefused, _, Idle | Body | Raw) => (request, Closed),

            (Step::Next, Done, Done) => (Idle, Idle),

            _ => return None,
        };
        Some(Self { request, response })
    }

    /// Takes a step.
    ///
    /// Returns whether it was possible; if not, nothing changes. For steps of the peer's an impossible one is an error of
    /// the peer's; for one's own it is a mistake in the calling code.
    pub const fn step(&mut self, step: Step) -> bool {
        match self.after(step) {
            Some(after) => {
                *self = after;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const STEPS: [Step; 9] = [
        Step::RequestHead,
        Step::RequestEnd,
        Step::RequestEof,
        Step::RequestRefused,
        Step::ResponseHead,
        Step::Switch,
        Step::ResponseEnd,
        Step::ResponseRefused,
        Step::Next,
    ];

    fn walk(steps: &[Step]) -> Halves {
        let mut halves = Halves::FRESH;
        for step in steps {
            assert!(halves.step(*step), "{step:?} in {halves:?}");
        }
        halves
    }

    #[test]
    fn an_exchange_returns_to_a_fresh_connection() {
        use Step::*;
        for order in [
            [RequestHead, RequestEnd, ResponseHead, ResponseEnd, Next],
            [RequestHead, ResponseHead, RequestEnd, ResponseEnd, Next],
            [RequestHead, ResponseHead, ResponseEnd, RequestEnd, Next],
        ] {
            assert_eq!(walk(&order), Halves::FRESH);
        }
    }

    #[test]
    fn a_half_close_leaves_the_response_open() {
        use Step::*;
        let halves = walk(&[RequestHead, RequestEnd, RequestEof]);
        assert_eq!(halves, Halves { request: Half::Closed, response: Half::Idle });
        let halves = walk(&[RequestHead, RequestEnd, RequestEof, ResponseHead, ResponseEnd]);
        assert_eq!(halves.after(RequestHead), None);
    }

    #[test]
    fn a_hijack_has_two_ends() {
        use Step::*;
        let open = walk(&[RequestHead, Switch, RequestEnd]);
        assert_eq!(open, Halves { request: Half::Raw, response: Half::Raw });
        let stdin_ended = open.after(RequestEof).unwrap();
        assert_eq!(stdin_ended.response, Half::Raw);
        let output_ended = open.after(ResponseEnd).unwrap();
        assert_eq!(output_ended.request, Half::Raw);
        assert_eq!(stdin_ended.after(ResponseEnd), output_ended.after(RequestEof));
    }

    #[test]
    fn every_state_that_can_be_reached_can_come_to_an_end() {
        let mut seen = Vec::new();
        let mut reached = alloc::vec![Halves::FRESH];
        while let Some(halves) = reached.pop() {
            if !seen.contains(&halves) {
                seen.push(halves);
                reached.extend(STEPS.iter().filter_map(|step| halves.after(*step)));
            }
        }
        assert!(seen.len() > 12, "{}", seen.len());
        // Nothing restarts a half that has closed, and no response begins without a request.
        for halves in &seen {
            for after in STEPS.iter().filter_map(|step| halves.after(*step)) {
                assert!(halves.request != Half::Closed || after.request == Half::Closed);
                assert!(halves.response != Half::Closed || after.response == Half::Closed);
            }
            let mut halves = *halves;
            for step in [Step::RequestEof, Step::RequestRefused, Step::ResponseRefused] {
                halves.step(step);
            }
            assert!(matches!(halves.response, Half::Closed | Half::Done), "{halves:?}");
            assert!(matches!(halves.request, Half::Closed | Half::Done), "{halves:?}");
        }
        assert_eq!(Halves::FRESH.after(Step::ResponseHead), None);
        assert_eq!(walk(&[Step::RequestEof]).after(Step::ResponseHead), None);
    }
}
