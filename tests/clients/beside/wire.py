"""gRPC itself: methods that are not, bytes that are not a message, compression, metadata, streams given up."""
import grpc

from harness import Watch, case


@case
def unknown(b):
    """services and methods that do not exist"""
    for path in ("/etcdserverpb.KV/Nothing", "/none.Such/Range", "/none/Range", "/etcdserverpb.Watch/Range",
                 "/etcdserverpb.KV/", "/a/b/c", "//", "/etcdserverpb.KV/Range/"):
        b.raw(path, b"")
    # Served by etcd, not by us: users and passwords (certificates say who one is), and locks and elections as services
    # (etcdctl makes its own of keys, leases and watches).
    for path in ("/etcdserverpb.Auth/AuthEnable", "/etcdserverpb.Auth/Authenticate", "/v3lockpb.Lock/Lock",
                 "/v3electionpb.Election/Campaign"):
        b.ours_only(path, b"", "UNIMPLEMENTED")
    # Paths without two slashes are not tried: the grpc-go of 3.4 calls them RESOURCE_EXHAUSTED, the present one
    # UNIMPLEMENTED, and so do we.


@case
def garbage(b):
    """bytes that are not a message: the code is compared, the words are the parser's"""
    for method in ("KV/Range", "KV/Put", "KV/Txn", "KV/DeleteRange", "KV/Compact", "Lease/LeaseGrant", "Lease/LeaseRevoke",
                   "Lease/LeaseTimeToLive", "Maintenance/Alarm", "Maintenance/HashKV", "Cluster/MemberUpdate"):
        for data in (b"\x0a", b"\x0a\x05ab", b"\xff" * 20, b"\x00\x01", b"\x0c\x0b"):
            b.code_only("/etcdserverpb." + method, data)
        # A length beyond everything: 3.4 dies of it.
        b.ours_only("/etcdserverpb." + method, b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "INTERNAL")


@case
def odd_fields(b):
    """fields that nobody knows, fields twice, wrong types: as proto3 says"""
    _, _, reply = b.schema.method("KV.Range")
    for data in (b"\x0a\x01a\xa2\x06\x03abc", b"\x0a\x01b\x0a\x01a", b"\x0a\x01a\x18\x01\x18\x02", b"\x0a\x01a\x90\x03\x01"):
        b.raw("/etcdserverpb.KV/Range", data, reply)


@case
def metadata(b):
    """metadata: a leader is required and there; unknown keys"""
    for pairs in ((("hasleader", "true"),), (("hasleader", "false"),), (("client-api-version", "3.4.0"), ("x-y", "z")),
                  (("some-bin", b"\0\1"),)):
        b.put(b"md", b"1", metadata=pairs)
        b.range(b"md", metadata=pairs)
        b.call("Cluster.MemberList", ignore=("members.ID", "members.clientURLs"), metadata=pairs)
    # A token is not sent: etcd refuses those it did not give, we have no users and pay no heed to them.


@case
def compressed(b):
    """messages compressed with gzip and deflate"""
    b.put(b"gz", b"x" * 1000, compression=grpc.Compression.Gzip)
    b.put(b"gz", b"x" * 1000, compression=grpc.Compression.Deflate)
    b.range(b"gz")


@case
def given_up(b):
    """streams that are cancelled leave nothing behind"""
    for i in range(20):
        w = Watch(b)
        w.created(b"up/", b"up0", start_revision=1 if i % 2 else 0)
        if i % 3:
            b.put(b"up/%d" % i, b"x")
        w.cancel()
    b.range(b"up/", b"up0")
