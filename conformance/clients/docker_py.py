"""What a program does with docker-py, and what it sees. Two runs at equal engines print the same."""

import io
import os
import socket
import struct
import tarfile
import threading
import time

import docker
from docker.errors import APIError, ImageNotFound, NotFound

client = docker.from_env(timeout=30)
api = client.api


def say(what, *values):
    print(what, *values, flush=True)


def failure(what, call):
    try:
        call()
        say(what, "worked")
    except (APIError, ImageNotFound, NotFound) as error:
        say(what, type(error).__name__, error.response.status_code, error.explanation)


def frames(data):
    """The parts of a stream without a terminal, those of each stream joined."""
    streams = {1: b"", 2: b""}
    while data:
        stream, length = struct.unpack(">BxxxL", data[:8])
        streams[stream] += data[8:8 + length]
        data = data[8 + length:]
    return streams


def everything(sock):
    data = b""
    while True:
        try:
            part = sock.recv(65536)
        except socket.timeout:
            return data + b"(never ended)"
        if not part:
            return data
        data += part


def archive(**files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, contents in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            tar.addfile(info, io.BytesIO(contents))
    return buffer.getvalue()


say("ping", client.ping())
say("version", client.version()["ApiVersion"], api.api_version)
say("info", client.info()["Driver"])

# A container's life, with its log while it runs.
box = client.containers.create(
    "busybox", ["sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.2; done; echo err >&2; exit 3"], name="py1")
say("created", box.status)
box.start()
say("stream", b"".join(box.logs(stream=True, follow=True)).splitlines()[:2])
say("wait", box.wait())
box.reload()
say("then", box.status, box.logs(stdout=False, stderr=True), box.logs(tail=1, stderr=False))
box.remove()
try:
    client.containers.run("busybox", ["sh", "-c", "echo bad >&2; exit 5"], remove=True)
except docker.errors.ContainerError as error:
    say("run failed", error.exit_status, error.stderr)
say("run", client.containers.run("busybox", ["echo", "hi"], remove=True))

# exec, whole, in parts, detached, and with a socket each way.
web = client.containers.run("busybox", ["sleep", "1000"], name="py2", detach=True, labels={"a": "b"})
say("exec", web.exec_run(["sh", "-c", "echo out; echo err >&2; exit 4"], demux=True))
say("exec tty", web.exec_run(["tty"], tty=True).exit_code)
say("exec stream", b"".join(web.exec_run(["seq", "1", "20000"], stream=True).output).count(b"\n"))
say("exec detached", web.exec_run(["sleep", "0"], detach=True).output)
made = api.exec_create("py2", ["sh", "-c", "cat; echo end >&2"], stdin=True)
sock = api.exec_start(made["Id"], socket=True)._sock
sock.settimeout(20)
body = os.urandom(300_000)
writer = threading.Thread(target=lambda: (sock.sendall(body), sock.shutdown(socket.SHUT_WR)))
writer.start()
got = frames(everything(sock))
writer.join()
say("exec socket", got[1] == body, got[2], api.exec_inspect(made["Id"])["ExitCode"])

# attach by a hijacked connection and by a websocket.
cat = client.containers.create("busybox", ["cat"], name="py3", stdin_open=True)
sock = cat.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})._sock
sock.settimeout(20)
cat.start()
sock.sendall(b"typed\n")
sock.shutdown(socket.SHUT_WR)
say("attach socket", everything(sock)[8:], cat.wait()["StatusCode"])
cat.remove()
if client.api.base_url.startswith("http://127."):
    term = client.containers.create("busybox", ["cat"], name="py4", stdin_open=True, tty=True)
    ws = term.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1}, ws=True)
    term.start()
    ws.send(b"over a websocket\n")
    shown = b""
    while shown.count(b"websocket") < 2:
        part = ws.recv()
        shown += part.encode() if isinstance(part, str) else part
    say("websocket", shown)
    ws.close()
    term.remove(force=True)

# Files.
say("put", web.put_archive("/tmp", archive(one=b"1" * 100_000, two=b"two")))
parts, stat = web.get_archive("/tmp/one")
data = b"".join(parts)
with tarfile.open(fileobj=io.BytesIO(data)) as tar:
    say("get", stat["name"], stat["size"], [(m.name, m.size) for m in tar.getmembers()])
say("export", len(b"".join(web.export())) > 1_000_000)
say("diff", sorted(c["Path"] for c in web.diff()))
failure("put nowhere", lambda: web.put_archive("/no/such", b""))
failure("get nothing", lambda: web.get_archive("/no/such"))

# Samples and events as they come.
samples = web.stats(stream=True, decode=True)
say("stats", [next(samples)["pids_stats"]["current"] for _ in range(2)])
say("top", len(web.top()["Processes"]))
since = time.time()
events = client.events(decode=True, filters={"container": "py5"}, since=int(since) - 1)
runner = threading.Thread(
    target=lambda: client.containers.run("busybox", ["true"], name="py5", network_mode="none", remove=True))
runner.start()
seen = []
for event in events:
    seen.append(event["Action"])
    if event["Action"] == "destroy":
        break
events.close()
runner.join()
# The engine may say "detach" too: whether a stream's end or its client's was first.
say("events", sorted(set(seen) - {"detach"}))
web.update(mem_limit="32m", memswap_limit="32m")
web.pause()
web.reload()
say("paused", web.status)
web.unpause()
web.rename("py6")
web.restart(timeout=0)
web.kill()
say("killed", web.wait()["StatusCode"])
failure("name", lambda: client.containers.create("busybox", name="py6"))

# Images.
image = client.images.build(
    fileobj=io.BytesIO(archive(Dockerfile=b"FROM busybox\nCOPY f /f\nCMD cat /f; sleep 0.3\n", f=b"content\n")),
    custom_context=True, tag="py:1", rm=True)[0]
say("build", image.tags, client.containers.run("py:1", remove=True))
try:
    client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 9\n"), rm=True, forcerm=True)
except docker.errors.BuildError as error:
    say("build failed", error.msg)
say("history", len(image.history()))
saved = b"".join(image.save(named=True))
client.images.remove("py:1")
say("load", [loaded.tags for loaded in client.images.load(saved)])
web.commit("py", "2")
say("images", sorted(tag for image in client.images.list("py") for tag in image.tags))
client.images.remove("py:1")
client.images.remove("py:2")
failure("pull", lambda: client.images.pull("127.0.0.1:9/x", "y"))
failure("image", lambda: client.images.get("nosuch"))
failure("remove", lambda: client.containers.get("nosuch"))
say("push", "errorDetail" in api.push("127.0.0.1:9/nosuch", "y"))

volume = client.volumes.create("pydata", labels={"k": "v"})
say("volume", volume.attrs["Labels"])
volume.remove()
network = client.networks.create("pynet", labels={"k": "v"})
say("network", network.attrs["Labels"], [n.name for n in client.networks.list(names=["pynet"])])
network.remove()
web.remove(force=True)
say("pruned", client.containers.prune())
say("df", sorted(client.df()))
