#!/usr/bin/env python3
"""The figures of discovery as DNS, beside those of NSD serving the same names, as a Markdown table.

    python3 conformance/figures/dns.py [--quick] [--daemon PROGRAM ...] [KIND ...]

Kinds of questions: a, srv, leader, nothing; all of them without any. Needs Linux with two cores, cargo, and Debian's packages
dnsperf and, for the comparison, nsd. It listens on loopback only, keeps its files in the folder for temporary ones, and ends
what it has started.

A thousand services have three instances each. The servers are measured in turn, round after round, each on the same core
with dnsperf on another one, which asks as fast as it is answered:

    taskset -c CORE dnsperf -s 127.0.0.1 -p PORT -d QUESTIONS -l SECONDS -c 8 -q 200

A ratio is the median of the rounds' ratios: on a machine that has other things to do, ratios within a round count, and
absolute figures don't. The server's processor time for each answer is the figure that suffers least from others; where it is
less than a second divided by the rate, dnsperf was the slower one.
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from foundation import cargo, free_port, head, row

DAEMONS = {"discoverd": "discoverd (smol)", "discoverd-std": "discoverd-std (threads)"}
SERVICES = 1000
INSTANCES = 3
GOAL = 50_000
# What a question is for, and of which type.
KINDS = {
    "a": ("web-{}.discoverd", "A"),
    "srv": ("web-{}.discoverd", "SRV"),
    "leader": ("leader.web-{}.discoverd", "A"),
    "nothing": ("nosuch-{}.discoverd", "A"),
}

NSD_CONF = """\
server:
    server-count: 1
    ip-address: 127.0.0.1@{port}
    username: ""
    zonesdir: "{dir}"
    database: ""
    zonelistfile: "{dir}/zone.list"
    xfrdfile: "{dir}/xfrd.state"
    xfrdir: "{dir}"
    pidfile: "{dir}/nsd.pid"
    logfile: "{dir}/nsd.log"
    rrl-ratelimit: 0
    minimal-responses: no
remote-control:
    control-enable: no
zone:
    name: discoverd
    zonefile: discoverd.zone
"""


class Failed(Exception):
    """What went wrong, and what to do about it."""


def start(stack, command, core):
    """A server on one core."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )

    def stop():
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(stop)
    return process


def wait_for(process, port, what):
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"{what} does not answer on port {port}")
        time.sleep(0.02)


def cpu(pid):
    """Seconds of processor time of a process and its children so far."""
    times, parents = {}, {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            times[int(path.parent.name)] = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def is_of(process):
        return process == pid or (process in parents and is_of(parents[process]))

    return sum(time for process, time in times.items() if is_of(process))


def instances(service):
    return [f"10.{service >> 8}.{service & 255}.{nth + 1}" for nth in range(INSTANCES)]


def register(port):
    """Fills a discoverd, over its RPC."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection, connection.makefile("rb") as answers:
        head = "CONNECT /_goRPC_ HTTP/1.0\r\nAccept: application/vnd.flynn.rpc-hijack+json\r\n\r\n"
        connection.sendall(head.encode())
        answers.readline(), answers.readline()
        for service in range(SERVICES):
            for address in instances(service):
                params = {"Name": f"web-{service}", "Addr": f"{address}:80", "Attrs": None}
                request = {"method": "Agent.Register", "params": [params], "id": 1}
                connection.sendall(json.dumps(request).encode())
                answer = json.loads(answers.readline())
                if answer["error"]:
                    raise Failed(f"register: {answer['error']}")


def zone():
    """The same names as a file."""
    lines = ["$ORIGIN discoverd.", "$TTL 0", "@ SOA @ hostmaster 1 10 10 60 0", "@ NS @"]
    for service in range(SERVICES):
        for nth, address in enumerate(instances(service)):
            target = f"{service:028x}{nth:04x}.web-{service}._i"
            lines += [f"web-{service} A {address}", f"web-{service} SRV 1 1 80 {target}", f"{target} A {address}"]
        lines.append(f"leader.web-{service} A {instances(service)[0]}")
    return "\n".join(lines) + "\n"


class Bench:
    """The programs, the cores, the questions."""

    def __init__(self, stack, options):
        self.dnsperf, self.nsd = shutil.which("dnsperf"), shutil.which("nsd", path=os.environ["PATH"] + ":/usr/sbin")
        if self.dnsperf is None:
            raise Failed("there is no dnsperf: install Debian's package of that name")
        self.rounds = options.rounds or (3 if options.quick else 5)
        self.seconds = 1 if options.quick else 3
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise Failed("the server and who asks it need a core each, and this process may use one only")
        self.core, self.other = cores[:2]
        self.dir = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.daemons = options.daemon or list(DAEMONS)
        packages = {"discoverd": "libswarm-smol", "discoverd-std": "libswarm-std"}
        wanted = [word for it in self.daemons for word in ("-p", packages[it], "--bin", it)]
        cargo("build", "--release", *wanted)
        metadata = cargo("metadata", "--no-deps", "--format-version", "1", stdout=subprocess.PIPE)
        self.target = pathlib.Path(json.loads(metadata.stdout)["target_directory"], "release")
        chance = random.Random(7)
        for kind, (name, of) in KINDS.items():
            questions = (f"{name.format(chance.randrange(SERVICES))} {of}\n" for _ in range(20_000))
            (self.dir / kind).write_text("".join(questions))

    def servers(self, stack):
        """Their ports and processes, by name."""
        servers = {}
        for program in self.daemons:
            rpc, dns = free_port(), free_port()
            words = ["-bind", f"127.0.0.1:{rpc}", "-store", "memory", "-ttl", "1h", "-dns", f"127.0.0.1:{dns}"]
            process = start(stack, [str(self.target / program), *words], self.core)
            wait_for(process, rpc, program)
            register(rpc)
            servers[DAEMONS[program]] = (dns, process.pid)
        if self.nsd:
            port, folder = free_port(), self.dir / "nsd"
            folder.mkdir()
            (folder / "discoverd.zone").write_text(zone())
            (folder / "nsd.conf").write_text(NSD_CONF.format(dir=folder, port=port))
            process = start(stack, [self.nsd, "-d", "-c", str(folder / "nsd.conf")], self.core)
            wait_for(process, port, "nsd")
            servers["nsd"] = (port, process.pid)
        return servers

    def load(self, port, pid, kind):
        """How many answers a second, the server's microseconds for each, and how many of 100 questions were lost."""
        command = ["taskset", "-c", str(self.other), self.dnsperf, "-s", "127.0.0.1", "-p", str(port)]
        command += ["-d", str(self.dir / kind), "-l", str(self.seconds), "-c", "8", "-q", "200"]
        before = cpu(pid)
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout

        def number(pattern):
            found = re.search(pattern, said)
            if found is None:
                raise Failed(f"dnsperf says something else than expected: {said}")
            return float(found[1])

        each = (cpu(pid) - before) / number(r"Queries completed:\s+(\d+)") * 1e6
        lost = number(r"Queries lost:\s+\d+ \(([0-9.]+)%\)")
        return number(r"Queries per second:\s+([0-9.]+)"), each, lost


def measure(bench, kinds):
    columns = ("question", "server", "answers a second on one core", "÷ nsd's", "goal", "processor time each, µs", "÷ nsd's", "lost %")
    head(f"{SERVICES:,} services of {INSTANCES} instances, over UDP", *columns)
    with contextlib.ExitStack() as stack:
        servers = bench.servers(stack)
        for kind in kinds:
            results = {name: [] for name in servers}
            for _ in range(bench.rounds):
                for name, (port, pid) in servers.items():
                    results[name].append(bench.load(port, pid, kind))
            for name, rounds in results.items():
                rate, each, lost = map(statistics.median, zip(*rounds))
                ratios, verdict = ["", ""], ""
                if name != "nsd":
                    verdict = f"{GOAL:,}: {'kept' if rate >= GOAL else 'MISSED'}"
                    if "nsd" in results:
                        pairs = list(zip(rounds, results["nsd"]))
                        ratios = [f"{statistics.median(own[at] / other[at] for own, other in pairs):.2f}" for at in (0, 1)]
                asked = "{} {}".format(*KINDS[kind]).replace("{}", "N")
                row(asked, name, f"{rate:,.0f}", ratios[0], verdict, f"{each:.1f}", ratios[1], f"{lost:.2f}")
    if not bench.nsd:
        print("\nNo nsd here (Debian's package of that name): its rows are left out.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run, for a first look")
    parser.add_argument("--rounds", type=int, help="how often each is measured")
    parser.add_argument("--daemon", action="append", choices=list(DAEMONS), help="only this one; may be said again")
    parser.add_argument("kind", nargs="*", metavar="KIND", help=", ".join(KINDS))
    options = parser.parse_args()
    unknown = set(options.kind) - set(KINDS)
    if unknown:
        parser.error(f"no such kind: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    try:
        with contextlib.ExitStack() as stack:
            measure(Bench(stack, options), options.kind or KINDS)
    except Failed as failure:
        sys.exit(f"dns.py: {failure}")
    except subprocess.CalledProcessError as failure:
        sys.exit(f"dns.py: {' '.join(map(str, failure.cmd))} ended with {failure.returncode}")


if __name__ == "__main__":
    main()
