/* kctl node run: a command on nodes, over SSH, at the same time. What each prints is kept together,
 * in the order in which the nodes were given. */
#include "kctl/crew.h"
#include "kctl/image.h"
#include "kctl/node-run.h"
#include "lib/object.h"

enum {
        RUN_TIMEOUT_S = 600,
        RUN_TIMEOUT_MAX_S = 86400,
        OUTPUT_MAX = 16 << 20, /* of a node, each of its two */
        CODE_UNREACHABLE = 255 /* as ssh */
};

struct node_output {
        struct buf text[2]; /* standard output, error */
        int code;
        bool ended;
};

struct running {
        struct kctl *k;
        json_t *nodes;
        char *command;
        struct node_output *outputs;
        size_t printed; /* nodes whose output was shown */
};

static int run_on(struct running *g, const json_t *node, struct buf *out, struct buf *err,
                int *ret_status, struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        uint64_t seconds = MIN(g->k->flags.timeout_us / 1000000, (uint64_t)RUN_TIMEOUT_MAX_S);
        int r = machine_open_node(&m, g->k, node, p);

        if (r < 0)
                return r;
        return machine_try(m, g->command, /* input= */ NULL, 0,
                        seconds ? (unsigned)seconds : RUN_TIMEOUT_S, out, err, ret_status, p);
}

/* In the node's process. */
static int on_job(size_t i, void *userdata) {
        struct running *g = userdata;
        const json_t *node = json_array_get(g->nodes, i);
        _cleanup_buf_ struct buf out = {0}, err = {0};
        _cleanup_problem_ struct problem p = {0};
        int status = 0, r = run_on(g, node, &out, &err, &status, &p);

        fwrite(strempty(out.data), 1, out.size, stdout);
        fflush(stdout);
        fwrite(strempty(err.data), 1, err.size, stderr);
        if (r < 0) {
                fprintf(stderr, "error: %s: %s\n", object_name(node),
                                p.message ? p.message : strerror(-r));
                return CODE_UNREACHABLE;
        }
        return status;
}

static void on_line(size_t i, bool is_stderr, const char *line, void *userdata) {
        struct buf *b = &((struct running *)userdata)->outputs[i].text[is_stderr];

        if (b->size < OUTPUT_MAX)
                (void)buf_printf(b, "%s\n", line);
}

static void print_node(struct running *g, size_t i) {
        const struct node_output *o = &g->outputs[i];

        if (json_array_size(g->nodes) > 1) {
                printf("--- %s", object_name(json_array_get(g->nodes, i)));
                if (o->code != 0)
                        printf(" (exit code %i)", o->code);
                putchar('\n');
        }
        fputs(strempty(o->text[0].data), stdout);
        fflush(stdout);
        fputs(strempty(o->text[1].data), stderr);
}

static void on_end(size_t i, int code, void *userdata) {
        struct running *g = userdata;

        g->outputs[i].code = code;
        g->outputs[i].ended = true;
        while (!g->k->flags.output && g->printed < json_array_size(g->nodes) &&
                        g->outputs[g->printed].ended)
                print_node(g, g->printed++);
}

static int print_json(const struct running *g) {
        _cleanup_json_ json_t *list = json_array();
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; i < json_array_size(g->nodes); i++) {
                const struct node_output *o = &g->outputs[i];

                if (json_array_append_new(list,
                                    json_pack("{s:s, s:i, s:s%, s:s%}", "node",
                                                    object_name(json_array_get(g->nodes, i)),
                                                    "exitCode", o->code, "stdout",
                                                    strempty(o->text[0].data), o->text[0].size,
                                                    "stderr", strempty(o->text[1].data),
                                                    o->text[1].size)) < 0)
                        return kctl_error("the output of %s is not text (UTF-8): without -o json "
                                          "it is shown",
                                        object_name(json_array_get(g->nodes, i)));
        }
        text = json_text_pretty(list);
        if (!text)
                return kctl_error("out of memory");
        puts(text);
        return EXIT_OK;
}

static int run_all(struct running *g, struct problem *p) {
        size_t n = json_array_size(g->nodes);
        _cleanup_free_ int *codes = calloc(n + 1, sizeof(*codes));
        const struct crew crew = {.count = n,
                        .job = on_job,
                        .on_line = on_line,
                        .on_end = on_end,
                        .userdata = g};
        int r;

        g->outputs = calloc(n + 1, sizeof(*g->outputs));
        if (!g->outputs || !codes)
                return -ENOMEM;
        r = crew_run(&crew, p);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                codes[i] = g->outputs[i].code;
        if (g->k->flags.output && print_json(g) != EXIT_OK)
                return EXIT_ERROR;
        return node_run_code(codes, n);
}

static void running_done(struct running *g) {
        for (size_t i = 0; g->outputs && i < json_array_size(g->nodes); i++) {
                buf_done(&g->outputs[i].text[0]);
                buf_done(&g->outputs[i].text[1]);
        }
        free(g->outputs);
        free(g->command);
        json_decref(g->nodes);
}

int kctl_node_run(struct kctl *k) {
        _cleanup_(running_done) struct running g = {.k = k};
        _cleanup_problem_ struct problem p = {0};
        size_t words = strv_length(k->words);
        int r;

        if (k->word_count == words)
                return kctl_usage(k, "which command? It stands after \"--\": kctl node run n1 n2 "
                                     "-- uptime");
        if (k->flags.output && !streq(k->flags.output, "json"))
                return kctl_usage(k, "--output %s: only json is possible here", k->flags.output);
        g.command = node_run_command(k->words + k->word_count);
        if (!g.command)
                return kctl_error("out of memory");
        for (size_t i = k->word_count; i < words; i++)
                k->words[i] = mfree(k->words[i]);
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (image_nodes(k, 0, /* default_all= */ false, &g.nodes, &p) < 0)
                return kctl_fail(&p);
        r = run_all(&g, &p);
        return r < 0 ? kctl_fail(&p) : r;
}
