/* A process for each node, a few at a time: SSH blocks, and a machine that does not answer must not
 * hold the others. A process prints what it did; the certificate that it found comes back through a
 * pipe. */
#include "kctl/certs-nodes.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "kctl/node-certificate.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { PARALLEL_MAX = 16, TIMEOUT_S = 30, PEM_SIZE_MAX = 16384 };

#define DIR "/etc/keelson/node"

/* 1: another bundle was written. */
static int converge_authorities(
                struct machine *m, const struct nodes_wish *wish, struct problem *p) {
        _cleanup_buf_ struct buf out = {0};
        int r;

        if (!wish->bundle)
                return 0;
        r = machine_run(m, "cat " DIR "/ca.pem", /* input= */ NULL, 0, TIMEOUT_S, &out, p);
        if (r < 0)
                return r;
        if (streq(strempty(out.data), wish->bundle))
                return 0;
        r = machine_put(m, DIR "/ca.pem", "0644", wish->bundle, p);
        return r < 0 ? r : 1;
}

static bool is_wanted(const char *pem, const struct nodes_wish *wish) {
        _cleanup_pki_view_ struct pki_view v = {0};

        if (!wish->renew)
                return false;
        if (pki_cert_view(pem, &v) < 0)
                return true;
        if (pki_life(v.begins_s, v.ends_s, now_wall_us() / 1000000) != PKI_LIFE_FRESH)
                return true;
        return wish->signer && pki_signed_by(pem, wish->signer) <= 0;
}

static int renew(struct kctl *k, struct machine *m, const char *node, char **ret_pem,
                struct problem *p) {
        _cleanup_free_ char *csr = NULL, *cert = NULL;
        int r = node_certificate_request(m, node, &csr, p);

        if (r < 0)
                return r;
        r = node_certificate_sign(k, node, node, csr, &cert, p);
        if (r < 0)
                return r;
        r = machine_put(m, DIR "/cert.pem", "0600", cert, p);
        if (r < 0)
                return r;
        free(*ret_pem);
        *ret_pem = TAKE_PTR(cert);
        return 0;
}

static int converge(struct kctl *k, const json_t *node, const struct nodes_wish *wish,
                char **ret_pem, struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_buf_ struct buf pem = {0};
        int r = machine_open_node(&m, k, node, p);

        if (r < 0)
                return r;
        r = converge_authorities(m, wish, p);
        if (r < 0)
                return r;
        if (r > 0)
                printf("%s: trusts the other authorities\n", object_name(node));
        r = machine_run(m, "cat " DIR "/cert.pem", /* input= */ NULL, 0, TIMEOUT_S, &pem, p);
        if (r < 0)
                return r;
        *ret_pem = pem.data ? buf_take(&pem) : strdup("");
        if (!*ret_pem)
                return -ENOMEM;
        if (!is_wanted(*ret_pem, wish))
                return 0;
        r = renew(k, m, object_name(node), ret_pem, p);
        if (r < 0)
                return r;
        printf("%s: its certificate was renewed\n", object_name(node));
        return 0;
}

/* In a process of its own; writes the certificate into the pipe. */
static int child(struct kctl *k, const json_t *node, const struct nodes_wish *wish, int fd) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *pem = NULL;
        int r;

        k->client = NULL; /* the parent's connection is not ours */
        if (!kctl_client(k))
                return EXIT_ERROR;
        r = converge(k, node, wish, &pem, &p);
        if (r < 0)
                kctl_error("%s: %s", object_name(node), p.message ? p.message : strerror(-r));
        else if (strlen(pem) > PEM_SIZE_MAX || write(fd, pem, strlen(pem)) < 0)
                r = -EIO;
        fflush(stdout);
        return r < 0 ? EXIT_ERROR : EXIT_OK;
}

struct job {
        pid_t pid;
        int fd; /* what fits into a pipe is read at the end */
        const json_t *node;
};

static int start(struct kctl *k, const json_t *node, const struct nodes_wish *wish,
                struct job *ret) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        fflush(NULL);
        *ret = (struct job){.pid = fork(), .fd = fds[0], .node = node};
        if (ret->pid == 0)
                _exit(child(k, node, wish, fds[1]));
        close(fds[1]);
        if (ret->pid > 0)
                return 0;
        close(fds[0]);
        return -errno;
}

static int take_certificate(const struct job *job, struct certs_seen *seen, struct problem *p) {
        char pem[PEM_SIZE_MAX + 1];
        _cleanup_free_ char *name = NULL;
        size_t n = 0;
        ssize_t part;

        while (n < PEM_SIZE_MAX && (part = read(job->fd, pem + n, PEM_SIZE_MAX - n)) > 0)
                n += (size_t)part;
        pem[n] = 0;
        if (n == 0 || !seen)
                return 0;
        name = strformat("node/%s", object_name(job->node));
        return name ? certs_seen_add(seen, /* row= */ NULL, name, object_name(job->node), pem,
                                      /* a= */ NULL, p)
                    : -ENOMEM;
}

/* Waits for one of them. 1 when it failed. */
static int finish_one(struct job *jobs, struct certs_seen *seen, struct problem *p) {
        int status, r = 0;
        pid_t pid = wait(&status);

        if (pid < 0)
                return -errno;
        for (size_t i = 0; i < PARALLEL_MAX; i++) {
                if (jobs[i].pid != pid)
                        continue;
                r = take_certificate(&jobs[i], seen, p);
                close(jobs[i].fd);
                jobs[i].pid = 0;
        }
        if (r < 0)
                return r;
        return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK ? 0 : 1;
}

static size_t free_place(const struct job *jobs) {
        size_t i;

        for (i = 0; i < PARALLEL_MAX && jobs[i].pid; i++)
                ;
        return i;
}

static int run_all(struct kctl *k, const json_t *nodes, const struct nodes_wish *wish,
                struct certs_seen *seen, size_t *ret_failed, struct problem *p) {
        struct job jobs[PARALLEL_MAX] = {0};
        size_t n = json_array_size(nodes), started = 0, running = 0;
        int r;

        while (started < n || running > 0) {
                size_t place = free_place(jobs);

                if (started < n && place < PARALLEL_MAX) {
                        r = start(k, json_array_get(nodes, started), wish, &jobs[place]);
                        if (r < 0)
                                return problem_set(p, -r, 0, NULL, "cannot start a process: %s",
                                                strerror(-r));
                        started++;
                        running++;
                        continue;
                }
                r = finish_one(jobs, seen, p);
                if (r < 0)
                        return r;
                running--;
                *ret_failed += (size_t)r;
        }
        return 0;
}

int nodes_converge(struct kctl *k, const struct nodes_wish *wish, struct certs_seen *seen,
                size_t *ret_failed, struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_NODES), /* ns= */ NULL,
                        /* name= */ NULL, /* subresource= */ NULL, /* query= */ NULL);
        _cleanup_json_ json_t *list = NULL;
        int r = path ? api_get(k->client, path, &list, p) : -ENOMEM;

        *ret_failed = 0;
        if (r < 0)
                return r;
        return run_all(k, json_object_get(list, "items"), wish, seen, ret_failed, p);
}
