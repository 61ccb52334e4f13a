/* Of nettle's public functions. Two are made from others:
 *   HSalsa20 is Salsa20's block without the addition of its input, which is known here.
 *   Poly1305 with a one-time key (r, s) is Poly1305-AES with r, in which the encrypted nonce stands
 *   for s: with a constant AES key and nonce that is a constant, which is taken away again.
 * The stream's first 32 bytes are the key of Poly1305, the data is encrypted with the rest. */
#include "lib/secretbox.h"

#include <nettle/aes.h>
#include <nettle/memops.h>
#include <nettle/poly1305.h>
#include <nettle/salsa20.h>

#include "lib/random.h"

enum { BLOCK = SALSA20_BLOCK_SIZE, ONE_TIME_KEY = 32 };

static uint32_t word_of(const uint8_t *p) {
        return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put_word(uint8_t *p, uint32_t w) {
        for (size_t i = 0; i < 4; i++)
                p[i] = (uint8_t)(w >> 8 * i);
}

/* ret: 32 bytes from the key and the first 16 of the nonce. */
static void hsalsa20(const uint8_t *key, const uint8_t *nonce, uint8_t *ret) {
        static const size_t outputs[] = {0, 5, 10, 15, 6, 7, 8, 9};
        uint8_t block[BLOCK] = {0};
        struct salsa20_ctx ctx;

        salsa20_256_set_key(&ctx, key);
        for (size_t i = 0; i < 4; i++)
                ctx.input[6 + i] = word_of(nonce + 4 * i);
        uint32_t input[8];
        for (size_t i = 0; i < ELEMENTS(outputs); i++)
                input[i] = ctx.input[outputs[i]];
        salsa20_crypt(&ctx, BLOCK, block, block);
        for (size_t i = 0; i < ELEMENTS(outputs); i++)
                put_word(ret + 4 * i, word_of(block + 4 * outputs[i]) - input[i]);
        explicit_bzero(&ctx, sizeof(ctx));
        explicit_bzero(block, sizeof(block));
        explicit_bzero(input, sizeof(input));
}

/* Little-endian numbers of 16 bytes: a += b, or a -= b. */
static void add(uint8_t *a, const uint8_t *b) {
        unsigned carry = 0;

        for (size_t i = 0; i < SECRETBOX_TAG_SIZE; i++) {
                carry += (unsigned)a[i] + b[i];
                a[i] = (uint8_t)carry;
                carry >>= 8;
        }
}

static void subtract(uint8_t *a, const uint8_t *b) {
        unsigned borrow = 0;

        for (size_t i = 0; i < SECRETBOX_TAG_SIZE; i++) {
                unsigned d = (unsigned)a[i] - b[i] - borrow;

                a[i] = (uint8_t)d;
                borrow = d >> 8 & 1;
        }
}

static void poly1305(const uint8_t key[static ONE_TIME_KEY], const uint8_t *data, size_t n,
                uint8_t ret[static SECRETBOX_TAG_SIZE]) {
        uint8_t aes_and_r[POLY1305_AES_KEY_SIZE] = {0}, pad[AES_BLOCK_SIZE] = {0};
        struct poly1305_aes_ctx ctx;
        struct aes128_ctx aes;

        memcpy(aes_and_r + AES128_KEY_SIZE, key, 16);
        aes128_set_encrypt_key(&aes, aes_and_r);
        aes128_encrypt(&aes, sizeof(pad), pad, pad);
        poly1305_aes_set_key(&ctx, aes_and_r);
        poly1305_aes_set_nonce(&ctx, (const uint8_t[POLY1305_AES_NONCE_SIZE]){0});
        poly1305_aes_update(&ctx, n, data);
        poly1305_aes_digest(&ctx, SECRETBOX_TAG_SIZE, ret);
        subtract(ret, pad);
        add(ret, key + 16);
        explicit_bzero(&ctx, sizeof(ctx));
        explicit_bzero(aes_and_r, sizeof(aes_and_r));
}

/* The stream behind its first 32 bytes, over data; those are the one-time key. */
struct stream {
        struct salsa20_ctx ctx;
        uint8_t first[BLOCK];
};

static void stream_begin(struct stream *s, const uint8_t *key, const uint8_t *nonce) {
        uint8_t subkey[SECRETBOX_KEY_SIZE];

        hsalsa20(key, nonce, subkey);
        salsa20_256_set_key(&s->ctx, subkey);
        salsa20_set_nonce(&s->ctx, nonce + 16);
        memset(s->first, 0, sizeof(s->first));
        salsa20_crypt(&s->ctx, BLOCK, s->first, s->first);
        explicit_bzero(subkey, sizeof(subkey));
}

static void stream_run(struct stream *s, const uint8_t *in, size_t n, uint8_t *out) {
        size_t head = MIN(n, (size_t)(BLOCK - ONE_TIME_KEY));

        for (size_t i = 0; i < head; i++)
                out[i] = in[i] ^ s->first[ONE_TIME_KEY + i];
        if (n > head)
                salsa20_crypt(&s->ctx, n - head, out + head, in + head);
}

void secretbox_seal(const uint8_t key[static SECRETBOX_KEY_SIZE], const void *data, size_t n,
                void *ret) {
        uint8_t *nonce = ret, *tag = nonce + SECRETBOX_NONCE_SIZE, *out = tag + SECRETBOX_TAG_SIZE;
        struct stream s;

        random_bytes(nonce, SECRETBOX_NONCE_SIZE);
        stream_begin(&s, key, nonce);
        stream_run(&s, data, n, out);
        poly1305(s.first, out, n, tag);
        explicit_bzero(&s, sizeof(s));
}

int secretbox_open(const uint8_t key[static SECRETBOX_KEY_SIZE], const void *sealed, size_t n,
                void *ret) {
        const uint8_t *nonce = sealed, *tag = nonce + SECRETBOX_NONCE_SIZE,
                      *in = tag + SECRETBOX_TAG_SIZE;
        uint8_t wanted[SECRETBOX_TAG_SIZE];
        struct stream s;
        bool equal;

        if (n < SECRETBOX_NONCE_SIZE + SECRETBOX_TAG_SIZE)
                return -EBADMSG;
        n -= SECRETBOX_NONCE_SIZE + SECRETBOX_TAG_SIZE;
        stream_begin(&s, key, nonce);
        poly1305(s.first, in, n, wanted);
        equal = memeql_sec(wanted, tag, sizeof(wanted));
        if (equal)
                stream_run(&s, in, n, ret);
        explicit_bzero(&s, sizeof(s));
        return equal ? 0 : -EBADMSG;
}
