/* The Statuses at the end of exec and attach. */
#include "kapid/streams/exit-status.h"

#include "lib/json.h"

static char *text_of(json_t *status) {
        char *text = status ? json_text(status) : NULL;

        json_decref(status);
        return text;
}

char *exit_status_text(uint32_t code) {
        if (code == 0)
                return text_of(json_pack("{s{}, ss}", "metadata", "status", "Success"));
        return text_of(json_pack("{s{}, ss, ss, so, s{s[{ss, so}]}}", "metadata", "status",
                        "Failure", "reason", "NonZeroExitCode", "message",
                        json_sprintf("command terminated with non-zero exit code: exit code %u",
                                        code),
                        "details", "causes", "reason", "ExitCode", "message",
                        json_sprintf("%u", code)));
}

char *exit_failure_text(const char *why) {
        return text_of(json_pack("{s{}, ss, ss, so, s{s[{ss}]}, si}", "metadata", "status",
                        "Failure", "reason", "InternalError", "message",
                        json_sprintf("Internal error occurred: %s", why), "details", "causes",
                        "message", why, "code", 500));
}
