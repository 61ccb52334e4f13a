/* Clients: each does one operation after the other on a few keys that all share, with a time limit
 * of its own, and goes to another member when one does not serve. Their answers go into the
 * history. Nothing is tried twice: whether the first time did something is what the history is for.
 *
 *   r/PERIOD/K   read, written, compared and swapped, deleted
 *   l/PERIOD/K   a list that words are put at the end of: read, then swapped if it is still that
 *   u/ID/N, v/ID/N   written once, both in one transaction
 */
#include "tests/chaos/chaos.h"

#include "lib/random.h"

enum {
        REGISTERS = 5,
        LISTS = 2,
        PERIOD_US = 6000000, /* keys are used that long: no history grows without end */
        THINK_MIN_US = 2000,
        THINK_MAX_US = 12000,
        NEXT_MEMBER_US = 20000,
        MOVE_ONE_IN = 15, /* operations */
        KEY_SIZE = 64,
        APPEND_TRIES = 4,
};

struct client {
        struct chaos *chaos;
        unsigned number;
        struct dice dice; /* its timing is never the same twice, so this needs no replay */
        sd_event_source *timer;
        bool busy;
        unsigned member;
        uint64_t words;
        /* The operation under way. */
        size_t number_in_history;
        enum linear_kind kind;
        bool unique;
        char key[KEY_SIZE], value[KEY_SIZE];
        char *expected;
        unsigned tries;
        uint64_t sent_us;
        char *list; /* an append's: what was there, NULL for nothing */
        int64_t list_rev;
};

static void client_next(struct client *x, uint64_t us);

uint64_t change_hash(bool put, const void *key, size_t key_size, const void *value, size_t size) {
        uint64_t h = put ? 0xcbf29ce484222325u : 0x84222325cbf29ce4u;

        for (size_t i = 0; i < key_size; i++)
                h = (h ^ ((const uint8_t *)key)[i]) * 0x100000001b3u;
        h = (h ^ 0x100) * 0x100000001b3u;
        for (size_t i = 0; put && i < size; i++)
                h = (h ^ ((const uint8_t *)value)[i]) * 0x100000001b3u;
        return h;
}

static void note_change(
                struct chaos *c, int64_t rev, bool put, const char *key, const char *value) {
        chaos_grow(&c->changes, &c->changes_allocated, c->change_count, sizeof(*c->changes));
        c->changes[c->change_count++] = (struct change){.rev = rev,
                        .hash = change_hash(put, key, strlen(key), value, strlen(value))};
}

/* The next member that is there; now and then any other, or all would end up with the one that
 * never failed. */
static bool choose_member(struct client *x) {
        struct chaos *c = x->chaos;

        if (dice_below(&x->dice, MOVE_ONE_IN) == 0)
                x->member = (unsigned)dice_below(&x->dice, c->slot_count);
        for (unsigned i = 0; i < c->slot_count; i++) {
                unsigned m = (x->member + i) % c->slot_count;

                if (member_in_cluster(c, m) && link_is_up(&c->slots[m].load)) {
                        x->member = m;
                        return true;
                }
        }
        return false;
}

static void note_success(struct chaos *c) {
        uint64_t now_us = chaos_now_us(c);

        if (c->last_success_us > 0)
                c->success_gap_us = MAX(c->success_gap_us, now_us - c->last_success_us);
        c->last_success_us = now_us;
}

static void finish(
                struct client *x, enum linear_outcome outcome, unsigned flags, const char *result) {
        struct chaos *c = x->chaos;

        c->ops_known += outcome == LINEAR_KNOWN;
        c->ops_unknown += outcome == LINEAR_UNKNOWN;
        c->ops_refused += outcome == LINEAR_FAILED;
        if (!x->unique && outcome != LINEAR_UNKNOWN &&
                        linear_end(&c->history, x->number_in_history, outcome, flags, result,
                                        chaos_now_ns()) < 0)
                chaos_fail(c, "out of memory");
        if (outcome == LINEAR_KNOWN && x->kind != LINEAR_READ)
                note_success(c);
        x->busy = false;
        x->expected = mfree(x->expected);
        x->list = mfree(x->list);
        client_next(x, dice_between(&x->dice, THINK_MIN_US, THINK_MAX_US));
}

/* Refusals that promise that nothing was done. */
static bool surely_not_done(const struct rpc_reply *reply) {
        static const char *const refusals[] = {"etcdserver: no leader",
                        "etcdserver: too many requests", "etcdserver: not leader"};

        for (size_t i = 0; i < ELEMENTS(refusals); i++)
                if (streq(strempty(reply->message), refusals[i]))
                        return true;
        return false;
}

static void note_unique(struct client *x, enum unique_outcome outcome, int64_t rev);

static void give_up(struct client *x, const struct rpc_reply *reply) {
        struct chaos *c = x->chaos;
        bool sure = surely_not_done(reply);

        if (reply->code != GRPC_UNAVAILABLE && reply->code != GRPC_DEADLINE_EXCEEDED &&
                        reply->code != GRPC_RESOURCE_EXHAUSTED && reply->code != GRPC_CANCELLED &&
                        reply->code != GRPC_FAILED_PRECONDITION)
                chaos_fail(c, "client %u, %s: code %d, %s", x->number, x->key, (int)reply->code,
                                strempty(reply->message));
        x->member++;
        if (x->unique && sure)
                note_unique(x, UNIQUE_REFUSED, 0);
        finish(x, sure || x->kind == LINEAR_READ ? LINEAR_FAILED : LINEAR_UNKNOWN, 0, NULL);
        client_next(x, NEXT_MEMBER_US);
}

static char *text_of(const ProtobufCBinaryData *d) {
        char *s = malloc(d->len + 1);

        assert(s);
        memcpy(s, d->data, d->len);
        s[d->len] = '\0';
        return s;
}

/* The value in an answer to a range of one key; NULL when there is none. */
static char *range_value(const Etcdserverpb__RangeResponse *r, int64_t *ret_rev) {
        if (ret_rev)
                *ret_rev = r->n_kvs > 0 ? r->kvs[0]->mod_revision : 0;
        return r->n_kvs > 0 ? text_of(&r->kvs[0]->value) : NULL;
}

static void start(struct client *x, const char *path, const ProtobufCMessage *request,
                rpc_done done) {
        struct chaos *c = x->chaos;

        if (rpc_start(&c->slots[x->member].load, path, request, OP_LIMIT_US, done, x) < 0) {
                finish(x, LINEAR_FAILED, 0, NULL);
                return;
        }
}

static void read_done(struct chaos *c, const struct rpc_reply *reply, void *userdata) {
        struct client *x = userdata;
        Etcdserverpb__RangeResponse *r;
        _cleanup_free_ char *value = NULL;

        if (reply->code != GRPC_OK) {
                give_up(x, reply);
                return;
        }
        r = etcdserverpb__range_response__unpack(NULL, reply->size, reply->data);
        if (!r) {
                chaos_fail(c, "an answer to a range that nobody can read");
                finish(x, LINEAR_FAILED, 0, NULL);
                return;
        }
        value = range_value(r, NULL);
        finish(x, LINEAR_KNOWN, 0, value);
        etcdserverpb__range_response__free_unpacked(r, NULL);
}

static void start_read(struct client *x, rpc_done done) {
        Etcdserverpb__RangeRequest r = ETCDSERVERPB__RANGE_REQUEST__INIT;

        r.key = text_data(x->key);
        start(x, "/etcdserverpb.KV/Range", &r.base, done);
}

static void put_done(struct chaos *c, const struct rpc_reply *reply, void *userdata) {
        struct client *x = userdata;
        Etcdserverpb__PutResponse *r;
        _cleanup_free_ char *before = NULL;

        if (reply->code != GRPC_OK) {
                give_up(x, reply);
                return;
        }
        r = etcdserverpb__put_response__unpack(NULL, reply->size, reply->data);
        if (!r || !r->header) {
                chaos_fail(c, "an answer to a put that nobody can read");
                finish(x, LINEAR_UNKNOWN, 0, NULL);
        } else {
                before = r->prev_kv ? text_of(&r->prev_kv->value) : NULL;
                note_change(c, r->header->revision, true, x->key, x->value);
                finish(x, LINEAR_KNOWN, LINEAR_SAW, before);
        }
        if (r)
                etcdserverpb__put_response__free_unpacked(r, NULL);
}

static void start_write(struct client *x) {
        Etcdserverpb__PutRequest r = ETCDSERVERPB__PUT_REQUEST__INIT;

        r.key = text_data(x->key);
        r.value = text_data(x->value);
        r.prev_kv = true;
        start(x, "/etcdserverpb.KV/Put", &r.base, put_done);
}

static void delete_done(struct chaos *c, const struct rpc_reply *reply, void *userdata) {
        struct client *x = userdata;
        Etcdserverpb__DeleteRangeResponse *r;
        _cleanup_free_ char *before = NULL;

        if (reply->code != GRPC_OK) {
                give_up(x, reply);
                return;
        }
        r = etcdserverpb__delete_range_response__unpack(NULL, reply->size, reply->data);
        if (!r || !r->header || r->n_prev_kvs != (size_t)r->deleted) {
                chaos_fail(c, "an answer to a deletion that nobody can read");
                finish(x, LINEAR_UNKNOWN, 0, NULL);
        } else {
                before = r->n_prev_kvs > 0 ? text_of(&r->prev_kvs[0]->value) : NULL;
                if (before)
                        note_change(c, r->header->revision, false, x->key, "");
                finish(x, LINEAR_KNOWN, LINEAR_SAW, before);
        }
        if (r)
                etcdserverpb__delete_range_response__free_unpacked(r, NULL);
}

static void start_delete(struct client *x) {
        Etcdserverpb__DeleteRangeRequest r = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;

        r.key = text_data(x->key);
        r.prev_kv = true;
        start(x, "/etcdserverpb.KV/DeleteRange", &r.base, delete_done);
}

/* If the compare holds then put, else read. */
static void start_swap(struct client *x, Etcdserverpb__Compare *compare, const char *value,
                rpc_done done) {
        Etcdserverpb__TxnRequest r = ETCDSERVERPB__TXN_REQUEST__INIT;
        Etcdserverpb__RequestOp yes = ETCDSERVERPB__REQUEST_OP__INIT, *yes_v[] = {&yes};
        Etcdserverpb__RequestOp no = ETCDSERVERPB__REQUEST_OP__INIT, *no_v[] = {&no};
        Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
        Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
        Etcdserverpb__Compare *compares[] = {compare};

        put.key = range.key = text_data(x->key);
        put.value = text_data(value);
        yes.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        yes.request_put = &put;
        no.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        no.request_range = &range;
        r.compare = compares;
        r.success = yes_v;
        r.failure = no_v;
        r.n_compare = r.n_success = r.n_failure = 1;
        start(x, "/etcdserverpb.KV/Txn", &r.base, done);
}

/* The value that the other branch read. */
static char *swap_value(const Etcdserverpb__TxnResponse *r, int64_t *ret_rev) {
        if (r->n_responses != 1 || !r->responses[0]->response_range)
                return NULL;
        return range_value(r->responses[0]->response_range, ret_rev);
}

static void cas_done(struct chaos *c, const struct rpc_reply *reply, void *userdata) {
        struct client *x = userdata;
        Etcdserverpb__TxnResponse *r;
        _cleanup_free_ char *before = NULL;

        if (reply->code != GRPC_OK) {
                give_up(x, reply);
                return;
        }
        r = etcdserverpb__txn_response__unpack(NULL, reply->size, reply->data);
        if (!r || !r->header) {
                chaos_fail(c, "an answer to a transaction that nobody can read");
                finish(x, LINEAR_UNKNOWN, 0, NULL);
        } else if (r->succeeded) {
                note_change(c, r->header->revision, true, x->key, x->value);
                finish(x, LINEAR_KNOWN, LINEAR_SWAPPED, NULL);
        } else {
                before = swap_value(r, NULL);
                finish(x, LINEAR_KNOWN, LINEAR_SAW, before);
        }
        if (r)
                etcdserverpb__txn_response__free_unpacked(r, NULL);
}

static void start_cas(struct client *x) {
        Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT;

        compare.key = text_data(x->key);
        if (x->expected) {
                compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE;
                compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
                compare.value = text_data(x->expected);
        } else {
                compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE;
                compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
        }
        start_swap(x, &compare, x->value, cas_done);
}

static void append_swap(struct client *x);

static void append_done(struct chaos *c, const struct rpc_reply *reply, void *userdata) {
        struct client *x = userdata;
        _cleanup_free_ char *list = NULL;
        Etcdserverpb__TxnResponse *r;

        if (reply->code != GRPC_OK) {
                give_up(x, reply);
                return;
        }
        r = etcdserverpb__txn_response__unpack(NULL, reply->size, reply->data);
        if (!r || !r->header) {
                chaos_fail(c, "an answer to a transaction that nobody can read");
                finish(x, LINEAR_UNKNOWN, 0, NULL);
        } else if (r->succeeded) {
                list = x->list ? strformat("%s %s", x->list, x->value) : strdup(x->value);
                assert(list);
                note_change(c, r->header->revision, true, x->key, list);
                finish(x, LINEAR_KNOWN, LINEAR_SAW, x->list);
        } else if (++x->tries == APPEND_TRIES)
                finish(x, LINEAR_FAILED, 0, NULL);
        else {
                free(x->list);
                x->list = swap_value(r, &x->list_rev);
                append_swap(x);
        }
        if (r)
                etcdserverpb__txn_response__free_unpacked(r, NULL);
}

static void append_swap(struct client *x) {
        Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT;
        _cleanup_free_ char *list =
                        x->list ? strformat("%s %s", x->list, x->value) : strdup(x->value);

        assert(list);
        compare.key = text_data(x->key);
        compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
        compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
        compare.mod_revision = x->list_rev;
        start_swap(x, &compare, list, append_done);
}

static void append_read(struct chaos *c, const struct rpc_reply *reply, void *userdata) {
        struct client *x = userdata;
        Etcdserverpb__RangeResponse *r = NULL;

        if (reply->code == GRPC_OK)
                r = etcdserverpb__range_response__unpack(NULL, reply->size, reply->data);
        if (!r) {
                /* Nothing was written yet. */
                x->member++;
                finish(x, LINEAR_FAILED, 0, NULL);
                return;
        }
        x->list = range_value(r, &x->list_rev);
        etcdserverpb__range_response__free_unpacked(r, NULL);
        append_swap(x);
}

static void note_unique(struct client *x, enum unique_outcome outcome, int64_t rev) {
        struct chaos *c = x->chaos;

        c->uniques[x->number][c->unique_count[x->number] - 1] =
                        (struct unique){.outcome = outcome, .rev = rev};
}

static void unique_done(struct chaos *c, const struct rpc_reply *reply, void *userdata) {
        struct client *x = userdata;
        Etcdserverpb__TxnResponse *r;

        if (reply->code != GRPC_OK) {
                give_up(x, reply);
                return;
        }
        r = etcdserverpb__txn_response__unpack(NULL, reply->size, reply->data);
        if (!r || !r->header) {
                chaos_fail(c, "an answer to a transaction that nobody can read");
                finish(x, LINEAR_UNKNOWN, 0, NULL);
        } else {
                note_change(c, r->header->revision, true, x->key, x->value);
                x->key[0] = 'v';
                note_change(c, r->header->revision, true, x->key, x->value);
                note_unique(x, UNIQUE_WRITTEN, r->header->revision);
                finish(x, LINEAR_KNOWN, 0, NULL);
        }
        if (r)
                etcdserverpb__txn_response__free_unpacked(r, NULL);
}

static void start_unique(struct client *x) {
        struct chaos *c = x->chaos;
        size_t *count = &c->unique_count[x->number];
        char second[KEY_SIZE];
        Etcdserverpb__TxnRequest r = ETCDSERVERPB__TXN_REQUEST__INIT;
        Etcdserverpb__RequestOp ops[2], *v[] = {&ops[0], &ops[1]};
        Etcdserverpb__PutRequest puts[2];

        chaos_grow(&c->uniques[x->number], &c->uniques_allocated[x->number], *count,
                        sizeof(struct unique));
        c->uniques[x->number][*count] = (struct unique){.outcome = UNIQUE_UNKNOWN};
        snprintf(x->key, sizeof(x->key), "u/%u/%08zu", x->number, *count);
        snprintf(x->value, sizeof(x->value), "%zu", *count);
        snprintf(second, sizeof(second), "v/%u/%08zu", x->number, *count);
        (*count)++;
        for (unsigned i = 0; i < 2; i++) {
                etcdserverpb__put_request__init(&puts[i]);
                etcdserverpb__request_op__init(&ops[i]);
                puts[i].key = text_data(i == 0 ? x->key : second);
                puts[i].value = text_data(x->value);
                ops[i].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
                ops[i].request_put = &puts[i];
        }
        r.success = v;
        r.n_success = 2;
        start(x, "/etcdserverpb.KV/Txn", &r.base, unique_done);
}

/* The value that the client thinks may be there: of an operation on the key not long ago. */
static char *guess(struct client *x) {
        const struct linear_history *h = &x->chaos->history;

        for (size_t i = h->count, n = 0; i > 0 && n < 200; i--, n++) {
                const struct linear_op *op = &h->ops[i - 1];

                if (op->outcome != LINEAR_KNOWN || !streq(op->key, x->key))
                        continue;
                if (op->kind == LINEAR_READ)
                        return op->result ? strdup(op->result) : NULL;
                if (op->kind == LINEAR_DELETE)
                        return NULL;
                if (op->kind == LINEAR_WRITE || op->flags & LINEAR_SWAPPED)
                        return strdup(op->argument);
        }
        return NULL;
}

static void begin(struct client *x) {
        struct chaos *c = x->chaos;
        uint64_t what = dice_below(&x->dice, 100);
        unsigned k = (unsigned)dice_below(&x->dice, what < 75 ? REGISTERS : LISTS);
        /* Not all change to new keys at once. */
        uint64_t period = (chaos_now_us(c) + (uint64_t)k * PERIOD_US / REGISTERS) / PERIOD_US;
        ssize_t n;

        x->busy = true;
        x->tries = 0;
        c->ops_started++;
        x->unique = what >= 90;
        x->kind = what < 32   ? LINEAR_READ
                  : what < 52 ? LINEAR_WRITE
                  : what < 70 ? LINEAR_CAS
                  : what < 75 ? LINEAR_DELETE
                  : what < 80 ? LINEAR_READ
                              : LINEAR_APPEND;
        if (x->unique) {
                start_unique(x);
                return;
        }
        snprintf(x->key, sizeof(x->key), "%c/%04llu/%u", what < 75 ? 'r' : 'l',
                        (unsigned long long)period, k);
        snprintf(x->value, sizeof(x->value), "%u.%llu", x->number, (unsigned long long)++x->words);
        if (x->kind == LINEAR_CAS)
                x->expected = guess(x);
        n = linear_begin(&c->history, x->number, x->kind, x->key,
                        x->kind == LINEAR_READ || x->kind == LINEAR_DELETE ? NULL : x->value,
                        x->expected, chaos_now_ns());
        assert(n >= 0);
        x->number_in_history = (size_t)n;
        if (x->kind == LINEAR_READ)
                start_read(x, read_done);
        else if (x->kind == LINEAR_WRITE)
                start_write(x);
        else if (x->kind == LINEAR_CAS)
                start_cas(x);
        else if (x->kind == LINEAR_DELETE)
                start_delete(x);
        else
                start_read(x, append_read);
}

static int on_client_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct client *x = userdata;

        if (x->busy || !x->chaos->loading)
                return 0;
        if (choose_member(x))
                begin(x);
        else
                client_next(x, NEXT_MEMBER_US);
        return 0;
}

static void client_next(struct client *x, uint64_t us) {
        (void)sd_event_source_set_time_relative(x->timer, us);
        (void)sd_event_source_set_enabled(x->timer, SD_EVENT_ONESHOT);
}

int load_start(struct chaos *c) {
        c->clients = calloc(c->options.clients, sizeof(*c->clients));
        if (!c->clients)
                return -ENOMEM;
        c->loading = true;
        for (unsigned i = 0; i < c->options.clients; i++) {
                struct client *x = &c->clients[i];
                int r;

                *x = (struct client){.chaos = c, .number = i, .member = i, .dice = {random_u64()}};
                r = sd_event_add_time_relative(c->event, &x->timer, CLOCK_MONOTONIC,
                                dice_below(&x->dice, THINK_MAX_US), 100, on_client_timer, x);
                if (r < 0)
                        return r;
        }
        return 0;
}

void load_stop(struct chaos *c) {
        c->loading = false;
}

bool load_is_idle(const struct chaos *c) {
        for (unsigned i = 0; c->clients && i < c->options.clients; i++)
                if (c->clients[i].busy)
                        return false;
        return true;
}

void load_done(struct chaos *c) {
        for (unsigned i = 0; c->clients && i < c->options.clients; i++)
                sd_event_source_disable_unref(c->clients[i].timer);
        free(c->clients);
        for (unsigned i = 0; i < CLIENTS_MAX; i++)
                free(c->uniques[i]);
        free(c->changes);
        linear_history_done(&c->history);
}

static int compare_keys(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

bool load_read_all(struct chaos *c) {
        size_t count = c->history.count;
        _cleanup_free_ char **keys = calloc(count + 1, sizeof(*keys));
        unsigned m = 0;

        assert(keys);
        for (size_t i = 0; i < count; i++)
                keys[i] = c->history.ops[i].key;
        qsort(keys, count, sizeof(*keys), compare_keys);
        for (size_t i = 0; i < count; i++) {
                Etcdserverpb__RangeRequest r = ETCDSERVERPB__RANGE_REQUEST__INIT;
                Etcdserverpb__RangeResponse *answer = NULL;
                _cleanup_free_ char *value = NULL;
                _cleanup_free_ void *data = NULL;
                size_t size = 0;
                ssize_t n;

                if (i > 0 && streq(keys[i], keys[i - 1]))
                        continue;
                r.key = text_data(keys[i]);
                do
                        m = (m + 1) % c->slot_count;
                while (!member_in_cluster(c, m));
                n = linear_begin(&c->history, CLIENTS_MAX, LINEAR_READ, keys[i], NULL, NULL,
                                chaos_now_ns());
                assert(n >= 0);
                if (rpc_wait(&c->slots[m].control, "/etcdserverpb.KV/Range", &r.base, 5000000,
                                    &data, &size) == GRPC_OK)
                        answer = etcdserverpb__range_response__unpack(NULL, size, data);
                if (!answer) {
                        chaos_fail(c, "%s of %s can not be read at the end", keys[i],
                                        c->slots[m].name);
                        return false;
                }
                value = range_value(answer, NULL);
                etcdserverpb__range_response__free_unpacked(answer, NULL);
                if (linear_end(&c->history, (size_t)n, LINEAR_KNOWN, 0, value, chaos_now_ns()) < 0)
                        chaos_fail(c, "out of memory");
        }
        return true;
}
