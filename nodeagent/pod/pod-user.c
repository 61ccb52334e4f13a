/* A pod's dynamic user: a name whose number no other user has (plan/dynamic-user.h). It is chosen
 * before the pod starts, and stays. */
#include <unistd.h>

#include "lib/object.h"
#include "nodeagent/plan/dynamic-user.h"
#include "nodeagent/pod/pod.h"

/* systemd keeps a link from each number to its user's name there. */
#define DIRECT "/run/systemd/dynamic-uid/direct:"

static bool is_of_other_unit(uint32_t number, const char *name) {
        char path[sizeof(DIRECT) + 10], who[256];
        ssize_t n;

        snprintf(path, sizeof(path), DIRECT "%u", number);
        n = readlink(path, who, sizeof(who) - 1);
        if (n < 0)
                return false;
        who[n] = 0;
        return !streq(who, name);
}

static bool is_taken(uint32_t number, const char *name, void *userdata) {
        const struct pod *p = userdata;

        map_foreach (p->pods->by_uid, e) {
                const struct pod *other = map_entry_value(e);

                if (other != p && other->sandbox.user_number == number)
                        return true;
        }
        return is_of_other_unit(number, name);
}

static void take(struct pod *p, unsigned attempt) {
        char name[DYNAMIC_USER_SIZE];

        dynamic_user_name(p->uid, attempt, name);
        p->sandbox.user_try = attempt;
        p->sandbox.user_number = dynamic_user_number(name);
}

void pod_load_user(struct pod *p, int64_t attempt) {
        p->sandbox.user_chosen = attempt >= 0 && attempt < DYNAMIC_USER_TRIES;
        take(p, p->sandbox.user_chosen ? (unsigned)attempt : 0);
}

unsigned pod_choose_user(struct pod *p) {
        struct pod_sandbox *s = &p->sandbox;

        if (s->user_chosen || pod_has_started(p))
                return s->user_try;
        take(p, dynamic_user_choose(p->uid, is_taken, p));
        s->user_chosen = true;
        /* On disk before it is used. The first one is what an agent without a record takes. */
        if (s->user_try > 0)
                pod_report(p);
        return s->user_try;
}

void pod_note_user(struct pod *p, const json_t *plan) {
        p->sandbox.user_number = dynamic_user_of_plan(plan);
}
