"""What must hold of a server of discovery that is asked by curl: `curl.py SCENARIO ADDRESS`; it exits with 0 if it does.

The server's EXTERNAL_IP is 127.0.0.1, and its TTL is 2 s.
"""

import hashlib
import json
import os
import select
import subprocess
import sys
import time

from rpc import Client

PATIENCE = 10


def curl(address, path, *args):
    """The status and the body."""
    command = ["curl", "--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}", *args,
               f"http://{address}{path}"]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()
    body, status = said.rsplit("\n", 1)
    return int(status), body


def put(address, path, body=None, status=200):
    data = [] if body is None else ["-H", "Content-Type: application/json", "--data-binary", json.dumps(body)]
    found, said = curl(address, path, "-X", "PUT", *data)
    assert found == status, f"PUT {path}: {found} {said}"
    return json.loads(said) if said else None


def get(address, path, status=200):
    found, said = curl(address, path)
    assert found == status, f"GET {path}: {found} {said}"
    return json.loads(said)


def delete(address, path):
    assert curl(address, path, "-X", "DELETE") == (200, ""), path


def identity(addr, proto="tcp"):
    return hashlib.md5(f"{proto}-{addr}".encode()).hexdigest()


def register(address, service, addr, meta=None):
    body = {"id": identity(addr), "addr": addr, "proto": "tcp", "meta": meta}
    return put(address, f"/services/{service}/instances/{identity(addr)}", body)


class Stream:
    """curl -N, read event by event."""

    def __init__(self, address, path, *args):
        command = ["curl", "--silent", "--no-buffer", "-H", "Accept: text/event-stream", *args, f"http://{address}{path}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.unread, self.id = b"", None

    def event(self):
        until = time.monotonic() + PATIENCE
        while True:
            while b"\n\n" not in self.unread:
                left = max(0, until - time.monotonic())
                assert select.select([self.process.stdout], [], [], left)[0], f"nothing comes behind {self.unread}"
                piece = os.read(self.process.stdout.fileno(), 1 << 16)
                assert piece, "the stream ended"
                self.unread += piece
            block, self.unread = self.unread.split(b"\n\n", 1)
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
            self.id = fields.get("id", self.id)
            if "data" in fields:
                return json.loads(fields["data"])

    def kinds(self, count):
        events = [self.event() for _ in range(count)]
        return [(event["kind"], event.get("instance", {}).get("addr")) for event in events]

    def close(self):
        self.process.kill()
        self.process.wait()


def life(address):
    assert curl(address, "/ping") == (200, "")
    assert curl(address, "/services", "--head")[0] == 200
    put(address, "/services/curl")
    first = register(address, "curl", "10.0.0.1:80", {"zone": "a"})
    assert first == {"id": identity("10.0.0.1:80"), "addr": "10.0.0.1:80", "proto": "tcp", "meta": {"zone": "a"},
                     "index": first["index"]}, first
    assert register(address, "curl", "10.0.0.1:80", {"zone": "a"}) == first, "a heartbeat changes nothing"
    # A client of the RPC, and one of HTTP, of the same service.
    for codec in ["gob", "json"]:
        client = Client(address, codec)
        assert client.register("curl", f":{len(codec)}") == f"127.0.0.1:{len(codec)}"
        assert "10.0.0.1:80" in [update[0] for update in client.snapshot(client.subscribe("curl"))]
        client.close()
    found = get(address, "/services/curl/instances")
    assert [it["addr"] for it in found] == ["10.0.0.1:80", "127.0.0.1:3", "127.0.0.1:4"], found
    assert get(address, "/services/curl/leader")["addr"] == "10.0.0.1:80"
    put(address, "/services/curl/leader", {"id": identity("127.0.0.1:3")})
    assert get(address, "/services/curl/leader")["addr"] == "127.0.0.1:3"
    meta = put(address, "/services/curl/meta", {"data": {"release": 1}, "index": 0})
    assert put(address, "/services/curl/meta", {"data": 2, "index": meta["index"]})["index"] > meta["index"]
    put(address, "/services/curl/meta", {"data": 3, "index": meta["index"]}, 412)
    assert get(address, "/services/curl/meta")["data"] == 2
    # In chunks, and asking first.
    big = json.dumps({"data": "x" * 60000, "index": get(address, "/services/curl/meta")["index"]})
    for extra in [["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]]:
        args = ["-X", "PUT", "-H", "Content-Type: application/json", "--data-binary", big, *extra]
        assert curl(address, "/services/curl/meta", *args)[0] in [200, 412]
    delete(address, f"/services/curl/instances/{identity('10.0.0.1:80')}")
    # Who is not heard of for a TTL is gone; the service is not.
    time.sleep(3)
    assert get(address, "/services/curl/instances") == []
    assert "curl" in get(address, "/services")
    delete(address, "/services/curl")
    assert "curl" not in get(address, "/services")


def errors(address):
    for args, status, code in [
        (["/services/none/instances"], 404, "object_not_found"),
        (["/none"], 404, "object_not_found"),
        (["/ping", "-X", "POST"], 405, "validation_error"),
        (["/services/Bad", "-X", "PUT"], 400, "validation_error"),
        (["/services/a", "-X", "PUT", "-H", "Origin: http://evil.example"], 403, "validation_error"),
        (["/services/a", "-X", "PUT", "-H", "Host: evil.example"], 403, "validation_error"),
        (["/services/a", "-X", "PUT", "--data", "{}"], 400, "validation_error"),
        (["/services/a", "-X", "PUT", "--data-binary", "x" * 70000], 413, "validation_error"),
    ]:
        found, said = curl(address, args[0], *args[1:])
        error = json.loads(said)
        assert (found, error["code"], error["retry"]) == (status, code, False), f"{args}: {found} {said}"
        assert error["message"].startswith("discoverd: "), error
    # Requests on one connection.
    config = "".join(f'url = "http://{address}/services"\noutput = "/dev/null"\n' for _ in range(100))
    command = ["curl", "--silent", "--config", "-", "--write-out", "%{http_code} %{num_connects}\n"]
    said = subprocess.run(command, input=config.encode(), stdout=subprocess.PIPE, check=True).stdout.split()
    assert said[::2] == [b"200"] * 100 and said[1::2] == [b"1"] + [b"0"] * 99, said


def streams(address):
    put(address, "/services/sse")
    for addr in ["a:1", "b:1"]:
        register(address, "sse", addr)
    one = Stream(address, "/services/sse")
    leaders, everything = Stream(address, "/services/sse/leader"), Stream(address, "/services")
    assert one.kinds(4) == [("up", "a:1"), ("up", "b:1"), ("leader", "a:1"), ("current", None)]
    assert leaders.kinds(1) == [("leader", "a:1")]
    while everything.event()["kind"] != "current":
        pass
    register(address, "sse", "b:1", {"k": "v"})
    delete(address, f"/services/sse/instances/{identity('a:1')}")
    expected = [("update", "b:1"), ("down", "a:1"), ("leader", "b:1")]
    assert one.kinds(3) == expected and everything.kinds(3) == expected
    assert leaders.kinds(1) == [("leader", "b:1")]
    # It goes on where it was.
    one.close()
    register(address, "sse", "c:1")
    again = Stream(address, "/services/sse", "-H", f"Last-Event-ID: {one.id}")
    assert again.kinds(1) == [("up", "c:1")]
    assert again.event() == {"service": "sse", "kind": "current", "resumed": True}
    # The store says when somebody is not heard of.
    time.sleep(3)
    gone = [again.event() for _ in range(2)]
    assert all(event["kind"] in ["down", "leader"] for event in gone), gone
    for stream in [again, leaders, everything]:
        stream.close()
    delete(address, "/services/sse")


def seventy(address):
    """A service with many instances, and somebody who reads nothing of it: the rest goes on."""
    put(address, "/services/many")
    deaf = []
    for path in ["/services/many", "/services", "/services/many/instances"]:
        stream = Stream(address, path)
        stream.process.send_signal(19)
        deaf.append(stream)
    client = Client(address, "json")
    value = "v" * 8000
    for round_ in range(10):
        for nth in range(70):
            client.register("many", f"10.0.0.{nth}:80", {"k": f"{value}{round_}"})
    quick = Stream(address, "/services/many")
    kinds = [kind for kind, _ in quick.kinds(72)]
    assert kinds == ["up"] * 70 + ["leader", "current"], kinds
    client.unregister("many", "10.0.0.69:80")
    assert quick.kinds(1) == [("down", "10.0.0.69:80")]
    assert len(get(address, "/services/many/instances")) == 69
    for stream in deaf:
        stream.process.send_signal(18)
        stream.close()
    quick.close()
    delete(address, "/services/many")


def before(address):
    put(address, "/services/kept", {"leader_type": "manual"})
    put(address, "/services/kept/meta", {"data": {"a": [1.50]}, "index": 0})
    for addr in ["a:1", "b:1"]:
        register(address, "kept", addr, {"k": "v"})
    put(address, "/services/kept/leader", {"id": identity("b:1")})
    put(address, "/services/gone")
    delete(address, "/services/gone")


def after(address):
    assert get(address, "/services") == ["kept"]
    assert get(address, "/services/kept/meta")["data"] == {"a": [1.50]}
    assert [it["addr"] for it in get(address, "/services/kept/instances")] == ["a:1", "b:1"]
    assert get(address, "/services/kept/leader")["addr"] == "b:1"
    delete(address, f"/services/kept/instances/{identity('b:1')}")
    assert curl(address, "/services/kept/leader")[0] == 404, "nobody else may lead"


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
