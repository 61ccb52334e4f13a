"""The cases of bench/peer/differ: each a function of a Differ. Objects are those of peer.example.org."""
import json
import time

import random_cases

GROUP = "peer.example.org"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE, JSONP, APPLY = "application/merge-patch+json", "application/json-patch+json", "application/apply-patch+yaml"
STRATEGIC = "application/strategic-merge-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIALS = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def definition(plural, kind, spec, version=None, top=None, status=None):
    schema = {"type": "object", "properties": {"spec": spec, "status": status or {
        "type": "object", "properties": {"replicas": {"type": "integer"}, "phase": {"type": "string"},
            "selector": {"type": "string"}}}}}
    v = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}}}
    v.update(version or {})
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
            "spec": {"group": GROUP, "scope": "Namespaced", "names": {"plural": plural, "singular": kind.lower(),
                "kind": kind,
                                                                        "listKind": f"{kind}List"}, "versions": [v],
                                                                            **(top or {})}}


def establish(d, crd):
    """Makes the CRD on both sides and waits until its objects can be read."""
    spec = crd["spec"]
    version = next(v["name"] for v in spec["versions"] if v["served"])
    d.ask("POST", CRDS, crd, label=f"POST crd {spec['names']['plural']}", ignore=[r"^\.status", r"managedFields"])
    space = "/namespaces/a" if spec["scope"] == "Namespaced" else ""
    path = f"/apis/{spec['group']}/{version}{space}/{spec['names']['plural']}"
    for _ in range(200):
        if all(a.status == 200 for a in d.quiet("GET", path)):
            return path
        time.sleep(0.05)
    raise SystemExit(f"{path}: not served: {[a.text for a in d.answers]}")


def thing(kind, name, spec=None, **metadata):
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec or {}}


RICH = {"type": "object", "properties": {
    "n": {"type": "integer", "minimum": 0, "maximum": 100, "default": 5},
    "big": {"type": "integer", "format": "int64"},
    "ratio": {"type": "number", "multipleOf": 0.5},
    "flag": {"type": "boolean"},
    "name": {"type": "string", "minLength": 2, "maxLength": 8, "pattern": "^[a-z]+$"},
    "mode": {"type": "string", "enum": ["a", "b"]},
    "when": {"type": "string", "format": "date-time"},
    "ip": {"type": "string", "format": "ipv4"},
    "port": {"x-kubernetes-int-or-string": True},
    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "maybe": {"type": "string", "nullable": True},
    "nulldef": {"type": "string", "nullable": True, "default": "x"},
    "list": {"type": "array", "items": {"type": "string"}, "maxItems": 3, "minItems": 1},
    "uniq": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
    "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
              "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"},
                  "v": {"type": "integer", "default": 7},
                                                                             "w": {"type": "string"}}}},
    "map": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}, "maxProperties": 2},
    "deep": {"type": "object", "required": ["must"], "properties": {"must": {"type": "string"}, "x": {"type": "string",
        "default": "dx"}}},
    "atom": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "string"},
        "b": {"type": "string"}}},
    "embed": {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {"type": "object"}}},
    "either": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
               "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
    "anyof": {"type": "object", "properties": {"a": {"type": "integer"}},
        "anyOf": [{"properties": {"a": {"minimum": 5}}},
                                                                                    {"properties": {"a": {
                                                                                        "maximum": 1}}}]},
    "nope": {"type": "object", "properties": {"a": {"type": "integer"}}, "not": {"required": ["a"]}},
}}

COLUMNS = [
    {"name": "N", "type": "integer", "jsonPath": ".spec.n"},
    {"name": "Ratio", "type": "number", "jsonPath": ".spec.ratio", "format": "float"},
    {"name": "Flag", "type": "boolean", "jsonPath": ".spec.flag"},
    {"name": "Name", "type": "string", "jsonPath": ".spec.name", "description": "The name", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "When", "type": "date", "jsonPath": ".spec.when"},
    {"name": "Keyed", "type": "string", "jsonPath": ".spec.keyed[*].k"},
    {"name": "One", "type": "string", "jsonPath": ".spec.keyed[?(@.k==\"b\")].w"},
    {"name": "List", "type": "string", "jsonPath": ".spec.list"},
    {"name": "First", "type": "string", "jsonPath": ".spec.list[0]"},
    {"name": "Last", "type": "string", "jsonPath": ".spec.list[-1:]"},
    {"name": "Map", "type": "string", "jsonPath": ".spec.map"},
    {"name": "Mismatch", "type": "integer", "jsonPath": ".spec.name"},
    {"name": "Text", "type": "string", "jsonPath": ".spec.n"},
    {"name": "TextFlag", "type": "string", "jsonPath": ".spec.flag"},
    {"name": "Label", "type": "string", "jsonPath": ".metadata.labels.app\\.kubernetes\\.io/name"},
    {"name": "Port", "type": "string", "jsonPath": ".spec.port"},
    {"name": "Free", "type": "string", "jsonPath": ".spec.free"},
    {"name": "FreeInt", "type": "integer", "jsonPath": ".spec.free.x"},
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
]


def rich(d):
    return establish(d, definition("riches", "Rich", RICH, {
        "additionalPrinterColumns": COLUMNS,
        "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.n",
            "statusReplicasPath": ".status.replicas",
                                                   "labelSelectorPath": ".status.selector"}},
        "selectableFields": [{"jsonPath": ".spec.mode"}, {"jsonPath": ".spec.n"}, {"jsonPath": ".spec.flag"}]},
        {"names": {"plural": "riches", "singular": "rich", "kind": "Rich", "listKind": "RichList", "shortNames": ["ri"],
                   "categories": ["all", "peers"]}}))


FULL = {"n": 7, "ratio": 1.5, "flag": True, "name": "abc", "mode": "a", "when": "2020-01-02T03:04:05Z",
    "ip": "10.0.0.1", "port": "http",
        "free": {"x": 1, "y": [1, "2", None, 1.25, {"z": {}}]}, "maybe": None, "nulldef": None, "list": ["x", "y"],
            "uniq": ["a", "b"],
        "keyed": [{"k": "a"}, {"k": "b", "v": 1, "w": "ww"}], "map": {"a": 1}, "deep": {"must": "m"},
            "atom": {"a": "1"},
        "embed": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "unknown": 1}, "spec": {}, "extra": 1}}


def objects(d):
    p = rich(d)
    d.ask("POST", p, thing("Rich", "one", FULL, labels={"app.kubernetes.io/name": "nn", "a": "b"}))
    d.ask("POST", p, thing("Rich", "two", {"n": 0, "free": {"x": "text"}, "port": 8080, "keyed": [], "map": {},
        "list": ["only"]}))
    d.ask("POST", p, thing("Rich", "three"))
    for path in (p, f"{p}/one", f"{p}/two", f"{p}/three", f"{p}/none", "/apis/peer.example.org/v1/riches",
        f"{p}?limit=2",
                 f"{p}?labelSelector=a%3Db", f"{p}?fieldSelector=metadata.name%3Done",
                     f"{p}?fieldSelector=spec.mode%3Da",
                 f"{p}?fieldSelector=spec.n%3D5", f"{p}?fieldSelector=spec.flag%3Dtrue",
                     f"{p}?fieldSelector=spec.name%3Dabc",
                 f"{p}?fieldSelector=metadata.namespace%3Da", f"{p}?fieldSelector=spec.mode!%3Da",
                     f"{p}?fieldSelector=nonsense",
                 f"{p}?fieldSelector=a%3D%3D", f"{p}?labelSelector=a,,b", f"{p}?labelSelector=a+in+(b",
                     f"{p}?labelSelector=-x",
                 f"{p}?resourceVersion=0", f"{p}?resourceVersion=x", f"{p}?resourceVersion=99999999",
                     f"{p}/one?resourceVersion=x",
                 f"{p}/one?resourceVersion=0", f"{p}?limit=-1", f"{p}?limit=x", f"{p}?continue=nonsense",
                     f"{p}?continue=bm9wZQ",
                 f"{p}?limit=1&continue=nonsense&resourceVersion=5", f"{p}?resourceVersionMatch=Exact",
                 f"{p}?resourceVersionMatch=NotOlderThan", f"{p}?resourceVersionMatch=Foo&resourceVersion=1",
                 f"{p}?resourceVersionMatch=Exact&resourceVersion=0", f"{p}?sendInitialEvents=true",
                     f"{p}?timeoutSeconds=x",
                 f"{p}?allowWatchBookmarks=x", f"{p}?pretty=true", f"{p}/one?pretty=1", f"{p}?watch=x&timeoutSeconds=1",
                     f"{p}?watch=0", f"{p}?watch=false", f"{p}/one?foo=bar",
                 f"{p}/one/status", f"{p}/one/scale", f"{p}/three/scale", f"{p}/none/scale", f"{p}/none/status",
                     f"{p}/one/nope",
                 f"{p}/one/nope/x", f"{p}/One", f"{p}/a%2Fb", f"{p}/..", f"{p}//one", "/apis/peer.example.org",
                     "/apis/peer.example.org/v1",
                 "/apis/peer.example.org/v1/", "/apis/peer.example.org/v2", "/apis/peer.example.org/v2/riches",
                     "/apis/none.example.org",
                 "/apis/peer.example.org/v1/namespaces/a", "/apis/peer.example.org/v1/namespaces/a/nones",
                     "/apis/peer.example.org/v1/namespaces/A/riches",
                 f"{p}?includeObject=x", f"{p}?shardSelector=x"):
        d.ask("GET", path)
    for accept in (TABLE, PARTIALS, PARTIAL, "application/yaml", "*/*", "application/*", "text/html", "text/plain",
        "nonsense", "application/cbor", "",
                   "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json",
                       "application/json;as=Foo;v=v1;g=meta.k8s.io",
                   "application/json;as=Table;v=v2;g=meta.k8s.io", "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
                       "application/yaml;as=Table;v=v1;g=meta.k8s.io",
                   "application/json;q=0.5,application/yaml;q=0.9", "application/json;pretty=1",
                       "application/json;charset=utf-8",
                       "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"):
        for path in (p, f"{p}/one"):
            d.ask("GET", path, accept=accept, label=f"GET {path} as {accept}")
    for q in ("None", "Metadata", "Object", "x"):
        d.ask("GET", f"{p}?includeObject={q}", accept=TABLE, label=f"Table includeObject={q}")
    d.ask("GET", f"{p}/one/status", accept=TABLE, label="Table of status")
    d.ask("GET", f"{p}/one/scale", accept=TABLE, label="Table of scale")
    d.ask("GET", f"{p}/one/scale", accept=PARTIAL, label="partial of scale")
    d.ask("GET", f"{p}?limit=1", accept=TABLE, label="Table limit=1")


def bodies(d):
    p = rich(d)
    for text, kind in (("", None), ("{", None), ("[]", None), ("null", None), ("\"x\"", None), ("1", None), ("{}",
        None), ("{}x", None), ("{\"a\":1,\"a\":2}", None),
                       ("not: [yaml", "application/yaml"), ("a: b", "application/yaml"), ("{}", "text/plain"), ("{}",
                           "nonsense"), ("{}", "application/x"),
                       ("{}", "application/vnd.kubernetes.protobuf"), ("{}", "application/cbor"), ("{}",
                           "application/json;charset=utf-8"), ("{}", "application/json; x"),
                       ("{\"kind\":\"Rich\"}", None), ("{\"apiVersion\":\"peer.example.org/v1\"}", None),
                           ("{\"kind\":1,\"apiVersion\":\"peer.example.org/v1\"}", None),
                       ("{\"kind\":\"Poor\",\"apiVersion\":\"peer.example.org/v1\",\"metadata\":{\"name\":\"x\"}}",
                           None),
                       ("{\"kind\":\"Rich\",\"apiVersion\":\"peer.example.org/v2\",\"metadata\":{\"name\":\"x\"}}",
                           None),
                       ("{\"kind\":\"Rich\",\"apiVersion\":\"other/v1\",\"metadata\":{\"name\":\"x\"}}", None),
                       ("{\"kind\":\"Rich\",\"apiVersion\":\"a/b/c\",\"metadata\":{\"name\":\"x\"}}", None),
                       ("{\"kind\":\"Rich\",\"apiVersion\":\"peer.example.org/v1\",\"metadata\":1}", None),
                       ("{\"kind\":\"Rich\",\"apiVersion\":\"peer.example.org/v1\",\"metadata\":null}", None),
                       ("{\"kind\":\"Rich\",\"apiVersion\":\"peer.example.org/v1\",\"metadata\":{\"name\":1}}", None),
                       (
                           "{\"kind\":\"Rich\",\"apiVersion\":\"peer.example.org/v1\",\"metadata\":{\"name\":\"x\",\"labels\":1}}",
                           None),
                       (
                           "{\"kind\":\"Rich\",\"apiVersion\":\"peer.example.org/v1\",\"metadata\":{\"name\":\"x\",\"labels\":{\"a\":1}}}",
                           None),
                       (
                           "{\"kind\":\"Rich\",\"apiVersion\":\"peer.example.org/v1\",\"metadata\":{\"name\":\"x\",\"labels\":{\"a\":null}}}",
                           None),
                       ("{\"kind\":\"RichList\",\"apiVersion\":\"peer.example.org/v1\",\"items\":[]}", None),
                       (b"\xff\xfe", None),
                           (b"{\"kind\":\"Rich\",\"apiVersion\":\"peer.example.org/v1\",\"metadata\":{\"name\":\"x\"},\"spec\":{\"name\":\"\xff\"}}",
                           None)):
        d.ask("POST", p, text, type=kind, label=f"POST as {kind}")
    d.ask("POST", p, thing("Rich", "held", {}))
    for text, kind in (("", MERGE), ("{", MERGE), ("[]", MERGE), ("null", MERGE), ("1", MERGE), ("{}", MERGE), ("{}",
        JSONP), ("[", JSONP), ("[]", JSONP), ("[1]", JSONP), ("[{}]", JSONP),
                       ("[{\"op\":\"nope\",\"path\":\"/a\"}]", JSONP),
                           ("[{\"op\":\"test\",\"path\":\"/spec/n\",\"value\":9}]", JSONP),
                       ("[{\"op\":\"test\",\"path\":\"/spec/none\",\"value\":9}]", JSONP),
                           ("[{\"op\":\"remove\",\"path\":\"/spec/none\"}]", JSONP),
                       # Not of /spec/none: json-patch v5, which Debian's packages are built with, refuses; v4, which
                       # Kubernetes has, adds it, as we do.
                       ("[{\"op\":\"replace\",\"path\":\"/spec/none/x\",\"value\":1}]", JSONP),
                           ("[{\"op\":\"add\",\"path\":\"/spec/none/x\",\"value\":1}]", JSONP),
                       ("[{\"op\":\"add\",\"path\":\"spec\",\"value\":1}]", JSONP),
                           ("[{\"op\":\"add\",\"path\":\"/spec/n\"}]", JSONP),
                       (
                           "[{\"op\":\"add\",\"path\":\"/spec/list\",\"value\":[\"a\"]},{\"op\":\"add\",\"path\":\"/spec/list/-\",\"value\":\"b\"},{\"op\":\"add\",\"path\":\"/spec/list/0\",\"value\":\"c\"}]",
                           JSONP),
                       ("[{\"op\":\"add\",\"path\":\"/spec/list/9\",\"value\":\"b\"}]", JSONP),
                           ("[{\"op\":\"add\",\"path\":\"/spec/list/x\",\"value\":\"b\"}]", JSONP),
                       ("[{\"op\":\"copy\",\"from\":\"/spec/list/0\",\"path\":\"/spec/name\"}]", JSONP),
                           ("[{\"op\":\"move\",\"from\":\"/spec/none\",\"path\":\"/spec/name\"}]", JSONP),
                       ("[{\"op\":\"add\",\"path\":\"/spec/n\",\"value\":\"x\"}]", JSONP),
                           ("[{\"op\":\"replace\",\"path\":\"/metadata/name\",\"value\":\"x\"}]", JSONP),
                       ("[{\"op\":\"replace\",\"path\":\"/kind\",\"value\":\"x\"}]", JSONP),
                           ("[{\"op\":\"remove\",\"path\":\"/metadata\"}]", JSONP),
                           ("[{\"op\":\"replace\",\"path\":\"\",\"value\":1}]", JSONP),
                       ("{}", STRATEGIC), ("{}", "application/json"), ("{}", "text/plain"), ("{}",
                           "application/apply-patch+json"), ("{}", APPLY), ("a: [", APPLY), ("[]", APPLY), ("{}",
                           "application/apply-patch+cbor"),
                       ("{\"kind\":\"x\"}", MERGE), ("{\"apiVersion\":\"x\"}", MERGE),
                           ("{\"metadata\":{\"name\":\"x\"}}", MERGE), ("{\"metadata\":{\"namespace\":\"x\"}}", MERGE),
                       ("{\"metadata\":{\"uid\":\"x\"}}", MERGE), ("{\"metadata\":{\"resourceVersion\":\"1\"}}", MERGE),
                           ("{\"metadata\":{\"resourceVersion\":\"x\"}}", MERGE), ("{\"metadata\":{\"generation\":99}}",
                           MERGE),
                       ("{\"metadata\":{\"creationTimestamp\":null}}", MERGE),
                           ("{\"metadata\":{\"creationTimestamp\":\"2001-01-01T00:00:00Z\"}}", MERGE),
                           ("{\"metadata\":null}", MERGE), ("{\"metadata\":{\"labels\":{\"a\":\"b c\"}}}", MERGE),
                       ("{\"metadata\":{\"labels\":{\"a\":1}}}", MERGE), ("{\"metadata\":{\"finalizers\":[\"x\"]}}",
                           MERGE), ("{\"metadata\":{\"ownerReferences\":[{}]}}", MERGE),
                       ("{\"spec\":{\"n\":null,\"unknown\":1}}", MERGE), ("{\"spec\":{\"n\":101,\"name\":\"A\"}}",
                           MERGE), ("{\"status\":{\"phase\":\"x\"}}", MERGE), ("{\"spec\":null}", MERGE),
                           ("{\"metadata\":{\"managedFields\":[]}}", MERGE), ("{\"metadata\":{\"managedFields\":[{}]}}",
                           MERGE)):
        d.ask("PATCH", f"{p}/held", text, type=kind, label=f"PATCH as {kind}")
    for query in ("?dryRun=All", "?dryRun=x", "?dryRun=", "?fieldManager=x", "?fieldManager=" + "m" * 129,
        "?fieldManager=a%00b", "?force=true", "?fieldValidation=Foo", "?fieldValidation=Strict",
        "?fieldValidation=Warn", "?fieldValidation=Ignore"):
        d.ask("PATCH", f"{p}/held", {"spec": {"unknown": 1}}, type=MERGE, label=f"PATCH merge {query[:30]}",
            **{}) if not query else d.ask("PATCH", f"{p}/held{query}", {"spec": {"unknown": 1}}, type=MERGE,
            label=f"PATCH merge {query[:30]}")
        d.ask("POST", f"{p}{query}", thing("Rich", "q", {"unknown": {"a": 1}, "deep": {"must": "x", "zz": 1},
            "keyed": [{"k": "a", "zz": 1}]}), label=f"POST {query[:30]}")
        d.ask("PUT", f"{p}/held{query}", thing("Rich", "held", {"unknown": 1}), label=f"PUT {query[:30]}")
        d.ask("PATCH", f"{p}/held{query}", thing("Rich", "held", {"unknown": 1}), type=APPLY,
            label=f"apply {query[:30]}")
        d.quiet("DELETE", f"{p}/q")
    d.ask("POST", f"{p}?fieldValidation=Strict",
        "{\"kind\":\"Rich\",\"apiVersion\":\"peer.example.org/v1\",\"metadata\":{\"name\":\"dup\",\"foo\":1},\"spec\":{\"n\":1,\"n\":2,\"un\":1},\"top\":1}",
        label="POST duplicates strict")
    d.ask("POST", f"{p}?fieldValidation=Warn",
        "{\"kind\":\"Rich\",\"apiVersion\":\"peer.example.org/v1\",\"metadata\":{\"name\":\"dup\",\"foo\":1},\"spec\":{\"n\":1,\"n\":2,\"un\":1},\"top\":1}",
        label="POST duplicates warn")
    d.ask("POST", f"{p}?fieldValidation=Strict",
        "kind: Rich\napiVersion: peer.example.org/v1\nmetadata: {name: dup2}\nspec: {n: 1, n: 2}\n",
        type="application/yaml", label="POST yaml duplicates strict")
    d.ask("PATCH", f"{p}/held?fieldValidation=Strict", "{\"spec\":{\"n\":1,\"n\":2}}", type=MERGE,
        label="merge duplicates strict")
    d.ask("PATCH", f"{p}/held?fieldValidation=Strict",
        "[{\"op\":\"add\",\"path\":\"/spec/n\",\"value\":3,\"value\":4,\"foo\":1}]", type=JSONP,
        label="json patch duplicates strict")
    d.ask("PATCH", f"{p}/held?fieldValidation=Strict&fieldManager=m",
        "{\"kind\":\"Rich\",\"apiVersion\":\"peer.example.org/v1\",\"spec\":{\"n\":1,\"n\":2}}", type=APPLY,
        label="apply duplicates strict")


def names(d):
    p = rich(d)
    for name in ("", "A", "a_b", "-a", "a.", "a" * 254, "a" * 253, "a/b", "..", ".", "é", "a b", "1", "a..b"):
        d.ask("POST", p, thing("Rich", name), label=f"POST name {name[:20]!r}")
    for meta in ({"generateName": "g-"}, {"generateName": "G"}, {"generateName": "g" * 300}, {"name": "ns",
        "namespace": "b"}, {"name": "ns2", "namespace": "a"}, {"name": "rv", "resourceVersion": "5"},
                 {"name": "uid", "uid": "x"}, {"name": "gen", "generation": 8}, {"name": "ts",
                     "creationTimestamp": "2001-01-01T00:00:00Z"}, {"name": "ts2", "creationTimestamp": "x"},
                     {"name": "del", "deletionTimestamp": "2001-01-01T00:00:00Z"},
                 {"name": "lab", "labels": {"a b": "c"}}, {"name": "lab2", "labels": {"a": "x" * 64}}, {"name": "ann",
                     "annotations": {"a b": "c", "/x": "y"}}, {"name": "annbig", "annotations": {"a": "x" * 270000}},
                 {"name": "fin", "finalizers": ["x"]}, {"name": "fin2", "finalizers": ["a/b", "a/b"]}, {"name": "fin3",
                     "finalizers": ["A b"]}, {"name": "own", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod",
                     "name": "x", "uid": "u"}]},
                 {"name": "own2", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": ""}]},
                     {"name": "own3", "ownerReferences": [{"apiVersion": "", "kind": "", "name": "", "uid": "u"}]},
                 {"name": "own4", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u",
                     "controller": True}, {"apiVersion": "v1", "kind": "Pod", "name": "y", "uid": "v",
                     "controller": True}]},
                 {"name": "own5", "ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "x", "uid": "u"}]},
                     {"name": "own6", "ownerReferences": [{"apiVersion": "a/b/c", "kind": "Pod", "name": "x",
                     "uid": "u"}]},
                 {"name": "self", "selfLink": "x"}, {"name": "unk", "unknown": 1}, {"name": "mf",
                     "managedFields": [{"manager": "x", "operation": "Nope"}]}, {"name": "mf2",
                     "managedFields": [{"manager": "x", "operation": "Update", "apiVersion": "peer.example.org/v1",
                     "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:n": {}}}}]},
                 {"name": "grace", "deletionGracePeriodSeconds": 5}, {"name": "empty", "labels": {}, "annotations": {},
                     "finalizers": [], "ownerReferences": []}, {"name": "nulls", "labels": None,
                     "annotations": {"a": None}}, {"name": "ok", "labels": {"x": ""}}):
        d.ask("POST", p, {"apiVersion": f"{GROUP}/v1", "kind": "Rich", "metadata": meta},
            label=f"POST metadata {json.dumps(meta)[:90]}", ignore=[r"^\.metadata\.name$",
            r"\.details\.name$"] if "generateName" in meta else ())
    d.ask("POST", p, thing("Rich", "again"))
    d.ask("POST", p, thing("Rich", "again"), label="POST that exists")
    d.ask("POST", "/apis/peer.example.org/v1/riches", thing("Rich", "again"), label="POST without namespace")
    d.ask("POST", f"{p}/again", thing("Rich", "again"), label="POST to a name")
    d.ask("PUT", p, thing("Rich", "again"), label="PUT to the collection")
    d.ask("PATCH", p, "{}", type=MERGE, label="PATCH the collection")
    d.ask("HEAD", f"{p}/again")
    d.ask("OPTIONS", f"{p}/again")
    d.ask("FOO", f"{p}/again")
    d.ask("PUT", f"{p}/again", thing("Rich", "other"), label="PUT of another name")
    d.ask("PUT", f"{p}/again", thing("Rich", ""), label="PUT without a name")
    d.ask("PUT", f"{p}/again", thing("Rich", "again", {}, namespace="b"), label="PUT of another namespace")
    d.ask("PUT", f"{p}/again", thing("Rich", "again", {}, uid="x"), label="PUT of another uid")
    d.ask("PUT", f"{p}/again", thing("Rich", "again", {}, resourceVersion="1"), label="PUT conflict")
    d.ask("PUT", f"{p}/again", thing("Rich", "again", {}, resourceVersion="x"), label="PUT bad revision")
    d.ask("PUT", f"{p}/again", thing("Rich", "again", {}, generation=77, labels={}), label="PUT without revision")
    d.ask("PUT", f"{p}/newone", thing("Rich", "newone"), label="PUT makes")
    d.ask("PUT", f"{p}/newone/status", thing("Rich", "newone"), label="PUT status of none")
    d.ask("PATCH", f"{p}/none", "{}", type=MERGE, label="PATCH of none")
    d.ask("DELETE", f"{p}/none")
    d.ask("PATCH", f"{p}/applied?fieldManager=m", thing("Rich", "applied", {"n": 3}), type=APPLY, label="apply makes")
    d.ask("PATCH", f"{p}/applied?fieldManager=m", thing("Rich", "other", {"n": 3}), type=APPLY,
        label="apply other name")
    d.ask("PATCH", f"{p}/applied?fieldManager=m", thing("Rich", "applied", {"n": 3}, resourceVersion="1"), type=APPLY,
        label="apply conflict")
    d.ask("PATCH", f"{p}/applied2?fieldManager=m", thing("Rich", "applied2", {"n": 3}, resourceVersion="1"), type=APPLY,
        label="apply makes with revision")
    d.ask("PATCH", f"{p}/applied2?fieldManager=m", thing("Rich", "applied2", {"n": 3}, uid="1"), type=APPLY,
        label="apply makes with uid")
    d.ask("PATCH", f"{p}/applied?fieldManager=m", thing("Rich", "applied", {"n": 3}, managedFields=[]), type=APPLY,
        label="apply with managedFields")
    d.ask("PATCH", f"{p}/applied?fieldManager=m", thing("Rich", "applied", {"n": 3}, managedFields=[{"manager": "x"}]),
        type=APPLY, label="apply with managedFields 2")


INVALID = [
    {"n": -1}, {"n": 101}, {"n": "x"}, {"n": 1.5}, {"n": 1.0}, {"n": 1e3}, {"n": None}, {"n": True}, {"n": []},
        {"n": {}}, {"big": 9223372036854775807}, {"big": 9223372036854775808}, {"big": 1e30},
    {"ratio": 0.3}, {"ratio": "1"}, {"ratio": 2}, {"flag": "true"}, {"flag": 1}, {"flag": None}, {"name": "a"},
        {"name": "abcdefghi"}, {"name": "ABC"}, {"name": 5}, {"name": ""}, {"name": None},
    {"mode": "c"}, {"mode": 1}, {"mode": None}, {"when": "x"}, {"when": "2020-01-01"}, {"when": "2020-13-01T00:00:00Z"},
        {"ip": "::1"}, {"ip": "x"}, {"ip": "1.2.3"},
    {"port": 1.5}, {"port": True}, {"port": None}, {"port": []}, {"free": 1}, {"free": None}, {"free": []},
        {"maybe": 1}, {"nulldef": 1}, {"list": []}, {"list": ["a", "b", "c", "d"]}, {"list": [1]},
    {"list": [None]}, {"list": {}}, {"list": None}, {"uniq": ["a", "a"]}, {"uniq": []}, {"keyed": [{"k": "a"},
        {"k": "a"}]}, {"keyed": [{}]}, {"keyed": [{"v": 1}, {"v": 1}]}, {"keyed": [None]}, {"keyed": ["x"]},
        {"keyed": [{"k": None}]},
    {"map": {"a": 0}}, {"map": {"a": "x"}}, {"map": {"a": 1, "b": 1, "c": 1}}, {"map": {"a": None}}, {"map": []},
        {"deep": {}}, {"deep": {"must": 1}}, {"deep": {"must": None}}, {"deep": None}, {"atom": {"a": 1, "c": 2}},
    {"embed": {}}, {"embed": {"apiVersion": "v1"}}, {"embed": {"kind": "x"}}, {"embed": {"apiVersion": "v1", "kind": "",
        "metadata": {}}}, {"embed": {"apiVersion": "a/b/c", "kind": "x"}}, {"embed": {"apiVersion": "v1", "kind": "x",
        "metadata": {"name": "A B", "labels": {"a b": "c"}, "foo": 1}}},
    {"embed": {"apiVersion": "v1", "kind": "x", "metadata": 1}}, {"embed": {"apiVersion": "v1", "kind": "x",
        "metadata": {"name": 1}}}, {"embed": {"apiVersion": 1, "kind": 2}}, {"either": {}}, {"either": {"a": "1",
        "b": "2"}}, {"either": {"a": 1}}, {"anyof": {"a": 3}}, {"anyof": {"a": 7}}, {"anyof": {}}, {"nope": {"a": 1}},
    {"n": 200, "name": "A", "list": [], "deep": {}, "map": {"x": 0, "y": "t"}, "keyed": [{"k": "a", "v": "x"},
        {"v": 2}]}, 1, None, [], "x"]


def validation(d):
    p = rich(d)
    for spec in INVALID:
        body = {"apiVersion": f"{GROUP}/v1", "kind": "Rich", "metadata": {"name": "v"}, "spec": spec}
        d.ask("POST", p, body, label="POST")
        d.quiet("DELETE", f"{p}/v")
    for i, spec in enumerate(INVALID):
        d.quiet("POST", p, thing("Rich", f"v{i}"))
        d.ask("PATCH", f"{p}/v{i}", {"spec": spec}, type=MERGE, label="merge patch")
        body = {"apiVersion": f"{GROUP}/v1", "kind": "Rich", "metadata": {"name": f"w{i}"}, "spec": spec}
        d.ask("PATCH", f"{p}/w{i}?fieldManager=m&force=true", body, type=APPLY, label="apply")
        d.ask("PATCH", f"{p}/v{i}/status", {"status": spec}, type=MERGE, label="merge patch of status")


def deletes(d):
    p = rich(d)
    for i, options in enumerate((None, {}, {"propagationPolicy": "Foreground"}, {"propagationPolicy": "Background"},
        {"propagationPolicy": "Orphan"}, {"propagationPolicy": "x"}, {"orphanDependents": True},
        {"orphanDependents": True, "propagationPolicy": "Orphan"},
                                 {"gracePeriodSeconds": 0}, {"gracePeriodSeconds": -1}, {"gracePeriodSeconds": 30},
                                     {"gracePeriodSeconds": "x"}, {"dryRun": ["All"]}, {"dryRun": ["x"]},
                                     {"preconditions": {"uid": "x"}}, {"preconditions": {"resourceVersion": "1"}},
                                     {"preconditions": {"resourceVersion": "x"}},
                                 {"kind": "DeleteOptions", "apiVersion": "v1"}, {"kind": "DeleteOptions",
                                     "apiVersion": "peer.example.org/v1"}, {"kind": "Foo", "apiVersion": "v1"},
                                     {"kind": "DeleteOptions", "apiVersion": "nope/v1"}, {"foo": 1}, [], "x",
                                     {"ignoreStoreReadErrorWithClusterBreakingPotential": True},
                                 {"ignoreStoreReadErrorWithClusterBreakingPotential": True, "gracePeriodSeconds": 1})):
        d.quiet("POST", p, thing("Rich", f"d{i}"))
        d.ask("DELETE", f"{p}/d{i}", options, label="DELETE")
        d.ask("GET", f"{p}/d{i}", label="GET after DELETE")
    for query in ("propagationPolicy=Foreground", "propagationPolicy=x", "gracePeriodSeconds=0", "gracePeriodSeconds=x",
        "dryRun=All", "dryRun=x", "orphanDependents=true", "orphanDependents=x", "pretty=true"):
        d.quiet("POST", p, thing("Rich", "dq"))
        d.ask("DELETE", f"{p}/dq?{query}")
        d.ask("GET", f"{p}/dq", label=f"GET after DELETE {query}")
        d.quiet("PATCH", f"{p}/dq", [{"op": "remove", "path": "/metadata/finalizers"}], **{"Content-Type": JSONP})
    for text, kind in (("{", None), ("propagationPolicy: Background", "application/yaml"), ("{}", "text/plain"), ("x",
        None)):
        d.quiet("POST", p, thing("Rich", "db"))
        d.ask("DELETE", f"{p}/db", text, type=kind, label=f"DELETE as {kind}")
    d.quiet("POST", p, thing("Rich", "fin", {}, finalizers=["example.org/x"]))
    d.ask("DELETE", f"{p}/fin")
    d.ask("DELETE", f"{p}/fin", label="DELETE again")
    d.ask("GET", f"{p}/fin")
    d.ask("POST", p, thing("Rich", "fin"), label="POST beside a deleted one")
    d.ask("PATCH", f"{p}/fin", {"metadata": {"finalizers": ["example.org/x", "example.org/y"]}}, type=MERGE,
        label="add a finalizer while deleted")
    d.ask("PATCH", f"{p}/fin", {"spec": {"n": 9}}, type=MERGE, label="change while deleted")
    d.ask("PATCH", f"{p}/fin", {"metadata": {"deletionTimestamp": None}}, type=MERGE, label="clear the time")
    d.ask("PATCH", f"{p}/fin", {"metadata": {"finalizers": None}}, type=MERGE, label="end of finalizers")
    d.ask("GET", f"{p}/fin")
    d.ask("DELETE", f"{p}?labelSelector=x%3Dy", label="DELETE collection, none")
    for i in range(3):
        d.quiet("POST", p, thing("Rich", f"c{i}", {}, labels={"c": "d"},
            finalizers=["example.org/x"] if i == 1 else []))
    d.ask("DELETE", f"{p}?labelSelector=c%3Dd&dryRun=All", label="DELETE collection, dry run")
    d.ask("DELETE", f"{p}?labelSelector=c%3Dd&limit=1", label="DELETE collection, limit")
    d.ask("DELETE", f"{p}?labelSelector=c%3Dd", {"propagationPolicy": "x"}, label="DELETE collection, bad options")
    d.ask("DELETE", f"{p}?labelSelector=c%3Dd", {"preconditions": {"uid": "x"}},
        label="DELETE collection, preconditions")
    d.ask("DELETE", f"{p}?labelSelector=c%3Dd", label="DELETE collection")
    d.ask("GET", f"{p}?labelSelector=c%3Dd", label="what is left")
    d.ask("DELETE", f"{p}?labelSelector=-", label="DELETE collection, bad selector")
    d.ask("DELETE", f"{p}?fieldSelector=x%3Dy", label="DELETE collection, bad field")
    d.ask("DELETE", "/apis/peer.example.org/v1/riches", label="DELETE of all namespaces")


def watches(d):
    p = rich(d)
    for q in ("resourceVersion=x", "resourceVersionMatch=Exact", "resourceVersionMatch=NotOlderThan",
        "sendInitialEvents=true", "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        "sendInitialEvents=true&resourceVersionMatch=Exact", "sendInitialEvents=x",
              "sendInitialEvents=false",
                  "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
                  "fieldSelector=x%3Dy", "labelSelector=-", "fieldSelector=metadata.name%3Dw", "limit=1", "continue=x",
                  "resourceVersion=1", "resourceVersion=0", "", "resourceVersion=99999999", "timeoutSeconds=x",
                  "allowWatchBookmarks=1"):
        d.quiet("POST", p, thing("Rich", "w"))
        t = "" if "timeoutSeconds" in q else "&timeoutSeconds=1"
        d.ask("GET", f"{p}?watch=1&{q}{t}", label=f"watch {q}")
        if q in ("", "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"):
            for accept in (TABLE, PARTIAL, PARTIALS, "application/yaml", "application/json;stream=watch",
                "application/vnd.kubernetes.protobuf;stream=watch", "text/plain"):
                d.ask("GET", f"{p}?watch=1&{q}{t}", accept=accept, label=f"watch {q} as {accept}")
    d.ask("GET", f"{p}/w?watch=1&timeoutSeconds=1", label="watch of a name")
    d.ask("GET", f"/apis/{GROUP}/v1/watch/namespaces/a/riches?timeoutSeconds=1", label="old watch path")
    d.ask("GET", f"/apis/{GROUP}/v1/watch/riches/w?timeoutSeconds=1", label="old watch path 2")
    d.ask("GET", f"{p}/w")
    d.keep(rv="metadata.resourceVersion")
    d.quiet("PATCH", f"{p}/w", {"metadata": {"labels": {"in": "1"}}}, **{"Content-Type": MERGE})
    d.quiet("PATCH", f"{p}/w", {"metadata": {"labels": {"in": "2"}}}, **{"Content-Type": MERGE})
    d.quiet("PATCH", f"{p}/w", {"spec": {"mode": "b"}}, **{"Content-Type": MERGE})
    d.quiet("DELETE", f"{p}/w")
    for q in ("", "labelSelector=in%3D1", "labelSelector=!in", "fieldSelector=spec.mode%3Db",
        "fieldSelector=spec.mode%3D"):
        d.ask("GET", f"{p}?watch=1&resourceVersion=<rv>&timeoutSeconds=1&{q}", label=f"watch from a revision {q}")
        d.ask("GET", f"{p}?watch=1&resourceVersion=<rv>&timeoutSeconds=1&{q}",
            label=f"watch from a revision {q} as Table", accept=TABLE)


def pages(d):
    p = rich(d)
    other = establish(d, definition("others", "Other", {"type": "object",
        "x-kubernetes-preserve-unknown-fields": True}))
    for i in range(5):
        d.quiet("POST", p, thing("Rich", f"p{i}", labels={"p": "q"}))
        d.quiet("POST", other, thing("Other", f"p{i}"))
    d.ask("GET", f"{p}?limit=2")
    d.keep(token="metadata.continue")
    d.ask("GET", f"{p}?limit=2&continue=<token>", label="second page")
    d.ask("GET", f"{other}?limit=2&continue=<token>", label="a token of another resource")
    d.ask("GET", f"{p}?limit=2&continue=<token>&labelSelector=p%3Dq", label="a token with another selector")
    d.ask("GET", f"{p}?limit=2&continue=<token>&resourceVersion=1", label="a token with a revision")
    d.ask("GET", f"{p}?limit=2&continue=<token>&resourceVersion=0", label="a token with revision 0")
    d.ask("GET", f"{p}?limit=2&continue=<token>&resourceVersionMatch=Exact", label="a token with a match")
    d.ask("GET", f"/apis/{GROUP}/v1/namespaces/b/riches?limit=2&continue=<token>", label="a token in another namespace")
    d.ask("GET", f"/apis/{GROUP}/v1/riches?limit=2&continue=<token>", label="a token in all namespaces")
    d.ask("GET", f"{p}?limit=2&labelSelector=p%3Dq", label="page with a selector")
    d.ask("GET", f"{p}?limit=100")
    d.ask("GET", f"{p}?limit=2", accept=TABLE, label="Table page")
    d.ask("GET", f"{p}?limit=2", accept=PARTIALS, label="metadata page")
    d.ask("GET", f"{p}?limit=2&resourceVersion=0", label="page of revision 0")


def statuses(d):
    p = rich(d)
    d.ask("POST", p, {**thing("Rich", "s"), "status": {"replicas": 3}}, label="POST with status")
    d.ask("PUT", f"{p}/s/status", {**thing("Rich", "s", {"n": 50}, labels={"x": "y"}, annotations={"x": "y"}),
        "status": {"replicas": 2, "phase": "P", "selector": "a=b", "foo": 1}}, label="PUT status")
    d.ask("PATCH", f"{p}/s/status", {"status": {"phase": "Q"}, "spec": {"n": 1}, "metadata": {"labels": {"z": "z"},
        "finalizers": ["a/b"]}}, type=MERGE, label="merge status")
    d.ask("PATCH", f"{p}/s/status", [{"op": "replace", "path": "/status/phase", "value": "R"}], type=JSONP,
        label="JSON patch status")
    d.ask("PATCH", f"{p}/s/status?fieldManager=m", {"apiVersion": f"{GROUP}/v1", "kind": "Rich",
        "status": {"phase": "S"}}, type=APPLY, label="apply status conflict")
    d.ask("PATCH", f"{p}/s/status?fieldManager=m&force=true", {"apiVersion": f"{GROUP}/v1", "kind": "Rich",
        "metadata": {"labels": {"l": "m"}}, "spec": {"n": 2}, "status": {"phase": "S"}}, type=APPLY,
        label="apply status force")
    d.ask("PATCH", f"{p}/none/status?fieldManager=m&force=true", {"apiVersion": f"{GROUP}/v1", "kind": "Rich",
        "status": {"phase": "S"}}, type=APPLY, label="apply status of none")
    d.ask("PATCH", f"{p}/s/status", {"status": None}, type=MERGE, label="status null")
    d.ask("PUT", f"{p}/s", {**thing("Rich", "s", {"n": 9}), "status": {"replicas": 99}}, label="PUT with status")
    d.ask("DELETE", f"{p}/s/status")
    d.ask("POST", f"{p}/s/status", {})
    d.quiet("PATCH", f"{p}/s/status", {"status": {"replicas": 4, "selector": "a=b"}}, **{"Content-Type": MERGE})
    d.ask("GET", f"{p}/s/scale")
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "s", "namespace": "a"},
        "spec": {"replicas": 11}}
    d.ask("PUT", f"{p}/s/scale", scale, label="PUT scale")
    d.ask("PUT", f"{p}/s/scale?dryRun=All", scale, label="PUT scale dry run")
    d.ask("PUT", f"{p}/s/scale", {**scale, "spec": {"replicas": -1}}, label="PUT scale -1")
    d.ask("PUT", f"{p}/s/scale", {**scale, "spec": {"replicas": 101}}, label="PUT scale too many")
    d.ask("PUT", f"{p}/s/scale", {**scale, "spec": {"replicas": "x"}}, label="PUT scale text")
    d.ask("PUT", f"{p}/s/scale", {**scale, "spec": {}}, label="PUT scale nothing")
    d.ask("PUT", f"{p}/s/scale", {**scale, "metadata": {"name": "t", "namespace": "a"}}, label="PUT scale other name")
    d.ask("PUT", f"{p}/s/scale", {**scale, "metadata": {"name": "s", "namespace": "a", "resourceVersion": "1"}},
        label="PUT scale conflict")
    d.ask("PUT", f"{p}/s/scale", thing("Rich", "s"), label="PUT scale of another kind")
    d.ask("PATCH", f"{p}/s/scale", {"spec": {"replicas": 12}}, type=MERGE, label="merge scale")
    d.ask("PATCH", f"{p}/s/scale", [{"op": "replace", "path": "/spec/replicas", "value": 13}], type=JSONP,
        label="JSON patch scale")
    d.ask("PATCH", f"{p}/s/scale", {"spec": {"replicas": 14}}, type=STRATEGIC, label="strategic scale")
    d.ask("PATCH", f"{p}/s/scale?fieldManager=sm", {**scale, "spec": {"replicas": 15}}, type=APPLY,
        label="apply scale conflict")
    d.ask("PATCH", f"{p}/s/scale?fieldManager=sm&force=true", {**scale, "spec": {"replicas": 15}}, type=APPLY,
        label="apply scale force")
    d.ask("PATCH", f"{p}/s/scale", {"foo": 1}, type=MERGE, label="merge scale unknown")
    d.ask("GET", f"{p}/s")


def applies(d):
    p = rich(d)

    def apply(manager, spec, force="", label="", **meta):
        d.ask("PATCH", f"{p}/ap?fieldManager={manager}{force}", thing("Rich", "ap", spec, **meta), type=APPLY,
            label=f"apply {label or json.dumps(spec)[:70]} by {manager}{force}")
    apply("one", FULL, labels={"a": "b"})
    apply("one", FULL, labels={"a": "b"}, label="unchanged")
    apply("two", {"n": 8, "name": "xyz", "list": ["z"], "keyed": [{"k": "b", "v": 9}, {"k": "c"}], "map": {"a": 3,
        "b": 2}, "uniq": ["b", "c"], "atom": {"b": "2"}})
    apply("two", {"n": 7, "keyed": [{"k": "b", "v": 1}], "map": {"a": 1}})
    apply("two", {"n": 8, "name": "xyz", "list": ["z"], "keyed": [{"k": "b", "v": 9}, {"k": "c"}], "map": {"a": 3,
        "b": 2}, "uniq": ["b", "c"], "atom": {"b": "2"}}, "&force=true")
    apply("one", {"n": 7})
    apply("two", {})
    d.ask("PATCH", f"{p}/ap", {"spec": {"n": 44}}, type=MERGE, label="merge beside", User_Agent="agent/1.0 (x)")
    apply("one", {"n": 45})
    apply("one", {"n": 45}, "&force=x")
    apply("", {"n": 45})
    d.ask("PATCH", f"{p}/ap?fieldManager=one", {"apiVersion": f"{GROUP}/v1", "kind": "Rich",
        "metadata": {"name": "ap"}}, type=APPLY, label="apply without spec")
    d.ask("PATCH", f"{p}/ap?fieldManager=one", {"kind": "Rich", "metadata": {"name": "ap"}}, type=APPLY,
        label="apply without apiVersion")
    d.ask("PATCH", f"{p}/ap?fieldManager=one", {"apiVersion": f"{GROUP}/v1", "metadata": {"name": "ap"}}, type=APPLY,
        label="apply without kind")
    d.ask("PATCH", f"{p}/ap?fieldManager=one", {"apiVersion": f"{GROUP}/v2", "kind": "Rich",
        "metadata": {"name": "ap"}}, type=APPLY, label="apply of v2")
    d.ask("PATCH", f"{p}/ap?fieldManager=one", {"apiVersion": f"{GROUP}/v1", "kind": "Poor",
        "metadata": {"name": "ap"}}, type=APPLY, label="apply of Poor")
    d.ask("PATCH", f"{p}/ap?fieldManager=one&dryRun=All", thing("Rich", "ap", {"n": 46}), type=APPLY,
        label="apply dry run")
    d.ask("PUT", f"{p}/ap?fieldManager=upd", thing("Rich", "ap", {"n": 3, "keyed": [{"k": "q", "v": 1}]}),
        label="PUT after")
    apply("three", {"keyed": [{"k": "q", "v": 2}]})
    apply("three", {"keyed": [{"k": "q", "w": "2"}]})
    d.ask("PATCH", f"{p}/ap?fieldManager=pm", {"spec": {"keyed": None}}, type=MERGE, label="remove keyed")
    d.ask("PATCH", f"{p}/ap", {"metadata": {"managedFields": [{}]}}, type=MERGE, label="reset managedFields")
    apply("four", {"n": 3})


def discovery(d):
    rich(d)
    agg = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    keep = [r"APIs?Group"]
    for path in (f"/apis/{GROUP}", f"/apis/{GROUP}/v1"):
        for accept in ("application/json", "application/yaml", TABLE, agg, "text/plain",
            "application/vnd.kubernetes.protobuf"):
            d.ask("GET", path, accept=accept, label=f"GET {path} as {accept}", ignore=keep)
    d.ask("GET", "/apis", accept=agg, label="aggregated discovery of all")
    ours, theirs = ({g["metadata"]["name"]: g for g in (a.json() or {}).get("items", [])} for a in d.answers)
    for a, side in zip(d.answers, (ours, theirs)):
        a.text = json.dumps(side.get(GROUP)).encode()
    d.compare("aggregated discovery of the group", None, ())
    for path in (f"/openapi/v3/apis/{GROUP}/v1",):
        for _ in range(100):
            if all(a.status == 200 for a in d.quiet("GET", path)):
                break
            time.sleep(0.1)
        ours, theirs = d.answers
        a, b = ours.json() or {}, theirs.json() or {}
        for part in ("paths", "components"):
            for x, y in zip(d.answers, (a, b)):
                x.text = json.dumps(y.get(part)).encode()
            d.compare(f"OpenAPI v3 {part}", None, [r"header"])
    for _ in range(100):
        d.quiet("GET", "/openapi/v2")
        both = [a.json() or {} for a in d.answers]
        if all(any("riches" in k for k in b.get("paths", {})) for b in both):
            break
        time.sleep(0.1)
    for part, word in (("paths", f"/{GROUP}/"), ("definitions", "org.example.peer")):
        for x, y in zip(d.answers, both):
            x.text = json.dumps({k: v for k, v in y.get(part, {}).items() if word in k}).encode()
        d.compare(f"OpenAPI v2 {part}", None, [r"header"])


def rules(d):
    spec = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "s": {"type": "string",
        "maxLength": 20, "x-kubernetes-validations": [
        {"rule": "self.startsWith('x')", "message": "must start with x", "reason": "FieldValueForbidden"}]},
        "l": {"type": "array", "maxItems": 5, "items": {"type": "object", "properties": {"v": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.v > 0"}]}},
        "m": {"type": "object", "maxProperties": 5, "additionalProperties": {"type": "integer",
            "x-kubernetes-validations": [{"rule": "self < 10", "messageExpression": "self > 11 ? 'too big' : 'big'"}]}},
        "imm": {"type": "string", "maxLength": 10, "x-kubernetes-validations": [{"rule": "self == oldSelf",
            "message": "cannot change"}]},
        "once": {"type": "string", "maxLength": 10,
            "x-kubernetes-validations": [{"rule": "!oldSelf.hasValue() || self == oldSelf.value()",
            "optionalOldSelf": True, "message": "only once"}]}},
        "x-kubernetes-validations": [{"rule": "!has(self.a) || !has(self.b) || self.a <= self.b",
            "message": "a must not exceed b", "fieldPath": ".a", "reason": "FieldValueInvalid"},
                                     {"rule": "!has(self.a) || 10 / self.a > 0",
                                         "messageExpression": "self.a > 0 ? 'small' : 'division'"},
                                     {"rule": "!has(self.b) || self.b != 66", "reason": "FieldValueRequired",
                                         "message": "not 66"}, {"rule": "!has(self.b) || self.b != 67",
                                         "reason": "FieldValueDuplicate"}]}
    p = establish(d, definition("rules", "Ruled", spec))
    for value in ({}, {"a": 2, "b": 1}, {"a": 0}, {"a": 11}, {"b": 66}, {"b": 67}, {"s": "y"}, {"s": "xy"}, {"s": 5},
        {"l": [{"v": 0}, {}, {"v": 1}]}, {"m": {"k": 10, "z/y": 11, "q": 1}}, {"a": 2, "b": 1, "s": "q",
        "m": {"k": 12}}):
        d.ask("POST", p, thing("Ruled", "r", value), label="POST")
        d.quiet("DELETE", f"{p}/r")
    d.quiet("POST", p, thing("Ruled", "r", {"imm": "a", "once": "b"}))
    for value in ({"imm": "b"}, {"once": "c"}, {"imm": None}, {"imm": "z"}, {"once": None}, {"a": 5, "b": 4}):
        d.ask("PATCH", f"{p}/r", {"spec": value}, type=MERGE, label="merge patch")
    broken = ["self.nope > 0", "self.a +", "self.a", "1", "self.a > 'x'", "self.all(x, true)",
        "size(self.big) > 0 && self.big.all(x, self.big.all(y, self.big.all(z, x + y == z)))", "", " ", "oldSelf.a > 0",
        "foo()", "self.s.matches('[')", "has(self)", "self.a == self.a\n",
              "self.map(x, x)", "type(self) == string", "self.?a.orValue(1) > 0", "duration(self.s) > duration('1s')",
                  "self.s in ['a', 1]", "quantity(self.s).isGreaterThan(quantity('1'))"]
    for i, rule in enumerate(broken):
        s = {"type": "object", "properties": {"a": {"type": "integer"}, "s": {"type": "string"},
            "big": {"type": "array", "items": {"type": "string"}}}, "x-kubernetes-validations": [{"rule": rule}]}
        d.ask("POST", CRDS, definition(f"broken{i}", f"Broken{i}", s), label=f"CRD with rule {rule}",
            ignore=[r"^\.status", r"managedFields"])
    for i, extra in enumerate(({"message": ""}, {"message": "a\nb"}, {"reason": "Foo"}, {"fieldPath": "a"},
        {"fieldPath": ".nope"}, {"fieldPath": ".a[0]"}, {"fieldPath": ".l[0]"}, {"messageExpression": "1"},
        {"messageExpression": "self.nope"}, {"messageExpression": ""}, {"optionalOldSelf": True},
        {"message": "x" * 3000}, {"foo": 1}, {"fieldPath": ".a", "reason": "FieldValueInvalid", "message": "m"})):
        s = {"type": "object", "properties": {"a": {"type": "integer"}, "l": {"type": "array",
            "items": {"type": "string"}}}, "x-kubernetes-validations": [{"rule": "true", **extra}]}
        d.ask("POST", CRDS, definition(f"extra{i}", f"Extra{i}", s), label="CRD with a rule's fields",
            ignore=[r"^\.status", r"managedFields"])


def rules_more(d):
    """Details of rules: messages that cannot be used, paths, old values, what did not change, odd places."""
    rule = lambda text, **more: {"rule": text, **more}
    text = lambda *rules, **more: {"type": "string", "maxLength": 40, "x-kubernetes-validations": list(rules), **more}
    spec = {"type": "object", "properties": {
        # messageExpression: an error, an empty text, blanks, more than a line, too long, with a message beside it
        "err": text(rule("self == 'x'", messageExpression="[self][3]")),
        "errm": text(rule("self == 'x'", messageExpression="[self][3]", message="the message")),
        "empty": text(rule("self == 'x'", messageExpression="''")),
        "emptym": text(rule("self == 'x'", messageExpression="''", message="the message")),
        "blank": text(rule("self == 'x'", messageExpression="'  '")),
        "lines": text(rule("self == 'x'", messageExpression="'a\\nb'", message="the message")),
        "trim": text(rule("self == 'x'", messageExpression="'  kept ' + self + '  '")),
        "old": text(rule("self == oldSelf", messageExpression="'was ' + oldSelf + ', is ' + self")),
        "opt": text(rule("!oldSelf.hasValue() || self == oldSelf.value()", optionalOldSelf=True,
                         messageExpression="oldSelf.hasValue() ? 'there was one' : 'nothing'")),
        "optfalse": text(rule("self == oldSelf", optionalOldSelf=False)),
        "dup": text(rule("self == 'x'", reason="FieldValueDuplicate", message="twice")),
        "multi": text(rule(" self\n == 'x' ", message="two lines")),
        "dflt": {"type": "string", "default": "d", "x-kubernetes-validations": [rule("self != 'n'")]},
        "nul": {"type": "integer", "nullable": True, "x-kubernetes-validations": [rule("self > 3")]},
        "nested": {"type": "object", "properties": {"a-b": {"type": "object", "properties": {"c": {"type": "string"},
                   "list": {"type": "array", "maxItems": 5, "items": {"type": "string"}},
                   "m": {"type": "object", "additionalProperties": {"type": "string"}}}}},
                   "x-kubernetes-validations": [
                       rule("!has(self.a__dash__b) || !has(self.a__dash__b.c) || self.a__dash__b.c != 'no'",
                            fieldPath="['a-b'].c", message="c"),
                       rule("!has(self.a__dash__b) || !has(self.a__dash__b.m) || !('k' in self.a__dash__b.m)",
                            fieldPath="['a-b'].m", message="m")]},
        "keyed": {"type": "array", "maxItems": 5, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                  "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string", "maxLength": 10},
                            "v": {"type": "integer", "x-kubernetes-validations": [rule("self == oldSelf", message="fixed"),
                                                                                  rule("self < 10")]}}}},
        "set": {"type": "array", "maxItems": 5, "x-kubernetes-list-type": "set", "items": {"type": "string", "maxLength": 10},
                "x-kubernetes-validations": [rule("oldSelf.all(x, x in self)", message="may only grow"), rule("self == ['b', 'a'] || self.size() != 2")]},
        "plain": {"type": "array", "maxItems": 5, "items": {"type": "object", "properties": {"v": {
            "type": "integer", "x-kubernetes-validations": [rule("self < 10")]}}}},
        "map": {"type": "object", "maxProperties": 5, "additionalProperties": {"type": "integer", "x-kubernetes-validations": [
            rule("self < 10"), rule("self >= oldSelf", message="may only grow")]}},
        "ios": {"x-kubernetes-int-or-string": True, "x-kubernetes-validations": [rule("type(self) == string ? self != 'no' : self < 10")]},
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"known": {"type": "integer"}},
                "x-kubernetes-validations": [rule("!has(self.known) || self.known < 10")]},
        "date": {"type": "string", "format": "date-time", "x-kubernetes-validations": [rule("self > timestamp('2020-01-01T00:00:00Z')")]},
        "dur": {"type": "string", "format": "duration", "x-kubernetes-validations": [rule("self > duration('1m')")]},
        "bytes": {"type": "string", "format": "byte", "maxLength": 40, "x-kubernetes-validations": [rule("self.size() < 3")]},
        "half": {"type": "number", "x-kubernetes-validations": [rule("self < 1.5")]},
        "e": {"type": "string", "enum": ["x", "y"], "x-kubernetes-validations": [rule("self == oldSelf")]}},
        "allOf": [{"properties": {"err": {"maxLength": 3}}}],
        "x-kubernetes-validations": [rule("!has(self.dup) || self.dup != 'root'", reason="FieldValueForbidden", fieldPath=".dup")]}
    p = establish(d, definition("mores", "More", spec))
    new = [{k: v} for k in ("err", "errm", "empty", "emptym", "blank", "lines", "trim", "old", "opt", "optfalse", "dup", "multi")
           for v in ("x", "y")]
    new += [{"dflt": "n"}, {}, {"nul": None}, {"nul": 2}, {"nested": {"a-b": {"c": "no"}}}, {"nested": {"a-b": {"m": {"k": "v"}}}},
            {"keyed": [{"k": "a", "v": 11}, {"k": "b", "v": 1}]}, {"set": ["a", "b"]}, {"set": ["a"]}, {"plain": [{"v": 1}, {"v": 12}]},
            {"map": {"a": 1, "b.c": 12}}, {"ios": "no"}, {"ios": 12}, {"ios": 1}, {"any": {"known": 12, "more": 1}},
            {"date": "2019-01-01T00:00:00Z"}, {"date": "2021-01-01T00:00:00Z"}, {"dur": "30s"}, {"dur": "2m"}, {"bytes": "YWJjZA=="},
            {"half": 1.5}, {"half": 1}, {"e": "x"}, {"err": "abcd"}, {"dup": "root"}, {"err": 5, "dup": "y"}, {"e": "z", "dup": "y"}]
    for i, s in enumerate(new):
        d.ask("POST", p, thing("More", f"n{i}", s), label=f"a new object {s}")
    changes = [({"old": "a"}, {"old": "b"}), ({"opt": "a"}, {"opt": "b"}), ({"optfalse": "a"}, {"optfalse": "b"}), ({}, {"opt": "a"}), ({"opt": "a"}, {}),
               ({"keyed": [{"k": "a", "v": 1}, {"k": "b", "v": 2}]}, {"keyed": [{"k": "b", "v": 2}, {"k": "a", "v": 3}]}),
               ({"keyed": [{"k": "a", "v": 1}]}, {"keyed": [{"k": "c", "v": 1}]}), ({"set": ["a"]}, {"set": ["b"]}), ({"set": ["a"]}, {"set": ["b", "a"]}),
               ({"plain": [{"v": 1}]}, {"plain": [{"v": 20}, {"v": 1}]}), ({"map": {"a": 5}}, {"map": {"a": 4}}), ({"e": "x"}, {"e": "y"})]
    for i, (a, b) in enumerate(changes):
        d.ask("POST", p, thing("More", f"c{i}", a), label="an object to be changed")
        d.ask("PATCH", f"{p}/c{i}", {"spec": {**{k: None for k in a}, **b}}, type=MERGE, label=f"{a} becomes {b}")
    # What breaks rules that came later
    bad = {"dup": "bad", "keyed": [{"k": "a", "v": 30}], "plain": [{"v": 30}], "map": {"a": 30}, "nested": {"a-b": {"c": "no"}}}
    loose = json.loads(json.dumps(spec).replace("x-kubernetes-validations", "x-none"))
    loose = strip_none(loose)
    q = establish(d, definition("laters", "Later", loose))
    d.ask("POST", q, thing("Later", "l", {**bad, "err": "y"}), label="an object before the rules")
    crd = definition("laters", "Later", spec)
    d.ask("PATCH", f"{CRDS}/{crd['metadata']['name']}", [{"op": "replace", "path": "/spec/versions/0/schema",
          "value": crd["spec"]["versions"][0]["schema"]}], type="application/json-patch+json", label="the rules come")
    time.sleep(2)
    for what in ({"errm": "x"}, {"dup": "worse"}, {"keyed": [{"k": "a", "v": 30}, {"k": "b", "v": 1}]}, {"keyed": [{"k": "a", "v": 31}]},
                 {"plain": [{"v": 30}, {"v": 1}]}, {"plain": [{"v": 1}, {"v": 30}]}, {"map": {"b": 1}}, {"map": {"a": 31}},
                 {"nested": {"a-b": {"list": ["x"]}}}, {"err": "z"}):
        d.ask("PATCH", f"{q}/l?dryRun=All", {"spec": what}, type=MERGE, label=f"with old breaches {what}")
    places = [{"allOf": [{"x-kubernetes-validations": [rule("true")]}]}, {"not": {"x-kubernetes-validations": [rule("true")]}},
              {"anyOf": [{"properties": {"a": {"x-kubernetes-validations": [rule("true")]}}}]},
              {"allOf": [{"properties": {"a": {"x-kubernetes-validations": [rule("true")]}}}]},
              {"properties": {"a": {"type": "string", "x-kubernetes-validations": [rule("true", fieldPath=".a")]}}},
              {"x-kubernetes-validations": [rule("true", fieldPath=".none")]}, {"x-kubernetes-validations": [rule("true", fieldPath="a")]},
              {"x-kubernetes-validations": [rule("true", reason="Other")]}, {"x-kubernetes-validations": [rule("true", message=" ")]},
              {"x-kubernetes-validations": [rule("true", message="a\nb")]}, {"x-kubernetes-validations": [rule("true", messageExpression="5")]},
              {"x-kubernetes-validations": [rule("true", messageExpression="self.none")]}, {"x-kubernetes-validations": [rule(" ")]},
              {"x-kubernetes-validations": [rule("a\nb")]}, {"x-kubernetes-validations": [rule("true", optionalOldSelf=True)]},
              {"x-kubernetes-validations": [rule("self == oldSelf"), rule("oldSelf.hasValue()", optionalOldSelf=True)]},
              {"properties": {"l": {"type": "array", "items": {"type": "string", "x-kubernetes-validations": [rule("self == oldSelf")]}}}},
              {"properties": {"l": {"type": "array", "items": {"type": "string", "x-kubernetes-validations": [
                  rule("oldSelf.hasValue()", optionalOldSelf=True)]}}}},
              {"properties": {"l": {"type": "string", "x-kubernetes-validations": [rule("true", x=1)]}}},
              {"properties": {"l": {"type": "string", "x-kubernetes-validations": [{"message": "m"}]}}}]
    for i, place in enumerate(places):
        d.ask("POST", CRDS, definition(f"places{i}", f"Place{i}", {"type": "object", **place}), label=f"a definition with {place}",
              ignore=[r"^\.status", r"managedFields"])


def strip_none(v):
    """Without the key x-none."""
    if isinstance(v, dict):
        return {k: strip_none(x) for k, x in v.items() if k != "x-none"}
    return [strip_none(x) for x in v] if isinstance(v, list) else v


def top_level(d):
    """Objects outside of spec, cluster scope, two versions, no schema for most."""
    crd = definition("tops", "Top", {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        top={"scope": "Cluster"})
    v = crd["spec"]["versions"][0]
    crd["spec"]["versions"] = [v, {**v, "name": "v1beta1", "storage": False, "deprecated": True}, {**v,
        "name": "v1alpha1", "storage": False, "deprecated": True, "deprecationWarning": "go away"}, {**v, "name": "v0",
        "storage": False, "served": False}]
    p = establish(d, crd)
    d.ask("POST", p, thing("Top", "t", {"x": {"y": [None, {"a": None}]}, "f": 1.0, "e": 1e21, "s": "é\u2028<&>"}))
    for version in ("v1", "v1beta1", "v1alpha1", "v0"):
        d.ask("GET", f"/apis/{GROUP}/{version}/tops")
        d.ask("GET", f"/apis/{GROUP}/{version}/tops/t")
        d.ask("GET", f"/apis/{GROUP}/{version}/tops/t", accept=TABLE, label=f"Table {version}")
        d.ask("PATCH", f"/apis/{GROUP}/{version}/tops/t?fieldManager={version}",
            {"metadata": {"labels": {version: "x"}}}, type=MERGE, label=f"merge {version}")
    d.ask("POST", f"/apis/{GROUP}/v1/namespaces/a/tops", thing("Top", "t2"),
        label="POST of cluster scope into a namespace")
    d.ask("GET", f"/apis/{GROUP}/v1/namespaces/a/tops", label="GET of cluster scope in a namespace")
    d.ask("POST", p, thing("Top", "t3", {}, namespace="a"), label="POST with a namespace")
    d.ask("PUT", f"{p}/t", {**thing("Top", "t", {"x": 1}), "extra": {"a": 1}}, label="PUT with a key beside spec")
    d.ask("GET", f"/apis/{GROUP}")
    d.ask("GET", f"/apis/{GROUP}/v1beta1")
    d.ask("GET", f"{CRDS}/tops.{GROUP}", ignore=[r"managedFields", r"\.status\.conditions"])
    d.ask("GET", f"{CRDS}/tops.{GROUP}", accept=TABLE, label="Table of a CRD", ignore=[r"\.rows\[0\]\.object",
        r"cells\[1\]"])
    d.ask("GET", f"{CRDS}/tops.{GROUP}/status", ignore=[r"managedFields", r"\.status\.conditions"])
    d.ask("GET", f"{CRDS}/none.{GROUP}")
    d.ask("GET", f"{CRDS}/tops.{GROUP}/scale")
    for patch in ({"spec": {"scope": "Namespaced"}}, {"spec": {"group": "x.y"}},
        {"spec": {"names": {"plural": "foos"}}}, {"spec": {"names": {"kind": "Foo"}}}, {"spec": {"versions": []}},
        {"spec": {"versions": None}},
                  {"spec": {"versions": [{"name": "v2", "served": True, "storage": True}]}},
                      {"spec": {"versions": [{**v, "name": "v2"}]}}, {"spec": {"versions": [v, v]}},
                      {"spec": {"versions": [{**v, "storage": False}]}},
                  {"spec": {"preserveUnknownFields": True}}, {"spec": {"conversion": {"strategy": "Webhook"}}},
                      {"spec": {"conversion": {"strategy": "x"}}}, {"spec": {"conversion": None}},
                      {"metadata": {"name": "x"}}, {"status": {"storedVersions": []}},
                      {"spec": {"names": {"shortNames": ["A B"]}}}):
        d.ask("PATCH", f"{CRDS}/tops.{GROUP}", patch, type=MERGE, label="merge patch of a CRD",
            ignore=[r"managedFields", r"^\.status\.(conditions|acceptedNames)"])
    for patch in ({"status": {"storedVersions": []}}, {"status": {"storedVersions": ["v1", "nope"]}},
        {"status": {"storedVersions": ["v1beta1"]}}, {"status": {"storedVersions": ["v1", "v0"]}}):
        d.ask("PATCH", f"{CRDS}/tops.{GROUP}/status", patch, type=MERGE, label="merge patch of a CRD's status",
            ignore=[r"managedFields", r"^\.status\.(conditions|acceptedNames)"])


def definitions(d):
    """Broken CRDs, by hand."""
    def post(label, change, schema=None, version=None):
        crd = definition("bads", "Bad", schema or {"type": "object"}, version)
        change(crd)
        d.ask("POST", CRDS, crd, label=f"CRD: {label}", ignore=[r"^\.status\.(conditions|acceptedNames)",
            r"managedFields"])
        d.quiet("DELETE", f"{CRDS}/bads.{GROUP}")
        for _ in range(100):
            if all(a.status == 404 for a in d.quiet("GET", f"{CRDS}/bads.{GROUP}")):
                break
            time.sleep(0.02)

    def setter(path, value):
        def change(crd):
            at, parts = crd, path.split(".")
            for part in parts[:-1]:
                at = at[int(part)] if part.isdigit() else at[part]
            last = int(parts[-1]) if parts[-1].isdigit() else parts[-1]
            if value is KeyError:
                del at[last]
            else:
                at[last] = value
        return change

    for path, values in (("metadata.name", ("x", "bads", f"Bads.{GROUP}")), ("spec.group", ("", "x", "UP.x",
        "a.b.k8s.io", KeyError)), ("spec.scope", ("", "x", KeyError)), ("spec.names.plural", ("", "BADS", KeyError,
        "b.c")),
                         ("spec.names.kind", ("", "bad kind", "bad", KeyError, "1Bad")), ("spec.names.singular", ("",
                             "BAD", "a b")), ("spec.names.listKind", ("", "x", "Bad", "a b", KeyError)),
                             ("spec.names.shortNames", ([""], ["A"], ["a", "a"], [])),
                         ("spec.names.categories", ([""], ["A"], ["a", "a"])), ("spec.versions", ([], KeyError, None,
                             [1])), ("spec.versions.0.name", ("", "V1", "1", "v1.1", "x" * 64, KeyError)),
                             ("spec.versions.0.served", (False, KeyError, "x")), ("spec.versions.0.storage", (False,
                             KeyError)),
                         ("spec.versions.0.schema", (KeyError, {}, {"openAPIV3Schema": {}},
                             {"openAPIV3Schema": {"type": "string"}}, {"openAPIV3Schema": {"type": "object",
                             "properties": {"metadata": {"type": "string"}}}}, {"openAPIV3Schema": {"type": "object",
                             "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string",
                             "maxLength": 5}, "labels": {"type": "object"}}}}}},
                                                     {"openAPIV3Schema": {"type": "object",
                                                         "properties": {"apiVersion": {"type": "integer"}}}},
                                                         {"openAPIV3Schema": {"type": "object",
                                                         "x-kubernetes-preserve-unknown-fields": True}},
                                                         {"openAPIV3Schema": {"type": "object",
                                                         "x-kubernetes-preserve-unknown-fields": False}},
                                                         {"openAPIV3Schema": {"type": "object", "required": ["spec",
                                                         "nope"]}})),
                         ("spec.versions.0.deprecationWarning", ("x",)), ("spec.versions.0.subresources", ({},
                             {"status": {"x": 1}}, {"scale": {}}, {"scale": {"specReplicasPath": "spec.n",
                             "statusReplicasPath": ".status.x"}}, {"scale": {"specReplicasPath": ".spec.n[0]",
                             "statusReplicasPath": ".spec.x"}}, {"scale": {"specReplicasPath": ".spec.n",
                             "statusReplicasPath": ".status.n", "labelSelectorPath": "status.x"}})),
                         ("spec.versions.0.additionalPrinterColumns", ([{}], [{"name": "", "type": "string",
                             "jsonPath": ".x"}], [{"name": "a", "type": "foo", "jsonPath": ".x"}], [{"name": "a",
                             "type": "string", "jsonPath": ""}], [{"name": "a", "type": "string", "jsonPath": "x"}],
                             [{"name": "a", "type": "string", "jsonPath": ".x["}], [{"name": "a", "type": "integer",
                             "format": "foo", "jsonPath": ".x"}],
                                                                       [{"name": "a", "type": "string",
                                                                           "jsonPath": ".spec..x"}], [{"name": "a",
                                                                           "type": "string",
                                                                           "jsonPath": ".spec.x[?(@.y)]"}],
                                                                           [{"name": "a", "type": "string",
                                                                           "jsonPath": ".spec.x[?(@.y==)]"}],
                                                                           [{"name": "a", "type": "date",
                                                                           "jsonPath": ".spec['x']"}], [{"name": "a",
                                                                           "type": "string", "jsonPath": "{.x}"}])),
                         ("spec.versions.0.selectableFields", ([{"jsonPath": ".spec.nope"}], [{"jsonPath": "spec.a"}],
                             [{"jsonPath": ""}], [{}], [{"jsonPath": ".metadata.name"}], [{"jsonPath": ".spec"}],
                             [{"jsonPath": ".status.phase"}, {"jsonPath": ".status.phase"}],
                             [{"jsonPath": ".status.phase"}, {"jsonPath": ".status.replicas"}])),
                         ("spec.preserveUnknownFields", (True, False, "x")), ("spec.conversion", ({}, {"strategy": ""},
                             {"strategy": "x"}, {"strategy": "None", "webhook": {}}, {"strategy": "Webhook"},
                             {"strategy": "Webhook", "webhook": {}}, {"strategy": "Webhook",
                             "webhook": {"conversionReviewVersions": [], "clientConfig": {}}}, {"strategy": "Webhook",
                             "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "http://x"}}},
                             {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v9"],
                             "clientConfig": {"url": "https://x"}}}, {"strategy": "Webhook",
                             "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://x",
                             "service": {"name": "a", "namespace": "b"}}}}, {"strategy": "Webhook",
                             "webhook": {"conversionReviewVersions": ["v1", "v1"],
                             "clientConfig": {"service": {"name": "", "namespace": "", "port": 0, "path": "x"}}}},
                             {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"],
                             "clientConfig": {"url": "https://u:p@x/?q#f", "caBundle": "eA=="}}})),
                         ("spec.foo", (1,)), ("metadata.annotations", ({"api-approved.kubernetes.io": "x"},))):
        for value in values:
            post(f"{path}={'absent' if value is KeyError else json.dumps(value)[:100]}", setter(path, value))
    for s in random_cases.SCHEMAS:
        post(f"schema {json.dumps(s)[:200]}", lambda crd: None, schema={"type": "object", "properties": {"x": s}})


CASES = (objects, bodies, names, validation, deletes, watches, pages, statuses, applies, discovery, rules, rules_more, top_level,
    definitions)


def all_cases(seed, count):
    for case in CASES:
        yield case.__name__, fresh(case)
    yield from random_cases.all_cases(seed, count)


def fresh(case):
    """Nothing of another case is left."""
    def run(d):
        d.quiet("GET", CRDS)
        present = [c["metadata"]["name"] for a in d.answers for c in a.json()["items"] if c["spec"]["group"] == GROUP]
        for name in sorted(set(present)):
            path = f"/apis/{GROUP}/v1/{name.split('.')[0]}"
            for a in d.quiet("GET", path):
                for item in (a.json() or {}).get("items", []) if a.status == 200 else ():
                    meta = item["metadata"]
                    space = f"namespaces/{meta['namespace']}/" if "namespace" in meta else ""
                    d.quiet("PATCH", f"/apis/{GROUP}/v1/{space}{name.split('.')[0]}/{meta['name']}",
                        {"metadata": {"finalizers": None}},
                            **{"Content-Type": MERGE})
            d.quiet("DELETE", f"{CRDS}/{name}")
        for _ in range(600):
            if all(not any(c["spec"]["group"] == GROUP for c in a.json()["items"]) for a in d.quiet("GET", CRDS)):
                break
            time.sleep(0.05)
        case(d)
    return run
