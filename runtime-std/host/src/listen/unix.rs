//! Unix sockets: their mode, taking over what a dead process left, and removing only our own.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags};

use super::error::Occupant;
use super::{BACKLOG, Problem, stream_socket};

/// The owner and the group may connect.
const MODE: u32 = 0o660;

/// How long another daemon may take to start in the same directory.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn listen(
    path: &str,
    group: Option<u32>,
) -> Result<(UnixListener, SocketFile), Problem> {
    let address = SocketAddrUnix::new(path).map_err(|_| Problem::TooLong(path.len()))?;
    let path = Path::new(path);
    // The process may change its directory before it removes the file.
    let absolute = std::path::absolute(path).map_err(Problem::Other)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    };

    // A socket that is bound but does not listen yet looks like one that was left behind. Every daemon holds this from bind
    // to listen, so that none removes the socket of another that is just starting.
    let lock = lock(directory);
    let socket = match create(&address) {
        Err(Errno::ADDRINUSE) => {
            let metadata = match fs::symlink_metadata(path) {
                Ok(metadata) => Some(metadata),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(Problem::Other(error)),
            };
            if let Some(metadata) = metadata {
                make_way(path, &address, &metadata, lock.is_some())
                    .map_err(|refusal| refusal.problem(directory))?;
            }
            create(&address)
        }
        result => result,
    };
    let socket = socket.map_err(|error| match error {
        Errno::ADDRINUSE => Problem::Taken(Occupant::Live),
        // A directory that makes its files itself has no place for others.
        Errno::NOENT | Errno::NOTDIR if !directory.is_dir() => {
            Problem::NoDirectory(directory.to_owned())
        }
        Errno::ACCESS | Errno::PERM | Errno::ROFS => Problem::Denied(directory.to_owned()),
        error => Problem::Other(error.into()),
    })?;
    open(socket, absolute, group)
}

/// A bound socket that does not listen yet. Its file's mode is [`MODE`] less the umask.
fn create(address: &SocketAddrUnix) -> Result<OwnedFd, Errno> {
    let socket = stream_socket(AddressFamily::UNIX, SocketFlags::empty())?;
    // Linux takes the mode of the file from that of the unbound socket, so that there is no moment in which everybody may
    // connect.
    #[cfg(target_os = "linux")]
    rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(MODE))?;
    rustix::net::bind(&socket, address)?;
    Ok(socket)
}

/// Lets a bound socket listen, with its mode exactly [`MODE`] before the first client can connect.
fn open(
    socket: OwnedFd,
    path: PathBuf,
    group: Option<u32>,
) -> Result<(UnixListener, SocketFile), Problem> {
    let metadata = fs::symlink_metadata(&path).map_err(Problem::Other)?;
    if !metadata.file_type().is_socket() {
        let error = io::Error::other("the socket's file was replaced while it was made");
        return Err(Problem::Other(error));
    }
    let file = SocketFile::new(path, &metadata);
    let ready = || -> Result<(), Problem> {
        if let Some(group) = group {
            std::os::unix::fs::lchown(&file.path, None, Some(group))
                .map_err(|error| Problem::Group(group, error))?;
        }
        if metadata.mode() & 0o7777 != MODE {
            fs::set_permissions(&file.path, Permissions::from_mode(MODE))
                .map_err(Problem::Other)?;
        }
        rustix::net::listen(&socket, BACKLOG).map_err(|error| Problem::Other(error.into()))
    };
    if let Err(error) = ready() {
        // The first failure is the one to report.
        let _ = file.remove();
        return Err(error);
    }
    Ok((UnixListener::from(socket), file))
}

/// Holds other daemons off the directory; `None` if it cannot be locked (it may not be read, its file system knows no
/// locks, or somebody holds one for long).
fn lock(directory: &Path) -> Option<File> {
    let file = File::open(directory).ok()?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(file),
            Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(_) => return None,
        }
    }
}

enum Refusal {
    Taken(Occupant),
    Contended,
}

impl Refusal {
    fn problem(self, directory: &Path) -> Problem {
        match self {
            Self::Taken(occupant) => Problem::Taken(occupant),
            Self::Contended => Problem::Contended(directory.to_owned()),
        }
    }
}

/// Removes a socket that a dead process left; refuses to remove anything else.
fn make_way(
    path: &Path,
    address: &SocketAddrUnix,
    seen: &Metadata,
    locked: bool,
) -> Result<(), Refusal> {
    let kind = seen.file_type();
    let occupant = if kind.is_file() {
        Some(Occupant::File)
    } else if kind.is_dir() {
        Some(Occupant::Directory)
    } else if kind.is_symlink() {
        Some(Occupant::Link)
    } else if !kind.is_socket() {
        Some(Occupant::Special)
    } else {
        in_use(address)
    };
    if let Some(occupant) = occupant {
        return Err(Refusal::Taken(occupant));
    }
    if !locked {
        return Err(Refusal::Contended);
    }
    SocketFile::new(path.to_owned(), seen)
        .remove()
        .map_err(|error| Refusal::Taken(Occupant::Fixed(error)))
}

/// Connects to a socket to learn whether anybody listens; `None` if nobody does.
fn in_use(address: &SocketAddrUnix) -> Option<Occupant> {
    // Without waiting: a listener whose queue is full would have us wait for ever.
    let connected = stream_socket(AddressFamily::UNIX, SocketFlags::empty()).and_then(|socket| {
        rustix::io::ioctl_fionbio(&socket, true)?;
        rustix::net::connect(&socket, address)
    });
    match connected {
        Err(Errno::CONNREFUSED | Errno::NOENT) => None,
        // The last one: it is in use, but for datagrams.
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS | Errno::PROTOTYPE) => Some(Occupant::Live),
        Err(error) => Some(Occupant::Untold(error.into())),
    }
}

/// The file of a unix socket, known by its device and inode.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    removed: AtomicBool,
}

impl SocketFile {
    fn new(path: PathBuf, metadata: &Metadata) -> Self {
        let removed = AtomicBool::new(false);
        Self { path, device: metadata.dev(), inode: metadata.ino(), removed }
    }

    /// Removes the file if the path still leads to it; once.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if self.removed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        match fs::symlink_metadata(&self.path) {
            Ok(now) if now.dev() == self.device && now.ino() == self.inode => {
                fs::remove_file(&self.path)
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ListenError, Listener};
    use libswarm::address::Address;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::process::Command;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    /// A directory of its own for each test, removed with all that is in it.
    struct Room(PathBuf);

    impl Room {
        fn new() -> Self {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("swarm-{}-{count}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        /// A socket that was bound by something that is no more.
        fn stale(&self, name: &str) -> PathBuf {
            let path = self.path(name);
            drop(UnixListener::bind(&path).unwrap());
            assert!(kind(&path).is_some_and(|kind| kind.is_socket()));
            path
        }
    }

    impl Drop for Room {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn kind(path: &Path) -> Option<fs::FileType> {
        fs::symlink_metadata(path).ok().map(|metadata| metadata.file_type())
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn listen(path: &Path) -> Result<Listener, ListenError> {
        let address = Address::Unix { path: path.to_str().unwrap().to_owned() };
        crate::listen(&address).map(|mut listeners| {
            assert_eq!(listeners.len(), 1);
            assert_eq!(*listeners[0].address(), address);
            listeners.remove(0)
        })
    }

    fn refusal(path: &Path) -> String {
        let error = listen(path).unwrap_err().to_string();
        let prefix = format!("cannot listen on unix://{}: ", path.display());
        error.strip_prefix(&prefix).expect(&error).to_owned()
    }

    #[test]
    fn accepts_and_is_removed_when_dropped() {
        let room = Room::new();
        let path = room.path("a.sock");
        let listener = listen(&path).unwrap();
        assert!(!listener.is_open_to_others());
        let mut client = UnixStream::connect(&path).unwrap();
        let mut server = listener.accept().unwrap().stream;
        assert_eq!(server.peer().to_string(), "unix");
        client.write_all(b"ping").unwrap();
        let mut buffer = [0; 4];
        server.read_exact(&mut buffer).unwrap();
        drop(listener);
        assert!(kind(&path).is_none());
    }

    #[test]
    fn a_stale_socket_is_taken_over() {
        let room = Room::new();
        let path = room.stale("a.sock");
        let listener = listen(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        listener.accept().unwrap();
        assert_eq!(mode(&path), MODE);
    }

    #[test]
    fn a_live_socket_is_refused_and_untouched() {
        let room = Room::new();
        let path = room.path("a.sock");
        let live = UnixListener::bind(&path).unwrap();
        assert_eq!(
            refusal(&path),
            "another process listens there: stop that one, or choose another path"
        );
        live.accept().unwrap();
        UnixStream::connect(&path).unwrap();
        live.accept().unwrap();
    }

    #[test]
    fn a_listener_whose_queue_is_full_is_live() {
        let room = Room::new();
        let path = room.path("a.sock");
        let address = SocketAddrUnix::new(&path).unwrap();
        let socket = create(&address).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let _waiting = UnixStream::connect(&path).unwrap();
        assert!(refusal(&path).starts_with("another process listens there"));
    }

    #[test]
    fn a_socket_for_datagrams_is_live_or_stale_like_any_other() {
        let room = Room::new();
        let path = room.path("a.sock");
        let live = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        assert!(refusal(&path).starts_with("another process listens there"));
        drop(live);
        listen(&path).unwrap();
    }

    #[test]
    fn what_is_no_socket_is_refused_and_untouched() {
        let room = Room::new();
        let file = room.path("file");
        fs::write(&file, "precious").unwrap();
        assert_eq!(refusal(&file), "a file is there: remove it, or choose another path");
        assert_eq!(fs::read(&file).unwrap(), b"precious");

        let directory = room.path("directory");
        fs::create_dir(&directory).unwrap();
        assert!(refusal(&directory).starts_with("a directory is there: "));
        assert!(refusal(Path::new("/")).starts_with("a directory is there: "));
        assert!(kind(&directory).unwrap().is_dir());

        let stale = room.stale("stale");
        for (name, target) in [("to-socket", &stale), ("to-nothing", &room.path("nothing"))] {
            let link = room.path(name);
            std::os::unix::fs::symlink(target, &link).unwrap();
            assert_eq!(
                refusal(&link),
                "a symbolic link is there: remove it, or choose another path"
            );
            assert!(kind(&link).unwrap().is_symlink());
        }
        assert!(kind(&stale).unwrap().is_socket());
        assert!(refusal(Path::new("/dev/null")).starts_with("something that is no socket"));
    }

    #[test]
    fn only_our_own_file_is_removed() {
        let room = Room::new();
        let path = room.path("a.sock");

        let listener = listen(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(listener);
        assert_eq!(fs::read(&path).unwrap(), b"another's");
        fs::remove_file(&path).unwrap();

        let first = listen(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = listen(&path).unwrap();
        drop(first);
        UnixStream::connect(&path).unwrap();
        second.accept().unwrap();
        fs::rename(&path, room.path("moved")).unwrap();
        drop(second);
        assert!(kind(&room.path("moved")).unwrap().is_socket());
    }

    #[test]
    fn of_daemons_that_start_together_one_wins() {
        let room = Room::new();
        for round in 0..20 {
            let path = room.stale(&format!("{round}.sock"));
            let barrier = Barrier::new(4);
            let start = || {
                barrier.wait();
                listen(&path)
            };
            let results: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let winners: Vec<_> =
                results.iter().filter_map(|result| result.as_ref().ok()).collect();
            assert_eq!(winners.len(), 1, "{results:?}");
            UnixStream::connect(&path).unwrap();
            winners[0].accept().unwrap();
        }
    }

    #[test]
    fn a_locked_directory_keeps_stale_sockets_but_not_new_ones() {
        let room = Room::new();
        let stale = room.stale("stale.sock");
        let lock = lock(&room.0).unwrap();
        listen(&room.path("new.sock")).unwrap();
        let error = refusal(&stale);
        assert!(error.contains("cannot be locked to take it over"), "{error}");
        assert!(kind(&stale).unwrap().is_socket());
        drop(lock);
        listen(&stale).unwrap();
    }

    /// The umask is the process's, so this test runs itself as a process for each.
    #[test]
    fn the_mode_is_0660_whatever_the_umask() {
        const UMASK: &str = "SWARM_TEST_UMASK";
        if let Ok(umask) = std::env::var(UMASK) {
            let umask = u32::from_str_radix(&umask, 8).unwrap();
            let room = Room::new();
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
            let bound = room.path("bound.sock");
            let socket = create(&SocketAddrUnix::new(&bound).unwrap()).unwrap();
            if cfg!(target_os = "linux") {
                assert_eq!(mode(&bound), MODE & !umask, "from the moment it exists");
            }
            let (_listener, _file) = super::open(socket, bound.clone(), None).unwrap();
            assert_eq!(mode(&bound), MODE);
            let path = room.path("a.sock");
            let _listener = listen(&path).unwrap();
            assert_eq!(mode(&path), MODE);
            return;
        }
        for umask in ["000", "022", "077", "177"] {
            let test = "listen::unix::tests::the_mode_is_0660_whatever_the_umask";
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", test])
                .env(UMASK, umask)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{umask}: {text}");
        }
    }

    #[test]
    fn wrong_paths_say_what_to_do() {
        let room = Room::new();
        let nowhere = room.path("nowhere");
        assert_eq!(
            refusal(&nowhere.join("a.sock")),
            format!("there is no directory {}: create it", nowhere.display())
        );
        let long = room.path(&"a".repeat(120));
        let length = long.as_os_str().len();
        assert!(refusal(&long).starts_with(&format!("the path is {length} bytes long")));
        let file = room.path("file");
        fs::write(&file, "").unwrap();
        assert!(refusal(&file.join("a.sock")).starts_with("there is no directory"));
        #[cfg(target_os = "linux")]
        assert!(!refusal(Path::new("/proc/a.sock")).contains("create it"));
    }
}
