//! `GET /containers/{id}/stats`: figures that a container of this kind could have.

use alloc::format;
use core::time::Duration;
use serde_json::{Value, json};

use super::Simulator;
use super::clients::Task;
use super::clock::Rfc3339;
use super::container::Serial;
use super::streams::SECOND;
use super::versions::Dialect;
use super::world::World;
use crate::id::JobId;
use crate::job::{Cx, Failure, Job, Stdio};

/// Somebody who reads figures.
pub(super) struct Sampling {
    pub(super) serial: Serial,
    stream: bool,
    /// When the last sample was taken.
    last: Option<Duration>,
}

/// The host's memory.
const MEMORY: u64 = 8 << 30;

impl Simulator {
    pub(super) fn stats(
        &mut self,
        cx: &mut Cx<'_>,
        id: JobId,
        job: &Job,
        dialect: Dialect,
    ) -> Result<(), Failure> {
        let world = self.world.as_mut().expect("made with the first job");
        let serial = world.serial(&job.arg(0).unwrap_or_default(), dialect)?;
        let now = world.now;
        let stream = job.env("stream").is_none() || job.flag("stream");
        let runs = world.containers.get(serial).is_some_and(|container| container.run.is_some());
        if !stream && (job.flag("one-shot") || !runs) {
            cx.reply_json(id, &sample(world, serial, None));
            return Ok(());
        }
        let last = (!stream).then_some(now);
        self.keep(id, Task::Stats(Sampling { serial, stream, last }));
        if stream {
            cx.begin(id, Stdio::Raw);
            self.sample(cx, id)?;
        } else {
            cx.timer(id, cx.now() + SECOND, 0);
        }
        Ok(())
    }

    /// Takes the next sample.
    pub(super) fn sample(&mut self, cx: &mut Cx<'_>, id: JobId) -> Result<(), Failure> {
        let world = self.world.as_mut().expect("made with the first job");
        let Some(Task::Stats(sampling)) = self.tasks.get_mut(&id) else { return Ok(()) };
        let figures = sample(world, sampling.serial, sampling.last);
        if !sampling.stream {
            self.forget(id);
            cx.reply_json(id, &figures);
            return Ok(());
        }
        sampling.last = Some(world.now);
        let mut line = serde_json::to_vec(&figures).unwrap_or_default();
        line.push(b'\n');
        // A client that does not read misses a sample.
        if cx.room(id) >= line.len() {
            cx.write(id, &line);
        }
        cx.timer(id, cx.now() + SECOND, 0);
        Ok(())
    }
}

fn sample(world: &World, serial: Serial, last: Option<Duration>) -> Value {
    let Some(container) = world.containers.get(serial) else { return Value::Null };
    let moment = |at: Option<Duration>| match at {
        Some(at) => format!("{}", Rfc3339(at)),
        None => "0001-01-01T00:00:00Z".into(),
    };
    let throttling = json!({"periods": 0, "throttled_periods": 0, "throttled_time": 0});
    let nothing = json!({
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "throttling_data": throttling,
    });
    let Some(run) = &container.run else {
        return json!({
            "read": moment(None), "preread": moment(None), "pids_stats": {}, "blkio_stats": blkio(true),
            "num_procs": 0, "storage_stats": {}, "cpu_stats": nothing, "precpu_stats": nothing, "memory_stats": {},
            "name": format!("/{}", container.name), "id": container.id,
        });
    };
    let processes = run.processes.list();
    let used: u64 = processes.iter().map(|info| info.fuel).sum();
    let cpu = |at: Duration| {
        // What was used is told apart from what was used before only by the time that has passed.
        let age = at.saturating_sub(container.started.unwrap_or(at));
        let total = 20_000_000 + used * 1000 + age.as_micros() as u64;
        json!({
            "cpu_usage": {
                "total_usage": total, "percpu_usage": [total / 2, total - total / 2],
                "usage_in_kernelmode": total / 4, "usage_in_usermode": total - total / 4,
            },
            "system_cpu_usage": at.as_nanos() as u64 * 2,
            "online_cpus": 2,
            "throttling_data": throttling,
        })
    };
    let limit = match container.host.memory {
        memory if memory > 0 => memory as u64,
        _ => MEMORY,
    };
    let usage = (300_000 + 250_000 * processes.len() as u64).min(limit);
    let mut figures = json!({
        "read": moment(Some(world.now)), "preread": moment(last),
        "pids_stats": {"current": processes.len()}, "blkio_stats": blkio(false), "num_procs": 0, "storage_stats": {},
        "cpu_stats": cpu(world.now), "precpu_stats": last.map_or(nothing, cpu),
        "memory_stats": {
            "usage": usage, "max_usage": usage * 2,
            "stats": {"cache": 0, "rss": usage / 2, "inactive_file": 0, "total_inactive_file": 0},
            "limit": limit,
        },
        "name": format!("/{}", container.name), "id": container.id,
    });
    let joined = container.endpoints.iter().filter(|endpoint| endpoint.address().is_some());
    for (nth, _) in joined.enumerate() {
        figures["networks"][format!("eth{nth}")] = json!({
            "rx_bytes": 866, "rx_packets": 11, "rx_errors": 0, "rx_dropped": 0,
            "tx_bytes": 0, "tx_packets": 0, "tx_errors": 0, "tx_dropped": 0,
        });
    }
    figures
}

fn blkio(null: bool) -> Value {
    let value = if null { Value::Null } else { json!([]) };
    let keys = [
        "io_service_bytes_recursive",
        "io_serviced_recursive",
        "io_queue_recursive",
        "io_service_time_recursive",
        "io_wait_time_recursive",
        "io_merged_recursive",
        "io_time_recursive",
        "sectors_recursive",
    ];
    keys.into_iter().map(|key| (key, value.clone())).collect()
}
