/* kctl run: a pod of one image, with our terminal if asked for (-i, -t). */
#include "kctl/create/create.h"
#include "kctl/remote.h"
#include "lib/object.h"
#include "lib/yaml.h"

enum { RUNNING_TIMEOUT_S = 60 };

static json_t *env_json(char *const *texts, struct problem *p) {
        _cleanup_json_ json_t *list = json_array();

        for (; texts && *texts; texts++) {
                const char *equals = strchr(*texts, '=');
                _cleanup_free_ char *name =
                                equals ? strndup(*texts, (size_t)(equals - *texts)) : NULL;

                if (!name || !*name) {
                        problem_set(p, EINVAL, 0, NULL, "--env %s is not NAME=VALUE", *texts);
                        return NULL;
                }
                if (json_array_append_new(list,
                                    json_pack("{s:s, s:s}", "name", name, "value", equals + 1)) < 0)
                        return NULL;
        }
        return TAKE_PTR(list);
}

static bool attaches(const struct kctl_flags *f) {
        return f->attach || f->stdin_on || f->tty;
}

static int container_of_flags(struct kctl *k, json_t **ret, struct problem *p) {
        const struct kctl_flags *f = &k->flags;
        char *const *words = k->words[1] ? k->words + 1 : NULL;
        _cleanup_json_ json_t *c = NULL, *env = NULL;
        const char *image;
        int64_t port;
        int r = one_image(k, &image, p);

        if (r < 0)
                return r;
        c = container_json(k->words[0], image, f->as_command ? words : NULL);
        if (!c)
                return -ENOMEM;
        if (words && !f->as_command)
                json_object_set_new(c, "args", texts_json(words));
        if (f->env) {
                env = env_json(f->env, p);
                if (!env)
                        return -EINVAL;
                json_object_set(c, "env", env);
        }
        if (f->container_port) {
                r = number_read(f->container_port, "--port", 1, &port, p);
                if (r < 0)
                        return r;
                json_object_set_new(c, "ports",
                                json_pack("[{s:I}]", "containerPort", (json_int_t)port));
        }
        if (!isempty(f->pull_policy))
                json_set_str(c, "imagePullPolicy", f->pull_policy);
        if (f->privileged)
                json_set_at(c, "securityContext.privileged", json_true());
        if (f->stdin_on) {
                json_object_set_new(c, "stdin", json_true());
                json_object_set_new(c, "stdinOnce", json_true());
        }
        if (f->tty)
                json_object_set_new(c, "tty", json_true());
        *ret = TAKE_PTR(c);
        return 0;
}

static int add_metadata(struct kctl *k, json_t *pod, struct problem *p) {
        _cleanup_strv_free_ char **labels = NULL;
        json_t *map = json_object(), *notes = json_object();
        int r = json_set_at(pod, "metadata.labels", map);

        if (r < 0)
                return r;
        if (!k->flags.labels)
                json_set_str(map, "run", k->words[0]);
        else if (strv_split(k->flags.labels, ",", &labels) < 0)
                return -ENOMEM;
        r = pairs_read(labels, "--labels", map, p);
        if (r < 0 || !k->flags.annotations) {
                json_decref(notes);
                return r;
        }
        r = json_set_at(pod, "metadata.annotations", notes);
        return r < 0 ? r : pairs_read(k->flags.annotations, "--annotations", notes, p);
}

/* --overrides: a merge patch in JSON or YAML. */
static int apply_overrides(struct kctl *k, json_t **pod, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        const char *text = k->flags.overrides;
        json_t *merged;
        int r;

        if (isempty(text))
                return 0;
        r = yaml_parse(text, strlen(text), &docs, p);
        if (r < 0 || docs.count != 1 || !json_is_object(docs.items[0].value)) {
                problem_prefix(p, "--overrides is not an object in JSON or YAML");
                return -EINVAL;
        }
        merged = merge_apply(*pod, docs.items[0].value);
        if (!merged)
                return -ENOMEM;
        json_decref(*pod);
        *pod = merged;
        return 0;
}

static int pod_of_flags(struct kctl *k, json_t **ret, struct problem *p) {
        const struct kctl_flags *f = &k->flags;
        _cleanup_json_ json_t *pod = object_new(KIND_PODS, k->words[0]), *container = NULL;
        int r;

        if (!pod)
                return -ENOMEM;
        r = add_metadata(k, pod, p);
        if (r < 0)
                return r;
        r = container_of_flags(k, &container, p);
        if (r < 0)
                return r;
        r = json_set_at(pod, "spec",
                        json_pack("{s:[O], s:s, s:s}", "containers", container, "dnsPolicy",
                                        "ClusterFirst", "restartPolicy",
                                        f->restart ? f->restart : "Always"));
        if (r < 0)
                return r;
        r = apply_overrides(k, &pod, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(pod);
        return 0;
}

/* --expose: a Service of the pod's labels and port beside it. */
static int expose(struct kctl *k, const json_t *pod, struct problem *p) {
        struct kind_ref kind = kind_ref_of(KIND_SERVICES);
        _cleanup_json_ json_t *service = object_new(KIND_SERVICES, k->words[0]);
        int64_t port;
        int r;

        if (!service)
                return -ENOMEM;
        if (!k->flags.container_port)
                return problem_set(p, EINVAL, 0, NULL,
                                "--port is needed with --expose: the port of the service");
        r = number_read(k->flags.container_port, "--port", 1, &port, p);
        if (r < 0)
                return r;
        r = json_set_at(service, "spec",
                        json_pack("{s:[{s:I, s:s, s:I}], s:O}", "ports", "port", (json_int_t)port,
                                        "protocol", "TCP", "targetPort", (json_int_t)port,
                                        "selector", json_at(pod, "metadata.labels")));
        return r < 0 ? r : object_create(k, &kind, service, "created", /* ret_made= */ NULL, p);
}

static int is_started(const json_t *o, void *userdata, struct problem *p) {
        const char *phase = json_str_or(o, "status.phase", "");

        if (!o)
                return problem_set(p, ENOENT, 404, "NotFound", "the pod is gone");
        return streq(phase, "Running") || streq(phase, "Succeeded") || streq(phase, "Failed");
}

static int is_finished(const json_t *o, void *userdata, struct problem *p) {
        const char *phase = json_str_or(o, "status.phase", "");
        const json_t *c = json_array_get(json_at(o, "status.containerStatuses"), 0);
        int *code = userdata;

        if (o && !streq(phase, "Succeeded") && !streq(phase, "Failed"))
                return 0;
        *code = (int)json_int_or(c, "state.terminated.exitCode", streq(phase, "Failed"));
        return 1;
}

/* Connects our standard files with the pod; with --restart=Never its exit code is ours. */
static int attach(struct kctl *k, const struct target *t, int *ret_code, struct problem *p) {
        struct remote_target remote = {.ns = t->ns,
                        .pod = t->name,
                        .subresource = "attach",
                        .container = k->words[0],
                        .tty = remote_wants_terminal(k)};
        uint64_t timeout = k->flags.running_timeout_us ? k->flags.running_timeout_us
                                                       : RUNNING_TIMEOUT_S * 1000000ull;
        int r = wait_for(k, t, timeout, is_started, NULL, p);

        if (r < 0)
                return r;
        if (k->flags.stdin_on && remote.tty)
                fprintf(stderr, "If you don't see a command prompt, try pressing enter.\n");
        r = remote_pod(k, &remote, ret_code, p);
        if (r < 0 && p->code != 400)
                return r;
        if (r < 0) { /* it has ended before; what it said is in its log */
                problem_done(p);
                *p = (struct problem){0};
                r = log_print(k, t->ns, t->name, k->words[0], p);
                if (r < 0)
                        return r;
        }
        if (!streq_ptr(k->flags.restart, "Never"))
                return 0;
        return wait_for(k, t, timeout, is_finished, ret_code, p);
}

static int remove_pod(struct kctl *k, const struct target *t, struct problem *p) {
        _cleanup_free_ char *path = target_path(t, /* subresource= */ NULL, /* query= */ NULL);
        int r = path ? api_request(k->client, "DELETE", path, NULL, NULL, NULL, p) : -ENOMEM;

        if (r >= 0)
                printf("pod \"%s\" deleted\n", t->name);
        return r;
}

static int run(struct kctl *k, int *ret_code, struct problem *p) {
        struct kind_ref kind = kind_ref_of(KIND_PODS);
        _cleanup_json_ json_t *pod = NULL, *made = NULL;
        bool with_terminal = attaches(&k->flags);
        enum dry_run dry_run;
        int r = dry_run_parse(k, &dry_run, p), code = 0, q = 0;

        if (r < 0)
                return r;
        if (with_terminal && dry_run != DRY_RUN_NONE && !k->flags.output)
                return problem_set(p, EINVAL, 0, NULL,
                                "a dry run makes no pod to attach to; leave out -i, -t, --attach");
        if (k->flags.rm && !with_terminal)
                return problem_set(p, EINVAL, 0, NULL,
                                "--rm is for containers that we attach to: -i, -t or --attach");
        r = pod_of_flags(k, &pod, p);
        if (r < 0)
                return r;
        if (dry_run != DRY_RUN_CLIENT && !kctl_client(k))
                return kctl_no_client(p);
        if (k->flags.expose) {
                r = expose(k, pod, p);
                if (r < 0)
                        return r;
        }
        r = object_create(k, &kind, pod,
                        with_terminal && dry_run == DRY_RUN_NONE && !k->flags.output ? NULL
                                                                                     : "created",
                        &made, p);
        if (r < 0 || !with_terminal || dry_run != DRY_RUN_NONE)
                return r;
        struct target t = {kind, (char *)object_namespace(made), (char *)object_name(made)};
        r = attach(k, &t, &code, p);
        if (k->flags.rm) {
                _cleanup_problem_ struct problem why = {0};

                q = remove_pod(k, &t, &why);
                if (q < 0)
                        (void)kctl_fail(&why);
        }
        *ret_code = code ? code : q < 0;
        return r;
}

int kctl_run(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        if (k->word_count < 1)
                return kctl_usage(k, "a NAME for the pod is needed");
        return run(k, &code, &p) < 0 ? kctl_fail(&p) : code;
}
