"""Cases of tests/clients/wire: sequences that a random comparison with the reference API server found, on a kind with lists of every
sort and on built-in kinds. A row is a sequence and what it ends with."""
import time

from wireclient import a, case, is_, NS

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MIXES = "/apis/diff.example.com/v1/namespaces/wire/mixes"
TEXT = {"type": "string"}
SET, ATOMIC_MAP = {"x-kubernetes-list-type": "set"}, {"x-kubernetes-map-type": "atomic"}


def keyed(*keys):
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def listed(items, **more):
    return {"type": "array", "items": items, **more}


def fields(required=(), **properties):
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


is_(a.post(CRDS, {"metadata": {"name": "mixes.diff.example.com"}, "spec": {
    "group": "diff.example.com", "scope": "Namespaced", "names": {"plural": "mixes", "kind": "Mix"}, "versions": [{
        "name": "v1", "served": True, "storage": True, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": fields(
            status=fields(x=TEXT), spec=fields(
                n={"type": "integer"}, **{"def": {**TEXT, "default": "d"}}, nul={**TEXT, "nullable": True},
                m={"type": "object", "additionalProperties": TEXT}, mm={"type": "object", "additionalProperties": fields(x=TEXT)},
                am={"type": "object", "additionalProperties": TEXT, **ATOMIC_MAP}, obj=fields(x=TEXT, y=TEXT),
                ios={"x-kubernetes-int-or-string": True}, atom=listed(TEXT), set=listed(TEXT, **SET), nset=listed({"type": "integer"}, **SET),
                fset=listed({"type": "number"}, **SET),
                lm=listed(fields(["name"], name=TEXT, v=TEXT, iset=listed(TEXT, **SET)), **keyed("name")),
                lm2=listed(fields(["port"], port={"type": "integer"}, proto={**TEXT, "default": "TCP"}), **keyed("port", "proto"))))}}]}}), 201)
end = time.time() + 30
while a.get(MIXES).code != 200:
    assert time.time() < end
    time.sleep(0.02)
count = 0


def row(text, check):
    check.__doc__ = text
    case(check)


def mix(spec=None, **metadata):
    return {"apiVersion": "diff.example.com/v1", "kind": "Mix", "metadata": metadata, **({} if spec is None else {"spec": spec})}


def run(steps):
    """Carries them out on a new object; the last answer."""
    global count
    count += 1
    name, r = f"mix{count}", None
    for how, who, body in steps:
        body = {**body, "metadata": {**body["metadata"], "name": name}} if "kind" in body else body
        if how == "post":
            r = a.post(f"{MIXES}?fieldManager={who}", body)
        elif how == "put":
            body["metadata"]["resourceVersion"] = a.get(f"{MIXES}/{name}").json["metadata"]["resourceVersion"]
            r = a.put(f"{MIXES}/{name}?fieldManager={who}", body)
        elif how == "merge":
            r = a.merge(f"{MIXES}/{name}?fieldManager={who}", body)
        else:
            r = a.apply(f"{MIXES}/{name}{how[5:]}?fieldManager={who}", body)
    return r


def owners(o):
    return {(f["manager"], f["operation"]) for f in o["metadata"].get("managedFields", [])}


# --- what is empty has no owner ---
for what, empty in (("labels", {}), ("annotations", {}), ("finalizers", []), ("ownerReferences", [])):
    for how in ("apply", "post"):
        def none_kept(what=what, empty=empty, how=how):
            o = is_(run([(how, "m", mix(**{what: empty}))]), 201).json
            assert what not in o["metadata"] and not owners(o), o
        row(f"{how}: empty {what} are not kept and have no owner", none_kept)

    def none_put(what=what, empty=empty):
        o = is_(run([("apply", "m", mix()), ("put", "u", mix(**{what: empty}))]), 200).json
        assert what not in o["metadata"] and not owners(o), o
    row(f"put: empty {what} are not kept and have no owner", none_put)

    def none_of_status(what=what, empty=empty):
        value = {"a": "b"} if empty == {} else ["a/b"] if what == "finalizers" else [{"uid": "u", "name": "n", "kind": "K", "apiVersion": "v1"}]
        o = is_(run([("apply", "m", mix()), ("apply/status", "s", mix(**{what: value}))]), 200).json
        assert what not in o["metadata"] and not owners(o), o
    row(f"apply of a status owns no {what}", none_of_status)


def last_label():
    o = is_(run([("apply", "m", mix(labels={})), ("apply", "o", mix(labels={"a": "x"})), ("apply", "o", mix())]), 200).json
    assert "labels" not in o["metadata"] and not owners(o), o


row("the last label takes the labels along", last_label)
for body in ({"metadata": {}, "spec": {}}, {"spec": {}}):
    def no_entry(body=body):
        o = is_(run([("apply", "m", mix()), ("merge", "u", body)]), 200).json
        assert not owners(o) and o["spec"] == {"def": "d"}, o
    row(f"a merge of {body} gives no ownership", no_entry)

# --- null where a schema takes none ---
NULLS = [("n", "integer"), ("m", "object"), ("mm", "object"), ("am", "object"), ("obj", "object"), ("set", "array"), ("nset", "array"), ("lm", "array"),
         ("lm2", "array"), ("atom", "array")]
for field, kind in NULLS:
    for steps, code in (([], 201), ([("apply", "m", mix())], 200)):
        def refused(field=field, kind=kind, steps=steps):
            r = is_(run([*steps, ("apply", "m", mix({field: None}))]), 422, "Invalid")
            assert f'spec.{field}: Invalid value: "null": spec.{field} in body must be of type {kind}: "null"' in r.json["message"], r.text
        row(f"apply: null for spec.{field} is refused, {'on an object' if steps else 'on none'}", refused)


def null_inside():
    r = is_(run([("apply", "m", mix({"obj": {"y": None}}))]), 422, "Invalid")
    assert 'spec.obj.y in body must be of type string: "null"' in r.json["message"], r.text


row("apply: null inside an object is refused", null_inside)


def null_kept():
    assert is_(run([("apply", "m", mix({"nul": None}))]), 201).json["spec"] == {"nul": None, "def": "d"}


row("apply: null is kept where the schema takes it", null_kept)


def null_default():
    assert is_(run([("apply", "m", mix({"def": None}))]), 201).json["spec"] == {"def": "d"}


row("apply: null for a field with a default is the default", null_default)

# --- duplicates ---
for field, value, path in (("lm", [{"name": "a"}, {"name": "a"}], "spec.lm[1]"), ("lm", [{"name": "d", "iset": ["z", "z"]}], "spec.lm[0].iset[1]"),
                           ("lm2", [{"port": 0}, {"port": 0}], "spec.lm2[1]"), ("set", ["x", "x"], "spec.set[1]"), ("nset", [3, 3], "spec.nset[1]")):
    for how in ("apply", "post"):
        def twins(field=field, value=value, path=path, how=how):
            r = is_(run([(how, "m", mix({field: value}))]), 422, "Invalid")
            assert path + ": Duplicate value" in r.json["message"], r.text
        row(f"{how}: {path} is refused as a duplicate", twins)

# --- ownership of lists and numbers ---
for field, value in (("lm", []), ("set", []), ("m", {}), ("obj", {}), ("atom", []), ("nset", [])):
    def emptied(field=field, value=value):
        o = is_(run([("apply", "m", mix({field: value})), ("apply", "m", mix())]), 200).json
        assert ("m", "Apply") not in owners(o), o
        again = is_(a.apply(f"{MIXES}/{o['metadata']['name']}?fieldManager=m", mix(None, name=o["metadata"]["name"])), 200).json
        assert again["metadata"]["resourceVersion"] == o["metadata"]["resourceVersion"]
    row(f"an applier that leaves an empty {field} out does not own it any longer, and a second time nothing is written", emptied)
for number in (0.1, 1.5, 1e21, 0.3, 100.25):
    def float_owner(number=number):
        o = is_(run([("apply", "m", mix({"fset": [number]}))]), 201).json
        keys = o["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:fset"]
        assert [float(k[2:]) for k in keys if k != "."] == [number] and all(len(k) < 12 for k in keys), keys
    row(f"the member {number} of a set is owned in its shortest form", float_owner)


def sorted_conflicts():
    r = is_(run([("apply", "m1", mix({"n": 2, "atom": []})), ("apply", "m3", mix({"n": 3, "atom": ["z"]}))]), 409, "Conflict")
    assert r.json["message"] == 'Apply failed with 2 conflicts: conflicts with "m1":\n- .spec.atom\n- .spec.n', r.text
    assert [c["field"] for c in r.json["details"]["causes"]] == [".spec.atom", ".spec.n"], r.text


row("conflicts come in the order of their paths", sorted_conflicts)
for spec, words in (({"n": "x"}, "spec.n"), ({"lm": {}}, "spec.lm"), ({"lm": [{"v": "x"}]}, "name"), ({"set": "x"}, "spec.set"), ({"m": {"a": 1}}, "spec.m.a"),
                    ({"obj": {"z": 1}}, ".spec.obj.z: field not declared in schema")):
    def typed(spec=spec, words=words):
        r = run([("apply", "m", mix(spec))])
        assert r.code in (400, 422, 500) and words in r.json["message"], r.text
    row(f"apply of {spec} names what does not fit", typed)

# --- strategic merge patches of built-in kinds ---
POD = {"metadata": {"name": "strategic", "finalizers": ["f.example/c"]}, "spec": {"schedulerName": "nobody", "containers": [
    {"name": "b", "image": "i"}]}}
is_(a.post(NS + "/pods", POD), 201)
is_(a.post("/apis/apps/v1/namespaces/wire/deployments", {"metadata": {"name": "strategic"}, "spec": {
    "replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
        "volumes": [{"name": "w", "emptyDir": {}}], "containers": [{"name": "b", "image": "i", "env": [{"name": "C", "value": "1"}]}]}}}}), 201)
is_(a.post(NS + "/services", {"metadata": {"name": "strategic"}, "spec": {
    "selector": {"q": "r"}, "ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}}), 201)
DEPLOYMENT = "/apis/apps/v1/namespaces/wire/deployments/strategic"


def template(**spec):
    return {"spec": {"template": {"spec": spec}}}


def names(path):
    def read(o):
        for word in path.split("."):
            o = o[int(word)] if isinstance(o, list) else o[word]
        return [x["name"] if isinstance(x, dict) else x for x in o]
    return read


STRATEGIC = [
    ("a new container comes before those that are there", DEPLOYMENT, template(containers=[{"name": "c", "image": "i"}]),
     names("spec.template.spec.containers"), ["c", "b"]),
    ("a new volume too", DEPLOYMENT, template(volumes=[{"name": "x", "emptyDir": {}}]), names("spec.template.spec.volumes"), ["x", "w"]),
    ("and a variable", DEPLOYMENT, template(containers=[{"name": "b", "env": [{"name": "D", "value": "2"}]}]),
     names("spec.template.spec.containers.0.env"), ["D", "C"]),
    ("an order that is given counts", DEPLOYMENT, template(**{"containers": [{"name": "c", "image": "i"}], "$setElementOrder/containers": [
        {"name": "b"}, {"name": "c"}]}), names("spec.template.spec.containers"), ["b", "c"]),
    ("a container is deleted by its name", DEPLOYMENT, template(containers=[{"name": "b", "$patch": "delete"}, {"name": "c", "image": "i"}]),
     names("spec.template.spec.containers"), ["c"]),
    ("a list is replaced whole", DEPLOYMENT, template(containers=[{"$patch": "replace"}, {"name": "z", "image": "i"}]),
     names("spec.template.spec.containers"), ["z"]),
    ("a finalizer comes first", NS + "/pods/strategic", {"metadata": {"finalizers": ["f.example/a"]}}, names("metadata.finalizers"),
     ["f.example/a", "f.example/c"]),
    ("a finalizer is deleted from the list", NS + "/pods/strategic", {"metadata": {"$deleteFromPrimitiveList/finalizers": ["f.example/c"]}},
     lambda o: o["metadata"].get("finalizers"), None),
    ("a port is merged by its number", NS + "/services/strategic", {"spec": {"ports": [{"port": 81, "name": "c"}]}}, names("spec.ports"), ["a", "c"]),
    ("a map is replaced", NS + "/services/strategic", {"spec": {"selector": {"$patch": "replace", "x": "y"}}}, lambda o: o["spec"]["selector"],
     {"x": "y"}),
    ("a map is merged", NS + "/services/strategic", {"spec": {"selector": {"x": "y"}}}, lambda o: o["spec"]["selector"], {"q": "r", "x": "y"}),
    ("null removes", NS + "/services/strategic", {"spec": {"selector": {"q": None, "x": "y"}}}, lambda o: o["spec"]["selector"], {"x": "y"}),
]
for text, path, patch, read, want in STRATEGIC:
    def strategic(path=path, patch=patch, read=read, want=want):
        r = is_(a.ask("PATCH", path + "?dryRun=All", patch, Content_Type="application/strategic-merge-patch+json"), 200)
        assert read(r.json) == want, read(r.json)
    row(f"strategic merge: {text}", strategic)
for text, path, patch in (
        ("retainKeys that leaves out a field of the patch", NS + "/pods/strategic", {"metadata": {"namespace": "wire", "$retainKeys": []}}),
        ("retainKeys in a map that is not there", NS + "/pods/strategic", {"spec": {"nodeSelector": {"$retainKeys": []}}}),
        ("$patch: merge of an item", NS + "/services/strategic", {"spec": {"ports": [{"port": 80, "$patch": "merge"}]}}),
        ("another $patch", NS + "/services/strategic", {"spec": {"$patch": "mix"}})):
    def not_strategic(path=path, patch=patch):
        r = a.ask("PATCH", path + "?dryRun=All", patch, Content_Type="application/strategic-merge-patch+json")
        assert r.code in (400, 422) and "invalid strategic merge patch" in r.json["message"], r.text
    row(f"strategic merge: {text} is refused", not_strategic)
a.merge(NS + "/pods/strategic", {"metadata": {"finalizers": None}})
for path in (NS + "/pods/strategic", DEPLOYMENT, NS + "/services/strategic"):
    a.delete(path)

# --- what is read can be put back, for every kind that has an object here ---
is_(a.delete(CRDS + "/mixes.diff.example.com"), 200)
SKIPPED = {"bindings", "endpoints", "endpointslices"}  # kctl dev's API is at a loopback address, which nobody else may write
for group in ["/api/v1"] + ["/apis/" + v["groupVersion"] for g in a.get("/apis").json["groups"] for v in g["versions"]]:
    for r in a.get(group).json.get("resources", []):
        if "/" in r["name"] or not {"list", "update"} <= set(r["verbs"]) or r["name"] in SKIPPED:
            continue

        def put_back(group=group, plural=r["name"]):
            for o in a.get(f"{group}/{plural}?limit=3").json.get("items", []):
                m = o["metadata"]
                path = f"{group}/{'namespaces/' + m['namespace'] + '/' if m.get('namespace') else ''}{plural}/{m['name']}"
                for _ in range(20):
                    now = a.get(path)
                    if now.code == 404:
                        break
                    r = a.put(path + "?dryRun=All&fieldValidation=Strict", now.json)
                    if r.code != 409:  # a controller was faster
                        break
                if now.code == 404:
                    continue
                assert r.code == 200 and {**r.json, "metadata": 0} == {**now.json, "metadata": 0}, r.text
                assert all("deprecated" in w or "hides previous" in w for w in r.headers.get_all("Warning") or []), r.headers["Warning"]
        row(f"what is read of {r['name']} ({group.split('/', 2)[-1]}) can be put back unchanged", put_back)
