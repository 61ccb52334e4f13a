/* Pages of the program and its libraries leave the process, and come back where they are used. */
#include "tests/unit/unit.h"

#include <link.h>
#include <stdio.h>

#include "lib/library-pages.h"

enum { PAGE = 4096 };

struct touched {
        size_t bytes;
        unsigned sum;
};

/* Reads each page of what is not writable. */
static int touch(struct dl_phdr_info *info, size_t size, void *userdata) {
        struct touched *t = userdata;

        for (size_t i = 0; i < info->dlpi_phnum; i++) {
                const ElfW(Phdr) *h = &info->dlpi_phdr[i];
                const volatile unsigned char *data = (void *)(info->dlpi_addr + h->p_vaddr);

                if (h->p_type != PT_LOAD || h->p_flags & PF_W || !(h->p_flags & PF_R))
                        continue;
                for (size_t at = 0; at < h->p_memsz; at += PAGE)
                        t->sum += data[at];
                t->bytes += h->p_memsz;
        }
        return 0;
}

/* Of files, in bytes. */
static size_t resident(void) {
        char line[256];
        size_t kb = 0;
        FILE *f = fopen("/proc/self/status", "re");

        assert_non_null(f);
        while (fgets(line, sizeof(line), f))
                if (sscanf(line, "RssFile: %zu", &kb) == 1)
                        break;
        assert_int_equal(fclose(f), 0);
        return kb * 1024;
}

static void test_release(void **state) {
        struct touched first = {0}, again = {0};
        size_t before, after;

        (void)dl_iterate_phdr(touch, &first);
        before = resident();
        assert_true(first.bytes > 1 << 20 && before >= first.bytes / 2);
        library_pages_release();
        after = resident();
        if (after > before - first.bytes / 2)
                fail_msg("%zu bytes are resident, %zu were", after, before);
        (void)dl_iterate_phdr(touch, &again);
        assert_int_equal(again.sum, first.sum);
        assert_true(resident() > after);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_release)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
