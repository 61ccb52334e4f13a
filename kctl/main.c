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
        if (p->reason == kctl_said)
                return EXIT_ERROR;
        fflush(stdout);
        if (p->code && p->reason)
                fprintf(stderr, "Error from server (%s): %s\n", p->reason, strempty(p->message));
        else
                fprintf(stderr, "error: %s\n", p->message ? p->message : "out of memory");
        return EXIT_ERROR;
}

bool kctl_confirmed(struct kctl *k, const char *question) {
        char line[16];

        if (k->flags.yes)
                return true;
        if (!isatty(STDIN_FILENO)) {
                fprintf(stderr, "error: %s; give --yes to do it without being asked\n", question);
                return false;
        }
        printf("%s? [y/N] ", question);
        fflush(stdout);
        return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

struct api_client *kctl_client(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};

        if (!k->client && kctl_client_new(k, /* event= */ NULL, &k->client, &p) < 0)
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
                        printf("  %-25s %s\n", v->name, v->summary);
        puts("\nkctl VERB --help explains a verb. Flags of every verb: --kubeconfig FILE, "
             "--context NAME, -n NS, --server URL, --token TOKEN, --as USER, --as-group GROUP, "
             "--request-timeout TIME, -v LEVEL.");
}

/* A half-typed command line is words only, whatever they look like. */
static int take_words(int argc, char **argv, char ***ret) {
        for (int i = 1; i < argc; i++)
                if (strv_extend(ret, argv[i]) < 0)
                        return -ENOMEM;
        return 0;
}

int verb_program(const struct verb *v, struct verb_program *ret) {
        size_t n = 0;

        ret->name = strformat("kctl %s", v->name);
        ret->summary = strformat("%s.", v->summary ? v->summary : "Internal");
        ret->usage = strformat("%s [FLAG...]", v->usage);
        for (const char *const *f = v->flags; f && *f; f++)
                ret->rows[n++] = *flag_find(*f);
        for (const char *const *f = common_flags; *f; f++)
                ret->rows[n++] = *flag_find(*f);
        assert(n <= ELEMENTS(ret->rows));
        ret->program = (struct option_program){ret->name, ret->summary, ret->usage, ret->rows, n};
        return ret->name && ret->summary && ret->usage ? 0 : -ENOMEM;
}

void verb_program_done(struct verb_program *v) {
        v->name = mfree(v->name);
        v->summary = mfree(v->summary);
        v->usage = mfree(v->usage);
}

/* How many of the words stand behind "--": a command, to verbs that take one. */
static size_t words_after_dashes(int argc, char **argv) {
        for (int i = 1; i < argc; i++)
                if (streq(argv[i], "--"))
                        return (size_t)(argc - i - 1);
        return 0;
}

static int run_verb(struct kctl *k, int argc, char **argv) {
        _cleanup_(verb_program_done) struct verb_program v = {0};
        _cleanup_problem_ struct problem p = {0};
        int code, r;

        if (verb_program(k->verb, &v) < 0)
                return kctl_error("out of memory");
        r = streq(k->verb->name, "__complete")
                            ? take_words(argc, argv, &k->words)
                            : options_parse(&v.program, &k->flags, argc, argv, &k->words, &p);
        if (r > 0)
                code = EXIT_OK;
        else if (r < 0) {
                fprintf(stderr, "error: %s\n", p.message ? p.message : strerror(-r));
                code = EXIT_USAGE;
        } else {
                size_t n = strv_length(k->words), after = words_after_dashes(argc, argv);

                k->word_count = n - MIN(n, after);
                code = k->verb->run(k);
        }
        options_done(&v.program, &k->flags);
        return code;
}

int main(int argc, char **argv) {
        struct kctl k = {.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR")};
        const char *word;
        int code;

        log_setup("kctl", LOG_WARNING);
        if (output_start(&k) < 0)
                return EXIT_ERROR;
        k.verb = verb_find(&argc, argv, &word);
        if (k.verb)
                code = run_verb(&k, argc, argv);
        else if (word)
                code = streq(word, "help") ? (print_usage(), EXIT_OK) : verb_not_found(argc, argv);
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
