"""The wire contract of kapid, case by case; run by tests/clients/wire with a kubeconfig. Speaks TAP."""
import gzip
import http.client
import json
import threading
import time

from wireclient import a, case, Client, cm, CM, finish, host, is_, nobody, NS, port, TABLE, tls, version, Watch


@case
def headers():
    """every answer has an Audit-Id and is not to be cached"""
    r = is_(a.get("/api/v1/namespaces", Audit_Id="my-id"), 200)
    assert r.headers["Audit-Id"] == "my-id" and "no-cache" in r.headers["Cache-Control"]
    assert len(is_(a.get("/nothing"), 404, "NotFound").headers["Audit-Id"]) == 36


@case
def strangers():
    """without a certificate only health and version are shown"""
    n = Client(nobody)
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        is_(n.get(path), 200)
    for path in ("/api/v1/namespaces", "/apis", "/metrics", "/openapi/v2"):
        is_(n.get(path), 401, "Unauthorized")
    is_(n.get("/api/v1/namespaces", Authorization="Bearer a.b.c"), 401, "Unauthorized")


@case
def paths():
    """unknown paths and methods are refused in the API's words"""
    is_(a.get("/api/v1/gadgets"), 404, "NotFound", "could not find the requested resource")
    is_(a.get("/apis/none/v1/things"), 404, "NotFound")
    is_(a.post("/api/v1/namespaces/default/pods/x", {}), 405, "MethodNotAllowed")
    is_(a.post("/api/v1/pods", {}), 405, "MethodNotAllowed")
    is_(a.get("/api/v1/namespaces/default/pods/x/nothing"), 404, "NotFound")
    is_(a.get("/healthz/nothing"), 404, "NotFound")
    assert is_(a.get("/livez/ping"), 200).text == "ok"
    for root in ("/api", "/apis", "/version", "/apis/apps", "/apis/apps/v1"):
        assert a.get(root).text == a.get(root + "/").text


@case
def bodies():
    """bodies that cannot be read: 400, 413, 415; Accept that cannot be met: 406"""
    is_(a.post("/api/v1/namespaces", "{"), 400, "BadRequest")
    is_(a.post("/api/v1/namespaces", '{"metadata":{"name":"x"},"kind":"Pod","apiVersion":"v1"}'),
        400, "BadRequest")
    is_(a.post("/api/v1/namespaces", "x", Content_Type="text/plain"), 415, "UnsupportedMediaType")
    is_(a.get("/api/v1/namespaces", Accept="image/png"), 406, "NotAcceptable")
    is_(a.get("/api/v1/namespaces", Accept="application/vnd.kubernetes.protobuf, */*"), 200)
    big = Client()
    is_(big.post("/api/v1/namespaces", " " * (3 * 1024 * 1024 + 10)), 413, "RequestEntityTooLarge")


@case
def create():
    """create: what the server owns, names, namespaces"""
    is_(a.post("/api/v1/namespaces", {"metadata": {"name": "wire"}}), 201)
    r = is_(a.post(CM, {"metadata": {"name": "one", "uid": "mine", "generation": 9, "selfLink": "x",
                                     "creationTimestamp": None}, "data": {"a": "1"}}), 201).json
    m = r["metadata"]
    assert m["uid"] != "mine" and m["namespace"] == "wire" and "selfLink" not in m
    assert r["kind"] == "ConfigMap" and r["apiVersion"] == "v1" and m["creationTimestamp"].endswith("Z")
    is_(a.post(CM, cm("one")), 409, "AlreadyExists", 'configmaps "one" already exists')
    is_(a.post("/api/v1/namespaces/none/configmaps", cm("x")), 404, "NotFound", 'namespaces "none" not found')
    is_(a.post(CM, {"metadata": {"name": "x", "namespace": "default"}}), 400, "BadRequest", "namespace")
    is_(a.post(CM, {"metadata": {"name": "X_"}}), 422, "Invalid")
    is_(a.post(CM, {"metadata": {}}), 422, "Invalid")
    names = {is_(a.post(CM, {"metadata": {"generateName": "g-"}}), 201).json["metadata"]["name"]
             for _ in range(5)}
    assert len(names) == 5 and all(n.startswith("g-") and len(n) == 7 for n in names)
    is_(a.delete(CM), 200)


@case
def update():
    """PUT: conflicts, preconditions, nothing written when nothing changes"""
    first = is_(a.post(CM, cm("u", a="1")), 201).json
    two = is_(a.put(CM + "/u", dict(first, data={"a": "2"})), 200)
    assert version(two) != first["metadata"]["resourceVersion"]
    is_(a.put(CM + "/u", first), 409, "Conflict", "the object has been modified")
    same = is_(a.put(CM + "/u", two.json), 200)
    assert version(same) == version(two)
    assert version(is_(a.put(CM + "/u", cm("u", a="2")), 200)) == version(two)
    is_(a.put(CM + "/u", cm("other")), 400, "BadRequest")
    is_(a.put(CM + "/none", cm("none")), 404, "NotFound", 'configmaps "none" not found')
    bad = cm("u")
    bad["metadata"]["uid"] = "no"
    is_(a.put(CM + "/u", bad), 409, "Conflict", "UID in precondition")
    lease = "/apis/coordination.k8s.io/v1/namespaces/wire/leases/l"
    is_(a.put(lease, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}), 201)
    is_(a.put(lease, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "you"}}), 422,
        "Invalid", "must be specified for an update")


@case
def what_the_server_adds():
    """twins are kept, names are in refusals, what admission or a type brings is nobody's"""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "t"}, "spec": {"containers": [
        {"name": "c", "image": "i", "env": [{"name": "A"}, {"name": "A", "value": "2"}]}]}}
    made = is_(a.post(NS + "/pods?fieldManager=m", pod), 201).json
    assert len(made["spec"]["containers"][0]["env"]) == 2
    owned = made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]
    assert "f:containers" in owned and "f:tolerations" not in owned
    assert "f:serviceAccountName" not in owned and "tolerations" in made["spec"]
    is_(a.apply(NS + "/pods/t?fieldManager=n&force=true", pod), 422, "Invalid", "Duplicate value")
    pod["metadata"]["name"], pod["spec"]["containers"] = "t2", []
    assert is_(a.post(NS + "/pods", pod), 422, "Invalid").json["details"]["name"] == "t2"
    s = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "np"},
         "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    assert is_(a.apply(NS + "/services/np?fieldManager=m", s), 201).json["spec"]["ports"][0]["nodePort"]
    s["spec"]["type"] = "ClusterIP"
    for r in (a.apply(NS + "/services/np?fieldManager=m", s),
              a.merge(NS + "/services/np", {"spec": {"type": "NodePort"}}),
              a.merge(NS + "/services/np", {"spec": {"type": "ClusterIP"}})):
        spec = is_(r, 200).json["spec"]
        assert ("nodePort" in spec["ports"][0]) == (spec["type"] == "NodePort")


@case
def patches():
    """patches: merge, JSON, strategic; versions, identity, types"""
    v = version(is_(a.post(CM, cm("p", a="1")), 201))
    r = is_(a.merge(CM + "/p", {"data": {"b": "2", "a": None}, "metadata": {"resourceVersion": v}}), 200)
    assert r.json["data"] == {"b": "2"}
    is_(a.merge(CM + "/p", {"data": {"b": "3"}, "metadata": {"resourceVersion": v}}), 409, "Conflict")
    assert version(is_(a.merge(CM + "/p", {"data": {"b": "2"}}), 200)) == version(r)
    is_(a.ask("PATCH", CM + "/p", [{"op": "test", "path": "/data/b", "value": "9"}],
              Content_Type="application/json-patch+json"), 422, "Invalid")
    is_(a.merge(CM + "/p", {"metadata": {"name": "q"}}), 400)
    is_(a.ask("PATCH", CM + "/p", {}, Content_Type="text/plain"), 415, "UnsupportedMediaType")
    is_(a.merge(CM + "/none", {}), 404, "NotFound")


@case
def apply():
    """server-side apply: creates, conflicts, force, and an apply that changes nothing"""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}, "data": {"a": "1"}}
    is_(a.apply(CM + "/s", body), 422, "Invalid", "fieldManager")
    r = is_(a.apply(CM + "/s?fieldManager=one", body), 201)
    time.sleep(1.1)
    assert version(is_(a.apply(CM + "/s?fieldManager=one", body), 200)) == version(r)
    other = dict(body, data={"a": "2"})
    c = is_(a.apply(CM + "/s?fieldManager=two", other), 409, "Conflict", 'conflict with "one"').json
    assert c["details"]["causes"][0] == {"reason": "FieldManagerConflict", "field": ".data.a",
                                         "message": 'conflict with "one"'}, c
    is_(a.apply(CM + "/s?fieldManager=two&force=true", other), 200)
    left = is_(a.apply(CM + "/s?fieldManager=one", dict(body, data={})), 200).json
    assert left["data"] == {"a": "2"}


@case
def dry_run():
    """dryRun=All answers as if and stores nothing"""
    r = is_(a.post(CM + "?dryRun=All", cm("dry")), 201).json
    assert r["metadata"]["uid"] and "resourceVersion" not in r["metadata"]
    is_(a.get(CM + "/dry"), 404)
    is_(a.post(CM + "?dryRun=some", cm("dry")), 422, "Invalid")
    is_(a.post(CM + "?dryRun=%ff", cm("dry")), 422, "Invalid")
    is_(a.post(CM + "?dryRun=All&dryRun=some", cm("dry")), 422, "Invalid", '["All","some"]: supported values: "All"')
    is_(a.post(CM, cm("dry", a="1")), 201)
    is_(a.post(CM + "?dryRun=All", cm("dry")), 409, "AlreadyExists")
    assert is_(a.merge(CM + "/dry?dryRun=All", {"data": {"a": "2"}}), 200).json["data"]["a"] == "2"
    is_(a.delete(CM + "/dry", {"dryRun": ["All"]}), 200)
    assert is_(a.get(CM + "/dry"), 200).json["data"]["a"] == "1"


@case
def validation():
    """unknown fields: a warning, an error or nothing, as asked"""
    pod = {"metadata": {"name": "v"}, "spec": {"containers": [{"name": "c", "image": "host"}], "speck": 1}}
    url = NS + "/pods?dryRun=All&fieldValidation="
    r = is_(a.post(url + "Warn", pod), 201)
    assert 'unknown field \\"spec.speck\\"' in r.headers["Warning"], r.headers["Warning"]
    assert "speck" not in r.json["spec"]
    assert is_(a.post(url + "Ignore", pod), 201).headers["Warning"] is None
    is_(a.post(url + "Strict", pod), 400, "BadRequest", 'unknown field "spec.speck"')
    is_(a.post(url + "Hard", pod), 422, "Invalid")
    del pod["spec"]["containers"]
    s = is_(a.post(url + "Warn", pod), 422, "Invalid", "spec.containers").json
    assert s["details"]["kind"] == "Pod" and s["details"]["causes"]


@case
def delete():
    """delete: preconditions, finalizers, propagation"""
    r = is_(a.post(CM, {"metadata": {"name": "d", "finalizers": ["x.example/y"]}}), 201).json
    is_(a.delete(CM + "/d", {"preconditions": {"uid": "no"}}), 409, "Conflict")
    is_(a.delete(CM + "/d", {"propagationPolicy": "Sideways"}), 422, "Invalid")
    gone = is_(a.delete(CM + "/d", {"preconditions": {"uid": r["metadata"]["uid"]}}), 200).json
    assert gone["metadata"]["deletionTimestamp"] and gone["kind"] == "ConfigMap"
    is_(a.merge(CM + "/d", {"metadata": {"finalizers": ["x.example/y", "x.example/z"]}}), 422)
    is_(a.merge(CM + "/d", {"metadata": {"finalizers": None}}), 200)
    is_(a.get(CM + "/d"), 404, "NotFound")
    is_(a.post(CM, cm("d")), 201)
    s = is_(a.delete(CM + "/d"), 200).json
    assert s["status"] == "Success" and s["details"]["name"] == "d" and s["details"]["kind"] == "configmaps"
    is_(a.delete(CM + "/d"), 404, "NotFound")
    is_(a.delete("/api/v1/namespaces/kube-system"), 403, "Forbidden")


@case
def collection():
    """deletecollection takes what its selectors match"""
    for i in range(6):
        is_(a.post(CM, {"metadata": {"name": f"c{i}", "labels": {"odd": str(i % 2)}}}), 201)
    r = is_(a.delete(CM + "?labelSelector=odd%3D1"), 200).json
    assert r["kind"] == "ConfigMapList" and len(r["items"]) == 3
    left = {o["metadata"]["name"] for o in is_(a.get(CM + "?labelSelector=odd"), 200).json["items"]}
    assert left == {"c0", "c2", "c4"}
    is_(a.delete(CM), 200)


@case
def pages():
    """pages are one snapshot, whatever changes in between"""
    for i in range(7):
        is_(a.post(CM, cm(f"n{i}")), 201)
    # The namespace has one of its own, which comes back after the deletion above.
    for _ in range(100):
        if a.get(CM + "/kube-root-ca.crt").code == 200:
            break
        time.sleep(0.1)
    first = is_(a.get(CM + "?limit=4"), 200).json
    assert [o["metadata"]["name"] for o in first["items"]] == ["kube-root-ca.crt", "n0", "n1", "n2"]
    assert first["metadata"]["remainingItemCount"] == 4
    is_(a.delete(CM + "/n5"), 200)
    is_(a.post(CM, cm("n31")), 201)
    names, token = [], first["metadata"]["continue"]
    while token:
        page = is_(a.get(CM + "?limit=2&continue=" + token), 200).json
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        names += [o["metadata"]["name"] for o in page["items"]]
        token = page["metadata"].get("continue")
    assert names == ["n3", "n4", "n5", "n6"], names
    is_(a.get(CM + "?limit=2&continue=rubbish"), 400, "BadRequest")
    assert "remainingItemCount" not in a.get(CM + "?limit=1&labelSelector=%21x").json["metadata"]


@case
def freshness():
    """lists and gets at the freshness that is asked for"""
    v = version(is_(a.get(CM), 200))
    for q in ("?resourceVersion=0", f"?resourceVersion={v}", "?limit=500&resourceVersion=0",
              f"?resourceVersion={v}&resourceVersionMatch=NotOlderThan"):
        is_(a.get(CM + q), 200)
    before = is_(a.post(CM, cm("fresh")), 201).json["metadata"]["resourceVersion"]
    is_(a.delete(CM + "/fresh"), 200)
    exact = is_(a.get(CM + f"?resourceVersion={before}&resourceVersionMatch=Exact"), 200).json
    assert exact["metadata"]["resourceVersion"] == before
    assert "fresh" in [o["metadata"]["name"] for o in exact["items"]]
    r = is_(a.get(CM + "?resourceVersion=99999999"), 504, "Timeout", "Too large resource version")
    assert r.json["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    is_(a.get(CM + "?resourceVersionMatch=Exact"), 422)
    is_(a.get(CM + "?resourceVersion=0&resourceVersionMatch=Exact"), 422)
    is_(a.get(CM + "?resourceVersion=x"), 400)
    is_(a.get(CM + "?labelSelector=a%3D%3D%3Db"), 400, "BadRequest")
    is_(a.get(CM + "?fieldSelector=data.a%3Db"), 400, "BadRequest",
        '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"')
    is_(a.get(CM + "/n0?resourceVersion=0"), 200)


@case
def own_writes():
    """a writer reads its own write, at once, a hundred times"""
    for i in range(100):
        is_(a.merge(CM + "/n0", {"data": {"i": str(i)}}), 200)
        assert is_(a.get(CM + "/n0"), 200).json["data"]["i"] == str(i)
        assert [o for o in is_(a.get(CM), 200).json["items"]
                if o["metadata"]["name"] == "n0"][0]["data"]["i"] == str(i)


@case
def watch_resumes():
    """a watch resumes behind a resourceVersion with every event in order"""
    v = version(is_(a.get(CM), 200))
    is_(a.post(CM, cm("w")), 201)
    for i in range(5):
        is_(a.merge(CM + "/w", {"data": {"i": str(i)}}), 200)
    is_(a.delete(CM + "/w"), 200)
    events = Watch(CM + f"?watch=1&resourceVersion={v}&timeoutSeconds=1").all()
    assert [e["type"] for e in events] == ["ADDED"] + ["MODIFIED"] * 5 + ["DELETED"], events
    rvs = [int(e["object"]["metadata"]["resourceVersion"]) for e in events]
    assert rvs == sorted(set(rvs)) and rvs[0] > int(v)
    assert all(e["object"]["kind"] == "ConfigMap" for e in events)
    again = Watch(CM + f"?watch=1&resourceVersion={rvs[2]}&timeoutSeconds=1").all()
    assert again == events[3:]
    old = Watch(CM + "?watch=1&resourceVersion=1&timeoutSeconds=1")
    e = old.next()
    assert old.code == 200 and (e["type"] != "ERROR" or e["object"]["code"] == 410), e


@case
def watch_selects():
    """with a selector, what starts or ceases to match is ADDED or DELETED"""
    w = Watch(CM + "?watch=true&labelSelector=on%3Dyes&timeoutSeconds=3")
    is_(a.post(CM, cm("sel")), 201)
    steps = [({"on": "yes"}, "ADDED"), ({"on": "yes", "x": "y"}, "MODIFIED"), ({"on": "no"}, "DELETED"),
             ({"on": "yes"}, "ADDED")]
    for labels, kind in steps:
        v = version(is_(a.merge(CM + "/sel", {"metadata": {"labels": labels}}), 200))
        e = w.next()
        assert e["type"] == kind and e["object"]["metadata"]["resourceVersion"] == v, e
    is_(a.delete(CM + "/sel"), 200)
    assert w.next()["type"] == "DELETED"
    w.close()


@case
def watch_initial():
    """sendInitialEvents: what exists, a marked bookmark, then what comes"""
    q = CM + "?watch=1&sendInitialEvents=true&timeoutSeconds=2"
    is_(a.get(q), 422, "Invalid")
    w = Watch(q + "&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true")
    n = len(is_(a.get(CM), 200).json["items"])
    events = [w.next() for _ in range(n + 1)]
    assert [e["type"] for e in events] == ["ADDED"] * n + ["BOOKMARK"]
    assert events[-1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true"
    is_(a.post(CM, cm("late")), 201)
    e = w.next()
    assert e["type"] == "ADDED" and e["object"]["metadata"]["name"] == "late"
    is_(a.post("/api/v1/namespaces/default/configmaps", cm("elsewhere")), 201)
    rest = w.all()
    assert rest and rest[-1]["type"] == "BOOKMARK", rest
    is_(a.delete("/api/v1/namespaces/default/configmaps/elsewhere"), 200)


@case
def tables():
    """tables and metadata only, in lists, items and watches"""
    t = is_(a.get(CM + "?limit=2", Accept=TABLE), 200).json
    assert t["kind"] == "Table" and t["columnDefinitions"][0]["name"] == "Name" and len(t["rows"]) == 2
    assert t["rows"][0]["object"]["kind"] == "PartialObjectMetadata" and t["metadata"]["continue"]
    t = is_(a.get(CM + "/n0?includeObject=Object", Accept=TABLE), 200).json
    assert t["rows"][0]["object"]["kind"] == "ConfigMap"
    p = is_(a.get(CM, Accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"), 200).json
    assert p["kind"] == "PartialObjectMetadataList" and "data" not in p["items"][0]
    w = Watch(CM + "?watch=1&timeoutSeconds=1")
    w.close()
    c = http.client.HTTPSConnection(host, int(port), context=tls, timeout=10)
    c.request("GET", CM + "?watch=1&timeoutSeconds=1", headers={"Accept": TABLE})
    lines = c.getresponse().read().decode().splitlines()
    first = json.loads(lines[0])
    assert first["object"]["kind"] == "Table" and len(first["object"]["rows"]) == 1


import applied  # noqa: E402,F401 pylint: disable=wrong-import-position,unused-import; its cases run here
import details  # noqa: E402,F401 pylint: disable=wrong-import-position,unused-import; its cases run here
import others  # noqa: E402,F401 pylint: disable=wrong-import-position,unused-import; its cases run here
import wirelists  # noqa: E402 pylint: disable=wrong-import-position,unused-import; its cases run here
import wireevents  # noqa: E402 pylint: disable=wrong-import-position,unused-import; and these
import wirestreams  # noqa: E402 pylint: disable=wrong-import-position,unused-import; and these


def deployment(name, replicas):
    return {"metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"a": name}},
        "template": {"metadata": {"labels": {"a": name}},
                     "spec": {"containers": [{"name": "c", "image": "host", "command": ["sleep", "1"]}]}}}}


@case
def parts():
    """status, scale and generation are written apart"""
    d = "/apis/apps/v1/namespaces/wire/deployments"
    first = is_(a.post(d, dict(deployment("d", 0), status={"replicas": 9})), 201).json
    assert first["metadata"]["generation"] == 1 and first.get("status", {}).get("replicas", 0) == 0
    s = is_(a.merge(d + "/d/scale", {"spec": {"replicas": 2}}), 200).json
    assert s["kind"] == "Scale" and s["spec"]["replicas"] == 2
    assert s["status"]["selector"] == "a=d"
    is_(a.merge(d + "/d/status", {"spec": {"replicas": 7}, "status": {"collisionCount": 3}}), 200)
    now = is_(a.get(d + "/d"), 200).json
    assert now["spec"]["replicas"] == 2 and now["metadata"]["generation"] == 2
    assert now["status"]["collisionCount"] == 3
    is_(a.merge(d + "/d", {"status": {"collisionCount": 5}}), 200)
    assert is_(a.get(d + "/d/status"), 200).json["status"]["collisionCount"] == 3
    own = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "uid": now["metadata"]["uid"]},
           "status": {"collisionCount": 4}}
    is_(a.apply(d + "/d/status?fieldManager=m&force=true", own), 200)
    other = dict(own, metadata={"name": "d", "uid": "another"}, status={"collisionCount": 5})
    is_(a.apply(d + "/d/status?fieldManager=m&force=true", other), 422, "Invalid", "field is immutable")
    assert is_(a.get(d + "/d/status"), 200).json["status"]["collisionCount"] == 4
    is_(a.merge(d + "/d/scale", {"spec": {"replicas": -1}}), 422, "Invalid")
    is_(a.delete(d + "/d"), 200)


def pod(name, **spec):
    return {"metadata": {"name": name}, "spec": dict(
        spec, containers=[{"name": "c", "image": "host", "command": ["sleep", "1"]}],
        schedulerName="nobody")}


@case
def pods():
    """a pod: default account and tolerations, binding once, grace, eviction, log"""
    p = NS + "/pods"
    r = is_(a.post(p, pod("b")), 201).json
    assert r["spec"]["serviceAccountName"] == "default" and r["status"]["phase"] == "Pending"
    assert {t["key"] for t in r["spec"]["tolerations"]} == {
        "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}
    is_(a.get(p + "/b/log"), 400, "BadRequest", "does not have a host assigned")
    is_(a.post("/api/v1/nodes", {"metadata": {"name": "node-x"}}), 201)  # or the pod would be taken for lost
    bind = {"metadata": {"name": "b"}, "target": {"kind": "Node", "name": "node-x"}}
    is_(a.post(p + "/b/binding", bind), 201)
    is_(a.post(p + "/b/binding", bind), 409, "Conflict", "already assigned")
    # the older form, which client libraries still have
    is_(a.post(NS + "/bindings", bind), 409, "Conflict", "already assigned")
    is_(a.post(NS + "/bindings", {"target": bind["target"]}), 422, "Invalid", "metadata.name")
    is_(a.post(NS + "/bindings", {"metadata": {"name": "none"}, "target": bind["target"]}), 404, "NotFound")
    is_(a.get(NS + "/bindings"), 405, "MethodNotAllowed")
    is_(a.post(p, pod("older")), 201)
    is_(a.post(NS + "/bindings", {"metadata": {"name": "older"}, "target": {"name": ""}}), 422, "Invalid", "target")
    is_(a.post(NS + "/bindings", {"metadata": {"name": "older"}, "target": bind["target"]}), 201)
    assert is_(a.get(p + "/older"), 200).json["spec"]["nodeName"] == "node-x"
    is_(a.delete(p + "/older", {"gracePeriodSeconds": 0}), 200)
    now = is_(a.get(p + "/b"), 200).json
    assert now["spec"]["nodeName"] == "node-x"
    assert {c["type"]: c["status"] for c in now["status"]["conditions"]}["PodScheduled"] == "True"
    found = is_(a.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-x,status.phase%21%3DFailed"), 200)
    assert len(found.json["items"]) == 1
    gone = is_(a.delete(p + "/b", {"gracePeriodSeconds": 20}), 200).json
    assert gone["metadata"]["deletionGracePeriodSeconds"] == 20
    is_(a.delete(p + "/b", {"gracePeriodSeconds": 60}), 200)
    assert is_(a.get(p + "/b"), 200).json["metadata"]["deletionGracePeriodSeconds"] == 20
    is_(a.delete(p + "/b", {"gracePeriodSeconds": 0}), 200)
    is_(a.get(p + "/b"), 404)
    is_(a.delete("/api/v1/nodes/node-x"), 200)
    is_(a.post(p, pod("e")), 201)
    is_(a.post(p + "/e/eviction", {"apiVersion": "policy/v1", "kind": "Eviction",
                                   "metadata": {"name": "e"}}), 201)
    is_(a.get(p + "/e"), 404)
    is_(a.post(p, pod("k", serviceAccountName="nobody")), 403, "Forbidden", "nobody")
    is_(a.post(p, pod("k", priorityClassName="none")), 403, "Forbidden", "PriorityClass")


@case
def services():
    """Services get an address and ports of their own and give them back"""
    s = NS + "/services"

    def service(name, **spec):
        return {"metadata": {"name": name}, "spec": dict(spec, ports=[{"port": 80}])}

    one = is_(a.post(s, service("one", type="NodePort")), 201).json["spec"]
    ip, node_port = one["clusterIP"], one["ports"][0]["nodePort"]
    assert ip.startswith("10.96.") and one["clusterIPs"] == [ip] and 30000 <= node_port <= 32767
    is_(a.post(s, service("two", clusterIP=ip)), 422, "Invalid", "already allocated")
    bad = service("two", type="NodePort")
    bad["spec"]["ports"][0]["nodePort"] = node_port
    is_(a.post(s, bad), 422, "Invalid", "already allocated")
    is_(a.post(s, service("two", clusterIP="192.0.2.1")), 422, "Invalid", "valid range")
    assert is_(a.post(s, service("none", clusterIP="None")), 201).json["spec"]["clusterIP"] == "None"
    is_(a.delete(s + "/one"), 200)
    assert is_(a.post(s, service("two", clusterIP=ip)), 201).json["spec"]["clusterIP"] == ip
    results = []

    def make(i):
        results.append(Client().post(s, service(f"p{i}")).json["spec"]["clusterIP"])

    threads = [threading.Thread(target=make, args=(i,)) for i in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(results)) == 20


@case
def reviews():
    """reviews report the rights of a user; impersonation acts as one"""
    ask = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": "x"}}}
    url = "/apis/authorization.k8s.io/v1/"
    assert is_(a.post(url + "selfsubjectaccessreviews", ask), 201).json["status"]["allowed"] is True
    ann = Client()
    as_ann = {"Impersonate_User": "ann"}
    r = is_(ann.post(url + "selfsubjectaccessreviews", ask, **as_ann), 201)
    assert r.json["status"]["allowed"] is False
    is_(ann.get("/api/v1/namespaces/x/pods", **as_ann), 403, "Forbidden",
        'pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "x"')
    who = is_(ann.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, **as_ann), 201).json
    assert who["status"]["userInfo"]["username"] == "ann"
    rb = "/apis/rbac.authorization.k8s.io/v1/namespaces/wire/"
    is_(a.post(rb + "roles", {"metadata": {"name": "r"}, "rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["n0"]},
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create"]}]}), 201)
    is_(a.post(rb + "rolebindings", {"metadata": {"name": "r"}, "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}, "subjects": [
            {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "ann"}]}), 201)
    end = time.time() + 5
    while ann.get(CM + "/n0", **as_ann).code != 200 and time.time() < end:
        time.sleep(0.02)
    is_(ann.get(CM + "/n0", **as_ann), 200)
    is_(ann.get(CM + "/n1", **as_ann), 403, "Forbidden")
    is_(ann.get(CM, **as_ann), 403, "Forbidden")
    is_(ann.post(rb + "roles", {"metadata": {"name": "more"}, "rules": [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}, **as_ann), 403, "Forbidden",
        "attempting to grant RBAC permissions not currently held")
    is_(ann.get(CM + "/n0", Impersonate_User="ann", Impersonate_Group="system:masters"), 200)


@case
def tokens():
    """a service account's token is its user, until the account is deleted"""
    sa = NS + "/serviceaccounts"
    is_(a.post(sa, {"metadata": {"name": "t"}}), 201)
    is_(a.post(sa + "/t/token", {"spec": {"expirationSeconds": 10}}), 422, "Invalid")
    token = is_(a.post(sa + "/t/token", {"spec": {}}), 201).json["status"]["token"]
    t = Client(nobody)
    bearer = {"Authorization": "Bearer " + token}
    who = is_(t.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, **bearer), 201).json
    assert who["status"]["userInfo"]["username"] == "system:serviceaccount:wire:t"
    assert "system:serviceaccounts:wire" in who["status"]["userInfo"]["groups"]
    is_(t.get(CM, **bearer), 403, "Forbidden")
    r = is_(a.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}}), 201).json
    assert r["status"]["authenticated"] is True
    is_(a.delete(sa + "/t"), 200)
    end = time.time() + 5
    while t.get(CM, **bearer).code != 401 and time.time() < end:
        time.sleep(0.02)
    is_(t.get(CM, **bearer), 401, "Unauthorized")


@case
def custom():
    """a custom kind is served at once, validated, pruned, and is deleted with its definition"""
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "size": {"type": "integer", "minimum": 1, "default": 3}}}}}
    crd = {"metadata": {"name": "widgets.wire.example"}, "spec": {
        "group": "wire.example", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
                      "schema": {"openAPIV3Schema": schema}}]}}
    is_(a.post(crds, crd), 201)
    w = "/apis/wire.example/v1/namespaces/wire/widgets"
    r = is_(a.post(w, {"apiVersion": "wire.example/v1", "kind": "Widget", "metadata": {"name": "w"},
                       "spec": {"colour": "red"}}), 201).json
    assert r["spec"] == {"size": 3}
    is_(a.merge(w + "/w", {"spec": {"size": 0}}), 422, "Invalid", "spec.size")
    is_(a.ask("PATCH", w + "/w", {}, Content_Type="application/strategic-merge-patch+json"), 415)
    assert any(g["name"] == "wire.example" for g in a.get("/apis").json["groups"])
    is_(a.delete(crds + "/widgets.wire.example"), 200)
    end = time.time() + 5
    while a.get(w).code != 404 and time.time() < end:
        time.sleep(0.02)
    is_(a.get(w), 404, "NotFound")
    is_(a.post(crds, crd), 201)
    end = time.time() + 5
    while a.get(w).json.get("items") != [] and time.time() < end:
        time.sleep(0.02)
    assert is_(a.get(w), 200).json["items"] == []
    is_(a.delete(crds + "/widgets.wire.example"), 200)


@case
def counters():
    """eight writers that count with conflicts, and eight that patch, lose nothing"""
    is_(a.post(CM, cm("count", n="0")), 201)

    def count(_):
        c, done = Client(), 0
        while done < 25:
            o = c.get(CM + "/count").json
            o["data"]["n"] = str(int(o["data"]["n"]) + 1)
            done += c.put(CM + "/count", o).code == 200

    def patch(i):
        c = Client()
        for k in range(25):
            code = c.merge(CM + "/count", {"data": {f"w{i}-{k}": "x"}}).code
            assert code in (200, 409)
            if code == 200:
                taken.append(f"w{i}-{k}")

    threads = [threading.Thread(target=count, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert is_(a.get(CM + "/count"), 200).json["data"]["n"] == "200"
    taken = []
    threads = [threading.Thread(target=patch, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    # The server tries again after a race, a few times: what it took is there, and that is most of it.
    there = is_(a.get(CM + "/count"), 200).json["data"]
    assert set(there) == set(taken) | {"n"} and len(taken) > 50, (len(there), len(taken))


@case
def list_options():
    """options that do not fit together are refused in the reference server's words; a negative limit is none"""
    w = CM + "?watch=1&timeoutSeconds=1&"
    lead = 'ListOptions.meta.k8s.io "" is invalid: '
    for path, field in ((w + "sendInitialEvents=true", "resourceVersionMatch"), (w + "resourceVersionMatch=NotOlderThan", "resourceVersionMatch"),
                        (w + "sendInitialEvents=true&resourceVersionMatch=Exact", "resourceVersionMatch"),
                        (CM + "?sendInitialEvents=true", "sendInitialEvents"), (CM + "?resourceVersionMatch=Exact", "resourceVersionMatch"),
                        (CM + "?resourceVersion=1&resourceVersionMatch=Odd", "resourceVersionMatch")):
        r = is_(a.get(path), 422, "Invalid", lead + field)
        assert r.json["details"]["causes"][0]["field"] == field
    assert "continue" not in is_(a.get("/api/v1/namespaces?limit=-1"), 200).json["metadata"]
    is_(a.get(CM + "?limit=many"), 400, "BadRequest")


@case
def watch_from_now():
    """sendInitialEvents=false without a version begins now: what is there is not shown, what comes is"""
    is_(a.post(CM, cm("before")), 201)
    watch = Watch(CM + "?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan")
    assert watch.code == 200
    is_(a.post(CM, cm("after")), 201)
    assert watch.next()["object"]["metadata"]["name"] == "after"
    watch.close()
    is_(a.delete(CM), 200)


@case
def negotiation():
    """Accept: the best q wins, YAML is served, what cannot be served is 406"""
    path = "/api/v1/namespaces/default"
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    assert is_(a.get(path, Accept="application/json;q=0.5," + table), 200).json["kind"] == "Table"
    assert is_(a.get(path, Accept=table + ";q=0.2,application/json"), 200).json["kind"] == "Namespace"
    assert is_(a.get(path, Accept="application/json;q=0,image/png,*/*;q=0.1"), 200).json["kind"] == "Namespace"
    for accept in ("image/png", "application/json;q=0", "application/json;as=Table;v=v9;g=meta.k8s.io"):
        is_(a.get(path, Accept=accept), 406, "NotAcceptable")
    r = is_(a.get(path, Accept="application/yaml"), 200)
    assert r.headers["Content-Type"] == "application/yaml" and "kind: Namespace" in r.text
    assert " kind: Namespace\n" in is_(a.get("/api/v1/namespaces?limit=1", Accept="application/yaml"), 200).text
    assert "reason: NotFound" in is_(a.get(CM + "/none", Accept="application/yaml"), 404).text
    is_(a.get(CM + "?watch=1", Accept="application/yaml"), 406, "NotAcceptable")
    for version in ("v1", "v1beta1"):
        part = "application/json;as=PartialObjectMetadata%s;g=meta.k8s.io;v=" + version
        assert is_(a.get(path, Accept=part % ""), 200).json["apiVersion"] == "meta.k8s.io/" + version
        r = is_(a.get("/api/v1/namespaces", Accept=part % "List"), 200).json
        assert r["kind"] == "PartialObjectMetadataList" and "spec" not in r["items"][0]


@case
def compression():
    """answers above 128 KB are compressed for who takes it; smaller ones, watches, and other clients' are not"""
    is_(a.post(CM, cm("zip", x="y" * 200000)), 201)

    def ask(path, **h):
        c = http.client.HTTPSConnection(host, int(port), context=tls, timeout=30)
        c.request("GET", path, headers={k.replace("_", "-"): v for k, v in h.items()})
        r = c.getresponse()
        return r, r.read()
    for path in (CM + "/zip", CM):
        r, body = ask(path, Accept_Encoding="gzip")
        assert r.headers["Content-Encoding"] == "gzip" and "Accept-Encoding" in r.headers["Vary"] and len(body) < 20000
        assert gzip.decompress(body) == ask(path)[1]
    for path, accept in ((CM + "/zip", "gzip;q=0"), (CM + "/zip", "br"), ("/api/v1/namespaces", "gzip"),
                         (CM + "?watch=1&timeoutSeconds=1", "gzip")):
        assert ask(path, Accept_Encoding=accept)[0].headers["Content-Encoding"] is None
    is_(a.delete(CM), 200)


@case
def time_limit():
    """timeout= is a duration of Go; the order of a Status is the reference server's; a Service has a status"""
    is_(a.get(CM + "?timeout=1m30.5s"), 200)
    is_(a.get(CM + "?timeout=soon"), 400, "BadRequest", 'time: invalid duration "soon"')
    keys = list(is_(a.get(CM + "/none"), 404).json)
    assert keys == ["kind", "apiVersion", "metadata", "status", "message", "reason", "details", "code"], keys
    body = {"metadata": {"name": "stat"}, "spec": {"ports": [{"port": 80}]}}
    made = is_(a.post(NS + "/services", body), 201).json
    assert made["status"] == {"loadBalancer": {}}
    assert is_(a.put(NS + "/services/stat", dict(made, status={"x": 1})), 200).json["status"] == {"loadBalancer": {}}
    is_(a.delete(NS + "/services/stat"), 200)


@case
def watchers_agree():
    """watchers that come, go and resume under load end with what a list shows"""
    stop = threading.Event()
    start = is_(a.get(CM), 200).json
    problems = []

    def write(i):
        c, n = Client(), 0
        while not stop.is_set():
            name = f"x{i}-{n % 5}"
            c.post(CM, cm(name, n=str(n)))
            c.merge(CM + "/" + name, {"data": {"n": str(n)}})
            if n % 3 == 0:
                c.delete(CM + "/" + name)
            n += 1

    def follow(i, end):
        state = {o["metadata"]["name"]: o["metadata"]["resourceVersion"] for o in start["items"]}
        rv = start["metadata"]["resourceVersion"]
        while int(rv) < end[0]:
            w = Watch(CM + f"?watch=1&resourceVersion={rv}&timeoutSeconds=1&allowWatchBookmarks=1")
            if w.code != 200:
                problems.append(f"watch {w.code}")
                return
            while (e := w.next()) is not None:
                m = e["object"]["metadata"]
                if int(m["resourceVersion"]) <= int(rv) and e["type"] != "BOOKMARK":
                    problems.append(f"{m['resourceVersion']} after {rv}")
                rv = m["resourceVersion"]
                name = m.get("name")
                if e["type"] == "ADDED" and name in state or e["type"] != "ADDED" and name and name not in state:
                    problems.append(f"{e['type']} {name}")
                if e["type"] == "DELETED":
                    state.pop(name, None)
                elif name:
                    state[name] = m["resourceVersion"]
                if i % 2 and int(rv) % 7 == 0:
                    break
            w.close()
        states.append(state)

    states, end = [], [1 << 60]
    writers = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    followers = [threading.Thread(target=follow, args=(i, end)) for i in range(6)]
    for t in writers + followers:
        t.start()
    time.sleep(4)
    stop.set()
    for t in writers:
        t.join()
    last = is_(a.get(CM), 200).json
    newest = max(int(o["metadata"]["resourceVersion"]) for o in last["items"])
    end[0] = newest
    is_(a.post(CM, cm("the-end")), 201)  # so that every waiting watch gets an event
    is_(a.delete(CM + "/the-end"), 200)
    for t in followers:
        t.join()
    assert not problems, problems[:5]
    want = {o["metadata"]["name"]: o["metadata"]["resourceVersion"] for o in last["items"]}
    for s in states:
        s.pop("the-end", None)
        assert s == want, set(s.items()) ^ set(want.items())


@case
def documents():
    """discovery in three forms, with ETags; OpenAPI in both versions; metrics"""
    v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    r = is_(a.get("/apis", Accept=v2), 200)
    assert r.json["kind"] == "APIGroupDiscoveryList" and "v=v2;" in r.headers["Content-Type"]
    assert is_(a.get("/apis", Accept=v2, If_None_Match=r.headers["ETag"]), 304).text == ""
    assert is_(a.get("/apis"), 200).json["kind"] == "APIGroupList"
    assert is_(a.get("/api"), 200).json["kind"] == "APIVersions"
    names = {x["name"] for x in is_(a.get("/api/v1"), 200).json["resources"]}
    assert {"pods", "pods/log", "pods/eviction", "pods/binding", "nodes/status"} <= names
    index = is_(a.get("/openapi/v3"), 200).json["paths"]
    doc = is_(a.get(index["apis/apps/v1"]["serverRelativeURL"]), 200).json
    assert any("Deployment" in s for s in doc["components"]["schemas"])
    c = http.client.HTTPSConnection(host, int(port), context=tls, timeout=30)
    c.request("GET", "/openapi/v2",
              headers={"Accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"})
    r = c.getresponse()
    assert r.status == 200 and len(r.read()) > 1000 and "protobuf" in r.headers["Content-Type"]
    assert "apiserver_request_total{" in is_(a.get("/metrics"), 200).text


@case
def namespace_goes():
    """a terminating namespace refuses new objects and is deleted with its own"""
    is_(a.post("/api/v1/namespaces", {"metadata": {"name": "wire2"}}), 201)
    held = "/api/v1/namespaces/wire2/configmaps"
    is_(a.post(held, {"metadata": {"name": "h", "finalizers": ["x.example/y"]}}), 201)
    r = is_(a.delete("/api/v1/namespaces/wire2"), 200).json
    assert r["status"]["phase"] == "Terminating"
    s = is_(a.post(held, cm("new")), 403, "Forbidden", 'configmaps "new" is forbidden').json
    assert s["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    end = time.time() + 15
    while "deletionTimestamp" not in a.get(held + "/h").json["metadata"] and time.time() < end:
        time.sleep(0.05)
    is_(a.merge(held + "/h", {"metadata": {"finalizers": None}}), 200)
    end = time.time() + 15
    while a.get("/api/v1/namespaces/wire2").code != 404 and time.time() < end:
        time.sleep(0.05)
    is_(a.get("/api/v1/namespaces/wire2"), 404, "NotFound")


finish()
