//! Open files: what a descriptor stands for, shared by the processes that have it.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{PIPE, Pid, Stream};
use crate::backend::simulator::files::Place;

/// An open file in [`Opens`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OpenId(u32);

/// A pipe in [`Opens`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PipeId(u32);

/// What is open.
#[derive(Clone, Debug)]
pub(super) enum Open {
    File(File),
    /// Bytes that stand in no file: a here-document, or what a kernel would make up when read.
    Text {
        text: Arc<[u8]>,
        offset: usize,
    },
    Folder,
    Reader(PipeId),
    Writer(PipeId),
    /// stdin of a started process.
    Stdin(Pid),
    /// stdout or stderr of a started process.
    Output(Pid, Stream),
    /// The terminal of a started process, in both directions.
    Terminal(Pid),
    Null,
    Zero,
    Full,
    Random(u64),
}

/// An open regular file.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) place: Place,
    /// What was opened: another file of the same name is another one.
    pub(super) inode: u64,
    pub(super) offset: u64,
    pub(super) append: bool,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

/// A pipe.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    data: VecDeque<u8>,
    pub(super) readers: u32,
    pub(super) writers: u32,
}

impl Pipe {
    pub(super) fn read(&mut self, most: usize) -> Option<Vec<u8>> {
        if self.data.is_empty() {
            return (self.writers == 0).then(Vec::new);
        }
        let length = most.min(self.data.len());
        Some(self.data.drain(..length).collect())
    }

    pub(super) fn unread(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().rev() {
            self.data.push_front(*byte);
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let length = bytes.len().min(PIPE.saturating_sub(self.data.len()));
        self.data.extend(&bytes[..length]);
        length
    }
}

/// All open files and pipes of a container.
#[derive(Debug, Default)]
pub(super) struct Opens {
    files: Vec<Option<(Open, u32)>>,
    pipes: Vec<Option<Pipe>>,
}

impl Opens {
    /// Keeps an open file, with one descriptor.
    pub(super) fn add(&mut self, open: Open) -> OpenId {
        match open {
            Open::Reader(pipe) => self.with_pipe(pipe, |pipe| pipe.readers += 1),
            Open::Writer(pipe) => self.with_pipe(pipe, |pipe| pipe.writers += 1),
            _ => {}
        }
        OpenId(slot(&mut self.files, (open, 1)))
    }

    /// Counts one more descriptor.
    pub(super) fn share(&mut self, id: OpenId) -> OpenId {
        if let Some(Some((_, count))) = self.files.get_mut(id.0 as usize) {
            *count += 1;
        }
        id
    }

    /// Counts one descriptor less: with the last one the file is closed, and comes back for those who wait on it.
    pub(super) fn close(&mut self, id: OpenId) -> Option<Open> {
        let place = self.files.get_mut(id.0 as usize)?;
        let (_, count) = place.as_mut()?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        let (open, _) = place.take()?;
        let pipe = match open {
            Open::Reader(id) => {
                self.with_pipe(id, |pipe| pipe.readers -= 1);
                Some(id)
            }
            Open::Writer(id) => {
                self.with_pipe(id, |pipe| pipe.writers -= 1);
                Some(id)
            }
            _ => None,
        };
        if let Some(id) = pipe
            && self.pipe(id).is_some_and(|pipe| pipe.readers == 0 && pipe.writers == 0)
        {
            self.pipes[id.0 as usize] = None;
        }
        if self.files.iter().all(Option::is_none) {
            (self.files, self.pipes) = (Vec::new(), Vec::new());
        }
        Some(open)
    }

    pub(super) fn get(&self, id: OpenId) -> Option<&Open> {
        self.files.get(id.0 as usize)?.as_ref().map(|(open, _)| open)
    }

    pub(super) fn get_mut(&mut self, id: OpenId) -> Option<&mut Open> {
        self.files.get_mut(id.0 as usize)?.as_mut().map(|(open, _)| open)
    }

    pub(super) fn add_pipe(&mut self) -> PipeId {
        PipeId(slot(&mut self.pipes, Pipe::default()))
    }

    pub(super) fn pipe(&mut self, id: PipeId) -> Option<&mut Pipe> {
        self.pipes.get_mut(id.0 as usize)?.as_mut()
    }

    fn with_pipe(&mut self, id: PipeId, change: impl FnOnce(&mut Pipe)) {
        if let Some(pipe) = self.pipe(id) {
            change(pipe);
        }
    }
}

fn slot<T>(list: &mut Vec<Option<T>>, value: T) -> u32 {
    let index = list.iter().position(Option::is_none).unwrap_or_else(|| {
        list.push(None);
        list.len() - 1
    });
    list[index] = Some(value);
    u32::try_from(index).unwrap_or(u32::MAX)
}
