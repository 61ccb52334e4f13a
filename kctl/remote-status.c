/* What is pure of the verbs with streams. */
#include <ctype.h>

#include "kctl/remote.h"
#include "lib/buf.h"

int remote_status(const char *text, size_t n, int *ret_code, struct problem *p) {
        _cleanup_json_ json_t *v = NULL;
        const json_t *cause;
        int64_t code;
        size_t i;

        if (json_parse(text, n, 0, &v, NULL) < 0)
                return problem_set(p, EIO, 0, NULL,
                                "the connection ended before the command's result came");
        if (streq(json_str_or(v, "status", ""), "Success")) {
                *ret_code = 0;
                return 0;
        }
        json_array_foreach (json_at(v, "details.causes"), i, cause)
                if (streq(json_str_or(cause, "reason", ""), "ExitCode") &&
                                parse_i64(json_str_or(cause, "message", ""), &code) >= 0 &&
                                code > 0 && code < 256) {
                        *ret_code = (int)code;
                        return 0;
                }
        return problem_set(p, EIO, 0, NULL, "%s", json_str_or(v, "message", "the command failed"));
}

void copy_place_done(struct copy_place *c) {
        free(c->ns);
        free(c->pod);
        free(c->path);
        *c = (struct copy_place){0};
}

int copy_place_parse(const char *word, struct copy_place *ret) {
        _cleanup_(copy_place_done) struct copy_place c = {0};
        const char *colon = strchr(word, ':'), *slash = strchr(word, '/');

        if (!colon || colon == word || *word == '/' || *word == '.') {
                c.path = strdup(word);
        } else if (slash && slash < colon) {
                c.ns = strndup(word, (size_t)(slash - word));
                c.pod = strndup(slash + 1, (size_t)(colon - slash - 1));
                if (!c.ns)
                        return -ENOMEM;
        } else {
                c.pod = strndup(word, (size_t)(colon - word));
        }
        if (!c.path) {
                c.path = strdup(colon + 1);
                if (!c.pod)
                        return -ENOMEM;
        }
        if (!c.path)
                return -ENOMEM;
        *ret = c;
        c = (struct copy_place){0};
        return 0;
}

/* Every character that could be special stands in brackets; those that cannot have a backslash. */
static void quote_pattern(struct buf *b, const char *s) {
        for (; *s; s++) {
                if (isalnum((unsigned char)*s) || *s == '_' || *s == '-' || *s & 0x80)
                        buf_append_char(b, *s);
                else if (*s == '^' || *s == '\\' || *s == ',')
                        buf_printf(b, "\\%c", *s);
                else
                        buf_printf(b, "[%c]", *s);
        }
}

char *tar_rename(const char *base, const char *name) {
        _cleanup_buf_ struct buf b = {0};

        buf_append_str(&b, "s,^");
        quote_pattern(&b, base);
        buf_append_char(&b, ',');
        for (const char *s = name; *s; s++)
                buf_printf(&b, strchr("\\&,", *s) ? "\\%c" : "%c", *s);
        buf_append_str(&b, ",S");
        return buf_take(&b);
}

int port_pair_parse(
                const char *word, uint16_t *ret_local, uint16_t *ret_remote, struct problem *p) {
        const char *colon = strchr(word, ':');
        _cleanup_free_ char *before = colon ? strndup(word, (size_t)(colon - word)) : strdup(word);
        const char *after = colon ? colon + 1 : word;
        uint16_t local = 0, remote;

        if (!before)
                return -ENOMEM;
        if (parse_port(after, &remote) < 0 || remote == 0 ||
                        (*before && parse_port(before, &local) < 0))
                return problem_set(p, EINVAL, 0, NULL, "\"%s\" is not PORT, LOCAL:PORT or :PORT",
                                word);
        *ret_local = local;
        *ret_remote = remote;
        return 0;
}
