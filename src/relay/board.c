/*
 * board.c
 *	  Slots and texts of the board.
 */
#include "relay/board.h"

#include <string.h>

/*
 * Claims a free slot for a relay.
 */
int
board_claim_slot(Board *board, uint32_t relay_no)
{
	for (uint32_t i = 0; i < board->slot_count; i++)
	{
		BoardSlot *slot = &board->slots[i];
		uint32_t free_state = 0;

		if (atomic_load_explicit(&slot->state, memory_order_relaxed) == 0 &&
			atomic_compare_exchange_strong(&slot->state, &free_state, SLOT_RELAY))
		{
			atomic_store(&slot->relay_no, relay_no);
			atomic_store(&slot->token[0], 0);
			atomic_store(&slot->token[1], 0);
			return (int) i;
		}
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
		uint32_t armed = SLOT_RELAY | SLOT_ARMED;

		if (atomic_load(&slot->state) != armed || atomic_load(&slot->token[0]) != halves[0] ||
			atomic_load(&slot->token[1]) != halves[1] ||
			atomic_load(&slot->generation) != atomic_load(&board->generation))
			continue;
		if (!atomic_compare_exchange_strong(&slot->state, &armed, SLOT_RELAY | SLOT_BACKEND))
			return -1;
		atomic_store(&slot->backend_pid, backend_pid);
		return (int) i;
	}
	return -1;
}

/*
 * Gives up the relay's or the backend's hold on a slot.  A token that was never
 * used dies with the relay's hold.
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
		if (atomic_load(&board->slots[i].relay_no) == relay_no)
			board_release_slot(board, (int) i, SLOT_RELAY);
}

/*
 * Voids every slot, begins a new generation.
 */
void
board_void_slots(Board *board)
{
	atomic_fetch_add(&board->generation, 1);
	for (uint32_t i = 0; i < board->slot_count; i++)
		atomic_store(&board->slots[i].state, 0);
}

/*
 * Writes a last_error text, cut to size.
 */
void
board_set_error(char text[BOARD_TEXT], BoardI64 *at, int64_t now, const char *message)
{
	size_t len = strlen(message);

	if (len >= BOARD_TEXT)
		len = BOARD_TEXT - 1;
	memcpy(text, message, len);
	text[len] = 0;
	atomic_store(at, now);
}
