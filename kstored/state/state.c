/* Applying entries. A table says how each kind of command is read and done. */
#include "kstored/state/state.h"

#include "kstored/disk/damage.h"
#include "kstored/raft/bugs.h"

#include "kstored/state/internal.h"
#include "proto/peer.pb-c.h"

int state_new(struct state **ret, const struct row_source *source, int64_t lease_ttl_min_s) {
        _cleanup_(state_freep) struct state *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        arena_init(&s->arena);
        s->source = *source;
        s->lease_ttl_min_s = lease_ttl_min_s;
        r = mvcc_new(&s->kv.mvcc, source);
        if (r < 0)
                return r;
        r = lessor_new(&s->kv.lessor);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

struct state *state_free(struct state *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->member_count; i++)
                member_free(s->members[i]);
        mvcc_free(s->kv.mvcc);
        lessor_free(s->kv.lessor);
        disk_batch_clear(&s->batch);
        arena_done(&s->arena);
        free(s);
        return NULL;
}

/* They may come in any order. */
static void load_term(struct state *s, uint64_t term, uint64_t index) {
        size_t i = s->term_start_count;

        if (i == TERM_STARTS_MAX)
                return;
        for (; i > 0 && s->term_starts[i - 1].term > term; i--)
                s->term_starts[i] = s->term_starts[i - 1];
        s->term_starts[i] = (struct raft_term_start){.term = term, .index = index};
        s->term_start_count++;
}

static int load_op(const struct disk_op *op, void *userdata) {
        struct state *s = userdata;
        struct member *m;
        int r;

        switch (op->table) {
        case DISK_LEASE:
                return lessor_grant(s->kv.lessor, (int64_t)op->id, op->value) == STORE_OK
                                       ? 0
                                       : -EUCLEAN;
        case DISK_MEMBER:
                r = member_decode(op->blob->data, op->blob->size, &m);
                if (r < 0)
                        return r;
                return state_set_member(s, m);
        case DISK_ALARM:
                if (s->alarm_count == ALARMS_MAX)
                        return -EUCLEAN;
                s->alarms[s->alarm_count++] =
                                (struct alarm){.member = op->id, .types = (uint32_t)op->value};
                return 0;
        case DISK_HEARD:
                if (op->value == 0)
                        s->unconfirmed = op->id;
                else if (s->heard_count < HEARD_MAX)
                        s->heard[s->heard_count++] = op->id;
                return 0;
        case DISK_TERM_START:
                load_term(s, op->id, (uint64_t)op->value);
                return 0;
        case DISK_TABLES:
                break;
        }
        return -EUCLEAN;
}

static int load_row(const struct row *row, void *userdata) {
        struct state *s = userdata;
        const struct index_item *it = mvcc_get(s->kv.mvcc, row->data, row->key_size);
        int64_t old_lease = it ? index_item_lease(it) : 0;
        int r = bug(BUG_SNAPSHOT_LOSES) && row->seq % 16 == 5 ? 0
                                                              : mvcc_restore_row(s->kv.mvcc, row);

        return r < 0 ? r
                     : lessor_move_key(s->kv.lessor, old_lease, row->lease, row->data,
                                       row->key_size);
}

static int load_tables(struct state *s, struct disk *d) {
        int r;

        s->applied = disk_number(d, DISK_APPLIED);
        s->applied_term = disk_number(d, DISK_APPLIED_TERM);
        mvcc_restore(s->kv.mvcc, MAX((int64_t)disk_number(d, DISK_REVISION), (int64_t)1),
                        MAX((int64_t)disk_number(d, DISK_NEXT_SEQ), (int64_t)1),
                        (int64_t)disk_number(d, DISK_COMPACT_REV));
        r = disk_load_ops(d, load_op, s);
        disk_batch_clear(&s->batch); /* the disk has these already */
        if (r < 0)
                return r;
        r = disk_load_keys(d, load_row, s);
        if (r < 0)
                return r;
        return disk_check_loaded(d);
}

int state_load(struct state *s, struct disk *d, struct problem *p) {
        int r = load_tables(s, d);

        if (r == -EUCLEAN || r == -EBADMSG)
                return damage_problem(p, "%s is damaged: its rows are not those that were written",
                                disk_path(d));
        return r < 0 ? problem_set(p, -r, 0, NULL, "cannot read %s: %s", disk_path(d), strerror(-r))
                     : 0;
}

int state_reload(struct state *s, struct disk *d) {
        _cleanup_(state_freep) struct state *fresh = NULL;
        _cleanup_problem_ struct problem p = {0};
        struct state old;
        int r = state_new(&fresh, &s->source, s->lease_ttl_min_s);

        if (r < 0)
                return r;
        r = state_load(fresh, d, &p);
        if (r < 0)
                return r;
        fresh->member_changes += s->member_changes;
        arena_done(&s->arena);
        arena_done(&fresh->arena);
        old = *s;
        *s = *fresh;
        *fresh = old;
        /* An arena hands out its own address. */
        arena_init(&s->arena);
        arena_init(&fresh->arena);
        return 0;
}

static enum store_error apply_put(struct state *s, const ProtobufCMessage *m, struct outcome *o) {
        return kv_put(&s->kv, (const Etcdserverpb__PutRequest *)m, o->answer);
}

static enum store_error apply_delete(
                struct state *s, const ProtobufCMessage *m, struct outcome *o) {
        return kv_delete(&s->kv, (const Etcdserverpb__DeleteRangeRequest *)m, o->answer);
}

static enum store_error apply_txn(struct state *s, const ProtobufCMessage *m, struct outcome *o) {
        const Etcdserverpb__TxnRequest *r = (const Etcdserverpb__TxnRequest *)m;

        if (state_alarm(s, ALARM_NOSPACE) && kv_txn_has_put(r))
                return STORE_NO_SPACE;
        return kv_txn(&s->kv, r, o->answer);
}

static enum store_error apply_compact(
                struct state *s, const ProtobufCMessage *m, struct outcome *o) {
        const Etcdserverpb__CompactionRequest *request = (const Etcdserverpb__CompactionRequest *)m;
        int r = mvcc_compact(s->kv.mvcc, request->revision);

        if (r < 0)
                return store_error_from_errno(r);
        disk_batch_number(&s->batch, DISK_COMPACT_REV, (uint64_t)request->revision);
        return STORE_OK;
}

static enum store_error apply_grant(struct state *s, const ProtobufCMessage *m, struct outcome *o) {
        const Etcdserverpb__LeaseGrantRequest *r = (const Etcdserverpb__LeaseGrantRequest *)m;
        int64_t ttl = MAX(r->ttl, s->lease_ttl_min_s);
        enum store_error e;

        if (r->ttl > LEASE_TTL_MAX_S)
                return STORE_LEASE_TTL_TOO_LARGE;
        e = lessor_grant(s->kv.lessor, r->id, ttl);
        if (e)
                return e;
        if (disk_batch_op(&s->batch, &(struct disk_op){.table = DISK_LEASE,
                                                     .id = (uint64_t)r->id,
                                                     .value = ttl}) < 0)
                return STORE_NO_MEMORY;
        if (o->answer) {
                wire_uint(&o->answer->text, 2, (uint64_t)r->id);
                wire_uint(&o->answer->text, 3, (uint64_t)ttl);
        }
        return STORE_OK;
}

static enum store_error apply_revoke(
                struct state *s, const ProtobufCMessage *m, struct outcome *o) {
        const Etcdserverpb__LeaseRevokeRequest *r = (const Etcdserverpb__LeaseRevokeRequest *)m;
        enum store_error e = kv_revoke(&s->kv, r->id);

        if (!e && disk_batch_op(&s->batch, &(struct disk_op){.table = DISK_LEASE,
                                                           .remove = true,
                                                           .id = (uint64_t)r->id}) < 0)
                return STORE_NO_MEMORY;
        return e;
}

static enum store_error apply_alarm(struct state *s, const ProtobufCMessage *m, struct outcome *o) {
        return store_error_from_errno(
                        state_apply_alarm(s, (const Etcdserverpb__AlarmRequest *)m, o));
}

static enum store_error apply_member(
                struct state *s, const ProtobufCMessage *m, struct outcome *o) {
        const Keelsonpeer__MemberRecord *record = (const Keelsonpeer__MemberRecord *)m;
        _cleanup_(member_freep) struct member *fresh = NULL;
        struct member *known = state_member(s, record->id);
        _cleanup_buf_ struct buf b = {0};
        int r;

        if (!known)
                return STORE_MEMBER_NOT_FOUND;
        /* A member says its name and where clients find it; the rest belongs to the configuration.
         */
        (void)member_encode(known, &b);
        r = b.failed ? -ENOMEM : member_decode(b.data, b.size, &fresh);
        if (r < 0)
                return STORE_NO_MEMORY;
        free(fresh->name);
        fresh->name = strdup(record->name);
        fresh->client_urls = strv_free(fresh->client_urls);
        if (!fresh->name)
                return STORE_NO_MEMORY;
        for (size_t i = 0; i < record->n_client_urls; i++)
                if (strv_extend(&fresh->client_urls, record->client_urls[i]) < 0)
                        return STORE_NO_MEMORY;
        return store_error_from_errno(state_set_member(s, TAKE_PTR(fresh)));
}

static enum store_error apply_renew(struct state *s, const ProtobufCMessage *m, struct outcome *o) {
        const Etcdserverpb__LeaseKeepAliveRequest *r =
                        (const Etcdserverpb__LeaseKeepAliveRequest *)m;
        struct lease *x = lessor_find(s->kv.lessor, r->id);

        s->renewed_lease = x ? (uint64_t)r->id : 0;
        if (o->answer) {
                wire_uint(&o->answer->text, 2, (uint64_t)r->id);
                wire_uint(&o->answer->text, 3, x ? (uint64_t)lease_ttl_s(x) : 0);
        }
        return STORE_OK;
}

enum command_flags {
        COMMAND_WRITES = 1, /* runs inside an mvcc transaction */
        COMMAND_GROWS = 2,  /* refused while space is short */
        COMMAND_DATA = 4,   /* refused while the members' data may differ */
};

struct command_row {
        const ProtobufCMessageDescriptor *message;
        enum store_error (*apply)(struct state *s, const ProtobufCMessage *m, struct outcome *o);
        unsigned flags;
};

static const struct command_row commands[] = {
                [COMMAND_PUT] = {&etcdserverpb__put_request__descriptor, apply_put,
                                COMMAND_WRITES | COMMAND_GROWS | COMMAND_DATA},
                [COMMAND_DELETE_RANGE] = {&etcdserverpb__delete_range_request__descriptor,
                                apply_delete, COMMAND_WRITES | COMMAND_DATA},
                [COMMAND_TXN] = {&etcdserverpb__txn_request__descriptor, apply_txn,
                                COMMAND_WRITES | COMMAND_DATA},
                [COMMAND_COMPACT] = {&etcdserverpb__compaction_request__descriptor, apply_compact,
                                COMMAND_DATA},
                [COMMAND_LEASE_GRANT] = {&etcdserverpb__lease_grant_request__descriptor,
                                apply_grant, COMMAND_GROWS | COMMAND_DATA},
                [COMMAND_LEASE_REVOKE] = {&etcdserverpb__lease_revoke_request__descriptor,
                                apply_revoke, COMMAND_WRITES | COMMAND_DATA},
                [COMMAND_ALARM] = {&etcdserverpb__alarm_request__descriptor, apply_alarm, 0},
                [COMMAND_MEMBER] = {&keelsonpeer__member_record__descriptor, apply_member, 0},
                [COMMAND_LEASE_RENEW] = {&etcdserverpb__lease_keep_alive_request__descriptor,
                                apply_renew, 0},
};

/* New rows go to the disk with the applied index of the entry that made them. */
static int note_progress(struct state *s) {
        disk_batch_number(&s->batch, DISK_APPLIED, s->applied);
        disk_batch_number(&s->batch, DISK_APPLIED_TERM, s->applied_term);
        disk_batch_number(&s->batch, DISK_REVISION, (uint64_t)mvcc_rev(s->kv.mvcc));
        disk_batch_number(&s->batch, DISK_NEXT_SEQ, (uint64_t)mvcc_next_seq(s->kv.mvcc));
        return 0;
}

static int apply_change(struct state *s, const struct raft_entry *e) {
        struct raft_change change;
        struct member *m = NULL;
        int r;

        disk_batch_number(&s->batch, DISK_CONFIG_INDEX, e->index);
        if (raft_change_decode(e->data, e->size, &change) < 0)
                return 0;
        if (change.op == RAFT_REMOVE)
                return state_remove_member(s, change.id);
        r = member_decode(e->data + RAFT_CHANGE_SIZE, e->size - RAFT_CHANGE_SIZE, &m);
        if (r == -EBADMSG)
                return 0;
        if (r < 0)
                return r;
        m->learner = change.op == RAFT_ADD_LEARNER;
        if (change.op == RAFT_UPDATE && state_member(s, change.id))
                m->learner = state_member(s, change.id)->learner;
        return state_set_member(s, m);
}

static int apply_command(struct state *s, const struct raft_entry *e, struct outcome *o) {
        uint8_t kind = e->size >= COMMAND_HEADER_SIZE ? e->data[0] : 0;
        const struct command_row *row;
        ProtobufCMessage *m;

        /* A newer member's command that we do not know would make us diverge: better to stop. */
        if (kind == 0 || kind >= ELEMENTS(commands))
                return -EPROTO;
        row = &commands[kind];
        m = protobuf_c_message_unpack(row->message, &s->arena.allocator,
                        e->size - COMMAND_HEADER_SIZE, e->data + COMMAND_HEADER_SIZE);
        if (!m)
                o->error = STORE_BAD_MESSAGE;
        else if ((row->flags & COMMAND_DATA) && state_alarm(s, ALARM_CORRUPT))
                o->error = STORE_CORRUPT;
        else if ((row->flags & COMMAND_GROWS) && state_alarm(s, ALARM_NOSPACE))
                o->error = STORE_NO_SPACE;
        else {
                if (row->flags & COMMAND_WRITES)
                        mvcc_begin(s->kv.mvcc);
                o->error = row->apply(s, m, o);
                if (row->flags & COMMAND_WRITES)
                        (void)mvcc_end(s->kv.mvcc);
        }
        arena_reset(&s->arena);
        return o->error == STORE_NO_MEMORY ? -ENOMEM : o->error == STORE_DISK ? -EIO : 0;
}

/* The oldest make room. */
static int note_term(struct state *s, const struct raft_entry *e) {
        struct disk_op op = {.table = DISK_TERM_START, .id = e->term, .value = (int64_t)e->index};
        int r;

        if (s->term_start_count == TERM_STARTS_MAX) {
                struct disk_op old = {.table = DISK_TERM_START,
                                .remove = true,
                                .id = s->term_starts[0].term};

                r = disk_batch_op(&s->batch, &old);
                if (r < 0)
                        return r;
                s->term_start_count--;
                memmove(s->term_starts, s->term_starts + 1,
                                s->term_start_count * sizeof(s->term_starts[0]));
        }
        s->term_starts[s->term_start_count++] =
                        (struct raft_term_start){.term = e->term, .index = e->index};
        return disk_batch_op(&s->batch, &op);
}

int state_apply(struct state *s, const struct raft_entry *e, struct outcome *o) {
        int r = 0;

        assert(e->index == s->applied + 1);
        o->error = STORE_OK;
        s->renewed_lease = 0;
        if (e->type == RAFT_ENTRY_CONFIG)
                r = apply_change(s, e);
        else if (e->size > 0)
                r = apply_command(s, e, o);
        if (r < 0)
                return r;
        s->applied = e->index;
        if (e->term != s->applied_term) {
                r = note_term(s, e);
                if (r < 0)
                        return r;
        }
        s->applied_term = e->term;
        o->rev = mvcc_rev(s->kv.mvcc);
        return note_progress(s);
}
