/* Garbage collection by owner references; names are uids. An object is deleted when every owner it
 * names is gone; each owner is first read from the API, by uid, because the graph is only a cache.
 * Kind, name, namespace and uid of the reference must all match; a uid of another object counts as
 * absent. An object is deleted as it was seen: one that has changed since may have another owner
 * now, and is looked at again. Deleting in the foreground waits for dependents that block it;
 * orphaning removes their references first. The rules are those of the page "Garbage Collection" of
 * the Kubernetes documentation. */
#include "lib/object.h"
#include "reconcilers/controller.h"
#include "reconcilers/graph.h"

#define FOREGROUND "foregroundDeletion"
#define ORPHAN "orphan"

enum { DEPENDENTS_PER_ROUND_MAX = 500 };

static bool waits_for_dependents(const struct graph_node *n) {
        return n && n->object && object_is_deleting(n->object) &&
               object_has_finalizer(n->object, FOREGROUND);
}

static json_t *refs_without(const json_t *object, bool (*drop)(const json_t *ref, const void *data),
                const void *data) {
        json_t *kept = json_array(), *ref;
        size_t i;

        json_array_foreach (json_at(object, "metadata.ownerReferences"), i, ref)
                if (!drop(ref, data))
                        json_array_append(kept, ref);
        return kept;
}

static void patch_refs(struct actions *a, const struct graph_node *n, json_t *refs) {
        action_patch_resource(a, n->resource, n->object,
                        json_pack("{s:{s:o}}", "metadata", "ownerReferences", refs));
}

static void drop_finalizer(struct actions *a, const struct graph_node *n, const char *name) {
        json_t *kept = json_array(), *f;
        size_t i;

        json_array_foreach (json_at(n->object, "metadata.finalizers"), i, f)
                if (!streq_ptr(json_string_value(f), name))
                        json_array_append(kept, f);
        action_patch_resource(a, n->resource, n->object,
                        json_pack("{s:{s:o}}", "metadata", "finalizers", kept));
}

static bool ref_has_uid(const json_t *ref, const void *uid) {
        return streq(json_str_or(ref, "uid", ""), uid);
}

/* Whether the object names one of that kind and uid as an owner. What an extension server lists may
 * claim the uid of another kind's object that was not listed yet; our own kinds do not lie. */
static bool names_owner(const json_t *object, const struct graph_node *owner) {
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];
        const json_t *ref;
        size_t i;

        if (owner->resource == api_resource_find(owner->resource->plural))
                return true;
        json_array_foreach (json_at(object, "metadata.ownerReferences"), i, ref)
                if (ref_has_uid(ref, owner->uid) &&
                                streq(json_str_or(ref, "kind", ""), owner->resource->kind) &&
                                object_split_api_version(json_str_or(ref, "apiVersion", ""), group,
                                                version) >= 0 &&
                                streq(group, owner->resource->group))
                        return true;
        return false;
}

static void orphan_dependents(struct actions *a, const struct graph_node *n) {
        for (size_t i = 0; i < n->count && a->count < DEPENDENTS_PER_ROUND_MAX; i++)
                if (n->dependents[i]->object && names_owner(n->dependents[i]->object, n))
                        patch_refs(a, n->dependents[i],
                                        refs_without(n->dependents[i]->object, ref_has_uid,
                                                        n->uid));
        if (a->count == 0)
                drop_finalizer(a, n, ORPHAN);
}

/* The reference of `dependent` to `owner`, or NULL. */
static const json_t *reference_to(const struct graph *g, const struct graph_node *dependent,
                const struct graph_node *owner) {
        const json_t *ref;
        size_t i;

        json_array_foreach (json_at(dependent->object, "metadata.ownerReferences"), i, ref)
                if (graph_owner(g, ref, dependent->object) == owner)
                        return ref;
        return NULL;
}

/* Whether there is an owner that is not itself waiting for its dependents to be deleted. */
static bool has_solid_owner(const struct graph *g, const struct graph_node *n) {
        const json_t *ref;
        size_t i;

        json_array_foreach (json_at(n->object, "metadata.ownerReferences"), i, ref) {
                const struct graph_node *owner = graph_owner(g, ref, n->object);

                if (owner && !waits_for_dependents(owner))
                        return true;
        }
        return false;
}

static void delete_dependents(
                const struct graph *g, struct actions *a, const struct graph_node *n) {
        bool blocked = false;

        for (size_t i = 0; i < n->count && a->count < DEPENDENTS_PER_ROUND_MAX; i++) {
                const struct graph_node *d = n->dependents[i];
                const json_t *ref = reference_to(g, d, n);

                if (!ref)
                        continue;
                blocked |= json_bool_or(ref, "blockOwnerDeletion", false);
                if (has_solid_owner(g, d))
                        patch_refs(a, d, refs_without(d->object, ref_has_uid, n->uid));
                else if (!object_is_deleting(d->object))
                        action_delete_seen(a, d->resource, d->object,
                                        d->count > 0 ? "Foreground" : "Background");
        }
        if (!blocked)
                drop_finalizer(a, n, FOREGROUND);
}

struct owner_search {
        const struct graph *graph;
        const json_t *dependent;
        size_t dangling;
};

static bool ref_is_dangling(const json_t *ref, const void *data) {
        const struct owner_search *o = data;

        return !graph_owner(o->graph, ref, o->dependent);
}

/* An Event reports references across namespaces: they are mistakes. */
static void report_owners_elsewhere(
                const struct graph *g, const struct graph_node *n, struct actions *a) {
        const char *ns = object_namespace(n->object);
        const json_t *ref;
        size_t i;

        json_array_foreach (json_at(n->object, "metadata.ownerReferences"), i, ref)
                if (graph_owner_is_elsewhere(g, ref, n->object))
                        action_event(a, n->object, "Warning", "OwnerRefInvalidNamespace",
                                        "ownerRef [%s/%s, namespace: %s, name: %s, uid: %s] does "
                                        "not exist in namespace \"%s\"",
                                        json_str_or(ref, "apiVersion", ""),
                                        json_str_or(ref, "kind", ""), ns,
                                        json_str_or(ref, "name", ""), json_str_or(ref, "uid", ""),
                                        ns);
}

/* Reads every owner that the graph does not know from the API. False when one cannot be read
 * because its kind is not served (perhaps not yet): nothing is deleted on a guess. */
static bool guard_dangling(const struct world *w, const struct owner_search *o,
                const struct graph_node *n, struct actions *a) {
        const json_t *ref;
        size_t i;

        json_array_foreach (json_at(n->object, "metadata.ownerReferences"), i, ref) {
                const struct api_resource *r;

                if (!ref_is_dangling(ref, o))
                        continue;
                r = catalogue_find(w->catalogue, json_str_or(ref, "apiVersion", ""),
                                json_str_or(ref, "kind", ""));
                if (!r || (r->namespaced && !*object_namespace(n->object)))
                        return false;
                action_guard_absent(a, r, r->namespaced ? object_namespace(n->object) : NULL,
                                json_str_or(ref, "name", ""), json_str_or(ref, "uid", ""));
        }
        return true;
}

static void gc_plan(const struct world *w, const char *uid, struct actions *a) {
        const struct graph_node *n = graph_get(w->graph, uid);
        struct owner_search owners = {.graph = w->graph};
        const json_t *ref;
        size_t i;

        if (!n || !n->object)
                return;
        owners.dependent = n->object;
        if (object_is_deleting(n->object)) {
                if (object_has_finalizer(n->object, ORPHAN))
                        orphan_dependents(a, n);
                else if (object_has_finalizer(n->object, FOREGROUND))
                        delete_dependents(w->graph, a, n);
                return;
        }
        json_array_foreach (json_at(n->object, "metadata.ownerReferences"), i, ref)
                owners.dangling += ref_is_dangling(ref, &owners);
        if (owners.dangling == 0)
                return;
        if (!guard_dangling(w, &owners, n, a)) {
                actions_done(a);
                report_owners_elsewhere(w->graph, n, a);
                return;
        }
        report_owners_elsewhere(w->graph, n, a);
        if (owners.dangling < json_array_size(json_at(n->object, "metadata.ownerReferences")))
                patch_refs(a, n, refs_without(n->object, ref_is_dangling, &owners));
        else
                action_delete_seen(a, n->resource, n->object,
                                object_has_finalizer(n->object, ORPHAN)       ? "Orphan"
                                : object_has_finalizer(n->object, FOREGROUND) ? "Foreground"
                                                                              : "Background");
}

const struct controller gc_controller = {
                .name = "gc",
                .primary = WORLD_KINDS_MAX,
                .plan = gc_plan,
};
