/* What a container has of its image: the root, the command, variables, the user, the folder it
 * starts in, the signal that ends it (OCI image spec, config.md). Where the pod says something
 * itself, the pod's word counts. */
#include "nodeagent/plan/image.h"

#include <signal.h>

#include "lib/buf.h"
#include "lib/crypto.h"
#include "nodeagent/plan/plan.h"

#define REASON "CreateContainerConfigError"
#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const json_t *image_of_container(const struct pod_facts *f, const json_t *container) {
        return json_get(f->images, json_str_or(container, "name", ""), NULL);
}

bool image_is_layered(const json_t *image) {
        return streq(json_str_or(image, "root", ""), "oci");
}

static int set(json_t *o, const char *key, json_t *value) {
        return json_object_set_new(o, key, value) < 0 ? -ENOMEM : 0;
}

int image_set_root(const struct pod_facts *f, const json_t *container, json_t *properties) {
        static const struct {
                const char *root, *property;
        } rows[] = {{"directory", "RootDirectory"}, {"raw", "RootImage"}, {"oci", "RootDirectory"}};
        const json_t *image = image_of_container(f, container);
        const char *root = json_str_or(image, "root", "");

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_free_ char *place = NULL;
                int r;

                if (!streq(rows[i].root, root))
                        continue;
                place = image_is_layered(image)
                                        ? strformat("%s/roots/%s", f->run_dir,
                                                          json_str_or(container, "name", ""))
                                        : strdup(json_str_or(image, "path", ""));
                if (!place)
                        return -ENOMEM;
                r = set(properties, "MountAPIVFS", json_true());
                return r < 0 ? r : set(properties, rows[i].property, json_string(place));
        }
        assert(streq(root, "host"));
        return 0;
}

/* ---- the command ---- */

static const json_t *config(const json_t *image, const char *key) {
        return json_get(image, "config", key, NULL);
}

/* Words of the pod, with $(VAR) replaced. */
static int add_own(const json_t *container, const char *part, const struct pod_env *env,
                json_t *words, struct problem *p) {
        const json_t *v;
        size_t i, size = 0;

        json_array_foreach (json_at(container, part), i, v) {
                _cleanup_free_ char *word =
                                pod_env_expand(env->names, strempty(json_string_value(v)));

                size += strlen(strempty(word));
                if (!word || size > POD_ENV_TEXT_MAX)
                        return problem_set(p, E2BIG, 0, REASON,
                                        "container %s: %s has more than %d bytes with the "
                                        "variables in it replaced; make it shorter",
                                        json_str_or(container, "name", ""), part, POD_ENV_TEXT_MAX);
                if (json_array_append_new(words, json_string(word)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static const char *why_no_command(const json_t *image) {
        if (!image_is_layered(image))
                return "there is no image that could name one";
        /* `knodeagent units` does not look into the store. */
        return json_str(image, "path") ? "its image has neither Entrypoint nor Cmd"
                                       : "its image is not looked at here";
}

/* As images of distributions do: `kubectl debug -it --image=host` gives no command. */
static bool wants_shell(const json_t *image, const json_t *container) {
        return !image_is_layered(image) &&
               (json_bool_or(container, "stdin", false) || json_bool_or(container, "tty", false));
}

int image_command(const json_t *image, const json_t *container, const struct pod_env *env,
                json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *words = json_array();
        bool own = json_array_size(json_at(container, "command")) > 0,
             args = json_array_size(json_at(container, "args")) > 0;
        int r;

        if (!words)
                return -ENOMEM;
        /* `command` replaces both of the image's parts, `args` only the second. */
        if (!own && config(image, "Entrypoint") &&
                        json_array_extend(words, json_unconst(config(image, "Entrypoint"))) < 0)
                return -ENOMEM;
        r = add_own(container, "command", env, words, p);
        if (r < 0)
                return r;
        if (!own && !args && config(image, "Cmd") &&
                        json_array_extend(words, json_unconst(config(image, "Cmd"))) < 0)
                return -ENOMEM;
        r = add_own(container, "args", env, words, p);
        if (r < 0)
                return r;
        if (json_array_size(words) == 0 && wants_shell(image, container) &&
                        json_array_append_new(words, json_string("/bin/sh")) < 0)
                return -ENOMEM;
        if (json_array_size(words) == 0 || isempty(json_string_value(json_array_get(words, 0))))
                return problem_set(p, EINVAL, 0, "CreateContainerError",
                                "container %s has no command: %s, so set `command`",
                                json_str_or(container, "name", ""), why_no_command(image));
        *ret = TAKE_PTR(words);
        return 0;
}

const char *image_working_dir(const json_t *image, const json_t *container) {
        const char *own = json_str_or(container, "workingDir", "");

        return *own ? own : strempty(json_string_value(config(image, "WorkingDir")));
}

/* ---- variables ---- */

static bool has_variable(const json_t *lines, const char *name) {
        size_t i, n = strlen(name);
        const json_t *v;

        json_array_foreach (lines, i, v) {
                const char *line = strempty(json_string_value(v));

                if (strncmp(line, name, n) == 0 && line[n] == '=')
                        return true;
        }
        return false;
}

int image_variables(const json_t *image, json_t **ret) {
        const json_t *lines = config(image, "Env");
        _cleanup_json_ json_t *out = json_array();

        if (!out)
                return -ENOMEM;
        if (image_is_layered(image)) {
                if (!has_variable(lines, "PATH") &&
                                json_array_append_new(out, json_string(DEFAULT_PATH)) < 0)
                        return -ENOMEM;
                if (!has_variable(lines, "HOME") &&
                                json_array_append_new(
                                                out, json_sprintf("HOME=%s",
                                                                     json_str_or(image, "user.home",
                                                                                     "/"))) < 0)
                        return -ENOMEM;
        }
        if (lines && json_array_extend(out, json_unconst(lines)) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(out);
        return 0;
}

/* ---- the user ---- */

int image_identity(const json_t *image, const json_t *pod, const json_t *container,
                json_t *properties, struct problem *p) {
        bool non_root = json_is_true(pod_security_setting(pod, container, "runAsNonRoot"));
        const json_t *user = pod_security_setting(pod, container, "runAsUser");
        bool own = json_is_integer(user);
        int64_t uid = own ? json_integer_value(user) : json_int_or(image, "user.uid", 0),
                gid = json_int_or(image, "user.gid", 0);
        const char *name = strempty(json_string_value(config(image, "User"))),
                   *called = json_str_or(container, "name", "");
        uint32_t number;
        _cleanup_free_ char *first = strndup(name, strcspn(name, ":"));
        int r;

        if (!first)
                return -ENOMEM;
        if (non_root && !own && *first && parse_u32(first, &number) < 0)
                return problem_set(p, EINVAL, 0, REASON,
                                "container has runAsNonRoot and image has non-numeric user (%s), "
                                "cannot verify user is non-root (container: %s): set runAsUser",
                                first, called);
        if (non_root && uid == 0)
                return problem_set(p, EINVAL, 0, REASON,
                                "container has runAsNonRoot and %s (container: %s): set runAsUser "
                                "to another user",
                                own ? "runAsUser is root" : "image will run as root", called);
        if (!own && uid != 0) {
                r = set(properties, "User", json_sprintf("%lld", (long long)uid));
                if (r < 0)
                        return r;
        }
        if (json_object_get(properties, "Group") || (uid == 0 && gid == 0))
                return uid == 0;
        r = set(properties, "Group", json_sprintf("%lld", (long long)gid));
        return r < 0 ? r : uid == 0;
}

/* ---- the end ---- */

static int signal_number(const char *name) {
        static const struct {
                const char *name;
                int number;
        } others[] = {{"IO", SIGIO}, {"CLD", SIGCHLD}, {"IOT", SIGABRT}};
        enum { REALTIME_FIRST = 34, REALTIME_LAST = 64, STANDARD_LAST = 31 };
        const char *rest = startswith(name, "SIG");
        uint32_t n;

        name = rest ? rest : name;
        if (parse_u32(name, &n) >= 0)
                return n > 0 && n <= 64 ? (int)n : 0;
        for (int i = 1; i <= STANDARD_LAST; i++)
                if (streq(strempty(sigabbrev_np(i)), name))
                        return i;
        for (size_t i = 0; i < ELEMENTS(others); i++)
                if (streq(others[i].name, name))
                        return others[i].number;
        rest = startswith(name, "RTMAX");
        if (rest && !*rest)
                return REALTIME_LAST;
        if (rest && *rest == '-' && parse_u32(rest + 1, &n) >= 0)
                return n <= 30 ? REALTIME_LAST - (int)n : 0;
        rest = startswith(name, "RTMIN");
        if (!rest)
                return 0;
        if (!*rest)
                return REALTIME_FIRST;
        return *rest == '+' && parse_u32(rest + 1, &n) >= 0 && n <= 30 ? REALTIME_FIRST + (int)n
                                                                        : 0;
}

int image_stop_signal(const json_t *image, const json_t *container, json_t *properties) {
        const char *own = json_str(container, "lifecycle.stopSignal"),
                   *name = own ? own : json_string_value(config(image, "StopSignal"));
        int number = name ? signal_number(name) : 0;

        return number > 0 ? set(properties, "KillSignal", json_integer(number)) : 0;
}

/* ---- the root on the machine ---- */

static bool is_mounted(const json_t *container, const char *path) {
        const json_t *m;
        size_t i;

        json_array_foreach (json_at(container, "volumeMounts"), i, m) {
                _cleanup_free_ char *target = pod_path_tidy(json_str_or(m, "mountPath", ""));

                if (target && streq(target, path))
                        return true;
        }
        return false;
}

/* A volume that the image declares is a folder of the container's own writable layer; it can be
 * written to also where the rest of the root cannot. */
static int anonymous_volumes(
                const json_t *image, const json_t *container, json_t *properties, json_t *folders) {
        bool read_only = json_bool_or(container, "securityContext.readOnlyRootFilesystem", false);
        _cleanup_json_ json_t *written = json_array();
        const json_t *v;
        size_t i;

        if (!written)
                return -ENOMEM;
        json_array_foreach (config(image, "Volumes"), i, v) {
                _cleanup_free_ char *path = pod_path_tidy(strempty(json_string_value(v)));

                if (!path || streq(path, "/") || is_mounted(container, path))
                        continue;
                if (json_array_append_new(folders, json_string(path)) < 0 ||
                                json_array_append_new(written, json_sprintf("+%s", path)) < 0)
                        return -ENOMEM;
        }
        if (!read_only || json_array_size(written) == 0)
                return 0;
        return json_object_set(properties, "ReadWritePaths", written) < 0 ? -ENOMEM : 0;
}

int image_root_plan(const json_t *pod, const json_t *container, const struct pod_facts *f,
                json_t *properties, json_t **ret) {
        const json_t *image = image_of_container(f, container),
                     *user = pod_security_setting(pod, container, "runAsUser");
        const char *name = json_str_or(container, "name", "");
        _cleanup_free_ char *directory = NULL;
        _cleanup_json_ json_t *folders = json_array();
        int r;

        if (!image_is_layered(image))
                return 0;
        if (!folders)
                return -ENOMEM;
        directory = pod_path_tidy(image_working_dir(image, container));
        if (directory && !streq(directory, "/") &&
                        json_array_append_new(folders, json_string(directory)) < 0)
                return -ENOMEM;
        r = anonymous_volumes(image, container, properties, folders);
        if (r < 0)
                return r;
        *ret = json_pack("{s:s, s:b, s:s, s:O, s:o, s:o, s:O}", "image",
                        json_str_or(image, "id", ""), "ownUser", !json_is_integer(user), "lower",
                        json_str_or(image, "path", ""), "place",
                        json_object_get(properties, "RootDirectory"), "own",
                        json_sprintf("%s/roots/%s", f->disk_dir, name), "memory",
                        json_sprintf("%s/memory-roots/%s", f->run_dir, name), "folders", folders);
        return *ret ? 1 : -ENOMEM;
}

/* ---- pulling ---- */

/* The document in a Secret, in either of its forms; NULL: none that can be read. */
static json_t *document_of(const json_t *secret) {
        static const char *const keys[] = {".dockerconfigjson", ".dockercfg"};

        for (size_t i = 0; i < ELEMENTS(keys); i++) {
                const char *text = json_string_value(json_get(secret, "data", keys[i], NULL));
                _cleanup_free_ void *data = NULL;
                json_t *document;
                size_t n;

                if (text && base64_decode(text, &data, &n) >= 0 &&
                                json_parse(data, n, /* flags= */ 0, &document,
                                                /* ret_error= */ NULL) >= 0)
                        return document;
        }
        return NULL;
}

int pod_pull_credentials(const json_t *pod, const json_t *resources, json_t **ret, char **missing) {
        _cleanup_json_ json_t *out = json_array();
        _cleanup_buf_ struct buf names = {0};
        const json_t *v;
        size_t i;

        if (!out)
                return -ENOMEM;
        json_array_foreach (json_at(pod, "spec.imagePullSecrets"), i, v) {
                const char *name = json_str_or(v, "name", "");
                json_t *document = document_of(json_get(resources, "secrets", name, NULL));

                if (!document)
                        buf_printf(&names, "%s%s", names.size > 0 ? ", " : "", name);
                else if (json_array_append_new(out, document) < 0)
                        return -ENOMEM;
        }
        if (names.failed)
                return -ENOMEM;
        *missing = names.size > 0 ? buf_take(&names) : NULL;
        *ret = TAKE_PTR(out);
        return 0;
}

const char *image_pull_policy(const json_t *image, const json_t *container) {
        const char *own = json_str_or(container, "imagePullPolicy", "");

        if (*own)
                return own;
        return json_bool_or(image, "latest", false) ? "Always" : "IfNotPresent";
}
