"""discoverd on a real ZooKeeper: `zookeeper.py TEST JAVA JAR DISCOVERD`; it exits with 0 if all holds."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import etcd
from crowd import TTL, Crowd, check, ports, within
from rpc import ServerError

CONFIG = """tickTime=500
initLimit=20
syncLimit=4
dataDir={folder}
clientPort={port}
clientPortAddress=127.0.0.1
admin.enableServer=false
4lw.commands.whitelist=srvr
"""


class ZooKeeper:
    """Some servers on loopback."""

    def __init__(self, java, jar, servers):
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.java, self.jar, self.folder = java, jar, tempfile.mkdtemp(prefix="zookeeper-", dir=place)
        taken = ports(3 * servers)
        self.ports, peers, votes = taken[:servers], taken[servers : 2 * servers], taken[2 * servers :]
        self.processes = [None] * servers
        self.servers = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        for nth, port in enumerate(self.ports):
            folder = f"{self.folder}/{nth}"
            os.mkdir(folder)
            text = CONFIG.format(folder=folder, port=port)
            if servers > 1:
                lines = [f"server.{n + 1}=127.0.0.1:{peers[n]}:{votes[n]}" for n in range(servers)]
                text += "\n".join(lines) + "\n"
            with open(f"{folder}/zoo.cfg", "w") as config:
                config.write(text)
            with open(f"{folder}/myid", "w") as myid:
                myid.write(str(nth + 1))

    def start(self, *which):
        for nth in which or range(len(self.ports)):
            main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
            arguments = [self.java, "-Xmx96m", "-cp", self.jar, main, f"{self.folder}/{nth}/zoo.cfg"]
            log = open(f"{self.folder}/log{nth}", "ab")
            self.processes[nth] = subprocess.Popen(arguments, stdout=log, stderr=log)

    def stop(self, *which, sig=signal.SIGKILL):
        for nth in which:
            self.processes[nth].send_signal(sig)
            self.processes[nth].wait()

    def mode(self, nth):
        """What a server is, if it serves."""
        with socket.create_connection(("127.0.0.1", self.ports[nth]), timeout=2) as client:
            client.sendall(b"srvr")
            text = b""
            while piece := client.recv(4096):
                text += piece
        modes = [line[6:] for line in text.decode().splitlines() if line.startswith("Mode: ")]
        assert modes, text
        return modes[0]

    def until_healthy(self):
        within(40, lambda: [self.mode(nth) for nth in range(len(self.ports))])

    def leader(self):
        def leads():
            for nth, process in enumerate(self.processes):
                try:
                    if process.poll() is None and self.mode(nth) == "leader":
                        return nth
                except (OSError, AssertionError):
                    pass
            raise AssertionError("nobody leads")

        return within(20, leads)

    def close(self):
        for process in self.processes + Discoverd.all:
            if process is not None:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder)


class Discoverd(etcd.Discoverd):
    def __init__(self, binary, servers, *options):
        super().__init__(binary, servers, *options, store="-zookeeper")


def created(client, name):
    """When each instance was created, and the leader."""
    stream = client.subscribe(name)
    members = {who: index for who, _, _, index in client.snapshot(stream)}
    client.close_stream(stream)
    return members, min(members, key=members.get, default=None)


def cluster(java, jar, binary):
    """A hundred services and subscribers, while servers, a quorum and a server of discovery are lost."""
    zookeeper = ZooKeeper(java, jar, 3)
    try:
        zookeeper.start()
        zookeeper.until_healthy()
        backwards = ",".join(reversed(zookeeper.servers.split(",")))
        crowd = Crowd(Discoverd(binary, zookeeper.servers), Discoverd(binary, backwards), 30)
        leader = zookeeper.leader()
        zookeeper.stop(leader)
        crowd.goes_on()
        zookeeper.start(leader)
        within(30, lambda: zookeeper.mode(leader))
        # One that stands still answers nobody, and its connections stay.
        frozen = zookeeper.leader()
        zookeeper.processes[frozen].send_signal(signal.SIGSTOP)
        crowd.goes_on()
        zookeeper.processes[frozen].send_signal(signal.SIGCONT)
        within(30, lambda: zookeeper.mode(frozen))
        crowd.beats()
        # Two of three: everybody is spared.
        zookeeper.stop(0, 1)
        time.sleep(2)
        crowd.refused("discoverd: ZooKeeper does not do it: ")
        zookeeper.start(0, 1)
        crowd.goes_on()
        zookeeper.until_healthy()
        crowd.finish()
    finally:
        zookeeper.close()


def sessions(java, jar, binary):
    """Sessions that are lost, and instances that move from one server to the other."""
    zookeeper = ZooKeeper(java, jar, 1)
    try:
        zookeeper.start()
        zookeeper.until_healthy()
        one, two = Discoverd(binary, zookeeper.servers), Discoverd(binary, zookeeper.servers)
        at_one, at_two, ears = one.client(), two.client(), two.client()
        within(10, lambda: at_one.register("web", "old:1"))
        at_two.register("web", "new:1")
        stream, own = ears.subscribe("web"), at_one.subscribe("web")
        assert [who for who, *_ in ears.snapshot(stream)] == ["new:1", "old:1"]
        at_one.snapshot(own)
        before = created(two.client(), "web")
        assert before == created(one.client(), "web") and before[1] == "old:1", before
        # It stands still, but not for so long that its session ends.
        one.process.send_signal(signal.SIGSTOP)
        time.sleep(TTL / 2)
        one.process.send_signal(signal.SIGCONT)
        at_one.register("web", "old:1")
        at_two.register("web", "new:1")
        assert ears.update(stream, 0.5) is None and created(two.client(), "web") == before
        # A client goes on at the other server; the first one goes, and nobody notices.
        for _ in range(4):
            at_two.register("web", "old:1")
            at_two.register("web", "new:1")
            at_one.register("web", "stays:1")
            time.sleep(TTL / 3)
        assert ears.update(stream)[:2] == ("stays:1", True)
        assert ears.update(stream, 0.2) is None
        assert {**created(one.client(), "web")[0], **before[0]} == created(two.client(), "web")[0]
        # Its session ends.
        one.process.send_signal(signal.SIGSTOP)
        until = time.time() + 2 * TTL
        while time.time() < until:
            at_two.register("web", "old:1")
            at_two.register("web", "new:1")
            if (update := ears.update(stream, 1)) is not None:
                break
        assert update and update[:2] == ("stays:1", False), update
        one.process.send_signal(signal.SIGCONT)
        within(10, lambda: at_one.register("web", "stays:1"))
        back = ears.update(stream, 5)
        assert back[:2] == ("stays:1", True) and back[3] > max(before[0].values()), back
        within(5, lambda: check(created(one.client(), "web") == created(two.client(), "web"), "they differ"))
        told = [at_one.update(own) for _ in range(3)]
        assert [update[:2] for update in told] == [("stays:1", True), ("stays:1", False), ("stays:1", True)], told
        assert told[2][3] == back[3]
        # Its process ends in good order, and its clients have a while to go on elsewhere.
        for client in at_one, at_two:
            client.register("web", "stays:1")
        assert one.end() == 0
        assert ears.update(stream, 1) is None
        for _ in range(4):
            for name in "old:1", "new:1", "stays:1":
                at_two.register("web", name)
            time.sleep(TTL / 3)
        assert ears.update(stream, 0.2) is None
        assert two.end() == 0
    finally:
        zookeeper.close()


def alone(java, jar, binary):
    """A server that is there before its ZooKeeper, and after it; one that has lost everything."""
    zookeeper = ZooKeeper(java, jar, 1)
    try:
        # Longer than a JVM takes to start on a busy machine: until then streams go on.
        server = Discoverd(binary, zookeeper.servers, "-ttl", "30s")
        began = time.time()
        client = server.client()
        try:
            client.register("web", "a:1")
            raise AssertionError("without a ZooKeeper it was registered")
        except ServerError as error:
            assert "Connection refused" in str(error) and "ZooKeeper" in str(error), error
        assert time.time() - began < 8
        stream = client.subscribe("web")
        zookeeper.start()
        zookeeper.until_healthy()
        assert within(10, lambda: client.register("web", "a:1")) == "a:1"
        updates = [client.update(stream), client.update(stream)]
        assert ("", False, None, 0) in updates and any(who == "a:1" for who, *_ in updates), updates
        for _ in range(2):
            zookeeper.stop(0)
            time.sleep(1)
            zookeeper.start()
            within(20, lambda: client.register("web", "b:1"))
            within(10, lambda: client.register("web", "a:1"))
            assert client.update(stream)[:2] == ("b:1", True)
            within(10, lambda: client.unregister("web", "b:1"))
            assert client.update(stream)[:2] == ("b:1", False)
        assert len(server.said("ZooKeeper is lost")) == len(server.said("ZooKeeper is found again")) == 3, server.lines
        # All that it had is gone.
        zookeeper.stop(0)
        shutil.rmtree(f"{zookeeper.folder}/0/version-2")
        zookeeper.start()
        within(4 * TTL + 20, lambda: client.register("web", "c:1"))
        stream = client.subscribe("web")
        assert [who for who, *_ in client.snapshot(stream)] == ["c:1"]
        assert server.end() == 0
    finally:
        zookeeper.close()


def secured(java, jar, binary):
    """A name and a password, and a place of one's own."""
    zookeeper = ZooKeeper(java, jar, 1)
    try:
        zookeeper.start()
        zookeeper.until_healthy()
        place = f"{zookeeper.servers}/apps/h%C3%A4\u00df"
        options = ["-zookeeper-auth", "me:se:cret"]
        server = Discoverd(binary, place, *options)
        client = server.client()
        within(10, lambda: client.register("web", "a:1", {"k": "v"}))
        client.register(".", "..")
        client.register("\U0001f600%", "\ufffd:1")
        for name, who in ("web", "a:1"), (".", ".."), ("\U0001f600%", "\ufffd:1"):
            stream = client.subscribe(name)
            assert [member[0] for member in client.snapshot(stream)] == [who]
        for user in [], ["-zookeeper-auth", "me:wrong"]:
            other = Discoverd(binary, place, *user)
            try:
                other.client().register("web", "b:1")
                raise AssertionError(f"{user} may register")
            except ServerError as refused:
                assert "permission denied (-102): name a user with --zookeeper-auth" in str(refused), refused
            assert other.end() == 0
        # Elsewhere there is room for others.
        other = Discoverd(binary, zookeeper.servers)
        within(10, lambda: other.client().register("web", "b:1"))
        second = Discoverd(binary, place, *options)
        assert within(10, lambda: created(second.client(), "web")) == created(client, "web")
        for one in server, other, second:
            assert one.end() == 0
    finally:
        zookeeper.close()


def scenarios(java, jar, binary):
    """What must hold on any store."""
    zookeeper = ZooKeeper(java, jar, 1)
    try:
        zookeeper.start()
        zookeeper.until_healthy()
        server = Discoverd(binary, zookeeper.servers)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scenarios.py")
        for name in ["life", "errors", "pipelined", "slow", "atomic", "seventy", "expiry"]:
            for codec in ["gob", "json"]:
                environment = {**os.environ, "TTL": str(TTL)}
                arguments = [sys.executable, "-B", script, name, codec, server.address]
                subprocess.run(arguments, check=True, env=environment)
        assert server.end() == 0
    finally:
        zookeeper.close()


if __name__ == "__main__":
    test, java, jar, binary = sys.argv[1:]
    globals()[test](java, jar, binary)
