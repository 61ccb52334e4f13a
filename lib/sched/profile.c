/* Profiles: the default one, and the changes of a KubeSchedulerConfiguration. */
#include "lib/sched/internal.h"

/* Plugins of kube-scheduler that have no row here: their function is always on, or not needed. A
 * configuration may name them. */
static const char *const fixed[] = {"DefaultBinder", "DefaultPreemption", "DynamicResources",
                "NodeVolumeLimits", "PrioritySort", "SchedulingGates", "VolumeRestrictions",
                "VolumeZone"};

static void add_resource(struct sched_cluster *c, struct sched_profile *p, const char *name,
                int64_t weight, bool balanced) {
        unsigned id = sched_resource_id(c, name);

        if (id == RESOURCES_MAX)
                return;
        if (balanced)
                sched_append(&p->balanced, ((struct sched_resource_weight){id, weight}));
        else
                sched_append(&p->resources, ((struct sched_resource_weight){id, weight}));
}

static struct sched_profile *profile_new(struct sched_cluster *c, const char *name) {
        struct sched_profile *p = sched_alloc(1, sizeof(*p));

        p->name = sched_strdup(name);
        p->preempts = true;
        p->hard_weight = 1;
        for (size_t k = 0; k < sched_plugins_count; k++) {
                p->filters[k] = sched_plugins[k].filter || sched_plugins[k].wide_filter;
                p->scores[k] = sched_plugins[k].weight;
        }
        add_resource(c, p, "cpu", 1, false);
        add_resource(c, p, "memory", 1, false);
        add_resource(c, p, "cpu", 1, true);
        add_resource(c, p, "memory", 1, true);
        return p;
}

void sched_profile_free(struct sched_cluster *c, struct sched_profile *p) {
        if (!p)
                return;
        for (size_t i = 0; i < p->added_preferred.count; i++)
                sched_filter_put(c, p->added_preferred.items[i].filter);
        sched_filter_put(c, p->added);
        vector_done(&p->added_preferred);
        vector_done(&p->resources);
        vector_done(&p->balanced);
        vector_done(&p->shape);
        strv_free(p->ignored_resources);
        strv_free(p->ignored_groups);
        json_decref(p->default_constraints);
        free(p->name);
        free(p);
}

/* --- which plugins run --- */

static bool is_fixed(const char *name) {
        for (size_t i = 0; i < ELEMENTS(fixed); i++)
                if (streq(fixed[i], name))
                        return true;
        return false;
}

static bool is_plugin(const char *name) {
        for (size_t k = 0; k < sched_plugins_count; k++)
                if (streq(sched_plugins[k].name, name))
                        return true;
        return false;
}

static int unknown_plugin(const char *name, struct problem *p) {
        _cleanup_buf_ struct buf b = {0};

        for (size_t k = 0; k < sched_plugins_count; k++)
                (void)buf_printf(&b, "%s%s", k > 0 ? ", " : "", sched_plugins[k].name);
        return problem_set(p, EINVAL, 0, NULL,
                        "there is no scheduler plugin \"%s\"; those with filters and scores are %s",
                        name, strempty(b.data));
}

/* At the points filter and score, or at both ("multiPoint"). weight 0: the default one. */
static int switch_plugin(struct sched_profile *profile, const char *point, const char *name,
                bool on, int64_t weight, struct problem *p) {
        bool both = streq(point, "multiPoint"), all = streq(name, "*"), found = all;
        bool filter = both || streq(point, "filter") || streq(point, "preFilter");
        bool score = both || streq(point, "score");

        if (weight < 0 || weight > 10000)
                return problem_set(p, EINVAL, 0, NULL,
                                "the weight of %s must be from 1 to 10000, not %lld", name,
                                (long long)weight);
        for (size_t k = 0; k < sched_plugins_count; k++) {
                const struct sched_plugin *x = &sched_plugins[k];
                unsigned usual = x->weight > 0 ? x->weight : 1;

                if (!all && !streq(x->name, name))
                        continue;
                found = true;
                if (filter)
                        profile->filters[k] = on && (x->filter || x->wide_filter);
                if (score && (x->score || x->wide_score))
                        profile->scores[k] = !on ? 0 : weight == 0 ? usual : (unsigned)weight;
        }
        if ((both || streq(point, "postFilter")) && (all || streq(name, "DefaultPreemption")))
                profile->preempts = on;
        return found || is_fixed(name) ? 0 : unknown_plugin(name, p);
}

static int read_plugins(struct sched_profile *profile, const json_t *plugins, struct problem *p) {
        static const char *const points[] = {
                        "multiPoint", "preFilter", "filter", "postFilter", "score"};
        static const char *const lists[] = {"disabled", "enabled"};
        const json_t *v;
        size_t i;

        for (size_t k = 0; k < ELEMENTS(points); k++)
                for (size_t l = 0; l < ELEMENTS(lists); l++)
                        json_array_foreach (json_object_get(json_object_get(plugins, points[k]),
                                                            lists[l]),
                                        i, v) {
                                int r = switch_plugin(profile, points[k],
                                                json_str_or(v, "name", ""), l == 1,
                                                json_int_or(v, "weight", 0), p);

                                if (r < 0)
                                        return r;
                        }
        return 0;
}

/* --- pluginConfig --- */

static int add_strings(char ***ret, const json_t *list) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                assert(strv_extend(ret, strempty(json_string_value(v))) >= 0);
        return 0;
}

static void read_resources(struct sched_cluster *c, struct sched_profile *profile,
                const json_t *list, bool balanced) {
        const json_t *v;
        size_t i;

        if (json_array_size(list) == 0)
                return;
        if (balanced)
                profile->balanced.count = 0;
        else
                profile->resources.count = 0;
        json_array_foreach (list, i, v)
                add_resource(c, profile, json_str_or(v, "name", ""), json_int_or(v, "weight", 1),
                                balanced);
}

static int read_shape(struct sched_profile *profile, const json_t *points, struct problem *p) {
        int64_t last = -1;
        const json_t *v;
        size_t i;

        if (json_array_size(points) == 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "RequestedToCapacityRatio needs requestedToCapacityRatio.shape: "
                                "points of {utilization: 0..100, score: 0..10}");
        json_array_foreach (points, i, v) {
                int64_t u = json_int_or(v, "utilization", -1), s = json_int_or(v, "score", -1);

                if (u <= last || u > 100 || s < 0 || s > 10)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "point %zu of requestedToCapacityRatio.shape: utilization "
                                        "must rise from 0 to 100, score be from 0 to 10",
                                        i + 1);
                last = u;
                sched_append(&profile->shape, ((struct sched_point){u, s}));
        }
        return 0;
}

static int read_fit(struct sched_cluster *c, struct sched_profile *profile, const json_t *args,
                struct problem *p) {
        const json_t *strategy = json_object_get(args, "scoringStrategy");
        const char *type = json_str_or(strategy, "type", "LeastAllocated");

        add_strings(&profile->ignored_resources, json_object_get(args, "ignoredResources"));
        add_strings(&profile->ignored_groups, json_object_get(args, "ignoredResourceGroups"));
        read_resources(c, profile, json_object_get(strategy, "resources"), /* balanced= */ false);
        if (streq(type, "LeastAllocated"))
                return 0;
        if (streq(type, "MostAllocated")) {
                profile->strategy = STRATEGY_MOST;
                return 0;
        }
        if (!streq(type, "RequestedToCapacityRatio"))
                return problem_set(p, EINVAL, 0, NULL,
                                "scoringStrategy.type \"%s\" is none of LeastAllocated, "
                                "MostAllocated, RequestedToCapacityRatio",
                                type);
        profile->strategy = STRATEGY_RATIO;
        return read_shape(profile, json_at(strategy, "requestedToCapacityRatio.shape"), p);
}

static int read_balanced(struct sched_cluster *c, struct sched_profile *profile, const json_t *args,
                struct problem *p) {
        read_resources(c, profile, json_object_get(args, "resources"), /* balanced= */ true);
        return 0;
}

static int read_interpod(struct sched_cluster *c, struct sched_profile *profile, const json_t *args,
                struct problem *p) {
        profile->hard_weight = json_int_or(args, "hardPodAffinityWeight", 1);
        profile->ignore_preferred_of_existing =
                        json_bool_or(args, "ignorePreferredTermsOfExistingPods", false);
        if (profile->hard_weight >= 0 && profile->hard_weight <= 100)
                return 0;
        return problem_set(p, EINVAL, 0, NULL,
                        "hardPodAffinityWeight must be from 0 to 100, not %lld",
                        (long long)profile->hard_weight);
}

static int read_spread(struct sched_cluster *c, struct sched_profile *profile, const json_t *args,
                struct problem *p) {
        const json_t *list = json_object_get(args, "defaultConstraints");
        const char *type = json_str_or(args, "defaultingType", "System");

        if (streq(type, "System")) {
                if (json_array_size(list) == 0)
                        return 0;
                return problem_set(
                                p, EINVAL, 0, NULL, "defaultConstraints need defaultingType: List");
        }
        if (!streq(type, "List"))
                return problem_set(p, EINVAL, 0, NULL,
                                "defaultingType \"%s\" is neither System nor List", type);
        profile->default_constraints = list ? json_ref(list) : json_array();
        return 0;
}

static int read_affinity(struct sched_cluster *c, struct sched_profile *profile, const json_t *args,
                struct problem *p) {
        const json_t *added = json_object_get(args, "addedAffinity"), *v;
        const json_t *terms = json_at(
                        added, "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
        size_t i;

        profile->added = sched_filter_get(c, /* selector= */ NULL, terms, /* tolerations= */ NULL,
                        /* keys= */ NULL);
        json_array_foreach (
                        json_object_get(added, "preferredDuringSchedulingIgnoredDuringExecution"),
                        i, v) {
                _cleanup_json_ json_t *one = json_array();

                assert(one && json_array_append(one, json_object_get(v, "preference")) == 0);
                struct sched_weighted_filter x = {
                                .filter = sched_filter_get(c, /* selector= */ NULL, one,
                                                /* tolerations= */ NULL, /* keys= */ NULL),
                                .weight = json_int_or(v, "weight", 1)};

                sched_append(&profile->added_preferred, x);
        }
        return 0;
}

static const struct {
        const char *name;
        int (*read)(struct sched_cluster *c, struct sched_profile *profile, const json_t *args,
                        struct problem *p);
} arguments[] = {
                {"NodeResourcesFit", read_fit},
                {"NodeResourcesBalancedAllocation", read_balanced},
                {"InterPodAffinity", read_interpod},
                {"PodTopologySpread", read_spread},
                {"NodeAffinity", read_affinity},
};

static int read_config(struct sched_cluster *c, struct sched_profile *profile, const json_t *list,
                struct problem *p) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                const char *name = json_str_or(v, "name", "");
                bool found = is_fixed(name) || is_plugin(name);

                for (size_t k = 0; k < ELEMENTS(arguments); k++) {
                        int r;

                        if (!streq(arguments[k].name, name))
                                continue;
                        r = arguments[k].read(c, profile, json_object_get(v, "args"), p);
                        if (r < 0)
                                return r;
                }
                if (!found)
                        return unknown_plugin(name, p);
        }
        return 0;
}

int sched_profile_add(struct sched_cluster *c, const json_t *v, const struct sched_profile **ret,
                struct problem *p) {
        const char *name = json_str_or(v, "schedulerName", "default-scheduler");
        struct sched_profile *profile;
        int r;

        if (sched_profile_for(c, name))
                return problem_set(p, EINVAL, 0, NULL, "two profiles have the schedulerName \"%s\"",
                                name);
        if (c->profiles.count == SCHED_PROFILES_MAX)
                return problem_set(p, E2BIG, 0, NULL, "a scheduler has at most %d profiles",
                                SCHED_PROFILES_MAX);
        profile = profile_new(c, name);
        profile->index = (unsigned)c->profiles.count;
        sched_append(&c->profiles, profile);
        r = read_plugins(profile, json_object_get(v, "plugins"), p);
        if (r < 0)
                return r;
        r = read_config(c, profile, json_object_get(v, "pluginConfig"), p);
        if (r < 0)
                return r;
        *ret = profile;
        return 0;
}

int sched_profiles_read(struct sched_cluster *c, const json_t *v, struct problem *p) {
        const json_t *list = json_object_get(v, "profiles"), *item;
        const struct sched_profile *profile;
        size_t i;

        if (!streq(json_str_or(v, "kind", ""), "KubeSchedulerConfiguration") ||
                        !startswith(json_str_or(v, "apiVersion", ""),
                                        "kubescheduler.config.k8s.io/"))
                return problem_set(p, EINVAL, 0, NULL,
                                "it is not a KubeSchedulerConfiguration of "
                                "kubescheduler.config.k8s.io/v1");
        json_array_foreach (list, i, item) {
                int r = sched_profile_add(c, item, &profile, p);

                if (r < 0)
                        return r;
        }
        return (int)json_array_size(list);
}

const struct sched_profile *sched_profile_for(const struct sched_cluster *c, const char *name) {
        for (size_t i = 0; i < c->profiles.count; i++)
                if (streq(c->profiles.items[i]->name, name))
                        return c->profiles.items[i];
        return NULL;
}

const char *sched_profile_name(const struct sched_profile *profile) {
        return profile->name;
}
