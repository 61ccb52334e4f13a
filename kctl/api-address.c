/* What may be the address of the API. Pure. */
#include "kctl/api-address.h"

#include "kctl/control.h"
#include "lib/address.h"

enum { NAME_SIZE_MAX = 253 };

/* Lower case, as in certificates; not all digits and dots, which is a mistyped address. */
static bool is_name(const char *text) {
        size_t n = strlen(text);

        return n > 0 && n <= NAME_SIZE_MAX &&
               strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.") == n &&
               !strchr("-.", text[0]) && !strchr("-.", text[n - 1]) &&
               strspn(text, "0123456789.") < n && !strstr(text, "..");
}

int api_address_kind(const char *text, struct problem *p) {
        struct address a = address_parse(text);
        char canonical[ADDRESS_TEXT_SIZE];

        if (a.size > 0 && text[strlen(text) - 1] != ':') { /* fd00:: is a network's */
                if (!streq(address_text(&a, canonical), text))
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--api-address %s: write it as %s", text, canonical);
                return API_ADDRESS_FLOATING;
        }
        if (is_name(text))
                return API_ADDRESS_NAME;
        return problem_set(p, EINVAL, 0, NULL,
                        "--api-address %s: this is neither an address nor a name in lower case",
                        text);
}

unsigned api_address_router(const char *address) {
        struct address a = address_parse(address);
        unsigned last = a.size > 0 ? a.octets[a.size - 1] : 0;

        return last ? last : 255;
}

char *api_place_url(const struct api_place *a) {
        return control_url(a->api ? a->api : a->address, a->port);
}
