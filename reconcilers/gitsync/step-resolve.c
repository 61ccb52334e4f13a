/* From a checked set of manifests to wanted objects: which resource serves each kind (asked from
 * the API, or known from a CRD of the same commit), which namespace it goes to, its hash, the
 * order. */
#include "lib/object.h"
#include "reconcilers/gitsync/aside.h"
#include "reconcilers/gitsync/plan.h"
#include "reconcilers/gitsync/gitsync-internal.h"

enum { RESOLVE_TRIES_MAX = 40, RESOLVE_RETRY_US = 250000 };

/* A resource with the strings it points to, and the CRD of the commit that brings it. */
struct kept_resource {
        struct api_resource resource;
        const json_t *crd;
        char *group, *version, *plural, *kind;
};

static void kept_resource_free(void *p) {
        struct kept_resource *k = p;

        free(k->group);
        free(k->version);
        free(k->plural);
        free(k->kind);
        free(k);
}

static char *kind_key(const json_t *object) {
        return strformat("%s %s", object_api_version(object), object_kind(object));
}

static struct kept_resource *keep(struct revision *r, const json_t *object,
                const struct api_resource *resource, const json_t *crd) {
        struct kept_resource *k = calloc(1, sizeof(*k));
        _cleanup_free_ char *key = kind_key(object);

        if (!k)
                return NULL;
        *k = (struct kept_resource){.crd = crd,
                        .group = strdup(resource->group),
                        .version = strdup(resource->version),
                        .plural = strdup(resource->plural),
                        .kind = strdup(resource->kind)};
        k->resource = (struct api_resource){
                        k->group, k->version, k->plural, k->kind, resource->namespaced};
        if (!key || !k->group || !k->version || !k->plural || !k->kind ||
                        map_set(r->resources, key, k) < 0) {
                kept_resource_free(k);
                return NULL;
        }
        return k;
}

static struct kept_resource *kept_resource_of(const struct revision *r, const json_t *object) {
        _cleanup_free_ char *key = kind_key(object);

        return key ? map_get(r->resources, key) : NULL;
}

/* NULL when neither the API (as far as it was read) nor the commit has the kind. */
static struct kept_resource *resource_of(
                struct gitsync *s, struct revision *r, const json_t *object) {
        struct kept_resource *k = kept_resource_of(r, object);
        const struct api_resource *served;
        struct api_resource brought;
        const json_t *crd = NULL;

        if (k)
                return k;
        served = discovery_find(
                        s->world->discovery, object_api_version(object), object_kind(object));
        bool is_brought = decide_brought_resource(&r->set, object, &brought, &crd);
        if (is_brought)
                return keep(r, object, &brought, crd);
        return served ? keep(r, object, served, NULL) : NULL;
}

/* Sets the namespace, once the resource is known: the target's, as written, or the GitSync's own.
 */
static int place_item(const struct aside_words *words, const struct manifest_item *item,
                const struct api_resource *resource, struct problem *p) {
        json_t *metadata = json_object_get(item->object, "metadata");

        if (!resource->namespaced) {
                if (!json_str(item->object, "metadata.namespace"))
                        return 0;
                problem_set(p, EINVAL, 0, NULL,
                                "a %s belongs to no namespace; remove metadata.namespace",
                                resource->kind);
                problem_field(p, 0, "metadata.namespace");
                manifest_blame(item, p);
                return -EINVAL;
        }
        if (!isempty(words->target) || !json_str(item->object, "metadata.namespace"))
                return json_object_set_new(metadata, "namespace",
                                       json_string(!isempty(words->target) ? words->target
                                                                           : words->ns)) < 0
                                       ? -ENOMEM
                                       : 0;
        return 0;
}

static void resolve(struct gitsync *s);
static void await_kinds(struct gitsync *s);

static void on_discovery(int error, const struct problem *why, void *userdata) {
        struct gitsync *s = userdata;

        s->call = NULL;
        if (error < 0 && error != -ENOENT) {
                _cleanup_problem_ struct problem p = {0};

                problem_set(&p, error, 0, NULL, "cannot ask the API for its kinds: %s",
                                strempty(why ? why->message : NULL));
                gitsync_fail(s, "ApiUnavailable", &p);
                return;
        }
        if (s->state == GITSYNC_RESOLVING)
                resolve(s);
        else
                await_kinds(s);
}

static void refresh(struct gitsync *s, const char *api_version) {
        if (discovery_refresh(s->world->discovery, api_version, on_discovery, s, &s->call) < 0)
                on_discovery(-ENOMEM, NULL, s);
}

/* Looks for an item of unknown kind; its group version is read once per run. 0: all are known, 1: a
 * request is under way whose answer calls again; negative: refused. */
static int resolve_kinds(struct gitsync *s, struct revision *r, struct problem *p) {
        for (size_t i = 0; i < r->set.count; i++) {
                const struct manifest_item *item = &r->set.items[i];
                const char *version = object_api_version(item->object);

                if (resource_of(s, r, item->object))
                        continue;
                if (!map_get(s->refreshed, version)) {
                        if (map_set(s->refreshed, version, (void *)1) < 0)
                                return -ENOMEM;
                        refresh(s, version);
                        return 1;
                }
                problem_set(p, EINVAL, 0, NULL,
                                "the server knows no kind \"%s\" in \"%s\"; `kctl api-resources` "
                                "lists those it knows",
                                object_kind(item->object), version);
                problem_field(p, 0, "kind");
                manifest_blame(item, p);
                return -EINVAL;
        }
        return 0;
}

static int compare_wanted(const void *a, const void *b) {
        const struct wanted *x = a, *y = b;

        if (x->rank != y->rank)
                return x->rank < y->rank ? -1 : 1;
        return x->item < y->item ? -1 : x->item > y->item; /* else in the order of the files */
}

/* All kinds are in revision->resources. */
static int make_wanted(struct revision *revision, const json_t *reply,
                const struct aside_words *words, struct problem *p) {
        revision->wanted = calloc(revision->set.count + 1, sizeof(*revision->wanted));
        if (!revision->wanted)
                return -ENOMEM;
        for (size_t i = 0; i < revision->set.count; i++) {
                const struct manifest_item *item = &revision->set.items[i];
                const struct kept_resource *k = kept_resource_of(revision, item->object);
                struct wanted *w = &revision->wanted[i];
                int r = k ? place_item(words, item, &k->resource, p) : -ENOMEM;

                if (r < 0)
                        return r;
                *w = (struct wanted){.item = item,
                                .resource = &k->resource,
                                .rank = kind_rank(k->resource.group, k->resource.kind),
                                .crd = k->crd};
                w->key = inventory_key(k->resource.group, k->resource.kind,
                                k->resource.namespaced ? object_namespace(item->object) : "",
                                object_name(item->object));
                revision->count = i + 1;
                if (!w->key)
                        return -ENOMEM;
                decide_hash(item->object, &k->resource, words->user, w->hash);
        }
        qsort(revision->wanted, revision->count, sizeof(*revision->wanted), compare_wanted);
        return decide_duplicates(revision->wanted, revision->count, p);
}

/* 0: all kinds are known, 1: a request is under way; negative: refused. */
static int find_kinds(struct gitsync *s, struct revision *revision, struct problem *p) {
        if (!revision->resources)
                revision->resources = map_new(kept_resource_free);
        if (!revision->resources)
                return -ENOMEM;
        return resolve_kinds(s, revision, p);
}

static void on_wanted(struct gitsync *s, int error, const struct problem *why) {
        struct revision *revision = &s->candidate;
        _cleanup_problem_ struct problem p = {0};

        if (error < 0) {
                problem_set(&p, -error, 0, NULL, "%s", strerror(-error));
                gitsync_fail(s, "BuildFailed", why->message ? why : &p);
                return;
        }
        (void)decide_apply(revision->wanted, revision->count, &s->inventory);
        gitsync_next(s);
}

static void resolve(struct gitsync *s) {
        struct revision *revision = &s->candidate;
        _cleanup_problem_ struct problem p = {0};
        int r;

        r = find_kinds(s, revision, &p);
        if (r > 0) /* an answer continues here */
                return;
        if (r < 0) {
                on_wanted(s, r, &p);
                return;
        }
        r = gitsync_aside(s, /* reply= */ NULL, make_wanted, on_wanted);
        if (r < 0)
                on_wanted(s, r, &p);
}

void gitsync_resolve_begin(struct gitsync *s) {
        s->revision = &s->candidate;
        map_clear(s->refreshed);
        resolve(s);
}

/* --- the kinds of CRDs that were applied just now --- */

/* The first object to apply whose kind the API does not serve yet, or NULL. */
static const struct wanted *first_unserved(const struct gitsync *s) {
        const struct revision *r = s->revision;

        for (size_t i = 0; i < r->count; i++) {
                const json_t *o = r->wanted[i].item->object;

                if (r->wanted[i].apply && r->wanted[i].crd &&
                                !discovery_find(s->world->discovery, object_api_version(o),
                                                object_kind(o)))
                        return &r->wanted[i];
        }
        return NULL;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        struct gitsync *s = userdata;
        const struct wanted *w = first_unserved(s);

        s->retry_timer = sd_event_source_disable_unref(s->retry_timer);
        if (w)
                refresh(s, object_api_version(w->item->object));
        else
                await_kinds(s);
        return 0;
}

static void await_kinds(struct gitsync *s) {
        const struct wanted *w = first_unserved(s);
        _cleanup_problem_ struct problem p = {0};

        if (!w) {
                gitsync_next(s);
                return;
        }
        s->retry_timer = sd_event_source_disable_unref(s->retry_timer);
        /* The API takes a moment to serve a CRD that was applied just now. */
        if (s->resolve_tries++ < RESOLVE_TRIES_MAX &&
                        sd_event_add_time_relative(s->world->event, &s->retry_timer,
                                        CLOCK_MONOTONIC,
                                        s->resolve_tries > 1 ? RESOLVE_RETRY_US : 0, 1000, on_retry,
                                        s) >= 0)
                return;
        problem_set(&p, EINVAL, 400, NULL,
                        "the server still does not serve this kind after its "
                        "CustomResourceDefinition was applied");
        manifest_blame(w->item, &p);
        gitsync_fail(s, "ApplyFailed", &p);
}

void gitsync_await_kinds_begin(struct gitsync *s) {
        s->resolve_tries = 0;
        await_kinds(s);
}
