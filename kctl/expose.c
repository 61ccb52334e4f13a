/* kctl expose: a Service for the pods of a workload, for a pod, or for those of another Service. */
#include "kctl/create/create.h"
#include "lib/object.h"

/* The labels by which the exposed object finds its pods; borrowed. */
static const json_t *selector_of(const json_t *o, const struct kind_ref *kind, struct problem *p) {
        const json_t *s = json_at(o, "spec.selector"), *labels = json_object_get(s, "matchLabels");

        if (streq(kind->resource.kind, "Pod"))
                s = labels = json_at(o, "metadata.labels");
        else if (json_array_size(json_object_get(s, "matchExpressions")) > 0) {
                problem_set(p, EINVAL, 0, NULL,
                                "the selector of %s \"%s\" has matchExpressions, which a Service "
                                "cannot have; give --selector",
                                kind->singular, object_name(o));
                return NULL;
        } else if (!labels)
                labels = s;
        if (json_object_size(labels) > 0)
                return labels;
        problem_set(p, EINVAL, 0, NULL,
                        "%s \"%s\" has no labels by which its pods are found; give --selector",
                        kind->singular, object_name(o));
        return NULL;
}

/* Ports of the containers, or of the Service, as [{port, protocol}]. */
static int ports_found(const json_t *o, const struct kind_ref *kind, json_t *ports) {
        const char *template = kind->facts ? kind->facts->pod_template : NULL;
        const json_t *spec = json_at(o, "spec"), *containers, *c, *port;
        size_t i, j;

        if (template && *template)
                spec = json_object_get(json_at(o, template), "spec");
        containers = json_object_get(spec, "containers");
        json_array_foreach (containers, i, c)
                json_array_foreach (json_object_get(c, "ports"), j, port)
                        if (json_array_append_new(ports,
                                            json_pack("{s:I, s:s}", "port",
                                                            (json_int_t)json_int_or(port,
                                                                            "containerPort", 0),
                                                            "protocol",
                                                            json_str_or(port, "protocol", "TCP"))) <
                                        0)
                                return -ENOMEM;
        if (!streq(kind->resource.kind, "Service"))
                return 0;
        json_array_foreach (json_object_get(spec, "ports"), j, port)
                if (json_array_append_new(ports,
                                    json_pack("{s:I, s:s}", "port",
                                                    (json_int_t)json_int_or(port, "port", 0),
                                                    "protocol",
                                                    json_str_or(port, "protocol", "TCP"))) < 0)
                        return -ENOMEM;
        return 0;
}

/* Those of --port ("80,443"), with the protocol that the containers have there. */
static int ports_given(const char *text, const json_t *found, json_t *ports, struct problem *p) {
        _cleanup_strv_free_ char **words = NULL;
        const json_t *known;
        size_t i;

        if (strv_split(text, ",", &words) < 0)
                return -ENOMEM;
        for (char **w = words; w && *w; w++) {
                const char *protocol = "TCP";
                int64_t port;
                int r = number_read(*w, "--port", 1, &port, p);

                if (r < 0)
                        return r;
                json_array_foreach (found, i, known)
                        if (json_int_or(known, "port", 0) == port)
                                protocol = json_str_or(known, "protocol", "TCP");
                if (json_array_append_new(ports, json_pack("{s:I, s:s}", "port", (json_int_t)port,
                                                                 "protocol", protocol)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int ports_of(struct kctl *k, const json_t *o, const struct kind_ref *kind, json_t *ports,
                struct problem *p) {
        _cleanup_json_ json_t *found = json_array();
        json_t *port;
        size_t i;
        int r = found ? ports_found(o, kind, found) : -ENOMEM;

        if (r < 0)
                return r;
        if (k->flags.container_port) {
                r = ports_given(k->flags.container_port, found, ports, p);
                if (r < 0)
                        return r;
        } else
                json_array_extend(ports, found);
        if (json_array_size(ports) == 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "the containers of %s \"%s\" name no port; give --port",
                                kind->singular, object_name(o));
        json_array_foreach (ports, i, port) {
                _cleanup_free_ char *name = strformat("port-%zu", i + 1);

                if (json_array_size(ports) > 1)
                        json_set_str(port, "name", strempty(name));
                if (k->flags.protocol)
                        json_set_str(port, "protocol", k->flags.protocol);
                json_set_at(port, "targetPort",
                                k->flags.target_port ? number_or_text(k->flags.target_port)
                                                     : json_ref(json_object_get(port, "port")));
        }
        return 0;
}

/* Labels from a flag, "a=b,c=d"; a new reference, NULL with p. */
static json_t *labels_of_flag(const char *text, const char *flag, struct problem *p) {
        _cleanup_strv_free_ char **pairs = NULL;
        _cleanup_json_ json_t *labels = json_object();

        if (!labels || strv_split(text, ",", &pairs) < 0 || pairs_read(pairs, flag, labels, p) < 0)
                return NULL;
        return TAKE_PTR(labels);
}

static int add_selector(struct kctl *k, const json_t *o, const struct kind_ref *kind,
                json_t *service, struct problem *p) {
        json_t *selector = k->flags.selector ? labels_of_flag(k->flags.selector, "--selector", p)
                                             : json_ref(selector_of(o, kind, p)),
               *labels = k->flags.labels ? labels_of_flag(k->flags.labels, "--labels", p)
                                         : json_ref(json_at(o, "metadata.labels"));

        if (!selector || (k->flags.labels && !labels)) {
                json_decref(selector);
                json_decref(labels);
                return -EINVAL;
        }
        if (json_object_size(labels) > 0)
                json_set_at(service, "metadata.labels", labels);
        else
                json_decref(labels);
        return json_set_at(service, "spec.selector", selector);
}

static int service_of(struct kctl *k, const json_t *o, const struct kind_ref *kind, json_t **ret,
                struct problem *p) {
        const struct kctl_flags *f = &k->flags;
        const struct {
                const char *path, *value;
        } plain[] = {{"type", f->type}, {"sessionAffinity", f->session_affinity},
                        {"loadBalancerIP", f->load_balancer_ip}, {"clusterIP", f->cluster_address}};
        _cleanup_json_ json_t *service =
                        object_new(KIND_SERVICES, f->object_name ? f->object_name : object_name(o));
        json_t *ports = json_array(), *spec;
        int r = json_set_at(service, "spec.ports", ports);

        if (r < 0)
                return r;
        r = ports_of(k, o, kind, ports, p);
        if (r < 0)
                return r;
        r = add_selector(k, o, kind, service, p);
        if (r < 0)
                return r;
        spec = json_object_get(service, "spec");
        for (size_t i = 0; i < ELEMENTS(plain); i++)
                if (!isempty(plain[i].value) &&
                                json_set_str(spec, plain[i].path, plain[i].value) < 0)
                        return -ENOMEM;
        if (!isempty(f->external_ip))
                json_set_at(spec, "externalIPs", json_pack("[s]", f->external_ip));
        *ret = TAKE_PTR(service);
        return 0;
}

static int expose_one(struct kctl *k, const struct target *t, struct problem *p) {
        _cleanup_free_ char *path = target_path(t, /* subresource= */ NULL, /* query= */ NULL);
        struct kind_ref kind = kind_ref_of(KIND_SERVICES);
        _cleanup_json_ json_t *o = NULL, *service = NULL;
        int r = path ? api_get(k->client, path, &o, p) : -ENOMEM;

        if (r < 0)
                return r;
        if (!json_at(o, "spec.selector") && !streq(t->kind.resource.kind, "Pod"))
                return problem_set(p, EINVAL, 0, NULL,
                                "a %s has no pods; pods, services, deployments, replicasets and "
                                "replicationcontrollers can be exposed",
                                t->kind.singular);
        r = service_of(k, o, &t->kind, &service, p);
        if (r < 0)
                return r;
        if (t->ns && !streq(t->ns, kctl_namespace(k)))
                json_set_str(service, "metadata.namespace", t->ns);
        return object_create(k, &kind, service, "exposed", /* ret_made= */ NULL, p);
}

int kctl_expose(struct kctl *k) {
        return targets_each_named(k, "expose", expose_one);
}
