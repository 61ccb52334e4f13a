"""KV.Txn: compares, order, duplicates, nesting."""
from harness import case, delete, get, put, txn

FROM = b"\0"
MAX_OPS = 128


OPERANDS = ("version", "create_revision", "mod_revision", "value", "lease")


@case
def compares(b):
    """txn: every target with every result, on keys that are and are not, and on ranges"""
    b.call("Lease.LeaseGrant", ID=700, TTL=1000)
    b.put(b"t/a", b"1")
    b.put(b"t/a", b"2", lease=700)
    b.put(b"t/b", b"2")
    now = b.revision()
    for target, operand in enumerate(OPERANDS):
        wants = {"value": (b"", b"1", b"2", b"3"), "lease": (0, 1, 700, 701, -1)}.get(
            operand, (-1, 0, 1, 2, now - 1, now, now + 1))
        for result in range(4):
            for want in wants:
                for key, end in ((b"t/a", b""), (b"none", b""), (b"t/", b"t0"), (b"t/b", FROM), (b"x", b"a")):
                    b.txn([{"result": result, "target": target, "key": key, "range_end": end, operand: want}],
                          [get(b"t/a")], [get(b"t/b")])


@case
def odd_compares(b):
    """txn: a target without its operand, with another's, unknown targets and results, several compares"""
    for target in (0, 1, 2, 3, 4, 5, 77):
        for result in (0, 1, 2, 3, 4, 77):
            b.txn([dict(target=target, result=result, key=b"t/a")])
            b.txn([dict(target=target, result=result, key=b"t/a", value=b"2")])
            b.txn([dict(target=target, result=result, key=b"none", version=0)])
    b.txn([dict(target=3, key=b"")], [get(b"t/a")])
    yes, no = dict(target=0, result=1, key=b"t/a", version=0), dict(target=0, result=1, key=b"none", version=0)
    b.txn([yes, yes], [put(b"t/c")], [put(b"t/d")])
    b.txn([yes, no], [put(b"t/c")], [put(b"t/d")])
    b.txn([no, dict(key=b"")], [put(b"t/c")], [put(b"t/d")])
    b.range(b"t/", b"t0")


@case
def order(b):
    """txn: what an operation sees of those before it, and the revisions in the answers"""
    b.txn(success=[get(b"o/a"), put(b"o/a", b"1"), get(b"o/a"), put(b"o/b", b"1"), get(b"o/", b"o0")])
    b.txn(success=[delete(b"o/a", prev_kv=True), get(b"o/", b"o0"), delete(b"o/a"), get(b"o/a")])
    b.txn(success=[put(b"o/a", b"2", prev_kv=True), get(b"o/a", revision=b.revision())])
    b.txn(success=[put(b"o/a", b"3", prev_kv=True), put(b"o/b", ignore_value=True, value=b"", prev_kv=True)])
    b.txn(success=[put(b"o/z", b"", ignore_value=True), put(b"o/c")])
    b.txn(success=[put(b"o/c"), put(b"o/z", b"", ignore_lease=True)])
    b.txn(success=[put(b"o/c"), put(b"o/d", lease=12345)])
    b.txn(success=[put(b"o/c", lease=700), put(b"o/d", lease=700)])
    b.txn(success=[put(b"o/c", ignore_lease=True), put(b"o/d", lease=700)])
    b.txn(success=[put(b"o/e", lease=12345), get(b"o/a", revision=1 << 40)])
    b.txn(success=[get(b"o/a", revision=1 << 40), put(b"o/e", lease=12345)])
    b.txn(success=[get(b"o/a", revision=1 << 40), put(b"o/y", b"", ignore_value=True, lease=12345)])
    b.txn(success=[put(b"o/y", b"", ignore_value=True, lease=12345)])
    b.txn(success=[get(b"o/a", revision=1 << 40), delete(b"o/a")])
    b.txn(success=[get(b"o/a", revision=b.revision() + 1), delete(b"o/a")])
    b.txn(success=[delete(b"o/a"), get(b"o/a", revision=b.revision() + 1)])
    b.txn(success=[delete(b"none"), get(b"o/a")])
    b.txn(success=[delete(b"none")], failure=[put(b"o/f")])
    b.txn(success=[get(b"o/", b"o0", limit=1), get(b"o/", b"o0", count_only=True), get(b"o/", b"o0", keys_only=True),
                   get(b"o/", b"o0", sort_order=2, sort_target=3)])
    b.txn(success=[get(b"o/", b"o0", serializable=True)], failure=[get(b"o/a", serializable=True)])
    b.range(b"o/", b"o0")
    b.txn()
    b.txn([dict(target=0, key=b"o/a", version=99)])


@case
def invalid(b):
    """txn: operations that are refused, in either branch and in any place"""
    bad = (put(b""), get(b""), delete(b""), {}, put(b"a", b"v", ignore_value=True), put(b"a", b"", ignore_lease=True, lease=1),
           get(b"", FROM), delete(b"", FROM), txn([dict(key=b"")]), txn(success=[put(b"")]), txn(failure=[{}]))
    for op in bad:
        b.txn(success=[op])
        b.txn(failure=[op])
        b.txn(success=[put(b"i/a"), op], failure=[get(b"i/a")])
        b.txn(success=[op, put(b"")])
        b.txn([dict(key=b"i")], success=[put(b"i/a"), put(b"i/a"), op])
    b.range(b"i/", b"i0")


@case
def duplicates(b):
    """txn: keys put twice, puts in deleted ranges, across nested branches"""
    b.txn(success=[put(b"d/a"), put(b"d/a")])
    b.txn(failure=[put(b"d/a"), put(b"d/a")])
    b.txn(success=[put(b"d/a")], failure=[put(b"d/a")])
    for end in (b"", b"d/b", b"d0", FROM, b"d/a", b"\xff", b"d/a\0", b"a"):
        for key in (b"d/a", b"d/", b"d/0", b"e"):
            b.txn(success=[put(b"d/a"), delete(key, end)])
            b.txn(success=[delete(key, end), put(b"d/a")])
            b.txn(success=[put(b"d/a"), txn(success=[delete(key, end)])])
            b.txn(success=[delete(key, end), txn(success=[put(b"d/a")])])
            b.txn(success=[txn(success=[delete(key, end)], failure=[put(b"d/a")])])
            b.txn(success=[txn(failure=[delete(key, end)]), put(b"d/a")])
            b.txn(success=[txn(success=[delete(key, end)]), txn(success=[put(b"d/a")])])
            b.txn(success=[txn(success=[put(b"d/a")]), txn(success=[delete(key, end)])])
    b.txn(success=[delete(b"d/"), delete(b"d/"), delete(b"d/", b"d0"), delete(b"c", FROM)])
    b.txn(success=[txn(success=[put(b"d/a")], failure=[put(b"d/a")])])
    b.txn(success=[txn(success=[put(b"d/a")], failure=[put(b"d/a")]), put(b"d/a")])
    b.txn(success=[txn(success=[put(b"d/a")]), txn(success=[put(b"d/a")])])
    b.txn(success=[txn(success=[put(b"d/a")]), txn(failure=[put(b"d/a")])])
    b.txn(success=[txn(success=[put(b"d/a")]), txn(success=[txn(failure=[put(b"d/a")])])])
    b.txn(success=[put(b"d/a")], failure=[txn(success=[put(b"d/a"), put(b"d/b")])])
    b.range(b"d/", b"d0")


@case
def delete_and_put(b):
    """txn: a deletion to the end (\\0) beside puts, which is not called an overlap"""
    for i in range(2):
        for key in (b"w/a", b"w/b", b"w/c"):
            b.put(key, b"%d" % i)
    now = b.revision()
    b.txn(success=[delete(b"w/", FROM, prev_kv=True), put(b"w/a", b"new", prev_kv=True), get(b"w/", FROM)])
    b.range(b"w/", FROM)
    b.txn(success=[put(b"w/a", b"newer", prev_kv=True), delete(b"w/", FROM, prev_kv=True), get(b"w/", FROM)])
    b.range(b"w/", FROM)
    for rev in range(now - 1, now + 3):
        b.range(b"w/", FROM, revision=rev)
    b.put(b"w/a", b"last", prev_kv=True)


@case
def nested(b):
    """txn: nested: paths, compares against the state before, revisions"""
    a_is = lambda v: dict(target=3, key=b"n/a", value=v)
    b.put(b"n/a", b"1")
    b.txn(success=[put(b"n/a", b"2"), txn([a_is(b"1")], [put(b"n/b", b"saw 1")], [put(b"n/b", b"saw 2")]), get(b"n/", b"n0")])
    b.txn([a_is(b"2")], [txn([a_is(b"3")], [put(b"n/c")], [txn([a_is(b"2")], [get(b"n/a")], [get(b"n/b")]), put(b"n/d")]),
                         txn(), txn([a_is(b"9")], [put(b"n/e")], [])], [put(b"n/f")])
    b.txn(success=[txn(success=[txn(success=[txn(success=[get(b"n/a")])])])])
    b.txn(success=[txn(success=[put(b"n/g", lease=999)]), put(b"n/h")])
    b.txn(success=[put(b"n/h"), txn(success=[get(b"n/a", revision=1 << 33)])])
    b.txn(success=[txn([a_is(b"7")], [get(b"n/a", revision=1 << 33)]), put(b"n/h")])
    b.txn(success=[txn(success=[delete(b"n/h", prev_kv=True)]), txn(success=[get(b"n/h")]), delete(b"n/a")])
    b.txn(success=[txn(success=[get(b"n/a")], failure=[put(b"n/x")])])
    b.range(b"n/", b"n0")


@case
def counts(b):
    """txn: as many operations as allowed, and one more; nested ones count too"""
    for n in (MAX_OPS - 1, MAX_OPS, MAX_OPS + 1):
        b.txn(success=[put(b"m/%d" % i) for i in range(n)])
        b.txn(failure=[get(b"m/%d" % i) for i in range(n)])
        b.txn([dict(key=b"m/%d" % i) for i in range(n)])
    inner = [get(b"m/%d" % i) for i in range(100)]
    b.txn(success=[txn(success=inner)])
    b.txn(success=[get(b"m/1")] * 27 + [txn(success=inner)])
    b.txn(success=[get(b"m/1")] * 28 + [txn(success=inner)])
    b.txn(success=[txn(failure=inner), txn(success=inner)])
    b.txn(success=[get(b"m/1")], failure=[get(b"m/1")] * 100 + [txn(success=inner[:40])])
    for depth in (10, 20):
        op = put(b"m/deep")
        for _ in range(depth):
            op = txn(success=[op])
        b.txn(success=[op])
    b.range(b"m/", b"m0", count_only=True)
