#!/usr/bin/env python3
"""The figures of `forward` beside those of nginx and HAProxy as proxies, as Markdown tables.

    python3 conformance/figures/forward.py [--quick] [SECTION ...]

Sections: ping, list, body; all of them without any. Needs Linux with two cores, cargo, and Debian's packages wrk,
nginx-light and haproxy. It listens on loopback and unix sockets only, and ends what it has started.

Behind every proxy stands the same nginx on a unix socket, which shares its core with the client; the proxy that is
measured has a core of its own. Proxies are measured in turn, round after round; a ratio is the median of the rounds' ratios.
"""

import argparse
import contextlib
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time

from foundation import LIST, Bench, Failed, Server, free_port, head, row, say, tool

SECTIONS = ["ping", "list", "body"]
SMOL, THREADS, NGINX, HAPROXY = "swarmd (smol)", "swarmd-std (threads)", "nginx proxy", "HAProxy"
PROXIES = [SMOL, THREADS, NGINX, HAPROXY]
LENGTH = 1 << 30
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
events {{ worker_connections 4096; }}
http {{
""" + COMMON + """\
    upstream engine {{ server unix:{dir}/upstream.sock; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://engine;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
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
    maxconn 4096
    tune.bufsize 131072
defaults
    mode http
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    http-reuse always
frontend docker
    bind 127.0.0.1:{port}
    default_backend engine
backend engine
    server engine unix@{dir}/upstream.sock pool-max-conn 64
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

    def proxy(self, stack, name):
        port, target = free_port(), self.build()
        if name in (SMOL, THREADS):
            program = "swarmd" if name == SMOL else "swarmd-std"
            line = f"forward unix://{self.dir}/upstream.sock"
            command = [str(target / program), "--backend", line, f"tcp://127.0.0.1:{port}"]
        elif name == NGINX:
            conf = pathlib.Path(self.dir, "proxy.conf")
            conf.write_text(PROXY_CONF.format(dir=self.dir, port=port))
            command = [tool("nginx", "nginx-light"), "-c", str(conf), "-p", self.dir]
        else:
            conf = pathlib.Path(self.dir, "haproxy.conf")
            conf.write_text(HAPROXY_CONF.format(dir=self.dir, port=port))
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


def body(bench):
    """A long body with a length."""
    head("1 GiB through a proxy", "proxy", "GiB/s", "CPU-s per GiB", "rate ÷ better of the two", "CPU ÷ better of the two")
    with contextlib.ExitStack() as stack:
        proxies = [bench.proxy(stack, name) for name in PROXIES]
        results = {proxy.name: [] for proxy in proxies}
        for nth in range(bench.options.rounds):
            say(f"1 GiB: round {nth + 1} of {bench.options.rounds}")
            for proxy in proxies:
                results[proxy.name].append(fetch(bench, proxy))
        for name, rounds in results.items():
            rate, cpu = (statistics.median(values) for values in zip(*rounds))
            ours = name in (SMOL, THREADS)
            row(
                name,
                f"{rate:.2f}",
                f"{cpu:.2f}",
                f"{better(results, name, 0, 'high'):.2f}" if ours else "",
                f"{better(results, name, 1, 'low'):.2f}" if ours else "",
            )


def fetch(bench, proxy):
    """GiB per second, and CPU-seconds of the proxy per GiB."""
    os.sched_setaffinity(0, {bench.wrk_core})
    before, start = proxy.cpu(), time.monotonic()
    buffer = bytearray(1 << 20)
    with socket.create_connection(("127.0.0.1", proxy.port), 60) as client:
        client.sendall(f"GET {LONG} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        got = 0
        while size := client.recv_into(buffer):
            got += size
    took = time.monotonic() - start
    if not LENGTH < got < LENGTH + 4096:
        raise Failed(f"{proxy.name} gave {got} bytes of {LENGTH}")
    return LENGTH / (1 << 30) / took, proxy.cpu() - before


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run, for a first look")
    parser.add_argument("--rounds", type=int, help="how often all are measured in turn [5; quick: 3]")
    parser.add_argument("--seconds", type=int, help="how long each is measured [2; quick: 1]")
    parser.add_argument("section", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 2)
    acts = dict(zip(SECTIONS, [ping, list_containers, body]))
    unknown = set(options.section) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    try:
        with contextlib.ExitStack() as stack:
            bench = ForwardBench(stack, options)
            bench.upstream()
            for section in options.section or SECTIONS:
                acts[section](bench)
    except Failed as failure:
        sys.exit(f"forward.py: {failure}")
    except subprocess.CalledProcessError as failure:
        sys.exit(f"forward.py: {' '.join(failure.cmd)} ended with {failure.returncode}")


if __name__ == "__main__":
    main()
