/* Writes happen on a thread, at most one at a time. A change costs its own line; the file is
 * written as a whole when it has more than twice as many lines as there are objects. */
#include "nodeagent/network/services-keeper.h"

#include "lib/log.h"
#include "lib/loop-turn.h"
#include "lib/object.h"
#include "lib/worker.h"
#include "nodeagent/network/services-disk.h"

enum { SAVE_DELAY_US = 1000000, LINES_PER_TURN = 100, LINES_SPARE = 1000 };

struct services_keeper {
        sd_event *event;
        struct nft *nft;
        char *path;
        services_loaded_func on_loaded;
        void *userdata;
        struct worker *worker;
        struct services_reader *reader;
        struct loop_turn *load; /* while the file is read */
        sd_event_source *save;
        struct map *changed; /* "s namespace/name" or "e namespace/name"; values are not used */
        struct writing *writing;
        size_t lines;    /* in the file */
        bool can_append; /* the file is in order, and its lines lead to what the table was */
};

/* The arguments of a write on the thread. */
struct writing {
        struct services_keeper *keeper;
        json_t *lines;
        bool whole;
};

static struct writing *writing_free(struct writing *w) {
        if (w)
                json_decref(w->lines);
        free(w);
        return NULL;
}

static bool is_known(const struct services_keeper *k, bool slice, const char *key) {
        const struct service_table *t = nft_table(k->nft);

        return slice ? service_table_slice(t, key) != NULL : service_table_service(t, key) != NULL;
}

static void save_later(struct services_keeper *k);

/* ---- reading ---- */

static void take_line(struct services_keeper *k, const json_t *line) {
        const char *gone = json_str(line, "gone");
        bool slice = gone ? json_bool_or(line, "slice", false)
                          : json_object_get(line, "addressType") != NULL;
        _cleanup_json_ json_t *object = NULL;
        const struct service_table *t = nft_table(k->nft);

        if (!gone) {
                (void)(slice ? nft_slice(k->nft, line, /* gone= */ false)
                             : nft_service(k->nft, line, /* gone= */ false));
                return;
        }
        if (!is_known(k, slice, gone))
                return;
        object = json_ref(slice ? service_table_slice(t, gone)->object
                                : service_table_service(t, gone)->object);
        (void)(slice ? nft_slice(k->nft, object, /* gone= */ true)
                     : nft_service(k->nft, object, /* gone= */ true));
}

static void end_load(struct services_keeper *k) {
        k->reader = services_reader_free(k->reader);
        k->load = loop_turn_free(k->load);
}

/* What the API has said since the start is newer than any line. */
static bool is_outdated(const struct services_keeper *k, const json_t *line) {
        const char *gone = json_str(line, "gone");
        bool slice = gone ? json_bool_or(line, "slice", false)
                          : json_object_get(line, "addressType") != NULL;
        _cleanup_free_ char *name = gone ? strdup(gone) : object_key(line),
                            *key = name ? strformat("%s %s", slice ? "e" : "s", name) : NULL;

        return !key || map_get(k->changed, key);
}

static void on_load(void *userdata) {
        struct services_keeper *k = userdata;
        int r = 1;

        for (unsigned i = 0; i < LINES_PER_TURN && r > 0; i++) {
                _cleanup_json_ json_t *line = NULL;

                r = services_reader_next(k->reader, &line);
                if (r <= 0)
                        break;
                k->lines++;
                if (!is_outdated(k, line))
                        take_line(k, line);
        }
        if (r > 0) {
                loop_turn_ask(k->load);
                return;
        }
        if (r < 0)
                log_warning_errno(r, "Cannot read all services kept in %s", k->path);
        k->can_append = r == 0;
        end_load(k);
        if (map_size(k->changed) > 0)
                save_later(k);
        k->on_loaded(k->userdata);
}

static int begin_load(struct services_keeper *k) {
        int r = services_reader_open(&k->reader, k->path);

        /* Without a file there is nothing to read, and the next write makes it. */
        if (r < 0 && r != -ENOENT)
                log_warning_errno(r, "Cannot read the services kept in %s", k->path);
        if (r < 0) {
                k->on_loaded(k->userdata);
                return 0;
        }
        r = loop_turn_new(&k->load, k->event, SD_EVENT_PRIORITY_NORMAL, on_load, k);
        if (r < 0)
                return r;
        loop_turn_ask(k->load);
        return 0;
}

/* ---- writing ---- */

static int write_run(void *userdata) {
        const struct writing *w = userdata;

        return w->whole ? services_disk_save(w->keeper->path, w->lines)
                        : services_disk_append(w->keeper->path, w->lines);
}

static void write_done(int result, void *userdata) {
        struct writing *w = userdata;
        struct services_keeper *k = w->keeper;

        k->writing = NULL;
        k->can_append = result >= 0;
        k->lines = w->whole ? json_array_size(w->lines) : k->lines + json_array_size(w->lines);
        if (result < 0)
                log_warning_errno(result, "Cannot keep the services on disk");
        writing_free(w);
        if (map_size(k->changed) > 0)
                save_later(k);
}

/* The line of one changed object. A new reference. */
static json_t *line_of(const struct services_keeper *k, bool slice, const char *key) {
        const struct service_table *t = nft_table(k->nft);

        if (!is_known(k, slice, key))
                return json_pack("{s:s, s:b}", "gone", key, "slice", slice);
        return json_ref(slice ? service_table_slice(t, key)->object
                              : service_table_service(t, key)->object);
}

static json_t *changed_lines(const struct services_keeper *k) {
        json_t *lines = json_array();

        map_foreach (k->changed, e) {
                const char *key = map_entry_key(e);

                if (json_array_append_new(lines, line_of(k, key[0] == 'e', key + 2)) < 0) {
                        json_decref(lines);
                        return NULL;
                }
        }
        return lines;
}

static int begin_write(struct services_keeper *k) {
        const struct service_table *t = nft_table(k->nft);
        size_t objects =
                        map_size(service_table_services(t)) + map_size(service_table_all_slices(t));
        struct writing *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        w->keeper = k;
        w->whole = !k->can_append || k->lines + map_size(k->changed) > 2 * objects + LINES_SPARE;
        w->lines = w->whole ? nft_objects(k->nft) : changed_lines(k);
        r = w->lines ? worker_submit(k->worker, write_run, write_done, w) : -ENOMEM;
        if (r < 0) {
                writing_free(w);
                return r;
        }
        k->writing = w;
        map_clear(k->changed);
        return 0;
}

static int on_save(sd_event_source *source, uint64_t usec, void *userdata) {
        struct services_keeper *k = userdata;
        int r;

        k->save = sd_event_source_disable_unref(k->save);
        if (k->writing || k->reader)
                return 0;
        r = begin_write(k);
        if (r < 0)
                log_warning_errno(r, "Cannot keep the services on disk");
        return 0;
}

static void save_later(struct services_keeper *k) {
        if (!k->writing && !k->save && !k->reader)
                (void)sd_event_add_time_relative(
                                k->event, &k->save, CLOCK_MONOTONIC, SAVE_DELAY_US, 0, on_save, k);
}

bool services_keeper_is_reading(const struct services_keeper *k) {
        return !k || k->reader;
}

void services_keeper_note(struct services_keeper *k, bool slice, const char *key) {
        _cleanup_free_ char *full = strformat("%s %s", slice ? "e" : "s", key);

        if (full)
                (void)map_set(k->changed, full, k);
        save_later(k);
}

void services_keeper_replace(struct services_keeper *k) {
        end_load(k);
        k->can_append = false;
        save_later(k);
}

int services_keeper_new(struct services_keeper **ret, sd_event *event, const char *path,
                struct nft *nft, services_loaded_func on_loaded, void *userdata) {
        _cleanup_(services_keeper_freep) struct services_keeper *k = calloc(1, sizeof(*k));
        int r;

        if (!k)
                return -ENOMEM;
        k->event = event;
        k->nft = nft;
        k->on_loaded = on_loaded;
        k->userdata = userdata;
        k->path = strdup(path);
        k->changed = map_new(NULL);
        if (!k->path || !k->changed)
                return -ENOMEM;
        r = worker_new(&k->worker, event);
        if (r < 0)
                return r;
        r = begin_load(k);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(k);
        return 0;
}

/* What waits for its time; no job of the worker is under way. */
static void write_last(struct services_keeper *k) {
        bool whole = !k->can_append || k->writing; /* whose result is not known */
        _cleanup_json_ json_t *lines = NULL;
        int r;

        if (k->reader || (!k->save && map_size(k->changed) == 0))
                return;
        lines = whole ? nft_objects(k->nft) : changed_lines(k);
        if (!lines)
                r = -ENOMEM;
        else
                r = whole ? services_disk_save(k->path, lines)
                          : services_disk_append(k->path, lines);
        if (r < 0)
                log_warning_errno(r, "Cannot keep the services on disk");
}

struct services_keeper *services_keeper_free(struct services_keeper *k) {
        if (!k)
                return NULL;
        worker_free(k->worker);
        if (k->worker && k->changed)
                write_last(k);
        writing_free(k->writing);
        end_load(k);
        sd_event_source_disable_unref(k->save);
        map_free(k->changed);
        free(k->path);
        free(k);
        return NULL;
}
