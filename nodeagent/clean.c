/* Files and units are removed by the caller (kctl leave); this removes only kernel state. */
#include "nodeagent/clean.h"

#include "nodeagent/agent.h"
#include "nodeagent/pod/stage.h"

int clean_main(void) {
        int r;

        stage_unmount_below(AGENT_RUN_DIR);
        r = network_clean();
        if (r < 0) {
                fprintf(stderr, "knodeagent clean: %s\n", strerror(-r));
                return 1;
        }
        return 0;
}
