//! `GET /system/df`.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;
use serde::Serialize;

use super::image_api::ImageSummary;
use super::list::Summary;
use super::select::Query;
use super::versions::Dialect;
use super::volume_api::Shown as ShownVolume;
use super::world::World;
use crate::job::{Failure, FailureKind, Job};

/// What `docker system df` shows. Up to 1.52 the things themselves, from 1.52 on what they come to.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DiskUsage<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    layers_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<Vec<ImageSummary<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    containers: Option<Vec<Summary<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<Vec<ShownVolume<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_cache: Option<Option<[(); 0]>>,
    /// Until 1.41.
    #[serde(skip_serializing_if = "Option::is_none")]
    builder_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_usage: Option<Usage<Vec<ImageSummary<'a>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_usage: Option<Usage<Vec<Summary<'a>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume_usage: Option<Usage<Vec<ShownVolume<'a>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_cache_usage: Option<Usage<[(); 0]>>,
}

/// What all things of one kind come to.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Usage<T> {
    active_count: usize,
    total_count: usize,
    reclaimable: u64,
    total_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<T>,
}

/// What is asked for.
struct Wanted {
    containers: bool,
    images: bool,
    volumes: bool,
    build_cache: bool,
    /// In the new form: the things themselves, too.
    verbose: Option<bool>,
}

impl<'a> DiskUsage<'a> {
    pub(super) fn of(
        job: &Job,
        world: &'a World,
        now: Duration,
        dialect: Dialect,
    ) -> Result<Self, Failure> {
        let wanted = Wanted::by(job, dialect)?;
        let old = dialect.before(52) || dialect.before(53) && wanted.verbose.is_none();
        let new = !dialect.before(52);
        let items = new && wanted.verbose == Some(true);
        let containers = || {
            let selected = Query::everything().select(world, dialect)?;
            let summaries =
                selected.into_iter().map(|c| Summary::of(c, world, true, now, dialect).0).collect();
            Ok::<Vec<_>, Failure>(summaries)
        };
        let images = || ImageSummary::used(world, dialect);
        let volumes = || {
            let all = world.volumes.all.values();
            all.map(|volume| ShownVolume::with_usage(volume, world)).collect::<Vec<_>>()
        };
        let both = |asked: bool, form: bool| (asked && form).then_some(());
        let used = |id: &str| world.containers.iter().any(|container| &*container.image == id);
        let image_sizes = |which: &dyn Fn(&str) -> bool| -> u64 {
            let all = world.images.without_intermediate().into_iter();
            all.filter(|image| which(&image.id)).map(|image| image.size()).sum()
        };
        let written = |which: fn(&super::container::Container) -> bool| {
            world.containers.iter().filter(|c| which(c)).map(|c| world.size_rw_of(c)).sum()
        };
        let volume_sizes = |unused: bool| -> u64 {
            let all = world.volumes.all.values();
            all.filter(|volume| !unused || volume.users.is_empty())
                .map(|v| world.volume_size(v))
                .sum()
        };
        Ok(Self {
            layers_size: both(wanted.images, old).map(|()| world.layers_size()),
            images: both(wanted.images, old).map(|()| images()),
            containers: both(wanted.containers, old).map(|()| containers()).transpose()?,
            volumes: both(wanted.volumes, old).map(|()| volumes()),
            build_cache: both(wanted.build_cache, old).map(|()| dialect.since(42, [])),
            builder_size: dialect.until(42, 0),
            image_usage: both(wanted.images, new).map(|()| Usage {
                active_count: world
                    .images
                    .without_intermediate()
                    .iter()
                    .filter(|i| used(&i.id))
                    .count(),
                total_count: world.images.without_intermediate().len(),
                reclaimable: image_sizes(&|id| !used(id)),
                total_size: image_sizes(&|_| true),
                items: items.then(images),
            }),
            volume_usage: both(wanted.volumes, new).map(|()| Usage {
                active_count: world.volumes.all.values().filter(|v| !v.users.is_empty()).count(),
                total_count: world.volumes.all.len(),
                reclaimable: volume_sizes(true),
                total_size: volume_sizes(false),
                items: items.then(volumes),
            }),
            container_usage: both(wanted.containers, new)
                .map(|()| {
                    Ok::<_, Failure>(Usage {
                        active_count: world.count(super::container::State::is_running),
                        total_count: world.containers.len(),
                        reclaimable: written(|container| !container.state.is_running()),
                        total_size: written(|_| true),
                        items: items.then(containers).transpose()?,
                    })
                })
                .transpose()?,
            build_cache_usage: both(wanted.build_cache, new).map(|()| Usage::nothing(items)),
        })
    }
}

impl Usage<[(); 0]> {
    fn nothing(items: bool) -> Self {
        let items = items.then_some([]);
        Self { active_count: 0, total_count: 0, reclaimable: 0, total_size: 0, items }
    }
}

impl Wanted {
    fn by(job: &Job, dialect: Dialect) -> Result<Self, Failure> {
        let refused = |message| Failure::new(FailureKind::InvalidParameter, message);
        let verbose = match job.env("verbose").as_deref() {
            None | Some("") => None,
            _ if dialect.before(52) => None,
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Some(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Some(false),
            Some(other) => return Err(refused(format!("invalid value for verbose: {other}"))),
        };
        let types: Vec<_> = job
            .envs()
            .filter(|(key, _)| key == "type" && !dialect.before(42))
            .map(|(_, value)| value)
            .collect();
        let known = ["container", "image", "volume", "build-cache"];
        if let Some(other) = types.iter().find(|kind| !known.contains(&&***kind)) {
            return Err(refused(format!("unknown object type: {other}")));
        }
        let wants = |kind: &str| types.is_empty() || types.iter().any(|wanted| *wanted == kind);
        Ok(Self {
            containers: wants("container"),
            images: wants("image"),
            volumes: wants("volume"),
            build_cache: wants("build-cache"),
            verbose,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::versions::Dialect;
    use super::super::world::tests::{START, four, world};
    use super::DiskUsage;
    use crate::docker::version::ApiVersion;
    use crate::job::Job;
    use alloc::string::String;
    use alloc::vec::Vec;
    use serde_json::{Value, json};

    fn usage(minor: u16, env: &[(&str, &str)]) -> Value {
        let job = env.iter().fold(Job::new("system_df"), |job, (k, v)| job.with_env(*k, *v));
        let world = four();
        let usage = DiskUsage::of(&job, &world, START, Dialect::new(ApiVersion::new(1, minor)));
        match usage {
            Ok(usage) => serde_json::to_value(usage).unwrap(),
            Err(failure) => Value::String(failure.message.into_owned()),
        }
    }

    fn keys(usage: &Value) -> String {
        let keys: Vec<&str> = usage.as_object().unwrap().keys().map(String::as_str).collect();
        keys.join(" ")
    }

    #[test]
    fn each_version_has_its_form() {
        let old = "BuildCache Containers Images LayersSize Volumes";
        let new = "BuildCacheUsage ContainerUsage ImageUsage VolumeUsage";
        assert_eq!(keys(&usage(41, &[])), alloc::format!("BuildCache BuilderSize {}", &old[11..]));
        assert_eq!(keys(&usage(51, &[("verbose", "1")])), old);
        assert_eq!(
            keys(&usage(52, &[])),
            "BuildCache BuildCacheUsage ContainerUsage Containers ImageUsage Images LayersSize VolumeUsage \
             Volumes"
        );
        assert_eq!(keys(&usage(52, &[("verbose", "0")])), new);
        assert_eq!(keys(&usage(53, &[])), new);
        assert_eq!(usage(41, &[])["BuildCache"], json!(null));
        assert_eq!(usage(42, &[])["BuildCache"], json!([]));
    }

    #[test]
    fn numbers_add_up() {
        let old = usage(41, &[]);
        assert_eq!(old["LayersSize"], old["Images"][0]["Size"]);
        assert_eq!(old["Images"][0]["Containers"], json!(4));
        assert_eq!(old["Images"][0]["VirtualSize"], old["Images"][0]["Size"]);
        assert_eq!(old["Containers"].as_array().map(Vec::len), Some(4));
        assert_eq!(old["Containers"][0]["SizeRootFs"], old["LayersSize"]);
        let new = usage(55, &[("verbose", "true")]);
        assert_eq!(new["ContainerUsage"]["TotalCount"], json!(4));
        assert_eq!(new["ContainerUsage"]["ActiveCount"], json!(2));
        assert_eq!(new["ContainerUsage"]["Items"].as_array().map(Vec::len), Some(4));
        assert_eq!(new["ImageUsage"]["TotalSize"], old["LayersSize"]);
        assert_eq!(new["ImageUsage"]["Items"][0].get("VirtualSize"), None);
        assert_eq!(usage(55, &[])["ImageUsage"].get("Items"), None);
    }

    #[test]
    fn an_image_that_nothing_uses_can_be_reclaimed() {
        let world = world(&[]);
        let newest = Dialect::new(ApiVersion::MAX);
        let usage = DiskUsage::of(&Job::new("system_df"), &world, START, newest).unwrap();
        let usage = serde_json::to_value(usage).unwrap();
        assert_eq!(usage["ImageUsage"]["Reclaimable"], json!(world.layers_size()));
    }

    #[test]
    fn types_choose_from_1_42_on() {
        let types = [("type", "image"), ("type", "volume")];
        assert_eq!(keys(&usage(53, &types)), "ImageUsage VolumeUsage");
        assert_eq!(keys(&usage(44, &types)), "Images LayersSize Volumes");
        assert_eq!(keys(&usage(41, &types)), keys(&usage(41, &[])));
        assert_eq!(usage(42, &[("type", "bogus")]), json!("unknown object type: bogus"));
        assert_eq!(usage(52, &[("verbose", "x")]), json!("invalid value for verbose: x"));
    }
}
