/* Lists. The first page comes from the cache, at any freshness (kubernetes-wire.md section 7);
 * later pages, and lists at an exact revision, read the store at that revision, so that all pages
 * are one snapshot however much changes in between. */
#include "kapid/http/dispatch.h"
#include "kapid/cache/filled.h"
#include "kapid/verbs/verbs.h"

#include <inttypes.h>

#include "lib/object.h"
#include "lib/pki.h"

enum { STORE_PAGE = 500 };

/* --- selections --- */

void selection_done(struct selection *s) {
        label_selector_free(s->labels);
        field_selector_free(s->fields);
        free(s->name);
        *s = (struct selection){0};
}

int selection_parse(struct request *r, struct selection *ret, struct problem *p) {
        struct selection s = {.namespace = r->route.namespace};
        const char *path, *value;
        bool negated;
        int e;

        e = label_selector_parse(request_query(r, "labelSelector"), &s.labels, p);
        if (e >= 0)
                e = field_selector_parse(request_query(r, "fieldSelector"), &s.fields, p);
        if (e >= 0)
                e = kind_check_field_selector(r->kind, s.fields, p);
        for (size_t i = 0; e >= 0 && field_selector_term(s.fields, i, &path, &value, &negated);
                        i++) {
                if (negated || !streq(path, "metadata.name") || s.name)
                        continue;
                s.name = strdup(value);
                if (!s.name)
                        e = -ENOMEM;
        }
        if (e < 0)
                selection_done(&s);
        else
                *ret = s;
        return e;
}

bool selection_is_everything(const struct selection *s) {
        const char *path, *value;
        bool negated;

        return label_selector_is_everything(s->labels) &&
               !field_selector_term(s->fields, 0, &path, &value, &negated);
}

/* Whether the fields ask for nothing but the name, which the path has. */
static bool fields_are_name(const struct selection *s) {
        const char *path, *value;
        bool negated;

        for (size_t i = 0; field_selector_term(s->fields, i, &path, &value, &negated); i++)
                if (negated || !s->name || !streq(path, "metadata.name") || !streq(value, s->name))
                        return false;
        return true;
}

/* By path, by labels (read from the text), and only then by the whole object. */
bool selection_matches(const struct kind *k, const struct selection *s, struct item *it) {
        size_t n = strlen(s->namespace);
        const char *path = item_path(it), *slash;
        _cleanup_json_ json_t *o = NULL, *labels = NULL;

        if (k->namespaced && n > 0 && (strncmp(path, s->namespace, n) != 0 || path[n] != '/'))
                return false;
        if (s->name) {
                slash = strchr(path, '/');
                if (!streq(k->namespaced && slash ? slash + 1 : path, s->name))
                        return false;
        }
        if (selection_is_everything(s))
                return true;
        if (!label_selector_is_everything(s->labels) &&
                        (item_labels(it, &labels) < 0 ||
                                        !label_selector_matches(s->labels, labels)))
                return false;
        if (fields_are_name(s))
                return true;
        it = item_for_kind(it, k);
        o = it ? item_object_once(it) : NULL;
        return o && kind_field_selector_matches(k, s->fields, o);
}

char *selection_prefix(const struct kind *k, const struct selection *s) {
        return k->namespaced && !isempty(s->namespace) ? strformat("%s/", s->namespace)
                                                       : strdup("");
}

/* --- continue tokens: base64url of {"rv":N,"start":PATH} --- */

char *continue_token(uint64_t revision, const char *path) {
        _cleanup_json_ json_t *v = json_pack(
                        "{si, sI, ss}", "v", 1, "rv", (json_int_t)revision, "start", path);
        _cleanup_free_ char *text = v ? json_text(v) : NULL;
        char *token = text ? base64_encode(text, strlen(text)) : NULL;
        size_t n = token ? strlen(token) : 0;

        for (size_t i = 0; i < n; i++)
                token[i] = token[i] == '+' ? '-' : token[i] == '/' ? '_' : token[i];
        while (n > 0 && token[n - 1] == '=')
                token[--n] = 0;
        return token;
}

int continue_parse(const char *token, uint64_t *ret_revision, char **ret_path, struct problem *p) {
        _cleanup_buf_ struct buf b = {0};
        _cleanup_free_ void *data = NULL;
        _cleanup_json_ json_t *v = NULL;
        const char *start = NULL;
        int64_t revision = 0;
        size_t n;

        for (const char *s = token; *s; s++)
                buf_append_char(&b, *s == '-' ? '+' : *s == '_' ? '/' : *s);
        while (b.size % 4)
                buf_append_char(&b, '=');
        if (b.failed)
                return -ENOMEM;
        if (b.size > 0 && b.size < 4096 && base64_decode(b.data, &data, &n) >= 0 &&
                        json_parse(data, n, 0, &v, NULL) >= 0) {
                revision = json_int_or(v, "rv", 0);
                start = json_str(v, "start");
        }
        if (!start || revision <= 0 || json_int_or(v, "v", 0) != 1)
                return problem_set(p, EINVAL, 400, "BadRequest", "continue key is not valid");
        *ret_path = strdup(start);
        if (!*ret_path)
                return -ENOMEM;
        *ret_revision = (uint64_t)revision;
        return 0;
}

/* --- what a list is made of --- */

struct list {
        struct selection selection;
        uint64_t limit;    /* 0: none */
        uint64_t revision; /* of the snapshot */
        char *from;        /* continue behind this path; NULL: from the start */
        bool more;
        uint64_t remaining; /* 0: not known */
        char *last;         /* the last path shown */
        size_t count;
        /* From the cache: what was there when it began. */
        struct item **found;
        size_t found_count, found_allocated, at;
        /* The answer: texts in a row, the cache's own in the plain form. The first is the head's.
         */
        struct bytes **pieces;
        size_t piece_count, piece_allocated;
        struct bytes *comma;
        struct buf text; /* the next piece of other forms */
        json_t *table;   /* with no rows but one at a time; NULL in other forms */
};

enum { PIECE_SIZE = 64 << 10, SMALL_LIST = 200 };

static void list_free(void *p) {
        struct list *l = p;

        selection_done(&l->selection);
        free(l->from);
        free(l->last);
        for (; l->at < l->found_count; l->at++)
                item_unref(l->found[l->at]);
        free(l->found);
        for (size_t i = 0; i < l->piece_count; i++)
                bytes_unref(l->pieces[i]);
        free(l->pieces);
        bytes_unref(l->comma);
        buf_done(&l->text);
        json_decref(l->table);
        free(l);
}

static int grow(void *array, size_t *allocated, size_t count, size_t size) {
        void **p = array, *bigger;
        size_t n = *allocated ? 2 * *allocated : 64;

        if (count < *allocated)
                return 0;
        bigger = reallocarray(*p, n, size);
        if (!bigger)
                return -ENOMEM;
        *p = bigger;
        *allocated = n;
        return 0;
}

static int add_piece(struct list *l, struct bytes *b) {
        int e = b ? grow(&l->pieces, &l->piece_allocated, l->piece_count, sizeof(*l->pieces))
                  : -ENOMEM;

        if (e >= 0)
                l->pieces[l->piece_count++] = bytes_ref(b);
        return e;
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

static bool plain(const struct request *r) {
        return r->form == FORM_OBJECT && streq(r->kind->version, r->kind->storage_version) &&
               !query_true(request_query(r, "pretty"));
}

/* The item in the list's form; a new reference. */
static json_t *formed(struct request *r, struct list *l, struct item *it) {
        _cleanup_json_ json_t *o = request_object_of(r, it);
        json_t *rows, *row;

        if (!o)
                return NULL;
        if (r->form == FORM_PARTIAL)
                return partial_metadata(o, r->form_version);
        if (r->form != FORM_TABLE)
                return json_incref(o);
        if (table_add_row(l->table, r->kind, o, r->include, r->now_us) < 0)
                return NULL;
        rows = json_object_get(l->table, "rows");
        row = json_incref(json_array_get(rows, 0));
        (void)json_array_clear(rows);
        return row;
}

static int list_add(struct request *r, struct list *l, struct item *it) {
        _cleanup_json_ json_t *v = NULL;
        _cleanup_free_ char *text = NULL;
        char *last = strdup(item_path(it));

        it = item_for_kind(it, r->kind);
        if (!last || !it) {
                free(last);
                return -ENOMEM;
        }
        free(l->last);
        l->last = last;
        l->count++;
        if (plain(r)) {
                int e = l->count > 1 ? add_piece(l, l->comma) : 0;

                return e < 0 ? e : add_piece(l, item_text(it));
        }
        v = formed(r, l, it);
        text = !v                                       ? NULL
               : query_true(request_query(r, "pretty")) ? json_text_pretty(v)
                                                        : json_text(v);
        if (!text)
                return -ENOMEM;
        if (l->count > 1)
                buf_append_str(&l->text, ",");
        buf_append_str(&l->text, text);
        return l->text.size < PIECE_SIZE && !l->text.failed ? 0 : flush_text(l);
}

static json_t *list_metadata(const struct list *l) {
        char number[24];
        json_t *m;

        snprintf(number, sizeof(number), "%" PRIu64, l->revision);
        m = json_pack("{ss}", "resourceVersion", number);
        if (m && l->more) {
                _cleanup_free_ char *token = continue_token(l->revision, strempty(l->last));

                json_object_set_new(m, "continue", json_string(strempty(token)));
                if (l->remaining > 0)
                        json_object_set_new(m, "remainingItemCount",
                                        json_integer((json_int_t)l->remaining));
        }
        return m;
}

static int list_begin(struct request *r, struct list *l) {
        l->comma = bytes_new(",", 1);
        if (r->form == FORM_TABLE) {
                l->table = table_new(r->kind, r->form_version, NULL, true);
                if (!l->table)
                        return -ENOMEM;
        }
        return l->comma ? add_piece(l, l->comma) : -ENOMEM; /* the head's place */
}

/* Everything before the first item. In a Table the rows come last. */
static int list_head(struct request *r, struct list *l, struct buf *b) {
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
        if (r->form == FORM_PARTIAL)
                return buf_printf(b,
                                "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\""
                                "meta.k8s.io/%s\",\"metadata\":%s,\"items\":[",
                                r->form_version, text);
        return buf_printf(b, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":%s,\"items\":[",
                        r->kind->list_kind, r->kind->api_version, text);
}

static void list_respond(struct request *r, struct list *l) {
        _cleanup_buf_ struct buf head = {0};
        _cleanup_bytes_ struct bytes *tail = bytes_new("]}", 2);
        struct bytes *first = NULL;
        int e = flush_text(l);

        if (e >= 0)
                e = add_piece(l, tail);
        if (e >= 0)
                e = list_head(r, l, &head);
        if (e >= 0 && !head.failed)
                first = bytes_new(head.data, head.size);
        if (!first) {
                respond_errno(r, ENOMEM);
                return;
        }
        bytes_unref(l->pieces[0]);
        l->pieces[0] = first;
        respond_pieces(r, 200, "application/json", l->pieces, l->piece_count);
}

/* --- from the cache --- */

/* Some milliseconds' worth, then others have their turn. */
static void list_slice(struct request *r) {
        struct list *l = r->state;
        int e = 0;

        while (e >= 0 && l->at < l->found_count) {
                _cleanup_item_ struct item *it = NULL;

                if (dispatch_is_long(r)) {
                        dispatch_continue(r, list_slice);
                        return;
                }
                it = l->found[l->at++];
                if (!selection_matches(r->kind, &l->selection, it))
                        continue;
                if (l->limit && l->count == l->limit) {
                        l->more = true;
                        break;
                }
                e = list_add(r, l, it);
        }
        if (e < 0)
                respond_errno(r, e);
        else
                list_respond(r, l);
}

/* What is there now: the list is one snapshot, however long it takes to write. */
static int list_collect(struct request *r, struct list *l) {
        _cleanup_free_ char *prefix = selection_prefix(r->kind, &l->selection);
        bool everything = selection_is_everything(&l->selection);

        if (!prefix)
                return -ENOMEM;
        l->revision = caches_revision(r->api->caches);
        for (struct item *it = cache_first(r->cache, prefix);
                        it && startswith(item_path(it), prefix); it = cache_next(r->cache, it)) {
                if (everything && l->limit && l->found_count == l->limit) {
                        l->more = true;
                        l->remaining++;
                        continue;
                }
                if (grow(&l->found, &l->found_allocated, l->found_count, sizeof(*l->found)) < 0)
                        return -ENOMEM;
                l->found[l->found_count++] = item_ref(it);
        }
        return 0;
}

static void list_from_cache(struct request *r) {
        struct list *l = r->state;
        int e = list_begin(r, l);

        if (e >= 0)
                e = list_collect(r, l);
        if (e < 0)
                respond_errno(r, e);
        else if (l->found_count <= SMALL_LIST)
                list_slice(r);
        else
                dispatch_continue(r, list_slice);
}

/* --- from the store, at a revision --- */

static void list_store_page(struct request *r);

static int take_page(struct request *r, struct list *l, const struct store_result *res) {
        bool everything = selection_is_everything(&l->selection);

        for (size_t i = 0; i < res->count; i++) {
                _cleanup_item_ struct item *it = NULL;
                const struct store_kv *kv = &res->kvs[i];
                int e = item_new(caches_pool(r->api->caches), kv->key,
                                strlen(r->kind->storage_prefix), kv->value, kv->size, kv->revision,
                                &it);

                if (e == -EINVAL)
                        continue;
                if (e < 0)
                        return e;
                free(l->from);
                l->from = strdup(item_path(it));
                if (!l->from)
                        return -ENOMEM;
                if (!selection_matches(r->kind, &l->selection, it))
                        continue;
                if (l->limit && l->count == l->limit) {
                        l->more = true;
                        if (everything)
                                l->remaining = res->total - i;
                        return 0;
                }
                e = list_add(r, l, it);
                if (e < 0)
                        return e;
        }
        return 0;
}

static void on_store_page(const struct store_result *res, void *userdata) {
        _cleanup_request_ struct request *r = userdata;
        _cleanup_problem_ struct problem p = {0};
        struct list *l = r->state;
        int e;

        if (!r->http)
                return;
        if (res->error) {
                store_problem(res, &p);
                if (res->error == -ESTALE && isempty(request_query(r, "continue")))
                        problem_set(&p, ESTALE, 410, "Expired",
                                        "The resourceVersion for the provided list is too old.");
                else if (res->error == -ESTALE)
                        problem_set(&p, ESTALE, 410, "Expired",
                                        "The provided continue parameter is too old to display a "
                                        "consistent list result. You can start a new list without "
                                        "the continue parameter.");
                respond_problem(r, &p);
                return;
        }
        e = take_page(r, l, res);
        if (e < 0)
                respond_errno(r, e);
        else if (res->more && !l->more)
                list_store_page(r);
        else
                list_respond(r, l);
}

static void list_store_page(struct request *r) {
        struct list *l = r->state;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *prefix = selection_prefix(r->kind, &l->selection);
        _cleanup_free_ char *from = NULL, *end = NULL;
        int e;

        from = strformat("%s%s%s", r->kind->storage_prefix, l->from ? l->from : strempty(prefix),
                        l->from ? "\x01" : "");
        end = strformat("%s%s", r->kind->storage_prefix, strempty(prefix));
        if (!prefix || !from || !end) {
                respond_errno(r, ENOMEM);
                return;
        }
        end[strlen(end) - 1]++; /* both end in '/': the next character ends the range */
        e = store_range(r->api->store,
                        &(struct store_range){.key = from,
                                        .end = end,
                                        .revision = l->revision,
                                        .limit = l->limit && selection_is_everything(&l->selection)
                                                                 ? MIN(l->limit + 1, STORE_PAGE)
                                                                 : STORE_PAGE},
                        on_store_page, request_ref(r));
        if (e < 0) {
                store_problem(&(struct store_result){.error = e, .message = ""}, &p);
                respond_problem(r, &p);
                request_unref(r);
        }
}

static void list_from_store(struct request *r) {
        int e = list_begin(r, r->state);

        if (e < 0)
                respond_errno(r, e);
        else
                list_store_page(r);
}

/* --- which of them --- */

static int match_refused(struct problem *p, const char *text) {
        problem_set(p, EINVAL, 422, "Invalid", "list options is invalid: resourceVersionMatch: %s",
                        text);
        problem_cause(p, "FieldValueForbidden", "resourceVersionMatch", text);
        return -EINVAL;
}

static int list_start(struct request *r, struct list *l, struct problem *p) {
        const char *version = request_query(r, "resourceVersion"),
                   *match = request_query(r, "resourceVersionMatch"),
                   *limit = request_query(r, "limit"), *token = request_query(r, "continue");
        int e = selection_parse(r, &l->selection, p);

        if (e < 0)
                return e;
        if (!isempty(limit) && parse_u64(limit, &l->limit) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest", "limit: must be a number");
        if (!isempty(version) && parse_u64(version, &l->revision) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "resourceVersion: Invalid value: \"%.64s\"", version);
        if (!isempty(match) && !streq(match, "Exact") && !streq(match, "NotOlderThan"))
                return match_refused(p, "Unsupported value: supported values: \"Exact\", "
                                        "\"NotOlderThan\"");
        if (!isempty(token)) {
                if (!isempty(match))
                        return match_refused(p, "Forbidden: resourceVersionMatch is forbidden with "
                                                "continue");
                if (!isempty(version) && !streq(version, "0"))
                        return problem_set(p, EINVAL, 400, "BadRequest",
                                        "specifying resource version is not allowed when using "
                                        "continue");
                e = continue_parse(token, &l->revision, &l->from, p);
                if (e >= 0)
                        list_from_store(r);
                return e;
        }
        if (isempty(version)) {
                if (!isempty(match))
                        return match_refused(p, "Forbidden: resourceVersionMatch is forbidden "
                                                "unless resourceVersion is provided");
                request_freshen(r, list_from_cache);
                return 0;
        }
        if (l->revision == 0) {
                if (!isempty(match) && streq(match, "Exact"))
                        return match_refused(p, "Forbidden: resourceVersionMatch \"Exact\" is "
                                                "forbidden for resourceVersion \"0\"");
                l->limit = 0; /* as the reference server: the cache is handed out whole */
                list_from_cache(r);
                return 0;
        }
        if (!isempty(match) ? streq(match, "Exact") : l->limit > 0)
                request_wait_revision(r, l->revision, list_from_store);
        else
                request_wait_revision(r, l->revision, list_from_cache);
        return 0;
}

void verb_list(struct request *r) {
        _cleanup_problem_ struct problem p = {0};
        struct list *l = calloc(1, sizeof(*l));
        int e;

        if (!l) {
                respond_errno(r, ENOMEM);
                return;
        }
        r->state = l;
        r->free_state = list_free;
        e = list_start(r, l, &p);
        if (e >= 0)
                return;
        if (p.code)
                respond_problem(r, &p);
        else
                respond_errno(r, e);
}
