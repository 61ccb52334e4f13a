/* What a TLS client offers, found in its first bytes; the budget of frames; compressed bodies. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <zlib.h>

#include "lib/h2-calm.h"
#include "lib/http-gzip.h"
#include "lib/tls-hello.h"
#include "lib/tls.h"

/* The bytes that GnuTLS sends first. */
static size_t hello_of(const char *alpn, uint8_t *out, size_t room) {
        _cleanup_(tls_context_freep) struct tls_context *context = NULL;
        struct tls_stream *stream = NULL;
        bool want_write;
        int pair[2];
        ssize_t n;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        assert_int_equal(tls_context_new_unchecked(&context), 0);
        assert_int_equal(tls_stream_new(&stream, context, pair[0], "localhost", alpn), 0);
        assert_int_equal(tls_stream_handshake(stream, &want_write), -EAGAIN);
        n = recv(pair[1], out, room, 0);
        assert_true(n > 100);
        tls_stream_free(stream);
        close(pair[0]);
        close(pair[1]);
        return (size_t)n;
}

static void finds_the_offer(void **state) {
        uint8_t hello[TLS_HELLO_SIZE_MAX];
        size_t n = hello_of("h2,http/1.1", hello, sizeof(hello));

        assert_int_equal(tls_hello_offers(hello, n, "h2"), 1);
        assert_int_equal(tls_hello_offers(hello, n, "http/1.1"), 1);
        assert_int_equal(tls_hello_offers(hello, n, "h"), 0);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(tls_hello_offers(hello, i, "h2"), -EAGAIN);
        n = hello_of("http/1.1", hello, sizeof(hello));
        assert_int_equal(tls_hello_offers(hello, n, "h2"), 0);
        n = hello_of(NULL, hello, sizeof(hello));
        assert_int_equal(tls_hello_offers(hello, n, "h2"), 0);
}

/* A message may come in many records. */
static void joins_records(void **state) {
        uint8_t hello[TLS_HELLO_SIZE_MAX], cut[6 * TLS_HELLO_SIZE_MAX];
        size_t n = hello_of("http/1.1,h2", hello, sizeof(hello)), size = 0;

        for (size_t i = 5; i < n; i += 7) {
                size_t part = MIN((size_t)7, n - i);
                const uint8_t head[5] = {22, 3, 1, 0, (uint8_t)part};

                memcpy(cut + size, head, sizeof(head));
                memcpy(cut + size + sizeof(head), hello + i, part);
                size += sizeof(head) + part;
        }
        assert_int_equal(tls_hello_offers(cut, size, "h2"), 1);
        for (size_t i = 0; i < size; i++)
                assert_int_equal(tls_hello_offers(cut, i, "h2"), -EAGAIN);
}

static void leaves_others_alone(void **state) {
        static const char http[] = "GET / HTTP/1.1\r\n\r\n";
        uint8_t bytes[64] = {22, 3, 1, 0xff, 0xff, 1, 0xff, 0xff, 0xff};

        assert_int_equal(tls_hello_offers(http, sizeof(http) - 1, "h2"), 0);
        assert_int_equal(tls_hello_offers(http, 1, "h2"), 0);
        assert_int_equal(tls_hello_offers("", 0, "h2"), -EAGAIN);
        assert_int_equal(tls_hello_offers(bytes, sizeof(bytes), "h2"), 0); /* too large */
        bytes[3] = 0;
        bytes[4] = 0;
        assert_int_equal(tls_hello_offers(bytes, sizeof(bytes), "h2"), 0); /* an empty record */
        bytes[4] = 4;
        bytes[5] = 2; /* a ServerHello */
        assert_int_equal(tls_hello_offers(bytes, sizeof(bytes), "h2"), 0);
}

/* Damaged lengths never lead outside: for the sanitizers. */
static void survives_damage(void **state) {
        uint8_t hello[TLS_HELLO_SIZE_MAX], *damaged;
        size_t n = hello_of("h2", hello, sizeof(hello));

        for (size_t i = 0; i < n; i++)
                for (unsigned v = 0; v < 256; v += 51) {
                        damaged = malloc(n);
                        assert_non_null(damaged);
                        memcpy(damaged, hello, n);
                        damaged[i] = (uint8_t)v;
                        int r = tls_hello_offers(damaged, n, "h2");
                        assert_true(r == 0 || r == 1 || r == -EAGAIN);
                        free(damaged);
                }
}

static void knows_idle_frames(void **state) {
        static const struct {
                uint8_t type, flags;
                size_t length;
                bool costs;
        } cases[] = {{0, 0, 5, false}, {0, 0, 0, true}, {0, 1, 0, false}, {1, 4, 20, false},
                        {2, 0, 5, true}, {3, 0, 4, true}, {4, 0, 0, true}, {4, 1, 0, false},
                        {6, 0, 8, true}, {7, 0, 8, false}, {8, 0, 4, false}, {9, 4, 1, true}};

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_int_equal(h2_calm_costs(cases[i].type, cases[i].flags, cases[i].length),
                                cases[i].costs);
}

static unsigned spend_all(uint64_t *whole_us, uint64_t now_us) {
        unsigned n = 0;

        while (n < 1000 && h2_calm_spend(whole_us, now_us, 100, 50))
                n++;
        return n;
}

static void spends_a_budget(void **state) {
        const uint64_t start = 1000000;
        uint64_t whole = 0;

        assert_int_equal(spend_all(&whole, start), 50);
        assert_int_equal(spend_all(&whole, start), 0);
        assert_int_equal(spend_all(&whole, start + 100000), 10);
        assert_int_equal(spend_all(&whole, start + 100001), 0);
        assert_int_equal(spend_all(&whole, start + 100000000), 50); /* it does not add up */
        assert_true(h2_calm_spend(&whole, start, 0, 0)); /* unbounded */
}

static void reads_accept_encoding(void **state) {
        static const char *const good[] = {
                        "gzip", "deflate, gzip", "gzip;q=0.5", "br , gzip ; q=1", "gzip, x"},
                          *const bad[] = {NULL, "", "identity", "gzipped", "x-gzip", "gzip;q=0",
                                          "gzip; q=0.000, br", "deflate"};

        for (size_t i = 0; i < ELEMENTS(good); i++)
                assert_true(http_accepts_gzip(good[i]));
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_false(http_accepts_gzip(bad[i]));
}

/* Whatever the sizes of the reads, the bytes come back. */
static void compresses(void **state) {
        enum { PIECES = 40, SIZE = 5000 };
        struct bytes *pieces[PIECES];
        _cleanup_buf_ struct buf packed = {0}, wanted = {0};
        _cleanup_(http_gzip_freep) struct http_gzip *g = NULL;
        static uint8_t out[PIECES * SIZE + 1];
        z_stream z = {0};
        ssize_t n;

        for (size_t i = 0; i < PIECES; i++) {
                char text[SIZE];

                memset(text, (char)('a' + i % 26), sizeof(text));
                pieces[i] = bytes_new(text, i % 7 == 3 ? 0 : sizeof(text) - i);
                assert_int_equal(buf_append(&wanted, pieces[i]->data, pieces[i]->size), 0);
        }
        assert_int_equal(http_gzip_new(&g, pieces, PIECES), 0);
        for (size_t i = 0; i < PIECES; i++)
                bytes_unref(pieces[i]);
        for (;;) {
                char block[37];

                n = http_gzip_read(g, block, sizeof(block));
                assert_true(n >= 0);
                if (n == 0)
                        break;
                assert_int_equal(buf_append(&packed, block, (size_t)n), 0);
        }
        assert_true(packed.size < wanted.size / 10);
        assert_int_equal(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
        z.next_in = (Bytef *)packed.data;
        z.avail_in = (uInt)packed.size;
        z.next_out = out;
        z.avail_out = sizeof(out);
        assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
        assert_int_equal(z.total_out, wanted.size);
        assert_memory_equal(out, wanted.data, wanted.size);
        inflateEnd(&z);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(finds_the_offer),
                        cmocka_unit_test(joins_records),
                        cmocka_unit_test(leaves_others_alone),
                        cmocka_unit_test(survives_damage),
                        cmocka_unit_test(knows_idle_frames),
                        cmocka_unit_test(spends_a_budget),
                        cmocka_unit_test(reads_accept_encoding),
                        cmocka_unit_test(compresses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
