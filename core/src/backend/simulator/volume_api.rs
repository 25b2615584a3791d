//! The requests about volumes.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;

use super::body;
use super::clock::Rfc3339;
use super::filters::Filters;
use super::pattern::Pattern;
use super::versions::Dialect;
use super::volumes::{NewVolume, Volume};
use super::world::World;
use crate::job::{Body, Failure, Job};

/// A volume, as clients see it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown<'a> {
    created_at: Rfc3339,
    driver: &'static str,
    labels: &'a Option<BTreeMap<String, String>>,
    mountpoint: String,
    name: &'a str,
    options: &'a Option<BTreeMap<String, String>>,
    scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_data: Option<UsageData>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UsageData {
    ref_count: usize,
    size: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct List<'a> {
    volumes: Vec<Shown<'a>>,
    warnings: (),
}

const KNOWN: [&str; 4] = ["dangling", "driver", "label", "name"];

impl<'a> Shown<'a> {
    pub(super) fn of(volume: &'a Volume) -> Self {
        Self {
            // The engine takes it from the folder, in whole seconds.
            created_at: Rfc3339(core::time::Duration::from_secs(volume.created.as_secs())),
            driver: "local",
            labels: &volume.labels,
            mountpoint: volume.mountpoint(),
            name: &volume.name,
            options: &volume.options,
            scope: "local",
            usage_data: None,
        }
    }

    pub(super) fn with_usage(volume: &'a Volume, world: &World) -> Self {
        let (ref_count, size) = (volume.users.len(), world.volume_size(volume));
        Self { usage_data: Some(UsageData { ref_count, size }), ..Self::of(volume) }
    }
}

impl World {
    /// Bytes of what is in a volume.
    pub(super) fn volume_size(&self, volume: &Volume) -> u64 {
        self.store.get(volume.tree).map_or(0, |tree| tree.used().bytes)
    }
}

pub(super) fn answer(
    world: &mut World,
    name: &str,
    job: &Job,
    body: &[u8],
    dialect: Dialect,
) -> Result<Option<Body>, Failure> {
    let wanted = job.arg(0).unwrap_or_default();
    Ok(Some(match name {
        "volumes" => {
            let filters = Filters::parse(&job.env("filters").unwrap_or_default(), dialect)?;
            filters.only(&KNOWN, dialect)?;
            let dangling = filters.boolean("dangling", dialect)?;
            let names: Vec<_> = filters.values("name").map(Pattern::parse).collect();
            let volumes = world.volumes.all.values().filter(|volume| {
                dangling.is_none_or(|dangling| dangling == volume.users.is_empty())
                    && filters.allow("driver", "local")
                    && super::prune::labels_match(&filters, volume.labels.as_ref())
                    && (names.is_empty()
                        || names.iter().flatten().any(|pattern| pattern.matches(&volume.name)))
            });
            super::json(&List { volumes: volumes.map(Shown::of).collect(), warnings: () })?
        }
        "volume_create" => {
            let new: NewVolume = body::decode(body, "VolumeCreateBody", dialect)?;
            let name = world.create_volume(new)?;
            super::json(&Shown::of(world.volumes.find(&name)?))?
        }
        "volume_inspect" => super::json(&Shown::of(world.volumes.find(&wanted)?))?,
        "volume_delete" => {
            world.delete_volume(&wanted, job.flag("force"))?;
            Body::Static(b"")
        }
        _ => return Ok(None),
    }))
}
