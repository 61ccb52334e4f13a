/* Shared by the tests of kapid's pure half that make objects: through decoding, defaults, preparing
 * and validation, as a create does it. After cmocka. */
#pragma once

#include "lib/object.h"
#include "tests/unit/kapid-cases.h"

static _unused_ json_t *decode(const struct kind *k, const char *text) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *s = quoted(text);
        struct decoded d = {0};

        if (pipeline_decode(k, NULL, "application/json", s, strlen(s), FIELD_VALIDATION_STRICT, &d,
                            &p) < 0)
                fail_msg("%s", p.message);
        return d.object;
}

static _unused_ const struct pipeline_context context = {
                .now_us = 1700000000000000, .user = "jane", .user_uid = "u1"};

/* Through create up to validation; the finished object, or NULL with the message in *ret_message.
 */
static _unused_ json_t *create(const struct kind *k, const char *text, char **ret_message) {
        _cleanup_problem_ struct problem p = {0};
        json_t *o = decode(k, text);

        assert_int_equal(
                        json_set_str(o, "metadata.uid", "11111111-1111-4111-8111-111111111111"), 0);
        assert_int_equal(pipeline_default(k, o), 0);
        assert_int_equal(pipeline_prepare_create(k, o, &context), 0);
        if (pipeline_validate_create(k, o, &p) < 0) {
                if (!ret_message)
                        fail_msg("%s", p.message);
                assert_int_equal(p.code, 422);
                assert_string_equal(p.reason, "Invalid");
                assert_true(json_array_size(p.causes) > 0);
                *ret_message = strdup(p.message);
                json_decref(o);
                return NULL;
        }
        if (ret_message)
                fail_msg("expected a refusal");
        return o;
}

static _unused_ void create_fails(const struct kind *k, const char *text, const char *expected) {
        _cleanup_free_ char *message = NULL, *e = quoted(expected);

        create(k, text, &message);
        if (!strstr(message, e))
                fail_msg("\n got: %s\nwant: %s", message, e);
}
