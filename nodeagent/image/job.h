/* What the agent asks of the program keelson-image, and what it answers: pure, for both sides.
 *
 * The request is one line of JSON on standard input, so that no secret is in the arguments:
 *
 *      {"action": "pull", "image": "nginx:1.25", "credentials": [documents of imagePullSecrets],
 *       "store": folder, "settings": file, "limits": of limits.h, "platform": {"os",
 *       "architecture", "variant"}}
 *      {"action": "import", "path": archive or folder, "name": for an image without one, "store",
 *       "limits", "platform"}
 *      {"action": "remove", "images": [ids or names], "store"}
 *      {"action": "sweep", "store"}
 *      {"action": "copy", "image": id, "to": an empty folder, "store"}   a copy of the root, where
 *                                      an overlay cannot be mounted
 *
 * Only "action" and what it needs must be there; "store" is IMAGE_STORE_DIR, "settings"
 * IMAGE_SETTINGS_FILE, platform the machine's. import without "path" reads the archive from
 * standard input, behind the request's line.
 *
 * The answers are lines of JSON on standard output:
 *
 *      {"type": "progress", "phase": "resolving"|"fetching"|"unpacking"|"storing", "layer": from 1,
 *       "layers": number, "done": bytes, "total": bytes}       at most one in 200 ms a phase
 *      {"type": "image", "image": record of the store, "already": true when it was there}
 *                                      pull: one; import: one for each image
 *      {"type": "removed", "image": what the request named}
 *      {"type": "failed", "reason": "ErrImagePull"|"InvalidImageName", "cause": of cause.h,
 *       "message": sentence, "retryAfter": seconds, 0: none}
 *      {"type": "done"}                after success only
 *
 * The last line is "failed" or "done". Without one of them the program was killed: out of memory or
 * time. Exit code 0 after "done", else 1.
 *
 * The program is started by root. It forks: a process with another user (65534), without
 * capabilities and below Landlock talks to the registry and writes blobs; one in the layer's folder
 * as its root (chroot), with the capabilities for owners and modes only, without sockets, unpacks.
 * The one between them checks, names and commits. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

enum { IMAGE_REQUEST_SIZE_MAX = 4 << 20, IMAGE_ANSWER_LINE_MAX = 8 << 20 };
#define IMAGE_PROGRAM "keelson-image"

/* The unit that runs a request: {"name", "properties"} for units_exec_start(). name: of the unit;
 * program: path of keelson-image; request, answers: files (the request's is 0600, and deleted by
 * the caller at the end). NULL when out of memory; the caller unrefs. */
struct image_unit_options {
        const char *name, *program, *request, *answers, *store;
        uint64_t memory_max; /* bytes; 0: 512 MiB */
        uint64_t timeout_us; /* 0: 1 h and a minute */
};
json_t *image_unit(const struct image_unit_options *options) _warn_unused_;

/* Reads one answer line. *ret: a new reference. -EBADMSG: not one. */
int image_answer_parse(const char *line, size_t n, json_t **ret);
/* Of a "failed" answer: fills p with reason, message, retry_after_s and the cause (cause.h). */
void image_answer_problem(const json_t *answer, struct problem *p);
/* The message of an event for a "progress" answer: "Pulling layer 2 of 5: 10 of 31 MB". Caller
 * frees; NULL when out of memory. */
char *image_progress_text(const json_t *answer) _warn_unused_;
