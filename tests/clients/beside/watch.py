"""Watches, case by case."""
from harness import Watch, case, delete, put, txn

FROM = b"\0"


@case
def from_now(b):
    """watch: what happens from now on, keys and ranges"""
    w = Watch(b)
    for key, end in ((b"w/a", b""), (b"w/", b"w0"), (b"w/b", FROM), (b"", b""), (b"", FROM), (b"w/a", b"w/a\0")):
        w.created(key, end)
    b.put(b"w/a", b"1")
    w.expect(events=4)
    b.put(b"w/b", b"1")
    w.expect(events=3)
    b.delete(b"w/a")
    b.delete(b"w/a")
    w.expect(events=4)
    b.put(b"\0", b"lowest")
    w.expect(events=2)
    b.txn(success=[put(b"w/a"), put(b"w/c"), delete(b"w/b")])
    w.expect(events=4 + 3 + 3)
    w.quiet()


@case
def from_before(b):
    """watch: from old revisions, to the present and beyond"""
    start = b.revision()
    for i in range(50):
        b.put(b"h/%d" % (i % 3), b"%d" % i)
    b.delete(b"h/", b"h0")
    for rev in (start - 1, start, start + 1, start + 20, start + 51):
        w = Watch(b)
        w.created(b"h/", b"h0", start_revision=rev)
        w.expect(events=53 - max(rev - start - 1, 0) if rev < start + 51 else 3)
        b.put(b"elsewhere")
        w.quiet()
    w = Watch(b)
    w.created(b"h/1", start_revision=start)
    w.expect(events=18)
    b.put(b"h/1", b"new")
    w.expect(events=1)
    w.quiet()


@case
def from_after(b):
    """watch: from a revision that is yet to come"""
    w = Watch(b)
    now = b.revision()
    w.created(b"f", start_revision=now + 3)
    w.created(b"f", start_revision=now + 1)
    w.created(b"f", start_revision=(1 << 63) - 1)
    for i in range(4):
        b.put(b"f", b"%d" % i)
    w.quiet_after(events=2 + 4)
    # Not from a negative one: there etcd loses what happens until it next looks. We take it for "now".


@case
def meanwhile(b):
    """watch: from an old revision while new writes arrive"""
    start = b.revision()
    for i in range(100):
        b.put(b"m/%d" % i, b"x" * 100)
    w = Watch(b, ignore=("header.revision",))
    for i in range(5):
        w.create(b"m/", b"m0", start_revision=start + 1 + 10 * i, prev_kv=i % 2 == 1)
        for k in range(20):
            b.put(b"m/%d" % k, b"%d" % i)
    w.expect(controls=5, events=sum(200 - 10 * i for i in range(5)))
    w.quiet()


@case
def before_values(b):
    """watch: the values before, of old and of new changes"""
    start = b.revision()
    b.put(b"p", b"1")
    b.put(b"p", b"2")
    b.delete(b"p")
    b.put(b"p", b"3")
    w = Watch(b)
    w.created(b"p", prev_kv=True, start_revision=start + 1).expect(events=4)
    w.created(b"p", prev_kv=True, start_revision=start + 3).expect(events=2)
    b.put(b"p", b"4")
    b.delete(b"p")
    w.expect(events=4)
    b.txn(success=[put(b"p", b"5"), put(b"p2", b"5")])
    w.expect(events=2)
    w.quiet()


@case
def filters(b):
    """watch: without puts, without deletions, without both"""
    start = b.revision()
    w = Watch(b)
    for some in ([0], [1], [0, 1], [0, 0], [7]):
        w.created(b"x/", b"x0", filters=some)
    b.put(b"x/a", b"1")
    b.delete(b"x/a")
    b.txn(success=[put(b"x/a"), put(b"x/b")])
    b.delete(b"x/", b"x0")
    w.expect(events=3 + 3 + 3 + 6)
    for some in ([0], [1], [0, 1]):
        w.created(b"x/", b"x0", filters=some, start_revision=start)
    w.expect(events=6)
    w.quiet()


@case
def ids(b):
    """watch: ids that are asked for, taken, freed, negative"""
    w = Watch(b)
    w.created(b"i", watch_id=2)
    for _ in range(4):
        w.created(b"i")
    w.created(b"i", watch_id=2)
    w.created(b"i", watch_id=1)
    w.created(b"i", watch_id=(1 << 63) - 1)
    w.created(b"i", watch_id=-7)
    w.created(b"i", watch_id=-1)
    w.stop(1).expect(controls=1)
    w.created(b"i", watch_id=1)
    w.stop(0).expect(controls=1)
    w.created(b"i")
    w.stop(99).stop(-7).expect(controls=1)
    w.stop(-1).expect(controls=1)
    b.put(b"i", b"x")
    w.quiet_after(events=6)


@case
def stops(b):
    """watch: after a cancellation nothing comes; twice is once"""
    w = Watch(b)
    w.created(b"s")
    w.created(b"s")
    b.put(b"s", b"1")
    w.expect(events=2)
    w.stop(0).expect(controls=1)
    w.stop(0).stop(5)
    b.put(b"s", b"2")
    w.expect(events=1)
    w.stop(1).expect(controls=1)
    b.put(b"s", b"3")
    w.quiet()


@case
def refusals(b):
    """watch: ranges that hold nothing"""
    w = Watch(b)
    for key, end in ((b"b", b"a"), (b"b", b"b"), (b"", b""), (b"\0", b"\0"), (b"a", b"\0\0"), (b"", b"\0\0"), (b"b", b"\0")):
        w.created(key, end)
        w.created(key, end, watch_id=50)
        w.stop(50)
    w.send()
    w.quiet_after(controls=4)


@case
def compacted(b):
    """watch: from compacted revisions; the stream continues"""
    for i in range(10):
        b.put(b"c", b"%d" % i)
    now = b.revision()
    w = Watch(b)
    w.created(b"c", start_revision=now - 8).expect(events=9)
    b.call("KV.Compact", revision=now - 3)
    w.create(b"c", start_revision=now - 4).expect(controls=2)
    w.create(b"c", start_revision=1, watch_id=77, prev_kv=True).expect(controls=2)
    w.created(b"c", start_revision=now - 3, prev_kv=True).expect(events=4)
    w.created(b"c", start_revision=now - 2, prev_kv=True).expect(events=3)
    w.create(b"none", start_revision=2).expect(controls=2)
    b.put(b"c", b"on")
    w.expect(events=3)
    # The id 77 is not asked for again: etcd keeps ids of watches that it ended itself, we give them back.
    w.quiet()


@case
def progress(b):
    """watch: progress on request, with and without watches"""
    w = Watch(b)
    w.progress().expect(controls=1)
    w.created(b"g")
    w.progress().expect(controls=1)
    b.put(b"elsewhere")
    w.progress().expect(controls=1)
    b.put(b"g")
    w.expect(events=1)
    w.progress().progress().expect(controls=2)
    w.created(b"g", progress_notify=True)
    w.quiet()


@case
def half_closed(b):
    """watch: a client that has half-closed still gets events"""
    w = Watch(b)
    w.created(b"hc").half_close()
    b.put(b"hc", b"1")
    w.expect(events=1)
    b.put(b"hc", b"2")
    w.expect(events=1)
    w.cancel()


@case
def fragments(b):
    """watch: one revision larger than a message is cut into fragments, if asked"""
    big = b"x" * (440 * 1024)
    for _ in range(2):
        b.txn(success=[put(b"big/%d" % i, big) for i in range(3)])
    now = b.revision()
    for fragment in (True, False):
        w = Watch(b)
        w.created(b"big/", b"big0", prev_kv=True, fragment=fragment, start_revision=now)
        shapes = []
        for s in w.pair:
            shape = []
            while sum(n for n, _ in shape) < 3:
                m = s.next()
                shape.append((len(m.events), m.fragment))
            shapes.append(str(shape))
        w.compare(shapes, "events and flag of each response")
        w.quiet()
    b.delete(b"big/", b"big0")


@case
def leader_required(b):
    """watch: a stream that requires a leader"""
    w = Watch(b, metadata=(("hasleader", "true"),))
    w.created(b"q")
    b.put(b"q", b"1", metadata=(("hasleader", "true"),))
    w.expect(events=1)
    w.quiet()


@case
def many(b):
    """watch: two hundred watches on a stream, and one change for all"""
    w = Watch(b)
    for i in range(200):
        w.create(b"many" if i % 2 else b"m", b"" if i % 2 else b"n")
    w.expect(controls=200)
    b.txn(success=[put(b"many", b"1"), txn(success=[put(b"many2", b"1")])])
    w.expect(events=100 + 200)
    w.quiet()
