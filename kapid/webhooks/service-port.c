/* Ports of the Services that clients of kapid's own name: webhooks and extension servers. Pure. */
#include "kapid/webhooks/service-port.h"

const json_t *service_port_find(const json_t *service, int64_t number) {
        const json_t *port;
        size_t i;

        json_array_foreach (json_at(service, "spec.ports"), i, port)
                if (json_int_or(port, "port", 0) == number)
                        return port;
        return NULL;
}
