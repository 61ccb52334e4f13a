/* kctl create ingress: --rule HOST/PATH=SERVICE:PORT[,tls[=SECRET]]. A path that ends with '*' is a
 * prefix. */
#include "kctl/create/create.h"

/* "web:80" or "web:http" as a backend; a new reference. */
static json_t *backend_json(const char *text) {
        const char *colon = strchr(text, ':');
        _cleanup_free_ char *name = colon ? strndup(text, (size_t)(colon - text)) : NULL;
        json_t *port;

        if (!name || !*name || !colon[1])
                return NULL;
        port = number_or_text(colon + 1);
        return json_pack("{s:{s:s, s:{s:o}}}", "service", "name", name, "port",
                        json_is_integer(port) ? "number" : "name", port);
}

/* The entry of a list whose member has this text (NULL: has none), or a new one. Borrowed; NULL
 * when out of memory. */
static json_t *entry_of(json_t *list, const char *member, const char *text) {
        json_t *entry;
        size_t i;

        json_array_foreach (list, i, entry)
                if (streq_ptr(json_string_value(json_object_get(entry, member)), text))
                        return entry;
        entry = json_pack("{s:s*}", member, text);
        return entry && json_array_append_new(list, entry) == 0 ? entry : NULL;
}

static json_t *list_in(json_t *entry, const char *name) {
        json_t *list = json_object_get(entry, name);

        if (!list && json_object_set_new(entry, name, json_array()) == 0)
                list = json_object_get(entry, name);
        return list;
}

/* "tls" or "tls=SECRET". */
static int add_tls(json_t *spec, const char *text, const char *host, struct problem *p) {
        const char *rest = startswith(text, "tls");
        json_t *entry, *hosts, *known;
        size_t i;

        if (!rest || (*rest && *rest != '='))
                return problem_set(p, EINVAL, 0, NULL,
                                "\"%s\" is not tls or tls=SECRET behind a --rule", text);
        entry = entry_of(list_in(spec, "tls"), "secretName", *rest && rest[1] ? rest + 1 : NULL);
        if (!entry)
                return -ENOMEM;
        if (!*host)
                return 0;
        hosts = list_in(entry, "hosts");
        json_array_foreach (hosts, i, known)
                if (streq(json_string_value(known), host))
                        return 0;
        return json_array_append_new(hosts, json_string(host)) < 0 ? -ENOMEM : 0;
}

static int rule_refused(const char *text, struct problem *p) {
        return problem_set(p, EINVAL, 0, NULL,
                        "--rule %s is not HOST/PATH=SERVICE:PORT, with ,tls or ,tls=SECRET behind "
                        "it or not",
                        text);
}

static int add_path(json_t *spec, const char *host, const char *path, json_t *backend_taken) {
        _cleanup_json_ json_t *backend = backend_taken;
        size_t n = strlen(path);
        bool prefix = n > 0 && path[n - 1] == '*';
        _cleanup_free_ char *plain = strndup(path, n - prefix);
        json_t *rule = entry_of(list_in(spec, "rules"), "host", *host ? host : NULL), *http;

        if (!rule || !plain)
                return -ENOMEM;
        if (!json_object_get(rule, "http") &&
                        json_object_set_new(rule, "http", json_pack("{s:[]}", "paths")) < 0)
                return -ENOMEM;
        http = json_object_get(rule, "http");
        return json_array_append_new(json_object_get(http, "paths"),
                               json_pack("{s:O, s:s, s:s}", "backend", backend, "path", plain,
                                               "pathType", prefix ? "Prefix" : "Exact")) < 0
                               ? -ENOMEM
                               : 0;
}

static int add_rule(json_t *spec, const char *text, struct problem *p) {
        _cleanup_free_ char *copy = strdup(text);
        char *comma = copy ? strchr(copy, ',') : NULL, *slash = copy ? strchr(copy, '/') : NULL,
             *equals = slash ? strchr(slash, '=') : NULL;
        _cleanup_free_ char *host = NULL;
        json_t *backend;
        int r;

        if (!copy)
                return -ENOMEM;
        if (!equals || (comma && comma < equals))
                return rule_refused(text, p);
        if (comma)
                *comma = 0;
        *equals = 0;
        host = strndup(copy, (size_t)(slash - copy));
        backend = host ? backend_json(equals + 1) : NULL;
        if (!backend)
                return rule_refused(text, p);
        r = add_path(spec, host, slash, backend);
        return r < 0 || !comma ? r : add_tls(spec, comma + 1, host, p);
}

static int build(struct kctl *k, json_t *object, struct problem *p) {
        const struct kctl_flags *f = &k->flags;
        json_t *spec = json_object(), *annotations, *backend;
        int r = json_set_at(object, "spec", spec);

        if (r < 0)
                return r;
        if (!f->rules && isempty(f->default_backend))
                return problem_set(p, EINVAL, 0, NULL,
                                "--rule or --default-backend is needed: HOST/PATH=SERVICE:PORT, "
                                "or SERVICE:PORT");
        for (char **rule = f->rules; rule && *rule; rule++) {
                r = add_rule(spec, *rule, p);
                if (r < 0)
                        return r;
        }
        if (!isempty(f->default_backend)) {
                backend = backend_json(f->default_backend);
                if (!backend)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--default-backend %s is not SERVICE:PORT",
                                        f->default_backend);
                json_object_set_new(spec, "defaultBackend", backend);
        }
        if (!isempty(f->ingress_class))
                json_set_str(spec, "ingressClassName", f->ingress_class);
        if (!f->ingress_annotations)
                return 0;
        annotations = json_object();
        r = json_set_at(object, "metadata.annotations", annotations);
        return r < 0 ? r : pairs_read(f->ingress_annotations, "--annotation", annotations, p);
}

int kctl_create_ingress(struct kctl *k) {
        return create_run(k, KIND_INGRESSES, build);
}
