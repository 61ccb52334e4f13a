/* One client per identity; all share the connections of kgitd's own client. */
#include "reconcilers/gitsync/identity.h"

static void identity_free(void *p) {
        struct identity *i = p;

        if (*strempty(i->user))
                api_client_free(i->client);
        free(i->user);
        free(i);
}

struct map *identities_new(void) {
        return map_new(identity_free);
}

static int act_as(struct identity *i, struct api_client *base, const char *ns) {
        _cleanup_free_ char *group = strformat("system:serviceaccounts:%s", ns);
        char *groups[] = {(char *)"system:serviceaccounts", group, (char *)"system:authenticated",
                        NULL};

        return group ? api_client_as(&i->client, base, i->user, groups) : -ENOMEM;
}

struct identity *identity_get(struct map *identities, struct api_client *base, const char *ns,
                const char *service_account) {
        bool own = isempty(service_account);
        _cleanup_free_ char *user =
                        own ? strdup("")
                            : strformat("system:serviceaccount:%s:%s", ns, service_account);
        struct identity *i = user ? map_get(identities, user) : NULL;

        if (i || !user)
                return i;
        i = calloc(1, sizeof(*i));
        if (!i)
                return NULL;
        i->user = TAKE_PTR(user);
        i->client = own ? base : NULL;
        if ((!own && act_as(i, base, ns) < 0) || map_set(identities, i->user, i) < 0) {
                identity_free(i);
                return NULL;
        }
        return i;
}
