/* The budget of frames that cost a client nothing: RFC 9113 section 10.5 names them. */
#include "lib/h2-calm.h"

/* RFC 9113 section 6. */
enum {
        FRAME_DATA = 0,
        FRAME_HEADERS = 1,
        FRAME_WINDOW_UPDATE = 8,
        FLAG_ACK = 1,
        FLAG_END_STREAM = 1,
        FRAME_GOAWAY = 7,
        FRAME_SETTINGS = 4,
};

bool h2_calm_costs(uint8_t type, uint8_t flags, size_t length) {
        switch (type) {
        case FRAME_DATA:
                return length == 0 && !(flags & FLAG_END_STREAM);
        case FRAME_HEADERS:       /* streams are counted */
        case FRAME_WINDOW_UPDATE: /* readers send as many as they read */
        case FRAME_GOAWAY:
                return false;
        case FRAME_SETTINGS:
                return !(flags & FLAG_ACK);
        default:
                return true;
        }
}

bool h2_calm_spend(uint64_t *whole_us, uint64_t now_us, unsigned per_s, unsigned at_once) {
        const uint64_t share_us = 1000000 / MAX(per_s, 1u), room_us = share_us * at_once;
        const uint64_t whole = MAX(*whole_us, now_us) + share_us;

        if (per_s == 0)
                return true;
        if (whole - now_us > room_us)
                return false;
        *whole_us = whole;
        return true;
}
