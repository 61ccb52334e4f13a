/* Reads its file at every action; it costs nothing where no file is named. */
#include "nodeagent/pod/crash.h"

#include <signal.h>

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/object.h"

enum { FILE_SIZE_MAX = 16 * 1024 };

const char *crash_file(void) {
        const char *file = getenv("KEELSON_LAB_CRASH");

        return isempty(file) ? NULL : file;
}

/* Whether the text has the line, which must end with a newline; it is taken out then. */
static bool take_line(char *text, const char *line) {
        char *at = text;

        while ((at = strstr(at, line)) && at != text && at[-1] != '\n')
                at++;
        if (!at)
                return false;
        memmove(at, at + strlen(line), strlen(at + strlen(line)) + 1);
        return true;
}

void crash_here(const char *file, const char *when, const char *action, const json_t *pod) {
        _cleanup_free_ char *text = NULL, *line = NULL;
        size_t n = 0;

        if (!file || file_read(file, FILE_SIZE_MAX, &text, &n) < 0)
                return;
        line = strformat("%s %s %s/%s\n", when, action, object_namespace(pod), object_name(pod));
        if (!line || !take_line(text, line) ||
                        file_write_atomic(file, text, strlen(text), 0600) < 0)
                return;
        log_warning("Ended by a test: %.*s", (int)strlen(line) - 1, line);
        (void)raise(SIGKILL);
}
