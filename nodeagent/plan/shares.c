/* NFS shares. A share that several pods of a node use with the same options is one mount unit,
 * whose name follows from server, path and options, so that nothing has to be remembered about it.
 * A volume of keelson.dev/nfs is a folder below a share: the share's root is mounted, and the
 * folder is bound from there. Every step that touches a share is done by another process
 * (share_binds): a server that does not answer must not hold up the agent. */
#include "lib/crypto.h"
#include "lib/object.h"
#include "lib/volumes.h"
#include "nodeagent/plan/plan.h"

#define REASON "CreateContainerConfigError"

enum { SERVER_MAX = 255, PATH_MAX_BYTES = 1024, OPTIONS_MAX = 64, OPTION_MAX_BYTES = 256 };

/* A word of mount(8)'s command line or of its option list. */
static bool is_plain(const char *s, size_t max) {
        if (!*s || strlen(s) > max)
                return false;
        for (; *s; s++)
                if ((unsigned char)*s <= ' ' || *s == 0x7f || *s == '\\' || *s == '"')
                        return false;
        return true;
}

static bool server_is_valid(const char *server) {
        return is_plain(server, SERVER_MAX) && *server != '-' &&
               strspn(server, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "-._:[]%") == strlen(server);
}

/* Options that do something else than mounting the share are no options of a volume. mount(8)
 * itself carries out those that begin with X-: X-mount.subdir=../.. could show the machine's own
 * files. */
static bool option_is_allowed(const char *option) {
        static const char *const refused[] = {"bind", "rbind", "move", "loop", "remount", "helper",
                        "uhelper", "x-", "X-"};

        for (size_t i = 0; i < ELEMENTS(refused); i++) {
                const char *rest = startswith(option, refused[i]);

                if (rest && (!*rest || *rest == '=' || endswith(refused[i], "-")))
                        return false;
        }
        return true;
}

static int add_options(const json_t *options, struct buf *out, struct problem *p) {
        const json_t *o;
        size_t i;

        if (json_array_size(options) > OPTIONS_MAX)
                return problem_set(p, EINVAL, 0, REASON,
                                "mountOptions has more than %d options; leave some out",
                                OPTIONS_MAX);
        json_array_foreach (options, i, o) {
                _cleanup_strv_free_ char **words = NULL;
                const char *text = strempty(json_string_value(o));

                if (!is_plain(text, OPTION_MAX_BYTES) || strv_split(text, ",", &words) < 0)
                        return problem_set(p, EINVAL, 0, REASON,
                                        "the mount option '%.100s' is not valid", text);
                for (char **w = words; w && *w; w++) {
                        if (!option_is_allowed(*w))
                                return problem_set(p, EINVAL, 0, REASON,
                                                "the mount option '%.100s' is not one of an NFS "
                                                "volume; remove it from mountOptions",
                                                *w);
                        buf_printf(out, "%s,", *w);
                }
        }
        /* The last one counts. */
        buf_printf(out, "nosuid,nodev");
        return out->failed ? -ENOMEM : 0;
}

int pod_share(const char *server, const char *path, const json_t *options, json_t **ret,
                struct problem *p) {
        bool bare_ipv6 = strchr(server, ':') && *server != '[';
        _cleanup_free_ char *tidy = pod_path_tidy(path), *what = NULL, *key = NULL;
        _cleanup_buf_ struct buf text = {0};
        char digest[SHA256_HEX_SIZE];
        int r;

        if (!server_is_valid(server))
                return problem_set(p, EINVAL, 0, REASON,
                                "nfs.server '%.100s' is not a host name or address", server);
        if (!tidy || !is_plain(tidy, PATH_MAX_BYTES))
                return problem_set(p, EINVAL, 0, REASON,
                                "nfs.path '%.100s' must be absolute, without '..', blanks, quotes "
                                "and backslashes",
                                path);
        r = add_options(options, &text, p);
        if (r < 0)
                return r;
        what = strformat(bare_ipv6 ? "[%s]:%s" : "%s:%s", server, tidy);
        key = what ? strformat("%s\n%s", what, text.data) : NULL;
        if (!key)
                return -ENOMEM;
        sha256_hex(key, strlen(key), digest);
        *ret = json_pack("{s:s, s:o, s:o, s:s}", "what", what, "where",
                        json_sprintf(SHARES_DIR "/%.32s", digest), "unit",
                        json_sprintf(SHARE_UNIT_PREFIX "%.32s.mount", digest), "options",
                        text.data);
        return *ret ? 0 : -ENOMEM;
}

/* The options of a PersistentVolume: its field, or the annotation that came before it. */
static json_t *options_of(const json_t *volume) {
        const char *old = object_annotation(volume, "volume.beta.kubernetes.io/mount-options");

        return old && *old ? json_pack("[s]", old) : json_ref(json_at(volume, "spec.mountOptions"));
}

int pod_share_of_volume(const json_t *volume, json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *options = options_of(volume);
        const char *root = volume_share_folder(volume)
                                           ? object_annotation(volume, VOLUME_SHARE_PATH)
                                           : json_str_or(volume, "spec.nfs.path", "");

        return pod_share(json_str_or(volume, "spec.nfs.server", ""), root, options, ret, p);
}

/* Without the folder of a volume of keelson.dev/nfs the pod would see those of others. */
static int check_folder(const json_t *bound, const char *name, struct problem *p) {
        if (!bound || !volume_is_ours(bound) || volume_share_folder(bound))
                return 0;
        return problem_set(p, EINVAL, 0, REASON,
                        "volume %s: the path of volume %s is not a folder below the share that "
                        "its annotation " VOLUME_SHARE_PATH " names",
                        name, object_name(bound));
}

int pod_share_volume(const json_t *volume, const json_t *bound, const struct pod_facts *facts,
                json_t **ret, struct problem *p) {
        const json_t *nfs = bound ? json_at(bound, "spec.nfs") : json_at(volume, "nfs");
        const char *name = json_str_or(volume, "name", ""),
                   *folder = bound ? volume_share_folder(bound) : NULL;
        _cleanup_json_ json_t *share = NULL, *out = NULL;
        int r = check_folder(bound, name, p);

        if (r < 0)
                return r;
        r = bound ? pod_share_of_volume(bound, &share, p)
                  : pod_share(json_str_or(nfs, "server", ""), json_str_or(nfs, "path", ""),
                                    /* options= */ NULL, &share, p);
        if (r < 0) {
                problem_prefix(p, "volume %s: ", name);
                return r;
        }
        out = json_pack("{s:s, s:s, s:O, s:s*, s:o, s:o}", "name", name, "type", "share", "share",
                        share, "folder", folder, "path",
                        folder ? json_sprintf("%s/volumes/%s", facts->run_dir, name)
                               : json_ref(json_at(share, "where")),
                        "source",
                        folder ? json_sprintf("%s/%s", json_str_or(share, "what", ""), folder)
                               : json_ref(json_at(share, "what")));
        if (!out)
                return -ENOMEM;
        if (json_bool_or(nfs, "readOnly", false))
                json_object_set_new(out, "readOnly", json_true());
        *ret = TAKE_PTR(out);
        return 0;
}

static bool is_mounted_at(const json_t *share, const char *where) {
        return streq(json_str_or(share, "where", ""), where);
}

bool pod_uses_share(const json_t *pod, const json_t *resources, const char *where) {
        const json_t *v;
        json_t *volume;
        const char *name;
        size_t i;

        json_array_foreach (json_at(pod, "spec.volumes"), i, v) {
                _cleanup_json_ json_t *share = NULL;
                const json_t *nfs = json_at(v, "nfs");

                if (nfs &&
                                pod_share(json_str_or(nfs, "server", ""),
                                                json_str_or(nfs, "path", ""),
                                                /* options= */ NULL, &share, /* p= */ NULL) >= 0 &&
                                is_mounted_at(share, where))
                        return true;
        }
        json_object_each (json_object_get(resources, "volumes"), name, volume) {
                _cleanup_json_ json_t *share = NULL;

                if (json_at(volume, "spec.nfs") &&
                                pod_share_of_volume(volume, &share, /* p= */ NULL) >= 0 &&
                                is_mounted_at(share, where))
                        return true;
        }
        return false;
}

static bool is_share(const json_t *volumes, const char *name) {
        return streq(json_str_or(json_named(volumes, name), "type", ""), "share");
}

int pod_shares_check(const json_t *container, const json_t *volumes, const json_t *properties,
                struct problem *p) {
        static const struct {
                const char *key;
                size_t target;
        } mounts[] = {{"BindPaths", 1}, {"BindReadOnlyPaths", 1}, {"TemporaryFileSystem", 0}};
        const json_t *m;
        size_t i;

        if (container_is_privileged(container))
                return 0;
        for (size_t k = 0; k < ELEMENTS(mounts); k++)
                json_array_foreach (json_object_get(properties, mounts[k].key), i, m) {
                        const char *target = strempty(
                                        json_string_value(json_array_get(m, mounts[k].target)));
                        const char *above =
                                        pod_volume_above(container, volumes, properties, target);

                        if (above && is_share(volumes, above))
                                return problem_set(p, EINVAL, 0, REASON,
                                                "%s is mounted below the NFS volume %s; choose a "
                                                "mountPath outside of it",
                                                target, above);
                }
        return 0;
}

static int add_bind(json_t *out, const char *where, const json_t *folder, const char *sub,
                const char *target) {
        return json_array_append_new(out, json_pack("[s, s, s, s, s]", "share-bind", where,
                                                          strempty(json_string_value(folder)), sub,
                                                          target)) < 0
                               ? -ENOMEM
                               : 0;
}

static int add_binds_of_units(json_t *out, const json_t *units) {
        const json_t *unit, *s;
        size_t i, k;

        json_array_foreach (units, i, unit)
                json_array_foreach (json_object_get(unit, "stage"), k, s) {
                        int r;

                        if (!streq(json_str_or(s, "type", ""), "share"))
                                continue;
                        r = add_bind(out, json_str_or(s, "root", ""), json_object_get(s, "folder"),
                                        json_str_or(s, "sub", ""), json_str_or(s, "path", ""));
                        if (r < 0)
                                return r;
                }
        return 0;
}

json_t *pod_share_binds(const json_t *plan) {
        _cleanup_json_ json_t *out = json_array();
        const json_t *v;
        size_t i;

        if (!out)
                return NULL;
        json_array_foreach (json_at(plan, "volumes"), i, v) {
                const json_t *folder = json_object_get(v, "folder");

                if (!streq(json_str_or(v, "type", ""), "share") || !folder)
                        continue;
                if (add_bind(out, json_str_or(v, "share.where", ""), folder, /* sub= */ "",
                                    json_str_or(v, "path", "")) < 0)
                        return NULL;
        }
        if (add_binds_of_units(out, json_at(plan, "initContainers")) < 0 ||
                        add_binds_of_units(out, json_at(plan, "containers")) < 0)
                return NULL;
        return TAKE_PTR(out);
}
