/* Reading the labels of a namespace that say which pods it takes. */
#include "kapid/admission/pod-security-namespace.h"

#define LABEL(name) "pod-security.kubernetes.io/" name

static const struct {
        const char *level, *version;
} labels_of[] = {
                {LABEL("enforce"), LABEL("enforce-version")},
                {LABEL("warn"), LABEL("warn-version")},
                {LABEL("audit"), LABEL("audit-version")},
};

static const char *label(const json_t *labels, const char *key) {
        return json_string_value(json_object_get(labels, key));
}

/* Changes only what the labels mention. */
static void read_mode(const json_t *labels, size_t i, struct pod_security_policy *policy) {
        const char *level = label(labels, labels_of[i].level),
                   *version = label(labels, labels_of[i].version);

        if (level && pod_security_level_parse(level, &policy->level) < 0)
                *policy = (struct pod_security_policy){LEVEL_RESTRICTED, POD_SECURITY_LATEST};
        if (version && pod_security_version_parse(version, &policy->minor) < 0)
                policy->minor = POD_SECURITY_LATEST;
}

struct pod_security_modes pod_security_modes(
                const char *namespace, const json_t *labels, enum security_level cluster_default) {
        struct pod_security_modes m = {.enforce = {cluster_default, POD_SECURITY_LATEST}};

        if (streq(namespace, "kube-system"))
                m.enforce.level = LEVEL_PRIVILEGED;
        read_mode(labels, 0, &m.enforce);
        m.warn = m.audit = m.enforce;
        read_mode(labels, 1, &m.warn);
        read_mode(labels, 2, &m.audit);
        return m;
}

const char *pod_security_label_changed(const json_t *before, const json_t *after) {
        for (size_t i = 0; i < ELEMENTS(labels_of); i++) {
                if (!streq_ptr(label(before, labels_of[i].level), label(after, labels_of[i].level)))
                        return labels_of[i].level;
                if (!streq_ptr(label(before, labels_of[i].version),
                                    label(after, labels_of[i].version)))
                        return labels_of[i].version;
        }
        return NULL;
}

static int refuse(struct problem *p, const char *key, const char *value, const char *why) {
        char field[128], text[256];

        snprintf(field, sizeof(field), "metadata.labels[%s]", key);
        snprintf(text, sizeof(text), "Invalid value: \"%.64s\": %s", value, why);
        problem_set(p, EINVAL, 422, "Invalid", "%s: %s", field, text);
        problem_cause(p, "FieldValueInvalid", field, text);
        return -EINVAL;
}

int pod_security_labels_validate(const json_t *labels, struct problem *p) {
        for (size_t i = 0; i < ELEMENTS(labels_of); i++) {
                const char *level = label(labels, labels_of[i].level),
                           *version = label(labels, labels_of[i].version);
                enum security_level l;
                unsigned n;

                if (level && pod_security_level_parse(level, &l) < 0)
                        return refuse(p, labels_of[i].level, level,
                                        "must be one of privileged, baseline, restricted");
                if (version && pod_security_version_parse(version, &n) < 0)
                        return refuse(p, labels_of[i].version, version,
                                        "must be \"latest\" or \"v1.x\"");
        }
        return 0;
}

char *pod_security_policy_text(const struct pod_security_policy *policy) {
        const char *level = pod_security_level_name(policy->level);

        return policy->minor == POD_SECURITY_LATEST ? strformat("%s:latest", level)
                                                    : strformat("%s:v1.%u", level, policy->minor);
}
