/* The process that talks to a registry: commands in, bytes into one file that it has open.
 *
 *      {"get": "manifest", "digest": null or what an index named}
 *      {"get": "blob", "digest", "size"}
 *
 * Each is answered by {"type": "ok", "size", "digest": of a manifest's bytes} when the file holds
 * exactly the bytes, or by "failed"; blobs with {"type": "progress", "done", "total"} before. */
#pragma once

#include "lib/json.h"
#include "nodeagent/image/limits.h"
#include "nodeagent/image/reference.h"

struct image_fetch_options {
        const struct image_reference *reference;
        const json_t *credentials, *settings; /* as in registry.h */
        struct image_limits limits;
        int file; /* of the bytes; open for reading and writing */
};

/* For struct image_child_options.run, with a struct image_fetch_options. Enters the sandbox. */
int image_fetch_run(int in, int out, void *userdata);
