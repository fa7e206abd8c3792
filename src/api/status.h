/*
 * status.h
 *	  What the functions about the state of affairs share.
 */
#ifndef API_STATUS_H
#define API_STATUS_H

#include "postgres.h"

/* Returns a BoardWriterState as stat_writer shows it. */
extern const char *status_writer_state(uint32 state);

#endif /* API_STATUS_H */
