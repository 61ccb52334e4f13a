/* Informer: one resource of the API kept in memory.
 *
 *      idle --> listing --page, page ...--> synced, watching --stream ends--> watching again
 *                 ^                              | 410, ERROR event: compacted
 *                 '------------------------------'
 *
 * Listing goes in pages; every page is merged at once (each object is held once), entries carry the
 * number of the listing that saw them, and what the last page leaves unseen was deleted meanwhile.
 * resourceVersion moves only forward with events and bookmarks. managedFields are dropped: they are
 * often half of an object and an update without them leaves them alone. The rules are those of
 * "efficient detection of changes" in the API concepts page.
 *
 * A burst of events is handled in slices of TURN_US: the lines that are left wait in `lines` for
 * the next turn of the loop, the connection is paused meanwhile, and an end of the stream that has
 * come in is kept until the lines before it were handled. */
#include "lib/client/informer.h"

#include "lib/client/api-internal.h"
#include "lib/client/informer-request.h"
#include "lib/client/lines.h"
#include "lib/json-text.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"
#include "lib/vector.h"

enum {
        LINE_MAX_BYTES = 64 * 1024 * 1024,
        INDEXES_MAX = 6,
        PAGE_BYTES_MAX = 64 * 1024 * 1024, /* of a list with a bound */
        KEY_MAX = 512,
};
#define BACKOFF_MIN_US UINT64_C(200000)
#define BACKOFF_MAX_US UINT64_C(30000000)
#define TOO_MANY_US UINT64_C(600000000)
/* The server sends a bookmark about once a minute: two missed ones mean a dead peer. */
#define IDLE_TIMEOUT_US UINT64_C(130000000)
/* How long one turn of the loop handles events. */
#define TURN_US UINT64_C(10000)

struct bucket;

struct place {
        struct bucket *bucket;
        size_t at;
};

struct item {
        json_t *object;
        unsigned listing;
        /* Its place in each index; bucket NULL: it is in none. */
        struct place places[INDEXES_MAX];
        VECTOR(struct place) many; /* in the index of many, in the order of its values */
};

struct bucket { /* a vector */
        struct item **items;
        size_t count, allocated;
        char *value;
};

struct index {
        const char *name;
        informer_index_func func;
        informer_index_nth_func nth; /* instead of func: the index of many */
        struct map *buckets;
};

struct informer {
        struct api_client *client;
        struct informer_options options;
        struct api_resource resource;
        char *ns, *label_selector, *field_selector;
        struct map *items;
        struct index indexes[INDEXES_MAX];
        size_t index_count;
        json_t *kind, *api_version; /* shared by every object that came without */
        struct http_call *call;
        sd_event_source *timer, *more;
        char *resource_version; /* NULL: a list is needed */
        char *continue_token;
        struct lines lines;
        bool backlog; /* whole lines wait for `more` */
        bool ended;   /* the stream has ended meanwhile, as `end` says */
        struct {
                int failure, retry_after_s;
                char *why;
        } end;
        unsigned listing;
        unsigned failures;
        unsigned pages; /* of the list so far */
        uint64_t seen_version;
        bool gave_up; /* there are more than may be held, and that was said */
        bool small, synced, connected, progressed, expired;
};

static void start(struct informer *i);

static void item_free(void *p) {
        struct item *x = p;

        if (x) {
                json_decref(x->object);
                vector_done(&x->many);
        }
        free(x);
}

static void bucket_free(void *p) {
        struct bucket *b = p;

        if (b) {
                vector_done(b);
                free(b->value);
        }
        free(b);
}

static const char *key_of(const json_t *o, char buffer[static KEY_MAX]) {
        const char *ns = object_namespace(o);

        snprintf(buffer, KEY_MAX, "%s%s%s", ns, *ns ? "/" : "", object_name(o));
        return buffer;
}

/* --- indexes --- */

static struct bucket *bucket_get(struct index *x, const char *value) {
        struct bucket *b = map_get(x->buckets, value);

        if (!b) {
                b = calloc(1, sizeof(*b));
                assert(b && map_set(x->buckets, value, b) >= 0);
                b->value = strdup(value);
                assert(b->value);
        }
        return b;
}

/* The place of an item in a bucket of the index; it has one. */
static struct place *place_in(
                const struct index *x, size_t k, struct item *item, const struct bucket *b) {
        if (!x->nth)
                return &item->places[k];
        for (size_t n = 0; n < item->many.count; n++)
                if (item->many.items[n].bucket == b)
                        return &item->many.items[n];
        assert_not_reached();
}

static void bucket_remove(struct index *x, size_t k, struct item *item, struct place place) {
        struct bucket *b = place.bucket;

        assert(b->items[place.at] == item);
        vector_remove_unordered(b, place.at);
        if (place.at < b->count)
                place_in(x, k, b->items[place.at], b)->at = place.at;
        if (b->count == 0)
                map_remove(x->buckets, b->value);
}

/* An index with holes would make controllers do harm: there is memory. */
static struct place bucket_add(struct index *x, const char *value, struct item *item) {
        struct bucket *b = bucket_get(x, value);

        assert(vector_append(b, item) >= 0);
        return (struct place){b, b->count - 1};
}

static void index_remove(struct informer *i, size_t k, struct item *item) {
        struct index *x = &i->indexes[k];
        struct place place = item->places[k];

        item->places[k].bucket = NULL;
        if (place.bucket)
                bucket_remove(x, k, item, place);
        while (x->nth && item->many.count > 0)
                bucket_remove(x, k, item, item->many.items[--item->many.count]);
}

static void index_put_many(struct informer *i, size_t k, struct item *item) {
        struct index *x = &i->indexes[k];
        char buffer[INFORMER_INDEX_VALUE_MAX];
        const char *value;
        size_t n = 0;

        while ((value = x->nth(item->object, n, buffer, sizeof(buffer))) && n < item->many.count &&
                        streq(value, item->many.items[n].bucket->value))
                n++;
        if (!value && n == item->many.count)
                return;
        index_remove(i, k, item);
        for (n = 0; (value = x->nth(item->object, n, buffer, sizeof(buffer))); n++) {
                struct place place = bucket_add(x, value, item);

                assert(vector_append(&item->many, place) >= 0);
        }
}

/* Puts the item where its object belongs; most changes leave it where it is. */
static void index_put(struct informer *i, size_t k, struct item *item) {
        struct index *x = &i->indexes[k];
        char buffer[INFORMER_INDEX_VALUE_MAX];
        const struct bucket *b = item->places[k].bucket;
        const char *value;

        if (x->nth) {
                index_put_many(i, k, item);
                return;
        }
        value = x->func(item->object, buffer, sizeof(buffer));
        if (b && value && streq(b->value, value))
                return;
        index_remove(i, k, item);
        if (value)
                item->places[k] = bucket_add(x, value, item);
}

static int add_index(struct informer *i, struct index index) {
        if (i->index_count >= INDEXES_MAX)
                return -E2BIG;
        for (size_t k = 0; index.nth && k < i->index_count; k++)
                if (i->indexes[k].nth)
                        return -E2BIG;
        assert(map_size(i->items) == 0);
        index.buckets = map_new(bucket_free);
        if (!index.buckets)
                return -ENOMEM;
        i->indexes[i->index_count++] = index;
        return 0;
}

int informer_add_index(struct informer *i, const char *name, informer_index_func func) {
        return add_index(i, (struct index){.name = name, .func = func});
}

int informer_add_index_of_many(struct informer *i, const char *name, informer_index_nth_func func) {
        return add_index(i, (struct index){.name = name, .nth = func});
}

void informer_by_index(const struct informer *i, const char *name, const char *value,
                void (*func)(const json_t *object, void *userdata), void *userdata) {
        for (size_t k = 0; k < i->index_count; k++)
                if (streq(i->indexes[k].name, name)) {
                        const struct bucket *b = map_get(i->indexes[k].buckets, value);

                        for (size_t n = 0; b && n < b->count; n++)
                                func(b->items[n]->object, userdata);
                        return;
                }
        assert_not_reached();
}

/* --- the cache --- */

static void notify(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object) {
        if (i->options.on_event)
                i->options.on_event(i, event, old, object, i->options.userdata);
}

static void cache_remove(struct informer *i, const char *key, json_t *last) {
        struct item *item = map_steal(i->items, key);
        _cleanup_json_ json_t *object = NULL;

        if (!item)
                return;
        for (size_t k = 0; k < i->index_count; k++)
                index_remove(i, k, item);
        object = json_incref(last ? last : item->object);
        item_free(item);
        notify(i, INFORMER_DELETED, NULL, object);
}

/* Takes object. */
static void cache_put(struct informer *i, json_t *object) {
        _cleanup_json_ json_t *new = object, *old = NULL;
        char key[KEY_MAX];
        struct item *item = map_get(i->items, key_of(object, key));

        if (item && !streq(object_uid(item->object), object_uid(new))) {
                /* deleted and created again between two lists */
                cache_remove(i, key, NULL);
                item = NULL;
        }
        if (!item) {
                item = calloc(1, sizeof(*item));
                assert(item && map_set(i->items, key, item) >= 0);
        } else {
                item->listing = i->listing;
                if (streq_ptr(json_str(item->object, "metadata.resourceVersion"),
                                    json_str(new, "metadata.resourceVersion")))
                        return;
                old = item->object;
        }
        item->object = json_incref(new);
        item->listing = i->listing;
        for (size_t k = 0; k < i->index_count; k++)
                index_put(i, k, item);
        notify(i, old ? INFORMER_MODIFIED : INFORMER_ADDED, old, new);
}

/* Fresh from the parser and held by us alone, so it may still be changed. */
static void trim_object(struct informer *i, json_t *o) {
        if (i->options.metadata_only)
                object_trim_to_metadata(o);
        if (!json_object_get(o, "kind"))
                json_object_set(o, "kind", i->kind);
        if (!json_object_get(o, "apiVersion"))
                json_object_set(o, "apiVersion", i->api_version);
        json_object_del(json_object_get(o, "metadata"), "managedFields");
}

static bool object_is_usable(const json_t *o) {
        return json_is_object(o) && *object_name(o) && json_str(o, "metadata.resourceVersion") &&
               strlen(object_name(o)) + strlen(object_namespace(o)) + 2 < KEY_MAX;
}

/* --- connection state and back-off --- */

static void set_connected(struct informer *i, bool connected) {
        if (i->connected == connected)
                return;
        i->connected = connected;
        if (i->options.on_connection)
                i->options.on_connection(i, connected, i->options.userdata);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct informer *i = userdata;

        i->timer = sd_event_source_disable_unref(i->timer);
        start(i);
        return 0;
}

static void start_after(struct informer *i, uint64_t delay_us) {
        i->timer = sd_event_source_disable_unref(i->timer);
        if (sd_event_add_time_relative(api_client_event(i->client), &i->timer, CLOCK_MONOTONIC,
                            delay_us, 0, on_timer, i) < 0)
                log_error("Cannot start a timer: %s are no longer watched", i->resource.plural);
}

static void retry(struct informer *i, int retry_after_s) {
        uint64_t d = BACKOFF_MIN_US << MIN(i->failures, 10u);

        i->failures++;
        d = MIN(d, BACKOFF_MAX_US);
        d = d / 2 + random_below(d / 2 + 1);
        if (retry_after_s > 0) {
                uint64_t asked = (uint64_t)retry_after_s * 1000000;

                d = MAX(d, asked);
                d = MIN(d, BACKOFF_MAX_US);
        }
        set_connected(i, false);
        start_after(i, d);
}

static void forget_position(struct informer *i) {
        i->resource_version = mfree(i->resource_version);
        i->continue_token = mfree(i->continue_token);
}

static void saw_version(struct informer *i) {
        uint64_t v;

        if (parse_u64(i->resource_version, &v) >= 0)
                i->seen_version = MAX(i->seen_version, v);
}

static int set_string(char **field, const char *value) {
        char *copy = strdup(value);

        if (!copy)
                return -ENOMEM;
        free(*field);
        *field = copy;
        return 0;
}

/* --- list --- */

static void finish_list(struct informer *i) {
        map_foreach (i->items, e) {
                struct item *item = map_entry_value(e);
                char key[KEY_MAX];

                if (item->listing != i->listing)
                        cache_remove(i, key_of(item->object, key), NULL);
        }
        i->failures = 0;
        i->gave_up = false;
        if (!i->synced) {
                i->synced = true;
                if (i->options.on_synced)
                        i->options.on_synced(i, i->options.userdata);
        }
}

/* Whether the object may come in. Others that are no longer there count until the list's end. */
static bool has_room(const struct informer *i, const json_t *o) {
        const size_t n = i->options.objects_max;

        return !n || map_size(i->items) < n || map_get(i->items, key_of(o, (char[KEY_MAX]){}));
}

/* A list that does not end: what has come of it stays, and it is tried again much later. */
static void give_up(struct informer *i) {
        if (!i->gave_up)
                log_warning("The API lists more than %zu %s.%s, or too much at a time: what is left is "
                            "not followed; it is tried again every ten minutes. Repair its server",
                                i->options.objects_max, i->resource.plural, i->resource.group);
        i->gave_up = true;
        set_connected(i, false);
        start_after(i, TOO_MANY_US);
}

static int merge_page(struct informer *i, const struct http_result *result) {
        _cleanup_json_ json_t *list = NULL;
        const char *token, *version;
        json_t *items, *o;
        size_t k;
        int r = json_parse(result->body, result->body_size, 0, &list, NULL);

        if (r < 0)
                return r;
        items = json_object_get(list, "items");
        version = json_str(list, "metadata.resourceVersion");
        token = json_str_or(list, "metadata.continue", "");
        if (!json_is_array(items) || isempty(version))
                return -EPROTO;
        json_array_foreach (items, k, o) {
                if (!object_is_usable(o))
                        continue;
                if (!has_room(i, o))
                        return -E2BIG;
                trim_object(i, o);
                cache_put(i, json_incref(o));
        }
        if (*token)
                return i->options.objects_max > 0 && ++i->pages >= informer_pages_max(i->small)
                                       ? -E2BIG
                                       : set_string(&i->continue_token, token);
        i->continue_token = mfree(i->continue_token);
        r = set_string(&i->resource_version, version);
        if (r < 0)
                return r;
        saw_version(i);
        finish_list(i);
        return 0;
}

static int read_page(struct informer *i, const struct http_result *result, struct problem *p) {
        int r = api_result_error(result, p);

        return r < 0 ? r : merge_page(i, result);
}

static void on_list_done(struct http_call *call, const struct http_result *result, void *userdata) {
        struct informer *i = userdata;
        _cleanup_problem_ struct problem p = {0};
        int r;

        i->call = NULL;
        api_client_note(i->client, result);
        r = read_page(i, result, &p);
        if (r < 0) {
                log_debug("Cannot list %s: %s", i->resource.plural,
                                p.message ? p.message : strerror(-r));
                forget_position(i); /* a list that broke off in the middle starts over */
                if (i->options.objects_max > 0 && (r == -E2BIG || (r == -EFBIG && i->small)))
                        give_up(i);
                else
                        retry(i, p.retry_after_s);
                i->small |= r == -EFBIG; /* objects of one user are not to stop all others' */
                return;
        }
        start(i);
}

/* --- watch --- */

static int on_error_event(struct informer *i, const json_t *status) {
        int64_t code = json_int_or(status, "code", 0);
        const char *reason = json_str_or(status, "reason", "");

        if (code == 410 || streq(reason, "Expired") || streq(reason, "Gone"))
                i->expired = true;
        return -EREMOTEIO;
}

static int on_line(struct informer *i, const char *text, size_t n) {
        static const char *const unused[] = {"object", "metadata", "managedFields", NULL};
        _cleanup_json_ json_t *event = NULL;
        const char *type, *version;
        char key[KEY_MAX];
        json_t *o;
        int r;

        if (n == 0 || (n == 1 && *text == '\r'))
                return 0;
        r = json_parse_without(text, n, unused, &event);
        if (r < 0)
                return r;
        type = json_str_or(event, "type", "");
        o = json_object_get(event, "object");
        if (streq(type, "ERROR"))
                return on_error_event(i, o);
        version = json_str(o, "metadata.resourceVersion");
        if (isempty(version))
                return -EPROTO;
        i->progressed = true;
        i->failures = 0;
        r = set_string(&i->resource_version, version);
        if (r < 0)
                return r;
        saw_version(i);
        if (streq(type, "BOOKMARK"))
                return 0;
        if (!object_is_usable(o))
                return -EPROTO;
        trim_object(i, o);
        if (streq(type, "DELETED"))
                cache_remove(i, key_of(o, key), o);
        else if (streq(type, "ADDED") || streq(type, "MODIFIED")) {
                if (!has_room(i, o)) {
                        i->expired = true; /* the list says how many there are */
                        return -E2BIG;
                }
                cache_put(i, json_incref(o));
        }
        return 0;
}

/* What has come of the watch and was not handled. */
static void drop_backlog(struct informer *i) {
        lines_drop(&i->lines);
        i->backlog = i->ended = false;
        i->end.why = mfree(i->end.why);
        (void)sd_event_source_set_enabled(i->more, SD_EVENT_OFF);
}

/* sd_event_now() is when this turn began, whatever part of it was ours. */
static bool turn_is_over(const struct informer *i) {
        uint64_t begin;

        return sd_event_now(api_client_event(i->client), CLOCK_MONOTONIC, &begin) >= 0 &&
               now_mono_us() >= begin + TURN_US;
}

/* 1: whole lines are left for the next turn. A turn that ours begins handles one in any case. */
static int handle_lines(struct informer *i, bool begins) {
        for (bool first = begins; lines_has(&i->lines); first = false) {
                const char *line;
                size_t n;
                int r;

                if (!first && turn_is_over(i))
                        return 1;
                line = lines_take(&i->lines, &n);
                r = on_line(i, line, n);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void continue_later(struct informer *i) {
        i->backlog = true;
        (void)sd_event_source_set_enabled(i->more, SD_EVENT_ONESHOT);
}

static int on_watch_data(struct http_call *call, const char *data, size_t n, void *userdata) {
        struct informer *i = userdata;
        int r = lines_append(&i->lines, data, n, LINE_MAX_BYTES);

        if (r < 0 || i->backlog)
                return r;
        r = handle_lines(i, /* begins= */ false);
        if (r <= 0)
                return r;
        continue_later(i);
        http_call_pause(call);
        return 0;
}

static int on_watch_headers(struct http_call *call, int code, void *userdata) {
        struct informer *i = userdata;

        if (code == 200)
                set_connected(i, true);
        return 0;
}

static void end_watch(struct informer *i, int error, const char *why, int retry_after_s) {
        if (error == -EKEYEXPIRED || i->expired) {
                log_debug("The history of %s is gone, listing again", i->resource.plural);
                forget_position(i);
                /* At once the first time, but a server that always says so must not be flooded. */
                if (i->progressed)
                        start(i);
                else
                        retry(i, 0);
                return;
        }
        if (error < 0)
                log_debug("The watch of %s broke: %s", i->resource.plural, strempty(why));
        if (error == 0 && i->progressed)
                start_after(i, 0); /* its time was up */
        else
                retry(i, retry_after_s);
}

static void on_watch_done(
                struct http_call *call, const struct http_result *result, void *userdata) {
        struct informer *i = userdata;
        _cleanup_problem_ struct problem p = {0};
        int r = api_result_error(result, &p);

        i->call = NULL;
        api_client_note(i->client, result);
        if (i->backlog) {
                i->ended = true;
                i->end.failure = r;
                i->end.retry_after_s = p.retry_after_s;
                i->end.why = TAKE_PTR(p.message);
                return;
        }
        drop_backlog(i);
        end_watch(i, r, p.message, p.retry_after_s);
}

/* The lines that a turn has left, then the end of the stream if it has come meanwhile. */
static int on_more(sd_event_source *source, void *userdata) {
        struct informer *i = userdata;
        int r = handle_lines(i, /* begins= */ true);

        if (r > 0) {
                continue_later(i);
                return 0;
        }
        i->backlog = false;
        if (r == 0 && !i->ended) {
                http_call_resume(i->call);
                return 0;
        }
        _cleanup_free_ char *why = r < 0 ? strdup(strerror(-r)) : TAKE_PTR(i->end.why);
        i->call = http_call_cancel(i->call);
        drop_backlog(i);
        end_watch(i, r < 0 ? r : i->end.failure, why, r < 0 ? 0 : i->end.retry_after_s);
        return 0;
}

/* Continues: the next page, or the watch. */
static void start(struct informer *i) {
        bool watch = i->resource_version && !i->continue_token;
        const struct informer_request request = {.resource = &i->resource, .ns = i->ns,
                        .resource_version = watch ? i->resource_version : NULL,
                        .continue_token = i->continue_token,
                        .label_selector = i->label_selector, .field_selector = i->field_selector,
                        .metadata_only = i->options.metadata_only, .small = i->small};
        _cleanup_free_ char *path = informer_request_path(&request);
        struct http_call_options options = {
                        .method = "GET",
                        .path = path,
                        .headers = api_client_headers(i->client),
                        .accept = informer_request_accept(&request),
                        .timeout_us = watch ? UINT64_MAX : 0,
                        .body_size_max = !watch && i->options.objects_max > 0 ? PAGE_BYTES_MAX : 0,
                        .idle_timeout_us = watch ? IDLE_TIMEOUT_US : 0,
                        .on_headers = watch ? on_watch_headers : NULL,
                        .on_data = watch ? on_watch_data : NULL,
                        .on_done = watch ? on_watch_done : on_list_done,
                        .userdata = i,
        };

        if (!watch && !i->continue_token) {
                i->listing++;
                i->pages = 0;
        }
        i->expired = false;
        i->progressed = false;
        if (!path || http_call_start(api_client_http(i->client), &options, &i->call) < 0)
                retry(i, 0);
}

/* --- life and reading --- */

static int copy_options(struct informer *i, const struct informer_options *o) {
        i->options = *o;
        i->resource = *o->resource;
        if ((o->ns && set_string(&i->ns, o->ns) < 0) ||
                        (o->label_selector &&
                                        set_string(&i->label_selector, o->label_selector) < 0) ||
                        (o->field_selector &&
                                        set_string(&i->field_selector, o->field_selector) < 0))
                return -ENOMEM;
        i->kind = json_string(o->resource->kind);
        i->api_version = *o->resource->group ? json_sprintf("%s/%s", o->resource->group,
                                                               o->resource->version)
                                             : json_string(o->resource->version);
        i->items = map_new(item_free);
        return i->kind && i->api_version && i->items ? 0 : -ENOMEM;
}

int informer_new(struct informer **ret, struct api_client *c,
                const struct informer_options *options) {
        _cleanup_(informer_freep) struct informer *i = calloc(1, sizeof(*i));
        int r;

        if (!i)
                return -ENOMEM;
        i->client = c;
        r = copy_options(i, options);
        if (r < 0)
                return r;
        r = sd_event_add_defer(api_client_event(c), &i->more, on_more, i);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(i->more, SD_EVENT_OFF);
        if (r < 0)
                return r;
        /* From the loop, so that indexes can be added first and no callback comes before the
         * return. */
        r = sd_event_add_time_relative(
                        api_client_event(c), &i->timer, CLOCK_MONOTONIC, 0, 0, on_timer, i);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(i);
        return 0;
}

struct informer *informer_free(struct informer *i) {
        if (!i)
                return NULL;
        http_call_cancel(i->call);
        sd_event_source_disable_unref(i->timer);
        sd_event_source_disable_unref(i->more);
        for (size_t k = 0; k < i->index_count; k++)
                map_free(i->indexes[k].buckets);
        map_free(i->items);
        json_decref(i->kind);
        json_decref(i->api_version);
        lines_done(&i->lines);
        free(i->end.why);
        free(i->ns);
        free(i->label_selector);
        free(i->field_selector);
        free(i->resource_version);
        free(i->continue_token);
        free(i);
        return NULL;
}

void informer_relist(struct informer *i) {
        i->call = http_call_cancel(i->call);
        drop_backlog(i);
        forget_position(i);
        i->synced = false;
        i->failures = 0;
        start_after(i, 0);
}

bool informer_is_synced(const struct informer *i) {
        return i->synced;
}

const json_t *informer_get(const struct informer *i, const char *key) {
        const struct item *item = map_get(i->items, key);

        return item ? item->object : NULL;
}

const json_t *informer_get2(const struct informer *i, const char *ns, const char *name) {
        char key[KEY_MAX];

        if (snprintf(key, sizeof(key), "%s%s%s", strempty(ns), isempty(ns) ? "" : "/", name) >=
                        (int)sizeof(key))
                return NULL;
        return informer_get(i, key);
}

uint64_t informer_resource_version(const struct informer *i) {
        return i->seen_version;
}

size_t informer_count(const struct informer *i) {
        return map_size(i->items);
}

struct map_entry *informer_first(const struct informer *i) {
        return map_first(i->items);
}

const json_t *informer_object(const struct map_entry *e) {
        return ((const struct item *)map_entry_value(e))->object;
}
