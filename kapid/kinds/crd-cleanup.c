/* A round looks at each definition that is being deleted and at its objects in the cache, and
 * begins a bounded number of writes; the next round comes when they have ended, or after a moment
 * while finalizers hold objects. That nothing is left, the store says itself: another kapid may
 * have taken an object a moment before it heard of the end. */
#include "kapid/kinds/crd-cleanup.h"

#include "kapid/kinds/crd-delete.h"
#include "kapid/kinds/crds.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { WRITES_MAX = 64, COUNT_PAGE = 100 };
enum { SOON_US = 10 * 1000, LATER_US = 500 * 1000, HELD_US = 3 * 1000 * 1000 };

struct crd_cleanup {
        struct api *api;
        sd_event_source *timer;
        unsigned in_flight;
        bool active; /* the last round found a definition */
        struct {
                char *key; /* of the definition whose end the store confirms; NULL: none */
                char *end; /* of its objects' keys */
                uint64_t revision;
        } asked;
};

/* A second call may bring it forward. */
static void look_in(struct crd_cleanup *x, uint64_t delay_us) {
        uint64_t at = now_mono_us() + delay_us, was = UINT64_MAX;
        int enabled = SD_EVENT_OFF;

        (void)sd_event_source_get_enabled(x->timer, &enabled);
        (void)sd_event_source_get_time(x->timer, &was);
        if (enabled != SD_EVENT_OFF && was <= at)
                return;
        (void)sd_event_source_set_time(x->timer, at);
        (void)sd_event_source_set_enabled(x->timer, SD_EVENT_ONESHOT);
}

static void on_written(const struct store_result *res, void *userdata) {
        struct crd_cleanup *x = userdata;

        x->in_flight--;
        if (res->error)
                log_warning("What a deleted definition leaves could not be deleted: %s",
                                res->message);
        if (x->in_flight == 0)
                look_in(x, res->error ? LATER_US : SOON_US);
}

/* Replaces what is at the key, or deletes it (object NULL), unless it has changed. */
static int put(struct crd_cleanup *x, const char *key, uint64_t revision, const json_t *object) {
        struct store_guard guard = {.key = key, .revision = revision};
        _cleanup_free_ char *text = object ? json_text(object) : NULL;
        struct store_op op = {.key = key, .value = text, .size = text ? strlen(text) : 0};
        int r;

        if (object && !text)
                return -ENOMEM;
        r = store_txn(x->api->store,
                        &(struct store_txn){.guards = &guard,
                                        .guard_count = 1,
                                        .ops = &op,
                                        .op_count = 1},
                        on_written, x);
        if (r >= 0)
                x->in_flight++;
        return r;
}

static int put_definition(struct crd_cleanup *x, const char *key, uint64_t revision, json_t *crd) {
        json_del_at(crd, "metadata.resourceVersion");
        return put(x, key, revision, crd);
}

static bool is_deleting(const struct item *it) {
        char unused[TIMEFMT_SIZE];

        return item_string(it, "metadata", "deletionTimestamp", unused, sizeof(unused));
}

static int delete_one(struct crd_cleanup *x, struct item *it, struct crd_remains *remains,
                json_t **held) {
        _cleanup_json_ json_t *object = NULL, *marked = NULL;
        int act;

        if (remains->waiting > 0 && is_deleting(it)) {
                remains->waiting++;
                return 0;
        }
        object = item_object_once(it);
        act = object ? crd_delete_object(object, now_wall_us(), &marked) : -ENOMEM;

        if (act < 0)
                return act;
        if (act != CRD_OBJECT_WAITS)
                return put(x, item_key(it), item_revision(it), marked);
        if (remains->waiting++ == 0) {
                *held = json_incref(object);
                remains->object = item_path(it);
                remains->finalizer = strempty(json_string_value(
                                json_array_get(json_at(object, "metadata.finalizers"), 0)));
        }
        return 0;
}

static int end_definition(struct crd_cleanup *x, struct item *it) {
        _cleanup_json_ json_t *cached = item_object(it), *crd = json_tree_copy(cached);
        int r = crd ? crd_delete_finish(crd, now_wall_us()) : -ENOMEM;

        if (r < 0)
                return r;
        return r == 0 ? put(x, item_key(it), item_revision(it), NULL)
                      : put_definition(x, item_key(it), item_revision(it), crd);
}

static bool has_readable(const struct store_result *res) {
        for (size_t i = 0; i < res->count; i++)
                if (!res->kvs[i].unreadable)
                        return true;
        return false;
}

static void on_counted(const struct store_result *res, void *userdata);

static int count_from(struct crd_cleanup *x, const char *key) {
        int r = store_range(x->api->store,
                        &(struct store_range){.key = key, .end = x->asked.end, .limit = COUNT_PAGE},
                        on_counted, x);

        x->in_flight += r >= 0;
        return r;
}

/* Behind a page of objects that no key opens. */
static int count_on(struct crd_cleanup *x, const struct store_result *res) {
        _cleanup_free_ char *from = strformat("%s\x01", res->kvs[res->count - 1].key);

        return from ? count_from(x, from) : -ENOMEM;
}

static void forget_asked(struct crd_cleanup *x) {
        x->asked.key = mfree(x->asked.key);
        x->asked.end = mfree(x->asked.end);
}

/* The store's own word that there is no object left that anyone could read. */
static void on_counted(const struct store_result *res, void *userdata) {
        struct crd_cleanup *x = userdata;
        struct cache *c = caches_get(x->api->caches, crd_prefix);
        struct item *it = c ? cache_find(c, x->asked.key + strlen(crd_prefix)) : NULL;
        int r = 0;

        x->in_flight--;
        if (it && item_revision(it) == x->asked.revision && !res->error && !has_readable(res)) {
                if (res->more && res->count > 0) {
                        r = count_on(x, res);
                        if (r >= 0)
                                return;
                } else {
                        r = end_definition(x, it);
                }
        }
        if (r < 0)
                log_warning_errno(r, "A definition cannot be deleted: %s", x->asked.key);
        forget_asked(x);
        if (x->in_flight == 0)
                look_in(x, LATER_US);
}

static int ask_store(struct crd_cleanup *x, const struct item *it, const char *prefix) {
        int r;

        if (x->asked.key)
                return 0;
        x->asked.key = strdup(item_key(it));
        x->asked.end = strdup(prefix);
        x->asked.revision = item_revision(it);
        r = x->asked.key && x->asked.end ? 0 : -ENOMEM;
        if (r >= 0) {
                x->asked.end[strlen(prefix) - 1]++; /* behind the slash */
                r = count_from(x, prefix);
        }
        if (r < 0)
                forget_asked(x);
        return r;
}

static int say_what_is_left(struct crd_cleanup *x, const struct item *it, const json_t *old,
                const struct crd_remains *remains) {
        _cleanup_json_ json_t *crd = json_tree_copy(old);
        int r = crd ? crd_delete_progress(crd, remains, now_wall_us()) : -ENOMEM;

        return r <= 0 ? r : put_definition(x, item_key(it), item_revision(it), crd);
}

static int clean(struct crd_cleanup *x, struct item *it, const json_t *crd) {
        _cleanup_free_ char *prefix =
                        strformat("/registry/%s/%s/", json_str_or(crd, "spec.group", "-"),
                                        json_str_or(crd, "spec.names.plural", "-"));
        struct cache *c = prefix ? caches_get(x->api->caches, prefix) : NULL;
        _cleanup_json_ json_t *held = NULL;
        struct crd_remains remains = {0};
        int r;

        if (!c)
                return -ENOMEM;
        if (cache_count(c) == 0)
                return ask_store(x, it, prefix);
        for (struct item *i = cache_first(c, ""); i && x->in_flight < WRITES_MAX;
                        i = cache_next(c, i)) {
                r = delete_one(x, i, &remains, &held);
                if (r < 0)
                        return r;
        }
        return remains.waiting > 0 ? say_what_is_left(x, it, crd, &remains) : 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct crd_cleanup *x = userdata;
        struct cache *c = caches_get(x->api->caches, crd_prefix);
        unsigned before = x->in_flight;

        if (!caches_are_following(x->api->caches) || x->in_flight > 0) {
                look_in(x, LATER_US);
                return 0;
        }
        x->active = false;
        for (struct item *it = c ? cache_first(c, "") : NULL; it; it = cache_next(c, it)) {
                _cleanup_json_ json_t *crd = NULL;
                int r;

                if (!is_deleting(it))
                        continue;
                crd = item_object(it);
                if (!crd || !crd_wants_cleanup(crd))
                        continue;
                x->active = true;
                r = clean(x, it, crd);
                if (r < 0)
                        log_warning_errno(
                                        r, "The objects of %s cannot be deleted", object_name(crd));
        }
        if (x->active)
                look_in(x, x->in_flight > before ? LATER_US : HELD_US);
        return 0;
}

void crd_cleanup_on_deleted(struct crd_cleanup *x) {
        if (x && x->active)
                look_in(x, SOON_US);
}

void crd_cleanup_wake(struct crd_cleanup *x) {
        if (x)
                look_in(x, SOON_US);
}

int crd_cleanup_start(struct crd_cleanup **ret, struct api *a) {
        _cleanup_(crd_cleanup_freep) struct crd_cleanup *x = calloc(1, sizeof(*x));
        int r;

        if (!x)
                return -ENOMEM;
        x->api = a;
        r = sd_event_add_time_relative(a->event, &x->timer, CLOCK_MONOTONIC, 0, 0, on_timer, x);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(x->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(x);
        return 0;
}

struct crd_cleanup *crd_cleanup_free(struct crd_cleanup *x) {
        if (!x)
                return NULL;
        sd_event_source_disable_unref(x->timer);
        forget_asked(x);
        return mfree(x);
}
