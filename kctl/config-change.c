/* kctl config: changes of the kubeconfig file. */
#include "kctl/kubeconfig-edit.h"
#include "lib/crypto.h"
#include "lib/fileio.h"

enum { PEM_SIZE_MAX = 1 << 20 };

/* One change of the file: 0, or an error with p. */
typedef int (*config_func)(struct kctl *k, json_t *config, const char *path, struct problem *p);

/* Opens the file, has it changed, writes it. */
static int change(struct kctl *k, size_t words, config_func func) {
        _cleanup_json_ json_t *config = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *path = NULL;

        if (strv_length(k->words) != words)
                return kctl_usage(k, "%zu word%s needed", words, words == 1 ? " is" : "s are");
        if (kubeconfig_open(k, &path, &config, &p) < 0 || func(k, config, path, &p) < 0 ||
                        kubeconfig_save(path, config, &p) < 0)
                return kctl_fail(&p);
        return EXIT_OK;
}

static int use_context(struct kctl *k, json_t *config, const char *path, struct problem *p) {
        const char *name = k->words[0];

        if (!kubeconfig_entry(config, "contexts", name))
                return problem_set(p, ENOENT, 0, NULL,
                                "no context exists with the name: \"%s\"; kctl config get-contexts "
                                "lists them",
                                name);
        printf("Switched to context \"%s\".\n", name);
        return json_set_str(config, "current-context", name);
}

int kctl_config_use_context(struct kctl *k) {
        return change(k, 1, use_context);
}

/* Sets the texts that are given. */
struct setting {
        const char *field, *value;
};
static int set_all(json_t *map, const struct setting *settings, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (settings[i].value &&
                                json_set_str(map, settings[i].field, settings[i].value) < 0)
                        return -ENOMEM;
        return 0;
}

static int set_context(struct kctl *k, json_t *config, const char *path, struct problem *p) {
        const char *name = k->words    ? k->words[0]
                           : k->flags.current ? json_str(config, "current-context")
                                              : NULL;
        const struct setting settings[] = {{"cluster", k->flags.cluster_name},
                        {"user", k->flags.user_name}, {"namespace", k->flags.ns}};
        json_t *e;
        bool made;

        if (isempty(name))
                return problem_set(p, EINVAL, 0, NULL,
                                "the name of a context, or --current, is needed");
        e = kubeconfig_entry_make(config, "contexts", "context", name, &made);
        if (!e)
                return -ENOMEM;
        printf("Context \"%s\" %s.\n", name, made ? "created" : "modified");
        return set_all(json_object_get(e, "context"), settings, ELEMENTS(settings));
}

int kctl_config_set_context(struct kctl *k) {
        if (k->flags.current && k->words)
                return kctl_usage(k, "either the name of a context or --current is given");
        return change(k, k->flags.current ? 0 : 1, set_context);
}

/* A file of PEM by its path, or with --embed-certs its contents. */
static int set_file(json_t *map, const char *field, const char *file, bool embed,
                struct problem *p) {
        _cleanup_free_ char *data_field = strformat("%s-data", field), *text = NULL,
                            *encoded = NULL, *absolute = NULL;
        size_t n;
        int r;

        if (!file)
                return 0;
        if (!data_field)
                return -ENOMEM;
        if (!embed) {
                absolute = realpath(file, NULL);
                json_object_del(map, data_field);
                return json_set_str(map, field, absolute ? absolute : file);
        }
        r = file_read(file, PEM_SIZE_MAX, &text, &n);
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(file, "read", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        encoded = base64_encode(text, n);
        explicit_bzero(text, n);
        json_object_del(map, field);
        return encoded ? json_set_str(map, data_field, encoded) : -ENOMEM;
}

static int set_cluster(struct kctl *k, json_t *config, const char *path, struct problem *p) {
        const struct setting settings[] = {
                        {"server", k->flags.server}, {"tls-server-name", k->flags.tls_server_name}};
        json_t *e, *map;
        bool made;
        int r;

        e = kubeconfig_entry_make(config, "clusters", "cluster", k->words[0], &made);
        map = json_object_get(e, "cluster");
        r = e ? set_all(map, settings, ELEMENTS(settings)) : -ENOMEM;
        if (r < 0)
                return r;
        r = set_file(map, "certificate-authority", k->flags.certificate_authority,
                        k->flags.embed_certs, p);
        if (r >= 0)
                printf("Cluster \"%s\" set.\n", k->words[0]);
        return r;
}

int kctl_config_set_cluster(struct kctl *k) {
        return change(k, 1, set_cluster);
}

static int set_credentials(struct kctl *k, json_t *config, const char *path, struct problem *p) {
        const struct setting settings[] = {{"token", k->flags.token}};
        json_t *e, *map;
        bool made;
        int r;

        e = kubeconfig_entry_make(config, "users", "user", k->words[0], &made);
        map = json_object_get(e, "user");
        r = e ? set_all(map, settings, ELEMENTS(settings)) : -ENOMEM;
        if (r < 0)
                return r;
        r = set_file(map, "client-certificate", k->flags.client_certificate, k->flags.embed_certs,
                        p);
        if (r < 0)
                return r;
        r = set_file(map, "client-key", k->flags.client_key, k->flags.embed_certs, p);
        if (r >= 0)
                printf("User \"%s\" set.\n", k->words[0]);
        return r;
}

int kctl_config_set_credentials(struct kctl *k) {
        return change(k, 1, set_credentials);
}

static int rename_context(struct kctl *k, json_t *config, const char *path, struct problem *p) {
        const char *from = k->words[0], *to = k->words[1];
        json_t *e = kubeconfig_entry(config, "contexts", from);

        if (!e)
                return problem_set(p, ENOENT, 0, NULL,
                                "cannot rename the context \"%s\", it's not in %s", from, path);
        if (kubeconfig_entry(config, "contexts", to))
                return problem_set(p, EEXIST, 0, NULL,
                                "cannot rename the context \"%s\", the context \"%s\" already "
                                "exists in %s",
                                from, to, path);
        if (streq(json_str_or(config, "current-context", ""), from))
                json_set_str(config, "current-context", to);
        printf("Context \"%s\" renamed to \"%s\".\n", from, to);
        return json_set_str(e, "name", to);
}

int kctl_config_rename_context(struct kctl *k) {
        return change(k, 2, rename_context);
}

/* "deleted context web from FILE", as kubectl says it. */
static int delete_from(json_t *config, const char *list, const char *what, const char *name,
                const char *path, struct problem *p) {
        json_t *entries = json_object_get(config, list);

        for (size_t i = json_array_size(entries); i-- > 0;)
                if (streq(json_str_or(json_array_get(entries, i), "name", ""), name)) {
                        printf("deleted %s %s from %s\n", what, name, path);
                        json_array_remove(entries, i);
                        return 0;
                }
        return problem_set(p, ENOENT, 0, NULL, "cannot delete %s %s, not in %s", what, name, path);
}

static int delete_context(struct kctl *k, json_t *config, const char *path, struct problem *p) {
        if (streq(json_str_or(config, "current-context", ""), k->words[0]))
                fprintf(stderr, "warning: this removed your active context, use \"kctl config "
                                "use-context\" to select a different one\n");
        return delete_from(config, "contexts", "context", k->words[0], path, p);
}

int kctl_config_delete_context(struct kctl *k) {
        return change(k, 1, delete_context);
}

static int delete_cluster(struct kctl *k, json_t *config, const char *path, struct problem *p) {
        return delete_from(config, "clusters", "cluster", k->words[0], path, p);
}

int kctl_config_delete_cluster(struct kctl *k) {
        return change(k, 1, delete_cluster);
}

static int delete_user(struct kctl *k, json_t *config, const char *path, struct problem *p) {
        return delete_from(config, "users", "user", k->words[0], path, p);
}

int kctl_config_delete_user(struct kctl *k) {
        return change(k, 1, delete_user);
}
