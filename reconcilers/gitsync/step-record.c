/* Between the check and the first apply: the brakes on pruning, and the inventory that is recorded
 * before anything changes. */
#include "lib/object.h"
#include "reconcilers/gitsync/aside.h"
#include "reconcilers/gitsync/gitsync-internal.h"

/* The number of objects that left Git and were not kept before, and of all such objects. */
static size_t count_gone(const struct gitsync *s, size_t *ret_had) {
        size_t gone = 0, kept = 0;

        map_foreach (s->inventory.entries, m)
                kept += ((const struct inventory_entry *)map_entry_value(m))->kept;
        for (size_t i = 0; i < s->gone_count; i++)
                gone += !s->gone[i]->kept;
        *ret_had = inventory_size(&s->inventory) - kept;
        return gone;
}

static int check_brakes(struct gitsync *s, struct problem *p) {
        const struct revision *r = s->revision;
        size_t had, gone = count_gone(s, &had);
        unsigned limit = decide_limit(json_str(s->object, "spec.pruneLimit"));
        enum brake brake = decide_brake(had, gone, r->count, limit);

        if (brake == BRAKE_NONE || gitsync_is_confirmed(s, r) ||
                        !json_bool_or(s->object, "spec.prune", true))
                return 0;
        return problem_set(p, EPERM, 0, NULL,
                        "revision %s %s (%zu of %zu objects); nothing was done. If that is "
                        "intended: "
                        "kctl annotate --overwrite gitsync %s -n %s keelson.dev/prune-confirm=%s%s",
                        r->name,
                        brake == BRAKE_NOTHING_LEFT ? "would remove everything: no object is left"
                                                    : "would remove too much at once",
                        gone, had, s->name, s->ns, r->commit,
                        brake == BRAKE_SHARE ? " (or raise spec.pruneLimit)" : "");
}

static bool is_new_ignored(const struct gitsync *s, const json_t *word) {
        const json_t *old;
        size_t i;

        json_array_foreach (json_object_get(s->writer.status, "ignored"), i, old)
                if (json_equal(old, word))
                        return false;
        return true;
}

/* A link, a submodule or a document that is not an object may refer to what left Git. */
static bool may_stand_for(const json_t *word) {
        const char *text = strempty(json_string_value(word));

        return strstr(text, " (a link") || strstr(text, " (a submodule") ||
               strstr(text, " (no Kubernetes object");
}

/* Objects that left Git in a commit that brings such a file are kept: it may refer to them. */
static void mark_links(struct gitsync *s) {
        const struct revision *r = s->revision;
        const json_t *word;
        bool fresh = false;
        size_t i;

        json_array_foreach (r->ignored, i, word)
                if (is_new_ignored(s, word) && may_stand_for(word)) {
                        if (!fresh)
                                api_event(s->world->client, s->object, "Warning", "FileIgnored",
                                                "left out: %s%s", strempty(json_string_value(word)),
                                                json_array_size(r->ignored) > 1 ? " and others"
                                                                                : "");
                        fresh = true;
                }
        for (i = 0; i < s->gone_count; i++) {
                struct inventory_entry *e = s->gone[i];

                if (fresh && !e->kept)
                        e->kept = e->by_link = s->inventory_dirty = true;
                else if (json_array_size(r->ignored) == 0)
                        e->by_link = false;
        }
}

/* Every wanted object has a complete entry before it is applied: nothing is forgotten in a crash.
 */
static int record_wanted(struct gitsync *s) {
        struct inventory_entry *e;
        bool is_new;
        int r;

        for (size_t i = 0; i < s->revision->count; i++) {
                const struct wanted *w = &s->revision->wanted[i];
                const json_t *o = w->item->object;

                r = inventory_put(&s->inventory, w->resource,
                                w->resource->namespaced ? object_namespace(o) : "", object_name(o),
                                &e, &is_new);
                if (r < 0)
                        return r;
                if (is_new || e->kept)
                        s->inventory_dirty = true;
                e->kept = e->by_link = false;
        }
        return 0;
}

/* The commit's changes of the inventory; -EPERM: stopped by a brake. */
static int decide_record(struct gitsync *s, struct problem *p) {
        const struct revision *revision = s->revision;
        int r;

        free(s->gone);
        s->gone_count = 0;
        s->gone = decide_gone(&s->inventory, revision->wanted, revision->count, &s->gone_count);
        if (!s->gone)
                return -ENOMEM;
        r = check_brakes(s, p);
        if (r < 0)
                return r;
        mark_links(s);
        return record_wanted(s);
}

static void fail_to_record(struct gitsync *s, int error) {
        _cleanup_problem_ struct problem p = {0};

        problem_set(&p, -error, 0, NULL, "cannot record the inventory: %s", strerror(-error));
        gitsync_fail(s, "ApiUnavailable", &p);
}

void gitsync_record_begin(struct gitsync *s) {
        const struct revision *revision = s->revision;
        _cleanup_problem_ struct problem p = {0};
        int r;

        r = decide_record(s, &p);
        if (r == -EPERM) {
                gitsync_fail(s, "PruneNotConfirmed", &p);
                return;
        }
        if (r < 0) {
                fail_to_record(s, r);
                return;
        }
        gitsync_condition(s, "Reconciling", "True", "Applying", revision->name);
        gitsync_status_set(s, "lastAttemptedRevision", json_string(revision->name));
        gitsync_status_set(s, "ignored", json_incref(revision->ignored));
        if (s->inventory_dirty ||
                        decide_apply(s->revision->wanted, revision->count, &s->inventory) > 0)
                gitsync_status_write(s, /* wait= */ true);
        else
                gitsync_recorded(s, /* error= */ 0);
}

void gitsync_recorded(struct gitsync *s, int error) {
        if (error < 0) {
                fail_to_record(s, error);
                return;
        }
        /* From here on the new revision is the desired state: drift is corrected towards it.
         */
        if (s->revision == &s->candidate) {
                gitsync_discard(s, &s->current);
                s->current = s->candidate;
                s->candidate = (struct revision){0};
                s->revision = &s->current;
                map_clear(s->drifted);
        }
        s->have_current = true;
        gitsync_next(s);
}
