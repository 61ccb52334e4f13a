/* A member has its name and client URLs put into the replicated list of members, as etcd does. */
#include "kstored/server/publish.h"

#include "kstored/server/server.h"
#include "kstored/service/requests.h"

enum { AGAIN_MS = 1000 };

struct publish {
        bool done;
        uint64_t again_ms;
};

static bool strv_equal(char **a, char **b) {
        size_t n = strv_length(a);

        if (n != strv_length(b))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!streq(a[i], b[i]))
                        return false;
        return true;
}

/* Proposes name and addresses until the state has them. */
static void tick(struct server *s, void *state, uint64_t now_ms) {
        struct publish *x = state;
        struct member *m = state_member(s->state, s->member_id), wanted = {0};
        struct raft_status status;
        _cleanup_buf_ struct buf b = {0};

        raft_get_status(s->raft, &status);
        if (x->done || s->stopping || !m || status.leader == 0 || now_ms < x->again_ms)
                return;
        wanted = (struct member){.id = s->member_id,
                        .name = s->options->name,
                        .client_urls = s->options->advertise_client_urls};
        if (streq(m->name, wanted.name) && strv_equal(m->client_urls, wanted.client_urls)) {
                x->done = true;
                return;
        }
        x->again_ms = now_ms + AGAIN_MS;
        if (member_encode(&wanted, &b) >= 0)
                server_propose(s, NULL, COMMAND_MEMBER, b.data, b.size, NULL);
}

const struct server_part publish_part = {
                .name = "publish", .size = sizeof(struct publish), .tick = tick};
