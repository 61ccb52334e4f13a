"""Three members of each: three.py DESCRIPTORS OURS THEIRS, where each is ADDRESS=PID,... of three members. Members are
stopped and continued with signals, so that they are away without their connections ending."""
import os
import signal
import sys
import time

from harness import WAIT_S, Both, Schema, Watch, case, outcome, run

STATUS = ("version", "dbSize", "dbSizeInUse", "leader", "raftIndex", "raftTerm", "raftAppliedIndex")
MEMBERS = ("members.ID", "members.clientURLs", "members.peerURLs", "members.name")
# 3.4 ends these with the naked words of its clock (UNKNOWN, "context deadline exceeded"), we with its own for a request
# whose time is up.
LATE = "late"
REQUIRED = (("hasleader", "true"),)


class Cluster:
    """The members of one of the two; who leads is asked of them."""

    def __init__(self, text):
        self.pids = {a: int(p) for a, p in (m.split("=") for m in text.split(","))}

    def roles(self, schema):
        """Leader first, or None while they do not agree or have not said their names."""
        lead = {}
        for address in self.pids:
            b = Both(schema, address, address)
            try:
                m = b.alone(b.sides[0], "Maintenance.Status")
                if not all(x.clientURLs for x in b.alone(b.sides[0], "Cluster.MemberList").members):
                    return None
            except Exception:  # pylint: disable=broad-except
                return None
            lead[address] = (m.leader, m.header.member_id)
        leaders = [a for a, (leader, own) in lead.items() if leader == own]
        if len(leaders) != 1 or len({leader for leader, _ in lead.values()}) != 1:
            return None
        return leaders + [a for a in lead if a not in leaders]

    def signal(self, what, addresses):
        for a in addresses:
            os.kill(self.pids[a], what)


def agreed(schema, cluster):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        roles = cluster.roles(schema)
        if roles:
            return roles
        time.sleep(0.05)
    raise AssertionError("the members agree on no leader")


class Three:
    def __init__(self, schema, ours, theirs):
        self.schema = schema
        self.clusters = (Cluster(ours), Cluster(theirs))
        self.differ = None
        self.look()

    def look(self):
        """leader, follower and other, each of both clusters."""
        self.roles = [agreed(self.schema, c) for c in self.clusters]
        pairs = [Both(self.schema, a, b, self.differ) for a, b in zip(*self.roles)]
        self.differ = pairs[0].differ
        for p in pairs:
            p.differ = self.differ
        self.leader, self.follower, self.other = pairs

    def level(self):
        self.look()
        self.leader.level()

    def signal(self, what, *places):
        for c, roles in zip(self.clusters, self.roles):
            c.signal(what, [roles[p] for p in places])


def get(key, **fields):
    return dict(request_range=dict(key=key, **fields))


@case
def through_followers(t):
    """followers answer as leaders do"""
    f, lead = t.follower, t.leader
    f.put(b"a", b"1")
    lead.range(b"a")
    f.range(b"a")
    f.put(b"a", b"2", prev_kv=True)
    f.put(b"none", ignore_value=True)
    f.put(b"a", b"2", lease=99)
    t.other.range(b"a")
    f.delete(b"a", prev_kv=True)
    f.txn(success=[dict(request_put=dict(key=b"b", value=b"1")), get(b"b")])
    f.txn(success=[get(b"b")])
    f.range(b"b", revision=f.revision() + 1)
    f.call("KV.Compact", revision=f.revision())
    f.call("KV.Compact", revision=1)
    f.range(b"b", revision=1)
    f.call("Cluster.MemberList", ignore=MEMBERS)
    f.call("Cluster.MemberRemove", ID=1)
    f.call("Cluster.MemberPromote", ID=1)
    f.call("Cluster.MemberUpdate", ID=1, peerURLs=["http://127.0.0.1:1"])
    f.call("Maintenance.Status", ignore=STATUS)
    f.call("Maintenance.HashKV", ignore=("hash",))
    f.call("Maintenance.Alarm", ignore=("header",))
    f.put(b"c", b"1", metadata=REQUIRED)


@case
def leases_through_followers(t):
    """leases granted, kept, asked for and revoked on followers"""
    f, o = t.follower, t.other
    f.call("Lease.LeaseGrant", ID=7, TTL=500)
    f.call("Lease.LeaseGrant", ID=7, TTL=500)
    o.put(b"l/1", b"x", lease=7)
    # A linearizable read: from here on this follower, too, has the put's revision in its headers.
    f.range(b"l/1")
    s = f.stream("Lease.LeaseKeepAlive")
    for lease in (7, 8, 7):
        s.send(ID=lease).answer()
    s.half_close().status()
    for b in (f, o, t.leader):
        b.call("Lease.LeaseTimeToLive", ID=7, keys=True, ignore=("TTL",))
        b.call("Lease.LeaseTimeToLive", ID=8, keys=True)
    f.call("Lease.LeaseLeases")
    f.call("Lease.LeaseRevoke", ID=8)
    f.call("Lease.LeaseRevoke", ID=7)
    f.range(b"l/1")


@case
def watches_on_followers(t):
    """watches on followers, from now and from before"""
    now = t.follower.revision()
    w = Watch(t.follower)
    w.created(b"w/", b"w0", prev_kv=True)
    for i in range(20):
        (t.leader, t.other, t.follower)[i % 3].put(b"w/%d" % (i % 4), b"%d" % i)
    t.leader.delete(b"w/", b"w0")
    w.expect(events=24)
    w.create(b"w/", b"w0", start_revision=now + 1).expect(controls=1, events=24)
    t.follower.range(b"w/")
    w.quiet()


@case
def leadership_moves(t):
    """leadership is moved, asked of the wrong one and of the right one"""
    t.follower.call("Maintenance.MoveLeader", targetID=1)
    t.leader.call("Maintenance.MoveLeader", targetID=1)
    ids = {s.address: t.follower.alone(s, "Maintenance.Status").header.member_id for s in t.follower.sides}
    t.leader.each("Maintenance.MoveLeader", lambda s: dict(targetID=ids[t.follower.sides[t.leader.sides.index(s)].address]))
    old = [roles[0] for roles in t.roles]
    t.look()
    t.differ.compare("leadership moved", *(str(roles[0] == o) for roles, o in zip(t.roles, old)))
    t.follower.put(b"moved", b"1")
    t.leader.range(b"moved")


@case
def without_a_leader(t):
    """while two of three are away: refused calls, their time and error; and calls that continue"""
    lone = t.other
    lone.put(b"n/a", b"1")
    lone.range(b"n/a")
    watch, strict = Watch(lone), Watch(lone, metadata=REQUIRED)
    # 3.4 is healthy whatever happens: only ours is asked.
    health = lone.stream("grpc.health.v1.Health.Watch").send(service="").pair[0]
    states = [health.next().status]
    keep = lone.stream("Lease.LeaseKeepAlive", metadata=REQUIRED)
    lone.call("Lease.LeaseGrant", ID=3, TTL=500)
    keep.send(ID=3).answer()
    watch.created(b"n/", b"n0")
    strict.created(b"n/", b"n0")
    t.signal(signal.SIGSTOP, 0, 1)
    try:
        states.append(health.next().status)
        strict.status()
        keep.status()
        lone.range(b"n/a", serializable=True)
        lone.txn(success=[get(b"n/a", serializable=True)])
        for call in (lone.put, lone.range, lone.delete):
            call(b"n/a", metadata=REQUIRED)
        Watch(lone, metadata=REQUIRED).create(b"n/").status()
        watch.created(b"n/a")
        watch.progress().expect(controls=1)
        lone.call("Cluster.MemberList", ignore=MEMBERS)
        lone.call("Maintenance.Status", ignore=STATUS)
        lone.call("Maintenance.MoveLeader", targetID=1)
        # These wait for a leader until their time is up.
        lone.calls(("KV.Put", LATE, dict(key=b"n/a", value=b"lost")), ("KV.Range", (), dict(key=b"n/a")),
                   ("KV.DeleteRange", LATE, dict(key=b"n/none")), ("KV.Txn", (), dict(success=[get(b"n/a")])),
                   ("KV.Compact", LATE, dict(revision=1)), ("Lease.LeaseGrant", LATE, dict(ID=4, TTL=100)),
                   ("Lease.LeaseRevoke", LATE, dict(ID=4)), ("Lease.LeaseTimeToLive", (), dict(ID=3)),
                   ("Maintenance.Alarm", LATE, {}))
    finally:
        t.signal(signal.SIGCONT, 0, 1)
    t.look()
    states.append(health.next().status)
    t.differ.compare("health: serving, not serving, serving", str(states), "[1, 2, 1]")
    t.leader.put(b"n/b", b"there again")
    watch.expect(events=1)
    t.other.range(b"n/a")


@case
def while_one_is_elected(t):
    """changes and reads wait out an election, and then they are done"""
    lone = t.other
    old = {s: lone.alone(s, "Maintenance.Status").leader for s in lone.sides}
    t.signal(signal.SIGSTOP, 0)
    try:
        # Not earlier: with both, a request to a lost leader is lost.
        end = time.monotonic() + WAIT_S
        answers = []
        for s in lone.sides:
            while lone.alone(s, "Maintenance.Status").leader == old[s]:
                assert time.monotonic() < end
            answers.append(lone.begin(s, "KV.Put", key=b"e/a", value=b"1"))
        t.differ.compare("KV.Put while a leader is elected", *(outcome(a).text for a in answers))
        lone.range(b"e/a")
    finally:
        t.signal(signal.SIGCONT, 0)
    t.look()
    t.other.range(b"e/a")


if __name__ == "__main__":
    assert WAIT_S >= 10
    run(Three(Schema(sys.argv[1]), *sys.argv[2:4]))
