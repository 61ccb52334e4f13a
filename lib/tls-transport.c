/* A session that libmicrohttpd made reaches its socket through this file. libmicrohttpd writes the
 * head and the body of an answer one after the other, and each would wake the client: so records
 * are held until the end of its run, and sent together. Held are few bytes, and only while the
 * kernel holds none for this client: there they find room for sure, so that nothing is left behind
 * when the connection is closed right after. */
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/tls-internal.h"

/* The least size of a socket's buffer (tcp(7): tcp_wmem) is 4 KiB, and 16 KiB what it begins with.
 */
enum { HELD_SIZE_MAX = 8 << 10, SPARE_SIZE_MAX = 16 << 10 };

static ssize_t transport_pull(gnutls_transport_ptr_t userdata, void *p, size_t n) {
        struct tls_transport *t = userdata;
        ssize_t r;

        if (t->taken && !t->reading) {
                gnutls_transport_set_errno(t->session, EAGAIN);
                return -1;
        }
        r = recv(t->fd, p, n, 0);
        if (r < 0)
                gnutls_transport_set_errno(t->session, errno);
        else
                *t->bytes_moved += (uint64_t)r;
        return r;
}

static void release_held(struct tls_transport *t) {
        struct tls_spares *s = t->spares;

        if (s && s->count < TLS_SPARES_MAX && t->held.data && t->held.allocated <= SPARE_SIZE_MAX) {
                buf_reset(&t->held);
                s->free[s->count++] = t->held;
                t->held = (struct buf){0};
        }
        buf_done(&t->held);
}

void tls_spares_done(struct tls_spares *s) {
        while (s->count > 0)
                buf_done(&s->free[--s->count]);
}

/* 0: nothing is held now. After an error of the connection what was held is dropped; the next read
 * will tell. */
static int send_held(struct tls_transport *t) {
        const int off = 0;
        ssize_t r;

        if (t->held.size == 0)
                return 0;
        /* libmicrohttpd has corked the socket for a small answer, and believes that it has pushed
         * it out (tcp(7)). */
        (void)setsockopt(t->fd, IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
        r = send(t->fd, t->held.data, t->held.size, MSG_NOSIGNAL);
        if (r < 0 && errno == EAGAIN)
                return -EAGAIN;
        if (r > 0 && (size_t)r < t->held.size) {
                buf_consume(&t->held, (size_t)r);
                return -EAGAIN;
        }
        release_held(t);
        return 0;
}

static bool may_hold(const struct tls_transport *t, size_t n) {
        int unsent = 0;

        if (t->apart || !t->gathering || !*t->gathering || t->held.size + n > HELD_SIZE_MAX)
                return false;
        return t->held.size > 0 || (ioctl(t->fd, SIOCOUTQ, &unsent) == 0 && unsent == 0);
}

static int hold(struct tls_transport *t, const giovec_t *iov, int count) {
        size_t before = t->held.size;

        if (!t->held.data && t->spares && t->spares->count > 0)
                t->held = t->spares->free[--t->spares->count];
        for (int i = 0; i < count; i++)
                (void)buf_append(&t->held, iov[i].iov_base, iov[i].iov_len);
        if (t->held.failed) {
                t->held.size = before;
                t->held.failed = false;
                return -ENOMEM;
        }
        if (!t->waits) {
                /* The answers before this one are whole: their clients go on beside us. */
                tls_transports_send(t->waiting);
                t->waits = true;
                t->next = *t->waiting;
                *t->waiting = t;
        }
        return 0;
}

static ssize_t transport_push(gnutls_transport_ptr_t userdata, const giovec_t *iov, int count) {
        struct tls_transport *t = userdata;
        struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};
        size_t n = 0;
        ssize_t r;

        for (int i = 0; i < count; i++)
                n += iov[i].iov_len;
        if (may_hold(t, n) && hold(t, iov, count) == 0)
                r = (ssize_t)n;
        else if (send_held(t) < 0) {
                errno = EAGAIN;
                r = -1;
        } else
                r = sendmsg(t->fd, &m, MSG_NOSIGNAL);
        if (r < 0)
                gnutls_transport_set_errno(t->session, errno);
        else if (!t->apart)
                *t->bytes_moved += (uint64_t)r;
        return r;
}

void tls_transports_send(struct tls_transport **waiting) {
        struct tls_transport **link = waiting, *t;

        while ((t = *link)) {
                if (send_held(t) < 0) {
                        link = &t->next;
                        continue;
                }
                *link = t->next;
                t->waits = false;
        }
}

void tls_transport_end(struct tls_transport *t) {
        struct tls_transport **link = t->waiting;

        (void)send_held(t);
        release_held(t);
        if (!t->waits)
                return;
        while (*link != t)
                link = &(*link)->next;
        *link = t->next;
        t->waits = false;
}

int tls_context_attach(struct tls_context *c, void *gnutls_session, struct tls_transport *t) {
        gnutls_session_t session = gnutls_session;
        gnutls_datum_t http = {.data = (unsigned char *)"http/1.1", .size = 8};

        if (gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, c->credentials) < 0)
                return -ENOMEM;
        gnutls_certificate_server_set_request(
                        session, c->has_ca ? GNUTLS_CERT_REQUEST : GNUTLS_CERT_IGNORE);
        if (c->unnamed_authorities)
                gnutls_certificate_send_x509_rdn_sequence(session, 1);
        tls_bound_keys(session);
        t->session = session;
        gnutls_transport_set_ptr(session, t);
        gnutls_transport_set_pull_function(session, transport_pull);
        gnutls_transport_set_vec_push_function(session, transport_push);
        return gnutls_alpn_set_protocols(session, &http, 1, 0) < 0 ? -ENOMEM : 0;
}

static ssize_t transport_result(ssize_t r) {
        if (r >= 0)
                return r;
        if (!gnutls_error_is_fatal((int)r)) /* try again; a warning; another handshake */
                return -EAGAIN;
        return r == GNUTLS_E_PREMATURE_TERMINATION ? 0 : -ECONNRESET;
}

ssize_t tls_transport_read(struct tls_transport *t, void *p, size_t n) {
        ssize_t r;

        assert(t->taken);
        t->reading = true;
        r = gnutls_record_recv(t->session, p, n);
        t->reading = false;
        return transport_result(r);
}

ssize_t tls_transport_write(struct tls_transport *t, const void *p, size_t n) {
        ssize_t r = transport_result(gnutls_record_send(t->session, p, n));

        return r == 0 && n > 0 ? -ECONNRESET : r;
}
