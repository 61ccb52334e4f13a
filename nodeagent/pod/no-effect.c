/* Says once, when a pod arrives, which of its fields have no effect. */
#include "lib/buf.h"
#include "lib/no-effect.h"
#include "nodeagent/pod/pod.h"

/* An event's message is short; the rest is counted. */
enum { NAMED_MAX = 8 };

struct named {
        struct buf text;
        size_t count;
};

static void add(void *userdata, const char *path, const char *text) {
        struct named *n = userdata;

        if (++n->count <= NAMED_MAX)
                buf_printf(&n->text, "%s%s (%s)", n->count > 1 ? ", " : "", path, text);
}

void pod_warn_no_effect(struct pod *p) {
        struct named n = {0};

        no_effect_find(&no_effect_table, "", "Pod", NULL, p->object, add, &n);
        if (n.count > NAMED_MAX)
                buf_printf(&n.text, " and %zu more", n.count - NAMED_MAX);
        if (n.count > 0 && !n.text.failed)
                pod_event(p, "Warning", "FieldWithoutEffect", "without effect here: %s",
                                n.text.data);
        buf_done(&n.text);
}
