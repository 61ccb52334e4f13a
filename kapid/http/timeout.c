/* One timer per request that asks for it. A write that is under way then is still made: the client
 * knows no more than after a lost connection. */
#include "kapid/http/timeout.h"

#include "kapid/api.h"

/* As the reference server: no request takes longer. */
enum { TIMEOUT_MAX_US = 60 * 1000 * 1000 };

static const struct {
        const char *name;
        uint64_t ns;
} units[] = {{"ns", 1}, {"us", 1000}, {"\u00b5s", 1000}, {"\u03bcs", 1000}, {"ms", 1000000},
                {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}};

/* "1.5": a whole part and millionths. */
static int take_number(const char **s, uint64_t *ret_whole, uint64_t *ret_millionths) {
        const char *start = *s;
        uint64_t whole = 0, part = 0, unit = 100000;

        for (; **s >= '0' && **s <= '9'; (*s)++)
                if (__builtin_mul_overflow(whole, 10u, &whole) ||
                                __builtin_add_overflow(whole, (uint64_t)(**s - '0'), &whole))
                        return -ERANGE;
        if (**s == '.')
                for ((*s)++; **s >= '0' && **s <= '9'; (*s)++, unit /= 10)
                        part += unit * (uint64_t)(**s - '0');
        if (*s == start || (*s == start + 1 && *start == '.'))
                return -EINVAL;
        *ret_whole = whole;
        *ret_millionths = part;
        return 0;
}

static int take_unit(const char **s, uint64_t *ret_ns) {
        for (size_t i = 0; i < ELEMENTS(units); i++) {
                const char *rest = startswith(*s, units[i].name);

                /* "m" is not the beginning of "ms". */
                if (!rest || (streq(units[i].name, "m") && *rest == 's'))
                        continue;
                *s = rest;
                *ret_ns = units[i].ns;
                return 0;
        }
        return -EINVAL;
}

int go_duration_parse(const char *s, uint64_t *ret_us) {
        uint64_t total_ns = 0, whole, part, unit;
        int r;

        if (streq(s, "0")) {
                *ret_us = 0;
                return 0;
        }
        if (isempty(s))
                return -EINVAL;
        while (*s) {
                r = take_number(&s, &whole, &part);
                if (r < 0)
                        return r;
                r = take_unit(&s, &unit);
                if (r < 0)
                        return r;
                if (__builtin_mul_overflow(whole, unit, &whole) ||
                                __builtin_add_overflow(total_ns, whole, &total_ns) ||
                                __builtin_mul_overflow(part, unit, &part) ||
                                __builtin_add_overflow(total_ns, part / 1000000, &total_ns))
                        return -ERANGE;
        }
        *ret_us = total_ns / 1000;
        return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        struct request *request = userdata;
        _cleanup_problem_ struct problem p = {0};

        if (!request->http)
                return 0;
        request_ref(request);
        problem_set(&p, ETIMEDOUT, 504, "Timeout",
                        "Timeout: request did not complete within requested timeout - context "
                        "deadline exceeded");
        respond_problem(request, &p);
        if (request->on_gone)
                request->on_gone(request);
        request_unref(request);
        return 0;
}

int request_read_timeout(struct request *request, struct problem *p) {
        const char *text = request_query(request, "timeout"), *verb = strempty(request->route.verb);
        uint64_t us = 0;

        if (isempty(text) || streq(verb, "watch") || (request->sub && !request->sub->schema))
                return 0;
        if (go_duration_parse(text, &us) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "invalid timeout specified in the request URL - time: invalid "
                                "duration \"%.64s\"",
                                text);
        if (us == 0 || us > TIMEOUT_MAX_US)
                return 0;
        return sd_event_add_time_relative(request->api->event, &request->timeout, CLOCK_MONOTONIC,
                        us, 0, on_timeout, request);
}
