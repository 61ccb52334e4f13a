/* Fields that are accepted, because Kubernetes' manifests have them, and have no effect here. The
 * table is made at build time from the kinds' documents (x-keelson-no-effect, see
 * kapid/kinds/documents.h); kapid warns the writer of such a field, the agent says it in an event,
 * docs/fields-without-effect.md lists them. */
#pragma once

#include "lib/json.h"

struct no_effect_row {
        const char *path;   /* "spec.containers[].tty" */
        const char *text;   /* why, for people: "programs have no terminal yet" */
        const char *value;  /* only this value has none ("Indexed", "true"); NULL: none has */
        const char *except; /* values that begin with one of these words have one; NULL: none has */
        const char *usual;  /* the default, as text: says nothing; NULL: there is none */
};
struct no_effect_kind {
        const char *group, *kind;
        const struct no_effect_row *rows;
        size_t count;
};
struct no_effect_table {
        const struct no_effect_kind *kinds;
        size_t count;
};
/* Made by kapid/kinds/kinds-to-c. */
extern const struct no_effect_table no_effect_table;

/* Calls found for every such field of `object` whose value is not empty and not that of `old`
 * (NULL: there was none) at the same place. path is where it stands: "spec.containers[0].tty". */
void no_effect_find(const struct no_effect_table *t, const char *group, const char *kind,
                const json_t *old, const json_t *object,
                void (*found)(void *userdata, const char *path, const char *text), void *userdata);
