/* In the version that the policy asked for; then the object is read again in its own, as a client's
 * would be. */
#include "kapid/policies/applied.h"

#include "kapid/patch/configuration.h"
#include "kapid/patch/patch.h"
#include "kapid/webhooks/match.h"

/* Takes why. */
static int refuse(char **ret_why, char *why) {
        *ret_why = why;
        return why ? -EINVAL : -ENOMEM;
}

static int read_form(const struct patched_facts *f, const json_t *object, json_t **ret,
                char **ret_why) {
        _cleanup_problem_ struct problem p = {0};
        int r = patched_form(f, object, ret, &p);

        return r >= 0 || r == -ENOMEM ? r : refuse(ret_why, strdup(strempty(p.message)));
}

static int accept(const struct patched_facts *f, const json_t *before, const json_t *form,
                const json_t *changed, json_t **ret, char **ret_why) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *object = NULL;
        int r;

        if (json_same(form, changed))
                return 0;
        r = patched_accept(f, before, changed, &object, &p);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return refuse(ret_why, strdup(strempty(p.message)));
        if (json_same(object, before))
                return 0;
        *ret = TAKE_PTR(object);
        return 1;
}

int policy_apply_patch(const struct patched_facts *f, const json_t *object,
                const json_t *operations, json_t **ret, char **ret_why) {
        _cleanup_json_ json_t *form = NULL, *changed = NULL;
        _cleanup_problem_ struct problem p = {0};
        int r = read_form(f, object, &form, ret_why);

        if (r < 0)
                return r;
        r = patch_json(form, operations, &changed, &p);
        if (r == -ENOMSG) /* a test said no */
                return 0;
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return refuse(ret_why, strformat("JSONPatch: %s", strempty(p.message)));
        return accept(f, object, form, changed, ret, ret_why);
}

int policy_apply_configuration(const struct patched_facts *f, const json_t *object, json_t *config,
                json_t **ret, char **ret_why) {
        bool own = webhook_has_own_form(f->kind, f->sub);
        const struct schema *s = own && f->sub->schema ? f->sub->schema : f->as->schema;
        _cleanup_json_ json_t *form = NULL, *changed = NULL;
        _cleanup_free_ char *why = NULL;
        int r = read_form(f, object, &form, ret_why);

        if (r < 0)
                return r;
        if (json_object_set(config, "apiVersion", json_object_get(form, "apiVersion")) < 0 ||
                        json_object_set(config, "kind", json_object_get(form, "kind")) < 0)
                return -ENOMEM;
        r = configuration_apply(f->as, s, form, config, &changed, &why);
        if (r == -EINVAL)
                return refuse(ret_why, strformat("error applying patch: %s", strempty(why)));
        return r < 0 ? r : accept(f, object, form, changed, ret, ret_why);
}
