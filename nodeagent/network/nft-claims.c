/* held: element -> key; of_key: key -> {element: true}; waiting: element -> {key: true} of the keys
 * that were refused it. An element is "<map> <key>". */
#include "nodeagent/network/nft-claims.h"

#include <assert.h>

#include "lib/map.h"

struct nft_claims {
        struct map *held;
        struct map *of_key;
        struct map *waiting;
};

static void json_free(void *v) {
        json_decref(v);
}

struct nft_claims *nft_claims_new(void) {
        struct nft_claims *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        c->held = map_new(free);
        c->of_key = map_new(json_free);
        c->waiting = map_new(json_free);
        return c->held && c->of_key && c->waiting ? c : nft_claims_free(c);
}

struct nft_claims *nft_claims_free(struct nft_claims *c) {
        if (!c)
                return NULL;
        map_free(c->held);
        map_free(c->of_key);
        map_free(c->waiting);
        free(c);
        return NULL;
}

void nft_claims_clear(struct nft_claims *c) {
        map_clear(c->held);
        map_clear(c->of_key);
        map_clear(c->waiting);
}

static int wait_for(struct nft_claims *c, const char *element, const char *key) {
        json_t *keys = map_get(c->waiting, element);

        if (!keys) {
                keys = json_object();
                if (!keys || map_set(c->waiting, element, keys) < 0) {
                        json_decref(keys);
                        return -ENOMEM;
                }
        }
        return json_object_set_new(keys, key, json_true()) < 0 ? -ENOMEM : 0;
}

/* Claims one map's elements; elements that another key holds leave the model. */
static int claim_map(struct nft_claims *c, const char *key, const char *name, json_t *elements,
                json_t *mine, const struct nft_claims_callbacks *f) {
        const char *element;
        json_t *v;
        void *next;

        json_object_foreach_safe(elements, next, element, v) {
                _cleanup_free_ char *full = strformat("%s %s", name, element);
                const char *holder = full ? map_get(c->held, full) : NULL;
                char *copy;

                if (!full)
                        return -ENOMEM;
                if (holder && !streq(holder, key)) {
                        f->on_refused(key, full, holder, f->userdata);
                        if (wait_for(c, full, key) < 0)
                                return -ENOMEM;
                        (void)json_object_del(elements, element);
                        continue;
                }
                copy = holder ? NULL : strdup(key);
                if (!holder && (!copy || map_set(c->held, full, copy) < 0)) {
                        free(copy);
                        return -ENOMEM;
                }
                if (json_object_set_new(mine, full, json_true()) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static void release_element(
                struct nft_claims *c, const char *element, const struct nft_claims_callbacks *f) {
        json_t *waiting = map_steal(c->waiting, element), *v;
        const char *key;

        assert(map_get(c->held, element));
        (void)map_remove(c->held, element);
        json_object_foreach (waiting, key, v)
                f->on_free(key, f->userdata);
        json_decref(waiting);
}

int nft_claims_take(struct nft_claims *c, const char *key, json_t *model,
                const struct nft_claims_callbacks *f) {
        _cleanup_json_ json_t *before = map_steal(c->of_key, key), *mine = json_object();
        const char *name;
        json_t *v;
        int r = mine ? 0 : -ENOMEM;

        json_object_foreach (json_object_get(model, "elements"), name, v) {
                if (r < 0)
                        break;
                r = claim_map(c, key, name, v, mine, f);
        }
        json_object_foreach (before, name, v) {
                if (!json_object_get(mine, name))
                        release_element(c, name, f);
        }
        if (r >= 0 && json_object_size(mine) > 0) {
                r = map_set(c->of_key, key, mine);
                if (r >= 0)
                        TAKE_PTR(mine);
        }
        return r;
}
