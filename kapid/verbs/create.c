/* POST to a collection. */
#include "kapid/pipeline/admit.h"
#include "kapid/pipeline/body.h"
#include "kapid/pipeline/write-object.h"
#include "kapid/verbs/internal.h"
#include "kapid/verbs/verbs.h"
#include "lib/object.h"
#include "lib/random.h"

enum { SUFFIX = 5, GENERATED_MAX = 63 - SUFFIX };

/* The body's generateName, or NULL when the body has a name. */
static const char *generate_base(const struct request *request) {
        if (!isempty(object_name(request->body.object)))
                return NULL;
        return json_str_or(request->body.object, "metadata.generateName", "");
}

static char *generated_name(const char *base) {
        char suffix[SUFFIX + 1];

        random_name_suffix(suffix, SUFFIX);
        return strformat("%.*s%s", GENERATED_MAX, base, suffix);
}

int create_decide(struct write *w, const json_t *live, struct decision *ret, struct problem *p) {
        const struct request *request = w->request;
        const char *base = generate_base(request);
        json_t *object;

        if (live && !base) {
                problem_set(p, EEXIST, 409, "AlreadyExists", "%s \"%s\" already exists",
                                w->kind->resource, w->name);
                problem_about(p, w->kind->group, w->kind->plural, w->name);
                return -EEXIST;
        }
        if (live) {
                ret->act = DECIDE_RENAME;
                ret->name = generated_name(base);
                return ret->name ? 0 : -ENOMEM;
        }
        if (decision_warn(ret, request->body.warnings) < 0)
                return -ENOMEM;
        object = json_tree_copy(request->body.object);
        if (!object)
                return -ENOMEM;
        return write_object(w, NULL, object, FROM_BODY, ret, p);
}

static void create_store(struct request *request) {
        const char *base = generate_base(request);
        _cleanup_free_ char *name =
                        base ? generated_name(base) : strdup(object_name(request->body.object));

        if (!name) {
                respond_errno(request, -ENOMEM);
                return;
        }
        /* A dry run asks the store too, or a taken name would go unnoticed. */
        write_start(request, &(struct write_options){.name = name,
                                             .create = !request->dry_run,
                                             .decide = create_decide});
}

static void create_check_namespace(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = request_may_create(request, &p);

        if (r < 0)
                respond_error(request, r, &p);
        else
                create_store(request);
}

static int create_begin(struct request *request, struct problem *p) {
        static const char why[] = "Required value: name or generateName is required";
        json_t *body;
        int r;

        r = request_decode(request, p);
        if (r < 0)
                return r;
        body = request->body.object;
        r = request_check_names(request, body, p);
        if (r < 0)
                return r;
        if (!isempty(json_str_or(body, "metadata.resourceVersion", "")))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "resourceVersion should not be set on objects to be created");
        request->new_name = object_name(body);
        if (!isempty(object_name(body)) || !isempty(generate_base(request)))
                return 0;
        problem_set(p, EINVAL, 422, "Invalid", "%s \"\" is invalid: metadata.name: %s",
                        request->kind->kind, why);
        problem_cause(p, "FieldValueRequired", "metadata.name", why);
        return -EINVAL;
}

void verb_create(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = create_begin(request, &p);

        if (r < 0) {
                respond_error(request, r, &p);
                return;
        }
        /* A namespace that the cache does not know yet may have been made a moment ago. */
        if (request_may_create(request, &p) < 0)
                request_freshen(request, create_check_namespace);
        else
                create_store(request);
}
