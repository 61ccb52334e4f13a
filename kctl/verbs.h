/* The verbs of kctl, a row each: VERB(function, name, usage, summary, completion of its words,
 * flags that it takes beside the common ones...). A flag is named by its name, or by "@MEMBER"
 * where several have that name (flag-rows.h). A summary of NULL hides a verb. The completion
 * of the words is "kinds", "objects", "nodes", "pods", "gitsyncs", "files" or NULL. kctl.h makes
 * prototypes of the rows, main.c the table. */
/* clang-format off */
VERB(kctl_get, "get", "KIND[,KIND...] [NAME...] | KIND/NAME...",
     "Show objects", "objects",
     "all-namespaces", "output", "selector", "field-selector", "sort-by", "watch", "watch-only",
     "no-headers", "show-labels", "label-columns", "show-kind", "show-managed-fields",
     "ignore-not-found", "filename", "raw")
VERB(kctl_describe, "describe", "KIND [NAME...] | KIND/NAME...",
     "Show objects in full, with their events", "objects",
     "all-namespaces", "selector")
VERB(kctl_apply, "apply", "-f FILE...",
     "Create and change objects as files describe them (server-side apply)", "files",
     "filename", "dry-run", "force-conflicts", "field-manager", "server-side", "output")
VERB(kctl_diff, "diff", "-f FILE...",
     "Show what apply would change", "files",
     "filename", "field-manager", "force-conflicts", "server-side")
VERB(kctl_create, "create", "-f FILE... | KIND NAME",
     "Create objects of files, or of words", "files",
     "filename", "field-manager", "dry-run", "output")
VERB(kctl_create_namespace, "create namespace", "NAME",
     "Create a namespace", NULL,
     "dry-run", "output")
VERB(kctl_create_configmap, "create configmap", "NAME [--from-file [KEY=]PATH] [--from-literal KEY=VALUE]",
     "Create a configmap of files and literals", NULL,
     "from-file", "from-literal", "from-env-file", "append-hash", "dry-run", "output")
VERB(kctl_create_secret_generic, "create secret generic", "NAME [--from-file [KEY=]PATH] [--from-literal KEY=VALUE]",
     "Create a secret of files and literals", NULL,
     "from-file", "from-literal", "from-env-file", "type", "append-hash", "dry-run", "output")
VERB(kctl_create_secret_docker, "create secret docker-registry", "NAME --docker-username NAME --docker-password PASSWORD",
     "Create a secret for a registry of images", NULL,
     "docker-server", "docker-username", "docker-password", "docker-email", "from-file", "append-hash", "dry-run", "output")
VERB(kctl_create_secret_tls, "create secret tls", "NAME --cert FILE --key FILE",
     "Create a secret of a certificate and its key", NULL,
     "cert", "key", "append-hash", "dry-run", "output")
VERB(kctl_create_deployment, "create deployment", "NAME --image IMAGE [-- COMMAND [WORD...]]",
     "Create a deployment", NULL,
     "@images", "@container_port", "replicas", "dry-run", "output")
VERB(kctl_create_job, "create job", "NAME --image IMAGE [-- COMMAND [WORD...]] | NAME --from cronjob/NAME",
     "Create a job, also of a cronjob's template", NULL,
     "@images", "from", "dry-run", "output")
VERB(kctl_create_cronjob, "create cronjob", "NAME --image IMAGE --schedule CRON [-- COMMAND [WORD...]]",
     "Create a cronjob", NULL,
     "@images", "schedule", "restart", "dry-run", "output")
VERB(kctl_create_service_clusterip, "create service clusterip", "NAME --tcp PORT[:TARGET]",
     "Create a service with an address of its own", NULL,
     "tcp", "clusterip", "dry-run", "output")
VERB(kctl_create_service_nodeport, "create service nodeport", "NAME --tcp PORT[:TARGET]",
     "Create a service with a port on every node", NULL,
     "tcp", "node-port", "dry-run", "output")
VERB(kctl_create_service_loadbalancer, "create service loadbalancer", "NAME --tcp PORT[:TARGET]",
     "Create a service with an address outside", NULL,
     "tcp", "dry-run", "output")
VERB(kctl_create_service_externalname, "create service externalname", "NAME --external-name NAME",
     "Create a service that is another name", NULL,
     "external-name", "tcp", "dry-run", "output")
VERB(kctl_create_serviceaccount, "create serviceaccount", "NAME",
     "Create a service account", NULL,
     "dry-run", "output")
VERB(kctl_create_token, "create token", "SERVICEACCOUNT",
     "Create a token of a service account, and print it", NULL,
     "duration", "audience", "bound-object-kind", "bound-object-name", "bound-object-uid", "output")
VERB(kctl_create_role, "create role", "NAME --verb VERB --resource KIND",
     "Create a role in a namespace", NULL,
     "verb", "resource", "resource-name", "dry-run", "output")
VERB(kctl_create_clusterrole, "create clusterrole", "NAME --verb VERB --resource KIND",
     "Create a role for the cluster", NULL,
     "verb", "resource", "resource-name", "non-resource-url", "aggregation-rule", "dry-run", "output")
VERB(kctl_create_rolebinding, "create rolebinding", "NAME --role NAME|--clusterrole NAME [--user NAME] [--serviceaccount NS:NAME]",
     "Give a role in a namespace to users, groups and accounts", NULL,
     "role", "clusterrole", "@users", "@groups", "serviceaccount", "dry-run", "output")
VERB(kctl_create_clusterrolebinding, "create clusterrolebinding", "NAME --clusterrole NAME [--user NAME] [--serviceaccount NS:NAME]",
     "Give a role everywhere to users, groups and accounts", NULL,
     "clusterrole", "@users", "@groups", "serviceaccount", "dry-run", "output")
VERB(kctl_create_quota, "create quota", "NAME --hard RESOURCE=AMOUNT,...",
     "Limit what a namespace may use", NULL,
     "hard", "scopes", "dry-run", "output")
VERB(kctl_create_poddisruptionbudget, "create poddisruptionbudget", "NAME --selector LABELS --min-available N|--max-unavailable N",
     "Limit how many pods may be away at once", NULL,
     "selector", "min-available", "max-unavailable", "dry-run", "output")
VERB(kctl_create_priorityclass, "create priorityclass", "NAME --value N",
     "Create a priority of pods", NULL,
     "value", "global-default", "description", "preemption-policy", "dry-run", "output")
VERB(kctl_create_ingress, "create ingress", "NAME --rule HOST/PATH=SERVICE:PORT[,tls[=SECRET]]",
     "Create an ingress", NULL,
     "rule", "default-backend", "class", "annotation", "dry-run", "output")
VERB(kctl_run, "run", "NAME --image IMAGE [-- WORD...]",
     "Run a pod of one image", NULL,
     "@images", "env", "@container_port", "labels", "annotations", "restart", "command", "stdin", "tty", "attach", "rm", "expose", "overrides",
     "privileged", "image-pull-policy", "pod-running-timeout", "dry-run", "output")
VERB(kctl_expose, "expose", "KIND NAME | KIND/NAME... [--port PORT]",
     "Create a service for the pods of a workload", "objects",
     "@container_port", "target-port", "protocol", "type", "@object_name", "selector", "labels", "cluster-ip", "external-ip", "load-balancer-ip",
     "session-affinity", "filename", "dry-run", "output")
VERB(kctl_replace, "replace", "-f FILE...",
     "Replace objects by those of files", "files",
     "filename", "force", "grace-period", "timeout", "subresource", "field-manager", "dry-run", "output")
VERB(kctl_patch, "patch", "KIND NAME -p PATCH | KIND/NAME... -p PATCH | -f FILE -p PATCH",
     "Change fields of objects by a patch", "objects",
     "patch", "patch-file", "type", "subresource", "filename", "field-manager", "dry-run", "output")
VERB(kctl_edit, "edit", "KIND NAME | KIND/NAME...",
     "Change objects in an editor", "objects",
     "filename", "subresource", "field-manager", "dry-run", "output")
VERB(kctl_set_image, "set image", "KIND/NAME... CONTAINER=IMAGE...",
     "Set the images of containers", "objects",
     "filename", "all", "selector", "field-manager", "dry-run", "output")
VERB(kctl_set_env, "set env", "KIND/NAME... NAME=VALUE... NAME-...",
     "Set, remove and list environment variables", "objects",
     "env", "from", "@prefix_text", "@env_keys", "list", "container", "filename", "all", "selector", "field-manager", "dry-run", "output")
VERB(kctl_set_resources, "set resources", "KIND/NAME... --requests AMOUNTS --limits AMOUNTS",
     "Set requests and limits of containers", "objects",
     "requests", "limits", "container", "filename", "all", "selector", "field-manager", "dry-run", "output")
VERB(kctl_set_serviceaccount, "set serviceaccount", "KIND/NAME... ACCOUNT",
     "Set the service account of pods", "objects",
     "filename", "all", "selector", "field-manager", "dry-run", "output")
VERB(kctl_set_selector, "set selector", "service/NAME KEY=VALUE,...",
     "Set the labels by which a service finds its pods", "objects",
     "filename", "field-manager", "dry-run", "output")
VERB(kctl_set_subject, "set subject", "rolebinding/NAME [--user NAME] [--group NAME] [--serviceaccount NS:NAME]",
     "Give a role to more users, groups and accounts", "objects",
     "@users", "@groups", "serviceaccount", "filename", "all", "selector", "field-manager", "dry-run", "output")
VERB(kctl_autoscale, "autoscale", "KIND/NAME... --max N [--min N] [--cpu-percent N]",
     "Let the number of replicas follow the load", "objects",
     "min", "max", "cpu-percent", "@object_name", "filename", "dry-run", "output")
VERB(kctl_delete, "delete", "KIND NAME... | KIND/NAME... | -f FILE...",
     "Delete objects", "objects",
     "filename", "selector", "field-selector", "all", "all-namespaces", "cascade", "force",
     "grace-period", "now", "wait", "timeout", "ignore-not-found", "dry-run", "output")
VERB(kctl_logs, "logs", "POD | KIND/NAME",
     "Show the output of containers", "pods",
     "container", "follow", "previous", "tail", "since", "since-time", "timestamps", "limit-bytes", "selector", "prefix",
     "all-containers", "ignore-errors", "max-log-requests")
VERB(kctl_exec, "exec", "POD | KIND/NAME -- COMMAND [WORD...]",
     "Run a command in a container", "pods",
     "container", "stdin", "tty")
VERB(kctl_attach, "attach", "POD | KIND/NAME",
     "Connect to the program that runs in a container", "pods",
     "container", "stdin", "tty")
VERB(kctl_debug, "debug", "POD | KIND/NAME [-- COMMAND [WORD...]]",
     "Add a container to a running pod to look into it", "pods",
     "image", "target", "container", "stdin", "tty", "timeout")
VERB(kctl_port_forward, "port-forward", "POD | KIND/NAME [LOCAL:]PORT...",
     "Forward local ports to a pod", "pods",
     "address")
VERB(kctl_cp, "cp", "FILE POD:PATH | POD:PATH FILE",
     "Copy files and folders to a pod or from one", "pods",
     "container")
VERB(kctl_scale, "scale", "KIND NAME... --replicas N",
     "Set the number of replicas", "objects",
     "replicas", "current-replicas", "field-manager", "dry-run", "output")
VERB(kctl_rollout_status, "rollout status", "KIND/NAME",
     "Wait until a rollout is done", "objects",
     "timeout", "watch")
VERB(kctl_rollout_history, "rollout history", "KIND/NAME",
     "Show the revisions of a rollout", "objects",
     "revision")
VERB(kctl_rollout_undo, "rollout undo", "KIND/NAME",
     "Return to an earlier revision", "objects",
     "to-revision", "dry-run")
VERB(kctl_rollout_restart, "rollout restart", "KIND/NAME...",
     "Replace every pod, one after another", "objects")
VERB(kctl_rollout_pause, "rollout pause", "KIND/NAME...",
     "Pause a rollout", "objects")
VERB(kctl_rollout_resume, "rollout resume", "KIND/NAME...",
     "Continue a paused rollout", "objects")
VERB(kctl_cordon, "cordon", "NODE...",
     "Keep new pods off nodes", "nodes",
     "selector")
VERB(kctl_uncordon, "uncordon", "NODE...",
     "Allow new pods on nodes again", "nodes",
     "selector")
VERB(kctl_drain, "drain", "NODE...",
     "Move the pods of nodes elsewhere", "nodes",
     "selector", "force", "grace-period", "timeout", "ignore-daemonsets", "delete-emptydir-data", "disable-eviction")
VERB(kctl_label, "label", "KIND NAME KEY=VALUE... KEY-...",
     "Set and remove labels", "objects",
     "overwrite", "all", "selector", "all-namespaces", "list", "field-manager", "dry-run", "output")
VERB(kctl_annotate, "annotate", "KIND NAME KEY=VALUE... KEY-...",
     "Set and remove annotations", "objects",
     "overwrite", "all", "selector", "all-namespaces", "list", "field-manager", "dry-run", "output")
VERB(kctl_migrate, "migrate", "KIND...",
     "Rewrite the objects of kinds in the version and with the key that the store has them in now", "kinds")
VERB(kctl_taint, "taint", "NODE... KEY[=VALUE]:EFFECT... KEY[:EFFECT]-...",
     "Add taints to nodes and remove them", "nodes",
     "overwrite", "all", "selector", "dry-run")
VERB(kctl_sync_now, "sync now", "NAME...",
     "Fetch and apply a GitSync now, and wait for it", "gitsyncs",
     "timeout", "wait")
VERB(kctl_sync_suspend, "sync suspend", "NAME...",
     "Stop syncing from Git", "gitsyncs",
     "reason")
VERB(kctl_sync_resume, "sync resume", "NAME...",
     "Continue syncing from Git", "gitsyncs")
VERB(kctl_sync, "sync", "[NAME...]",
     "Compare Git with the cluster", "gitsyncs",
     "all-namespaces", "output", "no-headers")
VERB(kctl_explain, "explain", "KIND[.FIELD...]",
     "Explain the fields of a kind", "kinds",
     "recursive")
VERB(kctl_explain_placement, "explain-placement", "POD...",
     "Explain the scheduler's choice: which nodes are refused and why, and how the others score", "pods",
     "output")
VERB(kctl_top_node, "top node", "[NAME]",
     "Show what nodes use", "nodes",
     "selector", "sort-by", "no-headers")
VERB(kctl_top_pod, "top pod", "[NAME]",
     "Show what pods use", "pods",
     "all-namespaces", "containers", "selector", "field-selector", "sort-by", "no-headers")
VERB(kctl_events, "events", "",
     "Show events, oldest first", NULL,
     "all-namespaces", "@for_object", "types", "watch", "selector", "field-selector", "no-headers", "output")
VERB(kctl_wait, "wait", "KIND NAME... --for WHAT",
     "Wait for a condition", "objects",
     "for", "timeout", "selector", "all", "all-namespaces")
VERB(kctl_api_resources, "api-resources", "",
     "List the kinds that the server serves", NULL,
     "api-group", "namespaced", "no-headers", "output")
VERB(kctl_auth_can_i, "auth can-i", "VERB KIND [NAME]",
     "Check whether a request is allowed", "kinds",
     "all-namespaces", "list", "subresource", "quiet", "no-headers")
VERB(kctl_auth_whoami, "auth whoami", "",
     "Show who we are to the server", NULL,
     "output")
VERB(kctl_certificate_approve, "certificate approve", "NAME...",
     "Approve requests for certificates", "certificatesigningrequests",
     "filename", "force", "output")
VERB(kctl_certificate_deny, "certificate deny", "NAME...",
     "Deny requests for certificates", "certificatesigningrequests",
     "filename", "force", "output")
VERB(kctl_cluster_info, "cluster-info", "",
     "Show where the control plane is", NULL)
VERB(kctl_api_versions, "api-versions", "",
     "List the versions of the API that the server serves", NULL)
VERB(kctl_proxy, "proxy", "[--port PORT]",
     "Serve the API on a port of this machine, with our credentials", NULL,
     "@proxy_port", "address", "unix-socket", "api-prefix")
VERB(kctl_config_view, "config view", "",
     "Show the kubeconfig", NULL,
     "minify", "@raw_values", "output")
VERB(kctl_config_get_contexts, "config get-contexts", "[NAME...]",
     "List the contexts of the kubeconfig", NULL,
     "no-headers", "output")
VERB(kctl_config_current_context, "config current-context", "",
     "Show the name of the current context", NULL)
VERB(kctl_config_use_context, "config use-context", "NAME",
     "Make a context the current one", NULL)
VERB(kctl_config_set_context, "config set-context", "NAME | --current",
     "Set cluster, user and namespace of a context", NULL,
     "current", "cluster", "@user_name")
VERB(kctl_config_rename_context, "config rename-context", "NAME NEW",
     "Rename a context", NULL)
VERB(kctl_config_delete_context, "config delete-context", "NAME",
     "Delete a context", NULL)
VERB(kctl_config_get_clusters, "config get-clusters", "",
     "List the clusters of the kubeconfig", NULL)
VERB(kctl_config_set_cluster, "config set-cluster", "NAME --server URL",
     "Set address and authority of a cluster", NULL,
     "certificate-authority", "embed-certs", "tls-server-name")
VERB(kctl_config_delete_cluster, "config delete-cluster", "NAME",
     "Delete a cluster", NULL)
VERB(kctl_config_get_users, "config get-users", "",
     "List the users of the kubeconfig", NULL)
VERB(kctl_config_set_credentials, "config set-credentials", "NAME",
     "Set certificate, key or token of a user", NULL,
     "client-certificate", "client-key", "embed-certs")
VERB(kctl_config_delete_user, "config delete-user", "NAME",
     "Delete a user", NULL)
VERB(kctl_dev, "dev", "--dir DIR [--port N]",
     "Run a control plane in the foreground, without root, systemd or nodes", NULL,
     "dir", "port", "service-cluster-ip-range", "cluster-cidr", "node-cidr-mask-size-ipv4", "node-cidr-mask-size-ipv6", "certificate-life")
VERB(kctl_certs_list, "certs list", "",
     "List the certificates of the control plane: whose, until when, where", NULL,
     "control", "identity", "dir", "nodes", "output", "no-headers")
VERB(kctl_certs_renew, "certs renew", "[NAME...]",
     "Renew certificates, without a restart", NULL,
     "control", "identity", "dir", "due", "expired", "nodes", "prepare", "certificate-life")
VERB(kctl_certs_rotate_ca, "certs rotate-ca", "[status]",
     "Replace the certificate authorities, a stage with each call", NULL,
     "control", "identity", "dir", "all", "force", "certificate-life")
VERB(kctl_up, "up", "[--control USER@HOST]...",
     "Make a machine a control plane, or three or five one together", NULL,
     "control", "identity", "port", "advertise-address", "api-address", "service-cluster-ip-range", "cluster-cidr", "node-cidr-mask-size-ipv4", "node-cidr-mask-size-ipv6", "accept-new-host-key", "packages", "timeout")
VERB(kctl_control_list, "control list", "",
     "List the machines of the control plane", NULL,
     "identity")
VERB(kctl_control_add, "control add", "USER@HOST...",
     "Add machines to the control plane, one after another", NULL,
     "identity", "accept-new-host-key", "packages", "timeout")
VERB(kctl_control_remove, "control remove", "MACHINE",
     "Remove a machine from the control plane", NULL,
     "identity", "force", "timeout")
VERB(kctl_control_replace, "control replace", "MACHINE [USER@HOST]",
     "Replace a machine of the control plane, which may be dead, by another", NULL,
     "identity", "accept-new-host-key", "packages", "timeout")
VERB(kctl_control_address, "control address", "[ADDRESS|NAME|none]",
     "Show or set the address under which users reach the API, whichever machine answers", NULL,
     "identity", "packages", "timeout")
VERB(kctl_control_member, "control member", "list | add URL | promote ID | remove ID | update ID URL",
     NULL, NULL,
     "store")
VERB(kctl_upgrade, "upgrade", "[--to BUNDLE]",
     "Upgrade every machine of the fleet, one after another, without a restart of a pod", NULL,
     "to", "@plan_only", "batch", "except", "force", "backup", "control", "identity", "output", "timeout")
VERB(kctl_rollback, "rollback", "",
     "Put the programs back that the last upgrade replaced", NULL,
     "@plan_only", "batch", "except", "control", "identity", "output", "timeout")
VERB(kctl_encryption_status, "encryption status", "",
     "Show with which keys Secrets are encrypted in the store, and how the keys are kept", NULL,
     "identity")
VERB(kctl_encryption_enable, "encryption enable", "",
     "Encrypt the Secrets of a control plane in the store", NULL,
     "identity", "force", "timeout")
VERB(kctl_encryption_rotate, "encryption rotate", "",
     "Replace the key that encrypts Secrets, and rewrite them", NULL,
     "identity", "force", "timeout")
VERB(kctl_encryption_disable, "encryption disable", "",
     "Store Secrets unencrypted again", NULL,
     "identity", "force", "yes", "timeout")
VERB(kctl_node_join, "node join", "USER@HOST...",
     "Join machines as nodes, over SSH", NULL,
     "identity", "name", "accept-new-host-key", "control-plane-taint", "packages", "timeout")
VERB(kctl_node_remove, "node remove", "NODE...",
     "Undo a join: drain the node, remove its agent and the node", "nodes",
     "identity", "force", "yes", "timeout")
VERB(kctl_node_repoint, "node repoint", "NODE... | --all",
     "Give nodes that lost the API its present addresses, over SSH", "nodes",
     "selector", "all", "servers", "identity", "timeout")
VERB(kctl_node_run, "node run", "NODE... -- COMMAND [WORD...]",
     "Run a command on machines of nodes, over SSH as root", "nodes",
     "selector", "all", "identity", "output", "timeout")
VERB(kctl_fleet_check, "fleet check", "",
     "Check the health of every machine, and show what to do about each finding", NULL,
     "control", "identity", "output")
VERB(kctl_node_units, "node units", "NODE",
     "List a machine's own units, and the pods that have adopted them", "nodes",
     "identity", "output", "no-headers")
VERB(kctl_user_add, "user add", "NAME",
     "Issue a certificate for a person, and write a kubeconfig with it", NULL,
     "@user_groups", "expires", "out")
VERB(kctl_user_list, "user list", "",
     "List the people with certificates", NULL,
     "output", "no-headers")
VERB(kctl_user_revoke, "user revoke", "NAME...",
     "Refuse the certificates of people from now on", NULL,
     "force")
VERB(kctl_image_pull, "image pull", "IMAGE NODE...",
     "Pull an image on nodes, before a pod needs it", "nodes",
     "selector", "all", "identity")
VERB(kctl_image_list, "image list", "[NODE...]",
     "List the images of nodes (without names: of all)", "nodes",
     "selector", "identity", "output", "no-headers")
VERB(kctl_image_remove, "image remove", "IMAGE NODE...",
     "Remove an image from nodes", "nodes",
     "selector", "all", "identity")
VERB(kctl_image_import, "image import", "FILE NODE...",
     "Copy images from an archive or a folder to nodes, over SSH", "files",
     "name", "selector", "all", "identity")
VERB(kctl_down, "down", "[--control USER@HOST]...",
     "Undo `kctl up`: stop the control plane and remove its state", NULL,
     "control", "identity", "yes")
VERB(kctl_backup, "backup", "FILE|FOLDER",
     "Copy the store into a file, and verify the copy", "files",
     "control", "identity", "dir", "store", "seal-passphrase-file", "recipient", "keep", "output", "timeout")
VERB(kctl_backup_key, "backup-key", "FILE",
     "Make a key that opens sealed backups, and print what seals them for it", "files")
VERB(kctl_backup_schedule, "backup-schedule", "FOLDER",
     "Have the control plane back itself up into a folder of its own", NULL,
     "control", "identity", "seal-passphrase-file", "recipient", "keep", "every")
VERB(kctl_restore, "restore", "FILE",
     "Restore the store from a backup; of a sealed one the whole control plane, also on other machines", "files",
     "control", "identity", "dir", "force", "other-cluster", "keys", "seal-passphrase-file", "identity-file", "api-address", "accept-new-host-key", "packages",
     "output", "timeout")
VERB(kctl_support_bundle, "support-bundle", "[FILE]",
     "Collect states, journals, metrics and objects of the fleet into a file, without secrets", "files",
     "control", "identity", "selector", "since")
VERB(kctl_ask_socket, "ask-socket", "SOCKET PATH",
     NULL, NULL)
VERB(kctl_version, "version", "",
     "Show the versions of kctl and the server", NULL,
     "client", "output")
VERB(kctl_completion, "completion", "bash|zsh|fish",
     "Print a completion script for a shell", NULL)
VERB(kctl_complete, "__complete", "WORD...",
     NULL, NULL)
VERB(kctl_man, "man", "--dir DIR",
     NULL, NULL,
     "dir")
/* clang-format on */
