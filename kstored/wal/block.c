/* Encoding and checking of the write-ahead log's bytes. All numbers are little-endian. A checksum
 * covers all behind it up to the end of what is meant; padding counts for nothing. */
#include "kstored/wal/block.h"

#include <endian.h>

#include "kstored/disk/checksum.h"

#define HEAD_MAGIC UINT64_C(0x31676f6c736b2e6b)  /* "k.kslog1" */
#define MARK_MAGIC UINT64_C(0x316b72616d2e736b)  /* "ks.mark1" */
#define BLOCK_MAGIC UINT64_C(0x6b636f6c622e736b) /* "ks.block" */

/* Words of eight bytes. */
enum { SUM_SIZE = 8, HEAD_WORDS = 12, MARK_WORDS = 5, BLOCK_WORDS = 6, RECORD_WORDS = 4 };
enum { BLOCK_HEADER_SIZE = BLOCK_WORDS * 8, RECORD_HEADER_SIZE = RECORD_WORDS * 8 };

static void put_words(uint8_t *to, const uint64_t *v, size_t n) {
        for (size_t i = 0; i < n; i++) {
                uint64_t x = htole64(v[i]);

                memcpy(to + i * sizeof(x), &x, sizeof(x));
        }
}

static void get_words(const uint8_t *from, uint64_t *v, size_t n) {
        for (size_t i = 0; i < n; i++) {
                memcpy(&v[i], from + i * sizeof(v[0]), sizeof(v[0]));
                v[i] = le64toh(v[i]);
        }
}

static void put_page(uint8_t *page, uint64_t *words, size_t n) {
        memset(page, 0, WAL_PAGE);
        put_words(page, words, n);
        words[0] = checksum(page + SUM_SIZE, (n - 1) * 8, 0);
        put_words(page, words, 1);
}

static bool get_page(const uint8_t *page, uint64_t magic, uint64_t *words, size_t n) {
        get_words(page, words, n);
        return words[1] == magic && checksum(page + SUM_SIZE, (n - 1) * 8, 0) == words[0];
}

void wal_head_encode(const struct wal_head *h, uint8_t page[static WAL_PAGE]) {
        uint64_t words[HEAD_WORDS] = {0, HEAD_MAGIC, WAL_FORMAT, h->salt, h->number, h->before,
                        h->synced, h->member_id, h->term, h->vote, h->base_index, h->base_term};

        put_page(page, words, HEAD_WORDS);
}

bool wal_head_decode(const uint8_t page[static WAL_PAGE], struct wal_head *ret) {
        uint64_t w[HEAD_WORDS];

        if (!get_page(page, HEAD_MAGIC, w, HEAD_WORDS) || w[2] != WAL_FORMAT)
                return false;
        *ret = (struct wal_head){.salt = w[3],
                        .number = w[4],
                        .before = w[5],
                        .synced = w[6],
                        .member_id = w[7],
                        .term = w[8],
                        .vote = w[9],
                        .base_index = w[10],
                        .base_term = w[11]};
        return true;
}

uint64_t wal_head_newer(const uint8_t page[static WAL_PAGE]) {
        uint64_t w[HEAD_WORDS];

        return get_page(page, HEAD_MAGIC, w, HEAD_WORDS) && w[2] > WAL_FORMAT ? w[2] : 0;
}

void wal_mark_encode(const struct wal_mark *m, uint8_t page[static WAL_PAGE]) {
        uint64_t words[MARK_WORDS] = {0, MARK_MAGIC, m->member_id, m->number, m->sum};

        put_page(page, words, MARK_WORDS);
}

bool wal_mark_decode(const uint8_t page[static WAL_PAGE], struct wal_mark *ret) {
        uint64_t w[MARK_WORDS];

        if (!get_page(page, MARK_MAGIC, w, MARK_WORDS))
                return false;
        *ret = (struct wal_mark){.member_id = w[2], .number = w[3], .sum = w[4]};
        return true;
}

void wal_block_begin(struct buf *b) {
        static const uint8_t header[BLOCK_HEADER_SIZE];

        (void)buf_append(b, header, sizeof(header));
}

static void add_record(struct buf *b, enum wal_record_kind kind, uint32_t type, uint64_t a_value,
                uint64_t b_value, const void *data, size_t n) {
        static const uint8_t padding[8];
        uint8_t header[RECORD_HEADER_SIZE];

        put_words(header,
                        (const uint64_t[]){
                                        (uint64_t)type << 32 | (uint64_t)kind, a_value, b_value, n},
                        RECORD_WORDS);
        (void)buf_append(b, header, sizeof(header));
        if (n > 0)
                (void)buf_append(b, data, n);
        if (n % 8 != 0)
                (void)buf_append(b, padding, 8 - n % 8);
}

void wal_block_add(struct buf *b, enum wal_record_kind kind, uint64_t a_value, uint64_t b_value) {
        add_record(b, kind, 0, a_value, b_value, NULL, 0);
}

void wal_block_add_entry(struct buf *b, const struct raft_entry *e) {
        add_record(b, WAL_ENTRY, e->type, e->index, e->term, e->data, e->size);
}

static size_t whole_pages(size_t n) {
        return (n + WAL_PAGE - 1) / WAL_PAGE * WAL_PAGE;
}

int wal_block_end(struct buf *b, size_t from, uint64_t salt, struct wal_block *x) {
        static const uint8_t zeros[WAL_PAGE];
        size_t size = b->size - from, padding = whole_pages(size) - size;
        uint8_t *block;
        uint64_t sum;

        if (padding > 0)
                (void)buf_append(b, zeros, padding);
        if (b->failed)
                return -ENOMEM;
        assert(size >= BLOCK_HEADER_SIZE && (b->size - from) % WAL_PAGE == 0);
        if (size - BLOCK_HEADER_SIZE > WAL_PAYLOAD_MAX)
                return -EFBIG;
        block = (uint8_t *)b->data + from;
        put_words(block,
                        (const uint64_t[]){0, BLOCK_MAGIC, size - BLOCK_HEADER_SIZE, x->number,
                                        x->before, x->synced},
                        BLOCK_WORDS);
        sum = checksum(block + SUM_SIZE, size - SUM_SIZE, salt);
        put_words(block, &sum, 1);
        x->sum = sum;
        x->payload = block + BLOCK_HEADER_SIZE;
        x->size = size - BLOCK_HEADER_SIZE;
        x->pages_size = size + padding;
        return 0;
}

bool wal_block_read(const uint8_t *data, size_t n, uint64_t salt, struct wal_block *ret) {
        uint64_t w[BLOCK_WORDS];

        if (n < BLOCK_HEADER_SIZE)
                return false;
        get_words(data, w, BLOCK_WORDS);
        if (w[1] != BLOCK_MAGIC || w[2] > WAL_PAYLOAD_MAX || w[2] > n - BLOCK_HEADER_SIZE ||
                        checksum(data + SUM_SIZE, BLOCK_HEADER_SIZE - SUM_SIZE + w[2], salt) !=
                                        w[0])
                return false;
        *ret = (struct wal_block){.sum = w[0],
                        .number = w[3],
                        .before = w[4],
                        .synced = w[5],
                        .payload = data + BLOCK_HEADER_SIZE,
                        .size = w[2],
                        .pages_size = whole_pages(BLOCK_HEADER_SIZE + w[2])};
        return true;
}

int wal_record_next(const struct wal_block *b, size_t *at, struct wal_record *ret) {
        size_t left = b->size - *at;
        uint64_t w[RECORD_WORDS];

        assert(*at <= b->size);
        if (left == 0)
                return 0;
        if (left < RECORD_HEADER_SIZE)
                return -EBADMSG;
        get_words(b->payload + *at, w, RECORD_WORDS);
        left -= RECORD_HEADER_SIZE;
        if (w[3] > left || (w[3] + 7) / 8 * 8 > left)
                return -EBADMSG;
        *ret = (struct wal_record){.kind = (enum wal_record_kind)(w[0] & UINT32_MAX),
                        .type = (uint32_t)(w[0] >> 32),
                        .a = w[1],
                        .b = w[2],
                        .data = b->payload + *at + RECORD_HEADER_SIZE,
                        .size = w[3]};
        *at += RECORD_HEADER_SIZE + (w[3] + 7) / 8 * 8;
        return 1;
}
