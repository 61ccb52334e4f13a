#!/usr/bin/python3
"""Clients that misbehave on the store's port: kstored-web.py HOST PORT [--tls CERT KEY CA] CASE. Ends with 0 when the store did what
it should."""
import resource, socket, ssl, struct, sys, time

args = sys.argv[1:]
host, port = args.pop(0), int(args.pop(0))
context = None
if args[0] == "--tls":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(args[3])
    context.load_cert_chain(args[1], args[2])
    args = args[4:]
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"


def connect(alpn=None, timeout=10):
    s = socket.create_connection((host, port), timeout)
    if not context:
        return s
    c = context
    c.set_alpn_protocols(alpn or []) if alpn else None
    return c.wrap_socket(s, server_hostname=host)


def rest(s):
    """All that comes until the other side ends."""
    out = b""  # a side that does not end is a timeout
    try:
        while True:
            b = s.recv(65536)
            if not b:
                break
            out += b
    except (ConnectionResetError, ssl.SSLError):
        pass
    return out


def answer(s):
    """One answer with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        b = s.recv(65536)
        assert b, f"it ended after {data!r}"
        data += b
    head, body = data.split(b"\r\n\r\n", 1)
    size = int([l.split(b":")[1] for l in head.split(b"\r\n") if l.lower().startswith(b"content-length")][0])
    while len(body) < size:
        b = s.recv(65536)
        assert b, "it ended inside of a body"
        body += b
    return head.split(b"\r\n")[0], body[:size], body[size:]


def health(timeout=5):
    s = connect(timeout=timeout)
    s.sendall(GET % b"/health")
    status, body, _ = answer(s)
    assert status == b"HTTP/1.1 200 OK" and body == b'{"health":"true","reason":""}', (status, body)
    s.close()


def frame(s):
    head = b""
    while len(head) < 9:
        b = s.recv(9 - len(head))
        assert b, f"it ended after {head!r}"
        head += b
    return head[3]


def case_slow():
    """Three hundred that never finish a request: others are served meanwhile, and the slow ones give way."""
    slow = []
    for i in range(300):
        s = connect()
        s.sendall(b"GET /health HT")
        slow.append(s)
    for _ in range(20):
        began = time.monotonic()
        health()
        assert time.monotonic() - began < 1, "a client that behaves had to wait"
    gone = 0
    for s in slow:
        s.settimeout(0.01)
        try:
            gone += s.recv(1) == b""
        except (socket.timeout, TimeoutError):
            pass
        except (ConnectionResetError, ssl.SSLError):
            gone += 1
    assert gone >= 300 - 64, f"only {gone} of the slow ones gave way"


def case_drip():
    """A byte at a time: a whole request, and the preface of HTTP/2."""
    s = connect()
    for i in GET % b"/health":
        s.sendall(bytes([i]))
        time.sleep(0.002)
    assert answer(s)[0] == b"HTTP/1.1 200 OK"
    s = connect()
    for i in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS:
        s.sendall(bytes([i]))
        time.sleep(0.002)
    assert frame(s) == 4, "no SETTINGS"
    s = connect()
    s.sendall(b"PR")
    time.sleep(0.05)
    s.sendall(b"OPFIND /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer(s)[0].startswith(b"HTTP/1.1 405"), "a method that begins like HTTP/2"


def case_garbage():
    for junk in (b"\0" * 100000, b"\xff\xfe\n\n\n", b"GET\r\n\r\n", b"GET /health HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\0\1\0\1\xfc\x03\x03" * 50,
                 b"PRI * HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + SETTINGS, b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                 b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", b"POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
                 b"GET /health?" + b"a=b&" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"):
        s = connect(timeout=8)
        try:
            s.sendall(junk)
            s.shutdown(socket.SHUT_WR)
        except (ConnectionError, OSError):
            pass
        try:
            said = rest(s)
        except TimeoutError:
            sys.exit(f"the connection stays after {junk[:40]}")
        assert b"200 OK" not in said, (junk[:40], said[:200])
    health()


def case_huge():
    """Headers without end: the connection ends before a megabyte is taken."""
    s = connect()
    s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
    sent = 0
    try:
        while sent < 64 << 20:
            s.sendall(b"X-%d: " % sent + b"y" * 1000 + b"\r\n")
            sent += 1000
    except (ConnectionError, OSError):
        pass
    assert sent < 16 << 20, f"{sent} bytes of headers were taken"
    said = rest(s)
    assert not said or b" 4" in said.split(b"\r\n")[0], said[:100]
    s = connect()
    s.sendall(b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
    assert answer(s)[0].startswith(b"HTTP/1.1 413")
    health()


def case_pipeline():
    """A hundred requests at once are answered in order; a client that does not read costs a bounded buffer and ends."""
    s = connect()
    s.sendall(b"".join(GET % (b"/version" if i % 2 else b"/health") for i in range(100)))
    data = b""
    while data.count(b"HTTP/1.1 200 OK") < 100 or not data.endswith(b"}"):
        b = s.recv(65536)
        assert b, f"it ended after {data.count(b'HTTP/1.1 200 OK')} answers"
        data += b
    bodies = [p.split(b"\r\n\r\n")[1] for p in data.split(b"HTTP/1.1 ")[1:]]
    assert all((b"health" if i % 2 == 0 else b"etcdserver") in b for i, b in enumerate(bodies))
    greedy = [connect(timeout=0.5) for _ in range(30)]
    for s in greedy:
        try:
            for _ in range(20):
                s.sendall(GET % b"/metrics" * 500)
        except (socket.timeout, TimeoutError, ssl.SSLError, ConnectionError):
            pass
    for _ in range(20):
        began = time.monotonic()
        health()
        assert time.monotonic() - began < 1, "a client that behaves had to wait"


def case_leave():
    """A client that disconnects in the middle."""
    for _ in range(300):
        s = connect()
        s.sendall(GET % b"/health")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    health()


def case_alpn():
    """TLS without ALPN: HTTP/1.1 and HTTP/2 both; with it, what was agreed on."""
    health()
    s = connect()
    assert s.selected_alpn_protocol() is None
    s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS)
    assert frame(s) == 4, "no SETTINGS"
    s = connect(alpn=["http/1.1"])
    assert s.selected_alpn_protocol() == "http/1.1"
    s.sendall(GET % b"/health")
    assert answer(s)[0] == b"HTTP/1.1 200 OK"
    s = connect(alpn=["h2", "http/1.1"])
    assert s.selected_alpn_protocol() == "h2"
    s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS)
    assert frame(s) == 4, "no SETTINGS"


globals()["case_" + args[0]]()
