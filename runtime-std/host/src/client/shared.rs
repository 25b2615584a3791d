//! A machine that several threads or tasks use, and one drives.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use libswarm::Instant;
use libswarm::discovery::client::{Action, Input, Machine, Notice};

use crate::clock::Clock;

/// A machine behind a lock, with those who wait for it. No system call is made under the lock.
#[derive(Debug)]
pub struct Shared<M> {
    state: Mutex<State<M>>,
    clock: Clock,
}

#[derive(Debug)]
struct State<M> {
    machine: M,
    /// What wakes the one who drives it.
    driver: Option<Waker>,
    /// By their seats.
    waiting: BTreeMap<u64, Waker>,
    next_seat: u64,
    /// The machine's changes that those who wait know.
    known: u64,
}

/// Where somebody waits; without a number he does not.
#[derive(Debug, Default)]
pub(super) struct Seat(Option<u64>);

/// Waits until something is found in a machine.
pub(super) struct Wait<'a, M: Machine, F> {
    shared: &'a Shared<M>,
    look: F,
    seat: Seat,
}

impl<M: Machine> Shared<M> {
    /// Shares a machine that was made for that time.
    pub fn new(make: impl FnOnce(Instant) -> M) -> Self {
        let clock = Clock::start();
        let machine = make(clock.now());
        let state = State {
            known: machine.changes(),
            machine,
            driver: None,
            waiting: BTreeMap::new(),
            next_seat: 0,
        };
        Self { state: Mutex::new(state), clock }
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time that the machine goes by.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Asks the machine for something, which its driver then does.
    pub fn with<T>(&self, ask: impl FnOnce(&mut M, Instant) -> T) -> T {
        let mut state = self.lock();
        let answer = ask(&mut state.machine, self.clock.now());
        let (driver, waiting) = (state.driver.clone(), state.changed());
        drop(state);
        driver.into_iter().chain(waiting.into_values()).for_each(Waker::wake);
        answer
    }

    /// Looks at the machine.
    pub fn get<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        look(&self.lock().machine)
    }

    /// Waits for what `look` finds.
    pub(super) fn wait_for<T, F>(&self, look: F) -> Wait<'_, M, F>
    where
        F: FnMut(&mut M) -> Option<T> + Unpin,
    {
        Wait { shared: self, look, seat: Seat::default() }
    }

    /// What `look` finds; if that is nothing, the task is woken when something has changed, or its seat is
    /// [left](Self::leave).
    pub(super) fn poll_for<T>(
        &self,
        seat: &mut Seat,
        cx: &mut Context<'_>,
        look: impl FnOnce(&mut M) -> Option<T>,
    ) -> Poll<T> {
        let mut state = self.lock();
        if let Some(found) = look(&mut state.machine) {
            return Poll::Ready(found);
        }
        let number = *seat.0.get_or_insert_with(|| {
            state.next_seat += 1;
            state.next_seat
        });
        let before = state.waiting.insert(number, cx.waker().clone());
        // With the last waker a task may be dropped, and with it what locks this, too.
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// Nobody waits there any more.
    pub(super) fn leave(&self, seat: &mut Seat) {
        if let Some(number) = seat.0.take() {
            let waker = self.lock().waiting.remove(&number);
            // Not under the lock, either.
            drop(waker);
        }
    }

    /// Says who drives it: he is woken whenever there may be something to do.
    pub fn drive(&self, driver: &Waker) {
        let mut state = self.lock();
        if !state.driver.as_ref().is_some_and(|known| known.will_wake(driver)) {
            state.driver = Some(driver.clone());
        }
    }

    /// Tells the machine what has happened.
    pub fn handle(&self, input: Input<'_>) {
        let mut state = self.lock();
        state.machine.handle(self.clock.now(), input);
        let waiting = state.changed();
        drop(state);
        waiting.into_values().for_each(Waker::wake);
    }

    /// What its driver is to do next. [`Action::Notice`] is logged here.
    pub fn poll(&self, out: &mut Vec<u8>) -> Option<Action> {
        loop {
            let mut state = self.lock();
            let action = state.machine.poll(out);
            // With its last action a machine is over.
            let waiting = state.changed();
            drop(state);
            waiting.into_values().for_each(Waker::wake);
            match action? {
                Action::Notice(notice) if notice.is_warning() => log::warn!("{notice}"),
                Action::Notice(notice @ Notice::Failed { .. }) => log::debug!("{notice}"),
                Action::Notice(notice) => log::info!("{notice}"),
                action => return Some(action),
            }
        }
    }

    /// When its driver has to say [`Input::Timeout`], since the machine's epoch.
    pub fn due(&self) -> Option<Duration> {
        self.lock().machine.poll_timeout().map(Instant::since_epoch)
    }

    /// How long its driver may sleep.
    pub fn timeout(&self) -> Option<Duration> {
        let due = self.lock().machine.poll_timeout()?;
        Some(due - self.clock.now())
    }

    /// Whether nothing will have to be done any more.
    pub fn is_over(&self) -> bool {
        self.lock().machine.is_over()
    }
}

impl<M: Machine> State<M> {
    /// Those who wait, if there is something new for them.
    fn changed(&mut self) -> BTreeMap<u64, Waker> {
        let now = self.machine.changes();
        if now == self.known && !self.machine.is_over() {
            return BTreeMap::new();
        }
        self.known = now;
        std::mem::take(&mut self.waiting)
    }
}

impl<M: Machine, T, F: FnMut(&mut M) -> Option<T> + Unpin> Future for Wait<'_, M, F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Self { shared, look, seat } = &mut *self;
        shared.poll_for(seat, cx, look)
    }
}

impl<M: Machine, F> Drop for Wait<'_, M, F> {
    fn drop(&mut self) {
        self.shared.leave(&mut self.seat);
    }
}

impl<M: Machine, F> fmt::Debug for Wait<'_, M, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("seat", &self.seat).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use libswarm::discovery::client::{Client, Config};
    use std::pin::pin;

    use super::*;

    #[test]
    fn who_does_not_wait_any_more_is_forgotten() {
        let shared = Shared::new(|now| Client::new(Config::default(), now, 1));
        let mut cx = Context::from_waker(Waker::noop());
        let mut stays = pin!(shared.wait_for(|_| None::<()>));
        for _ in 0..100 {
            assert!(stays.as_mut().poll(&mut cx).is_pending());
            assert!(pin!(shared.wait_for(|_| None::<()>)).poll(&mut cx).is_pending());
        }
        assert_eq!(shared.lock().waiting.len(), 1);
    }
}
