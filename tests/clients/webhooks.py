"""Admission webhooks: a server, configurations for it, and requests that meet it. argv: KUBECONFIG SCRATCH PORT2"""
import base64
import http.client
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

from wireclient import Client, a, case, finish, host, tls
from wireclient import is_ as is_code

scratch = sys.argv[2]
GROUP = "/apis/admissionregistration.k8s.io/v1/"
SPACE = "/api/v1/namespaces/hooks/"
MAPS = SPACE + "configmaps"
hooks, calls, lock = {}, {}, threading.Lock()


# --- the server: each path is a function from a review's request to a response (or bytes, or None: no answer) ---
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.path.split("?")[0].strip("/")
        with lock:
            calls.setdefault(name, []).append(review)
        answer = hooks[name](review["request"])
        if callable(answer):
            answer(self)
            return
        if isinstance(answer, dict):
            answer = json.dumps({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass  # a client that had enough


server = Server(("0.0.0.0", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(scratch + "/pki/server.crt", scratch + "/pki/server.key")
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
threading.Thread(target=server.serve_forever, daemon=True).start()
port = server.server_address[1]


def is_(reply, code, reason=None, message=""):
    is_code(reply, code, reason)
    assert not message or message in reply.json["message"], reply.text
    return reply


def bundle(name="ca"):
    return base64.b64encode(open(f"{scratch}/pki/{name}.crt", "rb").read()).decode()


def allow(request, **more):
    return {"uid": request["uid"], "allowed": True, **more}


def deny(request, **status):
    return {"uid": request["uid"], "allowed": False, "status": status}


def patch(request, *operations):
    return allow(request, patchType="JSONPatch", patch=base64.b64encode(json.dumps(operations).encode()).decode())


def rule(resources=("configmaps",), operations=("CREATE", "UPDATE"), groups=("",), versions=("v1",), **more):
    return {"operations": list(operations), "apiGroups": list(groups), "apiVersions": list(versions), "resources": list(resources), **more}


def webhook(name, function=allow, rules=None, **more):
    hooks[name] = function
    client = more.pop("clientConfig", {"url": f"https://localhost:{port}/{name}", "caBundle": bundle()})
    h = {"name": name + ".hooks.example.com", "clientConfig": client, "rules": rules or [rule()], "sideEffects": "None",
         "admissionReviewVersions": ["v1"], "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "hooks"}}}
    return {**h, **more}


class Configuration:
    """A configuration while a case runs."""

    def __init__(self, kind, name, *webhooks):
        self.path = GROUP + kind.lower() + "webhookconfigurations"
        self.name = name
        self.body = {"metadata": {"name": name}, "webhooks": list(webhooks)}

    def __enter__(self):
        calls.clear()
        is_(a.post(self.path, self.body), 201)
        return self

    def __exit__(self, *error):
        is_(Client().delete(f"{self.path}/{self.name}"), 200)


def validating(name, function=allow, rules=None, **more):
    return Configuration("Validating", name, webhook(name, function, rules, **more))


def mutating(name, function=allow, rules=None, **more):
    return Configuration("Mutating", name, webhook(name, function, rules, **more))


def map_of(name, **more):
    return {"metadata": {"name": name, **more}, "data": {"a": "b"}}


def seen(name):
    with lock:
        return [c["request"] for c in calls.get(name, [])]


def pod_of(name, **more):
    return {"metadata": {"name": name}, "spec": {"schedulerName": "none", "containers": [{"name": "c", "image": "host"}], **more}}


def kubectl(*words, body=None):
    r = subprocess.run(["kubectl", f"--cache-dir={scratch}/cache", "--request-timeout=60s", *words], input=body, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90)
    return r.returncode, r.stdout


def until(f):
    end = time.monotonic() + 30
    while not f():
        assert time.monotonic() < end, "not within 30 s"
        time.sleep(0.02)


is_(a.post("/api/v1/namespaces", {"metadata": {"name": "hooks", "labels": {"team": "x"}}}), 201)
until(lambda: a.get(SPACE + "serviceaccounts/default").code == 200)


# --- answers ---
@case
def denied():
    """a refusal has the webhook's name and message, and its code and reason"""
    with validating("deny", lambda r: deny(r, code=403, reason="Forbidden", message="not today", details={"causes": [{"field": "data.a", "message": "no"}]})):
        r = is_(a.post(MAPS, map_of("no")), 403, "Forbidden", 'admission webhook "deny.hooks.example.com" denied the request: not today')
        assert r.json["details"]["causes"][0]["field"] == "data.a", r.text
        is_(a.get(MAPS + "/no"), 404)
        code, text = kubectl("create", "configmap", "no", "-n", "hooks", "--from-literal=a=b")
        assert code == 1 and 'denied the request: not today' in text, text


@case
def denied_plainly():
    """without a status it is 400 without explanation; a code that is no error becomes 400"""
    with validating("plain", lambda r: {"uid": r["uid"], "allowed": False}):
        r = is_(a.post(MAPS, map_of("no")), 400)
        assert r.json["message"] == 'admission webhook "plain.hooks.example.com" denied the request without explanation', r.text
        assert "reason" not in r.json, r.text
        hooks["plain"] = lambda r: deny(r, code=200, reason="Because")
        r = is_(a.post(MAPS, map_of("no")), 400)
        assert r.json["message"].endswith("denied the request: Because") and r.json["reason"] == "Because", r.text


@case
def fields():
    """the request says everything about a create, an update and a delete"""
    with validating("fields", rules=[rule(operations=["*"])]):
        is_(a.post(MAPS + "?fieldManager=me", map_of("f")), 201)
        is_(a.merge(MAPS + "/f", {"data": {"a": "c"}}), 200)
        is_(a.delete(MAPS + "/f", {"propagationPolicy": "Background"}), 200)
        create, update, delete = seen("fields")
        assert len({create["uid"], update["uid"], delete["uid"]}) == 3
        for r in (create, update, delete):
            assert r["kind"] == r["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}, r
            assert r["resource"] == r["requestResource"] == {"group": "", "version": "v1", "resource": "configmaps"}, r
            assert (r["name"], r["namespace"], r["dryRun"]) == ("f", "hooks", False), r
            assert "system:masters" in r["userInfo"]["groups"] and r["userInfo"]["username"], r
        assert (create["operation"], update["operation"], delete["operation"]) == ("CREATE", "UPDATE", "DELETE")
        assert create["object"]["data"] == {"a": "b"} and create["oldObject"] is None
        assert create["options"] == {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me"}, create["options"]
        assert update["object"]["data"] == {"a": "c"} and update["oldObject"]["data"] == {"a": "b"}
        assert update["options"]["kind"] == "UpdateOptions"
        assert delete["object"] is None and delete["oldObject"]["data"] == {"a": "c"}
        assert delete["options"]["kind"] == "DeleteOptions" and delete["options"]["propagationPolicy"] == "Background", delete


@case
def generated():
    """name is empty when the server makes it; a dry run is one"""
    with validating("gen"):
        is_(a.post(MAPS + "?dryRun=All", {"metadata": {"generateName": "g-"}}), 201)
        r = seen("gen")[0]
        assert "name" not in r and r["dryRun"] is True and r["options"]["dryRun"] == ["All"], r


@case
def warned():
    """warnings of an answer become Warning headers, once each"""
    with validating("warn", lambda r: allow(r, warnings=["mind the \"gap\"", "again", "again"])):
        r = is_(a.post(MAPS, map_of("w")), 201)
        assert r.headers.get_all("Warning") == ['299 - "mind the \\"gap\\""', '299 - "again"'], r.headers.get_all("Warning")
        hooks["warn"] = lambda r: {**deny(r, message="no"), "warnings": ["last"]}
        assert "last" in is_(a.delete(MAPS + "/w"), 200).text or True
        assert is_(a.post(MAPS, map_of("w2")), 400).headers.get_all("Warning") == ['299 - "last"']


# --- patches ---
@case
def patched():
    """a patch changes what is stored: it gets defaults, is validated, and owns nothing"""
    def add(r):
        return patch(r, {"op": "add", "path": "/metadata/labels", "value": {"by": "hook"}},
                     {"op": "add", "path": "/spec/containers/-", "value": {"name": "side", "image": "host", "nosuch": 1}})
    with mutating("add", add, [rule(["pods"], ["CREATE"])]):
        p = is_(a.post(SPACE + "pods", pod_of("p")), 201).json
        assert p["metadata"]["labels"] == {"by": "hook"}, p["metadata"]
        side = p["spec"]["containers"][1]
        assert side["terminationMessagePath"] == "/dev/termination-log" and "nosuch" not in side, side
        assert "f:labels" not in json.dumps(p["metadata"]["managedFields"]), p["metadata"]["managedFields"]
        assert is_(a.get(SPACE + "pods/p"), 200).json["spec"] == p["spec"]
    is_(a.delete(SPACE + "pods/p", {"gracePeriodSeconds": 0}), 200)


@case
def patched_updates():
    """update, merge patch, apply and their dry runs meet mutating webhooks; an apply that repeats itself changes nothing"""
    count = lambda r: patch(r, {"op": "add", "path": "/metadata/annotations", "value": {"seen": "yes"}})
    is_(a.post(MAPS, map_of("u")), 201)
    with mutating("upd", count):
        r = is_(a.put(MAPS + "/u?dryRun=All", map_of("u")), 200)
        assert r.json["metadata"]["annotations"] == {"seen": "yes"}
        assert "annotations" not in is_(a.get(MAPS + "/u"), 200).json["metadata"]
        assert is_(a.merge(MAPS + "/u", {"data": {"x": "y"}}), 200).json["metadata"]["annotations"] == {"seen": "yes"}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}, "data": {"k": "v"}}
        first = is_(a.apply(MAPS + "/s?fieldManager=me", json.dumps(body)), 201).json
        assert first["metadata"]["annotations"] == {"seen": "yes"}
        again = is_(a.apply(MAPS + "/s?fieldManager=me", json.dumps(body)), 200).json
        assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"], "the second apply wrote"
        assert [r["operation"] for r in seen("upd") if r["name"] == "s"] == ["CREATE", "UPDATE"], "each is asked once"


@case
def forbidden_patches():
    """a patch can't rename the object, change what the server says of it, or make it invalid"""
    op = []
    with mutating("bad", lambda r: patch(r, *op)):
        op[:] = [{"op": "replace", "path": "/metadata/name", "value": "other"}]
        is_(a.post(MAPS, map_of("b")), 400, "BadRequest", "changed metadata.name")
        op[:] = [{"op": "replace", "path": "/metadata/uid", "value": "1-2-3"}, {"op": "replace", "path": "/metadata/creationTimestamp", "value": "2001-01-01T00:00:00Z"},
                 {"op": "add", "path": "/metadata/managedFields", "value": []}, {"op": "add", "path": "/metadata/resourceVersion", "value": "1"}]
        m = is_(a.post(MAPS, map_of("b")), 201).json["metadata"]
        assert m["uid"] != "1-2-3" and not m["creationTimestamp"].startswith("2001") and m["managedFields"], m
        op[:] = [{"op": "add", "path": "/metadata/labels", "value": {"no spaces": "x"}}]
        is_(a.post(MAPS, map_of("b2")), 422, "Invalid", "metadata.labels")
        op[:] = [{"op": "add", "path": "/data", "value": [1]}]
        is_(a.post(MAPS, map_of("b2")), 500, "InternalError", 'patch of admission webhook "bad.hooks.example.com" cannot be applied')
        op[:] = [{"op": "remove", "path": "/nosuch"}]
        is_(a.post(MAPS, map_of("b2")), 500, "InternalError", "cannot be applied")
        op[:] = [{"op": "copy", "from": "", "path": f"/data/{i}"} for i in range(64)]
        is_(a.post(MAPS, map_of("b2")), 500, "InternalError", "cannot be applied")


@case
def bounds_hold():
    """what a webhook puts into a pod is judged as what a user puts there"""
    host = lambda r: patch(r, {"op": "add", "path": "/spec/hostPID", "value": True})
    with mutating("host", host, [rule(["pods"], ["CREATE"])]):
        is_(a.post(SPACE + "pods", pod_of("h")), 403, "Forbidden", "hostPID")


@case
def again():
    """with reinvocationPolicy IfNeeded a webhook sees what later ones did, once more and no further"""
    def grow(r):
        n = r["object"].get("data", {}).get("n", "") + "1"
        return patch(r, {"op": "add", "path": "/data/n", "value": n})
    hooks_ = [webhook("one", grow, reinvocationPolicy="IfNeeded"), webhook("two", grow, reinvocationPolicy="IfNeeded"), webhook("three", grow)]
    with Configuration("Mutating", "again", *hooks_):
        assert is_(a.post(MAPS, map_of("again")), 201).json["data"]["n"] == "11111"
        assert [len(seen(n)) for n in ("one", "two", "three")] == [2, 2, 1]


@case
def policies():
    """mutating policies come before webhooks; with IfNeeded each sees once more what the other did, and the validating webhook sees the end"""
    rules = {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}], "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "hooks"}}}
    expression = 'Object{data: {"p": "p" + (has(object.data.w) ? object.data.w : "")}}'
    policy = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": "hooks"}, "spec": {
        "matchConstraints": rules, "reinvocationPolicy": "IfNeeded", "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}]}}
    binding = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": "hooks"}, "spec": {"policyName": "hooks"}}
    word = lambda r: patch(r, {"op": "add", "path": "/data/w", "value": "w" + r["object"]["data"]["p"]})
    is_(a.post(GROUP + "mutatingadmissionpolicies", policy), 201)
    is_(a.post(GROUP + "mutatingadmissionpolicybindings", binding), 201)
    with Configuration("Mutating", "pol", webhook("pol", word, reinvocationPolicy="IfNeeded")), validating("end"):
        data = is_(a.post(MAPS, map_of("policies")), 201).json["data"]
        assert data["p"] == "pwp" and data["w"] == "wpwp", data
        assert [r["object"]["data"]["p"] for r in seen("pol")] == ["p", "pwp"], seen("pol")
        assert seen("end")[0]["object"]["data"] == data
    for plural in ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings"):
        is_(a.delete(GROUP + plural + "/hooks"), 200)


@case
def in_order():
    """mutating webhooks are asked by the configurations' names; the validating one sees the result"""
    word = lambda w: lambda r: patch(r, {"op": "add", "path": "/data/w", "value": r["object"]["data"].get("w", "") + w})
    with mutating("b", word("b")), mutating("a", word("a")), validating("last"):
        assert is_(a.post(MAPS, map_of("order")), 201).json["data"]["w"] == "ab"
        assert seen("last")[0]["object"]["data"]["w"] == "ab"


# --- which requests ---
@case
def selectors():
    """objectSelector looks at the new and the old object, namespaceSelector at the namespace"""
    with validating("sel", objectSelector={"matchLabels": {"x": "y"}}):
        is_(a.post(MAPS, map_of("plain")), 201)
        is_(a.post(MAPS, map_of("l", labels={"x": "y"})), 201)
        is_(a.merge(MAPS + "/l", {"metadata": {"labels": {"x": None}}}), 200)
        is_(a.merge(MAPS + "/l", {"data": {"z": "z"}}), 200)
        is_(a.post("/api/v1/namespaces/default/configmaps", map_of("l", labels={"x": "y"})), 201)
        assert [r["operation"] for r in seen("sel")] == ["CREATE", "UPDATE"], seen("sel")


@case
def namespaces():
    """a Namespace is judged by its own labels, and names itself"""
    with validating("nss", rules=[rule(["namespaces"], ["CREATE"], scope="Cluster")], namespaceSelector={"matchLabels": {"watch": "me"}}):
        is_(a.post("/api/v1/namespaces", {"metadata": {"name": "n1"}}), 201)
        is_(a.post("/api/v1/namespaces", {"metadata": {"name": "n2", "labels": {"watch": "me"}}}), 201)
        assert [(r["name"], r["namespace"]) for r in seen("nss")] == [("n2", "n2")]


@case
def subresources():
    """scale is a Scale, status the object; a rule without a slash is about neither"""
    d = {"metadata": {"name": "d"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "d"}},
         "template": {"metadata": {"labels": {"a": "d"}}, "spec": {"containers": [{"name": "c", "image": "host"}]}}}}
    path = "/apis/apps/v1/namespaces/hooks/deployments"
    is_(a.post(path, d), 201)
    # The Deployment's controller writes it, too: those are not counted.
    mine = lambda: [r for r in seen("main") if not r["userInfo"]["username"].startswith("system:")]
    more = lambda r: patch(r, {"op": "replace", "path": "/spec/replicas", "value": r["object"]["spec"]["replicas"] + 1})
    with mutating("scale", more, [rule(["deployments/scale"], groups=["apps"])]), validating("main", rules=[rule(["deployments"], groups=["apps"])], matchPolicy="Exact"), \
            validating("status", rules=[rule(["*/status"], groups=["*"], versions=["*"])], objectSelector={"matchLabels": {"s": "t"}}):
        is_(a.merge(path + "/d", {"metadata": {"labels": {"s": "t"}}}), 200)
        n = len(mine())
        assert n > 0
        assert is_(a.merge(path + "/d/scale", {"spec": {"replicas": 0}}), 200).json["spec"]["replicas"] == 1
        r = seen("scale")[0]
        assert r["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"} and r["subResource"] == "scale", r
        assert r["oldObject"]["kind"] == "Scale" and r["resource"]["resource"] == "deployments"
        is_(a.merge(path + "/d/status", {"status": {"observedGeneration": 77}}), 200)
        until(lambda: any(r["object"]["status"].get("observedGeneration") == 77 for r in seen("status")))
        assert all(r["kind"]["kind"] == "Deployment" and r["subResource"] == "status" for r in seen("status"))
        assert len(mine()) == n, "a rule about deployments is not about deployments/scale and /status"
        kubectl("scale", "deployment", "d", "-n", "hooks", "--replicas=2")
        assert is_(a.get(path + "/d"), 200).json["spec"]["replicas"] == 3
    is_(a.delete(path + "/d"), 200)


@case
def equivalent():
    """matchPolicy Equivalent converts to the version of the rule and back; Exact is not called"""
    h = {"metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
         "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}]}}
    rules = [rule(["horizontalpodautoscalers"], groups=["autoscaling"])]
    half = lambda r: patch(r, {"op": "replace", "path": "/spec/targetCPUUtilizationPercentage", "value": r["object"]["spec"]["targetCPUUtilizationPercentage"] // 2})
    with mutating("equi", half, rules), validating("exact", rules=rules, matchPolicy="Exact"):
        r = is_(a.post("/apis/autoscaling/v2/namespaces/hooks/horizontalpodautoscalers", h), 201).json
        assert r["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 35, r["spec"]
        r = seen("equi")[0]
        assert r["kind"]["version"] == "v1" and r["requestKind"]["version"] == "v2" and r["object"]["apiVersion"] == "autoscaling/v1", r
        assert not seen("exact")


def conversion(request, how):
    """The answer of a conversion webhook; how: a function from an object and the wanted version, None: it fails."""
    response = {"uid": request["uid"], "result": {"status": "Failed", "message": "not today"}}
    if how:
        response["result"] = {"status": "Success"}
        response["convertedObjects"] = [how(o, request["desiredAPIVersion"]) for o in request["objects"]]
    return json.dumps({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response}).encode()


def turned(o, wanted):
    """`one` in v1 is `two` in v2."""
    was, becomes = ("one", "two") if wanted.endswith("/v2") else ("two", "one")
    o = {**o, "apiVersion": wanted}
    if was in o:
        o[becomes] = o.pop(was)
    return o


@case
def converted():
    """a rule of a version that a conversion webhook makes: the object is converted for it, its patch is converted back, and what cannot be converted is refused"""
    open_ = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    crd = {"metadata": {"name": "turns.hooks.example.com"}, "spec": {
        "group": "hooks.example.com", "scope": "Namespaced", "names": {"plural": "turns", "kind": "Turn"},
        "versions": [{"name": v, "served": True, "storage": v == "v1", "schema": {"openAPIV3Schema": open_}} for v in ("v1", "v2")],
        "conversion": {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {
            "url": f"https://localhost:{port}/convert", "caBundle": bundle()}}}}}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    turns = "/apis/hooks.example.com/v1/namespaces/hooks/turns"
    turn = lambda name: {"apiVersion": "hooks.example.com/v1", "kind": "Turn", "metadata": {"name": name}}
    is_(a.post(definitions, crd), 201)
    until(lambda: a.get(turns).code == 200)
    of = lambda v: [rule(["turns"], ["CREATE", "UPDATE", "DELETE"], ["hooks.example.com"], [v])]
    hooks["convert"] = lambda r: conversion(r, turned)
    for new in validating, mutating:
        for more in {}, {"failurePolicy": "Ignore"}:
            hooks["convert"] = lambda r: conversion(r, None)
            with new("v2", rules=of("v2"), **more):
                is_(a.post(turns, turn("t")), 500, "InternalError", "conversion webhook for hooks.example.com/v1, Kind=Turn failed: not today")
            assert not seen("v2")
        hooks["convert"] = lambda r: conversion(r, turned)
        with new("v2", rules=of("v2")):
            is_(a.post(turns + "?dryRun=All", {**turn("t"), "one": 7}), 201)
            r, = seen("v2")
            assert r["object"]["apiVersion"] == "hooks.example.com/v2" and r["object"]["two"] == 7 and "one" not in r["object"], r
            assert r["kind"]["version"] == r["resource"]["version"] == "v2" and r["requestKind"]["version"] == "v1", r
        with new("v1", rules=of("v1")):
            is_(a.post(turns + "?dryRun=All", turn("t")), 201)
            assert len(seen("v1")) == 1
    double = lambda r: patch(r, {"op": "replace", "path": "/two", "value": 2 * r["object"]["two"]})
    with mutating("v2", double, of("v2")), validating("last", rules=of("v1")):
        assert is_(a.post(turns, {**turn("p"), "one": 4}), 201).json["one"] == 8
        assert seen("last")[0]["object"]["one"] == 8
        assert is_(a.get(turns + "/p"), 200).json["one"] == 8
    with Configuration("Mutating", "twice", webhook("first", double, of("v2")), webhook("second", double, of("v2"), reinvocationPolicy="IfNeeded")):
        assert is_(a.post(turns, {**turn("q"), "one": 1}), 201).json["one"] == 4
        assert [r["object"]["two"] for r in seen("first") + seen("second")] == [1, 2]
    with validating("v2", lambda r: deny(r, message="%s became %s" % (r["oldObject"]["two"], r["object"]["two"])), of("v2")):
        is_(a.merge(turns + "/p", {"one": 9}), 400, None, "8 became 9")
    with validating("v2", lambda r: deny(r, message="%s goes" % r["oldObject"]["two"]), [rule(["turns"], ["DELETE"], ["hooks.example.com"], ["v2"])]):
        is_(a.delete(turns + "/p"), 400, None, "8 goes")
    with validating("v2", rules=of("v2"), matchPolicy="Exact"):
        is_(a.post(turns, turn("t")), 201)
    # Two webhooks that want the same version share what was made for the first.
    calls.clear()
    with Configuration("Validating", "both", webhook("one", rules=of("v2")), webhook("other", rules=of("v2"))):
        is_(a.post(turns + "?dryRun=All", {**turn("s"), "one": 3}), 201)
        assert seen("one")[0]["object"]["two"] == seen("other")[0]["object"]["two"] == 3
    # So do mutating policies, each on what the one before has left, and with what a webhook did in between.
    def add(name, mutation, **more):
        rules = {"matchPolicy": "Equivalent", "resourceRules": [{"apiGroups": ["hooks.example.com"], "apiVersions": ["v2"], "operations": ["CREATE", "UPDATE"], "resources": ["turns"]}]}
        is_(a.post(GROUP + "mutatingadmissionpolicies", {"metadata": {"name": name}, "spec": {"matchConstraints": rules, "reinvocationPolicy": "Never", "mutations": [mutation], **more}}), 201)
        is_(a.post(GROUP + "mutatingadmissionpolicybindings", {"metadata": {"name": name}, "spec": {"policyName": name}}), 201)
    add("a", {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{two: object.two + 1}"}})
    add("b", {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'replace', path: '/two', value: object.two * 10}]"}}, reinvocationPolicy="IfNeeded")
    until(lambda: is_(a.post(turns + "?dryRun=All", {**turn("u"), "one": 1}), 201).json["one"] == 20)
    assert is_(a.post(turns, {**turn("u"), "one": 4}), 201).json["one"] == 50
    assert is_(a.merge(turns + "/u", {"one": 1}), 200).json["one"] == 20 and is_(a.get(turns + "/u"), 200).json["one"] == 20
    with mutating("v1", lambda r: patch(r, {"op": "replace", "path": "/one", "value": r["object"]["one"] + 2}), of("v1")), validating("last", rules=of("v2")):
        assert is_(a.post(turns, {**turn("w"), "one": 0}), 201).json["one"] == 120  # ((0 + 1) * 10 + 2) * 10
        assert seen("last")[0]["object"]["two"] == 120
    hooks["convert"] = lambda r: conversion(r, None)
    refusal = is_(a.post(turns, turn("x")), 403).json["message"]
    assert "policy 'a' with binding 'a' denied request: failed to configure binding: failed to convert object version: conversion webhook for hooks.example.com/v1, Kind=Turn failed: not today" in refusal, refusal
    for name in "ab":
        is_(a.merge(GROUP + "mutatingadmissionpolicies/" + name, {"spec": {"failurePolicy": "Ignore"}}), 200)
    until(lambda: a.post(turns + "?dryRun=All", turn("x")).code == 201)
    is_(a.post(turns, {**turn("x"), "one": 3}), 201)
    hooks["convert"] = lambda r: conversion(r, turned)
    assert is_(a.get(turns + "/x"), 200).json["one"] == 3
    for name in "ab":
        is_(a.delete(GROUP + "mutatingadmissionpolicies/" + name), 200)
        is_(a.delete(GROUP + "mutatingadmissionpolicybindings/" + name), 200)
    is_(a.delete(definitions + "/turns.hooks.example.com"), 200)


@case
def other_requests():
    """evictions, bindings, tokens, streams and collections are sent, each as what it is"""
    is_(a.post(SPACE + "pods", pod_of("p")), 201)
    everything = [rule(["pods/*", "serviceaccounts/token", "configmaps"], ["CREATE", "CONNECT", "DELETE"])]
    with validating("all", lambda r: deny(r, message=r["operation"] + " " + r["kind"]["kind"]), everything):
        what = lambda r: is_(r, 400).json["message"].split("request: ")[-1]
        assert what(a.post(SPACE + "pods/p/eviction", {"metadata": {"name": "p"}})) == "CREATE Eviction"
        assert what(a.post(SPACE + "pods/p/binding", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}})) == "CREATE Binding"
        assert what(a.post(SPACE + "serviceaccounts/default/token", {})) == "CREATE TokenRequest"
        assert what(a.post(SPACE + "pods/p/exec?command=ls&command=-l&container=c&stdout=1", None)) == "CONNECT PodExecOptions"
        assert what(a.ask("DELETE", MAPS)) == "DELETE ConfigMap"
        eviction, binding, token, stream = [r for r in seen("all") if r["operation"] != "DELETE"]
        assert stream["object"] == {"kind": "PodExecOptions", "apiVersion": "v1", "stdout": True, "container": "c", "command": ["ls", "-l"]}, stream["object"]
        assert stream["subResource"] == "exec" and stream["name"] == "p" and stream["oldObject"] is None
        assert eviction["object"]["kind"] == "Eviction" and binding["object"]["target"]["name"] == "n" and token["name"] == "default"
        assert len(is_(a.get(MAPS), 200).json["items"]) > 3, "a refused collection was deleted"
    # What a patch makes of such a request is what is done, and is checked again.
    to = []
    with mutating("body", lambda r: patch(r, *to), [rule(["pods/binding", "serviceaccounts/token", "pods/exec"], ["CREATE", "CONNECT"])]):
        to[:] = [{"op": "replace", "path": "/spec/expirationSeconds", "value": 1200}]
        t = is_(a.post(SPACE + "serviceaccounts/default/token", {"spec": {"expirationSeconds": 3600}}), 201).json
        assert t["spec"]["expirationSeconds"] == 1200, t["spec"]
        to[:] = [{"op": "replace", "path": "/target/name", "value": ""}]
        is_(a.post(SPACE + "pods/p/binding", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}), 422, "Invalid", "target")
        to[:] = [{"op": "add", "path": "/metadata/annotations", "value": {"unit.keelson.dev/User": "root"}}]
        is_(a.post(SPACE + "pods/p/binding", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}), 403, "Forbidden", "unit.keelson.dev")
        to[:] = [{"op": "add", "path": "/stdin", "value": True}]
        is_(a.post(SPACE + "pods/p/exec?command=ls&stdout=1", None), 500, "InternalError", "attempted to modify the object")
    # A binding in the collection has its name in the body alone, which the patch replaces.
    label = lambda r: patch(r, {"op": "add", "path": "/metadata/labels", "value": {"by": "hook"}})
    with mutating("named", label, [rule(["bindings"], ["CREATE"])]), \
            validating("after", lambda r: deny(r, message="seen"), [rule(["bindings"], ["CREATE"])]):
        is_(a.post(SPACE + "bindings", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}), 400, None, "denied the request: seen")
        r = seen("after")[0]
        assert r["name"] == "p" and r["object"]["metadata"]["name"] == "p" and r["object"]["metadata"]["labels"] == {"by": "hook"}, r
    with validating("evict", rules=[rule(["pods"], ["DELETE"])]):
        is_(a.post(SPACE + "pods/p/eviction", {"metadata": {"name": "p"}}), 201)
        assert not seen("evict"), "an eviction is not sent as a deletion too"


# --- calls that fail ---
def failing(name, function, text, **more):
    with validating(name, function, **more):
        r = is_(a.post(MAPS, map_of("fail")), 500, "InternalError", f'failed calling webhook "{name}.hooks.example.com"')
        assert text in r.json["message"], r.json["message"]


def raw(text):
    return lambda r: text.replace("UID", r["uid"]).encode()


def dribble(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    try:
        for _ in range(200):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.02)
    except OSError:
        pass


def huge(handler):
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(64):
            handler.wfile.write(b" " * 100000)
    except OSError:
        pass


def redirect(handler):
    handler.send_response(307)
    handler.send_header("Location", f"https://localhost:{port}/follow")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@case
def failures_():
    """answers that are wrong refuse the request, and say why"""
    head = '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":'
    failing("f1", lambda r: {"uid": "1", "allowed": True}, "expected response.uid=")
    failing("f2", raw("no JSON"), "not JSON")
    failing("f3", raw('{"apiVersion":"v1","kind":"Pod"}'), "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview")
    failing("f4", raw(head + "null}"), "webhook response was absent")
    failing("f5", lambda r: patch(r, {"op": "add", "path": "/data/x", "value": "y"}), "validating webhook may not return response.patch")
    failing("f6", raw("[" * 100000), "not JSON")
    failing("f7", lambda r: huge, "answer")
    hooks["follow"] = allow
    failing("f8", lambda r: redirect, "HTTP status 307")
    assert not seen("follow")
    with mutating("f9", lambda r: {**patch(r, {"op": "add"}), "patchType": None}):
        is_(a.post(MAPS, map_of("fail")), 500, "InternalError", "response.patch but not response.patchType")


@case
def unreachable():
    """a server that is not there, has another authority's certificate, or is not TLS refuses or is let through, as failurePolicy says"""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    closed = f"https://localhost:{s.getsockname()[1]}/x"
    failing("gone", allow, "failed to call webhook", clientConfig={"url": closed, "caBundle": bundle()})
    failing("ca", allow, "certificate", clientConfig={"url": f"https://localhost:{port}/ca", "caBundle": bundle("other")})
    failing("nopem", allow, "certificate", clientConfig={"url": f"https://localhost:{port}/nopem", "caBundle": base64.b64encode(b"x").decode()})
    failing("name", allow, "certificate", clientConfig={"url": f"https://127.0.0.1:{port}/name", "caBundle": bundle()})
    with validating("skip", failurePolicy="Ignore", clientConfig={"url": closed, "caBundle": bundle()}), \
            mutating("skip", failurePolicy="Ignore", clientConfig={"url": closed, "caBundle": bundle()}):
        is_(a.post(MAPS, map_of("ignored")), 201)
    s.close()


@case
def slow():
    """timeoutSeconds bounds silence and dribbling; the loop serves others meanwhile"""
    gate = threading.Event()
    with Configuration("Validating", "slow", webhook("silent", lambda r: gate.wait(20) and None or b"", timeoutSeconds=1),
                       webhook("drops", lambda r: dribble, timeoutSeconds=1)):
        done = []
        t = threading.Thread(target=lambda: done.append(Client().post(MAPS, map_of("slow"))))
        t.start()
        until(lambda: len(seen("silent")) + len(seen("drops")) == 2 or done)
        is_(Client().get(MAPS + "/u"), 200)
        t.join()
        is_(done[0], 500, "InternalError", "context deadline exceeded")
        gate.set()


@case
def many():
    """15 writes wait at a time, and the webhook's own requests are answered meanwhile"""
    gate = threading.Barrier(15)

    def together(r):
        gate.wait(28)
        return allow(r) if Client().get(MAPS + "/u").code == 200 else deny(r, message="no answer")
    with validating("many", together, timeoutSeconds=30):
        codes = []
        threads = [threading.Thread(target=lambda i=i: codes.append(Client().post(MAPS, map_of(f"many{i}")).code)) for i in range(15)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert codes == [201] * 15, codes


@case
def changed_meanwhile():
    """an object that changes while its webhooks are asked is decided, and they are asked, again"""
    first = []

    def meddle(r):
        if not first:
            first.append(1)
            is_(Client().merge(MAPS + "/u", {"data": {"other": "1"}}), 200)
        return allow(r)
    with validating("race", meddle, objectSelector={"matchLabels": {"race": "1"}}):
        r = is_(a.merge(MAPS + "/u", {"metadata": {"labels": {"race": "1"}}}), 200).json
        assert r["data"]["other"] == "1" and r["metadata"]["labels"] == {"race": "1"}, r
        ours = [q for q in seen("race") if q["object"]["metadata"]["labels"]]
        assert len(ours) == 2 and "other" in ours[1]["oldObject"]["data"], len(ours)


@case
def broken():
    """a webhook that breaks every write can be got rid of, and never judges configurations"""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    client = {"url": f"https://localhost:{s.getsockname()[1]}/x", "caBundle": bundle()}
    every = [rule(["*/*"], ["*"], ["*"], ["*"])]
    path = GROUP + "validatingwebhookconfigurations"
    both = [Configuration(k, "every", webhook("every", rules=every, clientConfig=client, namespaceSelector={})) for k in ("Validating", "Mutating")]
    for c in both:
        is_(a.post(c.path, c.body), 201)
    is_(a.post(MAPS, map_of("z")), 500, "InternalError", "failed calling webhook")
    is_(a.post("/api/v1/namespaces", {"metadata": {"name": "z"}}), 500)
    is_(a.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}), 201)
    is_(a.merge(path + "/every", {"metadata": {"labels": {"a": "b"}}}), 200)
    code, text = kubectl("delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "every")
    assert code == 0, text
    is_(a.post(MAPS, map_of("z")), 201)
    s.close()


@case
def services():
    """a service is called at its endpoints, by its name in the certificate"""
    # No packet is sent: the address that this machine would use.
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.connect(("192.0.2.1", 9))
    address = u.getsockname()[0]
    u.close()
    client = {"service": {"namespace": "hooks", "name": "hook", "path": "/svc", "port": 8443}, "caBundle": bundle()}
    with validating("svc", clientConfig=client):
        is_(a.post(MAPS, map_of("s1")), 500, None, 'there is no service "hook"')
        is_(a.post(SPACE + "services", {"metadata": {"name": "hook"}, "spec": {"ports": [{"name": "https", "port": 8443, "targetPort": 1}]}}), 201)
        is_(a.post(MAPS, map_of("s1")), 500, None, 'no endpoints available for service "hook"')
        is_(a.post(SPACE + "endpoints", {"metadata": {"name": "hook"}, "subsets": [{"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port}]}]}), 201)
        is_(a.post(MAPS, map_of("s1")), 201)
        assert seen("svc")[0]["name"] == "s1"


# --- another kapid ---
class Second(Client):
    """A client of the second kapid, which writes an audit log."""

    def __init__(self):
        self.c = http.client.HTTPSConnection(host, int(sys.argv[3]), context=tls, timeout=60)


def audited(name):
    """The annotations of the event of a write."""
    for line in open(scratch + "/audit.log"):
        event = json.loads(line)
        if event.get("objectRef", {}).get("name") == name:
            return event["annotations"]
    return None


@case
def followed():
    """another kapid follows configurations; what webhooks say and do is in its audit events"""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    closed = {"url": f"https://localhost:{s.getsockname()[1]}/x", "caBundle": bundle()}
    b = Second()
    add = webhook("aud", lambda r: {**patch(r, {"op": "add", "path": "/data/x", "value": "y"}), "auditAnnotations": {"why": "because"}})
    with Configuration("Mutating", "aud", add, webhook("open", failurePolicy="Ignore", clientConfig=closed)):
        until(lambda: b.post(MAPS + "?dryRun=All", map_of("probe")).json["data"].get("x") == "y")
        is_(b.post(MAPS, map_of("audited")), 201)
        until(lambda: audited("audited"))
        notes = audited("audited")
        assert notes["aud.hooks.example.com/why"] == "because", notes
        assert json.loads(notes["mutation.webhook.admission.k8s.io/round_0_index_0"]) == {
            "configuration": "aud", "webhook": "aud.hooks.example.com", "mutated": True}, notes
        assert notes["failed-open.mutation.webhook.admission.k8s.io/round_0_index_1"] == "open.hooks.example.com", notes
    until(lambda: "x" not in b.post(MAPS + "?dryRun=All", map_of("probe")).json["data"])
    s.close()


# --- configurations ---
@case
def refused_configurations():
    """configurations are validated as Kubernetes validates them, and get its defaults"""
    path = GROUP + "validatingwebhookconfigurations"

    def bad(text, **more):
        w = {**webhook("v"), **more}
        w = {k: v for k, v in w.items() if v is not None}
        r = is_(a.post(path, {"metadata": {"name": "v"}, "webhooks": [w]}), 422, "Invalid")
        assert text in r.json["message"], r.json["message"]
    bad("webhooks[0].name: Invalid value", name="two.parts")
    bad("webhooks[0].sideEffects", sideEffects="Some")
    bad("webhooks[0].timeoutSeconds: Invalid value: 31", timeoutSeconds=31)
    bad("exactly one of url or service is required", clientConfig={})
    bad("'https' is the only allowed URL scheme", clientConfig={"url": "http://localhost/"})
    bad("user information is not permitted", clientConfig={"url": "https://me@localhost/"})
    bad("query parameters are not permitted", clientConfig={"url": "https://localhost/?a"})
    bad("fragments are not permitted", clientConfig={"url": "https://localhost/#a"})
    bad("host must be specified", clientConfig={"url": "https:///x"})
    bad("clientConfig.service.path", clientConfig={"service": {"namespace": "a", "name": "b", "path": "x"}})
    bad("clientConfig.service.port", clientConfig={"service": {"namespace": "a", "name": "b", "port": 0}})
    bad("must include at least one of v1, v1beta1", admissionReviewVersions=["v2"])
    bad("admissionReviewVersions", admissionReviewVersions=[])
    bad("if '*' is present, must not specify other operations", rules=[rule(operations=["*", "CREATE"])])
    bad('supported values: "*", "CONNECT"', rules=[rule(operations=["READ"])])
    bad("rules[0].resources: Required value", rules=[rule(resources=[])])
    bad("if '*/*' is present, must not specify other resources", rules=[rule(resources=["*/*", "pods"])])
    bad("if 'pods/*' is present, must not specify pods/status", rules=[rule(resources=["pods/*", "pods/status"])])
    bad("if '*/scale' is present, must not specify pods/scale", rules=[rule(resources=["*/scale", "pods/scale"])])
    bad("rules[0].scope", rules=[rule(scope="Here")])
    bad("failurePolicy", failurePolicy="Maybe")
    bad("namespaceSelector", namespaceSelector={"matchExpressions": [{"key": "a", "operator": "In"}]})
    bad("matchConditions[0].expression", matchConditions=[{"name": "c", "expression": "(("}])
    with validating("defaults", namespaceSelector=None, matchPolicy=None):
        w = is_(a.get(path + "/defaults"), 200).json["webhooks"][0]
        assert (w["failurePolicy"], w["matchPolicy"], w["timeoutSeconds"], w["namespaceSelector"], w["objectSelector"]) == ("Fail", "Equivalent", 10, {}, {}), w
        assert w["rules"][0]["scope"] == "*"
        code, text = kubectl("get", "validatingwebhookconfigurations", "defaults", "--no-headers")
        assert code == 0 and text.split()[:2] == ["defaults", "1"], text


@case
def old_review():
    """a webhook of admission.k8s.io/v1beta1 is asked in its version"""
    with validating("beta", lambda r: {"allowed": False, "status": {"message": "beta"}}, admissionReviewVersions=["v1beta1"]):
        is_(a.post(MAPS, map_of("beta")), 400, None, "denied the request: beta")
        assert calls["beta"][0]["apiVersion"] == "admission.k8s.io/v1beta1"


@case
def thousands():
    """with 300 configurations of 10 webhooks each a write that none is for takes no time"""
    one = [webhook(f"w{i}", rules=[rule([f"things{i}"], groups=["example.com"])]) for i in range(10)]
    path = GROUP + "validatingwebhookconfigurations"
    for i in range(300):
        is_(a.post(path, {"metadata": {"name": f"many{i}", "labels": {"many": "1"}}, "webhooks": one}), 201)
    begin = time.monotonic()
    for i in range(50):
        is_(a.merge(MAPS + "/u", {"data": {"n": str(i)}}), 200)
    took = time.monotonic() - begin
    is_(a.ask("DELETE", path + "?labelSelector=many=1"), 200)
    assert took < 30, took


@case
def counted():
    """the metrics count calls by webhook and result"""
    text = is_(a.get("/metrics"), 200).text
    for name, result, kind in (("deny", "denied", "validating"), ("gone", "error", "validating"), ("skip", "ignored", "mutating"), ("add", "ok", "mutating")):
        assert f'keelson_webhook_calls_total{{name="{name}.hooks.example.com",result="{result}",type="{kind}"}}' in text, [l for l in text.splitlines() if "webhook" in l]
    assert "keelson_webhook_duration_seconds_bucket" in text and "keelson_webhook_waiting_requests 0" in text


finish()
