/* The unit of a job, and its answers. The unit's own sandbox is the outer one: it bounds the part
 * of the program that has more rights than the two which read bytes from outside. */
#include "nodeagent/image/job.h"

#include "nodeagent/image/cause.h"

enum { MESSAGE_MAX = 4096 };

/* Users and groups of the fetcher, chroot of the unpacker, owners and modes of files. */
static json_t *capabilities(void) {
        return json_pack("[s, s, s, s, s, s, s, s, s]", "CAP_CHOWN", "CAP_DAC_OVERRIDE",
                        "CAP_FOWNER", "CAP_FSETID", "CAP_SETFCAP", "CAP_SETUID", "CAP_SETGID",
                        "CAP_SETPCAP", "CAP_SYS_CHROOT");
}

static json_t *properties(const struct image_unit_options *o) {
        const int64_t memory = o->memory_max ? (int64_t)o->memory_max : INT64_C(512) << 20,
                      timeout = o->timeout_us ? (int64_t)o->timeout_us : INT64_C(3660) * 1000000;

        return json_pack("{s:s, s:s, s:[[s]], s:s, s:s, s:s, s:s, s:s, s:I, s:i, s:I, s:i, s:s, "
                         "s:[s], s:s, s:b, s:b, s:b, s:b, s:b, s:o, s:{s:b, s:[s, s, s]}, s:i}",
                        "Description", "keelson: fetches or unpacks a container image", "Type",
                        "oneshot", "ExecStartEx", o->program, "CollectMode", "inactive-or-failed",
                        "Slice", "keelson-images.slice", "StandardInputFile", o->request,
                        "StandardOutputFile", o->answers, "StandardError", "journal", "MemoryMax",
                        memory, "TasksMax", 32, "TimeoutStartUSec", timeout, "OOMScoreAdjust", 500,
                        "ProtectSystem", "strict", "ReadWritePaths", o->store, "ProtectHome",
                        "read-only", "PrivateDevices", 1, "NoNewPrivileges", 1,
                        "MemoryDenyWriteExecute", 1, "ProtectKernelTunables", 1,
                        "ProtectKernelModules", 1, "CapabilityBoundingSet", capabilities(),
                        "RestrictAddressFamilies", "allow", 1, "names", "AF_UNIX", "AF_INET",
                        "AF_INET6", "UMask", 077);
}

json_t *image_unit(const struct image_unit_options *o) {
        return json_pack("{s:s, s:o}", "name", o->name, "properties", properties(o));
}

int image_answer_parse(const char *line, size_t n, json_t **ret) {
        _cleanup_json_ json_t *answer = NULL;
        int r;

        if (n > IMAGE_ANSWER_LINE_MAX)
                return -EBADMSG;
        r = json_parse(line, n, 0, &answer, NULL);
        if (r == -ENOMEM)
                return r;
        if (r < 0 || !json_str(answer, "type"))
                return -EBADMSG;
        *ret = TAKE_PTR(answer);
        return 0;
}

void image_answer_problem(const json_t *answer, struct problem *p) {
        const char *message = json_str_or(answer, "message", "the image cannot be had");
        enum image_cause cause = image_cause_from_text(json_str_or(answer, "cause", ""));
        int64_t wait_s = json_int_or(answer, "retryAfter", 0);

        image_problem(p, EIO, cause, "%.*s", MESSAGE_MAX, message);
        p->retry_after_s = wait_s > 0 ? (int)MIN(wait_s, INT64_C(3600)) : 0;
}

char *image_progress_text(const json_t *answer) {
        static const struct {
                const char *phase, *verb;
        } verbs[] = {{"fetching", "Pulling"}, {"unpacking", "Unpacking"}};
        const char *phase = json_str_or(answer, "phase", "");
        long long layer = json_int_or(answer, "layer", 0),
                  layers = json_int_or(answer, "layers", 0);
        double done = (double)json_int_or(answer, "done", 0) / 1e6,
               total = (double)json_int_or(answer, "total", 0) / 1e6;

        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                if (streq(verbs[i].phase, phase))
                        return strformat("%s layer %lld of %lld: %.1f of %.1f MB", verbs[i].verb,
                                        layer, layers, done, total);
        return strdup(streq(phase, "storing") ? "Storing the image" : "Resolving the name");
}
