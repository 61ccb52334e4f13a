/* The table of services and methods. Methods that are not here are UNIMPLEMENTED. */
#include "kstored/service/services.h"

#include "kstored/service/cluster.h"
#include "kstored/service/hash.h"
#include "kstored/service/health.h"
#include "kstored/service/keepalive.h"
#include "kstored/service/kv.h"
#include "kstored/service/lease.h"
#include "kstored/service/maintenance.h"
#include "kstored/service/move-leader.h"
#include "kstored/service/peer.h"
#include "kstored/service/snapshot.h"
#include "kstored/service/watch.h"
#include "kstored/snapshot/receive.h"

const struct grpc_method server_methods[] = {
                {.path = "/etcdserverpb.KV/Range", .on_message = service_range},
                {.path = "/etcdserverpb.KV/Put", .on_message = service_put},
                {.path = "/etcdserverpb.KV/DeleteRange", .on_message = service_delete_range},
                {.path = "/etcdserverpb.KV/Txn", .on_message = service_txn},
                {.path = "/etcdserverpb.KV/Compact", .on_message = service_compact},
                /* Half-close does not end a watch; only disconnecting does. */
                {.path = "/etcdserverpb.Watch/Watch",
                                .on_message = service_watch,
                                .streaming = true},
                {.path = "/etcdserverpb.Lease/LeaseGrant", .on_message = service_lease_grant},
                {.path = "/etcdserverpb.Lease/LeaseRevoke", .on_message = service_lease_revoke},
                {.path = "/etcdserverpb.Lease/LeaseKeepAlive",
                                .on_message = service_lease_keep_alive,
                                .on_half_close = service_lease_half_close,
                                .streaming = true},
                {.path = "/etcdserverpb.Lease/LeaseTimeToLive",
                                .on_message = service_lease_time_to_live},
                {.path = "/etcdserverpb.Lease/LeaseLeases", .on_message = service_lease_leases},
                {.path = "/etcdserverpb.Cluster/MemberAdd", .on_message = service_member_add},
                {.path = "/etcdserverpb.Cluster/MemberRemove", .on_message = service_member_remove},
                {.path = "/etcdserverpb.Cluster/MemberUpdate", .on_message = service_member_update},
                {.path = "/etcdserverpb.Cluster/MemberList", .on_message = service_member_list},
                {.path = "/etcdserverpb.Cluster/MemberPromote",
                                .on_message = service_member_promote},
                {.path = "/etcdserverpb.Maintenance/Alarm", .on_message = service_alarm},
                {.path = "/etcdserverpb.Maintenance/Status", .on_message = service_status},
                {.path = "/etcdserverpb.Maintenance/Defragment", .on_message = service_defragment},
                {.path = "/etcdserverpb.Maintenance/Hash", .on_message = service_hash},
                {.path = "/etcdserverpb.Maintenance/HashKV", .on_message = service_hash_kv},
                {.path = "/etcdserverpb.Maintenance/Snapshot", .on_message = service_snapshot},
                {.path = "/etcdserverpb.Maintenance/MoveLeader", .on_message = service_move_leader},
                {.path = "/grpc.health.v1.Health/Check", .on_message = service_health_check},
                {.path = "/grpc.health.v1.Health/Watch",
                                .on_message = service_health_watch,
                                .streaming = true},
};
const size_t server_method_count = ELEMENTS(server_methods);

/* Besides their own protocol members pass on what only the leader can answer. */
const struct grpc_method server_peer_methods[] = {
                {.path = "/keelsonpeer.Peer/Messages",
                                .on_message = service_peer_messages,
                                .on_half_close = service_peer_half_close,
                                .streaming = true},
                {.path = "/keelsonpeer.Peer/InstallSnapshot",
                                .on_message = service_install_snapshot,
                                .streaming = true},
                {.path = "/keelsonpeer.Peer/Members", .on_message = service_peer_members},
                {.path = "/etcdserverpb.Lease/LeaseKeepAlive",
                                .on_message = service_lease_keep_alive,
                                .on_half_close = service_lease_half_close,
                                .streaming = true},
                {.path = "/etcdserverpb.Lease/LeaseTimeToLive",
                                .on_message = service_lease_time_to_live},
                {.path = "/etcdserverpb.Cluster/MemberAdd", .on_message = service_member_add},
                {.path = "/etcdserverpb.Cluster/MemberRemove", .on_message = service_member_remove},
                {.path = "/etcdserverpb.Cluster/MemberUpdate", .on_message = service_member_update},
                {.path = "/etcdserverpb.Cluster/MemberPromote",
                                .on_message = service_member_promote},
                {.path = "/etcdserverpb.Maintenance/HashKV", .on_message = service_hash_kv},
};
const size_t server_peer_method_count = ELEMENTS(server_peer_methods);
