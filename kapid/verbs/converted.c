/* A request waits for its conversions without its place among the requests that are served: the
 * webhook may need the API itself. */
#include "kapid/verbs/converted.h"

#include "kapid/conversion/conversion.h"
#include "kapid/http/dispatch.h"

/* Selections on what changes faster than it is converted. */
enum { SELECT_AGAIN_MAX = 5 };

struct wait {
        struct request *request;
        struct item **items; /* NULL: they are not kept */
        /* One of them. */
        void (*next)(struct request *request);
        request_select select;
        unsigned again; /* how often it was converted for select */
};

static void select_or_convert(struct request *request, request_select select, unsigned again);

static void on_converted(struct item *const *forms, size_t n, struct problem *p, void *userdata) {
        _cleanup_free_ struct wait *w = userdata;
        _cleanup_request_ struct request *request = w->request;

        if (!request->http)
                return;
        if (p) {
                respond_problem(request, p);
                return;
        }
        for (size_t i = 0; w->items && i < n; i++) {
                struct item *form = item_ref(forms[i]);

                if (!form)
                        continue;
                item_unref(w->items[i]);
                w->items[i] = form;
        }
        if (w->select)
                select_or_convert(request, w->select, w->again);
        else
                w->next(request);
}

static int convert(const struct wait *with, struct item **items, size_t n, struct problem *p) {
        struct request *request = with->request;
        struct wait *w;
        int r;

        if (!request->kind->by_webhook)
                return 0;
        w = malloc(sizeof(*w));
        if (!w)
                return -ENOMEM;
        *w = *with;
        r = conversion_start(request->api, request->kind, items, n,
                        &(struct conversion_waiter){
                                        .done = on_converted, .request = request, .userdata = w},
                        NULL, p);
        if (r <= 0) {
                free(w);
                return r;
        }
        request_ref(request);
        if (!streq(request->route.verb, "watch")) /* which takes its seat along */
                dispatch_leave(request);
        return 1;
}

int request_convert(struct request *request, struct item **items, size_t n,
                void (*next)(struct request *request), struct problem *p) {
        return convert(&(struct wait){.request = request, .items = items, .next = next}, items, n,
                        p);
}

static int convert_all(const struct wait *with, struct problem *p) {
        const struct request *request = with->request;
        const char *namespace = request->route.namespace;
        _cleanup_free_ char *prefix = isempty(namespace) ? strdup("") : strformat("%s/", namespace);
        _cleanup_free_ struct item **found =
                        calloc(cache_count(request->cache) + 1, sizeof(struct item *));
        size_t n = 0;

        if (!prefix || !found)
                return -ENOMEM;
        for (struct item *it = cache_first(request->cache, prefix);
                        it && startswith(item_path(it), prefix);
                        it = cache_next(request->cache, it))
                found[n++] = it;
        return convert(with, found, n, p);
}

static int refuse_selection(const struct kind *k, struct problem *p) {
        problem_set(p, EAGAIN, 503, "ServiceUnavailable",
                        "%s change faster than the conversion webhook converts them to %s, so that "
                        "they cannot be selected by their fields; please try again later",
                        k->resource, k->version);
        p->retry_after_s = 1;
        return -EAGAIN;
}

/* 1: a webhook is asked; the selection continues with its answer. */
static int convert_again(const struct wait *w, struct problem *p) {
        int r = w->again <= SELECT_AGAIN_MAX ? convert_all(w, p) : 0;

        return r == 0 ? refuse_selection(w->request->kind, p) : r;
}

/* What came or changed during a conversion may need one as well. */
static void select_or_convert(struct request *request, request_select select, unsigned again) {
        _cleanup_problem_ struct problem p = {0};
        int r = select(request, &p);

        if (r == -EAGAIN && request->kind->by_webhook) {
                problem_done(&p);
                r = convert_again(&(struct wait){.request = request,
                                                  .select = select,
                                                  .again = again + 1},
                                &p);
        }
        if (r < 0)
                respond_error(request, r, &p);
}

void request_convert_selected(struct request *request, request_select select) {
        select_or_convert(request, select, 0);
}
