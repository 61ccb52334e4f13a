/* etcdserverpb.Maintenance. */
#include "kstored/service/maintenance.h"

#include "config.h"

#include "kstored/server/metrics.h"
#include "kstored/server/server.h"
#include "kstored/service/reply.h"
#include "kstored/service/requests.h"
#include "lib/timefmt.h"

/* As clients compare them. */
const char server_version[] = "3.5.17+keelson." PACKAGE_VERSION;
const char server_cluster_version[] = "3.5.0";

void service_alarm(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;

        if (!UNPACK(s, alarm_request, data, n))
                server_refuse(call, STORE_BAD_MESSAGE);
        else
                server_propose(s, call, COMMAND_ALARM, data, n, NULL);
}

void service_status(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        struct disk_size size = disk_size(s->disk);
        _cleanup_buf_ struct buf b = {0};
        struct raft_status status;

        raft_get_status(s->raft, &status);
        wire_string(&b, 2, server_version);
        wire_uint(&b, 3, (uint64_t)size.size);
        wire_uint(&b, 4, status.leader);
        wire_uint(&b, 5, status.commit);
        wire_uint(&b, 6, status.term);
        wire_uint(&b, 7, s->state->applied);
        if (status.leader == 0)
                wire_string(&b, 8, store_error_text(STORE_NO_LEADER));
        if (s->replica->disk_full)
                wire_string(&b, 8, "kstored: the disk is full");
        for (size_t i = 0; i < s->state->alarm_count; i++) {
                char text[96];

                snprintf(text, sizeof(text), "memberID:%llu alarm:%s ",
                                (unsigned long long)s->state->alarms[i].member,
                                s->state->alarms[i].types & (1u << ALARM_NOSPACE) ? "NOSPACE"
                                                                                  : "CORRUPT");
                wire_string(&b, 8, text);
        }
        wire_uint(&b, 9, (uint64_t)size.in_use);
        wire_bool(&b, 10, status.learner);
        server_reply(s, call, mvcc_rev(s->state->kv.mvcc), &b);
}

struct defragment {
        struct server *server;
        struct grpc_call *call; /* NULL: gone */
        uint64_t started_us;
};

static int run_vacuum(void *userdata) {
        struct defragment *d = userdata;

        return disk_vacuum(d->server->disk);
}

static void on_vacuumed(int result, void *userdata) {
        struct defragment *d = userdata;

        d->server->counts.defragmenting--;
        server_metrics_defragmented(d->server, now_mono_us() - d->started_us);
        if (d->call) {
                grpc_call_on_gone(d->call, NULL, NULL);
                if (result < 0)
                        grpc_call_finish(d->call, GRPC_INTERNAL, disk_error_text(d->server->disk));
                else
                        grpc_call_reply(d->call, "", 0); /* as etcd: no header */
        }
        free(d);
}

static void on_defragment_gone(struct grpc_call *call, void *userdata) {
        struct defragment *d = userdata;

        d->call = NULL;
}

/* On the thread that writes the database. */
void service_defragment(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        struct defragment *d;

        if (s->counts.defragmenting > 0) {
                server_refuse(call, STORE_TOO_MANY_REQUESTS); /* it is being done */
                return;
        }
        d = calloc(1, sizeof(*d));
        if (!d) {
                server_refuse(call, STORE_NO_MEMORY);
                return;
        }
        d->server = s;
        d->call = call;
        d->started_us = now_mono_us();
        if (worker_submit(s->flusher, run_vacuum, on_vacuumed, d) < 0) {
                free(d);
                server_refuse(call, STORE_TOO_MANY_REQUESTS);
                return;
        }
        s->counts.defragmenting++;
        grpc_call_on_gone(call, on_defragment_gone, d);
}
