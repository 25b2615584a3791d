//! The door for curl and browsers: HTTP and JSON, streams of events (SSE), and a page, on the port of the [RPC](crate::rpc).
//!
//! | Path | Methods | What |
//! |---|---|---|
//! | `/` | GET | a page that shows all services, live |
//! | `/ping` | GET | 200 |
//! | `/services` | GET | the names of all services; or, if `Accept` has `text/event-stream`, what happens to all of them |
//! | `/services/NAME` | PUT | creates it: `{"leader_type":"oldest"}` or `"manual"`, or no body |
//! | | DELETE | removes it, with its instances |
//! | | GET | a stream of what happens to it, whether it is there yet or not |
//! | `/services/NAME/meta` | PUT | sets its metadata: `{"data":…,"index":0}` if there is none, else the index that it has |
//! | | GET | that, with its index |
//! | `/services/NAME/instances` | GET | its instances, the oldest first; or what happens to them, by `Accept` |
//! | `/services/NAME/instances/ID` | PUT | registers one: `{"id":…,"addr":…,"proto":"tcp","meta":{…}}`; the same again is its heartbeat |
//! | | DELETE | ends that |
//! | `/services/NAME/leader` | PUT | names the leader: `{"id":…}` |
//! | | GET | the instance that leads; or each that comes to lead, by `Accept` |
//!
//! HEAD works where GET does. An instance's id is [made](super::instance_id) of its protocol and address. Its protocol is kept as
//! its attribute `proto`, so `meta` has no such key. A service that is created here has a name of lowercase letters, digits and
//! hyphens; one that clients of the RPC have made may have others, which stand percent-encoded in paths, and is there as long as
//! it has instances. Bodies have at most 64 KiB. Those of a service, its metadata and its leader need
//! `Content-Type: application/json`; those of instances do not.
//!
//! The leader is the oldest instance, until one is named: it leads while it is there. If a service is created with `manual`, only
//! who was named can lead it.
//!
//! # Errors
//!
//! `{"code":"object_not_found","message":"discoverd: service \"web\" not found","retry":false}`: `validation_error` (400, and 403,
//! 405 and 413), `object_not_found` (404), `object_exists` (409), `precondition_failed` (412), `service_unavailable` (503, the only
//! one that is worth trying again as it is).
//!
//! # Streams
//!
//! ```text
//! id: 17f2a-42
//! data: {"service":"web","kind":"up","instance":{"id":"…","addr":"10.0.0.1:80","proto":"tcp","meta":{"zone":"a"},"index":7}}
//! ```
//!
//! First come the instances that are there (`up`), the oldest first; `leader`; `service_meta`; `current`. Then every change, and
//! `update` for an instance whose metadata changed, `down` for one that is gone. A `leader` without an instance says that nobody
//! leads, where the `down` of the one that led does not say it. A slow reader is told the latest state of each
//! instead of all that were in between. The stream of all services tells of one after the other before `current`, and has
//! `service_created` and `service_deleted` besides.
//!
//! A client that comes back with `Last-Event-ID`, as browsers do, is told only what has changed since, and a `current` that has
//! `"resumed":true`; some of what is `down` then it may not have known. If that is too long ago, or from before a restart of the
//! server, it is told everything, and the `current` has no such mark: what was not told is gone.
//!
//! A comment comes every 15 s while nothing happens. If the store cannot say any more what is true, the stream ends with
//! `event: error` and an error as above; come back then. A stream that begins before it can say so waits, with comments, and is
//! not refused: a browser's `EventSource` would not try again. That a service is deleted does not end its streams.
//!
//! # Browsers
//!
//! A page of somebody else's must not change what is registered here, and not read it either. So what would change something is
//! refused (403) if `Origin` is not this server; and so is everything that comes from a browser, and every change, if `Host` is a
//! name other than `localhost` and the one that stands in `EXTERNAL_IP`: such a name can be made to lead here by whoever owns it.
//! Use the server's IP address.

mod act;
mod answer;
mod error;
mod guard;
mod listing;
mod page;
mod request;
mod route;
mod server;
mod stream;

pub use server::{Env, Next, Server};
