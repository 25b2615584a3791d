"""A client of the discovery RPC, written from its description alone: gob and JSON, with the standard library."""

import json
import select
import socket
import time

GOB = "application/vnd.flynn.rpc-hijack+gob"
JSON = "application/vnd.flynn.rpc-hijack+json"
GREETING = b"HTTP/1.0 200 Connected to Go RPC\n\n"
PATIENCE = 10


def uint(value):
    if value < 128:
        return bytes([value])
    digits = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes([256 - len(digits)]) + digits


def sint(value):
    return uint(~value << 1 | 1 if value < 0 else value << 1)


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return uint(len(data)) + data


def message(payload):
    return uint(len(payload)) + payload


def struct(fields):
    """Fields by number; what is None is left out."""
    out, last = b"", 0
    for number, value in sorted(fields.items()):
        if value is not None:
            out += uint(number - last) + value
            last = number
    return out + b"\0"


class GobReader:
    """Reads values of types that the peer defines."""

    def __init__(self):
        self.types = {}

    def message(self, data):
        """The value in a message, or None if it is a definition."""
        self.data, self.at = data, 0
        kind = self.sint()
        if kind < 0:
            self.types[-kind] = self.definition()
            value = None
        else:
            if not (kind in self.types and self.types[kind][0] == "struct"):
                assert self.uint() == 0
            value = (self.value(kind),)
        assert self.at == len(data), "a message has more than its value"
        return value

    def uint(self):
        first = self.data[self.at]
        self.at += 1
        if first < 128:
            return first
        length = 256 - first
        self.at += length
        return int.from_bytes(self.data[self.at - length : self.at], "big")

    def sint(self):
        bits = self.uint()
        return ~(bits >> 1) if bits & 1 else bits >> 1

    def string(self):
        length = self.uint()
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def fields(self, readers):
        found, number = {}, 0
        while distance := self.uint():
            number += distance
            found[number] = readers[number]()
        return found

    def definition(self):
        common = lambda: self.fields({1: self.string, 2: self.sint})
        field = lambda: self.fields({1: self.string, 2: self.sint})
        fields = lambda: [field() for _ in range(self.uint())]
        wire = self.fields(
            {
                2: lambda: self.fields({1: common, 2: self.sint}),
                3: lambda: self.fields({1: common, 2: fields}),
                4: lambda: self.fields({1: common, 2: self.sint, 3: self.sint}),
            }
        )
        ((kind, of),) = wire.items()
        if kind == 3:
            return ("struct", [(one[1], one[2]) for one in of.get(2, [])])
        return ("slice", of[2]) if kind == 2 else ("map", of[2], of[3])

    def value(self, kind):
        if kind == 1:
            return bool(self.uint())
        if kind == 2:
            return self.sint()
        if kind == 3:
            return self.uint()
        if kind == 6:
            return self.string()
        shape = self.types[kind]
        if shape[0] == "slice":
            return [self.value(shape[1]) for _ in range(self.uint())]
        if shape[0] == "map":
            return {self.value(shape[1]): self.value(shape[2]) for _ in range(self.uint())}
        readers = {
            number: (lambda of: lambda: self.value(of))(of)
            for number, (_, of) in enumerate(shape[1], 1)
        }
        found = self.fields(readers)
        return {shape[1][number - 1][0]: value for number, value in found.items()}


# Ids unlike those of any Go program.
TYPES = b"".join(
    message(sint(-number) + struct({3: struct({1: struct({1: string(name)}), 2: uint(len(of)) + of_})}))
    for number, name, of, of_ in [
        (
            number,
            name,
            fields,
            b"".join(struct({1: string(field), 2: sint(kind)}) for field, kind in fields),
        )
        for number, name, fields in [
            (900, "Request", [("ServiceMethod", 6), ("Seq", 3)]),
            (901, "Args", [("Name", 6), ("Addr", 6), ("Attrs", 903)]),
            (902, "Nothing", []),
        ]
    ]
) + message(sint(-903) + struct({4: struct({1: struct({1: string("m")}), 2: sint(6), 3: sint(6)})}))


class Client:
    """A connection. Calls are numbered; what comes is sorted by call."""

    def __init__(self, address, codec, greet=True):
        host, port = address.rsplit(":", 1)
        self.codec, self.next, self.buffer, self.heard = codec, 0, b"", []
        self.socket = socket.create_connection((host.strip("[]"), int(port)), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.types_sent, self.reader, self.header = False, GobReader(), None
        if greet:
            self.socket.sendall(self.connect())
            self.greeted()

    def connect(self):
        kind = GOB if self.codec == "gob" else JSON
        return f"CONNECT /_goRPC_ HTTP/1.0\r\nAccept: {kind}\r\n\r\n".encode()

    def greeted(self):
        while len(self.buffer) < len(GREETING):
            self.receive(time.time() + PATIENCE)
        assert self.buffer.startswith(GREETING), self.buffer
        self.buffer = self.buffer[len(GREETING) :]

    def receive(self, until):
        """Reads some; False if nothing came in time."""
        ready, _, _ = select.select([self.socket], [], [], max(0, until - time.time()))
        if not ready:
            return False
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data
        return True

    def encode(self, method, name="", addr="", attrs=None, call=None):
        """A request's bytes, and its number."""
        if call is None:
            call, self.next = self.next, self.next + 1
        if self.codec == "json":
            args = {"Name": name, "Addr": addr, "Attrs": attrs} if method != "CloseStream" else {}
            return json.dumps({"method": method, "params": [args], "id": call}).encode(), call
        out = b"" if self.types_sent else TYPES
        self.types_sent = True
        number = uint(call) if call else None
        out += message(sint(900) + struct({1: string(method), 2: number}))
        if method == "CloseStream":
            return out + message(sint(902) + struct({})), call
        pairs = None
        if attrs is not None:
            pairs = uint(len(attrs)) + b"".join(string(k) + string(v) for k, v in attrs.items())
        fields = {1: string(name) if name else None, 2: string(addr) if addr else None, 3: pairs}
        return out + message(sint(901) + struct(fields)), call

    def send(self, *args, **named):
        data, call = self.encode(*args, **named)
        self.socket.sendall(data)
        return call

    def decode(self):
        """One response from what was read: its call, its result, its error."""
        if self.codec == "json":
            line, found, rest = self.buffer.partition(b"\n")
            if not found:
                return None
            self.buffer = rest
            reply = json.loads(line)
            assert list(reply) == ["id", "result", "error"] and reply["result"] is not None, line
            return reply["id"], reply["result"], reply["error"]
        while True:
            if not self.buffer:
                return None
            first = self.buffer[0]
            prefix = 1 if first < 128 else 257 - first
            if len(self.buffer) < prefix:
                return None
            length = first if first < 128 else int.from_bytes(self.buffer[1:prefix], "big")
            if len(self.buffer) < prefix + length:
                return None
            payload = self.buffer[prefix : prefix + length]
            self.buffer = self.buffer[prefix + length :]
            value = self.reader.message(payload)
            if value is None:
                continue
            if self.header is None:
                self.header = value[0]
                continue
            header, self.header = self.header, None
            return header.get("Seq", 0), value[0], header.get("Error")

    def response(self, call, patience=PATIENCE):
        """What comes next for a call; None if nothing does in time."""
        until = time.time() + patience
        while True:
            for at, (of, result, error) in enumerate(self.heard):
                if of == call:
                    del self.heard[at]
                    return result, error
            one = self.decode()
            if one is not None:
                self.heard.append(one)
            elif not self.receive(until):
                return None

    def ask(self, *args, **named):
        """A call's result; an error is raised."""
        answer = self.response(self.send(*args, **named))
        assert answer is not None, f"no answer to {args}"
        result, error = answer
        if error is not None:
            raise ServerError(error)
        return result

    def register(self, name, addr, attrs=None):
        return self.ask("Agent.Register", name, addr, attrs)

    def unregister(self, name, addr):
        result = self.ask("Agent.Unregister", name, addr)
        assert result == {}, result

    def subscribe(self, name):
        return self.send("Agent.Subscribe", name)

    def update(self, call, patience=PATIENCE):
        """The next update of a stream, whole, as (address, online, attributes, created)."""
        answer = self.response(call, patience)
        if answer is None:
            return None
        result, error = answer
        if error is not None:
            raise ServerError(error)
        known = {"Name", "Addr", "Online", "Attrs", "Created"}
        assert set(result) <= known and (self.codec == "gob" or set(result) == known), result
        return (
            result.get("Addr", ""),
            result.get("Online", False),
            result.get("Attrs"),
            result.get("Created", 0),
        )

    def snapshot(self, call):
        """All updates up to the marker."""
        updates = []
        while (update := self.update(call)) != ("", False, None, 0):
            assert update is not None, "the marker does not come"
            updates.append(update)
        return updates

    def close_stream(self, call):
        self.send("CloseStream", call=call)

    def close(self):
        self.socket.close()


class ServerError(Exception):
    """The error of a response."""
