"""CustomResourceDefinitions over the wire; run by tests/clients/definitions with a kubeconfig. Speaks TAP."""
import time

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


def until(f, seconds=5):
    end = time.time() + seconds
    while not f():
        assert time.time() < end, "it took too long"
        time.sleep(0.02)


def remove(plural):
    is_(a.delete(CRDS + "/" + plural + ".defs.example.com"), 200)
    until(lambda: a.get(CRDS + "/" + plural + ".defs.example.com").code == 404)


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
    whole = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    is_(a.post(CRDS, definition("bads", "Bad", {"o": whole, "ip": {"type": "string", "format": "ipv4"}})), 201)
    bad = {"apiVersion": "defs.example.com/v1", "kind": "Bad", "metadata": {"name": "b"}}
    is_(a.post(API + "bads", {**bad, "spec": {"o": {"kind": "Pod"}}}), 422, "Invalid", "spec.o.apiVersion: Required value")
    is_(a.post(API + "bads", {**bad, "spec": {"ip": "::1"}}), 422, "Invalid", "must be of type ipv4")
    remove("bads")


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
