/* Selectors, from the cheapest question to the dearest: path, labels (read from the text), fields.
 */
#include "kapid/verbs/selection.h"

#include "kapid/cache/forms.h"

void selection_done(struct selection *s) {
        label_selector_free(s->labels);
        field_selector_free(s->fields);
        free(s->name);
        *s = (struct selection){0};
}

/* The name that the fields ask for, which is then looked at without the object. */
static int take_name(struct selection *s) {
        const char *path, *value;
        bool negated;

        for (size_t i = 0; field_selector_term(s->fields, i, &path, &value, &negated); i++) {
                if (negated || !streq(path, "metadata.name"))
                        continue;
                s->name = strdup(value);
                return s->name ? 0 : -ENOMEM;
        }
        return 0;
}

int selection_parse(struct request *request, struct selection *ret, struct problem *p) {
        _cleanup_(selection_done) struct selection s = {.namespace = request->route.namespace};
        int r;

        r = label_selector_parse(request_query(request, "labelSelector"), &s.labels, p);
        if (r < 0)
                return r;
        r = field_selector_parse(request_query(request, "fieldSelector"), &s.fields, p);
        if (r < 0)
                return r;
        r = kind_check_field_selector(request->kind, s.fields, p);
        if (r < 0)
                return r;
        r = take_name(&s);
        if (r < 0)
                return r;
        *ret = s;
        s = (struct selection){0};
        return 0;
}

bool selection_is_everything(const struct selection *s) {
        const char *path, *value;
        bool negated;

        return label_selector_is_everything(s->labels) &&
               !field_selector_term(s->fields, 0, &path, &value, &negated);
}

/* Whether the fields ask for nothing but the name, which the path has. */
static bool fields_are_name(const struct selection *s) {
        const char *path, *value;
        bool negated;

        for (size_t i = 0; field_selector_term(s->fields, i, &path, &value, &negated); i++)
                if (negated || !s->name || !streq(path, "metadata.name") || !streq(value, s->name))
                        return false;
        return true;
}

/* Whether the path alone rules the item out. */
static bool path_matches(const struct kind *k, const struct selection *s, const char *path) {
        size_t n = strlen(s->namespace);
        const char *slash = strchr(path, '/');

        if (k->namespaced && n > 0 && (strncmp(path, s->namespace, n) != 0 || path[n] != '/'))
                return false;
        return !s->name || streq(k->namespaced && slash ? slash + 1 : path, s->name);
}

/* By path, by labels (read from the text), and only then by the whole object. */
int selection_matches(const struct kind *k, const struct selection *s, struct item *it,
                struct problem *p) {
        _cleanup_json_ json_t *object = NULL, *labels = NULL;
        int r;

        if (!path_matches(k, s, item_path(it)))
                return 0;
        if (selection_is_everything(s))
                return 1;
        if (!label_selector_is_everything(s->labels)) {
                r = item_labels(it, &labels);
                if (r < 0)
                        return r;
                if (!label_selector_matches(s->labels, labels))
                        return 0;
        }
        if (fields_are_name(s))
                return 1;
        r = item_object_as(it, k, &object, p);
        if (r < 0)
                return r;
        return kind_field_selector_matches(k, s->fields, object);
}

char *selection_prefix(const struct kind *k, const struct selection *s) {
        return k->namespaced && !isempty(s->namespace) ? strformat("%s/", s->namespace)
                                                       : strdup("");
}
