/* Folders that a program of others turns into manifests: kustomize (or kubectl kustomize) and helm.
 * The program runs in a process of its own, `kgitd render`, that is without network and bounded in
 * time, memory and size, on a copy of the commit's files. */
#pragma once

#include <git2.h>

#include "lib/json.h"
#include "lib/problem.h"

/* Renders answer's folders [{tool, path}] of the commit, each as one more entry of answer's files,
 * and takes folders out of it. request: that of the fetch, with mirror, name, namespace and, for
 * helm, helm {releaseName, valuesFiles, values}. p says what the program says. */
int render_folders(git_repository *repo, git_commit *commit, const json_t *request, json_t *answer,
                struct problem *p);

/* `kgitd render`: {dir, files, folders, ...} on stdin -> {files} or {error} on stdout. Returns the
 * exit code. */
int render_main(void);
