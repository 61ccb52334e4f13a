/* metrics.k8s.io: nodes and pods with what the agents measured (kapid/usage.h). Made for each
 * request from the cached object and the newest report; in turns, as a cluster has many pods. */
#include "kapid/http/dispatch.h"
#include "kapid/usage.h"
#include "kapid/verbs/selection.h"
#include "kapid/verbs/verbs.h"
#include "lib/timefmt.h"

struct listing {
        struct verb_state state;
        struct selection selection;
        struct cache *cache; /* of the nodes or pods themselves */
        char *prefix;        /* of the paths that are listed */
        char *after;         /* the last path that was looked at; NULL: none */
        struct buf text;
        size_t count;
        json_t *table; /* with no rows but one at a time; NULL in other forms */
};

static struct listing *listing_of(const struct request *request) {
        return container_of(request->state, struct listing, state);
}

static void listing_free(struct verb_state *s) {
        struct listing *l = container_of(s, struct listing, state);

        selection_done(&l->selection);
        free(l->prefix);
        free(l->after);
        buf_done(&l->text);
        json_decref(l->table);
        free(l);
}

static int make_metrics(struct request *request, struct item *it, json_t **ret) {
        const struct usages *u = request->api->usages;

        return request->kind->namespaced ? usages_pod_metrics(u, it, now_mono_us(), ret)
                                         : usages_node_metrics(u, it, now_mono_us(), ret);
}

static bool is_selected(const struct request *request, const struct selection *s, const json_t *v) {
        if (s->labels && !label_selector_matches(s->labels, json_at(v, "metadata.labels")))
                return false;
        return !s->fields || kind_field_selector_matches(request->kind, s->fields, v);
}

/* The object in the form of the answer; a new reference. */
static json_t *in_form(struct request *request, struct listing *l, json_t *v) {
        json_t *rows, *row;

        if (request->form == FORM_PARTIAL)
                return partial_metadata(v, request->form_version);
        if (!l->table)
                return json_incref(v);
        if (table_add_row(l->table, request->kind, v, request->include, request->now_us) < 0)
                return NULL;
        rows = json_object_get(l->table, "rows");
        row = json_incref(json_array_get(rows, 0));
        (void)json_array_clear(rows);
        return row;
}

static int add_item(struct request *request, struct listing *l, struct item *it) {
        _cleanup_json_ json_t *v = NULL, *formed = NULL;
        _cleanup_free_ char *text = NULL;
        int r = make_metrics(request, it, &v);

        if (r <= 0 || !is_selected(request, &l->selection, v))
                return r;
        formed = in_form(request, l, v);
        text = formed ? json_text(formed) : NULL;
        if (!text)
                return -ENOMEM;
        buf_printf(&l->text, "%s%s", l->count++ > 0 ? "," : "", text);
        return l->text.failed ? -ENOMEM : 0;
}

static int finish(struct request *request, struct listing *l) {
        if (l->table) {
                _cleanup_free_ char *text = json_text(l->table);
                size_t n = text ? strlen(text) : 0;
                _cleanup_buf_ struct buf b = {0};

                /* It ends in an empty list of rows. */
                if (n < 2 || !streq(text + n - 2, "]}"))
                        return -ENOMEM;
                buf_append(&b, text, n - 2);
                buf_append(&b, strempty(l->text.data), l->text.size);
                buf_append_str(&b, "]}");
                if (b.failed)
                        return -ENOMEM;
                respond_data(request, 200, "application/json", b.data, b.size);
                return 0;
        }
        buf_append_str(&l->text, "]}");
        if (l->text.failed)
                return -ENOMEM;
        respond_data(request, 200, "application/json", l->text.data, l->text.size);
        return 0;
}

/* 1: it is another's turn. */
static int add_some(struct request *request, struct listing *l) {
        _cleanup_free_ char *from = l->after ? strformat("%s\x01", l->after) : strdup(l->prefix);

        if (!from)
                return -ENOMEM;
        for (struct item *it = cache_first(l->cache, from);
                        it && startswith(item_path(it), l->prefix); it = cache_next(l->cache, it)) {
                int r = add_item(request, l, it);

                if (r < 0)
                        return r;
                if (!dispatch_is_long(request))
                        continue;
                free(l->after);
                l->after = strdup(item_path(it));
                return l->after ? 1 : -ENOMEM;
        }
        return 0;
}

static void list_slice(struct request *request) {
        struct listing *l = listing_of(request);
        int r = add_some(request, l);

        if (r > 0) {
                dispatch_continue(request, list_slice);
                return;
        }
        if (r < 0) {
                respond_errno(request, r);
                return;
        }
        r = finish(request, l);
        if (r < 0)
                respond_errno(request, r);
}

static int list_begin(struct request *request, struct listing *l, struct problem *p) {
        int r = selection_parse(request, &l->selection, p);

        if (r < 0)
                return r;
        l->cache = api_cache(request->api, "", request->route.plural);
        l->prefix = isempty(request->route.namespace) ? strdup("")
                                                      : strformat("%s/", request->route.namespace);
        if (!l->cache || !l->prefix)
                return -ENOMEM;
        if (request->form == FORM_TABLE) {
                l->table = table_new(request->kind, request->form_version, NULL, true);
                return l->table ? 0 : -ENOMEM;
        }
        if (request->form == FORM_PARTIAL)
                return buf_printf(&l->text,
                                "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\""
                                "meta.k8s.io/%s\",\"metadata\":{},\"items\":[",
                                request->form_version);
        return buf_printf(&l->text,
                        "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{},\"items\":[",
                        request->kind->list_kind, request->kind->api_version);
}

static void list_metrics(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        struct listing *l = calloc(1, sizeof(*l));
        int r;

        if (!l) {
                respond_errno(request, -ENOMEM);
                return;
        }
        l->state.free = listing_free;
        request->state = &l->state;
        r = list_begin(request, l, &p);
        if (r < 0)
                respond_error(request, r, &p);
        else
                list_slice(request);
}

/* -ENOENT with p where there is no such node or pod, or no report of it. */
static int find_metrics(struct request *request, json_t **ret, struct problem *p) {
        struct item *it = api_find(request->api, "", request->route.plural,
                        request->route.namespace, request->route.name);
        int r = it ? make_metrics(request, it, ret) : 0;

        return r == 0 ? problem_not_found(p, request->kind, request->route.name) : r;
}

static void get_metrics(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *v = NULL;
        int r = find_metrics(request, &v, &p);

        if (r < 0)
                respond_error(request, r, &p);
        else
                respond_object(request, 200, v);
}

void verb_metrics(struct request *request) {
        if (isempty(request->route.name))
                list_metrics(request);
        else
                get_metrics(request);
}
