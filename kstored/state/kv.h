/* The KV requests of the etcd v3 API on mvcc and leases: checks when they arrive, execution when
 * they are applied. Answers are written as protobuf straight into a buffer, without the outer
 * header; large parts of them are read later, as they are sent (kstored/state/answer.h). */
#pragma once

#include "kstored/state/answer.h"
#include "kstored/errors.h"
#include "kstored/mvcc/lease.h"
#include "kstored/mvcc/mvcc.h"
#include "kstored/state/wire.h"
#include "proto/rpc.pb-c.h"

struct kv {
        struct mvcc *mvcc;
        struct lessor *lessor;
};

enum { KV_TXN_DEPTH_MAX = 128 };

/* Whether a TxnRequest nests deeper than a parser may recurse; asked before unpacking. */
bool kv_txn_too_deep(const void *data, size_t n);

enum store_error kv_check_range(const Etcdserverpb__RangeRequest *r);
enum store_error kv_check_put(const Etcdserverpb__PutRequest *r);
enum store_error kv_check_delete(const Etcdserverpb__DeleteRangeRequest *r);
enum store_error kv_check_txn(const Etcdserverpb__TxnRequest *r, uint32_t max_ops);
bool kv_txn_is_read_only(const Etcdserverpb__TxnRequest *r);
bool kv_txn_is_serializable(const Etcdserverpb__TxnRequest *r);
bool kv_txn_has_put(const Etcdserverpb__TxnRequest *r);

/* Each writes its answer's fields from 2 on to out (NULL: it is not wanted). Writing ones are
 * called inside mvcc_begin/mvcc_end. Whether they refuse depends only on the replicated state. */
enum store_error kv_range(
                struct kv *kv, const Etcdserverpb__RangeRequest *r, struct kv_answer *out);
enum store_error kv_put(struct kv *kv, const Etcdserverpb__PutRequest *r, struct kv_answer *out);
enum store_error kv_delete(
                struct kv *kv, const Etcdserverpb__DeleteRangeRequest *r, struct kv_answer *out);
enum store_error kv_txn(struct kv *kv, const Etcdserverpb__TxnRequest *r, struct kv_answer *out);
/* Deletes every key of a lease and the lease. */
enum store_error kv_revoke(struct kv *kv, int64_t lease);
