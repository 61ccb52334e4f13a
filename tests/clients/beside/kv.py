"""KV: Range, Put, DeleteRange, Compact, case by case."""
from harness import case

KEYS = [b"k/" + bytes([c]) for c in b"abcdefgh"]
FROM = b"\0"


@case
def puts(b):
    """put: answers, and refused requests"""
    for i, k in enumerate(KEYS):
        b.put(k, b"value %d" % i)
    b.put(b"k/a", b"second", prev_kv=True)
    b.put(b"k/new", b"", prev_kv=True)
    b.put(b"", b"x")
    b.put(b"\0", b"zero")
    b.put(b"\xff\xff", b"high")
    b.put(b"k/a", ignore_value=True)
    b.put(b"k/a", b"x", ignore_value=True)
    b.put(b"k/a", ignore_value=True, prev_kv=True)
    b.put(b"none", ignore_value=True)
    b.put(b"none", b"x", ignore_lease=True)
    b.put(b"none", b"x", ignore_value=True, ignore_lease=True, lease=5)
    b.put(b"k/a", b"x", lease=5, ignore_lease=True)
    b.put(b"k/a", b"x", lease=5)
    b.put(b"k/a", b"x", lease=-5)
    b.put(b"none", lease=5, ignore_value=True)
    b.put(b"k/b", b"\0\xff binary \n")
    b.put(b"k/" + b"l" * 5000, b"long key")


@case
def ranges(b):
    """range: forms of range_end"""
    for key, end in ((b"k/", b"k0"), (b"k/b", b"k/e"), (b"k/c", FROM), (FROM, FROM), (b"k/a", b""), (b"none", b""),
                     (b"", b""), (b"", FROM), (b"z", b"a"), (b"k/a", b"k/a"), (b"k/a", b"k/a\0"), (FROM, b""),
                     (b"\xff", FROM), (b"\xff\xff", b""), (b"k/", b"\xff"), (b"k/", b"\0\0"), (b"k/z", b"l")):
        b.range(key, end)
        b.range(key, end, serializable=True)
        b.range(key, end, keys_only=True)
        b.range(key, end, count_only=True)
        b.range(key, end, count_only=True, keys_only=True, limit=1)
        for limit in (1, 2, 7, 8, 100, -1, -(1 << 63), (1 << 63) - 1):
            b.range(key, end, limit=limit)


@case
def revisions(b):
    """range: at old, future and odd revisions"""
    now = b.revision()
    for rev in (-(1 << 63), -1, 0, 1, 2, 3, 5, now - 1, now, now + 1, (1 << 63) - 1):
        b.range(b"k/", b"k0", revision=rev)
        b.range(b"k/a", revision=rev)
        b.range(b"none", revision=rev, serializable=True)
        b.range(b"k/", b"k0", revision=rev, limit=2)
        b.range(b"k/", b"k0", revision=rev, count_only=True)


@case
def filters(b):
    """range: lowest and highest revisions, alone and with limits"""
    now = b.revision()
    for field in ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"):
        for rev in (-1, 1, 3, 5, now, now + 5):
            for limit in (0, 1, 3):
                b.range(b"k/", b"k0", limit=limit, **{field: rev})
                b.range(b"k/", b"k0", limit=limit, count_only=True, **{field: rev})
    b.range(b"k/", b"k0", min_mod_revision=3, max_mod_revision=6, min_create_revision=2, max_create_revision=5)
    b.range(b"k/", b"k0", min_mod_revision=9, max_mod_revision=3)


@case
def sorting(b):
    """range: sorted by everything, both ways, limited"""
    for target in range(5):
        for order in range(3):
            for limit in (0, 1, 3, 50):
                b.range(b"k/", b"k0", sort_target=target, sort_order=order, limit=limit)
            b.range(b"k/", b"k0", sort_target=target, sort_order=order, keys_only=True)
            b.range(b"k/", b"k0", sort_target=target, sort_order=order, count_only=True, limit=1)
            b.range(b"k/", b"k0", sort_target=target, sort_order=order, min_mod_revision=4, limit=2)
            b.range(b"k/", b"k0", sort_target=target, sort_order=order, revision=6)
    # Sort options that do not exist: 3.4 ignores them, 3.5 refuses them (invalid sort option), and so do we.


@case
def deletes(b):
    """delete: counts, what was there, ranges"""
    b.delete(b"k/b", prev_kv=True)
    b.delete(b"k/b", prev_kv=True)
    b.delete(b"none")
    b.delete(b"")
    b.delete(b"", FROM)
    b.delete(b"k/z", b"k/a")
    b.delete(b"k/c", b"k/c", prev_kv=True)
    b.delete(b"k/c", b"k/e", prev_kv=True)
    b.put(b"k/b", b"again", prev_kv=True)
    b.range(b"k/", b"k0")
    b.range(b"k/", b"k0", revision=b.revision() - 2)
    b.delete(b"k/g", FROM)
    b.delete(b"k/", b"k0", prev_kv=True)
    b.delete(FROM, FROM, prev_kv=True)
    b.range(FROM, FROM)


@case
def compaction(b):
    """compaction: refused requests, and reads after it"""
    for i in range(6):
        b.put(b"c/a", b"%d" % i)
    b.put(b"c/b", b"once")
    b.delete(b"c/a")
    now = b.revision()
    b.call("KV.Compact", revision=now + 1)
    b.call("KV.Compact", revision=(1 << 63) - 1)
    b.call("KV.Compact", revision=-1)
    # Not at 0: there etcd says yes once, if nothing was compacted before, and no ever after; we say no at once.
    b.call("KV.Compact", revision=now - 3)
    b.call("KV.Compact", revision=now - 3)
    b.call("KV.Compact", revision=1)
    b.call("KV.Compact", revision=now - 3, physical=True)
    b.call("KV.Compact", revision=now - 2, physical=True)
    for rev in range(now - 5, now + 2):
        b.range(b"c/", b"c0", revision=rev)
        b.range(b"c/a", revision=rev, count_only=True)
        b.range(b"c/a", revision=rev, serializable=True)
        b.txn(success=[dict(request_range=dict(key=b"c/a", revision=rev))])
        b.txn(success=[dict(request_range=dict(key=b"c/a", revision=rev)),
                       dict(request_delete_range=dict(key=b"none"))])
    b.call("KV.Compact", revision=now)
    b.range(b"c/", b"c0", revision=now)
    b.range(b"c/", b"c0", revision=now - 1)
    b.put(b"c/a", b"back", prev_kv=True)
    b.range(b"c/a")


@case
def sizes(b):
    """requests at the limits of size"""
    for n in (1 << 20, 1500 * 1024):
        b.put(b"big", b"x" * n)
    limit = 1536 * 1024
    for n in (limit - 200, limit, limit + 400 * 1024, 2 << 20, (2 << 20) + 100, 3 << 20):
        b.call("KV.Put", key=b"big", value=b"x" * n)
    b.txn(success=[dict(request_put=dict(key=b"big%d" % i, value=b"x" * (600 * 1024))) for i in range(3)])
    b.delete(b"x" * (limit + 1000))
    b.range(b"x" * (limit + 1000))
    b.delete(b"big", b"bih")
