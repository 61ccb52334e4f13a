/* The table of unit properties and the parser of their text forms. The rows are those of systemd
 * 252's Unit, Service, Exec, Kill and cgroup interfaces that make sense for a pod; any other
 * property is refused by name instead of being passed on blindly. */
#include "nodeagent/plan/unit-props.h"

#include <ctype.h>
#include <sched.h>

#define SVC true, false
#define LIVE true, true
#define UNIT false, false

static const struct prop_row rows[] = {
                {"Description", NULL, PROP_STRING, UNIT},
                {"Slice", NULL, PROP_STRING, SVC},
                {"Type", NULL, PROP_STRING, SVC},
                {"ExecStartEx", "ExecStart", PROP_EXEC, SVC},
                {"ExecStartPreEx", "ExecStartPre", PROP_EXEC, SVC},
                {"ExecStartPostEx", "ExecStartPost", PROP_EXEC, SVC},
                {"ExecReloadEx", "ExecReload", PROP_EXEC, SVC},
                {"ExecStopPostEx", "ExecStopPost", PROP_EXEC, SVC},
                {"RemainAfterExit", NULL, PROP_BOOL, SVC},
                {"Restart", NULL, PROP_STRING, SVC},
                {"RestartUSec", "RestartSec", PROP_USEC, SVC},
                {"TimeoutStartUSec", "TimeoutStartSec", PROP_USEC, SVC},
                {"TimeoutStopUSec", "TimeoutStopSec", PROP_USEC, SVC},
                {"TimeoutAbortUSec", "TimeoutAbortSec", PROP_USEC, SVC},
                {"RuntimeMaxUSec", "RuntimeMaxSec", PROP_USEC, SVC},
                {"WatchdogUSec", "WatchdogSec", PROP_USEC, SVC},
                {"NotifyAccess", NULL, PROP_STRING, SVC},
                {"FileDescriptorStoreMax", NULL, PROP_U32, SVC},
                {"OOMPolicy", NULL, PROP_STRING, SVC},
                {"StartLimitIntervalUSec", "StartLimitIntervalSec", PROP_USEC, UNIT},
                {"StartLimitBurst", NULL, PROP_U32, UNIT},
                {"CollectMode", NULL, PROP_STRING, UNIT},
                {"After", NULL, PROP_STRV, UNIT},
                {"Before", NULL, PROP_STRV, UNIT},
                {"Wants", NULL, PROP_STRV, UNIT},
                {"Requires", NULL, PROP_STRV, UNIT},
                {"BindsTo", NULL, PROP_STRV, UNIT},
                {"Conflicts", NULL, PROP_STRV, UNIT},
                {"PartOf", NULL, PROP_STRV, UNIT},
                {"JoinsNamespaceOf", NULL, PROP_STRV, UNIT},
                {"RequiresMountsFor", NULL, PROP_STRV, UNIT},
                {"Documentation", NULL, PROP_STRV, UNIT},
                {"KillMode", NULL, PROP_STRING, SVC},
                {"KillSignal", NULL, PROP_I32, SVC},
                {"FinalKillSignal", NULL, PROP_I32, SVC},
                {"SendSIGHUP", NULL, PROP_BOOL, SVC},
                {"SendSIGKILL", NULL, PROP_BOOL, SVC},
                {"User", NULL, PROP_STRING, SVC},
                {"Group", NULL, PROP_STRING, SVC},
                {"SupplementaryGroups", NULL, PROP_STRV, SVC},
                {"DynamicUser", NULL, PROP_BOOL, SVC},
                {"WorkingDirectory", NULL, PROP_STRING, SVC},
                {"RootDirectory", NULL, PROP_STRING, SVC},
                {"RootImage", NULL, PROP_STRING, SVC},
                {"MountAPIVFS", NULL, PROP_BOOL, SVC},
                {"Environment", NULL, PROP_STRV, SVC},
                {"EnvironmentFiles", "EnvironmentFile", PROP_ENVFILES, SVC},
                {"PassEnvironment", NULL, PROP_STRV, SVC},
                {"UnsetEnvironment", NULL, PROP_STRV, SVC},
                {"UMask", NULL, PROP_MODE, SVC},
                {"Nice", NULL, PROP_I32, SVC},
                {"OOMScoreAdjust", NULL, PROP_I32, SVC},
                {"IgnoreSIGPIPE", NULL, PROP_BOOL, SVC},
                {"CPUSchedulingPolicy", NULL, PROP_I32, SVC},
                {"CPUSchedulingPriority", NULL, PROP_I32, SVC},
                {"IOSchedulingClass", NULL, PROP_I32, SVC},
                {"IOSchedulingPriority", NULL, PROP_I32, SVC},
                {"TimerSlackNSec", NULL, PROP_U64, SVC},
                {"LimitNOFILE", NULL, PROP_BYTES, SVC},
                {"LimitNPROC", NULL, PROP_BYTES, SVC},
                {"LimitCORE", NULL, PROP_BYTES, SVC},
                {"LimitMEMLOCK", NULL, PROP_BYTES, SVC},
                {"LimitSTACK", NULL, PROP_BYTES, SVC},
                {"LimitFSIZE", NULL, PROP_BYTES, SVC},
                {"LimitRTPRIO", NULL, PROP_BYTES, SVC},
                {"StandardInput", NULL, PROP_STRING, SVC},
                {"StandardOutput", NULL, PROP_STRING, SVC},
                {"StandardError", NULL, PROP_STRING, SVC},
                {"StandardOutputFile", NULL, PROP_OWN, SVC},
                {"StandardInputFile", NULL, PROP_OWN, SVC},
                {"TTYPath", NULL, PROP_OWN, SVC},
                {"Listen", NULL, PROP_TMPFS, SVC}, /* of a socket */
                {"SyslogLevelPrefix", NULL, PROP_BOOL, SVC},
                {"SyslogIdentifier", NULL, PROP_STRING, SVC},
                {"LogExtraFields", NULL, PROP_FIELDS, SVC},
                {"LogNamespace", NULL, PROP_STRING, SVC},
                {"LogRateLimitIntervalUSec", "LogRateLimitIntervalSec", PROP_USEC, SVC},
                {"LogRateLimitBurst", NULL, PROP_U32, SVC},
                {"NoNewPrivileges", NULL, PROP_BOOL, SVC},
                {"PrivateTmp", NULL, PROP_BOOL, SVC},
                {"PrivateDevices", NULL, PROP_BOOL, SVC},
                {"PrivateUsers", NULL, PROP_BOOL, SVC},
                {"PrivateNetwork", NULL, PROP_BOOL, SVC},
                {"PrivateIPC", NULL, PROP_BOOL, SVC},
                {"PrivateMounts", NULL, PROP_BOOL, SVC},
                {"ProtectClock", NULL, PROP_BOOL, SVC},
                {"ProtectKernelTunables", NULL, PROP_BOOL, SVC},
                {"ProtectKernelModules", NULL, PROP_BOOL, SVC},
                {"ProtectKernelLogs", NULL, PROP_BOOL, SVC},
                {"ProtectControlGroups", NULL, PROP_BOOL, SVC},
                {"ProtectHostname", NULL, PROP_BOOL, SVC},
                {"ProtectHome", NULL, PROP_STRING, SVC},
                {"ProtectSystem", NULL, PROP_STRING, SVC},
                {"ProtectProc", NULL, PROP_STRING, SVC},
                {"ProcSubset", NULL, PROP_STRING, SVC},
                {"LockPersonality", NULL, PROP_BOOL, SVC},
                {"MemoryDenyWriteExecute", NULL, PROP_BOOL, SVC},
                {"RestrictRealtime", NULL, PROP_BOOL, SVC},
                {"RestrictNamespaces", NULL, PROP_NAMESPACES, SVC},
                {"RemoveIPC", NULL, PROP_BOOL, SVC},
                {"RestrictSUIDSGID", NULL, PROP_BOOL, SVC},
                {"RestrictAddressFamilies", NULL, PROP_FILTER, SVC},
                {"SystemCallFilter", NULL, PROP_FILTER, SVC},
                {"SystemCallErrorNumber", NULL, PROP_I32, SVC},
                {"SystemCallArchitectures", NULL, PROP_STRV, SVC},
                {"CapabilityBoundingSet", NULL, PROP_CAPS, SVC},
                {"AmbientCapabilities", NULL, PROP_CAPS, SVC},
                {"KeyringMode", NULL, PROP_STRING, SVC},
                {"ReadWritePaths", NULL, PROP_STRV, SVC},
                {"ReadOnlyPaths", NULL, PROP_STRV, SVC},
                {"InaccessiblePaths", NULL, PROP_STRV, SVC},
                {"NoExecPaths", NULL, PROP_STRV, SVC},
                {"ExecPaths", NULL, PROP_STRV, SVC},
                {"BindPaths", NULL, PROP_BINDS, SVC},
                {"BindReadOnlyPaths", NULL, PROP_BINDS, SVC},
                {"TemporaryFileSystem", NULL, PROP_TMPFS, SVC},
                {"LoadCredential", NULL, PROP_CREDENTIALS, SVC},
                {"RuntimeDirectory", NULL, PROP_STRV, SVC},
                {"StateDirectory", NULL, PROP_STRV, SVC},
                {"CacheDirectory", NULL, PROP_STRV, SVC},
                {"LogsDirectory", NULL, PROP_STRV, SVC},
                {"NetworkNamespacePath", NULL, PROP_STRING, SVC},
                {"Delegate", NULL, PROP_BOOL, SVC},
                {"CPUAccounting", NULL, PROP_BOOL, LIVE},
                {"CPUWeight", NULL, PROP_U64, LIVE},
                {"CPUQuotaPerSecUSec", "CPUQuota", PROP_PERCENT, LIVE},
                {"MemoryAccounting", NULL, PROP_BOOL, LIVE},
                {"MemoryMin", NULL, PROP_BYTES, LIVE},
                {"MemoryLow", NULL, PROP_BYTES, LIVE},
                {"MemoryHigh", NULL, PROP_BYTES, LIVE},
                {"MemoryMax", NULL, PROP_BYTES, LIVE},
                {"MemorySwapMax", NULL, PROP_BYTES, LIVE},
                {"TasksAccounting", NULL, PROP_BOOL, LIVE},
                {"TasksMax", NULL, PROP_BYTES, LIVE},
                {"IOAccounting", NULL, PROP_BOOL, LIVE},
                {"IOWeight", NULL, PROP_U64, LIVE},
                {"IPAccounting", NULL, PROP_BOOL, LIVE},
                {"DevicePolicy", NULL, PROP_STRING, LIVE},
                {"ManagedOOMSwap", NULL, PROP_STRING, LIVE},
                {"ManagedOOMMemoryPressure", NULL, PROP_STRING, LIVE},
};

static const char *const capability_names[] = {"CAP_CHOWN", "CAP_DAC_OVERRIDE",
                "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
                "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
                "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
                "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
                "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
                "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
                "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE",
                "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
                "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"};

const struct prop_row *prop_find(const char *name) {
        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (streq(rows[i].name, name) ||
                                (rows[i].file_name && streq(rows[i].file_name, name)))
                        return &rows[i];
        return NULL;
}

const struct prop_row *prop_at(size_t i) {
        return i < ELEMENTS(rows) ? &rows[i] : NULL;
}

const char *prop_signature(enum prop_type type) {
        switch (type) {
        case PROP_STRING:
        case PROP_OWN:
                return "s";
        case PROP_BOOL:
                return "b";
        case PROP_U64:
        case PROP_BYTES:
        case PROP_USEC:
        case PROP_PERCENT:
        case PROP_CAPS:
        case PROP_NAMESPACES:
                return "t";
        case PROP_U32:
        case PROP_MODE:
                return "u";
        case PROP_I32:
                return "i";
        case PROP_STRV:
                return "as";
        case PROP_EXEC:
                return "a(sasb)";
        case PROP_FIELDS:
                return "aay";
        case PROP_ENVFILES:
                return "a(sb)";
        case PROP_BINDS:
                return "a(ssbt)";
        case PROP_TMPFS:
        case PROP_CREDENTIALS:
                return "a(ss)";
        case PROP_FILTER:
                return "(bas)";
        }
        assert_not_reached();
}

int capability_number(const char *name) {
        for (size_t i = 0; i < ELEMENTS(capability_names); i++)
                if (strcaseeq(capability_names[i], name) ||
                                strcaseeq(capability_names[i] + 4, name))
                        return (int)i;
        return -EINVAL;
}

const char *capability_name(int number) {
        return number >= 0 && (size_t)number < ELEMENTS(capability_names) ? capability_names[number]
                                                                          : NULL;
}

uint64_t capability_mask(const json_t *names) {
        uint64_t mask = 0;
        const json_t *v;
        size_t i;

        json_array_foreach (names, i, v) {
                int n = capability_number(strempty(json_string_value(v)));
                if (n >= 0)
                        mask |= UINT64_C(1) << n;
        }
        return mask;
}

static int bool_from_text(const char *text, bool *ret) {
        static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false",
                                                                                     "off", "0"};

        for (size_t i = 0; i < ELEMENTS(yes); i++) {
                if (strcaseeq(text, yes[i]))
                        return *ret = true, 0;
                if (strcaseeq(text, no[i]))
                        return *ret = false, 0;
        }
        return -EINVAL;
}

static int bytes_from_text(const char *text, int64_t *ret) {
        static const char suffixes[] = "KMGTPE";
        char digits[24];
        size_t n = strspn(text, "0123456789");
        unsigned shift = 0;
        uint64_t v;

        if (streq(text, "infinity"))
                return *ret = -1, 0;
        if (n == 0 || n >= sizeof(digits))
                return -EINVAL;
        memcpy(digits, text, n);
        digits[n] = 0;
        if (text[n]) {
                const char *s = strchr(suffixes, toupper((unsigned char)text[n]));
                if (!s || (text[n + 1] && !streq(text + n + 1, "B") && !streq(text + n + 1, "iB")))
                        return -EINVAL;
                shift = 10 * (unsigned)(s - suffixes + 1);
        }
        if (parse_u64(digits, &v) < 0 || v > (UINT64_C(1) << 62) >> shift)
                return -EINVAL;
        *ret = (int64_t)(v << shift);
        return 0;
}

static json_t *words_from_text(const char *text) {
        _cleanup_strv_free_ char **words = NULL;
        json_t *a = json_array();

        if (!a || strv_split(text, " \t\n", &words) < 0)
                return json_decref(a), NULL;
        for (char **w = words; w && *w; w++)
                json_array_append_new(a, json_string(*w));
        return a;
}

static int number_from_text(enum prop_type type, const char *text, json_t **ret) {
        int64_t i = 0;
        uint64_t u = 0;
        int r;

        if (type == PROP_BYTES)
                r = bytes_from_text(text, &i);
        else if (type == PROP_USEC && streq(text, "infinity"))
                r = 0, i = -1;
        else if (type == PROP_USEC)
                r = parse_duration_us(text, &u), i = (int64_t)u;
        else if (type == PROP_MODE) {
                char *end;
                errno = 0;
                i = strtol(text, &end, 8);
                r = errno || *end || !*text || i < 0 || i > 07777 ? -EINVAL : 0;
        } else if (type == PROP_PERCENT) {
                _cleanup_free_ char *copy = strdup(text);
                char *percent = copy ? strchr(copy, '%') : NULL;
                if (!percent || percent[1])
                        return -EINVAL;
                *percent = 0;
                r = parse_u64(copy, &u);
                if (r >= 0 && (u == 0 || u > 1000000))
                        r = -EINVAL;
                i = (int64_t)u * 10000;
        } else {
                r = parse_i64(text, &i);
                if (r >= 0 && (type == PROP_U32 || type == PROP_U64) && i < 0)
                        r = -EINVAL;
                if (r >= 0 && type != PROP_U64 && (i > UINT32_MAX || i < INT32_MIN))
                        r = -EINVAL;
        }
        if (r < 0)
                return -EINVAL;
        *ret = json_integer(i);
        return *ret ? 0 : -ENOMEM;
}

static int caps_from_text(const char *text, json_t **ret) {
        _cleanup_json_ json_t *words = words_from_text(text);
        const json_t *v;
        size_t i;

        json_array_foreach (words, i, v)
                if (capability_number(json_string_value(v)) < 0)
                        return -EINVAL;
        *ret = TAKE_PTR(words);
        return *ret ? 0 : -ENOMEM;
}

static const struct {
        const char *name;
        uint64_t flag;
} namespaces[] = {{"cgroup", CLONE_NEWCGROUP}, {"ipc", CLONE_NEWIPC}, {"net", CLONE_NEWNET},
                {"mnt", CLONE_NEWNS}, {"pid", CLONE_NEWPID}, {"user", CLONE_NEWUSER},
                {"uts", CLONE_NEWUTS}};

uint64_t namespaces_mask(const json_t *names) {
        uint64_t mask = 0;
        const json_t *v;
        size_t i;

        json_array_foreach (names, i, v)
                for (size_t k = 0; k < ELEMENTS(namespaces); k++)
                        if (streq(strempty(json_string_value(v)), namespaces[k].name))
                                mask |= namespaces[k].flag;
        return mask;
}

static int namespaces_from_text(const char *text, json_t **ret) {
        _cleanup_json_ json_t *words = NULL, *allowed = json_array();
        bool restricted, deny = text[0] == '~';
        const json_t *v;
        uint64_t named;
        size_t i;

        if (!allowed)
                return -ENOMEM;
        if (bool_from_text(text, &restricted) >= 0) {
                named = 0;
                deny = !restricted;
        } else {
                words = words_from_text(text + deny);
                json_array_foreach (words, i, v) {
                        _cleanup_json_ json_t *one = json_pack("[O]", v);
                        if (namespaces_mask(one) == 0)
                                return -EINVAL;
                }
                named = namespaces_mask(words);
                if (named == 0)
                        return -EINVAL;
        }
        for (size_t k = 0; k < ELEMENTS(namespaces); k++)
                if (!(named & namespaces[k].flag) == deny)
                        json_array_append_new(allowed, json_string(namespaces[k].name));
        *ret = TAKE_PTR(allowed);
        return 0;
}

int prop_from_text(const struct prop_row *row, const char *text, json_t **ret, struct problem *p) {
        json_t *v = NULL;
        bool b, deny;
        int r = 0;

        switch (row->type) {
        case PROP_STRING:
                v = json_string(text);
                break;
        case PROP_BOOL:
                r = bool_from_text(text, &b);
                if (r >= 0)
                        v = json_boolean(b);
                break;
        case PROP_STRV:
                v = words_from_text(text);
                break;
        case PROP_FILTER:
                deny = text[0] == '~';
                v = json_pack("{s:b, s:o}", "allow", !deny, "names", words_from_text(text + deny));
                break;
        case PROP_CAPS:
                r = caps_from_text(text, &v);
                break;
        case PROP_NAMESPACES:
                r = namespaces_from_text(text, &v);
                break;
        case PROP_OWN:
        case PROP_EXEC:
        case PROP_FIELDS:
        case PROP_ENVFILES:
        case PROP_BINDS:
        case PROP_TMPFS:
        case PROP_CREDENTIALS:
                return problem_set(p, EINVAL, 0, "CreateContainerConfigError",
                                "the unit property %s cannot be set by an annotation; use the "
                                "pod's own fields",
                                row->name);
        default:
                r = number_from_text(row->type, text, &v);
        }
        if (r < 0 || !v)
                return problem_set(p, EINVAL, 0, "CreateContainerConfigError",
                                "the value '%s' is not valid for the unit property %s", text,
                                row->name);
        *ret = v;
        return 0;
}
