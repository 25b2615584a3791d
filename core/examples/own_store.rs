//! A store of discovery of one's own: it takes only services that it was told of, and keeps them in memory.
//!
//! `cargo run --example own_store -- web db` registers an instance of each, and one of a service that is not allowed.

use std::collections::{BTreeSet, VecDeque};

use libswarm::discovery::{
    Agent, AgentEvent, Document, Event, Expect, Interest, Memory, Registration, Registry, Store,
    StoreError, StoreEvent, StoreInput, SubscriptionId, TTL,
};
use libswarm::rpc::{Method, Server, ServerEvent};
use libswarm::{Instant, rpc};

/// Passes on to a store in memory what is allowed.
struct Allowed {
    names: BTreeSet<String>,
    inner: Memory,
    refused: VecDeque<StoreEvent>,
}

impl Store for Allowed {
    fn register(&mut self, now: Instant, request: u64, registration: Registration) {
        if self.names.contains(&registration.service) {
            return self.inner.register(now, request, registration);
        }
        let reason = format!("service {:?} is not allowed here", registration.service);
        let error = StoreError::Unavailable(reason);
        self.refused.push_back(StoreEvent::Done(request, Err(error)));
    }

    fn unregister(&mut self, now: Instant, request: u64, service: &str, address: &str) {
        self.inner.unregister(now, request, service, address);
    }

    fn keep(
        &mut self,
        now: Instant,
        request: u64,
        service: &str,
        which: Document,
        text: Option<String>,
        expect: Expect,
    ) {
        self.inner.keep(now, request, service, which, text, expect);
    }

    fn registry(&self) -> Result<&Registry, StoreError> {
        self.inner.registry()
    }

    fn subscribe(&mut self, now: Instant, interest: Interest<'_>) -> SubscriptionId {
        self.inner.subscribe(now, interest)
    }

    fn unsubscribe(&mut self, subscription: SubscriptionId) {
        self.inner.unsubscribe(subscription);
    }

    fn next(&mut self, subscription: SubscriptionId) -> Option<Event> {
        self.inner.next(subscription)
    }

    fn handle(&mut self, now: Instant, input: StoreInput<'_>) {
        self.inner.handle(now, input);
    }

    fn poll(&mut self) -> Option<StoreEvent> {
        self.refused.pop_front().or_else(|| self.inner.poll())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.inner.poll_timeout()
    }
}

/// A connection's bytes, as a client of the RPC sends them; what the server answers is printed.
fn converse(agent: &mut Agent, input: &str) {
    let (mut server, mut out) = (Server::new(rpc::Limits::default()), Vec::new());
    let mut input = input.as_bytes();
    while let Ok((taken, Some(ServerEvent::Call { call, method, args }))) =
        server.receive(input, &mut out)
    {
        input = &input[taken..];
        if let Err(error) = agent.call(Instant::ZERO, (0, call), method, args) {
            server.fail(call, &error, &mut out);
        }
        while let Some(event) = agent.poll() {
            if let AgentEvent::Answer { call, result, .. } = event {
                match result {
                    Ok(Some(address)) => server.reply(call, rpc::Reply::Text(&address), &mut out),
                    Ok(None) => server.reply(call, rpc::Reply::Empty, &mut out),
                    Err(error) => server.fail(call, &error, &mut out),
                }
            }
        }
    }
    print!("{}", String::from_utf8_lossy(&out));
}

fn main() {
    let names: BTreeSet<String> = std::env::args().skip(1).collect();
    let asked = names.iter().cloned().chain(["something-else".to_owned()]);
    let requests: String = asked
        .map(|name| {
            let method = Method::Register.name();
            format!(r#"{{"method":"{method}","params":[{{"Name":"{name}","Addr":"a:80"}}],"id":"{name}"}}"#)
        })
        .collect();
    let store = Allowed { names, inner: Memory::new(TTL), refused: VecDeque::new() };
    let accept = rpc::Codec::Json.media_type();
    let head = format!("CONNECT {} HTTP/1.0\r\nAccept: {accept}\r\n\r\n", rpc::PATH);
    converse(&mut Agent::new(Box::new(store), None), &(head + &requests));
}

#[cfg(test)]
mod tests {
    use super::*;
    use libswarm::discovery::store;

    /// It passes what every store has to pass, for the services that it takes.
    #[test]
    fn is_a_store() {
        let open: &mut dyn FnMut() -> Box<dyn Store> = &mut || {
            let names = ["web", "web2", "db"].map(String::from).into();
            Box::new(Allowed { names, inner: Memory::new(TTL), refused: VecDeque::new() })
        };
        store::suite(TTL, open, &mut |_| Ok(()));
    }
}
