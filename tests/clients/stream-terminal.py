#!/usr/bin/python3
"""Runs a client (`kubectl exec -it ...`) on a terminal of its own, types, changes the size and checks what the other side
sees. usage: stream-terminal.py [--ends-with CODE] CLIENT WORDS..., whose command is `sh` on a terminal."""
import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

LIMIT_S = 20


def set_size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def expect(fd, pattern, seen):
    end = time.monotonic() + LIMIT_S
    while not re.search(pattern, seen[0]):
        left = end - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            sys.exit(f"not seen: {pattern}\nseen: {seen[0]!r}")
        try:
            data = os.read(fd, 4096)
        except OSError:
            data = b""
        if not data:
            sys.exit(f"it ended before {pattern}\nseen: {seen[0]!r}")
        seen[0] += data.decode(errors="replace")
    seen[0] = re.split(pattern, seen[0], maxsplit=1)[-1]


def main():
    code_wanted = 7
    if sys.argv[1] == "--ends-with":
        code_wanted = int(sys.argv[2])
        del sys.argv[1:3]
    pid, fd = pty.fork()
    if pid == 0:
        time.sleep(0.05)  # the size is set meanwhile
        os.execvp(sys.argv[1], sys.argv[1:])
    set_size(fd, 33, 111)
    seen = [""]
    if code_wanted:  # a shell of its own greets; what is typed before is lost
        expect(fd, r"[$#] $", seen)
    os.write(fd, b"test -t 0 && test -t 1 && echo term-$((40 + 2))\n")
    expect(fd, "term-42", seen)
    os.write(fd, b"stty size\n")
    expect(fd, "33 111", seen)
    set_size(fd, 44, 122)
    end = time.monotonic() + LIMIT_S
    while True:
        os.write(fd, b"echo size-$(stty size | tr ' ' x)\n")
        expect(fd, r"size-(\d+x\d+)", seen)
        os.write(fd, b"test \"$(stty size)\" = '44 122' && echo new-$((1 + 1)) || echo old-$((1 + 1))\n")
        expect(fd, r"(?=new-2|old-2)", seen)
        if "new-2" in seen[0]:
            break
        if time.monotonic() > end:
            sys.exit("the new size does not arrive")
    # A key that is a signal there, not here.
    os.write(fd, b"sleep 1000\n")
    time.sleep(0.3)
    os.write(fd, b"\x03")
    os.write(fd, b"echo back-$((1 + 2))\n")
    expect(fd, "back-3", seen)
    os.write(fd, b"exit 7\n")
    while True:
        try:
            if not os.read(fd, 4096):
                break
        except OSError:
            break
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code != code_wanted:
        sys.exit(f"exit code {code}, not {code_wanted}")


main()
