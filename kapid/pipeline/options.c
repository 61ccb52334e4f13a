/* Options are kinds of meta.k8s.io, one for each sort of verb. */
#include "kapid/pipeline/options.h"

const char *options_kind(const char *verb) {
        if (streq(verb, "create"))
                return "CreateOptions";
        if (streq(verb, "update"))
                return "UpdateOptions";
        return streq(verb, "patch") ? "PatchOptions" : "DeleteOptions";
}

int options_refused(struct problem *p, const char *kind, const char *reason, const char *field,
                const char *text) {
        problem_set(p, EINVAL, 422, "Invalid", "%s.meta.k8s.io \"\" is invalid: %s: %s", kind,
                        field, text);
        problem_about(p, "meta.k8s.io", kind, NULL);
        problem_cause(p, reason, field, text);
        return -EINVAL;
}

int options_dry_run_refused(struct problem *p, const char *kind, const json_t *words) {
        _cleanup_free_ char *given = json_text(words), *text = NULL;

        if (given)
                text = strformat("Unsupported value: %.256s: supported values: \"All\"", given);
        return text ? options_refused(p, kind, "FieldValueNotSupported", "dryRun", text) : -ENOMEM;
}
