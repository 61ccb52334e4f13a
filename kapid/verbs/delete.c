/* DELETE of one object and of a collection (kubernetes-wire.md section 14): at once, after a grace
 * period, or when the last finalizer has gone. */
#include "kapid/pipeline/admit.h"
#include "kapid/verbs/verbs.h"
#include "kapid/pipeline/write.h"
#include "lib/object.h"
#include "lib/timefmt.h"

struct deletion {
        struct delete_options options;
        json_t *body;
        /* collections */
        struct item **items;
        size_t count, next, under_way;
        struct bytes **deleted; /* the answer: texts and commas in turn */
        size_t deleted_count;
        struct bytes *comma;
        bool failed;
};

enum { COLLECTION_PARALLEL = 16 };

static void deletion_free(void *p) {
        struct deletion *d = p;

        for (size_t i = 0; i < d->count; i++)
                item_unref(d->items[i]);
        free(d->items);
        json_decref(d->body);
        for (size_t i = 0; i < d->deleted_count; i++)
                bytes_unref(d->deleted[i]);
        free(d->deleted);
        bytes_unref(d->comma);
        free(d);
}

static int check_propagation(struct delete_options *o, const json_t *body, const char *query,
                struct problem *p) {
        const char *orphan =
                        json_is_true(json_object_get(body, "orphanDependents")) ? "Orphan" : "";

        o->propagation = json_str_or(body, "propagationPolicy", isempty(query) ? orphan : query);
        if (isempty(o->propagation) || streq(o->propagation, "Background") ||
                        streq(o->propagation, "Foreground") || streq(o->propagation, "Orphan"))
                return 0;
        problem_set(p, EINVAL, 422, "Invalid",
                        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported "
                        "value: \"%.64s\": supported values: \"Background\", \"Foreground\", "
                        "\"Orphan\"",
                        o->propagation);
        problem_cause(p, "FieldValueNotSupported", "propagationPolicy", "Unsupported value");
        return -EINVAL;
}

int delete_options_parse(struct request *r, const json_t *body, struct delete_options *ret,
                struct problem *p) {
        const char *grace = request_query(r, "gracePeriodSeconds");
        struct delete_options o = {.grace_s = json_int_or(body, "gracePeriodSeconds", -1),
                        .uid = json_str(body, "preconditions.uid"),
                        .resource_version = json_str(body, "preconditions.resourceVersion")};
        const json_t *dry_run = json_object_get(body, "dryRun"), *v;
        size_t i;
        int e;

        if (!isempty(grace) && o.grace_s < 0 && parse_i64(grace, &o.grace_s) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "gracePeriodSeconds: must be a number");
        if (o.grace_s < -1)
                o.grace_s = 1;
        json_array_foreach (dry_run, i, v) {
                if (!streq(strempty(json_string_value(v)), "All")) {
                        problem_set(p, EINVAL, 422, "Invalid",
                                        "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: "
                                        "Unsupported value: supported values: \"All\"");
                        problem_cause(p, "FieldValueNotSupported", "dryRun", "Unsupported value");
                        return -EINVAL;
                }
                r->dry_run = true;
        }
        e = check_propagation(&o, body, request_query(r, "propagationPolicy"), p);
        if (e >= 0)
                *ret = o;
        return e;
}

static int check_preconditions(struct write *w, const struct delete_options *o, const json_t *live,
                struct problem *p) {
        const char *version = json_str_or(live, "metadata.resourceVersion", "");

        if (!isempty(o->uid) && !streq(o->uid, object_uid(live)))
                return problem_set(p, EEXIST, 409, "Conflict",
                                "Operation cannot be fulfilled on %s \"%s\": Precondition failed: "
                                "UID in precondition: %s, UID in object meta: %s",
                                w->kind->resource, w->name, o->uid, object_uid(live));
        if (!isempty(o->resource_version) && !streq(o->resource_version, version))
                return problem_set(p, EEXIST, 409, "Conflict",
                                "Operation cannot be fulfilled on %s \"%s\": Precondition failed: "
                                "ResourceVersion in precondition: %s, ResourceVersion in object "
                                "meta: %s",
                                w->kind->resource, w->name, o->resource_version, version);
        return 0;
}

static int drop_finalizer(json_t *list, const char *name) {
        for (size_t i = json_array_size(list); i-- > 0;)
                if (streq(strempty(json_string_value(json_array_get(list, i))), name) &&
                                json_array_remove(list, i) < 0)
                        return -ENOMEM;
        return 0;
}

/* The garbage collector's two finalizers follow the policy; others stay as they are. */
static int set_finalizers(json_t *object, const char *propagation) {
        json_t *list = json_at_mut(object, "metadata.finalizers");
        const char *wanted = streq(propagation, "Orphan")       ? "orphan"
                             : streq(propagation, "Foreground") ? "foregroundDeletion"
                                                                : NULL;
        int r = 0;

        if (isempty(propagation))
                return 0;
        if (list) {
                r = drop_finalizer(list, "orphan");
                if (r >= 0)
                        r = drop_finalizer(list, "foregroundDeletion");
        }
        if (r < 0 || !wanted)
                return r;
        if (!list) {
                list = json_array();
                if (!list || json_set_at(object, "metadata.finalizers", list) < 0)
                        return -ENOMEM;
        }
        return json_array_append_new(list, json_string(wanted)) < 0 ? -ENOMEM : 0;
}

static int mark_deleted(struct write *w, const json_t *live, json_t *object, int64_t grace) {
        char end[TIMEFMT_SIZE];
        uint64_t now = w->r->now_us;
        int r;

        if (object_is_deleting(live)) {
                int64_t had = json_int_or(live, "metadata.deletionGracePeriodSeconds", 0);

                if (grace >= had) /* a second delete may only shorten */
                        return 0;
        } else {
                r = json_set_int(object, "metadata.generation", object_generation(live) + 1);
                if (r < 0)
                        return r;
        }
        r = json_set_str(object, "metadata.deletionTimestamp",
                        time_format(now + (uint64_t)grace * 1000000, end));
        if (r >= 0)
                r = json_set_int(object, "metadata.deletionGracePeriodSeconds", grace);
        if (r >= 0 && streq(w->kind->storage_prefix, "/registry/namespaces/"))
                r = json_set_str(object, "status.phase", "Terminating");
        return r;
}

int delete_decide(struct write *w, const json_t *live, struct problem *p) {
        const struct delete_options *o = w->userdata;
        _cleanup_json_ json_t *object = NULL;
        int64_t grace;
        int r;

        if (!live)
                return problem_not_found(p, w->kind, w->name);
        r = check_preconditions(w, o, live, p);
        if (r >= 0)
                r = write_admit_deletion(w, ADMISSION_MAY_DELETE, live, p);
        if (r < 0)
                return r;
        object = json_deep_copy(live);
        if (!object)
                return -ENOMEM;
        w->no_retry = !isempty(o->resource_version);
        grace = machine_grace_seconds(w->kind, live, o->grace_s);
        r = set_finalizers(object, o->propagation);
        if (r < 0)
                return r;
        if (grace <= 0 && json_array_size(json_at(object, "metadata.finalizers")) == 0 &&
                        json_array_size(json_at(object, "spec.finalizers")) == 0) {
                w->act = WRITE_DELETE;
                w->object = TAKE_PTR(object);
                return write_admit_deletion(w, ADMISSION_DELETED, w->object, p);
        }
        r = mark_deleted(w, live, object, MAX(grace, 0));
        if (r < 0)
                return r;
        w->act = json_equal(object, live) ? WRITE_NOTHING : WRITE_PUT;
        w->object = TAKE_PTR(object);
        return 0;
}

void delete_respond(struct write *w, const struct problem *p) {
        if (p)
                respond_problem(w->r, p);
        else if (w->act == WRITE_DELETE && w->kind->stored && !streq(w->kind->plural, "pods"))
                respond_success(w->r, 200, w->name, object_uid(w->object));
        else
                respond_object(w->r, 200, w->object);
}

static struct deletion *begin(struct request *r) {
        _cleanup_problem_ struct problem p = {0};
        struct deletion *d = calloc(1, sizeof(*d));
        const char *data;
        size_t n;
        int e = -ENOMEM;

        if (d) {
                r->state = d;
                r->free_state = deletion_free;
                data = request_body(r, &n);
                e = machine_decode_delete_options(
                                request_header(r, "Content-Type"), data, n, &d->body, &p);
                if (e >= 0)
                        e = delete_options_parse(r, d->body, &d->options, &p);
        }
        if (e >= 0)
                return d;
        if (p.code)
                respond_problem(r, &p);
        else
                respond_errno(r, e);
        return NULL;
}

/* The options' strings may be the HTTP request's: it can go away under the write. */
static void verb_delete_strings(struct deletion *d) {
        static const char *const words[] = {"Background", "Foreground", "Orphan"};
        const char *policy = d->options.propagation;

        d->options.propagation = "";
        for (size_t i = 0; i < ELEMENTS(words); i++)
                if (streq(words[i], policy))
                        d->options.propagation = words[i];
}

void verb_delete(struct request *r) {
        struct deletion *d = begin(r);

        if (!d)
                return;
        verb_delete_strings(d);
        write_start(r, r->kind, r->route.namespace, r->route.name, false, delete_decide,
                        delete_respond, &d->options);
}

/* --- collections --- */

static void collection_go_on(struct request *r);

/* As text at once: a tree takes many times as much. Slot 0 is for the head. */
static void add_deleted(struct deletion *d, const json_t *object) {
        _cleanup_free_ char *text = json_text(object);
        _cleanup_bytes_ struct bytes *b = text ? bytes_new(text, strlen(text)) : NULL;

        if (!b)
                return;
        if (d->deleted_count > 1)
                d->deleted[d->deleted_count++] = bytes_ref(d->comma);
        d->deleted[d->deleted_count++] = bytes_ref(b);
}

static void on_one_deleted(struct write *w, const struct problem *p) {
        struct request *r = w->r;
        struct deletion *d = r->state;

        d->under_way--;
        if (p && p->code != 404 && p->code != 409 && !d->failed) {
                d->failed = true;
                respond_problem(r, p);
        } else if (!p && w->object) {
                add_deleted(d, w->object);
        }
        collection_go_on(r);
}

static void collection_respond(struct request *r) {
        struct deletion *d = r->state;
        char head[512];
        int n = snprintf(head, sizeof(head),
                        "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{"
                        "\"resourceVersion\":\"%llu\"},\"items\":[",
                        r->kind->list_kind, r->kind->api_version,
                        (unsigned long long)caches_revision(r->api->caches));
        struct bytes *first = n > 0 && (size_t)n < sizeof(head) ? bytes_new(head, (size_t)n) : NULL,
                     *last = bytes_new("]}", 2);

        if (!first || !last) {
                bytes_unref(first);
                bytes_unref(last);
                respond_errno(r, ENOMEM);
                return;
        }
        bytes_unref(d->deleted[0]);
        d->deleted[0] = first;
        d->deleted[d->deleted_count++] = last;
        respond_pieces(r, 200, "application/json", d->deleted, d->deleted_count);
}

static void collection_go_on(struct request *r) {
        struct deletion *d = r->state;

        while (!d->failed && d->next < d->count && d->under_way < COLLECTION_PARALLEL) {
                size_t i = d->next++;
                const char *path = item_path(d->items[i]), *slash = strchr(path, '/');
                _cleanup_free_ char *namespace =
                                slash && r->kind->namespaced ? strndup(path, (size_t)(slash - path))
                                                             : strdup("");

                if (!namespace) {
                        d->failed = true;
                        respond_errno(r, ENOMEM);
                        return;
                }
                d->under_way++;
                write_start(r, r->kind, namespace, slash && r->kind->namespaced ? slash + 1 : path,
                                false, delete_decide, on_one_deleted, &d->options);
                d->items[i] = item_unref(d->items[i]);
        }
        if (!d->failed && d->next == d->count && d->under_way == 0 && r->http)
                collection_respond(r);
}

static int collect(struct request *r, struct deletion *d, struct problem *p) {
        _cleanup_(selection_done) struct selection s = {0};
        _cleanup_free_ char *prefix = NULL;
        int e = selection_parse(r, &s, p);

        if (e < 0)
                return e;
        prefix = selection_prefix(r->kind, &s);
        d->comma = bytes_new(",", 1);
        if (!prefix || !d->comma)
                return -ENOMEM;
        d->items = calloc(cache_count(r->cache) + 1, sizeof(*d->items));
        if (!d->items)
                return -ENOMEM;
        for (struct item *it = cache_first(r->cache, prefix);
                        it && startswith(item_path(it), prefix); it = cache_next(r->cache, it))
                if (selection_matches(r->kind, &s, it))
                        d->items[d->count++] = item_ref(it);
        d->deleted = calloc(2 * d->count + 3, sizeof(*d->deleted));
        if (!d->deleted)
                return -ENOMEM;
        d->deleted[d->deleted_count++] = bytes_ref(d->comma); /* the head's place */
        return 0;
}

static void collection_start(struct request *r) {
        _cleanup_problem_ struct problem p = {0};
        int e = collect(r, r->state, &p);

        if (e >= 0)
                collection_go_on(r);
        else if (p.code)
                respond_problem(r, &p);
        else
                respond_errno(r, e);
}

void verb_delete_collection(struct request *r) {
        struct deletion *d = begin(r);

        if (!d)
                return;
        verb_delete_strings(d);
        request_freshen(r, collection_start);
}
