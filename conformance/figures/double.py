"""An engine's double for the figures of `forward`: it answers what nginx cannot, hijacked streams and events.

    GET /_ping     OK
    GET /chunked   LENGTH bytes in chunks of 32 KiB, as an engine's copy loop makes them
    GET /events    EVENTS chunks, each the time at which it was sent, one every few milliseconds
    POST /down     101, then LENGTH bytes to the client
    POST /up       101, then as many from the client, and one byte for an end
    POST /hold     101, then nothing
"""

import os
import pathlib
import selectors
import socket
import threading
import time

LENGTH = 1 << 30
EVENTS = 1000
PAUSE = 0.002
CHUNK = 32 * 1024
SWITCH = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
PIECE = bytes(256 * 1024)


def serve(path, core):
    """Answers on a unix socket for ever."""
    os.sched_setaffinity(0, {core})
    threading.stack_size(128 * 1024)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o666)
    listener.listen(4096)
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is listener:
                waiting.register(listener.accept()[0], selectors.EVENT_READ, bytearray())
                continue
            try:
                data = key.fileobj.recv(65536)
            except OSError:
                data = b""
            key.data.extend(data)
            if data and b"\r\n\r\n" not in key.data:
                continue
            if not data:
                waiting.unregister(key.fileobj)
                key.fileobj.close()
                continue
            asked = bytes(key.data).split(b" ", 2)[1].decode()
            if asked.endswith("/hold"):
                # It is watched on, for its end.
                key.fileobj.sendall(SWITCH)
                key.data.clear()
            else:
                waiting.unregister(key.fileobj)
                threading.Thread(target=answer, args=(key.fileobj, asked), daemon=True).start()


def answer(client, asked):
    """One request; its connection is closed behind it."""
    with client:
        try:
            acts[pathlib.PurePath(asked).name](client)
        except OSError:
            # Its client has seen enough.
            pass


def ping(client):
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK")


def head(client):
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunked(client):
    head(client)
    block = chunk(bytes(CHUNK)) * 8
    for _ in range(LENGTH // (CHUNK * 8)):
        client.sendall(block)
    client.sendall(b"0\r\n\r\n")


def events(client):
    head(client)
    for _ in range(EVENTS):
        time.sleep(PAUSE)
        client.sendall(chunk(b'{"timeNano":%d}\n' % time.monotonic_ns()))
    client.sendall(b"0\r\n\r\n")


def down(client):
    client.sendall(SWITCH)
    for _ in range(LENGTH // len(PIECE)):
        client.sendall(PIECE)


def up(client):
    client.sendall(SWITCH)
    buffer, got = bytearray(1 << 20), 0
    while got < LENGTH and (length := client.recv_into(buffer)):
        got += length
    client.sendall(b".")


acts = {"_ping": ping, "chunked": chunked, "events": events, "down": down, "up": up}
