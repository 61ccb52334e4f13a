/* kstored --check, --restore and --replace: the answer is one line of JSON for `kctl` and scripts.
 */
#include "kstored/offline.h"

#include <jansson.h>

#include "kstored/backup.h"
#include "kstored/replace.h"
#include "kstored/server.h"
#include "lib/json.h"

static json_t *hex(uint64_t v) {
        return json_sprintf("%llx", (unsigned long long)v);
}

static json_t *info_json(const struct backup_info *i) {
        return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:i, s:s}", "clusterID",
                        hex(i->cluster_id), "memberID", hex(i->member_id), "revision",
                        (json_int_t)i->revision, "keys", (json_int_t)i->keys, "leases",
                        (json_int_t)i->leases, "members", (json_int_t)i->members, "size",
                        (json_int_t)i->size, "format", (int)i->format, "sha256", i->sha256);
}

static int print(json_t *v) {
        _cleanup_free_ char *text = v ? json_text(v) : NULL;

        if (!text)
                return -ENOMEM;
        puts(text);
        return fflush(stdout) == 0 ? 0 : -errno;
}

static int check(const char *path, struct problem *p) {
        _cleanup_json_ json_t *v = NULL;
        struct backup_info info;
        int r = backup_check(path, &info, p);

        if (r < 0)
                return r;
        v = info_json(&info);
        return print(v);
}

static int restore(const struct server_options *o, struct problem *p) {
        const struct backup_target target = {.data_dir = o->data_dir,
                        .name = o->name,
                        .peer_urls = o->initial_advertise_peer_urls,
                        .client_urls = o->advertise_client_urls,
                        .force = o->offline.force,
                        .other_cluster = o->offline.other_cluster,
                        .dry_run = o->offline.dry_run};
        _cleanup_(backup_result_done) struct backup_result result = {0};
        _cleanup_json_ json_t *v = NULL;
        int r = backup_restore(o->offline.restore, &target, &result, p);

        if (r < 0)
                return r;
        v = info_json(&result.info);
        if (v && result.data_dir)
                r = json_set_str(v, "dataDir", result.data_dir);
        if (v && r >= 0 && result.aside)
                r = json_set_str(v, "aside", result.aside);
        return r < 0 ? r : print(v);
}

static int replace(const struct server_options *o, struct problem *p) {
        _cleanup_(replace_result_done) struct replace_result result = {0};
        _cleanup_json_ json_t *v = NULL;
        int r = replace_run(o, &result, p);

        if (r < 0)
                return r;
        v = json_pack("{s:o, s:o, s:s}", "clusterID", hex(result.cluster_id), "memberID",
                        hex(result.member_id), "dataDir", result.data_dir);
        if (v && result.removed && json_object_set_new(v, "removed", hex(result.removed)) < 0)
                r = -ENOMEM;
        if (v && r >= 0 && result.aside)
                r = json_set_str(v, "aside", result.aside);
        return r < 0 ? r : print(v);
}

int offline_run(const struct server_options *o, struct problem *p) {
        int r;

        if (!!o->offline.check + !!o->offline.restore + o->offline.replace > 1)
                return problem_set(p, EINVAL, 0, NULL,
                                "--check, --restore and --replace: give one of them");
        if (!o->offline.restore &&
                        (o->offline.force || o->offline.other_cluster || o->offline.dry_run))
                return problem_set(p, EINVAL, 0, NULL,
                                "--force, --other-cluster and --dry-run belong to --restore");
        if (!o->offline.check && !o->offline.restore && !o->offline.replace)
                return 0;
        r = o->offline.check     ? check(o->offline.check, p)
            : o->offline.restore ? restore(o, p)
                                 : replace(o, p);
        return r < 0 ? r : 1;
}
