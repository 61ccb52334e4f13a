/* StatefulSet: a PersistentVolumeClaim for each claim template and pod, named TEMPLATE-SET-N. A pod
 * that comes back under its name finds its claims again. Who owns a claim decides when the garbage
 * collector deletes it: the set (whenDeleted Delete), a condemned pod (whenScaled Delete), or
 * nobody. */
#include "lib/object.h"
#include "reconcilers/workloads/statefulset-internal.h"

static const json_t *templates_of(const struct set *s) {
        return json_at(s->object, "spec.volumeClaimTemplates");
}

static char *claim_name(const json_t *template, const char *pod_name) {
        char *name = strformat("%s-%s", json_str_or(template, "metadata.name", ""), pod_name);

        assert(name);
        return name;
}

bool set_names_claim(const json_t *object, const char *claim) {
        const json_t *template;
        size_t i;

        json_array_foreach (json_at(object, "spec.volumeClaimTemplates"), i, template) {
                _cleanup_free_ char *prefix = claim_name(template, object_name(object));
                const char *rest = startswith(claim, prefix);

                if (rest && *rest == '-' && rest[1] && !rest[1 + strspn(rest + 1, "0123456789")])
                        return true;
        }
        return false;
}

static bool policy_deletes(const struct set *s, const char *when) {
        return streq(json_str_or(json_at(s->object, "spec.persistentVolumeClaimRetentionPolicy"),
                                     when, ""),
                        "Delete");
}

static json_t *claim_of(const struct set *s, const json_t *template, const char *name) {
        static const char *const kept[] = {"annotations", "finalizers"};
        json_t *labels = json_deep_copy(json_at(template, "metadata.labels")), *claim, *metadata,
               *v;
        const char *key;

        if (!labels)
                labels = json_object();
        json_object_foreach (json_unconst(json_at(s->object, "spec.selector.matchLabels")), key, v)
                json_object_set(labels, key, v);
        claim = json_pack("{s:s, s:s, s:{s:s, s:s, s:o}, s:O*}", "apiVersion", "v1", "kind",
                        "PersistentVolumeClaim", "metadata", "name", name, "namespace",
                        object_namespace(s->object), "labels", labels, "spec",
                        json_object_get(template, "spec"));
        assert(claim);
        metadata = json_object_get(claim, "metadata");
        for (size_t i = 0; i < ELEMENTS(kept); i++) {
                v = json_object_get(json_object_get(template, "metadata"), kept[i]);
                if (v)
                        json_object_set(metadata, kept[i], v);
        }
        if (policy_deletes(s, "whenDeleted"))
                json_object_set_new(metadata, "ownerReferences",
                                json_pack("[o]", controller_ref(s->object, "apps/v1",
                                                                 "StatefulSet")));
        return claim;
}

/* The claim belongs to an earlier pod of that name and is deleted with it. */
static bool is_stale(const json_t *claim, const char *pod_name, const json_t *pod) {
        const json_t *ref;
        size_t i;

        json_array_foreach (json_at(claim, "metadata.ownerReferences"), i, ref)
                if (streq(json_str_or(ref, "kind", ""), "Pod") &&
                                streq(json_str_or(ref, "name", ""), pod_name) &&
                                (!pod || !streq(json_str_or(ref, "uid", ""), object_uid(pod))))
                        return true;
        return false;
}

bool set_create_claims(const struct set *s, const struct world *w, struct actions *a,
                int64_t ordinal, const json_t *pod) {
        const char *set = object_name(s->object);
        _cleanup_free_ char *pod_name = strformat("%s-%lld", set, (long long)ordinal);
        const json_t *template;
        bool usable = true;
        size_t i;

        assert(pod_name);
        json_array_foreach (templates_of(s), i, template) {
                _cleanup_free_ char *name = claim_name(template, pod_name), *done = NULL,
                                    *failed = NULL;
                const json_t *claim = world_get(w, WORLD_CLAIMS, object_namespace(s->object), name);

                if (claim) {
                        usable &= !object_is_deleting(claim) && !is_stale(claim, pod_name, pod);
                        continue;
                }
                done = strformat("create Claim {} Pod %s in StatefulSet %s success", pod_name, set);
                failed = strformat("create Claim %s for Pod %s in StatefulSet %s failed error: ",
                                name, pod_name, set);
                assert(done && failed);
                action_create(a, "persistentvolumeclaims", object_namespace(s->object),
                                claim_of(s, template, name));
                action_report_end(a, s->object, "Create", done, failed);
        }
        return usable;
}

/* The references of a claim without those to the set and to pods of that name. */
static json_t *other_owners(const struct set *s, const json_t *claim, const json_t *pod) {
        json_t *refs = json_array(), *ref;
        size_t i;

        json_array_foreach (json_at(claim, "metadata.ownerReferences"), i, ref)
                if (!streq(json_str_or(ref, "uid", ""), object_uid(s->object)) &&
                                !(streq(json_str_or(ref, "kind", ""), "Pod") &&
                                                streq(json_str_or(ref, "name", ""),
                                                                object_name(pod))))
                        json_array_append(refs, ref);
        return refs;
}

void set_own_claims(const struct set *s, const struct world *w, struct actions *a,
                const json_t *pod, bool condemned) {
        bool with_pod = condemned && policy_deletes(s, "whenScaled");
        bool with_set = !with_pod && policy_deletes(s, "whenDeleted");
        const json_t *template;
        size_t i;

        json_array_foreach (templates_of(s), i, template) {
                _cleanup_free_ char *name = claim_name(template, object_name(pod));
                const json_t *claim = world_get(w, WORLD_CLAIMS, object_namespace(s->object), name);
                const json_t *have = json_at(claim, "metadata.ownerReferences");
                _cleanup_json_ json_t *want = NULL;

                if (!claim || object_is_deleting(claim))
                        continue;
                want = other_owners(s, claim, pod);
                /* Another controller's claim is not ours to delete. */
                if ((with_pod || with_set) &&
                                !(object_controller_ref(claim) &&
                                                json_array_size(want) == json_array_size(have)))
                        json_array_append_new(want, with_pod ? controller_ref(pod, "v1", "Pod")
                                                             : controller_ref(s->object, "apps/v1",
                                                                               "StatefulSet"));
                if (json_array_size(want) == json_array_size(have) &&
                                (!have || json_equal(want, json_unconst(have))))
                        continue;
                action_patch(a, "persistentvolumeclaims", claim, /* subresource= */ NULL,
                                json_pack("{s:{s:O}}", "metadata", "ownerReferences", want));
        }
}

void set_mount_claims(const struct set *s, json_t *pod_spec, const char *pod_name) {
        json_t *volumes = json_array(), *v;
        const json_t *template;
        size_t i;

        if (json_array_size(templates_of(s)) == 0) {
                json_decref(volumes);
                return;
        }
        json_array_foreach (templates_of(s), i, template) {
                _cleanup_free_ char *name = claim_name(template, pod_name);

                json_array_append_new(volumes,
                                json_pack("{s:s, s:{s:s}}", "name",
                                                json_str_or(template, "metadata.name", ""),
                                                "persistentVolumeClaim", "claimName", name));
        }
        json_array_foreach (json_object_get(pod_spec, "volumes"), i, v) {
                const json_t *mounted;
                bool replaced = false;
                size_t k;

                json_array_foreach (templates_of(s), k, mounted)
                        replaced |= streq(json_str_or(mounted, "metadata.name", ""),
                                        json_str_or(v, "name", ""));
                if (!replaced)
                        json_array_append(volumes, v);
        }
        json_object_set_new(pod_spec, "volumes", volumes);
}
