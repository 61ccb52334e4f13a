/* What a column reads is known: the value at the keys that its path begins with, or the paths that
 * the cell's function names beside itself (cells.c). */
#include "kapid/table/columns.h"

#include "lib/json-part.h"
#include "lib/jsonpath.h"

/* A path that cannot be read finds nothing. */
static int prepare_path(struct kind_column *c, struct json_part *row) {
        _cleanup_problem_ struct problem unreadable = {0};
        const char *key;
        int r = jsonpath_parse(c->path, &c->steps, &unreadable);

        if (r < 0)
                return r == -ENOMEM ? r : 0;
        for (size_t i = 0; (key = jsonpath_key(c->steps, i)); i++) {
                row = json_part_member(row, key, strlen(key));
                if (!row)
                        return -ENOMEM;
        }
        json_part_want(row);
        return 0;
}

static int prepare(struct kind_column *c, struct json_part *row) {
        if (c->path)
                return prepare_path(c, row);
        if (c->reads)
                return json_part_add(row, c->reads);
        if (c->cell)
                json_part_want(row);
        return 0;
}

int columns_prepare(struct kind_column *columns, size_t count, struct json_part **ret_row) {
        struct json_part *row = *ret_row = json_part_new();

        if (!row)
                return -ENOMEM;
        for (size_t i = 0; i < count; i++) {
                int r = prepare(&columns[i], row);

                if (r < 0)
                        return r;
        }
        return 0;
}

void columns_done(const struct kind_column *columns, size_t count, struct json_part *row) {
        for (size_t i = 0; i < count; i++)
                jsonpath_free(columns[i].steps);
        json_part_free(row);
}
