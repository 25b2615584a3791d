//! Which room answers which job.

use super::Simulator;
use super::body::{self, check_type};
use super::df::DiskUsage;
use super::failures::{invalid, not_found};
use super::info::Info;
use super::version::Version;
use super::{
    absent, archive, commit, container_api, image_api, network_api, prune, top, transfer,
    volume_api,
};
use crate::id::JobId;
use crate::job::{Body, Cx, Failure, FailureKind, Job, Status};

/// The most bytes of an archive that a client sends.
const ARCHIVE: usize = 512 << 20;

impl Simulator {
    /// A job begins.
    pub(super) fn begin(&mut self, cx: &mut Cx<'_>, id: JobId, job: &Job) -> Result<(), Failure> {
        match job.name() {
            "create" | "exec_create" | "container_update" | "volume_create" | "network_create"
            | "network_connect" | "network_disconnect" => {
                check_type(job)?;
                cx.read_to_end(id, body::LIMIT);
                return Ok(());
            }
            "exec_start" => {
                check_type(job)?;
                let world = self.world.as_mut().expect("made with the first job");
                world.check_exec(&job.arg(0).unwrap_or_default())?;
                cx.read_to_end(id, body::LIMIT);
                return Ok(());
            }
            Job::HTTP if self.is_control_with_body(job) => {
                cx.read_to_end(id, body::LIMIT);
                return Ok(());
            }
            "attach" | "commit" | "auth" => {
                cx.read_to_end(id, body::LIMIT);
                return Ok(());
            }
            "load" | "container_extract" | "build" => {
                cx.read_to_end(id, ARCHIVE);
                return Ok(());
            }
            "pull" if job.env("fromSrc").is_some_and(|source| !source.is_empty()) => {
                cx.read_to_end(id, ARCHIVE);
                return Ok(());
            }
            _ => {}
        }
        self.begin_with(cx, id, job, b"")
    }

    /// A job begins whose body, if it has one, is here.
    pub(super) fn begin_with(
        &mut self,
        cx: &mut Cx<'_>,
        id: JobId,
        job: &Job,
        body: &[u8],
    ) -> Result<(), Failure> {
        if let Some(answer) = self.answer_control(cx, job, body)? {
            cx.reply(id, answer);
            return Ok(());
        }
        let dialect = self.dialect(job);
        match job.name() {
            "attach" => return self.attach(cx, id, job, dialect),
            "logs" => return self.logs(cx, id, job, dialect),
            "wait" => return self.wait(cx, id, job, dialect),
            "exec_start" => return self.exec_start(cx, id, job, body, dialect),
            "stop" | "restart" | "kill" | "container_delete" => {
                return self.end_container(cx, id, job, dialect);
            }
            "events" => return self.events(cx, id, job, dialect),
            "container_stats" => return self.stats(cx, id, job, dialect),
            "pull" if job.env("fromSrc").is_none_or(|source| source.is_empty()) => {
                return self.pull(cx, id, job, dialect);
            }
            "push" => return self.push(cx, id, job),
            "build" => return self.build(cx, id, job, body, dialect),
            "resize" | "exec_resize" => {
                self.resize(job, dialect, job.name() == "exec_resize")?;
                cx.exit(id, Status::Ok);
                return Ok(());
            }
            _ => {}
        }
        let listeners = self.listeners.len();
        let announced = self.announced;
        let world = self.world.as_mut().expect("made with the first job");
        let now = world.now;
        let answer: Option<Body> = match job.name() {
            "containers" => {
                let query = super::select::Query::of(job, dialect)?;
                Some(self.lists.list(query, world, now, dialect)?.into())
            }
            "version" => Some(super::json(&Version::of(announced))?),
            "info" => Some(super::json(&Info::of(world, announced, listeners, now, dialect))?),
            "system_df" => Some(super::json(&DiskUsage::of(job, world, now, dialect)?)?),
            "top" => Some(top::answer(world, job, dialect)?),
            "container_archive_info" => {
                let stat = archive::stat(world, job, dialect)?;
                cx.set_path_stat(id, stat);
                None
            }
            "container_copy" => {
                let (stat, archive) = archive::copy(world, job, dialect)?;
                cx.set_path_stat(id, stat);
                Some(archive.into())
            }
            "container_prune" | "image_prune" | "network_prune" | "volume_prune"
            | "build_prune" => Some(prune::answer(world, job, dialect)?),
            "plugins" => Some("[]\n".into()),
            "auth" => return Err(Self::log_in(body, dialect)),
            "swarm_leave" => {
                return Err(Failure::new(
                    FailureKind::Unavailable,
                    "This node is not part of a swarm",
                ));
            }
            "http" | "session" | "grpc" | "attach_ws" | "checkpoints" => {
                cx.pass(id);
                return Ok(());
            }
            name => {
                let rooms = [
                    container_api::answer,
                    image_api::answer,
                    network_api::answer,
                    volume_api::answer,
                    commit::answer,
                    transfer::answer,
                    archive::answer,
                ];
                let mut found = None;
                for room in rooms {
                    found = room(world, name, job, body, dialect)?;
                    if found.is_some() {
                        break;
                    }
                }
                match (found, absent::failure(job)) {
                    (Some(answer), _) => Some(answer),
                    (None, Some(failure)) => return Err(failure),
                    (None, None) => {
                        cx.pass(id);
                        return Ok(());
                    }
                }
            }
        };
        match answer {
            Some(body) if !body.is_empty() => cx.reply(id, body),
            _ => cx.exit(id, Status::Ok),
        }
        Ok(())
    }

    /// `POST /auth`: there is no registry to log in to, but Docker's own takes everybody.
    fn log_in(body: &[u8], dialect: super::versions::Dialect) -> Failure {
        let document = match body::parse(body, dialect) {
            Ok(document) => document,
            Err(failure) => return failure,
        };
        let server =
            document.get("serveraddress").and_then(|server| server.as_str()).unwrap_or_default();
        match server.starts_with("127.0.0.1:") || server.starts_with("localhost:") {
            true => super::registry::unreachable(server),
            false if server.is_empty() => invalid("no registry server is given"),
            false => not_found(alloc::format!("no registry answers at {server}")),
        }
    }
}
