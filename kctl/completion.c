/* Completion scripts, made from the tables of verbs and flags. The scripts only
 * ask `kctl __complete WORDS...`, so that they are never out of date. */
#include "kctl/kctl.h"
#include "kctl/texts.h"
#include "lib/object.h"

int kctl_completion(struct kctl *k) {
        static const struct {
                const char *shell, *script;
        } scripts[] = {{"bash", text_completion_bash}, {"zsh", text_completion_zsh},
                        {"fish", text_completion_fish}};

        for (size_t i = 0; strv_length(k->words) == 1 && i < ELEMENTS(scripts); i++)
                if (streq(k->words[0], scripts[i].shell)) {
                        fputs(scripts[i].script, stdout);
                        return EXIT_OK;
                }
        return kctl_usage(k, "one of bash, zsh, fish is needed");
}

static void offer(const char *word, const char *typed) {
        if (startswith(word, typed))
                puts(word);
}

static void offer_kinds(const char *typed) {
        for (size_t i = 0; i < KINDS_MAX; i++)
                if (kind_facts[i].listable)
                        offer(kind_facts[i].resource.plural, typed);
}

static void offer_names(struct kctl *k, const char *kind_word, const char *typed) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *list = NULL;
        _cleanup_free_ char *path = NULL;
        struct kind_ref kind;
        const json_t *o;
        size_t i;

        if (kind_find(k, kind_word, &kind, &p) < 0 || !kctl_client(k))
                return;
        path = api_path(&kind.resource, kind.resource.namespaced ? kctl_namespace(k) : NULL,
                        /* name= */ NULL,
                        /* subresource= */ NULL, "limit=500&resourceVersion=0");
        if (path && api_get(k->client, path, &list, &p) == 0)
                json_array_foreach (json_object_get(list, "items"), i, o)
                        offer(object_name(o), typed);
}

static void offer_flag(const char *name, const char *typed) {
        _cleanup_free_ char *flag = strformat("--%s", flag_find(name)->name);

        if (flag)
                offer(flag, typed);
}

/* The next words of verbs that begin with the words before the one being typed, each once. */
static void offer_verbs(const char *beginning, const char *typed) {
        size_t n = strlen(beginning);
        _cleanup_free_ char *last = NULL;

        for (const struct verb *v = verbs; v->name; v++) {
                const char *rest = startswith(v->name, beginning);
                char *word;

                if (!v->summary || !rest || (n > 0 && *rest != ' '))
                        continue;
                rest += n > 0;
                word = strndup(rest, strcspn(rest, " "));
                if (word && !streq_ptr(word, last))
                        offer(word, typed);
                free(last);
                last = word;
        }
}

/* The verb that the words before the one being typed name, and how many words it took. */
static const struct verb *verb_of(char *const *words, size_t n, size_t *ret_used) {
        *ret_used = 0;
        for (size_t used = MIN(n, (size_t)3); used > 0; used--) {
                _cleanup_free_ char *name = strformat("%s%s%s%s%s", words[0], used > 1 ? " " : "",
                                used > 1 ? words[1] : "", used > 2 ? " " : "",
                                used > 2 ? words[2] : "");

                for (const struct verb *v = verbs; name && v->name; v++)
                        if (streq(v->name, name)) {
                                *ret_used = used;
                                return v;
                        }
        }
        return NULL;
}

int kctl_complete(struct kctl *k) {
        size_t n = strv_length(k->words), used, plain = 0;
        const char *typed = n > 0 ? k->words[n - 1] : "", *first = NULL;
        const struct verb *v = n > 1 ? verb_of(k->words, n - 1, &used) : NULL;

        for (size_t i = 0; i + 1 < n; i++)
                if (streq(k->words[i], "-n") && !k->flags.ns)
                        k->flags.ns = strdup(k->words[i + 1]);
        if (n <= 1)
                offer_verbs("", typed);
        else if (n == 2)
                offer_verbs(k->words[0], typed);
        else if (n == 3) {
                _cleanup_free_ char *two = strformat("%s %s", k->words[0], k->words[1]);

                offer_verbs(strempty(two), typed);
        }
        if (!v)
                return EXIT_OK;
        if (*typed == '-') {
                for (const char *const *f = v->flags; f && *f; f++)
                        offer_flag(*f, typed);
                for (const char *const *f = common_flags; *f; f++)
                        offer_flag(*f, typed);
                return EXIT_OK;
        }
        for (size_t i = used; i + 1 < n; i++)
                if (k->words[i][0] != '-' && !streq(k->words[i - 1], "-n")) {
                        first = first ? first : k->words[i];
                        plain++;
                }
        if (!v->words || streq(v->words, "files"))
                return EXIT_OK;
        if (api_resource_find(v->words))
                offer_names(k, v->words, typed);
        else if (plain == 0)
                offer_kinds(typed);
        else if (streq(v->words, "objects"))
                offer_names(k, first, typed);
        return EXIT_OK;
}
