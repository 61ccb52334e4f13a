/* Chains and sets go through nft's library, elements through messages of our own: new chains come
 * first, then the elements that lead to them, then chains that no element leads to any longer
 * leave. A packet finds either the old rules or the new ones of a service. */
#include "nodeagent/network/nft-apply.h"

#include "nodeagent/network/nft-kernel.h"
#include "nodeagent/network/nft-text.h"

enum { FRAME_CHAINS = 10 + NFT_PICK_MAX * FAMILIES };

struct nft_applier {
        char *refused; /* why, of the last text that was run; or NULL */
};

struct nft_applier *nft_applier_new(void) {
        return calloc(1, sizeof(struct nft_applier));
}

struct nft_applier *nft_applier_free(struct nft_applier *a) {
        if (a)
                free(a->refused);
        return mfree(a);
}

const char *nft_applier_reason(const struct nft_applier *a) {
        return strempty(a->refused);
}

static int put_change(bool add, const char *collection, const char *key, const char *value,
                void *userdata) {
        struct nft_change *c = userdata;

        return nft_batch_put(&c->elements, add, collection, key, value);
}

void nft_change_add(struct nft_change *c, const json_t *old, const json_t *model) {
        if (model_before(old, model, &c->before) < 0 || model_after(old, model, &c->after) < 0 ||
                        model_each_change(old, model, put_change, c) < 0)
                c->failed = true;
}

bool nft_change_is_empty(const struct nft_change *c) {
        return c->before.size == 0 && c->after.size == 0 && c->elements.elements == 0;
}

void nft_change_done(struct nft_change *c) {
        buf_done(&c->before);
        buf_done(&c->after);
        nft_batch_done(&c->elements);
}

static int run_text(struct nft_applier *a, const struct buf *text, unsigned *commits) {
        int r;

        a->refused = mfree(a->refused);
        if (text->failed)
                return -ENOMEM;
        if (text->size == 0)
                return 0;
        r = nft_text_run(text->data, &a->refused);
        if (r < 0)
                return r;
        ++*commits;
        return 0;
}

int nft_change_apply(struct nft_change *c, struct nft_applier *a, unsigned *commits) {
        int r = c->failed ? -ENOMEM : run_text(a, &c->before, commits);

        if (r < 0)
                return r;
        r = nft_batch_close(&c->elements);
        if (r < 0)
                return r;
        r = nft_kernel_commit(&c->elements);
        if (r < 0)
                return r;
        *commits += c->elements.elements > 0;
        return run_text(a, &c->after, commits);
}

/* ---- the whole table ---- */

struct comparison {
        const struct nft_whole *whole;
        struct nft_kernel kernel;
        struct nft_change change;
        struct map *seen; /* "collection key" of elements that are right; values are not used */
        char *marker;
};

static void comparison_done(struct comparison *c) {
        nft_kernel_done(&c->kernel);
        nft_change_done(&c->change);
        map_free(c->seen);
        free(c->marker);
}

static bool frame_is_whole(const struct comparison *c) {
        unsigned found = 0;

        if (c->whole->rewrite || !map_get(c->kernel.chains, c->marker))
                return false;
        map_foreach (c->kernel.chains, e) {
                int rules = nft_frame_rules(c->whole->frame, map_entry_key(e));

                if (rules >= 0 && (unsigned)rules != *(unsigned *)map_entry_value(e))
                        return false;
                found += rules >= 0;
        }
        for (int i = 0; i < NFT_COLLECTIONS * FAMILIES; i++)
                if (!map_get(c->kernel.sets,
                                    nft_collection_name((enum nft_collection_id)(i / FAMILIES),
                                                    (enum ip_family)(i % FAMILIES))))
                        return false;
        return found == FRAME_CHAINS;
}

/* A table of an older program may have maps of the same names and other types: it is replaced. One
 * with our marker is of this program: what failed is tried again, as a table without its elements
 * would refuse every connection meanwhile. */
static int put_frame(struct comparison *c, struct nft_applier *a, unsigned *commits) {
        static const char remove[] = "add table " NFT_TABLE "\ndelete table " NFT_TABLE "\n";
        _cleanup_buf_ struct buf text = {0}, replacing = {0};
        int r = nft_frame_text(c->whole->frame, &text);

        if (r < 0)
                return r;
        r = run_text(a, &text, commits);
        if (r >= 0 || map_get(c->kernel.chains, c->marker))
                return r;
        buf_append_str(&replacing, remove);
        buf_append(&replacing, text.data, text.size);
        r = run_text(a, &replacing, commits);
        if (r < 0)
                return r;
        map_clear(c->kernel.chains);
        map_clear(c->kernel.sets);
        return 0;
}

static bool chain_is_whole(const struct comparison *c, const char *name, const json_t *rules) {
        const unsigned *count = map_get(c->kernel.chains, name);

        return count && *count == json_array_size(rules) && !c->whole->rewrite;
}

static void add_chains(struct comparison *c, const json_t *model) {
        struct buf *out = &c->change.before;
        const json_t *v;
        const char *name;

        json_object_each (json_object_get(model, "sets"), name, v)
                if (!map_get(c->kernel.sets, name))
                        model_set_text(name, v, out);
        json_object_each (json_object_get(model, "chains"), name, v)
                if (!chain_is_whole(c, name, v))
                        buf_printf(out,
                                        "add chain " NFT_TABLE " %s\nflush chain " NFT_TABLE
                                        " %s\n",
                                        name, name);
        json_object_each (json_object_get(model, "chains"), name, v)
                if (!chain_is_whole(c, name, v))
                        model_chain_text(name, v, out);
}

/* The value that a model gives to an element; NULL: none does. */
static const char *wanted_value(const struct nft_whole *w, const char *collection, const char *key,
                const char *full) {
        const char *holder = nft_claims_holder(w->claims, full);
        const json_t *model = holder ? map_get(w->models, holder) : NULL;

        return json_string_value(json_object_get(
                        json_object_get(json_object_get(model, "elements"), collection), key));
}

/* Elements that only models of pods have. */
static bool is_of_pod(const char *collection, const char *value) {
        enum nft_collection_id id;
        enum ip_family family;

        return startswith(value, "goto " HOST_CHAIN) ||
               (nft_collection_find(collection, &id, &family) && id == NFT_HAIRPIN);
}

static int on_kernel_element(bool add, const char *collection, const char *key, const char *value,
                void *userdata) {
        struct comparison *c = userdata;
        _cleanup_free_ char *full = strformat("%s %s", collection, key);
        const char *want;

        if (!full)
                return -ENOMEM;
        want = wanted_value(c->whole, collection, key, full);
        if (want && streq(want, value))
                return map_set(c->seen, full, c);
        if (!want && c->whole->keep_pods && is_of_pod(collection, value))
                return 0;
        return nft_batch_put(&c->change.elements, /* add= */ false, collection, key, value);
}

static int add_missing(struct comparison *c, const char *collection) {
        map_foreach (c->whole->models, e) {
                const json_t *v, *elements = json_object_get(
                                                 json_object_get(map_entry_value(e), "elements"),
                                                 collection);
                const char *key;

                json_object_each (elements, key, v) {
                        _cleanup_free_ char *full =
                                        map_size(c->seen) > 0 ? strformat("%s %s", collection, key)
                                                              : NULL;
                        int r;

                        if (full && map_get(c->seen, full))
                                continue;
                        r = nft_batch_put(&c->change.elements, /* add= */ true, collection, key,
                                        json_string_value(v));
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int compare_elements(struct comparison *c) {
        for (int i = NFT_COLLECTIONS * FAMILIES - 1; i >= 0; i--) {
                const char *name = nft_collection_name((enum nft_collection_id)(i / FAMILIES),
                                (enum ip_family)(i % FAMILIES));
                int r = map_get(c->kernel.sets, name)
                                        ? nft_kernel_elements(name, on_kernel_element, c)
                                        : 0;

                if (r < 0)
                        return r;
        }
        for (int i = 0; i < NFT_COLLECTIONS * FAMILIES; i++) {
                int r = add_missing(c, nft_collection_name((enum nft_collection_id)(i / FAMILIES),
                                                       (enum ip_family)(i % FAMILIES)));

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Chains and sets that no model has. */
static bool is_left_over(const struct comparison *c, const char *name, const struct map *names) {
        if (!nft_name_is_of_models(name) || streq(name, c->marker) || map_get(names, name))
                return false;
        return !c->whole->keep_pods || !startswith(name, HOST_CHAIN);
}

static void remove_others(struct comparison *c, const struct map *names) {
        static const char *const verbs[] = {"flush", "delete"};
        struct buf *out = &c->change.after;

        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                map_foreach (c->kernel.chains, e) {
                        if (is_left_over(c, map_entry_key(e), names))
                                buf_printf(out, "%s chain " NFT_TABLE " %s\n", verbs[i],
                                                map_entry_key(e));
                }
        map_foreach (c->kernel.sets, e) {
                if (is_left_over(c, map_entry_key(e), names))
                        buf_printf(out, "delete set " NFT_TABLE " %s\n", map_entry_key(e));
        }
}

static int collect_names(const json_t *model, struct map *names) {
        static const char *const parts[] = {"sets", "chains"};
        const json_t *v;
        const char *name;

        for (size_t i = 0; i < ELEMENTS(parts); i++)
                json_object_each (json_object_get(model, parts[i]), name, v)
                        if (map_set(names, name, names) < 0)
                                return -ENOMEM;
        return 0;
}

static int compare(struct comparison *c) {
        _cleanup_(map_freep) struct map *names = map_new(NULL);
        int r;

        if (!names)
                return -ENOMEM;
        map_foreach (c->whole->models, e) {
                add_chains(c, map_entry_value(e));
                r = collect_names(map_entry_value(e), names);
                if (r < 0)
                        return r;
        }
        remove_others(c, names);
        return compare_elements(c);
}

int nft_whole_apply(const struct nft_whole *w, struct nft_applier *a, unsigned *commits) {
        _cleanup_(comparison_done) struct comparison c = {
                        .whole = w, .seen = map_new(NULL), .marker = nft_frame_marker(w->frame)};
        int r;

        if (!c.seen || !c.marker)
                return -ENOMEM;
        r = nft_kernel_read(&c.kernel);
        if (r < 0)
                return r;
        if (!frame_is_whole(&c)) {
                r = put_frame(&c, a, commits);
                if (r < 0)
                        return r;
        }
        r = compare(&c);
        if (r < 0)
                return r;
        return nft_change_apply(&c.change, a, commits);
}
