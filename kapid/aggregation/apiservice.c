/* Reads and decides; caches, store and network are the others'. The words of reasons and messages
 * are those of Kubernetes' available_controller. */
#include "kapid/aggregation/apiservice.h"

#include <stdarg.h>

#include "kapid/kinds/crd-names.h"
#include "kapid/webhooks/service-port.h"
#include "lib/object.h"

enum { PRIORITY_CUSTOM_GROUP = 1000, PRIORITY_CUSTOM_VERSION = 100 };

char *apiservice_name(const char *group, const char *version) {
        return strformat("%s.%s", version, group);
}

void apiservice_done(struct apiservice *s) {
        free(s->name);
        free(s->group);
        free(s->version);
        free(s->uid);
        webhook_target_done(&s->target);
        *s = (struct apiservice){0};
}

/* webhook_target_read() takes the form of a clientConfig. */
static int read_target(const json_t *spec, struct webhook_target *ret) {
        json_t *service = json_object_get(spec, "service"),
               *bundle = json_object_get(spec, "caBundle");
        _cleanup_json_ json_t *config = json_pack("{s:O}", "service", service);

        if (!config || (bundle && json_object_set(config, "caBundle", bundle) < 0))
                return -ENOMEM;
        return webhook_target_read(config, ret);
}

int apiservice_read(const json_t *object, struct apiservice *ret) {
        const json_t *spec = json_object_get(object, "spec");
        _cleanup_apiservice_ struct apiservice s = {.name = strdup(object_name(object)),
                        .group = strdup(json_str_or(spec, "group", "")),
                        .version = strdup(json_str_or(spec, "version", "")),
                        .uid = strdup(object_uid(object)),
                        .local = !json_is_object(json_object_get(spec, "service")),
                        .insecure = json_bool_or(spec, "insecureSkipTLSVerify", false),
                        .group_priority = json_int_or(spec, "groupPriorityMinimum", 0),
                        .version_priority = json_int_or(spec, "versionPriority", 0)};
        _cleanup_free_ char *name = NULL;
        int r;

        if (!s.name || !s.group || !s.version || !s.uid)
                return -ENOMEM;
        name = apiservice_name(s.group, s.version);
        if (!name)
                return -ENOMEM;
        if (!streq(name, s.name) || isempty(s.version) || (isempty(s.group) && !s.local))
                return -EINVAL;
        if (!s.local) {
                r = read_target(spec, &s.target);
                if (r < 0)
                        return r;
        }
        *ret = s;
        s = (struct apiservice){0};
        return 0;
}

bool apiservice_may_replace(const struct kind_registry *r, const char *group, const char *version) {
        const struct kind *k;

        for (size_t i = 0; (k = kind_registry_at(r, i)); i++)
                if (!k->custom && streq(k->group, group) && streq(k->version, version))
                        return streq(group, "metrics.k8s.io");
        return true;
}

/* --- what kapid serves itself --- */

/* Kubernetes' table (apiVersionPriorities); groups of our own behind it. */
static const struct {
        const char *group;
        int64_t priority;
} groups[] = {
                {"", 18000},
                {"events.k8s.io", 17750},
                {"apps", 17800},
                {"authentication.k8s.io", 17700},
                {"authorization.k8s.io", 17600},
                {"autoscaling", 17500},
                {"batch", 17400},
                {"certificates.k8s.io", 17300},
                {"networking.k8s.io", 17200},
                {"extensions", 17150},
                {"policy", 17100},
                {"rbac.authorization.k8s.io", 17000},
                {"storage.k8s.io", 16800},
                {"apiextensions.k8s.io", 16700},
                {"admissionregistration.k8s.io", 16700},
                {"scheduling.k8s.io", 16600},
                {"coordination.k8s.io", 16500},
                {"discovery.k8s.io", 16200},
                {"apiregistration.k8s.io", 18000},
};

/* "v2" before "v1" before "v1beta2" before "v1alpha1". */
static int64_t version_priority(const char *version) {
        unsigned major = 0, minor = 0;
        int64_t base = 15;

        if (sscanf(version, "v%3u", &major) != 1)
                return 1;
        if (sscanf(version, "v%3ubeta%3u", &major, &minor) == 2)
                base = 9;
        else if (sscanf(version, "v%3ualpha%3u", &major, &minor) == 2)
                base = 1;
        return MIN(base + (int64_t)(base == 15 ? major : minor), (int64_t)PRIORITY_CUSTOM_VERSION);
}

void apiservice_priorities(const char *group, const char *version, bool custom, int64_t *ret_group,
                int64_t *ret_version) {
        *ret_group = custom ? PRIORITY_CUSTOM_GROUP : 16000;
        *ret_version = custom ? PRIORITY_CUSTOM_VERSION : version_priority(version);
        if (streq(group, "metrics.k8s.io"))
                *ret_group = 100; /* as metrics-server has */
        for (size_t i = 0; i < ELEMENTS(groups) && !custom; i++)
                if (streq(groups[i].group, group))
                        *ret_group = groups[i].priority;
}

static json_t *local_object(const char *group, const char *version, bool custom) {
        _cleanup_free_ char *name = apiservice_name(group, version);
        int64_t of_group, of_version;

        apiservice_priorities(group, version, custom, &of_group, &of_version);
        return json_pack("{s:s, s:s, s:{s:s, s:{s:s}}, s:{s:s, s:s, s:I, s:I}}", "apiVersion",
                        "apiregistration.k8s.io/v1", "kind", "APIService", "metadata", "name",
                        strempty(name), "labels", APISERVICE_AUTOMANAGED,
                        custom ? APISERVICE_FOLLOWS : APISERVICE_ON_START, "spec", "group", group,
                        "version", version, "groupPriorityMinimum", (json_int_t)of_group,
                        "versionPriority", (json_int_t)of_version);
}

/* The live object with the spec of a local one; it keeps everything else. */
static int reset_object(const json_t *live, const json_t *local, json_t **ret) {
        _cleanup_json_ json_t *copy = json_tree_copy(live);

        if (!copy || json_object_set(copy, "spec", json_object_get(local, "spec")) < 0)
                return -ENOMEM;
        json_del_at(copy, "metadata.resourceVersion");
        *ret = TAKE_PTR(copy);
        return 0;
}

int apiservice_decide(const json_t *live, const char *group, const char *version,
                enum apiservice_wish wish, enum apiservice_action *ret_action, json_t **ret) {
        const char *managed = object_label(live, APISERVICE_AUTOMANAGED);
        const bool remote = live && json_is_object(json_at(live, "spec.service"));
        _cleanup_json_ json_t *local = NULL;

        *ret_action = APISERVICE_KEEP;
        if (wish == APISERVICE_UNWANTED) {
                if (live && managed && !remote && !object_is_deleting(live))
                        *ret_action = APISERVICE_DELETE;
                return 0;
        }
        if (live && (object_is_deleting(live) || !remote))
                return 0;
        /* Somebody's own takes a definition's place, and never that of a built-in group. */
        if (live && wish == APISERVICE_CUSTOM && !managed)
                return 0;
        local = local_object(group, version, wish == APISERVICE_CUSTOM);
        if (!local)
                return -ENOMEM;
        *ret_action = APISERVICE_WRITE;
        if (live)
                return reset_object(live, local, ret);
        *ret = TAKE_PTR(local);
        return 0;
}

/* --- availability --- */

void availability_done(struct availability *a) {
        free(a->message);
        *a = (struct availability){0};
}

int availability_set(struct availability *a, const char *status, const char *reason,
                const char *fmt, ...) {
        char text[1024];
        char *copy;
        va_list args;

        va_start(args, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        text[utf8_clean(text, strlen(text))] = 0;
        copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        free(a->message);
        *a = (struct availability){.status = status, .reason = reason, .message = copy};
        return 0;
}

int availability_of_service(const struct apiservice *s, const json_t *service,
                const json_t *endpoints, struct availability *ret) {
        const struct webhook_target *t = &s->target;
        _cleanup_strv_free_ char **addresses = NULL;
        const json_t *port;
        int r;

        if (!service)
                return availability_set(ret, "False", "ServiceNotFound",
                                "service/%s in \"%s\" is not present", t->service, t->namespace);
        if (streq(json_str_or(service, "spec.type", ""), "ExternalName"))
                return 1;
        port = service_port_find(service, t->port);
        if (!port)
                return availability_set(ret, "False", "ServicePortError",
                                "service/%s in \"%s\" is not listening on port %lld", t->service,
                                t->namespace, (long long)t->port);
        if (!endpoints)
                return availability_set(ret, "False", "EndpointsNotFound",
                                "cannot find endpoints for service/%s in \"%s\"", t->service,
                                t->namespace);
        r = webhook_addresses(endpoints, json_str_or(port, "name", ""), &addresses);
        if (r < 0)
                return r;
        if (strv_length(addresses) > 0)
                return 1;
        return availability_set(ret, "False", "MissingEndpoints",
                        "endpoints for service/%s in \"%s\" have no addresses with port name "
                        "\"%s\"",
                        t->service, t->namespace, json_str_or(port, "name", ""));
}

int availability_apply(
                const json_t *object, const struct availability *a, uint64_t now_us, json_t **ret) {
        _cleanup_json_ json_t *copy = json_tree_copy(object);
        int r = copy ? crd_set_condition(copy, "Available", a->status, a->reason,
                                       strempty(a->message), now_us)
                     : -ENOMEM;

        if (r < 0)
                return r;
        if (json_same(json_get(copy, "status", "conditions", NULL),
                            json_get(object, "status", "conditions", NULL))) {
                *ret = NULL;
                return 0;
        }
        json_del_at(copy, "metadata.resourceVersion");
        *ret = TAKE_PTR(copy);
        return 0;
}
