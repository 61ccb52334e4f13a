/* held: element -> the owner that holds it; owners: key -> struct owner, as long as it holds one;
 * waiting: element -> {key: true} of the keys that were refused it. An element is "<map> <key>". */
#include "nodeagent/network/nft-claims.h"

#include <assert.h>

#include "lib/map.h"

struct owner {
        size_t elements;
        char key[];
};

struct nft_claims {
        struct map *held;
        struct map *owners;
        struct map *waiting;
};

static void json_free(void *v) {
        json_decref(v);
}

struct nft_claims *nft_claims_new(void) {
        struct nft_claims *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        c->held = map_new(NULL);
        c->owners = map_new(free);
        c->waiting = map_new(json_free);
        return c->held && c->owners && c->waiting ? c : nft_claims_free(c);
}

struct nft_claims *nft_claims_free(struct nft_claims *c) {
        if (!c)
                return NULL;
        map_free(c->held);
        map_free(c->owners);
        map_free(c->waiting);
        free(c);
        return NULL;
}

const char *nft_claims_holder(const struct nft_claims *c, const char *element) {
        const struct owner *o = map_get(c->held, element);

        return o ? o->key : NULL;
}

static struct owner *owner_of(struct nft_claims *c, const char *key) {
        struct owner *o = map_get(c->owners, key);

        if (o)
                return o;
        o = calloc(1, sizeof(*o) + strlen(key) + 1);
        if (!o)
                return NULL;
        memcpy(o->key, key, strlen(key) + 1);
        if (map_set(c->owners, key, o) < 0) {
                free(o);
                return NULL;
        }
        return o;
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

/* Claims one element. 1 when it is the owner's; 0 when another one holds it. */
static int claim(struct nft_claims *c, struct owner *owner, const char *element,
                const struct nft_claims_callbacks *f) {
        const struct owner *holder = map_get(c->held, element);
        int r;

        if (holder == owner)
                return 1;
        if (holder) {
                f->on_refused(owner->key, element, holder->key, f->userdata);
                return wait_for(c, element, owner->key);
        }
        r = map_set(c->held, element, owner);
        if (r < 0)
                return r;
        owner->elements++;
        return 1;
}

/* Claims one map's elements; elements that another key holds leave the model. */
static int claim_map(struct nft_claims *c, struct owner *owner, const char *name, json_t *elements,
                const struct nft_claims_callbacks *f) {
        const char *element;
        json_t *v;
        void *next;

        json_object_foreach_safe(elements, next, element, v) {
                _cleanup_free_ char *full = strformat("%s %s", name, element);
                int r = full ? claim(c, owner, full, f) : -ENOMEM;

                if (r < 0)
                        return r;
                if (r == 0)
                        (void)json_object_del(elements, element);
        }
        return 0;
}

static int claim_all(struct nft_claims *c, struct owner *owner, json_t *model,
                const struct nft_claims_callbacks *f) {
        const char *name;
        json_t *v;

        json_object_foreach (json_object_get(model, "elements"), name, v) {
                int r = claim_map(c, owner, name, v, f);

                if (r < 0)
                        return r;
        }
        return 0;
}

static void release_element(struct nft_claims *c, struct owner *owner, const char *element,
                const struct nft_claims_callbacks *f) {
        _cleanup_json_ json_t *waiting = map_steal(c->waiting, element);
        const char *key;
        json_t *v;

        assert(map_get(c->held, element) == owner && owner->elements > 0);
        owner->elements--;
        (void)map_remove(c->held, element);
        json_object_foreach (waiting, key, v)
                f->on_free(key, f->userdata);
}

/* Those of the old model that the new one has not. */
static int release_all(struct nft_claims *c, struct owner *owner, const json_t *old,
                const json_t *model, const struct nft_claims_callbacks *f) {
        const json_t *had, *v, *kept = json_object_get(model, "elements");
        const char *name, *element;

        json_object_each (json_object_get(old, "elements"), name, had) {
                const json_t *has = json_object_get(kept, name);

                json_object_each (had, element, v) {
                        _cleanup_free_ char *full =
                                        json_object_get(has, element)
                                                        ? NULL
                                                        : strformat("%s %s", name, element);

                        if (json_object_get(has, element))
                                continue;
                        if (!full)
                                return -ENOMEM;
                        release_element(c, owner, full, f);
                }
        }
        return 0;
}

int nft_claims_take(struct nft_claims *c, const char *key, const json_t *old, json_t *model,
                const struct nft_claims_callbacks *f) {
        struct owner *owner = owner_of(c, key);
        int r = owner ? claim_all(c, owner, model, f) : -ENOMEM;

        if (r < 0)
                return r;
        r = release_all(c, owner, old, model, f);
        if (owner->elements == 0)
                (void)map_remove(c->owners, key);
        return r;
}
