"""Kills a discoverd at random moments under load: `crash.py BINARY FOLDER ROUNDS`. What it acknowledged must be there after."""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

from crowd import ports
from rpc import Client

NAME = "crash"


def start(binary, folder, port):
    arguments = [binary, "-bind", f"127.0.0.1:{port}", "-data-dir", folder, "-ttl", "60s"]
    began = time.time()
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    assert line.startswith("listening on discoverd://"), line + process.stderr.read()
    assert time.time() - began < 5, "it takes its time to start"
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return process, line.strip().removeprefix("listening on discoverd://")


class Load(threading.Thread):
    """Registers, changes and unregisters addresses of its own, and remembers what was acknowledged."""

    def __init__(self, address, which, seed, known):
        super().__init__()
        self.address, self.which, self.random, self.known = address, which, random.Random(seed), known
        self.asked = {}

    def run(self):
        try:
            client = Client(self.address, self.random.choice(["gob", "json"]))
            while True:
                # Some at once: they are written together.
                calls = []
                for nth in self.random.sample(range(20), self.random.randint(1, 8)):
                    who = f"{self.which}-{nth}:80"
                    if who in self.known and self.random.random() < 0.3:
                        state, call = None, client.send("Agent.Unregister", NAME, who)
                    else:
                        state = str(self.random.randrange(10**9))
                        call = client.send("Agent.Register", NAME, who, {"state": state})
                    self.asked[who] = state
                    calls.append((who, state, call))
                for who, state, call in calls:
                    _, error = client.response(call)
                    assert error is None, error
                    self.known.pop(who, None)
                    if state is not None:
                        self.known[who] = state
                    del self.asked[who]
        except (EOFError, OSError):
            pass


class Counter(threading.Thread):
    """Counts in a service's metadata, each time from the index that it has, and remembers what was acknowledged."""

    def __init__(self, address, known):
        super().__init__()
        self.address, self.known = address, known

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.address, timeout=10)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, body and json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def run(self):
        try:
            while True:
                body = {"data": self.known["data"] + 1, "index": self.known["index"]}
                status, said = self.ask("PUT", "/services/counted/meta", body)
                assert status == 200, said
                self.known.update(json.loads(said))
        except (OSError, http.client.HTTPException):
            pass

    def check(self):
        status, said = self.ask("GET", "/services/counted/meta")
        found = json.loads(said) if status == 200 else {"data": 0, "index": 0}
        assert found["data"] - self.known["data"] in [0, 1], f"{found} after {self.known}"
        assert found["data"] > self.known["data"] or found == self.known, f"{found} after {self.known}"
        self.known.update(found)


def main(binary, folder, rounds):
    seed = int(os.environ.get("SEED", time.time_ns()))
    print("SEED", seed)
    dice, known, created = random.Random(seed), [{} for _ in range(4)], 0
    process, address = start(binary, folder, ports(1)[0])
    counted = {"data": 0, "index": 0}
    status, said = Counter(address, counted).ask("PUT", "/services/counted")
    assert status == 200, said
    for round in range(rounds):
        loads = [Load(address, which, dice.random(), known[which]) for which in range(4)]
        counter = Counter(address, counted)
        for load in [*loads, counter]:
            load.start()
        time.sleep(dice.uniform(0.05, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        for load in [*loads, counter]:
            load.join()
        # The same port, at once.
        process, address = start(binary, folder, address.rsplit(":", 1)[1])
        counter.check()
        client = Client(address, dice.choice(["gob", "json"]))
        members = client.snapshot(client.subscribe(NAME))
        there = {who: attributes["state"] for who, _, attributes, _ in members}
        for load in loads:
            for who in {*load.known, *(w for w in there if w.startswith(f"{load.which}-"))}:
                possible = {load.known.get(who)}
                if who in load.asked:
                    possible.add(load.asked[who])
                assert there.get(who) in possible, f"round {round}: {who} is {there.get(who)}, not of {possible}"
            load.known.clear()
            load.known.update({w: s for w, s in there.items() if w.startswith(f"{load.which}-")})
        client.register(NAME, "last:1")
        newest = client.snapshot(client.subscribe(NAME))[0]
        assert newest[0] == "last:1" and newest[3] > created, f"{newest} after {created}"
        created = newest[3]
        client.unregister(NAME, "last:1")
    process.terminate()
    assert process.wait(15) == 0
    assert counted["data"] > rounds, f"it has counted to {counted} only"
    print(rounds, "rounds, at index", created, "counted to", counted["data"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
