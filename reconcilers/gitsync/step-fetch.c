/* From the GitSync's spec to a checked set of manifests: credentials, the fetch child, reading. */
#include "lib/log.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "lib/timefmt.h"
#include "reconcilers/gitsync/aside.h"
#include "reconcilers/gitsync/fetch.h"
#include "reconcilers/gitsync/gitsync-internal.h"

#define FETCH_TIMEOUT_DEFAULT "60s"
#define PROGRESS_EVERY_US UINT64_C(5000000)

static void start_child(struct gitsync *s, const json_t *secret);

static int read_revision(struct revision *revision, const json_t *reply,
                const struct aside_words *words, struct problem *p) {
        struct manifest_owner owner = {words->name, words->ns};
        json_t *word;
        size_t i;
        int r;

        revision_done(revision);
        r = manifest_set_read(json_object_get(reply, "files"), &owner, &revision->set, p);
        if (r < 0)
                return r;
        revision->commit = strdup(json_str_or(reply, "commit", ""));
        revision->name = strdup(json_str_or(reply, "revision", ""));
        revision->summary = strdup(json_str_or(reply, "summary", ""));
        revision->ignored = json_is_array(json_object_get(reply, "ignored"))
                                            ? json_deep_copy(json_object_get(reply, "ignored"))
                                            : json_array();
        json_array_foreach (revision->set.ignored, i, word)
                if (json_array_size(revision->ignored) < FETCH_IGNORED_MAX)
                        json_array_append(revision->ignored, word);
        return revision->commit && revision->name && revision->summary && revision->ignored
                               ? 0
                               : -ENOMEM;
}

static void on_read(struct gitsync *s, int error, const struct problem *p) {
        turn_leave(&s->turn);
        if (error < 0)
                gitsync_fail(s, "BuildFailed", p);
        else
                gitsync_next(s);
}

/* Nothing new in Git: the run ends here, unless something is left to do: a failed run, kept
 * objects, or a new spec. */
static void on_unchanged(struct gitsync *s) {
        const char *asked = object_annotation(s->object, "keelson.dev/reconcileAt");

        if (s->applied_generation == object_generation(s->object) && s->failures == 0 && !s->kept &&
                        (!asked || streq_ptr(asked, s->handled_at))) {
                figures_good(&s->figures);
                gitsync_enter(s, GITSYNC_IDLE);
                return;
        }
        s->revision = &s->current;
        (void)decide_apply(s->current.wanted, s->current.count, &s->inventory);
        gitsync_enter(s, GITSYNC_CHECKING);
}

static void on_fetched(const json_t *reply, const char *why, void *userdata) {
        _cleanup_problem_ struct problem p = {0};
        struct gitsync *s = userdata;
        const char *error = json_str(reply, "error");

        s->child = NULL;
        if (!reply || error) {
                turn_leave(&s->turn);
                if (error)
                        problem_set(&p, EIO, 0, NULL, "%s", error);
                else
                        problem_set(&p, EIO, 0, NULL,
                                        "the fetch failed: %s (spec.timeout is %s; raise it for a "
                                        "large repository)",
                                        why,
                                        json_str_or(s->object, "spec.timeout",
                                                        FETCH_TIMEOUT_DEFAULT));
                gitsync_fail(s, "FetchFailed", &p);
                return;
        }
        if (json_bool_or(reply, "unchanged", false)) {
                turn_leave(&s->turn);
                on_unchanged(s);
                return;
        }
        free(s->attempted);
        s->attempted = strdup(json_str_or(reply, "revision", ""));
        /* It keeps its turn: few commits are in memory at a time. */
        if (gitsync_aside(s, json_incref((json_t *)reply), read_revision, on_read) < 0)
                on_read(s, -ENOMEM, out_of_memory());
}

/* A key of the secret as text; NULL when it has none. Caller frees. */
static char *secret_text(const json_t *secret, const char *key) {
        const char *encoded = json_string_value(json_get(secret, "data", key, NULL));
        _cleanup_free_ void *data = NULL;
        size_t n;

        if (!encoded || base64_decode(encoded, &data, &n) < 0 || !utf8_is_valid(data, n))
                return NULL;
        return strndup(data, n);
}

static void on_secret(int error, const json_t *secret, const struct problem *why, void *userdata) {
        struct gitsync *s = userdata;
        _cleanup_problem_ struct problem p = {0};

        s->call = NULL;
        if (error == 0) {
                start_child(s, secret);
                return;
        }
        turn_leave(&s->turn);
        problem_set(&p, EACCES, 0, NULL, "cannot read the secret \"%s\" of spec.secretRef: %s",
                        json_str_or(s->object, "spec.secretRef.name", ""), strempty(why->message));
        gitsync_fail(s, "FetchFailed", &p);
}

static json_t *make_request(struct gitsync *s, const json_t *secret, const char *mirror) {
        static const struct {
                const char *key, *field;
        } credentials[] = {
                        {"username", "username"},
                        {"password", "password"},
                        {"identity", "identity"},
                        {"known_hosts", "knownHosts"},
                        {"caFile", "caFile"}, /* Flux's older name */
                        {"ca.crt", "caFile"},
        };
        static const char *const passed[] = {"include", "exclude", "helm"};
        const char *kind = "branch", *ref = json_str_or(s->object, "spec.ref.branch", "main");

        if (json_str(s->object, "spec.ref.commit")) {
                kind = "commit";
                ref = json_str(s->object, "spec.ref.commit");
        } else if (json_str(s->object, "spec.ref.tag")) {
                kind = "tag";
                ref = json_str(s->object, "spec.ref.tag");
        }
        _cleanup_json_ json_t *request = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}",
                        "name", s->name, "namespace",
                        json_str_or(s->object, "spec.targetNamespace", s->ns), "url",
                        json_str_or(s->object, "spec.url", ""), "refKind", kind, "ref", ref, "path",
                        json_str_or(s->object, "spec.path", "."), "mirror", mirror, "known",
                        s->have_current && s->applied_generation == object_generation(s->object)
                                        ? s->current.commit
                                        : "");
        for (size_t i = 0; request && i < ELEMENTS(credentials); i++) {
                _cleanup_free_ char *text = secret_text(secret, credentials[i].key);

                if (text && json_object_set_new(request, credentials[i].field, json_string(text)) <
                                                0)
                        return NULL;
        }
        for (size_t i = 0; request && i < ELEMENTS(passed); i++) {
                json_t *v = json_object_get(json_object_get(s->object, "spec"), passed[i]);

                if (v && json_object_set(request, passed[i], v) < 0)
                        return NULL;
        }
        return TAKE_PTR(request);
}

/* A large repository takes a while: the status shows the progress. */
static void on_progress(const char *text, void *userdata) {
        struct gitsync *s = userdata;

        turn_heard(&s->turn);
        if (now_mono_us() < s->progress_us + PROGRESS_EVERY_US)
                return;
        s->progress_us = now_mono_us();
        gitsync_status_set(s, "message", json_string(text));
        gitsync_status_write(s, false);
}

static void start_child(struct gitsync *s, const json_t *secret) {
        _cleanup_free_ char *mirror = strformat("%s/%s", s->world->data_dir, object_uid(s->object));
        _cleanup_json_ json_t *request = mirror ? make_request(s, secret, mirror) : NULL;
        char *argv[] = {(char *)s->world->program, (char *)"fetch", NULL};
        _cleanup_problem_ struct problem p = {0};
        uint64_t timeout;
        int r = -ENOMEM;

        if (parse_duration_us(json_str(s->object, "spec.timeout"), &timeout) < 0 || timeout == 0)
                (void)parse_duration_us(FETCH_TIMEOUT_DEFAULT, &timeout);
        if (request)
                r = child_start(&s->child, s->world->event, argv, request, timeout, on_fetched, s);
        if (r < 0) {
                turn_leave(&s->turn);
                problem_set(&p, r, 0, NULL, "cannot start the fetch: %s", strerror(-r));
                gitsync_fail(s, "FetchFailed", &p);
                return;
        }
        /* Short fetches report no progress. */
        s->progress_us = now_mono_us();
        child_on_progress(s->child, on_progress);
}

static void on_turn(void *userdata) {
        struct gitsync *s = userdata;
        const char *name = json_str(s->object, "spec.secretRef.name");
        _cleanup_free_ char *path = NULL;

        if (!name) {
                start_child(s, NULL);
                return;
        }
        path = api_path(api_resource(KIND_SECRETS), s->ns, name, NULL, NULL);
        if (!path || api_get_async(gitsync_client(s), path, on_secret, s, &s->call) < 0)
                on_secret(-ENOMEM, NULL, &(struct problem){.message = (char *)"out of memory"}, s);
}

void gitsync_fetch_begin(struct gitsync *s) {
        turn_ask(&s->world->turns, &s->turn, on_turn, s);
}
