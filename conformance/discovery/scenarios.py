"""What must hold of a server of discovery: `scenarios.py SCENARIO CODEC ADDRESS [PID]`; it exits with 0 if it does.

Each begins with a name of its own, so that they can share a server. The server's EXTERNAL_IP is 127.0.0.1, and where time
counts its TTL is 2 s, or that of the environment (`TTL`).
"""

import os
import sys
import threading
import time

from rpc import Client, ServerError

MARKER = ("", False, None, 0)
TTL = float(os.environ.get("TTL", 2))


def fails(error, function, *args):
    try:
        function(*args)
    except ServerError as found:
        assert str(found) == error, f"{found} is not {error}"
    else:
        raise AssertionError(f"no error, but {error} is due")


def life(codec, address, _):
    """The whole life of a service."""
    one, two, name = Client(address, codec), Client(address, codec), f"life-{codec}"
    stream = two.subscribe(name)
    assert two.snapshot(stream) == []
    assert one.register(name, ":7001") == "127.0.0.1:7001"
    first = two.update(stream)
    assert first[:3] == ("127.0.0.1:7001", True, None) and first[3] > 0, first
    assert one.register(name, "10.0.0.2:80", {"foo": "bar", "<&>": "\u2028é"}) == "10.0.0.2:80"
    second = two.update(stream)
    assert second[:3] == ("10.0.0.2:80", True, {"foo": "bar", "<&>": "\u2028é"}), second
    assert second[3] > first[3]
    # A heartbeat is silent; attributes that change are told, and empty ones are not none.
    for attributes, told in [({}, True), ({}, False), (None, True), (None, False), ({"a": ""}, True)]:
        one.register(name, ":7001", attributes)
        if told:
            assert two.update(stream) == ("127.0.0.1:7001", True, attributes, first[3])
    late = one.subscribe(name)
    assert one.snapshot(late) == [second, ("127.0.0.1:7001", True, {"a": ""}, first[3])]
    one.unregister(name, ":7001")
    for client, of in [(two, stream), (one, late)]:
        assert client.update(of) == ("127.0.0.1:7001", False, None, 0)
    one.register(name, ":7001")
    again = two.update(stream)
    assert again[3] > second[3], "who comes back is the youngest"
    # Streams end at once, and calls go on.
    two.close_stream(stream)
    fails("EOS", two.update, stream)
    one.unregister(name, "10.0.0.2:80")
    assert two.register(name, "10.0.0.9:1") == "10.0.0.9:1"
    assert two.response(stream, 0.2) is None, "a closed stream is silent"
    two.unregister(name, "10.0.0.9:1")


def errors(codec, address, pid):
    """What is wrong is said, in the original's words, and the connection lives on; so does the server."""
    client, name = Client(address, codec), f"errors-{codec}"
    no_address = "discoverd: Addr must be set"
    fails(no_address, client.register, name, "")
    # This ended the original's process.
    fails(no_address, client.unregister, name, "")
    for method, error in [
        ("Agent.Nope", "rpc: can't find method Agent.Nope"),
        ("Nope.Register", "rpc: can't find service Nope.Register"),
        ("Nodot", "rpc: service/method request ill-formed: Nodot"),
    ]:
        fails(error, client.ask, method, name, "a:1")
    try:
        client.unregister(name, "1.1.1.1:1")
    except ServerError as error:
        start = f"100: Key not found (/discover/services/{name}/1.1.1.1:1) ["
        assert str(error).startswith(start) and str(error).endswith("]"), error
    for bad in ["a/b", "a\n", "x" * 256]:
        try:
            client.register(bad, "a:1")
            raise AssertionError(f"{bad} is no name")
        except ServerError as error:
            assert str(error).startswith("discoverd: Name "), error
    stream = client.subscribe("a/b")
    assert client.update(stream) == MARKER
    try:
        client.update(stream)
        raise AssertionError("a/b can be subscribed to")
    except ServerError as error:
        assert str(error).startswith("discoverd: Name "), error
    try:
        client.register(name, "a:1", {"k": "v" * 20_000})
        raise AssertionError("attributes are not bounded")
    except ServerError as error:
        assert "use at most 16384" in str(error), error
    assert client.register(name, "a:1") == "a:1"
    client.unregister(name, "a:1")
    if pid:
        os.kill(int(pid), 0)


def pipelined(codec, address, _):
    """What comes with the CONNECT is not lost, and the greeting is all that there is without a request."""
    client, name = Client(address, codec, greet=False), f"pipelined-{codec}"
    first, call = client.encode("Agent.Register", name, "a:1")
    second, other = client.encode("Agent.Unregister", name, "a:1")
    client.socket.sendall(client.connect() + first + second)
    client.greeted()
    assert client.response(call) == ("a:1", None)
    assert client.response(other) == ({}, None)
    silent = Client(address, codec)
    assert not silent.receive(time.time() + 0.3) and silent.buffer == b""
    # In single bytes, too.
    slow = Client(address, codec, greet=False)
    data, call = slow.encode("Agent.Register", name, "a:1")
    for byte in slow.connect() + data:
        slow.socket.sendall(bytes([byte]))
    slow.greeted()
    assert slow.response(call) == ("a:1", None)
    slow.unregister(name, "a:1")


def slow(codec, address, _):
    """A subscriber that does not read gets the latest state of all, later; the original gave up in the middle."""
    reader, writer, name = Client(address, codec), Client(address, codec), f"slow-{codec}"
    stream = reader.subscribe(name)
    assert reader.snapshot(stream) == []
    # More than the sockets between them hold.
    text = "x" * 8_000
    for round in range(20):
        calls = [
            writer.send("Agent.Register", name, f"10.0.0.{n}:80", {"round": str(round), "x": text})
            for n in range(100)
        ]
        for call in calls:
            result, error = writer.response(call)
            assert error is None, error
    for n in range(50):
        writer.unregister(name, f"10.0.0.{n}:80")
    view, count = {}, 0
    while (update := reader.update(stream, 1)) is not None:
        count += 1
        if update[1]:
            view[update[0]] = update[2]["round"]
        else:
            del view[update[0]]
    assert view == {f"10.0.0.{n}:80": "19" for n in range(50, 100)}, view
    assert count < 2_050, "nothing was put together"
    for address in view:
        writer.unregister(name, address)


def atomic(codec, address, _):
    """Between the snapshot and what comes behind it nothing is lost and nothing comes twice."""
    name, stop, problems = f"atomic-{codec}", threading.Event(), []

    def churn(which):
        client = Client(address, codec)
        while not stop.is_set():
            client.register(name, f"{which}:1")
            client.unregister(name, f"{which}:1")

    writers = [threading.Thread(target=churn, args=(which,)) for which in range(3)]
    for writer in writers:
        writer.start()
    try:
        client = Client(address, codec)
        for _ in range(100):
            stream = client.subscribe(name)
            view = {}
            for who, online, _, created in client.snapshot(stream):
                assert online and who not in view
                view[who] = created
            assert sorted(view.values(), reverse=True) == list(view.values()), "newest first"
            for _ in range(20):
                who, online, _, created = client.update(stream)
                if online:
                    assert created > view.get(who, 0), f"{who} came twice"
                    view[who] = created
                else:
                    assert who in view, f"{who} was never told to be there"
                    del view[who]
            client.close_stream(stream)
            while True:
                try:
                    client.update(stream)
                except ServerError as error:
                    assert str(error) == "EOS"
                    break
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not problems


def seventy(codec, address, _):
    """Seventy instances and a subscriber that does not read; this blocked the successor."""
    client, name = Client(address, codec), f"seventy-{codec}"
    reader = Client(address, codec)
    reader.subscribe(name)
    for n in range(70):
        assert client.register(name, f"h{n}:80", {"n": "y" * 10_000}) == f"h{n}:80"
    assert Client(address, codec).register(name, "other:1") == "other:1"
    stream = client.subscribe(name)
    assert len(client.snapshot(stream)) == 71
    for n in range(70):
        client.unregister(name, f"h{n}:80")
    client.unregister(name, "other:1")


def expiry(codec, address, _):
    """Who has no heartbeats goes after the TTL, and not before; who has stays."""
    client, name = Client(address, codec), f"expiry-{codec}"
    stream = client.subscribe(name)
    client.snapshot(stream)
    start = time.time()
    client.register(name, "dies:1")
    client.register(name, "lives:1")
    client.update(stream), client.update(stream)
    while time.time() < start + TTL - 0.2:
        client.register(name, "lives:1")
        assert client.response(stream, 0.2) is None
    gone = client.update(stream)
    after = time.time() - start
    assert gone == ("dies:1", False, None, 0), gone
    assert TTL - 0.01 < after < TTL + 0.5, after
    client.register(name, "lives:1")
    client.unregister(name, "lives:1")


def before(codec, address, _):
    """Registers what `after` looks for, and is told so."""
    client = Client(address, codec)
    for n in range(20):
        client.register(f"kept-{codec}", f"h{n}:80", {"n": str(n)})
    client.unregister(f"kept-{codec}", "h3:80")


def after(codec, address, _):
    """What was acknowledged is there, in its order, and Created goes on."""
    client, name = Client(address, codec), f"kept-{codec}"
    stream = client.subscribe(name)
    members = client.snapshot(stream)
    assert [who for who, *_ in members] == [f"h{n}:80" for n in reversed(range(20)) if n != 3]
    assert all(attributes == {"n": who[1:-3]} for who, _, attributes, _ in members), members
    # Two TTLs, of 2 s each, before anybody who does not come back is gone.
    assert client.response(stream, 2.5) is None
    client.register(name, "h0:80", {"n": "0"})
    client.register(name, "new:80")
    assert client.update(stream)[3] > max(created for *_, created in members)
    client.unregister(name, "new:80")
    assert client.update(stream)[:2] == ("new:80", False)
    start = time.time()
    gone = [client.update(stream) for _ in range(18)]
    assert time.time() - start < 2.5 and not any(online for _, online, *_ in gone), gone
    client.unregister(name, "h0:80")


if __name__ == "__main__":
    scenario, codec, where, *rest = sys.argv[1:]
    globals()[scenario](codec, where, rest[0] if rest else None)
