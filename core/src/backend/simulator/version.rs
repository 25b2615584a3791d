//! `GET /version`.

use alloc::string::{String, ToString};
use serde::Serialize;

use super::versions::Release;
use crate::docker::version::ApiVersion;

/// What `docker version` shows of the server (`SystemVersion`). The CLI reads the components, old clients the rest.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Version {
    platform: Platform,
    components: [Component; 4],
    version: &'static str,
    api_version: String,
    #[serde(rename = "MinAPIVersion")]
    min_api_version: String,
    git_commit: &'static str,
    go_version: &'static str,
    os: &'static str,
    arch: &'static str,
    kernel_version: &'static str,
    build_time: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Platform {
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Component {
    name: &'static str,
    version: &'static str,
    details: Details,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Details {
    #[serde(rename_all = "PascalCase")]
    Engine {
        api_version: String,
        arch: &'static str,
        build_time: &'static str,
        experimental: &'static str,
        git_commit: &'static str,
        go_version: &'static str,
        kernel_version: &'static str,
        #[serde(rename = "MinAPIVersion")]
        min_api_version: String,
        os: &'static str,
    },
    #[serde(rename_all = "PascalCase")]
    Helper { git_commit: &'static str },
}

/// What the engine says it is, so that nobody takes it for a real one.
pub(super) const PLATFORM: &str = "libswarm simulator";
/// The kernel that it would run on.
pub(super) const KERNEL: &str = "6.12.0-simulated";
const COMMIT: &str = "deaa69c";
const BUILT: &str = "2026-01-01T00:00:00.000000000+00:00";

impl Version {
    /// That of the engine which announces `newest`.
    pub(super) fn of(newest: ApiVersion) -> Self {
        let release = Release::announcing(newest);
        let helper = |name, version, git_commit| Component {
            name,
            version,
            details: Details::Helper { git_commit },
        };
        Self {
            platform: Platform { name: PLATFORM },
            components: [
                Component {
                    name: "Engine",
                    version: release.engine,
                    details: Details::Engine {
                        api_version: newest.to_string(),
                        arch: "amd64",
                        build_time: BUILT,
                        experimental: "false",
                        git_commit: COMMIT,
                        go_version: release.go,
                        kernel_version: KERNEL,
                        min_api_version: ApiVersion::MIN.to_string(),
                        os: "linux",
                    },
                },
                helper("containerd", release.containerd, release.containerd_commit),
                helper("runc", release.runc, release.runc_commit),
                helper("docker-init", release.init, release.init_commit),
            ],
            version: release.engine,
            api_version: newest.to_string(),
            min_api_version: ApiVersion::MIN.to_string(),
            git_commit: COMMIT,
            go_version: release.go,
            os: "linux",
            arch: "amd64",
            kernel_version: KERNEL,
            build_time: BUILT,
        }
    }
}
