/* kctl support-bundle: what somebody needs who looks into a fault from afar, in one file that only
 * its owner may read. A machine or kind that does not answer is noted in it, and the rest is
 * collected: a fleet that is asked for this is not well. */
#include <unistd.h>

#include "config.h"
#include "kctl/control.h"
#include "kctl/image.h"
#include "kctl/support.h"
#include "kctl/texts.h"
#include "lib/object.h"
#include "lib/ssh.h"
#include "lib/timefmt.h"

enum { COLLECT_TIMEOUT_S = 300 };
#define SINCE_DEFAULT "24h"
#define CONTROL_CONFIG "/etc/keelson/kapid.yaml"

int support_add(struct support *s, const char *name, const char *text, size_t n,
                struct problem *p) {
        _cleanup_buf_ struct buf clean = {0};

        if (redact_text(s->redactor, text, n, &clean) < 0)
                return problem_set(p, ENOMEM, 0, NULL, "out of memory");
        s->files++;
        return tar_writer_add(s->tar, name, strempty(clean.data), clean.size, p);
}

void support_missing(struct support *s, const char *what, const char *why) {
        fflush(stdout);
        fprintf(stderr, "warning: not collected: %s: %s\n", what, why);
        buf_printf(&s->readme, "not collected: %s: %s\n", what, why);
}

/* --- machines --- */

struct machine_files {
        struct support *support;
        const char *folder; /* "nodes/n1" */
        struct problem *p;
        int failure; /* of writing */
};

static int add_file(const char *name, const char *text, size_t n, void *userdata) {
        struct machine_files *f = userdata;
        _cleanup_free_ char *full = strformat("%s/%s", f->folder, name);

        f->failure = full ? support_add(f->support, full, text, n, f->p) : -ENOMEM;
        return f->failure;
}

/* What the script says on the machine. */
static int collect(struct kctl *k, struct machine *m, struct buf *out, struct problem *p) {
        _cleanup_free_ char *quoted = shell_quote(text_support_sh), *command = NULL;
        uint64_t since;
        int status, r;

        r = parse_duration_us(k->flags.since ? k->flags.since : SINCE_DEFAULT, &since);
        if (r < 0)
                return r;
        command = quoted ? strformat("sh -c %s support -%llus", quoted,
                                           (unsigned long long)(since / 1000000))
                         : NULL;
        if (!command)
                return -ENOMEM;
        r = machine_try(m, command, /* input= */ NULL, 0, COLLECT_TIMEOUT_S, out,
                        /* ret_stderr= */ NULL, &status, p);
        if (r < 0)
                return r;
        return status == 0 ? 0
                           : problem_set(p, EIO, 0, NULL, "the script ended with status %d",
                                             status);
}

/* A failure to write ends the verb. */
static int add_machine(struct support *s, const char *folder, const char *text, size_t n,
                struct problem *p) {
        struct machine_files f = {.support = s, .folder = folder, .p = p};

        s->machines++;
        if (support_each_file(text, n, add_file, &f) < 0 && f.failure == 0)
                support_missing(s, folder, "its answer is not whole");
        return f.failure;
}

/* One that the API lists (c), or that was named (where; NULL: this machine). */
static int add_control(
                struct support *s, const struct control *c, const char *where, struct problem *p) {
        const char *name = c ? c->name : where;
        _cleanup_free_ char *folder = strformat("control/%s", name ? name : "here");
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_problem_ struct problem why = {0};
        _cleanup_buf_ struct buf out = {0};
        int r = -ENOMEM;

        if (folder)
                r = c ? control_open(s->k, c, &m, &why)
                      : machine_open(&m, s->k, where, /* host_key= */ NULL, &why);
        if (r >= 0) {
                printf("Collecting from %s\n", machine_name(m));
                fflush(stdout);
                r = collect(s->k, m, &out, &why);
        }
        if (r < 0)
                support_missing(s, name ? name : "this machine",
                                why.message ? why.message : strerror(-r));
        return out.size > 0 ? add_machine(s, folder, out.data, out.size, p) : 0;
}

/* Those that were named, else those that the API lists, else this machine if it is one. */
static int add_controls(struct support *s, struct problem *p) {
        char *const *list = s->k->flags.control;
        _cleanup_controls_ struct controls c = {0};
        _cleanup_problem_ struct problem why = {0};
        int r = 0;

        for (size_t i = 0; r >= 0 && i < strv_length(s->k->flags.control); i++)
                r = add_control(s, /* c= */ NULL, list[i], p);
        if (r < 0 || list)
                return r;
        if (controls_read(s->k, &c, &why) < 0)
                support_missing(s, "the list of the control plane's machines",
                                strempty(why.message));
        for (size_t i = 0; r >= 0 && i < c.count; i++)
                r = add_control(s, &c.items[i], /* where= */ NULL, p);
        if (r < 0 || c.count > 0)
                return r;
        if (geteuid() == 0 && access(CONTROL_CONFIG, R_OK) == 0)
                return add_control(s, /* c= */ NULL, /* where= */ NULL, p);
        support_missing(s, "the control plane's machines",
                        "name them with --control USER@HOST, or run this there as root");
        return 0;
}

static int on_node(struct image_node *n, const void *userdata, struct problem *p) {
        _cleanup_buf_ struct buf out = {0};
        int r = collect(n->k, n->machine, &out, p);

        if (out.size > 0 && write(n->file, out.data, out.size) != (ssize_t)out.size)
                return -EIO;
        return r;
}

struct node_results {
        struct support *support;
        struct problem *p;
        int failure;
};

static void on_result(const char *node, const char *text, size_t n, void *userdata) {
        struct node_results *x = userdata;
        _cleanup_free_ char *folder = strformat("nodes/%s", node);

        if (x->failure < 0)
                return;
        if (n == 0)
                support_missing(x->support, node, "the machine gave no answer");
        else
                x->failure = folder ? add_machine(x->support, folder, text, n, x->p) : -ENOMEM;
}

static int add_nodes(struct support *s, struct problem *p) {
        struct node_results results = {.support = s, .p = p};
        _cleanup_problem_ struct problem why = {0};
        _cleanup_json_ json_t *nodes = NULL;
        int r = image_nodes(s->k, /* from= */ strv_length(s->k->words), /* default_all= */ true,
                        &nodes, &why);

        if (r < 0) {
                support_missing(s, "the nodes", strempty(why.message));
                return 0;
        }
        printf("Collecting from %zu nodes\n", json_array_size(nodes));
        /* Its messages name the nodes that fail. */
        (void)image_on_nodes(s->k, nodes, on_node, /* userdata= */ NULL, on_result, &results);
        return results.failure;
}

/* --- the verb --- */

static int add_readme(struct support *s, struct problem *p) {
        char now[TIMEFMT_SIZE];
        _cleanup_buf_ struct buf b = {0};

        buf_printf(&b,
                        "A support bundle of a keelson fleet, made at %s by kctl %s, which asked %s.\n"
                        "\n"
                        "api/       what the API says of itself\n"
                        "objects/   every object of the API\n"
                        "control/   of each machine of the control plane\n"
                        "nodes/     of each node: state, configuration, journals, metrics\n"
                        "\n"
                        "Removed are: the data of Secrets and ConfigMaps, and the values of Secrets "
                        "wherever they\nstand; the values of environment variables and headers; "
                        "private keys, tokens, and what follows\na name such as password=. Look "
                        "through it before you pass it on all the same.\n\n%s",
                        time_format(now_wall_us(), now), PACKAGE_VERSION,
                        api_client_server(s->k->client), strempty(s->readme.data));
        return b.failed ? -ENOMEM : tar_writer_add(s->tar, "README.txt", b.data, b.size, p);
}

static int fill(struct support *s, struct problem *p) {
        int (*const steps[])(struct support * s, struct problem * p) = {
                        support_read_secrets, support_add_api, add_controls, add_nodes, add_readme};

        for (size_t i = 0; i < ELEMENTS(steps); i++) {
                int r = steps[i](s, p);

                if (r < 0)
                        return r;
        }
        return tar_writer_finish(s->tar, p);
}

static char *default_name(void) {
        char now[TIMEFMT_SIZE];
        char *name = strformat("keelson-support-%s.tar.gz", time_format(now_wall_us(), now));

        for (char *c = name; c && *c; c++)
                if (*c == ':')
                        *c = '-';
        return name;
}

/* The folder in the archive: the file's name without what follows its first dot. */
static char *folder_of(const char *path) {
        const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
        size_t n = strcspn(base, ".");

        return n > 0 ? strndup(base, n) : strdup("keelson-support");
}

int kctl_support_bundle(struct kctl *k) {
        _cleanup_(redactor_freep) struct redactor *redactor = redactor_new();
        _cleanup_(tar_writer_freep) struct tar_writer *tar = NULL;
        _cleanup_free_ char *path = k->words ? strdup(k->words[0]) : default_name(),
                            *folder = path ? folder_of(path) : NULL;
        _cleanup_problem_ struct problem p = {0};
        struct support s = {.k = k, .redactor = redactor};
        uint64_t since;
        int r;

        if (strv_length(k->words) > 1)
                return kctl_usage(k, "name one file, or none");
        if (k->flags.since && parse_duration_us(k->flags.since, &since) < 0)
                return kctl_usage(k, "--since %s is not a duration such as 24h", k->flags.since);
        if (!redactor || !folder)
                return kctl_error("out of memory");
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (tar_writer_new(&tar, path, folder, &p) < 0)
                return kctl_fail(&p);
        s.tar = tar;
        r = fill(&s, &p);
        buf_done(&s.readme);
        if (r < 0)
                return kctl_fail(&p);
        printf("%s: %zu files, %zu machines. Secrets are removed as its README.txt says; look "
               "through it before you pass it on.\n",
                        path, s.files, s.machines);
        return EXIT_OK;
}
