/* The API client: kubeconfig, requests for objects, errors as struct problem. Asynchronous for
 * daemons, blocking for the command line. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/client/kinds.h"
#include "lib/http-client.h"
#include "lib/json.h"
#include "lib/problem.h"

struct api_client;
struct kubeconfig_overrides;

struct api_client_options {
        const char *kubeconfig; /* path; NULL: $KUBECONFIG, then ~/.kube/config */
        const char *context;    /* NULL: current-context */
        const char *user_agent; /* "kreconciled/0.1.0"; its part before '/' is the field manager */
        /* Instead of context, and more; NULL: none. Borrowed for the call. */
        const struct kubeconfig_overrides *overrides;
        uint64_t timeout_us; /* of a call; 0: the HTTP client's own */
        unsigned calls_max;  /* likewise */
        /* lib/http-client.h */
        void (*trace)(const char *method, const char *url, int code, uint64_t began_us);
        /* Where the list of API servers that the API reported is kept; NULL: nowhere. */
        const char *servers_file;
        /* Waits a moment before a blocking request is sent again (api_request); NULL: none is. */
        void (*pause)(void);
};

/* event NULL: only the blocking calls. p names the file and the missing part. */
int api_client_new(struct api_client **ret, sd_event *event,
                const struct api_client_options *options, struct problem *p);
struct api_client *api_client_free(struct api_client *c);
DEFINE_CLEANUP(struct api_client *, api_client_free);
/* A client that asks the same server over the same connections on behalf of another user
 * (Impersonate-User and Impersonate-Group; the server decides whether it may). Borrows base, which
 * must outlive it; groups ends with NULL and may be NULL. */
int api_client_as(struct api_client **ret, struct api_client *base, const char *user,
                char *const *groups);
/* Answers come without metadata.managedFields from now on: often it is half of an object. */
void api_client_set_lean(struct api_client *c);
/* Events say that this machine reports them (source.host, reportingInstance). -ENOMEM. */
int api_client_set_host(struct api_client *c, const char *host);
const char *api_client_server(const struct api_client *c); /* the one that is used now */
/* Whether the cluster has API servers to move to when this one is dead (lib/client/failover.h). */
bool api_client_is_redundant(const struct api_client *c);
const char *api_client_namespace(const struct api_client *c); /* of the context; "default" */
/* Its server is one that answers: a client without a loop makes sure of that here. */
struct http_client *api_client_http(struct api_client *c);
/* An answer came, or none did: another server may be needed. For those who call by api_client_http.
 */
void api_client_note(struct api_client *c, const struct http_result *result);

/* "/api/v1/namespaces/ns/pods/name/status"; ns NULL or "" for all or cluster scope; name,
 * subresource, query may be NULL. query is already encoded and without '?'. Caller frees. */
char *api_path(const struct api_resource *r, const char *ns, const char *name,
                const char *subresource, const char *query) _warn_unused_;

enum api_patch { API_PATCH_MERGE, API_PATCH_JSON, API_PATCH_STRATEGIC, API_PATCH_APPLY };

/* The answer: object (borrowed by the callback) or a problem. error 0 on
 * success. */
typedef void (*api_done_func)(
                int error, const json_t *object, const struct problem *p, void *userdata);

struct api_call;
/* Asynchronous. done is called exactly once unless cancelled. body is borrowed for the call to this
 * function only. */
int api_get_async(struct api_client *c, const char *path, api_done_func done, void *userdata,
                struct api_call **ret);
int api_create_async(struct api_client *c, const char *path, const json_t *body, api_done_func done,
                void *userdata, struct api_call **ret);
int api_update_async(struct api_client *c, const char *path, const json_t *body, api_done_func done,
                void *userdata, struct api_call **ret);
int api_patch_async(struct api_client *c, const char *path, enum api_patch kind, const json_t *body,
                api_done_func done, void *userdata, struct api_call **ret);
/* body: DeleteOptions or NULL. */
int api_delete_async(struct api_client *c, const char *path, const json_t *body, api_done_func done,
                void *userdata, struct api_call **ret);
struct api_call *api_call_cancel(struct api_call *call);

/* Blocking (not inside a daemon's event callbacks). Where there are several API servers a request
 * that reached none is sent to another, a refusal that asks for a later try (503, 429) is tried
 * again for some seconds. Errors: -ENOENT for 404, -EEXIST AlreadyExists,
 * -ESTALE Conflict, -EACCES 401/403, -EINVAL 400/422, -EAGAIN 429/503, -ECONNREFUSED and other
 * transport errors; p says the rest. ret may be NULL. warnings go to stderr as "Warning: text". */
int api_request(struct api_client *c, const char *method, const char *path,
                const char *content_type, const json_t *body, json_t **ret, struct problem *p);
int api_get(struct api_client *c, const char *path, json_t **ret, struct problem *p);
int api_patch_request(struct api_client *c, const char *path, enum api_patch kind,
                const json_t *body, json_t **ret, struct problem *p);

/* Records an Event (core/v1) about an object, aggregated: the same (object, reason, message) within
 * 10 minutes raises its count. Fire and forget. */
void api_event(struct api_client *c, const json_t *about, const char *type, const char *reason,
                const char *fmt, ...) _printf_(5, 6);
