/* Removes secrets from what leaves the fleet (kctl support-bundle): from objects of the API, and
 * from text such as journals and configurations. In doubt it removes. Pure. */
#pragma once

#include "lib/buf.h"
#include "lib/json.h"

/* Values that are removed wherever they stand: those of the cluster's Secrets. */
struct redactor;

struct redactor *redactor_new(void);
struct redactor *redactor_free(struct redactor *x);
DEFINE_CLEANUP(struct redactor *, redactor_free);
/* A value of at least REDACT_VALUE_MIN bytes: shorter ones are parts of too many words. Of longer
 * ones than REDACT_VALUE_MAX only that many bytes are found and removed. */
enum { REDACT_VALUE_MIN = 8, REDACT_VALUE_MAX = 4096 };
int redactor_add(struct redactor *x, const char *value, size_t n);
/* Every value of a Secret's data, as it is and as base64, but of keys that are no secret ("ca.crt",
 * "namespace"). */
int redactor_add_secret(struct redactor *x, const json_t *secret);
/* All values were added; before the first text. */
void redactor_seal(struct redactor *x);

/* Appends the text without private keys, tokens, passwords in URLs, values of settings whose names
 * say that they are secret, and the redactor's values. 0 or -ENOMEM. */
int redact_text(const struct redactor *x, const char *text, size_t n, struct buf *out);
/* Removes of an object of the API, in place: the data of Secrets and ConfigMaps, the values of
 * environment variables and of headers, managedFields, what kubectl applied last, and in every
 * string what redact_text() removes. */
int redact_object(const struct redactor *x, json_t *object);
/* Whether a setting of this name holds a secret: "password", "DB_PASSWORD", "client-key-data". */
bool redact_is_secret_name(const char *name, size_t n);
