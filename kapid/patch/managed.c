/* metadata.managedFields: reading and writing the entries, tracking of updates, and server-side
 * apply (docs/wire.md section 10). */
#include "kapid/patch/managed.h"

#include "kapid/patch/configuration.h"
#include "kapid/patch/empty.h"
#include "kapid/patch/fieldset.h"
#include "kapid/pipeline/options.h"
#include "kapid/schema/internal.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "lib/yaml.h"

enum { MANAGER_SIZE_MAX = 128, ENTRIES_MAX = 1000, UPDATERS_MAX = 10 };

/* One entry of managedFields. */
struct owner {
        json_t *entry; /* without its fields where it was rebuilt; owned */
        json_t *set;   /* NULL is empty; owned */
};

struct owners {
        struct owner *items;
        size_t count;
};

static void owners_done(struct owners *o) {
        for (size_t i = 0; i < o->count; i++) {
                json_decref(o->items[i].entry);
                json_decref(o->items[i].set);
        }
        free(o->items);
        *o = (struct owners){0};
}
#define _cleanup_owners_ _cleanup_(owners_done)

static int out_of_memory(struct problem *p) {
        return problem_set(p, ENOMEM, 500, "InternalError", "out of memory");
}

static int unprintable(struct problem *p, const char *options, const char *query, size_t at) {
        _cleanup_json_ json_t *v = json_string(query);
        _cleanup_free_ char *given = v ? json_text(v) : NULL, *text = NULL;

        text = strformat("Invalid value: %s: invalid character U+%04X (at position %zu)",
                        given ? given : "\"\"", (unsigned char)query[at], at);
        return text ? options_refused(p, options, "FieldValueInvalid", "fieldManager", text)
                    : out_of_memory(p);
}

int field_manager_name(const char *query, const char *user_agent, const char *options,
                bool is_apply, char **ret, struct problem *p) {
        size_t n;

        if (isempty(query) && is_apply)
                return options_refused(p, "PatchOptions", "FieldValueRequired", "fieldManager",
                                "Required value: is required for apply patch");
        if (!isempty(query)) {
                if (strlen(query) > MANAGER_SIZE_MAX)
                        return options_refused(p, options, "FieldValueTooLong", "fieldManager",
                                        "Too long: may not be more than 128 bytes");
                for (const char *s = query; *s; s++)
                        if ((unsigned char)*s < 0x20 || *s == 0x7f)
                                return unprintable(p, options, query, (size_t)(s - query));
                *ret = strdup(query);
        } else {
                n = user_agent ? strcspn(user_agent, "/") : 0;
                n = MIN(n, (size_t)MANAGER_SIZE_MAX);
                *ret = n > 0 ? strndup(user_agent, n) : strdup("unknown");
        }
        return *ret ? 0 : out_of_memory(p);
}

static int owners_add(struct owners *o, json_t *entry, json_t *set) {
        struct owner *grown = reallocarray(o->items, o->count + 1, sizeof(*grown));

        if (!grown || !entry) {
                json_decref(entry);
                json_decref(set);
                if (grown)
                        o->items = grown;
                return -ENOMEM;
        }
        o->items = grown;
        o->items[o->count++] = (struct owner){entry, set};
        return 0;
}

static int owners_load(struct owners *o, const json_t *list) {
        const json_t *entry;
        size_t i;

        json_array_foreach (list, i, entry) {
                json_t *set = json_object_get(entry, "fieldsV1"), *bare;

                if (!json_is_object(set) || o->count >= ENTRIES_MAX)
                        continue;
                bare = json_copy((json_t *)entry);
                if (bare)
                        json_object_del(bare, "fieldsV1");
                int r = owners_add(o, bare, json_object_size(set) > 0 ? json_incref(set) : NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

static const char *word(const struct owner *o, const char *key) {
        return strempty(json_string_value(json_object_get(o->entry, key)));
}

/* Apply entries are one a manager, whatever version they were made with. */
static struct owner *owners_find(struct owners *o, const char *manager, const char *operation,
                const char *api_version, const char *subresource) {
        for (size_t i = 0; i < o->count; i++) {
                struct owner *w = &o->items[i];

                if (streq(word(w, "manager"), manager) && streq(word(w, "operation"), operation) &&
                                streq(word(w, "subresource"), subresource) &&
                                (*operation == 'A' || streq(word(w, "apiVersion"), api_version)))
                        return w;
        }
        return NULL;
}

/* now_us 0: without a time. */
static json_t *new_entry(const char *manager, const char *operation, const char *api_version,
                const char *subresource, uint64_t now_us) {
        char now[TIMEFMT_SIZE];
        const char *const members[][2] = {{"manager", manager}, {"operation", operation},
                        {"apiVersion", api_version}, {"time", time_format(now_us, now)},
                        {"fieldsType", "FieldsV1"}, {"subresource", subresource}};
        _cleanup_json_ json_t *entry = json_object();

        for (size_t i = 0; i < ELEMENTS(members); i++)
                if ((i < ELEMENTS(members) - 1 || *subresource) &&
                                (now_us > 0 || !streq(members[i][0], "time")) &&
                                json_object_set_new_nocheck(entry, members[i][0],
                                                json_string(members[i][1])) < 0)
                        return NULL;
        return TAKE_PTR(entry);
}

/* Replaces or adds the writer's own entry; takes set. An empty one is removed. now_us 0: the object
 * did not change; the entry keeps its time, or has none. */
static int owners_put(struct owners *o, const char *manager, const char *operation,
                const char *api_version, const char *subresource, uint64_t now_us, json_t *set) {
        struct owner *own = owners_find(o, manager, operation, api_version, subresource);
        json_t *entry;

        if (!own && !set)
                return 0;
        entry = new_entry(manager, operation, api_version, subresource, now_us);
        if (!own)
                return owners_add(o, entry, set);
        if (entry && now_us == 0 && *word(own, "time") &&
                        json_object_set(entry, "time", json_object_get(own->entry, "time")) < 0) {
                json_decref(entry);
                entry = NULL;
        }
        json_decref(own->entry);
        json_decref(own->set);
        *own = (struct owner){entry, set};
        return entry ? 0 : -ENOMEM;
}

static int compare_owners(const void *a, const void *b) {
        static const char *const keys[] = {
                        "operation", "time", "manager", "apiVersion", "subresource"};

        for (size_t i = 0; i < ELEMENTS(keys); i++) {
                int r = strcmp(word(a, keys[i]), word(b, keys[i]));

                if (r != 0)
                        return r;
        }
        return 0;
}

/* Too many updaters: the oldest are merged into one. */
static int owners_cap(struct owners *o) {
        size_t updaters = 0, kept = 0, merge;
        json_t *set = NULL, *time = NULL;
        const char *api_version = "v1";
        struct owner own;

        for (size_t i = 0; i < o->count; i++)
                updaters += streq(word(&o->items[i], "operation"), "Update") && o->items[i].set;
        if (updaters <= UPDATERS_MAX)
                return 0;
        merge = updaters - UPDATERS_MAX + 1;
        for (size_t i = 0; i < o->count; i++) {
                own = o->items[i];
                if (!streq(word(&own, "operation"), "Update") || !own.set || merge == 0) {
                        o->items[kept++] = own;
                        continue;
                }
                json_t *both = fieldset_union(set, own.set);
                json_decref(set);
                set = both;
                json_decref(time);
                time = json_incref(json_object_get(own.entry, "time"));
                api_version = json_string_value(
                                json_object_get(o->items[o->count - 1].entry, "apiVersion"));
                json_decref(own.entry);
                json_decref(own.set);
                merge--;
        }
        o->count = kept;
        json_t *entry = new_entry("ancient-changes", "Update", strempty(api_version), "", 0);
        if (entry && time)
                json_object_set(entry, "time", time);
        json_decref(time);
        return owners_add(o, entry, set);
}

static int owners_store(struct owners *o, json_t *object) {
        json_t *list = json_array();

        if (o->count > 0)
                qsort(o->items, o->count, sizeof(*o->items), compare_owners);
        if (!list || owners_cap(o) < 0) {
                json_decref(list);
                return -ENOMEM;
        }
        if (o->count > 0)
                qsort(o->items, o->count, sizeof(*o->items), compare_owners);
        for (size_t i = 0; i < o->count; i++) {
                json_t *entry;

                if (!o->items[i].set)
                        continue;
                entry = json_copy(o->items[i].entry);
                if (!entry || json_object_set(entry, "fieldsV1", o->items[i].set) < 0 ||
                                json_array_append_new(list, entry) < 0) {
                        json_decref(list);
                        return -ENOMEM;
                }
        }
        if (json_array_size(list) == 0) {
                json_decref(list);
                json_del_at(object, "metadata.managedFields");
                return 0;
        }
        return json_set_at(object, "metadata.managedFields", list);
}

/* Fields without an owner: type, identity and what the server keeps; status where it has a path of
 * its own, and everything but status there. Takes set. */
static json_t *without_ignored(const struct kind *k, json_t *set, const char *subresource) {
        static const char *const top[] = {"f:apiVersion", "f:kind"};
        static const char *const meta[] = {"f:name", "f:namespace", "f:creationTimestamp",
                        "f:selfLink", "f:uid", "f:generation", "f:managedFields",
                        "f:resourceVersion", "f:deletionTimestamp", "f:deletionGracePeriodSeconds",
                        "."};
        json_t *metadata, *copy = set ? json_copy(set) : NULL;
        const char *only = streq(subresource, "status") || streq(subresource, "approval")
                                           ? "f:status"
                           : streq(subresource, "finalize") ? "f:spec"
                                                            : NULL;

        json_decref(set);
        if (!copy)
                return NULL;
        if (only) {
                const char *key;
                json_t *v;
                void *next;

                json_object_foreach_safe(copy, next, key, v) if (!streq(key, only))
                                json_object_del(copy, key);
        }
        for (size_t i = 0; i < ELEMENTS(top); i++)
                json_object_del(copy, top[i]);
        json_object_del(copy, ".");
        if (k->has_status && !*subresource)
                json_object_del(copy, "f:status");
        metadata = json_object_get(copy, "f:metadata");
        if (metadata) {
                metadata = json_copy(metadata);
                for (size_t i = 0; i < ELEMENTS(meta); i++)
                        json_object_del(metadata, meta[i]);
                if (json_object_size(metadata) == 0) {
                        json_decref(metadata);
                        json_object_del(copy, "f:metadata");
                } else
                        json_object_set_new(copy, "f:metadata", metadata);
        }
        if (json_object_size(copy) == 0) {
                json_decref(copy);
                return NULL;
        }
        return copy;
}

static void replace_set(struct owner *o, json_t *set) {
        json_decref(o->set);
        o->set = set;
}

/* Other managers lose the fields that the write changed or removed. */
static void owners_lose(struct owners *o, const struct owner *except, const json_t *changed,
                const json_t *removed) {
        for (size_t i = 0; i < o->count; i++)
                if (&o->items[i] != except) {
                        replace_set(&o->items[i], fieldset_difference(o->items[i].set, changed));
                        replace_set(&o->items[i], fieldset_difference(o->items[i].set, removed));
                }
}

static bool is_reset(const json_t *list) {
        return json_array_size(list) == 1 && json_object_size(json_array_get(list, 0)) == 0;
}

int managed_update(const struct kind *k, const json_t *live, json_t *object,
                const struct apply_options *o) {
        const json_t *given = json_at(object, "metadata.managedFields"),
                     *stored = json_at(live, "metadata.managedFields");
        _cleanup_json_ json_t *empty = live ? NULL : empty_object(k, object), *changed = NULL,
                              *removed = NULL;
        const char *subresource = strempty(o->subresource);
        _cleanup_owners_ struct owners owners = {0};
        struct owner *own;
        json_t *set;
        int r;

        if (is_reset(given)) {
                json_del_at(object, "metadata.managedFields");
                return 0;
        }
        r = owners_load(&owners, json_array_size(given) > 0 ? given : stored);
        if (r < 0 || (!live && !empty))
                return -ENOMEM;
        if (live && owners.count == 0) { /* ownership begins with a create or an apply */
                json_del_at(object, "metadata.managedFields");
                return 0;
        }
        fieldset_compare(k->schema, live ? live : empty, object, &changed, &removed);
        changed = without_ignored(k, changed, subresource);
        removed = without_ignored(k, removed, subresource);
        if (!changed && !removed)
                return owners_store(&owners, object);
        own = owners_find(&owners, o->manager, "Update", k->api_version, subresource);
        owners_lose(&owners, own, changed, removed);
        _cleanup_json_ json_t *left = own ? fieldset_difference(own->set, removed) : NULL;
        set = fieldset_union(left, changed);
        r = owners_put(&owners, o->manager, "Update", k->api_version, subresource, o->now_us, set);
        return r < 0 ? r : owners_store(&owners, object);
}

/* Whether two entries are the same, their times aside. */
static bool same_entry(const json_t *a, const json_t *b) {
        const size_t with_time = (json_object_get(a, "time") != NULL),
                     other_with_time = (json_object_get(b, "time") != NULL);
        const char *key;
        const json_t *v;

        if (json_object_size(a) - with_time != json_object_size(b) - other_with_time)
                return false;
        json_object_each (a, key, v)
                if (!streq(key, "time") && !json_same(v, json_object_get(b, key)))
                        return false;
        return true;
}

static bool same_owners(const json_t *a, const json_t *b) {
        const json_t *item, *other;
        size_t i, j;

        if (json_array_size(a) != json_array_size(b))
                return false;
        json_array_foreach (a, i, item) {
                bool found = false;

                json_array_foreach (b, j, other)
                        found = found || same_entry(item, other);
                if (!found)
                        return false;
        }
        return true;
}

int managed_settle(const json_t *live, json_t *object) {
        json_t *before = (json_t *)json_at(live, "metadata.managedFields"), *after;
        _cleanup_json_ json_t *kept =
                        json_incref((json_t *)json_at(object, "metadata.managedFields"));

        if (!before || !kept)
                return json_same(live, object);
        if (!same_owners(before, kept))
                return 0;
        after = json_object_get(object, "metadata");
        if (json_object_set(after, "managedFields", before) < 0)
                return -ENOMEM;
        if (json_same(live, object))
                return 1;
        return json_object_set(after, "managedFields", kept) == 0 ? 0 : -ENOMEM;
}

static int parse_intent(const void *data, size_t n, const struct yaml_breath *breath, json_t **ret,
                struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        const char *text = data;
        size_t blanks = 0;
        int r;

        while (blanks < n && strchr(" \t\r\n", text[blanks]) && text[blanks])
                blanks++;
        if (blanks < n && text[blanks] == '{' &&
                        json_parse(data, n, JSON_PARSE_REJECT_DUPLICATES_FLAG, ret, NULL) == 0)
                return 0;
        r = yaml_parse_breathing(data, n, breath, &docs, p);
        if (r < 0) {
                p->code = 400;
                p->reason = "BadRequest";
                problem_prefix(p, "error decoding YAML");
                return r;
        }
        if (docs.count != 1 || !json_is_object(docs.items[0].value))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "error decoding YAML: the body must be one object");
        *ret = json_incref(docs.items[0].value);
        return 0;
}

static int untyped_error(
                const struct kind *k, const json_t *config, const char *why, struct problem *p) {
        const char *in = strstr(why, "into field "), *field = in ? in + strlen("into field ") : why;
        size_t n = strcspn(field, in ? " " : ":");
        _cleanup_free_ char *path = n > 0 && n == strcspn(field, " :\n") ? strndup(field, n) : NULL;
        int r = problem_set(p, EINVAL, 400, "BadRequest",
                        "failed to create typed patch object (%s%s%s; %s, Kind=%s): %s",
                        object_namespace(config), *object_namespace(config) ? "/" : "",
                        object_name(config), k->api_version, k->kind, why);

        /* The message is what kubectl's users know; the cause lets a program find the place. */
        if (path)
                (void)problem_cause(p, "FieldValueInvalid", path + (path[0] == '.'), why);
        return r;
}

/* `unknown field "spec.x"` -> ".spec.x: field not declared in schema". */
static int undeclared_error(const struct kind *k, const json_t *config, char *const *unknown,
                struct problem *p) {
        _cleanup_buf_ struct buf text = {0};

        configuration_undeclared(unknown, &text);
        return untyped_error(k, config, strempty(text.data), p);
}

/* Reads the intent and leaves only what an apply through this path may set. *ret_deduced: it has
 * what is owned and does not stay. */
static int read_intent(const struct kind *k, const void *data, size_t n, const char *subresource,
                const struct yaml_breath *breath, json_t **ret, bool *ret_deduced,
                struct problem *p) {
        _cleanup_strv_free_ char **unknown = NULL;
        _cleanup_normaliser_ struct normaliser walk = {.custom = k->custom,
                        .keep_nulls = true,
                        .deduce = true,
                        .takes_whole = true,
                        .unknown = &unknown};
        _cleanup_json_ json_t *config = NULL;
        int r = parse_intent(data, n, breath, &config, p);

        if (r < 0)
                return r;
        if (!streq(object_api_version(config), k->api_version) ||
                        !streq(object_kind(config), k->kind))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "the apply configuration is %s, Kind=%s but the path is for %s, "
                                "Kind=%s",
                                *object_api_version(config) ? object_api_version(config)
                                                            : "(no apiVersion)",
                                *object_kind(config) ? object_kind(config) : "(none)",
                                k->api_version, k->kind);
        if (json_is_array(json_at(config, "metadata.managedFields")))
                return problem_set(
                                p, EINVAL, 400, "BadRequest", "metadata.managedFields must be nil");
        r = normalise(&walk, k->schema, config);
        if (r == -ENOMEM)
                return out_of_memory(p);
        if (r < 0)
                return untyped_error(k, config, strempty(walk.error), p);
        if (unknown)
                return undeclared_error(k, config, unknown, p);
        json_del_at(config, "metadata.managedFields");
        if (k->has_status && !*subresource)
                json_object_del(config, "status");
        if (streq(subresource, "status")) {
                static const char *const reset[] = {
                                "labels", "annotations", "ownerReferences", "finalizers"};
                json_t *metadata = json_object_get(config, "metadata");

                json_object_del(config, "spec");
                for (size_t i = 0; i < ELEMENTS(reset); i++)
                        json_object_del(metadata, reset[i]);
        }
        *ret_deduced = walk.deduce_kept;
        *ret = TAKE_PTR(config);
        return 0;
}

/* Gathers conflicts for the 409. */
struct conflicts {
        struct problem *problem;
        struct buf text; /* lines of the several-conflicts form */
        char *who, *first;
        size_t count;
};

static void note_conflict(const char *path, void *userdata) {
        struct conflicts *c = userdata;
        _cleanup_free_ char *message = strformat("conflict with %s", c->who);

        if (c->count++ == 0)
                c->first = strdup(path);
        buf_printf(&c->text, "\n- %s", path);
        problem_cause(c->problem, "FieldManagerConflict", path, strempty(message));
}

static int refuse_conflicts(struct owners *owners, const struct owner *own, const json_t *changed,
                struct problem *p) {
        _cleanup_problem_ struct problem causes = {0};
        struct conflicts c = {.problem = &causes};
        _cleanup_free_ char *only = NULL;

        for (size_t i = 0; i < owners->count; i++) {
                const struct owner *o = &owners->items[i];
                _cleanup_json_ json_t *both =
                                o == own ? NULL : fieldset_intersection(o->set, changed);
                const char *sub = word(o, "subresource");

                if (!both)
                        continue;
                free(c.who);
                c.who = strformat("\"%s\"%s%s%s%s%s", word(o, "manager"),
                                *sub ? " with subresource \"" : "", sub, *sub ? "\"" : "",
                                streq(word(o, "operation"), "Update") ? " using " : "",
                                streq(word(o, "operation"), "Update") ? word(o, "apiVersion") : "");
                buf_printf(&c.text, "%sconflicts with %s:", c.text.size > 0 ? "\n" : "",
                                strempty(c.who));
                fieldset_each(both, note_conflict, &c);
                if (!only)
                        only = strdup(word(o, "manager"));
        }
        if (c.count == 1)
                problem_set(p, ESTALE, 409, "Conflict",
                                "Apply failed with 1 conflict: conflict with %s: %s",
                                strempty(c.who), strempty(c.first));
        else if (c.count > 1)
                problem_set(p, ESTALE, 409, "Conflict", "Apply failed with %zu conflicts: %s",
                                c.count, strempty(c.text.data));
        if (c.count > 0)
                p->causes = json_incref(causes.causes);
        free(c.who);
        free(c.first);
        buf_done(&c.text);
        return c.count > 0 ? -ESTALE : 0;
}

/* Fields from before the first apply belong to a manager of that name. */
static int adopt_untracked(
                const struct kind *k, struct owners *owners, const json_t *live, uint64_t now_us) {
        _cleanup_json_ json_t *empty = NULL, *removed = NULL;
        json_t *set = NULL;

        if (owners->count > 0 || !live)
                return 0;
        empty = empty_object(k, live);
        if (!empty)
                return -ENOMEM;
        fieldset_compare(k->schema, empty, live, &set, &removed);
        set = without_ignored(k, set, "");
        return set ? owners_put(owners, "before-first-apply", "Update", k->api_version, "", now_us,
                                     set)
                   : 0;
}

/* Everything that someone owns after the apply. The metadata as such always stays: names and what
 * the server keeps are in no set. */
static json_t *kept_set(const struct owners *owners, const struct owner *own, const json_t *set) {
        _cleanup_json_ json_t *metadata = json_pack("{s:{s:{}}}", "f:metadata", "f:name");
        json_t *kept = fieldset_union(metadata, set);

        for (size_t i = 0; i < owners->count; i++) {
                json_t *more;

                if (&owners->items[i] == own)
                        continue;
                more = fieldset_union(kept, owners->items[i].set);
                json_decref(kept);
                kept = more;
        }
        return kept;
}

/* A copy of one's own, but for managedFields, which is often half of the object: it stands empty in
 * its place, as owners_store() puts another one there. */
static json_t *copy_merged(const json_t *shared) {
        const json_t *metadata = json_object_get(shared, "metadata");
        _cleanup_json_ json_t *bare = json_shallow_copy(shared), *own = NULL;

        if (!json_object_get(metadata, "managedFields"))
                return json_tree_copy(shared);
        own = json_shallow_copy(metadata);
        if (!bare || !own || json_object_set_new(own, "managedFields", json_array()) < 0 ||
                        json_object_set(bare, "metadata", own) < 0)
                return NULL;
        return json_tree_copy(bare);
}

static int apply_to(const struct kind *k, const json_t *live, const json_t *config,
                const struct apply_options *o, json_t **ret, struct problem *p) {
        const char *subresource = strempty(o->subresource);
        _cleanup_json_ json_t *set = NULL, *shared = NULL, *merged = NULL, *changed = NULL,
                              *removed = NULL, *kept = NULL;
        _cleanup_owners_ struct owners owners = {0};
        _cleanup_findings_ struct findings twins = {.built_in = !k->custom};
        _cleanup_free_ char *error = NULL;
        struct owner *own;

        schema_check_duplicates(&twins, k->schema, config);
        if (findings_problem(&twins, k, NULL, object_name(config), p) < 0)
                return -EINVAL;
        if (fieldset_of(k->schema, config, &set, &error) < 0)
                return untyped_error(k, config, strempty(error), p);
        set = without_ignored(k, set, subresource);
        if (owners_load(&owners, json_at(live, "metadata.managedFields")) < 0 ||
                        adopt_untracked(k, &owners, live, o->now_us) < 0)
                return out_of_memory(p);
        own = owners_find(&owners, o->manager, "Apply", k->api_version, subresource);
        shared = typed_merge(k->schema, live, config);
        merged = shared ? copy_merged(shared) : NULL;
        if (!merged)
                return out_of_memory(p);
        if (own && own->set) {
                kept = kept_set(&owners, own, set);
                if (typed_prune(k->schema, merged, own->set, kept) < 0)
                        return out_of_memory(p);
                metadata_drop_empty(merged);
        }
        if (live) {
                fieldset_compare(k->schema, live, merged, &changed, &removed);
                changed = without_ignored(k, changed, subresource);
                removed = without_ignored(k, removed, subresource);
        }
        if (!o->force && refuse_conflicts(&owners, own, changed, p) < 0)
                return -ESTALE;
        owners_lose(&owners, own, changed, removed);
        if (owners_put(&owners, o->manager, "Apply", k->api_version, subresource,
                            !live || changed || removed ? o->now_us : 0, TAKE_PTR(set)) < 0 ||
                        owners_store(&owners, merged) < 0)
                return out_of_memory(p);
        *ret = TAKE_PTR(merged);
        return 0;
}

int apply_run(const struct kind *k, const void *data, size_t n, const json_t *live,
                const struct apply_options *o, struct decoded *ret, struct problem *p) {
        _cleanup_normaliser_ struct normaliser prune = {.custom = k->custom, .keep_nulls = true};
        _cleanup_json_ json_t *config = NULL, *object = NULL;
        bool deduced = false;
        int r = read_intent(
                        k, data, n, strempty(o->subresource), ret->breath, &config, &deduced, p);

        if (r < 0)
                return r;
        r = apply_to(k, live, config, o, &object, p);
        if (r < 0)
                return r;
        if (deduced && normalise(&prune, k->schema, object) < 0)
                return out_of_memory(p);
        if (live && managed_settle(live, object) < 0)
                return out_of_memory(p);
        ret->object = TAKE_PTR(object);
        ret->warnings = NULL;
        return 0;
}
