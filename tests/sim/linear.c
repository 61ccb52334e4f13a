/* The search: all operations of one key are put in an order, one after the other, each time one
 * that may come next (nothing that is left ended before it began) and that fits what the key holds;
 * when none does, the last one is taken back. A set of operations with what the key holds after
 * them is looked at only once.
 *
 * Four rules keep it small; each leaves at least one order that explains a history, if there is
 * any:
 *  - An operation that changes nothing and fits now is taken at once, without trying another first.
 *  - One of unknown outcome is taken only after the known ones were tried, only when it changes
 *    something, and never directly before one that overwrites without looking: then it could as
 *    well never have happened.
 *  - Of unknown ones that are all alike the oldest is taken first.
 *  - Where a key only grows, its value must be the beginning of the longest text that was read.
 *
 * Sets of operations are distinguished by 128 bits of hash. Were two alike, a good history would be
 * called bad, never a bad one good. */
#include "tests/sim/linear.h"

#include <uthash.h>

enum { NONE = -1, ABSENT = 0, TEXTS_MAX = 2000000 };

/* A value of a key: the word at its end, and the text before it. Equal texts have equal numbers.
 */
struct text {
        UT_hash_handle hh;
        uint32_t number;
        char key[]; /* number of the text before it, then the word */
};

struct item {
        const struct linear_op *op;
        bool known, taken;
        uint64_t start_ns, end_ns;
        uint32_t argument, expected, result;
        int twin; /* the unknown one before it that is just like it, or NONE */
        uint64_t hash[2];
};

/* Starts and ends in the order of time, as a list that things are taken out of and put back. */
struct entry {
        int item;
        bool is_end;
        int before, after;
        int end; /* of a start: its end, or NONE */
};

struct step {
        int entry;
        uint32_t text; /* before it */
        bool after_unknown, forced;
};

struct seen {
        uint64_t hash[2];
};

struct search {
        struct text *texts;
        uint32_t text_count;
        struct item *items;
        size_t item_count;
        struct entry *entries; /* 0 is the head of the list */
        struct step *steps;
        size_t step_count;
        struct seen *seen;
        size_t seen_count, seen_size; /* a power of two */
        bool *spine; /* by number of text: the longest text read, and all its beginnings */
        uint32_t spine_size, longest;
        uint32_t text;
        bool after_unknown;
        size_t known_left;
        uint64_t set[2];
        uint64_t work, work_max;
        bool no_memory;
};

void linear_report_done(struct linear_report *r) {
        free(r->key);
        free(r->text);
        *r = (struct linear_report){0};
}

static uint64_t mix(uint64_t x) {
        x += 0x9e3779b97f4a7c15u;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        return x ^ (x >> 31);
}

static uint32_t text_add_word(struct search *s, uint32_t before, const char *word, size_t n) {
        size_t size = sizeof(before) + n;
        struct text *t = calloc(1, sizeof(*t) + size), *old = NULL;

        if (!t) {
                s->no_memory = true;
                return ABSENT;
        }
        memcpy(t->key, &before, sizeof(before));
        memcpy(t->key + sizeof(before), word, n);
        HASH_FIND(hh, s->texts, t->key, size, old);
        if (old) {
                free(t);
                return old->number;
        }
        t->number = ++s->text_count;
        HASH_ADD_KEYPTR(hh, s->texts, t->key, size, t);
        return t->number;
}

static uint32_t text_append(struct search *s, uint32_t before, const char *more) {
        for (;;) {
                size_t n = strcspn(more, " ");

                before = text_add_word(s, before, more, n);
                if (more[n] == '\0')
                        return before;
                more += n + 1;
        }
}

static uint32_t text_number(struct search *s, const char *string) {
        return string ? text_append(s, ABSENT, string) : ABSENT;
}

static bool saw(const struct linear_op *op) {
        return op->kind == LINEAR_READ || op->flags & LINEAR_SAW;
}

/* The value of the key after this operation. 0 when it does not fit. */
static int apply(struct search *s, const struct item *i, uint32_t *ret) {
        const struct linear_op *op = i->op;
        uint32_t text = s->text;

        s->work++;
        if (i->known && saw(op) && text != i->result)
                return 0;
        switch (op->kind) {
        case LINEAR_READ:
                break;
        case LINEAR_WRITE:
                text = i->argument;
                break;
        case LINEAR_CAS:
                if (i->known && (text == i->expected) != !!(op->flags & LINEAR_SWAPPED))
                        return 0;
                if (text == i->expected)
                        text = i->argument;
                break;
        case LINEAR_DELETE:
                text = ABSENT;
                break;
        case LINEAR_APPEND:
                text = text_append(s, text, op->argument);
                /* A text that is no beginning of the longest one never becomes it. */
                if (s->spine && s->text < s->spine_size && s->spine[s->text] &&
                                s->text != s->longest && (text >= s->spine_size || !s->spine[text]))
                        return 0;
                break;
        }
        *ret = text;
        return 1;
}

/* Whether this set with this text was there before; remembers it. */
static bool seen_before(struct search *s) {
        uint64_t extra = mix(((uint64_t)s->text << 1) | s->after_unknown);
        struct seen key = {{s->set[0] ^ extra, s->set[1] ^ mix(extra)}};
        size_t at;

        if (s->seen_count * 2 >= s->seen_size) {
                size_t size = MAX(s->seen_size * 2, (size_t)256);
                struct seen *old = s->seen, *new = calloc(size, sizeof(*new));

                if (!new) {
                        s->no_memory = true;
                        return true;
                }
                for (size_t i = 0; i < s->seen_size; i++) {
                        if (old[i].hash[0] == 0 && old[i].hash[1] == 0)
                                continue;
                        for (at = old[i].hash[0] & (size - 1);
                                        new[at].hash[0] != 0 || new[at].hash[1] != 0;)
                                at = (at + 1) & (size - 1);
                        new[at] = old[i];
                }
                free(old);
                s->seen = new;
                s->seen_size = size;
        }
        if (key.hash[0] == 0 && key.hash[1] == 0)
                key.hash[0] = 1;
        for (at = key.hash[0] & (s->seen_size - 1);
                        s->seen[at].hash[0] != 0 || s->seen[at].hash[1] != 0;
                        at = (at + 1) & (s->seen_size - 1))
                if (s->seen[at].hash[0] == key.hash[0] && s->seen[at].hash[1] == key.hash[1])
                        return true;
        s->seen[at] = key;
        s->seen_count++;
        return false;
}

static void list_remove(struct search *s, int e) {
        struct entry *x = &s->entries[e];

        s->entries[x->before].after = x->after;
        if (x->after != NONE)
                s->entries[x->after].before = x->before;
}

static void list_put_back(struct search *s, int e) {
        struct entry *x = &s->entries[e];

        s->entries[x->before].after = e;
        if (x->after != NONE)
                s->entries[x->after].before = e;
}

static void toggle(struct search *s, const struct item *i) {
        s->set[0] ^= i->hash[0];
        s->set[1] ^= i->hash[1];
}

/* Takes the operation as the next one; false, and nothing changed, when that was tried before. */
static bool take(struct search *s, int e, uint32_t text, bool forced) {
        struct entry *x = &s->entries[e];
        struct item *i = &s->items[x->item];
        struct step step = {.entry = e,
                        .text = s->text,
                        .after_unknown = s->after_unknown,
                        .forced = forced};

        toggle(s, i);
        s->text = text;
        s->after_unknown = !i->known;
        if (seen_before(s)) {
                toggle(s, i);
                s->text = step.text;
                s->after_unknown = step.after_unknown;
                return false;
        }
        i->taken = true;
        list_remove(s, e);
        if (x->end != NONE)
                list_remove(s, x->end);
        if (i->known)
                s->known_left--;
        s->steps[s->step_count++] = step;
        return true;
}

static struct step take_back(struct search *s) {
        struct step step = s->steps[--s->step_count];
        struct entry *x = &s->entries[step.entry];
        struct item *i = &s->items[x->item];

        if (x->end != NONE)
                list_put_back(s, x->end);
        list_put_back(s, step.entry);
        i->taken = false;
        if (i->known)
                s->known_left++;
        toggle(s, i);
        s->text = step.text;
        s->after_unknown = step.after_unknown;
        return step;
}

/* The next start of an operation of this kind that may come next: before the end of any other. */
static int candidate(const struct search *s, int after, bool known) {
        for (int e = s->entries[after].after; e != NONE && !s->entries[e].is_end;
                        e = s->entries[e].after)
                if (s->items[s->entries[e].item].known == known)
                        return e;
        return NONE;
}

/* Something that changes nothing and fits: 1 when taken, 0 when there is none, -1 when it leads
 * where the search was before. */
static int take_idle(struct search *s) {
        for (int e = candidate(s, 0, true); e != NONE; e = candidate(s, e, true)) {
                const struct item *i = &s->items[s->entries[e].item];
                uint32_t text;

                if (i->op->kind != LINEAR_READ &&
                                (i->op->kind != LINEAR_CAS || i->op->flags & LINEAR_SWAPPED))
                        continue;
                if (apply(s, i, &text))
                        return take(s, e, text, true) ? 1 : -1;
        }
        return 0;
}

static bool may_be_next(const struct search *s, const struct item *i) {
        bool overwrites = i->op->kind == LINEAR_WRITE || i->op->kind == LINEAR_DELETE;

        if (s->after_unknown && overwrites && !(i->known && saw(i->op)))
                return false;
        return i->known || i->twin == NONE || s->items[i->twin].taken;
}

/* Takes the first that fits after this entry of the list, the known ones before the unknown. */
static bool take_next(struct search *s, int after) {
        bool known = after == 0 || s->items[s->entries[after].item].known;

        for (;; known = false, after = 0) {
                for (int e = candidate(s, after, known); e != NONE; e = candidate(s, e, known)) {
                        const struct item *i = &s->items[s->entries[e].item];
                        uint32_t text;

                        if (may_be_next(s, i) && apply(s, i, &text) &&
                                        (i->known || text != s->text) && take(s, e, text, false))
                                return true;
                }
                if (!known)
                        return false;
        }
}

static enum linear_verdict search_run(struct search *s) {
        while (s->known_left > 0) {
                int r = take_idle(s);
                bool taken = r > 0 || (r == 0 && take_next(s, 0));

                while (!taken) {
                        struct step step;

                        if (s->step_count == 0)
                                return LINEAR_VIOLATION;
                        step = take_back(s);
                        taken = !step.forced && take_next(s, step.entry);
                }
                if (s->work > s->work_max || s->text_count > TEXTS_MAX || s->no_memory)
                        return LINEAR_GAVE_UP;
        }
        return LINEAR_OK;
}

static bool alike(const struct item *a, const struct item *b) {
        return a->op->kind == b->op->kind && a->argument == b->argument &&
               a->expected == b->expected;
}

static int compare_entries(const void *a, const void *b, void *userdata) {
        const struct entry *x = a, *y = b;
        const struct item *items = userdata;
        uint64_t tx = x->is_end ? items[x->item].end_ns : items[x->item].start_ns;
        uint64_t ty = y->is_end ? items[y->item].end_ns : items[y->item].start_ns;

        /* At the same instant one may have come before the other either way. */
        if (tx != ty)
                return tx < ty ? -1 : 1;
        if (x->is_end != y->is_end)
                return x->is_end ? 1 : -1;
        return (x->item > y->item) - (x->item < y->item);
}

static void search_list(struct search *s) {
        int count = 1;

        for (size_t i = 0; i < s->item_count; i++) {
                s->entries[count++] = (struct entry){.item = (int)i};
                if (s->items[i].known)
                        s->entries[count++] = (struct entry){.item = (int)i, .is_end = true};
        }
        qsort_r(s->entries + 1, (size_t)count - 1, sizeof(*s->entries), compare_entries, s->items);
        for (int e = 0; e < count; e++) {
                struct entry *x = &s->entries[e];

                x->before = e - 1;
                x->after = e + 1 < count ? e + 1 : NONE;
                x->end = NONE;
        }
        /* An end finds its start through the item's hash, which is not needed yet. */
        for (int e = 1; e < count; e++) {
                struct item *i = &s->items[s->entries[e].item];

                if (s->entries[e].is_end)
                        s->entries[i->hash[0]].end = e;
                else
                        i->hash[0] = (uint64_t)e;
        }
        for (size_t i = 0; i < s->item_count; i++) {
                s->items[i].hash[0] = mix(2 * i);
                s->items[i].hash[1] = mix(2 * i + 1);
        }
}

/* Where nothing but appends changes the key. */
static void search_spine(struct search *s) {
        const struct item *longest = NULL;
        size_t words_max = 0;
        const char *c;

        for (size_t n = 0; n < s->item_count; n++) {
                const struct item *i = &s->items[n];
                size_t words = 1;

                if (i->op->kind != LINEAR_READ && i->op->kind != LINEAR_APPEND)
                        return;
                if (!i->known || !saw(i->op) || !i->op->result)
                        continue;
                for (c = strchr(i->op->result, ' '); c; c = strchr(c + 1, ' '))
                        words++;
                if (words > words_max) {
                        words_max = words;
                        longest = i;
                }
        }
        if (!longest)
                return;
        s->spine_size = s->text_count + 1;
        s->spine = calloc(s->spine_size, sizeof(*s->spine));
        if (!s->spine) {
                s->no_memory = true;
                return;
        }
        s->longest = longest->result;
        s->spine[ABSENT] = true;
        c = longest->op->result;
        for (uint32_t text = ABSENT;;) {
                size_t n = strcspn(c, " ");

                text = text_add_word(s, text, c, n);
                s->spine[text] = true;
                if (c[n] == '\0')
                        break;
                c += n + 1;
        }
}

static void search_done(struct search *s) {
        struct text *t, *next;

        HASH_ITER(hh, s->texts, t, next) {
                HASH_DEL(s->texts, t);
                free(t);
        }
        free(s->items);
        free(s->entries);
        free(s->steps);
        free(s->seen);
        free(s->spine);
}

/* The operations of one key as far as they happened until cut_ns: those in flight then have no
 * known outcome. */
static int search_init(struct search *s, const struct linear_op *const *ops, size_t count,
                uint64_t cut_ns, uint64_t work_max) {
        *s = (struct search){.work_max = work_max};
        s->items = calloc(count + 1, sizeof(*s->items));
        s->entries = calloc(2 * count + 1, sizeof(*s->entries));
        s->steps = calloc(count + 1, sizeof(*s->steps));
        if (!s->items || !s->entries || !s->steps)
                return -ENOMEM;
        for (size_t n = 0; n < count; n++) {
                const struct linear_op *op = ops[n];
                bool known = op->outcome == LINEAR_KNOWN && op->end_ns <= cut_ns;
                struct item *i = &s->items[s->item_count];

                if (op->outcome == LINEAR_FAILED || op->start_ns > cut_ns ||
                                (!known && op->kind == LINEAR_READ))
                        continue;
                *i = (struct item){.op = op,
                                .known = known,
                                .start_ns = op->start_ns,
                                .end_ns = op->end_ns,
                                .twin = NONE};
                assert(!known || op->end_ns >= op->start_ns);
                i->argument = text_number(s, op->argument);
                i->expected = text_number(s, op->expected);
                i->result = text_number(s, op->result);
                for (size_t m = s->item_count; !known && i->twin == NONE && m > 0; m--)
                        if (!s->items[m - 1].known && alike(i, &s->items[m - 1]))
                                i->twin = (int)m - 1;
                s->known_left += known;
                s->item_count++;
        }
        search_list(s);
        search_spine(s);
        return s->no_memory ? -ENOMEM : 0;
}

static int check_key(const struct linear_op *const *ops, size_t count, uint64_t cut_ns,
                uint64_t work_max, uint64_t *work, enum linear_verdict *ret) {
        struct search s;
        int r = search_init(&s, ops, count, cut_ns, work_max);

        if (r >= 0) {
                *ret = search_run(&s);
                *work += s.work;
                if (s.no_memory)
                        r = -ENOMEM;
        }
        search_done(&s);
        return r;
}

static int compare_times(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return (x > y) - (x < y);
}

/* The earliest end of an operation at which the history can no longer be explained. */
static int find_cut(const struct linear_op *const *ops, size_t count, uint64_t work_max,
                uint64_t *work, uint64_t *ret_cut_ns) {
        _cleanup_free_ uint64_t *ends = calloc(count + 1, sizeof(*ends));
        size_t n = 0, low = 0, high;

        if (!ends)
                return -ENOMEM;
        for (size_t i = 0; i < count; i++)
                if (ops[i]->outcome == LINEAR_KNOWN)
                        ends[n++] = ops[i]->end_ns;
        qsort(ends, n, sizeof(*ends), compare_times);
        high = n - 1; /* a violation has a known operation */
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                enum linear_verdict verdict;
                int r = check_key(ops, count, ends[middle], work_max, work, &verdict);

                if (r < 0)
                        return r;
                if (verdict == LINEAR_VIOLATION)
                        high = middle;
                else
                        low = middle + 1;
        }
        *ret_cut_ns = ends[high];
        return 0;
}

static int tell(const struct linear_op *const *ops, size_t count, uint64_t zero_ns,
                uint64_t work_max, struct linear_report *report) {
        _cleanup_buf_ struct buf b = {0};
        uint64_t cut_ns = UINT64_MAX;
        int r = 0;

        if (report->verdict == LINEAR_VIOLATION)
                r = find_cut(ops, count, work_max, &report->work, &cut_ns);
        if (r < 0)
                return r;
        report->op_count = 0;
        for (size_t i = 0; i < count; i++) {
                struct linear_op op = *ops[i];

                if (op.start_ns > cut_ns)
                        continue;
                report->op_count++;
                if (op.outcome == LINEAR_KNOWN && op.end_ns > cut_ns)
                        op.outcome = LINEAR_UNKNOWN;
                if (op.outcome == LINEAR_KNOWN && op.end_ns == cut_ns)
                        buf_append_str(&b, "what no order explains:\n");
                linear_print(&b, &op, zero_ns);
        }
        report->text = buf_take(&b);
        report->key = strdup(ops[0]->key);
        return report->text && report->key ? 0 : -ENOMEM;
}

static int compare_ops(const void *a, const void *b) {
        const struct linear_op *x = *(const struct linear_op *const *)a;
        const struct linear_op *y = *(const struct linear_op *const *)b;
        int r = strcmp(x->key, y->key);

        if (r != 0)
                return r;
        if (x->start_ns != y->start_ns)
                return x->start_ns < y->start_ns ? -1 : 1;
        return (x > y) - (x < y);
}

int linear_check(const struct linear_op *ops, size_t count, uint64_t work_max,
                struct linear_report *ret) {
        _cleanup_free_ const struct linear_op **sorted = calloc(count + 1, sizeof(*sorted));
        struct linear_report report = {0};
        size_t worst = 0, worst_count = 0;
        uint64_t zero_ns = UINT64_MAX;

        if (!sorted)
                return -ENOMEM;
        work_max = work_max ? work_max : LINEAR_WORK_MAX;
        for (size_t i = 0; i < count; i++) {
                sorted[i] = &ops[i];
                zero_ns = MIN(zero_ns, ops[i].start_ns);
        }
        qsort(sorted, count, sizeof(*sorted), compare_ops);
        for (size_t i = 0, n; i < count; i += n) {
                enum linear_verdict verdict;
                int r;

                for (n = 1; i + n < count && streq(sorted[i]->key, sorted[i + n]->key);)
                        n++;
                r = check_key(sorted + i, n, UINT64_MAX, work_max, &report.work, &verdict);
                if (r < 0)
                        return r;
                report.keys++;
                if (verdict == LINEAR_OK)
                        continue;
                report.failed_keys++;
                /* A violation says more than a search without an end, a short one more than a long.
                 */
                if (worst_count > 0 && (verdict == report.verdict ? n >= worst_count
                                                                  : verdict == LINEAR_GAVE_UP))
                        continue;
                report.verdict = verdict;
                worst = i;
                worst_count = n;
        }
        if (worst_count > 0) {
                int r = tell(sorted + worst, worst_count, zero_ns, work_max, &report);

                if (r < 0) {
                        linear_report_done(&report);
                        return r;
                }
        }
        *ret = report;
        return 0;
}
