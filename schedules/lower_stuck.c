#include "schedules/lower_machine_private.h"

/* Where rank R stands still, and whom it waits for (-1 if that never comes), as text. */
static int
describe_wait (const PwLowering *l, int r, GString *text) {
  char waiting[PW_ACTION_TEXT_MAX], awaited[PW_ACTION_TEXT_MAX];
  const PwLowerRank *rank = &l->ranks[r];
  const PwAction *action = rank->next;
  uint8_t **need = pw__lower_awaited_need (l, action);
  if (need == NULL && action->paired && action + 1 < rank->end)
    need = pw__lower_awaited_need (l, ++action);
  int stage = (int)((*need - l->done) / l->stride);
  PwAction other = pw_action (action->kind, stage, action->microbatch);
  int peer = pw_placement_rank (l->schedule->placement, action->direction, stage);
  g_string_append_printf (text, "rank %d, action %" G_GINT64_FORMAT ": %s waits for rank %d's %s",
                          r, (int64_t)(action - l->schedule->programs[r].actions),
                          pw_action_format (*action, waiting), peer,
                          pw_action_format (other, awaited));
  return l->ranks[peer].next == l->ranks[peer].end ? -1 : peer;
}

static void
note_stuck (PwLowering *l, int r) {
  l->stuck_rank = r;
  l->stuck_action = l->ranks[r].next - l->schedule->programs[r].actions;
}

/* Follows the waits from rank R until they close; reports the cycle alone. */
static void
report_stuck (PwLowering *l, int r, GError **error) {
  g_autofree gboolean *visited = g_new0 (gboolean, (gsize)l->schedule->ranks);
  g_autoptr (GString) text = g_string_new (NULL);
  int last = r;
  while (r >= 0 && !visited[r]) {
    visited[r] = TRUE;
    last = r;
    g_string_truncate (text, 0);
    r = describe_wait (l, r, text);
  }
  if (r < 0) {
    note_stuck (l, last);
    g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_MISSING, "%s, which is not there",
                 text->str);
    return;
  }
  int first = r;
  note_stuck (l, r);
  g_string_truncate (text, 0);
  do {
    if (text->len > 0)
      g_string_append (text, "; ");
    r = describe_wait (l, r, text);
  } while (r != first);
  g_set_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_DEADLOCK, "%s", text->str);
}

gboolean
pw__lower_check_finished (PwLowering *l, GError **error) {
  for (int rank = 0; rank < l->schedule->ranks; rank++)
    if (l->ranks[rank].next < l->ranks[rank].end) {
      report_stuck (l, rank, error);
      return FALSE;
    }
  return TRUE;
}
