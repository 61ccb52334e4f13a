/* Conditions, validations, messages and annotations, in the order and words of Kubernetes
 * (reference: apiserver's admission/plugin/policy/validating/validator.go). Variables are evaluated
 * when the first expression that names them is: their errors count only where they are used. */
#include "kapid/policies/judge.h"

#include <ctype.h>
#include <stdarg.h>

#include "kapid/policies/made.h"

struct judging {
        const struct policy *policy;
        const struct policy_question *question;
        struct policy_verdict *verdict;
        struct cel_run *run;
        struct cel_mark mark;     /* before the expression evaluated last */
        struct cel_value *values; /* of all variables */
        bool *known;              /* of the policy's variables: evaluated already */
        uint64_t left;            /* of the policy's budget */
        size_t mutation;          /* the one that is asked for */
        bool out_of_budget;
};

void policy_verdict_done(struct policy_verdict *v) {
        for (size_t i = 0; i < v->refusal_count; i++)
                free(v->refusals[i].message);
        free(v->refusals);
        json_decref(v->annotations);
        json_decref(v->made);
        free(v->ignored);
        *v = (struct policy_verdict){0};
}

static int add(struct policy_verdict *v, size_t index, const char *reason, char *message_taken) {
        struct policy_refusal *list =
                        reallocarray(v->refusals, v->refusal_count + 1, sizeof(*v->refusals));

        if (!list || !message_taken) {
                if (list)
                        v->refusals = list;
                free(message_taken);
                return -ENOMEM;
        }
        v->refusals = list;
        list[v->refusal_count++] = (struct policy_refusal){
                        .index = index, .reason = reason, .message = message_taken};
        return 0;
}

int policy_verdict_add(
                struct policy_verdict *v, size_t index, const char *reason, const char *fmt, ...) {
        char *message = NULL;
        va_list list;
        int n;

        va_start(list, fmt);
        n = vasprintf(&message, fmt, list);
        va_end(list);
        return n < 0 ? -ENOMEM : add(v, index, reason, message);
}

/* An expression that could not be evaluated: counts by failurePolicy. */
static int add_failure(struct judging *j, size_t index, char *message_taken) {
        if (!j->policy->ignores_failures)
                return add(j->verdict, index, "Invalid", message_taken);
        if (!message_taken)
                return -ENOMEM;
        if (j->verdict->ignored)
                free(message_taken);
        else
                j->verdict->ignored = message_taken;
        return 0;
}

/* --- evaluation --- */

/* With the budget of one expression, or what is left of the policy's. forget() follows when what it
 * gave has been used. */
static struct cel_value evaluate(struct judging *j, const struct cel_program *p) {
        uint64_t budget = MIN(j->left, (uint64_t)CEL_COST_MAX), cost;
        struct cel_value v;

        j->mark = cel_run_mark(j->run);
        cel_run_budget(j->run, budget);
        v = cel_eval(j->run, p, j->values);
        cost = cel_run_cost(j->run);
        j->out_of_budget |= cost > j->left;
        j->left -= MIN(cost, j->left);
        return v;
}

/* The memory of an expression is free for the next one. */
static void forget(struct judging *j) {
        cel_run_back(j->run, &j->mark);
}

/* A variable's value lives on; of one that failed, only why, and of a plain one nothing is in the
 * run's memory. */
static struct cel_value kept(struct judging *j, const char *name, struct cel_value v) {
        char text[CEL_ERROR_TEXT_MAX];
        size_t n;

        switch (v.kind) {
        case CEL_ERROR:
                n = MIN(v.text.size, sizeof(text));
                memcpy(text, v.text.data, n);
                forget(j);
                return cel_error(j->run, "composited variable \"%s\" fails to evaluate: %.*s", name,
                                (int)n, text);
        case CEL_NULL:
        case CEL_BOOL:
        case CEL_INT:
        case CEL_UINT:
        case CEL_DOUBLE:
                forget(j);
                return v;
        default:
                return v;
        }
}

/* Whether an expression needs the i-th variable of the policy. */
static bool reads(const struct cel_program *p, size_t i) {
        return p && cel_program_reads(p, POLICY_VARIABLE_COUNT + i);
}

/* The variables that p names, and those that they name: each reads only ones before it. */
static int evaluate_variables(struct judging *j, const struct cel_program *p) {
        const struct policy_program *all = j->policy->program;
        _cleanup_free_ bool *needed = calloc(all->named_count + 1, sizeof(*needed));

        if (!needed)
                return -ENOMEM;
        for (size_t i = all->named_count; i-- > 0;) {
                needed[i] = reads(p, i);
                for (size_t k = i + 1; k < all->named_count; k++)
                        needed[i] |= needed[k] && reads(all->named[k].expression.program, i);
        }
        for (size_t i = 0; i < all->named_count && !j->out_of_budget; i++) {
                const struct policy_condition *n = &all->named[i];
                struct cel_value v;

                if (!needed[i] || j->known[i])
                        continue;
                v = evaluate(j, n->expression.program);
                j->values[POLICY_VARIABLE_COUNT + i] = kept(j, n->name, v);
                j->known[i] = true;
        }
        return 0;
}

static int evaluate_with_variables(
                struct judging *j, const struct cel_program *p, struct cel_value *ret) {
        int r = evaluate_variables(j, p);

        if (r < 0)
                return r;
        if (!j->out_of_budget)
                *ret = evaluate(j, p);
        return 0;
}

static char *failure(const struct policy_expression *e, struct cel_value error) {
        return strformat("expression '%s' resulted in error: %.*s", e->text, (int)error.text.size,
                        error.text.data);
}

static char *budget_failure(void) {
        return strdup("validation failed due to running out of cost budget, no further validation "
                      "rules will be run");
}

static int add_out_of_budget(struct judging *j) {
        return add_failure(j, SIZE_MAX, budget_failure());
}

/* --- the parts of a policy --- */

/* 1: all hold; 0: the policy is not for the request, or that has been said. One that is false wins
 * over those that fail. */
static int check_conditions(struct judging *j) {
        const struct policy_program *all = j->policy->program;
        _cleanup_free_ char *failed = NULL;

        for (size_t i = 0; i < all->condition_count; i++) {
                const struct policy_expression *e = &all->conditions[i].expression;
                struct cel_value v = evaluate(j, e->program);

                if (j->out_of_budget)
                        return add_out_of_budget(j);
                if (v.kind == CEL_BOOL && !v.boolean)
                        return 0;
                if (v.kind != CEL_BOOL && !failed) {
                        failed = failure(e, v);
                        if (!failed)
                                return -ENOMEM;
                }
                forget(j);
        }
        return failed ? add_failure(j, SIZE_MAX, TAKE_PTR(failed)) : 1;
}

/* Without white space around it. */
static char *trimmed(const char *text, size_t n) {
        while (n > 0 && isspace((unsigned char)text[n - 1]))
                n--;
        while (n > 0 && isspace((unsigned char)*text)) {
                text++;
                n--;
        }
        return strndup(text, n);
}

/* The text that messageExpression gives; NULL in *ret: none that may be shown. 1: it has failed in
 * a way that counts as a failure of the policy. */
static int message_of(struct judging *j, const struct policy_validation *n, char **ret) {
        struct cel_value v = {0};
        int r;

        if (!n->message_expression.program)
                return 0;
        r = evaluate_with_variables(j, n->message_expression.program, &v);
        if (r < 0 || j->out_of_budget)
                return r;
        if (v.kind == CEL_STRING && v.text.size <= POLICY_MESSAGE_MAX &&
                        !memchr(v.text.data, '\0', v.text.size)) {
                *ret = trimmed(v.text.data, v.text.size);
                if (!*ret)
                        return -ENOMEM;
        }
        forget(j);
        if (*ret && (!**ret || strchr(*ret, '\n')))
                *ret = mfree(*ret);
        return 0;
}

static int refuse(struct judging *j, size_t i) {
        const struct policy_validation *n = &j->policy->program->validations[i];
        _cleanup_free_ char *message = NULL, *text = NULL;
        int r = message_of(j, n, &message);

        if (r < 0)
                return r;
        if (j->out_of_budget)
                return add_failure(j, i,
                                strdup("failed messageExpression: running out of cost budget"));
        if (!message) {
                message = trimmed(n->message, strlen(n->message));
                if (!message)
                        return -ENOMEM;
        }
        if (*message)
                return add(j->verdict, i, n->reason, TAKE_PTR(message));
        text = trimmed(n->expression.text, strlen(n->expression.text));
        return text ? add(j->verdict, i, n->reason, strformat("failed expression: %s", text))
                    : -ENOMEM;
}

static int validate(struct judging *j, size_t i) {
        const struct policy_validation *n = &j->policy->program->validations[i];
        struct cel_value v = {0};
        int r = evaluate_with_variables(j, n->expression.program, &v);

        if (r < 0 || j->out_of_budget)
                return r;
        if (cel_is_error(v)) {
                r = add_failure(j, i, failure(&n->expression, v));
                forget(j);
                return r;
        }
        forget(j);
        return v.kind == CEL_BOOL && v.boolean ? 0 : refuse(j, i);
}

static int annotate(struct judging *j, const struct policy_annotation *n) {
        struct cel_value v = {0};
        _cleanup_free_ char *text = NULL;
        int r = evaluate_with_variables(j, n->value.program, &v);

        if (r < 0 || j->out_of_budget)
                return r;
        if (cel_is_error(v))
                r = add_failure(j, SIZE_MAX, failure(&n->value, v));
        else if (v.kind == CEL_STRING) {
                text = trimmed(v.text.data, v.text.size);
                if (!text)
                        return -ENOMEM;
        }
        forget(j);
        if (isempty(text))
                return r;
        if (strlen(text) > POLICY_ANNOTATION_MAX) {
                size_t end = POLICY_ANNOTATION_MAX;

                while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80)
                        end--; /* not within a character */
                text[end] = '\0';
        }
        if (!j->verdict->annotations)
                j->verdict->annotations = json_object();
        return json_object_set_new(j->verdict->annotations, n->key, json_string(text)) < 0 ? -ENOMEM
                                                                                           : 0;
}

static int judge(struct judging *j) {
        const struct policy_program *all = j->policy->program;
        int r = check_conditions(j);

        if (r <= 0)
                return r;
        for (size_t i = 0; i < all->validation_count && !j->out_of_budget; i++) {
                r = validate(j, i);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < all->annotation_count && !j->out_of_budget; i++) {
                r = annotate(j, &all->annotations[i]);
                if (r < 0)
                        return r;
        }
        return j->out_of_budget ? add_out_of_budget(j) : 0;
}

static int mutate(struct judging *j) {
        const struct policy_mutation *n = &j->policy->program->mutations[j->mutation];
        _cleanup_free_ char *why = NULL;
        struct cel_value v = {0};
        int r = evaluate_with_variables(j, n->expression.program, &v);

        if (r < 0)
                return r;
        if (j->out_of_budget)
                return add(j->verdict, j->mutation, "Invalid", budget_failure());
        if (cel_is_error(v))
                return add(j->verdict, j->mutation, "Invalid", failure(&n->expression, v));
        r = policy_made(j->run, v, n->is_patch, &j->verdict->made, &why);
        return r == -EINVAL ? add(j->verdict, j->mutation, "Invalid", TAKE_PTR(why)) : r;
}

/* --- values --- */

static struct cel_value json_value(struct judging *j, const json_t *v) {
        return v ? cel_from_json(j->run, v, NULL) : cel_null();
}

static void set_values(struct judging *j, const struct policy_access *resource) {
        const struct policy_question *q = j->question;

        j->values[POLICY_OBJECT] = json_value(j, q->object);
        j->values[POLICY_OLD_OBJECT] = json_value(j, q->old_object);
        j->values[POLICY_REQUEST] = json_value(j, q->review);
        j->values[POLICY_NAMESPACE] = json_value(j, q->namespace_object);
        j->values[POLICY_VARIABLES] = cel_map_empty(j->run);
        j->values[POLICY_PARAMS] = json_value(j, q->params);
        j->values[POLICY_AUTHORIZER] = policy_authorizer(j->run, q->authority);
        j->values[POLICY_REQUEST_RESOURCE] =
                        policy_request_resource(j->run, q->authority, resource);
}

static struct policy_access resource_of(const struct webhook_request *a) {
        return (struct policy_access){.service_account = "",
                        .service_account_namespace = "",
                        .verb = "",
                        .path = "",
                        .group = a->kind->group,
                        .resource = a->kind->plural,
                        .subresource = a->sub ? a->sub->name : "",
                        .namespace = strempty(a->namespace),
                        .name = strempty(a->name),
                        .fields = "",
                        .labels = ""};
}

static uint64_t budget_of(const struct policy_question *q) {
        return q->limits && q->limits->cost_max > 0 ? q->limits->cost_max : CEL_COST_ALL_MAX;
}

static int judge_part(const struct policy *p, const struct policy_question *q, size_t mutation,
                int (*part)(struct judging *j), struct policy_verdict *ret) {
        _cleanup_policy_verdict_ struct policy_verdict verdict = {0};
        const struct policy_access resource = resource_of(q->request);
        size_t count = p->program->named_count;
        _cleanup_(cel_run_freep) struct cel_run *run = NULL;
        _cleanup_free_ struct cel_value *values =
                        calloc(POLICY_VARIABLE_COUNT + count, sizeof(*values));
        _cleanup_free_ bool *known = calloc(count + 1, sizeof(*known));
        struct judging j = {.policy = p,
                        .question = q,
                        .verdict = &verdict,
                        .values = values,
                        .known = known,
                        .left = budget_of(q),
                        .mutation = mutation};
        int r = values && known ? 0 : -ENOMEM;

        if (r < 0)
                return r;
        r = cel_run_new(q->functions, q->limits, &run);
        if (r < 0)
                return r;
        j.run = run;
        set_values(&j, &resource);
        r = part(&j);
        if (r < 0)
                return r;
        verdict.cost = budget_of(q) - j.left;
        *ret = verdict;
        verdict = (struct policy_verdict){0};
        return r;
}

int policy_judge(const struct policy *p, const struct policy_question *q,
                struct policy_verdict *ret) {
        return judge_part(p, q, 0, judge, ret);
}

int policy_conditions_hold(const struct policy *p, const struct policy_question *q,
                struct policy_verdict *ret) {
        return judge_part(p, q, 0, check_conditions, ret);
}

int policy_mutate(const struct policy *p, const struct policy_question *q, size_t i,
                struct policy_verdict *ret) {
        return judge_part(p, q, i, mutate, ret);
}
