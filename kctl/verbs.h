/* The verbs of kctl, a row each: VERB(function, name, usage, summary, completion of its words,
 * flags that it takes beside the common ones...). A summary of NULL hides a verb. The completion
 * of the words is "kinds", "objects", "nodes", "pods", "gitsyncs", "files" or NULL. kctl.h makes
 * prototypes of the rows, main.c the table. */
/* clang-format off */
VERB(kctl_get, "get", "KIND[,KIND...] [NAME...] | KIND/NAME...",
     "Show objects", "objects",
     "all-namespaces", "output", "selector", "field-selector", "sort-by", "watch", "watch-only",
     "no-headers", "show-labels", "ignore-not-found", "filename")
VERB(kctl_describe, "describe", "KIND [NAME...] | KIND/NAME...",
     "Show objects in full, with their events", "objects",
     "all-namespaces", "selector")
VERB(kctl_apply, "apply", "-f FILE...",
     "Create and change objects as files describe them (server-side apply)", "files",
     "filename", "dry-run", "force-conflicts", "field-manager", "output")
VERB(kctl_create_quota, "create quota", "NAME --hard RESOURCE=AMOUNT,...",
     "Limit what a namespace may use", NULL,
     "hard", "scopes", "dry-run", "output")
VERB(kctl_delete, "delete", "KIND NAME... | KIND/NAME... | -f FILE...",
     "Delete objects", "objects",
     "filename", "selector", "field-selector", "all", "all-namespaces", "cascade", "force",
     "grace-period", "now", "wait", "timeout", "ignore-not-found", "dry-run", "output")
VERB(kctl_logs, "logs", "POD | KIND/NAME",
     "Show the output of containers", "pods",
     "container", "follow", "previous", "tail", "since", "since-time", "timestamps", "limit-bytes", "selector", "prefix")
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
     "replicas", "current-replicas", "dry-run")
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
     "overwrite", "all", "selector", "all-namespaces", "dry-run")
VERB(kctl_annotate, "annotate", "KIND NAME KEY=VALUE... KEY-...",
     "Set and remove annotations", "objects",
     "overwrite", "all", "selector", "all-namespaces", "dry-run")
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
     "all-namespaces")
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
     "all-namespaces", "watch", "field-selector")
VERB(kctl_wait, "wait", "KIND NAME... --for WHAT",
     "Wait for a condition", "objects",
     "for", "timeout", "selector", "all", "all-namespaces")
VERB(kctl_api_resources, "api-resources", "",
     "List the kinds that the server serves", NULL,
     "api-group", "no-headers")
VERB(kctl_auth_can_i, "auth can-i", "VERB KIND [NAME]",
     "Check whether a request is allowed", "kinds",
     "all-namespaces")
VERB(kctl_dev, "dev", "--dir DIR [--port N]",
     "Run a control plane in the foreground, without root, systemd or nodes", NULL,
     "dir", "port", "service-cluster-ip-range", "cluster-cidr", "node-cidr-mask-size-ipv4", "node-cidr-mask-size-ipv6")
VERB(kctl_up, "up", "[--control USER@HOST]",
     "Make a machine a control plane", NULL,
     "control", "identity", "port", "advertise-address", "service-cluster-ip-range", "cluster-cidr", "node-cidr-mask-size-ipv4", "node-cidr-mask-size-ipv6", "accept-new-host-key", "timeout")
VERB(kctl_node_join, "node join", "USER@HOST...",
     "Join machines as nodes, over SSH", NULL,
     "identity", "name", "accept-new-host-key", "control-plane-taint", "timeout")
VERB(kctl_node_remove, "node remove", "NODE...",
     "Undo a join: remove the agent and the node", "nodes",
     "identity", "force", "yes", "timeout")
VERB(kctl_node_units, "node units", "NODE",
     "List a machine's own units, and the pods that have adopted them", "nodes",
     "identity", "output", "no-headers")
VERB(kctl_user_add, "user add", "NAME",
     "Issue a certificate for a person, and write a kubeconfig with it", NULL,
     "group", "expires", "out")
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
VERB(kctl_down, "down", "[--control USER@HOST]",
     "Undo `kctl up`: stop the control plane and remove its state", NULL,
     "control", "identity", "yes")
VERB(kctl_backup, "backup", "FILE",
     "Copy the store into a file, and verify the copy", "files",
     "control", "identity", "dir", "store", "output", "timeout")
VERB(kctl_restore, "restore", "FILE",
     "Restore the store from a backup", "files",
     "control", "identity", "dir", "force", "other-cluster", "output", "timeout")
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
VERB(kctl_man, "man", "",
     NULL, NULL)
/* clang-format on */
