/* An informer: list + watch of one resource into a local cache, resumed after every break, relisted
 * on 410 Gone, with bookmarks. Objects in the cache are immutable json_t. */
#pragma once

#include "lib/client/api.h"

struct informer;

enum informer_event { INFORMER_ADDED, INFORMER_MODIFIED, INFORMER_DELETED };

struct informer_options {
        const struct api_resource *resource;
        const char *ns;             /* NULL: all */
        const char *label_selector; /* text or NULL */
        const char *field_selector;
        /* Asks for metadata only, and keeps of it only names, uid, version, owners, finalizers and
         * deletion. */
        bool metadata_only;
        /* Objects that it holds at most; 0: any number. A list of more ends with a warning, and
         * counts as one that failed: on_synced is not called. */
        size_t objects_max;
        /* One change. old is NULL for ADDED; object is the last state for DELETED. Both borrowed.
         * After a relist only the differences are reported. */
        void (*on_event)(struct informer *i, enum informer_event event, const json_t *old,
                        const json_t *object, void *userdata);
        /* The first full list is in the cache. */
        void (*on_synced)(struct informer *i, void *userdata);
        /* The stream broke or came back (for readiness, staleness); may be NULL. */
        void (*on_connection)(struct informer *i, bool connected, void *userdata);
        void *userdata;
};

int informer_new(struct informer **ret, struct api_client *c,
                const struct informer_options *options);
struct informer *informer_free(struct informer *i);
DEFINE_CLEANUP(struct informer *, informer_free);
bool informer_is_synced(const struct informer *i);
/* Lists again, so that the cache holds everything that was written before this call. It is not
 * synced until then; on_synced() is called once more. Not from its own callbacks. */
void informer_relist(struct informer *i);
/* The newest resourceVersion the cache is known to hold: what was written with a version up to it
 * is in. */
uint64_t informer_resource_version(const struct informer *i);
/* key: "namespace/name" or "name". Borrowed; NULL when absent. */
const json_t *informer_get(const struct informer *i, const char *key);
const json_t *informer_get2(const struct informer *i, const char *ns, const char *name);
size_t informer_count(const struct informer *i);
/* Iteration in no promised order; the cache must not change meanwhile (it changes only from the
 * event loop). */
struct map_entry *informer_first(const struct informer *i);
const json_t *informer_object(const struct map_entry *e);
#define informer_foreach(i, e) for (struct map_entry *e = informer_first(i); e; e = map_next(e))

/* Secondary index: func says the index value of an object (NULL: not indexed; the string is
 * copied). Its buffer has INFORMER_INDEX_VALUE_MAX bytes. Before the first event. */
enum { INFORMER_INDEX_VALUE_MAX = 512 };
typedef const char *(*informer_index_func)(const json_t *object, char *buffer, size_t n);
int informer_add_index(struct informer *i, const char *name, informer_index_func func);
/* The same with several values an object, all different: func says the n-th (NULL: no more). At
 * most one such index an informer; else -E2BIG. */
typedef const char *(*informer_index_nth_func)(
                const json_t *object, size_t n, char *buffer, size_t size);
int informer_add_index_of_many(struct informer *i, const char *name, informer_index_nth_func func);
/* Calls func for every object that has this index value. */
void informer_by_index(const struct informer *i, const char *name, const char *value,
                void (*func)(const json_t *object, void *userdata), void *userdata);
