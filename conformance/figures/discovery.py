#!/usr/bin/env python3
"""The figures of discovery, beside the original's, etcd's own and the disk's, as Markdown tables.

    python3 conformance/figures/discovery.py [--quick] [SECTION ...]

Sections: register, watch, idle; all of them without any. Needs Linux with two cores and cargo; with Debian's etcd-server its
rows are there too. It listens on loopback only, keeps its files in the folder for temporary ones (TMPDIR, which should be on
a disk), and ends what it has started. The server has one core and who asks it another one; only a change for thousands of
subscribers is told by both.

The original's figures were taken on two cores of another machine of this kind, with etcd beside it.
"""

import argparse
import base64
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from foundation import cargo, free_port, head, row

DAEMONS = {"discoverd (smol)": "discoverd", "discoverd-std (threads)": "discoverd-std"}
ROOT = pathlib.Path(__file__).resolve().parents[2]
# Of the original, a second: new services and heartbeats on 16 connections, one after the other on each.
ORIGINAL = {"register": 1296, "heartbeat": 2092}
GOALS = {"register": {1: 25, 16: 50}, "heartbeat": {1: 20, 16: 50}}


class Failed(Exception):
    """What went wrong, and what to do about it."""


class Process:
    """A server on a loopback port."""

    def __init__(self, stack, command, port, *cores):
        self.port = port
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        stack.callback(self.stop)
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{command[0]} does not answer on port {port}")
            time.sleep(0.01)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu(self):
        """Seconds of processor time so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Bytes (PSS)."""
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))


class Bench:
    """The built programs, the cores, how long to measure."""

    def __init__(self, stack, options):
        self.quick = options.quick
        self.rounds = options.rounds or (3 if options.quick else 5)
        self.seconds = 1 if options.quick else 3
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise Failed("the server and who asks it need a core each, and this process may use one only")
        self.core, self.other = cores[:2]
        self.dir = stack.enter_context(tempfile.TemporaryDirectory())
        packages = ["-p", "libswarm-smol", "-p", "libswarm-std", "-p", "libswarm-conformance"]
        programs = [*(["--bin", program] for program in DAEMONS.values()), ["--example", "discovery_load"]]
        cargo("build", "--release", *packages, *(word for words in programs for word in words))
        metadata = cargo("metadata", "--no-deps", "--format-version", "1", stdout=subprocess.PIPE)
        self.target = pathlib.Path(json.loads(metadata.stdout)["target_directory"], "release")

    def daemon(self, stack, program, *options, cores=()):
        """One with a journal of its own, which nobody else has written to."""
        folder = tempfile.mkdtemp(dir=self.dir)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        port = free_port()
        words = ["-bind", f"127.0.0.1:{port}", "-data-dir", folder, *options]
        return Process(stack, [str(self.target / program), *words], port, *(cores or [self.core]))

    def load(self, what, server, *words, **options):
        program = str(self.target / "examples/discovery_load")
        command = ["taskset", "-c", str(self.other), program, what, f"127.0.0.1:{server.port}", *map(str, words)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)

    def numbers(self, process):
        said, _ = process.communicate(timeout=300)
        if process.returncode != 0:
            raise Failed(f"discovery_load ended with {process.returncode}")
        return [float(word) for word in said.split()]

    def fdatasync(self, count=300):
        """The p50 of the microseconds that it takes to make 1 KiB safe: at the end of a file, and within one."""
        times = {"behind": [], "within": []}
        path = pathlib.Path(self.dir, "fdatasync")
        for name, ahead in [("behind", 0), ("within", 1 << 20)]:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            os.write(file, bytes(ahead))
            os.fsync(file)
            for nth in range(count):
                begin = time.perf_counter()
                os.pwrite(file, b"x" * 1024, nth * 1024)
                os.fdatasync(file)
                times[name].append((time.perf_counter() - begin) * 1e6)
            os.close(file)
        path.unlink()
        return [statistics.median(times[name]) for name in ("behind", "within")]


def register(bench):
    """New services, each safe on the disk before it is acknowledged, and heartbeats."""
    columns = ("server", "what", "in flight on each of 16 connections", "per second", "÷ the original's", "goal", "p50 µs", "p99 µs")
    disk = []
    head("Registrations a second, with the journal", *columns)
    for what in ["register", "heartbeat"]:
        for in_flight in [1, 16]:
            results = {name: [] for name in DAEMONS}
            for _ in range(bench.rounds):
                disk.append(bench.fdatasync())
                for name, program in DAEMONS.items():
                    with contextlib.ExitStack() as stack:
                        server = bench.daemon(stack, program)
                        results[name].append(bench.numbers(bench.load(what, server, 16, in_flight, bench.seconds)))
            for name, rounds in results.items():
                rate, p50, p99 = map(statistics.median, zip(*rounds))
                times, goal = rate / ORIGINAL[what], GOALS[what][in_flight]
                verdict = f"{goal}: {'kept' if times >= goal else 'MISSED'}"
                row(name, what, in_flight, f"{rate:,.0f}", f"{times:.1f}", verdict, f"{p50:.0f}", f"{p99:.0f}")
    behind, within = map(statistics.median, zip(*disk))
    print(
        f"\nIn the same run fdatasync took this disk {behind:.0f} µs behind the end of a file and {within:.0f} µs within one (p50): "
        f"16 registrations in flight can be acknowledged {16e6 / within:,.0f} times a second at most."
    )
    etcd(bench)


def etcd(bench):
    """etcd's own gateway: a key with a lease, 16 connections, one after the other on each."""
    program = shutil.which("etcd")
    if program is None:
        print("\nNo etcd here (Debian's etcd-server): its row is left out.")
        return
    client, peer = free_port(), free_port()
    urls = {"client": f"http://127.0.0.1:{client}", "peer": f"http://127.0.0.1:{peer}"}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=bench.dir))
        words = ["--data-dir", folder, "--listen-client-urls", urls["client"], "--advertise-client-urls", urls["client"]]
        words += ["--listen-peer-urls", urls["peer"], "--initial-advertise-peer-urls", urls["peer"]]
        server = Process(stack, [program, *words, "--initial-cluster", f"default={urls['peer']}"], client, bench.core)
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException, Failed):
                post(server, None, "/v3/lease/grant", {"TTL": "600", "ID": "77"})
                break
            if time.monotonic() > deadline:
                raise Failed("etcd does not become ready")
            time.sleep(0.1)
        counts, end = [0] * 16, time.monotonic() + bench.seconds

        def ask(which):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            with contextlib.closing(connection):
                while time.monotonic() < end:
                    key = base64.b64encode(f"/load/{which}/{counts[which]}".encode()).decode()
                    post(server, connection, "/v3/kv/put", {"key": key, "value": "eA==", "lease": "77"})
                    counts[which] += 1

        threads = [threading.Thread(target=ask, args=(which,)) for which in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"\netcd's own gateway: {sum(counts) / bench.seconds:,.0f} keys with a lease a second on 16 connections (asked by Python).")


def post(server, connection, path, body):
    own = connection or http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    own.request("POST", path, json.dumps(body))
    response = own.getresponse()
    said = response.read()
    if connection is None:
        own.close()
    if response.status != 200:
        raise Failed(f"etcd answers {path} with {response.status}: {said!r}")


def watch(bench):
    """One change, many subscribers: that is work for all cores, of which the subscribers here have one, too."""
    columns = ("server", "subscribers", "p50 ms", "p99 ms", "the last one, ms", "goal", "KiB each", "goal")
    head("From the sending of a change to its subscribers, each with a connection", *columns)
    print("| the original | 1,000 | 112 | 282 | 196 |  | 178 |  |")
    for count in [1_000] if bench.quick else [1_000, 10_000]:
        for name, program in DAEMONS.items():
            rounds, sizes = [], []
            for _ in range(min(bench.rounds, 3)):
                with contextlib.ExitStack() as stack:
                    server = bench.daemon(stack, program, cores=(bench.core, bench.other))
                    before = server.memory()
                    load = bench.load("watch", server, count, 9, stdin=subprocess.PIPE)
                    said = load.stdout.readline()
                    sizes.append((server.memory() - before) / count / 1024)
                    load.communicate()
                    if not said:
                        raise Failed(f"discovery_load ended with {load.returncode}")
                    rounds.append([float(word) / 1000 for word in said.split()])
            (p50, p99, last), size = map(statistics.median, zip(*rounds)), statistics.median(sizes)
            promised = program == "discoverd" and count == 10_000
            goals = [
                f"≤ {goal}: {'kept' if value <= goal else 'MISSED'}" if promised else ""
                for value, goal in [(last, 100), (size, 8)]
            ]
            row(name, f"{count:,}", f"{p50:.0f}", f"{p99:.0f}", f"{last:.0f}", goals[0], f"{size:.1f}", goals[1])


def idle(bench):
    """Many instances, of which nobody speaks."""
    count = 10_000 if bench.quick else 100_000
    head(f"{count:,} instances", *("server", "registered a second", "bytes each", "its processor time in 5 s without heartbeats, ms"))
    for name, program in DAEMONS.items():
        with contextlib.ExitStack() as stack:
            server = bench.daemon(stack, program, "-ttl", "1h")
            before = server.memory()
            rate, *_ = bench.numbers(bench.load("fill", server, 16, 16, count))
            size = (server.memory() - before) / count
            begin = server.cpu()
            time.sleep(5)
            row(name, f"{rate:,.0f}", f"{size:,.0f}", f"{(server.cpu() - begin) * 1000:.0f}")


def main():
    acts = {"register": register, "watch": watch, "idle": idle}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run, for a first look")
    parser.add_argument("--rounds", type=int, help="how often each is measured")
    parser.add_argument("section", nargs="*", metavar="SECTION", help=", ".join(acts))
    options = parser.parse_args()
    unknown = set(options.section) - set(acts)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(acts)}")
    try:
        with contextlib.ExitStack() as stack:
            bench = Bench(stack, options)
            for section in options.section or acts:
                acts[section](bench)
    except Failed as failure:
        sys.exit(f"discovery.py: {failure}")
    except subprocess.CalledProcessError as failure:
        sys.exit(f"discovery.py: {' '.join(map(str, failure.cmd))} ended with {failure.returncode}")


if __name__ == "__main__":
    main()
