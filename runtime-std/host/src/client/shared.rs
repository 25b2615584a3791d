//! A machine that several threads or tasks use, and one drives.

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
    waiting: Vec<Waker>,
    /// The machine's changes that those who wait know.
    known: u64,
}

impl<M: Machine> Shared<M> {
    /// Shares a machine that was made for that time.
    pub fn new(make: impl FnOnce(Instant) -> M) -> Self {
        let clock = Clock::start();
        let machine = make(clock.now());
        let state = State { known: machine.changes(), machine, driver: None, waiting: Vec::new() };
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
        driver.into_iter().chain(waiting).for_each(Waker::wake);
        answer
    }

    /// Looks at the machine.
    pub fn get<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        look(&self.lock().machine)
    }

    /// What `look` finds; if that is nothing, the task is woken when something has changed.
    pub fn poll_for<T>(
        &self,
        cx: &mut Context<'_>,
        look: impl FnOnce(&mut M) -> Option<T>,
    ) -> Poll<T> {
        let mut state = self.lock();
        if let Some(found) = look(&mut state.machine) {
            return Poll::Ready(found);
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
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
        waiting.into_iter().for_each(Waker::wake);
    }

    /// What its driver is to do next. [`Action::Notice`] is logged here.
    pub fn poll(&self, out: &mut Vec<u8>) -> Option<Action> {
        loop {
            let mut state = self.lock();
            let action = state.machine.poll(out);
            // With its last action a machine is over.
            let waiting = state.changed();
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
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
    fn changed(&mut self) -> Vec<Waker> {
        let now = self.machine.changes();
        if now == self.known && !self.machine.is_over() {
            return Vec::new();
        }
        self.known = now;
        std::mem::take(&mut self.waiting)
    }
}
