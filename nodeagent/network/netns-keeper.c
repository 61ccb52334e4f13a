/* The agent's side: one connection for each request. */
#include "nodeagent/network/netns-keeper.h"

#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/fileio.h"
#include "lib/json.h"
#include "lib/net.h"
#include "nodeagent/runtime/units.h"

enum { ANSWER_SECONDS = 2 };

int netns_keeper_start(struct units *units) {
        char self[PATH_MAX], *slash;
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        _cleanup_free_ char *program = NULL;
        _cleanup_json_ json_t *unit = NULL;
        int r;

        if (n < 0)
                return -errno;
        self[n] = 0;
        slash = strrchr(self, '/');
        program = strformat("%.*s/kpod-netns", (int)(slash ? slash - self : 0), self);
        if (!program)
                return -ENOMEM;
        r = mkdir_parents(NETNS_DIR, 0755);
        if (r < 0)
                return r;
        r = mkdir_parents(NETNS_KEEPER_DIR, 0700);
        if (r < 0)
                return r;
        unit = json_pack("{s:s, s:{s:s, s:s, s:[[s]], s:s, s:i, s:s, s:i, s:i, s:i, s:i, s:s, "
                         "s:[s,s], s:s, s:b, s:b, s:[], s:b, s:b, s:b, s:b}}",
                        "name", NETNS_KEEPER_UNIT, "properties", "Description",
                        "keelson: keeps the network namespaces of pods", "Type", "notify",
                        "ExecStartEx", program, "Restart", "always", "RestartUSec", 100000,
                        "CollectMode", "inactive-or-failed", "StartLimitIntervalUSec", 0,
                        "FileDescriptorStoreMax", NETNS_COUNT_MAX, "LimitNOFILE",
                        2 * NETNS_COUNT_MAX, "OOMScoreAdjust", -900, "ProtectSystem", "strict",
                        "ReadWritePaths", NETNS_DIR, NETNS_KEEPER_DIR, "ProtectHome", "yes",
                        "PrivateDevices", 1, "NoNewPrivileges", 1, "CapabilityBoundingSet",
                        "PrivateNetwork", 1, "MemoryDenyWriteExecute", 1, "ProtectKernelTunables",
                        1, "ProtectKernelModules", 1);
        return unit ? units_start_slice(units, unit) : -ENOMEM;
}

static int dial(void) {
        const struct timeval time = {.tv_sec = ANSWER_SECONDS};
        struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = NETNS_KEEPER_SOCKET};
        _cleanup_close_ int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        if (s < 0)
                return -errno;
        if (setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)) < 0 ||
                        setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)) < 0 ||
                        connect(s, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return TAKE_FD(s);
}

static int request(const char *verb, const char *name, int fd) {
        _cleanup_free_ char *text = strformat("%s %s", verb, name);
        _cleanup_close_ int s = text ? dial() : -ENOMEM;
        char answer[16];
        uint32_t error;
        ssize_t n;
        int r;

        if (s < 0)
                return s;
        r = net_send_file(s, /* to= */ NULL, 0, text, fd);
        if (r < 0)
                return r;
        n = recv(s, answer, sizeof(answer) - 1, 0);
        if (n <= 0)
                return n < 0 ? -errno : -ECONNRESET;
        answer[n] = 0;
        r = parse_u32(answer, &error);
        return r < 0 ? r : -(int)MIN(error, (uint32_t)4095);
}

int netns_keep(const char *name, int fd) {
        return request("keep", name, fd);
}

int netns_drop(const char *name) {
        return request("drop", name, /* fd= */ -EBADF);
}
