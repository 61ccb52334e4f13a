/* Folders that an external program turns into manifests: kustomize (or kubectl kustomize) and helm.
 * The program runs in its own process without network, sees programs and its own
 * folder only, and is bounded in time, memory and size; it works on a copy of the commit's files.
 */
#pragma once

#include <git2.h>
#include <sys/types.h>

#include "lib/json.h"
#include "lib/problem.h"

/* A process that waits for one request. */
struct renderer {
        pid_t pid; /* 0: there is none */
        int to, from;
};

/* Begins that process; before the caller gives up its own rights, because the renderer needs
 * others. */
int renderer_start(struct renderer *renderer);
/* Ends it; does nothing when it was not started. */
void renderer_stop(struct renderer *renderer);

/* Renders answer's folders [{tool, path}] of the commit, each as one more entry of answer's files,
 * and removes `folders` from it. request: that of the fetch, with mirror, name, namespace and, for
 * helm, helm {releaseName, valuesFiles, values}. p has the program's message. Once per renderer. */
int render_folders(struct renderer *renderer, git_repository *repo, git_commit *commit,
                const json_t *request, json_t *answer, struct problem *p);
