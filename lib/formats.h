/* The formats of what the daemons keep: each is raised by a change that an earlier version would
 * not read. A daemon refuses one that is newer than its own. units/bundle.sh puts the numbers into
 * a bundle's file FORMATS, by which `kctl upgrade` sees beforehand whether there is a way back. */
#pragma once

enum {
        FORMAT_STORE_DATABASE = 2, /* kstored: PRAGMA user_version of its database */
        FORMAT_STORE_LOG = 1,      /* kstored: the heads of its log's segments */
        FORMAT_OBJECTS = 1,        /* kapid: the keys and objects in the store */
        FORMAT_NODE_STATE = 1,     /* knodeagent: its state directory */
};
