/* Filling in templates. */
#include "kctl/template.h"

#include "lib/buf.h"

static const char *value_of(const struct template_value *values, const char *name, size_t n) {
        for (; values->name; values++)
                if (strlen(values->name) == n && memcmp(values->name, name, n) == 0)
                        return values->text;
        assert_not_reached(); /* a place without a value */
}

char *template_fill(const char *template, const struct template_value *values) {
        _cleanup_buf_ struct buf b = {0};

        for (const char *begin; (begin = strstr(template, "{{"));) {
                const char *name = begin + 2, *end = strstr(name, "}}");

                assert(end);
                buf_append(&b, template, (size_t)(begin - template));
                buf_append_str(&b, value_of(values, name, (size_t)(end - name)));
                template = end + 2;
        }
        buf_append_str(&b, template);
        return buf_take(&b);
}
