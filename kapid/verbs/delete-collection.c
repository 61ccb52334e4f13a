/* DELETE of a collection: each object of the selection is deleted as if alone, some at a time. The
 * first failure ends it; objects deleted or changed meanwhile are not failures. */
#include <inttypes.h>

#include "kapid/audit/audit.h"
#include "kapid/http/protobuf.h"
#include "kapid/pipeline/write.h"
#include "kapid/verbs/continue.h"
#include "kapid/verbs/converted.h"
#include "kapid/verbs/internal.h"
#include "kapid/verbs/delete.h"
#include "kapid/verbs/selection.h"
#include "kapid/verbs/verbs.h"
#include "lib/object.h"
#include "lib/vector.h"

enum { COLLECTION_PARALLEL = 16 };

struct collection {
        struct verb_state state;
        VECTOR(struct item *) items;
        size_t next, under_way; /* next: of items */
        struct bytes **deleted; /* the answer: its head, then texts and commas in turn */
        size_t deleted_count;
        struct bytes *comma;
        bool protobuf; /* they are messages, without commas */
        char *last;    /* the last path of a page; NULL: nothing is left */
        bool failed;
};

static struct collection *collection_of(const struct request *request) {
        return container_of(request->state, struct collection, state);
}

static void drop_items(struct collection *c) {
        for (size_t i = 0; i < c->items.count; i++)
                item_unref(c->items.items[i]);
        vector_done(&c->items);
}

static void collection_free(struct verb_state *s) {
        struct collection *c = container_of(s, struct collection, state);

        drop_items(c);
        free(c->last);
        for (size_t i = 0; i < c->deleted_count; i++)
                bytes_unref(c->deleted[i]);
        free(c->deleted);
        bytes_unref(c->comma);
        free(c);
}

static void collection_continue(struct request *request);

/* NULL: it cannot be shown. */
static struct bytes *show_deleted(struct request *request, const json_t *object) {
        const struct message_type t = request_message(request);
        _cleanup_free_ char *text = json_text(object);
        _cleanup_buf_ struct buf b = {0};

        if (!text)
                return NULL;
        if (!collection_of(request)->protobuf)
                return bytes_new(text, strlen(text));
        return encode_item(&b, &t, text, strlen(text)) < 0 ? NULL : bytes_new(b.data, b.size);
}

/* As text at once: a tree takes many times as much. Slot 0 is for the head. */
static void add_deleted(struct request *request, const json_t *object) {
        _cleanup_bytes_ struct bytes *b = show_deleted(request, object);
        struct collection *c = collection_of(request);

        if (!b)
                return;
        if (c->deleted_count > 1 && !c->protobuf)
                c->deleted[c->deleted_count++] = bytes_ref(c->comma);
        c->deleted[c->deleted_count++] = bytes_ref(b);
}

/* Objects that changed meanwhile are left; what was named beforehand is for all of them. */
static bool has_preconditions(const struct request *request) {
        const struct delete_options *o = &request->delete_options;

        return !isempty(o->uid) || !isempty(o->resource_version);
}

static void on_one_deleted(struct write *w, const struct problem *p) {
        struct request *request = w->request;
        struct collection *c = collection_of(request);

        assert(c->under_way > 0);
        c->under_way--;
        if (p && !c->failed && p->code != 404 && (p->code != 409 || has_preconditions(request))) {
                c->failed = true;
                respond_problem(request, p);
        } else if (!p && w->decision->object) {
                add_deleted(request, w->decision->object);
        }
        collection_continue(request);
}

/* What stands before and behind the objects. */
static int frame_deleted(struct request *request, struct buf *head, struct buf *tail) {
        const struct message_type t = request_message(request);
        struct list_facts facts = {.revision = caches_revision(request->api->caches)};
        const struct collection *c = collection_of(request);
        _cleanup_free_ char *token =
                        c->last ? continue_token(CONTINUE_NEWEST, c->last) : strdup("");
        size_t size = 0;

        if (!token)
                return -ENOMEM;

        if (!c->protobuf) {
                buf_append_str(tail, "]}");
                return buf_printf(head,
                                "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{"
                                "\"resourceVersion\":\"%" PRIu64 "\"%s%s%s},\"items\":[",
                                request->kind->list_kind, request->kind->api_version,
                                facts.revision, *token ? ",\"continue\":\"" : "", token,
                                *token ? "\"" : "");
        }
        for (size_t i = 1; i < c->deleted_count; i++)
                size += c->deleted[i]->size;
        facts.continue_token = *token ? token : NULL;
        (void)encode_list_tail(tail);
        return encode_list_head(head, &t, request->kind->list_kind, &facts, size);
}

static void collection_respond(struct request *request) {
        struct collection *c = collection_of(request);
        _cleanup_buf_ struct buf head = {0}, tail = {0};
        _cleanup_bytes_ struct bytes *first = NULL, *last = NULL;

        if (frame_deleted(request, &head, &tail) >= 0 && !tail.failed) {
                first = bytes_new(head.data, head.size);
                last = bytes_new(tail.data, tail.size);
        }
        if (!first || !last) {
                respond_errno(request, -ENOMEM);
                return;
        }
        bytes_unref(c->deleted[0]);
        c->deleted[0] = TAKE_PTR(first);
        c->deleted[c->deleted_count++] = TAKE_PTR(last);
        respond_pieces(request, 200, c->protobuf ? PROTOBUF_MEDIA_TYPE : "application/json",
                        c->deleted, c->deleted_count);
}

static int delete_item(struct request *request, const struct item *it) {
        const char *path = item_path(it), *slash = strchr(path, '/');
        bool namespaced = slash && request->kind->namespaced;
        _cleanup_free_ char *namespace =
                        namespaced ? strndup(path, (size_t)(slash - path)) : strdup("");

        if (!namespace)
                return -ENOMEM;
        write_start(request, &(struct write_options){.namespace = namespace,
                                             .name = namespaced ? slash + 1 : path,
                                             .decide = delete_decide,
                                             .done = on_one_deleted});
        return 0;
}

static void collection_continue(struct request *request) {
        struct collection *c = collection_of(request);

        while (!c->failed && c->next < c->items.count && c->under_way < COLLECTION_PARALLEL) {
                _cleanup_item_ struct item *it = TAKE_PTR(c->items.items[c->next]);

                c->next++;
                c->under_way++;
                if (delete_item(request, it) < 0) {
                        c->failed = true;
                        respond_errno(request, -ENOMEM);
                        return;
                }
        }
        if (!c->failed && c->next == c->items.count && c->under_way == 0 && request->http)
                collection_respond(request);
}

/* A page, as of a list. */
struct page {
        uint64_t limit; /* 0: all */
        char *after;
};

static int read_page(const struct request *request, struct page *ret, struct problem *p) {
        const char *limit = request_query(request, "limit"),
                   *token = request_query(request, "continue");
        int64_t number = 0;
        uint64_t revision;

        if (!isempty(limit) && parse_i64(limit, &number) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest", "limit: must be a number");
        ret->limit = (uint64_t)MAX(number, 0);
        return isempty(token) ? 0 : continue_parse(token, &revision, &ret->after, p);
}

/* May be called again after a refusal. */
static int collect(struct request *request, struct collection *c, struct problem *p) {
        _cleanup_(selection_done) struct selection s = {0};
        _cleanup_free_ char *prefix = NULL, *after = NULL;
        struct page page = {0};
        struct cache_walk walk;
        struct item *it;
        int r = selection_parse(request, &s, p);

        if (r < 0)
                return r;
        r = read_page(request, &page, p);
        after = page.after;
        if (r < 0)
                return r;
        drop_items(c);
        c->last = mfree(c->last);
        prefix = selection_prefix(request->kind, &s);
        if (!c->comma)
                c->comma = bytes_new(",", 1);
        if (!prefix || !c->comma)
                return -ENOMEM;
        if (after && !startswith(after, prefix))
                return problem_set(p, EINVAL, 400, "BadRequest", "continue key is not valid");
        r = selection_walk(request->kind, &s, request->cache, prefix, after, &walk);
        if (r < 0)
                return r;
        while (!c->last && (it = cache_walk_next(&walk))) {
                r = selection_matches(request->kind, &s, it, p);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                if (page.limit && c->items.count == page.limit) {
                        c->last = strdup(item_path(c->items.items[c->items.count - 1]));
                        continue;
                }
                r = vector_append(&c->items, it);
                if (r < 0)
                        return r;
                item_ref(it);
        }
        c->deleted = calloc(2 * c->items.count + 3, sizeof(*c->deleted));
        if (!c->deleted)
                return -ENOMEM;
        c->deleted[c->deleted_count++] = bytes_ref(c->comma); /* the head's place */
        return 0;
}

static int collection_begin(struct request *request, struct problem *p) {
        int r = collect(request, collection_of(request), p);

        if (r >= 0)
                collection_continue(request);
        return r;
}

static void collection_start(struct request *request) {
        request_convert_selected(request, collection_begin);
}

void verb_delete_collection(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        struct collection *c;
        int r = request_delete_options(request, &p);

        if (r < 0) {
                respond_error(request, r, &p);
                return;
        }
        c = calloc(1, sizeof(*c));
        if (!c) {
                respond_errno(request, -ENOMEM);
                return;
        }
        c->state.free = collection_free;
        c->protobuf = request->protobuf && request->form == FORM_OBJECT &&
                      !audit_wants_answer(request);
        request->state = &c->state;
        request_freshen(request, collection_start);
}
