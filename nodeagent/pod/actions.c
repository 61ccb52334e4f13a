/* A row for each type of action; the list and its text are lib/client/actions.c. */
#include "nodeagent/pod/actions.h"

#include <stdarg.h>

#include "lib/object.h"

static void text_of(const struct action *x, struct buf *b) {
        if (x->event_type)
                buf_printf(b, " %s", x->event_type);
        if (x->reason)
                buf_printf(b, " %s", x->reason);
        if (x->message)
                buf_printf(b, ": %s", x->message);
}

/* Done once sent: the result is seen in the next look. */
static int start(struct running_action *a) {
        struct pod_driver *d = a->context;

        d->carry_out(d, a->action);
        action_ended(a, /* error= */ 0, /* object= */ NULL, /* p= */ NULL);
        return 0;
}

#define ROW(what, word) [what] = {.name = word, .start = start, .text = text_of}
static const struct action_type types[POD_ACTIONS_MAX] = {ROW(POD_SAVE, "save"),
                ROW(POD_FAIL, "fail"), ROW(POD_EVENT, "event"), ROW(POD_FETCH, "fetch"),
                ROW(POD_PREPARE, "prepare"), ROW(POD_MEASURE, "measure"), ROW(POD_SWEEP, "sweep"),
                ROW(POD_CLEAN, "clean"), ROW(POD_REPORT, "report"), ROW(POD_FINISH, "finish"),
                ROW(CONTAINER_USE_IMAGE, "use-image"), ROW(CONTAINER_PULL, "pull"),
                ROW(CONTAINER_RENEW_ROOT, "renew-root"), ROW(CONTAINER_START, "start"),
                ROW(CONTAINER_STOP, "stop"), ROW(CONTAINER_RESTART, "restart"),
                ROW(CONTAINER_KILL, "kill"), ROW(CONTAINER_CLEAR, "clear"),
                ROW(CONTAINER_WAIT, "wait"), ROW(CONTAINER_BACK_OFF, "back-off"),
                ROW(CONTAINER_PROBE_STARTUP, "probe-startup"),
                ROW(CONTAINER_PROBE_LIVENESS, "probe-liveness"),
                ROW(CONTAINER_PROBE_READINESS, "probe-readiness"),
                ROW(CONTAINER_STARTUP_PROBE_STOP, "stop-startup-probe"),
                ROW(CONTAINER_PROBES_STOP, "stop-probes"),
                ROW(CONTAINER_POST_START, "run-post-start"),
                ROW(CONTAINER_PRE_STOP, "run-pre-stop"), ROW(CONTAINER_HOOKS_STOP, "stop-hooks"),
                ROW(CONTAINER_ADOPT, "adopt"), ROW(CONTAINER_RESIZE, "resize"),
                ROW(POD_RESIZE, "grant-resources"), ROW(POD_RESIZE_PENDING, "resize-waits")};
#undef ROW

static struct action *add(struct actions *a, enum pod_action what, const char *container) {
        assert(what < POD_ACTIONS_MAX && types[what].name);
        assert((what >= CONTAINER_USE_IMAGE) == (container != NULL));
        return actions_add(a, &types[what], NULL, NULL, container, NULL);
}

void action_pod(struct actions *a, enum pod_action what) {
        (void)add(a, what, NULL);
}

void action_pod_fail(struct actions *a, const char *reason, const char *message) {
        struct action *x = add(a, POD_FAIL, NULL);

        x->reason = action_string(reason);
        x->message = action_string(message);
}

void action_resize_pending(struct actions *a, const char *reason, const char *message) {
        struct action *x = add(a, POD_RESIZE_PENDING, NULL);

        x->reason = action_string(reason);
        x->message = action_string(message);
}

void action_pod_event(
                struct actions *a, const char *type, const char *reason, const char *fmt, ...) {
        struct action *x = add(a, POD_EVENT, NULL);
        va_list ap;

        x->event_type = action_string(type);
        x->reason = action_string(reason);
        va_start(ap, fmt);
        assert(vasprintf(&x->message, fmt, ap) >= 0);
        va_end(ap);
}

void action_container(struct actions *a, enum pod_action what, const char *container) {
        (void)add(a, what, container);
}

void action_wait(
                struct actions *a, const char *container, const char *reason, const char *message) {
        struct action *x = add(a, CONTAINER_WAIT, container);

        x->reason = action_string(reason);
        x->message = action_string(message);
}

void action_back_off(
                struct actions *a, const json_t *pod, const char *container, uint64_t pause_us) {
        struct action *x = add(a, CONTAINER_BACK_OFF, container);

        assert(asprintf(&x->message, "back-off %llus restarting failed container=%s pod=%s_%s(%s)",
                               (unsigned long long)(pause_us / 1000000), container,
                               object_name(pod), object_namespace(pod), object_uid(pod)) >= 0);
}

enum pod_action pod_action_of(const struct action *x) {
        assert(x->type >= types && x->type < types + POD_ACTIONS_MAX);
        return (enum pod_action)(x->type - types);
}

const char *pod_action_name(enum pod_action what) {
        assert(what < POD_ACTIONS_MAX);
        return types[what].name;
}
