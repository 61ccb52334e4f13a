/* What `kctl fleet check` sees: objects of the API, and each machine over SSH, many at a time. */
#include "kctl/control.h"
#include "kctl/crew.h"
#include "kctl/fleet.h"
#include "kctl/texts.h"
#include "lib/object.h"
#include "lib/timefmt.h"

#include "config.h"

enum { ASK_TIMEOUT_S = 30 };

/* ---- the machines ---- */

struct asked {
        char *name; /* of the node; of a machine that is none, as it was given or is listed */
        const json_t *node;            /* NULL: not a node */
        const struct control *control; /* of the API's list; NULL: a node, or given */
};

struct gather {
        struct kctl *k;
        struct controls controls; /* that the API lists */
        struct asked *asked;
        size_t count;
        json_t *machines; /* by their places */
};

static int ask(struct gather *g, const struct asked *a, json_t *machine, struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_buf_ struct buf out = {0};
        uint64_t before;
        int r = a->node      ? machine_open_node(&m, g->k, a->node, p)
                : a->control ? control_open(g->k, a->control, &m, p)
                             : machine_open(&m, g->k, a->name, /* host_key= */ NULL, p);

        if (r < 0)
                return r;
        before = now_wall_us(); /* the clock is the first thing that the script reads */
        r = machine_run(m, text_fleet_facts_sh, /* input= */ NULL, 0, ASK_TIMEOUT_S, &out, p);
        if (r < 0)
                return r;
        json_object_set_new(machine, "asked", json_integer((json_int_t)(before / 1000)));
        return fleet_machine_parse(strempty(out.data), machine);
}

/* In the process of the machine: one line of JSON. */
static int on_job(size_t i, void *userdata) {
        struct gather *g = userdata;
        const struct asked *a = &g->asked[i];
        _cleanup_json_ json_t *machine =
                        json_pack("{s:s, s:b}", "name", a->name, "node", a->node != NULL);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL;
        int r = machine ? ask(g, a, machine, &p) : -ENOMEM;

        if (r < 0 && machine)
                json_object_set_new(machine, "error",
                                json_string(p.message ? p.message : strerror(-r)));
        text = json_text(machine);
        if (!text)
                return EXIT_ERROR;
        puts(text);
        return EXIT_OK;
}

static void on_line(size_t i, bool is_stderr, const char *line, void *userdata) {
        struct gather *g = userdata;
        json_t *machine;

        if (!is_stderr && json_parse(line, strlen(line), 0, &machine, /* ret_error= */ NULL) == 0)
                json_array_set_new(g->machines, i, machine);
}

static int add_asked(struct gather *g, const char *name, const json_t *node,
                const struct control *control) {
        g->asked[g->count] = (struct asked){strdup(name), node, control};
        return g->asked[g->count++].name ? 0 : -ENOMEM;
}

/* A machine may be both: then it is asked as the node. */
static bool is_node(const struct control *c, const json_t *nodes) {
        const json_t *n, *address;
        size_t i, k;

        json_array_foreach (nodes, i, n) {
                if (streq(object_name(n), c->name))
                        return true;
                json_array_foreach (json_at(n, "status.addresses"), k, address)
                        if (streq(json_str_or(address, "address", ""), c->address))
                                return true;
        }
        return false;
}

static bool is_given(const struct gather *g, const struct control *c) {
        for (char **s = g->k->flags.control; s && *s; s++)
                if (controls_find(&g->controls, *s) == c)
                        return true;
        return false;
}

/* The nodes, the machines of the control plane that were given, and those that the API lists and
 * that are neither. */
static int list_machines(struct gather *g, const json_t *nodes) {
        const json_t *n;
        size_t i;
        int r = 0;

        g->asked = calloc(json_array_size(nodes) + strv_length(g->k->flags.control) + CONTROLS_MAX,
                        sizeof(*g->asked));
        g->machines = json_array();
        if (!g->asked || !g->machines)
                return -ENOMEM;
        json_array_foreach (nodes, i, n)
                r = MIN(r, add_asked(g, object_name(n), n, /* control= */ NULL));
        for (char **c = g->k->flags.control; c && *c; c++)
                r = MIN(r, add_asked(g, *c, /* node= */ NULL, /* control= */ NULL));
        for (i = 0; i < g->controls.count; i++) {
                const struct control *c = &g->controls.items[i];

                if (!is_node(c, nodes) && !is_given(g, c))
                        r = MIN(r, add_asked(g, c->name, /* node= */ NULL, c));
        }
        if (r < 0)
                return r;
        for (i = 0; i < g->count; i++)
                if (json_array_append_new(
                                    g->machines, json_pack("{s:s, s:s}", "name", g->asked[i].name,
                                                                 "error", "its process ended")) < 0)
                        return -ENOMEM;
        return 0;
}

static void gather_done(struct gather *g) {
        for (size_t i = 0; i < g->count; i++)
                free(g->asked[i].name);
        free(g->asked);
        controls_done(&g->controls);
        json_decref(g->machines);
}

/* ---- the API ---- */

/* The items of a list, an empty array where they cannot be had: that is a finding, not an end. */
static int get_items(struct kctl *k, enum kind_id kind, const char *query, json_t *facts,
                const char *key) {
        _cleanup_free_ char *path = api_path(api_resource(kind), /* ns= */ NULL, /* name= */ NULL,
                        /* subresource= */ NULL, query);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *list = NULL;
        int r = path ? api_get(k->client, path, &list, &p) : -ENOMEM;

        if (r == -ENOMEM)
                return r;
        if (r < 0 && !json_at(facts, "api.error"))
                json_set_at(facts, "api.error",
                                json_sprintf("it does not answer: %s", strempty(p.message)));
        return json_object_set_new(facts, key,
                               r < 0 ? json_array() : json_ref(json_object_get(list, "items"))) < 0
                               ? -ENOMEM
                               : 0;
}

int fleet_facts_gather(struct kctl *k, json_t **ret, struct problem *p) {
        _cleanup_(gather_done) struct gather g = {.k = k};
        _cleanup_json_ json_t *facts = json_pack("{s:I, s:s, s:{}}", "now",
                        (json_int_t)(now_wall_us() / 1000000), "kctl", PACKAGE_VERSION, "api");
        struct crew crew = {.job = on_job, .on_line = on_line, .userdata = &g};
        _cleanup_problem_ struct problem ignored = {0};
        int r;

        if (!facts)
                return -ENOMEM;
        r = get_items(k, KIND_NODES, /* query= */ NULL, facts, "nodeObjects");
        if (r < 0)
                return r;
        r = get_items(k, KIND_GITSYNCS, /* query= */ NULL, facts, "syncObjects");
        if (r < 0)
                return r;
        r = get_items(k, KIND_EVENTS, "fieldSelector=reason%3DHostDrift", facts, "driftEvents");
        if (r < 0)
                return r;
        /* An API that does not answer is a finding already. */
        (void)controls_read(k, &g.controls, &ignored);
        r = list_machines(&g, json_object_get(facts, "nodeObjects"));
        if (r < 0)
                return r;
        crew.count = g.count;
        r = crew_run(&crew, p);
        if (r < 0)
                return r;
        if (json_object_set(facts, "machines", g.machines) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(facts);
        return 0;
}
