/* The links to the other members: for each a connection and on it one stream of Raft messages. A
 * message that cannot be sent is dropped: Raft repeats those that matter. */
#pragma once

#include <systemd/sd-event.h>

#include "kstored/replica/peer-wire.h"
#include "kstored/state/state.h"
#include "lib/grpc-client.h"

struct peers;

enum { PEERS_PRIORITY = -10 }; /* members' messages come before clients' requests */

struct peers_options {
        uint64_t cluster_id;
        uint64_t member_id;
        const struct tls_files *tls; /* NULL: none; copied as it is, the strings are the caller's */
        /* How long the connection to a member that is no longer needed stays: longer than any call
         * on it, because freeing a channel ends calls without calling back. */
        uint64_t linger_ms;
        /* A member reports that this one was removed from the cluster. */
        void (*on_removed)(void *userdata);
        /* A member became reachable. */
        void (*on_connected)(void *userdata, uint64_t id);
        /* A member answered a ping. May be NULL. */
        void (*on_round_trip)(void *userdata, uint64_t id, uint64_t us);
        /* The index of this member's newest configuration. */
        uint64_t (*config_index)(void *userdata);
        /* Whether this member does not take part yet, and the members that it has heard take part:
         * a list that only grows, or is replaced. */
        bool (*fresh)(void *userdata);
        size_t (*heard)(void *userdata, const uint64_t **ret);
        void *userdata;
};

int peers_new(struct peers **ret, sd_event *event, const struct peers_options *options);
struct peers *peers_free(struct peers *p);
DEFINE_CLEANUP(struct peers *, peers_free);
/* Makes the links those of these members; known ones with the same addresses stay. */
int peers_update(struct peers *p, struct member *const *members, size_t n);
/* Gathers a message; peers_flush() sends what was gathered and opens broken streams again. */
void peers_send(struct peers *p, const struct raft_message *m);
void peers_flush(struct peers *p, uint64_t now_ms);
/* Opens all streams again, so that the others learn that this member takes part now. */
void peers_greet(struct peers *p);
/* For calls to a member: NULL when it is not known. */
struct grpc_channel *peers_channel(struct peers *p, uint64_t id);
/* A new channel to it, the caller's, for transfers that would delay the messages. */
int peers_dial(struct peers *p, uint64_t id, struct grpc_channel **ret);
/* Traffic to a member since it is known; for metrics. */
struct peer_sent {
        uint64_t id, bytes, failures;
        bool connected;
};
size_t peers_sent(const struct peers *p, struct peer_sent ret[static RAFT_MEMBERS_MAX]);
/* How often a stream to a member ended. */
uint64_t peers_disconnects(const struct peers *p);
/* Since when the stream to it stands, as of now_ms of the last flush; 0: it does not. */
uint64_t peers_connected_since(const struct peers *p, uint64_t id);
