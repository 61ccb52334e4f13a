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
                        "Internal error occurred: the patch of %s cannot be applied: %s", f->who,
                        why ? why : "out of memory");
}

static int form_of(const struct patched_facts *f, const json_t *object, json_t **ret,
                struct problem *p) {
        if (f->as != f->kind && !webhook_has_own_form(f->kind, f->sub))
                return object_as(object, f->as, ret, p);
        *ret = json_ref(object);
        return 0;
}

static int apply(const struct patched_facts *f, const json_t *object, const json_t *patch,
                json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *form = NULL;
        int r = form_of(f, object, &form, p);

        return r < 0 ? r : patch_json(form, patch, ret, p);
}

/* From the form that was patched to the kind's own. */
static int own_form(const struct patched_facts *f, const json_t *patched, json_t **ret,
                struct problem *p) {
        if (!json_is_object(patched))
                return problem_set(p, EINVAL, 500, NULL, "the result is not an object");
        if (f->as != f->kind && !webhook_has_own_form(f->kind, f->sub))
                return object_as(patched, f->kind, ret, p);
        *ret = json_ref(patched);
        return 0;
}

static int read_again(const struct patched_facts *f, const json_t *patched, json_t **ret,
                struct problem *p) {
        _cleanup_decoded_ struct decoded d = {0};
        _cleanup_free_ char *text = json_text(patched);
        int r;

        if (!text)
                return -ENOMEM;
        if (strlen(text) > PATCHED_BYTES_MAX)
                return problem_set(p, EINVAL, 500, NULL, "the object would have more than %d bytes",
                                PATCHED_BYTES_MAX);
        r = pipeline_decode(f->kind, f->sub, "application/json", text, strlen(text),
                        f->strict ? FIELD_VALIDATION_STRICT : FIELD_VALIDATION_IGNORE, &d, p);
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
                        return problem_set(p, EPERM, 400, "BadRequest",
                                        "%s changed metadata.%s, which it may not change", f->who,
                                        words[i]);
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

int patched_accept(const struct patched_facts *f, const json_t *before, const json_t *patched,
                json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *own = NULL, *fresh = NULL;
        int r = own_form(f, patched, &own, p);

        if (r < 0)
                return r;
        r = read_again(f, own, &fresh, p);
        if (r < 0)
                return r;
        r = check_identity(f, before, fresh, p);
        if (r < 0)
                return r;
        r = keep_metadata(before, fresh);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(fresh);
        return 0;
}

int patched_object(const struct patched_facts *f, const json_t *object, const json_t *patch,
                json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *patched = NULL;
        int r;

        if (!object)
                return problem_set(p, ENOTSUP, 500, "InternalError",
                                "Internal error occurred: %s attempted to modify the object, which "
                                "is not supported for this operation",
                                f->who);
        r = apply(f, object, patch, &patched, p);
        if (r < 0)
                return r == -ENOMEM ? r : unfit(f, p);
        r = patched_accept(f, object, patched, ret, p);
        /* That it is another object now is said by itself. */
        return r == -ENOMEM || r == -EPERM ? r : r < 0 ? unfit(f, p) : 0;
}

int patched_apply(const struct patched_facts *f, const json_t *form, const json_t *patch,
                json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *patched = NULL;
        int r = patch_json(form, patch, &patched, p);

        if (r >= 0 && !json_is_object(patched))
                return problem_set(p, EPROTO, 500, "InternalError",
                                "Internal error occurred: the patch of %s leaves no object",
                                f->who);
        if (r < 0)
                return r == -ENOMEM ? r : unfit(f, p);
        *ret = TAKE_PTR(patched);
        return 0;
}
