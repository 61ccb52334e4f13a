/* kctl create deployment. */
#include "kctl/create/create.h"

/* A container for each image; the first one has the port. */
static int containers_json(struct kctl *k, json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *containers = json_array();
        char *const *command = create_command(k);
        int64_t port;
        int r;

        for (char **image = k->flags.images; image && *image; image++) {
                _cleanup_free_ char *name = image_container_name(*image);

                if (!name ||
                                json_array_append_new(containers,
                                                container_json(name, *image, command)) < 0)
                        return -ENOMEM;
        }
        if (k->flags.container_port) {
                r = number_read(k->flags.container_port, "--port", 1, &port, p);
                if (r < 0)
                        return r;
                r = json_set_at(json_array_get(containers, 0), "ports",
                                json_pack("[{s:I}]", "containerPort", (json_int_t)port));
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(containers);
        return 0;
}

static int build(struct kctl *k, json_t *object, struct problem *p) {
        _cleanup_json_ json_t *containers = NULL, *labels = json_pack("{s:s}", "app", k->words[0]);
        int64_t replicas = 1;
        int r;

        if (!k->flags.images)
                return problem_set(p, EINVAL, 0, NULL, "--image is needed");
        if (strv_length(k->flags.images) > 1 && create_command(k))
                return problem_set(p, EINVAL, 0, NULL,
                                "a command is for one --image; several are given");
        if (k->flags.replicas) {
                r = number_read(k->flags.replicas, "--replicas", 0, &replicas, p);
                if (r < 0)
                        return r;
        }
        r = containers_json(k, &containers, p);
        if (r < 0)
                return r;
        r = json_set_at(object, "metadata.labels", json_ref(labels));
        if (r < 0)
                return r;
        return json_set_at(object, "spec",
                        json_pack("{s:I, s:{s:O}, s:{s:{s:O}, s:{s:O}}}", "replicas",
                                        (json_int_t)replicas, "selector", "matchLabels", labels,
                                        "template", "metadata", "labels", labels, "spec",
                                        "containers", containers));
}

int kctl_create_deployment(struct kctl *k) {
        return create_run(k, KIND_DEPLOYMENTS, build);
}
