/* Reads configurations. */
#include "kapid/webhooks/config.h"

#include "kapid/webhooks/conditions.h"
#include "lib/object.h"
#include "lib/timefmt.h"

static const struct {
        const char *word;
        unsigned bit;
} operations[] = {{"CREATE", WEBHOOK_CREATE}, {"UPDATE", WEBHOOK_UPDATE},
                {"DELETE", WEBHOOK_DELETE}, {"CONNECT", WEBHOOK_CONNECT}, {"*", WEBHOOK_ALL}};

unsigned webhook_operation(const char *word) {
        for (size_t i = 0; i < ELEMENTS(operations); i++)
                if (streq(word, operations[i].word))
                        return operations[i].bit;
        return 0;
}

const char *webhook_operation_name(unsigned operation) {
        for (size_t i = 0; i < ELEMENTS(operations); i++)
                if (operation == operations[i].bit)
                        return operations[i].word;
        return "";
}

const char *webhook_review_version(const json_t *versions) {
        static const char *const spoken[] = {"v1", "v1beta1"};
        const json_t *v;
        size_t i;

        json_array_foreach (versions, i, v)
                for (size_t j = 0; j < ELEMENTS(spoken); j++)
                        if (streq(strempty(json_string_value(v)), spoken[j]))
                                return spoken[j];
        return NULL;
}

static void read_rule(const json_t *v, struct webhook_rule *rule) {
        const char *scope = json_str_or(v, "scope", "*");
        const json_t *word;
        size_t i;

        json_array_foreach (json_object_get(v, "operations"), i, word)
                rule->operations |= webhook_operation(strempty(json_string_value(word)));
        rule->scope = streq(scope, "Cluster")      ? WEBHOOK_CLUSTER
                      : streq(scope, "Namespaced") ? WEBHOOK_NAMESPACED
                                                   : WEBHOOK_ANY_SCOPE;
        rule->groups = json_object_get(v, "apiGroups");
        rule->versions = json_object_get(v, "apiVersions");
        rule->resources = json_object_get(v, "resources");
        rule->names = json_object_get(v, "resourceNames");
}

static int read_rules(const json_t *v, const char *field, struct webhook *w) {
        const json_t *list = json_object_get(v, field);
        size_t n = json_array_size(list);

        w->rules = calloc(n + 1, sizeof(*w->rules));
        if (!w->rules)
                return -ENOMEM;
        for (; w->rule_count < n; w->rule_count++)
                read_rule(json_array_get(list, w->rule_count), &w->rules[w->rule_count]);
        return 0;
}

static int read_selector(const json_t *v, const char *field, struct label_selector **ret,
                struct problem *p) {
        const json_t *selector = json_object_get(v, field);
        struct label_selector *s;
        int r;

        if (!selector)
                return 0;
        r = label_selector_from_json(selector, &s, p);
        if (r < 0)
                return r;
        if (label_selector_is_everything(s))
                label_selector_free(s);
        else
                *ret = s;
        return 0;
}

int webhook_matcher_read(const json_t *v, const char *rules, struct webhook *w, struct problem *p) {
        int r;

        w->exact = streq(json_str_or(v, "matchPolicy", "Equivalent"), "Exact");
        r = read_rules(v, rules, w);
        if (r < 0)
                return r;
        r = read_selector(v, "namespaceSelector", &w->namespaces, p);
        if (r < 0)
                return r;
        return read_selector(v, "objectSelector", &w->objects, p);
}

void webhook_matcher_done(struct webhook *w) {
        free(w->rules);
        label_selector_free(w->namespaces);
        label_selector_free(w->objects);
}

static int read_webhook(const json_t *v, struct webhook *w, struct problem *p) {
        int64_t timeout_s = json_int_or(v, "timeoutSeconds", 10);
        int r;

        w->name = json_str_or(v, "name", "");
        w->version = webhook_review_version(json_object_get(v, "admissionReviewVersions"));
        w->timeout_us = seconds_us(timeout_s < 1 || timeout_s > 30 ? 10 : timeout_s);
        w->ignores_failures = streq(json_str_or(v, "failurePolicy", "Fail"), "Ignore");
        w->reinvoked = streq(json_str_or(v, "reinvocationPolicy", "Never"), "IfNeeded");
        if (!w->version)
                return problem_set(p, EINVAL, 422, "Invalid",
                                "webhook \"%s\" names no version of AdmissionReview that this "
                                "server speaks",
                                w->name);
        r = webhook_conditions_new(&w->conditions, json_object_get(v, "matchConditions"));
        if (r < 0)
                return r;
        r = webhook_matcher_read(v, "rules", w, p);
        if (r < 0)
                return r;
        return webhook_target_read(json_object_get(v, "clientConfig"), &w->target);
}

int webhook_config_new(struct webhook_config **ret, enum webhook_type type, const json_t *object,
                struct problem *p) {
        _cleanup_(webhook_config_unrefp) struct webhook_config *c = calloc(1, sizeof(*c));
        const json_t *list = json_object_get(object, "webhooks");
        size_t n = json_array_size(list);
        int r;

        if (!c)
                return -ENOMEM;
        c->refs = 1;
        c->type = type;
        c->object = json_ref(object);
        c->name = object_name(object);
        c->webhooks = calloc(n + 1, sizeof(*c->webhooks));
        if (!c->webhooks)
                return -ENOMEM;
        for (; c->count < n; c->count++) {
                c->webhooks[c->count].config = c;
                r = read_webhook(json_array_get(list, c->count), &c->webhooks[c->count], p);
                if (r < 0) {
                        c->count++; /* what it has is freed */
                        return r;
                }
        }
        *ret = TAKE_PTR(c);
        return 0;
}

struct webhook_config *webhook_config_ref(struct webhook_config *c) {
        c->refs++;
        return c;
}

struct webhook_config *webhook_config_unref(struct webhook_config *c) {
        if (!c || --c->refs > 0)
                return NULL;
        for (size_t i = 0; i < c->count; i++) {
                struct webhook *w = &c->webhooks[i];

                webhook_matcher_done(w);
                webhook_conditions_free(w->conditions);
                webhook_target_done(&w->target);
        }
        free(c->webhooks);
        json_decref(c->object);
        return mfree(c);
}
