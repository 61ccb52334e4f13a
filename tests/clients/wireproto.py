"""A reader and writer of the API's protobuf that owes nothing to kapid's: Google's library with messages made from the field numbers
in the kinds' documents (kapid/kinds/)."""
import base64
import calendar
import glob
import json
import os
import re
import struct
import time

import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

MEDIA = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"
F = descriptor_pb2.FieldDescriptorProto
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

definitions, kinds = {}, {}
for path in sorted(glob.glob(TOP + "/kapid/kinds/*.yaml")):
    for doc in yaml.load_all(open(path), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if not doc:
            continue
        if doc["kind"] == "Definitions":
            definitions.update(doc["definitions"])
            continue
        for v in doc["spec"]["versions"]:
            kinds[(f"{doc['spec']['group']}/{v['name']}".lstrip("/"), doc["spec"]["names"]["kind"])] = v["schema"]["openAPIV3Schema"]
for group, its_version, its_kind in (("meta", "v1", "Status"), ("autoscaling", "autoscaling/v1", "Scale"), ("policy", "policy/v1", "Eviction"),
                                     ("authentication", "authentication.k8s.io/v1", "TokenRequest")):
    kinds[(its_version, its_kind)] = {"$ref": f"{group}.v1.{its_kind}"}
for version in ("v1", "v1beta1"):
    kinds[("meta.k8s.io/" + version, "PartialObjectMetadata")] = {"$ref": "meta.v1.PartialObjectMetadata"}


def resolved(schema):
    """The schema behind references, and the name of the last one."""
    name = None
    while "$ref" in schema:
        name = schema["$ref"]
        schema = definitions[name]
    return schema, name


def form(schema):
    """What a value is on the wire."""
    s, _ = resolved(schema)
    t = s.get("type")
    if s.get("x-kubernetes-int-or-string"):
        return "IntOrString"
    if t == "string":
        return {"byte": "bytes", "quantity": "Quantity", "date-time": "Time", "micro-time": "MicroTime",
                "duration": "Duration"}.get(s.get("format"), "string")
    if t in ("integer", "boolean", "number", "array"):
        return t
    if isinstance(s.get("additionalProperties"), dict) and not s.get("properties"):
        return "map"
    return "object" if s.get("properties") else "Raw"


SCALARS = {"string": F.TYPE_STRING, "bytes": F.TYPE_BYTES, "integer": F.TYPE_INT64, "boolean": F.TYPE_BOOL, "number": F.TYPE_DOUBLE}
FIXED = {"IntOrString": [("type", 1, F.TYPE_INT64), ("intVal", 2, F.TYPE_INT32), ("strVal", 3, F.TYPE_STRING)],
         "Quantity": [("string", 1, F.TYPE_STRING)], "Raw": [("raw", 1, F.TYPE_BYTES)], "Duration": [("duration", 1, F.TYPE_INT64)],
         "Time": [("seconds", 1, F.TYPE_INT64), ("nanos", 2, F.TYPE_INT32)],
         "MicroTime": [("seconds", 1, F.TYPE_INT64), ("nanos", 2, F.TYPE_INT32)],
         "ListMeta": [("selfLink", 1, F.TYPE_STRING), ("resourceVersion", 2, F.TYPE_STRING), ("continue", 3, F.TYPE_STRING),
                      ("remainingItemCount", 4, F.TYPE_INT64)],
         "TypeMeta": [("apiVersion", 1, F.TYPE_STRING), ("kind", 2, F.TYPE_STRING)],
         "Unknown": [("typeMeta", 1, "TypeMeta"), ("raw", 2, F.TYPE_BYTES), ("contentEncoding", 3, F.TYPE_STRING),
                     ("contentType", 4, F.TYPE_STRING)],
         "WatchEvent": [("type", 1, F.TYPE_STRING), ("object", 2, "Raw")]}
file = descriptor_pb2.FileDescriptorProto(name="kinds.proto", package="k", syntax="proto2")
made = {}


def message_name(text):
    return re.sub("[^A-Za-z0-9]", "_", text)


def add_field(message, name, number, wire, repeated=False):
    f = message.field.add(name=name, number=number, label=F.LABEL_REPEATED if repeated else F.LABEL_OPTIONAL)
    if isinstance(wire, str):
        f.type, f.type_name = F.TYPE_MESSAGE, ".k." + wire
    else:
        f.type = wire


def new_message(name, fields=()):
    if name in made:
        return name
    made[name] = message = file.message_type.add(name=name)
    for field, number, wire in fields:
        add_field(message, field, number, wire)
    return name


def value_type(schema, at):
    """A scalar's type, or the name of the message of one value."""
    kind = form(schema)
    if kind in SCALARS:
        return SCALARS[kind]
    if kind in FIXED:
        return new_message(kind, FIXED[kind])
    if kind == "array":  # as a map's value
        name = new_message(message_name(at) + "_List")
        if not made[name].field:
            add_field(made[name], "items", 1, value_type(resolved(schema)[0]["items"], at + "_i"), True)
        return name
    return object_type(schema, at)


def object_type(schema, at):
    s, name = resolved(schema)
    own = message_name(name or at)
    if own in made:
        return own
    new_message(own)
    for field, spec in s["properties"].items():
        numbers = spec.get("x-protobuf")
        if numbers is None:
            continue
        *outer, number = numbers if isinstance(numbers, list) else [numbers]
        holder = own
        for o in outer:
            inner = new_message(f"{holder}__in{o}")
            if not any(f.number == o for f in made[holder].field):
                add_field(made[holder], f"in__{o}", o, inner)
            holder = inner
        kind, below = form(spec), f"{own}_{field}"
        if kind == "array":
            add_field(made[holder], field, number, value_type(resolved(spec)[0]["items"], below), True)
        elif kind == "map":
            entry = new_message(below + "_Entry")
            add_field(made[entry], "key", 1, F.TYPE_STRING)
            add_field(made[entry], "value", 2, value_type(resolved(spec)[0]["additionalProperties"], below))
            add_field(made[holder], field, number, entry, True)
        else:
            add_field(made[holder], field, number, value_type(spec, below))
    return own


def has_form(key):
    """Whether there is protobuf of that (apiVersion, kind), but for definitions, whose names of fields are none of protobuf's: their cases
    are in wireevents.py."""
    return key[1] != "CustomResourceDefinition" and "x-protobuf" in resolved(kinds[key])[0].get("properties", {}).get("metadata", {})


for fixed, its_fields in FIXED.items():
    new_message(fixed, its_fields)
types = {}
for which in kinds:
    if not has_form(which):
        continue
    types[which] = object_type(kinds[which], "_".join(which))
    items = new_message(types[which] + "__List")
    if not made[items].field:
        add_field(made[items], "metadata", 1, "ListMeta")
        add_field(made[items], "items", 2, types[which], True)
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
factory = message_factory.MessageFactory(pool)


def message_class(name):
    return factory.GetPrototype(pool.FindMessageTypeByName("k." + name))


def stamp(m, digits):
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(m.seconds))
    return text + (f".{m.nanos // 1000:06d}Z" if digits else "Z")


def from_value(kind, schema, m):
    if kind in ("string", "integer", "boolean", "number"):
        return m
    if kind == "bytes":
        return base64.b64encode(m).decode()
    if kind == "IntOrString":
        return m.strVal if m.type else m.intVal
    if kind == "Quantity":
        return m.string
    if kind == "Raw":
        return json.loads(m.raw)
    if kind in ("Time", "MicroTime"):
        return stamp(m, kind == "MicroTime") if m.ByteSize() else None
    if kind == "Duration":
        return f"{m.duration // 10 ** 9}.{m.duration // 10 ** 6 % 1000:03d}s"
    if kind == "array":
        inner = resolved(schema)[0]["items"]
        return [from_value(form(inner), inner, i) for i in m.items]
    return from_object(schema, m)


def from_object(schema, m):
    """A message as the object that JSON would be, without what is empty in lists and maps."""
    assert not m.UnknownFields(), (m.DESCRIPTOR.name, [f.field_number for f in m.UnknownFields()])
    properties, result = resolved(schema)[0]["properties"], {}

    def read(part):
        for field, v in part.ListFields():
            if field.name.startswith("in__"):
                read(v)
                continue
            spec = properties[field.name]
            kind = form(spec)
            if kind == "array":
                inner = resolved(spec)[0]["items"]
                result[field.name] = [from_value(form(inner), inner, i) for i in v]
            elif kind == "map":
                inner = resolved(spec)[0]["additionalProperties"]
                result[field.name] = {e.key: from_value(form(inner), inner, e.value) for e in v}
                assert [e.key for e in v] == sorted((e.key for e in v), key=str.encode)
            else:
                result[field.name] = from_value(kind, spec, v)
    read(m)
    return result


def to_value(kind, schema, v, m):
    """Fills the message of one value; a scalar is returned."""
    if kind in ("string", "integer", "boolean", "number"):
        return v
    if kind == "bytes":
        return base64.b64decode(v)
    if kind == "IntOrString":
        m.type, m.intVal, m.strVal = isinstance(v, str), 0 if isinstance(v, str) else v, v if isinstance(v, str) else ""
    elif kind == "Quantity":
        m.string = str(v)
    elif kind == "Raw":
        m.raw = json.dumps(v).encode()
    elif kind in ("Time", "MicroTime") and v:
        m.seconds = calendar.timegm(time.strptime(v[:19], "%Y-%m-%dT%H:%M:%S"))
        m.nanos = int(v[20:26] or 0) * 1000 if kind == "MicroTime" else 0
    elif kind in ("Time", "MicroTime"):
        pass
    elif kind == "array":
        inner = resolved(schema)[0]["items"]
        for item in v:
            add_value(m.items, form(inner), inner, item)
    else:
        to_object(schema, v, m)
    return None


def add_value(repeated, kind, schema, v):
    if kind in SCALARS:
        repeated.append(to_value(kind, schema, v, None))
    else:
        to_value(kind, schema, v, repeated.add())


def to_object(schema, v, m):
    m.SetInParent()
    properties = resolved(schema)[0]["properties"]
    for name, value in v.items():
        spec = properties[name]
        numbers = spec.get("x-protobuf")
        if numbers is None or value is None:
            continue
        part, kind = m, form(spec)
        for o in numbers[:-1] if isinstance(numbers, list) else []:
            part = getattr(part, f"in__{o}")
        if kind == "array":
            inner = resolved(spec)[0]["items"]
            for item in value:
                add_value(getattr(part, name), form(inner), inner, item)
        elif kind == "map":
            inner = resolved(spec)[0]["additionalProperties"]
            for key, item in value.items():
                entry = getattr(part, name).add(key=key)
                if form(inner) in SCALARS:
                    entry.value = to_value(form(inner), inner, item, None)
                else:
                    to_value(form(inner), inner, item, entry.value)
        elif kind in SCALARS:
            setattr(part, name, to_value(kind, spec, value, None))
        else:
            getattr(part, name).SetInParent()
            to_value(kind, spec, value, getattr(part, name))


def encode(v):
    """An object as a body."""
    key = (v["apiVersion"], v["kind"])
    m = message_class(types[key])()
    to_object(kinds[key], {k: x for k, x in v.items() if k not in ("apiVersion", "kind")}, m)
    envelope = message_class("Unknown")(raw=m.SerializeToString(), contentEncoding="", contentType="")
    envelope.typeMeta.apiVersion, envelope.typeMeta.kind = key
    return MAGIC + envelope.SerializeToString()


def decode(data):
    """An answer as the object that JSON would be."""
    assert data[:4] == MAGIC, data[:40]
    u = message_class("Unknown").FromString(data[4:])
    assert not u.UnknownFields() and u.HasField("contentType") and u.HasField("contentEncoding")
    result = {"apiVersion": u.typeMeta.apiVersion, "kind": u.typeMeta.kind}
    key = (u.typeMeta.apiVersion, u.typeMeta.kind)
    if key in types:
        m = message_class(types[key]).FromString(u.raw)
        # Fields come in the order of their numbers, so that writing them again gives the same bytes.
        assert m.SerializeToString(deterministic=True) == u.raw, key
        return result | from_object(kinds[key], m)
    item = (key[0], re.sub("List$", "", key[1]))
    m = message_class(types[item] + "__List").FromString(u.raw)
    assert m.SerializeToString(deterministic=True) == u.raw, key
    meta = {f.name: v for f, v in m.metadata.ListFields() if v != ""}
    return result | {"metadata": meta, "items": [from_object(kinds[item], i) for i in m.items]}


def frames(read):
    """The events of a watch; read(n) gives exactly n bytes, or fewer at the end."""
    while len(head := read(4)) == 4:
        size = struct.unpack(">I", head)[0]
        data = read(size)
        assert len(data) == size, "a frame was cut"
        e = message_class("WatchEvent").FromString(data)
        yield {"type": e.type, "object": decode(e.object.raw)}


def comparable(schema, v):
    """Of JSON what protobuf can carry: no empty lists and maps, no null, no fields without a number."""
    s, _ = resolved(schema)
    kind = form(schema)
    if kind == "array" and isinstance(v, list):
        return [comparable(s["items"], i) for i in v]
    if kind == "map" and isinstance(v, dict):
        return {k: comparable(s["additionalProperties"], i) for k, i in v.items()}
    if kind != "object":
        return v
    result = {}
    for name, child in v.items():
        spec = s["properties"][name]
        if child is None or "x-protobuf" not in spec or form(spec) in ("array", "map") and not child:
            continue
        result[name] = comparable(spec, child)
    return result


def as_json(v, key=None):
    """An object or list that came as JSON, as decode() would give it."""
    key = key or (v["apiVersion"], v["kind"])
    head = {k: v[k] for k in ("apiVersion", "kind") if k in v}
    if key in types:
        return head | comparable(kinds[key], {k: x for k, x in v.items() if k not in ("apiVersion", "kind")})
    item = (key[0], re.sub("List$", "", key[1]))
    items = [comparable(kinds[item], {k: x for k, x in i.items() if k not in ("apiVersion", "kind")}) for i in v["items"]]
    return head | {"metadata": v["metadata"], "items": items}
