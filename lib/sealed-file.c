/* The format is described in the header. */
#include "lib/sealed-file.h"

#include "lib/buf.h"
#include "lib/crypto.h"
#include "lib/fileio.h"
#include "lib/json.h"
#include "lib/random.h"
#include "lib/x25519.h"

enum {
        PIECE_SIZE = 1 << 20,
        PIECE_HEAD = 9, /* number, last */
        SEALED_SIZE_MAX = PIECE_SIZE + PIECE_HEAD + 64,
        HEADER_SIZE_MAX = 1 << 16,
        SALT_SIZE = 16,
        ITERATIONS = 600000,
        ITERATIONS_MAX = 10000000,
        LOCKS_MAX = 64
};

#define MAGIC "keelson sealed file 1\n"
#define IDENTITY "keelson-identity-"
#define RECIPIENT "keelson-recipient-"

/* ---- identities ---- */

static int key_text(const char *prefix, const uint8_t key[static X25519_SIZE], char **ret) {
        _cleanup_free_ char *text = base64url_encode(key, X25519_SIZE);

        *ret = text ? strformat("%s%s", prefix, text) : NULL;
        return *ret ? 0 : -ENOMEM;
}

static int key_read(const char *prefix, const char *text, uint8_t ret[static X25519_SIZE]) {
        const char *rest = startswith(text, prefix);
        void *bytes;
        size_t n;
        int r = rest ? base64url_decode(rest, strcspn(rest, " \t\r\n"), &bytes, &n) : -EINVAL;

        if (r < 0)
                return r;
        if (n == X25519_SIZE)
                memcpy(ret, bytes, n);
        explicit_bzero(bytes, n);
        free(bytes);
        return n == X25519_SIZE ? 0 : -EINVAL;
}

int sealed_recipient_of(const char *identity, char **ret_recipient) {
        uint8_t secret[X25519_SIZE], public[X25519_SIZE];
        int r = key_read(IDENTITY, identity, secret);

        if (r < 0)
                return r;
        x25519_public(secret, public);
        explicit_bzero(secret, sizeof(secret));
        return key_text(RECIPIENT, public, ret_recipient);
}

int sealed_identity_new(char **ret_identity, char **ret_recipient) {
        _cleanup_free_ char *identity = NULL;
        uint8_t secret[X25519_SIZE];
        int r;

        random_bytes(secret, sizeof(secret));
        r = key_text(IDENTITY, secret, &identity);
        explicit_bzero(secret, sizeof(secret));
        if (r < 0)
                return r;
        r = sealed_recipient_of(identity, ret_recipient);
        if (r < 0)
                return r;
        *ret_identity = TAKE_PTR(identity);
        return 0;
}

/* ---- locks ---- */

static int key_of_secret(const uint8_t secret[static X25519_SIZE],
                const uint8_t other[static X25519_SIZE], const uint8_t ephemeral[],
                const uint8_t recipient[], uint8_t ret[static SEAL_KEY_SIZE]) {
        uint8_t shared[X25519_SIZE], salt[2 * X25519_SIZE];
        int r = x25519_shared(secret, other, shared);

        if (r < 0)
                return r;
        memcpy(salt, ephemeral, X25519_SIZE);
        memcpy(salt + X25519_SIZE, recipient, X25519_SIZE);
        r = key_derive(&(struct key_source){.material = shared,
                                       .material_size = sizeof(shared),
                                       .salt = salt,
                                       .salt_size = sizeof(salt),
                                       .purpose = "keelson sealed file, x25519"},
                        ret, SEAL_KEY_SIZE);
        explicit_bzero(shared, sizeof(shared));
        return r;
}

/* The file's key, sealed, in Base64. */
static int lock_key(const uint8_t key[static SEAL_KEY_SIZE],
                const uint8_t file_key[static SEAL_KEY_SIZE], char **ret) {
        _cleanup_free_ void *sealed = NULL;
        size_t n;
        int r = seal(key, file_key, SEAL_KEY_SIZE, &sealed, &n);

        if (r < 0)
                return r;
        *ret = base64_encode(sealed, n);
        return *ret ? 0 : -ENOMEM;
}

static int add_passphrase(json_t *locks, const char *passphrase, const uint8_t file_key[]) {
        uint8_t salt[SALT_SIZE], key[SEAL_KEY_SIZE];
        _cleanup_free_ char *salt_text = NULL, *sealed = NULL;
        int r;

        random_bytes(salt, sizeof(salt));
        r = key_of_passphrase(passphrase, salt, sizeof(salt), ITERATIONS, key);
        if (r < 0)
                return r;
        r = lock_key(key, file_key, &sealed);
        explicit_bzero(key, sizeof(key));
        if (r < 0)
                return r;
        salt_text = base64_encode(salt, sizeof(salt));
        return salt_text && json_array_append_new(locks,
                                            json_pack("{s:s, s:s, s:i, s:s}", "type", "passphrase",
                                                            "salt", salt_text, "iterations",
                                                            ITERATIONS, "key", sealed)) == 0
                               ? 0
                               : -ENOMEM;
}

static int add_recipient(json_t *locks, const char *text, const uint8_t file_key[],
                struct problem *p) {
        uint8_t secret[X25519_SIZE], ephemeral[X25519_SIZE], recipient[X25519_SIZE],
                        key[SEAL_KEY_SIZE];
        _cleanup_free_ char *ephemeral_text = NULL, *sealed = NULL;
        int r = key_read(RECIPIENT, text, recipient);

        if (r < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "\"%.60s\" is not a recipient (" RECIPIENT "...); kctl backup-key "
                                "makes one",
                                text);
        random_bytes(secret, sizeof(secret));
        x25519_public(secret, ephemeral);
        r = key_of_secret(secret, recipient, ephemeral, recipient, key);
        explicit_bzero(secret, sizeof(secret));
        if (r < 0)
                return r;
        r = lock_key(key, file_key, &sealed);
        explicit_bzero(key, sizeof(key));
        if (r < 0)
                return r;
        ephemeral_text = base64_encode(ephemeral, sizeof(ephemeral));
        return ephemeral_text && json_array_append_new(locks,
                                                 json_pack("{s:s, s:s, s:s}", "type", "x25519",
                                                                 "ephemeral", ephemeral_text, "key",
                                                                 sealed)) == 0
                               ? 0
                               : -ENOMEM;
}

static int make_header(const struct sealed_for *f, const uint8_t file_key[static SEAL_KEY_SIZE],
                char **ret, struct problem *p) {
        _cleanup_json_ json_t *locks = json_array(), *header = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        if (!locks)
                return -ENOMEM;
        r = f->passphrase ? add_passphrase(locks, f->passphrase, file_key) : 0;
        if (r < 0)
                return r;
        for (char *const *s = f->recipients; s && *s; s++) {
                r = add_recipient(locks, *s, file_key, p);
                if (r < 0)
                        return r;
        }
        if (json_array_size(locks) == 0 || json_array_size(locks) > LOCKS_MAX)
                return problem_set(p, EINVAL, 0, NULL,
                                "a sealed file needs a passphrase or up to %i recipients",
                                LOCKS_MAX);
        header = json_pack("{s:O}", "locks", locks);
        text = header ? json_text(header) : NULL;
        *ret = text ? strformat(MAGIC "%s\n", text) : NULL;
        return *ret ? 0 : -ENOMEM;
}

static int bytes_of(const json_t *object, const char *field, void *ret, size_t size) {
        const char *text = json_string_value(json_object_get(object, field));
        void *bytes;
        size_t n;

        if (!text || base64_decode(text, &bytes, &n) < 0)
                return -EINVAL;
        if (n == size)
                memcpy(ret, bytes, n);
        free(bytes);
        return n == size ? 0 : -EINVAL;
}

/* The key that opens the lock; -ENOENT: it is not for this secret. */
static int key_for(const json_t *lock, const struct sealed_with *with,
                uint8_t ret[static SEAL_KEY_SIZE]) {
        const char *type = json_str_or(lock, "type", "");
        uint8_t salt[SALT_SIZE], ephemeral[X25519_SIZE], secret[X25519_SIZE], own[X25519_SIZE];
        int64_t iterations = json_int_or(lock, "iterations", 0);
        int r;

        if (streq(type, "passphrase") && with->passphrase) {
                if (iterations < 1 || iterations > ITERATIONS_MAX ||
                                bytes_of(lock, "salt", salt, sizeof(salt)) < 0)
                        return -EBADMSG;
                return key_of_passphrase(with->passphrase, salt, sizeof(salt),
                                (unsigned)iterations, ret);
        }
        if (!streq(type, "x25519") || !with->identity)
                return -ENOENT;
        if (bytes_of(lock, "ephemeral", ephemeral, sizeof(ephemeral)) < 0)
                return -EBADMSG;
        r = key_read(IDENTITY, with->identity, secret);
        if (r < 0)
                return r;
        x25519_public(secret, own);
        r = key_of_secret(secret, ephemeral, ephemeral, own, ret);
        explicit_bzero(secret, sizeof(secret));
        return r < 0 ? -EBADMSG : 0;
}

/* 1 when the lock opened. */
static int try_lock(const json_t *lock, const struct sealed_with *with,
                uint8_t ret_file_key[static SEAL_KEY_SIZE]) {
        _cleanup_free_ void *sealed = NULL, *opened = NULL;
        const char *text = json_str_or(lock, "key", "");
        uint8_t key[SEAL_KEY_SIZE];
        size_t n, size;
        int r = key_for(lock, with, key);

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = base64_decode(text, &sealed, &n);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        r = unseal(key, sealed, n, &opened, &size);
        explicit_bzero(key, sizeof(key));
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        if (size != SEAL_KEY_SIZE)
                return -EBADMSG;
        memcpy(ret_file_key, opened, size);
        explicit_bzero(opened, size);
        return 1;
}

static int open_locks(const char *line, const struct sealed_with *with,
                uint8_t ret_file_key[static SEAL_KEY_SIZE], struct problem *p) {
        _cleanup_json_ json_t *header = NULL;
        const json_t *locks, *lock;
        size_t i;
        int r = json_parse(line, strlen(line), 0, &header, NULL);

        locks = json_object_get(header, "locks");
        if (r < 0 || json_array_size(locks) == 0 || json_array_size(locks) > LOCKS_MAX)
                return problem_set(p, EBADMSG, 0, NULL, "its header is damaged");
        json_array_foreach (locks, i, lock) {
                r = try_lock(lock, with, ret_file_key);
                if (r > 0)
                        return 0;
                if (r == -EINVAL)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "the identity file holds no " IDENTITY "...");
                if (r < 0)
                        return r == -ENOMEM ? r
                                            : problem_set(p, EBADMSG, 0, NULL,
                                                              "its header is damaged");
        }
        return problem_set(p, EKEYREJECTED, 0, NULL,
                        with->passphrase ? "the passphrase is another one, or it is sealed for "
                                           "keys only (--identity-file)"
                                         : "it is not sealed for this identity");
}

static int payload_key(const char *header, const uint8_t file_key[static SEAL_KEY_SIZE],
                uint8_t ret[static SEAL_KEY_SIZE]) {
        char hash[SHA256_HEX_SIZE];

        sha256_hex(header, strlen(header), hash);
        return key_derive(&(struct key_source){.material = file_key,
                                          .material_size = SEAL_KEY_SIZE,
                                          .salt = hash,
                                          .salt_size = strlen(hash),
                                          .purpose = "keelson sealed file, pieces"},
                        ret, SEAL_KEY_SIZE);
}

/* ---- pieces ---- */

/* As many as there are, up to n. */
static ssize_t read_full(int fd, void *p, size_t n) {
        size_t done = 0;

        while (done < n) {
                ssize_t part = read(fd, (char *)p + done, n - done);

                if (part < 0 && errno == EINTR)
                        continue;
                if (part < 0)
                        return -errno;
                if (part == 0)
                        break;
                done += (size_t)part;
        }
        return (ssize_t)done;
}

static void put_number(uint8_t *to, uint64_t v, size_t octets) {
        for (size_t i = 0; i < octets; i++)
                to[i] = (uint8_t)(v >> (8 * (octets - 1 - i)));
}

static uint64_t get_number(const uint8_t *from, size_t octets) {
        uint64_t v = 0;

        for (size_t i = 0; i < octets; i++)
                v = v << 8 | from[i];
        return v;
}

static int write_pieces(int in, int out, const uint8_t key[static SEAL_KEY_SIZE]) {
        _cleanup_free_ uint8_t *piece = malloc(PIECE_HEAD + PIECE_SIZE);

        if (!piece)
                return -ENOMEM;
        for (uint64_t number = 0;; number++) {
                ssize_t n = read_full(in, piece + PIECE_HEAD, PIECE_SIZE);
                _cleanup_free_ void *sealed = NULL;
                uint8_t size_text[4];
                size_t size;
                int r;

                if (n < 0)
                        return (int)n;
                put_number(piece, number, 8);
                piece[8] = n < PIECE_SIZE;
                r = seal(key, piece, PIECE_HEAD + (size_t)n, &sealed, &size);
                if (r < 0)
                        return r;
                put_number(size_text, size, sizeof(size_text));
                r = file_write_all(out, size_text, sizeof(size_text));
                if (r < 0)
                        return r;
                r = file_write_all(out, sealed, size);
                if (r < 0 || piece[8])
                        return r;
        }
}

/* 1 when it was the last. */
static int read_piece(int in, int out, const uint8_t key[static SEAL_KEY_SIZE], uint64_t number,
                uint8_t *sealed) {
        _cleanup_free_ void *opened = NULL;
        uint8_t size_text[4];
        const uint8_t *piece;
        size_t n, size;
        int r;

        if (read_full(in, size_text, sizeof(size_text)) != (ssize_t)sizeof(size_text))
                return -EBADMSG;
        size = (size_t)get_number(size_text, sizeof(size_text));
        if (size > SEALED_SIZE_MAX || read_full(in, sealed, size) != (ssize_t)size)
                return -EBADMSG;
        r = unseal(key, sealed, size, &opened, &n);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        piece = opened;
        if (n < PIECE_HEAD || get_number(piece, 8) != number)
                return -EBADMSG;
        r = file_write_all(out, piece + PIECE_HEAD, n - PIECE_HEAD);
        return r < 0 ? r : piece[8] != 0;
}

static int read_pieces(int in, int out, const uint8_t key[static SEAL_KEY_SIZE]) {
        _cleanup_free_ uint8_t *sealed = malloc(SEALED_SIZE_MAX);
        uint8_t more;
        int r = sealed ? 0 : -ENOMEM;

        for (uint64_t number = 0; r == 0; number++)
                r = read_piece(in, out, key, number, sealed);
        if (r < 0)
                return r;
        return read_full(in, &more, 1) == 0 ? 0 : -EBADMSG; /* nothing after the last */
}

/* ---- files ---- */

static int write_with(int in, int out, const struct sealed_for *locks,
                const uint8_t file_key[static SEAL_KEY_SIZE], struct problem *p) {
        uint8_t key[SEAL_KEY_SIZE];
        _cleanup_free_ char *header = NULL;
        int r = make_header(locks, file_key, &header, p);

        if (r < 0)
                return r;
        r = file_write_all(out, header, strlen(header));
        if (r < 0)
                return r;
        r = payload_key(header, file_key, key);
        if (r < 0)
                return r;
        r = write_pieces(in, out, key);
        explicit_bzero(key, sizeof(key));
        return r;
}

int sealed_write(int in, int out, const struct sealed_for *locks, struct problem *p) {
        uint8_t file_key[SEAL_KEY_SIZE];
        int r;

        random_bytes(file_key, sizeof(file_key));
        r = write_with(in, out, locks, file_key, p);
        explicit_bzero(file_key, sizeof(file_key));
        if (r < 0 && !p->message)
                return problem_set(p, -r, 0, NULL, "it cannot be sealed: %s", strerror(-r));
        return r;
}

/* Up to and with the end of the second line. */
static int read_header(int in, char **ret) {
        _cleanup_buf_ struct buf b = {0};
        unsigned lines = 0;

        while (lines < 2) {
                char c;

                if (b.size >= HEADER_SIZE_MAX || read_full(in, &c, 1) != 1)
                        return -EBADMSG;
                if (buf_append(&b, &c, 1) < 0)
                        return -ENOMEM;
                lines += c == '\n';
        }
        if (memchr(b.data, 0, b.size) || !startswith(b.data, MAGIC))
                return -EBADMSG;
        *ret = buf_take(&b);
        return *ret ? 0 : -ENOMEM;
}

int sealed_read(int in, int out, const struct sealed_with *with, struct problem *p) {
        uint8_t file_key[SEAL_KEY_SIZE], key[SEAL_KEY_SIZE];
        _cleanup_free_ char *header = NULL;
        int r = read_header(in, &header);

        if (r < 0)
                return problem_set(p, -r, 0, NULL, "it is not a sealed file, or its header is "
                                                   "damaged");
        r = open_locks(header + strlen(MAGIC), with, file_key, p);
        if (r < 0)
                return r;
        r = payload_key(header, file_key, key);
        explicit_bzero(file_key, sizeof(file_key));
        if (r < 0)
                return r;
        r = read_pieces(in, out, key);
        explicit_bzero(key, sizeof(key));
        if (r == -EBADMSG)
                return problem_set(p, EBADMSG, 0, NULL, "it was changed or is not whole");
        return r < 0 ? problem_set(p, -r, 0, NULL, "it cannot be opened: %s", strerror(-r)) : 0;
}

bool sealed_is(int fd) {
        char begin[sizeof(MAGIC) - 1];

        return pread(fd, begin, sizeof(begin), 0) == (ssize_t)sizeof(begin) &&
               memcmp(begin, MAGIC, sizeof(begin)) == 0;
}
