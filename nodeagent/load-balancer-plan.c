/* What the pools say about one node. */
#include "lib/address.h"
#include "lib/object.h"
#include "nodeagent/load-balancer.h"

enum { GIVEN_UP_US = 3000000 };

bool load_balancer_must_list(bool *lapsed, bool in_touch) {
        bool back = *lapsed && in_touch;

        *lapsed = !in_touch;
        return back;
}

bool load_balancer_may_take_back(uint64_t given_up_us, uint64_t now_us, bool known) {
        return known && now_us > given_up_us + GIVEN_UP_US;
}

int load_balancer_addresses(const json_t *pool, const char *node, json_t *ret) {
        const json_t *row;
        size_t i;

        json_array_foreach (json_at(pool, "status.addresses"), i, row) {
                struct address a = address_parse(json_str_or(row, "address", ""));
                char text[ADDRESS_TEXT_SIZE];

                if (a.size == 0 || !streq(json_str_or(row, "node", ""), node) ||
                                json_object_get(ret, address_text(&a, text)))
                        continue;
                if (json_object_set_new(ret, text, json_string(object_name(pool))) < 0)
                        return -ENOMEM;
        }
        return 0;
}
