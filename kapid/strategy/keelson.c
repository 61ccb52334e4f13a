/* keelson's own kinds: a GitSync's address, reference and times. */
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

enum { INTERVAL_MIN_US = 1000000 };
#define TIMEOUT_MAX_US (3600 * UINT64_C(1000000))

/* Addresses that libgit2 can fetch from: a scheme we know, or scp's user@host:path. */
static bool is_git_url(const char *s) {
        static const char *const schemes[] = {
                        "https://", "http://", "ssh://", "git://", "file:///"};
        const char *colon, *slash, *at;

        for (const char *c = s; *c; c++)
                if ((unsigned char)*c <= ' ')
                        return false;
        for (size_t i = 0; i < ELEMENTS(schemes); i++)
                if (startswith(s, schemes[i]))
                        return s[strlen(schemes[i])] != 0;
        if (strstr(s, "://"))
                return false;
        if (*s == '/')
                return s[1] != 0;
        colon = strchr(s, ':');
        slash = strchr(s, '/');
        at = strchr(s, '@');
        return at && colon && at > s && at + 1 < colon && colon[1] && (!slash || slash > colon);
}

static bool leaves_folder(const char *path) {
        for (const char *s = path, *slash; s; s = slash ? slash + 1 : NULL) {
                if (startswith(s, "..") && (s[2] == 0 || s[2] == '/'))
                        return true;
                slash = strchr(s, '/');
        }
        return *path == '/';
}

static void check_duration(struct findings *f, const json_t *object, const char *path) {
        const json_t *v = json_at(object, path);
        uint64_t us;

        if (v && parse_duration_us(strempty(json_string_value(v)), &us) == 0 &&
                        us < INTERVAL_MIN_US)
                finding_add(f, FINDING_INVALID, path, v, "must be at least 1s");
}

/* A fetch holds its turn as long. */
static void check_timeout(struct findings *f, const json_t *object) {
        const json_t *v = json_at(object, "spec.timeout");
        uint64_t us;

        if (v && parse_duration_us(strempty(json_string_value(v)), &us) == 0 && us > TIMEOUT_MAX_US)
                finding_add(f, FINDING_INVALID, "spec.timeout", v, "must be at most 1h");
}

static void gitsync_validate(struct findings *f, const json_t *object) {
        static const char *const names[] = {"branch", "tag", "commit"};
        const json_t *url = json_at(object, "spec.url"), *ref = json_at(object, "spec.ref"), *item;
        size_t n = 0, i;

        if (!is_git_url(strempty(json_string_value(url))))
                finding_add(f, FINDING_INVALID, "spec.url", url,
                                "must be https://, http://, ssh://, git:// or file:///, an "
                                "absolute path, or user@host:path");
        for (i = 0; i < ELEMENTS(names); i++)
                n += json_object_get(ref, names[i]) != NULL;
        if (n > 1)
                finding_add(f, FINDING_INVALID, "spec.ref", ref,
                                "at most one of branch, tag and commit may be given");
        if (leaves_folder(json_str_or(object, "spec.path", ".")))
                finding_add(f, FINDING_INVALID, "spec.path", json_at(object, "spec.path"),
                                "must stay inside the repository");
        check_duration(f, object, "spec.interval");
        check_duration(f, object, "spec.timeout");
        check_timeout(f, object);
        json_array_foreach (json_at(object, "spec.dependsOn"), i, item)
                if (streq(json_str_or(item, "name", ""), object_name(object))) {
                        _cleanup_free_ char *path = strformat("spec.dependsOn[%zu].name", i);

                        finding_add(f, FINDING_INVALID, path, json_object_get(item, "name"),
                                        "a GitSync cannot depend on itself");
                }
}

const struct kind_strategy strategies_keelson[] = {
                {.group = "keelson.dev", .kind = "GitSync", .validate = gitsync_validate},
                /* Its name is a user's name. Read at once: a certificate that was revoked is
                 * refused from the answer on. */
                {.group = "keelson.dev",
                                .kind = "ClusterUser",
                                .name = NAME_PATH_SEGMENT,
                                .flags = STRATEGY_NEEDS_VERSION | STRATEGY_READ_AT_ONCE},
                {0},
};
