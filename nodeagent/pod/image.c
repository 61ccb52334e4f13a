/* A container's image: what its name means, whether the machine has it, the pull that was asked
 * for. Once it is the container's (container_use_image()) nothing here asks for it again: the
 * record of the pod names it by its id, so that the agent's and the machine's restarts find the
 * same one. */
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/image/store.h"
#include "nodeagent/image/user.h"
#include "nodeagent/image-pulls.h"
#include "nodeagent/plan/image.h"
#include "nodeagent/pod/pod.h"
#include "nodeagent/runtime/images.h"

static const char *spec_image(const struct container *c) {
        return json_str_or(container_spec(c), "image", "");
}

static void forget_pull(struct container_image *m) {
        m->wait = image_wait_cancel(m->wait);
        m->pulled = false;
        m->reason = mfree(m->reason);
        m->message = mfree(m->message);
        m->took_us = m->waited_us = m->size_bytes = m->retry_after_us = 0;
}

void container_image_done(struct container *c) {
        struct container_image *m = &c->image;

        forget_pull(m);
        m->of = mfree(m->of);
        m->invalid = mfree(m->invalid);
        m->broken = mfree(m->broken);
        json_decref(TAKE_PTR(m->kind));
        json_decref(TAKE_PTR(m->used));
}

/* ---- what the store has ---- */

/* The user that the container has by its pod, or else by its image: as image/user.h takes it. The
 * caller frees. */
static char *user_text(const struct container *c, const json_t *record) {
        const json_t *user = pod_security_setting(c->pod->object, container_spec(c), "runAsUser");

        if (json_is_integer(user))
                return strformat("%lld", (long long)json_integer_value(user));
        return strdup(json_str_or(record, "config.User", ""));
}

static json_t *user_json(const struct image_user *user) {
        _cleanup_json_ json_t *groups = json_array();

        for (size_t i = 0; i < user->group_count; i++)
                if (json_array_append_new(groups, json_integer(user->groups[i])) < 0)
                        return NULL;
        return json_pack("{s:I, s:I, s:O, s:s}", "uid", (json_int_t)user->uid, "gid",
                        (json_int_t)user->gid, "groups", groups, "home", user->home);
}

/* The image as the plan takes it, from a record of the store. The caller unrefs. */
static int plan_form(
                const struct container *c, const json_t *record, json_t **ret, struct problem *p) {
        _cleanup_free_ char *text = user_text(c, record);
        const char *root = json_str_or(record, "root", "");
        struct image_user user = {0};
        json_t *about;
        int r;

        if (!text)
                return -ENOMEM;
        r = image_user_find(root, text, &user, p);
        if (r < 0)
                return r;
        about = user_json(&user);
        if (!about)
                return -ENOMEM;
        *ret = json_pack("{s:s, s:O, s:s, s:s, s:s, s:O*, s:o}", "root", "oci", "name",
                        json_object_get(c->image.kind, "name"), "id", json_str_or(record, "id", ""),
                        "digest", json_str_or(record, "digest", ""), "path", root, "config",
                        json_object_get(record, "config"), "user", about);
        return *ret ? 0 : -ENOMEM;
}

/* The store's image of that name or id, in the plan's form. -ENOENT without p: it is not there;
 * other errors with p. */
static int look_up(const struct container *c, const char *name, json_t **ret, struct problem *p) {
        struct image_store *store = c->pod->pods->agent->images;
        _cleanup_json_ json_t *record = NULL;
        int r = image_store_find(store, name, &record);

        if (r == -ENOENT)
                return r;
        if (r < 0)
                return problem_set(p, -r, 0, "ImageInspectError",
                                "its record in " IMAGE_STORE_DIR " cannot be read: %s",
                                strerror(-r));
        r = plan_form(c, record, ret, p);
        if (r >= 0)
                return 0;
        if (!p->message)
                return problem_set(p, -r, 0, "ImageInspectError", "its user cannot be found: %s",
                                strerror(-r));
        /* Not -ENOENT: the image is here, its user is not. */
        p->reason = "CreateContainerConfigError";
        return -EINVAL;
}

/* ---- the container's own image ---- */

/* "docker.io/library/nginx@sha256:..."; an image without a manifest's digest is shown by its id. */
static json_t *shown_id(const json_t *used) {
        const char *name = json_str_or(used, "name", ""), *digest = json_str_or(used, "digest", ""),
                   *at = strchr(name, '@'), *slash = strrchr(name, '/'),
                   *colon = slash ? strchr(slash, ':') : NULL, *end = at ? at : colon;

        if (!*digest)
                return json_string(json_str_or(used, "id", ""));
        return json_sprintf("%.*s@%s", end ? (int)(end - name) : (int)strlen(name), name, digest);
}

static void take(struct container *c, json_t *used) {
        struct container_image *m = &c->image;
        struct container_record *r = c->record;

        forget_pull(m);
        json_decref(m->used);
        m->used = used;
        json_decref(r->image);
        r->image = json_pack("{s:s, s:O, s:O, s:o}", "of", m->of, "name",
                        json_object_get(used, "name"), "id", json_object_get(used, "id"), "shown",
                        shown_id(used));
        assert(r->image);
}

void container_use_image(struct container *c) {
        _cleanup_problem_ struct problem p = {0};
        json_t *used = NULL;
        int r = look_up(c, json_str_or(c->image.kind, "name", ""), &used, &p);

        if (r < 0) {
                /* Removed a moment ago: the next look asks for it again. */
                c->image.pulled = false;
                return;
        }
        take(c, used);
        container_image_mark_used(c);
}

void container_image_mark_used(const struct container *c) {
        const char *id = json_str(c->image.used, "id");
        int r;

        if (!id)
                return;
        r = image_store_mark_used(c->pod->pods->agent->images, id, now_wall_us());
        if (r < 0)
                log_debug("The use of image %s was not noted: %s", id, strerror(-r));
}

/* The image that the container had before the agent or the machine was restarted. */
static void take_recorded(struct container *c) {
        const json_t *recorded = c->record->image;
        _cleanup_problem_ struct problem p = {0};
        json_t *used = NULL;

        if (!recorded || !streq(json_str_or(recorded, "of", ""), c->image.of))
                return;
        if (look_up(c, json_str_or(recorded, "id", ""), &used, &p) >= 0)
                take(c, used);
}

/* Makes what is known be about the image that the spec names now. */
static void follow_spec(struct container *c) {
        struct container_image *m = &c->image;
        const char *name = spec_image(c);
        _cleanup_problem_ struct problem p = {0};

        if (streq_ptr(m->of, name))
                return;
        container_image_done(c);
        container_memory_new_image(&c->memory);
        m->of = strdup(name);
        assert(m->of);
        if (image_resolve(container_spec(c), &m->kind, &p) < 0) {
                m->invalid = strdup(strempty(p.message));
                assert(m->invalid);
                return;
        }
        if (image_is_layered(m->kind)) {
                take_recorded(c);
                return;
        }
        m->used = json_ref(m->kind);
        json_decref(TAKE_PTR(c->record->image));
}

/* ---- what a look sees ---- */

/* State of an image that is not the container's yet, and for which no pull runs. */
static void view_store(struct container *c, struct image_view *v) {
        struct container_image *m = &c->image;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *there = NULL;
        int r = look_up(c, json_str_or(m->kind, "name", ""), &there, &p);

        if (m->message) {
                v->state = IMAGE_FAILED;
                v->reason = m->reason;
                v->message = m->message;
                v->retry_after_us = m->retry_after_us;
        } else if (r == -ENOENT) {
                m->pulled = false;
                v->state = IMAGE_MISSING;
        } else if (r < 0 && (m->pulled || !streq(v->policy, "Always"))) {
                free(m->broken);
                m->broken = strdup(strempty(p.message));
                assert(m->broken);
                v->state = IMAGE_BROKEN;
                v->reason = p.reason;
                v->message = m->broken;
        } else if (r >= 0 && m->pulled) {
                v->state = IMAGE_PULLED;
                v->took_us = m->took_us;
                v->waited_us = m->waited_us;
                v->size_bytes = m->size_bytes;
        } else
                v->state = IMAGE_THERE;
}

void container_image_view(struct container *c, struct image_view *ret) {
        struct container_image *m = &c->image;

        follow_spec(c);
        *ret = (struct image_view){.name = m->of,
                        .policy = image_pull_policy(m->kind, container_spec(c)),
                        .layered = image_is_layered(m->kind)};
        if (m->used)
                ret->state = IMAGE_READY;
        else if (m->invalid) {
                ret->state = IMAGE_INVALID;
                ret->message = m->invalid;
        } else if (m->wait) {
                ret->state = IMAGE_PULLING;
                ret->message = image_wait_text(m->wait);
        } else
                view_store(c, ret);
}

/* ---- pulling ---- */

static void on_pulled(const struct image_pull_result *result, void *userdata) {
        struct container *c = userdata;
        struct container_image *m = &c->image;

        m->wait = NULL;
        m->took_us = result->took_us;
        m->waited_us = result->waited_us;
        m->pulled = !result->problem;
        if (m->pulled)
                m->size_bytes = (uint64_t)json_int_or(result->image, "size", 0);
        else {
                m->reason = strdup(
                                result->problem->reason ? result->problem->reason : "ErrImagePull");
                m->message = strdup(strempty(result->problem->message));
                m->retry_after_us = (uint64_t)MAX(result->problem->retry_after_s, 0) * 1000000;
                assert(m->reason && m->message);
        }
        pod_wake(c->pod);
}

static void on_progress(void *userdata) {
        struct container *c = userdata;

        pod_wake(c->pod);
}

/* The pull failed before it began. */
static void pull_not_started(struct container *c, int error) {
        struct container_image *m = &c->image;

        m->reason = strdup("ErrImagePull");
        m->message = strformat("the pull cannot be started: %s", strerror(-error));
        assert(m->reason && m->message);
}

void container_pull(struct container *c) {
        struct container_image *m = &c->image;
        struct pod *p = c->pod;
        _cleanup_json_ json_t *credentials = NULL;
        _cleanup_free_ char *missing = NULL;
        int r = pod_pull_credentials(p->object, p->sandbox.resources, &credentials, &missing);

        assert(!m->wait);
        forget_pull(m);
        if (r < 0) {
                pull_not_started(c, r);
                return;
        }
        if (missing)
                pod_event(p, "Warning", "FailedToRetrieveImagePullSecret",
                                "Unable to retrieve some image pull secrets (%s); attempting to "
                                "pull the image may not succeed.",
                                missing);
        r = image_pulls_want(p->pods->agent->pulls,
                        &(struct image_want){.image = json_str_or(m->kind, "name", ""),
                                        .credentials = credentials,
                                        .done = on_pulled,
                                        .progress = on_progress,
                                        .userdata = c},
                        &m->wait);
        if (r < 0)
                pull_not_started(c, r);
}
