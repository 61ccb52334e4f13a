"""gRPC itself: methods that are not, bytes that are no message, compression, metadata, streams given up."""
import grpc

from harness import Watch, case


@case
def unknown(b):
    """services and methods that do not exist"""
    for path in ("/etcdserverpb.KV/Nothing", "/none.Such/Range", "/none/Range", "/etcdserverpb.Watch/Range",
                 "/etcdserverpb.KV/", "/etcdserverpb.KV", "/", "/a/b/c", "//", "/etcdserverpb.KV/Range/"):
        b.raw(path, b"")


@case
def garbage(b):
    """bytes that are no message: the code is compared, the words are the parser's"""
    for method in ("KV/Range", "KV/Put", "KV/Txn", "KV/DeleteRange", "KV/Compact", "Lease/LeaseGrant", "Lease/LeaseRevoke",
                   "Lease/LeaseTimeToLive", "Maintenance/Alarm", "Maintenance/HashKV", "Cluster/MemberUpdate"):
        for data in (b"\x0a", b"\x0a\x05ab", b"\xff" * 20, b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x00\x01", b"\x0c\x0b"):
            code = b.raw("/etcdserverpb." + method, data, lambda m: None, what="", ignore=None)
            del code


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
                  (("token", "nobody"),), (("some-bin", b"\0\1"),)):
        b.put(b"md", b"1", metadata=pairs)
        b.range(b"md", metadata=pairs)
        b.call("Cluster.MemberList", ignore=("members.ID",), metadata=pairs)


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
