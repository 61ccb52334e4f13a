/* Resource quantities ("250m", "64Mi", "1e3"). Values are held in thousandths (milli-units). */
#pragma once

#include "lib/json.h"

/* JSON string or number -> milli-units, rounded up as the API does. -EINVAL, -ERANGE. */
int quantity_parse_milli(const json_t *v, int64_t *ret);
int quantity_parse_str_milli(const char *s, int64_t *ret);
/* Whole units rounded up: bytes of memory, for instance. */
int quantity_parse_units(const json_t *v, int64_t *ret);
/* Negative, 0 or positive in *ret, as a is less than, equal to or more than b (NULL: zero). Amounts
 * that thousandths do not hold are compared in whole units. -EINVAL when one is not a quantity. */
int quantity_compare(const json_t *a, const json_t *b, int *ret);
/* Canonical text of a quantity string ("1000m" -> "1", "0.5" -> "500m", "1024Mi" -> "1Gi"), in the
 * suffix family that was written. Caller frees through ret. -EINVAL. */
int quantity_canonical(const char *s, char **ret);

/* An amount to calculate with: thousandths, exact up to 2^100, and the suffix family in which it is
 * written. Zeroed memory is 0. */
enum quantity_family { QUANTITY_DECIMAL, QUANTITY_BINARY, QUANTITY_EXPONENT };
struct quantity {
        __int128 milli;
        enum quantity_family family;
};
/* From a JSON string or number, rounded up to thousandths. -EINVAL, -ERANGE. */
int quantity_read(const json_t *v, struct quantity *ret);
/* Adds or, with times -1, subtracts. A sum takes the family of its first part that is not 0, as in
 * the API. */
void quantity_add(struct quantity *sum, struct quantity q, int times);
/* Canonical text, as quantity_canonical. Caller frees; NULL when out of memory. */
char *quantity_write(struct quantity q) _warn_unused_;
