/* Sets of fields as managedFields writes them: union, difference, and the part that Git decides on.
 * Depth is bounded by the parser of JSON texts (100). */
#include "reconcilers/gitsync/people.h"

#include "lib/buf.h"

bool people_is_manager(const char *manager) {
        return streq(manager, "kubectl") || startswith(manager, "kubectl-") ||
               streq(manager, "kctl") || streq(manager, "before-first-apply");
}

/* a without the members of b; a container that only holds itself does not count as a member. */
static json_t *minus(const json_t *a, const json_t *b) {
        _cleanup_json_ json_t *out = json_object();
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)a, key, v) {
                const json_t *other = json_object_get(b, key);

                if (!other) {
                        if (json_object_set(out, key, v) < 0)
                                return NULL;
                        continue;
                }
                if (json_object_size(v) == 0 || streq(key, "."))
                        continue;
                _cleanup_json_ json_t *rest = minus(v, other);
                if (!rest)
                        return NULL;
                json_object_del(rest, ".");
                if (json_object_size(rest) > 0 && json_object_set(out, key, rest) < 0)
                        return NULL;
        }
        return TAKE_PTR(out);
}

static int add(json_t *to, const json_t *from) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)from, key, v) {
                json_t *old = json_object_get(to, key);

                if (!old) {
                        if (json_object_set_new(to, key, json_deep_copy(v)) < 0)
                                return -ENOMEM;
                } else if (json_object_size(v) > 0) {
                        /* a leaf that gets children owns itself still */
                        if (json_object_size(old) == 0 && !streq(key, ".") &&
                                        json_object_set_new(old, ".", json_object()) < 0)
                                return -ENOMEM;
                        int r = add(old, v);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

/* Removes maps of which only the map itself is left ("f:annotations": {".": {}}), deepest first; an
 * added item of a list stays. Returns whether anything is left. */
static bool drop_shells(json_t *fields) {
        const char *key;
        json_t *v;
        void *next;

        json_object_foreach_safe(fields, next, key, v) {
                if (json_object_size(v) == 0)
                        continue;
                (void)drop_shells(v);
                bool shell = json_object_size(v) == 0 ||
                             (json_object_size(v) == 1 && json_object_get(v, "."));
                if (shell && startswith(key, "f:"))
                        json_object_del(fields, key);
        }
        return json_object_size(fields) > 0;
}

static void drop_restarts(json_t *fields) {
        const char *key;
        json_t *v;

        json_object_del(fields, "f:kubectl.kubernetes.io/restartedAt");
        json_object_foreach (fields, key, v)
                drop_restarts(v);
}

/* The part of a manager's fields that Git decides on. A new tree. */
static json_t *contestable(const json_t *fields) {
        _cleanup_json_ json_t *out = json_deep_copy(fields);
        json_t *metadata = json_object_get(out, "f:metadata"),
               *annotations = json_object_get(metadata, "f:annotations"), *v;
        const char *key;
        void *next;

        if (!out)
                return NULL;
        json_object_del(out, "f:status");
        json_object_del(metadata, "f:finalizers");
        json_object_del(metadata, "f:ownerReferences");
        json_object_foreach_safe(annotations, next, key, v) if (startswith(key, "f:keelson.dev/"))
                        json_object_del(annotations, key);
        drop_restarts(out);
        (void)drop_shells(out);
        return TAKE_PTR(out);
}

static bool is_peoples(const json_t *entry, const char *manager) {
        const char *name = json_str_or(entry, "manager", "");

        return !streq(name, manager) && people_is_manager(name) &&
               isempty(json_str(entry, "subresource"));
}

json_t *people_additions(const json_t *managed, const char *manager) {
        _cleanup_json_ json_t *theirs = json_object(), *others = json_object(), *left = NULL;
        const json_t *entry;
        size_t i;

        if (!theirs || !others)
                return NULL;
        json_array_foreach (managed, i, entry) {
                const json_t *fields = json_object_get(entry, "fieldsV1");
                _cleanup_json_ json_t *some = NULL;

                if (!is_peoples(entry, manager)) {
                        if (add(others, fields) < 0)
                                return NULL;
                        continue;
                }
                some = contestable(fields);
                if (!some || add(theirs, some) < 0)
                        return NULL;
        }
        left = minus(theirs, others);
        return left && drop_shells(left) ? TAKE_PTR(left) : NULL;
}

json_t *people_take_over(const json_t *managed, const char *manager, const char *api_version) {
        _cleanup_json_ json_t *out = json_array(), *ours = NULL, *fields = json_object();
        const json_t *entry;
        size_t i;

        if (!out || !fields)
                return NULL;
        json_array_foreach (managed, i, entry) {
                const json_t *own = json_object_get(entry, "fieldsV1");
                _cleanup_json_ json_t *some = NULL, *rest = NULL, *kept = NULL;

                if (streq(json_str_or(entry, "manager", ""), manager) &&
                                streq(json_str_or(entry, "operation", ""), "Apply")) {
                        json_decref(ours);
                        ours = json_copy((json_t *)entry);
                        if (!ours || add(fields, own) < 0)
                                return NULL;
                        continue;
                }
                if (!is_peoples(entry, manager)) {
                        if (json_array_append(out, (json_t *)entry) < 0)
                                return NULL;
                        continue;
                }
                some = contestable(own);
                rest = some ? minus(own, some) : NULL;
                if (!rest || add(fields, some) < 0)
                        return NULL;
                if (!drop_shells(rest))
                        continue;
                kept = json_copy((json_t *)entry);
                if (!kept || json_object_set(kept, "fieldsV1", rest) < 0 ||
                                json_array_append(out, kept) < 0)
                        return NULL;
        }
        if (!ours)
                ours = json_pack("{s:s, s:s, s:s, s:s}", "manager", manager, "operation", "Apply",
                                "apiVersion", api_version, "fieldsType", "FieldsV1");
        if (!ours || json_object_set(ours, "fieldsV1", fields) < 0 ||
                        json_array_append(out, ours) < 0)
                return NULL;
        return TAKE_PTR(out);
}

char *people_first_field(const json_t *fields) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *at = fields;

        while (json_object_size(at) > 0) {
                void *i = json_object_iter((json_t *)at);
                const char *key = json_object_iter_key(i);

                if (streq(key, ".")) {
                        i = json_object_iter_next((json_t *)at, i);
                        key = i ? json_object_iter_key(i) : NULL;
                }
                if (!key)
                        break;
                if (startswith(key, "f:"))
                        buf_printf(&b, "%s%s", b.size ? "." : "", key + 2);
                else
                        buf_printf(&b, "[%s]", key + 2);
                at = json_object_iter_value(i);
        }
        return buf_take(&b);
}
