/* A handful of versions and settings, read once at the start. */
#include "kapid/kinds/versions.h"

#include "lib/buf.h"

const char *versions_group(const json_t *spec, const json_t *version) {
        return json_str_or(version, "x-keelson.group", json_str_or(spec, "group", ""));
}

/* 1: on, 0: off, -ENOENT: about another version. */
static int read_setting(const char *setting, const char *name) {
        const char *value = startswith(setting, name);

        if (value && (streq(value, "") || streq(value, "=true")))
                return 1;
        return value && streq(value, "=false") ? 0 : -ENOENT;
}

bool versions_are_on(char *const *settings, const char *group, const char *version) {
        _cleanup_free_ char *name = strformat("%s/%s", group, version);
        bool on = false;

        for (size_t i = 0; name && settings && settings[i]; i++) {
                int r = read_setting(settings[i], name);

                if (r >= 0)
                        on = r > 0;
        }
        return on;
}

/* The names of all old versions, each once, in a JSON object. */
static int collect_old(const json_t *documents, json_t *names) {
        const json_t *document, *version;
        size_t i, j;

        json_array_foreach (documents, i, document)
                json_array_foreach (json_at(document, "spec.versions"), j, version) {
                        _cleanup_free_ char *name = NULL;

                        if (!json_bool_or(version, "x-keelson.old", false))
                                continue;
                        name = strformat("%s/%s",
                                        versions_group(json_object_get(document, "spec"), version),
                                        json_str_or(version, "name", ""));
                        if (!name || json_object_set_new(names, name, json_true()) < 0)
                                return -ENOMEM;
                }
        return 0;
}

static bool is_known(json_t *names, const char *setting) {
        const char *name;
        json_t *v;

        json_object_foreach (names, name, v)
                if (read_setting(setting, name) >= 0)
                        return true;
        return false;
}

int versions_check(const json_t *documents, char *const *settings, struct problem *p) {
        _cleanup_json_ json_t *names = json_object();
        _cleanup_buf_ struct buf known = {0};
        const char *name;
        json_t *v;
        int r = names ? collect_old(documents, names) : -ENOMEM;

        if (r < 0)
                return r;
        json_object_foreach (names, name, v)
                buf_printf(&known, " %s", name);
        for (size_t i = 0; settings && settings[i]; i++)
                if (!is_known(names, settings[i]))
                        return problem_set(p, EINVAL, 0, NULL,
                                        "there is no version \"%s\" to switch on or off: write "
                                        "GROUP/VERSION, GROUP/VERSION=true or "
                                        "GROUP/VERSION=false with one of:%s",
                                        settings[i], strempty(known.data));
        return 0;
}

static int version_rank(
                const char *v, unsigned *ret_stage, unsigned *ret_major, unsigned *ret_minor) {
        char *end;

        *ret_stage = *ret_major = *ret_minor = 0;
        if (*v != 'v' || v[1] < '1' || v[1] > '9')
                return 0;
        *ret_major = (unsigned)strtoul(v + 1, &end, 10);
        if (!*end) {
                *ret_stage = 3;
                return 1;
        }
        const char *number = startswith(end, "beta");
        *ret_stage = 2;
        if (!number) {
                number = startswith(end, "alpha");
                *ret_stage = 1;
        }
        if (!number || *number < '1' || *number > '9') {
                *ret_stage = 0;
                return 0;
        }
        *ret_minor = (unsigned)strtoul(number, &end, 10);
        if (*end)
                *ret_stage = 0;
        return *ret_stage > 0;
}

int versions_compare(const char *a, const char *b) {
        unsigned x[3], y[3];

        version_rank(a, &x[0], &x[1], &x[2]);
        version_rank(b, &y[0], &y[1], &y[2]);
        for (size_t i = 0; i < ELEMENTS(x); i++)
                if (x[i] != y[i])
                        return x[i] > y[i] ? -1 : 1;
        return strcmp(a, b);
}
