/* Requests beside bindings: conditions, victims, annotations. Each is in flight on its own; the
 * loop tries no further pods while there are WRITES_MAX. */
#include "lib/log.h"
#include "lib/random.h"
#include "reconcilers/sched/internal.h"

struct write {
        struct scheduler *scheduler;
        struct api_call *call;
        char id[UUID_SIZE];
};

void scheduler_write_free(void *p) {
        struct write *w = p;

        if (!w)
                return;
        api_call_cancel(w->call);
        free(w);
}

static void on_written(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct write *w = userdata;
        struct scheduler *s = w->scheduler;

        w->call = NULL;
        if (error < 0 && error != -ENOENT && error != -ESTALE)
                log_debug("A write of the scheduler failed: %s", strempty(p->message));
        map_steal(s->writes, w->id);
        scheduler_write_free(w);
        scheduler_arm(s);
}

static struct write *write_new(struct scheduler *s) {
        struct write *w = calloc(1, sizeof(*w));

        assert(w);
        w->scheduler = s;
        random_uuid(w->id);
        assert(map_set(s->writes, w->id, w) >= 0);
        return w;
}

/* Patches that are not sent now are decided again later. */
static void write_failed(struct scheduler *s, struct write *w, int r) {
        log_debug("A write of the scheduler could not be sent: %s", strerror(-r));
        map_steal(s->writes, w->id);
        scheduler_write_free(w);
}

void scheduler_write_patch(struct scheduler *s, const char *path, const json_t *body) {
        struct write *w = write_new(s);
        int r = path && body ? api_patch_async(s->options.client, path, API_PATCH_MERGE, body,
                                               on_written, w, &w->call)
                             : -ENOMEM;

        if (r < 0)
                write_failed(s, w, r);
}

void scheduler_write_delete(struct scheduler *s, const char *path, const json_t *options) {
        struct write *w = write_new(s);
        int r = path && options ? api_delete_async(s->options.client, path, options, on_written, w,
                                                  &w->call)
                                : -ENOMEM;

        if (r < 0)
                write_failed(s, w, r);
}
