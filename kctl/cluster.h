/* The files that make a control plane: keys, certificates, kubeconfigs and each daemon's
 * configuration, as texts. */
#pragma once

#include "kctl/ranges.h"
#include "lib/base.h"
#include "lib/problem.h"

struct cluster_spec {
        const char *const *names;     /* further names of the API server's machine */
        const char *const *addresses; /* and its addresses, text */
        const char *server;           /* URL for administrators: "https://10.0.0.1:6443" */
        uint16_t port;
        const struct cluster_ranges *ranges; /* cluster_files_make_store() needs none */
        const char *advertise_address;
        const char *pki_dir; /* where the files are installed: "/etc/keelson/pki" */
        uint64_t life_s;     /* of every certificate but the authorities'; 0: the default */
        const char *context; /* name of cluster, user and context in the administrator's kubeconfig
                              */
};

struct cluster_file {
        char *name; /* "ca.crt", relative to pki_dir */
        char *text;
        bool secret;
};

struct cluster_files {
        struct cluster_file *items;
        size_t count;
        uint64_t life_s; /* as the spec says */
};

enum { CLUSTER_CA_DAYS = 3650, CLUSTER_LIFE_S = 365 * 86400 };
/* --certificate-life in seconds; the default where it was not given. */
uint64_t cluster_life_s(uint64_t flag_us);
void cluster_files_done(struct cluster_files *f);
#define _cleanup_cluster_ _cleanup_(cluster_files_done)

/* Names in the certificates of the store's own authority: it accepts no others. */
#define STORE_CLIENT_NAME "kapid"
#define STORE_MEMBER_NAME "kstored"
/* And in the one that extension servers accept. */
#define FRONT_PROXY_NAME "front-proxy-client"

/* Makes every file (docs/names.md, "pki") and "admin.kubeconfig". */
int cluster_files_make(
                const struct cluster_spec *spec, struct cluster_files *ret, struct problem *p);
/* Those of the store alone: its authority (store-ca.crt, store-ca.key), kapid's certificate as its
 * client and the member's own. Of the spec only `addresses` counts. */
int cluster_files_make_store(
                const struct cluster_spec *spec, struct cluster_files *ret, struct problem *p);
/* Those of the front proxy: its authority (front-proxy-ca.crt, front-proxy-ca.key) and the
 * certificate that kapid shows to extension servers. Of the spec only `life_s` counts. */
int cluster_files_make_front_proxy(
                const struct cluster_spec *spec, struct cluster_files *ret, struct problem *p);
/* Those of a further machine: kapid.crt and peer.crt with their keys, signed by these authorities.
 * Of the spec `names`, `addresses` and `ranges` count. */
int cluster_files_make_machine(const struct cluster_spec *spec, const char *ca_cert,
                const char *ca_key, const char *store_ca_cert, const char *store_ca_key,
                struct cluster_files *ret, struct problem *p);
/* The text of one of them; NULL when there is none. */
const char *cluster_file_text(const struct cluster_files *f, const char *name);

/* A kubeconfig with embedded credentials. Caller frees; NULL when out of memory. */
char *kubeconfig_text(const char *context, const char *server, const char *ca_pem,
                const char *cert_pem, const char *key_pem);
/* A kubeconfig for a daemon, without secrets: it names ca.crt, NAME.crt and NAME.key beside it, so
 * that the certificate can be renewed. */
char *kubeconfig_reference_text(const char *context, const char *server, const char *name);
/* Adds what `text` (a kubeconfig) holds to the file at path, keeping everything else in it, and
 * makes its context the current one. */
int kubeconfig_merge(const char *path, const char *text, struct problem *p);
/* The same, but only where a context of that name is there already, and the current one stays. 1
 * when something changed. */
int kubeconfig_renew(const char *path, const char *text, struct problem *p);
/* Removes cluster, user and context of that name. */
int kubeconfig_remove(const char *path, const char *context, struct problem *p);
/* The file that kubectl would write: --kubeconfig, $KUBECONFIG's first, ~/.kube/config. Caller
 * frees. */
char *kubeconfig_default_path(const char *flag);
