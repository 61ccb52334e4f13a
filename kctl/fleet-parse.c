/* The output of config/fleet-facts.sh as JSON. Pure. */
#include "kctl/fleet.h"
#include "lib/pki.h"

/* One entry for a list of the machine; takes it. */
static int list_add(json_t *machine, const char *list, json_t *entry) {
        json_t *items = json_object_get(machine, list);

        if (!items) {
                items = json_array();
                if (json_object_set_new(machine, list, items) < 0) {
                        json_decref(entry);
                        return -ENOMEM;
                }
        }
        return json_array_append_new(items, entry) < 0 ? -ENOMEM : 0;
}

static int take_disk(json_t *machine, const char *value) {
        char path[256];
        long long size, left, inodes, inodes_left;

        if (sscanf(value, "%255s %lld %lld %lld %lld", path, &size, &left, &inodes, &inodes_left) !=
                        5)
                return 0;
        return list_add(machine, "disks",
                        json_pack("{s:s, s:I, s:I, s:I, s:I}", "path", path, "size",
                                        (json_int_t)size, "free", (json_int_t)left, "inodes",
                                        (json_int_t)inodes, "inodesFree", (json_int_t)inodes_left));
}

/* "PATH BASE64-OF-PEM"; one that cannot be read is a finding of its own program, not ours. */
static int take_certificate(json_t *machine, const char *value) {
        const char *space = strchr(value, ' ');
        _cleanup_free_ char *path = space ? strndup(value, (size_t)(space - value)) : NULL,
                            *cn = NULL;
        _cleanup_free_ void *pem = NULL;
        uint64_t begin, end;
        size_t n;

        if (!path || base64_decode(space + 1, &pem, &n) < 0 ||
                        pki_cert_read(pem, &cn, /* ret_organizations= */ NULL, &end) < 0 ||
                        pki_cert_begins(pem, &begin) < 0)
                return 0;
        return list_add(machine, "certificates",
                        json_pack("{s:s, s:s, s:I, s:I}", "path", path, "cn", cn, "notBefore",
                                        (json_int_t)begin, "notAfter", (json_int_t)end));
}

/* "etcd_server_has_leader 1" */
static int take_metric(json_t *machine, const char *value) {
        const char *space = strrchr(value, ' ');
        _cleanup_free_ char *name = space ? strndup(value, (size_t)(space - value)) : NULL;
        json_t *metrics = json_object_get(machine, "metrics");

        if (!name)
                return 0;
        if (!metrics) {
                metrics = json_object();
                if (json_object_set_new(machine, "metrics", metrics) < 0)
                        return -ENOMEM;
        }
        return json_object_set_new(metrics, name, json_real(strtod(space + 1, NULL))) < 0 ? -ENOMEM
                                                                                          : 0;
}

static int take_fact(json_t *machine, const char *key, const char *value) {
        static const char *const texts[] = {"synchronized", "version", "control-hash",
                        "control-version", "control-formats", "control-upgrade", "control-kept", "agent-hash",
                        "agent-version", "agent-formats", "agent-upgrade", "agent-kept"};
        static const char *const flags[] = {"control", "agent", "damaged"};
        int64_t number;

        if (streq(key, "disk"))
                return take_disk(machine, value);
        if (streq(key, "certificate"))
                return take_certificate(machine, value);
        if (streq(key, "metric"))
                return take_metric(machine, value);
        if (streq(key, "inactive") || streq(key, "failed"))
                return list_add(machine, key, json_string(value));
        if (streq(key, "clock") && parse_i64(value, &number) == 0)
                return json_object_set_new(machine, key, json_integer(number)) < 0 ? -ENOMEM : 0;
        for (size_t i = 0; i < ELEMENTS(texts); i++)
                if (streq(key, texts[i]))
                        return json_object_set_new(machine, key, json_string(value)) < 0 ? -ENOMEM
                                                                                         : 0;
        for (size_t i = 0; i < ELEMENTS(flags); i++)
                if (streq(key, flags[i]))
                        return json_object_set_new(machine, key, json_boolean(*value)) < 0 ? -ENOMEM
                                                                                           : 0;
        return 0;
}

int fleet_machine_parse(const char *text, json_t *machine) {
        for (const char *s = text; *s; s += strcspn(s, "\n"), s += *s == '\n') {
                _cleanup_free_ char *line = strndup(s, strcspn(s, "\r\n"));
                char *equals = line ? strchr(line, '=') : NULL;
                int r;

                if (!line)
                        return -ENOMEM;
                if (!equals || !utf8_is_valid(line, strlen(line)))
                        continue;
                *equals = 0;
                r = take_fact(machine, line, equals + 1);
                if (r < 0)
                        return r;
        }
        return 0;
}
