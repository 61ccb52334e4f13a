/* Why nodes were refused, and Kubernetes' sentence about it. */
#include <stdarg.h>

#include "lib/sched/internal.h"

enum { REASONS_MAX = 1000 }; /* distinct texts; more nodes than that are refused for others */

void sched_reasons_done(struct sched_reasons *r) {
        for (size_t i = 0; i < r->count; i++)
                free(r->items[i].text);
        free(r->items);
        free(r->whole);
        *r = (struct sched_reasons){0};
}

static char *format(const char *fmt, va_list ap) _printf_(1, 0);
static char *format(const char *fmt, va_list ap) {
        char *text = NULL;

        assert(vasprintf(&text, fmt, ap) >= 0);
        return text;
}

void sched_reason(struct sched_reasons *why, const char *fmt, ...) {
        char text[320];
        va_list ap;

        if (!why)
                return;
        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        for (size_t i = 0; i < why->count; i++)
                if (streq(why->items[i].text, text)) {
                        why->items[i].count++;
                        return;
                }
        if (why->count == REASONS_MAX)
                return;
        assert(vector_reserve(why, 1) >= 0);
        why->items[why->count].text = sched_strdup(text);
        why->items[why->count].plugin = why->refusing;
        why->items[why->count++].count = 1;
}

void sched_reason_whole(struct sched_reasons *why, const char *fmt, ...) {
        va_list ap;

        if (!why)
                return;
        free(why->whole);
        va_start(ap, fmt);
        why->whole = format(fmt, ap);
        va_end(ap);
}

static int compare_texts(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

char *sched_message(const struct sched_cluster *c, const struct sched_reasons *why) {
        _cleanup_strv_free_ char **parts = NULL;
        _cleanup_free_ char *joined = NULL;

        if (c->node_count == 0)
                return strdup("no nodes available to schedule pods");
        if (why->whole)
                return strformat("0/%zu nodes are available: %s.", c->node_count, why->whole);
        for (size_t i = 0; i < why->count; i++) {
                _cleanup_free_ char *part =
                                strformat("%zu %s", why->items[i].count, why->items[i].text);

                if (!part || strv_extend(&parts, part) < 0)
                        return NULL;
        }
        if (strv_length(parts) > 1)
                qsort(parts, strv_length(parts), sizeof(*parts), compare_texts);
        joined = strv_join(parts, ", ");
        return strformat("0/%zu nodes are available: %s.", c->node_count, strempty(joined));
}

static const char *advice_of(const char *plugin) {
        for (size_t k = 0; plugin && k < sched_plugins_count; k++)
                if (streq(sched_plugins[k].name, plugin))
                        return sched_plugins[k].advice;
        return NULL;
}

char *sched_advice(const struct sched_reasons *why) {
        _cleanup_strv_free_ char **lines = NULL;

        if (why->whole) {
                const char *advice = advice_of(why->refusing);

                return advice ? strformat("%s: %s", why->whole, advice) : strdup("");
        }
        for (size_t i = 0; i < why->count; i++) {
                const char *advice = advice_of(why->items[i].plugin);
                _cleanup_free_ char *line = advice ? strformat("%zu %s: %s", why->items[i].count,
                                                                     why->items[i].text, advice)
                                                   : NULL;

                if (advice && (!line || strv_extend(&lines, line) < 0))
                        return NULL;
        }
        return lines ? strv_join(lines, "\n") : strdup("");
}
