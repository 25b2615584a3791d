//! The trees of images that nobody described.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Kind, Meta, Name, Node, Tree};

/// 2024-01-01, when all of them were built.
const BUILT: i64 = 1_704_067_200;

/// The program of every applet, as the content of its file: a simulated process runs what its name says.
pub(in super::super) const APPLET: &[u8] = b"#!simulated\n";

/// What stands in `/bin`.
const BIN: &str = "[ [[ ash base64 basename busybox cat chgrp chmod chown cmp cp cut date dd df dirname dmesg du echo egrep \
    env expr false fgrep find fold free getconf grep groups head hexdump hostname id install kill killall ln ls md5sum mkdir mktemp \
    mount mv nc nl nohup nproc nslookup od pidof ping printenv printf ps pwd readlink realpath reset rev rm rmdir \
    sed seq sh sha256sum sha512sum sleep sort stat stty sync tac tail tar tee test time timeout top touch tr true truncate \
    tty umount uname uniq uptime usleep wc wget which who whoami xargs yes";

impl Tree {
    /// A root as that of the image `busybox`: its applets, and the files that programs expect.
    #[must_use]
    pub fn busybox() -> Self {
        let mut tree = Self::of(Node::directory(Meta::new(0o755, BUILT)));
        for (path, mode) in [
            ("bin", 0o755),
            ("dev", 0o755),
            ("etc", 0o755),
            ("home", 0o755),
            ("proc", 0o755),
            ("root", 0o700),
            ("sys", 0o755),
            ("tmp", 0o1777),
            ("usr", 0o755),
            ("usr/bin", 0o755),
            ("usr/sbin", 0o755),
            ("usr/local", 0o755),
            ("usr/local/bin", 0o755),
            ("var", 0o755),
            ("var/spool", 0o755),
            ("var/spool/mail", 0o755),
            ("var/www", 0o755),
        ] {
            tree.lay(path, Node::directory(Meta::new(mode, BUILT)));
        }
        let applet = Arc::new(APPLET.to_vec());
        for name in BIN.split_whitespace() {
            let kind = Kind::File(applet.clone());
            tree.lay(
                &format!("bin/{name}"),
                Node { meta: Meta::new(0o755, BUILT), kind, inode: 0 },
            );
        }
        tree.lay("usr/bin/env", Node::symlink("/bin/env", Meta::new(0o777, BUILT)));
        for (path, text) in [
            ("etc/passwd", PASSWD),
            ("etc/group", GROUP),
            ("etc/hostname", ""),
            ("etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
            ("etc/resolv.conf", ""),
            ("etc/localtime", "TZif2"),
            ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
            ("etc/shadow", "root:*:::::::\ndaemon:*:::::::\n"),
        ] {
            let mode = if path == "etc/shadow" { 0o640 } else { 0o644 };
            tree.lay(path, Node::file(text, Meta::new(mode, BUILT)));
        }
        tree.lay(
            "home",
            Node::directory(Meta { uid: 65534, gid: 65534, ..Meta::new(0o755, BUILT) }),
        );
        tree
    }

    /// A root as that of the image of this name (with or without a tag): busybox's, with what tells an Alpine, a Debian or
    /// an Ubuntu apart.
    #[must_use]
    pub fn of_image(name: &str) -> Self {
        let mut tree = Self::busybox();
        let (name, tag) = name.rsplit_once(':').unwrap_or((name, ""));
        let name = name.rsplit('/').next().unwrap_or_default();
        let release = match name {
            "debian" => Some(("debian", "Debian GNU/Linux", "12")),
            "ubuntu" => Some(("ubuntu", "Ubuntu", "24.04")),
            "alpine" => Some(("alpine", "Alpine Linux", "3.20.3")),
            _ if tag.contains("alpine") => Some(("alpine", "Alpine Linux", "3.20.3")),
            _ => None,
        };
        if let Some((id, long, version)) = release {
            let mut file = |path: &str, text: &str| {
                tree.lay(path, Node::file(text, Meta::new(0o644, BUILT)));
            };
            let text = format!(
                "NAME=\"{long}\"\nID={id}\nVERSION_ID={version}\nPRETTY_NAME=\"{long} {version}\"\n"
            );
            file("etc/os-release", &text);
            match id {
                "alpine" => {
                    file(
                        "etc/passwd",
                        &format!("{PASSWD}postgres:x:70:70::/var/lib/postgresql:/bin/sh\n"),
                    );
                    file("etc/group", &format!("{GROUP}postgres:x:70:\n"));
                    file("etc/alpine-release", &format!("{version}\n"));
                }
                _ => file("etc/debian_version", &format!("{version}\n")),
            }
        }
        if release.is_some() {
            for path in ["mnt", "media", "opt", "srv", "var/opt", "var/lib", "var/log", "var/tmp"] {
                tree.lay(path, Node::directory(Meta::new(0o755, BUILT)));
            }
        }
        if matches!(name, "debian" | "ubuntu") {
            tree.lay("bin/bash", Node::file(APPLET, Meta::new(0o755, BUILT)));
        }
        tree
    }

    /// What every container has in `/dev`.
    pub(super) fn dev() -> Self {
        let mut tree = Self::new();
        for (name, major, minor) in [
            ("null", 1, 3),
            ("zero", 1, 5),
            ("full", 1, 7),
            ("random", 1, 8),
            ("urandom", 1, 9),
            ("tty", 5, 0),
            ("console", 5, 1),
        ] {
            let kind = Kind::Device { block: false, major, minor };
            tree.lay(name, Node { meta: Meta::new(0o666, BUILT), kind, inode: 0 });
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            tree.lay(name, Node::symlink(target, Meta::new(0o777, BUILT)));
        }
        for name in ["shm", "pts", "mqueue"] {
            tree.lay(name, Node::directory(Meta::new(0o1777, BUILT)));
        }
        tree
    }

    /// What every container has in `/proc`.
    pub(super) fn proc() -> Self {
        let mut tree = Self::new();
        for (path, text) in [
            ("cmdline", "quiet\n"),
            (
                "cpuinfo",
                "processor\t: 0\nmodel name\t: simulated\n\nprocessor\t: 1\nmodel name\t: simulated\n\n",
            ),
            ("filesystems", "nodev\tproc\nnodev\ttmpfs\n"),
            ("loadavg", "0.00 0.00 0.00 1/1 1\n"),
            (
                "meminfo",
                "MemTotal:        2097152 kB\nMemFree:         1048576 kB\nMemAvailable:    1572864 kB\n",
            ),
            ("uptime", "86400.00 172800.00\n"),
            ("version", "Linux version 6.1.0 (simulated)\n"),
        ] {
            tree.lay(path, Node::file(text, Meta::new(0o444, BUILT)));
        }
        for path in ["self", "self/fd", "sys", "sys/kernel"] {
            tree.lay(path, Node::directory(Meta::new(0o555, BUILT)));
        }
        for fd in ["self/fd/0", "self/fd/1", "self/fd/2"] {
            let kind = Kind::Device { block: false, major: 0, minor: 0 };
            tree.lay(fd, Node { meta: Meta::new(0o666, BUILT), kind, inode: 0 });
        }
        tree
    }

    /// Puts a node where an own tree is known to have room for it.
    fn lay(&mut self, path: &str, node: Node) {
        let names: Vec<Name> = path.split('/').map(Name::from).collect();
        let laid = self.put(&names, Arc::new(node));
        debug_assert!(laid.is_ok(), "{path}: {laid:?}");
    }
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
sync:x:4:100:sync:/bin:/bin/sync
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
operator:x:37:37:Operator:/var:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
";

const GROUP: &str = "root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
wheel:x:10:root
mail:x:8:
www-data:x:33:
users:x:100:
nobody:x:65534:
nogroup:x:65534:
";
