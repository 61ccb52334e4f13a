"""More keys and changes than fit into one batch of anything."""
from harness import Watch, case, delete, put

KEYS = 3000
EACH = 120  # operations of a transaction
FROM, TO = b"bulk/", b"bulk0"


def key(i):
    return b"bulk/%05d" % i


def fill(b, value):
    for first in range(0, KEYS, EACH):
        b.txn(success=[put(key(i), value + b" %d" % i) for i in range(first, min(first + EACH, KEYS))])


@case
def pages(b):
    """thousands of keys: whole, in pages, backwards, filtered, at a revision of the past"""
    start = b.revision()
    fill(b, b"first")
    fill(b, b"second")
    now = b.revision()
    b.range(FROM, TO)
    b.range(FROM, TO, revision=start + 10)
    b.range(FROM, TO, sort_order=2, sort_target=0, limit=1500)
    b.range(FROM, TO, min_mod_revision=now - 3)
    b.range(FROM, TO, max_mod_revision=now - 20, limit=700)
    b.range(FROM, TO, count_only=True)
    at = FROM
    while True:
        m = b.range(at, TO, limit=499, revision=now, keys_only=True).message
        if not m.more:
            break
        at = m.kvs[-1].key + b"\0"


@case
def history(b):
    """thousands of changes: a watch from the past gets them all, and so does one with values before"""
    now = b.revision()
    for i in range(0, KEYS, EACH):
        b.delete(key(i), key(i + EACH // 2))
    deleted = sum(min(i + EACH // 2, KEYS) - i for i in range(0, KEYS, EACH))
    w = Watch(b)
    w.create(FROM, TO, start_revision=now - KEYS // EACH + 1).expect(controls=1, events=KEYS + deleted)
    w.create(FROM, TO, start_revision=now - KEYS // EACH + 1, prev_kv=True).expect(controls=1, events=KEYS + deleted)
    w.create(key(7), start_revision=now - 2 * KEYS // EACH + 1).expect(controls=1, events=3)
    b.txn(success=[delete(FROM, TO, prev_kv=True)])
    w.expect(events=2 * (KEYS - deleted))
    w.quiet()


@case
def compacted(b):
    """thousands of keys: compacted away, physically"""
    fill(b, b"third")
    now = b.revision()
    b.delete(key(10), key(2000))
    b.call("KV.Compact", revision=now, physical=True)
    b.range(FROM, TO, revision=now)
    b.range(FROM, TO, revision=now - 1)
    b.call("KV.Compact", revision=now + 1, physical=True)
    b.range(FROM, TO)
    b.call("Maintenance.Defragment")
    b.range(FROM, TO, limit=20)
    b.delete(FROM, TO)


@case
def leased(b):
    """a thousand keys on one lease are deleted with it, in one revision"""
    b.call("Lease.LeaseGrant", ID=31, TTL=1000)
    w = Watch(b)
    w.created(b"leased/", b"leased0")
    for first in range(0, 1000, 100):
        b.txn(success=[put(b"leased/%04d" % i, lease=31) for i in range(first, first + 100)])
    for i in range(0, 1000, 50):
        b.put(b"leased/%04d" % i, b"stays")
    w.expect(events=1020)
    b.call("Lease.LeaseRevoke", ID=31)
    w.expect(events=980)
    b.range(b"leased/", b"leased0")
    b.delete(b"leased/", b"leased0")
    w.expect(events=20)
    w.quiet()
