/* What becomes of calls: counted, put into the audit event, logged, and made into refusals. */
#include "kapid/audit/audit.h"
#include "kapid/webhooks/round.h"
#include "lib/log.h"
#include "lib/metric-names.h"
#include "lib/metrics.h"
#include "lib/timefmt.h"

/* Metrics have a series for each webhook's name; beyond this number they share one. */
enum { NAMES_MAX = 200, LOG_EVERY_US = 10 * 1000 * 1000 };

struct webhook_figures {
        struct metrics *metrics;
        struct metric_names *names;
        struct metric *waiting, *seconds[WEBHOOK_TYPES];
};

static const char *const types[WEBHOOK_TYPES] = {"mutating", "validating"};
static const char *const results[] = {"ok", "denied", "error", "ignored"};

static int add_metrics(struct webhook_figures *f) {
        static const double bounds[] = {
                        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};

        for (size_t i = 0; i < WEBHOOK_TYPES; i++) {
                _cleanup_free_ char *labels = strformat("type=\"%s\"", types[i]);

                f->seconds[i] = labels ? metrics_histogram_bounds(f->metrics,
                                                         "keelson_webhook_duration_seconds", labels,
                                                         "Time of a call of an admission webhook.",
                                                         bounds, ELEMENTS(bounds))
                                       : NULL;
                if (!f->seconds[i])
                        return -ENOMEM;
        }
        f->waiting = metrics_gauge(f->metrics, "keelson_webhook_waiting_requests", "",
                        "Requests that wait for admission webhooks.");
        return f->waiting ? 0 : -ENOMEM;
}

int webhook_figures_new(struct webhook_figures **ret, struct metrics *m) {
        _cleanup_free_ struct webhook_figures *f = calloc(1, sizeof(*f));
        int r;

        if (!f)
                return -ENOMEM;
        f->metrics = m;
        r = add_metrics(f);
        if (r < 0)
                return r;
        r = metric_names_new(&f->names, NAMES_MAX);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}

struct webhook_figures *webhook_figures_free(struct webhook_figures *f) {
        if (!f)
                return NULL;
        metric_names_free(f->names);
        return mfree(f);
}

/* Names are domain names, which need no escaping. */
static void count(const struct probe *probe, enum webhook_result result) {
        struct webhook_figures *f = probe->round->hooks->figures;
        enum webhook_type type = probe->round->question.type;
        _cleanup_free_ char *labels = strformat("name=\"%s\",result=\"%s\",type=\"%s\"",
                        metric_name(f->names, probe->webhook->name), results[result], types[type]);
        struct metric *x =
                        labels ? metrics_counter(f->metrics, "keelson_webhook_calls_total", labels,
                                                 "Calls of admission webhooks: allowed, denied, "
                                                 "failed, or failed and ignored.")
                               : NULL;

        if (x)
                metric_add(x, 1);
        metric_observe(f->seconds[type], (double)(now_mono_us() - probe->began_us) / 1e6);
}

void webhook_count_waiting(const struct webhooks *h) {
        metric_set(h->figures->waiting, (double)wait_shares_waiting(h->shares));
}

/* With the names and forms of kube-apiserver's. */
static void annotate(const struct probe *probe, enum webhook_result result, bool mutated) {
        const struct round *r = probe->round;
        bool mutating = r->question.type == WEBHOOK_MUTATING;
        size_t index = (size_t)(probe - r->probes);
        _cleanup_free_ char *failed = NULL, *key = NULL, *text = NULL;

        if (!r->question.request->audit)
                return;
        if (result == WEBHOOK_IGNORED) {
                failed = strformat("failed-open.%s.webhook.admission.k8s.io/round_%u_index_%zu",
                                mutating ? "mutation" : "validating", r->pass, index);
                if (failed)
                        audit_annotate(r->question.request, failed, probe->webhook->name);
        }
        if (!mutating)
                return;
        key = strformat("mutation.webhook.admission.k8s.io/round_%u_index_%zu", r->pass, index);
        text = strformat("{\"configuration\":\"%s\",\"webhook\":\"%s\",\"mutated\":%s}",
                        probe->webhook->config->name, probe->webhook->name,
                        mutated ? "true" : "false");
        if (key && text)
                audit_annotate(r->question.request, key, text);
}

/* A broken webhook that is asked all the time must not fill the log. */
static void log_failure(const struct probe *probe, bool ignored, const char *why) {
        struct webhook *w = probe->webhook;
        uint64_t now_us = now_mono_us();

        if (w->logged_us != 0 && w->logged_us + LOG_EVERY_US > now_us)
                return;
        w->logged_us = now_us;
        log_warning("The webhook %s of %s webhook configuration %s fails, and its requests are "
                    "%s: %s",
                        w->name, types[w->config->type], w->config->name,
                        ignored ? "let through" : "refused", why);
}

void webhook_record(
                struct probe *probe, enum webhook_result result, bool mutated, const char *why) {
        count(probe, result);
        annotate(probe, result, mutated);
        if (result == WEBHOOK_FAILED || result == WEBHOOK_IGNORED)
                log_failure(probe, result == WEBHOOK_IGNORED, strempty(why));
}

int webhook_failed(const struct webhook *w, int error, const char *why, struct problem *p) {
        return problem_set(p, error, 500, "InternalError",
                        "Internal error occurred: failed calling webhook \"%s\": %s", w->name, why);
}

int webhook_take_notes(struct round *r, const struct webhook_answer *a) {
        const char *key;
        json_t *v;

        json_object_each (a->annotations, key, v)
                audit_annotate(r->question.request, key, json_string_value(v));
        for (char *const *w = a->warnings; w && *w; w++)
                if (!strv_contains(r->warnings, *w) && strv_extend(&r->warnings, *w) < 0)
                        return -ENOMEM;
        return 0;
}
