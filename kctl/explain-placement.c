/* kctl explain-placement: why a pod is on its node or on none. It reads the cluster from the API
 * and runs the scheduler's own code over it (lib/sched/), so the scheduler needs no port of its
 * own. A pod that is placed is judged as if it were not. */
#include "kctl/kctl.h"
#include "lib/buf.h"
#include "lib/object.h"
#include "lib/sched/sched.h"

enum { NAME_COLUMN = 24 };

/* --- reading the cluster --- */

static void put_node(struct sched_cluster *c, const json_t *o) {
        (void)sched_cluster_put_node(c, o);
}
static void put_pod(struct sched_cluster *c, const json_t *o) {
        (void)sched_cluster_put_pod(c, o);
}
static void put_namespace(struct sched_cluster *c, const json_t *o) {
        (void)sched_cluster_put_namespace(c, o);
}
static void put_claim(struct sched_cluster *c, const json_t *o) {
        (void)sched_cluster_put_claim(c, o);
}
static void put_volume(struct sched_cluster *c, const json_t *o) {
        (void)sched_cluster_put_volume(c, o);
}
static void put_storage_class(struct sched_cluster *c, const json_t *o) {
        (void)sched_cluster_put_storage_class(c, o);
}

static const struct {
        enum kind_id kind;
        void (*put)(struct sched_cluster *c, const json_t *o);
} read_kinds[] = {
                {KIND_NODES, put_node},
                {KIND_PODS, put_pod},
                {KIND_NAMESPACES, put_namespace},
                {KIND_PERSISTENTVOLUMECLAIMS, put_claim},
                {KIND_PERSISTENTVOLUMES, put_volume},
                {KIND_STORAGECLASSES, put_storage_class},
};

static int read_kind(struct kctl *k, struct sched_cluster *c, size_t i, struct problem *p) {
        _cleanup_free_ char *path =
                        api_path(api_resource(read_kinds[i].kind), NULL, NULL, NULL, NULL);
        _cleanup_json_ json_t *list = NULL;
        const json_t *o;
        size_t n;
        int r;

        if (!path)
                return -ENOMEM;
        r = api_get(k->client, path, &list, p);
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(list, "items"), n, o)
                read_kinds[i].put(c, o);
        return 0;
}

/* --- printing --- */

static void print_refused(const json_t *refused) {
        const json_t *row, *reason;
        size_t i, n;

        if (json_array_size(refused) == 0)
                return;
        printf("\nNodes that are refused:\n  %-*s %-20s %s\n", NAME_COLUMN, "NODE", "PLUGIN",
                        "REASON");
        json_array_foreach (refused, i, row) {
                _cleanup_buf_ struct buf b = {0};

                json_array_foreach (json_object_get(row, "reasons"), n, reason)
                        (void)buf_printf(&b, "%s%s", n > 0 ? ", " : "",
                                        strempty(json_string_value(reason)));
                printf("  %-*s %-20s ", NAME_COLUMN, json_str_or(row, "node", ""),
                                json_str_or(row, "plugin", ""));
                print_outside(strempty(b.data), NAME_COLUMN + 24);
        }
}

static bool has_column(const json_t *scores, const char *plugin) {
        const json_t *row;
        size_t i;

        json_array_foreach (scores, i, row)
                if (json_int_or(json_get(row, "plugins", plugin, NULL), "score", 0) != 0)
                        return true;
        return false;
}

/* A column for each plugin that gives any node something: score times weight. */
static void print_scores(const json_t *scores) {
        const json_t *row, *first = json_array_get(scores, 0);
        const char *plugin;
        json_t *v;
        size_t i;

        if (!first)
                return;
        printf("\nNodes that fit, the best first (score x weight):\n  %-*s %6s", NAME_COLUMN,
                        "NODE", "TOTAL");
        json_object_each (json_object_get(first, "plugins"), plugin, v)
                if (has_column(scores, plugin))
                        printf("  %s", plugin);
        putchar('\n');
        json_array_foreach (scores, i, row) {
                printf("  %-*s %6lld", NAME_COLUMN, json_str_or(row, "node", ""),
                                (long long)json_int_or(row, "total", 0));
                json_object_each (json_object_get(row, "plugins"), plugin, v) {
                        char cell[48];

                        if (!has_column(scores, plugin))
                                continue;
                        (void)snprintf(cell, sizeof(cell), "%lld x %lld",
                                        (long long)json_int_or(v, "score", 0),
                                        (long long)json_int_or(v, "weight", 0));
                        printf("  %*s", (int)strlen(plugin), cell);
                }
                putchar('\n');
        }
}

static void print_table_of(const json_t *pod, const json_t *table) {
        const char *on = json_str_or(pod, "spec.nodeName", "");
        const char *node = json_str(table, "node"), *advice = json_str_or(table, "advice", "");

        printf("%-*s%s/%s\n", NAME_COLUMN, "Pod:", object_namespace(pod), object_name(pod));
        printf("%-*s%s\n", NAME_COLUMN, "Node:", *on ? on : "<none>");
        if (node)
                printf("%-*s%s\n", NAME_COLUMN, "Now it would go to:", node);
        else {
                printf("%-*s", NAME_COLUMN, "Message:");
                print_outside(json_str_or(table, "message", ""), NAME_COLUMN);
        }
        if (*advice) {
                printf("%-*s", NAME_COLUMN, "What would help:");
                print_outside(advice, NAME_COLUMN);
        }
        print_scores(json_object_get(table, "scores"));
        print_refused(json_object_get(table, "refused"));
}

/* --- the verb --- */

/* The pod as it was before it got its node. */
static json_t *without_node(const json_t *pod) {
        json_t *copy = json_deep_copy(pod);

        if (copy)
                json_del_at(copy, "spec.nodeName");
        return copy;
}

static int add_profile(struct sched_cluster *c, const json_t *pod, const struct sched_profile **ret,
                struct problem *p) {
        const char *name = json_str_or(pod, "spec.schedulerName", "default-scheduler");
        _cleanup_json_ json_t *only = json_pack("{s:s}", "schedulerName", name);

        return only ? sched_profile_add(c, only, ret, p) : -ENOMEM;
}

static int explain(struct kctl *k, const struct target *t, struct problem *p) {
        _cleanup_(sched_cluster_freep) struct sched_cluster *c = sched_cluster_new();
        _cleanup_json_ json_t *pod = NULL, *pending = NULL, *table = NULL;
        _cleanup_free_ char *path = target_path(t, NULL, NULL);
        const struct sched_profile *profile;
        struct sched_pod *read;
        int r = path ? api_get(k->client, path, &pod, p) : -ENOMEM;

        if (r < 0)
                return r;
        r = add_profile(c, pod, &profile, p);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTS(read_kinds); i++) {
                r = read_kind(k, c, i, p);
                if (r < 0)
                        return r;
        }
        pending = without_node(pod);
        if (!pending)
                return -ENOMEM;
        sched_cluster_forget(c, object_uid(pod));
        read = sched_pod_new(c, profile, pending);
        table = sched_explain(c, read);
        sched_pod_free(c, read);
        if (k->flags.output)
                return print_object(k, table, &t->kind, p);
        print_table_of(pod, table);
        return 0;
}

int kctl_explain_placement(struct kctl *k) {
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        char **own = k->words;
        int code = EXIT_OK, r;

        if (strv_length(own) == 0)
                return kctl_usage(k, "which pod? kctl get pods lists them");
        if (strv_extend(&words, api_resource(KIND_PODS)->plural) < 0)
                return kctl_error("out of memory");
        for (char **w = own; *w; w++)
                if (strv_extend(&words, startswith(*w, "pod/") ? *w + 4 : *w) < 0)
                        return kctl_error("out of memory");
        k->words = words;
        r = targets_resolve(k, 0, &t, &p);
        k->words = own;
        if (r < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++) {
                if (i > 0)
                        putchar('\n');
                if (explain(k, &t.items[i], &p) < 0)
                        code = kctl_fail(&p);
        }
        return code;
}
