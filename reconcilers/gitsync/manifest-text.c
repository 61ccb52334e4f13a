/* Text to documents, and documents to the form that is applied. */
#include "reconcilers/gitsync/manifest-text.h"

#include "lib/object.h"
#include "lib/pki.h"

int manifest_text_parse(
                const char *name, const char *text, struct yaml_docs *ret, struct problem *p) {
        static const char bom[] = "\xef\xbb\xbf";
        const char *start = startswith(text, bom);
        int r;

        start = start ? start : text;
        start += strspn(start, " \t\r\n");
        if (*start != '{')
                return yaml_parse(text, strlen(text), ret, p);
        r = yaml_parse_json(start, strlen(start), ret, p);
        /* A flow mapping of YAML begins like JSON. */
        if (r == -EINVAL && !endswith(name, ".json")) {
                problem_done(p);
                *p = (struct problem){0};
                r = yaml_parse(text, strlen(text), ret, p);
        }
        return r;
}

bool manifest_is_object(const json_t *document) {
        return json_is_object(document) &&
               (json_object_get(document, "apiVersion") || json_object_get(document, "kind"));
}

json_t *manifest_list_items(const json_t *document) {
        json_t *items = json_object_get(document, "items");

        if (!endswith(object_kind(document), "List") || !json_is_array(items) ||
                        *object_name(document))
                return NULL;
        return items;
}

int manifest_complete_item(const json_t *list, json_t *item) {
        const char *kind = object_kind(list);
        size_t n = strlen(kind) - strlen("List");
        _cleanup_free_ char *of = strndup(kind, n);

        if (!of)
                return -ENOMEM;
        if (n == 0 || !json_is_object(item))
                return 0;
        if (!json_object_get(item, "kind") &&
                        json_object_set_new(item, "kind", json_string(of)) < 0)
                return -ENOMEM;
        if (!json_object_get(item, "apiVersion") &&
                        json_object_set_new(item, "apiVersion",
                                        json_string(object_api_version(list))) < 0)
                return -ENOMEM;
        return 0;
}

int manifest_convert(json_t *object, struct problem *p) {
        json_t *texts = json_object_get(object, "stringData"), *data, *v;
        const char *key;

        if (!texts || !streq(object_kind(object), "Secret") ||
                        !streq(object_api_version(object), "v1"))
                return 0;
        if (!json_is_object(texts))
                return json_is_null(texts) ? json_object_del(object, "stringData")
                                           : problem_set(p, EINVAL, 400, "Invalid",
                                                             "stringData must be a mapping");
        data = json_object_get(object, "data");
        if (!json_is_object(data)) {
                data = json_object();
                if (json_object_set_new(object, "data", data) < 0)
                        return -ENOMEM;
        }
        json_object_foreach (texts, key, v) {
                _cleanup_free_ char *encoded = NULL;

                if (!json_is_string(v)) {
                        problem_set(p, EINVAL, 400, "Invalid",
                                        "must be a text; put numbers and booleans in quotes");
                        problem_field(p, 0, "stringData.%s", key);
                        return -EINVAL;
                }
                encoded = base64_encode(json_string_value(v), json_string_length(v));
                if (!encoded || json_object_set_new(data, key, json_string(encoded)) < 0)
                        return -ENOMEM;
        }
        json_object_del(object, "stringData");
        return 0;
}
