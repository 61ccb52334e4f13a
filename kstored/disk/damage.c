/* Messages about damaged data, and the note "kstored.damaged". */
#include "kstored/disk/damage.h"

#include <stdarg.h>

#include "lib/fileio.h"

enum { NOTE_SIZE_MAX = 4096 };

static const char remedy[] =
                "In a cluster replace this member from the others: stop it and run kstored "
                "--config FILE --replace; alone, restore a backup with kctl restore";

int damage_problem(struct problem *p, const char *fmt, ...) {
        char what[1024];
        va_list args;

        va_start(args, fmt);
        (void)vsnprintf(what, sizeof(what), fmt, args);
        va_end(args);
        return problem_set(p, EUCLEAN, 0, NULL, "%s. %s", what, remedy);
}

static char *note_path(const char *data_dir) {
        return strformat("%s/kstored.damaged", data_dir);
}

int damage_note(const char *data_dir, const char *what) {
        _cleanup_free_ char *path = note_path(data_dir);
        _cleanup_free_ char *text = strformat("%s\n", what);

        if (!path || !text)
                return -ENOMEM;
        return file_write_atomic(path, text, strlen(text), 0600);
}

int damage_check(const char *data_dir, struct problem *p) {
        _cleanup_free_ char *path = note_path(data_dir), *text = NULL;
        size_t n;
        int r = path ? file_read(path, NOTE_SIZE_MAX, &text, &n) : -ENOMEM;

        if (r == -ENOENT || r == -ENOTDIR)
                return 0;
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(strempty(path), "read", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        text[strcspn(text, "\n")] = 0;
        return damage_problem(p, "the data in %s was found damaged before: %s (%s)", data_dir, text,
                        path);
}
