/* The requests that several steps of a run make, as parts of actions, and how an action of a run
 * fails: with a message for the status and the reason of its condition. */
#include "lib/object.h"
#include "reconcilers/gitsync/people.h"
#include "reconcilers/gitsync/gitsync-internal.h"

struct gitsync *gitsync_of(const struct running_action *a) {
        return a->context;
}

void gitsync_cancel_call(struct running_action *a) {
        a->handle = api_call_cancel(a->handle);
}

int gitsync_get(struct running_action *a, const char *path, api_done_func done) {
        struct api_call *call = NULL;
        int r;

        if (!path)
                return -ENOMEM;
        r = api_get_async(gitsync_client(gitsync_of(a)), path, done, a, &call);
        a->handle = call;
        return r;
}

/* The path of a wanted object with our field manager and these further parts of the query. */
static char *wanted_path(const struct gitsync *s, const struct wanted *w, const char *flags) {
        const json_t *o = w->item->object;
        _cleanup_free_ char *escaped = url_escape(s->manager), *query = NULL;

        query = escaped ? strformat("fieldManager=%s%s", escaped, flags) : NULL;
        return query ? api_path(w->resource, w->resource->namespaced ? object_namespace(o) : NULL,
                                       object_name(o), /* subresource= */ NULL, query)
                     : NULL;
}

int gitsync_send_apply(struct running_action *a, const struct wanted *w, enum apply_mode mode,
                api_done_func done) {
        static const char *const flags[] = {
                        [APPLY_TRIAL] = "&fieldValidation=Strict&dryRun=All",
                        [APPLY_FORCED_TRIAL] = "&fieldValidation=Strict&dryRun=All&force=true",
                        [APPLY_REAL] = "&fieldValidation=Strict&force=true",
        };
        struct gitsync *s = gitsync_of(a);
        _cleanup_free_ char *path = wanted_path(s, w, flags[mode]);
        struct api_call *call = NULL;
        int r;

        if (!path)
                return -ENOMEM;
        if (mode == APPLY_REAL)
                gitsync_suspect_seen(s, w);
        r = api_patch_async(
                        gitsync_client(s), path, API_PATCH_APPLY, w->item->object, done, a, &call);
        a->handle = call;
        return r;
}

int gitsync_send_take_over(struct running_action *a, const struct wanted *w, const json_t *managed,
                const char *version, api_done_func done) {
        struct gitsync *s = gitsync_of(a);
        _cleanup_free_ char *path = wanted_path(s, w, "");
        _cleanup_json_ json_t *patch = NULL, *fields = NULL;
        struct api_call *call = NULL;
        int r;

        fields = people_take_over(managed, s->manager, object_api_version(w->item->object));
        if (!path || !fields)
                return -ENOMEM;
        patch = json_pack("{s:{s:s, s:O}}", "metadata", "resourceVersion", version, "managedFields",
                        fields);
        if (!patch)
                return -ENOMEM;
        r = api_patch_async(gitsync_client(s), path, API_PATCH_MERGE, patch, done, a, &call);
        a->handle = call;
        return r;
}

bool gitsync_removes_additions(
                const struct gitsync *s, const struct wanted *w, const json_t *live) {
        const char *word = object_annotation(w->item->object, "keelson.dev/additions");

        if (!word)
                word = object_annotation(live, "keelson.dev/additions");
        if (!word)
                word = json_str_or(s->object, "spec.additions", "remove");
        return !streq(word, "keep");
}

/* Errors that say nothing about the manifest: the API is away or overloaded, the same commit may
 * pass a moment later. */
static bool is_transport_error(int error, const struct problem *p) {
        return p->code == 0 || p->code >= 500 || p->code == 429 || error == -EAGAIN;
}

int gitsync_blame(const struct gitsync *s, const struct manifest_item *item, const char *reason,
                int r, const struct problem *why, struct problem *p) {
        const char *account = json_str(s->object, "spec.serviceAccountName");
        bool transport = is_transport_error(r, why);

        problem_set(p, r, why->code, transport ? "ApiUnavailable" : reason, "%s",
                        strempty(why->message));
        if (why->field)
                problem_field(p, 0, "%s", why->field);
        p->causes = json_incref(why->causes);
        if (transport)
                problem_prefix(p, "the API cannot be asked");
        else if (item)
                manifest_blame(item, p);
        if (r == -EACCES && *s->ns && account)
                problem_prefix(p, "as the service account \"%s\" of \"%s\"", account, s->ns);
        return r;
}

void gitsync_action_failed(struct running_action *a, const struct manifest_item *item,
                const char *reason, int error, const struct problem *why) {
        _cleanup_problem_ struct problem p = {0};

        gitsync_blame(gitsync_of(a), item, reason, error, why, &p);
        action_ended(a, error, /* object= */ NULL, &p);
}

void gitsync_set_conflict(const struct gitsync *s, const struct problem *why, struct problem *p) {
        char other[256];

        problem_set(p, EBUSY, 409, NULL,
                        "it belongs to GitSync \"%s\" too; keep it in one of the two",
                        strempty(decide_other_owner(s->manager, why, other, sizeof(other))));
}
