#!/usr/bin/env python3
"""The figures of the simulator, as Markdown tables.

    python3 conformance/figures/simulator.py [--quick] [SECTION ...]

Sections: start, cycles, memory, list; all of them without any. Needs Linux with two cores and cargo. It listens on loopback
only, and ends what it has started. The daemon has one core and who asks it another one.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
DAEMONS = {"swarmd (smol)": "swarmd", "swarmd-std (threads)": "swarmd-std"}


class Failed(Exception):
    """What went wrong, and what to do about it."""


class Daemon:
    """A daemon with a simulator on a loopback port."""

    def __init__(self, stack, program, core, backend="simulator"):
        self.port = free_port()
        self.begin = time.perf_counter()
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), program, "--backend", backend, f"tcp://127.0.0.1:{self.port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(self.stop)
        deadline = self.begin + 20
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                with socket.create_connection(("127.0.0.1", self.port), 10) as client:
                    client.sendall(b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n")
                    if client.recv(4096).startswith(b"HTTP/1.1 200"):
                        break
            if time.perf_counter() > deadline or self.process.poll() is not None:
                raise Failed(f"{program} does not answer on port {self.port}")
            time.sleep(0.0001)
        self.started = time.perf_counter() - self.begin

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        with contextlib.closing(connection):
            begin = time.perf_counter()
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise Failed(f"{path} is answered with {response.status}: {body!r}")
            return body, time.perf_counter() - begin

    def memory(self, key="Pss"):
        """Bytes."""
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(f"{key}:"))

    def cpu(self):
        """Seconds of processor time so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def peak(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM:"))

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Bench:
    """The built programs, the cores, how long to measure."""

    def __init__(self, options):
        self.quick = options.quick
        self.rounds = 3 if options.quick else 5
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise Failed("the daemon and who asks it need a core each, and this process may use one only")
        self.core, self.other = cores[:2]
        packages = ["-p", "libswarm-smol", "-p", "libswarm-std", "-p", "libswarm-conformance"]
        programs = [*(["--bin", program] for program in DAEMONS.values()), ["--example", "simulator_load"]]
        cargo("build", "--release", *packages, *(word for words in programs for word in words))
        metadata = cargo("metadata", "--no-deps", "--format-version", "1", stdout=subprocess.PIPE)
        self.target = pathlib.Path(json.loads(metadata.stdout)["target_directory"], "release")

    def daemon(self, stack, program, backend="simulator"):
        return Daemon(stack, str(self.target / program), self.core, backend)

    def load(self, *words):
        command = ["taskset", "-c", str(self.other), str(self.target / "examples/simulator_load"), *map(str, words)]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def start(bench):
    """From the start of the process to its first answer."""
    head("Start of the daemon to its first answer", "daemon", "ms (the shortest and the median of 20)", "promised")
    for name, program in DAEMONS.items():
        times = []
        for _ in range(20):
            with contextlib.ExitStack() as stack:
                times.append(bench.daemon(stack, program, "simulator web db").started * 1000)
        row(name, f"{min(times):.1f}, {statistics.median(times):.1f}", verdict(statistics.median(times), 10, "<"))


def cycles(bench):
    """Containers that come and go."""
    seconds = 2 if bench.quick else 5
    columns = ("daemon", "cycles/s", "promised", "its CPU-µs per cycle")
    head("create, start, wait, remove at 16 connections, the daemon on one core", *columns)
    for name, program in DAEMONS.items():
        rates, costs = [], []
        for _ in range(bench.rounds):
            with contextlib.ExitStack() as stack:
                daemon = bench.daemon(stack, program)
                before = daemon.cpu()
                rate = float(bench.load("cycles", f"127.0.0.1:{daemon.port}", 16, seconds)[0])
                rates.append(rate)
                costs.append((daemon.cpu() - before) / (rate * seconds) * 1e6)
        rate, cost = statistics.median(rates), statistics.median(costs)
        row(name, f"{rate:,.0f}", verdict(rate, 5000, ">"), f"{cost:,.0f}")


def memory(bench):
    """A million containers, and one of them found."""
    count = 100_000 if bench.quick else 1_000_000
    columns = ("containers", "created/s", "bytes each", "promised", "peak, MiB", "list of 200 by name, ms", "by label, ms", "found")
    head(f"{count:,} containers in swarmd (smol)", *columns)
    for labels in ["same", "own"]:
        with contextlib.ExitStack() as stack:
            daemon = bench.daemon(stack, "swarmd")
            before = daemon.memory()
            (rate,) = bench.load("create", f"127.0.0.1:{daemon.port}", 16, count, labels)
            each = (daemon.memory() - before) / count
            names, by_name = filtered(daemon, {"name": [f"^/c{count // 10 ** 4}.[0-9]$", f"^/c{count // 10 ** 3}..$"]})
            labelled, by_label = filtered(daemon, {"label": ["number=77"]})
            row(
                f"created alike, {labels} label",
                f"{float(rate):,.0f}",
                f"{each:,.0f}",
                verdict(each, 2048, "<"),
                f"{daemon.peak() / 2**20:,.0f}",
                f"{by_name * 1000:.0f}",
                f"{by_label * 1000:.0f}",
                f"{len(names)} and {len(labelled)}",
            )


def filtered(daemon, filters):
    query = urllib.parse.urlencode({"all": "1", "filters": json.dumps(filters)})
    body, took = daemon.get(f"/v1.41/containers/json?{query}")
    return json.loads(body), took


def list_containers(bench):
    """A list that has changed, and one that has not."""
    head(
        "`GET /containers/json` of 10,000 containers, µs",
        *("when one has changed", "unchanged", "serialising the same document", "changed ÷ serialising"),
    )
    changed, unchanged, serialised = map(float, bench.load("list", 10_000))
    row(f"{changed:,.0f}", f"{unchanged:,.1f}", f"{serialised:,.0f}", f"{changed / serialised:.2f}")


def verdict(value, promised, which):
    kept = value < promised if which == "<" else value > promised
    return f"{which} {promised:,}: {'kept' if kept else 'MISSED'}"


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head(title, *cells):
    print(f"\n### {title}\n")
    row(*cells)
    row(*["---"] * len(cells))


def cargo(*args, stdout=None):
    return subprocess.run(["cargo", *args], cwd=ROOT, stdout=stdout, check=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    acts = {"start": start, "cycles": cycles, "memory": memory, "list": list_containers}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run, for a first look")
    parser.add_argument("section", nargs="*", metavar="SECTION", help=", ".join(acts))
    options = parser.parse_args()
    unknown = set(options.section) - set(acts)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(acts)}")
    try:
        bench = Bench(options)
        for section in options.section or acts:
            acts[section](bench)
    except Failed as failure:
        sys.exit(f"simulator.py: {failure}")
    except subprocess.CalledProcessError as failure:
        sys.exit(f"simulator.py: {' '.join(map(str, failure.cmd))} ended with {failure.returncode}")


if __name__ == "__main__":
    main()
