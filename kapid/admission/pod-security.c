/* Pod security: the table of controls (from which level and which version on each holds), running
 * it over a pod, and the words around what it finds. */
#include "kapid/admission/pod-security.h"

#include <stdarg.h>

#include "kapid/admission/pod-security-internal.h"
#include "lib/adoptable-units.h"

/* --- words --- */

/* More words than that say no more; each is compared with all. */
enum { WORDS_MAX = 200 };

void look_add(struct look *l, char ***list, const char *word) {
        if (strv_length(*list) < WORDS_MAX && !strv_contains(*list, word) &&
                        strv_extend(list, word) < 0)
                l->out_of_memory = true;
}

static int compare_words(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

void look_sort(char **list) {
        if (list)
                qsort(list, strv_length(list), sizeof(*list), compare_words);
}

char *look_quoted(struct look *l, char *const *list) {
        _cleanup_free_ char *inner = strv_join(list, "\", \"");
        char *text = inner ? strformat("\"%s\"", inner) : NULL;

        if (!text)
                l->out_of_memory = true;
        return text;
}

char *look_counted(struct look *l, const char *one, const char *many, char *const *list) {
        _cleanup_free_ char *names = look_quoted(l, list);
        char *text = names ? strformat("%s %s", strv_length(list) == 1 ? one : many, names) : NULL;

        if (!text)
                l->out_of_memory = true;
        return text;
}

char *look_containers(struct look *l, char *const *names) {
        return look_counted(l, "container", "containers", names);
}

char *look_setters(struct look *l, bool pod, char *const *names) {
        _cleanup_free_ char *containers = names ? look_containers(l, names) : NULL;
        char *text = strformat("%s%s%s", pod ? "pod" : "", pod && containers ? " and " : "",
                        strempty(containers));

        if (!text)
                l->out_of_memory = true;
        return text;
}

int look_say(struct look *l, const char *reason, const char *fmt, ...) {
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&l->detail, fmt, ap) < 0) {
                l->detail = NULL;
                l->out_of_memory = true;
        }
        va_end(ap);
        l->reason = reason;
        return 1;
}

const char *look_name_of(const json_t *container) {
        return json_str_or(container, "name", "");
}

bool look_word_in(const char *const *list, const char *word) {
        for (; *list; list++)
                if (streq(*list, word))
                        return true;
        return false;
}

void look_find_bad(struct look *l, const struct setting *s, bool *ret_pod, char ***names,
                char ***values) {
        const char *v = json_str(json_at(l->spec, "securityContext"), s->path);
        const json_t *c;
        size_t i;

        *ret_pod = v && !look_word_in(s->allowed, v);
        if (*ret_pod)
                look_add(l, values, v);
        json_array_foreach (l->containers, i, c) {
                v = json_str(json_at(c, "securityContext"), s->path);
                if (!v || look_word_in(s->allowed, v))
                        continue;
                look_add(l, names, look_name_of(c));
                look_add(l, values, v);
        }
        look_sort(*values);
}

void look_find_added(
                struct look *l, const char *const *allowed, char ***names, char ***capabilities) {
        const json_t *c, *v;
        size_t i, k;

        json_array_foreach (l->containers, i, c)
                json_array_foreach (json_at(c, "securityContext.capabilities.add"), k, v) {
                        const char *word = strempty(json_string_value(v));

                        if (look_word_in(allowed, word))
                                continue;
                        look_add(l, names, look_name_of(c));
                        look_add(l, capabilities, word);
                }
        look_sort(*capabilities);
}

/* --- the table --- */

static const struct control {
        enum security_level level;
        unsigned since; /* minor version */
        /* From this minor version on a stricter control of `restricted` replaces it there;
         * 0: there is none; ALWAYS: in all versions. */
        unsigned replaced_since;
        int (*check)(struct look *l);
} controls[] = {
                /* In the order of Kubernetes' names for them. */
                {LEVEL_BASELINE, 0, 0, check_apparmor},
                {LEVEL_BASELINE, 0, 22, check_capabilities},
                {LEVEL_BASELINE, 0, 0, check_host_namespaces},
                {LEVEL_BASELINE, 0, 1, check_host_path},
                {LEVEL_BASELINE, 0, 0, check_host_ports},
                {LEVEL_BASELINE, 34, 0, check_probe_hosts},
                {LEVEL_BASELINE, 0, 0, check_privileged},
                {LEVEL_BASELINE, 0, 0, check_proc_mount},
                {LEVEL_BASELINE, 0, 0, check_selinux},
                {LEVEL_BASELINE, 19, 19, check_seccomp},
                {LEVEL_BASELINE, 0, 0, check_sysctls},
                {LEVEL_BASELINE, 0, 0, check_host_process},
                {LEVEL_BASELINE, 0, 0, check_machine_users},
                {LEVEL_BASELINE, 0, 1, check_properties_baseline},
                {LEVEL_RESTRICTED, 8, 0, check_escalation},
                {LEVEL_RESTRICTED, 22, 0, check_capabilities_restricted},
                {LEVEL_RESTRICTED, 0, 0, check_volumes},
                {LEVEL_RESTRICTED, 0, 0, check_non_root},
                {LEVEL_RESTRICTED, 23, 0, check_root_user},
                {LEVEL_RESTRICTED, 19, 0, check_seccomp_restricted},
                {LEVEL_RESTRICTED, 0, 0, check_properties_restricted},
};

static bool applies(const struct control *c, const struct pod_security_policy *policy) {
        if (policy->level < c->level || policy->minor < c->since)
                return false;
        return policy->level != LEVEL_RESTRICTED || c->replaced_since == 0 ||
               policy->minor < c->replaced_since;
}

static json_t *all_containers(const json_t *spec) {
        static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
        json_t *all = json_array(), *c;
        size_t i;

        for (size_t l = 0; all && l < ELEMENTS(lists); l++)
                json_array_foreach (json_object_get(spec, lists[l]), i, c)
                        if (json_array_append(all, c) < 0) {
                                json_decref(all);
                                return NULL;
                        }
        return all;
}

int pod_security_check(const json_t *metadata, const json_t *spec,
                const struct pod_security_policy *policy, struct pod_security_report *ret) {
        _cleanup_pod_security_report_ struct pod_security_report r = {0};
        _cleanup_json_ json_t *containers = all_containers(spec);

        r.items = calloc(ELEMENTS(controls), sizeof(*r.items));
        if (!containers || !r.items)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(controls); i++) {
                struct look l = {.metadata = metadata,
                                .spec = spec,
                                .containers = containers,
                                .minor = policy->minor};

                if (!applies(&controls[i], policy) ||
                                (controls[i].check(&l) == 0 && !l.out_of_memory))
                        continue;
                if (l.out_of_memory || !l.detail) {
                        free(l.detail);
                        return -ENOMEM;
                }
                r.items[r.count++] = (struct pod_security_violation){l.reason, l.detail};
        }
        *ret = r;
        r = (struct pod_security_report){0};
        return 0;
}

void pod_security_report_done(struct pod_security_report *r) {
        for (size_t i = 0; i < r->count; i++)
                free(r->items[i].detail);
        free(r->items);
        *r = (struct pod_security_report){0};
}

/* --- names --- */

static const char *const level_names[] = {
                [LEVEL_PRIVILEGED] = "privileged",
                [LEVEL_BASELINE] = "baseline",
                [LEVEL_RESTRICTED] = "restricted",
};

int pod_security_level_parse(const char *word, enum security_level *ret) {
        for (size_t i = 0; i < ELEMENTS(level_names); i++)
                if (streq(level_names[i], word)) {
                        *ret = (enum security_level)i;
                        return 0;
                }
        return -EINVAL;
}

const char *pod_security_level_name(enum security_level level) {
        return level_names[level];
}

int pod_security_version_parse(const char *word, unsigned *ret_minor) {
        const char *minor = startswith(word, "v1.");
        uint32_t n;

        if (streq(word, "latest")) {
                *ret_minor = POD_SECURITY_LATEST;
                return 0;
        }
        if (!minor || (minor[0] == '0' && minor[1]) || parse_u32(minor, &n) < 0 ||
                        n >= POD_SECURITY_LATEST)
                return -EINVAL;
        *ret_minor = n;
        return 0;
}

char *pod_security_text(const struct pod_security_report *r,
                const struct pod_security_policy *policy, const char *before) {
        _cleanup_strv_free_ char **parts = NULL;
        _cleanup_free_ char *joined = NULL, *version = NULL;

        for (size_t i = 0; i < r->count; i++) {
                _cleanup_free_ char *part =
                                strformat("%s (%s)", r->items[i].reason, r->items[i].detail);

                if (!part || strv_extend(&parts, part) < 0)
                        return NULL;
        }
        version = policy->minor == POD_SECURITY_LATEST ? strdup("latest")
                                                       : strformat("v1.%u", policy->minor);
        joined = strv_join(parts, ", ");
        if (!joined || !version)
                return NULL;
        return strformat("%s PodSecurity \"%s:%s\": %s", before,
                        pod_security_level_name(policy->level), version, joined);
}

char *pod_security_reasons(const struct pod_security_report *r) {
        _cleanup_strv_free_ char **parts = NULL;

        for (size_t i = 0; i < r->count; i++)
                if (strv_extend(&parts, r->items[i].reason) < 0)
                        return NULL;
        return strv_join(parts, ", ");
}

int pod_security_check_names(const json_t *metadata, const char *field, struct problem *p) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)json_object_get(metadata, "annotations"), key, v) {
                const char *name = unit_property_of_annotation(key);
                char text[400];

                if (!name || unit_property_find(name) || adoption_is_word(name))
                        continue;
                snprintf(text, sizeof(text),
                                "Invalid value: \"%.128s\": no unit property of this name can be "
                                "set; docs/who-may-do-what.md lists those that can",
                                name);
                problem_set(p, EINVAL, 422, "Invalid", "%s[%.190s]: %s", field, key, text);
                problem_cause(p, "FieldValueInvalid", field, text);
                return -EINVAL;
        }
        return 0;
}

/* Whether every annotation of a that we look at is the same in b. */
static bool annotations_within(const json_t *a, const json_t *b) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)a, key, v)
                if ((unit_property_of_annotation(key) || startswith(key, APPARMOR_PREFIX)) &&
                                !json_equal(json_object_get(b, key), v))
                        return false;
        return true;
}

bool pod_security_annotations_equal(const json_t *metadata_a, const json_t *metadata_b) {
        const json_t *a = json_object_get(metadata_a, "annotations"),
                     *b = json_object_get(metadata_b, "annotations");

        return annotations_within(a, b) && annotations_within(b, a);
}
