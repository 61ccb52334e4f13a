/* Makes kinds from documents. Built-in documents and users' CRDs go through the same function; a
 * document's kinds share a source (the memory they live in), which goes with the last reference. */
#include "kapid/kinds/internal.h"

#include "kapid/kinds/versions.h"
#include "kapid/pipeline/pipeline.h"
#include "kapid/schema/rules.h"
#include "kapid/schema/schema.h"
#include "kapid/strategy/strategy.h"
#include "kapid/table/cells.h"
#include "kapid/table/columns.h"
#include "lib/siphash.h"

enum { CRD_VERSIONS_MAX = 32 };

struct source *source_unref(struct source *s) {
        if (s && --s->refs == 0) {
                schema_set_free(s->set);
                if (s->owns_rules)
                        rules_base_free(s->rules);
                free(s);
        }
        return NULL;
}

int source_new(struct source **ret, const struct schema_set *parent, struct rules_base *rules) {
        struct source *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->refs = 1;
        int r = schema_set_new(&s->set, parent);
        if (r < 0) {
                free(s);
                return r;
        }
        s->rules = rules;
        if (!rules) {
                r = rules_base_new(&s->rules);
                s->owns_rules = true;
        }
        if (r < 0) {
                source_unref(s);
                return r;
        }
        *ret = s;
        return 0;
}

static struct kind_entry *entry_of(const struct kind *k) {
        return container_of((struct kind *)k, struct kind_entry, kind);
}

struct kind *kind_ref(const struct kind *k) {
        struct kind_entry *e = entry_of(k);

        assert(e->refs > 0);
        e->refs++;
        return &e->kind;
}

struct kind *kind_unref(struct kind *k) {
        struct kind_entry *e = k ? entry_of(k) : NULL;

        if (e && --e->refs == 0) {
                rules_free(e->kind.rules);
                columns_done(e->kind.columns, e->kind.column_count, e->kind.row);
                source_unref(e->source);
                free(e);
        }
        return NULL;
}

const char *kind_document(const struct kind *k) {
        return strempty(entry_of(k)->document);
}

char *kind_store_key(const struct kind *k, const char *namespace, const char *name) {
        return k->namespaced ? strformat("%s%s/%s", k->storage_prefix, namespace, name)
                             : strformat("%s%s", k->storage_prefix, name);
}

static const struct {
        enum kind_verb verb;
        const char *word;
} verb_words[] = {{KIND_CREATE, "create"}, {KIND_DELETE, "delete"},
                {KIND_DELETECOLLECTION, "deletecollection"}, {KIND_GET, "get"}, {KIND_LIST, "list"},
                {KIND_PATCH, "patch"}, {KIND_UPDATE, "update"}, {KIND_WATCH, "watch"}};

json_t *kind_verbs_json(unsigned verbs) {
        json_t *list = json_array();

        for (size_t i = 0; list && i < ELEMENTS(verb_words); i++)
                if (verbs & verb_words[i].verb)
                        json_array_append_new(list, json_string(verb_words[i].word));
        return list;
}

static unsigned verbs_from(const json_t *list) {
        unsigned verbs = 0;
        const json_t *item;
        size_t i;

        json_array_foreach (list, i, item)
                for (size_t j = 0; j < ELEMENTS(verb_words); j++)
                        if (json_is_string(item) &&
                                        streq(json_string_value(item), verb_words[j].word))
                                verbs |= verb_words[j].verb;
        return verbs;
}

const struct kind_subresource *kind_subresource_find(const struct kind *k, const char *name) {
        for (size_t i = 0; i < k->subresource_count; i++)
                if (streq(k->subresources[i].name, name))
                        return &k->subresources[i];
        return NULL;
}

/* Making kinds from a document. */
struct maker {
        struct source *source;
        const json_t *crd, *spec, *version;
        bool custom;
        struct kind *k;
        struct problem *p;
};

static char *copy(struct maker *m, const char *text) {
        return text ? schema_set_strdup(m->source->set, text) : NULL;
}

/* ".spec.replicas" -> "spec.replicas". */
static char *copy_path(struct maker *m, const char *text) {
        return text ? copy(m, text + (*text == '.')) : NULL;
}

/* Those that it was given, which may not be all it wants (crd-names.h). */
static const json_t *names_of(const struct maker *m) {
        const json_t *accepted = m->custom ? json_at(m->crd, "status.acceptedNames") : NULL;

        return isempty(json_str(accepted, "plural")) || isempty(json_str(accepted, "kind"))
                               ? json_object_get(m->spec, "names")
                               : accepted;
}

/* A version that is served only where it is asked for. */
static bool is_old(const struct maker *m) {
        return !m->custom && json_bool_or(m->version, "x-keelson.old", false);
}

/* What an old version has in common with the first one. */
static const json_t *shared_of(const struct maker *m, const char *path) {
        return json_at(is_old(m) ? json_array_get(json_object_get(m->spec, "versions"), 0)
                                 : m->version,
                        path);
}

/* The newest version, that is to be used instead; NULL when there is none. */
static const char *newer_version(const struct maker *m) {
        const json_t *versions = json_object_get(m->spec, "versions"), *v;
        const char *own = json_str_or(m->version, "name", ""), *newest = NULL;
        size_t i;

        json_array_foreach (versions, i, v) {
                const char *name = json_str_or(v, "name", "");

                if (json_bool_or(v, "served", false) && !json_bool_or(v, "deprecated", false) &&
                                versions_compare(name, newest ? newest : own) < 0)
                        newest = name;
        }
        return newest;
}

static int make_deprecation(struct maker *m) {
        const char *own = json_str(m->version, "deprecationWarning"), *newer;
        _cleanup_free_ char *text = NULL;
        struct kind *k = m->k;

        if (!k->deprecated)
                return 0;
        newer = own ? NULL : newer_version(m);
        text = own     ? strdup(own)
               : newer ? strformat("%s %s is deprecated; use %s/%s %s", k->api_version, k->kind,
                                         k->group, newer, k->kind)
                       : strformat("%s %s is deprecated", k->api_version, k->kind);
        k->deprecation = copy(m, text);
        return k->deprecation ? 0 : -ENOMEM;
}

static int make_names(struct maker *m) {
        const json_t *names = names_of(m);
        const char *stored = json_str_or(m->spec, "group", ""),
                   *group = m->custom ? stored : versions_group(m->spec, m->version),
                   *plural = json_str_or(names, "plural", "");
        const char *kind = json_str_or(names, "kind", ""),
                   *version = json_str_or(m->version, "name", "");
        _cleanup_free_ char *api_version =
                        *group ? strformat("%s/%s", group, version) : strdup(version);
        _cleanup_free_ char *resource = *group ? strformat("%s.%s", plural, group) : strdup(plural);
        _cleanup_free_ char *singular = strdup(json_str_or(names, "singular", kind));
        _cleanup_free_ char *list_kind = strformat("%sList", kind);
        _cleanup_free_ char *prefix = m->custom ? strformat("/registry/%s/%s/", group, plural)
                                                : strformat("/registry/%s/", plural);
        struct kind *k = m->k;

        if (!api_version || !resource || !singular || !list_kind || !prefix)
                return -ENOMEM;
        for (char *s = singular; *s; s++)
                if (*s >= 'A' && *s <= 'Z')
                        *s = (char)(*s - 'A' + 'a');
        k->group = copy(m, group);
        k->storage_group = copy(m, stored);
        k->version = copy(m, version);
        k->api_version = copy(m, api_version);
        k->plural = copy(m, plural);
        k->singular = copy(m, singular);
        k->kind = copy(m, kind);
        k->list_kind = copy(m, json_str_or(names, "listKind", list_kind));
        k->resource = copy(m, resource);
        k->storage_prefix = copy(m, prefix);
        if (!k->group || !k->storage_group || !k->version || !k->api_version || !k->plural ||
                        !k->singular || !k->kind || !k->list_kind || !k->resource ||
                        !k->storage_prefix ||
                        schema_set_strings(m->source->set, json_object_get(names, "shortNames"),
                                        (char ***)&k->short_names) < 0 ||
                        schema_set_strings(m->source->set, json_object_get(names, "categories"),
                                        (char ***)&k->categories) < 0)
                return -ENOMEM;
        return 0;
}

/* A built-in kind's column has more than a CRD's: a function for the cell, or what to show when
 * its path finds nothing. */
static int make_cell(struct maker *m, const json_t *column, struct kind_column *c) {
        const char *name = json_str(column, "x-keelson-cell");
        const json_t *absent = json_object_get(column, "x-keelson-absent");
        _cleanup_free_ char *text = json_is_string(absent) ? strdup(json_string_value(absent))
                                    : absent               ? json_dumps(absent, JSON_ENCODE_ANY)
                                                           : NULL;

        c->absent = copy(m, text);
        if (absent && !c->absent)
                return -ENOMEM;
        c->cell = name ? cells_find(name, &c->reads) : NULL;
        if (name && !c->cell)
                return problem_set(m->p, EINVAL, 0, NULL, "there is no cell \"%s\"", name);
        return 0;
}

/* A column of a definition that says nothing about it. */
static const char *described(struct maker *m, const char *path) {
        _cleanup_free_ char *text = strformat(
                        "Custom resource definition column (in JSONPath format): %s", path);

        return text ? copy(m, text) : NULL;
}

/* Tables of built-in kinds name types of their own: a time that is shown as an age is text there,
 * and some numbers are, too. */
static const char *shown_type(const struct maker *m, const json_t *item, const char *type) {
        const char *word = m->custom ? NULL : json_str(item, "x-keelson-shown");

        if (word)
                return word;
        return !m->custom && streq(strempty(type), "date") ? "string" : strempty(type);
}

static int make_columns(struct maker *m) {
        const json_t *list = shared_of(m, "additionalPrinterColumns"), *item;
        bool own_name = json_bool_or(m->version, "x-keelson.ownNameColumn", false);
        size_t n = json_array_size(list), i, used = 0;
        struct kind_column *c = schema_set_alloc(m->source->set, (n + 2) * sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        if (!own_name)
                c[used++] = (struct kind_column){.name = "Name",
                                .type = "string",
                                .format = "name",
                                .description = "The object's name.",
                                .path = ".metadata.name"};
        json_array_foreach (list, i, item) {
                c[used].name = copy(m, json_str_or(item, "name", ""));
                c[used].type = copy(m, json_str_or(item, "type", "string"));
                c[used].shown = copy(m, shown_type(m, item, c[used].type));
                c[used].format = copy(m, json_str_or(item, "format", ""));
                c[used].description = copy(m, json_str_or(item, "description", ""));
                c[used].priority = (int)json_int_or(item, "priority", 0);
                c[used].path = copy(m, json_str(item, "jsonPath"));
                c[used].first = m->custom;
                r = m->custom ? 0 : make_cell(m, item, &c[used]);
                if (r < 0)
                        return r;
                if (m->custom && c[used].path && !*strempty(c[used].description))
                        c[used].description = described(m, c[used].path);
                if (!c[used].name || !c[used].type || !c[used].shown || !c[used].format ||
                                !c[used].description)
                        return -ENOMEM;
                used++;
        }
        if (n == 0)
                c[used++] = (struct kind_column){.name = "Age",
                                .type = "date",
                                .format = "",
                                .description = "Time since the object was created.",
                                .path = ".metadata.creationTimestamp"};
        m->k->columns = c;
        m->k->column_count = used;
        return columns_prepare(c, used, &m->k->row);
}

static int make_extra_subresource(struct maker *m, const json_t *doc, struct kind_subresource *s) {
        const char *schema = json_str(doc, "schema");

        s->name = copy(m, json_str_or(doc, "name", ""));
        s->verbs = verbs_from(json_object_get(doc, "verbs"));
        s->group = copy(m, json_str_or(doc, "group", m->k->group));
        s->version = copy(m, json_str_or(doc, "version", m->k->version));
        s->kind = copy(m, json_str_or(doc, "kind", m->k->kind));
        if (!s->name || !s->group || !s->version || !s->kind)
                return -ENOMEM;
        if (!json_object_get(doc, "kind"))
                s->schema = s->verbs & (KIND_UPDATE | KIND_PATCH) ? m->k->schema : NULL;
        else if (schema && !(s->schema = schema_set_find(m->source->set, schema, m->p)))
                return -EINVAL;
        return 0;
}

static int make_subresources(struct maker *m) {
        const json_t *extra = json_at(m->version, "x-keelson.subresources"), *item;
        const json_t *scale = shared_of(m, "subresources.scale");
        size_t i, used = 0;
        struct kind_subresource *s =
                        schema_set_alloc(m->source->set, (json_array_size(extra) + 2) * sizeof(*s));
        struct kind *k = m->k;

        if (!s)
                return -ENOMEM;
        if (shared_of(m, "subresources.status")) {
                k->has_status = true;
                s[used++] = (struct kind_subresource){.name = "status",
                                .group = k->group,
                                .version = k->version,
                                .kind = k->kind,
                                .schema = k->schema,
                                .verbs = KIND_GET | KIND_PATCH | KIND_UPDATE};
        }
        if (scale) {
                struct kind_scale *paths = schema_set_alloc(m->source->set, sizeof(*paths));

                if (!paths)
                        return -ENOMEM;
                paths->spec_replicas = copy_path(
                                m, json_str_or(scale, "specReplicasPath", ".spec.replicas"));
                paths->status_replicas = copy_path(
                                m, json_str_or(scale, "statusReplicasPath", ".status.replicas"));
                paths->label_selector = copy_path(m, json_str(scale, "labelSelectorPath"));
                k->scale = paths;
                s[used++] = (struct kind_subresource){.name = "scale",
                                .group = "autoscaling",
                                .version = "v1",
                                .kind = "Scale",
                                .form = &scale_form,
                                .verbs = KIND_GET | KIND_PATCH | KIND_UPDATE,
                                .schema = schema_set_find(
                                                m->source->set, "autoscaling.v1.Scale", m->p)};
                if (!paths->spec_replicas || !paths->status_replicas || !s[used - 1].schema)
                        return -ENOMEM;
        }
        json_array_foreach (extra, i, item) {
                int r = make_extra_subresource(m, item, &s[used++]);

                if (r < 0)
                        return r;
        }
        k->subresources = s;
        k->subresource_count = used;
        return 0;
}

static int make_fields(struct maker *m) {
        const json_t *list = shared_of(m, "selectableFields"), *item;
        size_t n = json_array_size(list), i, used = 0;
        char **v;

        if (n == 0)
                return 0;
        v = schema_set_alloc(m->source->set, (n + 1) * sizeof(*v));
        if (!v)
                return -ENOMEM;
        json_array_foreach (list, i, item)
                if (!(v[used++] = copy_path(m, json_str_or(item, "jsonPath", ""))))
                        return -ENOMEM;
        m->k->selectable_fields = v;
        return 0;
}

/* A fact of a built-in kind that is a value, in *ret; untouched where its document says nothing. */
static int make_fact(struct maker *m, const char *path, const json_t **ret) {
        const json_t *v = m->custom ? NULL : shared_of(m, path);

        if (!v)
                return 0;
        *ret = schema_set_hold(m->source->set, v);
        return *ret ? 0 : -ENOMEM;
}

static int make_kind(struct maker *m, size_t index, struct kind_entry **ret) {
        static const unsigned all = KIND_CREATE | KIND_DELETE | KIND_DELETECOLLECTION | KIND_GET |
                                    KIND_LIST | KIND_PATCH | KIND_UPDATE | KIND_WATCH;
        const json_t *schema = json_at(m->version, "schema.openAPIV3Schema");
        const json_t *verbs = json_at(m->version, "x-keelson.verbs");
        struct kind_entry *e = calloc(1, sizeof(*e));
        _cleanup_free_ char *path = strformat("spec.versions[%zu].schema.openAPIV3Schema", index);
        _cleanup_(kind_unrefp) struct kind *k = NULL;
        int r;

        if (!e)
                return -ENOMEM;
        e->refs = 1;
        e->source = m->source;
        m->source->refs++;
        m->k = k = &e->kind;
        k->namespaced = streq(json_str_or(m->spec, "scope", ""), "Namespaced");
        k->custom = m->custom;
        k->stored = json_bool_or(m->version, "x-keelson.stored", true);
        k->update_creates = json_bool_or(m->version, "x-keelson.updateCreates", false);
        k->ttl_s = (unsigned)json_int_or(m->version, "x-keelson.ttlSeconds", 0);
        k->ttl_share_s = (unsigned)json_int_or(m->version, "x-keelson.ttlShareSeconds", 0);
        k->deprecated = json_bool_or(m->version, "deprecated", false);
        k->verbs = verbs ? verbs_from(verbs) : all;
        if (!path || !(e->document = copy(m, json_str_or(m->crd, "metadata.name", ""))))
                return -ENOMEM;
        if ((r = schema_compile(m->source->set, schema, m->custom, path, &k->schema, m->p)) < 0 ||
                        (r = make_names(m)) < 0 || (r = make_columns(m)) < 0 ||
                        (r = make_subresources(m)) < 0 || (r = make_fields(m)) < 0 ||
                        (r = make_deprecation(m)) < 0 ||
                        (r = make_fact(m, "x-keelson.empty", &k->empty)) < 0 ||
                        (r = make_fact(m, "x-keelson.initialStatus", &k->initial_status)) < 0)
                return r;
        k->fills_defaults = m->custom && schema_has_defaults(k->schema);
        k->prunes = m->custom &&
                    (json_int_or(m->crd, "metadata.generation", 1) > 1 ||
                                    json_array_size(json_at(m->crd, "spec.versions")) > 1);
        k->has_embedded = m->custom && schema_has_embedded(k->schema);
        if (m->custom && (r = rules_new(schema, m->source->rules, &k->rules)) < 0)
                return r;
        k->by_webhook = m->custom &&
                        streq(json_str_or(m->spec, "conversion.strategy", "None"), "Webhook");
        k->terminating = m->custom && json_at(m->crd, "metadata.deletionTimestamp");
        k->strategy = m->custom ? strategy_find("", "") : strategy_find(k->storage_group, k->kind);
        *ret = e;
        k = NULL;
        return 0;
}

static bool is_served(const struct maker *m, char *const *settings) {
        if (!is_old(m))
                return json_bool_or(m->version, "served", true);
        return versions_are_on(settings, versions_group(m->spec, m->version),
                        json_str_or(m->version, "name", ""));
}

static int make_storage_version(struct maker *m, const char *version) {
        struct kind *k = m->k;
        _cleanup_free_ char *both = *k->storage_group
                                                    ? strformat("%s/%s", k->storage_group, version)
                                                    : strdup(version);

        k->storage_version = copy(m, version);
        k->storage_api_version = copy(m, both);
        return k->storage_version && k->storage_api_version ? 0 : -ENOMEM;
}

static const char *storage_version_of(const json_t *versions) {
        const json_t *v;
        size_t i;

        json_array_foreach (versions, i, v)
                if (json_bool_or(v, "storage", false))
                        return json_str_or(v, "name", "");
        return "";
}

/* The forms of all versions, also of those that are not served. */
static int make_forms(struct maker *m, struct kind_entry *const *made, size_t n) {
        const json_t *versions = json_object_get(m->spec, "versions"), *v;
        struct kind_form *forms = schema_set_alloc(
                        m->source->set, (json_array_size(versions) + 1) * sizeof(*forms));
        size_t i;

        if (!forms)
                return -ENOMEM;
        json_array_foreach (versions, i, v) {
                const char *name = json_str_or(v, "name", "");
                _cleanup_free_ char *both = strformat("%s/%s", made[0]->kind.storage_group, name);
                const struct schema *schema = NULL;
                int r = 0;

                for (size_t j = 0; j < n && !schema; j++)
                        if (streq(made[j]->kind.version, name))
                                schema = made[j]->kind.schema;
                if (!schema)
                        r = schema_compile(m->source->set, json_at(v, "schema.openAPIV3Schema"),
                                        true, name, &schema, m->p);
                if (r < 0)
                        return r;
                forms[i] = (struct kind_form){.api_version = copy(m, both),
                                .schema = schema,
                                .fills_defaults = schema_has_defaults(schema)};
                if (!forms[i].api_version)
                        return -ENOMEM;
        }
        for (size_t j = 0; j < n; j++)
                made[j]->kind.forms = forms;
        return 0;
}

static int fingerprint_of(const json_t *spec, uint64_t *ret) {
        static const uint64_t key[2] = {0};
        _cleanup_free_ char *text = json_dumps(spec, JSON_COMPACT | JSON_SORT_KEYS);

        if (!text)
                return -ENOMEM;
        *ret = siphash(key, text, strlen(text));
        return 0;
}

int kinds_make(struct source *source, const json_t *crd, bool custom, char *const *settings,
                struct kind_entry ***ret, size_t *ret_count, struct problem *p) {
        const json_t *versions = json_at(crd, "spec.versions"), *v;
        struct kind_entry **made = calloc(json_array_size(versions) + 1, sizeof(*made));
        uint64_t fingerprint = 0;
        size_t i, n = 0;
        int r = made ? fingerprint_of(json_object_get(crd, "spec"), &fingerprint) : -ENOMEM;

        if (r == 0)
                json_array_foreach (versions, i, v) {
                        struct maker m = {.source = source,
                                        .crd = crd,
                                        .spec = json_object_get(crd, "spec"),
                                        .version = v,
                                        .custom = custom,
                                        .p = p};

                        if (!is_served(&m, settings))
                                continue;
                        if (i >= CRD_VERSIONS_MAX)
                                r = problem_set(p, EINVAL, 422, "Invalid",
                                                "at most %i versions are allowed",
                                                CRD_VERSIONS_MAX);
                        else
                                r = make_kind(&m, i, &made[n]);
                        if (r < 0)
                                break;
                        m.k = &made[n++]->kind;
                        m.k->fingerprint = fingerprint;
                        r = make_storage_version(&m, storage_version_of(versions));
                        if (r < 0)
                                break;
                }
        if (r == 0 && custom && n > 0 && json_array_size(versions) > 1)
                r = make_forms(&(struct maker){.source = source,
                                               .spec = json_object_get(crd, "spec"),
                                               .p = p},
                                made, n);
        if (r < 0) {
                for (i = 0; i < n; i++)
                        kind_unref(&made[i]->kind);
                free(made);
                return r;
        }
        *ret = made;
        *ret_count = n;
        return 0;
}
