/* The v2 document in protobuf (gnostic's openapi.v2.Document): only PATCH operations with the query
 * parameter fieldValidation and the kind they are for. Messages are built inside out in buffers. */
#include "kapid/discovery/discovery.h"

enum { WIRE_BYTES = 2 };

static void put_varint(struct buf *b, uint64_t v) {
        for (; v >= 0x80; v >>= 7)
                buf_append_char(b, (char)(v | 0x80));
        buf_append_char(b, (char)v);
}

static void put_bytes(struct buf *b, unsigned field, const void *data, size_t n) {
        put_varint(b, (uint64_t)field << 3 | WIRE_BYTES);
        put_varint(b, n);
        buf_append(b, data, n);
}

static void put_string(struct buf *b, unsigned field, const char *s) {
        put_bytes(b, field, s, strlen(s));
}

/* Closes a message: writes inner as field of outer and empties inner. */
static void put_message(struct buf *outer, unsigned field, struct buf *inner) {
        put_bytes(outer, field, inner->data ? inner->data : "", inner->size);
        buf_reset(inner);
}

/* ParametersItem { parameter=1 { non_body_parameter=2 { query_parameter_sub_schema=3 { in=2,
 * name=4, type=6 } } } } */
static void put_parameter(struct buf *operation, const char *name) {
        _cleanup_buf_ struct buf a = {0}, b = {0};

        put_string(&a, 2, "query");
        put_string(&a, 4, name);
        put_string(&a, 6, "string");
        put_message(&b, 3, &a);
        put_message(&a, 2, &b);
        put_message(&b, 1, &a);
        put_message(operation, 8, &b);
        operation->failed |= a.failed || b.failed;
}

/* vendor_extension=13 { name=1, value=2 { yaml=2 } } */
static void put_kind(struct buf *operation, const struct kind *k) {
        _cleanup_buf_ struct buf extension = {0}, value = {0}, text = {0};

        buf_printf(&text, "group: %s\nkind: %s\nversion: %s\n", *k->group ? k->group : "\"\"",
                        k->kind, k->version);
        put_string(&value, 2, text.data ? text.data : "");
        put_string(&extension, 1, "x-kubernetes-group-version-kind");
        put_message(&extension, 2, &value);
        put_message(operation, 13, &extension);
        operation->failed |= extension.failed || value.failed || text.failed;
}

static void put_path(struct buf *paths, const struct kind *k) {
        _cleanup_buf_ struct buf operation = {0}, item = {0}, named = {0};
        _cleanup_free_ char *path = strformat("/%s/%s%s/%s/{name}", *k->group ? "apis" : "api",
                        k->api_version, k->namespaced ? "/namespaces/{namespace}" : "", k->plural);

        put_parameter(&operation, "fieldValidation");
        put_kind(&operation, k);
        put_message(&item, 8, &operation);
        put_string(&named, 1, strempty(path));
        put_message(&named, 2, &item);
        put_message(paths, 2, &named);
        paths->failed |= operation.failed || item.failed || named.failed || !path;
}

int openapi_v2_protobuf(const struct kind_registry *r, struct buf *ret) {
        _cleanup_buf_ struct buf info = {0}, paths = {0};
        const struct kind *k;

        put_string(ret, 1, "2.0");
        put_string(&info, 1, "keelson");
        put_string(&info, 2, "v1");
        put_message(ret, 2, &info);
        for (size_t i = 0; (k = kind_registry_at(r, i)); i++)
                if (k->verbs & KIND_PATCH)
                        put_path(&paths, k);
        put_message(ret, 8, &paths);
        return ret->failed || info.failed || paths.failed ? -ENOMEM : 0;
}
