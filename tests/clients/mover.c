/* Writers and watchers across API servers that are killed (tests/clients/two-kapids).
 *
 *      mover KUBECONFIG SECONDS
 *
 * Each writer counts in a ConfigMap of its own, by PUT with the resourceVersion that it read: so
 * each number is written once, whatever happens to the connection. Each watcher must see every
 * number of every writer once and in order; where a relist was needed it may not (the test says
 * whether it may have been). Prints the figures; status 1: a write was lost, or an event missed or
 * doubled. */
#include <stdio.h>

#include "lib/client/informer.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { WRITERS = 4, WATCHERS = 3, PAUSE_US = 25000, AFTER_FAILURE_US = 50000, REST_US = 4000000 };

struct mover;

struct writer {
        struct mover *mover;
        char name[16], *path, *collection;
        json_t *object; /* as last read or written */
        int64_t sent, acknowledged;
        sd_event_source *timer;
        uint64_t last_us;
};

struct watcher {
        struct mover *mover;
        struct informer *informer;
        int64_t seen[WRITERS];
};

struct mover {
        sd_event *event;
        struct api_client *client;
        struct writer writers[WRITERS];
        struct watcher watchers[WATCHERS];
        uint64_t end_us, gap_us;
        size_t failures, faults;
};

static int64_t number_of(const json_t *object) {
        int64_t n = -1;

        (void)parse_i64(json_str_or(object, "data.n", ""), &n);
        return n;
}

static void after(struct writer *w, uint64_t delay_us) {
        (void)sd_event_source_set_time_relative(w->timer, delay_us);
        (void)sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

static void fault(struct mover *m, const char *what, const char *name, int64_t had, int64_t got) {
        printf("# %s: %s had %lld, now %lld\n", what, name, (long long)had, (long long)got);
        m->faults++;
}

static void on_answer(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct writer *w = userdata;
        struct mover *m = w->mover;
        uint64_t now = now_mono_us();

        if (error < 0) {
                m->failures++;
                log_debug("%s: %s", w->name, strempty(p->message));
                json_decref(w->object);
                w->object = NULL; /* it is read before the next try */
                after(w, AFTER_FAILURE_US);
                return;
        }
        json_decref(w->object);
        w->object = json_ref(object);
        if (number_of(object) < w->acknowledged || number_of(object) > w->sent)
                fault(m, "a write is lost or not ours", w->name, w->acknowledged,
                                number_of(object));
        w->acknowledged = number_of(object);
        if (w->last_us)
                m->gap_us = MAX(m->gap_us, now - w->last_us);
        w->last_us = now;
        after(w, PAUSE_US);
}

static int on_turn(sd_event_source *source, uint64_t usec, void *userdata) {
        struct writer *w = userdata;
        struct mover *m = w->mover;
        _cleanup_json_ json_t *next = NULL;
        char text[32];
        int r;

        if (now_mono_us() >= m->end_us && w->object)
                return 0;
        if (!w->object)
                r = api_get_async(m->client, w->path, on_answer, w, NULL);
        else {
                next = json_deep_copy(w->object);
                w->sent = w->acknowledged + 1;
                (void)snprintf(text, sizeof(text), "%lld", (long long)w->sent);
                r = next ? json_set_str(next, "data.n", text) : -ENOMEM;
                if (r >= 0)
                        r = api_update_async(m->client, w->path, next, on_answer, w, NULL);
        }
        if (r < 0)
                after(w, AFTER_FAILURE_US);
        return 0;
}

static void on_event(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct watcher *x = userdata;

        for (size_t k = 0; k < WRITERS; k++) {
                const char *name = x->mover->writers[k].name;
                int64_t n = number_of(object);

                if (!streq(name, object_name(object)))
                        continue;
                if (event == INFORMER_DELETED || n != x->seen[k] + 1)
                        fault(x->mover, "an event is missed or doubled", name, x->seen[k], n);
                x->seen[k] = n;
        }
}

static int start_writer(struct mover *m, size_t k) {
        const struct api_resource *configmaps = api_resource(KIND_CONFIGMAPS);
        struct writer *w = &m->writers[k];
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *body = NULL;

        (void)snprintf(w->name, sizeof(w->name), "writer-%zu", k);
        w->mover = m;
        w->path = api_path(configmaps, "default", w->name, NULL, NULL);
        w->collection = api_path(configmaps, "default", NULL, NULL, NULL);
        body = json_pack("{s:s, s:s, s:{s:s, s:{s:s}}, s:{s:s}}", "apiVersion", "v1", "kind",
                        "ConfigMap", "metadata", "name", w->name, "labels", "test", "mover", "data",
                        "n", "0");
        if (!w->path || !w->collection || !body)
                return -ENOMEM;
        if (api_request(m->client, "POST", w->collection, NULL, body, &w->object, &p) < 0) {
                printf("# cannot create %s: %s\n", w->name, strempty(p.message));
                return -EIO;
        }
        return sd_event_add_time_relative(
                        m->event, &w->timer, CLOCK_MONOTONIC, 500000, 1000, on_turn, w);
}

static int start(struct mover *m, const char *kubeconfig) {
        const struct api_client_options o = {.kubeconfig = kubeconfig, .user_agent = "mover/1"};
        _cleanup_problem_ struct problem p = {0};
        int r = sd_event_default(&m->event);

        if (r < 0)
                return r;
        r = api_client_new(&m->client, m->event, &o, &p);
        if (r < 0) {
                printf("# %s\n", strempty(p.message));
                return r;
        }
        for (size_t k = 0; r >= 0 && k < WRITERS; k++)
                r = start_writer(m, k);
        for (size_t k = 0; r >= 0 && k < WATCHERS; k++) {
                const struct informer_options w = {.resource = api_resource(KIND_CONFIGMAPS),
                                .ns = "default",
                                .label_selector = "test=mover",
                                .on_event = on_event,
                                .userdata = &m->watchers[k]};

                m->watchers[k].mover = m;
                for (size_t n = 0; n < WRITERS; n++)
                        m->watchers[k].seen[n] = -1;
                r = informer_new(&m->watchers[k].informer, m->client, &w);
        }
        return r;
}

static bool has_seen_all(const struct mover *m) {
        for (size_t k = 0; k < WATCHERS; k++)
                for (size_t n = 0; n < WRITERS; n++)
                        if (m->watchers[k].seen[n] != m->writers[n].acknowledged)
                                return false;
        return true;
}

static int run(struct mover *m, uint64_t seconds) {
        int64_t writes = 0;

        m->end_us = now_mono_us() + seconds * 1000000;
        while (now_mono_us() < m->end_us ||
                        (!has_seen_all(m) && now_mono_us() < m->end_us + REST_US))
                if (sd_event_run(m->event, 100000) < 0)
                        return 1;
        for (size_t n = 0; n < WRITERS; n++) {
                writes += m->writers[n].acknowledged;
                for (size_t k = 0; k < WATCHERS; k++)
                        if (m->watchers[k].seen[n] != m->writers[n].acknowledged)
                                fault(m, "the last event is missing", m->writers[n].name,
                                                m->writers[n].acknowledged, m->watchers[k].seen[n]);
        }
        printf("writes=%lld failures=%zu longest_gap_ms=%llu faults=%zu\n", (long long)writes,
                        m->failures, (unsigned long long)m->gap_us / 1000, m->faults);
        return m->faults > 0 || writes == 0;
}

int main(int argc, char **argv) {
        static struct mover m;
        uint32_t seconds;

        log_setup("mover", LOG_NOTICE);
        setvbuf(stdout, NULL, _IOLBF, 0);
        if (argc != 3 || parse_u32(argv[2], &seconds) < 0)
                return 2;
        if (start(&m, argv[1]) < 0)
                return 2;
        return run(&m, seconds);
}
