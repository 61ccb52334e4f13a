/* kstored --check, --restore and --replace: the answer is one line of JSON for `kctl` and scripts.
 */
#include "kstored/backup/offline.h"

#include <jansson.h>

#include "kstored/backup/backup.h"
#include "kstored/backup/replace.h"
#include "kstored/server/options.h"
#include "lib/json.h"

enum { COLUMNS = 4, SIZE_TEXT = 32 };

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

/* As etcdctl does: powers of 1000, one decimal below 10. */
static void size_text(uint64_t bytes, char ret[static SIZE_TEXT]) {
        static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
        double v = (double)bytes;
        size_t unit = 0;

        for (; v >= 1000 && unit + 1 < ELEMENTS(units); unit++)
                v /= 1000;
        (void)snprintf(ret, SIZE_TEXT, unit > 0 && v < 9.95 ? "%.1f %s" : "%.0f %s", v,
                        units[unit]);
}

static int print_table(const struct backup_info *i) {
        static const char *const heads[COLUMNS] = {"HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE"};
        char cells[COLUMNS][SIZE_TEXT], line[COLUMNS * (SIZE_TEXT + 3) + 2] = "+";
        int widths[COLUMNS];
        size_t at = 1;

        (void)snprintf(cells[0], SIZE_TEXT, "%x", i->hash);
        (void)snprintf(cells[1], SIZE_TEXT, "%lld", (long long)i->revision);
        (void)snprintf(cells[2], SIZE_TEXT, "%llu", (unsigned long long)i->keys);
        size_text(i->size, cells[3]);
        for (size_t k = 0; k < COLUMNS; k++) {
                size_t n = MAX(strlen(heads[k]), strlen(cells[k]));

                widths[k] = (int)n;
                at += (size_t)snprintf(line + at, sizeof(line) - at, "%.*s+", (int)n + 2,
                                "--------------------------------------");
        }
        printf("%s\n|", line);
        for (size_t k = 0; k < COLUMNS; k++) {
                int left = (widths[k] - (int)strlen(heads[k])) / 2;

                printf(" %*s%-*s |", left, "", widths[k] - left, heads[k]);
        }
        printf("\n%s\n|", line);
        for (size_t k = 0; k < COLUMNS; k++)
                printf(" %*s |", widths[k], cells[k]);
        printf("\n%s\n", line);
        return fflush(stdout) == 0 ? 0 : -errno;
}

/* The output of etcdctl snapshot status for a file of etcd. */
static int print_status(const struct backup_info *i, const char *form, struct problem *p) {
        _cleanup_json_ json_t *v = NULL;
        char size[SIZE_TEXT];

        if (streq(form, "table"))
                return print_table(i);
        if (streq(form, "json")) {
                v = json_pack("{s:I, s:I, s:I, s:I}", "hash", (json_int_t)i->hash, "revision",
                                (json_int_t)i->revision, "totalKey", (json_int_t)i->keys,
                                "totalSize", (json_int_t)i->size);
                return print(v);
        }
        if (!streq(form, "simple"))
                return problem_set(p, EINVAL, 0, NULL,
                                "--write-out=%s is neither simple nor table nor json", form);
        size_text(i->size, size);
        printf("%x, %lld, %llu, %s\n", i->hash, (long long)i->revision, (unsigned long long)i->keys,
                        size);
        return fflush(stdout) == 0 ? 0 : -errno;
}

static int check(const char *path, const char *form, struct problem *p) {
        _cleanup_json_ json_t *v = NULL;
        struct backup_info info;
        int r = backup_check(path, &info, p);

        if (r < 0)
                return r;
        if (!isempty(form))
                return print_status(&info, form, p);
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
        if (!o->offline.check && o->offline.write_out)
                return problem_set(p, EINVAL, 0, NULL, "--write-out belongs to --check");
        if (!o->offline.check && !o->offline.restore && !o->offline.replace)
                return 0;
        r = o->offline.check     ? check(o->offline.check, o->offline.write_out, p)
            : o->offline.restore ? restore(o, p)
                                 : replace(o, p);
        return r < 0 ? r : 1;
}
