/* The sums of all quotas. An account is counted from nothing when it is first asked for (and after
 * its spec changed); from then on each change of an object adds the difference between the object
 * before and after.
 *
 * A pod that is deleted and whose node does not answer stops counting one grace period after its
 * end. No change says so: such pods wait in `terminating` until they are due, and are then in
 * `released`, so that their last change does not subtract them once more. */
#include "kapid/admission/quota-accounts.h"

#include "kapid/api.h"
#include "lib/map.h"
#include "lib/object.h"
#include "lib/timefmt.h"

/* A namespace with quotas. */
struct space {
        LIST_HEAD(, quota_account) accounts;
        struct map *terminating; /* name of a pod -> uint64_t: when it no longer counts */
        struct map *released;    /* names of pods */
        uint64_t next_due_us;    /* the earliest of `terminating` */
};

struct quotas {
        struct api *api;
        struct map *spaces;
        struct cache *pod_cache, *quota_cache; /* found when they are needed first */
};

enum { NAMESPACE_MAX = 64 };

/* --- life --- */

static struct quota_account *account_free(struct quota_account *a) {
        for (size_t i = 0; a->prefixes && i < a->spec.count; i++)
                free(a->prefixes[i]);
        free(a->prefixes);
        free(a->used);
        free(a->name);
        quota_spec_done(&a->spec);
        return mfree(a);
}

static void space_free(void *p) {
        struct space *s = p;
        struct quota_account *a;

        while ((a = LIST_FIRST(&s->accounts))) {
                LIST_REMOVE(a, entry);
                account_free(a);
        }
        map_free(s->terminating);
        map_free(s->released);
        free(s);
}

struct quotas *quotas_new(struct api *api) {
        _cleanup_(quotas_freep) struct quotas *q = calloc(1, sizeof(*q));

        if (!q)
                return NULL;
        q->api = api;
        q->spaces = map_new(space_free);
        return q->spaces ? TAKE_PTR(q) : NULL;
}

struct quotas *quotas_free(struct quotas *q) {
        if (!q)
                return NULL;
        map_free(q->spaces);
        return mfree(q);
}

/* Every change comes here: the registry is asked for these two once. NULL: out of memory. */
static struct cache *pods_of(struct quotas *q) {
        if (!q->pod_cache)
                q->pod_cache = api_cache(q->api, "", "pods");
        return q->pod_cache;
}

static struct cache *quotas_of(struct quotas *q) {
        if (!q->quota_cache)
                q->quota_cache = api_cache(q->api, "", "resourcequotas");
        return q->quota_cache;
}

static struct space *space_of(const struct quotas *q, const char *namespace) {
        return q && map_size(q->spaces) > 0 ? map_get(q->spaces, namespace) : NULL;
}

/* --- pods that are deleted --- */

static int remember_due(struct space *s, const char *name, uint64_t due_us) {
        uint64_t *due = malloc(sizeof(*due));
        int r;

        if (!due)
                return -ENOMEM;
        *due = due_us;
        r = map_set(s->terminating, name, due);
        if (r < 0) {
                free(due);
                return r;
        }
        s->next_due_us = MIN(s->next_due_us, due_us);
        return 0;
}

/* Takes a pod's present state (NULL: it is gone) into the lists. */
static int track_pod(struct space *s, const char *name, const json_t *pod, uint64_t now_us) {
        uint64_t due_us = pod ? quota_pod_released_us(pod) : 0;

        map_remove(s->terminating, name);
        if (due_us == 0)
                map_remove(s->released, name);
        else if (due_us <= now_us)
                return map_set(s->released, name, s);
        else if (!map_get(s->released, name))
                return remember_due(s, name, due_us);
        return 0;
}

static int track_all(struct quotas *q, struct space *s, const char *prefix, uint64_t now_us) {
        struct cache *c = pods_of(q);

        if (!c)
                return -ENOMEM;
        for (struct item *it = cache_first(c, prefix); it && startswith(item_path(it), prefix);
                        it = cache_next(c, it)) {
                _cleanup_json_ json_t *pod = item_object_once(it);
                int r = pod ? track_pod(s, item_path(it) + strlen(prefix), pod, now_us) : -ENOMEM;

                if (r < 0)
                        return r;
        }
        return 0;
}

static bool has_ended(const struct space *s, const struct quota_measure *m, const char *name,
                const json_t *object) {
        return quota_measure_is_of(m, "", "pods") &&
               (quota_pod_has_ended(object) || (s && map_get(s->released, name)));
}

bool quotas_pod_has_ended(const struct quotas *q, const char *namespace, const json_t *pod) {
        const struct space *s = space_of(q, namespace);

        return quota_pod_has_ended(pod) || (s && map_get(s->released, object_name(pod)));
}

/* --- counting --- */

/* The prefix of the keys of a measure's kind. A kind that is not served yet is a custom one. */
static char *prefix_of(const struct quotas *q, const struct quota_measure *m) {
        const struct kind *k = kind_registry_find_resource(q->api->kinds, m->group, m->plural);

        return k ? strdup(k->storage_prefix)
                 : strformat("/registry/%s%s%s/", m->group, *m->group ? "/" : "", m->plural);
}

/* What an object (NULL: none) adds to a measure. */
static struct quantity amount_of(const struct quota_spec *spec, const struct quota_measure *m,
                const json_t *object, bool ended) {
        if (!object || !quota_spec_selects(spec, m->group, m->plural, object))
                return (struct quantity){0};
        return quota_measure_object(m, object, ended);
}

/* Counts the objects of one measure's kind for all measures of that kind, each object read once. */
static int count_kind(struct quotas *q, const struct space *s, const char *prefix,
                const struct quota_spec *spec, const struct quota_measure *kind,
                struct quantity *used) {
        struct cache *c = api_cache(q->api, kind->group, kind->plural);

        if (!c)
                return 0; /* such objects do not exist */
        for (struct item *it = cache_first(c, prefix); it && startswith(item_path(it), prefix);
                        it = cache_next(c, it)) {
                const char *name = item_path(it) + strlen(prefix);
                _cleanup_json_ json_t *object = item_object_once(it);

                if (!object)
                        return -ENOMEM;
                for (size_t i = 0; i < spec->count; i++) {
                        const struct quota_measure *m = &spec->measures[i];

                        if (!quota_measure_is_of(m, kind->group, kind->plural))
                                continue;
                        quantity_add(&used[i],
                                        amount_of(spec, m, object, has_ended(s, m, name, object)),
                                        1);
                }
        }
        return 0;
}

/* Whether a measure before the i-th one is of the same kind. */
static bool is_counted(const struct quota_spec *spec, size_t i) {
        const struct quota_measure *m = &spec->measures[i];

        for (size_t j = 0; j < i; j++)
                if (quota_measure_is_of(&spec->measures[j], m->group, m->plural))
                        return true;
        return false;
}

int quotas_count(struct quotas *q, const char *namespace, const struct quota_spec *spec,
                struct quantity *used) {
        _cleanup_free_ char *prefix = strformat("%s/", namespace);
        const struct space *s = space_of(q, namespace);

        if (!prefix)
                return -ENOMEM;
        for (size_t i = 0; i < spec->count; i++)
                used[i] = (struct quantity){0};
        for (size_t i = 0; i < spec->count; i++) {
                int r;

                if (!spec->measures[i].plural || is_counted(spec, i))
                        continue;
                r = count_kind(q, s, prefix, spec, &spec->measures[i], used);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* --- the accounts --- */

static struct quota_account *find(const struct space *s, const char *name) {
        struct quota_account *a;

        LIST_FOREACH(a, &s->accounts, entry)
        if (streq(a->name, name))
                return a;
        return NULL;
}

static int account_new(struct quotas *q, const char *name, const json_t *quota,
                struct quota_account **ret) {
        struct quota_account *a = calloc(1, sizeof(*a));
        bool whole;

        if (!a)
                return -ENOMEM;
        a->stale = true;
        a->name = strdup(name);
        whole = a->name && quota_spec_read(&a->spec, quota) >= 0;
        a->prefixes = whole ? calloc(a->spec.count + 1, sizeof(*a->prefixes)) : NULL;
        a->used = whole ? calloc(a->spec.count + 1, sizeof(*a->used)) : NULL;
        whole = a->prefixes && a->used;
        for (size_t i = 0; whole && i < a->spec.count; i++) {
                if (!a->spec.measures[i].plural)
                        continue;
                a->prefixes[i] = prefix_of(q, &a->spec.measures[i]);
                whole = a->prefixes[i] != NULL;
        }
        if (!whole) {
                account_free(a);
                return -ENOMEM;
        }
        *ret = a;
        return 0;
}

static int space_fill(struct quotas *q, struct space *s, const char *namespace) {
        _cleanup_free_ char *prefix = strformat("%s/", namespace);
        int r;

        s->terminating = map_new(free);
        s->released = map_new(NULL);
        s->next_due_us = UINT64_MAX;
        if (!prefix || !s->terminating || !s->released)
                return -ENOMEM;
        r = track_all(q, s, prefix, now_wall_us());
        if (r < 0)
                return r;
        return map_set(q->spaces, namespace, s);
}

static int space_new(struct quotas *q, const char *namespace, struct space **ret) {
        struct space *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        r = space_fill(q, s, namespace);
        if (r < 0) {
                space_free(s);
                return r;
        }
        *ret = s;
        return 0;
}

static void remove_account(struct quotas *q, const char *namespace, const char *name) {
        struct space *s = space_of(q, namespace);
        struct quota_account *a = s ? find(s, name) : NULL;

        if (!a)
                return;
        LIST_REMOVE(a, entry);
        account_free(a);
        if (LIST_EMPTY(&s->accounts))
                map_remove(q->spaces, namespace);
}

/* A quota as it is now. What it has counted stays when it counts the same as before. */
static int put_account(
                struct quotas *q, const char *namespace, const char *name, const json_t *quota) {
        struct space *s = space_of(q, namespace);
        struct quota_account *a, *old;
        int r = account_new(q, name, quota, &a);

        if (r < 0)
                return r;
        if (!s)
                r = space_new(q, namespace, &s);
        if (r < 0) {
                account_free(a);
                return r;
        }
        old = find(s, name);
        if (old && quota_spec_counts_same(&old->spec, &a->spec)) {
                struct quantity *unused = a->used;

                a->used = old->used;
                a->stale = old->stale;
                old->used = unused;
        }
        LIST_INSERT_HEAD(&s->accounts, a, entry);
        if (old) {
                LIST_REMOVE(old, entry);
                account_free(old);
        }
        return 0;
}

/* --- changes --- */

/* One object before and after; parsed when the first account wants it. */
struct difference {
        const struct change *change;
        const struct cache *cache;
        const char *prefix, *name;
        json_t *before, *after;
        bool parsed;
};

static int parse(struct difference *d) {
        if (d->parsed)
                return 0;
        d->before = d->change->before ? item_object(d->change->before) : NULL;
        d->after = d->change->after ? item_object(d->change->after) : NULL;
        if ((d->change->before && !d->before) || (d->change->after && !d->after))
                return -ENOMEM;
        d->parsed = true;
        return 0;
}

static void follow(const struct space *s, struct quota_account *a, struct difference *d,
                bool was_released) {
        for (size_t i = 0; i < a->spec.count && !a->stale; i++) {
                const struct quota_measure *m = &a->spec.measures[i];
                bool ended;

                if (!a->prefixes[i] || !streq(a->prefixes[i], d->prefix))
                        continue;
                if (parse(d) < 0) {
                        a->stale = true;
                        return;
                }
                ended = quota_measure_is_of(m, "", "pods") && d->before &&
                        (was_released || quota_pod_has_ended(d->before));
                quantity_add(&a->used[i], amount_of(&a->spec, m, d->before, ended), -1);
                ended = d->after && has_ended(s, m, d->name, d->after);
                quantity_add(&a->used[i], amount_of(&a->spec, m, d->after, ended), 1);
        }
}

static void all_are_stale(struct space *s) {
        struct quota_account *a;

        LIST_FOREACH(a, &s->accounts, entry)
        a->stale = true;
}

static void follow_all(struct quotas *q, struct space *s, struct difference *d) {
        bool was_released = map_get(s->released, d->name) != NULL;
        struct quota_account *a;

        if (d->cache == pods_of(q) &&
                        (parse(d) < 0 || track_pod(s, d->name, d->after, now_wall_us()) < 0))
                all_are_stale(s);
        LIST_FOREACH(a, &s->accounts, entry)
        follow(s, a, d, was_released);
}

/* The change is of a quota itself. Out of memory, what was known of it stays until its next change:
 * the guard of a charge then does not hold, and the write is refused. */
static void on_quota(struct quotas *q, const char *namespace, const char *name,
                const struct change *change) {
        _cleanup_json_ json_t *quota = change->after ? item_object(change->after) : NULL;

        if (quota)
                (void)put_account(q, namespace, name, quota);
        else if (!change->after)
                remove_account(q, namespace, name);
}

static void reload(struct quotas *q) {
        struct cache *c = quotas_of(q);

        map_clear(q->spaces);
        for (struct item *it = c ? cache_first(c, "") : NULL; it; it = cache_next(c, it)) {
                _cleanup_json_ json_t *quota = item_object(it);

                if (quota)
                        (void)put_account(q, object_namespace(quota), object_name(quota), quota);
        }
}

void quotas_on_change(struct quotas *q, const struct cache *c, const struct change *change) {
        const struct item *it = change ? (change->after ? change->after : change->before) : NULL;
        const char *path = it ? item_path(it) : NULL, *slash = path ? strchr(path, '/') : NULL;
        char namespace[NAMESPACE_MAX];
        struct space *s;

        if (!c) {
                reload(q);
                return;
        }
        if (!slash || (size_t)(slash - path) >= sizeof(namespace))
                return; /* it has no namespace */
        memcpy(namespace, path, (size_t)(slash - path));
        namespace[slash - path] = 0;
        s = space_of(q, namespace);
        if (s) {
                struct difference d = {.change = change,
                                .cache = c,
                                .prefix = cache_prefix(c),
                                .name = slash + 1};

                follow_all(q, s, &d);
                json_decref(d.before);
                json_decref(d.after);
        }
        if (c == quotas_of(q))
                on_quota(q, namespace, slash + 1, change);
}

/* --- reading --- */

bool quotas_has(const struct quotas *q, const char *namespace) {
        return space_of(q, namespace) != NULL;
}

/* The pod no longer counts, from now on. */
static int release_pod(struct quotas *q, struct space *s, const char *namespace, const char *name) {
        struct item *it = api_find(q->api, "", "pods", namespace, name);
        _cleanup_json_ json_t *pod = it ? item_object_once(it) : NULL;
        struct quota_account *a;

        if (!pod)
                return it ? -ENOMEM : 0;
        LIST_FOREACH(a, &s->accounts, entry)
        for (size_t i = 0; i < a->spec.count && !a->stale; i++) {
                const struct quota_measure *m = &a->spec.measures[i];

                if (!quota_measure_is_of(m, "", "pods") || quota_pod_has_ended(pod))
                        continue;
                quantity_add(&a->used[i], amount_of(&a->spec, m, pod, false), -1);
                quantity_add(&a->used[i], amount_of(&a->spec, m, pod, true), 1);
        }
        return map_set(s->released, name, s);
}

static int release_due(struct quotas *q, struct space *s, const char *namespace, uint64_t now_us) {
        uint64_t next_us = UINT64_MAX;

        if (now_us < s->next_due_us)
                return 0;
        map_foreach (s->terminating, e) {
                uint64_t due_us = *(const uint64_t *)map_entry_value(e);
                int r;

                if (due_us > now_us) {
                        next_us = MIN(next_us, due_us);
                        continue;
                }
                r = release_pod(q, s, namespace, map_entry_key(e));
                if (r < 0)
                        return r;
                map_remove(s->terminating, map_entry_key(e));
        }
        s->next_due_us = next_us;
        return 0;
}

int quotas_settle(struct quotas *q, const char *namespace, uint64_t now_us) {
        struct space *s = space_of(q, namespace);
        struct quota_account *a;
        int r;

        if (!s)
                return 0;
        r = release_due(q, s, namespace, now_us);
        if (r < 0)
                return r;
        LIST_FOREACH(a, &s->accounts, entry) {
                if (!a->stale)
                        continue;
                r = quotas_count(q, namespace, &a->spec, a->used);
                if (r < 0)
                        return r;
                a->stale = false;
        }
        return 0;
}

const struct quota_account *quotas_first(const struct quotas *q, const char *namespace) {
        const struct space *s = space_of(q, namespace);

        return s ? LIST_FIRST(&s->accounts) : NULL;
}

const struct quota_account *quotas_next(const struct quota_account *a) {
        return LIST_NEXT(a, entry);
}

const struct quota_account *quotas_find(
                const struct quotas *q, const char *namespace, const char *name) {
        const struct space *s = space_of(q, namespace);

        return s ? find(s, name) : NULL;
}
