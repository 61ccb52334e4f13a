/* kctl logs: what is asked for. Pure but for a message on the chosen container. */
#include "kctl/log-query.h"

#include "lib/object.h"
#include "lib/timefmt.h"

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

static int add_times(const struct kctl_flags *f, struct buf *b, struct problem *p) {
        uint64_t us;

        if (f->since && f->since_time)
                return problem_set(p, EINVAL, 0, NULL,
                                "at most one of --since and --since-time may be given");
        if (f->since) {
                if (parse_duration_us(f->since, &us) < 0)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--since %s is not a duration such as 10m", f->since);
                buf_printf(b, "&sinceSeconds=%llu",
                                (unsigned long long)(us / 1000000 ? us / 1000000 : 1));
        }
        if (f->since_time) {
                _cleanup_free_ char *t = url_escape(f->since_time);

                if (time_parse(f->since_time, &us) < 0)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--since-time %s is not a time such as "
                                        "2024-01-02T03:04:05Z",
                                        f->since_time);
                buf_printf(b, "&sinceTime=%s", strempty(t));
        }
        return 0;
}

int log_query(struct kctl *k, const char *tail_default, struct buf *b, struct problem *p) {
        const struct kctl_flags *f = &k->flags;
        int r;

        buf_printf(b, "%s%s%s", f->follow ? "&follow=true" : "",
                        f->previous ? "&previous=true" : "",
                        f->timestamps ? "&timestamps=true" : "");
        r = add_number(b, "tail", "tailLines", f->tail ? f->tail : tail_default, p);
        if (r < 0)
                return r;
        r = add_number(b, "limit-bytes", "limitBytes", f->limit_bytes, p);
        if (r < 0)
                return r;
        r = add_times(f, b, p);
        if (r < 0)
                return r;
        return b->failed ? -ENOMEM : 0;
}

/* Where containers are, and how kubectl calls those that are none of the usual ones. */
static const struct {
        const char *path, *suffix;
} lists[] = {{"spec.initContainers", " (init)"}, {"spec.containers", ""},
                {"spec.ephemeralContainers", " (ephem)"}};

static int all_names(const json_t *pod, char ***ret) {
        const json_t *c;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_at(pod, lists[l].path), i, c)
                        if (strv_extend(ret, json_str_or(c, "name", "")) < 0)
                                return -ENOMEM;
        return 0;
}

/* "a, b, i (init)": the usual ones first. Caller frees; NULL when out of memory. */
static char *names_text(const json_t *pod) {
        static const size_t order[] = {1, 0, 2};
        _cleanup_buf_ struct buf b = {0};
        const json_t *c;
        size_t i;

        for (size_t o = 0; o < ELEMENTS(order); o++)
                json_array_foreach (json_at(pod, lists[order[o]].path), i, c)
                        buf_printf(&b, "%s%s%s", b.size > 0 ? ", " : "", json_str_or(c, "name", ""),
                                        lists[order[o]].suffix);
        return buf_take(&b);
}

int log_containers(struct kctl *k, const json_t *pod, char ***ret, struct problem *p) {
        _cleanup_strv_free_ char **all = NULL, **wanted = NULL;
        const char *first = json_str_or(
                                   json_array_get(json_at(pod, "spec.containers"), 0), "name", ""),
                   *preferred = object_annotation(pod, "kubectl.kubernetes.io/default-container");
        const char *chosen = k->flags.container ? k->flags.container : first;
        int r = all_names(pod, &all);

        if (r < 0)
                return r;
        if (k->flags.all_containers) {
                *ret = TAKE_PTR(all);
                return 0;
        }
        if (!k->flags.container && preferred && strv_contains(all, preferred))
                chosen = preferred;
        if (!strv_contains(all, chosen)) {
                _cleanup_free_ char *list = names_text(pod);

                return problem_set(p, ENOENT, 0, NULL,
                                "container %s is not valid for pod %s; it has %s", chosen,
                                object_name(pod), strempty(list));
        }
        if (!k->flags.container && chosen == first && strv_length(all) > 1) {
                _cleanup_free_ char *list = names_text(pod);

                fprintf(stderr, "Defaulted container \"%s\" out of: %s\n", chosen, strempty(list));
        }
        r = strv_extend(&wanted, chosen);
        *ret = TAKE_PTR(wanted);
        return r;
}
