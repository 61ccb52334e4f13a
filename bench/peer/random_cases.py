"""Random cases of bench/peer/differ, and the odd schemas that cases.py posts one by one."""
import random
import time

SCHEMAS = [
    {}, {"type": "x"}, {"type": "integer", "default": "x"}, {"type": "integer", "default": 1.5}, {"type": "integer",
        "minimum": 5, "default": 1},
    {"type": "string", "maxLength": 1, "default": "ab"}, {"type": "string", "pattern": "["}, {"type": "string",
        "pattern": "(?i)^a\\p{L}??$"},
    {"type": "string", "format": "nope"}, {"type": "string", "format": "byte", "default": "!"}, {"type": "integer",
        "format": "int32", "maximum": 1e10},
    {"type": "string", "enum": []}, {"type": "string", "enum": ["a", "a"]}, {"type": "string", "enum": [1]},
        {"type": "string", "enum": ["a"], "default": "b"},
    {"type": "array"}, {"type": "array", "items": {}}, {"type": "array", "items": [{"type": "string"}]},
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "map"}, {"type": "array",
        "items": {"type": "string"}, "x-kubernetes-list-type": "foo"},
    {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}},
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]},
    {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}, "required": ["k"]},
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["j"]},
    {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "object"}}, "required": ["k"]},
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "k"]},
    {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}},
        "x-kubernetes-list-map-keys": ["k"]},
    {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"}, {"type": "array",
        "items": {"type": "object", "x-kubernetes-map-type": "atomic"}, "x-kubernetes-list-type": "set"},
    {"type": "array", "items": {"type": "array", "items": {"type": "string"}}, "x-kubernetes-list-type": "set"},
        {"type": "array", "items": {"type": "string", "nullable": True}, "x-kubernetes-list-type": "set"},
    {"type": "object", "x-kubernetes-map-type": "foo"}, {"type": "string", "x-kubernetes-map-type": "atomic"},
        {"type": "string", "x-kubernetes-list-type": "atomic"},
    {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}},
        {"type": "object", "additionalProperties": True}, {"type": "object", "additionalProperties": False},
    {"type": "object", "additionalProperties": {}}, {"type": "object", "properties": {"a": {}}}, {"type": "string",
        "properties": {"a": {"type": "string"}}}, {"type": "string", "items": {"type": "string"}},
    {"x-kubernetes-int-or-string": True}, {"type": "string", "x-kubernetes-int-or-string": True},
        {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
    {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"x-kubernetes-int-or-string": True, "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}]},
        {"x-kubernetes-int-or-string": False},
    {"x-kubernetes-preserve-unknown-fields": True}, {"type": "string", "x-kubernetes-preserve-unknown-fields": True},
        {"x-kubernetes-preserve-unknown-fields": False}, {"type": "object",
        "x-kubernetes-preserve-unknown-fields": False},
    {"type": "object", "x-kubernetes-embedded-resource": True}, {"type": "string",
        "x-kubernetes-embedded-resource": True}, {"type": "object", "x-kubernetes-embedded-resource": True,
        "x-kubernetes-preserve-unknown-fields": True},
    {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"metadata": {"type": "string"}}},
        {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"kind": {"type": "integer"},
        "a": {"type": "string"}}},
    {"type": "string", "anyOf": [{"type": "string"}]}, {"type": "string", "anyOf": [{"default": "x"}]},
        {"type": "string", "anyOf": [{"description": "x"}]}, {"type": "string", "allOf": [{"nullable": True}]},
        {"type": "object", "oneOf": [{"properties": {"a": {"minimum": 1}}}]},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "oneOf": [{"properties": {"a": {"minimum": 1}},
        "additionalProperties": {"type": "string"}}]}, {"type": "object", "not": {"type": "object"}}, {"type": "string",
        "not": {"x-kubernetes-int-or-string": True}}, {"type": "object",
        "not": {"properties": {"b": {"not": {"required": ["c"]}}}}},
    {"type": "string", "nullable": True, "default": None}, {"type": "string", "default": None}, {"type": "object",
        "default": {"a": 1}}, {"type": "object", "default": {"a": 1}, "properties": {"a": {"type": "string"}}},
        {"type": "object", "default": {}, "required": ["a"], "properties": {"a": {"type": "string"}}},
        {"type": "object", "default": {}, "required": ["a"], "properties": {"a": {"type": "string", "default": "x"}}},
    {"type": "array", "default": ["a", "a"], "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        {"$ref": "#/definitions/x"}, {"type": "string", "$ref": "x"}, {"$schema": "x", "type": "string"}, {"id": "x",
        "type": "string"}, {"type": "object", "definitions": {"a": {"type": "string"}}}, {"type": "object",
        "dependencies": {"a": ["b"]}}, {"type": "object", "patternProperties": {"a": {"type": "string"}}},
        {"type": "array", "items": {"type": "string"}, "additionalItems": True},
    {"type": "string", "maxLength": -1}, {"type": "string", "minLength": -1}, {"type": "string", "minLength": 5,
        "maxLength": 1}, {"type": "array", "items": {"type": "string"}, "maxItems": -1}, {"type": "object",
        "maxProperties": -1}, {"type": "integer", "multipleOf": 0}, {"type": "integer", "multipleOf": -1},
        {"type": "integer", "minimum": 5, "maximum": 1}, {"type": "integer", "exclusiveMinimum": True},
        {"type": "integer", "minimum": 1, "exclusiveMinimum": True}, {"type": "integer", "minimum": "x"},
    {"type": "string", "title": 1}, {"type": "string", "description": 1}, {"type": "string", "example": {"a": 1}},
        {"type": "string", "externalDocs": {"url": "x"}}, {"type": "string", "foo": 1}, {"type": "object",
        "required": []}, {"type": "object", "required": ["a", "a"]}, {"type": "object", "required": "a"},
        {"type": ["string"]}, {"type": None}, "x", None, True, [],
    {"type": "object", "properties": {"metadata": {"type": "object", "default": {}}}}, {"type": "object",
        "properties": {"a.b/c~d é": {"type": "strin"}}}, {"type": "array", "items": {"type": "array",
        "items": {"type": "strin"}}}, {"type": "object", "additionalProperties": {"type": "strin"}}, {"type": "null"},
        {"type": "number", "format": "float"}, {"type": "string", "format": "date", "default": "2020-02-30"},
        {"type": "string", "format": "duration", "default": "1x"}, {"type": "string", "format": "uuid", "default": "x"},
    {"type": "array", "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string",
        "nullable": True}}}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]},
    {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "default": [{"k": "a"},
        {"k": "a"}], "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}},
]

WORDS = ("a", "b", "c", "d", "e")
FORMATS = ("date-time", "date", "ipv4", "ipv6", "cidr", "uuid", "byte", "int32", "int64", "duration", "uri", "hostname",
    "email", "mac", "nope", "double", "password", "bsonobjectid", "isbn", "creditcard", "hexcolor", "rgbcolor", "ssn",
    "k8s-short-name", "k8s-long-name", "datetime")
PATTERNS = ("^[a-c]+$", "b", "^$", "(?i)^AB", "a??b", "\\d+", "^(a|b)*$", "\\p{L}$", "[[:alpha:]]")
STRINGS = ("", "a", "b", "ab", "abc", "A", "1", "é", "2020-01-02T03:04:05Z", "2020-01-02", "10.0.0.1", "::1",
    "10.0.0.0/8", "1h", "1d", "e30=", "x@y.z", "http://x/y", "00:11:22:33:44:55",
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "true", "null", "#fff")


def schema(r, depth=0):
    """A structural schema, now and then with a mistake."""
    kind = r.choice(("object", "object", "array", "string", "integer", "number", "boolean", "map", "ios",
        "free") if depth < 3 else ("string", "integer", "number", "boolean"))
    s = {"type": kind}
    if kind == "object":
        names = r.sample(WORDS, r.randint(0, 3))
        s["properties"] = {n: schema(r, depth + 1) for n in names}
        if names and r.random() < .3:
            s["required"] = r.sample(names, r.randint(1, len(names)))
        if r.random() < .15:
            s["x-kubernetes-preserve-unknown-fields"] = True
        if r.random() < .1:
            s["x-kubernetes-map-type"] = r.choice(("atomic", "granular"))
        if r.random() < .1 and names:
            s[r.choice(("anyOf", "oneOf", "allOf"))] = [{"required": [r.choice(names)]},
                {"required": [r.choice(names)]}]
    elif kind == "map":
        s = {"type": "object", "additionalProperties": schema(r, depth + 1)}
        if r.random() < .3:
            s["maxProperties"] = r.randint(0, 2)
    elif kind == "array":
        s["items"] = schema(r, depth + 1)
        if s["items"].get("type") == "object" and "properties" in s["items"] and r.random() < .7:
            s["items"]["properties"]["k"] = {"type": "string"}
            s["items"]["required"] = ["k"]
            s.update({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]})
        elif s["items"].get("type") in ("string", "integer") and r.random() < .5:
            s["x-kubernetes-list-type"] = "set"
        if r.random() < .3:
            s[r.choice(("minItems", "maxItems"))] = r.randint(0, 2)
    elif kind == "ios":
        s = {"x-kubernetes-int-or-string": True}
    elif kind == "free":
        s = {"x-kubernetes-preserve-unknown-fields": True}
    elif kind == "string":
        k = r.random()
        if k < .3:
            s["format"] = r.choice(FORMATS)
        elif k < .5:
            s["pattern"] = r.choice(PATTERNS)
        elif k < .7:
            s["enum"] = r.sample(STRINGS, 2)
        elif k < .85:
            s[r.choice(("minLength", "maxLength"))] = r.randint(0, 3)
    elif kind in ("integer", "number"):
        k = r.random()
        if k < .4:
            s[r.choice(("minimum", "maximum"))] = r.randint(-3, 3)
        elif k < .5:
            s["multipleOf"] = r.choice((2, 3)) if kind == "integer" else r.choice((.5, .1, 2))
        elif k < .7:
            s["format"] = r.choice(("int32", "int64", "float", "double"))
    if r.random() < .15:
        s["nullable"] = True
    if r.random() < .2:
        s["default"] = value(r, s, .1)
    return s


def anything(r, depth=0):
    return r.choice((None, True, False, 0, 1, -1, 1.5, 2147483648, 1e20, "", "a", r.choice(STRINGS), [], {}, ["a"],
        {"a": None}, [1, None], {"b": {"c": 1}}))


def value(r, s, wrong=.15):
    """A value of a schema, mostly."""
    if r.random() < wrong:
        return anything(r)
    if s.get("nullable") and r.random() < .2:
        return None
    if s.get("x-kubernetes-int-or-string"):
        return r.choice((1, "a", "5%"))
    kind = s.get("type")
    if kind == "object":
        out = {}
        for n, sub in s.get("properties", {}).items():
            if n in s.get("required", ()) and r.random() < .9 or r.random() < .6:
                out[n] = value(r, sub, wrong)
        if "additionalProperties" in s:
            for n in r.sample(WORDS, r.randint(0, 3)):
                out[n] = value(r, s["additionalProperties"], wrong)
        elif r.random() < .1:
            out[r.choice(("u", "z", "metadata", "kind"))] = anything(r)
        return out
    if kind == "array":
        return [value(r, s["items"], wrong) for _ in range(r.randint(0, 3))]
    if kind == "string":
        return r.choice(s["enum"]) if "enum" in s and r.random() < .8 else r.choice(STRINGS)
    if kind == "integer":
        return r.randint(-4, 4)
    if kind == "number":
        return r.choice((-1, 0, 1, 2, .1, .5, 1.25, 3, 1e3))
    if kind == "boolean":
        return r.choice((True, False))
    return anything(r)


def broken(r, s):
    """Changes one thing somewhere in a schema."""
    nodes = []

    def walk(x):
        nodes.append(x)
        for sub in x.get("properties", {}).values():
            walk(sub)
        for k in ("items", "additionalProperties"):
            if isinstance(x.get(k), dict):
                walk(x[k])
    walk(s)
    at = r.choice(nodes)
    for _ in range(r.randint(1, 2)):
        r.choice((lambda: at.pop("type", None), lambda: at.update(default=anything(r)),
            lambda: at.update(r.choice([x for x in SCHEMAS if isinstance(x, dict)])),
            lambda: at.update(type=r.choice(("object", "array", "string", "integer", "foo"))),
                  lambda: at.update(enum=[anything(r), anything(r)]),
                      lambda: at.update({"x-kubernetes-list-type": r.choice(("map", "set", "atomic", "x"))}),
                      lambda: at.update(nullable=True, default=None), lambda: at.pop("items", None),
                  lambda: at.update(anyOf=[{"type": "string"}, {"minimum": 1}]), lambda: at.update(required=["a",
                      "zz"]), lambda: at.update(pattern=r.choice(PATTERNS + ("(", "a{2000}", "(?=a)", "\\1")))))()
    return s


def one(seed, number):
    def run(d):
        import cases
        r = random.Random(seed * 100003 + number)
        plural = f"random{number}s"
        spec = schema(r)
        while spec.get("type") != "object":
            spec = schema(r)
        if r.random() < .4:
            spec = broken(r, spec)
        crd = cases.definition(plural, f"Random{number}", spec)
        answers = d.ask("POST", cases.CRDS, crd, label="random CRD", ignore=[r"^\.status", r"managedFields"])
        if any(a.status != 201 for a in answers):
            d.quiet("DELETE", f"{cases.CRDS}/{plural}.{cases.GROUP}")
            return
        path = f"/apis/{cases.GROUP}/v1/namespaces/a/{plural}"
        for _ in range(200):
            if all(a.status == 200 for a in d.quiet("GET", path)):
                break
            time.sleep(0.05)
        kind = f"Random{number}"
        for i in range(12):
            name = f"o{i % 3}"
            body = cases.thing(kind, name, value(r, spec))
            what = r.choice(("POST", "POST", "PUT", "merge", "apply", "apply", "apply", "status", "strict"))
            if what == "POST":
                d.ask("POST", path, body, label="random POST")
            elif what == "strict":
                d.ask("POST", f"{path}?fieldValidation=Strict", body, label="random POST strict")
            elif what == "PUT":
                d.ask("PUT", f"{path}/{name}", body, label="random PUT")
            elif what == "merge":
                d.ask("PATCH", f"{path}/{name}", {"spec": body["spec"]}, type=cases.MERGE, label="random merge patch")
            elif what == "apply":
                force = r.choice(("", "&force=true"))
                d.ask("PATCH", f"{path}/{name}?fieldManager={r.choice('xyz')}{force}", body, type=cases.APPLY,
                    label="random apply")
            else:
                d.ask("PUT", f"{path}/{name}/status", {**body, "status": {"phase": r.choice(("a", None, 1)),
                    "replicas": r.choice((1, "x"))}}, label="random PUT of status")
        d.ask("GET", path, label="random list")
        d.quiet("DELETE", f"{cases.CRDS}/{plural}.{cases.GROUP}")
    return run


def all_cases(seed, count):
    for number in range(count):
        yield f"random {number}", one(seed, number)
