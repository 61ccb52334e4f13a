/* Sealed files: who has the secret gets every byte back, of any size; who has not, and every change
 * of the file, is refused. */
#include "tests/unit/unit.h"

#include <sys/mman.h>

#include "lib/fileio.h"
#include "lib/sealed-file.h"

enum { PIECE = 1 << 20 };

static int memory(const void *data, size_t n) {
        int fd = memfd_create("test", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(file_write_all(fd, data, n), 0);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        return fd;
}

static char *content(int fd, size_t *ret_size) {
        off_t size = lseek(fd, 0, SEEK_END);
        char *data = malloc((size_t)size + 1);

        assert_non_null(data);
        assert_int_equal(pread(fd, data, (size_t)size, 0), size);
        data[size] = 0;
        *ret_size = (size_t)size;
        return data;
}

/* What the file holds for this secret; negative: refused. */
static int open_sealed(const void *data, size_t n, const struct sealed_with *with, char **ret,
                size_t *ret_size) {
        _cleanup_close_ int in = memory(data, n), out = memory("", 0);
        _cleanup_problem_ struct problem p = {0};
        int r = sealed_read(in, out, with, &p);

        if (r < 0)
                assert_non_null(p.message);
        else
                *ret = content(out, ret_size);
        return r;
}

static char *seal_bytes(const void *data, size_t n, const struct sealed_for *locks,
                size_t *ret_size) {
        _cleanup_close_ int in = memory(data, n), out = memory("", 0);
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(sealed_write(in, out, locks, &p), 0);
        assert_true(sealed_is(out));
        assert_false(sealed_is(in));
        return content(out, ret_size);
}

static void test_sizes(void **state) {
        static const size_t sizes[] = {0, 1, 1000, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE};
        _cleanup_free_ char *identity = NULL, *recipient = NULL;

        assert_int_equal(sealed_identity_new(&identity, &recipient), 0);
        for (size_t i = 0; i < ELEMENTS(sizes); i++) {
                char *const recipients[] = {recipient, NULL};
                _cleanup_free_ char *data = malloc(sizes[i] + 1), *sealed = NULL, *opened = NULL;
                size_t n, m;

                for (size_t k = 0; k < sizes[i]; k++)
                        data[k] = (char)(k * 7 + k / 251);
                sealed = seal_bytes(data, sizes[i], &(struct sealed_for){.recipients = recipients},
                                &n);
                assert_int_equal(open_sealed(sealed, n, &(struct sealed_with){.identity = identity},
                                                 &opened, &m),
                                0);
                assert_int_equal(m, sizes[i]);
                assert_memory_equal(opened, data, m);
        }
}

static void test_secrets(void **state) {
        _cleanup_free_ char *identity = NULL, *recipient = NULL, *other = NULL,
                            *other_public = NULL, *again = NULL, *sealed = NULL, *opened = NULL,
                            *also = NULL, *nothing = NULL;
        size_t n, m;

        assert_int_equal(sealed_identity_new(&identity, &recipient), 0);
        assert_int_equal(sealed_identity_new(&other, &other_public), 0);
        assert_int_equal(sealed_recipient_of(identity, &again), 0);
        assert_string_equal(again, recipient);
        assert_int_equal(sealed_recipient_of("keelson-identity-AAAA", &nothing), -EINVAL);
        assert_int_equal(sealed_recipient_of(recipient, &nothing), -EINVAL);
        char *const both[] = {recipient, other_public, NULL};
        sealed = seal_bytes("secret", 6,
                        &(struct sealed_for){.passphrase = "correct horse", .recipients = both},
                        &n);
        assert_null(memmem(sealed, n, "secret", 6));
        assert_null(memmem(sealed, n, "horse", 5));
        assert_int_equal(open_sealed(sealed, n, &(struct sealed_with){.passphrase = "correct horse"},
                                         &opened, &m),
                        0);
        assert_string_equal(opened, "secret");
        assert_int_equal(open_sealed(sealed, n, &(struct sealed_with){.identity = other}, &also,
                                         &m),
                        0);
        assert_string_equal(also, "secret");
        assert_int_equal(open_sealed(sealed, n, &(struct sealed_with){.passphrase = "correct hors"},
                                         &nothing, &m),
                        -EKEYREJECTED);
        free(other);
        free(other_public);
        assert_int_equal(sealed_identity_new(&other, &other_public), 0);
        assert_int_equal(open_sealed(sealed, n, &(struct sealed_with){.identity = other}, &nothing,
                                         &m),
                        -EKEYREJECTED);
}

/* One bit anywhere, a cut anywhere, pieces exchanged, something behind the end. */
static void test_changes(void **state) {
        _cleanup_free_ char *identity = NULL, *recipient = NULL, *data = calloc(1, PIECE + 100),
                            *sealed = NULL, *more = NULL, *nothing = NULL;
        size_t n, m;

        assert_int_equal(sealed_identity_new(&identity, &recipient), 0);
        char *const recipients[] = {recipient, NULL};
        const struct sealed_with with = {.identity = identity};
        sealed = seal_bytes(data, PIECE + 100, &(struct sealed_for){.recipients = recipients}, &n);
        for (size_t i = 0; i < n; i = i < 300 || i > n - 60 ? i + 1 : i + 50021) {
                sealed[i] ^= 1;
                if (open_sealed(sealed, n, &with, &nothing, &m) >= 0)
                        fail_msg("octet %zu of %zu may be changed", i, n);
                sealed[i] ^= 1;
        }
        for (size_t cut = 0; cut < n; cut = cut < 300 || cut > n - 60 ? cut + 1 : cut + 50021)
                if (open_sealed(sealed, cut, &with, &nothing, &m) >= 0)
                        fail_msg("it may end after %zu octets", cut);
        more = malloc(n + 1);
        memcpy(more, sealed, n);
        more[n] = 0;
        assert_int_equal(open_sealed(more, n + 1, &with, &nothing, &m), -EBADMSG);
        assert_null(nothing);
}

static void test_refusals(void **state) {
        static char *const bad[] = {(char *)"keelson-recipient-xx", NULL};
        _cleanup_close_ int in = memory("a", 1), out = memory("", 0);
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(sealed_write(in, out, &(struct sealed_for){0}, &p), -EINVAL);
        assert_int_equal(sealed_write(in, out, &(struct sealed_for){.recipients = bad}, &p),
                        -EINVAL);
        assert_non_null(strstr(p.message, "is not a recipient"));
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes),
                        cmocka_unit_test(test_secrets), cmocka_unit_test(test_changes),
                        cmocka_unit_test(test_refusals)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
