/* POST to a collection. */
#include "kapid/pipeline/admit.h"
#include "kapid/verbs/verbs.h"
#include "kapid/pipeline/write.h"
#include "lib/object.h"
#include "lib/random.h"

enum { SUFFIX = 5, GENERATED_MAX = 63 - SUFFIX };

struct create {
        json_t *body;
        char **warnings;
        char *generate; /* generateName, when the name is ours to make */
};

static void create_free(void *p) {
        struct create *c = p;

        json_decref(c->body);
        strv_free(c->warnings);
        free(c->generate);
        free(c);
}

static char *generated_name(const char *base) {
        char suffix[SUFFIX + 1];

        random_name_suffix(suffix, SUFFIX);
        return strformat("%.*s%s", GENERATED_MAX, base, suffix);
}

static int create_decide(struct write *w, const json_t *live, struct problem *p) {
        struct create *c = w->r->state;
        json_t *object;

        if (live) {
                _cleanup_free_ char *name = c->generate ? generated_name(c->generate) : NULL;
                int e;

                if (!name)
                        return problem_set(p, EEXIST, 409, "AlreadyExists",
                                        "%s \"%s\" already exists", w->kind->resource, w->name);
                e = write_rename(w, name);
                if (e < 0)
                        return e;
                w->created = true;
        }
        for (char **s = c->warnings; s && *s; s++)
                if (strv_extend(&w->warnings, *s) < 0)
                        return -ENOMEM;
        object = json_deep_copy(c->body);
        return object ? write_new_object(w, object, false, p) : -ENOMEM;
}

static void create_respond(struct write *w, const struct problem *p) {
        if (!p && w->r->dry_run && w->object)
                json_del_at(w->object, "metadata.resourceVersion");
        write_respond(w, p);
}

static void create_store(struct request *r) {
        struct create *c = r->state;
        _cleanup_free_ char *name = NULL;

        name = c->generate ? generated_name(c->generate) : strdup(object_name(c->body));
        if (!name) {
                respond_errno(r, ENOMEM);
                return;
        }
        /* A dry run asks the store too, or a taken name would go unnoticed. */
        write_start(r, r->kind, r->route.namespace, name, !r->dry_run, create_decide,
                        create_respond, NULL);
}

static void create_check_namespace(struct request *r) {
        _cleanup_problem_ struct problem p = {0};

        if (request_may_create(r, &p) < 0)
                respond_problem(r, &p);
        else
                create_store(r);
}

static int create_begin(struct request *r, struct create *c, struct problem *p) {
        _cleanup_(decoded_done) struct decoded d = {0};
        const char *data;
        size_t n;
        int e;

        data = request_body(r, &n);
        e = machine_decode(r->kind, NULL, request_header(r, "Content-Type"), data, n, r->validation,
                        &d, p);
        if (e < 0)
                return e;
        c->body = TAKE_PTR(d.object);
        c->warnings = TAKE_PTR(d.warnings);
        e = body_check_names(r, c->body, p);
        if (e < 0)
                return e;
        if (!isempty(json_str_or(c->body, "metadata.resourceVersion", "")))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "resourceVersion should not be set on objects to be created");
        r->new_name = object_name(c->body);
        if (isempty(object_name(c->body))) {
                const char *base = json_str_or(c->body, "metadata.generateName", "");

                if (isempty(base)) {
                        problem_set(p, EINVAL, 422, "Invalid",
                                        "%s \"\" is invalid: metadata.name: Required value: name "
                                        "or "
                                        "generateName is required",
                                        r->kind->kind);
                        problem_cause(p, "FieldValueRequired", "metadata.name",
                                        "Required value: name or generateName is required");
                        return -EINVAL;
                }
                c->generate = strdup(base);
                if (!c->generate)
                        return -ENOMEM;
        }
        return 0;
}

void verb_create(struct request *r) {
        _cleanup_problem_ struct problem p = {0};
        struct create *c = calloc(1, sizeof(*c));
        int e = c ? 0 : -ENOMEM;

        if (c) {
                r->state = c;
                r->free_state = create_free;
                e = create_begin(r, c, &p);
        }
        if (e < 0) {
                if (p.code)
                        respond_problem(r, &p);
                else
                        respond_errno(r, e);
                return;
        }
        /* A namespace that the cache does not know yet may have been made a moment ago. */
        if (request_may_create(r, &p) < 0)
                request_freshen(r, create_check_namespace);
        else
                create_store(r);
}
