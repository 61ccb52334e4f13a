"""Cases of tests/clients/wire: Events through events.k8s.io/v1 and core/v1, and what newer Go clients send and ask for: definitions in
protobuf, CBOR. They find the namespace of wire.py."""
from wireclient import a, case, is_, NS, TABLE, Watch

CORE, NEW = NS + "/events", "/apis/events.k8s.io/v1/namespaces/wire/events"
PROTOBUF = "application/vnd.kubernetes.protobuf"
EVENT = {"eventTime": "2024-01-02T03:04:05.123456Z", "reportingController": "wire.example/c", "reportingInstance": "i", "action": "A",
         "reason": "Tried", "type": "Normal", "note": "a note", "regarding": {"kind": "Pod", "namespace": "wire", "name": "regarded"}}


def event(name, **more):
    return {"metadata": {"name": name}, **EVENT, **more}


@case
def one_event_in_two_versions():
    """an Event of events.k8s.io/v1 is one of core/v1 too: get, watch, list by a field, Table; and goes in both"""
    w = Watch(CORE + "?watch=1&fieldSelector=involvedObject.name=regarded")
    made = is_(a.post(NEW, event("two")), 201).json
    assert made["apiVersion"] == "events.k8s.io/v1" and made["note"] == "a note" and "message" not in made
    old = is_(a.get(CORE + "/two"), 200).json
    assert old["apiVersion"] == "v1" and old["message"] == "a note" and old["involvedObject"]["name"] == "regarded"
    assert old["reportingComponent"] == "wire.example/c" and old["metadata"]["uid"] == made["metadata"]["uid"] and "regarding" not in old
    seen = w.next()
    assert seen["type"] == "ADDED" and seen["object"]["message"] == "a note", seen
    w.close()
    for where, field in ((NEW, "regarding.name"), (CORE, "involvedObject.name"), ("/apis/events.k8s.io/v1/events", "regarding.name")):
        names = [e["metadata"]["name"] for e in is_(a.get(where + "?fieldSelector=" + field + "=regarded"), 200).json["items"]]
        assert names == ["two"], (where, names)
    is_(a.get(NEW + "?fieldSelector=involvedObject.name=regarded"), 400, "BadRequest", "field label not supported")
    rows = [[r["cells"] for r in is_(a.get(w + "?fieldSelector=reason=Tried", Accept=TABLE), 200).json["rows"]] for w in (NEW, CORE)]
    assert rows[0] == rows[1] and len(rows[0]) == 1 and "pod/regarded" in rows[0][0], rows
    is_(a.delete(NEW + "?fieldSelector=regarding.name=regarded"), 200)
    is_(a.get(CORE + "/two"), 404, "NotFound")


@case
def only_the_series_changes():
    """through events.k8s.io/v1 only the series of an Event changes, also of one that core/v1 made; through core/v1 all"""
    is_(a.post(CORE, {"metadata": {"name": "old"}, "involvedObject": EVENT["regarding"], "message": "m", "count": 3}), 201)
    series = {"count": 4, "lastObservedTime": "2024-01-02T03:04:05.123456Z"}
    assert is_(a.merge(NEW + "/old", {"series": series}), 200).json["deprecatedCount"] == 3
    is_(a.merge(NEW + "/old", {"note": "other"}), 422, "Invalid", "message: Invalid value")
    is_(a.merge(NEW + "/old", {"series": {"count": 1}}), 422, "Invalid", "series.count")
    changed = is_(a.merge(CORE + "/old", {"message": "other"}), 200).json
    assert changed["message"] == "other" and changed["series"]["count"] == 4
    is_(a.post(NEW, event("bad", note="x" * 1025)), 422, "Invalid", "can have at most 1024 characters")
    s = is_(a.post(NEW, {"metadata": {"name": "bad"}}), 422, "Invalid").json
    assert {c["field"] for c in s["details"]["causes"]} >= {"eventTime", "type"}, s


WIDGETS = {
    "metadata": {"name": "wires.wire.example"},
    "spec": {"group": "wire.example", "scope": "Namespaced", "names": {"plural": "wires", "kind": "Wire"}, "versions": [{
        "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "n": {"type": "number", "minimum": -1.5, "maximum": 0, "default": 0},
                "l": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "maxItems": 0},
                "m": {"type": "object", "additionalProperties": {"type": "integer", "format": "int32"}}}}}}}}]}}
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@case
def definitions_in_protobuf():
    """a CustomResourceDefinition goes out and comes in in protobuf, as newer clients of apiextensions ask, whole"""
    here = DEFINITIONS + "/wires.wire.example"
    spec = is_(a.post(DEFINITIONS, {**WIDGETS, "spec": {**WIDGETS["spec"]}}), 201).json["spec"]
    assert spec["versions"][0]["subresources"] == {"status": {}}
    out = is_(a.get(here, Accept=PROTOBUF), 200)
    assert out.headers["Content-Type"] == PROTOBUF and out.data.startswith(b"k8s\0")
    is_(a.put(here, out.data, Content_Type=PROTOBUF), 200)
    assert is_(a.get(here), 200).json["spec"] == spec
    listed = is_(a.get(DEFINITIONS, Accept=PROTOBUF), 200)
    assert listed.headers["Content-Type"] == PROTOBUF and b"wires.wire.example" in listed.data
    is_(a.delete(here), 200)


@case
def forms_that_are_not_there():
    """custom resources in protobuf and anything in CBOR: 406 or the next that is accepted, 415 for bodies"""
    custom = "/apis/keelson.dev/v1/namespaces/wire/gitsyncs"
    for path, accept in ((custom, PROTOBUF), (custom + "?watch=1&timeoutSeconds=1", PROTOBUF), (NS + "/pods", "application/cbor")):
        is_(a.get(path, Accept=accept), 406, "NotAcceptable")
    for path, accept in ((custom, PROTOBUF + ",application/json"), (NS + "/pods", "application/cbor,application/json;q=0.9")):
        assert is_(a.get(path, Accept=accept), 200).headers["Content-Type"] == "application/json"
    for path, kind in ((custom, PROTOBUF), (NS + "/pods", "application/cbor")):
        is_(a.post(path, b"k8s\0", Content_Type=kind), 415, "UnsupportedMediaType")
    is_(a.ask("PATCH", NEW + "/none", b"{}", Content_Type="application/apply-patch+cbor"), 415, "UnsupportedMediaType")
