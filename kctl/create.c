/* kctl create quota: a ResourceQuota from words. Everything else is created from files (kctl
 * apply). */
#include "kctl/kctl.h"
#include "lib/object.h"

/* "pods=10,requests.cpu=4" into an object of texts. */
static int read_amounts(const char *text, json_t *into, struct problem *p) {
        _cleanup_strv_free_ char **parts = NULL;
        int r = strv_split(text, ",", &parts);

        if (r < 0)
                return r;
        for (size_t i = 0; parts && parts[i]; i++) {
                char *equals = strchr(parts[i], '=');

                if (!equals || equals == parts[i] || !equals[1])
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--hard %s is not of the form NAME=AMOUNT: pods=10 or "
                                        "requests.cpu=4",
                                        parts[i]);
                *equals = 0;
                if (json_object_get(into, parts[i]))
                        return problem_set(p, EINVAL, 0, NULL, "--hard names %s twice", parts[i]);
                if (json_object_set_new(into, parts[i], json_string(equals + 1)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int read_scopes(const char *text, json_t *spec) {
        _cleanup_strv_free_ char **parts = NULL;
        json_t *scopes;
        int r = strv_split(text, ",", &parts);

        if (r < 0 || !parts)
                return r;
        scopes = json_array();
        if (!scopes || json_object_set_new(spec, "scopes", scopes) < 0)
                return -ENOMEM;
        for (size_t i = 0; parts[i]; i++)
                if (json_array_append_new(scopes, json_string(parts[i])) < 0)
                        return -ENOMEM;
        return 0;
}

static int quota_of(struct kctl *k, json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *quota = json_pack("{ss, ss, s{ss}, s{s{}}}", "apiVersion", "v1",
                        "kind", "ResourceQuota", "metadata", "name", k->words[0], "spec", "hard");
        json_t *spec = json_object_get(quota, "spec");
        int r;

        if (!quota)
                return -ENOMEM;
        r = read_amounts(k->flags.hard, json_object_get(spec, "hard"), p);
        if (r < 0)
                return r;
        if (k->flags.scopes) {
                r = read_scopes(k->flags.scopes, spec);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(quota);
        return 0;
}

static int create(struct kctl *k, const struct kind_ref *kind, const json_t *body,
                struct problem *p) {
        bool dry_run = streq_ptr(k->flags.dry_run, "server");
        _cleanup_free_ char *path = api_path(&kind->resource, kctl_namespace(k), NULL, NULL,
                        dry_run ? "dryRun=All&fieldManager=kctl" : "fieldManager=kctl");
        _cleanup_json_ json_t *answer = NULL;
        char label[320];
        int r = path ? api_request(k->client, "POST", path, "application/json", body, &answer, p)
                     : -ENOMEM;

        if (r < 0)
                return r;
        if (k->flags.output)
                return print_object(k, answer, kind, p);
        printf("%s/%s created%s\n", kind_label(kind, label), object_name(answer),
                        dry_run ? " (server dry run)" : "");
        return 0;
}

int kctl_create_quota(struct kctl *k) {
        struct kind_ref kind = kind_ref_of(KIND_RESOURCEQUOTAS);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *quota = NULL;
        int r;

        if (strv_length(k->words) != 1)
                return kctl_usage(k, "one name of a quota is needed");
        if (isempty(k->flags.hard))
                return kctl_usage(k, "--hard is needed: the allowed amounts, as pods=10");
        if (k->flags.dry_run && !streq(k->flags.dry_run, "server") &&
                        !streq(k->flags.dry_run, "none"))
                return kctl_usage(k, "--dry-run %s is not one of server, none", k->flags.dry_run);
        if (!kctl_client(k))
                return EXIT_ERROR;
        r = quota_of(k, &quota, &p);
        if (r < 0)
                return kctl_fail(&p);
        r = create(k, &kind, quota, &p);
        return r < 0 ? kctl_fail(&p) : EXIT_OK;
}
