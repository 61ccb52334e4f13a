"""Below gRPC: requests written as HTTP/2 headers and data. Compared are the HTTP status, the gRPC status and its
words, and how the stream ended."""
import socket
import struct
import time
import urllib.parse

import h2.config
import h2.connection
import h2.errors
import h2.events

from harness import WAIT_S, case

RANGE = "/etcdserverpb.KV/Range"
WATCH = "/etcdserverpb.Watch/Watch"
KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"
ASK_A = b"\x0a\x01a"  # RangeRequest of the key a


def message(data, flag=0):
    return struct.pack(">BI", flag, len(data)) + data


class Raw:
    """A connection to one of them; what a stream got is a line of text."""

    def __init__(self, address):
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=WAIT_S)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False))
        self.h2.initiate_connection()
        self.got = {}
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def start(self, path, headers=(), drop=(), **given):
        stream = self.h2.get_next_available_stream_id()
        all_headers = [(":method", given.get("method", "POST")), (":scheme", "http"), (":path", path),
                       (":authority", "localhost"), ("te", "trailers"), ("content-type", given.get("kind", "application/grpc")), *headers]
        self.h2.send_headers(stream, [h for h in all_headers if h[0] not in drop], end_stream=given.get("end", False))
        self.got[stream] = dict(headers={}, size=0, end=None)
        self.flush()
        return stream

    def send(self, stream, data, end=False):
        try:
            self.h2.send_data(stream, data, end_stream=end)
        except h2.exceptions.StreamClosedError:
            pass
        self.flush()

    def reset(self, stream):
        self.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self.flush()
        self.got[stream]["end"] = "we gave it up"

    def take(self, event):
        got = self.got.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ConnectionTerminated):
            for g in self.got.values():
                g["end"] = g["end"] or "the connection ended"
        if got is None:
            return
        if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
            got["headers"].update(dict(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            got["size"] += len(event.data)
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            got["end"] = got["end"] or "ended"
        elif isinstance(event, h2.events.StreamReset):
            got["end"] = got["end"] or f"reset {event.error_code!s}"

    def until(self, enough):
        end = time.monotonic() + WAIT_S
        while not enough() and time.monotonic() < end:
            try:
                data = self.socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                for g in self.got.values():
                    g["end"] = g["end"] or "the connection broke"
                return
            for event in self.h2.receive_data(data):
                self.take(event)
            self.flush()

    def ended(self, stream):
        got = self.got[stream]
        self.until(lambda: got["end"])
        h = got["headers"]
        words = urllib.parse.unquote(h.get("grpc-message", ""))
        return (f"HTTP {h.get(':status')}, {h.get('content-type')}, gRPC {h.get('grpc-status')}: {words}; "
                f"{'with' if got['size'] else 'without'} data, {got['end']}")


def compared(b, what, talk):
    """talk(connection) -> text, on its own connection to each."""
    b.differ.compare(what, *(talk(Raw(s.address)) for s in b.sides))


def asked(path, data, headers=(), drop=(), end=True, **given):
    def talk(c):
        stream = c.start(path, headers, drop, end=data is None and end, **given)
        if data is not None:
            c.send(stream, data, end)
        return c.ended(stream)
    return talk


@case
def framing(b):
    """messages in frames: none, two, half, with flags, in pieces"""
    b.put(b"a", b"1")
    good = message(ASK_A)
    compared(b, "one message", asked(RANGE, good))
    compared(b, "an empty message", asked(RANGE, message(b"")))
    compared(b, "compressed, with no word of how", asked(RANGE, message(ASK_A, 1)))
    compared(b, "neither compressed nor not", asked(RANGE, message(ASK_A, 2)))
    compared(b, "compressed as identity", asked(RANGE, message(ASK_A, 1), (("grpc-encoding", "identity"),)))
    compared(b, "compressed in a way nobody knows", asked(RANGE, message(ASK_A, 1), (("grpc-encoding", "snow"),)))
    compared(b, "not compressed, though it could be", asked(RANGE, good, (("grpc-encoding", "snow"),)))
    compared(b, "a longer one than is allowed", asked(RANGE, message(b"x" * 16)[:1] + b"\x7f\xff\xff\xff" + b"x" * 16, end=False))

    def in_pieces(c):
        stream = c.start(RANGE)
        for i in range(len(good)):
            c.send(stream, good[i:i + 1], i == len(good) - 1)
        return c.ended(stream)
    compared(b, "byte by byte", in_pieces)


@case
def headers(b):
    """headers: methods, types, deadlines that make no sense"""
    good = message(ASK_A)
    compared(b, "a named kind of message", asked(RANGE, good, kind="application/grpc+proto"))
    for value in ("1S", "100m", "10000000u", "99999999H"):
        compared(b, f"grpc-timeout {value}", asked(RANGE, good, (("grpc-timeout", value),)))
    compared(b, "without te", asked(RANGE, good, drop=("te",)))
    compared(b, "many headers", asked(RANGE, good, tuple((f"x-{i}", "y" * 50) for i in range(50))))


@case
def deadlines(b):
    """deadlines that pass on a watch and on a keep-alive"""
    create = message(b"\x0a\x03\x0a\x01a")  # WatchRequest: create, the key a

    def late(path, data, end):
        """3.4 calls a stream's end UNKNOWN when its own handler is the first to see it, with the same words."""
        talk = asked(path, data, (("grpc-timeout", "200m"),), end=end)
        return lambda c: talk(c).replace("gRPC 2: context deadline", "gRPC 4: context deadline")

    compared(b, "a watch of 200 ms", late(WATCH, create, False))
    compared(b, "a watch of 200 ms that said it all", late(WATCH, create, True))
    compared(b, "a keep-alive of 200 ms", late(KEEP_ALIVE, message(b"\x08\x07"), False))
    compared(b, "a request of 100 ms that does not come", asked(RANGE, b"\0\0", (("grpc-timeout", "100m"),), end=False))


@case
def given_up(b):
    """streams reset in the middle: of a message, of a watch, before the answer; the connection continues"""
    good = message(ASK_A)
    create = message(b"\x0a\x03\x0a\x01a")

    def talk(c):
        first = c.start(RANGE)
        c.send(first, good[:3])
        c.reset(first)
        second = c.start(WATCH)
        c.send(second, create)
        c.until(lambda: c.got[second]["size"])
        c.reset(second)
        for _ in range(50):
            third = c.start(RANGE)
            c.send(third, good, True)
            c.reset(third)
        last = c.start(RANGE)
        c.send(last, good, True)
        return c.ended(last)
    compared(b, "after many that were given up", talk)


@case
def together(b):
    """a hundred calls at once on one connection"""
    def talk(c):
        streams = [c.start(RANGE) for _ in range(100)]
        for s in reversed(streams):
            c.send(s, message(ASK_A), True)
        return "\n".join(c.ended(s) for s in streams)
    compared(b, "a hundred", talk)
