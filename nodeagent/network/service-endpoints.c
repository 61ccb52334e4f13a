/* Two passes over the endpoints of one service: the first finds out what there is, the second
 * collects. */
#include "nodeagent/network/service-endpoints.h"

#include <string.h>

/* What the endpoints of a port have in common. */
struct survey {
        bool ready, here_ready, here_terminating, terminating;
        bool all_nodes, all_zones; /* every ready endpoint has hints of this sort */
        bool my_node, my_zone;     /* some ready one has a hint for this node, this zone */
};

typedef void (*visit_func)(const struct slice_endpoint *e, unsigned port, void *userdata);

static unsigned port_in(const struct slice_view *s, const struct service_port *port) {
        for (size_t i = 0; i < s->ports.count; i++)
                if (s->ports.items[i].protocol == port->protocol &&
                                streq(s->ports.items[i].name, port->name))
                        return s->ports.items[i].port;
        return 0;
}

static void visit(const struct slice_list *slices, const struct service_port *port,
                enum ip_family family, visit_func func, void *userdata) {
        for (size_t i = 0; slices && i < slices->count; i++) {
                const struct slice_view *s = slices->items[i];
                unsigned number = s->family == family ? port_in(s, port) : 0;

                for (size_t k = 0; number > 0 && k < s->endpoints.count; k++)
                        if (s->endpoints.items[k].usable)
                                func(&s->endpoints.items[k], number, userdata);
        }
}

static bool names(const json_t *hints, const char *name) {
        const json_t *h;
        size_t i;

        json_array_foreach (hints, i, h)
                if (*name && streq(strempty(json_string_value(json_object_get(h, "name"))), name))
                        return true;
        return false;
}

static bool is_last_resort(const struct slice_endpoint *e) {
        return !e->ready && e->serving && e->terminating;
}

struct surveying {
        struct survey *survey;
        const struct node_place *node;
};

static void survey_one(const struct slice_endpoint *e, unsigned port, void *userdata) {
        struct surveying *x = userdata;
        struct survey *s = x->survey;
        bool here = streq(e->node, x->node->name);

        s->terminating |= is_last_resort(e);
        s->here_terminating |= here && is_last_resort(e);
        if (!e->ready)
                return;
        s->ready = true;
        s->here_ready |= here;
        s->all_nodes &= e->nodes != NULL;
        s->all_zones &= e->zones != NULL;
        s->my_node |= names(e->nodes, x->node->name);
        s->my_zone |= names(e->zones, x->node->zone);
}

struct collecting {
        struct survey survey;
        const struct node_place *node;
        struct endpoint_choice *choice;
        bool failed; /* out of memory */
};

static bool hints_allow(const struct collecting *c, const struct slice_endpoint *e) {
        if (c->survey.all_nodes && c->survey.my_node)
                return names(e->nodes, c->node->name);
        if (c->survey.all_zones && c->survey.my_zone)
                return names(e->zones, c->node->zone);
        return true;
}

static void collect_one(const struct slice_endpoint *e, unsigned port, void *userdata) {
        struct collecting *c = userdata;
        const struct survey *s = &c->survey;
        struct endpoint found = {e->address, port};
        bool here = streq(e->node, c->node->name);

        if ((s->ready ? e->ready && hints_allow(c, e) : is_last_resort(e)) &&
                        vector_append(&c->choice->cluster, found) < 0)
                c->failed = true;
        if (here && (s->here_ready ? e->ready : is_last_resort(e)) &&
                        vector_append(&c->choice->local, found) < 0)
                c->failed = true;
}

static int compare(const void *a, const void *b) {
        const struct endpoint *x = a, *y = b;
        int r = strcmp(x->address, y->address);

        return r != 0 ? r : (int)x->port - (int)y->port;
}

static void sort_unique(struct endpoint_list *l) {
        size_t n = 0;

        if (l->count > 1)
                qsort(l->items, l->count, sizeof(*l->items), compare);
        for (size_t i = 0; i < l->count; i++)
                if (n == 0 || compare(&l->items[n - 1], &l->items[i]) != 0)
                        l->items[n++] = l->items[i];
        l->count = n;
}

int endpoints_choose(const struct slice_list *slices, const struct service_port *port,
                enum ip_family family, const struct node_place *node, struct endpoint_choice *ret) {
        struct endpoint_choice choice = {0};
        struct collecting c = {.survey = {.all_nodes = true, .all_zones = true},
                        .node = node,
                        .choice = &choice};
        struct surveying s = {&c.survey, node};

        visit(slices, port, family, survey_one, &s);
        visit(slices, port, family, collect_one, &c);
        if (c.failed) {
                endpoint_choice_done(&choice);
                return -ENOMEM;
        }
        sort_unique(&choice.cluster);
        sort_unique(&choice.local);
        choice.any = c.survey.ready || c.survey.terminating;
        *ret = choice;
        return 0;
}

void endpoint_choice_done(struct endpoint_choice *c) {
        vector_done(&c->cluster);
        vector_done(&c->local);
}

size_t endpoints_ready_here(const struct slice_list *slices, const char *node_name) {
        size_t n = 0;

        for (size_t i = 0; slices && i < slices->count; i++) {
                const struct slice_view *s = slices->items[i];

                /* A pod with two addresses is in a slice of each family. */
                if (s->family != slices->items[0]->family)
                        continue;
                for (size_t k = 0; k < s->endpoints.count; k++)
                        n += s->endpoints.items[k].ready &&
                             streq(s->endpoints.items[k].node, node_name);
        }
        return n;
}
