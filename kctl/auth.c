/* kctl auth: who we are to the server, and what we may do. */
#include "kctl/formats.h"
#include "kctl/grid.h"
#include "lib/object.h"

static int ask(struct kctl *k, const char *path, const json_t *review, json_t **ret,
                struct problem *p) {
        if (!kctl_client(k))
                return kctl_no_client(p);
        if (!review)
                return -ENOMEM;
        return api_request(k->client, "POST", path, "application/json", review, ret, p);
}

/* "[a b]", as Go prints a list. Caller frees. */
static char *go_list(const json_t *list) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *v;
        size_t i;

        buf_append_char(&b, '[');
        json_array_foreach (list, i, v)
                buf_printf(&b, "%s%s", i > 0 ? " " : "", strempty(json_string_value(v)));
        buf_append_char(&b, ']');
        return buf_take(&b);
}

static int print_user(const json_t *user) {
        _cleanup_free_ char *groups = go_list(json_object_get(user, "groups"));
        _cleanup_grid_ struct grid g = {0};
        const json_t *list;
        const char *key;

        grid_add_texts(&g, (const char *const[]){"ATTRIBUTE", "VALUE"}, 2);
        grid_add_texts(&g, (const char *const[]){"Username", json_str_or(user, "username", "")}, 2);
        if (!isempty(json_str(user, "uid")))
                grid_add_texts(&g, (const char *const[]){"UID", json_str(user, "uid")}, 2);
        if (json_array_size(json_object_get(user, "groups")) > 0)
                grid_add_texts(&g, (const char *const[]){"Groups", groups}, 2);
        json_object_each (json_object_get(user, "extra"), key, list) {
                _cleanup_free_ char *name = strformat("Extra: %s", key), *values = go_list(list);

                grid_add_texts(&g, (const char *const[]){name, values}, 2);
        }
        grid_print(&g, /* widths= */ NULL);
        return 0;
}

int kctl_auth_whoami(struct kctl *k) {
        struct kind_ref kind = kind_ref_of(KIND_SELFSUBJECTREVIEWS);
        _cleanup_json_ json_t *review = json_pack("{s:s, s:s}", "apiVersion",
                                              "authentication.k8s.io/v1", "kind",
                                              "SelfSubjectReview"),
                              *answer = NULL;
        _cleanup_problem_ struct problem p = {0};
        int r;

        if (k->words)
                return kctl_usage(k, "whoami takes no argument (\"%s\")", k->words[0]);
        r = ask(k, "/apis/authentication.k8s.io/v1/selfsubjectreviews", review, &answer, &p);
        if (r < 0)
                return kctl_fail(&p);
        r = k->flags.output ? print_object(k, answer, &kind, &p)
                            : print_user(json_at(answer, "status.userInfo"));
        return r < 0 ? kctl_fail(&p) : EXIT_OK;
}

/* A row of --list. */
struct rule_row {
        char *order;                    /* what kubectl sorts by */
        const char *group, *word, *url; /* a resource of a group, or a path */
        const json_t *names, *verbs;
        char *label;
};

struct rule_rows {
        struct rule_row *items;
        size_t count;
};

static void rule_rows_done(struct rule_rows *rows) {
        for (size_t i = 0; i < rows->count; i++) {
                free(rows->items[i].order);
                free(rows->items[i].label);
        }
        free(rows->items);
}

static int compare_rows(const void *a, const void *b) {
        return strcmp(((const struct rule_row *)a)->order, ((const struct rule_row *)b)->order);
}

/* Takes the label. kubectl sorts by the text that Go makes of a rule. */
static int add_row(struct rule_rows *rows, const struct rule_row *row) {
        struct rule_row *items = reallocarray(rows->items, rows->count + 1, sizeof(*items));
        _cleanup_free_ char *verb_text = go_list(row->verbs), *names = go_list(row->names);

        if (!items) {
                free(row->label);
                return -ENOMEM;
        }
        rows->items = items;
        items[rows->count] = *row;
        items[rows->count].order =
                        strformat("%s,[%s],[%s],%s,[%s]", strempty(verb_text), strempty(row->group),
                                        strempty(row->word), strempty(names), strempty(row->url));
        rows->count++;
        return items[rows->count - 1].order ? 0 : -ENOMEM;
}

/* Every resource of every group of a rule as a row. */
static int add_resource_rule(struct rule_rows *rows, const json_t *rule) {
        const json_t *group, *resource;
        size_t i, j;

        json_array_foreach (json_object_get(rule, "apiGroups"), i, group)
                json_array_foreach (json_object_get(rule, "resources"), j, resource) {
                        struct rule_row row = {.group = strempty(json_string_value(group)),
                                        .word = strempty(json_string_value(resource)),
                                        .names = json_object_get(rule, "resourceNames"),
                                        .verbs = json_object_get(rule, "verbs")};
                        size_t n = strcspn(row.word, "/");
                        int r;

                        row.label = strformat("%.*s%s%s%s", (int)n, row.word, *row.group ? "." : "",
                                        row.group, row.word + n);
                        r = row.label ? add_row(rows, &row) : -ENOMEM;
                        if (r < 0)
                                return r;
                }
        return 0;
}

static int rows_of(const json_t *status, struct rule_rows *rows) {
        const json_t *rule, *url;
        size_t i, j;
        int r;

        json_array_foreach (json_object_get(status, "resourceRules"), i, rule) {
                r = add_resource_rule(rows, rule);
                if (r < 0)
                        return r;
        }
        json_array_foreach (json_object_get(status, "nonResourceRules"), i, rule)
                json_array_foreach (json_object_get(rule, "nonResourceURLs"), j, url) {
                        r = add_row(rows, &(struct rule_row){.url = json_string_value(url),
                                                          .verbs = json_object_get(rule, "verbs")});
                        if (r < 0)
                                return r;
                }
        return 0;
}

static int print_rules(struct kctl *k, const json_t *status) {
        _cleanup_(rule_rows_done) struct rule_rows rows = {0};
        _cleanup_grid_ struct grid g = {0};
        int r = rows_of(status, &rows);

        if (r < 0)
                return r;
        qsort(rows.items, rows.count, sizeof(*rows.items), compare_rows);
        if (!k->flags.no_headers)
                grid_add_texts(&g,
                                (const char *const[]){"Resources", "Non-Resource URLs",
                                                "Resource Names", "Verbs"},
                                4);
        for (size_t i = 0; i < rows.count; i++) {
                const struct rule_row *row = &rows.items[i];
                _cleanup_free_ char *names = go_list(row->names), *verb_text = go_list(row->verbs),
                                    *urls = strformat("[%s]", strempty(row->url));

                grid_add_texts(&g, (const char *const[]){row->label, urls, names, verb_text}, 4);
        }
        grid_print(&g, /* widths= */ NULL);
        return 0;
}

static int list_rules(struct kctl *k) {
        _cleanup_json_ json_t *review = NULL, *answer = NULL;
        _cleanup_problem_ struct problem p = {0};
        int r;

        if (k->words)
                return kctl_usage(k, "--list takes no argument (\"%s\")", k->words[0]);
        if (!kctl_client(k))
                return EXIT_ERROR;
        review = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "authorization.k8s.io/v1", "kind",
                        "SelfSubjectRulesReview", "spec", "namespace", kctl_namespace(k));
        r = ask(k, "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review, &answer, &p);
        if (r < 0)
                return kctl_fail(&p);
        if (json_bool_or(answer, "status.incomplete", false))
                fprintf(stderr, "warning: the list may be incomplete: %s\n",
                                json_str_or(answer, "status.evaluationError", ""));
        r = print_rules(k, json_object_get(answer, "status"));
        return r < 0 ? kctl_fail(&p) : EXIT_OK;
}

/* What is asked for: VERB KIND [NAME], VERB KIND/NAME, or VERB /path. */
static int access_json(struct kctl *k, json_t **ret, struct problem *p) {
        const char *verb = k->words[0], *what = k->words[1], *slash = strchr(what, '/');
        _cleanup_free_ char *word = strndup(what, strcspn(what, "/"));
        struct kind_ref kind = {{"*", "*", "*", "*", true}, "*"};
        int r;

        if (!word)
                return -ENOMEM;
        if (*what == '/') {
                *ret = json_pack("{s:{s:s, s:s}}", "nonResourceAttributes", "path", what, "verb",
                                verb);
                return *ret ? 0 : -ENOMEM;
        }
        r = streq(word, "*") ? 0 : kind_find(k, word, &kind, p);
        if (r < 0)
                return r;
        *ret = json_pack("{s:{s:s, s:s, s:s, s:s, s:s, s:s}}", "resourceAttributes", "verb", verb,
                        "group", kind.resource.group, "resource", kind.resource.plural,
                        "subresource", strempty(k->flags.subresource), "name",
                        k->words[2] ? k->words[2]
                        : slash     ? slash + 1
                                    : "",
                        "namespace",
                        k->flags.all_namespaces || !kind.resource.namespaced ? ""
                                                                             : kctl_namespace(k));
        return *ret ? 0 : -ENOMEM;
}

int kctl_auth_can_i(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *spec = NULL, *review = NULL, *answer = NULL;
        size_t n = strv_length(k->words);

        if (k->flags.list)
                return list_rules(k);
        if (n < 2 || n > 3)
                return kctl_usage(k, "VERB and KIND are needed, or --list");
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (access_json(k, &spec, &p) < 0)
                return kctl_fail(&p);
        review = json_pack("{s:s, s:s, s:O}", "apiVersion", "authorization.k8s.io/v1", "kind",
                        "SelfSubjectAccessReview", "spec", spec);
        if (ask(k, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review, &answer, &p) <
                        0)
                return kctl_fail(&p);
        bool allowed = json_bool_or(answer, "status.allowed", false);
        if (!k->flags.quiet)
                puts(allowed ? "yes" : "no");
        return allowed ? EXIT_OK : EXIT_ERROR;
}
