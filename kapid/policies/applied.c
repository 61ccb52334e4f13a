/* In the version that the policy asked for; then the object is read again in its own. */
#include "kapid/policies/applied.h"

#include "kapid/patch/configuration.h"
#include "kapid/patch/patch.h"
#include "kapid/webhooks/match.h"

/* Takes why. */
static int refuse(char **ret_why, char *why) {
        *ret_why = why;
        return why ? -EINVAL : -ENOMEM;
}

int policy_applied(const struct patched_facts *f, const json_t *before, const json_t *changed,
                json_t **ret, char **ret_why) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *object = NULL;
        int r = patched_accept(f, before, changed, &object, &p);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return refuse(ret_why, strdup(strempty(p.message)));
        if (json_same(object, before))
                return 0;
        *ret = TAKE_PTR(object);
        return 1;
}

/* 1: it is another one. */
static int take_changed(const json_t *form, json_t *changed_taken, json_t **ret) {
        _cleanup_json_ json_t *changed = changed_taken;

        if (json_same(form, changed))
                return 0;
        *ret = TAKE_PTR(changed);
        return 1;
}

int policy_apply_patch(const json_t *form, const json_t *operations, json_t **ret, char **ret_why) {
        _cleanup_problem_ struct problem p = {0};
        json_t *changed = NULL;
        int r = patch_json(form, operations, &changed, &p);

        if (r == -ENOMSG) /* a test said no */
                return 0;
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return refuse(ret_why, strformat("JSONPatch: %s", strempty(p.message)));
        return take_changed(form, changed, ret);
}

int policy_apply_configuration(const struct patched_facts *f, const json_t *form, json_t *config,
                json_t **ret, char **ret_why) {
        bool own = webhook_has_own_form(f->kind, f->sub);
        const struct schema *s = own && f->sub->schema ? f->sub->schema : f->as->schema;
        _cleanup_free_ char *why = NULL;
        json_t *changed = NULL;
        int r;

        if (json_object_set(config, "apiVersion", json_object_get(form, "apiVersion")) < 0 ||
                        json_object_set(config, "kind", json_object_get(form, "kind")) < 0)
                return -ENOMEM;
        r = configuration_apply(f->as, s, form, config, &changed, &why);
        if (r == -EINVAL)
                return refuse(ret_why, strformat("error applying patch: %s", strempty(why)));
        return r < 0 ? r : take_changed(form, changed, ret);
}
