/* A Schedule: for each rank the ordered list of what it does. Two levels with one structure: the
 * compute schedule (F, B, I, W, ...) that generators make and papers draw, and the lowered one
 * (schedules/lower.h), which has every message and is what simulator and executor run. */
#pragma once
#include "schedules/action.h"
#include "schedules/params.h"
#include "schedules/placement.h"
#include "schedules/policy.h"

#define PW_SCHEDULE_ERROR (pw_schedule_error_quark ())
GQuark pw_schedule_error_quark (void);
/* The strings of `schedule check`'s "code", plus what generators refuse. */
typedef enum {
  PW_SCHEDULE_ERROR_MISSING,
  PW_SCHEDULE_ERROR_DUPLICATE,
  PW_SCHEDULE_ERROR_DEPENDENCY,
  PW_SCHEDULE_ERROR_DEADLOCK,
  PW_SCHEDULE_ERROR_PLACEMENT,
  PW_SCHEDULE_ERROR_MEMORY,
  PW_SCHEDULE_ERROR_SYNTAX,
  PW_SCHEDULE_ERROR_PARAMETER, /* a generator's refusal */
  PW_SCHEDULE_ERROR_UNKNOWN,   /* no such schedule */
  PW_SCHEDULE_ERROR_N
} PwScheduleError;
extern const char *const pw_schedule_error_codes[PW_SCHEDULE_ERROR_N + 1];

/* A rank's program: prologue once, body `repeats` times with micro-batch numbers growing by `shift`
 * each time, epilogue once (its numbers grow by repeats * shift... they are stored final). A plain
 * list is all prologue. */
typedef struct {
  PwAction *actions; /* prologue, body, epilogue, one after another */
  int64_t n_prologue, n_body, n_epilogue;
  int64_t repeats; /* of the body; 0 where there is no body */
  int shift;
} PwProgram;

typedef enum { PW_MODE_TRAINING, PW_MODE_INFERENCE } PwMode;
typedef enum {
  PW_ACCUMULATION_ASCENDING,
  PW_ACCUMULATION_DESCENDING,
  PW_ACCUMULATION_OTHER
} PwAccumulation;

/* Which of an asynchronous schedule's weights a forward uses; its backward uses the same. */
typedef enum {
  PW_VERSIONS_NEWEST,  /* PipeDream: of as many updates as stand before it in its rank's list */
  PW_VERSIONS_PREVIOUS /* 2BW: of micro-batches between the same two updates all the same, on every
                          rank, one update late: batch b (from 0) that of max(0, b-1) updates */
} PwVersionRule;

/* What the order guarantees about the numbers it computes. */
typedef struct {
  gboolean synchronous;        /* equal to sequential training of the mini-batch */
  int weight_versions;         /* kept at most; 1 where synchronous */
  PwVersionRule version_rule;  /* where not synchronous */
  PwAccumulation accumulation; /* order of weight-gradient sums per stage and direction */
} PwPromise;

typedef struct {
  char *name; /* "1f1b", or the file's name */
  int ranks, stages;
  int chunks;       /* stages per rank and direction */
  int microbatches; /* of one iteration */
  int pieces;       /* equal sequence pieces per micro-batch, 1 unless seq1f1b */
  PwMode mode;
  PwPromise promise;
  PwPlacement *placement;
  uint8_t *direction;  /* [microbatches], NULL: all 0; the generator chooses */
  PwProgram *programs; /* [ranks] */
  PwAction *arena;     /* holds the lists made by pw_schedule_new_lists; NULL: none */
  int64_t arena_length;
  /* Lowered level only. */
  gboolean is_lowered;
  PwPolicy policy;
  gboolean batched;
} PwSchedule;

/* Programs start empty; PLACEMENT is taken over. */
PwSchedule *pw_schedule_new (const char *name, PwPlacement *placement, int microbatches);
void pw_schedule_free (PwSchedule *schedule);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSchedule, pw_schedule_free)

/* Gives each rank a plain list of LENGTHS[rank] entries to be written, all in one allocation that
 * SCHEDULE owns. The way for anything large; a rank may use less and lower `n_prologue` after. */
void pw_schedule_new_lists (PwSchedule *schedule, const int64_t *lengths);
/* Takes ACTIONS (g_malloc'ed) as RANK's plain list. */
void pw_schedule_take_list (PwSchedule *schedule, int rank, PwAction *actions, int64_t n);
int64_t pw_program_length (const PwProgram *program); /* with the body repeated */
PwSchedule *pw_schedule_copy (const PwSchedule *schedule);
/* Plain lists of ITERATIONS * microbatches micro-batches: each body repeated as often as that takes
 * where there are bodies (fails where `shift` does not divide), else the whole iteration again and
 * again, its micro-batch numbers growing by `microbatches` each time. 1 only flattens. */
PwSchedule *pw_schedule_unroll (const PwSchedule *schedule, int64_t iterations, GError **error);
/* Has bodies: the programs go on for as many micro-batches as one likes. */
gboolean pw_schedule_is_endless (const PwSchedule *schedule);
/* VERSIONS[directions][stages]: of a stage's weights, kept at once at most in one iteration. */
void pw_schedule_weight_versions (const PwSchedule *schedule, int *versions);
/* F, B, I, W in all ranks' lists (a pair counts 2), unrolled. */
int64_t pw_schedule_count_actions (const PwSchedule *schedule);

/* The one list of schedules. */
typedef enum {
  PW_OPTION_CHUNKS = 1 << 0,
  PW_OPTION_GROUP = 1 << 1, /* and group_rule */
  PW_OPTION_WAVES = 1 << 2,
  PW_OPTION_PIECES = 1 << 3,
  PW_OPTION_UPDATE_EVERY = 1 << 4,
  PW_OPTION_REVERSE = 1 << 5
} PwScheduleOption;

typedef struct {
  const char *name;
  const char *summary; /* one line */
  const char *paper;   /* "GPipe (Huang et al., 2018), arXiv 1811.06965", or whose it is */
  /* Texts, sentences without the last full stop. */
  const char *title;   /* of the papers; NULL: none */
  const char *about;   /* what it is for, and what it costs */
  const char *follows; /* the implementation whose order this is */
  const char *differs; /* what others do differently */
  const char *limits;  /* sizes it refuses; NULL: takes all */
  const char *refused; /* options of `schedule show` that show this; NULL where `limits` is */
  const char *related; /* names of other schedules, with a space between */
  const char *bubble;  /* closed form with its validity, "(P-1)(F+B), any M" */
  const char *peak;    /* in micro-batches of a rank's activations, rank r */
  const char *measure; /* "iteration" or "span": what `bubble` is relative to */
  unsigned options; /* PwScheduleOption: which params it takes; the others are refused unless they
                       are left at 0 (or 1, where 1 means the same) */
  PwSchedule *(*generate) (const PwScheduleParams *params, GError **error);
  /* Closed forms for equal stages and no links: idle time of the iteration, and rank R's peak; NAN
   * where the form does not hold. */
  double (*bubble_time) (const PwScheduleParams *params);
  /* Where `bubble` is of the iteration, the same of the longest rank span, the zero-bubble papers'
   * measure; both NULL where no form is known. */
  const char *span_bubble;
  double (*span_bubble_time) (const PwScheduleParams *params);
  double (*peak_activations) (const PwScheduleParams *params, int rank);
} PwScheduleType;
const PwScheduleType *const *pw_schedule_list (void); /* NULL-terminated */
const PwScheduleType *pw_schedule_get (const char *name);
/* Validates the parameters common to all, refuses those the type does not take, and calls its
 * generator. */
PwSchedule *pw_schedule_generate (const char *name, const PwScheduleParams *params, GError **error);
