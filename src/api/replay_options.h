/*
 * replay_options.h
 *	  The arguments of replay_start() and replay_plan(), checked.
 */
#ifndef API_REPLAY_OPTIONS_H
#define API_REPLAY_OPTIONS_H

#include "replay/worker.h"

#include "fmgr.h"

/* Makes a request of the call's arguments; raises 22023, 42501 and 0A000. */
extern ReplayRequest *replay_request_make(FunctionCallInfo fcinfo);

/* Raises 42704 where a session that it names is not in the record. */
extern void replay_check_sessions(const ReplayRequest *request);

#endif /* API_REPLAY_OPTIONS_H */
