/* Throw-away certificates for tests, made with GnuTLS alone. */
#pragma once

#include "lib/base.h"

struct test_cert {
        char *cert; /* PEM */
        char *key;
};

/* issuer NULL: a self-signed CA. organization may be NULL. Usable by clients and by servers named
 * localhost, 127.0.0.1 and ::1; expired: its time has passed. Fails the test on any error. */
struct test_cert test_cert_new(const struct test_cert *issuer, const char *cn,
                const char *organization, bool expired);
void test_cert_done(struct test_cert *c);
