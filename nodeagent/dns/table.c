/* A name has its records with the number of owners that gave each, because a pod is an endpoint of
 * several services. While a name is dirty, `before` holds what unbound has for it. An ALIAS (an
 * ExternalName that leads to a name of the cluster) has the addresses of its target: unbound does
 * not follow a CNAME from local data to local data. When the target changes, its followers do. */
#include "nodeagent/dns/table.h"

#include <sys/queue.h>

#include "lib/map.h"
#include "lib/vector.h"

enum { CHAIN_MAX = 8 };

struct rr {
        char *text; /* "A 10.96.3.4" */
        unsigned owners;
};

struct name {
        char *text;
        VECTOR(struct rr) rrs;
        VECTOR(struct name *) followers; /* names whose ALIAS leads here */
        char **before;                   /* of a dirty name */
        bool dirty;
        TAILQ_ENTRY(name) next; /* in the list of dirty names */
        TAILQ_ENTRY(name) in_all;
};

TAILQ_HEAD(name_list, name);

struct dns_table {
        struct map *names;  /* text -> struct name */
        struct map *owners; /* owner -> its lines (char *) */
        struct name_list dirty, all;
        struct name *cursor; /* of dns_table_config() */
        size_t pending;
        uint64_t steps;
};

static void name_free(void *value) {
        struct name *n = value;

        for (size_t i = 0; i < n->rrs.count; i++)
                free(n->rrs.items[i].text);
        vector_done(&n->rrs);
        vector_done(&n->followers);
        strv_free(n->before);
        free(n->text);
        free(n);
}

struct dns_table *dns_table_new(void) {
        struct dns_table *t = calloc(1, sizeof(*t));

        if (!t)
                return NULL;
        TAILQ_INIT(&t->dirty);
        TAILQ_INIT(&t->all);
        t->names = map_new(name_free);
        t->owners = map_new(free);
        return t->names && t->owners ? t : dns_table_free(t);
}

struct dns_table *dns_table_free(struct dns_table *t) {
        if (!t)
                return NULL;
        map_free(t->names);
        map_free(t->owners);
        free(t);
        return NULL;
}

static struct name *name_make(struct dns_table *t, const char *text) {
        struct name *n = map_get(t->names, text);

        if (n)
                return n;
        n = calloc(1, sizeof(*n));
        if (!n)
                return NULL;
        n->text = strdup(text);
        if (!n->text || map_set(t->names, text, n) < 0) {
                name_free(n);
                return NULL;
        }
        TAILQ_INSERT_TAIL(&t->all, n, in_all);
        return n;
}

static void name_drop_maybe(struct dns_table *t, struct name *n) {
        if (n->rrs.count > 0 || n->followers.count > 0 || n->dirty)
                return;
        if (t->cursor == n)
                t->cursor = TAILQ_NEXT(n, in_all);
        TAILQ_REMOVE(&t->all, n, in_all);
        (void)map_remove(t->names, n->text);
}

static int by_text(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(char **list) {
        if (list)
                qsort((void *)list, strv_length(list), sizeof(*list), by_text);
}

/* ---- what a name has ---- */

static const char *alias_of(const struct rr *rr) {
        return startswith(rr->text, "ALIAS ");
}

/* Whether those that follow a name have this record too, and not yet. */
static bool is_shared(const char *rr, char *const *list) {
        return (startswith(rr, "A ") || startswith(rr, "AAAA ") || startswith(rr, "CNAME ")) &&
               !strv_contains(list, rr);
}

/* Adds the records of a name; of an ALIAS the addresses, or the CNAME, at the end of its chain. */
static int collect(struct dns_table *t, const struct name *n, unsigned depth, char ***list) {
        int r = 0;

        t->steps++;
        for (size_t i = 0; i < n->rrs.count && r >= 0; i++) {
                const struct rr *rr = &n->rrs.items[i];
                const char *alias = alias_of(rr);
                const struct name *target = alias ? map_get(t->names, alias) : NULL;

                if (target && depth < CHAIN_MAX)
                        r = collect(t, target, depth + 1, list);
                else if (!alias && (depth == 0 || is_shared(rr->text, *list)))
                        r = strv_extend(list, rr->text);
        }
        return r;
}

static const char *cname_of(char *const *list) {
        for (; list && *list; list++)
                if (startswith(*list, "CNAME "))
                        return *list;
        return NULL;
}

/* The records that unbound shall have: sorted; a CNAME stands alone. */
static int wanted(struct dns_table *t, const struct name *n, char ***ret) {
        _cleanup_strv_free_ char **list = NULL, **one = NULL;
        int r = collect(t, n, /* depth= */ 0, &list);

        if (r < 0)
                return r;
        sort(list);
        if (!cname_of(list)) {
                *ret = TAKE_PTR(list);
                return 0;
        }
        r = strv_extend(&one, cname_of(list));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(one);
        return 0;
}

/* Before a name changes: it, and those that follow it, are compared later. */
static int mark(struct dns_table *t, struct name *n, unsigned depth) {
        int r;

        if (!n->dirty) {
                r = wanted(t, n, &n->before);
                if (r < 0)
                        return r;
                n->dirty = true;
                TAILQ_INSERT_TAIL(&t->dirty, n, next);
                t->pending++;
        }
        for (size_t i = 0; depth < CHAIN_MAX && i < n->followers.count; i++) {
                r = mark(t, n->followers.items[i], depth + 1);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- owners ---- */

static int follow(struct dns_table *t, struct name *n, const char *target_text) {
        struct name *target = name_make(t, target_text);

        return target ? vector_append(&target->followers, n) : -ENOMEM;
}

static void unfollow(struct dns_table *t, struct name *n, const char *target_text) {
        struct name *target = map_get(t->names, target_text);

        for (size_t i = 0; target && i < target->followers.count; i++)
                if (target->followers.items[i] == n) {
                        vector_remove_unordered(&target->followers, i);
                        if (target != n)
                                name_drop_maybe(t, target);
                        return;
                }
}

static int add(struct dns_table *t, const char *text, const char *rr_text) {
        struct name *n = name_make(t, text);
        struct rr rr = {.owners = 1};
        int r;

        if (!n)
                return -ENOMEM;
        for (size_t i = 0; i < n->rrs.count; i++)
                if (streq(n->rrs.items[i].text, rr_text)) {
                        n->rrs.items[i].owners++;
                        return 0;
                }
        r = mark(t, n, /* depth= */ 0);
        if (r < 0)
                return r;
        rr.text = strdup(rr_text);
        r = rr.text ? vector_append(&n->rrs, rr) : -ENOMEM;
        if (r < 0) {
                free(rr.text);
                return r;
        }
        return alias_of(&rr) ? follow(t, n, alias_of(&rr)) : 0;
}

static int take_away(struct dns_table *t, const char *text, const char *rr_text) {
        struct name *n = map_get(t->names, text);
        int r;

        for (size_t i = 0; n && i < n->rrs.count; i++) {
                struct rr *rr = &n->rrs.items[i];

                if (!streq(rr->text, rr_text))
                        continue;
                if (--rr->owners > 0)
                        return 0;
                r = mark(t, n, /* depth= */ 0);
                if (r < 0)
                        return r;
                if (alias_of(rr))
                        unfollow(t, n, alias_of(rr));
                free(rr->text);
                vector_remove_unordered(&n->rrs, i);
                return 0;
        }
        return 0;
}

static int each_line(struct dns_table *t, const char *lines,
                int (*func)(struct dns_table *t, const char *name, const char *rr)) {
        _cleanup_free_ char *copy = strdup(lines);
        char *rest = copy, *line;

        if (!copy)
                return -ENOMEM;
        while ((line = strsep(&rest, "\n"))) {
                char *tab = strchr(line, '\t');
                int r;

                if (!tab)
                        continue;
                *tab = 0;
                t->steps++;
                r = func(t, line, tab + 1);
                if (r < 0)
                        return r;
        }
        return 0;
}

int dns_table_set(struct dns_table *t, const char *owner, const char *lines) {
        _cleanup_free_ char *old = NULL;
        char *kept;
        int r;

        if (streq(lines, strempty(map_get(t->owners, owner))))
                return 0;
        kept = strdup(lines);
        if (!kept)
                return -ENOMEM;
        old = map_steal(t->owners, owner);
        if (*lines && map_set(t->owners, owner, kept) < 0) {
                free(kept);
                return -ENOMEM;
        }
        if (!*lines)
                free(kept);
        /* The new ones first: what stays keeps its place. */
        r = each_line(t, lines, add);
        if (r < 0)
                return r;
        return old ? each_line(t, old, take_away) : 0;
}

bool dns_table_has_owner(const struct dns_table *t, const char *owner) {
        return map_get(t->owners, owner) != NULL;
}

/* ---- what unbound has ---- */

void dns_table_compare_all(struct dns_table *t) {
        map_foreach (t->names, e) {
                struct name *n = map_entry_value(e);

                if (!n->dirty) {
                        n->dirty = true;
                        TAILQ_INSERT_TAIL(&t->dirty, n, next);
                        t->pending++;
                }
                n->before = strv_free(n->before);
        }
}

int dns_table_found(struct dns_table *t, const char *text, const char *rr) {
        struct name *n = name_make(t, text);

        if (!n)
                return -ENOMEM;
        if (!n->dirty) { /* a name that we do not want */
                n->dirty = true;
                TAILQ_INSERT_TAIL(&t->dirty, n, next);
                t->pending++;
        }
        return strv_contains(n->before, rr) ? 0 : strv_extend(&n->before, rr);
}

size_t dns_table_pending(const struct dns_table *t) {
        return t->pending;
}

/* ---- changes ---- */

void dns_changes_done(struct dns_changes *c) {
        buf_done(&c->shown);
        buf_done(&c->zone_data);
        buf_done(&c->removed);
        buf_done(&c->added);
        c->dropped = strv_free(c->dropped);
        c->zones = strv_free(c->zones);
        c->unshown = strv_free(c->unshown);
}

static bool same(char *const *a, char *const *b) {
        for (; a && *a && b && *b; a++, b++)
                if (!streq(*a, *b))
                        return false;
        return (!a || !*a) && (!b || !*b);
}

static bool has_all(char *const *list, char *const *of) {
        for (; of && *of; of++)
                if (!strv_contains(list, *of))
                        return false;
        return true;
}

static int put(struct buf *out, const char *name, char *const *list, char *const *but) {
        for (; list && *list; list++) {
                int r = but && strv_contains(but, *list)
                                        ? 0
                                        : buf_printf(out, "%s %i IN %s\n", name, DNS_TTL_S, *list);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Records go and others stay. */
static int replace(struct dns_changes *c, const char *name, char *const *now) {
        int r = put(&c->shown, name, now, /* but= */ NULL);

        if (r < 0)
                return r;
        r = buf_printf(&c->removed, "%s\n", name);
        if (r < 0)
                return r;
        r = put(&c->added, name, now, /* but= */ NULL);
        return r < 0 ? r : strv_extend(&c->unshown, name);
}

/* now is a CNAME. */
static int to_zone(struct dns_changes *c, const char *name, char *const *before, char *const *now) {
        int r = cname_of(before) ? strv_extend(&c->dropped, name) : 0;

        if (r < 0)
                return r;
        r = strv_extend(&c->zones, name);
        if (r < 0)
                return r;
        r = put(&c->zone_data, name, now, /* but= */ NULL);
        if (r < 0)
                return r;
        return before && !cname_of(before) ? buf_printf(&c->removed, "%s\n", name) : 0;
}

static int difference(
                struct dns_changes *c, const char *name, char *const *before, char *const *now) {
        int r;

        if (cname_of(now))
                return to_zone(c, name, before, now);
        if (cname_of(before)) {
                r = put(&c->added, name, now, /* but= */ NULL);
                return r < 0 ? r : strv_extend(&c->unshown, name);
        }
        if (!now)
                return buf_printf(&c->removed, "%s\n", name);
        return has_all(now, before) ? put(&c->added, name, now, before) : replace(c, name, now);
}

int dns_table_take(struct dns_table *t, size_t names_max, struct dns_changes *ret) {
        int differ = 0;

        for (; names_max > 0 && !TAILQ_EMPTY(&t->dirty); names_max--) {
                struct name *n = TAILQ_FIRST(&t->dirty);
                _cleanup_strv_free_ char **now = NULL;
                int r = wanted(t, n, &now);

                if (r < 0)
                        return r;
                sort(n->before); /* as unbound lists them, they are not */
                if (!same(n->before, now)) {
                        differ++;
                        r = difference(ret, n->text, n->before, now);
                        if (r < 0)
                                return r;
                }
                TAILQ_REMOVE(&t->dirty, n, next);
                t->pending--;
                n->dirty = false;
                n->before = strv_free(n->before);
                name_drop_maybe(t, n);
        }
        return differ;
}

/* The records of a name; those of zones go to the view. */
static int put_config(
                struct dns_table *t, const struct name *n, struct buf *server, struct buf *view) {
        _cleanup_strv_free_ char **list = NULL;
        struct buf *out = server;
        int r = wanted(t, n, &list);

        if (r >= 0 && cname_of(list)) {
                out = view;
                r = buf_printf(view, "    local-zone: \"%s\" redirect\n", n->text);
        }
        for (char **s = list; s && *s && r >= 0; s++)
                r = buf_printf(out, "    local-data: '%s %i IN %s'\n", n->text, DNS_TTL_S, *s);
        return r;
}

void dns_table_rewind(struct dns_table *t) {
        t->cursor = TAILQ_FIRST(&t->all);
}

int dns_table_config(
                struct dns_table *t, size_t names_max, struct buf *server, struct buf *in_view) {
        for (; t->cursor && names_max > 0; names_max--) {
                int r = put_config(t, t->cursor, server, in_view);

                if (r < 0)
                        return r;
                t->cursor = TAILQ_NEXT(t->cursor, in_all);
        }
        return t->cursor != NULL;
}

uint64_t dns_table_steps(const struct dns_table *t) {
        return t->steps;
}
