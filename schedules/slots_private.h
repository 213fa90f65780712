/* Lists that a paper gives as slots of time: a rank's actions are put at their slots and read off
 * in order. Slots that stay empty vanish. */
#pragma once
#include "schedules/schedule.h"

typedef struct {
  PwAction *actions;
  int64_t n;
} PwSlots;

PwSlots *pw__slots_new (int64_t n);
void pw__slots_free (PwSlots *slots);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSlots, pw__slots_free)
/* Two actions never share a slot. */
void pw__slots_put (PwSlots *slots, int64_t slot, PwAction action);
/* Writes the actions to OUT and empties all slots; returns how many there were. */
int64_t pw__slots_take (PwSlots *slots, PwAction *out);
