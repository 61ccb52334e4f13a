/* kctl rollout: status, history, undo, restart, pause, resume of deployments. */
#include "kctl/kctl.h"
#include "lib/object.h"
#include "lib/selector.h"
#include "lib/timefmt.h"

#define REVISION "deployment.kubernetes.io/revision"

/* The one deployment that is meant. */
static int one_target(struct kctl *k, struct targets *ret, struct problem *p) {
        int r = targets_parse(k, 0, ret, p);

        if (r < 0)
                return r;
        for (size_t i = 0; i < ret->count; i++) {
                if (!ret->items[i].name)
                        return problem_set(p, EINVAL, 0, NULL, "which %s? Give its name",
                                        ret->items[i].kind.singular);
                if (!streq(ret->items[i].kind.resource.plural, "deployments"))
                        return problem_set(p, EINVAL, 0, NULL,
                                        "rollouts are of deployments, not of a %s",
                                        ret->items[i].kind.singular);
        }
        return 0;
}

/* What was said last, so that each sentence is said once. */
struct progress {
        char said[256];
};

static int tell(struct progress *g, const char *name, const char *what, int a, int b) {
        char text[256];

        int n = snprintf(text, sizeof(text),
                        "Waiting for deployment \"%s\" rollout to finish: ", name);
        if (streq(what, "spec"))
                snprintf(text, sizeof(text),
                                "Waiting for deployment spec update to be observed...");
        else if (streq(what, "updated"))
                snprintf(text + n, sizeof(text) - (size_t)n,
                                "%i out of %i new replicas have been updated...", a, b);
        else if (streq(what, "old"))
                snprintf(text + n, sizeof(text) - (size_t)n,
                                "%i old replicas are pending termination...", a);
        else
                snprintf(text + n, sizeof(text) - (size_t)n,
                                "%i of %i updated replicas are available...", a, b);
        if (!streq(text, g->said)) {
                puts(text);
                fflush(stdout);
                memcpy(g->said, text, sizeof(text));
        }
        return 0;
}

static int rollout_done(const json_t *o, void *userdata, struct problem *p) {
        struct progress *g = userdata;
        int want = (int)json_int_or(o, "spec.replicas", 1),
            have = (int)json_int_or(o, "status.replicas", 0),
            updated = (int)json_int_or(o, "status.updatedReplicas", 0),
            available = (int)json_int_or(o, "status.availableReplicas", 0);

        if (!o)
                return problem_set(p, ENOENT, 404, "NotFound", "the deployment is gone");
        if (json_int_or(o, "status.observedGeneration", 0) < object_generation(o))
                return tell(g, object_name(o), "spec", 0, 0);
        if (streq(json_str_or(object_condition(o, "Progressing"), "reason", ""),
                            "ProgressDeadlineExceeded"))
                return problem_set(p, ETIMEDOUT, 0, NULL,
                                "deployment \"%s\" exceeded its progress deadline; kctl describe "
                                "shows its pods' trouble",
                                object_name(o));
        if (updated < want)
                return tell(g, object_name(o), "updated", updated, want);
        if (have > updated)
                return tell(g, object_name(o), "old", have - updated, 0);
        if (available < updated)
                return tell(g, object_name(o), "available", available, updated);
        printf("deployment \"%s\" successfully rolled out\n", object_name(o));
        return 1;
}

int verb_rollout_status(struct kctl *k) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        struct progress g = {0};

        if (one_target(k, &t, &p) < 0 ||
                        wait_for(k, &t.items[0], k->flags.timeout_us, rollout_done, &g, &p) < 0)
                return kctl_fail(&p);
        return EXIT_OK;
}

static int64_t revision_of(const json_t *rs) {
        const char *text = object_annotation(rs, REVISION);
        int64_t v;

        return text && parse_i64(text, &v) == 0 ? v : 0;
}

/* The deployment and the ReplicaSets it controls. */
static int read_revisions(struct kctl *k, const struct target *t, json_t **ret_deployment,
                json_t **ret_sets, struct problem *p) {
        _cleanup_free_ char *path = target_path(t, NULL, NULL),
                            *sets_path = api_path(api_resource_find("replicasets"), t->ns, NULL,
                                            NULL, NULL);
        _cleanup_json_ json_t *deployment = NULL, *list = NULL, *sets = json_array();
        json_t *rs;
        size_t i;
        int r = path && sets_path ? api_get(k->client, path, &deployment, p) : -ENOMEM;

        if (r == 0)
                r = api_get(k->client, sets_path, &list, p);
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(list, "items"), i, rs)
                if (streq(json_str_or(object_controller_ref(rs), "uid", ""),
                                    object_uid(deployment)))
                        json_array_append(sets, rs);
        *ret_deployment = TAKE_PTR(deployment);
        *ret_sets = TAKE_PTR(sets);
        return 0;
}

static int compare_revisions(const void *a, const void *b) {
        int64_t i = revision_of(*(json_t *const *)a), j = revision_of(*(json_t *const *)b);

        return i < j ? -1 : i > j;
}

int verb_rollout_history(struct kctl *k) {
        _cleanup_json_ json_t *deployment = NULL, *sets = NULL;
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};

        if (one_target(k, &t, &p) < 0 || read_revisions(k, &t.items[0], &deployment, &sets, &p) < 0)
                return kctl_fail(&p);
        size_t n = json_array_size(sets);
        _cleanup_free_ json_t **sorted = calloc(n + 1, sizeof(*sorted));
        if (!sorted)
                return kctl_error("out of memory");
        for (size_t i = 0; i < n; i++)
                sorted[i] = json_array_get(sets, i);
        qsort(sorted, n, sizeof(*sorted), compare_revisions);
        printf("deployment.apps/%s\nREVISION   REPLICAS   CHANGE-CAUSE\n", object_name(deployment));
        for (size_t i = 0; i < n; i++) {
                const char *cause = object_annotation(sorted[i], "kubernetes.io/change-cause");

                printf("%-10lld %-10lld %s\n", (long long)revision_of(sorted[i]),
                                (long long)json_int_or(sorted[i], "spec.replicas", 0),
                                cause ? cause : "<none>");
        }
        return EXIT_OK;
}

/* The ReplicaSet to go back to: of that revision, or the one before the current. */
static const json_t *find_revision(const json_t *sets, int64_t current, int64_t wanted) {
        const json_t *best = NULL, *rs;
        size_t i;

        json_array_foreach (sets, i, rs) {
                int64_t v = revision_of(rs);

                if (wanted ? v == wanted : v < current && (!best || v > revision_of(best)))
                        best = rs;
        }
        return best;
}

static int undo(struct kctl *k, const struct target *t, struct problem *p) {
        _cleanup_json_ json_t *deployment = NULL, *sets = NULL, *template = NULL, *patch = NULL;
        _cleanup_free_ char *path = target_path(t, NULL,
                        streq_ptr(k->flags.dry_run, "server") ? "fieldManager=kctl&dryRun=All"
                                                              : "fieldManager=kctl");
        int64_t wanted = 0;
        const json_t *rs;
        int r;

        if (k->flags.revision && (parse_i64(k->flags.revision, &wanted) < 0 || wanted < 0))
                return problem_set(p, EINVAL, 0, NULL, "--to-revision %s is not a number",
                                k->flags.revision);
        r = path ? read_revisions(k, t, &deployment, &sets, p) : -ENOMEM;
        if (r < 0)
                return r;
        rs = find_revision(sets, revision_of(deployment), wanted);
        if (!rs)
                return problem_set(p, ENOENT, 0, NULL,
                                "deployment \"%s\" keeps no %srevision %lld; kctl rollout history "
                                "lists them",
                                t->name, wanted ? "" : "earlier one than ",
                                (long long)(wanted ? wanted : revision_of(deployment)));
        template = json_deep_copy(json_at(rs, "spec.template"));
        json_t *labels = json_object_get(json_object_get(template, "metadata"), "labels");
        json_object_del(labels, "pod-template-hash");
        patch = json_pack("[{s:s, s:s, s:s}, {s:s, s:s, s:O}]", "op", "test", "path",
                        "/metadata/resourceVersion", "value",
                        json_str_or(deployment, "metadata.resourceVersion", ""), "op", "replace",
                        "path", "/spec/template", "value", template);
        r = patch ? api_patch_request(k->client, path, API_PATCH_JSON, patch, NULL, p) : -ENOMEM;
        if (r == 0)
                printf("deployment.apps/%s rolled back\n", t->name);
        return r;
}

int verb_rollout_undo(struct kctl *k) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        if (one_target(k, &t, &p) < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++)
                if (undo(k, &t.items[i], &p) < 0)
                        code = kctl_fail(&p);
        return code;
}

/* Each deployment gets the same merge patch. Takes patch. */
static int patch_all(struct kctl *k, json_t *patch_taken, const char *done) {
        _cleanup_json_ json_t *patch = patch_taken;
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        if (!patch || one_target(k, &t, &p) < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++) {
                _cleanup_free_ char *path = target_path(&t.items[i], NULL, "fieldManager=kctl");

                if (!path || api_patch_request(k->client, path, API_PATCH_MERGE, patch, NULL, &p) <
                                                0)
                        code = kctl_fail(&p);
                else
                        printf("deployment.apps/%s %s\n", t.items[i].name, done);
        }
        return code;
}

int verb_rollout_restart(struct kctl *k) {
        char now[TIMEFMT_SIZE];

        return patch_all(k,
                        json_pack("{s:{s:{s:{s:{s:s}}}}}", "spec", "template", "metadata",
                                        "annotations", "kubectl.kubernetes.io/restartedAt",
                                        time_format(now_wall_us(), now)),
                        "restarted");
}

int verb_rollout_pause(struct kctl *k) {
        return patch_all(k, json_pack("{s:{s:b}}", "spec", "paused", 1), "paused");
}

int verb_rollout_resume(struct kctl *k) {
        return patch_all(k, json_pack("{s:{s:n}}", "spec", "paused"), "resumed");
}
