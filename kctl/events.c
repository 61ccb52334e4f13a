/* kctl events: of a namespace or of one object (--for), the oldest first. */
#include "kctl/formats.h"
#include "kctl/get.h"
#include "kctl/grid.h"
#include "lib/object.h"
#include "lib/timefmt.h"

/* When it was last seen: the first of its times that it has. */
static const char *last_seen(const json_t *event) {
        static const char *const paths[] = {"series.lastObservedTime", "lastTimestamp", "eventTime",
                        "metadata.creationTimestamp"};

        for (size_t i = 0; i < ELEMENTS(paths); i++)
                if (json_str(event, paths[i]))
                        return json_str(event, paths[i]);
        return "";
}

static const char *age_of(const char *time, char buffer[static TIMEFMT_SIZE]) {
        uint64_t then, now = now_wall_us();

        if (time_parse(time, &then) < 0)
                return "<unknown>";
        return age_format(now > then ? now - then : 0, buffer);
}

/* "5m", or "5m (x3 over 20m)" of one that came again. Caller frees. */
static char *seen_text(const json_t *event) {
        char last[TIMEFMT_SIZE], first[TIMEFMT_SIZE];
        int64_t count = json_int_or(event, "series.count", json_int_or(event, "count", 1));
        const char *age = age_of(last_seen(event), last);

        if (count <= 1)
                return strdup(age);
        return strformat("%s (x%lld over %s)", age, (long long)count,
                        age_of(json_str_or(event, "firstTimestamp",
                                               json_str_or(event, "eventTime", "")),
                                        first));
}

static int add_event(struct kctl *k, struct grid *g, const json_t *event) {
        _cleanup_free_ char *seen = seen_text(event),
                            *object = strformat("%s/%s",
                                            json_str_or(event, "involvedObject.kind", ""),
                                            json_str_or(event, "involvedObject.name", ""));
        const char *message = json_str_or(event, "message", "");
        _cleanup_free_ char *line = strdup(message);
        const char *texts[] = {object_namespace(event), seen, json_str_or(event, "type", ""),
                        json_str_or(event, "reason", ""), object, line};
        size_t skip = k->flags.all_namespaces ? 0 : 1;

        if (!seen || !object || !line)
                return -ENOMEM;
        for (size_t n = strlen(line); n > 0 && strchr(" \n", line[n - 1]); n--)
                line[n - 1] = 0;
        return grid_add_texts(g, texts + skip, ELEMENTS(texts) - skip);
}

static int print_events(struct kctl *k, const json_t *items) {
        static const char *const headings[] = {
                        "NAMESPACE", "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"};
        size_t skip = k->flags.all_namespaces ? 0 : 1, i;
        _cleanup_grid_ struct grid g = {0};
        const json_t *event;
        int r = 0;

        if (json_array_size(items) == 0) {
                fflush(stdout);
                if (k->flags.all_namespaces)
                        fprintf(stderr, "No events found.\n");
                else
                        fprintf(stderr, "No events found in %s namespace.\n", kctl_namespace(k));
                return 0;
        }
        if (!k->flags.no_headers)
                r = grid_add_texts(&g, headings + skip, ELEMENTS(headings) - skip);
        if (r < 0)
                return r;
        json_array_foreach (items, i, event) {
                r = add_event(k, &g, event);
                if (r < 0)
                        return r;
        }
        grid_print(&g, /* widths= */ NULL);
        return 0;
}

/* --for KIND/NAME as a field selector, beside the user's own. */
static int select_object(struct kctl *k, struct problem *p) {
        const char *word = k->flags.for_object, *slash = word ? strchr(word, '/') : NULL;
        _cleanup_free_ char *kind_word = slash ? strndup(word, (size_t)(slash - word)) : NULL;
        struct kind_ref kind;
        char *fields;
        int r;

        if (!word)
                return 0;
        if (!kind_word || !*kind_word || !slash[1])
                return problem_set(p, EINVAL, 0, NULL, "--for %s is not KIND/NAME, as pod/web-1",
                                word);
        r = kind_find(k, kind_word, &kind, p);
        if (r < 0)
                return r;
        fields = strformat("%s%sinvolvedObject.kind=%s,involvedObject.name=%s",
                        strempty(k->flags.field_selector), k->flags.field_selector ? "," : "",
                        kind.resource.kind, slash + 1);
        if (!fields)
                return -ENOMEM;
        free(k->flags.field_selector);
        k->flags.field_selector = fields;
        return 0;
}

/* --types Normal,Warning: whether an event is one of them. */
static bool type_wanted(const struct kctl *k, const json_t *event) {
        if (!k->flags.types)
                return true;
        for (char **type = k->flags.types; *type; type++)
                if (strcaseeq(*type, json_str_or(event, "type", "")))
                        return true;
        return false;
}

static int check_types(const struct kctl *k, struct problem *p) {
        for (char **type = k->flags.types; type && *type; type++)
                if (!strcaseeq(*type, "Normal") && !strcaseeq(*type, "Warning"))
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--types %s is not one of Normal, Warning", *type);
        return 0;
}

struct seen {
        json_t *event;
        uint64_t at_us;
};

static int compare_seen(const void *a, const void *b) {
        const struct seen *x = a, *y = b;

        return (x->at_us > y->at_us) - (x->at_us < y->at_us);
}

/* The wanted events in the order of their time; a new reference. */
static json_t *wanted_events(struct kctl *k, const json_t *list) {
        const json_t *items = json_object_get(list, "items"), *event;
        struct kind_ref kind = kind_ref_of(KIND_EVENTS);
        _cleanup_free_ struct seen *seen = calloc(json_array_size(items) + 1, sizeof(*seen));
        json_t *wanted = json_array();
        size_t i, n = 0;

        json_array_foreach (items, i, event) {
                if (!seen || !type_wanted(k, event))
                        continue;
                (void)time_parse(last_seen(event), &seen[n].at_us);
                seen[n++].event = json_unconst(event);
        }
        if (seen)
                qsort(seen, n, sizeof(*seen), compare_seen);
        for (i = 0; i < n; i++)
                json_array_append_new(wanted, get_typed_item(list, seen[i].event, &kind));
        return wanted;
}

static int show(struct kctl *k, struct problem *p) {
        struct kind_ref kind = kind_ref_of(KIND_EVENTS);
        struct target t = {.kind = kind,
                        .ns = k->flags.all_namespaces ? NULL : (char *)kctl_namespace(k)};
        _cleanup_free_ char *query = selector_query(k, /* more= */ NULL),
                            *path = query ? target_path(&t, NULL, query) : NULL;
        _cleanup_json_ json_t *list = NULL, *events = NULL, *shown = NULL;
        int r = path ? api_get(k->client, path, &list, p) : -ENOMEM;

        if (r < 0)
                return r;
        events = wanted_events(k, list);
        if (!events)
                return -ENOMEM;
        if (get_wants_table(k))
                return print_events(k, events);
        shown = json_pack("{s:s, s:s, s:O, s:{s:s}}", "apiVersion", "v1", "kind", "List", "items",
                        events, "metadata", "resourceVersion", "");
        return shown ? print_object(k, shown, &kind, p) : -ENOMEM;
}

int kctl_events(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        struct target t = {.kind = kind_ref_of(KIND_EVENTS)};
        int r;

        if (k->words)
                return kctl_usage(k, "events takes no argument (\"%s\"); --for names an object",
                                k->words[0]);
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (check_types(k, &p) < 0 || select_object(k, &p) < 0)
                return kctl_fail(&p);
        if (k->flags.watch) {
                t.ns = k->flags.all_namespaces ? NULL : (char *)kctl_namespace(k);
                return get_watch(k, &t);
        }
        r = show(k, &p);
        return r < 0 ? kctl_fail(&p) : EXIT_OK;
}
