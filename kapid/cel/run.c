/* One evaluation's budget, memory and what it keeps for its length: patterns. */
#include "kapid/cel/internal.h"
#include "kapid/schema/pattern.h"

/* Work is counted in steps of some tens of nanoseconds: so many bytes to read or write are one, and
 * after so many the clock is looked at. */
enum { PATTERNS_KEPT = 128, BYTES_A_STEP = 100, LOOK_EVERY = 1000 };

struct run_pattern {
        struct run_pattern *next;
        struct pattern *pattern;
        size_t size;
        char text[];
};

int cel_run_new(const struct cel_functions *functions, const struct cel_limits *limits,
                struct cel_run **ret) {
        struct cel_run *run = calloc(1, sizeof(*run));

        if (!run)
                return -ENOMEM;
        run->functions = functions;
        if (limits)
                run->limits = *limits;
        if (run->limits.cost_max == 0)
                run->limits.cost_max = CEL_COST_MAX;
        run->arena.most = run->limits.memory_max > 0 ? run->limits.memory_max : CEL_MEMORY_MAX;
        *ret = run;
        return 0;
}

static struct run_pattern *run_pattern_free(struct run_pattern *p) {
        pattern_free(p->pattern);
        return mfree(p);
}

struct cel_run *cel_run_free(struct cel_run *run) {
        if (!run)
                return NULL;
        while (run->patterns) {
                struct run_pattern *next = run->patterns->next;

                run_pattern_free(run->patterns);
                run->patterns = next;
        }
        cel_zones_done(run);
        cel_arena_done(&run->arena);
        return mfree(run);
}

uint64_t cel_run_cost(const struct cel_run *run) {
        return run->cost;
}

bool cel_run_spent(const struct cel_run *run) {
        return run->spent || run->no_memory;
}

static void look_at_clock(struct cel_run *run) {
        run->steps = 0;
        if (run->limits.deadline_us > 0 && run->limits.now_us &&
                        run->limits.now_us(run->limits.clock) > run->limits.deadline_us)
                run->late = run->spent = true;
}

void cel_run_budget(struct cel_run *run, uint64_t cost_max) {
        run->limits.cost_max = cost_max;
        run->cost = 0;
        look_at_clock(run);
        run->spent = run->late;
}

struct cel_mark cel_run_mark(const struct cel_run *run) {
        return (struct cel_mark){run->arena};
}

void cel_run_back(struct cel_run *run, const struct cel_mark *mark) {
        cel_arena_back(&run->arena, &mark->arena);
        run->no_memory = false;
        run->locals = NULL;
}

bool cel_work(struct cel_run *run, uint64_t bytes) {
        run->steps += 1 + bytes / BYTES_A_STEP;
        if (run->steps >= LOOK_EVERY)
                look_at_clock(run);
        return !run->spent;
}

bool cel_spend(struct cel_run *run, uint64_t cost) {
        run->cost = cel_cost_add(run->cost, cost);
        if (run->cost > run->limits.cost_max)
                run->spent = true;
        return cel_work(run, cost);
}

struct cel_value cel_spent(struct cel_run *run) {
        static const char text[] = "operation cancelled: actual cost limit exceeded";

        run->spent = true;
        return (struct cel_value){.kind = CEL_ERROR, .text = {text, sizeof(text) - 1}};
}

struct cel_value cel_too_deep(struct cel_run *run) {
        return cel_error(run, "expression recursion limit exceeded: %d", CEL_RUN_DEPTH_MAX);
}

uint64_t *cel_pattern_steps(struct cel_run *run) {
        return &run->pattern_steps;
}

static struct run_pattern *known_pattern(struct cel_run *run, struct cel_value text) {
        struct run_pattern **at = &run->patterns;
        size_t count = 0;

        for (; *at; at = &(*at)->next) {
                struct run_pattern *p = *at;

                if (p->size == text.text.size && memcmp(p->text, text.text.data, p->size) == 0)
                        return p;
                if (++count == PATTERNS_KEPT) {
                        /* The oldest goes. */
                        while (p->next) {
                                struct run_pattern *next = p->next;

                                p->next = next->next;
                                run_pattern_free(next);
                        }
                        *at = NULL;
                        run_pattern_free(p);
                        return NULL;
                }
        }
        return NULL;
}

struct pattern *cel_pattern(
                struct cel_run *run, struct cel_value text, struct cel_value *ret_error) {
        struct run_pattern *p = known_pattern(run, text);
        _cleanup_free_ char *error = NULL;
        int r;

        if (p)
                return p->pattern;
        if (memchr(text.text.data, '\0', text.text.size)) {
                *ret_error = cel_error(run, "error parsing regexp: it has a NUL");
                return NULL;
        }
        p = calloc(1, sizeof(*p) + text.text.size + 1);
        if (!p) {
                *ret_error = cel_no_memory(run);
                return NULL;
        }
        p->size = text.text.size;
        memcpy(p->text, text.text.data, p->size);
        r = pattern_new(&p->pattern, run->functions->patterns, p->text, &error);
        if (r < 0) {
                *ret_error = cel_error(
                                run, "error parsing regexp: %s", error ? error : "out of memory");
                free(p);
                return NULL;
        }
        p->next = run->patterns;
        run->patterns = p;
        look_at_clock(run); /* the first match compiles it, which takes longer than any step */
        return p->pattern;
}
