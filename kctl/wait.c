/* Waiting for an object: a GET, then a watch from its version; a broken stream starts over. Also
 * the verb. */
#include "kctl/kctl.h"
#include "lib/buf.h"
#include "lib/jsonpath.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { WAIT_DEFAULT_S = 30, RETRY_US = 300000 };

struct object_wait {
        wait_func done;
        void *userdata;
        struct problem *problem;
        struct buf line;
        int outcome; /* of done(): 1 finished, negative error */
        char version[32];
};

static int on_line(struct object_wait *w, const char *line, size_t n) {
        _cleanup_json_ json_t *event = NULL;
        const char *type, *version;
        json_t *object;

        if (json_parse(line, n, 0, &event, NULL) < 0)
                return -EPROTO;
        type = json_str_or(event, "type", "");
        object = json_object_get(event, "object");
        if (streq(type, "ERROR"))
                return -ESTALE; /* read it again */
        version = json_str(object, "metadata.resourceVersion");
        if (version)
                snprintf(w->version, sizeof(w->version), "%s", version);
        if (streq(type, "BOOKMARK"))
                return 0;
        w->outcome = w->done(streq(type, "DELETED") ? NULL : object, w->userdata, w->problem);
        return w->outcome != 0 ? -ECANCELED : 0;
}

static int on_data(struct http_call *call, const char *data, size_t n, void *userdata) {
        struct object_wait *w = userdata;
        int r = buf_append(&w->line, data, n);

        if (r < 0)
                return r;
        while (w->line.size > 0) {
                char *newline = memchr(w->line.data, '\n', w->line.size);

                if (!newline)
                        break;
                size_t length = (size_t)(newline - w->line.data);
                r = on_line(w, w->line.data, length);
                buf_consume(&w->line, length + 1);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* One GET and one watch. 0: try again. */
static int wait_round(
                struct kctl *k, const struct target *t, struct object_wait *w, uint64_t left_us) {
        struct target whole = {t->kind, t->ns, NULL};
        _cleanup_free_ char *path = target_path(t, /* subresource= */ NULL, /* query= */ NULL),
                            *name = url_escape(t->name), *query = NULL, *watch = NULL;
        _cleanup_json_ json_t *object = NULL;
        struct http_result result;
        int r;

        if (!path || !name)
                return -ENOMEM;
        r = api_get(k->client, path, &object, w->problem);
        if (r < 0 && r != -ENOENT)
                return r == -EACCES || r == -EINVAL ? r
                                                    : 0; /* the server may be back in a moment */
        w->outcome = w->done(object, w->userdata, w->problem);
        if (w->outcome != 0)
                return w->outcome;
        query = strformat("watch=true&allowWatchBookmarks=true&fieldSelector=metadata.name%%3D%s&"
                          "resourceVersion=%s&timeoutSeconds=%llu",
                        name, object ? json_str_or(object, "metadata.resourceVersion", "0") : "0",
                        (unsigned long long)(left_us / 1000000 + 1));
        watch = query ? target_path(&whole, NULL, query) : NULL;
        if (!watch)
                return -ENOMEM;
        buf_reset(&w->line);
        (void)http_client_do(api_client_http(k->client),
                        &(struct http_call_options){.method = "GET",
                                        .path = watch,
                                        .timeout_us = left_us + 1000000,
                                        .on_data = on_data,
                                        .userdata = w},
                        &result);
        http_result_done(&result);
        return w->outcome;
}

int wait_for(struct kctl *k, const struct target *t, uint64_t timeout_us, wait_func done,
                void *userdata, struct problem *p) {
        struct object_wait w = {.done = done, .userdata = userdata, .problem = p};
        uint64_t deadline = timeout_us ? now_mono_us() + timeout_us : UINT64_MAX;
        int r = 0;

        while (r == 0) {
                uint64_t now = now_mono_us();

                if (now >= deadline) {
                        r = problem_set(p, ETIMEDOUT, 0, NULL,
                                        "timed out waiting for the condition on %s/%s",
                                        t->kind.resource.plural, t->name);
                        break;
                }
                r = wait_round(k, t, &w, timeout_us ? deadline - now : 300000000);
                if (r == 0)
                        usleep(RETRY_US);
        }
        buf_done(&w.line);
        return r > 0 ? 0 : r;
}

/* kctl wait --for ... */
struct wish {
        enum { WISH_DELETE, WISH_CREATE, WISH_CONDITION, WISH_PATH } kind;
        char *name, *value; /* condition and status, or JSONPath and value */
};

static int wish_parse(struct kctl *k, struct wish *w, struct problem *p) {
        const char *text = strempty(k->flags.condition), *rest, *equals;

        if (streq(text, "delete"))
                w->kind = WISH_DELETE;
        else if (streq(text, "create"))
                w->kind = WISH_CREATE;
        else if ((rest = startswith(text, "condition="))) {
                w->kind = WISH_CONDITION;
                equals = strchrnul(rest, '=');
                w->name = strndup(rest, (size_t)(equals - rest));
                w->value = strdup(*equals ? equals + 1 : "True");
        } else if ((rest = startswith(text, "jsonpath="))) {
                w->kind = WISH_PATH;
                equals = *rest == '{' && strchr(rest, '}') ? strchr(rest, '}') + 1
                                                           : strchrnul(rest, '=');
                w->name = strndup(rest, (size_t)(equals - rest));
                w->value = *equals == '=' ? strdup(equals + 1) : NULL;
        } else
                return problem_set(p, EINVAL, 0, NULL,
                                "--for %s is not one of delete, create, condition=TYPE[=STATUS], "
                                "jsonpath={PATH}[=VALUE]",
                                *text ? text : "(missing)");
        return 0;
}

static int wish_check(const json_t *object, void *userdata, struct problem *p) {
        const struct wish *w = userdata;
        _cleanup_free_ char *text = NULL;

        switch (w->kind) {
        case WISH_DELETE:
                return !object;
        case WISH_CREATE:
                return object != NULL;
        case WISH_CONDITION: {
                const json_t *conditions = json_at(object, "status.conditions"), *c;
                size_t i;

                json_array_foreach (conditions, i, c)
                        if (strcaseeq(json_str_or(c, "type", ""), w->name) &&
                                        strcaseeq(json_str_or(c, "status", ""), w->value))
                                return json_int_or(object, "status.observedGeneration",
                                                       INT64_MAX) >= object_generation(object);
                return !object ? problem_set(p, ENOENT, 404, "NotFound",
                                                 "it does not exist, or is gone")
                               : 0;
        }
        case WISH_PATH:
                if (!object || jsonpath_print(w->name, object, &text, p) < 0)
                        return object ? -EINVAL : 0;
                return w->value ? streq(text, w->value) : *text != 0;
        }
        return 0;
}

int kctl_wait(struct kctl *k) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        uint64_t timeout = k->flags.timeout_us ? k->flags.timeout_us : WAIT_DEFAULT_S * 1000000ull;
        struct wish wish = {0};
        int code = EXIT_OK;
        char label[320];

        if (wish_parse(k, &wish, &p) < 0 || targets_resolve(k, 0, &t, &p) < 0)
                code = kctl_fail(&p);
        else if (t.count == 0)
                code = kctl_error("no matching resources found");
        for (size_t i = 0; i < t.count; i++) {
                if (wait_for(k, &t.items[i], timeout, wish_check, &wish, &p) < 0)
                        code = kctl_fail(&p);
                else
                        printf("%s/%s %s\n", kind_label(&t.items[i].kind, label), t.items[i].name,
                                        wish.kind == WISH_DELETE ? "deleted" : "condition met");
        }
        free(wish.name);
        free(wish.value);
        return code;
}
