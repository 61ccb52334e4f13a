/* Objects as protobuf: bytes that Kubernetes' own encoder gives, worked out by hand; random objects
 * over the whole schema of every kind there and back; lists, events; texts that are cut short or
 * damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kapid/pipeline/encode.h"
#include "kapid/schema/internal.h"
#include "kapid/schema/protobuf.h"
#include "tests/unit/kapid-cases.h"

enum { OBJECTS_PER_KIND = 25, DEPTH_MAX = 9 };

struct dice {
        uint64_t state;
};

/* splitmix64 */
static uint64_t roll(struct dice *d, uint64_t bound) {
        uint64_t z = d->state += 0x9e3779b97f4a7c15;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return (z ^ z >> 31) % bound;
}

/* --- bytes --- */

/* Digits in hex; between single quotes characters as they are; blanks are skipped. */
static size_t bytes_of(const char *s, unsigned char *ret) {
        size_t n = 0;

        while (*s) {
                if (*s == '\'') {
                        for (s++; *s != '\''; s++)
                                ret[n++] = (unsigned char)*s;
                        s++;
                } else if (*s == ' ') {
                        s++;
                } else {
                        char byte[3] = {s[0], s[1], 0};

                        ret[n++] = (unsigned char)strtoul(byte, NULL, 16);
                        s += 2;
                }
        }
        return n;
}

static void assert_bytes(const char *what, const struct buf *b, const char *expected) {
        unsigned char wanted[2048];
        size_t n = bytes_of(expected, wanted);

        if (b->size == n && memcmp(b->data, wanted, n) == 0)
                return;
        fprintf(stderr, "%s:", what);
        for (size_t i = 0; i < b->size; i++)
                fprintf(stderr, " %02x", (unsigned char)b->data[i]);
        fail_msg("%s: %zu bytes, not these %zu", what, b->size, n);
}

static void encoded(const struct kind *k, const char *text, struct buf *b) {
        int r = protobuf_encode(b, k->schema, text, strlen(text));

        if (r < 0)
                fail_msg("%s: %d: %s", k->kind, r, text);
}

static void test_bytes(void **state) {
        static const struct {
                const char *group, *plural, *text, *bytes;
        } rows[] = {
                        {"", "namespaces",
                                        "{'apiVersion':'v1','status':{'phase':'Active'},"
                                        "'kind':'Namespace','metadata':{'labels':{'b':'2','a':'1'},"
                                        "'creationTimestamp':'2024-01-02T03:04:05Z','name':'x',"
                                        "'resourceVersion':'5','managedFields':null}}",
                                        "0a 20 0a01'x' 32 01'5' 42 08 08a5facdac06 1000"
                                        " 5a06 0a01'a' 1201'1' 5a06 0a01'b' 1201'2'"
                                        " 1a 08 0a06'Active'"},
                        /* Inlined messages; what is empty; numbers below 0; bytes; quantities. */
                        {"", "pods",
                                        "{'spec':{'priority':-2,'volumes':[{'emptyDir':{},'name':"
                                        "'v'}],'containers':[{'livenessProbe':{'periodSeconds':5,"
                                        "'tcpSocket':{'port':'web'},'exec':{}},'name':'','resources'"
                                        ":{'limits':{'memory':'1Gi','cpu':2}},'tty':false}]}}",
                                        "12 50 0a07 0a01'v' 1202 1200"
                                        " 1239 0a00 421d 0a0a 0a03'cpu' 1203 0a01'2'"
                                        " 0a0f 0a06'memory' 1205 0a03'1Gi'"
                                        " 5213 0a0f 0a00 1a0b 0a09 0801 1000 1a03'web' 2005"
                                        " 900100 c801feffffffffffffffff01"},
                        {"", "secrets", "{'data':{'b':'','a':'aGk='},'type':'Opaque'}",
                                        "1207 0a01'a' 1202'hi' 1205 0a01'b' 1200 1a06'Opaque'"},
                        /* Bits that no byte takes. */
                        {"", "secrets", "{'data':{'a':'QR==','b':'QUJ='}}",
                                        "1206 0a01'a' 1201'A' 1207 0a01'b' 1202'AB'"},
                        {"", "services",
                                        "{'spec':{'ports':[{'port':80,'targetPort':8080},"
                                        "{'port':443,'targetPort':'tls'}]}}",
                                        "12 1d 0a0b 1850 2207 0800 10903f 1a00"
                                        " 0a0e 18bb03 2209 0801 1000 1a03'tls'"},
                        {"", "configmaps", "{'data':{'\\u00e4\\ud83d\\ude00':'a\\n\\\"\\/'}}",
                                        "12 0e 0a06c3a4f09f9880 1204'a' 0a '\"' '/'"},
                        {"apps", "controllerrevisions", "{'data':{'a': [1, {}]},'revision':3}",
                                        "12 10 0a0e '{\"a\": [1, {}]}' 18 03"},
                        {"coordination.k8s.io", "leases",
                                        "{'spec':{'renewTime':'2024-01-02T03:04:05.000006Z'}}",
                                        "12 0b 2209 08a5facdac06 10f02e"},
                        {"coordination.k8s.io", "leases",
                                        "{'spec':{'renewTime':'2024-01-02T03:04:05."
                                        "0000060000000000000000000000000000000000000000000000"
                                        "00000000000000000000000000000000000000000000000Z'}}",
                                        "12 0b 2209 08a5facdac06 10f02e"},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_free_ char *text = quoted(rows[i].text);
                _cleanup_buf_ struct buf b = {0};

                encoded(kind(rows[i].group, rows[i].plural), text, &b);
                assert_bytes(rows[i].plural, &b, rows[i].bytes);
        }
}

/* --- there and back --- */

static json_t *random_string(struct dice *d, const struct schema *s) {
        static const char *const texts[] = {"a", "x-y", "a/b\"\\\n", "25%", "\xc3\xa4",
                        "\xf0\x9f\x98\x80 \x01", "Always",
                        ("a text that is longer than the 127 bytes whose length one byte can say, so "
                         "that the place of the length has to grow when it is known: more, more")};
        const json_t *allowed = s->rules ? s->rules->enumeration : NULL;
        const char *word = allowed ? json_string_value(json_array_get(
                                                     allowed, roll(d, json_array_size(allowed))))
                                   : NULL;

        if (!isempty(word))
                return json_string(word);
        switch (s->format) {
        case FORMAT_DATE_TIME:
                return json_string("2024-01-02T03:04:05Z");
        case FORMAT_MICRO_TIME:
                return json_string("2024-01-02T03:04:05.000678Z");
        case FORMAT_QUANTITY:
                return json_string(roll(d, 2) ? "1500m" : "2Gi");
        case FORMAT_BYTE:
                return json_string(roll(d, 2) ? "aGVsbG8=" : "AP8A");
        case FORMAT_DURATION:
                return json_string("15.003s");
        default:
                return json_string(texts[roll(d, ELEMENTS(texts))]);
        }
}

static json_t *random_value(struct dice *d, const struct schema *s, unsigned depth);

/* "", 0 or false, which a pointer may hold; NULL where they would count as unset. */
static json_t *empty_value(const struct schema *s, const struct schema_field *f) {
        if (!protobuf_is_pointer(strempty(s->name), f->name))
                return NULL;
        switch (f->schema->type) {
        case SCHEMA_STRING:
                return json_string("");
        case SCHEMA_INTEGER:
                return json_integer(0);
        case SCHEMA_BOOLEAN:
                return json_false();
        default:
                return NULL;
        }
}

/* What goes over the wire: nothing that the decoder takes for unset. */
static json_t *random_object(struct dice *d, const struct schema *s, unsigned depth) {
        static const char *const keys[] = {"zz", "b", "app", "x/y", "cpu", "a\"", "\xc3\xa4"};
        json_t *object = json_object();
        uint64_t n;

        for (size_t i = 0; i < s->field_count; i++) {
                const struct schema_field *f = &s->fields[i];

                json_t *v = roll(d, 4) ? NULL : empty_value(s, f);

                if (v || (f->protobuf && roll(d, 13) < (depth < 3 ? 9 : 4) && depth < DEPTH_MAX))
                        json_object_set_new(object, f->name,
                                        v ? v : random_value(d, f->schema, depth + 1));
        }
        for (n = s->additional ? 1 + roll(d, 4) : 0; n > 0; n--)
                json_object_set_new(object, keys[roll(d, ELEMENTS(keys))],
                                random_value(d, s->additional, depth + 1));
        if (s->field_count == 0 && !s->additional &&
                        (s->type == SCHEMA_ANY || s->flags & SCHEMA_PRESERVE_UNKNOWN))
                json_object_set_new(object, "x", json_pack("[i, {s: n}]", (int)roll(d, 9), "y"));
        return object;
}

/* A schema of a definition, or what may stand in its place. */
static json_t *random_union(struct dice *d, enum protobuf_union form, unsigned depth) {
        const struct schema *props =
                        kind_registry_definition(registry, "apiextensions.v1.JSONSchemaProps");
        json_t *list;

        if (roll(d, 2) || depth >= DEPTH_MAX)
                return random_object(d, props, depth);
        if (form == UNION_BOOL)
                return json_boolean(roll(d, 2));
        list = json_array();
        for (uint64_t n = 1 + roll(d, 2); n > 0; n--)
                json_array_append_new(list, form == UNION_STRINGS ? json_string("b")
                                                                  : random_object(d, props, depth));
        return list;
}

static json_t *random_value(struct dice *d, const struct schema *s, unsigned depth) {
        enum protobuf_union form = protobuf_union_of(s);
        json_t *list;

        if (form != UNION_NONE)
                return random_union(d, form, depth + 1);
        switch (s->type) {
        case SCHEMA_ARRAY:
                list = json_array();
                for (uint64_t n = 1 + roll(d, 3); n > 0; n--)
                        json_array_append_new(list, random_value(d, s->items, depth + 1));
                return list;
        case SCHEMA_STRING:
                return random_string(d, s);
        case SCHEMA_INTEGER:
                return json_integer(roll(d, 3) ? 1 + (json_int_t)roll(d, 100) : -7000);
        case SCHEMA_NUMBER:
                return json_real(((double)roll(d, 1000) - 500) / 8);
        case SCHEMA_BOOLEAN:
                return json_true();
        case SCHEMA_INT_OR_STRING:
                return roll(d, 2) ? json_integer((json_int_t)roll(d, 100)) : json_string("25%");
        default:
                return random_object(d, s, depth);
        }
}

/* Empty messages of these names count as unset. */
static void drop_unset(json_t *v) {
        static const char *const names[] = {"metadata", "status", "spec", "resources", "strategy"};
        const char *key;
        json_t *child;
        size_t i;

        json_object_foreach (v, key, child)
                if (!streq(key, "subresources")) /* whose status is a pointer */
                        drop_unset(child);
        json_array_foreach (v, i, child)
                drop_unset(child);
        for (i = 0; json_is_object(v) && i < ELEMENTS(names); i++) {
                child = json_object_get(v, names[i]);
                if (json_is_object(child) && json_object_size(child) == 0)
                        json_object_del(v, names[i]);
        }
}

/* The same members in another order. */
static json_t *backwards(const json_t *v) {
        const char *key;
        json_t *child, *made;
        size_t i;

        if (json_is_array(v)) {
                made = json_array();
                json_array_foreach ((json_t *)v, i, child)
                        json_array_append_new(made, backwards(child));
                return made;
        }
        if (!json_is_object(v))
                return json_incref((json_t *)v);
        made = json_object();
        json_object_foreach ((json_t *)v, key, child) {
                _cleanup_json_ json_t *rest = made;

                made = json_object();
                json_object_set_new(made, key, backwards(child));
                json_object_update(made, rest);
        }
        return made;
}

static void check_texts(const struct kind *k, const json_t *object, const struct buf *wanted) {
        static const size_t flags[] = {JSON_INDENT(3) | JSON_ENSURE_ASCII,
                        JSON_SORT_KEYS | JSON_ESCAPE_SLASH | JSON_COMPACT};
        _cleanup_json_ json_t *other = backwards(object);

        for (size_t i = 0; i < 2 * ELEMENTS(flags); i++) {
                _cleanup_free_ char *text = json_dumps(i < 2 ? object : other, flags[i % 2]);
                _cleanup_buf_ struct buf b = {0};

                encoded(k, text, &b);
                /* Free JSON is on the wire as it is in the text. */
                if (strstr(text, "\"x\""))
                        continue;
                if (b.size != wanted->size)
                        fail_msg("%s: %zu and %zu bytes: %s", k->kind, b.size, wanted->size, text);
                assert_memory_equal(b.data, wanted->data, b.size);
        }
}

static void check_kind(struct dice *d, const struct kind *k) {
        _cleanup_json_ json_t *object = random_object(d, k->schema, 0), *back = NULL;
        _cleanup_free_ char *text = json_dumps(object, JSON_COMPACT), *error = NULL;
        _cleanup_buf_ struct buf b = {0};
        int r;

        encoded(k, text, &b);
        check_texts(k, object, &b);
        r = protobuf_decode(k->schema, b.data, b.size, &back, &error);
        if (r < 0)
                fail_msg("%s: %s: %s", k->kind, strempty(error), text);
        drop_unset(object);
        drop_unset(back);
        if (!json_equal(object, back)) {
                _cleanup_free_ char *x = json_dumps(object, JSON_SORT_KEYS),
                                    *y = json_dumps(back, JSON_SORT_KEYS);

                fail_msg("%s:\n%s\n%s", k->kind, x, y);
        }
        /* Cut short, or with something changed: read or refused, never worse. */
        for (size_t n = 0; n < 40; n++) {
                _cleanup_buf_ struct buf cut = {0}, broken = {0};
                _cleanup_free_ char *copy = strdup(text), *why = NULL;
                _cleanup_json_ json_t *v = NULL;

                assert_int_equal(protobuf_encode(&cut, k->schema, text, roll(d, strlen(text))),
                                -EINVAL);
                copy[roll(d, strlen(text))] = (char)("{}[]\",:0ntf\\\0u"[roll(d, 14)]);
                (void)protobuf_encode(&broken, k->schema, copy, strlen(text));
                if (b.size == 0)
                        continue;
                b.data[roll(d, b.size)] ^= (char)(1 << roll(d, 8));
                (void)protobuf_decode(k->schema, b.data, roll(d, b.size), &v, &why);
        }
}

static void test_there_and_back(void **state) {
        struct dice d = {.state = 13};
        size_t kinds = 0;
        const struct kind *k;

        for (size_t i = 0; (k = kind_registry_at(registry, i)); i++) {
                if (!kind_has_protobuf(k))
                        continue;
                kinds++;
                for (size_t n = 0; n < OBJECTS_PER_KIND; n++)
                        check_kind(&d, k);
        }
        assert_true(kinds > 40);
}

/* --- what the documents say --- */

static void check_numbers(const struct kind *k, const struct schema *s, unsigned depth) {
        if (depth > DEPTH_MAX)
                return;
        for (size_t i = 0; i < s->field_count; i++) {
                const struct schema_field *f = &s->fields[i];
                bool type = streq(f->name, "apiVersion") || streq(f->name, "kind");

                if (!f->protobuf && !type)
                        fail_msg("%s: %s of %s has no number", k->kind, f->name, strempty(s->name));
                for (size_t j = 0; j < i; j++)
                        if (f->protobuf && f->protobuf == s->fields[j].protobuf &&
                                        f->protobuf_outer == s->fields[j].protobuf_outer)
                                fail_msg("%s: %s of %s has the number of %s", k->kind, f->name,
                                                strempty(s->name), s->fields[j].name);
                check_numbers(k, f->schema, depth + 1);
        }
        if (s->items)
                check_numbers(k, s->items, depth + 1);
        if (s->additional)
                check_numbers(k, s->additional, depth + 1);
}

/* A kind with numbers has them on every field: nothing is lost on the wire. */
static void test_numbers(void **state) {
        const struct kind *k;

        for (size_t i = 0; (k = kind_registry_at(registry, i)); i++)
                if (kind_has_protobuf(k))
                        check_numbers(k, k->schema, 0);
        assert_false(kind_has_protobuf(kind("keelson.dev", "gitsyncs")));
}

/* The table of pointers names fields that there are, each schema once and in order. */
static void test_pointers(void **state) {
        const char *schema, *fields, *before = "";
        size_t found = 0;

        for (size_t i = 0; (schema = protobuf_pointers(i, &fields)); i++) {
                const struct schema *s = kind_registry_definition(registry, schema);
                _cleanup_strv_free_ char **names = NULL;

                assert_true(strcmp(before, schema) < 0);
                before = schema;
                assert_int_equal(strv_split(fields, " ", &names), 0);
                for (char **name = names; s && name && *name; name++) {
                        if (!**name)
                                continue;
                        if (!schema_field_find(s, *name))
                                fail_msg("%s has no %s", schema, *name);
                        found++;
                }
        }
        assert_true(found > 150);
        assert_true(protobuf_is_pointer("core.v1.Toleration", "tolerationSeconds"));
        assert_true(protobuf_is_pointer("storage.v1.CSIDriverSpec", "attachRequired"));
        assert_true(protobuf_is_pointer("storage.v1.VolumeNodeResources", "count"));
        assert_false(protobuf_is_pointer("core.v1.Toleration", "Seconds"));
        assert_false(protobuf_is_pointer("core.v1.Toleration", "key"));
        assert_false(protobuf_is_pointer("", "tolerationSeconds"));
        assert_false(protobuf_is_pointer("zzz", "tolerationSeconds"));
}

static void assert_decoded(const struct kind *k, const char *hex, const char *expected) {
        unsigned char data[1024];
        size_t n = bytes_of(hex, data);
        _cleanup_json_ json_t *v = NULL;
        _cleanup_free_ char *error = NULL;

        if (protobuf_decode(k->schema, data, n, &v, &error) < 0)
                fail_msg("%s", strempty(error));
        assert_json(v, expected);
}

/* What Go writes for what is unset is nothing; a pointer to 0, false or "" is set. */
static void test_unset(void **state) {
        assert_decoded(kind("", "pods"),
                        "12 16 b201 0b 0a01'k' 1200 1a00 2200 2800 c80100 5800 9a0100",
                        "{'spec':{'tolerations':[{'key':'k','tolerationSeconds':0}],"
                        "'priority':0}}");
        assert_decoded(kind("", "persistentvolumeclaims"), "12 06 1200 1a00 2a00",
                        "{'spec':{'storageClassName':''}}");
        assert_decoded(kind("storage.k8s.io", "storageclasses"), "1200 2200 3000",
                        "{'provisioner':'','reclaimPolicy':'','allowVolumeExpansion':false}");
}

/* Bytes of Kubernetes' own encoder: schemas in place of other things, real numbers, and a pointer
 * to an empty message. */
static void test_definition(void **state) {
        assert_decoded(kind("apiextensions.k8s.io", "customresourcedefinitions"),
                        "129e020a01673a98020a027631100118002289020a86020a00120022002a066f626a65"
                        "637432003a0042030a0135490000000000000000500059000000000000f8bf60007a00"
                        "800100900100c201210a1f0a00120022002a016132003a00500060007a00900100a802"
                        "00b80200c00200e201420a00120022002a0032003a00500060007a00900100c2012112"
                        "1f0a00120022002a017132003a00500060007a00900100a80200b80200c00200a80200"
                        "b80200c00200f201230801121f0a00120022002a016232003a00500060007a00900100"
                        "a80200b80200c002008202080a016412031201788202260a016512210a1f0a00120022"
                        "002a016332003a00500060007a00900100a80200b80200c002008a02020800a80200b8"
                        "0200c002002a020a00",
                        "{'spec':{'group':'g','versions':[{'name':'v1','served':true,"
                        "'storage':false,'subresources':{'status':{}},'schema':{"
                        "'openAPIV3Schema':{'type':'object','default':5,'maximum':0.0,"
                        "'minimum':-1.5,'maxItems':0,'items':{'type':'a'},'not':{'items':[{"
                        "'type':'q'}]},'additionalProperties':{'type':'b'},'dependencies':{"
                        "'d':['x'],'e':{'type':'c'}},'additionalItems':false}}}]}}");
}

/* --- what goes around objects --- */

static void test_envelopes(void **state) {
        const struct message_type status = message_of_status(registry),
                                  metadata = message_of_metadata(registry, "v1"),
                                  secret = message_of_kind(kind("", "secrets"));
        static const char text[] = "{\"metadata\":{\"name\":\"x\"},\"type\":\"t\"}",
                          failure[] = "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
                                      "\"status\":\"Failure\",\"code\":404}";
        _cleanup_buf_ struct buf a = {0}, b = {0}, c = {0};

        assert_int_equal(encode_answer(&a, &status, failure, strlen(failure)), 0);
        assert_bytes("status", &a,
                        "'k8s'00 0a0c 0a02'v1' 1206'Status' 120e 0a00 1207'Failure' 309403"
                        " 1a00 2200");
        assert_int_equal(encode_answer(&b, &metadata, text, strlen(text)), 0);
        assert_bytes("metadata", &b,
                        "'k8s'00 0a27 0a0e'meta.k8s.io/v1' 1215'PartialObjectMetadata'"
                        " 1205 0a03 0a01'x' 1a00 2200");
        assert_int_equal(encode_event(&c, "ADDED", &secret, text, strlen(text)), 0);
        assert_bytes("event", &c,
                        "0000002b 0a05'ADDED' 1222 0a20 'k8s'00 0a0c 0a02'v1' 1206'Secret'"
                        " 1208 0a03 0a01'x' 1a01't' 1a00 2200");
}

/* A list in parts has the bytes of the whole. */
static void test_lists(void **state) {
        const struct message_type t = message_of_kind(kind("", "secrets"));
        static const char *const items[] = {
                        "{\"metadata\":{\"name\":\"a\"}}", "{}", "{\"type\":\"t\"}"};
        static const char whole[] =
                        "{\"kind\":\"SecretList\",\"metadata\":{\"resourceVersion\":\"7\",\"continue\":"
                        "\"c\",\"remainingItemCount\":300},\"items\":[{\"metadata\":{\"name\":\"a\"}},"
                        "{},{\"type\":\"t\"}]}";
        const struct list_facts facts = {.revision = 7, .continue_token = "c", .remaining = 300};
        _cleanup_buf_ struct buf parts = {0}, head = {0}, all = {0};

        for (size_t i = 0; i < ELEMENTS(items); i++)
                assert_int_equal(encode_item(&parts, &t, items[i], strlen(items[i])), 0);
        assert_int_equal(encode_list_head(&head, &t, "SecretList", &facts, parts.size), 0);
        buf_append(&head, parts.data, parts.size);
        assert_int_equal(encode_list_tail(&head), 0);
        assert_bytes("parts", &head,
                        "'k8s'00 0a10 0a02'v1' 120a'SecretList' 121b 0a0b 0a00 1201'7' 1a01'c' 20ac02"
                        " 1205 0a03 0a01'a' 1200 1203 1a01't' 1a00 2200");
        assert_int_equal(encode_list(&all, &t, "SecretList", whole, strlen(whole)), 0);
        assert_bytes("whole", &all,
                        "'k8s'00 0a10 0a02'v1' 120a'SecretList' 1219 0a09 1201'7' 1a01'c' 20ac02"
                        " 1205 0a03 0a01'a' 1200 1203 1a01't' 1a00 2200");
}

/* Nothing from outside leads deeper than the schema, and what does not fit it is refused. */
static void test_refusals(void **state) {
        static const char *const texts[] = {"", "[]", "{", "{\"spec\":[]}", "{\"spec\":1}",
                        "{\"metadata\":{\"name\":5}}", "{\"metadata\":{\"generation\":1.5}}",
                        "{\"metadata\":{\"creationTimestamp\":\"yesterday\"}}",
                        "{\"metadata\":{\"name\":\"\\ud800\"}}",
                        "{\"metadata\":{\"name\":\"\\q\"}}", "{\"metadata\":{\"name\":\"\\u12\"}}",
                        "{\"metadata\":{\"labels\":[]}}",
                        "{\"metadata\":{\"generation\":9223372036854775808}}",
                        "{\"spec\":{\"hostNetwork\":0}}"};
        const struct kind *k = kind("", "pods");
        _cleanup_buf_ struct buf deep = {0}, b = {0};

        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                _cleanup_buf_ struct buf out = {0};

                if (protobuf_encode(&out, k->schema, texts[i], strlen(texts[i])) != -EINVAL)
                        fail_msg("taken: %s", texts[i]);
        }
        buf_append_str(&deep, "{\"unknown\":");
        for (size_t i = 0; i < 100000; i++)
                buf_append_char(&deep, '[');
        assert_int_equal(protobuf_encode(&b, k->schema, deep.data, deep.size), -EINVAL);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_bytes),
                        cmocka_unit_test(test_there_and_back),
                        cmocka_unit_test(test_numbers),
                        cmocka_unit_test(test_pointers),
                        cmocka_unit_test(test_unset),
                        cmocka_unit_test(test_definition),
                        cmocka_unit_test(test_envelopes),
                        cmocka_unit_test(test_lists),
                        cmocka_unit_test(test_refusals),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
