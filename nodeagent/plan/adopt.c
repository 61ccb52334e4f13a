/* A container that is a unit of the machine (annotation unit.keelson.dev/adopt): its plan, and the
 * drop-in with what a managed one gets. docs/own-units.md is the user's page. */
#include "nodeagent/plan/plan.h"

#include "lib/adoptable-units.h"
#include "lib/object.h"
#include "nodeagent/plan/pod-fields.h"
#include "nodeagent/plan/unit-props.h"

#define REASON "CreateContainerConfigError"

const char *pod_adopted_unit(const json_t *pod, const char *container) {
        return adoption_unit(
                        json_object_get(pod, "metadata"), json_object_get(pod, "spec"), container);
}

static bool has_exec(const json_t *container) {
        static const char *const paths[] = {"livenessProbe.exec", "readinessProbe.exec",
                        "startupProbe.exec", "lifecycle"};

        for (size_t i = 0; i < ELEMENTS(paths); i++)
                if (json_at(container, paths[i]))
                        return true;
        return false;
}

/* What only a container of its own can have. */
static int check_fields(const json_t *pod, const json_t *container, struct problem *p) {
        static const char *const fields[] = {
                        "command", "args", "env", "envFrom", "volumeMounts", "workingDir", "ports"};
        const char *image = json_str_or(container, "image", "");

        if (!container_is_privileged(container))
                return problem_set(p, EINVAL, 0, REASON,
                                "a unit of the machine can only be adopted by a container with "
                                "securityContext.privileged: true");
        if (!json_bool_or(pod, "spec.hostNetwork", false))
                return problem_set(p, EINVAL, 0, REASON,
                                "an adopted unit is in the machine's network: set hostNetwork: "
                                "true");
        if (!isempty(image) && !streq(image, "host"))
                return problem_set(p, EINVAL, 0, REASON,
                                "an adopted unit has no image: leave the field out, or write host");
        /* Ports only say where it listens. */
        for (size_t i = 0; i + 1 < ELEMENTS(fields); i++)
                if (json_object_get(container, fields[i]))
                        return problem_set(p, EINVAL, 0, REASON,
                                        "an adopted unit runs its own command with its own files: "
                                        "remove the field %s",
                                        fields[i]);
        if (has_exec(container))
                return problem_set(p, EINVAL, 0, REASON,
                                "commands cannot run beside an adopted unit: use httpGet, "
                                "tcpSocket or grpc in probes, and no lifecycle hooks");
        return 0;
}

/* What its fields and annotations ask for; only what a running unit can get. */
static int properties_of(
                const json_t *pod, const json_t *container, json_t **ret, struct problem *p) {
        static const char *const kept[] = {
                        "CPUQuotaPerSecUSec", "CPUWeight", "MemoryLow", "MemoryMax"};
        _cleanup_json_ json_t *fields = json_object(), *out = json_object();
        const char *key;
        json_t *v;
        int r;

        if (!fields || !out)
                return -ENOMEM;
        r = pod_fields_apply(pod, container, fields);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTS(kept); i++) {
                v = json_object_get(fields, kept[i]);
                if (v && json_object_set(out, kept[i], v) < 0)
                        return -ENOMEM;
        }
        r = pod_passthrough(pod, container, out, p);
        if (r < 0)
                return r;
        json_object_foreach (out, key, v)
                if (!prop_find(key)->live)
                        return problem_set(p, EINVAL, 0, REASON,
                                        "the unit property %s cannot be set on an adopted unit, "
                                        "only those that a running unit can get (resources)",
                                        key);
        *ret = TAKE_PTR(out);
        return 0;
}

int pod_adopted_plan(const json_t *pod, const json_t *container, json_t **ret, struct problem *p) {
        const char *name = json_str_or(container, "name", ""), *unit = pod_adopted_unit(pod, name);
        enum adoption mode = adoption_mode(json_object_get(pod, "metadata"), name);
        _cleanup_json_ json_t *properties = NULL;
        _cleanup_problem_ struct problem why = {0};
        _cleanup_free_ char *own = pod_unit_name(pod, name);
        int r;

        if (!unit)
                return 0;
        if (!own)
                return -ENOMEM;
        r = adoption_check(json_object_get(pod, "metadata"), json_object_get(pod, "spec"), &why);
        if (r < 0)
                return problem_set(p, EINVAL, 0, REASON, "%s", strempty(why.message));
        r = check_fields(pod, container, p);
        if (r < 0)
                return r;
        r = properties_of(pod, container, &properties, p);
        if (r < 0)
                return r;
        if (mode == ADOPTION_READ_ONLY && json_object_size(properties) > 0)
                return problem_set(p, EINVAL, 0, REASON,
                                "a unit that is adopted read-only is not changed: remove the "
                                "resources and unit properties, or set "
                                "unit.keelson.dev/adopt-mode: managed");
        *ret = json_pack("{s:s, s:s, s:O, s:{}, s:[], s:b, s:{s:s, s:b}}", "container", name,
                        "name", own, "properties", properties, "start", "stage", "privileged", true,
                        "adopt", "unit", unit, "managed", mode == ADOPTION_MANAGED);
        return *ret ? 1 : -ENOMEM;
}

static int add_value(struct buf *b, const struct prop_row *row, const json_t *v) {
        json_int_t n = json_integer_value(v);
        const char *text = json_string_value(v);

        switch (row->type) {
        case PROP_BOOL:
                buf_append_str(b, json_is_true(v) ? "yes" : "no");
                return 0;
        case PROP_PERCENT:
                if (n >= 0)
                        buf_printf(b, "%lld.%02lld%%", (long long)(n / 10000),
                                        (long long)(n % 10000 / 100));
                return 0;
        case PROP_STRING:
                if (!text || strpbrk(text, "\n\r\\"))
                        return -EINVAL;
                buf_append_str(b, text);
                return 0;
        default:
                if (n < 0)
                        buf_append_str(b, "infinity");
                else
                        buf_printf(b, "%lld", (long long)n);
                return 0;
        }
}

char *pod_adopted_drop_in(const json_t *properties) {
        _cleanup_buf_ struct buf b = {0};
        const char *key;
        json_t *v;

        buf_append_str(&b, "# keelson: a pod has adopted this unit, and removes this file at its "
                           "end\n[Service]\n");
        json_object_each (json_unconst(properties), key, v) {
                const struct prop_row *row = prop_find(key);

                if (!row || !row->live)
                        continue;
                buf_printf(&b, "%s=", row->file_name ? row->file_name : row->name);
                if (add_value(&b, row, v) < 0)
                        return NULL;
                buf_append_char(&b, '\n');
        }
        return b.failed ? NULL : buf_take(&b);
}
