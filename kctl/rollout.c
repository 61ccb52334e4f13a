/* kctl rollout: status, history, undo, restart, pause, resume of the kinds whose documents say how
 * they roll out (kind_facts.rollout). */
#include <stdarg.h>

#include "kctl/kctl.h"
#include "lib/object.h"
#include "lib/selector.h"
#include "lib/timefmt.h"
#include "lib/yaml.h"

/* The objects named on the command line; each has a name and a kind that rolls out. */
static int rollout_targets(struct kctl *k, struct targets *ret, struct problem *p) {
        int r = targets_parse(k, 0, ret, p);

        if (r < 0)
                return r;
        for (size_t i = 0; i < ret->count; i++) {
                const struct kind_ref *kind = &ret->items[i].kind;

                if (!ret->items[i].name)
                        return problem_set(p, EINVAL, 0, NULL, "which %s? Give its name",
                                        kind->singular);
                if (!kind->facts || !kind->facts->rollout)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "a %s has no rollouts; deployments, statefulsets and "
                                        "daemonsets have",
                                        kind->singular);
        }
        return 0;
}

/* Arguments of rollout_done(), and the last sentence printed, so that each is printed once. */
struct rollout_wait {
        const struct kind_ref *kind;
        char printed[256];
};

static int rollout_print(struct rollout_wait *w, const char *fmt, ...) _printf_(2, 3);
static int rollout_print(struct rollout_wait *w, const char *fmt, ...) {
        char text[sizeof(w->printed)];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        if (!streq(text, w->printed)) {
                puts(text);
                fflush(stdout);
                memcpy(w->printed, text, sizeof(text));
        }
        return 0;
}

/* A number of pods at a path of the kind's facts, which may be NULL. */
static int number_at(const json_t *o, const char *path, int fallback) {
        return path ? (int)json_int_or(o, path, fallback) : fallback;
}

static int rollout_done(const json_t *o, void *userdata, struct problem *p) {
        struct rollout_wait *w = userdata;
        const struct kind_health *h = w->kind->facts->health;
        const char *kind = w->kind->singular, *name = object_name(o);
        int wanted = number_at(o, h->wanted, 1), current = number_at(o, h->current, 0),
            updated = number_at(o, h->updated, 0), available = number_at(o, h->available, 0),
            held_back = MIN(number_at(o, h->held_back, 0), wanted);

        if (!o)
                return problem_set(p, ENOENT, 404, "NotFound", "the %s is gone", kind);
        if (json_int_or(o, h->observed, 0) < object_generation(o))
                return rollout_print(w, "Waiting for %s spec update to be observed...", kind);
        for (const struct kind_rule *failed = h->failed; failed->condition; failed++)
                if (streq(json_str_or(object_condition(o, failed->condition), "reason", ""),
                                    strempty(failed->reason)))
                        return problem_set(p, ETIMEDOUT, 0, NULL,
                                        "%s \"%s\" %s; kctl describe shows why its pods do not "
                                        "become ready",
                                        kind, name, failed->text);
        if (h->manual->path &&
                        streq(json_str_or(o, h->manual->path, ""), strempty(h->manual->value)))
                return problem_set(p, EINVAL, 0, NULL,
                                "rollout status is only available for RollingUpdate strategy "
                                "type; %s \"%s\" updates a pod when it is deleted",
                                kind, name);
        if (updated < wanted - held_back)
                return rollout_print(w,
                                "Waiting for %s \"%s\" rollout to finish: %i out of %i new "
                                "replicas have been updated...",
                                kind, name, updated, wanted - held_back);
        if (current - held_back > updated)
                return rollout_print(w,
                                "Waiting for %s \"%s\" rollout to finish: %i old replicas are "
                                "pending termination...",
                                kind, name, current - held_back - updated);
        if (available < MAX(updated, wanted))
                return rollout_print(w,
                                "Waiting for %s \"%s\" rollout to finish: %i of %i updated "
                                "replicas are available...",
                                kind, name, available, MAX(updated, wanted));
        if (held_back > 0) {
                printf("partitioned roll out complete: %i new pods have been updated...\n",
                                updated);
                return 1;
        }
        printf("%s \"%s\" successfully rolled out\n", kind, name);
        return 1;
}

int kctl_rollout_status(struct kctl *k) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        struct rollout_wait w = {0};

        if (rollout_targets(k, &t, &p) < 0)
                return kctl_fail(&p);
        w.kind = &t.items[0].kind;
        if (wait_for(k, &t.items[0], k->flags.timeout_us, rollout_done, &w, &p) < 0)
                return kctl_fail(&p);
        return EXIT_OK;
}

/* The number of a revision; 0 when the object has none. */
static int64_t revision_of(const struct kind_rollout *rollout, const json_t *o) {
        const char *text;
        int64_t v;

        if (rollout->revision_path)
                return json_int_or(o, rollout->revision_path, 0);
        text = object_annotation(o, rollout->revision_annotation);
        return text && parse_i64(text, &v) == 0 ? v : 0;
}

/* An object and the revisions that it controls. */
struct history {
        const struct kind_rollout *rollout;
        json_t *object;
        json_t **revisions; /* sorted by number */
        size_t count;
};

static void history_done(struct history *h) {
        for (size_t i = 0; i < h->count; i++)
                json_decref(h->revisions[i]);
        free(h->revisions);
        json_decref(h->object);
}

static int compare_revisions(const void *a, const void *b, void *userdata) {
        int64_t i = revision_of(userdata, *(json_t *const *)a),
                j = revision_of(userdata, *(json_t *const *)b);

        return i < j ? -1 : i > j;
}

static int history_read(
                struct kctl *k, const struct target *t, struct history *ret, struct problem *p) {
        const struct kind_rollout *rollout = t->kind.facts->rollout;
        _cleanup_free_ char *path = target_path(t, /* subresource= */ NULL, /* query= */ NULL),
                            *all = api_path(api_resource(rollout->revisions), t->ns,
                                            /* name= */ NULL, /* subresource= */ NULL,
                                            /* query= */ NULL);
        _cleanup_json_ json_t *list = NULL;
        json_t *o;
        size_t i;
        int r;

        ret->rollout = rollout;
        if (!path || !all)
                return -ENOMEM;
        r = api_get(k->client, path, &ret->object, p);
        if (r < 0)
                return r;
        r = api_get(k->client, all, &list, p);
        if (r < 0)
                return r;
        ret->revisions = calloc(json_array_size(json_object_get(list, "items")) + 1,
                        sizeof(*ret->revisions));
        if (!ret->revisions)
                return -ENOMEM;
        json_array_foreach (json_object_get(list, "items"), i, o)
                if (streq(json_str_or(object_controller_ref(o), "uid", ""),
                                    object_uid(ret->object)))
                        ret->revisions[ret->count++] = json_incref(o);
        qsort_r(ret->revisions, ret->count, sizeof(*ret->revisions), compare_revisions,
                        (void *)rollout);
        return 0;
}

/* The pod template of a revision, without what the controller has added; a new reference. */
static json_t *template_of(const struct target *t, const json_t *revision) {
        const struct kind_rollout *rollout = t->kind.facts->rollout;
        json_t *template = json_deep_copy(
                        json_at(revision, rollout->template_path ? rollout->template_path
                                                                 : t->kind.facts->pod_template));

        if (rollout->hash_label)
                json_object_del(json_object_get(json_object_get(template, "metadata"), "labels"),
                                rollout->hash_label);
        json_object_del(template, "$patch"); /* of a revision that is kept as a patch */
        return template;
}

/* A flag's number of a revision, 0 when it is not given. */
static int revision_flag(const char *text, const char *flag, int64_t *ret, struct problem *p) {
        int64_t v = 0;

        if (text && (parse_i64(text, &v) < 0 || v < 0))
                return problem_set(p, EINVAL, 0, NULL, "--%s %s is not a number", flag, text);
        *ret = v;
        return 0;
}

static int no_such_revision(const struct target *t, int64_t wanted, struct problem *p) {
        return problem_set(p, ENOENT, 0, NULL,
                        "%s \"%s\" has no revision %lld; kctl rollout history lists its revisions",
                        t->kind.singular, t->name, (long long)wanted);
}

static int print_revision(const struct target *t, const struct history *h, int64_t wanted,
                struct problem *p) {
        char label[320];

        for (size_t i = 0; i < h->count; i++) {
                _cleanup_json_ json_t *template = NULL;
                _cleanup_free_ char *text = NULL;

                if (revision_of(h->rollout, h->revisions[i]) != wanted)
                        continue;
                template = template_of(t, h->revisions[i]);
                text = template ? yaml_text(template) : NULL;
                if (!text)
                        return -ENOMEM;
                printf("%s/%s with revision #%lld\n%s", kind_label(&t->kind, label),
                                object_name(h->object), (long long)wanted, text);
                return 0;
        }
        return no_such_revision(t, wanted, p);
}

/* The number of the present revision. */
static int64_t history_current(const struct history *h) {
        if (h->rollout->revision_annotation)
                return revision_of(h->rollout, h->object);
        return h->count > 0 ? revision_of(h->rollout, h->revisions[h->count - 1]) : 0;
}

int kctl_rollout_history(struct kctl *k) {
        _cleanup_(history_done) struct history h = {0};
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        char label[320];
        int64_t wanted = 0;
        bool scales;

        if (revision_flag(k->flags.shown_revision, "revision", &wanted, &p) < 0 ||
                        rollout_targets(k, &t, &p) < 0 ||
                        history_read(k, &t.items[0], &h, &p) < 0 ||
                        (wanted > 0 && print_revision(&t.items[0], &h, wanted, &p) < 0))
                return kctl_fail(&p);
        if (wanted > 0)
                return EXIT_OK;
        /* Revisions that are no workloads themselves have no pods. */
        scales = !h.rollout->revision_path;
        printf("%s/%s\nREVISION   %sCHANGE-CAUSE\n", kind_label(&t.items[0].kind, label),
                        object_name(h.object), scales ? "REPLICAS   " : "");
        for (size_t i = 0; i < h.count; i++) {
                const char *cause = object_annotation(h.revisions[i], "kubernetes.io/change-cause");

                printf("%-10lld ", (long long)revision_of(h.rollout, h.revisions[i]));
                if (scales)
                        printf("%-10lld ",
                                        (long long)json_int_or(h.revisions[i], "spec.replicas", 0));
                puts(cause ? cause : "<none>");
        }
        return EXIT_OK;
}

/* The revision to return to: the wanted one, or (wanted 0) the one before the current. */
static const json_t *find_revision(const struct history *h, int64_t wanted) {
        int64_t current = history_current(h);
        const json_t *best = NULL;

        for (size_t i = 0; i < h->count; i++) {
                int64_t v = revision_of(h->rollout, h->revisions[i]);

                if (wanted ? v == wanted : v < current)
                        best = h->revisions[i];
        }
        return best;
}

static int undo(struct kctl *k, const struct target *t, struct problem *p) {
        _cleanup_(history_done) struct history h = {0};
        _cleanup_json_ json_t *template = NULL, *patch = NULL;
        _cleanup_free_ char *path = target_path(t, NULL,
                        streq_ptr(k->flags.dry_run, "server") ? "fieldManager=kctl&dryRun=All"
                                                              : "fieldManager=kctl");
        _cleanup_free_ char *pointer = strformat("/%s", t->kind.facts->pod_template);
        int64_t wanted = 0;
        const json_t *revision;
        char label[320];
        int r;

        r = revision_flag(k->flags.revision, "to-revision", &wanted, p);
        if (r < 0)
                return r;
        if (!path || !pointer)
                return -ENOMEM;
        for (char *s = pointer; *s; s++)
                if (*s == '.')
                        *s = '/';
        r = history_read(k, t, &h, p);
        if (r < 0)
                return r;
        revision = find_revision(&h, wanted);
        if (!revision && wanted > 0)
                return no_such_revision(t, wanted, p);
        if (!revision)
                return problem_set(p, ENOENT, 0, NULL,
                                "%s \"%s\" has no earlier revision than %lld to return to",
                                t->kind.singular, t->name, (long long)history_current(&h));
        template = template_of(t, revision);
        patch = json_pack("[{s:s, s:s, s:O}]", "op", "replace", "path", pointer, "value", template);
        if (!patch)
                return -ENOMEM;
        r = api_patch_request(k->client, path, API_PATCH_JSON, patch, NULL, p);
        if (r < 0)
                return r;
        printf("%s/%s rolled back\n", kind_label(&t->kind, label), t->name);
        return 0;
}

int kctl_rollout_undo(struct kctl *k) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        if (rollout_targets(k, &t, &p) < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++)
                if (undo(k, &t.items[i], &p) < 0)
                        code = kctl_fail(&p);
        return code;
}

/* Sends every target the same merge patch: `value` (taken) at the path that `at` finds in the
 * kind's facts. */
static int patch_all(struct kctl *k, const char *(*at)(const struct kind_facts *f),
                json_t *value_taken, const char *done) {
        _cleanup_json_ json_t *value = value_taken;
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;
        char label[320];

        if (!value || rollout_targets(k, &t, &p) < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++) {
                const struct kind_ref *kind = &t.items[i].kind;
                _cleanup_free_ char *path = target_path(&t.items[i], NULL, "fieldManager=kctl");
                _cleanup_json_ json_t *patch = json_object();

                if (!at(kind->facts)) {
                        problem_set(&p, EINVAL, 0, NULL, "the rollout of a %s cannot be paused",
                                        kind->singular);
                        code = kctl_fail(&p);
                        continue;
                }
                if (!path || json_set_at(patch, at(kind->facts), json_incref(value)) < 0)
                        return kctl_error("out of memory");
                if (api_patch_request(k->client, path, API_PATCH_MERGE, patch, NULL, &p) < 0)
                        code = kctl_fail(&p);
                else
                        printf("%s/%s %s\n", kind_label(kind, label), t.items[i].name, done);
        }
        return code;
}

static const char *pod_template_path(const struct kind_facts *f) {
        return f->pod_template;
}

static const char *paused_path(const struct kind_facts *f) {
        return f->rollout->paused;
}

int kctl_rollout_restart(struct kctl *k) {
        char now[TIMEFMT_SIZE];

        return patch_all(k, pod_template_path,
                        json_pack("{s:{s:{s:s}}}", "metadata", "annotations",
                                        "kubectl.kubernetes.io/restartedAt",
                                        time_format(now_wall_us(), now)),
                        "restarted");
}

int kctl_rollout_pause(struct kctl *k) {
        return patch_all(k, paused_path, json_true(), "paused");
}

int kctl_rollout_resume(struct kctl *k) {
        return patch_all(k, paused_path, json_null(), "resumed");
}
