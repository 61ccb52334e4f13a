"""kstored-badinput.py CASE PORT [REPEAT]: one kind of misbehaviour on the wire, in bare HTTP/2 frames. Succeeds when the server
ends the call or the connection in order and serves the next one."""
import socket, struct, sys, time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
WAIT_S = 10


def frame(kind, flags, stream, payload=b"", length=None):
    return struct.pack(">I", len(payload) if length is None else length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def integer(value, bits):
    """RFC 7541, 5.1"""
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out, value = bytes([most]), value - most
    while value >= 128:
        out, value = out + bytes([value % 128 + 128]), value // 128
    return out + bytes([value])


def field(name, value):
    """A literal without indexing, nothing compressed."""
    name, value = name.encode(), value if isinstance(value, bytes) else value.encode()
    return b"\0" + integer(len(name), 7) + name + integer(len(value), 7) + value


def request(path="/etcdserverpb.KV/Range", **more):
    pairs = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers",
             "content-type": "application/grpc"} | {k.replace("_", "-"): v for k, v in more.items()}
    return b"".join(field(k, v) for k, v in pairs.items() if v is not None)


def message(data, flag=0, length=None):
    return struct.pack(">BI", flag, len(data) if length is None else length) + data


class Connection:
    def __init__(self, settings=b""):
        self.s = socket.create_connection(("127.0.0.1", port), WAIT_S)
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))
        self.buffer = b""

    def send(self, data):
        self.s.sendall(data)

    def frames(self):
        """Until the server closes."""
        while True:
            while len(self.buffer) >= 9 and len(self.buffer) >= 9 + int.from_bytes(self.buffer[:3], "big"):
                n = int.from_bytes(self.buffer[:3], "big")
                kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF
                payload, self.buffer = self.buffer[9:9 + n], self.buffer[9 + n:]
                if kind == SETTINGS and not flags & ACK:
                    self.send(frame(SETTINGS, ACK, 0))
                yield kind, flags, stream, payload
            try:
                data = self.s.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                return
            if not data:
                return
            self.buffer += data

    def ends(self):
        """The server says GOAWAY or closes."""
        for kind, _, _, _ in self.frames():
            if kind == GOAWAY:
                return
        return

    def stream_ends(self, stream):
        """Trailers, or RST_STREAM: what the headers said, without decoding them."""
        for kind, flags, of, payload in self.frames():
            if of == stream and (kind == RST or (kind in (HEADERS, DATA) and flags & END_STREAM)):
                return kind, payload
            if kind == GOAWAY:
                raise SystemExit(f"the whole connection was ended: {payload!r}")
        raise SystemExit("the connection was closed, and the call had no end")


def call(c, stream, body, path="/etcdserverpb.KV/Range", flags=END_STREAM, **more):
    c.send(frame(HEADERS, END_HEADERS, stream, request(path, **more)) + frame(DATA, flags, stream, body))


def alive():
    """A fresh connection: a well-formed read is answered with data."""
    c = Connection()
    call(c, 1, message(b"\x0a\x05acked"))
    for kind, flags, stream, payload in c.frames():
        if stream == 1 and kind == DATA and b"for sure" in payload:
            c.s.close()
            return
        if stream == 1 and (kind == RST or flags & END_STREAM):
            break
    raise SystemExit("the server no longer serves, or the acknowledged key is missing")


def tolerate(f):
    """Sending may fail when the server has closed already."""
    try:
        f()
    except (ConnectionResetError, BrokenPipeError):
        pass


# --- the cases
def not_http2():
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 400, b"\0" * 5000,
                 b"\xff" * 5000, b"hello\n" * 1000, PREFACE[:-1] + b"X"):
        s = socket.create_connection(("127.0.0.1", port), WAIT_S)
        tolerate(lambda: s.sendall(data))
        try:
            while s.recv(65536):
                pass
        except ConnectionResetError:
            pass


def wrong_frames():
    headers = frame(HEADERS, END_HEADERS, 1, request())
    for bad in (frame(DATA, 0, 1, b"x"),  # of a stream that was never opened
                frame(HEADERS, END_HEADERS, 2, request()),  # an even stream
                frame(HEADERS, END_HEADERS, 0, request()),  # stream 0
                frame(SETTINGS, 0, 0, b"12345"), frame(SETTINGS, 0, 1), frame(SETTINGS, ACK, 0, b"123456"),
                frame(PING, 0, 0, b"short"), frame(WINDOW, 0, 0, b"\0\0\0\0"), frame(RST, 0, 0, b"\0\0\0\0"),
                frame(CONTINUATION, END_HEADERS, 1, b""), frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"),
                headers + frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") + frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"),
                frame(DATA, 0, 1, b"", length=0xFFFFFF) + b"x" * 1000,
                frame(HEADERS, 0, 1, request()) + frame(PING, 0, 0, b"12345678")):
        c = Connection()
        tolerate(lambda: c.send(bad))
        c.ends()


def wrong_headers():
    """Each is the end of its stream, not of the connection."""
    c, stream = Connection(), 1
    for more in ({":path": None}, {":method": None}, {":scheme": None}, {"content-type": "text/plain"}, {":method": "GET"},
                 {"grpc-timeout": "soon"}, {"grpc-timeout": "-1S"}, {"grpc-timeout": "99999999999999H"}, {"Upper": "case"},
                 {"grpc-encoding": "snappy"}, {"x-bin": b"\0\x01"}):
        pairs = {":method": "POST", ":scheme": "http", ":path": "/etcdserverpb.KV/Range", ":authority": "x", "te": "trailers",
                 "content-type": "application/grpc"} | more
        block = b"".join(field(k, v) for k, v in pairs.items() if v is not None)
        c.send(frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, message(b"\x0a\x05acked")))
        c.stream_ends(stream)
        stream += 2


def wrong_messages():
    c, stream = Connection(), 1
    for body in (b"", b"\0", b"\0\0\0\0\x05abc", message(b"x", length=0xFFFFFFFF), message(b"\x0a\x05acked", flag=1),
                 message(b"\x0a\x05acked", flag=7), message(b"\xff" * 50), message(b"\x0a\x7fshort"),
                 message(b"\x0a\x05acked") * 2, message(b"\x0a\x05acked") + b"tail"):
        call(c, stream, body)
        c.stream_ends(stream)
        stream += 2


def oversized():
    """Three MiB in one message: distinguished from a value that fits, and the connection lives."""
    c = Connection()
    size = 3 << 20
    c.send(frame(HEADERS, END_HEADERS, 1, request("/etcdserverpb.KV/Put")))
    body, window, done = message(b"\x0a\x01k\x12" + integer_varint(size) + b"v" * size), 65535, False
    frames = c.frames()
    while body and not done:
        n = min(window, 16384, len(body))
        if n > 0:
            c.send(frame(DATA, 0, 1, body[:n]))
            body, window = body[n:], window - n
            continue
        for kind, flags, stream, payload in frames:
            if kind == WINDOW:
                window = min(window + int.from_bytes(payload, "big"), 1 << 20)
                break
            if stream == 1 and (kind == RST or flags & END_STREAM):
                done = True
                break
        else:
            raise SystemExit("the connection was closed")
    if not done:
        c.stream_ends(1)
    call(c, 3, message(b"\x0a\x05acked"))
    c.stream_ends(3)


def integer_varint(v):
    out = b""
    while v >= 128:
        out, v = out + bytes([v % 128 + 128]), v // 128
    return out + bytes([v])


def header_flood():
    """Headers without end, in CONTINUATION frames (CVE-2024-27316 and its like)."""
    c = Connection()
    c.send(frame(HEADERS, 0, 1, request()))
    piece = frame(CONTINUATION, 0, 1, b"".join(field("x%d" % i, "y" * 100) for i in range(100)))

    def flood():
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            c.send(piece)
        raise SystemExit("it takes headers for ever")
    tolerate(flood)


def rapid_reset():
    """Calls that are cancelled at once, again and again (CVE-2023-44487)."""
    c = Connection()
    block = request("/etcdserverpb.Watch/Watch")

    def flood():
        for i in range(20000):
            c.send(frame(HEADERS, END_HEADERS, 2 * i + 1, block) + frame(RST, 0, 2 * i + 1, struct.pack(">I", 8)))
    tolerate(flood)


def stream_flood():
    """More calls at once than a connection may have: those too many are refused."""
    c = Connection()
    block = request("/etcdserverpb.Watch/Watch")

    def flood():
        for i in range(20000):
            c.send(frame(HEADERS, END_HEADERS, 2 * i + 1, block))
    tolerate(flood)


def ping_flood():
    c = Connection()
    c.s.settimeout(0.5)

    def flood():
        for _ in range(20000):
            c.send(frame(PING, 0, 0, b"12345678") * 10 + frame(SETTINGS, 0, 0) * 10)
    try:
        tolerate(flood)
    except TimeoutError:
        pass  # it does not read on before its answers are taken: as good


def deaf():
    """A watch of everything and large reads whose answers nobody takes."""
    c = Connection(struct.pack(">HI", 4, 0))  # windows of nothing
    call(c, 1, message(b"\x0a\x05\x0a\x01\0\x12\x01\0"), "/etcdserverpb.Watch/Watch", flags=0)
    for i in range(50):
        call(c, 3 + 2 * i, message(b"\x0a\x01\0\x12\x01\0"))
    return c


def half_open():
    """Connections that say nothing, or not all of it."""
    held = [socket.create_connection(("127.0.0.1", port), WAIT_S) for _ in range(200)]
    for i, s in enumerate(held):
        s.sendall((PREFACE + frame(SETTINGS, 0, 0))[:i % 34])
    return held


case, port = sys.argv[1], int(sys.argv[2])
kept = globals()[case]()
alive()
