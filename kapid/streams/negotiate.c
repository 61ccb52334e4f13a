/* The client's order decides, as in Kubernetes. */
#include "kapid/streams/negotiate.h"

#include <strings.h>

static const struct row {
        bool port_forward, websocket;
        const char *name;
        enum stream_protocol protocol;
} rows[] = {
                {false, true, "v5.channel.k8s.io", PROTOCOL_CHANNELS_V5},
                {false, true, "v4.channel.k8s.io", PROTOCOL_CHANNELS},
                {false, false, "v4.channel.k8s.io", PROTOCOL_SPDY},
                {true, true, "SPDY/3.1+portforward.k8s.io", PROTOCOL_FORWARD_TUNNEL},
                {true, true, "v5.channel.k8s.io", PROTOCOL_FORWARD_V5},
                {true, true, "v4.channel.k8s.io", PROTOCOL_FORWARD},
                {true, false, "portforward.k8s.io", PROTOCOL_FORWARD_SPDY},
};

bool stream_protocol_is_websocket(enum stream_protocol p) {
        return p != PROTOCOL_SPDY && p != PROTOCOL_FORWARD_SPDY;
}

bool stream_protocol_is_spdy(enum stream_protocol p) {
        return p == PROTOCOL_SPDY || p == PROTOCOL_FORWARD_SPDY || p == PROTOCOL_FORWARD_TUNNEL;
}

/* The next word of a list that commas separate; its length in *ret_size. NULL at the end. */
static const char *next_word(const char *s, size_t *ret_size) {
        s += strspn(s, ", \t");
        *ret_size = strcspn(s, ", \t");
        return *ret_size > 0 ? s : NULL;
}

static bool has_word(const char *list, const char *word) {
        size_t n;

        for (const char *s = strempty(list); (s = next_word(s, &n)); s += n)
                if (n == strlen(word) && strncasecmp(s, word, n) == 0)
                        return true;
        return false;
}

static const struct row *row_find(const char *name, size_t n, bool port_forward, bool websocket) {
        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (rows[i].port_forward == port_forward && rows[i].websocket == websocket &&
                                strlen(rows[i].name) == n && strncmp(rows[i].name, name, n) == 0)
                        return &rows[i];
        return NULL;
}

static int no_common(const char *offered, bool port_forward, bool websocket, struct problem *p) {
        _cleanup_free_ char *served = strdup("");

        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (rows[i].port_forward == port_forward && rows[i].websocket == websocket) {
                        char *more = strformat("%s%s%s", strempty(served),
                                        isempty(served) ? "" : " ", rows[i].name);

                        free(served);
                        served = more;
                }
        return problem_set(p, EINVAL, 403, "Forbidden",
                        "unable to upgrade: unable to negotiate protocol: client supports [%.256s], "
                        "server accepts [%s]",
                        strempty(offered), strempty(served));
}

static int choose(const char *offered, bool port_forward, bool websocket, struct stream_choice *ret,
                struct problem *p) {
        size_t n;

        for (const char *s = strempty(offered); (s = next_word(s, &n)); s += n) {
                const struct row *row = row_find(s, n, port_forward, websocket);

                if (!row)
                        continue;
                *ret = (struct stream_choice){.protocol = row->protocol,
                                .upgrade = websocket ? "websocket" : "SPDY/3.1",
                                .name = row->name};
                return 0;
        }
        return no_common(offered, port_forward, websocket, p);
}

static int choose_websocket(const struct stream_offer *offer, bool port_forward,
                struct stream_choice *ret, struct problem *p) {
        struct stream_choice chosen;
        int r;

        if (!has_word(offer->websocket_version, "13"))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "unable to upgrade: Sec-WebSocket-Version must be 13");
        r = choose(offer->websocket_protocols, port_forward, /* websocket= */ true, &chosen, p);
        if (r < 0)
                return r;
        r = websocket_accept(strempty(offer->websocket_key), chosen.accept);
        if (r == -EINVAL)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "unable to upgrade: Sec-WebSocket-Key must be 16 bytes in Base64");
        if (r < 0)
                return r;
        *ret = chosen;
        return 0;
}

int stream_negotiate(const struct stream_offer *offer, bool port_forward, struct stream_choice *ret,
                struct problem *p) {
        if (has_word(offer->connection, "upgrade")) {
                if (has_word(offer->upgrade, "websocket"))
                        return choose_websocket(offer, port_forward, ret, p);
                if (has_word(offer->upgrade, "SPDY/3.1"))
                        return choose(offer->spdy_protocols, port_forward, /* websocket= */ false,
                                        ret, p);
        }
        return problem_set(p, EINVAL, 400, "BadRequest",
                        "Upgrade request required: WebSocket or SPDY/3.1");
}
