"""Calls made at random, from seeds that are always the same: every case is a few hundred calls to both servers, and
a difference is printed with its call, so that it can be repeated. Keys, values, revisions and leases are drawn from
few, so that calls meet each other's traces; edges (empty, lowest, highest, negative, future, compacted) come often.
BESIDE_SEEDS=1000-1099 looks further than the seeds that are always tried."""
import os
import random

from harness import Watch, case, holds

KEYS = [b"a", b"a\0", b"a/1", b"a/2", b"a/3", b"b", b"b/1", b"b/2", b"c", b"\0", b"\xff", b"\xff\xff"]
ENDS = [b"\0", b"a", b"a0", b"b", b"b0", b"c", b"c\0", b"\xff", b"\xff\xff\xff", b"\0\0"]
LEASES = [501, 502, 503, -504]
VALUES = [b"", b"1", b"2", b"10", b"\0", b"\xff\xfe", b"some words", b"x" * 300]
FAR = (1 << 63) - 1


class Maker:
    """Requests as dicts; what it knows of the servers it learned from answers."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.now = self.compacted = 0

    def maybe(self, probability):
        return self.r.random() < probability

    def some(self, fields):
        """Of {name: (probability, make)} what chance picks."""
        return {k: make() for k, (p, make) in fields.items() if self.maybe(p)}

    def key(self):
        if self.maybe(0.01):
            return self.r.choice((b"", b"k" * 3000))
        return self.r.choice(KEYS)

    def end(self):
        if self.maybe(0.4):
            return b""
        return self.r.choice(ENDS) if self.maybe(0.8) else self.key()

    def value(self):
        return self.r.choice(VALUES)

    def lease(self):
        if self.maybe(0.6):
            return 0
        return self.r.choice(LEASES) if self.maybe(0.9) else self.r.choice((1, -1, FAR, -FAR - 1))

    def revision(self):
        kind = self.r.random()
        if kind < 0.5:
            return 0
        if kind < 0.9:
            return self.r.randint(max(self.compacted - 2, 1), self.now + 1)
        return self.r.choice((-1, 1, self.now, self.now + 1, self.now + 2, FAR, -FAR - 1))

    def bound(self):
        return self.r.choice((-1, 1, self.now, self.now + 1)) if self.maybe(0.2) else self.r.randint(1, self.now + 1)

    def range(self):
        yes = lambda: True
        fields = self.some({
            "range_end": (0.8, self.end), "revision": (0.5, self.revision),
            "limit": (0.4, lambda: self.r.choice((0, 1, 2, 3, 5, 100, -1, FAR))),
            "sort_order": (0.3, lambda: self.r.randrange(3)), "sort_target": (0.3, lambda: self.r.randrange(5)),
            "serializable": (0.3, yes), "keys_only": (0.2, yes), "count_only": (0.15, yes),
            "min_mod_revision": (0.1, self.bound), "max_mod_revision": (0.1, self.bound),
            "min_create_revision": (0.1, self.bound), "max_create_revision": (0.1, self.bound)})
        return dict(fields, key=self.key())

    def put(self):
        yes = lambda: True
        fields = self.some({"value": (0.9, self.value), "lease": (0.4, self.lease), "prev_kv": (0.4, yes)})
        if self.maybe(0.15):
            fields["ignore_value"] = True
            if self.maybe(0.9):
                fields.pop("value", 0)
        if self.maybe(0.15):
            fields["ignore_lease"] = True
            if self.maybe(0.9):
                fields.pop("lease", 0)
        return dict(fields, key=self.key())

    def delete(self):
        fields = self.some({"range_end": (0.5, self.end), "prev_kv": (0.5, lambda: True)})
        return dict(fields, key=self.key())

    def compare(self):
        operands = {"version": lambda: self.r.randint(-1, 4), "create_revision": self.bound, "mod_revision": self.bound,
                    "value": self.value, "lease": self.lease}
        target = self.r.randrange(5)
        operand = list(operands)[target if self.maybe(0.95) else self.r.randrange(5)]
        fields = self.some({"range_end": (0.3, self.end)})
        if self.maybe(0.95):
            fields[operand] = operands[operand]()
        return dict(fields, key=self.key(), target=target, result=self.r.randrange(4))

    def op(self, depth):
        kind = self.r.random()
        if kind < 0.4:
            return dict(request_put=self.put())
        if kind < 0.65:
            return dict(request_range=self.range())
        if kind < 0.8:
            return dict(request_delete_range=self.delete())
        if kind < 0.99 and depth < 4:
            return dict(request_txn=self.txn(depth + 1))
        return {}

    def ops(self, depth):
        return [self.op(depth) for _ in range(self.r.choice((0, 1, 1, 2, 2, 3, 5)))]

    def txn(self, depth=0):
        return dict(compare=[self.compare() for _ in range(self.r.choice((0, 0, 1, 1, 2)))],
                    success=self.ops(depth), failure=self.ops(depth))

    def learn(self, answer):
        """The revision that etcd said last."""
        if answer.ok and answer.message.header.revision:
            self.now = answer.message.header.revision

    def step(self, b):
        """One call; its answer is judged by the differ."""
        kind = self.r.random()
        if kind < 0.25:
            self.learn(b.call("KV.Range", **self.range()))
        elif kind < 0.5:
            self.learn(b.call("KV.Put", **self.put()))
        elif kind < 0.6:
            self.learn(b.call("KV.DeleteRange", **self.delete()))
        elif kind < 0.92:
            self.learn(b.call("KV.Txn", **self.txn()))
        elif kind < 0.95:
            rev = self.revision() or 1
            if b.call("KV.Compact", revision=rev, physical=self.maybe(0.5)).ok:
                self.compacted = rev
        elif kind < 0.975:
            lease = self.r.choice(LEASES)
            b.call("Lease.LeaseGrant", ID=lease, TTL=self.r.choice((100, 1000, 9000000000)))
        elif kind < 0.985:
            b.call("Lease.LeaseRevoke", ID=self.r.choice(LEASES))
        else:
            b.call("Lease.LeaseTimeToLive", ID=self.r.choice(LEASES), ignore=("TTL",))


def walk(seed, calls):
    def steps(b):
        b.level()
        m = Maker(seed)
        m.now = b.revision()
        for _ in range(calls):
            m.step(b)
        b.range(b"\0", b"\0")
    steps.__doc__ = f"{calls} calls from seed {seed}"
    return steps


first, last = map(int, os.environ.get("BESIDE_SEEDS", "1-8").split("-"))
for number in range(first, last + 1):
    case(walk(number, 200))


def watched(seed):
    """The events that watches of every kind get from a walk: watches from before it and from inside it."""
    def steps(b):
        b.level()
        m = Maker(seed)
        start = m.now = b.revision()
        w = Watch(b, ignore=("header.revision",))
        kinds = [m.some({"range_end": (0.8, m.end), "prev_kv": (0.5, lambda: True),
                         "filters": (0.2, lambda: [m.r.randrange(2)])}) for _ in range(12)]
        kinds = [dict(k, key=m.r.choice(KEYS)) for k in kinds]
        for k in kinds:
            w.send(create_request=k)
        ids = [c.watch_id for c in w.expect(controls=len(kinds))]
        walk_on(m, b, 60)
        for k in kinds:
            w.send(create_request=dict(k, start_revision=m.r.randint(start + 1, max(m.now, start + 1))))
        walk_on(m, b, 60)
        ids += [c.watch_id for c in w.expect(controls=len(kinds))]
        # Every watch gets a last change, which shows that it has sent all events before it.
        last = b.txn(success=[dict(request_put=dict(key=k, value=b"the end")) for k in KEYS]).message.header.revision
        gone = [kv.key for kv in b.delete(b"\0", b"\0", prev_kv=True).message.prev_kvs]
        finals = {}
        for i, k in zip(ids, kinds + kinds):
            rev, keys = (last, KEYS) if k.get("filters") == [1] else (last + 1, gone)
            finals[i] = rev, sum(holds(k["key"], k.get("range_end", b""), key) for key in keys)
        finals.pop(-1, None)
        w.expect_last(finals)
        w.quiet()
    steps.__doc__ = f"watches of a walk from seed {seed}"
    return steps


def walk_on(m, b, calls):
    for _ in range(calls):
        rnd = m.r.random()
        if rnd < 0.5:
            m.learn(b.call("KV.Put", **m.put()))
        elif rnd < 0.7:
            m.learn(b.call("KV.DeleteRange", **m.delete()))
        else:
            m.learn(b.call("KV.Txn", **m.txn()))


for number in range(first, first + (last - first) // 3 + 1):
    case(watched(number))
