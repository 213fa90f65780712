/* Runs the lists without times: whatever can happen happens. An order of events does not matter
 * here, since nothing that can happen ever stops being possible; so a stack of runnable ranks will
 * do, and each action is touched once. */
#include "schedules/deadlock_private.h"
#include "schedules/schedule_private.h"

static int
new_queue (PwRun *run, int rank) {
  run->rank_of_queue[run->n_queues] = rank;
  return run->n_queues++;
}

/* The queue of RANK towards PEER; KNOWN maps the pair to the queue. */
static int
peer_queue (PwRun *run, GHashTable *known, int rank, int peer) {
  gint64 key = (gint64)rank * run->schedule->ranks + peer;
  gpointer found;
  if (g_hash_table_lookup_extended (known, &key, NULL, &found))
    return GPOINTER_TO_INT (found);
  int queue = new_queue (run, rank);
  g_hash_table_insert (known, g_memdup2 (&key, sizeof key), GINT_TO_POINTER (queue));
  return queue;
}

static void
make_queues (PwRun *run) {
  const PwPlacement *placement = run->schedule->placement;
  int rows = run->crossings->n_rows, ends = 2 * placement->directions * rows;
  run->queue_of_end = g_new (int, (gsize)ends);
  run->rank_of_queue = g_new (int, (gsize)(run->schedule->ranks + ends));
  g_autoptr (GHashTable) peers = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  for (int rank = 0; rank < run->schedule->ranks; rank++)
    new_queue (run, rank);
  for (int direction = 0; direction < placement->directions; direction++)
    for (int e = 0; e < run->edges->n_edges; e++) {
      const PwStageEdge *edge = &run->edges->edges[e];
      if (run->crossings->row_of_edge[e] < 0)
        continue;
      for (int side = 0; side < 4; side++) {
        int gradient = side / 2, receives = side % 2;
        gboolean at_producer = gradient == receives;
        int rank = pw_placement_rank (placement, direction,
                                      at_producer ? edge->producer : edge->consumer);
        int peer = pw_placement_rank (placement, direction,
                                      at_producer ? edge->consumer : edge->producer);
        int *queue
            = &run->queue_of_end[2 * (direction * rows + run->crossings->row_of_edge[e]) + side];
        switch (run->policy->queue) {
        case PW_QUEUE_NONE:
        case PW_QUEUE_RANK:
          *queue = rank;
          break;
        case PW_QUEUE_PEER:
          *queue = peer_queue (run, peers, rank, peer);
          break;
        case PW_QUEUE_EDGE:
          *queue = new_queue (run, rank);
          break;
        }
      }
    }
}

static gboolean
any_grouped (const PwSchedule *schedule) {
  for (int rank = 0; rank < schedule->ranks; rank++) {
    const PwProgram *program = &schedule->programs[rank];
    for (int64_t i = 0; i < program->n_prologue; i++)
      if (program->actions[i].grouped)
        return TRUE;
  }
  return FALSE;
}

/* `grouped` chains a message to the next action if that is a message too. */
static void
find_leaders (PwRun *run) {
  uint32_t total = run->base[run->schedule->ranks];
  run->leader = g_new (uint32_t, (gsize)total);
  run->pending = g_new0 (uint32_t, (gsize)total);
  for (int rank = 0; rank < run->schedule->ranks; rank++) {
    gboolean chained = FALSE;
    for (uint32_t x = run->base[rank]; x < run->base[rank + 1]; x++) {
      PwAction action = pw__run_action (run, rank, x);
      gboolean message = pw__action_is_message (action);
      run->leader[x] = chained && message ? run->leader[x - 1] : x;
      run->pending[run->leader[x]] += message ? 1 : 0;
      chained = message && action.grouped;
    }
  }
}

static void
fill_queues (PwRun *run) {
  run->next = g_new (uint32_t, (gsize)run->base[run->schedule->ranks]);
  run->head = g_new (uint32_t, (gsize)run->n_queues);
  run->activating = g_new (int, (gsize)run->n_queues);
  g_autofree uint32_t *tail = g_new (uint32_t, (gsize)run->n_queues);
  for (int queue = 0; queue < run->n_queues; queue++)
    run->head[queue] = tail[queue] = PW__NONE;
  for (int rank = 0; rank < run->schedule->ranks; rank++)
    for (uint32_t x = run->base[rank]; x < run->base[rank + 1]; x++) {
      PwAction action = pw__run_action (run, rank, x);
      if (!pw__action_is_message (action))
        continue;
      int queue = pw__run_queue (run, action);
      if (tail[queue] == PW__NONE)
        run->head[queue] = x;
      else
        run->next[tail[queue]] = x;
      run->next[x] = PW__NONE;
      tail[queue] = x;
    }
}

static void
make_runnable (PwRun *run, int rank) {
  run->runnable[run->n_runnable++] = rank;
}

/* The data of MESSAGE are at RANK. */
static void
deliver (PwRun *run, int64_t message, int rank) {
  run->posted[message] = PW__NONE;
  if (run->waits_message[rank] == message) {
    run->waits_message[rank] = -1;
    make_runnable (run, rank);
  }
}

static void
advance_queue (PwRun *run, int rank, int queue, uint32_t leader) {
  uint32_t x = run->head[queue];
  if (x == PW__NONE || pw__run_leader (run, x) != leader)
    return;
  while (x != PW__NONE && pw__run_leader (run, x) == leader)
    x = run->next[x];
  run->head[queue] = x;
  if (x != PW__NONE && x < run->at[rank])
    run->activating[run->n_activating++] = queue;
}

/* RANK's end X of a message is through; with the last of its entry the queues move on. */
static void
transferred (PwRun *run, int rank, uint32_t x) {
  uint32_t leader = pw__run_leader (run, x);
  if (run->leader != NULL && --run->pending[leader] > 0)
    return;
  if (run->waits_entry[rank] == leader) {
    run->waits_entry[rank] = PW__NONE;
    make_runnable (run, rank);
  }
  uint32_t end = run->base[rank + 1];
  for (uint32_t y = leader; y < end && pw__run_leader (run, y) == leader; y++)
    advance_queue (run, rank, pw__run_queue (run, pw__run_action (run, rank, y)), leader);
}

/* RANK's end X is issued and at the head of its queue. */
static void
activate (PwRun *run, int rank, uint32_t x) {
  PwAction action = pw__run_action (run, rank, x);
  int64_t message = pw__run_message (run, action);
  if (run->posted[message] == 0) {
    run->posted[message] = x + 1;
    return;
  }
  uint32_t other = run->posted[message] - 1;
  int peer = pw__run_peer (run, action);
  deliver (run, message, pw__action_is_send (action) ? peer : rank);
  transferred (run, rank, x);
  transferred (run, peer, other);
}

static void
activate_heads (PwRun *run) {
  while (run->n_activating > 0) {
    int queue = run->activating[--run->n_activating], rank = run->rank_of_queue[queue];
    uint32_t x = run->head[queue], leader = pw__run_leader (run, x);
    while (x != PW__NONE && pw__run_leader (run, x) == leader) {
      uint32_t following = run->next[x];
      activate (run, rank, x);
      x = following;
    }
  }
}

/* The program of RANK has come to the entry FIRST .. LAST. */
static void
issue (PwRun *run, int rank, uint32_t first, uint32_t last) {
  run->at[rank] = last + 1;
  for (uint32_t x = first; x <= last; x++) {
    PwAction action = pw__run_action (run, rank, x);
    if (!run->policy->needs_receiver) {
      if (pw__action_is_send (action))
        deliver (run, pw__run_message (run, action), pw__run_peer (run, action));
      continue;
    }
    uint32_t head = run->head[pw__run_queue (run, action)];
    if (head != PW__NONE && pw__run_leader (run, head) == first)
      activate (run, rank, x);
  }
  activate_heads (run);
}

static gboolean
is_done (const PwRun *run, int rank, uint32_t leader) {
  if (run->leader != NULL)
    return run->pending[leader] == 0;
  return run->posted[pw__run_message (run, pw__run_action (run, rank, leader))] == PW__NONE;
}

/* The message that ACTION still needs; -1: none. */
static int64_t
missing_input (const PwRun *run, PwAction action) {
  gboolean forward = action.kind == PW_ACTION_FORWARD;
  if (!forward && !pw__action_is_backward (action))
    return -1;
  const PwPorts *ports = forward ? &run->crossings->producers : &run->crossings->consumers;
  int place = (int)action.direction * run->schedule->stages + (int)action.stage;
  for (int k = ports->start[place]; k < ports->start[place + 1]; k++) {
    int64_t message = (ports->ports[k].row + !forward) * run->slots + action.microbatch;
    if (run->posted[message] != PW__NONE)
      return message;
  }
  return -1;
}

/* Goes on with RANK's program as far as it goes. */
static void
advance_program (PwRun *run, int rank) {
  uint32_t end = run->base[rank + 1];
  while (run->at[rank] < end) {
    uint32_t first = run->at[rank];
    PwAction action = pw__run_action (run, rank, first);
    if (!pw__action_is_message (action)) {
      int64_t message = missing_input (run, action);
      if (message >= 0) {
        run->waits_message[rank] = message;
        return;
      }
      run->at[rank]++;
      continue;
    }
    uint32_t last = first;
    if (run->leader != NULL)
      while (last + 1 < end && run->leader[last + 1] == first)
        last++;
    issue (run, rank, first, last);
    if (run->policy->blocks_program && !is_done (run, rank, first)) {
      run->waits_entry[rank] = first;
      return;
    }
  }
}

static void
init_ranks (PwRun *run) {
  int ranks = run->schedule->ranks;
  run->at = g_new (uint32_t, (gsize)ranks);
  run->waits_entry = g_new (uint32_t, (gsize)ranks);
  run->waits_message = g_new (int64_t, (gsize)ranks);
  run->runnable = g_new (int, (gsize)ranks);
  for (int rank = ranks - 1; rank >= 0; rank--) {
    run->at[rank] = run->base[rank];
    run->waits_entry[rank] = PW__NONE;
    run->waits_message[rank] = -1;
    make_runnable (run, rank);
  }
}

static void
clear (PwRun *run) {
  g_free (run->base);
  g_free (run->next);
  g_free (run->leader);
  g_free (run->pending);
  g_free (run->queue_of_end);
  g_free (run->rank_of_queue);
  g_free (run->head);
  g_free (run->activating);
  g_free (run->posted);
  g_free (run->at);
  g_free (run->waits_entry);
  g_free (run->waits_message);
  g_free (run->runnable);
}

void
pw__check_deadlock (const PwSchedule *schedule, const PwStageEdges *edges,
                    const PwCrossings *crossings, PwPolicy policy, PwCheckLog *log) {
  PwRun run = { .schedule = schedule,
                .edges = edges,
                .crossings = crossings,
                .policy = &pw_policies[policy],
                .slots = pw__schedule_slots (schedule),
                .base = g_new0 (uint32_t, (gsize)(schedule->ranks + 1)) };
  for (int rank = 0; rank < schedule->ranks; rank++) {
    g_assert (schedule->programs[rank].n_prologue < PW__NONE - 1 - run.base[rank]);
    run.base[rank + 1] = run.base[rank] + (uint32_t)schedule->programs[rank].n_prologue;
  }
  run.posted = g_new0 (uint32_t, (gsize)(crossings->n_rows * run.slots + 1));
  if (run.policy->needs_receiver) {
    make_queues (&run);
    if (any_grouped (schedule))
      find_leaders (&run);
    fill_queues (&run);
  }
  init_ranks (&run);
  while (run.n_runnable > 0)
    advance_program (&run, run.runnable[--run.n_runnable]);
  for (int rank = 0; rank < schedule->ranks; rank++)
    if (run.at[rank] < run.base[rank + 1] || run.waits_entry[rank] != PW__NONE) {
      pw__deadlock_report (&run, rank, log);
      break;
    }
  clear (&run);
}
