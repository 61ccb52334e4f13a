/* Shared by the files of the state machine. */
#pragma once

#include "kstored/state/state.h"

int state_remove_member(struct state *s, uint64_t id);
int state_apply_alarm(struct state *s, const Etcdserverpb__AlarmRequest *r, struct outcome *o);
