/* A cluster in a few lines, for tests of lib/sched/. */
#pragma once

#include "tests/unit/unit.h"

#include "lib/sched/internal.h"
#include "tests/unit/yaml-object.h"

static _unused_ struct sched_cluster *cluster_new(void) {
        struct sched_cluster *c = sched_cluster_new();
        const struct sched_profile *profile;

        assert_int_equal(sched_profile_add(c, NULL, &profile, NULL), 0);
        return c;
}

/* A ready node of 2 cpus, 4 GiB and 3 pods; labels and spec are the insides of YAML maps. */
static _unused_ void add_node(
                struct sched_cluster *c, const char *name, const char *labels, const char *spec) {
        _cleanup_json_ json_t *node =
                        yaml("metadata: {name: %s, labels: {kubernetes.io/hostname: %s%s%s}}\n"
                             "spec: {%s}\n"
                             "status: {allocatable: {cpu: '2', memory: 4Gi, pods: '3'}, "
                             "conditions: [{type: Ready, status: 'True'}]}\n",
                                        name, name, *labels ? ", " : "", labels, spec);

        sched_cluster_put_node(c, node);
}

/* A pod "d/name" with the uid "u-name", labels app: owner. */
static _unused_ json_t *pod(
                const char *name, const char *owner, const char *spec, const char *requests) {
        return yaml("metadata: {name: %s, namespace: d, uid: u-%s, labels: {app: '%s'}, "
                    "ownerReferences: [{uid: '%s', controller: true}]}\n"
                    "spec: {%s%scontainers: [{name: c, resources: {requests: {%s}}}]}\n"
                    "status: {phase: Running}\n",
                        name, name, owner, owner, spec, *spec ? ", " : "", requests);
}

static _unused_ void add_pod(struct sched_cluster *c, const char *name, const char *owner,
                const char *node, const char *spec, const char *requests) {
        _cleanup_free_ char *on = strformat("nodeName: %s%s%s", node, *spec ? ", " : "", spec);
        _cleanup_json_ json_t *o = pod(name, owner, on, requests);

        sched_cluster_put_pod(c, o);
}

static _unused_ struct sched_pod *read_pod(struct sched_cluster *c, const json_t *object) {
        return sched_pod_new(c, c->profiles.items[0], object);
}

/* Where it would go: a node's name, or the message. */
static _unused_ char *place(struct sched_cluster *c, const json_t *object) {
        _cleanup_sched_reasons_ struct sched_reasons why = {0};
        struct sched_pod *p = read_pod(c, object);
        const char *n = sched_choose(c, p, /* tie= */ 0, &why);
        char *result = n ? strdup(n) : sched_message(c, &why);

        sched_pod_free(c, p);
        return result;
}

#define assert_place(c, name, spec, requests, expected) \
        do { \
                _cleanup_json_ json_t *_o = pod(name, "o", spec, requests); \
                _cleanup_free_ char *_r = place(c, _o); \
                assert_string_equal(_r, expected); \
        } while (0)

/* Places the pod for good, and says where. */
static _unused_ char *assume(struct sched_cluster *c, const json_t *object) {
        struct sched_pod *p = read_pod(c, object);
        char *node = place(c, object);

        assert_non_null(map_get(c->nodes, node));
        sched_cluster_assume(c, p, node);
        sched_pod_free(c, p);
        return node;
}
