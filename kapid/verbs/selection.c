/* Selectors, from the cheapest question to the dearest: path, labels, fields. Labels and fields are
 * read from the text. */
#include "kapid/verbs/selection.h"

#include "kapid/pipeline/forms.h"
#include "lib/json-part.h"

void selection_done(struct selection *s) {
        label_selector_free(s->labels);
        field_selector_free(s->fields);
        free(s->name);
        json_part_free(s->part);
        *s = (struct selection){0};
}

/* The name that the path (of a watch of one object) or the fields ask for, which is then looked at
 * without the object. */
static int take_name(struct selection *s, const char *in_path, struct problem *p) {
        const char *name = field_selector_exact(s->fields, "metadata.name");

        if (!isempty(in_path) && name && !streq(name, in_path))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "the field selector asks for the name \"%s\", the path for \"%s\"",
                                name, in_path);
        name = isempty(in_path) ? name : in_path;
        if (!name)
                return 0;
        s->name = strdup(name);
        return s->name ? 0 : -ENOMEM;
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
        r = take_name(&s, request->route.name, p);
        if (r < 0)
                return r;
        r = kind_field_selector_part(s.fields, &s.part);
        if (r < 0)
                return r;
        if (!request->kind->by_webhook) /* whose labels may differ from those that are stored */
                s.label_bits = label_selector_bits(s.labels);
        *ret = s;
        s = (struct selection){0};
        return 0;
}

bool selection_is_everything(const struct selection *s) {
        const char *path, *value;
        bool negated;

        return label_selector_is_everything(s->labels) && !s->name &&
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
        const char *slash;

        if (k->namespaced && n > 0 && (strncmp(path, s->namespace, n) != 0 || path[n] != '/'))
                return false;
        if (!s->name)
                return true;
        slash = k->namespaced ? strchr(path, '/') : NULL;
        return streq(slash ? slash + 1 : path, s->name);
}

static int labels_match(const struct selection *s, const struct item *it) {
        _cleanup_json_ json_t *labels = NULL;
        size_t n;
        const char *text = item_labels_text(it, &n);
        int r = label_selector_matches_text(s->labels, text, n);

        if (r != -EINVAL)
                return r;
        r = item_labels(it, &labels);
        return r < 0 ? r : label_selector_matches(s->labels, labels);
}

/* Whether a field's value in an item's text is the one that selectors compare: it is neither
 * converted nor one of those that they know by another name, nor may it be a list. */
static bool field_key(const struct kind *k, const char *path, struct cache_key *ret) {
        static const char *const other[] = {"source", "status.successful", "status.podIPs"};

        *ret = (struct cache_key){.by = CACHE_BY_FIELD, .name = path};
        if (streq(path, "metadata.name"))
                return true;
        for (size_t i = 0; i < ELEMENTS(other); i++)
                if (streq(path, other[i]))
                        return false;
        if (startswith(path, "metadata.") || k->by_webhook ||
                        !streq(k->api_version, k->storage_api_version))
                return false;
        ret->api_version = k->storage_api_version;
        ret->filled = k->custom; /* a definition may get defaults later */
        return true;
}

/* -EINVAL: the text alone does not say it. */
static int fields_match_text(
                const struct kind *k, const struct selection *s, const struct item *it) {
        const char *path, *value, *text;
        struct cache_key key;
        bool negated;
        size_t n;

        for (size_t i = 0; field_selector_term(s->fields, i, &path, &value, &negated); i++) {
                if (!field_key(k, path, &key) || cache_held(&key, it, &text, &n) != HELD_TEXT ||
                                (n == 0 && cache_value_may_be_absent(&key, value)))
                        return -EINVAL;
                if ((n == strlen(value) && memcmp(text, value, n) == 0) == negated)
                        return 0;
        }
        return 1;
}

static int fields_match(const struct kind *k, const struct selection *s, struct item *it,
                struct problem *p) {
        _cleanup_json_ json_t *object = NULL;
        const struct bytes *text;
        int r = fields_match_text(k, s, it);

        if (r != -EINVAL)
                return r;
        r = item_as(it, k, &it, p);
        if (r < 0)
                return r;
        text = item_text(it);
        r = json_part_parse(s->part, text->data, text->size, &object);
        if (r < 0)
                object = item_object_once(it);
        return object ? kind_field_selector_matches(k, s->fields, object) : -ENOMEM;
}

/* By path, by labels (read from the text), and only then by the fields. */
int selection_matches(const struct kind *k, const struct selection *s, struct item *it,
                struct problem *p) {
        int r;

        if (!path_matches(k, s, item_path(it)))
                return 0;
        if (!label_selector_is_everything(s->labels)) {
                /* A converter may change labels. */
                r = k->by_webhook ? item_as(it, k, &it, p) : 0;
                if (r < 0)
                        return r;
                r = labels_match(s, it);
                if (r <= 0)
                        return r;
        }
        return fields_are_name(s) ? 1 : fields_match(k, s, it, p);
}

static size_t label_terms(const struct selection *s, struct cache_term *ret, size_t max) {
        char *const *values;
        const char *key;
        size_t i = 0, n = 0;

        while (n < max && label_selector_need(s->labels, &i, &key, &values)) {
                bool one = values && strv_length(values) == 1;

                ret[n++] = (struct cache_term){
                                .key = {.by = values ? CACHE_BY_LABEL : CACHE_HAVING_LABEL,
                                                .name = key},
                                .value = one ? values[0] : NULL,
                                .values = one ? NULL : values};
        }
        return n;
}

size_t selection_terms(const struct kind *k, const struct selection *s,
                struct cache_term ret[static SELECTION_TERMS_MAX]) {
        const char *path, *value;
        struct cache_key key;
        bool negated;
        size_t n = 0;

        for (size_t i = 0; n < SELECTION_TERMS_MAX && s->fields &&
                           field_selector_term(s->fields, i, &path, &value, &negated);
                        i++)
                if (!negated && field_key(k, path, &key))
                        ret[n++] = (struct cache_term){.key = key, .value = value};
        /* A converter may change labels. */
        if (!k->by_webhook)
                n += label_terms(s, ret + n, SELECTION_TERMS_MAX - n);
        return n;
}

int selection_walk(const struct kind *k, const struct selection *s, struct cache *c,
                const char *prefix, const char *after, struct cache_walk *ret) {
        struct cache_term terms[SELECTION_TERMS_MAX];
        size_t n;

        if (s->name && (*prefix || !k->namespaced)) {
                _cleanup_free_ char *path = strformat("%s%s", prefix, s->name);

                if (!path)
                        return -ENOMEM;
                cache_walk_one(ret, c, path, after);
                return 0;
        }
        n = selection_terms(k, s, terms);
        cache_walk_terms(ret, c, prefix, after, s->label_bits, terms, n);
        return 0;
}

char *selection_prefix(const struct kind *k, const struct selection *s) {
        return k->namespaced && !isempty(s->namespace) ? strformat("%s/", s->namespace)
                                                       : strdup("");
}
