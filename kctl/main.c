/* kctl: the table of verbs, finding the one that is meant, and its flags. */
#include <stdarg.h>

#include "kctl/kctl.h"
#include "lib/log.h"

#include "config.h"

#define FLAGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* clang-format off */
const struct verb verbs[] = {
        { "get", "KIND[,KIND...] [NAME...] | KIND/NAME...", "Show objects",
          FLAGS("all-namespaces", "output", "selector", "field-selector", "sort-by", "watch", "watch-only", "no-headers", "show-labels", "ignore-not-found", "filename"), verb_get, "objects" },
        { "describe", "KIND [NAME...] | KIND/NAME...", "Show objects in full, with their events", FLAGS("all-namespaces", "selector"), verb_describe, "objects" },
        { "apply", "-f FILE...", "Make objects as the files say (server-side apply)", FLAGS("filename", "dry-run", "force-conflicts", "field-manager", "output"), verb_apply, "files" },
        { "delete", "KIND NAME... | KIND/NAME... | -f FILE...", "Remove objects",
          FLAGS("filename", "selector", "field-selector", "all", "all-namespaces", "cascade", "force", "grace-period", "now", "wait", "timeout", "ignore-not-found", "dry-run", "output"), verb_delete, "objects" },
        { "logs", "POD | KIND/NAME", "Show what containers wrote",
          FLAGS("container", "follow", "previous", "tail", "since", "since-time", "timestamps", "limit-bytes", "selector", "prefix"), verb_logs, "pods" },
        { "scale", "KIND NAME... --replicas N", "Set how many replicas run", FLAGS("replicas", "current-replicas", "dry-run"), verb_scale, "objects" },
        { "rollout status", "KIND/NAME", "Wait until a rollout is done", FLAGS("timeout", "watch"), verb_rollout_status, "objects" },
        { "rollout history", "KIND/NAME", "Show the revisions of a rollout", NULL, verb_rollout_history, "objects" },
        { "rollout undo", "KIND/NAME", "Go back to an earlier revision", FLAGS("to-revision", "dry-run"), verb_rollout_undo, "objects" },
        { "rollout restart", "KIND/NAME...", "Replace every pod, one after another", NULL, verb_rollout_restart, "objects" },
        { "rollout pause", "KIND/NAME...", "Hold a rollout", NULL, verb_rollout_pause, "objects" },
        { "rollout resume", "KIND/NAME...", "Go on with a held rollout", NULL, verb_rollout_resume, "objects" },
        { "cordon", "NODE...", "Let no new pods come to nodes", FLAGS("selector"), verb_cordon, "nodes" },
        { "uncordon", "NODE...", "Let pods come to nodes again", FLAGS("selector"), verb_uncordon, "nodes" },
        { "drain", "NODE...", "Move the pods of nodes elsewhere",
          FLAGS("selector", "force", "grace-period", "timeout", "ignore-daemonsets", "delete-emptydir-data", "disable-eviction"), verb_drain, "nodes" },
        { "label", "KIND NAME KEY=VALUE... KEY-...", "Set and remove labels", FLAGS("overwrite", "all", "selector", "all-namespaces", "dry-run"), verb_label, "objects" },
        { "annotate", "KIND NAME KEY=VALUE... KEY-...", "Set and remove annotations", FLAGS("overwrite", "all", "selector", "all-namespaces", "dry-run"), verb_annotate, "objects" },
        { "taint", "NODE... KEY[=VALUE]:EFFECT... KEY[:EFFECT]-...", "Keep pods off nodes that do not tolerate it, and undo that", FLAGS("overwrite", "all", "selector", "dry-run"), verb_taint, "nodes" },
        { "sync now", "NAME...", "Fetch and apply a GitSync now, and wait for it", FLAGS("timeout", "wait"), verb_sync_now, "gitsyncs" },
        { "sync suspend", "NAME...", "Stop syncing from Git", FLAGS("reason"), verb_sync_suspend, "gitsyncs" },
        { "sync resume", "NAME...", "Go on syncing from Git", NULL, verb_sync_resume, "gitsyncs" },
        { "sync", "[NAME...]", "Show what Git says and what is", FLAGS("all-namespaces"), verb_sync, "gitsyncs" },
        { "explain", "KIND[.FIELD...]", "Explain the fields of a kind", FLAGS("recursive"), verb_explain, "kinds" },
        { "events", "", "Show events, oldest first", FLAGS("all-namespaces", "watch", "field-selector"), verb_events, NULL },
        { "wait", "KIND NAME... --for WHAT", "Wait for a condition", FLAGS("for", "timeout", "selector", "all", "all-namespaces"), verb_wait, "objects" },
        { "api-resources", "", "List the kinds that the server knows", FLAGS("api-group", "no-headers"), verb_api_resources, NULL },
        { "auth can-i", "VERB KIND [NAME]", "Ask whether something is allowed", FLAGS("all-namespaces"), verb_auth_can_i, "kinds" },
        { "dev", "--dir DIR [--port N]", "Run a control plane in the foreground, without root, systemd or nodes", FLAGS("dir", "port"), verb_dev, NULL },
        { "up", "[--control USER@HOST]", "Make a machine a control plane",
          FLAGS("control", "identity", "port", "advertise-address", "service-cluster-ip-range", "cluster-cidr", "accept-new-host-key", "timeout"), verb_up, NULL },
        { "node join", "USER@HOST...", "Join machines as nodes, over SSH", FLAGS("identity", "name", "accept-new-host-key", "control-plane-taint", "timeout"), verb_node_join, NULL },
        { "node remove", "NODE...", "Undo a join: remove the agent and the node", FLAGS("identity", "force", "yes", "timeout"), verb_node_remove, "nodes" },
        { "down", "[--control USER@HOST]", "Undo `kctl up`: stop the control plane and remove its state", FLAGS("control", "identity", "yes"), verb_down, NULL },
        { "backup", "FILE", "Copy the store into a file, and read it again to be sure", FLAGS("control", "identity", "dir", "store", "output", "timeout"), verb_backup, "files" },
        { "restore", "FILE", "Put a backup in the place of the store", FLAGS("control", "identity", "dir", "force", "other-cluster", "output", "timeout"), verb_restore, "files" },
        { "version", "", "Show the versions of kctl and the server", FLAGS("client", "output"), verb_version, NULL },
        { "completion", "bash|zsh|fish", "Print a completion script for a shell", NULL, verb_completion, NULL },
        { "__complete", "WORD...", NULL, NULL, verb_complete, NULL },
        { "man", "", NULL, NULL, verb_man, NULL },
        { NULL },
};
/* clang-format on */

static const char *const common_flags[] = {"kubeconfig", "context", "namespace", NULL};

static const struct option_row *flag_find(const char *name) {
        for (size_t i = 0; i < flag_row_count; i++)
                if (streq(flag_rows[i].name, name))
                        return &flag_rows[i];
        return NULL;
}

int kctl_error(const char *fmt, ...) {
        va_list ap;

        fflush(stdout);
        fputs("error: ", stderr);
        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
        fputc('\n', stderr);
        return EXIT_ERROR;
}

int kctl_usage(struct kctl *k, const char *fmt, ...) {
        va_list ap;

        fputs("error: ", stderr);
        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
        fprintf(stderr, "\nusage: kctl %s %s\n", k->verb->name, k->verb->usage);
        return EXIT_USAGE;
}

int kctl_fail(const struct problem *p) {
        fflush(stdout);
        if (p->code && p->reason)
                fprintf(stderr, "Error from server (%s): %s\n", p->reason, strempty(p->message));
        else
                fprintf(stderr, "error: %s\n", p->message ? p->message : "out of memory");
        return EXIT_ERROR;
}

struct api_client *kctl_client(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};

        if (!k->client && api_client_new(&k->client, NULL,
                                          &(struct api_client_options){
                                                          .kubeconfig = k->flags.kubeconfig,
                                                          .context = k->flags.context,
                                                          .user_agent = "kctl/" PACKAGE_VERSION},
                                          &p) < 0)
                kctl_fail(&p);
        return k->client;
}

const char *kctl_namespace(struct kctl *k) {
        return k->flags.ns ? k->flags.ns : k->client ? api_client_namespace(k->client) : "default";
}

static void print_usage(void) {
        puts("kctl: keelson's command line\n\nusage: kctl VERB [WORD...] [FLAG...]\n\nVerbs:");
        for (const struct verb *v = verbs; v->name; v++)
                if (v->summary)
                        printf("  %-16s %s\n", v->name, v->summary);
        puts("\nkctl VERB --help explains a verb. Flags of every verb: --kubeconfig FILE, "
             "--context NAME, -n NS.");
}

/* Similar enough to be meant: the words share their beginning or differ by little. */
static size_t likeness(const char *a, const char *b) {
        size_t common = 0, n = strlen(a), m = strlen(b);

        while (a[common] && a[common] == b[common])
                common++;
        size_t tail = 0;
        while (tail < n - common && tail < m - common && a[n - 1 - tail] == b[m - 1 - tail])
                tail++;
        size_t longer = MAX(n, m);
        return longer == 0 ? 0 : (common + tail) * 100 / longer;
}

static int unknown_verb(const char *word) {
        const char *nearest = NULL;
        size_t best = 59;

        for (const struct verb *v = verbs; v->name; v++) {
                size_t like = v->summary ? likeness(word, v->name) : 0;

                if (like > best) {
                        best = like;
                        nearest = v->name;
                }
        }
        if (nearest)
                fprintf(stderr, "error: kctl knows no verb \"%s\"; did you mean \"%s\"?\n", word,
                                nearest);
        else
                fprintf(stderr, "error: kctl knows no verb \"%s\"; kctl --help lists them\n", word);
        return EXIT_USAGE;
}

/* Whether this argument is a common flag whose value is the next one. */
static bool takes_next(const char *word) {
        for (const char *const *f = common_flags; *f; f++) {
                const struct option_row *row = flag_find(*f);

                if ((startswith(word, "--") && streq(word + 2, row->name)) ||
                                (row->letter && word[0] == '-' && word[1] == row->letter &&
                                                !word[2]))
                        return true;
        }
        return false;
}

/* The verb's one or two words, wherever flags stand before them; argv is closed up behind them. */
static const struct verb *find_verb(int *argc, char **argv, const char **ret_word) {
        int at[2] = {0, 0}, found = 0;
        const struct verb *verb = NULL;
        size_t best = 0;

        for (int i = 1; i < *argc && found < 2; i++) {
                if (argv[i][0] == '-' && argv[i][1]) {
                        if (takes_next(argv[i]))
                                i++;
                        else if (found > 0)
                                break; /* after the verb's first word other flags may take values
                                          too */
                } else
                        at[found++] = i;
        }
        *ret_word = found > 0 ? argv[at[0]] : NULL;
        for (const struct verb *v = verbs; found > 0 && v->name; v++) {
                const char *space = strchr(v->name, ' ');
                size_t n = space ? (size_t)(space - v->name) : strlen(v->name),
                       words = space ? 2 : 1;

                if (strlen(argv[at[0]]) != n || strncmp(argv[at[0]], v->name, n) != 0)
                        continue;
                if ((words == 1 || (found == 2 && streq(argv[at[1]], space + 1))) && words > best) {
                        best = words;
                        verb = v;
                }
        }
        for (size_t w = best; w-- > 0;) {
                memmove(argv + at[w], argv + at[w] + 1, sizeof(char *) * (size_t)(*argc - at[w]));
                (*argc)--;
        }
        return verb;
}

/* "rollout" alone, or with a word that is none of its verbs. */
static int incomplete_verb(const char *word) {
        bool any = false;

        for (const struct verb *v = verbs; v->name; v++) {
                const char *rest = startswith(v->name, word);

                if (rest && *rest == ' ') {
                        if (any)
                                fprintf(stderr, ", %s", rest + 1);
                        else
                                fprintf(stderr, "error: kctl %s needs one of: %s", word, rest + 1);
                        any = true;
                }
        }
        if (!any)
                return unknown_verb(word);
        fputc('\n', stderr);
        return EXIT_USAGE;
}

/* A half-typed command line is words only, whatever they look like. */
static int take_words(int argc, char **argv, char ***ret) {
        for (int i = 1; i < argc; i++)
                if (strv_extend(ret, argv[i]) < 0)
                        return -ENOMEM;
        return 0;
}

static int run_verb(struct kctl *k, int argc, char **argv) {
        struct option_row rows[64];
        _cleanup_free_ char *name = strformat("kctl %s", k->verb->name),
                            *summary = strformat("%s.",
                                            k->verb->summary ? k->verb->summary : "Internal"),
                            *usage = strformat("%s [FLAG...]", k->verb->usage);
        struct option_program program = {name, summary, usage, rows, 0};
        _cleanup_problem_ struct problem p = {0};
        int code;

        for (const char *const *f = k->verb->flags; f && *f; f++)
                rows[program.count++] = *flag_find(*f);
        for (const char *const *f = common_flags; *f; f++)
                rows[program.count++] = *flag_find(*f);
        int r = streq(k->verb->name, "__complete")
                                ? take_words(argc, argv, &k->words)
                                : options_parse(&program, &k->flags, argc, argv, &k->words, &p);
        if (r > 0)
                code = EXIT_OK;
        else if (r < 0) {
                fprintf(stderr, "error: %s\n", p.message ? p.message : strerror(-r));
                code = EXIT_USAGE;
        } else
                code = k->verb->run(k);
        options_done(&program, &k->flags);
        return code;
}

int main(int argc, char **argv) {
        struct kctl k = {.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR")};
        const char *word;
        int code;

        log_setup("kctl", LOG_WARNING);
        if (output_start(&k) < 0)
                return EXIT_ERROR;
        k.verb = find_verb(&argc, argv, &word);
        if (k.verb)
                code = run_verb(&k, argc, argv);
        else if (word)
                code = streq(word, "help") ? (print_usage(), EXIT_OK) : incomplete_verb(word);
        else if (argc > 1 && streq(argv[1], "--version")) {
                puts("kctl " PACKAGE_VERSION);
                code = EXIT_OK;
        } else {
                print_usage();
                code = argc > 1 ? EXIT_OK : EXIT_USAGE;
        }
        api_client_free(k.client);
        strv_free(k.words);
        return output_finish(&k) == 0 ? code : EXIT_ERROR;
}
