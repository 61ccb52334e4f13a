/* Cells of APIServices, as kubectl prints them. */
#include "kapid/table/cells.h"

#include "lib/object.h"

json_t *cells_apiservice_service(const json_t *apiservice, uint64_t now_us) {
        const json_t *service = json_at(apiservice, "spec.service");

        return service ? json_sprintf("%s/%s", json_str_or(service, "namespace", ""),
                                         json_str_or(service, "name", ""))
                       : json_string("Local");
}

json_t *cells_apiservice_available(const json_t *apiservice, uint64_t now_us) {
        const json_t *c = object_condition(apiservice, "Available");
        const char *status = json_str_or(c, "status", "Unknown");

        return streq(status, "True") || !c
                               ? json_string(status)
                               : json_sprintf("%s (%s)", status, json_str_or(c, "reason", ""));
}
