/* The table of unit properties and their levels; docs/who-may-do-what.md explains it. A property
 * that is not here is refused. A protection may be switched on from the outside but never off, so
 * for those only the values that switch it on are listed. */
#include "lib/unit-properties.h"

#define PREFIX "unit.keelson.dev/"
#define ON "yes true on 1"

static const struct unit_property table[] = {
                /* The life of its own processes. */
                {"Description", .level = LEVEL_RESTRICTED},
                {"Documentation", .level = LEVEL_RESTRICTED},
                {"Type", .level = LEVEL_RESTRICTED, .values = "simple exec notify oneshot idle"},
                {"RemainAfterExit", .level = LEVEL_RESTRICTED},
                {"Restart", .level = LEVEL_RESTRICTED},
                {"RestartUSec", .file_name = "RestartSec", .level = LEVEL_RESTRICTED},
                {"TimeoutStartUSec", .file_name = "TimeoutStartSec", .level = LEVEL_RESTRICTED},
                {"TimeoutStopUSec", .file_name = "TimeoutStopSec", .level = LEVEL_BASELINE,
                                .refused = "infinity"},
                {"TimeoutAbortUSec", .file_name = "TimeoutAbortSec", .level = LEVEL_BASELINE,
                                .refused = "infinity"},
                {"RuntimeMaxUSec", .file_name = "RuntimeMaxSec", .level = LEVEL_RESTRICTED},
                {"WatchdogUSec", .file_name = "WatchdogSec", .level = LEVEL_RESTRICTED},
                {"NotifyAccess", .level = LEVEL_RESTRICTED},
                {"OOMPolicy", .level = LEVEL_RESTRICTED},
                {"StartLimitIntervalUSec", .file_name = "StartLimitIntervalSec",
                                .level = LEVEL_BASELINE},
                {"StartLimitBurst", .level = LEVEL_BASELINE},
                {"CollectMode", .level = LEVEL_RESTRICTED},
                {"KillSignal", .level = LEVEL_RESTRICTED},
                {"SendSIGHUP", .level = LEVEL_RESTRICTED},
                {"IgnoreSIGPIPE", .level = LEVEL_RESTRICTED},
                {"UMask", .level = LEVEL_RESTRICTED},
                {"Environment", .level = LEVEL_RESTRICTED},
                {"UnsetEnvironment", .level = LEVEL_RESTRICTED},
                {"TimerSlackNSec", .level = LEVEL_RESTRICTED},
                /* Processes that outlive their unit. */
                {"KillMode", .level = LEVEL_RESTRICTED, .values = "control-group mixed"},
                {"FinalKillSignal", .level = LEVEL_PRIVILEGED},
                {"SendSIGKILL", .level = LEVEL_RESTRICTED, .values = ON},
                /* The agent's own: logs and what outlives a start. */
                {"FileDescriptorStoreMax", .level = LEVEL_PRIVILEGED},
                {"StandardOutputFile", .level = LEVEL_PRIVILEGED},
                {"StandardInputFile", .level = LEVEL_PRIVILEGED},
                {"TTYPath", .level = LEVEL_PRIVILEGED},
                {"Listen", .level = LEVEL_PRIVILEGED},
                {"SyslogLevelPrefix", .level = LEVEL_PRIVILEGED},
                /* Resources: what it takes is bounded by its own slice. */
                {"CPUAccounting", .level = LEVEL_RESTRICTED},
                {"CPUWeight", .level = LEVEL_RESTRICTED},
                {"CPUQuotaPerSecUSec", .file_name = "CPUQuota", .level = LEVEL_RESTRICTED},
                {"MemoryAccounting", .level = LEVEL_RESTRICTED},
                {"MemoryMin", .level = LEVEL_BASELINE},
                {"MemoryLow", .level = LEVEL_BASELINE},
                {"MemoryHigh", .level = LEVEL_RESTRICTED},
                {"MemoryMax", .level = LEVEL_RESTRICTED, .refused = "infinity"},
                {"MemorySwapMax", .level = LEVEL_RESTRICTED},
                {"TasksAccounting", .level = LEVEL_RESTRICTED},
                {"TasksMax", .level = LEVEL_RESTRICTED, .refused = "infinity"},
                {"IOAccounting", .level = LEVEL_RESTRICTED},
                {"IOWeight", .level = LEVEL_RESTRICTED},
                {"IPAccounting", .level = LEVEL_RESTRICTED},
                {"ManagedOOMSwap", .level = LEVEL_RESTRICTED},
                {"ManagedOOMMemoryPressure", .level = LEVEL_RESTRICTED},
                {"Nice", .level = LEVEL_BASELINE},
                {"IOSchedulingPriority", .level = LEVEL_BASELINE},
                {"LimitNOFILE", .level = LEVEL_BASELINE},
                {"LimitNPROC", .level = LEVEL_BASELINE},
                {"LimitCORE", .level = LEVEL_BASELINE},
                {"LimitMEMLOCK", .level = LEVEL_BASELINE},
                {"LimitSTACK", .level = LEVEL_BASELINE},
                {"LimitFSIZE", .level = LEVEL_BASELINE},
                /* The machine's scheduler and out-of-memory killer: at the cost of everybody. */
                {"OOMScoreAdjust", .level = LEVEL_PRIVILEGED},
                {"CPUSchedulingPolicy", .level = LEVEL_PRIVILEGED},
                {"CPUSchedulingPriority", .level = LEVEL_PRIVILEGED},
                {"IOSchedulingClass", .level = LEVEL_PRIVILEGED},
                {"LimitRTPRIO", .level = LEVEL_PRIVILEGED},
                /* Protections: on, never off. */
                {"NoNewPrivileges", .level = LEVEL_RESTRICTED, .values = ON},
                {"PrivateTmp", .level = LEVEL_RESTRICTED, .values = ON},
                {"PrivateDevices", .level = LEVEL_RESTRICTED, .values = ON},
                {"PrivateUsers", .level = LEVEL_RESTRICTED, .values = ON},
                {"PrivateNetwork", .level = LEVEL_RESTRICTED, .values = ON},
                {"PrivateIPC", .level = LEVEL_RESTRICTED, .values = ON},
                {"PrivateMounts", .level = LEVEL_RESTRICTED, .values = ON},
                {"ProtectClock", .level = LEVEL_RESTRICTED, .values = ON},
                {"ProtectKernelTunables", .level = LEVEL_RESTRICTED, .values = ON},
                {"ProtectKernelModules", .level = LEVEL_RESTRICTED, .values = ON},
                {"ProtectKernelLogs", .level = LEVEL_RESTRICTED, .values = ON},
                {"ProtectControlGroups", .level = LEVEL_RESTRICTED, .values = ON},
                {"ProtectHostname", .level = LEVEL_RESTRICTED, .values = ON},
                {"ProtectHome", .level = LEVEL_RESTRICTED, .values = ON " tmpfs"},
                {"ProtectSystem", .level = LEVEL_RESTRICTED, .values = "strict"},
                {"ProtectProc", .level = LEVEL_RESTRICTED, .values = "ptraceable"},
                {"ProcSubset", .level = LEVEL_RESTRICTED, .values = "pid"},
                {"LockPersonality", .level = LEVEL_RESTRICTED, .values = ON},
                {"MemoryDenyWriteExecute", .level = LEVEL_RESTRICTED, .values = ON},
                {"RestrictNamespaces", .level = LEVEL_RESTRICTED, .values = ON},
                {"RemoveIPC", .level = LEVEL_RESTRICTED, .values = ON},
                {"RestrictRealtime", .level = LEVEL_RESTRICTED, .values = ON},
                {"RestrictSUIDSGID", .level = LEVEL_RESTRICTED, .values = ON},
                {"SystemCallArchitectures", .level = LEVEL_RESTRICTED, .values = "native"},
                {"SystemCallErrorNumber", .level = LEVEL_RESTRICTED},
                {"DevicePolicy", .level = LEVEL_RESTRICTED, .values = "strict"},
                {"KeyringMode", .level = LEVEL_RESTRICTED, .values = "private"},
                /* Lists that would replace our own. */
                {"RestrictAddressFamilies", .level = LEVEL_PRIVILEGED},
                {"SystemCallFilter", .level = LEVEL_PRIVILEGED},
                {"CapabilityBoundingSet", .level = LEVEL_PRIVILEGED},
                {"AmbientCapabilities", .level = LEVEL_PRIVILEGED},
                /* Other units. */
                {"Slice", .level = LEVEL_PRIVILEGED},
                {"After", .level = LEVEL_PRIVILEGED},
                {"Before", .level = LEVEL_PRIVILEGED},
                {"Wants", .level = LEVEL_PRIVILEGED},
                {"Requires", .level = LEVEL_PRIVILEGED},
                {"BindsTo", .level = LEVEL_PRIVILEGED},
                {"Conflicts", .level = LEVEL_PRIVILEGED},
                {"PartOf", .level = LEVEL_PRIVILEGED},
                {"JoinsNamespaceOf", .level = LEVEL_PRIVILEGED},
                {"RequiresMountsFor", .level = LEVEL_PRIVILEGED},
                {"Delegate", .level = LEVEL_PRIVILEGED},
                /* Commands beside the container's own, some of them as root. */
                {"ExecStartEx", .file_name = "ExecStart", .level = LEVEL_PRIVILEGED},
                {"ExecStartPreEx", .file_name = "ExecStartPre", .level = LEVEL_PRIVILEGED},
                {"ExecStartPostEx", .file_name = "ExecStartPost", .level = LEVEL_PRIVILEGED},
                {"ExecReloadEx", .file_name = "ExecReload", .level = LEVEL_PRIVILEGED},
                {"ExecStopPostEx", .file_name = "ExecStopPost", .level = LEVEL_PRIVILEGED},
                /* Users. */
                {"User", .level = LEVEL_PRIVILEGED},
                {"Group", .level = LEVEL_PRIVILEGED},
                {"SupplementaryGroups", .level = LEVEL_PRIVILEGED},
                {"DynamicUser", .level = LEVEL_PRIVILEGED},
                /* Paths and files of the machine. */
                {"WorkingDirectory", .level = LEVEL_PRIVILEGED},
                {"RootDirectory", .level = LEVEL_PRIVILEGED},
                {"RootImage", .level = LEVEL_PRIVILEGED},
                {"MountAPIVFS", .level = LEVEL_PRIVILEGED},
                {"EnvironmentFiles", .file_name = "EnvironmentFile", .level = LEVEL_PRIVILEGED},
                {"PassEnvironment", .level = LEVEL_PRIVILEGED},
                {"StandardInput", .level = LEVEL_PRIVILEGED},
                {"StandardOutput", .level = LEVEL_PRIVILEGED},
                {"StandardError", .level = LEVEL_PRIVILEGED},
                {"ReadWritePaths", .level = LEVEL_PRIVILEGED},
                {"ReadOnlyPaths", .level = LEVEL_PRIVILEGED},
                {"InaccessiblePaths", .level = LEVEL_PRIVILEGED},
                {"NoExecPaths", .level = LEVEL_PRIVILEGED},
                {"ExecPaths", .level = LEVEL_PRIVILEGED},
                {"BindPaths", .level = LEVEL_PRIVILEGED},
                {"BindReadOnlyPaths", .level = LEVEL_PRIVILEGED},
                {"TemporaryFileSystem", .level = LEVEL_PRIVILEGED},
                {"LoadCredential", .level = LEVEL_PRIVILEGED},
                {"RuntimeDirectory", .level = LEVEL_PRIVILEGED},
                {"StateDirectory", .level = LEVEL_PRIVILEGED},
                {"CacheDirectory", .level = LEVEL_PRIVILEGED},
                {"LogsDirectory", .level = LEVEL_PRIVILEGED},
                {"NetworkNamespacePath", .level = LEVEL_PRIVILEGED},
                /* The journal: whose lines they are, and how many. */
                {"SyslogIdentifier", .level = LEVEL_PRIVILEGED},
                {"LogExtraFields", .level = LEVEL_PRIVILEGED},
                {"LogNamespace", .level = LEVEL_PRIVILEGED},
                {"LogRateLimitIntervalUSec", .file_name = "LogRateLimitIntervalSec",
                                .level = LEVEL_PRIVILEGED},
                {"LogRateLimitBurst", .level = LEVEL_PRIVILEGED},
};

const struct unit_property *unit_property_at(size_t i) {
        return i < ELEMENTS(table) ? &table[i] : NULL;
}

const struct unit_property *unit_property_find(const char *name) {
        for (size_t i = 0; i < ELEMENTS(table); i++)
                if (streq(table[i].name, name) ||
                                (table[i].file_name && streq(table[i].file_name, name)))
                        return &table[i];
        return NULL;
}

/* Whether the word is one of the list's, which has blanks between. */
static bool list_has(const char *list, const char *word) {
        size_t n = strlen(word);

        for (const char *s = list; *s; s += strcspn(s, " ")) {
                s += strspn(s, " ");
                if (n > 0 && strcspn(s, " ") == n && strncasecmp(s, word, n) == 0)
                        return true;
        }
        return false;
}

enum security_level unit_property_level(const struct unit_property *p, const char *value) {
        if (p->values && !list_has(p->values, value))
                return LEVEL_PRIVILEGED;
        if (p->refused && strcaseeq(p->refused, value))
                return LEVEL_PRIVILEGED;
        return p->level;
}

const char *unit_property_of_annotation(const char *key) {
        const char *slash = strchr(key, '/'), *at;

        if (!slash)
                return NULL;
        if ((at = startswith(key, PREFIX)))
                return at;
        at = strstr(key, "." PREFIX);
        return at && at + strlen("." PREFIX) == slash + 1 ? slash + 1 : NULL;
}
