/* One thread for all GitSyncs (lib/worker.h). A job owns its revision and copies of the words that
 * it needs, so that the GitSync may end meanwhile: then nobody waits for the job, and it is freed
 * when it is done. Where there is no thread (unit tests), or too many jobs wait, the work is done
 * at once. */
#include "reconcilers/gitsync/aside.h"

#include <sys/queue.h>

#include "lib/worker.h"
#include "reconcilers/gitsync/identity.h"

struct aside {
        LIST_ENTRY(aside) link;
        struct asides *asides; /* NULL: done at once */
        struct gitsync *s;     /* NULL: nobody waits */
        struct revision revision;
        json_t *reply;
        struct aside_words words;
        struct problem problem;
        aside_work work;
        aside_done done;
};

struct asides {
        struct worker *worker;
        LIST_HEAD(, aside) list;
};

static struct aside *aside_free(struct aside *a) {
        if (!a)
                return NULL;
        revision_done(&a->revision);
        json_decref(a->reply);
        free(a->words.name);
        free(a->words.ns);
        free(a->words.target);
        free(a->words.user);
        problem_done(&a->problem);
        return mfree(a);
}

int asides_new(struct asides **ret, sd_event *event) {
        struct asides *x = calloc(1, sizeof(*x));
        int r;

        if (!x)
                return -ENOMEM;
        LIST_INIT(&x->list);
        r = worker_new(&x->worker, event);
        if (r < 0) {
                free(x);
                return r;
        }
        *ret = x;
        return 0;
}

struct asides *asides_free(struct asides *x) {
        struct aside *a;

        if (!x)
                return NULL;
        worker_free(x->worker);
        while ((a = LIST_FIRST(&x->list))) {
                LIST_REMOVE(a, link);
                aside_free(a);
        }
        return mfree(x);
}

static int run(void *userdata) {
        struct aside *a = userdata;

        return a->work(&a->revision, a->reply, &a->words, &a->problem);
}

static void on_done(int result, void *userdata) {
        struct aside *a = userdata;
        struct gitsync *s = a->s;

        LIST_REMOVE(a, link);
        if (s) {
                s->aside = NULL;
                s->candidate = a->revision;
                a->revision = (struct revision){0};
                a->done(s, result, &a->problem);
        }
        aside_free(a);
}

static char *copy(const char *s) {
        return strdup(strempty(s));
}

int gitsync_aside(struct gitsync *s, json_t *reply, aside_work work, aside_done done) {
        struct asides *x = s->world->asides;
        struct aside *a = calloc(1, sizeof(*a));
        int r = -ENOBUFS;

        if (!a) {
                json_decref(reply);
                return -ENOMEM;
        }
        *a = (struct aside){.asides = x,
                        .s = s,
                        .reply = reply,
                        .work = work,
                        .done = done,
                        .words = {copy(s->name), copy(s->ns),
                                        copy(json_str(s->object, "spec.targetNamespace")),
                                        copy(s->identity ? s->identity->user : NULL)}};
        if (!a->words.name || !a->words.ns || !a->words.target || !a->words.user) {
                aside_free(a);
                return -ENOMEM;
        }
        a->revision = s->candidate;
        s->candidate = (struct revision){0};
        if (x) {
                LIST_INSERT_HEAD(&x->list, a, link);
                s->aside = a;
                r = worker_submit(x->worker, run, on_done, a);
        }
        if (r >= 0)
                return 0;
        if (x)
                LIST_REMOVE(a, link);
        r = run(a);
        s->aside = NULL;
        s->candidate = a->revision;
        a->revision = (struct revision){0};
        done(s, r, &a->problem);
        aside_free(a);
        return 0;
}

void gitsync_aside_leave(struct gitsync *s) {
        if (s->aside)
                s->aside->s = NULL;
        s->aside = NULL;
}

static int forget(struct revision *revision, const json_t *reply, const struct aside_words *words,
                struct problem *p) {
        revision_done(revision);
        return 0;
}

void gitsync_discard(struct gitsync *s, struct revision *revision) {
        struct asides *x = s->world->asides;
        struct aside *a = x && revision->set.count > 0 ? calloc(1, sizeof(*a)) : NULL;

        if (!a) {
                revision_done(revision);
                return;
        }
        *a = (struct aside){.asides = x, .revision = *revision, .work = forget};
        *revision = (struct revision){0};
        LIST_INSERT_HEAD(&x->list, a, link);
        if (worker_submit(x->worker, run, on_done, a) < 0) {
                LIST_REMOVE(a, link);
                aside_free(a);
        }
}
