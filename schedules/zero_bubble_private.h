/* Schedules with one stage per rank and a split backward (Zero Bubble, arXiv 2401.10241): a warm-up
 * of forwards, then F and I in turn, each W a fixed number of micro-batches behind its I. */
#pragma once
#include "schedules/schedule.h"

typedef struct {
  int warmup; /* forwards before the first I */
  int lag;    /* W of micro-batch i - lag follows I of micro-batch i */
} PwZeroBubbleRank;

/* RANK_OF says what each rank does. */
PwSchedule *pw__zero_bubble_new (const char *name, const PwScheduleParams *params,
                                 PwZeroBubbleRank (*rank_of) (const PwScheduleParams *, int));
/* What N forwards leave at the peak, in chunks: the rank holds what is warmed up and the one under
 * way, and the part that W needs of as many as W lags. */
double pw__zero_bubble_peak (PwZeroBubbleRank rank, int64_t n, double weight_memory);
