/* The annotations keelson.dev/ of an Ingress: few, each with a strict form. A value that is not
 * valid has no effect and is a finding. */
#include "lib/object.h"
#include "reconcilers/ingress/internal.h"

#define PREFIX "keelson.dev/"

enum { TIMEOUT_MAX_MS = 24 * 3600 * 1000 };

static int read_bool(const char *text, bool *ret) {
        if (!streq(text, "true") && !streq(text, "false"))
                return -EINVAL;
        *ret = streq(text, "true");
        return 0;
}

/* "10m" or "512k": bytes. */
static int read_size(const char *text, uint64_t *ret) {
        static const char units[] = "kmg";
        size_t n = strlen(text);
        const char *unit = n > 1 ? strchr(units, text[n - 1]) : NULL;
        _cleanup_free_ char *digits = strndup(text, unit ? n - 1 : n);
        uint64_t v, factor = 1;
        int r;

        assert(digits);
        r = parse_u64(digits, &v);
        if (r < 0)
                return r;
        for (const char *u = units; unit && u <= unit; u++)
                factor *= 1024;
        if (v == 0 || v > INT32_MAX / factor)
                return -ERANGE;
        *ret = v * factor;
        return 0;
}

static int read_time(const char *text, uint64_t *ret) {
        uint64_t us;
        int r = parse_duration_us(text, &us);

        if (r < 0)
                return r;
        if (us < 1000 || us / 1000 > TIMEOUT_MAX_MS)
                return -ERANGE;
        *ret = us / 1000;
        return 0;
}

static int read_protocol(const char *text, bool *ret) {
        if (!streq(text, "HTTP") && !streq(text, "HTTPS"))
                return -EINVAL;
        *ret = streq(text, "HTTPS");
        return 0;
}

/* *ret_known: keelson knows the annotation. An error: its value is not valid; *ret_want says what
 * would be. */
static int read_one(struct ingress_settings *s, const char *name, const char *value,
                const char **ret_want) {
        *ret_want = "";
        if (streq(name, "ssl-redirect")) {
                *ret_want = "true or false";
                return read_bool(value, &s->ssl_redirect);
        }
        if (streq(name, "backend-protocol")) {
                *ret_want = "HTTP or HTTPS";
                return read_protocol(value, &s->https_backend);
        }
        if (streq(name, "body-size-max")) {
                *ret_want = "a number of bytes, or with k, m or g, below 2g";
                return read_size(value, &s->body_max);
        }
        *ret_want = "a time such as 30s or 5m, at most 24h";
        if (streq(name, "timeout-connect"))
                return read_time(value, &s->connect_ms);
        if (streq(name, "timeout-read"))
                return read_time(value, &s->read_ms);
        return -ENOENT;
}

void ingress_read_settings(
                struct ingress_draft *d, const json_t *ingress, struct ingress_settings *ret) {
        const json_t *annotations = json_at(ingress, "metadata.annotations"), *value;
        const char *key, *want;

        *ret = (struct ingress_settings){.ssl_redirect = true};
        json_object_each (annotations, key, value) {
                const char *name = startswith(key, PREFIX);
                int r;

                if (!name)
                        continue;
                r = read_one(ret, name, strempty(json_string_value(value)), &want);
                if (r == -ENOENT)
                        ingress_finding(d, ingress, "UnknownAnnotation",
                                        "Ingresses have no annotation %s: it has no effect. Known "
                                        "are ssl-redirect, backend-protocol, body-size-max, "
                                        "timeout-connect and timeout-read",
                                        key);
                else if (r < 0)
                        ingress_finding(d, ingress, "InvalidAnnotation",
                                        "The value of %s is not valid and has no effect: use %s",
                                        key, want);
        }
}
