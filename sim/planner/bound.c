/* A proven lower bound on every order, from what a single rank must be idle for.
 *
 * Between two events of one micro-batch on a rank lies at least the time of its way through the
 * other stages and back. In that window the rank can only do what its memory allows:
 *
 *   micro-batch 0:    F0 |<-- to the last stage and back -->| I0     at most limit/held F
 *   one in between:   Fm |<-------------------------------->| Im     k F, and I and W of the k - 1
 *                                                                    under way when it begins
 *   the last one:     F  |<---->| I, and the way to stage 0 |        what is under way
 *
 * The rest of each window is idle. Windows that cannot overlap add up: micro-batch m + k starts
 * after m has come back where memory holds k. For micro-batch 0 on rank 0 this is the necessary
 * bubble (P-1)(I+2L) + (P-k)F of limit k.
 *
 * The rate bound: a micro-batch takes memory for at least its way there and back, and the limit
 * times the rank's span is all there is. */
#include "sim/planner/bound_private.h"

#include <math.h>

/* What one micro-batch does on a rank in the order of its way: F I, or F0 F1 I1 I0. */
#define EVENTS_MAX 4
typedef struct {
  int n;
  double start[EVENTS_MAX]; /* after the start of event 0, if it never waits */
  double duration[EVENTS_MAX];
  double weight[EVENTS_MAX]; /* time of the W that the event makes possible; 0 of F */
  double memory[EVENTS_MAX]; /* what it holds before the event, as far as no W can free it */
  double held[EVENTS_MAX], kept[EVENTS_MAX]; /* of the event's stage */
  double head, tail; /* before event 0 may start, after the end of the last */
  double limit, busy;
  int microbatches;
  int in_flight; /* as many F at most before the first of them has come back */
} Way;

/* The n-th stage that a micro-batch visits: down and up again. */
static int
visit (const PwOrderProblem *problem, int n, PwKind *kind) {
  *kind = n < problem->stages ? PW_KIND_FORWARD : PW_KIND_INPUT;
  return n < problem->stages ? n : 2 * problem->stages - 1 - n;
}

static double
visit_time (const PwOrderProblem *problem, int n) {
  PwKind kind;
  int stage = visit (problem, n, &kind);
  double link = 0;
  if (n + 1 < problem->stages)
    link = problem->link[stage];
  else if (n >= problem->stages && stage > 0)
    link = problem->link[stage - 1];
  return problem->duration[kind][stage] + link;
}

/* After the last I of RANK: the way to stage 0, each rank's own W behind its I. */
static double
find_tail (const PwOrderProblem *problem, int rank) {
  const double *input = problem->duration[PW_KIND_INPUT],
               *weight = problem->duration[PW_KIND_WEIGHT];
  double tail = weight[rank], way = 0;
  if (problem->due[problem->ranks - 1] > 0)
    return tail;
  for (int s = rank - 1; s >= 0; s--) {
    way += problem->link[s] + input[s];
    tail = MAX (tail, way + weight[s]);
  }
  return tail;
}

static void
find_way (const PwOrderProblem *problem, int rank, Way *way) {
  *way = (Way){ .limit = problem->limit[rank], .microbatches = problem->microbatches };
  double time = 0, memory = 0;
  for (int n = 0; n < 2 * problem->stages; n++) {
    PwKind kind;
    int stage = visit (problem, n, &kind);
    if (pw__order_rank (problem, stage) == rank) {
      int e = way->n++;
      if (e == 0) {
        way->head = MAX (time - problem->due[rank], 0);
        time = 0;
      }
      way->start[e] = time;
      way->duration[e] = problem->duration[kind][stage];
      way->memory[e] = memory;
      way->held[e] = problem->held[stage];
      way->kept[e] = problem->kept[stage];
      if (kind == PW_KIND_INPUT)
        way->weight[e] = problem->duration[PW_KIND_WEIGHT][stage];
      way->busy += problem->microbatches * (way->duration[e] + way->weight[e]);
      memory += kind == PW_KIND_FORWARD ? way->held[e] : -way->held[e];
    }
    time += visit_time (problem, n);
  }
  way->tail = find_tail (problem, rank);
  double fitting = way->held[0] > 0 ? floor (way->limit / way->held[0]) : INFINITY;
  way->in_flight = fitting < way->microbatches ? (int)fitting : way->microbatches;
}

/* How many of what takes MEMORY each go into ROOM, at most N. */
static double
count_fitting (double room, double memory, int n) {
  return room >= memory * n ? n : floor (room / memory * (1 + 1e-12));
}

/* Idle time before event E of micro-batch 0. */
static double
first_window (const Way *way, int e) {
  int m = way->microbatches;
  double work;
  if (e == 1 && way->n == 2) {
    work = way->in_flight * way->duration[0];
  } else if (e == 1) {
    work = count_fitting (way->limit - way->held[1], way->held[0], m) * way->duration[0];
  } else if (e == 2) {
    double first = way->held[0] > 0 ? way->duration[0] / way->held[0] : INFINITY;
    double second = way->held[1] > 0 ? way->duration[1] / way->held[1] : INFINITY;
    work = MIN (MAX (first, second) * way->limit, m * (way->duration[0] + way->duration[1]));
  } else {
    work = way->in_flight
           * (way->duration[0] + way->duration[1] + way->duration[2] + way->weight[2]);
  }
  return MAX (0, way->start[e] - work);
}

/* Kinds of things that are under way, for how much time they keep a rank busy and what memory they
 * hold meanwhile. */
typedef struct {
  double time, memory;
} Pending;

static int
compare_pending (gconstpointer a, gconstpointer b) {
  const Pending *x = a, *y = b;
  double left = x->time * y->memory, right = y->time * x->memory;
  return (left < right) - (left > right);
}

/* The most time that things within ROOM can take, at most N of each kind, parts counted. */
static double
fill (Pending *pending, int n_pending, double room, int n) {
  qsort (pending, (gsize)n_pending, sizeof *pending, compare_pending);
  double time = 0;
  for (int i = 0; i < n_pending; i++) {
    double taken = pending[i].memory * n;
    if (taken <= room) {
      time += pending[i].time * n;
      room -= taken;
    } else {
      return time + pending[i].time * room / pending[i].memory;
    }
  }
  return time;
}

/* One chunk: A micro-batches wait for I and W, the rest of ROOM for W alone; whole ones. */
static double
fill_straight (const Way *way, double room, gboolean has_inputs) {
  double input = way->duration[1] + way->weight[1], best = 0;
  int n = way->microbatches - 1;
  int most = has_inputs ? (int)count_fitting (room, way->held[0], n) : 0;
  for (int a = 0; a <= most; a++) {
    double alone = count_fitting (room - a * way->held[0], way->kept[1], n - a);
    best = MAX (best, a * input + alone * way->weight[1]);
  }
  return best;
}

/* Idle time from the start of event E of the last micro-batch on. */
static double
last_window (const Way *way, int e) {
  int last = way->n - 1;
  double length = way->start[last] - way->start[e] + way->duration[last] + way->tail;
  double from[EVENTS_MAX + 1] = { 0 };
  for (int i = last; i >= 0; i--)
    from[i] = from[i + 1] + way->duration[i] + way->weight[i];
  double own = from[e]; /* and W of what it has done before */
  for (int i = way->n / 2; i < e; i++)
    own += way->weight[i];
  gboolean is_forward = e < way->n / 2;
  double room = way->limit - way->memory[e] - (is_forward ? way->held[e] : 0);
  if (way->n == 2)
    return MAX (0, length - own - fill_straight (way, room, e == 0));
  Pending pending[2 * EVENTS_MAX];
  int n = 0;
  for (int i = e + 1; i <= last; i++)
    pending[n++] = (Pending){ from[i], way->memory[i] };
  for (int i = way->n / 2; i <= last; i++)
    pending[n++] = (Pending){ way->weight[i], way->kept[i] };
  return MAX (0, length - own - fill (pending, n, room, way->microbatches - 1));
}

/* Idle time between F and I of any micro-batch, one chunk. */
static double
middle_window (const Way *way) {
  double work
      = way->in_flight * way->duration[0] + fill_straight (way, way->limit - way->held[0], TRUE);
  return MAX (0, way->start[1] - work);
}

static double
window_bound (const Way *way) {
  double best = 0;
  for (int first = 1; first < way->n; first++)
    for (int last = 0; last < way->n; last++) {
      double before = first_window (way, first), after = last_window (way, last), middle = 0;
      gboolean is_long = way->microbatches - 1 >= way->in_flight;
      if (is_long && way->n == 2)
        middle = ((way->microbatches - 1) / way->in_flight - 1) * middle_window (way);
      if (first <= last || is_long)
        best = MAX (best, before + after + (last == 0 ? middle : 0));
      else
        best = MAX (best, MAX (before, after));
    }
  return way->head + way->busy + best;
}

static double
rate_bound (const Way *way) {
  double use = 0;
  for (int e = 0; e < way->n / 2; e++) {
    int back = way->n - 1 - e;
    double there_and_back = way->start[back] + way->duration[back] - way->start[e];
    use += way->held[e] * there_and_back + way->kept[back] * way->weight[back];
  }
  return use > 0 ? way->head + way->microbatches * use / way->limit : 0;
}

/* One micro-batch alone, and each rank's work behind the way to it. */
double
pw__order_bound (const PwOrderProblem *problem) {
  double best = 0;
  for (int rank = 0; rank < problem->ranks; rank++) {
    Way way;
    find_way (problem, rank, &way);
    double alone = way.head + way.start[way.n - 1] + way.duration[way.n - 1] + way.tail;
    best = MAX (best, alone);
    best = MAX (best, window_bound (&way));
    best = MAX (best, rate_bound (&way));
  }
  return best;
}
