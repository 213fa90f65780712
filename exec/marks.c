/* When actions begin and end on a device: timestamps in the order of its streams, two for each
 * action, read after the step. A mark is kept until both have been reached; its events are then
 * used again. They are also how the worker knows where its device stands:
 *
 *   host      F0 F1 B0 ... enqueued │ waits, a look at the first mark that was not reached, again
 *   device         F0 ─── F1 ─── ...┘   stands there for the timeout: that action is named
 *
 * A step that became a graph has its marks for good: each launch writes their times anew. */
#include "exec/exec_private.h"

#include <sched.h>

#define SPINS 200 /* before sleeping between looks */
#define SLEEP_US 20
#define KEPT_IN_STREAM 512 /* marks, before a stream of mini-batches looks which are done */

typedef struct {
  PwMarkKind kind;
  gboolean is_enqueued; /* both timestamps were recorded */
  PwAction action;
  int32_t iteration;
  int layer;
  PwPhase phase;
  int64_t bytes;
  PwEvent *begin, *end;
  PwMemoryUse peak, after;
} Mark;

struct PwMarks {
  const PwBackend *backend;
  GArray *marks;  /* Mark */
  uint64_t first; /* number of marks[0] */
  guint n_reached;
  GArray *kept;      /* Mark: of the step that is a graph */
  PwEvent *launched; /* the end of a graph, whose marks these are; NULL: of none */
  double launched_s;
  GPtrArray *unused; /* PwEvent */
  GPtrArray *events; /* all of them */
};

PwMarks *
pw__marks_new (const PwBackend *backend) {
  PwMarks *marks = g_new0 (PwMarks, 1);
  marks->backend = backend;
  marks->marks = g_array_new (FALSE, FALSE, sizeof (Mark));
  marks->kept = g_array_new (FALSE, FALSE, sizeof (Mark));
  marks->unused = g_ptr_array_new ();
  marks->events = g_ptr_array_new ();
  return marks;
}

void
pw__marks_free (PwMarks *marks) {
  if (!marks)
    return;
  for (guint i = 0; i < marks->events->len; i++)
    marks->backend->event_free (g_ptr_array_index (marks->events, i));
  g_array_free (marks->marks, TRUE);
  g_array_free (marks->kept, TRUE);
  g_ptr_array_free (marks->unused, TRUE);
  g_ptr_array_free (marks->events, TRUE);
  g_free (marks);
}

/* ---- Events ---- */

static PwEvent *
take_event (PwMarks *marks, GError **error) {
  guint n = marks->unused->len;
  if (n > 0)
    return g_ptr_array_steal_index_fast (marks->unused, n - 1);
  PwEvent *event = marks->backend->event_new (error);
  if (event)
    g_ptr_array_add (marks->events, event);
  return event;
}

gboolean
pw__marks_record (PwWorker *worker, PwEvent **event, GError **error) {
  *event = take_event (worker->marks, error);
  return *event && worker->marks->backend->event_record (*event, worker->context.stream, error);
}

void
pw__marks_give_event (PwWorker *worker, PwEvent *event) {
  g_ptr_array_add (worker->marks->unused, event);
}

/* ---- Marks ---- */

static Mark *
get (const PwMarks *marks, uint64_t number) {
  return &g_array_index (marks->marks, Mark, (guint)(number - marks->first));
}

/* Takes both events; the caller fills in the rest. */
static Mark *
add (PwMarks *marks, PwMarkKind kind, GError **error) {
  Mark fresh = { .kind = kind };
  fresh.begin = take_event (marks, error);
  fresh.end = fresh.begin ? take_event (marks, error) : NULL;
  if (!fresh.end)
    return NULL;
  g_array_append_val (marks->marks, fresh);
  return &g_array_index (marks->marks, Mark, marks->marks->len - 1);
}

gboolean
pw__mark_begin (PwWorker *worker, PwMarkKind kind, uint64_t *number, GError **error) {
  PwMarks *marks = worker->marks;
  Mark *mark = add (marks, kind, error);
  if (!mark)
    return FALSE;
  *number = marks->first + marks->marks->len - 1;
  return marks->backend->timestamp_record (mark->begin, worker->context.stream, error);
}

static gboolean
record_end (PwWorker *worker, Mark *mark, GError **error) {
  mark->is_enqueued = TRUE;
  return worker->marks->backend->timestamp_record (mark->end, worker->context.stream, error);
}

gboolean
pw__mark_end (PwWorker *worker, uint64_t number, const PwStep *step, int64_t bytes,
              GError **error) {
  Mark *mark = get (worker->marks, number);
  mark->action = step->action;
  mark->iteration = pw__step_iteration (worker, step);
  mark->bytes = bytes;
  if (worker->ring) {
    pw__memory_window (worker->memory, &mark->peak);
    mark->after = *pw__memory_use (worker->memory);
  }
  return record_end (worker, mark, error);
}

gboolean
pw__mark_end_layer (PwWorker *worker, uint64_t number, int layer, PwPhase phase, GError **error) {
  Mark *mark = get (worker->marks, number);
  mark->layer = layer;
  mark->phase = phase;
  return record_end (worker, mark, error);
}

gboolean
pw__mark_message (PwWorker *worker, PwAction action, const PwMicrobatch *microbatch, int64_t bytes,
                  uint64_t *number, GError **error) {
  PwExec *exec = worker->exec;
  PwMarks *marks = worker->marks;
  *number = PW_NO_MARK;
  if (!worker->ring || !exec->transport->stamp)
    return TRUE;
  Mark *mark = add (marks, PW_MARK_MESSAGE, error);
  if (!mark)
    return FALSE;
  mark->action = action;
  mark->iteration = microbatch->iteration;
  mark->bytes = bytes;
  *number = marks->first + marks->marks->len - 1;
  exec->transport->stamp (exec->transport_state, worker->rank, mark->begin, mark->end);
  return TRUE;
}

void
pw__mark_message_done (PwWorker *worker, uint64_t number) {
  if (number != PW_NO_MARK)
    get (worker->marks, number)->is_enqueued = TRUE;
}

/* ---- Of a graph ---- */

static void
give_events (PwMarks *marks, const GArray *of) {
  for (guint i = 0; i < of->len; i++) {
    const Mark *mark = &g_array_index (of, Mark, i);
    g_ptr_array_add (marks->unused, mark->begin);
    g_ptr_array_add (marks->unused, mark->end);
  }
}

/* No other mark gets their events. */
void
pw__marks_keep (PwMarks *marks) {
  g_assert (marks->kept->len == 0 && marks->n_reached == 0);
  GArray *kept = marks->marks;
  marks->marks = marks->kept;
  marks->kept = kept;
  marks->first += kept->len;
}

void
pw__marks_drop_kept (PwMarks *marks) {
  give_events (marks, marks->kept);
  g_array_set_size (marks->kept, 0);
}

void
pw__marks_abandon (PwMarks *marks) {
  give_events (marks, marks->marks);
  marks->first += marks->marks->len;
  g_array_set_size (marks->marks, 0);
}

gboolean
pw__marks_launch (PwWorker *worker, GError **error) {
  PwMarks *marks = worker->marks;
  g_assert (marks->marks->len == 0);
  marks->launched_s = pw__now_s ();
  g_array_append_vals (marks->marks, marks->kept->data, marks->kept->len);
  for (guint i = 0; i < marks->marks->len; i++)
    g_array_index (marks->marks, Mark, i).iteration = worker->exec->run.iteration;
  return pw__marks_record (worker, &marks->launched, error);
}

/* ---- Reading ---- */

static void
note_compute (PwWorker *worker, const Mark *mark, double start, double end) {
  worker->figures.busy_time += end - start;
  if (worker->first_start == 0 || start < worker->first_start)
    worker->first_start = start;
  worker->last_end = MAX (worker->last_end, end);
  if (!worker->ring)
    return;
  pw__trace_ring_add_memory (worker->ring, mark->iteration, start, &mark->peak);
  pw__trace_ring_add_memory (worker->ring, mark->iteration, end, &mark->after);
}

static gboolean
read_mark (PwWorker *worker, const Mark *mark, GError **error) {
  const PwBackend *backend = worker->marks->backend;
  double start, end;
  if (!backend->timestamp_read (mark->begin, &start, error)
      || !backend->timestamp_read (mark->end, &end, error))
    return FALSE;
  if (mark->kind == PW_MARK_LAYER || mark->kind == PW_MARK_LAYER_UPDATE) {
    const PwLayerTimer *timer = worker->timer;
    if (timer && mark->kind == PW_MARK_LAYER)
      timer->add (timer->data, mark->layer, mark->phase, end - start);
    else if (timer)
      timer->add_update (timer->data, mark->layer, end - start);
    return TRUE;
  }
  if (mark->kind == PW_MARK_COMPUTE)
    note_compute (worker, mark, start, end);
  PwTraceRecord record = { .action = mark->action,
                           .rank = worker->rank,
                           .iteration = mark->iteration,
                           .bytes = mark->bytes,
                           .start = start,
                           .end = end };
  if (worker->ring)
    pw__trace_ring_add (worker->ring, &record);
  return TRUE;
}

/* The first marks, which have been reached. */
static gboolean
read_reached (PwWorker *worker, GError **error) {
  PwMarks *marks = worker->marks;
  gboolean good = TRUE;
  for (guint i = 0; i < marks->n_reached; i++) {
    Mark *mark = &g_array_index (marks->marks, Mark, i);
    good = good && read_mark (worker, mark, error);
    if (!marks->launched) {
      g_ptr_array_add (marks->unused, mark->begin);
      g_ptr_array_add (marks->unused, mark->end);
    }
  }
  if (marks->n_reached > 0)
    g_array_remove_range (marks->marks, 0, marks->n_reached);
  marks->first += marks->n_reached;
  marks->n_reached = 0;
  return good;
}

/* Of a graph's marks the last waits for the end of it all. The others have the times of the launch
 * before until their turn comes, or none yet; which are there tells how far it has come. */
static gboolean
look_at_graph (PwMarks *marks, GError **error) {
  gboolean is_over = FALSE;
  if (!marks->backend->event_test (marks->launched, &is_over, error))
    return FALSE;
  for (; marks->n_reached + (is_over ? 0 : 1) < marks->marks->len; marks->n_reached++) {
    const Mark *mark = &g_array_index (marks->marks, Mark, marks->n_reached);
    gboolean is_reached = is_over;
    double end;
    if (!is_over && !marks->backend->event_test (mark->end, &is_reached, error))
      return FALSE;
    if (!is_over
        && !(is_reached && marks->backend->timestamp_read (mark->end, &end, NULL)
             && end >= marks->launched_s))
      break;
  }
  return TRUE;
}

/* Goes past the marks that have been reached; stops at one that is not recorded yet. */
static gboolean
look (PwMarks *marks, GError **error) {
  if (marks->launched)
    return look_at_graph (marks, error);
  for (; marks->n_reached < marks->marks->len; marks->n_reached++) {
    const Mark *mark = &g_array_index (marks->marks, Mark, marks->n_reached);
    gboolean is_reached = TRUE;
    if (!mark->is_enqueued)
      return TRUE;
    if (marks->backend->event_test && !marks->backend->event_test (mark->end, &is_reached, error))
      return FALSE;
    if (!is_reached)
      return TRUE;
  }
  return TRUE;
}

gboolean
pw__marks_collect (PwWorker *worker, GError **error) {
  return look (worker->marks, error) && read_reached (worker, error);
}

gboolean
pw__marks_collect_many (PwWorker *worker, GError **error) {
  return worker->marks->marks->len < KEPT_IN_STREAM || pw__marks_collect (worker, error);
}

/* ---- Waiting ---- */

static gboolean
set_late_error (PwWorker *worker, GError **error) {
  const PwMarks *marks = worker->marks;
  const Mark *mark = &g_array_index (marks->marks, Mark, marks->n_reached);
  char text[PW_ACTION_TEXT_MAX];
  g_autoptr (GError) where = NULL;
  PwExec *exec = worker->exec;
  if (exec->transport->check)
    exec->transport->check (exec->transport_state, worker->rank, TRUE, &where);
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_TIMEOUT,
               "rank %d, %s: its device has not come to the end of it within %g s%s%s",
               worker->rank, pw_action_format (mark->action, text), exec->options.timeout_s,
               where ? ": " : "", where ? where->message : "");
  return FALSE;
}

static gboolean
is_stopped (const PwWorker *worker, GError **error) {
  if (!atomic_load_explicit (&worker->exec->is_stopping, memory_order_relaxed))
    return FALSE;
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_INTERRUPTED,
               "rank %d was stopped while its device was at work", worker->rank);
  return TRUE;
}

/* Messages of this rank still move on, and errors of other ranks are met. */
static gboolean
wait_until_reached (PwWorker *worker, GError **error) {
  PwExec *exec = worker->exec;
  PwMarks *marks = worker->marks;
  double timeout_s = exec->options.timeout_s;
  double since = pw__now_s ();
  for (unsigned looks = 0;; looks++) {
    guint before = marks->n_reached;
    if (!look (marks, error))
      return FALSE;
    if (marks->n_reached == marks->marks->len)
      return TRUE;
    if (marks->n_reached > before)
      since = pw__now_s ();
    if (is_stopped (worker, error))
      return FALSE;
    exec->transport->progress (exec->transport_state, worker->rank);
    if (exec->transport->check
        && !exec->transport->check (exec->transport_state, worker->rank, FALSE, error))
      return FALSE;
    if (timeout_s > 0 && pw__now_s () - since > timeout_s)
      return set_late_error (worker, error);
    if (looks < SPINS)
      sched_yield ();
    else
      g_usleep (SLEEP_US);
  }
}

gboolean
pw__marks_finish (PwWorker *worker, GError **error) {
  PwMarks *marks = worker->marks;
  const PwExec *exec = worker->exec;
  if (marks->backend->event_test && !wait_until_reached (worker, error))
    return FALSE;
  /* A transfer that was aborted has ended, too. */
  if (exec->transport->check
      && !exec->transport->check (exec->transport_state, worker->rank, FALSE, error))
    return FALSE;
  if (!marks->backend->stream_synchronize (worker->context.stream, error)) {
    g_prefix_error (error, "rank %d: ", worker->rank);
    return FALSE;
  }
  marks->n_reached = marks->marks->len;
  gboolean good = read_reached (worker, error);
  if (marks->launched)
    pw__marks_give_event (worker, g_steal_pointer (&marks->launched));
  return good;
}
