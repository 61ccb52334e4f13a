/* The table, and its converters. A value that cannot be read (the API validates them) sets nothing.
 */
#include "nodeagent/plan/pod-fields.h"

#include <assert.h>

#include "lib/quantity.h"
#include "nodeagent/plan/plan.h"

enum {
        CPU_WEIGHT_MIN = 1,
        CPU_WEIGHT_MAX = 10000,
        MILLI_PER_WEIGHT = 10, /* one core is systemd's default weight of 100 */
};

static int set_integer(int64_t value, json_t **ret) {
        *ret = json_integer(value);
        return *ret ? 1 : -ENOMEM;
}

static int copy_text(const json_t *value, json_t **ret) {
        *ret = json_string(strempty(json_string_value(value)));
        return *ret ? 1 : -ENOMEM;
}

/* User and group ids are texts in a unit. */
static int number_as_text(const json_t *value, json_t **ret) {
        if (!json_is_integer(value))
                return 0;
        *ret = json_sprintf("%lld", (long long)json_integer_value(value));
        return *ret ? 1 : -ENOMEM;
}

static int quantity_as_bytes(const json_t *value, json_t **ret) {
        int64_t bytes;

        if (quantity_parse_units(value, &bytes) < 0 || bytes <= 0)
                return 0;
        return set_integer(bytes, ret);
}

static int cores_as_quota(const json_t *value, json_t **ret) {
        int64_t milli;

        if (quantity_parse_milli(value, &milli) < 0 || milli <= 0)
                return 0;
        return set_integer(milli * 1000, ret);
}

static int cores_as_weight(const json_t *value, json_t **ret) {
        int64_t milli, weight;

        if (quantity_parse_milli(value, &milli) < 0 || milli <= 0)
                return 0;
        weight = MIN(milli / MILLI_PER_WEIGHT, (int64_t)CPU_WEIGHT_MAX);
        return set_integer(MAX(weight, (int64_t)CPU_WEIGHT_MIN), ret);
}

static int seconds_as_usec(const json_t *value, json_t **ret) {
        if (!json_is_integer(value) || json_integer_value(value) <= 0)
                return 0;
        return set_integer(json_integer_value(value) * 1000000, ret);
}

static int true_as_strict(const json_t *value, json_t **ret) {
        if (!json_is_true(value))
                return 0;
        *ret = json_string("strict");
        return *ret ? 1 : -ENOMEM;
}

static int false_as_true(const json_t *value, json_t **ret) {
        if (!json_is_false(value))
                return 0;
        *ret = json_true();
        return 1;
}

/* Sorted by field; the constants last. */
static const struct pod_field fields[] = {
                {"name", "SyslogIdentifier", copy_text},
                {"resources.limits.cpu", "CPUQuotaPerSecUSec", cores_as_quota},
                {"resources.limits.memory", "MemoryMax", quantity_as_bytes},
                {"resources.requests.cpu", "CPUWeight", cores_as_weight},
                {"resources.requests.memory", "MemoryLow", quantity_as_bytes},
                {"securityContext.allowPrivilegeEscalation", "NoNewPrivileges", false_as_true,
                                .flags = FIELD_INHERITED | FIELD_NOT_PRIVILEGED},
                {"securityContext.readOnlyRootFilesystem", "ProtectSystem", true_as_strict},
                {"securityContext.runAsGroup", "Group", number_as_text, .flags = FIELD_INHERITED},
                {"securityContext.runAsUser", "User", number_as_text, .flags = FIELD_INHERITED},
                {"spec.activeDeadlineSeconds", "RuntimeMaxUSec", seconds_as_usec,
                                .flags = FIELD_OF_POD},
                /* Usage is reported; on control groups v1 the default is no. */
                {NULL, "CPUAccounting", .constant = "true"},
                /* systemd ignores it by default; programs in a pipe rely on it. */
                {NULL, "IgnoreSIGPIPE", .constant = "false"},
                {NULL, "KillMode", .constant = "\"mixed\""},
                {NULL, "MemoryAccounting", .constant = "true"},
                /* Bytes as they came: no "<3>" is a level. */
                {NULL, "SyslogLevelPrefix", .constant = "false"},
                /* Processes and threads of a container. */
                {NULL, "TasksMax", .constant = "4096"},
};

const struct pod_field *pod_field_at(size_t i) {
        return i < ELEMENTS(fields) ? &fields[i] : NULL;
}

static const json_t *value_of(
                const struct pod_field *row, const json_t *pod, const json_t *container) {
        if (row->flags & FIELD_INHERITED)
                return pod_security_setting(pod, container, strrchr(row->field, '.') + 1);
        return json_at(row->flags & FIELD_OF_POD ? pod : container, row->field);
}

static int apply_row(const struct pod_field *row, const json_t *pod, const json_t *container,
                json_t *properties) {
        const json_t *value;
        json_t *out = NULL;
        int r;

        assert(!row->field == !!row->constant && !row->convert == !!row->constant);
        if (row->constant) {
                out = json_loads(row->constant, JSON_DECODE_ANY, NULL);
                return json_object_set_new(properties, row->property, out) < 0 ? -ENOMEM : 0;
        }
        if ((row->flags & FIELD_NOT_PRIVILEGED) && container_is_privileged(container))
                return 0;
        value = value_of(row, pod, container);
        if (!value)
                return 0;
        r = row->convert(value, &out);
        if (r <= 0)
                return r;
        return json_object_set_new(properties, row->property, out) < 0 ? -ENOMEM : 0;
}

int pod_fields_apply(const json_t *pod, const json_t *container, json_t *properties) {
        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                int r = apply_row(&fields[i], pod, container, properties);

                if (r < 0)
                        return r;
        }
        return 0;
}
