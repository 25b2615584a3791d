#!/usr/bin/env python3
"""Puts a bug into a copy of the core, and sees whether the simulated world finds it: three times.

    python3 conformance/world/planted.py

Needs cargo. The copy and what is built of it stand in a temporary folder.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 10_000
BUGS = {
    "the chunk decoder counts one byte too many when a chunk comes in two pieces": (
        "core/src/http1/body.rs",
        "_ => State::Data(left),",
        "_ => State::Data(left + 1),",
    ),
    "the table of half-closes ends the answer with the request": (
        "core/src/http1/state.rs",
        "(Step::RequestEof, Done | Raw, _) => (Closed, response),",
        "(Step::RequestEof, Done | Raw, _) => (Closed, Closed),",
    ),
    "a job whose client has gone is not told so": (
        "core/src/job/engine.rs",
        "if why == Cancel::Gone {\n            self.shared",
        "if why == Cancel::Gone && self.has_failed(job) {\n            self.shared",
    ),
}


def main():
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        for name in files.decode().split("\0")[:-1]:
            if (ROOT / name).exists():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                (copy / name).write_bytes((ROOT / name).read_bytes())
        env = {**os.environ, "CARGO_TARGET_DIR": str(Path(folder, "target")), "CARGO_PROFILE_RELEASE_DEBUG": "0"}
        world = ["cargo", "run", "--quiet", "--release", "-p", "libswarm-conformance", "--", "world", "--seeds", str(SEEDS)]
        for what, (name, right, wrong) in BUGS.items():
            file = copy / name
            text = file.read_text()
            if text.count(right) != 1:
                sys.exit(f"planted.py: {name} has no longer one place that reads {right!r}")
            file.write_text(text.replace(right, wrong))
            ran = subprocess.run(world, cwd=copy, env=env, stdout=subprocess.PIPE, text=True, check=False)
            file.write_text(text)
            said = ran.stdout.splitlines()[:1]
            # It ends with 1 also when something never happened, which would be no find.
            found = ran.returncode == 1 and said and said[0].startswith("seed ")
            missed += not found
            print(f"{what}: {said[0] if found else 'NOT FOUND'}", flush=True)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
