/* Compiles the expressions of a policy. A variable is declared with the type that its expression
 * has, for those that follow it. */
#include "kapid/policies/policy.h"
#include "lib/buf.h"

struct compiling {
        const struct policy_language *language;
        struct policy_program *program;
        size_t declared; /* variables that may be named so far */
        policy_report report;
        void *userdata;
};

struct policy_program *policy_program_free(struct policy_program *p) {
        if (!p)
                return NULL;
        for (size_t i = 0; i < p->named_count; i++)
                cel_program_free(p->named[i].expression.program);
        for (size_t i = 0; i < p->condition_count; i++)
                cel_program_free(p->conditions[i].expression.program);
        for (size_t i = 0; i < p->validation_count; i++) {
                cel_program_free(p->validations[i].expression.program);
                cel_program_free(p->validations[i].message_expression.program);
        }
        for (size_t i = 0; i < p->annotation_count; i++)
                cel_program_free(p->annotations[i].value.program);
        free(p->named);
        free(p->conditions);
        free(p->validations);
        for (size_t i = 0; i < p->mutation_count; i++)
                cel_program_free(p->mutations[i].expression.program);
        free(p->annotations);
        free(p->mutations);
        free(p->variables);
        free(p->silent);
        cel_types_free(p->types);
        return mfree(p);
}

/* What an expression must give. */
enum wanted {
        WANT_ANY,
        WANT_BOOL,
        WANT_STRING,
        WANT_STRING_OR_NULL,
        WANT_CONFIGURATION,
        WANT_PATCH,
};

static const char *type_fault(enum wanted wanted, const struct cel_type *t) {
        switch (wanted) {
        case WANT_ANY:
                return NULL;
        case WANT_BOOL:
                return t->kind == CEL_TYPE_BOOL ? NULL : "must evaluate to bool";
        case WANT_STRING:
                return t->kind == CEL_TYPE_STRING ? NULL : "must evaluate to string";
        case WANT_STRING_OR_NULL:
                return t->kind == CEL_TYPE_STRING || t->kind == CEL_TYPE_NULL
                                       ? NULL
                                       : "must evaluate to one of [string null_type]";
        case WANT_CONFIGURATION:
                return policy_is_configuration(t) ? NULL : "must evaluate to Object but got ";
        case WANT_PATCH:
                return policy_is_patch(t) ? NULL : "must evaluate to list(JSONPatch) but got ";
        }
        assert_not_reached();
}

/* What is wrong with a type; those of mutations say what they are. */
static char *fault_text(const char *why, const struct cel_type *t, bool mutation) {
        struct buf b = {0};

        buf_append_str(&b, why);
        if (mutation && cel_type_text(&b, t) < 0)
                b.failed = true;
        return buf_take(&b);
}

static int compile(struct compiling *c, const char *field, const char *text, enum wanted wanted,
                bool silent, struct policy_expression *ret) {
        bool mutation = wanted == WANT_CONFIGURATION || wanted == WANT_PATCH;
        const struct cel_env env = {
                        .functions = mutation ? c->language->mutation_functions
                                              : c->language->functions,
                        .variables = silent ? c->program->silent : c->program->variables,
                        .variable_count = c->declared};
        _cleanup_cel_findings_ struct cel_findings findings = {0};
        _cleanup_free_ char *failed = NULL;
        const char *why;
        int r;

        ret->text = text;
        r = cel_compile(&env, text, strlen(text), &ret->program, &findings);
        if (r == -EINVAL) {
                failed = strformat("compilation failed: %s", strempty(findings.text));
                if (!failed)
                        return -ENOMEM;
                c->report(field, text, failed, c->userdata);
                return 0;
        }
        if (r < 0)
                return r;
        why = type_fault(wanted, cel_program_type(ret->program));
        if (!why)
                return 0;
        failed = fault_text(why, cel_program_type(ret->program), mutation);
        if (!failed)
                return -ENOMEM;
        c->report(field, text, failed, c->userdata);
        ret->program = cel_program_free(ret->program);
        return 0;
}

/* The expression at a member (a path) of the i-th item of a list; none when it is empty. */
static int compile_item(struct compiling *c, const char *list, size_t i, const json_t *item,
                const char *member, enum wanted wanted, struct policy_expression *ret) {
        _cleanup_free_ char *field = strformat("%s[%zu].%s", list, i, member);
        const char *text = json_str_or(item, member, "");

        if (!field)
                return -ENOMEM;
        if (!*text)
                return 0;
        return compile(c, field, text, wanted, streq(member, "messageExpression"), ret);
}

static int declare(struct compiling *c, const char *name, const struct policy_expression *e) {
        struct policy_program *p = c->program;
        _cleanup_free_ char *dotted = strformat("variables.%s", name);
        char *kept = dotted ? cel_types_strndup(p->types, dotted, strlen(dotted)) : NULL;
        const struct cel_variable v = {.name = kept,
                        .type = e->program ? cel_program_type(e->program) : &cel_dyn_type};

        if (!kept)
                return -ENOMEM;
        p->variables[c->declared] = v;
        p->silent[c->declared] = v;
        c->declared++;
        return 0;
}

static int compile_variables(struct compiling *c, const json_t *list) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                struct policy_condition *n = &c->program->named[i];
                int r;

                c->program->named_count++;
                n->name = json_str_or(v, "name", "");
                r = compile_item(c, "variables", i, v, "expression", WANT_ANY, &n->expression);
                if (r < 0)
                        return r;
                r = declare(c, n->name, &n->expression);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compile_conditions(struct compiling *c, const json_t *list) {
        size_t all = c->declared, i;
        const json_t *v;
        int r = 0;

        /* They are evaluated before everything else, and see no variables of the policy. */
        c->declared = POLICY_VARIABLE_COUNT;
        json_array_foreach (list, i, v) {
                struct policy_condition *n = &c->program->conditions[i];

                c->program->condition_count++;
                n->name = json_str_or(v, "name", "");
                r = compile_item(c, "matchConditions", i, v, "expression", WANT_BOOL,
                                &n->expression);
                if (r < 0)
                        return r;
        }
        c->declared = all;
        return 0;
}

static const char *reason_of(const json_t *validation) {
        static const char *const reasons[] = {
                        "Invalid", "Unauthorized", "Forbidden", "RequestEntityTooLarge"};
        const char *word = json_str_or(validation, "reason", "");

        for (size_t i = 0; i < ELEMENTS(reasons); i++)
                if (streq(word, reasons[i]))
                        return reasons[i];
        return reasons[0];
}

static int compile_validations(struct compiling *c, const json_t *list) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                struct policy_validation *n = &c->program->validations[i];
                int r;

                c->program->validation_count++;
                n->message = json_str_or(v, "message", "");
                n->reason = reason_of(v);
                r = compile_item(c, "validations", i, v, "expression", WANT_BOOL, &n->expression);
                if (r < 0)
                        return r;
                r = compile_item(c, "validations", i, v, "messageExpression", WANT_STRING,
                                &n->message_expression);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compile_annotations(struct compiling *c, const json_t *list) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                struct policy_annotation *n = &c->program->annotations[i];
                int r;

                c->program->annotation_count++;
                n->key = json_str_or(v, "key", "");
                r = compile_item(c, "auditAnnotations", i, v, "valueExpression",
                                WANT_STRING_OR_NULL, &n->value);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compile_mutations(struct compiling *c, const json_t *list) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                struct policy_mutation *n = &c->program->mutations[i];
                int r;

                c->program->mutation_count++;
                n->is_patch = streq(json_str_or(v, "patchType", ""), "JSONPatch");
                r = compile_item(c, "mutations", i, v,
                                n->is_patch ? "jsonPatch.expression"
                                            : "applyConfiguration.expression",
                                n->is_patch ? WANT_PATCH : WANT_CONFIGURATION, &n->expression);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int make_room(struct policy_program *p, const json_t *spec) {
        size_t variables = json_array_size(json_object_get(spec, "variables")),
               conditions = json_array_size(json_object_get(spec, "matchConditions")),
               validations = json_array_size(json_object_get(spec, "validations")),
               annotations = json_array_size(json_object_get(spec, "auditAnnotations")),
               mutations = json_array_size(json_object_get(spec, "mutations")),
               all = POLICY_VARIABLE_COUNT + variables;

        p->types = cel_types_new();
        p->variables = calloc(all, sizeof(*p->variables));
        p->silent = calloc(all, sizeof(*p->silent));
        p->named = calloc(variables + 1, sizeof(*p->named));
        p->conditions = calloc(conditions + 1, sizeof(*p->conditions));
        p->validations = calloc(validations + 1, sizeof(*p->validations));
        p->annotations = calloc(annotations + 1, sizeof(*p->annotations));
        p->mutations = calloc(mutations + 1, sizeof(*p->mutations));
        return p->types && p->variables && p->silent && p->named && p->conditions &&
                                               p->validations && p->annotations && p->mutations
                               ? 0
                               : -ENOMEM;
}

int policy_program_new(struct policy_program **ret, const struct policy_language *l,
                const json_t *spec, const struct policy_types *types, policy_report report,
                void *userdata) {
        _cleanup_(policy_program_freep) struct policy_program *p = calloc(1, sizeof(*p));
        struct compiling c = {.language = l,
                        .program = p,
                        .declared = POLICY_VARIABLE_COUNT,
                        .report = report,
                        .userdata = userdata};
        const struct cel_type *object = types->object ? types->object : &cel_dyn_type,
                              *params = types->params ? types->params : &cel_dyn_type;
        unsigned names = json_object_get(spec, "paramKind") ? POLICY_HAS_PARAMS : 0;
        int r = p ? make_room(p, spec) : -ENOMEM;

        if (r < 0)
                return r;
        policy_language_variables(l, names | POLICY_HAS_AUTHORIZER, object, params, p->variables);
        policy_language_variables(l, names, object, params, p->silent);
        r = compile_variables(&c, json_object_get(spec, "variables"));
        if (r < 0)
                return r;
        r = compile_conditions(&c, json_object_get(spec, "matchConditions"));
        if (r < 0)
                return r;
        r = compile_validations(&c, json_object_get(spec, "validations"));
        if (r < 0)
                return r;
        r = compile_annotations(&c, json_object_get(spec, "auditAnnotations"));
        if (r < 0)
                return r;
        r = compile_mutations(&c, json_object_get(spec, "mutations"));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}
