"""What one client's large answers do to everybody else: run by tests/clients/kstored-big-reads. Messages are packed by
hand, so that nothing but python3-grpcio is needed.

    kstored-big-reads.py cluster|single ENDPOINTS PIDS    the cases, as TAP
    kstored-big-reads.py flood ENDPOINT PID UNIX-SOCKET
    kstored-big-reads.py puts ENDPOINTS PIDS              the longest put beside big reads, in ms (for bench/store)
    kstored-big-reads.py watchers ENDPOINTS PIDS          what 4,000 watchers in 20 streams need, in MB (for the same)
"""
import queue
import select
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback

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
    """Puts by another client, one after another, in its own process, until end(): the longest of them, in seconds."""

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


def together(call, messages, at_once=8):
    """Answers of many calls of one method."""
    out, under_way = [], []
    for m in messages:
        under_way.append(call.future(m, timeout=60))
        if len(under_way) >= at_once:
            out.append(under_way.pop(0).result())
    return out + [f.result() for f in under_way]


def value_of(i, size):
    return b"%05d" % (i * 7919 % 100000) + bytes([65 + i % 26]) * (size - 5)


def fill(store, n, size, key=b"big/%05d"):
    messages = [field(1, key % i) + field(2, value_of(i, size)) for i in range(n)]
    at_once = 8 if size > 10000 else 200
    try:
        together(store.put_, messages, at_once)
    except grpc.RpcError as e:
        if e.code() != grpc.StatusCode.UNAVAILABLE:
            raise
        together(store.put_, messages, at_once)  # as with etcd, a change of the leader may lose a write


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


class Raw:
    """A client of HTTP/2 that reads only what it is asked to."""

    def __init__(self, window=(1 << 31) - 1):
        host, port = endpoints[0].split(":")
        self.s, self.id, self.buffer = socket.create_connection((host, int(port)), timeout=30), -1, bytearray()
        self.s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(4, 0, 0, struct.pack(">HI", 4, window)) +
                       self.frame(8, 0, 0, struct.pack(">I", (1 << 31) - 65536)))

    @staticmethod
    def frame(kind, flags, stream, data):
        return struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data

    def ask(self, path, message, end=True):
        headers = ((":method", "POST"), (":scheme", "http"), (":path", "/etcdserverpb." + path), (":authority", "x"),
                   ("content-type", "application/grpc"), ("te", "trailers"))
        block = b"".join(b"\0" + bytes([len(n)]) + n.encode() + bytes([len(v)]) + v.encode() for n, v in headers)
        self.id += 2
        self.s.sendall(self.frame(1, 4, self.id, block) +
                       self.frame(0, 1 if end else 0, self.id, struct.pack(">BI", 0, len(message)) + message))
        return self.id

    def more(self, n):
        while len(self.buffer) < n:
            part = self.s.recv(65536)
            if not part:
                raise EOFError
            self.buffer += part
        out = bytes(self.buffer[:n])
        del self.buffer[:n]
        return out

    def answer(self):
        """Reads one stream to its end: the message."""
        out, taken = bytearray(), 0
        while True:
            head = self.more(9)
            data = self.more(int.from_bytes(head[:3], "big"))
            if head[3] == 0:
                out += data
                taken += len(data)
            if taken > MB:
                self.s.sendall(self.frame(8, 0, 0, struct.pack(">I", taken)))
                taken = 0
            if head[3] == 3 or (head[3] in (0, 1) and head[4] & 1):
                break
        assert len(out) >= 5 and int.from_bytes(out[1:5], "big") == len(out) - 5, f"a message of {len(out)} bytes is not whole"
        return bytes(out[5:])

    def close(self):
        self.s.close()


def growth_mb(work, pid=None):
    """What the most that a process has needed grows by (in MB) while work runs."""
    pid = pid or pids[0]
    open(f"/proc/{pid}/clear_refs", "w").write("5")
    before = memory_kb(pid)
    work()
    return (memory_kb(pid, "VmHWM") - before) / 1024


def watch_many(streams, each, event_bytes):
    """That many watchers of one prefix, all of which read three events."""
    store, todo = Store(), []
    for i in range(streams):
        q = queue.SimpleQueue()
        todo.append((q, store.watch(iter(q.get, None))))
        for _ in range(each):
            q.put(field(1, prefix(b"w/")))
    for _, events in todo:
        for _ in range(each):
            next(events)
    seen = []

    def drain(events):
        left = 3 * each
        while left > 0:
            left -= sum(n == 11 for n, _ in fields(next(events)))
        seen.append(1)
    threads = [threading.Thread(target=drain, args=(events,), daemon=True) for _, events in todo]
    for t in threads:
        t.start()
    for i in range(3):
        store.put(b"w/%d" % i, b"v" * event_bytes)
    for t in threads:
        t.join(30)
    assert len(seen) == streams, f"{len(seen)} of {streams} streams got all events"
    for _, events in todo:
        events.cancel()


if sys.argv[1] == "putter":
    putter()
    sys.exit(0)
if sys.argv[1] == "puts":
    fill(Store(), 150, MB - 1000)
    print("%.1f" % (1000 * beside(read_big)))
    sys.exit(0)
if sys.argv[1] == "watchers":
    print("%.1f" % growth_mb(lambda: watch_many(20, 200, 1000)))
    sys.exit(0)

# ---- the cases

tests = failures = 0
s = Store()
N = 100
SIZE = MB - 1000 if sys.argv[1] == "cluster" else 400000


def case(f):
    """Runs a case at once; an assertion that fails says where."""
    global tests, failures
    tests += 1
    text = f.__doc__.strip()
    T = time.monotonic()
    try:
        f()
        print(f"ok {tests} - {text}", flush=True)
        print(f"# {time.monotonic()-T:.1f} s")
    except Exception as e:  # pylint: disable=broad-except
        failures += 1
        where = traceback.extract_tb(e.__traceback__)
        print(f"not ok {tests} - {text}")
        print(f"# lines {[t.lineno for t in where]}: {type(e).__name__}: {str(e)[:600]}", flush=True)
    return f


def same_leader(work):
    before = s.leader()
    work()
    assert s.leader() == before, f"the leader was {before}, is {s.leader()}"


if sys.argv[1] == "cluster":
    fill(s, N, SIZE)

    @case
    def _():
        """100 values of 1 MB read twice: the leader stays, and another client's put does not wait for seconds"""
        def work():
            longest = beside(lambda: read_big(2))
            assert longest < 2, f"a put took {longest:.1f} s"
        same_leader(work)

    @case
    def _():
        """the same within transactions, also as what a deletion deletes"""
        def work():
            get = field(2, field(1, prefix(b"big/0000")))
            write = field(2, field(2, field(1, b"other/2") + field(2, b"v")))
            inner = fields(s.txn(get + write + get, timeout=60))
            bodies = [first(first(v, 1), n and 4, b"") for n, v in inner if n == 3 and first(v, 1, None) is not None]
            assert len(bodies) == 2
            deleted = s.delete(prefix(b"big/00") + field(3, 1), timeout=60)
            got = [(bytes(first(v, 1)), len(first(v, 5))) for n, v in fields(deleted) if n == 3]
            assert got == [(b"big/%05d" % i, SIZE) for i in range(N)], (len(got), got[:2])
            assert first(deleted, 2) == N
        same_leader(lambda: beside(work))

if sys.argv[1] == "single":
    fill(s, N, SIZE)
    before = first(first(s.range(prefix(b"none")), 1), 3)

    @case
    def _():
        """a large answer is whole: every key once, in order, with its value, and the count"""
        a = s.range(prefix(b"big/"), timeout=60)
        assert [k for k, _ in kvs(a)] == [b"big/%05d" % i for i in range(N)]
        assert all(v == value_of(i, SIZE) for i, (_, v) in enumerate(kvs(a)))
        assert first(a, 4) == N and first(a, 3) == 0

    @case
    def _():
        """sorted by value, backwards, the first 50"""
        a = s.range(prefix(b"big/", sort_order=2, sort_target=4, limit=50), timeout=60)
        want = sorted((value_of(i, SIZE)[:6], b"big/%05d" % i) for i in range(N))[::-1][:50]
        assert [(bytes(v[:6]), k) for k, v in kvs(a)] == want
        assert first(a, 4) == N and first(a, 3) == 1

    @case
    def _():
        """four clients that do not read hold little: 40 MB for each stay where they are"""
        def work():
            clients = [Raw() for _ in range(4)]
            for c in clients:
                c.ask("KV/Range", prefix(b"big/"))
            time.sleep(1.5)
            for c in clients:
                c.close()
        grown = growth_mb(work)
        assert grown < 16, f"{grown:.1f} MB"

    @case
    def _():
        """nor does one that asks 500 times without reading, nor one that opens no window"""
        def work():
            c, closed = Raw(), Raw(window=0)
            for _ in range(500):
                c.ask("KV/Range", prefix(b"big/"))
                closed.ask("KV/Range", prefix(b"big/"))
            time.sleep(1)
            s.put(b"meanwhile", b"x")
            c.close()
            closed.close()
        grown = growth_mb(work)
        assert grown < 24, f"{grown:.1f} MB"

    @case
    def _():
        """a slow reader gets the state of its request, although all keys were overwritten and compacted meanwhile"""
        c = Raw()
        c.ask("KV/Range", prefix(b"big/"))
        time.sleep(0.3)
        together(s.put_, [field(1, b"big/%05d" % i) + field(2, b"new") for i in range(N)])
        now = first(first(s.put(b"x", b"y"), 1), 3)
        s.compact(field(1, now), timeout=10)
        a = c.answer()
        assert [(k, bytes(v) == value_of(i, SIZE)) for i, (k, v) in enumerate(kvs(a))] == [(b"big/%05d" % i, True) for i in range(N)]
        try:
            s.range(prefix(b"big/", revision=before), timeout=10)
            raise AssertionError("a compacted revision was read")
        except grpc.RpcError as e:
            assert e.code() == grpc.StatusCode.OUT_OF_RANGE, e

    @case
    def _():
        """40 watch streams that are not read hold less than 0.4 MB each"""
        fill(s, 2000, 4000, b"st/%05d")
        stores = [Store(options=SLOW) for _ in range(40)]
        queues = [queue.SimpleQueue() for _ in stores]
        streams = [st.watch(iter(q.get, None)) for st, q in zip(stores, queues)]
        for q, events in zip(queues, streams):
            q.put(field(1, prefix(b"st/")))
            next(events)
        grown = growth_mb(lambda: (fill(s, 1500, 4000, b"st/%05d"), time.sleep(0.5)))
        for events in streams:
            events.cancel()
        assert grown < 40 * 0.4 + 8, f"{grown / 40:.2f} MB each"

    @case
    def _():
        """4,000 watchers in 20 streams, each sent 4 KB three times: less than 24 MB"""
        grown = growth_mb(lambda: watch_many(20, 200, 4000))
        assert grown < 24, f"{grown:.1f} MB"

    @case
    def _():
        """3,000 leases that expire together are removed within five seconds"""
        together(s.grant, [field(1, 2) + field(2, 1000 + i) for i in range(3000)], 500)
        together(s.put_, [field(1, b"l/%d" % i) + field(2, b"x") + field(3, 1000 + i) for i in range(3000)], 500)
        begun, count = None, 3000
        end = time.monotonic() + 20
        while count and time.monotonic() < end:
            count = first(s.range(prefix(b"l/", count_only=1)), 4)
            begun = begun or (time.monotonic() if count < 3000 else None)
            time.sleep(0.02)
        assert count == 0 and time.monotonic() - begun < 5, f"{count} are left after {time.monotonic() - begun:.1f} s"

if sys.argv[1] == "flood":
    unix = sys.argv[4]

    @case
    def _():
        """clients that take every connection are refused without a spin; the machine's own socket still answers"""
        host, port = endpoints[0].split(":")
        held = [socket.create_connection((host, int(port)), timeout=5) for _ in range(600)]
        time.sleep(0.5)
        t0 = sum(map(int, open(f"/proc/{pids[0]}/stat").read().rsplit(") ", 1)[1].split()[11:13]))
        refused = socket.create_connection((host, int(port)), timeout=5)
        refused.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Raw.frame(4, 0, 0, b""))
        try:
            assert refused.recv(100) == b"", "it was served"
        except ConnectionResetError:
            pass
        Store(unix).put(b"admin", b"x", timeout=10)
        time.sleep(1)
        t1 = sum(map(int, open(f"/proc/{pids[0]}/stat").read().rsplit(") ", 1)[1].split()[11:13]))
        assert t1 - t0 < 50, f"{t1 - t0} ticks of processor time in a second"
        for c in held:
            c.close()
        end = time.monotonic() + 10
        while True:
            try:
                Store().put(b"again", b"x", timeout=1)
                break
            except grpc.RpcError:
                assert time.monotonic() < end

print(f"1..{tests}")
sys.exit(failures > 0)
