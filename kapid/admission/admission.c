/* Calls the admission plugins in their order. Each plugin has its own file;
 * here is nothing that depends on a kind. */
#include "kapid/admission/admission.h"

#include <stdarg.h>

#include "kapid/admission/chain.h"
#include "kapid/api.h"
#include "kapid/auth/authz.h"
#include "lib/timefmt.h"

/* --- the walker --- */

static bool rule_matches(const struct admission_rule *rule, const struct admission *a) {
        if (!(rule->operations & a->operation))
                return false;
        if (rule->plural && (!streq(rule->plural, a->kind->plural) ||
                                            !streq(rule->group, a->kind->storage_group)))
                return false;
        return rule->subresource ? streq(rule->subresource, "*") ||
                                                   streq(rule->subresource, a->subresource)
                                 : isempty(a->subresource);
}

static admission_hook rule_hook(const struct admission_rule *rule, enum admission_stage stage) {
        switch (stage) {
        case ADMISSION_MAY_CREATE:
                return rule->may_create;
        case ADMISSION_MUTATE:
                return rule->mutate;
        case ADMISSION_VALIDATE:
                return rule->validate;
        case ADMISSION_CHARGE:
                return rule->charge;
        case ADMISSION_MAY_DELETE:
                return rule->may_delete;
        case ADMISSION_DELETED:
                return rule->deleted;
        case ADMISSION_MAY_CONNECT:
                return rule->may_connect;
        }
        assert_not_reached();
}

static int ask(const struct chained *c, struct admission *a, enum admission_stage stage,
                struct problem *p) {
        uint64_t start_us = 0;
        int r = 0;

        for (a->rule = c->plugin->rules; a->rule->operations && r >= 0; a->rule++) {
                admission_hook hook = rule_hook(a->rule, stage);

                if (!hook || !rule_matches(a->rule, a))
                        continue;
                if (start_us == 0)
                        start_us = now_mono_us();
                r = hook(a, p);
        }
        a->rule = NULL;
        if (start_us > 0)
                chained_count(c, a->operation, stage, r < 0, now_mono_us() - start_us);
        return MIN(r, 0);
}

int admission_run(struct admission_chain *c, struct admission *a, enum admission_stage stage,
                struct problem *p) {
        assert(!a->draft || a->draft == a->object);
        if (stage != ADMISSION_MUTATE)
                a->draft = NULL;
        for (size_t i = 0; i < c->count; i++) {
                int r = ask(&c->plugins[i], a, stage, p);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* --- shared by plugins --- */

struct item *admission_find(const struct admission *a, const char *group, const char *plural,
                const char *namespace, const char *name) {
        return api_find(a->api, group, plural, namespace, name);
}

int admission_forbidden(const struct admission *a, struct problem *p, const char *fmt, ...) {
        char *why = NULL;
        va_list list;
        int n;

        va_start(list, fmt);
        n = vasprintf(&why, fmt, list);
        va_end(list);
        if (n < 0)
                return -ENOMEM;
        problem_set(p, EACCES, 403, "Forbidden", "%s \"%s\" is forbidden: %s", a->kind->resource,
                        a->name, why);
        free(why);
        return -EACCES;
}

int admission_invalid(const struct admission *a, const char *field, const char *value,
                const char *why, struct problem *p) {
        _cleanup_free_ char *text = strformat("Invalid value: %s: %s", value, why);

        if (!text)
                return -ENOMEM;
        problem_set(p, EINVAL, 422, "Invalid", "%s \"%s\" is invalid: %s: %s", a->kind->kind,
                        a->name, field, text);
        problem_cause(p, "FieldValueInvalid", field, text);
        return -EINVAL;
}

bool admission_may(const struct admission *a, const struct admission_right *right) {
        return authorize(a->api, &(struct access){.user = a->user,
                                                 .verb = right->verb,
                                                 .group = strempty(right->group),
                                                 .version = "v1",
                                                 .resource = right->resource,
                                                 .subresource = strempty(right->subresource),
                                                 .namespace = strempty(right->namespace),
                                                 .name = strempty(right->name)});
}

int admission_warn(struct admission *a, const char *text) {
        return strv_extend(a->warnings, text);
}

int admission_claim(struct admission *a, const char *key, const char *owner) {
        assert(owner);
        return a->add_key(a->userdata, key, owner);
}

int admission_release(struct admission *a, const char *key) {
        return a->add_key(a->userdata, key, NULL);
}

int admission_replace(struct admission *a, const char *key, const char *value, uint64_t revision) {
        return a->replace_key(a->userdata, key, value, revision);
}
