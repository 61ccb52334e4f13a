/* `knodeagent clean`: for a node that leaves its cluster. */
#pragma once

/* Unmounts what the agent mounted and removes its links, routes and network namespaces. The agent
 * and the pods must be stopped. Returns the exit code; errors go to stderr. */
int clean_main(void);
