/* FieldsWithoutEffect: a user who writes a field without effect here gets a warning, in a Warning
 * header. */
#include "kapid/admission/plugins.h"
#include "lib/no-effect.h"

/* A pod of many containers has the same field many times. */
enum { NO_EFFECT_MAX = 12 };

struct found {
        struct admission *admission;
        size_t count;
        int failure;
};

static void on_found(void *userdata, const char *path, const char *text) {
        struct found *f = userdata;
        _cleanup_free_ char *warning = NULL;

        if (++f->count > NO_EFFECT_MAX || f->failure < 0)
                return;
        warning = strformat("%s has no effect: %s", path, text);
        f->failure = warning ? admission_warn(f->admission, warning) : -ENOMEM;
}

static int warn(struct admission *a, struct problem *p) {
        struct found f = {.admission = a};

        if (a->kind->custom)
                return 0;
        no_effect_find(&no_effect_table, a->kind->storage_group, a->kind->kind, a->live, a->object,
                        on_found, &f);
        return f.failure;
}

static const struct admission_rule rules[] = {
                {.operations = ADMIT_WRITE, .validate = warn},
                {0},
};

const struct admission_plugin admission_no_effect = {.rules = rules};
