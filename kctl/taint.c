/* kctl taint: KEY[=VALUE]:EFFECT sets a taint of nodes, KEY[:EFFECT]- removes. The list is changed
 * as it was read: another change in between is seen (409) and the whole is tried again. */
#include "kctl/kctl.h"
#include "lib/object.h"

enum { TRIES_MAX = 5 };

static bool is_effect(const char *s) {
        return streq(s, "NoSchedule") || streq(s, "PreferNoSchedule") || streq(s, "NoExecute");
}

/* One word as {key, value, effect}; "remove" is true where it ends in '-', and no effect then
 * means every one. */
static json_t *taint_parse(const char *word, struct problem *p) {
        size_t n = strlen(word);
        bool remove = n > 1 && word[n - 1] == '-';
        _cleanup_free_ char *text = strndup(word, remove ? n - 1 : n);
        char *colon = text ? strchr(text, ':') : NULL, *equals;
        const char *effect = "", *value = "";

        if (!text)
                return NULL;
        if (colon) {
                *colon = 0;
                effect = colon + 1;
        }
        equals = strchr(text, '=');
        if (equals) {
                *equals = 0;
                value = equals + 1;
        }
        if (!*text || (colon ? !is_effect(effect) : !remove) || (remove && equals)) {
                problem_set(p, EINVAL, 0, NULL,
                                "\"%s\" is neither KEY[=VALUE]:EFFECT nor KEY[:EFFECT]-; EFFECT is "
                                "NoSchedule, PreferNoSchedule or NoExecute",
                                word);
                return NULL;
        }
        return json_pack("{s:s, s:s, s:s, s:b}", "key", text, "value", value, "effect", effect,
                        "remove", remove);
}

static bool is_meant(const json_t *change, const json_t *taint) {
        const char *effect = json_str_or(change, "effect", "");

        return streq(json_str_or(taint, "key", ""), json_str_or(change, "key", "")) &&
               (!*effect || streq(json_str_or(taint, "effect", ""), effect));
}

/* The list after one change. 0, or a refusal. */
static int change_list(struct kctl *k, const char *node, json_t *taints, const json_t *change,
                struct problem *p) {
        const char *key = json_str_or(change, "key", ""),
                   *effect = json_str_or(change, "effect", ""),
                   *value = json_str_or(change, "value", "");
        bool remove = json_bool_or(change, "remove", false), found = false;

        for (size_t i = json_array_size(taints); i-- > 0;) {
                const json_t *old = json_array_get(taints, i);

                if (!is_meant(change, old))
                        continue;
                found = true;
                if (!remove && !k->flags.overwrite && !streq(json_str_or(old, "value", ""), value))
                        return problem_set(p, EEXIST, 0, NULL,
                                        "node \"%s\" has the taint %s:%s with the value \"%s\" "
                                        "already; --overwrite replaces it",
                                        node, key, effect, json_str_or(old, "value", ""));
                (void)json_array_remove(taints, i);
        }
        if (remove)
                return found ? 0
                             : problem_set(p, ENOENT, 0, NULL,
                                               "node \"%s\" has no taint \"%s%s%s\"", node, key,
                                               *effect ? ":" : "", effect);
        json_t *taint = json_pack("{s:s, s:s}", "key", key, "effect", effect);
        if (taint && *value)
                (void)json_object_set_new(taint, "value", json_string(value));
        return json_array_append_new(taints, taint) < 0 ? -ENOMEM : 0;
}

static int taint_once(
                struct kctl *k, const struct target *t, const json_t *changes, struct problem *p) {
        _cleanup_free_ char *path = target_path(t, /* subresource= */ NULL, /* query= */ NULL),
                            *to = target_path(t, NULL,
                                            streq_ptr(k->flags.dry_run, "server")
                                                            ? "fieldManager=kctl&dryRun=All"
                                                            : "fieldManager=kctl");
        _cleanup_json_ json_t *node = NULL, *taints = NULL, *patch = NULL;
        const json_t *change;
        size_t i;
        int r = path && to ? api_get(k->client, path, &node, p) : -ENOMEM;

        if (r < 0)
                return r;
        taints = json_deep_copy(json_at(node, "spec.taints"));
        if (!taints)
                taints = json_array();
        json_array_foreach (changes, i, change) {
                r = change_list(k, t->name, taints, change, p);
                if (r < 0)
                        return r;
        }
        patch = json_pack("{s:{s:s}, s:{s:O}}", "metadata", "resourceVersion",
                        json_str_or(node, "metadata.resourceVersion", ""), "spec", "taints",
                        taints);
        return patch ? api_patch_request(k->client, to, API_PATCH_MERGE, patch, NULL, p) : -ENOMEM;
}

static int taint_node(
                struct kctl *k, const struct target *t, const json_t *changes, struct problem *p) {
        int r = 0;

        for (unsigned i = 0; i < TRIES_MAX; i++) {
                problem_done(p);
                r = taint_once(k, t, changes, p);
                if (r == 0 || p->code != 409)
                        break;
        }
        if (r == 0)
                printf("node/%s %s\n", t->name,
                                json_bool_or(json_array_get(changes, 0), "remove", false)
                                                ? "untainted"
                                                : "tainted");
        return r;
}

/* Words with ':' or a last '-' are taints, those before them nodes; the kind may stand first, as
 * kubectl has it. */
static int split_words(struct kctl *k, char ***ret_nodes, json_t *changes, struct problem *p) {
        char **w = k->words;
        int r = strv_extend(ret_nodes, api_resource(KIND_NODES)->plural);

        if (w && kind_is_called(&kind_facts[KIND_NODES], *w))
                w++;
        for (; r >= 0 && w && *w; w++) {
                const char *name = startswith(*w, "node/");
                size_t n = strlen(*w);

                if (strpbrk(*w, ":=") || (n > 1 && (*w)[n - 1] == '-')) {
                        json_t *change = taint_parse(*w, p);

                        r = !change ? -EINVAL : json_array_append_new(changes, change);
                } else
                        r = strv_extend(ret_nodes, name ? name : *w);
        }
        if (r < 0)
                return r;
        if (strv_length(*ret_nodes) == 1 && !k->flags.selector && !k->flags.all)
                return problem_set(p, EINVAL, 0, NULL,
                                "which node? Give names, -l LABELS or --all; kctl get nodes lists "
                                "them");
        if (json_array_size(changes) == 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "nothing to change: give KEY[=VALUE]:EFFECT to set, KEY[:EFFECT]- "
                                "to remove");
        return 0;
}

int kctl_taint(struct kctl *k) {
        _cleanup_strv_free_ char **nodes = NULL;
        _cleanup_json_ json_t *changes = json_array();
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        char **own = k->words;
        int r = changes ? split_words(k, &nodes, changes, &p) : -ENOMEM, code = EXIT_OK;

        if (r < 0)
                return kctl_fail(&p);
        k->words = nodes;
        r = targets_resolve(k, 0, &t, &p);
        k->words = own;
        if (r < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++)
                if (taint_node(k, &t.items[i], changes, &p) < 0)
                        code = kctl_fail(&p);
        return code;
}
