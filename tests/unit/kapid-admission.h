/* Shared by the tests of admission: a kapid without store and listeners, one question to its
 * plugins, and what they want to go with the write. */
#pragma once

#include "tests/unit/unit.h"

#include "kapid/admission/plugins.h"
#include "kapid/admission/quota-accounts.h"
#include "kapid/api.h"
#include "kapid/auth/authz.h"
#include "kapid/store/alloc.h"
#include "lib/crypto.h"
#include "lib/log.h"
#include "lib/pki.h"
#include "tests/unit/kapid-cases.h"

#define NAME(name, plugin) name,
static const char *const names[] = {ADMISSION_PLUGINS(NAME)};
#undef NAME

/* A kapid without store and listeners, and what a write would take from the plugins. */
static struct api api;
static _unused_ char **warnings;
static struct key { char *key, *owner; } keys[16];
static size_t key_count;
static _unused_ char *masters_request, *agent_request; /* base64 of PEM */

static _unused_ void put(
                const char *group, const char *plural, const char *path, const char *text) {
        static uint64_t revision;
        const struct kind *k = kind_registry_find_resource(api.kinds, group, plural);
        _cleanup_free_ char *key = strformat("%s%s", k->storage_prefix, path);
        _cleanup_free_ char *value = quoted(text);

        assert_int_equal(caches_feed(api.caches, key, value, strlen(value), ++revision), 0);
        caches_feed_done(api.caches, revision);
}

static _unused_ void on_change(struct cache *c, const struct change *change, void *userdata) {
        quotas_on_change(api.quotas, c, change);
}

static _unused_ void fill(void) {
        put("", "namespaces", "bounded", "{'metadata':{'name':'bounded'}}");
        put("", "limitranges", "bounded/l",
                        "{'metadata':{'name':'l','namespace':'bounded'},'spec':{'limits':[{'type':"
                        "'Container','max':{'cpu':'1'}}]}}");
        put("", "resourcequotas", "bounded/q",
                        "{'metadata':{'name':'q','namespace':'bounded'},'spec':{'hard':{'secrets':"
                        "'0'}}}");
        put("", "namespaces", "shop", "{'metadata':{'name':'shop'}}");
        put("keelson.dev", "addresspools", "lan",
                        "{'metadata':{'name':'lan'},'spec':{'addresses':['203.0.113.9-"
                        "203.0.113.20']}}");
        put("", "namespaces", "open",
                        "{'metadata':{'name':'open','labels':{"
                        "'pod-security.kubernetes.io/enforce':'privileged'}}}");
        put("", "namespaces", "gone",
                        "{'metadata':{'name':'gone','deletionTimestamp':'2024-01-01T00:00:00Z'}}");
        put("", "serviceaccounts", "shop/builder",
                        "{'metadata':{'name':'builder'},'imagePullSecrets':[{'name':'registry'}]}");
        put("", "nodes", "n1",
                        "{'metadata':{'name':'n1'},'spec':{'taints':[{'key':'a','effect':"
                        "'NoSchedule'}]},'status':{'addresses':[{'address':'192.0.2.7'}]}}");
        put("scheduling.k8s.io", "priorityclasses", "usual",
                        "{'metadata':{'name':'usual'},'value':7,'globalDefault':true,"
                        "'preemptionPolicy':'Never'}");
        put("rbac.authorization.k8s.io", "clusterroles", "reader",
                        "{'kind':'ClusterRole','metadata':{'name':'reader'},'rules':[{'apiGroups':"
                        "[''],'resources':['pods'],'verbs':['get']}]}");
        put("rbac.authorization.k8s.io", "clusterroles", "writer",
                        "{'kind':'ClusterRole','metadata':{'name':'writer'},'rules':[{'apiGroups':"
                        "[''],'resources':['pods'],'verbs':['*']}]}");
        put("rbac.authorization.k8s.io", "clusterrolebindings", "reader",
                        "{'kind':'ClusterRoleBinding','metadata':{'name':'reader'},'roleRef':{"
                        "'kind':'ClusterRole','name':'reader'},'subjects':[{'kind':'User','name':"
                        "'bob'}]}");
}

static _unused_ char *request_for(const char *cn, const char *organization) {
        const char *const organizations[] = {organization, NULL};
        _cleanup_free_ char *key = NULL, *pem = NULL;

        assert_int_equal(pki_key_new(&key), 0);
        assert_int_equal(pki_csr_new(key,
                                         &(struct pki_subject){
                                                         .cn = cn, .organizations = organizations},
                                         &pem),
                        0);
        return base64_encode(pem, strlen(pem));
}

static _unused_ int set_up(void **state) {
        _cleanup_problem_ struct problem p = {0};

        log_setup("test", LOG_ERR);
        api.options = (struct api_options){
                        .service_range = "10.96.0.0/28", .pod_security_default = LEVEL_BASELINE};
        assert_true(sd_event_new(&api.event) >= 0);
        assert_int_equal(kind_registry_new(&api.kinds, &p), 0);
        assert_int_equal(alloc_new(&api.alloc, api.options.service_range, &p), 0);
        api.quotas = quotas_new(&api);
        assert_non_null(api.quotas);
        assert_int_equal(caches_new(&api.caches, api.event,
                                         &(struct caches_options){.on_change = on_change}),
                        0);
        assert_int_equal(cache_keep_index(caches_get(api.caches, "/registry/pods/"),
                                         &pods_by_node),
                        0);
        api.rbac = rbac_new();
        assert_non_null(api.rbac);
        fill();
        masters_request = request_for("x", "system:masters");
        agent_request = request_for("system:node:n2", "system:nodes");
        return 0;
}

static _unused_ int tear_down(void **state) {
        free(masters_request);
        free(agent_request);
        rbac_free(api.rbac);
        caches_free(api.caches);
        quotas_free(api.quotas);
        alloc_free(api.alloc);
        kind_registry_free(api.kinds);
        sd_event_unref(api.event);
        return 0;
}

/* --- one question --- */

static _unused_ int add_key(void *userdata, const char *key, const char *owner) {
        assert_true(key_count < ELEMENTS(keys));
        keys[key_count].key = strdup(key);
        keys[key_count++].owner = owner ? strdup(owner) : NULL;
        return 0;
}

static _unused_ void forget(void) {
        warnings = strv_free(warnings);
        for (size_t i = 0; i < key_count; i++) {
                free(keys[i].key);
                free(keys[i].owner);
        }
        key_count = 0;
}

struct question {
        const char *user, *user_group; /* NULL: bob of no group */
        const char *group, *plural, *subresource;
        const char *namespace, *name;
        const char *live, *object; /* JSON with single quotes */
};

static _unused_ int run(struct admission_chain *chain, const struct question *q,
                enum admission_stage stage, json_t *live, json_t *object, struct problem *p) {
        char *groups[] = {(char *)q->user_group, NULL};
        struct user user = {.name = (char *)(q->user ? q->user : "bob"), .groups = groups};
        bool deletes = stage == ADMISSION_MAY_DELETE || stage == ADMISSION_DELETED;
        struct admission a = {.api = &api,
                        .user = &user,
                        .operation = deletes                          ? ADMIT_DELETE
                                     : stage == ADMISSION_MAY_CONNECT ? ADMIT_CONNECT
                                     : live                           ? ADMIT_UPDATE
                                                                      : ADMIT_CREATE,
                        .kind = kind_registry_find_resource(api.kinds, q->group, q->plural),
                        .subresource = strempty(q->subresource),
                        .namespace = strempty(q->namespace),
                        .name = strempty(q->name),
                        .live = live,
                        .object = object,
                        .draft = stage == ADMISSION_MUTATE ? object : NULL,
                        .warnings = &warnings,
                        .add_key = add_key};

        assert_non_null(a.kind);
        return admission_run(chain, &a, stage, p);
}

static _unused_ struct admission_chain *chain_new(
                const struct admission_options *o, struct metrics *m) {
        _cleanup_problem_ struct problem p = {0};
        struct admission_chain *chain = NULL;

        if (admission_chain_new(&chain, o, m, &p) < 0)
                fail_msg("%s", strempty(p.message));
        return chain;
}

/* All but the one, or the one alone. */
static _unused_ struct admission_chain *chain_of(const char *name, bool alone) {
        char *disable[ELEMENTS(names) + 1] = {NULL};
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (streq(names[i], name) != alone)
                        disable[n++] = (char *)names[i];
        return chain_new(&(struct admission_options){.disable = disable}, NULL);
}
