/* A pod that names its node at creation goes past the scheduler, and so past taints. Who may not
 * bind pods (create pods/binding) may name only a node that is there and whose taints the pod
 * tolerates. A controller may bind pods, but the template that it makes pods of is somebody else's.
 */
#include "kapid/admission/plugins.h"
#include "kapid/admission/tolerations.h"
#include "lib/object.h"

static int refuse(struct write *w, const char *node, const char *why, struct problem *p) {
        _cleanup_free_ char *text = strformat(
                        "spec.nodeName names the node \"%s\", %s; leave spec.nodeName out so that "
                        "the scheduler finds one (choosing freely needs the right to create "
                        "pods/binding)",
                        node, why);

        return text ? admission_forbidden(w, p, text) : -ENOMEM;
}

int validate_node_name(
                struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        const char *name = json_str_or(object, "spec.nodeName", "");
        struct access access = {.user = &w->request->user,
                        .verb = "create",
                        .group = "",
                        .version = "v1",
                        .resource = "pods",
                        .subresource = "binding",
                        .namespace = w->namespace,
                        .name = w->name};
        _cleanup_json_ json_t *node = NULL;
        _cleanup_free_ char *why = NULL;
        const json_t *taint;
        struct item *it;

        if (!admission_is_kind(w, "", "pods") || live || isempty(name) ||
                        (!object_controller_ref(object) && authorize(w->request->api, &access)))
                return 0;
        it = admission_find(w->request->api, "/registry/nodes/", name);
        if (!it)
                return refuse(w, name, "which is not there", p);
        node = item_object(it);
        if (!node)
                return -ENOMEM;
        taint = taint_not_tolerated(
                        json_at(node, "spec.taints"), json_at(object, "spec.tolerations"));
        if (!taint)
                return 0;
        why = strformat("whose taint %s%s%s:%s the pod does not tolerate",
                        json_str_or(taint, "key", ""), json_str(taint, "value") ? "=" : "",
                        json_str_or(taint, "value", ""), json_str_or(taint, "effect", ""));
        return why ? refuse(w, name, why, p) : -ENOMEM;
}
