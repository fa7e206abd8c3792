/*
 * replay_lost.c
 *	  A connection that is lost, at every byte: of what the target says, and of what it
 *	  hears.
 *
 * Each session of a run loses its first connection behind another byte, so one run has
 * them all: in the login, in the question whether the target agrees, in a prelude, in
 * simple queries, in a transaction, in COPY both ways, in a pipeline, in a transaction
 * of the replay's own.  The target is a model of a server, which also makes the plan's
 * answers, so whatever differs is the network process's fault.  Which byte is said by
 * the database that a session asks for: k0017 is cut when 17 bytes were sent to it,
 * r0017 when 17 were received; K and R stay away then.
 */
#include <sys/mman.h>
#include <sys/un.h>

#include "replay_harness.h"

#define STEPS 10
#define TRANSACTION_FIRST 1
#define TRANSACTION_LAST 3
#define BATCH_FIRST 6
#define BATCH_LAST 8
#define LAST_CUT 700 /* nothing sent or received is longer */
#define MAX_CUT (LAST_CUT + 1)

/* ---- a model of a server ---- */

typedef struct Model
{
	bool logged_in;
	char status; /* of the transaction */
	uint8_t out[512];
	size_t out_len;
} Model;

/*
 * Appends to the answer.
 */
static void
say(Model *model, const void *data, size_t len)
{
	memcpy(model->out + model->out_len, data, len);
	model->out_len += len;
}

#define SAY(model, literal) say(model, literal, sizeof(literal) - 1)

/*
 * Says that the model is ready, with a command tag before that.
 */
static void
say_done(Model *model, const char *tag)
{
	uint8_t complete[] = {'C', 0, 0, 0, 0};
	uint8_t ready[] = {'Z', 0, 0, 0, 5, 0};

	if (tag)
	{
		complete[4] = (uint8_t) (strlen(tag) + 5);
		say(model, complete, sizeof(complete));
		say(model, tag, strlen(tag) + 1);
	}
	ready[5] = (uint8_t) model->status;
	say(model, ready, sizeof(ready));
}

/*
 * Answers a query.
 */
static void
answer_query(Model *model, const char *text)
{
	if (strncmp(text, "SELECT pg_catalog.current_setting", 33) == 0)
	{
		SAY(model, "T\0\0\0\x2e\0\2a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
		           "s\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
		           "D\0\0\0\x11\0\2\0\0\0\2on\0\0\0\1"
		           "1");
		say_done(model, "SELECT 1");
	}
	else if (strcmp(text, "copy in") == 0)
		SAY(model, "G\0\0\0\7\0\0\0");
	else if (strcmp(text, "copy out") == 0)
	{
		SAY(model, "H\0\0\0\7\0\0\0d\0\0\0\6x\nd\0\0\0\6y\nc\0\0\0\4");
		say_done(model, "COPY 2");
	}
	else if (strcmp(text, "select") == 0)
	{
		SAY(model, "T\0\0\0\x1a\0\1a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
		           "D\0\0\0\x0b\0\1\0\0\0\1x");
		say_done(model, "SELECT 1");
	}
	else
	{
		model->status = strcmp(text, "BEGIN") == 0 ? 'T'
		                : strcmp(text, "ROLLBACK") == 0 || strcmp(text, "COMMIT") == 0
		                    ? 'I'
		                    : model->status;
		say_done(model, text);
	}
}

/*
 * Answers a message.  Returns false when the client says that it goes.
 */
static bool
answer(Model *model, uint8_t type, const uint8_t *body)
{
	switch (type)
	{
		case 0:
			model->logged_in = true;
			SAY(model, "R\0\0\0\10\0\0\0\0");
			say_done(model, NULL);
			break;
		case 'Q':
			answer_query(model, (const char *) body);
			break;
		case 'c':
			say_done(model, "COPY 1");
			break;
		case 'P':
			SAY(model, "1\0\0\0\4");
			break;
		case 'B':
			SAY(model, "2\0\0\0\4");
			break;
		case 'E':
			SAY(model, "D\0\0\0\x0b\0\1\0\0\0\1x"
			           "C\0\0\0\x0dSELECT 1\0");
			break;
		case 'S':
			say_done(model, NULL);
			break;
		default:
			break;
	}
	return type != 'X';
}

/*
 * Answers what is whole of an input.  Returns how much of it that was; *goes: the client
 * says that it does.
 */
static size_t
answer_all(Model *model, const uint8_t *input, size_t len, bool *goes)
{
	size_t at = 0;

	for (;;)
	{
		size_t header = model->logged_in ? 5 : 4;
		size_t size;

		if (len - at < header)
			return at;
		size = length_at(input + at + header - 4) + header - 4;
		if (len - at < size)
			return at;
		if (!answer(model, model->logged_in ? input[at] : 0, input + at + header))
			*goes = true;
		at += size;
	}
}

/* ---- the target ---- */

typedef struct Peer
{
	Model model;
	uint8_t input[2048];
	size_t len;
	size_t received;
	size_t sent;
	size_t cut; /* SIZE_MAX: never */
	bool cuts_received;
} Peer;

static bool *was_cut; /* k, then r */

/*
 * Finds what is to become of a connection: the first of each database is cut.
 */
static void
find_cut(Peer *peer)
{
	const uint8_t *name = memmem(peer->input, peer->len, "database", 9);
	size_t cut = name ? (size_t) atoi((const char *) name + 10) : 0;
	bool *mark;

	peer->cut = SIZE_MAX;
	peer->cuts_received = name && (name[9] | ' ') == 'r';
	mark = &was_cut[cut + (peer->cuts_received ? MAX_CUT : 0)];
	if (cut > 0 && !*mark)
	{
		*mark = true;
		peer->cut = cut;
	}
	else if (name && !(name[9] & ' ')) /* an upper case letter */
		peer->cut = 1;
}

/*
 * Serves what a client has sent.  False: the connection is closed now.
 */
static bool
serve_peer(Peer *peer, int fd)
{
	ssize_t got = read(fd, peer->input + peer->len, sizeof(peer->input) - peer->len);
	bool goes = false;
	size_t used;

	if (got <= 0)
		return false;
	peer->len += (size_t) got;
	if (peer->received == 0)
		find_cut(peer);
	peer->received += (size_t) got;
	if (peer->cuts_received && peer->received >= peer->cut)
	{
		peer->len -= peer->received - peer->cut;
		goes = true;
	}
	peer->model.out_len = 0;
	used = answer_all(&peer->model, peer->input, peer->len, &goes);
	peer->len -= used;
	memmove(peer->input, peer->input + used, peer->len);
	if (!peer->cuts_received && peer->sent + peer->model.out_len >= peer->cut)
	{
		peer->model.out_len = peer->cut - peer->sent;
		goes = true;
	}
	peer->sent += peer->model.out_len;
	if (write(fd, peer->model.out, peer->model.out_len) < 0)
		return false;
	return !goes;
}

/*
 * Runs the target until it is killed.
 */
static void
run_model(int listener)
{
	static Peer peers[MAX_CLIENTS];
	static struct pollfd fds[MAX_CLIENTS + 1];
	int count = 0;

	fds[0] = (struct pollfd){listener, POLLIN, 0};
	for (;;)
	{
		poll(fds, (nfds_t) count + 1, 1000);
		if (getppid() == 1)
			_exit(0);
		for (int i = count; i > 0; i--)
		{
			if (!fds[i].revents || serve_peer(&peers[i - 1], fds[i].fd))
				continue;
			close(fds[i].fd);
			fds[i] = fds[count];
			peers[i - 1] = peers[--count];
		}
		if ((fds[0].revents & POLLIN) && count < MAX_CLIENTS)
		{
			int fd = accept(listener, NULL, NULL);

			if (fd < 0)
				continue;
			memset(&peers[count], 0, sizeof(Peer));
			peers[count].model.status = 'I';
			fds[++count] = (struct pollfd){fd, POLLIN, 0};
		}
	}
}

/*
 * Starts the target on a Unix socket.
 */
static pid_t
start_model(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	pid_t pid;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.5432", directory);
	if (bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
	    listen(listener, MAX_CLIENTS) != 0)
	{
		perror("bind");
		exit(1);
	}
	pid = fork();
	if (pid == 0)
	{
		signal(SIGPIPE, SIG_IGN);
		run_model(listener);
	}
	close(listener);
	return pid;
}

/* ---- the plan ---- */

#define PIPELINED \
	"P\0\0\0\x0e\0select\0\0\0B\0\0\0\x0c\0\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\4"
#define REQUEST(literal)             \
	{                                \
		literal, sizeof(literal) - 1 \
	}

typedef struct Request
{
	const char *bytes;
	size_t len;
} Request;

static const Request requests[STEPS] = {
    REQUEST("Q\0\0\0\x0bselect\0"),
    REQUEST("Q\0\0\0\x0a"
            "BEGIN\0"),
    REQUEST("Q\0\0\0\x0bselect\0"),
    REQUEST("Q\0\0\0\x0b"
            "COMMIT\0"),
    REQUEST("Q\0\0\0\x0c"
            "copy in\0d\0\0\0\6x\nc\0\0\0\4"),
    REQUEST("Q\0\0\0\x0d"
            "copy out\0"),
    REQUEST(PIPELINED),
    REQUEST(PIPELINED),
    REQUEST(PIPELINED),
    REQUEST("Q\0\0\0\x0bselect\0"),
};
static const Request rolled_back = REQUEST("Q\0\0\0\x0dROLLBACK\0");
static const Request prelude = REQUEST("Q\0\0\0\x0aset x\0");

/* What a run does. */
typedef struct Variant
{
	const char *name;
	char side; /* k, r, K, R */
	bool reconnects;
	bool rolls_back;
	bool has_prelude;
	bool asks;
	uint32_t ordering;
	uint32_t children;
} Variant;

/*
 * Writes the exchanges of a session.
 */
static bool
write_exchanges(PlanWriter *writer, const Variant *variant, int session)
{
	Model model = {.logged_in = true, .status = 'I'};
	bool good = true;

	for (int i = 0; i < STEPS && good; i++)
	{
		Request request = i == 3 && variant->rolls_back ? rolled_back : requests[i];
		bool goes = false;
		PlanExchange exchange = {.exchange_no = i + 1,
		                         .started_us = (int64_t) (i * MAX_CUT + session) * 10,
		                         .is_complete = true,
		                         .statement_count = 1,
		                         .cancel_us = -1};

		exchange.finished_us = exchange.started_us + 15;
		exchange.turn_us = session % 2 ? exchange.finished_us : exchange.started_us;
		exchange.after = i >= BATCH_FIRST && i <= BATCH_LAST ? BATCH_FIRST - 1 : i - 1;
		exchange.is_wrapped =
		    variant->rolls_back && (i < TRANSACTION_FIRST || i > TRANSACTION_LAST);
		model.out_len = 0;
		answer_all(&model, (const uint8_t *) request.bytes, request.len, &goes);
		exchange.transaction_status = model.status;
		exchange.request_len = (uint32_t) request.len;
		exchange.response_len = (uint32_t) model.out_len;
		good = plan_add_bytes(writer, request.bytes, request.len, &exchange.request_at) &&
		       plan_add_bytes(writer, model.out, model.out_len, &exchange.response_at) &&
		       plan_add_exchange(writer, &exchange);
	}
	return good;
}

/*
 * Writes a plan of equal sessions.
 */
static void
write_sessions(const char *path, const Variant *variant, int sessions)
{
	PlanWriter writer;
	bool good = plan_create(&writer, path);

	for (int i = 0; good && i < sessions; i++)
	{
		PlanSession session = {.session_id = i + 1,
		                       .first = writer.exchange_count,
		                       .count = STEPS,
		                       .conninfo = (uint32_t) i};

		if (variant->has_prelude)
		{
			session.prelude_len = (uint32_t) prelude.len;
			good = plan_add_bytes(&writer, prelude.bytes, prelude.len, &session.prelude_at);
		}
		good = good && write_exchanges(&writer, variant, i) && plan_add_session(&writer, &session);
	}
	check(plan_finish(&writer) && good, "the plan is written");
}

/* ---- the tests ---- */

/*
 * Tells whether what was said of a session is right.
 */
static bool
is_right(const Variant *variant, const HeardSession *heard)
{
	int unanswered = heard->sent - heard->answered;
	bool was_lost = heard->end.state == LINK_SESSION_LOST;

	if (heard->others > 0 || heard->is_twice || heard->end.state == LINK_SESSION_RUNNING ||
	    heard->sent != (int) heard->end.sent || heard->sent + (int) heard->end.left != STEPS)
		return false;
	/* what was in flight is lost, the first of it, or what was next, is the root */
	if (heard->roots > 1 || heard->lost < unanswered || heard->lost > unanswered + 1 ||
	    (heard->lost > 0) != (heard->roots > 0) || unanswered > BATCH_LAST - BATCH_FIRST + 1)
		return false;
	if (!variant->reconnects || !(variant->side & ' '))
		return was_lost == (heard->answered < STEPS) && heard->roots == was_lost;
	/* all but a transaction goes on, unless nothing is left */
	if (was_lost)
		return heard->end.left == 0 && heard->roots == 1;
	return (int) heard->end.left <= TRANSACTION_LAST - TRANSACTION_FIRST &&
	       (heard->roots == 0 || strstr(heard->reason, "made again, 1 times"));
}

/*
 * Loses connections at every byte, or so many apart.
 */
static void
run(const Variant *variant, int step)
{
	int sessions = LAST_CUT / step;
	static HeardSession heard[MAX_CUT];
	static char conninfos[MAX_CUT][160];
	static const char *pointers[MAX_CUT];
	ReplaySettings settings = make_settings("lost", variant->ordering);
	Heard all;
	int wrong = 0;
	int lost = 0;
	char text[1024] = "";

	settings.reconnects = variant->reconnects;
	settings.rolls_back = variant->rolls_back;
	settings.asks_permission = variant->asks;
	settings.connect_attempts = 3;
	settings.connect_delay_us = 1000;
	settings.child_count = variant->children;
	memset(heard, 0, sizeof(heard));
	memset(was_cut, 0, 2 * MAX_CUT * sizeof(bool));
	for (int i = 0; i < sessions; i++)
	{
		snprintf(conninfos[i], sizeof(conninfos[i]),
		         "host=%s port=5432 user=u dbname=%c%04d sslmode=disable", directory, variant->side,
		         i * step + 1);
		pointers[i] = conninfos[i];
	}
	write_sessions(settings.plan_path, variant, sessions);
	by_session = heard;
	all = run_child_with(&settings, pointers, (uint32_t) sessions, false);
	by_session = NULL;
	for (int i = 0; i < sessions; i++)
	{
		const HeardSession *one = &heard[i];

		lost += one->roots;
		if (is_right(variant, one) || wrong++ > 0)
			continue;
		snprintf(text, sizeof(text),
		         "first at byte %d: state %d, sent %d, answered %d, left %u, lost %d, roots %d,"
		         " others %d, twice %d, %s",
		         i * step + 1, one->end.state, one->sent, one->answered, one->end.left, one->lost,
		         one->roots, one->others, one->is_twice, one->reason);
	}
	snprintf(text + strlen(text), sizeof(text) - strlen(text),
	         " (%s: %d sessions, %d lost, %d wrong, done %d, %llu let go)", variant->name, sessions,
	         lost, wrong, all.is_done, (unsigned long long) all.order_timeouts);
	check(all.is_done && wrong == 0 && all.order_timeouts == 0, text);
}

/*
 * Runs the tests.
 */
int
main(void)
{
	static const Variant variants[] = {
	    {.name = "sent", .side = 'k', .asks = true, .has_prelude = true},
	    {.name = "received", .side = 'r', .asks = true, .has_prelude = true},
	    {.name = "sent, reconnect", .side = 'k', .reconnects = true, .has_prelude = true},
	    {.name = "received, reconnect", .side = 'r', .reconnects = true, .has_prelude = true},
	    {.name = "sent, stays away", .side = 'K', .reconnects = true, .has_prelude = true},
	    {.name = "received, stays away", .side = 'R', .reconnects = true, .asks = true},
	    {.name = "sent, rollback", .side = 'k', .rolls_back = true},
	    {.name = "sent, rollback, reconnect", .side = 'k', .rolls_back = true, .reconnects = true},
	    {.name = "received, rollback, reconnect",
	     .side = 'r',
	     .rolls_back = true,
	     .reconnects = true},
	    {.name = "sent, commit", .side = 'k', .ordering = ORDERING_COMMIT},
	    {.name = "sent, commit, reconnect",
	     .side = 'k',
	     .reconnects = true,
	     .ordering = ORDERING_COMMIT},
	    {.name = "sent, commit, reconnect, two children",
	     .side = 'k',
	     .reconnects = true,
	     .ordering = ORDERING_COMMIT,
	     .children = 2},
	    {.name = "received, arrival", .side = 'r', .ordering = ORDERING_ARRIVAL},
	    {.name = "sent, arrival, reconnect",
	     .side = 'k',
	     .reconnects = true,
	     .ordering = ORDERING_ARRIVAL}};
	char path[128];
	pid_t target;

	was_cut = mmap(NULL, 2 * MAX_CUT * sizeof(bool), PROT_READ | PROT_WRITE,
	               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(directory, sizeof(directory), "/tmp/replay_lost.%d", (int) getpid());
	mkdir(directory, 0700);
	target = start_model();
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++)
	{
		Variant variant = variants[i];

		variant.children += variant.children == 0;
		/* with an order across sessions they wait for one another: every third byte will do */
		run(&variant, variant.ordering == ORDERING_NONE ? 1 : 3);
	}
	kill(target, SIGKILL);
	waitpid(target, NULL, 0);
	snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", directory);
	unlink(path);
	rmdir(directory);
	return finish();
}
