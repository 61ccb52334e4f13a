/* PodNodeNameRestriction: a pod that names its node at creation goes past the scheduler, and so
 * past taints. A user without the right to create pods/binding may name only an existing node
 * whose taints the pod tolerates. A controller may bind pods, but the template that it makes pods
 * of is another user's. */
#include "kapid/admission/plugins.h"
#include "kapid/cache/item.h"
#include "lib/object.h"
#include "lib/taints.h"

static int refuse(struct admission *a, const char *node, const char *why, struct problem *p) {
        return admission_forbidden(a, p,
                        "spec.nodeName names the node \"%s\", %s; leave spec.nodeName out so that "
                        "the scheduler finds one (choosing freely needs the right to create "
                        "pods/binding)",
                        node, why);
}

static bool may_bind(const struct admission *a) {
        return admission_may(a, &(struct admission_right){.verb = "create",
                                                .resource = "pods",
                                                .subresource = "binding",
                                                .namespace = a->namespace,
                                                .name = a->name});
}

static int check_node_name(struct admission *a, struct problem *p) {
        const char *name = json_str_or(a->object, "spec.nodeName", "");
        _cleanup_json_ json_t *node = NULL;
        _cleanup_free_ char *why = NULL;
        const json_t *taint;
        struct item *it;

        if (isempty(name) || (!object_controller_ref(a->object) && may_bind(a)))
                return 0;
        it = admission_find(a, "", "nodes", "", name);
        if (!it)
                return refuse(a, name, "which is not there", p);
        node = item_object(it);
        if (!node)
                return -ENOMEM;
        taint = taint_not_tolerated(
                        json_at(node, "spec.taints"), json_at(a->object, "spec.tolerations"));
        if (!taint)
                return 0;
        why = strformat("whose taint %s%s%s:%s the pod does not tolerate",
                        json_str_or(taint, "key", ""), json_str(taint, "value") ? "=" : "",
                        json_str_or(taint, "value", ""), json_str_or(taint, "effect", ""));
        return why ? refuse(a, name, why, p) : -ENOMEM;
}

static const struct admission_rule rules[] = {
                {.group = "",
                                .plural = "pods",
                                .operations = ADMIT_CREATE,
                                .validate = check_node_name},
                {0},
};

const struct admission_plugin admission_node_name = {.safeguard = true, .rules = rules};
