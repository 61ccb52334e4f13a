/* Parses a log request. Text that comes over SSH is never passed to a shell. */
#include "nodeagent/logs/logs.h"

#include "lib/timefmt.h"

char *logs_adopted_path(const char *uid, const char *container) {
        return strformat("/run/keelson/nodeagent/pods/%s/adopted.%s", uid, container);
}

void logs_request_done(struct logs_request *r) {
        free(r->ns);
        free(r->pod);
        free(r->uid);
        free(r->container);
        *r = (struct logs_request){0};
}

static bool word_is_tame(const char *s) {
        size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
        return n > 0 && n <= 253 && !s[n];
}

static int option(struct logs_request *r, const char *word) {
        const char *v;
        uint64_t n;

        if (streq(word, "follow"))
                r->follow = true;
        else if (streq(word, "previous"))
                r->previous = true;
        else if (streq(word, "timestamps"))
                r->timestamps = true;
        else if ((v = startswith(word, "tail="))) {
                if (parse_u64(v, &n) < 0 || n > INT64_MAX)
                        return -EINVAL;
                r->tail = (int64_t)n;
        } else if ((v = startswith(word, "since-time=")))
                return time_parse(v, &r->since_us);
        else if ((v = startswith(word, "limit-bytes=")))
                return parse_u64(v, &r->limit_bytes);
        else
                return -EINVAL;
        return 0;
}

int logs_request_parse(const char *command, struct logs_request *ret, struct problem *p) {
        _cleanup_strv_free_ char **words = NULL;
        struct logs_request r = {.tail = -1};
        char **targets[] = {&r.ns, &r.pod, &r.uid, &r.container};

        if (strlen(command) > 4096 || strv_split(command, " ", &words) < 0 ||
                        strv_length(words) < 5 || !streq(words[0], "logs"))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "this key may only be used for: logs <namespace> <pod> <uid> "
                                "<container> [follow] [previous] [timestamps] [tail=N] "
                                "[since-time=RFC3339] [limit-bytes=N]");
        for (size_t i = 0; i < ELEMENTS(targets); i++) {
                if (!word_is_tame(words[i + 1])) {
                        logs_request_done(&r);
                        return problem_set(p, EINVAL, 400, "BadRequest", "'%s' is not a valid name",
                                        words[i + 1]);
                }
                *targets[i] = strdup(words[i + 1]);
        }
        for (char **w = words + 5; *w; w++)
                if (option(&r, *w) < 0) {
                        problem_set(p, EINVAL, 400, "BadRequest", "the option '%s' is not valid",
                                        *w);
                        logs_request_done(&r);
                        return -EINVAL;
                }
        if (!r.ns || !r.pod || !r.uid || !r.container) {
                logs_request_done(&r);
                return -ENOMEM;
        }
        *ret = r;
        return 0;
}
