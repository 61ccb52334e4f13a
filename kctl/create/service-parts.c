/* The part of a Service that the four generators of them share. */
#include "kctl/create/create.h"

/* "80" or "80:http" as a port; its name is the text itself. */
static int add_port(const char *text, json_t *ports, struct problem *p) {
        const char *colon = strchr(text, ':'), *target = colon ? colon + 1 : text;
        _cleanup_free_ char *number = strndup(text, strcspn(text, ":")), *name = strdup(text);
        int64_t port;
        int r;

        if (!number || !name)
                return -ENOMEM;
        r = number_read(number, "--tcp", 0, &port, p);
        if (r < 0 || !*target)
                return problem_set(p, EINVAL, 0, NULL, "--tcp %s is not PORT or PORT:TARGET", text);
        if (colon)
                name[colon - text] = '-';
        return json_array_append_new(ports,
                               json_pack("{s:s, s:I, s:s, s:o}", "name", name, "port",
                                               (json_int_t)port, "protocol", "TCP", "targetPort",
                                               number_or_text(target))) < 0
                               ? -ENOMEM
                               : 0;
}

int service_build(struct kctl *k, json_t *object, const char *type, struct problem *p) {
        _cleanup_json_ json_t *labels = json_pack("{s:s}", "app", k->words[0]),
                              *ports = json_array();
        int r;

        for (char **tcp = k->flags.tcp; tcp && *tcp; tcp++) {
                r = add_port(*tcp, ports, p);
                if (r < 0)
                        return r;
        }
        r = json_set_at(object, "metadata.labels", json_ref(labels));
        if (r < 0)
                return r;
        return json_set_at(object, "spec",
                        json_pack("{s:s, s:O, s:O*}", "type", type, "selector", labels, "ports",
                                        json_array_size(ports) > 0 ? ports : NULL));
}
