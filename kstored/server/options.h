/* The options of kstored: the table, the defaults, and those that contradict each other. */
#pragma once

#include "lib/options.h"
#include "lib/problem.h"

struct server_options {
        char *name;
        char *data_dir;
        char **listen_client_urls;
        char **advertise_client_urls;
        char **listen_peer_urls;
        char **initial_advertise_peer_urls;
        char **initial_cluster;
        char *initial_cluster_state;
        char *initial_cluster_token;
        char *cert_file, *key_file, *trusted_ca_file, *client_crl_file;
        char **client_cert_allowed_cn, **client_cert_allowed_hostname;
        bool auto_tls;
        bool client_cert_auth;
        bool unix_socket_group_access;
        char *peer_cert_file, *peer_key_file, *peer_trusted_ca_file, *peer_crl_file;
        char **peer_cert_allowed_cn, **peer_cert_allowed_hostname;
        bool peer_auto_tls;
        uint32_t self_signed_cert_validity; /* years */
        bool peer_client_cert_auth;
        uint64_t quota_bytes;
        char *auto_compaction_mode;
        char *auto_compaction_retention;
        uint32_t heartbeat_ms;
        uint32_t election_ms;
        uint64_t snapshot_count;
        uint32_t max_txn_ops;
        uint32_t max_request_bytes;
        char **listen_metrics_urls;
        char *log_level;
        bool strict_reconfig_check;
        char *corrupt_check_time;
        bool unsafe_no_fsync;
        struct {
                char *check, *restore, *write_out;
                bool force, other_cluster, dry_run, replace;
        } offline; /* offline.h */
};

extern const struct option_program kstored_program;

/* Fills in what depends on other options and refuses what is out of range or contradictory, before
 * anything is opened or made: -EINVAL with p naming the options. */
int options_complete(struct server_options *o, struct problem *p);
