/* A row of admission: whoever writes a field that nothing comes of is warned, in a Warning header.
 */
#include "kapid/admission/admission.h"
#include "lib/no-effect.h"

/* A pod of many containers has the same field many times. */
enum { NO_EFFECT_MAX = 12 };

struct found {
        struct write *write;
        size_t count;
        int error;
};

static void on_found(void *userdata, const char *path, const char *text) {
        struct found *f = userdata;
        _cleanup_free_ char *warning = NULL;

        if (++f->count > NO_EFFECT_MAX || f->error < 0)
                return;
        warning = strformat("%s has no effect: %s", path, text);
        f->error = warning ? strv_extend(&f->write->decision->warnings, warning) : -ENOMEM;
}

int warn_no_effect(struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        struct found f = {.write = w};

        if (w->kind->custom || w->request->sub)
                return 0;
        no_effect_find(&no_effect_table, w->kind->group, w->kind->kind, live, object, on_found, &f);
        return f.error;
}
