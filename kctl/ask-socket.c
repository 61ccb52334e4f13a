/* kctl ask-socket SOCKET PATH: for scripts on machines that have no curl (config/support.sh). */
#include "lib/ask-socket.h"

#include "kctl/kctl.h"

int kctl_ask_socket(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};

        if (strv_length(k->words) != 2)
                return kctl_usage(k, "name a socket and a path");
        return ask_socket(k->words[0], k->words[1], &p) < 0 ? kctl_fail(&p) : EXIT_OK;
}
