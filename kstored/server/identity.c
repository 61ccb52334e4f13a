/* Which member of which cluster this is: from the flags for a new cluster, from the other members
 * when it joins one, and a check against what the disk holds. */
#include "kstored/server/identity.h"

#include "kstored/backup/replace-data.h"
#include "kstored/server/auto-tls.h"
#include "kstored/server/first-life.h"
#include "kstored/server/join.h"
#include "kstored/server/server.h"

/* FNV-1a with a final mix (splitmix64): ids must be equal on all members for equal flags, no more.
 */
static uint64_t id_hash(uint64_t h, const char *text) {
        for (const char *c = text; *c; c++)
                h = (h ^ (uint8_t)*c) * 0x100000001b3ULL;
        h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
        h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
        return h ^ (h >> 31);
}

static int compare_texts(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static uint64_t member_id_of(char **urls, const char *token) {
        uint64_t h = 0xcbf29ce484222325ULL;

        if (urls)
                qsort(urls, strv_length(urls), sizeof(urls[0]), compare_texts);
        for (char **u = urls; u && *u; u++)
                h = id_hash(h, *u);
        h = id_hash(h, token);
        return h ? h : 1;
}

static struct member *find_name(struct member **v, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (streq(v[i]->name, name))
                        return v[i];
        return NULL;
}

/* "name=url" items, a name once for each of its urls. */
static int parse_cluster(const struct server_options *o, struct member **v, size_t *ret_n,
                struct problem *p) {
        size_t n = 0;
        int r = 0;

        for (char **item = o->initial_cluster; item && *item && r >= 0; item++) {
                const char *eq = strchr(*item, '=');
                _cleanup_free_ char *name = eq ? strndup(*item, (size_t)(eq - *item)) : NULL;
                struct member *m;

                if (!name || !*name || !strstr(eq + 1, "://")) {
                        r = problem_set(p, EINVAL, 0, NULL,
                                        "--initial-cluster \"%s\" is not NAME=URL", *item);
                        break;
                }
                m = find_name(v, n, name);
                if (!m) {
                        if (n == RAFT_MEMBERS_MAX) {
                                r = problem_set(p, EINVAL, 0, NULL,
                                                "--initial-cluster names more than %d members",
                                                RAFT_MEMBERS_MAX);
                                break;
                        }
                        m = calloc(1, sizeof(*m));
                        if (!m) {
                                r = -ENOMEM;
                                break;
                        }
                        m->name = TAKE_PTR(name);
                        v[n++] = m;
                }
                r = strv_extend(&m->peer_urls, eq + 1);
        }
        *ret_n = n;
        return r;
}

/* The peer URLs of everyone else. */
static int urls_of_others(const struct server *s, struct member **v, size_t n, char ***ret) {
        int r = 0;

        for (size_t i = 0; i < n; i++)
                for (char **u = v[i]->peer_urls;
                                r >= 0 && u && *u && !streq(v[i]->name, s->options->name); u++)
                        r = strv_extend(ret, *u);
        return r;
}

static bool same_set(char **a, char **b) {
        if (strv_length(a) != strv_length(b))
                return false;
        for (; a && *a; a++)
                if (!strv_contains(b, *a))
                        return false;
        return true;
}

/* A member with this id that has lost its disk may have voted and promised what it no longer knows:
 * it must not come back under its old id. */
static int refuse_second_life(const struct member *m, const char *name, struct problem *p) {
        _cleanup_free_ char *why = first_life_refusal(m->id, name);

        return problem_set(p, EEXIST, 0, NULL, "%s", strempty(why));
}

/* Whether one of the others, if any runs already, knows this member from an earlier life. */
static int check_first_life(
                struct server *s, const struct member *self, char **others, struct problem *p) {
        _cleanup_(join_answer_done) struct join_answer a = {0};
        int r = join_ask(&a, others, server_peer_tls(s), 700, false, p);

        if (r == -ENOTCONN)
                return 0;
        for (size_t i = 0; r >= 0 && i < a.count; i++)
                if (a.members[i]->id == self->id && join_knows(&a, a.members[i]))
                        return refuse_second_life(a.members[i], self->name, p);
        return r;
}

/* The members of a new cluster from the flags. Takes nothing; v becomes the members. */
static int found_cluster(struct server *s, struct replica_options *ro, struct member **v,
                const struct member *self, char **others, struct problem *p) {
        const char *token = strempty(s->options->initial_cluster_token);
        uint64_t cluster = 0xcbf29ce484222325ULL;

        for (size_t i = 0; i < ro->member_count; i++) {
                v[i]->id = member_id_of(v[i]->peer_urls, token);
                cluster ^= v[i]->id;
        }
        ro->member_id = self->id;
        ro->cluster_id = id_hash(cluster, token);
        return others ? check_first_life(s, self, others, p) : 0;
}

/* Asks a running cluster; v becomes its members. */
static int join_cluster(struct server *s, struct replica_options *ro, struct member **v,
                const struct member *self, char **others, struct problem *p) {
        _cleanup_(join_answer_done) struct join_answer a = {0};
        const struct member *me = NULL;
        int r = join_ask(&a, others, server_peer_tls(s), 5000, true, p);

        for (size_t i = 0; r >= 0 && i < a.count; i++)
                if (same_set(a.members[i]->peer_urls, self->peer_urls))
                        me = a.members[i];
        if (r < 0)
                return r;
        if (!me)
                r = problem_set(p, ENOENT, 0, NULL,
                                "cluster %llx has no member with the peer URL %s: add it first "
                                "(etcdctl member add %s --peer-urls=%s)",
                                (unsigned long long)a.cluster_id, self->peer_urls[0], self->name,
                                self->peer_urls[0]);
        if (r < 0)
                return r;
        if (join_knows(&a, me))
                r = refuse_second_life(me, self->name, p);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ro->member_count; i++)
                v[i] = member_free(v[i]);
        ro->joining = true;
        ro->cluster_id = a.cluster_id;
        ro->config_index = a.config_index;
        ro->member_id = me->id;
        ro->member_count = a.count;
        memcpy(v, a.members, a.count * sizeof(v[0]));
        a.count = 0;
        return 0;
}

int identity_first_members(struct server *s, struct replica_options *ro, struct member **v,
                struct problem *p) {
        _cleanup_(replace_ticket_done) struct replace_ticket ticket = {0};
        _cleanup_strv_free_ char **others = NULL;
        struct server_options *o = s->options;
        struct member *self;
        int r = parse_cluster(o, v, &ro->member_count, p);

        if (r < 0)
                return r;
        self = find_name(v, ro->member_count, o->name);
        if (!self)
                return problem_set(p, EINVAL, 0, NULL,
                                "--initial-cluster does not name this member, \"%s\" (--name)",
                                o->name);
        r = urls_of_others(s, v, ro->member_count, &others);
        if (r < 0)
                return r;
        r = replace_ticket_read(o->data_dir, &ticket, p);
        if (r > 0) { /* kstored --replace was here */
                for (char **u = ticket.peer_urls; r >= 0 && u && *u; u++)
                        r = strv_extend(&others, *u);
                return r < 0 ? r : join_cluster(s, ro, v, self, others, p);
        }
        if (r < 0)
                return r;
        if (streq(o->initial_cluster_state, "existing"))
                return join_cluster(s, ro, v, self, others, p);
        if (!streq(o->initial_cluster_state, "new"))
                return problem_set(p, EINVAL, 0, NULL,
                                "--initial-cluster-state=%s is neither new nor existing",
                                o->initial_cluster_state);
        return found_cluster(s, ro, v, self, others, p);
}

/* A member may get another name, or another address with etcdctl member update; not both at once.
 * Where neither is its own, this is the wrong directory: it would speak for the other member,
 * which may be running. */
int identity_check(const struct server *s, struct problem *p) {
        const struct server_options *o = s->options;
        const struct member *me = state_member(s->state, s->member_id);

        if (s->state->member_count < 2 || !me || isempty(me->name) || streq(me->name, o->name) ||
                        !me->peer_urls || !o->initial_advertise_peer_urls)
                return 0;
        for (char **u = o->initial_advertise_peer_urls; *u; u++)
                if (strv_contains(me->peer_urls, *u))
                        return 0;
        return problem_set(p, EEXIST, 0, NULL,
                        "%s holds the data of another member: %llx, \"%s\" at %s, and this is "
                        "\"%s\" at %s; give the right --data-dir or --name, or start with an empty "
                        "directory",
                        o->data_dir, (unsigned long long)me->id, me->name, me->peer_urls[0],
                        o->name, o->initial_advertise_peer_urls[0]);
}
