#!/usr/bin/env python3
"""The figures of the foundation beside those of nginx, as a Markdown table.

    python3 conformance/figures/foundation.py [--quick] [SECTION ...]

Sections: ping, list, memory, instructions; all of them without any. Needs Linux with two cores, cargo, and Debian's
packages wrk, nginx-light and (for the instructions) valgrind. It listens on loopback only, and ends what it has started.

Servers are measured in turn, round after round, each on the same core with wrk on another one. A ratio is the median of
the rounds' ratios: on a machine that has other things to do, ratios within a round count, and absolute figures don't.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECTIONS = ["ping", "list", "memory", "instructions"]
CONTAINERS = 100
LIST = "/v1.41/containers/json"
SMOL, THREADS, NGINX = "swarmd (smol)", "swarmd-std (threads)", "nginx"
# What a client has to parse slows wrk down, too: this one sends the headers that swarmd sends.
NGINX_HEADERS = "nginx, swarmd's headers"
FIXED = {SMOL: "smol, fixed reply", THREADS: "threads, fixed reply"}

NGINX_CONF = """\
daemon off;
worker_processes 1;
pid {dir}/{port}.pid;
error_log stderr;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout 3600;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /_ping {{ default_type "text/plain; charset=utf-8"; {headers} return 200 "OK"; }}
        location = {list} {{ default_type application/json; alias {dir}/list.json; }}
    }}
}}
"""


class Failed(Exception):
    """What went wrong, and what to do about it."""


class Server:
    """A process that answers on a loopback port, and its children."""

    def __init__(self, stack, name, command, port, core):
        self.name, self.port = name, port
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        stack.callback(self.stop)
        deadline = time.monotonic() + 10
        while True:
            if self.process.poll() is not None:
                raise Failed(f"{name} ended with {self.process.returncode}: {' '.join(command)}")
            try:
                self.get("/_ping")
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise Failed(f"{name} does not answer on port {port}") from None
                time.sleep(0.05)

    def get(self, path):
        return self.answer(path)[1]

    def answer(self, path):
        """Headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise Failed(f"{self.name} answers {path} with {response.status}")
            return response.getheaders(), body

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def pids(self):
        pids = [self.process.pid]
        for pid in pids:
            for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                # A thread may end while it is looked at.
                with contextlib.suppress(OSError):
                    pids += map(int, children.read_text().split())
        return pids

    def cpu(self):
        """Seconds of processor time so far, those of its children included."""
        ticks = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """MiB: what it has of shared memory counts in part (PSS), and in full (RSS)."""
        sizes = {"Pss": 0, "Rss": 0}
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                key = line.partition(":")[0]
                if key in sizes:
                    sizes[key] += int(line.split()[1]) / 1024
        return sizes["Pss"], sizes["Rss"]


class Bench:
    """What all sections share: the built programs, the cores, how long to measure."""

    def __init__(self, stack, options):
        self.stack, self.options = stack, options
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise Failed("the servers and wrk need a core each, and this process may use one only")
        self.core, self.wrk_core = cores[:2]
        self.dir = stack.enter_context(tempfile.TemporaryDirectory())
        # nginx's worker is another user when this is run as root.
        os.chmod(self.dir, 0o755)
        self.target = None

    def build(self):
        if self.target is None:
            cargo("build", "--release", "-p", "libswarm-smol", "-p", "libswarm-std", "--bins", "--examples")
            metadata = cargo("metadata", "--no-deps", "--format-version", "1", stdout=subprocess.PIPE)
            self.target = pathlib.Path(json.loads(metadata.stdout)["target_directory"], "release")
        return self.target

    def start(self, stack, name, *backend, headers=()):
        port = free_port()
        target = self.build()
        if name in (NGINX, NGINX_HEADERS):
            lines = " ".join(f'add_header {key} "{value}";' for key, value in headers)
            conf = pathlib.Path(self.dir, f"nginx-{port}.conf")
            conf.write_text(NGINX_CONF.format(dir=self.dir, port=port, list=LIST, headers=lines))
            command = [tool("nginx", "nginx-light"), "-c", str(conf), "-p", self.dir]
        elif name in FIXED:
            program = "swarmd" if name == SMOL else "swarmd-std"
            command = [str(target / program), "--backend", " ".join(["simulator", *backend]), f"tcp://127.0.0.1:{port}"]
        else:
            program = "fixed_smol" if name == FIXED[SMOL] else "fixed_std"
            command = [str(target / "examples" / program), f"127.0.0.1:{port}"]
        return Server(stack, name, command, port, self.core)

    def wrk(self, server, path, connections):
        """Requests per second, and CPU-seconds of the server per 100,000 requests."""
        before = server.cpu()
        said = subprocess.run(
            [
                tool("wrk", "wrk"),
                *("-t", "1", "-c", str(connections), "-d", f"{self.options.seconds}s"),
                f"http://127.0.0.1:{server.port}{path}",
            ],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=self.options.seconds + 30,
            preexec_fn=lambda: os.sched_setaffinity(0, {self.wrk_core}),
        ).stdout
        spent = server.cpu() - before
        if "Non-2xx" in said or "Socket errors" in said:
            raise Failed(f"{server.name} fails under load:\n{said}")
        requests = int(re.search(r"(\d+) requests in", said)[1])
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
        return rate, spent * 100_000 / requests

    def rounds(self, starts, path, connections):
        """For each server what its rounds gave. `starts` maps its name to what starts it, which each round does anew: how
        fast a process is depends also on where it came to lie in memory, by up to a fifth."""
        results = {name: [] for name in starts}
        for nth in range(self.options.rounds):
            say(f"{path} at {connections}: round {nth + 1} of {self.options.rounds}")
            with contextlib.ExitStack() as stack:
                servers = [start(stack) for start in starts.values()]
                for server in servers:
                    results[server.name].append(self.wrk(server, path, connections))
        return results


def ratio(results, ours, theirs, what=0):
    pairs = zip(results[ours], results[theirs])
    return statistics.median(our[what] / their[what] for our, their in pairs)


def verdict(value, promised):
    if promised is None:
        return f"{value:.2f}"
    return f"{value:.2f} (≥ {promised}: {'kept' if value >= promised else 'MISSED'})"


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head(title, *cells):
    print(f"\n### {title}\n")
    row(*cells)
    row(*["---"] * len(cells))


def rows(results, connections, promises):
    """A line for each server; `promises` maps a server to what it is to reach of nginx's rate."""
    for name, rounds in results.items():
        rate, cpu = (statistics.median(values) for values in zip(*rounds))
        beside, cheap, same = "", "", ""
        if name in FIXED:
            beside = verdict(ratio(results, name, NGINX), promises.get(name))
            cheap = f"{ratio(results, name, NGINX, 1):.2f}"
            if NGINX_HEADERS in results:
                same = f"{ratio(results, name, NGINX_HEADERS):.2f}"
        fixed = FIXED.get(name)
        node = verdict(ratio(results, name, fixed), 0.9) if fixed in results else ""
        row(connections, name, f"{rate:,.0f}", f"{cpu:.2f}", beside, same, cheap, node)


COLUMNS = ["connections", "server", "req/s", "CPU-s per 100k", "rate ÷ nginx", "rate ÷ nginx with swarmd's headers", "CPU ÷ nginx", "rate ÷ fixed reply"]


def ping(bench):
    """GET /_ping, keep-alive."""
    with contextlib.ExitStack() as stack:
        headers, _ = bench.start(stack, SMOL, "web").answer("/_ping")
    # nginx sends these of its own.
    own = {"Server", "Date", "Content-Type", "Content-Length", "Connection"}
    headers = [(key, value) for key, value in headers if key not in own]
    starts = {
        name: lambda stack, name=name: bench.start(stack, name, "web", headers=headers if name == NGINX_HEADERS else ())
        for name in [SMOL, NGINX, NGINX_HEADERS, FIXED[SMOL], THREADS, FIXED[THREADS]]
    }
    head("GET /_ping, keep-alive", *COLUMNS)
    for connections, promises in [
        (1, {SMOL: 0.85, THREADS: 1.0}),
        (16, {SMOL: 1.0}),
        (64, {SMOL: 0.85}),
    ]:
        rows(bench.rounds(starts, "/_ping", connections), connections, promises)


def list_containers(bench):
    """The list of 100 containers, beside nginx with the same bytes in a file."""
    names = [f"c{nth}" for nth in range(1, CONTAINERS + 1)]
    starts = {name: lambda stack, name=name: bench.start(stack, name, *names) for name in [SMOL, NGINX, THREADS]}
    with contextlib.ExitStack() as stack:
        body = starts[SMOL](stack).get(LIST)
    if len(json.loads(body)) != CONTAINERS:
        raise Failed(f"{SMOL} lists {len(json.loads(body))} containers, not {CONTAINERS}")
    file = pathlib.Path(bench.dir, "list.json")
    file.write_bytes(body)
    file.chmod(0o644)
    head(f"GET {LIST}: {CONTAINERS} containers, {len(body):,} bytes", *COLUMNS)
    rows(bench.rounds(starts, LIST, 16), 16, {SMOL: 0.5, THREADS: 0.5})


def memory(bench):
    """PSS and RSS with idle connections."""
    count = 1_000 if bench.options.quick else 10_000
    raise_limit(count + 1_000)
    head(
        f"Memory with {count:,} idle keep-alive connections, each after one request",
        *("server", "PSS before, MiB", "PSS, MiB", "RSS, MiB", "KiB of PSS per connection", "promised"),
    )
    for name, promised in [(SMOL, 100), (THREADS, None), (NGINX, None)]:
        with contextlib.ExitStack() as stack:
            server = bench.start(stack, name, "web")
            before, _ = server.memory()
            say(f"{count} connections to {name}")
            for nth in range(count):
                stack.enter_context(contextlib.closing(idle(server, nth)))
            pss, rss = server.memory()
            each = (pss - before) * 1024 / count
            kept = "" if promised is None else f"≤ {promised} MiB: {'kept' if pss <= promised else 'MISSED'}"
            row(name, f"{before:.1f}", f"{pss:.1f}", f"{rss:.1f}", f"{each:.2f}", kept)


def idle(server, nth):
    """A connection that has had one answer. Several source addresses, since each has some 28,000 ports."""
    source = (f"127.0.0.{2 + nth % 8}", 0)
    client = socket.create_connection(("127.0.0.1", server.port), 10, source_address=source)
    client.sendall(b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\nOK"):
        piece = client.recv(4096)
        if not piece:
            raise Failed(f"{server.name} closes connection {nth}: {answer!r}")
        answer += piece
    return client


def raise_limit(files):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < files:
        if hard != resource.RLIM_INFINITY and hard < files:
            raise Failed(f"{files} files have to be open at once and {hard} may be: raise `ulimit -Hn`")
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def instructions(_bench):
    """Instruction counts by callgrind."""
    tool("valgrind", "valgrind")
    print("\n### Instructions per operation\n", flush=True)
    command = ["cargo", "bench", "--quiet", "-p", "libswarm", "--bench", "instructions"]
    # It fails if its promise is not kept, and has printed why.
    subprocess.run(command, cwd=ROOT, check=False)


def cargo(*args, stdout=None):
    return subprocess.run(["cargo", *args], cwd=ROOT, stdout=stdout, check=True)


def tool(name, package):
    # nginx stands where only root's PATH leads.
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if path is None:
        raise Failed(f"{name} is not installed: apt install {package}")
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def say(text):
    print(text, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run, for a first look")
    parser.add_argument("--rounds", type=int, help="how often all are measured in turn [5; quick: 3]")
    parser.add_argument("--seconds", type=int, help="how long each is measured [2; quick: 1]")
    parser.add_argument("section", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 2)
    unknown = set(options.section) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    acts = dict(zip(SECTIONS, [ping, list_containers, memory, instructions]))
    try:
        with contextlib.ExitStack() as stack:
            bench = Bench(stack, options)
            for section in options.section or SECTIONS:
                acts[section](bench)
    except Failed as failure:
        sys.exit(f"foundation.py: {failure}")
    except subprocess.CalledProcessError as failure:
        sys.exit(f"foundation.py: {' '.join(failure.cmd)} ended with {failure.returncode}")


if __name__ == "__main__":
    main()
