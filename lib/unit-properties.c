/* The table of unit properties and their levels; docs/who-may-do-what.md explains it. A property
 * that is not here is refused. A protection may be switched on from the outside but never off, so
 * for those only the values that switch it on are listed. */
#include "lib/unit-properties.h"

#define PREFIX "unit.keelson.dev/"
#define ON "yes true on 1"

static const struct unit_property table[] = {
                /* The lifetime of its processes. */
                {"Description", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"Documentation", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"Type", NULL, LEVEL_RESTRICTED, "simple exec notify oneshot idle", NULL},
                {"RemainAfterExit", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"Restart", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"RestartUSec", "RestartSec", LEVEL_RESTRICTED, NULL, NULL},
                {"TimeoutStartUSec", "TimeoutStartSec", LEVEL_RESTRICTED, NULL, NULL},
                {"TimeoutStopUSec", "TimeoutStopSec", LEVEL_BASELINE, NULL, "infinity"},
                {"TimeoutAbortUSec", "TimeoutAbortSec", LEVEL_BASELINE, NULL, "infinity"},
                {"RuntimeMaxUSec", "RuntimeMaxSec", LEVEL_RESTRICTED, NULL, NULL},
                {"WatchdogUSec", "WatchdogSec", LEVEL_RESTRICTED, NULL, NULL},
                {"NotifyAccess", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"OOMPolicy", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"StartLimitIntervalUSec", "StartLimitIntervalSec", LEVEL_BASELINE, NULL, NULL},
                {"StartLimitBurst", NULL, LEVEL_BASELINE, NULL, NULL},
                {"CollectMode", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"KillSignal", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"SendSIGHUP", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"IgnoreSIGPIPE", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"UMask", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"Environment", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"UnsetEnvironment", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"TimerSlackNSec", NULL, LEVEL_RESTRICTED, NULL, NULL},
                /* Processes that outlive their unit. */
                {"KillMode", NULL, LEVEL_RESTRICTED, "control-group mixed", NULL},
                {"FinalKillSignal", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"SendSIGKILL", NULL, LEVEL_RESTRICTED, ON, NULL},
                /* The agent's own: logs and what outlives a start. */
                {"FileDescriptorStoreMax", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"StandardOutputFile", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"SyslogLevelPrefix", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                /* Resources: what it takes is bounded by its own slice. */
                {"CPUAccounting", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"CPUWeight", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"CPUQuotaPerSecUSec", "CPUQuota", LEVEL_RESTRICTED, NULL, NULL},
                {"MemoryAccounting", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"MemoryMin", NULL, LEVEL_BASELINE, NULL, NULL},
                {"MemoryLow", NULL, LEVEL_BASELINE, NULL, NULL},
                {"MemoryHigh", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"MemoryMax", NULL, LEVEL_RESTRICTED, NULL, "infinity"},
                {"MemorySwapMax", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"TasksAccounting", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"TasksMax", NULL, LEVEL_RESTRICTED, NULL, "infinity"},
                {"IOAccounting", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"IOWeight", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"IPAccounting", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"ManagedOOMSwap", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"ManagedOOMMemoryPressure", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"Nice", NULL, LEVEL_BASELINE, NULL, NULL},
                {"IOSchedulingPriority", NULL, LEVEL_BASELINE, NULL, NULL},
                {"LimitNOFILE", NULL, LEVEL_BASELINE, NULL, NULL},
                {"LimitNPROC", NULL, LEVEL_BASELINE, NULL, NULL},
                {"LimitCORE", NULL, LEVEL_BASELINE, NULL, NULL},
                {"LimitMEMLOCK", NULL, LEVEL_BASELINE, NULL, NULL},
                {"LimitSTACK", NULL, LEVEL_BASELINE, NULL, NULL},
                {"LimitFSIZE", NULL, LEVEL_BASELINE, NULL, NULL},
                /* The machine's scheduler and out-of-memory killer: at the cost of everybody. */
                {"OOMScoreAdjust", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"CPUSchedulingPolicy", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"CPUSchedulingPriority", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"IOSchedulingClass", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"LimitRTPRIO", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                /* Protections: on, never off. */
                {"NoNewPrivileges", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"PrivateTmp", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"PrivateDevices", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"PrivateUsers", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"PrivateNetwork", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"PrivateIPC", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"PrivateMounts", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"ProtectClock", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"ProtectKernelTunables", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"ProtectKernelModules", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"ProtectKernelLogs", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"ProtectControlGroups", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"ProtectHostname", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"ProtectHome", NULL, LEVEL_RESTRICTED, ON " tmpfs", NULL},
                {"ProtectSystem", NULL, LEVEL_RESTRICTED, "strict", NULL},
                {"ProtectProc", NULL, LEVEL_RESTRICTED, "ptraceable", NULL},
                {"ProcSubset", NULL, LEVEL_RESTRICTED, "pid", NULL},
                {"LockPersonality", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"MemoryDenyWriteExecute", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"RestrictNamespaces", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"RemoveIPC", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"RestrictRealtime", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"RestrictSUIDSGID", NULL, LEVEL_RESTRICTED, ON, NULL},
                {"SystemCallArchitectures", NULL, LEVEL_RESTRICTED, "native", NULL},
                {"SystemCallErrorNumber", NULL, LEVEL_RESTRICTED, NULL, NULL},
                {"DevicePolicy", NULL, LEVEL_RESTRICTED, "strict", NULL},
                {"KeyringMode", NULL, LEVEL_RESTRICTED, "private", NULL},
                /* Lists that would replace our own. */
                {"RestrictAddressFamilies", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"SystemCallFilter", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"CapabilityBoundingSet", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"AmbientCapabilities", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                /* Other units. */
                {"Slice", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"After", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"Before", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"Wants", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"Requires", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"BindsTo", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"Conflicts", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"JoinsNamespaceOf", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"RequiresMountsFor", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"Delegate", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                /* Commands beside the container's own, some of them as root. */
                {"ExecStartEx", "ExecStart", LEVEL_PRIVILEGED, NULL, NULL},
                {"ExecStartPreEx", "ExecStartPre", LEVEL_PRIVILEGED, NULL, NULL},
                {"ExecStartPostEx", "ExecStartPost", LEVEL_PRIVILEGED, NULL, NULL},
                {"ExecReloadEx", "ExecReload", LEVEL_PRIVILEGED, NULL, NULL},
                {"ExecStopPostEx", "ExecStopPost", LEVEL_PRIVILEGED, NULL, NULL},
                /* Users. */
                {"User", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"Group", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"SupplementaryGroups", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"DynamicUser", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                /* Paths and files of the machine. */
                {"WorkingDirectory", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"RootDirectory", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"RootImage", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"MountAPIVFS", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"EnvironmentFiles", "EnvironmentFile", LEVEL_PRIVILEGED, NULL, NULL},
                {"PassEnvironment", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"StandardInput", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"StandardOutput", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"StandardError", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"ReadWritePaths", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"ReadOnlyPaths", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"InaccessiblePaths", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"NoExecPaths", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"ExecPaths", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"BindPaths", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"BindReadOnlyPaths", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"TemporaryFileSystem", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"LoadCredential", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"RuntimeDirectory", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"StateDirectory", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"CacheDirectory", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"LogsDirectory", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"NetworkNamespacePath", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                /* The journal: whose lines they are, and how many. */
                {"SyslogIdentifier", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"LogExtraFields", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"LogNamespace", NULL, LEVEL_PRIVILEGED, NULL, NULL},
                {"LogRateLimitIntervalUSec", "LogRateLimitIntervalSec", LEVEL_PRIVILEGED, NULL,
                                NULL},
                {"LogRateLimitBurst", NULL, LEVEL_PRIVILEGED, NULL, NULL},
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
