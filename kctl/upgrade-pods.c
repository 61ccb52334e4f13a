/* The pods of a node before and after its agent was replaced: none may have been restarted. */
#include "kctl/upgrade.h"
#include "kctl/node-pods.h"
#include "kctl/texts.h"
#include "lib/object.h"

enum { UNITS_TIMEOUT_S = 60 };

void upgrade_pods_done(struct upgrade_pods *s) {
        json_decref(s->pods);
        free(s->units);
        *s = (struct upgrade_pods){0};
}

int upgrade_pods_see(struct kctl *k, struct machine *m, const char *node, struct upgrade_pods *ret,
                struct problem *p) {
        _cleanup_json_ json_t *list = NULL;
        _cleanup_buf_ struct buf units = {0};
        int r = machine_run(m, text_pod_units_sh, /* input= */ NULL, 0, UNITS_TIMEOUT_S, &units,
                        p);

        if (r < 0)
                return r;
        r = node_pods(k, node, &list, p);
        if (r < 0)
                return r;
        ret->units = strdup(strempty(units.data));
        if (!ret->units)
                return -ENOMEM;
        ret->pods = json_incref(json_object_get(list, "items"));
        return 0;
}

static int64_t restarts_of(const json_t *pod) {
        const json_t *c;
        int64_t n = 0;
        size_t i;

        json_array_foreach (json_at(pod, "status.containerStatuses"), i, c)
                n += json_int_or(c, "restartCount", 0);
        return n;
}

static const json_t *pod_of_uid(const json_t *pods, const char *uid) {
        const json_t *o;
        size_t i;

        json_array_foreach (pods, i, o)
                if (streq(strempty(object_uid(o)), uid))
                        return o;
        return NULL;
}

static int add_name(char **text, const char *name) {
        char *more = *text ? strformat("%s, %s", *text, name) : strdup(name);

        if (!more)
                return -ENOMEM;
        free(*text);
        *text = more;
        return 0;
}

/* Only pods that were Ready, and are to stay: one that fails again and again does so without us. */
static bool counts(const json_t *before, const json_t *after) {
        return after && object_condition_true(before, "Ready") &&
               !json_str(before, "metadata.deletionTimestamp") &&
               !json_str(after, "metadata.deletionTimestamp");
}

static int compare_pods(
                const struct upgrade_pods *before, const struct upgrade_pods *after, char **text) {
        const json_t *a;
        size_t i;

        json_array_foreach (before->pods, i, a) {
                const json_t *b = pod_of_uid(after->pods, strempty(object_uid(a)));
                _cleanup_free_ char *key = NULL;
                int r;

                if (!counts(a, b) || restarts_of(a) == restarts_of(b))
                        continue;
                key = object_key(b);
                r = key ? add_name(text, key) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The run of a unit in lines "UNIT RUN"; NULL: it has none. */
static const char *run_of(const char *units, const char *unit, size_t n) {
        for (const char *s = units; *s; s += strcspn(s, "\n"), s += *s == '\n')
                if (strncmp(s, unit, n) == 0 && s[n] == ' ')
                        return s + n + 1;
        return NULL;
}

/* Whether the unit "kpod-NS_POD_..." is one of such a pod. */
static bool unit_counts(const struct upgrade_pods *before, const struct upgrade_pods *after,
                const char *unit) {
        const json_t *a;
        size_t i;

        json_array_foreach (before->pods, i, a) {
                _cleanup_free_ char *prefix =
                                strformat("kpod-%s_%s_", object_namespace(a), object_name(a));

                if (prefix && startswith(unit, prefix) &&
                                counts(a, pod_of_uid(after->pods, strempty(object_uid(a)))))
                        return true;
        }
        return false;
}

/* A unit that is gone belongs to a pod that was deleted, or the API's counts show it. */
static int compare_units(
                const struct upgrade_pods *before, const struct upgrade_pods *after, char **text) {
        for (const char *s = before->units; *s; s += strcspn(s, "\n"), s += *s == '\n') {
                size_t n = strcspn(s, " \n"), length = strcspn(s, "\n");
                const char *now = run_of(after->units, s, n);
                _cleanup_free_ char *unit = strndup(s, n);
                int r;

                if (!unit)
                        return -ENOMEM;
                if (!now || n == length || strncmp(now, s + n + 1, length - n - 1) == 0 ||
                                !unit_counts(before, after, unit))
                        continue;
                r = add_name(text, unit);
                if (r < 0)
                        return r;
        }
        return 0;
}

int upgrade_pods_restarted(
                const struct upgrade_pods *before, const struct upgrade_pods *after, char **ret) {
        _cleanup_free_ char *text = NULL;
        int r = compare_pods(before, after, &text);

        if (r < 0)
                return r;
        if (!text)
                r = compare_units(before, after, &text);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(text);
        return 0;
}
