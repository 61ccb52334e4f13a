/* Histories for linear.c: recorded one operation after the other, and printed for people. */
#include "tests/sim/linear.h"

static void op_done(struct linear_op *op) {
        free(op->key);
        free(op->argument);
        free(op->expected);
        free(op->result);
}

void linear_history_done(struct linear_history *h) {
        for (size_t i = 0; i < h->count; i++)
                op_done(&h->ops[i]);
        free(h->ops);
        *h = (struct linear_history){0};
}

static int copy(char **ret, const char *s) {
        *ret = s ? strdup(s) : NULL;
        return s && !*ret ? -ENOMEM : 0;
}

ssize_t linear_begin(struct linear_history *h, unsigned client, enum linear_kind kind,
                const char *key, const char *argument, const char *expected, uint64_t now_ns) {
        struct linear_op op = {.client = client, .kind = kind, .start_ns = now_ns};

        if (h->count == h->allocated) {
                size_t n = MAX(h->allocated * 2, (size_t)64);
                struct linear_op *ops = reallocarray(h->ops, n, sizeof(*ops));

                if (!ops)
                        return -ENOMEM;
                h->ops = ops;
                h->allocated = n;
        }
        if (copy(&op.key, key) < 0 || copy(&op.argument, argument) < 0 ||
                        copy(&op.expected, expected) < 0) {
                op_done(&op);
                return -ENOMEM;
        }
        h->ops[h->count] = op;
        return (ssize_t)h->count++;
}

int linear_end(struct linear_history *h, size_t number, enum linear_outcome outcome, unsigned flags,
                const char *result, uint64_t now_ns) {
        struct linear_op *op = &h->ops[number];

        assert(number < h->count && op->outcome == LINEAR_UNKNOWN);
        if (copy(&op->result, result) < 0)
                return -ENOMEM;
        op->outcome = outcome;
        op->flags = flags;
        op->end_ns = now_ns;
        return 0;
}

static const char *quoted(char *buffer, size_t n, const char *s) {
        if (!s)
                return "nothing";
        snprintf(buffer, n, "\"%s\"", s);
        return buffer;
}

void linear_print(struct buf *b, const struct linear_op *op, uint64_t zero_ns) {
        static const char *const names[] = {[LINEAR_READ] = "read",
                        [LINEAR_WRITE] = "write",
                        [LINEAR_CAS] = "cas",
                        [LINEAR_DELETE] = "delete",
                        [LINEAR_APPEND] = "append"};
        enum { VALUE_SHOWN = 4096 };
        char value[VALUE_SHOWN];

        buf_printf(b, "%12.3f ", (double)(op->start_ns - zero_ns) / 1e6);
        if (op->outcome == LINEAR_KNOWN)
                buf_printf(b, "%12.3f", (double)(op->end_ns - zero_ns) / 1e6);
        else
                buf_printf(b, "%12s", op->outcome == LINEAR_FAILED ? "failed" : "?");
        buf_printf(b, "  client %-3u %-6s %s", op->client, names[op->kind], op->key);
        if (op->kind == LINEAR_CAS)
                buf_printf(b, " from %s", quoted(value, sizeof(value), op->expected));
        if (op->argument)
                buf_printf(b, " %s%s", op->kind == LINEAR_CAS ? "to " : "",
                                quoted(value, sizeof(value), op->argument));
        if (op->outcome != LINEAR_KNOWN) {
                buf_append_char(b, '\n');
                return;
        }
        if (op->kind == LINEAR_CAS)
                buf_append_str(b, op->flags & LINEAR_SWAPPED ? " -> done" : " -> not equal");
        if (op->kind == LINEAR_READ || op->flags & LINEAR_SAW)
                buf_printf(b, " %s %s", op->kind == LINEAR_READ ? "->" : "before it:",
                                quoted(value, sizeof(value), op->result));
        buf_append_char(b, '\n');
}
