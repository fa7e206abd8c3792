/*
 * fault.h
 *	  Places where a relay of a fault build (-DPGWT_FAULT) stops or dies when a test
 *	  asks for it.
 *
 * A test makes the file pgwt_fault_relay_<step> in the data directory, with "stop" or
 * "kill" in it; the relay that passes the step removes the file and does that to
 * itself.  In other builds the macro is nothing.  The steps of a login:
 *
 *		accepted	a client is there, nothing was read of it
 *		packet		its startup packet is whole, the server knows nothing
 *		connected	the carrier is
 *		claimed		a slot is, the token is not made
 *		armed		the token may be used, the server has not seen it
 *		sent		it has, or will
 *		answered	the server has said something, the client does not know
 *		passed		the client has been asked, or let in
 */
#ifndef RELAY_FAULT_H
#define RELAY_FAULT_H

#ifdef PGWT_FAULT

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/*
 * Does to this process what the file says, once.
 */
static inline void
relay_fault(const char *path)
{
	char what = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (read(fd, &what, 1) == 1 && unlink(path) == 0)
		raise(what == 's' ? SIGSTOP : SIGKILL);
	close(fd);
}

#define RELAY_FAULT(step) relay_fault("pgwt_fault_relay_" step)

#else

#define RELAY_FAULT(step) ((void) 0)

#endif

#endif /* RELAY_FAULT_H */
