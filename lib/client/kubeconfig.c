/* Reading kubeconfig: documents are read in order, the first one that has a name or a
 * current-context wins; relative file names are relative to the document that names them.
 * Certificates may be embedded (base64) or in files; tokens likewise. Exec plugins and auth
 * providers are refused by name, not ignored: a client without an identity would fail
 * with errors that do not say why.
 */
#include "lib/client/kubeconfig.h"

#include "lib/client/servers.h"
#include "lib/fileio.h"
#include "lib/pki.h"
#include "lib/yaml.h"

enum { KUBECONFIG_SIZE_MAX = 8 * 1024 * 1024, KUBECONFIG_FILES_MAX = 64 };

struct document {
        char *path;
        json_t *value;
};

struct documents {
        struct document items[KUBECONFIG_FILES_MAX];
        size_t count;
};

static void documents_done(struct documents *d) {
        for (size_t i = 0; i < d->count; i++) {
                free(d->items[i].path);
                json_decref(d->items[i].value);
        }
}

void kubeconfig_context_done(struct kubeconfig_context *k) {
        if (k->key_pem)
                explicit_bzero(k->key_pem, strlen(k->key_pem));
        if (k->token)
                explicit_bzero(k->token, strlen(k->token));
        free(k->server);
        strv_free(k->more);
        free(k->ns);
        free(k->ca_pem);
        free(k->cert_pem);
        free(k->key_pem);
        free(k->token);
        free(k->tls_server_name);
        free(k->as_user);
        strv_free(k->as_groups);
        strv_free(k->files);
        *k = (struct kubeconfig_context){0};
}

/* 1 when read, 0 when the file is not there. */
static int read_document(struct documents *d, const char *path, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_free_ char *text = NULL, *copy = NULL;
        size_t n;
        int r = file_read(path, KUBECONFIG_SIZE_MAX, &text, &n);

        if (r == -ENOENT)
                return 0;
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "read", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        r = yaml_parse(text, n, &docs, p);
        if (r < 0) {
                problem_prefix(p, "%s: ", path);
                return r;
        }
        if (docs.count == 0)
                return 0;
        if (!json_is_object(docs.items[0].value))
                return problem_set(p, EINVAL, 0, NULL, "%s: this is not a kubeconfig file", path);
        if (d->count >= KUBECONFIG_FILES_MAX)
                return problem_set(p, E2BIG, 0, NULL, "more than %d kubeconfig files",
                                KUBECONFIG_FILES_MAX);
        copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        d->items[d->count++] = (struct document){TAKE_PTR(copy), json_incref(docs.items[0].value)};
        return 1;
}

static int read_documents(struct documents *d, const char *path, struct problem *p) {
        const char *env = getenv("KUBECONFIG"), *home = getenv("HOME");
        _cleanup_strv_free_ char **paths = NULL;
        _cleanup_free_ char *fallback = NULL;
        int r;

        if (path) {
                r = read_document(d, path, p);
                if (r != 0)
                        return r < 0 ? r : 0;
                return problem_set(p, ENOENT, 0, NULL,
                                "there is no kubeconfig file %s (or it is empty)", path);
        }
        if (!isempty(env)) {
                r = strv_split(env, ":", &paths);
                if (r < 0)
                        return r;
                for (char **s = paths; s && *s; s++) {
                        r = read_document(d, *s, p);
                        if (r < 0)
                                return r;
                }
                if (d->count > 0)
                        return 0;
                return problem_set(p, ENOENT, 0, NULL,
                                "none of the files in $KUBECONFIG (%s) exists", env);
        }
        fallback = strformat("%s/.kube/config", strempty(home));
        if (!fallback)
                return -ENOMEM;
        r = read_document(d, fallback, p);
        if (r != 0)
                return r < 0 ? r : 0;
        return problem_set(p, ENOENT, 0, NULL,
                        "there is no kubeconfig file %s; name one with --kubeconfig or $KUBECONFIG",
                        fallback);
}

/* The entry of that name in a list of named entries ("clusters"), and the document that has it. */
static const json_t *find_named(const struct documents *d, const char *list, const char *key,
                const char *name, const struct document **ret_document) {
        for (size_t i = 0; i < d->count; i++) {
                const json_t *entries = json_object_get(d->items[i].value, list), *e;
                size_t k;

                json_array_foreach (entries, k, e)
                        if (streq(json_str_or(e, "name", ""), name)) {
                                *ret_document = &d->items[i];
                                return json_object_get(e, key);
                        }
        }
        return NULL;
}

static int read_beside(const struct document *d, const char *name, struct kubeconfig_context *k,
                char **ret, struct problem *p) {
        const char *slash = strrchr(d->path, '/');
        _cleanup_free_ char *path = NULL;
        int r;

        path = *name == '/' || !slash ? strdup(name)
                                      : strformat("%.*s/%s", (int)(slash - d->path), d->path, name);
        if (!path)
                return -ENOMEM;
        r = file_read(path, KUBECONFIG_SIZE_MAX, ret, NULL);
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "read", r);

                return problem_set(p, -r, 0, NULL, "%s: %s", d->path, strempty(why));
        }
        return strv_extend(&k->files, path);
}

/* "<field>-data" embedded, else the file named by "<field>"; neither leaves NULL. */
static int read_pem(const struct document *d, const json_t *v, const char *field,
                struct kubeconfig_context *k, char **ret, struct problem *p) {
        _cleanup_free_ char *data_field = strformat("%s-data", field), *text = NULL;
        const char *data, *file;
        void *bytes;
        size_t n;

        if (!data_field)
                return -ENOMEM;
        data = json_string_value(json_object_get(v, data_field));
        file = json_string_value(json_object_get(v, field));
        if (!isempty(data)) {
                if (base64_decode(data, &bytes, &n) < 0)
                        return problem_set(p, EINVAL, 0, NULL, "%s: %s is not base64", d->path,
                                        data_field);
                text = strndup(bytes, n);
                free(bytes);
                if (!text)
                        return -ENOMEM;
                *ret = TAKE_PTR(text);
                return 0;
        }
        return isempty(file) ? 0 : read_beside(d, file, k, ret, p);
}

static int read_user(const struct document *d, const json_t *user, struct kubeconfig_context *k,
                struct problem *p) {
        const char *token = json_str(user, "token"), *file = json_str(user, "tokenFile");
        int r;

        if (json_object_get(user, "exec") || json_object_get(user, "auth-provider"))
                return problem_set(p, EOPNOTSUPP, 0, NULL,
                                "%s: credentials by exec plugin or auth-provider are not "
                                "supported; "
                                "use a certificate or a token",
                                d->path);
        r = read_pem(d, user, "client-certificate", k, &k->cert_pem, p);
        if (r < 0)
                return r;
        r = read_pem(d, user, "client-key", k, &k->key_pem, p);
        if (r < 0)
                return r;
        if (!isempty(token)) {
                k->token = strdup(token);
                return k->token ? 0 : -ENOMEM;
        }
        if (isempty(file))
                return 0;
        r = read_beside(d, file, k, &k->token, p);
        if (r < 0)
                return r;
        k->token[strcspn(k->token, "\r\n")] = 0;
        return 0;
}

static int read_servers(const struct document *d, const json_t *cluster,
                struct kubeconfig_context *k, struct problem *p) {
        const json_t *extension, *url;
        size_t i, n;

        json_array_foreach (json_object_get(cluster, "extensions"), i, extension) {
                if (!streq(json_str_or(extension, "name", ""), KUBECONFIG_SERVERS))
                        continue;
                json_array_foreach (json_at(extension, "extension.servers"), n, url) {
                        const char *text = json_string_value(url);

                        if (!text || !server_is_valid(text))
                                return problem_set(p, EINVAL, 0, NULL,
                                                "%s: the extension " KUBECONFIG_SERVERS
                                                " names the server \"%s\", which is not "
                                                "https://host:port",
                                                d->path, strempty(text));
                        if (strv_extend(&k->more, text) < 0)
                                return -ENOMEM;
                }
        }
        return 0;
}

static int replace(char **text, const char *with) {
        char *copy = strdup(with);

        if (!copy)
                return -ENOMEM;
        free(*text);
        *text = copy;
        return 0;
}

/* A trailing slash would double the one every path starts with. */
static int set_server(struct kubeconfig_context *k, const char *server) {
        int r = replace(&k->server, server);

        if (r < 0)
                return r;
        for (size_t n = strlen(k->server); n > 0 && k->server[n - 1] == '/'; n--)
                k->server[n - 1] = 0;
        return 0;
}

static int read_cluster(const struct document *d, const json_t *cluster,
                struct kubeconfig_context *k, struct problem *p) {
        const char *server = json_str(cluster, "server"),
                   *name = json_str(cluster, "tls-server-name");
        int r;

        if (isempty(server) || (!startswith(server, "https://") && !startswith(server, "http://") &&
                                               !startswith(server, "unix://")))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: server \"%s\" is not https://host:port or unix:///path",
                                d->path, strempty(server));
        if (json_bool_or(cluster, "insecure-skip-tls-verify", false))
                return problem_set(p, EOPNOTSUPP, 0, NULL,
                                "%s: insecure-skip-tls-verify is not supported; give the cluster's "
                                "certificate-authority-data",
                                d->path);
        r = set_server(k, server);
        if (r < 0)
                return r;
        if (!isempty(name)) {
                k->tls_server_name = strdup(name);
                if (!k->tls_server_name)
                        return -ENOMEM;
        }
        r = read_servers(d, cluster, k, p);
        return r < 0 ? r : read_pem(d, cluster, "certificate-authority", k, &k->ca_pem, p);
}

static int read_context(const struct documents *d, const char *name, struct kubeconfig_context *k,
                struct problem *p) {
        const struct document *where = NULL;
        const json_t *context, *cluster, *user;
        const char *cluster_name, *user_name;
        int r;

        for (size_t i = 0; i < d->count && isempty(name); i++)
                name = json_str(d->items[i].value, "current-context");
        if (isempty(name))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: no current-context is set; name one with --context",
                                d->items[0].path);
        context = find_named(d, "contexts", "context", name, &where);
        if (!context)
                return problem_set(p, EINVAL, 0, NULL, "%s: there is no context \"%s\"",
                                d->items[0].path, name);
        cluster_name = json_str_or(context, "cluster", "");
        user_name = json_str_or(context, "user", "");
        k->ns = strdup(json_str_or(context, "namespace", "default"));
        if (!k->ns)
                return -ENOMEM;
        cluster = find_named(d, "clusters", "cluster", cluster_name, &where);
        if (!cluster)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: there is no cluster \"%s\" (context \"%s\")", d->items[0].path,
                                cluster_name, name);
        r = read_cluster(where, cluster, k, p);
        if (r < 0 || !*user_name)
                return r;
        user = find_named(d, "users", "user", user_name, &where);
        if (!user)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: there is no user \"%s\" (context \"%s\")", d->items[0].path,
                                user_name, name);
        return read_user(where, user, k, p);
}

int kubeconfig_load(struct kubeconfig_context *ret, const char *path, const char *context,
                struct problem *p) {
        _cleanup_(kubeconfig_context_done) struct kubeconfig_context k = {0};
        _cleanup_(documents_done) struct documents d = {0};
        int r = read_documents(&d, path, p);

        if (r < 0)
                return r;
        r = read_context(&d, context, &k, p);
        for (size_t i = 0; r >= 0 && i < d.count; i++)
                r = strv_extend(&k.files, d.items[i].path);
        if (r < 0)
                return r;
        *ret = k;
        k = (struct kubeconfig_context){0};
        return 0;
}

/* That server alone is asked with the same credentials; its name in the certificate is its own. */
static int override_server(struct kubeconfig_context *k, const char *server, struct problem *p) {
        if (!startswith(server, "https://") && !startswith(server, "http://") &&
                        !startswith(server, "unix://"))
                return problem_set(p, EINVAL, 0, NULL,
                                "--server %s is not https://host:port or unix:///path", server);
        k->tls_server_name = mfree(k->tls_server_name);
        strv_free(k->more);
        k->more = NULL;
        return set_server(k, server);
}

static int override_token(struct kubeconfig_context *k, const char *token) {
        k->cert_pem = mfree(k->cert_pem);
        if (k->key_pem)
                explicit_bzero(k->key_pem, strlen(k->key_pem));
        k->key_pem = mfree(k->key_pem);
        return replace(&k->token, token);
}

static int override_user(struct kubeconfig_context *k, const char *user, char *const *groups) {
        int r = replace(&k->as_user, user);

        for (; r == 0 && groups && *groups; groups++)
                r = strv_extend(&k->as_groups, *groups);
        return r;
}

int kubeconfig_load_with(struct kubeconfig_context *ret, const char *path,
                const struct kubeconfig_overrides *o, struct problem *p) {
        _cleanup_(kubeconfig_context_done) struct kubeconfig_context k = {0};
        int r = kubeconfig_load(&k, path, o->context, p);

        if (r == -ENOENT && o->server && o->token && !path && !o->context) {
                problem_done(p);
                *p = (struct problem){0};
                r = replace(&k.ns, "default");
        }
        if (r < 0)
                return r;
        if (!isempty(o->as_user)) {
                r = override_user(&k, o->as_user, o->as_groups);
                if (r < 0)
                        return r;
        } else if (o->as_groups)
                return problem_set(p, EINVAL, 0, NULL,
                                "--as-group needs --as: the user who is in the groups");
        if (!isempty(o->server)) {
                r = override_server(&k, o->server, p);
                if (r < 0)
                        return r;
        }
        if (!isempty(o->token)) {
                r = override_token(&k, o->token);
                if (r < 0)
                        return r;
        }
        *ret = k;
        k = (struct kubeconfig_context){0};
        return 0;
}
