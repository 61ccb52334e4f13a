/* ControllerRevisions: a revision holds the pod template as a strategic merge patch that restores
 * it, {"spec": {"template": {..., "$patch": "replace"}}}, which is what `kubectl rollout undo`
 * sends. Equal templates share a revision: a template that returns gives its old revision the next
 * number. */
#include "reconcilers/workloads/history.h"

#include "lib/map.h"
#include "lib/object.h"

#define HASH_LABEL "controller.kubernetes.io/hash"

#define NUMBER_MAX (INT64_MAX / 2)

/* Of the owner's name in a revision's name, so that the hash fits behind it. */
enum { PREFIX_MAX = 223 };

static int64_t number_of(const json_t *revision) {
        return json_int_or(revision, "revision", 0);
}

static int compare_numbers(const void *x, const void *y) {
        const json_t *a = *(const json_t *const *)x, *b = *(const json_t *const *)y;

        if (number_of(a) != number_of(b))
                return number_of(a) < number_of(b) ? -1 : 1;
        if (object_created_us(a) != object_created_us(b))
                return object_created_us(a) < object_created_us(b) ? -1 : 1;
        return strcmp(object_name(a), object_name(b));
}

static json_t *data_of(const json_t *owner) {
        json_t *template = json_copy(json_unconst(json_at(owner, "spec.template")));

        assert(template);
        json_object_set_new(template, "$patch", json_string("replace"));
        return json_pack("{s:{s:o}}", "spec", "template", template);
}

void history_read(struct history *h, const struct world *w, const json_t *owner, const char *kind) {
        h->owner = owner;
        h->kind = kind;
        h->data = data_of(owner);
        assert(h->data);
        template_hash(json_at(owner, "spec.template"),
                        json_int_or(owner, "status.collisionCount", 0), h->hash);
        world_owned(w, WORLD_REVISIONS_BY_OWNER, owner, &h->revisions, &h->orphans);
        if (h->revisions.count > 0)
                qsort(h->revisions.items, h->revisions.count, sizeof(*h->revisions.items),
                                compare_numbers);
        for (size_t i = h->revisions.count; i > 0 && !h->update; i--) {
                const json_t *revision = h->revisions.items[i - 1];

                if (!object_is_deleting(revision) &&
                                json_equal(json_object_get(revision, "data"), h->data))
                        h->update = revision;
        }
}

void history_done(struct history *h) {
        objects_done(&h->revisions);
        objects_done(&h->orphans);
        json_decref(h->data);
        h->data = NULL;
}

/* The owner's annotations but kubectl's record: kubernetes.io/change-cause is among them. */
static json_t *annotations_of(const json_t *owner) {
        json_t *a = json_object(), *v;
        const char *key;

        json_object_foreach (json_unconst(json_at(owner, "metadata.annotations")), key, v)
                if (!streq(key, "kubectl.kubernetes.io/last-applied-configuration"))
                        json_object_set(a, key, v);
        return a;
}

static void create_revision(const struct history *h, struct actions *a, int64_t number) {
        json_t *labels =
                        json_copy(json_unconst(json_at(h->owner, "spec.template.metadata.labels")));
        _cleanup_free_ char *name =
                        strformat("%.*s-%s", PREFIX_MAX, object_name(h->owner), h->hash);
        json_t *body;

        if (!labels)
                labels = json_object();
        json_object_set_new(labels, HASH_LABEL, json_string(h->hash));
        json_object_set_new(labels, REVISION_LABEL, json_string(h->hash));
        body = json_pack("{s:s, s:s, s:{s:s, s:s, s:o, s:o, s:[o]}, s:O, s:I}", "apiVersion",
                        "apps/v1", "kind", "ControllerRevision", "metadata", "name", name,
                        "namespace", object_namespace(h->owner), "labels", labels, "annotations",
                        annotations_of(h->owner), "ownerReferences",
                        controller_ref(h->owner, "apps/v1", h->kind), "data", h->data, "revision",
                        (json_int_t)number);
        assert(name && body);
        action_create(a, "controllerrevisions", object_namespace(h->owner), body);
}

/* A number that leaves none for the next revision was not given by a controller: all are numbered
 * again, in their order. 1 when this was needed. */
static bool number_again(const struct history *h, struct actions *a) {
        const struct objects *all = &h->revisions;

        if (all->count == 0 || number_of(all->items[all->count - 1]) < NUMBER_MAX)
                return false;
        for (size_t i = 0; i < all->count; i++)
                if (number_of(all->items[i]) != (int64_t)i + 1)
                        action_patch(a, "controllerrevisions", all->items[i],
                                        /* subresource= */ NULL,
                                        json_pack("{s:I}", "revision", (json_int_t)i + 1));
        return true;
}

bool history_sync(struct history *h, struct actions *a) {
        const json_t *newest;
        size_t before = a->count;

        adopt_and_release(a, "controllerrevisions", h->owner, "apps/v1", h->kind, &h->revisions,
                        &h->orphans);
        if (a->count > before)
                return false; /* an adopted one may be equal */
        if (number_again(h, a))
                return false;
        newest = h->revisions.count > 0 ? h->revisions.items[h->revisions.count - 1] : NULL;
        if (!h->update) {
                create_revision(h, a, newest ? number_of(newest) + 1 : 1);
                return false;
        }
        if (h->update == newest)
                return true;
        action_patch(a, "controllerrevisions", h->update, /* subresource= */ NULL,
                        json_pack("{s:I}", "revision", (json_int_t)(number_of(newest) + 1)));
        return false;
}

void history_clean(const struct history *h, struct actions *a, const struct map *used) {
        int64_t limit = json_int_or(h->owner, "spec.revisionHistoryLimit", 10);
        _cleanup_objects_ struct objects unused = {0};

        for (size_t i = 0; i < h->revisions.count; i++) {
                const json_t *revision = h->revisions.items[i];

                if (revision != h->update && !object_is_deleting(revision) &&
                                !map_get(used, object_name(revision)) &&
                                !map_get(used, revision_hash(revision)))
                        objects_add(&unused, revision);
        }
        for (size_t i = 0; (int64_t)(unused.count - i) > limit && i < unused.count; i++)
                action_delete(a, "controllerrevisions", unused.items[i], /* grace_s= */ -1,
                                /* propagation= */ NULL);
}

const json_t *history_find(const struct history *h, const char *name) {
        for (size_t i = 0; i < h->revisions.count; i++)
                if (streq(object_name(h->revisions.items[i]), name))
                        return h->revisions.items[i];
        return NULL;
}

const char *revision_hash(const json_t *revision) {
        const char *hash = object_label(revision, HASH_LABEL);

        return strempty(hash ? hash : object_label(revision, REVISION_LABEL));
}

json_t *revision_template(const json_t *revision) {
        json_t *template = json_copy(json_unconst(json_at(revision, "data.spec.template")));

        if (template)
                json_object_del(template, "$patch");
        return template;
}

int64_t history_collisions(const struct history *h, const struct problem *failed) {
        int64_t collisions = json_int_or(h->owner, "status.collisionCount", 0);

        return collisions + (failed && !h->update && streq_ptr(failed->reason, "AlreadyExists"));
}
