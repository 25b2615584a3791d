//! Any bytes, and any service.

use proptest::prelude::*;

use super::*;

proptest! {
    /// Any bytes are answered within bounds or not at all; what is answered can be read.
    #[test]
    fn any_datagram_is_taken(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut world = World::new();
        world.put("web", "10.0.0.1:80", &[]);
        let mut out = Vec::new();
        world.server.query(Instant::ZERO, UDP, &bytes, Some(&world.registry), &mut out);
        prop_assert!(out.len() <= 1232);
        if !out.is_empty() {
            prop_assert_eq!((&out[..2], out[2] & 0x80), (&bytes[..2], 0x80));
        }
    }

    /// Whatever is registered, each name of it answers, in a size that was asked for; what SRV records name can be asked for.
    #[test]
    fn any_service_is_found(
        name in "[a-zA-Z_. ]{1,12}",
        addresses in prop::collection::btree_set("(10\\.0\\.0\\.[0-9]:[0-9]{1,3}|\\[::[0-9]\\]:[0-9]|host\\.x:[0-9]|[a-z:]{1,4})", 1..8),
        size in 0..2000_u16,
    ) {
        let mut world = World::new();
        for address in &addresses {
            world.put(&name, address, &[("k", "v")]);
        }
        let asked = format!("{}.discoverd", name.replace('.', "\\."));
        for kind in [kind::A, kind::AAAA, kind::SRV, kind::TXT] {
            let message = ask(&asked, kind, Some((size, 0)));
            let answer = world.send(UDP, &message).unwrap();
            prop_assert_eq!(answer.rcode, 0);
            prop_assert!(answer.length <= usize::from(size.clamp(512, 1232)));
            let all = world.send(TCP, &message).unwrap().sections;
            if kind == kind::SRV {
                for record in &all[0] {
                    let (_, target) = record.rsplit_once(' ').unwrap();
                    // Those of hosts are not ours, also where the service itself is named like an instance.
                    if !target.ends_with("._i.discoverd.") {
                        continue;
                    }
                    let found = [kind::A, kind::AAAA].map(|kind| world.data(UDP, target, kind).len());
                    prop_assert_eq!(found[0] + found[1], 1, "{}", record);
                }
            }
        }
    }

    #[test]
    fn a_question_is_read_as_it_was_written(
        labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..8),
        kind: u16, class: u16, id: u16, size: u16, dnssec: bool, has_edns: bool,
    ) {
        let name = Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
        let edns = has_edns.then_some(Edns { size, version: 0, dnssec });
        let query = Query { id: 1, flags: 0x0110, question: Question { name, kind, class }, edns };
        let mut message = Vec::new();
        query.ask(id, size, &mut message);
        prop_assert_eq!(Query::read(&message), Ok(Query { id, ..query }));
        for length in 0..message.len() {
            prop_assert!(Query::read(&message[..length]).is_err());
        }
    }
}
