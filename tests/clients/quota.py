"""Quotas under races: many writers at two kapids of one store; then what gets around a quota. argv: KUBECONFIG PORT2"""
import http.client
import sys
import threading
import time

from wireclient import Client, case, finish, host, is_, port, tls


class At(Client):
    """A client of one of the kapids."""

    def __init__(self, at):
        self.c = http.client.HTTPSConnection(host, int(at), context=tls, timeout=60)


ports = [port, sys.argv[2]]
a, b = At(ports[0]), At(ports[1])
CORE = "/api/v1/namespaces/"


def space(name, hard, more=None):
    """A namespace with a quota; both kapids have seen it."""
    is_(a.post("/api/v1/namespaces", {"metadata": {"name": name}}), 201)
    is_(a.post(f"{CORE}{name}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard, **(more or {})}}), 201)
    for c in (a, b):
        until(lambda: c.get(f"{CORE}{name}/resourcequotas/q").code == 200)
        until(lambda: c.get(f"{CORE}{name}/serviceaccounts/default").code == 200)
    # A list is as new as the store: from here on the second kapid knows the quota.
    b.get(f"{CORE}{name}/resourcequotas")


def until(f, seconds=10):
    end = time.monotonic() + seconds
    while not f():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


def used(name, quota="q"):
    return is_(a.get(f"{CORE}{name}/resourcequotas/{quota}"), 200).json["status"]["used"]


def count(name, plural="configmaps"):
    items = is_(a.get(f"{CORE}{name}/{plural}"), 200).json["items"]
    return sum(i["metadata"]["name"] != "kube-root-ca.crt" for i in items)


def race(n, request):
    """n threads, each with its own connection to one of the kapids, begin at once. The answers."""
    gate, replies = threading.Barrier(n), [None] * n

    def run(i):
        c = At(ports[i % 2])
        c.get("/version")
        gate.wait()
        replies[i] = request(c, i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return replies


def split(replies, good, refused="exceeded quota: q"):
    """How many were let in; all others were refused by the quota."""
    for r in replies:
        assert r.code == good or (r.code == 403 and refused in r.text), f"{r.code}: {r.text[:300]}"
    return sum(r.code == good for r in replies)


def cm(name):
    return {"metadata": {"name": name}}


def pod(name, cpu="100m"):
    return {"metadata": {"name": name}, "spec": {"schedulerName": "none", "containers": [
        {"name": "c", "image": "host", "command": ["/bin/true"], "resources": {"requests": {"cpu": cpu}}}]}}


@case
def _():
    """50 creates at once at two kapids: exactly the 10 of the quota get in, and the usage is right at once"""
    space("race", {"count/secrets": "10"})
    replies = race(50, lambda c, i: c.post(CORE + "race/secrets", cm(f"s{i}")))
    assert split(replies, 201) == 10
    assert used("race") == {"count/secrets": "10"}, used("race")
    assert count("race", "secrets") == 10


@case
def _():
    """deleted ones make room at once, and are given back in the status soon"""
    names = [i["metadata"]["name"] for i in a.get(CORE + "race/secrets").json["items"]]
    replies = race(4, lambda c, i: c.delete(f"{CORE}race/secrets/{names[i]}"))
    assert all(r.code == 200 for r in replies)
    until(lambda: used("race") == {"count/secrets": "6"}, 5)
    is_(a.delete(f"{CORE}race/secrets/{names[4]}"), 200)
    # No waiting here: what was given back by the answer before is there.
    assert split(race(20, lambda c, i: c.post(CORE + "race/secrets", cm(f"t{i}"))), 201) == 5
    assert used("race") == {"count/secrets": "10"}


@case
def _():
    """50 pods at once against the cpu of ten; those that end make room"""
    space("cpus", {"requests.cpu": "1", "pods": "40"})
    assert split(race(50, lambda c, i: c.post(CORE + "cpus/pods", pod(f"p{i}"))), 201) == 10
    assert used("cpus") == {"requests.cpu": "1", "pods": "10"}
    name = a.get(CORE + "cpus/pods").json["items"][0]["metadata"]["name"]
    is_(a.merge(f"{CORE}cpus/pods/{name}/status", {"status": {"phase": "Succeeded"}}), 200)
    until(lambda: used("cpus") == {"requests.cpu": "900m", "pods": "9"}, 5)
    is_(a.delete(f"{CORE}cpus/pods?labelSelector=!x"), 200)
    until(lambda: used("cpus") == {"requests.cpu": "0", "pods": "0"}, 5)


@case
def _():
    """a kind that is defined after its quota"""
    space("custom", {"count/widgets.example.com": "3"})
    is_(a.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
        "metadata": {"name": "widgets.example.com"}, "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": True, "storage": True,
                          "schema": {"openAPIV3Schema": {"type": "object"}}}]}}), 201)
    path = "/apis/example.com/v1/namespaces/custom/widgets"
    for c in (a, b):
        until(lambda: c.get(path).code == 200)
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"generateName": "w-"}}
    assert split(race(20, lambda c, i: c.post(path, widget)), 201) == 3
    assert used("custom") == {"count/widgets.example.com": "3"}
    is_(a.delete(path + "?labelSelector=!x"), 200)
    until(lambda: used("custom") == {"count/widgets.example.com": "0"}, 15)


@case
def _():
    """ten Services that become NodePorts at once"""
    space("ports", {"services.nodeports": "3"})
    for i in range(10):
        is_(a.post(CORE + "ports/services", {"metadata": {"name": f"s{i}"}, "spec": {"ports": [{"port": 80}]}}), 201)
    replies = race(10, lambda c, i: c.merge(f"{CORE}ports/services/s{i}", {"spec": {"type": "NodePort"}}))
    assert split(replies, 200) == 3
    assert used("ports") == {"services.nodeports": "3"}


@case
def _():
    """what fails takes nothing: names that are taken, invalid objects, dry runs"""
    space("leak", {"count/secrets": "5", "pods": "5"})
    is_(a.post(CORE + "leak/secrets", cm("s")), 201)
    replies = race(20, lambda c, i: c.post(CORE + "leak/secrets", cm("s")))
    assert all(r.code == 409 for r in replies), [r.code for r in replies]
    bad = pod("p")
    bad["spec"]["containers"][0]["image"] = ""
    bad["spec"]["restartPolicy"] = "Sometimes"
    replies = race(10, lambda c, i: c.post(CORE + "leak/pods", bad))
    assert all(r.code == 422 for r in replies), [r.text for r in replies]
    replies = race(20, lambda c, i: c.post(CORE + "leak/secrets?dryRun=All", cm(f"d{i}")))
    assert all(r.code == 201 for r in replies)
    assert used("leak") == {"count/secrets": "1", "pods": "0"}


@case
def _():
    """objects that an update or an apply makes are charged too"""
    space("upsert", {"count/secrets": "1", "count/leases.coordination.k8s.io": "1"})
    body = {"apiVersion": "v1", "kind": "Secret"}
    replies = race(10, lambda c, i: c.apply(f"{CORE}upsert/secrets/s{i}?fieldManager=t", {**body, **cm(f"s{i}")}))
    assert split(replies, 201) == 1
    path = "/apis/coordination.k8s.io/v1/namespaces/upsert/leases/"
    replies = race(10, lambda c, i: c.put(f"{path}l{i}", {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **cm(f"l{i}"), "spec": {}}))
    assert split(replies, 201) == 1
    assert used("upsert") == {"count/secrets": "1", "count/leases.coordination.k8s.io": "1"}


@case
def _():
    """whoever writes the status of a quota, it is counted"""
    space("status", {"count/secrets": "1"})
    is_(a.post(CORE + "status/secrets", cm("s")), 201)
    path = CORE + "status/resourcequotas/q"
    lie = {"status": {"hard": {"count/secrets": "100"}, "used": {"count/secrets": "0"}}}

    def lies(c, i):
        if i % 2:
            return c.merge(path + "/status", lie)
        q = c.get(path).json
        del q["metadata"]["resourceVersion"]
        return c.put(path + ("/status" if i % 4 else ""), {**q, **lie})

    stop = threading.Event()
    liars = threading.Thread(target=lambda: [race(4, lies) for _ in range(5)] and stop.set())
    liars.start()
    while not stop.is_set():
        assert split(race(4, lambda c, i: c.post(CORE + "status/secrets", cm(f"s{i}"))), 201) == 0
    liars.join()
    assert used("status") == {"count/secrets": "1"}


@case
def _():
    """finalizers keep an object, and its place"""
    space("held", {"count/secrets": "1"})
    is_(a.post(CORE + "held/secrets", {"metadata": {"name": "s", "finalizers": ["example.com/x"]}}), 201)
    is_(a.delete(CORE + "held/secrets/s"), 200)
    is_(b.post(CORE + "held/secrets", cm("t")), 403, "Forbidden", "exceeded quota: q, requested: count/secrets=1, used: "
        "count/secrets=1, limited: count/secrets=1")
    is_(a.merge(CORE + "held/secrets/s", {"metadata": {"finalizers": None}}), 200)
    is_(b.post(CORE + "held/secrets", cm("t")), 201)


@case
def _():
    """a changed and a deleted quota hold at once"""
    space("change", {"count/secrets": "100"})
    is_(a.merge(CORE + "change/resourcequotas/q", {"spec": {"hard": {"count/secrets": "0"}}}), 200)
    is_(a.post(CORE + "change/secrets", cm("s")), 403)
    is_(a.delete(CORE + "change/resourcequotas/q"), 200)
    is_(a.post(CORE + "change/secrets", cm("s")), 201)
    is_(a.post(CORE + "change/resourcequotas", {"metadata": {"name": "r"}, "spec": {"hard": {"count/secrets": "1"}}}), 201)
    assert used("change", "r") == {"count/secrets": "1"}
    is_(a.post(CORE + "change/secrets", cm("t")), 403)


@case
def _():
    """creates and deletes for three seconds: never more than allowed, and right at the end"""
    space("churn", {"count/secrets": "5"})
    end, made, most = time.monotonic() + 3, [0] * 12, 0

    def churn(c, i):
        n = 0
        while time.monotonic() < end:
            n += 1
            r = c.post(CORE + "churn/secrets", cm(f"s{i}-{n}"))
            assert r.code in (201, 403), r.text
            if r.code == 201:
                made[i] += 1
                is_(c.delete(f"{CORE}churn/secrets/s{i}-{n}"), 200)

    workers = threading.Thread(target=race, args=(12, churn))
    workers.start()
    while workers.is_alive():
        most = max(most, count("churn", "secrets"))
    workers.join()
    print(f"# {sum(made)} secrets in three seconds, at most {most} at a time")
    assert sum(made) > 50 and 1 <= most <= 5
    until(lambda: used("churn") == {"count/secrets": "0"}, 5)


@case
def _():
    """a namespace with quotas can be deleted"""
    is_(a.delete("/api/v1/namespaces/race"), 200)
    until(lambda: a.get("/api/v1/namespaces/race").code == 404, 30)


finish()
