"""discoverd on a real etcd: `etcd.py TEST ETCD DISCOVERD [KEYS]`; it exits with 0 if all holds."""

import base64
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import curl
from crowd import TTL, Crowd, ports, within
from rpc import Client, ServerError


class Etcd:
    """Some members on loopback."""

    def __init__(self, binary, members, keys=None):
        # Where a disk takes its time, tests would.
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.binary, self.keys, self.folder = binary, keys, tempfile.mkdtemp(prefix="etcd-", dir=place)
        taken = ports(2 * members)
        self.clients, self.peers = taken[:members], taken[members:]
        self.processes = [None] * members
        scheme = "https" if keys else "http"
        self.urls = [f"{scheme}://127.0.0.1:{port}" for port in self.clients]
        self.url = ",".join(self.urls)
        self.context = None
        if keys:
            self.context = ssl.create_default_context(cafile=f"{keys}/ca.pem")
            self.context.load_cert_chain(f"{keys}/client.pem", f"{keys}/client-key.pem")

    def start(self, *which):
        names = [f"m{nth}=http://127.0.0.1:{port}" for nth, port in enumerate(self.peers)]
        for nth in which or range(len(self.clients)):
            peer = f"http://127.0.0.1:{self.peers[nth]}"
            arguments = [
                self.binary, "--name", f"m{nth}", "--data-dir", f"{self.folder}/{nth}",
                "--listen-client-urls", self.urls[nth], "--advertise-client-urls", self.urls[nth],
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", ",".join(names), "--heartbeat-interval", "50", "--election-timeout", "500",
            ]  # fmt: skip
            if self.keys:
                arguments += [
                    "--cert-file", f"{self.keys}/etcd.pem", "--key-file", f"{self.keys}/etcd-key.pem",
                    "--client-cert-auth", "--trusted-ca-file", f"{self.keys}/ca.pem",
                ]  # fmt: skip
            log = open(f"{self.folder}/log{nth}", "ab")
            self.processes[nth] = subprocess.Popen(arguments, stdout=log, stderr=log)

    def stop(self, *which, sig=signal.SIGKILL):
        for nth in which:
            self.processes[nth].send_signal(sig)
            self.processes[nth].wait()

    def ask(self, path, body, nth=0, token=None):
        headers = {"Authorization": token} if token else {}
        request = urllib.request.Request(self.urls[nth] + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=3, context=self.context) as answer:
            return json.load(answer)

    def until_healthy(self):
        within(20, lambda: self.ask("/v3/kv/range", {"key": "YQ=="}))

    def leader(self):
        return within(10, self.leads)

    def leads(self):
        status = self.ask("/v3/maintenance/status", {}, self.alive())
        for nth in range(len(self.processes)):
            if self.processes[nth].poll() is None:
                member = self.ask("/v3/maintenance/status", {}, nth)["header"]["member_id"]
                if member == status.get("leader"):
                    return nth
        raise AssertionError("nobody leads")

    def alive(self):
        return next(nth for nth, process in enumerate(self.processes) if process.poll() is None)

    def compact(self):
        within(10, self.compacts)

    def compacts(self):
        """What happens elsewhere is the last that is kept."""
        nth = self.alive()
        for _ in range(10):
            put = {"key": base64.b64encode(b"/elsewhere").decode(), "value": ""}
            revision = self.ask("/v3/kv/put", put, nth)["header"]["revision"]
        self.ask("/v3/kv/compaction", {"revision": revision, "physical": True}, nth)

    def close(self):
        for process in self.processes + Discoverd.all:
            if process is not None:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder)


class Discoverd:
    all = []

    def __init__(self, binary, servers, *options, store="-etcd"):
        began = time.time()
        arguments = [binary, "-bind", "127.0.0.1:0", store, servers, "-ttl", f"{TTL}s", *options]
        environment = {**os.environ, "EXTERNAL_IP": "127.0.0.1"}
        self.process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment)
        self.all.append(self.process)
        line = self.process.stderr.readline()
        assert line.startswith("listening on discoverd://"), line + self.process.stderr.read()
        assert time.time() - began < 1, "it takes its time to accept"
        self.address = line.strip().removeprefix("listening on discoverd://")
        self.lines = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.strip())

    def said(self, words):
        return [line for line in self.lines if words in line]

    def client(self, codec="gob"):
        return Client(self.address, codec)

    def end(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        return self.process.wait(15)


def cluster(etcd_binary, binary, _):
    """A hundred services and subscribers, while members, a quorum and a server of discovery are lost."""
    etcd = Etcd(etcd_binary, 3)
    try:
        etcd.start()
        etcd.until_healthy()
        crowd = Crowd(Discoverd(binary, etcd.url), Discoverd(binary, ",".join(reversed(etcd.urls))), 20)
        leader = etcd.leader()
        etcd.stop(leader)
        crowd.goes_on()
        etcd.start(leader)
        # One that stands still answers nobody, and its connections stay.
        frozen = etcd.leader()
        etcd.processes[frozen].send_signal(signal.SIGSTOP)
        crowd.goes_on()
        etcd.processes[frozen].send_signal(signal.SIGCONT)
        crowd.beats()
        # Two of three: everybody is spared.
        etcd.stop(0, 1)
        time.sleep(2)
        crowd.refused("discoverd: etcd does not do it: ")
        etcd.start(0, 1)
        crowd.goes_on()
        # What was not heard is not there to be told any more.
        etcd.compact()
        etcd.stop(etcd.leader())
        crowd.goes_on()
        crowd.finish()
    finally:
        etcd.close()


def alone(etcd_binary, binary, _):
    """A server that is there before its etcd."""
    etcd = Etcd(etcd_binary, 1)
    try:
        server = Discoverd(binary, etcd.url)
        began = time.time()
        client = server.client()
        try:
            client.register("web", "a:1")
            raise AssertionError("without an etcd it was registered")
        except ServerError as error:
            assert "Connection refused" in str(error) and "etcd" in str(error), error
        assert time.time() - began < 8
        stream = client.subscribe("web")
        etcd.start()
        etcd.until_healthy()
        assert within(10, lambda: client.register("web", "a:1")) == "a:1"
        updates = [client.update(stream), client.update(stream)]
        assert ("", False, None, 0) in updates and any(who == "a:1" for who, *_ in updates), updates
        for _ in range(2):
            etcd.stop(0)
            time.sleep(1)
            etcd.start()
            etcd.until_healthy()
            within(10, lambda: client.register("web", "b:1"))
            assert client.update(stream)[:2] == ("b:1", True)
            within(10, lambda: client.unregister("web", "b:1"))
            assert client.update(stream)[:2] == ("b:1", False)
        assert len(server.said("etcd is lost")) == len(server.said("etcd is found again")) == 3, server.lines
        assert server.end() == 0
    finally:
        etcd.close()


def secured(etcd_binary, binary, keys):
    """TLS with certificates on both sides, a user and a password; tokens that end."""
    etcd = Etcd(etcd_binary, 1, keys)
    try:
        etcd.start()
        etcd.until_healthy()
        for path, body in [
            ("user/add", {"name": "root", "password": "top"}),
            ("user/grant", {"user": "root", "role": "root"}),
            ("role/add", {"name": "discovery"}),
            ("role/grant", {"name": "discovery", "perm": {"permType": "READWRITE", **prefix(b"/discoverd/")}}),
            ("user/add", {"name": "me", "password": "se:cret"}),
            ("user/grant", {"user": "me", "role": "discovery"}),
            ("user/add", {"name": "nobody", "password": "x"}),
            ("enable", {}),
        ]:
            if path == "user/grant" and body["role"] == "root":
                etcd.ask("/v3/auth/role/add", {"name": "root"})
            etcd.ask(f"/v3/auth/{path}", body)
        files = ["-etcd-ca", f"{keys}/ca.pem", "-etcd-cert", f"{keys}/nameless.pem", "-etcd-key", f"{keys}/nameless-key.pem"]
        for user, error in [
            (None, "name a user with --etcd-user"),
            ("me:wrong", "invalid user ID or password: look at --etcd-user"),
            ("nobody:x", "permission denied: name a user with --etcd-user who may"),
        ]:
            options = ["-etcd-user", user] if user else []
            server = Discoverd(binary, etcd.url, *files, *options)
            try:
                server.client().register("web", "a:1")
                raise AssertionError(f"{user} may register")
            except ServerError as refused:
                assert error in str(refused), refused
            server.end(signal.SIGKILL)
        # An etcd that shows what nobody here has signed is not trusted.
        server = Discoverd(binary, etcd.url, "-etcd-cert", files[3], "-etcd-key", files[5], "-etcd-user", "me:se:cret")
        try:
            server.client().register("web", "a:1")
            raise AssertionError("it is trusted")
        except ServerError as refused:
            assert "TLS: " in str(refused), refused
        server.end(signal.SIGKILL)
        server = Discoverd(binary, etcd.url, *files, "-etcd-user", "me:se:cret")
        client = server.client()
        stream = client.subscribe("web")
        client.register("web", "a:1", {"k": "v"})
        updates = [client.update(stream), client.update(stream)]
        assert any(update[:3] == ("a:1", True, {"k": "v"}) for update in updates), updates
        # Its tokens end with it.
        etcd.stop(0)
        etcd.start()
        within(10, lambda: client.register("web", "b:1"))
        assert client.update(stream)[:2] == ("b:1", True)
        client.unregister("web", "a:1")
        assert client.update(stream)[:2] == ("a:1", False)
        assert server.end() == 0
    finally:
        etcd.close()


def prefix(key):
    end = key[:-1] + bytes([key[-1] + 1])
    return {"key": base64.b64encode(key).decode(), "range_end": base64.b64encode(end).decode()}


def scenarios(etcd_binary, binary, _):
    """What must hold on any store."""
    etcd = Etcd(etcd_binary, 1)
    try:
        etcd.start()
        etcd.until_healthy()
        server = Discoverd(binary, etcd.url)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scenarios.py")
        for name in ["life", "errors", "pipelined", "atomic", "seventy"]:
            for codec in ["gob", "json"]:
                subprocess.run([sys.executable, "-B", script, name, codec, server.address], check=True)
        assert server.end() == 0
    finally:
        etcd.close()


def documents(etcd_binary, binary, _):
    """Services, metadata and leaders over HTTP, at two servers of one etcd."""
    etcd = Etcd(etcd_binary, 1)
    try:
        etcd.start()
        etcd.until_healthy()
        servers = [Discoverd(binary, etcd.url) for _ in range(2)]
        one, other = [server.address for server in servers]
        curl.put(one, "/services/web")
        stream = curl.Stream(other, "/services/web")
        meta = curl.put(one, "/services/web/meta", {"data": {"a": 1}})
        while stream.event()["kind"] != "service_meta":
            pass
        assert curl.get(other, "/services/web/meta") == meta
        curl.put(other, "/services/web", {}, 409)
        # Eight who count up from what they have seen: nobody's count is lost.
        curl.put(one, "/services/web/meta", {"data": 0, "index": meta["index"]})
        counted = []

        def count(address):
            for _ in range(10):
                while True:
                    had = curl.get(address, "/services/web/meta")
                    body = json.dumps({"data": had["data"] + 1, "index": had["index"]})
                    args = ["-X", "PUT", "-H", "Content-Type: application/json", "--data", body]
                    status, said = curl.curl(address, "/services/web/meta", *args)
                    if status == 200:
                        counted.append(json.loads(said)["data"])
                        break
                    assert status == 412, said

        threads = [threading.Thread(target=count, args=[[one, other][nth % 2]]) for nth in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(counted) == list(range(1, 81)), sorted(counted)
        # What was there is there after etcd and a server were killed.
        curl.register(one, "web", "a:1")
        curl.register(other, "web", "b:1")
        curl.put(other, "/services/web/leader", {"id": curl.identity("b:1")})
        etcd.stop(0)
        servers[0].end(signal.SIGKILL)
        assert curl.curl(other, "/services/new", "-X", "PUT")[0] == 503
        etcd.start()
        etcd.until_healthy()
        again = Discoverd(binary, etcd.url)
        for address in [other, again.address]:
            assert within(10, lambda: curl.get(address, "/services/web/meta"))["data"] == 80
            assert within(10, lambda: curl.get(address, "/services/web/leader"))["addr"] == "b:1"
        within(10, lambda: curl.delete(other, "/services/web"))
        within(10, lambda: curl.get(again.address, "/services/web/meta", 404))
        stream.close()
        assert [server.end() for server in [servers[1], again]] == [0, 0]
    finally:
        etcd.close()


if __name__ == "__main__":
    test, etcd_binary, binary, *rest = sys.argv[1:]
    globals()[test](etcd_binary, binary, rest[0] if rest else None)
