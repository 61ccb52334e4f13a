/* authorizer in expressions: questions about the rights of the requesting user, or of a service
 * account, built up by methods and asked by check() (reference: apiserver's
 * pkg/cel/library/authz.go). */
#include "kapid/policies/language.h"

enum { CHECK_COST = 350 * 1000 }; /* as Kubernetes counts a question */

/* What all classes but Decision have inside. */
struct question {
        const struct policy_authority *authority;
        struct policy_access access;
};
struct decision {
        bool allowed;
};

static bool same_address(const void *a, const void *b) {
        return a == b;
}

#define CLASS(n) \
        { \
                .type = {.kind = CEL_TYPE_OPAQUE, .name = (n), .size_max = UINT64_MAX}, \
                .equal = same_address \
        }

const struct cel_opaque_class policy_authorizer_class =
                                              CLASS("kubernetes.authorization.Authorizer"),
                              policy_resource_check_class =
                                              CLASS("kubernetes.authorization.ResourceCheck");
static const struct cel_opaque_class path_check_class = CLASS("kubernetes.authorization.PathCheck"),
                                     group_check_class =
                                                     CLASS("kubernetes.authorization.GroupCheck"),
                                     decision_class = CLASS("kubernetes.authorization.Decision");

static struct cel_value make(struct cel_run *run, const struct cel_opaque_class *class,
                const struct policy_authority *authority, const struct policy_access *access) {
        struct question *q = cel_alloc(run, sizeof(*q));

        if (!q)
                return cel_no_memory(run);
        *q = (struct question){.authority = authority, .access = *access};
        return cel_opaque(class, q);
}

static const struct policy_access nothing = {.service_account = "",
                .service_account_namespace = "",
                .verb = "",
                .path = "",
                .group = "",
                .resource = "",
                .subresource = "",
                .namespace = "",
                .name = "",
                .fields = "",
                .labels = ""};

struct cel_value policy_authorizer(struct cel_run *run, const struct policy_authority *authority) {
        return make(run, &policy_authorizer_class, authority, &nothing);
}

struct cel_value policy_request_resource(struct cel_run *run,
                const struct policy_authority *authority, const struct policy_access *access) {
        return make(run, &policy_resource_check_class, authority, access);
}

/* The receiver with one text (at `field` of its access) set to an argument. */
static struct cel_value with(struct cel_run *run, const struct cel_opaque_class *class,
                const struct cel_value *a, size_t field, struct cel_value argument) {
        const struct question *q = a[0].opaque.data;
        struct policy_access access = q->access;
        char *text = cel_c_text(run, argument);

        if (!text)
                return cel_error(run, "the text has a NUL");
        memcpy((char *)&access + field, &text, sizeof(text));
        return make(run, class, q->authority, &access);
}

#define SETTER(function, class, field) \
        static struct cel_value function( \
                        struct cel_run *run, const struct cel_value *a, size_t n) { \
                (void)n; \
                return with(run, &(class), a, offsetof(struct policy_access, field), a[1]); \
        }
SETTER(of_path, path_check_class, path)
SETTER(of_group, group_check_class, group)
SETTER(of_resource, policy_resource_check_class, resource)
SETTER(of_subresource, policy_resource_check_class, subresource)
SETTER(of_namespace, policy_resource_check_class, namespace)
SETTER(of_name, policy_resource_check_class, name)
SETTER(of_fields, policy_resource_check_class, fields)
SETTER(of_labels, policy_resource_check_class, labels)

static struct cel_value path_of(struct cel_run *run, const struct cel_value *a, size_t n) {
        if (a[1].text.size == 0)
                return cel_error(run, "path must not be empty");
        return of_path(run, a, n);
}

static struct cel_value service_account(struct cel_run *run, const struct cel_value *a, size_t n) {
        struct cel_value v;

        (void)n;
        if (a[1].text.size == 0 || a[2].text.size == 0)
                return cel_error(run, "Invalid service account name or namespace: it is empty");
        v = with(run, &policy_authorizer_class, a,
                        offsetof(struct policy_access, service_account_namespace), a[1]);
        if (cel_is_error(v))
                return v;
        return with(run, &policy_authorizer_class, &v,
                        offsetof(struct policy_access, service_account), a[2]);
}

static struct cel_value check(struct cel_run *run, const struct cel_value *a, size_t n) {
        const struct question *q = a[0].opaque.data;
        struct policy_access access = q->access;
        struct decision *d = cel_alloc(run, sizeof(*d));

        (void)n;
        access.verb = cel_c_text(run, a[1]);
        if (!d || !access.verb)
                return cel_no_memory(run);
        d->allowed = q->authority && q->authority->may(&access, q->authority->userdata);
        return cel_opaque(&decision_class, d);
}

static struct cel_value allowed(struct cel_run *run, const struct cel_value *a, size_t n) {
        const struct decision *d = a[0].opaque.data;

        (void)run;
        (void)n;
        return cel_bool(d->allowed);
}

/* The server gives no reasons and its answers never fail. */
static struct cel_value no_text(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)a;
        (void)n;
        return cel_string_at("", 0);
}

static struct cel_value no(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)a;
        (void)n;
        return cel_bool(false);
}

static uint64_t check_cost(const struct cel_value *args, size_t n, const struct cel_value *result) {
        (void)args;
        (void)n;
        (void)result;
        return CHECK_COST;
}

static void check_estimate(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        (void)args;
        (void)n;
        (void)ret_size;
        *ret_cost = (struct cel_range){CHECK_COST, CHECK_COST};
}

#define AUTHORIZER "kubernetes.authorization.Authorizer"
#define PATH "kubernetes.authorization.PathCheck"
#define GROUP "kubernetes.authorization.GroupCheck"
#define RESOURCE "kubernetes.authorization.ResourceCheck"
#define DECISION "kubernetes.authorization.Decision"

static const struct cel_row rows[] = {
                {"path", CEL_MEMBER, "(" AUTHORIZER ", string) -> " PATH, path_of},
                {"group", CEL_MEMBER, "(" AUTHORIZER ", string) -> " GROUP, of_group},
                {"serviceAccount", CEL_MEMBER, "(" AUTHORIZER ", string, string) -> " AUTHORIZER,
                                service_account},
                {"resource", CEL_MEMBER, "(" GROUP ", string) -> " RESOURCE, of_resource},
                {"subresource", CEL_MEMBER, "(" RESOURCE ", string) -> " RESOURCE, of_subresource},
                {"namespace", CEL_MEMBER, "(" RESOURCE ", string) -> " RESOURCE, of_namespace},
                {"name", CEL_MEMBER, "(" RESOURCE ", string) -> " RESOURCE, of_name},
                {"fieldSelector", CEL_MEMBER, "(" RESOURCE ", string) -> " RESOURCE, of_fields},
                {"labelSelector", CEL_MEMBER, "(" RESOURCE ", string) -> " RESOURCE, of_labels},
                {"check", CEL_MEMBER, "(" PATH ", string) -> " DECISION, check, check_cost,
                                check_estimate},
                {"check", CEL_MEMBER, "(" RESOURCE ", string) -> " DECISION, check, check_cost,
                                check_estimate},
                {"allowed", CEL_MEMBER, "(" DECISION ") -> bool", allowed},
                {"reason", CEL_MEMBER, "(" DECISION ") -> string", no_text},
                {"errored", CEL_MEMBER, "(" DECISION ") -> bool", no},
                {"error", CEL_MEMBER, "(" DECISION ") -> string", no_text},
};
static const struct cel_opaque_class *const classes[] = {&policy_authorizer_class,
                &path_check_class, &group_check_class, &policy_resource_check_class,
                &decision_class};
const struct cel_library policy_library_authorizer = {.name = "authorizer",
                .rows = rows,
                .row_count = ELEMENTS(rows),
                .classes = classes,
                .class_count = ELEMENTS(classes)};
