/* Of three clocks the one is wrong that differs from the two others. */
#include "kctl/clock.h"

#include <time.h>

#include "lib/timefmt.h"

/* "1h0m5s ahead" */
static char *difference(int64_t s) {
        char age[TIMEFMT_SIZE];

        return strformat("%s %s", age_format((uint64_t)llabs(s) * 1000000, age),
                        s > 0 ? "ahead of" : "behind");
}

static bool differs(int64_t a, int64_t b) {
        return llabs(a - b) > CLOCK_SKEW_MAX_S;
}

#define REMEDY "set it (timedatectl set-ntp true, or date -s), else certificates are refused"

int clock_problem(const char *machine, int64_t machine_s, int64_t api_s, uint64_t now_s,
                char **ret) {
        _cleanup_free_ char *far = difference(machine_s), *own = difference(-machine_s);
        char there[TIMEFMT_SIZE], here[TIMEFMT_SIZE];
        bool knows_api = api_s != CLOCK_UNKNOWN;

        *ret = NULL;
        if (!far || !own)
                return -ENOMEM;
        if (!differs(machine_s, 0) && (!knows_api || !differs(machine_s, api_s)))
                return 0;
        time_format(now_s * 1000000, here);
        time_format((uint64_t)((int64_t)now_s + machine_s) * 1000000, there);
        if (!knows_api)
                *ret = strformat("%s: its clock is %s this machine's: it says %s, and here it is "
                                 "%s; where it is wrong, " REMEDY,
                                machine, far, there, here);
        else if (!differs(machine_s, api_s))
                *ret = strformat("the clock of this machine, where kctl runs, is %s those of %s "
                                 "and of the API server: here it is %s, and there %s; " REMEDY,
                                own, machine, here, there);
        else if (!differs(api_s, 0))
                *ret = strformat("%s: its clock is %s those of the API server and of this machine: "
                                 "it says %s, and here it is %s; there, " REMEDY,
                                machine, far, there, here);
        else {
                char api[TIMEFMT_SIZE];

                time_format((uint64_t)((int64_t)now_s + api_s) * 1000000, api);
                *ret = strformat("%s: the clocks differ: it says %s, the API server says %s, and "
                                 "here it is %s; where they are wrong, " REMEDY,
                                machine, there, api, here);
        }
        return *ret ? 0 : -ENOMEM;
}

int clock_parse_http(const char *date, int64_t *ret_s) {
        struct tm tm = {0};
        const char *end = strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        time_t t;

        if (!end || *end)
                return -EINVAL;
        t = timegm(&tm);
        if (t == (time_t)-1)
                return -EINVAL;
        *ret_s = (int64_t)t;
        return 0;
}
