/* A leader has contradicted what was committed here (raft/contradict.c): the message for the
 * administrator, and the report to the others before this member stops. */
#include "kstored/replica/replica.h"

static const char *name_of(const struct replica *replica, uint64_t id) {
        const struct member *m = state_member(replica->state, id);

        return m && !isempty(m->name) ? m->name : "no name";
}

char *replica_contradiction_text(const struct replica *replica) {
        const struct raft_contradiction *c = raft_get_contradiction(replica->raft);
        unsigned long long leader = c->leader, index = c->index;
        _cleanup_free_ char *seen = NULL, *ours = NULL;

        switch (c->kind) {
        case RAFT_CONTRADICTION_ENTRY:
                if (c->our_term > 0 && c->our_term == c->their_term)
                        ours = strdup("there is another one of that term and index here");
                else if (c->our_term > 0)
                        ours = strformat("the one committed here is of term %llu",
                                        (unsigned long long)c->our_term);
                else
                        ours = strformat("the entries committed here, up to index %llu, leave no "
                                         "room for it",
                                        (unsigned long long)c->our_index);
                seen = strformat("has an entry of term %llu at log index %llu, and %s",
                                (unsigned long long)c->their_term, index, strempty(ours));
                break;
        case RAFT_CONTRADICTION_READ:
                seen = strformat("answers a read as of log index %llu, and index %llu was "
                                 "committed here before",
                                index, (unsigned long long)c->our_index);
                break;
        case RAFT_CONTRADICTION_LOST:
                return strformat("Member %llx (%s), which leads term %llu, has this member's word "
                                 "for log index %llu, and the log here ends at %llu: this member "
                                 "has lost what it acknowledged. Replace it from the others: "
                                 "kstored --config FILE --replace",
                                leader, name_of(replica, c->leader),
                                (unsigned long long)c->leader_term, index,
                                (unsigned long long)c->our_index);
        default:
                return NULL;
        }
        return strformat(
                        "Member %llx (%s), which leads term %llu, %s: one of the two has lost what "
                        "was acknowledged, that one or this (%llx). Keep the data of both, find "
                        "out which machine had trouble, and replace the one that is wrong "
                        "from the others: kstored --config FILE --replace on it",
                        leader, name_of(replica, c->leader), (unsigned long long)c->leader_term,
                        strempty(seen), (unsigned long long)replica->member_id);
}

/* Sent through the leader, whichever of the two is right: if the leader has to be replaced, the
 * changes that it acknowledges from now on could be lost too. Member 0 means no member, as in
 * etcd's own check. */
void replica_report_contradiction(struct replica *replica) {
        const struct raft_contradiction *c = raft_get_contradiction(replica->raft);
        _cleanup_buf_ struct buf b = {0};
        uint8_t head[COMMAND_HEADER_SIZE];
        struct raft_entry *e;
        struct raft_message m = {.type = RAFT_MSG_PROPOSE,
                        .to = c->leader,
                        .from = replica->member_id,
                        .term = c->leader_term,
                        .entries = &e,
                        .entry_count = 1};

        if (c->kind == RAFT_CONTRADICTION_LOST) /* the others have all of it */
                return;
        command_encode(head, COMMAND_ALARM, 0);
        (void)buf_append(&b, head, sizeof(head));
        wire_uint(&b, 1, ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE);
        wire_uint(&b, 3, ALARM_CORRUPT);
        e = b.failed ? NULL : raft_entry_new(0, 0, RAFT_ENTRY_NORMAL, b.data, b.size);
        if (!e)
                return;
        replica->options.ops->send(replica->options.userdata, &m);
        raft_entry_unref(e);
}
