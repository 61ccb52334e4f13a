/* Whether the control plane that is awaited can come up at all: a daemon that cannot start ends at
 * once, and systemd starts it again, for ever. Its own words say why. */
#include "kctl/machine.h"
#include "kctl/texts.h"

int machine_units_failing(struct machine *m, struct problem *p) {
        _cleanup_problem_ struct problem ignored = {0};
        _cleanup_buf_ struct buf out = {0};
        const char *words;
        int status;
        size_t n;

        /* A machine that cannot be asked now may be asked later. */
        if (machine_try(m, text_units_failing_sh, /* input= */ NULL, 0, 30, &out,
                            /* ret_stderr= */ NULL, &status, &ignored) < 0 ||
                        out.size == 0)
                return 0;
        n = strcspn(out.data, "\n");
        words = out.data + n + strspn(out.data + n, "\n");
        return problem_set(p, EIO, 0, NULL,
                        "%s: keelson-%.*s does not start: %.*s; `journalctl -u keelson-%.*s` there "
                        "has all of it",
                        machine_name(m), (int)n, out.data, (int)strcspn(words, "\n"),
                        *words ? words : "it gives no reason", (int)n, out.data);
}
