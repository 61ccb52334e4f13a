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

int member_decode(const void *data, size_t n, struct member **ret) {
        Keelsonpeer__MemberRecord *r = keelsonpeer__member_record__unpack(NULL, n, data);
        _cleanup_(member_freep) struct member *m = calloc(1, sizeof(*m));
        int q = m && r ? 0 : m ? -EBADMSG : -ENOMEM;

        if (q >= 0) {
                m->id = r->id;
                m->learner = r->learner;
                m->name = strdup(r->name);
                q = m->name ? 0 : -ENOMEM;
        }
        for (size_t i = 0; q >= 0 && i < r->n_peer_urls; i++)
                q = strv_extend(&m->peer_urls, r->peer_urls[i]);
        for (size_t i = 0; q >= 0 && i < r->n_client_urls; i++)
                q = strv_extend(&m->client_urls, r->client_urls[i]);
        if (r)
                keelsonpeer__member_record__free_unpacked(r, NULL);
        if (q < 0)
                return q;
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

int state_apply_alarm(struct state *s, const Etcdserverpb__AlarmRequest *r, struct outcome *o) {
        struct buf *out = o->answer ? &o->answer->text : NULL;
        uint32_t type = (uint32_t)r->alarm;
        int q = 0;

        if (type > ALARM_CORRUPT)
                return 0;
        switch (r->action) {
        case ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET:
                list_alarms(s, r->memberid, type, out);
                break;
        case ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE:
                /* Nobody's: members differ, and it is not known who is wrong (as etcd has it). */
                if (type == 0 || (!state_member(s, r->memberid) &&
                                                 !(r->memberid == 0 && type == ALARM_CORRUPT)))
                        break;
                q = set_alarm(s, r->memberid, types_of(s, r->memberid) | 1u << type);
                wire_alarm(out, r->memberid, type);
                break;
        case ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE:
                for (size_t i = s->alarm_count; i-- > 0 && q >= 0;) {
                        uint64_t member = s->alarms[i].member;
                        uint32_t types = s->alarms[i].types;

                        if (r->memberid != 0 && member != r->memberid)
                                continue;
                        for (uint32_t t = ALARM_NOSPACE; t <= ALARM_CORRUPT; t++)
                                if ((types & (1u << t)) && (type == 0 || type == t)) {
                                        wire_alarm(out, member, t);
                                        types &= ~(1u << t);
                                }
                        if (types != s->alarms[i].types)
                                q = set_alarm(s, member, types);
                }
                break;
        default:
                break;
        }
        return q;
}
