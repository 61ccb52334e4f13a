/* The choice of a node over the plugins' filters and scores, and the reasons when there is none. */
#include <stdarg.h>

#include "lib/object.h"
#include "reconcilers/sched-internal.h"

/* --- reasons --- */

int reasons_init(struct reasons *r) {
        *r = (struct reasons){.counts = map_new(NULL)};
        return r->counts ? 0 : -ENOMEM;
}

void reasons_done(struct reasons *r) {
        r->counts = map_free(r->counts);
}

void reasons_add(struct reasons *r, const char *fmt, ...) {
        char text[256];
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        assert(map_set(r->counts, text, (void *)((uintptr_t)map_get(r->counts, text) + 1)) >= 0);
}

/* --- the choice --- */

static bool node_passes(const struct cluster *c, const struct sched_pod *pod,
                const struct sched_node *node, struct reasons *why) {
        for (size_t k = 0; k < sched_plugins_count; k++)
                if (sched_plugins[k].filter && !sched_plugins[k].filter(c, pod, node, why)) {
                        why->events |= sched_plugins[k].events;
                        return false;
                }
        return true;
}

struct candidate {
        const struct sched_node *node;
        int64_t score;
};

static void add_scores(const struct cluster *c, const struct sched_pod *pod,
                struct candidate *candidates, size_t count, const struct sched_plugin *plugin) {
        int64_t max = 0;

        if (plugin->normalize)
                for (size_t i = 0; i < count; i++)
                        max = MAX(max, plugin->score(c, pod, candidates[i].node));
        for (size_t i = 0; i < count; i++) {
                int64_t score = plugin->score(c, pod, candidates[i].node);

                if (plugin->normalize)
                        score = max > 0 ? score * 100 / max : 0;
                candidates[i].score += score * plugin->weight;
        }
}

/* Of the best candidates the one that `tie` says; NULL without candidates. */
static const struct sched_node *pick_best(
                const struct candidate *candidates, size_t count, uint64_t tie) {
        int64_t best_score = -1;
        size_t equal = 0, n;

        for (size_t i = 0; i < count; i++)
                best_score = MAX(best_score, candidates[i].score);
        for (size_t i = 0; i < count; i++)
                equal += candidates[i].score == best_score;
        n = equal > 0 ? tie % equal : 0;
        for (size_t i = 0; i < count; i++)
                if (candidates[i].score == best_score && n-- == 0)
                        return candidates[i].node;
        return NULL;
}

const struct sched_node *sched_choose(const struct cluster *c, const struct sched_pod *pod,
                uint64_t tie, struct reasons *why) {
        struct candidate *candidates = calloc(map_size(c->nodes) + 1, sizeof(*candidates));
        const struct sched_node *best;
        size_t count = 0;

        assert(candidates);
        map_foreach (c->nodes, e) {
                const struct sched_node *node = map_entry_value(e);

                if (node->object && !object_is_deleting(node->object) &&
                                node_passes(c, pod, node, why))
                        candidates[count++].node = node;
        }
        if (c->node_count == 0)
                why->events |= SCHED_NODE_ADDED;
        for (size_t k = 0; k < sched_plugins_count && count > 1; k++)
                if (sched_plugins[k].score)
                        add_scores(c, pod, candidates, count, &sched_plugins[k]);
        best = pick_best(candidates, count, tie);
        free(candidates);
        return best;
}

static int compare_strings(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

char *sched_message(const struct cluster *c, const struct reasons *why) {
        _cleanup_strv_free_ char **parts = NULL;
        _cleanup_free_ char *joined = NULL;

        if (c->node_count == 0)
                return strdup("no nodes available to schedule pods");
        map_foreach (why->counts, e) {
                _cleanup_free_ char *part = strformat(
                                "%zu %s", (size_t)(uintptr_t)map_entry_value(e), map_entry_key(e));

                if (!part || strv_extend(&parts, part) < 0)
                        return NULL;
        }
        if (strv_length(parts) > 1)
                qsort(parts, strv_length(parts), sizeof(*parts), compare_strings);
        joined = strv_join(parts, ", ");
        return joined ? strformat("0/%zu nodes are available: %s.", c->node_count, joined) : NULL;
}
