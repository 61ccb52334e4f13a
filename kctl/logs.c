/* kctl logs: of a pod, of the first pod of a workload, or of all pods a selector finds. */
#include "kctl/remote.h"
#include "lib/buf.h"
#include "lib/object.h"
#include "lib/timefmt.h"

struct log_output {
        const char *prefix; /* before each line; NULL for none */
        bool at_line_start;
};

static int on_log(struct http_call *call, const char *data, size_t n, void *userdata) {
        struct log_output *r = userdata;

        if (!r->prefix)
                fwrite(data, 1, n, stdout);
        else
                for (size_t i = 0; i < n; i++) {
                        if (r->at_line_start)
                                printf("[%s] ", r->prefix);
                        putchar(data[i]);
                        r->at_line_start = data[i] == '\n';
                }
        return fflush(stdout) == 0 ? 0 : -EPIPE;
}

/* A whole number for a query parameter, checked here so that the message names the flag. */
static int add_number(struct buf *b, const char *flag, const char *parameter, const char *value,
                struct problem *p) {
        int64_t v;

        if (!value)
                return 0;
        if (parse_i64(value, &v) < 0)
                return problem_set(p, EINVAL, 0, NULL, "--%s %s is not a number", flag, value);
        return v < 0 ? 0
                     : buf_printf(b, "&%s=%lld", parameter, (long long)v); /* --tail -1 means all */
}

static int log_query(struct kctl *k, struct buf *b, struct problem *p) {
        const struct kctl_flags *f = &k->flags;
        uint64_t us;
        int r;

        buf_printf(b, "%s%s%s", f->follow ? "&follow=true" : "",
                        f->previous ? "&previous=true" : "",
                        f->timestamps ? "&timestamps=true" : "");
        if (f->container) {
                _cleanup_free_ char *c = url_escape(f->container);

                buf_printf(b, "&container=%s", strempty(c));
        }
        r = add_number(b, "tail", "tailLines", f->tail ? f->tail : f->selector ? "10" : NULL, p);
        if (r < 0)
                return r;
        r = add_number(b, "limit-bytes", "limitBytes", f->limit_bytes, p);
        if (r < 0)
                return r;
        if (f->since) {
                if (parse_duration_us(f->since, &us) < 0)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--since %s is not a duration such as 10m", f->since);
                buf_printf(b, "&sinceSeconds=%llu",
                                (unsigned long long)(us / 1000000 ? us / 1000000 : 1));
        }
        if (f->since_time) {
                if (time_parse(f->since_time, &us) < 0)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--since-time %s is not a time such as "
                                        "2024-01-02T03:04:05Z",
                                        f->since_time);
                _cleanup_free_ char *t = url_escape(f->since_time);
                buf_printf(b, "&sinceTime=%s", strempty(t));
        }
        return 0;
}

static int read_log(struct kctl *k, const char *ns, const char *pod, const char *query, bool prefix,
                struct problem *p) {
        _cleanup_free_ char *path =
                        api_path(api_resource(KIND_PODS), ns, pod, "log", query + (*query == '&'));
        struct log_output reading = {.prefix = prefix ? pod : NULL, .at_line_start = true};
        struct http_result result;
        /* Into a file or a program the log goes as it is. */
        output_exact(k, !isatty(STDOUT_FILENO));
        int r = path ? http_client_do(api_client_http(k->client),
                                       &(struct http_call_options){.method = "GET",
                                                       .path = path,
                                                       .accept = "*/*",
                                                       .timeout_us = k->flags.follow ? UINT64_MAX
                                                                                     : 300000000,
                                                       .on_data = on_log,
                                                       .userdata = &reading},
                                       &result)
                     : -ENOMEM;

        if (!path)
                return r;
        if (r < 0)
                problem_set(p, r, 0, NULL, "%s", strempty(result.error_text));
        else if (result.code != 200) {
                problem_from_status(p, result.code, result.body, result.body_size);
                r = -EINVAL;
        }
        http_result_done(&result);
        return r;
}

static int logs_of_list(struct kctl *k, const char *query, struct problem *p) {
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
        if (k->flags.follow && json_array_size(json_object_get(list, "items")) > 1)
                return problem_set(p, EINVAL, 0, NULL, "-f follows one pod; the selector finds %zu",
                                json_array_size(json_object_get(list, "items")));
        json_array_foreach (json_object_get(list, "items"), i, pod) {
                r = read_log(k, object_namespace(pod), object_name(pod), query, k->flags.prefix, p);
                if (r < 0)
                        return r;
        }
        if (i == 0)
                fprintf(stderr, "No resources found in %s namespace.\n", kctl_namespace(k));
        return 0;
}

static int logs_of_word(struct kctl *k, const char *query, struct problem *p) {
        _cleanup_free_ char *ns = NULL, *pod = NULL;
        int r;

        if (!strchr(k->words[0], '/') && k->words[1] && !k->flags.container)
                return problem_set(p, EINVAL, 0, NULL, "\"%s\": give the container with -c",
                                k->words[1]);
        r = pod_of_word(k, k->words[0], &ns, &pod, p);
        return r < 0 ? r : read_log(k, ns, pod, query, k->flags.prefix, p);
}

int kctl_logs(struct kctl *k) {
        _cleanup_buf_ struct buf query = {0};
        _cleanup_problem_ struct problem p = {0};
        int r;

        if (!k->words && !k->flags.selector)
                return kctl_usage(k, "which pod? Give POD, KIND/NAME or -l LABELS");
        if (!kctl_client(k))
                return EXIT_ERROR;
        r = log_query(k, &query, &p);
        if (r < 0)
                return kctl_fail(&p);
        r = k->words ? logs_of_word(k, strempty(query.data), &p)
                     : logs_of_list(k, strempty(query.data), &p);
        return r < 0 ? kctl_fail(&p) : EXIT_OK;
}
