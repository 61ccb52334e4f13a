/* gRPC over HTTP/2 in headers: timeouts, messages, codes (the public protocol page "gRPC over
 * HTTP2"), and the endpoints of our flags. */
#include "lib/grpc-internal.h"
#include "lib/h2.h"
#include "lib/hex.h"

static const struct {
        char unit;
        uint64_t us; /* 0: nanoseconds */
} units[] = {{'n', 0}, {'u', 1}, {'m', 1000}, {'S', 1000000}, {'M', 60000000ULL},
                {'H', 3600000000ULL}};

void grpc_timeout_format(char buffer[static GRPC_TIMEOUT_SIZE], uint64_t us) {
        for (size_t i = 1; i < ELEMENTS(units); i++) {
                uint64_t n = us / units[i].us + (us % units[i].us > 0);

                if (n > 99999999 && i + 1 < ELEMENTS(units))
                        continue;
                (void)snprintf(buffer, GRPC_TIMEOUT_SIZE, "%u%c",
                                (unsigned)MIN(n, (uint64_t)99999999), units[i].unit);
                return;
        }
}

int grpc_timeout_parse(const char *s, uint64_t *ret_us) {
        size_t n = strlen(s);
        char digits[9];
        uint64_t value;

        if (n < 2 || n > 9)
                return -EINVAL;
        memcpy(digits, s, n - 1);
        digits[n - 1] = 0;
        if (parse_u64(digits, &value) < 0)
                return -EINVAL;
        for (size_t i = 0; i < ELEMENTS(units); i++)
                if (s[n - 1] == units[i].unit) {
                        *ret_us = units[i].us ? value * units[i].us : value / 1000;
                        return 0;
                }
        return -EINVAL;
}

char *grpc_message_encode(const char *s) {
        _cleanup_buf_ struct buf b = {0};

        for (; *s; s++)
                if (*s >= 0x20 && *s <= 0x7e && *s != '%')
                        (void)buf_append_char(&b, *s);
                else
                        (void)buf_printf(&b, "%%%02X", (unsigned char)*s);
        return buf_take(&b);
}

char *grpc_message_decode(const char *s) {
        _cleanup_buf_ struct buf b = {0};

        for (; *s; s++) {
                int high = *s == '%' ? hex_digit(s[1]) : -1;
                int low = high >= 0 ? hex_digit(s[2]) : -1;

                if (low >= 0 && (high | low)) {
                        (void)buf_append_char(&b, (char)(high << 4 | low));
                        s += 2;
                } else
                        (void)buf_append_char(&b, *s);
        }
        return buf_take(&b);
}

enum grpc_code grpc_code_from_http(const char *status) {
        static const struct {
                const char *status;
                enum grpc_code code;
        } table[] = {{"400", GRPC_INTERNAL}, {"401", GRPC_UNAUTHENTICATED},
                        {"403", GRPC_PERMISSION_DENIED}, {"404", GRPC_UNIMPLEMENTED},
                        {"429", GRPC_UNAVAILABLE}, {"502", GRPC_UNAVAILABLE},
                        {"503", GRPC_UNAVAILABLE}, {"504", GRPC_UNAVAILABLE}};

        for (size_t i = 0; i < ELEMENTS(table); i++)
                if (streq(status, table[i].status))
                        return table[i].code;
        return GRPC_UNKNOWN;
}

enum grpc_code grpc_code_from_h2(uint32_t error) {
        switch (error) {
        case H2_REFUSED_STREAM:
                return GRPC_UNAVAILABLE;
        case H2_CANCEL:
                return GRPC_CANCELLED;
        case H2_ENHANCE_YOUR_CALM:
                return GRPC_RESOURCE_EXHAUSTED;
        default:
                return GRPC_INTERNAL;
        }
}

void grpc_endpoint_done(struct grpc_endpoint *e) {
        free(e->unix_path);
        free(e->host);
        *e = (struct grpc_endpoint){0};
}

static int bad_endpoint(struct problem *p, const char *url) {
        return problem_set(p, EINVAL, 0, NULL,
                        "\"%s\" is not an address of a gRPC server: use https://host:port, "
                        "http://host:port or unix:///path",
                        url);
}

int grpc_endpoint_parse(struct grpc_endpoint *ret, const char *url, struct problem *p) {
        struct grpc_endpoint e = {0};
        const char *s;

        if ((s = startswith(url, "unix://"))) {
                if (*s != '/')
                        return bad_endpoint(p, url);
                e.unix_path = strdup(s);
                if (!e.unix_path)
                        return -ENOMEM;
                *ret = e;
                return 0;
        }
        if ((s = startswith(url, "https://")))
                e.tls = true;
        else if (!(s = startswith(url, "http://")))
                return bad_endpoint(p, url);
        _cleanup_free_ char *rest = strndup(s, strcspn(s, "/"));
        if (!rest)
                return -ENOMEM;
        char *host = rest, *colon = strrchr(rest, ':');
        if (!colon || parse_port(colon + 1, &e.port) < 0)
                return bad_endpoint(p, url);
        *colon = 0;
        if (*host == '[' && colon > host + 1 && colon[-1] == ']') {
                host++;
                colon[-1] = 0;
        } else if (strchr(host, ':'))
                return bad_endpoint(p, url);
        if (!*host)
                return bad_endpoint(p, url);
        e.host = strdup(host);
        if (!e.host)
                return -ENOMEM;
        *ret = e;
        return 0;
}

int grpc_url_check(const char *url, struct problem *p) {
        struct grpc_endpoint e = {0};
        int r = grpc_endpoint_parse(&e, url, p);

        grpc_endpoint_done(&e);
        return r;
}
