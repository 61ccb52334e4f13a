/* Parts of objects that several generators make. Pure. */
#include "kctl/create/create.h"
#include "lib/selector.h"

json_t *object_new(enum kind_id kind, const char *name) {
        const struct api_resource *r = api_resource(kind);
        _cleanup_free_ char *version = *r->group ? strformat("%s/%s", r->group, r->version)
                                                 : strdup(r->version);

        return version ? json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", version, "kind", r->kind,
                                         "metadata", "name", name)
                       : NULL;
}

int pairs_read(char *const *texts, const char *flag, json_t *into, struct problem *p) {
        for (; texts && *texts; texts++) {
                const char *equals = strchr(*texts, '=');
                _cleanup_free_ char *key =
                                equals ? strndup(*texts, (size_t)(equals - *texts)) : NULL;

                if (!equals || equals == *texts)
                        return problem_set(p, EINVAL, 0, NULL, "%s %s is not KEY=VALUE", flag,
                                        *texts);
                if (!key)
                        return -ENOMEM;
                if (json_object_set_new(into, key, json_string(equals + 1)) < 0)
                        return problem_set(p, EINVAL, 0, NULL, "%s %s is not KEY=VALUE in UTF-8",
                                        flag, *texts);
        }
        return 0;
}

json_t *texts_json(char *const *texts) {
        _cleanup_json_ json_t *list = json_array();

        for (; texts && *texts; texts++)
                if (!list || json_array_append_new(list, json_string(*texts)) < 0)
                        return NULL;
        return TAKE_PTR(list);
}

int number_read(const char *text, const char *flag, int64_t least, int64_t *ret,
                struct problem *p) {
        int64_t v;

        if (parse_i64(text, &v) < 0 || v < least || v > INT32_MAX)
                return problem_set(p, EINVAL, 0, NULL, "%s %s is not a number from %lld on", flag,
                                text, (long long)least);
        *ret = v;
        return 0;
}

json_t *number_or_text(const char *text) {
        int64_t v;

        return parse_i64(text, &v) == 0 ? json_integer(v) : json_string(text);
}

/* One requirement of a selector's canonical text into labels or expressions. */
static int add_requirement(const char *text, json_t *labels, json_t *expressions) {
        const char *in = strstr(text, " in ("), *notin = strstr(text, " notin ("), *list;
        const char *equals = strchr(text, '=');
        _cleanup_strv_free_ char **values = NULL;
        _cleanup_free_ char *key = NULL, *inside = NULL;
        const char *operator = in ? "In" : notin ? "NotIn" : *text == '!' ? "DoesNotExist" : "Exists";

        list = in ? in + 5 : notin ? notin + 8 : NULL;
        if (!list && equals) {
                size_t n = (size_t)(equals - text);
                bool negated = n > 0 && equals[-1] == '!';

                key = strndup(text, negated ? n - 1 : n);
                if (!key)
                        return -ENOMEM;
                if (!negated)
                        return json_object_set_new(labels, key, json_string(equals + 1)) < 0
                                               ? -ENOMEM
                                               : 0;
                return json_array_append_new(expressions,
                                       json_pack("{s:s, s:s, s:[s]}", "key", key, "operator",
                                                       "NotIn", "values", equals + 1)) < 0
                                       ? -ENOMEM
                                       : 0;
        }
        key = list ? strndup(text, strcspn(text, " ")) : strdup(text + (*text == '!'));
        inside = list ? strndup(list, strcspn(list, ")")) : strdup("");
        if (!key || !inside || strv_split(inside, ",", &values) < 0)
                return -ENOMEM;
        return json_array_append_new(expressions,
                               json_pack("{s:s, s:s, s:o*}", "key", key, "operator", operator,
                                               "values", list ? texts_json(values) : NULL)) < 0
                               ? -ENOMEM
                               : 0;
}

/* The text up to the next comma outside of parentheses. */
static size_t requirement_length(const char *s) {
        unsigned depth = 0;
        size_t n = 0;

        for (; s[n] && (depth > 0 || s[n] != ','); n++)
                depth += s[n] == '(' ? 1 : s[n] == ')' && depth > 0 ? -1u : 0;
        return n;
}

int label_selector_json(const char *text, json_t **ret, struct problem *p) {
        _cleanup_(label_selector_freep) struct label_selector *selector = NULL;
        _cleanup_json_ json_t *labels = json_object(), *expressions = json_array(),
                              *v = json_object();
        _cleanup_free_ char *canonical = NULL;
        int r = label_selector_parse(text, &selector, p);

        if (r < 0) {
                p->code = 0; /* no server has seen it */
                return r;
        }
        canonical = label_selector_text(selector);
        if (!canonical || !labels || !expressions || !v)
                return -ENOMEM;
        for (const char *s = canonical; *s;) {
                size_t n = requirement_length(s);
                _cleanup_free_ char *one = strndup(s, n);

                r = one ? add_requirement(one, labels, expressions) : -ENOMEM;
                if (r < 0)
                        return r;
                s += n + (s[n] == ',');
        }
        if (json_object_size(labels) > 0)
                json_object_set(v, "matchLabels", labels);
        if (json_array_size(expressions) > 0)
                json_object_set(v, "matchExpressions", expressions);
        *ret = TAKE_PTR(v);
        return 0;
}

char *image_container_name(const char *image) {
        const char *slash = strrchr(image, '/');
        const char *start = slash ? slash + 1 : image;
        char *name = strndup(start, strcspn(start, ":@"));

        /* Names of containers are DNS labels. */
        for (char *c = name; c && *c; c++)
                if (*c == '_' || *c == '.')
                        *c = '-';
        return name;
}

json_t *container_json(const char *name, const char *image, char *const *command) {
        return json_pack("{s:s, s:s, s:o*}", "name", name, "image", image, "command",
                        command ? texts_json(command) : NULL);
}

int one_image(const struct kctl *k, const char **ret, struct problem *p) {
        if (strv_length(k->flags.images) != 1)
                return problem_set(p, EINVAL, 0, NULL,
                                "--image is needed once: host is the machine's own root, docs "
                                "explain other images");
        *ret = k->flags.images[0];
        return 0;
}
