"""Attacks on the API by a user with `edit` in one namespace and by a node; run by tests/clients/boundaries. Speaks TAP."""
import base64
import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time

import yaml

config = yaml.safe_load(open(sys.argv[1]))
pki = sys.argv[2]
host, port = config["clusters"][0]["cluster"]["server"].split("//")[1].split(":")
scratch = tempfile.TemporaryDirectory()
serial = 0


def run(*words, text=None):
    return subprocess.run(words, input=text, capture_output=True, text=True, check=True).stdout


def path(name):
    return os.path.join(scratch.name, name)


def request(subject, names=None, more=""):
    """A key and a signing request for it: (key file, PEM)."""
    global serial
    serial += 1
    key = path(f"{serial}.key")
    words = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
             "-subj", subject]
    if names:
        words += ["-addext", f"subjectAltName={names}"]
    if more:
        words += ["-addext", more]
    return key, run(*words)


class Reply:
    def __init__(self, r, body):
        self.code, self.headers, self.text = r.status, r.headers, body

    @property
    def json(self):
        return json.loads(self.text)

    def must(self, code, *words):
        assert self.code == code, f"{self.code}, not {code}: {self.text[:600]}"
        for word in words:
            assert word in self.text, f"{word!r} is not in: {self.text[:900]}"
        return self

    def warns(self, *words):
        all_of_them = " ".join(self.headers.get_all("Warning") or [])
        for word in words:
            assert word in all_of_them, f"{word!r} is not in the warnings: {all_of_them!r}"
        return self


class Client:
    def __init__(self, cert, key):
        self.context = ssl.create_default_context(cafile=f"{pki}/ca.crt")
        self.context.load_cert_chain(cert, key)
        self.c = http.client.HTTPSConnection(host, int(port), context=self.context, timeout=30)

    def ask(self, method, where, body=None, **headers):
        h = {k.replace("_", "-"): v for k, v in headers.items()}
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        self.c.request(method, where, body=body, headers=h)
        r = self.c.getresponse()
        return Reply(r, r.read().decode())

    def get(self, where, **h):
        return self.ask("GET", where, **h)

    def post(self, where, body, **h):
        return self.ask("POST", where, body, **h)

    def put(self, where, body, **h):
        return self.ask("PUT", where, body, **h)

    def delete(self, where, **h):
        return self.ask("DELETE", where, **h)

    def merge(self, where, body, **h):
        return self.ask("PATCH", where, body, Content_Type="application/merge-patch+json", **h)


def person(subject):
    """A client with a certificate of the cluster's authority, made with the authority's own key."""
    key, csr = request(subject)
    cert = run("openssl", "x509", "-req", "-CA", f"{pki}/ca.crt", "-CAkey", f"{pki}/ca.key", "-days", "2",
               "-set_serial", str(1000 + serial), text=csr)
    with open(key + ".crt", "w", encoding="ascii") as f:
        f.write(cert)
    return Client(key + ".crt", key)


tests = failures = 0


def case(f):
    """Runs a case at once; an assertion that fails says where."""
    global tests, failures
    tests += 1
    text = f.__doc__.strip()
    try:
        f()
        print(f"ok {tests} - {text}", flush=True)
    except Exception as e:  # pylint: disable=broad-except
        failures += 1
        line = e.__traceback__.tb_next.tb_lineno if e.__traceback__.tb_next else 0
        print(f"not ok {tests} - {text}\n# line {line}: {type(e).__name__} {str(e)[:1200]}", flush=True)


def within(seconds, f):
    end = time.monotonic() + seconds
    while True:
        try:
            return f()
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


RBAC = "/apis/rbac.authorization.k8s.io/v1"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
EVIL, OTHER = "/api/v1/namespaces/evil", "/api/v1/namespaces/other"
PS = "pod-security.kubernetes.io/"
root = person("/O=system:masters/CN=root")
mallory = person("/CN=mallory")  # edit in the namespace evil
carol = person("/CN=carol")      # may write namespaces only
node = person("/O=system:nodes/CN=system:node:m1")


def pod(name, spec=None, container=None, annotations=None, **more):
    c = {"name": "c", "image": "example.org/app:1", "command": ["/bin/true"]}
    c.update(container or {})
    s = {"containers": [c]}
    s.update(spec or {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations or {}, **more},
            "spec": s}


# What a node without an agent is tainted with.
SILENT = [{"key": f"node.kubernetes.io/{k}", "operator": "Exists"} for k in ("not-ready", "unreachable")]


def role(name, rules, labels=None, **more):
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": labels or {}}, "rules": rules, **more}


def bind(name, of, user, namespace=None):
    where = f"{RBAC}/namespaces/{namespace}/rolebindings" if namespace else f"{RBAC}/clusterrolebindings"
    root.post(where, {"metadata": {"name": name}, "roleRef": {"kind": "ClusterRole", "name": of},
                      "subjects": [{"kind": "User", "name": user}]}).must(201)


for n in ("evil", "other"):
    root.post("/api/v1/namespaces", {"metadata": {"name": n}}).must(201)
bind("mallory", "edit", "mallory", "evil")
root.post(f"{RBAC}/clusterroles", role("namespaces", [
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "create", "update", "patch"]}])).must(201)
bind("carol", "namespaces", "carol")
for n in ("m1", "m2"):
    root.post("/api/v1/nodes", {"metadata": {"name": n, "labels": {
        "node-role.kubernetes.io/worker": "", "node-restriction.kubernetes.io/pci": "yes"}}}).must(201)
root.merge("/api/v1/nodes/m2", {"spec": {"taints": [
    {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]}}).must(200)
root.merge("/api/v1/nodes/m2/status", {"status": {"addresses": [
    {"type": "InternalIP", "address": "198.51.100.2"}]}}).must(200)
within(10, lambda: mallory.get(f"{EVIL}/pods").must(200))


# --- pods

@case
def _():
    """a pod that asks for nothing special is taken"""
    mallory.post(f"{EVIL}/pods", pod("plain")).must(201)
    mallory.post(f"{EVIL}/pods", pod("on-host", container={"image": "host"})).must(201)


BAD = {
    "privileged": pod("x", container={"securityContext": {"privileged": True}}),
    "host namespaces": pod("x", {"hostNetwork": True}),
    "host namespaces (hostPID": pod("x", {"hostPID": True}),
    "hostPath volumes": pod("x", {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
    "hostPort": pod("x", container={"ports": [{"containerPort": 80, "hostPort": 80}]}),
    "non-default capabilities": pod("x", container={"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}),
    "seccompProfile": pod("x", {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
    "procMount": pod("x", container={"securityContext": {"procMount": "Unmasked"}}),
    "forbidden sysctls": pod("x", {"securityContext": {"sysctls": [{"name": "kernel.core_pattern", "value": "|/x"}]}}),
    "seLinuxOptions": pod("x", {"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}),
    "AppArmor": pod("x", {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}),
    "users of the machine": pod("x", container={"image": "host", "securityContext": {"runAsUser": 0}}),
    "users of the machine (": pod("x", {"securityContext": {"supplementalGroups": [0]}}, {"image": "/"}),
    "needs the level privileged": pod("x", annotations={"unit.keelson.dev/InaccessiblePaths": ""}),
    "unit.keelson.dev/Conflicts": pod("x", annotations={"c.unit.keelson.dev/Conflicts": "sshd.service"}),
    "unit.keelson.dev/NoNewPrivileges": pod("x", annotations={"unit.keelson.dev/NoNewPrivileges": "no"}),
    "unit.keelson.dev/adopt": pod("x", annotations={"unit.keelson.dev/adopt": "cron.service"}),
    "unit.keelson.dev/adopt-mode": pod("x", annotations={"unit.keelson.dev/adopt-mode": "managed"}),
    "unit.keelson.dev/portable": pod("x", annotations={"unit.keelson.dev/portable": "/srv/x",
                                                       "unit.keelson.dev/adopt": "x.service"}),
    "unit.keelson.dev/Listen": pod("x", annotations={"unit.keelson.dev/Listen": "80"}),
}


@case
def _():
    """each control of the level baseline refuses every user"""
    for word, bad in BAD.items():
        mallory.post(f"{EVIL}/pods", bad).must(403, "violates PodSecurity", word)
        root.post(f"{EVIL}/pods", bad).must(403, "violates PodSecurity")


@case
def _():
    """init containers count too"""
    bad = pod("x")
    bad["spec"]["initContainers"] = [{"name": "i", "image": "a", "securityContext": {"privileged": True}}]
    mallory.post(f"{EVIL}/pods", bad).must(403, 'container \\"i\\"')


@case
def _():
    """a unit property that nobody knows is refused by name"""
    mallory.post(f"{EVIL}/pods", pod("x", annotations={"unit.keelson.dev/Nope": "1"})).must(422, "Nope")
    mallory.post(f"{EVIL}/pods", pod("x2", annotations={"unit.keelson.dev/MemoryHigh": "64M"})).must(201)


@case
def _():
    """an update is looked at as a creation is"""
    where = f"{EVIL}/pods/plain"
    mallory.merge(where, {"metadata": {"annotations": {"unit.keelson.dev/InaccessiblePaths": ""}}}).must(
        403, "needs the level privileged")
    mallory.merge(where, {"metadata": {"annotations": {"c.unit.keelson.dev/User": "root"}}}).must(403)
    for word in "adopt", "portable":
        mallory.merge(where, {"metadata": {"annotations": {f"unit.keelson.dev/{word}": "/srv/x.service"}}}).must(422)
    mallory.merge(where, {"metadata": {"labels": {"a": "b"}}}).must(200)
    mallory.post(f"{EVIL}/pods", pod("root-in-image", container={"securityContext": {"runAsUser": 0}})).must(201)
    c = mallory.get(f"{EVIL}/pods/root-in-image").json
    c["spec"]["containers"][0]["image"] = "host"
    del c["metadata"]["resourceVersion"]  # the scheduler writes it meanwhile
    mallory.put(f"{EVIL}/pods/root-in-image", c).must(403, "users of the machine")


@case
def _():
    """a template that its namespace would not take: taken with a warning"""
    t = pod("x", {"hostNetwork": True})
    d = {"metadata": {"name": "d"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}},
                                            "template": {"metadata": {"labels": {"a": "b"}}, "spec": t["spec"]}}}
    mallory.post("/apis/apps/v1/namespaces/evil/deployments", d).must(201).warns(
        'would violate PodSecurity', 'baseline:latest', "host namespaces (hostNetwork=true)")
    j = {"metadata": {"name": "j"}, "spec": {"suspend": True, "template": {"spec": {**t["spec"], "restartPolicy": "Never"}}}}
    mallory.post("/apis/batch/v1/namespaces/evil/jobs", j).must(201).warns("would violate PodSecurity")


# --- the labels

@case
def _():
    """the level of a namespace is not its users' to change"""
    label = {"metadata": {"labels": {PS + "enforce": "privileged"}}}
    mallory.merge(EVIL, label).must(403)
    carol.merge(EVIL, label).must(403, "set-pod-security", PS + "enforce")
    carol.merge(EVIL, {"metadata": {"labels": {PS + "warn-version": "v1.20"}}}).must(403, "set-pod-security")
    carol.post("/api/v1/namespaces", {"metadata": {"name": "mine", "labels": {PS + "enforce": "privileged"}}}).must(403)
    carol.post("/api/v1/namespaces", {"metadata": {"name": "mine"}}).must(201)
    carol.merge("/api/v1/namespaces/mine", {"metadata": {"labels": {"a": "b"}}}).must(200)


@case
def _():
    """a level that is none is refused, also from an administrator"""
    root.merge(OTHER, {"metadata": {"labels": {PS + "enforce": "high"}}}).must(422, "must be one of privileged, baseline")
    root.merge(OTHER, {"metadata": {"labels": {PS + "enforce-version": "1.2"}}}).must(422, "latest")


@case
def _():
    """the verb set-pod-security is enough"""
    root.post(f"{RBAC}/clusterroles", role("levels", [
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["set-pod-security"], "resourceNames": ["mine"]}])).must(201)
    bind("levels", "levels", "carol")
    within(5, lambda: carol.merge("/api/v1/namespaces/mine",
                                  {"metadata": {"labels": {PS + "enforce": "restricted"}}}).must(200))
    carol.merge(EVIL, {"metadata": {"labels": {PS + "enforce": "privileged"}}}).must(403)


@case
def _():
    """a stricter level names the pods that it would not take"""
    root.post(f"{OTHER}/pods", pod("one")).must(201)
    root.post(f"{OTHER}/pods", pod("two")).must(201)
    within(5, lambda: root.merge(f"{OTHER}?dryRun=All", {"metadata": {"labels": {PS + "enforce": "restricted"}}}).must(200).warns(
        'existing pods in namespace', 'violate the new PodSecurity enforce level',
        'one (and 1 other pod): allowPrivilegeEscalation != false'))


@case
def _():
    """kube-system and a namespace labelled privileged take everything that is known"""
    root.post("/api/v1/namespaces/kube-system/pods", pod("x", {"hostNetwork": True})).must(201)
    root.post("/api/v1/namespaces", {"metadata": {"name": "open", "labels": {PS + "enforce": "privileged"}}}).must(201)

    def all_of_them():
        for i, (word, good) in enumerate(BAD.items()):
            good["metadata"]["name"] = f"p{i}"
            r = root.post("/api/v1/namespaces/open/pods", good)
            assert r.code in (201, 409), f"{word}: {r.text}"
    within(5, all_of_them)
    root.post("/api/v1/namespaces/open/pods", pod("x", annotations={"unit.keelson.dev/Nope": "1"})).must(422)


@case
def _():
    """units that a machine needs are not managed by pods, and what a pod adopts is decided once"""
    adopt, where = "unit.keelson.dev/adopt", "/api/v1/namespaces/open/pods"
    for unit in "ssh.service", "systemd-journald.service", "dbus.service", "user@0.service":
        root.post(where, pod("u", annotations={adopt: unit, f"{adopt}-mode": "managed"})).must(422, "as managed")
    for unit in "keelson-kapid.service", "kpod-a_b_c.service", "cron", "../cron.service":
        root.post(where, pod("u", annotations={adopt: unit})).must(422, "metadata.annotations")
    root.post(where, pod("u", annotations={adopt: "cron.service", f"{adopt}-mode": "mine"})).must(422, "read-only or managed")
    root.post(where, pod("u", annotations={adopt: "cron.service"})).must(201)
    root.merge(f"{where}/u", {"metadata": {"annotations": {f"{adopt}-mode": "managed"}}}).must(422, "cannot be changed")
    root.merge(f"{where}/u", {"metadata": {"annotations": {adopt: "other.service"}}}).must(422, "cannot be changed")
    root.merge(f"{where}/u/status", {"metadata": {"annotations": {adopt: "other.service"}}})
    assert root.get(f"{where}/u").json["metadata"]["annotations"][adopt] == "cron.service"
    root.post(f"{where}/u/binding", {"metadata": {"name": "u", "annotations": {f"{adopt}-mode": "managed"}},
                                     "target": {"kind": "Node", "name": "m1"}})
    assert f"{adopt}-mode" not in root.get(f"{where}/u").json["metadata"]["annotations"]


# --- nodes by name

@case
def _():
    """spec.nodeName does not bypass taints"""
    mallory.post(f"{EVIL}/pods", pod("n1", {"nodeName": "m2"})).must(403, "spec.nodeName", "control-plane:NoSchedule")
    mallory.post(f"{EVIL}/pods", pod("n1", {"nodeName": "absent"})).must(403, "not there")
    mallory.post(f"{EVIL}/pods", pod("n1", {"nodeName": "m1", "tolerations": SILENT})).must(201)
    mallory.post(f"{EVIL}/pods", pod("n2", {"nodeName": "m2", "tolerations": [
        *SILENT, {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]})).must(201)
    root.post(f"{EVIL}/pods", pod("n3", {"nodeName": "m2"})).must(201)
    mallory.post(f"{EVIL}/pods/plain/binding", {"metadata": {"name": "plain"}, "target": {"kind": "Node", "name": "m2"}}).must(403)
    root.post(f"{EVIL}/pods/plain/binding", {"metadata": {"name": "plain",
                                                          "annotations": {"unit.keelson.dev/NoNewPrivileges": "no"}},
                                             "target": {"kind": "Node", "name": "m1"}}).must(403)
    mallory.merge(f"{EVIL}/pods/plain", {"spec": {"nodeName": "m2"}}).must(422)


@case
def _():
    """nor does a template of a controller, which itself may bind pods"""
    t = pod("x", {"nodeName": "m2"})
    d = {"metadata": {"name": "by-template"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"t": "b"}},
                                                      "template": {"metadata": {"labels": {"t": "b"}}, "spec": t["spec"]}}}
    mallory.post("/apis/apps/v1/namespaces/evil/replicasets", d).must(201)

    def refused():
        s = mallory.get("/apis/apps/v1/namespaces/evil/replicasets/by-template").json.get("status", {})
        assert any("spec.nodeName" in c.get("message", "") for c in s.get("conditions", [])), s
    within(10, refused)
    assert not mallory.get(f"{EVIL}/pods?labelSelector=t%3Db").json["items"]
    mallory.delete("/apis/apps/v1/namespaces/evil/replicasets/by-template").must(200)


# --- addresses

def service(name, **spec):
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 443}], **spec}}


@case
def _():
    """external addresses are not a namespace's to take"""
    mallory.post(f"{EVIL}/services", service("s", externalIPs=["203.0.113.7"])).must(403, "use-external-ips")
    mallory.post(f"{EVIL}/services", service("s")).must(201)
    mallory.merge(f"{EVIL}/services/s", {"spec": {"externalIPs": ["203.0.113.7"]}}).must(403)
    mallory.merge(f"{EVIL}/services/s/status", {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}}).must(403)
    mallory.post(f"{EVIL}/services", service("l", type="LoadBalancer", loadBalancerIP="203.0.113.7")).must(403)
    root.merge(f"{EVIL}/services/s", {"spec": {"externalIPs": ["203.0.113.7"]}}).must(200)
    mallory.merge(f"{EVIL}/services/s", {"metadata": {"labels": {"a": "b"}}}).must(200)
    mallory.merge(f"{EVIL}/services/s", {"spec": {"externalIPs": ["203.0.113.7", "203.0.113.8"]}}).must(403)


@case
def _():
    """nobody takes the addresses of nodes, of the API, of services, or of the machine itself"""
    for address, word in (("198.51.100.2", "address of a node"), ("10.96.0.1", "range of service addresses"),
                          ("10.96.3.4", "range of service addresses"), ("127.0.0.1", "loopback"),
                          ("169.254.1.1", "link-local"), ("::ffff:198.51.100.2", "")):
        for who in (mallory, root):
            who.post(f"{EVIL}/services", service("t", externalIPs=[address])).must(422, word)
    root.merge(f"{EVIL}/services/s/status", {"status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.2"}]}}}).must(422)


@case
def _():
    """names and endpoints do not lead into the machine that asks"""
    for name in ("localhost", "a.localhost", "127.0.0.1", "169.254.169.254"):
        mallory.post(f"{EVIL}/services", {"metadata": {"name": "e"}, "spec": {"type": "ExternalName", "externalName": name}}).must(422)
    mallory.post(f"{EVIL}/services", {"metadata": {"name": "e"}, "spec": {
        "type": "ExternalName", "externalName": "example.org"}}).must(201)
    slices = "/apis/discovery.k8s.io/v1/namespaces/evil/endpointslices"
    for address in ("127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1"):
        root.post(slices, {"metadata": {"name": "x"}, "addressType": "IPv4", "endpoints": [{"addresses": [address]}],
                           "ports": []}).must(422)
        root.post(f"{EVIL}/endpoints", {"metadata": {"name": "x"}, "subsets": [
            {"addresses": [{"ip": address}], "ports": [{"port": 1}]}]}).must(422)
    mallory.post(slices, {"metadata": {"name": "x"}, "addressType": "IPv4", "endpoints": [], "ports": []}).must(403)
    mallory.post(f"{EVIL}/endpoints", {"metadata": {"name": "x"}}).must(403)


# --- GitSyncs

GIT = "/apis/keelson.dev/v1/namespaces/evil/gitsyncs"


def sync(name, **spec):
    return {"apiVersion": "keelson.dev/v1", "kind": "GitSync", "metadata": {"name": name},
            "spec": {"url": "https://git.example.org/x", "suspend": True, **spec}}


@case
def _():
    """a GitSync of an ordinary user acts as a service account"""
    mallory.post(GIT, sync("a")).must(403, "spec.serviceAccountName", "impersonate")
    mallory.post(GIT, sync("a", serviceAccountName="default")).must(201)
    mallory.merge(f"{GIT}/a", {"spec": {"interval": "60s"}}).must(200)
    mallory.merge(f"{GIT}/a", {"spec": {"serviceAccountName": None}}).must(403)
    mallory.post(GIT, sync("b", serviceAccountName="default", url="file:///etc")).must(403, "disk")
    mallory.post(GIT, sync("b", serviceAccountName="default", url="/var/lib/keelson/kgitd/x")).must(403, "disk")
    mallory.delete(f"{GIT}/a").must(200)


@case
def _():
    """one that acts as kgitd is the administrators'"""
    root.post(GIT, sync("full")).must(201)
    mallory.merge(f"{GIT}/full", {"spec": {"url": "https://evil.example.org/x"}}).must(403)
    mallory.merge(f"{GIT}/full", {"spec": {"serviceAccountName": "default"}}).must(403)
    mallory.merge(f"{GIT}/full", {"metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}]}}).must(403)
    mallory.delete(f"{GIT}/full").must(403)
    mallory.delete(GIT).must(403)
    root.get(f"{GIT}/full").must(200)
    mallory.merge(f"{GIT}/full", {"metadata": {"annotations": {"keelson.dev/reconcileAt": "now"}}}).must(200)
    root.delete(f"{GIT}/full").must(200)


# --- RBAC

@case
def _():
    """edit reaches nothing outside its namespace"""
    for where in ("/api/v1/nodes", "/api/v1/secrets", "/api/v1/namespaces/kube-system/secrets", f"{OTHER}/pods",
                  f"{RBAC}/clusterroles", f"{RBAC}/namespaces/evil/rolebindings", CSRS):
        mallory.get(where).must(403)
    mallory.post(f"{RBAC}/clusterroles", role("x", [])).must(403)
    mallory.post(f"{RBAC}/namespaces/evil/roles", {"metadata": {"name": "x"}, "rules": []}).must(403)
    mallory.post(f"{RBAC}/namespaces/evil/rolebindings", {"metadata": {"name": "x"}, "roleRef": {
        "kind": "ClusterRole", "name": "cluster-admin"}}).must(403)
    mallory.delete("/api/v1/nodes/m1").must(403)
    mallory.merge(f"{EVIL}/pods/plain/status", {"status": {"phase": "Failed"}}).must(403)


@case
def _():
    """an apply that makes an object needs the right to create it"""
    root.post(f"{RBAC}/clusterroles", role("patchers", [
        {"apiGroups": ["", "coordination.k8s.io"], "resources": ["configmaps", "leases"], "verbs": ["get", "patch", "update"]}])).must(201)
    bind("patchers", "patchers", "carol", "other")
    apply = {"Content_Type": "application/apply-patch+yaml"}
    thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made"}}
    where = f"{OTHER}/configmaps/made"
    within(5, lambda: carol.get(f"{OTHER}/configmaps/none").must(404))
    carol.ask("PATCH", f"{where}?fieldManager=x", thing, **apply).must(403, "cannot create")
    carol.put("/apis/coordination.k8s.io/v1/namespaces/other/leases/made", {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "made"}}).must(403, "cannot create")
    root.post(f"{OTHER}/configmaps", thing).must(201)
    carol.ask("PATCH", f"{where}?fieldManager=x", {**thing, "data": {"a": "b"}}, **apply).must(200)


@case
def _():
    """impersonation: of its own service accounts only, and every part is asked for"""
    me = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    who = mallory.post(me, {}, Impersonate_User="system:serviceaccount:evil:default").must(201).json["status"]["userInfo"]
    assert who["username"] == "system:serviceaccount:evil:default", who
    assert set(who["groups"]) == {"system:serviceaccounts", "system:serviceaccounts:evil", "system:authenticated"}, who
    sa = {"Impersonate_User": "system:serviceaccount:evil:default"}
    for more in ({"Impersonate_Group": "system:masters"}, {"Impersonate_Uid": "1"}, {"Impersonate_Extra_scopes": "all"}):
        mallory.post(me, {}, **sa, **more).must(403, "cannot impersonate")
    for user in ("root", "system:serviceaccount:other:default", "system:serviceaccount:evil:a:b", "system:keelson:kgitd",
                 "system:node:m1", "system:serviceaccount::default"):
        mallory.post(me, {}, Impersonate_User=user).must(403, "cannot impersonate")
    mallory.post(me, {}, Impersonate_Extra_scopes="all").must(400, "Impersonate-User")
    who = root.post(me, {}, Impersonate_User="ann", Impersonate_Extra_Scopes="all",
                    **{"Impersonate_Extra_example.org%2Fx": "y"}).must(201).json["status"]["userInfo"]
    assert who["extra"] == {"scopes": ["all"], "example.org/x": ["y"]}, who
    assert who["groups"] == ["system:authenticated"], who


@case
def _():
    """kgitd acts as a service account, with its rights only"""
    kgitd = person("/CN=system:keelson:kgitd")
    sa = {"Impersonate_User": "system:serviceaccount:evil:default"}
    kgitd.get(f"{EVIL}/configmaps", **sa).must(403)
    bind("sa", "view", "system:serviceaccount:evil:default", "evil")
    within(5, lambda: kgitd.get(f"{EVIL}/configmaps", **sa).must(200))
    kgitd.get(f"{EVIL}/secrets", **sa).must(403)
    kgitd.get(f"{OTHER}/configmaps", **sa).must(403)


@case
def _():
    """the table of one's rights: an empty status in a review is not looked at"""
    r = mallory.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"spec": {"namespace": "evil"}, "status": {
        "resourceRules": None, "nonResourceRules": None, "incomplete": False}}).must(201).json["status"]
    assert any("gitsyncs" in x["resources"] and "create" in x["verbs"] for x in r["resourceRules"]), r
    mallory.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": {"resourceAttributes": {
        "verb": "get", "resource": "pods", "namespace": "evil"}}, "status": {}}).must(201, '"allowed":true')
    root.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": {"user": "mallory", "resourceAttributes": {
        "verb": "get", "resource": "nodes"}}, "status": {}}).must(201, '"allowed":false')
    root.post("/apis/authorization.k8s.io/v1/namespaces/evil/localsubjectaccessreviews", {
        "metadata": {"namespace": "evil"}, "spec": {"user": "mallory", "resourceAttributes": {
            "verb": "get", "resource": "pods", "namespace": "evil"}}, "status": {}}).must(201, '"allowed":true')
    root.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "x"}, "status": {"user": {}}}).must(201)
    root.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {"status": {"userInfo": {}}}).must(201)
    mallory.post(f"{EVIL}/serviceaccounts/default/token", {"spec": {"expirationSeconds": 600}, "status": {
        "token": "", "expirationTimestamp": None}}).must(201)


@case
def _():
    """aggregated ClusterRoles take the rules of the ClusterRoles with their labels"""
    for name, word in (("view", "configmaps"), ("edit", "gitsyncs"), ("admin", "rolebindings")):
        r = root.get(f"{RBAC}/clusterroles/{name}").must(200, word).json
        assert r["aggregationRule"]["clusterRoleSelectors"], r
    mallory.get("/apis/example.org/v1/namespaces/evil/gadgets").must(403)
    root.post(f"{RBAC}/clusterroles", role("gadgets", [
        {"apiGroups": ["example.org"], "resources": ["gadgets"], "verbs": ["get", "list"]}],
        {"rbac.authorization.k8s.io/aggregate-to-view": "true"})).must(201)
    within(10, lambda: mallory.get("/apis/example.org/v1/namespaces/evil/gadgets").must(404))
    root.delete(f"{RBAC}/clusterroles/gadgets").must(200)
    within(10, lambda: mallory.get("/apis/example.org/v1/namespaces/evil/gadgets").must(403))
    mallory.get(f"{EVIL}/pods").must(200)


@case
def _():
    """naming an aggregation needs all rights, for it may come to all"""
    root.post(f"{RBAC}/clusterroles", role("roles", [
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["*"]}])).must(201)
    root.merge(f"{RBAC}/clusterroles/roles", {"rules": [
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["create", "update"]}]}).must(200)
    bind("roles", "roles", "carol")
    within(5, lambda: carol.post(f"{RBAC}/clusterroles", role("small", [])).must(201))
    carol.post(f"{RBAC}/clusterroles", role("all", [], aggregationRule={
        "clusterRoleSelectors": [{"matchLabels": {}}]})).must(403, "attempting to grant")


# --- a node

ME, YOU = "/api/v1/nodes/m1", "/api/v1/nodes/m2"


@case
def _():
    """a node changes its own facts and nothing that draws or repels work"""
    node.merge(ME, {"metadata": {"labels": {"kubernetes.io/os": "linux", "rack": "7"}}}).must(200)
    for labels in ({"node-role.kubernetes.io/worker": None}, {"node-role.kubernetes.io/control-plane": ""},
                   {"node-restriction.kubernetes.io/pci": None}, {"node-restriction.kubernetes.io/pci": "no"},
                   {"topology.kubernetes.io/other": "x"}):
        node.merge(ME, {"metadata": {"labels": labels}}).must(403, "label")
    me = node.get(ME).json
    me["metadata"]["labels"] = {}
    del me["metadata"]["resourceVersion"]
    node.put(ME, me).must(403, "label")
    for spec in ({"taints": [{"key": "a", "effect": "NoSchedule"}]}, {"unschedulable": True}):
        node.merge(ME, {"spec": spec}).must(403)
    assert node.merge(ME, {"spec": {"podCIDR": "10.0.0.0/8"}}).code in (403, 422)
    node.merge(ME, {"metadata": {"finalizers": ["a.b/c"]}}).must(403, "finalizers")
    node.merge(ME, {"metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}]}}).must(403, "owner references")
    node.merge(ME, {"metadata": {"annotations": {"keelson.dev/ssh-host-key": "x"}}}).must(403, "ssh")
    node.delete(ME).must(403)
    node.merge(f"{ME}/status", {"status": {"nodeInfo": {"machineID": "1"}}}).must(200)


@case
def _():
    """and nothing of another node"""
    node.merge(YOU, {"metadata": {"labels": {"a": "b"}}}).must(403)
    node.merge(f"{YOU}/status", {"status": {}}).must(403)
    node.post("/api/v1/nodes", {"metadata": {"name": "m3"}}).must(403)
    lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    node.post(lease, {"metadata": {"name": "m1"}, "spec": {}}).must(201)
    node.post(lease, {"metadata": {"name": "m2"}, "spec": {}}).must(403)
    node.post("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", {"metadata": {"name": "m1"}}).must(403)
    root.post(lease, {"metadata": {"name": "m2"}, "spec": {}}).must(201)
    node.merge(f"{lease}/m2", {"spec": {"holderIdentity": "m1"}}).must(403)


@case
def _():
    """pods: the status and eviction of its own"""
    node.post(f"{EVIL}/pods", pod("mine", {"nodeName": "m1"})).must(403)
    node.get(f"{EVIL}/pods/n1").must(200)
    node.get(f"{EVIL}/pods/n2").must(403)
    node.get(f"{EVIL}/pods/absent").must(404)
    node.get(f"{EVIL}/pods").must(403)
    node.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dm2").must(403)
    node.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dm1").must(200)
    node.merge(f"{EVIL}/pods/n1", {"metadata": {"labels": {"a": "b"}}}).must(403)
    node.merge(f"{EVIL}/pods/n1/status", {"metadata": {"labels": {"a": "b"}, "ownerReferences": [
        {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "x"}], "finalizers": ["a.b/c"]},
        "status": {"phase": "Running"}}).must(200)
    m = root.get(f"{EVIL}/pods/n1").json["metadata"]
    assert not m.get("labels") and not m.get("ownerReferences") and not m.get("finalizers"), m
    node.merge(f"{EVIL}/pods/n2/status", {"status": {"phase": "Failed"}}).must(403)
    for address in ("127.0.0.1", "169.254.169.254"):
        node.merge(f"{EVIL}/pods/n1/status", {"status": {"podIP": address, "podIPs": [{"ip": address}]}}).must(422)
    node.delete(f"{EVIL}/pods/n2").must(403)
    node.post(f"{EVIL}/pods/n2/eviction", {"metadata": {"name": "n2"}}).must(403)
    node.post(f"{EVIL}/pods/n1/binding", {"target": {"name": "m1"}}).must(403)


@case
def _():
    """network policies: all of them, and the peers in namespaces of its pods; nobody writes peers"""
    peers = "/apis/keelson.dev/v1/{}peerslices"
    slice_ = {"metadata": {"name": "x"}, "podSelector": {}, "peers": [{"addresses": ["203.0.113.7"]}]}
    root.post(peers.format("namespaces/evil/"), slice_).must(201)
    node.get(peers.format("namespaces/evil/")).must(200)
    one = node.get(peers.format("namespaces/evil/") + "/x")
    assert one.code in (200, 404), one.text  # its controller deletes what it has not made
    for where in ("", "namespaces/other/", "namespaces/kube-system/"):
        node.get(peers.format(where)).must(403)
    for who in (node, mallory):
        who.post(peers.format("namespaces/evil/"), {**slice_, "metadata": {"name": "y"}}).must(403)
        who.merge(peers.format("namespaces/evil/") + "/x", {"peers": []}).must(403)
        who.delete(peers.format("namespaces/evil/") + "/x").must(403)
    policies = "/apis/networking.k8s.io/v1/networkpolicies"
    node.get(policies).must(200)
    node.post(policies.replace("v1/", "v1/namespaces/evil/"), {"metadata": {"name": "x"}, "spec": {"podSelector": {}}}).must(403)
    root.delete(peers.format("namespaces/evil/") + "/x")


@case
def _():
    """volumes: those of its disk, and those of its pods' claims"""
    volumes = "/api/v1/persistentvolumes"
    protected = "kubernetes.io/pv-protection"

    def volume(name, label, claim=None):
        spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/srv"}}
        if claim:
            spec["claimRef"] = {"namespace": "evil", "name": claim}
        root.post(volumes, {"metadata": {"name": name, "labels": {"keelson.dev/node": label},
                                         "finalizers": ["keelson.dev/volume-data"]}, "spec": spec}).must(201)
    volume("disk-1", "m1")
    volume("disk-2", "m2")
    volume("used", "m2", "used")
    volume("unused", "m2", "unused")
    user = pod("user", {"nodeName": "m1"})
    user["spec"]["volumes"] = [{"name": "v", "persistentVolumeClaim": {"claimName": "used"}}]
    root.post(f"{EVIL}/pods", user).must(201)
    for name, code in (("disk-1", 200), ("disk-2", 403), ("used", 200), ("unused", 403), ("absent", 403)):
        node.get(f"{volumes}/{name}").must(code)
    for selector, code in (("", 403), ("?labelSelector=keelson.dev%2Fnode%3Dm1", 200),
                           ("?labelSelector=keelson.dev%2Fnode%3Dm2", 403),
                           ("?labelSelector=keelson.dev%2Fnode+in+(m1,m2)", 403), ("?labelSelector=a%21%3Db", 403)):
        node.get(volumes + selector).must(code)
    free = {"metadata": {"finalizers": [protected]}}
    node.merge(f"{volumes}/disk-1", free).must(403, "from a volume that is being deleted")
    root.delete(f"{volumes}/disk-1")
    node.merge(f"{volumes}/disk-1", {"metadata": {"labels": {"keelson.dev/node": "m2"}}}).must(403)
    node.merge(f"{volumes}/disk-1", {"spec": {"persistentVolumeReclaimPolicy": "Delete"}}).must(403)
    node.merge(f"{volumes}/disk-1/status", {"status": {"phase": "Available"}}).must(403)
    node.delete(f"{volumes}/disk-2").must(403)
    root.delete(f"{volumes}/used")
    node.merge(f"{volumes}/used", free).must(403)
    for _ in range(100):  # its controller takes the protection away meanwhile
        left = root.get(f"{volumes}/disk-1").json["metadata"]
        rest = [x for x in left["finalizers"] if x != "keelson.dev/volume-data"]
        done = node.merge(f"{volumes}/disk-1", {"metadata": {"finalizers": rest, "resourceVersion": left["resourceVersion"]}})
        if done.code != 409:
            break
    done.must(200)
    root.delete(f"{EVIL}/pods/user")


@case
def _():
    """tokens: of accounts of its pods, bound to them, for a day"""
    token = f"{EVIL}/serviceaccounts/default/token"
    mine = root.get(f"{EVIL}/pods/n1").json["metadata"]["uid"]
    theirs = root.get(f"{EVIL}/pods/n2").json["metadata"]["uid"]

    def ask(name=None, uid=None, kind="Pod", where=token, seconds=7776000):
        ref = {"boundObjectRef": {"kind": kind, "apiVersion": "v1", "name": name, **({"uid": uid} if uid else {})}} if name else {}
        return node.post(where, {"spec": {"expirationSeconds": seconds, "audiences": [], **ref}})
    ask().must(403, "not bound to a pod")
    ask("n1").must(403, "without a uid")
    ask("n1", theirs).must(409)
    ask("n2", theirs).must(403, "different node")
    ask("absent", mine).must(404)
    ask("n1", mine, "Secret").must(404)
    ask("n1", mine, "Node").must(400, "cannot bind")
    r = ask("n1", mine).must(201).json
    claims = json.loads(base64.urlsafe_b64decode(r["status"]["token"].split(".")[1] + "=="))
    assert claims["exp"] - claims["iat"] <= 86400, claims
    assert claims["kubernetes.io"]["pod"] == {"name": "n1", "uid": mine}, claims
    root.post(f"{EVIL}/serviceaccounts", {"metadata": {"name": "strong"}}).must(201)
    ask("n1", mine, where=f"{EVIL}/serviceaccounts/strong/token").must(403)
    node.post("/api/v1/namespaces/kube-system/serviceaccounts/default/token", {"spec": {}}).must(403)
    # even a user who may request any token cannot bind it to a pod of another account
    root.post(f"{EVIL}/serviceaccounts/strong/token", {"spec": {"boundObjectRef": {
        "kind": "Pod", "apiVersion": "v1", "name": "n1"}}}).must(400, "different serviceaccount")


@case
def _():
    """secrets and configuration: what its pods name"""
    for kind in ("secrets", "configmaps"):
        for name in ("named", "other"):
            root.post(f"{EVIL}/{kind}", {"metadata": {"name": name}}).must(201)
    mallory.post(f"{EVIL}/pods", pod("uses", {"nodeName": "m1", "tolerations": SILENT, "volumes": [
        {"name": "s", "secret": {"secretName": "named"}}, {"name": "c", "configMap": {"name": "named"}}]})).must(201)
    for kind in ("secrets", "configmaps"):
        within(5, lambda kind=kind: node.get(f"{EVIL}/{kind}/named").must(200))
        node.get(f"{EVIL}/{kind}/other").must(403)
        node.get(f"{EVIL}/{kind}").must(403)
        node.get(f"/api/v1/{kind}").must(403)
        node.merge(f"{EVIL}/{kind}/named", {"data": {}}).must(403)


# --- certificates

def ask_for(who, name, csr, signer="kube-apiserver-client-kubelet", usages=("digital signature", "client auth")):
    return who.post(CSRS, {"metadata": {"name": name}, "spec": {
        "signerName": f"kubernetes.io/{signer}", "request": base64.b64encode(csr.encode()).decode(), "usages": list(usages)}})


def approve(who, name):
    c = root.get(f"{CSRS}/{name}").json
    c["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "x", "message": "x"}]}
    return who.put(f"{CSRS}/{name}/approval", c)


def conditions(name):
    return [c["type"] for c in root.get(f"{CSRS}/{name}").json.get("status", {}).get("conditions", [])]


def is_signed(name):
    c = root.get(f"{CSRS}/{name}").json
    assert c.get("status", {}).get("certificate"), c
    return base64.b64decode(c["status"]["certificate"]).decode()


def is_refused(name):
    assert "Failed" in conditions(name), conditions(name)
    assert not root.get(f"{CSRS}/{name}").json.get("status", {}).get("certificate")


N1 = "/O=system:nodes/CN=system:node:m1"


@case
def _():
    """a node renews its own certificate, and asks for nobody else's"""
    key, csr = request(N1)
    ask_for(node, "renew", csr).must(201)
    cert = within(10, lambda: is_signed("renew"))
    with open(key + ".crt", "w", encoding="ascii") as f:
        f.write(cert)
    Client(key + ".crt", key).get(ME).must(200)
    ask_for(node, "x", request("/O=system:nodes/CN=system:node:m2")[1]).must(403, "own node")
    ask_for(node, "x", request("/O=system:masters/CN=x")[1]).must(403)
    ask_for(node, "x", request(N1)[1], "kube-apiserver-client").must(403, "signers")
    node.get(f"{CSRS}/renew").must(200)
    node.get(CSRS).must(403)
    ask_for(root, "roots", request(N1)[1]).must(201)
    within(5, lambda: node.get(f"{CSRS}/roots").must(403))
    approve(node, "roots").must(403)


@case
def _():
    """requests for more than a node has are neither approved nor signed"""
    odd = {
        "names": request(N1, "DNS:kubernetes,IP:10.96.0.1"),
        "second-cn": request(N1 + "/CN=kubernetes-admin"),
        "extension": request(N1, more="1.2.3.4=ASN1:NULL"),
        "authority": request(N1, more="basicConstraints=critical,CA:TRUE"),
        "unit": request(N1 + "/OU=x"),
    }
    for name, (_key, csr) in odd.items():
        if name == "second-cn":
            r = ask_for(node, name, csr)
            if r.code == 403:
                ask_for(root, name, csr).must(201)
        else:
            ask_for(node, name, csr).must(201)
    time.sleep(1.5)
    for name in odd:
        assert "Approved" not in conditions(name), f"{name}: {conditions(name)}"
    for name in odd:
        approve(root, name).must(200)
        within(10, lambda name=name: is_refused(name))
    server = ("digital signature", "server auth")
    ask_for(node, "server", request(N1, "DNS:kubernetes.default.svc,IP:10.96.0.1")[1], "kubelet-serving", server).must(201)
    approve(root, "server").must(200)
    within(10, lambda: is_refused("server"))


@case
def _():
    """a node's own server certificate: its name and its address"""
    node.merge(f"{ME}/status", {"status": {"addresses": [{"type": "InternalIP", "address": "198.51.100.1"}]}}).must(200)
    ask_for(node, "serving", request(N1, "DNS:m1,IP:198.51.100.1")[1], "kubelet-serving",
            ("digital signature", "server auth")).must(201)
    approve(root, "serving").must(200)
    within(10, lambda: is_signed("serving"))


@case
def _():
    """kubernetes.io/kube-apiserver-client: signed once approved, never for system:masters"""
    key, csr = request("/O=devs/CN=ann")
    ask_for(root, "ann", csr, "kube-apiserver-client").must(201)
    approve(root, "ann").must(200)
    cert = within(10, lambda: is_signed("ann"))
    with open(key + ".crt", "w", encoding="ascii") as f:
        f.write(cert)
    me = Client(key + ".crt", key).post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}).must(201).json
    assert me["status"]["userInfo"]["username"] == "ann" and "devs" in me["status"]["userInfo"]["groups"], me
    ask_for(root, "x", request("/O=system:masters/CN=x")[1], "kube-apiserver-client").must(403, "system:masters")


@case
def _():
    """approving and signing need the verbs on the signer"""
    root.post(f"{RBAC}/clusterroles", role("approvers", [
        {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/approval",
                                                             "certificatesigningrequests/status"], "verbs": ["update"]}])).must(201)
    bind("approvers", "approvers", "carol")
    ask_for(root, "bob", request("/CN=bob")[1], "kube-apiserver-client").must(201)
    within(5, lambda: approve(carol, "bob").must(403, "not permitted to approve"))
    c = root.get(f"{CSRS}/bob").json
    c["status"] = {"certificate": base64.b64encode(open(f"{pki}/ca.crt", "rb").read()).decode()}
    carol.put(f"{CSRS}/bob/status", c).must(403, "not permitted to sign")
    root.post(f"{RBAC}/clusterroles", role("approvers2", [
        {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": ["kubernetes.io/*"],
         "verbs": ["approve"]}])).must(201)
    bind("approvers2", "approvers2", "carol")
    within(5, lambda: approve(carol, "bob").must(200))


print(f"1..{tests}")
sys.exit(failures > 0)
