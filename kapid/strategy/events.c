/* Events: core/v1, in which they are stored, and events.k8s.io/v1, where seven fields have other
 * names. Who writes through events.k8s.io/v1 is held to more, and changes only the series of an
 * Event that is there; whatever has an eventTime is held to some of it in both. The rules are
 * Kubernetes' (pkg/apis/core/validation/events.go), with its names of fields: those of core/v1. */
#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

enum { INSTANCE_MAX = 128, ACTION_MAX = 128, REASON_MAX = 128, NOTE_MAX = 1024 };

#define EVENTS_V1 "events.k8s.io/v1"

/* The same field in core/v1 and in events.k8s.io/v1. */
static const char *const names[][2] = {
                {"involvedObject", "regarding"},
                {"message", "note"},
                {"source", "deprecatedSource"},
                {"firstTimestamp", "deprecatedFirstTimestamp"},
                {"lastTimestamp", "deprecatedLastTimestamp"},
                {"count", "deprecatedCount"},
                {"reportingComponent", "reportingController"},
};

/* Where core/v1 has an empty text events.k8s.io/v1 has none. */
static int convert_reporter(json_t *object, bool to_core) {
        static const char *const fields[][2] = {{"reportingComponent", "reportingController"},
                        {"reportingInstance", "reportingInstance"}};

        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                const char *field = fields[i][!to_core];

                if (!to_core && isempty(json_str(object, field)))
                        json_object_del(object, field);
                else if (to_core && !json_object_get(object, field) &&
                                json_set_str(object, field, "") < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int event_convert(
                const struct kind *k, const char *to_version, json_t *object, struct problem *p) {
        /* Both versions are called v1: an object becomes what it is not. */
        bool to_core = streq(object_api_version(object), EVENTS_V1);

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                const char *from = names[i][to_core], *to = names[i][!to_core];
                json_t *v = json_object_get(object, from);

                if (!v)
                        continue;
                if (json_object_set(object, to, v) < 0)
                        return -ENOMEM;
                json_object_del(object, from);
        }
        return convert_reporter(object, to_core);
}

/* Events of cluster-wide objects live in "default"; of others where the object lives. Newer ones,
 * of cluster-wide objects, may be in kube-system too. */
static void validate_namespace(struct findings *f, const json_t *object, bool is_new) {
        const json_t *v = json_at(object, "involvedObject.namespace");
        const char *about = strempty(json_string_value(v)), *own = object_namespace(object);
        bool fits = *about ? is_new || streq(about, own)
                           : streq(own, "default") || (is_new && streq(own, "kube-system"));
        _cleanup_json_ json_t *none = json_string("");

        if (!fits)
                finding_add(f, FINDING_INVALID, "involvedObject.namespace", v ? v : none,
                                "does not match event.namespace");
}

static void validate_text(struct findings *f, const json_t *object, const char *field, size_t max) {
        _cleanup_json_ json_t *none = json_string("");

        if (json_string_length(json_object_get(object, field)) > max)
                finding_add(f, FINDING_INVALID, field, none, "can have at most %zu characters",
                                max);
}

static void require_text(struct findings *f, const json_t *object, const char *field, size_t max) {
        if (isempty(json_str(object, field)))
                finding_add(f, FINDING_REQUIRED, field, NULL, NULL);
        validate_text(f, object, field, max);
}

static void validate_reporter(struct findings *f, const json_t *object, bool is_core) {
        const char *field = is_core ? "reportingComponent" : "reportingController",
                   *name = json_str_or(object, "reportingComponent", ""),
                   *error = format_check(FORMAT_QUALIFIED_NAME, name);
        _cleanup_json_ json_t *v = json_string(name);

        if (!*name)
                finding_add(f, FINDING_REQUIRED, field, NULL, NULL);
        if (error)
                finding_add(f, FINDING_INVALID, field, v, "%s", error);
}

static void validate_any(struct findings *f, const json_t *object, bool is_core) {
        bool is_new = json_at(object, "eventTime");

        validate_namespace(f, object, is_new);
        if (!is_new)
                return;
        validate_reporter(f, object, is_core);
        require_text(f, object, "reportingInstance", INSTANCE_MAX);
        require_text(f, object, "action", ACTION_MAX);
        require_text(f, object, "reason", REASON_MAX);
        validate_text(f, object, "message", NOTE_MAX);
}

static void validate_series(struct findings *f, const json_t *object) {
        const json_t *series = json_object_get(object, "series");
        _cleanup_json_ json_t *none = json_string("");

        if (!series)
                return;
        if (json_int_or(series, "count", 0) < 2)
                finding_add(f, FINDING_INVALID, "series.count", none, "should be at least 2");
        if (!json_object_get(series, "lastObservedTime"))
                finding_add(f, FINDING_REQUIRED, "series.lastObservedTime", NULL, NULL);
}

static void validate_new(struct findings *f, const json_t *object) {
        static const char *const unset[] = {"firstTimestamp", "lastTimestamp", "count", "source"};
        const char *type = json_str_or(object, "type", "");
        _cleanup_json_ json_t *none = json_string("");

        validate_series(f, object);
        if (!json_object_get(object, "eventTime"))
                finding_add(f, FINDING_REQUIRED, "eventTime", NULL, NULL);
        if (!streq(type, "Normal") && !streq(type, "Warning"))
                finding_add(f, FINDING_INVALID, "type", none, "has invalid value: %s", type);
        for (size_t i = 0; i < ELEMENTS(unset); i++) {
                const json_t *v = json_object_get(object, unset[i]);

                if (v && !(json_is_integer(v) && json_integer_value(v) == 0) &&
                                !(json_is_object(v) && isempty(json_str(v, "component")) &&
                                                isempty(json_str(v, "host"))))
                        finding_add(f, FINDING_INVALID, unset[i], none, "needs to be unset");
        }
}

/* A zero value is an absent one. */
static bool is_zero(const json_t *v) {
        return !v || (json_is_integer(v) && json_integer_value(v) == 0) ||
               (json_is_string(v) && json_string_length(v) == 0) ||
               (json_is_object(v) && json_object_size(v) == 0);
}

static void validate_change(struct findings *f, const json_t *old, const json_t *object) {
        static const char *const fixed[][2] = {
                        {"involvedObject", "involvedObject"},
                        {"reason", "reason"},
                        {"message", "message"},
                        {"source", "source"},
                        {"firstTimestamp", "firstTimestamp"},
                        {"lastTimestamp", "lastTimestamp"},
                        {"count", "count"},
                        {"type", "type"},
                        {"eventTime", "eventTime"},
                        {"action", "action"},
                        {"related", "related"},
                        {"reportingComponent", "reportingController"},
                        {"reportingInstance", "reportingInstance"},
        };
        const json_t *was = json_object_get(old, "series"), *is = json_object_get(object, "series");

        if (is && !(was && json_equal(was, is)))
                validate_series(f, object);
        for (size_t i = 0; i < ELEMENTS(fixed); i++) {
                const json_t *a = json_object_get(old, fixed[i][0]),
                             *b = json_object_get(object, fixed[i][0]);
                _cleanup_json_ json_t *none = json_null();

                if (!(is_zero(a) && is_zero(b)) && !(a && b && json_equal(a, b)))
                        finding_add(f, FINDING_INVALID, fixed[i][1], b ? b : none,
                                        "field is immutable");
        }
}

static void event_validate_as(struct findings *f, const char *api_version, const json_t *old,
                const json_t *object) {
        bool is_core = !streq(api_version, EVENTS_V1);

        validate_any(f, object, is_core);
        if (is_core)
                return;
        if (old)
                validate_change(f, old, object);
        else
                validate_new(f, object);
}

const struct kind_strategy strategies_events[] = {
                {.group = "",
                                .kind = "Event",
                                .flags = STRATEGY_NO_GENERATION,
                                .name = NAME_PATH_SEGMENT,
                                .convert = event_convert,
                                .validate_as = event_validate_as},
                {0},
};
