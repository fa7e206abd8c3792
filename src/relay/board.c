/*
 * board.c
 *	  Slots and texts of the board.
 *
 * Every change of a slot's owners is one atomic step on its state, which also
 * holds the number of the relay: whatever instruction a process is killed at,
 * no slot is left that nobody can be named for, and none is given up for
 * another's.
 *
 *		board_claim_slot		relay: takes a free slot
 *		board_arm_slot			relay: makes its token usable
 *		board_take_slot			backend: uses a token, once
 *		board_release_slot		either: gives up its hold
 *		board_release_relay		supervisor: gives up what a dead relay held
 *		board_void_slots		supervisor: begins anew
 *		board_set_query_id		backend: notes a text's query id
 *		board_query_id			relay: looks it up
 *		board_clear_query_ids	relay: forgets those of a session before
 *		board_find_cancelled	relay: whom a cancel request hits
 *		board_set_error			writes a last_error
 */
#include "relay/board.h"

#include <string.h>

#define OWNERS (SLOT_RELAY | SLOT_ARMED | SLOT_BACKEND)

/*
 * Claims a free slot for a relay.
 */
int
board_claim_slot(Board *board, uint32_t relay_no)
{
	uint32_t claimed = SLOT_RELAY | relay_no << SLOT_RELAY_SHIFT;

	for (uint32_t i = 0; i < board->slot_count; i++)
	{
		BoardSlot *slot = &board->slots[i];
		uint32_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);

		if ((state & OWNERS) == 0 && atomic_compare_exchange_strong(&slot->state, &state, claimed))
			return (int) i;
	}
	return -1;
}

/*
 * Makes a claimed slot's token usable.
 */
void
board_arm_slot(Board *board, int slot_no, const uint8_t token[BOARD_TOKEN])
{
	BoardSlot *slot = &board->slots[slot_no];
	uint64_t halves[2];

	memcpy(halves, token, sizeof(halves));
	atomic_store(&slot->token[0], halves[0]);
	atomic_store(&slot->token[1], halves[1]);
	atomic_store(&slot->generation, atomic_load(&board->generation));
	atomic_fetch_or(&slot->state, SLOT_ARMED);
}

/*
 * Tells whether a slot holds this token, usable in the present generation.
 * Halves are compared without an early end: how long it takes tells nothing.
 */
static bool
has_token(const Board *board, BoardSlot *slot, uint32_t state, const uint64_t halves[2])
{
	uint64_t differs =
	    (atomic_load(&slot->token[0]) ^ halves[0]) | (atomic_load(&slot->token[1]) ^ halves[1]);

	return (state & OWNERS) == (SLOT_RELAY | SLOT_ARMED) && differs == 0 &&
	       atomic_load(&slot->generation) == atomic_load(&board->generation);
}

/*
 * Finds the armed slot with this token and takes it, once.
 */
int
board_take_slot(Board *board, const uint8_t token[BOARD_TOKEN], uint32_t backend_pid)
{
	uint64_t halves[2];

	memcpy(halves, token, sizeof(halves));
	for (uint32_t i = 0; i < board->slot_count; i++)
	{
		BoardSlot *slot = &board->slots[i];
		uint32_t state = atomic_load(&slot->state);
		uint32_t taken = (state & ~SLOT_ARMED) | SLOT_BACKEND;

		if (!has_token(board, slot, state, halves))
			continue;
		if (!atomic_compare_exchange_strong(&slot->state, &state, taken))
			return -1;
		atomic_store(&slot->backend_pid, backend_pid);
		return (int) i;
	}
	return -1;
}

/*
 * Gives up the relay's or the backend's hold on a slot.  A token that was never
 * used dies with the relay's hold.  What the backend wrote stays for the relay to
 * read: the next relay that claims the slot clears it before the token is armed.
 */
void
board_release_slot(Board *board, int slot_no, uint32_t owner_bit)
{
	uint32_t gone = owner_bit == SLOT_RELAY ? SLOT_RELAY | SLOT_ARMED : owner_bit;

	atomic_fetch_and(&board->slots[slot_no].state, ~gone);
}

/*
 * After a relay's death: gives up all its holds, voids its unused tokens.
 */
void
board_release_relay(Board *board, uint32_t relay_no)
{
	for (uint32_t i = 0; i < board->slot_count; i++)
	{
		BoardSlot *slot = &board->slots[i];
		uint32_t state = atomic_load(&slot->state);

		while ((state & SLOT_RELAY) && SLOT_RELAY_NO(state) == relay_no &&
		       !atomic_compare_exchange_strong(&slot->state, &state,
		                                       state & ~(SLOT_RELAY | SLOT_ARMED)))
			;
	}
}

/*
 * Voids every token and every relay's hold, begins a new generation.  After a
 * crash restart no backend lives that could hold a slot; when only the supervisor
 * was restarted they do, and let go as they exit.  Which of the two it is the
 * caller sees by their process ids; a slot without one is held by nobody.
 */
void
board_void_slots(Board *board)
{
	atomic_fetch_add(&board->generation, 1);
	for (uint32_t i = 0; i < board->slot_count; i++)
	{
		BoardSlot *slot = &board->slots[i];

		board_release_slot(board, (int) i, SLOT_RELAY);
		if (atomic_load(&slot->backend_pid) == 0)
			board_release_slot(board, (int) i, SLOT_BACKEND);
	}
}

/*
 * Returns the place of a text in its set; NULL: it has none.
 */
static BoardQueryId *
find_place(BoardQueryIds *ids, uint64_t text_hash)
{
	BoardQueryId *set = ids->places[text_hash % BOARD_QUERY_SETS];

	for (int i = 0; i < BOARD_QUERY_PLACES; i++)
		if (atomic_load(&set[i].text_hash) == text_hash)
			return &set[i];
	return NULL;
}

/*
 * Notes the query id of a text.  The hash goes first and comes back last, so
 * that a reader never takes one text's id for another's.
 */
void
board_set_query_id(BoardSlot *slot, uint64_t text_hash, uint64_t query_id)
{
	BoardQueryIds *ids = &slot->query_ids;
	BoardQueryId *place = find_place(ids, text_hash);

	if (place && atomic_load(&place->query_id) == query_id)
		return;
	if (!place)
	{
		uint32_t set = text_hash % BOARD_QUERY_SETS;

		place = &ids->places[set][atomic_fetch_add(&ids->taken[set], 1) % BOARD_QUERY_PLACES];
	}
	atomic_store(&place->text_hash, 0);
	atomic_store(&place->query_id, query_id);
	atomic_store(&place->text_hash, text_hash);
}

/*
 * Returns the query id of a text.
 */
uint64_t
board_query_id(BoardSlot *slot, uint64_t text_hash)
{
	BoardQueryId *place = find_place(&slot->query_ids, text_hash);
	uint64_t query_id = place ? atomic_load(&place->query_id) : 0;

	return place && atomic_load(&place->text_hash) == text_hash ? query_id : 0;
}

/*
 * Forgets the query ids of the session that had the slot before.
 */
void
board_clear_query_ids(BoardSlot *slot)
{
	for (int set = 0; set < BOARD_QUERY_SETS; set++)
		for (int i = 0; i < BOARD_QUERY_PLACES; i++)
			atomic_store(&slot->query_ids.places[set][i].text_hash, 0);
}

/*
 * Finds whom a cancel request hits.
 */
uint64_t
board_find_cancelled(Board *board, uint64_t cancel_key, int64_t *exchange_no)
{
	for (uint32_t i = 0; cancel_key != 0 && i < board->slot_count; i++)
	{
		BoardSlot *slot = &board->slots[i];
		uint32_t both = SLOT_RELAY | SLOT_BACKEND;

		if ((atomic_load(&slot->state) & both) != both ||
		    atomic_load(&slot->cancel_key) != cancel_key)
			continue;
		*exchange_no = atomic_load(&slot->exchange_no);
		return atomic_load(&slot->session_id);
	}
	*exchange_no = -1;
	return 0;
}

/*
 * Tells whether a replay that runs has this token.
 */
bool
board_knows_replay(Board *board, const uint8_t token[BOARD_TOKEN])
{
	uint64_t words[2];

	memcpy(words, token, sizeof(words));
	for (int i = 0; i < BOARD_MAX_REPLAYS; i++)
	{
		BoardReplay *replay = &board->replays[i];

		if (atomic_load(&replay->run_id) != 0 && words[0] != 0 &&
		    atomic_load(&replay->token[0]) == words[0] &&
		    atomic_load(&replay->token[1]) == words[1])
			return true;
	}
	return false;
}

/*
 * Writes a last_error text, cut to size.  Between characters as far as that can
 * be told: a UTF-8 sequence is not cut in two.
 */
void
board_set_error(char text[BOARD_TEXT], BoardI64 *at, int64_t now, const char *message)
{
	size_t len = strlen(message);

	if (len >= BOARD_TEXT)
	{
		len = BOARD_TEXT - 1;
		while (len > 0 && ((unsigned char) message[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(text, message, len);
	text[len] = 0;
	atomic_store(at, now);
}
