/* A job empties the whole folder; one more follows when something was put there meanwhile. */
#include "nodeagent/pod/trash.h"

#include <stdatomic.h>

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/worker.h"

struct trash {
        struct worker *worker;
        char *dir;
        bool busy, again;
        atomic_bool ending;
};

static int empty(void *userdata) {
        struct trash *t = userdata;
        _cleanup_strv_free_ char **names = NULL;
        int r = file_list(t->dir, &names), first = r;

        for (char **name = names; name && *name && !t->ending; name++) {
                _cleanup_free_ char *path = strformat("%s/%s", t->dir, *name);

                r = path ? remove_tree(path) : -ENOMEM;
                if (r < 0 && first >= 0)
                        first = r;
        }
        return first;
}

static void submit(struct trash *t);

static void on_empty(int result, void *userdata) {
        struct trash *t = userdata;

        if (result < 0)
                log_warning_errno(result, "Cannot remove all that pods have left in %s", t->dir);
        t->busy = false;
        if (t->again)
                submit(t);
}

static void submit(struct trash *t) {
        t->again = t->busy;
        if (!t->busy)
                t->busy = worker_submit(t->worker, empty, on_empty, t) >= 0;
}

int trash_new(struct trash **ret, sd_event *event, const char *dir) {
        _cleanup_(trash_freep) struct trash *t = calloc(1, sizeof(*t));
        int r;

        if (!t)
                return -ENOMEM;
        t->dir = strdup(dir);
        if (!t->dir)
                return -ENOMEM;
        r = mkdir_parents(dir, 0700);
        if (r < 0)
                return r;
        r = worker_new(&t->worker, event);
        if (r < 0)
                return r;
        submit(t);
        *ret = TAKE_PTR(t);
        return 0;
}

struct trash *trash_free(struct trash *t) {
        if (!t)
                return NULL;
        t->ending = true;
        worker_free(t->worker);
        free(t->dir);
        free(t);
        return NULL;
}

int trash_put(struct trash *t, const char *path) {
        _cleanup_free_ char *aside =
                        strformat("%s/%016llx", t->dir, (unsigned long long)random_u64());

        if (!aside)
                return -ENOMEM;
        if (rename(path, aside) < 0)
                return errno == ENOENT ? 0 : remove_tree(path);
        submit(t);
        return 0;
}

bool trash_is_busy(const struct trash *t) {
        return t->busy;
}
