/*
 * leg.c
 *	  One side of a session: its socket, its events, what waits to be sent.
 *
 *		leg_attach, leg_close	begin and end
 *		leg_recv, leg_send		bytes in and out
 *		leg_flush				what was kept, later
 *		leg_end					no more comes
 *		leg_wait, leg_read_on	which events it waits for
 */
#include "relay/leg.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Reads bytes in clear.
 */
static ssize_t
plain_recv(Leg *leg, uint8_t *data, size_t size)
{
	ssize_t n;

	do
		n = recv(leg->fd, data, size, 0);
	while (n < 0 && errno == EINTR);
	leg->has_more = n == (ssize_t) size;
	return n;
}

/*
 * Sends bytes in clear.
 */
static ssize_t
plain_send(Leg *leg, const uint8_t *data, size_t len)
{
	ssize_t n;

	do
		n = send(leg->fd, data, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n;
}

/*
 * Tells the peer that no more comes; in clear there is only one way.
 */
static void
plain_end(Leg *leg, bool properly)
{
	(void) properly;
	shutdown(leg->fd, SHUT_WR);
}

/*
 * Frees nothing: bytes in clear need no state.
 */
static void
plain_close(Leg *leg)
{
	(void) leg;
}

static const Transport plain_transport = {false, plain_recv, plain_send, plain_end, plain_close};

/*
 * Gives a leg its socket and the events on it.
 */
void
leg_attach(struct event_base *base, Leg *leg, int fd, event_callback_fn on_read,
           event_callback_fn on_write, void *arg)
{
	memset(leg, 0, sizeof(*leg));
	leg->fd = fd;
	leg->transport = &plain_transport;
	leg->on_read = on_read;
	leg->arg = arg;
	leg->read_event = event_new(base, fd, EV_READ | EV_PERSIST, on_read, arg);
	leg->write_event = event_new(base, fd, EV_WRITE | EV_PERSIST, on_write, arg);
}

/*
 * Closes a leg and frees what it holds.
 */
void
leg_close(Budget *budget, Leg *leg)
{
	if (leg->read_event)
		event_free(leg->read_event);
	if (leg->write_event)
		event_free(leg->write_event);
	if (leg->more_event)
		event_free(leg->more_event);
	if (leg->transport)
		leg->transport->close(leg);
	if (leg->fd >= 0)
		close(leg->fd);
	buffer_free(budget, &leg->pending);
	memset(leg, 0, sizeof(*leg));
	leg->fd = -1;
}

/*
 * Reads from a leg.
 */
ssize_t
leg_recv(Leg *leg, uint8_t *data, size_t size)
{
	leg->read_wants_write = false;
	return leg->transport->recv(leg, data, size);
}

/*
 * Sends as many bytes as the socket takes.  -1: the leg is gone.
 */
static ssize_t
send_some(Leg *leg, const uint8_t *data, size_t len)
{
	size_t done = 0;

	leg->write_wants_read = false;
	while (done < len)
	{
		ssize_t n = leg->transport->send(leg, data + done, len - done);

		if (n >= 0)
			done += (size_t) n;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			break;
		else
			return -1;
	}
	return (ssize_t) done;
}

/*
 * Sends bytes to a leg, behind what is pending.
 */
bool
leg_send(Budget *budget, Leg *leg, const uint8_t *data, size_t len)
{
	ssize_t done = 0;

	if (leg->fd < 0)
		return false;
	if (leg->pending.len == 0)
		done = send_some(leg, data, len);
	if (done < 0)
		return false;
	return (size_t) done == len ||
	       buffer_keep(budget, &leg->pending, data + done, len - (size_t) done);
}

/*
 * Sends what is pending.  What comes behind bytes that were tried once begins with
 * those same bytes, as TLS wants it.
 */
bool
leg_flush(Budget *budget, Leg *leg)
{
	ssize_t done;

	if (leg->fd < 0)
		return false;
	if (leg->pending.len == 0)
		return true;
	done = send_some(leg, leg->pending.data + leg->sent, leg->pending.len - leg->sent);
	if (done < 0)
		return false;
	leg->sent += (size_t) done;
	if (leg->sent < leg->pending.len)
		return true;
	leg->sent = 0;
	buffer_free(budget, &leg->pending);
	return true;
}

/*
 * Tells the peer that no more comes.
 */
void
leg_end(Leg *leg, bool properly)
{
	if (leg->fd >= 0)
		leg->transport->end(leg, properly);
}

/*
 * Sets one event to what it should be.
 */
static void
set_event(struct event *event, bool *is_set, bool wanted)
{
	if (*is_set == wanted)
		return;
	if (wanted)
		event_add(event, NULL);
	else
		event_del(event);
	*is_set = wanted;
}

/*
 * Has the leg read again in the next turn.
 */
void
leg_read_on(Leg *leg)
{
	struct timeval now = {0, 0};

	if (leg->fd < 0 || !leg->is_reading || !leg->has_more || !leg->transport->holds_bytes)
		return;
	if (!leg->more_event)
		leg->more_event = evtimer_new(event_get_base(leg->read_event), leg->on_read, leg->arg);
	evtimer_add(leg->more_event, &now);
}

/*
 * Sets which events a leg waits for.  One that reads again may have been stopped
 * while its transport held more.
 */
void
leg_wait(Leg *leg, bool reading, bool writing)
{
	bool was_reading = leg->is_reading;

	if (leg->fd < 0)
		return;
	leg->is_reading = reading;
	set_event(leg->read_event, &leg->has_read_event,
	          (reading && !leg->read_wants_write) || (writing && leg->write_wants_read));
	set_event(leg->write_event, &leg->has_write_event,
	          (writing && !leg->write_wants_read) || (reading && leg->read_wants_write));
	if (reading && !was_reading)
		leg_read_on(leg);
}
