/* Calls of the interface go to the chosen driver. */
#include "nodeagent/runtime/runtime.h"

struct runtime *runtime_free(struct runtime *r) {
        return r ? r->ops->free(r) : NULL;
}

int runtime_prepare(struct runtime *r, const json_t *plan) {
        return r->ops->prepare(r, plan);
}

int runtime_start(struct runtime *r, const json_t *plan, const json_t *unit) {
        return r->ops->start(r, plan, unit);
}

int runtime_stop(struct runtime *r, const char *name) {
        return r->ops->stop(r, name);
}

int runtime_restart(struct runtime *r, const char *name) {
        return r->ops->restart(r, name);
}

int runtime_kill(struct runtime *r, const char *name, int signal) {
        return r->ops->kill(r, name, signal);
}

int runtime_clear(struct runtime *r, const char *name) {
        return r->ops->clear(r, name);
}

int runtime_state(struct runtime *r, const char *name, struct run_state *ret) {
        return r->ops->state(r, name, ret);
}

int runtime_usage(struct runtime *r, const char *name, runtime_usage_func done, void *userdata) {
        return r->ops->usage(r, name, done, userdata);
}

int runtime_exec(struct runtime *r, const json_t *unit, runtime_exec_func done, void *userdata,
                struct runtime_exec **ret) {
        return r->ops->exec(r, unit, done, userdata, ret);
}

struct runtime_exec *runtime_exec_cancel(struct runtime *r, struct runtime_exec *x) {
        return x ? r->ops->exec_cancel(r, x) : NULL;
}

int runtime_limit(struct runtime *r, const char *name, const json_t *properties,
                runtime_limit_func done, void *userdata, struct runtime_limit **ret) {
        return r->ops->limit(r, name, properties, done, userdata, ret);
}

struct runtime_limit *runtime_limit_cancel(struct runtime *r, struct runtime_limit *l) {
        return l ? r->ops->limit_cancel(r, l) : NULL;
}

int runtime_stream(struct runtime *r, const json_t *unit, const int fds[3],
                runtime_stream_func done, void *userdata, struct runtime_stream **ret) {
        return r->ops->stream(r, unit, fds, done, userdata, ret);
}

struct runtime_stream *runtime_stream_cancel(struct runtime *r, struct runtime_stream *x) {
        return x ? r->ops->stream_cancel(r, x) : NULL;
}

int runtime_stream_sweep(struct runtime *r) {
        return r->ops->stream_sweep(r);
}

char *runtime_logs(struct runtime *r, const char *uid, const char *container, const char *id,
                size_t lines_max, size_t size_max) {
        return r->ops->logs(r, uid, container, id, lines_max, size_max);
}

bool runtime_logs_are_complete(struct runtime *r, const char *id) {
        return r->ops->logs_are_complete(r, id);
}

void runtime_list(struct runtime *r, runtime_list_func func, void *userdata) {
        r->ops->list(r, func, userdata);
}

int runtime_check(struct runtime *r, const json_t *unit, runtime_drift_func func, void *userdata) {
        return r->ops->check(r, unit, func, userdata);
}

int runtime_adopt(struct runtime *r, const char *name, const char *unit, bool managed) {
        return r->ops->adopt(r, name, unit, managed);
}

int runtime_adopt_limit(struct runtime *r, const char *name, const json_t *properties) {
        return r->ops->adopt_limit(r, name, properties);
}

void runtime_adopt_release(struct runtime *r, const char *name) {
        r->ops->adopt_release(r, name);
}

void runtime_adopt_sweep(struct runtime *r) {
        r->ops->adopt_sweep(r);
}

void runtime_remove(struct runtime *r, const char *uid, const char *sandbox,
                const char *const *containers, size_t count) {
        r->ops->remove(r, uid, sandbox, containers, count);
}
