/* The links to the other members. */
#include "kstored/server/peers.h"

#include "lib/log.h"

enum {
        RETRY_MS = 300,          /* a stream that was refused */
        PING_US = 1000000,       /* a member that hangs is found in two or three of these */
        BACKOFF_MAX_US = 300000, /* a member that comes back is connected soon */
        COMPLAIN_MS = 30000,     /* the same complaint again */
        COMPLAIN_OTHER_MS = 1000 /* another one */
};

struct link {
        struct peers *peers;
        uint64_t id;
        char **urls;
        struct grpc_channel *channel;
        struct grpc_client_call *call;
        struct buf out; /* an Envelope being gathered */
        uint64_t retry_ms, since_ms;
        uint64_t known[HEARD_MAX]; /* the members heard, as it was sent last */
        size_t known_count;
        char *complaint;
        uint64_t complained_ms;
        uint64_t sent_bytes, sent_failures, round_trips;
        uint64_t leave_ms; /* of one that is no longer needed */
};

struct peers {
        struct peers_options options;
        sd_event *event;
        struct tls_files tls;
        bool have_tls;
        struct link *links[RAFT_MEMBERS_MAX];
        size_t count;
        struct link *leaving[RAFT_MEMBERS_MAX]; /* the oldest first */
        size_t leaving_count;
        uint64_t now_ms;
        uint64_t disconnects;
};

static struct link *link_free(struct link *l) {
        if (!l)
                return NULL;
        grpc_client_call_cancel(l->call);
        grpc_channel_free(l->channel);
        strv_free(l->urls);
        buf_done(&l->out);
        free(l->complaint);
        free(l);
        return NULL;
}

int peers_new(struct peers **ret, sd_event *event, const struct peers_options *options) {
        struct peers *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        p->options = *options;
        p->event = event;
        if (options->tls) {
                p->tls = *options->tls;
                p->have_tls = true;
        }
        *ret = p;
        return 0;
}

struct peers *peers_free(struct peers *p) {
        if (!p)
                return NULL;
        for (size_t i = 0; i < p->count; i++)
                link_free(p->links[i]);
        for (size_t i = 0; i < p->leaving_count; i++)
                link_free(p->leaving[i]);
        free(p);
        return NULL;
}

static struct link *find(const struct peers *p, uint64_t id) {
        for (size_t i = 0; i < p->count; i++)
                if (p->links[i]->id == id)
                        return p->links[i];
        return NULL;
}

static int dial(struct peers *p, char **urls, struct grpc_channel **ret) {
        struct grpc_channel_options o = {.endpoints = urls,
                        .tls = p->have_tls ? &p->tls : NULL,
                        .ping_us = PING_US,
                        .backoff_max_us = BACKOFF_MAX_US,
                        .priority = PEERS_PRIORITY};
        _cleanup_problem_ struct problem problem = {0};
        int r = grpc_channel_new(ret, p->event, &o, &problem);

        if (r < 0)
                log_error("Cannot reach the member at %s: %s", urls && urls[0] ? urls[0] : "(none)",
                                problem.message ? problem.message : strerror(-r));
        return r;
}

static int add_link(struct peers *p, const struct member *m) {
        struct link *l = calloc(1, sizeof(*l));
        int r = 0;

        if (!l)
                return -ENOMEM;
        l->peers = p;
        l->id = m->id;
        for (char **u = m->peer_urls; u && *u && r >= 0; u++)
                r = strv_extend(&l->urls, *u);
        if (r < 0) {
                link_free(l);
                return r;
        }
        /* An address that cannot be used is complained about; the others matter more. */
        if (l->urls)
                (void)dial(p, l->urls, &l->channel);
        p->links[p->count++] = l;
        return 0;
}

static bool same_urls(char **a, char **b) {
        if (strv_length(a) != strv_length(b))
                return false;
        for (; a && *a; a++, b++)
                if (!streq(*a, *b))
                        return false;
        return true;
}

static void free_oldest_leaving(struct peers *p) {
        link_free(p->leaving[0]);
        p->leaving_count--;
        memmove(p->leaving, p->leaving + 1, p->leaving_count * sizeof(p->leaving[0]));
}

/* Calls that were passed on to it may still be answered: the removal of the leader, for one. */
static void leave(struct peers *p, struct link *l) {
        l->call = grpc_client_call_cancel(l->call);
        l->since_ms = 0;
        l->leave_ms = p->now_ms + p->options.linger_ms;
        if (p->leaving_count == RAFT_MEMBERS_MAX)
                free_oldest_leaving(p);
        p->leaving[p->leaving_count++] = l;
}

int peers_update(struct peers *p, struct member *const *members, size_t n) {
        for (size_t i = p->count; i-- > 0;) {
                const struct member *m = NULL;

                for (size_t k = 0; k < n && !m; k++)
                        if (members[k]->id == p->links[i]->id)
                                m = members[k];
                if (m && same_urls(m->peer_urls, p->links[i]->urls))
                        continue;
                leave(p, p->links[i]);
                p->links[i] = p->links[--p->count];
        }
        for (size_t k = 0; k < n; k++) {
                int r;

                if (members[k]->id == p->options.member_id || find(p, members[k]->id))
                        continue;
                r = p->count < RAFT_MEMBERS_MAX ? add_link(p, members[k]) : -E2BIG;
                if (r < 0)
                        return r;
        }
        return 0;
}

void peers_send(struct peers *p, const struct raft_message *m) {
        struct link *l = find(p, m->to);

        if (!l)
                return;
        if (!l->call || l->out.size > PEER_MESSAGE_SIZE_MAX / 2) {
                l->sent_failures++;
                return;
        }
        peer_wire_message(&l->out, 2, m);
}

/* Said when it begins and now and then. */
static void complain(struct link *l, const char *why) {
        bool same = l->complaint && streq(l->complaint, why);

        if (l->complaint && l->peers->now_ms < l->complained_ms + (same ? COMPLAIN_MS
                                                                        : COMPLAIN_OTHER_MS))
                return;
        free(l->complaint);
        l->complaint = strdup(why);
        l->complained_ms = l->peers->now_ms;
        log_warning("Member %llx (%s): %s", (unsigned long long)l->id,
                        l->urls ? l->urls[0] : "no address", why);
}

static void on_done(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct link *l = userdata;
        struct peers *p = l->peers;

        l->call = NULL;
        p->disconnects += l->since_ms > 0;
        l->since_ms = 0;
        buf_reset(&l->out);
        l->retry_ms = p->now_ms + RETRY_MS;
        complain(l, message);
        if (code == GRPC_PERMISSION_DENIED)
                p->options.on_removed(p->options.userdata); /* p and l may be gone */
}

static void open_stream(struct link *l) {
        struct peers *p = l->peers;
        struct grpc_client_call_options o = {.path = "/keelsonpeer.Peer/Messages",
                        .timeout_us = UINT64_MAX,
                        .on_done = on_done,
                        .userdata = l};
        struct peer_hello hello = {.cluster_id = p->options.cluster_id,
                        .from = p->options.member_id,
                        .to = l->id,
                        .config_index = p->options.config_index(p->options.userdata),
                        .fresh = p->options.fresh(p->options.userdata)};
        _cleanup_buf_ struct buf b = {0};

        l->retry_ms = p->now_ms + RETRY_MS;
        if (grpc_client_call_start(l->channel, &o, &l->call) < 0)
                return;
        peer_wire_hello(&b, 1, &hello);
        if (b.failed || grpc_client_call_send(l->call, b.data, b.size) < 0) {
                l->call = grpc_client_call_cancel(l->call);
                return;
        }
        l->since_ms = p->now_ms;
        l->known_count = 0;
        buf_reset(&l->out);
        p->options.on_connected(p->options.userdata, l->id);
}

/* The list of members heard goes to all at once, before messages that follow from it. */
static void send_heard(struct link *l) {
        struct peers *p = l->peers;
        const uint64_t *ids;
        size_t n = p->options.heard(p->options.userdata, &ids);

        if (n == l->known_count && memcmp(ids, l->known, n * sizeof(ids[0])) == 0)
                return;
        peer_wire_heard(&l->out, 3, ids, n);
        memcpy(l->known, ids, n * sizeof(ids[0]));
        l->known_count = n;
}

static void flush_link(struct link *l) {
        if (l->call)
                send_heard(l);
        if (l->call && l->out.size > 0 && !l->out.failed) {
                /* A full queue: the member does not read; Raft repeats what it needs. */
                if (grpc_client_call_send(l->call, l->out.data, l->out.size) >= 0)
                        l->sent_bytes += l->out.size;
                else {
                        l->sent_failures++;
                        log_debug("Messages to member %llx dropped: it does not read",
                                        (unsigned long long)l->id);
                }
        }
        if (l->out.failed || l->out.allocated > 4 * 1024 * 1024)
                buf_done(&l->out);
        buf_reset(&l->out);
}

static void note_round_trip(struct link *l) {
        const struct peers_options *o = &l->peers->options;
        uint64_t number, us;

        if (!l->channel || !o->on_round_trip)
                return;
        us = grpc_channel_round_trip_us(l->channel, &number);
        if (number > l->round_trips)
                o->on_round_trip(o->userdata, l->id, us);
        l->round_trips = number; /* begins again with each connection */
}

void peers_flush(struct peers *p, uint64_t now_ms) {
        p->now_ms = now_ms;
        while (p->leaving_count > 0 && p->leaving[0]->leave_ms <= now_ms)
                free_oldest_leaving(p);
        for (size_t i = 0; i < p->count; i++) {
                struct link *l = p->links[i];

                if (!l->call && l->channel && now_ms >= l->retry_ms &&
                                grpc_channel_is_connected(l->channel))
                        open_stream(l);
                else if (!l->call && l->channel && now_ms >= l->retry_ms &&
                                grpc_channel_why(l->channel))
                        complain(l, grpc_channel_why(l->channel));
                flush_link(l);
                note_round_trip(l);
        }
}

void peers_greet(struct peers *p) {
        for (size_t i = 0; i < p->count; i++) {
                struct link *l = p->links[i];

                l->call = grpc_client_call_cancel(l->call);
                l->since_ms = l->retry_ms = 0;
                buf_reset(&l->out);
        }
}

uint64_t peers_disconnects(const struct peers *p) {
        return p->disconnects;
}

size_t peers_sent(const struct peers *p, struct peer_sent ret[static RAFT_MEMBERS_MAX]) {
        for (size_t i = 0; i < p->count; i++) {
                const struct link *l = p->links[i];

                ret[i] = (struct peer_sent){.id = l->id,
                                .bytes = l->sent_bytes,
                                .failures = l->sent_failures,
                                .connected = l->call && grpc_channel_is_connected(l->channel)};
        }
        return p->count;
}

struct grpc_channel *peers_channel(struct peers *p, uint64_t id) {
        struct link *l = find(p, id);

        return l ? l->channel : NULL;
}

int peers_dial(struct peers *p, uint64_t id, struct grpc_channel **ret) {
        struct link *l = find(p, id);

        return l && l->urls ? dial(p, l->urls, ret) : -ENOENT;
}

uint64_t peers_connected_since(const struct peers *p, uint64_t id) {
        struct link *l = find(p, id);

        return l && l->call && grpc_channel_is_connected(l->channel) ? l->since_ms : 0;
}
