/* kctl node units NODE: systemd's own list over SSH, beside the API's pods. */
#include "kctl/units.h"

#include "kctl/machine.h"
#include "kctl/node-pods.h"
#include "lib/adoptable-units.h"
#include "lib/object.h"

enum { ASK_TIMEOUT_S = 60 };
#define SHOW \
        "systemctl show --all --no-pager " \
        "-p Id,LoadState,ActiveState,SubState,Description,FragmentPath '*.service'"

/* The agent's units are pods'; `kctl get pods` shows those. */
static bool is_shown(const json_t *unit) {
        const char *name = json_str_or(unit, "unit", "");

        return *name && !startswith(name, "kpod") &&
               !streq(json_str_or(unit, "load", ""), "not-found");
}

static int end_unit(json_t *list, json_t **unit, const char *active, const char *sub) {
        _cleanup_json_ json_t *u = TAKE_PTR(*unit);

        if (!is_shown(u))
                return 0;
        if (json_object_set_new(u, "state", json_sprintf("%s (%s)", active, sub)) < 0)
                return -ENOMEM;
        return json_array_append(list, u) < 0 ? -ENOMEM : 0;
}

static int take_line(json_t *unit, const char *line, char *active, char *sub, size_t size) {
        static const struct {
                const char *key, *field;
        } rows[] = {{"Id=", "unit"}, {"LoadState=", "load"}, {"Description=", "description"},
                        {"FragmentPath=", "fragment"}};
        const char *v;

        if ((v = startswith(line, "ActiveState=")))
                snprintf(active, size, "%s", v);
        else if ((v = startswith(line, "SubState=")))
                snprintf(sub, size, "%s", v);
        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if ((v = startswith(line, rows[i].key)) &&
                                json_object_set_new(unit, rows[i].field, json_string(v)) < 0)
                        return -ENOMEM;
        return 0;
}

json_t *machine_units_parse(const char *text) {
        _cleanup_json_ json_t *list = json_array(), *unit = json_object();
        char active[32] = "", sub[32] = "";

        for (const char *s = text; list && unit; s += strcspn(s, "\n"), s += *s == '\n') {
                _cleanup_free_ char *line = strndup(s, strcspn(s, "\n"));

                if (!line || take_line(unit, line, active, sub, sizeof(active)) < 0)
                        return NULL;
                if (*line && *s)
                        continue;
                if (end_unit(list, &unit, active, sub) < 0)
                        return NULL;
                if (!*s)
                        return TAKE_PTR(list);
                unit = json_object();
        }
        return NULL;
}

static int add_adopter(json_t *units, const char *name, const json_t *pod, enum adoption mode) {
        _cleanup_json_ json_t *text = json_sprintf("%s/%s (%s)", object_namespace(pod),
                        object_name(pod), mode == ADOPTION_MANAGED ? "managed" : "read-only");
        json_t *unit;
        size_t i;

        if (!text)
                return -ENOMEM;
        json_array_foreach (units, i, unit) {
                json_t *by = json_object_get(unit, "adoptedBy");

                if (!streq(json_str_or(unit, "unit", ""), name))
                        continue;
                if (!by && json_object_set_new(unit, "adoptedBy", by = json_array()) < 0)
                        return -ENOMEM;
                return json_array_append(by, text) < 0 ? -ENOMEM : 0;
        }
        return 0;
}

int machine_units_adopted(json_t *units, const json_t *pods) {
        const json_t *pod, *c;
        size_t i, k;

        json_array_foreach (pods, i, pod) {
                const json_t *metadata = json_object_get(pod, "metadata"),
                             *spec = json_object_get(pod, "spec");

                json_array_foreach (json_at(spec, "containers"), k, c) {
                        const char *name = json_str_or(c, "name", ""),
                                   *unit = adoption_unit(metadata, spec, name);
                        int r = unit ? add_adopter(units, unit, pod, adoption_mode(metadata, name))
                                     : 0;

                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int get_units(struct kctl *k, const char *name, json_t **ret, struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_NODES), /* ns= */ NULL, name,
                        /* subresource= */ NULL, /* query= */ NULL);
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_json_ json_t *node = NULL, *pods = NULL, *units = NULL;
        _cleanup_buf_ struct buf out = {0};
        int r = path ? api_get(k->client, path, &node, p) : -ENOMEM;

        if (r < 0)
                return r;
        r = node_pods(k, name, &pods, p);
        if (r < 0)
                return r;
        r = machine_open_node(&m, k, node, p);
        if (r < 0)
                return r;
        r = machine_run(m, SHOW, /* input= */ NULL, 0, ASK_TIMEOUT_S, &out, p);
        if (r < 0)
                return r;
        units = machine_units_parse(strempty(out.data));
        if (!units)
                return -ENOMEM;
        r = machine_units_adopted(units, json_at(pods, "items"));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(units);
        return 0;
}

static const char *adopter_of(const json_t *unit) {
        return strempty(json_string_value(json_array_get(json_at(unit, "adoptedBy"), 0)));
}

static void print_units(const json_t *units, bool headers) {
        static const char *const titles[] = {"UNIT", "STATE", "ADOPTED BY"};
        int widths[] = {(int)strlen(titles[0]), (int)strlen(titles[1]), (int)strlen(titles[2])};
        const json_t *u;
        size_t i;

        json_array_foreach (units, i, u) {
                widths[0] = MAX(widths[0], (int)strlen(json_str_or(u, "unit", "")));
                widths[1] = MAX(widths[1], (int)strlen(json_str_or(u, "state", "")));
                widths[2] = MAX(widths[2], (int)strlen(adopter_of(u)));
        }
        if (headers)
                printf("%-*s   %-*s   %-*s   %s\n", widths[0], titles[0], widths[1], titles[1],
                                widths[2], titles[2], "DESCRIPTION, FILE");
        json_array_foreach (units, i, u) {
                const char *file = json_str_or(u, "fragment", "");

                printf("%-*s   %-*s   %-*s   %s%s%s\n", widths[0], json_str_or(u, "unit", ""),
                                widths[1], json_str_or(u, "state", ""), widths[2], adopter_of(u),
                                json_str_or(u, "description", ""), *file ? ", " : "", file);
        }
}

int kctl_node_units(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *units = NULL;
        const char *form = strempty(k->flags.output);

        if (strv_length(k->words) != 1)
                return kctl_usage(k, "of which node? for example: kctl node units n1");
        if (*form && !streq(form, "json"))
                return kctl_usage(k, "--output %s: only json is possible here", form);
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (get_units(k, k->words[0], &units, &p) < 0)
                return kctl_fail(&p);
        if (*form) {
                _cleanup_free_ char *text = json_text_pretty(units);

                puts(strempty(text));
        } else
                print_units(units, !k->flags.no_headers);
        return EXIT_OK;
}
