/* What libFuzzer calls; the target is the one that $KEELSON_FUZZ names. */
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct fuzz_target *target(void) {
        const char *name = getenv("KEELSON_FUZZ");

        for (size_t i = 0; name && i < fuzz_target_count; i++)
                if (streq(fuzz_targets[i].name, name))
                        return &fuzz_targets[i];
        fprintf(stderr, "KEELSON_FUZZ names no target\n");
        exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        static const struct fuzz_target *t;
        char *text = malloc(n + 1);

        if (!t)
                t = target();
        if (!text)
                return 0;
        memcpy(text, data, n);
        text[n] = '\0';
        t->run(text, n);
        free(text);
        return 0;
}
