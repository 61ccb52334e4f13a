/* kctl create cronjob. */
#include "kctl/create/create.h"

static int build(struct kctl *k, json_t *object, struct problem *p) {
        const char *image;
        int r = one_image(k, &image, p);

        if (r < 0)
                return r;
        if (isempty(k->flags.schedule))
                return problem_set(p, EINVAL, 0, NULL,
                                "--schedule is needed: minute, hour, day, month and weekday, as "
                                "\"*/5 * * * *\"");
        return json_set_at(object, "spec",
                        json_pack("{s:s, s:{s:{s:s}, s:{s:{s:{s:[o], s:s}}}}}", "schedule",
                                        k->flags.schedule, "jobTemplate", "metadata", "name",
                                        k->words[0], "spec", "template", "spec", "containers",
                                        container_json(k->words[0], image, create_command(k)),
                                        "restartPolicy",
                                        k->flags.restart ? k->flags.restart : "OnFailure"));
}

int kctl_create_cronjob(struct kctl *k) {
        return create_run(k, KIND_CRONJOBS, build);
}
