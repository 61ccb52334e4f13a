/* To resolve its symbols the dynamic linker reads the tables of each library, also of those that
 * are only there because another one needs them, and the kernel maps the pages around each that is
 * read. Segments that are not writable are never changed (relocations are in writable ones, which
 * the linker protects afterwards), so that madvise(2) loses nothing. */
#include "lib/library-pages.h"

#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base.h"

static bool has_text_relocations(const struct dl_phdr_info *info) {
        for (size_t i = 0; i < info->dlpi_phnum; i++) {
                const ElfW(Phdr) *h = &info->dlpi_phdr[i];

                if (h->p_type != PT_DYNAMIC)
                        continue;
                for (const ElfW(Dyn) *d = (const ElfW(Dyn) *)(info->dlpi_addr + h->p_vaddr);
                                d->d_tag != DT_NULL; d++)
                        if (d->d_tag == DT_TEXTREL ||
                                        (d->d_tag == DT_FLAGS && d->d_un.d_val & DF_TEXTREL))
                                return true;
        }
        return false;
}

/* Whole pages of the segment only: the first and the last one may be shared with a writable one. */
static int release(struct dl_phdr_info *info, size_t size, void *userdata) {
        const uintptr_t page = *(const uintptr_t *)userdata;

        if (has_text_relocations(info))
                return 0;
        for (size_t i = 0; i < info->dlpi_phnum; i++) {
                const ElfW(Phdr) *h = &info->dlpi_phdr[i];
                uintptr_t begin = info->dlpi_addr + h->p_vaddr, end = begin + h->p_memsz;

                if (h->p_type != PT_LOAD || h->p_flags & PF_W)
                        continue;
                begin = (begin + page - 1) / page * page;
                end = end / page * page;
                if (begin < end)
                        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
        }
        return 0;
}

void library_pages_release(void) {
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

        (void)dl_iterate_phdr(release, &page);
}
