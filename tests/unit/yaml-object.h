/* An object written in YAML by printf rules. */
#pragma once

#include "tests/unit/unit.h"

#include "lib/yaml.h"

/* The first document; the caller unrefs. */
static _unused_ json_t *yaml(const char *fmt, ...) _printf_(1, 2);
static json_t *yaml(const char *fmt, ...) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        assert_true(vasprintf(&text, fmt, ap) >= 0);
        va_end(ap);
        if (yaml_parse(text, strlen(text), &docs, &p) < 0)
                fail_msg("%s in\n%s", p.message, text);
        return json_incref(docs.items[0].value);
}
