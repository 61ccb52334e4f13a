"""Asks for the A records of NAME again and again until standard input ends. Every answer must be whole: one of the sets
("10.0.0.1,10.0.0.2"), or of a size ("at-least-3"). Prints how many answers came, how many were wrong, and the first wrong one; "asking" at once.
argv: ADDRESS PORT NAME SET..."""
import select
import socket
import struct
import sys
import time

PAUSE = 0.001  # s: more questions would only take the processors from what is tested
address, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
sizes = [int(s.split("-")[-1]) for s in sys.argv[4:] if s.startswith("at-least-")]
sets = [frozenset(s.split(",")) for s in sys.argv[4:]]
question = b"".join(bytes([len(l)]) + l.encode() for l in name.rstrip(".").split(".")) + b"\0" + struct.pack("!HH", 1, 1)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((address, port))
sock.settimeout(2)


def ask(number):
    sock.send(struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + question)
    while True:
        data = sock.recv(4096)
        if struct.unpack("!H", data[:2])[0] == number:
            break
    flags, _, count = struct.unpack("!HHH", data[2:8])
    at, found = 12 + len(question), set()
    for _ in range(count):
        # The name of a record is a pointer to the question's.
        kind, _, _, size = struct.unpack("!HHIH", data[at + 2:at + 12])
        if kind == 1:
            found.add(socket.inet_ntoa(data[at + 12:at + 16]))
        at += 12 + size
    return flags & 15, frozenset(found)


answers = wrong = 0
first = ""
print("asking", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    answers += 1
    time.sleep(PAUSE)
    try:
        code, found = ask(answers % 65536)
    except OSError as e:
        code, found = str(e), frozenset()
    if code != 0 or not (found in sets or any(len(found) >= n for n in sizes)):
        wrong += 1
        first = first or f"answer {answers}: code {code}, {sorted(found)}"
print(answers, wrong, first)
