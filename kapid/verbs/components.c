/* ComponentStatuses, made for each request: the store by its connection, the scheduler and the
 * controllers by the leases that they renew. Kubernetes asks addresses of its own machine instead;
 * the programs of keelson may be on other ones. */
#include "kapid/verbs/components.h"

#include "kapid/verbs/selection.h"
#include "kapid/verbs/verbs.h"
#include "lib/daemon.h"
#include "lib/object.h"
#include "lib/timefmt.h"

/* Clocks of machines differ, and a renewal takes its time to arrive. */
enum { SLACK_S = 15, LEASE_S = 15 };

int component_lease_trouble(
                const json_t *lease, const char *program, uint64_t now_us, char **ret) {
        const char *holder = json_str_or(lease, "spec.holderIdentity", ""),
                   *renewed = json_str_or(lease, "spec.renewTime", "");
        int64_t seconds = json_int_or(lease, "spec.leaseDurationSeconds", LEASE_S);
        uint64_t at, allowed_us = ((uint64_t)MAX(seconds, INT64_C(0)) + SLACK_S) * 1000000;

        if (!lease || !*holder) {
                *ret = strformat("no %s has the lease kube-system/%s; see `systemctl status %s` on "
                                 "the machines of the control plane",
                                program, program, program);
                return *ret ? 0 : -ENOMEM;
        }
        if (time_parse(renewed, &at) >= 0 && at + allowed_us > now_us) {
                *ret = NULL;
                return 0;
        }
        *ret = strformat("%s has not renewed the lease kube-system/%s since %s; see `systemctl "
                         "status %s` on its machine",
                        holder, program, *renewed ? renewed : "it took it", program);
        return *ret ? 0 : -ENOMEM;
}

json_t *component_status(const char *name, const char *trouble) {
        json_t *condition =
                        trouble ? json_pack("{ss, ss, ss}", "type", "Healthy", "status", "False",
                                                  "error", trouble)
                                : json_pack("{ss, ss, ss}", "type", "Healthy", "status", "True",
                                                  "message", "ok");

        return json_pack("{ss, ss, s{ss}, s[o]}", "kind", "ComponentStatus", "apiVersion", "v1",
                        "metadata", "name", name, "conditions", condition);
}

static int add_program(
                struct request *request, json_t *all, const char *name, const char *program) {
        struct item *it = api_find(
                        request->api, "coordination.k8s.io", "leases", "kube-system", program);
        _cleanup_json_ json_t *lease = it ? item_object(it) : NULL;
        _cleanup_free_ char *trouble = NULL;
        int r;

        if (it && !lease)
                return -ENOMEM;
        r = component_lease_trouble(lease, program, request->now_us, &trouble);
        if (r < 0)
                return r;
        return json_array_append_new(all, component_status(name, trouble)) < 0 ? -ENOMEM : 0;
}

/* As Kubernetes names and sorts them. */
static int make_all(struct request *request, json_t *all) {
        const char *why = NULL;
        int r = add_program(request, all, "controller-manager", "kreconciled");

        if (r < 0)
                return r;
        r = add_program(request, all, "scheduler", "kschedd");
        if (r < 0)
                return r;
        (void)daemon_is_ready(request->api->daemon, &why);
        return json_array_append_new(all, component_status("etcd-0", why)) < 0 ? -ENOMEM : 0;
}

static bool is_selected(const struct request *request, const struct selection *s, const json_t *v) {
        if (s->labels && !label_selector_matches(s->labels, NULL))
                return false;
        return !s->fields || kind_field_selector_matches(request->kind, s->fields, v);
}

/* An empty list in the form of the answer. */
static json_t *empty_list(const struct request *request) {
        if (request->form == FORM_TABLE)
                return table_new(request->kind, request->form_version, NULL, true);
        if (request->form == FORM_PARTIAL)
                return json_pack("{ss, so, s{}, s[]}", "kind", "PartialObjectMetadataList",
                                "apiVersion",
                                json_sprintf("meta.k8s.io/%s", request->form_version), "metadata",
                                "items");
        return json_pack("{ss, ss, s{}, s[]}", "kind", request->kind->list_kind, "apiVersion",
                        request->kind->api_version, "metadata", "items");
}

static int add_item(struct request *request, json_t *list, json_t *v) {
        json_t *item;

        if (request->form == FORM_TABLE)
                return table_add_row(list, request->kind, v, request->include, request->now_us);
        item = request->form == FORM_PARTIAL ? partial_metadata(v, request->form_version)
                                             : json_incref(v);
        return json_array_append_new(json_object_get(list, "items"), item) < 0 ? -ENOMEM : 0;
}

static int list_all(struct request *request, const json_t *all, struct problem *p) {
        _cleanup_(selection_done) struct selection s = {0};
        _cleanup_json_ json_t *list = NULL;
        json_t *v;
        size_t i;
        int r = selection_parse(request, &s, p);

        if (r < 0)
                return r;
        list = empty_list(request);
        if (!list)
                return -ENOMEM;
        json_array_foreach (all, i, v) {
                if (!is_selected(request, &s, v))
                        continue;
                r = add_item(request, list, v);
                if (r < 0)
                        return r;
        }
        respond_json(request, 200, list);
        return 0;
}

static int get_one(struct request *request, const json_t *all, struct problem *p) {
        json_t *v;
        size_t i;

        json_array_foreach (all, i, v)
                if (streq(object_name(v), request->route.name)) {
                        respond_object(request, 200, v);
                        return 0;
                }
        return problem_not_found(p, request->kind, request->route.name);
}

void verb_components(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *all = json_array();
        int r = all ? make_all(request, all) : -ENOMEM;

        if (r < 0) {
                respond_errno(request, r);
                return;
        }
        r = isempty(request->route.name) ? list_all(request, all, &p) : get_one(request, all, &p);
        if (r < 0)
                respond_error(request, r, &p);
}
