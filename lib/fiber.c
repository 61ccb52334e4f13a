/* Stacks are as large as that of the program's main thread usually is, in address space: memory is
 * taken for what is touched. A few are kept for the next ones.
 *
 *      start -> (turn: run -> pause)* -> end
 *                        '-> wait -> continue, at the end of the line */
#include "lib/fiber.h"

#include <sys/mman.h>
#include <sys/queue.h>
#include <time.h>
#include <ucontext.h>

#include "lib/timefmt.h"

#if MEMORY_IS_CHECKED
#include <sanitizer/common_interface_defs.h>
#endif

enum {
        STACK_BYTES = 8 << 20,
        GUARD_BYTES = 64 << 10,
        STACKS_KEPT = 4,
};

struct stack {
        SLIST_ENTRY(stack) entry;
        char *memory; /* the guard first */
};

struct fiber {
        struct fibers *all;
        fiber_func func;
        fiber_done done;
        void *userdata;
        struct stack *stack; /* NULL: it has not begun */
        ucontext_t own, caller;
        uint64_t used_us;       /* in earlier turns */
        uint64_t turn_began_us; /* by the processor's clock */
        uint64_t turn_ends_us;  /* by that of the wall: others wait for the loop so long */
        bool ended, waits, continued;
        TAILQ_ENTRY(fiber) entry; /* of `ready`, but while it waits */
};

struct fibers {
        sd_event_source *turn;
        uint64_t turn_us;
        unsigned active, active_max;
        unsigned not_begun; /* of `ready` */
        TAILQ_HEAD(, fiber) ready;
        SLIST_HEAD(, stack) stacks;
        unsigned stack_count;
        struct fiber *current; /* the one that has the loop; NULL: none */
};

static uint64_t processor_us(void) {
        struct timespec t = {0};

        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* --- stacks --- */

static struct stack *stack_free(struct stack *s) {
        if (s && s->memory)
                (void)munmap(s->memory, GUARD_BYTES + STACK_BYTES);
        return mfree(s);
}

static struct stack *stack_new(void) {
        struct stack *s = calloc(1, sizeof(*s));
        void *memory = s ? mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_NONE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                         : MAP_FAILED;

        if (memory == MAP_FAILED)
                return mfree(s);
        s->memory = memory;
        if (mprotect(s->memory + GUARD_BYTES, STACK_BYTES, PROT_READ | PROT_WRITE) < 0)
                return stack_free(s);
        (void)madvise(s->memory + GUARD_BYTES, STACK_BYTES, MADV_NOHUGEPAGE);
        return s;
}

static struct stack *take_stack(struct fibers *all) {
        struct stack *s = SLIST_FIRST(&all->stacks);

        if (!s)
                return stack_new();
        SLIST_REMOVE_HEAD(&all->stacks, entry);
        all->stack_count--;
        return s;
}

static void keep_stack(struct fibers *all, struct stack *s) {
        if (!s || all->stack_count >= STACKS_KEPT) {
                stack_free(s);
                return;
        }
        SLIST_INSERT_HEAD(&all->stacks, s, entry);
        all->stack_count++;
}

/* --- from one stack to another --- */

/* A memory checker wants to follow. */
static void change_stack(struct fiber *f, ucontext_t *from, const ucontext_t *to) {
#if MEMORY_IS_CHECKED
        void *fake = NULL;
        const ucontext_t *known = to == &f->own ? &f->own : &f->caller;

        __sanitizer_start_switch_fiber(
                        f->ended ? NULL : &fake, known->uc_stack.ss_sp, known->uc_stack.ss_size);
#endif
        (void)swapcontext(from, to);
#if MEMORY_IS_CHECKED
        __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
}

static void begin(unsigned high, unsigned low) {
        struct fiber *f = (struct fiber *)(uintptr_t)((uint64_t)high << 32 | low);

#if MEMORY_IS_CHECKED
        const void *bottom = NULL;
        size_t size = 0;

        __sanitizer_finish_switch_fiber(NULL, &bottom, &size);
        f->caller.uc_stack.ss_sp = (void *)bottom;
        f->caller.uc_stack.ss_size = size;
#endif
        f->func(f, f->userdata);
        f->ended = true;
        change_stack(f, &f->own, &f->caller);
        assert_not_reached();
}

static int prepare(struct fiber *f) {
        uint64_t p = (uint64_t)(uintptr_t)f;

        f->stack = take_stack(f->all);
        if (!f->stack || getcontext(&f->own) < 0)
                return -ENOMEM;
        f->own.uc_stack.ss_sp = f->stack->memory + GUARD_BYTES;
        f->own.uc_stack.ss_size = STACK_BYTES;
        f->own.uc_link = NULL;
        /* makecontext() wants this type whatever the arguments are, which are ints. */
        makecontext(&f->own, (void (*)(void))begin, 2, (unsigned)(p >> 32), (unsigned)p);
        return 0;
}

static struct fiber *fiber_free(struct fiber *f) {
        if (!f)
                return NULL;
        keep_stack(f->all, f->stack);
        return mfree(f);
}

/* --- turns --- */

static void run(struct fiber *f) {
        f->turn_began_us = processor_us();
        f->turn_ends_us = now_mono_us() + f->all->turn_us;
        f->all->current = f;
        change_stack(f, &f->caller, &f->own);
        f->all->current = NULL;
        f->used_us += processor_us() - f->turn_began_us;
        f->all->active -= f->ended || f->waits;
}

static int start(struct fiber *f) {
        int r = prepare(f);

        if (r < 0)
                return r;
        f->all->active++;
        run(f);
        return 0;
}

/* Whether the first turn of one that has not begun may come. */
static bool has_room(const struct fibers *all) {
        return all->active < all->active_max;
}

static struct fiber *next_of(struct fibers *all) {
        struct fiber *f;

        TAILQ_FOREACH(f, &all->ready, entry)
        if (f->stack || has_room(all))
                return f;
        return NULL;
}

/* A timer that is due: what else is due by now has its turn before. (The loop has deferred sources
 * before all that came after them, as long as they are on.) */
static void turn_soon(struct fibers *all) {
        (void)sd_event_source_set_time(all->turn, 0);
        (void)sd_event_source_set_enabled(all->turn, SD_EVENT_ONESHOT);
}

/* The end of the line, and another turn. */
static void line_up(struct fiber *f) {
        TAILQ_INSERT_TAIL(&f->all->ready, f, entry);
        f->all->not_begun += !f->stack;
        turn_soon(f->all);
}

static void finish(struct fiber *f) {
        fiber_done done = f->done;
        void *userdata = f->userdata;

        fiber_free(f);
        done(userdata);
}

static int on_turn(sd_event_source *source, uint64_t us, void *userdata) {
        struct fibers *all = userdata;
        struct fiber *f = next_of(all);

        if (!f)
                return 0;
        TAILQ_REMOVE(&all->ready, f, entry);
        all->not_begun -= !f->stack;
        if (f->stack)
                run(f);
        else if (start(f) < 0) { /* without memory it waits for a better time */
                keep_stack(all, TAKE_PTR(f->stack));
                line_up(f);
                return 0;
        }
        if (f->ended)
                finish(f);
        else if (!f->waits)
                line_up(f);
        if (!TAILQ_EMPTY(&all->ready))
                turn_soon(all);
        return 0;
}

int fibers_start(struct fibers *all, fiber_func func, fiber_done done, void *userdata) {
        struct fiber *f;
        int r;

        if (!all) {
                func(NULL, userdata);
                return 0;
        }
        f = calloc(1, sizeof(*f));
        if (!f)
                return -ENOMEM;
        *f = (struct fiber){.all = all, .func = func, .done = done, .userdata = userdata};
        /* Behind those that came before and have not begun. */
        r = has_room(all) && !all->current && all->not_begun == 0 ? start(f) : 0;
        if (r < 0 || f->ended) {
                fiber_free(f);
                return r;
        }
        if (!f->waits)
                line_up(f);
        return 1;
}

/* --- for the function --- */

static void pause_it(struct fiber *f) {
        change_stack(f, &f->own, &f->caller);
}

struct fiber *fiber_if_current(struct fiber *f) {
        return f && f->all->current == f ? f : NULL;
}

void fiber_breathe(struct fiber *f) {
        if (fiber_if_current(f) && now_mono_us() >= f->turn_ends_us)
                pause_it(f);
}

uint64_t fiber_clock_us(void *userdata) {
        struct fiber *f = userdata;

        if (!f)
                return processor_us();
        fiber_breathe(f);
        return f->used_us + processor_us() - f->turn_began_us;
}

void fiber_wait(struct fiber *f) {
        if (!f->continued) {
                f->waits = true;
                pause_it(f);
        }
        f->continued = false;
}

void fiber_continue(struct fiber *f) {
        f->continued = true;
        if (!f->waits)
                return;
        f->waits = false;
        f->all->active++;
        line_up(f);
}

/* --- all of them --- */

int fibers_new(struct fibers **ret, sd_event *event, uint64_t turn_us, unsigned active_max) {
        _cleanup_(fibers_freep) struct fibers *all = calloc(1, sizeof(*all));
        int r;

        if (!all)
                return -ENOMEM;
        TAILQ_INIT(&all->ready);
        SLIST_INIT(&all->stacks);
        all->turn_us = turn_us;
        all->active_max = active_max;
        r = sd_event_add_time(event, &all->turn, CLOCK_MONOTONIC, 0, 1, on_turn, all);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(all->turn, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(all);
        return 0;
}

struct fibers *fibers_free(struct fibers *all) {
        struct stack *s;
        struct fiber *f;

        if (!all)
                return NULL;
        sd_event_source_disable_unref(all->turn);
        while ((f = TAILQ_FIRST(&all->ready))) {
                TAILQ_REMOVE(&all->ready, f, entry);
                fiber_free(f);
        }
        while ((s = SLIST_FIRST(&all->stacks))) {
                SLIST_REMOVE_HEAD(&all->stacks, entry);
                stack_free(s);
        }
        return mfree(all);
}
