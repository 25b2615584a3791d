//! Servers and clients that keep to the letter of the rules, or not even to that.

use libswarm::ConnId;
use libswarm::node::CloseReason;

use super::harness::World;

fn asked(world: &mut World, request: &str) -> (ConnId, ConnId) {
    let client = world.connect();
    world.send(client, request.as_bytes());
    let server = world.upstream();
    world.text(server);
    (client, server)
}

#[test]
fn a_stream_may_begin_before_the_body_of_its_request_is_complete() {
    // dockerd answers an attach without a look at its body.
    for (framing, body, rest) in [
        ("Content-Length: 2", "{}", "{}"),
        ("Transfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n", "2\r\n{}\r\n0\r\n\r\n"),
    ] {
        let mut world = World::forwarding();
        let (client, server) = asked(
            &mut world,
            &format!("POST /containers/x/attach HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n"),
        );
        world.send(server, b"HTTP/1.1 200 OK\r\n\r\n");
        world.send(client, body.as_bytes());
        world.send(client, b"stdin");
        assert_eq!(world.text(server), format!("{rest}stdin"), "{framing}");
        world.half_close(client);
        assert!(world.peer(server).shutdown);
        world.send(server, b"out");
        world.half_close(server);
        assert!(world.text(client).ends_with("\r\n\r\nout"));
        assert_eq!(world.peer(client).closed, Some(CloseReason::Finished));
    }
}
