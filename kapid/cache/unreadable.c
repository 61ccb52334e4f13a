/* Values that no key opens. They are kept beside the caches: an object of which the cache has an
 * earlier state stays as it was, because watchers would take its end for a deletion. Requests for
 * the object itself are refused with the reason, and lists carry it as a warning. There are usually
 * none, and never so many that a walk over them matters. The first load is of some time ago: a key
 * that was removed since may have been in use then, so that nothing is logged before the present is
 * reached. */
#include "kapid/cache/internal.h"

#include "lib/log.h"

enum { LOGGED_MAX = 10 };

const char *caches_unreadable(const struct caches *cs, const char *key) {
        return map_size(cs->unreadable) > 0 ? map_get(cs->unreadable, key) : NULL;
}

size_t caches_unreadable_count(const struct caches *cs) {
        return map_size(cs->unreadable);
}

const char *caches_unreadable_after(const struct caches *cs, const char *prefix, const char *after,
                const char **ret_why) {
        const char *best = NULL;

        map_foreach (cs->unreadable, e) {
                const char *key = map_entry_key(e);

                if (!startswith(key, prefix) || strcmp(key, after) <= 0 ||
                                (best && strcmp(key, best) >= 0))
                        continue;
                best = key;
                *ret_why = map_entry_value(e);
        }
        return best;
}

int caches_feed_unreadable(struct caches *cs, const char *key, const char *why) {
        char *copy = strdup(why);
        int r = copy ? map_set(cs->unreadable, key, copy) : -ENOMEM;

        if (r < 0)
                free(copy);
        else if (cs->state == CACHES_FOLLOWING && cs->revision >= cs->load_target &&
                        map_size(cs->unreadable) <= LOGGED_MAX)
                log_warning("Cannot decrypt: %s", why);
        return r;
}

void unreadable_end(struct caches *cs, const char *key) {
        if (map_size(cs->unreadable) > 0)
                map_remove(cs->unreadable, key);
}

void unreadable_log(const struct caches *cs) {
        size_t n = 0;

        map_foreach (cs->unreadable, e) {
                if (n++ == LOGGED_MAX)
                        break;
                log_error("Cannot decrypt: %s", (const char *)map_entry_value(e));
        }
        if (map_size(cs->unreadable) > LOGGED_MAX)
                log_error("%zu values of the store cannot be decrypted, the first of them are "
                          "named above",
                                map_size(cs->unreadable));
}
