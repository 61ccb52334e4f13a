/* Shared by the tests of kapid's pure half: a registry, JSON with single quotes, comparisons. */
#pragma once

#include "kapid/pipeline/pipeline.h"
#include "lib/base.h"

static struct kind_registry *registry;

static _unused_ int setup(void **state) {
        _cleanup_problem_ struct problem p = {0};
        int r = kind_registry_new(&registry, &p);

        if (r < 0)
                fprintf(stderr, "%s\n", strempty(p.message));
        return r;
}

static _unused_ int teardown(void **state) {
        registry = kind_registry_free(registry);
        return 0;
}

static _unused_ const struct kind *kind(const char *group, const char *plural) {
        const struct kind *k = kind_registry_find(registry, group, "v1", plural);

        assert_non_null(k);
        return k;
}

/* Single quotes stand for double ones in the cases. */
static _unused_ char *quoted(const char *text) {
        char *s = strdup(text);

        assert_non_null(s);
        for (char *c = s; *c; c++)
                if (*c == '\'')
                        *c = '"';
        return s;
}

static _unused_ json_t *parse(const char *text) {
        _cleanup_free_ char *s = quoted(text);
        json_t *v = json_loads(s, JSON_DECODE_ANY, NULL);

        if (!v)
                fail_msg("bad JSON in the test: %s", s);
        return v;
}

static _unused_ void assert_json(const json_t *v, const char *expected) {
        _cleanup_json_ json_t *e = parse(expected);

        if (!v || !json_equal((json_t *)v, e)) {
                _cleanup_free_ char *a = v ? json_dumps(v, JSON_SORT_KEYS | JSON_ENCODE_ANY) : NULL;
                _cleanup_free_ char *b = json_dumps(e, JSON_SORT_KEYS | JSON_ENCODE_ANY);

                fail_msg("\n got: %s\nwant: %s", a ? a : "nothing", b);
        }
}
