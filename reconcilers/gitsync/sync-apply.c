/* The middle of a run: find the resources, check every object by a dry run, record the inventory,
 * apply, prune. One request at a time: order matters more than speed, and a request on a kept
 * connection takes about a millisecond. */
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/gitsync/plan.h"
#include "reconcilers/gitsync/sync-internal.h"

enum { RESOLVE_TRIES_MAX = 20, RESOLVE_RETRY_US = 250000 };

static struct revision *revision_of(struct sync *s) {
        return s->only_drifted || s->candidate.commit == NULL ? &s->current : &s->candidate;
}

static struct manifest_item *item_at(struct sync *s) {
        struct revision *r = revision_of(s);

        return s->at < r->set.count ? &r->set.items[r->order[s->at]] : NULL;
}

/* Whether an earlier-ranked object of the same commit brings the kind: a CRD, known to the server
 * once it is applied. */
static bool commit_defines_kind(const struct revision *r, const json_t *object) {
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];

        if (object_split_api_version(object_api_version(object), group, version) < 0)
                return false;
        for (size_t i = 0; i < r->set.count; i++) {
                const json_t *o = r->set.items[i].object;

                if (streq(object_kind(o), "CustomResourceDefinition") &&
                                streq(json_str_or(o, "spec.group", ""), group) &&
                                streq(json_str_or(o, "spec.names.kind", ""), object_kind(object)))
                        return true;
        }
        return false;
}

static bool commit_makes_namespace(const struct revision *r, const char *ns) {
        for (size_t i = 0; i < r->set.count; i++)
                if (streq(object_kind(r->set.items[i].object), "Namespace") &&
                                streq(object_name(r->set.items[i].object), ns))
                        return true;
        return false;
}

/* Once the resource is known the namespace can be: the target's, as written, or the GitSync's own.
 */
static int place_item(struct sync *s, struct manifest_item *item,
                const struct api_resource *resource, struct problem *p) {
        const char *target = json_str(s->object, "spec.targetNamespace");
        json_t *metadata = json_object_get(item->object, "metadata");

        if (!resource->namespaced) {
                if (!json_str(item->object, "metadata.namespace"))
                        return 0;
                problem_set(p, EINVAL, 0, NULL,
                                "a %s belongs to no namespace; remove metadata.namespace",
                                resource->kind);
                problem_field(p, 0, "metadata.namespace");
                manifest_blame(item, p);
                return -EINVAL;
        }
        if (!isempty(target) || !json_str(item->object, "metadata.namespace"))
                return json_object_set_new(metadata, "namespace",
                                       json_string(!isempty(target) ? target : s->ns)) < 0
                                       ? -ENOMEM
                                       : 0;
        return 0;
}

static void on_discovery(int error, const struct problem *why, void *userdata) {
        struct sync *s = userdata;

        s->call = NULL;
        if (error < 0 && error != -ENOENT) {
                _cleanup_problem_ struct problem p = {0};

                problem_set(&p, error, 0, NULL, "cannot ask the API for its kinds: %s",
                                strempty(why ? why->message : NULL));
                sync_fail(s, "ApiUnavailable", &p);
                return;
        }
        s->resolve_tries++;
        if (s->state == SYNC_RESOLVING)
                sync_resolve_step(s);
        else
                sync_apply_step(s);
}

static void refresh(struct sync *s, const char *api_version) {
        if (discovery_refresh(s->world->discovery, api_version, on_discovery, s, &s->call) < 0)
                on_discovery(-ENOMEM, NULL, s);
}

void sync_resolve_step(struct sync *s) {
        struct revision *r = &s->candidate;
        _cleanup_problem_ struct problem p = {0};

        for (size_t i = s->at = 0; i < r->set.count; i++) {
                struct manifest_item *item = &r->set.items[r->order[i]];
                const struct api_resource *resource = sync_resource(s, item);

                if (!resource && commit_defines_kind(r, item->object))
                        continue;
                if (!resource && !map_get(s->refreshed, object_api_version(item->object))) {
                        if (map_set(s->refreshed, object_api_version(item->object), (void *)1) < 0)
                                sync_fail(s, "BuildFailed", &p);
                        else
                                refresh(s, object_api_version(item->object));
                        return;
                }
                if (!resource) {
                        problem_set(&p, EINVAL, 0, NULL,
                                        "the server knows no kind \"%s\" in \"%s\"; `kctl "
                                        "api-resources` lists those it knows",
                                        object_kind(item->object),
                                        object_api_version(item->object));
                        problem_field(&p, 0, "kind");
                        manifest_blame(item, &p);
                        sync_fail(s, "BuildFailed", &p);
                        return;
                }
                if (place_item(s, item, resource, &p) < 0) {
                        sync_fail(s, "BuildFailed", &p);
                        return;
                }
        }
        sync_enter(s, SYNC_CHECKING);
}

static int apply_item(struct sync *s, const struct manifest_item *item,
                const struct api_resource *resource, const char *flags, api_done_func done) {
        _cleanup_free_ char *manager = strformat("kgitd:%s", s->key), *escaped = NULL,
                            *query = NULL, *path = NULL;

        if (manager && strlen(manager) > 128)
                manager[128] = 0;
        escaped = manager ? url_escape(manager) : NULL;
        query = escaped ? strformat("fieldManager=%s&fieldValidation=Strict%s", escaped, flags)
                        : NULL;
        path = query ? api_path(resource,
                                       resource->namespaced ? object_namespace(item->object) : NULL,
                                       object_name(item->object), NULL, query)
                     : NULL;
        return path ? api_patch_async(s->world->client, path, API_PATCH_APPLY, item->object, done,
                                      s, &s->call)
                    : -ENOMEM;
}

/* Errors that say nothing about the manifest: the API is away or overloaded, the same commit may
 * pass a moment later. */
static bool is_transport_error(int error, const struct problem *p) {
        return p->code == 0 || p->code >= 500 || p->code == 429 || error == -EAGAIN;
}

static void fail_item(struct sync *s, const struct manifest_item *item, const char *reason,
                int error, const struct problem *why) {
        _cleanup_problem_ struct problem p = {0};

        problem_set(&p, error, why->code, NULL, "%s", strempty(why->message));
        if (why->field)
                problem_field(&p, 0, "%s", why->field);
        p.causes = json_incref(why->causes);
        if (is_transport_error(error, why))
                problem_prefix(&p, "the API cannot be asked");
        else
                manifest_blame(item, &p);
        sync_fail(s, is_transport_error(error, why) ? "ApiUnavailable" : reason, &p);
}

/* The other GitSync that a conflict names, or NULL. */
static const char *other_gitsync(struct sync *s, const struct problem *p, char *buffer, size_t n) {
        const char *at = p->message ? strstr(p->message, "kgitd:") : NULL;
        size_t length;

        if (!at)
                return NULL;
        at += strlen("kgitd:");
        length = strcspn(at, "\" :,");
        if (length >= n)
                length = n - 1;
        memcpy(buffer, at, length);
        buffer[length] = 0;
        return streq(buffer, s->key) ? NULL : buffer;
}

static void on_checked(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct sync *s = userdata;
        const struct manifest_item *item = item_at(s);
        const char *ns = object_namespace(item->object);
        char other[256];

        s->call = NULL;
        if (error < 0 && p->code == 409 && !s->forced) {
                if (other_gitsync(s, p, other, sizeof(other))) {
                        _cleanup_problem_ struct problem conflict = {0};

                        problem_set(&conflict, EBUSY, 0, NULL,
                                        "it belongs to GitSync \"%s\" too; keep it in one of the "
                                        "two",
                                        other);
                        manifest_blame(item, &conflict);
                        sync_fail(s, "OwnershipConflict", &conflict);
                        return;
                }
                s->forced = true; /* drift by hand or first adoption: the real apply forces as well
                                   */
                sync_check_step(s);
                return;
        }
        bool waits_for_namespace = error == -ENOENT && p->message &&
                                   startswith(p->message, "namespaces \"") &&
                                   commit_makes_namespace(&s->candidate, ns);
        if (error < 0 && !waits_for_namespace) {
                fail_item(s, item, "BuildFailed", error, p);
                return;
        }
        s->forced = false;
        s->at++;
        sync_check_step(s);
}

void sync_check_step(struct sync *s) {
        const struct api_resource *resource = NULL;
        const struct manifest_item *item;

        for (; (item = item_at(s)); s->at++) { /* kinds that this commit's own CRDs bring can't be
                                                  checked before */
                resource = sync_resource(s, item);
                if (resource)
                        break;
        }
        if (!item) {
                sync_enter(s, SYNC_RECORDING);
                return;
        }
        if (apply_item(s, item, resource, s->forced ? "&dryRun=All&force=true" : "&dryRun=All",
                            on_checked) < 0)
                fail_item(s, item, "BuildFailed", -ENOMEM,
                                &(struct problem){.message = (char *)"out of memory"});
}

static json_t *inventory_of(struct sync *s, struct revision *r) {
        _cleanup_json_ json_t *inventory = json_array();

        for (size_t i = 0; inventory && i < r->set.count; i++) {
                const json_t *o = r->set.items[r->order[i]].object;
                const struct api_resource *resource = sync_resource(s, &r->set.items[r->order[i]]);
                char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];

                if (object_split_api_version(object_api_version(o), group, version) < 0 ||
                                json_array_append_new(inventory,
                                                plan_entry(group, version, object_kind(o),
                                                                resource ? resource->plural : "",
                                                                object_namespace(o),
                                                                object_name(o))) < 0)
                        return NULL;
        }
        return TAKE_PTR(inventory);
}

static void on_recorded(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct sync *s = userdata;

        s->call = NULL;
        if (error < 0) {
                _cleanup_problem_ struct problem why = {0};

                sync_forget_conditions(s);
                problem_set(&why, error, 0, NULL, "cannot record the inventory: %s",
                                strempty(p->message));
                sync_fail(s, "ApiUnavailable", &why);
                return;
        }
        /* From here on the new revision is what the fleet shall be: drift is corrected towards it.
         */
        revision_done(&s->current);
        s->current = s->candidate;
        s->candidate = (struct revision){0};
        s->have_current = true;
        s->resolve_tries = 0;
        map_clear(s->fingerprints);
        map_clear(s->drifted);
        sync_enter(s, SYNC_APPLYING);
}

void sync_record_begin(struct sync *s) {
        const json_t *old = json_at(s->object, "status.inventory");
        size_t old_count = json_array_size(old);
        _cleanup_problem_ struct problem p = {0};
        json_t *status, *conditions;
        char now[TIMEFMT_SIZE];

        json_decref(s->inventory);
        json_decref(s->prune);
        s->inventory = inventory_of(s, &s->candidate);
        s->prune = json_bool_or(s->object, "spec.prune", true) ? plan_prune(old, s->inventory)
                                                               : json_array();
        size_t gone = json_array_size(s->prune);
        const char *confirmed = object_annotation(s->object, "keelson.dev/prune-confirm");
        if (plan_prune_is_large(gone, old_count) && !streq_ptr(confirmed, s->candidate.commit)) {
                problem_set(&p, EPERM, 0, NULL,
                                "revision %s would remove %zu of %zu objects; nothing was done. If "
                                "that is meant: kctl annotate gitsync %s -n %s "
                                "keelson.dev/prune-confirm=%s",
                                s->candidate.name, gone, old_count, s->name, s->ns,
                                s->candidate.commit);
                sync_fail(s, "PruneNotConfirmed", &p);
                return;
        }
        conditions = sync_conditions(s);
        if (conditions) /* without memory the old ones stay */
                (void)plan_condition(conditions, "Reconciling", "True", "Applying",
                                s->candidate.name, time_format(now_wall_us(), now),
                                object_generation(s->object));
        status = json_pack("{s:o, s:s, s:o}", "inventory", plan_union(old, s->inventory),
                        "lastAttemptedRevision", s->candidate.name, "conditions", conditions);
        if (!s->inventory || !s->prune || !status ||
                        sync_write_status(s, status, on_recorded, &s->call) < 0)
                on_recorded(-ENOMEM, NULL, &(struct problem){.message = (char *)"out of memory"},
                                s);
}

static int remember(struct sync *s, const struct api_resource *resource, const json_t *object) {
        _cleanup_json_ json_t *entry = plan_entry(resource->group, resource->version,
                        resource->kind, resource->plural,
                        resource->namespaced ? object_namespace(object) : "", object_name(object));
        _cleanup_free_ char *key = entry ? plan_entry_key(entry) : NULL, *print = malloc(65);
        int r;

        if (!key || !print)
                return -ENOMEM;
        plan_fingerprint(object, print);
        map_remove(s->drifted, key);
        r = map_set(s->fingerprints, key, print);
        if (r < 0)
                return r;
        TAKE_PTR(print);
        return drift_watch(s->world->drift, resource->group, resource->version, resource->plural,
                        resource->kind, resource->namespaced);
}

static void on_applied(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct sync *s = userdata;
        const struct manifest_item *item = item_at(s);
        const struct api_resource *resource = sync_resource(s, item);

        s->call = NULL;
        if (error == 0 && resource)
                error = remember(s, resource, object);
        if (error < 0) {
                fail_item(s, item, "ApplyFailed", error, p);
                return;
        }
        if (s->only_drifted) {
                log_fields(LOG_NOTICE, ((const char *const[]){"KEELSON_GITSYNC", s->key, NULL}),
                                "GitSync %s: put back %s \"%s\", which had drifted", s->key,
                                object_kind(item->object), object_name(item->object));
                api_event(s->world->client, s->object, "Normal", "DriftReverted",
                                "put back %s \"%s\"", object_kind(item->object),
                                object_name(item->object));
        }
        s->at++;
        sync_apply_step(s);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        struct sync *s = userdata;

        s->retry_timer = sd_event_source_disable_unref(s->retry_timer);
        if (s->state == SYNC_APPLYING)
                refresh(s, object_api_version(item_at(s)->object));
        return 0;
}

/* Whether the item must be put back; everything is when the run is a whole one. */
static bool is_wanted(struct sync *s, const struct manifest_item *item,
                const struct api_resource *resource) {
        _cleanup_json_ json_t *entry = NULL;
        _cleanup_free_ char *key = NULL;

        if (!s->only_drifted)
                return true;
        if (!resource)
                return false;
        entry = plan_entry(resource->group, resource->version, resource->kind, resource->plural,
                        object_namespace(item->object), object_name(item->object));
        key = entry ? plan_entry_key(entry) : NULL;
        return key && map_get(s->drifted, key);
}

void sync_apply_step(struct sync *s) {
        const struct manifest_item *item;
        const struct api_resource *resource = NULL;
        _cleanup_problem_ struct problem p = {0};

        for (; (item = item_at(s)); s->at++) {
                resource = sync_resource(s, item);
                if (is_wanted(s, item, resource))
                        break;
        }
        if (!item) {
                if (s->only_drifted)
                        map_clear(s->drifted);
                sync_enter(s, s->only_drifted ? SYNC_IDLE : SYNC_PRUNING);
                return;
        }
        if (!resource) { /* its CRD was applied a moment ago: the API takes a moment to serve it */
                if (s->resolve_tries < RESOLVE_TRIES_MAX) {
                        s->retry_timer = sd_event_source_disable_unref(s->retry_timer);
                        if (sd_event_add_time_relative(s->world->event, &s->retry_timer,
                                            CLOCK_MONOTONIC, RESOLVE_RETRY_US, 1000, on_retry,
                                            s) >= 0)
                                return;
                }
                problem_set(&p, EINVAL, 400, NULL,
                                "the server still does not serve this kind after its "
                                "CustomResourceDefinition was applied");
                fail_item(s, item, "ApplyFailed", -EINVAL, &p);
                return;
        }
        if (place_item(s, (struct manifest_item *)item, resource, &p) < 0) {
                sync_fail(s, "BuildFailed", &p);
                return;
        }
        if (apply_item(s, item, resource, "&force=true", on_applied) < 0)
                fail_item(s, item, "ApplyFailed", -ENOMEM,
                                &(struct problem){.message = (char *)"out of memory"});
}

static void prune_next(struct sync *s) {
        s->at++;
        sync_prune_step(s);
}

static void on_pruned(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct sync *s = userdata;
        const json_t *entry = json_array_get(s->prune, s->at);

        s->call = NULL;
        if (error < 0 && error != -ENOENT && p->code != 409) {
                _cleanup_problem_ struct problem why = {0};

                problem_set(&why, error, 0, NULL, "cannot remove %s \"%s\", which left Git: %s",
                                json_str_or(entry, "kind", ""), json_str_or(entry, "name", ""),
                                strempty(p->message));
                sync_fail(s, "PruneFailed", &why);
                return;
        }
        if (error == 0)
                log_info("GitSync %s: removed %s \"%s\", which left Git", s->key,
                                json_str_or(entry, "kind", ""), json_str_or(entry, "name", ""));
        prune_next(s);
}

static char *entry_path(const json_t *entry) {
        const char *ns = json_str_or(entry, "namespace", "");
        struct api_resource r = {json_str_or(entry, "group", ""),
                        json_str_or(entry, "version", "v1"), json_str_or(entry, "resource", ""),
                        json_str_or(entry, "kind", ""), *ns};

        return api_path(&r, ns, json_str_or(entry, "name", ""), NULL, NULL);
}

/* Before an object goes: is it still ours, and may it go? Bound to its uid, so that a namesake made
 * since is safe. */
static void on_prune_read(
                int error, const json_t *object, const struct problem *p, void *userdata) {
        struct sync *s = userdata;
        const json_t *entry = json_array_get(s->prune, s->at);
        bool ours = error == 0 &&
                    streq_ptr(object_label(object, "keelson.dev/gitsync-name"), s->name) &&
                    streq_ptr(object_label(object, "keelson.dev/gitsync-namespace"), s->ns);
        _cleanup_json_ json_t *options = NULL;
        _cleanup_free_ char *path = NULL;

        s->call = NULL;
        if (error < 0) {
                on_pruned(error, NULL, p, s);
                return;
        }
        if (!ours || streq(strempty(object_annotation(object, "keelson.dev/prune")), "disabled")) {
                log_info("GitSync %s: kept %s \"%s\", which left Git: %s", s->key,
                                json_str_or(entry, "kind", ""), json_str_or(entry, "name", ""),
                                ours ? "its annotation keelson.dev/prune says disabled"
                                     : "it is not labelled as ours any more");
                prune_next(s);
                return;
        }
        options = json_pack("{s:s, s:{s:s}}", "propagationPolicy", "Background", "preconditions",
                        "uid", object_uid(object));
        path = entry_path(entry);
        if (!options || !path ||
                        api_delete_async(s->world->client, path, options, on_pruned, s, &s->call) <
                                        0)
                on_pruned(-ENOMEM, NULL, &(struct problem){.message = (char *)"out of memory"}, s);
}

void sync_prune_step(struct sync *s) {
        const json_t *entry = json_array_get(s->prune, s->at);
        _cleanup_free_ char *path = NULL;

        for (; entry && isempty(json_str(entry, "resource"));
                        entry = json_array_get(s->prune, s->at))
                s->at++; /* never reached the server: its kind was not served */
        if (!entry) {
                s->ok = true;
                sync_enter(s, SYNC_REPORTING);
                return;
        }
        path = entry_path(entry);
        if (!path || api_get_async(s->world->client, path, on_prune_read, s, &s->call) < 0)
                on_pruned(-ENOMEM, NULL, &(struct problem){.message = (char *)"out of memory"}, s);
}
