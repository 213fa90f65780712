/* Orders as words: what the search works on.
 *
 * Micro-batches are alike, so a rank's list is a word of letters, each a kind (F, I, W) and a
 * chunk; the n-th of a letter belongs to micro-batch n.
 *
 *   two ranks, one chunk, M = 2          two chunks on one rank, M = 1
 *   F F I W I W                          F0 F1 I1 I0 W1 W0
 *   . F I F I W W
 *
 * A direction is how one looks at the problem: forwards, or from the end of time backwards, where
 * W comes first, needs memory, and F gives it back. What packs actions to the left in one direction
 * packs them to the right in the other. */
#pragma once
#include "sim/planner/search.h"

typedef enum { PW_KIND_FORWARD, PW_KIND_INPUT, PW_KIND_WEIGHT, PW_KIND_N } PwKind;
#define PW_CHUNKS_MAX 2
#define PW_LETTERS_MAX (PW_CHUNKS_MAX * PW_KIND_N)

/* A letter of one rank, in one direction. A row is all micro-batches of one kind and stage. */
typedef struct {
  double duration;
  double memory;      /* taken at its start if above 0, else given back at its end */
  double delay;       /* of the message from `sender` */
  gboolean is_queued; /* the message takes longer than what makes it, so messages wait for each
                         other: an edge carries one at a time */
  int row;
  int sender; /* row that has to end `delay` before; -1: none */
  int local;  /* row of the same rank that has to end before; -1: none */
} PwOrderStep;

typedef struct {
  PwOrderStep *steps; /* [ranks][letters] */
  double *release;    /* [ranks] when a rank may start */
  double *earliest;   /* [rows] when the first micro-batch could start, if it never waited */
} PwOrderDirection;

typedef struct {
  int ranks, microbatches, chunks, stages;
  int letters; /* PW_KIND_N * chunks; a letter is kind * chunks + chunk */
  int length;  /* of a rank's word */
  int rows;
  double *duration[PW_KIND_N]; /* [stages] */
  double *link;                /* [stages]: between stage s and s + 1, 0 inside a rank */
  double *held, *kept;         /* [stages] */
  double *limit;               /* [ranks], with room for rounding */
  double *due;                 /* [ranks]: the objective is the latest end behind its due time */
  double tolerance;            /* times that differ by less are equal */
  PwOrderDirection forwards, backwards;
} PwOrderProblem;

void pw__order_problem_init (PwOrderProblem *problem, const PwSearchInput *input);
void pw__order_problem_clear (PwOrderProblem *problem);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PwOrderProblem, pw__order_problem_clear)

static inline int
pw__order_rank (const PwOrderProblem *problem, int stage) {
  return stage < problem->ranks ? stage : 2 * problem->ranks - 1 - stage;
}
static inline int
pw__order_stage (const PwOrderProblem *problem, int rank, int letter) {
  return letter % problem->chunks == 0 ? rank : 2 * problem->ranks - 1 - rank;
}
static inline gsize
pw__order_size (const PwOrderProblem *problem) {
  return (gsize)problem->ranks * (gsize)problem->length;
}

/* The words as the other direction reads them. */
void pw__order_reverse (const PwOrderProblem *problem, uint8_t *words);

/* What insert.c has placed on a rank, in the order of time. */
typedef struct {
  double *start, *end;
  double *usage; /* memory behind each action */
  uint8_t *word;
  int n;
  int first_gap; /* no gap before this action is long enough for anything */
  double release, limit, shortest;
} PwOrderRank;

/* Room for one evaluation after another. */
typedef struct {
  double *end;        /* [rows][microbatches], of the last evaluation */
  int *count;         /* [rows] */
  int *position;      /* [ranks] */
  double *clock;      /* [ranks] */
  double *arrival;    /* [rows] of the last message used; kept where messages wait for each other */
  PwOrderRank *ranks; /* [ranks] */
  uint8_t *words[2];  /* [ranks][length] */
  int64_t visits;     /* actions placed so far: the effort spent */
} PwOrderScratch;
/* When the next message for STEP is there, made at SENT. */
static inline double
pw__order_arrival (const PwOrderStep *step, double sent, const PwOrderScratch *scratch) {
  double start = step->is_queued ? MAX (sent, scratch->arrival[step->row]) : sent;
  return start + step->delay;
}
void pw__order_scratch_init (PwOrderScratch *scratch, const PwOrderProblem *problem);
void pw__order_scratch_clear (PwOrderScratch *scratch, const PwOrderProblem *problem);

/* evaluate.c: every action as early as WORDS and the messages allow. The objective's value;
 * INFINITY if the ranks wait for each other for ever. */
double pw__order_evaluate (const PwOrderProblem *problem, const uint8_t *words,
                           PwOrderScratch *scratch);
/* One rank's word has each letter after those it needs, and keeps the limit. */
gboolean pw__order_word_fits (const PwOrderProblem *problem, int rank, const uint8_t *word);

/* insert.c: packs a schedule to one side and then to the other until nothing moves, at most ROUNDS
 * times; never longer than before. Returns the value of WORDS as they are left. */
double pw__order_justify (const PwOrderProblem *problem, uint8_t *words, int rounds,
                          PwOrderScratch *scratch);
