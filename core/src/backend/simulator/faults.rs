//! Faults on purpose: what is to go wrong, and when.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::docker::routes;
use crate::job::{Failure, FailureKind, Job};

/// Something that goes wrong on purpose.
///
/// As JSON, in a [state file](super::state) or a body of [`POST /_simulator/faults`](super::control), every key is optional:
///
/// | key | what it does |
/// |---|---|
/// | `job` | only calls of this job count (`create`, `logs`… as `swarmd --routes` names them); without it all do |
/// | `argument` | only calls whose first argument is this one, such as a container's name |
/// | `nth` | it acts from the nth such call on (1: the next) |
/// | `times` | on so many calls; without it once if `nth` is given, and otherwise for as long as it stands |
/// | `latency` | the call is looked at so many milliseconds later |
/// | `error` | the call fails: `{"status": 500, "message": "…"}` |
/// | `break_after` | the client's connection breaks after so many bytes of the answer's body; 0: before its head |
/// | `down` | the engine dies: all connections are cut, and none is taken for so many milliseconds; with none of the four keys above it does so at once |
/// | `full_disk` | as long as it stands nothing can be written: `ENOSPC` for processes, 500 for clients |
/// | `pull_pause` | as long as it stands a pull pauses so many milliseconds before each line of its progress |
///
/// ```
/// use libswarm::backend::simulator::Fault;
///
/// let third = Fault::on("create").nth(3).error(500, "no space left on device");
/// let json = r#"{"job": "create", "nth": 3, "error": {"status": 500, "message": "no space left on device"}}"#;
/// assert_eq!(serde_json::from_str::<Fault>(json).unwrap(), third);
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    argument: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nth: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Refusal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    break_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    down: Option<u64>,
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    full_disk: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_pause: Option<u64>,
}

/// The failure of a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Refusal {
    status: u16,
    message: String,
}

impl Default for Refusal {
    fn default() -> Self {
        Self { status: 500, message: "a simulated fault".to_owned() }
    }
}

impl Fault {
    /// A fault of the calls of one job. Say what goes wrong with it.
    #[must_use]
    pub fn on(job: &str) -> Self {
        Self { job: Some(job.to_owned()), ..Self::default() }
    }

    /// A fault of all calls, or of the engine itself. Say what goes wrong with it.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Only calls about this thing count: whose first argument is this one.
    #[must_use]
    pub fn argument(self, argument: &str) -> Self {
        Self { argument: Some(argument.to_owned()), ..self }
    }

    /// It acts from the nth such call on, and once unless [`times`](Fault::times) says otherwise.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        Self { nth: Some(nth), ..self }
    }

    /// It acts on so many calls.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    /// The call is looked at later, by so much (in whole milliseconds).
    #[must_use]
    pub fn latency(self, latency: Duration) -> Self {
        Self { latency: Some(millis(latency)), ..self }
    }

    /// The call fails, with one of the statuses that the engine has: 400, 401, 403, 404, 409, 413, 500, 501, 503.
    #[must_use]
    pub fn error(self, status: u16, message: &str) -> Self {
        Self { error: Some(Refusal { status, message: message.to_owned() }), ..self }
    }

    /// The client's connection breaks after so many bytes of the answer's body; with 0 before its head.
    #[must_use]
    pub fn break_after(self, bytes: u64) -> Self {
        Self { break_after: Some(bytes), ..self }
    }

    /// The engine dies: all connections are cut, and none is taken for so long (in whole milliseconds).
    #[must_use]
    pub fn down(self, lasting: Duration) -> Self {
        Self { down: Some(millis(lasting)), ..self }
    }

    /// Nothing more can be written to the disk.
    #[must_use]
    pub fn full_disk(self) -> Self {
        Self { full_disk: true, ..self }
    }

    /// A pull pauses so long (in whole milliseconds) before each line of its progress.
    #[must_use]
    pub fn pull_pause(self, pause: Duration) -> Self {
        Self { pull_pause: Some(millis(pause)), ..self }
    }

    /// What is wrong with it.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(job) = &self.job
            && !routes::table().iter().any(|route| route.job == job)
        {
            return Err(format!("there is no job {job:?}: swarmd --routes lists all"));
        }
        if self.nth == Some(0) {
            return Err("nth counts from 1".to_owned());
        }
        if let Some(Refusal { status, .. }) = &self.error
            && kind(*status).is_none()
        {
            return Err(format!(
                "{status} is no status of a failure: use one of 400, 401, 403, 404, 409, 413, 500, 501, 503"
            ));
        }
        let of_calls = self.latency.is_some()
            || self.error.is_some()
            || self.break_after.is_some()
            || self.down.is_some();
        let standing = self.full_disk || self.pull_pause.is_some();
        match (of_calls, standing) {
            (false, false) => Err("it does nothing: give it latency, error, break_after, down, full_disk or pull_pause".to_owned()),
            (true, true) => Err("full_disk and pull_pause hold for all calls: make them faults of their own".to_owned()),
            (false, true) if self.is_particular() => {
                Err("full_disk and pull_pause hold for all calls: take job, argument, nth and times away".to_owned())
            }
            _ => Ok(()),
        }
    }

    const fn is_particular(&self) -> bool {
        self.job.is_some() || self.argument.is_some() || self.nth.is_some() || self.times.is_some()
    }

    /// Whether it happens when it is made, and is over then.
    const fn is_at_once(&self) -> bool {
        self.down.is_some() && !self.is_particular()
    }

    fn is_about(&self, job: &Job) -> bool {
        self.job.as_ref().is_none_or(|name| name == job.name())
            && self.argument.as_ref().is_none_or(|wanted| {
                job.arg(0).is_some_and(|found| found.trim_start_matches('/') == wanted)
            })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const fn kind(status: u16) -> Option<FailureKind> {
    Some(match status {
        400 => FailureKind::InvalidParameter,
        401 => FailureKind::Unauthorized,
        403 => FailureKind::Forbidden,
        404 => FailureKind::NotFound,
        409 => FailureKind::Conflict,
        413 => FailureKind::TooLarge,
        500 => FailureKind::System,
        501 => FailureKind::NotImplemented,
        503 => FailureKind::Unavailable,
        _ => return None,
    })
}

/// The faults that stand at once, at most.
pub(super) const MOST: usize = 1000;

/// The faults that stand.
#[derive(Default)]
pub(super) struct Faults {
    all: BTreeMap<u64, Standing>,
    last: u64,
}

/// A fault, and how far it has come.
pub(super) struct Standing {
    pub(super) fault: Fault,
    /// Calls that it is about, and those that it acted on.
    pub(super) calls: u64,
    pub(super) hits: u64,
}

/// What becomes of a call.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Fate {
    pub(super) latency: Option<Duration>,
    pub(super) failure: Option<Failure>,
    pub(super) break_after: Option<u64>,
    pub(super) down: Option<Duration>,
}

impl Faults {
    /// Lets a fault stand; returns its number, or `None` if there are too many.
    pub(super) fn add(&mut self, fault: Fault) -> Option<u64> {
        if self.all.len() >= MOST {
            return None;
        }
        self.last += 1;
        self.all.insert(self.last, Standing { fault, calls: 0, hits: 0 });
        Some(self.last)
    }

    pub(super) fn remove(&mut self, number: u64) -> bool {
        self.all.remove(&number).is_some()
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Standing)> {
        self.all.iter().map(|(number, standing)| (*number, standing))
    }

    /// How long the engine is to be dead, if one of the faults that have just come says so.
    pub(super) fn take_at_once(&mut self) -> Option<Duration> {
        let due: Vec<u64> =
            self.iter().filter(|(_, one)| one.fault.is_at_once()).map(|(n, _)| n).collect();
        let taken = due.iter().filter_map(|number| self.all.remove(number)?.fault.down);
        taken.max().map(Duration::from_millis)
    }

    pub(super) fn is_disk_full(&self) -> bool {
        self.all.values().any(|standing| standing.fault.full_disk)
    }

    pub(super) fn pull_pause(&self) -> Option<Duration> {
        let pauses = self.all.values().filter_map(|standing| standing.fault.pull_pause);
        pauses.max().map(Duration::from_millis)
    }

    /// What is to become of a call that has just come. One that has done its work goes.
    pub(super) fn meet(&mut self, job: &Job) -> Fate {
        let mut fate = Fate::default();
        self.all.retain(|_, standing| {
            let fault = &standing.fault;
            if fault.full_disk || fault.pull_pause.is_some() || !fault.is_about(job) {
                return true;
            }
            standing.calls += 1;
            if standing.calls < fault.nth.unwrap_or(1) {
                return true;
            }
            standing.hits += 1;
            let longer = |one: Option<Duration>, other: Option<u64>| {
                one.max(other.map(Duration::from_millis))
            };
            fate.latency = longer(fate.latency, fault.latency);
            fate.down = longer(fate.down, fault.down);
            fate.break_after = [fate.break_after, fault.break_after].into_iter().flatten().min();
            if let (None, Some(refusal)) = (&fate.failure, &fault.error) {
                let kind = kind(refusal.status).unwrap_or(FailureKind::System);
                fate.failure = Some(Failure::new(kind, refusal.message.clone()));
            }
            let once = fault.nth.map(|_| 1);
            fault.times.or(once).is_none_or(|times| standing.hits < times)
        });
        fate
    }
}

#[cfg(test)]
mod tests {
    use super::{Fate, Fault, Faults, MOST};
    use crate::job::Job;
    use alloc::string::String;
    use alloc::vec::Vec;
    use core::time::Duration;

    fn hits(fault: Fault, jobs: &[Job]) -> Vec<bool> {
        let mut faults = Faults::default();
        faults.add(fault).unwrap();
        jobs.iter().map(|job| faults.meet(job) != Fate::default()).collect()
    }

    #[test]
    fn calls_are_counted_by_what_they_are_about() {
        let create = || Job::new("create");
        let stop = |name: &str| Job::new("stop").with_arg(name);
        let calls = [create(), stop("web"), create(), stop("/db"), create(), create()];
        let fault = |job: &str| Fault::on(job).error(500, "no");
        for (fault, expected) in [
            (fault("create"), "x.x.xx"),
            (fault("create").nth(2), "..x..."),
            (fault("create").nth(2).times(2), "..x.x."),
            (fault("create").times(1), "x....."),
            (fault("stop").argument("db"), "...x.."),
            (Fault::any().nth(4).latency(Duration::from_secs(1)), "...x.."),
        ] {
            let hits: String =
                hits(fault, &calls).iter().map(|hit| if *hit { 'x' } else { '.' }).collect();
            assert_eq!(hits, expected);
        }
    }

    #[test]
    fn faults_add_up() {
        let mut faults = Faults::default();
        for fault in [
            Fault::any().latency(Duration::from_millis(5)).break_after(10),
            Fault::on("logs").latency(Duration::from_millis(3)).break_after(4),
        ] {
            faults.add(fault).unwrap();
        }
        let fate = faults.meet(&Job::new("logs"));
        assert_eq!(fate.latency, Some(Duration::from_millis(5)));
        assert_eq!((fate.break_after, fate.failure), (Some(4), None));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (json, words) in [
            ("{}", "it does nothing"),
            (r#"{"job": "creat", "latency": 1}"#, "there is no job \"creat\""),
            (r#"{"nth": 0, "latency": 1}"#, "nth counts from 1"),
            (r#"{"error": {"status": 200}}"#, "200 is no status of a failure"),
            (r#"{"full_disk": true, "job": "create"}"#, "full_disk and pull_pause hold for all"),
            (r#"{"full_disk": true, "latency": 1}"#, "full_disk and pull_pause hold for all"),
        ] {
            let fault: Fault = serde_json::from_str(json).unwrap();
            let refused = fault.check().unwrap_err();
            assert!(refused.starts_with(words), "{refused}");
        }
        assert!(serde_json::from_str::<Fault>(r#"{"latencey": 1}"#).is_err());
    }

    #[test]
    fn there_are_not_too_many() {
        let mut faults = Faults::default();
        for _ in 0..MOST {
            assert!(faults.add(Fault::any().full_disk()).is_some());
        }
        assert_eq!(faults.add(Fault::any().full_disk()), None);
        assert!(faults.remove(1) && !faults.remove(1));
        assert_eq!(faults.add(Fault::any().full_disk()), Some(MOST as u64 + 1));
    }

    #[test]
    fn the_engine_dies_once() {
        let mut faults = Faults::default();
        faults.add(Fault::any().down(Duration::from_secs(2))).unwrap();
        faults.add(Fault::on("info").down(Duration::from_secs(9))).unwrap();
        assert_eq!(faults.take_at_once(), Some(Duration::from_secs(2)));
        assert_eq!(faults.take_at_once(), None);
        assert_eq!(faults.meet(&Job::new("info")).down, Some(Duration::from_secs(9)));
    }
}
