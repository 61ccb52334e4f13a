/* Volumes of a pod that are PersistentVolumeClaims: the claim, the volume that it is bound to, and
 * the folder where that is on this machine. A claim that is not bound yet makes the pod wait. */
#include "lib/node-affinity.h"
#include "lib/object.h"
#include "lib/quantity.h"
#include "lib/volumes.h"
#include "nodeagent/plan/plan.h"

#define WAITS "ContainerCreating"
#define REFUSED "CreateContainerConfigError"

struct claim_context {
        const json_t *pod, *volume; /* volume: of the pod's spec */
        const struct pod_facts *facts;
        const char *name; /* of the claim */
        struct problem *p;
};

static int waits(const struct claim_context *c, const char *why) {
        return problem_set(c->p, EAGAIN, 0, WAITS, "volume %s: persistentvolumeclaim \"%s\" %s",
                        json_str_or(c->volume, "name", ""), c->name, why);
}

/* The claim of an ephemeral volume must be the pod's own: another one of that name may be anybody's
 * data. */
static int check_owner(const struct claim_context *c, const json_t *claim) {
        const json_t *ref = object_controller_ref(claim);

        if (!json_at(c->volume, "ephemeral") ||
                        (ref && streq(json_str_or(ref, "uid", ""), object_uid(c->pod))))
                return 0;
        return waits(c, "was not created for this pod; delete it, or rename the pod");
}

static int find_volume(const struct claim_context *c, const json_t *resources, const json_t **ret) {
        const json_t *claim = json_get(resources, "claims", c->name, NULL), *volume;
        const char *name;
        int r;

        if (!claim)
                return waits(c, "not found");
        r = check_owner(c, claim);
        if (r < 0)
                return r;
        name = json_str_or(claim, "spec.volumeName", "");
        if (!*name || !streq(json_str_or(claim, "status.phase", ""), "Bound"))
                return waits(c, "is not bound to a volume yet; its events say why");
        volume = json_get(resources, "volumes", name, NULL);
        if (!volume)
                return waits(c, "is bound to a volume that was not found");
        if (!streq(json_str_or(volume, "spec.claimRef.uid", ""), object_uid(claim)))
                return waits(c, "is not the one that its volume is bound to");
        *ret = volume;
        return 0;
}

/* A folder that keelson made has one place only, whatever the volume says. */
static int local_path(const struct claim_context *c, const json_t *volume, char **ret) {
        const char *path = json_str_or(volume, "spec.local.path", ""),
                   *node = strempty(object_label(volume, VOLUME_NODE_LABEL));
        _cleanup_free_ char *ours = strformat(LOCAL_VOLUMES_DIR "/%s", object_name(volume)),
                            *tidy = pod_path_tidy(path);

        if (!ours)
                return -ENOMEM;
        if (volume_is_local(volume) ? !streq(path, ours) : !tidy)
                return problem_set(c->p, EINVAL, 0, REFUSED,
                                "volume %s: the path %s of volume %s is not valid",
                                json_str_or(c->volume, "name", ""), path, object_name(volume));
        if (volume_is_local(volume) && !streq(node, c->facts->node_name))
                return problem_set(c->p, EINVAL, 0, REFUSED,
                                "volume %s: volume %s is on node %s; remove spec.nodeName from the "
                                "pod, so that it is placed there",
                                json_str_or(c->volume, "name", ""), object_name(volume), node);
        *ret = volume_is_local(volume) ? TAKE_PTR(ours) : TAKE_PTR(tidy);
        return 0;
}

/* A volume of other nodes: its path here leads to foreign files. */
static int check_node(const struct claim_context *c, const json_t *volume) {
        const json_t *required = json_at(volume, "spec.nodeAffinity.required");

        if (!required || !c->facts->node ||
                        node_terms_match(json_object_get(required, "nodeSelectorTerms"),
                                        c->facts->node))
                return 0;
        return problem_set(c->p, EINVAL, 0, REFUSED,
                        "volume %s: the node affinity of volume %s does not allow node %s; remove "
                        "spec.nodeName from the pod, so that it is placed where the volume is",
                        json_str_or(c->volume, "name", ""), object_name(volume),
                        c->facts->node_name);
}

/* A folder that keelson has made for some volume. An administrator may give one that was kept
 * (Retain) to a volume of another name. */
static bool is_kept_folder(const char *path) {
        const char *name = startswith(path, LOCAL_VOLUMES_DIR "/");

        return name && *name && *name != '.' && !strchr(name, '/');
}

/* A folder that keelson made is limited to the size of its volume. */
static int add_size(const json_t *volume, json_t *planned) {
        int64_t bytes;

        if (!volume_is_local(volume) ||
                        quantity_parse_units(json_at(volume, "spec.capacity.storage"), &bytes) < 0)
                return 0;
        return json_object_set_new(planned, "size", json_integer(bytes)) < 0 ? -ENOMEM : 0;
}

static int plan_source(const struct claim_context *c, const json_t *volume, json_t **ret) {
        const char *name = json_str_or(c->volume, "name", "");
        _cleanup_free_ char *path = NULL;
        int r;

        if (json_at(volume, "spec.local")) {
                r = local_path(c, volume, &path);
                if (r < 0)
                        return r;
                *ret = json_pack("{s:s, s:s, s:s, s:b}", "name", name, "type",
                                is_kept_folder(path) ? "claim" : "local", "path", path, "make",
                                volume_is_local(volume));
                return *ret ? add_size(volume, *ret) : -ENOMEM;
        }
        path = pod_path_tidy(json_str_or(volume, "spec.hostPath.path", ""));
        if (path) {
                *ret = json_pack("{s:s, s:s, s:s, s:s}", "name", name, "type", "host", "path", path,
                                "check", json_str_or(volume, "spec.hostPath.type", ""));
                return *ret ? 0 : -ENOMEM;
        }
        if (json_at(volume, "spec.nfs"))
                return pod_share_volume(c->volume, volume, c->facts, ret, c->p);
        return problem_set(c->p, EINVAL, 0, REFUSED,
                        "volume %s: this node cannot mount volume %s: it is of a CSI driver; "
                        "use a volume with local, hostPath or nfs",
                        name, object_name(volume));
}

int pod_claim_volume(const json_t *pod, const json_t *volume, const json_t *resources,
                const struct pod_facts *facts, json_t **ret, struct problem *p) {
        struct claim_context c = {.pod = pod, .volume = volume, .facts = facts, .p = p};
        _cleanup_free_ char *name = NULL;
        const json_t *bound = NULL;
        json_t *planned = NULL;
        int r = pod_claim_name(pod, volume, &name);

        if (r < 0)
                return r;
        c.name = strempty(name);
        r = find_volume(&c, resources, &bound);
        if (r < 0)
                return r;
        if (streq(json_str_or(bound, "spec.volumeMode", ""), "Block"))
                return problem_set(p, EINVAL, 0, REFUSED,
                                "volume %s: volume %s is a block device, which containers do not "
                                "get; use volumeMode: Filesystem",
                                json_str_or(volume, "name", ""), object_name(bound));
        r = check_node(&c, bound);
        if (r < 0)
                return r;
        r = plan_source(&c, bound, &planned);
        if (r < 0)
                return r;
        if (json_bool_or(volume, "persistentVolumeClaim.readOnly", false))
                json_object_set_new(planned, "readOnly", json_true());
        *ret = planned;
        return 0;
}

/* Puts a claim and its volume, as they were, into the fresh objects. */
static int keep_claim(json_t *out, const char *name, const json_t *claim, const json_t *volume) {
        static const char *const keys[] = {"claims", "volumes"};
        const json_t *objects[] = {claim, volume};
        const char *names[] = {name, object_name(volume)};

        for (size_t i = 0; i < ELEMENTS(keys); i++) {
                /* The maps are shared with the answer. */
                json_t *map = json_object_get(out, keys[i]),
                       *own = map ? json_shallow_copy(map) : json_object();

                if (!own || json_object_set(own, names[i], json_unconst(objects[i])) < 0 ||
                                json_object_set(out, keys[i], own) < 0) {
                        json_decref(own);
                        return -ENOMEM;
                }
                json_decref(own);
        }
        return 0;
}

int pod_keep_claims(const json_t *before, const json_t *fresh, json_t **ret) {
        _cleanup_json_ json_t *out = json_shallow_copy(fresh);
        const char *name;
        json_t *claim;

        if (!out)
                return -ENOMEM;
        json_object_each (json_object_get(before, "claims"), name, claim) {
                const char *bound = json_str_or(claim, "spec.volumeName", "");
                const json_t *volume = json_get(before, "volumes", bound, NULL),
                             *now = json_get(fresh, "claims", name, NULL);
                int r;

                if (!volume || (streq(json_str_or(now, "spec.volumeName", ""), bound) &&
                                               json_get(fresh, "volumes", bound, NULL)))
                        continue;
                r = keep_claim(out, name, claim, volume);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(out);
        return 0;
}
