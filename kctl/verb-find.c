/* The verb that a command line means: up to three words ("create secret generic"), wherever common
 * flags stand before them, and kubectl's short names of some. */
#include "kctl/kctl.h"

enum { VERB_WORDS_MAX = 3 };

/* Short names of second words, as kubectl has them. */
static const struct {
        const char *first, *alias, *word;
} aliases[] = {
                {"create", "cj", "cronjob"},
                {"create", "cm", "configmap"},
                {"create", "deploy", "deployment"},
                {"create", "ing", "ingress"},
                {"create", "ns", "namespace"},
                {"create", "pc", "priorityclass"},
                {"create", "pdb", "poddisruptionbudget"},
                {"create", "resourcequota", "quota"},
                {"create", "sa", "serviceaccount"},
                {"create", "svc", "service"},
                {"set", "sa", "serviceaccount"},
                {"config", "use", "use-context"},
                {"config", "rename", "rename-context"},
                {"top", "no", "node"},
                {"top", "po", "pod"},
};

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

/* The first words of a command line, and where they stand. */
struct head {
        const char *words[VERB_WORDS_MAX];
        int at[VERB_WORDS_MAX];
        size_t count;
};

static void head_read(struct head *h, int argc, char **argv) {
        for (int i = 1; i < argc && h->count < VERB_WORDS_MAX; i++)
                if (argv[i][0] == '-' && argv[i][1]) {
                        if (takes_next(argv[i]))
                                i++;
                        else if (h->count > 0)
                                break; /* after the verb's first word other flags may take values
                                          too */
                } else {
                        h->at[h->count] = i;
                        h->words[h->count++] = argv[i];
                }
        for (size_t i = 0; h->count > 1 && i < ELEMENTS(aliases); i++)
                if (streq(h->words[0], aliases[i].first) && streq(h->words[1], aliases[i].alias))
                        h->words[1] = aliases[i].word;
}

/* Whether a typed word is one of a verb's; "top nodes" is "top node", "nodes run" is "node run". */
static bool is_word(const char *typed, const char *word, size_t length, const char *first) {
        if (strncmp(typed, word, length) != 0)
                return false;
        return !typed[length] || ((streq(first, "top") || startswith(word, "node ")) &&
                                                 streq(typed + length, "s"));
}

/* How many words a verb has, when they are those that the command line begins with; else 0. */
static size_t words_matching(const struct verb *v, const struct head *h) {
        const char *s = v->name;
        size_t n = 0;

        for (;; n++) {
                size_t length = strcspn(s, " ");

                if (n >= h->count || !is_word(h->words[n], s, length, n == 1 ? h->words[0] : ""))
                        return 0;
                s += length;
                if (!*s)
                        return n + 1;
                s++;
        }
}

const struct verb *verb_find(int *argc, char **argv, const char **ret_word) {
        struct head h = {0};
        const struct verb *verb = NULL;
        size_t best = 0;

        head_read(&h, *argc, argv);
        *ret_word = h.count > 0 ? h.words[0] : NULL;
        for (const struct verb *v = verbs; v->name; v++) {
                size_t n = words_matching(v, &h);

                if (n > best) {
                        best = n;
                        verb = v;
                }
        }
        for (size_t w = best; w-- > 0;) {
                memmove(argv + h.at[w], argv + h.at[w] + 1,
                                sizeof(char *) * (size_t)(*argc - h.at[w]));
                (*argc)--;
        }
        return verb;
}

/* Prints the words that may follow a beginning of verbs. False when it begins none. */
static bool print_following(const char *beginning) {
        const char *last = NULL;
        size_t last_length = 0;

        for (const struct verb *v = verbs; v->name; v++) {
                const char *rest = startswith(v->name, beginning);
                size_t n;

                if (!rest || *rest != ' ' || !v->summary)
                        continue;
                rest++;
                n = strcspn(rest, " ");
                if (last && n == last_length && strncmp(last, rest, n) == 0)
                        continue; /* "secret generic", "secret tls": secret once */
                if (!last)
                        fprintf(stderr, "error: kctl %s needs one of: %.*s", beginning, (int)n,
                                        rest);
                else
                        fprintf(stderr, ", %.*s", (int)n, rest);
                last = rest;
                last_length = n;
        }
        if (last)
                fputc('\n', stderr);
        return last;
}

int verb_incomplete(const char *beginning) {
        return print_following(beginning) ? EXIT_USAGE : unknown_verb(beginning);
}

int verb_not_found(int argc, char **argv) {
        _cleanup_free_ char *two = NULL;
        struct head h = {0};

        head_read(&h, argc, argv);
        if (h.count > 1)
                two = strformat("%s %s", h.words[0], h.words[1]);
        if (two && print_following(two))
                return EXIT_USAGE;
        return verb_incomplete(h.words[0]);
}
