//! Requests and their answers.

use super::harness::World;

#[test]
fn a_ping_has_the_engine_s_headers() {
    let mut world = World::new();
    let answer = world.ask("GET /v1.41/_ping HTTP/1.1\r\nHost: docker\r\n\r\n");
    for line in [
        "HTTP/1.1 200 OK\r\n",
        "\r\nApi-Version: 1.55\r\n",
        "\r\nDocker-Experimental: false\r\n",
        "\r\nOstype: linux\r\n",
        "\r\nCache-Control: no-cache, no-store, must-revalidate\r\n",
        "\r\nContent-Type: text/plain; charset=utf-8\r\n",
        "\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
        "\r\nContent-Length: 2\r\n\r\nOK",
    ] {
        assert!(answer.contains(line), "{line:?} in {answer}");
    }
    let head = world.ask("HEAD /_ping HTTP/1.1\r\nHost: docker\r\n\r\n");
    assert!(
        head.contains("\r\nApi-Version: 1.55\r\n")
            && head.ends_with("\r\nContent-Length: 0\r\n\r\n")
    );
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut world = World::new();
    let id = world.connect();
    world.send(
        id,
        b"GET /containers/json?limit=3 HTTP/1.1\r\nHost:\r\n\r\n\
          GET /info HTTP/1.1\r\nHost:\r\n\r\nGET /_ping HTTP/1.1\r\nHost:\r\n\r\n",
    );
    let text = world.text(id);
    let places: Vec<_> =
        ["yyy", "\"Name\"", "\r\n\r\nOK"].map(|part| text.find(part).unwrap()).into();
    assert!(places.is_sorted(), "{text}");
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3);
    assert_eq!(world.peer(id).closed, None);
}

#[test]
fn a_long_answer_is_one_chunk_and_a_short_one_has_a_length() {
    let mut world = World::new();
    for (length, chunked) in
        [(2048, false), (2049, true), (16_384, true), (16_385, true), (1_000_000, true)]
    {
        let answer =
            world.ask(&format!("GET /containers/json?limit={length} HTTP/1.1\r\nHost:\r\n\r\n"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(head.contains("Transfer-Encoding: chunked"), chunked, "{length}: {head}");
        if chunked {
            let data = "y".repeat(length);
            assert!(body == format!("{length:x}\r\n{data}\r\n0\r\n\r\n"), "{length}");
        } else {
            assert!(head.contains(&format!("Content-Length: {length}")));
        }
    }
}

#[test]
fn failures_have_the_engine_s_form() {
    let mut world = World::new();
    let answer = world.ask("GET /containers/a%2fb/json HTTP/1.1\r\nHost:\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\nApi-Version: "), "{answer}");
    assert!(answer.contains("\r\nContent-Type: application/json\r\n"));
    assert!(answer.ends_with("{\"message\":\"No such container: a/b\"}\n"));

    let answer = world.ask("POST /containers/x/start HTTP/1.1\r\nHost:\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 304 Not Modified\r\n") && answer.ends_with("\r\n\r\n"));
    assert!(!answer.contains("Content-Length") && !answer.contains("Content-Type"), "{answer}");

    let answer = world.ask("POST /containers/x/stop HTTP/1.1\r\nHost:\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 204 No Content\r\n") && !answer.contains("Content-Length")
    );
}

#[test]
fn what_nobody_handles_says_so() {
    let mut world = World::new();
    let answer = world.ask("GET /swarm HTTP/1.1\r\nHost:\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 501 Not Implemented\r\n"), "{answer}");
    assert!(answer.contains("swarm") && answer.contains("(asked: test)"), "{answer}");

    for target in ["/nowhere", "/containers/json/", "/v1.41/nowhere", "/v1.99/nowhere"] {
        let answer = world.ask(&format!("GET {target} HTTP/1.1\r\nHost:\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
        assert!(answer.ends_with("{\"message\":\"page not found\"}\n"));
        assert!(!answer.contains("Api-Version") && !answer.contains("Server:"), "{answer}");
    }
    let answer = world.ask("GET /v1.99/info HTTP/1.1\r\nHost:\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\nApi-Version: 1.55\r\n"), "{answer}");
    assert!(
        answer.contains("client version 1.99 is too new. Maximum supported API version is 1.55")
    );
    assert!(!answer.contains("Docker-Experimental"));
    let answer = world.ask("GET /v1.11/info HTTP/1.1\r\nHost:\r\n\r\n");
    assert!(answer.contains("text/plain") && answer.contains("client version 1.11 is too old"));
    let answer = world.ask("GET //v1.41/info?a=b HTTP/1.1\r\nHost:\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 301 ") && answer.contains("\r\nLocation: /v1.41/info?a=b\r\n")
    );
    assert!(
        world.ask("OPTIONS /info HTTP/1.1\r\nHost:\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n")
    );
    assert!(world.told().iter().any(|line| line == "start http(\"GET\", \"/v1.99/info\")"));
}

#[test]
fn an_old_client_gets_an_answer_that_ends_with_the_connection() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, b"GET /containers/json?limit=5000 HTTP/1.0\r\n\r\nGET /info HTTP/1.0\r\n\r\n");
    let text = world.text(id);
    assert!(text.starts_with("HTTP/1.0 200 OK\r\n") && text.contains("Connection: close"));
    assert!(text.ends_with(&format!("\r\n\r\n{}", "y".repeat(5000))));
    assert!(world.peer(id).shutdown && world.peer(id).closed.is_none());
    world.half_close(id);
    assert!(world.peer(id).closed.is_some());
    assert!(!world.told().iter().any(|line| line.contains("info")));
}

#[test]
fn a_body_is_asked_for_before_it_is_read() {
    let mut world = World::new();
    let id = world.connect();
    let head = "POST /containers/create HTTP/1.1\r\nHost:\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    world.send(id, head.as_bytes());
    assert_eq!(world.text(id), "HTTP/1.1 100 Continue\r\n\r\n");
    world.send(id, b"{}\r\n");
    let text = world.text(id);
    assert!(
        text.starts_with("HTTP/1.1 201 Created\r\n") && text.ends_with("\r\n\r\n{}\r\n"),
        "{text}"
    );
    assert_eq!(world.peer(id).closed, None);

    // Nobody wants this body, so nobody says 100; where the next request would begin is not known.
    let id = world.connect();
    let head = "POST /containers/x/stop HTTP/1.1\r\nHost:\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    world.send(id, head.as_bytes());
    let text = world.text(id);
    assert!(text.starts_with("HTTP/1.1 204 ") && text.contains("Connection: close"), "{text}");
    assert!(world.peer(id).shutdown);
}

#[test]
fn an_answer_without_data_keeps_its_status() {
    let mut world = World::new();
    let id = world.connect();
    world.send(id, b"POST /containers/create HTTP/1.1\r\nHost:\r\n\r\n");
    let text = world.text(id);
    assert!(
        text.starts_with("HTTP/1.1 201 Created\r\n") && text.ends_with("Content-Length: 0\r\n\r\n")
    );
}

#[test]
fn many_pipelined_requests_are_answered_one_after_the_other() {
    let mut world = World::new();
    let id = world.connect();
    let request = b"POST /containers/x/restart HTTP/1.1\r\nHost:\r\n\r\n";
    world.send(id, &request.repeat(1000));
    for done in 1..=1000 {
        world.pass(std::time::Duration::from_secs(1));
        assert_eq!(world.peer(id).writes, done);
    }
    assert_eq!(world.text(id).matches("HTTP/1.1 204 No Content\r\n").count(), 1000);
    assert!(world.peer(id).granted);
}
