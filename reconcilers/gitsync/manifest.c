/* Files to objects. Two passes: parse every file (the first refusal ends it), then look at the
 * whole set. */
#include "reconcilers/gitsync/manifest.h"

#include "lib/map.h"
#include "lib/object.h"
#include "reconcilers/gitsync/manifest-text.h"

void manifest_set_done(struct manifest_set *s) {
        for (size_t i = 0; i < s->count; i++) {
                json_decref(s->items[i].object);
                free(s->items[i].prefix);
        }
        for (size_t i = 0; i < s->file_count; i++) {
                free(s->files[i].name);
                yaml_docs_done(&s->files[i].docs);
        }
        free(s->items);
        free(s->files);
        json_decref(s->ignored);
        *s = (struct manifest_set){0};
}

void manifest_blame(const struct manifest_item *item, struct problem *p) {
        const char *field = p->field;
        _cleanup_free_ char *path = NULL;
        const json_t *cause = json_array_get(p->causes, 0);

        if (!field)
                field = json_str(cause, "field");
        /* The API may write ".spec.replcas"; places know "spec.replcas". */
        path = strformat("%s%s", item->prefix, field ? field + (field[0] == '.') : "metadata.name");
        unsigned line = yaml_line_of(item->doc, strempty(path));
        if (field && p->message && !strstr(p->message, field))
                problem_prefix(p, "%s", field);
        problem_prefix(p, "%s line %u: %s \"%s\"", item->file, line, object_kind(item->object),
                        object_name(item->object));
}

static int blame(const struct manifest_item *item, struct problem *p, const char *field,
                const char *message) {
        problem_set(p, EINVAL, 400, "Invalid", "%s", message);
        problem_field(p, 0, "%s", field);
        manifest_blame(item, p);
        return -EINVAL;
}

/* Whether a text may be part of a path of the API; the server checks names further. */
static bool is_path_word(const char *s, bool slash) {
        if (isempty(s) || strlen(s) > 253)
                return false;
        for (; *s; s++)
                if ((unsigned char)*s <= ' ' || strchr("?#%\\", *s) || (*s == '/' && !slash))
                        return false;
        return true;
}

static int check_item(const struct manifest_item *item, struct problem *p) {
        static const char *const server_owned[] = {"uid", "resourceVersion", "managedFields",
                        "creationTimestamp", "deletionTimestamp"};
        const json_t *o = item->object, *metadata = json_object_get(o, "metadata");
        const char *ns = json_str(o, "metadata.namespace");

        if (!is_path_word(object_kind(o), false))
                return blame(item, p, "kind",
                                "kind is missing; write for example kind: Deployment");
        if (!is_path_word(object_api_version(o), true))
                return blame(item, p, "apiVersion",
                                "apiVersion is missing; write for example apiVersion: apps/v1");
        if (!json_is_object(metadata))
                return blame(item, p, "metadata", "metadata is missing; it needs at least a name");
        if (json_object_get(metadata, "generateName"))
                return blame(item, p, "metadata.generateName",
                                "generateName cannot be applied twice; give a name");
        if (!is_path_word(object_name(o), true))
                return blame(item, p, "metadata.name", "metadata.name is missing");
        if (json_object_get(metadata, "namespace") && !is_path_word(ns, false))
                return blame(item, p, "metadata.namespace", "metadata.namespace is not a name");
        for (size_t i = 0; i < ELEMENTS(server_owned); i++) {
                const json_t *v = json_object_get(metadata, server_owned[i]);

                if (v && !json_is_null(v)) {
                        _cleanup_free_ char *path = strformat("metadata.%s", server_owned[i]);
                        return blame(item, p, strempty(path),
                                        "this field belongs to the server; remove it from the "
                                        "manifest");
                }
        }
        return 0;
}

static int add_labels(json_t *object, const struct manifest_owner *owner) {
        json_t *metadata = json_object_get(object, "metadata"), *labels;

        labels = json_object_get(metadata, "labels");
        if (!json_is_object(labels)) {
                labels = json_object();
                if (!labels || json_object_set_new(metadata, "labels", labels) < 0)
                        return -ENOMEM;
        }
        if (json_object_set_new(labels, "keelson.dev/gitsync-name", json_string(owner->name)) < 0 ||
                        json_object_set_new(labels, "keelson.dev/gitsync-namespace",
                                        json_string(owner->ns)) < 0)
                return -ENOMEM;
        return 0;
}

static int check_and_convert(struct manifest_item *item, struct problem *p) {
        int r;

        r = check_item(item, p);
        if (r < 0)
                return r;
        return manifest_convert(item->object, p);
}

static int add_item(struct manifest_set *s, struct manifest_file *file, size_t doc, json_t *value,
                const json_t *list, char *prefix_taken, const struct manifest_owner *owner,
                struct problem *p) {
        _cleanup_free_ char *prefix = prefix_taken;
        int r;

        if (!prefix)
                return -ENOMEM;
        if (s->count >= MANIFEST_ITEMS_MAX)
                return problem_set(p, E2BIG, 0, NULL,
                                "the commit holds more than %i objects; use several GitSyncs with "
                                "a path each",
                                MANIFEST_ITEMS_MAX);
        struct manifest_item *items = reallocarray(s->items, s->count + 1, sizeof(*items));
        if (!items)
                return -ENOMEM;
        s->items = items;
        struct manifest_item *item = &items[s->count];
        *item = (struct manifest_item){json_deep_copy(value), file->name, &file->docs.items[doc],
                        TAKE_PTR(prefix)};
        s->count++;
        if (!item->object)
                return -ENOMEM;
        if (!json_is_object(item->object))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s line %u: a manifest must be a mapping with apiVersion, kind "
                                "and metadata",
                                file->name, item->doc->line);
        if (list && manifest_complete_item(list, item->object) < 0)
                return -ENOMEM;
        r = check_and_convert(item, p);
        if (r == -EINVAL && !strstr(p->message, file->name))
                manifest_blame(item, p);
        if (r < 0)
                return r;
        return add_labels(item->object, owner);
}

static int ignore(struct manifest_set *s, const struct manifest_file *file, size_t doc) {
        _cleanup_free_ char *word = strformat("%s line %u (no Kubernetes object: it has neither "
                                              "apiVersion nor kind)",
                        file->name, file->docs.items[doc].line);

        if (!s->ignored)
                s->ignored = json_array();
        return word && json_array_append_new(s->ignored, json_string(word)) == 0 ? 0 : -ENOMEM;
}

static int add_document(struct manifest_set *s, struct manifest_file *file, size_t doc,
                const struct manifest_owner *owner, struct problem *p) {
        json_t *value = file->docs.items[doc].value, *list = manifest_list_items(value), *v;
        size_t i;

        if (!manifest_is_object(value))
                return ignore(s, file, doc);
        if (!list)
                return add_item(s, file, doc, value, NULL, strdup(""), owner, p);
        json_array_foreach (list, i, v) {
                int r = add_item(s, file, doc, v, value, strformat("items[%zu].", i), owner, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The same object twice would be applied in alternation for ever. */
static int check_duplicates(const struct manifest_set *s, struct problem *p) {
        _cleanup_(map_freep) struct map *seen = map_new(NULL);

        if (!seen)
                return -ENOMEM;
        for (size_t i = 0; i < s->count; i++) {
                const struct manifest_item *item = &s->items[i], *first;
                _cleanup_free_ char *key = strformat("%s %s %s/%s",
                                object_api_version(item->object), object_kind(item->object),
                                object_namespace(item->object), object_name(item->object));

                if (!key)
                        return -ENOMEM;
                first = map_get(seen, key);
                if (first) {
                        _cleanup_free_ char *why = strformat(
                                        "the same object is in %s line %u already; remove one",
                                        first->file, first->doc->line);
                        return blame(item, p, "metadata.name", strempty(why));
                }
                if (map_set(seen, key, (void *)item) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int manifest_set_read(const json_t *files, const struct manifest_owner *owner,
                struct manifest_set *ret, struct problem *p) {
        _cleanup_manifests_ struct manifest_set s = {0};
        const json_t *file;
        size_t i;
        int r;

        s.files = calloc(json_array_size(files) + 1, sizeof(*s.files));
        if (!s.files)
                return -ENOMEM;
        json_array_foreach (files, i, file) {
                struct manifest_file *f = &s.files[s.file_count++];
                const char *text = json_str_or(file, "text", "");

                f->name = strdup(json_str_or(file, "name", "?"));
                if (!f->name)
                        return -ENOMEM;
                r = manifest_text_parse(f->name, text, &f->docs, p);
                if (r < 0) {
                        problem_prefix(p, "%s", f->name);
                        return r;
                }
        }
        for (i = 0; i < s.file_count; i++)
                for (size_t doc = 0; doc < s.files[i].docs.count; doc++) {
                        r = add_document(&s, &s.files[i], doc, owner, p);
                        if (r < 0)
                                return r;
                }
        r = check_duplicates(&s, p);
        if (r < 0)
                return r;
        *ret = s;
        s = (struct manifest_set){0};
        return 0;
}
