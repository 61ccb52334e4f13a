/* What the libraries of functions (lib-*.c) share: costs, and estimates of them. */
#pragma once

#include "kapid/cel/function.h"

/* Kubernetes charges for some functions after the fact what a hostile expression makes arbitrarily
 * much. Those charge first, in the function itself, and have cel_cost_charged in their row. */
uint64_t cel_cost_charged(const struct cel_value *args, size_t n, const struct cel_value *result);
/* Going once through the first argument as a text. */
uint64_t cel_cost_of_first(const struct cel_value *args, size_t n, const struct cel_value *result);
/* Twice: and making the result. */
uint64_t cel_cost_of_first_twice(
                const struct cel_value *args, size_t n, const struct cel_value *result);
/* What going through a value and all that it holds costs; charged. false: return cel_spent(). */
bool cel_charge_walk(struct cel_run *run, struct cel_value v) _warn_unused_;

/* Estimators are given, behind the sizes of the n arguments, n ranges more: of a list the sizes of
 * its texts, 0 when its items are none; of a constant int the number (0 for what is below 0); of
 * others 0 to UINT64_MAX. */
static inline struct cel_range cel_range_of_items(
                const struct cel_range *args, size_t n, size_t i) {
        return args[n + i];
}
/* ceil(size * times / 10) */
struct cel_range cel_range_texts(struct cel_range size, unsigned times);
/* Estimates: the first argument once, its size the result's; the same without a size; twice. */
void cel_estimate_first(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size);

/* An opaque value of the class with n bytes copied. */
struct cel_value cel_opaque_copy(struct cel_run *run, const struct cel_opaque_class *class,
                const void *data, size_t n);
/* Texts that functions make are at most this long. */
enum { CEL_TEXT_RESULT_MAX = 32 * 1024 * 1024 };
/* The text as Go quotes it (%q): for messages. Cut when long. */
enum { CEL_QUOTED_SIZE = 256 };
const char *cel_quoted(struct cel_value text, char buffer[static CEL_QUOTED_SIZE]);
/* What string(v) gives. */
struct cel_value cel_text_of(struct cel_run *run, struct cel_value v);
/* Bytes of the code point that starts a text which is not empty. */
size_t cel_code_point_size(struct cel_value text);
/* The rest of a text from a byte on, in place. */
static inline struct cel_value cel_text_from(struct cel_value text, size_t from) {
        return cel_string_at(text.text.data + from, text.text.size - from);
}

/* The libraries of this folder's lib-*.c. */
extern const struct cel_library cel_library_strings, cel_library_string_format, cel_library_lists,
                cel_library_lists_more, cel_library_sets, cel_library_regex, cel_library_url,
                cel_library_ip, cel_library_cidr, cel_library_quantity, cel_library_format,
                cel_library_semver;
