/* The refusals of the store, with etcd's codes and words: clients match on the text. */
#pragma once

#include "lib/grpc.h"

#define STORE_ERRORS(X) \
        X(STORE_OK, GRPC_OK, "") \
        X(STORE_KEY_MISSING, GRPC_INVALID_ARGUMENT, "etcdserver: key is not provided") \
        X(STORE_KEY_NOT_FOUND, GRPC_INVALID_ARGUMENT, "etcdserver: key not found") \
        X(STORE_VALUE_PROVIDED, GRPC_INVALID_ARGUMENT, "etcdserver: value is provided") \
        X(STORE_LEASE_PROVIDED, GRPC_INVALID_ARGUMENT, "etcdserver: lease is provided") \
        X(STORE_TOO_MANY_OPS, GRPC_INVALID_ARGUMENT, \
                        "etcdserver: too many operations in txn request") \
        X(STORE_DUPLICATE_KEY, GRPC_INVALID_ARGUMENT, \
                        "etcdserver: duplicate key given in txn request") \
        X(STORE_BAD_SORT, GRPC_INVALID_ARGUMENT, "etcdserver: invalid sort option") \
        X(STORE_COMPACTED, GRPC_OUT_OF_RANGE, \
                        "etcdserver: mvcc: required revision has been compacted") \
        X(STORE_FUTURE_REV, GRPC_OUT_OF_RANGE, \
                        "etcdserver: mvcc: required revision is a future revision") \
        X(STORE_NO_SPACE, GRPC_RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded") \
        X(STORE_LEASE_NOT_FOUND, GRPC_NOT_FOUND, "etcdserver: requested lease not found") \
        X(STORE_LEASE_EXISTS, GRPC_FAILED_PRECONDITION, "etcdserver: lease already exists") \
        X(STORE_LEASE_TTL_TOO_LARGE, GRPC_OUT_OF_RANGE, "etcdserver: too large lease TTL") \
        X(STORE_MEMBER_EXISTS, GRPC_FAILED_PRECONDITION, "etcdserver: member ID already exist") \
        X(STORE_PEER_URL_EXISTS, GRPC_FAILED_PRECONDITION, "etcdserver: Peer URLs already exists") \
        /* etcd means FAILED_PRECONDITION, but sends UNKNOWN (3.4 and 3.5) */ \
        X(STORE_MEMBERS_NOT_STARTED, GRPC_UNKNOWN, \
                        "etcdserver: re-configuration failed due to not enough started members") \
        X(STORE_MEMBER_BAD_URLS, GRPC_INVALID_ARGUMENT, \
                        "etcdserver: given member URLs are invalid") \
        X(STORE_MEMBER_NOT_FOUND, GRPC_NOT_FOUND, "etcdserver: member not found") \
        X(STORE_MEMBER_NOT_LEARNER, GRPC_FAILED_PRECONDITION, \
                        "etcdserver: can only promote a learner member") \
        X(STORE_LEARNER_NOT_READY, GRPC_FAILED_PRECONDITION, \
                        "etcdserver: can only promote a learner member which is in sync with " \
                        "leader") \
        X(STORE_TOO_MANY_LEARNERS, GRPC_FAILED_PRECONDITION, \
                        "etcdserver: too many learner members in cluster") \
        X(STORE_NOT_FOR_LEARNER, GRPC_UNAVAILABLE, "etcdserver: rpc not supported for learner") \
        X(STORE_TOO_LARGE, GRPC_INVALID_ARGUMENT, "etcdserver: request is too large") \
        X(STORE_TOO_MANY_REQUESTS, GRPC_RESOURCE_EXHAUSTED, "etcdserver: too many requests") \
        X(STORE_NO_LEADER, GRPC_UNAVAILABLE, "etcdserver: no leader") \
        X(STORE_NOT_LEADER, GRPC_FAILED_PRECONDITION, "etcdserver: not leader") \
        X(STORE_LEADER_CHANGED, GRPC_UNAVAILABLE, "etcdserver: leader changed") \
        X(STORE_STOPPED, GRPC_UNAVAILABLE, "etcdserver: server stopped") \
        X(STORE_TIMEOUT, GRPC_UNAVAILABLE, "etcdserver: request timed out") \
        X(STORE_UNHEALTHY, GRPC_UNAVAILABLE, "etcdserver: unhealthy cluster") \
        X(STORE_CORRUPT, GRPC_DATA_LOSS, "etcdserver: corrupt cluster") \
        X(STORE_TRANSFER_TIMEOUT, GRPC_UNAVAILABLE, \
                        "etcdserver: request timed out, leader transfer took too long") \
        X(STORE_BAD_TRANSFEREE, GRPC_FAILED_PRECONDITION, "etcdserver: bad leader transferee") \
        X(STORE_BAD_MESSAGE, GRPC_INTERNAL, "etcdserver: cannot read the request message") \
        X(STORE_NO_MEMORY, GRPC_RESOURCE_EXHAUSTED, "etcdserver: out of memory") \
        X(STORE_DISK, GRPC_INTERNAL, "etcdserver: cannot read the database")

enum store_error {
#define STORE_ENUM(name, code, text) name,
        STORE_ERRORS(STORE_ENUM)
#undef STORE_ENUM
};

enum grpc_code store_error_code(enum store_error e);
const char *store_error_text(enum store_error e);
/* -ENOMEM and read errors of mvcc. */
enum store_error store_error_from_errno(int r);
