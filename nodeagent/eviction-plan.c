/* Thresholds and the order of pods. Pure: what the machine has and what pods use comes in. */
#include "nodeagent/eviction-plan.h"

#include "lib/buf.h"
#include "lib/object.h"
#include "lib/pod-amounts.h"

enum {
        PART_OF = 1000000,       /* millionths */
        PERCENT = PART_OF / 100, /* of them */
        PRIORITY_CRITICAL = 2000000000,
        HARD_GRACE_S = 1,
};

static const struct {
        const char *name;     /* in flags */
        const char *resource; /* in messages */
        enum node_pressure pressure;
        bool bytes, requested; /* whether pods ask for it */
} signals[EVICTION_SIGNALS] = {
                [SIGNAL_MEMORY] = {"memory.available", "memory", PRESSURE_MEMORY, true, true},
                [SIGNAL_DISK] = {"nodefs.available", "ephemeral-storage", PRESSURE_DISK, true,
                                true},
                [SIGNAL_INODES] = {"nodefs.inodesFree", "inodes", PRESSURE_DISK, false, false},
                [SIGNAL_PIDS] = {"pid.available", "pids", PRESSURE_PIDS, false, false}};

/* ---- settings ---- */

static int signal_of(const char *name, size_t n, enum eviction_signal *ret, struct problem *p) {
        for (size_t i = 0; i < ELEMENTS(signals); i++)
                if (strlen(signals[i].name) == n && strncmp(signals[i].name, name, n) == 0) {
                        *ret = (enum eviction_signal)i;
                        return 0;
                }
        return problem_set(p, EINVAL, 0, NULL,
                        "'%.*s' is not a signal of eviction: use memory.available, "
                        "nodefs.available, nodefs.inodesFree or pid.available",
                        (int)MIN(n, (size_t)100), name);
}

/* "10%", "100Mi" */
static int amount_of(const char *text, struct eviction_amount *ret, struct problem *p) {
        _cleanup_json_ json_t *v = NULL;
        size_t n = strlen(text);
        char *end = NULL;
        double percent;

        if (n > 1 && text[n - 1] == '%') {
                percent = strtod(text, &end);
                if (end == text + n - 1 && percent >= 0 && percent <= 100) {
                        *ret = (struct eviction_amount){true, (int64_t)(percent * PERCENT)};
                        return 0;
                }
        } else {
                *ret = (struct eviction_amount){0};
                v = json_string(text);
                if (quantity_parse_units(v, &ret->value) >= 0 && ret->value >= 0)
                        return 0;
        }
        return problem_set(p, EINVAL, 0, NULL,
                        "'%.100s' is not an amount for eviction: write 100Mi, 1000 or 10%%", text);
}

/* One part of a flag, "NAME<TEXT" or "NAME=TEXT": its signal, and where its text begins. */
static int split(const char *word, char sign, enum eviction_signal *ret, const char **ret_text,
                struct problem *p) {
        const char *at = strchr(word, sign);

        if (!at)
                return problem_set(p, EINVAL, 0, NULL,
                                "'%.100s' is not a threshold of eviction: write SIGNAL%cAMOUNT",
                                word, sign);
        *ret_text = at + 1;
        return signal_of(word, (size_t)(at - word), ret, p);
}

static struct eviction_threshold *find(
                struct eviction_settings *s, enum eviction_signal signal, bool soft) {
        for (size_t i = 0; i < s->count; i++)
                if (s->items[i].signal == signal && s->items[i].soft == soft)
                        return &s->items[i];
        return NULL;
}

static int add(struct eviction_settings *s, const char *word, bool soft, struct problem *p) {
        struct eviction_threshold t = {.soft = soft};
        const char *text;
        int r = split(word, '<', &t.signal, &text, p);

        if (r < 0)
                return r;
        r = amount_of(text, &t.below, p);
        if (r < 0)
                return r;
        if (find(s, t.signal, soft) || s->count == EVICTION_THRESHOLDS_MAX)
                return problem_set(p, EINVAL, 0, NULL, "%s is given twice for eviction",
                                signals[t.signal].name);
        s->items[s->count++] = t;
        return 0;
}

static int add_hard(struct eviction_settings *s, const char *word, struct problem *p) {
        return add(s, word, /* soft= */ false, p);
}

static int add_soft(struct eviction_settings *s, const char *word, struct problem *p) {
        return add(s, word, /* soft= */ true, p);
}

static int add_grace(struct eviction_settings *s, const char *word, struct problem *p) {
        struct eviction_threshold *t;
        enum eviction_signal signal;
        const char *text;
        int r = split(word, '=', &signal, &text, p);

        if (r < 0)
                return r;
        t = find(s, signal, /* soft= */ true);
        if (!t)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s has a grace period but no soft threshold: add it to "
                                "eviction-soft",
                                signals[signal].name);
        r = parse_duration_us(text, &t->grace_us);
        return r >= 0 ? 0
                      : problem_set(p, EINVAL, 0, NULL,
                                        "'%.100s' is not a time: write 30s or 1m30s", text);
}

static int add_reclaim(struct eviction_settings *s, const char *word, struct problem *p) {
        struct eviction_amount amount = {0};
        enum eviction_signal signal;
        const char *text;
        int r = split(word, '=', &signal, &text, p);

        if (r < 0)
                return r;
        r = amount_of(text, &amount, p);
        if (r < 0)
                return r;
        for (size_t i = 0; i < s->count; i++)
                if (s->items[i].signal == signal)
                        s->items[i].reclaim = amount;
        return 0;
}

static int each_word(struct eviction_settings *s, const char *text,
                int (*func)(struct eviction_settings *s, const char *word, struct problem *p),
                struct problem *p) {
        _cleanup_strv_free_ char **words = NULL;
        int r;

        if (isempty(text))
                return 0;
        r = strv_split(text, ",", &words);
        if (r < 0)
                return r;
        for (char **w = words; w && *w; w++) {
                r = func(s, *w, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

int eviction_settings_parse(
                struct eviction_settings *s, const struct eviction_texts *t, struct problem *p) {
        const struct {
                const char *text;
                int (*func)(struct eviction_settings *s, const char *word, struct problem *p);
        } steps[] = {{t->hard, add_hard}, {t->soft, add_soft}, {t->soft_grace, add_grace},
                        {t->reclaim, add_reclaim}};

        s->count = 0;
        for (size_t i = 0; i < ELEMENTS(steps); i++) {
                int r = each_word(s, steps[i].text, steps[i].func, p);

                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < s->count; i++)
                if (s->items[i].soft && s->items[i].grace_us == 0)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "the soft threshold %s needs a grace period: add "
                                        "%s=1m30s to eviction-soft-grace-period",
                                        signals[s->items[i].signal].name,
                                        signals[s->items[i].signal].name);
        return 0;
}

/* ---- one look ---- */

static int64_t amount_in(const struct eviction_amount *a, int64_t capacity) {
        return a->is_part ? (int64_t)((__int128)capacity * a->value / PART_OF) : a->value;
}

/* was: it was met at the last look, and stays so until some more is reclaimed. */
static bool is_met(const struct eviction_threshold *t, const struct eviction_observation *seen,
                bool was) {
        int64_t below = amount_in(&t->below, seen->capacity);

        if (was)
                below += amount_in(&t->reclaim, seen->capacity);
        return seen->known && seen->available < below;
}

static bool is_due(const struct eviction_threshold *t, uint64_t met_us, uint64_t now_us) {
        return met_us > 0 && now_us - met_us >= t->grace_us;
}

void eviction_look(const struct eviction_settings *s, struct eviction_memory *m,
                const struct eviction_observation seen[static EVICTION_SIGNALS], uint64_t now_us,
                struct eviction_verdict *ret) {
        assert(now_us > 0 && s->count <= EVICTION_THRESHOLDS_MAX);
        *ret = (struct eviction_verdict){0};
        for (size_t i = 0; i < s->count; i++) {
                const struct eviction_threshold *t = &s->items[i];

                if (!is_met(t, &seen[t->signal], m->met_us[i] > 0)) {
                        m->met_us[i] = 0;
                        continue;
                }
                if (m->met_us[i] == 0)
                        m->met_us[i] = now_us;
                m->seen_us[signals[t->signal].pressure] = now_us;
                /* Memory comes first: it ends soonest. */
                if (is_due(t, m->met_us[i], now_us) && (!ret->due || t->signal < ret->due->signal))
                        ret->due = t;
        }
        for (size_t k = 0; k < NODE_PRESSURES; k++)
                ret->pressure[k] = m->seen_us[k] > 0 &&
                                   (m->seen_us[k] == now_us ||
                                                   now_us - m->seen_us[k] < s->transition_us);
}

/* ---- pods ---- */

bool eviction_pod_is_critical(const json_t *object) {
        return json_int_or(object, "spec.priority", 0) >= PRIORITY_CRITICAL;
}

static int64_t request_of(const json_t *of, bool whole, enum eviction_signal signal) {
        struct quantity q;
        bool named = signals[signal].requested &&
                     (whole ? pod_amount(of, "requests", signals[signal].resource, &q)
                            : container_amount(of, "requests", signals[signal].resource, &q));
        __int128 units = named ? (q.milli + 999) / 1000 : 0;

        return units > INT64_MAX ? INT64_MAX : (int64_t)units;
}

void eviction_pod_rate(struct eviction_pod *pod, enum eviction_signal signal) {
        pod->request = request_of(json_object_get(pod->object, "spec"), /* whole= */ true, signal);
        pod->priority = json_int_or(pod->object, "spec.priority", 0);
}

static bool exceeds(const struct eviction_pod *p) {
        return p->usage > p->request;
}

static int compare(const void *a, const void *b, void *userdata) {
        const struct eviction_pod *x = a, *y = b;
        const enum eviction_signal *signal = userdata;
        int64_t over_x = x->usage - x->request, over_y = y->usage - y->request;

        if (signals[*signal].requested && exceeds(x) != exceeds(y))
                return exceeds(x) ? -1 : 1;
        if (x->priority != y->priority)
                return x->priority < y->priority ? -1 : 1;
        if (over_x != over_y)
                return over_x > over_y ? -1 : 1;
        return strcmp(object_uid(x->object), object_uid(y->object));
}

void eviction_rank(struct eviction_pod *pods, size_t n, enum eviction_signal signal) {
        if (n > 1)
                qsort_r(pods, n, sizeof(*pods), compare, &signal);
}

static char *amount_text(enum eviction_signal signal, int64_t n) {
        struct quantity q = {.milli = (__int128)n * 1000,
                        .family = signals[signal].bytes ? QUANTITY_BINARY : QUANTITY_DECIMAL};

        return quantity_write(q);
}

static void add_containers(
                struct buf *b, const struct eviction_pod *pod, enum eviction_signal signal) {
        const json_t *c;
        size_t i;

        json_array_foreach (json_at(pod->object, "spec.containers"), i, c) {
                const char *name = json_str_or(c, "name", "");
                const json_t *v = json_object_get(pod->containers, name);
                int64_t used = json_is_integer(v) ? json_integer_value(v) : -1,
                        asked = request_of(c, /* whole= */ false, signal);
                _cleanup_free_ char *usage = NULL, *request = NULL;

                if (used <= asked)
                        continue;
                usage = amount_text(signal, used);
                request = amount_text(signal, asked);
                buf_printf(b,
                                "Container %s was using %s, request is %s, has larger consumption "
                                "of %s. ",
                                name, strempty(usage), strempty(request), signals[signal].resource);
        }
}

char *eviction_message(const struct eviction_pod *pod, const struct eviction_threshold *t,
                const struct eviction_observation *seen) {
        _cleanup_free_ char *below = amount_text(t->signal, amount_in(&t->below, seen->capacity)),
                            *available = amount_text(t->signal, seen->available);
        _cleanup_buf_ struct buf b = {0};

        buf_printf(&b, "The node was low on resource: %s. Threshold quantity: %s, available: %s. ",
                        signals[t->signal].resource, strempty(below), strempty(available));
        if (signals[t->signal].requested)
                add_containers(&b, pod, t->signal);
        return b.failed ? NULL : buf_take(&b);
}

int64_t eviction_grace_s(const struct eviction_settings *s, const struct eviction_threshold *t,
                const json_t *object) {
        int64_t own = json_int_or(object, "spec.terminationGracePeriodSeconds", 30);

        if (!t->soft)
                return HARD_GRACE_S;
        own = MIN(own, s->soft_grace_max_s);
        return MAX(own, INT64_C(1));
}
