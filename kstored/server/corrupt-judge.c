/* A majority of equal members is taken to be right: that more than half of them change to the same
 * wrong data is out of the question. With two members, or when too few answer, it is unknown which
 * is wrong. */
#include "kstored/server/corrupt-judge.h"

static const struct corrupt_answer *majority(const struct corrupt_answer *v, size_t n) {
        for (size_t i = 0; i < n; i++) {
                size_t same = 0;

                for (size_t k = 0; k < n; k++)
                        same += v[k].known && v[k].hash == v[i].hash;
                if (v[i].known && same * 2 > n)
                        return &v[i];
        }
        return NULL;
}

static bool differ(const struct corrupt_answer *v, size_t n) {
        const struct corrupt_answer *first = NULL;

        for (size_t i = 0; i < n; i++) {
                if (v[i].known && first && v[i].hash != first->hash)
                        return true;
                if (v[i].known)
                        first = &v[i];
        }
        return false;
}

enum corrupt_verdict corrupt_judge(const struct corrupt_answer *v, size_t n, bool *ret_wrong) {
        const struct corrupt_answer *right = majority(v, n);

        for (size_t i = 0; i < n; i++)
                ret_wrong[i] = right && v[i].known && v[i].hash != right->hash;
        if (!differ(v, n))
                return CORRUPT_NOBODY;
        return right ? CORRUPT_SOMEONE : CORRUPT_UNKNOWN;
}
