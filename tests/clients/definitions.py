"""CustomResourceDefinitions over the wire; run by tests/clients/definitions with a kubeconfig and kctl. Speaks TAP."""
import os
import subprocess
import sys
import threading
import time

from converter import Converter
from wireclient import Client, Watch, a, case, finish, is_

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
API = "/apis/defs.example.com/v1/namespaces/wire/"


def definition(plural, kind, properties=None, short=(), **version):
    return {"metadata": {"name": plural + ".defs.example.com"}, "spec": {
        "group": "defs.example.com", "scope": "Namespaced",
        "names": {"plural": plural, "kind": kind, "shortNames": list(short)},
        "versions": [{"name": "v1", "served": True, "storage": True, **version,
                      "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                          "type": "object", "properties": properties or {}}}}}}]}}


def conditions(name):
    crd = is_(a.get(CRDS + "/" + name), 200).json
    return {c["type"]: c for c in crd["status"]["conditions"]}


def until(f, seconds=20):
    end = time.time() + seconds
    while not f():
        assert time.time() < end, "it took too long"
        time.sleep(0.02)


def remove(plural):
    is_(a.delete(CRDS + "/" + plural + ".defs.example.com"), 200)
    until(lambda: a.get(CRDS + "/" + plural + ".defs.example.com").code == 404, 30)


is_(a.post("/api/v1/namespaces", {"metadata": {"name": "wire"}}), 201)


@case
def defaults_on_read():
    """a new default shows on GET, LIST, WATCH and in tables of what was stored before, and is not written"""
    is_(a.post(CRDS, definition("olds", "Old", {"own": {"type": "string"}})), 201)
    old = is_(a.post(API + "olds", {"apiVersion": "defs.example.com/v1", "kind": "Old",
                                    "metadata": {"name": "o"}, "spec": {"own": "x"}}), 201).json
    watch = Watch(API + "olds?watch=1&timeoutSeconds=20")
    assert watch.next()["object"]["spec"] == {"own": "x"}
    columns = [{"name": "New", "type": "string", "jsonPath": ".spec.new"}]
    crd = a.get(CRDS + "/olds.defs.example.com").json
    new = definition("olds", "Old", {"own": {"type": "string"}, "new": {"type": "string", "default": "n"}},
                     additionalPrinterColumns=columns)
    new["metadata"]["resourceVersion"] = crd["metadata"]["resourceVersion"]
    is_(a.put(CRDS + "/olds.defs.example.com", new), 200)
    both = {"own": "x", "new": "n"}
    until(lambda: a.get(API + "olds/o").json["spec"] == both)
    for path in ("olds", "olds?limit=1", "olds?resourceVersion=0", "olds?pretty=true"):
        assert is_(a.get(API + path), 200).json["items"][0]["spec"] == both, path
    second = Watch(API + "olds?watch=1&timeoutSeconds=1")
    assert second.next()["object"]["spec"] == both
    second.close()
    table = is_(a.get(API + "olds", Accept="application/json;as=Table;v=v1;g=meta.k8s.io"), 200).json
    assert "n" in table["rows"][0]["cells"], table
    got = a.get(API + "olds/o").json
    assert got["metadata"]["resourceVersion"] == old["metadata"]["resourceVersion"]
    # what changes nothing writes nothing, and what changes something writes the default too
    is_(a.merge(API + "olds/o", {"spec": {"new": "n"}}), 200)
    assert a.get(API + "olds/o").json["metadata"]["resourceVersion"] == old["metadata"]["resourceVersion"]
    is_(a.merge(API + "olds/o", {"spec": {"own": "y"}}), 200)
    event = watch.next()
    assert event["type"] == "MODIFIED" and event["object"]["spec"] == {"own": "y", "new": "n"}, event
    watch.close()
    remove("olds")


@case
def names_of_two():
    """of two definitions that want one name the second is not served, says why, and is once it is free"""
    is_(a.post(CRDS, definition("firsts", "First", short=["fi"])), 201)
    is_(a.post(CRDS, definition("seconds", "Second", short=["fi"])), 201)
    c = conditions("seconds.defs.example.com")
    assert c["NamesAccepted"]["status"] == "False", c
    assert c["NamesAccepted"]["reason"] == "ShortNamesConflict", c
    assert c["NamesAccepted"]["message"] == '"fi" is already in use', c
    assert c["Established"]["status"] == "False" and c["Established"]["reason"] == "NotAccepted", c
    is_(a.get(API + "seconds"), 404, "NotFound")
    is_(a.get(API + "firsts"), 200)
    is_(a.post(CRDS, definition("thirds", "First")), 201)
    assert conditions("thirds.defs.example.com")["NamesAccepted"]["reason"] == "ListKindConflict"
    remove("firsts")
    until(lambda: a.get(API + "seconds").code == 200 and a.get(API + "thirds").code == 200)
    for name in ("seconds", "thirds"):
        c = conditions(name + ".defs.example.com")
        assert c["NamesAccepted"]["status"] == c["Established"]["status"] == "True", c
        remove(name)


@case
def deprecated():
    """requests to a deprecated version are answered with a warning"""
    is_(a.post(CRDS, definition("olds", "Old", deprecated=True)), 201)
    r = is_(a.get(API + "olds"), 200)
    assert r.headers["Warning"] == '299 - "defs.example.com/v1 Old is deprecated"', r.headers
    r = is_(a.post(API + "olds", {"apiVersion": "defs.example.com/v1", "kind": "Old", "metadata": {"name": "o"}}), 201)
    assert "is deprecated" in r.headers["Warning"], r.headers
    assert is_(a.get("/api/v1/namespaces/wire/pods"), 200).headers["Warning"] is None
    remove("olds")
    is_(a.post(CRDS, definition("olds", "Old", deprecated=True, deprecationWarning="use news")), 201)
    assert is_(a.get(API + "olds"), 200).headers["Warning"] == '299 - "use news"'
    remove("olds")


@case
def refused():
    """defaults that their schema refuses, and objects within objects that are none, are refused"""
    r = a.post(CRDS, definition("bads", "Bad", {"a": {"type": "string", "enum": ["x"], "default": "y"}}))
    is_(r, 422, "Invalid", "properties[a].default: Unsupported value")
    r = a.post(CRDS, definition("bads", "Bad", {"a": {"type": "string", "default": True}}))
    is_(r, 422, "Invalid", "must be of type string")
    for inner, code, text in [({"type": "array", "items": 5}, 422, "items: Required value: must be specified"),
                              ({"type": "array", "items": {"type": 7}}, 400, "items.type of type string"),
                              ({"type": "object", "additionalProperties": 5}, 400, "boolean or JSON schema expected"),
                              ({"type": "object", "additionalProperties": {"type": "string", "maxLength": 1.0}}, 400, "maxLength of type int64")]:
        is_(a.post(CRDS, definition("bads", "Bad", {"a": inner})), code, "Invalid" if code == 422 else "BadRequest", text)
    whole = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    is_(a.post(CRDS, definition("bads", "Bad", {"o": whole, "ip": {"type": "string", "format": "ipv4"}})), 201)
    bad = {"apiVersion": "defs.example.com/v1", "kind": "Bad", "metadata": {"name": "b"}}
    is_(a.post(API + "bads", {**bad, "spec": {"o": {"kind": "Pod"}}}), 422, "Invalid", "spec.o.apiVersion: Required value")
    is_(a.post(API + "bads", {**bad, "spec": {"ip": "::1"}}), 422, "Invalid", "must be of type ipv4")
    remove("bads")


def old(kind, name, **metadata):
    return {"apiVersion": "defs.example.com/v1", "kind": kind, "metadata": {"name": name, **metadata},
            "spec": {"own": "x"}}


@case
def bodies():
    """a custom resource says what it is and has metadata, or is refused with 400"""
    is_(a.post(CRDS, definition("plains", "Plain", {"own": {"type": "string"}})), 201)
    there = old("Plain", "p")
    is_(a.post(API + "plains", {k: v for k, v in there.items() if k != "kind"}), 400, "BadRequest", "'kind' is missing")
    is_(a.post(API + "plains", {k: v for k, v in there.items() if k != "apiVersion"}), 400, "BadRequest", "'apiVersion' is missing")
    is_(a.post(API + "plains", {**there, "metadata": 1}), 400, "BadRequest", "metadata must be an object")
    is_(a.post(API + "plains", there), 201)
    is_(a.put(API + "plains/p", {**there, "metadata": []}), 400, "BadRequest", "metadata must be an object")
    remove("plains")


@case
def cells():
    """a column of a definition shows the first value that its path finds, null for none, and says its path"""
    crd = definition("cells", "Cell", {"list": {"type": "array", "items": {"type": "string"}}, "day": {"type": "string"}})
    crd["spec"]["versions"][0]["additionalPrinterColumns"] = [
        {"name": "All", "type": "string", "jsonPath": ".spec.list[*]"}, {"name": "Day", "type": "date", "jsonPath": ".spec.day"},
        {"name": "None", "type": "string", "jsonPath": ".spec.none", "description": "said"}]
    is_(a.post(CRDS, crd), 201)
    is_(a.post(API + "cells", {**old("Cell", "c"), "spec": {"list": ["x", "y"]}}), 201)
    table = is_(a.get(API + "cells", Accept="application/json;as=Table;v=v1;g=meta.k8s.io"), 200).json
    assert table["rows"][0]["cells"] == ["c", "x", None, None], table["rows"]
    assert [c["description"] for c in table["columnDefinitions"][1:]] == [
        "Custom resource definition column (in JSONPath format): .spec.list[*]",
        "Custom resource definition column (in JSONPath format): .spec.day", "said"], table["columnDefinitions"]
    remove("cells")


@case
def end():
    """a deleted definition waits for its objects, says which ones are held, and takes no new ones"""
    is_(a.post(CRDS, definition("ends", "End", {"own": {"type": "string"}})), 201)
    is_(a.post(API + "ends", old("End", "free")), 201)
    is_(a.post(API + "ends", old("End", "held", finalizers=["defs.example.com/f"])), 201)
    r = is_(a.delete(CRDS + "/ends.defs.example.com"), 200).json
    assert r["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"], r
    c = {c["type"]: c for c in r["status"]["conditions"]}["Terminating"]
    assert c["status"] == "True" and c["reason"] == "InstanceDeletionPending", c
    until(lambda: a.get(API + "ends/free").code == 404, 30)
    until(lambda: "deletionTimestamp" in a.get(API + "ends/held").json["metadata"], 30)
    until(lambda: "1 held by finalizers, such as wire/held (defs.example.com/f)" in
          conditions("ends.defs.example.com")["Terminating"]["message"], 30)
    words = "create not allowed while custom resource definition is terminating"
    is_(a.post(API + "ends", old("End", "late")), 403, "Forbidden", words)
    is_(a.apply(API + "ends/late?fieldManager=t", old("End", "late")), 403, "Forbidden", words)
    resources = is_(a.get("/apis/defs.example.com/v1"), 200).json["resources"]
    verbs = [r["verbs"] for r in resources if r["name"] == "ends"][0]
    assert "create" not in verbs and "delete" in verbs, verbs
    is_(a.delete(CRDS + "/ends.defs.example.com"), 200)  # once more
    is_(a.merge(API + "ends/held", {"metadata": {"finalizers": None}}), 200)
    until(lambda: a.get(CRDS + "/ends.defs.example.com").code == 404, 30)
    is_(a.get(API + "ends"), 404)
    is_(a.post(CRDS, definition("ends", "End", {"own": {"type": "string"}})), 201)
    assert is_(a.get(API + "ends"), 200).json["items"] == []
    remove("ends")


@case
def versions():
    """a new storage version: what was stored before stays readable, is migrated, and then the old version may go"""
    name = CRDS + "/moves.defs.example.com"
    crd = definition("moves", "Move", {"own": {"type": "string"}})
    second = {**crd["spec"]["versions"][0], "name": "v2", "storage": False, "schema": {"openAPIV3Schema": {
        "type": "object", "properties": {"spec": {"type": "object", "properties": {
            "own": {"type": "string"}, "new": {"type": "string", "default": "n"}}}}}}}
    crd["spec"]["versions"].append(second)
    assert is_(a.post(CRDS, crd), 201).json["status"]["storedVersions"] == ["v1"]
    before = is_(a.post(API + "moves", old("Move", "m")), 201).json
    newer = API.replace("/v1/", "/v2/") + "moves/m"
    shown = is_(a.get(newer), 200).json
    # defaults of the version that is read are for what is written through it
    assert shown["apiVersion"] == "defs.example.com/v2" and shown["spec"] == {"own": "x"}, shown
    is_(a.merge(newer, {"spec": {"new": "other"}}), 200)
    # v1 has no such field
    assert a.get(API + "moves/m").json["spec"] == {"own": "x"}
    crd = is_(a.get(name), 200).json
    crd["spec"]["versions"][0]["storage"], crd["spec"]["versions"][1]["storage"] = False, True
    crd = is_(a.put(name, crd), 200).json
    assert crd["status"]["storedVersions"] == ["v1", "v2"], crd["status"]
    del crd["spec"]["versions"][0]
    is_(a.put(name, crd), 422, "Invalid", 'status.storedVersions[0]: Invalid value: "v1": must appear in spec.versions')
    r = subprocess.run([sys.argv[2], "migrate", "moves.defs.example.com"], capture_output=True, text=True,
                       env={**os.environ, "KUBECONFIG": sys.argv[1]}, timeout=60)
    assert r.stdout == "move.defs.example.com: 1 object rewritten, stored versions: v2\n", (r.stdout, r.stderr)
    after = is_(a.get(newer), 200).json
    assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"], after
    assert a.get(name).json["status"]["storedVersions"] == ["v2"]
    crd["metadata"]["resourceVersion"] = a.get(name).json["metadata"]["resourceVersion"]
    is_(a.put(name, crd), 200)
    until(lambda: a.get(API + "moves/m").code == 404)
    assert is_(a.get(newer), 200).json["spec"] == {"own": "x", "new": "other"}
    remove("moves")


@case
def pruned_on_read():
    """a field that leaves the schema is no longer shown, and comes back with it"""
    path = CRDS + "/prunes.defs.example.com"
    is_(a.post(CRDS, definition("prunes", "Prune", {"own": {"type": "string"}, "lost": {"type": "string"}})), 201)
    body = old("Prune", "p")
    body["spec"]["lost"] = "l"
    is_(a.post(API + "prunes", body), 201)
    is_(a.ask("PATCH", path, [{"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec"
                               "/properties/lost"}], Content_Type="application/json-patch+json"), 200)
    until(lambda: a.get(API + "prunes/p").json["spec"] == {"own": "x"})
    assert is_(a.get(API + "prunes"), 200).json["items"][0]["spec"] == {"own": "x"}
    remove("prunes")


@case
def not_structural():
    """a schema that is not structural, and rules that do not hold, are refused with every cause"""
    bad = definition("bads", "Bad", {"a": {}, "l": {"type": "array"}, "p": {"type": "string", "pattern": "("}})
    r = is_(a.post(CRDS, bad), 422, "Invalid", "must not be empty for specified object fields").json
    root = "spec.versions[0].schema.openAPIV3Schema.properties[spec]."
    fields = [c["field"] for c in r["details"]["causes"]]
    assert fields == [root + "properties[a].type", root + "properties[l].items"], fields
    bad = definition("bads", "Bad", {"p": {"type": "string", "pattern": "("}})
    r = is_(a.post(CRDS, bad), 422, "Invalid", "must be a valid regular expression, but isn't").json
    assert r["details"]["causes"][0]["field"] == root + "properties[p].pattern", r
    bad = definition("bads", "Bad", selectableFields=[{"jsonPath": ".spec.none"}])
    is_(a.post(CRDS, bad), 422, "Invalid", "is an invalid path")


@case
def selected_and_scaled():
    """selectable fields select, and the scale subresource shows and sets the replicas"""
    properties = {"color": {"type": "string"}, "n": {"type": "integer"}}
    scale = {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.s"}
    is_(a.post(CRDS, definition("scales", "Scaled", properties, selectableFields=[{"jsonPath": ".spec.color"}],
                                subresources={"status": {}, "scale": scale})), 201)
    for name, color in (("r", "red"), ("b", "blue")):
        body = old("Scaled", name)
        body["spec"] = {"color": color, "n": 2}
        is_(a.post(API + "scales", body), 201)
    items = is_(a.get(API + "scales?fieldSelector=spec.color%3Dred"), 200).json["items"]
    assert [i["metadata"]["name"] for i in items] == ["r"], items
    is_(a.get(API + "scales?fieldSelector=spec.n%3D2"), 400, "BadRequest", "field label not supported: spec.n")
    assert is_(a.get(API + "scales/r/scale"), 200).json["spec"]["replicas"] == 2
    is_(a.merge(API + "scales/r/scale", {"spec": {"replicas": 5}}), 200)
    assert a.get(API + "scales/r").json["spec"] == {"color": "red", "n": 5}
    remove("scales")


def two_versions(plural, kind, conversion):
    one = {"address": {"type": "string"}}
    two = {"host": {"type": "string"}, "port": {"type": "integer"}, "proto": {"type": "string", "default": "tcp"}}
    crd = definition(plural, kind, one)
    crd["spec"]["versions"].append({"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": {
        "type": "object", "properties": {"spec": {"type": "object", "properties": two}}}}})
    crd["spec"]["conversion"] = conversion
    return crd


def address(version, name, **spec):
    return {"apiVersion": "defs.example.com/" + version, "kind": "Address", "metadata": {"name": name}, "spec": spec}


V2 = API.replace("/v1/", "/v2/")
converter = Converter()


@case
def converted():
    """objects of a definition with a conversion webhook are read, listed, watched and written in each version"""
    is_(a.post(CRDS, two_versions("addresses", "Address", converter.conversion())), 201)
    made = is_(a.post(API + "addresses", address("v1", "a", address="h:1")), 201).json
    shown = is_(a.get(V2 + "addresses/a"), 200).json
    assert shown["spec"] == {"host": "h", "port": 1, "proto": "tcp"}, shown
    assert shown["apiVersion"] == "defs.example.com/v2" and shown["metadata"]["annotations"] == {"converted": "yes"}
    for field in ("uid", "resourceVersion", "generation", "creationTimestamp"):
        assert shown["metadata"][field] == made["metadata"][field], field
    calls = len(converter.calls)
    is_(a.get(V2 + "addresses/a"), 200)
    assert len(converter.calls) == calls  # the form is kept
    is_(a.post(V2 + "addresses", address("v2", "b", host="g", port=2)), 201)
    assert is_(a.get(API + "addresses/b"), 200).json["spec"] == {"address": "g:2"}
    for path in ("addresses", "addresses?limit=1", "addresses?resourceVersion=0"):
        items = is_(a.get(V2 + path), 200).json["items"]
        assert [i["spec"]["host"] for i in items] == ["h", "g"][:1 if "limit" in path else 2], (path, items)
    assert [i["spec"] for i in a.get(API + "addresses").json["items"]] == [{"address": "h:1"}, {"address": "g:2"}]
    watch = Watch(V2 + "addresses?watch=1&timeoutSeconds=60")
    assert [watch.next()["object"]["spec"]["port"] for _ in range(2)] == [1, 2]
    is_(a.merge(V2 + "addresses/a", {"spec": {"port": 5}}), 200)
    event = watch.next()
    assert event["type"] == "MODIFIED" and event["object"]["spec"]["port"] == 5, event
    assert is_(a.get(API + "addresses/a"), 200).json["spec"] == {"address": "h:5"}
    is_(a.merge(API + "addresses/a", {"spec": {"address": "i:6"}}), 200)
    event = watch.next()
    assert event["object"]["spec"] == {"host": "i", "port": 6, "proto": "tcp"}, event
    is_(a.apply(V2 + "addresses/a?fieldManager=m&force=true", address("v2", "a", port=7)), 200)
    assert watch.next()["object"]["spec"]["port"] == 7
    is_(a.delete(V2 + "addresses/b"), 200)
    event = watch.next()
    assert event["type"] == "DELETED" and event["object"]["spec"]["host"] == "g", event
    watch.close()


@case
def not_converted():
    """what a conversion webhook refuses or gets wrong fails the request with its words; its own version stays open"""
    before = a.get(API + "addresses/a").json
    for mode, words in (("fail", "conversion webhook for defs.example.com/v2, Kind=Address failed: not today"),
                        ("rename", "returned invalid converted object at index 0: must have the same name"),
                        ("lose", "returned 0 objects, expected 1"),
                        ("teapot", "failed: the server answered with HTTP status 418")):
        converter.mode = mode
        is_(a.merge(API + "addresses/a", {"metadata": {"labels": {"mode": mode}}}), 200)
        r = is_(a.get(V2 + "addresses/a"), 500, "InternalError", words)
        assert "ConversionReview" not in r.text, r.text  # what the server answered is for its admin
        is_(a.get(V2 + "addresses"), 500, "InternalError", words)
        is_(a.merge(V2 + "addresses/a", {"spec": {"port": 8}}), 500, "InternalError", words)
        is_(a.post(V2 + "addresses", address("v2", "c", host="g", port=2)), 500, "InternalError", "failed: ")
        watch = Watch(V2 + "addresses?watch=1&timeoutSeconds=60")
        event = watch.next()
        assert event["type"] == "ERROR" and words in event["object"]["message"], event
        watch.close()
    assert a.get(API + "addresses/a").json["spec"] == before["spec"]
    is_(a.get(API + "addresses/c"), 404)
    converter.mode = ""
    assert is_(a.get(V2 + "addresses/a"), 200).json["spec"]["port"] == 7
    crd = is_(a.get(CRDS + "/addresses.defs.example.com"), 200).json
    crd["spec"]["conversion"]["webhook"]["clientConfig"] = {"service": {"namespace": "wire", "name": "none"}}
    is_(a.put(CRDS + "/addresses.defs.example.com", crd), 200)
    until(lambda: a.get(V2 + "addresses/a").code == 500)
    is_(a.get(V2 + "addresses/a"), 500, "InternalError", 'there is no service "none" (namespace "wire")')
    crd = is_(a.get(CRDS + "/addresses.defs.example.com"), 200).json
    crd["spec"]["conversion"] = converter.conversion()
    is_(a.put(CRDS + "/addresses.defs.example.com", crd), 200)
    until(lambda: a.get(V2 + "addresses/a").code == 200)


@case
def converted_in_parts():
    """many objects are converted call by call, and those that change meanwhile hold no request up"""
    for i in range(250):
        is_(a.post(API + "addresses", address("v1", "n%03d" % i, address="n:%d" % i)), 201)
    calls = len(converter.calls)
    items = is_(a.get(V2 + "addresses"), 200).json["items"]
    assert [i["spec"]["port"] for i in items] == [7] + list(range(250)), items
    # The watches of the garbage collector have some converted, too.
    assert max(converter.calls[calls:], default=0) <= 200, converter.calls[calls:]
    turns, alone = [], threading.Lock()

    def change():
        other = Client()
        with alone:  # many at a time would meet so often that one gives up
            turns.append(0)
            is_(other.merge(API + "addresses/n000", {"metadata": {"labels": {"turn": str(len(turns))}}}), 200)
        is_(other.get(API + "addresses/n000"), 200)

    is_(a.merge(API + "addresses/n000", {"spec": {"address": "m:1"}}), 200)
    # Labels are those of the version: who selects by them needs it; names are the same in all.
    some = V2 + "addresses?labelSelector=!none&fieldSelector=metadata.name!%3Da"
    converter.meanwhile = change
    try:
        assert is_(a.get(V2 + "addresses/n000"), 200).json["spec"]["host"] == "m"
        # Watches of controllers have the newest state converted as well, and may be faster than the change.
        for _ in range(10):
            r = a.delete(some + "&dryRun=All")
            if r.code == 503:
                is_(r, 503, "ServiceUnavailable", "change faster than the conversion webhook")
                assert r.headers["Retry-After"] == "1"
                break
            is_(r, 200)
        is_(a.get(some), 200)
    finally:
        converter.meanwhile = lambda: None
    assert len(is_(a.delete(some), 200).json["items"]) == 250
    assert [i["metadata"]["name"] for i in a.get(V2 + "addresses").json["items"]] == ["a"]


@case
def migrated():
    """kctl migrate has the webhook convert what is stored to the new storage version"""
    name = CRDS + "/addresses.defs.example.com"
    crd = is_(a.get(name), 200).json
    crd["spec"]["versions"][0]["storage"], crd["spec"]["versions"][1]["storage"] = False, True
    is_(a.post(API + "addresses", address("v1", "z", address="z:1")), 201)
    is_(a.put(name, crd), 200)
    for path in ("addresses", "addresses?limit=1", "addresses?resourceVersion=0"):
        items = is_(a.get(V2 + path), 200).json["items"]
        assert [i["spec"]["port"] for i in items] == [7, 1][:1 if "limit" in path else 2], (path, items)
    is_(a.delete(V2 + "addresses/z"), 200)
    r = subprocess.run([sys.argv[2], "migrate", "addresses.defs.example.com"], capture_output=True, text=True,
                       env={**os.environ, "KUBECONFIG": sys.argv[1]}, timeout=60)
    assert r.stdout == "address.defs.example.com: 1 object rewritten, stored versions: v2\n", (r.stdout, r.stderr)
    converter.mode = "fail"
    assert is_(a.get(V2 + "addresses/a"), 200).json["spec"]["port"] == 7  # nobody is asked
    is_(a.get(API + "addresses/a"), 500, "InternalError", "not today")
    converter.mode = ""
    assert is_(a.get(API + "addresses/a"), 200).json["spec"] == {"address": "i:7"}
    remove("addresses")


import structural  # noqa: E402,F401 pylint: disable=wrong-import-position,unused-import; its cases run here
import conversions  # noqa: E402 pylint: disable=wrong-import-position,unused-import; its cases run here


@case
def changed_meanwhile():
    """what waits for a conversion webhook is not stored when its definition changes or goes meanwhile"""
    name = CRDS + "/slows.defs.example.com"
    body = {**address("v2", "s", host="g", port=2), "kind": "Slow"}

    def store_v2():
        crd = is_(Client().get(name), 200).json
        crd["spec"]["versions"][0]["storage"], crd["spec"]["versions"][1]["storage"] = False, True
        is_(Client().put(name, crd), 200)

    def go():
        is_(Client().delete(name), 200)
        until(lambda: Client().get(V2 + "slows").code == 404)
    is_(a.post(CRDS, two_versions("slows", "Slow", converter.conversion())), 201)
    until(lambda: a.get(V2 + "slows").code == 200)
    converter.during = store_v2
    is_(a.post(V2 + "slows", body), 409, "Conflict", "the definition of its kind changed meanwhile")
    is_(a.get(V2 + "slows/s"), 404)
    converter.during = go
    is_(a.post(API + "slows", {**address("v1", "s", address="g:2"), "kind": "Slow"}), 404)


@case
def expressions():
    """rules of a definition are checked when it is written and kept by creates, updates, patches, apply and status"""
    rule = {"rule": "self.min <= self.max", "message": "min is beyond max", "fieldPath": ".min"}
    fixed = {"type": "string", "maxLength": 20, "x-kubernetes-validations": [
        {"rule": "self == oldSelf", "messageExpression": "'stays ' + oldSelf"}]}
    crd = definition("rules", "Rule", {"min": {"type": "integer"}, "max": {"type": "integer"}, "fixed": fixed})
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["status"] = {"type": "object", "properties": {"done": {"type": "integer"}},
                                      "x-kubernetes-validations": [{"rule": "self.done >= 0"}]}
    crd["spec"]["versions"][0]["subresources"] = {"status": {}}
    spec = schema["properties"]["spec"]
    at = "spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule"
    spec["x-kubernetes-validations"] = [{"rule": "self.minimum > 0"}]
    is_(a.post(CRDS, crd), 422, "Invalid", at + ": Invalid value")
    is_(a.post(CRDS, crd), 422, "Invalid", "undefined field 'minimum'")
    spec["x-kubernetes-validations"] = [rule]
    is_(a.post(CRDS, crd), 201)
    one = {"apiVersion": "defs.example.com/v1", "kind": "Rule", "metadata": {"name": "r"},
           "spec": {"min": 3, "max": 2, "fixed": "a"}}
    until(lambda: a.get(API + "rules").code == 200)
    r = is_(a.post(API + "rules", one), 422, "Invalid", "spec.min: Invalid value: min is beyond max")
    assert r.json["details"]["causes"][0]["field"] == "spec.min", r.json
    is_(a.post(API + "rules", {**one, "spec": {"min": 1, "max": 2, "fixed": "a"}}), 201)
    is_(a.merge(API + "rules/r", {"spec": {"max": 0}}), 422, "Invalid", "min is beyond max")
    is_(a.merge(API + "rules/r", {"spec": {"fixed": "b"}}), 422, "Invalid", 'spec.fixed: Invalid value: "b": stays a')
    is_(a.merge(API + "rules/r", {"spec": {"max": 5}}), 200)
    is_(a.merge(API + "rules/r/status", {"status": {"done": -1}}), 422, "Invalid", "failed rule: self.done >= 0")
    is_(a.merge(API + "rules/r/status", {"status": {"done": 1}}), 200)
    got = is_(a.get(API + "rules/r"), 200).json
    assert got["spec"] == {"min": 1, "max": 5, "fixed": "a"} and got["status"] == {"done": 1}, got
    remove("rules")


@case
def hidden():
    """a variable that hides an earlier one, and a port that stands twice, are taken with a warning"""
    container = {"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}
    r = is_(a.post("/apis/apps/v1/namespaces/wire/deployments", {
        "metadata": {"name": "d"}, "spec": {
            "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}}}), 201)
    assert r.headers["Warning"] == ('299 - "spec.template.spec.containers[0].env[1]: hides previous definition '
                                    'of \\"A\\", which may be dropped when using apply"'), r.headers
    r = is_(Client().merge("/apis/apps/v1/namespaces/wire/deployments/d", {"spec": {"paused": True}}), 200)
    assert "hides previous definition" in r.headers["Warning"], r.headers


finish()
