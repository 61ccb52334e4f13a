/* Git: one fetch of one source into its mirror, and the manifests of the commit. It runs in a child
 * process of kgitd (`kgitd fetch`), so that a hanging fetch can be killed at its deadline, and the
 * memory of libgit2 is freed with it. The request comes on stdin as one JSON object (secrets never
 * in argv), the answer leaves on stdout as another. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

enum {
        FETCH_FILE_SIZE_MAX = 8 << 20,
        FETCH_FILES_MAX = 50000,
        FETCH_TOTAL_SIZE_MAX = 64 << 20,
        FETCH_IGNORED_MAX = 100,
        FETCH_SILENCE_S = 20,
};

/* request: {url, refKind: branch|tag|commit, ref, path, mirror (folder), known (a commit whose
 * files are not needed again, or ""), username, password, identity, knownHosts, caFile (PEM),
 * include, exclude, name, namespace, helm (optional)}. Answer: {commit, revision ("main@sha1:<commit>"), summary,
 * unchanged: true} or the same with files: [{name, text}] sorted by name, those of renderers last,
 * and ignored: ["name (why)"]. p names the URL, the cause and the remedy. */
int fetch_run(const json_t *request, json_t **ret, struct problem *p);

/* `kgitd fetch`: stdin -> fetch_run -> stdout; a refusal is {error}. Before the answer, a line
 * {progress: "text for people"} about every second while bytes come. When the server is silent for
 * FETCH_SILENCE_S, the answer is an error that says so. Returns the exit code. */
int fetch_main(void);
