/* The table of a choice, for people: which plugin refuses each node and why, and how the others
 * score. The same functions run as in a choice; nothing is changed. */
#include "lib/object.h"
#include "lib/sched/internal.h"

struct row {
        const struct sched_node *node;
        int32_t total;
        json_t *plugins;
};

struct table {
        struct row *rows; /* by slot */
        size_t count;
};

static void add_score(
                struct row *row, const char *plugin, int64_t raw, int64_t score, unsigned weight) {
        assert(json_object_set_new(row->plugins, plugin,
                               json_pack("{s:I, s:I, s:i}", "raw", (json_int_t)raw, "score",
                                               (json_int_t)score, "weight", (int)weight)) == 0);
}

static size_t raw_index(const struct sched_profile *profile, size_t plugin) {
        size_t r = 0;

        for (size_t k = 0; k < plugin; k++)
                r += sched_plugins[k].score && profile->scores[k] > 0 &&
                     sched_plugins[k].scaling != SCALE_NONE;
        return r;
}

static void on_scores(const struct sched_decision *d, size_t plugin, const double *scores,
                void *userdata) {
        const struct sched_plugin *p = &sched_plugins[plugin];
        struct table *t = userdata;

        for (size_t i = 0; i < d->slots; i++) {
                int64_t score = (int64_t)scores[i], raw = score;

                if (!t->rows[i].plugins)
                        continue;
                if (p->score)
                        raw = d->scan->raw[raw_index(d->profile, plugin)][i];
                add_score(&t->rows[i], p->name, raw, score, d->profile->scores[plugin]);
        }
}

static void local_scores(const struct sched_decision *d, struct row *row) {
        for (size_t k = 0; k < sched_plugins_count; k++) {
                const struct sched_plugin *p = &sched_plugins[k];
                int64_t score;

                if (!p->score || p->scaling != SCALE_NONE || d->profile->scores[k] == 0)
                        continue;
                score = p->score(d->cluster, d->profile, d->pod->shape, row->node);
                add_score(row, p->name, score, score, d->profile->scores[k]);
        }
}

static json_t *refusal(const struct sched_decision *d, const struct sched_node *node) {
        _cleanup_sched_reasons_ struct sched_reasons why = {0};
        const char *plugin = "nominated pods";
        json_t *reasons = json_array();

        assert(reasons);
        if (sched_decision_node(d, node, &why) != FITS)
                plugin = why.refusing;
        for (size_t i = 0; i < why.count; i++)
                assert(json_array_append_new(reasons, json_string(why.items[i].text)) == 0);
        return json_pack("{s:s, s:s, s:o}", "node", node->name, "plugin", plugin, "reasons",
                        reasons);
}

static int compare_rows(const void *a, const void *b) {
        const struct row *x = a, *y = b;

        if (x->total != y->total)
                return x->total > y->total ? -1 : 1;
        if (!x->node || !y->node)
                return (x->node == NULL) - (y->node == NULL);
        return strcmp(x->node->name, y->node->name);
}

static void fill(struct sched_decision *d, struct table *t, json_t *refused, json_t *scores) {
        struct sched_cluster *c = d->cluster;

        for (size_t i = 0; i < d->slots; i++) {
                t->rows[i].node = c->slots.items[i];
                if (d->total[i] < 0)
                        continue;
                t->rows[i].plugins = json_object();
                assert(t->rows[i].plugins);
                local_scores(d, &t->rows[i]);
        }
        sched_decision_score(d, on_scores, t);
        for (size_t i = 0; i < d->slots; i++)
                t->rows[i].total = d->total[i];
        qsort(t->rows, d->slots, sizeof(*t->rows), compare_rows);
        for (size_t i = 0; i < d->slots; i++) {
                const struct row *row = &t->rows[i];

                if (!row->node)
                        continue;
                assert(json_array_append_new(row->plugins ? scores : refused,
                                       row->plugins ? json_pack("{s:s, s:i, s:o}", "node",
                                                                      row->node->name, "total",
                                                                      row->total, "plugins",
                                                                      row->plugins)
                                                    : refusal(d, row->node)) == 0);
        }
}

json_t *sched_explain(struct sched_cluster *c, struct sched_pod *pod) {
        _cleanup_sched_reasons_ struct sched_reasons why = {0};
        _cleanup_free_ char *message = NULL, *advice = NULL;
        json_t *refused = json_array(), *scores = json_array(), *result;
        const char *node = sched_choose(c, pod, /* tie= */ 0, &why);
        struct sched_decision d;

        assert(refused && scores);
        if (!node) {
                message = sched_message(c, &why);
                advice = sched_advice(&why);
        }
        if (sched_decision_begin(&d, c, pod, NULL) >= 0) {
                struct table t = {.rows = sched_alloc(d.slots + 1, sizeof(*t.rows)),
                                .count = d.slots};

                fill(&d, &t, refused, scores);
                free(t.rows);
        }
        sched_decision_done(&d);
        result = json_pack("{s:s?, s:s?, s:s?, s:o, s:o}", "node", node, "message", message,
                        "advice", advice, "refused", refused, "scores", scores);
        assert(result);
        return result;
}
