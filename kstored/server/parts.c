/* The table of the server's parts, and the walks over it. */
#include "kstored/server/parts.h"

#include <stdlib.h>

#include "kstored/server/auto-tls.h"
#include "kstored/server/autocompact.h"
#include "kstored/server/corrupt.h"
#include "kstored/server/drive.h"
#include "kstored/server/first-life.h"
#include "kstored/server/links.h"
#include "kstored/server/listen.h"
#include "kstored/server/memory.h"
#include "kstored/server/metrics.h"
#include "kstored/server/publish.h"
#include "kstored/server/quota.h"
#include "kstored/server/scrub.h"
#include "kstored/server/server.h"
#include "kstored/service/forward.h"
#include "kstored/service/hash.h"
#include "kstored/service/health.h"
#include "kstored/service/kv.h"
#include "kstored/service/move-leader.h"
#include "kstored/service/reads.h"
#include "kstored/service/reply.h"
#include "kstored/service/requests.h"
#include "kstored/service/require-leader.h"
#include "kstored/service/snapshot.h"
#include "kstored/service/watch.h"
#include "kstored/service/web.h"
#include "kstored/snapshot/receive.h"
#include "kstored/snapshot/send.h"

#define SERVER_PART_ROW(id, part) [SERVER_PART_##id] = &(part),
static const struct server_part *const parts[SERVER_PARTS_COUNT] = {SERVER_PARTS(SERVER_PART_ROW)};
#undef SERVER_PART_ROW

int parts_new(struct server *s, struct problem *p) {
        int r;

        for (size_t i = 0; i < ELEMENTS(parts); i++) {
                s->parts[i] = calloc(1, parts[i]->size);
                if (!s->parts[i])
                        return -ENOMEM;
        }
        for (size_t i = 0; i < ELEMENTS(parts); i++) {
                if (!parts[i]->configure)
                        continue;
                r = parts[i]->configure(s, s->parts[i], p);
                if (r < 0)
                        return r;
        }
        return 0;
}

int parts_start(struct server *s, struct problem *p) {
        int r;

        for (size_t i = 0; i < ELEMENTS(parts); i++) {
                if (!parts[i]->start)
                        continue;
                r = parts[i]->start(s, s->parts[i], p);
                if (r < 0)
                        return r;
        }
        return 0;
}

void parts_prepare(struct server *s, uint64_t now_ms) {
        for (size_t i = 0; i < ELEMENTS(parts); i++)
                if (parts[i]->prepare)
                        parts[i]->prepare(s, s->parts[i], now_ms);
}

void parts_turn(struct server *s, uint64_t now_ms) {
        for (size_t i = 0; i < ELEMENTS(parts); i++)
                if (parts[i]->turn)
                        parts[i]->turn(s, s->parts[i], now_ms);
}

void parts_tick(struct server *s, uint64_t now_ms) {
        for (size_t i = 0; i < ELEMENTS(parts); i++)
                if (parts[i]->tick)
                        parts[i]->tick(s, s->parts[i], now_ms);
}

void parts_second(struct server *s, uint64_t now_ms) {
        for (size_t i = 0; i < ELEMENTS(parts); i++)
                if (parts[i]->second)
                        parts[i]->second(s, s->parts[i], now_ms);
}

void parts_stop(struct server *s) {
        for (size_t i = 0; i < ELEMENTS(parts); i++)
                if (parts[i]->stop && s->parts[i])
                        parts[i]->stop(s, s->parts[i]);
}

void parts_end(struct server *s) {
        for (size_t i = 0; i < ELEMENTS(parts); i++)
                if (parts[i]->end && s->parts[i])
                        parts[i]->end(s, s->parts[i]);
}

void parts_free(struct server *s) {
        for (size_t i = 0; i < ELEMENTS(parts); i++)
                s->parts[i] = mfree(s->parts[i]);
}
