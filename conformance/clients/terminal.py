"""Runs a command under a terminal, types, and prints what the terminal showed.

    terminal.py STEP... -- COMMAND...

A step is `raw` (waits until the command has taken the terminal over), `expect:TEXT` (waits until it is shown), `send:TEXT` (types it; \\n and \\x10 as in Python),
or `size:ROWSxCOLUMNS` (resizes the terminal, as a window does). The exit status is the command's; 99 if something
expected did not come.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

PATIENCE = 20


def resize(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def main():
    divider = sys.argv.index("--")
    steps, command = sys.argv[1:divider], sys.argv[divider + 1:]
    begin, start = os.pipe()
    child, terminal = pty.fork()
    if child == 0:
        # Not before the terminal has its size.
        os.read(begin, 1)
        os.execvp(command[0], command)
    resize(terminal, 24, 80)
    os.write(start, b"x")
    shown, searched = b"", 0

    def read():
        nonlocal shown
        if not select.select([terminal], [], [], 0.02)[0]:
            return True
        try:
            data = os.read(terminal, 65536)
        except OSError:
            return False
        shown += data
        return bool(data)

    def finish(status):
        sys.stdout.buffer.write(shown)
        sys.stdout.flush()
        sys.exit(status)

    for step in steps:
        kind, _, text = step.partition(":")
        if kind == "send":
            os.write(terminal, text.encode().decode("unicode_escape").encode("latin-1"))
        elif kind == "size":
            resize(terminal, *map(int, text.split("x")))
        elif kind == "raw":
            deadline = time.monotonic() + PATIENCE
            while termios.tcgetattr(terminal)[3] & termios.ECHO:
                if not read() or time.monotonic() > deadline:
                    break
        elif kind == "expect":
            deadline = time.monotonic() + PATIENCE
            while shown.find(text.encode(), searched) < 0:
                if not read() or time.monotonic() > deadline:
                    sys.stderr.write(f"never shown: {text!r}\n")
                    os.kill(child, signal.SIGKILL)
                    finish(99)
            searched = shown.find(text.encode(), searched) + len(text)
        else:
            sys.exit(f"no step: {step!r}")
    deadline = time.monotonic() + PATIENCE
    while read():
        if time.monotonic() > deadline:
            sys.stderr.write("it does not end\n")
            os.kill(child, signal.SIGKILL)
            finish(99)
    finish(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


main()
