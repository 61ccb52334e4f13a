/* kctl describe: the object's fields in readable form, what belongs to it, and its events. The form
 * follows the object, so that every kind has one; the kinds that people look at most have a form of
 * their own (describe-forms.c). */
#include "kctl/describe-forms.h"
#include "kctl/describe-quota.h"
#include "kctl/kctl.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { COLUMN = 22, DEPTH_MAX = 12 };

/* "creationTimestamp" -> "Creation Timestamp". */
static void print_key(const char *key, unsigned depth) {
        char text[128];
        size_t n = 0;

        if (strpbrk(key, "./-")) /* a key of a map, not a field */
                snprintf(text, sizeof(text), "%s", key);
        else {
                for (const char *c = key; *c && n + 2 < sizeof(text); c++) {
                        bool upper = *c >= 'A' && *c <= 'Z';

                        if (upper && c != key && !(c[-1] >= 'A' && c[-1] <= 'Z'))
                                text[n++] = ' ';
                        text[n++] = c == key && *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
                }
                text[n] = 0;
        }
        printf("%*s%s:", (int)depth * 2, "", text);
        int used = (int)(depth * 2 + strlen(text) + 1);
        printf("%*s", used < COLUMN ? COLUMN - used : 1, "");
}

static void print_value(const json_t *v, unsigned depth);

static void print_members(const json_t *o, unsigned depth) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)o, key, v) {
                print_key(key, depth);
                print_value(v, depth);
        }
}

static bool all_scalars(const json_t *list) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (json_is_object(v) || json_is_array(v))
                        return false;
        return true;
}

static void print_scalar(const json_t *v, unsigned column) {
        const char *s = json_string_value(v);
        _cleanup_free_ char *text =
                        !s                ? json_text(v)
                        : strlen(s) > 400 ? strformat("%.400s... (%zu bytes)", s, strlen(s))
                                          : strdup(*s ? s : "\"\"");

        print_outside(strempty(text), column);
}

static void print_value(const json_t *v, unsigned depth) {
        const json_t *item;
        size_t i;

        if (depth > DEPTH_MAX) {
                puts("...");
                return;
        }
        if (json_is_object(v)) {
                if (json_object_size(v) == 0) {
                        puts("<none>");
                        return;
                }
                putchar('\n');
                print_members(v, depth + 1);
                return;
        }
        if (!json_is_array(v)) {
                print_scalar(v, MAX((unsigned)COLUMN, depth * 2 + 2));
                return;
        }
        if (json_array_size(v) == 0) {
                puts("<none>");
                return;
        }
        if (all_scalars(v)) {
                _cleanup_buf_ struct buf b = {0};

                json_array_foreach (v, i, item) {
                        _cleanup_free_ char *text =
                                        json_is_string(item) ? strdup(json_string_value(item))
                                                             : json_text(item);

                        buf_printf(&b, "%s%s", i > 0 ? ", " : "", strempty(text));
                }
                print_outside(strempty(b.data), MAX((unsigned)COLUMN, depth * 2 + 2));
                return;
        }
        putchar('\n');
        json_array_foreach (v, i, item) {
                if (i > 0)
                        putchar('\n');
                if (json_is_object(item))
                        print_members(item, depth + 1);
                else
                        print_value(item, depth + 1);
        }
}

static void print_conditions(const json_t *o) {
        const json_t *c;
        size_t i;

        if (json_array_size(json_at(o, "status.conditions")) == 0)
                return;
        printf("Conditions:\n  %-22s %-8s %-24s %s\n", "TYPE", "STATUS", "REASON", "MESSAGE");
        json_array_foreach (json_at(o, "status.conditions"), i, c) {
                printf("  %-22s %-8s %-24s ", json_str_or(c, "type", ""),
                                json_str_or(c, "status", ""), json_str_or(c, "reason", ""));
                print_outside(json_str_or(c, "message", ""), 59);
        }
}

static const char *age_of(const char *time, char buffer[static TIMEFMT_SIZE]) {
        uint64_t then, now = now_wall_us();

        return time_parse(time, &then) < 0 ? "<unknown>"
                                           : age_format(now > then ? now - then : 0, buffer);
}

/* Of a Secret only the sizes are shown. */
static json_t *presentable(const json_t *o, const struct kind_ref *kind) {
        static const char *const hidden[] = {"managedFields", "resourceVersion", "uid",
                        "generation", "name", "namespace", "labels", "annotations",
                        "creationTimestamp"};
        json_t *copy = json_deep_copy(o), *data, *v;
        const char *key;

        for (size_t i = 0; i < ELEMENTS(hidden); i++)
                json_object_del(json_object_get(copy, "metadata"), hidden[i]);
        if (json_object_size(json_object_get(copy, "metadata")) == 0)
                json_object_del(copy, "metadata");
        json_object_del(copy, "kind");
        json_object_del(copy, "apiVersion");
        json_del_at(copy, "status.conditions");
        data = json_object_get(copy, "data");
        if (streq(kind->resource.kind, "Secret"))
                json_object_foreach (data, key, v) {
                        char size[32];

                        snprintf(size, sizeof(size), "%zu bytes", json_string_length(v) / 4 * 3);
                        json_string_set(v, size);
                }
        return copy;
}

static void print_map(const char *title, const json_t *map) {
        const char *key;
        json_t *v;
        bool first = true;

        printf("%-*s", COLUMN, title);
        json_object_foreach ((json_t *)map, key, v) {
                if (streq(key, "kubectl.kubernetes.io/last-applied-configuration"))
                        continue; /* the object itself once more */
                printf("%*s%s=", first ? 0 : COLUMN, "", key);
                print_outside(strempty(json_string_value(v)), COLUMN + 2);
                first = false;
        }
        if (first)
                puts("<none>");
}

static void print_events(struct kctl *k, const json_t *o, const struct kind_ref *kind) {
        const char *ns = kind->resource.namespaced ? object_namespace(o) : NULL;
        _cleanup_free_ char *selector = strformat("involvedObject.uid=%s", object_uid(o)),
                            *escaped = selector ? url_escape(selector) : NULL,
                            *query = escaped ? strformat("fieldSelector=%s", escaped) : NULL,
                            *path = query ? api_path(api_resource(KIND_EVENTS), ns,
                                                            /* name= */ NULL,
                                                            /* subresource= */ NULL, query)
                                          : NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *list = NULL;
        const json_t *e;
        size_t i;

        if (!path || api_get(k->client, path, &list, &p) < 0 ||
                        json_array_size(json_object_get(list, "items")) == 0) {
                puts("Events:               <none>");
                return;
        }
        printf("Events:\n  %-8s %-20s %-16s %-16s %s\n", "TYPE", "REASON", "AGE", "FROM",
                        "MESSAGE");
        json_array_foreach (json_object_get(list, "items"), i, e) {
                char age[TIMEFMT_SIZE], first[TIMEFMT_SIZE], text[96];
                const char *last = json_str(e, "lastTimestamp")
                                                   ? json_str(e, "lastTimestamp")
                                                   : json_str(e, "metadata.creationTimestamp");
                int64_t count = json_int_or(e, "count", 1);

                if (count > 1)
                        snprintf(text, sizeof(text), "%s (x%lld over %s)", age_of(last, age),
                                        (long long)count,
                                        age_of(json_str(e, "firstTimestamp"), first));
                else
                        snprintf(text, sizeof(text), "%s", age_of(last, age));
                printf("  %-8s %-20s %-16s %-16s ", json_str_or(e, "type", ""),
                                json_str_or(e, "reason", ""), text,
                                json_str_or(e, "source.component",
                                                json_str_or(e, "reportingComponent", "")));
                print_outside(json_str_or(e, "message", ""), 66);
        }
}

/* Pods of a namespace, or of all (ns NULL). NULL when they cannot be read: they are left out then.
 */
static json_t *list_pods(struct kctl *k, const char *ns, const char *query) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_PODS), ns, /* name= */ NULL,
                        /* subresource= */ NULL, query);
        _cleanup_problem_ struct problem p = {0};
        json_t *list = NULL;

        return path && api_get(k->client, path, &list, &p) >= 0 ? list : NULL;
}

/* The pods of a node, with their phases. */
static void print_pods_of_node(struct kctl *k, const char *name) {
        _cleanup_free_ char *query = strformat("fieldSelector=spec.nodeName%%3D%s", name);
        _cleanup_json_ json_t *list = query ? list_pods(k, /* ns= */ NULL, query) : NULL;
        const json_t *pod;
        size_t i;

        if (!list)
                return;
        printf("Pods:                 (%zu in total)\n",
                        json_array_size(json_object_get(list, "items")));
        json_array_foreach (json_object_get(list, "items"), i, pod)
                printf("  %-20s %-48s %s\n", object_namespace(pod), object_name(pod),
                                json_str_or(pod, "status.phase", ""));
}

/* The pods that a set controls, counted by phase. */
static void print_pod_counts(struct kctl *k, const json_t *o) {
        static const char *const kinds[] = {
                        "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet"};
        bool counted = false;

        for (size_t i = 0; i < ELEMENTS(kinds); i++)
                counted |= streq(object_kind(o), kinds[i]);
        if (!counted)
                return;
        _cleanup_json_ json_t *list = list_pods(k, object_namespace(o), /* query= */ NULL);
        _cleanup_free_ char *text =
                        list ? describe_pod_counts(json_object_get(list, "items"), object_uid(o))
                             : NULL;

        if (text)
                printf("%-*s%s\n", COLUMN, "Pods Status:", text);
}

/* The pods that use a claim. */
static void print_users(struct kctl *k, const json_t *claim) {
        _cleanup_json_ json_t *list = list_pods(k, object_namespace(claim), /* query= */ NULL);
        const json_t *pod;
        bool some = false;
        size_t i;

        if (!list)
                return;
        json_array_foreach (json_object_get(list, "items"), i, pod) {
                if (!describe_pod_uses_claim(pod, object_name(claim)))
                        continue;
                printf("%-*s%s\n", COLUMN, some ? "" : "Used By:", object_name(pod));
                some = true;
        }
        if (!some)
                printf("%-*s<none>\n", COLUMN, "Used By:");
}

/* The form of the object's kind, or the object itself. */
static int print_body(struct kctl *k, const json_t *o, const json_t *shown) {
        _cleanup_buf_ struct buf form = {0};
        int r = describe_form(o, &form);

        if (r < 0)
                return r;
        if (r == 0) {
                print_members(shown, 0);
                return 0;
        }
        fputs(strempty(form.data), stdout);
        print_pod_counts(k, o);
        if (streq(object_kind(o), "PersistentVolumeClaim"))
                print_users(k, o);
        return 0;
}

static int describe(struct kctl *k, const struct target *t, struct problem *p) {
        _cleanup_free_ char *path = target_path(t, /* subresource= */ NULL, /* query= */ NULL);
        _cleanup_json_ json_t *o = NULL, *shown = NULL;
        char age[TIMEFMT_SIZE];
        int r = path ? api_get(k->client, path, &o, p) : -ENOMEM;

        if (r < 0)
                return r;
        shown = presentable(o, &t->kind);
        if (!shown)
                return -ENOMEM;
        printf("%-*s%s\n", COLUMN, "Name:", object_name(o));
        if (t->kind.resource.namespaced)
                printf("%-*s%s\n", COLUMN, "Namespace:", object_namespace(o));
        print_map("Labels:", json_at(o, "metadata.labels"));
        print_map("Annotations:", json_at(o, "metadata.annotations"));
        printf("%-*s%s (%s ago)\n", COLUMN,
                        "Created:", json_str_or(o, "metadata.creationTimestamp", ""),
                        age_of(json_str(o, "metadata.creationTimestamp"), age));
        if (streq(t->kind.resource.kind, "ResourceQuota"))
                describe_quota(o, /* titled= */ false);
        else if (streq(t->kind.resource.kind, "LimitRange"))
                describe_limit_range(o);
        else
                r = print_body(k, o, shown);
        if (r < 0)
                return r;
        print_conditions(o);
        if (streq(t->kind.resource.kind, "Namespace"))
                describe_bounds(k, object_name(o));
        if (streq(t->kind.resource.kind, "Node"))
                print_pods_of_node(k, object_name(o));
        print_events(k, o, &t->kind);
        return 0;
}

int kctl_describe(struct kctl *k) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        if (targets_resolve(k, 0, &t, &p) < 0)
                return kctl_fail(&p);
        if (t.count == 0)
                fprintf(stderr, "No resources found\n");
        for (size_t i = 0; i < t.count; i++) {
                if (i > 0)
                        puts("\n");
                if (describe(k, &t.items[i], &p) < 0)
                        code = kctl_fail(&p);
        }
        return code;
}
