"""How tests in Python have an engine of their own: a simulator per test, asked through docker-py.

    pip install docker pytest
    SWARMD=target/debug/swarmd pytest conformance/clients/test_shop.py

Copy the fixture; the rest shows what can be done with it.
"""

import json
import os
import subprocess
import urllib.request

import docker
import pytest

# An image that a registry has not: what it prints, and how it ends.
STATE = {
    "images": [
        {
            "RepoTags": ["shop:1"],
            "Behaviour": {
                "output": [{"after": 50, "text": "listening on port 80\n"}],
                "signals": {"TERM": 0},
            },
        },
        {"RepoTags": ["busybox:latest"]},
    ],
    "containers": [{"Name": "old", "Config": {"Image": "shop:1"}, "State": {"Status": "exited", "ExitCode": 137}}],
}


class Engine:
    """A running simulator: `client` is docker-py's, `control` speaks to what is not Docker's."""

    def __init__(self, address):
        self.address = address
        self.client = docker.DockerClient(f"tcp://{address}")

    def control(self, method, place, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}/_simulator/{place}", data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


@pytest.fixture
def engine(tmp_path):
    state = tmp_path / "engine.json"
    state.write_text(json.dumps(STATE))
    command = [os.environ.get("SWARMD", "swarmd"), "--backend", f"simulator --control --state '{state}'", "tcp://127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            # The first line that it says ends with where it listens.
            line = process.stderr.readline()
            engine = Engine(line.rpartition("tcp://")[2].strip())
            yield engine
            engine.client.close()
        finally:
            process.terminate()


def test_a_container_runs(engine):
    assert engine.client.containers.run("alpine", "echo hi") == b"hi\n"
    with pytest.raises(docker.errors.ContainerError) as failed:
        engine.client.containers.run("alpine", ["sh", "-c", "echo no >&2; exit 4"])
    assert failed.value.exit_status == 4


def test_an_image_behaves_as_described(engine):
    shop = engine.client.containers.run("shop:1", detach=True, name="shop")
    assert next(iter(shop.logs(stream=True))) == b"listening on port 80\n"
    shop.stop()
    assert shop.wait()["StatusCode"] == 0
    assert engine.client.containers.get("old").attrs["State"]["ExitCode"] == 137


def test_what_was_asked(engine):
    engine.client.volumes.create("data", labels={"tier": "back"})
    (asked,) = engine.control("GET", "requests?job=volume_create")["requests"]
    assert asked["status"] == 201
    assert asked["body"] == {"Name": "data", "Labels": {"tier": "back"}}


def test_what_goes_wrong(engine):
    engine.control("POST", "faults", {"job": "create", "nth": 2, "error": {"status": 500, "message": "no space left"}})
    engine.client.containers.create("busybox", name="first")
    with pytest.raises(docker.errors.APIError, match="no space left"):
        engine.client.containers.create("busybox", name="second")
    assert [container.name for container in engine.client.containers.list(all=True)] == ["first", "old"]
