/* kapid has an index for this field selector. */
#include "kctl/node-pods.h"

int node_pods(struct kctl *k, const char *node, json_t **ret, struct problem *p) {
        _cleanup_free_ char *query = strformat("fieldSelector=spec.nodeName%%3D%s", node),
                            *path = NULL;

        if (!query)
                return -ENOMEM;
        path = api_path(api_resource(KIND_PODS), /* ns= */ NULL, /* name= */ NULL,
                        /* subresource= */ NULL, query);
        return path ? api_get(k->client, path, ret, p) : -ENOMEM;
}
