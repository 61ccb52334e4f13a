/* kctl: the table of verbs, the search for the one that is meant, and its flags. */
#include <stdarg.h>

#include "kctl/kctl.h"
#include "lib/log.h"

#include "config.h"

#define VERB(function, name, usage, summary, words, ...) \
        {name, usage, summary, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL}, function, \
                        words},
const struct verb verbs[] = {
#include "kctl/verbs.h"
                {NULL},
};
#undef VERB

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

/* "rollout" alone, or with a word that is not one of its verbs. */
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
