//! Removing all that nothing needs: `POST /containers/prune` and its kin.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use serde::Serialize;
use serde_json::json;

use super::failures::invalid;
use super::filters::Filters;
use super::image_api::Deleted;
use super::images::Gone;
use super::versions::Dialect;
use super::world::World;
use crate::job::{Body, Failure, Job};

/// Whether all `label` filters match, and no `label!` one does.
pub(super) fn labels_match(filters: &Filters, labels: Option<&BTreeMap<String, String>>) -> bool {
    let has = |wanted: &str| {
        let (key, value) = wanted.split_once('=').map_or((wanted, None), |(k, v)| (k, Some(v)));
        let found = labels.and_then(|labels| labels.get(key));
        found.is_some_and(|found| value.is_none_or(|value| value == found))
    };
    filters.values("label").all(has) && !filters.values("label!").any(has)
}

/// The moment that an `until` filter names; what is younger stays.
pub(super) fn until(filters: &Filters, now: Duration) -> Option<Duration> {
    let text = filters.last("until")?;
    if let Some(lasted) = go_duration(text) {
        return Some(now.saturating_sub(lasted));
    }
    let nanos = super::events::timestamp(text).ok().flatten()?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// A duration as Go writes one: `1h30m`, `10s`, `1.5h`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |end| digits + end);
        let unit = match &rest[digits..unit_end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * unit).ok()?)?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Containers {
    containers_deleted: Option<Vec<Arc<str>>>,
    space_reclaimed: u64,
}

pub(super) fn answer(world: &mut World, job: &Job, dialect: Dialect) -> Result<Body, Failure> {
    let filters = Filters::parse(&job.env("filters").unwrap_or_default(), dialect)?;
    let check = |known: &[&str]| filters.only(known, dialect);
    if let Some(text) = filters.last("until")
        && go_duration(text).is_none()
        && super::events::timestamp(text).is_err()
    {
        return Err(invalid(alloc::format!("failed to parse value for \"until\": {text}")));
    }
    let some = |list: Vec<String>| if list.is_empty() { None } else { Some(list) };
    match job.name() {
        "container_prune" => {
            check(&["label", "label!", "until"])?;
            let (deleted, freed) = world.prune_containers(&filters);
            let reclaimed = freed.to_string();
            world.emit("container", "prune", "", &[("reclaimed", &reclaimed)]);
            let containers_deleted = (!deleted.is_empty()).then_some(deleted);
            super::json(&Containers { containers_deleted, space_reclaimed: freed })
        }
        "image_prune" => {
            check(&["dangling", "label", "label!", "until"])?;
            let dangling = filters.boolean("dangling", dialect)?.unwrap_or(true);
            let (deleted, freed) = world.prune_images(&filters, dangling)?;
            let reclaimed = freed.to_string();
            world.emit("image", "prune", "", &[("reclaimed", &reclaimed)]);
            let deleted = (!deleted.is_empty()).then_some(deleted);
            super::json(&json!({"ImagesDeleted": deleted, "SpaceReclaimed": freed}))
        }
        "network_prune" => {
            check(&["label", "label!", "until"])?;
            let deleted = world.prune_networks(&filters);
            world.emit("network", "prune", "", &[("reclaimed", "0")]);
            super::json(&json!({"NetworksDeleted": some(deleted)}))
        }
        "volume_prune" => {
            check(&["label", "label!", "all"])?;
            // Since 1.42 only volumes that nobody has named, unless all are asked for.
            let all = dialect.is_legacy() || filters.boolean("all", dialect)?.unwrap_or(false);
            let (deleted, freed) = world.prune_volumes(&filters, all);
            let reclaimed = freed.to_string();
            world.emit("volume", "prune", "", &[("reclaimed", &reclaimed)]);
            super::json(&json!({"VolumesDeleted": deleted, "SpaceReclaimed": freed}))
        }
        _ => super::json(&json!({"CachesDeleted": null, "SpaceReclaimed": 0})),
    }
}

impl World {
    fn prune_networks(&mut self, filters: &Filters) -> Vec<String> {
        let until = until(filters, self.now);
        // A network that a stopped container would be attached to again is free in the engine's eyes.
        let chosen: Vec<String> = self
            .networks
            .all
            .iter()
            .filter(|network| {
                !network.is_predefined()
                    && network.members.is_empty()
                    && until.is_none_or(|until| network.created <= until)
                    && labels_match(filters, Some(&network.labels))
            })
            .map(|network| network.name.to_string())
            .collect();
        chosen.into_iter().filter(|name| self.delete_network(name).is_ok()).collect()
    }

    fn prune_volumes(&mut self, filters: &Filters, all: bool) -> (Vec<String>, u64) {
        let chosen: Vec<_> = self
            .volumes
            .all
            .values()
            .filter(|volume| {
                volume.users.is_empty()
                    && (all || volume.anonymous)
                    && labels_match(filters, volume.labels.as_ref())
            })
            .map(|volume| (volume.name.to_string(), self.volume_size(volume)))
            .collect();
        let mut freed = 0;
        for (name, size) in &chosen {
            if self.delete_volume(name, false).is_ok() {
                freed += size;
            }
        }
        (chosen.into_iter().map(|(name, _)| name).collect(), freed)
    }

    fn prune_images(
        &mut self,
        filters: &Filters,
        dangling: bool,
    ) -> Result<(Vec<Deleted>, u64), Failure> {
        let until = until(filters, self.now);
        let chosen: Vec<_> = self
            .images
            .newest_first()
            .into_iter()
            .filter(|image| {
                (!dangling || self.images.tags_of(&image.id).next().is_none())
                    && !self.images.has_children(&image.id)
                    && !self.containers.iter().any(|container| container.image == image.id)
                    && until.is_none_or(|until| image.created <= until)
                    && labels_match(filters, image.config.labels.as_ref())
            })
            .map(|image| Arc::clone(&image.id))
            .collect();
        let (mut deleted, mut freed) = (Vec::new(), 0);
        for id in chosen {
            let gone = self.delete_image(&id, true, true)?;
            freed += gone.iter().map(Gone::bytes).sum::<u64>();
            deleted.extend(gone.into_iter().map(Deleted::from));
        }
        Ok((deleted, freed))
    }
}

#[cfg(test)]
mod tests {
    use super::go_duration;
    use core::time::Duration;

    #[test]
    fn durations_are_go_s() {
        for (text, millis) in [("10s", 10_000), ("1h30m", 5_400_000), ("1.5m", 90_000), ("7ms", 7)]
        {
            assert_eq!(go_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "s", "10x", "1h-", "99999999999999999999h"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }
}
