"""What one client's large answers do to everybody else: run by tests/clients/kstored-big-reads. Messages are packed by
hand, so that nothing but python3-grpcio is needed.

    kstored-big-reads.py tap ENDPOINTS PIDS     the cases, as TAP
    kstored-big-reads.py puts ENDPOINTS PIDS    the longest put beside big reads, in ms (for bench/store)
"""
import select
import subprocess
import sys
import time

import grpc

endpoints = sys.argv[2].split(",")
pids = [int(p) for p in sys.argv[3].split(",")]
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
           ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
SLOW = OPTIONS + [("grpc.http2.lookahead_bytes", 65536), ("grpc.http2.bdp_probe", 0)]
MB = 1 << 20


def varint(v):
    out = bytearray()
    while v > 127:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)
    return bytes(out)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value) if value else b""
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(data):
    """[(number, value)] of a message; bytes as memoryview."""
    at, out, data = 0, [], memoryview(data)

    def number():
        nonlocal at
        v = shift = 0
        while True:
            b = data[at]
            at += 1
            v |= (b & 127) << shift
            shift += 7
            if b < 128:
                return v
    while at < len(data):
        tag = number()
        v = number()
        if tag & 7 == 2:
            v, at = data[at:at + v], at + v
        out.append((tag >> 3, v))
    return out


def first(message, number, fallback=0):
    return next((v for n, v in fields(message) if n == number), fallback)


class Store:
    def __init__(self, url=endpoints[0], options=tuple(OPTIONS)):
        self.channel = grpc.insecure_channel(url, options=list(options))
        self.calls = {}

    def __getattr__(self, name):
        path = {"range": "KV/Range", "put_": "KV/Put", "delete": "KV/DeleteRange", "txn": "KV/Txn", "compact": "KV/Compact",
                "status": "Maintenance/Status", "grant": "Lease/LeaseGrant", "ttl": "Lease/LeaseTimeToLive"}[name]
        if name not in self.calls:
            self.calls[name] = self.channel.unary_unary("/etcdserverpb." + path)
        return self.calls[name]

    def put(self, key, value, timeout=10, lease=0):
        return self.put_(field(1, key) + field(2, value) + field(3, lease), timeout=timeout)

    def leader(self):
        """Who leads, and in which term."""
        s = self.status(b"", timeout=5)
        return first(s, 4), first(first(s, 1), 4)

    def watch(self, requests):
        return self.channel.stream_stream("/etcdserverpb.Watch/Watch")(requests)


def prefix(key, **more):
    """A RangeRequest for all keys that begin so; more: its fields by name."""
    numbers = {"limit": 3, "revision": 4, "sort_order": 5, "sort_target": 6, "serializable": 7, "keys_only": 8, "count_only": 9}
    return field(1, key) + field(2, key[:-1] + bytes([key[-1] + 1])) + b"".join(field(numbers[n], v) for n, v in more.items())


def kvs(answer):
    return [(bytes(first(v, 1)), first(v, 5, b"")) for n, v in fields(answer) if n == 2]


def memory_kb(pid, name="VmRSS"):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


class Puts:
    """Puts by another client, one after another, in a process of its own, until end(): the longest of them, in seconds."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, __file__, "putter", *sys.argv[2:]], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"

    def end(self):
        out, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, "a put failed"
        return float(out)


def putter():
    store, longest = Store(), 0.0
    for i in range(20):
        store.put(b"other", b"x" * 100, timeout=30)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0.001)[0]:
        t = time.monotonic()
        store.put(b"other", b"x" * 100, timeout=60)
        longest = max(longest, time.monotonic() - t)
    print(longest)


def fill(store, n, size):
    for i in range(n):
        store.put(b"big/%05d" % i, bytes([65 + i % 26]) * size)


def beside(work, seconds=0.0):
    """What the longest put of another client takes while work runs (again, for so long)."""
    puts, end = Puts(), time.monotonic() + seconds
    work()
    while time.monotonic() < end:
        work()
    return puts.end()


def read_big(times=3):
    reader = Store()
    for _ in range(times):
        assert len(kvs(reader.range(prefix(b"big/"), timeout=60))) >= 100
