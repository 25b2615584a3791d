//! What a target may answer as it likes: the one list, with a reason for each.
//!
//! Ids, digests, addresses and times stand nowhere here: they are bound (see `bind`), in every text.

/// A place in answers.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The request's method and path, without its version; `*` stands for anything.
    pub route: &'static str,
    /// The members on the way to the value, joined by dots; `*` stands for anything, elements of an array have no name.
    pub path: &'static str,
    /// How far it may differ.
    pub how: How,
    /// Why no client can depend on it.
    pub why: &'static str,
}

/// How far a place may differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// Any value of the same type.
    Value,
    /// Any value at all, or none.
    Whole,
    /// The same elements in any order.
    Order,
    /// A name that was made up: bound like an id.
    Name,
}

const fn place(route: &'static str, path: &'static str, how: How, why: &'static str) -> Place {
    Place { route, path, how, why }
}

const MACHINE: &str = "the machine, not the API";
const CLOCK: &str = "when it happened";
const LUCK: &str = "the engine draws it";
const SIZE: &str = "depends on the storage driver";
const FILE: &str = "a file of the engine's own";
const MAP: &str = "the engine's own order is that of a map";
const LOAD: &str = "what the machine happens to do";

/// The list.
pub const PLACES: &[Place] = &[
    place("*", "DockerVersion", How::Value, "the engine's own version"),
    place(
        "*",
        "Config.NetworkDisabled",
        How::Whole,
        "an engine without a default network says so, as the recorded one",
    ),
    place("*", "ResolvConfPath", How::Value, FILE),
    place("*", "HostnamePath", How::Value, FILE),
    place("*", "HostsPath", How::Value, FILE),
    place("*", "*Mountpoint", How::Value, FILE),
    place("*", "*Mounts.Source", How::Value, FILE),
    place("* /info", "*", How::Value, MACHINE),
    place("* /info", "Labels", How::Whole, MACHINE),
    place("* /info", "DriverStatus", How::Whole, MACHINE),
    place("* /info", "SystemStatus", How::Whole, MACHINE),
    place("* /info", "Plugins", How::Whole, MACHINE),
    place("* /info", "RegistryConfig", How::Whole, MACHINE),
    place("* /info", "Runtimes", How::Whole, MACHINE),
    place("* /info", "SecurityOptions", How::Whole, MACHINE),
    place("* /info", "Warnings", How::Whole, MACHINE),
    place("* /version", "*", How::Value, MACHINE),
    place("* /version", "Components", How::Whole, MACHINE),
    place("*", "Created", How::Value, CLOCK),
    place("*", "time", How::Value, CLOCK),
    place("*", "timeNano", How::Value, CLOCK),
    place("GET /system/df", "*Created", How::Value, CLOCK),
    place("*", "Metadata.LastTagTime", How::Value, CLOCK),
    place("*", "*.CreatedAt", How::Value, CLOCK),
    place("*", "Status", How::Value, CLOCK),
    place("*", "*Pid", How::Value, LUCK),
    place("*", "IPAM.Config.Subnet", How::Value, "the first range that is free on the machine"),
    place("*", "*IPPrefixLen", How::Value, "the first range that is free on the machine"),
    place(
        "GET /networks/*",
        "Containers.*.IPv4Address",
        How::Value,
        "the first range that is free on the machine",
    ),
    place("*", "Name", How::Name, LUCK),
    place("*", "Names", How::Name, LUCK),
    place("GET /system/df", "*Names", How::Name, LUCK),
    place("*", "Actor.Attributes.name", How::Name, LUCK),
    place("*", "Size", How::Value, SIZE),
    place("*", "VirtualSize", How::Value, SIZE),
    place("*", "SharedSize", How::Value, SIZE),
    place("GET /system/df", "*Size", How::Value, SIZE),
    place("*", "*SizeRw", How::Value, SIZE),
    place("*", "*SizeRootFs", How::Value, SIZE),
    place("*", "LayersSize", How::Value, SIZE),
    place("*", "SpaceReclaimed", How::Value, SIZE),
    place("*", "GraphDriver", How::Whole, SIZE),
    place("*", "NetworkSettings.SandboxKey", How::Value, FILE),
    place(
        "*",
        "LogPath",
        How::Value,
        "a file of the engine's own, which it has only when the container has started",
    ),
    place("GET /containers/*/json", "Driver", How::Value, SIZE),
    place("*/stats", "*", How::Whole, LOAD),
    place("*/top", "Processes", How::Whole, LOAD),
    place("* /volumes", "Volumes", How::Order, MAP),
    place("* /networks", "", How::Order, MAP),
    place("*/changes", "", How::Order, MAP),
    place("* /images/json", "", How::Order, "images of one second have no order"),
    place("GET /system/df", "Images", How::Order, MAP),
    place("GET /system/df", "Volumes", How::Order, MAP),
    place("*/prune", "ContainersDeleted", How::Order, MAP),
    place("*/prune", "VolumesDeleted", How::Order, MAP),
    place("*/prune", "NetworksDeleted", How::Order, MAP),
];

/// Response headers that clients look at, in the answers to which requests, and what for. All others are free, and so are
/// Content-Length and Transfer-Encoding: a short answer has a length in one engine and chunks in another, and no client sees
/// which. What ends how is looked at itself.
pub const HEADERS: &[(&str, &str, &str)] = &[
    (
        "*",
        "content-type",
        "clients decode what it names: JSON, a raw or a multiplexed stream, a tar",
    ),
    ("*/_ping", "ostype", "the docker command asks whether the engine runs Linux or Windows"),
    ("*/_ping", "docker-experimental", "older docker commands hide options without it"),
    ("*", "x-docker-container-path-stat", "`docker cp` decides by it what it copies to where"),
    ("*", "location", "clients follow it"),
];

/// Whether clients look at that header of an answer to `route`.
#[must_use]
pub fn is_looked_at(route: &str, header: &str) -> bool {
    HEADERS.iter().any(|(at, name, _)| name.eq_ignore_ascii_case(header) && fits(at, route))
}

/// Whether `text` fits a pattern in which `*` stands for anything.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len())
                .filter(|at| rest.is_char_boundary(*at))
                .any(|at| fits(tail, &rest[at..]))
        }),
    }
}

/// How far the value at `path` of an answer to `route` may differ.
#[must_use]
pub fn at(route: &str, path: &str) -> Option<How> {
    let found = |how| {
        PLACES
            .iter()
            .any(|place| place.how == how && fits(place.route, route) && fits(place.path, path))
    };
    [How::Whole, How::Value, How::Order, How::Name].into_iter().find(|how| found(*how))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, fit) in [
            ("*", "", true),
            ("*", "a/b", true),
            ("GET /a", "GET /a", true),
            ("*/stats", "GET /containers/x/stats", true),
            ("*/stats", "GET /containers/x/stats/y", false),
            ("*Pid", "State.Pid", true),
            ("", "", true),
            ("", "x", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
        assert_eq!(at("GET /containers/json", "Created"), Some(How::Value));
        assert_eq!(at("GET /containers/x/json", "State.Status"), None);
        assert_eq!(at("GET /info", "Plugins"), Some(How::Whole));
        assert!(PLACES.iter().all(|place| !place.why.is_empty()));
    }
}
