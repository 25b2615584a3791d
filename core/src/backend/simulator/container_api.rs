//! The requests about containers that are answered at once, and those that end one.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use serde::Serialize;

use super::Simulator;
use super::body;
use super::clients::{Task, not_restarted};
use super::create::{Created, NewContainer};
use super::exec::NewExec;
use super::inspect::Inspected;
use super::streams::seconds;
use super::versions::Dialect;
use super::world::World;
use crate::id::JobId;
use crate::job::{Body, Cx, Failure, Job, Status};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Id<'a> {
    id: &'a str,
}

const DONE: Option<Body> = Some(Body::Static(b""));

pub(super) fn answer(
    world: &mut World,
    name: &str,
    job: &Job,
    body: &[u8],
    dialect: Dialect,
) -> Result<Option<Body>, Failure> {
    let wanted = job.arg(0).unwrap_or_default();
    Ok(match name {
        "create" => {
            let name = job.env("name").filter(|name| !name.is_empty());
            let new = NewContainer::parse(body, dialect)?;
            let (serial, warnings) = world.create(name.as_deref(), new, dialect)?;
            let id = world.containers.get(serial).map(|container| Arc::clone(&container.id));
            let id = id.unwrap_or_default();
            Some(super::json(&Created { id: &id, warnings })?)
        }
        "container_inspect" => {
            let container = world.find(&wanted, dialect)?;
            Some(super::json(&Inspected::of(container, world, job.flag("size"), dialect))?)
        }
        "start" => {
            let serial = world.serial(&wanted, dialect)?;
            world.start(serial)?;
            DONE
        }
        "pause" => {
            world.pause(&wanted, dialect)?;
            DONE
        }
        "unpause" => {
            world.unpause(&wanted, dialect)?;
            DONE
        }
        "container_rename" => {
            world.rename(&wanted, &job.env("name").unwrap_or_default(), dialect)?;
            DONE
        }
        "container_update" => {
            world.update(&wanted, body, dialect)?;
            Some(Body::Static(b"{\"Warnings\":null}\n"))
        }
        "exec_create" => {
            // The engine looks for the container before it reads the body.
            world.find(&wanted, dialect)?;
            let asked: NewExec = body::decode(body, "ExecConfig", dialect)?;
            let id = world.create_exec(&wanted, asked, dialect)?;
            Some(super::json(&Id { id: &id })?)
        }
        "exec_inspect" => Some(super::json(&world.execs.find(&wanted)?.shown())?),
        _ => None,
    })
}

impl Simulator {
    /// `stop`, `restart`, `kill` and `container_delete`: answered when the container is where it should be.
    pub(super) fn end_container(
        &mut self,
        cx: &mut Cx<'_>,
        id: JobId,
        job: &Job,
        dialect: Dialect,
    ) -> Result<(), Failure> {
        let wanted = job.arg(0).unwrap_or_default();
        let world = self.world.as_mut().expect("made with the first job");
        let task = match job.name() {
            "stop" => {
                let seconds = seconds(job, dialect)?;
                let serial = world.serial(&wanted, dialect)?;
                world.stop(serial, seconds)?;
                Some(Task::Stop(serial))
            }
            "restart" => {
                let seconds = seconds(job, dialect)?;
                let serial = world.serial(&wanted, dialect)?;
                let done = world.restart(serial, seconds);
                let done = done.map_err(|failure| not_restarted(&wanted, &failure, dialect))?;
                let wanted = Box::from(&*wanted);
                (!done).then_some(Task::Restart { serial, wanted, dialect })
            }
            "kill" => {
                let signal = job.env("signal").unwrap_or(Cow::Borrowed(""));
                world.kill(&wanted, &signal, dialect)?.map(Task::Stop)
            }
            _ if job.flag("link") => {
                world.remove_link(&wanted, dialect)?;
                None
            }
            _ => {
                let (force, volumes) = (job.flag("force"), job.flag("v"));
                world.remove(&wanted, force, volumes, dialect)?.map(Task::Removal)
            }
        };
        match task {
            Some(task) => self.keep(id, task),
            None => cx.exit(id, Status::Ok),
        }
        Ok(())
    }
}

/// The name of who a number is, as `ps` on the host shows it.
pub(super) fn user(uid: u32) -> String {
    match uid {
        0 => String::from("root"),
        uid => alloc::format!("{uid}"),
    }
}
