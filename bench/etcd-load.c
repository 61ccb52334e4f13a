/* A load generator for servers of etcd's v3 API: `etcd-load [OPTION...] MODE`. It costs little (one
 * thread, requests packed into one buffer and patched per call, answers parsed only as far as
 * needed), so that on a small machine the server is measured and not the client. Calls are a closed
 * loop: each of N clients has one call in flight. It prints one line of "name value" pairs.
 *
 *   put     puts for --seconds or until --count        range   reads of keys that `put` made before
 *   fill    puts --keys different keys, once each       watch   --watchers of one key, --count puts
 *   ready   until a linearizable read is answered       leader  the leader's place in --endpoints
 *   kill    kills the leader (-9), measures until a write is acknowledged
 *   fsync   writes to a file in --dir, page by page, and waits for the disk each time
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include "lib/grpc-client.h"
#include "lib/options.h"

enum {
        CLIENTS_MAX = 10000,
        CONNECTIONS_MAX = 64,
        SAMPLES_MAX = 4000000,
        KEYS_MAX = SAMPLES_MAX,
        WATCHERS_MAX = 100000,
        VALUE_SIZE_MAX = 65536,
        KEY_DIGITS = 10,
        PROBE_US = 5000,
        RETRY_US = 10000,
        MEMBERS_MAX = 9,
        SYNC_SIZE = 4096,
        SYNC_FILE_SIZE = 16 << 20,
        SYNCS_MAX = SYNC_FILE_SIZE / SYNC_SIZE,
};

static const char key_prefix[] = "bench/";

struct options {
        char **endpoints, **pids;
        char *dir;
        uint32_t clients, connections, seconds, count, keys, value_size, watchers, limit_s;
        bool serializable;
};

struct client {
        struct load *load;
        struct grpc_channel *channel;
        uint64_t start_us, key;
        bool answered;
};

struct load {
        const struct options *o;
        sd_event *event;
        struct grpc_channel *channels[CONNECTIONS_MAX];
        size_t channel_count;
        struct client *clients;
        const char *path;
        uint8_t *message; /* patched per call */
        size_t message_size;
        char *digits; /* of the key in message */
        uint32_t *samples;
        uint64_t started, ended, target, errors, refused;
        uint64_t begin_us, until_us, end_us;
        size_t answer_min; /* a smaller answer has no key */
        bool in_order;

        /* watch */
        uint64_t created, events;
        /* ready, leader, kill */
        struct grpc_channel *probe;
        uint64_t members[MEMBERS_MAX], leader;
        size_t notified;
};

#define ROW(n, t, field, arg, text, fall) \
        { \
                .name = n, .type = t, .offset = offsetof(struct options, field), .argument = arg, \
                .help = text, .fallback = fall \
        }

static const struct option_row rows[] = {
                ROW("endpoints", OPTION_STRINGS, endpoints, "URL",
                                "servers; connections are distributed over them",
                                "http://127.0.0.1:2379"),
                ROW("clients", OPTION_U32, clients, "N", "concurrent calls", "1"),
                ROW("connections", OPTION_U32, connections, "N", "at most N connections", "10"),
                ROW("seconds", OPTION_U32, seconds, "S", "put, range: how long", "3"),
                ROW("count", OPTION_U32, count, "N", "stop after N calls; 0: only after --seconds",
                                "0"),
                ROW("keys", OPTION_U32, keys, "N", "different keys", "10000"),
                ROW("value-size", OPTION_U32, value_size, "BYTES", "of every value", "256"),
                ROW("serializable", OPTION_BOOL, serializable, NULL,
                                "range: serializable, answered by one member alone", "false"),
                ROW("watchers", OPTION_U32, watchers, "N", "watch: N watchers in all", "1000"),
                ROW("pids", OPTION_STRINGS, pids, "PID",
                                "kill: the servers' processes, in the order of --endpoints", NULL),
                ROW("dir", OPTION_STRING, dir, "DIR", "fsync: where", "."),
                ROW("limit", OPTION_U32, limit_s, "S", "give up after so long", "120"),
};

static const struct option_program program = {
                .name = "etcd-load",
                .summary = "Measures a server of the etcd v3 API at little cost.",
                .usage = "[OPTION...] put|range|fill|watch|ready|leader|kill|fsync",
                .rows = rows,
                .count = ELEMENTS(rows),
};

static uint64_t now_us(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- protobuf, only what is needed ---- */

static size_t varint_put(uint8_t *to, uint64_t v) {
        size_t n = 0;

        for (; v >= 0x80; v >>= 7)
                to[n++] = (uint8_t)(v | 0x80);
        to[n++] = (uint8_t)v;
        return n;
}

static size_t bytes_field(uint8_t *to, unsigned int number, const void *data, size_t size) {
        size_t n = varint_put(to, number << 3 | 2);

        n += varint_put(to + n, size);
        memcpy(to + n, data, size);
        return n + size;
}

struct field {
        unsigned int number;
        uint64_t value; /* of a varint; the size of bytes */
        const uint8_t *data;
};

static bool varint_get(const uint8_t **at, const uint8_t *end, uint64_t *ret) {
        uint64_t v = 0;

        for (unsigned int shift = 0; *at < end && shift < 64; shift += 7) {
                uint8_t b = *(*at)++;

                v |= (uint64_t)(b & 0x7f) << shift;
                if (b < 0x80) {
                        *ret = v;
                        return true;
                }
        }
        return false;
}

/* Reads the next field; false at the end, and for malformed bytes. */
static bool field_next(const uint8_t **at, const uint8_t *end, struct field *ret) {
        struct field f = {0};
        uint64_t tag;

        if (!varint_get(at, end, &tag) || !varint_get(at, end, &f.value))
                return false;
        f.number = (unsigned int)(tag >> 3);
        if ((tag & 7) == 2) {
                if (f.value > (size_t)(end - *at))
                        return false;
                f.data = *at;
                *at += f.value;
        } else if ((tag & 7) != 0) {
                return false;
        }
        *ret = f;
        return true;
}

/* ---- results ---- */

static int compare_samples(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return (x > y) - (x < y);
}

static uint32_t percentile(const uint32_t *sorted, uint64_t n, unsigned int percent) {
        return n > 0 ? sorted[MIN((n * percent + 99) / 100, n) - (percent > 0)] : 0;
}

static void print_samples(struct load *l, uint64_t n) {
        double seconds = (double)(l->end_us - l->begin_us) / 1e6;

        qsort(l->samples, n, sizeof(*l->samples), compare_samples);
        printf("rate %.0f p50_us %u p99_us %u max_us %u count %llu errors %llu refused %llu\n",
                        seconds > 0 ? (double)n / seconds : 0, percentile(l->samples, n, 50),
                        percentile(l->samples, n, 99), percentile(l->samples, n, 100),
                        (unsigned long long)n, (unsigned long long)l->errors,
                        (unsigned long long)l->refused);
}

/* ---- puts and ranges ---- */

static void client_next(struct client *c);
static int client_send(sd_event_source *source, uint64_t usec, void *userdata);

static void on_answer(struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
        struct client *c = userdata;

        c->answered = n >= c->load->answer_min;
}

static void on_call_done(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct client *c = userdata;
        struct load *l = c->load;
        uint64_t now = now_us();

        /* etcd also answers UNKNOWN when a member lags; the retry is part of a put's latency. */
        if (code != GRPC_OK && strstr(strempty(message), "too many requests") &&
                        sd_event_add_time_relative(l->event, NULL, CLOCK_MONOTONIC, RETRY_US, 1,
                                        client_send, c) >= 0) {
                l->refused++;
                return;
        }
        if (code != GRPC_OK || !c->answered) {
                if (l->errors++ == 0)
                        fprintf(stderr, "etcd-load: %s\n",
                                        code == GRPC_OK ? "the answer is empty: no such key"
                                                        : message);
        } else {
                l->samples[l->ended++] = (uint32_t)(now - c->start_us);
        }
        l->end_us = now;
        if (l->errors > 100)
                sd_event_exit(l->event, EXIT_FAILURE);
        else if (l->started < l->target && (l->in_order || now < l->until_us))
                client_next(c);
        else if (l->ended + l->errors == l->started)
                sd_event_exit(l->event, l->errors ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int client_send(sd_event_source *source, uint64_t usec, void *userdata) {
        struct client *c = userdata;
        struct load *l = c->load;
        struct grpc_client_call_options o = {
                        .path = l->path,
                        .timeout_us = UINT64_MAX,
                        .on_message = on_answer,
                        .on_done = on_call_done,
                        .userdata = c,
        };
        uint64_t key = c->key;

        for (int i = KEY_DIGITS - 1; i >= 0; i--, key /= 10)
                l->digits[i] = (char)('0' + key % 10);
        c->answered = false;
        if (grpc_client_unary(c->channel, &o, l->message, l->message_size, NULL) < 0)
                sd_event_exit(l->event, EXIT_FAILURE);
        return 0;
}

static void client_next(struct client *c) {
        struct load *l = c->load;

        /* A large odd step visits the keys in a scattered order, each equally often. */
        c->key = l->in_order ? l->started : l->started * 7919 % l->o->keys;
        l->started++;
        c->start_us = now_us();
        (void)client_send(NULL, 0, c);
}

static int pack(struct load *l, bool put) {
        char key[sizeof(key_prefix) + KEY_DIGITS] = {0};
        _cleanup_free_ char *value = malloc(l->o->value_size + 1);
        size_t n;

        l->message = malloc(l->o->value_size + 128);
        if (!l->message || !value)
                return -ENOMEM;
        memcpy(key, key_prefix, sizeof(key_prefix) - 1);
        memset(key + sizeof(key_prefix) - 1, '0', KEY_DIGITS);
        n = bytes_field(l->message, 1, key, sizeof(key_prefix) - 1 + KEY_DIGITS);
        l->digits = (char *)l->message + n - KEY_DIGITS;
        l->path = put ? "/etcdserverpb.KV/Put" : "/etcdserverpb.KV/Range";
        if (put) {
                /* Different bytes, so that compression has no effect. */
                for (uint32_t i = 0, x = 1; i < l->o->value_size; i++) {
                        x = x * 1664525 + 1013904223;
                        value[i] = (char)(x >> 24);
                }
                n += bytes_field(l->message + n, 2, value, l->o->value_size);
        } else if (l->o->serializable) {
                n += varint_put(l->message + n, 7 << 3);
                n += varint_put(l->message + n, 1);
        }
        l->message_size = n;
        l->answer_min = put ? 1 : l->o->value_size;
        return 0;
}

static int open_channels(struct load *l, size_t n) {
        size_t endpoints = strv_length(l->o->endpoints);
        int r = 0;

        for (; l->channel_count < n && r >= 0; l->channel_count++) {
                char *endpoint[] = {l->o->endpoints[l->channel_count % endpoints], NULL};
                struct grpc_channel_options o = {.endpoints = endpoint};
                _cleanup_problem_ struct problem p = {0};

                r = grpc_channel_new(&l->channels[l->channel_count], l->event, &o, &p);
                if (r < 0) {
                        fprintf(stderr, "etcd-load: %s\n", strempty(p.message));
                        break;
                }
        }
        return r;
}

/* Runs until all connections are established, so that the figures do not include it. */
static int wait_connected(struct load *l) {
        for (size_t i = 0; i < l->channel_count;) {
                int r;

                if (grpc_channel_is_connected(l->channels[i])) {
                        i++;
                        continue;
                }
                r = sd_event_run(l->event, UINT64_MAX);
                if (r < 0)
                        return r;
                if (sd_event_get_state(l->event) == SD_EVENT_FINISHED)
                        return -ETIMEDOUT;
        }
        return 0;
}

static int run_calls(struct load *l, bool put) {
        int r = pack(l, put);

        l->samples = calloc(SAMPLES_MAX, sizeof(*l->samples));
        l->clients = calloc(l->o->clients, sizeof(*l->clients));
        if (!l->samples || !l->clients)
                return -ENOMEM;
        l->target = l->in_order ? l->o->keys : l->o->count ? l->o->count : SAMPLES_MAX;
        l->target = MIN(l->target, (uint64_t)SAMPLES_MAX);
        if (r >= 0)
                r = open_channels(l, MIN(l->o->clients, l->o->connections));
        if (r >= 0)
                r = wait_connected(l);
        if (r < 0)
                return r;
        l->begin_us = now_us();
        l->until_us = l->begin_us + (uint64_t)l->o->seconds * 1000000;
        for (size_t i = 0; i < l->o->clients && l->started < l->target; i++) {
                l->clients[i] = (struct client){
                                .load = l, .channel = l->channels[i % l->channel_count]};
                client_next(&l->clients[i]);
        }
        r = sd_event_loop(l->event);
        print_samples(l, l->ended);
        return r;
}

/* ---- watch: one stream a connection, many watchers on each, all of one key ---- */

static void watch_put(struct load *l);

static void on_watch_message(
                struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
        struct load *l = userdata;
        const uint8_t *at = data, *end = at + n;
        struct field f;

        while (field_next(&at, end, &f)) {
                if (f.number == 3 && f.value)
                        l->created++;
                else if (f.number == 4 && f.value)
                        l->errors++;
                else if (f.number == 11)
                        l->events++;
        }
        if (l->errors > 0) {
                fprintf(stderr, "etcd-load: a watch was cancelled by the server\n");
                sd_event_exit(l->event, EXIT_FAILURE);
        } else if (l->started == 0 && l->created == l->o->watchers) {
                l->begin_us = now_us();
                watch_put(l);
        } else if (l->started > 0 && l->events == l->started * l->o->watchers) {
                l->end_us = now_us();
                l->samples[l->ended++] = (uint32_t)(l->end_us - l->clients->start_us);
                if (l->started == l->target)
                        sd_event_exit(l->event, EXIT_SUCCESS);
                else
                        watch_put(l);
        }
}

static void on_watch_done(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct load *l = userdata;

        fprintf(stderr, "etcd-load: a watch stream ended: %s\n", message);
        sd_event_exit(l->event, EXIT_FAILURE);
}

static void on_watch_put_done(struct grpc_client_call *call, enum grpc_code code,
                const char *message, void *userdata) {
        struct load *l = userdata;

        if (code == GRPC_OK)
                return;
        fprintf(stderr, "etcd-load: %s\n", message);
        sd_event_exit(l->event, EXIT_FAILURE);
}

static void watch_put(struct load *l) {
        struct grpc_client_call_options o = {
                        .path = l->path,
                        .timeout_us = UINT64_MAX,
                        .on_done = on_watch_put_done,
                        .userdata = l,
        };

        l->started++;
        l->clients->start_us = now_us();
        if (grpc_client_unary(l->channels[l->channel_count - 1], &o, l->message, l->message_size,
                            NULL) < 0)
                sd_event_exit(l->event, EXIT_FAILURE);
}

static int run_watch(struct load *l) {
        uint8_t inner[64], outer[96];
        struct grpc_client_call *streams[CONNECTIONS_MAX];
        struct grpc_client_call_options o = {
                        .path = "/etcdserverpb.Watch/Watch",
                        .timeout_us = UINT64_MAX,
                        .on_message = on_watch_message,
                        .on_done = on_watch_done,
                        .userdata = l,
        };
        size_t n, watching = MIN(l->o->connections, (uint32_t)CONNECTIONS_MAX - 1);
        int r = pack(l, true);

        l->samples = calloc(l->o->count + 1, sizeof(*l->samples));
        l->clients = calloc(1, sizeof(*l->clients));
        if (!l->samples || !l->clients)
                return -ENOMEM;
        l->target = l->o->count > 0 ? l->o->count : 1;
        /* The put has its own connection. */
        if (r >= 0)
                r = open_channels(l, watching + 1);
        if (r >= 0)
                r = wait_connected(l);
        if (r < 0)
                return r;
        n = bytes_field(inner, 1, l->digits - (sizeof(key_prefix) - 1),
                        sizeof(key_prefix) - 1 + KEY_DIGITS);
        n = bytes_field(outer, 1, inner, n);
        for (size_t i = 0; i < watching && r >= 0; i++)
                r = grpc_client_call_start(l->channels[i], &o, &streams[i]);
        for (size_t i = 0; i < l->o->watchers && r >= 0; i++)
                r = grpc_client_call_send(streams[i % watching], outer, n);
        if (r >= 0)
                r = sd_event_loop(l->event);
        print_samples(l, l->ended);
        return r;
}

/* ---- ready: from now until a linearizable read is answered ---- */

static void on_ready(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct load *l = userdata;

        l->notified = 0;
        if (code != GRPC_OK)
                return;
        l->end_us = now_us();
        sd_event_exit(l->event, EXIT_SUCCESS);
}

/* A channel backs off after a refused connection; a new one is opened instead, for a finer
 * resolution. */
static int on_ready_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        struct load *l = userdata;
        struct grpc_channel_options o = {.endpoints = l->o->endpoints};
        struct grpc_client_call_options call = {
                        .path = l->path,
                        .timeout_us = 30000000,
                        .on_done = on_ready,
                        .userdata = l,
        };
        _cleanup_problem_ struct problem p = {0};
        int r = 0;

        (void)sd_event_source_set_time_relative(source, RETRY_US);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        if (!l->probe || !grpc_channel_is_connected(l->probe)) {
                l->probe = grpc_channel_free(l->probe);
                l->notified = 0;
                r = grpc_channel_new(&l->probe, l->event, &o, &p);
        }
        if (r >= 0 && l->notified == 0) {
                l->notified = 1;
                r = grpc_client_unary(l->probe, &call, l->message, l->message_size, NULL);
        }
        return r < 0 ? sd_event_exit(l->event, EXIT_FAILURE) : 0;
}

static int run_ready(struct load *l) {
        int r = pack(l, false);

        l->begin_us = now_us();
        if (r >= 0)
                r = sd_event_add_time_relative(
                                l->event, NULL, CLOCK_MONOTONIC, 0, 1, on_ready_tick, l);
        if (r >= 0)
                r = sd_event_loop(l->event);
        if (r == 0)
                printf("ready_ms %.1f\n", (double)(l->end_us - l->begin_us) / 1e3);
        return r;
}

/* ---- leader and kill ---- */

struct status {
        struct load *load;
        size_t place;
};

static void on_status(struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
        struct status *s = userdata;
        const uint8_t *at = data, *end = at + n;
        struct field f, inner;

        while (field_next(&at, end, &f)) {
                const uint8_t *in = f.data;

                if (f.number == 4)
                        s->load->leader = f.value;
                while (f.number == 1 && f.data && field_next(&in, f.data + f.value, &inner))
                        if (inner.number == 2)
                                s->load->members[s->place] = inner.value;
        }
}

static void on_status_done(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct status *s = userdata;

        if (code != GRPC_OK)
                fprintf(stderr, "etcd-load: %s\n", message);
        s->load->notified++;
}

/* Requests the status of every server; returns the leader's index, or -ENOENT. */
static int find_leader(struct load *l) {
        struct status status[MEMBERS_MAX];
        size_t n = strv_length(l->o->endpoints);
        int r;

        if (n > MEMBERS_MAX)
                return -E2BIG;
        r = open_channels(l, n);
        for (size_t i = 0; i < n && r >= 0; i++) {
                struct grpc_client_call_options o = {
                                .path = "/etcdserverpb.Maintenance/Status",
                                .on_message = on_status,
                                .on_done = on_status_done,
                                .userdata = &status[i],
                };

                status[i] = (struct status){l, i};
                r = grpc_client_unary(l->channels[i], &o, "", 0, NULL);
        }
        while (r >= 0 && l->notified < n && sd_event_get_state(l->event) != SD_EVENT_FINISHED)
                r = sd_event_run(l->event, UINT64_MAX);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                if (l->leader != 0 && l->members[i] == l->leader)
                        return (int)i;
        return -ENOENT;
}

static void on_kill_put_done(struct grpc_client_call *call, enum grpc_code code,
                const char *message, void *userdata) {
        struct load *l = userdata;

        if (code != GRPC_OK || l->end_us > 0)
                return;
        l->end_us = now_us();
        sd_event_exit(l->event, EXIT_SUCCESS);
}

/* A new put every few milliseconds to each survivor: one that was forwarded to the dead leader
 * waits for its timeout, a later one does not. */
static int on_kill_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        struct load *l = userdata;
        struct grpc_client_call_options o = {
                        .path = l->path,
                        .timeout_us = 5000000,
                        .on_done = on_kill_put_done,
                        .userdata = l,
        };

        (void)sd_event_source_set_time_relative(source, PROBE_US);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        for (size_t i = 0; i < l->channel_count; i++)
                if (l->channels[i] && grpc_client_unary(l->channels[i], &o, l->message,
                                                      l->message_size, NULL) < 0)
                        return sd_event_exit(l->event, EXIT_FAILURE);
        return 0;
}

static int run_kill(struct load *l) {
        size_t n = strv_length(l->o->endpoints);
        uint32_t pid;
        int place, r = pack(l, true);

        if (r < 0)
                return r;
        place = find_leader(l);
        if (place < 0)
                return place;
        if (strv_length(l->o->pids) != n || parse_u32(l->o->pids[place], &pid) < 0 || pid < 2 ||
                        pid > INT32_MAX)
                return -EINVAL;
        r = wait_connected(l);
        if (r < 0)
                return r;
        l->channels[place] = grpc_channel_free(l->channels[place]);
        if (kill((pid_t)pid, SIGKILL) < 0)
                return -errno;
        l->begin_us = now_us();
        r = sd_event_add_time_relative(
                        l->event, NULL, CLOCK_MONOTONIC, PROBE_US, 1, on_kill_tick, l);
        if (r >= 0)
                r = sd_event_loop(l->event);
        if (r == 0)
                printf("killed %d leaderless_ms %.1f\n", place,
                                (double)(l->end_us - l->begin_us) / 1e3);
        return r;
}

static int run_leader(struct load *l) {
        int place = find_leader(l);

        if (place < 0)
                return place;
        printf("leader %d\n", place);
        return 0;
}

/* ---- fsync: the minimal cost of a log on this disk ---- */

/* A temporary file of SYNC_FILE_SIZE: written with zeros, or only allocated, as etcd's log is,
 * which costs the file system more at the first write. */
static int sync_file(const char *dir, bool written) {
        static const uint8_t zeros[65536];
        _cleanup_free_ char *path = strformat("%s/fsync-probe", dir);
        _cleanup_close_ int fd = -EBADF;

        fd = path ? open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600) : -ENOMEM;
        if (fd < 0)
                return path ? -errno : -ENOMEM;
        (void)unlink(path);
        if (!written && posix_fallocate(fd, 0, SYNC_FILE_SIZE) != 0)
                return -EIO;
        for (size_t at = 0; written && at < SYNC_FILE_SIZE; at += sizeof(zeros))
                if (pwrite(fd, zeros, sizeof(zeros), (off_t)at) != sizeof(zeros))
                        return -EIO;
        return fsync(fd) < 0 ? -errno : TAKE_FD(fd);
}

/* The median time of n pages written one after another, each synced. */
static int sync_pages(int fd, uint32_t n, uint32_t *samples, uint32_t *ret_median_us) {
        uint8_t page[SYNC_SIZE];

        memset(page, 0xa5, sizeof(page));
        for (uint32_t i = 0; i < n; i++) {
                uint64_t start_us = now_us();

                if (pwrite(fd, page, sizeof(page), (off_t)i * SYNC_SIZE) != SYNC_SIZE)
                        return -EIO;
                if (fdatasync(fd) < 0)
                        return -errno;
                samples[i] = (uint32_t)(now_us() - start_us);
        }
        qsort(samples, n, sizeof(*samples), compare_samples);
        *ret_median_us = percentile(samples, n, 50);
        return 0;
}

static int run_fsync(struct load *l) {
        uint32_t n = l->o->count > 0 ? MIN(l->o->count, (uint32_t)SYNCS_MAX) : 500;
        uint32_t median_us[2] = {0};

        l->samples = calloc(n, sizeof(*l->samples));
        if (!l->samples)
                return -ENOMEM;
        for (int written = 0; written < 2; written++) {
                _cleanup_close_ int fd = sync_file(l->o->dir, written);
                int r = fd < 0 ? fd : sync_pages(fd, n, l->samples, &median_us[written]);

                if (r < 0)
                        return r;
        }
        printf("overwrite_us %u first_use_us %u\n", median_us[1], median_us[0]);
        return 0;
}

/* ---- the program ---- */

static int on_limit(sd_event_source *source, uint64_t usec, void *userdata) {
        struct load *l = userdata;

        fprintf(stderr, "etcd-load: timed out\n");
        return sd_event_exit(l->event, EXIT_FAILURE);
}

static int check_options(const struct options *o) {
        if (o->clients < 1 || o->clients > CLIENTS_MAX || o->connections < 1 ||
                        o->connections > CONNECTIONS_MAX || o->keys < 1 || o->keys > KEYS_MAX ||
                        o->value_size > VALUE_SIZE_MAX || o->watchers < 1 ||
                        o->watchers > WATCHERS_MAX || o->count > SAMPLES_MAX || o->limit_s < 1 ||
                        o->limit_s > 3600) {
                fprintf(stderr, "etcd-load: a number is out of its range\n");
                return -EINVAL;
        }
        return 0;
}

static int run_mode(struct load *l, const char *mode) {
        if (streq(mode, "put") || streq(mode, "range"))
                return run_calls(l, streq(mode, "put"));
        if (streq(mode, "fill")) {
                l->in_order = true;
                return run_calls(l, true);
        }
        if (streq(mode, "watch"))
                return run_watch(l);
        if (streq(mode, "ready"))
                return run_ready(l);
        if (streq(mode, "leader"))
                return run_leader(l);
        if (streq(mode, "kill"))
                return run_kill(l);
        if (streq(mode, "fsync"))
                return run_fsync(l);
        fprintf(stderr, "etcd-load: there is no mode \"%s\"\n", mode);
        return -EINVAL;
}

static int run(const struct options *o, const char *mode) {
        struct load l = {.o = o};
        int r = check_options(o);

        if (r >= 0)
                r = sd_event_new(&l.event);
        if (r >= 0)
                r = sd_event_add_time_relative(l.event, NULL, CLOCK_MONOTONIC,
                                (uint64_t)o->limit_s * 1000000, 0, on_limit, &l);
        if (r >= 0)
                r = run_mode(&l, mode);
        if (r < 0)
                fprintf(stderr, "etcd-load: %s: %s\n", mode, strerror(-r));
        grpc_channel_free(l.probe);
        for (size_t i = 0; i < l.channel_count; i++)
                grpc_channel_free(l.channels[i]);
        sd_event_unref(l.event);
        free(l.samples);
        free(l.clients);
        free(l.message);
        return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv) {
        _cleanup_(strv_freep) char **words = NULL;
        _cleanup_problem_ struct problem p = {0};
        struct options o = {0};
        int r = options_parse(&program, &o, argc, argv, &words, &p);

        if (r < 0 || (r == 0 && strv_length(words) != 1)) {
                fprintf(stderr, "etcd-load: %s\n",
                                r < 0 ? strempty(p.message) : "exactly one mode is needed");
                r = EXIT_FAILURE;
        } else {
                r = r > 0 ? EXIT_SUCCESS : run(&o, words[0]);
        }
        options_done(&program, &o);
        return r;
}
