"""Leases, case by case. What is left of a lease's time is not compared, but that there is some."""
from harness import Watch, case

TOP = (1 << 63) - 1


def left(b, lease, **fields):
    return b.call("Lease.LeaseTimeToLive", ignore=("TTL",), ID=lease, **fields)


@case
def grants(b):
    """grant: ids that are given, taken, negative; times that are too short and too long"""
    for ttl in (1, 2, 3, 100, 0, -1, -(1 << 63), 9000000000, 9000000001, TOP):
        b.call("Lease.LeaseGrant", TTL=ttl, ID=1000 + abs(ttl) % 97)
    for lease in (1, -1, -5, TOP, -TOP - 1):
        b.call("Lease.LeaseGrant", TTL=500, ID=lease)
        b.call("Lease.LeaseGrant", TTL=700, ID=lease)
        left(b, lease, keys=True)
    b.call("Lease.LeaseGrant", ignore=("ID",), TTL=5)
    b.call("Lease.LeaseGrant", TTL=9000000001, ID=1)
    for lease in (1, -1, -5, TOP, -TOP - 1):
        b.put(b"l/%d" % lease, b"x", lease=lease)
        b.call("Lease.LeaseRevoke", ID=lease)
        b.call("Lease.LeaseRevoke", ID=lease)
        left(b, lease)
    b.call("Lease.LeaseRevoke", ID=0)
    left(b, 0)
    left(b, 424242, keys=True)


@case
def attached(b):
    """keys come to leases and leave them; revoking deletes them, all in one revision"""
    b.call("Lease.LeaseGrant", TTL=500, ID=71)
    b.call("Lease.LeaseGrant", TTL=500, ID=72)
    # One key at most: etcd lists a lease's keys in no order.
    b.put(b"at/1", b"x", lease=71)
    left(b, 71, keys=True)
    left(b, 71)
    b.put(b"at/1", b"y", ignore_lease=True)
    left(b, 71, keys=True)
    b.put(b"at/1", b"y", lease=72, prev_kv=True)
    left(b, 71, keys=True)
    left(b, 72, keys=True)
    b.put(b"at/1", b"z", prev_kv=True)
    left(b, 72, keys=True)
    b.put(b"at/1", b"z", lease=72)
    b.delete(b"at/1")
    left(b, 72, keys=True)
    b.put(b"at/1", b"z", lease=72)
    b.delete(b"at/", b"at0", prev_kv=True)
    left(b, 72, keys=True)
    for i in range(5):
        b.put(b"at/%d" % i, b"x", lease=71)
    b.txn(success=[dict(request_put=dict(key=b"at/9", lease=72)), dict(request_delete_range=dict(key=b"at/1"))])
    left(b, 72, keys=True)
    b.call("Lease.LeaseRevoke", ID=71)
    b.range(b"at/", b"at0")
    b.range(b"at/", b"at0", revision=b.revision() - 1)
    b.call("Lease.LeaseRevoke", ID=72)
    b.range(b"at/", b"at0")
    b.put(b"at/1", b"x", lease=72)
    b.call("Lease.LeaseGrant", TTL=500, ID=71)
    left(b, 71, keys=True)
    b.call("Lease.LeaseRevoke", ID=71)


@case
def keep_alive(b):
    """keep-alive: a stream that renews, one lease or several, known or not"""
    for lease in (81, 82):
        b.call("Lease.LeaseGrant", TTL=300 + lease, ID=lease)
    s = b.stream("Lease.LeaseKeepAlive")
    for lease in (81, 82, 81, 83, 0, -1):
        s.send(ID=lease).answer()
    b.call("Lease.LeaseRevoke", ID=81)
    s.send(ID=81).answer()
    s.half_close().status()
    s = b.stream("Lease.LeaseKeepAlive")
    s.half_close().status()
    s = b.stream("Lease.LeaseKeepAlive", metadata=(("hasleader", "true"),))
    s.send(ID=82).answer()
    s.cancel()
    left(b, 82)
    b.call("Lease.LeaseRevoke", ID=82)


@case
def leases(b):
    """the list of leases"""
    # etcd sorts them by when they end, and those of equal times in no order.
    b.call("Lease.LeaseLeases", ignore=("leases.ID",))
    b.level()
    b.call("Lease.LeaseLeases")
    for i in (5, 4, 6):
        b.call("Lease.LeaseGrant", TTL=1000 * i, ID=i)
    b.call("Lease.LeaseLeases")
    for i in (5, 4, 6):
        b.call("Lease.LeaseRevoke", ID=i)


@case
def ends(b):
    """a lease that ends takes its keys along, and a watch sees that"""
    w = Watch(b)
    w.created(b"ends/", b"ends0", prev_kv=True)
    b.call("Lease.LeaseGrant", TTL=1, ID=91)
    b.put(b"ends/a", b"1", lease=91)
    b.put(b"ends/b", b"1", lease=91)
    w.expect(events=2)
    b.put(b"ends/b", b"2")
    w.expect(events=1)
    w.expect(events=1)
    b.range(b"ends/", b"ends0")
    left(b, 91)
    b.call("Lease.LeaseRevoke", ID=91)
    w.quiet()
