#!/usr/bin/env python3
"""The figures of `forward` beside those of nginx and HAProxy as proxies, as Markdown tables.

    python3 conformance/figures/forward.py [--quick] [SECTION ...]

Sections: ping, list, latency, events, body, chunked, hijack, idle, splice; all of them without any. Needs Linux with two
cores, cargo, and Debian's packages wrk, nginx-light and haproxy. It listens on loopback and unix sockets only, and ends
what it has started.

Behind every proxy stands the same server on a unix socket, which shares its core with the client; the proxy that is
measured has a core of its own. That server is nginx for pings, lists and the body of known length, and an engine's double
(double.py) for chunks, events and hijacked streams. Proxies are measured in turn, round after round; a ratio is the median
of the rounds' ratios.
"""

import argparse
import contextlib
import fcntl
import json
import multiprocessing
import os
import pathlib
import resource
import socket
import statistics
import subprocess
import sys
import time

import double
from foundation import LIST, Bench, Failed, Server, free_port, head, row, say, tool

SMOL, THREADS, NGINX, HAPROXY = "swarmd (smol)", "swarmd-std (threads)", "nginx proxy", "HAProxy"
PROXIES = [SMOL, THREADS, NGINX, HAPROXY]
LENGTH = double.LENGTH
GIB = LENGTH / (1 << 30)
IDLE = 5_000
F_SETPIPE_SZ = 1031
TIMES = ["proxy", "p50 µs", "p99 µs", "p50 ÷ better of the two", "p99 ÷ better of the two"]
LONG = "/v1.41/images/long/get"

COMMON = """\
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    keepalive_timeout 3600;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
"""

UPSTREAM_CONF = """\
daemon off;
worker_processes 1;
pid {dir}/upstream.pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
""" + COMMON + """\
    server {{
        listen unix:{dir}/upstream.sock;
        listen 127.0.0.1:{port};
        location = /_ping {{ default_type "text/plain; charset=utf-8"; return 200 "OK"; }}
        location = {list} {{ default_type application/json; alias {dir}/list.json; }}
        location = {long} {{ default_type application/x-tar; alias {dir}/long; }}
    }}
}}
"""

# As people set it up in front of Docker, with kept connections and large buffers, which helped it most.
PROXY_CONF = """\
daemon off;
worker_processes 1;
pid {dir}/proxy.pid;
error_log stderr;
events {{ worker_connections 16384; }}
http {{
""" + COMMON + """\
    map $http_upgrade $hop {{ default upgrade; '' ''; }}
    upstream engine {{ server unix:{dir}/{engine}.sock; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://engine;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $hop;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
            proxy_buffering off;
            proxy_buffer_size 256k;
            proxy_buffers 8 256k;
            proxy_busy_buffers_size 512k;
        }}
    }}
}}
"""

HAPROXY_CONF = """\
global
    nbthread 1
    maxconn 8000
    tune.bufsize 131072
defaults
    mode http
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    http-reuse always
frontend docker
    bind 127.0.0.1:{port}
    default_backend engine
backend engine
    server engine unix@{dir}/{engine}.sock pool-max-conn 64
"""


class ForwardBench(Bench):
    """A bench whose servers are proxies in front of one nginx."""

    def upstream(self):
        pathlib.Path(self.dir, "list.json").write_text("[" + ",".join(['{"Id":"%064x"}' % nth for nth in range(1025)]) + "]\n")
        with open(pathlib.Path(self.dir, "long"), "wb") as file:
            file.truncate(LENGTH)
        for name in ["list.json", "long"]:
            os.chmod(pathlib.Path(self.dir, name), 0o644)
        os.chmod(self.dir, 0o755)
        port = free_port()
        conf = pathlib.Path(self.dir, "upstream.conf")
        conf.write_text(UPSTREAM_CONF.format(dir=self.dir, port=port, list=LIST, long=LONG))
        command = [tool("nginx", "nginx-light"), "-c", str(conf), "-p", self.dir]
        Server(self.stack, "the upstream", command, port, self.wrk_core)
        self.upstream_port = port

    def double(self):
        """The engine's double; started once."""
        path = f"{self.dir}/double.sock"
        if not os.path.exists(path):
            process = multiprocessing.Process(target=double.serve, args=(path, self.wrk_core), daemon=True)
            process.start()
            self.stack.callback(process.terminate)
            while not os.path.exists(path):
                time.sleep(0.02)

    def proxy(self, stack, name, engine="upstream"):
        port, target = free_port(), self.build()
        if name in (SMOL, THREADS):
            program = "swarmd" if name == SMOL else "swarmd-std"
            line = f"forward unix://{self.dir}/{engine}.sock"
            command = [str(target / program), "--backend", line, f"tcp://127.0.0.1:{port}"]
        elif name == NGINX:
            conf = pathlib.Path(self.dir, "proxy.conf")
            conf.write_text(PROXY_CONF.format(dir=self.dir, port=port, engine=engine))
            command = [tool("nginx", "nginx-light"), "-c", str(conf), "-p", self.dir]
        else:
            conf = pathlib.Path(self.dir, "haproxy.conf")
            conf.write_text(HAPROXY_CONF.format(dir=self.dir, port=port, engine=engine))
            command = [tool("haproxy", "haproxy"), "-q", "-f", str(conf)]
        return Server(stack, name, command, port, self.core)


def better(results, name, what, best):
    """The ratio to the better of the two others, round by round."""
    return ratio_to(results, name, min if best == "low" else max, what)


def ratio_to(results, name, pick, what):
    rounds = zip(results[name], results[NGINX], results[HAPROXY])
    return statistics.median(ours[what] / pick(one[what], other[what]) for ours, one, other in rounds)


def load(bench, title, path, loads):
    head(title, "connections", "proxy", "req/s", "CPU-s per 100k", "rate ÷ better of the two", "CPU ÷ better of the two")
    starts = {name: lambda stack, name=name: bench.proxy(stack, name) for name in PROXIES}
    for connections in loads:
        results = bench.rounds(starts, path, connections)
        for name, rounds in results.items():
            rate, cpu = (statistics.median(values) for values in zip(*rounds))
            ours = name in (SMOL, THREADS)
            row(
                connections,
                name,
                f"{rate:,.0f}",
                f"{cpu:.2f}",
                f"{better(results, name, 0, 'high'):.2f}" if ours else "",
                f"{better(results, name, 1, 'low'):.2f}" if ours else "",
            )


def ping(bench):
    """GET /_ping, keep-alive."""
    load(bench, "GET /_ping through a proxy", "/_ping", [1, 16, 64])


def list_containers(bench):
    """A list of 78 KB."""
    load(bench, f"GET {LIST} (78 KB) through a proxy", LIST, [16])


def latency(bench):
    """What a proxy adds to a request's time."""
    head("Added latency of GET /_ping at 1 connection", *TIMES)
    results = {name: [] for name in PROXIES}
    for nth in range(bench.options.rounds):
        say(f"latency: round {nth + 1} of {bench.options.rounds}")
        direct = percentiles(bench, bench.upstream_port)
        for name in PROXIES:
            with contextlib.ExitStack() as stack:
                times = percentiles(bench, bench.proxy(stack, name).port)
                results[name].append([through - alone for through, alone in zip(times, direct)])
    compared(results, "low", "low", "{:.0f}")


def percentiles(bench, port):
    """p50 and p99 in µs, as wrk sees them."""
    command = ["taskset", "-c", str(bench.wrk_core), tool("wrk", "wrk"), "--latency", "-t", "1", "-c", "1"]
    command += ["-d", f"{bench.options.seconds}s", f"http://127.0.0.1:{port}/_ping"]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=bench.options.seconds + 30)
    found = {}
    for line in run.stdout.splitlines():
        share, _, value = line.strip().partition(" ")
        if share in ("50%", "99%"):
            value = value.strip()
            found[share] = float(value[:-2]) * (1 if value.endswith("us") else 1000)
    return found["50%"], found["99%"]


def events(bench):
    """From an event's being sent to its being there."""
    bench.double()
    head(f"An event on its way, {double.EVENTS} of them", *TIMES)
    results = {name: [] for name in PROXIES}
    for nth in range(bench.options.rounds):
        say(f"events: round {nth + 1} of {bench.options.rounds}")
        for name in PROXIES:
            with contextlib.ExitStack() as stack:
                results[name].append(watch(bench, bench.proxy(stack, name, "double")))
    compared(results, "low", "low", "{:.0f}")


def watch(bench, proxy):
    os.sched_setaffinity(0, {bench.wrk_core})
    times = []
    with ask(proxy, "GET /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as client:
        text = b""
        while data := client.recv(65536):
            now = time.monotonic_ns()
            text += data
            *lines, text = text.split(b"\n")
            times += [(now - json.loads(line)["timeNano"]) / 1000 for line in lines if line.startswith(b'{"timeNano"')]
    if len(times) != double.EVENTS:
        raise Failed(f"{proxy.name} passes {len(times)} of {double.EVENTS} events")
    times.sort()
    return times[len(times) // 2], times[len(times) * 99 // 100]


def compared(results, first, second, form):
    """A row for each proxy: two figures, and ours beside the better one of the two others."""
    for name, rounds in results.items():
        values = (statistics.median(values) for values in zip(*rounds))
        ours = name in (SMOL, THREADS)
        ratios = [f"{better(results, name, what, best):.2f}" if ours else "" for what, best in enumerate((first, second))]
        row(name, *map(form.format, values), *ratios)


def stream(bench, title, engine, act):
    """A GiB through each proxy: GiB per second, and CPU-seconds of the proxy per GiB."""
    if engine == "double":
        bench.double()
    head(title, "proxy", "GiB/s", "CPU-s per GiB", "rate ÷ better of the two", "CPU ÷ better of the two")
    results = {name: [] for name in PROXIES}
    for nth in range(bench.options.rounds):
        say(f"{title}: round {nth + 1} of {bench.options.rounds}")
        for name in PROXIES:
            with contextlib.ExitStack() as stack:
                proxy = bench.proxy(stack, name, engine)
                os.sched_setaffinity(0, {bench.wrk_core})
                before, start = proxy.cpu(), time.monotonic()
                act(proxy)
                took = time.monotonic() - start
                results[name].append((GIB / took, (proxy.cpu() - before) / GIB))
    compared(results, "high", "low", "{:.2f}")


def ask(proxy, text):
    client = socket.create_connection(("127.0.0.1", proxy.port), 60)
    client.sendall(text.encode())
    return client


def fetch(target):
    """Gets a body to its end."""

    def act(proxy):
        buffer, got = bytearray(1 << 20), 0
        with ask(proxy, f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as client:
            while size := client.recv_into(buffer):
                got += size
        # A head, and the framing of chunks, come on top of it.
        if not LENGTH < got < LENGTH + (LENGTH >> 8):
            raise Failed(f"{proxy.name} gives {got} bytes of {LENGTH}")

    return act


def hijack(proxy, target):
    """A connection that was handed over."""
    lines = f"POST {target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    client = ask(proxy, lines)
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = client.recv(1)
        if not data:
            raise Failed(f"{proxy.name} does not hand the connection over: {answer}")
        answer += data
    return client


def hijack_down(proxy):
    buffer, got = bytearray(1 << 20), 0
    with hijack(proxy, "/down") as client:
        while got < LENGTH and (size := client.recv_into(buffer)):
            got += size
    if got != LENGTH:
        raise Failed(f"{proxy.name} gives {got} bytes of {LENGTH}")


def hijack_up(proxy):
    with hijack(proxy, "/up") as client:
        for _ in range(LENGTH // len(double.PIECE)):
            client.sendall(double.PIECE)
        if client.recv(1) != b".":
            raise Failed(f"{proxy.name} loses what is sent to it")


def body(bench):
    """A long body with a length."""
    stream(bench, "1 GiB of known length", "upstream", fetch(LONG))


def chunked(bench):
    """A long body in chunks."""
    stream(bench, "1 GiB in chunks of 32 KiB", "double", fetch("/chunked"))


def hijacked(bench):
    """A hijacked stream, either way."""
    stream(bench, "1 GiB down a hijacked stream", "double", hijack_down)
    stream(bench, "1 GiB up a hijacked stream", "double", hijack_up)


def idle(bench):
    """Memory of hijacked streams on which nothing happens."""
    bench.double()
    count = 500 if bench.options.quick else IDLE
    head(f"{count:,} idle hijacked streams", "proxy", "KiB each (PSS)", "÷ better of the two")
    results = {}
    for name in PROXIES:
        say(f"idle streams: {name}")
        with contextlib.ExitStack() as stack:
            proxy = bench.proxy(stack, name, "double")
            before, _ = proxy.memory()
            for _ in range(count):
                stack.enter_context(hijack(proxy, "/hold"))
            time.sleep(2)
            after, _ = proxy.memory()
            results[name] = [((after - before) * 1024 / count,)]
    for name, [(each,)] in results.items():
        row(name, f"{each:.1f}", f"{better(results, name, 0, 'low'):.2f}" if name in (SMOL, THREADS) else "")


def splice(bench):
    """Whether splice(2) would be cheaper than reading and writing: a loop of either kind, in this process."""
    bench.double()
    head("1 GiB from a unix socket to a TCP one", "how", "GiB/s", "CPU-s per GiB", "CPU ÷ read and write")
    results = {"read and write": [], "splice(2)": []}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        swallower = multiprocessing.Process(target=swallow, args=(listener, bench.wrk_core), daemon=True)
        swallower.start()
        bench.stack.callback(swallower.terminate)
        os.sched_setaffinity(0, {bench.core})
        for _ in range(2 * bench.options.rounds):
            for name, rounds in results.items():
                rounds.append(relay(bench, listener.getsockname(), name == "splice(2)"))
    for name, rounds in results.items():
        rate, cpu = (statistics.median(values) for values in zip(*rounds))
        pairs = zip(rounds, results["read and write"])
        row(name, f"{rate:.2f}", f"{cpu:.2f}", f"{statistics.median(one[1] / other[1] for one, other in pairs):.2f}")


def swallow(listener, core):
    os.sched_setaffinity(0, {core})
    buffer = bytearray(1 << 20)
    while True:
        client, _ = listener.accept()
        with client:
            while client.recv_into(buffer):
                pass


def relay(bench, to, by_splice):
    size = 256 * 1024
    with socket.socket(socket.AF_UNIX) as source, socket.create_connection(to) as target:
        source.connect(f"{bench.dir}/double.sock")
        source.sendall(b"POST /down HTTP/1.1\r\nHost: x\r\n\r\n")
        target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start, before = time.monotonic(), time.process_time()
        if by_splice:
            out, into = os.pipe()
            fcntl.fcntl(into, F_SETPIPE_SZ, size)
            while length := os.splice(source.fileno(), into, size):
                while length:
                    length -= os.splice(out, target.fileno(), length)
            os.close(out)
            os.close(into)
        else:
            buffer = memoryview(bytearray(size))
            while length := source.recv_into(buffer):
                target.sendall(buffer[:length])
        return GIB / (time.monotonic() - start), (time.process_time() - before) / GIB


ACTS = {
    "ping": ping,
    "list": list_containers,
    "latency": latency,
    "events": events,
    "body": body,
    "chunked": chunked,
    "hijack": hijacked,
    "idle": idle,
    "splice": splice,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run, for a first look")
    parser.add_argument("--rounds", type=int, help="how often all are measured in turn [5; quick: 3]")
    parser.add_argument("--seconds", type=int, help="how long each is measured [2; quick: 1]")
    parser.add_argument("section", nargs="*", metavar="SECTION", help=", ".join(ACTS))
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 2)
    unknown = set(options.section) - set(ACTS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(ACTS)}")
    # Thousands of connections are open at once in one section.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with contextlib.ExitStack() as stack:
            bench = ForwardBench(stack, options)
            bench.upstream()
            for section in options.section or ACTS:
                ACTS[section](bench)
    except Failed as failure:
        sys.exit(f"forward.py: {failure}")
    except subprocess.CalledProcessError as failure:
        sys.exit(f"forward.py: {' '.join(failure.cmd)} ended with {failure.returncode}")


if __name__ == "__main__":
    main()
