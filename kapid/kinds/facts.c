/* Writes the catalogue of kinds (lib/client/kinds.h): what a document says about its kind as a
 * whole, in spec.names and spec.x-keelson. A key that this file does not know is refused, so that a
 * misspelt fact is a failed build. */
#include "kapid/kinds/facts.h"

#include "kapid/kinds/c-text.h"

static bool is_kind(const json_t *document) {
        return json_at(document, "spec.names.plural") != NULL;
}

/* "KIND_PODS" */
static void id_of(const json_t *documents, size_t index, struct buf *b) {
        const json_t *spec = json_object_get(json_array_get(documents, index), "spec");
        const char *plural = json_str_or(spec, "names.plural", ""),
                   *group = json_str_or(spec, "group", "");
        size_t begin = b->size + strlen("KIND_");
        bool taken = false;

        for (size_t i = 0; i < index; i++)
                taken |= streq(json_str_or(json_array_get(documents, i), "spec.names.plural", ""),
                                plural);
        buf_append_str(b, "KIND_");
        if (taken)
                buf_printf(b, "%.*s_", (int)strcspn(group, "."), group);
        buf_append_str(b, plural);
        for (size_t i = begin; !b->failed && i < b->size; i++)
                if (b->data[i] >= 'a' && b->data[i] <= 'z')
                        b->data[i] = (char)(b->data[i] - 'a' + 'A');
}

void facts_write_ids(const json_t *documents) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *d;
        size_t i;

        json_array_foreach (documents, i, d) {
                if (!is_kind(d))
                        continue;
                buf_append_str(&b, "        ");
                id_of(documents, i, &b);
                buf_append_str(&b, ",\n");
        }
        assert(!b.failed);
        printf("/* Made from kapid/kinds/ at build time: the kinds, in the order of the catalogue. "
               "*/\n"
               "#pragma once\n\nenum kind_id {\n%s        KINDS_MAX,\n};\n",
                        strempty(b.data));
}

/* A member of the table with a path or text, where the document has it. */
static void text_member(struct buf *b, const char *member, const json_t *object, const char *key) {
        const char *text = json_str(object, key);

        if (!text)
                return;
        buf_printf(b, ".%s = ", member);
        c_string(b, text);
        buf_append_str(b, ", ");
}

/* A list of words; never NULL. */
static void words_member(struct buf *b, const char *member, const json_t *words) {
        const json_t *w;
        size_t i;

        buf_printf(b, ".%s = (const char *const[]){", member);
        json_array_foreach (words, i, w) {
                c_string(b, strempty(json_string_value(w)));
                buf_append_str(b, ", ");
        }
        buf_append_str(b, "NULL}, ");
}

/* How a value of the document is compared: as text. */
static char *value_text(const json_t *v) {
        return !v                  ? NULL
               : json_is_string(v) ? strdup(json_string_value(v))
                                   : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
}

static void append_rule(struct buf *b, const json_t *rule) {
        _cleanup_free_ char *value = value_text(json_object_get(rule, "value"));

        buf_append_char(b, '{');
        text_member(b, "condition", rule, "condition");
        text_member(b, "reason", rule, "reason");
        text_member(b, "path", rule, "path");
        buf_append_str(b, ".value = ");
        c_string(b, value);
        buf_append_str(b, ", ");
        text_member(b, "text", rule, "text");
        buf_append_str(b, "}, ");
}

static void rules_member(struct buf *b, const char *member, const json_t *rules) {
        const json_t *rule;
        size_t i;

        buf_printf(b, ".%s = (const struct kind_rule[]){", member);
        json_array_foreach (rules, i, rule)
                append_rule(b, rule);
        buf_append_str(b, "{0}}, ");
}

static void manual_member(struct buf *b, const json_t *rule) {
        buf_append_str(b, ".manual = (const struct kind_rule[]){");
        if (rule)
                append_rule(b, rule);
        buf_append_str(b, "{0}}, ");
}

static void health_member(struct buf *b, const json_t *health) {
        const json_t *replicas = json_object_get(health, "replicas");

        if (!health)
                return;
        buf_append_str(b, "\n         .health = &(const struct kind_health){");
        text_member(b, "observed", health, "observed");
        rules_member(b, "failed", json_object_get(health, "failed"));
        rules_member(b, "ready", json_object_get(health, "ready"));
        text_member(b, "otherwise", health, "otherwise");
        text_member(b, "wanted", replicas, "wanted");
        text_member(b, "updated", replicas, "updated");
        text_member(b, "current", replicas, "current");
        text_member(b, "available", replicas, "available");
        text_member(b, "held_back", replicas, "heldBack");
        manual_member(b, json_object_get(replicas, "manual"));
        buf_append_str(b, "}, ");
}

static void rollout_member(struct buf *b, const json_t *documents, const json_t *rollout) {
        const char *revisions = json_str_or(rollout, "revisions", "");

        if (!rollout)
                return;
        buf_append_str(b, "\n         .rollout = &(const struct kind_rollout){.revisions = ");
        for (size_t i = 0; i < json_array_size(documents); i++)
                if (streq(json_str_or(json_array_get(documents, i), "spec.names.plural", ""),
                                    revisions)) {
                        id_of(documents, i, b);
                        break;
                }
        buf_append_str(b, ", ");
        text_member(b, "revision_annotation", rollout, "revisionAnnotation");
        text_member(b, "revision_path", rollout, "revisionPath");
        text_member(b, "template_path", rollout, "templatePath");
        text_member(b, "hash_label", rollout, "hashLabel");
        text_member(b, "paused", rollout, "paused");
        buf_append_str(b, "}, ");
}

/* Whether an object has only these keys (separated by blanks). */
static int keys_are(const json_t *object, const char *kind, const char *at, const char *known) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)object, key, v) {
                size_t n = strlen(key);
                const char *found = known;

                while ((found = strstr(found, key)) &&
                                ((found > known && found[-1] != ' ') ||
                                                (found[n] && found[n] != ' ')))
                        found++;
                if (!found) {
                        fprintf(stderr, "kinds-to-c: %s: %s.%s is not a known fact\n", kind, at,
                                        key);
                        return -EINVAL;
                }
        }
        return 0;
}

static int check(const json_t *facts, const char *kind) {
        int r = keys_are(facts, kind, "x-keelson",
                        "applyRank podTemplate health rollout followsOthers "
                        "inEachNamespace confidential");

        if (r < 0)
                return r;
        r = keys_are(json_object_get(facts, "health"), kind, "x-keelson.health",
                        "observed failed ready otherwise replicas");
        if (r < 0)
                return r;
        r = keys_are(json_at(facts, "health.replicas"), kind, "x-keelson.health.replicas",
                        "wanted updated current available heldBack manual");
        if (r < 0)
                return r;
        return keys_are(json_object_get(facts, "rollout"), kind, "x-keelson.rollout",
                        "paused revisions revisionAnnotation revisionPath templatePath "
                        "hashLabel");
}

static bool has_list(const json_t *version) {
        const json_t *verbs = json_at(version, "x-keelson.verbs"), *v;
        size_t i;

        json_array_foreach (verbs, i, v)
                if (streq(strempty(json_string_value(v)), "list"))
                        return true;
        return !verbs;
}

static int add_kind(struct buf *b, const json_t *documents, size_t index) {
        const json_t *spec = json_object_get(json_array_get(documents, index), "spec");
        const json_t *names = json_object_get(spec, "names"),
                     *facts = json_object_get(spec, "x-keelson"),
                     *version = json_array_get(json_object_get(spec, "versions"), 0);
        const char *kind = json_str_or(names, "kind", "");
        int r = check(facts, kind);

        if (r < 0)
                return r;
        buf_append_str(b, "        [");
        id_of(documents, index, b);
        buf_append_str(b, "] = {.resource = {");
        c_string(b, json_str_or(spec, "group", ""));
        buf_append_str(b, ", ");
        c_string(b, json_str_or(version, "name", ""));
        buf_append_str(b, ", ");
        c_string(b, json_str_or(names, "plural", ""));
        buf_append_str(b, ", ");
        c_string(b, kind);
        buf_printf(b, ", %s},\n         ",
                        streq(json_str_or(spec, "scope", ""), "Namespaced") ? "true" : "false");
        text_member(b, "singular", names, "singular");
        words_member(b, "short_names", json_object_get(names, "shortNames"));
        words_member(b, "categories", json_object_get(names, "categories"));
        words_member(b, "in_each_namespace", json_object_get(facts, "inEachNamespace"));
        text_member(b, "pod_template", facts, "podTemplate");
        buf_printf(b, "\n         .listable = %s, .follows_others = %s, .confidential = %s, ",
                        has_list(version) ? "true" : "false",
                        json_bool_or(facts, "followsOthers", false) ? "true" : "false",
                        json_bool_or(facts, "confidential", false) ? "true" : "false");
        buf_printf(b, ".apply_rank = %lld, ", (long long)json_int_or(facts, "applyRank", -1));
        health_member(b, json_object_get(facts, "health"));
        rollout_member(b, documents, json_object_get(facts, "rollout"));
        buf_append_str(b, "},\n");
        return 0;
}

int facts_write_c(const json_t *documents) {
        _cleanup_buf_ struct buf b = {0};

        for (size_t i = 0; i < json_array_size(documents); i++) {
                if (!is_kind(json_array_get(documents, i)))
                        continue;
                int r = add_kind(&b, documents, i);
                if (r < 0)
                        return r;
        }
        assert(!b.failed);
        printf("/* Made from kapid/kinds/ at build time. */\n#include \"lib/client/kinds.h\"\n\n"
               "const struct kind_facts kind_facts[KINDS_MAX] = {\n%s};\n",
                        strempty(b.data));
        return 0;
}
