/* Which plugins are on, in which order, and how often and for how long each was asked. The figures
 * have the name and labels of kube-apiserver's. */
#include "kapid/admission/chain.h"

#include "kapid/admission/plugins.h"
#include "lib/log.h"
#include "lib/metrics.h"

#define ROW(text, identifier) {.name = text, .plugin = &identifier},
static const struct chained all[] = {ADMISSION_PLUGINS(ROW)};
#undef ROW

static const char *const operations[ADMISSION_OPERATIONS] = {"CREATE", "UPDATE", "DELETE",
                "CONNECT"};
static const char *const types[ADMISSION_TYPES] = {"admit", "validate"};

/* --- figures --- */

static size_t type_of(enum admission_stage stage) {
        return stage == ADMISSION_MUTATE || stage == ADMISSION_DELETED ? 0 : 1;
}

static size_t operation_index(enum admission_operation operation) {
        switch (operation) {
        case ADMIT_CREATE:
                return 0;
        case ADMIT_UPDATE:
                return 1;
        case ADMIT_DELETE:
                return 2;
        default:
                return 3;
        }
}

void chained_count(const struct chained *c, enum admission_operation operation,
                enum admission_stage stage, bool refused, uint64_t took_us) {
        struct metric *m = c->seconds[operation_index(operation)][type_of(stage)][refused];

        if (m)
                metric_observe(m, (double)took_us / 1e6);
}

/* Whether any rule can be asked in an operation and a type of stages. */
static bool is_asked(const struct admission_plugin *plugin, size_t operation, size_t type) {
        for (const struct admission_rule *rule = plugin->rules; rule->operations; rule++) {
                bool create = operation == 0, delete = operation == 2, connect = operation == 3;

                if (!(rule->operations & (1U << operation)))
                        continue;
                if (type == 0 ? rule->mutate || (delete &&rule->deleted)
                              : ((rule->validate || rule->charge) && !connect) ||
                                                (create && rule->may_create) ||
                                                (delete &&rule->may_delete) ||
                                                (connect && rule->may_connect))
                        return true;
        }
        return false;
}

static int add_metric(
                struct metrics *m, struct chained *c, size_t operation, size_t type, bool refused) {
        static const double bounds[] = {0.005, 0.025, 0.1, 0.5, 1, 2.5};
        _cleanup_free_ char *labels = strformat(
                        "name=\"%s\",operation=\"%s\",rejected=\"%s\",type=\"%s\"", c->name,
                        operations[operation], refused ? "true" : "false", types[type]);
        struct metric *x = labels ? metrics_histogram_bounds(m,
                                                    "apiserver_admission_controller_admission_"
                                                    "duration_seconds",
                                                    labels,
                                                    "Time of an admission plugin in seconds, by "
                                                    "plugin, operation and refusal.",
                                                    bounds, ELEMENTS(bounds))
                                  : NULL;

        c->seconds[operation][type][refused] = x;
        return x ? 0 : -ENOMEM;
}

static int add_metrics(struct metrics *m, struct chained *c) {
        for (size_t o = 0; o < ADMISSION_OPERATIONS; o++)
                for (size_t t = 0; t < ADMISSION_TYPES; t++) {
                        if (!is_asked(c->plugin, o, t))
                                continue;
                        if (add_metric(m, c, o, t, false) < 0 || add_metric(m, c, o, t, true) < 0)
                                return -ENOMEM;
                }
        return 0;
}

/* --- the flags --- */

static const struct chained *find(const char *name) {
        for (size_t i = 0; i < ELEMENTS(all); i++)
                if (streq(all[i].name, name))
                        return &all[i];
        return NULL;
}

static int check_names(const char *flag, char *const *names, bool star, struct problem *p) {
        for (size_t i = 0; names && names[i]; i++) {
                if (star && streq(names[i], "*"))
                        continue;
                if (!find(names[i]))
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--%s: there is no admission plugin \"%s\"; there "
                                        "are:" ADMISSION_PLUGIN_WORDS,
                                        flag, names[i]);
                if (strv_contains(names + i + 1, names[i]))
                        return problem_set(
                                        p, EINVAL, 0, NULL, "--%s names %s twice", flag, names[i]);
        }
        return 0;
}

static bool is_on(const struct admission_options *o, const struct chained *c) {
        if (strv_contains(o->disable, c->name))
                return false;
        return c->plugin->safeguard || !strv_contains(o->disable, "*") ||
               strv_contains(o->enable, c->name);
}

static void put(struct admission_chain *chain, const struct admission_options *o,
                const struct chained *c) {
        if (is_on(o, c))
                chain->plugins[chain->count++] = *c;
        else if (c->plugin->safeguard)
                log_warning("The admission plugin %s is disabled: users may do what it would "
                            "refuse (docs/admission.md)",
                                c->name);
}

static int check_options(const struct admission_options *o, struct problem *p) {
        int r;

        r = check_names("disable-admission-plugins", o->disable, true, p);
        if (r < 0)
                return r;
        r = check_names("enable-admission-plugins", o->enable, false, p);
        if (r < 0)
                return r;
        r = check_names("admission-order", o->order, false, p);
        if (r < 0)
                return r;
        for (size_t i = 0; o->enable && o->enable[i]; i++)
                if (strv_contains(o->disable, o->enable[i]))
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--enable-admission-plugins and "
                                        "--disable-admission-plugins both name %s",
                                        o->enable[i]);
        return 0;
}

int admission_chain_new(struct admission_chain **ret, const struct admission_options *o,
                struct metrics *m, struct problem *p) {
        _cleanup_(admission_chain_freep) struct admission_chain *chain = NULL;
        int r;

        r = check_options(o, p);
        if (r < 0)
                return r;
        chain = calloc(1, sizeof(*chain));
        if (!chain)
                return -ENOMEM;
        chain->plugins = calloc(ELEMENTS(all), sizeof(*chain->plugins));
        if (!chain->plugins)
                return -ENOMEM;
        for (size_t i = 0; o->order && o->order[i]; i++)
                put(chain, o, find(o->order[i]));
        for (size_t i = 0; i < ELEMENTS(all); i++)
                if (!strv_contains(o->order, all[i].name))
                        put(chain, o, &all[i]);
        for (size_t i = 0; m && i < chain->count; i++) {
                r = add_metrics(m, &chain->plugins[i]);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(chain);
        return 0;
}

struct admission_chain *admission_chain_free(struct admission_chain *c) {
        if (!c)
                return NULL;
        free(c->plugins);
        return mfree(c);
}

const char *admission_chain_at(const struct admission_chain *c, size_t i) {
        return i < c->count ? c->plugins[i].name : NULL;
}
