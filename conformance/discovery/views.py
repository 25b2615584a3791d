"""One view through every door: `views.py STORE DISCOVERD [ARGUMENT …]`; it exits with 0 if all holds.

STORE is memory, journal, etcd (ARGUMENT: its program) or zookeeper (ARGUMENTS: java and its class path). What is registered
through one door (RPC with gob, RPC with JSON, HTTP) is seen through all of them, server-sent events and DNS included; on a store
that is shared, at both of two servers.
"""

import contextlib
import hashlib
import http.client
import json
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from crowd import ports, within
from etcd import Etcd
from rpc import Client
from zookeeper import ZooKeeper

TTL = 4
SERVICE = "doors"


def name_of(address, proto="tcp"):
    return hashlib.md5(f"{proto}-{address}".encode()).hexdigest()


class Discoverd:
    """A server with all its doors."""

    def __init__(self, stack, binary, *options):
        self.dns_port = ports(1)[0]
        command = [binary, "-bind", "127.0.0.1:0", "-dns", f"127.0.0.1:{self.dns_port}", "-ttl", f"{TTL}s", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        stack.callback(self.process.wait)
        stack.callback(self.process.kill)
        while True:
            line = self.process.stderr.readline()
            assert line, "it ends at once"
            if line.startswith("listening on discoverd://"):
                break
        self.address = line.strip().removeprefix("listening on discoverd://")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def http(self, method, path, body=None):
        """The status and what the body says."""
        host, port = self.address.rsplit(":", 1)
        with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=10)) as connection:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
            answer = connection.getresponse()
            said = answer.read()
            return answer.status, json.loads(said) if said.strip() else None

    def dns(self, name, kind):
        """The data of all records of that kind, and of those beside them, over TCP."""
        number = random.getrandbits(16)
        labels = b"".join(bytes([len(label)]) + label.encode() for label in [*name.split("."), "discoverd"]) + b"\0"
        question = struct.pack(">6H", number, 0, 1, 0, 0, 0) + labels + struct.pack(">2H", kind, 1)
        with socket.create_connection(("127.0.0.1", self.dns_port), 10) as connection:
            connection.sendall(struct.pack(">H", len(question)) + question)
            stream = connection.makefile("rb")
            answer = stream.read(*struct.unpack(">H", stream.read(2)))
        found, flags, _, answers, _, beside = struct.unpack(">6H", answer[:12])
        assert found == number and flags & 0x8400 == 0x8400, f"{found} {flags:x}"
        if flags & 15 == 3:
            return [], []
        assert flags & 15 == 0, f"rcode {flags & 15}"
        at, records = 12 + len(labels) + 4, []
        for _ in range(answers + beside):
            owner, at = read_name(answer, at)
            of, _, ttl, length = struct.unpack(">2HIH", answer[at : at + 10])
            at += 10
            if of != 41:
                assert ttl == 0, ttl
                records.append((owner.lower(), of, at, answer[at : at + length]))
            at += length
        return answer, records


def read_name(text, at):
    labels, end = [], None
    while text[at]:
        if text[at] >= 0xC0:
            end = end or at + 2
            at = int.from_bytes(text[at : at + 2], "big") & 0x3FFF
        else:
            labels.append(text[at + 1 : at + 1 + text[at]].decode())
            at += 1 + text[at]
    return ".".join(labels), end or at + 1


A, TXT, SRV = 1, 16, 33


class Rpc:
    """Who listens through the RPC."""

    def __init__(self, server, codec):
        self.client, self.view, self.current = Client(server.address, codec), {}, False
        self.call = self.client.subscribe(SERVICE)

    def look(self):
        while (update := self.client.update(self.call, 0.05)) is not None:
            address, online, attributes, created = update
            if not address:
                self.current = True
            elif online:
                self.view[address] = (created, attributes or {})
            else:
                self.view.pop(address)
        assert self.current
        leader = min(self.view, key=lambda address: self.view[address][0], default=None)
        return {address: attributes for address, (_, attributes) in self.view.items()}, leader


class Events:
    """Who listens through server-sent events."""

    def __init__(self, server):
        host, port = server.address.rsplit(":", 1)
        self.connection = http.client.HTTPConnection(host, int(port), timeout=10)
        self.connection.request("GET", f"/services/{SERVICE}", headers={"Accept": "text/event-stream"})
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200 and self.answer.getheader("Content-Type").startswith("text/event-stream")
        self.view, self.leader, self.current, self.error = {}, None, False, None
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        try:
            for line in self.answer:
                if not line.startswith(b"data: "):
                    continue
                event = json.loads(line[6:])
                assert event["service"] == SERVICE, event
                kind, instance = event["kind"], event.get("instance")
                if kind in ("up", "update"):
                    assert (kind == "update") == (instance["addr"] in self.view), event
                    self.view[instance["addr"]] = instance.get("meta") or {}
                elif kind == "down":
                    self.view.pop(instance["addr"])
                elif kind == "leader":
                    self.leader = instance["addr"]
                elif kind == "current":
                    self.current = True
        except Exception as error:  # it is looked at by who looks at the view
            self.error = error

    def look(self):
        assert self.error is None, self.error
        assert self.current
        return dict(self.view), self.leader if self.view else None


class Http:
    """Who asks over HTTP."""

    def __init__(self, server):
        self.server = server

    def look(self):
        status, all_of_them = self.server.http("GET", f"/services/{SERVICE}/instances")
        if status == 404:
            return {}, None
        assert status == 200, all_of_them
        for instance in all_of_them:
            assert instance["id"] == name_of(instance["addr"], instance["proto"]), instance
        status, leader = self.server.http("GET", f"/services/{SERVICE}/leader")
        view = {instance["addr"]: instance.get("meta") or {} for instance in all_of_them}
        return view, leader["addr"] if status == 200 else None


class Names:
    """Who asks the DNS."""

    def __init__(self, server):
        self.server = server

    def look(self):
        answer, records = self.server.dns(SERVICE, SRV)
        hosts = {owner: socket.inet_ntoa(data) for owner, of, _, data in records if of == A}
        view = {}
        for _, of, at, data in records:
            if of == SRV:
                host = read_name(answer, at + 6)[0]
                address = f"{hosts[host.lower()]}:{int.from_bytes(data[4:6], 'big')}"
                assert host.lower() == f"{name_of(address)}.{SERVICE}._i.discoverd", host
                view[address] = self.attributes(f"{name_of(address)}.{SERVICE}._i")
        leaders = [socket.inet_ntoa(data) for _, of, _, data in self.server.dns(f"leader.{SERVICE}", A)[1] if of == A]
        assert len(leaders) == (1 if view else 0), leaders
        return view, next((address for address in view for leader in leaders if address.startswith(f"{leader}:")), None)

    def attributes(self, name):
        strings = []
        for _, of, _, data in self.server.dns(name, TXT)[1]:
            while of == TXT and data:
                strings.append(data[1 : 1 + data[0]].decode())
                data = data[1 + data[0] :]
        return dict(text.split("=", 1) for text in strings if "=" in text)


def agree(doors, expected, leader):
    """All see that, soon."""

    def look():
        for name, door in doors.items():
            view, leads = door.look()
            assert view == expected, f"{name} sees {view}, not {expected}"
            assert leads == leader, f"{name} says {leads} leads, not {leader}"

    within(10, look)


def scenario(first, second):
    """Two servers with one store, or twice the same."""
    doors = {}
    for which, server in {"first": first, "second": second}.items():
        for codec in ["gob", "json"]:
            doors[f"{codec} at the {which}"] = Rpc(server, codec)
        doors[f"events at the {which}"] = Events(server)
        doors[f"HTTP at the {which}"] = Http(server)
        doors[f"DNS at the {which}"] = Names(server)
    beats = []
    gob, text = Client(first.address, "gob"), Client(second.address, "json")

    def put(server, address, meta):
        body = {"id": name_of(address), "addr": address, "proto": "tcp", "meta": meta}
        status, said = server.http("PUT", f"/services/{SERVICE}/instances/{body['id']}", body)
        assert status == 200, said

    def beat(keep):
        while True:
            for keeps in list(beats):
                keeps()
            if keep.wait(TTL / 4):
                return

    a, b, c = "10.0.0.1:80", "10.0.0.2:81", "10.0.0.3:82"
    agree(doors, {}, None)
    gob.register(SERVICE, a, {"by": "gob"})
    agree(doors, {a: {"by": "gob"}}, a)
    text.register(SERVICE, b, {"by": "json"})
    agree(doors, {a: {"by": "gob"}, b: {"by": "json"}}, a)
    put(second, c, {"by": "http"})
    agree(doors, {a: {"by": "gob"}, b: {"by": "json"}, c: {"by": "http"}}, a)
    # Through another door than the one that it came by: the same instance, with other attributes.
    put(second, a, {"by": "http"})
    text.register(SERVICE, c, {"by": "json"})
    agree(doors, {a: {"by": "http"}, b: {"by": "json"}, c: {"by": "json"}}, a)
    # Who leads goes by HTTP, and the next one leads.
    status, said = second.http("DELETE", f"/services/{SERVICE}/instances/{name_of(a)}")
    assert status == 200, said
    agree(doors, {b: {"by": "json"}, c: {"by": "json"}}, b)
    gob.unregister(SERVICE, c)
    agree(doors, {b: {"by": "json"}}, b)
    gob.register(SERVICE, a, {})
    agree(doors, {a: {}, b: {"by": "json"}}, b)
    # Heartbeats by one door keep what came by another; who has none expires.
    beats.append(lambda: put(first, b, {"by": "json"}))
    ends = threading.Event()
    heart = threading.Thread(target=beat, args=(ends,), daemon=True)
    heart.start()
    time.sleep(TTL * 1.5)
    agree(doors, {b: {"by": "json"}}, b)
    ends.set()
    heart.join()
    agree_soon = time.time() + TTL * 2.5
    while time.time() < agree_soon and Http(first).look()[0]:
        time.sleep(0.2)
    agree(doors, {}, None)
    for client in [gob, text]:
        client.close()


def memory(stack, binary):
    server = Discoverd(stack, binary, "-store", "memory")
    scenario(server, server)


def journal(stack, binary):
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    server = Discoverd(stack, binary, "-data-dir", folder)
    scenario(server, server)


def etcd(stack, binary, program):
    etcd = Etcd(program, 1)
    stack.callback(etcd.close)
    etcd.start()
    etcd.until_healthy()
    first, second = (Discoverd(stack, binary, "-etcd", etcd.url) for _ in range(2))
    scenario(first, second)


def zookeeper(stack, binary, java, jar):
    keeper = ZooKeeper(java, jar, 1)
    stack.callback(keeper.close)
    keeper.start()
    keeper.until_healthy()
    first, second = (Discoverd(stack, binary, "-zookeeper", keeper.servers) for _ in range(2))
    scenario(first, second)


if __name__ == "__main__":
    store, *arguments = sys.argv[1:]
    with contextlib.ExitStack() as stack:
        globals()[store](stack, *arguments)
