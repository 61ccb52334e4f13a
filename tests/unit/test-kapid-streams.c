/* The protocols of exec, attach and port-forward without I/O: negotiation, WebSocket channels,
 * SPDY, the frames between kapid and a node; what clients send, and what they must not. */
#include "tests/unit/unit.h"

#include <zlib.h>

#include "kapid/streams/client.h"
#include "kapid/streams/exit-status.h"
#include "kapid/streams/spdy.h"
#include "lib/stream-frame.h"
#include "lib/websocket.h"

/* ---- negotiation ---- */

#define KEY "dGhlIHNhbXBsZSBub25jZQ==" /* of RFC 6455 section 1.3 */

static void test_negotiate(void **state) {
        static const struct {
                const char *connection, *upgrade, *version, *key, *websocket, *spdy;
                bool forward;
                int code; /* 0: chosen */
                enum stream_protocol protocol;
                const char *name;
        } cases[] = {
                        /* kubectl 1.30 and later; Python; kubectl 1.20. */
                        {"Upgrade", "websocket", "13", KEY, "v5.channel.k8s.io", "", false, 0,
                                        PROTOCOL_CHANNELS_V5, "v5.channel.k8s.io"},
                        {"upgrade", "WebSocket", "13", KEY, "v4.channel.k8s.io", "", false, 0,
                                        PROTOCOL_CHANNELS, "v4.channel.k8s.io"},
                        {"keep-alive, Upgrade", "websocket", "13", KEY, "x,v4.channel.k8s.io", "",
                                        false, 0, PROTOCOL_CHANNELS, "v4.channel.k8s.io"},
                        {"Upgrade", "SPDY/3.1", NULL, NULL, "",
                                        "v4.channel.k8s.io,v3.channel.k8s.io,channel.k8s.io", false,
                                        0, PROTOCOL_SPDY, "v4.channel.k8s.io"},
                        {"Upgrade", "SPDY/3.1", NULL, NULL, "", "portforward.k8s.io", true, 0,
                                        PROTOCOL_FORWARD_SPDY, "portforward.k8s.io"},
                        {"Upgrade", "websocket", "13", KEY, "SPDY/3.1+portforward.k8s.io", "", true,
                                        0, PROTOCOL_FORWARD_TUNNEL, "SPDY/3.1+portforward.k8s.io"},
                        {"Upgrade", "websocket", "13", KEY, "v4.channel.k8s.io", "", true, 0,
                                        PROTOCOL_FORWARD, "v4.channel.k8s.io"},
                        {"Upgrade", "websocket", "13", KEY, "v5.channel.k8s.io, v4.channel.k8s.io",
                                        "", true, 0, PROTOCOL_FORWARD_V5, "v5.channel.k8s.io"},
                        /* No upgrade at all, and what is half of one. */
                        {NULL, NULL, NULL, NULL, "", "", false, 400, 0, NULL},
                        {"close", "websocket", "13", KEY, "v4.channel.k8s.io", "", false, 400, 0,
                                        NULL},
                        {"Upgrade", "h2c", NULL, NULL, "", "", false, 400, 0, NULL},
                        {"Upgrade", "websocket", "8", KEY, "v4.channel.k8s.io", "", false, 400, 0,
                                        NULL},
                        {"Upgrade", "websocket", "13", "short", "v4.channel.k8s.io", "", false, 400,
                                        0, NULL},
                        {"Upgrade", "websocket", "13", KEY, "v3.channel.k8s.io", "", false, 403, 0,
                                        NULL},
                        {"Upgrade", "websocket", "13", KEY, "", "", false, 403, 0, NULL},
                        {"Upgrade", "SPDY/3.1", NULL, NULL, "", "v4.channel.k8s.iox", false, 403, 0,
                                        NULL},
                        {"Upgrade", "SPDY/3.1", NULL, NULL, "", "v4.channel.k8s.io", true, 403, 0,
                                        NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct stream_offer offer = {.connection = cases[i].connection,
                                .upgrade = cases[i].upgrade,
                                .websocket_version = cases[i].version,
                                .websocket_key = cases[i].key,
                                .websocket_protocols = cases[i].websocket,
                                .spdy_protocols = cases[i].spdy};
                _cleanup_problem_ struct problem p = {0};
                struct stream_choice choice = {0};
                int r = stream_negotiate(&offer, cases[i].forward, &choice, &p);

                assert_int_equal(p.code, cases[i].code);
                if (cases[i].code) {
                        assert_true(r < 0);
                        continue;
                }
                assert_int_equal(r, 0);
                assert_int_equal(choice.protocol, cases[i].protocol);
                assert_string_equal(choice.name, cases[i].name);
                assert_string_equal(choice.accept, stream_protocol_is_websocket(choice.protocol)
                                                                   ? "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
                                                                   : "");
        }
}

/* ---- frames between kapid and a node ---- */

static void test_frames(void **state) {
        _cleanup_buf_ struct buf b = {0};
        struct stream_frame f = {0};
        size_t used = 0;

        assert_int_equal(stream_frame_append(&b, STREAM_DATA, 0xabcdef, "hello", 5), 0);
        assert_int_equal(stream_frame_append_u32(&b, STREAM_EXIT, 0, 137), 0);
        for (size_t n = 0; n < STREAM_FRAME_HEAD + 5; n++)
                assert_int_equal(stream_frame_next(n ? b.data : "", n, &f, &used), 0);
        assert_int_equal(stream_frame_next(b.data, b.size, &f, &used), 1);
        assert_int_equal(f.type, STREAM_DATA);
        assert_int_equal(f.id, 0xabcdef);
        assert_int_equal(f.size, 5);
        assert_memory_equal(f.data, "hello", 5);
        assert_true(stream_frame_is_data(&f));
        assert_int_equal(stream_frame_next(b.data + used, b.size - used, &f, &used), 1);
        assert_int_equal(stream_frame_u32(&f), 137);
        assert_false(stream_frame_is_data(&f));
        /* An unknown type is refused at its first byte, a long payload at its length. */
        assert_int_equal(stream_frame_next("z", 1, &f, &used), -EBADMSG);
        assert_int_equal(stream_frame_next("o\0\0\0\0\1\0\1", 8, &f, &used), -EBADMSG);
        assert_int_equal(stream_frame_next("o\0\0\0\0\1\0\0", 8, &f, &used), 0);
        assert_int_equal(stream_frame_next("o\0\0\0\377\377\377\377", 8, &f, &used), -EBADMSG);
}

/* ---- what a client's side reports, as text ---- */

static struct buf seen;

static int see(const char *what, uint32_t id, const void *data, size_t n) {
        buf_printf(&seen, "%s", what);
        if (id)
                buf_printf(&seen, "%u", id);
        if (data)
                buf_printf(&seen, "=%.*s", (int)n, (const char *)data);
        buf_append_char(&seen, ' ');
        return 0;
}

static int on_stdin(const void *data, size_t n, void *userdata) {
        return see("in", 0, data, n);
}

static int on_stdin_end(void *userdata) {
        return see("in-end", 0, NULL, 0);
}

static int on_resize(uint16_t columns, uint16_t rows, void *userdata) {
        buf_printf(&seen, "size=%ux%u ", columns, rows);
        return 0;
}

static int on_open(uint32_t id, uint16_t port, void *userdata) {
        buf_printf(&seen, "open%u=%u ", id, port);
        return 0;
}

static int on_data(uint32_t id, const void *data, size_t n, void *userdata) {
        return see("data", id, data, n);
}

static int on_end(uint32_t id, void *userdata) {
        return see("end", id, NULL, 0);
}

static int on_reset(uint32_t id, void *userdata) {
        return see("reset", id, NULL, 0);
}

static const struct client_events events = {.on_stdin = on_stdin,
                .on_stdin_end = on_stdin_end,
                .on_resize = on_resize,
                .on_open = on_open,
                .on_data = on_data,
                .on_end = on_end,
                .on_reset = on_reset};

static struct stream_client *client_new(enum stream_protocol protocol, unsigned streams) {
        static const uint16_t ports[] = {80, 8080};
        const struct client_setup setup = {.protocol = protocol,
                        .streams = streams,
                        .ports = ports,
                        .port_count = ELEMENTS(ports)};
        struct stream_client *c = NULL;

        assert_int_equal(stream_client_new(&c, &setup, &events, NULL), 0);
        assert_int_equal(stream_client_begin(c), 0);
        return c;
}

/* All that was seen since the last call. */
static void expect_seen(const char *want) {
        assert_string_equal(strempty(seen.data), want);
        buf_done(&seen);
}

/* ---- WebSocket ---- */

/* A masked frame as a client sends it; the mask is 0, so that the payload is readable. */
static void frame(struct buf *b, uint8_t first, const void *payload, size_t n) {
        const uint8_t head[] = {
                        first, (uint8_t)(0x80 | (n < 126 ? n : 126)), n >> 8 & 0xff, n & 0xff};

        buf_append(b, head, n < 126 ? 2 : 4);
        buf_append(b, "\0\0\0\0", 4);
        buf_append(b, payload, n);
}

static void feed_ok(struct stream_client *c, struct buf *b, size_t piece) {
        for (size_t at = 0; at < b->size; at += MIN(piece, b->size - at))
                assert_int_equal(stream_client_feed(c, b->data + at, MIN(piece, b->size - at)), 0);
        buf_reset(b);
}

static void test_channels(void **state) {
        static const size_t pieces[] = {1, 3, 4096};

        for (size_t i = 0; i < ELEMENTS(pieces); i++) {
                _cleanup_(stream_client_freep) struct stream_client *c = client_new(
                                PROTOCOL_CHANNELS_V5, CLIENT_STDIN | CLIENT_STDOUT | CLIENT_TTY);
                _cleanup_buf_ struct buf b = {0};

                /* The empty message that says that the connection is there. */
                assert_int_equal(stream_client_output(c)->size, 3);
                assert_memory_equal(stream_client_output(c)->data, "\x82\x01\x01", 3);
                buf_reset(stream_client_output(c));
                frame(&b, 0x82, "\4{\"Width\":80,\"Height\":24}", 25);
                frame(&b, 0x82, "\0", 1); /* an empty piece of stdin is nothing */
                frame(&b, 0x82, "\377\0", 2);
                feed_ok(c, &b, pieces[i]);
                expect_seen("size=80x24 in-end ");
                /* A ping is answered with what it has. */
                frame(&b, 0x89, "hey", 3);
                feed_ok(c, &b, pieces[i]);
                assert_memory_equal(stream_client_output(c)->data, "\x8a\x03hey", 5);
                buf_reset(stream_client_output(c));
                assert_int_equal(stream_client_stdout(c, "out", 3), 0);
                assert_memory_equal(stream_client_output(c)->data, "\x82\x04\x01out", 6);
                buf_reset(stream_client_output(c));
                /* A terminal has no standard error. */
                assert_int_equal(stream_client_stderr(c, "err", 3), 0);
                assert_int_equal(stream_client_output(c)->size, 0);
                assert_int_equal(stream_client_finish(c, "{}"), 0);
                assert_memory_equal(
                                stream_client_output(c)->data, "\x82\x03\x03{}\x88\x02\x03\xe8", 9);
                assert_int_equal(stream_client_message_size(c, 0), 5);
                assert_int_equal(stream_client_message_size(c, 5), 4);
                assert_false(stream_client_has_ended(c));
                frame(&b, 0x88, "\x03\xe8", 2);
                feed_ok(c, &b, pieces[i]);
                assert_true(stream_client_has_ended(c));
        }
        buf_done(&seen);
}

/* The head says how long a message is, also where the rest is not there yet. */
static void test_message_sizes(void **state) {
        static const struct {
                const char *bytes;
                size_t n, expected;
        } cases[] = {
                        {"\x82\x05", 2, 7},
                        {"\x82\x7d-", 3, 127},
                        {"\x82\x7e\x01\x00-", 5, 260},
                        {"\x82\x7f\0\0\0\0\0\1\0\0-", 11, 65546},
                        {"\x82", 1, 1},
                        {"\x82\x7e\x01", 3, 3},
                        {"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10, 10},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_int_equal(websocket_frame_size(cases[i].bytes, cases[i].n),
                                cases[i].expected);
}

/* One message in two frames with a ping between them: the channel is the first byte of the whole.
 */
static void test_fragments(void **state) {
        _cleanup_(stream_client_freep) struct stream_client *c =
                        client_new(PROTOCOL_CHANNELS, CLIENT_STDIN | CLIENT_STDERR);
        _cleanup_buf_ struct buf b = {0};

        frame(&b, 0x02, "\0ab", 3);
        frame(&b, 0x89, "", 0);
        frame(&b, 0x80, "cd", 2);
        frame(&b, 0x82, "\1no input", 9);
        frame(&b, 0x82, "\377\0", 2); /* v4 has no such channel */
        feed_ok(c, &b, 4096);
        expect_seen("in=ab in=cd ");
}

static void test_hostile_websocket(void **state) {
        static const struct {
                const char *bytes;
                size_t n;
        } cases[] = {
                        {"\x82\x02\0x", 4},                         /* not masked */
                        {"\xb2\x81\0\0\0\0x", 7},                   /* reserved bits */
                        {"\x83\x81\0\0\0\0x", 7},                   /* unknown opcode */
                        {"\x89\xfe\0\x7e\0\0\0\0", 8},              /* a ping of 126 bytes */
                        {"\x09\x80\0\0\0\0", 6},                    /* a ping in two frames */
                        {"\x80\x81\0\0\0\0x", 7},                   /* continues nothing */
                        {"\x82\xff\xff\0\0\0\0\0\0\0\0\0\0\0", 14}, /* a length of 2^63 and more */
                        {"\x82\xfe\0\1\0\0\0\0x", 9},               /* 1 in the long form */
                        {"GET / HTTP/1.1\r\n\r\n", 18},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(stream_client_freep) struct stream_client *c =
                                client_new(PROTOCOL_CHANNELS, CLIENT_STDIN | CLIENT_STDOUT);

                assert_true(stream_client_feed(c, cases[i].bytes, cases[i].n) < 0);
        }
        expect_seen("");
}

static void test_hostile_sizes(void **state) {
        static const char *const texts[] = {"\4{\"Width\":-1,\"Height\":24}",
                        "\4{\"Width\":99999,\"Height\":24}", "\4[80,24", "\377"};
        char large[600] = {4};

        for (size_t i = 0; i <= ELEMENTS(texts); i++) {
                _cleanup_(stream_client_freep) struct stream_client *c =
                                client_new(PROTOCOL_CHANNELS_V5, CLIENT_STDOUT | CLIENT_TTY);
                _cleanup_buf_ struct buf b = {0};

                if (i < ELEMENTS(texts))
                        frame(&b, 0x82, texts[i], strlen(texts[i]));
                else
                        frame(&b, 0x82, large, sizeof(large));
                assert_true(stream_client_feed(c, b.data, b.size) < 0);
        }
        expect_seen("");
}

static void test_forward_channels(void **state) {
        _cleanup_(stream_client_freep) struct stream_client *c = client_new(PROTOCOL_FORWARD_V5, 0);
        _cleanup_buf_ struct buf b = {0};
        struct buf *out = stream_client_output(c);

        /* Each channel begins with its port, little endian. */
        assert_memory_equal(out->data, "\x82\3\0\x50\0\x82\3\1\x50\0\x82\3\2\x90\x1f", 15);
        buf_reset(out);
        frame(&b, 0x82, "\2hello", 6);
        frame(&b, 0x82, "\1ignored", 8);
        frame(&b, 0x82, "\6no port", 8);
        frame(&b, 0x82, "\377\2", 2);
        frame(&b, 0x82, "\2late", 5);
        feed_ok(c, &b, 4096);
        expect_seen("open1=80 open2=8080 data2=hello end2 ");
        assert_int_equal(stream_client_data(c, 1, "x", 1), 0);
        assert_int_equal(stream_client_end(c, 2), 0);
        assert_int_equal(stream_client_refuse(c, 1, "why"), 0);
        /* The last one closes the connection. */
        assert_memory_equal(
                        out->data, "\x82\2\0x\x82\2\xff\2\x82\4\1why\x82\2\xff\0\x88\2\3\xe8", 22);
        buf_done(&seen);
}

/* ---- SPDY ---- */

/* What kubectl's library sends for its first two streams: with the dictionary of the draft. */
static const char captured[] =
                "\x80\x03\x00\x01\x00\x00\x00\x28\x00\x00\x00\x01\x00\x00\x00\x00\x00"
                "\x00\x78\xbb\xe3\xc6\xa7\xc2\x02\xa6\x23\x46\x70\x3a\x2b\x29\x4a\x4d"
                "\xcc\x85\x16\x25\xac\xa9\xa0\x80\x06\x00\x00\x00\xff\xff"
                "\x80\x03\x00\x01\x00\x00\x00\x17\x00\x00\x00\x03\x00\x00\x00\x00\x00"
                "\x00\xc2\x2e\x55\x5c\x02\xcc\x2e\x00\x00\x00\x00\xff\xff";

/* A client that sends its header blocks without the dictionary, which zlib allows. */
struct sender {
        z_stream z;
        struct buf out;
};

static void put_u32(struct buf *b, uint32_t v) {
        const uint8_t bytes[] = {v >> 24 & 0xff, v >> 16 & 0xff, v >> 8 & 0xff, v & 0xff};

        buf_append(b, bytes, sizeof(bytes));
}

static void sender_init(struct sender *s) {
        *s = (struct sender){0};
        assert_int_equal(deflateInit(&s->z, 6), Z_OK);
}

static void sender_done(struct sender *s) {
        (void)deflateEnd(&s->z);
        buf_done(&s->out);
}

static void send_block(struct sender *s, uint32_t id, const void *block, size_t n) {
        _cleanup_free_ uint8_t *packed = malloc(n + 1024);
        size_t size;

        assert_non_null(packed);
        s->z.next_in = (Bytef *)block;
        s->z.avail_in = (uInt)n;
        s->z.next_out = packed;
        s->z.avail_out = (uInt)(n + 1024);
        assert_int_equal(deflate(&s->z, Z_SYNC_FLUSH), Z_OK);
        size = n + 1024 - s->z.avail_out;
        put_u32(&s->out, 0x80030001);
        put_u32(&s->out, (uint32_t)(10 + size));
        put_u32(&s->out, id);
        put_u32(&s->out, 0);
        buf_append(&s->out, "\0\0", 2);
        buf_append(&s->out, packed, size);
}

/* headers: "name=value name=value" */
static void send_stream(struct sender *s, uint32_t id, const char *headers) {
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_buf_ struct buf block = {0};

        assert_int_equal(strv_split(headers, " ", &words), 0);
        put_u32(&block, (uint32_t)strv_length(words));
        for (char **w = words; *w; w++) {
                char *value = strchr(*w, '=');

                put_u32(&block, (uint32_t)(value - *w));
                buf_append(&block, *w, (size_t)(value - *w));
                put_u32(&block, (uint32_t)strlen(value + 1));
                buf_append_str(&block, value + 1);
        }
        send_block(s, id, block.data, block.size);
}

static void send_data(struct sender *s, uint32_t id, const char *data, bool fin) {
        put_u32(&s->out, id);
        put_u32(&s->out, (fin ? 1u << 24 : 0) | (uint32_t)strlen(data));
        buf_append_str(&s->out, data);
}

static void send_control(struct sender *s, uint16_t type, uint32_t a, uint32_t b, size_t n) {
        put_u32(&s->out, 0x80030000 | type);
        put_u32(&s->out, (uint32_t)n);
        put_u32(&s->out, a);
        if (n > 4)
                put_u32(&s->out, b);
}

/* The frames of the answer as text: "reply1 data3=hello fin3 reset5 ping7 goaway". */
static void expect_frames(struct buf *out, const char *want) {
        _cleanup_buf_ struct buf text = {0};
        const uint8_t *p = (const uint8_t *)out->data;

        for (size_t at = 0; at + 8 <= out->size;) {
                const uint8_t *f = p + at;
                size_t n = (size_t)f[5] << 16 | (size_t)f[6] << 8 | f[7];
                unsigned id = n >= 4 ? f[11] : 0;

                assert_true(at + 8 + n <= out->size);
                if (!(f[0] & 0x80)) {
                        if (n > 0)
                                buf_printf(&text, "data%u=%.*s ", f[3], (int)n,
                                                (const char *)f + 8);
                        if (f[4] & 1)
                                buf_printf(&text, "fin%u ", f[3]);
                } else {
                        static const char *const names[] = {
                                        [2] = "reply", [3] = "reset", [6] = "ping", [7] = "goaway"};

                        assert_true(f[3] < ELEMENTS(names) && names[f[3]]);
                        buf_printf(&text, "%s%u ", names[f[3]], id);
                }
                at += 8 + n;
        }
        assert_string_equal(strempty(text.data), want);
        buf_reset(out);
}

static void test_captured(void **state) {
        for (size_t piece = 1; piece < 80; piece += 13) {
                _cleanup_(stream_client_freep) struct stream_client *c =
                                client_new(PROTOCOL_SPDY, CLIENT_STDIN);
                _cleanup_buf_ struct buf b = {0};

                buf_append(&b, captured, sizeof(captured) - 1);
                assert_false(stream_client_is_ready(c));
                feed_ok(c, &b, piece);
                assert_true(stream_client_is_ready(c));
                expect_frames(stream_client_output(c), "reply1 reply3 ");
        }
}

static void test_spdy_exec(void **state) {
        static const size_t pieces[] = {1, 7, 4096};

        for (size_t i = 0; i < ELEMENTS(pieces); i++) {
                _cleanup_(stream_client_freep) struct stream_client *c = client_new(
                                PROTOCOL_SPDY, CLIENT_STDIN | CLIENT_STDOUT | CLIENT_STDERR);
                struct sender s;

                sender_init(&s);
                send_stream(&s, 1, "streamtype=error");
                send_stream(&s, 3, "streamtype=stdin");
                send_stream(&s, 5, "streamType=stdout");
                feed_ok(c, &s.out, pieces[i]);
                assert_false(stream_client_is_ready(c));
                send_stream(&s, 7, "streamtype=stderr");
                send_stream(&s, 9, "streamtype=resize"); /* there is no terminal */
                send_stream(&s, 11, "streamtype=stdin"); /* there is one */
                send_control(&s, 6, 1, 0, 4);            /* ping */
                send_control(&s, 9, 3, 100, 8);          /* WINDOW_UPDATE */
                send_data(&s, 3, "hello", false);
                send_data(&s, 3, "", true);
                send_data(&s, 3, "late", false);
                send_data(&s, 9, "gone", false);
                feed_ok(c, &s.out, pieces[i]);
                assert_true(stream_client_is_ready(c));
                expect_frames(stream_client_output(c),
                                "reply1 reply3 reply5 reply7 reset9 reset11 ping1 ");
                assert_true(startswith(strempty(seen.data), "in=h"));
                assert_non_null(strstr(seen.data, "in-end"));
                assert_null(strstr(seen.data, "late"));
                buf_done(&seen);
                assert_int_equal(stream_client_stdout(c, "out", 3), 0);
                assert_int_equal(stream_client_finish(c, "{}"), 0);
                expect_frames(stream_client_output(c),
                                "data5=out data1={} fin5 fin7 fin1 goaway11 ");
                sender_done(&s);
        }
}

static void test_spdy_terminal(void **state) {
        _cleanup_(stream_client_freep) struct stream_client *c =
                        client_new(PROTOCOL_SPDY, CLIENT_STDOUT | CLIENT_TTY);
        struct sender s;

        sender_init(&s);
        send_stream(&s, 1, "streamtype=error");
        send_stream(&s, 3, "streamtype=stdout");
        send_stream(&s, 5, "streamtype=resize");
        send_data(&s, 5, "{\"Width\":80,\"Height\":24}\n{\"Width\"", false);
        send_data(&s, 5, ":81,\"Height\":25}\n", false);
        feed_ok(c, &s.out, 4096);
        expect_seen("size=80x24 size=81x25 ");
        sender_done(&s);
}

static void test_spdy_forward(void **state) {
        _cleanup_(stream_client_freep) struct stream_client *c =
                        client_new(PROTOCOL_FORWARD_SPDY, 0);
        struct buf *out = stream_client_output(c);
        struct sender s;

        sender_init(&s);
        send_stream(&s, 1, "streamtype=error port=80 requestid=0");
        send_data(&s, 1, "", true); /* kubectl writes nothing to it */
        send_stream(&s, 3, "streamtype=data port=80 requestid=0");
        send_stream(&s, 5, "streamtype=error port=81 requestid=1");
        send_stream(&s, 7, "streamtype=data port=81 requestid=1");
        send_stream(&s, 9, "streamtype=data port=0 requestid=2");
        send_stream(&s, 11, "streamtype=data requestid=2");
        send_stream(&s, 13, "streamtype=else port=80 requestid=2");
        send_data(&s, 3, "ping", false);
        feed_ok(c, &s.out, 4096);
        expect_seen("open1=80 open2=81 data1=ping ");
        expect_frames(out, "reply1 reply3 reply5 reply7 reset9 reset11 reset13 ");
        assert_int_equal(stream_client_data(c, 1, "pong", 4), 0);
        assert_int_equal(stream_client_end(c, 1), 0);
        assert_int_equal(stream_client_refuse(c, 2, "refused"), 0);
        expect_frames(out, "data3=pong fin1 fin3 data5=refused fin5 fin7 ");
        /* Half closed: the client may still send, and ends then. */
        send_data(&s, 3, "more", true);
        send_control(&s, 3, 7, 5, 8); /* a reset of one that is over */
        feed_ok(c, &s.out, 4096);
        expect_seen("data1=more end1 ");
        send_stream(&s, 15, "streamtype=error port=80 requestid=3");
        send_stream(&s, 17, "streamtype=data port=80 requestid=3");
        send_control(&s, 3, 17, 5, 8);
        feed_ok(c, &s.out, 4096);
        expect_seen("open3=80 reset3 ");
        expect_frames(out, "reply15 reply17 fin15 ");
        sender_done(&s);
}

static int feed_result(const void *data, size_t n) {
        _cleanup_(stream_client_freep) struct stream_client *c =
                        client_new(PROTOCOL_FORWARD_SPDY, 0);

        return stream_client_feed(c, data, n);
}

static void test_hostile_spdy(void **state) {
        static const struct {
                const char *bytes;
                size_t n;
                int error;
        } cases[] = {
                        {"\x80\x02\0\1\0\0\0\0", 8, -EPROTO},        /* version 2 */
                        {"\x80\3\0\1\0\xff\xff\xff", 8, -E2BIG},     /* a control frame of 16 MB */
                        {"\x80\3\0\1\0\0\0\4\0\0\0\1", 12, -EPROTO}, /* SYN_STREAM that is cut */
                        {"\x80\3\0\3\0\0\0\4\0\0\0\1", 12, -EPROTO}, /* RST_STREAM that is cut */
                        {"\x80\3\0\6\0\0\0\0", 8, -EPROTO},          /* a ping without number */
                        {"\0\0\0\1\0\0\0\1x", 9, -EPROTO},           /* data of no stream */
                        {"\0\0\0\0\0\0\0\1x", 9, -EPROTO},           /* data of stream 0 */
                        {"\x80\3\0\1\0\0\0\x12\0\0\0\1\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
                                        26, -EPROTO}, /* not zlib */
                        {"GET / HTTP/1.1\r\n\r\n", 18, -EPROTO},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_int_equal(feed_result(cases[i].bytes, cases[i].n), cases[i].error);
        expect_seen("");
}

static void test_hostile_headers(void **state) {
        static const struct {
                const char *block;
                size_t n;
                int error;
        } cases[] = {
                        {"\0\0\0\1", 4, -EPROTO},                           /* one of none */
                        {"\xff\xff\xff\xff", 4, -E2BIG},                    /* four billion */
                        {"\0\0\0\1\xff\xff\xff\xffx", 9, -EPROTO},          /* a long name */
                        {"\0\0\0\1\0\0\0\1a\x7f\xff\xff\xff", 13, -EPROTO}, /* a long value */
                        {"\0\0\0\1\0\0\0\0\0\0\0\0", 12, -EPROTO},          /* an empty name */
                        {"\0\0", 2, -EPROTO},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct sender s;

                sender_init(&s);
                send_block(&s, 1, cases[i].block, cases[i].n);
                assert_int_equal(feed_result(s.out.data, s.out.size), cases[i].error);
                sender_done(&s);
        }
        expect_seen("");
}

/* A few bytes that inflate to megabytes. */
static void test_header_bomb(void **state) {
        _cleanup_free_ char *zeros = calloc(1, 1 << 20);
        struct sender s;

        assert_non_null(zeros);
        sender_init(&s);
        send_block(&s, 1, zeros, 1 << 20);
        assert_true(s.out.size < SPDY_CONTROL_MAX);
        assert_int_equal(feed_result(s.out.data, s.out.size), -E2BIG);
        sender_done(&s);
}

static void test_stream_numbers(void **state) {
        static const uint32_t second[] = {1, 2, 0};

        for (size_t i = 0; i < ELEMENTS(second); i++) {
                struct sender s;

                sender_init(&s);
                send_stream(&s, 1, "streamtype=error port=80 requestid=0");
                send_stream(&s, second[i], "streamtype=data port=80 requestid=0");
                assert_int_equal(feed_result(s.out.data, s.out.size), -EPROTO);
                sender_done(&s);
        }
        buf_done(&seen);
}

/* More streams than there may be are refused one by one, and nothing grows. */
static void test_stream_flood(void **state) {
        _cleanup_(stream_client_freep) struct stream_client *c =
                        client_new(PROTOCOL_FORWARD_SPDY, 0);
        struct sender s;
        size_t resets = 0;

        sender_init(&s);
        for (uint32_t id = 1; id < 3 * 2 * SPDY_STREAMS_MAX; id += 2) {
                _cleanup_free_ char *headers =
                                strformat("streamtype=error port=80 requestid=%u", id);

                send_stream(&s, id, headers);
                feed_ok(c, &s.out, 4096);
                resets += memcmp(stream_client_output(c)->data, "\x80\3\0\3", 4) == 0;
                buf_reset(stream_client_output(c));
        }
        assert_int_equal(resets, 3 * SPDY_STREAMS_MAX - CLIENT_FORWARDS_MAX);
        expect_seen("");
        sender_done(&s);
}

/* SPDY inside of WebSocket messages, cut anywhere. */
static void test_tunnel(void **state) {
        _cleanup_(stream_client_freep) struct stream_client *c =
                        client_new(PROTOCOL_FORWARD_TUNNEL, 0);
        _cleanup_buf_ struct buf b = {0};
        struct buf *out = stream_client_output(c);
        struct sender s;

        sender_init(&s);
        send_stream(&s, 1, "streamtype=error port=80 requestid=0");
        send_stream(&s, 3, "streamtype=data port=80 requestid=0");
        send_data(&s, 3, "hello", true);
        for (size_t at = 0; at < s.out.size; at += 10)
                frame(&b, 0x82, s.out.data + at, MIN(s.out.size - at, (size_t)10));
        feed_ok(c, &b, 4096);
        assert_non_null(strstr(strempty(seen.data), "open1=80"));
        assert_non_null(strstr(seen.data, "end1"));
        buf_done(&seen);
        assert_int_equal((uint8_t)out->data[0], 0x82);
        buf_reset(out);
        assert_int_equal(stream_client_data(c, 1, "x", 1), 0);
        assert_memory_equal(out->data, "\x82\x09\0\0\0\3\0\0\0\1x", 11);
        sender_done(&s);
}

/* ---- statuses ---- */

static void test_statuses(void **state) {
        _cleanup_free_ char *good = exit_status_text(0), *bad = exit_status_text(3),
                            *broken = exit_failure_text("no \"x\"");

        assert_string_equal(good, "{\"metadata\":{},\"status\":\"Success\"}");
        assert_non_null(strstr(bad, "\"reason\":\"NonZeroExitCode\""));
        assert_non_null(strstr(bad, "\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"3\"}]"));
        assert_non_null(strstr(broken, "\"reason\":\"InternalError\""));
        assert_non_null(strstr(broken, "no \\\"x\\\""));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_negotiate),
                        cmocka_unit_test(test_frames),
                        cmocka_unit_test(test_channels),
                        cmocka_unit_test(test_message_sizes),
                        cmocka_unit_test(test_fragments),
                        cmocka_unit_test(test_hostile_websocket),
                        cmocka_unit_test(test_hostile_sizes),
                        cmocka_unit_test(test_forward_channels),
                        cmocka_unit_test(test_captured),
                        cmocka_unit_test(test_spdy_exec),
                        cmocka_unit_test(test_spdy_terminal),
                        cmocka_unit_test(test_spdy_forward),
                        cmocka_unit_test(test_hostile_spdy),
                        cmocka_unit_test(test_hostile_headers),
                        cmocka_unit_test(test_header_bomb),
                        cmocka_unit_test(test_stream_numbers),
                        cmocka_unit_test(test_stream_flood),
                        cmocka_unit_test(test_tunnel),
                        cmocka_unit_test(test_statuses),
        };

        return cmocka_run_group_tests_name("kapid streams", tests, NULL, NULL);
}
