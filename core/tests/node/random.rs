//! Random clients and servers, seeded: whatever they do, nothing is left behind, and the same seed gives the same run.

use std::time::Duration;

use fastrand::Rng;
use libswarm::ConnId;

use super::harness::World;

const REQUESTS: &[&str] = &[
    "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD /_ping HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /containers/json?limit=40000 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /images/200000/get HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /events HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /containers/x/wait HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /containers/x/restart HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /containers/x/export HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET /containers/x/json HTTP/1.0\r\n\r\n",
    "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{...}",
    "POST /containers/create HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n{...}",
    "POST /build HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nT: x\r\n\r\n",
    "POST /containers/x/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nnot read.",
    "POST /containers/x/attach HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nstdin",
    "POST /containers/nosuch/attach HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    "POST /exec/x/start HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}stdin",
    "POST /session HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /bad HTTP/1.1\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
];

const ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nstream",
    "HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "no HTTP at all\r\n\r\n",
];

/// Plays one world; returns all that its clients have got.
fn play(seed: u64, forwarding: bool) -> Vec<String> {
    let mut rng = Rng::with_seed(seed);
    let mut world = if forwarding { World::forwarding() } else { World::new() };
    let mut clients: Vec<(ConnId, Vec<u8>)> = Vec::new();
    let mut servers: Vec<ConnId> = Vec::new();
    let mut got = Vec::new();
    let mut stopped = false;
    for _ in 0..rng.usize(20..120) {
        let client = (!clients.is_empty()).then(|| rng.usize(..clients.len()));
        match (rng.u8(..20), client) {
            (0..3, _) | (_, None) if !stopped => {
                clients.push((world.connect(), Vec::new()));
            }
            (3..6, Some(client)) => {
                let request = REQUESTS[rng.usize(..REQUESTS.len())];
                clients[client].1.extend_from_slice(request.as_bytes());
            }
            (6..12, Some(client)) => {
                let (id, unsent) = &mut clients[client];
                let piece = rng.usize(..=unsent.len());
                let piece = &unsent[..if rng.bool() { unsent.len() } else { piece }];
                let sent = if piece.is_empty() { 0 } else { world.send(*id, piece) };
                unsent.drain(..sent);
            }
            (12, Some(client)) if world.peer(clients[client].0).granted => {
                world.half_close(clients[client].0);
            }
            (13, Some(client)) => world.vanish(clients[client].0),
            (14, Some(client)) => world.stall(clients[client].0),
            (15, Some(client)) => _ = world.drain(clients[client].0),
            (16, _) => world.pass(Duration::from_millis(rng.u64(..3000))),
            (17, _) if !world.connects.is_empty() => {
                if rng.u8(..4) == 0 {
                    world.no_upstream("nobody is there");
                } else {
                    servers.push(world.upstream());
                }
            }
            (18, _) if !servers.is_empty() => {
                let server = servers[rng.usize(..servers.len())];
                match rng.u8(..6) {
                    0 => world.vanish(server),
                    1 if world.peer(server).granted => world.half_close(server),
                    _ => _ = world.send(server, ANSWERS[rng.usize(..ANSWERS.len())].as_bytes()),
                }
            }
            (19, _) if rng.u8(..20) == 0 => {
                stopped = true;
                world.stop();
            }
            _ => {}
        }
        let open = clients.iter().filter(|(id, _)| world.peer(*id).closed.is_none()).count();
        assert_eq!(world.node.connections(), open, "seed {seed}");
        assert!(world.node.engine().len() <= open, "seed {seed}: a job without a client");
        assert!(
            world.node.poll_timeout().is_none_or(|due| due > world.now),
            "seed {seed}: a timer in the past"
        );
    }
    // Everybody reads what there is, and goes.
    for (id, _) in &clients {
        while world.drain(*id) && world.peer(*id).writes < 100 {}
        world.vanish(*id);
        got.push(world.text(*id));
    }
    for server in servers {
        world.vanish(server);
    }
    assert!(world.node.engine().is_empty(), "seed {seed}: a job outlives its client");
    assert_eq!(
        (world.node.connections(), world.node.upstream_connections()),
        (0, 0),
        "seed {seed}"
    );
    let due = world.node.poll_timeout();
    assert!(due.is_none() || stopped, "seed {seed}: a timer of nobody's at {due:?}");
    got
}

#[test]
fn nothing_is_left_of_any_world() {
    // More of them: SWARM_SEEDS=100000 cargo test -p libswarm --release --test node random
    let seeds =
        std::env::var("SWARM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1500);
    let mut answered = 0;
    for seed in 0..seeds {
        for forwarding in [false, true] {
            let got = play(seed, forwarding);
            answered += got.iter().map(|text| text.matches("HTTP/1.").count()).sum::<usize>();
            if seed % 50 == 0 {
                assert_eq!(
                    got,
                    play(seed, forwarding),
                    "seed {seed} gives another run the second time"
                );
            }
        }
    }
    assert!(answered > 3000, "these worlds do too little: {answered}");
}
