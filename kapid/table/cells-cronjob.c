/* Cells of CronJobs, whose job's template is one step deeper than in other kinds. */
#include "kapid/table/cells.h"
#include "lib/object.h"

json_t *cells_cronjob_suspend(const json_t *o, uint64_t now_us) {
        return json_string(json_bool_or(o, "spec.suspend", false) ? "True" : "False");
}

json_t *cells_cronjob_active(const json_t *o, uint64_t now_us) {
        return json_integer((json_int_t)json_array_size(json_at(o, "status.active")));
}

json_t *cells_cronjob_last_schedule(const json_t *o, uint64_t now_us) {
        const char *last = json_str(o, "status.lastScheduleTime");

        return last ? cells_age(last, now_us) : json_string("<none>");
}

json_t *cells_cronjob_containers(const json_t *o, uint64_t now_us) {
        return cells_containers(json_at(o, "spec.jobTemplate.spec.template.spec"), "name");
}

json_t *cells_cronjob_images(const json_t *o, uint64_t now_us) {
        return cells_containers(json_at(o, "spec.jobTemplate.spec.template.spec"), "image");
}

json_t *cells_cronjob_selector(const json_t *o, uint64_t now_us) {
        return cells_selector(json_at(o, "spec.jobTemplate.spec.selector"));
}
