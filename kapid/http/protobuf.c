/* Answers that are small, or made as JSON anyway, are turned into protobuf as a whole, by what
 * kind and apiVersion in them say. Objects of the cache, lists and watches go their own way from
 * the text (request.c, verbs/list.c, verbs/watch.c). */
#include "kapid/http/protobuf.h"

#include "lib/json-text.h"

bool request_has_protobuf(const struct request *request, enum form form) {
        const struct kind_subresource *sub = request->sub;

        if (form == FORM_TABLE)
                return false;
        if (form == FORM_PARTIAL || !request->kind)
                return true;
        /* Where it has no body of its own the answer is a Status. */
        return schema_has_protobuf(sub && sub->schema ? sub->schema : request->kind->schema);
}

struct message_type request_message(const struct request *request) {
        return request->form == FORM_PARTIAL
                               ? message_of_metadata(request->api->kinds, request->form_version)
                               : message_of_kind(request->kind);
}

const char *request_list_kind(const struct request *request) {
        return request->form == FORM_PARTIAL ? "PartialObjectMetadataList"
                                             : request->kind->list_kind;
}

/* Whether the member of the object is that string. */
static bool member_is(const char *text, const char *end, const char *name, const char *value) {
        const char *at = json_text_member(text, end, name);
        size_t n = strlen(value);

        return at && (size_t)(end - at) >= n + 2 && *at == '"' && memcmp(at + 1, value, n) == 0 &&
               at[n + 1] == '"';
}

static bool is_version(const char *text, const char *end, const struct message_type *t) {
        _cleanup_free_ char *api_version =
                        *t->group ? strformat("%s/%s", t->group, t->version) : strdup(t->version);

        return api_version && t->schema && member_is(text, end, "apiVersion", api_version);
}

int request_encode(const struct request *request, const char *text, size_t n, struct buf *ret) {
        const struct kind_subresource *sub = request->sub;
        const char *end = text + n;
        struct message_type types[4];
        size_t used = 0;

        types[used++] = message_of_status(request->api->kinds);
        types[used++] = message_of_metadata(request->api->kinds, request->form_version);
        if (sub && sub->schema)
                types[used++] = (struct message_type){
                                sub->group, sub->version, sub->kind, sub->schema};
        if (request->kind)
                types[used++] = message_of_kind(request->kind);
        for (size_t i = 0; i < used; i++)
                if (member_is(text, end, "kind", types[i].kind) &&
                                is_version(text, end, &types[i]) &&
                                (i == 0 || schema_has_protobuf(types[i].schema)))
                        return encode_answer(ret, &types[i], text, n);
        if (request->kind && member_is(text, end, "kind", request_list_kind(request))) {
                const struct message_type items = request_message(request);

                if (is_version(text, end, &items) && schema_has_protobuf(items.schema))
                        return encode_list(ret, &items, request_list_kind(request), text, n);
        }
        return -EOPNOTSUPP;
}
