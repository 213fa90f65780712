/* From a rank that stands still, who waits for whom until it closes. Everything blocked waits for
 * something blocked, so the walk always ends in a cycle. Nothing here is fast: it runs once. */
#include "schedules/deadlock_private.h"

typedef struct {
  int rank;
  uint32_t number;
} Node;

/* The end of MESSAGE that RANK's program holds. */
static Node
find_end (const PwRun *run, int rank, int64_t message) {
  for (uint32_t x = run->base[rank]; x < run->base[rank + 1]; x++) {
    PwAction action = pw__run_action (run, rank, x);
    if (pw__action_is_message (action) && pw__run_message (run, action) == message)
      return (Node){ rank, x };
  }
  g_assert_not_reached ();
}

/* What keeps the entry of LEADER from being done. */
static Node
unfinished_member (const PwRun *run, int rank, uint32_t leader) {
  for (uint32_t x = leader; x < run->base[rank + 1] && pw__run_leader (run, x) == leader; x++)
    if (run->posted[pw__run_message (run, pw__run_action (run, rank, x))] != PW__NONE)
      return (Node){ rank, x };
  g_assert_not_reached ();
}

static Node
blocker_of_message (const PwRun *run, Node node, const char **why) {
  PwAction action = pw__run_action (run, node.rank, node.number);
  if (node.number >= run->at[node.rank]) {
    *why = "is not reached before";
    if (run->waits_entry[node.rank] != PW__NONE)
      return unfinished_member (run, node.rank, run->waits_entry[node.rank]);
    return (Node){ node.rank, run->at[node.rank] };
  }
  if (run->policy->needs_receiver) {
    uint32_t head = run->head[pw__run_queue (run, action)];
    if (pw__run_leader (run, head) != pw__run_leader (run, node.number)) {
      *why = "stands in the queue behind";
      return unfinished_member (run, node.rank, pw__run_leader (run, head));
    }
  }
  *why = "waits for";
  return find_end (run, pw__run_peer (run, action), pw__run_message (run, action));
}

static Node
blocker (const PwRun *run, Node node, const char **why) {
  if (pw__action_is_message (pw__run_action (run, node.rank, node.number)))
    return blocker_of_message (run, node, why);
  *why = "waits for";
  return find_end (run, node.rank, run->waits_message[node.rank]);
}

static void
describe (const PwRun *run, Node node, GString *text) {
  char name[PW_ACTION_TEXT_MAX];
  g_string_append_printf (text, "%s (rank %d, action %u)",
                          pw_action_format (pw__run_action (run, node.rank, node.number), name),
                          node.rank, node.number - run->base[node.rank]);
}

static int
find_node (const GArray *nodes, Node node) {
  for (guint i = 0; i < nodes->len; i++) {
    const Node *other = &g_array_index (nodes, Node, i);
    if (other->rank == node.rank && other->number == node.number)
      return (int)i;
  }
  return -1;
}

void
pw__deadlock_report (const PwRun *run, int rank, PwCheckLog *log) {
  g_autoptr (GArray) path = g_array_new (FALSE, FALSE, sizeof (Node));
  const char *why;
  Node node = { rank, run->at[rank] };
  if (run->waits_entry[rank] != PW__NONE)
    node = unfinished_member (run, rank, run->waits_entry[rank]);
  while (find_node (path, node) < 0) {
    g_array_append_val (path, node);
    node = blocker (run, node, &why);
  }
  g_array_remove_range (path, 0, (guint)find_node (path, node));

  g_autoptr (GString) text = g_string_new (NULL);
  for (guint i = 0; i < path->len; i++) {
    Node waiting = g_array_index (path, Node, i);
    Node awaited = blocker (run, waiting, &why);
    if (i > 0)
      g_string_append (text, "; ");
    describe (run, waiting, text);
    g_string_append_printf (text, " %s ", why);
    describe (run, awaited, text);
  }
  pw__check_log_add (log, PW_SCHEDULE_ERROR_DEADLOCK, node.rank, node.number - run->base[node.rank],
                     "%s: %s", run->policy->name, text->str);
}
