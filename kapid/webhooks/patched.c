/* The patched object is read as if a client had sent it: types are checked, unknown fields fall
 * away, defaults come in. */
#include "kapid/webhooks/patched.h"

#include "kapid/patch/patch.h"
#include "kapid/pipeline/convert.h"
#include "kapid/webhooks/match.h"
#include "lib/object.h"

static int unfit(const struct patched_facts *f, struct problem *p) {
        _cleanup_free_ char *why = p->message ? strdup(p->message) : NULL;

        return problem_set(p, EPROTO, 500, "InternalError",
                        "Internal error occurred: the patch of admission webhook \"%s\" cannot be "
                        "applied: %s",
                        f->webhook, why ? why : "out of memory");
}

static int apply_to_form(const json_t *form, const json_t *patch, json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *patched = NULL;
        int r = patch_json(form, patch, &patched, p);

        if (r < 0)
                return r;
        if (!json_is_object(patched))
                return problem_set(p, EINVAL, 500, NULL, "the result is not an object");
        *ret = TAKE_PTR(patched);
        return 0;
}

static int apply(const struct patched_facts *f, const json_t *object, const json_t *patch,
                json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *form = NULL, *patched = NULL;
        int r;

        if (f->as == f->kind || webhook_has_own_form(f->kind, f->sub))
                return patch_json(object, patch, ret, p);
        r = object_as(object, f->as, &form, p);
        if (r < 0)
                return r;
        r = apply_to_form(form, patch, &patched, p);
        return r < 0 ? r : object_as(patched, f->kind, ret, p);
}

static int read_again(const struct patched_facts *f, const json_t *patched, json_t **ret,
                struct problem *p) {
        _cleanup_decoded_ struct decoded d = {0};
        _cleanup_free_ char *text = json_text(patched);
        int r;

        if (!text)
                return -ENOMEM;
        r = pipeline_decode(f->kind, f->sub, "application/json", text, strlen(text),
                        FIELD_VALIDATION_IGNORE, &d, p);
        if (r < 0)
                return r;
        r = webhook_has_own_form(f->kind, f->sub)
                            ? pipeline_validate_body(f->kind, f->sub, d.object, p)
                            : pipeline_default(f->kind, d.object);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d.object);
        return 0;
}

static int check_identity(const struct patched_facts *f, const json_t *before, const json_t *object,
                struct problem *p) {
        static const char *const words[] = {"name", "namespace"};

        for (size_t i = 0; i < ELEMENTS(words); i++) {
                const json_t *was = json_get(before, "metadata", words[i], NULL),
                             *is = json_get(object, "metadata", words[i], NULL);

                if (was && !json_same(was, is))
                        return problem_set(p, EINVAL, 400, "BadRequest",
                                        "admission webhook \"%s\" changed metadata.%s, which a "
                                        "webhook may not change",
                                        f->webhook, words[i]);
        }
        return 0;
}

/* What only the server writes stays, whatever the webhook made of it. */
static int keep_metadata(const json_t *before, json_t *object) {
        static const char *const kept[] = {"uid", "resourceVersion", "creationTimestamp",
                        "generation", "deletionTimestamp", "deletionGracePeriodSeconds",
                        "managedFields", "generateName", "selfLink"};
        json_t *metadata = json_object_get(object, "metadata");
        const json_t *old = json_object_get(before, "metadata");

        if (!old)
                return 0;
        if (!json_is_object(metadata)) {
                metadata = json_object();
                if (json_object_set_new(object, "metadata", metadata) < 0)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < ELEMENTS(kept); i++) {
                json_t *v = json_object_get(old, kept[i]);

                if (!v)
                        json_object_del(metadata, kept[i]);
                else if (json_object_set(metadata, kept[i], v) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int patched_object(const struct patched_facts *f, const json_t *object, const json_t *patch,
                json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *patched = NULL;
        int r;

        if (!object)
                return problem_set(p, ENOTSUP, 500, "InternalError",
                                "Internal error occurred: admission webhook \"%s\" attempted to "
                                "modify the object, which is not supported for this operation",
                                f->webhook);
        r = apply(f, object, patch, &patched, p);
        if (r < 0)
                return r == -ENOMEM ? r : unfit(f, p);
        return patched_read(f, object, patched, ret, p);
}

int patched_form(const struct patched_facts *f, const json_t *form, const json_t *patch,
                json_t **ret, struct problem *p) {
        int r = apply_to_form(form, patch, ret, p);

        return r < 0 && r != -ENOMEM ? unfit(f, p) : r;
}

int patched_read(const struct patched_facts *f, const json_t *object, const json_t *patched,
                json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *fresh = NULL;
        int r = read_again(f, patched, &fresh, p);

        if (r < 0)
                return r == -ENOMEM ? r : unfit(f, p);
        r = check_identity(f, object, fresh, p);
        if (r < 0)
                return r;
        r = keep_metadata(object, fresh);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(fresh);
        return 0;
}
