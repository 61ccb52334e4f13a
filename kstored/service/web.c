/* etcd's endpoints over plain HTTP: /health, /livez, /readyz, /version and /metrics, with its
 * words and codes (etcd 3.5's server/etcdserver/api/etcdhttp; livez and readyz as since 3.5.11).
 * Checks that need a majority wait for a read barrier. */
#include "kstored/service/web.h"

#include "kstored/server/metrics.h"
#include "kstored/server/server.h"
#include "kstored/service/maintenance.h"
#include "kstored/service/reads.h"

enum { METRICS_TEXT_MS = 100 };

struct web {
        struct buf text; /* /metrics, as of the last rendering, which serves for a moment */
        uint64_t text_until_ms;
};

/* ---- /health ---- */

static void health_answer(struct server *s, struct web_request *w, const char *reason) {
        _cleanup_free_ char *text = strformat("{\"health\":\"%s\",\"reason\":\"%s\"}%s",
                        reason ? "false" : "true", strempty(reason), reason ? "\n" : "");

        if (reason)
                s->counts.health_failed++;
        else
                s->counts.health_ok++;
        web_answer_text(w, reason ? 503 : 200, strempty(text));
}

static void health_read(struct server *s, enum store_error e, void *userdata) {
        _cleanup_free_ char *reason = e ? strformat("RANGE ERROR:%s", store_error_text(e)) : NULL;

        health_answer(s, userdata, e ? strempty(reason) : NULL);
}

/* NULL: none that counts. */
static const char *health_alarm(const struct server *s, const struct web_request *w) {
        if (s->replica->disk_full && !web_query_has(w, "exclude", "NOSPACE"))
                return "DISK FULL";
        if (state_alarm(s->state, ALARM_NOSPACE) && !web_query_has(w, "exclude", "NOSPACE"))
                return "ALARM NOSPACE";
        if (state_alarm(s->state, ALARM_CORRUPT) && !web_query_has(w, "exclude", "CORRUPT"))
                return "ALARM CORRUPT";
        return NULL;
}

static void health(struct server *s, struct web_request *w) {
        _cleanup_free_ char *serializable = web_query(w, "serializable");
        const char *alarm = health_alarm(s, w);
        struct raft_status status;
        enum store_error e;

        raft_get_status(s->raft, &status);
        if (alarm)
                health_answer(s, w, alarm);
        else if (s->stopping)
                health_read(s, STORE_STOPPED, w);
        else if (streq_ptr(serializable, "true"))
                health_answer(s, w, NULL);
        else if (status.leader == 0)
                health_answer(s, w, "RAFT NO LEADER");
        else if (status.learner) /* which asks for no barriers */
                health_answer(s, w, NULL);
        else {
                e = server_read_wait(s, health_read, w);
                if (e)
                        health_read(s, e, w);
        }
}

/* ---- /livez and /readyz ---- */

/* Each says what is wrong, or NULL. */
struct health_check {
        const char *name;
        const char *(*wrong)(const struct server *s);
        bool live, barrier; /* of /livez too; waits for a read barrier */
};

static const char *wrong_corrupt(const struct server *s) {
        return state_alarm(s->state, ALARM_CORRUPT) ? "alarm activated: CORRUPT" : NULL;
}

static const char *wrong_serializable(const struct server *s) {
        return s->stopping || s->fatal ? store_error_text(STORE_STOPPED) : NULL;
}

static const char *wrong_leader(const struct server *s) {
        struct raft_status status;

        raft_get_status(s->raft, &status);
        return status.leader == 0 ? store_error_text(STORE_NO_LEADER) : wrong_serializable(s);
}

static const char *wrong_learner(const struct server *s) {
        struct raft_status status;

        raft_get_status(s->raft, &status);
        return status.learner ? "not supported for learner" : NULL;
}

static const struct health_check checks[] = {
                {.name = "data_corruption", .wrong = wrong_corrupt},
                {.name = "serializable_read", .wrong = wrong_serializable, .live = true},
                {.name = "linearizable_read", .wrong = wrong_leader, .barrier = true},
                {.name = "non_learner", .wrong = wrong_learner},
};

struct checking {
        struct web_request *web;
        const char *type; /* "livez" */
        bool wanted[ELEMENTS(checks)];
};

static void finish_checks(struct server *s, struct checking *c, enum store_error barrier) {
        _cleanup_buf_ struct buf b = {0};
        bool failed = false, verbose;
        _cleanup_free_ char *value = web_query(c->web, "verbose");

        verbose = value != NULL;
        for (size_t i = 0; i < ELEMENTS(checks); i++) {
                const char *wrong = checks[i].wrong(s);

                if (!c->wanted[i])
                        continue;
                if (!wrong && checks[i].barrier && barrier)
                        wrong = store_error_text(barrier);
                server_metrics_check(s, c->type, checks[i].name, !wrong);
                failed = failed || wrong;
                if (wrong)
                        (void)buf_printf(&b, "[-]%s failed: %s\n", checks[i].name, wrong);
                else
                        (void)buf_printf(&b, "[+]%s ok\n", checks[i].name);
        }
        if (!failed && !verbose)
                buf_reset(&b);
        (void)buf_append_str(&b, failed ? "\n" : "ok\n");
        web_answer_text(c->web, b.failed || failed ? 503 : 200,
                        b.failed ? "out of memory\n" : b.data);
        free(c);
}

static void on_barrier(struct server *s, enum store_error e, void *userdata) {
        finish_checks(s, userdata, e);
}

/* name: of one check, or empty: all that are not excluded. */
static void run_checks(
                struct server *s, struct web_request *w, const char *type, const char *name) {
        struct checking *c = calloc(1, sizeof(*c));
        bool any = false, barrier = false, live = streq(type, "livez");
        enum store_error e;

        if (!c) {
                web_answer_text(w, 503, "out of memory\n");
                return;
        }
        *c = (struct checking){.web = w, .type = type};
        for (size_t i = 0; i < ELEMENTS(checks); i++) {
                c->wanted[i] = (!live || checks[i].live) &&
                               (*name ? streq(name, checks[i].name)
                                      : !web_query_has(w, "exclude", checks[i].name));
                any = any || c->wanted[i];
                barrier = barrier || (c->wanted[i] && checks[i].barrier && !checks[i].wrong(s));
        }
        if (*name && !any) {
                free(c);
                web_answer_text(w, 404, "404 page not found\n");
                return;
        }
        /* A learner asks for no barriers. */
        if (!barrier || wrong_learner(s)) {
                finish_checks(s, c, STORE_OK);
                return;
        }
        e = server_read_wait(s, on_barrier, c);
        if (e)
                finish_checks(s, c, e);
}

/* ---- pages ---- */

static void healthz(struct server *s, struct web_request *w) {
        web_answer_text(w, 200, "ok\n");
}

static void version(struct server *s, struct web_request *w) {
        _cleanup_free_ char *text = strformat("{\"etcdserver\":\"%s\",\"etcdcluster\":\"%s\"}",
                        server_version, server_cluster_version);

        web_answer(w, 200, "application/json", strempty(text), strlen(strempty(text)));
}

/* Rendering takes about a millisecond of the loop: frequent requests get the same text. */
static void metrics(struct server *s, struct web_request *w) {
        struct web *x = server_part(s, SERVER_PART_WEB);
        struct buf *b = &x->text;
        uint64_t now_ms = server_now_ms();

        if (now_ms >= x->text_until_ms || b->size == 0) {
                buf_reset(b);
                x->text_until_ms = now_ms + METRICS_TEXT_MS;
                if (metrics_render(s->all_metrics, b) < 0) {
                        buf_done(b);
                        web_answer_text(w, 503, "out of memory\n");
                        return;
                }
        }
        web_answer(w, 200, "text/plain; version=0.0.4; charset=utf-8", b->data, b->size);
}

static const struct {
        const char *path;
        void (*serve)(struct server *s, struct web_request *w);
} pages[] = {
                {"/health", health},
                {"/healthz", healthz},
                {"/metrics", metrics},
                {"/version", version},
};

void service_web(struct web_request *w, void *server) {
        static const char *const types[] = {"livez", "readyz"};
        struct server *s = server;
        bool get = streq(w->method, "GET") || streq(w->method, "HEAD");

        for (size_t i = 0; i < ELEMENTS(pages); i++)
                if (streq(w->path, pages[i].path)) {
                        if (get)
                                pages[i].serve(s, w);
                        else
                                web_answer_text(w, 405, "Method Not Allowed\n");
                        return;
                }
        for (size_t i = 0; i < ELEMENTS(types); i++) {
                const char *rest = *w->path == '/' ? startswith(w->path + 1, types[i]) : NULL;

                if (!rest || (*rest && *rest != '/'))
                        continue;
                if (get)
                        run_checks(s, w, types[i], *rest ? rest + 1 : "");
                else
                        web_answer_text(w, 405, "Method Not Allowed\n");
                return;
        }
        web_answer_text(w, 404, "404 page not found\n");
}

static void end(struct server *s, void *state) {
        struct web *x = state;

        buf_done(&x->text);
}

const struct server_part web_part = {.name = "web", .size = sizeof(struct web), .end = end};
