/* The owner graph and the catalogue of kinds. */
#include "reconcilers/graph.h"

#include "lib/object.h"
#include "lib/vector.h"

/* Entries stay: an extension server whose discovery is another one each time must not take the
 * places of all other groups. */
enum { KINDS_SERVED_MAX = 4000, KINDS_OF_GROUP_MAX = 500 };

/* --- catalogue --- */

void catalogue_done(struct catalogue *c) {
        for (size_t i = 0; i < c->count; i++) {
                struct api_resource *r = &c->items[i]->resource;

                free((char *)r->group);
                free((char *)r->version);
                free((char *)r->plural);
                free((char *)r->kind);
                free(c->items[i]);
        }
        free(c->items);
        json_decref(c->failed);
        *c = (struct catalogue){0};
}

static bool has_verb(const json_t *resource, const char *verb) {
        json_t *v;
        size_t i;

        json_array_foreach (json_object_get(resource, "verbs"), i, v)
                if (streq_ptr(json_string_value(v), verb))
                        return true;
        return false;
}

void catalogue_begin(struct catalogue *c) {
        for (size_t i = 0; i < c->count; i++) {
                c->items[i]->was_present = c->items[i]->present;
                c->items[i]->present = c->items[i]->stale = false;
        }
        json_decref(c->failed);
        c->failed = NULL;
}

static struct served *catalogue_get(
                struct catalogue *c, const char *group, const char *version, const char *plural) {
        struct served **items, *s;
        size_t of_group = 0;

        for (size_t i = 0; i < c->count; i++) {
                const struct api_resource *r = &c->items[i]->resource;

                if (!streq(r->group, group))
                        continue;
                if (streq(r->version, version) && streq(r->plural, plural))
                        return c->items[i];
                of_group++;
        }
        if (c->count >= KINDS_SERVED_MAX || of_group >= KINDS_OF_GROUP_MAX)
                return NULL;
        items = reallocarray(c->items, c->count + 1, sizeof(*items));
        assert(items);
        c->items = items;
        s = calloc(1, sizeof(*s));
        assert(s);
        s->resource = (struct api_resource){.group = strdup(group),
                        .version = strdup(version),
                        .plural = strdup(plural)};
        assert(s->resource.group && s->resource.version && s->resource.plural);
        return items[c->count++] = s;
}

/* Whether a version that is preferred to this one has the resource: its objects are the same. */
static bool is_in_another(const struct catalogue *c, const char *group, const char *version,
                const char *plural) {
        for (size_t i = 0; i < c->count; i++)
                if (c->items[i]->present && streq(c->items[i]->resource.plural, plural) &&
                                streq(c->items[i]->resource.group, group) &&
                                !streq(c->items[i]->resource.version, version))
                        return true;
        return false;
}

static void read_resource(struct catalogue *c, const char *group, const char *version,
                const json_t *resource) {
        const char *plural = json_str_or(resource, "resource", "");
        struct served *s;

        if (!*plural || !has_verb(resource, "list") || !has_verb(resource, "delete") ||
                        is_in_another(c, group, version, plural))
                return;
        s = catalogue_get(c, group, version, plural);
        if (!s)
                return;
        s->present = true;
        s->can_delete = has_verb(resource, "deletecollection");
        s->watched = has_verb(resource, "watch") && !streq(plural, "events");
        s->resource.namespaced = streq(json_str_or(resource, "scope", ""), "Namespaced");
        if (!s->resource.kind) {
                s->resource.kind = strdup(json_str_or(resource, "responseKind.kind", ""));
                assert(s->resource.kind);
        }
}

/* Whether a version may have something in namespaces that is to be deleted with them. One whose
 * server never answered may have anything. */
static bool may_fill_namespaces(const json_t *version) {
        const json_t *resources = json_object_get(version, "resources"), *r;
        size_t i;

        json_array_foreach (resources, i, r)
                if (streq(json_str_or(r, "scope", ""), "Namespaced") && has_verb(r, "list") &&
                                has_verb(r, "delete"))
                        return true;
        return json_array_size(resources) == 0;
}

static bool is_stale(const json_t *version) {
        return streq(json_str_or(version, "freshness", ""), "Stale");
}

static void note_stale(struct catalogue *c, const char *group, const json_t *version) {
        const char *name = json_str_or(version, "version", "");

        if (!is_stale(version) || !may_fill_namespaces(version))
                return;
        if (!c->failed)
                c->failed = json_array();
        assert(json_array_append_new(c->failed, json_sprintf("%s/%s", group, name)) >= 0);
}

/* Kinds of a server that does not answer stay what they were, whether they are listed or not. */
static void keep_stale(struct catalogue *c, const char *group, const json_t *version) {
        for (size_t i = 0; is_stale(version) && i < c->count; i++) {
                struct served *s = c->items[i];

                if (!streq(s->resource.group, group) ||
                                !streq(s->resource.version, json_str_or(version, "version", "")))
                        continue;
                s->present |= s->was_present && !is_in_another(c, group, s->resource.version,
                                                                s->resource.plural);
                s->stale = true;
        }
}

static void read_version(struct catalogue *c, const char *group, const json_t *version) {
        const json_t *resource;
        size_t i;

        json_array_foreach (json_object_get(version, "resources"), i, resource)
                read_resource(c, group, json_str_or(version, "version", ""), resource);
}

int catalogue_read(struct catalogue *c, const json_t *list) {
        const json_t *items = json_object_get(list, "items"), *group;
        size_t i, k;

        if (!json_is_array(items))
                return -EPROTO;
        json_array_foreach (items, i, group) {
                /* The preferred version first: the others may have resources of their own. */
                const json_t *versions = json_object_get(group, "versions"), *version;
                const char *name = json_str_or(group, "metadata.name", "");

                json_array_foreach (versions, k, version) {
                        read_version(c, name, version);
                        keep_stale(c, name, version);
                        note_stale(c, name, version);
                }
        }
        return 0;
}

const struct api_resource *catalogue_find(
                const struct catalogue *c, const char *api_version, const char *kind) {
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];

        if (object_split_api_version(api_version, group, version) < 0)
                return NULL;
        for (size_t i = 0; i < c->count; i++)
                if (c->items[i]->present && streq(c->items[i]->resource.group, group) &&
                                streq(c->items[i]->resource.kind, kind))
                        return &c->items[i]->resource;
        return NULL;
}

/* --- graph --- */

static void node_free(void *p) {
        struct graph_node *n = p;

        if (!n)
                return;
        json_decref(n->object);
        free(n->dependents);
        free(n->uid);
        free(n);
}

int graph_init(struct graph *g) {
        *g = (struct graph){.nodes = map_new(node_free), .namespaces = map_new(NULL)};
        return g->nodes && g->namespaces ? 0 : -ENOMEM;
}

void graph_done(struct graph *g) {
        map_free(g->nodes);
        map_free(g->namespaces);
        *g = (struct graph){0};
}

const struct graph_node *graph_get(const struct graph *g, const char *uid) {
        return map_get(g->nodes, uid);
}

static struct graph_node *node_for(struct graph *g, const char *uid) {
        struct graph_node *n = map_get(g->nodes, uid);

        if (n)
                return n;
        n = calloc(1, sizeof(*n));
        assert(n);
        n->uid = strdup(uid);
        assert(n->uid && map_set(g->nodes, uid, n) >= 0);
        return n;
}

static void maybe_drop(struct graph *g, struct graph_node *n) {
        if (!n->object && n->count == 0)
                map_remove(g->nodes, n->uid);
}

/* Of an object that was of none before: named twice, it is the last one. There may be very many. */
static void add_dependent(struct graph_node *owner, struct graph_node *n) {
        if (owner->count > 0 && owner->dependents[owner->count - 1] == n)
                return;
        if (owner->count == owner->allocated) {
                size_t size = owner->allocated ? owner->allocated * 2 : 4;
                struct graph_node **d = reallocarray(owner->dependents, size, sizeof(*d));

                assert(d);
                owner->dependents = d;
                owner->allocated = size;
        }
        owner->dependents[owner->count++] = n;
}

static void drop_dependent(struct graph_node *owner, const struct graph_node *n) {
        for (size_t i = 0; i < owner->count; i++)
                if (owner->dependents[i] == n) {
                        owner->dependents[i] = owner->dependents[--owner->count];
                        return;
                }
}

static void unlink_owners(struct graph *g, struct graph_node *n) {
        const json_t *ref;
        size_t i;

        json_array_foreach (json_at(n->object, "metadata.ownerReferences"), i, ref) {
                struct graph_node *owner = map_get(g->nodes, json_str_or(ref, "uid", ""));

                if (!owner || owner == n)
                        continue;
                drop_dependent(owner, n);
                maybe_drop(g, owner);
        }
}

static void enter_namespace(struct graph *g, struct graph_node *n) {
        const char *ns = object_namespace(n->object);
        struct graph_node *first;

        if (!*ns)
                return;
        first = map_get(g->namespaces, ns);
        n->next_in_namespace = first;
        if (first)
                first->previous_in_namespace = n;
        assert(map_set(g->namespaces, ns, n) >= 0);
}

static void leave_namespace(struct graph *g, struct graph_node *n) {
        const char *ns = object_namespace(n->object);
        struct graph_node *next = n->next_in_namespace, *previous = n->previous_in_namespace;

        if (!*ns)
                return;
        if (next)
                next->previous_in_namespace = previous;
        if (previous)
                previous->next_in_namespace = next;
        else if (next)
                assert(map_set(g->namespaces, ns, next) >= 0);
        else
                map_remove(g->namespaces, ns);
        n->next_in_namespace = n->previous_in_namespace = NULL;
}

static bool is_of_kind(const struct graph_node *n, const struct api_resource *r) {
        return streq(n->resource->group, r->group) && streq(n->resource->plural, r->plural);
}

void graph_put(struct graph *g, const struct api_resource *r, const json_t *object) {
        struct graph_node *n;
        const json_t *ref;
        size_t i;

        if (!*object_uid(object))
                return;
        n = node_for(g, object_uid(object));
        if (n->object && !is_of_kind(n, r))
                return;
        if (n->object) {
                unlink_owners(g, n);
                leave_namespace(g, n);
        }
        json_incref((json_t *)object);
        json_decref(n->object);
        n->object = (json_t *)object;
        n->resource = r;
        enter_namespace(g, n);
        json_array_foreach (json_at(object, "metadata.ownerReferences"), i, ref) {
                const char *uid = json_str_or(ref, "uid", "");

                if (*uid && !streq(uid, n->uid))
                        add_dependent(node_for(g, uid), n);
        }
}

void graph_remove(struct graph *g, const char *uid) {
        struct graph_node *n = map_get(g->nodes, uid);

        if (!n || !n->object)
                return;
        unlink_owners(g, n);
        leave_namespace(g, n);
        json_decref(n->object);
        n->object = NULL;
        maybe_drop(g, n);
}

void graph_remove_kind(struct graph *g, const struct api_resource *r) {
        VECTOR(char *) uids = {0};

        map_foreach (g->nodes, e) {
                const struct graph_node *n = map_entry_value(e);
                char *uid;

                if (!n->object || !is_of_kind(n, r))
                        continue;
                uid = strdup(n->uid);
                assert(uid && vector_append(&uids, uid) >= 0);
        }
        for (size_t i = 0; i < uids.count; i++) {
                graph_remove(g, uids.items[i]);
                free(uids.items[i]);
        }
        vector_done(&uids);
}

const struct graph_node *graph_namespace(const struct graph *g, const char *ns) {
        return map_get(g->namespaces, ns);
}

/* Whether an object in `ns` can be an owner of one in `dependent_ns`. */
static bool is_in_reach(const char *ns, const char *dependent_ns) {
        return !*ns || streq(ns, dependent_ns);
}

const struct graph_node *graph_owner(
                const struct graph *g, const json_t *ref, const json_t *dependent) {
        const struct graph_node *n = graph_get(g, json_str_or(ref, "uid", ""));
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];

        if (!n || !n->object ||
                        object_split_api_version(
                                        json_str_or(ref, "apiVersion", ""), group, version) < 0)
                return NULL;
        if (!streq(group, n->resource->group) ||
                        !streq(json_str_or(ref, "kind", ""), n->resource->kind) ||
                        !streq(json_str_or(ref, "name", ""), object_name(n->object)) ||
                        !is_in_reach(object_namespace(n->object), object_namespace(dependent)))
                return NULL;
        return n;
}

bool graph_owner_is_elsewhere(const struct graph *g, const json_t *ref, const json_t *dependent) {
        const struct graph_node *n = graph_get(g, json_str_or(ref, "uid", ""));

        return n && n->object &&
               !is_in_reach(object_namespace(n->object), object_namespace(dependent));
}
