/* Policies and bindings of a type as they are read from the caches. One that cannot be read counts
 * as it was before. */
#include "kapid/policies/store.h"

#include "kapid/pipeline/forms.h"
#include "lib/log.h"
#include "lib/object.h"

static const char *const kinds[POLICY_TYPES] = {
                "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"};

static void list_done(struct policy_list *l) {
        for (size_t i = 0; i < l->v.count; i++)
                policy_unref(l->v.items[i]);
        vector_done(&l->v);
}

static void bindings_done(struct binding_list *l) {
        for (size_t i = 0; i < l->v.count; i++)
                policy_binding_unref(l->v.items[i]);
        vector_done(&l->v);
}

/* The one of that name and uid that was read before. */
static struct policy *earlier_policy(const struct policy_store *s, const json_t *object) {
        for (size_t i = 0; i < s->all.v.count; i++)
                if (streq(s->all.v.items[i]->name, object_name(object)) &&
                                streq(object_uid(s->all.v.items[i]->object), object_uid(object)))
                        return s->all.v.items[i];
        return NULL;
}

static struct policy_binding *earlier_binding(const struct policy_store *s, const json_t *object) {
        for (size_t i = 0; i < s->bindings.v.count; i++) {
                struct policy_binding *b = s->bindings.v.items[i];

                if (streq(b->name, object_name(object)) &&
                                streq(object_uid(b->object), object_uid(object)))
                        return b;
        }
        return NULL;
}

static void log_unreadable(const char *kind, const char *suffix, const char *name, bool has_effect,
                const char *why) {
        log_error("The %s%s %s cannot be read and %s: %s; write it again", kind, suffix, name,
                        has_effect ? "has the effect that it had before" : "has no effect",
                        strempty(why));
}

/* One that cannot be read counts as it was before; NULL in *ret: it never could be. -ENOMEM. */
static int read_policy(struct policy_store *s, const struct policy_language *l, struct item *it,
                struct policy **ret) {
        _cleanup_json_ json_t *object = item_object_once(it);
        _cleanup_problem_ struct problem p = {0};
        struct policy *earlier = object ? earlier_policy(s, object) : NULL;
        int r;

        if (!object)
                return -ENOMEM;
        if (earlier && policy_is_of(earlier, object)) {
                *ret = policy_ref(earlier);
                return 0;
        }
        r = policy_new(ret, l, object, &p);
        if (r >= 0 || r == -ENOMEM)
                return r;
        *ret = earlier ? policy_ref(earlier) : NULL;
        if (item_revision(it) > s->policy_seen)
                log_unreadable(kinds[s->type], "", item_path(it), earlier, p.message);
        return 0;
}

static int read_policies(struct policy_store *s, const struct policy_language *l) {
        struct policy_list list = {0};
        uint64_t seen = s->policy_seen;
        int r = 0;

        for (struct item *it = cache_first(s->policy_cache, ""); it && r >= 0;
                        it = cache_next(s->policy_cache, it)) {
                struct policy *p = NULL;

                seen = MAX(seen, item_revision(it));
                r = read_policy(s, l, it, &p);
                if (r < 0 || !p)
                        continue;
                r = vector_append(&list.v, p);
                if (r < 0)
                        policy_unref(p);
        }
        if (r < 0) {
                list_done(&list);
                return r;
        }
        list_done(&s->all);
        s->all = list;
        s->policy_seen = seen;
        return 0;
}

/* As read_policy(). */
static int read_binding(struct policy_store *s, struct item *it, struct policy_binding **ret) {
        _cleanup_json_ json_t *object = item_object_once(it);
        _cleanup_problem_ struct problem p = {0}, none = {0};
        struct policy_binding *earlier;
        int r = object ? policy_binding_new(ret, object, &p) : -ENOMEM;

        if (r >= 0 || r == -ENOMEM)
                return r;
        earlier = earlier_binding(s, object);
        if (item_revision(it) > s->binding_seen)
                log_unreadable(kinds[s->type], "Binding", item_path(it), earlier, p.message);
        return earlier ? policy_binding_new(ret, earlier->object, &none) : 0;
}

static int read_bindings(struct policy_store *s) {
        struct binding_list list = {0};
        uint64_t seen = s->binding_seen;
        int r = 0;

        for (struct item *it = cache_first(s->binding_cache, ""); it && r >= 0;
                        it = cache_next(s->binding_cache, it)) {
                struct policy_binding *b = NULL;

                seen = MAX(seen, item_revision(it));
                r = read_binding(s, it, &b);
                if (r < 0 || !b)
                        continue;
                r = vector_append(&list.v, b);
                if (r < 0)
                        policy_binding_unref(b);
        }
        if (r < 0) {
                bindings_done(&list);
                return r;
        }
        bindings_done(&s->bindings);
        s->bindings = list;
        s->binding_seen = seen;
        return 0;
}

int policy_store_refresh(struct policy_store *s, const struct policy_language *l) {
        int r;

        if (!s->stale)
                return 0;
        r = read_policies(s, l);
        if (r < 0)
                return r;
        r = read_bindings(s);
        if (r < 0)
                return r;
        s->stale = false;
        return 0;
}

int policy_store_init(struct policy_store *s, enum policy_type type, struct api *a) {
        static const char *const plurals[POLICY_TYPES][2] = {
                        {"validatingadmissionpolicies", "validatingadmissionpolicybindings"},
                        {"mutatingadmissionpolicies", "mutatingadmissionpolicybindings"}};
        const char *group = "admissionregistration.k8s.io";

        *s = (struct policy_store){.type = type,
                        .kind = kinds[type],
                        .stale = true,
                        .policy_cache = api_cache(a, group, plurals[type][0]),
                        .binding_cache = api_cache(a, group, plurals[type][1])};
        return s->policy_cache && s->binding_cache ? 0 : -ENOMEM;
}

void policy_store_done(struct policy_store *s) {
        bindings_done(&s->bindings);
        list_done(&s->all);
}

void policy_store_on_change(struct policy_store *s, const struct cache *c) {
        s->stale |= !c || c == s->policy_cache || c == s->binding_cache;
}

bool policy_store_any(const struct policy_store *s) {
        return cache_count(s->policy_cache) > 0 && cache_count(s->binding_cache) > 0;
}
