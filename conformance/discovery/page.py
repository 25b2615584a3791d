"""What must hold of the page of a server of discovery, in a real Chromium without a window:
`page.py CHROMIUM ADDRESS PID SCREENSHOT`; it exits with 0 if it does.

The browser is driven by the DevTools protocol over a pair of pipes, with the standard library.
"""

import base64
import hashlib
import http.client
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from rpc import Client

PATIENCE = 20


class Browser:
    """A Chromium, and one page in it."""

    def __init__(self, binary):
        self.folder = tempfile.mkdtemp()
        theirs, self.out = os.pipe()
        self.input, ours = os.pipe()

        def plumb():
            # Above the numbers that are wanted, so that none is closed before it is used.
            to, back = os.dup2(theirs, 100), os.dup2(ours, 101)
            os.dup2(to, 3)
            os.dup2(back, 4)

        command = [binary, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe",
                   "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
                   f"--user-data-dir={self.folder}", "--window-size=1200,900", "about:blank"]
        self.process = subprocess.Popen(command, close_fds=False, preexec_fn=plumb, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(theirs)
        os.close(ours)
        self.unread, self.last, self.session, self.events = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log"]:
            self.call(f"{domain}.enable")

    def receive(self, until):
        while b"\0" not in self.unread:
            left = until - time.monotonic()
            assert left > 0 and select.select([self.input], [], [], left)[0], "the browser does not answer"
            piece = os.read(self.input, 1 << 16)
            assert piece, "the browser is gone"
            self.unread += piece
        message, self.unread = self.unread.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **params):
        self.last += 1
        request = {"id": self.last, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.out, json.dumps(request).encode() + b"\0")
        until = time.monotonic() + PATIENCE
        while True:
            message = self.receive(until)
            if message.get("id") == self.last:
                assert "error" not in message, f"{method}: {message}"
                return message["result"]
            self.events.append(message)

    def open(self, url):
        self.call("Page.navigate", url=url)

    def eval(self, script):
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, f"{script}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def wait(self, script, expected=True):
        """Until that is so."""
        until = time.monotonic() + PATIENCE
        while True:
            found = self.eval(f"(() => {{ try {{ return {script}; }} catch (error) {{ return String(error); }} }})()")
            if found == expected:
                return
            assert time.monotonic() < until, f"{script} is {found!r}, not {expected!r}: {self.eval('document.body.innerText')}"
            time.sleep(0.05)

    def key(self, key, code, text=None):
        for kind in ["keyDown", "keyUp"]:
            event = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
            if text and kind == "keyDown":
                event["text"] = text
            self.call("Input.dispatchKeyEvent", **event)

    def complaints(self):
        """What went wrong in the page, as its console has it."""
        said = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                said.append(str(params))
            if event.get("method") == "Log.entryAdded" and "Security" in params["entry"]["text"]:
                said.append(params["entry"]["text"])
        return said

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def ask(address, method, path, body=None, status=200):
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    text = json.dumps(body) if body is not None else None
    connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
    answer = connection.getresponse()
    said = answer.read()
    assert answer.status == status, f"{method} {path}: {answer.status} {said}"
    connection.close()
    return said


def put(address, service, addr, meta=None):
    name = hashlib.md5(f"tcp-{addr}".encode()).hexdigest()
    ask(address, "PUT", f"/services/{service}/instances/{name}", {"id": name, "addr": addr, "meta": meta})
    return name


def contrast(browser):
    """Of the text on its ground, after WCAG 2."""
    return browser.eval("""(() => {
        const light = color => {
            const [r, g, b] = color.match(/[\\d.]+/g).map(it => it / 255)
                .map(it => it <= 0.03928 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const style = getComputedStyle(document.body);
        const [one, other] = [light(style.color), light(style.backgroundColor)].sort((a, b) => b - a);
        return (one + 0.05) / (other + 0.05);
    })()""")


HOSTILE = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'


def shows(browser, address):
    """Services of both doors, their attributes, leaders, metadata and changes, live."""
    browser.open(f"http://{address}/")
    browser.wait("document.getElementById('state').textContent", "live")
    browser.wait("document.getElementById('none').hidden", False)
    client = Client(address, "json")
    client.register("rpc-made", "10.0.0.9:80", {"zone": "b", "evil": HOSTILE})
    browser.wait("document.body.innerText.includes('10.0.0.9:80')")
    ask(address, "PUT", "/services/web", {})
    browser.wait("document.querySelector('[data-name=web]').innerText.includes('No instances')")
    first = put(address, "web", "10.0.0.1:80", {"zone": "a"})
    second = put(address, "web", "10.0.0.2:80")
    row = f"document.querySelector('[data-name=web] [data-id=\"{first}\"]').innerText"
    browser.wait(f"{row}.includes('zone=a') && {row}.includes('leader') && {row}.includes('tcp')")
    browser.wait("document.querySelector('[data-name=web] summary').innerText.includes('2 instances')")
    browser.wait(f"/\\d s/.test({row})")
    ask(address, "PUT", "/services/web/leader", {"id": second})
    browser.wait(f"document.querySelector('[data-id=\"{second}\"] .leads') !== null")
    ask(address, "PUT", "/services/web/meta", {"data": {"release": "r<1>"}, "index": 0})
    browser.wait("document.querySelector('[data-name=web] pre').textContent.includes('\"release\": \"r<1>\"')")
    ask(address, "DELETE", f"/services/web/instances/{second}")
    browser.wait("document.querySelectorAll('[data-name=web] tr[data-id]').length", 1)
    browser.wait("document.querySelector('#history li').innerText.includes('leader')")
    for kind in ["created", "up", "leader", "metadata", "down"]:
        browser.wait(f"[...document.querySelectorAll('#history li')].some(it => it.innerText.includes('{kind}'))")
    # What others write stays text.
    browser.wait(f"document.body.innerText.includes({json.dumps(HOSTILE)})")
    assert browser.eval("document.querySelectorAll('img, main script').length") == 0
    assert browser.eval("document.title") == "discoverd"
    # And nothing else would run.
    browser.eval("""(() => { const it = document.createElement('script'); it.textContent = "document.title='owned'";
        document.body.append(it); it.remove(); })()""")
    assert browser.eval("document.title") == "discoverd", "the policy lets a foreign script run"
    return client


def is_used_by_keyboard(browser):
    """Tab, Enter, and a search."""
    browser.eval("document.activeElement.blur()")
    browser.key("Tab", 9)
    assert browser.eval("document.activeElement.id") == "find"
    for letter in "10.0.0.9":
        browser.call("Input.insertText", text=letter)
    browser.wait("[...document.querySelectorAll('details')].filter(it => !it.hidden).map(it => it.dataset.name).join()",
                 "rpc-made")
    browser.key("Tab", 9)
    assert browser.eval("document.activeElement.tagName") == "SUMMARY"
    outline = browser.eval("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", f"the focus is not seen: {outline}"
    assert browser.eval("document.activeElement.parentElement.open") is True
    browser.key("Enter", 13, "\r")
    browser.wait("document.activeElement.parentElement.open", False)
    browser.key("Enter", 13, "\r")
    browser.wait("document.querySelector('[data-name=\"rpc-made\"]').innerText.includes('zone=b')")
    browser.wait("document.getElementById('count').textContent", "Services (1 of 2)")
    browser.eval("(() => { const it = document.getElementById('find'); it.value = 'nowhere';"
                 " it.dispatchEvent(new Event('input')); })()")
    browser.wait("document.getElementById('unmatched').hidden", False)
    browser.wait("document.getElementById('count').textContent", "Services (0 of 2)")
    browser.eval("(() => { const it = document.getElementById('find'); it.value = '';"
                 " it.dispatchEvent(new Event('input')); })()")
    browser.wait("document.getElementById('unmatched').hidden")
    browser.wait("[...document.querySelectorAll('details')].filter(it => !it.hidden).length", 2)


def is_dark_and_light(browser):
    grounds = []
    for scheme in ["light", "dark"]:
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        grounds.append(browser.eval("getComputedStyle(document.body).backgroundColor"))
        assert contrast(browser) >= 7, f"{scheme}: {contrast(browser)}"
    assert grounds[0] != grounds[1], grounds
    browser.call("Emulation.setEmulatedMedia", features=[])


def fits_a_phone(browser):
    browser.call("Emulation.setDeviceMetricsOverride", width=320, height=640, deviceScaleFactor=2, mobile=True)
    width = browser.eval("document.documentElement.scrollWidth")
    assert width <= 320, f"it is {width} wide on a phone"
    assert browser.eval("document.querySelector('summary').getBoundingClientRect().height") >= 44
    browser.call("Emulation.clearDeviceMetricsOverride")


def comes_back(browser, address, pid):
    """A server that stands still for a while, and many changes: the page ends as the server has it."""
    for nth in range(30):
        put(address, "web", f"10.0.1.{nth}:80", {"n": str(nth)})
    browser.wait("document.querySelectorAll('[data-name=web] tr[data-id]').length >= 30")
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.5)
    os.kill(pid, signal.SIGCONT)
    ask(address, "DELETE", "/services/web")
    browser.wait("document.querySelector('[data-name=web]')", None)
    browser.wait("document.getElementById('state').textContent", "live")


FORGETFUL = """(() => {
    const say = data => hear({ data: JSON.stringify({ service: "ghost", ...data }) });
    const instance = { id: "0123", addr: "10.0.0.8:80", proto: "tcp", index: 1 };
    const up = () => say({ kind: "up", instance });
    up();
    say({ kind: "leader", instance });
    say({ kind: "service_created", leader_type: "manual" });
    for (let nth = 0; nth < 2; nth += 1) say({ kind: "service_meta", service_meta: { data: 1, index: 2 } });
    const noted = [...document.querySelectorAll("#history li")].filter(it => it.innerText.includes("index 2")).length;
    told = new Set();
    up();
    say({ kind: "current" });
    const { instances, leader, created, meta } = services.get("ghost");
    return JSON.stringify([instances.size, leader, created, meta, noted]);
})()"""


def forgets(browser):
    """Told all again, as after a restart of the server: what it does not tell is not there any more, and what it tells as it was is
    nothing new."""
    said = browser.eval(FORGETFUL)
    assert said == "[1,null,null,null,1]", said


def keeps_the_reason(browser):
    """The server's reason is shown until the connection is back: the end of the stream comes right behind it, and has none."""
    said = browser.eval("""new Promise(resolve => {
        const Real = EventSource;
        window.EventSource = class extends EventTarget { constructor() { super(); window.fake = this; } };
        follow();
        window.EventSource = Real;
        const state = () => document.getElementById("state").textContent;
        const error = data => fake.dispatchEvent(Object.assign(new Event("error"), data));
        const said = [];
        error({ data: '{"message":"etcd is gone"}' });
        said.push(state());
        error({});
        said.push(state());
        fake.dispatchEvent(new Event("open"));
        error({});
        said.push(state());
        resolve(said.join("; "));
    })""")
    assert said == "etcd is gone; etcd is gone; not connected, trying again", said


def main():
    binary, address, pid, screenshot = sys.argv[1:]
    browser = Browser(binary)
    try:
        client = shows(browser, address)
        is_used_by_keyboard(browser)
        is_dark_and_light(browser)
        fits_a_phone(browser)
        client.register("rpc-made", "10.0.0.9:80", {"zone": "b", "evil": HOSTILE})
        image = base64.b64decode(browser.call("Page.captureScreenshot", format="png")["data"])
        os.makedirs(os.path.dirname(screenshot) or ".", exist_ok=True)
        with open(screenshot, "wb") as file:
            file.write(image)
        comes_back(browser, address, int(pid))
        forgets(browser)
        keeps_the_reason(browser)
        assert browser.complaints() == [] or all("script" in it for it in browser.complaints()), browser.complaints()
    finally:
        browser.close()


if __name__ == "__main__":
    main()
