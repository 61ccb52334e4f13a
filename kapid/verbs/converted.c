/* A request waits for its conversions without its place among the requests that are served: the
 * webhook may need the API itself. */
#include "kapid/verbs/converted.h"

#include "kapid/conversion/conversion.h"
#include "kapid/http/dispatch.h"

struct wait {
        struct request *request;
        struct item **items; /* NULL: they are not kept */
        void (*next)(struct request *request);
};

static bool is_waiting(void *userdata) {
        const struct wait *w = userdata;

        return w->request->http;
}

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
        w->next(request);
}

int request_convert(struct request *request, struct item **items, size_t n, bool keep,
                void (*next)(struct request *request), struct problem *p) {
        struct wait *w;
        int r;

        if (!request->kind->by_webhook)
                return 0;
        w = malloc(sizeof(*w));
        if (!w)
                return -ENOMEM;
        *w = (struct wait){.request = request, .items = keep ? items : NULL, .next = next};
        r = conversion_start(request->api, request->kind, items, n,
                        &(struct conversion_waiter){.done = on_converted,
                                        .is_waiting = is_waiting,
                                        .userdata = w},
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

static int convert_all(
                struct request *request, void (*next)(struct request *request), struct problem *p) {
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
        return request_convert(request, found, n, false, next, p);
}

void request_convert_selected(struct request *request, void (*next)(struct request *request)) {
        _cleanup_problem_ struct problem p = {0};
        int r = 0;

        if (request->kind->by_webhook && !isempty(request_query(request, "fieldSelector")))
                r = convert_all(request, next, &p);
        if (r < 0)
                respond_error(request, r, &p);
        else if (r == 0)
                next(request);
}
