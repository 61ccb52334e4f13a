/* From requests and writes to admission's questions: plugins see the request and the
 * objects, not the state of a write. */
#include "kapid/pipeline/admit.h"

#include "kapid/admission/quota-accounts.h"

static struct admission of_request(
                const struct request *request, enum admission_operation operation) {
        const struct route *route = &request->route;

        return (struct admission){.api = request->api,
                        .user = &request->user,
                        .now_us = request->now_us,
                        .dry_run = request->dry_run,
                        .operation = operation,
                        .kind = request->kind,
                        .subresource = request->sub ? request->sub->name : "",
                        .namespace = strempty(route->namespace),
                        .name = strempty(isempty(route->name) ? request->new_name : route->name)};
}

static int add_key(void *userdata, const char *key, const char *owner) {
        return decision_add_key(userdata, key, owner, owner != NULL);
}

static int replace_key(void *userdata, const char *key, const char *value, uint64_t revision) {
        return decision_replace_key(userdata, key, value, revision);
}

static struct admission of_write(struct write *w, enum admission_operation operation) {
        struct admission a = of_request(w->request, operation);

        a.kind = w->kind;
        a.namespace = w->namespace;
        a.name = w->name;
        a.warnings = &w->decision->warnings;
        a.add_key = add_key;
        a.replace_key = replace_key;
        a.userdata = w->decision;
        return a;
}

int request_may_create(struct request *request, struct problem *p) {
        struct admission a = of_request(request, ADMIT_CREATE);

        return admission_run(request->api->admission, &a, ADMISSION_MAY_CREATE, p);
}

int write_may_create(struct write *w, const struct kind *now, struct problem *p) {
        struct admission a = of_request(w->request, ADMIT_CREATE);

        a.kind = now;
        return admission_run(w->request->api->admission, &a, ADMISSION_MAY_CREATE, p);
}

int request_may_connect(struct request *request, const json_t *live, struct problem *p) {
        struct admission a = of_request(request, ADMIT_CONNECT);

        a.live = live;
        return admission_run(request->api->admission, &a, ADMISSION_MAY_CONNECT, p);
}

int write_admit(struct write *w, enum admission_stage stage, const json_t *live, json_t *object,
                struct problem *p) {
        struct admission a = of_write(w, live ? ADMIT_UPDATE : ADMIT_CREATE);

        a.live = live;
        a.object = object;
        a.draft = stage == ADMISSION_MUTATE ? object : NULL;
        return admission_run(w->request->api->admission, &a, stage, p);
}

bool write_is_charged(const struct write *w) {
        return w->kind->namespaced && quotas_has(w->request->api->quotas, w->namespace);
}

int write_charge(struct write *w, const json_t *live, struct problem *p) {
        struct admission a = of_write(w, live ? ADMIT_UPDATE : ADMIT_CREATE);

        /* A write of another object than the request's (a budget) is of that object itself. */
        if (w->kind != w->request->kind)
                a.subresource = "";
        a.live = live;
        a.object = w->decision->object;
        return admission_run(w->request->api->admission, &a, ADMISSION_CHARGE, p);
}

int write_admit_deletion(struct write *w, enum admission_stage stage, const json_t *live,
                struct problem *p) {
        struct admission a = of_write(w, ADMIT_DELETE);

        a.subresource = ""; /* an eviction deletes the pod itself */
        a.live = live;
        return admission_run(w->request->api->admission, &a, stage, p);
}
