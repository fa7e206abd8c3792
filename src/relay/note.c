/*
 * note.c
 *	  What a relay tells its supervisor: log lines, wake-ups for the writer, that the
 *	  certificate should be read again.
 *
 * The socket is non-blocking: a line that does not fit is dropped and counted,
 * the relay never waits for the log.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "relay/process.h"

#define RELOAD_EVERY_US 1000000

/*
 * Sends a note as far as its text goes.
 */
static void
send_note(Relay *relay, RelayNote *note)
{
	size_t size = offsetof(RelayNote, text) + strlen(note->text) + 1;

	if (send(relay->supervisor_fd, note, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	    note->kind == RELAY_NOTE_LOG)
		board_add(&relay->stats->log_lines_dropped, 1);
}

/*
 * Sends a log line.
 */
void
relay_log(Relay *relay, RelaySeverity severity, const char *format, ...)
{
	RelayNote note = {.kind = RELAY_NOTE_LOG, .severity = severity};
	va_list args;

	va_start(args, format);
	vsnprintf(note.text, sizeof(note.text), format, args);
	va_end(args);
	send_note(relay, &note);
}

/*
 * Sends a log line and shows it as stat_relay's last_error.
 */
void
relay_error(Relay *relay, const char *format, ...)
{
	RelayNote note = {.kind = RELAY_NOTE_LOG, .severity = RELAY_WARNING};
	va_list args;

	va_start(args, format);
	vsnprintf(note.text, sizeof(note.text), format, args);
	va_end(args);
	board_set_error(relay->stats->last_error, &relay->stats->last_error_at, clock_wall(),
	                note.text);
	send_note(relay, &note);
}

/*
 * Tells that the journal has news for the writer.
 */
void
relay_wake_writer(Relay *relay)
{
	RelayNote note = {.kind = RELAY_NOTE_WAKE};

	relay->wake_due = false;
	relay->last_wake = clock_monotonic();
	send_note(relay, &note);
}

/*
 * Asks the supervisor to read the certificate again, not too often.
 */
void
relay_ask_reload(Relay *relay)
{
	RelayNote note = {.kind = RELAY_NOTE_RELOAD};
	int64_t now = clock_monotonic();

	if (relay->reload_asked_at != 0 && now - relay->reload_asked_at < RELOAD_EVERY_US)
		return;
	relay->reload_asked_at = now;
	send_note(relay, &note);
}
