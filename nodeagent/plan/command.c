/* The file that passes a command to kpod-exec: pure, JSON in, bytes out. Its format is described in
 * kpod-exec.c. */
#include "nodeagent/plan/pids.h"
#include "nodeagent/plan/plan.h"

static void field(struct buf *b, char kind, const char *text) {
        buf_append_char(b, kind);
        buf_append(b, text, strlen(text) + 1);
}

char *pod_command_file(const json_t *start, const char *file, size_t *ret_size) {
        const json_t *words = json_get(start, "commands", file, NULL), *v;
        const char *directory = json_str_or(start, "workingDir", "");
        _cleanup_buf_ struct buf b = {0};
        size_t i;

        if (json_array_size(words) == 0)
                return NULL;
        buf_append_str(&b, "kpod-exec 1\n");
        pids_command_fields(start, file, &b);
        if (*directory)
                field(&b, 'D', directory);
        if (streq(file, "main") && json_str(start, "messagePath"))
                field(&b, 'T', json_str(start, "messagePath"));
        json_array_foreach (json_at(start, "environment"), i, v)
                field(&b, 'E', strempty(json_string_value(v)));
        json_array_foreach (words, i, v)
                field(&b, 'A', strempty(json_string_value(v)));
        *ret_size = b.size;
        return buf_take(&b);
}
