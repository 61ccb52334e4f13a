/* The rule by which an empty member takes part or not. */
#include "kstored/server/first-life-judge.h"

#include "kstored/raft/bugs.h"

enum first_life_verdict first_life_judge(
                const enum first_life_answer *answers, size_t n, size_t voters) {
        size_t fresh = 0, runs = 0, need;

        if (bug(BUG_EMPTY_VOTES))
                return FIRST_LIFE_CONFIRMED;
        if (voters < n + 1)
                voters = n + 1;
        for (size_t i = 0; i < n; i++) {
                if (answers[i] == FIRST_LIFE_KNOWS)
                        return FIRST_LIFE_REFUSED;
                fresh += answers[i] == FIRST_LIFE_NEW;
                runs += answers[i] == FIRST_LIFE_RUNS;
        }
        if (runs == 0)
                return fresh + 1 >= voters / 2 + 1 ? FIRST_LIFE_CONFIRMED : FIRST_LIFE_WAIT;
        /* A majority with this member in it has voters / 2 others. */
        need = voters - voters / 2;
        if (need > n)
                need = n;
        return fresh + runs >= need ? FIRST_LIFE_CONFIRMED : FIRST_LIFE_WAIT;
}
