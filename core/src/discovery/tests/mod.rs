//! The agent, on a store in memory.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::time::Duration;

use super::{Agent, AgentEvent, Event, Memory, StoreInput, TTL, store};
use crate::id::{CallId, Key};
use crate::rpc::{Args, Attributes, Method};
use crate::time::Instant;

const CALL: CallId = CallId(Key::new(3, 4));

fn agent(external: Option<&str>) -> Agent {
    Agent::new(Box::new(Memory::new(TTL)), external.map(String::from))
}

fn args(name: &str, address: &str) -> Args {
    Args { name: name.into(), address: address.into(), attributes: None }
}

fn ask(agent: &mut Agent, method: Method, args: Args) -> Result<Option<String>, String> {
    agent.call(Instant::ZERO, (7, CALL), method, args)?;
    loop {
        match agent.poll().expect("an answer") {
            AgentEvent::Answer { owner: 7, call: CALL, result } => return result,
            AgentEvent::Ready { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn memory_passes_the_suite() {
    store::suite(TTL, &mut || Box::new(Memory::new(TTL)), &mut |_| Ok(()));
}

#[test]
fn register_gives_the_whole_address() {
    for (external, given, whole) in [
        (None, "10.0.0.1:80", "10.0.0.1:80"),
        (Some("127.0.0.1"), ":80", "127.0.0.1:80"),
        (Some("127.0.0.1"), "10.0.0.1:80", "10.0.0.1:80"),
        (Some("::1"), ":80", "[::1]:80"),
        (Some("[::1]"), ":80", "[::1]:80"),
        (Some("host"), ":80", "host:80"),
    ] {
        let answer = ask(&mut agent(external), Method::Register, args("web", given));
        assert_eq!(answer, Ok(Some(whole.into())));
    }
}

#[test]
fn the_external_name_is_bare() {
    for (external, name) in [
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("10.0.0.1", "10.0.0.1"),
        ("disco.example", "disco.example"),
        ("disco.example.", "disco.example"),
    ] {
        assert_eq!(agent(Some(external)).external_name(), Some(name), "{external}");
    }
    assert_eq!(agent(Some("")).external_name(), None);
}

#[test]
fn unregister_ends_it() {
    let mut agent = agent(Some("h"));
    let unknown = "100: Key not found (/discover/services/web/h:80) [0]";
    assert_eq!(ask(&mut agent, Method::Unregister, args("web", ":80")), Err(unknown.into()));
    ask(&mut agent, Method::Register, args("web", ":80")).unwrap();
    assert_eq!(ask(&mut agent, Method::Unregister, args("web", "h:80")), Ok(None));
}

/// An empty address ended the original's process.
#[test]
fn bad_arguments_are_refused_in_words() {
    let no_address = "discoverd: Addr must be set";
    for method in [Method::Register, Method::Unregister] {
        for (external, name, address, error) in [
            (None, "web", "", no_address),
            (Some("h"), "web", "", no_address),
            (
                Some(""),
                "web",
                ":80",
                "discoverd: Addr must have address or EXTERNAL_IP must be set",
            ),
            (None, "web", ":80", "discoverd: Addr must have address or EXTERNAL_IP must be set"),
            (None, "", "a:80", "discoverd: Name must be set"),
            (
                None,
                "a/b",
                "a:80",
                "discoverd: Name \"a/b\" holds a control character or a '/': leave these out",
            ),
            (
                None,
                "web",
                "a\0",
                "discoverd: Addr \"a\\0\" holds a control character or a '/': leave these out",
            ),
        ] {
            let answer = ask(&mut agent(external), method, args(name, address));
            assert_eq!(answer, Err(error.into()));
        }
    }
    let mut agent = agent(None);
    let attributes = Attributes::from([("k".into(), "v".repeat(20_000))]);
    let long = Args { attributes: Some(attributes), ..args("web", "a") };
    let error = "discoverd: Attrs have 20001 bytes: use at most 16384";
    assert_eq!(ask(&mut agent, Method::Register, long), Err(error.into()));
    assert!(agent.call(Instant::ZERO, (7, CALL), Method::Subscribe, args("", "")).is_err());
}

#[test]
fn a_subscription_is_read_by_its_owner() {
    let mut agent = agent(None);
    let begun = agent.call(Instant::ZERO, (7, CALL), Method::Subscribe, args("web", ""));
    let id = begun.unwrap().unwrap();
    let ready = AgentEvent::Ready { owner: 7, call: CALL, subscription: id };
    assert_eq!(agent.poll(), Some(ready.clone()));
    assert_eq!((agent.next(id), agent.next(id)), (Some(Event::Current), None));
    ask(&mut agent, Method::Register, args("web", "a")).unwrap();
    assert!(matches!(agent.next(id), Some(Event::Online(it)) if it.address.to_string() == "a"));
    assert_eq!(agent.next(id), None);
    assert_eq!(agent.poll_timeout(), Some(Instant::new(TTL)));
    agent.handle(Instant::new(TTL + Duration::from_nanos(1)), StoreInput::Timeout);
    assert_eq!(agent.poll(), Some(ready));
    agent.close(id);
    assert_eq!((agent.next(id), agent.poll()), (None, None));
}
