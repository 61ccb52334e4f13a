/* Standard output and standard error of kctl: everything that is written to them passes
 * lib/plain.h, so that no verb can forget it. */
#include <unistd.h>

#include "kctl/kctl.h"
#include "lib/plain.h"

struct output {
        FILE *file, *before; /* before: what stdout or stderr was */
        struct plain plain;
        int fd;
        bool exact;
};

static int write_all(int fd, const char *data, size_t n) {
        while (n > 0) {
                ssize_t written = write(fd, data, n);

                if (written < 0 && errno == EINTR)
                        continue;
                if (written < 0)
                        return -errno;
                data += written;
                n -= (size_t)written;
        }
        return 0;
}

static int write_plain(struct output *o, const char *data, size_t n) {
        _cleanup_buf_ struct buf out = {0};
        int r = plain_feed(&o->plain, data, n, &out);

        if (r < 0)
                return r;
        return write_all(o->fd, out.data, out.size);
}

/* As write(2), but all or nothing: after a part, the caller would show that part again. */
static ssize_t output_write(void *cookie, const char *data, size_t n) {
        struct output *o = cookie;
        int r = o->exact ? write_all(o->fd, data, n) : write_plain(o, data, n);

        if (r < 0) {
                errno = -r;
                return 0; /* fopencookie(3): an error */
        }
        return (ssize_t)n;
}

static struct output *output_new(int fd, int mode) {
        struct output *o = calloc(1, sizeof(*o));

        if (!o)
                return NULL;
        o->fd = fd;
        o->file = fopencookie(o, "w", (cookie_io_functions_t){.write = output_write});
        if (!o->file || setvbuf(o->file, NULL, mode, BUFSIZ) != 0)
                return mfree(o);
        return o;
}

int output_start(struct kctl *k) {
        k->out = output_new(STDOUT_FILENO, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF);
        k->err = output_new(STDERR_FILENO, _IONBF);
        if (!k->out || !k->err)
                return -ENOMEM;
        k->out->before = stdout;
        k->err->before = stderr;
        stdout = k->out->file;
        stderr = k->err->file;
        return 0;
}

static int output_end(struct output *o) {
        _cleanup_buf_ struct buf out = {0};
        int r = fflush(o->file) == 0 ? 0 : -EIO;

        if (plain_end(&o->plain, &out) < 0 || write_all(o->fd, out.data, out.size) < 0)
                r = -EIO;
        fclose(o->file);
        free(o);
        return r;
}

/* Verbs print no more after it; what runs at exit has the streams of the start. */
int output_finish(struct kctl *k) {
        struct output *out = TAKE_PTR(k->out), *err = TAKE_PTR(k->err);
        int r;

        stdout = out->before;
        stderr = err->before;
        r = output_end(out);
        return output_end(err) < 0 ? -EIO : r;
}

void output_exact(struct kctl *k, bool exact) {
        if (!k->out)
                return;
        fflush(stdout);
        k->out->exact = exact;
}

void output_colour(struct kctl *k, const char *sequence) {
        if (!k->colour)
                return;
        output_exact(k, true);
        fputs(sequence, stdout);
        output_exact(k, false);
}
