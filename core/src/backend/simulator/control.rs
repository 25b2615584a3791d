//! `/_simulator/…`: how a test sees what was asked, and lets things go wrong.
//!
//! It is there with the backend's word `--control` or [`Simulator::with_control`]; without, these paths are unknown as any other
//! (404). Bodies and answers are JSON; what is wrong is answered as the engine does, with a message.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /_simulator/requests` | what was asked, the oldest first: `{"total": 3, "dropped": 0, "requests": [{"number", "time", "method", "target", "job", "args", "body", "status"}]}`; with `?job=create` only these. The last 1000 are kept, and JSON bodies up to 16 KiB; a status is null until it is settled |
//! | `DELETE /_simulator/requests` | forgets them |
//! | `POST /_simulator/faults` | lets a [`Fault`] stand: `{"id": 1}`; at most 1000 do |
//! | `GET /_simulator/faults` | those that stand, with their `id`, the `calls` they were about and the `hits` |
//! | `DELETE /_simulator/faults`, `…/faults/{id}` | takes all or one away |
//! | `GET /_simulator/clock` | `{"now": "2026-11-22T09:30:00Z"}` |
//! | `POST /_simulator/clock` | one of `{"advance": ms}`: all clocks go on at once, and what was due by then happens; `{"jump": ms}`: the time of day jumps, also back; `{"set": "2030-01-01T00:00:00Z"}`: it is set |
//! | `POST /_simulator/reset` | back to the beginning: the world, clocks, faults, requests; what is under way ends |
//!
//! Faults do not concern these requests, but for an engine that is down. In memory the same requests are made of a node, or
//! faults given from the beginning ([`Simulator::with_fault`]).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Simulator;
use super::clock::{Rfc3339, parse_rfc3339};
use super::failures::{invalid, not_found, system};
use super::faults::{Fault, Faults, MOST};
use crate::docker::routes;
use crate::id::JobId;
use crate::job::{Body, Cx, Failure, FailureKind, Job, Status};
use crate::time::Instant;

/// What a test has said, and what it may ask.
#[derive(Default)]
pub(super) struct Control {
    /// Whether clients reach it.
    pub(super) open: bool,
    pub(super) faults: Faults,
    requests: Requests,
    /// Calls that wait for their latency to pass, and how they fail then if they do.
    held: BTreeMap<JobId, Option<Failure>>,
    clock: Clock,
}

/// How far the simulated clocks are from the node's.
#[derive(Default)]
struct Clock {
    /// All of them are ahead by this.
    ahead: Duration,
    /// The time of day is off by this besides, in nanoseconds.
    off: i128,
}

impl Clock {
    fn moment(&self, instant: Instant) -> Instant {
        Instant::new(instant.since_epoch().saturating_add(self.ahead))
    }

    /// When the node's clock reaches what is `moment` for the simulated one.
    fn due(&self, moment: Instant) -> Instant {
        Instant::new(moment.since_epoch().saturating_sub(self.ahead))
    }

    fn day_time(&self, unix: Duration) -> Duration {
        let unix = unix.saturating_add(self.ahead);
        let nanos = i128::try_from(unix.as_nanos()).unwrap_or(i128::MAX).saturating_add(self.off);
        // The last moment that has a year with four digits.
        let nanos = nanos.clamp(0, 253_402_300_799_999_999_999);
        let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(0);
        Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).unwrap_or(0))
    }
}

/// The last requests, so many at most.
#[derive(Default)]
struct Requests {
    kept: VecDeque<Request>,
    total: u64,
    /// Those whose status is not settled.
    open: BTreeMap<JobId, (u64, Job)>,
}

/// Requests that are kept.
const KEPT: usize = 1000;
/// Bytes of a body that is kept.
const BODY: usize = 16 * 1024;

#[derive(Serialize)]
struct Request {
    /// How many were before it.
    number: u64,
    time: String,
    method: String,
    target: String,
    job: String,
    args: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    /// Null for as long as it is not answered.
    status: Option<u16>,
}

impl Requests {
    fn note(&mut self, id: JobId, job: &Job, now: Duration) {
        let head = job.request().map(crate::job::Request::head);
        let kept = Request {
            number: self.total,
            time: Rfc3339(now).to_string(),
            method: head.map_or("", |head| head.method()).into(),
            target: head.map_or("", |head| head.target()).into(),
            job: job.name().into(),
            args: job.args().map(alloc::borrow::Cow::into_owned).collect(),
            body: None,
            status: None,
        };
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(kept);
        self.open.insert(id, (self.total, job.clone()));
        self.total += 1;
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Request> {
        let first = self.total - self.kept.len() as u64;
        let place = usize::try_from(number.checked_sub(first)?).ok()?;
        self.kept.get_mut(place)
    }

    fn body(&mut self, id: JobId, bytes: &[u8]) {
        let document = (bytes.len() <= BODY).then(|| serde_json::from_slice(bytes).ok()).flatten();
        if let Some(number) = self.open.get(&id).map(|(number, _)| *number)
            && let Some(request) = self.get_mut(number)
        {
            request.body = document;
        }
    }

    /// Notes which of those that were open have an answer now.
    fn settle(&mut self, cx: &Cx<'_>) {
        let mut settled = Vec::new();
        for (id, (number, job)) in &self.open {
            let status = cx.http_status(*id, job);
            if status.is_some() || !cx.knows(*id) {
                settled.push((*id, *number, status));
            }
        }
        for (id, number, status) in settled {
            self.open.remove(&id);
            if let Some(request) = self.get_mut(number) {
                request.status = status;
            }
        }
    }
}

/// What `POST /_simulator/clock` asks for; exactly one of them.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Jump {
    /// Milliseconds by which all clocks go on at once: what was due by then happens.
    advance: Option<u64>,
    /// Milliseconds by which the time of day jumps, also back; nothing is due earlier or later by it.
    jump: Option<i64>,
    /// The time of day, in RFC 3339.
    set: Option<String>,
}

/// The token of a timer that ends a latency.
pub(super) const LATENCY: u64 = 1 << 32;
/// Where it is.
const PREFIX: &str = "/_simulator/";
const PLACES: &str = "faults, faults/{id}, requests, clock and reset";

impl Simulator {
    /// Lets clients reach `/_simulator/…`, as the word `--control` does.
    #[must_use]
    pub fn with_control(mut self) -> Self {
        self.control.open = true;
        self
    }

    /// Lets something go wrong from the beginning.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the fault, or that there are too many (1000).
    pub fn with_fault(mut self, fault: Fault) -> Result<Self, String> {
        fault.check()?;
        match self.control.faults.add(fault) {
            Some(_) => Ok(self),
            None => Err(too_many()),
        }
    }

    /// What the simulated clocks show now.
    pub(super) fn clocks(&self, cx: &Cx<'_>) -> (Duration, Instant) {
        let clock = &self.control.clock;
        (clock.day_time(cx.unix_time()), clock.moment(cx.now()))
    }

    /// When the node's clock is where the simulated one will be then.
    pub(super) fn node_time(&self, moment: Instant) -> Instant {
        self.control.clock.due(moment)
    }

    /// Notes a call and lets what is to go wrong with it do so. Whether it is over with that, or has to wait.
    pub(super) fn meet(&mut self, cx: &mut Cx<'_>, id: JobId, job: &Job) -> bool {
        if self.is_control(job) {
            return false;
        }
        if self.control.open {
            let now = self.clocks(cx).0;
            self.control.requests.note(id, job, now);
        }
        let fate = self.control.faults.meet(job);
        if let Some(lasting) = fate.down {
            cx.go_down(cx.now() + lasting);
            return true;
        }
        if let Some(bytes) = fate.break_after {
            cx.cut_after(id, bytes);
        }
        let failure = fate.failure.or_else(|| self.without_disk(job));
        if let Some(latency) = fate.latency {
            cx.timer(id, cx.now() + latency, LATENCY);
            self.control.held.insert(id, failure);
            return true;
        }
        let Some(failure) = failure else { return false };
        cx.exit(id, failure);
        true
    }

    /// A latency has passed: the call is looked at now.
    pub(super) fn resume(&mut self, cx: &mut Cx<'_>, id: JobId) -> Result<(), Failure> {
        match (self.control.held.remove(&id), cx.job(id).cloned()) {
            (Some(None), Some(job)) => self.begin(cx, id, &job),
            (Some(Some(failure)), _) => Err(failure),
            _ => Ok(()),
        }
    }

    /// A call that waited is not wanted any more.
    pub(super) fn let_go(&mut self, id: JobId) {
        self.control.held.remove(&id);
    }

    pub(super) fn note_body(&mut self, id: JobId, bytes: &[u8]) {
        self.control.requests.body(id, bytes);
    }

    pub(super) fn note_answers(&mut self, cx: &Cx<'_>) {
        self.control.requests.settle(cx);
    }

    /// The failure of what needs room on a disk that has none.
    fn without_disk(&self, job: &Job) -> Option<Failure> {
        let needs = matches!(
            job.name(),
            "create" | "commit" | "load" | "pull" | "build" | "volume_create" | "network_create"
        );
        if !needs || !self.control.faults.is_disk_full() {
            return None;
        }
        Some(system(match job.name() {
            "pull" | "load" => "write /var/lib/docker/tmp/GetImageBlob: no space left on device",
            "volume_create" => "mkdir /var/lib/docker/volumes: no space left on device",
            "network_create" => {
                "open /var/lib/docker/network/files/local-kv.db: no space left on device"
            }
            _ => "mkdir /var/lib/docker/overlay2: no space left on device",
        }))
    }

    /// Lets faults that stand, and those that happen at once, have their effect.
    pub(super) fn apply_faults(&mut self, cx: &mut Cx<'_>) {
        let full = self.control.faults.is_disk_full();
        if let Some(world) = &mut self.world {
            world.store.set_full(full);
        }
        if let Some(lasting) = self.control.faults.take_at_once() {
            cx.go_down(cx.now() + lasting);
        }
    }

    fn is_control(&self, job: &Job) -> bool {
        self.control.open
            && job.name() == Job::HTTP
            && job.arg(1).is_some_and(|target| target.starts_with(PREFIX))
    }

    /// Whether it is a request to the control that has a body.
    pub(super) fn is_control_with_body(&self, job: &Job) -> bool {
        self.is_control(job) && job.arg(0).as_deref() == Some("POST")
    }

    /// Answers a request to the control; `None` if it is none.
    pub(super) fn answer_control(
        &mut self,
        cx: &mut Cx<'_>,
        job: &Job,
        body: &[u8],
    ) -> Result<Option<Body>, Failure> {
        if !self.is_control(job) {
            return Ok(None);
        }
        let method = job.arg(0).unwrap_or_default();
        let target = job.arg(1).unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let place = path.strip_prefix(PREFIX).unwrap_or_default();
        let answer = match (&*method, place) {
            ("GET", "faults") => self.list_faults(),
            ("POST", "faults") => {
                let fault: Fault = read(body)?;
                fault.check().map_err(invalid)?;
                let Some(number) = self.control.faults.add(fault) else {
                    return Err(Failure::new(FailureKind::Conflict, too_many()));
                };
                self.apply_faults(cx);
                json!({"id": number})
            }
            ("DELETE", "faults") => {
                self.control.faults.clear();
                self.apply_faults(cx);
                json!({})
            }
            ("DELETE", fault) if fault.starts_with("faults/") => {
                let number = fault.trim_start_matches("faults/");
                if !number.parse().is_ok_and(|number| self.control.faults.remove(number)) {
                    return Err(not_found(format!("there is no fault {number:?}")));
                }
                self.apply_faults(cx);
                json!({})
            }
            ("GET", "requests") => self.list_requests(job),
            ("DELETE", "requests") => {
                self.control.requests.kept.clear();
                self.control.requests.total = 0;
                self.control.requests.open.clear();
                json!({})
            }
            ("GET", "clock") => self.tell_clock(cx),
            ("POST", "clock") => {
                self.jump(cx, read(body)?)?;
                self.tell_time(cx);
                self.tell_clock(cx)
            }
            ("POST", "reset") => {
                self.reset(cx);
                json!({})
            }
            (_, "faults" | "requests" | "clock" | "reset") => {
                return Err(invalid(format!("{method} is no method of {path}")));
            }
            _ => return Err(not_found(format!("there is no {path}: there are {PLACES}"))),
        };
        super::json(&answer).map(Some)
    }

    fn list_faults(&self) -> Value {
        let shown = self.control.faults.iter().map(|(number, standing)| {
            let mut shown = serde_json::to_value(&standing.fault).unwrap_or_default();
            shown["id"] = number.into();
            shown["calls"] = standing.calls.into();
            shown["hits"] = standing.hits.into();
            shown
        });
        shown.collect()
    }

    fn list_requests(&self, job: &Job) -> Value {
        let requests = &self.control.requests;
        let wanted = job.request().and_then(|asked| routes::query(asked.head().target()));
        let wanted = crate::docker::query::pairs(wanted.unwrap_or_default())
            .find(|(key, _)| key == "job")
            .map(|(_, job)| job.into_owned());
        let kept: Vec<&Request> = requests
            .kept
            .iter()
            .filter(|request| wanted.as_ref().is_none_or(|wanted| *wanted == request.job))
            .collect();
        let dropped = requests.total - requests.kept.len() as u64;
        json!({"total": requests.total, "dropped": dropped, "requests": kept})
    }

    fn tell_clock(&self, cx: &Cx<'_>) -> Value {
        json!({"now": Rfc3339(self.clocks(cx).0).to_string()})
    }

    fn jump(&mut self, cx: &Cx<'_>, jump: Jump) -> Result<(), Failure> {
        let clock = &mut self.control.clock;
        match jump {
            Jump { advance: Some(millis), jump: None, set: None } => {
                clock.ahead = clock.ahead.saturating_add(Duration::from_millis(millis));
            }
            Jump { advance: None, jump: Some(millis), set: None } => {
                clock.off = clock.off.saturating_add(i128::from(millis) * 1_000_000);
            }
            Jump { advance: None, jump: None, set: Some(text) } => {
                let wanted = parse_rfc3339(&text).ok_or_else(|| {
                    invalid(format!("{text:?} is no time: write it as 2026-11-22T09:30:00Z"))
                })?;
                let nanos = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
                let now = nanos(cx.unix_time().saturating_add(clock.ahead));
                clock.off = nanos(wanted).saturating_sub(now);
            }
            _ => return Err(invalid("say one of advance, jump and set")),
        }
        Ok(())
    }

    /// Back to the beginning: the world, the clock, faults and requests. Whatever is under way ends.
    fn reset(&mut self, cx: &mut Cx<'_>) {
        let held = core::mem::take(&mut self.control.held).into_keys();
        for id in core::mem::take(&mut self.tasks).into_keys().chain(held) {
            cx.exit(id, Status::Ok);
        }
        self.watchers.clear();
        self.listeners.clear();
        if let Some((_, timer)) = self.wake.take() {
            cx.cancel_timer(timer);
        }
        self.lists = super::list::Cache::default();
        self.world = None;
        self.control = Control { open: self.control.open, ..Control::default() };
        for fault in self.state.faults() {
            let _ = self.control.faults.add(fault.clone());
        }
        self.tell_time(cx);
        self.apply_faults(cx);
    }
}

fn too_many() -> String {
    format!("{MOST} faults stand already: remove some")
}

/// A body of which nothing is required but that it is JSON.
fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| invalid(format!("the body is wrong: {error}")))
}
