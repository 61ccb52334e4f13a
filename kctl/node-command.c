/* The pure parts of `kctl node run`. */
#include "kctl/node-run.h"
#include "lib/buf.h"
#include "lib/ssh.h"

char *node_run_command(char *const *words) {
        _cleanup_buf_ struct buf b = {0};

        if (words && words[0] && !words[1])
                return strdup(words[0]);
        for (char *const *w = words; w && *w; w++) {
                _cleanup_free_ char *quoted = shell_quote(*w);

                if (!quoted)
                        return NULL;
                buf_printf(&b, "%s%s", b.size > 0 ? " " : "", quoted);
        }
        return buf_take(&b);
}

int node_run_code(const int *codes, size_t n) {
        int code = 0;

        for (size_t i = 0; i < n; i++)
                code = MAX(code, codes[i]);
        return code;
}
