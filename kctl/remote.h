/* Streams into pods, for the verbs exec, attach, cp, debug and port-forward. */
#pragma once

#include "kctl/kctl.h"
#include "lib/client/kubeconfig.h"

/* pods.c: the pod that a word means: "web-1", "pod/web-1", or one of a workload's ("deploy/web"; a
 * ready one, if there is one). Caller frees both. */
int pod_of_word(struct kctl *k, const char *word, char **ret_ns, char **ret_pod, struct problem *p);

/* logs.c: prints the log of a container. */
int log_print(struct kctl *k, const char *ns, const char *pod, const char *container,
                struct problem *p);

/* What the kubeconfig says; kubeconfig_context_done(). */
int stream_credentials(struct kctl *k, struct kubeconfig_context *ret, struct problem *p);
/* "/api/v1/namespaces/NS/pods/POD/exec?..."; query may be NULL. Caller frees. */
char *stream_path(const char *ns, const char *pod, const char *subresource, const char *query);

struct remote_options {
        const char *path; /* of stream_path() */
        bool input;       /* in_fd is sent */
        bool tty;         /* our terminal in raw mode, its sizes are sent */
        int in_fd;        /* read to its end */
        int out_fd;       /* where output goes; negative: standard output */
};
/* Runs an exec or attach to its end. 0 with the exit code of the command; -errno with p. */
int remote_run(struct kctl *k, const struct remote_options *o, int *ret_code, struct problem *p);

/* exec.c: an exec or attach with our standard files, by -i and -t. */
struct remote_target {
        const char *ns, *pod, *subresource;
        const char *container; /* NULL: the server chooses */
        char *const *command;  /* of exec, else NULL */
        bool tty;              /* of remote_wants_terminal() */
};
int remote_pod(struct kctl *k, const struct remote_target *t, int *ret_code, struct problem *p);
/* Whether our terminal is to be used: it is asked for (-t) and there is one. Says so when not. */
bool remote_wants_terminal(struct kctl *k);

/* remote-status.c: the Status of the error channel. 0 with the exit code, or -EIO with p. Pure. */
int remote_status(const char *text, size_t n, int *ret_code, struct problem *p);
/* cp.c's rule for an argument: "[NS/]POD:PATH" is a place in a pod; a name with a slash or a dot
 * before the colon, and one without a colon, is a file here. */
struct copy_place {
        char *ns, *pod, *path; /* pod NULL: a file here */
};
int copy_place_parse(const char *word, struct copy_place *ret);
void copy_place_done(struct copy_place *c);
/* "s,^base,name,S" for tar's --transform, with what is special in it quoted. Caller frees. */
char *tar_rename(const char *base, const char *name);
/* port-forward.c: "8080:80", "80", ":80". -EINVAL with p. */
int port_pair_parse(const char *word, uint16_t *ret_local, uint16_t *ret_remote, struct problem *p);
