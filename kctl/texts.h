/* The text files of kctl/config/, compiled in: configurations and scripts for machines, completion
 * scripts. Those with {{NAME}} in them are filled in by template_fill(). */
#pragma once

extern const char text_allow_kapid_sh[];
extern const char text_allow_servers_sh[];
extern const char text_backup_service[];
extern const char text_backup_timer[];
extern const char text_clean_node_sh[];
extern const char text_collect_control_sh[];
extern const char text_completion_bash[];
extern const char text_completion_fish[];
extern const char text_completion_zsh[];
extern const char text_down_sh[];
extern const char text_encryption_get_sh[];
extern const char text_encryption_off_sh[];
extern const char text_encryption_put_sh[];
extern const char text_fleet_facts_sh[];
extern const char text_further_control_sh[];
extern const char text_inspect_sh[];
extern const char text_installed_address_sh[];
extern const char text_installed_ranges_sh[];
extern const char text_kapid_yaml[];
extern const char text_keep_after_sh[];
extern const char text_kgitd_yaml[];
extern const char text_kingressd_yaml[];
extern const char text_kreconciled_yaml[];
extern const char text_kschedd_yaml[];
extern const char text_kstored_yaml[];
extern const char text_node_kubeconfig[];
extern const char text_nodeagent_yaml[];
extern const char text_packages_sh[];
extern const char text_pod_units_sh[];
extern const char text_put_back_sh[];
extern const char text_refresh_sh[];
extern const char text_restart_changed_sh[];
extern const char text_running_sh[];
extern const char text_start_agent_sh[];
extern const char text_start_units_sh[];
extern const char text_store_authority_sh[];
extern const char text_store_members_sh[];
extern const char text_store_state_sh[];
extern const char text_support_sh[];
extern const char text_units_failing_sh[];
extern const char text_units_trouble_sh[];
extern const char text_unpack_sh[];
