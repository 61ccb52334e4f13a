/* What members say to each other, as bytes: every kind of message comes back as it went; bytes that
 * are cut, too many or without sense are refused and nothing is left behind. */
#include "kstored/replica/peer-wire.h"
#include "lib/buf.h"
#include "tests/unit/unit.h"

/* The bytes of an envelope, as a stream carries them. */
static struct buf envelope_of(const struct raft_message *m) {
        struct peer_hello hello = {.cluster_id = 7, .from = 1, .to = 2, .config_index = 1 << 20};
        struct buf b = {0};

        peer_wire_hello(&b, 1, &hello);
        if (m)
                peer_wire_message(&b, 2, m);
        assert_false(b.failed);
        return b;
}

static Keelsonpeer__Envelope *unpack(const struct buf *b, size_t n) {
        return keelsonpeer__envelope__unpack(NULL, n, (const uint8_t *)b->data);
}

static void assert_same(const struct raft_message *a, const struct raft_message *b) {
        assert_int_equal(a->type, b->type);
        assert_true(a->to == b->to && a->from == b->from && a->term == b->term);
        assert_true(a->log_index == b->log_index && a->log_term == b->log_term);
        assert_true(a->commit == b->commit && a->context == b->context);
        assert_true(a->hint_index == b->hint_index && a->hint_term == b->hint_term);
        assert_int_equal(a->reject, b->reject);
        assert_int_equal(a->entry_count, b->entry_count);
        for (size_t i = 0; i < a->entry_count; i++) {
                assert_true(a->entries[i]->index == b->entries[i]->index);
                assert_true(a->entries[i]->term == b->entries[i]->term);
                assert_int_equal(a->entries[i]->type, b->entries[i]->type);
                assert_int_equal(a->entries[i]->size, b->entries[i]->size);
                assert_memory_equal(a->entries[i]->data, b->entries[i]->data, a->entries[i]->size);
        }
}

static void round_trip(const struct raft_message *m) {
        struct buf b = envelope_of(m);
        Keelsonpeer__Envelope *e = unpack(&b, b.size);
        struct raft_message back;

        assert_non_null(e);
        assert_int_equal(e->n_messages, 1);
        assert_int_equal(peer_message_read(e->messages[0], &back), 0);
        assert_same(m, &back);
        peer_message_done(&back);
        assert_int_equal(back.entry_count, 0);
        assert_null(back.entries);
        keelsonpeer__envelope__free_unpacked(e, NULL);
        buf_done(&b);
}

static void test_hello(void **state) {
        struct buf b = envelope_of(NULL);
        Keelsonpeer__Envelope *e = unpack(&b, b.size);

        assert_non_null(e);
        assert_non_null(e->hello);
        assert_true(e->hello->cluster_id == 7 && e->hello->from == 1 && e->hello->to == 2);
        assert_int_equal(e->hello->protocol, PEER_PROTOCOL);
        assert_true(e->hello->config_index == 1 << 20);
        keelsonpeer__envelope__free_unpacked(e, NULL);
        buf_done(&b);
}

/* No field has the number of another, and none is lost at its ends. */
static void test_every_type_comes_back(void **state) {
        char big[70000];
        struct raft_entry *entries[] = {
                        raft_entry_new(9, 3, RAFT_ENTRY_NORMAL, NULL, 0),
                        raft_entry_new(10, 4, RAFT_ENTRY_CONFIG, "\1\2\3", 3),
                        raft_entry_new(UINT64_MAX, UINT64_MAX, RAFT_ENTRY_NORMAL, big, sizeof(big)),
        };

        memset(big, 'x', sizeof(big));
        memset(entries[2]->data, 'x', sizeof(big));
        for (unsigned type = RAFT_MSG_PRE_VOTE; type <= RAFT_MSG_SNAPSHOT_STATUS; type++) {
                struct raft_message m = {.type = type};

                round_trip(&m);
                m = (struct raft_message){.type = type,
                                .to = 2,
                                .from = 3,
                                .term = 4,
                                .log_index = 127,
                                .log_term = 128,
                                .commit = 16383,
                                .hint_index = 16384,
                                .hint_term = UINT32_MAX,
                                .context = 1ULL << 63,
                                .reject = true};
                round_trip(&m);
                m = (struct raft_message){.type = type,
                                .to = UINT64_MAX,
                                .from = UINT64_MAX - 1,
                                .term = UINT64_MAX - 2,
                                .log_index = UINT64_MAX - 3,
                                .log_term = UINT64_MAX - 4,
                                .commit = UINT64_MAX - 5,
                                .hint_index = UINT64_MAX - 6,
                                .hint_term = UINT64_MAX - 7,
                                .context = UINT64_MAX - 8,
                                .entries = entries,
                                .entry_count = ELEMENTS(entries)};
                round_trip(&m);
        }
        for (size_t i = 0; i < ELEMENTS(entries); i++)
                raft_entry_unref(entries[i]);
}

/* The entries of the message are its own: the bytes it came from may go. */
static void test_entries_outlive_the_bytes(void **state) {
        struct raft_entry *entry = raft_entry_new(1, 1, RAFT_ENTRY_NORMAL, "data", 4);
        struct raft_message m = {.type = RAFT_MSG_APPEND, .entries = &entry, .entry_count = 1};
        struct buf b = envelope_of(&m);
        Keelsonpeer__Envelope *e = unpack(&b, b.size);
        struct raft_message back;

        assert_int_equal(peer_message_read(e->messages[0], &back), 0);
        memset(e->messages[0]->entries[0]->data.data, 0, 4);
        keelsonpeer__envelope__free_unpacked(e, NULL);
        buf_done(&b);
        assert_memory_equal(back.entries[0]->data, "data", 4);
        peer_message_done(&back);
        raft_entry_unref(entry);
}

/* Cut anywhere, the bytes are either refused or, where the cut falls between two messages, hold
 * those before it: never part of one. */
static void test_cut_bytes(void **state) {
        struct raft_entry *entry = raft_entry_new(5, 2, RAFT_ENTRY_NORMAL, "some data", 9);
        struct raft_message m = {.type = RAFT_MSG_APPEND,
                        .to = 2,
                        .from = 1,
                        .term = 300,
                        .entries = &entry,
                        .entry_count = 1};
        struct buf b = envelope_of(NULL);
        size_t ends[4] = {0, b.size}, found = 0;

        peer_wire_message(&b, 2, &m);
        ends[2] = b.size;
        peer_wire_message(&b, 2, &m);
        ends[3] = b.size;
        for (size_t n = 0; n <= b.size; n++) {
                Keelsonpeer__Envelope *e = unpack(&b, n);

                if (n == ends[found]) {
                        assert_non_null(e);
                        assert_int_equal(e->n_messages, found > 0 ? found - 1 : 0);
                        for (size_t i = 0; i < e->n_messages; i++) {
                                struct raft_message back;

                                assert_int_equal(peer_message_read(e->messages[i], &back), 0);
                                assert_same(&m, &back);
                                peer_message_done(&back);
                        }
                        found++;
                } else
                        assert_null(e);
                if (e)
                        keelsonpeer__envelope__free_unpacked(e, NULL);
        }
        assert_int_equal(found, ELEMENTS(ends));
        buf_done(&b);
        raft_entry_unref(entry);
}

/* A length that promises more than follows, or more than there is memory. */
static void test_lengths_that_lie(void **state) {
        static const char *const lies[] = {"\x12\x7f\x08\x05", "\x12\xff\xff\xff\xff\x0f\x08\x05",
                        "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x08",
                        "\x12\x04\x62\x02\x22\x7f"};
        static const size_t sizes[] = {4, 8, 12, 6};

        for (size_t i = 0; i < ELEMENTS(lies); i++)
                assert_null(keelsonpeer__envelope__unpack(
                                NULL, sizes[i], (const uint8_t *)lies[i]));
}

static int read_one(Keelsonpeer__Message *w) {
        struct raft_message m = {.commit = 12345};
        int r = peer_message_read(w, &m);

        if (r < 0)
                assert_int_equal(m.commit, 12345); /* untouched */
        else
                peer_message_done(&m);
        return r;
}

static void test_types_without_sense(void **state) {
        Keelsonpeer__Entry entries[3];
        Keelsonpeer__Entry *list[3];
        Keelsonpeer__Message w = KEELSONPEER__MESSAGE__INIT;

        for (size_t i = 0; i < ELEMENTS(entries); i++) {
                keelsonpeer__entry__init(&entries[i]);
                entries[i].index = i + 1;
                list[i] = &entries[i];
        }
        w.entries = list;
        assert_int_equal(read_one(&w), -EBADMSG); /* 0 */
        w.type = RAFT_MSG_SNAPSHOT_STATUS + 1;
        assert_int_equal(read_one(&w), -EBADMSG);
        w.type = UINT32_MAX;
        assert_int_equal(read_one(&w), -EBADMSG);
        w.type = RAFT_MSG_APPEND;
        w.n_entries = ELEMENTS(entries);
        assert_int_equal(read_one(&w), 0);
        entries[2].type = RAFT_ENTRY_CONFIG + 1; /* those before it are dropped again */
        assert_int_equal(read_one(&w), -EBADMSG);
        entries[2].type = RAFT_ENTRY_CONFIG;
        assert_int_equal(read_one(&w), 0);
}

/* A few bytes make an entry of many: more of them than anybody sends are not taken. */
static void test_too_many_entries(void **state) {
        static Keelsonpeer__Entry *list[RAFT_APPEND_ENTRIES_MAX + 1];
        Keelsonpeer__Entry entry = KEELSONPEER__ENTRY__INIT;
        Keelsonpeer__Message w = KEELSONPEER__MESSAGE__INIT;

        for (size_t i = 0; i < ELEMENTS(list); i++)
                list[i] = &entry;
        w.type = RAFT_MSG_APPEND;
        w.entries = list;
        w.n_entries = RAFT_APPEND_ENTRIES_MAX;
        assert_int_equal(read_one(&w), 0);
        w.n_entries = RAFT_APPEND_ENTRIES_MAX + 1;
        assert_int_equal(read_one(&w), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_hello),
                        cmocka_unit_test(test_every_type_comes_back),
                        cmocka_unit_test(test_entries_outlive_the_bytes),
                        cmocka_unit_test(test_cut_bytes),
                        cmocka_unit_test(test_lengths_that_lie),
                        cmocka_unit_test(test_types_without_sense),
                        cmocka_unit_test(test_too_many_entries),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
