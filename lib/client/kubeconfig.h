/* Kubeconfig files: where the server is and who we are. Several files ($KUBECONFIG with colons) are
 * looked through in order, as kubectl does. */
#pragma once

#include "lib/base.h"
#include "lib/problem.h"

/* A cluster's entry may name further API servers, in an extension that kubectl keeps and ignores:
 *      extensions: [{name: keelson.dev/servers, extension: {servers: ["https://b:6443"]}}] */
#define KUBECONFIG_SERVERS "keelson.dev/servers"

/* The values of one context, files already read. All strings owned; NULL when absent. */
struct kubeconfig_context {
        char *server; /* "https://host:6443" or "unix:///path" */
        char **more;  /* further servers of the same cluster, or NULL */
        char *ns;     /* never NULL; "default" when the context names none */
        char *ca_pem;
        char *cert_pem;
        char *key_pem;
        char *token;
        char *tls_server_name;
        char **files;     /* every file that was read */
        char *as_user;    /* of kubeconfig_overrides: on behalf of whom, or NULL */
        char **as_groups; /* and of which groups */
};

/* What a command line says beside the files; NULL: nothing. */
struct kubeconfig_overrides {
        const char *context;
        const char *server;
        const char *token; /* instead of the user's certificate or token */
        const char *as_user;
        char *const *as_groups;
};

/* path NULL: $KUBECONFIG, then ~/.kube/config. context NULL: current-context. -ENOENT when there is
 * no file, -EINVAL when one cannot be used; p names file and remedy. */
int kubeconfig_load(struct kubeconfig_context *ret, const char *path, const char *context,
                struct problem *p);
/* The same with overrides. With a server and a token no file is needed. */
int kubeconfig_load_with(struct kubeconfig_context *ret, const char *path,
                const struct kubeconfig_overrides *o, struct problem *p);
void kubeconfig_context_done(struct kubeconfig_context *k);
