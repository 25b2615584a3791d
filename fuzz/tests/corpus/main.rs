//! Runs each target over its seeds and over mutations of them.

mod mutate;

use std::fs;
use std::panic;
use std::path::Path;

use mutate::Mutator;

/// Mutations of a target's seeds that each run makes, always the same ones.
const MUTATIONS: u32 = 10_000;

/// The seeds of a target, in the order of their names.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut seeds: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())
        })
        .collect();
    seeds.sort();
    seeds
}

/// Runs `target` and, if it panics, says with what.
fn run(name: &str, data: &[u8], target: fn(&[u8])) {
    if let Err(panic) = panic::catch_unwind(|| target(data)) {
        eprintln!("{name}: b\"{}\"", data.escape_ascii());
        panic::resume_unwind(panic);
    }
}

fn test(name: &str, tokens: &[&[u8]], target: fn(&[u8])) {
    mutations(name, MUTATIONS, tokens, target);
}

fn mutations(name: &str, count: u32, tokens: &[&[u8]], target: fn(&[u8])) {
    let seeds = seeds(name);
    assert!(seeds.len() >= 10, "{name} has {} seeds", seeds.len());
    for (seed, data) in &seeds {
        run(&format!("{name}/{seed}"), data, target);
    }
    let data: Vec<_> = seeds.into_iter().map(|(_, data)| data).collect();
    let mut mutator = Mutator::new(1, &data, tokens);
    for nth in 0..count {
        run(&format!("{name}, mutation {nth}"), &mutator.next(), target);
    }
}

/// What decides how a message of HTTP/1 is read.
const HTTP: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\n\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b"\r\n ",
    b"0\r\n\r\n",
    b"\xFF",
    b"\x0B",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"HTTP/2.0",
    b"HEAD ",
    b"Host: x\r\n",
    b"Host:\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 9223372036854775807\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: tcp\r\n",
    b"Expect: 100-continue\r\n",
    b"/attach",
    b"ffffffffffffffff\r\n",
    b"00000000000000001\r\n",
    b"1;a=\"b\"\r\nx\r\n",
    b"1\r\nx\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 UPGRADED\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 \r\n",
    b"\n--\n",
    b"r",
    b"s",
    b"w",
    b"e",
    b"a",
    b"x",
    b"h",
    b"G",
    b"H",
    b"J",
    b"n",
    b"q",
];

const ROUTES: &[&[u8]] = &[
    b"/",
    b"//",
    b"/.",
    b"/..",
    b"?",
    b"%",
    b"%2F",
    b"%2f",
    b"+",
    b"&",
    b"=",
    b";",
    b":",
    b"v1.41",
    b"/v1.",
    b"v0.0",
    b"/v1.24",
    b"/v65535.65535",
    b"/v1.99999",
    b"http://",
    b"https://x",
    b"GET ",
    b"POST ",
    b"DELETE ",
    b"json",
    b"/json",
    b"/push",
    b"containers",
    b"images",
    b"exec",
    b"/archive",
    b"get",
    b"prune",
    b"follow=1",
    b"stream=0",
    b"\xC3\xA4",
    b"{",
    b"}",
];

const RPC: &[&[u8]] = &[
    b"\x00",
    b"\x01",
    b"\x7f",
    b"\xff\x81",
    b"\xff\x82",
    b"\xfe\x01\x00",
    b"\xf8\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x0a\xff\x83\x03\x01\x02\xff\x84\x00\x00\x00",
    b"\x10\xff\x82\x01\x0bCloseStream\x00",
    b"keep",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b"\\u",
    b"\\ud83d",
    b":",
    b",",
    b"null",
    b"\"id\":",
    b"\"params\":[{}]",
    b"\"method\":\"Agent.Subscribe\"",
    b"{\"method\":\"CloseStream\",\"params\":[{}],\"id\":2}",
    b"\"Name\":",
    b"\"Attrs\":{}",
    b"\n--\n",
    b"1",
    b"9",
];

const ZOOKEEPER: &[&[u8]] = &[
    b"\0\0\0\x10",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x9b",
    b"\xff\xff\xff\x92",
    b"\xff\xff\xff\x9a",
    b"\xff\xff\xff\x90",
    b"\xff\xff\xff\xfe",
    b"\0\0\0\x01",
    b"\0\0\0\x0e",
    b"\0\0\0\x03web",
    b"\0\0\0\x01a",
    b"/discoverd/instances/web/a",
    b"/discoverd/services/web/meta",
    b"{\"attributes\":null}",
    b"{\"text\":\"m\",\"writer\":1}",
    b"%2E",
    b"\n--\n",
    b"9",
];

#[test]
fn zookeeper() {
    test("zookeeper", ZOOKEEPER, libswarm_fuzz::zookeeper);
}

/// What decides how a message of DNS is read.
const DNS: &[&[u8]] = &[
    b"\x03web",
    b"\x03Web",
    b"\x04many",
    b"\x09discoverd\0",
    b"\x09DISCOVERD\0",
    b"\x06leader",
    b"\x02_i",
    b"\x04_tcp",
    b"\x04_web",
    b"\x07example",
    b"\x04a..b",
    b"\0",
    b"\xC0\x0C",
    b"\xC0\x19",
    b"\x3F",
    b"\0\x01\0\x01",
    b"\0\x10\0\x01",
    b"\0\x21\0\x01",
    b"\0\xFF\0\xFF",
    b"\0\0\x29\x10\0\0\0\x80\0\0\0",
    b"\0\0\x29\x02\0\0\x01\0\0\0\0",
    b"\x01\0\0\x01\0\0\0\0\0\0",
    b"\x01\0\0\x01\0\0\0\0\0\x01",
    b"\xFF\xFF",
    b"\n--\n",
];

#[test]
fn rpc() {
    test("rpc", RPC, libswarm_fuzz::rpc);
}

/// What is asked of discovery over HTTP.
const DISCOVERY: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\n--\n",
    b"GET ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"POST ",
    b"/services",
    b"/services/a",
    b"/services/b/meta",
    b"/instances",
    b"/leader",
    b"/ping",
    b"%",
    b"%00",
    b"%61",
    b"Host: evil\r\n",
    b"Origin: http://h\r\n",
    b"Accept: text/event-stream\r\n",
    b"Last-Event-ID: 3b9aca00-1\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 99999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"HTTP/1.0",
    b"PUT /services/b HTTP/1.1\r\nHost: h\r\n\r\n",
    b"DELETE /services/a HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /services HTTP/1.1\r\nHost: h\r\n\r\n",
    b"{\"data\":",
    b"\"index\":1",
    b"\"addr\":\":1\"",
    b"\"proto\":\"udp\"",
    b"\"meta\":null",
    b"{",
    b"}",
    b"\"",
    b"t",
    b"T",
    b"n",
    b"e",
    b"9",
    b"s",
    b"r",
    b"b",
];

#[test]
fn discovery_http() {
    test("discovery_http", DISCOVERY, libswarm_fuzz::discovery_http);
}

#[test]
fn http1_server() {
    test("http1_server", HTTP, libswarm_fuzz::http1_server);
}

#[test]
fn http1_client() {
    test("http1_client", HTTP, libswarm_fuzz::http1_client);
}

#[test]
fn routes() {
    test("routes", ROUTES, libswarm_fuzz::routes);
}

/// What clients of an engine say, and what stands in state files.
const ENGINE: &[&[u8]] = &[
    b"\n",
    b"GET /containers/json?all=1&filters=",
    b"GET /images/json?filters=",
    b"GET /networks?filters=",
    b"GET /containers/web/json?size=1",
    b"GET /containers/web/logs?stdout=1&tail=",
    b"GET /events?until=",
    b"GET /_simulator/requests",
    b"POST /_simulator/faults ",
    b"POST /_simulator/clock ",
    b"POST /_simulator/reset ",
    b"POST /containers/create?name=",
    b"POST /containers/web/start",
    b"POST /containers/web/stop?t=0",
    b"POST /containers/web/exec ",
    b"POST /networks/create ",
    b"POST /volumes/create ",
    b"DELETE /containers/web?force=1",
    b"{\"Image\":\"busybox\"}",
    b"{\"status\":[\"running\"]}",
    b"{\"label\":{\"a=b\":true}}",
    b"\"HostConfig\":{",
    b"\"Binds\":[\"v:/v\"]",
    b"\"NetworkMode\":\"none\"",
    b"\"PortBindings\":{\"80/tcp\":[{}]}",
    b"\"Subnet\":\"10.0.0.0/8\"",
    b"\"State\":{\"Status\":\"running\"}",
    b"\"Status\":\"paused\"",
    b"\"Name\":\"web\"",
    b"null",
    b"true",
    b"-1",
    b"1e99",
    b"18446744073709551616",
    b"[",
    b"]",
    b"{",
    b"}",
    b"\"",
    b":",
    b",",
    b"%",
    b"86400000",
];

const SHELL: &[&[u8]] = &[
    b"\n",
    b";",
    b"&",
    b"&&",
    b"||",
    b"|",
    b"<",
    b">",
    b">>",
    b"2>&1",
    b"<<E\n",
    b"$",
    b"${",
    b"}",
    b"$(",
    b")",
    b"$((",
    b"))",
    b"`",
    b"'",
    b"\"",
    b"\\",
    b"*",
    b"?",
    b"[",
    b"]",
    b"!",
    b"#",
    b"{ ",
    b"if ",
    b"then ",
    b"fi",
    b"while ",
    b"for i in ",
    b"do ",
    b"done",
    b"case ",
    b" in ",
    b"esac",
    b"f() {",
    b"trap ",
    b"read x",
    b"exit ",
    b"set -e",
    b"shift",
    b"wait",
    b"cat ",
    b"yes",
    b"sleep 1",
    b"seq 9999",
    b"grep ",
    b"sed s/a/b/",
    b"sort",
    b"head -c 5",
    b"tail -f ",
    b"dd ",
    b"tar c /",
    b"kill $$",
    b":",
    b"=",
    b"%",
    b"##",
    b":-",
    b"1/0",
    b"9223372036854775807",
];

const DOCKERFILE: &[&[u8]] = &[
    b"\n",
    b"\\\n",
    b"#",
    b"# escape=`\n",
    b"# syntax=x\n",
    b"FROM busybox\n",
    b"FROM scratch AS s\n",
    b" AS ",
    b"--from=",
    b"--chown=1:2 ",
    b"--platform=",
    b"RUN ",
    b"COPY ",
    b"ADD ",
    b"CMD ",
    b"ENTRYPOINT ",
    b"ENV ",
    b"ARG WHO",
    b"LABEL ",
    b"WORKDIR ",
    b"USER ",
    b"VOLUME ",
    b"EXPOSE ",
    b"ONBUILD ",
    b"HEALTHCHECK ",
    b"STOPSIGNAL ",
    b"SHELL ",
    b"[\"",
    b"\", \"",
    b"\"]",
    b"$WHO",
    b"${WHO:-x}",
    b"${",
    b"=",
    b"\"",
    b"'",
    b"../",
    b"/",
    b"*",
    b"[a-",
    b"while :; do :; done",
    b"\xEF\xBB\xBF",
    b"\xFF",
];

const TAR: &[&[u8]] = &[
    b"ustar\x0000",
    b"../",
    b"/",
    b".wh.",
    b".wh..wh..opq",
    b"0000644\0",
    b"\0\0\0\0\0\0\0\0",
    b"x",
    b"L",
    b"2",
];

#[test]
fn simulator() {
    mutations("simulator", 300, ENGINE, libswarm_fuzz::simulator);
}

#[test]
fn state_file() {
    mutations("state_file", 2_000, ENGINE, libswarm_fuzz::state_file);
}

#[test]
fn shell() {
    mutations("shell", 1_000, SHELL, libswarm_fuzz::shell);
}

#[test]
fn archive() {
    mutations("archive", 1_000, TAR, libswarm_fuzz::archive);
}

#[test]
fn dockerfile() {
    mutations("dockerfile", 400, DOCKERFILE, libswarm_fuzz::dockerfile);
}

#[test]
fn dns() {
    test("dns", DNS, libswarm_fuzz::dns);
}
