/* Kustomization files, as far as they decide which folders are rendered. Pure. */
#pragma once

#include "lib/json.h"

/* Whether a file of this name makes its folder one for kustomize. */
bool kustomization_is_name(const char *name);
/* Whether the text is such a file and rendered on its own: 1; a component, which only others use:
 * 0; another kind of that name (Flux has one): -EINVAL. refs (an object, keys only) gets the paths,
 * from the top of the repository, that it includes, seen from `folder`. */
int kustomization_read(const char *folder, const char *text, size_t n, json_t *refs);
/* `name` as seen from `folder`: "apps/web" + "../base/" -> "apps/base". NULL when it leads out of
 * the repository or is an address. Caller frees. */
char *tree_path_join(const char *folder, const char *name);
