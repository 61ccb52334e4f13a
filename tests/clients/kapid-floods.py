"""The floods of tests/clients/kapid-floods. Arguments: port, kubeconfig, kapid's pid, number of objects."""
import base64
import http.client
import json
import os
import re
import socket
import ssl
import sys
import tempfile
import threading
import time

PORT, KUBECONFIG, PID, OBJECTS = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
HOST = "127.0.0.1"
count = failed = 0


def ok(text, good, said=""):
    global count, failed
    count += 1
    failed += not good
    print(("ok" if good else "not ok"), count, "-", text, flush=True)
    if not good or said:
        print("#", str(said)[:400], flush=True)


def key_files():
    """The kubeconfig's certificates, as files."""
    text = open(KUBECONFIG).read()
    folder = tempfile.mkdtemp()
    names = {}
    for name in ("certificate-authority", "client-certificate", "client-key"):
        found = re.search(name + r"-data: *\"?([A-Za-z0-9+/=]+)", text)
        if found:
            names[name] = os.path.join(folder, name)
            with open(names[name], "wb") as f:
                f.write(base64.b64decode(found.group(1)))
        else:
            path = re.search(name + r": *\"?([^\"\n]+)", text).group(1)
            names[name] = os.path.join(os.path.dirname(KUBECONFIG), path)
    return names


FILES = key_files()


def context(known=True):
    c = ssl.create_default_context(cafile=FILES["certificate-authority"])
    c.check_hostname = False
    if known:
        c.load_cert_chain(FILES["client-certificate"], FILES["client-key"])
    return c


ADMIN, ANYONE = context(), context(False)


class Client:
    """One connection that is kept, of the administrator or of a token."""

    def __init__(self, token=None, timeout=60):
        self.token = token
        self.http = http.client.HTTPSConnection(HOST, PORT, context=ANYONE if token else ADMIN, timeout=timeout)

    def call(self, method, path, body=None, kind="application/json", headers=None):
        h = dict(headers or {})
        if self.token:
            h["Authorization"] = "Bearer " + self.token
        if body is not None:
            h["Content-Type"] = kind
            body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        for last in (False, True):
            try:
                self.http.request(method, path, body, h)
                answer = self.http.getresponse()
                return answer.status, answer.read(), answer.headers
            except (ConnectionError, http.client.BadStatusLine, ssl.SSLError):
                self.http.close()
                if last:
                    raise
        return None


def rss():
    """kapid's memory in MB."""
    text = open(f"/proc/{PID}/status").read()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) / 1024


def settles(limit, seconds=12):
    """Memory is released within some seconds."""
    end = time.monotonic() + seconds
    while rss() > limit and time.monotonic() < end:
        time.sleep(0.5)
    return rss()


def connect():
    s = socket.create_connection((HOST, PORT), timeout=20)
    return s


def is_open(s):
    s.setblocking(False)
    try:
        return s.recv(1) != b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False


def timed(f, *a):
    start = time.monotonic()
    r = f(*a)
    return r, time.monotonic() - start


def crd(plural, pattern):
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.floods.test"},
            "spec": {"group": "floods.test", "scope": "Namespaced",
                     "names": {"plural": plural, "kind": plural.capitalize()},
                     "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                         "type": "object", "properties": {"s": {"type": "string", "pattern": pattern}}}}}]}}


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def patterns(admin):
    for pattern in ("((a{0,100}){0,100}){0,100}", "(((((a{1,9}){1,9}){1,9}){1,9}){1,9}){1,9}", "(x+){2,1000}{2,1000}",
                    "(?=a)b", r"(a)\1", "a++"):
        (status, body, _), t = timed(admin.call, "POST", CRDS, crd("bads", pattern))
        ok(f"the pattern {pattern} is refused at once", status == 422 and t < 2, f"{status} {t:.2f} s {body[:200]}" if status != 422 else "")
    for i, (pattern, good, bad) in enumerate(((r"(?i)^ab$", "AB", "abc"), (r"^a??b$", "ab", "aab"), (r"^\p{L}+$", "Größe", "a1"),
                                              (r"^(a*)*b$", "ab", "a" * 200000), (r"^(([a-z])+.)+[A-Z]([a-z])+$", "abcDe", "a" * 5000))):
        name = f"goods{chr(97 + i)}"
        status, body, _ = admin.call("POST", CRDS, crd(name, pattern))
        path = f"/apis/floods.test/v1/namespaces/default/{name}"
        made = {"apiVersion": "floods.test/v1", "kind": name.capitalize(), "metadata": {"name": "x"}}
        end = time.monotonic() + 10
        while admin.call("GET", path)[0] == 404 and time.monotonic() < end:
            time.sleep(0.1)
        (yes, yes_body, _), _ = timed(admin.call, "POST", path, {**made, "s": good})
        made["metadata"]["name"] = "y"
        (no, body, _), t = timed(admin.call, "POST", path, {**made, "s": bad})
        ok(f"the pattern {pattern} is taken and holds", status == 201 and yes == 201 and no == 422 and t < 5,
           f"{status} {yes} {yes_body[:200]} {no} {t:.2f} s" if (status, yes, no) != (201, 201, 422) else "")
        if len(bad) > 1000:
            ok("a value that would take for ever is refused with a remedy", b"takes too long" in body, body[:300] if b"takes too long" not in body else "")


def silent(admin):
    """Connections that say nothing, and some that begin a handshake."""
    admin.call("GET", "/version")
    idle = []
    for i in range(1000):
        s = connect()
        if i % 3 == 0:
            s.send(b"\x16\x03\x01")
        idle.append(s)
    (status, _, _), t = timed(Client().call, "GET", "/api/v1/namespaces/default")
    ok("a client with a certificate gets in beside 1,000 silent connections", status == 200 and t < 5, f"{status} {t:.2f} s")
    (status, _, _), t = timed(admin.call, "GET", "/api/v1/namespaces/default")
    ok("a connection that is known stays", status == 200 and t < 5, f"{status} {t:.2f} s" if status != 200 else "")
    left = sum(map(is_open, idle))
    ok("one address keeps at most 256 of them", left <= 260, left)
    return idle


def half_bodies(admin, token):
    before = rss()
    held = []
    for i in range(100):
        s = ANYONE.wrap_socket(connect())
        try:
            s.sendall(b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                      b"Content-Length: 3000000\r\n\r\n" + b" " * 60000)
        except OSError:
            pass
        held.append(s)
    answers = 0
    for s in held:
        s.settimeout(10)
        try:
            answers += b" 401 " in s.recv(64)
        except OSError:
            pass
    ok("100 large anonymous bodies are refused before they come", answers > 90, answers)
    held += [None]
    small = ANYONE.wrap_socket(connect())
    small.sendall(b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
    small.settimeout(10)
    ok("a small one is read first, and refused", b" 401 " in small.recv(64))
    refused, bodies = 0, []
    for i in range(40):
        s = ANYONE.wrap_socket(connect())
        s.sendall(b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token.encode() +
                  b"\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 3000000\r\n\r\n")
        s.settimeout(10)
        answer = s.recv(400)
        refused += b" 429 " in answer and b"retry-after: 1" in answer.lower()
        bodies.append(s)
    ok("one user's half-sent bodies are bounded: 429 and Retry-After", 10 <= refused <= 30, refused)
    status, _, _ = admin.call("POST", "/api/v1/namespaces/default/configmaps",
                              {"metadata": {"name": "beside"}, "data": {"x": "y" * 1000000}})
    ok("another user's body has room", status == 201, status)
    for s in held + bodies:
        if s:
            s.close()
    after = settles(before + 25)
    ok("their memory is released", after < before + 30, f"{before:.0f} MB, then {after:.0f} MB")
    admin.call("DELETE", "/api/v1/namespaces/default/configmaps/beside")


def account(admin, name):
    admin.call("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": name}})
    admin.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
               {"metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}]})
    _, body, _ = admin.call("POST", f"/api/v1/namespaces/default/serviceaccounts/{name}/token",
                            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    return json.loads(body)["status"]["token"]


MAPS = "/api/v1/namespaces/floods/configmaps"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


def fill():
    def some(first):
        c = Client()
        for i in range(first, OBJECTS, 8):
            status, body, _ = c.call("POST", MAPS, {"metadata": {"name": f"m{i}", "labels": {"app": f"a{i % 100}"}}, "data": {"x": "y" * 2000}})
            assert status == 201, body
    Client().call("POST", "/api/v1/namespaces", {"metadata": {"name": "floods"}})
    threads = [threading.Thread(target=some, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def memory(admin, base):
    limit = 80 if OBJECTS >= 10000 else 70
    steps = (("list", lambda: admin.call("GET", MAPS)),
             ("list as a Table", lambda: admin.call("GET", MAPS, headers=TABLE)),
             ("list by label", lambda: admin.call("GET", MAPS + "?labelSelector=app%3Da7")),
             ("list by field", lambda: admin.call("GET", MAPS + "?fieldSelector=metadata.name%3Dm7")),
             ("list of metadata", lambda: admin.call("GET", MAPS, headers={"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"})),
             ("pages", lambda: [admin.call("GET", MAPS + "?limit=500")]),
             ("pretty", lambda: admin.call("GET", MAPS + "?pretty=true")))
    whole = OBJECTS + 1  # with the namespace's kube-root-ca.crt
    wanted = {"list by label": OBJECTS // 100, "list by field": 1, "pages": 500}
    for name, step in steps:
        r, t = timed(step)
        status, body, _ = r[0] if isinstance(r, list) else r
        v = json.loads(body)
        n = len(v.get("items", v.get("rows")))
        now = settles(limit)
        ok(f"{name}: all of it, and memory below {limit} MB", status == 200 and n == wanted.get(name, whole) and now < limit,
           f"{n} in {t:.2f} s, {now:.0f} MB")
        del r, body, v
    r, t = timed(lambda: admin.call("DELETE", MAPS))
    n = len(json.loads(r[1])["items"])
    now = settles(limit)
    ok(f"delete collection: all of it, and memory below {limit} MB", r[0] == 200 and n == whole and now < limit,
       f"{n} in {t:.2f} s, {now:.0f} MB; {base:.0f} MB at first")


def fairness(tokens):
    greedy, modest = tokens
    stop = threading.Event()
    head = (f"GET {MAPS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {greedy}\r\n"
            "Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n\r\n").encode()

    def flood():
        try:
            s = ANYONE.wrap_socket(connect())
            s.settimeout(30)
            s.sendall(head * 20)
            while not stop.is_set() and s.recv(1 << 18):
                pass
            s.close()
        except OSError:
            pass

    c = Client(modest)
    _, alone = timed(c.call, "GET", "/api/v1/namespaces/default")
    threads = [threading.Thread(target=flood) for _ in range(16)]
    for t in threads:
        t.start()
    time.sleep(1)
    times = []
    end = time.monotonic() + 4
    while time.monotonic() < end:
        (status, _, _), t = timed(c.call, "GET", "/api/v1/namespaces/default")
        times.append(t)
        if status != 200:
            times.append(99)
        time.sleep(0.05)
    stop.set()
    times.sort()
    ok("a user's GET beside another's 16 connections with 20 lists each", times[len(times) // 2] < 1 and times[-1] < 5,
       f"alone {alone * 1000:.0f} ms; {len(times)} beside: half within {times[len(times) // 2] * 1000:.0f} ms, all within {times[-1] * 1000:.0f} ms")
    for t in threads:
        t.join()


def tls():
    def handshake(version, ciphers):
        c = context()
        c.minimum_version = c.maximum_version = version
        if ciphers:
            c.set_ciphers(ciphers + ":@SECLEVEL=0")
        try:
            with c.wrap_socket(connect()) as s:
                s.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
                return s.recv(16)[:12] == b"HTTP/1.1 200"
        except (ssl.SSLError, ConnectionError):
            return False
    v2, v3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    ok("TLS 1.3", handshake(v3, None))
    ok("TLS 1.2 with AEAD", handshake(v2, "ECDHE+AESGCM:ECDHE+CHACHA20"))
    for name in ("ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384", "AES128-SHA", "AES128-GCM-SHA256"):
        ok(f"no TLS 1.2 with {name}", not handshake(v2, name))


def bombs(admin):
    before = rss()
    cm = "/api/v1/namespaces/default/configmaps"
    cases = [
        ("JSON nested 100,000 deep", "POST", cm, b'{"a":' * 100000, "application/json"),
        ("arrays nested 100,000 deep", "POST", cm, b"[" * 100000, "application/json"),
        ("YAML aliases of aliases", "POST", cm, ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\na0: &a0 [x,x,x,x,x,x,x,x,x]\n" +
         "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))).encode(), "application/yaml"),
        ("a label selector of a megabyte", "GET", cm + "?labelSelector=" + "a," * 500000, None, None),
        ("a body with gzip", "POST", cm, b"\x1f\x8b" + b"\0" * 1000, "application/json"),
    ]
    admin.call("POST", cm, {"metadata": {"name": "bomb"}, "data": {"a": "y" * 100000}})
    doubling = [{"op": "copy", "from": "/data", "path": f"/data/x{i}"} for i in range(40)]
    cases.append(("a JSON patch that doubles 40 times", "PATCH", cm + "/bomb", json.dumps(doubling).encode(), "application/json-patch+json"))
    many = [{"op": "test", "path": "/kind", "value": "ConfigMap"}] * 10001
    cases.append(("a JSON patch of 10,001 steps", "PATCH", cm + "/bomb", json.dumps(many).encode(), "application/json-patch+json"))
    for name, method, path, body, kind in cases:
        try:
            (status, _, _), t = timed(admin.call, method, path, body, kind or "")
        except (OSError, http.client.HTTPException):
            status, t = 400, 0  # the connection was closed
        ok(f"{name} is refused", 400 <= status < 500 and t < 5, f"{status} {t:.2f} s")
    after = settles(before + 30)
    ok("and leaves nothing behind", after < before + 40, f"{before:.0f} MB, then {after:.0f} MB")
    ok("kapid serves on", admin.call("GET", "/readyz")[0] == 200)


def main():
    admin = Client()
    base = rss()
    tls()
    patterns(admin)
    bombs(admin)
    tokens = [account(admin, name) for name in ("greedy", "modest")]
    idle = silent(admin)
    start = time.monotonic()
    half_bodies(admin, tokens[0])
    fill()
    fairness(tokens)
    memory(admin, base)
    time.sleep(max(0, 17 - (time.monotonic() - start)))
    left = sum(map(is_open, idle))
    ok("silent connections are closed within seconds", left == 0, left)
    print(f"1..{count}")
    return failed > 0


sys.exit(main())
