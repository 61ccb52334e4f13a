/* Finding a kind in the catalogue. */
#include "lib/client/kinds.h"

const struct kind_facts *kind_facts_find(const char *group, const char *plural) {
        for (size_t i = 0; i < KINDS_MAX; i++)
                if (streq(kind_facts[i].resource.plural, plural) &&
                                streq(kind_facts[i].resource.group, group))
                        return &kind_facts[i];
        return NULL;
}

const struct kind_facts *kind_facts_by_kind(const char *group, const char *kind) {
        for (size_t i = 0; i < KINDS_MAX; i++)
                if (streq(kind_facts[i].resource.kind, kind) &&
                                streq(kind_facts[i].resource.group, group))
                        return &kind_facts[i];
        return NULL;
}

bool kind_word_in(const char *const *words, const char *word) {
        for (; *words; words++)
                if (streq(*words, word))
                        return true;
        return false;
}

unsigned kind_rank(const char *group, const char *kind) {
        const struct kind_facts *f = kind_facts_by_kind(group, kind);

        return f && f->apply_rank >= 0 ? (unsigned)f->apply_rank : KIND_RANK_LAST;
}

const struct api_resource *api_resource_find(const char *plural) {
        for (size_t i = 0; i < KINDS_MAX; i++)
                if (streq(kind_facts[i].resource.plural, plural))
                        return &kind_facts[i].resource;
        return NULL;
}
