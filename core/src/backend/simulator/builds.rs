//! How builds go on while everything else does.

use alloc::boxed::Box;

use super::Simulator;
use super::build::{Build, Options, Progress};
use super::clients::Task;
use super::container::Serial;
use super::versions::Dialect;
use crate::id::JobId;
use crate::job::{Cx, Failure, Job, Stdio};

impl Simulator {
    /// `POST /build`, when the context is here.
    pub(super) fn build(
        &mut self,
        cx: &mut Cx<'_>,
        id: JobId,
        job: &Job,
        body: &[u8],
        dialect: Dialect,
    ) -> Result<(), Failure> {
        let build = Build::new(Options::of(job, dialect)?, body)?;
        cx.begin(id, Stdio::Raw);
        self.keep(id, Task::Build(Box::new(build)));
        self.build_on(cx, id);
        Ok(())
    }

    /// Does what a build can do now: until it waits for a container or for its client, or is done.
    pub(super) fn build_on(&mut self, cx: &mut Cx<'_>, id: JobId) {
        loop {
            let Some(Task::Build(build)) = self.tasks.get_mut(&id) else { return };
            while let Some(line) = build.output.lines.front_mut() {
                let written = cx.write(id, line);
                if written < line.len() {
                    line.drain(..written);
                    return;
                }
                build.output.lines.pop_front();
            }
            let world = self.world.as_mut().expect("made with the first job");
            if let Some(serial) = build.serial() {
                world.ready.insert(serial);
                return;
            }
            if build.is_done() {
                return self.finish(cx, id);
            }
            if let Progress::Waits(serial) = build.advance(world) {
                self.watchers.entry(serial).or_default().insert(id);
            }
        }
    }

    /// The container that a build has waited for has ended.
    pub(super) fn build_ran(&mut self, cx: &mut Cx<'_>, id: JobId, serial: Serial, code: i32) {
        let Some(Task::Build(build)) = self.tasks.get_mut(&id) else { return };
        if build.serial() != Some(serial) {
            return;
        }
        let world = self.world.as_mut().expect("made with the first job");
        build.ended(world, code);
        if let Some(watchers) = self.watchers.get_mut(&serial) {
            watchers.remove(&id);
            if watchers.is_empty() {
                self.watchers.remove(&serial);
            }
        }
        self.build_on(cx, id);
    }
}
