/* Decodes the protobuf form of built-in kinds along their schemas, whose fields carry the numbers
 * (docs/wire.md section 4). proto2 as Go writes it: what is not a pointer is there even when
 * unset, so that "", 0, false and some empty messages count as unset, while a pointer that is there
 * is set, whatever it holds (protobuf-pointers.c). */
#include "kapid/schema/format.h"
#include "kapid/schema/internal.h"
#include "kapid/schema/protobuf-output.h"
#include "lib/timefmt.h"
#include "lib/pki.h"

enum { DEPTH_MAX = 100, VALUES_MAX = 200000 };

struct reader {
        const uint8_t *s, *end;
};

struct decoder {
        const struct schema *props; /* of JSONSchemaProps, when one was met */
        unsigned depth;
        size_t values;
        char **ret_error;
};

static int fail(struct decoder *d, const char *why) {
        if (!*d->ret_error)
                *d->ret_error = strdup(why);
        return -EINVAL;
}

static int read_varint(struct reader *in, uint64_t *ret) {
        uint64_t v = 0;

        for (unsigned shift = 0; shift < 64; shift += 7) {
                if (in->s >= in->end)
                        return -EINVAL;
                uint8_t byte = *in->s++;
                v |= (uint64_t)(byte & 0x7f) << shift;
                if (!(byte & 0x80)) {
                        *ret = v;
                        return 0;
                }
        }
        return -EINVAL;
}

/* One field: its number, its wire type and its value (a number, or bytes in ret_bytes). 1 past the
 * end. */
static int read_field(struct reader *in, unsigned *ret_number, unsigned *ret_wire,
                uint64_t *ret_value, struct reader *ret_bytes) {
        uint64_t tag, n;

        if (in->s == in->end)
                return 1;
        if (read_varint(in, &tag) < 0 || tag >> 3 == 0 || tag >> 3 > 536870911)
                return -EINVAL;
        *ret_number = (unsigned)(tag >> 3);
        *ret_wire = (unsigned)(tag & 7);
        *ret_bytes = (struct reader){in->s, in->s};
        switch (*ret_wire) {
        case WIRE_VARINT:
                return read_varint(in, ret_value);
        case WIRE_BYTES:
                if (read_varint(in, &n) < 0 || n > (uint64_t)(in->end - in->s))
                        return -EINVAL;
                *ret_bytes = (struct reader){in->s, in->s + n};
                in->s += n;
                return 0;
        case WIRE_FIXED64:
        case WIRE_FIXED32:
                n = *ret_wire == WIRE_FIXED64 ? 8 : 4;
                if (n > (uint64_t)(in->end - in->s))
                        return -EINVAL;
                *ret_value = 0;
                for (size_t i = 0; i < n; i++)
                        *ret_value |= (uint64_t)in->s[i] << 8 * i;
                in->s += n;
                return 0;
        default:
                return -EINVAL;
        }
}

static size_t size_of(struct reader in) {
        return (size_t)(in.end - in.s);
}

/* The bytes of field `number` inside a small message; whole message scanned, the last wins. */
static int sub_bytes(struct reader in, unsigned number, struct reader *ret) {
        unsigned field, wire;
        struct reader bytes;
        uint64_t value;
        int r;

        *ret = (struct reader){in.end, in.end};
        while ((r = read_field(&in, &field, &wire, &value, &bytes)) == 0)
                if (field == number && wire == WIRE_BYTES)
                        *ret = bytes;
        return r < 0 ? r : 0;
}

static int sub_numbers(struct reader in, int64_t *ret_first, int64_t *ret_second,
                struct reader *ret_third) {
        unsigned field, wire;
        struct reader bytes;
        uint64_t value = 0;
        int r;

        while ((r = read_field(&in, &field, &wire, &value, &bytes)) == 0) {
                if (field == 1 && wire == WIRE_VARINT)
                        *ret_first = (int64_t)value;
                else if (field == 2 && wire == WIRE_VARINT)
                        *ret_second = (int64_t)value;
                else if (field == 3 && wire == WIRE_BYTES && ret_third)
                        *ret_third = bytes;
        }
        return r < 0 ? r : 0;
}

static json_t *string_of(struct reader in) {
        return json_stringn((const char *)in.s, size_of(in));
}

static int decode_object(
                struct decoder *d, const struct schema *s, struct reader r, json_t *object);
static int decode_value(struct decoder *d, const struct schema *s, struct reader in, json_t **ret);

/* Times are messages {seconds, nanos}; the zero time (no fields) is unset. */
static int decode_time(struct decoder *d, const struct schema *s, struct reader in, json_t **ret) {
        char buffer[TIMEFMT_SIZE];
        int64_t seconds = 0, nanos = 0;

        if (sub_numbers(in, &seconds, &nanos, NULL) < 0)
                return fail(d, "a time is malformed");
        if (size_of(in) == 0 || seconds <= 0 || seconds > 253402300799 || nanos < 0 ||
                        nanos > 999999999)
                return 0;
        uint64_t us = (uint64_t)seconds * 1000000 + (uint64_t)nanos / 1000;
        *ret = json_string(s->format == FORMAT_MICRO_TIME ? time_format_micro(us, buffer)
                                                          : time_format(us, buffer));
        return *ret ? 0 : -ENOMEM;
}

/* {nanoseconds=1}, shown as seconds with three digits. */
static int decode_duration(struct decoder *d, struct reader in, json_t **ret) {
        int64_t ns = 0, unused;
        char text[40];

        if (sub_numbers(in, &ns, &unused, NULL) < 0 || ns < 0)
                return fail(d, "a duration is malformed");
        snprintf(text, sizeof(text), "%lld.%03llds", (long long)(ns / 1000000000),
                        (long long)(ns / 1000000 % 1000));
        *ret = json_string(text);
        return *ret ? 0 : -ENOMEM;
}

static int decode_string(
                struct decoder *d, const struct schema *s, struct reader in, json_t **ret) {
        _cleanup_free_ char *text = NULL;
        struct reader inner;

        switch (s->format) {
        case FORMAT_BYTE:
                text = base64_encode(in.s, size_of(in));
                *ret = text ? json_string(text) : NULL;
                return *ret ? 0 : -ENOMEM;
        case FORMAT_QUANTITY:
                if (sub_bytes(in, 1, &inner) < 0)
                        return fail(d, "a quantity is malformed");
                *ret = size_of(inner) > 0 ? string_of(inner) : json_string("0");
                break;
        case FORMAT_DATE_TIME:
        case FORMAT_MICRO_TIME:
                return decode_time(d, s, in, ret);
        case FORMAT_DURATION:
                return decode_duration(d, in, ret);
        default:
                *ret = string_of(in);
        }
        return *ret ? 0 : fail(d, "a string is not UTF-8");
}

static int decode_int_or_string(struct decoder *d, struct reader in, json_t **ret) {
        struct reader text = {in.end, in.end};
        int64_t type = 0, number = 0;

        if (sub_numbers(in, &type, &number, &text) < 0)
                return fail(d, "an int-or-string is malformed");
        *ret = type == 1 ? string_of(text) : json_integer(number);
        return *ret ? 0 : fail(d, "a string is not UTF-8");
}

/* RawExtension {raw=1} and FieldsV1 {Raw=1}: JSON inside. */
static int decode_json(struct decoder *d, struct reader in, json_t **ret) {
        struct reader inner;

        if (sub_bytes(in, 1, &inner) < 0)
                return fail(d, "embedded JSON is malformed");
        if (size_of(inner) == 0)
                return 0;
        if (json_parse((const char *)inner.s, size_of(inner), 0, ret, NULL) < 0)
                return fail(d, "embedded JSON is malformed");
        return 0;
}

/* What in a CustomResourceDefinition is a schema or something else. */
static int decode_union(
                struct decoder *d, enum protobuf_union form, struct reader in, json_t **ret) {
        _cleanup_json_ json_t *schema = NULL, *list = json_array();
        unsigned field, wire;
        struct reader bytes;
        uint64_t value = 0;
        bool allows = false;
        int r;

        if (!list || !d->props)
                return -ENOMEM;
        while ((r = read_field(&in, &field, &wire, &value, &bytes)) == 0) {
                json_t *item = NULL;

                if (++d->values > VALUES_MAX)
                        return fail(d, "the message has too many values");
                if (form == UNION_BOOL && field == 1 && wire == WIRE_VARINT)
                        allows = value != 0;
                if (wire != WIRE_BYTES || field < 1 || field > 2)
                        continue;
                r = form == UNION_STRINGS && field == 2
                                    ? (item = string_of(bytes)) ? 0
                                                                : fail(d, "a string is not UTF-8")
                                    : decode_value(d, d->props, bytes, &item);
                if (r < 0)
                        return r;
                if (form != UNION_BOOL && field == 2) {
                        if (json_array_append_new(list, item) < 0)
                                return -ENOMEM;
                        continue;
                }
                json_decref(schema);
                schema = item;
        }
        if (r < 0)
                return fail(d, "a schema is malformed");
        if (json_array_size(list) > 0)
                *ret = TAKE_PTR(list);
        else if (schema)
                *ret = TAKE_PTR(schema);
        else if (form == UNION_BOOL)
                *ret = json_boolean(allows);
        return 0;
}

static int decode_value(struct decoder *d, const struct schema *s, struct reader in, json_t **ret) {
        enum protobuf_union form = protobuf_union_of(s);

        if (form != UNION_NONE)
                return decode_union(d, form, in, ret);
        if (s->type == SCHEMA_STRING)
                return decode_string(d, s, in, ret);
        if (s->type == SCHEMA_INT_OR_STRING)
                return decode_int_or_string(d, in, ret);
        if (s->type == SCHEMA_ANY ||
                        (s->type == SCHEMA_OBJECT && s->flags & SCHEMA_PRESERVE_UNKNOWN &&
                                        s->field_count == 0))
                return decode_json(d, in, ret);
        if (s->type != SCHEMA_OBJECT)
                return fail(d, "a field has another wire type than its kind says");
        *ret = json_object();
        if (!*ret)
                return -ENOMEM;
        int r = decode_object(d, s, in, *ret);
        if (r < 0) {
                json_decref(*ret);
                *ret = NULL;
        }
        return r;
}

static json_t *decode_number(const struct schema *s, uint64_t value) {
        if (s->type == SCHEMA_BOOLEAN)
                return json_boolean(value != 0);
        if (s->type == SCHEMA_INTEGER)
                return json_integer(s->format == FORMAT_INT32 ? (int32_t)value : (int64_t)value);
        return NULL;
}

/* ExtraValue and its like: a map's value that is a list is a message {items=1}. */
static int decode_list_message(
                struct decoder *d, const struct schema *s, struct reader in, json_t **ret) {
        _cleanup_json_ json_t *list = json_array();
        unsigned field, wire;
        struct reader bytes;
        uint64_t value;
        int r;

        if (!list)
                return -ENOMEM;
        while ((r = read_field(&in, &field, &wire, &value, &bytes)) == 0) {
                json_t *item = NULL;

                if (++d->values > VALUES_MAX)
                        return fail(d, "the message has too many values");
                if (field != 1 || wire != WIRE_BYTES)
                        continue;
                r = decode_value(d, s->items, bytes, &item);
                if (r < 0)
                        return r;
                if (item && json_array_append_new(list, item) < 0)
                        return -ENOMEM;
        }
        if (r < 0)
                return fail(d, "a list is malformed");
        *ret = TAKE_PTR(list);
        return 0;
}

static int decode_map_entry(
                struct decoder *d, const struct schema *values, struct reader in, json_t *map) {
        struct reader key, content;
        _cleanup_json_ json_t *v = NULL;
        int r;

        if (sub_bytes(in, 1, &key) < 0 || sub_bytes(in, 2, &content) < 0)
                return fail(d, "a map entry is malformed");
        r = values->type == SCHEMA_ARRAY ? decode_list_message(d, values, content, &v)
                                         : decode_value(d, values, content, &v);
        if (r < 0)
                return r;
        if (!utf8_is_valid((const char *)key.s, size_of(key)))
                return fail(d, "a map key is not UTF-8");
        if (!v)
                return 0;
        return json_object_setn_new(map, (const char *)key.s, size_of(key), TAKE_PTR(v)) < 0
                               ? -ENOMEM
                               : 0;
}

static json_t *child_container(json_t *object, const char *name, bool list) {
        json_t *v = json_object_get(object, name);

        if (!v) {
                v = list ? json_array() : json_object();
                if (!v || json_object_set_new(object, name, v) < 0)
                        return NULL;
        }
        return v;
}

static bool is_map(const struct schema *s) {
        return s->type == SCHEMA_OBJECT && s->additional && s->field_count == 0;
}

/* Whether a value that is "", 0 or false is set. */
static bool keeps_empty(const struct schema *s, const struct schema_field *f) {
        return f->flags & FIELD_REQUIRED || protobuf_is_pointer(strempty(s->name), f->name);
}

static int decode_repeated(struct decoder *d, const struct schema *items, unsigned wire,
                uint64_t value, struct reader bytes, json_t *list) {
        json_t *item = NULL;

        if (wire == WIRE_VARINT)
                item = decode_number(items, value);
        else if (items->type == SCHEMA_INTEGER) { /* packed */
                while (bytes.s < bytes.end) {
                        if (++d->values > VALUES_MAX)
                                return fail(d, "the message has too many values");
                        if (read_varint(&bytes, &value) < 0)
                                return fail(d, "a packed list is malformed");
                        if (json_array_append_new(list, decode_number(items, value)) < 0)
                                return -ENOMEM;
                }
                return 0;
        } else {
                int r = decode_value(d, items, bytes, &item);

                if (r < 0)
                        return r;
        }
        return item && json_array_append_new(list, item) < 0 ? -ENOMEM : 0;
}

static int decode_real(const struct schema *owner, const struct schema_field *f, uint64_t bits,
                json_t *object) {
        double real;

        memcpy(&real, &bits, sizeof(real));
        if (real == 0 && !keeps_empty(owner, f))
                return 0;
        return json_object_set_new(object, f->name, json_real(real)) < 0 ? -EINVAL : 0;
}

/* owner: the schema that the field is in. */
static int decode_field(struct decoder *d, const struct schema *owner, const struct schema_field *f,
                unsigned wire, uint64_t value, struct reader bytes, json_t *object) {
        const struct schema *s = f->schema;
        json_t *v = NULL, *inside;
        int r;

        if (wire == WIRE_FIXED64 && s->type == SCHEMA_NUMBER)
                return decode_real(owner, f, value, object);
        if (wire != WIRE_VARINT && wire != WIRE_BYTES)
                return 0;
        if (s->type == SCHEMA_ARRAY || (is_map(s) && wire == WIRE_BYTES)) {
                inside = child_container(object, f->name, s->type == SCHEMA_ARRAY);
                if (!inside)
                        return -ENOMEM;
                return s->type == SCHEMA_ARRAY
                                       ? decode_repeated(d, s->items, wire, value, bytes, inside)
                                       : decode_map_entry(d, s->additional, bytes, inside);
        }
        if (wire == WIRE_VARINT) {
                if (value == 0 && !keeps_empty(owner, f))
                        return 0;
                v = decode_number(s, value);
                return v && json_object_set_new(object, f->name, v) < 0 ? -ENOMEM : 0;
        }
        if (s->type == SCHEMA_INTEGER || s->type == SCHEMA_BOOLEAN || s->type == SCHEMA_NUMBER)
                return fail(d, "a field has another wire type than its kind says");
        r = decode_value(d, s, bytes, &v);
        if (r < 0 || !v)
                return r;
        /* Empty strings are what Go writes for unset ones (a required one is kept: a header's value
         * may be empty); empty messages stay only where being
         * there means something (emptyDir: {}), and that is everywhere but in metadata, spec and
         * status. */
        if ((json_is_string(v) && !*json_string_value(v) && !keeps_empty(owner, f)) ||
                        (json_is_object(v) && json_object_size(v) == 0 &&
                                        !protobuf_is_pointer(strempty(owner->name), f->name) &&
                                        (streq(f->name, "metadata") || streq(f->name, "status") ||
                                                        streq(f->name, "spec") ||
                                                        streq(f->name, "resources") ||
                                                        streq(f->name, "strategy")))) {
                json_decref(v);
                return 0;
        }
        return json_object_set_new(object, f->name, v) < 0 ? -ENOMEM : 0;
}

static const struct schema_field *field_by_number(
                const struct schema *s, unsigned outer, unsigned number) {
        for (size_t i = 0; i < s->field_count; i++)
                if (s->fields[i].protobuf == number && s->fields[i].protobuf_outer == outer)
                        return &s->fields[i];
        return NULL;
}

/* path: the numbers of the messages around it, the outermost highest, a byte each. */
static bool is_inlined(const struct schema *s, unsigned path) {
        for (size_t i = 0; i < s->field_count; i++)
                if (s->fields[i].protobuf_outer == path ||
                                (path < 256 && s->fields[i].protobuf_outer >> 8 == path))
                        return true;
        return false;
}

static int decode_fields(struct decoder *d, const struct schema *s, unsigned outer,
                struct reader in, json_t *object) {
        unsigned number, wire;
        struct reader bytes;
        uint64_t value = 0;
        int r;

        if (++d->depth > DEPTH_MAX)
                return fail(d, "the message is nested too deeply");
        if (protobuf_is_props(s))
                d->props = s;
        while ((r = read_field(&in, &number, &wire, &value, &bytes)) == 0) {
                const struct schema_field *f = field_by_number(s, outer, number);

                if (++d->values > VALUES_MAX)
                        return fail(d, "the message has too many values");
                if (f)
                        r = decode_field(d, s, f, wire, value, bytes, object);
                else if (outer < 256 && number < 256 && wire == WIRE_BYTES &&
                                is_inlined(s, outer << 8 | number))
                        r = decode_fields(d, s, outer << 8 | number, bytes, object);
                if (r < 0)
                        return r;
        }
        d->depth--;
        return r < 0 ? fail(d, "the message is malformed") : 0;
}

static int decode_object(
                struct decoder *d, const struct schema *s, struct reader in, json_t *object) {
        return decode_fields(d, s, 0, in, object);
}

int protobuf_decode(const struct schema *s, const void *data, size_t n, json_t **ret,
                char **ret_error) {
        struct decoder d = {.ret_error = ret_error};
        struct reader in = {data, n > 0 ? (const uint8_t *)data + n : data};
        _cleanup_json_ json_t *object = json_object();
        int r = object ? decode_object(&d, s, in, object) : -ENOMEM;

        if (r < 0)
                return r;
        *ret = TAKE_PTR(object);
        return 0;
}

int protobuf_unwrap(const void *data, size_t n, char **ret_api_version, char **ret_kind,
                const void **ret_raw, size_t *ret_raw_size) {
        static const uint8_t magic[] = {'k', '8', 's', 0};
        struct reader in = {data, (const uint8_t *)data + n}, type, raw, api_version, kind;

        if (n < sizeof(magic) || memcmp(data, magic, sizeof(magic)) != 0)
                return -EINVAL;
        in.s += sizeof(magic);
        if (sub_bytes(in, 1, &type) < 0 || sub_bytes(in, 2, &raw) < 0 ||
                        sub_bytes(type, 1, &api_version) < 0 || sub_bytes(type, 2, &kind) < 0)
                return -EINVAL;
        if (!utf8_is_valid((const char *)api_version.s, size_of(api_version)) ||
                        !utf8_is_valid((const char *)kind.s, size_of(kind)))
                return -EINVAL;
        char *version_text = strndup((const char *)api_version.s, size_of(api_version));
        char *kind_text = strndup((const char *)kind.s, size_of(kind));
        if (!version_text || !kind_text) {
                free(version_text);
                free(kind_text);
                return -ENOMEM;
        }
        *ret_api_version = version_text;
        *ret_kind = kind_text;
        *ret_raw = raw.s;
        *ret_raw_size = size_of(raw);
        return 0;
}
