/* Finds keys that stand twice in an object. Runs only when the parser has met one, on text that is
 * known to be well-formed, so the scan trusts its shape. */
#include "kapid/schema/internal.h"

#include "lib/map.h"

enum { SCAN_DEPTH_MAX = 128, DUPLICATES_MAX = 100 };

struct level {
        struct map *keys; /* of an object; NULL in an array */
        size_t index;     /* of an array */
        size_t path_size; /* length of the path before this level's part */
};

struct scan {
        const char *s, *end;
        struct level levels[SCAN_DEPTH_MAX];
        unsigned depth;
        struct buf path;
        char **found;
        int failure;
};

static void skip_blanks(struct scan *c) {
        while (c->s < c->end && strchr(" \t\r\n", *c->s) && *c->s)
                c->s++;
}

/* A string token, unescaped by the parser that knows how. */
static char *read_string(struct scan *c) {
        const char *start = c->s++;

        while (c->s < c->end && *c->s != '"')
                c->s += *c->s == '\\' ? 2 : 1;
        c->s = MIN(c->s + 1, c->end);
        _cleanup_json_ json_t *v = json_loadb(start, (size_t)(c->s - start), JSON_DECODE_ANY, NULL);

        return v && json_is_string(v) ? strdup(json_string_value(v)) : NULL;
}

static void enter(struct scan *c, bool object) {
        if (c->depth >= SCAN_DEPTH_MAX) {
                c->failure = -EINVAL;
                return;
        }
        struct level *l = &c->levels[c->depth++];

        *l = (struct level){.keys = object ? map_new(NULL) : NULL, .path_size = c->path.size};
        if (object && !l->keys)
                c->failure = -ENOMEM;
        if (!object)
                buf_append_str(&c->path, "[0]");
        c->s++;
}

static void leave(struct scan *c) {
        if (c->depth == 0)
                return;
        struct level *l = &c->levels[--c->depth];

        c->path.size = l->path_size;
        l->keys = map_free(l->keys);
        c->s++;
}

static void meet_key(struct scan *c, struct level *l) {
        _cleanup_free_ char *key = read_string(c);

        if (!key) {
                c->failure = -ENOMEM;
                return;
        }
        c->path.size = l->path_size;
        if (c->path.size > 0)
                buf_append_char(&c->path, '.');
        buf_append_str(&c->path, key);
        if (map_get(l->keys, key)) {
                _cleanup_free_ char *text = strformat("duplicate field \"%s\"", c->path.data);

                if (strv_length(c->found) < DUPLICATES_MAX &&
                                (!text || strv_extend(&c->found, text) < 0))
                        c->failure = -ENOMEM;
        } else if (map_set(l->keys, key, l) < 0)
                c->failure = -ENOMEM;
        skip_blanks(c);
        if (c->s < c->end && *c->s == ':')
                c->s++;
}

static void next_item(struct scan *c) {
        struct level *l = c->depth > 0 ? &c->levels[c->depth - 1] : NULL;

        c->s++;
        if (l && !l->keys) {
                c->path.size = l->path_size;
                buf_printf(&c->path, "[%zu]", ++l->index);
        }
}

int json_find_duplicates(const char *text, size_t n, char ***ret) {
        struct scan c = {.s = text, .end = text + n};
        bool key_next = false;

        while (c.failure == 0) {
                skip_blanks(&c);
                if (c.s >= c.end)
                        break;
                struct level *l = c.depth > 0 ? &c.levels[c.depth - 1] : NULL;
                switch (*c.s) {
                case '{':
                case '[':
                        key_next = *c.s == '{';
                        enter(&c, key_next);
                        break;
                case '}':
                case ']':
                        leave(&c);
                        key_next = false;
                        break;
                case ',':
                        next_item(&c);
                        key_next = l && l->keys;
                        break;
                case '"':
                        if (key_next && l && l->keys)
                                meet_key(&c, l);
                        else
                                free(read_string(&c));
                        key_next = false;
                        break;
                default:
                        c.s++;
                }
        }
        while (c.depth > 0)
                map_free(c.levels[--c.depth].keys);
        buf_done(&c.path);
        if (c.failure < 0) {
                strv_free(c.found);
                return c.failure;
        }
        *ret = c.found;
        return 0;
}
