#!/usr/bin/env python3
"""Makes all shipped sessions anew: real clients against a real engine of its own.

Needs root, Debian's docker.io and busybox-static, curl, python3 with docker-py, node and npm, and a built
swarm-conformance. The engine runs with its own data and its own view of /var/lib/docker, so nothing of an engine that
the machine may have is touched, and the paths in the recordings are the usual ones.

    cargo build -p libswarm-conformance
    conformance/sessions/record.py --recorder target/debug/swarm-conformance
    conformance/sessions/record.py --recorder ... --only 'docker-20/exec*'
"""

import argparse
import fnmatch
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from scenarios import CLI, COMPOSE, CURL, DOCKER_PY, DOCKERODE

HERE = Path(__file__).parent
ENGINE = """
mount --make-rprivate /
mkdir -p /var/lib/docker
mount --bind "$1/data" /var/lib/docker
hostname engine
exec dockerd --data-root /var/lib/docker --exec-root "$1/exec" --pidfile "$1/pid" --config-file "$1/config.json" \
    --iptables=false --ip6tables=false --bridge=none -s vfs -H "unix://$1/engine.sock" --shutdown-timeout 2
"""


def wait_for(what, seconds, done):
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            sys.exit(f"{what} takes more than {seconds} s")
        time.sleep(0.05)


def rootfs(file, files):
    """A tar with these files; the same bytes each time."""
    with tarfile.open(file, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            if content is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size, entry.mode = len(content), 0o755
                tar.addfile(entry, io.BytesIO(content))


class Engine:
    def __init__(self, folder):
        self.folder = folder
        for name in ("data", "exec"):
            (folder / name).mkdir()
        # Not what the machine's engine is told.
        (folder / "config.json").write_text("{}")
        self.socket = folder / "engine.sock"
        env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        self.log = open(folder / "log", "w")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--uts", "sh", "-ec", ENGINE, "engine", str(folder)],
            env=env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_for("dockerd", 60, lambda: self.process.poll() is not None or self.socket.exists())
        if self.process.poll() is not None:
            sys.exit(f"dockerd does not start:\n{(folder / 'log').read_text()}")

    def docker(self, *args, check=False):
        return subprocess.run(
            ["/usr/bin/docker", "-H", f"unix://{self.socket}", *args], check=check,
            env={"PATH": os.environ["PATH"], "DOCKER_CONFIG": str(self.folder)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout.split()

    def images(self):
        busybox = Path("/bin/busybox").read_bytes()
        applets = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True).stdout
        links = {f"bin/{name}": "busybox" for name in applets.split() if name != "busybox"}
        rootfs(self.folder / "busybox.tar",
               {"bin": None, "tmp": None, "etc": None, "bin/busybox": busybox, **links})
        rootfs(self.folder / "tiny.tar", {"hello": b"hello\n", "data": None})
        self.docker("import", "--change", 'CMD ["sh"]', str(self.folder / "busybox.tar"), "busybox", check=True)
        self.docker("import", "--change", 'CMD ["/hello"]', str(self.folder / "tiny.tar"), "tiny", check=True)
        self.keep = set(self.docker("images", "-q", "--no-trunc"))

    def clean(self):
        for args, remove in (
            (("ps", "-aq"), ("rm", "-fv")),
            (("volume", "ls", "-q"), ("volume", "rm", "-f")),
            (("network", "ls", "-q", "--filter", "type=custom"), ("network", "rm")),
        ):
            if found := self.docker(*args):
                self.docker(*remove, *found)
        for image in self.docker("images", "-q", "--no-trunc", "-a"):
            if image not in self.keep:
                self.docker("rmi", "-f", image)
        for image in self.docker("images", "--format", "{{.Repository}}:{{.Tag}}"):
            if image not in ("busybox:latest", "tiny:latest"):
                self.docker("rmi", image)
        for image in ("busybox", "tiny"):
            if not self.docker("images", "-q", image):
                self.docker("import", str(self.folder / f"{image}.tar"), image, check=True)
                self.keep = set(self.docker("images", "-q", "--no-trunc"))

    def stop(self):
        self.clean()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def plain(text, folder):
    """Without what is this machine's and nobody's business; lengths stay, so that framing stays true."""
    for ours, usual in (
        (os.uname().release, "6.1.0-amd64"),
        (f"{folder}/exec", "/var/run/docker/recordings"),
        (f"{folder}/work", "/srv/compose-project-files"),
    ):
        text = text.replace(ours, usual.ljust(len(ours), "0")[:len(ours)])
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recorder", required=True, help="the swarm-conformance to record with")
    parser.add_argument("--only", default="*", help="a pattern of CLIENT/SCENARIO")
    parser.add_argument("--missing", action="store_true", help="only those that are not there")
    options = parser.parse_args()
    recorder = str(Path(options.recorder).resolve())

    clients = {}
    for name, path in (("docker-20", "/usr/bin/docker"), ("docker-28", "/usr/local/bin/docker")):
        if os.path.exists(path):
            clients[name] = (CLI, lambda script: ["sh", "-c", script], path)
        else:
            print(f"left out: {name}, there is no {path}", file=sys.stderr)
    if shutil.which("docker-compose"):
        clients["docker-compose"] = (COMPOSE, lambda script: ["sh", "-c", script], None)
    else:
        print("left out: docker-compose, which is not installed", file=sys.stderr)
    clients["curl"] = (CURL, lambda script: ["sh", "-c", script], None)
    clients["docker-py"] = (DOCKER_PY, lambda script: ["python3", "-c", script], None)
    clients["dockerode"] = (DOCKERODE, lambda script: ["node", "-e", script], None)

    with tempfile.TemporaryDirectory(prefix="sessions") as folder:
        folder = Path(folder)
        if any(fnmatch.fnmatch(f"dockerode/{name}", options.only) for name in DOCKERODE):
            subprocess.run(["npm", "install", "--silent", "--prefix", str(folder), "dockerode@4"], check=True)
        engine = Engine(folder)
        try:
            wait_for("the engine", 60, lambda: engine.docker("version", "-f", "{{.Server.Version}}"))
            engine.images()
            record_all(recorder, clients, options, folder, engine)
        finally:
            engine.stop()


def record_all(recorder, clients, options, folder, engine):
    made = 0
    for client, (scenarios, command, docker) in clients.items():
        for scenario, script in scenarios.items():
            file = HERE / client / f"{scenario}.session"
            wanted = fnmatch.fnmatch(f"{client}/{scenario}", options.only)
            if not wanted or options.missing and file.exists():
                continue
            work = folder / "work"
            shutil.rmtree(work, ignore_errors=True)
            (work / "bin").mkdir(parents=True)
            (work / "config").mkdir()
            if docker:
                (work / "bin/docker").symlink_to(docker)
            socket = work / "rec.sock"
            env = {
                "PATH": f"{work / 'bin'}:{os.environ['PATH']}", "HOME": str(work), "TZ": "UTC", "LANG": "C.UTF-8",
                "DOCKER_HOST": f"unix://{socket}", "DOCKER_CONFIG": str(work / "config"),
                "DOCKER_BUILDKIT": "0", "DOCKER_CLI_HINTS": "0", "SOCKET": str(socket), "COMPOSE_PROJECT_NAME": "project",
                "NODE_PATH": str(folder / "node_modules"), "PYENV_VERSION": os.environ.get("PYENV_VERSION", ""),
            }
            file.parent.mkdir(exist_ok=True)
            start = time.monotonic()
            recording = subprocess.Popen(
                [recorder, "record", "--listen", f"unix://{socket}", "--upstream", f"unix://{engine.socket}",
                 "-o", str(file), "--name", scenario, "--client", client, "--", *command(script.strip())],
                cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, start_new_session=True)
            try:
                output, _ = recording.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(recording.pid, signal.SIGKILL)
                recording.wait()
                engine.clean()
                print(f"{client}/{scenario}: no end after 30 s", flush=True)
                continue
            said = output.strip().replace("\n", " | ")[-150:]
            print(f"{client}/{scenario}: {recording.returncode} in {time.monotonic() - start:.1f} s {said}", flush=True)
            if file.exists():
                file.write_text(plain(file.read_text(), folder))
                made += 1
            engine.clean()
    print(f"{made} sessions")


if __name__ == "__main__":
    main()
