#!/usr/bin/python3
"""Cases of tests/clients/streams about .../proxy/: requests to the pod "p" of that test, whose servers are those of
proxy-servers.py. usage: proxied.py KUBECONFIG PLAIN TLS HOSTILE (ports)"""
import base64
import hashlib
import http.client
import json
import os
import socket
import sys
import threading
import time

from wireclient import a, case, Client, finish, host, is_, nobody, port as api_port, tls

PLAIN, TLS, HOSTILE = sys.argv[2:5]
CORE = "/api/v1/namespaces/default"


def pod(port=PLAIN, rest=""):
    return f"{CORE}/pods/p:{port}/proxy{rest}"


GOOD = pod()
SERVICE = CORE + "/services/s:http/proxy"


def until(f, seconds=30):
    end = time.time() + seconds
    while not (v := f()):
        assert time.time() < end, "it did not come"
        time.sleep(0.1)
    return v


def service(name, ports, addresses):
    is_(a.post(CORE + "/services", {"metadata": {"name": name}, "spec": {
        "ports": [{"name": n, "port": p} for n, p, _ in ports]}}), 201)
    is_(a.post(CORE + "/endpoints", {"metadata": {"name": name}, "subsets": [{
        "addresses": addresses, "ports": [{"name": n, "port": t} for n, _, t in ports]}]}), 201)


OURS = {"ip": "10.99.0.1", "targetRef": {"kind": "Pod", "name": "p", "namespace": "default"}}


@case
def arrives():
    """a request arrives as it was made: method, path, query, body; the answer comes back with its headers"""
    r = is_(a.post(GOOD + "/a//%2e%2e/b%2Fc/?x=1&y=%20&watch=1&dryRun=odd&fieldSelector=(", b"z" * 1000000, X_Mine="1"), 200)
    said = r.json
    assert said["method"] == "POST" and said["path"] == "/b/c/?x=1&y=%20&watch=1&dryRun=odd&fieldSelector=(", said["path"]
    assert said["body"] == 1000000 and said["sha"] == hashlib.sha256(b"z" * 1000000).hexdigest()
    h = said["headers"]
    assert h["x-mine"] == "1" and h["host"] == f"{host}:{api_port}" and h["x-forwarded-for"] == "127.0.0.1", h
    assert h["x-forwarded-uri"] == GOOD + "/b/c/", h
    assert r.headers["X-Own"] == "kept" and r.headers["Set-Cookie"] == "a=b" and r.headers["Content-Type"] == "application/json"
    assert not r.headers["X-Hop"] and not r.headers["Access-Control-Allow-Origin"], r.headers


@case
def methods():
    """every method, and answers without a body"""
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert is_(a.ask(method, GOOD + "/m"), 200).json["method"] == method
    r = is_(a.ask("HEAD", GOOD + "/m"), 200)
    assert r.data == b"" and r.headers["X-Own"] == "kept"
    assert is_(a.get(GOOD + "/empty"), 204).data == b""
    r = is_(a.get(GOOD + "/status"), 418)
    assert r.text == "teapot" and r.headers["Content-Type"] == "text/x-odd"


@case
def credentials():
    """neither a token nor the headers of impersonation reach the pod"""
    is_(a.post(CORE + "/serviceaccounts", {"metadata": {"name": "prober"}}), 201)
    is_(a.post("/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", {
        "metadata": {"name": "prober"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": "prober", "namespace": "default"}]}), 201)
    token = is_(a.post(CORE + "/serviceaccounts/prober/token", {}), 201).json["status"]["token"]
    prober = Client(nobody)
    headers = {"Authorization": "Bearer " + token, "X_Remote_User": "evil", "X_Forwarded_For": "1.2.3.4", "Proxy_Authorization": "x"}
    r = until(lambda: (v := prober.get(GOOD + "/x", **headers)).code == 200 and v)
    assert token not in r.text and "evil" not in r.text and "1.2.3.4" not in r.text, r.text
    r = is_(a.get(GOOD + "/x", Impersonate_User="system:admin", Impersonate_Group="system:masters"), 200)
    assert "impersonate" not in r.text and "system:" not in r.text, r.text


@case
def slash():
    """a bare proxy leads to one with a slash; the query stays"""
    r = is_(a.get(GOOD + "?a=b"), 301)
    assert r.headers["Location"] == GOOD + "/?a=b", r.headers["Location"]
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        said = is_(a.ask(method, GOOD + "?a=b"), 200).json
        assert said["method"] == method and said["path"] == "/?a=b", said
    assert is_(a.get(GOOD + "/"), 200).json["path"] == "/"
    is_(a.get(CORE + "/pods/no/proxy"), 404, "NotFound", 'pods "no" not found')


@case
def locations():
    """a server's redirections lead back to itself through the proxy, others stay"""
    for to, want in (("/login", GOOD + "/login"), (f"http://{host}:{api_port}/x", GOOD + "/x"), ("http://10.99.0.1:" + PLAIN + "/x/", GOOD + "/x/"),
                     (GOOD + "/y", GOOD + "/y"), ("relative", "relative"), ("http://other.example/x", "http://other.example/x")):
        r = is_(a.get(GOOD + "/redirect?to=" + to), 302)
        assert r.headers["Location"] == want, (to, r.headers["Location"])


def opened(path, method="GET"):
    c = http.client.HTTPSConnection(host, int(api_port), context=tls, timeout=30)
    c.request(method, path)
    return c.getresponse()


@case
def pieces():
    """pieces of an answer come as the server sends them"""
    r = opened(GOOD + "/pieces")
    assert r.readline() == b"first\n"
    is_(a.get(GOOD + "/read"), 200)
    assert r.read() == b"second\n"


@case
def big():
    """10 MB, four at a time, byte by byte"""
    want, got = hashlib.sha256(bytes(range(256)) * 40960).hexdigest(), []

    def fetch():
        got.append(hashlib.sha256(is_(Client().get(GOOD + "/big"), 200).data).hexdigest())

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [want] * 4, got


@case
def backpressure():
    """a client that does not read stops its server, and delays nobody; when it goes the server sees it"""
    r = opened(GOOD + "/endless")
    assert len(r.read(1 << 20)) == 1 << 20
    before, end = -1, time.time() + 60
    while (sent := is_(a.get(GOOD + "/sent"), 200).json[0]) != before:
        assert time.time() < end and sent < 100 << 20, sent
        before = sent
        time.sleep(0.5)
    r.close()
    until(lambda: a.get(GOOD + "/sent").json[1])


@case
def services():
    """a service by the name and the number of its port"""
    service("s", [("http", 80, int(PLAIN)), ("tls", 443, int(TLS))], [OURS])
    until(lambda: a.get(SERVICE + "/").code == 200)
    for name in ("s:http", "s:80", "http:s:80", "https:s:tls", "https:s:443"):
        assert is_(a.get(f"{CORE}/services/{name}/proxy/x"), 200).json["path"] == "/x", name
    is_(a.get(CORE + "/services/s/proxy/"), 503, "ServiceUnavailable", 'no endpoints available for service "s"')
    is_(a.get(CORE + "/services/s:81/proxy/"), 503, "ServiceUnavailable", 'no service port 81 found for service "s"')
    is_(a.get(CORE + "/services/no/proxy/"), 404, "NotFound", 'services "no" not found')
    r = is_(a.get(SERVICE + "/redirect?to=/x"), 302)
    assert r.headers["Location"] == SERVICE + "/x", r.headers["Location"]


@case
def foreign():
    """endpoints that are no pods of the namespace are not connected to"""
    service("foreign", [("http", 80, int(PLAIN))], [{"ip": "10.99.0.1"}, {"ip": "10.99.0.2", "targetRef": OURS["targetRef"]},
                                                    {"ip": "10.99.0.3", "targetRef": {"kind": "Pod", "name": "p", "namespace": "kube-system"}}])
    r = until(lambda: (v := a.get(CORE + "/services/foreign:http/proxy/")).code == 503 and "addresses" in v.text and v)
    is_(r, 503, "ServiceUnavailable", 'no endpoints available for service "foreign"')
    is_(a.post(CORE + "/services", {"metadata": {"name": "none"}, "spec": {"ports": [{"port": 80}], "selector": {"no": "pod"}}}), 201)
    is_(a.get(CORE + "/services/none/proxy/"), 503, "ServiceUnavailable", 'no endpoints available for service "none"')


@case
def encrypted():
    """https: to a server with a certificate of its own"""
    assert is_(a.get(f"{CORE}/pods/https:p:{TLS}/proxy/x"), 200).json["path"] == "/x"
    assert len(is_(a.get(f"{CORE}/pods/https:p:{TLS}/proxy/big"), 200).data) == 10485760
    is_(a.get(f"{CORE}/pods/https:p:{PLAIN}/proxy/x"), 503, "ServiceUnavailable", "error trying to reach service")


@case
def refusals():
    """what cannot be reached is said, with the cause"""
    is_(a.get(pod(1, "/")), 503, "ServiceUnavailable", "cannot connect to port 1 in the pod: Connection refused")
    is_(a.get(CORE + "/pods/no/proxy/"), 404, "NotFound", 'pods "no" not found')
    is_(a.get(pod("no-such", "/")), 400, "BadRequest", "is neither a port")
    is_(a.get(pod(70000, "/")), 400, "BadRequest", "is neither a port")
    is_(a.get(CORE + "/pods/ftp:p:80/proxy/"), 400, "BadRequest", "invalid pod request")
    is_(a.get("/api/v1/pods/p/proxy/"), 404)
    is_(a.get(CORE + "/configmaps/p/proxy/"), 404)
    is_(a.get(CORE + "/pods/p/%70roxy/x"), 404)
    is_(a.ask("TRACE", GOOD + "/"), 405)


@case
def rights():
    """each method needs its verb on pods/proxy, services/proxy or nodes/proxy"""
    rules = [{"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"]},
             {"apiGroups": [""], "resources": ["services/proxy"], "resourceNames": ["s:http"], "verbs": ["create"]}]
    base = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/"
    is_(a.post(base + "roles", {"metadata": {"name": "looker"}, "rules": rules}), 201)
    is_(a.post(base + "rolebindings", {
        "metadata": {"name": "looker"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "looker"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "looker"}]}), 201)

    def code(method, path):
        return a.ask(method, path, Impersonate_User="looker").code

    until(lambda: code("GET", GOOD + "/") == 200)
    assert code("HEAD", GOOD + "/") == 200
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert code(method, GOOD + "/") == 403, method
    assert code("POST", SERVICE + "/") == 200 and code("GET", SERVICE + "/") == 403
    assert code("POST", CORE + "/services/s:tls/proxy/") == 403
    assert code("GET", "/api/v1/nodes/n1/proxy/healthz") == 403


def upgrade(path, protocols="a, b"):
    s = tls.wrap_socket(socket.create_connection((host, int(api_port)), timeout=30), server_hostname=host)
    key = base64.b64encode(os.urandom(16)).decode()
    s.sendall((f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {key}\r\n"
               f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {protocols}\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        part = s.recv(1)
        assert part, head
        head += part
    return s, head.decode()


@case
def websockets():
    """a WebSocket goes through, both ways, with and without TLS; a refusal comes back as it is"""
    for path in (GOOD, f"{CORE}/pods/https:p:{TLS}/proxy", SERVICE):
        s, head = upgrade(path + "/socket?x", "a, base64url.bearer.authorization.k8s.io.c2VjcmV0, b")
        assert head.startswith("HTTP/1.1 101") and "sec-websocket-accept:" in head.lower(), head
        assert "X-Protocols: a, b\r\n" in head, head
        for _ in range(20):
            s.sendall(b"hello" * 1000)
            got = b""
            while len(got) < 5000:
                got += s.recv(65536)
            assert got == b"HELLO" * 1000
        s.close()
    s, head = upgrade(GOOD + "/status")
    assert head.startswith("HTTP/1.1 418"), head
    s.close()
    s, head = upgrade(pod(1, "/"))
    assert head.startswith("HTTP/1.1 503"), head
    s.close()


@case
def hostile():
    """answers that are endless, cut, garbled or lie end with an error for their reader alone"""
    def end_of(what):
        try:
            return Client().get(pod(HOSTILE, what))
        except http.client.HTTPException:
            return None  # it had begun, and is broken off

    for what in ("/endless-headers", "/long-header", "/garbage", "/code", "/nothing", "/interim", "/switch"):
        r = end_of(what)
        assert r and r.code in (502, 503) and r.json["kind"] == "Status", (what, r and (r.code, r.text[:200]))
    for what in ("/bad-chunks", "/huge-chunk", "/short"):
        r = end_of(what)
        assert r is None or r.code in (502, 503), (what, r and (r.code, r.text[:200]))
    r = end_of("/split")
    assert r is None or not r.headers.get("X-Evil"), r and r.headers
    r = end_of("/early")
    assert r.code == 200 and r.text == "ok" and not r.headers.get("Link"), r and (r.code, r.headers)
    for what in ("/garbage", "/endless-headers", "/early", "/bad-chunks"):
        s, head = upgrade(pod(HOSTILE, what))
        assert not head.startswith("HTTP/1.1 101"), head
        s.close()
    began = time.time()
    is_(a.get(GOOD + "/x"), 200)
    assert time.time() - began < 10


@case
def nodes():
    """a node's agent answers at its name, other ports of the node are not reached"""
    for name in ("n1", "n1:10250", "https:n1:10250", "http:n1:"):
        r = is_(a.get(f"/api/v1/nodes/{name}/proxy/healthz?x=1"), 200)
        assert r.text == "the agent, /healthz?x=1", r.text
    is_(a.get("/api/v1/nodes/n1:22/proxy/"), 400, "BadRequest", "is not reached through the API server")
    is_(a.get("/api/v1/nodes/no/proxy/"), 404, "NotFound", 'nodes "no" not found')


@case
def found():
    """discovery and OpenAPI have them"""
    rows = {r["name"]: r for r in a.get("/api/v1").json["resources"]}
    for name, kind in (("pods/proxy", "PodProxyOptions"), ("services/proxy", "ServiceProxyOptions"), ("nodes/proxy", "NodeProxyOptions")):
        assert rows[name]["kind"] == kind and rows[name]["verbs"] == ["create", "delete", "get", "patch", "update"], rows[name]
    paths = a.get("/openapi/v3/api/v1").json["paths"]
    op = paths["/api/v1/namespaces/{namespace}/pods/{name}/proxy/{path}"]
    assert {"get", "post", "put", "patch", "delete"} <= set(op) and op["get"]["x-kubernetes-action"] == "connect", op
    assert op["get"]["x-kubernetes-group-version-kind"]["kind"] == "PodProxyOptions"


finish()
