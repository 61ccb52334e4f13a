/* Lists. The first page comes from the cache, at any freshness (docs/wire.md section 7);
 * later pages, and lists at an exact revision, read the store at that revision if something has
 * changed since, so that all pages are one snapshot however much changes in between. */
#include <inttypes.h>

#include "kapid/audit/audit.h"
#include "kapid/http/dispatch.h"
#include "kapid/http/protobuf.h"
#include "kapid/pipeline/forms.h"
#include "kapid/verbs/continue.h"
#include "kapid/verbs/converted.h"
#include "kapid/verbs/list-options.h"
#include "kapid/verbs/selection.h"
#include "kapid/verbs/verbs.h"
#include "lib/object.h"
#include "lib/vector.h"

enum { STORE_PAGE = 500, CONVERTED_AT_ONCE = 500 };

/* --- the parts of a list --- */

struct list {
        struct verb_state state;
        struct selection selection;
        uint64_t limit;    /* 0: none */
        uint64_t revision; /* of the snapshot */
        bool exact;        /* it was asked for */
        char *from;        /* continue behind this path; NULL: from the start */
        bool more;
        uint64_t remaining; /* 0: not known */
        size_t unreadable;
        struct item *last; /* the last one shown; NULL: none */
        size_t count;
        /* From the cache: the objects at the time it began. */
        VECTOR(struct item *) found;
        size_t at;        /* the next one of found */
        size_t converted; /* of found: they have their forms */
        bool store_more;  /* the store has more behind those of found */
        /* The answer: texts in a row, the cache's own in the plain form. The first is the head's.
         */
        VECTOR(struct bytes *) pieces;
        struct bytes *comma;
        struct buf text; /* the next piece of other forms */
        bool protobuf;   /* they are messages; else it is JSON, which may be turned into others */
        json_t *table;   /* with no rows but one at a time; NULL in other forms */
        /* Of messages whose list is audited whole: the items' texts, for the audit event, which
         * takes AUDIT_OBJECT_BYTES_MAX. */
        bool audited;
        VECTOR(struct bytes *) recorded;
        size_t recorded_size; /* with those that were too much */
};

enum { PIECE_SIZE = 64 << 10, SMALL_LIST = 200, UNREADABLE_WARNINGS_MAX = 10 };

static struct list *list_of(const struct request *request) {
        return container_of(request->state, struct list, state);
}

static void list_free(struct verb_state *s) {
        struct list *l = container_of(s, struct list, state);

        selection_done(&l->selection);
        free(l->from);
        item_unref(l->last);
        for (; l->at < l->found.count; l->at++)
                item_unref(l->found.items[l->at]);
        vector_done(&l->found);
        for (size_t i = 0; i < l->pieces.count; i++)
                bytes_unref(l->pieces.items[i]);
        vector_done(&l->pieces);
        for (size_t i = 0; i < l->recorded.count; i++)
                bytes_unref(l->recorded.items[i]);
        vector_done(&l->recorded);
        bytes_unref(l->comma);
        buf_done(&l->text);
        json_decref(l->table);
        free(l);
}

static int record(struct list *l, struct bytes *text) {
        int r;

        l->recorded_size += text->size + 1;
        if (l->recorded_size > AUDIT_OBJECT_BYTES_MAX)
                return 0;
        r = vector_append(&l->recorded, text);
        if (r >= 0)
                bytes_ref(text);
        return r;
}

static int add_piece(struct list *l, struct bytes *b) {
        int r;

        if (!b)
                return -ENOMEM;
        r = vector_append(&l->pieces, b);
        if (r < 0)
                return r;
        bytes_ref(b);
        return 0;
}

static int flush_text(struct list *l) {
        _cleanup_bytes_ struct bytes *b = NULL;

        if (l->text.failed)
                return -ENOMEM;
        if (l->text.size == 0)
                return 0;
        b = bytes_new(l->text.data, l->text.size);
        buf_reset(&l->text);
        return add_piece(l, b);
}

/* The object in the list's form; a new reference. */
static int form_object(
                struct request *request, struct list *l, const json_t *object, json_t **ret) {
        json_t *rows;

        if (request->form == FORM_OBJECT) {
                *ret = json_incref((json_t *)object);
                return 0;
        }
        if (request->form == FORM_PARTIAL) {
                *ret = partial_metadata(object, request->form_version);
                return *ret ? 0 : -ENOMEM;
        }
        if (table_add_row(l->table, request->kind, object, request->include, request->now_us) < 0)
                return -ENOMEM;
        rows = json_object_get(l->table, "rows");
        *ret = json_incref(json_array_get(rows, 0));
        (void)json_array_clear(rows);
        return *ret ? 0 : -ENOMEM;
}

static int write_pretty(
                struct request *request, struct list *l, struct item *it, struct problem *p) {
        _cleanup_json_ json_t *object = NULL, *v = NULL;
        _cleanup_free_ char *text = NULL;
        int r = item_object_as(it, request->kind, &object, p);

        if (r < 0)
                return r;
        r = form_object(request, l, object, &v);
        if (r < 0)
                return r;
        text = json_text_pretty(v);
        return text ? buf_append_str(&l->text, text) : -ENOMEM;
}

/* A Table's row or metadata alone, from the item's text. */
static int write_formed(
                struct request *request, struct list *l, struct item *it, struct problem *p) {
        const struct bytes *text;
        int r;

        if (request_is_pretty(request))
                return write_pretty(request, l, it, p);
        r = item_as(it, request->kind, &it, p);
        if (r < 0)
                return r;
        text = item_text(it);
        if (request->form == FORM_TABLE)
                return table_write_row(&l->text, request->kind, text->data, text->size,
                                request->include, request->now_us);
        return partial_metadata_write(&l->text, text->data, text->size, request->form_version);
}

static int write_message(
                struct request *request, struct list *l, struct item *it, struct problem *p) {
        const struct message_type t = request_message(request);
        int r = item_as(it, request->kind, &it, p);

        if (r < 0)
                return r;
        r = l->audited ? record(l, item_text(it)) : 0;
        if (r < 0)
                return r;
        r = encode_item(&l->text, &t, item_text(it)->data, item_text(it)->size);
        return r == -EINVAL ? encode_refused(p, request->kind, item_path(it)) : r;
}

static int add_formed(struct request *request, struct list *l, struct item *it, struct problem *p) {
        int r;

        if (l->count > 1 && !l->protobuf)
                buf_append_str(&l->text, ",");
        r = l->protobuf ? write_message(request, l, it, p) : write_formed(request, l, it, p);
        if (r < 0)
                return r;
        return l->text.size < PIECE_SIZE && !l->text.failed ? 0 : flush_text(l);
}

static int list_add(struct request *request, struct list *l, struct item *it, struct problem *p) {
        int r;

        item_unref(l->last);
        l->last = item_ref(it);
        l->count++;
        /* YAML is made of the whole answer at its end. */
        if (request->form != FORM_OBJECT || l->protobuf || request_is_pretty(request))
                return add_formed(request, l, it, p);
        r = item_as(it, request->kind, &it, p);
        if (r < 0)
                return r;
        if (l->count > 1) {
                r = add_piece(l, l->comma);
                if (r < 0)
                        return r;
        }
        return add_piece(l, item_text(it));
}

static json_t *list_metadata(const struct list *l) {
        char number[24];
        json_t *m;

        snprintf(number, sizeof(number), "%" PRIu64, l->revision);
        m = json_pack("{ss}", "resourceVersion", number);
        if (m && l->more) {
                _cleanup_free_ char *token =
                                continue_token(l->revision, l->last ? item_path(l->last) : "");

                json_object_set_new(m, "continue", json_string(strempty(token)));
                if (l->remaining > 0)
                        json_object_set_new(m, "remainingItemCount",
                                        json_integer((json_int_t)l->remaining));
        }
        return m;
}

static int list_begin(struct request *request, struct list *l) {
        bool audited = request->protobuf && audit_wants_answer(request);

        l->protobuf = request->protobuf && (!audited || request->form == FORM_OBJECT);
        l->audited = audited && l->protobuf;
        l->comma = bytes_new(",", 1);
        if (request->form == FORM_TABLE) {
                l->table = table_new(request->kind, request->form_version, NULL, true);
                if (!l->table)
                        return -ENOMEM;
        }
        return l->comma ? add_piece(l, l->comma) : -ENOMEM; /* the head's place */
}

static int message_head(struct request *request, struct list *l, struct buf *b) {
        const struct message_type t = request_message(request);
        _cleanup_free_ char *token = NULL;
        struct list_facts facts = {.revision = l->revision};
        size_t size = 0;

        if (l->more) {
                token = continue_token(l->revision, l->last ? item_path(l->last) : "");
                if (!token)
                        return -ENOMEM;
                facts.continue_token = token;
                facts.remaining = l->remaining;
        }
        /* Without the place of the head, and the tail. */
        for (size_t i = 1; i + 1 < l->pieces.count; i++)
                size += l->pieces.items[i]->size;
        return encode_list_head(b, &t, request_list_kind(request), &facts, size);
}

/* Everything before the first item. In a Table the rows come last. */
static int text_head(struct request *request, struct list *l, struct buf *b) {
        _cleanup_json_ json_t *metadata = list_metadata(l);
        _cleanup_free_ char *text = NULL;

        if (l->table && metadata) {
                size_t n;

                json_object_set(l->table, "metadata", metadata);
                text = json_text(l->table);
                n = text ? strlen(text) : 0;
                if (n < 2 || !streq(text + n - 2, "]}"))
                        return -ENOMEM;
                return buf_append(b, text, n - 2);
        }
        text = metadata ? json_text(metadata) : NULL;
        if (!text)
                return -ENOMEM;
        if (request->form == FORM_PARTIAL)
                return buf_printf(b,
                                "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\""
                                "meta.k8s.io/%s\",\"metadata\":%s,\"items\":[",
                                request->form_version, text);
        return buf_printf(b, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":%s,\"items\":[",
                        request->kind->list_kind, request->kind->api_version, text);
}

/* The last text, the end, and the head in the place that was kept for it. */
static int list_finish(struct request *request, struct list *l) {
        _cleanup_buf_ struct buf head = {0};
        struct bytes *first;
        int r;

        r = flush_text(l);
        if (r < 0)
                return r;
        r = l->protobuf ? encode_list_tail(&l->text) : buf_append_str(&l->text, "]}");
        if (r < 0)
                return r;
        r = flush_text(l);
        if (r < 0)
                return r;
        r = l->protobuf ? message_head(request, l, &head) : text_head(request, l, &head);
        if (r < 0)
                return r;
        first = head.failed ? NULL : bytes_new(head.data, head.size);
        if (!first)
                return -ENOMEM;
        bytes_unref(l->pieces.items[0]);
        l->pieces.items[0] = first;
        return 0;
}

/* The audit event has the list as JSON, or that it was too large. */
static int list_record(struct request *request, struct list *l) {
        _cleanup_buf_ struct buf b = {0};
        int r;

        if (l->recorded_size <= AUDIT_OBJECT_BYTES_MAX) {
                r = text_head(request, l, &b);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; b.size > 0 && i < l->recorded.count; i++) {
                if (i > 0)
                        buf_append_char(&b, ',');
                buf_append(&b, l->recorded.items[i]->data, l->recorded.items[i]->size);
        }
        if (b.size > 0)
                buf_append_str(&b, "]}");
        if (b.failed)
                return -ENOMEM;
        audit_answer_text(request, 200, "application/json", strempty(b.data),
                        b.size > 0 ? b.size : l->recorded_size);
        return 0;
}

static int list_end(struct request *request, struct list *l) {
        int r = list_finish(request, l);

        return r < 0 || !l->audited ? r : list_record(request, l);
}

static void list_respond(struct request *request, struct list *l) {
        int r = list_end(request, l);

        if (r < 0)
                respond_errno(request, r);
        else
                respond_pieces(request, 200, l->protobuf ? PROTOBUF_MEDIA_TYPE : "application/json",
                                l->pieces.items, l->pieces.count);
}

/* --- from the cache --- */

/* One item that was there when the list began. 1: the list is full. */
static int add_found(struct request *request, struct list *l, struct item *it, struct problem *p) {
        int r = selection_matches(request->kind, &l->selection, it, p);

        if (r <= 0)
                return r;
        if (l->limit && l->count == l->limit) {
                l->more = true;
                return 1;
        }
        return list_add(request, l, it, p);
}

static void list_slice(struct request *request);
static void list_store_page(struct request *request);

/* It left its seat to wait, and may have a long way to go. */
static void list_converted(struct request *request) {
        dispatch_return(request, list_slice);
}

/* The next items get their forms where a webhook makes them: no more than may be shown. 1: it is
 * asked, and the list continues with its answer. */
static int convert_next(struct request *request, struct list *l, struct problem *p) {
        size_t n = l->found.count - l->at;

        if (!request->kind->by_webhook || l->at < l->converted)
                return 0;
        if (l->limit && l->limit - l->count < CONVERTED_AT_ONCE)
                n = MIN(n, (size_t)(l->limit - l->count + 1));
        n = MIN(n, (size_t)CONVERTED_AT_ONCE);
        l->converted = l->at + n;
        return request_convert(request, l->found.items + l->at, n, list_converted, p);
}

/* Some milliseconds' worth, then others have their turn. */
static void list_slice(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        struct list *l = list_of(request);
        int r = 0;

        while (r == 0 && l->at < l->found.count) {
                _cleanup_item_ struct item *it = NULL;

                if (dispatch_is_long(request)) {
                        dispatch_continue(request, list_slice);
                        return;
                }
                r = convert_next(request, l, &p);
                if (r > 0)
                        return;
                if (r < 0)
                        break;
                it = l->found.items[l->at++];
                r = add_found(request, l, it, &p);
        }
        if (r < 0)
                respond_error(request, r, &p);
        else if (l->store_more && !l->more)
                list_store_page(request);
        else
                list_respond(request, l);
}

/* Objects that no key opens: the others are listed without them. */
static void warn_unreadable(struct request *request, const char *prefix) {
        const struct caches *caches = request->api->caches;
        _cleanup_free_ char *keys = NULL;
        const char *key = "", *why;

        if (caches_unreadable_count(caches) == 0)
                return;
        keys = strformat("%s%s", request->kind->storage_prefix, prefix);
        for (int i = 0; keys && i < UNREADABLE_WARNINGS_MAX; i++) {
                key = caches_unreadable_after(caches, keys, key, &why);
                if (!key)
                        return;
                request_warn(request, why);
        }
}

/* Takes the present items: the list is one snapshot, however long it takes to write. */
static int list_collect(struct request *request, struct list *l) {
        _cleanup_free_ char *prefix = selection_prefix(request->kind, &l->selection);
        bool everything = selection_is_everything(&l->selection);
        struct cache_walk walk;
        struct item *it;
        int r;

        if (!prefix)
                return -ENOMEM;
        r = list_begin(request, l);
        if (r < 0)
                return r;
        if (!l->exact)
                l->revision = caches_revision(request->api->caches);
        warn_unreadable(request, prefix);
        r = selection_walk(request->kind, &l->selection, request->cache, prefix, l->from, &walk);
        if (r < 0)
                return r;
        while ((it = cache_walk_next(&walk))) {
                if (everything && l->limit && l->found.count == l->limit) {
                        l->more = true;
                        l->remaining++;
                        continue;
                }
                r = vector_append(&l->found, it);
                if (r < 0)
                        return r;
                item_ref(it);
        }
        return 0;
}

static void list_gather(struct request *request) {
        int r = list_collect(request, list_of(request));

        if (r < 0)
                respond_errno(request, r);
        else
                list_slice(request);
}

static void list_from_cache(struct request *request) {
        if (cache_count(request->cache) <= SMALL_LIST)
                list_gather(request);
        else
                dispatch_continue(request, list_gather);
}

/* --- at a revision --- */

/* Those that a webhook converts are gathered first, then shown. */
static int keep_kv(struct list *l, struct item *it) {
        int r = 0;

        if (selection_is_everything(&l->selection) && l->limit &&
                        l->count + (l->found.count - l->at) == l->limit)
                return 1;
        r = vector_append(&l->found, it);
        if (r < 0)
                return r;
        item_ref(it);
        return 0;
}

/* 0, or 1 when the list is full. */
static int take_kv(struct request *request, struct list *l, const struct store_kv *kv,
                struct problem *p) {
        size_t prefix_size = strlen(request->kind->storage_prefix);
        _cleanup_item_ struct item *it = NULL;
        int r;

        free(l->from);
        l->from = strdup(kv->key + prefix_size);
        if (!l->from)
                return -ENOMEM;
        if (kv->unreadable) {
                if (l->unreadable++ < UNREADABLE_WARNINGS_MAX)
                        request_warn(request, kv->unreadable);
                return 0;
        }
        r = item_new(caches_pool(request->api->caches), kv->key, prefix_size, kv->value, kv->size,
                        kv->revision, &it);
        if (r == -EINVAL)
                return 0; /* not an object */
        if (r < 0)
                return r;
        return request->kind->by_webhook ? keep_kv(l, it) : add_found(request, l, it, p);
}

static int take_page(struct request *request, struct list *l, const struct store_result *res,
                struct problem *p) {
        for (size_t i = 0; i < res->count; i++) {
                int r = take_kv(request, l, &res->kvs[i], p);

                if (r < 0)
                        return r;
                if (r > 0) {
                        if (selection_is_everything(&l->selection))
                                l->remaining = res->total - i;
                        return r;
                }
        }
        return 0;
}

/* The reference server's words: its clients take the other token, or start again. */
static void token_expired(const char *token, struct problem *p) {
        _cleanup_free_ char *from = NULL;
        uint64_t revision;

        if (continue_parse(token, &revision, &from, p) < 0)
                return;
        problem_set(p, ESTALE, 410, "Expired",
                        "The provided continue parameter is too old to display a consistent list "
                        "result. You can start a new list without the continue parameter, or use "
                        "the continue token in this response to retrieve the remainder of the "
                        "results. Continuing with the provided token results in an inconsistent "
                        "list - objects that were created, modified, or deleted between the time "
                        "the first chunk was returned and now may show up in the list.");
        p->next = continue_token(CONTINUE_NEWEST, from);
}

static void page_failed(struct request *request, const struct store_result *res) {
        _cleanup_problem_ struct problem p = {0};

        const char *token = request_query(request, "continue");

        if (res->error == -ESTALE && isempty(token))
                problem_set(&p, ESTALE, 410, "Expired",
                                "The resourceVersion for the provided list is too old.");
        else if (res->error == -ESTALE)
                token_expired(token, &p);
        else
                store_problem(res, &p);
        respond_problem(request, &p);
}

static void on_store_page(const struct store_result *res, void *userdata) {
        _cleanup_request_ struct request *request = userdata;
        _cleanup_problem_ struct problem p = {0};
        struct list *l = list_of(request);
        int r;

        if (!request->http)
                return;
        if (res->error) {
                page_failed(request, res);
                return;
        }
        if (l->revision == CONTINUE_NEWEST)
                l->revision = res->revision;
        r = take_page(request, l, res, &p);
        l->more = r > 0;
        l->store_more = r == 0 && res->more;
        if (r < 0)
                respond_error(request, r, &p);
        else if (request->kind->by_webhook)
                list_slice(request);
        else if (l->store_more)
                list_store_page(request);
        else
                list_respond(request, l);
}

/* Asks for the keys behind the last one that was read. */
static int read_page(struct request *request, struct list *l) {
        const char *storage = request->kind->storage_prefix;
        _cleanup_free_ char *prefix = selection_prefix(request->kind, &l->selection), *from = NULL,
                            *end = NULL;
        uint64_t limit = STORE_PAGE;
        int r;

        if (!prefix)
                return -ENOMEM;
        from = l->from ? strformat("%s%s\x01", storage, l->from)
                       : strformat("%s%s", storage, prefix);
        end = strformat("%s%s", storage, prefix);
        if (!from || !end)
                return -ENOMEM;
        end[strlen(end) - 1]++; /* both end in '/': the next character ends the range */
        if (l->limit && selection_is_everything(&l->selection))
                limit = MIN(l->limit + 1, STORE_PAGE);
        request_ref(request);
        r = store_range(request->api->store,
                        &(struct store_range){.key = from,
                                        .end = end,
                                        .revision = l->revision,
                                        .limit = limit},
                        on_store_page, request);
        if (r < 0)
                request_unref(request);
        return r;
}

static void list_store_page(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = read_page(request, list_of(request));

        if (r >= 0)
                return;
        if (r != -ENOMEM)
                store_problem(&(struct store_result){.error = r, .message = ""}, &p);
        respond_error(request, r, &p);
}

/* At l->revision: from the cache as long as nothing has changed since. */
static void list_exact(struct request *request) {
        struct list *l = list_of(request);
        int r;

        l->exact = true;
        if (cache_is_at(request->cache, l->revision)) {
                list_gather(request);
                return;
        }
        r = list_begin(request, l);
        if (r < 0)
                respond_errno(request, r);
        else
                list_store_page(request);
}

/* --- which of them --- */

static int match_refused(struct problem *p, const char *text) {
        return list_options_refused(p, "FieldValueForbidden", "resourceVersionMatch", text);
}

/* A later page: of the first page's snapshot. Its token was in the client's hands: it must not lead
 * to where the request itself does not. */
static int list_continue(
                struct request *request, struct list *l, const char *token, struct problem *p) {
        const char *version = request_query(request, "resourceVersion");
        _cleanup_free_ char *prefix = selection_prefix(request->kind, &l->selection);
        int r;

        if (!isempty(request_query(request, "resourceVersionMatch")))
                return match_refused(p, "Forbidden: resourceVersionMatch is forbidden when "
                                        "continue is provided");
        if (!isempty(version) && !streq(version, "0"))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "specifying resource version is not allowed when using "
                                "continue");
        r = continue_parse(token, &l->revision, &l->from, p);
        if (r < 0)
                return r;
        if (!prefix)
                return -ENOMEM;
        if (!startswith(l->from, prefix))
                return problem_set(p, EINVAL, 400, "BadRequest", "continue key is not valid");
        list_exact(request);
        return 0;
}

/* A first page: how fresh it has to be. */
static int list_fresh(struct request *request, struct list *l, const char *version,
                const char *match, struct problem *p) {
        bool exact = streq(match, "Exact");

        if (isempty(version)) {
                if (!isempty(match))
                        return match_refused(p, "Forbidden: resourceVersionMatch is forbidden "
                                                "unless resourceVersion is provided");
                request_freshen(request, list_from_cache);
                return 0;
        }
        if (l->revision == 0) {
                if (exact)
                        return match_refused(p, "Forbidden: resourceVersionMatch \"exact\" is "
                                                "forbidden for resourceVersion \"0\"");
                l->limit = 0; /* as the reference server: the cache is handed out whole */
                list_from_cache(request);
                return 0;
        }
        if (isempty(match))
                exact = l->limit > 0;
        request_wait_revision(request, l->revision, exact ? list_exact : list_from_cache);
        return 0;
}

static int list_start(struct request *request, struct list *l, struct problem *p) {
        const char *version = strempty(request_query(request, "resourceVersion")),
                   *match = strempty(request_query(request, "resourceVersionMatch")),
                   *limit = request_query(request, "limit"),
                   *timeout = request_query(request, "timeoutSeconds"),
                   *token = request_query(request, "continue");
        int r = selection_parse(request, &l->selection, p);
        int64_t number = 0, ignored;

        if (r < 0)
                return r;
        if (!isempty(limit) && parse_i64(limit, &number) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest", "limit: must be a number");
        if (!isempty(timeout) && parse_i64(timeout, &ignored) < 0)
                return problem_set(
                                p, EINVAL, 400, "BadRequest", "timeoutSeconds: must be a number");
        l->limit = (uint64_t)MAX(number, 0); /* less than nothing: all, as the reference server */
        if (request_query(request, "sendInitialEvents"))
                return list_options_refused(p, "FieldValueForbidden", "sendInitialEvents",
                                "Forbidden: sendInitialEvents is forbidden for list");
        if (!isempty(version) && parse_u64(version, &l->revision) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "resourceVersion: Invalid value: \"%.64s\"", version);
        r = list_options_check_match(match, p);
        if (r < 0)
                return r;
        if (!isempty(token))
                return list_continue(request, l, token, p);
        return list_fresh(request, l, version, match, p);
}

void verb_list(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        struct list *l = calloc(1, sizeof(*l));
        int r;

        if (!l) {
                respond_errno(request, -ENOMEM);
                return;
        }
        l->state.free = list_free;
        request->state = &l->state;
        r = list_start(request, l, &p);
        if (r < 0)
                respond_error(request, r, &p);
}
