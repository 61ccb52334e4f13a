/* The variables that name the services of a container's namespace: <NAME>_SERVICE_HOST and the
 * forms of Docker's links (Kubernetes' pkg/kubelet/envvars), as of the moment when the container's
 * unit is made. */
#include "nodeagent/plan/plan.h"

#include <ctype.h>

#include "lib/object.h"

/* With thousands of services the environment would be too large to start a program. */
enum { TEXT_MAX = 128 * 1024 };

/* "my-db" -> "MY_DB"; caller frees. */
static char *variable_name(const char *name) {
        char *s = strdup(name);

        for (char *c = s; c && *c; c++)
                *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        return s;
}

static bool is_variable_name(const char *s) {
        return s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] == 0 && *s;
}

static int set(json_t *out, char *name, char *value) {
        _cleanup_free_ char *n = name, *v = value;

        if (!n || !v)
                return -ENOMEM;
        return json_object_set_new(out, n, json_string(v)) < 0 ? -ENOMEM : 0;
}

static int add_port(json_t *out, const char *stem, const char *ip, const json_t *port, bool first) {
        const char *protocol = json_str_or(port, "protocol", "TCP");
        _cleanup_free_ char *upper = variable_name(protocol), *lower = strdup(protocol),
                            *port_name = variable_name(json_str_or(port, "name", ""));
        long long number = json_int_or(port, "port", 0);
        int r;

        if (!upper || !lower || !port_name)
                return -ENOMEM;
        for (char *c = lower; *c; c++)
                *c = (char)tolower((unsigned char)*c);
        if (first) {
                r = set(out, strformat("%s_SERVICE_PORT", stem), strformat("%lld", number));
                if (r < 0)
                        return r;
        }
        if (is_variable_name(port_name)) {
                r = set(out, strformat("%s_SERVICE_PORT_%s", stem, port_name),
                                strformat("%lld", number));
                if (r < 0)
                        return r;
        }
        if (first) {
                r = set(out, strformat("%s_PORT", stem),
                                strformat("%s://%s:%lld", lower, ip, number));
                if (r < 0)
                        return r;
        }
        r = set(out, strformat("%s_PORT_%lld_%s", stem, number, upper),
                        strformat("%s://%s:%lld", lower, ip, number));
        if (r < 0)
                return r;
        r = set(out, strformat("%s_PORT_%lld_%s_PROTO", stem, number, upper), strdup(lower));
        if (r < 0)
                return r;
        r = set(out, strformat("%s_PORT_%lld_%s_PORT", stem, number, upper),
                        strformat("%lld", number));
        if (r < 0)
                return r;
        return set(out, strformat("%s_PORT_%lld_%s_ADDR", stem, number, upper), strdup(ip));
}

static int add_service(json_t *out, const json_t *service) {
        const char *ip = json_str_or(service, "spec.clusterIP", "");
        _cleanup_free_ char *stem = variable_name(object_name(service));
        const json_t *port;
        size_t i;
        int r;

        if (!stem)
                return -ENOMEM;
        if (!*ip || streq(ip, "None") || !is_variable_name(stem))
                return 0;
        r = set(out, strformat("%s_SERVICE_HOST", stem), strdup(ip));
        if (r < 0)
                return r;
        json_array_foreach (json_at(service, "spec.ports"), i, port) {
                r = add_port(out, stem, ip, port, /* first= */ i == 0);
                if (r < 0)
                        return r;
        }
        return 0;
}

static size_t text_size(const json_t *variables) {
        const char *name;
        json_t *v;
        size_t n = 0;

        json_object_foreach ((json_t *)variables, name, v)
                n += strlen(name) + json_string_length(v) + 2;
        return n;
}

int pod_service_env(const json_t *pod, const struct pod_facts *f, json_t **ret) {
        _cleanup_json_ json_t *out = json_object();
        size_t size = 0;
        const char *name;
        json_t *v;
        int r;

        if (!out)
                return -ENOMEM;
        /* The API itself is always named. */
        if (f->api_service) {
                r = add_service(out, f->api_service);
                if (r < 0)
                        return r;
        }
        if (json_bool_or(pod, "spec.enableServiceLinks", true))
                json_object_foreach (json_unconst(f->services), name, v) {
                        _cleanup_json_ json_t *one = json_object();

                        if (!one)
                                return -ENOMEM;
                        r = add_service(one, v);
                        if (r < 0)
                                return r;
                        size += text_size(one);
                        if (size > TEXT_MAX)
                                return -E2BIG;
                        if (json_object_update(out, one) < 0)
                                return -ENOMEM;
                }
        *ret = TAKE_PTR(out);
        return 0;
}
