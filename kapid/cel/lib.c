/* What the libraries share: charging before the work, estimates, texts in messages. */
#include "kapid/cel/internal.h"
#include "kapid/cel/lib.h"

/* Values that a walk sees at most: shared parts of lists count each time. */
enum { WALK_MAX = 8 * 1000 * 1000, WALK_DEPTH_MAX = 2500 };

uint64_t cel_cost_charged(const struct cel_value *args, size_t n, const struct cel_value *result) {
        return 0;
}

uint64_t cel_cost_of_first(const struct cel_value *args, size_t n, const struct cel_value *result) {
        return cel_cost_text(cel_size_for_cost(args[0]));
}

uint64_t cel_cost_of_first_twice(
                const struct cel_value *args, size_t n, const struct cel_value *result) {
        return cel_cost_text(cel_cost_multiply(cel_size_for_cost(args[0]), 2));
}

static bool walk(struct cel_run *run, struct cel_value v, unsigned depth, size_t *seen) {
        struct cel_map_at at = {};
        struct cel_value key, item;

        if (++*seen > WALK_MAX || depth > WALK_DEPTH_MAX || !cel_work(run, 0))
                return false;
        switch (v.kind) {
        case CEL_STRING:
        case CEL_BYTES:
                return cel_spend(run, v.text.size / 10);
        case CEL_LIST:
                for (size_t i = 0, n = cel_list_count(v); i < n; i++)
                        if (!walk(run, cel_list_at(run, v, i), depth + 1, seen))
                                return false;
                return true;
        case CEL_MAP:
                while (cel_map_next(run, v, &at, &key, &item))
                        if (!walk(run, key, depth + 1, seen) || !walk(run, item, depth + 1, seen))
                                return false;
                return true;
        default:
                return cel_spend(run, 1);
        }
}

bool cel_charge_walk(struct cel_run *run, struct cel_value v) {
        size_t seen = 0;

        return walk(run, v, 0, &seen);
}

struct cel_range cel_range_texts(struct cel_range size, unsigned times) {
        return (struct cel_range){cel_cost_text(cel_cost_multiply(size.min, times)),
                        cel_cost_text(cel_cost_multiply(size.max, times))};
}

void cel_estimate_first(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        *ret_cost = cel_range_text(args[0]);
        *ret_size = args[0];
}

struct cel_value cel_opaque_copy(struct cel_run *run, const struct cel_opaque_class *class,
                const void *data, size_t n) {
        void *copy = cel_alloc(run, n);

        if (!copy)
                return cel_no_memory(run);
        memcpy(copy, data, n);
        return cel_opaque(class, copy);
}

const char *cel_quoted(struct cel_value text, char buffer[static CEL_QUOTED_SIZE]) {
        static const char named[] = "\a\b\f\n\r\t\v\\\"", names[] = "abfnrtv\\\"";
        size_t at = 0;

        buffer[at++] = '"';
        for (size_t i = 0; i < text.text.size && at < CEL_QUOTED_SIZE - 10;) {
                size_t n = cel_code_point_size(cel_text_from(text, i));
                unsigned char c = (unsigned char)text.text.data[i];
                const char *known = c ? strchr(named, c) : NULL;

                if (known)
                        at += (size_t)snprintf(buffer + at, 3, "\\%c", names[known - named]);
                else if (c < ' ' || c == 0x7f)
                        at += (size_t)snprintf(buffer + at, 5, "\\x%02x", c);
                else {
                        memcpy(buffer + at, text.text.data + i, n);
                        at += n;
                }
                i += n;
        }
        buffer[at++] = '"';
        buffer[at] = '\0';
        return buffer;
}

struct cel_value cel_text_of(struct cel_run *run, struct cel_value v) {
        const struct cel_function_entry *e = cel_function_find(run->functions, "string");

        for (size_t i = 0; e && i < e->count; i++) {
                const struct cel_overload *o = &e->overloads[i];

                if (o->param_count == 1 && o->params[0]->kind != CEL_TYPE_DYN &&
                                cel_value_is(v, o->params[0]))
                        return o->row->call(run, &v, 1);
        }
        return cel_no_overload(run, "string");
}

size_t cel_code_point_size(struct cel_value text) {
        unsigned char c = (unsigned char)text.text.data[0];
        size_t n = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

        return MIN(n, text.text.size);
}
