/* kctl create job: of an image, or of a CronJob's template (--from). */
#include "kctl/create/create.h"
#include "lib/object.h"

/* The job that the controller would make of the CronJob now. */
static int from_cronjob(struct kctl *k, json_t *object, struct problem *p) {
        const struct api_resource *cronjobs = api_resource(KIND_CRONJOBS);
        const char *slash = strchr(k->flags.from, '/');
        _cleanup_free_ char *word = slash ? strndup(k->flags.from, (size_t)(slash - k->flags.from))
                                          : NULL,
                            *path = NULL;
        _cleanup_json_ json_t *cronjob = NULL, *annotations = NULL;
        const json_t *template, *labels;
        int r;

        if (!word || !slash[1] || !kind_is_called(&kind_facts[KIND_CRONJOBS], word))
                return problem_set(
                                p, EINVAL, 0, NULL, "--from %s is not cronjob/NAME", k->flags.from);
        if (k->flags.images || create_command(k))
                return problem_set(p, EINVAL, 0, NULL,
                                "--from takes image and command from the CronJob; they are not "
                                "given beside it");
        if (!kctl_client(k))
                return kctl_no_client(p);
        path = api_path(cronjobs, kctl_namespace(k), slash + 1, NULL, NULL);
        r = path ? api_get(k->client, path, &cronjob, p) : -ENOMEM;
        if (r < 0)
                return r;
        template = json_at(cronjob, "spec.jobTemplate");
        labels = json_at(template, "metadata.labels");
        annotations = json_pack("{s:s}", "cronjob.kubernetes.io/instantiate", "manual");
        if (!annotations)
                return -ENOMEM;
        json_object_update(annotations, json_unconst(json_at(template, "metadata.annotations")));
        if (labels)
                json_set_at(object, "metadata.labels", json_ref(labels));
        json_set_at(object, "metadata.annotations", json_ref(annotations));
        r = json_set_at(object, "metadata.ownerReferences",
                        json_pack("[{s:s, s:s, s:s, s:s, s:b}]", "apiVersion",
                                        object_api_version(cronjob), "kind", cronjobs->kind, "name",
                                        object_name(cronjob), "uid", object_uid(cronjob),
                                        "controller", true));
        if (r < 0)
                return r;
        return json_set_at(object, "spec", json_deep_copy(json_object_get(template, "spec")));
}

static int build(struct kctl *k, json_t *object, struct problem *p) {
        const char *image;
        int r;

        if (k->flags.from)
                return from_cronjob(k, object, p);
        r = one_image(k, &image, p);
        if (r < 0)
                return r;
        return json_set_at(object, "spec",
                        json_pack("{s:{s:{s:[o], s:s}}}", "template", "spec", "containers",
                                        container_json(k->words[0], image, create_command(k)),
                                        "restartPolicy", "Never"));
}

int kctl_create_job(struct kctl *k) {
        return create_run(k, KIND_JOBS, build);
}
