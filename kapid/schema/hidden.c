/* Warnings about items of keyed lists that stand twice. The API takes them in a create or an update
 * of a built-in kind, but a later apply keeps only one, so their author should know. */
#include "kapid/schema/internal.h"
#include "lib/map.h"

enum { HIDDEN_MAX = 20 };

struct hidden {
        struct findings at; /* for its path only */
        char ***warnings;
        size_t count;
        int failure;
};

static const char *path_of(const struct hidden *h) {
        return h->at.path.size ? h->at.path.data : "";
}

static void warn(struct hidden *h, char *text_taken) {
        _cleanup_free_ char *text = text_taken;

        if (h->count++ >= HIDDEN_MAX)
                return;
        if (!text || strv_extend(h->warnings, text) < 0)
                h->failure = -ENOMEM;
}

/* An item's identity: its keys, or the item itself; the text is the caller's. */
static char *key_text(const struct schema *s, const json_t *item) {
        _cleanup_json_ json_t *keys = NULL;

        if (s->list != LIST_MAP)
                return json_dumps(item, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
        if (!s->map_keys[1])
                return json_dumps(json_object_get(item, s->map_keys[0]),
                                JSON_COMPACT | JSON_ENCODE_ANY);
        keys = json_object();
        for (size_t i = 0; s->map_keys[i]; i++) {
                json_t *v = json_object_get(item, s->map_keys[i]);

                if (v && json_object_set(keys, s->map_keys[i], v) < 0)
                        return NULL;
        }
        return json_dumps(keys, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
}

static bool is_port(const struct schema *s) {
        for (size_t i = 0; s->map_keys && s->map_keys[i]; i++)
                if (streq(s->map_keys[i], "protocol"))
                        return true;
        return false;
}

/* A variable whose value names itself adds to the earlier one. */
static bool extends_itself(const json_t *item) {
        const char *value = json_str(item, "value"), *name = json_str(item, "name");
        _cleanup_free_ char *reference = name ? strformat("$(%s)", name) : NULL;

        return value && reference && strstr(value, reference);
}

static void check_list(struct hidden *h, const struct schema *s, const json_t *list) {
        struct map *seen = map_new(NULL); /* key -> the first item that has it */
        const json_t *item;
        size_t i;

        json_array_foreach (list, i, item) {
                _cleanup_free_ char *key = key_text(s, item);
                const json_t *first = key && seen ? map_get(seen, key) : NULL;

                if (!key)
                        continue;
                if (!first) {
                        if (!seen || map_set(seen, key, (void *)item) < 0)
                                h->failure = -ENOMEM;
                        continue;
                }
                if (extends_itself(item))
                        continue;
                if (is_port(s)) {
                        size_t before = 0;

                        while (json_array_get(list, before) != first)
                                before++;
                        warn(h, strformat("%s[%zu]: duplicate port definition with %s[%zu]",
                                                path_of(h), i, path_of(h), before));
                } else
                        warn(h, strformat("%s[%zu]: hides previous definition of %s, which may be "
                                          "dropped when using apply",
                                                path_of(h), i, key));
        }
        map_free(seen);
}

/* A status is written by programs, as a whole: a node has two addresses of one type. */
static void on_list(
                struct findings *at, const struct schema *s, const json_t *list, void *userdata) {
        struct hidden *h = userdata;

        if (json_array_size(list) > 1 && !(s->flags & SCHEMA_UNIQUE_KEYS) &&
                        !startswith(path_of(h), "status.") && !schema_has_no_twins(s, list))
                check_list(h, s, list);
}

int schema_warn_hidden(const struct schema *s, const json_t *object, char ***warnings) {
        struct hidden h = {.warnings = warnings};

        schema_each_list(&h.at, s, object, on_list, &h);
        findings_done(&h.at);
        return h.failure;
}
