/* See node-address.h. */
#include "nodeagent/network/node-address.h"

struct node_addresses node_addresses_read(const char *text) {
        struct node_addresses all = {0};

        while (*text) {
                size_t n = strcspn(text, ",");
                char one[ADDRESS_TEXT_SIZE];

                if (n < sizeof(one)) {
                        struct address a;

                        memcpy(one, text, n);
                        one[n] = 0;
                        a = address_parse(one);
                        if (a.size > 0 && !*all.text[address_family(&a)])
                                address_text(&a, all.text[address_family(&a)]);
                }
                text += n + (text[n] == ',');
        }
        return all;
}

char *node_addresses_text(const struct node_addresses *a) {
        const char *four = a->text[FAMILY_IPV4], *six = a->text[FAMILY_IPV6];

        return strformat("%s%s%s", four, *four && *six ? "," : "", six);
}
