"""Cases of tests/clients/definitions: a version that a webhook makes is listed in pages and selected by its own labels; what
waits for the webhook ends with its client and leaves room for other users."""
import http.client
import select
import threading
import time
import urllib.parse

from converter import Converter
from wireclient import Client, TABLE, Watch, a, case, host, is_, nobody, port, version

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ONE = "/apis/conv.example.com/v1/namespaces/wire/homes"
TWO = ONE.replace("/v1/", "/v2/")


class Labeller(Converter):
    """In v2 an object has the label `host`, in v1 it has not."""

    @staticmethod
    def convert(o, wanted):
        made = Converter.convert(o, wanted)
        labels = made["metadata"].setdefault("labels", {})
        labels.pop("host", None)
        if wanted.endswith("/v2"):
            labels["host"] = made["spec"]["host"]
        return made


converter = Labeller()


def schema(properties):
    return {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}}


def home(name, address):
    return {"apiVersion": "conv.example.com/v1", "kind": "Home", "metadata": {"name": name, "labels": {"kept": "yes"}},
            "spec": {"address": address}}


def until(f, seconds=30):
    end = time.time() + seconds
    while not f():
        assert time.time() < end, "it took too long"
        time.sleep(0.02)


def names(reply):
    return [i["metadata"]["name"] for i in is_(reply, 200).json["items"]]


text, number = {"type": "string"}, {"type": "integer"}
is_(a.post(CRDS, {"metadata": {"name": "homes.conv.example.com"}, "spec": {
    "group": "conv.example.com", "scope": "Namespaced", "names": {"plural": "homes", "kind": "Home"},
    "conversion": converter.conversion(), "versions": [
        {"name": "v1", "served": True, "storage": True, "schema": schema({"address": text})},
        {"name": "v2", "served": True, "storage": False, "schema": schema({"host": text, "port": number})}]}}), 201)
until(lambda: a.get(TWO).code == 200)
ALL = [f"h{i:02}" for i in range(12)]
for i, one in enumerate(ALL):
    is_(a.post(ONE, home(one, f"host{i % 3}:{i}")), 201)


def pages(path, limit, between=lambda: None):
    """All pages of a list: [names], and what each says is left."""
    found, left, token = [], [], ""
    mark = "&" if "?" in path else "?"
    while True:
        page = is_(a.get(f"{path}{mark}limit={limit}{token}"), 200).json
        found.append([i["metadata"]["name"] for i in page["items"]])
        left.append(page["metadata"].get("remainingItemCount", 0))
        assert all(i["apiVersion"] == "conv.example.com/v2" and "host" in i["spec"] for i in page["items"]), page
        if not page["metadata"].get("continue"):
            return found, left
        token = "&continue=" + page["metadata"]["continue"]
        between()


@case
def paged():
    """a converted version comes in the pages that were asked for, each with what is left"""
    found, left = pages(TWO, 5)
    assert found == [ALL[:5], ALL[5:10], ALL[10:]] and left == [7, 2, 0], (found, left)


@case
def paged_snapshot():
    """all its pages are the first one's snapshot, whatever changes meanwhile"""
    turn = []

    def change():
        turn.append(0)
        is_(a.post(ONE, home(f"h00-{len(turn)}", "new:1")), 201)
        is_(a.merge(ONE + "/h11", {"spec": {"address": f"moved:{len(turn)}"}}), 200)
    found, left = pages(TWO, 4, change)
    assert found == [ALL[:4], ALL[4:8], ALL[8:]] and left == [8, 4, 0], (found, left)
    for i in range(len(turn)):
        is_(a.delete(ONE + f"/h00-{i + 1}"), 200)
    is_(a.merge(ONE + "/h11", {"spec": {"address": "host2:11"}}), 200)


@case
def paged_exact():
    """a converted version at an exact revision shows what there was then"""
    then = version(a.get(TWO))
    is_(a.post(ONE, home("later", "host0:1")), 201)
    at = f"{TWO}?resourceVersion={then}&resourceVersionMatch=Exact"
    assert names(a.get(at)) == ALL and names(a.get(at + "&limit=3")) == ALL[:3]
    is_(a.delete(ONE + "/later"), 200)


@case
def paged_converts_pages():
    """a page has its own objects converted, not all there are"""
    is_(a.merge(CRDS + "/homes.conv.example.com", {"spec": {"versions": [
        {"name": "v1", "served": True, "storage": True, "schema": schema({"address": text})},
        {"name": "v2", "served": True, "storage": False, "schema": schema({"host": text, "port": number, "more": text})}]}}), 200)
    then = version(a.get(ONE))
    is_(a.merge(ONE + "/h11", {"metadata": {"labels": {"x": "y"}}}), 200)
    calls = len(converter.calls)
    assert names(a.get(f"{TWO}?limit=2&resourceVersion={then}&resourceVersionMatch=Exact")) == ALL[:2]
    assert sum(converter.calls[calls:]) <= 4, converter.calls[calls:]
    is_(a.merge(ONE + "/h11", {"metadata": {"labels": {"x": None}}}), 200)


@case
def paged_table():
    """a Table of a converted version is paged too"""
    t = is_(a.get(TWO + "?limit=5", Accept=TABLE), 200).json
    assert len(t["rows"]) == 5 and t["metadata"]["remainingItemCount"] == 7, t["metadata"]
    t = is_(a.get(TWO + "?limit=50&continue=" + t["metadata"]["continue"], Accept=TABLE), 200).json
    assert [r["cells"][0] for r in t["rows"]] == ALL[5:]


def selected(text_, of=None):
    path, want = (of or TWO) + "?labelSelector=" + urllib.parse.quote(text_), []
    for i, name in enumerate(ALL):
        labels = {"kept": "yes"} | ({"host": f"host{i % 3}"} if not of else {})
        if {"host=host1": labels.get("host") == "host1", "host": "host" in labels, "!host": "host" not in labels,
                "host in (host0,host2),kept": labels.get("host") in ("host0", "host2"),
                "kept=yes,host!=host0": labels.get("host") != "host0", "kept=no": False}[text_]:
            want.append(name)
    assert names(a.get(path)) == want, (path, names(a.get(path)))
    assert [r["cells"][0] for r in is_(a.get(path, Accept=TABLE), 200).json["rows"]] == want
    if not of:
        assert sum(pages(path, 2)[0], []) == want
    watch = Watch(path + "&watch=1&timeoutSeconds=20")
    assert [watch.next()["object"]["metadata"]["name"] for _ in want] == want
    watch.close()


for words in ("host=host1", "host", "!host", "host in (host0,host2),kept", "kept=yes,host!=host0", "kept=no"):
    def by_label(words=words):
        selected(words)
    by_label.__doc__ = f"the labels of the converted version are what {words} selects, in lists, pages, tables and watches"
    case(by_label)

    def by_stored_label(words=words):
        selected(words, ONE)
    by_stored_label.__doc__ = f"and {words} in the stored version by the stored ones"
    case(by_stored_label)


@case
def label_transitions():
    """an object whose converted labels start or cease to match is ADDED or DELETED in a watch by them"""
    watch = Watch(TWO + "?watch=1&timeoutSeconds=60&labelSelector=host%3Dnowhere")
    assert watch.code == 200
    is_(a.merge(ONE + "/h00", {"spec": {"address": "nowhere:1"}}), 200)
    event = watch.next()
    assert event["type"] == "ADDED" and event["object"]["metadata"]["labels"]["host"] == "nowhere", event
    is_(a.merge(ONE + "/h00", {"spec": {"address": "host0:0"}}), 200)
    event = watch.next()
    assert event["type"] == "DELETED" and event["object"]["metadata"]["name"] == "h00", event
    watch.close()


@case
def label_deletion():
    """a collection is deleted by the labels of the version that was asked"""
    for i in range(3):
        is_(a.post(ONE, home(f"z{i}", f"gone{i % 2}:1")), 201)
    is_(a.delete(ONE + "?labelSelector=host%3Dgone0"), 200)
    assert names(a.get(ONE)) == ALL + ["z0", "z1", "z2"]
    is_(a.delete(TWO + "?labelSelector=host%3Dgone0"), 200)
    assert names(a.get(ONE)) == ALL + ["z1"]
    is_(a.delete(ONE + "/z1"), 200)


@case
def held_deletion():
    """objects of a collection that finalizers hold are marked beside each other, each by a conversion of its own"""
    held = [f"y{i}" for i in range(4)]
    for one in held:
        o = home(one, "held:1")
        o["metadata"]["finalizers"] = ["example.com/hold"]
        is_(a.post(ONE, o), 201)
    shown = is_(a.delete(TWO + "?labelSelector=host%3Dheld"), 200).json["items"]
    assert sorted(i["metadata"]["name"] for i in shown) == held, shown
    assert all(i["apiVersion"] == "conv.example.com/v2" and i["metadata"]["deletionTimestamp"] for i in shown), shown
    for one in held:
        is_(a.merge(ONE + "/" + one, {"metadata": {"finalizers": None}}), 200)
    assert names(a.get(ONE)) == ALL


@case
def whole_deletion():
    """a whole collection of objects that have no form yet is deleted: each of several at a time has its own made"""
    one, two, made = ONE.replace("/wire/", "/default/"), TWO.replace("/wire/", "/default/"), [f"y{i}" for i in range(4)]
    for name in made:
        is_(a.post(one, home(name, "gone:1")), 201)
    assert sorted(names(a.delete(two))) == made
    assert names(a.get(one)) == []


def stuck(blocked):
    """Makes the converter wait for the event."""
    converter.meanwhile = lambda: blocked.wait(60)


def ask(path, **headers):
    c = http.client.HTTPSConnection(host, int(port), context=nobody if headers else Client().c._context, timeout=60)
    c.request("GET", path, headers=headers)
    return c


def renew(name):
    """The object has no form any longer."""
    is_(Client().merge(ONE + "/" + name, {"metadata": {"annotations": {"turn": str(time.time())}}}), 200)


@case
def client_gone():
    """the call for a client that is gone ends: its connection to the webhook is closed before the webhook answers"""
    blocked, closed = threading.Event(), threading.Event()

    def wait():
        connection = converter.connection()
        connection.settimeout(0.5)
        while not blocked.is_set():
            try:
                if not connection.recv(1):
                    closed.set()
                    return
            except TimeoutError:
                pass
            except OSError:
                return

    def leave():
        calls = len(converter.calls)
        c = ask(TWO + "/h03")
        until(lambda: len(converter.calls) > calls)
        c.close()
        return closed.wait(5)
    converter.meanwhile = wait  # before the object changes: controllers that watch have it converted, too
    renew("h03")
    until(leave, 90)
    converter.meanwhile = lambda: None
    blocked.set()
    assert is_(a.get(TWO + "/h03"), 200).json["spec"]["host"] == "host0"


@case
def shares():
    """a user whose requests wait for a slow conversion webhook is refused before others are"""
    accounts = "/api/v1/namespaces/wire/serviceaccounts"
    is_(a.post(accounts, {"metadata": {"name": "many"}}), 201)
    is_(a.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
        "metadata": {"name": "conversions-many"}, "subjects": [
            {"kind": "ServiceAccount", "name": "many", "namespace": "wire"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}}), 201)
    token = is_(a.post(accounts + "/many/token", {"spec": {}}), 201).json["status"]["token"]
    bearer = {"Authorization": "Bearer " + token}
    until(lambda: Client(nobody).get(ONE + "/h04", **bearer).code == 200)
    blocked = threading.Event()
    stuck(blocked)  # before the object changes: controllers that watch have it converted, too
    renew("h04")
    waiting = [ask(TWO + "/h04", **bearer) for _ in range(140)]
    answered = []
    until(lambda: answered.extend(select.select([c.sock for c in waiting], [], [], 0)[0]) or answered)
    refused = next(c for c in waiting if c.sock in answered)
    waiting.remove(refused)
    r = refused.getresponse()
    assert r.status == 429 and r.headers["Retry-After"] == "1", r.status
    assert b"half of what is free for one user" in r.read()
    mine = ask(TWO + "/h04")
    time.sleep(0.2)
    blocked.set()
    converter.meanwhile = lambda: None
    assert mine.getresponse().status == 200
    got = [c.getresponse().status for c in waiting]
    assert set(got) <= {200, 429} and got.count(200) >= 100, got
    for c in [refused, *waiting]:
        c.close()


is_(a.delete(CRDS + "/homes.conv.example.com"), 200)
until(lambda: a.get(CRDS + "/homes.conv.example.com").code == 404)
