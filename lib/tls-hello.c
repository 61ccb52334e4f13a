/* ClientHello: records -> one handshake message -> its extensions -> the list of protocols. It only
 * looks: whatever is wrong with the message is found, and answered, by the TLS library that gets
 * the connection. A message may come in several records, and a record in several packets. */
#include "lib/tls-hello.h"

enum {
        RECORD_HANDSHAKE = 22,
        RECORD_HEAD_SIZE = 5,
        CLIENT_HELLO = 1,
        MESSAGE_HEAD_SIZE = 4,
        VERSION_AND_RANDOM_SIZE = 34,
        EXTENSION_ALPN = 16,
};

struct reader {
        const uint8_t *at;
        size_t left;
};

/* The next n bytes; NULL: there are not so many. */
static const uint8_t *take(struct reader *r, size_t n) {
        const uint8_t *p = r->at;

        if (n > r->left)
                return NULL;
        r->at += n;
        r->left -= n;
        return p;
}

/* A number of `bytes` bytes. */
static bool take_number(struct reader *r, size_t bytes, size_t *ret) {
        const uint8_t *p = take(r, bytes);
        size_t v = 0;

        for (size_t i = 0; p && i < bytes; i++)
                v = v << 8 | p[i];
        *ret = v;
        return p;
}

/* A vector: its length in `bytes` bytes, then that many. */
static bool take_vector(struct reader *r, size_t bytes, struct reader *ret) {
        size_t n;

        if (!take_number(r, bytes, &n) || n > r->left)
                return false;
        *ret = (struct reader){.at = take(r, n), .left = n};
        return true;
}

/* The handshake bytes of the records. -EAGAIN: the message is not whole yet; 0: it is none. */
static int join_records(struct reader in, uint8_t *message, size_t *ret_size) {
        size_t size = 0, wanted = MESSAGE_HEAD_SIZE;

        while (size < wanted) {
                const uint8_t *head = take(&in, RECORD_HEAD_SIZE);
                size_t n;

                if (!head)
                        return in.left > 0 && *in.at != RECORD_HANDSHAKE ? 0 : -EAGAIN;
                n = (size_t)head[3] << 8 | head[4];
                if (head[0] != RECORD_HANDSHAKE || head[1] != 3 || n == 0)
                        return 0;
                if (n > TLS_HELLO_SIZE_MAX - size)
                        return 0;
                n = MIN(n, in.left);
                memcpy(message + size, take(&in, n), n);
                size += n;
                if (size < MESSAGE_HEAD_SIZE)
                        continue;
                if (message[0] != CLIENT_HELLO)
                        return 0;
                wanted = MESSAGE_HEAD_SIZE + ((size_t)message[1] << 16 | (size_t)message[2] << 8 |
                                                             message[3]);
                if (wanted > TLS_HELLO_SIZE_MAX)
                        return 0;
        }
        *ret_size = wanted;
        return 1;
}

/* A list of names, each behind its length. */
static int list_has(struct reader extension, const char *protocol) {
        struct reader list, name;

        if (!take_vector(&extension, 2, &list))
                return 0;
        while (take_vector(&list, 1, &name))
                if (name.left == strlen(protocol) && memcmp(name.at, protocol, name.left) == 0)
                        return 1;
        return 0;
}

int tls_hello_offers(const void *data, size_t n, const char *protocol) {
        struct reader in = {.at = data, .left = n}, skipped, extensions, extension;
        uint8_t message[TLS_HELLO_SIZE_MAX];
        size_t size = 0, type;
        int r = join_records(in, message, &size);

        if (r <= 0)
                return r;
        in = (struct reader){.at = message + MESSAGE_HEAD_SIZE, .left = size - MESSAGE_HEAD_SIZE};
        if (!take(&in, VERSION_AND_RANDOM_SIZE) || !take_vector(&in, 1, &skipped) /* session */ ||
                        !take_vector(&in, 2, &skipped) /* ciphers */ ||
                        !take_vector(&in, 1, &skipped) /* compression */ ||
                        !take_vector(&in, 2, &extensions))
                return 0;
        while (take_number(&extensions, 2, &type) && take_vector(&extensions, 2, &extension))
                if (type == EXTENSION_ALPN)
                        return list_has(extension, protocol);
        return 0;
}
