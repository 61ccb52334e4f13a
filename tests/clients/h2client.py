"""HTTP/2 frame by frame (RFC 9113), so that a test can say what no library lets it say. Only the compression of headers
is a library's (hpack). Reading is bounded: what does not come within TIMEOUT fails the test."""
import socket
import ssl
import struct
import time

import hpack

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PROTOCOL_ERROR, REFUSED_STREAM, CANCEL, CALM = 1, 7, 8, 11
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TIMEOUT = 60


class Stream:
    """What came of one answer."""

    def __init__(self):
        self.headers, self.body, self.ended, self.reset = {}, b"", False, None

    @property
    def code(self):
        return int(self.headers.get(":status", 0))

    @property
    def over(self):
        return self.ended or self.reset is not None

    def lines(self):
        return self.body.split(b"\n")[:-1]


class Connection:
    """context: with certificates, or without; window: of each stream; reading: announce that bytes were read."""

    def __init__(self, address, context, window=1 << 20, reading=True):
        context.set_alpn_protocols(["h2", "http/1.1"])
        raw = socket.create_connection(address, timeout=TIMEOUT)
        self.socket = context.wrap_socket(raw, server_hostname=address[0])
        context.set_alpn_protocols(["http/1.1"])
        assert self.socket.selected_alpn_protocol() == "h2"
        self.streams, self.settings, self.goaway, self.closed = {}, {}, None, False
        self.encoder, self.decoder, self.buffer, self.next = hpack.Encoder(), hpack.Decoder(), b"", 1
        self.pongs, self.reading = 0, reading
        self.address = address
        self.send(PREFACE + self.pack(SETTINGS, 0, 0, struct.pack(">HI", 4, window)))
        if reading:
            self.frame(WINDOW, 0, 0, struct.pack(">I", 1 << 28))

    @staticmethod
    def pack(kind, flags, stream, payload=b""):
        return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload

    def send(self, data):
        """False: the other side has ended the connection."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def frame(self, kind, flags=0, stream=0, payload=b""):
        return self.send(self.pack(kind, flags, stream, payload))

    def head(self, path, method="GET", headers=(), drop=()):
        names = [(":method", method), (":scheme", "https"), (":authority", "%s:%s" % self.address), (":path", path)]
        return [h for h in names if h[0] not in drop] + list(headers)

    def begin(self, path, method="GET", headers=(), end=True, drop=()):
        """Sends a request's head; the stream's number."""
        stream, self.next = self.next, self.next + 2
        self.streams[stream] = Stream()
        block = self.encoder.encode(self.head(path, method, headers, drop))
        self.frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)
        return stream

    def ask(self, path, method="GET", body=None, headers=(), timeout=TIMEOUT):
        stream = self.begin(path, method, headers, end=body is None)
        if body is not None:
            for i in range(0, len(body), 16384):
                self.frame(DATA, 0, stream, body[i:i + 16384])
            self.frame(DATA, END_STREAM, stream)
        return self.wait(lambda: self.streams[stream].over, self.streams[stream], timeout)

    def read(self, left):
        """One frame, or the end. False: not within `left` seconds."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            self.socket.settimeout(max(left, 0.001))
            try:
                more = self.socket.recv(65536)
            except socket.timeout:
                return False
            except (ssl.SSLError, OSError):
                more = b""
            if not more:
                self.closed = True
                return True
            self.buffer += more
        size = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
        payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
        self.take(kind, flags, stream, payload)
        return True

    def take(self, kind, flags, stream, payload):
        s = self.streams.get(stream)
        if kind == HEADERS:
            assert flags & END_HEADERS
            headers = self.decoder.decode(payload)
            if s:
                s.headers.update(headers)
        elif kind == DATA and s:
            s.body += payload
            if self.reading and payload:
                self.frame(WINDOW, 0, stream, struct.pack(">I", len(payload)))
        elif kind == RST and s:
            s.reset = struct.unpack(">I", payload)[0]
        elif kind == SETTINGS and not flags & ACK:
            for i in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[i:i + 6])
                self.settings[name] = value
            self.frame(SETTINGS, ACK)
        elif kind == PING and flags & ACK:
            self.pongs += 1
        elif kind == GOAWAY:
            self.goaway = struct.unpack(">II", payload[:8])
        if s and kind in (DATA, HEADERS) and flags & END_STREAM:
            s.ended = True

    def wait(self, until, result=None, timeout=TIMEOUT):
        end = time.monotonic() + timeout
        while not until():
            assert not self.closed, "the server closed the connection"
            left = end - time.monotonic()
            assert left > 0 and self.read(left), "nothing within the time"
        return result

    def wait_end(self, timeout=TIMEOUT):
        """The server ends the connection: the code of its GOAWAY."""
        end = time.monotonic() + timeout
        while not self.closed:
            assert self.read(end - time.monotonic()), "the server did not end the connection"
        return self.goaway[1] if self.goaway else None

    def close(self):
        self.socket.close()
