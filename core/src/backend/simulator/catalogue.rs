//! Images that a registry would have: every name can be pulled, and those that people know run what they know.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::config::{Config, Empty};
use super::files::Tree;
use super::images::{History, Image, Layer};

/// What is known of an image.
struct Known {
    name: &'static str,
    size: u64,
    entrypoint: &'static [&'static str],
    command: &'static [&'static str],
    env: &'static [&'static str],
    ports: &'static [&'static str],
    volumes: &'static [&'static str],
    directory: &'static str,
}

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const fn known(name: &'static str, size: u64, command: &'static [&'static str]) -> Known {
    Known {
        name,
        size,
        entrypoint: &[],
        command,
        env: &[PATH],
        ports: &[],
        volumes: &[],
        directory: "",
    }
}

static KNOWN: [Known; 12] = [
    Known { env: &[], ..known("busybox", 4_276_840, &["sh"]) },
    known("alpine", 7_829_254, &["/bin/sh"]),
    known("debian", 116_513_622, &["bash"]),
    known("ubuntu", 78_127_543, &["/bin/bash"]),
    known("hello-world", 13_256, &["/hello"]),
    Known {
        entrypoint: &["/docker-entrypoint.sh"],
        ports: &["80/tcp"],
        ..known("nginx", 187_694_648, &["nginx", "-g", "daemon off;"])
    },
    Known {
        entrypoint: &["docker-entrypoint.sh"],
        ports: &["6379/tcp"],
        volumes: &["/data"],
        directory: "/data",
        ..known("redis", 116_958_464, &["redis-server"])
    },
    Known {
        entrypoint: &["docker-entrypoint.sh"],
        ports: &["5432/tcp"],
        volumes: &["/var/lib/postgresql/data"],
        ..known("postgres", 431_911_284, &["postgres"])
    },
    Known {
        entrypoint: &["docker-entrypoint.sh"],
        ports: &["3306/tcp", "33060/tcp"],
        volumes: &["/var/lib/mysql"],
        ..known("mysql", 586_247_091, &["mysqld"])
    },
    known("python", 1_018_453_106, &["python3"]),
    known("node", 1_107_265_403, &["node"]),
    Known {
        ports: &["5000/tcp"],
        volumes: &["/var/lib/registry"],
        ..known("registry", 25_423_116, &["/entrypoint.sh", "/etc/docker/registry/config.yml"])
    },
];

/// One that nobody knows.
static UNKNOWN: Known = known("", 5_591_300, &["/bin/sh"]);

/// Digits that are always the same for a text; they look like a hash and are none.
pub(super) fn digits(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    super::world::hex_id(&mut fastrand::Rng::with_seed(hash))
}

/// The image of that name and tag, as it comes from a registry, and the digest of its manifest.
pub(super) fn image(name: &str, tag: &str) -> (Image, String) {
    let last = name.rsplit('/').next().unwrap_or(name);
    let known = KNOWN.iter().find(|known| known.name == last).unwrap_or(&UNKNOWN);
    let list = |words: &[&str]| -> Option<Vec<String>> {
        (!words.is_empty()).then(|| words.iter().map(ToString::to_string).collect())
    };
    let set = |words: &[&str]| {
        (!words.is_empty()).then(|| words.iter().map(|word| (word.to_string(), Empty {})).collect())
    };
    let config = Config {
        entrypoint: list(known.entrypoint),
        cmd: list(known.command),
        env: list(known.env),
        exposed_ports: set(known.ports),
        volumes: set(known.volumes),
        working_dir: known.directory.to_string(),
        ..Config::default()
    };
    let full = format!("{name}:{tag}");
    let busybox = full == "busybox:latest";
    let id = if busybox {
        String::from("sha256:7f619c1ecd95bdb701f17ea69f6946ba214484cb76a702b5d79b85d28465672c")
    } else {
        format!("sha256:{}", digits(&format!("image {full}")))
    };
    let digest = if busybox {
        String::from("sha256:82978c6101def361cd7aa913992c3c35b1f850d4db8da69cc0f1fd0f8a59bd8f")
    } else {
        format!("sha256:{}", digits(&format!("manifest {full}")))
    };
    let created = Duration::from_secs(1_727_386_302);
    let step = |created_by: String, empty_layer| History {
        created,
        created_by,
        author: String::new(),
        comment: String::new(),
        empty_layer,
    };
    let command = serde_json::to_string(&config.cmd).unwrap_or_default();
    let history = Vec::from([
        step(format!("/bin/sh -c #(nop) ADD file:{} in / ", digits(&full)), false),
        step(format!("/bin/sh -c #(nop)  CMD {command}"), true),
    ]);
    let tree = Tree::of_image(last);
    let digest_of_layer = format!("sha256:{}", digits(&format!("layer {full}")));
    let layer = Layer { digest: digest_of_layer, size: known.size, tree: tree.clone() };
    let image = Image {
        id: id.into(),
        parent: None,
        created,
        comment: String::new(),
        author: String::new(),
        container: String::new(),
        container_config: None,
        config: config.into(),
        layers: Vec::from([layer]),
        history,
        tree,
    };
    (image, digest)
}

/// The names of the images that people know.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|known| known.name)
}
