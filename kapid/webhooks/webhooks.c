/* Lists of webhooks from the caches, and the beginning of a request's wait. */
#include "kapid/webhooks/webhooks.h"

#include "kapid/webhooks/round.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"

static const char *const plurals[WEBHOOK_TYPES] = {
                "mutatingwebhookconfigurations", "validatingwebhookconfigurations"};

/* --- lists --- */

struct webhook_list *webhook_list_ref(struct webhook_list *l) {
        l->refs++;
        return l;
}

struct webhook_list *webhook_list_unref(struct webhook_list *l) {
        if (!l || --l->refs > 0)
                return NULL;
        for (size_t i = 0; i < l->config_count; i++)
                webhook_config_unref(l->configs[i]);
        free(l->configs);
        free(l->revisions);
        free(l->all);
        return mfree(l);
}
DEFINE_CLEANUP(struct webhook_list *, webhook_list_unref);

/* The one of that name that was read before, at *at; both lists are in the order of names. */
static struct webhook_config *earlier_config(
                const struct webhook_list *old, size_t *at, const char *name) {
        while (old && *at < old->config_count && strcmp(old->configs[*at]->name, name) < 0)
                (*at)++;
        return old && *at < old->config_count && streq(old->configs[*at]->name, name)
                               ? old->configs[*at]
                               : NULL;
}

/* One that cannot be read counts as it was before; NULL in *ret: it never could be. -ENOMEM. */
static int read_config(struct webhooks *h, enum webhook_type type, struct item *it,
                struct webhook_config *earlier, struct webhook_config **ret) {
        _cleanup_json_ json_t *object = item_object_once(it);
        _cleanup_problem_ struct problem p = {0};
        int r = object ? webhook_config_new(ret, type, object, &p) : -ENOMEM;
        bool same;

        if (r >= 0 || r == -ENOMEM)
                return r;
        same = earlier && streq(object_uid(earlier->object), object_uid(object));
        *ret = same ? webhook_config_ref(earlier) : NULL;
        if (item_revision(it) > h->seen[type])
                log_error("The %s %s cannot be read and %s: %s; write it again", plurals[type],
                                item_path(it),
                                same ? "has the effect that it had before" : "has no effect",
                                p.message ? p.message : strerror(-r));
        return 0;
}

static int add_webhooks(struct webhook_list *l) {
        size_t n = 0;

        for (size_t i = 0; i < l->config_count; i++)
                n += l->configs[i]->count;
        l->all = calloc(n + 1, sizeof(*l->all));
        if (!l->all)
                return -ENOMEM;
        for (size_t i = 0; i < l->config_count; i++)
                for (size_t j = 0; j < l->configs[i]->count; j++)
                        l->all[l->count++] = &l->configs[i]->webhooks[j];
        return 0;
}

/* All that the cache has, into the list, which has room for them. */
static int read_configs(struct webhooks *h, enum webhook_type type, struct webhook_list *l) {
        const struct webhook_list *old = h->lists[type];
        struct cache *c = h->caches[type];
        uint64_t seen = h->seen[type];
        size_t at = 0;

        for (struct item *it = cache_first(c, ""); it; it = cache_next(c, it)) {
                struct webhook_config *earlier = earlier_config(old, &at, item_path(it)),
                                      *config = NULL;
                int r = 0;

                if (earlier && old->revisions[at] == item_revision(it))
                        config = webhook_config_ref(earlier);
                else
                        r = read_config(h, type, it, earlier, &config);
                if (r < 0)
                        return r;
                seen = MAX(seen, item_revision(it));
                if (!config)
                        continue;
                l->revisions[l->config_count] = item_revision(it);
                l->configs[l->config_count++] = config;
        }
        h->seen[type] = seen;
        return 0;
}

/* Without memory the list stays stale: the write fails, and the next one tries again. */
static int read_list(struct webhooks *h, enum webhook_type type) {
        _cleanup_(webhook_list_unrefp) struct webhook_list *l = calloc(1, sizeof(*l));
        struct cache *c = h->caches[type];
        int r;

        if (!l)
                return -ENOMEM;
        l->refs = 1;
        l->configs = calloc(cache_count(c) + 1, sizeof(*l->configs));
        l->revisions = calloc(cache_count(c) + 1, sizeof(*l->revisions));
        if (!l->configs || !l->revisions)
                return -ENOMEM;
        r = read_configs(h, type, l);
        if (r < 0)
                return r;
        r = add_webhooks(l);
        if (r < 0)
                return r;
        webhook_list_unref(h->lists[type]);
        h->lists[type] = TAKE_PTR(l);
        h->stale[type] = false;
        return 0;
}

void webhooks_on_change(struct webhooks *h, const struct cache *c) {
        for (size_t i = 0; h && i < WEBHOOK_TYPES; i++)
                h->stale[i] |= !c || c == h->caches[i];
}

int webhooks_new(struct webhooks **ret, struct api *a) {
        _cleanup_(webhooks_freep) struct webhooks *h = calloc(1, sizeof(*h));
        int r;

        if (!h)
                return -ENOMEM;
        h->api = a;
        for (size_t i = 0; i < WEBHOOK_TYPES; i++) {
                h->caches[i] = api_cache(a, "admissionregistration.k8s.io", plurals[i]);
                if (!h->caches[i])
                        return -ENOMEM;
                h->stale[i] = true;
        }
        r = webhook_clients_new(&h->clients, a->event);
        if (r < 0)
                return r;
        r = wait_shares_new(&h->shares, WEBHOOKS_WAITING_MAX, WEBHOOKS_BYTES_MAX);
        if (r < 0)
                return r;
        r = webhook_figures_new(&h->figures, daemon_metrics(a->daemon));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(h);
        return 0;
}

struct webhooks *webhooks_free(struct webhooks *h) {
        struct round *r;

        if (!h)
                return NULL;
        webhook_clients_free(h->clients);
        while ((r = LIST_FIRST(&h->rounds))) {
                LIST_REMOVE(r, entry);
                round_free(r);
        }
        for (size_t i = 0; i < WEBHOOK_TYPES; i++)
                webhook_list_unref(h->lists[i]);
        wait_shares_free(h->shares);
        webhook_figures_free(h->figures);
        return mfree(h);
}

/* --- asking --- */

/* metadata.labels of the namespace as it is stored; NULL: it is not there, or has none. */
static int read_labels(struct api *a, const char *namespace, json_t **ret) {
        struct item *it = isempty(namespace) ? NULL : api_find(a, "", "namespaces", "", namespace);

        *ret = NULL;
        return it ? item_labels(it, ret) : 0;
}

json_t *webhooks_options(const struct request *request, unsigned operation) {
        static const char *const words[] = {"fieldManager", "fieldValidation"};
        const char *kind = operation == WEBHOOK_CREATE   ? "CreateOptions"
                           : operation == WEBHOOK_UPDATE ? "UpdateOptions"
                                                         : "DeleteOptions";
        const json_t *body = operation == WEBHOOK_DELETE ? request->delete_options.body : NULL;
        json_t *v = body ? json_shallow_copy(body) : json_object();
        int r = 0;

        if (!v)
                return NULL;
        r |= json_object_set_new(v, "kind", json_string(kind));
        r |= json_object_set_new(v, "apiVersion", json_string("meta.k8s.io/v1"));
        if (request->dry_run)
                r |= json_object_set_new(v, "dryRun", json_pack("[s]", "All"));
        for (size_t i = 0; i < ELEMENTS(words) && operation != WEBHOOK_DELETE; i++) {
                const char *value = request_query(request, words[i]);

                if (!isempty(value) && utf8_is_valid(value, strlen(value)))
                        r |= json_object_set_new(v, words[i], json_string(value));
        }
        if (r < 0) {
                json_decref(v);
                return NULL;
        }
        return v;
}

static bool any_matches(const struct webhook_list *l, const struct webhook_request *facts,
                const struct webhook_equivalents *equivalents) {
        for (size_t i = 0; i < l->count; i++)
                if (webhook_match(l->all[i], facts, equivalents))
                        return true;
        return false;
}

/* References and copies of all that the question borrows. */
static int fill_round(struct round *round, const struct webhook_request *facts,
                const struct webhook_equivalents *equivalents) {
        struct request *request = round->question.request;

        round->kind = kind_ref(facts->kind);
        for (size_t i = 0; equivalents->kinds[i]; i++)
                round->equivalents.kinds[i] = kind_ref(equivalents->kinds[i]);
        round->namespace = strdup(strempty(facts->namespace));
        round->name = strdup(strempty(facts->name));
        round->object = json_ref(facts->object);
        round->old_object = json_ref(facts->old_object);
        round->labels = json_ref(facts->namespace_labels);
        round->user = user_to_json(&request->user);
        if (facts->operation != WEBHOOK_CONNECT) {
                round->options = webhooks_options(request, facts->operation);
                if (!round->options)
                        return -ENOMEM;
        }
        round->probes = calloc(round->list->count + 1, sizeof(*round->probes));
        if (!round->namespace || !round->name || !round->user || !round->probes)
                return -ENOMEM;
        round->deadline_us = request->started_us + WEBHOOKS_WRITE_US;
        round->facts = *facts;
        round->facts.kind = round->kind;
        round->facts.namespace = round->namespace;
        round->facts.name = round->name;
        round->facts.object = round->object;
        round->facts.old_object = round->old_object;
        round->facts.options = round->options;
        round->facts.user = round->user;
        round->facts.dry_run = request->dry_run;
        return 0;
}

/* Its user's share of what may wait, and all that it needs. */
static int enter(struct round *round, const char *user, const struct webhook_request *facts,
                const struct webhook_equivalents *equivalents) {
        int r = wait_shares_enter(round->hooks->shares, user, &round->share);

        return r < 0 ? r : fill_round(round, facts, equivalents);
}

static int begin(struct webhooks *h, const struct webhooks_question *q,
                const struct webhook_request *facts,
                const struct webhook_equivalents *equivalents) {
        const struct user *user =
                        q->request->real_user.name ? &q->request->real_user : &q->request->user;
        struct round *round = calloc(1, sizeof(*round));
        int r;

        if (!round)
                return -ENOMEM;
        round->hooks = h;
        round->question = *q;
        round->question.facts = NULL;
        request_ref(q->request);
        round->changed = round->changed_in_pass = q->changed;
        round->list = webhook_list_ref(h->lists[q->type]);
        r = enter(round, strempty(user->name), facts, equivalents);
        if (r < 0) {
                round_free(round);
                return r;
        }
        r = round_start(round);
        if (r < 0)
                round_free(round);
        return r;
}

static int too_many(struct problem *p) {
        problem_set(p, EBUSY, 429, "TooManyRequests",
                        "too many requests wait for admission webhooks (bounds: %d, and %d MiB of "
                        "messages; a user gets at most half of what is free); is a webhook slow? "
                        "Please try again later",
                        WEBHOOKS_WAITING_MAX, WEBHOOKS_BYTES_MAX >> 20);
        p->retry_after_s = 1;
        return -EBUSY;
}

bool webhooks_has(const struct webhooks *h, enum webhook_type type) {
        return h && cache_count(h->caches[type]) > 0;
}

int webhooks_ask(struct webhooks *h, const struct webhooks_question *q, struct problem *p) {
        struct webhook_request facts = *q->facts;
        struct webhook_equivalents equivalents;
        _cleanup_json_ json_t *labels = NULL;
        int r;

        if (!webhooks_has(h, q->type) || webhook_is_exempt(facts.kind))
                return 0;
        if (h->stale[q->type]) {
                r = read_list(h, q->type);
                if (r < 0)
                        return r;
        }
        r = read_labels(h->api, facts.namespace, &labels);
        if (r < 0)
                return r;
        facts.namespace_labels = labels;
        webhook_equivalents_find(h->api->kinds, facts.kind, &equivalents);
        if (!any_matches(h->lists[q->type], &facts, &equivalents))
                return 0;
        r = begin(h, q, &facts, &equivalents);
        if (r == -EBUSY)
                return too_many(p);
        return r < 0 ? r : 1;
}
