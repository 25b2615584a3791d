#!/usr/bin/env python3
"""Puts each fault of the original discoverd, and of a careless client, into a copy, and sees whether its test fails.

    python3 conformance/discovery/planted.py [WORD...]

Needs cargo. The copy and what is built of it stand in a temporary folder. With words only faults that hold one of them are tried.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RPC = "rpc::tests::faults::"
CLIENT = "discovery::client::tests::"
LIB, NODE = ["--lib"], ["--test", "discovery"]

# What is wrong; the test that shows it absent, with its target; and the changes: file, what it reads, what the fault reads.
FAULTS = [
    (
        "unregistering an empty address ends the process",
        (NODE, "connections::errors_are_of_one_call"),
        [
            (
                "core/src/discovery/agent.rs",
                'check("Addr", &address).map_err(text)?;',
                'assert!(!address.is_empty(), "the process ends");',
            )
        ],
    ),
    (
        "a slow subscriber loses updates once its queue is full",
        (NODE, "connections::a_slow_subscriber_gets_the_latest_of_each"),
        [
            (
                "core/src/discovery/feed.rs",
                "        let mut change = change.clone();\n",
                "        if self.changes.len() >= 8 {\n            return false;\n        }\n        let mut change = change.clone();\n",
            )
        ],
    ),
    (
        "the end of a closed stream waits for the next event",
        (LIB, RPC + "a_closed_stream_ends_at_once"),
        [
            (
                "core/src/rpc/server.rs",
                "        self.fail(call, END_OF_STREAM, out);\n        Some(call)",
                "        let _ = (out, END_OF_STREAM);\n        Some(call)",
            )
        ],
    ),
    (
        "JSON's CloseStream is ignored",
        (LIB, RPC + "a_closed_stream_ends_at_once"),
        [
            (
                "core/src/rpc/server.rs",
                "        if &*name == CLOSE_STREAM {",
                "        if &*name == CLOSE_STREAM && matches!(self.phase, Phase::Json(_)) {\n            return None;\n        }\n"
                "        if &*name == CLOSE_STREAM {",
            )
        ],
    ),
    (
        "a vanished subscriber holds its watch",
        (NODE, "connections::who_is_gone_is_told_nothing"),
        [
            (
                "core/src/node/caller.rs",
                "        while let Some((_, stream)) = self.streams.pop_first() {\n"
                "            env.agent.close(stream.subscription);\n        }",
                "        let _ = env;\n        self.streams.clear();",
            )
        ],
    ),
    (
        "the snapshot is older than the watch",
        (NODE, "connections::a_snapshot_and_what_comes_behind_it_are_one"),
        [
            (
                "core/src/discovery/registry/follow.rs",
                "(service.snapshot, service.whole) = (None, None);",
                "service.whole = None;",
            )
        ],
    ),
    (
        "streams are silent for ever after etcd's restart",
        (NODE, "etcd_store::streams_go_on_after_a_restart_of_etcd"),
        [
            (
                "core/src/discovery/store/etcd/view.rs",
                "    fn view_failed(&mut self, reason: String) {\n",
                "    fn view_failed(&mut self, reason: String) {\n        if self.mirror.is_live() {\n            return;\n        }\n",
            )
        ],
    ),
    (
        "what happens between etcd's snapshot and its watch is lost",
        (NODE, "etcd_store::nothing_is_lost_between_the_snapshot_and_the_watch"),
        [("core/src/discovery/store/etcd/view.rs", "api::watch(self.view.seen + 1)", "api::watch(0)")],
    ),
    (
        "what happens between etcd's snapshot and its watch is told twice",
        (NODE, "etcd_store::nothing_is_lost_between_the_snapshot_and_the_watch"),
        [
            ("core/src/discovery/store/etcd/view.rs", "kv.mod_revision <= skip", "kv.mod_revision <= skip.min(0)"),
            ("core/src/discovery/store/etcd/view.rs", "api::watch(self.view.seen + 1)", "api::watch(1)"),
        ],
    ),
    (
        "who reads nothing is waited for by everybody",
        (NODE, "connections::seventy_instances_and_a_subscriber_that_reads_nothing"),
        [
            (
                "core/src/discovery/store/memory.rs",
                "        self.done.push_back(StoreEvent::Done(request, Ok(())));",
                "        if !self.registry.is_choked() {\n"
                "            self.done.push_back(StoreEvent::Done(request, Ok(())));\n        }",
            ),
            (
                "core/src/discovery/registry/follow.rs",
                "    /// Ends a subscription.\n",
                "    /// Somebody's queue is full.\n    pub fn is_choked(&self) -> bool {\n"
                "        self.subscriptions.iter().any(|(_, it)| it.changes.len() > 32)\n    }\n\n    /// Ends a subscription.\n",
            ),
        ],
    ),
    (
        "bytes behind the CONNECT are lost",
        (LIB, RPC + "what_comes_with_the_connect_is_not_lost"),
        [
            (
                "core/src/rpc/server.rs",
                "return Ok((taken, Next::Codec(",
                "return Ok((input.len(), Next::Codec(",
            )
        ],
    ),
    (
        "a client takes the marker of a failed subscription for the end of everybody",
        (LIB, CLIENT + "machine::the_marker_of_a_subscription_that_fails_ends_nobody"),
        [
            (
                "core/src/discovery/client/machine/heard.rs",
                "if update.is_marker() && set.named == Some(0) {",
                "if update.is_marker() && set.named == Some(usize::MAX) {",
            )
        ],
    ),
    (
        "a client does not report who has gone while it was away",
        (LIB, CLIENT + "connection::a_lost_server_is_dialed_again_each_second"),
        [("core/src/discovery/client/sets.rs", "        self.view.restart();\n", "")],
    ),
    (
        "a client waits for its next heartbeat to register at a server that it has found again",
        (LIB, CLIENT + "connection::what_was_registered_comes_back_at_once"),
        [
            (
                "core/src/discovery/client/machine/heard.rs",
                "(registration.call, registration.queued, registration.settled) = (None, false, false);",
                "(registration.call, registration.queued) = (None, false);",
            )
        ],
    ),
    (
        "a client dials a server that throws everybody out without a pause",
        (LIB, CLIENT + "connection::a_server_that_flaps_is_dialed_once_a_second"),
        [
            (
                "core/src/discovery/client/link.rs",
                "self.servers[self.at].rests = now + config.redial;",
                "self.servers[self.at].rests = now.max(Instant::ZERO + config.redial * 0);",
            )
        ],
    ),
]


def main(words):
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        for name in files.decode().split("\0")[:-1]:
            if (ROOT / name).exists():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                (copy / name).write_bytes((ROOT / name).read_bytes())
        env = {**os.environ, "CARGO_TARGET_DIR": str(Path(folder, "target")), "CARGO_PROFILE_DEV_DEBUG": "0"}

        def run(target, test):
            command = ["cargo", "test", "--quiet", "-p", "libswarm", *target, "--", "--exact", test]
            return subprocess.run(
                command, cwd=copy, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )

        for what, (target, test), changes in FAULTS:
            if words and not any(word in what for word in words):
                continue
            before = {}
            for name, right, wrong in changes:
                file = copy / name
                before.setdefault(file, file.read_text())
                text = file.read_text()
                if text.count(right) != 1:
                    sys.exit(f"planted.py: {name} has no longer one place that reads {right!r}")
                file.write_text(text.replace(right, wrong))
            ran = run(target, test)
            for file, text in before.items():
                file.write_text(text)
            # One that does not compile, or a test that is not there, would be no find.
            found = ran.returncode != 0 and "0 passed; 1 failed" in ran.stdout
            missed += not found
            print(f"{what}: {test if found else 'NOT FOUND'}", flush=True)
            if not found:
                print(ran.stdout[-2000:], flush=True)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
