/* A chain of requests: the group list, each group version's resources, then one list a resource. It
 * stops at the first thing found. */
#include "reconcilers/gitsync/contents.h"

#include "lib/object.h"

/* A foreign object, or a list that is forbidden, must be found even in a namespace of thousands. */
enum { PAGE = 500 };

struct contents {
        struct api_client *client;
        struct api_call *call;
        char *ns, *gitsync_ns, *gitsync_name;
        char **versions; /* paths of group versions that are still to be asked */
        char **lists;    /* paths of lists that are still to be read */
        char *more;      /* the list that continues at `token` */
        char *token;
        contents_func done;
        void *userdata;
};

struct contents *contents_free(struct contents *c) {
        if (!c)
                return NULL;
        api_call_cancel(c->call);
        strv_free(c->versions);
        strv_free(c->lists);
        free(c->more);
        free(c->token);
        free(c->ns);
        free(c->gitsync_ns);
        free(c->gitsync_name);
        free(c);
        return NULL;
}

static int start(struct contents **ret, struct api_client *client, const char *ns,
                const char *gitsync_ns, const char *gitsync_name, contents_func done,
                void *userdata) {
        struct contents *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        *c = (struct contents){.client = client,
                        .ns = strdup(ns),
                        .gitsync_ns = strdup(gitsync_ns),
                        .gitsync_name = strdup(gitsync_name),
                        .done = done,
                        .userdata = userdata};
        if (!c->ns || !c->gitsync_ns || !c->gitsync_name) {
                contents_free(c);
                return -ENOMEM;
        }
        *ret = c;
        return 0;
}

/* Removes the last string of a list; NULL when it is empty. */
static char *pop(char **list) {
        size_t n = strv_length(list);
        char *last = n ? list[n - 1] : NULL;

        if (n)
                list[n - 1] = NULL;
        return last;
}

static void finish(struct contents *c, const char *holds, const char *unseen) {
        c->done(holds, unseen, c->userdata);
}

static bool is_system(
                const struct contents *c, const char *group, const char *kind, const json_t *o) {
        const struct kind_facts *facts = kind_facts_by_kind(group, kind);

        if (*c->ns && facts && kind_word_in(facts->in_each_namespace, object_name(o)))
                return true;
        return json_array_size(json_at(o, "metadata.ownerReferences")) > 0;
}

static const json_t *find_foreign(
                const struct contents *c, const char *group, const char *kind, const json_t *list) {
        const json_t *o;
        size_t i;

        json_array_foreach (json_object_get(list, "items"), i, o) {
                bool own = streq_ptr(object_label(o, "keelson.dev/gitsync-name"),
                                           c->gitsync_name) &&
                           streq_ptr(object_label(o, "keelson.dev/gitsync-namespace"),
                                           c->gitsync_ns);

                if (!own && !is_system(c, group, kind, o))
                        return o;
        }
        return NULL;
}

static void step(struct contents *c);

static void on_list(int error, const json_t *list, const struct problem *p, void *userdata) {
        struct contents *c = userdata;
        _cleanup_free_ char *kind = NULL, *text = NULL;
        const char *list_kind = json_str_or(list, "kind", ""), *token;
        char group[OBJECT_GROUP_SIZE] = "", version[OBJECT_VERSION_SIZE];
        const json_t *o;

        c->call = NULL;
        if (!*c->ns && (error == -ENOENT || error == -EOPNOTSUPP)) { /* a CRD's own objects */
                finish(c, NULL, "its objects cannot be listed");
                return;
        }
        if (error == -ENOENT || error == -EOPNOTSUPP) { /* gone, or cannot be listed */
                c->more = mfree(c->more);
                step(c);
                return;
        }
        if (error < 0) {
                finish(c, NULL, strempty(p->message));
                return;
        }
        kind = strndup(list_kind,
                        endswith(list_kind, "List") ? strlen(list_kind) - 4 : strlen(list_kind));
        (void)object_split_api_version(object_api_version(list), group, version);
        o = kind ? find_foreign(c, group, kind, list) : NULL;
        if (!kind || o) {
                text = o ? strformat("%s \"%s\"", kind, object_name(o)) : NULL;
                finish(c, text ? text : "something", NULL);
                return;
        }
        token = json_str_or(list, "metadata.continue", "");
        free(c->token);
        c->token = *token ? strdup(token) : NULL;
        if (!c->token)
                c->more = mfree(c->more);
        step(c);
}

static bool can_list(const json_t *resource) {
        const json_t *verb;
        size_t i;

        json_array_foreach (json_object_get(resource, "verbs"), i, verb)
                if (json_is_string(verb) && streq(json_string_value(verb), "list"))
                        return true;
        return false;
}

static void on_resources(int error, const json_t *list, const struct problem *p, void *userdata) {
        struct contents *c = userdata;
        char group[OBJECT_GROUP_SIZE] = "", unused[OBJECT_VERSION_SIZE];
        const char *version = json_str_or(list, "groupVersion", "");
        const struct kind_facts *facts;
        const json_t *r;
        size_t i;

        c->call = NULL;
        if (error < 0 && error != -ENOENT) {
                finish(c, NULL, strempty(p->message));
                return;
        }
        (void)object_split_api_version(version, group, unused);
        json_array_foreach (json_object_get(list, "resources"), i, r) {
                const char *name = json_str_or(r, "name", "");
                _cleanup_free_ char *path = NULL;

                /* Endpoints and their slices follow a Service, which is looked at itself. */
                facts = kind_facts_by_kind(group, json_str_or(r, "kind", ""));
                if (strchr(name, '/') || !json_bool_or(r, "namespaced", false) || !can_list(r) ||
                                (facts && facts->follows_others))
                        continue;
                path = strformat("%s/%s/namespaces/%s/%s", strchr(version, '/') ? "/apis" : "/api",
                                version, c->ns, name);
                if (!path || strv_extend(&c->lists, path) < 0) {
                        finish(c, NULL, "out of memory");
                        return;
                }
        }
        step(c);
}

static void on_groups(int error, const json_t *groups, const struct problem *p, void *userdata) {
        struct contents *c = userdata;
        const json_t *g;
        size_t i;

        c->call = NULL;
        if (error < 0) {
                finish(c, NULL, strempty(p->message));
                return;
        }
        json_array_foreach (json_object_get(groups, "groups"), i, g) {
                const char *version = json_str(g, "preferredVersion.groupVersion");
                _cleanup_free_ char *path = version ? strformat("/apis/%s", version) : NULL;

                if (path && strv_extend(&c->versions, path) < 0) {
                        finish(c, NULL, "out of memory");
                        return;
                }
        }
        step(c);
}

static int ask_list(struct contents *c) {
        _cleanup_free_ char *escaped = c->token ? url_escape(c->token) : NULL, *path = NULL;

        path = strformat("%s?limit=%i%s%s", c->more, PAGE, escaped ? "&continue=" : "",
                        strempty(escaped));
        return path ? api_get_async(c->client, path, on_list, c, &c->call) : -ENOMEM;
}

static void step(struct contents *c) {
        _cleanup_free_ char *version = NULL;
        int r;

        if (!c->more) {
                c->token = mfree(c->token);
                c->more = pop(c->lists);
        }
        if (c->more)
                r = ask_list(c);
        else {
                version = pop(c->versions);
                if (!version) {
                        finish(c, NULL, NULL);
                        return;
                }
                r = api_get_async(c->client, version, on_resources, c, &c->call);
        }
        if (r < 0)
                finish(c, NULL, "out of memory");
}

int contents_of_namespace(struct contents **ret, struct api_client *client, const char *ns,
                const char *gitsync_ns, const char *gitsync_name, contents_func done,
                void *userdata) {
        _cleanup_(contents_freep) struct contents *c = NULL;
        int r;

        r = start(&c, client, ns, gitsync_ns, gitsync_name, done, userdata);
        if (r < 0)
                return r;
        r = strv_extend(&c->versions, "/api/v1");
        if (r < 0)
                return r;
        r = api_get_async(client, "/apis", on_groups, c, &c->call);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

int contents_of_crd(struct contents **ret, struct api_client *client, const json_t *crd,
                const char *gitsync_ns, const char *gitsync_name, contents_func done,
                void *userdata) {
        struct contents *c;
        const json_t *v;
        size_t i;
        int r = start(&c, client, "", gitsync_ns, gitsync_name, done, userdata);

        if (r < 0)
                return r;
        json_array_foreach (json_at(crd, "spec.versions"), i, v)
                if (!c->more && json_bool_or(v, "served", false))
                        c->more = strformat("/apis/%s/%s/%s", json_str_or(crd, "spec.group", ""),
                                        json_str_or(v, "name", ""),
                                        json_str_or(crd, "spec.names.plural", ""));
        r = c->more ? ask_list(c) : -ENOENT; /* no version is served: nothing can be seen */
        if (r < 0) {
                contents_free(c);
                return r;
        }
        *ret = c;
        return 0;
}
