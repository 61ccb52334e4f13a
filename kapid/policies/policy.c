/* Reads policies and bindings, and compares them with requests (reference: apiserver's
 * admission/plugin/policy/matching). */
#include "kapid/policies/policy.h"

#include "lib/object.h"

static int read_match(const json_t *v, struct policy_match *m, struct problem *p) {
        int r = webhook_matcher_read(v, "resourceRules", &m->wanted, p);

        if (r < 0)
                return r;
        r = webhook_matcher_read(v, "excludeResourceRules", &m->excluded, p);
        return r;
}

static void match_done(struct policy_match *m) {
        webhook_matcher_done(&m->wanted);
        webhook_matcher_done(&m->excluded);
}

const struct kind *policy_matches(const struct policy_match *m, const struct webhook_request *a,
                const struct webhook_equivalents *equivalents) {
        if (!webhook_selectors_match(&m->wanted, a))
                return NULL;
        if (webhook_rules_match(&m->excluded, a, equivalents))
                return NULL;
        return m->wanted.rule_count > 0 ? webhook_rules_match(&m->wanted, a, equivalents) : a->kind;
}

const struct kind *policy_param_kind(
                const struct kind_registry *registry, const char *api_version, const char *kind) {
        const char *slash = strchr(api_version, '/');
        _cleanup_free_ char *group =
                        strndup(api_version, slash ? (size_t)(slash - api_version) : 0);

        return group ? kind_registry_find_kind(
                                       registry, group, slash ? slash + 1 : api_version, kind)
                     : NULL;
}

/* --- policies --- */

struct faults {
        size_t count;
        char *first; /* NULL with a count: out of memory */
};

static void note_fault(const char *field, const char *text, const char *why, void *userdata) {
        struct faults *f = userdata;

        if (f->count++ > 0)
                return;
        f->first = strformat("spec.%s (%.100s): %s", field, text, why);
        if (f->first)
                (void)utf8_clean(f->first, strlen(f->first));
}

int policy_new(struct policy **ret, const struct policy_language *l, const json_t *object,
                struct problem *p) {
        static const struct policy_types any = {0};
        _cleanup_(policy_unrefp) struct policy *n = calloc(1, sizeof(*n));
        const json_t *spec = json_object_get(object, "spec"),
                     *kind = json_object_get(spec, "paramKind");
        struct faults faults = {0};
        int r;

        if (!n)
                return -ENOMEM;
        n->refs = 1;
        n->object = json_ref(object);
        n->name = object_name(object);
        n->ignores_failures = streq(json_str_or(spec, "failurePolicy", "Fail"), "Ignore");
        n->reinvoked = streq(json_str_or(spec, "reinvocationPolicy", "Never"), "IfNeeded");
        if (kind) {
                n->param_api_version = json_str_or(kind, "apiVersion", "");
                n->param_kind = json_str_or(kind, "kind", "");
        }
        r = read_match(json_object_get(spec, "matchConstraints"), &n->match, p);
        if (r < 0)
                return r;
        r = policy_program_new(&n->program, l, spec, &any, note_fault, &faults);
        n->fault = faults.first;
        if (r < 0)
                return r;
        if (faults.count > 0 && !n->fault)
                return -ENOMEM;
        *ret = TAKE_PTR(n);
        return 0;
}

struct policy *policy_ref(struct policy *p) {
        p->refs++;
        return p;
}

struct policy *policy_unref(struct policy *p) {
        if (!p || --p->refs > 0)
                return NULL;
        policy_program_free(p->program);
        free(p->fault);
        match_done(&p->match);
        json_decref(p->object);
        return mfree(p);
}

bool policy_is_of(const struct policy *p, const json_t *object) {
        return streq(object_uid(p->object), object_uid(object)) &&
               object_generation(p->object) == object_generation(object);
}

/* --- bindings --- */

static unsigned read_actions(const json_t *list) {
        static const struct {
                const char *word;
                unsigned bit;
        } words[] = {{"Deny", POLICY_DENY}, {"Warn", POLICY_WARN}, {"Audit", POLICY_AUDIT}};
        unsigned actions = 0;
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                for (size_t j = 0; j < ELEMENTS(words); j++)
                        if (streq(strempty(json_string_value(v)), words[j].word))
                                actions |= words[j].bit;
        return actions;
}

int policy_binding_new(struct policy_binding **ret, const json_t *object, struct problem *p) {
        _cleanup_(policy_binding_unrefp) struct policy_binding *b = calloc(1, sizeof(*b));
        const json_t *spec = json_object_get(object, "spec"),
                     *ref = json_object_get(spec, "paramRef"),
                     *selector = json_object_get(ref, "selector");
        int r;

        if (!b)
                return -ENOMEM;
        b->refs = 1;
        b->object = json_ref(object);
        b->name = object_name(object);
        b->policy = json_str_or(spec, "policyName", "");
        b->actions = read_actions(json_object_get(spec, "validationActions"));
        b->has_params = ref != NULL;
        b->param_name = json_str_or(ref, "name", "");
        b->param_namespace = json_str_or(ref, "namespace", "");
        b->denies_without_params =
                        streq(json_str_or(ref, "parameterNotFoundAction", "Deny"), "Deny");
        r = selector ? label_selector_from_json(selector, &b->param_selector, p) : 0;
        if (r < 0)
                return r;
        r = read_match(json_object_get(spec, "matchResources"), &b->match, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(b);
        return 0;
}

struct policy_binding *policy_binding_ref(struct policy_binding *b) {
        b->refs++;
        return b;
}

struct policy_binding *policy_binding_unref(struct policy_binding *b) {
        if (!b || --b->refs > 0)
                return NULL;
        label_selector_free(b->param_selector);
        match_done(&b->match);
        json_decref(b->object);
        return mfree(b);
}
