/* Shared by the files of `kctl support-bundle`. */
#pragma once

#include "kctl/redact.h"
#include "kctl/tar-write.h"
#include "kctl/kctl.h"

struct support {
        struct kctl *k;
        struct redactor *redactor;
        struct tar_writer *tar;
        struct buf readme; /* what could not be collected, a line each */
        size_t files, machines;
};

/* Adds a text, without secrets. Failures to write end the verb: negative, p says why. */
int support_add(struct support *s, const char *name, const char *text, size_t n, struct problem *p);
/* Something could not be collected: it is said to the user and in the bundle. */
void support_missing(struct support *s, const char *what, const char *why);

/* support-objects.c: reads the values of Secrets, which are removed everywhere; then what the API
 * says of itself, and every object. -ENOMEM, or a failure to write. */
int support_read_secrets(struct support *s, struct problem *p);
int support_add_api(struct support *s, struct problem *p);

/* support-files.c: the files of a machine's answer: "FILE name size" and its bytes, again and
 * again. Calls add for each. -EBADMSG when the answer is not whole; what came before is added.
 * Pure. */
int support_each_file(const char *text, size_t n,
                int (*add)(const char *name, const char *text, size_t n, void *userdata),
                void *userdata);
