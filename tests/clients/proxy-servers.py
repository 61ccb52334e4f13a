#!/usr/bin/python3
"""Servers behind .../proxy/ for tests/clients/proxied.py: one that behaves, the same with TLS, one that does not. They listen on
127.0.0.1, which stands for a pod's address. usage: proxy-servers.py CERTIFICATE KEY; says "PLAIN TLS HOSTILE", their ports."""
import base64
import hashlib
import http.server
import json
import socket
import ssl
import sys
import threading
import time

BIG = bytes(range(256)) * 4096 * 10


class Good(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def answer(self, body, code=200, **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def tell(self):
        """What arrived here."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = {"method": self.command, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()},
                "body": len(body), "sha": hashlib.sha256(body).hexdigest()}
        self.answer(json.dumps(said).encode(), Content_Type="application/json", X_Own="kept", Access_Control_Allow_Origin="*",
                    Connection="X-Hop", X_Hop="1", Set_Cookie="a=b")

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def pieces(self):
        """The second one comes when the test has read the first: another request says so."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.chunk(b"first\n")
        self.server.read.wait(30)
        self.chunk(b"second\n")
        self.chunk(b"")

    def endless(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.server.sent = 0
        try:
            while True:
                self.chunk(bytes(65536))
                self.server.sent += 65536
        except OSError:
            self.server.ended.set()

    def socket(self):
        """A WebSocket's handshake, then an echo in capitals of whatever comes."""
        key = self.headers["Sec-WebSocket-Key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key).digest()).decode())
        self.send_header("X-Protocols", self.headers.get("Sec-WebSocket-Protocol", "none"))
        self.end_headers()
        while data := self.connection.recv(65536):
            self.connection.sendall(data.upper())
        self.close_connection = True

    def handle_any(self):
        path = self.path.split("?")[0]
        if path.startswith("/redirect"):
            self.answer(b"", 302, Location=self.path.split("?to=")[1])
        elif path == "/big":
            self.answer(BIG)
        elif path == "/pieces":
            self.pieces()
        elif path == "/read":
            self.server.read.set()
            self.answer(b"")
        elif path == "/endless":
            self.endless()
        elif path == "/sent":
            self.answer(json.dumps([self.server.sent, self.server.ended.is_set()]).encode())
        elif path == "/socket":
            self.socket()
        elif path == "/status":
            self.answer(b"teapot", 418, Content_Type="text/x-odd")
        elif path == "/empty":
            self.send_response(204)
            self.end_headers()
        else:
            self.tell()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any


def hostile(c):
    """The path says what is sent instead of an answer."""
    with c:
        head = b""
        while b"\r\n\r\n" not in head:
            head += c.recv(65536)
        what = head.split()[1].decode()
        try:
            if what == "/endless-headers":
                c.sendall(b"HTTP/1.1 200 OK\r\n")
                while True:
                    c.sendall(b"X-More: " + b"y" * 1000 + b"\r\n")
            elif what == "/long-header":
                c.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                while True:
                    c.sendall(b"y" * 65536)
            elif what == "/garbage":
                c.sendall(b"\x00\xff not HTTP at all\r\n\r\n" * 100)
            elif what == "/bad-chunks":
                c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzzzz\r\n")
            elif what == "/huge-chunk":
                c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello")
            elif what == "/short":
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
            elif what == "/split":
                c.sendall(b"HTTP/1.1 200 OK\r\nX-A: b\rX-Evil: 1\r\nContent-Length: 2\r\n\r\nok")
            elif what == "/early":
                c.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            elif what == "/interim":
                while True:
                    c.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
            elif what == "/switch":
                c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
                time.sleep(1)
            elif what == "/code":
                c.sendall(b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok")
        except OSError:
            pass


def serve_hostile(server):
    while True:
        threading.Thread(target=hostile, args=(server.accept()[0],), daemon=True).start()


def good(context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Good)
    server.read, server.ended, server.sent = threading.Event(), threading.Event(), 0
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(sys.argv[1], sys.argv[2])
bad = socket.create_server(("127.0.0.1", 0), backlog=64)
print(good(), good(tls), bad.getsockname()[1], flush=True)
serve_hostile(bad)
