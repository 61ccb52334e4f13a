/* Parts are only what is not text: an open message, its end, a range. A message without a range in
 * it becomes text when it ends. */
#include "kstored/state/answer.h"

#include "lib/vector.h"

enum part_kind { PART_OPEN, PART_CLOSE, PART_RANGE };

struct answer_part {
        enum part_kind kind;
        size_t text_upto; /* the text that comes before it */
        size_t outer;     /* the message it is in, plus 1 */
        unsigned field;   /* of an open one */
        size_t close;     /* of an open one: the part that ends it */
        uint64_t size; /* of a range; of a message: of what it holds that is not text, later of all
                        */
        struct range_read *range;
};

void answer_done(struct kv_answer *a) {
        for (size_t i = 0; i < a->count; i++)
                range_read_free(a->parts[i].range);
        free(a->parts);
        buf_done(&a->text);
        *a = (struct kv_answer){0};
}

static struct answer_part *add_part(struct kv_answer *a, enum part_kind kind) {
        struct answer_part *p;

        p = vector_grown(a->parts, &a->allocated, a->count + 1, sizeof(*p));
        if (!p) {
                a->failed = true;
                return NULL;
        }
        a->parts = p;
        p = &a->parts[a->count++];
        *p = (struct answer_part){.kind = kind, .text_upto = a->text.size, .outer = a->open};
        return p;
}

size_t answer_begin(struct kv_answer *a, unsigned field) {
        struct answer_part *p = add_part(a, PART_OPEN);

        if (!p)
                return 0;
        p->field = field;
        a->open = a->count;
        return a->open;
}

/* The whole message is text: its length goes before it. */
static void fold(struct kv_answer *a, const struct answer_part *open) {
        struct buf *b = &a->text;
        size_t from = open->text_upto, size = b->size - from, had = b->size, n;

        wire_message(b, open->field, size); /* makes room */
        if (b->failed)
                return;
        n = b->size - had;
        char head[WIRE_MESSAGE_HEAD_MAX];

        memcpy(head, b->data + had, n);
        memmove(b->data + from + n, b->data + from, size);
        memcpy(b->data + from, head, n);
}

void answer_end(struct kv_answer *a, size_t mark) {
        struct answer_part *open;

        if (a->failed)
                return;
        assert(mark > 0 && mark == a->open);
        open = &a->parts[mark - 1];
        a->open = open->outer;
        if (a->count == mark) {
                fold(a, open);
                a->count--;
                return;
        }
        struct answer_part *close = add_part(a, PART_CLOSE);

        if (close)
                a->parts[mark - 1].close = a->count - 1;
}

void answer_range(struct kv_answer *a, struct range_read *x, int64_t hold_rev) {
        struct answer_part *p = x ? add_part(a, PART_RANGE) : NULL;

        if (!p) {
                range_read_free(x);
                a->failed = true;
                return;
        }
        p->range = x;
        a->hold_rev = a->hold_rev == 0 ? hold_rev : MIN(a->hold_rev, hold_rev);
}

void answer_append(struct kv_answer *a, struct kv_answer *more) {
        size_t parts = a->count, text = a->text.size;

        assert(more->open == 0);
        (void)buf_append(&a->text, strempty(more->text.data), more->text.size);
        if (answer_failed(more))
                a->failed = true;
        for (size_t i = 0; i < more->count; i++) {
                struct answer_part *from = &more->parts[i], *p = add_part(a, from->kind);
                size_t outer = from->outer ? from->outer + parts : a->open;

                if (!p)
                        break;
                *p = *from;
                p->outer = outer;
                p->text_upto += text;
                p->close += parts;
                from->range = NULL;
        }
        if (more->hold_rev != 0)
                a->hold_rev = a->hold_rev == 0 ? more->hold_rev : MIN(a->hold_rev, more->hold_rev);
        answer_done(more);
}

bool answer_is_long(const struct kv_answer *a) {
        return a->count > 0;
}

bool answer_failed(const struct kv_answer *a) {
        return a->failed || a->text.failed;
}

size_t answer_bytes(const struct kv_answer *a) {
        size_t n = a->text.allocated + a->allocated * sizeof(*a->parts);

        for (size_t i = 0; i < a->count; i++)
                if (a->parts[i].range)
                        n += range_read_bytes(a->parts[i].range);
        return n;
}

/* From the inside outwards: parts of a message come after it. */
static void add_up(struct kv_answer *a) {
        uint64_t rest = 0;

        for (size_t i = a->count; i > 0; i--) {
                struct answer_part *p = &a->parts[i - 1];
                uint64_t *outer = p->outer ? &a->parts[p->outer - 1].size : &rest;

                if (p->kind == PART_CLOSE)
                        continue;
                if (p->kind == PART_RANGE) {
                        *outer += p->size;
                        continue;
                }
                uint64_t extra = p->size;

                p->size += a->parts[p->close].text_upto - p->text_upto;
                *outer += extra + wire_message_head_size(p->field, p->size);
        }
        a->size = rest + a->text.size;
}

int answer_plan(struct kv_answer *a, struct mvcc *m, work_left *work) {
        int r = 0;

        if (a->planned)
                return 0;
        assert(a->open == 0 && !answer_failed(a));
        mvcc_hold(m, true);
        for (; r == 0 && a->at < a->count; a->at++) {
                struct answer_part *p = &a->parts[a->at];

                if (p->kind != PART_RANGE)
                        continue;
                r = *work > 0 ? range_read_plan(p->range, m, work) : 1;
                if (r != 0)
                        break;
                p->size = range_read_size(p->range);
        }
        mvcc_hold(m, false);
        if (r != 0)
                return r;
        add_up(a);
        a->planned = true;
        a->at = 0;
        return 0;
}

/* Text up to a place: whether all of it is out. */
static bool write_text(struct kv_answer *a, size_t upto, struct buf *out, size_t size_max) {
        size_t n = MIN(upto - a->text_at, size_max > out->size ? size_max - out->size : 0);

        if (n > 0)
                (void)buf_append(out, a->text.data + a->text_at, n);
        a->text_at += n;
        return a->text_at == upto;
}

int answer_write(struct kv_answer *a, struct mvcc *m, struct buf *out, size_t size_max,
                work_left *work) {
        int r = 0;

        assert(a->planned);
        mvcc_hold(m, true);
        while (r == 0 && a->at < a->count) {
                struct answer_part *p = &a->parts[a->at];

                if (*work <= 0 || !write_text(a, p->text_upto, out, size_max)) {
                        r = 1;
                        break;
                }
                if (p->kind == PART_OPEN)
                        wire_message(out, p->field, p->size);
                else if (p->kind == PART_RANGE) {
                        r = range_read_write(p->range, m, out, size_max, work);
                        if (r == 0)
                                p->range = range_read_free(p->range);
                }
                if (r == 0)
                        a->at++;
        }
        mvcc_hold(m, false);
        if (r == 0 && !write_text(a, a->text.size, out, size_max))
                r = 1;
        return out->failed ? -ENOMEM : r;
}

void answer_let_go(struct kv_answer *a) {
        for (size_t i = a->at; i < a->count; i++)
                if (a->parts[i].range)
                        range_read_let_go(a->parts[i].range);
}

int answer_whole(struct kv_answer *a, struct mvcc *m, struct buf *out) {
        int r;

        if (answer_failed(a))
                return -ENOMEM;
        do {
                work_left work = WORK_STEP;

                r = answer_plan(a, m, &work);
        } while (r > 0);
        while (r >= 0) {
                work_left work = WORK_STEP;

                r = answer_write(a, m, out, SIZE_MAX, &work);
                if (r == 0)
                        break;
        }
        return r;
}
