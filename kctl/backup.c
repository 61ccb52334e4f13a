/* kctl backup: writes the stream of Maintenance.Snapshot into a file that gets its name only when
 * it is complete and was read again from end to end. With --control the same verb runs on the other
 * machine, and its file is streamed here. */
#include <fcntl.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>

#include "kctl/sealing.h"
#include "kctl/store.h"
#include "lib/fileio.h"
#include "lib/grpc-client.h"
#include "lib/json.h"
#include "lib/pki.h"
#include "lib/ssh.h"
#include "lib/timefmt.h"
#include "proto/rpc.pb-c.h"

#define STORE_SOCKET "unix:///run/keelson/kstored/kstored.sock"

enum { STALL_TIMEOUT_DEFAULT_S = 300, REACH_TIMEOUT_US = 10000000 };

struct download {
        sd_event *event;
        struct grpc_channel *channel;
        sd_event_source *stall;
        uint64_t stall_us;
        const char *url, *path;
        int fd;
        uint64_t size;
        int failure; /* 0, or a negative error, with p filled */
        struct problem *p;
};

static void download_done(struct download *f) {
        grpc_channel_free(f->channel);
        sd_event_source_disable_unref(f->stall);
        sd_event_unref(f->event);
}

static void download_end(struct download *f, int failure) {
        f->failure = failure;
        (void)sd_event_exit(f->event, 0);
}

static int write_failed(const char *path, int error, struct problem *p) {
        _cleanup_free_ char *text = file_error_text(path, "write", error);

        return problem_set(p, -error, 0, NULL, "%s", strempty(text));
}

static int write_piece(struct download *f, const void *data, size_t n) {
        Etcdserverpb__SnapshotResponse *m =
                        etcdserverpb__snapshot_response__unpack(/* allocator= */ NULL, n, data);
        int r;

        if (!m)
                return -ENOMEM;
        r = file_write_all(f->fd, m->blob.data, m->blob.len);
        f->size += m->blob.len;
        etcdserverpb__snapshot_response__free_unpacked(m, /* allocator= */ NULL);
        return r < 0 ? write_failed(f->path, r, f->p) : 0;
}

static void on_piece(struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
        struct download *f = userdata;
        int r;

        if (f->failure < 0)
                return;
        r = write_piece(f, data, n);
        (void)sd_event_source_set_time_relative(f->stall, f->stall_us);
        if (r < 0)
                download_end(f, r);
}

static int store_refused(struct download *f, enum grpc_code code, const char *message) {
        return problem_set(f->p, EIO, 0, NULL,
                        code == GRPC_UNAVAILABLE || code == GRPC_DEADLINE_EXCEEDED
                                        ? "the store at %s cannot be reached: %s; is kstored "
                                          "running, and does it have a leader?"
                                        : "the store at %s refuses: %s",
                        f->url, isempty(message) ? "no reason was given" : message);
}

static void on_streamed(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct download *f = userdata;

        if (f->failure < 0)
                return;
        download_end(f, code == GRPC_OK ? 0 : store_refused(f, code, message));
}

static int request_snapshot(struct download *f) {
        struct grpc_client_call *stream;
        int r = grpc_client_call_start(f->channel,
                        &(struct grpc_client_call_options){
                                        .path = "/etcdserverpb.Maintenance/Snapshot",
                                        .timeout_us = UINT64_MAX,
                                        .on_message = on_piece,
                                        .on_done = on_streamed,
                                        .userdata = f},
                        &stream);
        if (r < 0)
                return r;
        r = grpc_client_call_send(stream, "", 0);
        if (r < 0)
                return r;
        return grpc_client_call_half_close(stream);
}

/* An answer to a linearizable read: all that was acknowledged before it is in this member's log. */
static void on_up_to_date(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct download *f = userdata;
        int r = code == GRPC_OK ? request_snapshot(f) : store_refused(f, code, message);

        if (r < 0)
                download_end(f, r);
}

static void on_ignored(struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
}

static int on_stall(sd_event_source *source, uint64_t usec, void *userdata) {
        struct download *f = userdata;

        download_end(f, problem_set(f->p, ETIMEDOUT, 0, NULL,
                                        "the store at %s sent nothing for %llu s", f->url,
                                        (unsigned long long)(f->stall_us / 1000000)));
        return 0;
}

static int fetch(const char *url, const char *path, int fd, uint64_t stall_us, struct problem *p) {
        _cleanup_(download_done) struct download f = {
                        .url = url, .path = path, .fd = fd, .stall_us = stall_us, .p = p};
        char *endpoints[] = {(char *)url, NULL};
        Etcdserverpb__RangeRequest barrier = ETCDSERVERPB__RANGE_REQUEST__INIT;
        uint8_t packed[32];
        size_t n;
        int r;

        barrier.key = (ProtobufCBinaryData){.data = (uint8_t *)"/registry", .len = 9};
        n = etcdserverpb__range_request__pack(&barrier, packed);
        assert(n <= sizeof(packed));
        r = sd_event_new(&f.event);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(
                        f.event, &f.stall, CLOCK_MONOTONIC, stall_us, 0, on_stall, &f);
        if (r < 0)
                return r;
        r = grpc_channel_new(&f.channel, f.event,
                        &(struct grpc_channel_options){.endpoints = endpoints}, p);
        if (r < 0)
                return r;
        r = grpc_client_unary(f.channel,
                        &(struct grpc_client_call_options){.path = "/etcdserverpb.KV/Range",
                                        .timeout_us = REACH_TIMEOUT_US,
                                        .on_message = on_ignored,
                                        .on_done = on_up_to_date,
                                        .userdata = &f},
                        packed, n, /* ret_call= */ NULL);
        if (r < 0)
                return r;
        r = sd_event_loop(f.event);
        return r < 0 ? r : f.failure;
}

/* The remote machine's file: its bytes arrive on standard output, its messages on standard error.
 */
struct far {
        int fd;
        const char *path;
        struct buf said;
        uint64_t stall_us, last_us;
        struct problem *p;
};

static void far_done(struct far *x) {
        buf_done(&x->said);
}

static int on_far_output(bool is_stderr, const char *data, size_t n, void *userdata) {
        struct far *x = userdata;
        int r;

        if (n == 0)
                return now_mono_us() - x->last_us <= x->stall_us
                                       ? 0
                                       : problem_set(x->p, ETIMEDOUT, 0, NULL,
                                                         "no data arrived for %llu s",
                                                         (unsigned long long)(x->stall_us /
                                                                              1000000));
        x->last_us = now_mono_us();
        if (is_stderr)
                return x->said.size < 65536 ? buf_append(&x->said, data, n) : 0;
        r = file_write_all(x->fd, data, n);
        return r < 0 ? write_failed(x->path, r, x->p) : 0;
}

/* The other machine's kctl has verified it; here only the bytes are compared with their hash. */
static int fetch_from(struct kctl *k, const char *where, const char *path, int fd,
                uint64_t stall_us, json_t **ret, struct problem *p) {
        static const char script[] =
                        "set -e; umask 077; d=$(mktemp -d /var/lib/keelson/backup.XXXXXX); "
                        "trap 'rm -rf \"$d\"' EXIT; trap 'exit 1' HUP INT TERM PIPE; "
                        "/opt/keelson/bin/kctl backup \"$d/store\" -o json >&2; cat \"$d/store\"";
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_(far_done) struct far x = {.fd = fd,
                        .path = path,
                        .stall_us = stall_us,
                        .last_us = now_mono_us(),
                        .p = p};
        int status = 0, r = machine_open(&m, k, where, /* host_key= */ NULL, p);

        if (r < 0)
                return r;
        r = machine_stream(m, script, on_far_output, &x, &status, p);
        if (r < 0)
                return r;
        if (status != 0) {
                const char *why = x.said.size ? x.said.data : "it gave no reason";
                const char *rest = startswith(why, "error: ");

                return problem_set(p, EIO, 0, NULL, "%s: %.*s", where,
                                (int)strcspn(rest ? rest : why, "\n"), rest ? rest : why);
        }
        if (json_parse(strempty(x.said.data), x.said.size, 0, ret, NULL) < 0)
                return problem_set(p, EIO, 0, NULL,
                                "%s: its kctl is another version: its answer is not understood",
                                where);
        return 0;
}

static int check_hash(int fd, const char *path, struct problem *p) {
        uint8_t want[SHA256_SIZE], have[SHA256_SIZE];
        struct stat st;

        if (fstat(fd, &st) < 0 || st.st_size <= SHA256_SIZE ||
                        sha256_file(fd, (uint64_t)st.st_size - SHA256_SIZE, have) < 0 ||
                        pread(fd, want, sizeof(want), st.st_size - SHA256_SIZE) != SHA256_SIZE ||
                        memcmp(want, have, sizeof(want)) != 0)
                return problem_set(p, EIO, 0, NULL, "%s was corrupted in transit; try again", path);
        return 0;
}

static int check_whole(const char *path, json_t **ret, struct problem *p) {
        _cleanup_free_ char *word = strformat("--check=%s", path);
        char *words[] = {word, NULL};

        return word ? store_program_run(words, ret, p) : -ENOMEM;
}

/* The socket in the folder of `kctl dev`; through a descriptor, because a folder's name may be
 * longer than that of a socket. */
static int dev_socket(const char *dir, int *ret_folder, char **ret_url, struct problem *p) {
        _cleanup_free_ char *url = NULL;
        int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return problem_set(p, errno, 0, NULL, "cannot open the folder %s: %s", dir,
                                strerror(errno));
        *ret_folder = fd;
        url = strformat("unix:///proc/self/fd/%d/kstored.sock", fd);
        if (!url)
                return -ENOMEM;
        if (faccessat(fd, "kstored.sock", F_OK, 0) < 0)
                return problem_set(p, ENOENT, 0, NULL,
                                "%s/kstored.sock does not exist: does kctl dev run on this folder?",
                                dir);
        *ret_url = TAKE_PTR(url);
        return 0;
}

static int fill(struct kctl *k, const char *path, int fd, json_t **ret, struct problem *p) {
        uint64_t stall_us = k->flags.timeout_us ? k->flags.timeout_us
                                                : STALL_TIMEOUT_DEFAULT_S * 1000000ull;
        _cleanup_free_ char *url = NULL;
        _cleanup_close_ int folder = -EBADF;
        const char *where;
        int r = store_control_machine(k, &where, p);

        if (r < 0)
                return r;
        if (k->flags.dir)
                r = dev_socket(k->flags.dir, &folder, &url, p);
        if (r < 0)
                return r;
        if (where)
                r = fetch_from(k, where, path, fd, stall_us, ret, p);
        else {
                if (!url)
                        url = strdup(k->flags.store ? k->flags.store : STORE_SOCKET);
                r = url ? fetch(url, path, fd, stall_us, p) : -ENOMEM;
        }
        if (r < 0)
                return r;
        if (fsync(fd) < 0)
                return write_failed(path, -errno, p);
        r = check_hash(fd, path, p);
        if (r < 0)
                return r;
        return where ? 0 : check_whole(path, ret, p);
}

/* In place of the part: its store with the keys, sealed. */
static int seal_into(
                struct kctl *k, const char *part, const char *sealed, int fd, struct problem *p) {
        int r = sealing_add_keys(k, fd, p);

        if (r < 0)
                return r;
        r = sealing_seal(k, fd, sealed, p);
        if (r < 0)
                return r;
        return rename(sealed, part) < 0 ? write_failed(part, -errno, p) : 0;
}

static int seal_part(struct kctl *k, const char *part, int fd, struct problem *p) {
        _cleanup_free_ char *sealed = strformat("%s.sealed", part);
        int r = sealed ? seal_into(k, part, sealed, fd, p) : -ENOMEM;

        if (r < 0 && sealed)
                (void)unlink(sealed);
        return r;
}

/* The file gets its name only when it is complete. */
static int fill_and_rename(struct kctl *k, const char *part, const char *file, int fd, json_t **ret,
                struct problem *p) {
        int r = fill(k, part, fd, ret, p);

        if (r < 0)
                return r;
        if (sealing_is_wanted(k)) {
                r = seal_part(k, part, fd, p);
                if (r < 0)
                        return r;
        }
        if (rename(part, file) < 0)
                return write_failed(file, -errno, p);
        return file_sync_folder_of(file);
}

static int backup(struct kctl *k, const char *file, json_t **ret, struct problem *p) {
        _cleanup_free_ char *part = strformat("%s.part", file);
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        if (!part)
                return -ENOMEM;
        if (lstat(file, &st) == 0 && !S_ISREG(st.st_mode))
                return problem_set(p, EEXIST, 0, NULL, "%s exists and is not a regular file", file);
        fd = open(part, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 || fchmod(fd, 0600) < 0)
                return write_failed(part, -errno, p);
        r = fill_and_rename(k, part, file, fd, ret, p);
        if (r < 0)
                (void)unlink(part);
        return r;
}

/* The older ones of a folder. */
static int remove_surplus(struct kctl *k, const char *folder, struct problem *p) {
        _cleanup_strv_free_ char **names = NULL, **surplus = NULL;
        int r = k->flags.keep > 0 ? file_list(folder, &names) : 0;

        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot list %s: %s", folder, strerror(-r));
        r = k->flags.keep > 0 ? backup_surplus(names, k->flags.keep, &surplus) : 0;
        if (r < 0)
                return r;
        for (char **s = surplus; s && *s; s++) {
                _cleanup_free_ char *path = strformat("%s/%s", folder, *s);

                if (!path)
                        return -ENOMEM;
                if (unlink(path) < 0)
                        return problem_set(p, errno, 0, NULL, "cannot remove %s: %s", path,
                                        strerror(errno));
        }
        return 0;
}

static bool is_folder(const char *path) {
        struct stat st;

        return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int print_backup(struct kctl *k, const char *file, const json_t *info) {
        _cleanup_free_ char *text = k->flags.output ? json_text(info) : store_info_text(info);

        if (!text)
                return kctl_error("out of memory");
        if (k->flags.output) {
                puts(text);
                return EXIT_OK;
        }
        printf("%s: %s\nIt was read back and verified%s. To restore it: kctl restore "
               "%s%s%s --force%s\n",
                        file, text,
                        sealing_is_wanted(k) ? ", and sealed with the authorities and keys" : "",
                        file,
                        k->flags.control ? " --control "
                        : k->flags.dir   ? " --dir "
                                         : "",
                        k->flags.control ? k->flags.control[0] : strempty(k->flags.dir),
                        k->flags.recipients         ? " --identity-file FILE"
                        : sealing_is_wanted(k) ? " --seal-passphrase-file FILE"
                                               : "");
        return EXIT_OK;
}

int kctl_backup(struct kctl *k) {
        _cleanup_json_ json_t *info = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *name = NULL, *made = NULL;
        const char *file;
        bool in_folder;
        int r;

        if (strv_length(k->words) != 1)
                return kctl_usage(k, "name the file for the backup");
        if ((k->flags.control != NULL) + (k->flags.dir != NULL) + (k->flags.store != NULL) > 1)
                return kctl_usage(k, "--control, --dir and --store: give one of them");
        if (k->flags.output && !streq(k->flags.output, "json"))
                return kctl_usage(k, "-o %s: only json is supported", k->flags.output);
        file = k->words[0];
        in_folder = is_folder(file);
        if (k->flags.keep > 0 && !in_folder)
                return kctl_usage(k, "--keep: %s is not a folder of backups", file);
        if (in_folder) {
                name = backup_file_name(now_wall_us(), sealing_is_wanted(k));
                made = name ? strformat("%s/%s", file, name) : NULL;
                if (!made)
                        return kctl_error("out of memory");
        }
        r = backup(k, made ? made : file, &info, &p);
        if (r < 0)
                return store_fail(r, &p);
        r = in_folder ? remove_surplus(k, file, &p) : 0;
        return r < 0 ? store_fail(r, &p) : print_backup(k, made ? made : file, info);
}
