/* kctl debug: adds an ephemeral container (KEP-277) to a running pod, waits until it runs, and
 * attaches to it with -i. Copies of pods and pods for nodes are kubectl debug's. */
#include "kctl/remote.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"

enum { WAIT_S = 60 };

struct debug {
        const char *container;
        char *shown; /* the message it waits with, as it was shown last */
        bool ended;
        int exit_code;
};

static char *default_name(void) {
        char end[6];

        random_name_suffix(end, sizeof(end) - 1);
        return strformat("debugger-%s", end);
}

static json_t *words_of(char *const *words) {
        json_t *list = json_array();

        for (; list && words && *words; words++)
                if (json_array_append_new(list, json_string(*words)) < 0) {
                        json_decref(list);
                        return NULL;
                }
        return list;
}

/* A strategic merge patch: containers that are there stay. */
static json_t *patch_of(struct kctl *k, const char *name, bool tty) {
        _cleanup_json_ json_t *words = words_of(k->words + 1);
        const struct kctl_flags *f = &k->flags;

        if (!words)
                return NULL;
        return json_pack("{s:{s:[{s:s, s:s, s:s*, s:b, s:b, s:O*}]}}", "spec",
                        "ephemeralContainers", "name", name, "image", f->image,
                        "targetContainerName", f->target, "stdin", f->stdin_on, "tty", tty,
                        "command", json_array_size(words) > 0 ? words : NULL);
}

static int on_pod(const json_t *pod, void *userdata, struct problem *p) {
        struct debug *d = userdata;
        const json_t *status = json_named(json_at(pod, "status.ephemeralContainerStatuses"),
                                     d->container),
                     *end = json_at(status, "state.terminated");
        const char *message = json_str(status, "state.waiting.message");

        if (!pod)
                return problem_set(p, ENOENT, 0, NULL, "the pod was deleted");
        if (end) {
                d->ended = true;
                d->exit_code = (int)json_int_or(end, "exitCode", 0);
                return 1;
        }
        if (json_at(status, "state.running"))
                return 1;
        if (message && !streq_ptr(message, d->shown)) {
                fprintf(stderr, "%s: %s\n", json_str_or(status, "state.waiting.reason", "waiting"),
                                message);
                free(d->shown);
                d->shown = strdup(message);
        }
        return 0;
}

static int add(struct kctl *k, const struct remote_target *t, struct problem *p) {
        _cleanup_json_ json_t *patch = patch_of(k, t->container, t->tty), *answer = NULL;
        _cleanup_free_ char *path = api_path(api_resource(KIND_PODS), t->ns, t->pod,
                        "ephemeralcontainers", /* query= */ NULL);

        if (!patch || !path)
                return -ENOMEM;
        return api_patch_request(k->client, path, API_PATCH_STRATEGIC, patch, &answer, p);
}

static int wait_and_attach(
                struct kctl *k, const struct remote_target *t, int *ret_code, struct problem *p) {
        struct debug d = {.container = t->container};
        uint64_t timeout = k->flags.timeout_us ? k->flags.timeout_us : seconds_us(WAIT_S);
        struct target pod = {kind_ref_of(KIND_PODS), (char *)t->ns, (char *)t->pod};
        int r = wait_for(k, &pod, timeout, on_pod, &d, p);

        free(d.shown);
        if (r < 0)
                return r;
        if (k->flags.stdin_on && !d.ended) {
                fprintf(stderr, "If you do not see a prompt, press Enter.\n");
                return remote_pod(k, t, ret_code, p);
        }
        if (d.ended)
                fprintf(stderr, "container %s has ended with exit code %d\n", t->container,
                                d.exit_code);
        fprintf(stderr, "kctl logs -n %s %s -c %s shows its output\n", t->ns, t->pod, t->container);
        *ret_code = d.exit_code;
        return 0;
}

static int run(struct kctl *k, int *ret_code, struct problem *p) {
        _cleanup_free_ char *ns = NULL, *pod = NULL, *name = NULL;
        struct remote_target t = {.subresource = "attach"};
        int r = pod_of_word(k, k->words[0], &ns, &pod, p);

        if (r < 0)
                return r;
        name = k->flags.container ? strdup(k->flags.container) : default_name();
        if (!name)
                return -ENOMEM;
        t.ns = ns;
        t.pod = pod;
        t.container = name;
        t.tty = remote_wants_terminal(k);
        r = add(k, &t, p);
        if (r < 0)
                return r;
        fprintf(stderr, "Container %s was added to pod %s.\n", name, pod);
        return wait_and_attach(k, &t, ret_code, p);
}

int kctl_debug(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_ERROR;

        if (strv_length(k->words) < 1)
                return kctl_usage(k, "which pod? kctl debug -it POD [-- COMMAND...]");
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (run(k, &code, &p) < 0)
                return kctl_fail(&p);
        return code;
}
