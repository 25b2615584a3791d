//! Clients of discovery: between their connections and the agent that answers them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::action::{Input, Refusal};
use super::caller::{Caller, CallerEnv};
use super::{Node, Slot, owned_by};
use crate::discovery::store::Persist;
use crate::discovery::{Agent, AgentEvent, StoreInput};
use crate::id::ConnId;
use crate::time::Instant;

impl Node {
    /// Has `agent` answer clients of discovery.
    pub fn set_agent(&mut self, agent: Agent) {
        self.agent = Some(agent);
        self.pump();
    }

    /// What answers clients of discovery, to look at it.
    #[must_use]
    pub const fn agent(&self) -> Option<&Agent> {
        self.agent.as_ref()
    }

    /// As [`accept`](Node::accept), where it is known that the client is one of discovery: it speaks the [RPC](crate::rpc), or
    /// [HTTP](crate::discovery::http).
    ///
    /// # Errors
    ///
    /// The runtime is to close it at once; also if there is no [agent](Node::set_agent).
    pub fn accept_discovery(&mut self, now: Instant) -> Result<ConnId, Refusal> {
        self.admit(now)?;
        if self.agent.is_none() {
            return Err(Refusal::NoAgent);
        }
        let limits = self.config.rpc.clone();
        Ok(self.insert(|id| Slot::Caller(Box::new(Caller::new(id, limits)))))
    }

    /// What is to be done with the file of the discovery store, if anything: then report [`Input::Persisted`] or
    /// [`Input::PersistFailed`]. There is only one such thing at a time.
    ///
    /// It takes the time of a disk, so it is not for the thread that drives the node. Ask for it when [`poll`](Node::poll) has
    /// no more to say and all that has come is handled: what comes together is written together.
    pub fn poll_persist(&mut self) -> Option<Persist> {
        self.agent.as_mut()?.poll_persist()
    }

    pub(super) fn tell_agent(&mut self, input: StoreInput<'_>) {
        if let Some(agent) = &mut self.agent {
            agent.handle(self.now, input);
        }
    }

    pub(super) fn handle_caller(&mut self, id: ConnId, input: Input<'_>) {
        self.with_caller(id, |caller, env| match input {
            Input::Received(_, bytes) => caller.received(bytes),
            Input::PeerShutdown(_) => caller.peer_shutdown(),
            Input::Done(_) => caller.done(env),
            Input::Broken(_) | Input::WriteFailed(_) | Input::Failed(..) => caller.broken(env),
            _ => {}
        });
        self.calling.push_back(id);
    }

    pub(super) fn with_caller(
        &mut self,
        id: ConnId,
        act: impl FnOnce(&mut Caller, &mut CallerEnv<'_>),
    ) {
        let Some(Slot::Caller(caller)) = self.conns.get_mut(id.0) else { return };
        let Some(agent) = &mut self.agent else { return };
        let mut env = CallerEnv {
            now: self.now,
            stopping: self.stopping.is_some(),
            head_timeout: self.config.head_timeout,
            epoch: self.config.epoch,
            agent,
            timers: &mut self.timers,
        };
        act(caller, &mut env);
        self.enqueue(id);
    }

    pub(super) fn each_caller(&mut self, mut act: impl FnMut(&mut Caller, &mut CallerEnv<'_>)) {
        let all: Vec<ConnId> = self.conns.iter().map(|(key, _)| ConnId(key)).collect();
        for id in all {
            self.with_caller(id, &mut act);
        }
    }

    /// Passes on what the agent has to say, and reads calls one by one: what comes of a call is told before the next one is
    /// read, so that only who has no room misses a state in between.
    pub(super) fn pump_callers(&mut self) {
        loop {
            while let Some(event) = self.agent.as_mut().and_then(Agent::poll) {
                self.agent_event(event);
            }
            let Some(id) = self.calling.pop_front() else { return };
            let mut more = false;
            self.with_caller(id, |caller, env| more = caller.advance(env));
            if more {
                self.calling.push_back(id);
            }
        }
    }

    fn agent_event(&mut self, event: AgentEvent) {
        match event {
            AgentEvent::Answer { owner, call, result } => {
                let id = owned_by(owner);
                let mut more = false;
                self.with_caller(id, |caller, env| more = caller.answer(env, call, &result));
                if more {
                    self.calling.push_back(id);
                }
            }
            AgentEvent::Ready { owner, call, subscription } => {
                self.with_caller(owned_by(owner), |caller, env| {
                    caller.ready(env, call, subscription);
                });
            }
            AgentEvent::Ended { owner, call, subscription, error } => {
                let id = owned_by(owner);
                let mut more = false;
                self.with_caller(id, |caller, env| {
                    more = caller.ended(env, call, subscription, &error);
                });
                if more {
                    self.calling.push_back(id);
                }
            }
            AgentEvent::Done { owner, call, result } => {
                let id = owned_by(owner);
                let mut more = false;
                self.with_caller(id, |caller, env| more = caller.done_by_store(env, call, result));
                if more {
                    self.calling.push_back(id);
                }
            }
            AgentEvent::Warn(line) => self.logs.push_back(line),
            AgentEvent::Exchange(exchange) => self.fetch(exchange),
            AgentEvent::Abandon(id) => self.abandon_fetch(id),
            AgentEvent::Connect { id, upstream } => self.open_wire(id, &upstream),
            AgentEvent::Write(id, bytes) => self.write_wire(id, bytes),
            AgentEvent::Close(id) => self.close_wire(id),
        }
    }
}
