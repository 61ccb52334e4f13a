/* Which method of which service is served by what. Methods that are not here are UNIMPLEMENTED. */
#include "kstored/server/server.h"

const struct grpc_method server_methods[] = {
                {"/etcdserverpb.KV/Range", service_range, NULL, false},
                {"/etcdserverpb.KV/Put", service_put, NULL, false},
                {"/etcdserverpb.KV/DeleteRange", service_delete_range, NULL, false},
                {"/etcdserverpb.KV/Txn", service_txn, NULL, false},
                {"/etcdserverpb.KV/Compact", service_compact, NULL, false},
                /* A watch outlives what its client has to say: only leaving ends it. */
                {"/etcdserverpb.Watch/Watch", service_watch, NULL, true},
                {"/etcdserverpb.Lease/LeaseGrant", service_lease_grant, NULL, false},
                {"/etcdserverpb.Lease/LeaseRevoke", service_lease_revoke, NULL, false},
                {"/etcdserverpb.Lease/LeaseKeepAlive", service_lease_keep_alive,
                                service_lease_half_close, true},
                {"/etcdserverpb.Lease/LeaseTimeToLive", service_lease_time_to_live, NULL, false},
                {"/etcdserverpb.Lease/LeaseLeases", service_lease_leases, NULL, false},
                {"/etcdserverpb.Cluster/MemberAdd", service_member_add, NULL, false},
                {"/etcdserverpb.Cluster/MemberRemove", service_member_remove, NULL, false},
                {"/etcdserverpb.Cluster/MemberUpdate", service_member_update, NULL, false},
                {"/etcdserverpb.Cluster/MemberList", service_member_list, NULL, false},
                {"/etcdserverpb.Cluster/MemberPromote", service_member_promote, NULL, false},
                {"/etcdserverpb.Maintenance/Alarm", service_alarm, NULL, false},
                {"/etcdserverpb.Maintenance/Status", service_status, NULL, false},
                {"/etcdserverpb.Maintenance/Defragment", service_defragment, NULL, false},
                {"/etcdserverpb.Maintenance/Hash", service_hash, NULL, false},
                {"/etcdserverpb.Maintenance/HashKV", service_hash_kv, NULL, false},
                {"/etcdserverpb.Maintenance/Snapshot", service_snapshot, NULL, false},
                {"/etcdserverpb.Maintenance/MoveLeader", service_move_leader, NULL, false},
                {"/grpc.health.v1.Health/Check", service_health_check, NULL, false},
                {"/grpc.health.v1.Health/Watch", service_health_watch, NULL, true},
};
const size_t server_method_count = ELEMENTS(server_methods);

/* Besides their own protocol members pass on what only the leader can answer. */
const struct grpc_method server_peer_methods[] = {
                {"/keelsonpeer.Peer/Messages", service_peer_messages, service_peer_half_close,
                                true},
                {"/keelsonpeer.Peer/InstallSnapshot", service_install_snapshot, NULL, true},
                {"/keelsonpeer.Peer/Members", service_peer_members, NULL, false},
                {"/etcdserverpb.Lease/LeaseKeepAlive", service_lease_keep_alive,
                                service_lease_half_close, true},
                {"/etcdserverpb.Lease/LeaseTimeToLive", service_lease_time_to_live, NULL, false},
                {"/etcdserverpb.Cluster/MemberAdd", service_member_add, NULL, false},
                {"/etcdserverpb.Cluster/MemberRemove", service_member_remove, NULL, false},
                {"/etcdserverpb.Cluster/MemberUpdate", service_member_update, NULL, false},
                {"/etcdserverpb.Cluster/MemberPromote", service_member_promote, NULL, false},
                {"/etcdserverpb.Maintenance/HashKV", service_hash_kv, NULL, false},
};
const size_t server_peer_method_count = ELEMENTS(server_peer_methods);
