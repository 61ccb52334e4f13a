/* kctl top: what nodes and pods use, as metrics.k8s.io says; printed as kubectl does. */
#include "kctl/kctl.h"
#include "lib/object.h"
#include "lib/quantity.h"
#include "lib/vector.h"

enum { CELLS_MAX = 6, CELL_SIZE = 24, GAP = 3, MI = 1024 * 1024 };

/* A line: names, which are borrowed, then amounts. */
struct line {
        const char *ns, *pod, *name;
        int64_t cpu, memory;       /* thousandths, bytes; negative: not known */
        int64_t cpu_of, memory_of; /* what there is; 0: not known */
};

struct lines {
        VECTOR(struct line) all;
        bool with_ns, with_pod, with_share;
};

/* --- reading --- */

static void add_usage(struct line *l, const json_t *usage) {
        int64_t cpu, memory;

        if (quantity_parse_milli(json_object_get(usage, "cpu"), &cpu) == 0)
                l->cpu += cpu;
        if (quantity_parse_units(json_object_get(usage, "memory"), &memory) == 0)
                l->memory += memory;
}

static int add_pod(struct lines *ls, const json_t *metrics, bool containers) {
        struct line pod = {.ns = object_namespace(metrics), .name = object_name(metrics)};
        const json_t *c;
        size_t i;

        json_array_foreach (json_object_get(metrics, "containers"), i, c) {
                struct line one = {
                                .ns = pod.ns, .pod = pod.name, .name = json_str_or(c, "name", "")};
                int r;

                add_usage(containers ? &one : &pod, json_object_get(c, "usage"));
                r = containers ? vector_append(&ls->all, one) : 0;
                if (r < 0)
                        return r;
        }
        return containers ? 0 : vector_append(&ls->all, pod);
}

/* A list, or the one object of that name as one. */
static int read_kind(struct kctl *k, enum kind_id kind, const char *ns, const char *name,
                json_t **ret, struct problem *p) {
        _cleanup_free_ char *query = name ? NULL : selector_query(k, NULL), *path = NULL;
        _cleanup_json_ json_t *v = NULL;
        int r;

        path = api_path(api_resource(kind), ns, name, NULL, isempty(query) ? NULL : query);
        r = path ? api_get(k->client, path, &v, p) : -ENOMEM;
        if (r < 0)
                return r;
        *ret = name ? json_pack("{s:[O]}", "items", v) : TAKE_PTR(v);
        return *ret ? 0 : -ENOMEM;
}

/* --- printing --- */

static int by_name(const void *a, const void *b) {
        const struct line *x = a, *y = b;
        int ns = strcmp(strempty(x->ns), strempty(y->ns)),
            pod = strcmp(strempty(x->pod), strempty(y->pod));

        return ns ? ns : pod ? pod : strcmp(x->name, y->name);
}

static int by_cpu(const void *a, const void *b) {
        const struct line *x = a, *y = b;

        return x->cpu != y->cpu ? (x->cpu < y->cpu ? 1 : -1) : by_name(a, b);
}

static int by_memory(const void *a, const void *b) {
        const struct line *x = a, *y = b;

        return x->memory != y->memory ? (x->memory < y->memory ? 1 : -1) : by_name(a, b);
}

static void share(char cell[static CELL_SIZE], int64_t used, int64_t of) {
        if (used < 0 || of <= 0)
                snprintf(cell, CELL_SIZE, "<unknown>");
        else
                snprintf(cell, CELL_SIZE, "%lld%%", (long long)((double)used / (double)of * 100));
}

/* The cells of a line; those of names are not copied. The number of cells. */
static size_t cells_of(const struct lines *ls, const struct line *l,
                char amounts[static CELLS_MAX][CELL_SIZE], const char *ret[static CELLS_MAX + 1]) {
        size_t n = 0, a = 0;

        if (ls->with_ns)
                ret[n++] = l->ns;
        if (ls->with_pod)
                ret[n++] = l->pod;
        ret[n++] = l->name;
        snprintf(amounts[a], CELL_SIZE, l->cpu < 0 ? "<unknown>" : "%lldm", (long long)l->cpu);
        ret[n++] = amounts[a++];
        if (ls->with_share) {
                share(amounts[a], l->cpu, l->cpu_of);
                ret[n++] = amounts[a++];
        }
        snprintf(amounts[a], CELL_SIZE, l->memory < 0 ? "<unknown>" : "%lldMi",
                        (long long)(l->memory / MI));
        ret[n++] = amounts[a++];
        if (ls->with_share) {
                share(amounts[a], l->memory, l->memory_of);
                ret[n++] = amounts[a++];
        }
        return n;
}

static size_t titles_of(const struct lines *ls, const char *ret[static CELLS_MAX + 1]) {
        size_t n = 0;

        if (ls->with_ns)
                ret[n++] = "NAMESPACE";
        if (ls->with_pod)
                ret[n++] = "POD";
        ret[n++] = "NAME";
        ret[n++] = "CPU(cores)";
        if (ls->with_share)
                ret[n++] = "CPU(%)";
        ret[n++] = "MEMORY(bytes)";
        if (ls->with_share)
                ret[n++] = "MEMORY(%)";
        return n;
}

static void print_cells(const char *const *cells, size_t n, const size_t *widths) {
        for (size_t i = 0; i < n; i++)
                printf("%-*s%*s", (int)widths[i], cells[i], GAP, "");
        putchar('\n');
}

static void print_lines(struct kctl *k, const struct lines *ls) {
        const char *cells[CELLS_MAX + 1], *titles[CELLS_MAX + 1];
        char amounts[CELLS_MAX][CELL_SIZE];
        size_t widths[CELLS_MAX + 1] = {0}, n = titles_of(ls, titles);

        for (size_t i = 0; i < n && !k->flags.no_headers; i++)
                widths[i] = strlen(titles[i]);
        for (size_t i = 0; i < ls->all.count; i++) {
                (void)cells_of(ls, &ls->all.items[i], amounts, cells);
                for (size_t c = 0; c < n; c++)
                        widths[c] = MAX(widths[c], strlen(cells[c]));
        }
        if (!k->flags.no_headers)
                print_cells(titles, n, widths);
        for (size_t i = 0; i < ls->all.count; i++) {
                (void)cells_of(ls, &ls->all.items[i], amounts, cells);
                print_cells(cells, n, widths);
        }
}

static int sort_and_print(struct kctl *k, struct lines *ls, const char *none) {
        const char *by = strempty(k->flags.sort_by);

        if (*by && !streq(by, "cpu") && !streq(by, "memory"))
                return kctl_error("--sort-by accepts only cpu or memory");
        if (ls->all.count == 0) {
                fprintf(stderr, "%s\n", none);
                return EXIT_OK;
        }
        qsort(ls->all.items, ls->all.count, sizeof(*ls->all.items),
                        streq(by, "cpu")      ? by_cpu
                        : streq(by, "memory") ? by_memory
                                              : by_name);
        print_lines(k, ls);
        return EXIT_OK;
}

/* --- the verbs --- */

static int one_name(struct kctl *k, const char **ret) {
        if (strv_length(k->words) > 1)
                return kctl_usage(k, "one name, or none for all");
        *ret = strv_length(k->words) == 1 ? k->words[0] : NULL;
        if (*ret && k->flags.selector)
                return kctl_error("a name and --selector cannot be used together");
        return EXIT_OK;
}

int kctl_top_pod(struct kctl *k) {
        const char *name, *ns;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *list = NULL;
        _cleanup_free_ char *none = NULL;
        struct lines ls = {.with_ns = k->flags.all_namespaces, .with_pod = k->flags.containers};
        const json_t *v;
        size_t i;
        int r = one_name(k, &name);

        if (r != EXIT_OK)
                return r;
        if (!kctl_client(k))
                return EXIT_ERROR;
        ns = k->flags.all_namespaces ? NULL : kctl_namespace(k);
        if (read_kind(k, KIND_METRICS_PODS, ns, name, &list, &p) < 0)
                return kctl_fail(&p);
        json_array_foreach (json_object_get(list, "items"), i, v)
                if (add_pod(&ls, v, k->flags.containers) < 0)
                        return kctl_error("out of memory");
        none = ns ? strformat("No resources found in %s namespace.", ns)
                  : strdup("No resources found");
        r = sort_and_print(k, &ls, strempty(none));
        vector_done(&ls.all);
        return r;
}

static const json_t *find_named(const json_t *list, const char *name) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(list, "items"), i, v)
                if (streq(object_name(v), name))
                        return v;
        return NULL;
}

/* A node has a line even without a report. */
static int add_node(struct lines *ls, const json_t *node, const json_t *metrics) {
        struct line l = {.name = object_name(node),
                        .cpu = metrics ? 0 : -1,
                        .memory = metrics ? 0 : -1};

        if (metrics)
                add_usage(&l, json_object_get(metrics, "usage"));
        (void)quantity_parse_milli(json_at(node, "status.allocatable.cpu"), &l.cpu_of);
        (void)quantity_parse_units(json_at(node, "status.allocatable.memory"), &l.memory_of);
        return vector_append(&ls->all, l);
}

int kctl_top_node(struct kctl *k) {
        _cleanup_json_ json_t *nodes = NULL, *metrics = NULL;
        _cleanup_problem_ struct problem p = {0};
        struct lines ls = {.with_share = true};
        const char *name;
        const json_t *v;
        size_t i;
        int r = one_name(k, &name);

        if (r != EXIT_OK)
                return r;
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (read_kind(k, KIND_NODES, NULL, name, &nodes, &p) < 0 ||
                        read_kind(k, KIND_METRICS_NODES, NULL, name, &metrics, &p) < 0)
                return kctl_fail(&p);
        json_array_foreach (json_object_get(nodes, "items"), i, v)
                if (add_node(&ls, v, find_named(metrics, object_name(v))) < 0)
                        return kctl_error("out of memory");
        r = sort_and_print(k, &ls, "No resources found");
        vector_done(&ls.all);
        return r;
}
