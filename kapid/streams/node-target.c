/* A Node object says how it is reached: its address, and the annotations of `kctl node join`. */
#include "kapid/streams/node-target.h"

#include "lib/object.h"

enum { CONNECT_S = 10 };

void node_target_done(struct node_target *t) {
        free(t->host);
        free(t->user);
        free(t->host_key);
        free(t->key_file);
        *t = (struct node_target){0};
}

static const char *node_address(const json_t *node) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(node, "status.addresses"), i, v)
                if (streq(json_str_or(v, "type", ""), "InternalIP"))
                        return json_str(v, "address");
        json_array_foreach (json_at(node, "status.addresses"), i, v)
                if (json_str(v, "address"))
                        return json_str(v, "address");
        return NULL;
}

static int find_node(struct api *api, const char *name, json_t **ret, struct problem *p) {
        struct item *it = api_find(api, "", "nodes", "", name);

        if (!it)
                return problem_set(p, ENOENT, 500, "InternalError",
                                "the pod's node \"%s\" does not exist any longer", name);
        *ret = item_object(it);
        return *ret ? 0 : -ENOMEM;
}

static int fill(struct node_target *t, const struct api *api, const json_t *node,
                struct problem *p) {
        const char *name = object_name(node);
        const char *address = node_address(node),
                   *key = object_annotation(node, "keelson.dev/ssh-host-key"),
                   *port = object_annotation(node, "keelson.dev/ssh-port"),
                   *user = object_annotation(node, "keelson.dev/ssh-user");

        if (!api->options.ssh_key_file)
                return problem_set(p, EOPNOTSUPP, 500, "InternalError",
                                "this server has no SSH key for nodes (--ssh-key-file)");
        if (!address || !key)
                return problem_set(p, ENOENT, 500, "InternalError",
                                "node \"%s\" has no %s: it did not join with `kctl node join`",
                                name,
                                address ? "pinned host key (annotation keelson.dev/ssh-host-key)"
                                        : "address in its status");
        if (port && parse_port(port, &t->port) < 0)
                return problem_set(p, EINVAL, 500, "InternalError",
                                "node \"%s\": annotation keelson.dev/ssh-port is not a port", name);
        t->host = strdup(address);
        t->host_key = strdup(key);
        t->user = user ? strdup(user) : strdup("root");
        t->key_file = strdup(api->options.ssh_key_file);
        return t->host && t->host_key && t->user && t->key_file ? 0 : -ENOMEM;
}

int node_target_of_pod(
                struct api *api, const json_t *pod, struct node_target *ret, struct problem *p) {
        _cleanup_json_ json_t *node = NULL;
        int r = find_node(api, json_str_or(pod, "spec.nodeName", ""), &node, p);

        return r < 0 ? r : node_target_of_node(api, node, ret, p);
}

int node_target_of_node(
                struct api *api, const json_t *node, struct node_target *ret, struct problem *p) {
        _cleanup_(node_target_done) struct node_target t = {0};
        int r = fill(&t, api, node, p);

        if (r < 0)
                return r;
        *ret = t;
        t = (struct node_target){0};
        return 0;
}

int node_target_open(const struct node_target *t, struct ssh_conn **ret, struct problem *p) {
        return ssh_conn_open(ret,
                        &(struct ssh_target){.host = t->host,
                                        .port = t->port,
                                        .user = t->user,
                                        .identity_file = t->key_file,
                                        .host_key = t->host_key,
                                        .timeout_s = CONNECT_S},
                        p);
}

int pod_choose_container(const json_t *pod, const char *wanted, enum container_default otherwise,
                const char **ret, struct problem *p) {
        static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers"};
        const json_t *containers = json_at(pod, "spec.containers"), *v;
        _cleanup_buf_ struct buf names = {0};
        size_t i;

        for (size_t l = 0; !isempty(wanted) && l < ELEMENTS(lists); l++)
                if ((v = json_named(json_get(pod, "spec", lists[l], NULL), wanted))) {
                        *ret = json_str_or(v, "name", "");
                        return 0;
                }
        if (!isempty(wanted))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "container %.128s is not valid for pod %s", wanted,
                                object_name(pod));
        if (json_array_size(containers) == 1 ||
                        (otherwise == CONTAINER_FIRST && json_array_size(containers) > 0)) {
                *ret = json_str_or(json_array_get(containers, 0), "name", "");
                return 0;
        }
        json_array_foreach (containers, i, v)
                buf_printf(&names, "%s%s", i ? " " : "", json_str_or(v, "name", ""));
        return problem_set(p, EINVAL, 400, "BadRequest",
                        "a container name must be specified for pod %s, choose one of: [%s]",
                        object_name(pod), names.failed ? "" : names.data);
}
