//! SIGTERM and SIGINT: the first stops gracefully, the second at once. SIGHUP: certificates are read again.

use std::io;
use std::process;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;

use crate::listen::SocketFile;
use crate::stop::Stopper;
use crate::tls::Certificates;

/// The socket files to remove when the process ends without unwinding.
#[derive(Clone, Default)]
pub(crate) struct Files(Arc<Mutex<Vec<Weak<SocketFile>>>>);

impl Files {
    pub(crate) fn set(&self, files: Vec<Weak<SocketFile>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = files;
    }

    fn remove(&self) {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for file in files.iter().filter_map(Weak::upgrade) {
            // The process is about to end, and a file that stays is taken over by the next one.
            let _ = file.remove();
        }
    }
}

/// From now on, the first signal stops `stopper`; the second ends the process with 128 and its number.
pub(crate) fn handle(stopper: Stopper, patience: Duration, files: Files) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut stopping = false;
        for signal in signals.forever() {
            if stopping {
                files.remove();
                process::exit(128 + signal);
            }
            stopping = true;
            stopper.stop();
            // On a thread of its own: a stderr that nobody reads must not keep the second signal from being heard.
            let _ = thread::Builder::new().spawn(move || {
                let name = signal_name(signal).unwrap_or("a signal");
                log::info!("{name}: stopping within {patience:?}; a second one ends it at once");
            });
        }
    })?;
    Ok(())
}

/// From now on, SIGHUP reads certificates again.
pub(crate) fn renew_on_hangup(certificates: Certificates) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP])?;
    thread::Builder::new().name("renewal".to_owned()).spawn(move || {
        for _ in signals.forever() {
            match certificates.renew() {
                Ok(()) => log::info!("SIGHUP: the certificates are read again"),
                Err(error) => {
                    log::error!(
                        "SIGHUP: {error}; the certificates that were read before stay in use"
                    );
                }
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{listen, stopper};
    use libswarm::address::Address;
    use rustix::process::{Signal, getpid, kill_process};
    use std::fs;
    use std::process::Command;
    use std::time::Instant;

    /// Signals are the process's, so this test runs itself as a process that gets them.
    #[test]
    fn the_first_stops_and_the_second_ends_the_process() {
        const PATH: &str = "SWARM_TEST_SIGNALS";
        if let Ok(path) = std::env::var(PATH) {
            let (stopper, stopped) = stopper().unwrap();
            let files = Files::default();
            handle(stopper, Duration::from_secs(10), files.clone()).unwrap();
            let listeners = listen(&Address::Unix { path }).unwrap();
            files.set(listeners.iter().filter_map(crate::Listener::file).collect());

            kill_process(getpid(), Signal::TERM).unwrap();
            let patience = Instant::now() + Duration::from_secs(10);
            while !stopped.is_stopped() && Instant::now() < patience {
                thread::sleep(Duration::from_millis(1));
            }
            assert!(stopped.is_stopped());
            kill_process(getpid(), Signal::INT).unwrap();
            thread::sleep(Duration::from_secs(10));
            panic!("the second signal did not end the process");
        }
        let path = std::env::temp_dir().join(format!("swarm-signals-{}", process::id()));
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "signals::tests::the_first_stops_and_the_second_ends_the_process"])
            .env(PATH, &path)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(128 + SIGINT), "{output:?}");
        assert!(fs::symlink_metadata(&path).is_err(), "the socket is still there");
    }
}
