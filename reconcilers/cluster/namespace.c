/* Terminating namespaces: everything in them is deleted, whatever its kind, also what extension
 * servers have. When the API itself lists nothing of any kind, the namespace's own finalizer is
 * removed. Until then the conditions of the namespace say what is left and which finalizers block
 * it. A server that does not answer may have anything: the namespace waits for it, or for the
 * deletion of its APIService. */
#include "lib/buf.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/controller.h"
#include "reconcilers/graph.h"
#include "reconcilers/pods.h"

/* Deletions wake the controller; this is for kinds that are not watched. */
#define LOOK_AGAIN_US UINT64_C(10000000)
#define FINALIZER "kubernetes"

static bool has_spec_finalizer(const json_t *ns) {
        json_t *f;
        size_t i;

        json_array_foreach (json_at(ns, "spec.finalizers"), i, f)
                if (streq_ptr(json_string_value(f), FINALIZER))
                        return true;
        return false;
}

static json_t *without_finalizer(const json_t *ns) {
        json_t *copy = json_deep_copy(ns), *kept = json_array(), *f;
        size_t i;

        json_array_foreach (json_at(ns, "spec.finalizers"), i, f)
                if (!streq_ptr(json_string_value(f), FINALIZER))
                        json_array_append(kept, f);
        assert(copy && json_set_at(copy, "spec.finalizers", kept) >= 0);
        return copy;
}

static void namespace_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (!gone && object_is_deleting(object))
                wake_object(out, object);
}

static void namespace_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *ns = world_get(w, WORLD_NAMESPACES, NULL, name);

        if (!ns || !object_is_deleting(ns) || !has_spec_finalizer(ns) || !w->graph)
                return;
        for (size_t i = 0; i < w->catalogue->count; i++) {
                const struct served *s = w->catalogue->items[i];

                if (!s->present || s->stale || !s->resource.namespaced)
                        continue;
                if (s->can_delete)
                        action_delete_collection(a, &s->resource, name);
                else
                        action_delete_each(a, &s->resource, name);
        }
        if (w->catalogue->failed || w->catalogue->outdated || graph_namespace(w->graph, name)) {
                actions_requeue(a, LOOK_AGAIN_US);
                return;
        }
        for (size_t i = 0; i < w->catalogue->count; i++)
                if (w->catalogue->items[i]->present && w->catalogue->items[i]->resource.namespaced)
                        action_guard_empty(a, &w->catalogue->items[i]->resource, name);
        action_update(a, "namespaces", ns, "finalize", without_finalizer(ns));
}

/* --- remaining objects --- */

/* Counts by name, and the sentence made of them in the order of names. */
static void count(json_t *counts, const char *name) {
        json_object_set_new(counts, name,
                        json_integer(json_integer_value(json_object_get(counts, name)) + 1));
}

static int by_text(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "configmaps. has 2 resource instances, pods. has 1 resource instances"; verb is "has" or "in".
 * The words of Kubernetes. Caller frees. */
static char *counts_text(const char *head, json_t *counts, const char *verb) {
        size_t n = 0;
        const char **names = calloc(json_object_size(counts), sizeof(*names));
        _cleanup_buf_ struct buf b = {0};
        const char *key;
        json_t *v;

        assert(names);
        json_object_foreach (counts, key, v)
                names[n++] = key;
        qsort(names, n, sizeof(*names), by_text);
        buf_append_str(&b, head);
        for (size_t i = 0; i < n; i++)
                buf_printf(&b, "%s%s %s %lld resource instances", i > 0 ? ", " : "", names[i], verb,
                                (long long)json_integer_value(json_object_get(counts, names[i])));
        free(names);
        return buf_take(&b);
}

static void look(const struct graph *g, const char *name, json_t *kinds, json_t *finalizers) {
        for (const struct graph_node *n = graph_namespace(g, name); n; n = n->next_in_namespace) {
                _cleanup_free_ char *kind =
                                strformat("%s.%s", n->resource->plural, n->resource->group);
                const json_t *f;
                size_t i;

                assert(kind);
                count(kinds, kind);
                json_array_foreach (json_at(n->object, "metadata.finalizers"), i, f)
                        count(finalizers, json_string_value(f));
        }
}

/* --- failures, in the words of Kubernetes --- */

enum { MESSAGES_MAX = 20, MESSAGE_SIZE_MAX = 512 };

/* No more of it than a condition bears: servers may say anything. */
static void add_message(struct buf *b, const char *text) {
        char shown[MESSAGE_SIZE_MAX];

        (void)snprintf(shown, sizeof(shown), "%s", text);
        (void)utf8_clean(shown, strlen(shown));
        buf_append_str(b, shown);
}

/* "x: stale GroupVersion discovery: x, y: stale ..." of versions, or the messages of actions. */
static void join(struct buf *b, const json_t *texts, bool versions) {
        const json_t *v;
        size_t i;

        json_array_foreach (texts, i, v) {
                const char *text = strempty(json_string_value(v));

                if (i >= MESSAGES_MAX)
                        break;
                buf_append_str(b, i > 0 ? ", " : "");
                add_message(b, text);
                if (versions)
                        buf_printf(b, ": stale GroupVersion discovery: %s", text);
        }
}

static char *discovery_text(const json_t *failed) {
        _cleanup_buf_ struct buf b = {0};

        buf_printf(&b, "Discovery failed for some groups, %zu failing: unable to retrieve the "
                       "complete list of server APIs: ",
                        json_array_size(failed));
        join(&b, failed, /* versions= */ true);
        return buf_take(&b);
}

static char *content_text(const struct problem *failed) {
        bool many = json_is_string(json_array_get(failed->causes, 0));
        _cleanup_buf_ struct buf b = {0};

        buf_printf(&b, "Failed to delete all resource types, %zu remaining: ",
                        many ? json_array_size(failed->causes) : 1);
        if (many)
                join(&b, failed->causes, /* versions= */ false);
        else
                add_message(&b, strempty(failed->message));
        return buf_take(&b);
}

static void set_failures(const struct world *w, json_t *conditions, const struct problem *failed) {
        const json_t *groups = w->catalogue ? w->catalogue->failed : NULL;
        _cleanup_free_ char *discovery = groups ? discovery_text(groups) : NULL,
                            *content = failed ? content_text(failed) : NULL;
        char now[TIMEFMT_SIZE];

        time_format(w->now_us, now);
        assert((discovery || !groups) && (content || !failed));
        condition_set(conditions, "NamespaceDeletionDiscoveryFailure", groups ? "True" : "False",
                        groups ? "DiscoveryFailed" : "ResourcesDiscovered",
                        groups ? discovery : "All resources successfully discovered", now, false);
        condition_set(conditions, "NamespaceDeletionGroupVersionParsingFailure", "False",
                        "ParsedGroupVersions", "All legacy kube types successfully parsed", now,
                        false);
        condition_set(conditions, "NamespaceDeletionContentFailure", failed ? "True" : "False",
                        failed ? "ContentDeletionFailed" : "ContentDeleted",
                        failed ? content
                               : "All content successfully deleted, may be waiting on "
                                 "finalization",
                        now, false);
}

static json_t *namespace_report(
                const struct world *w, const char *name, const struct problem *failed) {
        const json_t *ns = world_get(w, WORLD_NAMESPACES, NULL, name);
        _cleanup_json_ json_t *kinds = json_object(), *finalizers = json_object();
        _cleanup_free_ char *kinds_text = NULL, *finalizers_text = NULL;
        json_t *status, *conditions;
        char now[TIMEFMT_SIZE];
        bool left, held;

        if (!ns || !object_is_deleting(ns) || !w->graph)
                return NULL;
        look(w->graph, name, kinds, finalizers);
        left = json_object_size(kinds) > 0;
        held = json_object_size(finalizers) > 0;
        kinds_text = counts_text("Some resources are remaining: ", kinds, "has");
        finalizers_text = counts_text("Some content in the namespace has finalizers remaining: ",
                        finalizers, "in");
        status = json_deep_copy(json_object_get(ns, "status"));
        if (!status)
                status = json_object();
        conditions = json_object_get(status, "conditions");
        if (!conditions) {
                conditions = json_array();
                json_object_set_new(status, "conditions", conditions);
        }
        assert(status && conditions && kinds_text && finalizers_text);
        time_format(w->now_us, now);
        set_failures(w, conditions, failed);
        condition_set(conditions, "NamespaceContentRemaining", left ? "True" : "False",
                        left ? "SomeResourcesRemain" : "ContentRemoved",
                        left ? kinds_text : "All content successfully removed", now, false);
        condition_set(conditions, "NamespaceFinalizersRemaining", held ? "True" : "False",
                        held ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
                        held ? finalizers_text : "All content-preserving finalizers finished", now,
                        false);
        return status;
}

const struct controller namespace_controller = {
                .name = "namespace",
                .primary = WORLD_NAMESPACES,
                .kinds = WORLD_BIT(WORLD_NAMESPACES),
                .wake = namespace_wake,
                .plan = namespace_plan,
                .report = namespace_report,
};
