/* Measures what the machine and the containers of its pods use, and reports it to the API every 15
 * s: CPU as a rate over the time between two samples, memory as it is. The API server keeps it in
 * memory and serves it as metrics.k8s.io; nothing of it is stored. Containers are asked for from
 * the runtime, which takes them from systemd's accounting (so control groups v1 and v2 both work),
 * the machine from /proc.
 *
 * Each API server keeps what it got. An agent speaks to one, the one of its kubeconfig; it must
 * report to each when it has several. */
#pragma once

#include "nodeagent/agent.h"

struct measure;

/* Borrows agent, whose api, pods and runtime must be there. */
int measure_new(struct measure **ret, struct agent *agent);
struct measure *measure_free(struct measure *m);
DEFINE_CLEANUP(struct measure *, measure_free);

/* The last report (keelson.dev/v1 NodeUsage), as it was sent; NULL: none yet. Borrowed. */
const json_t *measure_last(const struct measure *m);

/* --- pure --- */

/* Busy and all time of the processors since the boot, in ticks, from the text of /proc/stat.
 * -EINVAL
 */
int measure_parse_stat(const char *text, uint64_t *ret_busy, uint64_t *ret_all);
/* Bytes that are not available, from the text of /proc/meminfo. -EINVAL. */
int measure_parse_meminfo(const char *text, int64_t *ret_used);
/* CPU in thousand-millionths of a core: time_ns of CPU in wall_us. Bounded by what the API takes.
 */
int64_t measure_rate(uint64_t time_ns, uint64_t wall_us);
/* CPU time of a process and its children that have ended, from the text of /proc/PID/stat. -EINVAL.
 */
int measure_parse_process(const char *text, long ticks_per_s, uint64_t *ret_ns);
