"""Bytes of a member's files that change while it is stopped. Every change is detected at the start or while it serves, or
it has no effect: an answer that differs is a failure, whatever is said after it. TAP; see kstored-flips.

kstored-flips.py KSTORED DESCRIPTORS SCRATCH SECONDS CHANGES SEED: ends after CHANGES changes or SECONDS seconds. One change
again: the seed is printed with each failure, and the same seed makes the same changes in the same order."""
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import grpc
from google.protobuf import text_format

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "beside"))
from harness import OPTIONS, Schema  # noqa: E402

KSTORED, DESCRIPTORS, SCRATCH = sys.argv[1:4]
SECONDS, CHANGES, SEED = float(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6])
WORKERS = 4
START_S = 20  # bounds for a machine that is busy with other things
END_S = 20
REMEDY = re.compile(r"--replace|kctl restore|start the newer program|give another --data-dir")
SCHEMA = Schema(DESCRIPTORS)
DEAD = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN)


class Member:
    """One process on a data directory, its clients over a socket beside it."""

    def __init__(self, folder):
        self.folder = folder
        self.log = open(folder + ".log", "w+")
        self.address = folder + ".sock"
        self.channel = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.address)
        self.process = subprocess.Popen(
            [KSTORED, "--name", "one", "--data-dir", folder, "--listen-client-urls", "unix://" + self.address,
             "--advertise-client-urls", "http://127.0.0.1:1"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def listens(self):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(self.address) == 0

    def ready(self):
        """False when the process ended instead."""
        end = time.monotonic() + START_S
        while not self.listens():
            if self.process.poll() is not None:
                return False
            if time.monotonic() > end:
                raise AssertionError(f"no start within {START_S} s")
            time.sleep(0.002)
        self.channel = grpc.insecure_channel("unix:" + self.address, OPTIONS)
        return True

    def call(self, name, timeout=START_S, **fields):
        path, ask, reply = SCHEMA.method(name)
        return self.channel.unary_unary(path, ask.SerializeToString, reply.FromString)(ask(**fields), timeout=timeout)

    def watch(self, rev, until, timeout=START_S):
        """Events from rev to until, or the revision that it was compacted to."""
        path, ask, reply = SCHEMA.method("Watch.Watch")
        more = threading.Event()

        def asks():
            yield ask(create_request=dict(key=b"\0", range_end=b"\0", start_revision=rev, prev_kv=True))
            more.wait()

        stream = self.channel.stream_stream(path, ask.SerializeToString, reply.FromString)(asks(), timeout=timeout)
        events = []
        try:
            for answer in stream:
                events += [text_format.MessageToString(e) for e in answer.events]
                if answer.canceled:
                    return events, answer.compact_revision, True
                if answer.events and answer.events[-1].kv.mod_revision >= until:
                    return events, 0, True
        except grpc.RpcError as e:
            if e.code() not in DEAD:
                raise AssertionError(f"the watch ended with {e.code()}: {e.details()}") from e
        finally:
            more.set()
            stream.cancel()
        return events, 0, False

    def said(self):
        with open(self.folder + ".log") as f:
            return f.read()

    def end(self, how=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(how)
        status = self.process.wait()
        if self.channel:
            self.channel.close()
        self.log.close()
        return status


def plain(m):
    """An answer as bytes that every start gives alike."""
    m.header.raft_term = 0
    if m.DESCRIPTOR.name == "LeaseTimeToLiveResponse":
        m.TTL = 1
        m.keys.sort()
    if m.DESCRIPTOR.name == "LeaseLeasesResponse":
        ids = sorted(x.ID for x in m.leases)
        return repr(ids)
    return m.SerializeToString(deterministic=True)


class Reading:
    """All that clients can ask for: name -> answer; what failed is not in it."""

    def __init__(self, member, revision, compacted, leases, golden=None):
        self.answers, self.failed, self.golden = {}, None, golden
        everything = dict(key=b"\0", range_end=b"\0")
        asked = [("Range", "KV.Range", everything), ("members", "Cluster.MemberList", {}),
                 ("alarms", "Maintenance.Alarm", dict(action=0)), ("leases", "Lease.LeaseLeases", {})]
        asked += [(f"lease {x}", "Lease.LeaseTimeToLive", dict(ID=x, keys=True)) for x in leases]
        asked += [(f"Range at {rev}", "KV.Range", dict(everything, revision=rev))
                  for rev in range(compacted or 1, revision + 1, 7)]
        asked += [("hash", "Maintenance.HashKV", dict(revision=revision))]
        for name, method, fields in asked:
            self.one(name, lambda: plain(member.call(method, **fields)))
        _, floor, whole = member.watch(1, revision)
        if whole:
            self.answers["compacted"] = repr(floor)
        events, _, whole = member.watch((compacted or 0) + 1, revision)
        self.events = events
        if not whole:
            self.failed = self.failed or "watch"

    def one(self, name, ask):
        try:
            self.answers[name] = ask()
            assert not self.golden or self.answers[name] == self.golden.answers[name], f"silently something else: {name}"
        except grpc.RpcError as e:
            if e.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise AssertionError(f"{name}: no answer") from e
            self.failed = f"{name}: {e.code().name} {e.details()}"

    def differs(self, other):
        """What is there in both and not the same."""
        for name, answer in self.answers.items():
            if name in other.answers and answer != other.answers[name]:
                return name
        n = min(len(self.events), len(other.events))
        return "events" if self.events[:n] != other.events[:n] else None


# ---- data

def fill(member, seed):
    """Of every kind: puts, deletes, transactions, leases with keys, large values, a compaction."""
    r = random.Random(seed)
    leases = [int(member.call("Lease.LeaseGrant", TTL=36000, ID=x).ID) for x in (101, 102, 103)]
    compacted = 0
    for i in range(120):
        key = b"key/%03d" % r.randrange(60)
        kind = r.random()
        if kind < 0.6:
            member.call("KV.Put", key=key, value=r.randbytes(r.choice((0, 5, 60, 700))),
                        lease=r.choice(leases + [0, 0, 0]))
        elif kind < 0.75:
            member.call("KV.DeleteRange", key=key, range_end=key[:-1] + b"9")
        elif kind < 0.9:
            member.call("KV.Txn", success=[dict(request_put=dict(key=b"txn/%d" % j, value=b"%d" % i)) for j in range(3)])
        elif i % 3 == 0:
            member.call("KV.Put", key=b"large/%d" % (i % 4), value=r.randbytes(100000))
        if i == 70:
            compacted = int(member.call("KV.Range", key=b"x").header.revision) - 30
            member.call("KV.Compact", revision=compacted, physical=True)
    member.call("Lease.LeaseRevoke", ID=leases.pop())
    return compacted, leases


def fill_segments(member):
    """More than the log puts into one file; its history is compacted."""
    for _ in range(180):
        answer = member.call("KV.Put", key=b"long", value=b"v" * 100000)
    member.call("KV.Compact", revision=answer.header.revision, physical=True)


def make_store(name, seed, stop, wait_s, segments=False):
    """A data directory: filled, some of it brought to the database, some only in the log, then stopped."""
    folder = os.path.join(SCRATCH, name)
    member = Member(folder)
    assert member.ready(), member.said()
    if segments:
        fill_segments(member)
    compacted, leases = fill(member, seed)
    time.sleep(wait_s)  # applied entries are written to the database half a second later
    for i in range(20):
        member.call("KV.Put", key=b"last/%02d" % i, value=b"v%d" % i, lease=leases[0] if i % 5 == 0 else 0)
    revision = int(member.call("KV.Range", key=b"x").header.revision)
    member.end(stop)
    return dict(folder=folder, revision=revision, compacted=compacted, leases=leases, name=name)


def make_interrupted(store, name):
    """The same, killed while SQLite brought its log into the database: every second page of it is there."""
    folder = os.path.join(SCRATCH, name)
    copy(store, folder)
    with open(os.path.join(folder, "kstored.db-wal"), "rb") as wal, open(os.path.join(folder, "kstored.db"), "r+b") as db:
        page = int.from_bytes(wal.read(32)[8:12], "big")
        newest = {}
        while len(frame := wal.read(24 + page)) == 24 + page:
            newest[int.from_bytes(frame[:4], "big")] = frame[24:]
        assert len(newest) > 10
        for number in sorted(newest)[::2]:
            db.seek((number - 1) * page)
            db.write(newest[number])
    return dict(store, folder=folder, name=name)


# ---- changes

def sparse_pages(path):
    """The pages that hold anything."""
    with open(path, "rb") as f:
        data = f.read()
    return len(data), [at for at in range(0, len(data), 4096) if data[at:at + 4096].strip(b"\0")]


class Change:
    """One change of one file, drawn from a seed."""

    def __init__(self, store, seed):
        r = random.Random(seed)
        self.store, self.seed = store, seed
        names = sorted(store["files"])
        weights = [6 if n == "kstored.db" or n.startswith("kstored.log.0") else 2 for n in names]
        self.file = r.choices(names, weights)[0]
        size, pages = store["files"][self.file]
        kind = r.random()
        self.kind = ("bit" if kind < 0.7 else "sector" if kind < 0.8 else "page" if kind < 0.88 else
                     "bytes" if kind < 0.93 else "cut" if kind < 0.97 else "gone")
        if size == 0:
            self.kind = "gone" if kind > 0.5 else "longer"
            self.at = 0
            return
        if r.random() < 0.9 and pages:
            page = r.choice(pages)
            self.at = page + (r.randrange(4096) if r.random() < 0.6 else r.randrange(160))
        else:
            self.at = r.randrange(size)
        self.at = min(self.at, size - 1)
        self.bit = r.randrange(8)
        self.junk = r.randbytes(r.randrange(2, 64))

    def __str__(self):
        return f"{self.kind} at {self.at} of {self.store['name']}/{self.file} (seed {self.seed})"

    def do(self, folder):
        path = os.path.join(folder, self.file)
        if self.kind == "gone":
            os.unlink(path)
            return
        with open(path, "r+b") as f:
            if self.kind == "cut":
                f.truncate(self.at)
            elif self.kind == "longer":
                f.write(b"x")
            elif self.kind == "bit":
                f.seek(self.at)
                byte = f.read(1)[0]
                f.seek(self.at)
                f.write(bytes([byte ^ 1 << self.bit]))
            elif self.kind == "bytes":
                f.seek(self.at)
                f.write(self.junk)
            else:
                size = 512 if self.kind == "sector" else 4096
                f.seek(self.at // size * size)
                f.write(bytes(size))


def copy(store, to):
    shutil.rmtree(to, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", "--sparse=always", store["folder"], to], check=True)


def read_all(member, store):
    return Reading(member, store["revision"], store["compacted"], store["leases"], store.get("golden"))


def check_end(member, status, folder, why):
    """It ended by itself: with a word, and a note, and not by accident."""
    said = member.said()
    # 78: the unit does not start it again
    assert status in (1, 78), f"it ended with status {status} ({why}): {said[-600:]}"
    assert REMEDY.search(said), f"it ended without a remedy ({why}): {said[-600:]}"


def ends_damaged(member, folder, why):
    try:
        status = member.process.wait(END_S)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it continues to serve after {why}") from None
    check_end(member, status, folder, why)
    assert os.path.exists(os.path.join(folder, "kstored.damaged")), f"no note is left of the damage ({why})"
    member.end()
    again = Member(folder)
    assert not again.ready(), "it starts again after damage was found"
    check_end(again, again.end(), folder, "the second start")
    return "found"


def serve(member, store, folder, deeper):
    reading = read_all(member, store)
    wrong = reading.differs(store["golden"])
    assert not wrong, f"silently something else: {wrong}"
    if reading.failed:
        return ends_damaged(member, folder, reading.failed)
    assert not store["golden"].differs(reading)
    # It is sound: it continues, and what it writes stays.
    try:
        member.call("KV.Put", key=b"after", value=b"it")
        if not deeper:
            return "harmless"
        status = member.end(signal.SIGTERM)
    except grpc.RpcError as e:
        return ends_damaged(member, folder, f"a put: {e.code().name}")
    if status != 0:
        check_end(member, status, folder, "a stop")
        return "found"
    again = Member(folder)
    try:
        if not again.ready():
            check_end(again, again.end(), folder, "a later start")
            return "found"
        try:
            assert again.call("KV.Range", key=b"after").kvs[0].value == b"it"
            old = again.call("KV.Range", key=b"\0", range_end=b"\0", revision=store["revision"])
        except grpc.RpcError as e:
            return ends_damaged(again, folder, f"a later read: {e.code().name}")
        have, want = SCHEMA.message("etcdserverpb.RangeResponse")(), SCHEMA.message("etcdserverpb.RangeResponse")()
        have.ParseFromString(plain(old))
        want.ParseFromString(store["golden"].answers["Range"])
        assert list(have.kvs) == list(want.kvs), "after another start something else is there"
    finally:
        again.end()
    return "harmless"


def try_change(change, folder, deeper):
    """How it ended: refused, found or harmless."""
    copy(change.store, folder)
    change.do(folder)
    member = Member(folder)
    try:
        if not member.ready():
            check_end(member, member.end(), folder, "the start")
            return "refused"
        return serve(member, change.store, folder, deeper)
    finally:
        member.end()


# ---- all of it

class Tally:
    def __init__(self):
        self.lock = threading.Lock()
        self.next, self.counts, self.failures = 0, {}, []
        self.end = time.monotonic() + SECONDS

    def take(self):
        with self.lock:
            if self.next >= CHANGES or time.monotonic() > self.end or len(self.failures) >= 5:
                return None
            self.next += 1
            return self.next - 1

    def note(self, change, how):
        with self.lock:
            key = (re.sub(r"0[0-9a-f]{15}|-[0-9a-f]{16}", "*", change.file), how)
            self.counts[key] = self.counts.get(key, 0) + 1


def work(tally, stores, number):
    folder = os.path.join(SCRATCH, f"try{number}")
    while (i := tally.take()) is not None:
        change = Change(stores[i % len(stores)], SEED + i)
        try:
            tally.note(change, try_change(change, folder, i % 8 == 0))
        except Exception as e:  # the end of a test is reported, whatever it was
            with tally.lock:
                tally.failures.append(f"{change}: {type(e).__name__} {e}")
            tally.note(change, "FAILED")


def learn(store):
    """What is in its files, and what its answers are."""
    store["files"] = {n: sparse_pages(os.path.join(store["folder"], n)) for n in os.listdir(store["folder"])}
    answers = []
    for i in range(2):  # the same twice, or the comparison means nothing
        folder = os.path.join(SCRATCH, f"learn{i}")
        copy(store, folder)
        member = Member(folder)
        assert member.ready(), member.said()
        answers.append(read_all(member, store))
        member.end()
        assert not answers[-1].failed, answers[-1].failed
    assert not answers[0].differs(answers[1]), answers[0].differs(answers[1])
    assert len(answers[0].events) > 25 and answers[0].answers["compacted"] != "0"
    store["golden"] = answers[0]


def report(tally, stores):
    seen = {name for name, _ in tally.counts}
    for (name, how), n in sorted(tally.counts.items()):
        print(f"# {name:24} {how:9} {n}")
    for failure in tally.failures:
        print("# " + failure.replace("\n", "\n#   ")[:3000])
    print(f"{'not ' if tally.failures else ''}ok 1 - {tally.next} changes of files: each is reported or without effect, seed {SEED}")
    every = {re.sub(r"0[0-9a-f]{15}", "*", n) for s in stores for n in s["files"]}
    missed = sorted(every - seen)
    reported = sum(n for (_, how), n in tally.counts.items() if how in ("refused", "found"))
    enough = (tally.next < 50 or not missed) and tally.next >= min(CHANGES, 50) and reported > tally.next // 5
    print(f"{'' if enough else 'not '}ok 2 - every kind of file was changed, {reported} changes were reported")
    if not enough:
        print(f"# {tally.next} changes; not changed: {missed}")
    print("1..2")
    return 0 if enough and not tally.failures else 1


def main():
    stores = [make_store("killed", 1, signal.SIGKILL, 0.8), make_store("stopped", 2, signal.SIGTERM, 0)]
    stores.append(make_interrupted(stores[0], "interrupted"))
    if SECONDS > 300:
        stores.append(make_store("segments", 3, signal.SIGKILL, 0.8, segments=True))
    for store in stores:
        learn(store)
    tally = Tally()
    threads = [threading.Thread(target=work, args=(tally, stores, i)) for i in range(WORKERS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return report(tally, stores)


if __name__ == "__main__":
    sys.exit(main())
