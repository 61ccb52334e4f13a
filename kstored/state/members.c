/* Members and alarms: the small replicated tables. */
#include "kstored/state/state.h"

#include "kstored/state/internal.h"
#include "proto/peer.pb-c.h"

struct member *member_free(struct member *m) {
        if (!m)
                return NULL;
        free(m->name);
        strv_free(m->peer_urls);
        strv_free(m->client_urls);
        free(m);
        return NULL;
}

int member_encode(const struct member *m, struct buf *out) {
        wire_uint(out, 1, m->id);
        wire_string(out, 2, m->name);
        for (char **u = m->peer_urls; u && *u; u++)
                wire_string(out, 3, *u);
        for (char **u = m->client_urls; u && *u; u++)
                wire_string(out, 4, *u);
        wire_bool(out, 5, m->learner);
        return out->failed ? -ENOMEM : 0;
}

static void record_freep(Keelsonpeer__MemberRecord **record) {
        if (*record)
                keelsonpeer__member_record__free_unpacked(*record, NULL);
}

int member_decode(const void *data, size_t n, struct member **ret) {
        _cleanup_(record_freep) Keelsonpeer__MemberRecord *record = NULL;
        _cleanup_(member_freep) struct member *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        record = keelsonpeer__member_record__unpack(NULL, n, data);
        if (!record)
                return -EBADMSG;
        m->id = record->id;
        m->learner = record->learner;
        m->name = strdup(record->name);
        if (!m->name)
                return -ENOMEM;
        for (size_t i = 0; i < record->n_peer_urls; i++) {
                r = strv_extend(&m->peer_urls, record->peer_urls[i]);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < record->n_client_urls; i++) {
                r = strv_extend(&m->client_urls, record->client_urls[i]);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(m);
        return 0;
}

void wire_member(struct buf *b, unsigned field, const struct member *m) {
        size_t mark = wire_begin(b, field);

        wire_uint(b, 1, m->id);
        wire_string(b, 2, m->name);
        for (char **u = m->peer_urls; u && *u; u++)
                wire_string(b, 3, *u);
        for (char **u = m->client_urls; u && *u; u++)
                wire_string(b, 4, *u);
        wire_bool(b, 5, m->learner);
        wire_end(b, mark);
}

struct member *state_member(const struct state *s, uint64_t id) {
        for (size_t i = 0; i < s->member_count; i++)
                if (s->members[i]->id == id)
                        return s->members[i];
        return NULL;
}

static int member_to_batch(struct state *s, const struct member *m) {
        _cleanup_buf_ struct buf b = {0};
        _cleanup_bytes_ struct bytes *blob = NULL;
        int r = member_encode(m, &b);

        if (r < 0)
                return r;
        blob = bytes_new(b.data, b.size);
        if (!blob)
                return -ENOMEM;
        return disk_batch_op(&s->batch,
                        &(struct disk_op){.table = DISK_MEMBER, .id = m->id, .blob = blob});
}

int state_set_member(struct state *s, struct member *m) {
        int r = member_to_batch(s, m);

        s->newest = NULL;
        if (r >= 0 && s->member_count == RAFT_MEMBERS_MAX && !state_member(s, m->id))
                r = -ENOSPC;
        if (r < 0) {
                member_free(m);
                return r;
        }
        s->member_changes++;
        s->newest = m;
        for (size_t i = 0; i < s->member_count; i++) {
                if (s->members[i]->id == m->id) {
                        member_free(s->members[i]);
                        s->members[i] = m;
                        return 0;
                }
        }
        s->members[s->member_count++] = m;
        return 0;
}

int state_remove_member(struct state *s, uint64_t id) {
        for (size_t i = 0; i < s->member_count; i++) {
                if (s->members[i]->id != id)
                        continue;
                s->member_changes++;
                s->newest = NULL;
                member_free(s->members[i]);
                s->members[i] = s->members[--s->member_count];
                return disk_batch_op(&s->batch,
                                &(struct disk_op){.table = DISK_MEMBER, .remove = true, .id = id});
        }
        return 0;
}

bool state_alarm(const struct state *s, uint32_t type) {
        for (size_t i = 0; i < s->alarm_count; i++)
                if (s->alarms[i].types & (1u << type))
                        return true;
        return false;
}

static void wire_alarm(struct buf *b, uint64_t member, uint32_t type) {
        size_t mark;

        if (!b)
                return;
        mark = wire_begin(b, 2);
        wire_uint(b, 1, member);
        wire_uint(b, 2, type);
        wire_end(b, mark);
}

static int set_alarm(struct state *s, uint64_t member, uint32_t types) {
        struct disk_op op = {
                        .table = DISK_ALARM, .remove = types == 0, .id = member, .value = types};
        size_t i = 0;

        while (i < s->alarm_count && s->alarms[i].member != member)
                i++;
        if (types != 0) {
                if (i == ALARMS_MAX)
                        return -ENOSPC;
                s->alarms[i] = (struct alarm){.member = member, .types = types};
                if (i == s->alarm_count)
                        s->alarm_count++;
        } else if (i < s->alarm_count)
                s->alarms[i] = s->alarms[--s->alarm_count];
        return disk_batch_op(&s->batch, &op);
}

static uint32_t types_of(const struct state *s, uint64_t member) {
        for (size_t i = 0; i < s->alarm_count; i++)
                if (s->alarms[i].member == member)
                        return s->alarms[i].types;
        return 0;
}

static void list_alarms(const struct state *s, uint64_t member, uint32_t type, struct buf *out) {
        for (size_t i = 0; i < s->alarm_count; i++)
                for (uint32_t t = ALARM_NOSPACE; t <= ALARM_CORRUPT; t++)
                        if ((s->alarms[i].types & (1u << t)) &&
                                        (member == 0 || s->alarms[i].member == member) &&
                                        (type == 0 || type == t))
                                wire_alarm(out, s->alarms[i].member, t);
}

static int activate(struct state *s, uint64_t member, uint32_t type, struct buf *out) {
        int r;

        /* Member 0: the members differ, and it is not known which of them is wrong (as etcd). */
        if (type == 0 || (!state_member(s, member) && !(member == 0 && type == ALARM_CORRUPT)))
                return 0;
        r = set_alarm(s, member, types_of(s, member) | 1u << type);
        wire_alarm(out, member, type);
        return r;
}

/* One member's alarm, at place i; type 0: of every type. */
static int deactivate(struct state *s, size_t i, uint32_t type, struct buf *out) {
        uint64_t member = s->alarms[i].member;
        uint32_t types = s->alarms[i].types;

        for (uint32_t t = ALARM_NOSPACE; t <= ALARM_CORRUPT; t++)
                if ((types & (1u << t)) && (type == 0 || type == t)) {
                        wire_alarm(out, member, t);
                        types &= ~(1u << t);
                }
        return types == s->alarms[i].types ? 0 : set_alarm(s, member, types);
}

int state_apply_alarm(
                struct state *s, const Etcdserverpb__AlarmRequest *request, struct outcome *o) {
        struct buf *out = o->answer ? &o->answer->text : NULL;
        uint32_t type = (uint32_t)request->alarm;

        if (type > ALARM_CORRUPT)
                return 0;
        switch (request->action) {
        case ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET:
                list_alarms(s, request->memberid, type, out);
                return 0;
        case ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE:
                return activate(s, request->memberid, type, out);
        case ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE:
                for (size_t i = s->alarm_count; i-- > 0;) {
                        int r;

                        if (request->memberid != 0 && s->alarms[i].member != request->memberid)
                                continue;
                        r = deactivate(s, i, type, out);
                        if (r < 0)
                                return r;
                }
                return 0;
        default:
                return 0;
        }
}
