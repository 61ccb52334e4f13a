/* The report of a run: numbers by strategy, what the filter protects, and the first evictions. */
#include "lib/object.h"
#include "reconcilers/descheduling/descheduling-internal.h"

static const char *const outcome_names[] = {
                [DESCHED_EVICTED] = "Evicted",
                [DESCHED_WOULD_EVICT] = "WouldEvict",
                [DESCHED_REFUSED] = "Refused",
                [DESCHED_GONE] = "Gone",
                [DESCHED_FAILED] = "Failed",
};

static json_t *checked(json_t *v) {
        assert(v);
        return v;
}

void desched_list(struct desched *d, enum desched_outcome outcome, const char *message) {
        struct desched_eviction e;
        _cleanup_free_ char *key = NULL;

        desched_eviction(d, &e);
        if (json_array_size(d->listed) >= DESCHED_LISTED_MAX) {
                d->omitted++;
                return;
        }
        key = object_key(e.pod);
        assert(key);
        assert(json_array_append_new(d->listed,
                               checked(json_pack("{s:s, s:s, s:s*, s:s, s:s, s:s, s:s*}", "pod",
                                               key, "node", e.node, "to", e.to, "strategy",
                                               e.strategy, "reason", e.reason, "result",
                                               outcome_names[outcome], "message", message))) == 0);
}

/* Evictions that are not taken back and are not only thought. */
static json_int_t done_count(const struct desched *d) {
        return d->evicted - d->would_evict - (d->asked != NULL);
}

json_t *desched_progress(const struct desched *d) {
        return checked(json_pack("{s:I, s:I, s:I, s:I}", "evicted", done_count(d), "wouldEvict",
                        (json_int_t)d->would_evict, "refused", (json_int_t)d->refused, "failed",
                        (json_int_t)d->failed));
}

static json_t *strategy_report(const struct desched_strategy *s) {
        const struct {
                const char *name;
                int64_t n;
        } counts[] = {
                        {"evicted", s->evicted},
                        {"wouldEvict", s->would_evict},
                        {"refused", s->refused},
                        {"failed", s->failed},
                        {"noOtherNode", s->no_other_node},
                        {"wouldNotHelp", s->would_not_help},
                        {"beyondLimits", s->beyond_limits},
        };
        json_t *v = checked(json_pack("{s:s, s:I, s:s*}", "name", s->type->name, "found",
                        (json_int_t)s->found, "message", s->message));

        for (size_t i = 0; i < ELEMENTS(counts); i++)
                if (counts[i].n > 0)
                        assert(json_set_int(v, counts[i].name, counts[i].n) >= 0);
        return v;
}

static json_t *kept_report(const struct desched *d) {
        json_t *list = checked(json_array());

        for (int k = KEPT_NONE + 1; k < KEPT_MAX; k++)
                if (d->kept[k] > 0)
                        assert(json_array_append_new(list,
                                               checked(json_pack("{s:s, s:I}", "reason",
                                                               desched_kept_text(k), "pods",
                                                               (json_int_t)d->kept[k]))) == 0);
        return list;
}

/* "evicted 3 of 5 pods with a reason to go; PodDisruptionBudgets refused 2" */
static char *message_of(const struct desched *d) {
        bool dry = json_bool_or(d->spec, "dryRun", false);
        _cleanup_buf_ struct buf b = {0};
        int64_t found = 0;
        char *text;

        for (size_t i = 0; i < d->strategies.count; i++)
                found += d->strategies.items[i].found;
        assert(buf_printf(&b, "%s %lld of %lld pods that have a reason to go",
                               dry ? "would evict" : "evicted",
                               (long long)(dry ? d->would_evict : done_count(d)),
                               (long long)found) >= 0);
        if (d->refused > 0)
                assert(buf_printf(&b, "; PodDisruptionBudgets refused %lld",
                                       (long long)d->refused) >= 0);
        if (d->failed > 0)
                assert(buf_printf(&b, "; %lld evictions failed", (long long)d->failed) >= 0);
        if (d->evicted >= d->total_max)
                assert(buf_printf(&b, "; it stopped at the limit of %lld",
                                       (long long)d->total_max) >= 0);
        text = buf_take(&b);
        assert(text);
        return text;
}

json_t *desched_report(const struct desched *d) {
        json_t *report = desched_progress(d), *strategies = checked(json_array());
        _cleanup_free_ char *message = message_of(d);

        for (size_t i = 0; i < d->strategies.count; i++)
                assert(json_array_append_new(
                                       strategies, strategy_report(&d->strategies.items[i])) == 0);
        assert(json_object_set_new(report, "strategies", strategies) == 0);
        assert(json_object_set_new(report, "kept", kept_report(d)) == 0);
        assert(json_object_set(report, "evictions", d->listed) == 0);
        assert(json_set_int(report, "omitted", d->omitted) >= 0);
        assert(json_set_int(report, "nodes", (int64_t)map_size(d->nodes)) >= 0);
        assert(json_set_int(report, "pods", (int64_t)d->pod_count) >= 0);
        assert(json_set_int(report, "evictable", (int64_t)d->pods.count) >= 0);
        assert(json_set_str(report, "message", message) >= 0);
        return report;
}
