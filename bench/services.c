/* `make bench-services`: the service rules of a node, without an API and without pods: the agent's
 * own driver (nodeagent/network/nft.h) in a network namespace of its own. For each number of
 * services of three endpoints: the whole build, the longest turn of the loop, one change, an agent
 * that starts again over the same table. SERVICES='N...' for other numbers. Needs root. */
#include <sched.h>
#include <sys/resource.h>
#include <time.h>

#include "lib/log.h"
#include "lib/timefmt.h"
#include "nodeagent/network/nft-kernel.h"
#include "nodeagent/network/nft-monitor.h"
#include "nodeagent/network/nft.h"

enum { ENDPOINTS = 3, CHANGES = 50, PAGE = 500 };

static const unsigned usual[] = {1000, 10000, 30000};

struct measured {
        sd_event *event;
        struct nft *nft;
        unsigned done; /* transactions that have ended */
        uint64_t longest_us;
};

static uint64_t cpu_us(int who) {
        struct rusage u;

        assert(getrusage(who, &u) == 0);
        return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
               (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static json_t *checked(json_t *v) {
        assert(v);
        return v;
}

static json_t *make_service(unsigned i) {
        return checked(json_pack("{s:{s:s, s:o, s:o, s:s}, s:{s:o, s:[{s:s, s:i, s:s}]}}",
                        "metadata", "namespace", "bench", "name", json_sprintf("s%u", i), "uid",
                        json_sprintf("u%u", i), "resourceVersion", "1", "spec", "clusterIP",
                        json_sprintf("10.%u.%u.%u", 96 + i / 62500, i / 250 % 250, i % 250 + 1),
                        "ports", "name", "http", "port", 80, "protocol", "TCP"));
}

static json_t *make_slice(unsigned i, unsigned version) {
        json_t *endpoints = json_array();

        for (unsigned e = 0; e < ENDPOINTS; e++)
                json_array_append_new(endpoints,
                                checked(json_pack("{s:[o], s:o, s:{s:b}, s:{s:o}}", "addresses",
                                                json_sprintf("10.244.%u.%u", (i + e) % 250,
                                                                (i + version) % 250 + 1),
                                                "nodeName", json_sprintf("n%u", e), "conditions",
                                                "ready", 1, "targetRef", "uid",
                                                json_sprintf("p%u-%u", i, e))));
        return checked(json_pack("{s:s, s:{s:s, s:o, s:o, s:o, s:{s:o}}, s:[{s:s, s:i, s:s}], s:o}",
                        "addressType", "IPv4", "metadata", "namespace", "bench", "name",
                        json_sprintf("s%u-x", i), "uid", json_sprintf("sl%u", i), "resourceVersion",
                        json_sprintf("%u", version), "labels", "kubernetes.io/service-name",
                        json_sprintf("s%u", i), "ports", "name", "http", "port", 8080, "protocol",
                        "TCP", "endpoints", endpoints));
}

static void on_changed(void *userdata) {
        struct measured *m = userdata;

        m->done++;
}

static void agent_begin(struct measured *m) {
        _cleanup_problem_ struct problem p = {0};
        struct cidrs cluster, services;
        const struct nft_options options = {.node_name = "n1",
                        .node_ip = {"192.0.2.1"},
                        .cluster = &cluster,
                        .services = &services,
                        .on_changed = on_changed,
                        .userdata = m};

        assert(cidrs_parse("10.244.0.0/16", "", &cluster, &p) >= 0);
        assert(cidrs_parse("10.96.0.0/12", "", &services, &p) >= 0);
        *m = (struct measured){0};
        assert(sd_event_new(&m->event) >= 0);
        assert(nft_new(&m->nft, m->event, &options) >= 0);
}

static void agent_end(struct measured *m) {
        nft_free(m->nft);
        sd_event_unref(m->event);
}

/* Of this thread, whatever else the machine does. */
static uint64_t thread_us(void) {
        struct timespec t;

        assert(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* One turn of the loop, of which the processor time counts. */
static void turn(struct measured *m) {
        uint64_t begin;

        assert(sd_event_prepare(m->event) >= 0);
        if (sd_event_get_state(m->event) == SD_EVENT_ARMED)
                assert(sd_event_wait(m->event, UINT64_MAX) >= 0);
        if (sd_event_get_state(m->event) != SD_EVENT_PENDING)
                return;
        begin = thread_us();
        assert(sd_event_dispatch(m->event) >= 0);
        m->longest_us = MAX(m->longest_us, thread_us() - begin);
}

static void wait_for(struct measured *m, unsigned done) {
        while (m->done < done)
                turn(m);
}

/* The objects as the informers have parsed them; the caller unrefs. */
static json_t *make_objects(unsigned services) {
        json_t *objects = json_array();

        for (unsigned i = 0; i < services; i++)
                assert(json_array_append_new(objects, make_service(i)) == 0 &&
                                json_array_append_new(objects, make_slice(i, 1)) == 0);
        return objects;
}

/* As the informers feed it: a page of a list at a time. */
static void feed(struct measured *m, const json_t *objects) {
        for (size_t i = 0, n = json_array_size(objects); i < n;) {
                uint64_t begin = thread_us();

                for (size_t end = MIN(i + PAGE, n); i < end; i += 2) {
                        assert(nft_service(m->nft, json_array_get(objects, i), /* gone= */ false) ==
                                        1);
                        assert(nft_slice(m->nft, json_array_get(objects, i + 1),
                                               /* gone= */ false) == 1);
                }
                m->longest_us = MAX(m->longest_us, thread_us() - begin);
        }
}

static double ms(uint64_t us) {
        return (double)us / 1000;
}

static int compare_times(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return *x < *y ? -1 : *x > *y;
}

static void change_one_by_one(struct measured *m, unsigned services) {
        uint64_t times[CHANGES], begin_cpu = cpu_us(RUSAGE_SELF), cpu;

        m->longest_us = 0;
        for (unsigned i = 0; i < CHANGES; i++) {
                json_t *slice = make_slice(i * 7919 % services, 2 + i);
                uint64_t begin = now_mono_us();

                assert(nft_slice(m->nft, slice, /* gone= */ false) == 1);
                wait_for(m, m->done + 1);
                times[i] = now_mono_us() - begin;
                json_decref(slice);
        }
        cpu = (cpu_us(RUSAGE_SELF) - begin_cpu) / CHANGES;
        qsort(times, CHANGES, sizeof(times[0]), compare_times);
        printf("  one change         %.2f ms (median), %.2f ms (longest), %.2f ms of processor "
               "time\n",
                        ms(times[CHANGES / 2]), ms(times[CHANGES - 1]), ms(cpu));
}

static int count(bool add, const char *collection, const char *key, const char *value,
                void *userdata) {
        ++*(size_t *)userdata;
        return 0;
}

static size_t elements_there(void) {
        size_t n = 0;

        assert(nft_kernel_elements("services", count, &n) >= 0);
        assert(nft_kernel_elements("endpoints", count, &n) >= 0);
        return n;
}

static void build(struct measured *m, unsigned services, const char *what) {
        json_t *objects = make_objects(services);
        uint64_t begin = now_mono_us(), cpu = cpu_us(RUSAGE_SELF), loop = thread_us();

        feed(m, objects);
        nft_reload(m->nft);
        wait_for(m, 1);
        printf("  %-18s %.0f ms; processor time %.0f ms, of the loop %.0f ms, longest turn %.1f "
               "ms\n",
                        what, ms(now_mono_us() - begin), ms(cpu_us(RUSAGE_SELF) - cpu),
                        ms(thread_us() - loop), ms(m->longest_us));
        json_decref(objects);
}

static void run(unsigned services) {
        uint32_t generation;
        struct measured m;

        printf("%u services of %d endpoints:\n", services, ENDPOINTS);
        agent_begin(&m);
        build(&m, services, "whole build");
        assert(elements_there() == (size_t)services * (1 + ENDPOINTS));
        agent_end(&m);
        generation = nft_generation();
        agent_begin(&m);
        build(&m, services, "agent restarted");
        printf("  %-18s %u\n", "commits by it", nft_generation() - generation);
        change_one_by_one(&m, services);
        assert(elements_there() == (size_t)services * (1 + ENDPOINTS));
        agent_end(&m);
}

int main(int argc, char **argv) {
        if (unshare(CLONE_NEWNET) < 0) {
                fprintf(stderr, "services: cannot make a network namespace: %s (be root)\n",
                                strerror(errno));
                return 1;
        }
        for (int i = 1; i < argc; i++) {
                uint32_t n;

                if (parse_u32(argv[i], &n) < 0 || n == 0 || n > 500000) {
                        fprintf(stderr, "usage: services [NUMBER...]\n");
                        return 2;
                }
                run(n);
        }
        for (size_t i = 0; argc == 1 && i < ELEMENTS(usual); i++)
                run(usual[i]);
        return 0;
}
