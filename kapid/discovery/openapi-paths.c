/* The paths of an OpenAPI document, as the reference server lists them: collections, in a namespace
 * and in all, items, their subresources, the old paths of watches, and the documents of discovery.
 * Clients without code for each kind (godaddy's kubernetes-client, generators) make their methods
 * from these paths; kubectl reads the patch and get operations. */
#include "kapid/discovery/openapi-internal.h"

#include "kapid/schema/schema.h"

enum level { COLLECTION, EVERYWHERE, ITEM, LEVELS };

/* What an operation is about: a kind, or the kind of a subresource's body. */
struct subject {
        const struct kind *kind;
        const struct kind_subresource *sub; /* NULL: the resource itself */
};

static const struct {
        enum level level;
        unsigned verb;
        const char *method, *action;
} operations[] = {{COLLECTION, KIND_LIST, "get", "list"}, {COLLECTION, KIND_CREATE, "post", "post"},
                {COLLECTION, KIND_DELETECOLLECTION, "delete", "deletecollection"},
                {EVERYWHERE, KIND_LIST, "get", "list"}, {ITEM, KIND_GET, "get", "get"},
                {ITEM, KIND_CREATE, "post", "post"}, {ITEM, KIND_UPDATE, "put", "put"},
                {ITEM, KIND_PATCH, "patch", "patch"}, {ITEM, KIND_DELETE, "delete", "delete"}};

static void write_parameter(struct writer *w, const char *name, const char *in, const char *type,
                bool required) {
        char last = w->out.data[w->out.size - 1];

        buf_printf(&w->out, "%s{\"name\":\"%s\",\"in\":\"%s\",", last == '[' ? "" : ",", name, in);
        if (required)
                buf_append_str(&w->out, "\"required\":true,");
        buf_printf(&w->out, w->v2 ? "\"type\":\"%s\"}" : "\"schema\":{\"type\":\"%s\"}}", type);
}

/* Of a path: what stands in its braces. */
static void write_path_parameters(struct writer *w, const char *path) {
        static const char *const names[] = {"name", "namespace", "path"};

        if (!strchr(path, '{'))
                return;
        writer_key(w, "parameters");
        buf_append_char(&w->out, '[');
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                _cleanup_free_ char *braced = strformat("{%s}", names[i]);

                if (braced && strstr(path, braced))
                        write_parameter(w, names[i], "path", "string", /* required= */ true);
        }
        buf_append_char(&w->out, ']');
}

static void write_query_parameters(struct writer *w, unsigned verb) {
        enum {
                MANY = KIND_LIST | KIND_WATCH | KIND_DELETECOLLECTION,
                WRITES = KIND_CREATE | KIND_UPDATE | KIND_PATCH
        };
        static const struct {
                unsigned verbs;
                const char *name, *type;
        } all[] = {{MANY, "labelSelector", "string"}, {MANY, "fieldSelector", "string"},
                        {KIND_LIST | KIND_WATCH, "resourceVersion", "string"},
                        {KIND_LIST, "limit", "integer"}, {KIND_LIST, "continue", "string"},
                        {KIND_LIST, "watch", "boolean"}, {KIND_WATCH, "timeoutSeconds", "integer"},
                        {WRITES | KIND_DELETE | KIND_DELETECOLLECTION, "dryRun", "string"},
                        {WRITES, "fieldManager", "string"}, {WRITES, "fieldValidation", "string"},
                        {KIND_PATCH, "force", "boolean"}};
        bool any = false;

        for (size_t i = 0; i < ELEMENTS(all); i++) {
                if (!(all[i].verbs & verb))
                        continue;
                if (!any) {
                        writer_key(w, "parameters");
                        buf_append_char(&w->out, '[');
                }
                any = true;
                write_parameter(w, all[i].name, "query", all[i].type, /* required= */ false);
        }
        if (any)
                buf_append_char(&w->out, ']');
}

static void write_answer(struct writer *w, const struct subject *s, unsigned verb) {
        const struct schema *schema = s->sub ? s->sub->schema : s->kind->schema;

        writer_key(w, "responses");
        buf_append_str(&w->out, "{\"200\":{\"description\":\"OK\"");
        if (schema && verb != KIND_WATCH) {
                buf_append_str(&w->out, w->v2 ? ",\"schema\":{"
                                              : ",\"content\":{\"application/json\":{\"schema\":{");
                if (s->sub && schema != s->kind->schema && schema->name)
                        writer_ref(w, schema);
                else {
                        buf_printf(&w->out, "\"$ref\":\"%s", w->ref_prefix);
                        writer_root_name(w, s->kind, verb == KIND_LIST);
                        buf_append_char(&w->out, '"');
                }
                buf_append_str(&w->out, w->v2 ? "}" : "}}}");
        }
        buf_append_str(&w->out, "}}");
}

/* A stream or a proxy: its kind is that of the query, no body is one. */
static bool connects(const struct subject *s) {
        return s->sub && !s->sub->schema && s->sub->kind && !streq(s->sub->kind, s->kind->kind);
}

static void write_operation(struct writer *w, const char *method, const char *action, unsigned verb,
                const struct subject *s) {
        const struct kind *k = s->kind;

        writer_key(w, method);
        buf_append_char(&w->out, '{');
        writer_pair(w, "x-kubernetes-action", connects(s) ? "connect" : action);
        writer_key(w, "x-kubernetes-group-version-kind");
        if (s->sub && s->sub->kind)
                writer_gvk(w, strempty(s->sub->group), s->sub->version, s->sub->kind);
        else
                writer_gvk(w, k->group, k->version, k->kind);
        write_answer(w, s, verb);
        write_query_parameters(w, verb);
        buf_append_char(&w->out, '}');
}

/* "watch" is what comes between the version and the rest, or ""; below: what follows. Caller frees. */
static char *path_of(const struct kind *k, const char *watch, enum level level, const char *sub,
                const char *below) {
        return strformat("/%s/%s%s%s/%s%s%s%s%s", *k->group ? "apis" : "api", k->api_version, watch,
                        k->namespaced && level != EVERYWHERE ? "/namespaces/{namespace}" : "",
                        k->plural, level == ITEM ? "/{name}" : "", sub ? "/" : "", strempty(sub),
                        below);
}

static void open_path(struct writer *w, const char *path) {
        writer_key(w, strempty(path));
        buf_append_char(&w->out, '{');
        write_path_parameters(w, strempty(path));
}

static void write_path(
                struct writer *w, const struct subject *s, enum level level, const char *below) {
        const struct kind *k = s->kind;
        unsigned verbs = s->sub ? s->sub->verbs : k->verbs;
        _cleanup_free_ char *path = path_of(k, "", level, s->sub ? s->sub->name : NULL, below);
        bool open = false;

        if (level == ITEM && !s->sub)
                verbs &= ~(unsigned)KIND_CREATE;
        for (size_t i = 0; i < ELEMENTS(operations); i++) {
                if (operations[i].level != level || !(verbs & operations[i].verb))
                        continue;
                if (!open)
                        open_path(w, path);
                open = true;
                write_operation(w, operations[i].method, operations[i].action, operations[i].verb,
                                s);
        }
        if (open)
                buf_append_char(&w->out, '}');
}

/* /watch/...: deprecated, and what some clients know. */
static void write_watch_path(struct writer *w, const struct subject *s, enum level level) {
        _cleanup_free_ char *path = path_of(s->kind, "/watch", level, NULL, "");

        open_path(w, path);
        write_operation(w, "get", "watch", KIND_WATCH, s);
        buf_append_char(&w->out, '}');
}

static void write_kind_paths(struct writer *w, const struct kind *k) {
        const struct subject itself = {.kind = k};

        for (enum level level = 0; level < LEVELS; level++) {
                if (level == EVERYWHERE && !k->namespaced)
                        continue;
                write_path(w, &itself, level, "");
                if (k->verbs & KIND_WATCH)
                        write_watch_path(w, &itself, level);
        }
        for (size_t i = 0; i < k->subresource_count; i++) {
                const struct subject s = {.kind = k, .sub = &k->subresources[i]};

                write_path(w, &s, ITEM, "");
                if (connects(&s) && streq(s.sub->name, "proxy"))
                        write_path(w, &s, ITEM, "/{path}");
        }
}

static void write_plain_path(struct writer *w, const char *path) {
        writer_key(w, strempty(path));
        buf_append_str(&w->out, "{\"get\":{\"responses\":{\"200\":{\"description\":\"OK\"}}}}");
}

/* The documents of discovery: of a version, and of its group when it is the group's first. */
static void write_version_paths(
                struct writer *w, const struct kind *k, const struct kind *previous) {
        _cleanup_free_ char *path = strformat(
                                            "/%s/%s/", *k->group ? "apis" : "api", k->api_version),
                            *group = strformat("/apis/%s/", k->group);

        if (previous && streq(previous->api_version, k->api_version))
                return;
        if (w->v2 && *k->group && !(previous && streq(previous->group, k->group)))
                write_plain_path(w, group);
        write_plain_path(w, path);
}

void writer_paths(struct writer *w, const struct kind_registry *r, const char *group,
                const char *version) {
        static const char *const plain[] = {"/api/", "/apis/", "/version/"};
        const struct kind *k, *previous = NULL;

        for (size_t i = 0; w->v2 && i < ELEMENTS(plain); i++)
                write_plain_path(w, plain[i]);
        for (size_t i = 0; (k = kind_registry_at(r, i)); i++) {
                if (group && !(streq(k->group, group) && streq(k->version, version)))
                        continue;
                write_version_paths(w, k, previous);
                write_kind_paths(w, k);
                previous = k;
        }
}
