/*
 * leg.h
 *	  One side of a session: a socket, the events on it, what waits to be sent,
 *	  and the transport by which bytes get in and out.
 *
 * A transport is a small table of functions: plain.c's for bytes in clear
 * (in leg.c), tls.c's for TLS.  The pump knows nothing else, so one function
 * serves both, and a test can put a transport of its own in their place.
 *
 * A transport may hold bytes that its socket no longer tells of.  Then has_more
 * stays set after a read, and leg_read_on() has the leg read again in the next
 * turn of the loop (by a timer of no length: an event that is made active at once
 * would run in the same turn, before anybody else's socket was looked at).
 * It may need the socket the other way round (TLS answers a key update); then
 * read_wants_write or write_wants_read is set, and leg_wait() asks for the right
 * event.
 */
#ifndef RELAY_LEG_H
#define RELAY_LEG_H

#include <event2/event.h>
#include <sys/types.h>

#include "relay/buffer.h"

typedef struct Leg Leg;

typedef struct Transport
{
	bool holds_bytes; /* that its socket no longer tells of */

	/* Like recv() and send(): -1 with EAGAIN: later; another errno: broken. */
	ssize_t (*recv)(Leg *leg, uint8_t *data, size_t size);
	ssize_t (*send)(Leg *leg, const uint8_t *data, size_t len);

	/* Tells the peer that no more comes; not properly: as if the line were cut. */
	void (*end)(Leg *leg, bool properly);

	/* Frees what the transport holds; the socket is closed by the leg. */
	void (*close)(Leg *leg);
} Transport;

struct Leg
{
	int fd; /* -1: none */
	const Transport *transport;
	void *state; /* the transport's own */
	struct event *read_event;
	struct event *write_event;
	struct event *more_event; /* made when it is first needed */
	event_callback_fn on_read;
	void *arg;
	bool is_reading;     /* what leg_wait() was asked for */
	bool has_read_event; /* what the events are set to */
	bool has_write_event;
	bool has_more;         /* there may be more to read, whatever the socket says */
	bool read_wants_write; /* reading waits for the socket to take bytes */
	bool write_wants_read; /* sending waits for bytes to come */
	bool at_end;           /* it sends no more */
	bool is_cut;           /* it ended without having said so: TLS knows the difference */
	bool passed_end;       /* it was told that the other leg sends no more */
	Buffer pending;        /* to be sent to it */
	size_t sent;           /* bytes of pending that are gone already */
};

/* Gives a leg its socket, bytes in clear, and the events on it, none of them active yet. */
extern void leg_attach(struct event_base *base, Leg *leg, int fd, event_callback_fn on_read,
                       event_callback_fn on_write, void *arg);

/* Closes a leg and frees what it holds. */
extern void leg_close(Budget *budget, Leg *leg);

/* Sends bytes, behind what is pending; keeps what the socket does not take. False: it is gone. */
extern bool leg_send(Budget *budget, Leg *leg, const uint8_t *data, size_t len);

/* Sends what is pending. False: the leg is gone. */
extern bool leg_flush(Budget *budget, Leg *leg);

/* Reads, as recv() does; -1 with EAGAIN: nothing yet. */
extern ssize_t leg_recv(Leg *leg, uint8_t *data, size_t size);

/* Tells the peer that no more comes. */
extern void leg_end(Leg *leg, bool properly);

/* Sets which events a leg waits for. */
extern void leg_wait(Leg *leg, bool reading, bool writing);

/* Has the leg read again in the next turn, if there may be more than its socket tells. */
extern void leg_read_on(Leg *leg);

#endif /* RELAY_LEG_H */
