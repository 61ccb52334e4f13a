/* Recording Events. An entry per (object, reason, message) is kept for ten minutes after its last
 * use: a repetition raises the count of the Event that is there instead of making another. One call
 * at a time an entry and at most one write in ten seconds: a loop that fails fast costs little. An
 * object has at most 25 different Events at once and one more every five minutes, as with
 * Kubernetes' clients: a set of a thousand pods does not write a thousand Events.
 * Everything is bounded; what does not fit is dropped, because events are news, not state. */
#include <stdarg.h>
#include <sys/queue.h>

#include "lib/client/api-internal.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { ENTRIES_MAX = 2048, MESSAGE_MAX = 1024 };
/* Few, because what the events are about is worth more than they are: the rest wait in line. */
enum { WRITES_MAX = 8 };
#define AGGREGATE_US (10 * 60 * UINT64_C(1000000))
#define WRITE_INTERVAL_US (10 * UINT64_C(1000000))

/* Different Events of one object: how many at once, and when there is room for one more. */
enum { BURST = 25, BUDGETS_MAX = 4096 };
#define REFILL_US (300 * UINT64_C(1000000))

TAILQ_HEAD(entry_list, entry);

struct recorder {
        struct map *entries;
        struct map *budgets;       /* uid of an object -> struct budget */
        struct entry_list used;    /* all entries, the one least recently recorded first */
        struct entry_list waiting; /* those to write when others are written */
        unsigned in_flight;
};

struct budget {
        unsigned left;
        uint64_t filled_us; /* monotonic */
};

struct entry {
        struct recorder *recorder;
        struct api_client *client;
        struct api_call *call;
        TAILQ_ENTRY(entry) used, waiting;
        bool is_waiting;
        char *key;
        char *text; /* the Event as it was first created: as an object it is six times as large */
        char *path; /* of the created Event */
        char *collection;
        unsigned count;
        uint64_t last_us;    /* monotonic: last time it was recorded */
        uint64_t written_us; /* monotonic: last write */
        bool created;
};

static void entry_free(void *p) {
        struct entry *e = p;

        if (!e)
                return;
        if (e->key)
                TAILQ_REMOVE(&e->recorder->used, e, used);
        if (e->is_waiting)
                TAILQ_REMOVE(&e->recorder->waiting, e, waiting);
        if (e->call)
                e->recorder->in_flight--;
        api_call_cancel(e->call);
        free(e->text);
        free(e->key);
        free(e->path);
        free(e->collection);
        free(e);
}

struct recorder *recorder_new(void) {
        struct recorder *r = calloc(1, sizeof(*r));

        if (!r)
                return NULL;
        TAILQ_INIT(&r->used);
        TAILQ_INIT(&r->waiting);
        r->entries = map_new(entry_free);
        r->budgets = map_new(free);
        return r->entries && r->budgets ? r : recorder_free(r);
}

struct recorder *recorder_free(struct recorder *r) {
        if (r) {
                map_free(r->entries);
                map_free(r->budgets);
        }
        return mfree(r);
}

static json_t *event_body(struct api_client *c, const json_t *about, const char *ns,
                const char *type, const char *reason, const char *message) {
        _cleanup_free_ char *name = strformat("%.200s.%llx", object_name(about),
                        (unsigned long long)now_wall_us() * 1000);
        char now[TIMEFMT_SIZE];

        time_format(now_wall_us(), now);
        if (!name)
                return NULL;
        return json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s*, s:s, s:s, s:s*}, s:s, s:s, "
                         "s:s,"
                         " s:{s:s, s:s*}, s:s, s:s, s:i, s:s, s:s}",
                        "kind", "Event", "apiVersion", "v1", "metadata", "name", name, "namespace",
                        ns, "involvedObject", "kind", object_kind(about), "apiVersion",
                        object_api_version(about), "namespace",
                        json_str(about, "metadata.namespace"), "name", object_name(about), "uid",
                        object_uid(about), "resourceVersion",
                        json_str(about, "metadata.resourceVersion"), "type", type, "reason", reason,
                        "message", message, "source", "component", api_client_manager(c), "host",
                        api_client_host(c), "firstTimestamp", now, "lastTimestamp", now, "count", 1,
                        "reportingComponent", api_client_manager(c), "reportingInstance",
                        strempty(api_client_host(c)));
}

static void entry_send(struct entry *e);

static void send_next(struct recorder *r) {
        struct entry *e;

        while (r->in_flight < WRITES_MAX && (e = TAILQ_FIRST(&r->waiting))) {
                TAILQ_REMOVE(&r->waiting, e, waiting);
                e->is_waiting = false;
                entry_send(e);
        }
}

static void on_written(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct entry *e = userdata;

        e->call = NULL;
        e->recorder->in_flight--;
        if (error == 0)
                e->created = true;
        else {
                if (error == -ENOENT)
                        e->created = false; /* expired on the server: create it again next time */
                log_debug("An event was not recorded: %s", strempty(p->message));
        }
        send_next(e->recorder);
}

/* NULL when out of memory. */
static json_t *entry_body(const struct entry *e) {
        json_t *body = NULL;

        return json_parse(e->text, strlen(e->text), 0, &body, NULL) < 0 ? NULL : body;
}

static void entry_send(struct entry *e) {
        struct api_client *c = e->client;
        char now[TIMEFMT_SIZE];
        int r;

        e->written_us = now_mono_us();
        if (e->created) {
                _cleanup_json_ json_t *patch = json_pack("{s:i, s:s}", "count", (int)e->count,
                                "lastTimestamp", time_format(now_wall_us(), now));

                r = patch ? api_patch_async(c, e->path, API_PATCH_MERGE, patch, on_written, e,
                                            &e->call)
                          : -ENOMEM;
        } else {
                _cleanup_json_ json_t *body = entry_body(e);

                if (body) {
                        json_object_set_new(body, "count", json_integer(e->count));
                        json_set_str(body, "lastTimestamp", time_format(now_wall_us(), now));
                }
                r = body ? api_create_async(c, e->collection, body, on_written, e, &e->call)
                         : -ENOMEM;
        }
        if (r < 0)
                log_debug_errno(r, "An event was not recorded");
        else
                e->recorder->in_flight++;
}

static void entry_write(struct entry *e) {
        struct recorder *r = e->recorder;

        if (e->call || e->is_waiting)
                return;
        TAILQ_INSERT_TAIL(&r->waiting, e, waiting);
        e->is_waiting = true;
        send_next(r);
}

/* Makes room: drops old entries, and the oldest when that is not enough. Those in line are newer
 * than those that were written: after them there is nothing to drop. */
static void recorder_trim(struct recorder *r, uint64_t now) {
        struct entry *e, *next;

        for (e = TAILQ_FIRST(&r->used); e && !e->is_waiting; e = next) {
                next = TAILQ_NEXT(e, used);
                if (now - e->last_us <= AGGREGATE_US && map_size(r->entries) < ENTRIES_MAX)
                        return;
                if (!e->call)
                        map_remove(r->entries, e->key);
        }
}

/* Whether the object may have one more Event; counts it. */
static bool budget_take(struct recorder *r, const json_t *about, uint64_t now) {
        struct budget *b = map_get(r->budgets, object_uid(about));
        uint64_t refills;

        if (!b) {
                if (map_size(r->budgets) >= BUDGETS_MAX)
                        map_clear(r->budgets);
                b = calloc(1, sizeof(*b));
                if (!b || map_set(r->budgets, object_uid(about), b) < 0) {
                        free(b);
                        return false;
                }
                *b = (struct budget){.left = BURST, .filled_us = now};
        }
        refills = (now - b->filled_us) / REFILL_US;
        b->left = (unsigned)MIN(b->left + refills, (uint64_t)BURST);
        b->filled_us += refills * REFILL_US;
        if (b->left == 0)
                return false;
        b->left--;
        return true;
}

static struct entry *entry_new(struct api_client *c, const json_t *about, const char *type,
                const char *reason, const char *message) {
        const struct api_resource *events = api_resource(KIND_EVENTS);
        const char *ns = *object_namespace(about) ? object_namespace(about) : "default";
        _cleanup_json_ json_t *body = event_body(c, about, ns, type, reason, message);
        struct entry *e = body ? calloc(1, sizeof(*e)) : NULL;

        if (!e)
                return NULL;
        e->client = c;
        e->text = json_text(body);
        e->collection = api_path(
                        events, ns, /* name= */ NULL, /* subresource= */ NULL, /* query= */ NULL);
        e->path = api_path(
                        events, ns, object_name(body), /* subresource= */ NULL, /* query= */ NULL);
        if (!e->text || !e->collection || !e->path) {
                entry_free(e);
                return NULL;
        }
        return e;
}

void api_event(struct api_client *c, const json_t *about, const char *type, const char *reason,
                const char *fmt, ...) {
        struct recorder *r = api_client_recorder(c);
        _cleanup_free_ char *key = NULL;
        char message[MESSAGE_MAX];
        uint64_t now = now_mono_us();
        struct entry *e;
        va_list ap;
        size_t n;

        va_start(ap, fmt);
        (void)vsnprintf(message, sizeof(message), fmt, ap);
        va_end(ap);
        /* A cut in the middle of a character would not be UTF-8, and jansson refuses it. */
        for (n = strlen(message); n > 0 && !utf8_is_valid(message, n); n--)
                message[n - 1] = 0;
        object_log(LOG_DEBUG, 0, about, NULL, "%s %s: %s: %s", object_kind(about),
                        object_name(about), reason, message);
        key = strformat("%s/%s/%s/%s", object_uid(about), object_name(about), reason, message);
        if (!key)
                return;
        e = map_get(r->entries, key);
        if (!e || now - e->last_us > AGGREGATE_US) {
                if ((e && e->call) || !budget_take(r, about, now))
                        return;
                recorder_trim(r, now);
                e = map_size(r->entries) < ENTRIES_MAX ? entry_new(c, about, type, reason, message)
                                                       : NULL;
                if (!e)
                        return;
                e->recorder = r;
                if (map_set(r->entries, key, e) < 0) {
                        entry_free(e);
                        return;
                }
                e->key = TAKE_PTR(key);
                TAILQ_INSERT_TAIL(&r->used, e, used);
        }
        TAILQ_REMOVE(&r->used, e, used);
        TAILQ_INSERT_TAIL(&r->used, e, used);
        e->count++;
        e->last_us = now;
        if (!api_client_event(c)) {
                _cleanup_json_ json_t *body = entry_body(e);
                _cleanup_problem_ struct problem p = {0};

                if (body)
                        (void)api_request(c, "POST", e->collection, NULL, body, NULL, &p);
                map_remove(r->entries, e->key);
        } else if (e->written_us == 0 || now - e->written_us >= WRITE_INTERVAL_US)
                entry_write(e);
}
