/* Git: one fetch of one source into its mirror, and the manifests of the commit. It runs in a child
 * process of kgitd (`kgitd fetch`), so that a server that hangs can be killed at its deadline, and
 * what libgit2 allocates goes with it. The request comes on stdin as one JSON object (secrets never
 * in argv), the answer leaves on stdout as another. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

enum {
        FETCH_FILE_SIZE_MAX = 1 << 20,
        FETCH_FILES_MAX = 50000,
        FETCH_TOTAL_SIZE_MAX = 64 << 20,
        FETCH_IGNORED_MAX = 100,
};

/* request: {url, refKind: branch|tag|commit, ref, path, mirror (folder), known (a commit whose
 * files are not needed again, or ""), username, password, identity, knownHosts (optional)}. Answer:
 * {commit, revision ("main@sha1:<commit>"), summary, unchanged: true} or the same with files:
 * [{name, text}] sorted by name and ignored: the links and submodules that were not followed. p
 * names the URL, the cause and the remedy. */
int fetch_run(const json_t *request, json_t **ret, struct problem *p);

/* `kgitd fetch`: stdin -> fetch_run -> stdout; a refusal is {error}. Returns the exit code. */
int fetch_main(void);
