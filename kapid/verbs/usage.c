/* PUT nodes/NAME/usage: an agent's report, kept in memory (kapid/usage.h). The node authorizer lets
 * an agent write its own only. */
#include "kapid/usage.h"
#include "kapid/verbs/subresource-body.h"
#include "kapid/verbs/verbs.h"
#include "lib/timefmt.h"

static int take_report(struct request *request, struct problem *p) {
        struct api *a = request->api;
        struct cache *pods = api_cache(a, "", "pods");
        struct item *node;
        int r = subresource_body(request, p);

        if (r < 0)
                return r;
        r = request_item(request, &node, p);
        if (r < 0)
                return r;
        if (!pods)
                return -ENOMEM;
        if (request->dry_run)
                return 0;
        return usages_put(a->usages, request->route.name, request->body.object, pods,
                        request->now_us, now_mono_us());
}

void verb_usage(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = take_report(request, &p);

        if (r < 0)
                respond_error(request, r, &p);
        else
                respond_success(request, 200, request->route.name, "");
}
