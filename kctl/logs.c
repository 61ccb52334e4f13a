/* kctl logs: of a pod, of one pod of a workload, or of all pods a selector finds; one container
 * after another, or with -f all at once. */
#include "kctl/log-query.h"
#include "kctl/remote.h"
#include "lib/object.h"

enum { REQUESTS_MAX_DEFAULT = 5, LINE_MAX_SIZE = 1 << 20, READ_US = 300000000 };

/* One container's log. */
struct log_source {
        struct log_reading *reading;
        char *ns, *pod, *container;
        bool prefix, at_line_start;
        struct buf line; /* the beginning of one, where sources are mixed */
};

struct log_reading {
        struct kctl *kctl;
        struct log_source *items;
        size_t count, running;
        sd_event *event;
        struct api_client *client; /* of follow_all(): borrowed */
        struct problem problem;
        int failed; /* -EIO: a source could not be read */
};

static void reading_done(struct log_reading *r) {
        for (size_t i = 0; i < r->count; i++) {
                free(r->items[i].ns);
                free(r->items[i].pod);
                free(r->items[i].container);
                buf_done(&r->items[i].line);
        }
        free(r->items);
        problem_done(&r->problem);
        sd_event_unref(r->event);
}

static int add_source(struct log_reading *r, const char *ns, const char *pod, const char *container,
                bool prefix) {
        struct log_source *items = reallocarray(r->items, r->count + 1, sizeof(*items)), *s;

        if (!items)
                return -ENOMEM;
        r->items = items;
        s = &items[r->count++];
        *s = (struct log_source){.ns = strdup(ns),
                        .pod = strdup(pod),
                        .container = container ? strdup(container) : NULL,
                        .prefix = prefix,
                        .at_line_start = true};
        return s->ns && s->pod && (s->container || !container) ? 0 : -ENOMEM;
}

static void print_piece(struct log_source *s, const char *data, size_t n) {
        if (!s->prefix) {
                fwrite(data, 1, n, stdout);
                return;
        }
        for (size_t i = 0; i < n; i++) {
                if (s->at_line_start)
                        printf("[pod/%s/%s] ", s->pod, strempty(s->container));
                putchar(data[i]);
                s->at_line_start = data[i] == '\n';
        }
}

static int on_log(struct http_call *call, const char *data, size_t n, void *userdata) {
        print_piece(userdata, data, n);
        return fflush(stdout) == 0 ? 0 : -EPIPE;
}

/* Where sources are mixed, only whole lines are printed (very long ones in parts). */
static int on_mixed_log(struct http_call *call, const char *data, size_t n, void *userdata) {
        struct log_source *s = userdata;
        const char *end;
        int r = buf_append(&s->line, data, n);

        if (r < 0)
                return r;
        end = s->line.size > 0 ? memrchr(s->line.data, '\n', s->line.size) : NULL;
        if (!end && s->line.size < LINE_MAX_SIZE)
                return 0;
        n = end ? (size_t)(end - s->line.data) + 1 : s->line.size;
        print_piece(s, s->line.data, n);
        buf_consume(&s->line, n);
        return fflush(stdout) == 0 ? 0 : -EPIPE;
}

static char *source_path(const struct log_source *s, const char *query) {
        _cleanup_free_ char *container = s->container ? url_escape(s->container) : NULL,
                            *full = NULL;

        full = container ? strformat("container=%s%s", container, query)
                         : strdup(query + (*query == '&'));
        return full ? api_path(api_resource(KIND_PODS), s->ns, s->pod, "log", full) : NULL;
}

static int read_one(struct kctl *k, struct log_source *s, const char *query, struct problem *p) {
        _cleanup_free_ char *path = source_path(s, query);
        struct http_result result;
        int r;

        if (!path)
                return -ENOMEM;
        /* Into a file or a program the log goes as it is. */
        output_exact(k, !isatty(STDOUT_FILENO));
        r = http_client_do(api_client_http(k->client),
                        &(struct http_call_options){.method = "GET",
                                        .path = path,
                                        .accept = "*/*",
                                        .timeout_us = k->flags.follow ? UINT64_MAX
                                                                      : (uint64_t)READ_US,
                                        .on_data = on_log,
                                        .userdata = s},
                        &result);
        api_client_note(k->client, &result);
        if (r < 0)
                problem_set(p, r, 0, NULL, "%s", strempty(result.error_text));
        else if (result.code != 200) {
                problem_from_status(p, result.code, result.body, result.body_size);
                r = -EINVAL;
        }
        http_result_done(&result);
        return r;
}

int log_print(struct kctl *k, const char *ns, const char *pod, const char *container,
                struct problem *p) {
        struct log_source s = {.ns = (char *)ns,
                        .pod = (char *)pod,
                        .container = (char *)container,
                        .at_line_start = true};

        return read_one(k, &s, "", p);
}

/* One after another. */
static int read_in_turn(struct kctl *k, struct log_reading *reading, const char *query,
                struct problem *p) {
        for (size_t i = 0; i < reading->count; i++) {
                int r = read_one(k, &reading->items[i], query, p);

                if (r < 0 && !k->flags.ignore_errors)
                        return r;
                if (r < 0)
                        (void)kctl_fail(p);
        }
        return 0;
}

static void on_end(struct http_call *call, const struct http_result *result, void *userdata) {
        struct log_source *s = userdata;
        struct log_reading *r = s->reading;

        api_client_note(r->client, result);
        print_piece(s, strempty(s->line.data), s->line.size);
        if (result->error < 0)
                problem_set(&r->problem, -result->error, 0, NULL, "%s",
                                strempty(result->error_text));
        else if (result->code != 200)
                problem_from_status(&r->problem, result->code, result->body, result->body_size);
        if (result->error < 0 || result->code != 200) {
                if (r->kctl->flags.ignore_errors)
                        (void)kctl_fail(&r->problem);
                else
                        r->failed = -EIO;
        }
        if (--r->running == 0 || r->failed < 0)
                (void)sd_event_exit(r->event, 0);
}

static int start_all(struct log_reading *reading, struct api_client *client, const char *query) {
        for (size_t i = 0; i < reading->count; i++) {
                struct log_source *s = &reading->items[i];
                _cleanup_free_ char *path = source_path(s, query);
                int r;

                s->reading = reading;
                if (!path)
                        return -ENOMEM;
                r = http_call_start(api_client_http(client),
                                &(struct http_call_options){.method = "GET",
                                                .path = path,
                                                .accept = "*/*",
                                                .timeout_us = UINT64_MAX,
                                                .on_data = on_mixed_log,
                                                .on_done = on_end,
                                                .userdata = s},
                                /* ret_call= */ NULL);
                if (r < 0)
                        return r;
                reading->running++;
        }
        return 0;
}

/* All at once, until the last one ends. */
static int follow_all(struct kctl *k, struct log_reading *reading, const char *query,
                struct problem *p) {
        _cleanup_(api_client_freep) struct api_client *client = NULL;
        uint32_t most = k->flags.log_requests_max ? k->flags.log_requests_max
                                                  : REQUESTS_MAX_DEFAULT;
        int r;

        if (reading->count > most)
                return problem_set(p, EINVAL, 0, NULL,
                                "you are attempting to follow %zu log streams, but maximum allowed "
                                "concurrency is %u, use --max-log-requests to increase the limit",
                                reading->count, most);
        r = sd_event_new(&reading->event);
        if (r < 0)
                return r;
        r = kctl_client_new(k, reading->event, &client, p);
        if (r < 0)
                return r;
        reading->client = client;
        output_exact(k, !isatty(STDOUT_FILENO));
        r = start_all(reading, client, query);
        if (r < 0)
                return r;
        r = sd_event_loop(reading->event);
        if (r < 0 || reading->failed >= 0)
                return MIN(r, 0);
        problem_done(p);
        *p = reading->problem;
        reading->problem = (struct problem){0};
        return reading->failed;
}

static int add_pod(struct kctl *k, struct log_reading *reading, const json_t *pod,
                struct problem *p) {
        _cleanup_strv_free_ char **containers = NULL;
        int r = log_containers(k, pod, &containers, p);

        for (char **c = containers; r >= 0 && c && *c; c++)
                r = add_source(reading, object_namespace(pod), object_name(pod), *c,
                                k->flags.prefix);
        return r;
}

static int pods_of_selector(struct kctl *k, struct log_reading *reading, struct problem *p) {
        _cleanup_free_ char *labels = selector_query(k, NULL),
                            *path = labels ? api_path(api_resource(KIND_PODS), kctl_namespace(k),
                                                             /* name= */ NULL,
                                                             /* subresource= */ NULL, labels)
                                           : NULL;
        _cleanup_json_ json_t *list = NULL;
        const json_t *pod;
        size_t i;
        int r = path ? api_get(k->client, path, &list, p) : -ENOMEM;

        if (r < 0)
                return r;
        json_array_foreach (json_object_get(list, "items"), i, pod) {
                r = add_pod(k, reading, pod, p);
                if (r < 0)
                        return r;
        }
        if (i == 0)
                fprintf(stderr, "No resources found in %s namespace.\n", kctl_namespace(k));
        return 0;
}

static int pod_of_words(struct kctl *k, struct log_reading *reading, struct problem *p) {
        _cleanup_free_ char *ns = NULL, *name = NULL, *path = NULL;
        _cleanup_json_ json_t *pod = NULL;
        int r;

        if (strv_length(k->words) > 2 || (k->words[1] && k->flags.container))
                return problem_set(p, EINVAL, 0, NULL, "\"%s\": a pod, and one container of it",
                                k->words[1]);
        if (k->words[1]) { /* kubectl's old form: POD CONTAINER */
                k->flags.container = strdup(k->words[1]);
                if (!k->flags.container)
                        return -ENOMEM;
        }
        r = pod_of_word(k, k->words[0], &ns, &name, p);
        if (r < 0)
                return r;
        path = api_path(api_resource(KIND_PODS), ns, name, NULL, NULL);
        r = path ? api_get(k->client, path, &pod, p) : -ENOMEM;
        return r < 0 ? r : add_pod(k, reading, pod, p);
}

int kctl_logs(struct kctl *k) {
        _cleanup_(reading_done) struct log_reading reading = {.kctl = k};
        _cleanup_buf_ struct buf query = {0};
        _cleanup_problem_ struct problem p = {0};
        const char *text;
        int r;

        if (!k->words == !k->flags.selector)
                return kctl_usage(k, "which pod? Give POD, KIND/NAME or -l LABELS");
        if (k->flags.all_containers && k->flags.container)
                return kctl_usage(k, "--all-containers and -c %s exclude each other",
                                k->flags.container);
        if (!kctl_client(k))
                return EXIT_ERROR;
        /* Of pods that a selector finds, the last lines. */
        r = log_query(k, k->flags.selector ? "10" : NULL, &query, &p);
        if (r < 0)
                return kctl_fail(&p);
        r = k->words ? pod_of_words(k, &reading, &p) : pods_of_selector(k, &reading, &p);
        if (r < 0)
                return kctl_fail(&p);
        text = strempty(query.data);
        r = k->flags.follow && reading.count > 1 ? follow_all(k, &reading, text, &p)
                                                 : read_in_turn(k, &reading, text, &p);
        return r < 0 ? kctl_fail(&p) : EXIT_OK;
}
