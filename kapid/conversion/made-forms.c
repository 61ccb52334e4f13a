/* A handful for each request: an object is known by its address, which it keeps as long as it is
 * referred to here. */
#include "kapid/conversion/made-forms.h"

struct made_form {
        struct kind *as;
        json_t *object, *form;
        char *why; /* there is no form */
};

static void made_form_free(struct made_form *m) {
        kind_unref(m->as);
        json_decref(m->object);
        json_decref(m->form);
        free(m->why);
        free(m);
}

void made_forms_done(struct made_forms *f) {
        for (size_t i = 0; i < f->v.count; i++)
                made_form_free(f->v.items[i]);
        vector_done(&f->v);
}

const json_t *made_forms_find(const struct made_forms *f, const struct kind *as,
                const json_t *object, const char **ret_why) {
        if (ret_why)
                *ret_why = NULL;
        for (size_t i = 0; f && i < f->v.count; i++) {
                const struct made_form *m = f->v.items[i];

                if (m->object != object || !streq(m->as->api_version, as->api_version))
                        continue;
                if (ret_why)
                        *ret_why = m->why;
                return m->form;
        }
        return NULL;
}

int made_forms_add(struct made_forms *f, const struct kind *as, const json_t *object, json_t *form,
                const char *why) {
        struct made_form *m = calloc(1, sizeof(*m));
        int r = -ENOMEM;

        if (!m) {
                json_decref(form);
                return -ENOMEM;
        }
        *m = (struct made_form){.as = kind_ref(as), .object = json_ref(object), .form = form};
        m->why = form ? NULL : strdup(strempty(why));
        if (form || m->why)
                r = vector_append(&f->v, m);
        if (r < 0)
                made_form_free(m);
        return r;
}
