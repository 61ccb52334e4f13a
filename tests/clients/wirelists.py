"""Cases of tests/clients/wire about lists: the same objects in every form, by every selector, in pages, in watches; and an apply
that changes nothing. They find the namespace and some objects of wire.py."""
import base64
import http.client
import json
import re
import urllib.parse

from wireclient import a, case, cm, CM, host, is_, port, TABLE, tls, version, Watch

PARTIAL = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


def collections():
    """The paths of all collections that can be listed."""
    groups = ["/api/v1"] + ["/apis/" + v["groupVersion"] for g in a.get("/apis").json["groups"] for v in g["versions"]]
    for group in groups:
        for r in a.get(group).json.get("resources", ()):  # none: the definition's group has gone meanwhile
            if "list" in r["verbs"] and "/" not in r["name"]:
                yield f"{group}/{r['name']}"


def ageless(table):
    """Its rows without the cells that a second changes."""
    for row in table["rows"]:
        row["cells"] = [None if isinstance(c, str) and re.search(r"\d[smhdy]( ago\))?$", c) else c for c in row["cells"]]
    return table["rows"]


@case
def forms_agree():
    """a list of each kind is the same in pieces, indented, as Table and as metadata alone"""
    seen = 0
    for path in collections():
        whole = a.get(path)
        if whole.code != 200 or not whole.json["metadata"].get("resourceVersion"):
            continue
        at = f"{path}?resourceVersion={version(whole)}&resourceVersionMatch=Exact"
        assert is_(a.get(at), 200).text == whole.text, path
        assert a.get(at + "&pretty=true").json == whole.json, path
        for include in ("Metadata", "None", "Object"):
            rows = [ageless(is_(a.get(f"{at}&includeObject={include}{pretty}", Accept=TABLE), 200).json)
                    for pretty in ("", "&pretty=true")]
            assert rows[0] == rows[1] and len(rows[0]) == len(whole.json["items"]), path
            if include == "Object":
                assert [r["object"] for r in rows[0]] == whole.json["items"], path
        alone = [is_(a.get(at + pretty, Accept=PARTIAL), 200).json for pretty in ("", "&pretty=true")]
        assert alone[0] == alone[1], path
        assert [i["metadata"] for i in alone[0]["items"]] == [i["metadata"] for i in whole.json["items"]], path
        seen += len(whole.json["items"])
    assert seen > 50, seen


def items_text(reply):
    """The items of a list as they came."""
    text = is_(reply, 200).text
    return text[text.index('"items":[') + len('"items":['):-len("]}")]


@case
def pages_agree():
    """pages are the snapshot of the first one, byte for byte, while nothing changes and while something does"""
    for i in range(9):
        is_(a.post(CM, cm(f"page{i}", text="\u00e4\"\\\n")), 201)
    for change in (lambda i: None,
                   lambda i: is_(a.post("/api/v1/namespaces/default/secrets", cm(f"other{i}")), 201),
                   lambda i: is_(a.merge(CM + "/page8", {"data": {"i": str(i)}}), 200),
                   lambda i: is_(a.post(CM, cm(f"page9{i}")), 201)):
        whole, first = items_text(a.get(CM)), a.get(CM + "?limit=4")
        pages, left, i = [items_text(first)], is_(first, 200).json["metadata"], 0
        count = len(first.json["items"]) + left["remainingItemCount"]
        while left.get("continue"):
            change(i)
            i += 1
            reply = a.get(f"{CM}?limit=4&continue={left['continue']}")
            pages.append(items_text(reply))
            assert version(reply) == version(first)
            left = reply.json["metadata"]
            shown = 4 * i + len(reply.json["items"])
            assert left.get("remainingItemCount", 0) == count - shown, (left, count, shown)
        assert i >= 2 and ",".join(pages) == whole
        exact = a.get(f"{CM}?resourceVersion={version(first)}&resourceVersionMatch=Exact")
        assert items_text(exact) == whole
    one = items_text(a.get(CM + "?labelSelector=none%3Dx&limit=4"))
    assert one == ""


def token(start, revision=-1):
    """A continue token as the server makes them"""
    text = json.dumps({"v": 1, "rv": revision, "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@case
def tokens_stay_in_their_namespace():
    """a continue token that leads to another namespace is refused: no names, no counts of others"""
    is_(a.post("/api/v1/namespaces", {"metadata": {"name": "aaa-tokens"}}), 201)
    for name in ("one", "two", "three"):
        is_(a.post("/api/v1/namespaces/aaa-tokens/configmaps", cm(name)), 201)
        is_(a.post(CM, cm(f"token-{name}")), 201)
    revision = int(version(a.get(CM)))
    for start in ("", "aaa-tokens/", "aaa-tokens/one", "a", "wire", "wire0/x", "kube-system/x", "zzz"):
        for rv in (-1, revision):
            for query in ("limit=1", "limit=500", "labelSelector=none%3Dx&limit=1"):
                is_(a.get(f"{CM}?{query}&continue={token(start, rv)}"), 400, "BadRequest", "continue key is not valid")
    rest = is_(a.get(f"{CM}?limit=1&continue={token('wire/token-one')}"), 200).json
    assert rest["items"][0]["metadata"]["name"] == "token-three", rest
    everywhere = is_(a.get(f"/api/v1/configmaps?limit=1&continue={token('aaa-tokens/one')}"), 200).json
    assert everywhere["items"][0]["metadata"]["name"] == "three", everywhere
    is_(a.get(f"/api/v1/namespaces?limit=1&continue={token('')}"), 200)


@case
def selectors_agree():
    """label selectors of every form, in lists, pages and the first events of watches"""
    for i in range(8):
        labels = {"size": str(i)} | ({"odd": "yes"} if i % 2 else {}) | ({"x.example/tier": "a.b-c_d"} if i > 4 else {})
        is_(a.post(CM, {"metadata": {"name": f"label{i}", "labels": labels}}), 201)
    for selector, wanted in (("odd", "1357"), ("size,!odd", "0246"), ("odd=yes", "1357"), ("odd==yes,size!=3", "157"),
                             ("size in (0,7,9)", "07"), ("size in (3),odd", "3"), ("size notin (0,1,2,3),size", "4567"), ("size>5", "67"),
                             ("size<2", "01"), ("x.example/tier=a.b-c_d", "567"), ("x.example/tier=a.b-c", ""), ("odd=no", ""),
                             ("odd=", ""), ("size=1,size=2", ""), ("odd=yes,x.example/tier", "57")):
        query = "labelSelector=" + urllib.parse.quote(selector)
        names = [i["metadata"]["name"] for i in is_(a.get(f"{CM}?{query}"), 200).json["items"]]
        assert names == [f"label{i}" for i in wanted], (selector, names)
        alone = [r["cells"][0] for r in is_(a.get(f"{CM}?{query}", Accept=TABLE), 200).json["rows"]]
        assert alone == names, selector
        first = is_(a.get(f"{CM}?{query}&limit=1"), 200).json
        if first["metadata"].get("continue"):
            rest = is_(a.get(f"{CM}?{query}&continue={first['metadata']['continue']}"), 200).json
            assert [i["metadata"]["name"] for i in first["items"] + rest["items"]] == names, selector
        watch = Watch(f"{CM}?{query}&watch=1&resourceVersion=0&timeoutSeconds=1")
        assert [watch.next()["object"]["metadata"]["name"] for _ in names] == names, selector
        watch.close()
        named = is_(a.get(f"{CM}?{query}&fieldSelector=metadata.name%3Dlabel5"), 200).json["items"]
        assert len(named) == ("5" in wanted), selector


@case
def rows_of_watches():
    """a watch of Tables has the rows of the list, the columns once"""
    rows = {r["object"]["metadata"]["name"]: r for r in ageless(is_(a.get(CM, Accept=TABLE), 200).json)}
    c = http.client.HTTPSConnection(host, int(port), context=tls, timeout=10)
    c.request("GET", CM + "?watch=1&timeoutSeconds=1&resourceVersion=0", headers={"Accept": TABLE})
    events = [json.loads(line)["object"] for line in c.getresponse().read().decode().splitlines()]
    assert len(events) == len(rows) and len(rows) > 8
    assert [e["columnDefinitions"] is None for e in events] == [False] + [True] * (len(events) - 1)
    for e in events:
        row = ageless(e)[0]
        assert rows[row["object"]["metadata"]["name"]] == row
        assert e["metadata"]["resourceVersion"] == row["object"]["metadata"]["resourceVersion"]


@case
def apply_unchanged():
    """an apply that changes nothing writes nothing and answers with the object as it is read"""
    path, body = CM + "/applied?fieldManager=wire", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "applied", "labels": {"b": "1", "a": "2"}}, "data": {"x": "1"}}
    first = is_(a.apply(path, body), 201)
    for _ in range(3):
        again = is_(a.apply(path, body), 200)
        assert version(again) == version(first) and again.text == a.get(CM + "/applied").text
    row = is_(a.apply(path, body, Accept=TABLE), 200).json
    assert row["kind"] == "Table" and row["rows"][0]["cells"][:2] == ["applied", 1]
    assert is_(a.apply(path + "&pretty=true", body), 200).json == first.json
    assert is_(a.apply(path + "&dryRun=All", body), 200).json == first.json
    put = is_(a.put(CM + "/applied", first.json), 200)
    assert put.json == first.json
    is_(a.merge(CM + "/applied", {"data": {"x": "2"}}), 200)
    is_(a.apply(path, body), 409, "Conflict", "Apply failed with 1 conflict")
    assert is_(a.apply(path + "&force=true", body), 200).json["data"] == {"x": "1"}
