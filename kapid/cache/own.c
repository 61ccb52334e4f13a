/* What this kapid has written a moment ago: the watch of the store brings it back, and then it is
 * the item whose text was the answer. Few and small ones are remembered, and only until then; what
 * is not found here is made from the value that came. */
#include "kapid/cache/internal.h"

enum { OWN_TEXT_MAX = 64 * 1024 };

static struct item **place_of(struct caches *cs, uint64_t revision) {
        return &cs->own[revision % ELEMENTS(cs->own)];
}

void caches_wrote(struct caches *cs, struct item *it) {
        struct item **place = place_of(cs, item_revision(it));

        if (item_revision(it) <= cs->revision || item_text(it)->size > OWN_TEXT_MAX)
                return;
        item_unref(*place);
        *place = item_ref(it);
}

struct item *own_take(struct caches *cs, const char *key, const char *value, size_t n,
                uint64_t revision) {
        struct item **place = place_of(cs, revision);

        if (!*place || !item_is(*place, key, value, n, revision))
                return NULL;
        return TAKE_PTR(*place);
}

void own_clear(struct caches *cs) {
        for (size_t i = 0; i < ELEMENTS(cs->own); i++)
                cs->own[i] = item_unref(cs->own[i]);
}
