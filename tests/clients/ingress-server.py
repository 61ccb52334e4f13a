#!/usr/bin/env python3
# Backends and load for the tests of Ingresses.
#   serve NAME ADDRESS:PORT [tls CERT KEY]   answers with its name, the path and what the proxy says about the client;
#                                            ends on SIGTERM, after the requests in progress
#   load URL HOST N THREADS [PAUSE [FILE]]   N requests; prints how many failed, and the names of those that answered;
#                                            PAUSE: seconds between the requests of a thread; FILE: requests continue
#                                            until it exists, for at most LOAD_SECONDS; the first answer makes FILE.http (or .https)
#   socket ADDRESS:PORT HOST PATH            asks for a WebSocket and prints what comes back for "ping"
import collections
import http.client
import http.server
import itertools
import json
import os
import signal
import socket
import ssl
import sys
import threading
import time
import urllib.parse

LOAD_SECONDS = 120


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        n = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(n)
        if self.headers.get("Upgrade") == "websocket":
            self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")  # of RFC 6455's example key
            self.wfile.write(self.rfile.read(4))
            self.close_connection = True
            return
        names = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP", "Forwarded", "Host"]
        body = json.dumps({"name": self.server.name, "path": self.path, "method": self.command,
                           **{k: self.headers.get_all(k) for k in names}}).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 256
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        pass  # the proxy closes idle connections with a reset


def serve(name, where, *tls):
    address, port = where.rsplit(":", 1)
    server = Server((address, int(port)), Handler)
    server.name = name
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls[1], tls[2])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    Handler.timeout = 5
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)
    server.socket.close()


def load(url, host, count, threads, pause=0, until=None):
    where = urllib.parse.urlsplit(url)
    names, failures, lock = collections.Counter(), [], threading.Lock()
    end = time.monotonic() + LOAD_SECONDS
    wanted = lambda turn: turn < int(count) or (until and not os.path.exists(until) and time.monotonic() < end)
    turns = itertools.takewhile(wanted, itertools.count())
    context = ssl._create_unverified_context()

    def connect():
        if where.scheme == "http":
            return http.client.HTTPConnection(where.hostname, where.port, timeout=20)
        return http.client.HTTPSConnection(where.hostname, where.port, timeout=20, context=context)

    def run():
        # A connection that the proxy has closed after an answer is made again, as http.client does; one that breaks
        # within a request is a failure.
        connection = connect()
        while True:
            with lock:
                turn = next(turns, None)
            if turn is None:
                return
            time.sleep(float(pause))
            try:
                connection.request("GET", where.path or "/", headers={"Host": host})
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"status {answer.status}")
                with lock:
                    if until and not names:
                        open(f"{until}.{where.scheme}", "w").close()
                    names[json.loads(body)["name"]] += 1
            except Exception as e:
                with lock:
                    failures.append(f"request {turn}: {type(e).__name__} {e}")
                connection.close()
                connection = connect()

    workers = [threading.Thread(target=run) for _ in range(int(threads))]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    print(f"{len(failures)} failed of {len(failures) + names.total()};", " ".join(f"{k}={v}" for k, v in sorted(names.items())))
    for text in failures[:10]:
        print(text)
    return 1 if failures else 0


def websocket(where, host, path):
    address, port = where.rsplit(":", 1)
    s = socket.create_connection((address, int(port)), 10)
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
    got = b""
    while b"\r\n\r\n" not in got:
        got += s.recv(4096)
    s.sendall(b"ping")
    print(got.split(b"\r\n")[0].decode(), s.recv(4).decode())


if __name__ == "__main__":
    sys.exit({"serve": serve, "load": load, "socket": websocket}[sys.argv[1]](*sys.argv[2:]))
