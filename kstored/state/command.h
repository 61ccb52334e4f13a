/* Format of our log entries: one byte for the type, eight for the proposer, then the request's own
 * protobuf bytes as the client sent them. */
#pragma once

#include "kstored/errors.h"

enum command_kind {
        COMMAND_PUT = 1,
        COMMAND_DELETE_RANGE = 2,
        COMMAND_TXN = 3,
        COMMAND_COMPACT = 4,
        COMMAND_LEASE_GRANT = 5,
        COMMAND_LEASE_REVOKE = 6,
        COMMAND_ALARM = 7,
        COMMAND_MEMBER = 8, /* keelsonpeer.MemberRecord: a member says its name and addresses */
        COMMAND_LEASE_RENEW = 9, /* a keepalive: the leader renews on its clock */
};

enum { COMMAND_HEADER_SIZE = 9 };

static inline void command_encode(uint8_t *out, enum command_kind kind, uint64_t id) {
        out[0] = (uint8_t)kind;
        for (unsigned i = 0; i < 8; i++)
                out[1 + i] = (uint8_t)(id >> (8 * i));
}

/* The id, 0 when there is none. */
static inline uint64_t command_id(const uint8_t *data, size_t n) {
        uint64_t id = 0;

        for (unsigned i = 0; n >= COMMAND_HEADER_SIZE && i < 8; i++)
                id |= (uint64_t)data[1 + i] << (8 * i);
        return id;
}
