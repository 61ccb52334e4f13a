/* kctl config: what kubeconfig files hold. Credentials are shown only by --raw. */
#include "kctl/change.h"
#include "kctl/formats.h"
#include "kctl/grid.h"
#include "kctl/kubeconfig-edit.h"

static void hide(json_t *map, const char *field, const char *shown) {
        if (json_object_get(map, field))
                json_object_set_new(map, field, json_string(shown));
}

/* Keys, tokens and passwords as kubectl hides them. */
static void hide_secrets(json_t *config) {
        json_t *e;
        size_t i;

        json_array_foreach (json_object_get(config, "clusters"), i, e)
                hide(json_object_get(e, "cluster"), "certificate-authority-data",
                                "DATA+OMITTED");
        json_array_foreach (json_object_get(config, "users"), i, e) {
                json_t *user = json_object_get(e, "user");

                hide(user, "client-certificate-data", "DATA+OMITTED");
                hide(user, "client-key-data", "DATA+OMITTED");
                hide(user, "token", "REDACTED");
                hide(user, "password", "REDACTED");
        }
}

/* Only what the context needs. */
static int minify(struct kctl *k, json_t *config, struct problem *p) {
        const char *name = k->flags.context ? k->flags.context
                                            : json_str_or(config, "current-context", "");
        json_t *context = kubeconfig_entry(config, "contexts", name), *cluster, *user;

        if (!context)
                return problem_set(p, ENOENT, 0, NULL, "there is no context \"%s\"", name);
        cluster = kubeconfig_entry(config, "clusters", json_str_or(context, "context.cluster", ""));
        user = kubeconfig_entry(config, "users", json_str_or(context, "context.user", ""));
        json_incref(context);
        json_object_set_new(config, "clusters",
                        cluster ? json_pack("[O]", cluster) : json_array());
        json_object_set_new(config, "users", user ? json_pack("[O]", user) : json_array());
        json_object_set_new(config, "contexts", json_pack("[o]", context));
        json_object_set_new(config, "current-context", json_string(name));
        return 0;
}

int kctl_config_view(struct kctl *k) {
        struct kind_ref kind = {{"", "v1", "configs", "Config", false}, "config", NULL};
        _cleanup_json_ json_t *merged = NULL, *config = NULL;
        _cleanup_problem_ struct problem p = {0};

        if (kubeconfig_merged(k, &merged, &p) < 0)
                return kctl_fail(&p);
        config = json_deep_copy(merged);
        if (!config || (k->flags.minify && minify(k, config, &p) < 0))
                return kctl_fail(&p);
        if (!k->flags.raw_values)
                hide_secrets(config);
        if (!k->flags.output) {
                k->flags.output = strdup("yaml");
                if (!k->flags.output)
                        return kctl_error("out of memory");
        }
        return print_object(k, config, &kind, &p) < 0 ? kctl_fail(&p) : EXIT_OK;
}

int kctl_config_current_context(struct kctl *k) {
        _cleanup_json_ json_t *config = NULL;
        _cleanup_problem_ struct problem p = {0};

        if (kubeconfig_merged(k, &config, &p) < 0)
                return kctl_fail(&p);
        if (isempty(json_str(config, "current-context")))
                return kctl_error("current-context is not set");
        puts(json_str(config, "current-context"));
        return EXIT_OK;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of a list, sorted; borrowed from config. Caller frees the array. */
static const char **names_of(const json_t *config, const char *list, size_t *ret_count) {
        const json_t *entries = json_object_get(config, list), *e;
        const char **names = calloc(json_array_size(entries) + 1, sizeof(*names));
        size_t i, n = 0;

        json_array_foreach (entries, i, e)
                if (names)
                        names[n++] = json_str_or(e, "name", "");
        if (names)
                qsort(names, n, sizeof(*names), compare_names);
        *ret_count = n;
        return names;
}

static int add_context(struct grid *g, const json_t *config, const char *name) {
        const json_t *c = json_object_get(kubeconfig_entry(config, "contexts", name), "context");
        bool current = streq(json_str_or(config, "current-context", ""), name);

        return grid_add_texts(g,
                        (const char *const[]){current ? "*" : "", name,
                                        json_str_or(c, "cluster", ""), json_str_or(c, "user", ""),
                                        json_str_or(c, "namespace", "")},
                        5);
}

int kctl_config_get_contexts(struct kctl *k) {
        static const char *const headings[] = {
                        "CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"};
        _cleanup_json_ json_t *config = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ const char **all = NULL;
        _cleanup_grid_ struct grid g = {0};
        bool only_names = streq_ptr(k->flags.output, "name");
        int code = EXIT_OK;
        size_t n;

        if (kubeconfig_merged(k, &config, &p) < 0)
                return kctl_fail(&p);
        all = names_of(config, "contexts", &n);
        if (!all)
                return kctl_error("out of memory");
        if (!k->flags.no_headers && !only_names)
                grid_add_texts(&g, headings, ELEMENTS(headings));
        for (size_t i = 0; i < n; i++)
                if (k->words && !strv_contains(k->words, all[i]))
                        continue;
                else if (only_names)
                        puts(all[i]);
                else
                        add_context(&g, config, all[i]);
        grid_print(&g, /* widths= */ NULL);
        for (char **name = k->words; name && *name; name++)
                if (!kubeconfig_entry(config, "contexts", *name))
                        code = kctl_error("context %s not found", *name);
        return code;
}

static int print_names(struct kctl *k, const char *list) {
        _cleanup_json_ json_t *config = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ const char **names = NULL;
        size_t n;

        if (kubeconfig_merged(k, &config, &p) < 0)
                return kctl_fail(&p);
        names = names_of(config, list, &n);
        if (!names)
                return kctl_error("out of memory");
        puts("NAME");
        for (size_t i = 0; i < n; i++)
                puts(names[i]);
        return EXIT_OK;
}

int kctl_config_get_clusters(struct kctl *k) {
        return print_names(k, "clusters");
}

int kctl_config_get_users(struct kctl *k) {
        return print_names(k, "users");
}
