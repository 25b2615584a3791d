//! An edge-triggered epoll, which smol's reactor sees as one source.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use smol::future::{self, FutureExt};

pub(crate) struct Epoll {
    fd: OwnedFd,
    /// The same epoll as smol's reactor sees it, from the first time that it is waited for there: each packet that comes
    /// costs its sender more from then on.
    waited: Option<Async<OwnedFd>>,
}

/// As many events are taken at once; more wait in the kernel.
pub(crate) const BATCH: usize = 256;

/// When several clients asked at once, their next requests are looked for so many times, so many pauses of the processor
/// apart (some 30 µs in all), before the thread sleeps: to wake it up costs whoever sends more than that, 5 % of their requests.
pub(crate) const LOOKS: u32 = 8;
pub(crate) const PAUSE: u32 = 200;

/// Room for one batch of events.
pub(crate) type Events = [MaybeUninit<Event>; BATCH];

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { fd: epoll::create(CreateFlags::CLOEXEC)?, waited: None })
    }

    pub(crate) fn add(&self, source: &impl AsFd, token: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.fd, source, EventData::new_u64(token), flags)?)
    }

    pub(crate) fn modify(
        &self,
        source: &impl AsFd,
        token: u64,
        flags: EventFlags,
    ) -> io::Result<()> {
        Ok(epoll::modify(&self.fd, source, EventData::new_u64(token), flags)?)
    }

    /// The events that are there; if there are none, those that come before `timeout` has passed, for which the thread
    /// is kept.
    pub(crate) fn take<'a>(
        &self,
        room: &'a mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<&'a mut [Event]> {
        // One that is too long for a timespec is as good as none.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match epoll::wait(&self.fd, &mut room[..], timeout.as_ref()) {
            Ok((events, _)) => Ok(events),
            Err(rustix::io::Errno::INTR) => Ok(&mut []),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until there are events or `timeout` has passed, and leaves the thread to other tasks meanwhile.
    pub(crate) async fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let waited = match self.waited.take() {
            Some(waited) => waited,
            None => Async::new(self.fd.try_clone()?)?,
        };
        let readable = self.waited.insert(waited).readable();
        match timeout.and_then(|timeout| Instant::now().checked_add(timeout)) {
            None => readable.await,
            Some(at) => {
                let timer = async {
                    pin!(Timer::at(at)).await;
                    Ok(())
                };
                readable.or(timer).await
            }
        }
    }
}

/// Lets other tasks of the executor run.
pub(crate) async fn yield_now() {
    future::yield_now().await;
}
