/* The provisioner keelson.dev/nfs: a volume is a folder of its own below a share. The controller
 * only names it. The agent of the first pod makes the folder, and when the volume is deleted the
 * agent of some ready node removes or renames it (nodeagent/pod/local-volumes.c). Two volumes never
 * have the same folder: where its name does not have the volume's unique name in it, the volume's
 * name is made from the folder, and the API refuses a second one of that name. */
#include "lib/buf.h"
#include "lib/crypto.h"
#include "lib/node-affinity.h"
#include "lib/object.h"
#include "reconcilers/pods.h"
#include "reconcilers/storage/storage.h"

#define PATTERN "${.PVC.namespace}-${.PVC.name}-${.PV.name}"
#define UNIQUE "${.PV.name}"
#define PARAMETERS "server, path, pathPattern and onDelete"

enum { AGAIN_US = 30 * 1000000, SHARE_PATH_MAX = 1024 };

struct share {
        const json_t *claim, *class;
        const char *server, *pattern, *on_delete;
        char *path;   /* without "/" at its end, "/" apart */
        char *name;   /* of the volume */
        char *folder; /* below path */
        char *why;    /* it cannot be made */
};

static void share_done(struct share *s) {
        free(s->path);
        free(s->name);
        free(s->folder);
        free(s->why);
}

static bool refuse(struct share *s, char *why) {
        assert(why);
        s->why = why;
        return false;
}

/* ---- the parameters ---- */

static bool read_path(struct share *s, const char *path) {
        size_t n = strlen(path);

        if (*path != '/' || strstr(path, "..") || strstr(path, "//") || n > SHARE_PATH_MAX)
                return refuse(s, strformat("the parameter path '%.100s' must be the absolute path "
                                           "of a share, without '..'",
                                                 path));
        while (n > 1 && path[n - 1] == '/')
                n--;
        s->path = strndup(path, n);
        assert(s->path);
        return true;
}

static bool read_parameters(struct share *s) {
        static const char *const ends[] = {"delete", "retain", "archive"};
        const char *key, *path = "";
        bool known = false;
        json_t *v;

        s->pattern = PATTERN;
        s->on_delete = "delete";
        s->server = "";
        json_object_each (json_object_get(s->class, "parameters"), key, v) {
                const char *text = strempty(json_string_value(v));

                if (streq(key, "server"))
                        s->server = text;
                else if (streq(key, "path"))
                        path = text;
                else if (streq(key, "pathPattern"))
                        s->pattern = text;
                else if (streq(key, "onDelete"))
                        s->on_delete = text;
                else
                        return refuse(s, strformat("the StorageClass has the parameter %.100s, "
                                                   "which " PROVISIONER_NFS
                                                   " does not have; it has " PARAMETERS,
                                                         key));
        }
        for (size_t i = 0; i < ELEMENTS(ends); i++)
                known |= streq(s->on_delete, ends[i]);
        if (!known)
                return refuse(s, strformat("the parameter onDelete is '%.100s'; use delete, retain "
                                           "or archive",
                                                 s->on_delete));
        if (!*s->server || strpbrk(s->server, " \t\n/"))
                return refuse(s, strdup("the StorageClass needs the parameter server, the host "
                                        "name or address of an NFS server"));
        return read_path(s, path);
}

/* ---- the folder ---- */

/* The value of what stands between "${" and "}"; NULL: the claim has none. */
static const char *value_of(const struct share *s, const char *variable) {
        const char *key;

        if (streq(variable, ".PVC.namespace"))
                return object_namespace(s->claim);
        if (streq(variable, ".PVC.name"))
                return object_name(s->claim);
        if (streq(variable, ".PV.name"))
                return s->name;
        key = startswith(variable, ".PVC.labels.");
        if (key)
                return object_label(s->claim, key);
        key = startswith(variable, ".PVC.annotations.");
        return key ? object_annotation(s->claim, key) : NULL;
}

static bool expand(struct share *s) {
        _cleanup_buf_ struct buf out = {0};

        for (const char *rest = s->pattern; *rest;) {
                const char *end = startswith(rest, "${") ? strchr(rest, '}') : NULL, *value;
                _cleanup_free_ char *variable = NULL;

                if (!end) {
                        buf_append_char(&out, *rest++);
                        continue;
                }
                variable = strndup(rest + 2, (size_t)(end - rest - 2));
                assert(variable);
                value = value_of(s, variable);
                if (!value)
                        return refuse(s, strformat("pathPattern: the claim has no value for "
                                                   "${%.100s}; use .PVC.namespace, .PVC.name, "
                                                   ".PVC.labels.NAME, .PVC.annotations.NAME or "
                                                   ".PV.name",
                                                         variable));
                buf_append_str(&out, value);
                rest = end + 1;
        }
        assert(!out.failed);
        if (!share_folder_is_valid(strempty(out.data)))
                return refuse(s, strformat("pathPattern gives the folder '%.200s'; it must be a "
                                           "relative path without parts that begin with '.'",
                                                 strempty(out.data)));
        s->folder = strdup(out.data);
        assert(s->folder);
        return true;
}

static char *full_path(const struct share *s) {
        char *path = strformat("%s%s%s", s->path, streq(s->path, "/") ? "" : "/", s->folder);

        assert(path);
        return path;
}

/* The folder's name alone must identify the volume, if the volume's name does not do so. */
static bool name_it(struct share *s) {
        _cleanup_free_ char *path = NULL, *key = NULL;
        char digest[SHA256_HEX_SIZE];

        s->name = strformat("pvc-%s", object_uid(s->claim));
        assert(s->name);
        if (!expand(s))
                return false;
        if (strstr(s->pattern, UNIQUE))
                return true;
        path = full_path(s);
        key = strformat("%s\n%s", s->server, path);
        assert(key);
        sha256_hex(key, strlen(key), digest);
        free(s->name);
        s->name = strformat("nfs-%.32s", digest);
        assert(s->name);
        return true;
}

/* ---- the volume ---- */

/* The nodes on which the class allows volumes are those that can reach the share. */
static json_t *affinity(const json_t *class) {
        const json_t *terms = json_object_get(class, "allowedTopologies"), *term, *e;
        json_t *out = json_array();
        size_t i, k;

        json_array_foreach (terms, i, term) {
                json_t *list = json_array();

                json_array_foreach (json_object_get(term, "matchLabelExpressions"), k, e)
                        json_array_append_new(list,
                                        json_pack("{s:s, s:s, s:O}", "key",
                                                        json_str_or(e, "key", ""), "operator", "In",
                                                        "values", json_object_get(e, "values")));
                json_array_append_new(out, json_pack("{s:o}", "matchExpressions", list));
        }
        return json_pack("{s:{s:o}}", "required", "nodeSelectorTerms", out);
}

static json_t *volume_of(const struct share *s) {
        json_t *volume = storage_volume(s->claim, s->class, s->name),
               *metadata = json_object_get(volume, "metadata"),
               *annotations = json_object_get(metadata, "annotations");
        _cleanup_free_ char *path = full_path(s);
        const json_t *options = json_object_get(s->class, "mountOptions");

        assert(json_set_at(volume, "spec.nfs",
                               json_pack("{s:s, s:s}", "server", s->server, "path", path)) >= 0);
        json_object_set_new(annotations, VOLUME_SHARE_PATH, json_string(s->path));
        if (streq(s->on_delete, "archive"))
                json_object_set_new(annotations, VOLUME_ON_DELETE, json_string(s->on_delete));
        /* Nobody has to do anything for a folder that stays. */
        if (streq(s->on_delete, "retain"))
                json_object_del(metadata, "finalizers");
        if (json_array_size(options) > 0)
                assert(json_set_at(volume, "spec.mountOptions", json_ref(options)) >= 0);
        if (json_array_size(json_object_get(s->class, "allowedTopologies")) > 0)
                assert(json_set_at(volume, "spec.nodeAffinity", affinity(s->class)) >= 0);
        return volume;
}

void storage_provision_nfs(const struct world *w, const json_t *claim, const json_t *class,
                struct actions *a) {
        _cleanup_(share_done) struct share s = {.claim = claim, .class = class};
        const char *why = storage_refusal(claim);
        _cleanup_free_ char *text = NULL;
        const json_t *other;

        if (!why && (!read_parameters(&s) || !name_it(&s)))
                why = s.why;
        if (why) {
                storage_failed(a, claim, class, why);
                return;
        }
        other = world_get(w, WORLD_VOLUMES, NULL, s.name);
        if (other) {
                text = strformat("the folder %s is that of volume %s; wait until that is deleted, "
                                 "or choose another pathPattern",
                                s.folder, s.name);
                storage_failed(a, claim, class, strempty(text));
                actions_requeue(a, AGAIN_US);
                return;
        }
        action_create(a, "persistentvolumes", NULL, volume_of(&s));
}

/* ---- its end ---- */

static bool can_reach(const json_t *node, const void *userdata) {
        const json_t *terms = json_at(userdata, "spec.nodeAffinity.required.nodeSelectorTerms");

        return !terms || node_terms_match(terms, node);
}

void storage_delete_from_share(const struct world *w, const json_t *volume, struct actions *a) {
        const char *name = object_label(volume, VOLUME_NODE_LABEL);
        const json_t *node = name ? world_get(w, WORLD_NODES, NULL, name) : NULL;

        if (!streq(json_str_or(volume, "spec.persistentVolumeReclaimPolicy", ""), "Delete")) {
                storage_remove_finalizer(a, "persistentvolumes", volume, VOLUME_DATA_FINALIZER);
                return;
        }
        if (node && node_is_ready(node))
                return;
        node = storage_node_for(w, object_uid(volume), can_reach, volume);
        if (node) {
                action_patch(a, "persistentvolumes", volume, NULL,
                                json_pack("{s:{s:{s:s}}}", "metadata", "labels", VOLUME_NODE_LABEL,
                                                object_name(node)));
                return;
        }
        action_event(a, volume, "Warning", "VolumeFailedDelete",
                        "no ready node can mount the share and remove the folder");
        actions_requeue(a, AGAIN_US);
}
