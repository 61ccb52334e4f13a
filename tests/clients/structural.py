"""Cases of tests/clients/definitions in tables: schemas that are not structural, defaults that do not fit, formats and patterns, rules
where they may not stand, and warnings for what stays valid."""
import time

from wireclient import a, case, is_

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
API = "/apis/struct.example.com/v1/namespaces/wire/"
ROOT = "spec.versions[0].schema.openAPIV3Schema"
LIST_TYPE, MAP_KEYS, MAP_TYPE = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
RULES, EMBEDDED, INT_OR_STRING = "x-kubernetes-validations", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"


def schema(kind, **more):
    return {"type": kind, **more}


text, number = schema("string"), schema("integer")


def listed(items, **more):
    return schema("array", items=items, **more)


def of(value):
    """A root with one property."""
    return schema("object", properties={"a": value})


def fields(**properties):
    return schema("object", properties=properties)


def definition(plural, root, **more):
    return {"metadata": {"name": plural + ".struct.example.com"}, "spec": {
        "group": "struct.example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": plural[:-1].capitalize()},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": root}, **more}]}}


def row(text_, check):
    check.__doc__ = text_
    case(check)


A = "properties[a]"
EMPTY, UNDEFINED = "Forbidden: must be empty to be structural", "Forbidden: must be undefined to be structural"
OFF = "Forbidden: must be false to be structural"
# what is wrong, the root's schema, field below the root -> message
BAD = [
    ("no type at the root", {}, {"type": "Required value: must not be empty at the root"}),
    ("no type of a field", of({}), {A + ".type": "Required value: must not be empty for specified object fields"}),
    ("no type of an item", of(listed({})), {A + ".items.type": "Required value: must not be empty for specified array items"}),
    ("a root that is no object", text, {"type": 'Invalid value: "string": must be object at the root'}),
    ("a list without items", of(schema("array")), {A + ".items": "Required value: must be specified"}),
    ("a list of schemas", of(schema("array", items=[text])), {A + ".items": "Forbidden: items must be a schema object and not an array"}),
    ("fields and a map", of(schema("object", properties={"b": text}, additionalProperties=text)),
     {A + ".additionalProperties": "Forbidden: additionalProperties and properties are mutual exclusive"}),
    ("no other fields", of(schema("object", additionalProperties=False)),
     {A + ".additionalProperties": "Forbidden: additionalProperties cannot be set to false"}),
    ("another type", of(schema("thing")),
     {A + ".type": 'Unsupported value: "thing": supported values: "array", "boolean", "integer", "number", "object", "string"'}),
    ("the type null", of(schema("null")), {A + ".type": "Forbidden: type cannot be set to null, use nullable as an alternative"}),
    ("unique items", of(listed(text, uniqueItems=True)),
     {A + ".uniqueItems": "Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"}),
    *[(f"the keyword {k}", of(schema("object", **{k: v})), {f"{A}.{k}": f"Forbidden: {k} is not supported"})
      for k, v in (("dependencies", {"x": ["y"]}), ("patternProperties", {"x": text}), ("definitions", {"x": text}), ("id", "x"))],
    ("the keyword additionalItems", of(listed(text, additionalItems=True)), {A + ".additionalItems": "Forbidden: additionalItems is not supported"}),
    ("a set that is no list", of(schema("string", **{LIST_TYPE: "set"})),
     {A + ".type": 'Invalid value: "string": must be array if x-kubernetes-list-type is specified'}),
    ("another list type", of(listed(text, **{LIST_TYPE: "odd"})),
     {f"{A}.{LIST_TYPE}": 'Unsupported value: "odd": supported values: "atomic", "set", "map"'}),
    ("a keyed list without keys", of(listed(fields(n=text), **{LIST_TYPE: "map"})),
     {f"{A}.{MAP_KEYS}": "Required value: must not be empty if x-kubernetes-list-type is map"}),
    ("a key that may be absent", of(listed(fields(n=text), **{LIST_TYPE: "map", MAP_KEYS: ["n"]})),
     {A + ".items.properties[n].default": "Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a "
                                          "required property"}),
    ("keys that are none", of(listed({**fields(n=fields()), "required": ["n"]}, **{LIST_TYPE: "map", MAP_KEYS: ["n", "n", "m"]})),
     {f"{A}.{MAP_KEYS}[0]": 'Invalid value: "n": entries must be of scalar type; "n" is of type "object"',
      f"{A}.{MAP_KEYS}[1]": 'Duplicate value: "n"',
      f"{A}.{MAP_KEYS}[2]": 'Invalid value: "m": entries must all be names of item properties'}),
    ("an atomic string", of(schema("string", **{MAP_TYPE: "atomic"})),
     {A + ".type": 'Invalid value: "string": must be object if x-kubernetes-map-type is specified'}),
    ("another map type", of(schema("object", **{MAP_TYPE: "odd"})),
     {f"{A}.{MAP_TYPE}": 'Unsupported value: "odd": supported values: "atomic", "granular"'}),
    ("a set of objects that are merged", of(listed(schema("object"), **{LIST_TYPE: "set"})),
     {f"{A}.items.{MAP_TYPE}": None}),
    ("a set of what may be null", of(listed(schema("string", nullable=True), **{LIST_TYPE: "set"})),
     {A + ".items.nullable": "Forbidden: cannot be nullable when x-kubernetes-list-type is set"}),
    ("an embedded string", of({"type": "string", EMBEDDED: True}),
     {A + ".type": 'Invalid value: "string": must be object if x-kubernetes-embedded-resource is true',
      A + ".properties": "Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"}),
    ("fields that are not preserved", of(schema("object", **{"x-kubernetes-preserve-unknown-fields": False})),
     {A + ".x-kubernetes-preserve-unknown-fields": "Invalid value: false: must be true or undefined"}),
    ("more of the metadata", schema("object", properties={"metadata": schema("object", properties={"labels": schema("object")})}),
     {"properties[metadata]": "Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"}),
    ("another apiVersion", schema("object", properties={"apiVersion": number}),
     {"properties[apiVersion].type": 'Invalid value: "integer": must be string'}),
    ("a field of a validation alone", schema("object", properties={}, allOf=[{"properties": {"z": {"minimum": 1}}}]),
     {"properties[z]": f"Required value: because it is defined in {ROOT}.allOf[0].properties[z]"}),
    *[(f"{k} in a validation", of(schema("object", allOf=[{k: v}])), {f"{A}.allOf[0].{k}": want})
      for k, v, want in (("type", "object", EMPTY), ("title", "x", EMPTY), ("description", "x", EMPTY), ("default", {}, UNDEFINED),
                         ("nullable", True, OFF), (INT_OR_STRING, True, OFF), ("x-kubernetes-preserve-unknown-fields", True, OFF),
                         (EMBEDDED, True, OFF), (LIST_TYPE, "set", UNDEFINED), (MAP_TYPE, "atomic", UNDEFINED), (MAP_KEYS, ["a"], EMPTY))],
    *[(f"rules below {w}", of({**fields(x=number), w: [{RULES: [{"rule": "self.x > 1"}]}]}), {f"{A}.{w}[0].{RULES}": EMPTY})
      for w in ("allOf", "anyOf", "oneOf")],
    ("rules below not", of({**fields(x=number), "not": {RULES: [{"rule": "self.x > 1"}]}}), {f"{A}.not.{RULES}": EMPTY}),
    ("rules of a field below allOf", of({**fields(x=number), "allOf": [{"properties": {"x": {RULES: [{"rule": "self > 1"}]}}}]}),
     {f"{A}.allOf[0].properties[x].{RULES}": EMPTY}),
    ("metadata in a validation", {**fields(metadata=schema("object")), "anyOf": [{"properties": {"metadata": {"minProperties": 1}}}]},
     {"anyOf[0].properties[metadata]": "Forbidden: must not be specified in a nested context"}),
    ("a default of another type", of(schema("string", default=True)), {A + ".default": None}),
    ("a default that is too long", of(schema("string", maxLength=2, default="a b c")), {A + ".default": "Too long: may not be more than 2 bytes"}),
    ("a default that is too small", of(schema("integer", minimum=5, default=1)), {A + ".default": None}),
    ("a default that does not match", of(schema("string", pattern="^a{1,2}$", default="abcd")),
     {A + ".default": "Invalid value: \"abcd\":  in body should match '^a{1,2}$'"}),
    ("a default that is no multiple", of(schema("integer", multipleOf=2, default=1)), {A + ".default": "Invalid value: 1:  in body should be a multiple of 2"}),
    ("a default without what is required", of(listed({**fields(k=number), "required": ["k"], "default": {}})), {A + ".items.default.k": "Required value"}),
]


def bad_row(what, root, want):
    def check():
        r = is_(a.post(CRDS + "?dryRun=All", definition("bads", root)), 422, "Invalid")
        got = {c["field"]: c["message"] for c in r.json["details"]["causes"]}
        for path, message in want.items():
            assert f"{ROOT}.{path}" in got and message in (None, got[f"{ROOT}.{path}"]), got
        assert r.json["details"]["name"] == "bads.struct.example.com", r.json["details"]
    row(f"a schema with {what} is refused, and says where and why", check)


for b in BAD:
    bad_row(*b)
for i, pattern in enumerate(("(?i)^ab$", "a??b", "\\p{L}+$", "^[[:alpha:]]+$", "\\d{1,3}(?:\\.\\d{1,3}){3}", "^(?P<n>a)$", "^\\Qa.b\\E$")):
    def takes_pattern(pattern=pattern):
        is_(a.post(CRDS + "?dryRun=All", definition("goods", of(schema("string", pattern=pattern)))), 201)
    row(f"the pattern {pattern!r} is taken", takes_pattern)
for pattern in ("(", "a(?=b)", "(a)\\1", "[z-a]", "a{2,1}", "*"):
    def no_pattern(pattern=pattern):
        r = is_(a.post(CRDS + "?dryRun=All", definition("bads", of(schema("string", pattern=pattern)))), 422, "Invalid")
        assert "must be a valid regular expression, but isn't" in r.json["message"], r.text
    row(f"the pattern {pattern!r} is refused", no_pattern)

# --- formats: a value that fits, one that does not ---
FORMATS = [("date", "2024-02-29", "2023-02-30"), ("mac", "00:11:22:33:44:55", "00:11"), ("cidr", "10.0.0.0/8", "10.0.0.0"), ("ipv4", "10.0.0.1", "::1"),
           ("ipv6", "::1", "10.0.0.1"), ("byte", "eA==", "x"), ("hostname", "a.example", "-a-"), ("uri", "https://a.example/b", "::"),
           ("date-time", "2024-01-01T00:00:00Z", "yesterday"), ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"), ("email", "a@b.example", "a")]
is_(a.post(CRDS, definition("formats", fields(spec=fields(**{"f" + f.replace("-", ""): schema("string", format=f) for f, *_ in FORMATS})))), 201)


def there(path):
    end = time.time() + 30
    while a.get(path).code != 200:
        assert time.time() < end, path
        time.sleep(0.02)


there(API + "formats")


def thing(kind, name, spec, **more):
    return {"apiVersion": "struct.example.com/v1", "kind": kind, "metadata": {"name": name}, "spec": spec, **more}


for f, good, bad in FORMATS:
    def checks_format(f=f, good=good, bad=bad):
        key = "f" + f.replace("-", "")
        is_(a.post(API + "formats?dryRun=All", thing("Format", "x", {key: good})), 201)
        r = is_(a.post(API + "formats?dryRun=All", thing("Format", "x", {key: bad})), 422, "Invalid")
        assert r.json["details"]["causes"][0]["field"] == "spec." + key, r.text
        assert f'"{bad}"' in r.json["message"], r.text
    row(f"the format {f} takes {good!r} and refuses {bad!r}", checks_format)

# --- what stays valid though a new rule would refuse it ---
before = fields(spec=fields(size=number, colour=text, inner=fields(n=number)))
after = fields(spec={**fields(size={**number, RULES: [{"rule": "self < 10", "message": "size is too large"}]}, colour=text,
                              inner={**fields(n=number), RULES: [{"rule": "self.n > 0", "messageExpression": "'n is no' + 't positive'"}]}),
                     RULES: [{"rule": "self == oldSelf || self.colour != 'fixed'", "message": "fixed"}]})
is_(a.post(CRDS, definition("stays", before)), 201)
there(API + "stays")
is_(a.post(API + "stays", thing("Stay", "s", {"size": 50, "colour": "red", "inner": {"n": 0}})), 201)
crd = a.get(CRDS + "/stays.struct.example.com").json
crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = after
is_(a.put(CRDS + "/stays.struct.example.com", crd), 200)
end_of_wait = time.time() + 30
while a.post(API + "stays?dryRun=All", thing("Stay", "x", {"size": 50})).code != 422:
    assert time.time() < end_of_wait
    time.sleep(0.02)


def warnings(r):
    return r.headers.get_all("Warning") or []


def ratchets(what, change, want, code=200):
    def check():
        r = is_(a.merge(API + "stays/s?dryRun=All", change), code)
        if code == 200:
            got = warnings(r)
            assert sorted(got) == sorted('299 - "' + w.replace('"', '\\"') + '"' for w in want), got
        else:
            for w in want:
                assert w in r.json["message"], r.text
    row(what, check)


SIZE, INNER = 'spec.size: Invalid value: 50: size is too large', "spec.inner: Invalid value: n is not positive"
ratchets("a part that breaks a new rule and does not change is a warning", {"spec": {"colour": "blue"}}, [SIZE, INNER])
ratchets("with labels alone as well", {"metadata": {"labels": {"a": "b"}}}, [SIZE, INNER])
ratchets("a part that comes to fit has no warning any longer", {"spec": {"size": 5}}, [INNER])
ratchets("a part that changes and breaks it is refused", {"spec": {"size": 60}}, ["spec.size: Invalid value: 60: size is too large"], 422)
ratchets("the inner part too", {"spec": {"inner": {"n": -1}}}, ["spec.inner: Invalid value: n is not positive"], 422)
ratchets("a rule that compares with the old object is no warning", {"spec": {"colour": "fixed"}}, ["spec: Invalid value: fixed"], 422)


def new_is_refused():
    is_(a.post(API + "stays?dryRun=All", thing("Stay", "x", {"size": 50})), 422, "Invalid", "size is too large")


row("a new object has no such grace", new_is_refused)

# --- finalizers whose names others may use too ---
for name, want in (("plain", '299 - "metadata.finalizers: \\"plain\\": prefer a domain-qualified finalizer name to avoid accidental conflicts with other '
                             'finalizer writers"'),
                   ("a.example", '299 - "metadata.finalizers: \\"a.example\\": prefer a domain-qualified finalizer name including a path (/) to avoid '
                                 'accidental conflicts with other finalizer writers"'),
                   ("a.example/x", None), ("orphan", None), ("foregroundDeletion", None)):
    def finalizer(name=name, want=want):
        body = thing("Stay", "f", {"size": 1})
        body["metadata"]["finalizers"] = [name]
        assert is_(a.post(API + "stays?dryRun=All", body), 201).headers["Warning"] == want
    row(f"the finalizer {name} of a custom object has {'a' if want else 'no'} warning", finalizer)
for plural in ("formats", "stays"):
    is_(a.delete(CRDS + f"/{plural}.struct.example.com"), 200)
