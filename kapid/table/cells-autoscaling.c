/* Cells of HorizontalPodAutoscalers, as kubectl prints them: "cpu: 12%/80%". */
#include "kapid/table/cells.h"

#include "lib/buf.h"

enum { TARGETS_SHOWN = 2 };

json_t *cells_hpa_reference(const json_t *hpa, uint64_t now_us) {
        return json_sprintf("%s/%s", json_str_or(hpa, "spec.scaleTargetRef.kind", ""),
                        json_str_or(hpa, "spec.scaleTargetRef.name", ""));
}

static const char *amount(const json_t *v, char *buffer, size_t n) {
        if (json_is_integer(v)) {
                snprintf(buffer, n, "%lld%%", (long long)json_integer_value(v));
                return buffer;
        }
        return json_is_string(v) ? json_string_value(v) : "<unknown>";
}

/* source: "resource"; resources are named. */
static void add_target(struct buf *b, const json_t *metric, const json_t *status,
                const char *source, bool named) {
        static const char *const fields[] = {"averageValue", "averageUtilization", "value"};
        const json_t *target = json_get(metric, source, "target", NULL);
        const char *field = "averageUtilization";
        char now[32], wanted[32];

        for (size_t i = 0; i < ELEMENTS(fields); i++)
                if (json_object_get(target, fields[i])) {
                        field = fields[i];
                        break;
                }
        if (named)
                buf_printf(b, "%s: ", json_str_or(json_object_get(metric, source), "name", ""));
        buf_printf(b, "%s/%s",
                        amount(json_get(status, source, "current", field, NULL), now, sizeof(now)),
                        json_object_get(target, field) ? amount(json_object_get(target, field),
                                                                         wanted, sizeof(wanted))
                                                       : "<auto>");
        if (!named && streq(field, "averageValue") && !streq(source, "pods"))
                buf_append_str(b, " (avg)");
}

static void add_metric(struct buf *b, const json_t *metric, const json_t *status) {
        static const struct {
                const char *type, *source;
                bool named;
        } sources[] = {{"Resource", "resource", true},
                        {"ContainerResource", "containerResource", true}, {"Pods", "pods", false},
                        {"Object", "object", false}, {"External", "external", false}};
        const char *type = json_str_or(metric, "type", "");

        for (size_t i = 0; i < ELEMENTS(sources); i++)
                if (streq(type, sources[i].type)) {
                        add_target(b, metric, status, sources[i].source, sources[i].named);
                        return;
                }
        buf_append_str(b, "<unknown type>");
}

/* autoscaling/v1 has the CPU in fields of its own, and the rest in annotations. */
static json_t *v1_targets(const json_t *hpa) {
        char now[32], wanted[32];

        return json_sprintf("cpu: %s/%s",
                        amount(json_at(hpa, "status.currentCPUUtilizationPercentage"), now,
                                        sizeof(now)),
                        amount(json_at(hpa, "spec.targetCPUUtilizationPercentage"), wanted,
                                        sizeof(wanted)));
}

json_t *cells_hpa_targets(const json_t *hpa, uint64_t now_us) {
        const json_t *metrics = json_at(hpa, "spec.metrics"),
                     *statuses = json_at(hpa, "status.currentMetrics"), *metric;
        size_t n = json_array_size(metrics), i;
        _cleanup_buf_ struct buf b = {0};

        if (json_at(hpa, "spec.targetCPUUtilizationPercentage"))
                return v1_targets(hpa);
        json_array_foreach (metrics, i, metric) {
                if (i == TARGETS_SHOWN) {
                        buf_printf(&b, " + %zu more...", n - TARGETS_SHOWN);
                        break;
                }
                buf_append_str(&b, i > 0 ? ", " : "");
                add_metric(&b, metric, json_array_get(statuses, i));
        }
        if (b.failed)
                return NULL;
        return json_string(n > 0 ? b.data : "<none>");
}
