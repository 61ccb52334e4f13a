/* A pod's rules about other pods, read from spec.affinity and spec.topologySpreadConstraints into
 * references to counts. */
#include "lib/object.h"
#include "lib/sched/internal.h"

/* --- rules --- */

static void add_expression(
                json_t *selector, const char *key, const char *operator, const char * value) {
        json_t *list = json_object_get(selector, "matchExpressions");

        if (!list) {
                list = json_array();
                assert(list && json_object_set_new(selector, "matchExpressions", list) == 0);
        }
        assert(json_array_append_new(
                               list, json_pack("{s:s, s:s, s:[s]}", "key", key,
                                                     "operator", operator, "values", value)) == 0);
}

/* The labelSelector with the pod's own values of matchLabelKeys and mismatchLabelKeys (KEP-3243,
 * KEP-3633). Whoever stored the pod may have added them already, which changes nothing. NULL:
 * selects nothing. */
static struct label_selector *labels_of(const json_t *term, const json_t *pod) {
        const json_t *given = json_object_get(term, "labelSelector"), *key;
        _cleanup_json_ json_t *selector = given ? json_deep_copy(json_unconst(given)) : NULL;
        struct label_selector *labels = NULL;
        const char *value;
        size_t i;

        if (!selector)
                return NULL;
        json_array_foreach (json_object_get(term, "matchLabelKeys"), i, key) {
                value = object_label(pod, strempty(json_string_value(key)));
                if (value)
                        add_expression(selector, json_string_value(key), "In", value);
        }
        json_array_foreach (json_object_get(term, "mismatchLabelKeys"), i, key) {
                value = object_label(pod, strempty(json_string_value(key)));
                if (value)
                        add_expression(selector, json_string_value(key), "NotIn", value);
        }
        (void)label_selector_from_json(selector, &labels, /* problem= */ NULL);
        return labels;
}

/* A rule without namespaces matches nothing. */
static struct sched_match affinity_rule(const json_t *term, const json_t *pod) {
        struct sched_match m = {.labels = labels_of(term, pod)};
        const json_t *of = json_object_get(term, "namespaceSelector"), *ns;
        size_t i;

        if (!m.labels)
                return m;
        json_array_foreach (json_object_get(term, "namespaces"), i, ns)
                assert(strv_extend(&m.namespaces, strempty(json_string_value(ns))) >= 0);
        if (of && !json_is_null(of))
                (void)label_selector_from_json(of, &m.of_namespaces, /* problem= */ NULL);
        else if (!m.namespaces)
                assert(strv_extend(&m.namespaces, object_namespace(pod)) >= 0);
        return m;
}

static struct sched_match spread_rule(const json_t *constraint, const json_t *pod) {
        struct sched_match m = {.labels = labels_of(constraint, pod)};

        if (m.labels)
                assert(strv_extend(&m.namespaces, object_namespace(pod)) >= 0);
        return m;
}

static struct sched_match owner_rule(const struct sched_pod *p) {
        struct sched_match m = {.owner = sched_strdup(p->class->owner)};

        assert(strv_extend(&m.namespaces, p->class->ns) >= 0);
        return m;
}

static const char *key_of(const json_t *term) {
        return json_str_or(term, "topologyKey", "");
}

/* --- affinity --- */

#define REQUIRED "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"

static void hold(struct sched_cluster *c, struct sched_pod *p, const json_t *term,
                const json_t *pod, enum sched_held_kind kind, int64_t weight) {
        struct sched_match rule = affinity_rule(term, pod);
        struct sched_selector *s = sched_selector_get(c, &rule, 1);

        sched_append(&p->held, sched_held_get(c, s, key_of(term), kind, weight));
        sched_selector_put(c, s);
}

static struct sched_tally *watch(struct sched_cluster *c, const json_t *term, const json_t *pod) {
        struct sched_match rule = affinity_rule(term, pod);
        struct sched_selector *s = sched_selector_get(c, &rule, 1);
        struct sched_tally *t = sched_tally_get(
                        c, s, key_of(term), /* filter= */ NULL, /* skips_terminating= */ false);

        sched_selector_put(c, s);
        return t;
}

/* The pod's own rules. Required affinity means pods that match all of its terms. */
static void read_pending(struct sched_cluster *c, struct sched_pod *p, const json_t *pod) {
        const json_t *affinity = json_at(pod, "spec.affinity.podAffinity." REQUIRED), *term;
        const json_t *anti = json_at(pod, "spec.affinity.podAntiAffinity." REQUIRED);
        size_t count = json_array_size(affinity), i;
        struct sched_match *rules = sched_alloc(count, sizeof(*rules));
        struct sched_selector *all;

        json_array_foreach (affinity, i, term)
                rules[i] = affinity_rule(term, pod);
        if (count > 0) {
                all = sched_selector_get(c, rules, count);
                p->affinity_self = sched_selector_matches(c, all, p->class);
                json_array_foreach (affinity, i, term)
                        sched_append(&p->affinity, sched_tally_get(c, all, key_of(term),
                                                                   /* filter= */ NULL,
                                                                   /* skips_terminating= */ false));
                sched_selector_put(c, all);
        }
        free(rules);
        json_array_foreach (anti, i, term)
                sched_append(&p->anti, watch(c, term, pod));
}

static void read_affinity(struct sched_cluster *c, struct sched_pod *p, const json_t *pod) {
        static const struct {
                const char *required, *preferred;
                enum sched_held_kind kind;
                int sign;
        } sides[] = {
                        {"spec.affinity.podAffinity." REQUIRED,
                                        "spec.affinity.podAffinity." PREFERRED, HELD_AFFINITY, 1},
                        {"spec.affinity.podAntiAffinity." REQUIRED,
                                        "spec.affinity.podAntiAffinity." PREFERRED, HELD_ANTI, -1},
        };
        const json_t *term, *inner;
        size_t i;

        for (size_t k = 0; k < ELEMENTS(sides); k++) {
                json_array_foreach (json_at(pod, sides[k].required), i, term)
                        hold(c, p, term, pod, sides[k].kind, 1);
                json_array_foreach (json_at(pod, sides[k].preferred), i, term) {
                        int64_t weight = sides[k].sign * json_int_or(term, "weight", 0);

                        inner = json_object_get(term, "podAffinityTerm");
                        hold(c, p, inner, pod, HELD_PREFERRED, weight);
                        if (p->profile)
                                sched_append(&p->preferred,
                                                ((struct sched_weighted){
                                                                watch(c, inner, pod), weight}));
                }
        }
        if (p->profile)
                read_pending(c, p, pod);
}

/* --- topology spread --- */

static bool is_hard(const json_t *constraint) {
        return streq(json_str_or(constraint, "whenUnsatisfiable", "DoNotSchedule"),
                        "DoNotSchedule");
}

/* Only nodes that the pod's own rules allow count, and only those with the keys of all constraints
 * of that strictness. */
static struct sched_node_filter *spread_filter(struct sched_cluster *c, const json_t *constraint,
                const json_t *constraints, const json_t *pod, bool all_keys) {
        bool affinity = !streq(json_str_or(constraint, "nodeAffinityPolicy", "Honor"), "Ignore");
        bool taints = streq(json_str_or(constraint, "nodeTaintsPolicy", "Ignore"), "Honor");
        const json_t *required = json_at(pod, "spec.affinity.nodeAffinity." REQUIRED), *other;
        const json_t *tolerations = json_at(pod, "spec.tolerations");
        _cleanup_json_ json_t *none = json_array();
        _cleanup_strv_free_ char **keys = NULL;
        size_t i;

        assert(none);
        json_array_foreach (constraints, i, other)
                if (all_keys && is_hard(other) == is_hard(constraint) &&
                                !strv_contains(keys, key_of(other)))
                        assert(strv_extend(&keys, key_of(other)) >= 0);
        return sched_filter_get(c, affinity ? json_at(pod, "spec.nodeSelector") : NULL,
                        affinity ? json_object_get(required, "nodeSelectorTerms") : NULL,
                        taints && !tolerations ? none
                        : taints               ? tolerations
                                               : NULL,
                        strv_length(keys) > 1 ? keys : NULL);
}

static void add_spread(struct sched_cluster *c, struct sched_pod *p, const json_t *constraint,
                const json_t *constraints, const json_t *pod, struct sched_match rule) {
        struct sched_selector *s = sched_selector_get(c, &rule, 1);
        struct sched_spread x = {.max_skew = json_int_or(constraint, "maxSkew", 1),
                        .min_domains = json_int_or(constraint, "minDomains", 1),
                        .hard = is_hard(constraint),
                        .hostname = streq(key_of(constraint), "kubernetes.io/hostname"),
                        .self = sched_selector_matches(c, s, p->class)};

        x.tally = sched_tally_get(c, s, key_of(constraint),
                        spread_filter(c, constraint, constraints, pod, !p->spread_by_default),
                        /* skips_terminating= */ true);
        sched_selector_put(c, s);
        sched_append(&p->spread, x);
}

/* The system's defaults (KEP-895). */
static json_t *system_constraints(void) {
        return json_pack("[{s:i, s:s, s:s}, {s:i, s:s, s:s}]", "maxSkew", 3, "topologyKey",
                        "kubernetes.io/hostname", "whenUnsatisfiable", "ScheduleAnyway", "maxSkew",
                        5, "topologyKey", "topology.kubernetes.io/zone", "whenUnsatisfiable",
                        "ScheduleAnyway");
}

static void read_spread(struct sched_cluster *c, struct sched_pod *p, const json_t *pod) {
        const json_t *constraints = json_at(pod, "spec.topologySpreadConstraints"), *x;
        const json_t *defaults = p->profile->default_constraints;
        _cleanup_json_ json_t *system = NULL;
        size_t i;

        if (json_array_size(constraints) > 0) {
                json_array_foreach (constraints, i, x)
                        add_spread(c, p, x, constraints, pod, spread_rule(x, pod));
                return;
        }
        if (!*p->class->owner)
                return;
        p->spread_by_default = !defaults;
        if (!defaults)
                defaults = system = system_constraints();
        assert(defaults);
        json_array_foreach (defaults, i, x)
                add_spread(c, p, x, defaults, pod, owner_rule(p));
}

static void read_claims(struct sched_pod *p, const json_t *pod) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(pod, "spec.volumes"), i, v) {
                const char *claim = json_str(v, "persistentVolumeClaim.claimName");
                _cleanup_free_ char *made = NULL;

                if (json_object_get(v, "ephemeral")) {
                        const char *name = strchr(p->key, '/');

                        made = strformat("%s-%s", name ? name + 1 : p->key,
                                        json_str_or(v, "name", ""));
                        assert(made);
                        claim = made;
                }
                if (claim)
                        assert(strv_extend(&p->claims, claim) >= 0);
        }
}

void sched_pod_terms(struct sched_cluster *c, struct sched_pod *pod, const json_t *object) {
        if (json_at(object, "spec.affinity"))
                read_affinity(c, pod, object);
        if (json_at(object, "spec.volumes"))
                read_claims(pod, object);
        if (pod->profile)
                read_spread(c, pod, object);
}

void sched_pod_terms_done(struct sched_cluster *c, struct sched_pod *pod) {
        for (size_t i = 0; i < pod->held.count; i++)
                sched_held_put(c, pod->held.items[i]);
        for (size_t i = 0; i < pod->affinity.count; i++)
                sched_tally_put(c, pod->affinity.items[i]);
        for (size_t i = 0; i < pod->anti.count; i++)
                sched_tally_put(c, pod->anti.items[i]);
        for (size_t i = 0; i < pod->preferred.count; i++)
                sched_tally_put(c, pod->preferred.items[i].tally);
        for (size_t i = 0; i < pod->spread.count; i++)
                sched_tally_put(c, pod->spread.items[i].tally);
        vector_done(&pod->held);
        vector_done(&pod->affinity);
        vector_done(&pod->anti);
        vector_done(&pod->preferred);
        vector_done(&pod->spread);
        strv_free(pod->claims);
}
