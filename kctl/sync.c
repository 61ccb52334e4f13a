/* kctl sync: compare Git with the cluster; fetch now; suspend and resume. */
#include "kctl/grid.h"
#include "kctl/kctl.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { SYNC_TIMEOUT_DEFAULT_S = 120 };

/* GitSyncs named by the words, or all of the namespace. */
static int gitsyncs(struct kctl *k, bool need_names, struct targets *ret, struct problem *p) {
        _cleanup_strv_free_ char **words = NULL;
        char **own = k->words;
        int r;

        if (need_names && !own)
                return problem_set(p, EINVAL, 0, NULL, "which GitSync? kctl sync lists them");
        if (strv_extend(&words, api_resource(KIND_GITSYNCS)->plural) < 0)
                return -ENOMEM;
        for (char **w = own; w && *w; w++)
                if (strv_extend(&words, strchr(*w, '/') ? strchr(*w, '/') + 1 : *w) < 0)
                        return -ENOMEM;
        k->words = words;
        r = targets_resolve(k, 0, ret, p);
        k->words = own;
        return r;
}

static const char *condition_text(const json_t *o, const char *type) {
        const char *status = json_str(object_condition(o, type), "status");

        return status ? status : "-";
}

static const char *short_revision(const json_t *o, const char *path, char buffer[static 64]) {
        const char *text = json_str(o, path), *hash = text ? strstr(text, "sha1:") : NULL;

        if (!hash)
                return text ? text : "-";
        snprintf(buffer, 64, "%.*s%.7s", (int)MIN(hash - text, (ptrdiff_t)50), text, hash + 5);
        return buffer;
}

/* One GitSync as a row. */
static int add_sync(struct kctl *k, struct grid *g, const json_t *o) {
        char applied[64], age[TIMEFMT_SIZE], objects[24];
        const char *why = json_str_or(object_condition(o, "Healthy"), "message", ""),
                   *message = json_str_or(o, "status.message", "");
        uint64_t then, now = now_wall_us();
        bool wide = streq_ptr(k->flags.output, "wide");

        snprintf(objects, sizeof(objects), "%lli",
                        (long long)json_int_or(o, "status.objects",
                                        (int64_t)json_array_size(json_at(o, "status.inventory"))));
        const char *texts[] = {object_namespace(o), object_name(o),
                        json_bool_or(o, "spec.suspend", false) ? "Suspended"
                                                               : condition_text(o, "Ready"),
                        condition_text(o, "Healthy"),
                        short_revision(o, "status.lastAppliedRevision", applied),
                        time_parse(json_str(o, "status.lastSyncTime"), &then) == 0
                                        ? age_format(now > then ? now - then : 0, age)
                                        : "-",
                        objects, *message ? message : why, json_str_or(o, "spec.url", ""),
                        json_str_or(o, "spec.path", ".")};

        return grid_add_texts(g, texts, ELEMENTS(texts) - (wide ? 0 : 2));
}

static int print_syncs(struct kctl *k, const json_t *list) {
        static const char *const headings[] = {"NAMESPACE", "NAME", "READY", "HEALTHY", "APPLIED",
                        "SYNCED", "OBJECTS", "MESSAGE", "URL", "PATH"};
        bool wide = streq_ptr(k->flags.output, "wide");
        _cleanup_grid_ struct grid g = {0};
        const json_t *o;
        size_t i;
        int r = 0;

        if (!k->flags.no_headers)
                r = grid_add_texts(&g, headings, ELEMENTS(headings) - (wide ? 0 : 2));
        json_array_foreach (json_object_get(list, "items"), i, o) {
                if (r < 0)
                        return r;
                r = add_sync(k, &g, o);
        }
        grid_print(&g, /* widths= */ NULL);
        return r;
}

int kctl_sync(struct kctl *k) {
        struct kind_ref kind = kind_ref_of(KIND_GITSYNCS);
        _cleanup_json_ json_t *items = json_array(), *list = NULL;
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        if (!k->words && !k->flags.ns)
                k->flags.all_namespaces = true;
        if (gitsyncs(k, false, &t, &p) < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++) {
                _cleanup_free_ char *path = target_path(
                                &t.items[i], /* subresource= */ NULL, /* query= */ NULL);
                json_t *o = NULL;

                if (!path || api_get(k->client, path, &o, &p) < 0)
                        code = kctl_fail(&p);
                else if (json_array_append_new(items, o) < 0)
                        return kctl_error("out of memory");
        }
        list = json_pack("{s:s, s:s, s:O, s:{s:s}}", "apiVersion", "v1", "kind", "List", "items",
                        items, "metadata", "resourceVersion", "");
        if (!list)
                return kctl_error("out of memory");
        if (k->flags.output && !streq(k->flags.output, "wide"))
                return print_object(k, list, &kind, &p) < 0 ? kctl_fail(&p) : code;
        if (json_array_size(items) > 0)
                return print_syncs(k, list) < 0 ? EXIT_ERROR : code;
        if (code == EXIT_OK)
                fprintf(stderr, "No GitSync is registered; examples/README.md shows one\n");
        return code;
}

static int is_handled(const json_t *o, void *userdata, struct problem *p) {
        const char *asked = userdata;

        if (!o)
                return problem_set(p, ENOENT, 404, "NotFound", "the GitSync is gone");
        if (!streq(json_str_or(o, "status.lastHandledReconcileAt", ""), asked))
                return 0;
        if (object_condition_true(o, "Ready"))
                return 1;
        return problem_set(p, EIO, 0, NULL, "%s",
                        json_str_or(o, "status.message", "the sync failed without a message"));
}

/* Requests a sync at the time now and, with --wait, waits for it; prints the result. */
static int sync_one(struct kctl *k, const struct target *t, struct problem *p) {
        _cleanup_free_ char *path = target_path(t, /* subresource= */ NULL, "fieldManager=kctl");
        char now[TIMEFMT_SIZE], revision[64];
        _cleanup_json_ json_t *patch = json_pack("{s:{s:{s:s}}}", "metadata", "annotations",
                                              "keelson.dev/reconcileAt",
                                              time_format_micro(now_wall_us(), now)),
                              *o = NULL, *after = NULL;
        int r;

        if (!path || !patch)
                return -ENOMEM;
        r = api_patch_request(k->client, path, API_PATCH_MERGE, patch, &o, p);
        if (r < 0)
                return r;
        if (json_bool_or(o, "spec.suspend", false))
                return problem_set(p, EPERM, 0, NULL,
                                "GitSync \"%s\" is suspended; kctl sync resume %s resumes it",
                                t->name, t->name);
        if (k->flags.wait) {
                r = wait_for(k, t,
                                k->flags.timeout_us ? k->flags.timeout_us
                                                    : SYNC_TIMEOUT_DEFAULT_S * 1000000ull,
                                is_handled, now, p);
                if (r < 0)
                        return r;
        }
        (void)api_get(k->client, path, &after, p);
        printf("gitsync.keelson.dev/%s %s %s\n", t->name,
                        k->flags.wait ? "applied" : "asked to sync",
                        k->flags.wait ? short_revision(after, "status.lastAppliedRevision",
                                                        revision)
                                      : "");
        return 0;
}

int kctl_sync_now(struct kctl *k) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        if (gitsyncs(k, true, &t, &p) < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++)
                if (sync_one(k, &t.items[i], &p) < 0)
                        code = kctl_fail(&p);
        return code;
}

static int set_suspend(struct kctl *k, bool on) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        const char *user = getenv("USER");
        int code = EXIT_OK;

        if (gitsyncs(k, true, &t, &p) < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++) {
                _cleanup_free_ char *path = target_path(&t.items[i], NULL, "fieldManager=kctl");
                _cleanup_json_ json_t *patch = json_pack("{s:{s:{s:o, s:o}}, s:{s:b}}", "metadata",
                                "annotations", "keelson.dev/suspended-by",
                                on ? json_string(user ? user : "root") : json_null(),
                                "keelson.dev/suspend-reason",
                                on && k->flags.reason ? json_string(k->flags.reason) : json_null(),
                                "spec", "suspend", on);

                if (!path || !patch ||
                                api_patch_request(k->client, path, API_PATCH_MERGE, patch, NULL,
                                                &p) < 0)
                        code = kctl_fail(&p);
                else
                        printf("gitsync.keelson.dev/%s %s\n", t.items[i].name,
                                        on ? "suspended" : "resumed");
        }
        return code;
}

int kctl_sync_suspend(struct kctl *k) {
        return set_suspend(k, true);
}

int kctl_sync_resume(struct kctl *k) {
        return set_suspend(k, false);
}
