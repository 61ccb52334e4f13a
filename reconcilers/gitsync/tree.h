/* Finds the manifests in a commit's tree: files by name, folders that a renderer turns into
 * manifests, patterns that choose, and a note on everything that is left out. Nothing is written to
 * disk; links are followed within the commit only. */
#pragma once

#include <git2.h>

#include "lib/json.h"
#include "lib/problem.h"

/* request: {path, include: [patterns], exclude: [patterns]}. Adds to answer: files [{name, text}],
 * ignored ["name (why)"], and where there are folders to render, folders [{tool: kustomize|helm,
 * path}]. Names are from the top of the repository. p names the file and the remedy. */
int tree_read(git_repository *repo, git_commit *commit, const json_t *request, json_t *answer,
                struct problem *p);
/* Every file of the commit, for a renderer: [{name, text}] or, for files that are not text, {name,
 * base64}. Files too large for a manifest are left out and named in answer's ignored. New reference
 * in *ret.
 */
int tree_export(git_repository *repo, git_commit *commit, json_t *answer, json_t **ret,
                struct problem *p);
