"""HTTP/2 of kapid, case by case; run by tests/clients/http2 with a kubeconfig, kapid's pid and the URL of a kapid that
serves HTTP/1.1 alone. Speaks TAP."""
import gzip
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading

from h2client import (CALM, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, PROTOCOL_ERROR,
                      REFUSED_STREAM, RST, SETTINGS, Stream, WINDOW, CANCEL, Connection)
from wireclient import a, case, Client, finish, host, is_, nobody, port, tls

PID, PLAIN = int(sys.argv[2]), sys.argv[3]
WHERE = (host, int(port))
CALMED = (CALM, None)  # a server that closes while more comes: the reason may be lost on the way
CM = "/api/v1/namespaces/default/configmaps"


def connect(context=tls, **options):
    return Connection(WHERE, context, **options)


def cm(name, **data):
    return json.dumps({"metadata": {"name": name}, "data": data}).encode()


def served():
    """A client that does nothing wrong is served."""
    is_(Client().get("/version"), 200)
    c = connect()
    assert c.ask("/version").code == 200
    c.close()


def memory():
    with open(f"/proc/{PID}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:")) // 1024


def alpn(offer, to=WHERE):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if offer:
        context.set_alpn_protocols(offer)
    with context.wrap_socket(socket.create_connection(to, timeout=60)) as s:
        return s.selected_alpn_protocol()


@case
def negotiation():
    """the client's TLS hello decides: HTTP/2 where it is offered, HTTP/1.1 else"""
    assert alpn(["h2", "http/1.1"]) == "h2" and alpn(["http/1.1", "h2"]) == "h2"
    assert alpn(["http/1.1"]) == "http/1.1" and alpn([]) is None


@case
def hello_in_pieces():
    """a hello that comes byte by byte is understood; a connection that says something else is ended"""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    s = context.wrap_bio(incoming, outgoing)
    with socket.create_connection(WHERE, timeout=60) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                s.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    raw.sendall(bytes([byte]))
                incoming.write(raw.recv(65536))
        assert s.selected_alpn_protocol() == "h2"
    with socket.create_connection(WHERE, timeout=60) as raw:
        raw.sendall(b"GET /version HTTP/1.1\r\n\r\n")
        try:
            while raw.recv(1000):
                pass
        except ConnectionError:
            pass


@case
def stock_client():
    """curl --http2 creates, reads and deletes; ETag, HEAD and refusals are what they are by HTTP/1.1"""
    config = os.environ["PEM"]
    curl = ["curl", "-s", "--max-time", "60", "--http2", "--cacert", config + "/ca", "--cert", config + "/cert", "--key", config + "/key"]
    url = "https://%s:%s" % WHERE

    def run(*args, data=None):
        return subprocess.run(curl + list(args), input=data, capture_output=True, check=True).stdout.decode()

    said = run("-w", " %{http_version} %{http_code}", "-H", "Content-Type: application/json", "--data-binary", "@-",
               url + CM, data=cm("curl", a="1"))
    assert said.endswith(" 2 201") and '"name":"curl"' in said, said
    assert '"a":"1"' in run(url + CM + "/curl")
    head = run("-I", url + CM + "/curl")
    assert head.startswith("HTTP/2 200") and "content-length: " in head and "audit-id: " in head, head
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    etag = [line.split(" ", 1)[1].strip() for line in run("-D", "-", "-o", "/dev/null", "-H", "Accept: " + aggregated,
                                                          url + "/apis").splitlines() if line.startswith("etag:")]
    assert len(etag) == 1
    assert run("-w", "%{http_code}", "-H", "Accept: " + aggregated, "-H", "If-None-Match: " + etag[0], url + "/apis") == "304"
    assert run("-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-", "-H", "Content-Type: application/json",
               url + CM, data=b" " * (5 << 20)) == "413"
    assert run("-X", "DELETE", "-o", "/dev/null", "-w", "%{http_code}", url + CM + "/curl") == "200"


@case
def compressed():
    """a list above 128 KB comes compressed, piece by piece, and is whole; another request does not wait for it"""
    is_(a.post(CM, json.loads(cm("zip", x="".join(hex(i) for i in range(120000))))), 201)
    plain = connect().ask(CM)
    c = connect(window=2000, reading=False)
    c.frame(WINDOW, 0, 0, struct.pack(">I", 1 << 28))
    s = c.begin(CM, headers=[("accept-encoding", "gzip")])
    c.wait(lambda: len(c.streams[s].body) == 2000)
    assert c.ask("/api").code == 200
    c.frame(WINDOW, 0, s, struct.pack(">I", 1 << 28))
    c.wait(lambda: c.streams[s].over)
    assert c.streams[s].headers["content-encoding"] == "gzip" and len(c.streams[s].body) < len(plain.body)
    assert json.loads(gzip.decompress(c.streams[s].body))["items"] == json.loads(plain.body)["items"]
    is_(a.delete(CM + "/zip"), 200)


@case
def strangers():
    """without a certificate: 401, also for a body that nobody reads; the connection is used on"""
    c = connect(nobody)
    assert c.ask("/version").code == 200
    assert c.ask(CM).code == 401
    assert c.ask(CM, "POST", b"x" * 50000).code == 401
    c.ask(CM, "POST", b"x" * 500000)  # it may be cut; others on the connection are not
    assert c.ask("/version").code == 200


@case
def concurrent():
    """a watch and a hundred requests share one connection, and events come between them"""
    c = connect()
    watch = c.begin(CM + "?watch=1&labelSelector=t%3Dconcurrent")
    c.wait(lambda: c.streams[watch].code == 200)
    asked = [c.begin(CM) for _ in range(100)]
    body = json.dumps({"metadata": {"name": "concurrent", "labels": {"t": "concurrent"}}}).encode()
    assert c.ask(CM, "POST", body).code == 201
    c.wait(lambda: all(c.streams[s].over for s in asked))
    assert all(c.streams[s].code == 200 and json.loads(c.streams[s].body)["kind"] == "ConfigMapList" for s in asked)
    c.wait(lambda: len(c.streams[watch].lines()) == 1)
    assert c.ask(CM + "/concurrent", "DELETE").code == 200
    c.wait(lambda: len(c.streams[watch].lines()) == 2)
    assert [json.loads(e)["type"] for e in c.streams[watch].lines()] == ["ADDED", "DELETED"]
    c.frame(RST, 0, watch, struct.pack(">I", CANCEL))
    assert c.ask("/version").code == 200


@case
def streams_bounded():
    """250 watches on one connection, and no more; one ends, and there is room"""
    c = connect()
    watches = [c.begin(CM + "?watch=1") for _ in range(250)]
    c.wait(lambda: all(c.streams[s].code == 200 for s in watches))
    assert c.settings[3] == 250
    c.frame(RST, 0, watches[0], struct.pack(">I", CANCEL))
    assert c.ask("/version").code == 200
    watches.append(c.begin(CM + "?watch=1"))
    more = c.begin("/version")
    try:
        c.wait(lambda: c.streams[more].over)
        assert c.streams[more].reset == REFUSED_STREAM
    except AssertionError:
        assert c.closed and c.streams[more].code == 0
    served()


@case
def upgrades():
    """an exec by HTTP/2 is refused in the API's words: an upgrade needs HTTP/1.1"""
    reply = connect().ask("/api/v1/namespaces/default/pods/none/exec?command=ls")
    assert reply.code in (400, 404) and json.loads(reply.body)["kind"] == "Status"


@case
def malformed():
    """requests that HTTP/2 calls malformed end their stream, and nothing else"""
    c = connect()
    for headers, drop in (([("Upper", "case")], ()), ([("connection", "close")], ()), ([("transfer-encoding", "chunked")], ()),
                          ([], (":path",)), ([], (":scheme",)), ([(":unknown", "x")], ()), ([("x", "y"), (":path", "/b")], ()),
                          ([("content-length", "5")], ())):
        s = c.begin("/version", headers=headers, drop=drop)
        c.wait(lambda: c.streams[s].over)  # pylint: disable=cell-var-from-loop
        assert c.streams[s].reset == PROTOCOL_ERROR, (headers, drop, c.streams[s].code)
    assert c.ask("/version").code == 200
    assert c.ask("no-slash").reset == PROTOCOL_ERROR
    assert c.ask("/version", headers=[("x-%d" % i, "y" * 1000) for i in range(14)]).code == 200


@case
def head_bounded():
    """a head of more than 32 KB, or 256 headers, is refused: 431"""
    c = connect()
    block = c.encoder.encode(c.head("/version", headers=[("x-%d" % i, "y" * 3000) for i in range(15)]))
    pieces = [block[i:i + 16000] for i in range(0, len(block), 16000)]
    c.streams[1], c.next = Stream(), 3
    c.frame(HEADERS, END_STREAM, 1, pieces[0])
    for i, piece in enumerate(pieces[1:]):
        c.frame(CONTINUATION, END_HEADERS if i == len(pieces) - 2 else 0, 1, piece)
    c.wait(lambda: c.streams[1].over)
    assert c.streams[1].code == 431, c.streams[1].code
    assert c.ask("/version", headers=[("x-%d" % i, "y") for i in range(300)]).code == 431
    assert c.ask("/version").code == 200


def flood(make, frames=60000):
    """Sends as much as the server takes; the code of its GOAWAY, and how many frames it took."""
    c = connect()
    assert c.ask("/version").code == 200
    done = threading.Event()
    sent = [0]

    def send():
        while sent[0] < frames and not done.is_set() and c.send(b"".join(make(c) for _ in range(100))):
            sent[0] += 100
    t = threading.Thread(target=send)
    t.start()
    try:
        code = c.wait_end()
    finally:
        done.set()
        c.socket.close()
        t.join()
    served()
    return code, sent[0]


def rapid(c):
    s, c.next = c.next, c.next + 2
    block = c.encoder.encode(c.head(CM))
    return c.pack(HEADERS, END_HEADERS | END_STREAM, s, block) + c.pack(RST, 0, s, struct.pack(">I", CANCEL))


@case
def rapid_reset():
    """requests that are reset at once (CVE-2023-44487) end the connection with ENHANCE_YOUR_CALM"""
    code, sent = flood(rapid)
    assert code in CALMED and sent < 20000, (code, sent)


@case
def provoked_resets():
    """so do faults that make the server reset them (CVE-2025-8671)"""
    def provoke(c):
        s, c.next = c.next, c.next + 2
        block = c.encoder.encode(c.head(CM + "?watch=1"))
        return c.pack(HEADERS, END_HEADERS | END_STREAM, s, block) + c.pack(WINDOW, 0, s, struct.pack(">I", 0))
    code, sent = flood(provoke)
    assert code in CALMED + (PROTOCOL_ERROR,) and sent < 20000, (code, sent)


@case
def frame_floods():
    """so do pings, settings, priorities and empty data without end"""
    for kind, flags, stream, payload in ((PING, 0, 0, b"12345678"), (SETTINGS, 0, 0, b""), (PRIORITY, 0, 1, b"\0\0\0\0\x10")):
        code, sent = flood(lambda c: c.pack(kind, flags, stream, payload))  # pylint: disable=cell-var-from-loop
        assert code in CALMED and sent < 20000, (kind, code, sent)

    def empty(c):
        if c.next < 5:
            c.begin(CM, "POST", end=False)
            c.next = 5
            return b""
        return c.pack(DATA, 0, 3, b"")
    code, sent = flood(empty)
    assert code in CALMED and sent < 20000, (code, sent)


@case
def continuation_flood():
    """a head without an end, in CONTINUATION frames, ends the connection"""
    def more(c):
        if c.next == 3:
            c.next = 5
            return c.pack(HEADERS, END_STREAM, 3, c.encoder.encode(c.head("/version")))
        return c.pack(CONTINUATION, 0, 3, b"\0\1x\x7f\x81\x01" + b"y" * 256)
    code, sent = flood(more)
    assert code != 0 and sent < 20000, (code, sent)


@case
def head_bomb():
    """a head that is small on the wire and huge in memory is refused, and leaves no memory behind"""
    before = memory()
    for _ in range(5):
        c = connect()
        name = c.encoder.encode([("x-bomb", "y" * 3500)])
        for stream in range(1, 60, 2):
            c.streams[stream] = Stream()
            block = c.encoder.encode(c.head("/version")) + (name if stream == 1 else b"") + b"\xbe" * 12000
            c.frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
        try:
            c.wait(lambda: all(s.over for s in c.streams.values()))  # pylint: disable=cell-var-from-loop
            assert all(s.code != 200 for s in c.streams.values())
        except AssertionError:
            assert c.closed
        c.close()
    served()
    assert memory() - before < 64, (before, memory())


@case
def slow_reader():
    """a watcher that reads late gets each event, in order; the others of its connection do not wait"""
    c = connect(window=1000, reading=False)
    c.frame(WINDOW, 0, 0, struct.pack(">I", 1 << 28))
    watch = c.begin(CM + "?watch=1&fieldSelector=metadata.name%3Dslow")
    c.wait(lambda: c.streams[watch].code == 200)
    is_(a.post(CM, json.loads(cm("slow", n="0", x="y" * 5000))), 201)
    for n in range(1, 60):
        is_(a.merge(CM + "/slow", {"data": {"n": str(n)}}), 200)
    c.wait(lambda: len(c.streams[watch].body) == 1000)
    assert c.ask("/api").code == 200
    c.frame(WINDOW, 0, watch, struct.pack(">I", 1 << 28))
    c.wait(lambda: len(c.streams[watch].lines()) == 60)
    assert [json.loads(e)["object"]["data"]["n"] for e in c.streams[watch].lines()] == [str(n) for n in range(60)]
    is_(a.delete(CM + "/slow"), 200)


@case
def too_slow_reader():
    """a watcher that never reads loses its stream, not its connection, when the events that it missed are gone"""
    c = connect(window=1000, reading=False)
    c.frame(WINDOW, 0, 0, struct.pack(">I", 1 << 28))
    watch = c.begin(CM + "?watch=1")
    c.wait(lambda: c.streams[watch].code == 200)
    is_(a.post(CM, json.loads(cm("big"))), 201)
    other = Client()
    for n in range(40):
        is_(other.merge(CM + "/big", {"data": {"x": str(n) + "y" * 900000}}), 200)
        if n % 10 == 9 and c.streams[watch].over:
            break
        while c.read(0):
            pass
    c.wait(lambda: c.streams[watch].over)
    assert c.streams[watch].reset is not None
    assert c.ask("/version").code == 200
    is_(a.delete(CM + "/big"), 200)


@case
def switched_off():
    """--disable-http2-serving: HTTP/1.1, whatever the client offers"""
    name, number = PLAIN.split("//")[1].split(":")
    assert alpn(["h2", "http/1.1"], (name, int(number))) == "http/1.1"


@case
def counted():
    """/metrics counts the connections"""
    c = connect()
    text = c.ask("/metrics").body.decode()
    assert "keelson_http2_connections 1\n" in text, [line for line in text.splitlines() if "http2" in line]


@case
def goes_away():
    """SIGTERM: clients learn by GOAWAY that they should go elsewhere, what is under way is not cut by it"""
    c = connect()
    watch = c.begin(CM + "?watch=1")
    c.wait(lambda: c.streams[watch].code == 200)
    os.kill(PID, signal.SIGTERM)
    c.wait(lambda: c.goaway is not None)
    assert c.goaway in ((2**31 - 1, 0), (watch, 0))  # the notice, or both at once
    c.wait(lambda: c.goaway == (watch, 0))
    assert c.wait_end() == 0


finish()
