/* The owner graph: every object of every served kind by uid, with the objects that name it as an
 * owner. And the catalogue of served kinds, from discovery. Both are plain data; collector.c fills
 * them. */
#pragma once

#include "lib/client/api.h"
#include "lib/map.h"

/* A served kind. Entries live as long as the catalogue. */
struct served {
        struct api_resource resource;
        bool watched;              /* objects of it are in the graph */
        bool can_delete;           /* has the verbs to empty a namespace of it */
        bool present;              /* in the last discovery */
        bool was_present;          /* in the one before it; while one is read */
        bool stale;                /* its server does not answer: nothing is to be asked of it */
        struct informer *informer; /* the collector's */
};

struct catalogue {
        struct served **items;
        size_t count;
        /* "group/version" of those that an extension server serves which does not answer now, and
         * that may have objects in namespaces; an array of strings, NULL: none were read. */
        json_t *failed;
        bool outdated; /* a definition is newer: there may be kinds that are not in it yet */
};

void catalogue_done(struct catalogue *c);
/* Adds the items of an APIGroupDiscoveryList (the item of the core group has no name). 0 or
 * -EPROTO. Kinds that are no longer served stay, with present false. */
int catalogue_read(struct catalogue *c, const json_t *list);
void catalogue_begin(struct catalogue *c);
/* The kind that apiVersion and kind of an owner reference name; any served version. */
const struct api_resource *catalogue_find(
                const struct catalogue *c, const char *api_version, const char *kind);

struct graph_node {
        char *uid;
        const struct api_resource *resource;
        json_t *object; /* NULL: only named as an owner so far, or gone */
        struct graph_node **dependents;
        size_t count, allocated;
        struct graph_node *next_in_namespace, *previous_in_namespace;
};

struct graph {
        struct map *nodes;      /* uid -> graph_node */
        struct map *namespaces; /* name -> the first node of its list of objects */
};

int graph_init(struct graph *g);
void graph_done(struct graph *g);
/* An object whose uid one of another kind has already is left out: only an extension server that is
 * not to be believed says so. */
void graph_put(struct graph *g, const struct api_resource *r, const json_t *object);
void graph_remove(struct graph *g, const char *uid);
/* All objects of a kind, which is no longer served. */
void graph_remove_kind(struct graph *g, const struct api_resource *r);
const struct graph_node *graph_get(const struct graph *g, const char *uid);
/* The object that the owner reference `ref` of `dependent` means, NULL when there is none. A uid
 * alone does not make an owner: group, kind and name must be those of the reference, and a
 * namespaced owner must be in the dependent's own namespace. */
const struct graph_node *graph_owner(
                const struct graph *g, const json_t *ref, const json_t *dependent);
/* Whether the reference's uid is that of an object which cannot own this dependent: it is in
 * another namespace, or the dependent is cluster-scoped and the object is not. */
bool graph_owner_is_elsewhere(const struct graph *g, const json_t *ref, const json_t *dependent);
/* The objects of a namespace: the first one, then next_in_namespace. */
const struct graph_node *graph_namespace(const struct graph *g, const char *ns);
