"""Cases of tests/clients/wire about protobuf answers, read by wireproto.py, and about clients that keep a copy of a collection by
WatchList. They find the namespace of wire.py."""
import gzip
import http.client
import json
import os
import random
import sys
import threading
import time

from wireclient import a, case, Client, cm, CM, host, is_, NS, port, TABLE, tls, version
from wirelists import collections
from wireproto import as_json, decode, encode, frames, has_form, kinds, MEDIA

PARTIAL = ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PARTIALS = ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
SECRETS = NS + "/secrets"


def protobuf(reply, code=200):
    """The object of an answer that has to be protobuf."""
    assert reply.headers["Content-Type"] == MEDIA, (reply.code, reply.headers["Content-Type"], reply.text[:300])
    v = decode(reply.data)
    assert reply.code == code, (reply.code, v)
    return v


class Stream:
    """A watch by protobuf or JSON; events() ends with it."""

    def __init__(self, path, accept=MEDIA, client=None):
        self.c = client or http.client.HTTPSConnection(host, int(port), context=tls, timeout=60)
        self.c.request("GET", path, headers={"Accept": accept})
        self.r = self.c.getresponse()
        self.code, self.type = self.r.status, self.r.headers["Content-Type"]

    def events(self):
        if self.type.startswith(MEDIA):
            assert self.type == MEDIA + ";stream=watch"
            yield from frames(self.r.read)
        else:
            while line := self.r.readline():
                yield json.loads(line)

    def close(self):
        self.c.close()


@case
def protobuf_lists():
    """lists and objects of each kind are in protobuf what they are in JSON; metadata alone too"""
    seen, reported = 0, set()
    for path in collections():
        whole = a.get(path)
        if whole.code != 200 or not whole.json["metadata"].get("resourceVersion"):
            continue
        j = whole.json
        key = (j["apiVersion"], j["kind"][:-len("List")])
        at = f"{path}?resourceVersion={version(whole)}&resourceVersionMatch=Exact"
        alone = protobuf(a.get(at, Accept=MEDIA + PARTIALS))
        assert alone["kind"] == "PartialObjectMetadataList" and alone["apiVersion"] == "meta.k8s.io/v1"
        assert alone == as_json({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": j["metadata"],
                                 "items": [{"metadata": i["metadata"]} for i in j["items"]]}), path
        if key[1] == "CustomResourceDefinition":  # wireevents.py
            continue
        if key not in kinds or not has_form(key):
            is_(a.get(at, Accept=MEDIA), 406, "NotAcceptable", "application/json")
            assert a.get(at, Accept=MEDIA + ",application/json").text == whole.text, path
            continue
        assert protobuf(a.get(at, Accept=MEDIA)) == as_json(j), path
        assert protobuf(a.get(at + "&pretty=1", Accept="application/json;q=0.9," + MEDIA)) == as_json(j), path
        seen += len(j["items"])
        for item in j["items"][:2] if key not in reported else []:
            reported.add(key)
            one = "/".join([path.rsplit("/", 1)[0]] + (["namespaces", item["metadata"]["namespace"]]
                                                       if "namespace" in item["metadata"] else [])
                           + [path.rsplit("/", 1)[1], item["metadata"]["name"]])
            text = is_(a.get(one + "?resourceVersion=0"), 200)
            if (got := protobuf(a.get(one + "?resourceVersion=0", Accept=MEDIA)))["metadata"]["resourceVersion"] == version(text):
                assert got == as_json(text.json), one
                part = protobuf(a.get(one, Accept=MEDIA + PARTIAL))
                assert part["kind"] == "PartialObjectMetadata" and set(part) == {"kind", "apiVersion", "metadata"}, part
    assert seen > 50 and len(reported) > 10, (seen, reported)


@case
def protobuf_pages():
    """pages and selections in protobuf: the same snapshot, the same tokens; large ones are compressed"""
    for i in range(7):
        is_(a.post(SECRETS, {"metadata": {"name": f"page{i}", "labels": {"odd": str(i % 2)}},
                             "stringData": {"k": "\u00e4\"" * 15000}}), 201)
    whole, names, token = a.get(SECRETS).json, [], ""
    while True:
        page = protobuf(a.get(f"{SECRETS}?limit=3&continue={token}" if token else SECRETS + "?limit=3", Accept=MEDIA))
        names += [i["metadata"]["name"] for i in page["items"]]
        token = page["metadata"].get("continue")
        if not token:
            break
        assert page["metadata"]["remainingItemCount"] == len(whole["items"]) - len(names)
    assert names == [i["metadata"]["name"] for i in whole["items"]]
    odd = protobuf(a.get(SECRETS + "?labelSelector=odd%3D1", Accept=MEDIA))
    assert [i["metadata"]["name"] for i in odd["items"]] == ["page1", "page3", "page5"]
    zipped = a.get(SECRETS, Accept=MEDIA, Accept_Encoding="gzip")
    assert zipped.headers["Content-Encoding"] == "gzip" and len(zipped.data) < 40000
    assert decode(gzip.decompress(zipped.data)) == protobuf(a.get(SECRETS, Accept=MEDIA)) == as_json(a.get(SECRETS).json)
    empty = protobuf(a.get(SECRETS + "?labelSelector=none", Accept=MEDIA))
    assert empty["items"] == [] and empty["kind"] == "SecretList" and empty["metadata"]["resourceVersion"]
    is_(a.delete(SECRETS + "?labelSelector=odd"), 200)


@case
def protobuf_choice():
    """Accept with protobuf: the best entry that there is; Tables only as JSON, kinds without numbers never"""
    path, plain = "/api/v1/namespaces/default", "application/json"
    for accept, wanted in ((MEDIA, MEDIA), (MEDIA + "," + plain, MEDIA), (f"{plain},{MEDIA}", plain), (f"{plain};q=0.5,{MEDIA}", MEDIA),
                           (f"{MEDIA};q=0.1,*/*", plain), (MEDIA + ";q=0," + plain, plain), (MEDIA + ";stream=watch", MEDIA),
                           (MEDIA + ";type=watch;q=1.0", MEDIA), ("*/*", plain), ("application/*", plain),
                           (MEDIA + ";as=Table;g=meta.k8s.io;v=v1," + TABLE, plain), (MEDIA + PARTIAL, MEDIA), (" " + MEDIA + " , */*", MEDIA)):
        assert a.get(path, Accept=accept).headers["Content-Type"] == wanted, accept
    is_(a.get(path, Accept=MEDIA + ";as=Table;g=meta.k8s.io;v=v1"), 406, "NotAcceptable")
    is_(a.get(path, Accept=MEDIA + ";as=Other"), 406, "NotAcceptable")
    crds = "/apis/keelson.dev/v1/gitsyncs"
    is_(a.get(crds, Accept=MEDIA), 406, "NotAcceptable")
    assert a.get(crds, Accept=MEDIA + ",application/json").json["kind"] == "GitSyncList"
    assert json.loads(a.get("/api/v1", Accept=MEDIA + ",application/json").text)["kind"] == "APIResourceList"


@case
def protobuf_refusals():
    """refusals are a Status in protobuf for those who take it, wherever they come from"""
    for method, path, code, reason in (("GET", CM + "/none", 404, "NotFound"), ("GET", "/api/v1/gadgets", 404, "NotFound"),
                                       ("GET", CM + "?limit=x", 400, "BadRequest"), ("PUT", CM, 405, "MethodNotAllowed"),
                                       ("GET", CM + "?watch=1&sendInitialEvents=true", 422, "Invalid"),
                                       ("GET", CM + "?watch=1&resourceVersion=x", 400, "BadRequest"),
                                       ("GET", NS + "/pods/none/log", 404, "NotFound"), ("DELETE", CM + "/none", 404, "NotFound")):
        v = protobuf(a.ask(method, path, Accept=MEDIA + ",application/json"), code)
        j = a.ask(method, path).json
        assert v == as_json(j) and v["reason"] == reason and v["code"] == code, (v, j)
    v = protobuf(a.get(CM, Accept=MEDIA, Impersonate_User="nobody"), 403)
    assert v["reason"] == "Forbidden" and 'User "nobody"' in v["message"], v
    v = protobuf(a.post(CM, encode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "_"}}), Content_Type=MEDIA,
                        Accept=MEDIA), 422)
    assert v["details"]["causes"][0]["field"] == "metadata.name", v


@case
def protobuf_writes():
    """a typed client's life in protobuf: create, update, scale, status, dry run, evict, review, token, delete"""
    h = {"Content_Type": MEDIA, "Accept": MEDIA}
    deployments = f"/apis/apps/v1/namespaces/{NS.rsplit('/', 1)[1]}/deployments"
    labels = {"app": "pb"}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "pb"}, "spec": {
        "replicas": 0, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}],
            "containers": [{"name": "c", "image": "host", "command": ["sleep", "9"], "ports": [{"containerPort": 80}],
                            "readinessProbe": {"httpGet": {"port": "web", "path": "/"}},
                            "resources": {"limits": {"memory": "64Mi", "cpu": "1"}}}]}}}}
    made = protobuf(a.post(deployments, encode(body), **h), 201)
    assert made["spec"]["replicas"] == 0 and made["spec"]["template"]["spec"]["volumes"] == body["spec"]["template"]["spec"]["volumes"]
    dry = protobuf(a.post(deployments + "?dryRun=All", encode(body | {"metadata": {"name": "dry"}}), **h), 201)
    assert dry["metadata"]["name"] == "dry"
    scale = protobuf(a.get(deployments + "/pb/scale", Accept=MEDIA))
    assert scale["kind"] == "Scale" and scale["metadata"]["name"] == "pb", scale
    scale["spec"] = {"replicas": 1}
    del scale["metadata"]["resourceVersion"]  # controllers write to it too
    assert protobuf(a.put(deployments + "/pb/scale", encode(scale), **h))["spec"] == {"replicas": 1}
    patched = protobuf(a.merge(deployments + "/pb", {"metadata": {"labels": {"x": "y"}}}, Accept=MEDIA))
    assert patched["metadata"]["labels"]["x"] == "y" and patched["spec"]["replicas"] == 1
    applied = protobuf(a.apply(deployments + "/pb2?fieldManager=m", dict(body, metadata={"name": "pb2"}), Accept=MEDIA), 201)
    assert applied["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:replicas"] == {}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
              "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    got = protobuf(a.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", encode(review), **h), 201)
    assert got["status"]["allowed"] is True, got
    token = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 700}}
    got = protobuf(a.post("/api/v1/namespaces/default/serviceaccounts/default/token", encode(token), **h), 201)
    assert got["status"]["token"].count(".") == 2 and got["status"]["expirationTimestamp"].endswith("Z"), got
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "pb"}, "spec": {"unschedulable": True}}
    protobuf(a.post("/api/v1/nodes", encode(node), **h), 201)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pb"}, "spec": body["spec"]["template"]["spec"] | {"nodeName": "pb"}}
    protobuf(a.post(NS + "/pods", encode(pod), **h), 201)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "pb"}, "deleteOptions": {"gracePeriodSeconds": 0}}
    got = protobuf(a.post(NS + "/pods/pb/eviction", encode(eviction), **h), 201)
    assert got["kind"] == "Status" and got["status"] == "Success", got
    is_(a.get(NS + "/pods/pb"), 404)  # with a grace of more than 0 it would wait for its node
    protobuf(a.post(NS + "/pods", encode(pod), **h), 201)
    is_(a.delete(NS + "/pods/pb", b"k8s\0\n\x13\n\x02v1\x12\rDeleteOptions\x12\x02\x08\0", **h), 200)
    is_(a.get(NS + "/pods/pb"), 404)
    is_(a.delete("/api/v1/nodes/pb"), 200)
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "pb"}, "spec": {
        "storageClassName": "", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    got = protobuf(a.post(NS + "/persistentvolumeclaims", encode(claim), **h), 201)
    assert got["spec"]["storageClassName"] == "", got  # no class, rather than the default one
    is_(a.delete(NS + "/persistentvolumeclaims/pb"), 200)
    for name in ("pb", "pb2"):  # Go's DeleteOptions: {gracePeriodSeconds: 0, propagationPolicy: Background}
        options = b"k8s\0\n\x13\n\x02v1\x12\rDeleteOptions\x12\x0e\x08\0\x22\x0aBackground"
        v = protobuf(a.delete(f"{deployments}/{name}", options, **h))
        assert v["kind"] in ("Status", "Deployment"), v
    for i in range(3):
        is_(a.post(CM, {"metadata": {"name": f"pb{i}", "labels": {"pb": str(i)}}, "data": {"a": str(i)}}), 201)
    gone = protobuf(a.delete(CM + "?labelSelector=pb", Accept=MEDIA))
    assert gone["kind"] == "ConfigMapList" and sorted(i["data"]["a"] for i in gone["items"]) == ["0", "1", "2"], gone
    gone = protobuf(a.delete(CM + "?labelSelector=none-has-it", Accept=MEDIA))
    assert gone["kind"] == "ConfigMapList" and gone["items"] == []


@case
def protobuf_watch():
    """a watch in protobuf has the events of one in JSON, each form whole; errors and bookmarks are frames too"""
    query = SECRETS + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&labelSelector=w"
    made = a.post(SECRETS, {"metadata": {"name": "w0", "labels": {"w": "1"}}, "stringData": {"a": "b"}})
    is_(made, 201)
    accepts = (MEDIA, MEDIA + ",application/json", "application/json", MEDIA + ";stream=watch", MEDIA + PARTIAL,
               "application/json" + PARTIAL)
    streams = [Stream(query, x) for x in accepts]
    events = [s.events() for s in streams]
    seen = [[next(e), next(e)] for e in events]
    is_(a.post(SECRETS, {"metadata": {"name": "w1", "labels": {"w": "1"}}, "data": {"k": "AP8="}}), 201)
    is_(a.merge(SECRETS + "/w1", {"stringData": {"k2": "\u00e4\n\""}}), 200)
    is_(a.merge(SECRETS + "/w0", {"metadata": {"labels": None}}), 200)  # no longer selected
    is_(a.delete(SECRETS + "/w1"), 200)
    for got, more in zip(seen, events):
        got += [next(more) for _ in range(4)]
        assert [e["type"] for e in got] == ["ADDED", "BOOKMARK", "ADDED", "MODIFIED", "DELETED", "DELETED"], got
        assert got[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}, got[1]
    plain = [dict(e, object=as_json(e["object"])) for e in seen[2]]
    for i in (0, 1, 3):
        # A bookmark has the revision of its own moment.
        assert seen[i][:1] + seen[i][2:] == plain[:1] + plain[2:], i
        assert seen[i][1]["object"]["kind"] == "Secret"
    alone = [dict(e, object=as_json(e["object"])) for e in seen[5]]
    assert seen[4][:1] + seen[4][2:] == alone[:1] + alone[2:] and set(seen[4][2]["object"]) == {"kind", "apiVersion", "metadata"}
    for s in streams:
        s.close()
    is_(a.delete(SECRETS + "/w0"), 200)
    end = list(Stream(SECRETS + "?watch=1&timeoutSeconds=1&allowWatchBookmarks=1&resourceVersion=" + version(made)).events())
    assert len(end) >= 4 and end[-1]["type"] in ("BOOKMARK", "DELETED"), end
    assert all(e["object"]["kind"] == "Secret" for e in end)
    is_(a.get("/apis/keelson.dev/v1/gitsyncs?watch=1", Accept=MEDIA), 406, "NotAcceptable")
    s = Stream("/apis/keelson.dev/v1/gitsyncs?watch=1&timeoutSeconds=1", MEDIA + ",application/json")
    assert s.type == "application/json"
    s.close()


class Copy(threading.Thread):
    """A client's copy of a collection, kept as client-go's informers keep theirs: WatchList, then a watch from where the last one
    ended; its connections break at random."""

    def __init__(self, path, accept, seed):
        super().__init__()
        self.path, self.accept, self.random = path, accept, random.Random(seed)
        self.state, self.rv, self.problems, self.lists, self.end = {}, None, [], 0, None

    def run(self):
        try:
            while self.end is None or self.rv is None or int(self.rv) < self.end:
                if self.rv is None:
                    self.initial()
                else:
                    self.follow(Stream(f"{self.path}?watch=1&resourceVersion={self.rv}&allowWatchBookmarks=true&timeoutSeconds=2",
                                       self.accept))
        except Exception as e:  # pylint: disable=broad-except
            self.problems.append(repr(e))

    def initial(self):
        stream = Stream(self.path + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
                                    "&timeoutSeconds=2", self.accept)
        fresh, left = {}, self.random.choice((1, 3, 1000))
        for e in stream.events():
            m = e["object"]["metadata"]
            if e["type"] == "BOOKMARK" and m.get("annotations", {}).get("k8s.io/initial-events-end") == "true":
                self.state, self.rv, self.lists = fresh, m["resourceVersion"], self.lists + 1
                self.follow(stream)
                return
            left -= 1
            if left == 0:  # broken before the end: nothing of it counts
                break
            if e["type"] == "DELETED":
                fresh.pop(m["name"])
            elif e["type"] != "BOOKMARK":
                fresh[m["name"]] = e["object"]
        stream.close()

    def follow(self, stream):
        left = self.random.randrange(5, 60)
        for e in stream.events():
            v, m = e["object"], e["object"]["metadata"]
            if e["type"] == "ERROR":
                assert v["code"] == 410, v
                self.rv = None
                break
            if e["type"] != "BOOKMARK":
                if int(m["resourceVersion"]) <= int(self.rv):
                    self.problems.append(f"{m['resourceVersion']} after {self.rv}")
                if (e["type"] == "ADDED") == (m["name"] in self.state):
                    self.problems.append(f"{e['type']} {m['name']}")
                self.state[m["name"]] = v
                if e["type"] == "DELETED":
                    del self.state[m["name"]]
            self.rv = m["resourceVersion"]
            left -= 1
            if left == 0 or self.end is not None and int(self.rv) >= self.end:
                break
        if self.random.randrange(4) == 0 and self.end is None:
            self.rv = None  # a new start
        stream.close()


@case
def copies_agree():
    """copies kept by WatchList, in protobuf and JSON, end as the list while objects come and go and connections break"""
    stop, counts, path = threading.Event(), [], "/api/v1/namespaces/copies/configmaps"
    is_(a.post("/api/v1/namespaces", {"metadata": {"name": "copies"}}), 201)

    def write(i):
        c, n = Client(), 0
        while not stop.is_set():
            name = f"copy{i}-{n % 4}"
            c.post(path, cm(name, n=str(n)))
            c.merge(path + "/" + name, {"data": {"n": str(n), "\u00e4": "x" * (n % 200)}})
            if n % 3 == 0:
                c.delete(path + "/" + name)
            n += 1
        counts.append(n)
    for i in range(20):
        is_(a.post(path, cm(f"stays{i}")), 201)
    writers = [threading.Thread(target=write, args=(i,)) for i in range(2)]
    copies = [Copy(path, accept, seed) for seed, accept in enumerate((MEDIA, "application/json", MEDIA + ",application/json", MEDIA))]
    for t in writers + copies:
        t.start()
    time.sleep(2)
    stop.set()
    for t in writers:
        t.join()
    is_(a.post(path, cm("copies-end")), 201)
    last = is_(a.get(path), 200).json
    for c in copies:
        c.end = max(int(o["metadata"]["resourceVersion"]) for o in last["items"])
    for t in copies:
        t.join(60)
        assert not t.is_alive() and not t.problems, t.problems[:5]
    want = {o["metadata"]["name"]: o for o in as_json(last)["items"]}
    for c in copies:
        state = {n: {k: x for k, x in (as_json(v) if c.accept == "application/json" else v).items() if k not in ("apiVersion", "kind")}
                 for n, v in c.state.items()}
        assert state == want, [n for n in set(state) | set(want) if state.get(n) != want.get(n)]
        assert c.lists >= 1
    assert sum(counts) >= 8, counts
    is_(a.delete("/api/v1/namespaces/copies"), 200)


@case
def late_answers():
    """timeout= ends a request that waits with 504, in JSON and protobuf; the connection goes on"""
    future = CM + "?resourceVersion=999999999999&timeout=100ms"
    c = Client()
    is_(c.get(future), 504, "Timeout", "did not complete within requested timeout")
    v = protobuf(c.get(future, Accept=MEDIA), 504)
    assert v["reason"] == "Timeout" and "requested timeout" in v["message"], v
    v = is_(c.get(CM + "?resourceVersion=999999999999"), 504, "Timeout").json
    assert v["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge", v
    is_(c.get(CM), 200)


def compact(revision):
    """In the store of kctl dev, as an administrator would."""
    import grpc  # pylint: disable=import-outside-toplevel; python3-grpcio is there where the store's tests run
    with grpc.insecure_channel("unix:" + os.path.dirname(os.path.realpath(sys.argv[1])) + "/kstored.sock") as channel:
        number = bytearray()
        while revision > 127:
            number.append(revision & 127 | 128)
            revision >>= 7
        call = channel.unary_unary("/etcdserverpb.KV/Compact")
        call(b"\x08" + bytes(number) + bytes([revision]) + b"\x10\x01", timeout=30)


@case
def expired_tokens():
    """a continue token of a compacted snapshot is 410 with another token that shows the rest, in JSON and protobuf"""
    names = [f"page{i}" for i in range(6)]
    for name in names:
        is_(a.post(SECRETS, cm(name)), 201)
    first = is_(a.get(SECRETS + "?limit=2"), 200).json
    again = protobuf(a.get(SECRETS + "?limit=2", Accept=MEDIA))
    shown = [i["metadata"]["name"] for i in first["items"]]
    change = is_(a.merge(SECRETS + "/page5", {"metadata": {"labels": {"new": "yes"}}}), 200)
    is_(a.delete(SECRETS + "/page4"), 200)
    compact(int(version(change)))
    old = is_(a.get(f"{SECRETS}?limit=2&continue={first['metadata']['continue']}"), 410, "Expired", "too old").json
    old2 = protobuf(a.get(f"{SECRETS}?limit=2&continue={again['metadata']['continue']}", Accept=MEDIA), 410)
    assert old2["reason"] == "Expired" and old2["metadata"]["continue"] == old["metadata"]["continue"], (old, old2)
    for accept in ("application/json", MEDIA):
        rest, token = list(shown), old["metadata"]["continue"]
        while token:
            reply = a.get(f"{SECRETS}?limit=2&continue={token}", Accept=accept)
            page = protobuf(reply) if accept == MEDIA else is_(reply, 200).json
            assert int(page["metadata"]["resourceVersion"]) >= int(version(change))
            rest += [i["metadata"]["name"] for i in page["items"]]
            token = page["metadata"].get("continue")
        assert rest == [n for n in names if n != "page4"], rest
    is_(a.delete(SECRETS), 200)
