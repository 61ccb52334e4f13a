/* The machines of the control plane: which there are (ConfigMap kube-system/keelson-control, a key
 * a machine), and how one is added and removed. */
#pragma once

#include "kctl/machine.h"

#define CONTROLS_CONFIGMAP "keelson-control" /* in kube-system */
enum { CONTROLS_MAX = 9 };

struct control {
        char *name;    /* of its store's member: the host name */
        char *address; /* under which the others and the nodes reach it */
        char *ssh;     /* "root@host:port"; "" where kctl ran there */
};
struct controls {
        struct control items[CONTROLS_MAX];
        size_t count;
        uint16_t port; /* of the API, on all of them */
};
void controls_done(struct controls *c);
#define _cleanup_controls_ _cleanup_(controls_done)

/* From the ConfigMap's data; sorted by name. Pure. */
int controls_parse(const json_t *data, struct controls *ret, struct problem *p);
/* By name, address or SSH target ("root@host", its host alone); NULL: none. */
const struct control *controls_find(const struct controls *c, const char *word);
/* "https://10.0.0.1:6443" of each, ended by NULL. */
int controls_servers(const struct controls *c, char ***ret);

/* An API that has no such ConfigMap (it is of an earlier version) has none of them. */
int controls_read(struct kctl *k, struct controls *ret, struct problem *p);
/* Writes the machine's key. */
int controls_write(struct kctl *k, const struct control *c, uint16_t port, struct problem *p);
int controls_remove(struct kctl *k, const char *name, struct problem *p);

/* A URL of this scheme, host and port; an address of IPv6 is put in brackets. Caller frees. */
char *control_url(const char *address, unsigned port) _warn_unused_;
/* The name under which kapid at this address publishes itself (an EndpointSlice). Caller frees. */
char *control_slice(const char *address) _warn_unused_;

/* Makes m a further machine of the control plane that `from` is one of. (control-add.c) */
int control_add(struct kctl *k, struct machine *from, struct machine *m, const char *where,
                struct problem *p);
/* The API server at this address is no longer one of the cluster's. */
int control_unpublish(struct kctl *k, const char *address, struct problem *p);
/* Waits until the API server at this URL, on m, is ready. */
int control_wait_ready(struct kctl *k, struct machine *m, const char *url, struct problem *p);
/* What the certificates of a machine name. */
struct control_hosts {
        const char *hostname;
        const char *address; /* its own */
        const char *kept;    /* another of its own; or NULL */
        const char *api;     /* of --api-address, an address or a name; or NULL */
};
/* The kapid.crt of the machine is for its address and the API's; signed again, with all of them,
 * when it is not. 1 when it was. */
int control_certify(struct machine *m, const struct control_hosts *hosts, struct problem *p);
/* Has every machine's daemons and administrator know all servers. */
int control_spread(struct kctl *k, struct problem *p);
/* The same on one machine, with these. */
int control_spread_on(
                struct machine *m, const struct controls *c, const char *api, struct problem *p);
int control_open(struct kctl *k, const struct control *c, struct machine **ret, struct problem *p);
/* A machine of the control plane that can be reached, other than `not` (NULL: any). */
int control_open_any(struct kctl *k, const struct controls *c, const char * not,
                struct machine **ret, struct problem *p);
/* Asks kctl on a machine of the control plane for the store's members, or to change them: words as
 * of `kctl control member`. ret (may be NULL) is what it printed. */
int control_members(struct machine *m, const char *words, json_t **ret, struct problem *p);

/* kubeconfig-write.c: the text with the servers (KUBECONFIG_SERVERS) in every cluster of it. */
int kubeconfig_with_servers(const char *text, char *const *servers, char **ret, struct problem *p);
/* The text with another `server`. */
int kubeconfig_with_server(const char *text, const char *server, char **ret, struct problem *p);
/* The server of a cluster in a file; one that is not in it is no error. */
int kubeconfig_set_server(
                const char *path, const char *cluster, const char *server, struct problem *p);
/* The file at path: in the cluster of that name. */
int kubeconfig_set_servers(
                const char *path, const char *cluster, char *const *servers, struct problem *p);
