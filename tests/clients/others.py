"""Cases of tests/clients/wire: requests as other clients send them, which Kubernetes answers and the client counts on. Each names
the client that it was seen with (docs/clients.md). They find the namespace of wire.py."""
import base64
import json
import time

from wireclient import a, case, Client, cm, CM, is_, NS, version, Watch

DEPLOYMENTS = "/apis/apps/v1/namespaces/wire/deployments"
DAEMONSETS = "/apis/apps/v1/namespaces/wire/daemonsets"
STRATEGIC = "application/strategic-merge-patch+json"


def workload(name, **spec):
    pod = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": name}}, "template": pod, **spec}}


def first(path):
    w = Watch(path)
    e = w.next()
    w.close()
    return w.code, e


@case
def old_watch_of_a_collection():
    """/watch/ before the resource is a watch, in a namespace, in all and of a group (kubeclient, kubernetes-client)"""
    is_(a.post(CM, cm("old-watch", a="b")), 201)
    for path in ("/api/v1/watch/namespaces/wire/configmaps", "/api/v1/watch/configmaps", "/api/v1/watch/namespaces",
                 "/apis/rbac.authorization.k8s.io/v1/watch/clusterroles"):
        code, e = first(path + "?timeoutSeconds=30")
        assert code == 200 and e["type"] == "ADDED", (path, code, e)
    code, e = first("/api/v1/watch/namespaces/wire/configmaps?fieldSelector=metadata.name=old-watch&timeoutSeconds=30")
    assert (code, e["object"]["metadata"]["name"]) == (200, "old-watch"), (code, e)


@case
def old_watch_of_one():
    """/watch/ with a name follows that object alone, from a resourceVersion, too"""
    one = "/api/v1/watch/namespaces/wire/configmaps/old-watch"
    v = version(a.get(CM))
    is_(a.post(CM, cm("old-watch-other")), 201)
    is_(a.merge(CM + "/old-watch", {"data": {"a": "c"}}), 200)
    _, e = first(one + f"?resourceVersion={v}&timeoutSeconds=30")  # the other one's event came before
    assert (e["type"], e["object"]["metadata"]["name"]) == ("MODIFIED", "old-watch"), e
    _, e = first(one + "?timeoutSeconds=30")
    assert (e["type"], e["object"]["data"]) == ("ADDED", {"a": "c"}), e
    assert not Watch("/api/v1/watch/namespaces/wire/configmaps/nobody?timeoutSeconds=1").all()
    is_(a.get(one + "?fieldSelector=metadata.name=another"), 400, "BadRequest", "old-watch")


@case
def old_watch_refused():
    """/watch/ is only for GET, and only before what can be watched"""
    is_(a.post("/api/v1/watch/namespaces/wire/configmaps", cm("x")), 404)
    is_(a.get("/api/v1/watch/namespaces/wire/nothings"), 404)
    is_(a.get("/api/v1/watch"), 404)


@case
def expired_watch():
    """a watch behind a compacted resourceVersion is an ERROR event in an answer of 200 (Python's client begins again)"""
    for path in (CM + "?watch=1&resourceVersion=1", "/api/v1/watch/configmaps?resourceVersion=1"):
        code, e = first(path + "&timeoutSeconds=30")
        assert code == 200 and (e["type"] == "ADDED" or e["object"]["code"] == 410), (code, e)


@case
def scale_by_another_kind():
    """a strategic patch of a scale that says kind: Deployment changes the scale (Ansible's k8s_scale)"""
    is_(a.post(DEPLOYMENTS, workload("others-scale", replicas=0)), 201)
    body = json.dumps({"kind": "Deployment", "metadata": {"name": "others-scale", "namespace": "wire"}, "spec": {"replicas": 1}})
    path = DEPLOYMENTS + "/others-scale"
    s = is_(a.ask("PATCH", path + "/scale", body, Content_Type=STRATEGIC), 200).json
    assert (s["kind"], s["apiVersion"], s["spec"]["replicas"]) == ("Scale", "autoscaling/v1", 1), s
    assert is_(a.get(path), 200).json["spec"]["replicas"] == 1
    body = json.dumps({"kind": "Other", "apiVersion": "x/v1", "metadata": {"labels": {"x": "y"}}})
    d = is_(a.ask("PATCH", path, body, Content_Type=STRATEGIC), 200).json
    assert (d["kind"], d["apiVersion"], d["metadata"]["labels"]) == ("Deployment", "apps/v1", {"x": "y"}), d
    is_(a.merge(path, {"kind": "Other"}), 400, "BadRequest", "kind")
    is_(a.delete(path), 200)


@case
def template_generation():
    """a DaemonSet counts the changes of its template in an annotation (Ansible's k8s_rollback)"""
    key = "deprecated.daemonset.template.generation"

    def generation(reply, code=200):
        return is_(reply, code).json["metadata"]["annotations"][key]

    path = DAEMONSETS + "/others-ds"
    assert generation(a.post(DAEMONSETS, workload("others-ds")), 201) == "1"
    assert generation(a.merge(path, {"metadata": {"labels": {"x": "y"}}})) == "1"
    assert generation(a.merge(path, {"spec": {"template": {"metadata": {"annotations": {"x": "y"}}}}})) == "2"
    assert generation(a.merge(path, {"metadata": {"annotations": {key: "9"}}})) == "2"
    assert generation(a.merge(path, {"metadata": {"annotations": None}})) == "2"
    applied = {"apiVersion": "apps/v1", "kind": "DaemonSet", **workload("others-ds")}
    assert generation(a.apply(path + "?fieldManager=others&force=true", json.dumps(applied))) == "2"
    is_(a.delete(path), 200)


@case
def paths_of_openapi_v2():
    """swagger.json lists subresources, all namespaces, old watches and discovery (kubernetes-client makes its methods of them)"""
    paths = is_(a.get("/openapi/v2"), 200).json["paths"]
    one = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    for path, methods in {one + "/scale": "get put patch", one + "/status": "get put patch", "/apis/apps/v1/deployments": "get",
                          "/apis/apps/v1/watch/namespaces/{namespace}/deployments/{name}": "get", "/apis/apps/": "get",
                          "/api/v1/watch/pods": "get", "/api/v1/namespaces/{name}/finalize": "put", "/version/": "get",
                          "/api/v1/namespaces/{namespace}/pods/{name}/eviction": "post", "/apis/apps/v1/": "get",
                          "/api/v1/namespaces/{namespace}/pods/{name}/log": "get", "/api/": "get"}.items():
        assert path in paths, path
        assert set(paths[path]) - {"parameters"} == set(methods.split()), (path, list(paths[path]))
    for path, item in paths.items():
        declared = {"{%s}" % p["name"] for p in item.get("parameters", [])}
        assert declared == {s for s in path.split("/") if s.startswith("{")}, (path, declared)
    scale = paths[one + "/scale"]["patch"]
    assert scale["x-kubernetes-group-version-kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}


@case
def paths_of_openapi_v3():
    """so do the documents of v3, with references that are there"""
    doc = is_(a.get("/openapi/v3/api/v1"), 200).json
    item = doc["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/eviction"]
    ref = item["post"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    assert ref.split("/")[-1] in doc["components"]["schemas"], ref
    assert item["post"]["x-kubernetes-group-version-kind"]["kind"] == "Eviction"
    assert "get" in doc["paths"]["/api/v1/watch/configmaps"]


def account_with(rules):
    """A client as a service account of the namespace whose Role has these rules."""
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/wire/"
    is_(a.post(NS + "/serviceaccounts", {"metadata": {"name": "others"}}), 201)
    is_(a.post(roles + "roles", {"metadata": {"name": "others"}, "rules": rules}), 201)
    subject = {"kind": "ServiceAccount", "name": "others", "namespace": "wire"}
    is_(a.post(roles + "rolebindings", {"metadata": {"name": "others"}, "subjects": [subject], "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "others"}}), 201)
    headers = {"Impersonate_User": "system:serviceaccount:wire:others"}
    end = time.time() + 30
    while a.get(CM + "/old-watch", **headers).code != 200 and time.time() < end:
        time.sleep(0.05)
    return headers


@case
def names_in_rules():
    """a rule with resourceNames allows a list and a watch of that name alone (kubectl get NAME --watch, informers of one object)"""
    who = account_with([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["old-watch"],
                         "verbs": ["get", "list", "watch", "create", "deletecollection"]}])
    c = Client()
    named = "?fieldSelector=metadata.name"
    r = is_(c.get(CM + named + "=old-watch", **who), 200).json
    assert [o["metadata"]["name"] for o in r["items"]] == ["old-watch"], r
    assert is_(c.get(CM + named + "%3Dold-watch&watch=1&timeoutSeconds=1", **who), 200).text.count("ADDED") == 1
    assert is_(c.get("/api/v1/watch/namespaces/wire/configmaps/old-watch?timeoutSeconds=1", **who), 200).text.count("ADDED") == 1
    for path in (CM, CM + named + "=old-watch-other", CM + named + "!=old-watch", CM + named + "=old-watch-other&watch=1",
                 "/api/v1/watch/namespaces/wire/configmaps/old-watch-other", "/api/v1/watch/namespaces/wire/configmaps"):
        is_(c.get(path, **who), 403, "Forbidden")
    is_(c.post(CM + named + "=old-watch", cm("made"), **who), 403, "Forbidden")
    is_(c.delete(CM + named + "=old-watch", **who), 403, "Forbidden")


@case
def issuer_of_tokens():
    """the issuer's two documents say where its key is and which, so that others can check tokens (vault, cloud identities)"""
    is_(a.post("/api/v1/namespaces/wire/serviceaccounts", {"metadata": {"name": "issuer"}}), 201)
    r = is_(a.post("/api/v1/namespaces/wire/serviceaccounts/issuer/token", {"spec": {}}), 201).json
    head, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in r["status"]["token"].split(".")[:2])
    about = is_(a.get("/.well-known/openid-configuration"), 200).json
    assert about["issuer"] == claims["iss"] and about["id_token_signing_alg_values_supported"] == [head["alg"]], (about, claims)
    assert about["jwks_uri"] == claims["iss"] + "/openid/v1/jwks", about
    key, = is_(a.get("/openid/v1/jwks"), 200).json["keys"]
    assert key["kid"] == head["kid"] and key["alg"] == head["alg"] and "d" not in key, key
    robot = {"Impersonate_User": "system:serviceaccount:wire:issuer", "Impersonate_Group": "system:serviceaccounts"}
    is_(Client().get("/openid/v1/jwks", **robot), 200)
