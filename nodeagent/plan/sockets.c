/* Socket activation: systemd listens on a container's ports and starts the container at the first
 * connection, with the sockets as in sd_listen_fds(3). The annotation
 * keelson.dev/socket-activation, or <container>.keelson.dev/socket-activation for one container, is
 * "true" (all of its ports) or a list of port names and numbers, with commas between. Of a pod with
 * several containers the pod's own annotation is about those that have such ports. */
#include "nodeagent/plan/plan.h"
#include "nodeagent/plan/restart.h"

#include "lib/buf.h"
#include "lib/object.h"

#define KEY "keelson.dev/socket-activation"
#define REASON "CreateContainerConfigError"
enum { SOCKETS_MAX = 64 }; /* systemd holds them open */

/* The value for this container; NULL: none, or it is switched off. */
static const char *wish_of(const json_t *pod, const char *name, bool *ret_own) {
        _cleanup_free_ char *key = strformat("%s." KEY, name);
        const char *v = key ? object_annotation(pod, key) : NULL;

        *ret_own = v != NULL;
        if (!v)
                v = object_annotation(pod, KEY);
        return isempty(v) || streq(v, "false") ? NULL : v;
}

static bool port_is(const json_t *port, const char *word) {
        char number[24];

        snprintf(number, sizeof(number), "%lld", (long long)json_int_or(port, "containerPort", 0));
        return streq(word, number) || streq(word, json_str_or(port, "name", ""));
}

static bool has_port(const json_t *container, const char *word) {
        const json_t *port;
        size_t i;

        json_array_foreach (json_at(container, "ports"), i, port)
                if (port_is(port, word))
                        return true;
        return false;
}

static bool any_has_port(const json_t *pod, const char *word) {
        const json_t *c;
        size_t i;

        json_array_foreach (json_at(pod, "spec.containers"), i, c)
                if (has_port(c, word))
                        return true;
        return false;
}

/* Whether the list of words has this port. */
static bool is_wished(char *const *words, const json_t *port) {
        for (; words && *words; words++)
                if (streq(*words, "true") || port_is(port, *words))
                        return true;
        return false;
}

static bool any_is_wished(char *const *words, const json_t *container) {
        const json_t *port;
        size_t i;

        json_array_foreach (json_at(container, "ports"), i, port)
                if (is_wished(words, port))
                        return true;
        return false;
}

bool pod_is_socket_activated(const json_t *pod, const json_t *container) {
        const char *name = json_str_or(container, "name", "");
        _cleanup_strv_free_ char **words = NULL;
        bool own;
        const char *wish = wish_of(pod, name, &own);

        if (!wish || strv_split(wish, ", ", &words) < 0)
                return false;
        /* A mistake in it is reported by pod_socket_unit(). */
        return own || any_is_wished(words, container);
}

static int check_words(const json_t *pod, const json_t *container, bool own, char *const *words,
                struct problem *p) {
        const char *name = json_str_or(container, "name", "");

        for (; words && *words; words++)
                if (!streq(*words, "true") &&
                                !(own ? has_port(container, *words) : any_has_port(pod, *words)))
                        return problem_set(p, EINVAL, 0, REASON,
                                        "annotation " KEY ": '%.63s' is no port of %s%s: write "
                                        "\"true\", or names or numbers of its ports",
                                        *words, own ? "container " : "the pod", own ? name : "");
        return 0;
}

/* [[type, port]] for the socket unit's Listen. */
static int listen_of(const json_t *container, char *const *words, json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *list = json_array();
        const json_t *port;
        size_t i;

        json_array_foreach (json_at(container, "ports"), i, port) {
                const char *protocol = json_str_or(port, "protocol", "TCP");
                bool udp = streq(protocol, "UDP");

                if (!is_wished(words, port))
                        continue;
                if (!udp && !streq(protocol, "TCP"))
                        return problem_set(p, EINVAL, 0, REASON,
                                        "annotation " KEY ": port %lld of container %s is %s; only "
                                        "TCP and UDP ports can start a container",
                                        (long long)json_int_or(port, "containerPort", 0),
                                        json_str_or(container, "name", ""), protocol);
                if (json_array_append_new(list,
                                    json_pack("[s, o]", udp ? "Datagram" : "Stream",
                                                    json_sprintf("%lld",
                                                                    (long long)json_int_or(port,
                                                                                    "containerPort",
                                                                                    0)))) < 0)
                        return -ENOMEM;
        }
        if (json_array_size(list) == 0)
                return problem_set(p, EINVAL, 0, REASON,
                                "annotation " KEY ": container %s has no ports to listen on: name "
                                "them in its field ports",
                                json_str_or(container, "name", ""));
        if (json_array_size(list) > SOCKETS_MAX)
                return problem_set(p, EINVAL, 0, REASON,
                                "annotation " KEY ": container %s has more than %d ports to listen "
                                "on: name those that it needs",
                                json_str_or(container, "name", ""), SOCKETS_MAX);
        *ret = TAKE_PTR(list);
        return 0;
}

int pod_socket_unit(const json_t *pod, const json_t *container, const char *service,
                const json_t *properties, json_t **ret, struct problem *p) {
        const char *name = json_str_or(container, "name", ""), *wish;
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_json_ json_t *listen = NULL;
        bool own;
        int r;

        wish = wish_of(pod, name, &own);
        if (!wish)
                return 0;
        r = strv_split(wish, ", ", &words);
        if (r < 0)
                return r;
        r = check_words(pod, container, own, words, p);
        if (r < 0)
                return r;
        if (!pod_is_socket_activated(pod, container))
                return 0;
        if (!streq(container_restart_policy(pod, container), "Always"))
                return problem_set(p, EINVAL, 0, REASON,
                                "annotation " KEY " of container %s needs restartPolicy: Always, "
                                "because the container starts again at each connection",
                                name);
        r = listen_of(container, words, &listen, p);
        if (r < 0)
                return r;
        *ret = json_pack("{s:o, s:{s:O, s:O, s:O, s:O*}}", "name",
                        json_sprintf("%.*s.socket", (int)(strlen(service) - strlen(".service")),
                                        service),
                        "properties", "Description", json_object_get(properties, "Description"),
                        "Slice", json_object_get(properties, "Slice"), "Listen", listen,
                        "NetworkNamespacePath",
                        json_object_get(properties, "NetworkNamespacePath"));
        return *ret ? 1 : -ENOMEM;
}
