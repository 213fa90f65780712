#include "schedules/slots_private.h"

#define EMPTY PW_ACTION_N

static void
clear (PwSlots *slots) {
  for (int64_t i = 0; i < slots->n; i++)
    slots->actions[i] = pw_action (EMPTY, 0, 0);
}

PwSlots *
pw__slots_new (int64_t n) {
  PwSlots *slots = g_new (PwSlots, 1);
  *slots = (PwSlots){ .actions = g_new (PwAction, (gsize)n), .n = n };
  clear (slots);
  return slots;
}

void
pw__slots_free (PwSlots *slots) {
  if (slots == NULL)
    return;
  g_free (slots->actions);
  g_free (slots);
}

void
pw__slots_put (PwSlots *slots, int64_t slot, PwAction action) {
  g_assert (slot >= 0 && slot < slots->n && slots->actions[slot].kind == EMPTY);
  slots->actions[slot] = action;
}

int64_t
pw__slots_take (PwSlots *slots, PwAction *out) {
  int64_t taken = 0;
  for (int64_t i = 0; i < slots->n; i++)
    if (slots->actions[i].kind != EMPTY)
      out[taken++] = slots->actions[i];
  clear (slots);
  return taken;
}
