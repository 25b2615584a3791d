//! What the zone holds: names, and the records that services, leaders and instances have.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::OnceCell;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str;

use super::message::{HEADER, POINTER, Query, Rcode, Reply, Section, kind};
use super::name::{LONGEST, Name};
use super::{DATAGRAM_RECORDS, Transport, ZONE};
use crate::discovery::instance::{digest, unhex};
use crate::discovery::{Instance, Registry};

/// The zone, and what of it was asked for.
#[derive(Debug)]
pub(super) struct Zone {
    random: fastrand::Rng,
    /// By names in lower case. What is asked for often is not put together each time.
    services: BTreeMap<Box<str>, Service>,
}

/// So many services that are no more may be kept, and as many more as there are services.
const SPARES: usize = 64;

/// A name of the zone's.
#[derive(PartialEq, Debug)]
enum Place {
    /// It is of another zone.
    Elsewhere,
    /// The zone itself.
    Apex,
    /// There is nothing of its own, but something below it.
    Branch,
    Unknown,
    /// A service, as the part of the name that it is, and its name in lower case.
    Service(Span, String),
    /// The same as `_NAME._proto`, and the protocol in lower case.
    Protocol(Span, String, String),
    Leader(Span, String),
    Instance(Span, String, Arc<Instance>),
}

/// Labels of the question, from one to before the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    from: usize,
    to: usize,
    /// The first label's underscore does not count.
    underscored: bool,
}

/// A service's records.
#[derive(Debug, Default)]
struct Service {
    /// How many services are alike but for case, and the last change of them.
    version: (usize, u64),
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
    targets: Vec<Target>,
    /// The instances whose attributes differ.
    texts: Vec<Arc<Instance>>,
    /// Places of targets by protocol, in lower case.
    protocols: BTreeMap<String, Vec<usize>>,
    /// All instances by their ids, once one was asked for so.
    ids: Option<BTreeMap<[u8; 16], Arc<Instance>>>,
}

/// An instance that has a port.
#[derive(Clone, Debug)]
struct Target {
    instance: Arc<Instance>,
    /// Its id in hexadecimal digits, once it was told.
    id: OnceCell<[u8; 32]>,
    host: Host,
    port: u16,
}

#[derive(Clone, Debug)]
enum Host {
    Ip(IpAddr),
    Name(Box<Name>),
}

fn id(instance: &Instance) -> [u8; 16] {
    digest(instance.protocol(), &instance.address)
}

fn hex(id: [u8; 16]) -> [u8; 32] {
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(id) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    digits
}

/// Where an address leads, and to which port. An address with a zone (`fe80::1%2`) has no record; a host's name is one's target
/// and nothing else, and is spelled as such names are (RFC 1123 section 2.1, with underscores).
fn parse(address: &str) -> Option<(Host, Option<u16>)> {
    if let Ok(socket) = address.parse::<SocketAddr>() {
        let zoned = matches!(socket, SocketAddr::V6(v6) if v6.scope_id() != 0);
        return (!zoned).then(|| (Host::Ip(socket.ip()), Some(socket.port())));
    }
    if let Ok(ip) = address.parse() {
        return Some((Host::Ip(ip), None));
    }
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let labels = host.strip_suffix('.').unwrap_or(host).split('.').map(str::as_bytes);
    let name = Name::from_labels(labels).filter(|_| host.bytes().all(is_host))?;
    Some((Host::Name(Box::new(name)), Some(port)))
}

impl Service {
    fn of<'a>(instances: impl Iterator<Item = &'a Arc<Instance>>) -> Self {
        let mut service = Self::default();
        let (mut ips, mut texts, mut known) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for instance in instances {
            // The same one of two services that are alike.
            if !known.insert((&*instance.address, instance.protocol())) {
                continue;
            }
            if let Some(attributes) = instance.attributes.as_ref().filter(|it| !it.is_empty())
                && texts.insert(attributes)
            {
                service.texts.push(Arc::clone(instance));
            }
            let Some((host, port)) = parse(&instance.address) else { continue };
            if let Host::Ip(ip) = host
                && ips.insert(ip)
            {
                match ip {
                    IpAddr::V4(v4) => service.v4.push(v4),
                    IpAddr::V6(v6) => service.v6.push(v6),
                }
            }
            if let Some(port) = port {
                let at = service.targets.len();
                let protocol = instance.protocol().into();
                service.protocols.entry(protocol).or_default().push(at);
                service.targets.push(Target {
                    instance: Arc::clone(instance),
                    id: OnceCell::new(),
                    host,
                    port,
                });
            }
        }
        service
    }
}

/// What is to be known of a question beside its name.
struct Asked<'a> {
    query: &'a Query,
    transport: Transport,
    /// The labels of its name.
    labels: Vec<&'a [u8]>,
    /// Where in the message the zone's name stands.
    zone: u16,
}

impl Asked<'_> {
    /// The labels of a service, as they were spelled.
    fn spelled(&self, span: Span) -> impl Iterator<Item = &[u8]> {
        let skip = usize::from(span.underscored);
        let labels = self.labels[span.from..span.to].iter().enumerate();
        labels.map(move |(nth, label)| if nth == 0 { &label[skip..] } else { label })
    }

    /// A service's name in lower case. `None`: no service can have it.
    fn folded(&self, span: Span) -> Option<String> {
        let mut folded = Vec::with_capacity(64);
        for label in self.spelled(span) {
            folded.extend(label.iter().map(u8::to_ascii_lowercase));
            folded.push(b'.');
        }
        folded.pop();
        String::from_utf8(folded).ok()
    }

    /// Whether an instance's name, which is longer than its service's, can be one at all.
    fn has_targets(&self, span: Span) -> bool {
        let service = self.spelled(span).map(<[u8]>::len);
        // And the id, `_i`, the zone, and the empty label.
        let labels = service.chain([32, 2, ZONE.len(), 0]);
        labels.map(|label| 1 + label).sum::<usize>() <= LONGEST
    }

    /// Writes the name of an instance.
    fn write_target(&self, span: Span, id: &[u8; 32], out: &mut Vec<u8>) {
        let labels = [&id[..]].into_iter().chain(self.spelled(span));
        for label in labels.chain([&b"_i"[..], ZONE.as_bytes()]) {
            out.push(label.len() as u8);
            out.extend_from_slice(label);
        }
        out.push(0);
    }
}

/// Whether a name is one of the zone's.
pub(super) fn is_ours(name: &Name) -> bool {
    name.labels().last().is_some_and(|label| label.eq_ignore_ascii_case(ZONE.as_bytes()))
}

impl Zone {
    pub(super) fn new(random: fastrand::Rng) -> Self {
        Self { random, services: BTreeMap::new() }
    }

    #[cfg(test)]
    pub(super) fn services(&self) -> usize {
        self.services.len()
    }

    /// Writes the records that a name of this zone's has.
    pub(super) fn answer(
        &mut self,
        query: &Query,
        transport: Transport,
        registry: &Registry,
        reply: &mut Reply<'_>,
    ) -> Rcode {
        let labels: Vec<&[u8]> = query.question.name.labels().collect();
        let zone = HEADER + query.question.name.wire().len() - ZONE.len() - 2;
        let asked = Asked { query, transport, labels, zone: zone as u16 };
        let place = self.place(&asked, registry);
        let kind = query.question.kind;
        let is_there = match &place {
            Place::Elsewhere => return Rcode::Refused,
            Place::Unknown => {
                write_soa(&asked, Section::Authority, registry, reply);
                return Rcode::NxDomain;
            }
            Place::Apex => answer_apex(&asked, registry, reply),
            Place::Branch => false,
            _ if kind == kind::ANY => {
                // One record in place of all of them (RFC 8482 section 4.2).
                let data = |out: &mut Vec<u8>| out.extend_from_slice(b"\x07RFC8482\0");
                reply.record(Section::Answer, HEADER as u16, kind::HINFO, data);
                true
            }
            Place::Service(span, folded) => {
                let Self { random, services } = self;
                services
                    .get(&**folded)
                    .is_some_and(|service| write(&asked, *span, service, None, random, reply))
            }
            Place::Protocol(span, folded, protocol) => {
                let Self { random, services } = self;
                services.get(&**folded).is_some_and(|service| {
                    write(&asked, *span, service, service.protocols.get(protocol), random, reply)
                })
            }
            Place::Leader(span, folded) => leader(registry, folded).is_some_and(|leader| {
                let service = Service::of([leader].into_iter());
                write(&asked, *span, &service, None, &mut self.random, reply)
            }),
            Place::Instance(span, _, instance) => {
                let service = Service::of([instance].into_iter());
                write(&asked, *span, &service, None, &mut self.random, reply)
            }
        };
        if !is_there {
            write_soa(&asked, Section::Authority, registry, reply);
        }
        Rcode::NoError
    }

    /// What a name is. The names that have a meaning of their own come before services that are called so.
    fn place(&mut self, asked: &Asked<'_>, registry: &Registry) -> Place {
        let Some((zone, labels)) = asked.labels.split_last() else { return Place::Elsewhere };
        if !zone.eq_ignore_ascii_case(ZONE.as_bytes()) {
            return Place::Elsewhere;
        }
        let count = labels.len();
        let (Some(first), Some(last)) = (labels.first(), labels.last()) else { return Place::Apex };
        let span = |from, to, underscored| Span { from, to, underscored };
        if last.eq_ignore_ascii_case(b"_i") {
            if count == 1 {
                return Place::Branch;
            }
            if let Some(id) = unhex(first).filter(|_| count > 2)
                && let Some((span, folded)) = self.find(asked, registry, span(1, count - 1, false))
                && let Some(instance) = self.instance(&folded, id, registry)
            {
                return Place::Instance(span, folded, instance);
            }
            if self.find(asked, registry, span(0, count - 1, false)).is_some() {
                return Place::Branch;
            }
        } else if let (Some(b'_'), Some(b'_')) = (first.first(), last.first()) {
            if first.len() > 1
                && count > 1
                && let Some((span, folded)) = self.find(asked, registry, span(0, count - 1, true))
                && let Ok(protocol) = str::from_utf8(&last[1..]).map(str::to_ascii_lowercase)
                && self
                    .services
                    .get(&*folded)
                    .is_some_and(|it| it.protocols.contains_key(&protocol))
            {
                return Place::Protocol(span, folded, protocol);
            }
        } else if first.eq_ignore_ascii_case(b"leader")
            && count > 1
            && let Some((span, folded)) = self.find(asked, registry, span(1, count, false))
        {
            return Place::Leader(span, folded);
        }
        if let Some((span, folded)) = self.find(asked, registry, span(0, count, false)) {
            return Place::Service(span, folded);
        }
        let Some(folded) = asked.folded(span(0, count, false)) else { return Place::Unknown };
        if registry.has_below(&folded) || is_above_marked(&folded, registry) {
            Place::Branch
        } else {
            Place::Unknown
        }
    }

    /// The service that some of the labels name.
    fn find(
        &mut self,
        asked: &Asked<'_>,
        registry: &Registry,
        span: Span,
    ) -> Option<(Span, String)> {
        let folded = asked.folded(span)?;
        self.service(&folded, registry).then_some((span, folded))
    }

    /// Has the records of a service at hand, as they are now. False: there is no such service.
    fn service(&mut self, folded: &str, registry: &Registry) -> bool {
        let mut version = (0, 0);
        for (_, changed) in registry.alike(folded) {
            version = (version.0 + 1, version.1.max(changed));
        }
        if version.0 == 0 {
            self.services.remove(folded);
            return false;
        }
        if self.services.get(folded).is_none_or(|service| service.version != version) {
            if self.services.len() >= 2 * registry.services_at_most() + SPARES {
                self.services.retain(|folded, _| registry.alike(folded).next().is_some());
            }
            let all = registry.alike(folded).flat_map(|(name, _)| registry.instances(name));
            self.services.insert(folded.into(), Service { version, ..Service::of(all) });
        }
        true
    }

    fn instance(
        &mut self,
        folded: &str,
        wanted: [u8; 16],
        registry: &Registry,
    ) -> Option<Arc<Instance>> {
        let service = self.services.get_mut(folded)?;
        let ids = service.ids.get_or_insert_with(|| {
            let all = registry.alike(folded).flat_map(|(name, _)| registry.instances(name));
            all.map(|instance| (id(instance), Arc::clone(instance))).collect()
        });
        ids.get(&wanted).cloned()
    }
}

/// Whether a name has names of protocols or instances below it: with a service `web.example`, `example._tcp` and `example._i` have.
/// That the protocol is another service's is not looked for: then there is nothing below, and it makes no difference to anybody.
fn is_above_marked(folded: &str, registry: &Registry) -> bool {
    let (services, mark) = match folded.rsplit_once('.') {
        Some((services, mark)) => (Some(services), mark),
        None => (None, folded),
    };
    let is_protocol = |mark: &str| mark.strip_prefix('_').is_some_and(|it| registry.speaks(it));
    (mark == "_i" || is_protocol(mark)) && services.is_none_or(|it| registry.has_below(it))
}

/// The leader of all services that are alike: the oldest of theirs.
fn leader<'a>(registry: &'a Registry, folded: &'a str) -> Option<&'a Arc<Instance>> {
    registry.alike(folded).filter_map(|(name, _)| registry.leader(name)).min_by_key(|it| it.created)
}

/// The zone's own records. It is its own server, and has no address: that depends on from where one looks.
fn answer_apex(asked: &Asked<'_>, registry: &Registry, reply: &mut Reply<'_>) -> bool {
    match asked.query.question.kind {
        kind::SOA | kind::ANY => {
            write_soa(asked, Section::Answer, registry, reply);
            true
        }
        kind::NS => {
            let zone = asked.zone;
            let data = |out: &mut Vec<u8>| out.extend_from_slice(&(POINTER | zone).to_be_bytes());
            reply.record(Section::Answer, zone, kind::NS, data);
            true
        }
        _ => false,
    }
}

/// The beginning of the zone, which also says how long it is true that there is nothing: not at all. Its serial number is the
/// store's index.
fn write_soa(asked: &Asked<'_>, section: Section, registry: &Registry, reply: &mut Reply<'_>) {
    let zone = POINTER | asked.zone;
    let serial = registry.index() as u32;
    reply.record(section, asked.zone, kind::SOA, |out| {
        out.extend_from_slice(&zone.to_be_bytes());
        out.extend_from_slice(b"\x0ahostmaster");
        out.extend_from_slice(&zone.to_be_bytes());
        // Nobody transfers it; the numbers are those of a zone that changes all the time.
        for number in [serial, 10, 10, 60, 0] {
            out.extend_from_slice(&number.to_be_bytes());
        }
    });
}

/// Which of so many records are told, by chance: a few in a datagram, in a stream all that fit in,
/// beginning anywhere.
fn pick(
    random: &mut fastrand::Rng,
    count: usize,
    transport: Transport,
) -> impl Iterator<Item = usize> {
    let mut few = [0; DATAGRAM_RECORDS];
    let (few_count, start) = match transport {
        Transport::Udp => {
            let wanted = count.min(DATAGRAM_RECORDS);
            for nth in 0..wanted {
                few[nth] = loop {
                    let at = random.usize(..count);
                    if !few[..nth].contains(&at) {
                        break at;
                    }
                };
            }
            (wanted, count)
        }
        Transport::Tcp => (0, if count == 0 { 0 } else { random.usize(..count) }),
    };
    let end = if transport == Transport::Tcp { start } else { 0 };
    few.into_iter().take(few_count).chain(start..count).chain(0..end)
}

/// Writes a service's records of the kind that is asked for. Returns whether it has any.
fn write(
    asked: &Asked<'_>,
    span: Span,
    service: &Service,
    places: Option<&Vec<usize>>,
    random: &mut fastrand::Rng,
    reply: &mut Reply<'_>,
) -> bool {
    let kind = asked.query.question.kind;
    let own = HEADER as u16;
    let transport = asked.transport;
    let has_targets = asked.has_targets(span);
    let count = match kind {
        kind::SRV => places.map_or(service.targets.len(), Vec::len),
        // A protocol has nothing but these.
        _ if span.underscored => 0,
        kind::A => service.v4.len(),
        kind::AAAA => service.v6.len(),
        kind::TXT => service.texts.len(),
        _ => 0,
    };
    let mut beside = Vec::new();
    let mut is_there = false;
    for at in pick(random, count, transport) {
        let written = match kind {
            kind::A => {
                let ip = service.v4[at].octets();
                reply.record(Section::Answer, own, kind, |out| out.extend_from_slice(&ip))
            }
            kind::AAAA => {
                let ip = service.v6[at].octets();
                reply.record(Section::Answer, own, kind, |out| out.extend_from_slice(&ip))
            }
            kind::TXT => {
                let instance = &service.texts[at];
                reply.record(Section::Answer, own, kind, |out| write_text(instance, out))
            }
            _ => {
                let target = &service.targets[places.map_or(at, |places| places[at])];
                if !has_targets && matches!(target.host, Host::Ip(_)) {
                    continue;
                }
                let written = reply.record(Section::Answer, own, kind, |out| {
                    // Of equal priority and weight. RFC 2782 has the target without compression.
                    out.extend_from_slice(&[0, 1, 0, 1]);
                    out.extend_from_slice(&target.port.to_be_bytes());
                    match &target.host {
                        Host::Ip(_) => {
                            let id = target.id.get_or_init(|| hex(id(&target.instance)));
                            asked.write_target(span, id, out);
                        }
                        Host::Name(name) => out.extend_from_slice(name.wire()),
                    }
                });
                if let (Some(data), Host::Ip(ip)) = (written, &target.host) {
                    beside.push((data + 6, *ip));
                }
                written
            }
        };
        is_there = true;
        if written.is_none() {
            // Over TCP nobody could ask again for more; which ones are left out is chance.
            if transport == Transport::Udp {
                reply.truncate();
            }
            return true;
        }
    }
    for (at, ip) in beside {
        let written = match ip {
            IpAddr::V4(ip) => reply.beside(at, kind::A, &ip.octets()),
            IpAddr::V6(ip) => reply.beside(at, kind::AAAA, &ip.octets()),
        };
        // What does not fit in can be asked for (RFC 2181 section 9).
        if written.is_none() {
            break;
        }
    }
    is_there
}

/// The attributes, each as `key=value` (RFC 1464), in strings of at most 255 bytes.
fn write_text(instance: &Instance, out: &mut Vec<u8>) {
    for (key, value) in instance.attributes.iter().flatten() {
        let text = [key, "=", value].concat();
        for piece in text.as_bytes().chunks(255) {
            out.push(piece.len() as u8);
            out.extend_from_slice(piece);
        }
    }
}
