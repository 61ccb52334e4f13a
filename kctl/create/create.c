/* kctl create: of files (plain POST, as nothing may exist yet), and the frame of the generators. */
#include "kctl/create/create.h"

#include "lib/object.h"

char *const *create_command(const struct kctl *k) {
        return k->words && k->words[k->word_count] ? k->words + k->word_count : NULL;
}

int create_run(struct kctl *k, enum kind_id id, create_build build) {
        struct kind_ref kind = kind_ref_of(id);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *object = NULL;
        enum dry_run dry_run;
        int r;

        if (k->word_count != 1)
                return kctl_usage(k, "one NAME is needed, %zu are given", k->word_count);
        if (dry_run_parse(k, &dry_run, &p) < 0)
                return kctl_fail(&p);
        if (dry_run != DRY_RUN_CLIENT && !kctl_client(k))
                return EXIT_ERROR;
        object = object_new(id, k->words[0]);
        r = object ? build(k, object, &p) : -ENOMEM;
        if (r < 0)
                return kctl_fail(&p);
        r = object_create(k, &kind, object, "created", /* ret_made= */ NULL, &p);
        return r < 0 ? kctl_fail(&p) : EXIT_OK;
}

static int create_one(struct kctl *k, const struct manifest *m, struct problem *p) {
        struct kind_ref kind;
        const char *ns = json_str(m->object, "metadata.namespace");
        int r = kind_find_object(k, object_api_version(m->object), object_kind(m->object), &kind,
                        p);

        if (r < 0)
                return r;
        if (k->flags.ns && ns && !streq(ns, k->flags.ns))
                return problem_set(p, EINVAL, 0, NULL,
                                "its namespace \"%s\" is not the one given by -n, \"%s\"", ns,
                                k->flags.ns);
        return object_create(k, &kind, m->object, "created", /* ret_made= */ NULL, p);
}

int kctl_create(struct kctl *k) {
        _cleanup_manifests_ struct manifests m = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        if (k->words) {
                _cleanup_free_ char *beginning = strformat("create %s", k->words[0]);

                if (beginning && (streq(k->words[0], "secret") || streq(k->words[0], "service")))
                        return verb_incomplete(beginning);
                fprintf(stderr, "error: kctl create makes no \"%s\" of words; apply -f makes every "
                                "kind\n",
                                k->words[0]);
                return verb_incomplete("create");
        }
        if (!k->flags.filenames)
                return verb_incomplete("create");
        if (manifests_read(k, &m, &p) < 0)
                return kctl_fail(&p);
        if (!kctl_client(k))
                return EXIT_ERROR;
        for (size_t i = 0; i < m.count; i++)
                if (create_one(k, &m.items[i], &p) < 0) {
                        problem_prefix(&p, "%s", m.items[i].place);
                        code = kctl_fail(&p);
                }
        return code;
}
