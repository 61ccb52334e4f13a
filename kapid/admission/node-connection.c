/* NodeConnectionRestriction: the annotations of a Node that say how the control plane reaches the
 * machine are for system:masters only. */
#include "kapid/admission/plugins.h"
#include "kapid/auth/user.h"
#include "lib/object.h"

static int check_annotations(struct admission *a, struct problem *p) {
        static const char *const names[] = {
                        "keelson.dev/ssh-host-key", "keelson.dev/ssh-port", "keelson.dev/ssh-user"};

        if (user_is_master(a->user))
                return 0;
        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (!streq_ptr(object_annotation(a->live, names[i]),
                                    object_annotation(a->object, names[i])))
                        return admission_forbidden(a, p,
                                        "the annotations keelson.dev/ssh-* may be changed by "
                                        "system:masters only");
        return 0;
}

const struct admission_plugin admission_node_connection = {
                .safeguard = true,
                .rules =
                                (const struct admission_rule[]){
                                                {.group = "",
                                                                .plural = "nodes",
                                                                .subresource = "*",
                                                                .operations = ADMIT_CREATE |
                                                                              ADMIT_UPDATE,
                                                                .validate = check_annotations},
                                                {0},
                                },
};
