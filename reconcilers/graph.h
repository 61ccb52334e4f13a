/* Who owns whom: every object of every served kind by uid, with the objects that name it as an owner.
 * And the catalogue of served kinds, from discovery. Both are plain data; collector.c fills them. */
#pragma once

#include "lib/client/api.h"
#include "lib/map.h"

/* A served kind. Entries live as long as the catalogue. */
struct served {
        struct api_resource resource;
        bool watched;                /* objects of it are in the graph */
        bool can_delete;             /* has the verbs to empty a namespace of it */
        bool present;                /* in the last discovery */
        struct informer *informer;   /* the collector's */
};

struct catalogue {
        struct served **items;
        size_t count;
};

void catalogue_done(struct catalogue *c);
/* Takes in the items of an APIGroupDiscoveryList; core group: its item has no name. 0 or -EPROTO.
 * What is no longer there stays, with present false, when `complete` ends a round. */
int catalogue_read(struct catalogue *c, const json_t *list);
void catalogue_begin(struct catalogue *c);
/* The kind that apiVersion and kind of an owner reference name; any served version will do. */
const struct api_resource *catalogue_find(const struct catalogue *c, const char *api_version, const char *kind);

struct graph_node {
        char *uid;
        const struct api_resource *resource;
        json_t *object;              /* NULL: only named as an owner so far, or gone */
        struct graph_node **dependents;
        size_t count, allocated;
};

struct graph {
        struct map *nodes;           /* uid -> graph_node */
        struct map *namespaces;      /* name -> number of objects in it, as pointer */
};

int graph_init(struct graph *g);
void graph_done(struct graph *g);
void graph_put(struct graph *g, const struct api_resource *r, const json_t *object);
void graph_remove(struct graph *g, const char *uid);
const struct graph_node *graph_get(const struct graph *g, const char *uid);
size_t graph_namespace_count(const struct graph *g, const char *ns);
