"""The same gRPC calls to kstored and to a real etcd, and what differs between their answers.

A call's answer is its status code, its message text, and the response as text, every field of it (also those that
our .proto files do not know). Only what names a cluster, a member or a term is taken out before comparing: it must be
there, but it differs."""
import difflib
import queue
import sys
import threading
import traceback

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

WAIT_S = 10
MEGABYTES_64 = 64 << 20
OPTIONS = [("grpc.max_receive_message_length", MEGABYTES_64), ("grpc.max_send_message_length", MEGABYTES_64),
           ("grpc.enable_retries", 0)]
TIMED_OUT = "UNAVAILABLE: etcdserver: request timed out"
IDS = ("cluster_id", "member_id", "raft_term")


class Schema:
    """Messages and methods out of a descriptor set."""

    def __init__(self, path):
        files = descriptor_pb2.FileDescriptorSet.FromString(open(path, "rb").read())
        self.pool = descriptor_pool.DescriptorPool()
        for f in files.file:
            self.pool.Add(f)
        self.factory = message_factory.MessageFactory(self.pool)

    def message(self, name):
        return self.factory.GetPrototype(self.pool.FindMessageTypeByName(name))

    def method(self, name):
        """KV.Range -> path, request class, response class; a health check by its whole name."""
        service, method = name.rsplit(".", 1)
        if "." not in service:
            service = "etcdserverpb." + service
        m = self.pool.FindServiceByName(service).methods_by_name[method]
        return (f"/{service}/{method}", self.factory.GetPrototype(m.input_type),
                self.factory.GetPrototype(m.output_type))


def plain(m, ignore=()):
    """The message as text; of fields that cannot be equal on both only the presence is shown (or, with a "-", nothing)."""
    same = type(m)()
    same.CopyFrom(m)
    if same.DESCRIPTOR.fields_by_name.get("header") and same.HasField("header"):
        for name in IDS:
            if getattr(same.header, name):
                setattr(same.header, name, 1)
    for name in ignore:
        if name == "header":
            same.ClearField(name)
            continue
        name, drop = name.lstrip("-"), name.startswith("-")
        head, _, tail = name.partition(".")
        parts = getattr(same, head)
        for part in ([same] if not tail else [parts] if hasattr(parts, "DESCRIPTOR") else parts):
            field = tail or head
            value = getattr(part, field)
            if drop:
                part.ClearField(field)
            elif isinstance(value, (int, float)) and value:
                setattr(part, field, type(value)(1))
            elif isinstance(value, str) and value:
                setattr(part, field, "there")
            elif isinstance(value, bytes) and value:
                setattr(part, field, b"there")
            elif hasattr(value, "append"):
                value[:] = ["there"] * len(value)
    if same.DESCRIPTOR.fields_by_name.get("members"):  # in the order of their ids
        ordered = sorted(same.members, key=str)
        del same.members[:]
        same.members.extend(ordered)
    return text_format.MessageToString(same, print_unknown_fields=True)


class Answer:
    def __init__(self, code, details, message, ignore=()):
        self.code, self.details, self.message = code, details, message
        self.text = f"{code.name}: {details}" if code is not grpc.StatusCode.OK else plain(message, ignore)

    @property
    def ok(self):
        return self.code is grpc.StatusCode.OK


class Differ:
    """What differed in the case that runs."""

    def __init__(self):
        self.calls = 0
        self.found = []

    def compare(self, what, ours, theirs):
        self.calls += 1
        if ours == theirs:
            return
        lines = difflib.unified_diff(theirs.splitlines(), ours.splitlines(), "etcd", "kstored", lineterm="", n=1)
        self.found.append(f"{what}\n" + "\n".join(list(lines)[2:30]))


def short(text, most=400):
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def outcome(call, ignore=()):
    try:
        return Answer(grpc.StatusCode.OK, "", call.result(), ignore)
    except grpc.RpcError as e:
        return Answer(e.code(), e.details(), None)


class Side:
    def __init__(self, address):
        self.address = address
        self.channel = grpc.insecure_channel(address, OPTIONS)

    def start(self, path, data, reply, timeout, metadata, compression):
        call = self.channel.unary_unary(path, None, reply.FromString if reply else None)
        return call.future(data, timeout=timeout, metadata=metadata, compression=compression)


class Both:
    """Both servers."""

    def __init__(self, schema, ours, theirs, differ=None):
        self.schema = schema
        self.sides = (Side(ours), Side(theirs))
        self.differ = differ or Differ()

    def raw(self, path, data, reply=None, what=None, ignore=(), timeout=WAIT_S, metadata=None, compression=None,
            shape=lambda a: a.text):
        """The same bytes to both; etcd's answer."""
        answers = []
        for f in [s.start(path, data, reply, timeout, metadata, compression) for s in self.sides]:
            answers.append(outcome(f, ignore))
        self.differ.compare(what or f"{path} {data[:40]!r}", shape(answers[0]), shape(answers[1]))
        return answers[1]

    def code_only(self, path, data):
        """Bytes that are not a message: the parsers have words of their own."""
        self.raw(path, data, shape=lambda a: a.code.name)

    def ours_only(self, path, data, want):
        """What etcd cannot be asked without harm, and the code that we owe."""
        try:
            self.sides[0].start(path, data, None, WAIT_S, None, None).result()
            got = "OK"
        except grpc.RpcError as e:
            got = e.code().name
        self.differ.compare(f"{path} {data[:40]!r}, ours alone", got, want)

    def calls(self, *several):
        """Several at once: (name, ignore, fields)."""
        texts = []
        for s in self.sides:
            under_way = []
            for name, _, fields in several:
                path, request, reply = self.schema.method(name)
                under_way.append(s.start(path, request(**fields).SerializeToString(), reply, 2 * WAIT_S, None, None))
            texts.append(under_way)
        for (name, ignore, fields), ours, theirs in zip(several, *texts):
            texts = outcome(ours, () if ignore == "late" else ignore).text, outcome(theirs, () if ignore == "late" else ignore).text
            if ignore == "late":
                texts = texts[0], texts[1].replace("UNKNOWN: context deadline exceeded", TIMED_OUT)
            self.differ.compare(f"{name} {short(str(fields))}", *texts)

    def call(self, name, ignore=(), timeout=WAIT_S, metadata=None, compression=None, **fields):
        path, request, reply = self.schema.method(name)
        m = request(**fields)
        what = f"{name} {short(text_format.MessageToString(m, as_one_line=True))}"
        return self.raw(path, m.SerializeToString(), reply, what, ignore, timeout, metadata, compression)

    def each(self, name, fields, ignore=()):
        """A call whose request differs: fields(side)."""
        path, request, reply = self.schema.method(name)
        answers = []
        for s in self.sides:
            f = s.start(path, request(**fields(s)).SerializeToString(), reply, WAIT_S, None, None)
            answers.append(outcome(f, ignore))
        self.differ.compare(f"{name} {short(str(fields(self.sides[1])))}", answers[0].text, answers[1].text)
        return answers[1]

    def put(self, key, value=b"", **fields):
        return self.call("KV.Put", key=key, value=value, **fields)

    def range(self, key, end=b"", **fields):
        return self.call("KV.Range", key=key, range_end=end, **fields)

    def delete(self, key, end=b"", **fields):
        return self.call("KV.DeleteRange", key=key, range_end=end, **fields)

    def txn(self, compare=(), success=(), failure=(), **fields):
        return self.call("KV.Txn", compare=compare, success=success, failure=failure, **fields)

    def revision(self):
        """Of etcd's store."""
        return self.range(b"\0", b"\0", count_only=True, limit=1).message.header.revision

    def level(self):
        """After a case that failed: no keys, no leases and one revision, so that the next is judged for itself."""
        ask = lambda s, name, **fields: self.alone(s, name, **fields)
        for s in self.sides:
            for m in ask(s, "Maintenance.Alarm").alarms:
                ask(s, "Maintenance.Alarm", action=2, alarm=m.alarm, memberID=m.memberID)
            ask(s, "KV.DeleteRange", key=b"\0", range_end=b"\0")
            for lease in ask(s, "Lease.LeaseLeases").leases:
                ask(s, "Lease.LeaseRevoke", ID=lease.ID)
        at = [ask(s, "KV.Range", key=b"\0").header.revision for s in self.sides]
        for s, rev in zip(self.sides, at):
            for _ in range(max(at) + 2 - rev):
                ask(s, "KV.Put", key=b"level", lease=0)

    def alone(self, side, name, **fields):
        """A call to one of them, of which nothing is compared."""
        return self.begin(side, name, **fields).result()

    def begin(self, side, name, **fields):
        path, request, reply = self.schema.method(name)
        return side.start(path, request(**fields).SerializeToString(), reply, WAIT_S, None, None)

    def stream(self, name, **options):
        return Streams(self, name, **options)


class Stream:
    """One stream of one server; a thread gathers what comes."""

    def __init__(self, side, path, reply, timeout, metadata):
        self.requests = queue.SimpleQueue()
        self.answers = queue.SimpleQueue()
        start = side.channel.stream_stream(path, None, reply.FromString)
        self.call = start(iter(self.requests.get, None), timeout=timeout, metadata=metadata)
        threading.Thread(target=self.gather, daemon=True).start()

    def gather(self):
        try:
            for m in self.call:
                self.answers.put(m)
            self.answers.put("OK: ")
        except grpc.RpcError as e:
            self.answers.put(f"{e.code().name}: {e.details()}")

    def next(self, timeout=WAIT_S):
        try:
            return self.answers.get(timeout=timeout)
        except queue.Empty:
            return None


class Streams:
    """The same stream on both servers."""

    def __init__(self, both, name, timeout=None, metadata=None):
        path, self.request, reply = both.schema.method(name)
        self.both, self.name = both, name
        self.pair = [Stream(s, path, reply, timeout, metadata) for s in both.sides]
        self.said = "nothing"

    def send(self, **fields):
        m = self.request(**fields)
        self.said = short(text_format.MessageToString(m, as_one_line=True))
        for s in self.pair:
            s.requests.put(m.SerializeToString())
        return self

    def half_close(self):
        for s in self.pair:
            s.requests.put(None)
        return self

    def cancel(self):
        for s in self.pair:
            s.call.cancel()

    def compare(self, texts, what):
        self.both.differ.compare(f"{self.name}, {what}; last sent: {self.said}", texts[0], texts[1])

    def answer(self, ignore=()):
        """One response; etcd's."""
        got = [s.next() for s in self.pair]
        self.compare([m if isinstance(m, str) or m is None else plain(m, ignore) for m in map(empty, got)], "response")
        return got[1]

    def status(self):
        """The end, and nothing before it."""
        self.compare([said_last(s) for s in self.pair], "end")


def empty(m):
    return "nothing came" if m is None else m


def said_last(stream):
    m = empty(stream.next())
    return m if isinstance(m, str) else "not the end but: " + plain(m)


class Watch(Streams):
    """Watch streams. Events may be cut into responses in more than one way, so they are compared watch by watch and
    event by event; responses without events are compared whole and in order."""

    def __init__(self, both, ignore=(), **options):
        super().__init__(both, "Watch.Watch", **options)
        for s in self.pair:
            s.controls, s.events, s.ignore = [], {}, ignore

    def create(self, key=b"", end=b"", **fields):
        return self.send(create_request=dict(key=key, range_end=end, **fields))

    def created(self, key=b"", end=b"", **fields):
        self.create(key, end, **fields).expect(controls=1)
        return self

    def stop(self, watch_id):
        return self.send(cancel_request=dict(watch_id=watch_id))

    def progress(self):
        return self.send(progress_request={})

    @staticmethod
    def gather(stream, enough):
        """Reads until that is enough, or the end of the stream."""
        while not enough(stream):
            m = stream.next()
            if m is None or isinstance(m, str):
                stream.controls.append(empty(m))
                return
            if m.events:
                stream.events.setdefault(m.watch_id, []).extend(m.events)
            else:
                stream.controls.append(m)

    def expect(self, controls=0, events=0):
        """Reads until as much came from both, and compares it. Events that come before they are waited for are
        compared when they are. Returns etcd's control responses."""
        return self.expect_both(lambda s: len(s.controls) >= controls and sum(map(len, s.events.values())) >= events, events)

    def expect_last(self, last):
        """Reads until each watch of {id: (revision, count)} has seen COUNT events of that revision; compares all."""
        seen = lambda s, i, rev: sum(e.kv.mod_revision == rev for e in s.events.get(i, ()))
        self.expect_both(lambda s: all(seen(s, i, rev) >= count for i, (rev, count) in last.items()), True)

    def expect_both(self, enough, with_events):
        texts = []
        for s in self.pair:
            self.gather(s, enough)
            controls, s.controls = s.controls, []
            lines = [m if isinstance(m, str) else plain(m, s.ignore) for m in controls]
            if with_events:
                lines += [f"watch {i}:\n" + "\n".join(map(text_format.MessageToString, s.events[i])) for i in sorted(s.events)]
                s.events = {}
            texts.append("\n".join(lines))
        self.compare(texts, "responses")
        return controls

    def quiet_after(self, controls=0, events=0):
        """Reads that and is quiet then: progress ends what may come late."""
        self.expect(controls, events)
        self.quiet()

    def quiet(self):
        """Nothing else comes: the answer to a progress request is next. The stream ends with that."""
        self.progress().expect(controls=1)
        self.compare([str(s.events) for s in self.pair], "events that nobody waited for")
        self.cancel()


# Operations of transactions.


def get(key, end=b"", **fields):
    return dict(request_range=dict(key=key, range_end=end, **fields))


def put(key, value=b"v", **fields):
    return dict(request_put=dict(key=key, value=value, **fields))


def delete(key, end=b"", **fields):
    return dict(request_delete_range=dict(key=key, range_end=end, **fields))


def txn(compare=(), success=(), failure=()):
    return dict(request_txn=dict(compare=compare, success=success, failure=failure))


cases = []


def holds(key, end, k):
    """Whether a range holds a key."""
    return k == key if not end else k >= key and (end == b"\0" or k < end)


def case(f):
    cases.append(f)
    return f


def run(both):
    """Every case in its order; TAP."""
    failures = 0
    for i, f in enumerate(cases, 1):
        both.differ.found = []
        trouble = []
        try:
            f(both)
        except Exception:  # pylint: disable=broad-except
            trouble = traceback.format_exc().splitlines()[-8:]
        text = (f.__doc__ or f.__name__).strip()
        if both.differ.found or trouble:
            failures += 1
            print(f"not ok {i} - {text}")
            for d in both.differ.found[:9]:
                print("\n".join("# " + line[:300] for line in d.splitlines()))
            if len(both.differ.found) > 9:
                print(f"# ... and {len(both.differ.found) - 9} more differences")
            print("\n".join("# " + line[:300] for line in trouble), flush=True)
            both.level()
        else:
            print(f"ok {i} - {text}", flush=True)
    print(f"1..{len(cases)}")
    print(f"# {both.differ.calls} answers compared")
    sys.exit(failures > 0)
