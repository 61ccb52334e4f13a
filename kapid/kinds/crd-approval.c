/* Whose group a definition is in, and what its annotation says. Texts are the API's. */
#include "kapid/kinds/crd-approval.h"

#include <ctype.h>
#define SEE ", see https://github.com/kubernetes/enhancements/pull/1111"

static bool is_protected(const char *group) {
        static const char *const domains[] = {"k8s.io", "kubernetes.io"};
        size_t n = strlen(group);

        for (size_t i = 0; i < ELEMENTS(domains); i++) {
                size_t m = strlen(domains[i]);

                if (n >= m && streq(group + n - m, domains[i]) &&
                                (n == m || group[n - m - 1] == '.'))
                        return true;
        }
        return false;
}

/* SCHEME://HOST... Words may follow behind the host. */
static bool is_address(const char *text) {
        size_t n = isalpha((unsigned char)*text) ? 1 : 0, host;

        while (n > 0 && (isalnum((unsigned char)text[n]) || (text[n] && strchr("+-.", text[n]))))
                n++;
        if (n == 0 || !startswith(text + n, "://"))
                return false;
        for (const char *s = text; *s; s++)
                if (iscntrl((unsigned char)*s))
                        return false;
        host = strcspn(text + n + 3, "/?#");
        return host > 0 && !memchr(text + n + 3, ' ', host);
}

enum crd_approval crd_approval_of(const json_t *crd, char **ret_why) {
        const char *text = strempty(json_string_value(json_object_get(
                        json_at(crd, "metadata.annotations"), CRD_APPROVAL_ANNOTATION)));

        *ret_why = NULL;
        if (!is_protected(json_str_or(crd, "spec.group", "")))
                return CRD_APPROVAL_NEEDLESS;
        if (!*text) {
                *ret_why = strdup("protected groups must have approval annotation "
                                  "\"" CRD_APPROVAL_ANNOTATION "\"" SEE);
                return CRD_APPROVAL_MISSING;
        }
        if (startswith(text, "unapproved")) {
                *ret_why = strformat("not approved: \"%s\"", text);
                return CRD_APPROVAL_BYPASSED;
        }
        if (is_address(text)) {
                *ret_why = strformat("approved in %s", text);
                return CRD_APPROVAL_GIVEN;
        }
        *ret_why = strdup("protected groups must have approval annotation "
                          "\"" CRD_APPROVAL_ANNOTATION "\" with either a URL or a reason starting "
                          "with \"unapproved\"" SEE);
        return CRD_APPROVAL_INVALID;
}

const char *crd_approval_reason(enum crd_approval approval) {
        switch (approval) {
        case CRD_APPROVAL_MISSING:
                return "MissingAnnotation";
        case CRD_APPROVAL_BYPASSED:
                return "UnapprovedAnnotation";
        case CRD_APPROVAL_INVALID:
                return "InvalidAnnotation";
        case CRD_APPROVAL_GIVEN:
                return "ApprovedAnnotation";
        case CRD_APPROVAL_NEEDLESS:
                break;
        }
        return NULL;
}
