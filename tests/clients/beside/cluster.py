"""Members, maintenance, alarms, health."""
from harness import Watch, case

MEMBERS = ("members.ID", "members.clientURLs")
# 3.4 gives an answer about alarms no header, 3.5 does, and so do we.
ALARM = ("header", "alarms.memberID")
STATUS = ("version", "dbSize", "dbSizeInUse", "leader", "raftIndex", "raftTerm", "raftAppliedIndex", "errors")
GET, RAISE, DISARM = 0, 1, 2
NOSPACE, CORRUPT = 1, 2


def own(side, **fields):
    return dict(fields, memberID=side.member)


def with_header(m):
    return m.HasField("header")


def learn_ids(b):
    for s in b.sides:
        s.member = b.alone(s, "Cluster.MemberList").members[0].ID


@case
def members(b):
    """members: the list, and refused changes"""
    learn_ids(b)
    b.call("Cluster.MemberList", ignore=MEMBERS)
    # linearizable came with 3.5; 3.4 skips the field
    b.call("Cluster.MemberRemove", ID=1)
    b.call("Cluster.MemberRemove", ID=0)
    b.call("Cluster.MemberUpdate", ID=1, peerURLs=["http://127.0.0.1:1"])
    b.call("Cluster.MemberPromote", ID=1)
    b.each("Cluster.MemberRemove", lambda s: dict(ID=s.member))
    b.each("Cluster.MemberPromote", lambda s: dict(ID=s.member))


@case
def urls(b):
    """members: peer addresses that are not addresses"""
    for some in ([], [""], ["no"], ["http://"], ["ftp://127.0.0.1:1"], ["127.0.0.1:1"], ["http://127.0.0.1"], ["http://::1"],
                 ["http://127.0.0.1:1/path"], ["http://127.0.0.1:1", "no"], ["http://127.0.0.1:port"]):
        b.call("Cluster.MemberAdd", peerURLs=some)
        b.call("Cluster.MemberAdd", peerURLs=some, isLearner=True)
    # An update with such addresses is not asked for: etcd takes it, and then nobody can reach the member. We refuse it.


@case
def learner(b):
    """members: a learner that never comes is added, not promoted, removed"""
    learn_ids(b)
    far = "http://127.0.0.1:9"
    own_url = [m.peerURLs[0] for m in b.call("Cluster.MemberList", ignore=MEMBERS).message.members]
    b.call("Cluster.MemberAdd", peerURLs=own_url)
    b.call("Cluster.MemberAdd", peerURLs=[far] + own_url, isLearner=True)
    b.call("Cluster.MemberAdd", peerURLs=[far], isLearner=True, ignore=("member.ID",) + MEMBERS)
    for s in b.sides:
        s.learner = [m.ID for m in b.alone(s, "Cluster.MemberList").members if m.isLearner][0]
    b.call("Cluster.MemberAdd", peerURLs=["http://127.0.0.1:10"], isLearner=True)
    # With another address, because etcd makes ids out of addresses and the second, and would stumble over its own.
    b.call("Cluster.MemberAdd", peerURLs=[far, "http://127.0.0.1:12"])
    b.each("Cluster.MemberPromote", lambda s: dict(ID=s.learner))
    b.each("Maintenance.MoveLeader", lambda s: dict(targetID=s.learner))
    b.each("Cluster.MemberUpdate", lambda s: dict(ID=s.learner, peerURLs=own_url))
    b.each("Cluster.MemberUpdate", lambda s: dict(ID=s.learner, peerURLs=["http://127.0.0.1:11"]),
           ignore=("-members.isLearner",) + MEMBERS)  # etcd forgets at this that it is one
    b.put(b"learner", b"1")
    b.each("Cluster.MemberRemove", lambda s: dict(ID=s.learner), ignore=MEMBERS)
    b.each("Cluster.MemberRemove", lambda s: dict(ID=s.learner))
    b.each("Cluster.MemberUpdate", lambda s: dict(ID=s.learner, peerURLs=[far]))
    b.each("Cluster.MemberPromote", lambda s: dict(ID=s.learner))
    b.call("Cluster.MemberList", ignore=MEMBERS)
    b.put(b"learner", b"2")


@case
def leadership(b):
    """leadership of one: to itself and to nobody"""
    learn_ids(b)
    b.call("Maintenance.MoveLeader", targetID=1)
    b.call("Maintenance.MoveLeader", targetID=0)
    b.each("Maintenance.MoveLeader", lambda s: dict(targetID=s.member))
    b.put(b"still", b"here")


@case
def maintenance(b):
    """status, hashes, defragmentation, snapshot"""
    b.call("Maintenance.Status", ignore=STATUS)
    b.call("Maintenance.Hash", ignore=("hash",))
    now = b.revision()
    b.put(b"hash", b"1")
    b.put(b"hash", b"2")
    # The hashes themselves are of other bytes; before the first compaction etcd calls its revision -1.
    for rev in (0, now, now + 1, now + 2, now + 3, -1, 1 << 40):
        b.call("Maintenance.HashKV", ignore=("hash",), revision=rev)
    b.call("KV.Compact", revision=now + 1, physical=True)
    # Not at the compacted revision itself: 3.4 refuses it, 3.5 hashes, and so do we.
    for rev in (0, now, now + 2, now + 3):
        b.call("Maintenance.HashKV", ignore=("hash",), revision=rev)
    b.call("Maintenance.Defragment")
    b.range(b"hash")
    for s in b.sides:
        path, request, reply = b.schema.method("Maintenance.Snapshot")
        answers = list(s.channel.unary_stream(path, None, reply.FromString)(request().SerializeToString(), timeout=10))
        s.shape = (len(answers[-1].blob), [a.remaining_bytes for a in answers[-2:]], any(map(with_header, answers)))
    b.differ.compare("Maintenance.Snapshot", str(b.sides[0].shape), str(b.sides[1].shape))


@case
def no_space(b):
    """alarms: NOSPACE stops what grows and nothing else"""
    learn_ids(b)
    b.call("Lease.LeaseGrant", ID=41, TTL=500)
    b.put(b"al/a", b"1", lease=41)
    w = Watch(b)
    w.created(b"al/", b"al0")
    b.call("Maintenance.Alarm", action=GET, ignore=ALARM)
    b.each("Maintenance.Alarm", lambda s: own(s, action=RAISE, alarm=NOSPACE), ignore=ALARM)
    b.each("Maintenance.Alarm", lambda s: own(s, action=RAISE, alarm=NOSPACE), ignore=ALARM)
    for kind in (0, NOSPACE, CORRUPT):
        b.call("Maintenance.Alarm", action=GET, alarm=kind, ignore=ALARM)
    b.call("Maintenance.Status", ignore=STATUS)
    b.put(b"al/b", b"1")
    b.put(b"al/b", b"", ignore_value=True)
    b.txn(success=[dict(request_put=dict(key=b"al/b"))])
    b.txn(failure=[dict(request_put=dict(key=b"al/b"))])
    b.txn(success=[dict(request_range=dict(key=b"al/a"))])
    b.txn(success=[dict(request_range=dict(key=b"al/a")), dict(request_delete_range=dict(key=b"al/b"))])
    b.txn([dict(key=b"")], success=[dict(request_put=dict(key=b"al/b"))])
    b.call("Lease.LeaseGrant", ID=42, TTL=500)
    b.range(b"al/a")
    b.delete(b"al/a")
    w.expect(events=1)
    b.call("KV.Compact", revision=b.revision())
    b.call("Lease.LeaseRevoke", ID=41)
    b.call("Maintenance.Alarm", action=DISARM, alarm=CORRUPT, ignore=ALARM)
    b.each("Maintenance.Alarm", lambda s: own(s, action=DISARM, alarm=NOSPACE), ignore=ALARM)
    b.each("Maintenance.Alarm", lambda s: own(s, action=DISARM, alarm=NOSPACE), ignore=ALARM)
    b.call("Maintenance.Alarm", action=GET, ignore=ALARM)
    b.put(b"al/b", b"1")
    w.expect(events=1)
    w.quiet()


@case
def corrupt(b):
    """alarms: CORRUPT stops everything but the alarms"""
    learn_ids(b)
    b.call("Lease.LeaseGrant", ID=43, TTL=500)
    b.each("Maintenance.Alarm", lambda s: own(s, action=RAISE, alarm=CORRUPT), ignore=ALARM)
    b.call("Maintenance.Alarm", action=GET, ignore=ALARM)
    b.put(b"co/a", b"1")
    b.range(b"co/a")
    b.range(b"co/a", serializable=True)
    b.delete(b"co/a")
    b.txn(success=[dict(request_range=dict(key=b"co/a"))])
    b.txn(success=[dict(request_put=dict(key=b"co/a"))])
    b.call("KV.Compact", revision=b.revision())
    b.call("Lease.LeaseGrant", ID=44, TTL=500)
    b.call("Lease.LeaseRevoke", ID=43)
    b.call("Lease.LeaseTimeToLive", ID=43, ignore=("TTL",))
    # An action that does not exist is not asked for: 3.4 dies of it.
    b.each("Maintenance.Alarm", lambda s: own(s, action=DISARM, alarm=CORRUPT), ignore=ALARM)
    b.put(b"co/a", b"1")
    b.call("Lease.LeaseRevoke", ID=43)


@case
def health(b):
    """health: the whole server, and services by name"""
    for name in ("", "etcdserverpb.KV", "none"):
        b.call("grpc.health.v1.Health.Check", service=name)
    s = b.stream("grpc.health.v1.Health.Watch")
    s.send(service="").answer()
    s.cancel()
    s = b.stream("grpc.health.v1.Health.Watch")
    s.send(service="none").answer()
    s.half_close().cancel()
