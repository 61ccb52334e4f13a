/* Rules carried out on an object. Values are read where they stand in the object's tree; each rule
 * has a budget of its own within that of the object, and memory of its own. The time and the steps
 * of patterns are the object's. */
#include "kapid/schema/rules-internal.h"
#include "lib/map.h"
#include "lib/timefmt.h"

enum {
        MESSAGE_MAX = 5 * 1024,
        OBJECT_US = 2 * 1000 * 1000, /* all rules of one object */
};

/* A part of the object beside what it was: for what did not change. */
struct pair {
        const json_t *now, *was; /* was NULL: there was none to compare with */
        struct pair *outer;      /* the part around it */
        bool compared, same;     /* that it is what it was, once that is known */
};

struct judge {
        struct findings *f;
        struct cel_run *run;
        bool update;
        uint64_t left; /* of the object's budget */
        bool ended;
        char ***warnings;
};

/* Whether the part, or the nearest one around it that can be compared, is what it was. */
static bool unchanged(struct pair *p) {
        while (p && !p->was)
                p = p->outer;
        if (!p)
                return false;
        if (!p->compared)
                p->same = json_same(p->now, p->was);
        p->compared = true;
        return p->same;
}

static char *trimmed_copy(const char *text) {
        size_t n;

        text = rules_trimmed(text, &n);
        return strndup(text, n);
}

/* The rule's message, or its text. */
static char *rule_name(const struct rule *rule) {
        const char *message = json_str_or(rule->doc, "message", "");

        return trimmed_copy(*message ? message : json_str_or(rule->doc, "rule", ""));
}

static char *default_detail(const struct rule *rule) {
        _cleanup_free_ char *name = rule_name(rule);

        if (*json_str_or(rule->doc, "message", ""))
                return TAKE_PTR(name);
        return name ? strformat("failed rule: %s", name) : NULL;
}

static void broken_run(struct judge *j, const struct rules_node *n, const char *fmt,
                const char *first, const char *second) {
        _cleanup_json_ json_t *type = json_string(json_str_or(n->schema, "type", ""));
        _cleanup_buf_ struct buf b = {};

        /* fmt has at most one %s for each. */
        for (const char *c = fmt; *c; c++)
                if (*c == '1')
                        buf_append_str(&b, first);
                else if (*c == '2')
                        buf_append_str(&b, second);
                else
                        buf_append_char(&b, *c);
        if (b.failed)
                j->f->failed = true;
        else
                finding_add(j->f, FINDING_INVALID, NULL, type, "%s", strempty(b.data));
}

static void out_of_budget(struct judge *j, const struct rules_node *n) {
        broken_run(j, n,
                        "validation failed due to running out of cost budget, no further "
                        "validation rules will be run",
                        "", "");
        j->ended = true;
}

/* An evaluation within what is left. */
static struct cel_value evaluate(struct judge *j, const struct cel_program *p,
                const struct cel_type *type, const struct pair *pair, bool optional_old) {
        uint64_t budget = MIN(j->left, (uint64_t)CEL_COST_MAX);
        struct cel_value values[2] = {{.kind = CEL_NULL}, {.kind = CEL_NULL}}, v;
        struct cel_run *run = j->run;

        cel_run_budget(run, budget);
        values[0] = cel_from_json(run, pair->now, type);
        if (pair->was)
                values[1] = cel_from_json(run, pair->was, type);
        if (optional_old)
                values[1] = pair->was ? cel_some(run, values[1]) : cel_none();
        v = cel_eval(run, p, values);
        j->left -= MIN(cel_run_cost(run), budget);
        return v;
}

static void run_failed(struct judge *j, const struct rules_node *n, const struct rule *rule,
                struct cel_value v) {
        _cleanup_free_ char *text = strndup(v.text.data, v.text.size), *name = rule_name(rule);

        if (!text || !name)
                j->f->failed = true;
        else if (cel_run_spent(j->run) && j->left == 0)
                out_of_budget(j, n);
        else if (cel_run_spent(j->run)) {
                broken_run(j, n,
                                "'1': no further validation rules will be run due to call cost "
                                "exceeds limit for rule: 2",
                                text, name);
                j->ended = true;
        } else if (startswith(text, "no such overload"))
                broken_run(j, n,
                                "'1': call arguments did not match a supported operator, function "
                                "or macro signature for rule: 2",
                                text, name);
        else
                broken_run(j, n, "1 evaluating rule: 2", text, name);
}

/* What messageExpression says; NULL: it says nothing that can be used. */
static char *expressed(struct judge *j, const struct rules_node *n, const struct rule *rule,
                const struct pair *pair) {
        _cleanup_free_ char *text = NULL, *short_text = NULL;
        struct cel_value v = evaluate(j, rule->message, n->type, pair, rule->optional_old);

        if (cel_run_spent(j->run)) {
                out_of_budget(j, n);
                return NULL;
        }
        if (v.kind != CEL_STRING || memchr(v.text.data, '\0', v.text.size))
                return NULL;
        text = strndup(v.text.data, v.text.size);
        short_text = text ? trimmed_copy(text) : NULL;
        if (!short_text || !*short_text || strlen(short_text) > MESSAGE_MAX ||
                        strchr(short_text, '\n'))
                return NULL;
        return TAKE_PTR(short_text);
}

static enum finding finding_of(const struct rule *rule) {
        static const struct {
                const char *reason;
                enum finding finding;
        } reasons[] = {{"FieldValueForbidden", FINDING_FORBIDDEN},
                        {"FieldValueRequired", FINDING_REQUIRED},
                        {"FieldValueDuplicate", FINDING_DUPLICATE}};
        const char *reason = json_str_or(rule->doc, "reason", "");

        for (size_t i = 0; i < ELEMENTS(reasons); i++)
                if (streq(reason, reasons[i].reason))
                        return reasons[i].finding;
        return FINDING_INVALID;
}

/* The rule did not hold. */
static void refuse(struct judge *j, const struct rules_node *n, const struct rule *rule,
                struct pair *pair) {
        _cleanup_findings_ struct findings own = {};
        _cleanup_free_ char *detail = NULL;
        enum finding what = finding_of(rule);
        const json_t *value =
                        json_is_object(pair->now) || json_is_array(pair->now) ? NULL : pair->now;
        bool warn;

        /* More would not be shown, but making them would take its time. */
        if (findings_count(j->f) >= FINDINGS_MAX) {
                j->ended = true;
                return;
        }
        warn = j->update && !rule->uses_old && unchanged(pair);
        if (rule->message)
                detail = expressed(j, n, rule, pair);
        if (j->ended)
                return;
        if (!detail)
                detail = default_detail(rule);
        buf_append_str(&own.path, strempty(j->f->path.data));
        finding_add(&own, what, rule->field_path,
                        what == FINDING_INVALID || what == FINDING_DUPLICATE ? value : NULL,
                        what == FINDING_DUPLICATE ? NULL : "%s", strempty(detail));
        j->f->failed |= own.failed || !detail;
        if (!warn) {
                if (!j->f->causes)
                        j->f->causes = json_array();
                if (!j->f->causes || json_array_extend(j->f->causes, own.causes) < 0)
                        j->f->failed = true;
        } else if (j->warnings && strv_length(*j->warnings) < FINDINGS_MAX) {
                const json_t *cause = json_array_get(own.causes, 0);
                _cleanup_free_ char *text = strformat("%s: %s", json_str_or(cause, "field", ""),
                                json_str_or(cause, "message", ""));

                if (!text || strv_extend(j->warnings, text) < 0)
                        j->f->failed = true;
        }
}

static void run_rule(struct judge *j, const struct rules_node *n, const struct rule *rule,
                struct pair *pair) {
        const struct cel_mark mark = cel_run_mark(j->run);
        struct cel_value v;

        if (rule->error) {
                broken_run(j, n, "rule compile error: 1", rule->error, "");
                return;
        }
        if (!rule->program)
                return;
        /* Rules about a change need something that changed. */
        if (rule->uses_old && !pair->was && !rule->optional_old)
                return;
        if (j->left == 0) {
                out_of_budget(j, n);
                return;
        }
        v = evaluate(j, rule->program, n->type, pair, rule->optional_old);
        if (cel_is_error(v))
                run_failed(j, n, rule, v);
        cel_run_back(j->run, &mark);
        if (cel_is_error(v) || (v.kind == CEL_BOOL && v.boolean))
                return;
        refuse(j, n, rule, pair);
        cel_run_back(j->run, &mark); /* that of the message */
}

static void judge_node(struct judge *j, const struct rules_node *n, struct pair *pair);

/* What an item of a keyed list is known by. */
static char *key_text(const json_t *schema, const json_t *item) {
        _cleanup_json_ json_t *keys = json_array();
        const json_t *name;
        size_t i;

        json_array_foreach (json_object_get(schema, "x-kubernetes-list-map-keys"), i, name) {
                const json_t *v = json_is_string(name)
                                                  ? json_object_get(item, json_string_value(name))
                                                  : NULL;

                if (json_array_append_new(keys, v ? json_ref(v) : json_null()) < 0)
                        return NULL;
        }
        return keys ? json_text(keys) : NULL;
}

static struct map *items_by_key(const json_t *schema, const json_t *list) {
        struct map *m = map_new(NULL);
        const json_t *item;
        size_t i;

        json_array_foreach (list, i, item) {
                _cleanup_free_ char *text = key_text(schema, item);

                if (!m || !text || map_set(m, text, json_unconst(item)) < 0)
                        return map_free(m);
        }
        return m;
}

static void judge_items(struct judge *j, const struct rules_node *n, struct pair *pair) {
        bool keyed = streq(json_str_or(n->schema, "x-kubernetes-list-type", ""), "map");
        _cleanup_(map_freep) struct map *old = NULL;
        const json_t *item;
        size_t i;

        if (keyed && json_is_array(pair->was)) {
                old = items_by_key(n->schema, pair->was);
                j->f->failed |= !old;
        }
        json_array_foreach (pair->now, i, item) {
                _cleanup_free_ char *text = old ? key_text(n->schema, item) : NULL;
                struct pair inner = {.now = item, .outer = pair};
                size_t at;

                if (j->ended)
                        return;
                if (text)
                        inner.was = map_get(old, text);
                at = findings_push_index(j->f, i);
                judge_node(j, n->items, &inner);
                findings_pop(j->f, at);
        }
}

static void judge_value(struct judge *j, const struct rules_node *n, struct pair *pair,
                const char *key, bool map) {
        struct pair inner = {.now = json_object_get(pair->now, key),
                        .was = json_object_get(pair->was, key),
                        .outer = pair};
        size_t at;

        if (!inner.now || j->ended)
                return;
        at = map ? findings_push_key(j->f, key) : findings_push(j->f, key);
        judge_node(j, n, &inner);
        findings_pop(j->f, at);
}

static void judge_node(struct judge *j, const struct rules_node *n, struct pair *pair) {
        const json_t *child;
        const char *key;

        if (json_is_null(pair->now))
                return;
        for (size_t i = 0; i < n->rule_count && !j->ended; i++)
                run_rule(j, n, &n->rules[i], pair);
        if (n->items && json_is_array(pair->now))
                judge_items(j, n, pair);
        if (!json_is_object(pair->now))
                return;
        if (n->additional)
                json_object_each (pair->now, key, child) {
                        (void)child;
                        judge_value(j, n->additional, pair, key, true);
                }
        for (size_t i = 0; i < n->child_count; i++)
                judge_value(j, n->children[i].node, pair, n->children[i].name, false);
}

static uint64_t wall_us(void *clock) {
        return now_mono_us();
}

void rules_validate(struct findings *f, struct rules *r, const json_t *object, const json_t *old,
                char ***warnings) {
        uint64_t (*now_us)(void *clock) = f->now_us ? f->now_us : wall_us;
        const struct cel_limits limits = {.deadline_us = now_us(f->clock) + OBJECT_US,
                        .now_us = now_us,
                        .clock = f->clock};
        _cleanup_(cel_run_freep) struct cel_run *run = NULL;
        struct judge j = {.f = f,
                        .update = old != NULL,
                        .left = CEL_COST_ALL_MAX,
                        .warnings = warnings};
        struct pair root = {.now = object, .was = old};

        if (cel_run_new(r->functions, &limits, &run) < 0) {
                f->failed = true;
                return;
        }
        j.run = run;
        *cel_pattern_steps(run) = f->pattern_steps;
        judge_node(&j, r->root, &root);
        f->pattern_steps = *cel_pattern_steps(run);
}
