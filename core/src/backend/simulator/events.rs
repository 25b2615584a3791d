//! `GET /events`: what a client asks for, and how it is told.

use alloc::borrow::Cow;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::Simulator;
use super::bus::Message;
use super::clients::Task;
use super::filters::{Filters, integer};
use super::versions::Dialect;
use crate::id::JobId;
use crate::job::{Cx, Failure, FailureKind, Job, Status, Stdio};

/// Somebody who reads events.
pub(super) struct Listening {
    filters: Filters,
    dialect: Dialect,
    /// What it has not read yet; one that reads too slowly misses some.
    waiting: VecDeque<Vec<u8>>,
}

/// How many events wait for a reader that is slow.
const WAITING: usize = 1024;

impl Listening {
    /// Whether an event is among those that are asked for.
    fn admits(&self, message: &Message) -> bool {
        let filters = &self.filters;
        let any = |key: &str, is: &dyn Fn(&str) -> bool| {
            filters.get(key).is_none_or(|values| values.is_empty() || values.iter().any(|v| is(v)))
        };
        let attribute = |key: &'static str| message.attributes.get(key).map_or("", String::as_str);
        let thing = |kind: &'static str| {
            any(kind, &|wanted| {
                message.kind == kind
                    && (wanted == &*message.id
                        || wanted == attribute("name")
                        || message.id.starts_with(wanted) && !wanted.is_empty()
                        || wanted.strip_prefix('/') == Some(attribute("name")))
            })
        };
        let action = |wanted: &str| {
            wanted == message.action || message.action.split(':').next() == Some(wanted)
        };
        let label = |wanted: &str| {
            let (key, value) = wanted.split_once('=').map_or((wanted, None), |(k, v)| (k, Some(v)));
            let found = message.attributes.get(key);
            found.is_some_and(|found| value.is_none_or(|value| value == found))
        };
        let image = |wanted: &str| {
            let named = match message.kind {
                "image" => attribute("name"),
                _ => attribute("image"),
            };
            let bare = |name: &str| String::from(name.split(':').next().unwrap_or_default());
            wanted == &*message.id || wanted == named || wanted == bare(named)
        };
        any("type", &|wanted| wanted == message.kind)
            && any("event", &action)
            && any("scope", &|wanted| wanted == "local")
            && thing("container")
            && thing("volume")
            && thing("network")
            && thing("daemon")
            && thing("plugin")
            && any("image", &image)
            && filters.values("label").all(label)
    }
}

impl Simulator {
    pub(super) fn events(
        &mut self,
        cx: &mut Cx<'_>,
        id: JobId,
        job: &Job,
        dialect: Dialect,
    ) -> Result<(), Failure> {
        let world = self.world.as_mut().expect("made with the first job");
        let end = end(job, world.now, dialect)?;
        let filters = Filters::parse(&job.env("filters").unwrap_or_default(), dialect)?;
        let moment = |key| timestamp(&job.env(key).unwrap_or_default()).ok().flatten();
        let (since, until) = (moment("since"), moment("until"));
        let mut listening = Listening { filters, dialect, waiting: VecDeque::new() };
        // Without `since` but with an end that is over, all of the past is asked for.
        if since.is_some() || end == End::Now {
            for message in &world.bus.past {
                let time = message.time.as_nanos() as Nanos;
                if since.is_none_or(|since| time >= since)
                    && until.is_none_or(|until| time <= until)
                    && listening.admits(message)
                {
                    listening.waiting.push_back(message.line(dialect));
                }
            }
        }
        // What is fresh is past for this one.
        self.tell_events(cx);
        cx.begin(id, Stdio::Raw);
        match end {
            End::Now => {
                for line in listening.waiting {
                    cx.write(id, &line);
                }
                cx.exit(id, Status::Ok);
            }
            End::Never => {
                self.keep(id, Task::Events(listening));
                self.tell(cx, id);
            }
            End::After(left) => {
                self.keep(id, Task::Events(listening));
                self.tell(cx, id);
                cx.timer(id, cx.now() + left, 0);
            }
        }
        Ok(())
    }

    /// Tells everybody who listens what has just happened.
    pub(super) fn tell_events(&mut self, cx: &mut Cx<'_>) {
        let Some(world) = &mut self.world else { return };
        let fresh = core::mem::take(&mut world.bus.fresh);
        if fresh.is_empty() || self.listeners.is_empty() {
            return;
        }
        let listeners: Vec<JobId> = self.listeners.iter().copied().collect();
        for id in listeners {
            let Some(Task::Events(listening)) = self.tasks.get_mut(&id) else { continue };
            for message in &fresh {
                if listening.waiting.len() < WAITING && listening.admits(message) {
                    let line = message.line(listening.dialect);
                    listening.waiting.push_back(line);
                }
            }
            self.tell(cx, id);
        }
    }

    /// Writes the events that one client has not read yet.
    pub(super) fn tell(&mut self, cx: &mut Cx<'_>, id: JobId) {
        let Some(Task::Events(listening)) = self.tasks.get_mut(&id) else { return };
        while let Some(line) = listening.waiting.front_mut() {
            let written = cx.write(id, line);
            if written < line.len() {
                line.drain(..written);
                return;
            }
            listening.waiting.pop_front();
        }
    }
}

/// When a stream of events ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// With the client.
    Never,
    /// With the events of the past: at once.
    Now,
    /// So much later.
    After(Duration),
}

/// A moment as nanoseconds since the Unix epoch; clients may send one before it.
pub(super) type Nanos = i128;

/// Reads a job's `since`, `until` and `filters`. Names of filters are not checked: the engine does not, either.
pub(super) fn end(job: &Job, now: Duration, dialect: Dialect) -> Result<End, Failure> {
    let text = |key| job.env(key).unwrap_or(Cow::Borrowed(""));
    let moment = |key| timestamp(&text(key)).map_err(|words| dialect.invalid(words));
    let since = moment("since")?;
    let until = moment("until")?;
    let end = match until {
        None => End::Never,
        Some(until) if since.is_some_and(|since| until < since) => {
            let (since, until) = (text("since"), text("until"));
            return Err(Failure::new(
                FailureKind::InvalidParameter,
                format!("`since` time ({since}) cannot be after `until` time ({until})"),
            ));
        }
        Some(until) => match u64::try_from(until - now.as_nanos() as Nanos) {
            Ok(left) => End::After(Duration::from_nanos(left)),
            // What lies 500 years ahead does not come.
            Err(_) if until > 0 && until > now.as_nanos() as Nanos => End::Never,
            Err(_) => End::Now,
        },
    };
    Filters::parse(&text("filters"), dialect)?;
    Ok(end)
}

/// Reads `1136073600.000000001`: seconds and, as digits behind a point, parts of one. Nothing, and -1, mean no moment.
pub(super) fn timestamp(text: &str) -> Result<Option<Nanos>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds = integer(seconds, "ParseInt")?;
    if seconds == -1 {
        return Ok(None);
    }
    let nanos = if fraction.is_empty() { 0 } else { integer(fraction, "ParseInt")? };
    let digits = u32::try_from(fraction.len()).unwrap_or(u32::MAX);
    let nanos = match 9_u32.checked_sub(digits) {
        Some(missing) => Nanos::from(nanos) * 10_i128.pow(missing),
        None => Nanos::from(nanos) / 10_i128.pow((digits - 9).min(38)),
    };
    Ok(Some(Nanos::from(seconds) * 1_000_000_000 + nanos))
}

#[cfg(test)]
mod tests {
    use super::super::versions::NEWEST;
    use super::super::world::tests::{LEGACY, START};
    use super::{End, end, timestamp};
    use crate::job::{FailureKind, Job};
    use alloc::string::{String, ToString};
    use core::time::Duration;
    use proptest::prelude::*;

    fn asked(env: &[(&str, &str)]) -> Result<End, (FailureKind, String)> {
        let job = env.iter().fold(Job::new("events"), |job, (k, v)| job.with_env(*k, *v));
        end(&job, START, LEGACY).map_err(|failure| (failure.kind, failure.message.to_string()))
    }

    #[test]
    fn streams_end_when_they_are_told_to() {
        for (env, expected) in [
            (&[][..], End::Never),
            (&[("until", "")], End::Never),
            (&[("until", "-1")], End::Never),
            (&[("until", "0")], End::Now),
            (&[("since", "1"), ("until", "2")], End::Now),
            (&[("until", "1.5")], End::Now),
            (&[("until", "1.1234567890")], End::Now),
            (&[("until", "-1000")], End::Now),
            (&[("until", "1795315895.5")], End::After(Duration::from_millis(1500))),
            (&[("until", "1795315894")], End::After(Duration::ZERO)),
            (&[("until", "9223372036854775807")], End::Never),
            (&[("since", "1795315895")], End::Never),
            (&[("until", "1"), ("filters", r#"{"zz":["a"]}"#)], End::Now),
        ] {
            assert_eq!(asked(env), Ok(expected), "{env:?}");
        }
    }

    #[test]
    fn refusals_are_those_of_the_engine() {
        use FailureKind::{InvalidParameter, System};
        for (env, kind, message) in [
            (
                &[("since", "3"), ("until", "2")][..],
                InvalidParameter,
                "`since` time (3) cannot be after `until` time (2)",
            ),
            (&[("until", "x")], System, r#"strconv.ParseInt: parsing "x": invalid syntax"#),
            (&[("until", "1.x")], System, r#"strconv.ParseInt: parsing "x": invalid syntax"#),
            (&[("since", "10m")], System, r#"strconv.ParseInt: parsing "10m": invalid syntax"#),
            (
                &[("until", "99999999999999999999")],
                System,
                r#"strconv.ParseInt: parsing "99999999999999999999": value out of range"#,
            ),
            (
                &[("filters", "junk")],
                System,
                "invalid character 'j' looking for beginning of value",
            ),
        ] {
            assert_eq!(asked(env), Err((kind, message.to_string())), "{env:?}");
        }
        let job = Job::new("events").with_env("until", "x");
        assert_eq!(end(&job, START, NEWEST).unwrap_err().kind, InvalidParameter);
    }

    proptest! {
        #[test]
        fn any_timestamp_is_read_or_refused(text in "[-+0-9.x]{0,60}") {
            let _ = timestamp(&text);
            let _ = asked(&[("since", &text), ("until", "1")]);
        }
    }
}
