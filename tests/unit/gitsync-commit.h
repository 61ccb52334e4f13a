/* A commit of a GitSync for tests of decisions: texts in, wanted objects out. */
#pragma once

#include "tests/unit/unit.h"

#include "lib/object.h"
#include "reconcilers/gitsync/decide.h"
#include "reconcilers/gitsync/plan.h"

struct commit {
        struct manifest_set set;
        struct wanted wanted[16];
        struct api_resource resources[16];
        char groups[16][OBJECT_GROUP_SIZE], versions[16][OBJECT_VERSION_SIZE];
        size_t count;
};

static inline void commit_done(struct commit *c) {
        for (size_t i = 0; i < c->count; i++)
                free(c->wanted[i].key);
        manifest_set_done(&c->set);
        free(c);
}

/* files: pairs of name and text, ended by NULL. Every object is taken for namespaced. */
static inline struct commit *commit_new(const char *const *files) {
        struct manifest_owner owner = {"s", "ns"};
        struct commit *c = calloc(1, sizeof(*c));
        _cleanup_json_ json_t *list = json_array();
        _cleanup_problem_ struct problem p = {0};

        for (; *files; files += 2)
                json_array_append_new(
                                list, json_pack("{s:s, s:s}", "name", files[0], "text", files[1]));
        assert_int_equal(manifest_set_read(list, &owner, &c->set, &p), 0);
        assert_true(c->set.count <= ELEMENTS(c->wanted));
        for (size_t i = 0; i < c->set.count; i++) {
                const json_t *o = c->set.items[i].object;
                struct wanted *w = &c->wanted[i];

                assert_int_equal(object_split_api_version(object_api_version(o), c->groups[i],
                                                 c->versions[i]),
                                0);
                c->resources[i] = (struct api_resource){
                                c->groups[i], c->versions[i], "things", object_kind(o), true};
                *w = (struct wanted){.item = &c->set.items[i],
                                .resource = &c->resources[i],
                                .rank = kind_rank(c->groups[i], object_kind(o)),
                                .key = inventory_key(c->groups[i], object_kind(o),
                                                *object_namespace(o) ? object_namespace(o) : "ns",
                                                object_name(o))};
                decide_hash(o, w->resource, "", w->hash);
                c->count++;
        }
        return c;
}
