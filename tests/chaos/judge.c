/* After the faults: compares the answers to clients with the stored state, and the members with
 * each other.
 */
#include "tests/chaos/chaos.h"

enum { PAGE = 2000, ASK_LIMIT_US = 10000000, SAME_LIMIT_US = 20000000, GONE_LIMIT_US = 30000000 };

static bool is_idle(struct chaos *c, void *userdata) {
        return load_is_idle(c);
}

static bool are_gone(struct chaos *c, void *userdata) {
        return leases_gone(c);
}

/* The end of it says most: the whole is in the history file. */
static void report_end(const char *text) {
        enum { LINES = 40, COLUMNS = 200 };
        size_t lines = 0;

        for (const char *c = text; *c; c++)
                lines += *c == '\n';
        for (const char *line = text, *end; *line; line = end + 1) {
                end = strchrnul(line, '\n');
                if (lines-- <= LINES)
                        printf("# %.*s%s\n", (int)MIN(end - line, (ptrdiff_t)COLUMNS), line,
                                        end - line > COLUMNS ? "..." : "");
                if (*end == '\0')
                        break;
        }
}

static void judge_history(struct chaos *c) {
        _cleanup_linear_report_ struct linear_report r = {0};

        if (linear_check(c->history.ops, c->history.count, 0, &r) < 0) {
                chaos_fail(c, "out of memory");
                return;
        }
        if (r.verdict != LINEAR_OK) {
                chaos_fail(c, "%zu of %zu keys: %s; %s, %zu operations", r.failed_keys, r.keys,
                                r.verdict == LINEAR_GAVE_UP ? "the search was given up"
                                                            : "no order explains them",
                                r.key, r.op_count);
                report_end(r.text);
        }
        chaos_result(c,
                        "the history of %zu operations on %zu keys is linearizable (%llu known, "
                        "%llu "
                        "unknown, %llu refused; %llu steps)",
                        c->history.count, r.keys, (unsigned long long)c->ops_known,
                        (unsigned long long)c->ops_unknown, (unsigned long long)c->ops_refused,
                        (unsigned long long)r.work);
}

/* Everything that is there, as one member has it. */
struct contents {
        int64_t rev;
        uint64_t hash;
        size_t keys;
        struct unique *uniques[2][CLIENTS_MAX]; /* outcome: written when it is there */
};

static void note_key(struct chaos *c, struct contents *x, const Mvccpb__KeyValue *kv) {
        char key[64];
        unsigned client;
        size_t number;
        char kind;

        x->hash = x->hash * 0x100000001b3u ^
                  change_hash(true, kv->key.data, kv->key.len, kv->value.data, kv->value.len) ^
                  ((uint64_t)kv->create_revision << 40) ^ ((uint64_t)kv->mod_revision << 16) ^
                  (uint64_t)kv->version ^ (uint64_t)kv->lease;
        x->keys++;
        if (kv->key.len >= sizeof(key))
                return;
        memcpy(key, kv->key.data, kv->key.len);
        key[kv->key.len] = '\0';
        if (sscanf(key, "%c/%u/%zu", &kind, &client, &number) != 3 ||
                        (kind != 'u' && kind != 'v') || client >= CLIENTS_MAX ||
                        number >= c->unique_count[client])
                return;
        x->uniques[kind == 'v'][client][number] =
                        (struct unique){.outcome = UNIQUE_WRITTEN, .rev = kv->mod_revision};
}

static int read_page(
                struct chaos *c, unsigned m, struct contents *x, char *from, size_t *from_size) {
        Etcdserverpb__RangeRequest r = ETCDSERVERPB__RANGE_REQUEST__INIT;
        Etcdserverpb__RangeResponse *answer = NULL;
        _cleanup_free_ void *data = NULL;
        size_t size = 0;
        int more;

        r.key = (ProtobufCBinaryData){.len = *from_size, .data = (uint8_t *)from};
        r.range_end = (ProtobufCBinaryData){.len = 1, .data = (uint8_t *)""};
        r.limit = PAGE;
        r.serializable = true;
        r.revision = x->rev;
        if (rpc_wait(&c->slots[m].control, "/etcdserverpb.KV/Range", &r.base, ASK_LIMIT_US, &data,
                            &size) == GRPC_OK)
                answer = etcdserverpb__range_response__unpack(NULL, size, data);
        if (!answer)
                return -EIO;
        for (size_t i = 0; i < answer->n_kvs; i++)
                note_key(c, x, answer->kvs[i]);
        more = answer->more && answer->n_kvs > 0;
        if (more) {
                const ProtobufCBinaryData *last = &answer->kvs[answer->n_kvs - 1]->key;

                assert(last->len < 200);
                memcpy(from, last->data, last->len);
                from[last->len] = '\0';
                *from_size = last->len + 1;
        }
        etcdserverpb__range_response__free_unpacked(answer, NULL);
        return more;
}

static int read_contents(struct chaos *c, unsigned m, int64_t rev, struct contents *x) {
        char from[256] = "";
        size_t from_size = 1;
        int r;

        *x = (struct contents){.rev = rev};
        for (unsigned i = 0; i < CLIENTS_MAX; i++)
                for (unsigned k = 0; k < 2; k++) {
                        x->uniques[k][i] = calloc(c->unique_count[i] + 1, sizeof(struct unique));
                        assert(x->uniques[k][i]);
                }
        do
                r = read_page(c, m, x, from, &from_size);
        while (r > 0);
        return r;
}

static void contents_done(struct contents *x) {
        for (unsigned i = 0; i < CLIENTS_MAX; i++)
                for (unsigned k = 0; k < 2; k++)
                        free(x->uniques[k][i]);
}

static void judge_uniques(struct chaos *c, const struct contents *x) {
        size_t written = 0, unknown = 0, there = 0;

        for (unsigned i = 0; i < CLIENTS_MAX; i++)
                for (size_t n = 0; n < c->unique_count[i]; n++) {
                        const struct unique *want = &c->uniques[i][n];
                        const struct unique *u = &x->uniques[0][i][n], *v = &x->uniques[1][i][n];

                        written += want->outcome == UNIQUE_WRITTEN;
                        unknown += want->outcome == UNIQUE_UNKNOWN;
                        there += u->outcome == UNIQUE_WRITTEN;
                        if (u->outcome != v->outcome || u->rev != v->rev)
                                chaos_fail(c, "half of transaction %u/%zu is there", i, n);
                        else if (want->outcome == UNIQUE_WRITTEN && u->outcome != want->outcome)
                                chaos_fail(c, "%u/%zu, acknowledged at revision %lld, is lost", i,
                                                n, (long long)want->rev);
                        else if (want->outcome == UNIQUE_WRITTEN && u->rev != want->rev)
                                chaos_fail(c, "%u/%zu, acknowledged at revision %lld, is at %lld",
                                                i, n, (long long)want->rev, (long long)u->rev);
                        else if (want->outcome == UNIQUE_REFUSED && u->outcome == UNIQUE_WRITTEN)
                                chaos_fail(c, "%u/%zu was refused, but is there", i, n);
                }
        chaos_result(c,
                        "every acknowledged transaction is there, whole: %zu of %zu (%zu without "
                        "an "
                        "answer, %zu there)",
                        written, written, unknown, there);
}

static bool same_revision(struct chaos *c, void *userdata) {
        int64_t rev = 0, *ret = userdata;

        for (unsigned m = 0; m < c->slot_count; m++) {
                const struct member_slot *s = &c->slots[m];

                if (!member_in_cluster(c, m))
                        continue;
                if (rev == 0)
                        rev = s->rev;
                if (s->rev != rev || watcher_rev(s->watcher) != rev)
                        return false;
        }
        *ret = rev;
        return rev > 0;
}

static bool ask_hash(struct chaos *c, unsigned m, int64_t rev, uint32_t *ret) {
        Etcdserverpb__HashKVRequest r = ETCDSERVERPB__HASH_KVREQUEST__INIT;
        Etcdserverpb__HashKVResponse *answer = NULL;
        _cleanup_free_ void *data = NULL;
        size_t size = 0;

        r.revision = rev;
        if (rpc_wait(&c->slots[m].control, "/etcdserverpb.Maintenance/HashKV", &r.base,
                            ASK_LIMIT_US, &data, &size) == GRPC_OK)
                answer = etcdserverpb__hash_kvresponse__unpack(NULL, size, data);
        if (!answer)
                return false;
        *ret = answer->hash;
        etcdserverpb__hash_kvresponse__free_unpacked(answer, NULL);
        return true;
}

static void judge_members(struct chaos *c, int64_t rev) {
        struct contents first = {0};
        uint32_t first_hash = 0;
        int reference = -1;
        unsigned count = 0;

        for (unsigned m = 0; m < c->slot_count; m++) {
                struct contents x;
                uint32_t hash = 0;

                if (!member_in_cluster(c, m))
                        continue;
                count++;
                if (read_contents(c, m, rev, &x) < 0 || !ask_hash(c, m, rev, &hash))
                        chaos_fail(c, "%s can not be read: %s", c->slots[m].name, c->answer);
                else if (reference < 0) {
                        reference = (int)m;
                        first = x;
                        first_hash = hash;
                        continue;
                } else if (x.hash != first.hash || x.keys != first.keys)
                        chaos_fail(c, "%s (%zu keys) and %s (%zu keys) differ at revision %lld",
                                        c->slots[reference].name, first.keys, c->slots[m].name,
                                        x.keys, (long long)rev);
                else if (hash != first_hash)
                        chaos_fail(c, "HashKV of %s is %08x, of %s %08x", c->slots[reference].name,
                                        first_hash, c->slots[m].name, hash);
                contents_done(&x);
        }
        chaos_result(c, "%u members hold the same %zu keys at revision %lld (HashKV %08x)", count,
                        first.keys, (long long)rev, first_hash);
        if (reference < 0)
                return;
        judge_uniques(c, &first);
        contents_done(&first);
}

static void judge_watchers(struct chaos *c) {
        struct watcher *reference = NULL;
        uint64_t resumed = 0;

        for (unsigned m = 0; m < c->slot_count; m++) {
                struct watcher *w = c->slots[m].watcher;

                resumed += watcher_resumed(w);
                if (!member_in_cluster(c, m))
                        continue;
                watcher_check_acknowledged(w);
                if (!reference)
                        reference = w;
        }
        for (unsigned m = 0; m < c->slot_count && reference; m++)
                if (c->slots[m].watcher != reference)
                        watcher_check_same(reference, c->slots[m].watcher);
        chaos_result(c,
                        "%u watchers got every revision in order, once (%zu acknowledged "
                        "changes; "
                        "taken up %llu times)",
                        c->slot_count, c->change_count, (unsigned long long)resumed);
}

static int compare_gaps(const void *a, const void *b) {
        uint64_t x = ((const struct gap *)a)->us, y = ((const struct gap *)b)->us;

        return (x > y) - (x < y);
}

static void report_gaps(struct chaos *c) {
        if (c->gap_count == 0)
                return;
        qsort(c->gaps, c->gap_count, sizeof(*c->gaps), compare_gaps);
        printf("# kill -9 of the leader, until the next write: %zu times, median %.0f ms, longest "
               "%.0f ms\n",
                        c->gap_count, (double)c->gaps[c->gap_count / 2].us / 1e3,
                        (double)c->gaps[c->gap_count - 1].us / 1e3);
}

void judge_all(struct chaos *c) {
        int64_t rev = 0;

        if (!cluster_wait_healthy(c, SAME_LIMIT_US))
                chaos_fail(c, "the members do not agree on a leader at the end");
        load_stop(c);
        leases_stop(c);
        if (!chaos_until(c, SAME_LIMIT_US, is_idle, NULL))
                chaos_fail(c, "a client does not come to an end");
        chaos_result(c,
                        "the members serve after %u faults in %.0f s; %.1f writes a second, "
                        "longest "
                        "time without one %.2f s",
                        c->faults_done, (double)chaos_now_us(c) / 1e6,
                        (double)c->change_count * 1e6 / (double)chaos_now_us(c),
                        (double)c->success_gap_us / 1e6);
        report_gaps(c);
        if (!chaos_until(c, GONE_LIMIT_US, are_gone, NULL))
                chaos_fail(c, "keys of leases that ended are still there after %d s",
                                GONE_LIMIT_US / 1000000);
        chaos_result(c,
                        "keys stay while their lease is kept, and go afterwards: %llu leases, %llu "
                        "keepalives",
                        (unsigned long long)c->leases_kept, (unsigned long long)c->renewals);
        if (load_read_all(c))
                judge_history(c);
        else
                chaos_result(c, "what is there can be read at the end");
        if (!chaos_until(c, SAME_LIMIT_US, same_revision, &rev))
                for (unsigned m = 0; m < c->slot_count; m++)
                        if (member_in_cluster(c, m))
                                chaos_fail(c, "%s is at revision %lld, its watcher at %lld",
                                                c->slots[m].name, (long long)c->slots[m].rev,
                                                (long long)watcher_rev(c->slots[m].watcher));
        chaos_result(c, "all members and watchers come to the same revision");
        if (rev > 0)
                judge_members(c, rev);
        judge_watchers(c);
        for (unsigned m = 0; m < c->slot_count; m++)
                (void)member_stop(c, m);
        chaos_result(c, "every member ends cleanly");
}
