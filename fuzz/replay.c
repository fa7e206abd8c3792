/*
 * replay.c
 *	  What a replay's network process makes of a target that sends anything.
 *
 * Input: flags, how many bytes of it were the recorded answers, those bytes, and what
 * the target sends: pieces, each a byte that says how long it is, and that many bytes.
 * The session is a fixed one: a Query, a prepared statement, a COPY in behind its
 * gate, a pipeline of two, and a last Query, with a prelude before it.
 *
 * Properties: every exchange is reported at most once, and sent and unsent ones add up;
 * records are whole; memory is bounded, and all of it is given back.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "relay/process.h"
#include "replay/child.h"

#define EXCHANGES 6
#define MEMORY_MOST (64UL * 1024 * 1024)

/* A message, and a request of some. */
#define BODY(type, len, body) type "\0\0\0" len body
#define SYNC "S\0\0\0\4"
#define BIND "B\0\0\0\14\0\0\0\0\0\0\0\0"
#define EXECUTE "E\0\0\0\11\0\0\0\0\0"

typedef struct Request
{
	const char *bytes;
	size_t len;
} Request;

#define REQUEST(text)          \
	{                          \
		text, sizeof(text) - 1 \
	}

static const Request requests[EXCHANGES] = {
    REQUEST(BODY("Q", "\x0d", "select 1\0")),
    REQUEST(BODY("P", "\x10", "\0select 1\0\0\0") BIND BODY("D", "\6", "P\0") EXECUTE SYNC),
    REQUEST(BODY("Q", "\x11", "copy t stdin\0") BODY("d", "\6", "x\n") BODY("c", "\4", "")),
    REQUEST(BIND EXECUTE SYNC),
    REQUEST(BIND EXECUTE "H\0\0\0\4" EXECUTE SYNC),
    REQUEST(BODY("Q", "\x0d", "select 2\0"))};
static const char prelude[] = BODY("Q", "\x0a", "set a\0");

static Replay replay;
static PlanSession session;
static PlanExchange exchanges[EXCHANGES];
static uint8_t plan_bytes[8192];
static UserTypes target_types[1];
static UserTypes captured_types;
static int worker; /* the other end of the link */
static int peer;   /* of the session's socket */
static int reported[EXCHANGES + 1];
static int sessions_ended;

/*
 * Takes a record that was sent to the worker.
 */
static void
take_record(const LinkRecord *record, const uint8_t *data)
{
	LinkExchange exchange;
	LinkSession ended;

	if (record->kind == LINK_EXCHANGE)
	{
		REQUIRE(record->size == sizeof(exchange));
		memcpy(&exchange, data, sizeof(exchange));
		REQUIRE(exchange.exchange_no >= 1 && exchange.exchange_no <= EXCHANGES);
		REQUIRE(++reported[exchange.exchange_no] == 1);
	}
	else if (record->kind == LINK_SESSION)
	{
		REQUIRE(record->size >= sizeof(ended));
		memcpy(&ended, data, sizeof(ended));
		if (ended.state == LINK_SESSION_RUNNING)
			return;
		sessions_ended++;
		REQUIRE(ended.sent + ended.left == EXCHANGES);
	}
}

/*
 * Reads what was sent to the worker.
 */
static void
read_link(void)
{
	static uint8_t packet[LINK_PACKET];
	ssize_t got;

	report_flush(&replay);
	while ((got = recv(worker, packet, sizeof(packet), MSG_DONTWAIT)) > 0)
		for (size_t at = 0; at < (size_t) got;)
		{
			LinkRecord record;

			REQUIRE(at + sizeof(record) <= (size_t) got);
			memcpy(&record, packet + at, sizeof(record));
			at += sizeof(record);
			REQUIRE(record.size <= (size_t) got - at);
			take_record(&record, packet + at);
			at += record.size;
		}
}

/*
 * Steps what is queued.
 */
static void
run_queue(void)
{
	Player *player;
	static uint8_t sent[65536];

	while ((player = replay.queued))
	{
		replay.queued = player->next_queued;
		if (!replay.queued)
			replay.last_queued = NULL;
		player->is_queued = false;
		if (player->state == PLAYER_ENDED)
			free(player);
		else
			player_step(player);
	}
	while (recv(peer, sent, sizeof(sent), MSG_DONTWAIT) > 0)
		;
	read_link();
}

/*
 * Does nothing: what this event stands for is done by run_queue().
 */
static void
on_kick(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	(void) arg;
}

/*
 * Makes what lives as long as the program.
 */
static void
begin_program(void)
{
	int pair[2];

	if (replay.base)
		return;
	REQUIRE(common_make(&replay_common, 1, 0));
	replay.common = &replay_common;
	replay.base = event_base_new();
	replay.kick = event_new(replay.base, -1, 0, on_kick, NULL);
	replay.link_write_event = event_new(replay.base, -1, EV_WRITE, on_kick, NULL);
	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	replay.link = pair[0];
	worker = pair[1];
	replay.begun = -1;
	/* of types of users one is the same on both sides, one is not, one is not known */
	REQUIRE(types_add(&captured_types, 0x4141, "a.same") &&
	        types_add(&captured_types, 0x4142, "a.b"));
	REQUIRE(types_add(&target_types[0], 0x4242, "a.same") &&
	        types_add(&target_types[0], 0x4142, "c.d"));
	types_sort(&captured_types);
	types_sort(&target_types[0]);
}

/*
 * Lays the plan out: the recorded answers are shares of some bytes.
 */
static void
make_plan(Input captured, bool wraps)
{
	size_t at = 0;
	size_t share = captured.len / EXCHANGES;

	session = (PlanSession){.session_id = 7,
	                        .count = EXCHANGES,
	                        .prelude_len = sizeof(prelude) - 1,
	                        .knows_types = true};
	memcpy(plan_bytes, prelude, sizeof(prelude) - 1);
	at = sizeof(prelude) - 1;
	for (int i = 0; i < EXCHANGES; i++)
	{
		Input answer = take_bytes(&captured, share);

		exchanges[i] = (PlanExchange){.exchange_no = i + 1,
		                              .after = i == 4 ? 2 : i - 1,
		                              .request_at = at,
		                              .request_len = (uint32_t) requests[i].len,
		                              .is_complete = i != 5,
		                              .is_truncated = i == 3,
		                              .is_wrapped = wraps,
		                              .transaction_status = "IITTIE"[i],
		                              .cancel_us = -1};
		memcpy(plan_bytes + at, requests[i].bytes, requests[i].len);
		at += requests[i].len;
		exchanges[i].response_at = at;
		exchanges[i].response_len = (uint32_t) answer.len;
		memcpy(plan_bytes + at, answer.data, answer.len);
		at += answer.len;
	}
	replay.plan = (ReplayPlan){&session, exchanges, plan_bytes, 1, EXCHANGES, at};
}

/*
 * Opens the session, as if it had logged in on one end of a socket pair.
 */
static Player *
open_session(void)
{
	Player *player;
	int pair[2];

	player_open(&replay, 0);
	player = replay.sessions;
	REQUIRE(player != NULL);
	replay.connecting--;
	player_run(player);
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	player->fd = pair[0];
	peer = pair[1];
	return player;
}

/*
 * Gives a session a piece of what the target sends, as player.c does.
 */
static void
give_piece(Player *player, Input piece)
{
	uint8_t *copy = exact_copy(piece.data, piece.len);

	tracker_backend(&player->tracker, copy, piece.len, clock_monotonic());
	free(copy);
	judge_idle(player);
	if (!aside_check(player))
		return;
	if (player->tracker.desynchronised)
		player_lose(player, "what the target sent makes no sense as protocol");
	else
		player_step(player);
}

/*
 * Runs an input.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char conninfo[] = "host=/nonexistent";
	static char *conninfos[] = {conninfo};
	Input input = {data, size};
	uint8_t flags = take_byte(&input);
	Input captured = take_bytes(&input, (size_t) take_byte(&input) * 16);
	int fd;

	begin_program();
	memset(reported, 0, sizeof(reported));
	sessions_ended = 0;
	replay.settings = (ReplaySettings){.compare = flags & 7 ? (flags & 7) % 6 : 5,
	                                   .speed = 1,
	                                   .connect_attempts = 2,
	                                   .connect_delay_us = 1000000,
	                                   .exchange_timeout_us = 1000000,
	                                   .rolls_back = flags & 8};
	replay.conninfos = conninfos;
	replay.target_types = target_types;
	replay.captured_types = captured_types;
	replay.next_session = 1;
	make_plan(flags & 16 ? input : captured, flags & 8);
	judge_begin(&replay);
	open_session();
	fd = replay.sessions->fd;
	run_queue();
	while (input.len > 0 && replay.sessions)
	{
		give_piece(replay.sessions, take_bytes(&input, take_byte(&input)));
		run_queue();
	}
	REQUIRE(replay.budget.used <= MEMORY_MOST);
	if (replay.sessions)
		player_end(replay.sessions, "the input has ended");
	run_queue();
	close(fd);
	close(peer);
	REQUIRE(sessions_ended == 1);
	exchange_pool_free(&replay.pool);
	text_pool_free(&replay.texts);
	buffer_free(&replay.budget, &replay.backlog);
	REQUIRE(replay.budget.used == 0);
	return 0;
}
