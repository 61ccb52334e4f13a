/* The envelope is "k8s", a zero and the message Unknown: typeMeta 1 (apiVersion 1, kind 2), raw 2,
 * contentEncoding 3 and contentType 4, which are empty. A list's raw is {metadata 1, items 2}. A
 * frame of a watch is its length in four bytes, the highest first, and a bare WatchEvent: type 1,
 * object 2, a RawExtension whose raw 1 is a whole answer with its envelope. */
#include "kapid/pipeline/encode.h"

#include <inttypes.h>

#include "kapid/schema/protobuf.h"

static const char magic[] = {'k', '8', 's', 0};

bool schema_has_protobuf(const struct schema *s) {
        const struct schema_field *metadata = s ? schema_field_find(s, "metadata") : NULL;

        return metadata && metadata->protobuf;
}

bool kind_has_protobuf(const struct kind *k) {
        return !k->custom && schema_has_protobuf(k->schema);
}

struct message_type message_of_kind(const struct kind *k) {
        return (struct message_type){k->group, k->version, k->kind, k->schema};
}

struct message_type message_of_status(const struct kind_registry *registry) {
        return (struct message_type){
                        "", "v1", "Status", kind_registry_definition(registry, "meta.v1.Status")};
}

struct message_type message_of_metadata(const struct kind_registry *registry, const char *version) {
        return (struct message_type){"meta.k8s.io", version, "PartialObjectMetadata",
                        kind_registry_definition(registry, "meta.v1.PartialObjectMetadata")};
}

int encode_refused(struct problem *p, const struct kind *k, const char *path) {
        return problem_set(p, EINVAL, 500, "InternalError",
                        "Internal error occurred: %s \"%s\" has no protobuf form, because what is "
                        "stored does not fit its kind: ask for JSON, and write it again",
                        k->resource, path);
}

static int finish(const struct buf *b, int r) {
        return b->failed ? -ENOMEM : r;
}

/* The magic and typeMeta. */
static void put_type(struct buf *b, const struct message_type *t, const char *kind) {
        size_t group = strlen(t->group), version = strlen(t->version), start, at;

        buf_append(b, magic, sizeof(magic));
        start = protobuf_open(b, 1);
        at = protobuf_open(b, 1);
        if (group > 0) {
                buf_append(b, t->group, group);
                buf_append_char(b, '/');
        }
        buf_append(b, t->version, version);
        protobuf_close(b, at);
        protobuf_put_bytes(b, 2, kind, strlen(kind));
        protobuf_close(b, start);
}

static void put_no_content(struct buf *b) {
        protobuf_put_bytes(b, 3, "", 0);
        protobuf_put_bytes(b, 4, "", 0);
}

static int encode_as(struct buf *b, const struct message_type *t, const char *kind,
                const char *text, size_t n) {
        size_t raw;
        int r;

        put_type(b, t, kind);
        raw = protobuf_open(b, 2);
        r = protobuf_encode(b, t->schema, text, n);
        protobuf_close(b, raw);
        put_no_content(b);
        return finish(b, r);
}

int encode_answer(struct buf *b, const struct message_type *t, const char *text, size_t n) {
        return encode_as(b, t, t->kind, text, n);
}

static const struct schema text_schema = {.type = SCHEMA_STRING};
static const struct schema count_schema = {.type = SCHEMA_INTEGER, .format = FORMAT_INT64};
static const struct schema_field metadata_fields[] = {
                {.name = "continue", .schema = &text_schema, .protobuf = 3},
                {.name = "remainingItemCount", .schema = &count_schema, .protobuf = 4},
                {.name = "resourceVersion", .schema = &text_schema, .protobuf = 2},
};
static const struct schema metadata_schema = {.type = SCHEMA_OBJECT,
                .fields = metadata_fields,
                .field_count = ELEMENTS(metadata_fields)};

int encode_list(struct buf *b, const struct message_type *items, const char *list_kind,
                const char *text, size_t n) {
        const struct schema array = {.type = SCHEMA_ARRAY, .items = items->schema};
        const struct schema_field fields[] = {{.name = "items", .schema = &array, .protobuf = 2},
                        {.name = "metadata", .schema = &metadata_schema, .protobuf = 1}};
        const struct schema list = {
                        .type = SCHEMA_OBJECT, .fields = fields, .field_count = ELEMENTS(fields)};
        struct message_type t = *items;

        t.schema = &list;
        return encode_as(b, &t, list_kind, text, n);
}

int encode_item(struct buf *b, const struct message_type *t, const char *text, size_t n) {
        size_t start = protobuf_open(b, 2);
        int r = protobuf_encode(b, t->schema, text, n);

        protobuf_close(b, start);
        return finish(b, r);
}

int encode_list_head(struct buf *b, const struct message_type *items, const char *list_kind,
                const struct list_facts *facts, size_t items_size) {
        const char *token = strempty(facts->continue_token);
        _cleanup_buf_ struct buf metadata = {0};
        char revision[24];
        size_t start;

        snprintf(revision, sizeof(revision), "%" PRIu64, facts->revision);
        start = protobuf_open(&metadata, 1);
        protobuf_put_bytes(&metadata, 1, "", 0); /* selfLink */
        protobuf_put_bytes(&metadata, 2, revision, strlen(revision));
        protobuf_put_bytes(&metadata, 3, token, strlen(token));
        if (facts->remaining > 0)
                protobuf_put_number(&metadata, 4, facts->remaining);
        protobuf_close(&metadata, start);
        if (metadata.failed)
                return -ENOMEM;
        put_type(b, items, list_kind);
        protobuf_put_head(b, 2, metadata.size + items_size);
        buf_append(b, metadata.data, metadata.size);
        return finish(b, 0);
}

int encode_list_tail(struct buf *b) {
        put_no_content(b);
        return finish(b, 0);
}

int encode_event(struct buf *b, const char *word, const struct message_type *t, const char *text,
                size_t n) {
        size_t at = b->size, object, raw, size;
        int r;

        buf_append(b, "\0\0\0\0", 4);
        protobuf_put_bytes(b, 1, word, strlen(word));
        object = protobuf_open(b, 2);
        raw = protobuf_open(b, 1);
        r = encode_answer(b, t, text, n);
        protobuf_close(b, raw);
        protobuf_close(b, object);
        if (r < 0 || b->failed)
                return finish(b, r);
        size = b->size - at - 4;
        for (size_t i = 0; i < 4; i++)
                b->data[at + i] = (char)(size >> (24 - 8 * i) & 0xff);
        return 0;
}
