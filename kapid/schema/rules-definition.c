/* The rules of a definition that is being written, judged in Kubernetes' words: their form, whether
 * they compile, what they may cost, where they may look at the value before. */
#include "kapid/schema/rules-internal.h"

enum { EXPENSIVE_MAX = 4, REQUEST_SIZE_MAX = 3 * 1024 * 1024 };

static const char *const reasons[] = {"FieldValueDuplicate", "FieldValueForbidden",
                "FieldValueInvalid", "FieldValueRequired"};

struct expensive {
        char *path;
        uint64_t cost;
};

struct judge {
        struct findings *f;
        uint64_t total;
        struct expensive most[EXPENSIVE_MAX]; /* the dearest first */
        size_t most_count;
        const char *uncorrelated; /* the path of the list that has no keys; NULL: none */
};

static bool has_line_break(const char *text, size_t n) {
        return memchr(text, '\n', n) || memchr(text, '\r', n);
}

/* A text that is given must say something, in one line. */
static void check_line(struct findings *f, const json_t *doc, const char *key, const char *empty) {
        const json_t *v = json_object_get(doc, key);
        const char *text = json_string_value(v);
        size_t n;

        if (isempty(text))
                return;
        text = rules_trimmed(text, &n);
        if (n == 0)
                finding_add(f, FINDING_INVALID, key, v, "%s", empty);
        else if (has_line_break(text, n))
                finding_add(f, FINDING_INVALID, key, v, "must not contain line breaks");
}

static void check_reason(struct findings *f, const json_t *doc) {
        const json_t *v = json_object_get(doc, "reason");

        for (size_t i = 0; i < ELEMENTS(reasons); i++)
                if (!v || streq_ptr(json_string_value(v), reasons[i]))
                        return;
        finding_add(f, FINDING_NOT_SUPPORTED, "reason", v,
                        "supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", "
                        "\"FieldValueInvalid\", \"FieldValueRequired\"");
}

static void check_form(struct findings *f, const json_t *schema, const json_t *doc) {
        const char *path = json_str_or(doc, "fieldPath", ""), *text;
        _cleanup_free_ char *normal = NULL;
        bool memory = false;
        size_t n, message;

        text = rules_trimmed(json_str_or(doc, "rule", ""), &n);
        (void)rules_trimmed(json_str_or(doc, "message", ""), &message);
        if (n == 0)
                finding_add(f, FINDING_REQUIRED, "rule", NULL, "rule is not specified");
        check_line(f, doc, "message", "must be non-empty if specified");
        if (n > 0 && has_line_break(text, n) && message == 0)
                finding_add(f, FINDING_REQUIRED, "message", NULL,
                                "message must be specified if rule contains line breaks");
        (void)rules_trimmed(json_str_or(doc, "messageExpression", ""), &n);
        if (*json_str_or(doc, "messageExpression", "") && n == 0)
                finding_add(f, FINDING_REQUIRED, "messageExpression", NULL,
                                "messageExpression must be non-empty if specified");
        check_reason(f, doc);
        check_line(f, doc, "fieldPath", "must be non-empty if specified");
        if (!*path)
                return;
        normal = rules_field_path(schema, path, &memory);
        f->failed |= memory;
        if (!normal && !memory)
                finding_add(f, FINDING_INVALID, "fieldPath", json_object_get(doc, "fieldPath"),
                                "must be a valid path");
}

static void check_forms(struct findings *f, const json_t *schema) {
        const json_t *doc;
        size_t i;

        json_array_foreach (json_object_get(schema, "x-kubernetes-validations"), i, doc) {
                size_t at = findings_push(f, "x-kubernetes-validations");

                findings_push_index(f, i);
                check_form(f, schema, doc);
                findings_pop(f, at);
        }
}

static void cost_factor(char *text, size_t size, uint64_t cost, uint64_t most) {
        double factor = (double)cost / (double)most;

        if (factor > 100)
                (void)snprintf(text, size, "more than 100x");
        else if (factor < 1.5)
                (void)snprintf(text, size, "%fx", factor);
        else
                (void)snprintf(text, size, "%.1fx", factor);
}

static void too_expensive(struct findings *f, const char *key, const char *what, uint64_t cost,
                uint64_t most) {
        char factor[64];

        cost_factor(factor, sizeof(factor), cost, most);
        finding_add(f, FINDING_FORBIDDEN, key, NULL,
                        "%s exceeds budget by factor of %s (try simplifying the rule, or adding "
                        "maxItems, maxProperties, and maxLength where arrays, maps, and strings "
                        "are declared)",
                        what, factor);
}

static void observe(struct judge *j, const char *key, uint64_t cost) {
        struct expensive e = {.cost = cost};

        j->total = cel_cost_add(j->total, cost);
        if (cost < CEL_ESTIMATE_ALL_MAX / 100)
                return;
        e.path = strformat("%s.%s", strempty(j->f->path.data), key);
        if (!e.path)
                j->f->failed = true;
        for (size_t i = 0; i < EXPENSIVE_MAX; i++)
                if (i == j->most_count || j->most[i].cost < e.cost) {
                        struct expensive next = j->most[i];

                        j->most[i] = e;
                        e = i == j->most_count ? (struct expensive){} : next;
                        if (i == j->most_count) {
                                j->most_count++;
                                break;
                        }
                }
        free(e.path);
}

static void check_cost(struct judge *j, const char *key, const char *what, uint64_t cost) {
        if (cost > CEL_ESTIMATE_MAX)
                too_expensive(j->f, key, what, cost, CEL_ESTIMATE_MAX);
        observe(j, key, cost);
}

/* times: how often values like the node's may be there; UINT64_MAX: nothing bounds it. */
static void check_rule(struct judge *j, const struct rules_node *n, const struct rule *rule,
                uint64_t times) {
        uint64_t unbounded = n->type ? REQUEST_SIZE_MAX / (n->type->size_json_min + 1) : 1;

        if (rule->program)
                check_cost(j, "rule", "estimated rule cost",
                                cel_cost_multiply(cel_program_estimate(rule->program).max,
                                                times == UINT64_MAX ? unbounded : times));
        if (rule->error)
                finding_add(j->f, FINDING_INVALID, "rule", rule->doc, "%s", rule->error);
        if (rule->message_error)
                finding_add(j->f, FINDING_INVALID, "messageExpression", rule->doc, "%s",
                                rule->message_error);
        if (rule->message)
                check_cost(j, "messageExpression", "estimated messageExpression cost",
                                cel_program_estimate(rule->message).max);
        if (rule->uses_old && j->uncorrelated)
                finding_add(j->f, FINDING_INVALID, "rule", json_object_get(rule->doc, "rule"),
                                "oldSelf cannot be used on the uncorrelatable portion of the "
                                "schema within %s",
                                j->uncorrelated);
        if (rule->program && !rule->uses_old && json_object_get(rule->doc, "optionalOldSelf"))
                finding_add(j->f, FINDING_INVALID, "optionalOldSelf",
                                json_object_get(rule->doc, "optionalOldSelf"),
                                "may not be set if oldSelf is not used in rule");
}

/* Beyond it a number of items means nothing, and no double beyond 2^64 has an integer. */
#define BOUND_MAX 1e15

/* How often an item or value may be there under one value of the node; UINT64_MAX: not bounded. */
static uint64_t bound_of(const json_t *schema, const char *key, uint64_t times) {
        const json_t *v = json_object_get(schema, key);
        double number;

        if (times == UINT64_MAX || !json_is_number(v))
                return UINT64_MAX;
        number = MAX(json_number_value(v), 0.0);
        return cel_cost_multiply(times, (uint64_t)MIN(number, BOUND_MAX));
}

static void judge_node(struct judge *j, const struct rules_node *n, uint64_t times);

static void judge_items(struct judge *j, const struct rules_node *n, uint64_t times) {
        const char *outer = j->uncorrelated,
                   *kind = json_str_or(n->schema, "x-kubernetes-list-type", "");
        _cleanup_free_ char *here = NULL;
        size_t at;

        if (!outer && !streq(kind, "map")) {
                here = strdup(strempty(j->f->path.data));
                j->f->failed |= !here;
                j->uncorrelated = here;
        }
        at = findings_push(j->f, "items");
        judge_node(j, n->items, bound_of(n->schema, "maxItems", times));
        findings_pop(j->f, at);
        j->uncorrelated = outer;
}

static void judge_node(struct judge *j, const struct rules_node *n, uint64_t times) {
        size_t at;

        if (n->additional) {
                at = findings_push(j->f, "additionalProperties");
                judge_node(j, n->additional, bound_of(n->schema, "maxProperties", times));
                findings_pop(j->f, at);
        }
        for (size_t i = 0; i < n->child_count; i++) {
                at = findings_push(j->f, "properties");
                findings_push_key(j->f, n->children[i].name);
                judge_node(j, n->children[i].node, times);
                findings_pop(j->f, at);
        }
        if (n->items)
                judge_items(j, n, times);
        for (size_t i = 0; i < n->rule_count; i++) {
                at = findings_push(j->f, "x-kubernetes-validations");
                findings_push_index(j->f, i);
                check_rule(j, n, &n->rules[i], times);
                findings_pop(j->f, at);
        }
}

static void check_forms_below(struct findings *f, const json_t *schema, unsigned depth) {
        static const char *const single[] = {"items", "additionalProperties"};
        const json_t *child;
        const char *name;
        size_t at;

        if (!json_is_object(schema) || depth > RULES_DEPTH_MAX)
                return;
        for (size_t i = 0; i < ELEMENTS(single); i++) {
                at = findings_push(f, single[i]);
                check_forms_below(f, json_object_get(schema, single[i]), depth + 1);
                findings_pop(f, at);
        }
        json_object_each (json_object_get(schema, "properties"), name, child) {
                at = findings_push(f, "properties");
                findings_push_key(f, name);
                check_forms_below(f, child, depth + 1);
                findings_pop(f, at);
        }
        check_forms(f, schema);
}

static void check_total(struct judge *j) {
        if (j->total > CEL_ESTIMATE_ALL_MAX) {
                size_t length = j->f->path.size;
                _cleanup_free_ char *root = strdup(strempty(j->f->path.data));

                j->f->failed |= !root;
                for (size_t i = 0; i < j->most_count && root; i++) {
                        findings_pop(j->f, 0);
                        finding_add(j->f, FINDING_FORBIDDEN, j->most[i].path, NULL,
                                        "contributed to estimated rule & messageExpression cost "
                                        "total exceeding cost limit for entire OpenAPIv3 schema");
                        findings_push(j->f, root);
                }
                assert(j->f->failed || j->f->path.size == length);
                too_expensive(j->f, NULL,
                                "x-kubernetes-validations estimated rule & messageExpression cost "
                                "total for entire OpenAPIv3 schema",
                                j->total, CEL_ESTIMATE_ALL_MAX);
        }
        for (size_t i = 0; i < j->most_count; i++)
                free(j->most[i].path);
}

void rules_check_definition(struct findings *f, const json_t *schema) {
        _cleanup_(rules_base_freep) struct rules_base *base = NULL;
        _cleanup_(rules_freep) struct rules *rules = NULL;
        struct judge j = {.f = f};
        size_t before = findings_count(f);

        check_forms_below(f, schema, 0);
        if (findings_count(f) > before || !rules_are_in(schema, 0))
                return;
        if (rules_base_new(&base) < 0 || rules_new(schema, base, &rules) < 0) {
                f->failed = true;
                return;
        }
        if (!rules)
                return;
        judge_node(&j, rules->root, 1);
        check_total(&j);
}
