/* kctl encryption status, enable, rotate, disable: see, decide (encryption-plan.h), carry out,
 * until nothing is left to do. Every step is made on one machine and seen on its API server before
 * the next one; a call that was interrupted is continued by the same call. */
#include "kctl/encryption.h"

#include "kctl/control.h"
#include "kctl/encryption-plan.h"
#include "kctl/grid.h"
#include "lib/crypto.h"
#include "lib/json.h"
#include "lib/random.h"
#include "lib/timefmt.h"

enum {
        KEY_SIZE = 32,
        ASK_US = 60 * 1000 * 1000,
        RESTART_S = 90,
        REWRITE_US = 600 * 1000 * 1000, /* without progress */
        STEPS_MAX = 20 * CONTROLS_MAX,
};
#define ENDPOINT "/keelson/encryption"

/* A machine of the control plane, and what was seen of it. */
struct seen {
        struct machine *machine;
        char *url;
        struct encryption_place place;
        json_t *answer; /* of its API server; NULL: it does not answer */
};

struct work {
        struct kctl *k;
        struct controls controls;
        struct seen seen[CONTROLS_MAX];
        struct encryption_view views[CONTROLS_MAX];
        struct encryption_values values;
        json_t *unreadable; /* reasons */
        struct problem p;
};

static void work_done(struct work *w) {
        for (size_t i = 0; i < w->controls.count; i++) {
                machine_free(w->seen[i].machine);
                free(w->seen[i].url);
                encryption_place_done(&w->seen[i].place);
                json_decref(w->seen[i].answer);
        }
        controls_done(&w->controls);
        json_decref(w->unreadable);
        problem_done(&w->p);
}

/* --- seeing --- */

/* -EHOSTUNREACH when it does not answer. */
static int ask(struct work *w, size_t i, const char *method, const char *query, json_t **ret) {
        const char *name = w->controls.items[i].name;
        _cleanup_free_ char *path = strformat(ENDPOINT "%s", query);
        struct http_result result;
        int r;

        if (!path)
                return -ENOMEM;
        r = http_client_do(api_client_http(w->k->client),
                        &(struct http_call_options){.method = method,
                                        .path = path,
                                        .base_url = w->seen[i].url,
                                        .timeout_us = ASK_US},
                        &result);
        if (r < 0)
                r = problem_set(&w->p, EHOSTUNREACH, 0, NULL, "%s: its API server at %s: %s", name,
                                w->seen[i].url, strempty(result.error_text));
        else if (result.code == 404)
                r = problem_set(&w->p, EOPNOTSUPP, 0, NULL,
                                "%s: its API server is of an earlier version, without encryption "
                                "of the store; upgrade it with `kctl up`",
                                name);
        else if (result.code >= 300) {
                problem_from_status(&w->p, result.code, result.body, result.body_size);
                problem_prefix(&w->p, "%s: its API server", name);
                r = -EIO;
        } else if (json_parse(result.body, result.body_size, 0, ret, NULL) < 0)
                r = problem_set(&w->p, EPROTO, 0, NULL, "%s: its API server answered no JSON",
                                name);
        http_result_done(&result);
        return r;
}

/* Which machines there are; all of them are needed. */
static int open_all(struct work *w) {
        int r = controls_read(w->k, &w->controls, &w->p);

        if (r < 0)
                return r;
        if (w->controls.count == 0)
                return problem_set(&w->p, ENOENT, 0, NULL,
                                "the API lists no machine of the control plane (ConfigMap "
                                "kube-system/" CONTROLS_CONFIGMAP
                                "); run `kctl up` again with this version");
        for (size_t i = 0; i < w->controls.count; i++) {
                const struct control *c = &w->controls.items[i];

                w->seen[i].url = control_url(c->address, w->controls.port);
                if (!w->seen[i].url)
                        return -ENOMEM;
                r = control_open(w->k, c, &w->seen[i].machine, &w->p);
                if (r < 0) {
                        problem_prefix(&w->p,
                                        "every machine of the control plane is needed (`kctl "
                                        "control remove` removes one that is gone)");
                        return r;
                }
        }
        return 0;
}

static int look_at(struct work *w, size_t i) {
        struct seen *s = &w->seen[i];
        int r;

        encryption_place_done(&s->place);
        json_decref(s->answer);
        s->answer = NULL;
        r = encryption_read(s->machine, &s->place, &w->p);
        if (r < 0)
                return r;
        r = ask(w, i, "GET", "", &s->answer);
        if (r == -EHOSTUNREACH) { /* it may be that it has not started with what it was given */
                problem_done(&w->p);
                r = 0;
        }
        w->views[i] = (struct encryption_view){.config = s->place.config,
                        .running = json_object_get(s->answer, "resources")};
        return r;
}

static int look(struct work *w) {
        for (size_t i = 0; i < w->controls.count; i++) {
                int r = look_at(w, i);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* --- carrying out --- */

static void say(struct work *w, size_t i, const char *what) {
        printf("%s: %s\n", w->controls.items[i].name, what);
        fflush(stdout);
}

static int restart(struct work *w, size_t i) {
        struct machine *m = w->seen[i].machine;
        int r = machine_run(m, "systemctl restart keelson-kapid", NULL, 0, RESTART_S, NULL, &w->p);

        if (r < 0)
                return r;
        r = control_wait_ready(w->k, m, w->seen[i].url, &w->p);
        return r < 0 ? r : look_at(w, i);
}

static int write_config(struct work *w, size_t i, const json_t *config) {
        int r = encryption_write(w->seen[i].machine, config, &w->p);

        if (r < 0)
                return r;
        w->values.known = false;
        return restart(w, i);
}

static int count(struct work *w, size_t i) {
        _cleanup_json_ json_t *answer = NULL;
        const json_t *value;
        size_t at;
        int r = ask(w, i, "GET", "?values=true", &answer);

        if (r < 0)
                return r;
        w->values = (struct encryption_values){.known = true,
                        .unreadable = (uint64_t)json_int_or(answer, "unreadable.count", 0)};
        json_array_foreach (json_object_get(answer, "values"), at, value)
                if (json_bool_or(value, "stale", false))
                        w->values.stale += (uint64_t)json_int_or(value, "count", 0);
        json_decref(w->unreadable);
        w->unreadable = json_ref(json_at(answer, "unreadable.why"));
        return 0;
}

/* Waits for its end. */
static int rewrite(struct work *w, size_t i) {
        uint64_t deadline = now_mono_us() + REWRITE_US;
        _cleanup_json_ json_t *first = NULL;
        int r = ask(w, i, "POST", "", &first);

        while (r >= 0) {
                _cleanup_json_ json_t *answer = NULL;
                const char *error;

                r = ask(w, i, "GET", "", &answer);
                if (r < 0)
                        return r;
                error = json_str_or(answer, "rewriting.error", "");
                if (*error)
                        return problem_set(&w->p, EIO, 0, NULL,
                                        "the values could not be rewritten: %s; the same command "
                                        "continues",
                                        error);
                if (!json_bool_or(answer, "rewriting.running", false)) {
                        printf("%lld values were rewritten\n",
                                        (long long)json_int_or(answer, "rewriting.rewritten", 0));
                        w->values.known = false;
                        return 0;
                }
                if (now_mono_us() > deadline)
                        return problem_set(&w->p, ETIMEDOUT, 0, NULL,
                                        "the values are not all rewritten; the same command "
                                        "continues");
                usleep(200000);
        }
        return r;
}

static int stop(struct work *w) {
        const json_t *why;
        size_t i;

        json_array_foreach (w->unreadable, i, why)
                fprintf(stderr, "%s\n", strempty(json_string_value(why)));
        return problem_set(&w->p, EBADMSG, 0, NULL,
                        "%llu values cannot be read with the keys that there are (the first are "
                        "above): bring back their key, delete them with etcdctl, or give --force "
                        "to remove keys all the same",
                        (unsigned long long)w->values.unreadable);
}

static int carry_out(struct work *w, const struct encryption_step *s) {
        switch (s->act) {
        case ENCRYPTION_WRITE:
                say(w, s->machine, s->what);
                return write_config(w, s->machine, s->config);
        case ENCRYPTION_RESTART:
                say(w, s->machine, "its API server starts again");
                return restart(w, s->machine);
        case ENCRYPTION_COUNT:
                return count(w, s->machine);
        case ENCRYPTION_REWRITE:
                say(w, s->machine, s->what);
                return rewrite(w, s->machine);
        case ENCRYPTION_STOP:
                return stop(w);
        case ENCRYPTION_DONE:
                break;
        }
        return 0;
}

static int run(struct work *w, const struct encryption_wish *wish) {
        for (int n = 0; n < STEPS_MAX; n++) {
                struct encryption_step s = {0};
                bool ended;
                int r = encryption_next(wish, w->views, w->controls.count, &w->values, &s);

                if (r < 0)
                        return r;
                ended = s.act == ENCRYPTION_DONE;
                r = carry_out(w, &s);
                encryption_step_done(&s);
                if (r < 0 || ended)
                        return r;
        }
        return problem_set(&w->p, ELOOP, 0, NULL,
                        "an API server does not take the configuration that it was given; "
                        "`journalctl -u keelson-kapid` on the machines says why");
}

/* --- the verbs --- */

static char *new_secret(void) {
        uint8_t key[KEY_SIZE];
        char *text;

        random_bytes(key, sizeof(key));
        text = base64_encode(key, sizeof(key));
        explicit_bzero(key, sizeof(key));
        return text;
}

static int change_with(struct work *w, enum encryption_goal goal) {
        struct encryption_wish wish = {.goal = goal, .force = w->k->flags.force};
        _cleanup_free_ char *name = NULL;
        char *secret = NULL;
        int r = 0;

        if (goal != ENCRYPTION_DISABLE)
                r = encryption_choose(goal, w->views, w->controls.count, now_wall_us(), &name,
                                &secret);
        if (r == -EBADMSG)
                return problem_set(&w->p, EBADMSG, 0, NULL,
                                "the machines have different keys of one name; restore the keys "
                                "of one of them from a backup");
        if (r < 0)
                return r;
        if (name && secret)
                printf("Key %s is there already\n", name);
        else if (name)
                secret = new_secret();
        wish.name = name;
        wish.secret = secret;
        r = name && !secret ? -ENOMEM : run(w, &wish);
        if (secret)
                explicit_bzero(secret, strlen(secret));
        free(secret);
        if (r < 0)
                return r;
        if (goal == ENCRYPTION_DISABLE)
                printf("Secrets are stored unencrypted from now on.\n");
        else
                printf("Secrets are encrypted with %s, everywhere.\nThe store's history and free "
                       "space may hold earlier values: they end when it is compacted (after ten "
                       "minutes) and defragmented (etcdctl defrag). Earlier backups keep them.\n",
                                name);
        return 0;
}

static int change_all(struct work *w, enum encryption_goal goal) {
        int r = open_all(w);

        if (r < 0)
                return r;
        r = look(w);
        return r < 0 ? r : change_with(w, goal);
}

static int change(struct kctl *k, enum encryption_goal goal) {
        _cleanup_(work_done) struct work w = {.k = k};
        int r;

        if (strv_length(k->words) > 0)
                return kctl_usage(k, "\"%s\": no word is possible here", k->words[0]);
        if (!kctl_client(k))
                return EXIT_ERROR;
        r = change_all(&w, goal);
        if (r >= 0)
                return EXIT_OK;
        return w.p.message ? kctl_fail(&w.p) : kctl_error("%s", strerror(-r));
}

int kctl_encryption_enable(struct kctl *k) {
        return change(k, ENCRYPTION_ENABLE);
}

int kctl_encryption_rotate(struct kctl *k) {
        return change(k, ENCRYPTION_ROTATE);
}

int kctl_encryption_disable(struct kctl *k) {
        if (!kctl_confirmed(k, "This stores all Secrets unencrypted"))
                return EXIT_ERROR;
        return change(k, ENCRYPTION_DISABLE);
}

/* "aesgcm:key1" */
static char *key_word(const json_t *key) {
        const char *name = json_str(key, "name");

        return name ? strformat("%s:%s", json_str_or(key, "provider", "?"), name)
                    : strdup(json_str_or(key, "provider", "?"));
}

/* The keys of the first entry: the one that writes, and the others. */
static int add_row(struct work *w, size_t i, struct grid *g) {
        const json_t *entry = json_array_get(json_object_get(w->seen[i].answer, "resources"), 0),
                     *keys = json_object_get(entry, "keys"), *key;
        _cleanup_strv_free_ char **others = NULL;
        _cleanup_free_ char *writes = entry ? key_word(json_array_get(keys, 0)) : strdup("plain"),
                            *reads = NULL;
        size_t n;

        json_array_foreach (keys, n, key) {
                _cleanup_free_ char *word = n > 0 ? key_word(key) : NULL;

                if (word && strv_extend(&others, word) < 0)
                        return -ENOMEM;
        }
        reads = others ? strv_join(others, ",") : strdup("-");
        if (!writes || !reads)
                return -ENOMEM;
        return grid_add_texts(g,
                        (const char *[]){w->controls.items[i].name,
                                        w->seen[i].answer ? writes : "does not answer", reads,
                                        w->seen[i].place.kept},
                        4);
}

static int print_values(struct work *w) {
        _cleanup_json_ json_t *answer = NULL;
        const json_t *value, *why;
        size_t i, at = 0;
        int r;

        while (at < w->controls.count && !w->seen[at].answer)
                at++;
        if (at == w->controls.count)
                return 0;
        r = ask(w, at, "GET", "?values=true", &answer);
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(answer, "values"), i, value)
                printf("%lld stored values: %s%s\n", (long long)json_int_or(value, "count", 0),
                                json_str_or(value, "with", "?"),
                                json_bool_or(value, "stale", false) ? " (rotate rewrites them)"
                                                                    : "");
        json_array_foreach (json_at(answer, "unreadable.why"), i, why)
                printf("unreadable: %s\n", strempty(json_string_value(why)));
        return 0;
}

static int status(struct work *w) {
        _cleanup_grid_ struct grid g = {0};
        static const char *const titles[] = {"MACHINE", "WRITES", "READS", "KEPT"};
        int r = open_all(w);

        if (r < 0)
                return r;
        r = look(w);
        if (r < 0)
                return r;
        r = grid_add_texts(&g, titles, ELEMENTS(titles));
        for (size_t i = 0; r >= 0 && i < w->controls.count; i++)
                r = add_row(w, i, &g);
        if (r < 0)
                return r;
        grid_print(&g, NULL);
        return print_values(w);
}

int kctl_encryption_status(struct kctl *k) {
        _cleanup_(work_done) struct work w = {.k = k};
        int r;

        if (!kctl_client(k))
                return EXIT_ERROR;
        r = status(&w);
        if (r >= 0)
                return EXIT_OK;
        return w.p.message ? kctl_fail(&w.p) : kctl_error("%s", strerror(-r));
}
