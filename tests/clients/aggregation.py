"""An extension API server, and its clients: kubectl, plain HTTP, HTTP/2. argv: KUBECONFIG SCRATCH"""
import base64
import gzip
import hashlib
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

import h2client
from wireclient import Client, Watch, a, case, cluster, finish, host, is_, nobody, pem, port, tls

scratch = sys.argv[2]
GROUP, VERSION = "shop.example.com", "v1alpha1"
API = f"/apis/{GROUP}/{VERSION}"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
NAME = f"{VERSION}.{GROUP}"
NS = "/api/v1/namespaces/aggregated"
GVK = [{"group": GROUP, "version": VERSION, "kind": "Flunder"}]
META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
SCHEMA_V2 = {"swagger": "2.0", "paths": {  # one of ours, one of another's, and a name that means something else here
    API + "/namespaces/{namespace}/flunders/{name}": {"get": {"responses": {"200": {"schema": {"$ref": "#/definitions/shop.Flunder"}}}}},
    "/apis/apps/v1/shop": {}},
    "definitions": {META: {"type": "string"}, "shop.Unused": {}, "shop.Flunder": {"properties": {"metadata": {"$ref": "#/definitions/" + META}}}}}
SCHEMA = {"openapi": "3.0.0", "info": {"title": "shop", "version": VERSION}, "paths": {
    API + "/namespaces/{namespace}/flunders/{name}": {"get": {"x-kubernetes-action": "get", "x-kubernetes-group-version-kind": GVK[0]}}},
    "components": {"schemas": {"Flunder": {"type": "object", "description": "A thing of the shop.", "x-kubernetes-group-version-kind": GVK,
                   "properties": {"spec": {"type": "object", "description": "What is wanted.", "properties": {
                       "size": {"type": "integer", "description": "How large the flunder is."}}}}}}}}


# --- the server ---
class Shop:
    """What it has, what it was asked, and how it behaves."""

    def __init__(self):
        self.lock = threading.Condition()
        self.objects, self.events, self.asked = {}, [], []
        self.discovery = 200
        self.keeps = False
        self.left = threading.Event()

    def put(self, kind, o):
        with self.lock:
            o["metadata"]["resourceVersion"] = str(len(self.events) + 1)
            self.events.append({"type": kind, "object": json.loads(json.dumps(o))})
            self.lock.notify_all()
        return o


shop = Shop()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, code=200, kind="application/json", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def status(self, code, reason, message):
        self.answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message}, code)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def chunked(self, **headers):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()

    def resources(self):
        if shop.discovery != 200:
            self.status(shop.discovery, "InternalError", "out of order")
            return
        verbs = ["create", "delete", "deletecollection", "get", "list", "watch"]
        metrics = "/metrics.k8s.io/" in self.path
        self.answer({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": self.path[6:], "resources": [
            {"name": "nodes", "singularName": "", "namespaced": False, "kind": "NodeMetrics", "verbs": ["get", "list"]}] if metrics else [
            {"name": "flunders", "singularName": "flunder", "namespaced": True, "kind": "Flunder", "verbs": verbs, "shortNames": ["fl"]},
            {"name": "flunders/status", "singularName": "", "namespaced": True, "kind": "Flunder", "verbs": ["get"]}]})

    def watch(self):
        start = int(dict(p.split("=") for p in self.path.split("?")[1].split("&")).get("resourceVersion") or 0)
        self.chunked()
        try:
            while True:
                with shop.lock:
                    shop.lock.wait_for(lambda: len(shop.events) > start, timeout=1)
                    events, start = shop.events[start:], len(shop.events)
                for e in events:
                    self.chunk(json.dumps(e).encode() + b"\n")
        except OSError:
            pass

    def flunders(self, parts):
        """parts: of the path behind "namespaces/"; none: of all namespaces"""
        space, name = parts[0] if parts else None, parts[2] if len(parts) > 2 else None
        kind = {"kind": "Flunder", "apiVersion": f"{GROUP}/{VERSION}"}
        if self.command == "POST":
            o = {**json.loads(self.body), **kind}
            o["metadata"].update(namespace=space, uid=hashlib.md5(os.urandom(8)).hexdigest(), creationTimestamp="2026-01-02T03:04:05Z")
            shop.objects[(space, o["metadata"]["name"])] = shop.put("ADDED", o)
            self.answer(o, 201)
        elif name is None and self.command == "DELETE":  # it says that it can, and cannot
            self.status(405, "MethodNotAllowed", "one by one")
        elif name is None:
            if "watch=" in self.path:
                self.watch()
                return
            items = [o for (s, _), o in shop.objects.items() if space in (None, s)]
            self.answer({**kind, "kind": "FlunderList", "metadata": {"resourceVersion": str(len(shop.events))}, "items": items})
        elif (space, name) not in shop.objects:
            self.status(404, "NotFound", f'flunders.{GROUP} "{name}" not found')
        elif self.command == "DELETE" and shop.keeps:
            self.status(403, "Forbidden", "nothing leaves this shop")
        elif self.command == "DELETE":
            self.answer(shop.put("DELETED", shop.objects.pop((space, name))))
        else:
            self.answer(shop.objects[(space, name)])

    def fault(self, name):
        if name == "hang":
            self.connection.settimeout(50)
            try:
                if not self.connection.recv(1):
                    shop.left.set()
            except OSError:
                pass
            self.close_connection = True
        elif name == "garbage":
            self.wfile.write(b"\x00\x01this is not HTTP\r\n\r\n" * 100)
            self.close_connection = True
        elif name == "headers":
            try:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"x" * 1000) for i in range(20000)))
            except OSError:
                pass
            self.close_connection = True
        elif name == "half":
            self.chunked()
            self.chunk(b"first")
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif name == "redirect":
            self.answer(b"", 302, Location="https://192.0.2.1/secrets")
        elif name == "gzip":
            self.answer(gzip.compress(b"large " * 9999), Content_Encoding="gzip")
        elif name == "large":
            self.chunked(X_Shop="open", Access_Control_Allow_Origin="*", Connection="keep-alive, X-Private", X_Private="no", Cache_Control="public")
            for _ in range(300):
                self.chunk(b"y" * 32768)
            self.chunk(b"")
        elif name == "large-error":
            self.answer(b"z" * (3 << 20), 500, kind="text/plain")
        elif name == "refused":
            self.status(409, "Conflict", "the shop is closed")
        else:
            self.answer({"path": self.path, "body": self.body.decode(), "headers": list(self.headers.items())})

    def upgrade(self):
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo/1\r\nConnection: Upgrade\r\nX-Shop: open\r\n\r\nhello ")
        while data := self.connection.recv(4096):
            self.connection.sendall(data.upper())
            if b"bye" in data:
                break
        self.close_connection = True

    def any(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        cn = dict(x[0] for x in self.connection.getpeercert()["subject"])["commonName"]
        with shop.lock:
            shop.asked.append((self.command, self.path, cn, self.headers))
        path = self.path.split("?")[0]
        parts = path[len(API) + 1:].split("/")
        if self.headers.get("Upgrade"):
            if parts[-1] == "portforward":
                self.status(403, "Forbidden", "no way out of this shop")
            else:
                self.upgrade()
        elif path in (API, "/apis/metrics.k8s.io/v1beta1", "/apis/cafe.example.com/v1"):
            self.resources()
        elif path == "/openapi/v3":
            self.answer({"paths": {API[1:]: {"serverRelativeURL": f"/openapi/v3{API}?hash=ABC123"}}})
        elif path == "/openapi/v2":
            self.answer(SCHEMA_V2)
        elif path == "/openapi/v3" + API:
            self.answer(SCHEMA)
        elif path == "/apis/metrics.k8s.io/v1beta1/nodes":
            self.answer({"kind": "NodeMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": [
                {"metadata": {"name": "from-the-shop"}, "timestamp": "2026-01-02T03:04:05Z", "window": "10s", "usage": {"cpu": "7", "memory": "8Mi"}}]})
        elif parts[0] == "faults":
            self.fault(parts[1])
        elif parts[0] in ("namespaces", "flunders"):
            self.flunders(parts[1:])
        else:
            self.status(404, "NotFound", "no such thing")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = any

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass  # a client that had enough


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(scratch + "/pki/server.crt", scratch + "/pki/server.key")
# What a server on Kubernetes' libraries trusts is in the ConfigMap.
for _ in range(300):
    reply = a.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")
    if reply.code == 200:
        break
    time.sleep(0.1)
trusted = reply.json["data"]
context.load_verify_locations(cadata=trusted["requestheader-client-ca-file"])
context.verify_mode = ssl.CERT_REQUIRED
server = Server(("0.0.0.0", 0), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
threading.Thread(target=server.serve_forever, daemon=True).start()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect(("192.0.2.1", 9))  # no packet is sent: the address that this machine would use
ADDRESS = u.getsockname()[0]
u.close()


# --- helpers ---
def bundle(name="ca"):
    return base64.b64encode(open(f"{scratch}/pki/{name}.crt", "rb").read()).decode()


def kubectl(*args, text=None, code=0):
    r = subprocess.run(["kubectl", f"--cache-dir={scratch}/cache", "--request-timeout=60s", *args], input=text, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=100, check=False)
    assert (r.returncode == 0) == (code == 0), r.stdout
    return r.stdout


def apiservice(name=NAME, group=GROUP, version=VERSION, **more):
    spec = {"group": group, "version": version, "groupPriorityMinimum": 2000, "versionPriority": 15,
            "service": {"namespace": "aggregated", "name": "shop", "port": 8443}, "caBundle": bundle()}
    return {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}, "spec": {**spec, **more}}


def available(name=NAME):
    reply = a.get(f"{SERVICES}/{name}")
    conditions = reply.json.get("status", {}).get("conditions", []) if reply.code == 200 else []
    return [(c["status"], c["reason"]) for c in conditions if c["type"] == "Available"]


def until(function, *args):
    """Waits for what comes by itself."""
    end = time.time() + 60
    while not function(*args):
        assert time.time() < end, f"not within 60 s; {available()}"
        time.sleep(0.05)


def poke():
    """A change of the endpoints, after which kapid asks the server at once."""
    is_(a.merge(NS + "/endpoints/shop", {"metadata": {"annotations": {"poked": str(time.time())}}}), 200)


def until_is(reason, status="False", name=NAME):
    until(lambda: available(name) == [(status, reason)])


def echo(path="/faults/echo", method="GET", body=None, client=None, **headers):
    r = (client or a).ask(method, API + path, body, **headers)
    is_(r, 200)
    return r.json


def sent(seen, name):
    return sorted(v for k, v in seen["headers"] if k.lower().replace("_", "-") == name)


# --- the object ---
@case
def validation():
    """an APIService that is not valid is refused in Kubernetes' words"""
    for change, message in (({"service": {"name": "x"}}, "spec.service.namespace: Required value"),
                            ({"versionPriority": 0}, "spec.versionPriority: Invalid value: 0: must be positive and less than 1000"),
                            ({"groupPriorityMinimum": 20001}, "must be positive and less than 20000"),
                            ({"insecureSkipTLSVerify": True}, "may not be true if caBundle is present"),
                            ({"service": None}, "local APIServices may not have a caBundle"),
                            ({"version": "1x"}, "must be `spec.version+")):
        is_(a.post(SERVICES, apiservice(**change)), 422, "Invalid", message)


@case
def local_ones():
    """what kapid serves itself has APIServices, which are put back"""
    until(lambda: a.get(SERVICES + "/v1.apps").code == 200)
    assert "v1.apps " in kubectl("get", "apiservices") and "Local" in kubectl("get", "apiservice", "v1.apps")
    until_is("Local", "True", "v1.apps")
    is_(a.delete(SERVICES + "/v1.apps"), 200)
    until(lambda: a.get(SERVICES + "/v1.apps").code == 200)
    is_(a.merge(SERVICES + "/v1.apps", {"spec": {"service": {"name": "shop", "namespace": "aggregated"}}}), 200)
    until(lambda: "service" not in a.get(SERVICES + "/v1.apps").json["spec"])
    assert json.loads(trusted["requestheader-allowed-names"]) == ["front-proxy-client"]


@case
def conditions():
    """the condition says what is missing, one thing after the other; until then requests get 503"""
    is_(a.post("/api/v1/namespaces", {"metadata": {"name": "aggregated"}}), 201)
    is_(a.post(SERVICES, apiservice()), 201)
    until_is("ServiceNotFound")
    is_(a.get(API + "/faults/echo"), 503, "ServiceUnavailable", "service unavailable")
    is_(a.post(NS + "/services", {"metadata": {"name": "shop"}, "spec": {"ports": [{"name": "https", "port": 443, "targetPort": 1}]}}), 201)
    until_is("ServicePortError")
    is_(a.merge(NS + "/services/shop", {"spec": {"ports": [{"name": "https", "port": 8443, "targetPort": 1}]}}), 200)
    until(lambda: available()[0][1] in ("EndpointsNotFound", "MissingEndpoints"))
    is_(a.post(NS + "/endpoints", {"metadata": {"name": "shop"}, "subsets": [{"addresses": [{"ip": ADDRESS}], "ports": [{"name": "https", "port": server.server_address[1]}]}]}), 201)
    until_is("Passed", "True")
    assert "aggregated/shop" in kubectl("get", "apiservice", NAME) and "True" in kubectl("get", "apiservice", NAME)
    _, _, cn, headers = shop.asked[0]
    assert cn == "front-proxy-client" and headers["X-Remote-User"] == "system:kube-aggregator"


@case
def changes():
    """a change of the spec does not interrupt an available server; one to a server that does not answer does"""
    for priority in range(2001, 2011):
        is_(a.merge(f"{SERVICES}/{NAME}", {"spec": {"groupPriorityMinimum": priority}}), 200)
        is_(a.get(API + "/faults/echo"), 200)
    is_(a.merge(f"{SERVICES}/{NAME}", {"spec": {"caBundle": bundle("other")}}), 200)
    until_is("FailedDiscoveryCheck")
    is_(a.merge(f"{SERVICES}/{NAME}", {"spec": {"caBundle": bundle()}}), 200)
    until_is("Passed", "True")


@case
def order():
    """groups are listed by their priorities, as kube-aggregator does, in both forms of discovery"""
    groups = [g["name"] for g in a.get("/apis").json["groups"]]
    aggregated = a.get("/apis", Accept="application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList").json["items"]
    priorities = {}
    for o in a.get(SERVICES).json["items"]:
        spec = o["spec"]
        priorities[spec["group"]] = max(priorities.get(spec["group"], 0), spec["groupPriorityMinimum"])
    listed = [(-priorities[g], g) for g in groups if g in priorities]
    assert listed == sorted(listed) and GROUP in groups, listed
    assert [g["metadata"]["name"] for g in aggregated] == groups


# --- kubectl ---
@case
def objects():
    """kubectl creates, gets, watches, deletes and explains objects of the server"""
    assert "flunders   fl " in kubectl("api-resources", f"--api-group={GROUP}")
    assert f"{GROUP}/{VERSION}" in kubectl("api-versions")
    watch = subprocess.Popen(["kubectl", f"--cache-dir={scratch}/cache", "get", "flunders", "-n", "aggregated", "--watch", "-o", "name"], stdout=subprocess.PIPE, text=True)
    f = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Flunder", "metadata": {"name": "one", "namespace": "aggregated"}, "spec": {"size": 3}}
    assert "created" in kubectl("create", "--validate=false", "-f", "-", text=json.dumps(f))
    assert watch.stdout.readline().strip() == f"flunder.{GROUP}/one"
    watch.terminate()
    watch.wait()
    assert kubectl("get", "fl", "-n", "aggregated", "one", "-o", "jsonpath={.spec.size}") == "3"
    assert "How large the flunder is." in kubectl("explain", "flunder.spec.size")
    assert "deleted" in kubectl("delete", "flunder", "one", "-n", "aggregated", "--wait=false")
    assert 'flunders.shop.example.com "one" not found' in kubectl("get", "flunder", "one", "-n", "aggregated", code=1)


@case
def watches():
    """a watch brings each event as it comes, and ends with its client"""
    w = Watch(API + f"/namespaces/aggregated/flunders?watch=1&resourceVersion={len(shop.events)}")
    for i in range(3):
        shop.put("ADDED", {"metadata": {"name": f"w{i}"}})
        assert w.next()["object"]["metadata"]["name"] == f"w{i}"
    w.close()


class Back(threading.Thread):
    """The API server at an address that a service may have; it listens on the loopback."""

    def __init__(self):
        super().__init__(daemon=True)
        self.door, self.count = socket.create_server((ADDRESS, 0)), 0
        self.start()

    def pipe(self, source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def run(self):
        try:
            while True:
                one = self.door.accept()[0]
                self.count += 1
                other = socket.create_connection(("127.0.0.1", int(port)))
                for ends in ((one, other), (other, one)):
                    threading.Thread(target=self.pipe, args=ends, daemon=True).start()
        except OSError:
            pass


@case
def leading_back():
    """an APIService that leads back to the API server itself is refused, and does not ask without end"""
    back = Back()
    is_(a.post(NS + "/services", {"metadata": {"name": "self"}, "spec": {"ports": [{"name": "https", "port": 8443, "targetPort": 1}]}}), 201)
    is_(a.post(NS + "/endpoints", {"metadata": {"name": "self"}, "subsets": [{"addresses": [{"ip": ADDRESS}], "ports": [{"name": "https", "port": back.door.getsockname()[1]}]}]}), 201)
    is_(a.merge(f"{SERVICES}/{NAME}", {"spec": {"service": {"name": "self"}, "caBundle": None, "insecureSkipTLSVerify": True}}), 200)
    until_is("FailedDiscoveryCheck")
    assert "bad status: 503" in a.get(f"{SERVICES}/{NAME}").text, a.get(f"{SERVICES}/{NAME}").json["status"]
    assert 1 <= back.count <= 20, back.count
    back.door.close()
    is_(a.merge(f"{SERVICES}/{NAME}", {"spec": {"service": {"name": "shop"}, "caBundle": bundle(), "insecureSkipTLSVerify": False}}), 200)
    until_is("Passed", "True")


# --- namespaces and owners ---
def flunder(space, name, **metadata):
    f = {"metadata": {"name": name, **metadata}, "spec": {"size": 1}}
    return is_(a.post(f"{API}/namespaces/{space}/flunders", f), 201).json


def namespace(name):
    is_(a.post("/api/v1/namespaces", {"metadata": {"name": name}}), 201)
    return "/api/v1/namespaces/" + name


def said(path, kind):
    reply = a.get(path)
    return [(c["reason"], c["message"]) for c in reply.json.get("status", {}).get("conditions", []) if c["type"] == kind and c["status"] == "True"]


@case
def with_their_namespace():
    """objects of the server are deleted with their namespace, and with their owner"""
    until(lambda: any(path.startswith(API + "/flunders?") and "watch=" in path for _, path, _, _ in list(shop.asked)))
    path = namespace("leaving")
    flunder("leaving", "one")
    flunder("leaving", "two")
    flunder("aggregated", "stays")
    is_(a.delete(path), 200)
    until(lambda: a.get(path).code == 404)
    assert [n for s, n in shop.objects if s == "leaving"] == [] and ("aggregated", "stays") in shop.objects
    owner = is_(a.post(NS + "/configmaps", {"metadata": {"name": "owner"}}), 201).json
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    flunder("aggregated", "owned", ownerReferences=[reference])
    is_(a.delete(NS + "/configmaps/owner"), 200)
    until(lambda: ("aggregated", "owned") not in shop.objects)
    assert ("aggregated", "stays") in shop.objects


@case
def without_their_server():
    """a namespace waits for a server that does not answer, says so, and everything else in it is deleted"""
    path = namespace("waiting")
    flunder("waiting", "one")
    is_(a.post(path + "/configmaps", {"metadata": {"name": "ours"}}), 201)
    shop.discovery = 500
    poke()
    until_is("FailedDiscoveryCheck")
    is_(a.delete(path), 200)
    text = f"Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: {GROUP}/{VERSION}: stale GroupVersion discovery: {GROUP}/{VERSION}"
    until(lambda: said(path, "NamespaceDeletionDiscoveryFailure") == [("DiscoveryFailed", text)])
    until(lambda: a.get(path + "/configmaps/ours").code == 404)
    assert ("waiting", "one") in shop.objects
    shop.discovery = 200
    poke()
    until(lambda: a.get(path).code == 404)
    assert ("waiting", "one") not in shop.objects


@case
def that_refuse_deletion():
    """a server that refuses to delete is named in the namespace's conditions, in Kubernetes' words"""
    path = namespace("kept")
    flunder("kept", "one")
    shop.keeps = True
    is_(a.delete(path), 200)
    until(lambda: said(path, "NamespaceDeletionContentFailure") == [("ContentDeletionFailed", "Failed to delete all resource types, 1 remaining: nothing leaves this shop")])
    remaining = ("SomeResourcesRemain", f"Some resources are remaining: flunders.{GROUP} has 1 resource instances")
    until(lambda: said(path, "NamespaceContentRemaining") == [remaining])
    shop.keeps = False
    until(lambda: a.get(path).code == 404)


# --- a proxy before kapid ---
def certificate(name, cn, authority, key, purpose="clientAuth"):
    base = f"{scratch}/pki/{name}"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/O=system:masters/CN={cn}",
                    "-CA", authority, "-CAkey", key, "-keyout", base + ".key", "-out", base + ".crt", "-addext", "extendedKeyUsage=" + purpose,
                    "-addext", "basicConstraints=critical,CA:FALSE"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    c = ssl.create_default_context(cafile=CA)
    c.load_cert_chain(base + ".crt", base + ".key")
    return c


CA = pem(cluster, "certificate-authority")
PKI = os.path.dirname(os.environ["KUBECONFIG"]) + "/pki/"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
AS_ANNA = {"X_Remote_User": "anna", "X_Remote_Group": "team", "X_Remote_Uid": "u7", "X_Remote_Extra_Example.com%2ftier": "gold"}


def who(client, **headers):
    r = client.ask("POST", WHO, json.dumps(REVIEW), Content_Type="application/json", **headers)
    return r.json["status"]["userInfo"] if r.code == 201 else r.code


@case
def proxies():
    """a proxy whose certificate is the front proxy's authority's says who asks, with groups, uid and extra fields; nobody else does"""
    proxy = certificate("front", "front-proxy-client", PKI + "front-proxy-ca.crt", PKI + "front-proxy-ca.key")
    front = Client(proxy)
    anna = {"username": "anna", "uid": "u7", "groups": ["team", "system:authenticated"], "extra": {"example.com/tier": ["gold"]}}
    assert who(front, **AS_ANNA) == anna, who(front, **AS_ANNA)
    assert who(front, X_Remote_User="bea")["username"] == "bea"  # of the same connection
    c = h2client.Connection((host, int(port)), proxy)
    answer = c.ask(WHO, "POST", json.dumps(REVIEW).encode(), headers=[("content-type", "application/json"), ("x-remote-user", "anna"), ("x-remote-group", "a"), ("x-remote-group", "b")])
    c.close()
    assert json.loads(answer.body)["status"]["userInfo"] == {"username": "anna", "groups": ["a", "b", "system:authenticated"]}, answer.body
    assert who(front) == 401 and who(front, X_Remote_Group="system:masters") == 401
    is_(front.get("/api/v1/secrets", X_Remote_User="anna"), 403, "Forbidden", 'User "anna" cannot list')
    is_(front.get("/api/v1/secrets", X_Remote_User="anna", X_Remote_Group="system:masters"), 200)
    seen = echo(client=front, X_Remote_User="anna", X_Remote_Group="system:masters", X_Remote_Extra_Color="red")
    assert sent(seen, "x-remote-user") == ["anna"] and sent(seen, "x-remote-extra-color") == ["red"]
    for name, cn, authority, purpose in (("named", "front-proxy-other", "front-proxy-ca", "clientAuth"), ("purpose", "front-proxy-client", "front-proxy-ca", "serverAuth")):
        assert who(Client(certificate(name, cn, PKI + authority + ".crt", PKI + authority + ".key", purpose)), **AS_ANNA) == 401, name
    assert who(Client(certificate("stranger", "front-proxy-client", f"{scratch}/pki/other.crt", f"{scratch}/pki/other.key")), **AS_ANNA) == 401
    ours = Client(certificate("ours", "front-proxy-client", PKI + "ca.crt", PKI + "ca.key"))
    assert who(ours, **AS_ANNA)["username"] == "front-proxy-client"
    assert who(a, **AS_ANNA)["username"] == "kubernetes-admin"
    assert who(Client(nobody), **AS_ANNA) in (401, 403)


# --- what goes on ---
@case
def identity():
    """the server learns the user, groups and extra values, also of an impersonation, and no credentials"""
    seen = echo("/faults/echo?x=%20y&watch=0", "POST", '{"a": 1}', Content_Type="application/json", Authorization="Basic eDp5", X_Other="stays")
    assert seen["path"] == API + "/faults/echo?x=%20y&watch=0" and seen["body"] == '{"a": 1}'
    assert sent(seen, "x-remote-user") == ["kubernetes-admin"] and sent(seen, "x-remote-group") == ["system:authenticated", "system:masters"]
    assert sent(seen, "authorization") == [] and sent(seen, "x-other") == ["stays"] and sent(seen, "host") == ["shop.aggregated.svc:8443"]
    allow = {"kind": "ClusterRole", "metadata": {"name": "shoppers"}, "rules": [{"apiGroups": [GROUP], "resources": ["faults"], "verbs": ["get"]}]}
    is_(a.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", allow), 201)
    is_(a.get(API + "/faults/echo", Impersonate_User="bob"), 403, "Forbidden", f'cannot get resource "faults" in API group "{GROUP}"')
    binding = {"metadata": {"name": "shoppers"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "shoppers"},
               "subjects": [{"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}]}
    is_(a.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding), 201)
    until(lambda: a.get(API + "/faults/echo", Impersonate_User="bob").code == 200)
    seen = echo(Impersonate_User="bob", Impersonate_Group="team", Impersonate_Uid="u1", Impersonate_Extra_Example_com_2ftier="gold")
    assert sent(seen, "x-remote-user") == ["bob"] and "team" in sent(seen, "x-remote-group") and sent(seen, "x-remote-uid") == ["u1"]
    assert not [k for k, _ in seen["headers"] if k.lower().startswith("impersonate")]
    assert [v for k, v in seen["headers"] if k.lower().startswith("x-remote-extra-")] == ["gold"]
    is_(a.delete(API + "/faults/echo", Impersonate_User="bob"), 403, "Forbidden")
    assert Client(nobody).get(API + "/faults/echo").code == 401


FORGED = [("X-Remote-User", "evil"), ("x-remote-group", "evil"), ("X_Remote_User", "evil"), ("X-Remote_Group", "evil"), ("X-Remote-Uid", "evil"),
          ("X-Remote-Extra-Scopes", "evil"), ("x.remote.user", "evil"), ("X-Forwarded-For", "evil"), ("Proxy-Authorization", "evil")]


def raw(head, wait=b"\r\n\r\n"):
    """One request byte by byte over a connection of its own."""
    s = tls.wrap_socket(socket.create_connection((host, int(port)), timeout=60), server_hostname=host)
    s.sendall(head)
    got = b""
    while wait not in got:
        more = s.recv(65536)
        if not more:
            break
        got += more
    return s, got


@case
def forged():
    """nobody can write the headers that say who asks: no spelling, no Connection header, no HTTP/2"""
    lines = "".join(f"{k}: {v}\r\n" for k, v in FORGED)
    s, got = raw(f"GET {API}/faults/echo HTTP/1.1\r\nHost: x\r\nConnection: X-Remote-User, close\r\n{lines}X-Remote-Group : evil\r\n\r\n".encode(), b"}")
    s.close()
    assert b"evil" not in got and (b'"kubernetes-admin"' in got or b" 400 " in got), got
    s, got = raw(f"GET {API}/faults/echo HTTP/1.1\r\nHost: x\r\nConnection: X-Remote-User, X-Remote-Group\r\n{lines}\r\n".encode(), b"}")
    s.close()
    assert b'"kubernetes-admin"' in got and b'"system:masters"' in got and b"evil" not in got, got
    c = h2client.Connection((host, int(port)), tls)
    answer = c.ask(API + "/faults/echo", headers=[(k.lower(), v) for k, v in FORGED])
    c.close()
    assert answer.code == 200 and b"evil" not in answer.body and b'"kubernetes-admin"' in answer.body, (answer.code, answer.body)


@case
def paths():
    """a path that another server would read differently than kapid did is refused"""
    for path in ("/faults/..%2f..%2fx", "/faults/%2e%2e/x", "/../../../api/v1/secrets", "/faults/a%2Fb", "/faults/%5c", "/faults/."):
        s, got = raw(f"GET {API}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        s.close()
        assert b" 400 " in got.split(b"\r\n")[0] or b" 404 " in got.split(b"\r\n")[0], (path, got[:200])
    seen = echo("/faults/echo/more/and/more/segments%20here")
    assert seen["path"].endswith("/faults/echo/more/and/more/segments%20here")


# --- what comes back ---
@case
def answers():
    """answers come back as they are: errors, compressed ones, large ones in pieces, HEAD"""
    is_(a.get(API + "/faults/refused"), 409, "Conflict", "the shop is closed")
    r = a.get(API + "/faults/large")
    assert r.code == 200 and len(r.text) == 300 * 32768 and r.headers["X-Shop"] == "open"
    assert "Access-Control-Allow-Origin" not in r.headers and "X-Private" not in r.headers and r.headers.get_all("Cache-Control") == ["no-cache, private"]
    a.c.request("GET", API + "/faults/gzip", headers={"Accept-Encoding": "gzip"})
    r = a.c.getresponse()
    assert r.headers["Content-Encoding"] == "gzip" and gzip.decompress(r.read()) == b"large " * 9999
    r = a.get(API + "/faults/large-error")
    assert r.code == 500 and r.text == "z" * (3 << 20)
    assert a.ask("HEAD", API + "/faults/echo").code == 200
    c = h2client.Connection((host, int(port)), tls)
    big = c.ask(API + "/faults/large")
    c.close()
    assert big.code == 200 and len(big.body) == 300 * 32768


@case
def faults():
    """a server that lies, redirects, sends endless headers or breaks off: 502 or 503, or a broken stream"""
    is_(a.get(API + "/faults/garbage"), 503, "ServiceUnavailable", "error trying to reach service: ")
    is_(a.get(API + "/faults/headers"), 502, None, "too many headers")
    is_(a.get(API + "/faults/redirect"), 502, None, "attempted to redirect this request, which is not permitted")
    broken = Client()
    try:
        broken.get(API + "/faults/half")
        raise AssertionError("a half answer was taken for whole")
    except (http.client.IncompleteRead, http.client.HTTPException, ConnectionError, ssl.SSLError):
        pass


@case
def silent():
    """one that is silent holds nobody else up, has a time limit, and is left when the client leaves"""
    waiting = []
    for _ in range(20):
        s = tls.wrap_socket(socket.create_connection((host, int(port)), timeout=60), server_hostname=host)
        s.sendall(f"GET {API}/faults/hang HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        waiting.append(s)
    for _ in range(20):
        is_(a.get("/api/v1/namespaces/default"), 200)
    is_(a.get(API + "/faults/hang?timeout=300ms"), 504, "Timeout")
    shop.left.clear()
    for s in waiting:
        s.close()
    assert shop.left.wait(30)


@case
def upgrades():
    """a connection that leaves HTTP goes through, both ways; a refusal comes back"""
    head = f"GET {API}/faults/echo/exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\nX-Remote-User: evil\r\n\r\n"
    s, got = raw(head.encode(), b"hello ")
    assert got.startswith(b"HTTP/1.1 101 ") and b"X-Shop: open" in got, got
    assert sent({"headers": shop.asked[-1][3].items()}, "x-remote-user") == ["kubernetes-admin"]
    s.sendall(b"abc" * 20000 + b" bye")
    got = b""
    while more := s.recv(65536):
        got += more
    assert got[:9] == b"ABCABCABC" and len(got) >= 4096, len(got)
    s.close()
    s, got = raw(head.replace("/exec", "/portforward").encode(), b"shop")
    assert got.startswith(b"HTTP/1.1 403 ") and b"no way out" in got, got
    s.close()


# --- it goes away, and comes back ---
def freshness():
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    groups = a.get("/apis", Accept=accept).json["items"]
    return [(v["freshness"], [r["resource"] for r in v["resources"]]) for g in groups if g["metadata"]["name"] == GROUP for v in g["versions"]]


@case
def discovery():
    """discovery lists a group whose server is out of order as stale, and nothing else suffers"""
    assert freshness() == [("Current", ["flunders"])]
    shop.discovery = 500
    poke()
    until_is("FailedDiscoveryCheck")
    assert freshness() == [("Stale", ["flunders"])]
    assert GROUP in [g["name"] for g in a.get("/apis").json["groups"]] and a.get(f"/apis/{GROUP}").json["preferredVersion"]["version"] == VERSION
    is_(a.get(API), 503, "ServiceUnavailable", "service unavailable")
    assert "deployments" in kubectl("api-resources", "--api-group=apps")
    shop.discovery = 200
    poke()
    until_is("Passed", "True")
    assert f"apis/{GROUP}/{VERSION}" in a.get("/openapi/v3").json["paths"]
    v2 = a.get("/openapi/v2").json
    assert API + "/namespaces/{namespace}/flunders/{name}" in v2["paths"] and "/api/v1/nodes/{name}" in v2["paths"]
    flunder = v2["definitions"]["shop.Flunder"]["properties"]["metadata"]["$ref"].split("/")[-1]
    assert flunder == META + "_v2" and v2["definitions"][flunder] == {"type": "string"} != v2["definitions"][META]
    assert "/apis/apps/v1/shop" not in v2["paths"] and "shop.Unused" not in v2["definitions"]
    is_(a.merge(f"{SERVICES}/{NAME}", {"spec": {"caBundle": bundle("other")}}), 200)
    until_is("FailedDiscoveryCheck")
    is_(a.merge(f"{SERVICES}/{NAME}", {"spec": {"caBundle": None, "insecureSkipTLSVerify": True}}), 200)
    until_is("Passed", "True")
    assert echo()["path"] == API + "/faults/echo"
    is_(a.delete(f"{SERVICES}/{NAME}"), 200)
    is_(a.get(API + "/faults/echo"), 404, "NotFound")
    assert freshness() == []


@case
def metrics():
    """metrics.k8s.io goes to a server that has an APIService for it, and comes back"""
    nodes = "/apis/metrics.k8s.io/v1beta1/nodes"
    assert "from-the-shop" not in is_(a.get(nodes), 200).text
    name = "v1beta1.metrics.k8s.io"
    assert "created" in kubectl("apply", "-f", "-", text=json.dumps(apiservice(name, "metrics.k8s.io", "v1beta1")))
    until_is("Passed", "True", name)
    assert "from-the-shop" in is_(a.get(nodes), 200).text
    assert "from-the-shop" in kubectl("top", "nodes")
    assert "deleted" in kubectl("delete", "apiservice", name)
    assert "from-the-shop" not in is_(a.get(nodes), 200).text


@case
def definitions():
    """a definition's version has an APIService that follows it; one of somebody else's comes first"""
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "mugs.cafe.example.com"}, "spec": {
        "group": "cafe.example.com", "scope": "Namespaced", "names": {"plural": "mugs", "singular": "mug", "kind": "Mug"}, "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]}}
    name = "v1.cafe.example.com"
    is_(a.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd), 201)
    until(lambda: a.get(f"{SERVICES}/{name}").code == 200)
    assert a.get(f"{SERVICES}/{name}").json["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "true"}
    service = {"spec": {"service": {"name": "shop", "namespace": "aggregated", "port": 8443}, "insecureSkipTLSVerify": True}}
    is_(a.merge(f"{SERVICES}/{name}", service), 200)
    until(lambda: "service" not in a.get(f"{SERVICES}/{name}").json["spec"])
    is_(a.merge(f"{SERVICES}/{name}", {**service, "metadata": {"labels": None}}), 200)
    until_is("Passed", "True", name)
    is_(a.get("/apis/cafe.example.com/v1/namespaces/default/mugs/x"), 404, "NotFound", "no such thing")
    is_(a.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/mugs.cafe.example.com"), 200)
    is_(a.delete(f"{SERVICES}/{name}"), 200)
    until(lambda: a.get("/apis/cafe.example.com/v1/namespaces/default/mugs/x").code == 404 and a.get(f"{SERVICES}/{name}").code == 404)


@case
def rights():
    """only administrators write APIServices"""
    until(lambda: a.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/admin").json.get("rules"))
    binding = {"metadata": {"name": "bob-admin"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
               "subjects": [{"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}]}
    is_(a.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding), 201)
    is_(a.post(SERVICES, apiservice(), Impersonate_User="bob"), 403, "Forbidden")


finish()
