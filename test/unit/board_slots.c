/*
 * board_slots.c
 *	  The board's slots: a token opens one slot once, whoever dies when; and
 *	  several processes' worth of threads never share one.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "relay/board.h"

#define SLOTS 16
#define THREADS 8
#define ROUNDS 20000
#define RACES 20000

/*
 * Makes a board of our own.
 */
static Board *
make_board(uint32_t slots)
{
	Board *board = calloc(1, BOARD_SIZE(slots));

	if (!board)
		abort();
	board->slot_count = slots;
	return board;
}

/*
 * Makes the token with this number.
 */
static void
make_token(uint8_t token[BOARD_TOKEN], uint64_t number)
{
	memset(token, 0x5a, BOARD_TOKEN);
	memcpy(token + 4, &number, sizeof(number));
}

/*
 * Counts slots that somebody holds.
 */
static int
held(const Board *board)
{
	int count = 0;

	for (uint32_t i = 0; i < board->slot_count; i++)
		count += (board->slots[i].state & (SLOT_RELAY | SLOT_ARMED | SLOT_BACKEND)) != 0;
	return count;
}

/*
 * A token is good for one backend, once, and only while it is armed.
 */
static void
test_token_is_used_once(void)
{
	Board *board = make_board(SLOTS);
	uint8_t token[BOARD_TOKEN];
	uint8_t other[BOARD_TOKEN];
	int slot = board_claim_slot(board, 0);

	make_token(token, 1);
	make_token(other, 2);
	CHECK(board_take_slot(board, token, 100) == -1); /* not armed */
	board_arm_slot(board, slot, token);
	CHECK(board_take_slot(board, other, 100) == -1);
	CHECK(board_take_slot(board, token, 100) == slot);
	CHECK(board->slots[slot].backend_pid == 100);
	CHECK(board_take_slot(board, token, 101) == -1); /* used */
	board_release_slot(board, slot, SLOT_RELAY);
	CHECK(held(board) == 1);
	CHECK(board_take_slot(board, token, 101) == -1);
	board_release_slot(board, slot, SLOT_BACKEND);
	CHECK(held(board) == 0);
	free(board);
}

/*
 * All zeros is no token: slots that were never armed must not match it.
 */
static void
test_zero_token(void)
{
	Board *board = make_board(SLOTS);
	uint8_t zero[BOARD_TOKEN] = {0};

	CHECK(board_take_slot(board, zero, 100) == -1);
	CHECK(board_claim_slot(board, 3) == 0);
	CHECK(board_take_slot(board, zero, 100) == -1);
	free(board);
}

/*
 * A token dies with the relay's hold.
 */
static void
test_release_before_use(void)
{
	Board *board = make_board(SLOTS);
	uint8_t token[BOARD_TOKEN];
	int slot = board_claim_slot(board, 2);

	make_token(token, 7);
	board_arm_slot(board, slot, token);
	board_release_slot(board, slot, SLOT_RELAY);
	CHECK(held(board) == 0);
	CHECK(board_take_slot(board, token, 100) == -1);
	/* the next session in this slot has not armed it: the old token is still there */
	CHECK(board_claim_slot(board, 2) == slot);
	CHECK(board_take_slot(board, token, 100) == -1);
	free(board);
}

/*
 * A relay's death frees its slots but those that a backend holds, and no others.
 */
static void
test_relay_death(void)
{
	Board *board = make_board(SLOTS);
	uint8_t token[BOARD_TOKEN];
	uint8_t unused[BOARD_TOKEN];
	uint8_t others[BOARD_TOKEN];
	int taken = board_claim_slot(board, 5);
	int armed = board_claim_slot(board, 5);
	int other = board_claim_slot(board, 0);

	CHECK(board_claim_slot(board, 5) >= 0); /* claimed only */
	make_token(token, 1);
	make_token(unused, 2);
	make_token(others, 3);
	board_arm_slot(board, taken, token);
	board_arm_slot(board, armed, unused);
	board_arm_slot(board, other, others);
	CHECK(board_take_slot(board, token, 100) == taken);
	board_release_relay(board, 5);
	CHECK(held(board) == 2);
	CHECK(board_take_slot(board, unused, 101) == -1);
	CHECK(board_take_slot(board, others, 102) == other);
	CHECK(board->slots[taken].state & SLOT_BACKEND);
	board_release_slot(board, taken, SLOT_BACKEND);
	CHECK(held(board) == 1);
	/* a slot of relay 5 that relay 0 has by now is not given up for 5 */
	CHECK(board_claim_slot(board, 0) == taken);
	board_release_relay(board, 5);
	CHECK(held(board) == 2);
	free(board);
}

/*
 * A new supervisor voids tokens of before, but not the hold of a backend that
 * lives.
 */
static void
test_new_generation(void)
{
	Board *board = make_board(SLOTS);
	uint8_t token[BOARD_TOKEN];
	uint8_t used[BOARD_TOKEN];
	int slot = board_claim_slot(board, 1);
	int busy = board_claim_slot(board, 1);

	make_token(token, 1);
	make_token(used, 2);
	board_arm_slot(board, slot, token);
	board_arm_slot(board, busy, used);
	CHECK(board_take_slot(board, used, 100) == busy);
	/* killed between taking a slot and saying who it is */
	board->slots[5].state = SLOT_BACKEND;
	board_void_slots(board);
	CHECK(board->generation == 1);
	CHECK(held(board) == 1);
	CHECK(board->slots[busy].state & SLOT_BACKEND);
	CHECK(board_take_slot(board, token, 101) == -1);
	/* armed in the generation before, by a relay that was slow to die */
	slot = board_claim_slot(board, 1);
	board_arm_slot(board, slot, token);
	board->slots[slot].generation = 0;
	CHECK(board_take_slot(board, token, 101) == -1);
	free(board);
}

/*
 * A full board gives no slot, and gives one again as soon as one is free.
 */
static void
test_full(void)
{
	Board *board = make_board(2);

	CHECK(board_claim_slot(board, 0) == 0);
	CHECK(board_claim_slot(board, 63) == 1);
	CHECK(board_claim_slot(board, 0) == -1);
	board_release_slot(board, 1, SLOT_RELAY);
	CHECK(board_claim_slot(board, 0) == 1);
	free(board);
}

/*
 * A last_error is cut to size, between characters, and always ended.
 */
static void
test_error_text(void)
{
	Board *board = make_board(1);
	BoardRelay *relay = &board->relays[0];
	char text[2 * BOARD_TEXT];

	board_set_error(relay->last_error, &relay->last_error_at, 42, "short");
	CHECK(strcmp(relay->last_error, "short") == 0 && relay->last_error_at == 42);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	board_set_error(relay->last_error, &relay->last_error_at, 43, text);
	CHECK(strlen(relay->last_error) == BOARD_TEXT - 1);
	memcpy(text + BOARD_TEXT - 2, "\xc3\xa4", 2);
	board_set_error(relay->last_error, &relay->last_error_at, 44, text);
	CHECK(strlen(relay->last_error) == BOARD_TEXT - 2);
	free(board);
}

static Board *shared;
static _Atomic int holders[SLOTS];
static _Atomic int collisions;

/*
 * Plays relay and backend in turn: at any moment a slot is one player's.
 */
static void *
play(void *arg)
{
	uint32_t me = (uint32_t) (uintptr_t) arg;

	for (uint64_t round = 0; round < ROUNDS; round++)
	{
		uint8_t token[BOARD_TOKEN];
		int slot = board_claim_slot(shared, me);

		if (slot < 0)
			continue;
		if (atomic_fetch_add(&holders[slot], 1) != 0)
			collisions++;
		make_token(token, round * THREADS + me);
		board_arm_slot(shared, slot, token);
		if (board_take_slot(shared, token, me + 1) != slot ||
		    board_take_slot(shared, token, me + 1) != -1)
			collisions++;
		atomic_fetch_sub(&holders[slot], 1);
		/* half of the time the relay dies instead */
		if (round % 2)
			board_release_relay(shared, me);
		else
			board_release_slot(shared, slot, SLOT_RELAY);
		board_release_slot(shared, slot, SLOT_BACKEND);
	}
	return NULL;
}

/*
 * Several relays at the same slots at the same time.
 */
static void
test_at_the_same_time(void)
{
	pthread_t threads[THREADS];

	shared = make_board(SLOTS);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, play, (void *) (uintptr_t) i) != 0)
			abort();
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK(collisions == 0);
	CHECK(held(shared) == 0);
	free(shared);
}

static _Atomic uint64_t called; /* round of the race that is on, from 1 */
static _Atomic uint64_t done;   /* races that the second backend has run */
static _Atomic int winners;

/*
 * Shows a race's token, some moments after the call for it.
 */
static void
grab(uint64_t round, int moments)
{
	uint8_t token[BOARD_TOKEN];

	make_token(token, round);
	for (volatile int i = 0; i < moments; i++)
		;
	if (board_take_slot(shared, token, 1) >= 0)
		winners++;
}

/*
 * Plays the second of two backends that show the same token.
 */
static void *
play_second(void *arg)
{
	(void) arg;
	for (uint64_t round = 1; round <= RACES; round++)
	{
		for (int i = 1; atomic_load(&called) < round; i++)
			if (i % 1000 == 0)
				sched_yield(); /* there may be but one processor */
		grab(round, 0);
		atomic_store(&done, round);
	}
	return NULL;
}

/*
 * Two backends with one token at the same moment, or nearly so: one of them has it.
 */
static void
test_race_for_a_token(void)
{
	pthread_t second;

	shared = make_board(SLOTS);
	if (pthread_create(&second, NULL, play_second, NULL) != 0)
		abort();
	for (uint64_t round = 1; round <= RACES; round++)
	{
		uint8_t token[BOARD_TOKEN];
		int slot = board_claim_slot(shared, 1);

		make_token(token, round);
		board_arm_slot(shared, slot, token);
		atomic_store(&called, round);
		grab(round, (int) (round % 200));
		while (atomic_load(&done) < round)
			sched_yield();
		board_release_relay(shared, 1);
		board_release_slot(shared, slot, SLOT_BACKEND);
	}
	pthread_join(second, NULL);
	CHECK(winners == RACES);
	CHECK(held(shared) == 0);
	free(shared);
}

int
main(void)
{
	test_token_is_used_once();
	test_zero_token();
	test_release_before_use();
	test_relay_death();
	test_new_generation();
	test_full();
	test_error_text();
	test_at_the_same_time();
	test_race_for_a_token();
	return finish();
}
