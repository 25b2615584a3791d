"""Who uses two servers of discovery on one store, while that store has its troubles."""

import random
import signal
import socket
import threading
import time

from rpc import Client, ServerError

TTL = 5
LIVING = 100


def ports(count):
    """Free ones, below those that a kernel gives out: who asks for any is not given them before they are used, nor between two uses."""
    found = []
    while len(found) < count:
        port = random.SystemRandom().randrange(10_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        found += [] if port in found else [port]
    return found


def within(seconds, attempt):
    """The result of something that may fail for a while."""
    until = time.time() + seconds
    while True:
        try:
            return attempt()
        except (AssertionError, ServerError, OSError, EOFError):
            if time.time() > until:
                raise
            time.sleep(0.1)


class Heart(threading.Thread):
    """Registers some instances and keeps them alive, at one server or, when that is gone, at another."""

    def __init__(self, servers, which):
        super().__init__(daemon=True)
        self.servers, self.which, self.ends, self.beats = servers, which, threading.Event(), 0
        self.client = None

    def run(self):
        while not self.ends.is_set():
            try:
                if self.client is None:
                    self.client = Client(self.servers[0], "json")
                calls = [self.client.send("Agent.Register", f"s{nth}", f"10.0.0.{nth}:80") for nth in self.which]
                good = [self.client.response(call)[1] is None for call in calls]
                self.beats += all(good)
                self.ends.wait(1.5 if all(good) else 0.3)
            except (OSError, EOFError, TypeError):
                # As clients do: another server, or the same one again.
                self.client, self.servers = None, self.servers[1:] + self.servers[:1]
                self.ends.wait(0.3)


class Ears(threading.Thread):
    """Watches some services, as clients do: who does not come again after a reconnect is gone."""

    def __init__(self, servers, which):
        super().__init__(daemon=True)
        self.servers, self.which, self.ends = servers, which, threading.Event()
        self.views = {nth: {} for nth in which}
        self.gone, self.doubled, self.changed = [], [], []

    def run(self):
        while not self.ends.is_set():
            try:
                self.listen(Client(self.servers[0], "gob"))
            except (OSError, EOFError):
                self.servers = self.servers[1:] + self.servers[:1]
                self.ends.wait(0.3)

    def listen(self, client):
        streams = {client.subscribe(f"s{nth}"): nth for nth in self.which}
        fresh = {nth: {} for nth in self.which}
        while not self.ends.is_set():
            while (one := client.decode()) is not None:
                call, update, error = one
                if error is not None:
                    raise EOFError(error)
                nth, who = streams[call], update.get("Addr", "")
                created, told = update.get("Created"), fresh.get(nth)
                if not who:
                    self.gone += [(nth, old) for old in self.views[nth] if old not in told]
                    self.views[nth] = fresh.pop(nth)
                elif update.get("Online"):
                    view = self.views[nth] if told is None else told
                    if told is None and view.get(who) == created:
                        self.doubled.append((nth, who))
                    if self.views[nth].get(who, created) != created:
                        self.changed.append((nth, who, created))
                    view[who] = created
                else:
                    self.gone.append((nth, who))
                    self.views[nth].pop(who, None)
            client.receive(time.time() + 0.2)


def check(holds, words):
    assert holds, words


class Crowd:
    """A hundred services that live, each at one of two servers or, when that is gone, at the other; and who watches them."""

    def __init__(self, first, second, patience):
        self.first, self.second, self.patience = first, second, patience
        both = [[first.address, second.address], [second.address, first.address]]
        self.hearts = [Heart(both[n % 2], range(n, LIVING, 10)) for n in range(10)]
        self.ears = [Ears(both[n // 5], range(n, LIVING, 10)) for n in range(10)]
        for one in self.hearts + self.ears:
            one.start()
        within(20, self.whole)
        self.beats()
        self.known = self.views()
        self.heard()

    def views(self):
        return {nth: dict(view) for ear in self.ears for nth, view in ear.views.items()}

    def whole(self):
        """Each sees all who live, and nobody else."""
        for nth, view in self.views().items():
            assert list(view) == [f"10.0.0.{nth}:80"], (nth, view)

    def beats(self):
        """Everybody's heartbeats succeed again."""
        before = [heart.beats for heart in self.hearts]

        def all_do():
            check(all(h.beats > b for h, b in zip(self.hearts, before)), "no heartbeats")

        within(self.patience, all_do)

    def heard(self):
        """What happens at one server is told by the other, in time."""
        name = f"told-{time.time()}"
        for told, telling in (self.first, self.second), (self.second, self.first):
            if told.process.poll() is not None or telling.process.poll() is not None:
                told = telling = self.second
            listener = told.client()
            stream = listener.subscribe(name)
            within(10, lambda: check(listener.snapshot(stream) == [], "no snapshot"))
            within(10, lambda: telling.client().register(name, "a:1"))
            update = listener.update(stream, 10)
            assert update and update[:2] == ("a:1", True), update
            telling.client().unregister(name, "a:1")
            assert listener.update(stream, 10)[:2] == ("a:1", False)

    def goes_on(self):
        """As if nothing had happened."""
        self.beats()
        self.heard()

    def refused(self, words):
        """Nothing can be registered."""
        try:
            self.first.client().register("nobody", "a:1")
            raise AssertionError("without a quorum it was registered")
        except ServerError as error:
            assert str(error).startswith(words), error

    def finish(self):
        """The first server dies; its clients go on at the other one, and those of them who die are told to be gone."""
        self.first.end(signal.SIGKILL)
        self.beats()
        within(10, self.whole)
        time.sleep(TTL + 3)
        self.whole()
        self.heard()
        assert self.known == self.views()
        for ear in self.ears:
            assert not ear.changed, f"Created changed: {ear.changed}"
            assert not ear.doubled, f"told twice: {ear.doubled}"
            assert not ear.gone, f"gone though they lived: {ear.gone}"
        for heart in self.hearts[:5]:
            heart.ends.set()
        within(TTL + 5, lambda: check(sum(not view for view in self.views().values()) == 50, "they stay"))
        for one in self.hearts + self.ears:
            one.ends.set()
            one.join()
        assert self.second.end() == 0
