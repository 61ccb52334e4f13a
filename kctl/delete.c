/* kctl delete. */
#include "kctl/change.h"
#include "lib/object.h"

struct doomed {
        const char *uid;
};

static int is_gone(const json_t *object, void *userdata, struct problem *p) {
        const struct doomed *d = userdata;

        return !object ||
               (*d->uid && !streq(object_uid(object), d->uid)); /* another one of that name is not
                                                                   ours to wait for */
}

static json_t *delete_options(struct kctl *k, struct problem *p) {
        static const struct {
                const char *word, *policy;
        } cascades[] = {{"background", "Background"}, {"foreground", "Foreground"},
                        {"orphan", "Orphan"}};
        _cleanup_json_ json_t *o = json_object();
        int64_t grace = -1;

        for (size_t i = 0; i < ELEMENTS(cascades); i++)
                if (streq(k->flags.cascade, cascades[i].word))
                        json_object_set_new(
                                        o, "propagationPolicy", json_string(cascades[i].policy));
        if (json_object_size(o) == 0) {
                problem_set(p, EINVAL, 0, NULL,
                                "--cascade %s is not one of background, foreground, orphan",
                                k->flags.cascade);
                return NULL;
        }
        if (k->flags.grace_period && (parse_i64(k->flags.grace_period, &grace) < 0 || grace < -1)) {
                problem_set(p, EINVAL, 0, NULL, "--grace-period %s is not a number of seconds",
                                k->flags.grace_period);
                return NULL;
        }
        if (k->flags.now)
                grace = 1;
        if (k->flags.force && grace < 0)
                grace = 0;
        if (grace >= 0)
                json_object_set_new(o, "gracePeriodSeconds", json_integer(grace));
        if (streq_ptr(k->flags.dry_run, "server"))
                json_object_set_new(o, "dryRun", json_pack("[s]", "All"));
        return TAKE_PTR(o);
}

static int delete_one(
                struct kctl *k, const struct target *t, const json_t *options, struct problem *p) {
        _cleanup_free_ char *path = target_path(t, /* subresource= */ NULL, /* query= */ NULL);
        _cleanup_json_ json_t *result = NULL;
        struct doomed doomed;
        enum dry_run dry_run;
        char label[320];
        int r = dry_run_parse(k, &dry_run, p);

        if (r < 0)
                return r;
        if (!path)
                return -ENOMEM;
        if (dry_run == DRY_RUN_CLIENT)
                r = api_get(k->client, path, &result, p);
        else
                r = api_request(k->client, "DELETE", path, "application/json", options, &result, p);
        if (r == -ENOENT && k->flags.ignore_not_found)
                return 0;
        if (r < 0)
                return r;
        if (streq_ptr(k->flags.output, "name"))
                printf("%s/%s\n", kind_label(&t->kind, label), t->name);
        else
                printf("%s \"%s\" %sdeleted%s\n", kind_label(&t->kind, label), t->name,
                                k->flags.force ? "force " : "", dry_run_text(dry_run));
        fflush(stdout);
        if (!k->flags.wait || dry_run != DRY_RUN_NONE || streq(object_kind(result), "Status"))
                return 0;
        doomed.uid = object_uid(result);
        return wait_for(k, t, k->flags.timeout_us, is_gone, &doomed, p);
}

/* Those of -f; the last one made is deleted first. */
static int doomed_of_files(struct kctl *k, struct targets *ret, struct problem *p) {
        int r = targets_of_files(k, ret, p);

        for (size_t i = 0, n = ret->count; r >= 0 && i < n / 2; i++) {
                struct target t = ret->items[i];

                ret->items[i] = ret->items[n - 1 - i];
                ret->items[n - 1 - i] = t;
        }
        return r;
}

int kctl_delete(struct kctl *k) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *options = delete_options(k, &p);
        bool whole = strv_length(k->words) == 1 && !strchr(k->words[0], '/');
        int r, code = EXIT_OK;

        if (!options)
                return kctl_fail(&p);
        if (!k->flags.filenames && whole && !k->flags.all && !k->flags.selector &&
                        !k->flags.field_selector)
                return kctl_usage(k, "which %s? Give names, -l LABELS or --all", k->words[0]);
        r = k->flags.filenames ? doomed_of_files(k, &t, &p) : targets_resolve(k, 0, &t, &p);
        if (r < 0)
                return kctl_fail(&p);
        if (t.count == 0)
                fprintf(stderr, "No resources found\n");
        for (size_t i = 0; i < t.count; i++)
                if (delete_one(k, &t.items[i], options, &p) < 0)
                        code = kctl_fail(&p);
        return code;
}
