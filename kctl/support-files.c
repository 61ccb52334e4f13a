/* The answer of a machine to config/support.sh, taken apart. Pure. */
#include "kctl/support.h"

int support_each_file(const char *text, size_t n,
                int (*add)(const char *name, const char *text, size_t n, void *userdata),
                void *userdata) {
        for (const char *end = text + n; text < end;) {
                const char *newline = memchr(text, '\n', (size_t)(end - text)), *space;
                _cleanup_free_ char *line =
                                newline ? strndup(text, (size_t)(newline - text)) : NULL;
                const char *name = line ? startswith(line, "FILE ") : NULL;
                uint64_t size;
                int r;

                space = name ? strrchr(name, ' ') : NULL;
                if (!space || parse_u64(space + 1, &size) < 0 ||
                                size > (uint64_t)(end - newline - 1))
                        return -EBADMSG;
                line[space - line] = 0;
                r = add(name, newline + 1, size, userdata);
                if (r < 0)
                        return r;
                text = newline + 1 + size;
        }
        return 0;
}
